// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which zone has which part of memory, where spans of zones overlap: on fixture trees
 * as memory hotplug leaves them, and as nobody does. Then the same as memory comes
 * and goes.
 *
 * wrap: sysconf
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/topology.h"

#define MEMORY	  "sys/devices/system/memory"
#define NODE	  "sys/devices/system/node"
#define SECTION	  0x8000 /* pages of a memory block of 128 MiB */
#define NR_ORDERS 11
#define MAX_ROWS  12

static struct fixture tree;

long __real_sysconf(int name);
long __wrap_sysconf(int name);

long __wrap_sysconf(int name)
{
	return name == _SC_PAGESIZE ? 4096 : __real_sysconf(name);
}

static int setup(void **state)
{
	(void)state;
	fixture_open(&tree);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

/* --- guests ----------------------------------------------------------------------------------- */

/* Memory blocks that are alike. */
struct blocks {
	unsigned int first, last;
	const char *nodes; /* "01": links to node 0 and node 1 */
	const char *zones; /* content of valid_zones; NULL: no such file */
	const char *state; /* NULL: online */
};

struct zone {
	unsigned int node;
	const char *name;
	uint64_t start, spanned, present;
};

struct guest {
	const char *what;
	const char *nodes; /* online; NULL: !CONFIG_NUMA */
	bool no_hotplug;   /* !CONFIG_MEMORY_HOTPLUG */
	struct zone zones[6];
	struct blocks blocks[MAX_ROWS];
	const char *parts; /* expected: "0 Normal 100000-110000", pfns in hexadecimal */
};

/* Two nodes of 512 MiB, memory from 256 MiB on lies above 4 GiB: as in QEMU. */
#define LOW_ZONES                                  \
	{ 0, "DMA", 1, 0xfff, 0xf9f },             \
	{                                          \
		0, "DMA32", 0x1000, 0xf000, 0xf000 \
	}
#define LOW_BLOCKS                         \
	{ 0, 0, "0", "none\n", NULL },     \
	{                                  \
		1, 1, "0", "DMA32\n", NULL \
	}
#define LOW_PARTS "0 DMA 1-1000, 0 DMA32 1000-10000"

static const struct guest guests[] = {
	{
		.what = "no overlap: spans alone count, whatever files are missing",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x10000, 0x10000 },
			   { 1, "Normal", 0x110000, 0x20000, 0x20000 } },
		.blocks = { { 0, 1, "", NULL, NULL }, { 32, 37, "", NULL, NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 1 Normal 110000-130000",
	},
	{
		.what = "a DIMM of node 0 behind the memory of node 1",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x50000, 0x20000 },
			   { 1, "Normal", 0x110000, 0x20000, 0x20000 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 33, "0", "Normal\n", NULL },
			    { 34, 37, "1", "Normal\n", NULL },
			    { 40, 41, "0", "Normal\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 1 Normal 110000-130000, "
				   "0 Normal 140000-150000",
	},
	{
		.what = "it is there, but offline: nothing has changed",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x10000, 0x10000 },
			   { 1, "Normal", 0x110000, 0x20000, 0x20000 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 33, "0", "Normal\n", NULL },
			    { 34, 37, "1", "Normal\n", NULL },
			    { 40, 41, "0", "Normal Movable\n", "offline" } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 1 Normal 110000-130000",
	},
	{
		.what = "one of its blocks online_movable, one online_kernel",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x48000, 0x18000 },
			   { 0, "Movable", 0x148000, 0x8000, 0x8000 },
			   { 1, "Normal", 0x110000, 0x20000, 0x20000 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 33, "0", "Normal\n", NULL },
			    { 34, 37, "1", "Normal\n", NULL },
			    { 40, 40, "0", "Normal\n", NULL },
			    { 41, 41, "0", "Movable\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 1 Normal 110000-130000, "
				   "0 Normal 140000-148000, 0 Movable 148000-150000",
	},
	{
		.what = "more DIMMs: three zones of two nodes, one inside the other",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x710000, 0x28000 },
			   { 0, "Movable", 0x148000, 0x8000, 0x8000 },
			   { 1, "Normal", 0x110000, 0x50000, 0x30000 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 33, "0", "Normal\n", NULL },
			    { 34, 37, "1", "Normal\n", NULL },
			    { 40, 40, "0", "Normal\n", NULL },
			    { 41, 41, "0", "Movable\n", NULL },
			    { 42, 43, "1", "Normal\n", NULL },
			    { 256, 257, "0", "Normal\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 1 Normal 110000-130000, "
				   "0 Normal 140000-148000, 0 Movable 148000-150000, "
				   "1 Normal 150000-160000, 0 Normal 800000-810000",
	},
	{
		.what = "blocks of one node that are Normal and Movable by turns",
		.nodes = "0\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x38000, 0x20000 },
			   { 0, "Movable", 0x108000, 0x28000, 0x18000 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 32, "0", "Normal\n", NULL },
			    { 33, 33, "0", "Movable\n", NULL },
			    { 34, 34, "0", "Normal\n", NULL },
			    { 35, 35, "0", "Movable\n", NULL },
			    { 36, 36, "0", "Normal\n", NULL },
			    { 37, 37, "0", "Movable\n", NULL },
			    { 38, 38, "0", "Normal\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-108000, 0 Movable 108000-110000, "
				   "0 Normal 110000-118000, 0 Movable 118000-120000, "
				   "0 Normal 120000-128000, 0 Movable 128000-130000, "
				   "0 Normal 130000-138000",
	},
	{
		.what = "movablecore=: the zones share a block, and do not overlap",
		.nodes = "0\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x6c00, 0x6c00 },
			   { 0, "Movable", 0x106c00, 0x9400, 0x9400 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 32, "0", "none\n", NULL },
			    { 33, 33, "0", "Movable\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-106c00, 0 Movable 106c00-110000",
	},
	{
		.what = "movablecore=, and a DIMM behind it: now they overlap in that block",
		.nodes = "0\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x50000, 0x16c00 },
			   { 0, "Movable", 0x106c00, 0x9400, 0x9400 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 32, "0", "none\n", NULL },
			    { 33, 33, "0", "Movable\n", NULL },
			    { 40, 41, "0", "Normal\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-106c00, 0 Movable 106c00-110000, "
				   "0 Normal 140000-150000",
	},
	{
		.what = "a block of two nodes, which a DIMM of node 0 spans",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x50000, 0x1c000 },
			   { 1, "Normal", 0x10c000, 0x24000, 0x24000 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 32, "0", "Normal\n", NULL },
			    { 33, 33, "01", "none\n", NULL },
			    { 34, 37, "1", "Normal\n", NULL },
			    { 40, 41, "0", "Normal\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-10c000, 1 Normal 10c000-130000, "
				   "0 Normal 140000-150000",
	},
	{
		.what = "memory that ends inside a contested block",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x50000, 0x20000 },
			   { 1, "Normal", 0x110000, 0x1ffe0, 0x1ffe0 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 33, "0", "Normal\n", NULL },
			    { 34, 37, "1", "Normal\n", NULL },
			    { 40, 41, "0", "Normal\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 1 Normal 110000-12ffe0, "
				   "0 Normal 140000-150000",
	},
	{
		.what = "a block that goes offline: its file names where it could go instead",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x50000, 0x20000 },
			   { 1, "Normal", 0x110000, 0x20000, 0x20000 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 33, "0", "Normal\n", NULL },
			    { 34, 36, "1", "Normal\n", NULL },
			    { 37, 37, "1", "Movable Normal\n", "going-offline" },
			    { 40, 41, "0", "Normal\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 1 Normal 110000-130000, "
				   "0 Normal 140000-150000",
	},
	{
		.what = "without valid_zones (5.10 without hot-remove) the node is enough",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x50000, 0x20000 },
			   { 1, "Normal", 0x110000, 0x20000, 0x20000 } },
		.blocks = { { 0, 1, "0", NULL, NULL },
			    { 32, 33, "0", NULL, NULL },
			    { 34, 37, "1", NULL, NULL },
			    { 40, 41, "0", NULL, NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 1 Normal 110000-130000, "
				   "0 Normal 140000-150000",
	},
	{
		.what = "no link to any node: what is contested is nobody's",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x50000, 0x20000 },
			   { 1, "Normal", 0x110000, 0x20000, 0x20000 } },
		.blocks = { { 0, 1, "", NULL, NULL },
			    { 32, 33, "", NULL, NULL },
			    { 34, 36, "", NULL, NULL },
			    { 37, 37, "", "Normal\n", NULL },
			    { 40, 41, "", NULL, NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 0 Normal 140000-150000",
	},
	{
		.what = "no NUMA, hence no links: the zone is enough",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x18000, 0x10000 },
			   { 0, "Movable", 0x108000, 0x8000, 0x8000 } },
		.blocks = { { 0, 0, "", "none\n", NULL },
			    { 1, 1, "", "DMA32\n", NULL },
			    { 32, 32, "", "Normal\n", NULL },
			    { 33, 33, "", "Movable\n", NULL },
			    { 34, 34, "", "Normal\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-108000, 0 Movable 108000-110000, "
				   "0 Normal 110000-118000",
	},
	{
		.what = "no NUMA and no valid_zones: nobody's",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x18000, 0x10000 },
			   { 0, "Movable", 0x108000, 0x8000, 0x8000 } },
		.blocks = { { 0, 1, "", NULL, NULL }, { 32, 34, "", NULL, NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-108000, 0 Normal 110000-118000",
	},
	{
		.what = "no memory hotplug, nodes that alternate: nobody's",
		.nodes = "0-1\n",
		.no_hotplug = true,
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x18000, 0x10000 },
			   { 1, "Normal", 0x108000, 0x18000, 0x10000 } },
		.parts = LOW_PARTS ", 0 Normal 100000-108000, 1 Normal 118000-120000",
	},
	{
		.what = "a block whose zone does not span it: nobody's",
		.nodes = "0-1\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x50000, 0x20000 },
			   { 1, "Normal", 0x110000, 0x20000, 0x20000 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 33, "0", "Normal\n", NULL },
			    { 34, 34, "1", "DMA32\n", NULL },
			    { 35, 37, "1", "Normal\n", NULL } },
		.parts = LOW_PARTS ", 0 Normal 100000-110000, 1 Normal 118000-130000",
	},
	{
		.what = "spans that nothing is online in",
		.nodes = "0\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x1000000, 0x50000, 0x20000 },
			   { 0, "Movable", 0x80000000000, 0x80000000000, 1 } },
		.blocks = { LOW_BLOCKS, { 32, 33, "0", "Normal\n", NULL } },
		.parts = LOW_PARTS,
	},
	{
		.what = "two zones of one node that both span all: the names tell",
		.nodes = "0\n",
		.zones = { { 0, "Normal", 0, 0x20000, 0x10000 },
			   { 0, "Movable", 0, 0x20000, 0x10000 } },
		.blocks = { { 0, 0, "0", "Movable\n", NULL },
			    { 1, 2, "0", "Normal\n", NULL },
			    { 3, 3, "0", "Movable\n", NULL } },
		.parts = "0 Movable 0-8000, 0 Normal 8000-18000, 0 Movable 18000-20000",
	},
};

