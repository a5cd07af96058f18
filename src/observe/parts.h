/* SPDX-License-Identifier: GPL-2.0-only */
/* Which zone owns which part of online memory; topology.c knows the rest. */
#ifndef SLUICE_PARTS_H
#define SLUICE_PARTS_H

#include "sluice/topology.h"

#define MEMORY_DIR "sys/devices/system/memory"
#define NODE_DIR   "sys/devices/system/node"

/*
 * Fills topology->parts from its zones and online sections. Where spans overlap, what
 * /sys says of the memory block decides, then @old (or NULL), then where zones start.
 */
int topology_read_parts(int root, struct topology *topology, const struct topology *old,
			struct errmsg *err);

#endif
