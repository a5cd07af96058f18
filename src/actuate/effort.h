/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the actuation: what a write to the kernel cost its caller. */
#ifndef SLUICE_ACTUATE_EFFORT_H
#define SLUICE_ACTUATE_EFFORT_H

#include <stdint.h>
#include <time.h>

#include "sluice/prepare.h"
#include "sluice/units.h"

struct effort_start {
	uint64_t wall_ns, cpu_ns;
};

static inline uint64_t effort_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static inline struct effort_start effort_begin(void)
{
	return (struct effort_start){ effort_clock(CLOCK_MONOTONIC),
				      effort_clock(CLOCK_THREAD_CPUTIME_ID) };
}

static inline struct effort effort_so_far(const struct effort_start *start)
{
	return (struct effort){ effort_clock(CLOCK_MONOTONIC) - start->wall_ns,
				effort_clock(CLOCK_THREAD_CPUTIME_ID) - start->cpu_ns };
}

#endif
