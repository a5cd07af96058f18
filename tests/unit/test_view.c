// SPDX-License-Identifier: GPL-2.0-only
/* Views of the map: runs, ages, almost free pageblocks, against sums made the slow way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/view.h"

#define BLOCK	 512U /* pages of a pageblock */
#define SECTION	 15   /* order: 64 pageblocks */
#define NOW_TICK 100000U
#define NOW	 ((uint64_t)NOW_TICK << SLUICE_TICK_SHIFT)

static struct topology topology;
static struct blockmap map;
static struct zone_snapshot zone;
static struct zone_view view;

/* One zone whose memory is these sections. */
static void make_map(const unsigned int *sections, unsigned int nr)
{
	memset(&topology, 0, sizeof(topology));
	memset(&zone, 0, sizeof(zone));
	topology.pageblock_order = 9;
	topology.section_order = SECTION;
	topology.nr_sections = sections[nr - 1] + 1;
	for (unsigned int i = 0; i < nr; i++) {
		const uint64_t start = (uint64_t)sections[i] << SECTION;
		const struct pfn_range range = { start, start + (1U << SECTION) };

		topology.online[topology.nr_ranges++] = range;
		topology.parts[topology.nr_parts++] = (struct zone_range){ range, 0 };
	}
	assert_int_equal(blockmap_alloc(&map, &topology), 0);
}

static void set(uint64_t pfn, unsigned int free_pages, bool reported, uint32_t age)
{
	struct sluice_block *block = blockmap_at(&map, pfn);

	block->free_pages = free_pages & 0x3fff;
	block->since = NOW_TICK - age;
	block->flags = free_pages < BLOCK ? 0 :
		       reported		  ? SLUICE_BLOCK_FREE | SLUICE_BLOCK_REPORTED :
					    SLUICE_BLOCK_FREE;
}

static void look(void)
{
	view_zone(&map, &topology, &zone, NOW, &view);
}

static int teardown(void **state)
{
	(void)state;
	blockmap_free(&map);
	return 0;
}

static uint64_t runs(void)
{
	uint64_t all = 0;

	for (int c = 0; c < VIEW_RUN_CLASSES; c++)
		all += view.run_count[c];
	return all;
}

static void test_nothing_free(void **state)
{
	static const unsigned int sections[] = { 0, 1 };

	(void)state;
	make_map(sections, 2);
	look();
	assert_int_equal(runs(), 0);
	assert_int_equal(view.longest_pages, 0);
}

/* Runs go on from section to section, and end at a hole. */
static void test_runs(void **state)
{
	static const unsigned int sections[] = { 0, 1, 3 };

	(void)state;
	make_map(sections, 3);
	set(62 * BLOCK, BLOCK, false, 1);
	set(63 * BLOCK, BLOCK, true, 1);
	set(64 * BLOCK, BLOCK, false, 1); /* first of section 1 */
	set(127 * BLOCK, BLOCK, false, 1);
	set(192 * BLOCK, BLOCK, false, 1); /* first of section 3, behind the hole */
	set(255 * BLOCK, BLOCK, false, 1); /* the very last */
	look();
	/* sections are parts of their own here, as at the border of zones */
	assert_int_equal(runs(), 5);
	topology.nr_parts = 2;
	topology.parts[0].pfns.end = topology.parts[1].pfns.end;
	topology.parts[1] = topology.parts[2];
	look();
	assert_int_equal(runs(), 4);
	assert_int_equal(view.longest_pages, 3 * BLOCK);
	assert_int_equal(view.longest_pfn, 62 * BLOCK);
	assert_int_equal(view.run_count[10], 1); /* 1024 to 2047 pages */
	assert_int_equal(view.run_pages[10], 3 * BLOCK);
	assert_int_equal(view.run_count[9], 3);
}

