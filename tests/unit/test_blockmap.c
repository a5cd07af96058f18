// SPDX-License-Identifier: GPL-2.0-only
/* The free-extent map: which record belongs to a page, how records are replaced, and their age. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/blockmap.h"

#define FREE	 SLUICE_BLOCK_FREE
#define REPORTED SLUICE_BLOCK_REPORTED
#define COUNTED	 SLUICE_BLOCK_COUNTED
#define TICK	 (UINT64_C(1) << SLUICE_TICK_SHIFT)

/* --- index ------------------------------------------------------------------------------------ */

static const struct layout {
	const char *what;
	unsigned int pageblock_order, section_order, nr_sections;
	unsigned int sections[8]; /* online, ascending, then 0 */
	unsigned int nr_online;
} layouts[] = {
	{ "x86: 64 pageblocks per section", 9, 15, 8, { 0, 1, 2, 3, 4, 5, 6, 7 }, 8 },
	{ "holes at the start, between and alone", 9, 15, 8, { 1, 2, 4, 7 }, 4 },
	{ "the last section alone", 9, 15, 100, { 99 }, 1 },
	{ "arm64: one pageblock per section", 13, 13, 6, { 0, 2, 3, 5 }, 4 },
	{ "blocks of 2 GiB", 9, 19, 5, { 0, 4 }, 2 },
	{ "pageblocks of one page", 0, 3, 4, { 0, 3 }, 2 },
	{ "nothing online", 9, 15, 4, { 0 }, 0 },
	{ "nothing at all", 9, 15, 0, { 0 }, 0 },
};

static void make_topology(const struct layout *layout, struct topology *topology)
{
	*topology = (struct topology){
		.pageblock_order = layout->pageblock_order,
		.section_order = layout->section_order,
		.nr_sections = layout->nr_sections,
	};
	for (unsigned int i = 0; i < layout->nr_online; i++) {
		const uint64_t start = (uint64_t)layout->sections[i] << layout->section_order;
		const uint64_t end = start + (UINT64_C(1) << layout->section_order);
		struct pfn_range *last = &topology->online[topology->nr_ranges];

		if (topology->nr_ranges && last[-1].end == start)
			last[-1].end = end;
		else
			topology->online[topology->nr_ranges++] = (struct pfn_range){ start, end };
	}
}

/* The index of a page's record, worked out the slow way; -1: none. */
static int64_t record_of(const struct layout *layout, uint64_t pfn)
{
	for (unsigned int i = 0; i < layout->nr_online; i++) {
		const uint64_t start = (uint64_t)layout->sections[i] << layout->section_order;
		const uint64_t pages = UINT64_C(1) << layout->section_order;

		if (pfn >= start && pfn < start + pages)
			return (int64_t)((i * pages + pfn - start) /
					 (1U << layout->pageblock_order));
	}
	return -1;
}

static void check_page(const struct blockmap *map, const struct layout *layout, uint64_t pfn)
{
	const struct sluice_block *block = blockmap_at(map, pfn);
	const int64_t record = record_of(layout, pfn);

	if (record < 0 ? block != NULL : block != &map->blocks[record])
		fail_msg("%s: wrong record for pfn %#" PRIx64, layout->what, pfn);
}

static void check_layout(const struct layout *layout)
{
	const uint64_t block = UINT64_C(1) << layout->pageblock_order;
	struct topology topology;
	struct blockmap map;

	make_topology(layout, &topology);
	assert_int_equal(blockmap_alloc(&map, &topology), 0);
	assert_int_equal(blockmap_records(&topology),
			 (uint64_t)layout->nr_online
				 << (layout->section_order - layout->pageblock_order));
	assert_int_equal(map.nr_blocks, blockmap_records(&topology));
	assert_int_equal(map.nr_sections, layout->nr_sections);
	for (uint32_t i = 0; i < map.nr_blocks; i++) {
		assert_int_equal(map.blocks[i].order, SLUICE_NO_EXTENT);
		assert_int_equal(map.blocks[i].flags, 0);
		assert_int_equal(map.blocks[i].free_pages, 0);
		assert_int_equal(map.blocks[i].free_since, 0);
	}
	/* first and last page of every pageblock, of the holes too, up to two sections behind */
	for (uint64_t pfn = 0; pfn < (uint64_t)(layout->nr_sections + 2) << layout->section_order;
	     pfn += block) {
		check_page(&map, layout, pfn);
		check_page(&map, layout, pfn + block - 1);
		check_page(&map, layout, pfn + block / 2);
	}
	check_page(&map, layout, UINT64_MAX);
	check_page(&map, layout, UINT64_C(1) << 32 << layout->section_order); /* section 2^32 */
	blockmap_free(&map);
	assert_null(map.blocks);
	assert_null(map.own);
	blockmap_free(&map);
}

