// SPDX-License-Identifier: GPL-2.0-only
/* Preparation: what is to be done, and when nothing may be; quotas of an hour. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy_fixture.h"

#define MINUTE (60 * NSEC_PER_SEC)
#define NONE   (-2) /* no compaction; -1 is of all nodes */

static struct shape shape;
static struct activity activity;

static void begin(void)
{
	reset();
	given.config.prepare = (struct config_prepare){
		.enabled = true,
		.compact = COMPACT_NODE,
		.reclaim = true,
		.bytes_per_hour = 100 * MIB,
		.time_per_hour = 5 * NSEC_PER_SEC,
		.floor = 64 * MIB,
		.min_blocks = 16,
		.pressure = 1,
		.refaults = 5,
		.backoff = 300 * NSEC_PER_SEC,
	};
	shape = (struct shape){
		.total = 1000 * MIB,
		.available = 800 * MIB,
		.cache = { .inactive = 500 * MIB, .active = 100 * MIB },
		.nr_nodes = 2,
		.nodes = { { .node = 0 }, { .node = 1 } },
	};
	activity = (struct activity){ .span_ns = 2 * NSEC_PER_SEC, .has_psi = true };
}

static struct preparation decide_at(uint64_t now_ns, const struct prepared *prepared,
				    struct prepare_state *state)
{
	const struct decision decision = { .action = POLICY_HOLD };
	const struct policy_input input = {
		.snap = &given.snap,
		.config = &given.config,
		.activity = activity,
		.shape = &shape,
		.prepared = prepared ? *prepared : (struct prepared){ .node = -1 },
		.now_ns = NSEC_PER_SEC + now_ns,
		.acting = true,
	};
	struct prepare_state again = *state;
	struct preparation preparation, other;

	prepare_decide(&input, &decision, state, &preparation);
	prepare_decide(&input, &decision, &again, &other);
	assert_memory_equal(state, &again, sizeof(again));
	assert_string_equal(preparation.reason, other.reason);
	return preparation;
}

static void expect(const struct preparation *found, uint64_t mib, int node, const char *reason)
{
	if (found->reclaim_bytes != mib * MIB || found->compact != (node != NONE) ||
	    (found->compact && found->node != node) ||
	    found->drain_lists != (mib || node != NONE) || !strstr(found->reason, reason))
		fail_msg("reclaim %" PRIu64 ", compact %d of %d, \"%s\" instead of %" PRIu64
			 " MiB, %d, \"%s\"",
			 found->reclaim_bytes, found->compact, found->node, found->reason, mib,
			 node, reason);
}

/* Almost free blocks, and pages of room. */
static void shape_node(unsigned int node, uint64_t almost_free, uint64_t room)
{
	shape.nodes[node].almost_free = almost_free;
	shape.nodes[node].room = room;
}

