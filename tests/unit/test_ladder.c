// SPDX-License-Identifier: GPL-2.0-only
/* The ladder: phases, rungs and what they are worth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy_fixture.h"

#define S 1000 /* ms */

#define CALM "{rate 1} "
#define BUSY "{rate 64} "

/* Held as on kernels that can't be switched off is the caller's doing: here it is order 11. */
static void ladder(void)
{
	struct config defaults;

	config_defaults(&defaults);
	given.config.strategy = STRATEGY_LADDER;
	given.config.ladder = defaults.ladder;
	given.config.guards = defaults.guards;
	given.config.guards.reserve = 0;
	given.config.ladder.settle = 4 * NSEC_PER_SEC;
	given.config.ladder.idle = 8 * NSEC_PER_SEC;
	given.config.ladder.cold = 30 * NSEC_PER_SEC;
}

static void ladder_from_off(void)
{
	ladder();
	given.snap.reporting_order = 11;
}

static void ladder_to_order_5(void)
{
	ladder();
	given.config.ladder.idle_floor = 5;
}

static void bounded_ladder(void)
{
	ladder();
	given.config.order_floor = 5;
}

static void cheap_ladder(void)
{
	ladder();
	given.config.ladder.cost = 100 * NSEC_PER_USEC;
}

static void ladder_without_knob(void)
{
	ladder();
	given.snap.reporting_order = -1;
}

/* 64 KiB pages: a pageblock is 512 MiB, and the balloon's default is order 5. */
static void ladder_of_large_pages(void)
{
	ladder();
	given.snap.page_size = 65536;
	given.snap.pageblock_order = 13;
	given.snap.nr_orders = 14;
	given.snap.reporting_order = 5;
}

#define AT(order)      POLICY_RELEASE, order, NO
#define KICK_AT(order) POLICY_RELEASE, order, KICK

