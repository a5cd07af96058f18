/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Views of the free-extent map of one zone: what of the free memory lies together,
 * since when it is free, and which pageblocks are nearly free. Pure functions over
 * a map and a snapshot; no view changes either.
 */
#ifndef SLUICE_VIEW_H
#define SLUICE_VIEW_H

#include <stdint.h>

#include "sluice/blockmap.h"
#include "sluice/snapshot.h"
#include "sluice/topology.h"

/*
 * Size classes of runs: class n holds runs of 2^n pages, inclusive, to 2^(n+1)
 * pages, exclusive; the last one, 1 GiB with 4 KiB pages, all that are longer too.
 */
#define VIEW_RUN_CLASSES 19

/*
 * Classes of almost free pageblocks, of which at least half is free, but not all:
 * class n holds those with (8 + n) sixteenths free, inclusive, to (9 + n), exclusive.
 */
#define VIEW_ALMOST_CLASSES 8

struct zone_view {
	/*
	 * Runs of free pages. In pageblocks that are free as a whole, neighbours are
	 * merged, beyond the highest order; in others, each extent is a run of its own.
	 */
	uint64_t run_count[VIEW_RUN_CLASSES];
	uint64_t run_pages[VIEW_RUN_CLASSES];
	uint64_t longest_pages; /* 0: no pageblock is free as a whole */
	uint64_t longest_pfn;	/* where it starts */

	/* Ages in buckets of time, see SLUICE_TIME_BUCKETS. */
	uint64_t free_blocks[SLUICE_TIME_BUCKETS];     /* free as a whole, for that long */
	uint64_t reported_blocks[SLUICE_TIME_BUCKETS]; /* of these, reported */
	uint64_t partial_pages[SLUICE_TIME_BUCKETS];   /* free pages of other blocks, for at least
							* that long, to one snapshot */

	uint64_t almost_free[VIEW_ALMOST_CLASSES];	 /* pageblocks */
	uint64_t almost_free_pages[VIEW_ALMOST_CLASSES]; /* free pages in them */
};

/* The view of the zone that @zone is the snapshot of, taken from @map at about the same time. */
void view_zone(const struct blockmap *map, const struct topology *topology,
	       const struct zone_snapshot *zone, uint64_t now_ns, struct zone_view *ret);

/*
 * Share of the zone's free memory, 0 to 1, that lies in extents below @order and so
 * can't serve an allocation of that order (the kernel's unusable_free_index(),
 * mm/vmstat.c). 0 if nothing is free; needs a full snapshot.
 */
double view_unusable(const struct snapshot *snap, const struct zone_snapshot *zone,
		     unsigned int order);

#endif
