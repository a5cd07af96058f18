// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strategy "ladder": the order follows the phase of the workload.
 *
 *   busy      held: nothing, or where the kernel can't be switched off nothing but
 *             the highest order: what is free now is used again soon. Unless most of
 *             it has been free for long: then it is not what the guest is busy with
 *   settling  extents of 2 MiB, the kernel's own default on most machines
 *   idle      the same, and from there excursions to lower rungs
 *
 * A low order reports much more memory (a third of it can lie in pieces below
 * 2 MiB), but costs an entry per piece, walks long lists with interrupts off, and
 * each piece that is used again costs a fault on the host. So a rung is taken only
 * if what it would report is worth that, for as long as it takes, and the order
 * goes back up behind it: a low order is an excursion, not a state.
 */
#include "rung.h"

#include <inttypes.h>
#include <stdio.h>

#include "sluice/units.h"

/* A kick without effect is repeated after twice the time, up to 2^6 times. */
#define MOST_BACKOFF 6

/* How often all orders are looked at for something worth an excursion. */
#define LOOK_NS (5 * NSEC_PER_SEC)

static const char *const phase_names[] = {
	[LADDER_BUSY] = "busy",
	[LADDER_SETTLING] = "settling",
	[LADDER_IDLE] = "idle",
};

static bool is_busy(const struct policy_input *input, const struct policy_state *policy, char *why,
		    size_t size)
{
	const struct activity *activity = &input->activity;
	const struct config_guards *guards = &input->config->guards;
	const double churn = policy_churn(&policy->guards) * 100;
	char rate[UNITS_TEXT], limit[UNITS_TEXT];

	if (activity->alloc_rate >= input->config->ladder.busy) {
		snprintf(why, size, "%s allocated per second, busy is %s",
			 format_size(activity->alloc_rate, rate),
			 format_size(input->config->ladder.busy, limit));
		return true;
	}
	if (guards->pressure && activity->psi_some * 100 >= guards->pressure) {
		snprintf(why, size, "tasks waited for memory %.0f %% of the time",
			 activity->psi_some * 100);
		return true;
	}
	if (guards->churn && churn >= guards->churn) {
		snprintf(why, size, "%.0f %% of what is reported is soon used again", churn);
		return true;
	}
	return false;
}

static bool is_quiet(const struct policy_input *input)
{
	const struct config_ladder *config = &input->config->ladder;

	return input->activity.alloc_rate < config->quiet &&
	       input->activity.cpu * 100 < (double)config->cpu;
}

/* Another order, or another phase: what moved before says nothing. */
static void restart(struct ladder_state *state)
{
	state->progress_ns = 0;
	state->reported = 0;
	state->kicks = 0;
}

static void enter(struct ladder_state *state, enum ladder_phase phase)
{
	state->phase = phase;
	restart(state);
}

/* @why: what makes the guest busy, or "". */
static void follow_phase(const struct policy_input *input, const struct policy_state *policy,
			 struct ladder_state *state, char *why, size_t size)
{
	const struct config_ladder *config = &input->config->ladder;
	const uint64_t now = input->now_ns;
	const bool known = input->activity.span_ns;

	*why = '\0';
	if (!state->started) {
		state->started = true;
		state->phase = LADDER_SETTLING;
		state->busy_ns = state->quiet_ns = now;
	}
	if (known && is_busy(input, policy, why, size)) {
		state->busy_ns = now;
		if (state->phase != LADDER_BUSY)
			enter(state, LADDER_BUSY);
	} else if (state->phase == LADDER_BUSY && now - state->busy_ns >= config->settle) {
		enter(state, LADDER_SETTLING);
	}
	if (known && !is_quiet(input))
		state->quiet_ns = now;
	if (state->phase == LADDER_SETTLING && now - state->quiet_ns >= config->idle)
		enter(state, LADDER_IDLE);
	else if (state->phase == LADDER_IDLE && state->quiet_ns == now)
		enter(state, LADDER_SETTLING);
}