/* 8192 extents of order 0 are 32 MiB. */
static const struct scenario scenarios[] = {
	{ "busy is held, and settles when it has been calm",
	  ladder_from_off,
	  {
		  { 0, "Normal 100/0/100", POLICY_RELEASE, 9, KICK,
		    "200 MiB unreported at order 9" },
		  { 2 * S, BUSY "Normal 100/0/100", HOLD,
		    "busy: 64 MiB allocated per second, busy is 64" },
		  { 4 * S, "{rate 63} Normal 100/0/100", HOLD,
		    "busy until it has been calm for 4 s" },
		  { 5 * S, CALM "Normal 100/0/100", HOLD, "busy until" },
		  { 6 * S, CALM "Normal 100/0/100", KICK_AT(9), "200 MiB unreported at order 9" },
		  { 8 * S, BUSY "Normal 100/0/100", HOLD, "busy: " },
	  } },
	{ "pressure and churn are busy too",
	  ladder,
	  {
		  { 0, "{rate 1, psi 10} Normal 100/0/100", HOLD, "tasks waited for memory 10 %" },
		  { 10 * S, "{rate 1, psi 9} Normal 100/0/100", AT(9), "200 MiB" },
		  { 12 * S, "{rate 1, reported 64, reused 32} Normal 100/0/100", HOLD,
		    "50 % of what is reported is soon used again" },
	  } },
	{ "what has been free for long is reported even so",
	  ladder,
	  {
		  { 0, BUSY "Normal 100/0/51", HOLD, "busy: " },
		  { 2 * S, BUSY "Normal 100/0/50", AT(9),
		    "busy, but 100 MiB of 200 MiB unreported were free for 30 s or longer" },
		  { 4 * S, BUSY "Normal 100/47/50", HOLD, "busy: " },
		  { 6 * S, BUSY "Normal 3", HOLD, "busy: " },
	  } },
	{ "and until a pass has come for it, whatever is freed meanwhile",
	  ladder,
	  {
		  { 0, BUSY "Normal 100/0/50", AT(9), "busy, but 100 MiB of 200 MiB" },
		  { 2 * S, BUSY "Normal 200/0/150", AT(9), "busy, but 100 MiB of 400 MiB" },
		  { 3 * S, BUSY "Normal 200/20/150", AT(9), "busy, but 60 MiB of 360 MiB" },
		  { 4 * S, BUSY "Normal 200/40/150", HOLD, "busy: " },
		  { 8 * S, BUSY "Normal 200/40/150", HOLD, "busy: " },
	  } },
	{ "idle: an excursion to order 0, and back up",
	  ladder,
	  {
		  { 0, CALM "Normal@0 8192", AT(9), "0 B unreported at order 9" },
		  { 7 * S, CALM "Normal@0 8192", AT(9), "0 B unreported at order 9" },
		  { 8 * S, CALM "Normal@0 8192", KICK_AT(0),
		    "excursion to order 0: 32 MiB in 8192 extents for 17.6 ms of CPU time, worth" },
		  { 10 * S, CALM "Normal@0 8192/1920", AT(0),
		    "excursion at order 0: 24.5 MiB in 6272 extents left" },
		  { 12 * S, CALM "Normal@0 8192/8000", AT(9), "0 B unreported at order 9" },
		  { 14 * S, CALM "Normal@0 16384/8000", AT(9), "0 B unreported at order 9" },
		  { 17 * S, CALM "Normal@0 16384/8000", KICK_AT(0), "excursion to order 0" },
	  } },
	{ "the rung follows what lies where",
	  ladder,
	  {
		  { 0, CALM "Normal@7 64", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@7 64, Normal@0 1000", KICK_AT(0), "excursion to order 0" },
		  { 10 * S, CALM "Normal@7 64/64, Normal@0 1000/999", AT(9), "0 B" },
		  { 15 * S, CALM "Normal@7 128/64, Normal@0 999/999", KICK_AT(7),
		    "excursion to order 7: 32 MiB in 64 extents" },
	  } },
	{ "a look finds nothing that is worth it, and says so",
	  cheap_ladder,
	  {
		  { 0, CALM "Normal@0 8192", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 8192", AT(9),
		    "no rung is worth it: order 0 would report 32 MiB in 8192 extents for 17.6 ms, "
		    "worth 25 us" },
		  { 9 * S, CALM "Normal@0 8192", AT(9), "0 B unreported at order 9" },
	  } },
	{ "too little is worth no excursion",
	  ladder,
	  {
		  { 0, CALM "Normal@0 2047", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 2047", AT(9), "no rung is worth it: order 0" },
		  { 13 * S, CALM "Normal@0 2048", KICK_AT(0), "8 MiB in 2048 extents" },
	  } },
	{ "lists that are too long for the lock are left alone",
	  ladder,
	  {
		  { 0, CALM "Normal@0 40001, Normal@3 1000", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 40001, Normal@3 1000", KICK_AT(2),
		    "excursion to order 2: 31.3 MiB in 1000 extents" },
		  { 10 * S, CALM "Normal@0 40001, Normal@3 1000/1000", AT(9), "0 B" },
		  { 15 * S, CALM "Normal@0 40001, Normal@3 1000/1000", AT(9), "2.1 ms of locks" },
	  } },
	{ "a busy guest ends an excursion at once",
	  ladder,
	  {
		  { 0, CALM "Normal@0 8192", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 8192", KICK_AT(0), "excursion" },
		  { 9 * S, BUSY "Normal@0 8192", HOLD, "busy: " },
		  { 13 * S, CALM "Normal@0 8192", AT(9), "0 B" },
		  { 16 * S, CALM "Normal@0 8192", AT(9), "0 B" },
		  { 17 * S, CALM "Normal@0 8192", KICK_AT(0), "after 8 s of quiet" },
	  } },
	{ "unrest ends an excursion, and idle begins anew",
	  ladder,
	  {
		  { 0, CALM "Normal@0 8192", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 8192", KICK_AT(0), "excursion" },
		  { 10 * S, "{rate 16} Normal@0 8192", AT(9), "0 B" },
		  { 12 * S, "{rate 1, cpu 50} Normal@0 8192", AT(9), "0 B" },
		  { 19 * S, "{rate 1, cpu 49} Normal@0 8192", AT(9), "0 B" },
		  { 20 * S, CALM "Normal@0 8192", KICK_AT(0), "after 8 s of quiet" },
	  } },
	{ "an excursion without effect ends",
	  ladder,
	  {
		  { 0, CALM "Normal@0 8192", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 8192", KICK_AT(0), "excursion" },
		  { 13 * S, CALM "Normal@0 8192", AT(0), "excursion at order 0" },
		  { 14 * S, CALM "Normal@0 8192", AT(9), "0 B" },
	  } },
	{ "an excursion has its time",
	  ladder,
	  {
		  { 0, CALM "Normal@0 20000", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 20000", KICK_AT(0), "excursion" },
		  { 12 * S, CALM "Normal@0 20000/1000", AT(0), "excursion at" },
		  { 16 * S, CALM "Normal@0 20000/2000", AT(0), "excursion at" },
		  { 21 * S, CALM "Normal@0 20000/3000", AT(0), "excursion at" },
		  { 26 * S, CALM "Normal@0 20000/4000", AT(0), "excursion at" },
		  { 31 * S, CALM "Normal@0 20000/5000", AT(0), "excursion at" },
		  { 36 * S, CALM "Normal@0 20000/6000", AT(0), "excursion at" },
		  { 41 * S, CALM "Normal@0 20000/7000", AT(0), "excursion at" },
		  { 46 * S, CALM "Normal@0 20000/8000", AT(0), "excursion at" },
		  { 51 * S, CALM "Normal@0 20000/9000", AT(0), "excursion at" },
		  { 56 * S, CALM "Normal@0 20000/10000", AT(0), "excursion at" },
		  { 61 * S, CALM "Normal@0 20000/11000", AT(0), "excursion at" },
		  { 67 * S, CALM "Normal@0 20000/12000", AT(0), "excursion at" },
		  { 68 * S, CALM "Normal@0 20000/13000", AT(9), "0 B" },
	  } },
	{ "what is soon used again makes the next excursion dearer",
	  ladder,
	  {
		  { 0, CALM "Normal@0 8192", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 8192", KICK_AT(0), "for 17.6 ms" },
		  { 10 * S, CALM "Normal@0 8192/8000", AT(9), "0 B" },
		  /* half of it was used and is free again */
		  { 20 * S, CALM "Normal@0 12192/4000", KICK_AT(0),
		    "32 MiB in 8192 extents for 21.1 ms" },
	  } },
	{ "memory that nobody takes is kicked for, but ever less often",
	  ladder_from_off,
	  {
		  { 0, CALM "Normal 100", KICK_AT(9), "200 MiB" },
		  { 5 * S, CALM "Normal 100", AT(9), "200 MiB" },
		  { 6 * S, CALM "Normal 100", KICK_AT(9), "200 MiB" },
	  } },
	{ "the floor of the ladder",
	  ladder_to_order_5,
	  {
		  { 0, CALM "Normal@0 8192, Normal@5 128", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 8192, Normal@5 128", KICK_AT(5),
		    "excursion to order 5: 16 MiB in 128 extents" },
	  } },
	{ "the floor of all strategies",
	  bounded_ladder,
	  {
		  { 0, CALM "Normal@0 8192, Normal@5 128", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 8192, Normal@5 128", KICK_AT(5), "excursion to order 5" },
	  } },
	{ "without a knob there are no rungs",
	  ladder_without_knob,
	  {
		  { 0, CALM "Normal@0 8192", AT(9), "0 B" },
		  { 8 * S, CALM "Normal@0 8192", AT(9), "0 B unreported at order 9" },
	  } },
	{ "rungs are sizes, not orders",
	  ladder_of_large_pages,
	  {
		  { 0, CALM "Normal@3 100, Normal@0 600", AT(5), "0 B unreported at order 5" },
		  { 8 * S, CALM "Normal@3 100, Normal@0 600", KICK_AT(0),
		    "excursion to order 0: 87.5 MiB in 700 extents" },
		  { 10 * S, CALM "Normal@3 100/100, Normal@0 600/600", AT(5), "0 B" },
		  { 15 * S, CALM "Normal@3 200/100, Normal@0 600/600", KICK_AT(3),
		    "excursion to order 3: 50 MiB in 100 extents" },
	  } },
	{ "while nothing is known of the load it settles",
	  ladder,
	  { { 0, "Normal 2", AT(9), "4 MiB" }, { 2 * S, "Normal 2", AT(9), "4 MiB" } } },
};

static void test_scenarios(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		run(&scenarios[i]);
}

/* All orders are looked at where a rung may be taken, and nowhere else. */
static void test_depth(void **state)
{
	const struct topology topology = { .page_size = 4096,
					   .pageblock_order = 9,
					   .highest_order = 10 };
	const struct topology large = { .page_size = 65536,
					.pageblock_order = 13,
					.highest_order = 13 };
	const uint64_t now = 100 * NSEC_PER_SEC;
	struct policy_state policy = { .ladder = { .phase = LADDER_BUSY } };

	(void)state;
	reset();
	ladder();
	assert_int_equal(policy_depth(&given.config, &policy, &topology, now), SCAN_HEADS);
	assert_int_equal(policy_depth(&given.config, &policy, &large, now), SCAN_FULL);
	policy.ladder.phase = LADDER_SETTLING;
	assert_int_equal(policy_depth(&given.config, &policy, &topology, now), SCAN_HEADS);
	policy.ladder.phase = LADDER_IDLE;
	assert_int_equal(policy_depth(&given.config, &policy, &topology, now), SCAN_FULL);
	policy.ladder.looked_ns = now - 4 * NSEC_PER_SEC;
	assert_int_equal(policy_depth(&given.config, &policy, &topology, now), SCAN_HEADS);
	policy.ladder.away = true;
	assert_int_equal(policy_depth(&given.config, &policy, &topology, now), SCAN_FULL);
	/* a floor at which nothing below pageblock order is reported */
	given.config.ladder.idle_floor = ORDER_PAGEBLOCK;
	assert_int_equal(policy_depth(&given.config, &policy, &topology, now), SCAN_HEADS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
