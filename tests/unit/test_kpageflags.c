// SPDX-License-Identifier: GPL-2.0-only
/*
 * The scan of /proc/kpageflags against a reference: random layouts of free
 * extents, such as the buddy allocator can have them, are written as page flags;
 * the scan has to find each extent again, with its order, from the runs alone.
 *
 * wrap: pread
 */
#include <errno.h>
#include <linux/kernel-page-flags.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "fixture.h"
#include "observe/scanner.h"

#define SEEDS	     200 /* per shape and depth */
#define MAX_PAGES    65536
#define MAX_ZONES    3
#define NOBODY	     0xff /* page of no zone, not online, or behind the end of the file */
#define KFREE	     (1ULL << KPF_BUDDY)
#define KREPORTED    (1ULL << KPF_UPTODATE)
#define FREE	     SLUICE_BLOCK_FREE
#define REPORTED     SLUICE_BLOCK_REPORTED
#define FILE_IN_TREE "proc/kpageflags"

static struct fixture tree;

/* Reads until one comes back with @fail_result instead, and @fail_errno; -1: none does. */
static int reads_left = -1;
static ssize_t fail_result;
static int fail_errno;

ssize_t __real_pread(int fd, void *buf, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t size, off_t offset);

ssize_t __wrap_pread(int fd, void *buf, size_t size, off_t offset)
{
	if (reads_left < 0 || reads_left--)
		return __real_pread(fd, buf, size, offset);
	errno = fail_errno;
	return fail_result;
}

