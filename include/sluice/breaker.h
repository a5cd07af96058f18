/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Circuit breaker: what fails again and again is left alone for a while.
 *
 *   closed     every try is allowed; BREAKER_FAILURES failures in a row open it
 *   open       no try is allowed until the back-off is over
 *   half-open  the back-off is over: the next try decides. A success closes it, a
 *              failure opens it for twice as long, BREAKER_LONGEST at the most
 *
 * All zeroes is closed. No clock inside: times are CLOCK_MONOTONIC, ns, and given.
 */
#ifndef SLUICE_BREAKER_H
#define SLUICE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/units.h"

#define BREAKER_FAILURES 3
#define BREAKER_FIRST	 (30 * NSEC_PER_SEC)
#define BREAKER_LONGEST	 (3600 * NSEC_PER_SEC)

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
	unsigned int failures; /* in a row */
	uint64_t backoff_ns;   /* of the last opening; 0: closed */
	uint64_t retry_ns;     /* when the back-off is over */
};

enum breaker_state breaker_state(const struct breaker *breaker, uint64_t now_ns);

/* "closed", "open", "half-open". */
const char *breaker_state_name(enum breaker_state state);

/* Whether a try is allowed. */
bool breaker_allows(const struct breaker *breaker, uint64_t now_ns);

/* ns until the next try is allowed; 0: it is now. */
uint64_t breaker_wait(const struct breaker *breaker, uint64_t now_ns);

/* Notes a failure; whether it opened the breaker, for the first time or again. */
bool breaker_failed(struct breaker *breaker, uint64_t now_ns);

/* Notes a success; whether it closed the breaker. */
bool breaker_succeeded(struct breaker *breaker);

#endif
