// SPDX-License-Identifier: GPL-2.0-only
/* Snapshots: one scan and the kernel's totals beside it. */
#include "observer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sluice/clock.h"
#include "sluice/file.h"
#include "sluice/knobs.h"

#define SNAPSHOT_TRIES 3 /* memory that comes or goes does so in steps of a section */

int observer_read_zones(struct observer *observer, struct sluice_zone_info *zones, unsigned int *nr,
			struct errmsg *err)
{
	if (observer->bpf_zones)
		return bpf_read_zones(observer->bpf, &observer->topology, zones, nr, err);
	return zones_read_text(observer->root, zones, nr, err);
}

/* The live order limit, as the kernel tests it; see snapshot.reporting_order. */
static int read_reporting_order(const struct observer *observer)
{
	int64_t order;

	if (!file_exists(observer->root, "sys/module/page_reporting"))
		/* 5.7 to 5.13: no knob, PAGE_REPORTING_MIN_ORDER is pageblock_order */
		return observer->topology.kernel_version < 5014 ?
			       (int)observer->topology.pageblock_order :
			       -1;
	if (file_read_int(observer->root, KNOB_REPORTING_ORDER, &order, NULL) < 0 || order < 0)
		return -1;
	return order > INT16_MAX ? INT16_MAX : (int)order; /* either is off */
}

static void zone_counts(struct zone_snapshot *zone, const struct sluice_scan_zone *found)
{
	for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++) {
		zone->orders[o].free = found->free[o];
		zone->orders[o].reported = found->reported[o];
		zone->orders[o].young = 0;
	}
	zone->repairs =
		(struct zone_repairs){ found->wrong_blocks, found->not_free, found->largest_error };
}

static int64_t zone_drift(const struct snapshot *snap, const struct zone_snapshot *zone)
{
	int64_t drift = 0;

	for (unsigned int o = snapshot_lowest_order(snap); o < snap->nr_orders; o++)
		drift += ((int64_t)zone->orders[o].free - (int64_t)zone->info.nr_free[o]) *
			 (int64_t)(1ULL << o);
	return drift;
}

static uint64_t min_age_of(const struct observer *observer, const struct sluice_zone_info *zone)
{
	for (unsigned int i = 0; i < observer->nr_min_ages; i++)
		if (observer->min_ages[i].node == zone->node &&
		    !strcmp(observer->min_ages[i].zone, zone->name))
			return observer->min_ages[i].ns;
	return 0;
}

/* Counts the unreported extents that have been free for less than @min_age, ns. */
static void count_young_in(const struct blockmap *map, const struct pfn_range *pfns,
			   uint64_t min_age, uint64_t now, struct order_count *orders)
{
	const uint64_t step = 1ULL << map->pageblock_order;

	for (uint64_t pfn = pfns->start & ~(step - 1); pfn < pfns->end; pfn += step) {
		const struct sluice_block *block = blockmap_at(map, pfn);
		struct sluice_block copy;

		if (!block)
			continue;
		copy = *block;
		if (copy.flags == SLUICE_BLOCK_FREE && copy.order != SLUICE_NO_EXTENT &&
		    blockmap_age(&copy, now) < min_age)
			orders[copy.order].young++;
	}
}

static void count_young(const struct observer *observer, struct zone_snapshot *zone, uint64_t now)
{
	const struct topology *topology = &observer->topology;
	const uint64_t min_age = min_age_of(observer, &zone->info);

	if (!min_age)
		return;
	for (unsigned int i = 0; i < topology->nr_parts; i++)
		if (topology->parts[i].zone == zone->index)
			count_young_in(observer_blocks(observer), &topology->parts[i].pfns, min_age,
				       now, zone->orders);
	/* the map may have moved on since the counts were taken */
	for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++) {
		struct order_count *count = &zone->orders[o];

		if (count->young > count->free - count->reported)
			count->young = count->free - count->reported;
	}
}

static int scan_zone(struct observer *observer, struct zone_snapshot *zone, struct snapshot *snap,
		     struct errmsg *err)
{
	struct scan_job job = {
		.topology = &observer->topology,
		.zone = zone->index,
		.depth = snap->depth,
	};
	int rc;

	if (snap->source == SOURCE_BPF)
		rc = bpf_scan(observer->bpf, &job, err);
	else
		rc = kpageflags_scan(observer->kpageflags, observer_blocks(observer), &job, err);
	if (rc)
		return rc;
	zone_counts(zone, &job.found);
	snap->probes += job.probes;
	return 0;
}

/* Totals only: what the lists hold is known, what of it is reported is not. */
static void counts_from_totals(struct snapshot *snap)
{
	snap->depth = SCAN_FULL;
	for (unsigned int i = 0; i < snap->nr_zones; i++)
		for (unsigned int o = 0; o < snap->nr_orders; o++)
			snap->zones[i].orders[o].free = snap->zones[i].info.nr_free[o];
}

/* The first scan of a new map finds nothing wrong in it: there is nothing in it yet. */
static void forget_repairs(struct snapshot *snap)
{
	for (unsigned int i = 0; i < snap->nr_zones; i++)
		snap->zones[i].repairs = (struct zone_repairs){ 0 };
}

