/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The account of a guest's memory from the host's point of view: who has it, and what
 * keeps it from going back. Its lines add up to the pages that the kernel manages.
 */
#ifndef SLUICE_ACCOUNT_H
#define SLUICE_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/errmsg.h"
#include "sluice/reporting.h"
#include "sluice/snapshot.h"

/* Who uses pages, as the kernel counts it: vm_stat[] in mm/vmstat.c. */
enum usage {
	USAGE_ANON,		  /* nr_anon_pages: mapped by processes, huge pages too */
	USAGE_FILE,		  /* nr_file_pages: page cache, shared memory and swap cache */
	USAGE_DIRTY,		  /* nr_dirty */
	USAGE_WRITEBACK,	  /* nr_writeback: of the swap cache too */
	USAGE_SHMEM,		  /* nr_shmem: tmpfs, shared anonymous memory */
	USAGE_SWAP_CACHE,	  /* nr_swapcached, 5.12+; meminfo's SwapCached */
	USAGE_SLAB_RECLAIMABLE,	  /* nr_slab_reclaimable */
	USAGE_SLAB_UNRECLAIMABLE, /* nr_slab_unreclaimable */
	USAGE_PAGE_TABLES,	  /* nr_page_table_pages, nr_sec_page_table_pages (6.1+) */
	USAGE_STACKS,		  /* nr_kernel_stack, which is in KiB */
	USAGE_HUGETLB,		  /* meminfo's Hugetlb: the pool, used or not */
	USAGE_ZSPAGES,		  /* nr_zspages: compressed swap */
	/* nr_balloon_pages (in 6.17, not in 6.14), else balloon_inflate less balloon_deflate */
	USAGE_BALLOON,
	USAGE_UNEVICTABLE, /* nr_unevictable: of the above, what reclaim can't take */
	USAGES
};

/*
 * Counters of one moment. Pages; vmstat's lag behind by what CPUs have not folded in
 * yet, `lag` at most for each of them and each zone.
 */
struct memory_counters {
	uint64_t pages[USAGES];
	uint32_t known; /* bit N: this kernel has a counter for usage N */
	uint64_t swap_free;
	uint64_t boot_memmap; /* nr_memmap_boot_pages, 6.11+ */

	/* of all zones, /proc/zoneinfo */
	uint64_t managed;
	uint64_t present;
	uint64_t spanned;
	uint64_t listed;     /* on per-CPU lists: neither on the buddy lists nor in use */
	uint64_t unaccepted; /* nr_unaccepted, 6.5+: not on the buddy lists, but counted as free */
	uint64_t lag;	     /* sum of the CPUs' "vm stats threshold" */
};

/*
 * Reads /proc/vmstat, /proc/meminfo and /proc/zoneinfo. 0, or -errno with the file
 * named; a counter that this kernel does not have is 0 and not known. *ret is written
 * on success only.
 */
int counters_read(int root, struct memory_counters *ret, struct errmsg *err);

/* The name of the counter that @usage comes from, as the kernel prints it. */
const char *usage_counter(enum usage usage);

enum account_line {
	/* in use */
	ACCOUNT_ANON,
	ACCOUNT_CACHE_CLEAN,
	ACCOUNT_CACHE_DIRTY, /* or under writeback */
	ACCOUNT_SHMEM,
	ACCOUNT_HUGETLB,
	ACCOUNT_ZSPAGES,
	ACCOUNT_SLAB_RECLAIMABLE,
	ACCOUNT_SLAB_UNRECLAIMABLE,
	ACCOUNT_PAGE_TABLES,
	ACCOUNT_STACKS,
	ACCOUNT_BALLOON, /* inflated, where that leaves it managed: DEFLATE_ON_OOM */
	ACCOUNT_OTHER,	 /* the remainder: kernel memory that nothing counts */

	/* free */
	ACCOUNT_REPORTED,
	ACCOUNT_REPORTABLE, /* at the order limit, gate open */
	ACCOUNT_SMALL,	    /* in extents below the order limit */
	ACCOUNT_GATED,	    /* large enough, in a zone behind its gate */
	ACCOUNT_HELD,	    /* reporting is off, or held: no extent is large enough */
	ACCOUNT_UNSEEN,	    /* reported or not: only totals are known */
	ACCOUNT_LISTS,	    /* per-CPU lists */
	ACCOUNT_UNACCEPTED, /* the host has not given it yet */
	ACCOUNT_LINES
};
#define ACCOUNT_FIRST_FREE ACCOUNT_REPORTED

/* Whether free memory can go to the host at all. */
enum account_reporting {
	ACCOUNT_ON,
	ACCOUNT_LIMITED_OUT, /* the order limit is above the highest order */
	ACCOUNT_OFF,	     /* reporting_usable() says why */
};

struct account {
	/* Only ACCOUNT_OTHER may be negative: then memory moved while it was counted. */
	int64_t pages[ACCOUNT_LINES]; /* their sum is managed */
	uint32_t known;		      /* bit N: line N is known; else 0, and part of others */
	uint64_t managed;
	enum account_reporting reporting;

	/* outside the sum */
	uint64_t ballooned; /* inflated and no longer managed */
	uint64_t reserved;  /* present, not managed: since the boot, or taken out since */
	uint64_t holes;	    /* spanned, not present */

	/* beside it */
	uint64_t isolated; /* free, but being taken out: the kernel does not report it */
};

/*
 * Fills *ret from a full snapshot and counters read with it. No I/O.
 *
 * What is free comes from the scan (of each order; large enough is what the order limit
 * allows, whichever zone it lies in), the rest from counters. Page cache is USAGE_FILE
 * without shared memory and swap cache; swap cache that processes map is in USAGE_ANON,
 * the rest of it in ACCOUNT_OTHER.
 */
void account_fill(const struct snapshot *snap, const struct reporting *reporting,
		  const struct memory_counters *counters, struct account *ret);

bool account_knows(const struct account *account, enum account_line line);

/* Of the zone, free and large enough, but behind its gate: pages. */
uint64_t zone_gated_pages(const struct snapshot *snap, const struct zone_snapshot *zone);

/*
 * Of what is too small, the pages that the kernel would report if its order limit were
 * @order, gates as they would be then.
 */
uint64_t small_pages_above(const struct snapshot *snap, unsigned int order);

#endif
