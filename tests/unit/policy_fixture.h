/* SPDX-License-Identifier: GPL-2.0-only */
/* Tables of what is seen and when, and what is to be decided. */
#ifndef SLUICE_POLICY_FIXTURE_H
#define SLUICE_POLICY_FIXTURE_H

#include "fixture.h"
#include "policy/policy.h"
#include "sluice/units.h"

#define OPEN (UINT64_C(1) << 40) /* free pages with which every gate is open */

/* What a decision is made from, apart from the counts. */
static struct given {
	struct config config;
	struct snapshot snap;	  /* zones without counts, gates open */
	struct activity activity; /* unknown, unless a step says something of it */
	uint64_t pass_delay;
	bool acting, hyperv, poisoned;
} given;

/*
 * x86 with two nodes. 2 MiB per extent of order 9: start is 16 of them, stop is 4.
 * A pass is late after 2 s + 2 * 2 s.
 */
static void reset(void)
{
	static const struct {
		unsigned int node;
		const char *name;
	} zones[] = { { 0, "DMA" }, { 0, "DMA32" }, { 0, "Normal" }, { 1, "Normal" } };

	given = (struct given){
		.config = {
			.mode = MODE_CONTROL,
			.strategy = STRATEGY_THRESHOLD,
			.interval = 2 * NSEC_PER_SEC,
			.kick = true,
			.order_floor = 0,
			.order_ceiling = ORDER_OFF,
			.threshold = {
				.start = 32 * MIB,
				.stop = 8 * MIB,
				.min_age = NSEC_PER_SEC,
				.cooldown = 10 * NSEC_PER_SEC,
				.order = ORDER_PAGEBLOCK,
			},
		},
		.snap = {
			.depth = SCAN_HEADS,
			.source = SOURCE_BPF,
			.page_size = 4096,
			.nr_orders = 11,
			.pageblock_order = 9,
			.reporting_order = 9,
			.nr_zones = ARRAY_SIZE(zones),
		},
		.pass_delay = 2 * NSEC_PER_SEC,
		.acting = true,
	};
	for (unsigned int i = 0; i < ARRAY_SIZE(zones); i++) {
		struct sluice_zone_info *info = &given.snap.zones[i].info;

		info->node = zones[i].node;
		strcpy(info->name, zones[i].name);
		info->free_pages = OPEN;
	}
}

/* Depth of the next scan under given.config, at the start. */
static inline enum scan_depth depth_of(unsigned int pageblock_order, unsigned int highest_order)
{
	static const struct policy_state policy;
	const struct topology topology = {
		.page_size = 4096,
		.pageblock_order = pageblock_order,
		.highest_order = highest_order,
	};

	return policy_depth(&given.config, &policy, &topology, 1);
}

static inline struct config_zone *add_zone(const char *zone, int node)
{
	struct config_zone *entry = &given.config.zones[given.config.nr_zones++];

	/* values that nobody named must not count */
	*entry = (struct config_zone){ .node = node, .start = 1, .stop = 1, .min_age = 1 };
	strcpy(entry->zone, zone);
	return entry;
}

/*
 * "{rate 64, cpu 20, psi 5, reported 40, reused 30, faded 20}": the activity of the last
 * second, in MiB and percent; what is not named is 0. Returns what follows.
 */
static const char *see_activity(const char *text)
{
	struct activity *activity = &given.activity;
	unsigned int value;
	char name[16];
	int used;

	if (*text != '{')
		return text;
	*activity = (struct activity){ .span_ns = NSEC_PER_SEC, .has_psi = true };
	for (text++; *text != '}'; text += strspn(text, ", ")) {
		assert_int_equal(sscanf(text, "%15[a-z] %u%n", name, &value, &used), 2);
		text += used;
		if (!strcmp(name, "rate"))
			activity->alloc_rate = value * MIB;
		else if (!strcmp(name, "cpu"))
			activity->cpu = value / 100.0;
		else if (!strcmp(name, "psi"))
			activity->psi_some = value / 100.0;
		else if (!strcmp(name, "reported"))
			activity->reported = value * MIB;
		else if (!strcmp(name, "reused"))
			activity->reused = activity->faded = value * MIB; /* at once */
		else if (!strcmp(name, "faded"))
			activity->faded = value * MIB;
		else
			fail_msg("activity \"%s\"", name);
	}
	return text + 1 + strspn(text + 1, " ");
}

/*
 * Counts as text: "DMA32 16, 1:Normal@10 8/2/1, DMA! 3" is 16 free extents of
 * pageblock order in DMA32 of node 0; 8 of order 10 in Normal of node 1, 2 of them
 * reported and 1 young; and 3 in DMA, whose gate is shut. */