enum { DIMM_BEHIND = 1, MOVABLE_BLOCK = 3, MOVABLECORE = 6, MOVABLECORE_DIMM = 7 };

static void put_zones(const struct guest *guest)
{
	struct fixture_zone zones[ARRAY_SIZE(guest->zones)];
	unsigned int nr = 0;

	for (; nr < ARRAY_SIZE(zones) && guest->zones[nr].name; nr++)
		zones[nr] = (struct fixture_zone){
			.node = guest->zones[nr].node,
			.name = guest->zones[nr].name,
			.start_pfn = guest->zones[nr].start,
			.spanned = guest->zones[nr].spanned,
			.present = guest->zones[nr].present,
			.free = 1,
			.low = 1,
			.nr_free = { 1 },
		};
	fixture_zones(&tree, zones, nr, NR_ORDERS);
}

static void put_block(unsigned int number, const struct blocks *blocks)
{
	char path[96];

	fixture_memory(&tree, number, blocks->state ? blocks->state : "online");
	snprintf(path, sizeof(path), MEMORY "/memory%u/valid_zones", number);
	if (blocks->zones)
		fixture_put(&tree, path, blocks->zones);
	for (const char *node = blocks->nodes; *node; node++) {
		char target[64];

		snprintf(path, sizeof(path), MEMORY "/memory%u/node%c", number, *node);
		snprintf(target, sizeof(target), "../../node/node%c", *node);
		fixture_link(&tree, path, target);
	}
}

