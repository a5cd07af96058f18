// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exports: what is written, in every format and style, read back and held against
 * a map of pages that knows nothing of extents; and the walk of an observer on a
 * fixture tree.
 */
#include <endian.h>
#include <errno.h>
#include <linux/kernel-page-flags.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "fixture.h"
#include "sluice/extents_writer.h"
#include "sluice/observe.h"

#define SEEDS	    200
#define MAX_PAGES   32768
#define MAX_EXTENTS MAX_PAGES
#define END_SIZE    16

/* --- random numbers: the same ones in every run (splitmix64) ----------------------------------- */

static uint64_t seed;

static uint64_t any(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t limit)
{
	return any() % limit;
}

/* --- the reference ---------------------------------------------------------------------------- */

static struct world {
	struct topology topology;
	unsigned int lowest;
	uint64_t pages; /* of all sections, online or not */
	unsigned int nr_extents;
	struct free_extent extents[MAX_EXTENTS];
	bool online[MAX_PAGES];
	bool is_free[MAX_PAGES];
} world;

static const struct shape {
	unsigned int pageblock_order, highest_order, section_order, nr_sections;
} shapes[] = {
	{ 9, 10, 11, 16 }, /* x86, with small sections */
	{ 4, 6, 6, 128 },  /* 4 pageblocks per section */
	{ 1, 3, 8, 64 },   /* two words per section */
	{ 2, 13, 13, 4 },  /* extents longer than a word */
	{ 11, 12, 12, 8 }, { 0, 4, 4, 1000 },
};

/* Sections online or not; neighbours now and then in ranges of their own. */
static void make_topology(const struct shape *shape, uint64_t online_percent)
{
	struct topology *topology = &world.topology;
	const uint64_t size = 1ULL << shape->section_order;

	memset(&world, 0, sizeof(world));
	*topology = (struct topology){
		.page_size = 4096,
		.pageblock_order = shape->pageblock_order,
		.highest_order = shape->highest_order,
		.section_order = shape->section_order,
		.nr_sections = shape->nr_sections,
	};
	for (uint64_t s = 0; s < shape->nr_sections; s++) {
		struct pfn_range *next = &topology->online[topology->nr_ranges];

		if (below(100) >= online_percent || topology->nr_ranges == TOPOLOGY_MAX_RANGES)
			continue;
		memset(&world.online[s * size], true, size);
		if (topology->nr_ranges && next[-1].end == s * size && below(10))
			next[-1].end += size;
		else
			topology->online[topology->nr_ranges++] =
				(struct pfn_range){ s * size, (s + 1) * size };
	}
	world.pages = shape->nr_sections * size;
}

static bool fits(uint64_t pfn, unsigned int order)
{
	if (pfn & ((1ULL << order) - 1) || pfn + (1ULL << order) > world.pages)
		return false;
	for (uint64_t i = 0; i < 1ULL << order; i++)
		if (!world.online[pfn + i])
			return false;
	return true;
}

static void add_extent(uint64_t pfn, unsigned int order, bool reported)
{
	world.extents[world.nr_extents++] = (struct free_extent){ pfn, order, reported };
	memset(&world.is_free[pfn], true, 1ULL << order);
}

static void make_extents(uint64_t free_percent)
{
	const unsigned int orders = world.topology.highest_order - world.lowest + 1;
	uint64_t pfn = 0;

	while (pfn < world.pages) {
		const unsigned int order = world.lowest + (unsigned int)below(orders);

		if (below(100) < free_percent && fits(pfn, order)) {
			add_extent(pfn, order, any() & 1);
			pfn += 1ULL << order;
		} else {
			pfn += 1ULL << world.lowest;
		}
	}
}

static struct extents_summary make_summary(void)
{
	struct extents_summary summary = { .scan_ns = 123, .visit_ns = 45, .probes = 67 };

	for (unsigned int i = 0; i < world.nr_extents; i++)
		summary.extents[world.extents[i].order]++;
	for (unsigned int o = 0; o <= world.topology.highest_order; o++)
		summary.nr_free[o] = summary.extents[o] + o;
	return summary;
}

