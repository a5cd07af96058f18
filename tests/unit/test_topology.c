// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the guest's memory looks like, on fixture trees: sections, holes, nodes, orders.
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
#include "sluice/units.h"

#define FIXTURES   SOURCE_DIR "/tests/unit/fixtures/observe/"
#define OSRELEASE  "proc/sys/kernel/osrelease"
#define PAGETYPES  "proc/pagetypeinfo"
#define NODES	   "sys/devices/system/node/online"
#define MEMORY	   "sys/devices/system/memory"
#define BLOCK_SIZE MEMORY "/block_size_bytes"
#define THP	   "sys/kernel/mm/transparent_hugepage/enabled"

static struct fixture tree;

/* The page size that the code under test sees. */
static long page_size = 4096;

long __real_sysconf(int name);
long __wrap_sysconf(int name);

long __wrap_sysconf(int name)
{
	return name == _SC_PAGESIZE ? page_size : __real_sysconf(name);
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

struct blocks {
	unsigned int first, last;
	const char *state;
};

/* A guest, and what is to be read of it. */
struct guest {
	const char *what;
	const char *recorded; /* kernel whose files stand in proc/, or NULL: from zones[] */
	const char *osrelease;
	long page_size;
	unsigned int pageblock_order, nr_orders;
	struct fixture_zone zones[4];
	const char *nodes;	/* NULL: no such file */
	const char *block_size; /* NULL: no memory hotplug */
	struct blocks blocks[6];
	/* expected */
	unsigned int version, section_order, nr_sections;
	const char *nodes_read; /* "0 1" */
	const char *online;	/* "0-100 200-300", pfns in hexadecimal */
	const char *parts;	/* "0 DMA 1-100", likewise, for each zone's share of it */
};

#define X86_ZONES                                                                               \
	{                                                                                       \
		{ 0, "DMA", 1, 4095, 3998, 3840, 58, { 0 } },                                   \
			{ 0, "DMA32", 4096, 1044480, 782336, 772917, 11945, { 1, 2 } },         \
			{ 0, "Normal", 1048576, 262144, 262144, 105255, 6265, { 471, 53, 1 } }, \
	}

/* Guests that other tests start from: rows of guests[]. */
enum {
	VIRTIO_MEM = 0,
	ENDS_INSIDE = 1,
	NO_HOTPLUG = 4,
	ONE_BLOCK_OF_4M = 9,
	ONE_BLOCK_OF_128M = 14,
};

static const struct guest guests[] = {
	{
		.what = "this project's first machine: a PCI hole, and virtio-mem up to 25 GiB",
		.recorded = "6.18",
		.page_size = 4096,
		.nodes = "0\n",
		.block_size = "8000000\n",
		.blocks = { { 0, 23, "online" }, { 32, 199, "online" } },
		.version = 6018,
		.section_order = 15,
		.nr_sections = 200,
		.nodes_read = "0",
		.online = "0-c0000 100000-640000",
		.parts = "0 DMA 1-1000, 0 DMA32 1000-c0000, 0 Normal 100000-640000",
	},
	{
		.what = "6.1, memory that ends inside a block",
		.recorded = "6.1",
		.page_size = 4096,
		.nodes = "0\n",
		.block_size = "8000000\n",
		.blocks = { { 0, 15, "online" } },
		.version = 6001,
		.section_order = 15,
		.nr_sections = 16,
		.nodes_read = "0",
		.online = "0-80000",
		.parts = "0 DMA 1-1000, 0 DMA32 1000-7ffdf",
	},
	{
		.what = "5.10, two nodes",
		.recorded = "5.10",
		.page_size = 4096,
		.nodes = "0-1\n",
		.block_size = "8000000\n",
		.blocks = { { 0, 15, "online" }, { 32, 79, "online" } },
		.version = 5010,
		.section_order = 15,
		.nr_sections = 80,
		.nodes_read = "0 1",
		.online = "0-80000 100000-280000",
		.parts = "0 DMA 1-1000, 0 DMA32 1000-80000, 0 Normal 100000-180000, 1 Normal "
			 "180000-280000",
	},
	{
		.what = "5.10 without memory hotplug: the zones' spans, holes and all",
		.recorded = "5.10",
		.page_size = 4096,
		.nodes = "0-1\n",
		.version = 5010,
		.section_order = 15,
		.nr_sections = 80,
		.nodes_read = "0 1",
		.online = "0-280000",
		.parts = "0 DMA 1-1000, 0 DMA32 1000-100000, 0 Normal 100000-180000, 1 Normal "
			 "180000-280000",
	},
	{
		.what = "no NUMA, no memory hotplug, a gap between two zones",
		.osrelease = "7.3.0\n",
		.page_size = 4096,
		.pageblock_order = 9,
		.nr_orders = 11,
		.zones = { { 0, "DMA32", 32768 + 1, 32767, 32767, 1, 1, { 1 } },
			   { 0, "Normal", 131072 - 1, 2, 2, 1, 1, { 1 } } },
		.version = 7003,
		.section_order = 15,
		.nr_sections = 5,
		.nodes_read = "0",
		.online = "8000-10000 18000-28000",
		.parts = "0 DMA32 8001-10000, 0 Normal 1ffff-20001",
	},
	{
		.what = "a node without memory, nodes with a gap in their numbers",
		.osrelease = "6.12.95+deb13-cloud-amd64\n",
		.page_size = 4096,
		.pageblock_order = 9,
		.nr_orders = 11,
		.zones = X86_ZONES,
		.nodes = "0,2-3,1023\n",
		.block_size = "8000000\n",
		.blocks = { { 0, 9, "online" } },
		.version = 6012,
		.section_order = 15,
		.nr_sections = 10,
		.nodes_read = "0 2 3 1023",
		.online = "0-50000",
		.parts = "0 DMA 1-1000, 0 DMA32 1000-50000",
	},
	{
		.what = "blocks that are offline or gone, and one that still goes offline",
		.osrelease = "6.6.42\n",
		.page_size = 4096,
		.pageblock_order = 9,
		.nr_orders = 11,
		.zones = X86_ZONES,
		.nodes = "0\n",
		.block_size = "8000000\n",
		.blocks = { { 0, 0, "online" },
			    { 1, 1, "offline" },
			    { 2, 3, "online" },
			    { 4, 4, "going-offline" },
			    { 6, 6, "online" },
			    { 7, 9, "offline" } },
		.version = 6006,
		.section_order = 15,
		.nr_sections = 7,
		.nodes_read = "0",
		.online = "0-8000 10000-28000 30000-38000",
		.parts =
			"0 DMA 1-1000, 0 DMA32 1000-8000, 0 DMA32 10000-28000, 0 DMA32 30000-38000",
	},
	{
		.what = "blocks of 2 GiB, far up",
		.osrelease = "6.6\n",
		.page_size = 4096,
		.pageblock_order = 9,
		.nr_orders = 11,
		.zones = X86_ZONES,
		.nodes = "0\n",
		.block_size = "80000000\n",
		.blocks = { { 0, 1, "online" }, { 4194303, 4194303, "online" } },
		.version = 6006,
		.section_order = 19,
		.nr_sections = 4194304,
		.nodes_read = "0",
		.online = "0-100000 1fffff80000-20000000000",
		.parts = "0 DMA 1-1000, 0 DMA32 1000-100000",
	},
	{
		.what = "blocks of 1 GiB, the first one missing",
		.osrelease = "6.6\n",
		.page_size = 4096,
		.pageblock_order = 9,
		.nr_orders = 11,
		.zones = X86_ZONES,
		.nodes = "0\n",
		.block_size = "40000000\n",
		.blocks = { { 1, 2, "online" } },
		.version = 6006,
		.section_order = 18,
		.nr_sections = 3,
		.nodes_read = "0",
		.online = "40000-c0000",
		.parts = "0 DMA32 40000-c0000",
	},
	{
		.what = "blocks of one pageblock each: the smallest there can be",
		.osrelease = "6.6\n",
		.page_size = 4096,
		.pageblock_order = 10,
		.nr_orders = 11,
		.zones = X86_ZONES,
		.nodes = "0\n",
		.block_size = "400000\n",
		.blocks = { { 7, 7, "online" } },
		.version = 6006,
		.section_order = 10,
		.nr_sections = 8,
		.nodes_read = "0",
		.online = "1c00-2000",
		.parts = "0 DMA32 1c00-2000",
	},
	{
		.what = "no memory hotplug, a node below the one before, and one that joins two",
		.osrelease = "6.6\n",
		.page_size = 4096,
		.pageblock_order = 9,
		.nr_orders = 11,
		.zones = { { 0, "Normal", 65536, 32768, 32768, 1, 1, { 1 } },
			   { 1, "Normal", 32768, 32768, 32768, 1, 1, { 1 } },
			   { 2, "Normal", 131072, 32768, 32768, 1, 1, { 1 } },
			   { 3, "Normal", 98304, 32768, 32768, 1, 1, { 1 } } },
		.nodes = "0-3\n",
		.version = 6006,
		.section_order = 15,
		.nr_sections = 5,
		.nodes_read = "0 1 2 3",
		.online = "8000-28000",
		.parts = "1 Normal 8000-10000, 0 Normal 10000-18000, 3 Normal 18000-20000, 2 "
			 "Normal 20000-28000",
	},
	{
		.what = "arm64 with pages of 64 KiB",
		.osrelease = "6.12.95+deb13-arm64-64k\n",
		.page_size = 65536,
		.pageblock_order = 13,
		.nr_orders = 14,
		.zones = { { 0, "Normal", 0x4000, 0x8000, 0x8000, 0x1000, 100, { 9, 8, 7, 6 } } },
		.nodes = "0\n",
		.block_size = "20000000\n",
		.blocks = { { 2, 5, "online" } },
		.version = 6012,
		.section_order = 13,
		.nr_sections = 6,
		.nodes_read = "0",
		.online = "4000-c000",
		.parts = "0 Normal 4000-c000",
	},
	{
		.what = "the same without memory hotplug: a section is no less than a pageblock",
		.osrelease = "6.12.95+deb13-arm64-64k\n",
		.page_size = 65536,
		.pageblock_order = 13,
		.nr_orders = 14,
		.zones = { { 0, "Normal", 0x4000, 0x8000, 0x8000, 0x1000, 100, { 9, 8, 7, 6 } } },
		.nodes = "0\n",
		.version = 6012,
		.section_order = 13,
		.nr_sections = 6,
		.nodes_read = "0",
		.online = "4000-c000",
		.parts = "0 Normal 4000-c000",
	},
	{
		.what = "orders of such a kernel, pages of 4 KiB",
		.osrelease = "6.12\n",
		.page_size = 4096,
		.pageblock_order = 13,
		.nr_orders = 14,
		.zones = { { 0,
			     "Normal",
			     0x40000,
			     0x40000,
			     0x40000,
			     0x1000,
			     100,
			     { 9, 8, 7, 6 } } },
		.nodes = "0\n",
		.block_size = "20000000\n",
		.blocks = { { 2, 3, "online" } },
		.version = 6012,
		.section_order = 17,
		.nr_sections = 4,
		.nodes_read = "0",
		.online = "40000-80000",
		.parts = "0 Normal 40000-80000",
	},
	{
		.what = "the most orders that are taken",
		.osrelease = "999.999.1\n",
		.page_size = 4096,
		.pageblock_order = 13,
		.nr_orders = 15,
		.zones = { { 0, "Normal", 0, 32768, 32768, 32768, 1, { 0 } } },
		.nodes = "0\n",
		.block_size = "8000000\n",
		.blocks = { { 0, 0, "online" } },
		.version = 999999,
		.section_order = 15,
		.nr_sections = 1,
		.nodes_read = "0",
		.online = "0-8000",
		.parts = "0 Normal 0-8000",
	},
	{
		.what = "the fewest",
		.osrelease = "5.10-rc1\n",
		.page_size = 4096,
		.pageblock_order = 1,
		.nr_orders = 2,
		.zones = { { 0, "Normal", 0, 32768, 32768, 32768, 1, { 0 } } },
		.nodes = "0\n",
		.block_size = "8000000\n",
		.blocks = { { 0, 0, "online" } },
		.version = 5010,
		.section_order = 15,
		.nr_sections = 1,
		.nodes_read = "0",
		.online = "0-8000",
		.parts = "0 Normal 0-8000",
	},
};

static void copy_recorded(const char *version, const char *name, const char *path)
{
	char source[256];
	char *text;

	snprintf(source, sizeof(source), FIXTURES "%s/%s", version, name);
	text = fixture_slurp(source);
	fixture_put(&tree, path, text);
	free(text);
}

static void build(const struct guest *guest)
{
	unsigned int nr_zones = 0;

	fixture_remove(&tree, "proc");
	fixture_remove(&tree, "sys");
	page_size = guest->page_size;
	if (guest->recorded) {
		copy_recorded(guest->recorded, "buddyinfo", "proc/buddyinfo");
		copy_recorded(guest->recorded, "zoneinfo", "proc/zoneinfo");
		copy_recorded(guest->recorded, "pagetypeinfo", PAGETYPES);
		copy_recorded(guest->recorded, "osrelease", OSRELEASE);
	} else {
		while (nr_zones < ARRAY_SIZE(guest->zones) && guest->zones[nr_zones].name)
			nr_zones++;
		fixture_zones(&tree, guest->zones, nr_zones, guest->nr_orders);
		fixture_printf(&tree, PAGETYPES, "Page block order: %u\nPages per block:  %u\n\n",
			       guest->pageblock_order, 1U << guest->pageblock_order);
		fixture_put(&tree, OSRELEASE, guest->osrelease);
	}
	if (guest->nodes)
		fixture_put(&tree, NODES, guest->nodes);
	if (!guest->block_size)
		return;
	fixture_put(&tree, BLOCK_SIZE, guest->block_size);
	/* the last ones first: the order in the directory must not matter */
	for (size_t i = ARRAY_SIZE(guest->blocks); i--;)
		for (unsigned int n = guest->blocks[i].last + 1;
		     guest->blocks[i].state && n-- > guest->blocks[i].first;)
			fixture_memory(&tree, n, guest->blocks[i].state);
}

static const char *nodes_text(const struct topology *topology)
{
	static char text[512];
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < topology->nr_nodes; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u", i ? " " : "",
					 topology->nodes[i]);
	return text;
}

