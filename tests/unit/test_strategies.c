// SPDX-License-Identifier: GPL-2.0-only
/* The strategies that came before: what each of them does that no other does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy_fixture.h"

#define S 1000 /* ms */

static void no_kick(void)
{
	given.config.kick = false;
}

/* --- cycle ------------------------------------------------------------------------------------ */

static void cycle(void)
{
	given.config.strategy = STRATEGY_CYCLE;
	given.config.cycle = (struct config_cycle){
		.high_water = 32,
		.low_water = 4,
		.max_cycles = 2,
		.cooldown = 5 * NSEC_PER_SEC,
		.order = ORDER_PAGEBLOCK,
	};
}

static void cycle_without_kick(void)
{
	cycle();
	no_kick();
}

static void cycle_in_dry_run(void)
{
	cycle();
	given.acting = false;
}

static void cycle_without_dma32(void)
{
	cycle();
	add_zone("DMA32", CONFIG_ANY_NODE)->ignore = true;
}

static const struct scenario cycles[] = {
	{ "five stages in order",
	  cycle,
	  {
		  { 0, "Normal 32", HOLD,
		    "idle: the fullest list, node 0 Normal, order 9, has 32" },
		  { 2 * S, "Normal 33", HOLD, "fill: node 0 Normal, order 9 has 33 unreported" },
		  { 4 * S, "Normal 40", KICKED, "report: cycle 1 of 2, node 0 Normal, order 9" },
		  { 6 * S, "Normal 40/20", RELEASE, "settle: 20 of 40 extents are left" },
		  { 8 * S, "Normal 40/36", HOLD, "drain: at the low-water mark; 4 of 40" },
		  { 10 * S, "Normal 80/36", HOLD, "drain: 3 s of the cooldown left" },
		  { 13 * S, "Normal 40/36", HOLD, "idle: the fullest list, node 0 Normal" },
	  } },
	{ "a list that empties by itself is not reported",
	  cycle,
	  {
		  { 0, "Normal 50", HOLD, "fill: " },
		  { 2 * S, "Normal 30", HOLD, "idle: the fullest list" },
		  { 4 * S, "Normal 50", HOLD, "fill: " },
		  { 6 * S, "Normal 50", KICKED, "report: cycle 1 of 2" },
	  } },
	{ "no more cycles in a row than allowed",
	  cycle,
	  {
		  { 0, "Normal 50", HOLD, "fill: " },
		  { 2 * S, "Normal 50", KICKED, "report: cycle 1 of 2" },
		  { 4 * S, "Normal 50/50", HOLD, "drain: at the low-water mark" },
		  { 9 * S, "Normal 90/50", HOLD, "fill: node 0 Normal, order 9 has 40" },
		  { 11 * S, "Normal 90/50", KICKED, "report: cycle 2 of 2" },
		  { 13 * S, "Normal 90/90", HOLD, "drain: at the low-water mark" },
		  { 18 * S, "Normal 190/90", HOLD, "idle: 2 cycles in a row were the most" },
		  { 22 * S, "Normal 190/90", HOLD, "idle: 2 cycles in a row" },
		  { 23 * S, "Normal 190/90", HOLD, "fill: " },
		  { 25 * S, "Normal 190/90", KICKED, "report: cycle 1 of 2" },
	  } },
	{ "what the kernel does not take ends the cycle",
	  cycle_without_kick,
	  {
		  { 0, "Normal 50", HOLD, "fill: " },
		  { 2 * S, "Normal 50", RELEASE, "report: cycle 1 of 2" },
		  { 4 * S, "Normal 50", RELEASE, "settle: 50 of 50" },
		  { 6 * S, "Normal 50", RELEASE, "settle: 50 of 50" },
		  { 7 * S, "Normal 50/1", RELEASE, "settle: 49 of 50" },
		  { 12 * S, "Normal 50/1", RELEASE, "settle: 49 of 50" },
		  { 13 * S, "Normal 50/1", HOLD, "drain: nothing more is reported; 49 of 50" },
	  } },
	{ "in a dry run nothing can be expected to be reported",
	  cycle_in_dry_run,
	  {
		  { 0, "Normal 50", HOLD, "fill: " },
		  { 2 * S, "Normal 50", KICKED, "report: " },
		  { 100 * S, "Normal 50", RELEASE, "settle: 50 of 50" },
	  } },
	{ "lists count each for themselves, behind gates and below the order not at all",
	  cycle,
	  {
		  { 0, "Normal 32, 1:Normal 32, DMA32 32, Normal@10 32, DMA! 99", HOLD,
		    "idle: the fullest list, node 0 DMA32, order 9, has 32" },
		  { 2 * S, "Normal@10 33, Normal 5", HOLD, "fill: node 0 Normal, order 10 has 33" },
		  { 4 * S, "1:Normal 34", KICKED, "report: cycle 1 of 2, node 1 Normal, order 9" },
	  } },
	{ "ignored zones begin no cycle",
	  cycle_without_dma32,
	  { { 0, "DMA32 99, Normal 3", HOLD, "idle: the fullest list, node 0 Normal" } } },
};

