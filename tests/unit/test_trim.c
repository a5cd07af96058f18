// SPDX-License-Identifier: GPL-2.0-only
/* Strategy trim: what goes, what stays, and when nothing may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy_fixture.h"

#define S   1000 /* ms */
#define ANY UINT64_MAX

/* What is seen of the page cache and of the load, MiB unless they say otherwise. */
struct seen {
	uint64_t ms;
	const char *extents;
	uint64_t inactive, active, read, stolen, deactivated;
	uint64_t asked, reclaimed; /* since the last decision */
	uint64_t available;
	uint64_t refaults; /* MiB */
	uint64_t stalls;
	int psi; /* percent */
	bool ages, hidden, scarce, unable;
	uint64_t old;
};

struct trim_step {
	struct seen seen;
	enum policy_action action;
	bool kick;
	uint64_t evict; /* MiB */
	uint64_t leave; /* MiB; ANY */
	const char *reason;
};

struct trim_case {
	const char *what;
	void (*prepare)(void);
	struct trim_step steps[10];
};

static void trim(void)
{
	reset();
	given.config.strategy = STRATEGY_TRIM;
	given.config.trim = (struct config_trim){
		.min_idle = 60 * NSEC_PER_SEC,
		.max_fraction = 50,
		.rate = 16 * MIB,
		.start = 32 * MIB,
		.order = ORDER_PAGEBLOCK,
	};
	given.config.prepare = (struct config_prepare){
		.floor = 64 * MIB,
		.pressure = 1,
		.refaults = 5,
		.backoff = 300 * NSEC_PER_SEC,
	};
}

static void all_of_it(void)
{
	trim();
	given.config.trim.max_fraction = 100;
	given.config.trim.rate = GIB;
}

static void without_kick(void)
{
	trim();
	given.config.kick = false;
}

static struct shape shape_of(const struct seen *seen)
{
	return (struct shape){
		.total = 1000 * MIB,
		.available = (seen->available ? seen->available : 800) * MIB,
		.cache = {
			.active = seen->active * MIB,
			.inactive = seen->inactive * MIB,
			.read = seen->read * MIB,
			.stolen = seen->stolen * MIB,
			.deactivated = seen->deactivated * MIB,
			.has_ages = seen->ages,
			.old = seen->old * MIB,
			.hidden = seen->hidden,
		},
	};
}

static struct activity load_of(const struct seen *seen)
{
	return (struct activity){
		.span_ns = 2 * NSEC_PER_SEC,
		.has_psi = true,
		.psi_some = seen->psi / 100.0,
		.refaults = seen->refaults * MIB / 4096,
		.alloc_stalls = seen->stalls,
	};
}

static void decide_on(const struct seen *seen, struct policy_state *state,
		      struct decision *decision)
{
	const struct shape shape = shape_of(seen);
	struct snapshot snap;

	see(&snap, seen->extents ? seen->extents : "");
	const struct policy_input input = {
		.snap = &snap,
		.config = &given.config,
		.activity = load_of(seen),
		.shape = &shape,
		.prepared = { .asked = seen->asked * MIB,
			      .reclaimed = seen->reclaimed * MIB,
			      .scarce = seen->scarce,
			      .unable = seen->unable },
		.now_ns = NSEC_PER_SEC + seen->ms * NSEC_PER_MSEC,
		.pass_delay = given.pass_delay,
		.acting = given.acting,
	};

	policy_decide(&input, state, decision);
}

static void run_trim(const struct trim_case *scenario)
{
	struct policy_state state = { 0 };

	scenario->prepare();
	for (size_t i = 0; i < ARRAY_SIZE(scenario->steps) && scenario->steps[i].reason; i++) {
		const struct trim_step *step = &scenario->steps[i];
		struct decision decision;

		decide_on(&step->seen, &state, &decision);
		if (decision.action != step->action || decision.kick != step->kick ||
		    decision.evict.bytes != step->evict * MIB ||
		    (step->leave != ANY && decision.evict.leave != step->leave * MIB) ||
		    !strstr(decision.reason, step->reason))
			fail_msg("%s, %" PRIu64 " ms: %s%s, evict %" PRIu64 ", leave %" PRIu64
				 ", \"%s\" instead of %s%s, %" PRIu64 " MiB, %" PRIu64
				 " MiB, \"%s\"",
				 scenario->what, step->seen.ms, policy_action_name(decision.action),
				 decision.kick ? ", kick" : "", decision.evict.bytes,
				 decision.evict.leave, decision.reason,
				 policy_action_name(step->action), step->kick ? ", kick" : "",
				 step->evict, step->leave, step->reason);
	}
}

#define NOTHING		  POLICY_HOLD, NO, 0, 0
#define EVICT(mib, leave) POLICY_HOLD, NO, mib, leave
#define RELEASED(kick)	  POLICY_RELEASE, kick, 0, 0

