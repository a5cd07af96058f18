/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the BPF programs and the daemon both see: the only header that both
 * sides include. Fixed-width types, sizes asserted.
 */
#ifndef SLUICE_BPF_SHARED_H
#define SLUICE_BPF_SHARED_H

#include <stdint.h>

/* Upper bounds of arrays; the numbers in use come from the running kernel. */
#define SLUICE_MAX_ORDERS	   16 /* x86: 11; arm64 with 64 KiB pages: 14 */
#define SLUICE_MAX_ZONES	   32 /* populated zones of all nodes */
#define SLUICE_MAX_CPUS		   512
#define SLUICE_MAX_PAGEBLOCK_ORDER 13 /* arm64 with 64 KiB pages; x86: 9 */

/*
 * One pageblock of online memory, in 8 bytes: what the scan found there, and
 * what events made of it since.
 */
struct sluice_block {
	uint32_t free_pages : 14;    /* pages on the buddy lists */
	uint32_t order : 4;	     /* of the free extent that starts here, or SLUICE_NO_EXTENT */
	uint32_t zone : 5;	     /* index of its zone, as scanned */
	uint32_t flags : 2;	     /* SLUICE_BLOCK_* */
	uint32_t reported_after : 7; /* from `since` to the report: sluice_span_encode() */
	uint32_t since;		     /* tick from which free_pages has been what it is: exact for
				      * a wholly free block, to one snapshot for others */
};
_Static_assert(sizeof(struct sluice_block) == 8, "one pageblock costs 8 bytes");

#define SLUICE_NO_EXTENT      15
#define SLUICE_BLOCK_FREE     0x1 /* every page is on the buddy lists */
#define SLUICE_BLOCK_REPORTED 0x2 /* the extent here carries PG_reported, as last scanned */

/* A tick is 2^24 ns (16.8 ms) of CLOCK_MONOTONIC; 32 bits of it last 2.2 years. */
#define SLUICE_TICK_SHIFT 24

/* Marks a section without records (not online, a hole). */
#define SLUICE_NO_RECORDS 0xffffffffu

/* Pageblocks whose records follow each other; a pageblock's number is its pfn >> pageblock_order. */
struct sluice_run {
	uint32_t first_block;
	uint32_t nr_blocks; /* 0: none */
	uint32_t first_record;
};

#define SLUICE_RUNS 3 /* one below and one above the PCI hole, one more */

/* What every event needs: together, since each cache line costs as much as the rest. */
struct sluice_hot {
	uint64_t vmemmap;    /* address of the struct page of pfn 0 */
	uint32_t page_shift; /* log2 of sizeof(struct page); 0: it is no power of two */
	/*
	 * Tick of the last snapshot: for changes that happen with every event, where a
	 * look at the clock would cost as much as all the rest.
	 */
	uint32_t recent_tick;
	struct sluice_run runs[SLUICE_RUNS]; /* the longest, longest first */
	uint32_t padding[3];
};
_Static_assert(sizeof(struct sluice_hot) == 64, "one cache line");

/* Of a number above 0, rounded down. */
static inline __attribute__((always_inline)) uint32_t sluice_log2(uint32_t value)
{
#ifdef __bpf__ /* has no instruction for it */
	uint32_t log = 0;

	for (uint32_t step = 16; step; step >>= 1) {
		if (value >> step) {
			value >>= step;
			log += step;
		}
	}
	return log;
#else
	return 31U - (uint32_t)__builtin_clz(value);
#endif
}

/*
 * A span of ticks in 7 bits: 5 of exponent, 2 of mantissa. Spans below 4 ticks
 * are exact, longer ones are decoded to within an eighth.
 */
static inline __attribute__((always_inline)) uint32_t sluice_span_encode(uint32_t ticks)
{
	uint32_t shift;

	if (ticks < 4)
		return ticks;
	shift = sluice_log2(ticks) - 2;
	return (shift + 1) << 2 | (ticks >> (shift & 31) & 3);
}

static inline __attribute__((always_inline)) uint32_t sluice_span_decode(uint32_t code)
{
	const uint32_t shift = (code >> 2) - 1;

	if (code < 4)
		return code;
	/* the middle of what was cut off */
	return (4 | (code & 3)) << (shift & 31) | (shift ? 1U << ((shift - 1) & 31) : 0);
}

/*
 * Histograms of time: bucket 0 counts spans below one tick, bucket n spans from
 * 2^(n-1) ticks, inclusive, to 2^n ticks, exclusive.
 */
#define SLUICE_TIME_BUCKETS 33

static inline __attribute__((always_inline)) uint32_t sluice_time_bucket(uint32_t ticks)
{
	return ticks ? sluice_log2(ticks) + 1 : 0;
}

/* What became of the wholly free pageblocks of one zone. Counted once per pageblock. */
struct sluice_zone_times {
	uint64_t lifetimes[SLUICE_TIME_BUCKETS]; /* from wholly free to the first allocation */
	uint64_t reuse[SLUICE_TIME_BUCKETS];	 /* from reported to the first allocation */
	uint64_t reported;			 /* blocks that became reported */
};

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
	/* what was wrong in the records of the blocks that were counted, and is right now */
	uint64_t wrong_blocks;
	uint64_t not_free;	/* of these, believed wholly free */
	uint64_t largest_error; /* pages, in one block */
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

/* A free extent as one word, in the export program's array and in files (extents_writer.h). */
#define SLUICE_EXTENT_PFN_SHIFT 12
#define SLUICE_EXTENT_REPORTED	0x800
#define SLUICE_EXTENT_ORDER	0x01f /* mask */

#define SLUICE_EXPORT_ENTRIES 65536 /* words that one call can hand over */

/* Cursor and outcome of the export program; one call continues the last one. */
struct sluice_export_args {
	uint64_t next_pfn;     /* in: where to start; out: where to go on */
	uint64_t end_pfn;      /* first pfn that is not looked at */
	uint64_t budget_ns;    /* the call returns after about this long */
	uint32_t lowest_order; /* of the extents wanted */
	uint32_t entries;      /* out: words in the array */
	uint32_t probes;       /* out: reads of kernel memory */
	uint32_t faults;       /* out: of these, refused: no memmap there */
};

/* Counters of the event programs, per CPU, since several run at once. */
struct sluice_event_counters {
	uint64_t allocs;	   /* mm_page_alloc_zone_locked: extents taken from the lists */
	uint64_t drains;	   /* mm_page_pcpu_drain: extents put back */
	uint64_t last_locked_page; /* de-duplicates steals; not a counter */
	uint64_t direct_frees;	   /* mm_page_free of orders that bypass the per-CPU lists */
	uint64_t steals;	   /* mm_page_alloc_extfrag that removed an extent, 6.10+ */
	uint64_t isolated;	   /* pages that compaction took, block by block */
	uint64_t fast_isolated;	   /* pages that it took from blocks that nobody names, 6.5+ */
	uint64_t unknown;	   /* page outside every known section */
	uint64_t clamped;	   /* count would have left 0..pages per block */
	uint64_t reused;	   /* pages of reported blocks that were allocated */
	uint64_t padding[6];	   /* no two CPUs share a cache line */
};
_Static_assert(sizeof(struct sluice_event_counters) % 64 == 0, "whole cache lines");

#endif