/* What became of the memory that the last excursion reported. */
static void learn(const struct policy_input *input, struct ladder_state *state)
{
	const struct snapshot *snap = input->snap;
	uint64_t still;
	double lost;

	if (!state->left_ns || snapshot_lowest_order(snap) > state->left_order ||
	    input->now_ns - state->left_ns < input->config->guards.churn_age)
		return;
	still = policy_reported(snap, state->left_order);
	lost = still < state->left_reported ? 1 - (double)still / (double)state->left_reported : 0;
	state->refault = state->refault_known ? (state->refault + lost) / 2 : lost;
	state->refault_known = true;
	state->left_ns = 0;
}

static void come_back(const struct policy_input *input, struct ladder_state *state)
{
	if (!state->away)
		return;
	state->away = false;
	state->left_order = state->rung;
	state->left_reported = policy_reported(input->snap, state->rung);
	state->left_ns = snapshot_lowest_order(input->snap) <= state->rung ? input->now_ns : 0;
	state->looked_ns = input->now_ns;
	restart(state);
}

/*
 * Reporting at @order: kicks when that is new, and when nothing moves, each time
 * twice as long after the last: some memory can't be reported, and each kick makes
 * the host back a block. False when nothing moved for as long as a pass may take.
 */
static bool push(const struct policy_input *input, unsigned int order, uint64_t left,
		 struct ladder_state *state, struct decision *decision)
{
	const uint64_t reported = policy_reported(input->snap, order);
	const bool begins = !state->progress_ns;
	bool stuck;

	policy_release(input, order, decision);
	if (left < input->config->ladder.min_gain) {
		restart(state);
		return true;
	}
	if (begins || reported > state->reported || !input->acting) {
		state->progress_ns = input->now_ns;
		state->kicks = 0;
	}
	state->reported = reported;
	stuck = input->now_ns - state->progress_ns >= policy_patience(input) << state->kicks;
	if (stuck) {
		state->progress_ns = input->now_ns;
		if (state->kicks < MOST_BACKOFF)
			state->kicks++;
	}
	if (stuck || (begins && input->snap->reporting_order != (int)order))
		decision->kick = input->config->kick;
	return !stuck;
}

static void at_rest(const struct policy_input *input, struct ladder_state *state,
		    const struct rung *last, struct decision *decision)
{
	const unsigned int order = rung_resting(input);
	const uint64_t left = policy_unreported(input, order);
	char text[UNITS_TEXT], bytes[UNITS_TEXT], cost[UNITS_TEXT], worth[UNITS_TEXT],
		locked[UNITS_TEXT];

	push(input, order, left, state, decision);
	format_size(left, text);
	if (!last || !last->entries) {
		decision_reason(decision, "%s unreported at order %u", text, order);
		return;
	}
	decision_reason(
		decision,
		"%s unreported at order %u; no rung is worth it: order %u would report %s in "
		"%" PRIu64 " extents for %s, worth %s, with %s of locks",
		text, order, last->order, format_size(last->bytes, bytes), last->entries,
		format_duration((uint64_t)last->cost_ns, cost),
		format_duration((uint64_t)last->worth_ns, worth),
		format_duration(last->lock_ns, locked));
}

static void go_away(const struct policy_input *input, const struct rung *rung,
		    struct ladder_state *state, struct decision *decision)
{
	char bytes[UNITS_TEXT], cost[UNITS_TEXT], worth[UNITS_TEXT];

	state->away = true;
	state->rung = rung->order;
	state->away_ns = input->now_ns;
	restart(state);
	push(input, rung->order, rung->bytes, state, decision);
	decision_reason(decision,
			"excursion to order %u: %s in %" PRIu64
			" extents for %s of CPU time, worth %s after %.0f s of quiet",
			rung->order, format_size(rung->bytes, bytes), rung->entries,
			format_duration((uint64_t)rung->cost_ns, cost),
			format_duration((uint64_t)rung->worth_ns, worth),
			(double)(input->now_ns - state->quiet_ns) / (double)NSEC_PER_SEC);
}