static void test_index(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
		check_layout(&layouts[i]);
}

/* An index made anew, in memory of others, forgets what was there; a short map is not left. */
static void test_index_again(void **state)
{
	struct sluice_block blocks[128 + 1];
	uint64_t sections[8 + 1];
	struct topology topology;
	struct blockmap map = {
		.pageblock_order = 9,
		.section_order = 15,
		.nr_sections = 8,
		.sections = sections,
		.blocks = blocks,
		.nr_blocks = 128, /* of 256: memory came since the map was made */
	};

	(void)state;
	memset(blocks, 0x77, sizeof(blocks));
	memset(sections, 0x77, sizeof(sections));
	make_topology(&layouts[1], &topology);
	blockmap_index(&map, &topology);
	assert_int_equal(sections[0], SLUICE_NO_RECORDS);
	assert_int_equal(sections[1], 0);
	assert_int_equal(sections[2], 64);
	assert_int_equal(sections[3], SLUICE_NO_RECORDS);
	assert_int_equal(sections[4], 128);
	assert_int_equal(sections[8], 0x7777777777777777);
	assert_int_equal(blocks[0].order, SLUICE_NO_EXTENT);
	assert_int_equal(blocks[127].free_pages, 0);
	assert_int_equal(blocks[128].free_pages, 0x7777);
	assert_ptr_equal(blockmap_at(&map, (3 << 15) - 1), &blocks[127]);
	assert_null(blockmap_at(&map, 4 << 15));
}

/* --- set -------------------------------------------------------------------------------------- */

/* now: 1000 ticks and a bit */
static const struct set_case {
	const char *what;
	struct sluice_block held; /* what the map holds */
	struct sluice_block old;  /* what it held when the block was looked at */
	struct sluice_block now;
	struct sluice_block result;
} set_cases[] = {
	{ "becomes free: since now",
	  { 0, 0xff, 0, 0 },
	  { 0, 0xff, 0, 0 },
	  { 512, 9, FREE | COUNTED, 0 },
	  { 512, 9, FREE | COUNTED, 1000 } },
	{ "becomes free again: the old time does not count",
	  { 40, 0xff, COUNTED, 77 },
	  { 40, 0xff, COUNTED, 77 },
	  { 512, 10, FREE | COUNTED, 5 },
	  { 512, 10, FREE | COUNTED, 1000 } },
	{ "stays free: the time stays",
	  { 512, 9, FREE | COUNTED, 77 },
	  { 512, 9, FREE | COUNTED, 77 },
	  { 512, 9, FREE | COUNTED, 5 },
	  { 512, 9, FREE | COUNTED, 77 } },
	{ "stays free and is reported",
	  { 512, 9, FREE | COUNTED, 77 },
	  { 512, 9, FREE | COUNTED, 77 },
	  { 512, 9, FREE | COUNTED | REPORTED, 0 },
	  { 512, 9, FREE | COUNTED | REPORTED, 77 } },
	{ "stays free and grows",
	  { 512, 9, FREE, 77 },
	  { 512, 9, FREE, 77 },
	  { 512, 10, FREE | COUNTED, 0 },
	  { 512, 10, FREE | COUNTED, 77 } },
	{ "no longer free",
	  { 512, 9, FREE | COUNTED | REPORTED, 77 },
	  { 512, 9, FREE | COUNTED | REPORTED, 77 },
	  { 500, 0xff, COUNTED, 0 },
	  { 500, 0xff, COUNTED, 77 } },
	{ "stays in use: the time says nothing, and stays",
	  { 500, 0xff, COUNTED, 77 },
	  { 500, 0xff, COUNTED, 77 },
	  { 400, 0xff, COUNTED, 0 },
	  { 400, 0xff, COUNTED, 77 } },
	{ "an event took pages meanwhile",
	  { 511, 9, 0, 77 },
	  { 512, 9, FREE, 77 },
	  { 512, 9, FREE | COUNTED, 0 },
	  { 511, 9, 0, 77 } },
	{ "an event changed the pages alone",
	  { 3, 0xff, 0, 77 },
	  { 2, 0xff, 0, 77 },
	  { 512, 9, FREE, 0 },
	  { 3, 0xff, 0, 77 } },
	{ "the order alone",
	  { 2, 9, 0, 77 },
	  { 2, 0xff, 0, 77 },
	  { 512, 9, FREE, 0 },
	  { 2, 9, 0, 77 } },
	{ "the flags alone",
	  { 2, 0xff, COUNTED, 77 },
	  { 2, 0xff, 0, 77 },
	  { 512, 9, FREE, 0 },
	  { 2, 0xff, COUNTED, 77 } },
	{ "the time alone: free again since",
	  { 512, 9, FREE, 999 },
	  { 512, 9, FREE, 77 },
	  { 512, 9, FREE | REPORTED, 0 },
	  { 512, 9, FREE, 999 } },
};

