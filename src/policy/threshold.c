// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strategy "threshold", after Nitesh Lal's page reporting v12 (August 2019):
 * release once enough memory is free, unreported and has been so for a while.
 *
 * Here the trigger is bytes, not a number of blocks, and there are two of them:
 * releasing begins at "start" and ends at "stop". In between a pass may take
 * several kicks, since the kernel sends a part of each list per pass and does
 * not say when it is done.
 */
#include "policy.h"

#include <inttypes.h>
#include <stdio.h>

#include "sluice/units.h"

#define MAX_KICKS 3 /* without progress, then the host or the kernel does not take it */

/* Backlog of the zones against their thresholds; those without their own share the general. */
struct backlog {
	uint64_t ripe;	  /* bytes that count */
	uint64_t own;	  /* bytes of these in zones with a start or stop of their own */
	uint64_t young;	  /* bytes that are too young */
	uint64_t gated;	  /* bytes behind a shut zone gate */
	uint64_t ignored; /* bytes in zones that are configured away */
	bool start;	  /* some group has reached its start */
	bool stop;	  /* every group is at or below its stop */
	char who[48];	  /* the group that reached start: "all zones", "node 0 Normal" */
	uint64_t who_bytes, who_start, who_age;
};

static void judge(struct backlog *backlog, uint64_t bytes, uint64_t start, uint64_t stop,
		  uint64_t min_age, const char *who)
{
	if (bytes > stop)
		backlog->stop = false;
	if (bytes < start || backlog->start)
		return;
	backlog->start = true;
	snprintf(backlog->who, sizeof(backlog->who), "%s", who);
	backlog->who_bytes = bytes;
	backlog->who_start = start;
	backlog->who_age = min_age;
}

/* Unreported bytes of a zone whether or not its gate is open. */
static uint64_t unreported(const struct snapshot *snap, const struct zone_snapshot *zone,
			   unsigned int order)
{
	struct zone_snapshot open = *zone;

	open.info.free_pages = UINT64_MAX;
	return zone_reportable(snap, &open, order, false);
}

static void measure(const struct policy_input *input, unsigned int order, struct backlog *backlog)
{
	const struct config_threshold *general = &input->config->threshold;
	const struct snapshot *snap = input->snap;
	uint64_t shared = 0;

	*backlog = (struct backlog){ .stop = true };
	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		const struct zone_snapshot *zone = &snap->zones[i];
		const struct config_zone *own =
			policy_zone(input->config, zone->info.node, zone->info.name);
		const uint64_t all = zone_reportable(snap, zone, order, false);
		const uint64_t ripe = zone_reportable(snap, zone, order, true);
		char who[40];

		if (own && own->ignore) {
			backlog->ignored += all;
			continue;
		}
		backlog->ripe += ripe;
		backlog->young += all - ripe;
		backlog->gated += unreported(snap, zone, order) - all;
		if (!own || (!own->has_start && !own->has_stop)) {
			shared += ripe;
			continue;
		}
		backlog->own += ripe;
		snprintf(who, sizeof(who), "node %u %s", zone->info.node, zone->info.name);
		judge(backlog, ripe, own->has_start ? own->start : general->start,
		      own->has_stop ? own->stop : general->stop,
		      own->has_min_age ? own->min_age : general->min_age, who);
	}
	judge(backlog, shared, general->start, general->stop, general->min_age, "all zones");
}

/* ", 12 MiB too young, 8 MiB behind a zone gate": what else there is, or nothing. */
static const char *rest(const struct backlog *backlog, char *buf, size_t size)
{
	const struct {
		uint64_t bytes;
		const char *what;
	} parts[] = {
		{ backlog->young, "too young" },
		{ backlog->gated, "behind a zone gate" },
		{ backlog->ignored, "in ignored zones" },
		{ backlog->own, "in zones with their own start and stop" },
	};
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char text[UNITS_TEXT];

		if (parts[i].bytes && used < size)
			used += (size_t)snprintf(buf + used, size - used, ", %s %s",
						 format_size(parts[i].bytes, text), parts[i].what);
	}
	return buf;
}