static const char *online_text(const struct topology *topology)
{
	static char text[TOPOLOGY_MAX_RANGES * 32];
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < topology->nr_ranges; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIx64 "-%" PRIx64,
					 i ? " " : "", topology->online[i].start,
					 topology->online[i].end);
	return text;
}

static const char *parts_text(const struct topology *topology)
{
	static char text[TOPOLOGY_MAX_RANGES * 64];
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

/* All of it, on one line. */
static char *describe(const struct topology *topology, char *buf)
{
	sprintf(buf, "%u %u %u %" PRIu64 " %d %u %u: %s: %s: %s", topology->kernel_version,
		topology->pageblock_order, topology->highest_order, topology->page_size,
		topology->has_thp, topology->section_order, topology->nr_sections,
		nodes_text(topology), online_text(topology), parts_text(topology));
	return buf;
}

static void test_guests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const struct guest *guest = &guests[i];
		const unsigned int highest = guest->recorded ? 10 : guest->nr_orders - 1;
		struct topology topology;
		struct errmsg err = { "" };
		uint64_t pages = 0;

		build(guest);
		if (topology_read(tree.root, NULL, &topology, &err))
			fail_msg("%s: %s", guest->what, err.text);
		print_message("           %s\n", guest->what);
		assert_int_equal(topology.page_size, guest->page_size);
		assert_int_equal(topology.kernel_version, guest->version);
		assert_int_equal(topology.pageblock_order,
				 guest->recorded ? 9 : guest->pageblock_order);
		assert_int_equal(topology.highest_order, highest);
		assert_false(topology.has_thp);
		assert_string_equal(nodes_text(&topology), guest->nodes_read);
		assert_int_equal(topology.section_order, guest->section_order);
		assert_int_equal(topology.nr_sections, guest->nr_sections);
		assert_string_equal(online_text(&topology), guest->online);
		assert_string_equal(parts_text(&topology), guest->parts);
		for (unsigned int r = 0; r < topology.nr_ranges; r++)
			pages += topology.online[r].end - topology.online[r].start;
		assert_int_equal(topology_online_pages(&topology), pages);
	}
}

