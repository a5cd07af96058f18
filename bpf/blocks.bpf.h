/* SPDX-License-Identifier: GPL-2.0-only */
/* From a struct page or a pfn to the record of its pageblock. */
#ifndef SLUICE_BLOCKS_BPF_H
#define SLUICE_BLOCKS_BPF_H

static __always_inline uint64_t page_of(uint64_t pfn)
{
	return vmemmap + pfn * bpf_core_type_size(struct page);
}

static __always_inline uint64_t pfn_of(uint64_t page)
{
	return (page - vmemmap) / bpf_core_type_size(struct page);
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

#endif
