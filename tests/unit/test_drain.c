// SPDX-License-Identifier: GPL-2.0-only
/* Draining: tables of looks, and what each is worth. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy_fixture.h"
#include "sluice/drain.h"

#define S	  1000 /* ms */
#define LOOK_MS	  500
#define TIMEOUT_S 60
#define UNKNOWN	  UINT64_MAX

static struct {
	unsigned int order;
	uint64_t allocated; /* bytes, between any two looks */
	uint64_t deadline_ms;
} drain;

/* Passes come 2 s after a kick, which is late after 2 s + 2 * 500 ms. */
static void begin(void)
{
	reset();
	drain.order = 9;
	drain.allocated = 0;
	drain.deadline_ms = TIMEOUT_S * S;
}

/* The kernel's own count is that of the scan. */
static void see_all(struct snapshot *snap, const char *text)
{
	see(snap, text);
	for (unsigned int i = 0; i < snap->nr_zones; i++)
		for (unsigned int o = 0; o < snap->nr_orders; o++)
			snap->zones[i].info.nr_free[o] = snap->zones[i].orders[o].free;
}

/* Looks twice, which must give the same and change nothing but the state. */
static void look_at(const char *seen, uint64_t ms, struct drain_state *state,
		    struct decision *decision, struct drain_progress *progress)
{
	struct snapshot snap, before;
	const struct drain_input input = {
		.snap = &snap,
		.config = &given.config,
		.order = drain.order,
		.now_ns = NSEC_PER_SEC + ms * NSEC_PER_MSEC,
		.deadline_ns = NSEC_PER_SEC + drain.deadline_ms * NSEC_PER_MSEC,
		.pass_delay = given.pass_delay,
		.look_ns = LOOK_MS * NSEC_PER_MSEC,
		.allocated = drain.allocated,
	};
	struct drain_state again = *state;
	struct drain_progress same;
	struct decision other;

	see_all(&snap, seen);
	memcpy(&before, &snap, sizeof(snap));
	memset(decision, 0x5a, sizeof(*decision));
	memset(progress, 0x5a, sizeof(*progress));
	memset(&other, 0xa5, sizeof(other));
	memset(&same, 0xa5, sizeof(same));
	drain_step(&input, state, decision, progress);
	drain_step(&input, &again, &other, &same);
	assert_same(decision, &other);
	assert_memory_equal(&snap, &before, sizeof(snap));
	assert_memory_equal(&progress->residue, &same.residue, sizeof(same.residue));
	assert_int_equal(progress->outcome, same.outcome);
	assert_int_equal(progress->left, progress->residue.waiting + progress->residue.changed);
	assert_string_equal(decision->stage, "drain");
	assert_int_equal(decision->action, POLICY_RELEASE);
	assert_int_equal(decision->order, drain.order);
}

#define RUNNING	  DRAIN_RUNNING
#define DRY	  DRAIN_DRY
#define TIMED_OUT DRAIN_TIMED_OUT

struct drain_look {
	uint64_t ms;
	const char *seen;
	enum drain_outcome outcome;
	bool kick;
	uint64_t left, changed, flight; /* MiB */
};

struct drain_scenario {
	const char *what;
	void (*prepare)(void);
	struct drain_look looks[16];
};

static void run_drain(const struct drain_scenario *scenario)
{
	struct drain_state state = { 0 };
	const struct drain_look *last = NULL;

	begin();
	if (scenario->prepare)
		scenario->prepare();
	for (size_t i = 0; i < ARRAY_SIZE(scenario->looks) && scenario->looks[i].seen; i++) {
		const struct drain_look *want = &scenario->looks[i];
		struct drain_progress got;
		struct decision decision;

		look_at(want->seen, want->ms, &state, &decision, &got);
		if (got.outcome != want->outcome || decision.kick != want->kick ||
		    got.left != want->left * MIB || got.residue.changed != want->changed * MIB ||
		    got.residue.in_flight != want->flight * MIB)
			fail_msg("%s, %" PRIu64 " ms: %s%s, %" PRIu64 " MiB left, %" PRIu64
				 " changed, %" PRIu64 " in flight: \"%s\"",
				 scenario->what, want->ms, drain_outcome_name(got.outcome),
				 decision.kick ? ", kick" : "", got.left / MIB,
				 got.residue.changed / MIB, got.residue.in_flight / MIB,
				 decision.reason);
		last = want;
	}
	assert_non_null(last);
}

