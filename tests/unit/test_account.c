// SPDX-License-Identifier: GPL-2.0-only
/* The account: what files say, what the lines become, and that they add up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/account.h"
#include "sluice/json.h"

#define FIXTURES SOURCE_DIR "/tests/unit/fixtures/observe/"
#define VMSTAT	 "proc/vmstat"
#define MEMINFO	 "proc/meminfo"
#define ZONEINFO "proc/zoneinfo"

static struct fixture tree;

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

/* --- files ------------------------------------------------------------------------------------ */

#define VMSTAT_5_10                                                                           \
	"nr_free_pages 400000\n"                                                              \
	"nr_zone_inactive_anon 7\nnr_unevictable 40\n"                                        \
	"nr_slab_reclaimable 300\nnr_slab_unreclaimable 200\n"                                \
	"nr_anon_pages 1000\nnr_mapped 12\nnr_file_pages 2000\nnr_dirty 30\nnr_writeback 4\n" \
	"nr_shmem 500\nnr_kernel_stack 1600\nnr_page_table_pages 60\nnr_zspages 3\n"          \
	"balloon_inflate 5000\nballoon_deflate 3000\nballoon_migrate 9\n"

#define VMSTAT_6_18                                                                 \
	"nr_unevictable 40\nnr_slab_reclaimable 300\nnr_slab_unreclaimable 200\n"   \
	"nr_anon_pages 1000\nnr_anon_transparent_hugepages 1\nnr_file_pages 2000\n" \
	"nr_dirty 30\nnr_writeback 4\nnr_shmem 500\nnr_shmem_hugepages 8\n"         \
	"nr_kernel_stack 1600\nnr_page_table_pages 60\nnr_sec_page_table_pages 5\n" \
	"nr_swapcached 77\nnr_balloon_pages 64\nnr_memmap_boot_pages 9000\n"        \
	"balloon_inflate 5000\nballoon_deflate 3000\n"

#define MEMINFO_TEXT                                                                        \
	"MemTotal:  2000 kB\nSwapCached:  308 kB\nSwapTotal: 8192 kB\nSwapFree:  4096 kB\n" \
	"HugePages_Total:  7\nHugetlb:  4096 kB\n"

static void put_zoneinfo(const char *version)
{
	char path[256], *text;

	snprintf(path, sizeof(path), FIXTURES "%s/zoneinfo", version);
	text = fixture_slurp(path);
	fixture_put(&tree, ZONEINFO, text);
	free(text);
}

static void assert_usages(const struct memory_counters *found, const uint64_t *wanted)
{
	for (int usage = 0; usage < USAGES; usage++)
		if (found->pages[usage] != wanted[usage])
			fail_msg("%s: %" PRIu64 " pages, not %" PRIu64,
				 usage_counter((enum usage)usage), found->pages[usage],
				 wanted[usage]);
}

static void test_usages(void **state)
{
	static const uint64_t old[USAGES] = {
		[USAGE_ANON] = 1000,
		[USAGE_FILE] = 2000,
		[USAGE_DIRTY] = 30,
		[USAGE_WRITEBACK] = 4,
		[USAGE_SHMEM] = 500,
		[USAGE_SWAP_CACHE] = 77,
		[USAGE_SLAB_RECLAIMABLE] = 300,
		[USAGE_SLAB_UNRECLAIMABLE] = 200,
		[USAGE_PAGE_TABLES] = 60,
		[USAGE_STACKS] = 400,
		[USAGE_HUGETLB] = 1024,
		[USAGE_ZSPAGES] = 3,
		[USAGE_BALLOON] = 2000,
		[USAGE_UNEVICTABLE] = 40,
	};
	struct memory_counters counters;
	uint64_t recent[USAGES];
	struct errmsg err = { "" };

	(void)state;
	fixture_put(&tree, VMSTAT, VMSTAT_5_10);
	fixture_put(&tree, MEMINFO, MEMINFO_TEXT);
	put_zoneinfo("5.10");
	assert_int_equal(counters_read(tree.root, &counters, &err), 0);
	assert_usages(&counters, old);
	assert_int_equal(counters.known, (1U << USAGES) - 1);
	assert_int_equal(counters.swap_free, 1024);
	assert_int_equal(counters.boot_memmap, 0);

	memcpy(recent, old, sizeof(recent));
	recent[USAGE_PAGE_TABLES] = 65; /* those of guests of this guest too */
	recent[USAGE_ZSPAGES] = 0;
	recent[USAGE_BALLOON] = 64; /* what is, not what came and went */
	fixture_put(&tree, VMSTAT, VMSTAT_6_18);
	assert_int_equal(counters_read(tree.root, &counters, &err), 0);
	assert_usages(&counters, recent);
	assert_int_equal(counters.known, ((1U << USAGES) - 1) & ~(1U << USAGE_ZSPAGES));
	assert_int_equal(counters.boot_memmap, 9000);
}