/* What is written; the caller frees it. */
static char *write_world(enum extents_format format, enum extents_style style, size_t *size,
			 struct extents_writer *writer)
{
	const struct extents_summary summary = make_summary();
	char *text = NULL;

	*writer = (struct extents_writer){
		.out = open_memstream(&text, size),
		.format = format,
		.style = style,
		.source = SOURCE_KPAGEFLAGS,
		.lowest = world.lowest,
		.topology = &world.topology,
	};
	assert_non_null(writer->out);
	extents_begin(writer);
	assert_false(writer->begun);
	for (unsigned int i = 0; i < world.nr_extents; i++)
		assert_int_equal(extents_put(writer, &world.extents[i]), 0);
	assert_int_equal(extents_end(writer, &summary), 0);
	assert_int_equal(fclose(writer->out), 0);
	return text;
}

/* --- readers: each entry checks off what it says ----------------------------------------------- */

static struct reader {
	enum extents_format format;
	uint64_t entries;
	uint64_t next;	     /* first page that no entry has spoken of */
	unsigned int extent; /* the next one expected */
	uint64_t spans;
} reader;

static void start_reading(enum extents_format format)
{
	reader = (struct reader){ .format = format };
}

/* Nothing between two entries is free. */
static void skip_to(uint64_t pfn)
{
	assert_true(pfn >= reader.next && pfn <= world.pages);
	for (; reader.next < pfn; reader.next++)
		assert_false(world.is_free[reader.next]);
}

static void read_range(uint64_t pfn, uint64_t pages)
{
	assert_true(pages > 0);
	/* merged: what is in front of it and behind it is not free */
	assert_true(reader.entries == 0 || pfn > reader.next);
	skip_to(pfn);
	for (; reader.next < pfn + pages; reader.next++)
		assert_true(reader.next < world.pages && world.is_free[reader.next]);
	reader.entries++;
}

static void read_extent(uint64_t pfn, unsigned int order, bool reported)
{
	const struct free_extent *expected = &world.extents[reader.extent++];

	assert_true(reader.extent <= world.nr_extents);
	assert_int_equal(pfn, expected->pfn);
	assert_int_equal(order, expected->order);
	assert_int_equal(reported, expected->reported);
	reader.entries++;
}

/* One bit: a pageblock of online memory. */
static void read_bit(uint64_t pfn, bool is_free)
{
	const uint64_t pages = 1ULL << world.topology.pageblock_order;

	for (; reader.next < pfn; reader.next++) /* what has no bit is not online */
		assert_false(world.online[reader.next]);
	assert_int_equal(reader.next, pfn);
	for (; reader.next < pfn + pages; reader.next++) {
		assert_true(world.online[reader.next]);
		assert_int_equal(world.is_free[reader.next], is_free);
	}
}

static void read_bits(uint64_t pfn, const char *bits)
{
	const size_t nr = strspn(bits, "01");

	assert_true(nr >= 1 && nr <= 64);
	for (size_t i = 0; i < nr; i++)
		read_bit(pfn + (i << world.topology.pageblock_order), bits[i] == '1');
	reader.entries++;
}

static void end_reading(const struct extents_writer *writer)
{
	assert_int_equal(reader.entries, writer->entries);
	if (reader.format == EXTENTS_RANGES)
		skip_to(world.pages);
	if (reader.format == EXTENTS_ORDERS)
		assert_int_equal(reader.extent, world.nr_extents);
	if (reader.format == EXTENTS_BITMAP)
		for (; reader.next < world.pages; reader.next++)
			assert_false(world.online[reader.next]);
}

/* --- text -------------------------------------------------------------------------------------- */

static void read_line(const char *line)
{
	char word[65], end;
	uint64_t pfn, number;
	unsigned int order;

	switch (reader.format) {
	case EXTENTS_RANGES:
		assert_int_equal(sscanf(line, "%" SCNu64 " %" SCNu64 "%c", &pfn, &number, &end), 2);
		read_range(pfn, number);
		break;
	case EXTENTS_ORDERS:
		assert_int_equal(sscanf(line, "%" SCNu64 " %u %64s%c", &pfn, &order, word, &end),
				 3);
		assert_true(!strcmp(word, "reported") || !strcmp(word, "-"));
		read_extent(pfn, order, word[0] == 'r');
		break;
	case EXTENTS_BITMAP:
		assert_int_equal(sscanf(line, "%" SCNu64 " %64[01]%c", &pfn, word, &end), 2);
		read_bits(pfn, word);
		break;
	}
}

