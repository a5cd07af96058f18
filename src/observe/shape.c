// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/shape.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/file.h"
#include "sluice/lru_gen.h"
#include "sluice/units.h"

#define MEMINFO	   "proc/meminfo"
#define VMSTAT	   "proc/vmstat"
#define FILE_BYTES ((size_t)16 * 1024)

/* A line "name value" or "name: value kB" of a file. */
struct field {
	const char *name;
	uint64_t unit; /* bytes; 0: a page */
	uint64_t *value;
	bool optional;
	bool found;
};

static void take_line(const char *line, uint64_t page_size, struct field *fields, size_t nr)
{
	uint64_t value;
	char name[64];
	size_t length;

	if (sscanf(line, "%63s %20" SCNu64, name, &value) != 2)
		return;
	length = strlen(name);
	if (name[length - 1] == ':')
		name[length - 1] = '\0';
	for (size_t i = 0; i < nr; i++) {
		if (strcmp(name, fields[i].name))
			continue;
		*fields[i].value = value * (fields[i].unit ? fields[i].unit : page_size);
		fields[i].found = true;
	}
}

static int read_fields(int root, const char *path, uint64_t page_size, struct field *fields,
		       size_t nr, struct errmsg *err)
{
	char text[FILE_BYTES], *line, *save = NULL;
	int rc;

	rc = file_read(root, path, text, sizeof(text), err);
	if (rc < 0)
		return rc;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		take_line(line, page_size, fields, nr);
	for (size_t i = 0; i < nr; i++)
		if (!fields[i].found && !fields[i].optional)
			return errmsg_set(err, -EINVAL, "/%s: no %s", path, fields[i].name);
	return 0;
}

static int read_memory(int root, uint64_t page_size, struct shape *shape, struct errmsg *err)
{
	uint64_t swap = 0;
	struct field fields[] = {
		{ .name = "MemTotal", .unit = KIB, .value = &shape->total },
		{ .name = "MemAvailable", .unit = KIB, .value = &shape->available },
		{ .name = "Active(file)", .unit = KIB, .value = &shape->cache.active },
		{ .name = "Inactive(file)", .unit = KIB, .value = &shape->cache.inactive },
		{ .name = "SwapTotal", .unit = KIB, .value = &swap, .optional = true },
	};
	const int rc = read_fields(root, MEMINFO, page_size, fields,
				   sizeof(fields) / sizeof(fields[0]), err);

	shape->has_swap = swap;
	return rc;
}

static int read_flows(int root, uint64_t page_size, struct shape *shape, struct errmsg *err)
{
	struct field fields[] = {
		/* sectors of 512 bytes, halved: PGPGIN in mm/vmstat.c */
		{ .name = "pgpgin", .unit = KIB, .value = &shape->cache.read },
		{ .name = "pgsteal_file", .value = &shape->cache.stolen, .optional = true },
		{ .name = "pgdeactivate", .value = &shape->cache.deactivated, .optional = true },
	};

	return read_fields(root, VMSTAT, page_size, fields, sizeof(fields) / sizeof(fields[0]),
			   err);
}

static void read_ages(int root, uint64_t page_size, uint64_t min_idle_ns, struct lru_watch *watch,
		      uint64_t now_ns, struct cache_shape *cache)
{
	struct lru_list *lists;
	unsigned int nr;

	if (lru_gen_read(root, &lists, &nr, NULL) < 0) {
		cache->hidden = lru_gen_enabled(root);
		return;
	}
	cache->has_ages = true;
	lru_watch(watch, lists, nr, now_ns);
	for (unsigned int i = 0; i < nr; i++)
		if (lru_list_evictable(&lists[i]) && lists[i].oldest_idle_ns >= min_idle_ns)
			cache->old += lists[i].oldest_pages * page_size;
	free(lists);
}

int shape_read(int root, uint64_t page_size, uint64_t min_idle_ns, struct lru_watch *watch,
	       uint64_t now_ns, struct shape *ret, struct errmsg *err)
{
	struct shape shape = { 0 };
	int rc;

	rc = read_memory(root, page_size, &shape, err);
	if (!rc)
		rc = read_flows(root, page_size, &shape, err);
	if (rc)
		return rc;
	read_ages(root, page_size, min_idle_ns, watch, now_ns, &shape.cache);
	*ret = shape;
	return 0;
}

static struct node_shape *node_of(struct shape *shape, unsigned int node)
{
	for (unsigned int i = 0; i < shape->nr_nodes; i++)
		if (shape->nodes[i].node == node)
			return &shape->nodes[i];
	shape->nodes[shape->nr_nodes] = (struct node_shape){ .node = node };
	return &shape->nodes[shape->nr_nodes++];
}

static void add_zone(const struct zone_view *view, struct node_shape *node)
{
	for (unsigned int i = 0; i < SLUICE_TIME_BUCKETS; i++)
		node->room += view->partial_pages[i];
	for (unsigned int i = 0; i < VIEW_ALMOST_CLASSES; i++)
		node->almost_free += view->almost_free[i];
}

void shape_add_nodes(const struct blockmap *map, const struct topology *topology,
		     const struct snapshot *snap, struct shape *shape)
{
	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		const struct zone_snapshot *zone = &snap->zones[i];
		struct zone_view view;

		view_zone(map, topology, zone, snap->time_ns, &view);
		add_zone(&view, node_of(shape, zone->info.node));
	}
}
