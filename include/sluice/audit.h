/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The audit: the free-extent map against zone->free_area[].nr_free, zone by zone,
 * before and after a full scan. What events missed is put down to the paths that are
 * known to have none, as far as there is evidence for them; the rest is unexplained.
 *
 * Not against NR_FREE_PAGES, which leaves out isolated pages, counts unaccepted
 * ones, and lags behind by what CPUs have not folded in yet.
 */
#ifndef SLUICE_AUDIT_H
#define SLUICE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/bpf_shared.h"
#include "sluice/errmsg.h"
#include "sluice/snapshot.h"

struct observer;

/* Ways of the kernel to change its free lists without an event that is followed. */
enum audit_path {
	/* the map has more than the kernel: pages left silently */
	AUDIT_FAST_ISOLATION, /* fast_isolate_freepages(): number traced from 6.5, block never */
	AUDIT_CAPTURE,	      /* compaction_capture(): vmstat compact_success */
	AUDIT_HWPOISON,	      /* take_page_off_buddy(): meminfo HardwareCorrupted */
	/* either way */
	AUDIT_HOTPLUG,	   /* memory that came or went inside a section: managed pages */
	AUDIT_MISSED_RUNS, /* recursion_misses of the event programs */
	/* the map has less: pages came silently */
	AUDIT_DIRECT_FREES, /* mm_page_free is not followed, events = "lists" */
	AUDIT_TRYLOCK,	    /* free_one_page() when a per-CPU list is locked, 6.0+: at most 2 % of
			     * vmstat pgfree */
	AUDIT_PATHS
};

struct zone_audit {
	unsigned int node;
	char name[16];
	uint64_t map_pages;    /* sum of the records */
	uint64_t kernel_pages; /* sum of nr_free */
	/*
	 * Pages that the map had more (less: negative) than the kernel at either of two
	 * looks, right before and right after the records were summed: 0 if the sum lies
	 * between.
	 */
	int64_t drift;
	int64_t explained[AUDIT_PATHS]; /* parts of drift, with its sign */
	int64_t unexplained;
	struct zone_repairs repairs; /* by the scan */
	int64_t drift_after;	     /* as drift, when the scan was done */
};

struct audit {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	/* events keep the map between scans; without them drift is what time changed, and not
	 * explained */
	bool by_events;
	unsigned int nr_zones;
	struct zone_audit zones[SLUICE_MAX_ZONES];
};

/*
 * Audits the map; *snap is the scan that repaired it. Errors as
 * observer_snapshot(), and -ENODATA where the source shows totals only. Both are
 * written on success only.
 */
int observer_audit(struct observer *observer, struct audit *audit, struct snapshot *snap,
		   struct errmsg *err);

/* Largest drift of any zone that is left after the scan, pages, without sign. */
uint64_t audit_worst(const struct audit *audit);

const char *audit_path_name(enum audit_path path);
/* What the path is, in a few words. */
const char *audit_path_text(enum audit_path path);

#endif