/* --- burst ------------------------------------------------------------------------------------ */

static void burst(void)
{
	given.config.strategy = STRATEGY_BURST;
	given.config.burst = (struct config_burst){
		.start = 64 * MIB,
		.step_timeout = 20 * NSEC_PER_SEC,
		.cooldown = 60 * NSEC_PER_SEC,
		.floor = ORDER_PAGEBLOCK,
	};
}

static void burst_to_order_7(void)
{
	burst();
	given.config.burst.floor = given.config.order_floor = 7;
	given.snap.depth = SCAN_FULL;
}

static const struct scenario bursts[] = {
	{ "one flush per order, from the highest down to the floor",
	  burst_to_order_7,
	  {
		  { 0, "Normal@10 15", HOLD, "60 MiB unreported at order 7+, start is 64 MiB" },
		  { 2 * S, "Normal@10 15, Normal@8 8, Normal@7 8", POLICY_RELEASE, 10, KICK,
		    "a sweep begins: order 10, 60 MiB to report" },
		  { 4 * S, "Normal@10 15/5, Normal@8 8, Normal@7 8", POLICY_RELEASE, 10, NO,
		    "order 10: 40 MiB of 60 MiB left" },
		  { 6 * S, "Normal@10 15/15, Normal@8 8, Normal@7 8", POLICY_RELEASE, 8, KICK,
		    "next: order 8, 8 MiB to report" },
		  { 8 * S, "Normal@10 15/15, Normal@8 8/8, Normal@7 8", POLICY_RELEASE, 7, KICK,
		    "next: order 7, 4 MiB to report" },
		  { 10 * S, "Normal@10 15/15, Normal@8 8/8, Normal@7 8/8", HOLD,
		    "the sweep is done: 0 B of 72 MiB left" },
		  { 12 * S, "Normal@10 99", HOLD, "cooldown: 58 s left; 396 MiB unreported" },
		  { 70 * S, "Normal@10 99", POLICY_RELEASE, 10, KICK, "a sweep begins" },
	  } },
	{ "an order that takes too long is left behind",
	  burst,
	  {
		  { 0, "Normal@10 20, Normal 4", POLICY_RELEASE, 10, KICK,
		    "a sweep begins: order 10" },
		  { 19 * S, "Normal@10 20/1, Normal 4", POLICY_RELEASE, 10, NO,
		    "order 10: 76 MiB of 80 MiB left" },
		  { 20 * S, "Normal@10 20/1, Normal 4", KICKED,
		    "the last order took too long: order 9, 84 MiB to report" },
		  { 40 * S, "Normal@10 20/1, Normal 4/4", HOLD,
		    "the sweep is done: 76 MiB of 88 MiB left" },
	  } },
	{ "orders without anything to report are passed over",
	  burst,
	  {
		  { 0, "Normal 40, DMA! 99", KICKED, "a sweep begins: order 9, 80 MiB" },
		  { 2 * S, "Normal 40/40, DMA! 99", HOLD, "the sweep is done: 0 B of 80 MiB" },
	  } },
};

/* --- slew ------------------------------------------------------------------------------------- */

static void slew(void)
{
	given.config.strategy = STRATEGY_SLEW;
	given.config.slew = (struct config_slew){
		.reserve = 64 * MIB,
		.give_rate = 16 * MIB,
		.take_back = 30 * NSEC_PER_SEC,
		.order = ORDER_PAGEBLOCK,
	};
}