static const struct trim_case cases[] = {
	{ "nothing goes before it was watched for min_idle",
	  trim,
	  {
		  { { 0, .inactive = 400 }, NOTHING, "watched for 1 min first" },
		  { { 58 * S, .inactive = 400 }, NOTHING, "watched for 1 min" },
		  { { 60 * S, .inactive = 400 },
		    EVICT(32, 0),
		    "evicting: 32 MiB of 400 MiB idle for 1 min by order of arrival" },
	  } },
	{ "what came in since then stays: read from a disk",
	  all_of_it,
	  {
		  { { 0, .inactive = 400, .read = 1000 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 500, .read = 1150 },
		    EVICT(175, 150),
		    "175 MiB of 350 MiB idle" },
	  } },
	{ "what came in since then stays: from elsewhere, and after reclaim",
	  all_of_it,
	  {
		  { { 0, .inactive = 400, .active = 100, .stolen = 50 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 380, .active = 100, .stolen = 120 },
		    EVICT(165, 50),
		    "165 MiB of 330 MiB idle" },
	  } },
	{ "what was active until lately stays",
	  all_of_it,
	  {
		  { { 0, .inactive = 300, .active = 100 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 350, .active = 50, .deactivated = 50 },
		    EVICT(150, 50),
		    "150 MiB of 300 MiB idle" },
	  } },
	{ "more came in than there is: nothing is idle",
	  all_of_it,
	  {
		  { { 0, .inactive = 400 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 400, .read = 5000 },
		    EVICT(0, ANY),
		    "nothing to evict: 0 B of the page cache idle for 1 min" },
	  } },
	{ "generations tell more than the inactive list",
	  all_of_it,
	  {
		  { { 0, .inactive = 400, .ages = true, .old = 90 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 400, .ages = true, .old = 90, .read = 10 },
		    EVICT(80, 10),
		    "80 MiB of 80 MiB idle for 1 min by generation" },
	  } },
	{ "generations that can't be read are left alone",
	  all_of_it,
	  {
		  { { 0, .inactive = 400, .hidden = true }, NOTHING, "mount debugfs" },
		  { { 60 * S, .inactive = 400, .hidden = true }, NOTHING, "mount debugfs" },
	  } },
	{ "no more than max_fraction in one min_idle",
	  trim,
	  {
		  { { 0, .inactive = 100 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 100 }, EVICT(32, 0), "32 MiB of 100 MiB" },
		  { { 62 * S, .inactive = 68, .stolen = 32, .asked = 32, .reclaimed = 32 },
		    EVICT(4, 0),
		    "4 MiB of 68 MiB idle" },
		  { { 64 * S, .inactive = 50, .stolen = 50, .asked = 4, .reclaimed = 18 },
		    NOTHING,
		    "0 B of max_fraction left, no more of it than the floor" },
	  } },
	{ "the floor of the page cache stays",
	  all_of_it,
	  {
		  { { 0, .inactive = 60, .active = 20 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 60, .active = 20 },
		    EVICT(16, 0),
		    "16 MiB of 60 MiB idle" },
	  } },
	{ "nothing goes while the guest is short of memory",
	  all_of_it,
	  {
		  { { 0, .inactive = 400 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 400, .available = 99 },
		    NOTHING,
		    "nothing is evicted: 99 MiB available, less than 100 MiB" },
		  { { 62 * S, .inactive = 400, .available = 100 },
		    EVICT(200, 0),
		    "200 MiB of 400 MiB" },
	  } },
	{ "brakes: stalls, pressure, refaults",
	  all_of_it,
	  {
		  { { 0, .inactive = 400 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 400, .stalls = 1 },
		    NOTHING,
		    "1 allocations had to reclaim by themselves" },
		  { { 62 * S, .inactive = 400 }, NOTHING, "braked for another 5 min" },
		  { { 361 * S, .inactive = 400, .psi = 1 },
		    NOTHING,
		    "tasks waited for memory for 1.0 % of the time" },
		  { { 661 * S, .inactive = 400, .refaults = 500 },
		    EVICT(200, 0),
		    "200 MiB of 400 MiB" },
		  { { 663 * S, .inactive = 300, .stolen = 100, .asked = 100, .reclaimed = 100,
		      .refaults = 4 },
		    EVICT(150, ANY),
		    "evicting" },
		  { { 665 * S, .inactive = 300, .stolen = 100, .refaults = 1 },
		    NOTHING,
		    "5 MiB were read again of 100 MiB that were reclaimed" },
		  { { 964 * S, .inactive = 300, .stolen = 100 },
		    NOTHING,
		    "braked for another 1 s" },
		  { { 965 * S, .inactive = 300, .stolen = 100 }, EVICT(150, 0), "evicting" },
	  } },
	{ "less than was asked for is followed by a rest",
	  all_of_it,
	  {
		  { { 0, .inactive = 400 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 400 }, EVICT(200, 0), "evicting" },
		  { { 62 * S, .inactive = 390, .stolen = 10, .asked = 336, .reclaimed = 10,
		      .scarce = true },
		    NOTHING,
		    "the kernel found less than was asked for: a rest of 30 s" },
		  { { 92 * S, .inactive = 390, .stolen = 10 }, EVICT(195, ANY), "evicting" },
	  } },
	{ "without means nothing is asked for again and again",
	  all_of_it,
	  {
		  { { 0, .inactive = 400 }, NOTHING, "watched" },
		  { { 60 * S, .inactive = 400 }, EVICT(200, 0), "evicting" },
		  { { 62 * S, .inactive = 400, .asked = 200, .unable = true },
		    NOTHING,
		    "this kernel can't evict on request: a rest of 5 min" },
		  { { 64 * S, .inactive = 400 }, NOTHING, "can't evict on request" },
		  { { 362 * S, .inactive = 400 }, EVICT(200, 0), "evicting" },
		  { { 364 * S, .inactive = 400, .asked = 200, .scarce = true },
		    NOTHING,
		    "found less than was asked for" },
	  } },
	{ "releases what became free, until a quarter of start is left",
	  trim,
	  {
		  { { 0, .extents = "Normal 15" }, NOTHING, "30 MiB unreported at order 9+" },
		  { { 2 * S, .extents = "Normal 16" }, RELEASED(KICK), "32 MiB unreported" },
		  { { 4 * S, .extents = "Normal 16/11" }, RELEASED(NO), "10 MiB unreported" },
		  { { 6 * S, .extents = "Normal 16/12" }, NOTHING, "8 MiB unreported" },
	  } },
	{ "kicks again without progress, then waits for more",
	  trim,
	  {
		  { { 0, .extents = "Normal 20" }, RELEASED(KICK), "40 MiB" },
		  { { 6 * S, .extents = "Normal 20" }, RELEASED(KICK), "40 MiB" },
		  { { 12 * S, .extents = "Normal 20" }, RELEASED(KICK), "40 MiB" },
		  { { 18 * S, .extents = "Normal 20" }, NOTHING, "40 MiB" },
		  { { 20 * S, .extents = "Normal 35" }, NOTHING, "70 MiB" },
		  { { 22 * S, .extents = "Normal 36" }, RELEASED(KICK), "72 MiB" },
	  } },
	{ "without kicks the kernel may do it or not",
	  without_kick,
	  {
		  { { 0, .extents = "Normal 20" }, RELEASED(NO), "40 MiB" },
		  { { 6 * S, .extents = "Normal 20" }, NOTHING, "40 MiB" },
	  } },
};

