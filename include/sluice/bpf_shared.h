/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the BPF programs and the daemon both see: the only header that both
 * sides include. Fixed-width types, sizes asserted.
 */
#ifndef SLUICE_BPF_SHARED_H
#define SLUICE_BPF_SHARED_H

#include <stdint.h>

/* Upper bounds of arrays; the numbers in use come from the running kernel. */
#define SLUICE_MAX_ORDERS 16 /* x86: 11; arm64 with 64 KiB pages: 14 */
#define SLUICE_MAX_ZONES  32 /* populated zones of all nodes */
#define SLUICE_MAX_CPUS	  512

/*
 * One pageblock of online memory. Events change free_pages and free_since; the
 * scan sets everything.
 */
struct sluice_block {
	uint16_t free_pages; /* pages on the buddy lists */
	uint8_t order;	     /* of the free extent that starts here; SLUICE_NO_EXTENT: none */
	uint8_t flags;	     /* SLUICE_BLOCK_* */
	uint32_t free_since; /* when the block became wholly free, in SLUICE_TICK_SHIFT ticks */
};
_Static_assert(sizeof(struct sluice_block) == 8, "one pageblock costs 8 bytes");

#define SLUICE_NO_EXTENT      0xff
#define SLUICE_BLOCK_FREE     0x01 /* every page is on the buddy lists */
#define SLUICE_BLOCK_REPORTED 0x02 /* the extent here carries PG_reported */
#define SLUICE_BLOCK_COUNTED  0x04 /* free_pages was counted, not assumed */

/* A tick is 2^24 ns (16.8 ms) of CLOCK_MONOTONIC; 32 bits of it last 2.2 years. */
#define SLUICE_TICK_SHIFT 24

/* Marks a section without records (not online, a hole). */
#define SLUICE_NO_RECORDS 0xffffffffu

/* A zone as its struct zone says (mm/mmzone.h), read without a lock. */
struct sluice_zone_info {
	char name[16];
	uint32_t node;
	uint32_t nr_orders;
	uint64_t start_pfn;
	uint64_t spanned_pages;
	uint64_t present_pages;
	uint64_t managed_pages;
	uint64_t free_pages;	      /* vm_stat[NR_FREE_PAGES]: lags by per-CPU deltas */
	uint64_t low_wmark;	      /* _watermark[WMARK_LOW] + watermark_boost */
	uint64_t reserved_highatomic; /* pages the reporting gate does not count */
	uint64_t nr_free[SLUICE_MAX_ORDERS];
};

/* What one scan found in one zone. */
struct sluice_scan_zone {
	uint64_t free[SLUICE_MAX_ORDERS];     /* extents */
	uint64_t reported[SLUICE_MAX_ORDERS]; /* of these, with PG_reported */
};

/* Cursor and outcome of the scan program; one call continues the last one. */
struct sluice_scan_args {
	uint64_t next_pfn;  /* in: where to start; out: where to go on */
	uint64_t end_pfn;   /* first pfn that is not scanned */
	uint64_t budget_ns; /* the call returns after about this long */
	uint32_t zone;	    /* index of the result */
	uint32_t full;	    /* 0: first page of each block only; 1: every extent */
	uint32_t probes;    /* out: reads of kernel memory */
	uint32_t faults;    /* out: of these, refused: no memmap there */
};

/* Health of the event programs, counted per CPU where they can race. */
struct sluice_event_counters {
	uint64_t allocs;	   /* mm_page_alloc_zone_locked: extents taken from the lists */
	uint64_t drains;	   /* mm_page_pcpu_drain: extents put back */
	uint64_t direct_frees;	   /* mm_page_free of orders that bypass the per-CPU lists */
	uint64_t steals;	   /* mm_page_alloc_extfrag that removed an extent, 6.10+ */
	uint64_t unknown;	   /* page outside every known section */
	uint64_t clamped;	   /* count would have left 0..pages per block */
	uint64_t reused;	   /* pages of reported blocks that were allocated */
	uint64_t last_locked_page; /* de-duplicates steals; not a counter */
};

#endif
