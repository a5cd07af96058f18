// SPDX-License-Identifier: GPL-2.0-only
/* The guest's load, from files of several kernels. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "observe/page_poison.h"
#include "sluice/blockmap.h"
#include "sluice/pressure.h"
#include "sluice/reporting.h"
#include "sluice/units.h"

#define VMSTAT "proc/vmstat"
#define STAT   "proc/stat"
#define PSI    "proc/pressure/memory"

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

/* As 6.12 has them: families by zone, and names that only begin alike. */
static const char new_vmstat[] = "nr_free_pages 1000\n"
				 "workingset_nodes 7\n"
				 "workingset_refault_anon 10\n"
				 "workingset_refault_file 200\n"
				 "pswpin 3\n"
				 "pswpout 4\n"
				 "pgalloc_dma 1\n"
				 "pgalloc_dma32 20\n"
				 "pgalloc_normal 300\n"
				 "pgalloc_movable 4000\n"
				 "allocstall_dma 1\n"
				 "allocstall_normal 20\n"
				 "allocstall_movable 300\n"
				 "compact_stall 5\n"
				 "compact_fail 6\n"
				 "oom_kill 2\n";

static const char stat_text[] = "cpu  100 20 30 1000 400 5 6 70 8 9\n"
				"cpu0 100 20 30 1000 400 5 6 70 8 9\n";

static const char psi_text[] = "some avg10=0.00 avg60=0.10 avg300=1.00 total=12345\n"
			       "full avg10=0.00 avg60=0.00 avg300=0.00 total=678\n";

static void test_read(void **state)
{
	struct pressure_totals totals;

	(void)state;
	fixture_put(&tree, VMSTAT, new_vmstat);
	fixture_put(&tree, STAT, stat_text);
	fixture_put(&tree, PSI, psi_text);
	assert_int_equal(pressure_read(tree.root, 42, &totals, NULL), 0);
	assert_int_equal(totals.time_ns, 42);
	assert_int_equal(totals.alloc_pages, 4321);
	assert_int_equal(totals.refaults, 210);
	assert_int_equal(totals.swap_ins, 3);
	assert_int_equal(totals.alloc_stalls, 321);
	assert_int_equal(totals.compact_stalls, 5);
	assert_int_equal(totals.oom_kills, 2);
	assert_true(totals.has_psi);
	assert_int_equal(totals.psi_some_us, 12345);
	assert_int_equal(totals.psi_full_us, 678);
	/* user nice system irq softirq; not idle, iowait, steal; guest is part of user */
	assert_int_equal(totals.cpu_busy, 161);
	assert_int_equal(totals.cpu_all, 1631);
}

/* Nothing but vmstat, with the one refault counter of 5.8 and before. */
static void test_old(void **state)
{
	struct pressure_totals totals;

	(void)state;
	fixture_remove(&tree, STAT);
	fixture_remove(&tree, PSI);
	fixture_put(&tree, VMSTAT, "workingset_refault 5\npgalloc_normal 7\n");
	assert_int_equal(pressure_read(tree.root, 1, &totals, NULL), 0);
	assert_int_equal(totals.refaults, 5);
	assert_int_equal(totals.alloc_pages, 7);
	assert_false(totals.has_psi);
	assert_int_equal(totals.cpu_all, 0);
}

static void test_bad(void **state)
{
	static const struct {
		const char *vmstat;
		int code;
		const char *message;
	} rows[] = {
		{ NULL, -ENOENT, "/proc/vmstat: cannot open" },
		{ "pgalloc_normal\n", -EINVAL, "/proc/vmstat: \"pgalloc_normal\": no counter" },
		{ "pgalloc_normal x\n", -EINVAL, "no counter" },
		{ "pswpin 3\n", -EINVAL, "/proc/vmstat: no pgalloc_* counters" },
		{ "", -EINVAL, "no pgalloc_* counters" },
	};
	struct pressure_totals totals, before;
	struct errmsg err;

	(void)state;
	memset(&totals, 0xa5, sizeof(totals));
	before = totals;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].vmstat)
			fixture_put(&tree, VMSTAT, rows[i].vmstat);
		else
			fixture_remove(&tree, VMSTAT);
		assert_int_equal(pressure_read(tree.root, 1, &totals, &err), rows[i].code);
		assert_contains(err.text, rows[i].message);
		assert_memory_equal(&totals, &before, sizeof(totals));
	}
}

