// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "observer.h"
#include "sluice/counter_file.h"
#include "sluice/units.h"

#define TRYLOCK_SHARE 50 /* 1/50 of what was drained: 4 times the most that was measured */
#define AUDIT_TRIES   3	 /* to find the kernel's totals at rest */

static void read_evidence(const struct observer *observer, struct evidence *now)
{
	struct counter vmstat[] = { { .name = "compact_success" },
				    { .name = "compact_isolated" },
				    { .name = "pgfree" } };
	struct counter broken = { .name = "HardwareCorrupted" };

	/* what can't be read explains nothing */
	counter_file_read(observer->root, "proc/vmstat", vmstat, 3, NULL);
	counter_file_read(observer->root, "proc/meminfo", &broken, 1, NULL);
	now->compact_success = vmstat[0].value;
	now->compact_isolated = vmstat[1].value;
	now->freed = vmstat[2].value;
	now->poisoned = broken.value * KIB / observer->topology.page_size;
	now->missed_runs = observer_missed_runs(observer);
	observer_events(observer, &now->events);
}

/* What can be put down to each path since the last audit, pages; used up zone by zone. */
struct pool {
	uint64_t pages[AUDIT_PATHS];
};

static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static void fill_pool(const struct observer *observer, const struct evidence *now,
		      struct pool *pool)
{
	const struct topology *topology = &observer->topology;
	const struct evidence *then = &observer->evidence;
	const uint64_t traced = grown(now->events.isolated, then->events.isolated);
	const uint64_t isolated = grown(now->compact_isolated, then->compact_isolated);

	*pool = (struct pool){ 0 };
	/* before 6.5 all that compaction isolated, for either purpose, less what was traced */
	pool->pages[AUDIT_FAST_ISOLATION] =
		topology->kernel_version >= 6005 ?
			grown(now->events.fast_isolated, then->events.fast_isolated) :
			grown(isolated, traced);
	pool->pages[AUDIT_CAPTURE] = grown(now->compact_success, then->compact_success)
				     << topology->highest_order;
	pool->pages[AUDIT_HWPOISON] = grown(now->poisoned, then->poisoned);
	pool->pages[AUDIT_MISSED_RUNS] = grown(now->missed_runs, then->missed_runs)
					 << topology->highest_order;
	pool->pages[AUDIT_DIRECT_FREES] = observer->wants.direct_frees ? 0 : UINT64_MAX;
	if (topology->kernel_version >= 6000)
		pool->pages[AUDIT_TRYLOCK] = grown(now->freed, then->freed) / TRYLOCK_SHARE;
}

/* Takes up to @pages from the pool; returns how many. */
static uint64_t draw(struct pool *pool, enum audit_path path, uint64_t pages)
{
	const uint64_t drawn = pages < pool->pages[path] ? pages : pool->pages[path];

	if (pool->pages[path] != UINT64_MAX)
		pool->pages[path] -= drawn;
	return drawn;
}

static void explain(struct zone_audit *zone, struct pool *pool)
{
	static const enum audit_path left[] = { AUDIT_FAST_ISOLATION, AUDIT_HWPOISON, AUDIT_HOTPLUG,
						AUDIT_CAPTURE, AUDIT_MISSED_RUNS };
	static const enum audit_path came[] = { AUDIT_HOTPLUG, AUDIT_TRYLOCK, AUDIT_DIRECT_FREES,
						AUDIT_MISSED_RUNS };
	const bool more = zone->drift > 0;
	const enum audit_path *paths = more ? left : came;
	const size_t nr = more ? sizeof(left) / sizeof(left[0]) : sizeof(came) / sizeof(came[0]);
	uint64_t rest = (uint64_t)(more ? zone->drift : -zone->drift);

	for (size_t i = 0; i < nr; i++) {
		const uint64_t drawn = draw(pool, paths[i], rest);

		zone->explained[paths[i]] = more ? (int64_t)drawn : -(int64_t)drawn;
		rest -= drawn;
	}
	zone->unexplained = more ? (int64_t)rest : -(int64_t)rest;
}

static uint64_t pages_of(const struct sluice_zone_info *zone)
{
	uint64_t pages = 0;

	for (unsigned int o = 0; o < zone->nr_orders && o < SLUICE_MAX_ORDERS; o++)
		pages += zone->nr_free[o] << o;
	return pages;
}

/* How far @value lies outside of two bounds, in whatever order they come. */
static int64_t outside(uint64_t value, uint64_t one, uint64_t other)
{
	const uint64_t low = one < other ? one : other, high = one < other ? other : one;

	if (value < low)
		return -(int64_t)(low - value);
	return value > high ? (int64_t)(value - high) : 0;
}

struct zone_sums {
	uint64_t map[SLUICE_MAX_ZONES]; /* by topology index */
	unsigned int nr;
	struct sluice_zone_info before[SLUICE_MAX_ZONES];
	struct sluice_zone_info after[SLUICE_MAX_ZONES];
};

static bool at_rest(const struct zone_sums *sums)
{
	for (unsigned int i = 0; i < sums->nr; i++)
		if (memcmp(sums->before[i].nr_free, sums->after[i].nr_free,
			   sizeof(sums->before[i].nr_free)))
			return false;
	return true;
}

