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
	unsigned int nr_min_ages;
	struct min_age min_ages[SLUICE_MAX_ZONES];
	unsigned int nr_notes;
	char notes[OBSERVER_MAX_NOTES][sizeof(((struct errmsg *)0)->text) + 128];
};

/* Reads the topology again, and makes a map of the memory that is there now. */
int observer_refresh(struct observer *observer, struct errmsg *err);

#endif
