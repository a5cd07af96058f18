/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scan: free extents as the memory map shows them, read without a lock.
 *
 * "heads" reads the first struct page of each pageblock and so finds every free
 * extent of at least pageblock order. "full" walks all struct pages, hopping
 * over free extents, and finds every order. Either sets the records of the
 * blocks that it passes.
 *
 * Races are local and heal at the next scan: the kernel writes page->private
 * before PageBuddy on insertion and clears them in the reverse order on
 * removal, so that an order read here may be stale but is checked against its
 * bounds. Addresses without a memory map make bpf_probe_read_kernel() fail.
 */
#ifndef SLUICE_SCAN_BPF_H
#define SLUICE_SCAN_BPF_H

#define BLOCKS_PER_CALL	  512
#define BLOCKS_PER_CLOCK  16 /* heads between two looks at the clock */
#define CHUNK_PAGES	  64
#define BLOCK_PAGES_MAX	  (1U << 13) /* arm64 with 64 KiB pages; x86: 1 << 9 */
#define EXTENT_BLOCKS_MAX 128	     /* pageblocks in the largest extent; x86: 2 */
#define PAGE_STRUCT_MAX	  96	     /* 64 in practice; debug options make it larger */

/* The scan is run by one task at a time, so that its state can be global. */
static uint8_t chunk[CHUNK_PAGES * PAGE_STRUCT_MAX] __attribute__((aligned(8)));
static uint64_t hop_to;	    /* first pfn behind the free extent seen last */
static uint32_t block_free; /* free pages counted so far in the current block */
static uint32_t scan_tick;  /* of the call: a tick lasts longer than a call */
static uint32_t scan_probes;
static uint32_t scan_faults;

struct head {
	bool free;
	bool reported;
	uint32_t order;
};

/* Of two relocated constants only one exists: the compiler must not evaluate both and select. */
#define KEEP_BRANCH(constant) asm volatile("" : "+r"(constant))

/*
 * Where this kernel keeps what we look for. Taken once per function, ahead of its
 * loops, since the compiler would move the constants there in any case, out of
 * their branches.
 */
struct layout {
	uint32_t buddy_mask; /* PageBuddy(): (page_type & mask) == value, page-flags.h */
	uint32_t buddy_value;
	uint32_t flags_offset;
};

static __always_inline struct layout page_layout(void)
{
	struct layout layout = { 0xf0000080, 0xf0000000, 0 }; /* until 6.9 */
	uint32_t type;

	if (bpf_core_enum_value_exists(enum pagetype___pgty, PGTY_buddy)) { /* 6.12+ */
		type = bpf_core_enum_value(enum pagetype___pgty, PGTY_buddy);
		KEEP_BRANCH(type);
		layout.buddy_mask = 0xff000000;
		layout.buddy_value = type << 24;
	} else if (bpf_core_enum_value_exists(enum pagetype, PG_buddy)) { /* 6.10, 6.11 */
		type = bpf_core_enum_value(enum pagetype, PG_buddy);
		KEEP_BRANCH(type);
		layout.buddy_value = type == 0x80 ? 0xf0000000 : 0x80000000;
		layout.buddy_mask = layout.buddy_value | type;
	}
	if (bpf_core_field_exists(struct page___memdesc, flags.f)) { /* 6.18+ */
		layout.flags_offset = bpf_core_field_offset(struct page___memdesc, flags.f);
		KEEP_BRANCH(layout.flags_offset);
	} else {
		layout.flags_offset = bpf_core_field_offset(struct page, flags);
		KEEP_BRANCH(layout.flags_offset);
	}
	return layout;
}

static __always_inline bool is_buddy(const struct layout *layout, uint32_t page_type)
{
	return (page_type & layout->buddy_mask) == layout->buddy_value;
}

