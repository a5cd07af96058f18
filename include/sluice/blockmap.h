/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The free-extent map: one record per pageblock of online memory. The memory is
 * that of the BPF maps where there are any (events write to it at the same
 * time), else our own.
 */
#ifndef SLUICE_BLOCKMAP_H
#define SLUICE_BLOCKMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/bpf_shared.h"
#include "sluice/topology.h"

struct blockmap {
	unsigned int pageblock_order;
	unsigned int section_order;
	unsigned int nr_sections;
	/* first record of each section, or SLUICE_NO_RECORDS; 64 bits as in the BPF array */
	uint64_t *sections;
	struct sluice_block *blocks;
	uint32_t nr_blocks;
	struct sluice_zone_times *times; /* SLUICE_MAX_ZONES */
	void *own;			 /* memory to free, if it is ours */
};

/* Number of records that @topology needs. */
uint32_t blockmap_records(const struct topology *topology);

/* Memory that the map takes: records, section table, histograms of time. */
size_t blockmap_bytes(const struct blockmap *map);

/* Fills @map->sections for the online ranges; memory and sizes are set already. */
void blockmap_index(struct blockmap *map, const struct topology *topology);

/* The @nr longest runs of pageblocks whose records follow each other, longest first. */
void blockmap_runs(const struct blockmap *map, struct sluice_run *runs, unsigned int nr);

/* A map in memory of our own; freed with blockmap_free(). -ENOMEM. */
int blockmap_alloc(struct blockmap *map, const struct topology *topology);
void blockmap_free(struct blockmap *map);

/*
 * Takes over what @old knows of memory that both maps hold: when memory came or
 * went, and a new map replaces the old one.
 */
void blockmap_inherit(struct blockmap *map, const struct blockmap *old);

/* The record of the pageblock that holds @pfn, NULL where there is none. */
struct sluice_block *blockmap_at(const struct blockmap *map, uint64_t pfn);

/* What a scan found of one pageblock. */
struct block_found {
	uint32_t zone; /* topology index */
	uint32_t free_pages;
	uint32_t order; /* of the extent that starts here, or SLUICE_NO_EXTENT */
	bool reported;
};

/*
 * Sets one record, and counts in @map->times and @errors, as the BPF scan does
 * (bpf/scan.bpf.h, set_block()): @old is the record as it was before the block was
 * looked at; nothing happens if an event changed it since. @now_ns is
 * CLOCK_MONOTONIC.
 */
void blockmap_set(const struct blockmap *map, struct sluice_block *block, struct sluice_block old,
		  const struct block_found *found, uint64_t now_ns,
		  struct sluice_scan_zone *errors);

/* Time since the last change of a block's free pages, ns, to a tick. */
uint64_t blockmap_age(const struct sluice_block *block, uint64_t now_ns);

/* Pages of pageblocks, since the map began; they never fall. */
struct churn {
	uint64_t reported; /* became reported */
	uint64_t reused;   /* were allocated again within @age_ns of it */
	uint64_t faded;	   /* the same, each page by e^-(t/@age_ns), t after it was reported */
};

/*
 * What the map's histograms of powers of two say of it: @age_ns cuts one of their buckets in
 * proportion.
 */
void blockmap_churn(const struct blockmap *map, uint64_t age_ns, struct churn *ret);

#endif