static void no_kick(void)
{
	given.config.kick = false;
}

static void guest_allocates(void)
{
	drain.allocated = 64 * MIB;
}

static void allocation_unknown(void)
{
	drain.allocated = UNKNOWN;
}

static void ignore_normal(void)
{
	add_zone("Normal", CONFIG_ANY_NODE)->ignore = true;
}

static void five_seconds(void)
{
	drain.deadline_ms = 5 * S;
}

static void half_a_second(void)
{
	drain.deadline_ms = 500;
}

static void at_order_ten(void)
{
	drain.order = 10;
}

/* 2 MiB per extent of order 9; a pass takes up to 64 extents of a list below 512. */
static const struct drain_scenario scenarios[] = {
	{ "nothing to do: two looks that agree, no kick",
	  NULL,
	  {
		  { 0, "Normal 100/100", RUNNING, NO, 0, 0, 0 },
		  { 500, "Normal 100/100", DRY, NO, 0, 0, 0 },
	  } },
	{ "the look that sees a pass is none of the two",
	  NULL,
	  {
		  { 0, "Normal 100", RUNNING, KICK, 200, 0, 0 },
		  { 500, "Normal 100", RUNNING, NO, 200, 0, 0 },
		  { 2 * S, "Normal 100/64", RUNNING, NO, 72, 0, 0 },
		  { 4 * S, "Normal 100/100", RUNNING, NO, 0, 0, 0 },
		  { 4500, "Normal 100/100", RUNNING, NO, 0, 0, 0 },
		  { 5 * S, "Normal 100/100", DRY, NO, 0, 0, 0 },
	  } },
	{ "something left in between: from the beginning",
	  NULL,
	  {
		  { 0, "Normal 100/100", RUNNING, NO, 0, 0, 0 },
		  { 500, "Normal 103/100", RUNNING, NO, 6, 0, 0 },
		  { 1 * S, "Normal 103/103", RUNNING, NO, 0, 0, 0 },
		  { 1500, "Normal 103/103", RUNNING, NO, 0, 0, 0 },
		  { 2 * S, "Normal 103/103", DRY, NO, 0, 0, 0 },
	  } },
	{ "kicks when no pass came, not while it progresses",
	  NULL,
	  {
		  { 0, "Normal 100", RUNNING, KICK, 200, 0, 0 },
		  { 2900, "Normal 100", RUNNING, NO, 200, 0, 0 },
		  { 3 * S, "Normal 100", RUNNING, KICK, 200, 0, 0 },
		  { 5900, "Normal 100", RUNNING, NO, 200, 0, 0 },
		  { 6 * S, "Normal 100", RUNNING, KICK, 200, 0, 0 },
		  { 8 * S, "Normal 200/64", RUNNING, NO, 272, 0, 0 },
		  { 10900, "Normal 200/64", RUNNING, NO, 272, 0, 0 },
		  { 11 * S, "Normal 200/64", RUNNING, KICK, 272, 0, 0 },
	  } },
	{ "what the host has is not drained yet",
	  NULL,
	  {
		  { 0, "Normal 100/68", RUNNING, KICK, 64, 0, 0 },
		  { 2 * S, "Normal 68/68", RUNNING, NO, 0, 0, 64 },
		  { 2500, "Normal 68/68", RUNNING, NO, 0, 0, 64 },
		  { 3 * S, "Normal 68/68", RUNNING, NO, 0, 0, 64 },
		  { 3500, "Normal 100/100", RUNNING, NO, 0, 0, 0 },
		  { 4 * S, "Normal 100/100", RUNNING, NO, 0, 0, 0 },
		  { 4500, "Normal 100/100", DRY, NO, 0, 0, 0 },
	  } },
	{ "what never comes back is in use after a while",
	  NULL,
	  {
		  { 0, "Normal 100/68", RUNNING, KICK, 64, 0, 0 },
		  { 2 * S, "Normal 68/68", RUNNING, NO, 0, 0, 64 },
		  { 11900, "Normal 68/68", RUNNING, NO, 0, 0, 64 },
		  { 12 * S, "Normal 68/68", DRY, NO, 0, 0, 0 },
	  } },
	{ "the host has 32 blocks at the most",
	  NULL,
	  {
		  { 0, "Normal 500/500", RUNNING, NO, 0, 0, 0 },
		  { 500, "Normal 300/300", RUNNING, NO, 0, 0, 128 },
	  } },
	{ "what the guest allocated is not in flight",
	  guest_allocates,
	  {
		  { 0, "Normal 100/68", RUNNING, KICK, 64, 0, 0 },
		  { 2 * S, "Normal 68/68", RUNNING, NO, 0, 0, 0 },
		  { 2500, "Normal 68/68", DRY, NO, 0, 0, 0 },
	  } },
	{ "without a count of allocations nothing is said of it",
	  allocation_unknown,
	  {
		  { 0, "Normal 200/200", RUNNING, NO, 0, 0, 0 },
		  { 500, "Normal 100/100", DRY, NO, 0, 0, 0 },
	  } },
	{ "4 MiB that a pass left are tolerated",
	  NULL,
	  {
		  { 0, "Normal 100", RUNNING, KICK, 200, 0, 0 },
		  { 2 * S, "Normal 100/98", RUNNING, NO, 4, 0, 0 },
		  { 4900, "Normal 100/98", RUNNING, NO, 4, 0, 0 },
		  { 5 * S, "Normal 100/98", DRY, NO, 4, 4, 0 },
	  } },
	{ "6 MiB are not",
	  five_seconds,
	  {
		  { 0, "Normal 100", RUNNING, KICK, 200, 0, 0 },
		  { 1 * S, "Normal 100/97", RUNNING, NO, 6, 0, 0 },
		  { 4900, "Normal 100/97", RUNNING, KICK, 6, 0, 0 },
		  { 5 * S, "Normal 100/97", TIMED_OUT, NO, 6, 0, 0 },
	  } },
	{ "1 % of what is free is",
	  NULL,
	  {
		  { 0, "Normal 1000/990", RUNNING, KICK, 20, 0, 0 },
		  { 500, "Normal 1000/990", RUNNING, NO, 20, 0, 0 },
		  { 3 * S, "Normal 1000/990", DRY, NO, 20, 20, 0 },
	  } },
	{ "a little more than 1 % is not",
	  NULL,
	  {
		  { 0, "Normal 1000/989", RUNNING, KICK, 22, 0, 0 },
		  { 3 * S, "Normal 1000/989", RUNNING, KICK, 22, 0, 0 },
		  { 60 * S, "Normal 1000/989", TIMED_OUT, NO, 22, 0, 0 },
	  } },
	{ "a guest that always frees a little",
	  NULL,
	  {
		  { 0, "Normal 100", RUNNING, KICK, 200, 0, 0 },
		  { 2 * S, "Normal 100/99", RUNNING, NO, 2, 0, 0 },
		  { 3 * S, "Normal 101/99", RUNNING, NO, 4, 0, 0 },
		  { 4 * S, "Normal 101/100", RUNNING, NO, 2, 0, 0 },
		  { 5 * S, "Normal 102/101/1", RUNNING, NO, 2, 2, 0 },
		  { 5500, "Normal 102/101/1", DRY, NO, 2, 2, 0 },
	  } },
	{ "a burst in between begins the wait anew",
	  NULL,
	  {
		  { 0, "Normal 100", RUNNING, KICK, 200, 0, 0 },
		  { 2 * S, "Normal 100/99", RUNNING, NO, 2, 0, 0 },
		  { 4 * S, "Normal 150/99", RUNNING, NO, 102, 0, 0 },
		  { 4500, "Normal 150/149", RUNNING, NO, 2, 0, 0 },
		  { 7400, "Normal 150/149", RUNNING, NO, 2, 0, 0 },
		  { 7500, "Normal 150/149", DRY, NO, 2, 2, 0 },
	  } },
	{ "without kicks a little that no pass left is too much",
	  no_kick,
	  {
		  { 0, "Normal 100/99", RUNNING, NO, 2, 0, 0 },
		  { 59 * S, "Normal 100/99", RUNNING, NO, 2, 0, 0 },
		  { 60 * S, "Normal 100/99", TIMED_OUT, NO, 2, 0, 0 },
	  } },
	{ "behind a gate nothing is left",
	  NULL,
	  {
		  { 0, "DMA! 7, Normal 10/10", RUNNING, NO, 0, 0, 0 },
		  { 500, "DMA! 7, Normal 10/10", DRY, NO, 0, 0, 0 },
	  } },
	{ "zones that the strategy ignores are drained too",
	  ignore_normal,
	  { { 0, "Normal 10", RUNNING, KICK, 20, 0, 0 } } },
	{ "too young for a pass at the time-out",
	  five_seconds,
	  {
		  { 0, "Normal 100", RUNNING, KICK, 200, 0, 0 },
		  { 5 * S, "Normal 100/0/60", TIMED_OUT, NO, 200, 120, 0 },
	  } },
	{ "young, but behind the gate",
	  five_seconds,
	  { { 5 * S, "DMA! 9/0/9, Normal 10/0/1", TIMED_OUT, NO, 20, 2, 0 } } },
	{ "dry at the last moment is dry",
	  half_a_second,
	  {
		  { 0, "Normal 100/100", RUNNING, NO, 0, 0, 0 },
		  { 500, "Normal 100/100", DRY, NO, 0, 0, 0 },
	  } },
	{ "below the order nothing is left",
	  at_order_ten,
	  {
		  { 0, "Normal@10 5, Normal 99", RUNNING, KICK, 20, 0, 0 },
		  { 2 * S, "Normal@10 5/5, Normal 99", RUNNING, NO, 0, 0, 0 },
		  { 2500, "Normal@10 5/5, Normal 99", RUNNING, NO, 0, 0, 0 },
		  { 3 * S, "Normal@10 5/5, Normal 99", DRY, NO, 0, 0, 0 },
	  } },
};

