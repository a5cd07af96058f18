// SPDX-License-Identifier: GPL-2.0-only
/*
 * An observer whose memory comes and goes between two snapshots, and during one: on a
 * fixture tree with /proc/kpageflags, whose files change as a kernel changes them.
 *
 * wrap: pread
 */
#include <errno.h>
#include <linux/kernel-page-flags.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/observe.h"
#include "sluice/units.h"

#define MEMORY	    "sys/devices/system/memory"
#define SECTION	    32768 /* pages of a memory block of 128 MiB */
#define SECTIONS    4
#define PAGES	    (SECTIONS * SECTION)
#define FREE_PAGES  (1024 + 512 + 8) /* of each section, see put_flags() */
#define KFREE	    (1ULL << KPF_BUDDY)
#define KREPORTED   (1ULL << KPF_UPTODATE)
#define TWO_TICKS   (2 << (SLUICE_TICK_SHIFT - 10)) /* microseconds, rounded up */
#define NORMAL_NODE 0

static struct fixture tree;

/* What the next read of page flags does before it reads. */
static void (*on_read)(uint64_t pfn);

ssize_t __real_pread(int fd, void *buf, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t size, off_t offset);

ssize_t __wrap_pread(int fd, void *buf, size_t size, off_t offset)
{
	if (on_read)
		on_read((uint64_t)offset / sizeof(uint64_t));
	return __real_pread(fd, buf, size, offset);
}

/* --- a guest ---------------------------------------------------------------------------------- */

/* One character per section: N Normal, M Movable, o offline, - not there. */
static char memory[SECTIONS + 1];

/*
 * Each section that is online has the same free extents: order 10, reported, at page
 * 1024; order 9 at page 4096; order 3 at page 8192.
 */
static void put_flags(void)
{
	static uint64_t flags[PAGES];
	int fd = openat(tree.root, "proc/kpageflags", O_WRONLY | O_CREAT, 0644);

	memset(flags, 0, sizeof(flags));
	for (unsigned int s = 0; s < SECTIONS; s++) {
		uint64_t *section = &flags[s * SECTION];

		for (unsigned int i = 0; i < SECTION; i++)
			section[i] = memory[s] == 'N' || memory[s] == 'M' ? 0 : 1ULL << KPF_NOPAGE;
		if (memory[s] != 'N' && memory[s] != 'M')
			continue;
		for (unsigned int i = 0; i < 1024; i++)
			section[1024 + i] = KFREE;
		for (unsigned int i = 0; i < 512; i++)
			section[4096 + i] = KFREE;
		for (unsigned int i = 0; i < 8; i++)
			section[8192 + i] = KFREE;
		section[1024] |= KREPORTED;
	}
	/* in place: the observer holds the file open */
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, flags, sizeof(flags), 0), sizeof(flags));
	close(fd);
}

static void put_zones(void)
{
	static const struct {
		char letter;
		const char *name;
	} kinds[] = { { 'N', "Normal" }, { 'M', "Movable" } };
	struct fixture_zone zones[ARRAY_SIZE(kinds)];
	unsigned int nr = 0;

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct fixture_zone zone = { .node = NORMAL_NODE, .name = kinds[k].name, .low = 1 };
		uint64_t sections = 0;

		for (unsigned int s = 0; s < SECTIONS; s++) {
			if (memory[s] != kinds[k].letter)
				continue;
			if (!sections++)
				zone.start_pfn = s * SECTION;
			zone.spanned = (s + 1) * SECTION - zone.start_pfn;
		}
		zone.present = sections * SECTION;
		zone.free = sections * FREE_PAGES;
		zone.nr_free[10] = zone.nr_free[9] = zone.nr_free[3] = sections;
		if (sections)
			zones[nr++] = zone;
	}
	fixture_zones(&tree, zones, nr, 11);
}

