// SPDX-License-Identifier: GPL-2.0-only
/* Zones from /proc/zoneinfo and /proc/buddyinfo (mm/vmstat.c). */
#include "counters.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/file.h"
#include "sluice/topology.h"

#define BUDDYINFO	    "proc/buddyinfo"
#define ZONEINFO	    "proc/zoneinfo"
#define BUDDYINFO_MAX_BYTES ((size_t)64 * 1024)
#define ZONEINFO_MAX_BYTES  ((size_t)4 * 1024 * 1024)
#define MAX_NODE	    1023 /* CONFIG_NODES_SHIFT is 10 at the most */

/* Cuts off the first line; NULL if there is no whole one: its last number may be cut off. */
static char *next_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (!end)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

/* "Node 0, zone      DMA": the rest of the line is at *rest. */
static bool parse_zone_title(const char *line, struct sluice_zone_info *zone, const char **rest)
{
	unsigned int node;
	char name[16];
	int used = 0;

	if (sscanf(line, "Node %4u, zone %15s%n", &node, name, &used) != 2 || node > MAX_NODE)
		return false;
	*zone = (struct sluice_zone_info){ .node = node };
	memcpy(zone->name, name, sizeof(zone->name));
	if (rest)
		*rest = line + used;
	return true;
}

/* The counts behind the title, one per order. */
static int parse_orders(const char *at, struct sluice_zone_info *zone)
{
	zone->nr_orders = 0;
	for (;;) {
		char *end;
		uint64_t count;

		while (*at == ' ' || *at == '\t')
			at++;
		if (!*at)
			break;
		if (!isdigit((unsigned char)*at) || zone->nr_orders == SLUICE_MAX_ORDERS)
			return -EINVAL;
		errno = 0;
		count = strtoull(at, &end, 10);
		if (errno || count > UINT64_MAX >> 20 || (*end && *end != ' '))
			return -EINVAL;
		zone->nr_free[zone->nr_orders++] = count;
		at = end;
	}
	return zone->nr_orders ? 0 : -EINVAL;
}

static int read_buddyinfo(int root, struct sluice_zone_info *zones, unsigned int *nr,
			  struct errmsg *err)
{
	char *text = NULL, *line, *next;
	unsigned int count = 0;
	int rc;

	rc = file_read_alloc(root, BUDDYINFO, BUDDYINFO_MAX_BYTES, &text, err);
	if (rc < 0)
		return rc;
	rc = 0;
	next = text;
	while ((line = next_line(&next))) {
		const char *orders;

		if (count == SLUICE_MAX_ZONES) {
			rc = errmsg_set(err, -E2BIG, "/%s: more than %d zones", BUDDYINFO,
					SLUICE_MAX_ZONES);
			goto out;
		}
		if (!parse_zone_title(line, &zones[count], &orders) ||
		    parse_orders(orders, &zones[count]) < 0 ||
		    zones[count].nr_orders != zones[0].nr_orders) {
			rc = errmsg_set(err, -EINVAL,
					"/%s:%u: \"%.60s\" is no zone with its counts per order",
					BUDDYINFO, count + 1, line);
			goto out;
		}
		count++;
	}
	if (*next)
		rc = errmsg_set(err, -EINVAL, "/%s: its last line is cut off", BUDDYINFO);
	else if (!count)
		rc = errmsg_set(err, -EINVAL, "/%s: no zone", BUDDYINFO);
	else
		*nr = count;
out:
	free(text);
	return rc;
}

struct zone_field {
	const char *name; /* first word or words of the line */
	size_t offset;
	bool required;
};

static const struct zone_field zone_fields[] = {
	{ "pages free", offsetof(struct sluice_zone_info, free_pages), true },
	{ "low", offsetof(struct sluice_zone_info, low_wmark), true },
	{ "spanned", offsetof(struct sluice_zone_info, spanned_pages), true },
	{ "present", offsetof(struct sluice_zone_info, present_pages), true },
	{ "managed", offsetof(struct sluice_zone_info, managed_pages), true },
	{ "start_pfn:", offsetof(struct sluice_zone_info, start_pfn), true },
	{ "nr_free_highatomic", offsetof(struct sluice_zone_info, reserved_highatomic), false },
};
#define NR_ZONE_FIELDS (sizeof(zone_fields) / sizeof(zone_fields[0]))

/* Bits of the fields that need no line. */
static unsigned int optional_fields(void)
{
	unsigned int bits = 0;

	for (size_t i = 0; i < NR_ZONE_FIELDS; i++)
		bits |= zone_fields[i].required ? 0 : 1U << i;
	return bits;
}

/*
 * Stores the number of a line that names a field, and sets the field's bit in
 * @usable; clears it if that is no number of pages.
 */
static void parse_zone_field(const char *line, struct sluice_zone_info *zone, unsigned int *usable)
{
	while (*line == ' ')
		line++;
	for (size_t i = 0; i < NR_ZONE_FIELDS; i++) {
		const size_t length = strlen(zone_fields[i].name);
		uint64_t value;
		char *end;

		if (strncmp(line, zone_fields[i].name, length) || line[length] != ' ')
			continue;
		line += length;
		while (*line == ' ')
			line++;
		errno = 0;
		value = strtoull(line, &end, 10);
		if (errno || !isdigit((unsigned char)*line) || *end || value > UINT64_MAX >> 20)
			*usable &= ~(1U << i);
		else
			*usable |= 1U << i;
		memcpy((char *)zone + zone_fields[i].offset, &value, sizeof(value));
		return;
	}
}

static uint64_t listed_pages(const struct sluice_zone_info *zone)
{
	uint64_t pages = 0;

	for (unsigned int o = 0; o < zone->nr_orders && o < SLUICE_MAX_ORDERS; o++)
		pages += zone->nr_free[o] << o;
	return pages;
}

