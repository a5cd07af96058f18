// SPDX-License-Identifier: GPL-2.0-only
/* Snapshots: the gate's arithmetic, what counts as reportable, and the observer on fixture trees. */
#include <errno.h>
#include <linux/kernel-page-flags.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/knobs.h"
#include "sluice/observe.h"
#include "sluice/units.h"

/* --- gate ------------------------------------------------------------------------------------- */

/* The fewest free pages with which the kernel reports from a zone. */
static const struct gate_case {
	uint64_t low, highatomic;
	unsigned int order;
	uint64_t opens_at;
} gates[] = {
	{ 0, 0, 0, 33 },
	{ 100, 0, 0, 133 },
	{ 100, 0, 1, 165 },
	{ 0, 0, 9, 16385 }, /* 64 MiB and a page */
	{ 58, 0, 9, 16443 },
	{ 11945, 0, 9, 28330 },
	{ 11945, 512, 9, 28842 }, /* kept for atomic allocations */
	{ 11945, 0, 10, 44714 },  /* 128 MiB */
	{ 0, 0, 13, 262145 },	  /* arm64 with 64 KiB pages */
	{ 0, 0, 15, 1048577 },
	{ UINT64_MAX >> 20, UINT64_MAX >> 20, 15, 2 * (UINT64_MAX >> 20) + 1048577 },
};

static void test_gate(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(gates); i++) {
		const struct gate_case *row = &gates[i];
		struct sluice_zone_info zone = {
			.low_wmark = row->low,
			.reserved_highatomic = row->highatomic,
			.free_pages = row->opens_at,
		};

		assert_int_equal(zone_gate_pages(&zone, row->order),
				 row->opens_at - row->highatomic - 1);
		assert_true(zone_gate_open(&zone, row->order));
		zone.free_pages--;
		assert_false(zone_gate_open(&zone, row->order));
		zone.free_pages = 0;
		assert_false(zone_gate_open(&zone, row->order));
	}
}

/* Until 6.1 page_reporting_order takes any number; a gate must come of each, and stay shut. */
static void test_gate_at_odd_orders(void **state)
{
	static const unsigned int orders[] = { 16, 17, 31,  32,	   58,	      59,
					       63, 64, 127, 32767, UINT32_MAX };
	const struct sluice_zone_info zone = { .low_wmark = 7, .free_pages = 2097152 };
	struct snapshot snap = { .nr_orders = 11, .nr_zones = 1, .page_size = 4096 };

	(void)state;
	snap.zones[0].info = zone;
	snap.zones[0].orders[10].free = 512;
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		assert_true(zone_gate_pages(&zone, orders[i]) >= 32 << 16);
		assert_false(zone_gate_open(&zone, orders[i]));
		assert_int_equal(snapshot_reportable(&snap, orders[i], false), 0);
	}
	/* however much is free */
	snap.zones[0].info.free_pages = UINT64_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		assert_int_equal(snapshot_reportable(&snap, orders[i], false), 0);
}

/* --- counts ----------------------------------------------------------------------------------- */

#define OPEN 1000000 /* free pages with which the gate is open at every order */

/* Two zones of x86, gate open, and one whose gate is open at order 8, shut at 9. */
static void make_snapshot(struct snapshot *snap)
{
	*snap = (struct snapshot){
		.depth = SCAN_FULL,
		.source = SOURCE_BPF,
		.page_size = 4096,
		.nr_orders = 11,
		.pageblock_order = 9,
		.reporting_order = 9,
		.nr_zones = 3,
		.zones = {
			{ .info = { .name = "DMA32", .free_pages = OPEN } },
			{ .info = { .name = "Normal", .free_pages = OPEN } },
			{ .info = { .name = "DMA", .low_wmark = 10, .free_pages = 16394 } },
		},
	};
	snap->zones[0].orders[0] = (struct order_count){ 1000, 0, 0 };
	snap->zones[0].orders[8] = (struct order_count){ 7, 2, 0 };
	snap->zones[0].orders[9] = (struct order_count){ 20, 5, 4 };
	snap->zones[0].orders[10] = (struct order_count){ 100, 60, 39 };
	snap->zones[1].orders[9] = (struct order_count){ 3, 0, 3 };
	snap->zones[1].orders[10] = (struct order_count){ 8, 8, 0 };
	snap->zones[2].orders[8] = (struct order_count){ 1, 0, 0 };
	snap->zones[2].orders[9] = (struct order_count){ 4, 1, 1 };
	/* beyond the highest order: never looked at */
	for (unsigned int z = 0; z < 3; z++)
		snap->zones[z].orders[11] = (struct order_count){ 1000, 0, 0 };
	snap->zones[3].orders[10] = (struct order_count){ 1000, 0, 0 };
	snap->zones[3].info.free_pages = OPEN;
}