/* Of a page in the buddy lists; an order that can't be is no free extent. */
static __always_inline struct head head_of(uint64_t pfn, uint64_t order, uint64_t flags)
{
	struct head head = {};

	if (order > highest_order || (pfn & ((1ULL << (order & 31)) - 1)))
		return head;
	head.free = true;
	head.order = order;
	head.reported = flags >> bpf_core_enum_value(enum pageflags, PG_reported) & 1;
	return head;
}

/* From a copy of a struct page. */
static __always_inline struct head decode(const struct layout *layout, const uint8_t *page,
					  uint64_t pfn)
{
	const struct head none = {};

	if (!is_buddy(layout,
		      *(const uint32_t *)(page + bpf_core_field_offset(struct page, page_type))))
		return none;
	return head_of(pfn, *(const uint64_t *)(page + bpf_core_field_offset(struct page, private)),
		       *(const uint64_t *)(page + layout->flags_offset));
}

static __always_inline bool read_pages(uint64_t pfn, uint32_t pages)
{
	uint32_t size = pages * bpf_core_type_size(struct page);

	scan_probes++;
	if (size > sizeof(chunk) || bpf_probe_read_kernel(chunk, size, (void *)page_of(pfn))) {
		scan_faults++;
		return false;
	}
	return true;
}

static __always_inline void count_extent(uint32_t zone, struct head head)
{
	/* both are in range; masks are what every verifier version understands */
	const uint32_t order = head.order & (SLUICE_MAX_ORDERS - 1);

	zone &= SLUICE_MAX_ZONES - 1;
	scan_zones[zone].free[order]++;
	if (head.reported)
		scan_zones[zone].reported[order]++;
}

/* What the record said against what was counted. */
static __always_inline void count_error(struct sluice_scan_zone *zone, struct sluice_block was,
					uint32_t free_pages)
{
	const uint32_t error = was.free_pages > free_pages ? was.free_pages - free_pages :
							     free_pages - was.free_pages;

	if (!error)
		return;
	zone->wrong_blocks++;
	if (error > zone->largest_error)
		zone->largest_error = error;
	if (was.flags & SLUICE_BLOCK_FREE)
		zone->not_free++;
}

static __always_inline uint64_t load_block(const struct sluice_block *block)
{
	return block ? *(const volatile uint64_t *)block : 0;
}

/* What was found of a pageblock, as a record in which no time stands. */
static __always_inline uint64_t found_block(uint32_t zone, uint32_t free_pages, uint32_t order,
					    uint32_t flags)
{
	const union block_word found = {
		.block = { .free_pages = free_pages, .order = order, .zone = zone, .flags = flags }
	};

	return found.word;
}

/*
 * Sets the record to what was found, unless an event changed it since it held
 * @old: then the event knows better and the next scan reconciles. A global
 * function, as others below: the verifier looks at it once, not once per call.
 */
__attribute__((noinline)) int set_block(uint32_t record, uint64_t old, uint64_t found)
{
	const union block_word was = { .word = old }, is = { .word = found };
	const uint32_t flags = is.block.flags;
	const bool newly_reported =
		(flags & SLUICE_BLOCK_REPORTED) && !(was.block.flags & SLUICE_BLOCK_REPORTED);
	const uint32_t zone = is.block.zone & (SLUICE_MAX_ZONES - 1);
	struct sluice_block *block = block_at(record);
	union block_word now = { .word = old };

	now.block.free_pages = is.block.free_pages;
	now.block.order = is.block.order;
	now.block.zone = zone;
	now.block.flags = flags;
	if (was.block.free_pages != is.block.free_pages)
		now.block.since = scan_tick;
	if (newly_reported)
		now.block.reported_after =
			sluice_span_encode(ticks_between(now.block.since, scan_tick));
	if (!block || now.word == old ||
	    __sync_val_compare_and_swap((uint64_t *)block, old, now.word) != old)
		return 0;
	count_error(&scan_zones[zone], was.block, is.block.free_pages);
	if ((was.block.flags & SLUICE_BLOCK_FREE) && !(flags & SLUICE_BLOCK_FREE))
		count_end_of_free(old, scan_tick);
	if (newly_reported)
		__sync_fetch_and_add(&zone_times[zone].reported, 1);
	return 0;
}

