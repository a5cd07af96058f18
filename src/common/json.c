// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/json.h"

#include <errno.h>
#include <inttypes.h>

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
	return json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:b, s:I, s:o}", "node",
			 (int)zone->info.node, "zone", zone->info.name, "start_pfn",
			 count(zone->info.start_pfn), "managed_bytes",
			 count(zone->info.managed_pages * snap->page_size), "free_bytes",
			 count(zone->info.free_pages * snap->page_size), "gate_bytes",
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

json_t *reporting_json(const struct reporting *reporting)
{
	return json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:I, s:b, s:b, s:o}", "backend",
			 reporting_backend_name(reporting->backend), "device", reporting->device,
			 "driver_bound", reporting->driver_bound, "feature_reporting",
			 reporting->feature_reporting, "feature_poison", reporting->feature_poison,
			 "has_order", reporting->has_order, "order", (json_int_t)reporting->order,
			 "off_value", reporting->off_value, "has_delay", reporting->has_delay,
			 "delay_ms", count(reporting->delay_ns / 1000000));
}

int json_print(const json_t *json, bool indent, FILE *out)
{
	if (json_dumpf(json, out, indent ? JSON_INDENT(2) : JSON_COMPACT) ||
	    fputc('\n', out) == EOF)
		return -EIO;
	return fflush(out) ? -EIO : 0;
}