static void test_scenarios(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		run_drain(&scenarios[i]);
}

/* mm/page_reporting.c: (ceil(nr_free / 512) + 1) * 32 extents of a list in a pass. */
static void test_passes(void **state)
{
	static const struct {
		const char *seen;
		uint64_t passes;
	} cases[] = {
		{ "Normal 10/10", 0 },
		{ "Normal 1", 1 },
		{ "Normal 64", 1 },
		{ "Normal 65", 2 },
		{ "Normal 512", 8 },
		{ "Normal 513", 6 },			   /* 96 in a pass */
		{ "Normal 513/417", 1 },		   /* reported ones count for the budget */
		{ "Normal 16384", 16 },			   /* 64 GiB of order 10: half a minute */
		{ "Normal 64, DMA32 64, 1:Normal 64", 1 }, /* a pass visits all lists */
		{ "Normal 64, Normal@10 65", 2 },
		{ "Normal 64, DMA! 999", 1 },
	};

	(void)state;
	begin();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct drain_state drain_state = { 0 };
		struct drain_progress progress;
		struct decision decision;

		look_at(cases[i].seen, 0, &drain_state, &decision, &progress);
		if (progress.passes != cases[i].passes)
			fail_msg("%s: %" PRIu64 " passes, not %" PRIu64, cases[i].seen,
				 progress.passes, cases[i].passes);
		assert_int_equal(progress.estimate_ns, cases[i].passes * 2 * NSEC_PER_SEC);
	}
}

