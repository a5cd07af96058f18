// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/blockmap.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t blocks_per_section(unsigned int section_order, unsigned int pageblock_order)
{
	return 1U << (section_order - pageblock_order);
}

uint32_t blockmap_records(const struct topology *topology)
{
	return (uint32_t)(topology_online_pages(topology) >> topology->pageblock_order);
}

size_t blockmap_bytes(const struct blockmap *map)
{
	return map->nr_blocks * sizeof(*map->blocks) + map->nr_sections * sizeof(*map->sections) +
	       SLUICE_MAX_ZONES * sizeof(*map->times);
}

void blockmap_index(struct blockmap *map, const struct topology *topology)
{
	uint32_t record = 0;

	for (unsigned int s = 0; s < map->nr_sections; s++)
		map->sections[s] = SLUICE_NO_RECORDS;
	for (unsigned int i = 0; i < topology->nr_ranges; i++) {
		const struct pfn_range *range = &topology->online[i];

		for (uint64_t pfn = range->start; pfn < range->end;
		     pfn += 1ULL << map->section_order) {
			map->sections[pfn >> map->section_order] = record;
			record += blocks_per_section(map->section_order, map->pageblock_order);
		}
	}
	for (uint32_t i = 0; i < map->nr_blocks; i++)
		map->blocks[i] = (struct sluice_block){ .order = SLUICE_NO_EXTENT };
}

/* Puts @run where it belongs among the @nr longest. */
static void insert_run(struct sluice_run *runs, unsigned int nr, struct sluice_run run)
{
	for (unsigned int i = 0; i < nr; i++) {
		const struct sluice_run shorter = runs[i];

		if (run.nr_blocks <= shorter.nr_blocks)
			continue;
		runs[i] = run;
		run = shorter;
	}
}

void blockmap_runs(const struct blockmap *map, struct sluice_run *runs, unsigned int nr)
{
	const uint32_t blocks = blocks_per_section(map->section_order, map->pageblock_order);
	struct sluice_run run = { 0 };

	memset(runs, 0, nr * sizeof(*runs));
	for (uint32_t s = 0; s < map->nr_sections; s++) {
		if (map->sections[s] == SLUICE_NO_RECORDS)
			continue;
		if (s * blocks != run.first_block + run.nr_blocks) {
			insert_run(runs, nr, run);
			run.first_block = s * blocks;
			run.first_record = (uint32_t)map->sections[s];
			run.nr_blocks = 0;
		}
		run.nr_blocks += blocks;
	}
	insert_run(runs, nr, run);
}

int blockmap_alloc(struct blockmap *map, const struct topology *topology)
{
	const uint32_t nr_blocks = blockmap_records(topology);
	const size_t blocks_size = nr_blocks * sizeof(struct sluice_block);
	char *own;

	own = calloc(1, blocks_size + topology->nr_sections * sizeof(uint64_t) +
				SLUICE_MAX_ZONES * sizeof(struct sluice_zone_times));
	if (!own)
		return -ENOMEM;
	*map = (struct blockmap){
		.pageblock_order = topology->pageblock_order,
		.section_order = topology->section_order,
		.nr_sections = topology->nr_sections,
		.nr_blocks = nr_blocks,
		.blocks = (struct sluice_block *)(void *)own,
		.sections = (uint64_t *)(void *)(own + blocks_size),
		.times = (struct sluice_zone_times *)(void *)(own + blocks_size +
							      topology->nr_sections *
								      sizeof(uint64_t)),
		.own = own,
	};
	blockmap_index(map, topology);
	return 0;
}

void blockmap_free(struct blockmap *map)
{
	free(map->own);
	*map = (struct blockmap){ 0 };
}

struct sluice_block *blockmap_at(const struct blockmap *map, uint64_t pfn)
{
	const uint64_t section = pfn >> map->section_order;
	uint64_t record;

	if (section >= map->nr_sections || map->sections[section] == SLUICE_NO_RECORDS)
		return NULL;
	record = map->sections[section] +
		 ((pfn & ((1ULL << map->section_order) - 1)) >> map->pageblock_order);
	return record < map->nr_blocks ? &map->blocks[record] : NULL;
}

void blockmap_inherit(struct blockmap *map, const struct blockmap *old)
{
	/* no kernel changes these; a wrong file must not make us read beyond a section */
	if (map->section_order != old->section_order ||
	    map->pageblock_order != old->pageblock_order)
		return;
	memcpy(map->times, old->times, SLUICE_MAX_ZONES * sizeof(*map->times));
	for (uint64_t section = 0; section < map->nr_sections; section++) {
		const uint64_t pfn = section << map->section_order;
		struct sluice_block *to = blockmap_at(map, pfn);
		const struct sluice_block *from = blockmap_at(old, pfn);

		if (to && from)
			memcpy(to, from,
			       blocks_per_section(map->section_order, map->pageblock_order) *
				       sizeof(*to));
	}
}

