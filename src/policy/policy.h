/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the policy: what strategies share. */
#ifndef SLUICE_POLICY_INTERNAL_H
#define SLUICE_POLICY_INTERNAL_H

#include "sluice/policy.h"

void decision_reason(struct decision *decision, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Orders within the configured limits, resolved for the kernel of the snapshot. */
unsigned int policy_hold_order(const struct policy_input *input);
unsigned int policy_release_order(const struct policy_input *input, int wanted);

/* The override that applies to a zone: the one that names its node, else the general; or NULL. */
const struct config_zone *policy_zone(const struct config *config, unsigned int node,
				      const char *zone);

void strategy_kernel(const struct policy_input *input, struct policy_state *state,
		     struct decision *decision);
void strategy_threshold(const struct policy_input *input, struct policy_state *state,
			struct decision *decision);

#endif
