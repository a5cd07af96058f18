// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/view.h"

static unsigned int run_class(uint64_t pages)
{
	const unsigned int log = 63U - (unsigned int)__builtin_clzll(pages);

	return log < VIEW_RUN_CLASSES ? log : VIEW_RUN_CLASSES - 1;
}

static void add_run(struct zone_view *view, uint64_t pfn, uint64_t pages)
{
	if (!pages)
		return;
	view->run_count[run_class(pages)]++;
	view->run_pages[run_class(pages)] += pages;
	if (pages > view->longest_pages) {
		view->longest_pages = pages;
		view->longest_pfn = pfn;
	}
}

/* Extents below pageblock order are known by number, not by place. */
static void add_small(struct zone_view *view, const struct zone_snapshot *zone,
		      unsigned int pageblock_order)
{
	for (unsigned int o = 0; o < pageblock_order && o < SLUICE_MAX_ORDERS; o++) {
		view->run_count[o] += zone->orders[o].free;
		view->run_pages[o] += zone->orders[o].free << o;
	}
}

static void add_partial(struct zone_view *view, const struct sluice_block *block,
			unsigned int pageblock_order, unsigned int bucket)
{
	const unsigned int sixteenths = block->free_pages * 16U >> pageblock_order;

	view->partial_pages[bucket] += block->free_pages;
	if (sixteenths < 8 || sixteenths > 15)
		return;
	view->almost_free[sixteenths - 8]++;
	view->almost_free_pages[sixteenths - 8] += block->free_pages;
}

/* Adds @nr records that follow each other; *run is where the present run began. */
static void view_records(struct zone_view *view, const struct blockmap *map,
			 const struct sluice_block *records, uint64_t nr, uint64_t pfn,
			 uint64_t now_ns, uint64_t *run)
{
	for (uint64_t i = 0; i < nr; i++, pfn += 1ULL << map->pageblock_order) {
		const struct sluice_block block = records[i]; /* one read: events write to it */
		const unsigned int bucket = sluice_time_bucket(
			(uint32_t)(blockmap_age(&block, now_ns) >> SLUICE_TICK_SHIFT));

		if (block.flags & SLUICE_BLOCK_FREE) {
			view->free_blocks[bucket]++;
			if (block.flags & SLUICE_BLOCK_REPORTED)
				view->reported_blocks[bucket]++;
			continue;
		}
		add_run(view, *run, pfn - *run);
		*run = pfn + (1ULL << map->pageblock_order);
		if (block.free_pages)
			add_partial(view, &block, map->pageblock_order, bucket);
	}
}

/* Section by section, since the records of one follow each other. */
static void view_part(struct zone_view *view, const struct blockmap *map,
		      const struct pfn_range *pfns, uint64_t now_ns)
{
	const uint64_t section = 1ULL << map->section_order;
	const uint64_t step = 1ULL << map->pageblock_order;
	uint64_t pfn = pfns->start & ~(step - 1), run = pfn, end;

	for (; pfn < pfns->end; pfn = end) {
		const struct sluice_block *records = blockmap_at(map, pfn);

		end = (pfn | (section - 1)) + 1;
		if (end > pfns->end)
			end = (pfns->end + step - 1) & ~(step - 1);
		if (records) {
			view_records(view, map, records, (end - pfn) / step, pfn, now_ns, &run);
			continue;
		}
		add_run(view, run, pfn - run);
		run = end;
	}
	add_run(view, run, pfn - run);
}

void view_zone(const struct blockmap *map, const struct topology *topology,
	       const struct zone_snapshot *zone, uint64_t now_ns, struct zone_view *ret)
{
	*ret = (struct zone_view){ 0 };
	for (unsigned int i = 0; i < topology->nr_parts; i++)
		if (topology->parts[i].zone == zone->index)
			view_part(ret, map, &topology->parts[i].pfns, now_ns);
	add_small(ret, zone, map->pageblock_order);
}

double view_unusable(const struct snapshot *snap, const struct zone_snapshot *zone,
		     unsigned int order)
{
	uint64_t usable = 0, all = 0;

	for (unsigned int o = 0; o < snap->nr_orders && o < SLUICE_MAX_ORDERS; o++) {
		const uint64_t pages = zone->orders[o].free << o;

		all += pages;
		usable += o >= order ? pages : 0;
	}
	return all ? (double)(all - usable) / (double)all : 0;
}