static int setup(void **state)
{
	(void)state;
	fixture_open(&tree);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

/* --- random numbers: the same ones in every run (splitmix64) ----------------------------------- */

static uint64_t seed;

static uint64_t any(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t limit)
{
	return any() % limit;
}

static bool percent(uint64_t chance)
{
	return below(100) < chance;
}

/* --- the reference ---------------------------------------------------------------------------- */

struct extent {
	uint64_t pfn;
	unsigned int order;
	bool reported;
};

/* A guest's memory: who owns each page, and what is free. */
static struct world {
	struct topology topology;
	uint64_t pages;	    /* of all sections */
	uint64_t file_size; /* pages in /proc/kpageflags */
	unsigned int nr_zones;
	unsigned int first_index;	       /* zones have the indices from this one on */
	struct topology_zone zones[MAX_ZONES]; /* ascending, apart */
	uint8_t owner[MAX_PAGES];
	uint64_t same_until[MAX_PAGES]; /* first page behind that has another owner */
	uint64_t free_chance, split_chance;
	unsigned int nr_extents;
	struct extent extents[MAX_PAGES];
	uint64_t flags[MAX_PAGES];
} world;

static const struct shape {
	unsigned int pageblock_order, highest_order, section_order, nr_sections;
} shapes[] = {
	{ 9, 10, 11, 16 },  /* x86, with small sections: a window is two pageblocks */
	{ 4, 6, 8, 16 },    /* many pageblocks per window */
	{ 1, 3, 4, 64 },    /* the smallest pageblock that topology_read() takes */
	{ 10, 10, 10, 16 }, /* no extent larger than a pageblock; one per window */
	{ 11, 13, 13, 8 },  /* two windows per pageblock */
	{ 13, 13, 13, 6 },  /* arm64 with 64 KiB pages: eight */
};

static void make_sections(const struct shape *shape)
{
	struct topology *topology = &world.topology;
	const uint64_t size = 1ULL << shape->section_order;
	const uint64_t chance = percent(50) ? 100 : 70;

	*topology = (struct topology){
		.page_size = 4096,
		.pageblock_order = shape->pageblock_order,
		.highest_order = shape->highest_order,
		.section_order = shape->section_order,
		.nr_sections = shape->nr_sections,
	};
	for (unsigned int s = 0; s < shape->nr_sections; s++) {
		struct pfn_range *next = &topology->online[topology->nr_ranges];

		if (!percent(chance))
			continue;
		if (topology->nr_ranges && next[-1].end == s * size)
			next[-1].end += size;
		else
			topology->online[topology->nr_ranges++] =
				(struct pfn_range){ s * size, (s + 1) * size };
	}
	world.pages = shape->nr_sections * size;
}

/* A place for a zone to begin or end: mostly whole pageblocks, as in the kernel. */
static uint64_t make_cut(uint64_t from, uint64_t to)
{
	const uint64_t block = 1ULL << world.topology.pageblock_order;
	const uint64_t cut = from + below(to - from + 1);

	return percent(60) && (cut & ~(block - 1)) >= from ? cut & ~(block - 1) : cut;
}

/* One to three zones, some with a gap between them; the first begins at 0, 1 or anywhere. */
static void make_zones(void)
{
	uint64_t at = percent(40) ? 1 : percent(50) ? 0 : make_cut(0, world.pages / 2);

	world.nr_zones = 1 + (unsigned int)below(MAX_ZONES);
	world.first_index = (unsigned int)below(SLUICE_MAX_ZONES - MAX_ZONES + 1);
	for (unsigned int z = 0; z < world.nr_zones; z++) {
		struct topology_zone *zone = &world.zones[z];
		const uint64_t end = z + 1 < world.nr_zones || percent(50) ?
					     make_cut(at, world.pages) :
					     world.pages + below(3) * 100;

		*zone = (struct topology_zone){ .start_pfn = at, .spanned_pages = end - at };
		at = end < world.pages ? end : world.pages;
		if (percent(20))
			at = make_cut(at, world.pages);
	}
}

/* The zones' shares of the online ranges. */
static void make_parts(void)
{
	struct topology *topology = &world.topology;

	topology->nr_parts = 0;
	for (unsigned int i = 0; i < topology->nr_ranges; i++) {
		for (unsigned int z = 0; z < world.nr_zones; z++) {
			const struct topology_zone *zone = &world.zones[z];
			struct pfn_range pfns = topology->online[i];

			if (zone->start_pfn > pfns.start)
				pfns.start = zone->start_pfn;
			if (zone->start_pfn + zone->spanned_pages < pfns.end)
				pfns.end = zone->start_pfn + zone->spanned_pages;
			if (pfns.start < pfns.end)
				topology->parts[topology->nr_parts++] =
					(struct zone_range){ pfns, world.first_index + z };
		}
	}
}

static void make_owners(void)
{
	memset(world.owner, NOBODY, sizeof(world.owner));
	for (unsigned int i = 0; i < world.topology.nr_ranges; i++) {
		const struct pfn_range *range = &world.topology.online[i];

		for (uint64_t pfn = range->start; pfn < range->end; pfn++)
			for (unsigned int z = 0; z < world.nr_zones; z++)
				if (pfn >= world.zones[z].start_pfn && pfn < world.file_size &&
				    pfn < world.zones[z].start_pfn + world.zones[z].spanned_pages)
					world.owner[pfn] = (uint8_t)z;
	}
	for (uint64_t pfn = world.pages; pfn--;)
		world.same_until[pfn] =
			pfn + 1 < world.pages && world.owner[pfn + 1] == world.owner[pfn] ?
				world.same_until[pfn + 1] :
				pfn + 1;
}

/*
 * Fills 2^@order pages; true if they became one free extent. Two free buddies of
 * one zone never stay apart, two of different zones do.
 */
static bool fill(uint64_t pfn, unsigned int order)
{
	const bool one_owner = world.same_until[pfn] >= pfn + (1ULL << order);
	bool lower, upper;

	if (one_owner && world.owner[pfn] == NOBODY)
		return false;
	if (one_owner && percent(world.free_chance)) {
		world.extents[world.nr_extents++] = (struct extent){ pfn, order, percent(50) };
		return true;
	}
	if (!order || (one_owner && !percent(world.split_chance)))
		return false;
	lower = fill(pfn, order - 1);
	upper = fill(pfn + (1ULL << (order - 1)), order - 1);
	if (lower && upper && one_owner)
		world.nr_extents--; /* the upper one is in use after all */
	return false;
}

/* Any other flags; of pages that are not ours anything, of allocated ones UPTODATE too. */
static void write_flags(void)
{
	for (uint64_t pfn = 0; pfn < world.pages; pfn++) {
		world.flags[pfn] = any() & ~KFREE;
		if (world.owner[pfn] == NOBODY && percent(50))
			world.flags[pfn] |= KFREE;
	}
	for (unsigned int i = 0; i < world.nr_extents; i++) {
		const struct extent *extent = &world.extents[i];

		for (uint64_t at = 0; at < 1ULL << extent->order; at++)
			world.flags[extent->pfn + at] = (any() | KFREE) & ~KREPORTED;
		if (extent->reported)
			world.flags[extent->pfn] |= KREPORTED;
	}
	fixture_write(&tree, FILE_IN_TREE, world.flags, world.file_size * sizeof(uint64_t));
}

static void make_world(const struct shape *shape)
{
	static const uint64_t chances[] = { 3, 20, 50, 80, 97 };
	uint64_t step = 1ULL << shape->highest_order;

	make_sections(shape);
	make_zones();
	make_parts();
	/* the file ends with the last page that has a struct page */
	world.file_size = percent(70) ? world.pages : below(world.pages + 1);
	make_owners();
	world.free_chance = chances[below(5)];
	world.split_chance = chances[below(5)];
	world.nr_extents = 0;
	for (uint64_t pfn = 0; pfn < world.pages; pfn += step)
		fill(pfn, shape->highest_order);
	write_flags();
}

/* --- what the scan must find ------------------------------------------------------------------ */

static void count_truth(unsigned int zone, enum scan_depth depth, struct sluice_scan_zone *truth)
{
	for (unsigned int i = 0; i < world.nr_extents; i++) {
		const struct extent *extent = &world.extents[i];

		if (world.owner[extent->pfn] != zone ||
		    (depth == SCAN_HEADS && extent->order < world.topology.pageblock_order))
			continue;
		truth->free[extent->order]++;
		truth->reported[extent->order] += extent->reported;
	}
}

/* The zone whose pages fill the pageblock at @pfn, or NOBODY. */
static unsigned int block_owner(uint64_t pfn)
{
	for (unsigned int z = 0; z < world.nr_zones; z++)
		if (pfn >= world.zones[z].start_pfn &&
		    pfn + (1ULL << world.topology.pageblock_order) <=
			    world.zones[z].start_pfn + world.zones[z].spanned_pages)
			return z;
	return NOBODY;
}

static bool page_is_free(uint64_t pfn)
{
	return pfn < world.file_size && world.flags[pfn] & KFREE;
}

/*
 * Whether a block is used within, though its first and last pages are free: if it
 * was free before, heads take it for free still. See test_middle().
 */
static bool is_misleading(uint64_t pfn)
{
	const uint64_t last = pfn + (1ULL << world.topology.pageblock_order) - 1;

	if (!page_is_free(pfn) || !page_is_free(last))
		return false;
	while (pfn < last && page_is_free(pfn))
		pfn++;
	return pfn < last;
}

static uint32_t ticks(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)(((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec) >>
			  SLUICE_TICK_SHIFT);
}

/* Records as an earlier scan may have left them: those of whole blocks almost anything. */
static void age_records(const struct blockmap *map)
{
	const uint32_t block = 1U << map->pageblock_order;
	const uint32_t now = ticks();

	for (uint64_t pfn = 0; pfn < world.pages; pfn += block) {
		struct sluice_block *record = blockmap_at(map, pfn);

		if (!record || block_owner(pfn) == NOBODY || percent(30))
			continue;
		*record = (struct sluice_block){ .free_pages = below(block) & 0x3fff,
						 .order = SLUICE_NO_EXTENT,
						 .zone = below(SLUICE_MAX_ZONES) & 31,
						 .reported_after = below(124) & 127,
						 .since = now - 1 - (uint32_t)below(1000) };
		if (percent(50) && !is_misleading(pfn)) {
			record->free_pages = block & 0x3fff;
			record->order = map->pageblock_order & 15;
			record->flags = percent(50) ? FREE : FREE | REPORTED;
		}
	}
}

/* What a scan counts besides extents. */
struct changes {
	uint64_t wrong, not_free, largest; /* errors */
	uint64_t lives, reuses;		   /* ends of them, over all zones */
	uint64_t reported;		   /* blocks that became so */
};

/*
 * Pages of the block at @pfn that belong to a zone: [first, end). A block of two zones
 * has the record of the one that is scanned last.
 */
static struct pfn_range share_of(unsigned int zone, uint64_t pfn)
{
	const struct topology_zone *span = &world.zones[zone];
	struct pfn_range share = { pfn, pfn + (1ULL << world.topology.pageblock_order) };

	if (span->start_pfn > share.start)
		share.start = span->start_pfn;
	if (span->start_pfn + span->spanned_pages < share.end)
		share.end = span->start_pfn + span->spanned_pages;
	return share;
}

/* What the scan of one zone makes of the record of the block at @pfn; times are those of @was. */
static struct sluice_block expected_record(unsigned int zone, uint64_t pfn, struct sluice_block was,
					   enum scan_depth depth)
{
	const uint64_t block = 1ULL << world.topology.pageblock_order;
	const struct pfn_range share = share_of(zone, pfn);
	struct sluice_block now = was;
	uint32_t free_pages = 0;

	if (share.start >= share.end || (depth == SCAN_HEADS && share.end - share.start < block))
		return was;
	now.order = SLUICE_NO_EXTENT;
	now.zone = (world.first_index + zone) & 31;
	now.flags = 0;
	for (unsigned int i = 0; i < world.nr_extents; i++) {
		const struct extent *extent = &world.extents[i];
		const uint64_t end = extent->pfn + (1ULL << extent->order);

		if (extent->pfn <= pfn && end >= pfn + block) {
			now.free_pages = block & 0x3fff;
			now.flags = extent->reported ? FREE | REPORTED : FREE;
			if (extent->pfn == pfn)
				now.order = extent->order & 15;
			return now;
		}
		if (extent->pfn >= share.start && extent->pfn < share.end)
			free_pages += 1U << extent->order;
	}
	/* heads count only where the record says free, and the first or the last page not */
	if (depth == SCAN_HEADS && !(was.flags & FREE))
		return was;
	now.free_pages = free_pages & 0x3fff;
	return now;
}

static void count_changes(struct sluice_block was, struct sluice_block now, struct changes *changes)
{
	const uint64_t error = was.free_pages > now.free_pages ? was.free_pages - now.free_pages :
								 now.free_pages - was.free_pages;

	if (error) {
		changes->wrong++;
		changes->not_free += was.flags & FREE;
		changes->largest = error > changes->largest ? error : changes->largest;
	}
	if (was.flags & FREE && !(now.flags & FREE)) {
		changes->lives++;
		changes->reuses += !!(was.flags & REPORTED);
	}
	changes->reported += now.flags & REPORTED && !(was.flags & REPORTED);
}

/* Takes over the times of a record if they are such as a scan between @began and now sets. */
static void check_times(struct sluice_block was, struct sluice_block found,
			struct sluice_block *now, uint32_t began)
{
	const uint32_t ended = ticks();

	if (now->free_pages != was.free_pages) {
		assert_in_range(found.since, began, ended);
		now->since = found.since;
	}
	if (now->flags & REPORTED && !(was.flags & REPORTED)) {
		if (now->free_pages != was.free_pages)
			assert_int_equal(found.reported_after, 0);
		else
			assert_in_range(found.reported_after, sluice_span_encode(began - was.since),
					sluice_span_encode(ended - was.since));
		now->reported_after = found.reported_after;
	}
}

/* Compares all records with those from before the scan of one zone, which are brought up to date. */
static void check_records(const struct blockmap *map, struct sluice_block *before,
			  unsigned int zone, enum scan_depth depth, uint32_t began,
			  struct changes *changes)
{
	const uint64_t block = 1ULL << world.topology.pageblock_order;

	for (uint64_t pfn = 0; pfn < world.pages; pfn += block) {
		const struct sluice_block *record = blockmap_at(map, pfn);
		struct sluice_block *was, now;

		if (!record)
			continue;
		was = &before[record - map->blocks];
		now = expected_record(zone, pfn, *was, depth);
		count_changes(*was, now, changes);
		check_times(*was, *record, &now, began);
		if (memcmp(record, &now, sizeof(now)))
			fail_msg("record of pfn %#" PRIx64 ": %u pages, order %u, zone %u, flags "
				 "%#x, reported after %u, since %u instead of %u, %u, %u, %#x, %u, "
				 "%u",
				 pfn, record->free_pages, record->order, record->zone,
				 record->flags, record->reported_after, record->since,
				 now.free_pages, now.order, now.zone, now.flags, now.reported_after,
				 now.since);
		/* part of a block, at a zone's edge: never taken for a free one */
		if (block_owner(pfn) == NOBODY)
			assert_int_equal(record->flags & FREE, 0);
		*was = now;
	}
}

/* The histograms hold as many lives and reports as there were, each of the zone it belongs to. */
static void check_histograms(const struct blockmap *map, const struct changes *changes)
{
	struct changes sum = { 0 };

	for (unsigned int z = 0; z < SLUICE_MAX_ZONES; z++) {
		for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++) {
			sum.lives += map->times[z].lifetimes[b];
			sum.reuses += map->times[z].reuse[b];
		}
		sum.reported += map->times[z].reported;
		if (z < world.first_index || z >= world.first_index + world.nr_zones)
			assert_int_equal(map->times[z].reported, 0);
	}
	assert_int_equal(sum.lives, changes->lives);
	assert_int_equal(sum.reuses, changes->reuses);
	assert_int_equal(sum.reported, changes->reported);
}