static void build(const struct guest *guest)
{
	fixture_remove(&tree, "proc");
	fixture_remove(&tree, "sys");
	fixture_put(&tree, "proc/pagetypeinfo", "Page block order: 9\n");
	fixture_put(&tree, "proc/sys/kernel/osrelease", "6.12.0\n");
	put_zones(guest);
	if (guest->nodes) {
		fixture_put(&tree, NODE "/online", guest->nodes);
		fixture_mkdir(&tree, NODE "/node0");
		fixture_mkdir(&tree, NODE "/node1");
	}
	if (guest->no_hotplug)
		return;
	fixture_put(&tree, MEMORY "/block_size_bytes", "8000000\n");
	for (size_t i = 0; i < MAX_ROWS; i++)
		for (unsigned int n = guest->blocks[i].first;
		     guest->blocks[i].nodes && n <= guest->blocks[i].last; n++)
			put_block(n, &guest->blocks[i]);
}

static const char *parts_text(const struct topology *topology)
{
	static char text[TOPOLOGY_MAX_RANGES * 48];
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < topology->nr_parts; i++) {
		const struct zone_range *part = &topology->parts[i];

		assert_true(part->zone < topology->nr_zones);
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%u %s %" PRIx64 "-%" PRIx64,
			i ? ", " : "", topology->zones[part->zone].node,
			topology->zones[part->zone].name, part->pfns.start, part->pfns.end);
	}
	return text;
}

