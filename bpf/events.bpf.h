/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events: every extent that enters or leaves the buddy lists changes the count
 * of its pageblock (kernel tracepoints, include/trace/events/kmem.h):
 *
 *   mm_page_pcpu_drain          + put back by a per-CPU list
 *   mm_page_free                + of orders that have no per-CPU list
 *   mm_page_alloc_zone_locked   - taken by a refill or a direct allocation
 *   mm_page_alloc_extfrag       - 6.10+: taken by stealing from another list
 *
 * Three of the four run under zone->lock, which serialises the records of a
 * zone; mm_page_free does not and may lose an update, which the scan repairs.
 * Paths without an event (compaction, trylock failures, hotplug) are repaired
 * by the scan as well.
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
	uint32_t free_pages = block->free_pages + pages;

	if (free_pages > full) {
		counters()->clamped++;
		free_pages = full;
	}
	block->free_pages = free_pages;
	if (free_pages == full && !(block->flags & SLUICE_BLOCK_FREE)) {
		block->free_since = now_ticks();
		block->flags |= SLUICE_BLOCK_FREE;
	}
}

static __always_inline void block_sub(struct sluice_block *block, uint32_t pages)
{
	uint32_t free_pages = block->free_pages;

	if (block->flags & SLUICE_BLOCK_FREE) {
		if (block->flags & SLUICE_BLOCK_REPORTED)
			counters()->reused += pages;
		block->flags = SLUICE_BLOCK_COUNTED;
		block->order = SLUICE_NO_EXTENT;
	}
	if (pages > free_pages) {
		counters()->clamped++;
		pages = free_pages;
	}
	block->free_pages = free_pages - pages;
}

/* Applies a change to the one or more blocks of an extent of @order pages at @page. */
static __always_inline void apply(uint64_t page, uint32_t order, bool freed)
{
	const uint64_t pfn = pfn_of(page);
	const uint32_t nr = order > pageblock_order ? 1U << ((order - pageblock_order) & 31) : 1;
	const uint32_t pages = 1U << ((order > pageblock_order ? pageblock_order : order) & 31);

	/* gigantic pages are freed at orders up to 18: 512 blocks of order 9 */
	for (uint32_t i = 0; i < 512; i++) {
		struct sluice_block *block;

		if (i >= nr)
			break;
		block = block_of(pfn + ((uint64_t)i << pageblock_order));
		if (!block) {
			counters()->unknown++;
			return;
		}
		if (freed)
			block_add(block, pages);
		else
			block_sub(block, pages);
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

#endif