/* One zone; counts are added to what is there. */
static void check_zone(const struct blockmap *map, int fd, unsigned int z, enum scan_depth depth,
		       struct sluice_block *before, struct changes *all)
{
	struct changes changes = { 0 };
	struct sluice_scan_zone truth;
	struct errmsg err = { "" };
	struct scan_job job = {
		.topology = &world.topology,
		.zone = world.first_index + z,
		.depth = depth,
		.found = { .wrong_blocks = 10, .not_free = 20 },
		.probes = 1000,
	};
	const uint32_t began = ticks();

	for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++) {
		job.found.free[o] = truth.free[o] = 100 + o;
		job.found.reported[o] = truth.reported[o] = 200 + o;
	}
	count_truth(z, depth, &truth);
	if (kpageflags_scan(fd, map, &job, &err))
		fail_msg("%s", err.text);
	for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++)
		if (job.found.free[o] != truth.free[o] ||
		    job.found.reported[o] != truth.reported[o])
			fail_msg("zone %u, order %u: %" PRIu64 " free, %" PRIu64
				 " reported instead of %" PRIu64 ", %" PRIu64,
				 z, o, job.found.free[o] - 100 - o, job.found.reported[o] - 200 - o,
				 truth.free[o] - 100 - o, truth.reported[o] - 200 - o);
	assert_true(job.probes >= 1000);
	check_records(map, before, z, depth, began, &changes);
	assert_int_equal(job.found.wrong_blocks, 10 + changes.wrong);
	assert_int_equal(job.found.not_free, 20 + changes.not_free);
	assert_int_equal(job.found.largest_error, changes.largest);
	all->wrong += changes.wrong;
	all->not_free += changes.not_free;
	all->lives += changes.lives;
	all->reuses += changes.reuses;
	all->reported += changes.reported;
}

