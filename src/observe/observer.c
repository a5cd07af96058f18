// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/observe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "scanner.h"
#include "sluice/file.h"
#include "sluice/knobs.h"

#define SLOWER "Scans read /proc/kpageflags, which is slower."

#define SELF_CHECK_TRIES    10
#define SELF_CHECK_PAUSE_NS 30000000 /* a reporting pass has up to 32 blocks off the lists */
#define SELF_CHECK_RATIO    200	     /* 1/200: the scan may differ from nr_free by 0.5 % */
#define SELF_CHECK_SLACK    512	     /* pages, for small guests */

struct min_age {
	unsigned int node;
	char zone[16];
	uint64_t ns;
};

struct observer {
	int root;
	struct topology topology;
	enum scan_source source;
	struct bpf *bpf;     /* NULL: no BPF at all */
	bool bpf_zones;	     /* read_zones works */
	bool events;	     /* attached */
	int kpageflags;	     /* descriptor or -1 */
	struct blockmap own; /* where there is no BPF */
	unsigned int nr_min_ages;
	struct min_age min_ages[SLUICE_MAX_ZONES];
	unsigned int nr_notes;
	char notes[OBSERVER_MAX_NOTES][sizeof(((struct errmsg *)0)->text) + 128];
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

__attribute__((format(printf, 2, 3))) static void note(struct observer *observer, const char *fmt,
						       ...)
{
	va_list args;

	if (observer->nr_notes == OBSERVER_MAX_NOTES)
		return;
	va_start(args, fmt);
	vsnprintf(observer->notes[observer->nr_notes++], sizeof(observer->notes[0]), fmt, args);
	va_end(args);
}

bool scan_clip(const struct scan_job *job, const struct pfn_range *online, struct pfn_range *part)
{
	const uint64_t start = job->zone->start_pfn;
	const uint64_t end = start + job->zone->spanned_pages;

	part->start = online->start > start ? online->start : start;
	part->end = online->end < end ? online->end : end;
	return part->start < part->end;
}

const struct blockmap *observer_blocks(const struct observer *observer)
{
	return observer->bpf ? bpf_blockmap(observer->bpf) : &observer->own;
}

static int read_zones(struct observer *observer, struct sluice_zone_info *zones, unsigned int *nr,
		      struct errmsg *err)
{
	if (observer->bpf_zones)
		return bpf_read_zones(observer->bpf, &observer->topology, zones, nr, err);
	return zones_read_text(observer->root, zones, nr, err);
}

/* The live order limit, as the kernel tests it; see snapshot.reporting_order. */
static int read_reporting_order(const struct observer *observer)
{
	int64_t order;

	if (!file_exists(observer->root, "sys/module/page_reporting"))
		/* 5.7 to 5.13: no knob, PAGE_REPORTING_MIN_ORDER is pageblock_order */
		return observer->topology.kernel_version < 5014 ?
			       (int)observer->topology.pageblock_order :
			       -1;
	if (file_read_int(observer->root, KNOB_REPORTING_ORDER, &order, NULL) < 0 || order < 0 ||
	    order > INT16_MAX)
		return -1;
	return (int)order;
}

static void zone_counts(struct zone_snapshot *zone, const struct sluice_scan_zone *found)
{
	for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++) {
		zone->orders[o].free = found->free[o];
		zone->orders[o].reported = found->reported[o];
		zone->orders[o].young = 0;
	}
}

static int64_t zone_drift(const struct snapshot *snap, const struct zone_snapshot *zone)
{
	int64_t drift = 0;

	for (unsigned int o = snapshot_lowest_order(snap); o < snap->nr_orders; o++)
		drift += ((int64_t)zone->orders[o].free - (int64_t)zone->info.nr_free[o]) *
			 (int64_t)(1ULL << o);
	return drift;
}

static uint64_t min_age_of(const struct observer *observer, const struct sluice_zone_info *zone)
{
	for (unsigned int i = 0; i < observer->nr_min_ages; i++)
		if (observer->min_ages[i].node == zone->node &&
		    !strcmp(observer->min_ages[i].zone, zone->name))
			return observer->min_ages[i].ns;
	return 0;
}

