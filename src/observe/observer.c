// SPDX-License-Identifier: GPL-2.0-only
#include "observer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "sluice/file.h"

#define SLOWER "Scans read /proc/kpageflags, which is slower."

#define SELF_CHECK_TRIES    10
#define SELF_CHECK_PAUSE_NS 30000000 /* a reporting pass has up to 32 blocks off the lists */
#define SELF_CHECK_RATIO    200	     /* 1/200: the scan may differ from nr_free by 0.5 % */
#define SELF_CHECK_SLACK    512	     /* pages, for small guests */

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
		.exports = options->exports,
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
	rc = bpf_open(observer->root, &observer->topology, &wants, NULL, &observer->bpf, &err);
	/* what a verifier may refuse is the scan, and above all its fast way to read */
	if (rc && wants.scan && wants.in_place) {
		wants.in_place = false;
		rc = bpf_open(observer->root, &observer->topology, &wants, NULL, &observer->bpf,
			      &err);
	}
	if (rc && wants.scan) {
		wants.scan = false;
		rc = bpf_open(observer->root, &observer->topology, &wants, NULL, &observer->bpf,
			      NULL);
		if (!rc)
			note(observer, "No BPF scan: %s. " SLOWER, err.text);
	}
	if (rc) {
		note(observer, "No BPF: %s. " SLOWER " Ages come from scans alone.", err.text);
		return;
	}
	observer->wants = wants;
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
	observer->events = !bpf_attach_events(observer->bpf, &err);
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
	rc = topology_read(options->root, NULL, &observer->topology, err);
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

/* The map of memory that is there now; what the old one knows of it is kept. */
static int renew_map(struct observer *observer, const struct topology *topology, struct errmsg *err)
{
	struct bpf *bpf = NULL;
	struct blockmap own;
	int rc;

	if (!observer->bpf) {
		rc = blockmap_alloc(&own, topology);
		if (rc)
			return errmsg_set(err, rc, "memory for the free-extent map");
		blockmap_inherit(&own, &observer->own);
		blockmap_free(&observer->own);
		observer->own = own;
		return 0;
	}
	rc = bpf_open(observer->root, topology, &observer->wants, observer->bpf, &bpf, err);
	if (!rc && observer->events)
		rc = bpf_attach_events(bpf, err);
	if (rc) {
		bpf_close(bpf);
		return rc;
	}
	bpf_close(observer->bpf);
	observer->bpf = bpf;
	return 0;
}

int observer_refresh(struct observer *observer, struct errmsg *err)
{
	struct topology *topology = calloc(1, sizeof(*topology));
	int rc;

	if (!topology)
		return errmsg_set(err, -ENOMEM, "memory for the topology");
	rc = topology_read(observer->root, &observer->topology, topology, err);
	if (!rc)
		rc = renew_map(observer, topology, err);
	if (!rc) {
		observer->topology = *topology;
		observer->seeded = false;
		observer->refreshes++;
	}
	free(topology);
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

const struct blockmap *observer_blocks(const struct observer *observer)
{
	return observer->bpf ? bpf_blockmap(observer->bpf) : &observer->own;
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

uint64_t observer_missed_runs(const struct observer *observer)
{
	return observer->events ? bpf_missed_runs(observer->bpf) : 0;
}

uint64_t observer_refreshes(const struct observer *observer)
{
	return observer->refreshes;
}

const char *observer_note(const struct observer *observer, unsigned int index)
{
	return index < observer->nr_notes ? observer->notes[index] : NULL;
}
