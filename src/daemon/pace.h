/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How often something may be done that costs CPU time. Whatever else runs on the machine (or on
 * the host, which a guest can't tell) only ever makes it look dearer than it is: the cheapest of
 * the last times counts, so that a few slow ones delay nothing.
 */
#ifndef SLUICE_DAEMON_PACE_H
#define SLUICE_DAEMON_PACE_H

#include <stdint.h>

#define PACE_TIMES 4

struct pace {
	uint64_t cost_ns[PACE_TIMES]; /* the last ones, in a ring */
	uint64_t nr;		      /* since the beginning */
};

static inline void pace_add(struct pace *pace, uint64_t cost_ns)
{
	pace->cost_ns[pace->nr++ % PACE_TIMES] = cost_ns;
}

/* Least time from one to the next, ns, for 1/@share of a CPU; 0 until PACE_TIMES are known. */
static inline uint64_t pace_period(const struct pace *pace, unsigned int share)
{
	uint64_t least = UINT64_MAX;

	if (pace->nr < PACE_TIMES)
		return 0;
	for (unsigned int i = 0; i < PACE_TIMES; i++)
		if (pace->cost_ns[i] < least)
			least = pace->cost_ns[i];
	return least > UINT64_MAX / share ? UINT64_MAX : least * share;
}

#endif