/* Scans every zone; the totals are those right after, as close to the counts as can be. */
static int counts_from_scan(struct observer *observer, struct snapshot *snap, struct errmsg *err)
{
	struct sluice_zone_info after[SLUICE_MAX_ZONES];
	unsigned int nr_after = 0;
	int rc = 0;

	if (!observer->seeded)
		snap->depth = SCAN_FULL;
	for (unsigned int i = 0; !rc && i < snap->nr_zones; i++)
		rc = scan_zone(observer, &snap->zones[i], snap, err);
	if (!rc)
		rc = observer_read_zones(observer, after, &nr_after, err);
	if (rc)
		return rc;
	if (nr_after != snap->nr_zones ||
	    !topology_is_current(observer->root, &observer->topology, after, nr_after))
		return errmsg_set(err, -EAGAIN, "memory came or went during the scan");
	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		snap->zones[i].info = after[i];
		count_young(observer, &snap->zones[i], snap->time_ns);
	}
	if (!observer->seeded)
		forget_repairs(snap);
	observer->seeded = true;
	return 0;
}

/*
 * Whether memory came or went. The zones' spans and present pages show it, unless as
 * much came as went: full scans look at the sections themselves.
 */
static bool memory_changed(const struct observer *observer, const struct snapshot *snap,
			   const struct sluice_zone_info *zones)
{
	if (!topology_is_current(observer->root, &observer->topology, zones, snap->nr_zones))
		return true;
	return snap->depth == SCAN_FULL &&
	       !topology_same_sections(observer->root, &observer->topology);
}

/* The zones as they are, after the topology was read again if memory came or went. */
static int begin(struct observer *observer, struct snapshot *snap, struct errmsg *err)
{
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	int rc;

	rc = observer_read_zones(observer, zones, &snap->nr_zones, err);
	if (!rc && memory_changed(observer, snap, zones)) {
		rc = observer_refresh(observer, err);
		if (!rc)
			rc = observer_read_zones(observer, zones, &snap->nr_zones, err);
	}
	if (rc)
		return rc;
	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		const int index =
			topology_find_zone(&observer->topology, zones[i].node, zones[i].name);

		if (index < 0)
			return errmsg_set(err, -EAGAIN, "memory comes or goes at this moment");
		snap->zones[i].info = zones[i];
		snap->zones[i].index = (unsigned int)index;
	}
	return 0;
}

static int take(struct observer *observer, struct snapshot *snap, struct errmsg *err)
{
	const uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	int rc;

	rc = begin(observer, snap, err);
	if (rc)
		return rc;
	snap->time_ns = monotonic_ns();
	if (observer->bpf)
		bpf_set_time(observer->bpf, snap->time_ns);
	if (snap->source == SOURCE_BUDDYINFO)
		counts_from_totals(snap);
	else
		rc = counts_from_scan(observer, snap, err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < snap->nr_zones; i++)
		snap->zones[i].drift = zone_drift(snap, &snap->zones[i]);
	if (!observer->start_ns)
		observer->start_ns = snap->time_ns;
	snap->observed_ns = snap->time_ns - observer->start_ns;
	snap->cost_ns = monotonic_ns() - snap->time_ns;
	snap->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	return 0;
}

int observer_snapshot(struct observer *observer, enum scan_depth depth, struct snapshot *ret,
		      struct errmsg *err)
{
	struct snapshot snap;
	int rc;

	for (int try = 0; try < SNAPSHOT_TRIES; try++) {
		snap = (struct snapshot){
			.time_ns = monotonic_ns(),
			.depth = depth,
			.source = observer->source,
			.page_size = observer->topology.page_size,
			.nr_orders = observer->topology.highest_order + 1,
			.pageblock_order = observer->topology.pageblock_order,
			.reporting_order = read_reporting_order(observer),
		};
		rc = take(observer, &snap, err);
		if (rc != -EAGAIN)
			break;
	}
	if (rc)
		return rc;
	*ret = snap;
	return 0;
}

int observer_map_totals(struct observer *observer, struct map_totals *totals, struct errmsg *err)
{
	const struct blockmap *map = observer_blocks(observer);
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	struct map_totals sum = { 0 };
	unsigned int nr;
	int rc;

	if (observer->source == SOURCE_BUDDYINFO)
		return errmsg_set(err, -ENODATA, "there is no map without scans");
	rc = observer_read_zones(observer, zones, &nr, err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < nr; i++)
		for (unsigned int o = 0; o < zones[i].nr_orders; o++)
			sum.kernel += zones[i].nr_free[o] << o;
	for (uint32_t i = 0; i < map->nr_blocks; i++)
		sum.map += map->blocks[i].free_pages;
	*totals = sum;
	return 0;
}

void observer_set_min_age(struct observer *observer, unsigned int node, const char *zone,
			  uint64_t min_age)
{
	struct min_age *entry = NULL;

	for (unsigned int i = 0; i < observer->nr_min_ages; i++)
		if (observer->min_ages[i].node == node && !strcmp(observer->min_ages[i].zone, zone))
			entry = &observer->min_ages[i];
	if (!entry) {
		if (observer->nr_min_ages == SLUICE_MAX_ZONES)
			return;
		entry = &observer->min_ages[observer->nr_min_ages++];
		entry->node = node;
		snprintf(entry->zone, sizeof(entry->zone), "%s", zone);
	}
	entry->ns = min_age;
}