static void check_world(enum scan_depth depth, struct changes *all)
{
	struct changes changes = { 0 };
	struct sluice_block *before;
	struct blockmap map;
	int fd = kpageflags_open(tree.root, NULL);

	assert_true(fd >= 0);
	assert_int_equal(blockmap_alloc(&map, &world.topology), 0);
	age_records(&map);
	before = malloc((map.nr_blocks + 1) * sizeof(*before));
	assert_non_null(before);
	memcpy(before, map.blocks, map.nr_blocks * sizeof(*before));
	for (unsigned int z = 0; z < world.nr_zones; z++)
		check_zone(&map, fd, z, depth, before, &changes);
	check_histograms(&map, &changes);
	all->not_free += changes.not_free;
	all->lives += changes.lives;
	all->reuses += changes.reuses;
	all->reported += changes.reported;
	free(before);
	blockmap_free(&map);
	close(fd);
}

/* One shape, many worlds; state is the shape. */
static void test_random(void **state)
{
	const struct shape *shape = *state;
	uint64_t extents = 0, cut = 0, holes = 0, unaligned = 0;
	struct changes changes = { 0 };

	for (uint64_t i = 0; i < SEEDS; i++) {
		seed = i * 1000 + shape->pageblock_order;
		make_world(shape);
		extents += world.nr_extents;
		cut += world.file_size < world.pages;
		holes += world.topology.nr_ranges > 1;
		unaligned += world.zones[0].start_pfn & 1;
		check_world(SCAN_FULL, &changes);
		check_world(SCAN_HEADS, &changes);
	}
	/* that the worlds are worth it */
	assert_true(extents > SEEDS * 20);
	assert_true(cut > SEEDS / 8 && holes > SEEDS / 8 && unaligned > SEEDS / 8);
	assert_true(changes.not_free > SEEDS / 2 && changes.lives > SEEDS / 2);
	assert_true(changes.reuses > SEEDS / 4 && changes.reported > SEEDS / 4);
}