static void test_thp(void **state)
{
	struct topology topology;

	(void)state;
	build(&guests[VIRTIO_MEM]);
	fixture_put(&tree, THP, "always [madvise] never\n");
	assert_int_equal(topology_read(tree.root, NULL, &topology, NULL), 0);
	assert_true(topology.has_thp);
}

/* What else is in the directory, and blocks that vanish while it is read. */
static void test_other_entries(void **state)
{
	static const char *const others[] = {
		"memory_failure/state", "memory/state", "memory1x/state",  "memory 3/state",
		"memory0x30/state",	"power/state",	"xmemory5/state",  "memory+40/state",
		"Memory41/state",	"mem42/state",	"memory1.5/state", "memory-/state",
	};
	struct topology topology;

	(void)state;
	build(&guests[ENDS_INSIDE]);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		char path[96];

		snprintf(path, sizeof(path), MEMORY "/%s", others[i]);
		fixture_put(&tree, path, "online\n");
	}
	fixture_put(&tree, MEMORY "/probe", "");
	fixture_mkdir(&tree, MEMORY "/memory40"); /* its state is gone already */
	assert_int_equal(topology_read(tree.root, NULL, &topology, NULL), 0);
	assert_string_equal(online_text(&topology), guests[ENDS_INSIDE].online);
	assert_int_equal(topology.nr_sections, guests[ENDS_INSIDE].nr_sections);
}