static const struct scenario slews[] = {
	{ "gives slowly, and nothing of the reserve",
	  slew,
	  {
		  { 0, "Normal 32", HOLD, "no more than the reserve of 64 MiB is free" },
		  { 2 * S, "Normal 132", HOLD, "32 MiB may be given by now, of 200 MiB" },
		  { 3 * S, "Normal 132", HOLD, "48 MiB may be given by now, of 200 MiB" },
		  { 4 * S, "Normal 132", KICKED,
		    "giving 64 MiB of 200 MiB beyond the reserve, at "
		    "16 MiB per second; order 9" },
		  { 5 * S, "Normal 132", RELEASE, "giving 80 MiB of 200 MiB" },
		  { 6 * S, "Normal 132/32", RELEASE, "giving 32 MiB of 136 MiB" },
		  { 7 * S, "Normal 132/64", HOLD, "0 B may be given by now, of 72 MiB" },
		  { 11 * S, "Normal 132/64", HOLD, "48 MiB may be given by now, of 72 MiB" },
		  { 12 * S, "Normal 132/64", KICKED, "giving 64 MiB of 72 MiB" },
	  } },
	{ "less than a request is given at once where there is no more",
	  slew,
	  {
		  { 0, "Normal 36", HOLD, "0 B may be given by now, of 8 MiB" },
		  { 1 * S, "Normal 36", KICKED, "giving 8 MiB of 8 MiB" },
		  { 2 * S, "Normal 36/4", HOLD, "no more than the reserve" },
	  } },
	{ "stops at once when the guest takes memory, and for a while",
	  slew,
	  {
		  { 0, "Normal 132", HOLD, "0 B may be given by now" },
		  { 10 * S, "Normal 132", KICKED, "giving 160 MiB of 200 MiB" },
		  { 11 * S, "Normal 120/32", HOLD,
		    "the guest took memory: nothing is given for another 30 s" },
		  { 40 * S, "Normal 200/32", HOLD,
		    "the guest took memory: nothing is given for another 1 s" },
		  { 41 * S, "Normal 200/32", KICKED, "giving " },
	  } },
	{ "what the guest takes more slowly than it gives does not count",
	  slew,
	  {
		  { 0, "Normal 132", HOLD, "0 B may be given" },
		  { 10 * S, "Normal 132", KICKED, "giving 160 MiB of 200 MiB" },
		  { 11 * S, "Normal 128", RELEASE, "giving 176 MiB of 192 MiB" },
	  } },
	{ "kicks again after a pass without progress",
	  slew,
	  {
		  { 0, "Normal 132", HOLD, "0 B may be given" },
		  { 10 * S, "Normal 132", KICKED, "giving 160 MiB" },
		  { 15 * S, "Normal 132", RELEASE, "giving 200 MiB" },
		  { 16 * S, "Normal 132", KICKED, "giving 200 MiB" },
	  } },
};

static void run_all(const struct scenario *scenarios, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		print_message("           %s\n", scenarios[i].what);
		run(&scenarios[i]);
	}
}

static void test_cycle(void **state)
{
	(void)state;
	run_all(cycles, ARRAY_SIZE(cycles));
}

static void test_burst(void **state)
{
	(void)state;
	run_all(bursts, ARRAY_SIZE(bursts));
}

static void test_slew(void **state)
{
	(void)state;
	run_all(slews, ARRAY_SIZE(slews));
}

/* Each strategy names its stage, except those that have none. */
static void test_stages(void **state)
{
	static const struct {
		void (*prepare)(void);
		const char *stage;
	} cases[] = {
		{ reset, NULL },
		{ cycle, "fill" },
		{ burst, "sweep" },
		{ slew, "keep" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_state policy = { 0 };
		struct decision decision;
		struct snapshot snap;

		reset();
		cases[i].prepare();
		see(&snap, "Normal 999");
		decide(&snap, NSEC_PER_SEC, &policy, &decision);
		if (cases[i].stage)
			assert_string_equal(decision.stage, cases[i].stage);
		else
			assert_null(decision.stage);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cycle),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_slew),
		cmocka_unit_test(test_stages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