/* False when the excursion is over. */
static bool stay_away(const struct policy_input *input, struct ladder_state *state,
		      struct decision *decision)
{
	char left[UNITS_TEXT];
	struct rung rung;

	rung_appraise(input, state, state->rung, &rung);
	if (!rung_acceptable(input, &rung) ||
	    input->now_ns - state->away_ns >= input->config->ladder.excursion ||
	    !push(input, state->rung, rung.bytes, state, decision))
		return false;
	decision_reason(decision, "excursion at order %u: %s in %" PRIu64 " extents left",
			state->rung, format_size(rung.bytes, left), rung.entries);
	return true;
}

static bool looks(const struct ladder_state *state, uint64_t now_ns)
{
	return state->phase == LADDER_IDLE &&
	       (state->away || !state->looked_ns || now_ns - state->looked_ns >= LOOK_NS);
}

static uint64_t cold_bytes(const struct policy_input *input, unsigned int order)
{
	const struct snapshot *snap = input->snap;
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		if (!policy_ignores(input->config, &snap->zones[i].info))
			bytes += zone_reportable(snap, &snap->zones[i], order, true);
	return bytes;
}

/*
 * A pass takes what is free only just as well, so cold memory has to be the larger part
 * of what it would take. It comes one delay after the kick, and would find nothing if the order
 * had gone up again meanwhile.
 */
static void busy(const struct policy_input *input, struct ladder_state *state, const char *why,
		 struct decision *decision)
{
	const struct config_ladder *config = &input->config->ladder;
	const unsigned int order = rung_resting(input);
	const uint64_t all = policy_unreported(input, order);
	const uint64_t cold = cold_bytes(input, order);
	char text[UNITS_TEXT], of[UNITS_TEXT], age[UNITS_TEXT];

	if (cold >= config->min_gain && cold >= all / 2)
		state->cold_ns = input->now_ns;
	if (cold >= config->min_gain && state->cold_ns &&
	    input->now_ns - state->cold_ns < input->pass_delay + input->config->interval) {
		push(input, order, cold, state, decision);
		decision_reason(decision,
				"busy, but %s of %s unreported were free for %s or longer",
				format_size(cold, text), format_size(all, of),
				format_duration(config->cold, age));
		return;
	}
	state->cold_ns = 0;
	restart(state);
	policy_hold(input, decision);
	if (*why)
		decision_reason(decision, "busy: %s", why);
	else
		decision_reason(decision, "busy until it has been calm for %s",
				format_duration(config->settle, text));
}

static void idle(const struct policy_input *input, struct ladder_state *state,
		 struct decision *decision)
{
	const bool looked = snapshot_lowest_order(input->snap) < input->snap->pageblock_order;
	struct rung best = { 0 }, last;

	if (looked)
		learn(input, state);
	if (state->away) {
		if (stay_away(input, state, decision))
			return;
		come_back(input, state);
		at_rest(input, state, NULL, decision);
		return;
	}
	if (!looked || !looks(state, input->now_ns)) {
		at_rest(input, state, NULL, decision);
		return;
	}
	state->looked_ns = input->now_ns;
	if (rung_find(input, state, &best, &last))
		go_away(input, &best, state, decision);
	else
		at_rest(input, state, &last, decision);
}

bool ladder_needs_all(const struct ladder_state *state, const struct topology *topology,
		      uint64_t now_ns)
{
	return looks(state, now_ns) || rung_rest(topology->pageblock_order, topology->page_size) <
					       topology->pageblock_order;
}

void strategy_ladder(const struct policy_input *input, struct policy_state *policy,
		     struct decision *decision)
{
	struct ladder_state *state = &policy->ladder;
	char why[160];

	follow_phase(input, policy, state, why, sizeof(why));
	if (state->phase != LADDER_IDLE)
		come_back(input, state);
	switch (state->phase) {
	case LADDER_BUSY:
		busy(input, state, why, decision);
		break;
	case LADDER_SETTLING:
		at_rest(input, state, NULL, decision);
		break;
	case LADDER_IDLE:
		idle(input, state, decision);
		break;
	}
	decision->stage = phase_names[state->phase];
}