/* What holds of every topology, however little sense its files make. */
static void check_sane(const struct topology *topology)
{
	uint64_t behind = 0;

	for (unsigned int i = 0; i < topology->nr_parts; i++) {
		const struct pfn_range *pfns = &topology->parts[i].pfns;
		const struct topology_zone *zone = &topology->zones[topology->parts[i].zone];
		bool online = false;

		assert_true(topology->parts[i].zone < topology->nr_zones);
		assert_true(pfns->start >= behind && pfns->start < pfns->end);
		assert_true(pfns->start >= zone->start_pfn &&
			    pfns->end <= zone->start_pfn + zone->spanned_pages);
		for (unsigned int r = 0; r < topology->nr_ranges; r++)
			online |= pfns->start >= topology->online[r].start &&
				  pfns->end <= topology->online[r].end;
		assert_true(online);
		behind = pfns->end;
	}
}

static void test_guests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		struct topology topology;
		struct errmsg err = { "" };

		build(&guests[i]);
		if (topology_read(tree.root, NULL, &topology, &err))
			fail_msg("%s: %s", guests[i].what, err.text);
		print_message("           %s\n", guests[i].what);
		check_sane(&topology);
		assert_string_equal(parts_text(&topology), guests[i].parts);
	}
}

/* --- any order of zones and blocks ------------------------------------------------------------- */

/* Random numbers: the same ones in every run (splitmix64). */
static uint64_t seed;

static uint64_t below(uint64_t limit)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % limit;
}

#define WORLDS	     100
#define WORLD_BLOCKS 24
#define WORLD_ZONES  4
#define HOLE	     WORLD_ZONES

static const char *const world_names[] = { "Normal", "Movable" };

/* Normal and Movable of two nodes, dealt out block by block at random: the owner of each. */
static void deal_blocks(unsigned int *owner)
{
	const uint64_t runs = 1 + below(3);
	unsigned int last = (unsigned int)below(WORLD_ZONES + 1);

	for (unsigned int b = 0; b < WORLD_BLOCKS; b++) {
		if (!below(runs))
			last = (unsigned int)below(WORLD_ZONES + 1);
		owner[b] = last;
	}
	owner[WORLD_BLOCKS / 2] = 0; /* some zone has memory */
}

/* The zones with the spans that result; their indices; returns how many there are. */
static unsigned int span_zones(const unsigned int *owner, struct zone *zones, unsigned int *index)
{
	unsigned int nr = 0;

	for (unsigned int z = 0; z < WORLD_ZONES; z++) {
		struct zone zone = { z / 2, world_names[z % 2], 0, 0, 0 };

		for (unsigned int b = 0; b < WORLD_BLOCKS; b++) {
			if (owner[b] != z)
				continue;
			if (!zone.present)
				zone.start = b * SECTION;
			zone.spanned = (b + 1) * SECTION - zone.start;
			zone.present += SECTION;
		}
		index[z] = nr;
		if (zone.present)
			zones[nr++] = zone;
	}
	return nr;
}

static void put_owners(const unsigned int *owner)
{
	for (unsigned int b = 0; b < WORLD_BLOCKS; b++) {
		char node[2] = "0", zone[16];

		if (owner[b] == HOLE)
			continue;
		node[0] = owner[b] / 2 ? '1' : '0';
		snprintf(zone, sizeof(zone), "%s\n", world_names[owner[b] % 2]);
		put_block(b, &(struct blocks){ b, b, node, zone, NULL });
	}
}

/* The zone that has the whole block, or HOLE. */
static unsigned int found_owner(const struct topology *topology, unsigned int block)
{
	for (unsigned int i = 0; i < topology->nr_parts; i++)
		if (topology->parts[i].pfns.start <= block * SECTION &&
		    topology->parts[i].pfns.end >= (block + 1) * SECTION)
			return topology->parts[i].zone;
	return HOLE;
}

static void test_random(void **state)
{
	unsigned int contested = 0;

	(void)state;
	for (unsigned int world = 0; world < WORLDS; world++) {
		struct guest guest = { .nodes = "0-1\n" };
		unsigned int owner[WORLD_BLOCKS], index[WORLD_ZONES + 1] = { [HOLE] = HOLE }, nr;
		struct topology topology;
		struct errmsg err = { "" };

		seed = world * 1000;
		deal_blocks(owner);
		nr = span_zones(owner, guest.zones, index);
		build(&guest);
		put_owners(owner);
		if (topology_read(tree.root, NULL, &topology, &err))
			fail_msg("world %u: %s", world, err.text);
		check_sane(&topology);
		for (unsigned int b = 0; b < WORLD_BLOCKS; b++)
			if (found_owner(&topology, b) != index[owner[b]])
				fail_msg("world %u, block %u", world, b);
		for (unsigned int i = 0; i < nr; i++)
			contested += guest.zones[i].spanned > guest.zones[i].present;
	}
	assert_true(contested > WORLDS); /* that the worlds are worth it */
}

