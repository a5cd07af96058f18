// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strategy "slew", after the self-ballooning of transcendent memory (Dan
 * Magenheimer, 2008 to 2011) and the review of its dynamic sizing: two rates.
 * Memory beyond a reserve is given back slowly, so that a guest that is idle for
 * a moment keeps it; when the guest takes memory, giving stops at once.
 */
#include "policy.h"

#include "sluice/units.h"

/* The least that is worth a release: one request of the kernel at this order. */
static uint64_t request_bytes(const struct policy_input *input, unsigned int order)
{
	return (uint64_t)REPORTING_CAPACITY * (input->snap->page_size << order);
}

/* Bytes that the guest took since the last decision, reported or not. */
static uint64_t taken(const struct slew_state *state, uint64_t reported, uint64_t unreported)
{
	return state->last_ns ? over(state->reported + state->unreported, reported + unreported) :
				0;
}

static int64_t earned(const struct policy_input *input, const struct slew_state *state)
{
	const double seconds =
		state->last_ns ? (double)(input->now_ns - state->last_ns) / (double)NSEC_PER_SEC :
				 0;

	return (int64_t)(seconds * (double)input->config->slew.give_rate);
}

static uint64_t positive(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

static void stop(const struct policy_input *input, struct slew_state *state,
		 struct decision *decision)
{
	state->giving = false;
	policy_hold(input, decision);
}

static void give(const struct policy_input *input, unsigned int order, uint64_t excess,
		 struct slew_state *state, struct decision *decision)
{
	char allowed[UNITS_TEXT], beyond[UNITS_TEXT], rate[UNITS_TEXT];
	const bool stuck = input->now_ns - state->progress_ns >= policy_patience(input);

	policy_release(input, order, decision);
	if (!state->giving || stuck) {
		decision->kick = input->config->kick;
		state->progress_ns = input->now_ns;
	}
	state->giving = true;
	decision_reason(decision, "giving %s of %s beyond the reserve, at %s per second; order %u",
			format_size(positive(state->allowance), allowed),
			format_size(excess, beyond),
			format_size(input->config->slew.give_rate, rate), order);
}

/* @excess: bytes beyond the reserve. */
static void decide(const struct policy_input *input, unsigned int order, uint64_t excess,
		   struct slew_state *state, struct decision *decision)
{
	const struct config_slew *config = &input->config->slew;
	const uint64_t since = input->now_ns - state->taken_ns;
	char text[UNITS_TEXT], other[UNITS_TEXT];
	const uint64_t request = request_bytes(input, order);
	const uint64_t least = request < excess ? request : excess;

	if (state->taken_ns && since < config->take_back) {
		stop(input, state, decision);
		decision_reason(decision, "the guest took memory: nothing is given for another %s",
				format_duration(config->take_back - since, text));
		return;
	}
	if (!excess) {
		stop(input, state, decision);
		decision_reason(decision, "no more than the reserve of %s is free and unreported",
				format_size(config->reserve, text));
		return;
	}
	if (positive(state->allowance) >= (state->giving ? 1 : least)) {
		give(input, order, excess, state, decision);
		return;
	}
	stop(input, state, decision);
	decision_reason(decision, "%s may be given by now, of %s beyond the reserve",
			format_size(positive(state->allowance), text), format_size(excess, other));
}

/* A debt stays: a pass gives more than it was asked for, and the rate is an average. */
static void cap(struct slew_state *state, uint64_t most)
{
	if (positive(state->allowance) > most)
		state->allowance = (int64_t)most;
}

void strategy_slew(const struct policy_input *input, struct policy_state *policy,
		   struct decision *decision)
{
	const unsigned int order = policy_release_order(input, input->config->slew.order);
	struct slew_state *state = &policy->slew;
	const uint64_t reported = policy_reported(input->snap, order);
	const uint64_t unreported = policy_unreported(input, order);
	const uint64_t excess = over(unreported, input->config->slew.reserve);
	const uint64_t given = state->last_ns ? over(reported, state->reported) : 0;

	state->allowance += earned(input, state) - (int64_t)given;
	if (given)
		state->progress_ns = input->now_ns;
	/* faster than it is given */
	if (taken(state, reported, unreported) > positive(earned(input, state))) {
		state->taken_ns = input->now_ns;
		cap(state, 0);
	}
	cap(state, excess);
	state->last_ns = input->now_ns;
	state->reported = reported;
	state->unreported = unreported;
	decide(input, order, excess, state, decision);
	decision->stage = state->giving ? "give" : "keep";
}