static void put_blocks(void)
{
	for (unsigned int s = 0; s < SECTIONS; s++) {
		char path[96];

		snprintf(path, sizeof(path), MEMORY "/memory%u", s);
		fixture_remove(&tree, path);
		if (memory[s] == '-')
			continue;
		fixture_memory(&tree, s, memory[s] == 'o' ? "offline" : "online");
		snprintf(path, sizeof(path), MEMORY "/memory%u/node0", s);
		fixture_link(&tree, path, "../../node/node0");
		snprintf(path, sizeof(path), MEMORY "/memory%u/valid_zones", s);
		fixture_put(&tree, path,
			    memory[s] == 'N' ? "Normal\n" :
			    memory[s] == 'M' ? "Movable\n" :
					       "Normal Movable\n");
	}
}

static void set_memory(const char *sections)
{
	snprintf(memory, sizeof(memory), "%s", sections);
	put_flags();
	put_zones();
	put_blocks();
}

static int setup(void **state)
{
	(void)state;
	on_read = NULL;
	fixture_open(&tree);
	fixture_put(&tree, "proc/pagetypeinfo", "Page block order: 9\n");
	fixture_put(&tree, "proc/sys/kernel/osrelease", "6.1.0\n");
	fixture_put(&tree, "sys/devices/system/node/online", "0\n");
	fixture_mkdir(&tree, "sys/devices/system/node/node0");
	fixture_put(&tree, MEMORY "/block_size_bytes", "8000000\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

static struct observer *open_observer(enum scan_source best, const char *sections)
{
	const struct observer_options options = { .root = tree.root, .best = best };
	struct observer *observer = NULL;
	struct errmsg err = { "" };

	set_memory(sections);
	if (observer_open(&options, &observer, &err))
		fail_msg("%s", err.text);
	assert_int_equal(observer_source(observer), best);
	return observer;
}

static void take(struct observer *observer, enum scan_depth depth, struct snapshot *snap)
{
	struct errmsg err = { "" };

	if (observer_snapshot(observer, depth, snap, &err))
		fail_msg("%s", err.text);
}

/* Every section that is online has a record for each block, and every other none. */
static void check_map(const struct observer *observer)
{
	const struct blockmap *map = observer_blocks(observer);
	const struct topology *topology = observer_topology(observer);
	uint32_t records = 0;

	for (unsigned int s = 0; s < SECTIONS; s++) {
		const uint64_t pfn = s * SECTION;
		const bool online = memory[s] == 'N' || memory[s] == 'M';
		int zone;

		records += online ? SECTION / 512 : 0;
		assert_int_equal(blockmap_at(map, pfn) != NULL, online);
		assert_int_equal(blockmap_at(map, pfn + SECTION - 1) != NULL, online);
		if (!online)
			continue;
		zone = topology_find_zone(topology, 0, memory[s] == 'N' ? "Normal" : "Movable");
		assert_true(zone >= 0);
		assert_int_equal(blockmap_at(map, pfn)->zone, zone);
		assert_int_equal(blockmap_at(map, pfn)->free_pages, 0);
		assert_int_equal(blockmap_at(map, pfn + 1024)->flags,
				 SLUICE_BLOCK_FREE | SLUICE_BLOCK_REPORTED);
		assert_int_equal(blockmap_at(map, pfn + 1024)->order, 10);
		assert_int_equal(blockmap_at(map, pfn + 4096)->flags, SLUICE_BLOCK_FREE);
		assert_int_equal(blockmap_at(map, pfn + 4096)->zone, zone);
		assert_int_equal(blockmap_at(map, pfn + 8192)->free_pages, 8);
	}
	assert_int_equal(map->nr_blocks, records);
}

/* The counts are those of the memory that is there, and the kernel's. */
static void check_snapshot(struct observer *observer, const struct snapshot *snap)
{
	uint64_t sections = 0, order10 = 0, reported = 0;
	struct map_totals totals;

	for (unsigned int s = 0; s < SECTIONS; s++)
		sections += memory[s] == 'N' || memory[s] == 'M';
	for (unsigned int z = 0; z < snap->nr_zones; z++) {
		assert_int_equal(snap->zones[z].drift, 0);
		assert_int_equal(snap->zones[z].repairs.wrong_blocks, 0);
		assert_int_equal(snap->zones[z].repairs.largest_error, 0);
		order10 += snap->zones[z].orders[10].free;
		reported += snap->zones[z].orders[10].reported;
	}
	assert_int_equal(order10, sections);
	assert_int_equal(reported, sections);
	assert_int_equal(observer_map_totals(observer, &totals, NULL), 0);
	assert_int_equal(totals.map, sections * FREE_PAGES);
	assert_int_equal(totals.kernel, sections * FREE_PAGES);
}

/* Since when the three extents of a section are free. */
struct since {
	uint32_t order10, order9, order3;
};

static struct since since_of(const struct observer *observer, unsigned int section)
{
	const struct blockmap *map = observer_blocks(observer);
	const uint64_t pfn = section * SECTION;

	return (struct since){ blockmap_at(map, pfn + 1024)->since,
			       blockmap_at(map, pfn + 4096)->since,
			       blockmap_at(map, pfn + 8192)->since };
}

/* --- between two snapshots --------------------------------------------------------------------- */

static const struct step_case {
	const char *what, *before, *after;
} steps[] = {
	{ "a DIMM comes behind", "N---", "NN--" },
	{ "it comes offline: nothing changes yet", "N---", "No--" },
	{ "it is onlined", "No--", "NN--" },
	{ "two come, with a hole before them", "N---", "N-NN" },
	{ "one comes into a hole", "N-N-", "NNN-" },
	{ "one comes below", "-N--", "NN--" },
	{ "the last one goes", "NNN-", "NN--" },
	{ "one goes from the middle: the span stays", "NNN-", "N-N-" },
	{ "it goes offline", "NNN-", "NoN-" },
	{ "the first one goes", "NN--", "-N--" },
	{ "the first memory of a zone comes", "NN--", "NNM-" },
	{ "the last memory of a zone goes", "NNM-", "NN--" },
	{ "one comes in the middle of another zone", "N-N-", "NMN-" },
	{ "a block moves to another zone", "NNN-", "NMN-" },
	{ "all but one go", "NMNM", "---M" },
};

static void check_step(const struct step_case *step)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS, step->before);
	const bool changes = step->before[1] != step->after[1] ?
				     step->after[1] != 'o' || step->before[1] == 'N' :
				     strcmp(step->before, step->after) != 0;
	struct since before[SECTIONS], after;
	struct snapshot snap;

	take(observer, SCAN_HEADS, &snap);
	check_map(observer);
	for (unsigned int s = 0; s < SECTIONS; s++)
		if (strchr("NM", step->before[s]))
			before[s] = since_of(observer, s);
	usleep(TWO_TICKS);
	set_memory(step->after);
	take(observer, SCAN_HEADS, &snap);
	assert_int_equal(observer_refreshes(observer), changes);
	/* a new map is filled by a full scan, whatever was asked for */
	assert_int_equal(snap.depth, changes ? SCAN_FULL : SCAN_HEADS);
	check_map(observer);
	check_snapshot(observer, &snap);
	for (unsigned int s = 0; s < SECTIONS; s++) {
		if (!strchr("NM", step->after[s]))
			continue;
		after = since_of(observer, s);
		if (strchr("NM", step->before[s]))
			assert_memory_equal(&after, &before[s], sizeof(after));
		else
			assert_true(after.order10 >= snap.time_ns >> SLUICE_TICK_SHIFT);
	}
	take(observer, SCAN_HEADS, &snap);
	assert_int_equal(snap.depth, SCAN_HEADS);
	assert_int_equal(observer_refreshes(observer), changes);
	check_snapshot(observer, &snap);
	observer_close(observer);
}