static void see(struct snapshot *snap, const char *text)
{
	*snap = given.snap;
	text = see_activity(text);
	while (*text) {
		unsigned int node = 0, order = snap->pageblock_order, i;
		struct order_count count = { 0 };
		char name[16];
		bool shut;
		int used;

		if (sscanf(text, "%u:%n", &node, &used) == 1)
			text += used;
		assert_int_equal(sscanf(text, "%15[A-Za-z0-9]%n", name, &used), 1);
		text += used;
		shut = *text == '!';
		text += shut;
		if (sscanf(text, "@%u%n", &order, &used) == 1)
			text += used;
		assert_true(sscanf(text, " %" SCNu64 "%n/%" SCNu64 "%n/%" SCNu64 "%n", &count.free,
				   &used, &count.reported, &used, &count.young, &used) >= 1);
		text += used;
		text += strspn(text, ", ");
		for (i = 0; i < snap->nr_zones; i++)
			if (snap->zones[i].info.node == node &&
			    !strcmp(snap->zones[i].info.name, name))
				break;
		assert_true(i < snap->nr_zones && order < SLUICE_MAX_ORDERS);
		snap->zones[i].orders[order] = count;
		snap->zones[i].info.nr_free[order] = count.free;
		if (order < snap->pageblock_order)
			snap->depth = SCAN_FULL;
		if (shut)
			snap->zones[i].info.free_pages = 0;
	}
}

static void assert_same(const struct decision *a, const struct decision *b)
{
	assert_int_equal(a->action, b->action);
	assert_int_equal(a->order, b->order);
	assert_int_equal(a->kick, b->kick);
	assert_int_equal(a->delay, b->delay);
	assert_string_equal(a->reason, b->reason);
}

static inline void assert_same_state(const struct policy_state *a, const struct policy_state *b)
{
	assert_memory_equal(a, b, sizeof(*a));
}

/* Decides twice, which must give the same and change nothing but the state. */
static inline void decide(const struct snapshot *snap, uint64_t now_ns, struct policy_state *state,
			  struct decision *decision)
{
	const struct policy_input input = {
		.snap = snap,
		.config = &given.config,
		.now_ns = now_ns,
		.pass_delay = given.pass_delay,
		.activity = given.activity,
		.acting = given.acting,
		.hyperv = given.hyperv,
		.poisoned = given.poisoned,
	};
	struct policy_input input_before;
	struct snapshot snap_before;
	struct config config_before;
	struct policy_state again = *state;
	struct decision other;

	/* padding and all */
	memcpy(&input_before, &input, sizeof(input));
	memcpy(&snap_before, snap, sizeof(*snap));
	memcpy(&config_before, &given.config, sizeof(given.config));
	memset(decision, 0x5a, sizeof(*decision));
	memset(&other, 0xa5, sizeof(other));
	policy_decide(&input, state, decision);
	policy_decide(&input, &again, &other);
	assert_same(decision, &other);
	assert_same_state(state, &again);
	assert_memory_equal(&input, &input_before, sizeof(input));
	assert_memory_equal(snap, &snap_before, sizeof(*snap));
	assert_memory_equal(&given.config, &config_before, sizeof(given.config));
	assert_in_range(strlen(decision->reason), 1, sizeof(decision->reason) - 2);
}

#define KICK true
#define NO   false

struct step {
	uint64_t ms;
	const char *seen;
	enum policy_action action;
	unsigned int order;
	bool kick;
	const char *reason; /* a part of it */
};

/* Most steps are one of these at order 9 and, since the ceiling is off, 11. */
#define HOLD	POLICY_HOLD, 11, NO
#define RELEASE POLICY_RELEASE, 9, NO
#define KICKED	POLICY_RELEASE, 9, KICK

struct scenario {
	const char *what;
	void (*prepare)(void);
	struct step steps[16];
};

static inline void run(const struct scenario *scenario)
{
	struct policy_state state = { 0 };

	reset();
	if (scenario->prepare)
		scenario->prepare();
	for (size_t i = 0; i < ARRAY_SIZE(scenario->steps) && scenario->steps[i].reason; i++) {
		const struct step *step = &scenario->steps[i];
		struct snapshot snap;
		struct decision decision;

		see(&snap, step->seen);
		/* a clock that has run for a while: 0 is "never" in the state */
		decide(&snap, NSEC_PER_SEC + step->ms * NSEC_PER_MSEC, &state, &decision);
		if (decision.action != step->action || decision.order != step->order ||
		    decision.kick != step->kick || !strstr(decision.reason, step->reason))
			fail_msg("%s, %" PRIu64
				 " ms: %s at %u%s, \"%s\" instead of %s at %u%s, \"%s\"",
				 scenario->what, step->ms, policy_action_name(decision.action),
				 decision.order, decision.kick ? ", kick" : "", decision.reason,
				 policy_action_name(step->action), step->order,
				 step->kick ? ", kick" : "", step->reason);
		assert_int_equal(decision.delay, 0);
	}
}

#endif
