// SPDX-License-Identifier: GPL-2.0-only
/* Guards: they veto, each with its reason, and start nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy_fixture.h"

#define S 1000 /* ms */

static void guarded(void)
{
	struct config defaults;

	config_defaults(&defaults);
	given.config.guards = defaults.guards;
	given.config.guards.dwell = 5 * NSEC_PER_SEC;
	given.config.guards.reserve = 0;
}

static void unguarded(void)
{
	guarded();
	given.config.guards.pressure = given.config.guards.churn = 0;
	given.config.guards.poison = false;
	given.poisoned = true;
}

static void with_alloc_rate(void)
{
	guarded();
	given.config.guards.alloc_rate = 100 * MIB;
}

static void with_reserve(void)
{
	guarded();
	given.config.guards.reserve = 128 * MIB;
	for (unsigned int i = 0; i < given.snap.nr_zones; i++)
		given.snap.zones[i].info.free_pages = given.snap.zones[i].info.low_wmark = 1 << 20;
	given.snap.zones[2].info.free_pages += 32767;
}

static void with_more_than_the_reserve(void)
{
	with_reserve();
	given.snap.zones[2].info.free_pages++;
}

static void at_order_0(void)
{
	guarded();
	given.config.threshold.order = 0;
}

static void poisoned(void)
{
	guarded();
	given.poisoned = true;
}

static void hyperv(void)
{
	guarded();
	given.hyperv = true;
	given.snap.reporting_order = 9;
}

static void baseline(void)
{
	guarded();
	given.config.strategy = STRATEGY_KERNEL;
}

#define LEAVE POLICY_LEAVE, 0, NO

static const struct scenario scenarios[] = {
	{ "tasks wait for memory",
	  guarded,
	  {
		  { 0, "{psi 10} Normal 100", HOLD,
		    "guard pressure: tasks waited for memory 10 % of the time, the limit is 10 %" },
		  { 2 * S, "{psi 9} Normal 100", HOLD,
		    "guard pressure: its cause is gone for 2 s" },
		  { 5 * S, "{} Normal 100", KICKED, "releasing: 200 MiB of 200 MiB left" },
	  } },
	{ "what is reported is used again",
	  guarded,
	  {
		  { 0, "{reported 31, reused 31} Normal 100", KICKED, "200 MiB free" },
		  { 2 * S, "{reported 5, reused 0} Normal 100", HOLD,
		    "guard churn: 85 % of what is reported is used again within 10 s, the limit "
		    "is" },
		  { 4 * S, "{reported 40, reused 1} Normal 100", HOLD,
		    "guard churn: its cause is" },
	  } },
	{ "what is used again is a share of what was reported when it was, though that fades",
	  guarded,
	  {
		  { 0, "{reported 160} Normal 100", KICKED, "200 MiB free" },
		  { 1 * S, "{} Normal 100", POLICY_RELEASE, 9, NO, "releasing" },
		  { 2 * S, "{} Normal 100", POLICY_RELEASE, 9, NO, "releasing" },
		  { 3 * S, "{} Normal 100", POLICY_RELEASE, 9, NO, "releasing" },
		  /* 107 MiB are left of the 160, and so 47 of 70 that are used again: 44 % */
		  { 4 * S, "{reused 70, faded 47} Normal 100", POLICY_RELEASE, 9, NO, "releasing" },
		  { 5 * S, "{reused 14, faded 8} Normal 100", HOLD,
		    "guard churn: 52 % of what is reported" },
	  } },
	{ "little that is reported says nothing",
	  guarded,
	  { { 0, "{reported 31, reused 31} Normal 100", KICKED, "200 MiB free" } } },
	{ "the guest allocates fast",
	  with_alloc_rate,
	  {
		  { 0, "{rate 100} Normal 100", HOLD,
		    "guard alloc_rate: the guest allocates 100 MiB per second, the limit is 100 "
		    "MiB" },
		  { 4 * S, "{rate 99} Normal 100", HOLD, "guard alloc_rate: its cause is gone" },
		  { 5 * S, "{rate 99} Normal 100", KICKED, "releasing" },
	  } },
	{ "no limit, no veto",
	  guarded,
	  { { 0, "{rate 10000} Normal 100", KICKED, "200 MiB free" } } },
	{ "little is free above the low watermarks",
	  with_reserve,
	  { { 0, "{} Normal 100", HOLD,
	      "guard reserve: 128 MiB are free above the low watermarks, the reserve is 128 "
	      "MiB" } } },
	{ "just enough is free above the low watermarks",
	  with_more_than_the_reserve,
	  { { 0, "{} Normal 100", KICKED, "200 MiB free" } } },
	{ "long lists at low orders",
	  at_order_0,
	  {
		  { 0, "{} Normal@0 40001", HOLD,
		    "guard lock_time: a pass at order 0 would walk lists for about 2 ms with "
		    "interrupts off, the limit is 2 ms" },
		  { 2 * S, "{} Normal@0 40000", POLICY_RELEASE, 0, KICK, "releasing" },
	  } },
	{ "long lists at pageblock order are the kernel's own",
	  guarded,
	  { { 0, "{} Normal 100000", KICKED, "free" } } },
	{ "what is poisoned may not be released",
	  poisoned,
	  { { 0, "{} Normal 100", HOLD, "guard poison: page_poison fills free pages" } } },
	{ "guards that are off",
	  unguarded,
	  { { 0, "{psi 100, reported 100, reused 100} Normal 100", KICKED, "200 MiB free" } } },
	{ "Hyper-V: no order is raised during a pass",
	  hyperv,
	  {
		  { 0, "{} Normal 100", KICKED, "200 MiB free" },
		  { 2 * S, "{} Normal 100/100", LEAVE,
		    "guard hyperv: a pass may be under way: the order stays 9" },
		  { 7 * S, "{} Normal 100/100", LEAVE, "guard hyperv" },
		  { 8 * S, "{} Normal 100/100", HOLD, "0 B unreported at order 9+" },
	  } },
	{ "the baseline has no guards",
	  baseline,
	  { { 0, "{psi 100} Normal 100", LEAVE, "strategy kernel touches nothing" } } },
	{ "a hold is not vetoed",
	  guarded,
	  { { 0, "{psi 100} Normal 1", HOLD, "2 MiB unreported at order 9+" } } },
};

static void test_scenarios(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		run(&scenarios[i]);
}

/* Behind a veto a strategy does not take the lack of progress for a failure. */
static void test_patience(void **state)
{
	struct policy_state policy = { 0 };
	struct decision decision;
	struct snapshot snap;

	(void)state;
	reset();
	guarded();
	see(&snap, "{psi 50} Normal 100");
	for (uint64_t now = 1; now < 200; now += 2) {
		decide(&snap, now * NSEC_PER_SEC, &policy, &decision);
		assert_string_equal(decision.guard, "pressure");
		assert_int_equal(decision.kick, false);
	}
	assert_true(policy.threshold.releasing);
	assert_true(policy.threshold.kicks <= 1);
}

static void test_lock_time(void **state)
{
	struct snapshot snap;

	(void)state;
	reset();
	see(&snap, "Normal@0 1000, Normal@3 500, Normal@9 700, DMA@0 100, 1:Normal@0 1");
	assert_int_equal(policy_lock_time(&snap, 0), 1601 * 50);
	assert_int_equal(policy_lock_time(&snap, 1), 500 * 50);
	assert_int_equal(policy_lock_time(&snap, 9), 0);
	snap.zones[0].info.free_pages = 0; /* its gate is shut */
	assert_int_equal(policy_lock_time(&snap, 0), 1501 * 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_lock_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
