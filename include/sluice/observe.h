/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The observer: finds out what this kernel lets us see, keeps the free-extent
 * map and takes snapshots. It knows no thresholds and writes to no knob.
 *
 * It starts at the best source and steps down where the kernel does not play
 * along: BPF scan, /proc/kpageflags, /proc/buddyinfo. Each step down leaves a
 * note that says why and what is lost.
 */
#ifndef SLUICE_OBSERVE_H
#define SLUICE_OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/blockmap.h"
#include "sluice/errmsg.h"
#include "sluice/snapshot.h"
#include "sluice/topology.h"

#define OBSERVER_MAX_NOTES 8

struct observer;

struct observer_options {
	int root;	       /* root_open() */
	bool events;	       /* attach list refills and drains */
	bool direct_frees;     /* attach mm_page_free as well */
	bool exports;	       /* observer_extents() will be called */
	enum scan_source best; /* do not try anything better: for tests and diagnosis */
};

/*
 * Opens everything that snapshots need. Needs root. Works with nothing but
 * /proc/buddyinfo and /proc/zoneinfo; fails only if even these make no sense.
 */
int observer_open(const struct observer_options *options, struct observer **ret,
		  struct errmsg *err);
void observer_close(struct observer *observer);

/*
 * Scans and reads the totals. *ret is written on success only. A scan may be
 * taken for any reason at any time; it costs about 50 ns per pageblock (heads)
 * or 1 us (full) on real hardware.
 */
int observer_snapshot(struct observer *observer, enum scan_depth depth, struct snapshot *ret,
		      struct errmsg *err);

/* Unreported extents of the zone count as young below this age (ns); 0: none do. */
void observer_set_min_age(struct observer *observer, unsigned int node, const char *zone,
			  uint64_t min_age);

const struct topology *observer_topology(const struct observer *observer);
const struct blockmap *observer_blocks(const struct observer *observer);
enum scan_source observer_source(const struct observer *observer);
bool observer_has_events(const struct observer *observer);

/* Sums of the event counters over all CPUs; zeroes without events. */
void observer_events(const struct observer *observer, struct sluice_event_counters *sum);

/*
 * Runs of the event programs that the kernel left out, since the program was active
 * on that CPU already (recursion_misses, Linux 5.12+): each is an error in the map.
 */
uint64_t observer_missed_runs(const struct observer *observer);

/* How often memory came or went since the start, so that the map was renewed. */
uint64_t observer_refreshes(const struct observer *observer);

/* The map between two scans, as events keep it, against the kernel's totals. Pages. */
struct map_totals {
	uint64_t map;	 /* sum of the records */
	uint64_t kernel; /* sum of nr_free, read right before */
};

/* Errors as observer_snapshot(); -ENODATA where the source shows totals only. */
int observer_map_totals(struct observer *observer, struct map_totals *totals, struct errmsg *err);

/* What could not be had, one sentence each; NULL past the last. */
const char *observer_note(const struct observer *observer, unsigned int index);

#endif
