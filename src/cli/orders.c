// SPDX-License-Identifier: GPL-2.0-only
/* hist --view orders: free extents by zone and order, what is reported, what is too small. */
#include "views.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "picture.h"
#include "sluice/units.h"

#define BAR_WIDTH 25

/* Sums over the orders of one zone, or of all. Bytes. */
struct sums {
	uint64_t free, reported, reportable;
	bool known; /* what is reported */
};

static void add_order(struct sums *sums, const json_t *order, uint64_t page_size)
{
	const uint64_t size = page_size << member(order, "order");

	sums->free += member(order, "free_extents") * size;
	sums->reported += member(order, "reported_extents") * size;
	sums->reportable += member(order, "reportable_extents") * size;
	sums->known = !json_is_null(json_object_get(order, "reported_extents"));
}

static const char *order_bar(const json_t *order, uint64_t page_size, uint64_t zone_free,
			     char buf[BAR_TEXT])
{
	const uint64_t size = page_size << member(order, "order");
	const uint64_t reported = member(order, "reported_extents");
	const uint64_t reportable = member(order, "reportable_extents");
	const struct bar_part parts[] = {
		{ '#', reported * size },
		{ '+', reportable * size },
		{ '.', (member(order, "free_extents") - reported - reportable) * size },
	};

	return bar_text(parts, sizeof(parts) / sizeof(parts[0]), zone_free, BAR_WIDTH, buf);
}

static void print_order(const json_t *order, uint64_t page_size, uint64_t zone_free)
{
	const uint64_t number = member(order, "order"), extents = member(order, "free_extents");
	const json_t *unusable = json_object_get(order, "unusable_share");
	char size[UNITS_TEXT], bytes[UNITS_TEXT], bar[BAR_TEXT];
	char reported[SHARE_TEXT] = "-", small[SHARE_TEXT] = "?";

	if (json_is_null(json_object_get(order, "reported_extents")))
		snprintf(reported, sizeof(reported), "?");
	else if (extents)
		share_text((double)member(order, "reported_extents") / (double)extents, reported);
	if (json_is_real(unusable))
		share_text(json_real_value(unusable), small);
	order_bar(order, page_size, zone_free, bar);
	printf("%5" PRIu64 " %8s %9" PRIu64 " %10s %8s %8s%s%s\n", number,
	       format_size(page_size << number, size), extents,
	       format_size(extents * (page_size << number), bytes), reported, small,
	       bar[0] ? "  " : "", bar);
}

static void print_zone(const json_t *zone, uint64_t page_size)
{
	const json_t *orders = json_object_get(zone, "orders"), *order;
	char free_text[UNITS_TEXT], managed[UNITS_TEXT], gate[UNITS_TEXT];
	struct sums sums = { 0 };
	size_t i;

	json_array_foreach(orders, i, order) add_order(&sums, order, page_size);
	print_zone_name(zone);
	printf(": %s free of %s; gate at %s: %s\n", format_size(sums.free, free_text),
	       format_size(member(zone, "managed_bytes"), managed),
	       format_size(member(zone, "gate_bytes"), gate),
	       json_is_true(json_object_get(zone, "gate_open")) ? "open" : "shut");
	if (json_integer_value(json_object_get(zone, "drift_pages")))
		printf("the kernel's own count differs by %" JSON_INTEGER_FORMAT
		       " pages: memory moved during the scan\n",
		       -json_integer_value(json_object_get(zone, "drift_pages")));
	puts("order     size   extents       free reported unusable  of the zone's free memory");
	json_array_foreach(orders, i, order) print_order(order, page_size, sums.free);
	putchar('\n');
}

static int highest_order(const json_t *zones)
{
	const json_t *orders = json_object_get(json_array_get(zones, 0), "orders");
	const json_t *last = json_array_get(orders, json_array_size(orders) - 1);

	return (int)json_integer_value(json_object_get(last, "order"));
}

static void print_total(const json_t *hist)
{
	const json_t *zones = json_object_get(hist, "zones"), *zone, *order;
	const uint64_t page_size = member(hist, "page_size");
	const int limit = (int)json_integer_value(json_object_get(hist, "reporting_order"));
	char all[UNITS_TEXT], reported[UNITS_TEXT], now[UNITS_TEXT], other[UNITS_TEXT];
	struct sums sums = { 0 };
	size_t i, j;

	json_array_foreach(zones, i, zone)
		json_array_foreach(json_object_get(zone, "orders"), j, order)
			add_order(&sums, order, page_size);
	if (!sums.known) {
		printf("%s free; what is reported can't be seen on this kernel\n",
		       format_size(sums.free, all));
		return;
	}
	printf("%s free: # %s reported, + %s reportable now,\n. %s not",
	       format_size(sums.free, all), format_size(sums.reported, reported),
	       format_size(sums.reportable, now),
	       format_size(sums.free - sums.reported - sums.reportable, other));
	if (limit < 0)
		puts(" (this kernel reports nothing)");
	else if (limit > highest_order(zones))
		puts(" (reporting is held: the order limit is above the highest order)");
	else
		printf(" (below order %d, or in a zone that is not reported now)\n", limit);
}

void print_orders(const json_t *hist, bool alone)
{
	const json_t *zone;
	size_t i;

	(void)alone;
	json_array_foreach(json_object_get(hist, "zones"), i, zone)
		print_zone(zone, member(hist, "page_size"));
	print_total(hist);
	puts("unusable: free memory of the zone that lies in extents below that order");
}
