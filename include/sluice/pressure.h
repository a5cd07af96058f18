/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guest's load does to its memory: the kernel's running totals, and what
 * happened between two readings of them.
 */
#ifndef SLUICE_PRESSURE_H
#define SLUICE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/errmsg.h"

/* Totals since boot. A counter that this kernel does not have stays 0. */
struct pressure_totals {
	uint64_t time_ns;     /* CLOCK_MONOTONIC of the reading */
	bool has_psi;	      /* /proc/pressure/memory: CONFIG_PSI, and not psi=0 */
	uint64_t psi_some_us; /* some task waited for memory (kernel/sched/psi.c) */
	uint64_t psi_full_us; /* all that could run waited for memory */
	uint64_t cpu_busy;    /* ticks of all CPUs (first line of /proc/stat): neither idle ... */
	uint64_t cpu_all;     /* ... nor waiting for a disk nor taken by the host; and all three */
	/* /proc/vmstat */
	uint64_t alloc_pages;	 /* pgalloc_*: allocated, from per-CPU lists as well */
	uint64_t refaults;	 /* workingset_refault*: pages read again soon after reclaim */
	uint64_t swap_ins;	 /* pswpin: pages */
	uint64_t alloc_stalls;	 /* allocstall_*: allocations that had to reclaim by themselves */
	uint64_t compact_stalls; /* compact_stall: allocations that had to compact by themselves */
	uint64_t oom_kills;	 /* oom_kill: 4.13+ */
};

/*
 * Reads all totals. Returns 0, or -errno if /proc/vmstat can't be read or makes no
 * sense; the other files may be missing. *ret is written on success only.
 */
int pressure_read(int root, uint64_t now_ns, struct pressure_totals *ret, struct errmsg *err);

/* What happened in a span of time. */
struct activity {
	uint64_t span_ns;    /* 0: nothing is known yet */
	uint64_t alloc_rate; /* bytes per second */
	double cpu;	     /* share of all CPUs' time, 0 to 1 */
	bool has_psi;
	double psi_some; /* share of the span, 0 to 1 */
	double psi_full;
	uint64_t refaults;     /* pages */
	uint64_t swap_ins;     /* pages */
	uint64_t alloc_stalls; /* events */
	uint64_t compact_stalls;
	/* extents of at least pageblock order, in bytes; 0 without a map */
	uint64_t reported; /* newly reported */
	uint64_t reused;   /* allocated again within guards.churn_age of being reported */
	uint64_t faded;	   /* the same, faded by the time in between, see struct churn */
};

/*
 * The activity between two readings; span_ns 0 if there was none before, or time
 * or a counter ran backwards (restored guests). Leaves reported, reused and faded at 0.
 */
void pressure_between(const struct pressure_totals *before, const struct pressure_totals *after,
		      uint64_t page_size, struct activity *ret);

/*
 * Takes @own_ns off the time that tasks waited for memory: what sluice itself spent in reclaim on
 * request, where the kernel counts that as such a wait, see reclaim_is_wait().
 */
void pressure_leave_out(struct activity *activity, uint64_t own_ns);

/*
 * A trigger that polls readable with EPOLLPRI when tasks waited for memory for
 * @stall_us within @window_us (Documentation/accounting/psi.rst). Returns a
 * descriptor that the caller closes; -ENOENT or -EOPNOTSUPP without PSI, -EPERM,
 * -EINVAL for a window that this kernel does not take.
 */
int pressure_trigger(int root, uint64_t stall_us, uint64_t window_us, struct errmsg *err);

#endif