/* Memory that there is no room for is not left out silently. */
static void test_block_numbers(void **state)
{
	static const char *const names[] = { "memory4194304", "memory18446744073709551617",
					     "memory9223372036854775808", "memory-1" };
	char path[96], message[160];
	struct topology topology;
	struct errmsg err;

	(void)state;
	build(&guests[ENDS_INSIDE]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), MEMORY "/%s", names[i]);
		snprintf(message, sizeof(message), "/%s: sluice counts memory blocks from 0 to %d",
			 path, 4194303);
		fixture_mkdir(&tree, path);
		assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -ERANGE);
		assert_string_equal(err.text, message);
		fixture_remove(&tree, path);
	}
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), 0);
}

/* One more block that is online, as the first one is. */
static void add_block(unsigned int number)
{
	char path[64];

	snprintf(path, sizeof(path), MEMORY "/memory%u", number);
	fixture_link(&tree, path, "memory0");
}

/*
 * Memory in one piece, whatever the order of the directory: a guest has thousands
 * of blocks, and while they are put together they must not count as pieces.
 */
static void test_many_blocks(void **state)
{
	const unsigned int nr = 4 * TOPOLOGY_MAX_RANGES;
	struct topology topology;
	struct errmsg err = { "" };

	(void)state;
	build(&guests[ONE_BLOCK_OF_128M]);
	for (unsigned int n = 2; n < nr; n += 2)
		add_block(n);
	for (unsigned int n = 1; n < nr; n += 2)
		add_block(n);
	if (topology_read(tree.root, NULL, &topology, &err))
		fail_msg("%s", err.text);
	assert_string_equal(online_text(&topology), "0-8000000");
	assert_int_equal(topology.nr_sections, nr);
	assert_int_equal(topology_online_pages(&topology), (uint64_t)nr << 15);
}