static void test_steps(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		print_message("           %s\n", steps[i].what);
		check_step(&steps[i]);
	}
}

/* Ages go on, and what was counted stays, under the index that the zone has had. */
static void test_what_is_kept(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS, "NM--");
	const struct blockmap *map = observer_blocks(observer);
	uint64_t reported, lives = 0;
	struct snapshot snap;

	(void)state;
	take(observer, SCAN_FULL, &snap);
	assert_int_equal(snap.zones[1].index, 1);
	assert_string_equal(snap.zones[1].info.name, "Movable");
	reported = map->times[1].reported;
	assert_int_equal(reported, 2); /* blocks of the extent of order 10 */
	observer_set_min_age(observer, 0, "Movable", 3600 * NSEC_PER_SEC);
	set_memory("-M--");
	take(observer, SCAN_HEADS, &snap);
	assert_int_equal(snap.nr_zones, 1);
	assert_string_equal(snap.zones[0].info.name, "Movable");
	assert_int_equal(snap.zones[0].index, 1);
	assert_int_equal(snap.zones[0].orders[9].young, 1);
	map = observer_blocks(observer);
	assert_int_equal(map->times[0].reported, 2); /* of memory that is gone */
	assert_int_equal(map->times[1].reported, reported);
	set_memory("NM--");
	take(observer, SCAN_HEADS, &snap);
	assert_int_equal(snap.nr_zones, 2);
	map = observer_blocks(observer);
	assert_int_equal(map->times[0].reported, 4);
	assert_int_equal(map->times[1].reported, reported);
	/* memory that went while it was free was not allocated: no life ended */
	for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++)
		lives += map->times[0].lifetimes[b] + map->times[1].lifetimes[b];
	assert_int_equal(lives, 0);
	assert_int_equal(observer_refreshes(observer), 2);
	observer_close(observer);
}

