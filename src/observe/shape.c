// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/shape.h"

#include <errno.h>
#include <stdlib.h>

#include "sluice/counter_file.h"
#include "sluice/lru_gen.h"
#include "sluice/units.h"

#define MEMINFO "proc/meminfo"
#define VMSTAT	"proc/vmstat"

/* The counters that have to be there come first. */
static int read_counters(int root, const char *path, struct counter *counters, size_t nr,
			 size_t required, struct errmsg *err)
{
	const int rc = counter_file_read(root, path, counters, nr, err);

	for (size_t i = 0; !rc && i < required; i++)
		if (!counters[i].found)
			return errmsg_set(err, -EINVAL, "/%s: no %s", path, counters[i].name);
	return rc;
}

static int read_memory(int root, struct shape *shape, struct errmsg *err)
{
	struct counter counters[] = { { .name = "MemTotal" },
				      { .name = "MemAvailable" },
				      { .name = "Active(file)" },
				      { .name = "Inactive(file)" },
				      { .name = "SwapTotal" } };
	const int rc = read_counters(root, MEMINFO, counters, 5, 4, err);

	shape->total = counters[0].value * KIB;
	shape->available = counters[1].value * KIB;
	shape->cache.active = counters[2].value * KIB;
	shape->cache.inactive = counters[3].value * KIB;
	shape->has_swap = counters[4].value;
	return rc;
}

static int read_flows(int root, uint64_t page_size, struct shape *shape, struct errmsg *err)
{
	struct counter counters[] = { { .name = "pgpgin" },
				      { .name = "pgsteal_file" },
				      { .name = "pgdeactivate" } };
	const int rc = read_counters(root, VMSTAT, counters, 3, 1, err);

	/* sectors of 512 bytes, halved: PGPGIN in mm/vmstat.c */
	shape->cache.read = counters[0].value * KIB;
	shape->cache.stolen = counters[1].value * page_size;
	shape->cache.deactivated = counters[2].value * page_size;
	return rc;
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

	rc = read_memory(root, &shape, err);
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
