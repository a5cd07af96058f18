// SPDX-License-Identifier: GPL-2.0-only
/* Snapshots and facts out of the daemon's answers: what json.c wrote. */
#include "sluice/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint64_t number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static bool flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void copy_text(const json_t *object, const char *key, char *buf, size_t size)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(buf, size, "%s", text ? text : "");
}

/* Whether all of these members, up to NULL, are integers of 0 or more. */
static bool has_numbers(const json_t *object, const char *const *keys)
{
	for (; *keys; keys++) {
		const json_t *value = json_object_get(object, *keys);

		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return false;
	}
	return true;
}

static int wrong(struct errmsg *err, const char *what)
{
	return errmsg_set(err, -EBADMSG,
			  "sluiced's answer has %s: restart sluiced if it is of another version",
			  what);
}

static int read_order(const json_t *json, unsigned int order, struct zone_snapshot *zone,
		      struct errmsg *err)
{
	static const char *const keys[] = { "free_extents", "nr_free", NULL };

	if (!has_numbers(json, keys) || number(json, "order") != order)
		return wrong(err, "an order without its counts");
	zone->orders[order].free = number(json, "free_extents");
	zone->orders[order].reported = number(json, "reported_extents");
	zone->info.nr_free[order] = number(json, "nr_free");
	if (zone->orders[order].reported > zone->orders[order].free)
		return wrong(err, "more extents reported than free");
	return 0;
}

static int read_zone(const json_t *json, const struct snapshot *snap, struct zone_snapshot *zone,
		     struct errmsg *err)
{
	static const char *const keys[] = { "node",	  "start_pfn",	      "managed_bytes",
					    "free_bytes", "highatomic_bytes", "low_bytes",
					    NULL };
	const json_t *orders = json_object_get(json, "orders");
	int rc = 0;

	if (!has_numbers(json, keys) || json_array_size(orders) != snap->nr_orders)
		return wrong(err, "a zone without its totals");
	copy_text(json, "zone", zone->info.name, sizeof(zone->info.name));
	zone->info.node = (uint32_t)number(json, "node");
	zone->info.nr_orders = snap->nr_orders;
	zone->info.start_pfn = number(json, "start_pfn");
	zone->info.managed_pages = number(json, "managed_bytes") / snap->page_size;
	zone->info.free_pages = number(json, "free_bytes") / snap->page_size;
	zone->info.low_wmark = number(json, "low_bytes") / snap->page_size;
	zone->info.reserved_highatomic = number(json, "highatomic_bytes") / snap->page_size;
	zone->drift = json_integer_value(json_object_get(json, "drift_pages"));
	for (unsigned int o = 0; !rc && o < snap->nr_orders; o++)
		rc = read_order(json_array_get(orders, o), o, zone, err);
	return rc;
}

static int read_source(const json_t *json, enum scan_source *ret, struct errmsg *err)
{
	const char *name = json_string_value(json_object_get(json, "source"));

	for (enum scan_source source = SOURCE_BPF; source <= SOURCE_BUDDYINFO; source++) {
		if (name && !strcmp(name, scan_source_name(source))) {
			*ret = source;
			return 0;
		}
	}
	return wrong(err, "no source that is known here");
}

int snapshot_from_json(const json_t *json, struct snapshot *ret, struct errmsg *err)
{
	static const char *const keys[] = { "page_size", "pageblock_order", NULL };
	const json_t *zones = json_object_get(json, "zones");
	const json_t *orders = json_object_get(json_array_get(zones, 0), "orders");
	struct snapshot snap = { .depth = SCAN_FULL };
	int rc;

	if (!has_numbers(json, keys) || !number(json, "page_size") || !json_array_size(zones) ||
	    json_array_size(zones) > SLUICE_MAX_ZONES || !json_array_size(orders) ||
	    json_array_size(orders) > SLUICE_MAX_ORDERS)
		return wrong(err, "no snapshot");
	rc = read_source(json, &snap.source, err);
	snap.page_size = number(json, "page_size");
	snap.pageblock_order = (unsigned int)number(json, "pageblock_order");
	snap.reporting_order = (int)json_integer_value(json_object_get(json, "reporting_order"));
	snap.cost_ns = number(json, "cost_ns");
	snap.probes = number(json, "probes");
	snap.nr_orders = (unsigned int)json_array_size(orders);
	snap.nr_zones = (unsigned int)json_array_size(zones);
	for (unsigned int z = 0; !rc && z < snap.nr_zones; z++)
		rc = read_zone(json_array_get(zones, z), &snap, &snap.zones[z], err);
	if (!rc)
		*ret = snap;
	return rc;
}

void reporting_from_json(const json_t *json, struct reporting *ret)
{
	char backend[32];

	*ret = (struct reporting){
		.driver_bound = flag(json, "driver_bound"),
		.feature_reporting = flag(json, "feature_reporting"),
		.feature_poison = flag(json, "feature_poison"),
		.poisoned = flag(json, "poisoned"),
		.feature_deflate_on_oom = flag(json, "feature_deflate_on_oom"),
		.has_order = flag(json, "has_order"),
		.order = json_integer_value(json_object_get(json, "order")),
		.off_value = flag(json, "off_value"),
		.has_delay = flag(json, "has_delay"),
		.delay_ns = number(json, "delay_ms") * 1000000,
	};
	copy_text(json, "device", ret->device, sizeof(ret->device));
	copy_text(json, "backend", backend, sizeof(backend));
	for (enum reporting_backend b = BACKEND_NONE; b <= BACKEND_HYPERV; b++)
		if (!strcmp(backend, reporting_backend_name(b)))
			ret->backend = b;
}