/* As much comes as goes: full scans notice. */
static void test_exchange(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS, "NN-N");
	struct snapshot snap;

	(void)state;
	take(observer, SCAN_HEADS, &snap);
	set_memory("N-NN");
	take(observer, SCAN_FULL, &snap);
	assert_int_equal(observer_refreshes(observer), 1);
	check_map(observer);
	check_snapshot(observer, &snap);
	observer_close(observer);
}

/* virtio-mem: memory comes and goes inside of sections, which have records already. */
static void test_managed_alone(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS, "NN--");
	struct snapshot snap;
	char path[64], *zoneinfo, *managed;

	(void)state;
	take(observer, SCAN_HEADS, &snap);
	snprintf(path, sizeof(path), "%s/proc/zoneinfo", tree.dir);
	zoneinfo = fixture_slurp(path);
	managed = strstr(zoneinfo, "managed  65536");
	assert_non_null(managed);
	managed[strlen("managed  ")] = '5';
	fixture_put(&tree, "proc/zoneinfo", zoneinfo);
	free(zoneinfo);
	take(observer, SCAN_HEADS, &snap);
	assert_int_equal(snap.zones[0].info.managed_pages, 55536);
	assert_int_equal(observer_refreshes(observer), 0);
	check_snapshot(observer, &snap);
	observer_close(observer);
}

static void test_node_comes(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS, "NN--");
	struct snapshot snap;

	(void)state;
	fixture_put(&tree, "sys/devices/system/node/online", "0-1\n");
	take(observer, SCAN_HEADS, &snap);
	assert_int_equal(observer_refreshes(observer), 1);
	assert_int_equal(observer_topology(observer)->nr_nodes, 2);
	check_snapshot(observer, &snap);
	observer_close(observer);
}