static const struct reportable_case {
	enum scan_depth depth;
	unsigned int order;
	uint64_t kib[3], ripe_kib[3]; /* zone by zone */
} reportables[] = {
	{ SCAN_FULL,
	  0,
	  { 4 * 1000 + 1024 * 5 + 2048 * 15 + 4096 * 40, 2048 * 3, 1024 + 2048 * 3 },
	  { 4 * 1000 + 1024 * 5 + 2048 * 11 + 4096 * 1, 0, 1024 + 2048 * 2 } },
	{ SCAN_FULL,
	  1,
	  { 1024 * 5 + 2048 * 15 + 4096 * 40, 2048 * 3, 1024 + 2048 * 3 },
	  { 1024 * 5 + 2048 * 11 + 4096 * 1, 0, 1024 + 2048 * 2 } },
	{ SCAN_FULL,
	  8,
	  { 1024 * 5 + 2048 * 15 + 4096 * 40, 2048 * 3, 1024 + 2048 * 3 },
	  { 1024 * 5 + 2048 * 11 + 4096 * 1, 0, 1024 + 2048 * 2 } },
	{ SCAN_FULL, 9, { 2048 * 15 + 4096 * 40, 2048 * 3, 0 }, { 2048 * 11 + 4096, 0, 0 } },
	{ SCAN_FULL, 10, { 4096 * 40, 0, 0 }, { 4096, 0, 0 } },
	{ SCAN_FULL, 11, { 0, 0, 0 }, { 0, 0, 0 } },
	{ SCAN_FULL, 15, { 0, 0, 0 }, { 0, 0, 0 } },
	/* heads know nothing below a pageblock, though the limit lies there */
	{ SCAN_HEADS,
	  0,
	  { 2048 * 15 + 4096 * 40, 2048 * 3, 2048 * 3 },
	  { 2048 * 11 + 4096, 0, 2048 * 2 } },
	{ SCAN_HEADS,
	  8,
	  { 2048 * 15 + 4096 * 40, 2048 * 3, 2048 * 3 },
	  { 2048 * 11 + 4096, 0, 2048 * 2 } },
	{ SCAN_HEADS, 9, { 2048 * 15 + 4096 * 40, 2048 * 3, 0 }, { 2048 * 11 + 4096, 0, 0 } },
	{ SCAN_HEADS, 10, { 4096 * 40, 0, 0 }, { 4096, 0, 0 } },
};

static void test_reportable(void **state)
{
	struct snapshot snap;

	(void)state;
	make_snapshot(&snap);
	for (size_t i = 0; i < ARRAY_SIZE(reportables); i++) {
		const struct reportable_case *row = &reportables[i];
		uint64_t all = 0, ripe = 0;

		snap.depth = row->depth;
		for (unsigned int z = 0; z < 3; z++) {
			const struct zone_snapshot *zone = &snap.zones[z];

			assert_int_equal(zone_reportable(&snap, zone, row->order, false),
					 row->kib[z] * KIB);
			assert_int_equal(zone_reportable(&snap, zone, row->order, true),
					 row->ripe_kib[z] * KIB);
			all += row->kib[z] * KIB;
			ripe += row->ripe_kib[z] * KIB;
		}
		assert_int_equal(snapshot_reportable(&snap, row->order, false), all);
		assert_int_equal(snapshot_reportable(&snap, row->order, true), ripe);
	}
}