/* What the recorded kernels manage. */
static const struct recorded {
	const char *name;
	uint64_t managed;
} recorded[] = {
	{ "5.10", 2046464 },
	{ "6.1", 500982 },
	{ "6.18", 1366581 },
};

/* The sum of a number in every line that begins with @name, another way. */
static uint64_t sum_lines(const char *version, const char *name)
{
	char path[256], *text, *line, *save = NULL;
	uint64_t sum = 0, value;

	snprintf(path, sizeof(path), FIXTURES "%s/zoneinfo", version);
	text = fixture_slurp(path);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " ");
		if (!strncmp(line, name, strlen(name)) &&
		    sscanf(line + strlen(name), " %" SCNu64, &value) == 1)
			sum += value;
	}
	free(text);
	return sum;
}

static void test_zone_sums(void **state)
{
	(void)state;
	fixture_put(&tree, VMSTAT, VMSTAT_6_18);
	fixture_put(&tree, MEMINFO, MEMINFO_TEXT);
	for (size_t i = 0; i < ARRAY_SIZE(recorded); i++) {
		const struct recorded *row = &recorded[i];
		struct memory_counters counters;

		put_zoneinfo(row->name);
		assert_int_equal(counters_read(tree.root, &counters, NULL), 0);
		assert_int_equal(counters.managed, row->managed);
		assert_int_equal(counters.present, sum_lines(row->name, "present"));
		assert_int_equal(counters.listed, sum_lines(row->name, "count:"));
		assert_int_equal(counters.lag, sum_lines(row->name, "vm stats threshold:"));
		assert_true(counters.listed > 0 && counters.lag > 0);
	}
}

#define ZONE(name, spanned, present, managed)                                           \
	"Node 0, zone " name "\n  pages free 5\n        spanned  " spanned              \
	"\n        present  " present "\n        managed  " managed                     \
	"\n      nr_unaccepted 7\n  pagesets\n    cpu: 0\n              count:    11\n" \
	"              high:     999\n  vm stats threshold: 3\n"                        \
	"    cpu: 1\n              count: 31\n  vm stats threshold: 3\n  start_pfn: 0\n"

static void test_zones_without_memory(void **state)
{
	struct memory_counters counters;

	(void)state;
	fixture_put(&tree, VMSTAT, VMSTAT_6_18);
	fixture_put(&tree, MEMINFO, MEMINFO_TEXT);
	fixture_put(&tree, ZONEINFO,
		    ZONE("DMA", "100", "90", "80") ZONE("Device", "5000", "0", "0")
			    ZONE("Normal", "1000", "900", "800"));
	assert_int_equal(counters_read(tree.root, &counters, NULL), 0);
	assert_int_equal(counters.managed, 880);
	assert_int_equal(counters.present, 990);
	assert_int_equal(counters.spanned, 1100);
	assert_int_equal(counters.listed, 2 * 42);
	assert_int_equal(counters.unaccepted, 2 * 7);
	assert_int_equal(counters.lag, 2 * 6);
}

static void test_unreadable(void **state)
{
	static const char *const paths[] = { VMSTAT, MEMINFO, ZONEINFO };
	struct memory_counters counters;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct errmsg err = { "" };

		fixture_put(&tree, VMSTAT, VMSTAT_6_18);
		fixture_put(&tree, MEMINFO, MEMINFO_TEXT);
		put_zoneinfo("6.18");
		assert_int_equal(counters_read(tree.root, &counters, &err), 0);
		fixture_put(&tree, paths[i], "nothing 7\nof this kind\n");
		assert_int_equal(counters_read(tree.root, &counters, &err), -EINVAL);
		assert_contains(err.text, paths[i]);
		fixture_remove(&tree, paths[i]);
		assert_int_equal(counters_read(tree.root, &counters, &err), -ENOENT);
		assert_contains(err.text, paths[i]);
	}
}

