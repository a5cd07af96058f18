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
	{ "more runs than are kept", 9, 15, 12, { 0, 2, 3, 5, 7, 8, 9, 11 }, 8 },
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

/* The record that the runs give to pageblock @number, NULL where none covers it. */
static struct sluice_block *block_by_runs(const struct blockmap *map, const struct sluice_run *runs,
					  uint64_t number)
{
	struct sluice_block *found = NULL;

	for (unsigned int i = 0; i < SLUICE_RUNS; i++) {
		const uint64_t at = number - runs[i].first_block;

		if (at >= runs[i].nr_blocks)
			continue;
		assert_null(found); /* no two runs cover the same block */
		found = &map->blocks[runs[i].first_record + at];
	}
	return found;
}

/* Runs say the same as the table of sections, and leave out no more than the shorter ones. */
static void check_runs(const struct blockmap *map, const struct layout *layout,
		       const struct topology *topology)
{
	struct sluice_run runs[SLUICE_RUNS] = { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 } };
	const uint64_t blocks = (uint64_t)(layout->nr_sections + 2)
				<< (layout->section_order - layout->pageblock_order);
	uint64_t covered = 0;

	blockmap_runs(map, runs, SLUICE_RUNS);
	for (unsigned int i = 1; i < SLUICE_RUNS; i++)
		assert_true(runs[i].nr_blocks <= runs[i - 1].nr_blocks);
	for (uint64_t number = 0; number < blocks; number++) {
		const struct sluice_block *block = block_by_runs(map, runs, number);

		if (block && block != blockmap_at(map, number << layout->pageblock_order))
			fail_msg("%s: wrong record for pageblock %" PRIu64, layout->what, number);
		covered += block != NULL;
	}
	assert_true(topology->nr_ranges > SLUICE_RUNS || covered == map->nr_blocks);
	assert_true(topology->nr_ranges <= SLUICE_RUNS || runs[SLUICE_RUNS - 1].nr_blocks);
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
		assert_int_equal(map.blocks[i].since, 0);
		assert_int_equal(map.blocks[i].zone, 0);
		assert_int_equal(map.blocks[i].reported_after, 0);
	}
	for (unsigned int z = 0; z < SLUICE_MAX_ZONES; z++)
		for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++)
			assert_int_equal(map.times[z].lifetimes[b] + map.times[z].reuse[b], 0);
	assert_int_equal(blockmap_bytes(&map),
			 (size_t)(map.nr_blocks + map.nr_sections) * 8 +
				 SLUICE_MAX_ZONES * sizeof(struct sluice_zone_times));
	/* first and last page of every pageblock, of the holes too, up to two sections behind */
	for (uint64_t pfn = 0; pfn < (uint64_t)(layout->nr_sections + 2) << layout->section_order;
	     pfn += block) {
		check_page(&map, layout, pfn);
		check_page(&map, layout, pfn + block - 1);
		check_page(&map, layout, pfn + block / 2);
	}
	check_runs(&map, layout, &topology);
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
	assert_int_equal(blocks[128].since, 0x77777777);
	assert_ptr_equal(blockmap_at(&map, (3 << 15) - 1), &blocks[127]);
	assert_null(blockmap_at(&map, 4 << 15));
}

/* --- set -------------------------------------------------------------------------------------- */

#define NONE SLUICE_NO_EXTENT

/*
 * What a scan finds, and what is then in the map and in the counts. It is looked at
 * 1000 ticks and a bit after the start, in pageblocks of 512 pages.
 */