/* Files that are there but strange are as if they were not. */
static void test_strange(void **state)
{
	static const char *const psi[] = { "", "some total=5\n", "some a b c total=x\nfull\n" };
	static const char *const stat[] = { "", "cpu 1 2 3\n", "intr 5\n" };
	struct pressure_totals totals;

	(void)state;
	fixture_put(&tree, VMSTAT, new_vmstat);
	for (size_t i = 0; i < ARRAY_SIZE(psi); i++) {
		fixture_put(&tree, PSI, psi[i]);
		fixture_put(&tree, STAT, stat[i]);
		assert_int_equal(pressure_read(tree.root, 1, &totals, NULL), 0);
		assert_false(totals.has_psi);
		assert_int_equal(totals.cpu_all, 0);
	}
}

static const struct pressure_totals then = {
	.time_ns = 10 * NSEC_PER_SEC,
	.has_psi = true,
	.psi_some_us = 1000,
	.psi_full_us = 500,
	.cpu_busy = 100,
	.cpu_all = 1000,
	.alloc_pages = 1000,
	.refaults = 10,
	.swap_ins = 20,
	.alloc_stalls = 30,
	.compact_stalls = 40,
};

static void test_between(void **state)
{
	struct pressure_totals now = then;
	struct activity activity;

	(void)state;
	now.time_ns += 2 * NSEC_PER_SEC;
	now.psi_some_us += 500000;
	now.psi_full_us += 200000;
	now.cpu_busy += 150;
	now.cpu_all += 200;
	now.alloc_pages += 512;
	now.refaults += 1;
	now.swap_ins += 2;
	now.alloc_stalls += 3;
	now.compact_stalls += 4;
	pressure_between(&then, &now, 4096, &activity);
	assert_int_equal(activity.span_ns, 2 * NSEC_PER_SEC);
	assert_int_equal(activity.alloc_rate, MIB);
	assert_true(activity.cpu > 0.749 && activity.cpu < 0.751);
	assert_true(activity.has_psi);
	assert_true(activity.psi_some > 0.249 && activity.psi_some < 0.251);
	assert_true(activity.psi_full > 0.099 && activity.psi_full < 0.101);
	assert_int_equal(activity.refaults, 1);
	assert_int_equal(activity.swap_ins, 2);
	assert_int_equal(activity.alloc_stalls, 3);
	assert_int_equal(activity.compact_stalls, 4);
	assert_int_equal(activity.reported + activity.reused, 0);
}

/* What sluice itself waited for is not the guest's. */
static void test_own(void **state)
{
	struct activity activity = {
		.span_ns = NSEC_PER_SEC, .has_psi = true, .psi_some = 0.25, .psi_full = 0.05
	};
	struct activity unknown = { 0 };

	(void)state;
	pressure_leave_out(&activity, 0);
	assert_true(activity.psi_some > 0.249 && activity.psi_full > 0.049);
	pressure_leave_out(&activity, 100 * NSEC_PER_MSEC);
	assert_true(activity.psi_some > 0.149 && activity.psi_some < 0.151);
	assert_true(activity.psi_full == 0);
	pressure_leave_out(&activity, 2 * NSEC_PER_SEC);
	assert_true(activity.psi_some == 0);
	pressure_leave_out(&unknown, NSEC_PER_SEC);
	assert_true(unknown.psi_some == 0 && !unknown.has_psi);
}

/* Whatever runs backwards was not counted by the same kernel: nothing is known. */
static void test_backwards(void **state)
{
	struct pressure_totals now, none = { 0 };
	struct activity activity;

	(void)state;
	now = then;
	pressure_between(&then, &now, 4096, &activity); /* no time passed */
	assert_int_equal(activity.span_ns, 0);
	pressure_between(&none, &now, 4096, &activity); /* the first reading */
	assert_int_equal(activity.span_ns, 0);
	now.time_ns++;
	pressure_between(&then, &now, 4096, &activity);
	assert_int_equal(activity.span_ns, 1);
	now.alloc_pages--;
	pressure_between(&then, &now, 4096, &activity);
	assert_int_equal(activity.span_ns, 0);
	assert_int_equal(activity.alloc_rate, 0);
	/* idle may run backwards, and then the share is not known */
	now = then;
	now.time_ns += NSEC_PER_SEC;
	now.cpu_all -= 5;
	pressure_between(&then, &now, 4096, &activity);
	assert_int_equal(activity.span_ns, NSEC_PER_SEC);
	assert_true(activity.cpu == 0);
	/* PSI that comes or goes */
	now.has_psi = false;
	pressure_between(&then, &now, 4096, &activity);
	assert_false(activity.has_psi);
	assert_true(activity.psi_some == 0);
}

static void test_trigger(void **state)
{
	struct errmsg err;

	(void)state;
	fixture_remove(&tree, PSI);
	assert_int_equal(pressure_trigger(tree.root, 1000, 1000000, &err), -ENOENT);
	assert_contains(err.text, "/proc/pressure/memory: cannot be opened: No such file");
}

/* --- the churn of the map --------------------------------------------------------------------- */