/* One more page opens the third zone's gate. */
static void test_reportable_at_the_gate(void **state)
{
	struct snapshot snap;

	(void)state;
	make_snapshot(&snap);
	assert_int_equal(zone_reportable(&snap, &snap.zones[2], 9, false), 0);
	snap.zones[2].info.free_pages++;
	assert_int_equal(zone_reportable(&snap, &snap.zones[2], 9, false), 6 * MIB);
	assert_int_equal(zone_reportable(&snap, &snap.zones[2], 9, true), 4 * MIB);
	snap.zones[2].info.reserved_highatomic = 1;
	assert_int_equal(zone_reportable(&snap, &snap.zones[2], 9, false), 0);
}

static void test_page_size(void **state)
{
	struct snapshot snap;

	(void)state;
	make_snapshot(&snap);
	snap.page_size = 65536;
	snap.pageblock_order = 10;
	assert_int_equal(snapshot_reportable(&snap, 10, false), 40 * 64 * MIB);
	snap.depth = SCAN_HEADS;
	assert_int_equal(snapshot_lowest_order(&snap), 10);
	assert_int_equal(snapshot_reportable(&snap, 9, false), 40 * 64 * MIB);
	assert_int_equal(snapshot_free(&snap), 108 * 64 * MIB);
}

static void test_totals(void **state)
{
	struct snapshot snap;

	(void)state;
	make_snapshot(&snap);
	assert_int_equal(snapshot_lowest_order(&snap), 0);
	assert_int_equal(snapshot_free(&snap), (4000 + 8 * 1024 + 27 * 2048 + 108 * 4096) * KIB);
	assert_int_equal(snapshot_reported(&snap), (2 * 1024 + 6 * 2048 + 68 * 4096) * KIB);
	snap.depth = SCAN_HEADS;
	assert_int_equal(snapshot_lowest_order(&snap), 9);
	assert_int_equal(snapshot_free(&snap), (27 * 2048 + 108 * 4096) * KIB);
	assert_int_equal(snapshot_reported(&snap), (6 * 2048 + 68 * 4096) * KIB);
	snap.nr_zones = 0;
	assert_int_equal(snapshot_free(&snap), 0);
	assert_int_equal(snapshot_reported(&snap), 0);
	assert_int_equal(snapshot_reportable(&snap, 0, false), 0);
}

/* What the kernel could report at the live limit: zone 0 (open) and zone 2 (open below 9). */
static const struct now_case {
	int reporting_order;
	unsigned int order;
	uint64_t open, shut;
} now_cases[] = {
	{ -1, 0, 0, 0 },     { -1, 9, 0, 0 },	     { -1, 10, 0, 0 },	      { 0, 0, 1000, 0 },
	{ 0, 8, 5, 1 },	     { 0, 10, 40, 0 },	     { 8, 7, 0, 0 },	      { 8, 8, 5, 1 },
	{ 8, 9, 15, 3 },     { 8, 10, 40, 0 },	     { 9, 0, 0, 0 },	      { 9, 8, 0, 0 },
	{ 9, 9, 15, 0 },     { 9, 10, 40, 0 },	     { 10, 8, 0, 0 },	      { 10, 9, 0, 0 },
	{ 10, 10, 40, 0 },   { 11, 8, 0, 0 },	     { 11, 9, 0, 0 },	      { 11, 10, 0, 0 },
	{ 32767, 10, 0, 0 }, { INT32_MAX, 0, 0, 0 }, { INT32_MIN, 10, 0, 0 },
};

static void test_reportable_now(void **state)
{
	struct snapshot snap;

	(void)state;
	make_snapshot(&snap);
	for (size_t i = 0; i < ARRAY_SIZE(now_cases); i++) {
		const struct now_case *row = &now_cases[i];

		snap.reporting_order = row->reporting_order;
		if (order_reportable_now(&snap, &snap.zones[0], row->order) != row->open ||
		    order_reportable_now(&snap, &snap.zones[2], row->order) != row->shut)
			fail_msg("limit %d, order %u", row->reporting_order, row->order);
	}
	/* however much is free */
	snap.zones[0].info.free_pages = UINT64_MAX;
	snap.reporting_order = -1;
	assert_int_equal(order_reportable_now(&snap, &snap.zones[0], 9), 0);
	snap.reporting_order = 9;
	snap.source = SOURCE_KPAGEFLAGS;
	assert_int_equal(order_reportable_now(&snap, &snap.zones[0], 9), 15);
	snap.source = SOURCE_BUDDYINFO;
	assert_int_equal(order_reportable_now(&snap, &snap.zones[0], 9), 0);
}

