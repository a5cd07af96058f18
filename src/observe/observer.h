/* SPDX-License-Identifier: GPL-2.0-only */
/* The observer's inside: observer.c opens the sources, take.c takes snapshots from them. */
#ifndef SLUICE_OBSERVER_INTERNAL_H
#define SLUICE_OBSERVER_INTERNAL_H

#include "scanner.h"
#include "sluice/observe.h"

struct min_age {
	unsigned int node;
	char zone[16];
	uint64_t ns;
};

/* What explains a drift of the map; numbers that only grow, as of the last audit. */
struct evidence {
	uint64_t compact_success;
	uint64_t compact_isolated; /* pages, for either end of a migration */
	uint64_t freed;		   /* pages, to whatever list */
	uint64_t poisoned;	   /* pages */
	uint64_t missed_runs;
	struct sluice_event_counters events;
};

struct observer {
	int root;
	struct bpf_wants wants; /* of the BPF object that loaded */
	struct topology topology;
	uint64_t start_ns;  /* of the first scan, CLOCK_MONOTONIC */
	bool seeded;	    /* a full scan has filled the map */
	uint64_t refreshes; /* how often memory came or went */
	enum scan_source source;
	struct bpf *bpf;     /* NULL: no BPF at all */
	bool bpf_zones;	     /* read_zones works */
	bool events;	     /* attached */
	int kpageflags;	     /* descriptor or -1 */
	struct blockmap own; /* where there is no BPF */
	struct evidence evidence;
	uint64_t managed[SLUICE_MAX_ZONES]; /* pages, by topology index, as of the last audit */
	unsigned int nr_min_ages;
	struct min_age min_ages[SLUICE_MAX_ZONES];
	unsigned int nr_notes;
	char notes[OBSERVER_MAX_NOTES][sizeof(((struct errmsg *)0)->text) + 128];
};

/* The zones by the best way there is; -errno. */
int observer_read_zones(struct observer *observer, struct sluice_zone_info *zones, unsigned int *nr,
			struct errmsg *err);

/* Reads the topology again, and makes a map of the memory that is there now. */
int observer_refresh(struct observer *observer, struct errmsg *err);

#endif