/* --- single layouts --------------------------------------------------------------------------- */

/* One range of 8 blocks of 512 pages, all free or all used, and zones over it. */
static void plain_world(uint64_t start_pfn, uint64_t end_pfn)
{
	memset(&world, 0, sizeof(world));
	world.topology = (struct topology){ .page_size = 4096,
					    .pageblock_order = 9,
					    .highest_order = 10,
					    .section_order = 12,
					    .nr_sections = 1,
					    .nr_ranges = 1,
					    .online = { { 0, 4096 } } };
	world.pages = world.file_size = 4096;
	world.nr_zones = 1;
	world.zones[0] = (struct topology_zone){ .start_pfn = start_pfn,
						 .spanned_pages = end_pfn - start_pfn };
	make_parts();
}

static const struct layout {
	const char *what;
	uint64_t start, end;	       /* zone */
	uint64_t free_start, free_end; /* run of free pages */
	const char *full, *heads;      /* "order:count ..." */
} layouts[] = {
	{ "nothing", 0, 4096, 0, 0, "", "" },
	{ "everything", 0, 4096, 0, 4096, "10:4", "10:4" },
	{ "from pfn 1, as ZONE_DMA", 1, 4096, 1, 4096,
	  "0:1 1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1 10:3", "9:1 10:3" },
	{ "to an odd end", 0, 4095, 0, 4096, "0:1 1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1 10:3",
	  "9:1 10:3" },
	{ "a zone inside a block", 700, 900, 0, 4096, "2:2 6:1 7:1", "" },
	{ "a zone of one page", 513, 514, 0, 4096, "0:1", "" },
	{ "an empty zone", 512, 512, 0, 4096, "", "" },
	{ "a zone beyond the range", 4096, 8192, 0, 4096, "", "" },
	{ "a zone around the range", 0, 9000, 0, 4096, "10:4", "10:4" },
	{ "one block, the lower buddy", 0, 4096, 1024, 1536, "9:1", "9:1" },
	{ "one block, the upper buddy", 0, 4096, 1536, 2048, "9:1", "9:1" },
	{ "two blocks that are no buddies", 0, 4096, 1536, 2560, "9:2", "9:2" },
	{ "a block and a page on either side", 0, 4096, 1023, 1537, "0:2 9:1", "9:1" },
	{ "half a block across a border", 0, 4096, 768, 1280, "8:2", "" },
	{ "one page", 0, 4096, 777, 778, "0:1", "" },
	{ "two pages that are no buddies", 0, 4096, 777, 779, "0:2", "" },
	{ "the last page", 0, 4096, 4095, 4096, "0:1", "" },
	{ "the first page", 0, 4096, 0, 1, "0:1", "" },
	{ "a run longer than a window", 0, 4096, 1, 4095,
	  "0:2 1:2 2:2 3:2 4:2 5:2 6:2 7:2 8:2 9:2 10:2", "9:2 10:2" },
};