/* Sets the records of all blocks below a free extent of at least pageblock order. */
__attribute__((noinline)) int set_extent(uint64_t pfn, uint32_t zone, uint32_t order,
					 uint32_t reported)
{
	const uint32_t nr = 1U << ((order - pageblock_order) & 31);
	const uint32_t first = find_record(pfn); /* an extent lies in one section */
	uint32_t flags = SLUICE_BLOCK_FREE;

	if (first == SLUICE_NO_RECORDS)
		return 0;
	if (reported)
		flags |= SLUICE_BLOCK_REPORTED;
	for (uint32_t i = 0; i < EXTENT_BLOCKS_MAX; i++) {
		if (i >= nr)
			break;
		set_block(first + i, load_block(block_at(first + i)),
			  found_block(zone, 1U << pageblock_order, i ? SLUICE_NO_EXTENT : order,
				      flags));
	}
	return 0;
}

/*
 * 6.2+: gives a read-only pointer that programs follow without a helper, with an
 * exception table for addresses that are not there.
 */
extern void *bpf_rdonly_cast(const void *obj, uint32_t btf_id) __ksym __weak;

/* Pages that are not there read as zeros, which no free extent does. */
static __always_inline struct head head_in_place(const struct layout *layout, uint64_t pfn)
{
	const struct page *page =
		bpf_rdonly_cast((void *)page_of(pfn), bpf_core_type_id_kernel(struct page));
	const struct head none = {};

	scan_probes++;
	if (!is_buddy(layout, page->page_type))
		return none;
	if (bpf_core_field_exists(struct page___memdesc, flags.f))
		return head_of(pfn, page->private, ((const struct page___memdesc *)page)->flags.f);
	return head_of(pfn, page->private, page->flags);
}

#define HEAD_FREE     0x200
#define HEAD_REPORTED 0x100
#define HEAD_ORDER    0x01f /* mask */

/*
 * The free extent that starts at @pfn as one word, 0 if none does: any number to
 * the verifier, not one of as many histories as the callers' loops have turns.
 */
__attribute__((noinline)) uint32_t read_head(uint64_t pfn)
{
	const struct layout layout = page_layout();
	struct head head = {};

	if (read_in_place)
		head = head_in_place(&layout, pfn);
	else if (read_pages(pfn, 1))
		head = decode(&layout, chunk, pfn);
	return head.free ? HEAD_FREE | (head.reported ? HEAD_REPORTED : 0) | head.order : 0;
}

/* The free extent that starts at @pfn, if one does. */
static __always_inline struct head head_at(uint64_t pfn)
{
	const uint32_t word = read_head(pfn);

	return (struct head){ word & HEAD_FREE, word & HEAD_REPORTED, word & HEAD_ORDER };
}

/* Returns the pfn behind the free extent, or 0 if none of pageblock order starts here. */
static __always_inline uint64_t scan_head(uint64_t pfn, uint32_t zone)
{
	const struct head head = head_at(pfn);

	if (!head.free || head.order < pageblock_order)
		return 0;
	count_extent(zone, head);
	set_extent(pfn, zone, head.order, head.reported);
	return pfn + (1ULL << head.order);
}

/* Bit i: page i of the chunk is the head of a free extent. Reads 4 bytes of each page. */
static __always_inline uint64_t heads_in_place(const struct layout *layout, uint64_t pfn)
{
	const uint32_t btf_id = bpf_core_type_id_kernel(struct page);
	const uint32_t size = bpf_core_type_size(struct page);
	uint64_t address = page_of(pfn), heads = 0;

	for (uint32_t i = 0; i < CHUNK_PAGES; i++, address += size) {
		const struct page *page = bpf_rdonly_cast((void *)address, btf_id);

		if (is_buddy(layout, page->page_type))
			heads |= 1ULL << i;
	}
	scan_probes++;
	return heads;
}