static void test_residue(void **state)
{
	struct drain_state drain_state = { 0 };
	struct drain_progress progress;
	struct decision decision;

	(void)state;
	begin();
	given.config.delay_release = 7;
	look_at("DMA! 7/1, Normal 10/4, Normal@8 3, Normal@10 2", 0, &drain_state, &decision,
		&progress);
	assert_int_equal(progress.free, (7 + 10 + 2 * 2) * 2 * MIB);
	assert_int_equal(progress.residue.gated, 6 * 2 * MIB);
	assert_int_equal(progress.residue.waiting, (6 + 2 * 2) * 2 * MIB);
	assert_int_equal(progress.initial, progress.left);
	assert_int_equal(progress.kicks, 1);
	assert_int_equal(progress.residue.below, 3 * MIB); /* by the kernel's count */
	assert_int_equal(decision.delay, 7);

	/* a full scan knows what of it is reported; at a low order it is what counts */
	given.snap.depth = SCAN_FULL;
	drain_state = (struct drain_state){ 0 };
	look_at("Normal@8 3/1, Normal@4 16", 0, &drain_state, &decision, &progress);
	assert_int_equal(progress.residue.below, 3 * MIB);
	drain.order = 5;
	drain_state = (struct drain_state){ 0 };
	look_at("Normal@8 3/1, Normal@4 16", 0, &drain_state, &decision, &progress);
	assert_int_equal(progress.residue.below, MIB);
	assert_int_equal(progress.left, 2 * MIB);
}

