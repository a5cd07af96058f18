/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Draining: until nothing that the kernel would report is unreported. The
 * barrier before a pause, a snapshot or a migration. A pure function of what each
 * look sees, as the policy is, and instead of it while a drain runs.
 *
 * The kernel has no "report now" and says neither when it begins nor when it is
 * done: an order is written, a kick queues a pass, the pass comes one delay later
 * and sends (ceil(nr_free / 512) + 1) * 32 extents of each list at the most; while
 * that was not enough it queues the next one by itself (page_reporting_process()
 * and page_reporting_cycle(), mm/page_reporting.c).
 */
#ifndef SLUICE_DRAIN_H
#define SLUICE_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/config.h"
#include "sluice/errmsg.h"
#include "sluice/policy.h"
#include "sluice/reporting.h"
#include "sluice/snapshot.h"

/*
 * A guest that runs is never quite dry: so much may stay unreported if a whole pass
 * left it, since it became free, or was split off, behind the pass. The larger of both.
 */
#define DRAIN_TOLERANCE_SHARE 100 /* 1/100 of what is free at the order */
#define DRAIN_TOLERANCE_BYTES (UINT64_C(4) << 20)

/*
 * Memory that is neither free nor known to be allocated counts as on its way to the
 * host for so long, then as in use. ns. The host has 32 blocks at once at the most.
 */
#define DRAIN_FLIGHT_NS UINT64_C(10000000000)

/* How long a drain may take: by default, and at the most. ns. */
#define DRAIN_TIMEOUT_NS     UINT64_C(300000000000)
#define DRAIN_TIMEOUT_MAX_NS UINT64_C(86400000000000)

enum drain_outcome {
	DRAIN_RUNNING,
	DRAIN_DRY,
	DRAIN_TIMED_OUT,
};

/* What is free and not reported, by the reason. Bytes. */
struct drain_residue {
	uint64_t waiting; /* for a pass */
	/* freed or split off too recently for a pass to have come by, or see DRAIN_TOLERANCE_* */
	uint64_t changed;
	uint64_t gated;	    /* in zones behind their gate (zone_gate_open()) */
	uint64_t below;	    /* in extents below the order; of a scan of heads: reported or not */
	uint64_t in_flight; /* isolated for the host, as far as that can be told */
};

struct drain_progress {
	enum drain_outcome outcome;
	uint64_t free;	  /* bytes in extents of the order and above, gated ones too */
	uint64_t initial; /* of these, unreported and within reach, at the first look */
	uint64_t left;	  /* the same now: waiting and changed */
	uint64_t passes;  /* that the kernel needs for it at the most, if nothing changes */
	uint64_t estimate_ns;
	unsigned int kicks;
	struct drain_residue residue;
};

struct drain_input {
	const struct snapshot *snap;
	const struct config *config;
	unsigned int order;
	uint64_t now_ns;      /* CLOCK_MONOTONIC */
	uint64_t deadline_ns; /* of the drain */
	uint64_t pass_delay;  /* ns from kick to pass */
	uint64_t look_ns;     /* time between two looks */
	/* bytes that the guest allocated since the last look; UINT64_MAX: unknown */
	uint64_t allocated;
};

/* What a drain remembers between looks; all zeroes at its beginning. */
struct drain_state {
	bool begun;
	unsigned int kicks;
	unsigned int dry_looks;	 /* in a row, without anything left */
	uint64_t initial;	 /* bytes left at the first look */
	uint64_t least;		 /* fewest bytes left so far */
	uint64_t reported;	 /* bytes at the last look */
	uint64_t free;		 /* bytes on all free lists at the last look */
	uint64_t missing;	 /* bytes that left the free lists and were not allocated */
	uint64_t missing_ns;	 /* when that last changed */
	uint64_t progress_ns;	 /* last sign of a pass, or last kick */
	uint64_t first_push_ns;	 /* first sign of a pass, or first kick; 0: none yet */
	uint64_t small_since_ns; /* since when left is within the tolerance; 0: it is not */
};

/*
 * One look. Until the outcome is no longer DRAIN_RUNNING the decision is to be carried out
 * and another look taken after about look_ns. Dry are two looks in a row that agree
 * on nothing being left or in flight; or little enough left (DRAIN_TOLERANCE_*) for
 * so long that a pass has come by.
 */
void drain_step(const struct drain_input *input, struct drain_state *state,
		struct decision *decision, struct drain_progress *progress);

/*
 * Whether this kernel, configured so, can be drained at @order, ORDER_* or a number:
 * 0 and the order's number, or -ERANGE with the option or the knob that stands against it.
 */
int drain_order(const struct config *config, const struct reporting *reporting,
		unsigned int pageblock_order, unsigned int highest_order, int order,
		unsigned int *ret, struct errmsg *err);

/* Time between two looks at a kernel with this delay. ns. */
uint64_t drain_look_ns(uint64_t pass_delay);

/* "running", "dry", "timeout". */
const char *drain_outcome_name(enum drain_outcome outcome);

#endif