/* Counts the unreported extents that have been free for less than the zone's min_age. */
static void count_young(const struct observer *observer, struct zone_snapshot *zone, uint64_t now)
{
	const uint64_t min_age = min_age_of(observer, &zone->info);
	const struct blockmap *map = observer_blocks(observer);
	const uint64_t start = zone->info.start_pfn;
	const uint64_t end = start + zone->info.spanned_pages;
	const uint64_t step = 1ULL << map->pageblock_order;

	if (!min_age)
		return;
	for (uint64_t pfn = start & ~(step - 1); pfn < end; pfn += step) {
		const struct sluice_block *block = blockmap_at(map, pfn);
		struct sluice_block copy;

		if (!block)
			continue;
		copy = *block;
		if ((copy.flags & (SLUICE_BLOCK_FREE | SLUICE_BLOCK_REPORTED)) !=
			    SLUICE_BLOCK_FREE ||
		    copy.order >= SLUICE_MAX_ORDERS || blockmap_age(&copy, now) >= min_age)
			continue;
		zone->orders[copy.order].young++;
	}
	/* the map may have moved on since the counts were taken */
	for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++) {
		struct order_count *count = &zone->orders[o];

		if (count->young > count->free - count->reported)
			count->young = count->free - count->reported;
	}
}

static int scan_zone(struct observer *observer, unsigned int index, struct snapshot *snap,
		     struct errmsg *err)
{
	struct zone_snapshot *zone = &snap->zones[index];
	struct sluice_scan_zone found = { 0 };
	struct scan_job job = {
		.topology = &observer->topology,
		.zone = &zone->info,
		.depth = snap->depth,
		.found = &found,
	};
	int rc;

	if (snap->source == SOURCE_BPF)
		rc = bpf_scan(observer->bpf, index, &job, err);
	else
		rc = kpageflags_scan(observer->kpageflags, observer_blocks(observer), &job, err);
	if (rc)
		return rc;
	zone_counts(zone, &found);
	snap->probes += job.probes;
	return 0;
}

/* Totals only: what the lists hold is known, what of it is reported is not. */
static void counts_from_totals(struct snapshot *snap)
{
	snap->depth = SCAN_FULL;
	for (unsigned int i = 0; i < snap->nr_zones; i++)
		for (unsigned int o = 0; o < snap->nr_orders; o++)
			snap->zones[i].orders[o].free = snap->zones[i].info.nr_free[o];
}

int observer_snapshot(struct observer *observer, enum scan_depth depth, struct snapshot *snap,
		      struct errmsg *err)
{
	struct sluice_zone_info before[SLUICE_MAX_ZONES], after[SLUICE_MAX_ZONES];
	unsigned int nr_after = 0;
	int rc;

	*snap = (struct snapshot){
		.time_ns = now_ns(),
		.depth = depth,
		.source = observer->source,
		.page_size = observer->topology.page_size,
		.nr_orders = observer->topology.highest_order + 1,
		.pageblock_order = observer->topology.pageblock_order,
		.reporting_order = read_reporting_order(observer),
	};
	rc = read_zones(observer, before, &snap->nr_zones, err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < snap->nr_zones; i++)
		snap->zones[i].info = before[i];
	if (snap->source == SOURCE_BUDDYINFO) {
		counts_from_totals(snap);
	} else {
		for (unsigned int i = 0; !rc && i < snap->nr_zones; i++)
			rc = scan_zone(observer, i, snap, err);
		if (!rc)
			rc = read_zones(observer, after, &nr_after, err);
		if (rc)
			return rc;
		if (nr_after != snap->nr_zones)
			return errmsg_set(err, -EAGAIN, "zones came or went during the scan");
	}
	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		if (nr_after)
			snap->zones[i].info = after[i];
		if (snap->source != SOURCE_BUDDYINFO)
			count_young(observer, &snap->zones[i], snap->time_ns);
		snap->zones[i].drift = zone_drift(snap, &snap->zones[i]);
	}
	snap->cost_ns = now_ns() - snap->time_ns;
	return 0;
}