static uint64_t check_text(enum extents_format format)
{
	struct extents_writer writer;
	char *text, *line, *save;
	size_t size;

	text = write_world(format, EXTENTS_TEXT, &size, &writer);
	start_reading(format);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		read_line(line);
	end_reading(&writer);
	free(text);
	return writer.binary_bytes;
}

/* --- JSON -------------------------------------------------------------------------------------- */

static uint64_t number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	assert_true(json_is_integer(value));
	return (uint64_t)json_integer_value(value);
}

static void read_object(const json_t *entry)
{
	const uint64_t pfn = number(entry, "pfn");

	switch (reader.format) {
	case EXTENTS_RANGES:
		read_range(pfn, number(entry, "pages"));
		break;
	case EXTENTS_ORDERS:
		assert_true(json_is_boolean(json_object_get(entry, "reported")));
		read_extent(pfn, (unsigned int)number(entry, "order"),
			    json_is_true(json_object_get(entry, "reported")));
		break;
	case EXTENTS_BITMAP:
		read_bits(pfn, json_string_value(json_object_get(entry, "free")));
		break;
	}
}

static void check_orders(const json_t *orders)
{
	const struct extents_summary summary = make_summary();
	const json_t *order;
	size_t i;

	assert_int_equal(json_array_size(orders), world.topology.highest_order - world.lowest + 1);
	json_array_foreach(orders, i, order)
	{
		assert_int_equal(number(order, "order"), world.lowest + i);
		assert_int_equal(number(order, "free_extents"), summary.extents[world.lowest + i]);
		assert_int_equal(number(order, "nr_free"), summary.nr_free[world.lowest + i]);
	}
}

static void check_json(enum extents_format format, uint64_t binary_bytes)
{
	struct extents_writer writer;
	const json_t *entry;
	json_error_t error;
	json_t *json;
	size_t i, size;
	char *text;

	text = write_world(format, EXTENTS_JSON, &size, &writer);
	json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		fail_msg("%s in %s", error.text, text);
	start_reading(format);
	json_array_foreach(json_object_get(json, "entries"), i, entry) read_object(entry);
	end_reading(&writer);
	assert_string_equal(json_string_value(json_object_get(json, "format")),
			    extents_format_name(format));
	assert_string_equal(json_string_value(json_object_get(json, "source")), "kpageflags");
	assert_int_equal(number(json, "version"), 1);
	assert_int_equal(number(json, "page_size"), 4096);
	assert_int_equal(number(json, "pageblock_order"), world.topology.pageblock_order);
	assert_int_equal(number(json, "lowest_order"), world.lowest);
	assert_int_equal(number(json, "nr_entries"), reader.entries);
	assert_int_equal(number(json, "binary_bytes"), binary_bytes);
	assert_int_equal(number(json, "scan_ns"), 123);
	assert_int_equal(number(json, "encode_ns"), 45);
	assert_int_equal(number(json, "probes"), 67);
	check_orders(json_object_get(json, "orders"));
	json_decref(json);
	free(text);
}

/* --- binary ------------------------------------------------------------------------------------ */

static uint64_t word_at(const char *data, size_t offset)
{
	uint64_t word;

	memcpy(&word, data + offset, sizeof(word));
	return le64toh(word);
}

/* Byte by byte: what extents_writer.h promises. */
static void check_header(const char *data, enum extents_format format)
{
	const unsigned char *byte = (const unsigned char *)data;

	assert_memory_equal(data, "sluicext", 8);
	assert_int_equal(byte[8] | byte[9] << 8, 1);
	assert_int_equal(byte[10] | byte[11] << 8, format);
	assert_int_equal(word_at(data, 8) >> 32, 4096);
	assert_int_equal(byte[16], world.topology.pageblock_order);
	assert_int_equal(byte[17], world.lowest);
	assert_int_equal(word_at(data, 16) >> 16, 0);
}