/* Records are counted in 32 bits: one section too many of 2^27 pageblocks each. */
static void test_many_records(void **state)
{
	struct guest guest = guests[ONE_BLOCK_OF_128M];
	struct topology topology;
	struct errmsg err = { "" };

	(void)state;
	guest.pageblock_order = 1;
	guest.block_size = "10000000000\n";
	build(&guest);
	for (unsigned int n = 1; n < 31; n++)
		add_block(n);
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), 0);
	assert_int_equal(topology_online_pages(&topology), 31ULL << 28);
	add_block(31);
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -E2BIG);
	assert_string_equal(err.text, "/" MEMORY ": 4294967296 pageblocks are online, allowed are "
				      "4294967294");
}

static void test_pieces(void **state)
{
	struct topology topology, before;
	struct errmsg err = { "" };

	(void)state;
	build(&guests[ONE_BLOCK_OF_128M]);
	for (unsigned int n = 1; n < TOPOLOGY_MAX_RANGES; n++)
		add_block(2 * n);
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), 0);
	assert_int_equal(topology.nr_ranges, TOPOLOGY_MAX_RANGES);
	for (unsigned int n = 0; n < TOPOLOGY_MAX_RANGES; n++) {
		assert_int_equal(topology.online[n].start, (uint64_t)(2 * n) << 15);
		assert_int_equal(topology.online[n].end, (uint64_t)(2 * n + 1) << 15);
	}
	memcpy(&before, &topology, sizeof(topology));
	add_block(2 * TOPOLOGY_MAX_RANGES);
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -E2BIG);
	assert_contains(err.text, "/" MEMORY ": online memory in more than 1024 separate pieces");
	assert_memory_equal(&topology, &before, sizeof(before));
	/* one that joins two others */
	add_block(1);
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), 0);
	assert_int_equal(topology.nr_ranges, TOPOLOGY_MAX_RANGES);
	assert_int_equal(topology.online[0].end, UINT64_C(3) << 15);
}

/* --- bad files -------------------------------------------------------------------------------- */

