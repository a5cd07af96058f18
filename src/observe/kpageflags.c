// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free extents from /proc/kpageflags (CONFIG_PROC_PAGE_MONITOR, root): the way
 * without BPF.
 *
 * KPF_BUDDY is set on every page of a free extent, orders are not shown. They
 * follow from the runs: two free buddies of one order never stay apart, so the
 * extents of a run are its largest naturally aligned pieces. (Exception:
 * pageblocks of types that may not merge, isolated ones for instance.)
 * KPF_UPTODATE on the head of a free extent is PG_reported, which shares its
 * bit with PG_uptodate (fs/proc/page.c).
 */
#include "scanner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kernel-page-flags.h>
#include <string.h>
#include <unistd.h>

#include "sluice/clock.h"

#define BUDDY	 (1ULL << KPF_BUDDY)
#define UPTODATE (1ULL << KPF_UPTODATE)
#define CHUNK	 1024 /* pages read at once */

int kpageflags_open(int root, struct errmsg *err)
{
	int fd = openat(root, "proc/kpageflags", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errmsg_set(err, -errno, "/proc/kpageflags: %m");
	return fd;
}

/* A window on the file that moves forward. */
struct window {
	int fd;
	uint64_t start; /* pfn of flags[0] */
	uint64_t nr;
	uint64_t flags[CHUNK];
	uint64_t reads;
};

/* Reads the flags of [pfn, pfn + CHUNK); pages behind the last have none. */
static int window_read(struct window *window, uint64_t pfn, uint64_t nr, struct errmsg *err)
{
	ssize_t got;

	got = pread(window->fd, window->flags, nr * sizeof(uint64_t),
		    (off_t)(pfn * sizeof(uint64_t)));
	if (got < 0)
		return errmsg_set(err, -errno, "/proc/kpageflags at pfn %" PRIu64 ": %m", pfn);
	window->start = pfn;
	window->nr = (uint64_t)got / sizeof(uint64_t);
	memset(&window->flags[window->nr], 0, (nr - window->nr) * sizeof(uint64_t));
	window->nr = nr;
	window->reads++;
	return 0;
}

static int window_flags(struct window *window, uint64_t pfn, uint64_t *ret, struct errmsg *err)
{
	int rc;

	if (pfn < window->start || pfn >= window->start + window->nr) {
		rc = window_read(window, pfn, CHUNK, err);
		if (rc)
			return rc;
	}
	*ret = window->flags[pfn - window->start];
	return 0;
}

/* One page's flags; outside the window without moving it. */
static int flags_of(struct window *window, uint64_t pfn, uint64_t *ret, struct errmsg *err)
{
	ssize_t got;

	if (pfn >= window->start && pfn < window->start + window->nr) {
		*ret = window->flags[pfn - window->start];
		return 0;
	}
	window->reads++;
	got = pread(window->fd, ret, sizeof(*ret), (off_t)(pfn * sizeof(*ret)));
	if (got < 0)
		return errmsg_set(err, -errno, "/proc/kpageflags at pfn %" PRIu64 ": %m", pfn);
	if (got != sizeof(*ret)) /* memory went since the page was seen free */
		return errmsg_set(err, -EAGAIN, "/proc/kpageflags now ends before pfn %" PRIu64,
				  pfn);
	return 0;
}

struct walk {
	struct scan_job *job;
	const struct blockmap *map;
	uint64_t now_ns;
	extent_visitor visit; /* or NULL */
	void *context;
	struct window window;
};

static void set_block(struct walk *walk, struct sluice_block *block, uint32_t free_pages,
		      unsigned int order, bool reported)
{
	const struct block_found found = { walk->job->zone, free_pages, order, reported };

	blockmap_set(walk->map, block, *block, &found, walk->now_ns, &walk->job->found);
}

/*
 * Counts one extent, sets the records of the whole blocks below it, and shows it
 * to the visitor, whose result is returned.
 */
static int add_extent(struct walk *walk, uint64_t pfn, unsigned int order, bool reported)
{
	const struct free_extent extent = { .pfn = pfn, .order = order, .reported = reported };
	const unsigned int block_order = walk->map->pageblock_order;

	walk->job->found.free[order]++;
	if (reported)
		walk->job->found.reported[order]++;
	for (uint64_t at = pfn; order >= block_order && at < pfn + (1ULL << order);
	     at += 1ULL << block_order) {
		struct sluice_block *block = blockmap_at(walk->map, at);

		if (block)
			set_block(walk, block, 1U << block_order,
				  at == pfn ? order : SLUICE_NO_EXTENT, reported);
	}
	return walk->visit ? walk->visit(walk->context, &extent) : 0;
}

/* Largest order of a naturally aligned piece at @pfn that ends at @end or before. */
static unsigned int piece_order(const struct topology *topology, uint64_t pfn, uint64_t end)
{
	unsigned int order = topology->highest_order;

	while (order && (pfn & ((1ULL << order) - 1) || pfn + (1ULL << order) > end))
		order--;
	return order;
}

/* Splits the run [pfn, end) of free pages into its extents. */
static int add_run(struct walk *walk, uint64_t pfn, uint64_t end, struct errmsg *err)
{
	while (pfn < end) {
		const unsigned int order = piece_order(walk->job->topology, pfn, end);
		uint64_t flags;
		int rc = flags_of(&walk->window, pfn, &flags, err);

		if (!rc)
			rc = add_extent(walk, pfn, order, flags & UPTODATE);
		if (rc)
			return rc;
		pfn += 1ULL << order;
	}
	return 0;
}

/* Sets the record of a block that is not free as a whole. */
static void set_partial(struct walk *walk, uint64_t pfn, uint32_t free_pages)
{
	struct sluice_block *block = blockmap_at(walk->map, pfn);

	if (block && free_pages < 1U << walk->map->pageblock_order)
		set_block(walk, block, free_pages, SLUICE_NO_EXTENT, false);
}

/* Every page's flags, one after the other; runs may cross pageblocks. */
static int walk_full(struct walk *walk, const struct pfn_range *range, struct errmsg *err)
{
	const uint64_t block_mask = (1ULL << walk->map->pageblock_order) - 1;
	uint64_t run = range->start;
	uint32_t block_free = 0;
	int rc = 0;

	for (uint64_t pfn = range->start; !rc && pfn < range->end; pfn++) {
		uint64_t flags;

		rc = window_flags(&walk->window, pfn, &flags, err);
		if (rc)
			break;
		if (flags & BUDDY) {
			block_free++;
		} else {
			if (run < pfn)
				rc = add_run(walk, run, pfn, err);
			run = pfn + 1;
		}
		if ((pfn & block_mask) == block_mask) {
			set_partial(walk, pfn, block_free);
			block_free = 0;
		}
	}
	if (!rc && run < range->end)
		rc = add_run(walk, run, range->end, err);
	/* memory need not end with a whole block */
	if (!rc && range->end & block_mask)
		set_partial(walk, range->end - 1, block_free);
	return rc;
}

static int page_is_free(struct walk *walk, uint64_t pfn, bool *ret, struct errmsg *err)
{
	int rc = window_read(&walk->window, pfn, 1, err);

	*ret = !rc && walk->window.flags[0] & BUDDY;
	return rc;
}

/* Free pages of the block at @pfn. */
static int count_free(struct walk *walk, uint64_t pfn, uint32_t *ret, struct errmsg *err)
{
	const uint64_t pages = 1ULL << walk->map->pageblock_order;
	const uint64_t nr = pages < CHUNK ? pages : CHUNK;
	uint32_t count = 0;
	int rc = 0;

	for (uint64_t at = pfn; !rc && at < pfn + pages; at += nr) {
		rc = window_read(&walk->window, at, nr, err);
		for (uint64_t i = 0; !rc && i < nr; i++)
			count += !!(walk->window.flags[i] & BUDDY);
	}
	*ret = count;
	return rc;
}

/*
 * Whether the pageblock at @pfn is free as a whole. Reading all its flags is
 * what makes this source slow, so a block that was free before still counts as
 * free if its first and its last page are. Pages taken from its middle since
 * then show at the next full scan, or at once where events are attached.
 */
static int block_is_free(struct walk *walk, uint64_t pfn, bool *ret, struct errmsg *err)
{
	const uint32_t pages = 1U << walk->map->pageblock_order;
	const struct sluice_block *block = blockmap_at(walk->map, pfn);
	const bool was_free = block && block->flags & SLUICE_BLOCK_FREE;
	uint32_t free_pages;
	int rc;

	rc = page_is_free(walk, pfn, ret, err);
	if (!rc && *ret)
		rc = page_is_free(walk, pfn + pages - 1, ret, err);
	if (rc || *ret == was_free)
		return rc;
	rc = count_free(walk, pfn, &free_pages, err);
	*ret = free_pages == pages;
	if (!rc && !*ret && was_free) /* so that the record is right afterwards */
		set_partial(walk, pfn, free_pages);
	return rc;
}

/* Whole blocks only: runs of free blocks are split like runs of pages. */
static int walk_heads(struct walk *walk, const struct pfn_range *range, struct errmsg *err)
{
	const uint64_t pages = 1ULL << walk->map->pageblock_order;
	uint64_t run = range->start, pfn;
	int rc = 0;

	for (pfn = range->start; !rc && pfn + pages <= range->end; pfn += pages) {
		bool is_free;

		rc = block_is_free(walk, pfn, &is_free, err);
		if (rc || is_free)
			continue;
		if (run < pfn)
			rc = add_run(walk, run, pfn, err);
		run = pfn + pages;
	}
	if (!rc && run < pfn)
		rc = add_run(walk, run, pfn, err);
	return rc;
}

int kpageflags_scan(int fd, const struct blockmap *map, struct scan_job *job, struct errmsg *err)
{
	const uint64_t block_mask = (1ULL << map->pageblock_order) - 1;
	struct walk walk = { .job = job, .map = map, .now_ns = monotonic_ns(), .window.fd = fd };
	int rc = 0;

	for (unsigned int i = 0; !rc && i < job->topology->nr_parts; i++) {
		struct pfn_range part = job->topology->parts[i].pfns;

		if (job->topology->parts[i].zone != job->zone)
			continue;
		if (job->depth == SCAN_FULL) {
			rc = walk_full(&walk, &part, err);
		} else {
			part.start = (part.start + block_mask) & ~block_mask;
			rc = walk_heads(&walk, &part, err);
		}
	}
	job->probes += walk.window.reads;
	return rc;
}

int kpageflags_visit(int fd, const struct blockmap *map, const struct topology *topology,
		     extent_visitor visit, void *context, uint64_t *probes, struct errmsg *err)
{
	struct scan_job job = { .topology = topology, .depth = SCAN_FULL };
	struct walk walk = {
		.job = &job,
		.map = map,
		.now_ns = monotonic_ns(),
		.visit = visit,
		.context = context,
		.window.fd = fd,
	};
	int rc = 0;

	for (unsigned int i = 0; !rc && i < topology->nr_parts; i++) {
		job.zone = topology->parts[i].zone;
		rc = walk_full(&walk, &topology->parts[i].pfns, err);
	}
	*probes += walk.window.reads;
	return rc;
}
