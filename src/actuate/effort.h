/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the actuation: what a write to the kernel cost its caller. */
#ifndef SLUICE_ACTUATE_EFFORT_H
#define SLUICE_ACTUATE_EFFORT_H

#include <stdint.h>

#include "sluice/clock.h"
#include "sluice/prepare.h"

struct effort_start {
	uint64_t wall_ns, cpu_ns;
};

static inline struct effort_start effort_begin(void)
{
	return (struct effort_start){ monotonic_ns(), clock_ns(CLOCK_THREAD_CPUTIME_ID) };
}

static inline struct effort effort_so_far(const struct effort_start *start)
{
	return (struct effort){ monotonic_ns() - start->wall_ns,
				clock_ns(CLOCK_THREAD_CPUTIME_ID) - start->cpu_ns };
}

#endif