/* --- bad files -------------------------------------------------------------------------------- */

/* valid_zones of a contested block. */
static const struct bad {
	const char *text;
	int rc;
	const char *message;
} bad[] = {
	{ "Normal\n", 0, "" },
	{ "none\n", 0, "" },
	{ "", -EINVAL, "is not one whole line" },
	{ "\n", -EAGAIN, "\"\" is no zone of /proc/zoneinfo" },
	{ "Normal", -EINVAL, "is not one whole line" },
	{ "Norm", -EINVAL, "is not one whole line" },
	{ "Normal\nNormal\n", -EINVAL, "is not one whole line" },
	{ "normal\n", -EAGAIN, "\"normal\" is no zone" },
	{ "Normal \n", -EAGAIN, "is no zone" },
	{ " Normal\n", -EAGAIN, "is no zone" },
	{ "Normal Movable\n", -EAGAIN, "\"Normal Movable\" is no zone" }, /* though it is online */
	{ "Movable\n", -EAGAIN, "\"Movable\" is no zone" }, /* its first memory has just come */
	{ "Device\n", -EAGAIN, "\"Device\" is no zone" },
	{ "none none\n", -EAGAIN, "is no zone" },
	{ "-1\n", -EAGAIN, "is no zone" },
	{ "18446744073709551615\n", -EAGAIN, "is no zone" },
	{ "NormalNormalNormalNormal\n", -EAGAIN, "is no zone" },
};

static void test_bad(void **state)
{
	static const char path[] = MEMORY "/memory35/valid_zones";
	struct topology topology, untouched;

	(void)state;
	build(&guests[DIMM_BEHIND]);
	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct errmsg err = { "" };
		int rc;

		fixture_put(&tree, path, bad[i].text);
		memset(&topology, 0x5a, sizeof(topology));
		rc = topology_read(tree.root, NULL, &topology, &err);
		if (rc != bad[i].rc)
			fail_msg("\"%s\": %d (%s)", bad[i].text, rc, err.text);
		if (!rc) {
			check_sane(&topology);
			assert_string_equal(parts_text(&topology), guests[DIMM_BEHIND].parts);
			continue;
		}
		assert_contains(err.text, path);
		assert_contains(err.text, bad[i].message);
		assert_memory_equal(&topology, &untouched, sizeof(topology));
	}
}

/* What is no file, or far too large, or no text. */
static void test_garbage(void **state)
{
	static const char path[] = MEMORY "/memory35/valid_zones";
	const size_t size = 1 << 20;
	struct topology topology;
	char *huge = malloc(size);
	struct errmsg err;

	(void)state;
	assert_non_null(huge);
	memset(huge, 'N', size);
	build(&guests[DIMM_BEHIND]);
	fixture_write(&tree, path, huge, size);
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -EFBIG);
	assert_contains(err.text, path);
	fixture_write(&tree, path, "Normal\n", 8);
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -EINVAL);
	assert_contains(err.text, path);
	assert_contains(err.text, "NUL");
	fixture_remove(&tree, path);
	fixture_mkdir(&tree, path);
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -EISDIR);
	assert_contains(err.text, path);
	free(huge);
}

/* Spans that no kernel has, over blocks that say anything: nothing is anybody's twice. */
static void test_nonsense(void **state)
{
	static const char *const zones[] = { "Normal\n", "Movable\n", "none\n", "DMA32\n", NULL };
	static const char *const nodes[] = { "", "0", "1", "01" };
	static const char *const names[] = { "DMA32", "Normal", "Movable" };

	(void)state;
	for (unsigned int world = 0; world < WORLDS; world++) {
		struct guest guest = { .nodes = "0-1\n" };
		struct topology topology, again;
		struct errmsg err = { "" };

		seed = world * 1000;
		for (unsigned int i = 0; i < ARRAY_SIZE(guest.zones); i++) {
			const uint64_t spanned = 1 + below(20 * SECTION);

			guest.zones[i] = (struct zone){ i / 3, names[i % 3], below(20 * SECTION),
							spanned, below(spanned + 1) };
		}
		build(&guest);
		for (unsigned int b = 0; b < 20; b++)
			put_block(b, &(struct blocks){ b, b, nodes[below(4)], zones[below(5)],
						       below(5) ? NULL : "going-offline" });
		if (topology_read(tree.root, NULL, &topology, &err))
			fail_msg("world %u: %s", world, err.text);
		check_sane(&topology);
		/* what was known before changes nothing of that */
		assert_int_equal(topology_read(tree.root, &topology, &again, NULL), 0);
		check_sane(&again);
	}
}