static void begin(const struct policy_input *input, const struct backlog *backlog,
		  unsigned int order, struct threshold_state *state, struct decision *decision)
{
	char found[UNITS_TEXT], start[UNITS_TEXT], age[UNITS_TEXT];

	*state = (struct threshold_state){
		.releasing = true,
		.kicks = input->config->kick,
		.began_with = backlog->ripe + backlog->young,
		.least_left = backlog->ripe + backlog->young,
		.reported = policy_reported(input->snap, order),
		.progress_ns = input->now_ns,
	};
	policy_release(input, order, decision);
	decision->kick = input->config->kick;
	decision_reason(
		decision, "%s: %s free and unreported at order %u+ for %s or longer, start is %s",
		backlog->who, format_size(backlog->who_bytes, found), order,
		format_duration(backlog->who_age, age), format_size(backlog->who_start, start));
}

static void wait_for_start(const struct policy_input *input, const struct backlog *backlog,
			   unsigned int order, struct threshold_state *state,
			   struct decision *decision)
{
	const uint64_t cooldown = input->config->threshold.cooldown;
	const uint64_t shared = backlog->ripe - backlog->own;
	char ripe[UNITS_TEXT], start[UNITS_TEXT], left[UNITS_TEXT], more[160];

	if (state->cooldown_from && input->now_ns - state->cooldown_from < cooldown) {
		policy_hold(input, decision);
		decision_reason(
			decision, "cooldown: %s left; %s unreported at order %u+%s",
			format_duration(cooldown - (input->now_ns - state->cooldown_from), left),
			format_size(shared, ripe), order, rest(backlog, more, sizeof(more)));
		return;
	}
	if (backlog->start) {
		begin(input, backlog, order, state, decision);
		return;
	}
	policy_hold(input, decision);
	decision_reason(decision, "%s unreported at order %u+, start is %s%s",
			format_size(shared, ripe), order,
			format_size(input->config->threshold.start, start),
			rest(backlog, more, sizeof(more)));
}

static void end(const struct policy_input *input, struct threshold_state *state)
{
	*state = (struct threshold_state){ .cooldown_from = input->now_ns };
}

/*
 * Whether the kernel is reporting. The backlog may grow meanwhile, because the
 * guest frees more, and so may what is reported shrink, because the guest
 * allocates: either that moves in the right direction is progress.
 */
static void note_progress(const struct policy_input *input, uint64_t left, unsigned int order,
			  struct threshold_state *state)
{
	const uint64_t now_reported = policy_reported(input->snap, order);

	if (left < state->least_left || now_reported > state->reported || !input->acting) {
		state->progress_ns = input->now_ns;
		state->kicks = 0;
	}
	if (left < state->least_left)
		state->least_left = left;
	if (left > state->began_with)
		state->began_with = left;
	state->reported = now_reported;
}

/* Kicks again, or gives up, after a pass without progress. */
static void push(const struct policy_input *input, const char *left, const char *began,
		 struct threshold_state *state, struct decision *decision)
{
	if (state->kicks >= MAX_KICKS || !input->config->kick) {
		policy_hold(input, decision);
		decision_reason(decision, "given up: %s of %s left and no progress after %u kicks",
				left, began, state->kicks);
		end(input, state);
		return;
	}
	state->kicks++;
	state->progress_ns = input->now_ns;
	decision->kick = true;
	decision_reason(decision, "no progress for a pass: kick %u of %d, %s of %s left",
			state->kicks, MAX_KICKS, left, began);
}

static void go_on(const struct policy_input *input, const struct backlog *backlog,
		  unsigned int order, struct threshold_state *state, struct decision *decision)
{
	char left[UNITS_TEXT], began[UNITS_TEXT], stop[UNITS_TEXT], more[160];

	note_progress(input, backlog->ripe + backlog->young, order, state);
	format_size(backlog->ripe + backlog->young, left);
	format_size(state->began_with, began);
	format_size(input->config->threshold.stop, stop);
	if (backlog->stop) {
		policy_hold(input, decision);
		decision_reason(decision, "done: %s of %s left, stop is %s%s",
				format_size(backlog->ripe, left), began, stop,
				rest(backlog, more, sizeof(more)));
		end(input, state);
		return;
	}
	policy_release(input, order, decision);
	if (input->now_ns - state->progress_ns < policy_patience(input))
		decision_reason(decision, "releasing: %s of %s left, stop is %s", left, began,
				stop);
	else
		push(input, left, began, state, decision);
}

void strategy_threshold(const struct policy_input *input, struct policy_state *policy,
			struct decision *decision)
{
	const unsigned int order = policy_release_order(input, input->config->threshold.order);
	struct backlog backlog;

	measure(input, order, &backlog);
	if (policy->threshold.releasing)
		go_on(input, &backlog, order, &policy->threshold, decision);
	else
		wait_for_start(input, &backlog, order, &policy->threshold, decision);
}
