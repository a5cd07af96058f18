/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the ladder: its rungs. */
#ifndef SLUICE_RUNG_H
#define SLUICE_RUNG_H

#include "policy.h"

/* What one rung would bring and cost. */
struct rung {
	unsigned int order;
	uint64_t bytes;
	uint64_t entries;
	uint64_t lock_ns;
	double cost_ns;	 /* CPU time, host and guest */
	double worth_ns; /* CPU time that it may cost */
};

/* The order at which the ladder rests unless the guest is busy: that of 2 MiB. */
unsigned int rung_rest(unsigned int pageblock_order, uint64_t page_size);
/* The same within the configured limits. */
unsigned int rung_resting(const struct policy_input *input);

/* What an excursion to @order would bring now, beyond what is reported at rest. */
void rung_appraise(const struct policy_input *input, const struct ladder_state *state,
		   unsigned int order, struct rung *rung);
bool rung_acceptable(const struct policy_input *input, const struct rung *rung);

/* The rung that gains most. False if none is acceptable: then *last is the lowest. */
bool rung_find(const struct policy_input *input, const struct ladder_state *state,
	       struct rung *best, struct rung *last);

#endif