/* --- lines ------------------------------------------------------------------------------------ */

static const struct reporting reports = {
	.backend = BACKEND_VIRTIO,
	.driver_bound = true,
	.feature_reporting = true,
	.has_order = true,
	.order = 9,
};

/*
 * Two zones: a small one behind its gate at order 9 (16384 pages and low), and a large one
 * with 16 extents of order 10, of which 6 are reported, 4 of order 9 and 100 pages.
 */
static struct snapshot two_zones(void)
{
	struct snapshot snap = {
		.depth = SCAN_FULL,
		.source = SOURCE_BPF,
		.page_size = 4096,
		.nr_orders = 11,
		.pageblock_order = 9,
		.reporting_order = 9,
		.nr_zones = 2,
	};
	struct zone_snapshot *dma = &snap.zones[0], *normal = &snap.zones[1];

	snprintf(dma->info.name, sizeof(dma->info.name), "DMA");
	dma->info.nr_orders = 11;
	dma->info.managed_pages = 3840;
	dma->info.low_wmark = 26;
	dma->info.free_pages = 3 * 1024 + 256;
	dma->orders[10] = (struct order_count){ .free = 3, .reported = 1 };
	dma->orders[8].free = 1;
	snprintf(normal->info.name, sizeof(normal->info.name), "Normal");
	normal->info.nr_orders = 11;
	normal->info.managed_pages = 100000;
	normal->info.low_wmark = 400;
	normal->info.free_pages = 16 * 1024 + 4 * 512 + 100;
	normal->orders[10] = (struct order_count){ .free = 16, .reported = 6 };
	normal->orders[9] = (struct order_count){ .free = 4 };
	normal->orders[0] = (struct order_count){ .free = 100, .reported = 10 };
	for (unsigned int z = 0; z < snap.nr_zones; z++)
		for (unsigned int o = 0; o < snap.nr_orders; o++)
			snap.zones[z].info.nr_free[o] = snap.zones[z].orders[o].free;
	return snap;
}

static const struct memory_counters plain = {
	.pages = {
		[USAGE_ANON] = 20000,
		[USAGE_FILE] = 12000,
		[USAGE_DIRTY] = 300,
		[USAGE_WRITEBACK] = 100,
		[USAGE_SHMEM] = 2000,
		[USAGE_SWAP_CACHE] = 1000,
		[USAGE_SLAB_RECLAIMABLE] = 3000,
		[USAGE_SLAB_UNRECLAIMABLE] = 2500,
		[USAGE_PAGE_TABLES] = 700,
		[USAGE_STACKS] = 90,
		[USAGE_HUGETLB] = 1024,
		[USAGE_ZSPAGES] = 50,
		[USAGE_BALLOON] = 600,
		[USAGE_UNEVICTABLE] = 44,
	},
	.known = (1U << USAGES) - 1,
	.managed = 103840,
	.present = 110000,
	.spanned = 150000,
	.listed = 321,
	.unaccepted = 77,
};

struct expected {
	int64_t pages[ACCOUNT_LINES];
};

/* What is common to the cases below; OTHER is what is left. */
static const struct expected base = { {
	[ACCOUNT_ANON] = 20000,
	[ACCOUNT_CACHE_CLEAN] = 12000 - 2000 - 1000 - 400,
	[ACCOUNT_CACHE_DIRTY] = 400,
	[ACCOUNT_SHMEM] = 2000,
	[ACCOUNT_HUGETLB] = 1024,
	[ACCOUNT_ZSPAGES] = 50,
	[ACCOUNT_SLAB_RECLAIMABLE] = 3000,
	[ACCOUNT_SLAB_UNRECLAIMABLE] = 2500,
	[ACCOUNT_PAGE_TABLES] = 700,
	[ACCOUNT_STACKS] = 90,
	[ACCOUNT_REPORTED] = 7 * 1024 + 10,
	[ACCOUNT_REPORTABLE] = 10 * 1024 + 4 * 512,
	[ACCOUNT_SMALL] = 256 + 90,
	[ACCOUNT_GATED] = 2 * 1024,
	[ACCOUNT_LISTS] = 321,
	[ACCOUNT_UNACCEPTED] = 77,
} };

