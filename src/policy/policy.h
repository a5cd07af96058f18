/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the policy: what strategies share. */
#ifndef SLUICE_POLICY_INTERNAL_H
#define SLUICE_POLICY_INTERNAL_H

#include "sluice/policy.h"

/* Of two amounts; and by how much the first is larger, 0 if it is not. */
static inline uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t over(uint64_t value, uint64_t limit)
{
	return value > limit ? value - limit : 0;
}

void decision_reason(struct decision *decision, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Orders within the configured limits, resolved for the kernel of the snapshot. */
unsigned int policy_hold_order(const struct policy_input *input);
unsigned int policy_release_order(const struct policy_input *input, int wanted);

/* The override that applies to a zone: the one that names its node, else the general; or NULL. */
const struct config_zone *policy_zone(const struct config *config, unsigned int node,
				      const char *zone);

/* Nothing more is to be reported: the order and delay of that, no reason yet. */
void policy_hold(const struct policy_input *input, struct decision *decision);
/* Reporting at @order, the delay of that, no kick and no reason yet. */
void policy_release(const struct policy_input *input, unsigned int order,
		    struct decision *decision);

/* Bytes that are reported at @order and above. */
uint64_t policy_reported(const struct snapshot *snap, unsigned int order);

/* Whether the configuration leaves the zone out. */
bool policy_ignores(const struct config *config, const struct sluice_zone_info *zone);

/* Unreported extents of one order that the kernel would report if that were its limit. */
uint64_t policy_area(const struct policy_input *input, const struct zone_snapshot *zone,
		     unsigned int order, unsigned int limit);
/* Bytes of them at @order and above, in all zones. */
uint64_t policy_unreported(const struct policy_input *input, unsigned int order);

/* How long the kernel may take for a pass before nothing is to be expected of it, ns. */
uint64_t policy_patience(const struct policy_input *input);

/*
 * Whether nothing may be reclaimed now; then @why says so. @reclaimed: bytes since the
 * last decision. Counts what is read again; brakes for prepare.backoff.
 */
#define BRAKE_WHY 160
bool policy_brake(const struct policy_input *input, uint64_t reclaimed, struct brake_state *state,
		  char why[BRAKE_WHY]);
/* Whether so little memory is available that nothing may be done to it; then @why says so. */
bool policy_short_of_memory(const struct policy_input *input, char why[BRAKE_WHY]);
/* Share of what was reported lately that was soon reused, 0 to 1. */
double policy_churn(const struct guard_state *guards);

/* Before each decision: what happened since the last one. */
void guards_follow(const struct policy_input *input, struct guard_state *guards);
/* Behind each decision: a veto replaces it. */
void guards_check(const struct policy_input *input, struct guard_state *guards,
		  struct decision *decision);

void strategy_kernel(const struct policy_input *input, struct policy_state *policy,
		     struct decision *decision);
void strategy_threshold(const struct policy_input *input, struct policy_state *policy,
			struct decision *decision);
void strategy_cycle(const struct policy_input *input, struct policy_state *policy,
		    struct decision *decision);
void strategy_burst(const struct policy_input *input, struct policy_state *policy,
		    struct decision *decision);
void strategy_slew(const struct policy_input *input, struct policy_state *policy,
		   struct decision *decision);
void strategy_trim(const struct policy_input *input, struct policy_state *policy,
		   struct decision *decision);
void strategy_ladder(const struct policy_input *input, struct policy_state *policy,
		     struct decision *decision);
/* Whether the ladder's next decision needs to see all orders. */
bool ladder_needs_all(const struct ladder_state *state, const struct topology *topology,
		      uint64_t now_ns);

#endif
