/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A snapshot: what is free, what of it is reported, zone by zone and order by
 * order, and the kernel's own totals beside it. Everything that decides or
 * displays starts from one.
 */
#ifndef SLUICE_SNAPSHOT_H
#define SLUICE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/bpf_shared.h"

/* Blocks per reporting request, PAGE_REPORTING_CAPACITY in include/linux/page_reporting.h */
#define REPORTING_CAPACITY 32

enum scan_depth {
	SCAN_HEADS, /* extents of at least pageblock order */
	SCAN_FULL,  /* extents of every order */
};

enum scan_source {
	SOURCE_BPF,	   /* scan program */
	SOURCE_KPAGEFLAGS, /* /proc/kpageflags */
	SOURCE_BUDDYINFO,  /* totals only: what is reported is unknown */
};

struct order_count {
	uint64_t free;	   /* extents */
	uint64_t reported; /* of these, with PG_reported set */
	uint64_t young;	   /* unreported, and free for less than the zone's min_age */
};

/* Records of the free-extent map that the scan found wrong, and made right. */
struct zone_repairs {
	uint64_t wrong_blocks;
	uint64_t not_free;	/* of these, believed wholly free */
	uint64_t largest_error; /* pages, in one pageblock */
};

struct zone_snapshot {
	struct sluice_zone_info info; /* struct zone, read right after the scan */
	unsigned int index;	      /* of the zone in the topology */
	struct order_count orders[SLUICE_MAX_ORDERS];
	struct zone_repairs repairs;
	int64_t drift; /* pages that the scan found less those of nr_free; orders scanned only */
};

struct snapshot {
	uint64_t time_ns;     /* CLOCK_MONOTONIC */
	uint64_t observed_ns; /* since the first scan: no age can be known beyond that */
	uint64_t cost_ns;     /* what the scan took, with its waits for a CPU */
	uint64_t cpu_ns;      /* of that, CLOCK_THREAD_CPUTIME_ID */
	uint64_t probes;      /* reads of kernel memory, or of page flags */
	enum scan_depth depth;
	enum scan_source source;
	uint64_t page_size; /* bytes */
	unsigned int nr_orders;
	unsigned int pageblock_order;
	int reporting_order; /* live order limit; above nr_orders - 1: reporting is off; -1: none */
	unsigned int nr_zones;
	struct zone_snapshot zones[SLUICE_MAX_ZONES];
};

/* Lowest order whose counts the snapshot knows. */
unsigned int snapshot_lowest_order(const struct snapshot *snap);

/*
 * Free pages that a zone must exceed before the kernel reports from it at
 * @order: low watermark + (capacity << order), page_reporting_process_zone() in
 * mm/page_reporting.c.
 */
uint64_t zone_gate_pages(const struct sluice_zone_info *zone, unsigned int order);
bool zone_gate_open(const struct sluice_zone_info *zone, unsigned int order);

/*
 * Bytes that the kernel would report from this zone if the order limit were
 * @order: unreported extents of at least that order, none where the gate is
 * shut. @ripe: only those older than min_age.
 */
uint64_t zone_reportable(const struct snapshot *snap, const struct zone_snapshot *zone,
			 unsigned int order, bool ripe);
uint64_t snapshot_reportable(const struct snapshot *snap, unsigned int order, bool ripe);

/* Extents of one order that the kernel could report now, at the live order limit. */
uint64_t order_reportable_now(const struct snapshot *snap, const struct zone_snapshot *zone,
			      unsigned int order);

/* Bytes, over all zones and the orders that the snapshot knows. */
uint64_t snapshot_free(const struct snapshot *snap);
uint64_t snapshot_reported(const struct snapshot *snap);

const char *scan_source_name(enum scan_source source);
const char *scan_depth_name(enum scan_depth depth);

#endif