/* The pageblocks of one range of online memory; returns the offset behind them. */
static size_t read_span(const char *data, size_t at)
{
	const uint64_t pfn = word_at(data, at) >> 12, blocks = word_at(data, at + 8);

	assert_int_equal(word_at(data, at) & 0xfff, 0);
	/* spans are joined where they touch */
	assert_true(reader.spans++ == 0 || pfn > reader.next);
	at += 16;
	for (uint64_t i = 0; i < blocks; i++)
		read_bit(pfn + (i << world.topology.pageblock_order),
			 word_at(data, at + i / 64 * 8) >> i % 64 & 1);
	reader.entries += (blocks + 63) / 64;
	if (blocks % 64) /* the rest is zero */
		assert_int_equal(word_at(data, at + blocks / 64 * 8) >> blocks % 64, 0);
	return at + (blocks + 63) / 64 * 8;
}

/* One entry, or one span; returns the offset behind it. */
static size_t read_words(const char *data, size_t at)
{
	const uint64_t word = word_at(data, at);

	switch (reader.format) {
	case EXTENTS_RANGES:
		if (word & 0xfff) {
			read_range(word >> 12, word & 0xfff);
			return at + 8;
		}
		assert_true(word_at(data, at + 8) >= 4096);
		read_range(word >> 12, word_at(data, at + 8));
		return at + 16;
	case EXTENTS_ORDERS:
		assert_int_equal(word & 0x7e0, 0);
		read_extent(word >> 12, word & 0x1f, word >> 11 & 1);
		return at + 8;
	case EXTENTS_BITMAP:
		return read_span(data, at);
	}
	return SIZE_MAX;
}

static void check_binary(enum extents_format format, uint64_t binary_bytes)
{
	struct extents_writer writer;
	size_t size, at = EXTENTS_HEADER_SIZE;
	char *data;

	data = write_world(format, EXTENTS_BINARY, &size, &writer);
	assert_true(size >= EXTENTS_HEADER_SIZE + END_SIZE);
	assert_int_equal(size, writer.binary_bytes);
	assert_int_equal(size, binary_bytes); /* as the other styles foretell it */
	check_header(data, format);
	start_reading(format);
	while (at < size - END_SIZE)
		at = read_words(data, at);
	assert_int_equal(at, size - END_SIZE);
	assert_int_equal(word_at(data, at), UINT64_MAX);
	assert_int_equal(word_at(data, at + 8), writer.entries);
	end_reading(&writer);
	free(data);
}

static void check_world(void)
{
	for (enum extents_format format = EXTENTS_RANGES; format <= EXTENTS_BITMAP; format++) {
		uint64_t binary_bytes;

		if (format == EXTENTS_BITMAP && world.lowest < world.topology.pageblock_order)
			continue;
		binary_bytes = check_text(format);
		check_json(format, binary_bytes);
		check_binary(format, binary_bytes);
	}
}

/* One shape, many worlds; state is the shape. */
static void test_random(void **state)
{
	static const uint64_t chances[] = { 0, 3, 30, 70, 97, 100 };
	const struct shape *shape = *state;
	uint64_t extents = 0, holes = 0, bitmaps = 0;

	for (uint64_t i = 0; i < SEEDS; i++) {
		seed = i * 1000 + shape->pageblock_order;
		make_topology(shape, chances[1 + below(5)]);
		world.lowest = (unsigned int)below(shape->highest_order + 1);
		if (i % 2)
			world.lowest = shape->pageblock_order;
		make_extents(chances[below(6)]);
		extents += world.nr_extents;
		holes += world.topology.nr_ranges > 1;
		bitmaps += world.lowest >= shape->pageblock_order;
		check_world();
	}
	/* that the worlds are worth it */
	assert_true(extents > SEEDS && holes > SEEDS / 8 && bitmaps >= SEEDS / 2);
}

/* --- single cases ------------------------------------------------------------------------------ */

/* Four sections of x86, all online. */
static void plain_world(unsigned int lowest)
{
	static const struct shape shape = { 9, 10, 13, 4 };

	make_topology(&shape, 100);
	world.topology.nr_ranges = 1;
	world.topology.online[0] = (struct pfn_range){ 0, world.pages };
	world.lowest = lowest;
}

