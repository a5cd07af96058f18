// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strategy "cycle", after Alexander Duyck's "waste page treatment" (May 2019): a
 * reactor that works in batches. It is idle until a list holds more unreported
 * extents than the high-water mark; lets it fill; reports; lets the host settle;
 * and drains: the order goes back, and for a while nothing happens.
 *
 * There the stages moved pages between lists. Here the kernel does that by
 * itself, and the stages say when it may.
 */
#include "policy.h"

#include <inttypes.h>
#include <stdio.h>

#include "sluice/units.h"

static const char *const stage_names[] = {
	[CYCLE_IDLE] = "idle",	   [CYCLE_FILL] = "fill",   [CYCLE_REPORT] = "report",
	[CYCLE_SETTLE] = "settle", [CYCLE_DRAIN] = "drain",
};

/* The list with the most unreported extents. */
struct fullest {
	uint64_t extents;
	char name[48]; /* "node 0 Normal, order 9" */
};

static void find_fullest(const struct policy_input *input, unsigned int limit,
			 struct fullest *fullest)
{
	const struct snapshot *snap = input->snap;

	*fullest = (struct fullest){ .name = "no list" };
	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		const struct zone_snapshot *zone = &snap->zones[i];

		for (unsigned int o = limit; o < snap->nr_orders; o++) {
			const uint64_t extents = policy_area(input, zone, o, limit);

			if (extents <= fullest->extents)
				continue;
			fullest->extents = extents;
			snprintf(fullest->name, sizeof(fullest->name), "node %u %s, order %u",
				 zone->info.node, zone->info.name, o);
		}
	}
}

static void enter(struct cycle_state *state, enum cycle_stage stage, uint64_t now)
{
	state->stage = stage;
	state->since_ns = now;
}

static bool above_mark(const struct policy_input *input, const struct fullest *fullest)
{
	return fullest->extents > (uint64_t)input->config->cycle.high_water;
}

/* Too many cycles in a row: the guest frees as fast as it is reported. */
static bool rests(const struct policy_input *input, const struct cycle_state *state)
{
	const struct config_cycle *config = &input->config->cycle;

	return state->cycles >= (unsigned int)config->max_cycles &&
	       input->now_ns - state->since_ns < config->cooldown;
}

static void idle(const struct policy_input *input, const struct fullest *fullest,
		 struct cycle_state *state, struct decision *decision)
{
	policy_hold(input, decision);
	if (rests(input, state)) {
		decision_reason(decision, "idle: %u cycles in a row were the most allowed",
				state->cycles);
		return;
	}
	if (above_mark(input, fullest)) {
		state->cycles = 0;
		enter(state, CYCLE_FILL, input->now_ns);
		decision_reason(decision,
				"fill: %s has %" PRIu64
				" unreported extents, the high-water mark is %d",
				fullest->name, fullest->extents, input->config->cycle.high_water);
		return;
	}
	decision_reason(decision,
			"idle: the fullest list, %s, has %" PRIu64
			" unreported extents, the high-water mark is %d",
			fullest->name, fullest->extents, input->config->cycle.high_water);
}

/* A list that emptied again by itself was about to be used. */
static void fill(const struct policy_input *input, unsigned int order,
		 const struct fullest *fullest, struct cycle_state *state,
		 struct decision *decision)
{
	if (!above_mark(input, fullest)) {
		enter(state, CYCLE_IDLE, input->now_ns);
		idle(input, fullest, state, decision);
		return;
	}
	state->cycles++;
	state->began_with = fullest->extents;
	state->reported = policy_reported(input->snap, order);
	state->progress_ns = input->now_ns;
	enter(state, CYCLE_REPORT, input->now_ns);
	policy_release(input, order, decision);
	decision->kick = input->config->kick;
	decision_reason(
		decision, "report: cycle %u of %d, %s still has %" PRIu64 " unreported extents",
		state->cycles, input->config->cycle.max_cycles, fullest->name, fullest->extents);
}

static void drain(const struct policy_input *input, struct cycle_state *state, const char *why,
		  const struct fullest *fullest, struct decision *decision)
{
	enter(state, CYCLE_DRAIN, input->now_ns);
	policy_hold(input, decision);
	decision_reason(decision, "drain: %s; %" PRIu64 " of %" PRIu64 " extents are left in %s",
			why, fullest->extents, state->began_with, fullest->name);
}

static void settle(const struct policy_input *input, unsigned int order,
		   const struct fullest *fullest, struct cycle_state *state,
		   struct decision *decision)
{
	const uint64_t reported = policy_reported(input->snap, order);

	if (reported > state->reported || !input->acting)
		state->progress_ns = input->now_ns;
	state->reported = reported;
	if (fullest->extents <= (uint64_t)input->config->cycle.low_water) {
		drain(input, state, "at the low-water mark", fullest, decision);
		return;
	}
	if (input->now_ns - state->progress_ns >= policy_patience(input)) {
		drain(input, state, "nothing more is reported", fullest, decision);
		return;
	}
	if (state->stage != CYCLE_SETTLE)
		enter(state, CYCLE_SETTLE, input->now_ns);
	policy_release(input, order, decision);
	decision_reason(decision,
			"settle: %" PRIu64 " of %" PRIu64
			" extents are left in %s, the low-water mark is %d",
			fullest->extents, state->began_with, fullest->name,
			input->config->cycle.low_water);
}

static void drained(const struct policy_input *input, const struct fullest *fullest,
		    struct cycle_state *state, struct decision *decision)
{
	const struct config_cycle *config = &input->config->cycle;
	const uint64_t passed = input->now_ns - state->since_ns;
	char left[UNITS_TEXT];

	policy_hold(input, decision);
	if (passed < config->cooldown) {
		decision_reason(decision, "drain: %s of the cooldown left",
				format_duration(config->cooldown - passed, left));
		return;
	}
	if (above_mark(input, fullest) && state->cycles < (unsigned int)config->max_cycles) {
		enter(state, CYCLE_FILL, input->now_ns);
		decision_reason(decision,
				"fill: %s has %" PRIu64
				" unreported extents again, the high-water mark is %d",
				fullest->name, fullest->extents, config->high_water);
		return;
	}
	enter(state, CYCLE_IDLE, input->now_ns);
	idle(input, fullest, state, decision);
}

void strategy_cycle(const struct policy_input *input, struct policy_state *policy,
		    struct decision *decision)
{
	const unsigned int order = policy_release_order(input, input->config->cycle.order);
	struct cycle_state *state = &policy->cycle;
	struct fullest fullest;

	find_fullest(input, order, &fullest);
	switch (state->stage) {
	case CYCLE_IDLE:
		idle(input, &fullest, state, decision);
		break;
	case CYCLE_FILL:
		fill(input, order, &fullest, state, decision);
		break;
	case CYCLE_REPORT:
	case CYCLE_SETTLE:
		settle(input, order, &fullest, state, decision);
		break;
	case CYCLE_DRAIN:
		drained(input, &fullest, state, decision);
		break;
	}
	decision->stage = stage_names[state->stage];
}