/* Without knowing what is reported, nothing is reportable. */
static void test_buddyinfo_source(void **state)
{
	struct snapshot snap;

	(void)state;
	make_snapshot(&snap);
	snap.source = SOURCE_BUDDYINFO;
	for (unsigned int order = 0; order < 12; order++) {
		assert_int_equal(snapshot_reportable(&snap, order, false), 0);
		assert_int_equal(snapshot_reportable(&snap, order, true), 0);
	}
	assert_int_equal(snapshot_free(&snap), (4000 + 8 * 1024 + 27 * 2048 + 108 * 4096) * KIB);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(scan_source_name(SOURCE_BPF), "bpf");
	assert_string_equal(scan_source_name(SOURCE_KPAGEFLAGS), "kpageflags");
	assert_string_equal(scan_source_name(SOURCE_BUDDYINFO), "buddyinfo");
	assert_string_equal(scan_depth_name(SCAN_HEADS), "heads");
	assert_string_equal(scan_depth_name(SCAN_FULL), "full");
}

/* --- the observer on a fixture tree ------------------------------------------------------------ */

/*
 * One memory block of 128 MiB: DMA up to pfn 4096, Normal behind it. Orders 8, 9
 * and 10 are in both, some extents are reported.
 */
#define PAGES	  32768
#define DMA_END	  4096
#define KFREE	  (1ULL << KPF_BUDDY)
#define KREPORTED (1ULL << KPF_UPTODATE)

static struct fixture tree;
static uint64_t flags[PAGES];
static struct fixture_zone two_zones[] = {
	{ 0, "DMA", 1, DMA_END - 1, DMA_END - 1, 2816, 10, { 0 } },
	{ 0, "Normal", DMA_END, PAGES - DMA_END, PAGES - DMA_END, 20000, 20, { 0 } },
};

static void add_extent(struct fixture_zone *zone, uint64_t pfn, unsigned int order, bool reported)
{
	for (uint64_t i = 0; i < 1ULL << order; i++)
		flags[pfn + i] = KFREE;
	if (reported)
		flags[pfn] |= KREPORTED;
	zone->nr_free[order]++;
}

/* In place: the observer holds the file open. */
static void put_flags(void)
{
	int fd = openat(tree.root, "proc/kpageflags", O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, flags, sizeof(flags), 0), sizeof(flags));
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	fixture_open(&tree);
	memset(flags, 0, sizeof(flags));
	memset(two_zones[0].nr_free, 0, sizeof(two_zones[0].nr_free));
	memset(two_zones[1].nr_free, 0, sizeof(two_zones[1].nr_free));
	add_extent(&two_zones[0], 256, 8, false);
	add_extent(&two_zones[0], 1024, 10, true);
	add_extent(&two_zones[0], 2560, 9, false);
	add_extent(&two_zones[0], 3072, 10, false); /* up to the zone's end */
	add_extent(&two_zones[1], 4096, 10, false); /* one with it but for the zone */
	add_extent(&two_zones[1], 6144, 10, true);
	add_extent(&two_zones[1], 8192, 10, false);
	add_extent(&two_zones[1], 10240, 9, true);
	add_extent(&two_zones[1], 12288, 9, false);
	add_extent(&two_zones[1], 14336, 3, true);
	fixture_zones(&tree, two_zones, 2, 11);
	fixture_write(&tree, "proc/kpageflags", flags, sizeof(flags));
	fixture_put(&tree, "proc/pagetypeinfo", "Page block order: 9\nPages per block:  512\n");
	fixture_put(&tree, "proc/sys/kernel/osrelease", "6.1.0\n");
	fixture_put(&tree, "sys/devices/system/memory/block_size_bytes", "8000000\n");
	fixture_memory(&tree, 0, "online");
	fixture_put(&tree, KNOB_REPORTING_ORDER, "9\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

static struct observer *open_observer(enum scan_source best)
{
	const struct observer_options options = { .root = tree.root, .events = true, .best = best };
	struct observer *observer = NULL;
	struct errmsg err = { "" };

	if (observer_open(&options, &observer, &err))
		fail_msg("%s", err.text);
	return observer;
}

/* "2/1/0" free, reported and young extents. */
static void check_counts(const struct snapshot *snap, unsigned int zone, unsigned int order,
			 const char *expected)
{
	const struct order_count *count = &snap->zones[zone].orders[order];
	char text[64];

	snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64 "/%" PRIu64, count->free,
		 count->reported, count->young);
	if (strcmp(text, expected))
		fail_msg("zone %u, order %u: %s instead of %s", zone, order, text, expected);
}

