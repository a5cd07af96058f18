// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static json_t *count(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *order_json(const struct snapshot *snap, const struct zone_snapshot *zone,
			  unsigned int order)
{
	const struct order_count *counts = &zone->orders[order];
	const bool known = snap->source != SOURCE_BUDDYINFO;

	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "order", (int)order, "free_extents",
			 count(counts->free), "reported_extents",
			 known ? count(counts->reported) : json_null(), "reportable_extents",
			 known ? count(order_reportable_now(snap, zone, order)) : json_null(),
			 "free_bytes", count(counts->free * (snap->page_size << order)), "nr_free",
			 count(zone->info.nr_free[order]));
}

/* The order whose gate is shown: the live limit, or what it would be if reporting were on. */
static unsigned int gate_order(const struct snapshot *snap)
{
	if (snap->reporting_order < 0)
		return snap->pageblock_order;
	if ((unsigned int)snap->reporting_order >= snap->nr_orders)
		return snap->nr_orders - 1;
	return (unsigned int)snap->reporting_order;
}

static json_t *zone_json(const struct snapshot *snap, const struct zone_snapshot *zone)
{
	const unsigned int limit = gate_order(snap);
	json_t *orders = json_array();

	for (unsigned int o = snapshot_lowest_order(snap); o < snap->nr_orders; o++)
		json_array_append_new(orders, order_json(snap, zone, o));
	return json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:I, s:o}", "node",
			 (int)zone->info.node, "zone", zone->info.name, "start_pfn",
			 count(zone->info.start_pfn), "managed_bytes",
			 count(zone->info.managed_pages * snap->page_size), "free_bytes",
			 count(zone->info.free_pages * snap->page_size), "low_bytes",
			 count(zone->info.low_wmark * snap->page_size), "highatomic_bytes",
			 count(zone->info.reserved_highatomic * snap->page_size), "gate_bytes",
			 count(zone_gate_pages(&zone->info, limit) * snap->page_size), "gate_open",
			 zone_gate_open(&zone->info, limit), "drift_pages", (json_int_t)zone->drift,
			 "orders", orders);
}

json_t *snapshot_json(const struct snapshot *snap)
{
	json_t *zones = json_array();

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		json_array_append_new(zones, zone_json(snap, &snap->zones[i]));
	return json_pack("{s:i, s:s, s:s, s:o, s:o, s:o, s:i, s:i, s:o}", "version", JSON_VERSION,
			 "source", scan_source_name(snap->source), "scan",
			 scan_depth_name(snap->depth), "cost_ns", count(snap->cost_ns), "probes",
			 count(snap->probes), "page_size", count(snap->page_size),
			 "pageblock_order", (int)snap->pageblock_order, "reporting_order",
			 snap->reporting_order, "zones", zones);
}

/* {"from_<unit>":N, "below_<unit>":N or null}: bounds of a bucket. */
static json_t *bucket_json(const char *unit, uint64_t from, uint64_t below)
{
	json_t *bucket = json_object();
	char key[32];

	snprintf(key, sizeof(key), "from_%s", unit);
	json_object_set_new(bucket, key, count(from));
	snprintf(key, sizeof(key), "below_%s", unit);
	json_object_set_new(bucket, key, below ? count(below) : json_null());
	return bucket;
}

static json_t *time_bucket_json(unsigned int bucket)
{
	const uint64_t tick = 1ULL << SLUICE_TICK_SHIFT;

	return bucket_json("ns", bucket ? tick << (bucket - 1) : 0, tick << bucket);
}

static json_t *runs_json(const struct zone_view *view)
{
	json_t *classes = json_array();

	for (unsigned int c = 0; c < VIEW_RUN_CLASSES; c++) {
		json_t *entry;

		if (!view->run_count[c])
			continue;
		entry = bucket_json("pages", 1ULL << c, c + 1 < VIEW_RUN_CLASSES ? 2ULL << c : 0);
		json_object_set_new(entry, "runs", count(view->run_count[c]));
		json_object_set_new(entry, "free_pages", count(view->run_pages[c]));
		json_array_append_new(classes, entry);
	}
	return json_pack(
		"{s:o, s:o, s:o}", "longest_pages", count(view->longest_pages), "longest_start_pfn",
		view->longest_pages ? count(view->longest_pfn) : json_null(), "classes", classes);
}

static json_t *ages_json(const struct zone_view *view)
{
	json_t *ages = json_array();

	for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++) {
		json_t *entry;

		if (!view->free_blocks[b] && !view->partial_pages[b])
			continue;
		entry = time_bucket_json(b);
		json_object_set_new(entry, "free_blocks", count(view->free_blocks[b]));
		json_object_set_new(entry, "reported_blocks", count(view->reported_blocks[b]));
		json_object_set_new(entry, "partial_pages", count(view->partial_pages[b]));
		json_array_append_new(ages, entry);
	}
	return ages;
}

static json_t *almost_free_json(const struct zone_view *view, unsigned int pageblock_order)
{
	json_t *blocks = json_array();
	uint64_t pages = 0;

	for (unsigned int c = 0; c < VIEW_ALMOST_CLASSES; c++) {
		json_t *entry = bucket_json("pages", ((8ULL + c) << pageblock_order) / 16,
					    ((9ULL + c) << pageblock_order) / 16);

		json_object_set_new(entry, "blocks", count(view->almost_free[c]));
		json_object_set_new(entry, "free_pages", count(view->almost_free_pages[c]));
		json_array_append_new(blocks, entry);
		pages += view->almost_free_pages[c];
	}
	return json_pack("{s:o, s:o}", "free_pages", count(pages), "classes", blocks);
}