static void test_totals_only(void **state)
{
	struct observer *observer = open_observer(SOURCE_BUDDYINFO, "N---");
	struct snapshot snap;

	(void)state;
	take(observer, SCAN_FULL, &snap);
	assert_int_equal(snap.zones[0].orders[10].free, 1);
	set_memory("NNM-");
	take(observer, SCAN_FULL, &snap);
	assert_int_equal(snap.nr_zones, 2);
	assert_int_equal(snap.zones[0].orders[10].free, 2);
	assert_int_equal(snap.zones[1].orders[10].free, 1);
	observer_close(observer);
}

/* --- during a snapshot ------------------------------------------------------------------------- */

static const char *next_memory;

static void change_once(uint64_t pfn)
{
	(void)pfn;
	on_read = NULL;
	set_memory(next_memory);
}

/* A scan of memory that has changed is thrown away and taken again. */
static void test_during_a_scan(void **state)
{
	static const char *const worlds[] = { "NN--", "NNM-", "N---", "-N--", "NM-N" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(worlds); i++) {
		struct observer *observer = open_observer(SOURCE_KPAGEFLAGS, "NN-N");
		struct snapshot snap;

		next_memory = worlds[i];
		on_read = change_once;
		take(observer, SCAN_HEADS, &snap);
		assert_null(on_read);
		assert_int_equal(observer_refreshes(observer), 1);
		check_map(observer);
		check_snapshot(observer, &snap);
		observer_close(observer);
	}
}

static void change_always(uint64_t pfn)
{
	if (pfn == 0)
		set_memory(strcmp(memory, "NN--") ? "NN--" : "NNN-");
}

/* Memory that does not come to rest: an error, and the last snapshot as it was. */
static void test_no_rest(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS, "NN--");
	struct snapshot snap, before;
	struct errmsg err = { "" };

	(void)state;
	take(observer, SCAN_FULL, &snap);
	memcpy(&before, &snap, sizeof(snap));
	on_read = change_always;
	assert_int_equal(observer_snapshot(observer, SCAN_FULL, &snap, &err), -EAGAIN);
	assert_string_equal(err.text, "memory came or went during the scan");
	assert_memory_equal(&snap, &before, sizeof(snap));
	on_read = NULL;
	take(observer, SCAN_FULL, &snap);
	check_map(observer);
	check_snapshot(observer, &snap);
	observer_close(observer);
}

/* --- bad files -------------------------------------------------------------------------------- */

/* Memory changes, and a file that tells how makes no sense: the old map stays until it does. */
static const struct bad {
	const char *path, *text, *message;
} bad[] = {
	{ MEMORY "/block_size_bytes", "8000001\n", "is no block size" },
	{ MEMORY "/block_size_bytes", "", "is not one whole line" },
	{ MEMORY "/memory0/state", "onl", "is not one whole line" },
	{ MEMORY "/memory1/valid_zones", "rubbish\n", "is no zone" },
	{ MEMORY "/memory4194304", "", "counts memory blocks from 0 to 4194303" },
	{ "proc/pagetypeinfo", "Page block order: 99\n", "page block order 99" },
	{ "proc/sys/kernel/osrelease", "\n", "" },
	{ "proc/buddyinfo", "", "no zone" },
	{ "proc/zoneinfo", "Node 0, zone   Normal\n", "no usable line" },
	{ "sys/devices/system/node/online", "rubbish\n", "is no list of nodes" },
};

static void test_bad_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct observer *observer = open_observer(SOURCE_KPAGEFLAGS, "NMN-");
		struct snapshot snap, before;
		struct errmsg err = { "" };
		char path[128], *good = NULL;

		take(observer, SCAN_FULL, &snap);
		memcpy(&before, &snap, sizeof(snap));
		set_memory("NMNN");
		snprintf(path, sizeof(path), "%s/%s", tree.dir, bad[i].path);
		if (access(path, F_OK) == 0)
			good = fixture_slurp(path);
		fixture_put(&tree, bad[i].path, bad[i].text);
		assert_true(observer_snapshot(observer, SCAN_FULL, &snap, &err) < 0);
		assert_contains(err.text, bad[i].message);
		snprintf(path, sizeof(path), "/%s", bad[i].path);
		assert_contains(err.text, path);
		assert_memory_equal(&snap, &before, sizeof(snap));
		assert_int_equal(observer_refreshes(observer), 0);
		assert_int_equal(observer_blocks(observer)->nr_blocks, 3 * SECTION / 512);
		if (good)
			fixture_put(&tree, bad[i].path, good);
		else
			fixture_remove(&tree, bad[i].path);
		free(good);
		take(observer, SCAN_HEADS, &snap);
		assert_int_equal(observer_refreshes(observer), 1);
		check_map(observer);
		check_snapshot(observer, &snap);
		observer_close(observer);
	}
}

