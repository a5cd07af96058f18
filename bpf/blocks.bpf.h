/* SPDX-License-Identifier: GPL-2.0-only */
/* From a struct page or a pfn to the record of its pageblock. */
#ifndef SLUICE_BLOCKS_BPF_H
#define SLUICE_BLOCKS_BPF_H

static __always_inline uint64_t page_of(uint64_t pfn)
{
	return hot.vmemmap + pfn * bpf_core_type_size(struct page);
}

/* A shift costs one instruction; a division by what is hardly ever no power of two, dozens. */
static __always_inline uint64_t pfn_of(uint64_t page)
{
	const uint64_t offset = page - hot.vmemmap;

	return hot.page_shift ? offset >> (hot.page_shift & 63) :
				offset / bpf_core_type_size(struct page);
}

/* Index of the pageblock's record where no run covers it, or SLUICE_NO_RECORDS. */
__attribute__((noinline)) uint32_t record_in_section(uint64_t pfn)
{
	const uint64_t section = pfn >> section_order;
	const uint32_t key = section;
	uint64_t *base;

	if (section >= nr_sections)
		return SLUICE_NO_RECORDS;
	base = bpf_map_lookup_elem(&sections, &key);
	if (!base || *base == SLUICE_NO_RECORDS)
		return SLUICE_NO_RECORDS;
	return *base + ((pfn & ((1ULL << section_order) - 1)) >> pageblock_order);
}

/* Index of the record of the pageblock that holds @pfn, or SLUICE_NO_RECORDS. */
static __always_inline uint32_t record_of(uint64_t pfn)
{
	const uint64_t number = pfn >> pageblock_order;

#pragma unroll
	for (int i = 0; i < SLUICE_RUNS; i++) {
		const uint64_t at = number - hot.runs[i].first_block;

		if (at < hot.runs[i].nr_blocks)
			return hot.runs[i].first_record + at;
	}
	return record_in_section(pfn);
}

/* The same as a global function: any number to the verifier, which follows its ways once only. */
__attribute__((noinline)) uint32_t find_record(uint64_t pfn)
{
	return record_of(pfn);
}

/* NULL for SLUICE_NO_RECORDS, which lies beyond the last record. */
static __always_inline struct sluice_block *block_at(uint32_t record)
{
	return bpf_map_lookup_elem(&blocks, &record);
}

/* The record of the pageblock that holds @pfn; NULL where sluice keeps none. */
static __always_inline struct sluice_block *block_of(uint64_t pfn)
{
	return block_at(find_record(pfn));
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