/* Scans the first zone; the extents found, as "order:count ...". */
static const char *scan_text(const struct blockmap *map, int fd, enum scan_depth depth,
			     uint64_t *probes)
{
	static char text[256];
	struct scan_job job = { .topology = &world.topology, .depth = depth };
	size_t used = 0;

	assert_int_equal(kpageflags_scan(fd, map, &job, NULL), 0);
	text[0] = '\0';
	for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++)
		if (job.found.free[o])
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u:%" PRIu64,
						 used ? " " : "", o, job.found.free[o]);
	if (probes)
		*probes = job.probes;
	return text;
}

static void check_layout(const struct layout *layout, enum scan_depth depth, const char *expected)
{
	struct blockmap map;
	const char *text;
	int fd = kpageflags_open(tree.root, NULL);

	assert_true(fd >= 0);
	assert_int_equal(blockmap_alloc(&map, &world.topology), 0);
	text = scan_text(&map, fd, depth, NULL);
	if (strcmp(text, expected))
		fail_msg("%s, %s: \"%s\" instead of \"%s\"", layout->what, scan_depth_name(depth),
			 text, expected);
	blockmap_free(&map);
	close(fd);
}

static void test_layouts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		plain_world(layouts[i].start, layouts[i].end);
		for (uint64_t pfn = layouts[i].free_start; pfn < layouts[i].free_end; pfn++)
			world.flags[pfn] = KFREE;
		fixture_write(&tree, FILE_IN_TREE, world.flags, 4096 * sizeof(uint64_t));
		check_layout(&layouts[i], SCAN_FULL, layouts[i].full);
		check_layout(&layouts[i], SCAN_HEADS, layouts[i].heads);
	}
}