/* A file of a good guest is replaced; what then comes. */
static const struct bad {
	const char *path;
	const char *text; /* NULL: the file is missing */
	int rc;
	const char *message;
} bad[] = {
	{ OSRELEASE, NULL, -ENOENT, "" },
	{ OSRELEASE, "", -EINVAL, "" },
	{ OSRELEASE, "\n", -EINVAL, "" },
	{ OSRELEASE, "6\n", -EINVAL, "is no kernel version" },
	{ OSRELEASE, "6.\n", -EINVAL, "is no kernel version" },
	{ OSRELEASE, "six.one\n", -EINVAL, "is no kernel version" },
	{ OSRELEASE, "6.1", -EINVAL, "is not one whole line" },
	{ OSRELEASE, "6.1\n6.2\n", -EINVAL, "is not one whole line" },
	{ OSRELEASE, "1000.1\n", -EINVAL, "is no kernel version" },
	{ OSRELEASE, "1.1000\n", -EINVAL, "is no kernel version" },
	{ OSRELEASE, "-6.1\n", -EINVAL, "is no kernel version" },
	{ OSRELEASE, "6.-1\n", -EINVAL, "is no kernel version" },
	{ OSRELEASE, "4294967302.1\n", -EINVAL, "is no kernel version" },
	{ OSRELEASE, "6.4294967297\n", -EINVAL, "is no kernel version" },
	{ PAGETYPES, NULL, -ENOENT, "" },
	{ PAGETYPES, "", -EINVAL, "no line \"Page block order\"" },
	{ PAGETYPES, "Page block order: \n", -EINVAL, "no line \"Page block order\"" },
	{ PAGETYPES, "Page block order: 9", -EINVAL, "no line \"Page block order\"" },
	{ PAGETYPES, "Page block order: 9x\n", -EINVAL, "no line \"Page block order\"" },
	{ PAGETYPES, "Pages per block:  512\n", -EINVAL, "no line \"Page block order\"" },
	{ PAGETYPES, "Page block order: 0\n", -EINVAL, "page block order 0, allowed are 1 to 13" },
	{ PAGETYPES, "Page block order: 14\n", -EINVAL, "page block order 14, allowed" },
	{ PAGETYPES, "Page block order: 16\n", -EINVAL, "page block order 16, allowed" },
	{ PAGETYPES, "Page block order: -9\n", -EINVAL, "" },
	{ PAGETYPES, "Page block order: 4294967305\n", -EINVAL, "" },
	{ PAGETYPES, "Page block order: 18446744073709551625\n", -EINVAL, "" },
	{ PAGETYPES, "Page block order: 11\n", -EINVAL,
	  "page block order 11 is above the highest order 10 of /proc/buddyinfo" },
	{ "proc/buddyinfo", NULL, -ENOENT, "" },
	{ "proc/buddyinfo", "", -EINVAL, "no zone" },
	{ "proc/zoneinfo", NULL, -ENOENT, "" },
	{ "proc/zoneinfo", "", -EINVAL, "no usable line" },
	{ NODES, "", -EINVAL, "is not one whole line" },
	{ NODES, "\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0", -EINVAL, "is not one whole line" },
	{ NODES, "0-\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0,\n", -EINVAL, "is no list of nodes" },
	{ NODES, ",0\n", -EINVAL, "is no list of nodes" },
	{ NODES, "-1\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0-1-2\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0 1\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0x\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0,x\n", -EINVAL, "is no list of nodes" },
	{ NODES, "1-0\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0-1024\n", -EINVAL, "is no list of nodes" },
	{ NODES, "1024\n", -EINVAL, "is no list of nodes" },
	{ NODES, "4294967296\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0-4294967297\n", -EINVAL, "is no list of nodes" },
	{ NODES, "99999999999999999999999\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0,0\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0-2,2\n", -EINVAL, "is no list of nodes" },
	{ NODES, "1,0\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0--1\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0,-1\n", -EINVAL, "is no list of nodes" },
	{ NODES, "18446744073709551616\n", -EINVAL, "is no list of nodes" },
	{ NODES, "0-63\n", 0, "" },
	{ NODES, "0-64\n", -E2BIG, "more than 64 nodes" },
	{ NODES, "0-62,70,80\n", -E2BIG, "more than 64 nodes" },
	{ BLOCK_SIZE, "", -EINVAL, "is not one whole line" },
	{ BLOCK_SIZE, "\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "8000000", -EINVAL, "is not one whole line" },
	{ BLOCK_SIZE, "800000\n", 0, "" },
	{ BLOCK_SIZE, "200000\n", 0, "" },
	{ BLOCK_SIZE, "100000\n", -EINVAL, "is no block size" }, /* less than a pageblock */
	{ BLOCK_SIZE, "8000001\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "9000000\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "0\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "8000000 \n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, " 8000000\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "8000000g\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "-fffffffff8000000\n", -EINVAL, "is no block size" }, /* 2^64 less this */
	{ BLOCK_SIZE, "10000000000\n", 0, "" },				    /* 1 TiB */
	{ BLOCK_SIZE, "20000000000\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "10000000000000000\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "nonsense\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "-8000000\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "+8000000\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "0x8000000\n", 0, "" }, /* no kernel prints it so, but it is clear */
	{ BLOCK_SIZE, "0x\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "134217728\n", -EINVAL, "is no block size" }, /* decimal */
	{ BLOCK_SIZE, "8000000000000000\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "ffffffffffffffff\n", -EINVAL, "is no block size" },
	{ BLOCK_SIZE, "10000000008000000\n", -EINVAL, "is no block size" }, /* 2^64 more */
	{ MEMORY "/memory0/state", "", -EINVAL, "is not one whole line" },
	{ MEMORY "/memory0/state", "online", -EINVAL, "is not one whole line" },
	{ MEMORY "/memory0/state", "onli", -EINVAL, "is not one whole line" },
	{ MEMORY "/memory0/state", "online\nonline\n", -EINVAL, "is not one whole line" },
};

/* Every bad file is refused with its name, and nothing is written. */
static void test_bad(void **state)
{
	(void)state;
	build(&guests[ENDS_INSIDE]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct topology topology, untouched;
		struct errmsg err = { "" };
		char *good, path[128];
		int rc;

		snprintf(path, sizeof(path), "%s/%s", tree.dir, bad[i].path);
		good = fixture_slurp(path);
		fixture_remove(&tree, bad[i].path);
		if (bad[i].text)
			fixture_put(&tree, bad[i].path, bad[i].text);
		memset(&topology, 0x5a, sizeof(topology));
		memset(&untouched, 0x5a, sizeof(untouched));
		rc = topology_read(tree.root, NULL, &topology, &err);
		if (rc != bad[i].rc)
			fail_msg("%s \"%s\": %d (%s)", bad[i].path, bad[i].text, rc, err.text);
		if (rc) {
			snprintf(path, sizeof(path), "/%s", bad[i].path);
			assert_contains(err.text, path);
			assert_contains(err.text, bad[i].message);
			assert_memory_equal(&topology, &untouched, sizeof(topology));
		}
		fixture_put(&tree, bad[i].path, good);
		free(good);
	}
}

static void test_states(void **state)
{
	static const char *const not_online[] = { "offline\n", "going-online\n",
						  "Online\n",  "online \n",
						  "\n",	       "ERROR-UNKNOWN-8\n" };
	struct topology topology;
	struct errmsg err;

	(void)state;
	build(&guests[ONE_BLOCK_OF_4M]);
	for (size_t i = 0; i < ARRAY_SIZE(not_online); i++) {
		fixture_put(&tree, MEMORY "/memory7/state", not_online[i]);
		assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -EINVAL);
		assert_string_equal(err.text, "/" MEMORY ": no memory block is online");
	}
	fixture_memory(&tree, 7, "online");
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), 0);
	fixture_memory(&tree, 7, "going-offline");
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), 0);
	assert_string_equal(online_text(&topology), "1c00-2000");
}