static void assert_account(const struct account *found, struct expected wanted)
{
	int64_t sum = 0;

	wanted.pages[ACCOUNT_OTHER] = 0;
	for (int line = 0; line < ACCOUNT_LINES; line++)
		sum += wanted.pages[line];
	wanted.pages[ACCOUNT_OTHER] = (int64_t)found->managed - sum;
	for (int line = 0; line < ACCOUNT_LINES; line++)
		if (found->pages[line] != wanted.pages[line])
			fail_msg("line %d: %" PRId64 " pages, not %" PRId64, line,
				 found->pages[line], wanted.pages[line]);
}

static void test_lines(void **state)
{
	const struct snapshot snap = two_zones();
	struct account account;

	(void)state;
	account_fill(&snap, &reports, &plain, &account);
	assert_account(&account, base);
	assert_int_equal(account.managed, 103840);
	assert_int_equal(account.reporting, ACCOUNT_ON);
	assert_int_equal(account.ballooned, 600);
	assert_int_equal(account.reserved, 110000 - 103840 - 600);
	assert_int_equal(account.holes, 40000);
	assert_int_equal(account.isolated, 0);
	assert_int_equal(account.known, (1U << ACCOUNT_LINES) - 1);
	assert_int_equal(zone_gated_pages(&snap, &snap.zones[0]), 2 * 1024);
	assert_int_equal(zone_gated_pages(&snap, &snap.zones[1]), 0);
}

/* The gate is that of the live limit: a lower one lets the small zone in, and the small extents. */
static void test_lower_limit(void **state)
{
	struct snapshot snap = two_zones();
	struct expected wanted = base;
	struct account account;

	(void)state;
	snap.reporting_order = 6; /* 26 + 2048 pages are less than 3328 */
	wanted.pages[ACCOUNT_GATED] = 0;
	wanted.pages[ACCOUNT_SMALL] = 90;
	wanted.pages[ACCOUNT_REPORTABLE] += 2 * 1024 + 256;
	account_fill(&snap, &reports, &plain, &account);
	assert_account(&account, wanted);
	/* as is told elsewhere */
	assert_int_equal(account.pages[ACCOUNT_REPORTABLE] * 4096,
			 snapshot_reportable(&snap, 6, false));
}

static void test_all_gates_shut(void **state)
{
	struct snapshot snap = two_zones();
	struct expected wanted = base;
	struct account account;

	(void)state;
	snap.zones[1].info.reserved_highatomic = 10000;
	wanted.pages[ACCOUNT_GATED] += wanted.pages[ACCOUNT_REPORTABLE];
	wanted.pages[ACCOUNT_REPORTABLE] = 0;
	account_fill(&snap, &reports, &plain, &account);
	assert_account(&account, wanted);
}

/* What is not reported is all in one line, whatever its order and its zone. */
static void assert_nothing_reportable(const struct snapshot *snap,
				      const struct reporting *reporting, enum account_reporting why)
{
	struct expected wanted = base;
	struct account account;

	wanted.pages[ACCOUNT_HELD] = wanted.pages[ACCOUNT_REPORTABLE] +
				     wanted.pages[ACCOUNT_GATED] + wanted.pages[ACCOUNT_SMALL];
	wanted.pages[ACCOUNT_REPORTABLE] = 0;
	wanted.pages[ACCOUNT_GATED] = 0;
	wanted.pages[ACCOUNT_SMALL] = 0;
	account_fill(snap, reporting, &plain, &account);
	assert_account(&account, wanted);
	assert_int_equal(account.reporting, why);
}

static void test_not_reportable(void **state)
{
	struct snapshot snap = two_zones();
	struct reporting without = reports;

	(void)state;
	snap.reporting_order = 11;
	assert_nothing_reportable(&snap, &reports, ACCOUNT_LIMITED_OUT);
	snap.reporting_order = INT16_MAX;
	assert_nothing_reportable(&snap, &reports, ACCOUNT_LIMITED_OUT);
	snap.reporting_order = -1;
	assert_nothing_reportable(&snap, &reports, ACCOUNT_OFF);
	snap.reporting_order = 9;
	without.feature_reporting = false;
	assert_nothing_reportable(&snap, &without, ACCOUNT_OFF);
	without = (struct reporting){ .backend = BACKEND_NONE };
	assert_nothing_reportable(&snap, &without, ACCOUNT_OFF);
}