static void set_flags(uint64_t pfn, uint64_t flags)
{
	int fd = openat(tree.root, FILE_IN_TREE, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &flags, sizeof(flags), (off_t)(pfn * sizeof(flags))),
			 sizeof(flags));
	close(fd);
}

/*
 * Of a block that was free, heads look at the first and the last page alone. Pages
 * taken from its middle show at the next full scan, and then to heads as well.
 */
static void test_middle(void **state)
{
	uint64_t probes;
	struct blockmap map;
	int fd;

	(void)state;
	plain_world(0, 4096);
	for (uint64_t pfn = 0; pfn < 4096; pfn++)
		world.flags[pfn] = KFREE;
	fixture_write(&tree, FILE_IN_TREE, world.flags, 4096 * sizeof(uint64_t));
	fd = kpageflags_open(tree.root, NULL);
	assert_true(fd >= 0);
	assert_int_equal(blockmap_alloc(&map, &world.topology), 0);
	assert_string_equal(scan_text(&map, fd, SCAN_HEADS, &probes), "10:4");
	assert_int_equal(probes, 8 * 3 + 4); /* first page, last page, all; then the heads */
	set_flags(700, 0);
	assert_string_equal(scan_text(&map, fd, SCAN_HEADS, &probes), "10:4");
	assert_int_equal(probes, 8 * 2 + 4);
	assert_string_equal(scan_text(&map, fd, SCAN_FULL, NULL),
			    "0:1 1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1 10:3");
	assert_int_equal(blockmap_at(&map, 512)->free_pages, 511);
	assert_string_equal(scan_text(&map, fd, SCAN_HEADS, NULL), "9:1 10:3");
	/* free again: all of it is looked at */
	set_flags(700, KFREE);
	assert_string_equal(scan_text(&map, fd, SCAN_HEADS, NULL), "10:4");
	/* either end shows at once */
	set_flags(1024, 0);
	assert_string_equal(scan_text(&map, fd, SCAN_HEADS, NULL), "9:1 10:3");
	assert_int_equal(blockmap_at(&map, 1024)->flags, 0);
	assert_int_equal(blockmap_at(&map, 1024)->free_pages, 511); /* counted, not forgotten */
	set_flags(4095, 0);
	assert_string_equal(scan_text(&map, fd, SCAN_HEADS, NULL), "9:2 10:2");
	assert_int_equal(blockmap_at(&map, 3584)->flags, 0);
	assert_int_equal(blockmap_at(&map, 3584)->free_pages, 511);
	assert_int_equal(blockmap_at(&map, 3584)->order, SLUICE_NO_EXTENT);
	blockmap_free(&map);
	close(fd);
}