/* One more order than records have room for. */
static void test_orders(void **state)
{
	struct guest guest = guests[ONE_BLOCK_OF_128M];
	struct topology topology;
	struct errmsg err = { "" };

	(void)state;
	guest.nr_orders = 16;
	build(&guest);
	assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -EINVAL);
	assert_string_equal(err.text, "/proc/buddyinfo: highest order 15, allowed is 14");
}

/* Without memory hotplug, zones that no memory can have. */
static void test_spans(void **state)
{
	static const struct {
		struct fixture_zone zone;
		int rc;
		const char *message;
	} rows[] = {
		{ { 0, "Normal", 0, 0, 0, 0, 1, { 0 } }, -EINVAL, "no zone spans any page" },
		{ { 0, "Normal", 0, 1, 1, 1, 1, { 1 } }, 0, "" },
		/* section 4194303 is the last */
		{ { 0, "Normal", (UINT64_C(4194304) << 15) - 1, 1, 1, 1, 1, { 1 } }, 0, "" },
		{ { 0, "Normal", UINT64_C(4194304) << 15, 1, 1, 1, 1, { 1 } },
		  -EINVAL,
		  "zone Normal spans beyond section 4194304" },
		{ { 0, "Normal", 0, UINT64_MAX >> 20, 1, 1, 1, { 1 } },
		  -EINVAL,
		  "zone Normal spans beyond section 4194304" },
		{ { 0, "Normal", UINT64_MAX >> 20, UINT64_MAX >> 20, 1, 1, 1, { 1 } },
		  -EINVAL,
		  "zone Normal spans beyond section 4194304" },
	};

	(void)state;
	build(&guests[NO_HOTPLUG]);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct topology topology;
		struct errmsg err = { "" };

		fixture_zones(&tree, &rows[i].zone, 1, 11);
		if (topology_read(tree.root, NULL, &topology, &err) != rows[i].rc)
			fail_msg("row %zu: %s", i, err.text);
		assert_contains(err.text, rows[i].message);
		assert_true(!rows[i].rc || !strncmp(err.text, "/proc/zoneinfo", 14));
	}
}

