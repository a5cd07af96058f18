// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/snapshot.h"

static uint64_t extent_bytes(const struct snapshot *snap, unsigned int order)
{
	return snap->page_size << order;
}

unsigned int snapshot_lowest_order(const struct snapshot *snap)
{
	return snap->depth == SCAN_FULL ? 0 : snap->pageblock_order;
}

uint64_t zone_gate_pages(const struct sluice_zone_info *zone, unsigned int order)
{
	/* until 6.1 the order limit may be any number; the kernel then reports nothing */
	if (order > SLUICE_MAX_ORDERS)
		order = SLUICE_MAX_ORDERS;
	return zone->low_wmark + ((uint64_t)REPORTING_CAPACITY << order);
}

bool zone_gate_open(const struct sluice_zone_info *zone, unsigned int order)
{
	/* __zone_watermark_ok() with order 0 and ALLOC_CMA */
	return zone->free_pages > zone_gate_pages(zone, order) + zone->reserved_highatomic;
}

uint64_t zone_reportable(const struct snapshot *snap, const struct zone_snapshot *zone,
			 unsigned int order, bool ripe)
{
	const unsigned int lowest = snapshot_lowest_order(snap);
	uint64_t bytes = 0;

	if (snap->source == SOURCE_BUDDYINFO || !zone_gate_open(&zone->info, order))
		return 0;
	for (unsigned int o = order > lowest ? order : lowest; o < snap->nr_orders; o++) {
		const struct order_count *count = &zone->orders[o];
		uint64_t extents = count->free - count->reported;

		if (ripe)
			extents -= count->young;
		bytes += extents * extent_bytes(snap, o);
	}
	return bytes;
}

uint64_t snapshot_reportable(const struct snapshot *snap, unsigned int order, bool ripe)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		bytes += zone_reportable(snap, &snap->zones[i], order, ripe);
	return bytes;
}

uint64_t order_reportable_now(const struct snapshot *snap, const struct zone_snapshot *zone,
			      unsigned int order)
{
	if (snap->source == SOURCE_BUDDYINFO || snap->reporting_order < 0 ||
	    (int)order < snap->reporting_order ||
	    !zone_gate_open(&zone->info, (unsigned int)snap->reporting_order))
		return 0;
	return zone->orders[order].free - zone->orders[order].reported;
}

uint64_t snapshot_free(const struct snapshot *snap)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		for (unsigned int o = snapshot_lowest_order(snap); o < snap->nr_orders; o++)
			bytes += snap->zones[i].orders[o].free * extent_bytes(snap, o);
	return bytes;
}

uint64_t snapshot_reported(const struct snapshot *snap)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		for (unsigned int o = snapshot_lowest_order(snap); o < snap->nr_orders; o++)
			bytes += snap->zones[i].orders[o].reported * extent_bytes(snap, o);
	return bytes;
}

const char *scan_source_name(enum scan_source source)
{
	static const char *const names[] = {
		[SOURCE_BPF] = "bpf",
		[SOURCE_KPAGEFLAGS] = "kpageflags",
		[SOURCE_BUDDYINFO] = "buddyinfo",
	};

	return names[source];
}

const char *scan_depth_name(enum scan_depth depth)
{
	return depth == SCAN_FULL ? "full" : "heads";
}
