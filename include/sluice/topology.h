/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guest's memory looks like: page and block sizes, zones, and which
 * ranges of physical memory are online. Nothing is assumed, everything is read
 * from the running kernel.
 */
#ifndef SLUICE_TOPOLOGY_H
#define SLUICE_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/bpf_shared.h"
#include "sluice/errmsg.h"

#define TOPOLOGY_MAX_NODES  64
#define TOPOLOGY_MAX_RANGES 512

/* A range of page frame numbers: start inclusive, end exclusive. */
struct pfn_range {
	uint64_t start;
	uint64_t end;
};

struct topology {
	uint64_t page_size;	      /* bytes */
	unsigned int pageblock_order; /* /proc/pagetypeinfo */
	unsigned int highest_order;   /* last column of /proc/buddyinfo */
	unsigned int kernel_version;  /* 6.12 is 6012 */
	bool has_thp;		      /* CONFIG_TRANSPARENT_HUGEPAGE */
	unsigned int nr_nodes;
	unsigned int nodes[TOPOLOGY_MAX_NODES]; /* online */

	/*
	 * Physical memory in sections of 2^section_order pages: the kernel's memory
	 * blocks (/sys/devices/system/memory), the unit of hotplug.
	 */
	unsigned int section_order;
	unsigned int nr_sections; /* highest online section + 1 */
	unsigned int nr_ranges;
	struct pfn_range online[TOPOLOGY_MAX_RANGES]; /* ascending, merged, whole sections */
};

/*
 * Reads the topology below @root. -EINVAL or another -errno with the file named
 * in @err if a file is missing or makes no sense; *topology is written on success
 * only.
 */
int topology_read(int root, struct topology *topology, struct errmsg *err);

/*
 * The populated zones as text files show them: /proc/zoneinfo for spans and
 * watermarks, /proc/buddyinfo for nr_free (exact: taken under zone->lock).
 * At most SLUICE_MAX_ZONES; *nr and the zones are written on success only.
 */
int zones_read_text(int root, struct sluice_zone_info *zones, unsigned int *nr, struct errmsg *err);

/*
 * Orders whose frees go to per-CPU lists, bit N for order N, pcp_allowed_order()
 * in mm/page_alloc.c: order 0 alone until 5.12; 0..PAGE_ALLOC_COSTLY_ORDER and
 * the THP order since 5.13.
 */
uint32_t topology_pcp_orders(const struct topology *topology);

/* Pages of the sections that are online. */
uint64_t topology_online_pages(const struct topology *topology);

#endif