/* As many parts as there is room for, and one more. */
static void test_many_parts(void **state)
{
	struct guest guest = {
		.nodes = "0\n",
		.zones = { { 0, "Normal", 0, 4096 * SECTION, 2048 * SECTION },
			   { 0, "Movable", 0, 4096 * SECTION, 2048 * SECTION } },
		.blocks = { { 0, 0, "0", "Normal\n", NULL }, { 1, 1, "0", "Movable\n", NULL } },
	};
	struct topology topology;
	struct errmsg err = { "" };
	char path[64];

	(void)state;
	build(&guest);
	for (unsigned int n = 2; n < TOPOLOGY_MAX_RANGES; n++) {
		snprintf(path, sizeof(path), MEMORY "/memory%u", n);
		fixture_link(&tree, path, n % 2 ? "memory1" : "memory0");
	}
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), 0);
	assert_int_equal(topology.nr_parts, TOPOLOGY_MAX_RANGES);
	assert_int_equal(topology.nr_ranges, 1);
	check_sane(&topology);
	snprintf(path, sizeof(path), MEMORY "/memory%d", TOPOLOGY_MAX_RANGES);
	fixture_link(&tree, path, "memory0");
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -E2BIG);
	assert_string_equal(err.text, "/" MEMORY ": zones in more than 1024 separate pieces");
}

/* --- memory comes and goes -------------------------------------------------------------------- */

static const char *zones_text(const struct topology *topology)
{
	static char text[1024];
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < topology->nr_zones; i++)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%u %s %" PRIx64 "+%" PRIx64,
			i ? ", " : "", topology->zones[i].node, topology->zones[i].name,
			topology->zones[i].start_pfn, topology->zones[i].spanned_pages);
	return text;
}

/* Zones keep their indices as others come and go, and get them back when they return. */
static void test_indices(void **state)
{
	static const struct {
		struct zone zones[4];
		const char *expected, *parts;
	} steps[] = {
		{ { { 0, "Normal", 0, 0x10000, 0x10000 },
		    { 1, "Normal", 0x10000, 0x8000, 0x8000 } },
		  "0 Normal 0+10000, 1 Normal 10000+8000",
		  "0 Normal 0-10000, 1 Normal 10000-18000" },
		{ { { 0, "Normal", 0, 0x10000, 0x10000 },
		    { 0, "Movable", 0x18000, 0x8000, 0x8000 },
		    { 1, "Normal", 0x10000, 0x8000, 0x8000 } },
		  "0 Normal 0+10000, 1 Normal 10000+8000, 0 Movable 18000+8000",
		  "0 Normal 0-10000, 1 Normal 10000-18000, 0 Movable 18000-20000" },
		{ { { 0, "Movable", 0x18000, 0x8000, 0x8000 } },
		  "0 Normal 0+0, 1 Normal 0+0, 0 Movable 18000+8000",
		  "0 Movable 18000-20000" },
		{ { { 1, "Movable", 0x18000, 0x8000, 0x8000 }, { 1, "Normal", 0x8000, 1, 1 } },
		  "0 Normal 0+0, 1 Normal 8000+1, 0 Movable 0+0, 1 Movable 18000+8000",
		  "1 Normal 8000-8001, 1 Movable 18000-20000" },
		{ { { 0, "Normal", 0, 0x10000, 0x10000 },
		    { 1, "Normal", 0x10000, 0x8000, 0x8000 } },
		  "0 Normal 0+10000, 1 Normal 10000+8000, 0 Movable 0+0, 1 Movable 0+0",
		  "0 Normal 0-10000, 1 Normal 10000-18000" },
	};
	struct topology topology;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct guest guest = { .nodes = "0-1\n",
				       .blocks = { { 0, 3, "01", "none\n", NULL } } };

		memcpy(guest.zones, steps[i].zones, sizeof(steps[i].zones));
		build(&guest);
		/* the same struct may be read into */
		assert_int_equal(topology_read(tree.root, i ? &topology : NULL, &topology, NULL),
				 0);
		check_sane(&topology);
		assert_string_equal(zones_text(&topology), steps[i].expected);
		assert_string_equal(parts_text(&topology), steps[i].parts);
	}
}