static void test_observer_kpageflags(void **state)
{
	struct observer *observer = open_observer(SOURCE_BPF);
	struct sluice_event_counters events;
	struct snapshot snap;

	(void)state;
	assert_int_equal(observer_source(observer), SOURCE_KPAGEFLAGS);
	assert_contains(observer_note(observer, 0), "No BPF: /sys/kernel/btf/vmlinux is missing");
	assert_null(observer_note(observer, 1));
	assert_null(observer_note(observer, OBSERVER_MAX_NOTES));
	assert_false(observer_has_events(observer));
	memset(&events, 0x55, sizeof(events));
	observer_events(observer, &events);
	assert_int_equal(events.allocs + events.drains + events.reused, 0);
	assert_int_equal(observer_topology(observer)->nr_sections, 1);
	assert_int_equal(observer_blocks(observer)->nr_blocks, PAGES / 512);

	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, NULL), 0);
	assert_int_equal(snap.source, SOURCE_KPAGEFLAGS);
	assert_int_equal(snap.depth, SCAN_FULL);
	assert_int_equal(snap.nr_zones, 2);
	assert_int_equal(snap.nr_orders, 11);
	assert_int_equal(snap.pageblock_order, 9);
	assert_int_equal(snap.page_size, sysconf(_SC_PAGESIZE));
	assert_int_equal(snap.reporting_order, 9);
	assert_true(snap.time_ns > 0 && snap.cost_ns > 0 && snap.probes >= PAGES / 1024);
	check_counts(&snap, 0, 8, "1/0/0");
	check_counts(&snap, 0, 9, "1/0/0");
	check_counts(&snap, 0, 10, "2/1/0");
	check_counts(&snap, 1, 3, "1/1/0");
	check_counts(&snap, 1, 9, "2/1/0");
	check_counts(&snap, 1, 10, "3/1/0");
	assert_int_equal(snap.zones[0].drift, 0);
	assert_int_equal(snap.zones[1].drift, 0);
	assert_string_equal(snap.zones[1].info.name, "Normal");
	assert_int_equal(snap.zones[1].info.low_wmark, 20);

	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	assert_int_equal(snap.depth, SCAN_HEADS);
	check_counts(&snap, 0, 8, "0/0/0");
	check_counts(&snap, 0, 10, "2/1/0");
	check_counts(&snap, 1, 3, "0/0/0");
	check_counts(&snap, 1, 9, "2/1/0");
	/* of the orders that were scanned */
	assert_int_equal(snap.zones[0].drift, 0);
	observer_close(observer);
	observer_close(NULL);
}

/* Extents that come and go between two scans show as drift until the lists agree. */
static void test_observer_drift(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS);
	struct snapshot snap;

	(void)state;
	add_extent(&two_zones[1], 20480, 9, false); /* free, says the memory map */
	put_flags();
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	assert_int_equal(snap.zones[0].drift, 0);
	assert_int_equal(snap.zones[1].drift, 512);
	two_zones[0].nr_free[9]++; /* free, say the lists */
	two_zones[0].nr_free[8]++; /* no order that is scanned */
	fixture_zones(&tree, two_zones, 2, 11);
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	assert_int_equal(snap.zones[0].drift, -512);
	assert_int_equal(snap.zones[1].drift, 0);
	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, NULL), 0);
	assert_int_equal(snap.zones[0].drift, -512 - 256);
	observer_close(observer);
}

