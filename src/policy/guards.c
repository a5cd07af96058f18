// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guards stand outside the strategies. They can only veto: a release becomes a
 * hold, with the reason of the guard. Nothing is ever started by one.
 */
#include "policy.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sluice/units.h"

/*
 * One entry of a free list: a struct page that is rarely in the cache. A scan of
 * heads, which reads one per pageblock, takes 45 to 65 ns for each on real hardware.
 */
#define ENTRY_NS 50

/* Below that a share says nothing. */
#define CHURN_LEAST_BYTES (UINT64_C(32) << 20)

static const char *const names[] = {
	[GUARD_NONE] = NULL,	     [GUARD_PRESSURE] = "pressure",
	[GUARD_CHURN] = "churn",     [GUARD_ALLOC_RATE] = "alloc_rate",
	[GUARD_RESERVE] = "reserve", [GUARD_LOCK_TIME] = "lock_time",
	[GUARD_POISON] = "poison",   [GUARD_HYPERV] = "hyperv",
};

uint64_t policy_lock_time(const struct snapshot *snap, unsigned int order)
{
	uint64_t entries = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		const struct sluice_zone_info *zone = &snap->zones[i].info;

		if (!zone_gate_open(zone, order))
			continue;
		for (unsigned int o = order; o < snap->pageblock_order; o++)
			entries += zone->nr_free[o];
	}
	return entries * ENTRY_NS;
}

double policy_churn(const struct guard_state *guards)
{
	if (guards->reported < (double)CHURN_LEAST_BYTES)
		return 0;
	return guards->reused < guards->reported ? guards->reused / guards->reported : 1;
}

/*
 * What was reported lately, and the part of it that was reused: both fade away with
 * churn_age, what is reused as what was reported at the same time.
 */
void guards_follow(const struct policy_input *input, struct guard_state *guards)
{
	const struct activity *activity = &input->activity;
	const double age = (double)input->config->guards.churn_age;
	const double rest = exp(-(double)activity->span_ns / age);
	const uint64_t reported = policy_reported(input->snap, input->snap->pageblock_order);

	guards->reported = guards->reported * rest + (double)activity->reported;
	guards->reused = guards->reused * rest + (double)activity->faded;
	if (reported > guards->seen_bytes)
		guards->pass_ns = input->now_ns;
	guards->seen_bytes = reported;
}

static int percent(double share)
{
	return (int)(share * 100 + 0.5);
}

/* Free memory beyond the low watermarks, in all zones. */
static uint64_t spare_bytes(const struct snapshot *snap)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		const struct sluice_zone_info *zone = &snap->zones[i].info;

		if (zone->free_pages > zone->low_wmark)
			pages += zone->free_pages - zone->low_wmark;
	}
	return pages * snap->page_size;
}

/* Causes that last beyond the moment: the first that applies, with its words. */
static enum guard find_cause(const struct policy_input *input, const struct guard_state *guards,
			     char *text, size_t size)
{
	const struct config_guards *config = &input->config->guards;
	const struct activity *activity = &input->activity;
	const int waiting = percent(activity->psi_some), churn = percent(policy_churn(guards));
	const uint64_t spare = spare_bytes(input->snap);
	char left[UNITS_TEXT], right[UNITS_TEXT];

	if (config->pressure && activity->has_psi && waiting >= config->pressure) {
		snprintf(text, size,
			 "tasks waited for memory %d %% of the time, the limit is %d %%", waiting,
			 config->pressure);
		return GUARD_PRESSURE;
	}
	if (config->churn && churn >= config->churn) {
		snprintf(text, size,
			 "%d %% of what is reported is used again within %s, the limit is %d %%",
			 churn, format_duration(config->churn_age, left), config->churn);
		return GUARD_CHURN;
	}
	if (config->alloc_rate && activity->alloc_rate >= config->alloc_rate) {
		snprintf(text, size, "the guest allocates %s per second, the limit is %s",
			 format_size(activity->alloc_rate, left),
			 format_size(config->alloc_rate, right));
		return GUARD_ALLOC_RATE;
	}
	if (config->reserve && spare < config->reserve) {
		snprintf(text, size, "%s are free above the low watermarks, the reserve is %s",
			 format_size(spare, left), format_size(config->reserve, right));
		return GUARD_RESERVE;
	}
	return GUARD_NONE;
}

