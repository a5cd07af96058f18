// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strategy "burst", after Liang Li's and Wei Wang's virtio-balloon (2016) and the
 * review by Andrea Arcangeli and Dave Hansen: nothing for a long time, and then
 * one sweep over all free memory, from the highest order down to a floor, with
 * one flush for each order. Large extents go first, since they return the most
 * per entry; and small ones may have merged until it is their turn.
 */
#include "policy.h"

#include "sluice/units.h"

static uint64_t at_order(const struct policy_input *input, unsigned int order)
{
	const struct snapshot *snap = input->snap;
	uint64_t extents = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		extents += policy_area(input, &snap->zones[i], order, order);
	return extents;
}

/* The next order below @above that has something to report, down to @floor; false: none. */
static bool next_order(const struct policy_input *input, unsigned int above, unsigned int floor,
		       unsigned int *order)
{
	for (unsigned int o = above; o-- > floor;) {
		if (!at_order(input, o))
			continue;
		*order = o;
		return true;
	}
	return false;
}

static void finish(const struct policy_input *input, uint64_t left, struct burst_state *state,
		   struct decision *decision)
{
	char left_text[UNITS_TEXT], began[UNITS_TEXT];

	policy_hold(input, decision);
	decision_reason(decision, "the sweep is done: %s of %s left", format_size(left, left_text),
			format_size(state->began_with, began));
	*state = (struct burst_state){ .cooldown_from = input->now_ns };
}

/* One flush: the order and the kick for it. */
static void step(const struct policy_input *input, unsigned int order, const char *why,
		 struct burst_state *state, struct decision *decision)
{
	char bytes[UNITS_TEXT];

	state->order = order;
	state->step_ns = input->now_ns;
	state->step_with = policy_unreported(input, order);
	policy_release(input, order, decision);
	decision->kick = input->config->kick;
	decision_reason(decision, "%s: order %u, %s to report", why, order,
			format_size(state->step_with, bytes));
}

static void wait_for_start(const struct policy_input *input, unsigned int floor,
			   struct burst_state *state, struct decision *decision)
{
	const struct config_burst *config = &input->config->burst;
	const uint64_t found = policy_unreported(input, floor);
	const uint64_t passed = input->now_ns - state->cooldown_from;
	char bytes[UNITS_TEXT], start[UNITS_TEXT], left[UNITS_TEXT];
	unsigned int order;

	format_size(found, bytes);
	if (state->cooldown_from && passed < config->cooldown) {
		policy_hold(input, decision);
		decision_reason(decision, "cooldown: %s left; %s unreported at order %u+",
				format_duration(config->cooldown - passed, left), bytes, floor);
		return;
	}
	if (found >= config->start && next_order(input, input->snap->nr_orders, floor, &order)) {
		*state = (struct burst_state){ .sweeping = true, .began_with = found };
		step(input, order, "a sweep begins", state, decision);
		return;
	}
	policy_hold(input, decision);
	decision_reason(decision, "%s unreported at order %u+, start is %s", bytes, floor,
			format_size(config->start, start));
}

static void go_on(const struct policy_input *input, unsigned int floor, struct burst_state *state,
		  struct decision *decision)
{
	const uint64_t left = policy_unreported(input, state->order);
	const bool late = input->now_ns - state->step_ns >= input->config->burst.step_timeout;
	char left_text[UNITS_TEXT], with[UNITS_TEXT];
	unsigned int order;

	if (!left || late) {
		if (next_order(input, state->order, floor, &order))
			step(input, order, left ? "the last order took too long" : "next", state,
			     decision);
		else
			finish(input, policy_unreported(input, floor), state, decision);
		return;
	}
	policy_release(input, state->order, decision);
	decision_reason(decision, "order %u: %s of %s left", state->order,
			format_size(left, left_text), format_size(state->step_with, with));
}

void strategy_burst(const struct policy_input *input, struct policy_state *policy,
		    struct decision *decision)
{
	const unsigned int floor = policy_release_order(input, input->config->burst.floor);
	struct burst_state *state = &policy->burst;

	if (state->sweeping)
		go_on(input, floor, state, decision);
	else
		wait_for_start(input, floor, state, decision);
	decision->stage = state->sweeping ? "sweep" : "wait";
}