static void test_set(void **state)
{
	struct sluice_block guard[3];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(set_cases); i++) {
		const struct set_case *row = &set_cases[i];

		memset(guard, 0x33, sizeof(guard));
		guard[1] = row->held;
		blockmap_set(&guard[1], row->old, row->now, 1000 * TICK + TICK - 1);
		if (memcmp(&guard[1], &row->result, sizeof(guard[1])))
			fail_msg("%s: %u pages, order %u, flags %u, since %u", row->what,
				 guard[1].free_pages, guard[1].order, guard[1].flags,
				 guard[1].free_since);
		assert_int_equal(guard[0].free_pages, 0x3333);
		assert_int_equal(guard[2].free_since, 0x33333333);
	}
}

/* --- age -------------------------------------------------------------------------------------- */

static const struct age_case {
	uint8_t flags;
	uint32_t since; /* ticks */
	uint64_t now;	/* ns */
	uint64_t age;	/* ns */
} age_cases[] = {
	{ 0, 0, 1000 * TICK, 0 }, /* not free */
	{ REPORTED | COUNTED, 10, 1000 * TICK, 0 },
	{ FREE, 1000, 1000 * TICK, 0 },
	{ FREE, 1000, 1000 * TICK + TICK - 1, 0 }, /* whole ticks */
	{ FREE, 1000, 1001 * TICK - 1, 0 },
	{ FREE, 1000, 1001 * TICK, TICK },
	{ FREE, 999, 1000 * TICK, TICK },
	{ FREE | REPORTED | COUNTED, 0, 1000 * TICK, 1000 * TICK },
	/* an event is newer than now */
	{ FREE, 1001, 1000 * TICK, 0 },
	{ FREE, 1000 + 0x7fffffffu, 1000 * TICK, 0 },
	{ FREE, 0, UINT64_C(0xffffffff) * TICK, 0 },
	/* the 32 bits wrap after 2.2 years */
	{ FREE, 0xffffffff, UINT64_C(0x100000000) * TICK, TICK },
	{ FREE, 0xffffff00, UINT64_C(0x100000000) * TICK, 256 * TICK },
	{ FREE, 0xffffff00, UINT64_C(0x100000010) * TICK, 272 * TICK },
	{ FREE, 0x10, UINT64_C(0x100000010) * TICK, 0 },
	{ FREE, 0x0f, UINT64_C(0x300000010) * TICK, TICK },
	{ FREE, 0x05, UINT64_C(0xffffffff) * TICK, 0 }, /* newer, across the wrap */
	{ FREE, 0, UINT64_C(0x7fffffff) * TICK, UINT64_C(0x7fffffff) * TICK }, /* the oldest */
	{ FREE, 0, UINT64_C(0x80000000) * TICK, 0 }, /* too old to be told from newer */
};

static void test_age(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(age_cases); i++) {
		const struct age_case *row = &age_cases[i];
		const struct sluice_block block = { 512, 9, row->flags, row->since };
		const uint64_t age = blockmap_age(&block, row->now);

		if (age != row->age)
			fail_msg("row %zu: %" PRIu64 " instead of %" PRIu64, i, age, row->age);
	}
}

/* What set() stores, age() reads: the age of a block is that since it became free. */
static void test_set_and_age(void **state)
{
	struct sluice_block block = { .order = SLUICE_NO_EXTENT };
	const struct sluice_block free_block = { 512, 9, FREE | COUNTED, 0 };
	const uint64_t start = UINT64_C(0xfffffffe) * TICK; /* shortly before the wrap */

	(void)state;
	for (uint64_t tick = 0; tick < 6; tick++) {
		blockmap_set(&block, block, free_block, start + tick * TICK);
		assert_int_equal(blockmap_age(&block, start + tick * TICK), tick * TICK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index),	    cmocka_unit_test(test_index_again),
		cmocka_unit_test(test_set),	    cmocka_unit_test(test_age),
		cmocka_unit_test(test_set_and_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