/* The records' sums between two looks at the kernel's; several tries to find it at rest. */
static int read_sums(struct observer *observer, struct zone_sums *sums, struct errmsg *err)
{
	const struct blockmap *map = observer_blocks(observer);
	unsigned int nr_after;

	for (int try = 0; try < AUDIT_TRIES; try++) {
		int rc = observer_read_zones(observer, sums->before, &sums->nr, err);

		memset(sums->map, 0, sizeof(sums->map));
		for (uint32_t i = 0; i < map->nr_blocks; i++)
			sums->map[map->blocks[i].zone] += map->blocks[i].free_pages;
		if (!rc)
			rc = observer_read_zones(observer, sums->after, &nr_after, err);
		if (rc)
			return rc;
		if (nr_after != sums->nr)
			return errmsg_set(err, -EAGAIN, "memory comes or goes at this moment");
		if (at_rest(sums))
			break;
	}
	return 0;
}

static void compare(const struct observer *observer, const struct zone_sums *sums,
		    struct pool *pool, struct audit *audit)
{
	audit->nr_zones = sums->nr;
	for (unsigned int i = 0; i < sums->nr; i++) {
		const struct sluice_zone_info *info = &sums->after[i];
		const int index = topology_find_zone(&observer->topology, info->node, info->name);
		struct zone_audit *zone = &audit->zones[i];

		*zone = (struct zone_audit){ .node = info->node };
		memcpy(zone->name, info->name, sizeof(zone->name));
		zone->map_pages = index < 0 ? 0 : sums->map[index];
		zone->kernel_pages = pages_of(info);
		zone->drift =
			outside(zone->map_pages, pages_of(&sums->before[i]), zone->kernel_pages);
		if (index >= 0)
			pool->pages[AUDIT_HOTPLUG] =
				info->managed_pages > observer->managed[index] ?
					info->managed_pages - observer->managed[index] :
					observer->managed[index] - info->managed_pages;
		if (observer->events)
			explain(zone, pool);
	}
}

static void compare_after(const struct observer *observer, const struct zone_sums *sums,
			  const struct snapshot *snap, struct audit *audit)
{
	for (unsigned int i = 0; i < sums->nr && i < audit->nr_zones; i++) {
		const struct sluice_zone_info *info = &sums->after[i];
		const int index = topology_find_zone(&observer->topology, info->node, info->name);

		audit->zones[i].drift_after = outside(index < 0 ? 0 : sums->map[index],
						      pages_of(&sums->before[i]), pages_of(info));
		if (i < snap->nr_zones)
			audit->zones[i].repairs = snap->zones[i].repairs;
	}
}

/* From here on things are counted anew. */
static void remember(struct observer *observer, const struct evidence *now,
		     const struct snapshot *snap)
{
	observer->evidence = *now;
	for (unsigned int i = 0; i < snap->nr_zones; i++)
		observer->managed[snap->zones[i].index] = snap->zones[i].info.managed_pages;
}

static int audit_and_scan(struct observer *observer, struct zone_sums *sums, struct audit *audit,
			  struct snapshot *snap, struct errmsg *err)
{
	const bool fresh = !observer->seeded;
	const uint64_t refreshes = observer->refreshes;
	struct evidence now;
	struct pool pool;
	int rc;

	read_evidence(observer, &now);
	fill_pool(observer, &now, &pool);
	rc = read_sums(observer, sums, err);
	if (rc)
		return rc;
	compare(observer, sums, &pool, audit);
	rc = observer_snapshot(observer, SCAN_FULL, snap, err);
	if (!rc)
		rc = read_sums(observer, sums, err);
	if (rc)
		return rc;
	/* what was compared before the scan was another map, or none */
	if (fresh || observer->refreshes != refreshes)
		compare(observer, sums, &pool, audit);
	compare_after(observer, sums, snap, audit);
	audit->time_ns = snap->time_ns;
	remember(observer, &now, snap);
	return 0;
}

int observer_audit(struct observer *observer, struct audit *audit, struct snapshot *snap,
		   struct errmsg *err)
{
	struct {
		struct zone_sums sums;
		struct snapshot snap;
		struct audit audit;
	} * work;
	int rc;

	if (observer->source == SOURCE_BUDDYINFO)
		return errmsg_set(err, -ENODATA, "there is no map without scans");
	work = calloc(1, sizeof(*work));
	if (!work)
		return errmsg_set(err, -ENOMEM, "memory for the audit");
	work->audit.by_events = observer->events;
	rc = audit_and_scan(observer, &work->sums, &work->audit, &work->snap, err);
	if (!rc) {
		*audit = work->audit;
		*snap = work->snap;
	}
	free(work);
	return rc;
}

uint64_t audit_worst(const struct audit *audit)
{
	uint64_t worst = 0;

	for (unsigned int i = 0; i < audit->nr_zones; i++) {
		const int64_t drift = audit->zones[i].drift_after;
		const uint64_t size = (uint64_t)(drift < 0 ? -drift : drift);

		if (size > worst)
			worst = size;
	}
	return worst;
}

static const struct {
	const char *name, *text;
} paths[] = {
	[AUDIT_FAST_ISOLATION] = { "fast-isolation",
				   "taken by compaction from blocks that it does not name" },
	[AUDIT_CAPTURE] = { "capture", "kept by compaction for the allocation it ran for" },
	[AUDIT_HWPOISON] = { "hwpoison", "taken off the lists as broken memory" },
	[AUDIT_HOTPLUG] = { "hotplug", "memory that came or went inside a section" },
	[AUDIT_MISSED_RUNS] = { "missed-runs", "events that came while their program ran" },
	[AUDIT_DIRECT_FREES] = { "direct-frees",
				 "frees of orders without a per-CPU list (events = \"lists\")" },
	[AUDIT_TRYLOCK] = { "trylock", "frees that found a per-CPU list locked" },
};

const char *audit_path_name(enum audit_path path)
{
	return paths[path].name;
}

const char *audit_path_text(enum audit_path path)
{
	return paths[path].text;
}