static const struct set_case {
	const char *what;
	struct sluice_block held; /* what the map holds */
	struct sluice_block old;  /* what it held when the block was looked at */
	struct block_found found;
	struct sluice_block result;
	uint64_t wrong, not_free, error; /* counted as errors */
	int life, reuse;		 /* buckets that count one, or -1 */
	uint64_t reported;		 /* blocks that became so */
} set_cases[] = {
	{ "becomes free: since now",
	  { 0, NONE, 0, 0, 0, 0 },
	  { 0, NONE, 0, 0, 0, 0 },
	  { 3, 512, 9, false },
	  { 512, 9, 3, FREE, 0, 1000 },
	  .wrong = 1,
	  .error = 512,
	  .life = -1,
	  .reuse = -1 },
	{ "becomes free again: the old time does not count",
	  { 40, NONE, 3, 0, 0, 77 },
	  { 40, NONE, 3, 0, 0, 77 },
	  { 3, 512, 10, false },
	  { 512, 10, 3, FREE, 0, 1000 },
	  .wrong = 1,
	  .error = 472,
	  .life = -1,
	  .reuse = -1 },
	{ "becomes free, and is reported already",
	  { 40, NONE, 3, 0, 99, 77 },
	  { 40, NONE, 3, 0, 99, 77 },
	  { 3, 512, 10, true },
	  { 512, 10, 3, FREE | REPORTED, 0, 1000 },
	  .wrong = 1,
	  .error = 472,
	  .life = -1,
	  .reuse = -1,
	  .reported = 1 },
	{ "stays free: the time stays",
	  { 512, 9, 3, FREE, 0, 77 },
	  { 512, 9, 3, FREE, 0, 77 },
	  { 3, 512, 9, false },
	  { 512, 9, 3, FREE, 0, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "stays free and is reported, 923 ticks after it became free",
	  { 512, 9, 3, FREE, 0, 77 },
	  { 512, 9, 3, FREE, 0, 77 },
	  { 3, 512, 9, true },
	  { 512, 9, 3, FREE | REPORTED, 8 << 2 | 3, 77 },
	  .life = -1,
	  .reuse = -1,
	  .reported = 1 },
	{ "is reported in the tick in which it became free",
	  { 512, 9, 3, FREE, 0, 1000 },
	  { 512, 9, 3, FREE, 0, 1000 },
	  { 3, 512, 9, true },
	  { 512, 9, 3, FREE | REPORTED, 0, 1000 },
	  .life = -1,
	  .reuse = -1,
	  .reported = 1 },
	{ "another CPU's clock is ahead: reported at once",
	  { 512, 9, 3, FREE, 0, 1001 },
	  { 512, 9, 3, FREE, 0, 1001 },
	  { 3, 512, 9, true },
	  { 512, 9, 3, FREE | REPORTED, 0, 1001 },
	  .life = -1,
	  .reuse = -1,
	  .reported = 1 },
	{ "stays reported: counted once, its time stays",
	  { 512, 9, 3, FREE | REPORTED, 21, 77 },
	  { 512, 9, 3, FREE | REPORTED, 21, 77 },
	  { 3, 512, 10, true },
	  { 512, 10, 3, FREE | REPORTED, 21, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "merged with an extent that is not reported: it may be reported again",
	  { 512, 9, 3, FREE | REPORTED, 21, 77 },
	  { 512, 9, 3, FREE | REPORTED, 21, 77 },
	  { 3, 512, 10, false },
	  { 512, 10, 3, FREE, 21, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "stays free and grows",
	  { 512, 9, 3, FREE, 0, 77 },
	  { 512, 9, 3, FREE, 0, 77 },
	  { 3, 512, 10, false },
	  { 512, 10, 3, FREE, 0, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "no longer free, after 923 ticks",
	  { 512, 9, 3, FREE, 0, 77 },
	  { 512, 9, 3, FREE, 0, 77 },
	  { 3, 500, NONE, false },
	  { 500, NONE, 3, 0, 0, 1000 },
	  .wrong = 1,
	  .not_free = 1,
	  .error = 12,
	  .life = 10,
	  .reuse = -1 },
	{ "no longer free, reported after 16 to 19 ticks of 923",
	  { 512, 9, 3, FREE | REPORTED, 3 << 2 | 0, 77 },
	  { 512, 9, 3, FREE | REPORTED, 3 << 2 | 0, 77 },
	  { 3, 0, NONE, false },
	  { 0, NONE, 3, 0, 3 << 2 | 0, 1000 },
	  .wrong = 1,
	  .not_free = 1,
	  .error = 512,
	  .life = 10,
	  .reuse = 10 },
	{ "no longer free, reported after 896 to 1023 ticks of 962: reused 2 ticks later",
	  { 512, 9, 3, FREE | REPORTED, 8 << 2 | 3, 38 },
	  { 512, 9, 3, FREE | REPORTED, 8 << 2 | 3, 38 },
	  { 3, 0, NONE, false },
	  { 0, NONE, 3, 0, 8 << 2 | 3, 1000 },
	  .wrong = 1,
	  .not_free = 1,
	  .error = 512,
	  .life = 10,
	  .reuse = 2 },
	{ "a report that is rounded past the end: reused at once",
	  { 512, 9, 3, FREE | REPORTED, 8 << 2 | 3, 100 },
	  { 512, 9, 3, FREE | REPORTED, 8 << 2 | 3, 100 },
	  { 3, 0, NONE, false },
	  { 0, NONE, 3, 0, 8 << 2 | 3, 1000 },
	  .wrong = 1,
	  .not_free = 1,
	  .error = 512,
	  .life = 10,
	  .reuse = 0 },
	{ "free for less than a tick",
	  { 512, 9, 31, FREE | REPORTED, 0, 1000 },
	  { 512, 9, 31, FREE | REPORTED, 0, 1000 },
	  { 31, 511, NONE, false },
	  { 511, NONE, 31, 0, 0, 1000 },
	  .wrong = 1,
	  .not_free = 1,
	  .error = 1,
	  .life = 0,
	  .reuse = 0 },
	{ "free in one zone, in use in another: the first one's life ends",
	  { 512, 9, 7, FREE | REPORTED, 0, 999 },
	  { 512, 9, 7, FREE | REPORTED, 0, 999 },
	  { 3, 2, NONE, false },
	  { 2, NONE, 3, 0, 0, 1000 },
	  .wrong = 1,
	  .not_free = 1,
	  .error = 510,
	  .life = 1,
	  .reuse = 1 },
	{ "in another zone: what it is now",
	  { 500, NONE, 7, 0, 0, 77 },
	  { 500, NONE, 7, 0, 0, 77 },
	  { 3, 500, NONE, false },
	  { 500, NONE, 3, 0, 0, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "stays in use, with fewer free pages: the time is that of the change",
	  { 500, NONE, 3, 0, 5, 77 },
	  { 500, NONE, 3, 0, 5, 77 },
	  { 3, 400, NONE, false },
	  { 400, NONE, 3, 0, 5, 1000 },
	  .wrong = 1,
	  .error = 100,
	  .life = -1,
	  .reuse = -1 },
	{ "stays in use, with more",
	  { 0, NONE, 3, 0, 0, 77 },
	  { 0, NONE, 3, 0, 0, 77 },
	  { 3, 511, NONE, false },
	  { 511, NONE, 3, 0, 0, 1000 },
	  .wrong = 1,
	  .error = 511,
	  .life = -1,
	  .reuse = -1 },
	{ "stays in use, with as many: the time stays",
	  { 500, NONE, 3, 0, 0, 77 },
	  { 500, NONE, 3, 0, 0, 77 },
	  { 3, 500, NONE, false },
	  { 500, NONE, 3, 0, 0, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "whole, but in pieces that do not merge: free, and no extent starts here",
	  { 500, NONE, 3, 0, 0, 77 },
	  { 500, NONE, 3, 0, 0, 77 },
	  { 3, 512, NONE, false },
	  { 512, NONE, 3, FREE, 0, 1000 },
	  .wrong = 1,
	  .error = 12,
	  .life = -1,
	  .reuse = -1 },
	{ "not whole: nothing in it is reported, for the map",
	  { 0, NONE, 3, 0, 0, 77 },
	  { 0, NONE, 3, 0, 0, 77 },
	  { 3, 256, NONE, true },
	  { 256, NONE, 3, 0, 0, 1000 },
	  .wrong = 1,
	  .error = 256,
	  .life = -1,
	  .reuse = -1 },
	{ "an event took pages meanwhile",
	  { 511, 9, 3, 0, 0, 77 },
	  { 512, 9, 3, FREE, 0, 77 },
	  { 3, 512, 9, true },
	  { 511, 9, 3, 0, 0, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "an event changed the pages alone",
	  { 3, NONE, 3, 0, 0, 77 },
	  { 2, NONE, 3, 0, 0, 77 },
	  { 3, 512, 9, false },
	  { 3, NONE, 3, 0, 0, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "the order alone",
	  { 2, 9, 3, 0, 0, 77 },
	  { 2, NONE, 3, 0, 0, 77 },
	  { 3, 512, 9, false },
	  { 2, 9, 3, 0, 0, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "the zone alone",
	  { 2, 9, 4, 0, 0, 77 },
	  { 2, 9, 3, 0, 0, 77 },
	  { 3, 512, 9, false },
	  { 2, 9, 4, 0, 0, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "the flags alone: freed and taken by others",
	  { 512, 9, 3, FREE, 0, 77 },
	  { 512, 9, 3, FREE | REPORTED, 0, 77 },
	  { 3, 0, NONE, false },
	  { 512, 9, 3, FREE, 0, 77 },
	  .life = -1,
	  .reuse = -1 },
	{ "the time alone: free again since",
	  { 512, 9, 3, FREE, 0, 999 },
	  { 512, 9, 3, FREE, 0, 77 },
	  { 3, 512, 9, true },
	  { 512, 9, 3, FREE, 0, 999 },
	  .life = -1,
	  .reuse = -1 },
	{ "the time of the report alone",
	  { 512, 9, 3, FREE | REPORTED, 4, 77 },
	  { 512, 9, 3, FREE | REPORTED, 5, 77 },
	  { 3, 0, NONE, false },
	  { 512, 9, 3, FREE | REPORTED, 4, 77 },
	  .life = -1,
	  .reuse = -1 },
};

static struct sluice_zone_times times[SLUICE_MAX_ZONES];

/* The histograms hold what @row says, of the zone that it says, and nothing else. */
static void check_times(const struct set_case *row)
{
	struct sluice_zone_times expected[SLUICE_MAX_ZONES] = { 0 };

	if (row->life >= 0)
		expected[row->old.zone].lifetimes[row->life]++;
	if (row->reuse >= 0)
		expected[row->old.zone].reuse[row->reuse]++;
	expected[row->found.zone].reported += row->reported;
	if (memcmp(times, expected, sizeof(times)))
		fail_msg("%s: wrong histograms", row->what);
}

static void test_set(void **state)
{
	const struct blockmap map = { .pageblock_order = 9, .times = times };
	struct sluice_block guard[3], untouched[3];

	(void)state;
	memset(untouched, 0x33, sizeof(untouched));
	for (size_t i = 0; i < ARRAY_SIZE(set_cases); i++) {
		const struct set_case *row = &set_cases[i];
		struct sluice_scan_zone errors = {
			.free = { 7 }, .wrong_blocks = 100, .not_free = 200, .largest_error = 3
		};

		memset(guard, 0x33, sizeof(guard));
		memset(times, 0, sizeof(times));
		guard[1] = row->held;
		blockmap_set(&map, &guard[1], row->old, &row->found, 1000 * TICK + TICK - 1,
			     &errors);
		if (memcmp(&guard[1], &row->result, sizeof(guard[1])))
			fail_msg("%s: %u pages, order %u, zone %u, flags %u, reported after %u, "
				 "since %u",
				 row->what, guard[1].free_pages, guard[1].order, guard[1].zone,
				 guard[1].flags, guard[1].reported_after, guard[1].since);
		assert_memory_equal(&guard[0], &untouched[0], sizeof(guard[0]));
		assert_memory_equal(&guard[2], &untouched[2], sizeof(guard[2]));
		check_times(row);
		if (errors.wrong_blocks != 100 + row->wrong ||
		    errors.not_free != 200 + row->not_free ||
		    errors.largest_error != (row->error > 3 ? row->error : 3))
			fail_msg("%s: %" PRIu64 " wrong, %" PRIu64 " not free, error %" PRIu64,
				 row->what, errors.wrong_blocks - 100, errors.not_free - 200,
				 errors.largest_error);
		assert_int_equal(errors.free[0], 7);
	}
}

/* Pageblocks of every size are whole when all their pages are free, not one page sooner. */
static void test_set_sizes(void **state)
{
	(void)state;
	for (unsigned int order = 1; order <= SLUICE_MAX_PAGEBLOCK_ORDER; order++) {
		const struct blockmap map = { .pageblock_order = order, .times = times };
		const struct block_found whole = { 0, 1U << order, order, true };
		const struct block_found less = { 0, (1U << order) - 1, NONE, false };
		struct sluice_block block = { .order = NONE };
		struct sluice_scan_zone errors = { 0 };

		blockmap_set(&map, &block, block, &whole, 0, &errors);
		assert_int_equal(block.free_pages, 1U << order);
		assert_int_equal(block.order, order);
		assert_int_equal(block.flags, FREE | REPORTED);
		assert_int_equal(errors.largest_error, 1U << order);
		blockmap_set(&map, &block, block, &less, 0, &errors);
		assert_int_equal(block.free_pages, (1U << order) - 1);
		assert_int_equal(block.flags, 0);
		assert_int_equal(errors.wrong_blocks, 2);
		assert_int_equal(errors.not_free, 1);
		assert_int_equal(errors.largest_error, 1U << order);
	}
}

/* --- age -------------------------------------------------------------------------------------- */

static const struct age_case {
	uint32_t flags : 2;
	uint32_t since; /* ticks */
	uint64_t now;	/* ns */
	uint64_t age;	/* ns */
} age_cases[] = {
	{ 0, 0, 1000 * TICK, 1000 * TICK }, /* of blocks that are not free, too */
	{ 0, 10, 1000 * TICK, 990 * TICK },
	{ FREE, 1000, 1000 * TICK, 0 },
	{ FREE, 1000, 1000 * TICK + TICK - 1, 0 }, /* whole ticks */
	{ FREE, 1000, 1001 * TICK - 1, 0 },
	{ FREE, 1000, 1001 * TICK, TICK },
	{ FREE, 999, 1000 * TICK, TICK },
	{ FREE | REPORTED, 0, 1000 * TICK, 1000 * TICK },
	/* an event is newer than now */
	{ FREE, 1001, 1000 * TICK, 0 },
	{ 0, 1001, 1000 * TICK, 0 },
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
		const struct sluice_block block = { .flags = row->flags, .since = row->since };
		const uint64_t age = blockmap_age(&block, row->now);

		if (age != row->age)
			fail_msg("row %zu: %" PRIu64 " instead of %" PRIu64, i, age, row->age);
	}
}

/* What set() stores, age() reads: the age of a block is that since it became free. */
static void test_set_and_age(void **state)
{
	const struct blockmap map = { .pageblock_order = 9, .times = times };
	const struct block_found free_block = { 0, 512, 9, false };
	const uint64_t start = UINT64_C(0xfffffffe) * TICK; /* shortly before the wrap */
	struct sluice_block block = { .order = SLUICE_NO_EXTENT };
	struct sluice_scan_zone errors = { 0 };

	(void)state;
	for (uint64_t tick = 0; tick < 6; tick++) {
		blockmap_set(&map, &block, block, &free_block, start + tick * TICK, &errors);
		assert_int_equal(blockmap_age(&block, start + tick * TICK), tick * TICK);
	}
	assert_int_equal(errors.wrong_blocks, 1);
}

/* A life that spans the wrap of the ticks, and its report within it. */
static void test_life_across_the_wrap(void **state)
{
	const struct blockmap map = { .pageblock_order = 9, .times = times };
	const uint64_t start = UINT64_C(0xfffffffe) * TICK;
	const struct block_found steps[] = { { 5, 512, 9, false },
					     { 5, 512, 9, true },
					     { 5, 100, NONE, false } };
	struct sluice_block block = { .order = SLUICE_NO_EXTENT };
	struct sluice_scan_zone errors = { 0 };

	(void)state;
	memset(times, 0, sizeof(times));
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		blockmap_set(&map, &block, block, &steps[i], start + 3 * i * TICK, &errors);
	assert_int_equal(times[5].reported, 1);
	assert_int_equal(times[5].lifetimes[3], 1); /* 6 ticks */
	assert_int_equal(times[5].reuse[2], 1);	    /* 3 ticks */
	assert_int_equal(block.since, 4);
}

/* --- memory comes and goes -------------------------------------------------------------------- */

#define MAX_SECTIONS 8

/* Sections that were online, and those that are now: strings of '-' and '#'. */
static const struct inherit_case {
	const char *what, *old, *new;
} inherit_cases[] = {
	{ "nothing changed", "####", "####" },
	{ "a DIMM comes behind", "##", "####" },
	{ "a DIMM goes", "####", "##" },
	{ "one goes from the middle: records move down", "####", "#-##" },
	{ "the first one goes", "####", "-###" },
	{ "one comes into a hole: records move up", "#--#", "##-#" },
	{ "one comes below", "-##", "###" },
	{ "one goes, another comes", "#-#-#", "##--#" },
	{ "all go, others come", "##", "--##" },
	{ "all go", "##", "" },
	{ "from nothing", "", "##" },
	{ "far behind", "#", "#------#" },
};

static void alloc_map(struct blockmap *map, const char *sections)
{
	struct layout layout = { "", 9, 12, (unsigned int)strlen(sections), { 0 }, 0 };
	struct topology topology;

	for (unsigned int s = 0; s < layout.nr_sections; s++)
		if (sections[s] == '#')
			layout.sections[layout.nr_online++] = s;
	make_topology(&layout, &topology);
	assert_int_equal(blockmap_alloc(map, &topology), 0);
}

/* A record that tells where it was. */
static struct sluice_block mark(uint64_t pfn)
{
	return (struct sluice_block){ .free_pages = (pfn >> 9) & 0x3fff,
				      .order = 9,
				      .zone = (pfn >> 12) & 31,
				      .flags = FREE | REPORTED,
				      .reported_after = 1 + ((pfn >> 9) & 63),
				      .since = 1000 + (uint32_t)pfn };
}

static void check_inherit(const struct inherit_case *row)
{
	const struct sluice_block empty = { .order = NONE };
	struct blockmap old, map;

	alloc_map(&old, row->old);
	alloc_map(&map, row->new);
	for (uint64_t pfn = 0; pfn < MAX_SECTIONS << 12; pfn += 512)
		if (blockmap_at(&old, pfn))
			*blockmap_at(&old, pfn) = mark(pfn);
	for (unsigned int z = 0; z < SLUICE_MAX_ZONES; z++) {
		old.times[z].lifetimes[z] = 10 + z;
		old.times[z].reuse[SLUICE_TIME_BUCKETS - 1] = 20 + z;
		old.times[z].reported = 30 + z;
	}
	blockmap_inherit(&map, &old);
	for (uint64_t pfn = 0; pfn < MAX_SECTIONS << 12; pfn += 512) {
		const struct sluice_block *block = blockmap_at(&map, pfn);
		const struct sluice_block expected = blockmap_at(&old, pfn) ? mark(pfn) : empty;

		if (block && memcmp(block, &expected, sizeof(*block)))
			fail_msg("%s: record of pfn %#" PRIx64 ", since %u", row->what, pfn,
				 block->since);
	}
	assert_memory_equal(map.times, old.times, SLUICE_MAX_ZONES * sizeof(*map.times));
	blockmap_free(&map);
	blockmap_free(&old);
}

static void test_inherit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(inherit_cases); i++)
		check_inherit(&inherit_cases[i]);
}

/* Maps of other units have nothing in common, and nothing is read beyond either. */
static void test_inherit_other_units(void **state)
{
	static const struct layout others[] = {
		{ "larger sections", 9, 15, 4, { 0, 1, 2, 3 }, 4 },
		{ "smaller sections", 9, 10, 4, { 0, 1, 2, 3 }, 4 },
		{ "larger pageblocks", 10, 12, 4, { 0, 1, 2, 3 }, 4 },
		{ "smaller pageblocks", 3, 12, 4, { 0, 1, 2, 3 }, 4 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct topology topology;
		struct blockmap old, map;

		alloc_map(&old, "####");
		memset(old.blocks, 0x77, old.nr_blocks * sizeof(*old.blocks));
		memset(old.times, 0x77, sizeof(*old.times));
		make_topology(&others[i], &topology);
		assert_int_equal(blockmap_alloc(&map, &topology), 0);
		blockmap_inherit(&map, &old);
		for (uint32_t b = 0; b < map.nr_blocks; b++)
			assert_int_equal(map.blocks[b].since, 0);
		assert_int_equal(map.times[0].reported, 0);
		blockmap_free(&map);
		blockmap_free(&old);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_index_again),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_set_sizes),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_set_and_age),
		cmocka_unit_test(test_life_across_the_wrap),
		cmocka_unit_test(test_inherit),
		cmocka_unit_test(test_inherit_other_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
