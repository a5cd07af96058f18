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

/* The lowest order that a strategy of this configuration may release at. */
static int lowest_order(const struct config *config)
{
	switch (config->strategy) {
	case STRATEGY_THRESHOLD:
		return config->threshold.order;
	case STRATEGY_CYCLE:
		return config->cycle.order;
	case STRATEGY_BURST:
		return config->burst.floor;
	case STRATEGY_SLEW:
		return config->slew.order;
	case STRATEGY_TRIM:
		return config->trim.order;
	case STRATEGY_LADDER:
		return config->ladder.idle_floor;
	case STRATEGY_KERNEL:
		break;
	}
	return ORDER_PAGEBLOCK;
}

enum scan_depth policy_depth(const struct config *config, const struct policy_state *policy,
			     const struct topology *topology, uint64_t now_ns)
{
	if (config->strategy == STRATEGY_LADDER &&
	    !ladder_needs_all(&policy->ladder, topology, now_ns))
		return SCAN_HEADS;
	if (config->strategy != STRATEGY_KERNEL &&
	    release_order(config, lowest_order(config), topology->pageblock_order,
			  topology->highest_order) < topology->pageblock_order)
		return SCAN_FULL;
	return SCAN_HEADS;
}

void policy_hold(const struct policy_input *input, struct decision *decision)
{
	*decision = (struct decision){
		.action = POLICY_HOLD,
		.order = policy_hold_order(input),
		.delay = input->config->delay_hold,
	};
}

void policy_release(const struct policy_input *input, unsigned int order, struct decision *decision)
{
	*decision = (struct decision){
		.action = POLICY_RELEASE,
		.order = order,
		.delay = input->config->delay_release,
	};
}

uint64_t policy_reported(const struct snapshot *snap, unsigned int order)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		for (unsigned int o = order; o < snap->nr_orders; o++)
			bytes += snap->zones[i].orders[o].reported * (snap->page_size << o);
	return bytes;
}

bool policy_ignores(const struct config *config, const struct sluice_zone_info *zone)
{
	const struct config_zone *entry = policy_zone(config, zone->node, zone->name);

	return entry && entry->ignore;
}

uint64_t policy_area(const struct policy_input *input, const struct zone_snapshot *zone,
		     unsigned int order, unsigned int limit)
{
	const struct order_count *count = &zone->orders[order];

	if (order < limit || policy_ignores(input->config, &zone->info) ||
	    !zone_gate_open(&zone->info, limit))
		return 0;
	return count->free - count->reported;
}

uint64_t policy_unreported(const struct policy_input *input, unsigned int order)
{
	const struct snapshot *snap = input->snap;
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		for (unsigned int o = order; o < snap->nr_orders; o++)
			bytes += policy_area(input, &snap->zones[i], o, order) *
				 (snap->page_size << o);
	return bytes;
}

uint64_t policy_patience(const struct policy_input *input)
{
	/* a pass starts one delay after the kick, and a scan sees it one interval later */
	return input->pass_delay + 2 * input->config->interval;
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

	if (entry && entry->has_min_age)
		return entry->min_age;
	return config->strategy == STRATEGY_LADDER ? config->ladder.cold :
						     config->threshold.min_age;
}

void strategy_kernel(const struct policy_input *input, struct policy_state *policy,
		     struct decision *decision)
{
	const struct snapshot *snap = input->snap;
	char left[UNITS_TEXT];

	(void)policy;
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

void policy_decide(const struct policy_input *input, struct policy_state *policy,
		   struct decision *decision)
{
	static void (*const strategies[])(const struct policy_input *, struct policy_state *,
					  struct decision *) = {
		[STRATEGY_KERNEL] = strategy_kernel, [STRATEGY_THRESHOLD] = strategy_threshold,
		[STRATEGY_CYCLE] = strategy_cycle,   [STRATEGY_BURST] = strategy_burst,
		[STRATEGY_SLEW] = strategy_slew,     [STRATEGY_LADDER] = strategy_ladder,
		[STRATEGY_TRIM] = strategy_trim,
	};
	struct policy_input seen = *input;

	if (input->snap->source == SOURCE_BUDDYINFO && input->config->strategy != STRATEGY_KERNEL) {
		*decision = (struct decision){ .action = POLICY_LEAVE };
		decision_reason(decision,
				"no decision: /proc/buddyinfo alone does not show what is "
				"reported");
		return;
	}
	if (input->config->strategy == STRATEGY_KERNEL) {
		strategy_kernel(input, policy, decision);
		return;
	}
	guards_follow(input, &policy->guards);
	/* behind a veto no progress can be expected, and its absence means nothing */
	seen.acting = input->acting && !policy->guards.vetoed;
	strategies[input->config->strategy](&seen, policy, decision);
	guards_check(input, &policy->guards, decision);
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