static void expect_text(enum extents_format format, const char *expected)
{
	struct extents_writer writer;
	size_t size;
	char *text;

	check_world();
	text = write_world(format, EXTENTS_TEXT, &size, &writer);
	assert_string_equal(text, expected);
	free(text);
}

static void test_nothing(void **state)
{
	struct extents_writer writer;
	size_t size;

	(void)state;
	plain_world(0);
	expect_text(EXTENTS_RANGES, "");
	expect_text(EXTENTS_ORDERS, "");
	world.lowest = 9;
	expect_text(EXTENTS_BITMAP,
		    "0 0000000000000000000000000000000000000000000000000000000000000000\n");
	/* nothing is online */
	make_topology(&shapes[0], 0);
	world.lowest = 9;
	expect_text(EXTENTS_BITMAP, "");
	free(write_world(EXTENTS_BITMAP, EXTENTS_BINARY, &size, &writer));
	assert_int_equal(size, EXTENTS_HEADER_SIZE + END_SIZE);
}

static void test_ranges(void **state)
{
	(void)state;
	plain_world(0);
	add_extent(0, 0, true);
	add_extent(1, 0, false);
	add_extent(2, 1, true); /* one range whoever is reported */
	add_extent(5, 0, true);
	add_extent(1024, 10, true);
	add_extent(2048, 9, true);
	add_extent(MAX_PAGES - 1, 0, true);
	expect_text(EXTENTS_RANGES, "0 4\n5 1\n1024 1536\n32767 1\n");
}