static void test_completable(void **state)
{
	static const struct {
		uint64_t almost_free, room, blocks;
	} rows[] = {
		{ 0, 0, 0 },
		{ 0, 100000, 0 },
		/* one block that is half free has nowhere to go */
		{ 1, 256, 0 },
		/* two that are half free make one */
		{ 2, 512, 1 },
		{ 100, 100 * 256, 50 },
		/* there is room enough in others */
		{ 100, 100 * 512, 100 },
		{ 100, 90 * 512 + 511, 90 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct node_shape node = { .almost_free = rows[i].almost_free,
						 .room = rows[i].room };

		assert_int_equal(prepare_completable(&node, 9), rows[i].blocks);
	}
}

/* Off, unknown, left to the kernel: nothing, and the reason. */
static void test_nothing(void **state)
{
	const struct decision leave = { .action = POLICY_LEAVE };
	struct policy_input input = { .snap = &given.snap, .config = &given.config };
	struct prepare_state prepare = { 0 };
	struct preparation found;

	(void)state;
	begin();
	prepare_decide(&input, &leave, &prepare, &found);
	expect(&found, 0, NONE, "memory is not known");
	input.shape = &shape;
	prepare_decide(&input, &leave, &prepare, &found);
	expect(&found, 0, NONE, "nothing is decided");
	given.config.prepare.enabled = false;
	found = decide_at(0, NULL, &prepare);
	expect(&found, 0, NONE, "off");
}

static void test_reclaim_bounds(void **state)
{
	static const struct {
		uint64_t inactive, active, available, quota; /* MiB */
		uint64_t wanted;
		const char *reason;
	} rows[] = {
		{ 500, 100, 800, 1000, 64, "64 MiB to reclaim" },
		{ 500, 100, 800, 30, 30, "30 MiB of the quota left" },
		{ 500, 100, 800, 1, 0, "0 B to reclaim" },
		{ 500, 100, 120, 1000, 56,
		  "56 MiB to reclaim" }, /* the floor of what is available */
		{ 500, 100, 99, 1000, 0, "99 MiB available, less than 100 MiB" },
		{ 40, 44, 800, 1000, 20, "20 MiB" },  /* the floor of the page cache */
		{ 10, 500, 800, 1000, 10, "10 MiB" }, /* what is active is in use */
		{ 1, 500, 800, 1000, 0, "0 B" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct prepare_state prepare = { 0 };
		struct preparation found;

		begin();
		shape.cache.inactive = rows[i].inactive * MIB;
		shape.cache.active = rows[i].active * MIB;
		shape.available = rows[i].available * MIB;
		given.config.prepare.bytes_per_hour = rows[i].quota * MIB;
		found = decide_at(0, NULL, &prepare);
		expect(&found, rows[i].wanted, NONE, rows[i].reason);
	}
}

/* Two looks have to agree, on enough; the node with most goes first. */
static void test_compaction(void **state)
{
	struct prepare_state prepare = { 0 };
	struct preparation found;

	(void)state;
	begin();
	given.config.prepare.reclaim = false;
	shape_node(0, 20, 20 * 512);
	shape_node(1, 30, 30 * 512);
	found = decide_at(0, NULL, &prepare);
	expect(&found, 0, NONE, "at most 30 blocks to complete in a node, min_blocks is 16");
	shape_node(1, 15, 15 * 512);
	found = decide_at(2 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, 0, "at most 20 blocks");
	shape_node(1, 30, 30 * 512);
	decide_at(4 * NSEC_PER_SEC, NULL, &prepare);
	found = decide_at(6 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, 1, "at most 30 blocks");
	given.config.prepare.compact = COMPACT_ALL;
	found = decide_at(8 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, -1, "at most 30 blocks");
	given.config.prepare.compact = COMPACT_OFF;
	found = decide_at(10 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, NONE, "at most 30 blocks");
}

/* A node that gained too little is left alone; one that gained enough goes on. */
static void test_backoff(void **state)
{
	const struct prepared little = { .compacted = true, .node = 0, .blocks = 15 };
	const struct prepared enough = { .compacted = true, .node = 0, .blocks = 16 };
	struct prepare_state prepare = { 0 };
	struct preparation found;
	uint64_t now = 0;

	(void)state;
	begin();
	given.config.prepare.reclaim = false;
	shape_node(0, 20, 20 * 512);
	decide_at(now, NULL, &prepare);
	found = decide_at(now += 2 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, 0, "");
	decide_at(now += 2 * NSEC_PER_SEC, &enough, &prepare);
	found = decide_at(now += 2 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, 0, "");
	decide_at(now += 2 * NSEC_PER_SEC, &little, &prepare);
	found = decide_at(now += 2 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, NONE, "");
	found = decide_at(now += 296 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, NONE, "");
	found = decide_at(now += 2 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, 0, "");
}

/* Any hour, not the hour of the clock; time as well as bytes. */
static void test_quotas(void **state)
{
	const struct prepared done = { .node = -1,
				       .reclaimed = 60 * MIB,
				       .time_ns = 3 * NSEC_PER_SEC };
	struct prepare_state prepare = { 0 };
	struct preparation found;
	uint64_t bytes, time_ns;

	(void)state;
	begin();
	found = decide_at(0, NULL, &prepare);
	expect(&found, 64, NONE, "100 MiB of the quota left");
	assert_int_equal(found.budget_ns, 200 * NSEC_PER_MSEC);
	found = decide_at(30 * MINUTE, &done, &prepare);
	expect(&found, 40, NONE, "40 MiB of the quota left");
	found = decide_at(50 * MINUTE, &done, &prepare);
	expect(&found, 0, NONE, "the time of this hour is used up: 5 s");
	found = decide_at(89 * MINUTE, NULL, &prepare);
	expect(&found, 0, NONE, "the time of this hour is used up");
	found = decide_at(90 * MINUTE, NULL, &prepare);
	expect(&found, 40, NONE, "40 MiB of the quota left");
	prepare_quota(&given.config, &prepare, NSEC_PER_SEC + 110 * MINUTE, &bytes, &time_ns);
	assert_int_equal(bytes, 100 * MIB);
	assert_int_equal(time_ns, 5 * NSEC_PER_SEC);
	found = decide_at(1000 * MINUTE, &done, &prepare);
	expect(&found, 40, NONE, "40 MiB of the quota left");
}

/* What the last compaction took has to be left of the quota. */
static void test_cost(void **state)
{
	const struct prepared slow = { .compacted = true,
				       .node = 0,
				       .blocks = 100,
				       .compact_ns = 3 * NSEC_PER_SEC,
				       .time_ns = 3 * NSEC_PER_SEC };
	struct prepare_state prepare = { 0 };
	struct preparation found;

	(void)state;
	begin();
	given.config.prepare.reclaim = false;
	shape_node(0, 20, 20 * 512);
	decide_at(0, NULL, &prepare);
	decide_at(2 * NSEC_PER_SEC, &slow, &prepare);
	found = decide_at(4 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, NONE, "at most 20 blocks"); /* 2 s left, it takes 3 s */
	found = decide_at(62 * MINUTE, NULL, &prepare);
	expect(&found, 0, 0, "at most 20 blocks");
}

static void test_interval(void **state)
{
	struct prepare_state prepare = { 0 };
	struct preparation found;

	(void)state;
	begin();
	given.config.prepare.interval = 60 * NSEC_PER_SEC;
	found = decide_at(0, NULL, &prepare);
	expect(&found, 64, NONE, "");
	found = decide_at(50 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 0, NONE, "the next in 10 s");
	found = decide_at(60 * NSEC_PER_SEC, NULL, &prepare);
	expect(&found, 64, NONE, "");
}

/* Nothing at all while the guest waits for memory, or nothing is known of it. */
static void test_brakes(void **state)
{
	static const struct {
		struct activity activity;
		const char *reason;
	} rows[] = {
		{ { .span_ns = 0 }, "the guest's load is not known yet" },
		{ { .span_ns = 1, .alloc_stalls = 3 }, "3 allocations had to reclaim" },
		{ { .span_ns = 1, .swap_ins = 7 }, "7 pages came back from swap" },
		{ { .span_ns = 1, .has_psi = true, .psi_some = 0.02 },
		  "waited for memory for 2.0 % of the time" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct prepare_state prepare = { 0 };
		struct preparation found;

		begin();
		shape_node(0, 20, 20 * 512);
		decide_at(0, NULL, &prepare);
		activity = rows[i].activity;
		found = decide_at(2 * NSEC_PER_SEC, NULL, &prepare);
		expect(&found, 0, NONE, rows[i].reason);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_completable),    cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_reclaim_bounds), cmocka_unit_test(test_compaction),
		cmocka_unit_test(test_backoff),	       cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_cost),	       cmocka_unit_test(test_interval),
		cmocka_unit_test(test_brakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