static void test_totals_only(void **state)
{
	struct snapshot snap = two_zones();
	struct expected wanted = base;
	struct account account;

	(void)state;
	snap.source = SOURCE_BUDDYINFO;
	for (unsigned int z = 0; z < 2; z++)
		for (unsigned int o = 0; o < 11; o++)
			snap.zones[z].orders[o].reported = 0;
	wanted.pages[ACCOUNT_REPORTED] = 0;
	wanted.pages[ACCOUNT_REPORTABLE] = 0;
	wanted.pages[ACCOUNT_GATED] = 0;
	wanted.pages[ACCOUNT_SMALL] = 256 + 100;
	wanted.pages[ACCOUNT_UNSEEN] = 19 * 1024 + 4 * 512;
	account_fill(&snap, &reports, &plain, &account);
	assert_account(&account, wanted);
	assert_false(account_knows(&account, ACCOUNT_REPORTED));
	assert_false(account_knows(&account, ACCOUNT_REPORTABLE));
	assert_false(account_knows(&account, ACCOUNT_GATED));
	assert_true(account_knows(&account, ACCOUNT_SMALL));
	assert_true(account_knows(&account, ACCOUNT_LISTS));
	/* what was reported before reporting was held is no smaller */
	snap.reporting_order = 11;
	wanted.pages[ACCOUNT_UNSEEN] += wanted.pages[ACCOUNT_SMALL];
	wanted.pages[ACCOUNT_SMALL] = 0;
	account_fill(&snap, &reports, &plain, &account);
	assert_account(&account, wanted);
}

/* Inflated pages are managed where the guest may take them back, and only there. */
static void test_balloon(void **state)
{
	const struct snapshot snap = two_zones();
	struct reporting takes_back = reports;
	struct memory_counters odd = plain;
	struct expected wanted = base;
	struct account account;

	(void)state;
	takes_back.feature_deflate_on_oom = true;
	wanted.pages[ACCOUNT_BALLOON] = 600;
	account_fill(&snap, &takes_back, &plain, &account);
	assert_account(&account, wanted);
	assert_int_equal(account.ballooned, 0);
	assert_int_equal(account.reserved, 110000 - 103840);
	/* a driver that leaves them managed though it does not say so */
	odd.pages[USAGE_BALLOON] = 50000;
	account_fill(&snap, &reports, &odd, &account);
	assert_account(&account, base);
	assert_int_equal(account.ballooned, 110000 - 103840);
	assert_int_equal(account.reserved, 0);
}

/* Counters that overlap, or were read at different moments, make no line wrap around. */
static void test_page_cache(void **state)
{
	static const struct {
		uint64_t file, shmem, swap_cache, dirty, writeback;
		int64_t clean, not_clean;
	} rows[] = {
		{ 1000, 100, 50, 30, 5, 815, 35 },
		{ 1000, 100, 50, 800, 700, 0, 850 }, /* both dirty and under writeback */
		{ 1000, 1000, 0, 0, 0, 0, 0 },
		{ 1000, 900, 200, 10, 0, 0, 0 },
		{ 0, 0, 0, 0, 7, 0, 0 }, /* swap cache is written back too */
	};
	const struct snapshot snap = two_zones();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct memory_counters counters = plain;
		struct expected wanted = base;
		struct account account;

		counters.pages[USAGE_FILE] = rows[i].file;
		counters.pages[USAGE_SHMEM] = rows[i].shmem;
		counters.pages[USAGE_SWAP_CACHE] = rows[i].swap_cache;
		counters.pages[USAGE_DIRTY] = rows[i].dirty;
		counters.pages[USAGE_WRITEBACK] = rows[i].writeback;
		wanted.pages[ACCOUNT_SHMEM] = (int64_t)rows[i].shmem;
		wanted.pages[ACCOUNT_CACHE_CLEAN] = rows[i].clean;
		wanted.pages[ACCOUNT_CACHE_DIRTY] = rows[i].not_clean;
		account_fill(&snap, &reports, &counters, &account);
		assert_account(&account, wanted);
	}
}

