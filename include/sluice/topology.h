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
#define TOPOLOGY_MAX_RANGES 1024

/* A range of page frame numbers: start inclusive, end exclusive. */
struct pfn_range {
	uint64_t start;
	uint64_t end;
};

/* Online memory that belongs to one zone. */
struct zone_range {
	struct pfn_range pfns;
	unsigned int zone; /* index into topology.zones */
};

/*
 * A populated zone. Spans may overlap: a DIMM that is added to node 0 behind the
 * memory of node 1 makes node 0's zone span that of node 1.
 */
struct topology_zone {
	unsigned int node;
	char name[16];
	uint64_t start_pfn;
	uint64_t spanned_pages;
	uint64_t present_pages;
};

struct topology {
	uint64_t page_size;	      /* bytes */
	unsigned int pageblock_order; /* /proc/pagetypeinfo */
	unsigned int highest_order;   /* last column of /proc/buddyinfo */
	unsigned int kernel_version;  /* 6.12 is 6012 */
	bool has_thp;		      /* CONFIG_TRANSPARENT_HUGEPAGE */
	bool page_poison;	      /* free pages are filled with a pattern */
	unsigned int nr_nodes;
	unsigned int nodes[TOPOLOGY_MAX_NODES]; /* online */
	unsigned int nr_zones;
	struct topology_zone zones[SLUICE_MAX_ZONES];

	/*
	 * Physical memory in sections of 2^section_order pages: the kernel's memory
	 * blocks (/sys/devices/system/memory), the unit of hotplug.
	 */
	unsigned int section_order;
	unsigned int nr_sections; /* highest online section + 1 */
	unsigned int nr_ranges;
	struct pfn_range online[TOPOLOGY_MAX_RANGES]; /* ascending, merged, whole sections */
	unsigned int nr_parts;
	struct zone_range parts[TOPOLOGY_MAX_RANGES]; /* ascending, disjoint: what a scan reads */
};

/*
 * Reads the topology below @root. -EINVAL or another -errno with the file named
 * in @err if a file is missing or makes no sense, -EAGAIN if files do not fit
 * together, as when memory comes or goes; *topology is written on success only. With @old, what was read before, zones keep their indices (one that is gone
 * spans nothing), and what /sys leaves open stays as it was.
 */
int topology_read(int root, const struct topology *old, struct topology *topology,
		  struct errmsg *err);

/* Index of a zone in @topology; -ENOENT if it was not populated when that was read. */
int topology_find_zone(const struct topology *topology, unsigned int node, const char *name);

/*
 * Whether no memory has come or gone since @topology was read: the same nodes are
 * online, and @zones, just read, have the same spans and present pages.
 */
bool topology_is_current(int root, const struct topology *topology,
			 const struct sluice_zone_info *zones, unsigned int nr);

/* Whether the same sections are online. A file per section is read: for now and then. */
bool topology_same_sections(int root, const struct topology *topology);

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
