// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest of arm64 with pages of 64 KiB, from its files to a decision: every constant comes from
 * its kernel. It reports from order 5 (2 MiB) on, which virtio_balloon asks for there, while its
 * pageblocks are of order 13 (512 MiB).
 *
 * wrap: sysconf
 */
#include <errno.h>
#include <linux/kernel-page-flags.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/config.h"
#include "sluice/kick.h"
#include "sluice/knobs.h"
#include "sluice/observe.h"
#include "sluice/policy.h"
#include "sluice/reporting.h"
#include "sluice/units.h"

#define PAGE	  65536
#define NR_ORDERS 14
#define PAGEBLOCK 13
#define LIMIT	  5
#define START	  0x4000  /* memory begins at 1 GiB */
#define NORMAL	  0x10000 /* DMA ends at 4 GiB */
#define END	  0x14000
#define KFREE	  (1ULL << KPF_BUDDY)
#define KREPORTED (1ULL << KPF_UPTODATE)
#define EXTENT(o) ((uint64_t)PAGE << (o))

static struct fixture tree;
static uint64_t flags[END];
static struct fixture_zone zones[] = {
	{ 0, "DMA", START, NORMAL - START, NORMAL - START, 0, 700, { 0 } },
	{ 0, "Normal", NORMAL, END - NORMAL, END - NORMAL, 0, 300, { 0 } },
};

long __real_sysconf(int name);
long __wrap_sysconf(int name);

long __wrap_sysconf(int name)
{
	return name == _SC_PAGESIZE ? PAGE : __real_sysconf(name);
}

static void add_extent(struct fixture_zone *zone, uint64_t pfn, unsigned int order, bool reported)
{
	for (uint64_t i = 0; i < 1ULL << order; i++)
		flags[pfn + i] = KFREE;
	if (reported)
		flags[pfn] |= KREPORTED;
	zone->nr_free[order]++;
	zone->free += 1ULL << order;
}

static void put_zones_and_flags(void)
{
	fixture_zones(&tree, zones, ARRAY_SIZE(zones), NR_ORDERS);
	fixture_write(&tree, "proc/kpageflags", flags, sizeof(flags));
}

static int setup(void **state)
{
	(void)state;
	fixture_open(&tree);
	memset(flags, 0, sizeof(flags));
	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		memset(zones[i].nr_free, 0, sizeof(zones[i].nr_free));
		zones[i].free = 0;
	}
	add_extent(&zones[0], 0x4000, 13, true);
	add_extent(&zones[0], 0x6000, 13, false);
	add_extent(&zones[0], 0x9000, 12, false); /* the second half of a pageblock */
	add_extent(&zones[0], 0xa040, 6, false);
	add_extent(&zones[0], 0xa0a0, 5, false);
	add_extent(&zones[0], 0xa0c0, 5, true);
	add_extent(&zones[0], 0xa0f0, 4, false); /* below the limit */
	add_extent(&zones[0], 0xbfff, 0, false);
	add_extent(&zones[1], 0x10400, 10, false); /* all that is free: the gate is shut */
	put_zones_and_flags();
	fixture_put(&tree, "proc/pagetypeinfo", "Page block order: 13\nPages per block:  8192\n");
	fixture_put(&tree, "proc/sys/kernel/osrelease", "6.12.95-64k\n");
	fixture_put(&tree, "sys/devices/system/node/online", "0\n");
	fixture_put(&tree, "sys/devices/system/memory/block_size_bytes", "20000000\n");
	for (unsigned int block = 2; block < 10; block++)
		fixture_memory(&tree, block, "online");
	fixture_put(&tree, "sys/kernel/mm/transparent_hugepage/enabled", "[always]\n");
	fixture_put(&tree, KNOB_REPORTING_ORDER, "5\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

static struct observer *open_observer(void)
{
	const struct observer_options options = { .root = tree.root, .best = SOURCE_KPAGEFLAGS };
	struct observer *observer = NULL;
	struct errmsg err = { "" };

	if (observer_open(&options, &observer, &err))
		fail_msg("%s", err.text);
	return observer;
}

static void take(struct observer *observer, enum scan_depth depth, struct snapshot *snap)
{
	struct errmsg err = { "" };

	if (observer_snapshot(observer, depth, snap, &err))
		fail_msg("%s", err.text);
}

static void decide(const struct config *config, const struct snapshot *snap,
		   struct policy_state *state, struct decision *decision)
{
	const struct policy_input input = {
		.snap = snap,
		.config = config,
		.now_ns = snap->time_ns,
		.pass_delay = REPORTING_DELAY_NS,
		.acting = true,
	};

	policy_decide(&input, state, decision);
}

static void test_topology(void **state)
{
	struct observer *observer = open_observer();
	const struct topology *topology = observer_topology(observer);

	(void)state;
	assert_int_equal(topology->page_size, PAGE);
	assert_int_equal(topology->pageblock_order, PAGEBLOCK);
	assert_int_equal(topology->highest_order, NR_ORDERS - 1);
	assert_int_equal(topology->section_order, PAGEBLOCK); /* 512 MiB */
	assert_int_equal(topology->nr_sections, 10);
	assert_int_equal(topology->nr_ranges, 1);
	assert_int_equal(topology->online[0].start, START);
	assert_int_equal(topology->online[0].end, END);
	assert_int_equal(topology_online_pages(topology) * topology->page_size, 4 * GIB);
	assert_int_equal(topology_pcp_orders(topology), 0xf | 1 << PAGEBLOCK);
	assert_int_equal(observer_blocks(observer)->nr_blocks, 8);
	observer_close(observer);
}

/* Both zones, order by order, as /proc/buddyinfo has them; every page is in the map. */
static void test_zones(void **state)
{
	struct observer *observer = open_observer();
	struct map_totals totals;
	struct snapshot snap;

	(void)state;
	assert_int_equal(observer_source(observer), SOURCE_KPAGEFLAGS);
	take(observer, SCAN_FULL, &snap);
	assert_int_equal(snap.page_size, PAGE);
	assert_int_equal(snap.nr_orders, NR_ORDERS);
	assert_int_equal(snap.nr_zones, ARRAY_SIZE(zones));
	for (unsigned int z = 0; z < snap.nr_zones; z++) {
		assert_string_equal(snap.zones[z].info.name, zones[z].name);
		assert_int_equal(snap.zones[z].info.nr_orders, NR_ORDERS);
		assert_int_equal(snap.zones[z].info.start_pfn, zones[z].start_pfn);
		for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++)
			assert_int_equal(snap.zones[z].orders[o].free, zones[z].nr_free[o]);
		assert_int_equal(snap.zones[z].drift, 0);
	}
	assert_int_equal(snapshot_reported(&snap), EXTENT(13) + EXTENT(5));
	assert_int_equal(observer_map_totals(observer, &totals, NULL), 0);
	assert_int_equal(totals.map, totals.kernel);
	assert_int_equal(totals.map, zones[0].free + zones[1].free);

	take(observer, SCAN_HEADS, &snap);
	assert_int_equal(snapshot_lowest_order(&snap), PAGEBLOCK);
	assert_int_equal(snapshot_free(&snap), 2 * EXTENT(13));
	observer_close(observer);
}