/* A counter that a kernel lacks: its pages are in the remainder, and its line is not known. */
static void test_uncounted(void **state)
{
	const struct snapshot snap = two_zones();
	struct memory_counters counters = plain;
	struct account all, account;

	(void)state;
	account_fill(&snap, &reports, &plain, &all);
	counters.known &= ~(1U << USAGE_PAGE_TABLES | 1U << USAGE_FILE);
	counters.pages[USAGE_PAGE_TABLES] = counters.pages[USAGE_FILE] = 0;
	account_fill(&snap, &reports, &counters, &account);
	assert_false(account_knows(&account, ACCOUNT_PAGE_TABLES));
	assert_false(account_knows(&account, ACCOUNT_CACHE_CLEAN));
	assert_false(account_knows(&account, ACCOUNT_CACHE_DIRTY));
	assert_true(account_knows(&account, ACCOUNT_SHMEM));
	assert_int_equal(account.pages[ACCOUNT_OTHER] - all.pages[ACCOUNT_OTHER], 700 + 9000);
}

/* Memory that moves while it is counted may be counted twice: the remainder shows it. */
static void test_race(void **state)
{
	const struct snapshot snap = two_zones();
	struct memory_counters counters = plain;
	struct account before, account;

	(void)state;
	account_fill(&snap, &reports, &plain, &before);
	assert_true(before.pages[ACCOUNT_OTHER] > 0);
	counters.pages[USAGE_ANON] += (uint64_t)before.pages[ACCOUNT_OTHER] + 17;
	account_fill(&snap, &reports, &counters, &account);
	assert_int_equal(account.pages[ACCOUNT_OTHER], -17);
	assert_int_equal(account.managed, before.managed);
}

static void test_isolated(void **state)
{
	static const struct {
		uint64_t missing, lag, isolated; /* pages */
	} rows[] = {
		{ 0, 0, 0 },	 { 511, 0, 0 },	    { 512, 0, 512 },
		{ 600, 100, 0 }, { 612, 100, 612 }, { 8192, 100, 8192 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct snapshot snap = two_zones();
		struct memory_counters counters = plain;
		struct account account;

		snap.zones[0].info.free_pages += 100000; /* no zone makes up for another */
		snap.zones[1].info.free_pages -= rows[i].missing;
		counters.lag = rows[i].lag;
		account_fill(&snap, &reports, &counters, &account);
		assert_int_equal(account.isolated, rows[i].isolated);
	}
}

static uint64_t random_below(uint64_t *seed, uint64_t limit)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (*seed >> 33) % limit;
}

/* Whatever the numbers are, the lines are managed's parts, and free ones are what was found. */
static void test_sums(void **state)
{
	uint64_t seed = 20261121;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct snapshot snap = two_zones();
		struct memory_counters counters = plain;
		struct reporting reporting = reports;
		int64_t sum = 0, free_sum = 0, found = 0;
		struct account account;

		for (int usage = 0; usage < USAGES; usage++)
			counters.pages[usage] = random_below(&seed, 30000);
		counters.known = (uint32_t)random_below(&seed, 1U << USAGES);
		counters.managed = random_below(&seed, 200000);
		snap.reporting_order = (int)random_below(&seed, 14) - 1;
		snap.source = random_below(&seed, 4) ? SOURCE_BPF : SOURCE_BUDDYINFO;
		reporting.feature_reporting = random_below(&seed, 5);
		reporting.feature_deflate_on_oom = random_below(&seed, 2);
		for (unsigned int z = 0; z < snap.nr_zones; z++) {
			for (unsigned int o = 0; o < snap.nr_orders; o++) {
				struct order_count *count = &snap.zones[z].orders[o];

				count->free = random_below(&seed, 100);
				count->reported = snap.source == SOURCE_BPF ?
							  random_below(&seed, count->free + 1) :
							  0;
				found += (int64_t)(count->free << o);
			}
			snap.zones[z].info.free_pages = random_below(&seed, 100000);
		}
		account_fill(&snap, &reporting, &counters, &account);
		for (int line = 0; line < ACCOUNT_LINES; line++) {
			sum += account.pages[line];
			free_sum += line >= ACCOUNT_FIRST_FREE ? account.pages[line] : 0;
			assert_true(account.pages[line] >= 0 || line == ACCOUNT_OTHER);
			assert_true(!account.pages[line] ||
				    account_knows(&account, (enum account_line)line));
		}
		assert_int_equal(sum, counters.managed);
		assert_int_equal(free_sum - (int64_t)(counters.listed + counters.unaccepted),
				 found);
	}
}