static void test_observer_young(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS);
	const uint64_t hour = 3600 * NSEC_PER_SEC;
	struct snapshot snap;

	(void)state;
	observer_set_min_age(observer, 0, "Normal", hour);
	observer_set_min_age(observer, 1, "DMA", hour); /* another node's */
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	check_counts(&snap, 0, 9, "1/0/0");
	check_counts(&snap, 0, 10, "2/1/0");
	check_counts(&snap, 1, 9, "2/1/1");
	check_counts(&snap, 1, 10, "3/1/2");
	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, NULL), 0);
	check_counts(&snap, 1, 3, "1/1/0"); /* no ages below a pageblock */
	check_counts(&snap, 1, 10, "3/1/2");
	/* what was young is old enough for another limit, and for none */
	observer_set_min_age(observer, 0, "DMA", hour);
	observer_set_min_age(observer, 0, "Normal", 0);
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	check_counts(&snap, 0, 9, "1/0/1");
	check_counts(&snap, 0, 10, "2/1/1");
	check_counts(&snap, 1, 9, "2/1/0");
	check_counts(&snap, 1, 10, "3/1/0");
	observer_close(observer);
}

/* A block's age begins when it is first seen free, ends when it is not. */
static void test_observer_age(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS);
	const struct blockmap *map = observer_blocks(observer);
	struct snapshot snap;
	uint32_t since;

	(void)state;
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	since = blockmap_at(map, 8192)->since;
	usleep(40000); /* two ticks and a half */
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	assert_int_equal(blockmap_at(map, 8192)->since, since);
	assert_true(blockmap_age(blockmap_at(map, 8192), snap.time_ns) >= 30000000);
	observer_set_min_age(observer, 0, "Normal", 30000000);
	add_extent(&two_zones[1], 16384, 10, false);
	add_extent(&two_zones[1], 18432, 10, true);
	fixture_zones(&tree, two_zones, 2, 11);
	put_flags();
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	check_counts(&snap, 1, 10, "5/2/1"); /* the new one alone that is not reported */
	memset(&flags[8192], 0, 1024 * sizeof(flags[0]));
	put_flags();
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	assert_int_equal(blockmap_age(blockmap_at(map, 8192), snap.time_ns), 0);
	observer_close(observer);
}

/* What the map had wrong, zone by zone; the first scan fills it and finds nothing wrong. */
static void test_observer_repairs(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS);
	struct zone_repairs none = { 0, 0, 0 };
	struct snapshot snap;

	(void)state;
	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, NULL), 0);
	assert_memory_equal(&snap.zones[0].repairs, &none, sizeof(none));
	assert_memory_equal(&snap.zones[1].repairs, &none, sizeof(none));
	assert_int_equal(snap.zones[0].index, 0);
	assert_int_equal(snap.zones[1].index, 1);
	memset(&flags[8192], 0, 100 * sizeof(flags[0])); /* of a free block, 100 pages */
	memset(&flags[14336], 0, 8 * sizeof(flags[0]));	 /* of one in use, its 8 */
	add_extent(&two_zones[1], 20480, 8, false);
	put_flags();
	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, NULL), 0);
	assert_memory_equal(&snap.zones[0].repairs, &none, sizeof(none));
	assert_int_equal(snap.zones[1].repairs.wrong_blocks, 3);
	assert_int_equal(snap.zones[1].repairs.not_free, 1);
	assert_int_equal(snap.zones[1].repairs.largest_error, 256);
	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, NULL), 0);
	assert_memory_equal(&snap.zones[1].repairs, &none, sizeof(none));
	/* heads see the block that is no longer free, and make its record right */
	memset(&flags[3072], 0, sizeof(flags[0]));
	put_flags();
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	assert_int_equal(snap.zones[0].repairs.wrong_blocks, 1);
	assert_int_equal(snap.zones[0].repairs.not_free, 1);
	assert_int_equal(snap.zones[0].repairs.largest_error, 1);
	assert_int_equal(blockmap_at(observer_blocks(observer), 3072)->free_pages, 511);
	observer_close(observer);
}

