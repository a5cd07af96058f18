/* SPDX-License-Identifier: GPL-2.0-only */
/* The sources of a scan, as the observer uses them. */
#ifndef SLUICE_SCANNER_H
#define SLUICE_SCANNER_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/blockmap.h"
#include "sluice/errmsg.h"
#include "sluice/extents.h"
#include "sluice/snapshot.h"
#include "sluice/topology.h"

/* One zone's part of a scan: where to look, and what was found there. */
struct scan_job {
	const struct topology *topology;
	unsigned int zone; /* topology index: the parts of it are scanned */
	enum scan_depth depth;
	struct sluice_scan_zone found;
	uint64_t probes;
};

/* bpf.c: programs and maps. */
struct bpf;

struct bpf_wants {
	bool scan;
	bool in_place; /* the scan follows pointers without a helper: 6.2+ */
	bool events;
	bool direct_frees;
	bool exports; /* bpf_export(), if it can scan */
};

/*
 * Opens, loads and pairs. On a kernel without SYSCALL programs bpf_can_scan()
 * is false afterwards, and the rest works. With @old, whose topology is no longer
 * right, its records, counters and pairing are taken over; it stays the caller's.
 */
int bpf_open(int root, const struct topology *topology, const struct bpf_wants *wants,
	     const struct bpf *old, struct bpf **ret, struct errmsg *err);
void bpf_close(struct bpf *bpf);
bool bpf_can_scan(const struct bpf *bpf);
/* The map in the memory of the BPF maps; lives as long as @bpf. */
const struct blockmap *bpf_blockmap(const struct bpf *bpf);
/* -ENOENT: no memory cgroups, so the zones can't be found. */
int bpf_read_zones(struct bpf *bpf, const struct topology *topology, struct sluice_zone_info *zones,
		   unsigned int *nr, struct errmsg *err);
/* What events take for the time of a change; CLOCK_MONOTONIC. */
void bpf_set_time(struct bpf *bpf, uint64_t now_ns);
int bpf_scan(struct bpf *bpf, struct scan_job *job, struct errmsg *err);
/*
 * One call of the export program: goes on at @args->next_pfn, not beyond
 * @args->end_pfn. @args->entries words at *words hold until the next call.
 * -EOPNOTSUPP: not wanted at bpf_open(), or it can't scan.
 */
int bpf_export(struct bpf *bpf, struct sluice_export_args *args, const uint64_t **words,
	       struct errmsg *err);
/* Those that bpf_wants asked for. */
int bpf_attach_events(struct bpf *bpf, struct errmsg *err);
void bpf_events(const struct bpf *bpf, struct sluice_event_counters *sum);
/*
 * Runs that the kernel left out, since the program was active on that CPU already;
 * Linux 5.12+, 0 before.
 */
uint64_t bpf_missed_runs(const struct bpf *bpf);

/* kpageflags.c: /proc/kpageflags. */
int kpageflags_open(int root, struct errmsg *err); /* a descriptor or -errno */
int kpageflags_scan(int fd, const struct blockmap *map, struct scan_job *job, struct errmsg *err);
/*
 * A full scan of all zones that shows each extent to a visitor, in ascending order.
 * Its result, if not 0, ends the scan and is returned. *probes is added to.
 */
int kpageflags_visit(int fd, const struct blockmap *map, const struct topology *topology,
		     extent_visitor visit, void *context, uint64_t *probes, struct errmsg *err);

#endif