static void test_too_many_zones(void **state)
{
	struct guest guest = { .nodes = "0\n",
			       .zones = { { 0, "Normal", 0, SECTION, SECTION } },
			       .blocks = { { 0, 0, "0", "Normal\n", NULL } } };
	struct topology old = { 0 }, topology, untouched;
	struct errmsg err = { "" };

	(void)state;
	build(&guest);
	old.nr_zones = SLUICE_MAX_ZONES;
	for (unsigned int i = 0; i < SLUICE_MAX_ZONES; i++)
		old.zones[i] = (struct topology_zone){ i, "Normal", i * SECTION, 1, 1 };
	assert_int_equal(topology_read(tree.root, &old, &topology, &err), 0);
	assert_int_equal(topology.nr_zones, SLUICE_MAX_ZONES);
	assert_int_equal(topology.zones[0].present_pages, SECTION);
	assert_int_equal(topology.zones[31].node, 31);
	assert_int_equal(topology.zones[31].present_pages, 0);
	old.zones[0].node = 100; /* now node 0 is one more */
	memset(&topology, 0x5a, sizeof(topology));
	memset(&untouched, 0x5a, sizeof(untouched));
	assert_int_equal(topology_read(tree.root, &old, &topology, &err), -E2BIG);
	assert_string_equal(err.text, "more than 32 zones have come and gone");
	assert_memory_equal(&topology, &untouched, sizeof(topology));
}

/* Where spans leave it open, what was known of a block stays true while it is online. */
static void test_what_was_known(void **state)
{
	/* as if a DIMM of Movable had come too, so that either zone spans the other's edge */
	struct guest guest = {
		.nodes = "0\n",
		.zones = { LOW_ZONES,
			   { 0, "Normal", 0x100000, 0x48000, 0xec00 },
			   { 0, "Movable", 0x100000, 0x50000, 0x11400 } },
		.blocks = { LOW_BLOCKS,
			    { 32, 32, "0", "none\n", NULL },
			    { 33, 33, "0", "Movable\n", NULL },
			    { 40, 40, "0", "Normal\n", NULL },
			    { 41, 41, "0", "Movable\n", NULL } },
	};
	struct topology old, topology;

	(void)state;
	build(&guests[MOVABLECORE]);
	assert_int_equal(topology_read(tree.root, NULL, &old, NULL), 0);
	build(&guest);
	assert_int_equal(topology_read(tree.root, &old, &topology, NULL), 0);
	check_sane(&topology);
	assert_string_equal(parts_text(&topology),
			    LOW_PARTS ", 0 Normal 100000-106c00, 0 Movable 106c00-110000, "
				      "0 Normal 140000-148000, 0 Movable 148000-150000");
	/* what is known now is not asked for what was known before */
	build(&guests[MOVABLE_BLOCK]);
	assert_int_equal(topology_read(tree.root, &topology, &old, NULL), 0);
	assert_string_equal(parts_text(&old), guests[MOVABLE_BLOCK].parts);
}

/* --- is_current ------------------------------------------------------------------------------- */

static void change_start(struct sluice_zone_info *zones, unsigned int *nr)
{
	(void)nr;
	zones[3].start_pfn++;
}

static void change_span(struct sluice_zone_info *zones, unsigned int *nr)
{
	(void)nr;
	zones[2].spanned_pages--;
}

static void change_present(struct sluice_zone_info *zones, unsigned int *nr)
{
	(void)nr;
	zones[3].present_pages++;
}

static void move_present(struct sluice_zone_info *zones, unsigned int *nr)
{
	(void)nr;
	zones[2].present_pages--;
	zones[3].present_pages++;
}

static void change_node(struct sluice_zone_info *zones, unsigned int *nr)
{
	(void)nr;
	zones[3].node = 2;
}

static void change_name(struct sluice_zone_info *zones, unsigned int *nr)
{
	(void)nr;
	strcpy(zones[3].name, "Movable");
}

static void lose_zone(struct sluice_zone_info *zones, unsigned int *nr)
{
	(void)zones;
	--*nr;
}

static void gain_zone(struct sluice_zone_info *zones, unsigned int *nr)
{
	zones[*nr] = zones[3];
	strcpy(zones[(*nr)++].name, "Movable");
}

static void no_zones(struct sluice_zone_info *zones, unsigned int *nr)
{
	(void)zones;
	*nr = 0;
}

static void change_the_rest(struct sluice_zone_info *zones, unsigned int *nr)
{
	for (unsigned int i = 0; i < *nr; i++) {
		zones[i].managed_pages++;
		zones[i].free_pages += 7;
		zones[i].low_wmark += 9;
		zones[i].reserved_highatomic++;
		zones[i].nr_free[3]++;
	}
}

static void swap_zones(struct sluice_zone_info *zones, unsigned int *nr)
{
	const struct sluice_zone_info first = zones[0];

	zones[0] = zones[*nr - 1];
	zones[*nr - 1] = first;
}