/* --- through JSON ----------------------------------------------------------------------------- */

static void test_snapshot_through_json(void **state)
{
	static const enum scan_source sources[] = { SOURCE_BPF, SOURCE_KPAGEFLAGS,
						    SOURCE_BUDDYINFO };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		struct snapshot snap = two_zones(), read;
		struct errmsg err = { "" };
		json_t *json;

		snap.source = sources[i];
		snap.cost_ns = 12345;
		snap.zones[1].info.node = 3;
		snap.zones[1].info.start_pfn = 1 << 20;
		snap.zones[1].info.reserved_highatomic = 2048;
		snap.zones[1].info.nr_free[0] = 90;
		snap.zones[1].drift = -10;
		snap.reporting_order = i ? 11 : -1;
		if (sources[i] == SOURCE_BUDDYINFO)
			for (unsigned int z = 0; z < 2; z++)
				for (unsigned int o = 0; o < 11; o++)
					snap.zones[z].orders[o].reported = 0;
		json = snapshot_json(&snap);
		memset(&read, 0xff, sizeof(read));
		if (snapshot_from_json(json, &read, &err))
			fail_msg("%s", err.text);
		json_decref(json);
		assert_memory_equal(&read, &snap, sizeof(snap));
	}
}

/* Each of these is missing in the answer of some daemon that is not ours. */
static void test_bad_json(void **state)
{
	static const char *const top[] = { "source", "page_size", "pageblock_order", "zones" };
	static const char *const zone[] = { "managed_bytes", "low_bytes", "highatomic_bytes",
					    "free_bytes", "orders" };
	static const char *const order[] = { "order", "free_extents", "nr_free" };
	const struct snapshot snap = two_zones();
	struct snapshot read, untouched;

	(void)state;
	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t i = 0; i < ARRAY_SIZE(top) + ARRAY_SIZE(zone) + ARRAY_SIZE(order); i++) {
		struct errmsg err = { "" };
		json_t *json = snapshot_json(&snap), *at = json;
		const char *key;

		if (i < ARRAY_SIZE(top)) {
			key = top[i];
		} else {
			at = json_array_get(json_object_get(json, "zones"), 1);
			key = zone[(i - ARRAY_SIZE(top)) % ARRAY_SIZE(zone)];
		}
		if (i >= ARRAY_SIZE(top) + ARRAY_SIZE(zone)) {
			at = json_array_get(json_object_get(at, "orders"), 4);
			key = order[i - ARRAY_SIZE(top) - ARRAY_SIZE(zone)];
		}
		assert_int_equal(json_object_del(at, key), 0);
		read = untouched;
		if (snapshot_from_json(json, &read, &err) != -EBADMSG)
			fail_msg("without \"%s\" it was read", key);
		assert_contains(err.text, "restart sluiced");
		assert_memory_equal(&read, &untouched, sizeof(read));
		json_decref(json);
	}
}

static void test_reporting_through_json(void **state)
{
	struct reporting all = reports, read;
	json_t *json;

	(void)state;
	snprintf(all.device, sizeof(all.device), "virtio3");
	all.feature_poison = all.poisoned = all.feature_deflate_on_oom = all.off_value =
		all.has_delay = true;
	all.delay_ns = 250000000;
	json = reporting_json(&all);
	reporting_from_json(json, &read);
	json_decref(json);
	assert_int_equal(reporting_usable(&read, NULL), 0);
	assert_string_equal(read.device, "virtio3");
	assert_true(read.feature_poison && read.poisoned && read.feature_deflate_on_oom &&
		    read.off_value);
	assert_true(read.has_order && read.has_delay && read.driver_bound);
	assert_int_equal(read.order, 9);
	assert_int_equal(read.delay_ns, all.delay_ns);
	reporting_from_json(NULL, &read);
	assert_int_equal(reporting_usable(&read, NULL), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_usages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zone_sums, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zones_without_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lower_limit),
		cmocka_unit_test(test_all_gates_shut),
		cmocka_unit_test(test_not_reportable),
		cmocka_unit_test(test_totals_only),
		cmocka_unit_test(test_balloon),
		cmocka_unit_test(test_page_cache),
		cmocka_unit_test(test_uncounted),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_isolated),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_snapshot_through_json),
		cmocka_unit_test(test_bad_json),
		cmocka_unit_test(test_reporting_through_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