static void test_observer_buddyinfo(void **state)
{
	struct observer *observer = open_observer(SOURCE_BUDDYINFO);
	struct snapshot snap;

	(void)state;
	assert_int_equal(observer_source(observer), SOURCE_BUDDYINFO);
	assert_null(observer_note(observer, 0));
	observer_set_min_age(observer, 0, "Normal", 3600 * NSEC_PER_SEC);
	/* all is known at once, whatever was asked for */
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
	assert_int_equal(snap.depth, SCAN_FULL);
	assert_int_equal(snap.source, SOURCE_BUDDYINFO);
	assert_int_equal(snap.probes, 0);
	check_counts(&snap, 0, 8, "1/0/0");
	check_counts(&snap, 0, 10, "2/0/0");
	check_counts(&snap, 1, 3, "1/0/0");
	check_counts(&snap, 1, 10, "3/0/0");
	assert_int_equal(snap.zones[1].drift, 0);
	observer_close(observer);
}

/* The records against the lists: the full scan makes them equal, changes in the lists show. */
static void test_observer_map_totals(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS);
	struct map_totals totals = { 1, 2 };
	struct errmsg err = { "" };
	struct snapshot snap;

	(void)state;
	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, &err), 0);
	assert_int_equal(observer_map_totals(observer, &totals, &err), 0);
	assert_int_equal(totals.map, 6920);
	assert_int_equal(totals.kernel, 6920);
	two_zones[0].nr_free[10]--;
	two_zones[1].nr_free[0] += 7;
	fixture_zones(&tree, two_zones, 2, 11);
	assert_int_equal(observer_map_totals(observer, &totals, &err), 0);
	assert_int_equal(totals.map, 6920);
	assert_int_equal(totals.kernel, 6920 - 1024 + 7);
	fixture_remove(&tree, "proc/buddyinfo");
	assert_int_equal(observer_map_totals(observer, &totals, &err), -ENOENT);
	assert_int_equal(totals.map, 6920);
	observer_close(observer);
	fixture_zones(&tree, two_zones, 2, 11);
	observer = open_observer(SOURCE_BUDDYINFO);
	assert_int_equal(observer_map_totals(observer, &totals, &err), -ENODATA);
	observer_close(observer);
}

/* A last block that is cut short by the end of memory is counted as well. */
static void test_observer_map_end(void **state)
{
	struct observer *observer;
	struct map_totals totals;
	struct snapshot snap;

	(void)state;
	two_zones[1].spanned = two_zones[1].present -= 33; /* as QEMU's memory below 4 GiB */
	add_extent(&two_zones[1], 32704, 4, false);
	fixture_zones(&tree, two_zones, 2, 11);
	put_flags();
	two_zones[1].spanned = two_zones[1].present += 33;
	observer = open_observer(SOURCE_KPAGEFLAGS);
	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, NULL), 0);
	assert_int_equal(observer_map_totals(observer, &totals, NULL), 0);
	assert_int_equal(totals.map, 6936);
	assert_int_equal(totals.kernel, 6936);
	observer_close(observer);
}

/* Down to the totals where /proc/kpageflags is missing, or says something else than the lists. */
static void test_observer_steps_down(void **state)
{
	struct observer *observer;

	(void)state;
	/* 6968 pages are free: the sum may be wrong by 6968 / 200 + 512 */
	add_extent(&two_zones[1], 14400, 4, false);
	add_extent(&two_zones[1], 14464, 5, false);
	fixture_zones(&tree, two_zones, 2, 11);
	for (unsigned int i = 0; i < 546; i++)
		flags[24576 + 2 * i] = KFREE;
	put_flags();
	observer = open_observer(SOURCE_KPAGEFLAGS);
	assert_int_equal(observer_source(observer), SOURCE_KPAGEFLAGS);
	observer_close(observer);

	flags[24576 + 2 * 546] = KFREE;
	put_flags();
	observer = open_observer(SOURCE_KPAGEFLAGS);
	assert_int_equal(observer_source(observer), SOURCE_BUDDYINFO);
	assert_contains(observer_note(observer, 1),
			"/proc/kpageflags is not used: its sum differs from the kernel's by 547 of "
			"6968 free pages");
	observer_close(observer);

	fixture_remove(&tree, "proc/kpageflags");
	observer = open_observer(SOURCE_BPF);
	assert_int_equal(observer_source(observer), SOURCE_BUDDYINFO);
	assert_contains(observer_note(observer, 0), "No BPF");
	assert_contains(observer_note(observer, 1),
			"/proc/kpageflags is not used: /proc/kpageflags");
	assert_null(observer_note(observer, 2));
	observer_close(observer);
}