static uint64_t block_word(struct sluice_block block)
{
	uint64_t word;

	memcpy(&word, &block, sizeof(word));
	return word;
}

static uint32_t ticks_between(uint32_t then, uint32_t now)
{
	return (int32_t)(now - then) < 0 ? 0 : now - then;
}

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void count_end_of_free(const struct blockmap *map, struct sluice_block block, uint32_t now)
{
	/* the zone in which it was free: its memory may have come back in another */
	struct sluice_zone_times *times = &map->times[block.zone];
	const uint32_t life = ticks_between(block.since, now);
	const uint32_t wait = sluice_span_decode(block.reported_after);

	count(&times->lifetimes[sluice_time_bucket(life)]);
	if (block.flags & SLUICE_BLOCK_REPORTED)
		count(&times->reuse[sluice_time_bucket(life > wait ? life - wait : 0)]);
}

static void count_error(struct sluice_scan_zone *errors, struct sluice_block was,
			uint32_t free_pages)
{
	const uint32_t error = was.free_pages > free_pages ? was.free_pages - free_pages :
							     free_pages - was.free_pages;

	if (!error)
		return;
	errors->wrong_blocks++;
	errors->not_free += was.flags & SLUICE_BLOCK_FREE;
	if (error > errors->largest_error)
		errors->largest_error = error;
}

void blockmap_set(const struct blockmap *map, struct sluice_block *block, struct sluice_block old,
		  const struct block_found *found, uint64_t now_ns, struct sluice_scan_zone *errors)
{
	const uint32_t ticks = (uint32_t)(now_ns >> SLUICE_TICK_SHIFT);
	const bool was_reported = old.flags & SLUICE_BLOCK_REPORTED;
	uint64_t expected = block_word(old);
	struct sluice_block now = old;

	now.free_pages = found->free_pages & 0x3fff;
	now.order = found->order & 0xf;
	now.zone = found->zone % SLUICE_MAX_ZONES;
	now.flags = 0;
	if (found->free_pages >> map->pageblock_order)
		now.flags = found->reported ? SLUICE_BLOCK_FREE | SLUICE_BLOCK_REPORTED :
					      SLUICE_BLOCK_FREE;
	if (old.free_pages != found->free_pages)
		now.since = ticks;
	if (now.flags & SLUICE_BLOCK_REPORTED && !was_reported)
		now.reported_after = sluice_span_encode(ticks_between(now.since, ticks)) & 0x7f;
	if (!__atomic_compare_exchange_n((uint64_t *)(void *)block, &expected, block_word(now),
					 false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	count_error(errors, old, found->free_pages);
	if ((old.flags & SLUICE_BLOCK_FREE) && !(now.flags & SLUICE_BLOCK_FREE))
		count_end_of_free(map, old, ticks);
	if (now.flags & SLUICE_BLOCK_REPORTED && !was_reported)
		count(&map->times[now.zone].reported);
}

uint64_t blockmap_age(const struct sluice_block *block, uint64_t now_ns)
{
	/* the difference is right across a wrap of the 32 bits; an event may be newer than now */
	return (uint64_t)ticks_between(block->since, (uint32_t)(now_ns >> SLUICE_TICK_SHIFT))
	       << SLUICE_TICK_SHIFT;
}

void blockmap_churn(const struct blockmap *map, uint64_t age_ns, struct churn *ret)
{
	const double pages = (double)(UINT64_C(1) << map->pageblock_order);
	const double age = (double)(age_ns >> SLUICE_TICK_SHIFT);
	double soon = 0, faded = 0;
	uint64_t blocks = 0;

	for (unsigned int zone = 0; zone < SLUICE_MAX_ZONES; zone++) {
		const struct sluice_zone_times *times = &map->times[zone];
		double from = 0, to = 1;

		blocks += times->reported;
		/* bucket n ends at 2^n ticks */
		for (unsigned int n = 0; n < SLUICE_TIME_BUCKETS && from < age; n++) {
			const double end = to < age ? to : age;
			const double part = (double)times->reuse[n] * (end - from) / (to - from);

			soon += part;
			faded += part * exp(-(from + end) / 2 / age);
			from = to;
			to *= 2;
		}
	}
	*ret = (struct churn){
		.reported = blocks << map->pageblock_order,
		.reused = (uint64_t)(soon * pages),
		.faded = (uint64_t)(faded * pages),
	};
}