static void test_trim(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("           %s\n", cases[i].what);
		run_trim(&cases[i]);
	}
}

/* What nothing is known of is left alone. */
static void test_unknown(void **state)
{
	struct policy_state policy = { 0 };
	struct decision decision;
	struct snapshot snap;

	(void)state;
	trim();
	see(&snap, "Normal 99");
	decide(&snap, NSEC_PER_SEC, &policy, &decision);
	assert_int_equal(decision.action, POLICY_LEAVE);
	assert_int_equal(decision.evict.bytes, 0);
	assert_contains(decision.reason, "the page cache is not known");
}

/* New generations are asked for only where ages are known and nothing is old. */
static void test_age(void **state)
{
	static const struct {
		struct seen seen;
		bool age;
	} rows[] = {
		{ { 60 * S, .inactive = 400, .ages = true }, true },
		{ { 60 * S, .inactive = 400, .ages = true, .old = 50 }, false },
		{ { 60 * S, .inactive = 60, .ages = true }, false }, /* the floor */
		{ { 60 * S, .inactive = 400, .ages = true, .available = 50 }, false },
		{ { 60 * S, .inactive = 400, .read = 400 }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct seen first = { .inactive = 400 };
		struct policy_state policy = { 0 };
		struct decision decision;

		trim();
		decide_on(&first, &policy, &decision);
		assert_false(decision.evict.age);
		decide_on(&rows[i].seen, &policy, &decision);
		if (decision.evict.age != rows[i].age)
			fail_msg("row %zu: age %d, %s", i, decision.evict.age, decision.reason);
	}
}

/* Another min_idle begins to watch anew; the ring of samples goes round without harm. */
static void test_samples(void **state)
{
	struct seen seen = { .inactive = 400 };
	struct policy_state policy = { 0 };
	struct decision decision = { 0 };

	(void)state;
	all_of_it();
	for (; seen.ms <= 3600 * S; seen.ms += 2 * S) {
		seen.read += 1;
		decide_on(&seen, &policy, &decision);
	}
	/* 30 looks in a minute, and at most an eighth of it more */
	assert_in_range(decision.evict.leave / MIB, 30, 34);
	given.config.trim.min_idle = 30 * NSEC_PER_SEC;
	decide_on(&seen, &policy, &decision);
	assert_contains(decision.reason, "watched for 30 s first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
