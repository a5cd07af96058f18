/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The export: every free extent of at least some order, one word each, written
 * to an array that user space maps, reads and has filled anew until the end of
 * memory. It walks as the full scan does and shares its buffer, but neither
 * counts nor touches the records.
 */
#ifndef SLUICE_EXPORT_BPF_H
#define SLUICE_EXPORT_BPF_H

/* Sized before loading: SLUICE_EXPORT_ENTRIES if there are to be exports. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint64_t);
} exports SEC(".maps");

static uint32_t nr_exported; /* words in the array, in this call */

__attribute__((noinline)) int export_extent(uint64_t pfn, uint32_t order, uint32_t reported)
{
	const uint32_t index = nr_exported;
	uint64_t *word = bpf_map_lookup_elem(&exports, &index);

	if (!word)
		return 0; /* can't be: a block starts only where there is room for all its pages */
	*word = pfn << SLUICE_EXTENT_PFN_SHIFT | (reported ? SLUICE_EXTENT_REPORTED : 0) |
		(order & SLUICE_EXTENT_ORDER);
	nr_exported = index + 1;
	return 0;
}

/* The extents below pageblock order that start in CHUNK_PAGES pages; see scan_chunk(). */
__attribute__((noinline)) int export_chunk(uint64_t pfn, uint32_t lowest)
{
	uint32_t next = hop_to > pfn ? hop_to - pfn : 0; /* first page not hopped over */
	uint64_t heads;

	if (next >= CHUNK_PAGES)
		return 0;
	heads = find_heads(pfn);
	if (!heads)
		return 0;
	for (uint32_t i = 0; i < CHUNK_PAGES; i++) {
		struct head head;

		if (i < next || !(heads >> i & 1))
			continue;
		head = head_at(pfn + i);
		if (!head.free || head.order >= pageblock_order)
			continue;
		if (head.order >= lowest)
			export_extent(pfn + i, head.order, head.reported);
		next = i + (1U << (head.order & 31));
	}
	if (pfn + next > hop_to)
		hop_to = pfn + next;
	return 0;
}

/* One pageblock, or the larger free extent that starts there; returns its pages. */
__attribute__((noinline)) int export_one(uint64_t pfn, uint32_t lowest)
{
	const struct head head = head_at(pfn);

	if (head.free && head.order >= pageblock_order) {
		if (head.order >= lowest)
			export_extent(pfn, head.order, head.reported);
		return 1 << (head.order & 31);
	}
	if (lowest >= pageblock_order)
		return 1 << pageblock_order;
	hop_to = pfn;
	for (uint32_t i = 0; i < BLOCK_PAGES_MAX; i += CHUNK_PAGES) {
		if (i >= 1U << pageblock_order)
			break;
		export_chunk(pfn + i, lowest);
	}
	return 1 << pageblock_order;
}

SEC("syscall")
int export_extents(struct sluice_export_args *args)
{
	uint64_t pfn = args->next_pfn, start = bpf_ktime_get_ns();
	const uint64_t end = args->end_pfn, budget = args->budget_ns;
	const uint32_t lowest = args->lowest_order;
	const bool inside = lowest < pageblock_order;

	nr_exported = 0;
	scan_probes = 0;
	scan_faults = 0;
	for (uint32_t i = 0; i < BLOCKS_PER_CALL; i++) {
		if (pfn >= end || nr_exported + (1U << pageblock_order) > SLUICE_EXPORT_ENTRIES)
			break;
		/* never ahead of the first block: a hypervisor may have stopped us until now */
		if (i && (inside || i % BLOCKS_PER_CLOCK == 0) &&
		    bpf_ktime_get_ns() - start > budget)
			break;
		pfn += export_one(pfn, lowest);
	}
	args->next_pfn = pfn;
	args->entries = nr_exported;
	args->probes = scan_probes;
	args->faults = scan_faults;
	return 0;
}

#endif
