/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What preparation starts from: how much memory could be had, what the page cache
 * holds, and in which nodes pageblocks are nearly free.
 */
#ifndef SLUICE_SHAPE_H
#define SLUICE_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/errmsg.h"
#include "sluice/lru_gen.h"
#include "sluice/snapshot.h"
#include "sluice/topology.h"
#include "sluice/view.h"

/* Bytes; totals since boot only grow. */
struct cache_shape {
	uint64_t active, inactive; /* Active(file), Inactive(file) of /proc/meminfo */
	uint64_t read;		   /* pgpgin: read from block devices since boot */
	uint64_t stolen;	   /* pgsteal_file: taken from the page cache since boot, 5.8+ */
	uint64_t deactivated;	   /* pgdeactivate: sent from active to inactive since boot */
	/*
	 * The multi-gen LRU tells ages: what is in the oldest generation of each list, if
	 * that one may be evicted and was not used by mappings for the time asked for.
	 */
	bool has_ages;
	uint64_t old;
	/* There are generations but they can't be read: "inactive" holds what is hot, too. */
	bool hidden;
};

/* Of all zones of a node. */
struct node_shape {
	unsigned int node;
	uint64_t almost_free; /* pageblocks of which half or more is free, but not all */
	uint64_t room;	      /* free pages in pageblocks that are not free as a whole */
};

struct shape {
	uint64_t total;	    /* MemTotal, bytes */
	uint64_t available; /* MemAvailable, bytes */
	bool has_swap;	    /* SwapTotal is not 0 */
	struct cache_shape cache;
	unsigned int nr_nodes;
	struct node_shape nodes[SLUICE_MAX_ZONES];
};

/*
 * Reads memory and page cache below @root; nodes are left at none. @min_idle_ns: the
 * age that cache.old asks for, with @watch from look to look. -errno if /proc/meminfo or /proc/vmstat can't be read
 * or lack what is needed; *ret is written on success only.
 */
int shape_read(int root, uint64_t page_size, uint64_t min_idle_ns, struct lru_watch *watch,
	       uint64_t now_ns, struct shape *ret, struct errmsg *err);

/* Adds the nodes, from a map and a snapshot of about the same time. */
void shape_add_nodes(const struct blockmap *map, const struct topology *topology,
		     const struct snapshot *snap, struct shape *shape);

#endif
