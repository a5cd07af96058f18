// SPDX-License-Identifier: GPL-2.0-only
#include "policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sluice/units.h"

void decision_reason(struct decision *decision, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(decision->reason, sizeof(decision->reason), fmt, args);
	va_end(args);
}

static unsigned int resolve(int order, unsigned int pageblock_order, unsigned int highest_order)
{
	return (unsigned int)order_resolve(order, (int)pageblock_order, (int)highest_order);
}

unsigned int policy_hold_order(const struct policy_input *input)
{
	const struct snapshot *snap = input->snap;

	return resolve(input->config->order_ceiling, snap->pageblock_order, snap->nr_orders - 1);
}

static unsigned int release_order(const struct config *config, int wanted,
				  unsigned int pageblock_order, unsigned int highest_order)
{
	unsigned int order = resolve(wanted, pageblock_order, highest_order);
	const unsigned int floor = resolve(config->order_floor, pageblock_order, highest_order);
	const unsigned int ceiling = resolve(config->order_ceiling, pageblock_order, highest_order);

	if (order < floor)
		order = floor;
	if (order > ceiling)
		order = ceiling;
	return order > highest_order ? highest_order : order;
}

unsigned int policy_release_order(const struct policy_input *input, int wanted)
{
	return release_order(input->config, wanted, input->snap->pageblock_order,
			     input->snap->nr_orders - 1);
}

enum scan_depth policy_depth(const struct config *config, unsigned int pageblock_order,
			     unsigned int highest_order)
{
	if (config->strategy == STRATEGY_THRESHOLD &&
	    release_order(config, config->threshold.order, pageblock_order, highest_order) <
		    pageblock_order)
		return SCAN_FULL;
	return SCAN_HEADS;
}

const struct config_zone *policy_zone(const struct config *config, unsigned int node,
				      const char *zone)
{
	const struct config_zone *any = NULL;

	for (unsigned int i = 0; i < config->nr_zones; i++) {
		const struct config_zone *entry = &config->zones[i];

		if (strcmp(entry->zone, zone))
			continue;
		if (entry->node == (int)node)
			return entry;
		if (entry->node == CONFIG_ANY_NODE)
			any = entry;
	}
	return any;
}

uint64_t policy_min_age(const struct config *config, unsigned int node, const char *zone)
{
	const struct config_zone *entry = policy_zone(config, node, zone);

	return entry && entry->has_min_age ? entry->min_age : config->threshold.min_age;
}

void strategy_kernel(const struct policy_input *input, struct policy_state *state,
		     struct decision *decision)
{
	const struct snapshot *snap = input->snap;
	char left[UNITS_TEXT];

	(void)state;
	*decision = (struct decision){ .action = POLICY_LEAVE };
	decision_reason(
		decision, "strategy kernel touches nothing; %s unreported at order %d",
		format_size(snap->reporting_order < 0 ?
				    0 :
				    snapshot_reportable(snap, (unsigned int)snap->reporting_order,
							false),
			    left),
		snap->reporting_order);
}

void policy_decide(const struct policy_input *input, struct policy_state *state,
		   struct decision *decision)
{
	static void (*const strategies[])(const struct policy_input *, struct policy_state *,
					  struct decision *) = {
		[STRATEGY_KERNEL] = strategy_kernel,
		[STRATEGY_THRESHOLD] = strategy_threshold,
	};

	if (input->snap->source == SOURCE_BUDDYINFO && input->config->strategy != STRATEGY_KERNEL) {
		*decision = (struct decision){ .action = POLICY_LEAVE };
		decision_reason(decision,
				"no decision: /proc/buddyinfo alone does not show what is "
				"reported");
		return;
	}
	strategies[input->config->strategy](input, state, decision);
}

const char *policy_action_name(enum policy_action action)
{
	static const char *const names[] = {
		[POLICY_LEAVE] = "leave",
		[POLICY_HOLD] = "hold",
		[POLICY_RELEASE] = "release",
	};

	return names[action];
}