/*
 * The scan against the kernel's totals (kernel-visible truth): wrong constants,
 * a wrong vmemmap or a kernel that stores things elsewhere show here, before
 * anything rests on them.
 */
static int self_check(struct observer *observer, struct errmsg *err)
{
	uint64_t best_off = UINT64_MAX, best_free = 0;
	struct snapshot *snap;
	int rc = 0;

	snap = calloc(1, sizeof(*snap));
	if (!snap)
		return errmsg_set(err, -ENOMEM, "memory for the self-check");
	for (int i = 0; i < SELF_CHECK_TRIES; i++) {
		const struct timespec pause = { .tv_nsec = i ? SELF_CHECK_PAUSE_NS : 0 };
		uint64_t off = 0, free_pages = 0;

		nanosleep(&pause, NULL);
		rc = observer_snapshot(observer, SCAN_FULL, snap, err);
		if (rc)
			goto out;
		for (unsigned int z = 0; z < snap->nr_zones; z++) {
			off += (uint64_t)llabs(snap->zones[z].drift);
			for (unsigned int o = 0; o < snap->nr_orders; o++)
				free_pages += snap->zones[z].info.nr_free[o] << o;
		}
		if (off < best_off) {
			best_off = off;
			best_free = free_pages;
		}
		if (best_off <= best_free / SELF_CHECK_RATIO + SELF_CHECK_SLACK)
			goto out;
	}
	rc = errmsg_set(err, -EILSEQ,
			"its sum differs from the kernel's by %" PRIu64 " of %" PRIu64
			" free pages",
			best_off, best_free);
out:
	free(snap);
	return rc;
}

static bool try_bpf_scan(struct observer *observer)
{
	struct errmsg err = { 0 };

	if (!observer->bpf || !bpf_can_scan(observer->bpf))
		return false;
	observer->source = SOURCE_BPF;
	if (!self_check(observer, &err))
		return true;
	note(observer, "The BPF scan is not used: %s. " SLOWER, err.text);
	return false;
}

static bool try_kpageflags(struct observer *observer)
{
	struct errmsg err = { 0 };

	observer->kpageflags = kpageflags_open(observer->root, &err);
	if (observer->kpageflags >= 0) {
		observer->source = SOURCE_KPAGEFLAGS;
		if (!self_check(observer, &err))
			return true;
		close(observer->kpageflags);
		observer->kpageflags = -1;
	}
	note(observer,
	     "/proc/kpageflags is not used: %s. Only the totals of /proc/buddyinfo are left: what "
	     "is "
	     "reported, where and since when is unknown, and no strategy can decide.",
	     err.text);
	return false;
}

static void choose_source(struct observer *observer, enum scan_source best)
{
	if (best == SOURCE_BPF && try_bpf_scan(observer))
		return;
	if (best <= SOURCE_KPAGEFLAGS && try_kpageflags(observer))
		return;
	observer->source = SOURCE_BUDDYINFO;
}

