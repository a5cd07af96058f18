// SPDX-License-Identifier: GPL-2.0-only
/* Who has the guest's memory. Arithmetic only. */
#include "sluice/account.h"

#include <stddef.h>

/* Lines that are one counter each. */
static const struct {
	enum account_line line;
	enum usage usage;
} counted[] = {
	{ ACCOUNT_ANON, USAGE_ANON },
	{ ACCOUNT_SHMEM, USAGE_SHMEM },
	{ ACCOUNT_HUGETLB, USAGE_HUGETLB },
	{ ACCOUNT_ZSPAGES, USAGE_ZSPAGES },
	{ ACCOUNT_SLAB_RECLAIMABLE, USAGE_SLAB_RECLAIMABLE },
	{ ACCOUNT_SLAB_UNRECLAIMABLE, USAGE_SLAB_UNRECLAIMABLE },
	{ ACCOUNT_PAGE_TABLES, USAGE_PAGE_TABLES },
	{ ACCOUNT_STACKS, USAGE_STACKS },
};

/* The bound is for the compiler. */
static unsigned int nr_orders(const struct snapshot *snap)
{
	return snap->nr_orders < SLUICE_MAX_ORDERS ? snap->nr_orders : SLUICE_MAX_ORDERS;
}

static uint64_t less(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool knows(const struct memory_counters *counters, enum usage usage)
{
	return counters->known & 1U << usage;
}

static void set(struct account *account, enum account_line line, uint64_t pages)
{
	account->pages[line] = (int64_t)pages;
	account->known |= 1U << line;
}

static void fill_page_cache(const struct memory_counters *counters, struct account *account)
{
	const uint64_t *pages = counters->pages;
	const uint64_t cache =
		less(pages[USAGE_FILE], pages[USAGE_SHMEM] + pages[USAGE_SWAP_CACHE]);
	/* a page can be both, and what is written back may be swap cache */
	const uint64_t dirty = least(pages[USAGE_DIRTY] + pages[USAGE_WRITEBACK], cache);

	if (!knows(counters, USAGE_FILE))
		return;
	set(account, ACCOUNT_CACHE_CLEAN, cache - dirty);
	set(account, ACCOUNT_CACHE_DIRTY, dirty);
}

/*
 * Inflated pages leave the managed ones (adjust_managed_page_count() in fill_balloon(),
 * drivers/virtio/virtio_balloon.c), unless the guest may take them back.
 */
static void fill_balloon(const struct reporting *reporting, const struct memory_counters *counters,
			 struct account *account)
{
	const uint64_t inflated = counters->pages[USAGE_BALLOON];

	account->reserved = less(counters->present, counters->managed);
	account->holes = less(counters->spanned, counters->present);
	if (reporting->feature_deflate_on_oom) {
		set(account, ACCOUNT_BALLOON, inflated);
		return;
	}
	set(account, ACCOUNT_BALLOON, 0);
	account->ballooned = least(inflated, account->reserved);
	account->reserved -= account->ballooned;
}

static bool zone_open(const struct snapshot *snap, const struct zone_snapshot *zone)
{
	return snap->reporting_order >= 0 &&
	       zone_gate_open(&zone->info, (unsigned int)snap->reporting_order);
}

/* Where free pages of one order that are not reported belong. */
static enum account_line line_of(const struct snapshot *snap, const struct zone_snapshot *zone,
				 unsigned int order, enum account_reporting reporting)
{
	if (reporting != ACCOUNT_ON)
		return ACCOUNT_HELD;
	if ((int)order < snap->reporting_order)
		return ACCOUNT_SMALL;
	return zone_open(snap, zone) ? ACCOUNT_REPORTABLE : ACCOUNT_GATED;
}

/* Without a scan what is too small is too small, and the rest may be reported. */
static enum account_line unseen_line_of(const struct snapshot *snap, unsigned int order,
					enum account_reporting reporting)
{
	return reporting == ACCOUNT_ON && (int)order < snap->reporting_order ? ACCOUNT_SMALL :
									       ACCOUNT_UNSEEN;
}

static void add_zone(const struct snapshot *snap, const struct zone_snapshot *zone,
		     struct account *account)
{
	for (unsigned int o = 0; o < nr_orders(snap); o++) {
		const int64_t free_pages = (int64_t)(zone->orders[o].free << o);
		const int64_t reported = (int64_t)(zone->orders[o].reported << o);

		if (snap->source == SOURCE_BUDDYINFO) {
			account->pages[unseen_line_of(snap, o, account->reporting)] += free_pages;
			continue;
		}
		account->pages[ACCOUNT_REPORTED] += reported;
		account->pages[line_of(snap, zone, o, account->reporting)] += free_pages - reported;
	}
}

/*
 * Pageblocks that are being taken out (MIGRATE_ISOLATE) are on the buddy lists, but not
 * in NR_FREE_PAGES. The two are not read at one moment, and the latter lags.
 */
static uint64_t isolated_pages(const struct snapshot *snap, const struct zone_snapshot *zone,
			       uint64_t lag)
{
	uint64_t listed = 0, excess;

	for (unsigned int o = 0; o < nr_orders(snap); o++)
		listed += zone->info.nr_free[o] << o;
	excess = less(listed, zone->info.free_pages);
	return excess >= lag + (1ULL << snap->pageblock_order) ? excess : 0;
}

static void fill_free(const struct snapshot *snap, const struct memory_counters *counters,
		      struct account *account)
{
	for (enum account_line line = ACCOUNT_FIRST_FREE; line < ACCOUNT_LINES; line++)
		set(account, line, 0);
	for (unsigned int z = 0; z < snap->nr_zones; z++) {
		add_zone(snap, &snap->zones[z], account);
		account->isolated += isolated_pages(snap, &snap->zones[z], counters->lag);
	}
	set(account, ACCOUNT_LISTS, counters->listed);
	set(account, ACCOUNT_UNACCEPTED, counters->unaccepted);
	if (snap->source == SOURCE_BUDDYINFO)
		account->known &= ~(1U << ACCOUNT_REPORTED | 1U << ACCOUNT_REPORTABLE |
				    1U << ACCOUNT_GATED | 1U << ACCOUNT_HELD);
}

static enum account_reporting reporting_state(const struct snapshot *snap,
					      const struct reporting *reporting)
{
	if (reporting_usable(reporting, NULL) < 0 || snap->reporting_order < 0)
		return ACCOUNT_OFF;
	return (unsigned int)snap->reporting_order >= snap->nr_orders ? ACCOUNT_LIMITED_OUT :
									ACCOUNT_ON;
}

void account_fill(const struct snapshot *snap, const struct reporting *reporting,
		  const struct memory_counters *counters, struct account *ret)
{
	struct account account = {
		.managed = counters->managed,
		.reporting = reporting_state(snap, reporting),
	};
	int64_t rest = (int64_t)counters->managed;

	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		if (knows(counters, counted[i].usage))
			set(&account, counted[i].line, counters->pages[counted[i].usage]);
	fill_page_cache(counters, &account);
	fill_balloon(reporting, counters, &account);
	fill_free(snap, counters, &account);
	for (int line = 0; line < ACCOUNT_LINES; line++)
		rest -= account.pages[line];
	account.pages[ACCOUNT_OTHER] = rest;
	account.known |= 1U << ACCOUNT_OTHER;
	*ret = account;
}

bool account_knows(const struct account *account, enum account_line line)
{
	return account->known & 1U << line;
}

uint64_t zone_gated_pages(const struct snapshot *snap, const struct zone_snapshot *zone)
{
	uint64_t pages = 0;

	for (unsigned int o = 0; o < nr_orders(snap); o++)
		if (line_of(snap, zone, o, ACCOUNT_ON) == ACCOUNT_GATED)
			pages += (zone->orders[o].free - zone->orders[o].reported) << o;
	return pages;
}

uint64_t small_pages_above(const struct snapshot *snap, unsigned int order)
{
	uint64_t pages = 0;

	for (unsigned int z = 0; z < snap->nr_zones; z++) {
		const struct zone_snapshot *zone = &snap->zones[z];

		if (!zone_gate_open(&zone->info, order))
			continue;
		for (unsigned int o = order; o < nr_orders(snap); o++)
			if ((int)o < snap->reporting_order)
				pages += (zone->orders[o].free - zone->orders[o].reported) << o;
	}
	return pages;
}