/* What a scan costs where nothing is free: one page's flags per block, one read per window. */
static void test_probes(void **state)
{
	struct scan_job job = { .topology = &world.topology };
	struct blockmap map;
	int fd;

	(void)state;
	plain_world(0, 4096);
	fixture_write(&tree, FILE_IN_TREE, world.flags, 4096 * sizeof(uint64_t));
	fd = kpageflags_open(tree.root, NULL);
	assert_int_equal(blockmap_alloc(&map, &world.topology), 0);
	job.depth = SCAN_HEADS;
	assert_int_equal(kpageflags_scan(fd, &map, &job, NULL), 0);
	assert_int_equal(job.probes, 8);
	job.depth = SCAN_FULL;
	assert_int_equal(kpageflags_scan(fd, &map, &job, NULL), 0);
	assert_int_equal(job.probes, 8 + 4);
	/* nor more where the file ends early */
	fixture_cut(&tree, FILE_IN_TREE, 1000 * sizeof(uint64_t));
	assert_int_equal(kpageflags_scan(fd, &map, &job, NULL), 0);
	assert_int_equal(job.probes, 8 + 4 + 4);
	blockmap_free(&map);
	close(fd);
}

static void test_errors(void **state)
{
	static const enum scan_depth depths[] = { SCAN_HEADS, SCAN_FULL };
	struct scan_job job = { .topology = &world.topology };
	struct errmsg err = { "" };
	struct blockmap map;
	int fd;

	(void)state;
	assert_int_equal(kpageflags_open(tree.root, &err), -ENOENT);
	assert_contains(err.text, "/proc/kpageflags: No such file");
	plain_world(0, 4096);
	assert_int_equal(blockmap_alloc(&map, &world.topology), 0);
	fixture_mkdir(&tree, FILE_IN_TREE);
	fd = kpageflags_open(tree.root, &err);
	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
		job.depth = depths[i];
		err.text[0] = '\0';
		assert_int_equal(kpageflags_scan(fd, &map, &job, &err), -EISDIR);
		assert_contains(err.text, "/proc/kpageflags at pfn 0: Is a directory");
		assert_int_equal(kpageflags_scan(-1, &map, &job, &err), -EBADF);
		for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++)
			assert_int_equal(job.found.free[o], 0);
	}
	blockmap_free(&map);
	close(fd);
}

/*
 * Reads that fail, each in turn: an error that names the file, or memory that ends
 * earlier than it did. What errno held before plays no part.
 */
static void test_failing_reads(void **state)
{
	static const struct {
		ssize_t result;
		int errno_then, rc; /* rc of a head's flags; others pass for pages without flags */
	} rows[] = { { -1, EIO, -EIO }, { 0, ENOENT, -EAGAIN }, { 4, 0, -EAGAIN } };
	const int reads = 8 * 3 + 4; /* as in test_middle(): then come four heads */

	(void)state;
	plain_world(0, 4096);
	for (uint64_t pfn = 0; pfn < 4096; pfn++)
		world.flags[pfn] = KFREE;
	fixture_write(&tree, FILE_IN_TREE, world.flags, 4096 * sizeof(uint64_t));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (int n = 0; n < reads; n++) {
			struct scan_job job = { .topology = &world.topology };
			const int fd = kpageflags_open(tree.root, NULL);
			struct errmsg err = { "" };
			struct blockmap map;
			int rc;

			assert_int_equal(blockmap_alloc(&map, &world.topology), 0);
			fail_result = rows[i].result;
			fail_errno = rows[i].errno_then;
			reads_left = n;
			rc = kpageflags_scan(fd, &map, &job, &err);
			reads_left = -1;
			if (rc)
				assert_contains(err.text, "/proc/kpageflags ");
			assert_int_equal(rc, n < reads - 4 && rows[i].result >= 0 ? 0 : rows[i].rc);
			blockmap_free(&map);
			close(fd);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define RANDOM(n) \
	{ "test_random of shape " #n, test_random, setup, teardown, (void *)(uintptr_t)&shapes[n] }
		RANDOM(0),
		RANDOM(1),
		RANDOM(2),
		RANDOM(3),
		RANDOM(4),
		RANDOM(5),
		cmocka_unit_test_setup_teardown(test_layouts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_middle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_probes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failing_reads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