static json_t *times_json(const uint64_t *buckets)
{
	json_t *times = json_array();

	for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++) {
		json_t *entry;

		if (!buckets[b])
			continue;
		entry = time_bucket_json(b);
		json_object_set_new(entry, "blocks", count(buckets[b]));
		json_array_append_new(times, entry);
	}
	return times;
}

static uint64_t sum(const uint64_t *buckets)
{
	uint64_t all = 0;

	for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++)
		all += buckets[b];
	return all;
}

static void add_unusable(json_t *json, const struct snapshot *snap,
			 const struct zone_snapshot *zone)
{
	const json_t *orders = json_object_get(json, "orders");
	json_t *order;
	size_t i;

	json_array_foreach(orders, i, order) json_object_set_new(
		order, "unusable_share", json_real(view_unusable(snap, zone, (unsigned int)i)));
}

static void add_view(json_t *json, const struct snapshot *snap, const struct zone_snapshot *zone,
		     const struct topology *topology, const struct blockmap *map)
{
	const struct sluice_zone_times *times = &map->times[zone->index];
	struct zone_view view;

	view_zone(map, topology, zone, snap->time_ns, &view);
	json_object_set_new(json, "runs", runs_json(&view));
	json_object_set_new(json, "ages", ages_json(&view));
	json_object_set_new(json, "almost_free", almost_free_json(&view, snap->pageblock_order));
	json_object_set_new(json, "lifetimes", times_json(times->lifetimes));
	json_object_set_new(json, "reuse", times_json(times->reuse));
	json_object_set_new(json, "reported_blocks", count(times->reported));
	json_object_set_new(json, "reused_blocks", count(sum(times->reuse)));
}

json_t *hist_json(const struct snapshot *snap, const struct topology *topology,
		  const struct blockmap *map)
{
	json_t *json = snapshot_json(snap), *zones = json_object_get(json, "zones");

	json_object_set_new(json, "observed_ns", count(snap->observed_ns));
	if (snap->depth != SCAN_FULL)
		return json;
	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		json_t *zone = json_array_get(zones, i);

		add_unusable(zone, snap, &snap->zones[i]);
		if (snap->source != SOURCE_BUDDYINFO)
			add_view(zone, snap, &snap->zones[i], topology, map);
	}
	return json;
}

static char block_letter(const struct blockmap *map, const struct sluice_block *block)
{
	if (!block)
		return '0';
	if (block->flags & SLUICE_BLOCK_REPORTED)
		return 'R';
	if (block->flags & SLUICE_BLOCK_FREE)
		return 'F';
	return (char)('0' + (block->free_pages * 8U >> map->pageblock_order) % 8);
}

static json_t *part_json(const struct topology *topology, const struct blockmap *map,
			 const struct zone_range *part)
{
	const struct topology_zone *zone = &topology->zones[part->zone];
	const uint64_t step = 1ULL << map->pageblock_order;
	const uint64_t first = part->pfns.start & ~(step - 1);
	const size_t nr = (size_t)((part->pfns.end - first + step - 1) / step);
	char *letters = malloc(nr);
	json_t *json;

	if (!letters)
		return NULL;
	for (size_t i = 0; i < nr; i++)
		letters[i] = block_letter(map, blockmap_at(map, first + i * step));
	json = json_pack("{s:i, s:s, s:o, s:s%}", "node", (int)zone->node, "zone", zone->name,
			 "start_pfn", count(first), "blocks", letters, nr);
	free(letters);
	return json;
}

json_t *map_json(const struct topology *topology, const struct blockmap *map)
{
	json_t *parts = json_array();

	for (unsigned int i = 0; i < topology->nr_parts; i++)
		json_array_append_new(parts, part_json(topology, map, &topology->parts[i]));
	return json_pack("{s:i, s:o, s:i, s:i, s:o}", "version", JSON_VERSION, "page_size",
			 count(topology->page_size), "pageblock_order",
			 (int)topology->pageblock_order, "section_order",
			 (int)topology->section_order, "parts", parts);
}

json_t *reporting_json(const struct reporting *reporting)
{
	return json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:I, s:b, s:b, s:o}", "backend",
			 reporting_backend_name(reporting->backend), "device", reporting->device,
			 "driver_bound", reporting->driver_bound, "feature_reporting",
			 reporting->feature_reporting, "feature_poison", reporting->feature_poison,
			 "poisoned", reporting->poisoned, "feature_deflate_on_oom",
			 reporting->feature_deflate_on_oom, "has_order", reporting->has_order,
			 "order", (json_int_t)reporting->order, "off_value", reporting->off_value,
			 "has_delay", reporting->has_delay, "delay_ms",
			 count(reporting->delay_ns / 1000000));
}

int json_print(const json_t *json, bool indent, FILE *out)
{
	if (json_dumpf(json, out, indent ? JSON_INDENT(2) : JSON_COMPACT) ||
	    fputc('\n', out) == EOF)
		return -EIO;
	return fflush(out) ? -EIO : 0;
}