/* From 4096 pages on a range takes two words. */
static void test_long_ranges(void **state)
{
	static const struct {
		unsigned int extents; /* of 1024 pages, and one page less at the front */
		unsigned int skip;
		uint64_t bytes;
	} rows[] = {
		{ 3, 0, 8 }, { 4, 1, 8 }, { 4, 0, 16 }, { 5, 0, 16 }, { 32, 0, 16 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct extents_writer writer;
		size_t size;

		plain_world(0);
		for (unsigned int o = 0; rows[i].skip && o < 10; o++)
			add_extent(1U << o, o, false);
		for (unsigned int e = rows[i].skip; e < rows[i].extents; e++)
			add_extent(e * 1024, 10, false);
		check_world();
		free(write_world(EXTENTS_RANGES, EXTENTS_BINARY, &size, &writer));
		assert_int_equal(size, EXTENTS_HEADER_SIZE + rows[i].bytes + END_SIZE);
		assert_int_equal(writer.entries, 1);
	}
}

/* A bitmap has a bit per pageblock, not per page, and none for holes. */
static void test_bitmap(void **state)
{
	struct extents_writer writer;
	size_t size;

	(void)state;
	plain_world(9);
	world.topology.nr_ranges = 2;
	world.topology.online[0] = (struct pfn_range){ 0, 8192 };
	world.topology.online[1] = (struct pfn_range){ 16384, 24576 };
	memset(world.online + 8192, false, 8192);
	memset(world.online + 24576, false, 8192);
	add_extent(512, 9, false);
	add_extent(7168, 10, true);
	add_extent(16384, 10, true);
	expect_text(EXTENTS_BITMAP, "0 0100000000000011\n16384 1100000000000000\n");
	free(write_world(EXTENTS_BITMAP, EXTENTS_BINARY, &size, &writer));
	assert_int_equal(size, EXTENTS_HEADER_SIZE + 2 * (16 + 8) + END_SIZE);
	/* an extent where nothing is online has no bit, and does no harm */
	add_extent(28672, 10, true);
	free(write_world(EXTENTS_BITMAP, EXTENTS_BINARY, &size, &writer));
	assert_int_equal(size, EXTENTS_HEADER_SIZE + 2 * (16 + 8) + END_SIZE);
	assert_int_equal(writer.entries, 2);
}

/* A full disk shows at the latest where the stream is ended. */
static void test_full_disk(void **state)
{
	const struct extents_summary summary = { 0 };

	(void)state;
	plain_world(0);
	add_extent(0, 10, false);
	for (enum extents_style style = EXTENTS_TEXT; style <= EXTENTS_BINARY; style++) {
		for (size_t buffer = 0; buffer <= 4096; buffer += 4096) {
			struct extents_writer writer = {
				.out = fopen("/dev/full", "w"),
				.format = EXTENTS_RANGES,
				.style = style,
				.topology = &world.topology,
			};
			int rc;

			assert_non_null(writer.out);
			assert_int_equal(
				setvbuf(writer.out, NULL, buffer ? _IOFBF : _IONBF, buffer), 0);
			extents_begin(&writer);
			rc = extents_put(&writer, &world.extents[0]);
			if (!rc)
				rc = extents_end(&writer, &summary);
			assert_int_equal(rc, -ENOSPC);
			fclose(writer.out);
		}
	}
}

static void test_names(void **state)
{
	enum extents_format format = EXTENTS_ORDERS;

	(void)state;
	for (enum extents_format i = EXTENTS_RANGES; i <= EXTENTS_BITMAP; i++) {
		assert_int_equal(extents_format_parse(extents_format_name(i), &format), 0);
		assert_int_equal(format, i);
	}
	assert_int_equal(extents_format_parse("", &format), -EINVAL);
	assert_int_equal(extents_format_parse("range", &format), -EINVAL);
	assert_int_equal(extents_format_parse("orders ", &format), -EINVAL);
	assert_int_equal(format, EXTENTS_BITMAP);
}

/* --- the walk of an observer ------------------------------------------------------------------- */

static struct fixture tree;
static struct fixture_zone zones[] = {
	{ 0, "DMA", 0, 4096, 4096, 0, 10, { 0 } },
	{ 0, "Normal", 4096, MAX_PAGES - 4096, MAX_PAGES - 4096, 0, 20, { 0 } },
};

/* The world as /proc shows it; extents may not merge into larger ones. */
static void put_tree(void)
{
	static uint64_t flags[MAX_PAGES];

	for (uint64_t pfn = 0; pfn < MAX_PAGES; pfn++)
		flags[pfn] = world.is_free[pfn] ? 1ULL << KPF_BUDDY : 1ULL << KPF_UPTODATE;
	memset(zones[0].nr_free, 0, sizeof(zones[0].nr_free));
	memset(zones[1].nr_free, 0, sizeof(zones[1].nr_free));
	for (unsigned int i = 0; i < world.nr_extents; i++) {
		const struct free_extent *extent = &world.extents[i];

		zones[extent->pfn >= 4096].nr_free[extent->order]++;
		if (extent->reported)
			flags[extent->pfn] |= 1ULL << KPF_UPTODATE;
	}
	fixture_zones(&tree, zones, 2, 11);
	fixture_write(&tree, "proc/kpageflags", flags, sizeof(flags));
	fixture_put(&tree, "proc/pagetypeinfo", "Page block order: 9\nPages per block:  512\n");
	fixture_put(&tree, "proc/sys/kernel/osrelease", "6.1.0\n");
	fixture_put(&tree, "sys/devices/system/memory/block_size_bytes", "8000000\n");
	fixture_memory(&tree, 0, "online");
}

/* Pieces that are no buddies of each other: every other page, and some larger ones. */
static void make_pieces(void)
{
	plain_world(0);
	for (uint64_t pfn = 0; pfn < 2048; pfn += 2)
		add_extent(pfn, 0, pfn % 6 == 0);
	add_extent(2048, 9, false);
	add_extent(3072, 10, true);
	add_extent(4096, 10, false); /* of the other zone */
	add_extent(8192 + 1024, 10, true);
	add_extent(8192 + 2048, 9, true);
	add_extent(8192 + 3072, 3, true);
	add_extent(MAX_PAGES - 256, 8, false);
}

static int setup(void **state)
{
	(void)state;
	fixture_open(&tree);
	make_pieces();
	put_tree();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

static struct observer *open_observer(enum scan_source best)
{
	const struct observer_options options = { .root = tree.root, .best = best };
	struct observer *observer = NULL;
	struct errmsg err = { "" };

	if (observer_open(&options, &observer, &err))
		fail_msg("%s", err.text);
	return observer;
}

struct visits {
	unsigned int nr;
	unsigned int next; /* extent of the world */
	unsigned int lowest;
	unsigned int fail_at; /* visit that fails; 0: none */
};

static int visit(void *context, const struct free_extent *extent)
{
	struct visits *visits = context;

	while (world.extents[visits->next].order < visits->lowest)
		visits->next++;
	assert_true(visits->next < world.nr_extents);
	assert_int_equal(extent->pfn, world.extents[visits->next].pfn);
	assert_int_equal(extent->order, world.extents[visits->next].order);
	assert_int_equal(extent->reported, world.extents[visits->next].reported);
	visits->next++;
	return ++visits->nr == visits->fail_at ? -ENOSPC : 0;
}

/* Every extent of the wanted orders once, in ascending order, and the kernel's totals. */
static void test_walk(void **state)
{
	static const unsigned int expected[] = { 1031, 7, 7, 7, 6, 6, 6, 6, 6, 5, 3 };
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS);

	(void)state;
	for (unsigned int lowest = 0; lowest <= 10; lowest++) {
		struct visits visits = { .lowest = lowest };
		struct extents_summary summary;
		struct errmsg err = { "" };

		assert_int_equal(observer_extents(observer, lowest, visit, &visits, &summary, &err),
				 0);
		assert_int_equal(visits.nr, expected[lowest]);
		for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++) {
			assert_int_equal(summary.nr_free[o],
					 zones[0].nr_free[o] + zones[1].nr_free[o]);
			assert_int_equal(summary.extents[o], o < lowest ? 0 : summary.nr_free[o]);
		}
		assert_true(summary.scan_ns > 0 && summary.probes >= MAX_PAGES / 1024);
	}
	observer_close(observer);
}

