// SPDX-License-Identifier: GPL-2.0-only
/* Compaction and the per-CPU lists. */
#include <errno.h>
#include <stdio.h>

#include "effort.h"
#include "sluice/file.h"
#include "sluice/prepare.h"

#define COMPACT_MEMORY "proc/sys/vm/compact_memory"
#define STAT_REFRESH   "proc/sys/vm/stat_refresh"

static int write_one(int root, const char *path, struct effort *effort, struct errmsg *err)
{
	const struct effort_start start = effort_begin();
	/* since 6.5 compact_memory takes exactly 1 */
	const int rc = file_write(root, path, "1", err);

	*effort = effort_so_far(&start);
	return rc;
}

int compact(int root, const struct topology *topology, int node, struct effort *effort,
	    struct errmsg *err)
{
	char path[64];

	if (node == COMPACT_ALL_NODES)
		return write_one(root, COMPACT_MEMORY, effort, err);
	snprintf(path, sizeof(path), "sys/devices/system/node/node%d/compact", node);
	/* without CONFIG_NUMA there are no nodes, and so nothing else is compacted */
	if (topology->nr_nodes <= 1 && !file_exists(root, path))
		return write_one(root, COMPACT_MEMORY, effort, err);
	return write_one(root, path, effort, err);
}

int lists_drain(int root, struct effort *effort, struct errmsg *err)
{
	return write_one(root, STAT_REFRESH, effort, err);
}