/* At the limit a zone needs 64 MiB above its watermark; at pageblock order it would be 16 GiB. */
static void test_reportable(void **state)
{
	struct observer *observer = open_observer();
	struct snapshot snap;

	(void)state;
	take(observer, SCAN_FULL, &snap);
	assert_int_equal(snap.reporting_order, LIMIT);
	assert_int_equal(zone_gate_pages(&snap.zones[0].info, LIMIT) * PAGE, 64 * MIB + 700 * PAGE);
	assert_int_equal(zone_gate_pages(&snap.zones[0].info, 13) * PAGE, 16 * GIB + 700 * PAGE);
	assert_true(zone_gate_open(&snap.zones[0].info, LIMIT));
	assert_false(zone_gate_open(&snap.zones[1].info, LIMIT));
	assert_int_equal(snapshot_reportable(&snap, LIMIT, false),
			 EXTENT(13) + EXTENT(12) + EXTENT(6) + EXTENT(5));
	assert_int_equal(snapshot_reportable(&snap, PAGEBLOCK, false), 0);
	observer_close(observer);
}

/* The kernel's own order: all that it would report is released, with a kick that reaches it. */
static void test_release(void **state)
{
	struct observer *observer = open_observer();
	struct policy_state policy = { 0 };
	struct decision decision;
	struct config config;
	struct snapshot snap;
	size_t size;

	(void)state;
	config_defaults(&config);
	config.threshold.order = LIMIT;
	assert_int_equal(policy_depth(&config, &policy, observer_topology(observer), 1), SCAN_FULL);
	take(observer, SCAN_FULL, &snap);
	decide(&config, &snap, &policy, &decision);
	assert_int_equal(decision.action, POLICY_RELEASE);
	assert_int_equal(decision.order, LIMIT);
	assert_true(decision.kick);
	assert_contains(decision.reason, "all zones: 774 MiB free and unreported at order 5+");
	assert_int_equal(kick_block_size(observer_topology(observer), decision.order, &size, NULL),
			 0);
	assert_int_equal(size, 2 * MIB);

	/* the pass has taken what it can */
	flags[0x6000] |= KREPORTED;
	flags[0x9000] |= KREPORTED;
	flags[0xa040] |= KREPORTED;
	flags[0xa0a0] |= KREPORTED;
	observer_close(observer);
	put_zones_and_flags();
	observer = open_observer();
	take(observer, SCAN_FULL, &snap);
	decide(&config, &snap, &policy, &decision);
	assert_int_equal(decision.action, POLICY_HOLD);
	assert_int_equal(decision.order, NR_ORDERS); /* off */
	assert_contains(decision.reason, "done: 0 B of 774 MiB left");
	observer_close(observer);
}

/* Pageblock order is no order to report at here, and nothing pretends that it is. */
static void test_pageblock_order(void **state)
{
	struct observer *observer = open_observer();
	struct policy_state policy = { 0 };
	struct errmsg err = { "" };
	struct decision decision;
	struct config config;
	struct snapshot snap;
	size_t size;

	(void)state;
	config_defaults(&config);
	assert_int_equal(policy_depth(&config, &policy, observer_topology(observer), 1),
			 SCAN_HEADS);
	take(observer, SCAN_HEADS, &snap);
	decide(&config, &snap, &policy, &decision);
	assert_int_equal(decision.action, POLICY_HOLD);
	assert_contains(decision.reason, "0 B unreported at order 13+");
	assert_contains(decision.reason, "512 MiB behind a zone gate");
	assert_int_equal(kick_block_size(observer_topology(observer), PAGEBLOCK, &size, &err),
			 -ERANGE);
	assert_contains(err.text, "only up to 9");
	observer_close(observer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_topology, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reportable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pageblock_order, setup, teardown),
	};

	return cmocka_run_group_tests_name("pages of 64 KiB", tests, NULL, NULL);
}
