// SPDX-License-Identifier: GPL-2.0-only
/* The sentences of explain: what they say depends on the guest and on the daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/advice.h"
#include "fixture.h"

#define REASON "all zones: 3 MiB are reportable, start is 64 MiB"

/* What a test changes of a guest: 5.14 or later, a balloon that reports, order limit 9. */
struct guest {
	struct snapshot snap;
	struct reporting reporting;
	struct memory_counters counters;
	struct account account;
	struct daemon_state daemon;
	struct situation situation;
};

static struct guest guest;

/* DMA: 3328 free pages in orders 10 and 8, behind its gate; Normal: large and small extents. */
static int setup(void **state)
{
	struct zone_snapshot *const dma = &guest.snap.zones[0];
	struct zone_snapshot *const normal = &guest.snap.zones[1];

	(void)state;
	memset(&guest, 0, sizeof(guest));
	guest.snap = (struct snapshot){
		.depth = SCAN_FULL,
		.source = SOURCE_BPF,
		.page_size = 4096,
		.nr_orders = 11,
		.pageblock_order = 9,
		.reporting_order = 9,
		.nr_zones = 2,
	};
	snprintf(dma->info.name, sizeof(dma->info.name), "DMA");
	dma->info.low_wmark = 26;
	dma->info.free_pages = 3328;
	dma->orders[10].free = 3;
	dma->orders[8].free = 1;
	snprintf(normal->info.name, sizeof(normal->info.name), "Normal");
	normal->info.low_wmark = 400;
	normal->info.free_pages = 100000;
	normal->orders[9].free = 40;
	normal->orders[5].free = 1000;
	normal->orders[0].free = 10000;
	guest.reporting = (struct reporting){
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order = 9,
		.delay_ns = REPORTING_DELAY_NS,
	};
	guest.counters = (struct memory_counters){
		.known = (1U << USAGES) - 1,
		.managed = 200000,
		.present = 210000,
		.spanned = 210000,
		.boot_memmap = 3072,
	};
	guest.situation = (struct situation){
		.snap = &guest.snap,
		.reporting = &guest.reporting,
		.counters = &guest.counters,
		.account = &guest.account,
		.daemon = &guest.daemon,
	};
	return 0;
}

static void daemon_does(const char *action, bool controls)
{
	guest.daemon = (struct daemon_state){ .runs = true, .controls = controls };
	snprintf(guest.daemon.action, sizeof(guest.daemon.action), "%s", action);
	snprintf(guest.daemon.strategy, sizeof(guest.daemon.strategy), "threshold");
	snprintf(guest.daemon.reason, sizeof(guest.daemon.reason), REASON);
}

static const char *said(enum account_line line)
{
	static char text[ADVICE_TEXT];

	account_fill(&guest.snap, &guest.reporting, &guest.counters, &guest.account);
	return advice_text(&guest.situation, line, text);
}

static void assert_says(enum account_line line, const char *part)
{
	assert_contains(said(line), part);
}

static void assert_does_not_say(enum account_line line, const char *part)
{
	if (strstr(said(line), part))
		fail_msg("\"%s\" contains \"%s\"", said(line), part);
}

/* Every line says something, in one sentence that needs no end. */
static void test_all_lines(void **state)
{
	(void)state;
	for (int line = 0; line < ACCOUNT_LINES; line++) {
		const char *text = said((enum account_line)line);

		assert_true(strlen(text) > 10);
		assert_true(strlen(text) < ADVICE_TEXT - 1);
		assert_null(strchr(text, '\n'));
		assert_null(strstr(text, "  "));
		if (text[strlen(text) - 1] == '.' || text[strlen(text) - 1] == ' ')
			fail_msg("\"%s\"", text);
	}
}

static void test_in_use(void **state)
{
	(void)state;
	assert_says(ACCOUNT_ANON, "no swap");
	assert_says(ACCOUNT_CACHE_CLEAN, "vm.drop_caches=1");
	assert_says(ACCOUNT_SLAB_RECLAIMABLE, "vm.drop_caches=2");
	assert_does_not_say(ACCOUNT_SHMEM, "swap");
	guest.counters.swap_free = 2560;
	assert_says(ACCOUNT_ANON, "memory pressure moves it to swap (10 MiB left)");
	guest.situation.has_reclaim = true;
	assert_says(ACCOUNT_ANON, "memory.reclaim moves it to swap (10 MiB left)");
	assert_says(ACCOUNT_SHMEM, "memory.reclaim moves it to swap");
	assert_says(ACCOUNT_CACHE_CLEAN, "memory.reclaim");
	assert_does_not_say(ACCOUNT_CACHE_CLEAN, "drop_caches");
	assert_says(ACCOUNT_SLAB_RECLAIMABLE, "memory.reclaim");
}

