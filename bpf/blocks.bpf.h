/* SPDX-License-Identifier: GPL-2.0-only */
/* From a struct page or a pfn to the record of its pageblock. */
#ifndef SLUICE_BLOCKS_BPF_H
#define SLUICE_BLOCKS_BPF_H

static __always_inline uint64_t page_of(uint64_t pfn)
{
	return vmemmap + pfn * bpf_core_type_size(struct page);
}

/* A shift costs one instruction; a division by what is hardly ever no power of two, dozens. */
static __always_inline uint64_t pfn_of(uint64_t page)
{
	return page_shift ? (page - vmemmap) >> (page_shift & 63) :
			    (page - vmemmap) / bpf_core_type_size(struct page);
}

/* The record of the pageblock that holds @pfn; NULL where sluice keeps none. */
static __always_inline struct sluice_block *block_of(uint64_t pfn)
{
	uint64_t section64 = pfn >> section_order;
	uint32_t section = section64, index;
	uint64_t *base;

	if (section64 >= nr_sections)
		return NULL;
	base = bpf_map_lookup_elem(&sections, &section);
	if (!base || *base == SLUICE_NO_RECORDS)
		return NULL;
	index = *base + ((pfn & ((1ULL << section_order) - 1)) >> pageblock_order);
	return bpf_map_lookup_elem(&blocks, &index);
}

static __always_inline uint32_t now_ticks(void)
{
	return bpf_ktime_get_ns() >> SLUICE_TICK_SHIFT;
}

/* Ticks from @then to @now; 0 where another CPU was a little ahead. */
static __always_inline uint32_t ticks_between(uint32_t then, uint32_t now)
{
	return (int32_t)(now - then) < 0 ? 0 : now - then;
}

union block_word {
	struct sluice_block block;
	uint64_t word;
};

/*
 * A wholly free block loses its first page. Atomic, since scans count here too,
 * without zone->lock; it happens once per block that is taken, not once per page.
 * A global function: the verifier looks at it once, not once per call.
 */
__attribute__((noinline)) int count_end_of_free(uint64_t word, uint32_t now)
{
	const struct sluice_block block = ((union block_word){ .word = word }).block;
	struct sluice_zone_times *times = &zone_times[block.zone & (SLUICE_MAX_ZONES - 1)];
	const uint32_t life = ticks_between(block.since, now);
	uint32_t bucket = sluice_time_bucket(life);
	uint32_t wait;

	if (bucket < SLUICE_TIME_BUCKETS)
		__sync_fetch_and_add(&times->lifetimes[bucket], 1);
	if (!(block.flags & SLUICE_BLOCK_REPORTED))
		return 0;
	wait = sluice_span_decode(block.reported_after);
	bucket = sluice_time_bucket(life > wait ? life - wait : 0);
	if (bucket < SLUICE_TIME_BUCKETS)
		__sync_fetch_and_add(&times->reuse[bucket], 1);
	return 0;
}

#endif