/* What concerns this one decision. */
static enum guard find_objection(const struct policy_input *input, const struct decision *decision,
				 char *text, size_t size)
{
	const struct config_guards *config = &input->config->guards;
	const uint64_t locked = policy_lock_time(input->snap, decision->order);
	char left[UNITS_TEXT], right[UNITS_TEXT];

	if (config->poison && input->poisoned) {
		snprintf(
			text, size,
			"page_poison fills free pages: the host may have to keep what is reported");
		return GUARD_POISON;
	}
	if (config->lock_time && locked > config->lock_time) {
		snprintf(
			text, size,
			"a pass at order %u would walk lists for about %s with interrupts off, the "
			"limit is %s",
			decision->order, format_duration(locked, left),
			format_duration(config->lock_time, right));
		return GUARD_LOCK_TIME;
	}
	return GUARD_NONE;
}

static void veto(const struct policy_input *input, enum guard guard, const char *text,
		 struct guard_state *guards, struct decision *decision)
{
	const char *stage = decision->stage;

	policy_hold(input, decision);
	decision->stage = stage;
	decision->guard = names[guard];
	guards->vetoed = true;
	decision_reason(decision, "guard %s: %s", names[guard], text);
}

static void check_release(const struct policy_input *input, struct guard_state *guards,
			  struct decision *decision)
{
	const uint64_t since = input->now_ns - guards->last_ns;
	char text[256], left[UNITS_TEXT];
	enum guard guard = find_cause(input, guards, text, sizeof(text));

	if (guard != GUARD_NONE) {
		guards->last = guard;
		guards->last_ns = input->now_ns;
	} else if (guards->last != GUARD_NONE && since < input->config->guards.dwell) {
		guard = guards->last;
		snprintf(text, sizeof(text), "its cause is gone for %s",
			 format_duration(since, left));
	} else {
		guards->last = GUARD_NONE;
		guard = find_objection(input, decision, text, sizeof(text));
	}
	if (guard != GUARD_NONE)
		veto(input, guard, text, guards, decision);
}

/*
 * hv_free_page_report() warns about extents below the order limit (drivers/hv/hv_balloon.c),
 * so one that is raised during a pass can panic a guest that panics on warnings.
 */
static void check_hyperv(const struct policy_input *input, const struct guard_state *guards,
			 struct decision *decision)
{
	const int order = input->snap->reporting_order;
	const uint64_t since = input->now_ns - guards->pass_ns;

	if (!input->hyperv || order < 0 || decision->order <= (unsigned int)order ||
	    !guards->pass_ns || since >= policy_patience(input))
		return;
	*decision = (struct decision){ .action = POLICY_LEAVE,
				       .stage = decision->stage,
				       .guard = names[GUARD_HYPERV] };
	decision_reason(
		decision,
		"guard hyperv: a pass may be under way: the order stays %d until it is over",
		order);
}

void guards_check(const struct policy_input *input, struct guard_state *guards,
		  struct decision *decision)
{
	const bool was_vetoed = guards->vetoed;

	guards->vetoed = false;
	if (decision->action == POLICY_LEAVE)
		return;
	if (decision->action == POLICY_RELEASE)
		check_release(input, guards, decision);
	/* the strategy's own kick may have been vetoed */
	if (was_vetoed && decision->action == POLICY_RELEASE)
		decision->kick = input->config->kick;
	if (decision->kick)
		guards->pass_ns = input->now_ns;
	check_hyperv(input, guards, decision);
}