/* Bounds of size classes: a power of two opens its class. */
static void test_classes(void **state)
{
	static unsigned int sections[32 * 9];

	(void)state;
	for (unsigned int i = 0; i < 32 * 9; i++)
		sections[i] = i;
	make_map(sections, 32 * 9); /* 36 GiB */
	topology.nr_parts = 1;
	topology.parts[0].pfns.end = topology.online[32 * 9 - 1].end;
	for (uint64_t i = 0; i < 512; i++) /* 1 GiB */
		set(i * BLOCK, BLOCK, false, 1);
	for (uint64_t i = 600; i < 600 + 511; i++)
		set(i * BLOCK, BLOCK, false, 1);
	for (uint64_t i = 2000; i < 2000 + 4096; i++) /* 8 GiB: the last class has no end */
		set(i * BLOCK, BLOCK, false, 1);
	zone.orders[0].free = 7;
	zone.orders[8].free = 3;
	zone.orders[9].free = 1000; /* told by the map */
	look();
	assert_int_equal(view.run_count[18], 2);
	assert_int_equal(view.run_pages[18], (512 + 4096) * BLOCK);
	assert_int_equal(view.run_count[17], 1);
	assert_int_equal(view.run_count[0], 7);
	assert_int_equal(view.run_count[8], 3);
	assert_int_equal(view.run_pages[8], 3 * 256);
	assert_int_equal(view.run_count[9], 0);
	assert_int_equal(view.longest_pages, 4096 * BLOCK);
}

/* Buckets of time: 2^(n-1) ticks, inclusive, to 2^n, exclusive; bucket 0 below one tick. */
static void test_ages(void **state)
{
	static const unsigned int sections[] = { 0 };
	static const struct {
		uint32_t age;
		unsigned int bucket;
	} rows[] = { { 0, 0 }, { 1, 1 }, { 2, 2 }, { 3, 2 }, { 4, 3 }, { 1023, 10 }, { 1024, 11 } };

	(void)state;
	make_map(sections, 1);
	for (unsigned int i = 0; i < 7; i++) {
		memset(map.blocks, 0, map.nr_blocks * sizeof(*map.blocks));
		set(5 * BLOCK, BLOCK, false, rows[i].age);
		set(9 * BLOCK, BLOCK, true, rows[i].age);
		set(11 * BLOCK, 100, false, rows[i].age);
		look();
		assert_int_equal(view.free_blocks[rows[i].bucket], 2);
		assert_int_equal(view.reported_blocks[rows[i].bucket], 1);
		assert_int_equal(view.partial_pages[rows[i].bucket], 100);
	}
}

static void test_almost_free(void **state)
{
	static const unsigned int sections[] = { 0 };
	static const unsigned int pages[] = { 255, 256, 287, 288, 511, 512 };

	(void)state;
	make_map(sections, 1);
	for (unsigned int i = 0; i < 6; i++)
		set(i * BLOCK, pages[i], false, 1);
	look();
	assert_int_equal(view.almost_free[0], 2);
	assert_int_equal(view.almost_free[1], 1);
	assert_int_equal(view.almost_free[7], 1);
	assert_int_equal(view.almost_free_pages[0], 256 + 287);
	assert_int_equal(view.almost_free_pages[1], 288);
	assert_int_equal(view.almost_free_pages[6], 0);
	assert_int_equal(view.almost_free_pages[7], 511);
}

/* Only the parts of the zone count. */
static void test_other_zones(void **state)
{
	static const unsigned int sections[] = { 0, 1 };

	(void)state;
	make_map(sections, 2);
	topology.parts[1].zone = 1;
	for (unsigned int i = 0; i < 128; i++)
		set(i * BLOCK, BLOCK, i & 1, 1);
	look();
	assert_int_equal(view.longest_pages, 64 * BLOCK);
	zone.index = 1;
	look();
	assert_int_equal(view.longest_pfn, 64 * BLOCK);
	zone.index = 2;
	look();
	assert_int_equal(runs(), 0);
}

static void test_unusable(void **state)
{
	struct snapshot snap = { .nr_orders = 11 };

	(void)state;
	memset(&zone, 0, sizeof(zone));
	assert_true(view_unusable(&snap, &zone, 9) == 0);
	zone.orders[0].free = 1024;
	zone.orders[10].free = 3;
	assert_true(view_unusable(&snap, &zone, 0) == 0);
	assert_true(view_unusable(&snap, &zone, 1) == 0.25);
	assert_true(view_unusable(&snap, &zone, 10) == 0.25);
	zone.orders[10].free = 0;
	assert_true(view_unusable(&snap, &zone, 10) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_nothing_free, teardown),
		cmocka_unit_test_teardown(test_runs, teardown),
		cmocka_unit_test_teardown(test_classes, teardown),
		cmocka_unit_test_teardown(test_ages, teardown),
		cmocka_unit_test_teardown(test_almost_free, teardown),
		cmocka_unit_test_teardown(test_other_zones, teardown),
		cmocka_unit_test(test_unusable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