static void start_bpf(struct observer *observer, const struct observer_options *options)
{
	struct bpf_wants wants = {
		.scan = options->best == SOURCE_BPF,
		.in_place = observer->topology.kernel_version >= 6002, /* bpf_rdonly_cast() */
		.events = options->events,
		.direct_frees = options->events && options->direct_frees,
	};
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	struct errmsg err = { 0 };
	unsigned int nr;
	int rc;

	if (!file_exists(observer->root, "sys/kernel/btf/vmlinux")) {
		note(observer,
		     "No BPF: /sys/kernel/btf/vmlinux is missing (CONFIG_DEBUG_INFO_BTF). " SLOWER
		     " Ages come from scans alone.");
		return;
	}
	rc = bpf_open(observer->root, &observer->topology, &wants, &observer->bpf, &err);
	/* what a verifier may refuse is the scan, and above all its fast way to read */
	if (rc && wants.scan && wants.in_place) {
		wants.in_place = false;
		rc = bpf_open(observer->root, &observer->topology, &wants, &observer->bpf, &err);
	}
	if (rc && wants.scan) {
		wants.scan = false;
		rc = bpf_open(observer->root, &observer->topology, &wants, &observer->bpf, NULL);
		if (!rc)
			note(observer, "No BPF scan: %s. " SLOWER, err.text);
	}
	if (rc) {
		note(observer, "No BPF: %s. " SLOWER " Ages come from scans alone.", err.text);
		return;
	}
	if (wants.scan && !bpf_can_scan(observer->bpf))
		note(observer, "No BPF scan: SYSCALL programs need Linux 5.14. " SLOWER);
	observer->bpf_zones = !bpf_read_zones(observer->bpf, &observer->topology, zones, &nr, &err);
	if (!observer->bpf_zones)
		note(observer,
		     "Totals come from /proc/buddyinfo and /proc/zoneinfo: %s. They are as exact, "
		     "but "
		     "dearer to read.",
		     err.text);
}

static void start_events(struct observer *observer, const struct observer_options *options)
{
	struct errmsg err = { 0 };

	if (!options->events || !observer->bpf || observer->source == SOURCE_BUDDYINFO)
		return;
	observer->events = !bpf_attach_events(observer->bpf, options->direct_frees, &err);
	if (!observer->events)
		note(observer, "No events between scans: %s. Ages are exact to one interval only.",
		     err.text);
}

int observer_open(const struct observer_options *options, struct observer **ret, struct errmsg *err)
{
	struct observer *observer;
	int rc;

	observer = calloc(1, sizeof(*observer));
	if (!observer)
		return errmsg_set(err, -ENOMEM, "memory for the observer");
	observer->root = options->root;
	observer->kpageflags = -1;
	rc = topology_read(options->root, &observer->topology, err);
	if (rc)
		goto fail;
	if (options->best != SOURCE_BUDDYINFO)
		start_bpf(observer, options);
	if (!observer->bpf) {
		rc = blockmap_alloc(&observer->own, &observer->topology);
		if (rc) {
			errmsg_set(err, rc, "memory for the free-extent map");
			goto fail;
		}
	}
	choose_source(observer, options->best);
	start_events(observer, options);
	*ret = observer;
	return 0;
fail:
	observer_close(observer);
	return rc;
}

void observer_close(struct observer *observer)
{
	if (!observer)
		return;
	bpf_close(observer->bpf);
	blockmap_free(&observer->own);
	if (observer->kpageflags >= 0)
		close(observer->kpageflags);
	free(observer);
}

void observer_set_min_age(struct observer *observer, unsigned int node, const char *zone,
			  uint64_t min_age)
{
	struct min_age *entry = NULL;

	for (unsigned int i = 0; i < observer->nr_min_ages; i++)
		if (observer->min_ages[i].node == node && !strcmp(observer->min_ages[i].zone, zone))
			entry = &observer->min_ages[i];
	if (!entry) {
		if (observer->nr_min_ages == SLUICE_MAX_ZONES)
			return;
		entry = &observer->min_ages[observer->nr_min_ages++];
		entry->node = node;
		snprintf(entry->zone, sizeof(entry->zone), "%s", zone);
	}
	entry->ns = min_age;
}

const struct topology *observer_topology(const struct observer *observer)
{
	return &observer->topology;
}

enum scan_source observer_source(const struct observer *observer)
{
	return observer->source;
}

bool observer_has_events(const struct observer *observer)
{
	return observer->events;
}

void observer_events(const struct observer *observer, struct sluice_event_counters *sum)
{
	if (observer->events)
		bpf_events(observer->bpf, sum);
	else
		*sum = (struct sluice_event_counters){ 0 };
}

const char *observer_note(const struct observer *observer, unsigned int index)
{
	return index < observer->nr_notes ? observer->notes[index] : NULL;
}
