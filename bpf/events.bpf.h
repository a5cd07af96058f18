/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events: every extent that enters or leaves the buddy lists changes the count
 * of its pageblock (kernel tracepoints, include/trace/events/kmem.h and
 * compaction.h):
 *
 *   mm_page_pcpu_drain                   + put back by a per-CPU list
 *   mm_page_free                         + of orders that have no per-CPU list
 *   mm_page_alloc_zone_locked            - taken by a refill or a direct allocation
 *   mm_page_alloc_extfrag                - 6.10+: taken by stealing from another list
 *   mm_compaction_isolate_freepages      - taken by compaction, block by block
 *   mm_compaction_fast_isolate_freepages - 6.5+: taken too, from a block not named
 *
 * drain, zone_locked and extfrag run under zone->lock, which serialises the
 * records of a zone. The others do not and may lose an update, which the scan
 * repairs, as it repairs what has no event at all: frees that find the per-CPU
 * list locked (6.0+), pages captured by compaction, hotplug.
 */
#ifndef SLUICE_EVENTS_BPF_H
#define SLUICE_EVENTS_BPF_H

static __always_inline struct sluice_event_counters *counters(void)
{
	return &event_counters[bpf_get_smp_processor_id() & (SLUICE_MAX_CPUS - 1)];
}

static __always_inline void block_add(struct sluice_block *block, uint32_t pages)
{
	const uint32_t full = 1U << pageblock_order;
	struct sluice_block now = *block;
	uint32_t free_pages = now.free_pages + pages;

	if (free_pages > full) {
		counters()->clamped++;
		free_pages = full;
	}
	now.since = hot.recent_tick;
	if (free_pages == full) {
		now.flags |= SLUICE_BLOCK_FREE;
		now.since = now_ticks();
	}
	now.free_pages = free_pages;
	*block = now;
}

/* Returns the pages that were not there to be taken. */
static __always_inline uint32_t block_sub(struct sluice_block *block, uint32_t pages)
{
	union block_word was = { .block = *block };
	struct sluice_block now = was.block;
	uint32_t missing = 0;

	if (pages > now.free_pages) {
		missing = pages - now.free_pages;
		pages = now.free_pages;
	}
	if (now.flags & SLUICE_BLOCK_FREE) {
		if (now.flags & SLUICE_BLOCK_REPORTED)
			counters()->reused += pages;
		count_end_of_free(was.word, now_ticks());
		now.flags = 0;
		now.order = SLUICE_NO_EXTENT;
	}
	now.free_pages -= pages;
	now.since = hot.recent_tick;
	*block = now;
	return missing;
}

static __always_inline int apply_to_block(struct sluice_block *block, uint32_t pages, bool freed)
{
	if (!block)
		counters()->unknown++;
	else if (freed)
		block_add(block, pages);
	else if (block_sub(block, pages))
		counters()->clamped++;
	return 0;
}

/* The same, verified once and called where it is not worth being fast. */
__attribute__((noinline)) int change_block(uint64_t pfn, uint32_t pages, uint32_t freed)
{
	return apply_to_block(block_of(pfn), pages, freed);
}

/* Applies a change to the one or more blocks of an extent of @order pages at @page. */
static __always_inline void apply(uint64_t page, uint32_t order, bool freed)
{
	const uint64_t pfn = pfn_of(page);
	const uint32_t nr = 1U << ((order - pageblock_order) & 31);

	if (order <= pageblock_order) {
		/* without a call: nearly every event comes here */
		apply_to_block(block_at(record_of(pfn)), 1U << (order & 31), freed);
		return;
	}
	/* gigantic pages are freed at orders up to 18: 512 blocks of order 9 */
	for (uint32_t i = 0; i < 512; i++) {
		if (i >= nr)
			break;
		change_block(pfn + ((uint64_t)i << pageblock_order), 1U << (pageblock_order & 31),
			     freed);
	}
}

SEC("raw_tp/mm_page_alloc_zone_locked")
int on_zone_locked(struct bpf_raw_tracepoint_args *ctx)
{
	struct sluice_event_counters *count = counters();
	const uint64_t page = ctx->args[0];

	if (!page) /* 5.10: the event fires for failed attempts too */
		return 0;
	count->allocs++;
	count->last_locked_page = page;
	apply(page, ctx->args[1], false);
	return 0;
}

SEC("raw_tp/mm_page_pcpu_drain")
int on_pcpu_drain(struct bpf_raw_tracepoint_args *ctx)
{
	struct sluice_event_counters *count = counters();

	count->drains++;
	count->last_locked_page = 0;
	apply(ctx->args[0], ctx->args[1], true);
	return 0;
}

SEC("raw_tp/mm_page_free")
int on_free(struct bpf_raw_tracepoint_args *ctx)
{
	const uint32_t order = ctx->args[1];

	if (order < 32 && pcp_orders & (1U << order))
		return 0;
	counters()->direct_frees++;
	apply(ctx->args[0], order, true);
	return 0;
}

/*
 * 6.10 moved the event behind the removal. Where a whole block was claimed,
 * zone_locked announced the same page just before on this CPU: the two are one
 * removal.
 */
SEC("raw_tp/mm_page_alloc_extfrag")
int on_extfrag(struct bpf_raw_tracepoint_args *ctx)
{
	struct sluice_event_counters *count = counters();
	const uint64_t page = ctx->args[0];

	if (!extfrag_removes || count->last_locked_page == page)
		return 0;
	count->steals++;
	apply(page, ctx->args[1], false);
	return 0;
}

/* (start_pfn, end_pfn, nr_scanned, nr_taken): a range inside one pageblock. */
SEC("raw_tp/mm_compaction_isolate_freepages")
int on_isolate(struct bpf_raw_tracepoint_args *ctx)
{
	const uint64_t pfn = ctx->args[0];
	struct sluice_block *block = block_of(pfn);
	uint32_t pages = ctx->args[3];

	if (!pages)
		return 0;
	counters()->isolated += pages;
	if (!block) {
		counters()->unknown++;
		return 0;
	}
	pages = block_sub(block, pages);
	if (!pages)
		return 0;
	/* an extent above pageblock order reaches into the next block */
	block = block_of(pfn + (1ULL << pageblock_order));
	if (block && block_sub(block, pages))
		counters()->clamped++;
	return 0;
}

/* The range is the window that was searched, not what was taken: only the number is known. */
SEC("raw_tp/mm_compaction_fast_isolate_freepages")
int on_fast_isolate(struct bpf_raw_tracepoint_args *ctx)
{
	counters()->fast_isolated += ctx->args[3];
	return 0;
}

#endif
