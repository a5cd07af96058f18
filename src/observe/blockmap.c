// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/blockmap.h"

#include <errno.h>
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

int blockmap_alloc(struct blockmap *map, const struct topology *topology)
{
	const uint32_t nr_blocks = blockmap_records(topology);
	const size_t blocks_size = nr_blocks * sizeof(struct sluice_block);
	char *own;

	own = calloc(1, blocks_size + topology->nr_sections * sizeof(uint64_t));
	if (!own)
		return -ENOMEM;
	*map = (struct blockmap){
		.pageblock_order = topology->pageblock_order,
		.section_order = topology->section_order,
		.nr_sections = topology->nr_sections,
		.nr_blocks = nr_blocks,
		.blocks = (struct sluice_block *)(void *)own,
		.sections = (uint64_t *)(void *)(own + blocks_size),
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

static uint64_t block_word(struct sluice_block block)
{
	uint64_t word;

	memcpy(&word, &block, sizeof(word));
	return word;
}

void blockmap_set(struct sluice_block *block, struct sluice_block old, struct sluice_block now,
		  uint64_t now_ns)
{
	uint64_t expected = block_word(old);

	now.free_since = old.free_since;
	if ((now.flags & SLUICE_BLOCK_FREE) && !(old.flags & SLUICE_BLOCK_FREE))
		now.free_since = (uint32_t)(now_ns >> SLUICE_TICK_SHIFT);
	__atomic_compare_exchange_n((uint64_t *)(void *)block, &expected, block_word(now), false,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

uint64_t blockmap_age(const struct sluice_block *block, uint64_t now_ns)
{
	const uint32_t now = (uint32_t)(now_ns >> SLUICE_TICK_SHIFT);

	if (!(block->flags & SLUICE_BLOCK_FREE))
		return 0;
	/* the difference is right across a wrap of the 32 bits; an event may be newer than now */
	return (int32_t)(now - block->free_since) < 0 ?
		       0 :
		       (uint64_t)(uint32_t)(now - block->free_since) << SLUICE_TICK_SHIFT;
}