/* No kernel changes the size of its memory blocks; if a file says so, ages begin anew. */
static void test_other_units(void **state)
{
	struct observer *observer = open_observer(SOURCE_KPAGEFLAGS, "NN--");
	struct snapshot snap;

	(void)state;
	take(observer, SCAN_FULL, &snap);
	usleep(TWO_TICKS);
	set_memory("NNN-");
	fixture_remove(&tree, MEMORY "/memory2"); /* 3 blocks of 128 MiB, now 2 of 256 MiB */
	fixture_put(&tree, MEMORY "/block_size_bytes", "10000000\n");
	take(observer, SCAN_FULL, &snap);
	assert_int_equal(observer_topology(observer)->section_order, 16);
	assert_int_equal(observer_blocks(observer)->nr_blocks, 4 * SECTION / 512);
	assert_int_equal(snap.zones[0].drift, 0);
	assert_true(since_of(observer, 0).order10 >= snap.time_ns >> SLUICE_TICK_SHIFT);
	assert_true(since_of(observer, 2).order9 >= snap.time_ns >> SLUICE_TICK_SHIFT);
	observer_close(observer);
}

/* Page flags that no kernel shows: they are not used, and the note names the file. */
static void test_bad_flags(void **state)
{
	static uint64_t flags[PAGES];
	const struct observer_options options = { .root = tree.root, .best = SOURCE_KPAGEFLAGS };
	static const struct {
		size_t size; /* bytes; 0 with fill: a directory */
		int fill;
	} rows[] = {
		{ 0, 0 },		     /* empty */
		{ 1, 0xff },		     /* part of an entry */
		{ sizeof(flags) / 8, 0 },    /* cut off */
		{ sizeof(flags), 0 },	     /* nothing is free */
		{ sizeof(flags), 0xff },     /* everything is all */
		{ sizeof(flags), 0x55 },     /* and neither */
		{ sizeof(flags) - 3, 0xff }, /* ends inside an entry */
		{ 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct observer *observer = NULL;
		struct snapshot snap;

		set_memory("NNN-");
		fixture_remove(&tree, "proc/kpageflags");
		memset(flags, rows[i].fill, sizeof(flags));
		if (!rows[i].size && rows[i].fill)
			fixture_mkdir(&tree, "proc/kpageflags");
		else
			fixture_write(&tree, "proc/kpageflags", flags, rows[i].size);
		assert_int_equal(observer_open(&options, &observer, NULL), 0);
		assert_int_equal(observer_source(observer), SOURCE_BUDDYINFO);
		assert_contains(observer_note(observer, 0) ? observer_note(observer, 0) : "",
				"BTF");
		assert_contains(observer_note(observer, 1) ? observer_note(observer, 1) : "",
				"/proc/kpageflags is not used: ");
		take(observer, SCAN_FULL, &snap);
		assert_int_equal(snap.source, SOURCE_BUDDYINFO);
		assert_int_equal(snap.zones[0].orders[10].free, 3);
		observer_close(observer);
		fixture_remove(&tree, "proc/kpageflags");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exchange, setup, teardown),
		cmocka_unit_test_setup_teardown(test_managed_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_node_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_totals_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_during_a_scan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_units, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_flags, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
