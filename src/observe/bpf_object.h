/* SPDX-License-Identifier: GPL-2.0-only */
/* The loaded BPF object: bpf.c opens and scans, export.c exports. */
#ifndef SLUICE_BPF_OBJECT_H
#define SLUICE_BPF_OBJECT_H

#include "scanner.h"
#include "sluice.skel.h"

#define SCAN_BUDGET_NS 500000 /* per call: half of the longest stretch without rescheduling */

struct bpf {
	struct sluice_bpf *skel;
	struct blockmap map;
	size_t sections_size;
	size_t blocks_size;
	const uint64_t *exports; /* NULL: not wanted, or it can't scan */
	bool can_scan;
	struct sluice_event_counters earlier; /* of the objects that this one replaces */
};

/* The array that the export program fills, if it was loaded. */
int bpf_map_exports(struct bpf *bpf, struct errmsg *err);
void bpf_unmap_exports(struct bpf *bpf);

#endif