static void test_other(void **state)
{
	(void)state;
	assert_says(ACCOUNT_OTHER, "the remainder");
	assert_does_not_say(ACCOUNT_OTHER, "swap cache");
	guest.counters.pages[USAGE_SWAP_CACHE] = 256;
	assert_says(ACCOUNT_OTHER, "up to 1 MiB is swap cache");
	guest.counters.pages[USAGE_ANON] = 300000;
	assert_says(ACCOUNT_OTHER, "below 0");
}

static void test_reported(void **state)
{
	(void)state;
	assert_says(ACCOUNT_REPORTED, "the host was told");
	guest.reporting.feature_poison = true; /* by init_on_free */
	assert_does_not_say(ACCOUNT_REPORTED, "may have to keep");
	guest.reporting.poisoned = true;
	assert_says(ACCOUNT_REPORTED, "may have to keep it: page poison");
}

static void test_reportable(void **state)
{
	(void)state;
	assert_says(ACCOUNT_REPORTABLE,
		    "2 s after a free of this size; \"sluice kick\" starts one");
	guest.reporting.delay_ns = 250000000;
	assert_says(ACCOUNT_REPORTABLE, "250 ms after");
	daemon_does("release", true);
	assert_says(ACCOUNT_REPORTABLE, "sluiced releases it: " REASON);
	daemon_does("hold", true);
	assert_says(ACCOUNT_REPORTABLE, "sluiced can't hold back at this order");
	assert_says(ACCOUNT_REPORTABLE, "sluice kick");
	/* a daemon that does not control refuses to kick */
	daemon_does("hold", false);
	assert_says(ACCOUNT_REPORTABLE, "sluiced starts none: " REASON);
	assert_does_not_say(ACCOUNT_REPORTABLE, "sluice kick");
}

/* 32000 pages in order 5 and 256 in order 8 are more than half of what is too small. */
static void test_too_small(void **state)
{
	(void)state;
	assert_says(ACCOUNT_SMALL, "order 5 would report 126 MiB of it");
	assert_says(ACCOUNT_SMALL, "page_reporting_order, then \"sluice kick\"");
	assert_says(ACCOUNT_SMALL, "vm.compact_memory=1");
	daemon_does("release", true);
	assert_says(ACCOUNT_SMALL, "threshold.order = 5 would report");
	assert_does_not_say(ACCOUNT_SMALL, "sluice kick");
	snprintf(guest.daemon.strategy, sizeof(guest.daemon.strategy), "burst");
	assert_says(ACCOUNT_SMALL, "burst.floor = 5 would report");
	snprintf(guest.daemon.strategy, sizeof(guest.daemon.strategy), "ladder");
	assert_says(ACCOUNT_SMALL, "ladder.idle_floor = 5 would report");
	/* which writes none */
	snprintf(guest.daemon.strategy, sizeof(guest.daemon.strategy), "kernel");
	assert_says(ACCOUNT_SMALL, "order 5 would report 126 MiB of it");
	assert_says(ACCOUNT_SMALL, "page_reporting_order, then");
	daemon_does("hold", true);
	assert_says(ACCOUNT_SMALL, "sluiced holds it: " REASON);
	assert_does_not_say(ACCOUNT_SMALL, "order 5");
	daemon_does("hold", false);
	assert_does_not_say(ACCOUNT_SMALL, "sluiced holds");
	assert_does_not_say(ACCOUNT_SMALL, "sluice kick");
	/* until 5.13 */
	guest.reporting.has_order = false;
	assert_says(ACCOUNT_SMALL, "no knob for a lower order");
	assert_says(ACCOUNT_SMALL, "vm.compact_memory=1");
	daemon_does("hold", true);
	assert_does_not_say(ACCOUNT_SMALL, "sluiced holds");
}

/* The highest order that serves half of it, gates as they would be then. */
static void test_advised_order(void **state)
{
	struct zone_snapshot *normal = &guest.snap.zones[1];

	(void)state;
	said(ACCOUNT_SMALL);
	assert_int_equal(advised_order(&guest.snap, &guest.account), 5);
	normal->orders[0].free = 100000;
	said(ACCOUNT_SMALL);
	assert_int_equal(advised_order(&guest.snap, &guest.account), 0);
	normal->orders[0].free = normal->orders[5].free = 0;
	said(ACCOUNT_SMALL); /* the 256 pages of order 8 in DMA, whose gate opens at 6 */
	assert_int_equal(advised_order(&guest.snap, &guest.account), 6);
	guest.snap.zones[0].orders[8].free = 0;
	said(ACCOUNT_SMALL);
	assert_int_equal(advised_order(&guest.snap, &guest.account), -1);
	normal->orders[5].free = 1000;
	guest.snap.source = SOURCE_BUDDYINFO;
	said(ACCOUNT_SMALL);
	assert_int_equal(advised_order(&guest.snap, &guest.account), -1);
	guest.snap.source = SOURCE_BPF;
	guest.snap.reporting_order = 0;
	said(ACCOUNT_SMALL);
	assert_int_equal(advised_order(&guest.snap, &guest.account), -1);
}

