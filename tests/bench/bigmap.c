// SPDX-License-Identifier: GPL-2.0-only
/*
 * What views cost on the map of a guest of 1 TiB: the sum of its records, the
 * histograms of runs and ages, and the longest run, one zone that is half free in
 * pieces of any length. Speaks TAP; the fastest of several turns counts, which other
 * load on the machine disturbs least.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sluice/view.h"

#define TURNS	      20
#define LIMIT_NS      20000000
#define SECTION_ORDER 15U
#define SECTIONS      8192U /* of 128 MiB */
#define BLOCK	      512U

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* others use the machine too */
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The same map in every run (splitmix64). */
static uint64_t any(void)
{
	static uint64_t seed = 1;
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static void fill(struct blockmap *map)
{
	for (uint32_t i = 0; i < map->nr_blocks;) {
		const uint64_t length = 1 + any() % (1U << (any() % 12));
		const bool is_free = any() & 1;

		for (uint64_t n = 0; n < length && i < map->nr_blocks; n++, i++)
			map->blocks[i] = (struct sluice_block){
				.free_pages = is_free ? BLOCK : any() % BLOCK,
				.flags = is_free ? 1U | (any() & 2) : 0,
				.since = (uint32_t)any() >> (any() % 32),
			};
	}
}

/* What a look at everything takes; *ret_longest is so that nothing is left out as unused. */
static uint64_t look(const struct blockmap *map, const struct topology *topology,
		     const struct zone_snapshot *zone, uint64_t *ret_longest)
{
	const uint64_t start = now_ns();
	struct zone_view view;
	uint64_t pages = 0;

	for (uint32_t i = 0; i < map->nr_blocks; i++)
		pages += map->blocks[i].free_pages;
	view_zone(map, topology, zone, start, &view);
	*ret_longest = pages ? view.longest_pages : 0;
	return now_ns() - start;
}

int main(void)
{
	struct topology *topology = calloc(1, sizeof(*topology));
	struct zone_snapshot zone = { 0 };
	uint64_t best = UINT64_MAX, longest = 0;
	struct blockmap map;

	if (!topology)
		return EXIT_FAILURE;
	topology->pageblock_order = 9;
	topology->section_order = SECTION_ORDER;
	topology->nr_sections = SECTIONS;
	topology->nr_ranges = topology->nr_parts = 1;
	topology->online[0].end = (uint64_t)SECTIONS << SECTION_ORDER;
	topology->parts[0].pfns = topology->online[0];
	if (blockmap_alloc(&map, topology)) {
		free(topology);
		return EXIT_FAILURE;
	}
	fill(&map);
	for (int turn = 0; turn < TURNS; turn++) {
		const uint64_t took = look(&map, topology, &zone, &longest);

		if (took < best)
			best = took;
	}
	puts("1..1");
	printf("%s 1 - views of a map of 1 TiB within %d ms\n",
	       best <= LIMIT_NS && longest ? "ok" : "not ok", LIMIT_NS / 1000000);
	printf("#   %.2f ms for %" PRIu32 " records of %zu bytes in all; longest run %" PRIu64
	       " MiB\n",
	       (double)best / 1e6, map.nr_blocks, blockmap_bytes(&map), longest / 256);
	blockmap_free(&map);
	free(topology);
	return best <= LIMIT_NS && longest ? 0 : 1;
}
