/* SPDX-License-Identifier: GPL-2.0-only */
/* Clocks of the kernel, in nanoseconds. */
#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "sluice/units.h"

/* Any clock that every Linux has: it can't fail. */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* CLOCK_MONOTONIC: that of bpf_ktime_get_ns() as well. */
static inline uint64_t monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

#endif