/* What a visitor returns ends the walk, at once or at the end of its batch. */
static void test_visitor_fails(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS);
	const unsigned int rows[] = { 1, 2, 256, 257, 1000, 1031 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct visits visits = { .fail_at = rows[i] };
		struct extents_summary summary = { .probes = 77 };
		struct errmsg err = { "" };

		assert_int_equal(observer_extents(observer, 0, visit, &visits, &summary, &err),
				 -ENOSPC);
		assert_int_equal(visits.nr, rows[i]);
		assert_int_equal(summary.probes, 77);
		assert_string_equal(err.text, "");
	}
	observer_close(observer);
}

static void test_walk_fails(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS);
	struct extents_summary summary = { .probes = 77 };
	struct visits visits = { 0 };
	struct errmsg err = { "" };

	(void)state;
	assert_int_equal(observer_extents(observer, 11, visit, &visits, &summary, &err), -ERANGE);
	assert_contains(err.text, "order 11: the orders of this kernel are 0 to 10");
	fixture_remove(&tree, "proc/buddyinfo");
	assert_int_equal(observer_extents(observer, 0, visit, &visits, &summary, &err), -ENOENT);
	assert_contains(err.text, "buddyinfo");
	observer_close(observer);
	/* totals only, and why */
	put_tree();
	fixture_remove(&tree, "proc/kpageflags");
	observer = open_observer(SOURCE_KPAGEFLAGS);
	assert_int_equal(observer_source(observer), SOURCE_BUDDYINFO);
	visits = (struct visits){ 0 };
	assert_int_equal(observer_extents(observer, 0, visit, &visits, &summary, &err), -ENODATA);
	assert_contains(err.text, "not where: a BPF scan or /proc/kpageflags is needed");
	assert_contains(err.text, "/proc/kpageflags: No such file or directory");
	assert_int_equal(visits.nr, 0);
	assert_int_equal(summary.probes, 77);
	observer_close(observer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define RANDOM(n) \
	{ "test_random of shape " #n, test_random, NULL, NULL, (void *)(uintptr_t)&shapes[n] }
		RANDOM(0),
		RANDOM(1),
		RANDOM(2),
		RANDOM(3),
		RANDOM(4),
		RANDOM(5),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_long_ranges),
		cmocka_unit_test(test_bitmap),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_walk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_visitor_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_walk_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