static void test_churn(void **state)
{
	static struct sluice_zone_times times[SLUICE_MAX_ZONES];
	const struct blockmap map = { .pageblock_order = 9, .times = times };
	static const struct {
		uint64_t ticks;
		double blocks, faded;
	} rows[] = {
		{ 0, 0, 0 },
		{ 1, 1, 0.607 },	 /* e^-(0.5/1) */
		{ 4, 1, 0.882 },	 /* the next bucket begins there */
		{ 6, 2, 0.920 + 0.435 }, /* half of it, in the middle of 4 and 6 */
		{ 8, 3, 0.939 + 2 * 0.472 },
		{ 16, 7, 0.969 + 2 * 0.687 + 4 * 0.472 },
		{ UINT64_MAX >> SLUICE_TICK_SHIFT, 7, 7 },
	};
	struct churn churn;

	(void)state;
	times[0].reported = 10;
	times[2].reported = 5;
	times[0].reuse[0] = 1; /* below 1 tick */
	times[0].reuse[3] = 2; /* 4 ticks to 8 */
	times[2].reuse[4] = 4; /* 8 ticks to 16 */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		blockmap_churn(&map, rows[i].ticks << SLUICE_TICK_SHIFT, &churn);
		assert_int_equal(churn.reported, 15 * 512);
		assert_int_equal(churn.reused, (uint64_t)(rows[i].blocks * 512));
		if (fabs((double)churn.faded / 512 - rows[i].faded) > 0.01)
			fail_msg("%" PRIu64 " ticks: %f blocks", rows[i].ticks,
				 (double)churn.faded / 512);
	}
}

/* --- whether free pages hold a pattern -------------------------------------------------------- */

#define WITHOUT "ffffffffbb926c40 T kernel_poison\n"
#define WITH	WITHOUT "0000000000000000 T __kernel_poison_pages\nffffffffbb927400 t poison_show\n"
#define OLD	"ffffffff812b1290 T kernel_poison_pages\n"
#define OTHER	"ffffffff812b1290 t __kernel_poison_pages.cold\nffff T a_kernel_poison_pages\n"

static void test_poison(void **state)
{
	static const struct {
		const char *cmdline, *symbols;
		bool on;
	} rows[] = {
		{ "root=/dev/vda1 quiet\n", WITH, false },
		{ "page_poison=1\n", WITH, true },
		{ "a page_poison=on b\n", WITH, true },
		{ "page_poison=yes\n", OLD, true },
		{ "page_poison=0\n", WITH, false },
		{ "page_poison=off\n", WITH, false },
		{ "page_poison=\n", WITH, false },
		{ "no_page_poison=1\n", WITH, false },
		{ "page_poison=1 page_poison=0\n", WITH, false },
		{ "init_on_free=1\n", WITH, false },
		/* what the kernel does not have it ignores */
		{ "page_poison=1 init_on_free=1\n", WITHOUT, false },
		{ "page_poison=1 init_on_free=1\n", OTHER, false },
		{ "page_poison=1\n", "", true }, /* not known */
		{ "page_poison=1\n", NULL, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fixture_put(&tree, "proc/cmdline", rows[i].cmdline);
		if (rows[i].symbols)
			fixture_put(&tree, "proc/kallsyms", rows[i].symbols);
		else
			fixture_remove(&tree, "proc/kallsyms");
		if (page_poison_is_on(tree.root) != rows[i].on)
			fail_msg("%s%s", rows[i].cmdline, rows[i].symbols);
	}
}

static void test_poisoned(void **state)
{
	static const struct {
		bool page_poison, feature, poisoned;
	} rows[] = {
		{ true, true, true },
		{ false, true, false }, /* init_on_free */
		{ true, false, false }, /* the host knows nothing of it */
		{ false, false, false },
	};

	(void)state;
	fixture_put(&tree, "sys/bus/virtio/devices/virtio0/device", "0x0005\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct topology topology = { .kernel_version = 6012,
						   .page_poison = rows[i].page_poison };
		struct reporting reporting;

		fixture_put(&tree, "sys/bus/virtio/devices/virtio0/features",
			    rows[i].feature ? "0110110000000000\n" : "0110010000000000\n");
		reporting_read(tree.root, &topology, &reporting);
		assert_int_equal(reporting.feature_poison, rows[i].feature);
		assert_int_equal(reporting.poisoned, rows[i].poisoned);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),	  cmocka_unit_test(test_old),
		cmocka_unit_test(test_bad),	  cmocka_unit_test(test_strange),
		cmocka_unit_test(test_between),	  cmocka_unit_test(test_own),
		cmocka_unit_test(test_backwards), cmocka_unit_test(test_trigger),
		cmocka_unit_test(test_churn),	  cmocka_unit_test(test_poison),
		cmocka_unit_test(test_poisoned),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