static void test_order(void **state)
{
	static const struct {
		int order, floor, ceiling;
		bool knob;
		int want; /* -1: refused */
		const char *error;
	} cases[] = {
		{ ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, ORDER_OFF, true, 9, NULL },
		{ ORDER_HIGHEST, ORDER_PAGEBLOCK, ORDER_OFF, true, 10, NULL },
		{ 5, 5, ORDER_OFF, true, 5, NULL },
		{ 0, 0, ORDER_OFF, true, 0, NULL },
		{ 5, ORDER_PAGEBLOCK, ORDER_OFF, true, -1, "order 5 is below order.floor, 9" },
		{ ORDER_PAGEBLOCK, 10, ORDER_OFF, true, -1, "order 9 is below order.floor, 10" },
		{ 10, 5, ORDER_PAGEBLOCK, true, -1, "order 10 is above order.ceiling, 9" },
		{ 11, 5, ORDER_OFF, true, -1, "order 11: orders are 0 to 10" },
		{ ORDER_OFF, 5, ORDER_OFF, true, -1, "order 11: orders are 0 to 10" },
		{ -9, 5, ORDER_OFF, true, -1, "orders are 0 to 10" },
		{ 9, 5, ORDER_OFF, false, 9, NULL },
		{ 9, 10, ORDER_OFF, false, 9, NULL }, /* nothing is written */
		{ 10, 5, ORDER_OFF, false, -1, "no order knob" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct config config = { .order_floor = cases[i].floor,
					       .order_ceiling = cases[i].ceiling };
		const struct reporting reporting = { .has_order = cases[i].knob, .order = 9 };
		struct errmsg err = { 0 };
		unsigned int got = 77;
		int rc = drain_order(&config, &reporting, 9, 10, cases[i].order, &got, &err);

		if (cases[i].want >= 0) {
			assert_int_equal(rc, 0);
			assert_int_equal(got, cases[i].want);
			continue;
		}
		assert_int_equal(rc, -ERANGE);
		assert_int_equal(got, 77);
		if (!strstr(err.text, cases[i].error))
			fail_msg("\"%s\" lacks \"%s\"", err.text, cases[i].error);
	}
}

static void test_looks(void **state)
{
	(void)state;
	assert_int_equal(drain_look_ns(2 * NSEC_PER_SEC), 500 * NSEC_PER_MSEC);
	assert_int_equal(drain_look_ns(0), 100 * NSEC_PER_MSEC);
	assert_int_equal(drain_look_ns(60 * NSEC_PER_SEC), NSEC_PER_SEC);
	assert_string_equal(drain_outcome_name(DRAIN_RUNNING), "running");
	assert_string_equal(drain_outcome_name(DRAIN_DRY), "dry");
	assert_string_equal(drain_outcome_name(DRAIN_TIMED_OUT), "timeout");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios), cmocka_unit_test(test_passes),
		cmocka_unit_test(test_residue),	  cmocka_unit_test(test_order),
		cmocka_unit_test(test_looks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