/* Cut off behind any byte: an error that names the file, or the same as from the whole file. */
static void test_cut_off(void **state)
{
	static const char *const paths[] = { OSRELEASE, PAGETYPES, NODES, BLOCK_SIZE,
					     MEMORY "/memory15/state" };
	static char buf[TOPOLOGY_MAX_RANGES * 128], expected[sizeof(buf)];
	struct topology topology;

	(void)state;
	build(&guests[ENDS_INSIDE]);
	fixture_put(&tree, NODES, "0-1,3-11,13\n");
	fixture_put(&tree, PAGETYPES, "Page block order: 10\nPages per block:  1024\n\n");
	fixture_put(&tree, OSRELEASE, "6.12.95\n");
	assert_int_equal(topology_read(tree.root, NULL, &topology, NULL), 0);
	describe(&topology, expected);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char path[128], *text;
		unsigned int errors = 0;

		snprintf(path, sizeof(path), "%s/%s", tree.dir, paths[i]);
		text = fixture_slurp(path);
		for (size_t len = strlen(text); len--;) {
			struct errmsg err = { "" };

			fixture_cut(&tree, paths[i], len);
			if (topology_read(tree.root, NULL, &topology, &err)) {
				assert_contains(err.text, paths[i]);
				errors++;
			} else {
				assert_string_equal(describe(&topology, buf), expected);
			}
		}
		assert_true(errors > 0);
		fixture_put(&tree, paths[i], text);
		free(text);
	}
}

static void test_garbage(void **state)
{
	static const char *const paths[] = {
		OSRELEASE, PAGETYPES,  "proc/buddyinfo",       "proc/zoneinfo",
		NODES,	   BLOCK_SIZE, MEMORY "/memory3/state"
	};
	const size_t size = 10 << 20;
	char *huge = malloc(size);

	(void)state;
	assert_non_null(huge);
	memset(huge, '1', size);
	build(&guests[ENDS_INSIDE]);
	fixture_write(&tree, "huge", huge, size);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct topology topology;
		struct errmsg err = { "" };
		char name[128], *good;

		snprintf(name, sizeof(name), "%s/%s", tree.dir, paths[i]);
		good = fixture_slurp(name);
		fixture_remove(&tree, paths[i]);
		assert_int_equal(linkat(tree.root, "huge", tree.root, paths[i], 0), 0);
		assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -EFBIG);
		assert_contains(err.text, paths[i]);
		/* a NUL byte in a good file */
		fixture_write(&tree, paths[i], good, strlen(good) + 1);
		assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -EINVAL);
		assert_contains(err.text, paths[i]);
		assert_contains(err.text, "NUL");
		/* a directory in its place */
		fixture_remove(&tree, paths[i]);
		fixture_mkdir(&tree, paths[i]);
		assert_int_equal(topology_read(tree.root, NULL, &topology, &err), -EISDIR);
		assert_contains(err.text, paths[i]);
		fixture_remove(&tree, paths[i]);
		fixture_put(&tree, paths[i], good);
		free(good);
	}
	free(huge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_guests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_block_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spans, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