/* The same from a copy of the whole chunk, which is what helpers can do. */
static __always_inline uint64_t heads_in_copy(const struct layout *layout, uint64_t pfn)
{
	const uint32_t offset = bpf_core_field_offset(struct page, page_type);
	const uint32_t size = bpf_core_type_size(struct page);
	uint64_t heads = 0;

	if (!read_pages(pfn, CHUNK_PAGES))
		return 0;
	for (uint32_t i = 0; i < CHUNK_PAGES; i++) {
		const uint32_t type = *(const uint32_t *)(chunk + i * size + offset);

		if (is_buddy(layout, type))
			heads |= 1ULL << i;
	}
	return heads;
}

/* A global function so that its result is any number to the verifier, not one of 2^64 histories. */
__attribute__((noinline)) uint64_t find_heads(uint64_t pfn)
{
	const struct layout layout = page_layout();

	return read_in_place ? heads_in_place(&layout, pfn) : heads_in_copy(&layout, pfn);
}

/* Counts the extents below pageblock order that start in CHUNK_PAGES pages. */
__attribute__((noinline)) int scan_chunk(uint64_t pfn, uint32_t zone)
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
		count_extent(zone, head);
		block_free += 1U << (head.order & 31);
		next = i + (1U << (head.order & 31));
	}
	if (pfn + next > hop_to)
		hop_to = pfn + next;
	return 0;
}

/* Every extent of one pageblock that is not free as a whole. */
__attribute__((noinline)) int scan_inside(uint64_t pfn, uint32_t zone)
{
	const uint32_t record = find_record(pfn);
	const uint64_t old = load_block(block_at(record));

	block_free = 0;
	hop_to = pfn;
	for (uint32_t i = 0; i < BLOCK_PAGES_MAX; i += CHUNK_PAGES) {
		if (i >= 1U << pageblock_order)
			break;
		scan_chunk(pfn + i, zone);
	}
	set_block(record, old,
		  found_block(zone, block_free, SLUICE_NO_EXTENT,
			      block_free >> pageblock_order ? SLUICE_BLOCK_FREE : 0));
	return 0;
}

/*
 * Scans one pageblock, or the larger free extent that starts there; returns its pages.
 * "heads" looks inside only where the record says wholly free and the head says no,
 * so that the record is right afterwards.
 */
__attribute__((noinline)) int scan_one(uint64_t pfn, uint32_t zone, uint32_t full)
{
	uint64_t behind = scan_head(pfn, zone);
	struct sluice_block *block;

	if (behind)
		return behind - pfn;
	block = block_of(pfn);
	if (full || (block && block->flags & SLUICE_BLOCK_FREE))
		scan_inside(pfn, zone);
	return 1 << pageblock_order;
}

SEC("syscall")
int scan(struct sluice_scan_args *args)
{
	uint64_t pfn = args->next_pfn, start = bpf_ktime_get_ns();
	const uint64_t end = args->end_pfn;
	const uint32_t zone = args->zone, full = args->full;
	const uint64_t budget = args->budget_ns;

	scan_tick = start >> SLUICE_TICK_SHIFT;
	scan_probes = 0;
	scan_faults = 0;
	for (uint32_t i = 0; i < BLOCKS_PER_CALL; i++) {
		if (pfn >= end)
			break;
		/* never ahead of the first block: a hypervisor may have stopped us until now */
		if (i && (full || i % BLOCKS_PER_CLOCK == 0) && bpf_ktime_get_ns() - start > budget)
			break;
		pfn += scan_one(pfn, zone, full);
	}
	args->next_pfn = pfn;
	args->probes = scan_probes;
	args->faults = scan_faults;
	return 0;
}

#endif
