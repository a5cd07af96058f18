/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every free extent, one by one: for tools that want to know where free memory
 * is, not only how much of it there is.
 */
#ifndef SLUICE_EXTENTS_H
#define SLUICE_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/bpf_shared.h"
#include "sluice/errmsg.h"

struct observer;

struct free_extent {
	uint64_t pfn; /* first page; a multiple of 2^order */
	unsigned int order;
	bool reported; /* carries PG_reported */
};

/* Anything but 0 ends the walk, which returns it: a negative errno value. */
typedef int (*extent_visitor)(void *context, const struct free_extent *extent);

/* What a walk found, and what it took. */
struct extents_summary {
	uint64_t extents[SLUICE_MAX_ORDERS]; /* visited; 0 below the lowest order */
	uint64_t nr_free[SLUICE_MAX_ORDERS]; /* the kernel's counts right after, of all zones */
	uint64_t scan_ns;		     /* finding them */
	uint64_t visit_ns;		     /* the visitor's */
	uint64_t probes;		     /* reads of kernel memory, or of page flags */
};

/*
 * Visits the free extents of order @lowest and larger in ascending order of their
 * pfns; none overlaps another. Memory is not stopped meanwhile: an extent is free
 * at the moment when it is looked at. What the walk itself needs is bounded,
 * however fragmented memory is.
 *
 * The observer was opened with options.exports. -ERANGE: @lowest is above the
 * highest order; -ENODATA: the source shows totals only; -errno of reads, or what
 * the visitor returned (then without a text). *ret is written on success only.
 */
int observer_extents(struct observer *observer, unsigned int lowest, extent_visitor visit,
		     void *context, struct extents_summary *ret, struct errmsg *err);

#endif