static void test_is_current(void **state)
{
	static const struct {
		const char *what;
		void (*change)(struct sluice_zone_info *zones, unsigned int *nr);
		bool current;
	} rows[] = {
		{ "start", change_start, false },     { "span", change_span, false },
		{ "present", change_present, false }, { "present, sum equal", move_present, false },
		{ "node", change_node, false },	      { "name", change_name, false },
		{ "a zone less", lose_zone, false },  { "a zone more", gain_zone, false },
		{ "no zone", no_zones, false },	      { "the rest", change_the_rest, true },
		{ "their order", swap_zones, true },
	};
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	struct topology topology;
	unsigned int nr;

	(void)state;
	build(&guests[DIMM_BEHIND]);
	assert_int_equal(topology_read(tree.root, NULL, &topology, NULL), 0);
	assert_int_equal(zones_read_text(tree.root, zones, &nr, NULL), 0);
	assert_int_equal(nr, 4);
	assert_true(topology_is_current(tree.root, &topology, zones, nr));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct sluice_zone_info changed[SLUICE_MAX_ZONES];
		unsigned int nr_changed = nr;

		memcpy(changed, zones, sizeof(zones));
		rows[i].change(changed, &nr_changed);
		if (topology_is_current(tree.root, &topology, changed, nr_changed) !=
		    rows[i].current)
			fail_msg("%s", rows[i].what);
	}
}

static void test_nodes_change(void **state)
{
	static const struct {
		const char *nodes; /* NULL: no such file */
		bool current;
	} rows[] = {
		{ "0-1\n", true },  { "0,1\n", true },	{ "0\n", false }, { "0-2\n", false },
		{ "0,2\n", false }, { "1-2\n", false }, { "", false },	  { "0-1", false },
		{ "x\n", false },   { NULL, false },
	};
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	struct topology topology;
	unsigned int nr;

	(void)state;
	build(&guests[DIMM_BEHIND]);
	assert_int_equal(topology_read(tree.root, NULL, &topology, NULL), 0);
	assert_int_equal(zones_read_text(tree.root, zones, &nr, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fixture_remove(&tree, NODE "/online");
		if (rows[i].nodes)
			fixture_put(&tree, NODE "/online", rows[i].nodes);
		if (topology_is_current(tree.root, &topology, zones, nr) != rows[i].current)
			fail_msg("\"%s\"", rows[i].nodes);
	}
}

/* A zone that is gone leaves its index, not a difference. */
static void test_current_without(void **state)
{
	struct guest guest = guests[MOVABLE_BLOCK];
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	struct topology topology;
	unsigned int nr;

	(void)state;
	build(&guest);
	assert_int_equal(topology_read(tree.root, NULL, &topology, NULL), 0);
	build(&guests[DIMM_BEHIND]);
	assert_int_equal(zones_read_text(tree.root, zones, &nr, NULL), 0);
	assert_false(topology_is_current(tree.root, &topology, zones, nr));
	assert_int_equal(topology_read(tree.root, &topology, &topology, NULL), 0);
	assert_int_equal(topology.nr_zones, nr + 1);
	assert_true(topology_is_current(tree.root, &topology, zones, nr));
	assert_int_equal(topology_find_zone(&topology, 0, "Movable"), 3);
	assert_int_equal(topology_find_zone(&topology, 1, "Normal"), 4);
	assert_int_equal(topology_find_zone(&topology, 1, "Movable"), -ENOENT);
	assert_int_equal(topology_find_zone(&topology, 2, "Normal"), -ENOENT);
	assert_int_equal(topology_find_zone(&topology, 0, ""), -ENOENT);
}

/* As much came as went: sections show what spans and present pages do not. */
static void test_same_sections(void **state)
{
	struct topology topology;

	(void)state;
	build(&guests[DIMM_BEHIND]);
	assert_int_equal(topology_read(tree.root, NULL, &topology, NULL), 0);
	assert_true(topology_same_sections(tree.root, &topology));
	fixture_memory(&tree, 40, "going-offline");
	assert_true(topology_same_sections(tree.root, &topology)); /* its pages are still there */
	fixture_memory(&tree, 40, "offline");
	assert_false(topology_same_sections(tree.root, &topology));
	fixture_memory(&tree, 39, "online");
	assert_false(topology_same_sections(tree.root, &topology));
	fixture_memory(&tree, 40, "online");
	assert_false(topology_same_sections(tree.root, &topology));
	fixture_remove(&tree, MEMORY "/memory39");
	assert_true(topology_same_sections(tree.root, &topology));
	fixture_remove(&tree, MEMORY "/memory0");
	assert_false(topology_same_sections(tree.root, &topology));
	/* a file that makes no sense is no reason to go on as if nothing were */
	fixture_put(&tree, MEMORY "/memory0/state", "onl");
	assert_false(topology_same_sections(tree.root, &topology));
	fixture_memory(&tree, 0, "online");
	assert_true(topology_same_sections(tree.root, &topology));
	fixture_remove(&tree, MEMORY);
	assert_true(topology_same_sections(tree.root, &topology));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_guests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_indices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_zones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_is_current, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nodes_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_current_without, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_sections, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