static struct sluice_zone_info *find_zone(struct sluice_zone_info *zones, unsigned int nr,
					  const struct sluice_zone_info *wanted)
{
	for (unsigned int i = 0; i < nr; i++)
		if (zones[i].node == wanted->node && !strcmp(zones[i].name, wanted->name))
			return &zones[i];
	return NULL;
}

static int check_zone(const struct sluice_zone_info *zone, unsigned int usable, struct errmsg *err)
{
	for (size_t i = 0; i < NR_ZONE_FIELDS; i++)
		if (!(usable & 1U << i))
			return errmsg_set(err, -EINVAL,
					  "/%s: node %u, zone %s: no usable line \"%s\"", ZONEINFO,
					  zone->node, zone->name, zone_fields[i].name);
	if (zone->present_pages > zone->spanned_pages)
		return errmsg_set(err, -EINVAL,
				  "/%s: node %u, zone %s: %" PRIu64
				  " pages present in a span of %" PRIu64 " from pfn %" PRIu64,
				  ZONEINFO, zone->node, zone->name, (uint64_t)zone->present_pages,
				  (uint64_t)zone->spanned_pages, (uint64_t)zone->start_pfn);
	/* or memory went after the first of the files was read */
	if (listed_pages(zone) > zone->spanned_pages)
		return errmsg_set(err, -EAGAIN,
				  "/%s: node %u, zone %s: %" PRIu64
				  " pages are free, of a span of %" PRIu64 " in /%s",
				  BUDDYINFO, zone->node, zone->name, listed_pages(zone),
				  (uint64_t)zone->spanned_pages, ZONEINFO);
	return 0;
}

/* Completes the zones of buddyinfo; those that only zoneinfo lists are not populated. */
static int read_zoneinfo(int root, struct sluice_zone_info *zones, unsigned int nr,
			 struct errmsg *err)
{
	unsigned int usable[SLUICE_MAX_ZONES];
	struct sluice_zone_info title, *zone = NULL;
	char *text = NULL, *line, *next;
	int rc;

	rc = file_read_alloc(root, ZONEINFO, ZONEINFO_MAX_BYTES, &text, err);
	if (rc < 0)
		return rc;
	for (unsigned int i = 0; i < nr; i++)
		usable[i] = optional_fields();
	next = text;
	while ((line = next_line(&next))) {
		if (parse_zone_title(line, &title, NULL))
			zone = find_zone(zones, nr, &title);
		else if (zone)
			parse_zone_field(line, zone, &usable[zone - zones]);
	}
	rc = 0;
	for (unsigned int i = 0; !rc && i < nr; i++)
		rc = check_zone(&zones[i], usable[i], err);
	free(text);
	return rc;
}

int zones_read_text(int root, struct sluice_zone_info *zones, unsigned int *nr, struct errmsg *err)
{
	struct sluice_zone_info found[SLUICE_MAX_ZONES];
	unsigned int count = 0;
	int rc;

	rc = read_buddyinfo(root, found, &count, err);
	if (!rc)
		rc = read_zoneinfo(root, found, count, err);
	if (rc)
		return rc;
	memcpy(zones, found, count * sizeof(*found));
	*nr = count;
	return 0;
}

/* Of one zone, or of all. */
struct zone_sums {
	uint64_t managed, present, spanned, listed, unaccepted, lag;
};

static const struct sum_field {
	const char *name;
	size_t offset;
} sum_fields[] = {
	{ "managed", offsetof(struct zone_sums, managed) },
	{ "present", offsetof(struct zone_sums, present) },
	{ "spanned", offsetof(struct zone_sums, spanned) },
	{ "nr_unaccepted", offsetof(struct zone_sums, unaccepted) },
	/* once for each CPU */
	{ "count:", offsetof(struct zone_sums, listed) },
	{ "vm stats threshold:", offsetof(struct zone_sums, lag) },
};

static void add_sum_field(const char *line, struct zone_sums *zone)
{
	while (*line == ' ')
		line++;
	for (size_t i = 0; i < sizeof(sum_fields) / sizeof(sum_fields[0]); i++) {
		const size_t length = strlen(sum_fields[i].name);
		uint64_t value;

		if (strncmp(line, sum_fields[i].name, length) || line[length] != ' ')
			continue;
		if (sscanf(line + length, "%20" SCNu64, &value) == 1)
			*(uint64_t *)(void *)((char *)zone + sum_fields[i].offset) += value;
		return;
	}
}

/* A zone without memory of its own (ZONE_DEVICE) may span a range: that is no hole. */
static void add_zone_sums(const struct zone_sums *zone, struct memory_counters *counters)
{
	if (!zone->present)
		return;
	counters->managed += zone->managed;
	counters->present += zone->present;
	counters->spanned += zone->spanned;
	counters->listed += zone->listed;
	counters->unaccepted += zone->unaccepted;
	counters->lag += zone->lag;
}

int zoneinfo_sums(int root, struct memory_counters *counters, struct errmsg *err)
{
	struct sluice_zone_info title;
	struct zone_sums zone = { 0 };
	char *text = NULL, *line, *next;
	int rc;

	rc = file_read_alloc(root, ZONEINFO, ZONEINFO_MAX_BYTES, &text, err);
	if (rc < 0)
		return rc;
	next = text;
	while ((line = next_line(&next))) {
		if (!parse_zone_title(line, &title, NULL)) {
			add_sum_field(line, &zone);
			continue;
		}
		add_zone_sums(&zone, counters);
		zone = (struct zone_sums){ 0 };
	}
	add_zone_sums(&zone, counters);
	free(text);
	if (!counters->managed)
		return errmsg_set(err, -EINVAL, "/%s: no zone manages any page", ZONEINFO);
	return 0;
}