static void test_gate(void **state)
{
	(void)state;
	assert_says(ACCOUNT_GATED, "node 0 DMA must have more than 64.1 MiB free at order 9; "
				   "order 6 opens this gate");
	assert_does_not_say(ACCOUNT_GATED, "more zone");
	guest.snap.zones[1].info.node = 1;
	guest.snap.zones[1].info.free_pages = 16784; /* not more than 400 + (32 << 9) */
	assert_says(ACCOUNT_GATED, "node 1 Normal must have more than 65.6 MiB free at order 9; "
				   "order 8 opens this gate; 1 more zone");
	guest.snap.zones[1].info.free_pages = 300;
	assert_says(ACCOUNT_GATED, "no lower order opens it; 1 more zone");
	guest.reporting.has_order = false;
	assert_says(ACCOUNT_GATED, "there is no knob");
}

static void test_not_reportable(void **state)
{
	(void)state;
	guest.snap.reporting_order = 11;
	assert_says(ACCOUNT_HELD,
		    "above the highest order, 10: write 9 there, then \"sluice kick\"");
	daemon_does("hold", true);
	assert_says(ACCOUNT_HELD, "sluiced holds it: " REASON);
	daemon_does("hold", false);
	assert_says(ACCOUNT_HELD, "write 9 there");
	assert_does_not_say(ACCOUNT_HELD, "sluice kick");
	guest.reporting.feature_reporting = false;
	assert_says(ACCOUNT_HELD, "does not offer free page reporting: switch it on at the host");
	guest.reporting.driver_bound = false;
	assert_says(ACCOUNT_HELD, "modprobe virtio_balloon");
	guest.reporting = (struct reporting){ .backend = BACKEND_NONE };
	assert_says(ACCOUNT_HELD, "no balloon device");
	setup(NULL);
	guest.snap.reporting_order = -1;
	assert_says(ACCOUNT_HELD, "CONFIG_PAGE_REPORTING");
}

static void test_lists(void **state)
{
	(void)state;
	assert_does_not_say(ACCOUNT_LISTS, "sluice drain");
	guest.situation.has_drain = true;
	assert_says(ACCOUNT_LISTS, "\"sluice drain --prepare\"");
}

static void test_outside(void **state)
{
	char text[ADVICE_TEXT];

	(void)state;
	for (enum outside_line line = OUTSIDE_BALLOON; line < OUTSIDE_LINES; line++)
		assert_true(strlen(outside_text(&guest.situation, line, text)) > 10);
	outside_text(&guest.situation, OUTSIDE_RESERVED, text);
	assert_contains(text, "memory map (12 MiB),");
	assert_null(strstr(text, "virtio-mem"));
	guest.counters.boot_memmap = 0;
	guest.situation.virtio_mem = true;
	outside_text(&guest.situation, OUTSIDE_RESERVED, text);
	assert_contains(text, "memory map, what was");
	assert_contains(text, "virtio-mem");
}

static void assert_remark(enum remark remark, const char *part)
{
	char text[ADVICE_TEXT];

	said(ACCOUNT_ANON);
	remark_text(&guest.situation, remark, text);
	if (*part)
		assert_contains(text, part);
	else
		assert_string_equal(text, "");
}

static void test_remarks(void **state)
{
	(void)state;
	guest.snap.zones[0].info.free_pages = guest.snap.zones[1].info.free_pages = 199680;
	for (enum remark remark = REMARK_BELOW_0; remark < REMARKS; remark++)
		assert_remark(remark, "");
	guest.counters.pages[USAGE_UNEVICTABLE] = 256;
	assert_remark(REMARK_UNEVICTABLE, "1 MiB of what is in use can't be reclaimed");
	guest.snap.zones[1].info.nr_free[10] = 196;
	assert_remark(REMARK_ISOLATED, "4 MiB of what is free is isolated");
	guest.counters.known &= ~(1U << USAGE_HUGETLB | 1U << USAGE_SWAP_CACHE);
	assert_remark(REMARK_UNCOUNTED, "");
	guest.counters.known &= ~(1U << USAGE_STACKS | 1U << USAGE_SHMEM);
	assert_remark(REMARK_UNCOUNTED,
		      "this kernel does not have nr_shmem, nr_kernel_stack: what");
	guest.counters.pages[USAGE_ANON] = 200000;
	guest.counters.listed = 256;
	guest.snap.nr_zones = 0;
	assert_remark(REMARK_BELOW_0, "add up to 1 MiB too much");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all_lines, setup),
		cmocka_unit_test_setup(test_in_use, setup),
		cmocka_unit_test_setup(test_other, setup),
		cmocka_unit_test_setup(test_reported, setup),
		cmocka_unit_test_setup(test_reportable, setup),
		cmocka_unit_test_setup(test_too_small, setup),
		cmocka_unit_test_setup(test_advised_order, setup),
		cmocka_unit_test_setup(test_gate, setup),
		cmocka_unit_test_setup(test_not_reportable, setup),
		cmocka_unit_test_setup(test_lists, setup),
		cmocka_unit_test_setup(test_outside, setup),
		cmocka_unit_test_setup(test_remarks, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