/* The live order limit by kernel and knob. */
static const struct limit_case {
	const char *osrelease, *knob; /* NULL: no such file */
	bool module;		      /* /sys/module/page_reporting is there */
	int limit;
} limits[] = {
	{ "5.10.0\n", NULL, false, 9 }, /* no knob yet: always pageblock_order */
	{ "5.13.0\n", NULL, false, 9 },
	{ "5.14.0\n", NULL, false, -1 }, /* CONFIG_PAGE_REPORTING is off */
	{ "7.3.0\n", NULL, false, -1 },
	{ "6.12.0\n", NULL, true, -1 },
	{ "6.12.0\n", "-1\n", true, -1 }, /* no driver has registered */
	{ "6.12.0\n", "-3\n", true, -1 },
	{ "6.12.0\n", "0\n", true, 0 },
	{ "6.12.0\n", "9\n", true, 9 },
	{ "6.12.0\n", "10\n", true, 10 },
	{ "6.1.0\n", "11\n", true, 11 }, /* off */
	{ "6.1.0\n", "32767\n", true, 32767 },
	{ "6.1.0\n", "32768\n", true, 32767 }, /* any number is taken, and is off, not "none" */
	{ "6.1.0\n", "4294967295\n", true, 32767 },
	{ "6.1.0\n", "nine\n", true, -1 },
	{ "6.1.0\n", "", true, -1 },
};

static void test_observer_limit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct observer *observer;
		struct snapshot snap;

		fixture_remove(&tree, "sys/module");
		if (limits[i].module)
			fixture_mkdir(&tree, "sys/module/page_reporting");
		if (limits[i].knob)
			fixture_put(&tree, KNOB_REPORTING_ORDER, limits[i].knob);
		fixture_put(&tree, "proc/sys/kernel/osrelease", limits[i].osrelease);
		observer = open_observer(SOURCE_BUDDYINFO);
		assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, NULL), 0);
		if (snap.reporting_order != limits[i].limit)
			fail_msg("row %zu: %d", i, snap.reporting_order);
		observer_close(observer);
	}
}

/* A snapshot that fails leaves the last one as it was. */
static void test_observer_fails(void **state)
{
	const struct observer_options options = { .root = tree.root, .best = SOURCE_BPF };
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS), *none = NULL;
	struct snapshot snap, before;
	struct errmsg err = { "" };

	(void)state;
	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, &err), 0);
	memcpy(&before, &snap, sizeof(snap));
	fixture_remove(&tree, "proc/zoneinfo");
	assert_int_equal(observer_snapshot(observer, SCAN_HEADS, &snap, &err), -ENOENT);
	assert_contains(err.text, "/proc/zoneinfo");
	assert_memory_equal(&snap, &before, sizeof(snap));
	observer_close(observer);
	/* nor is there an observer without the totals */
	assert_int_equal(observer_open(&options, &none, &err), -ENOENT);
	assert_contains(err.text, "/proc/zoneinfo");
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_gate_at_odd_orders),
		cmocka_unit_test(test_reportable),
		cmocka_unit_test(test_reportable_at_the_gate),
		cmocka_unit_test(test_page_size),
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_reportable_now),
		cmocka_unit_test(test_buddyinfo_source),
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_observer_kpageflags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_drift, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_young, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_age, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_repairs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_buddyinfo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_map_totals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_map_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_steps_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
