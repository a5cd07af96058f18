// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strategy "ladder": the order follows the phase of the workload.
 *
 *   busy      held: nothing, or where the kernel can't be switched off nothing but
 *             the highest order: what is free now is used again soon
 *   settling  extents of 2 MiB, the kernel's own default on most machines
 *   idle      the same, and from there excursions to lower rungs
 *
 * A low order reports much more memory (a third of it can lie in pieces below
 * 2 MiB), but costs an entry per piece, walks long lists with interrupts off, and
 * each piece that is used again costs a fault on the host. So a rung is taken only
 * if what it would report is worth that, for as long as it takes, and the order
 * goes back up behind it: a low order is an excursion, not a state.
 *
 * Worth is time: a guest that has been quiet for a while is expected to stay so for
 * as long again, so each MiB is returned for that time, at a price that the
 * configuration sets.
 */
#include "policy.h"

#include <inttypes.h>
#include <stdio.h>

#include "sluice/units.h"

/*
 * What an entry costs host and guest: a share of the request, and one
 * madvise(MADV_DONTNEED). What a page of the host costs that is touched again: a
 * fault, and filling 4 KiB with zeroes.
 */
#define ENTRY_COST_NS 2000
#define FAULT_COST_NS 1000
#define HOST_PAGE     4096

/* Share that is used again before any excursion has shown it. */
#define REFAULT_GUESS 0.1

/* A kick without effect is repeated after twice the time, up to 2^6 times. */
#define MOST_BACKOFF 6

/* How often all orders are looked at for something worth an excursion. */
#define LOOK_NS (5 * NSEC_PER_SEC)

/* Where the ladder rests unless the guest is busy: order 9 with 4 KiB pages. */
#define REST_BYTES (UINT64_C(2) << 20)

/* Extents of these sizes and more: orders 7, 5, 2, 0 with 4 KiB pages. */
static const uint64_t rung_bytes[] = { UINT64_C(512) << 10, UINT64_C(128) << 10, UINT64_C(16) << 10,
				       UINT64_C(4) << 10 };
#define RUNGS (sizeof(rung_bytes) / sizeof(rung_bytes[0]))

static const char *const phase_names[] = {
	[LADDER_BUSY] = "busy",
	[LADDER_SETTLING] = "settling",
	[LADDER_IDLE] = "idle",
};

/* What one rung would bring and cost. */
struct offer {
	unsigned int order;
	uint64_t bytes;
	uint64_t entries;
	uint64_t lock_ns;
	double cost_ns;	 /* CPU time, host and guest */
	double worth_ns; /* CPU time that it may cost */
};

/* Order of the smallest extent of at least @bytes. */
static unsigned int order_of(uint64_t bytes, uint64_t page_size)
{
	unsigned int order = 0;

	while (page_size << order < bytes)
		order++;
	return order;
}

static unsigned int rest_order(unsigned int pageblock_order, uint64_t page_size)
{
	const unsigned int order = order_of(REST_BYTES, page_size);

	return order < pageblock_order ? order : pageblock_order;
}

static unsigned int resting(const struct policy_input *input)
{
	const struct snapshot *snap = input->snap;

	return policy_release_order(input, (int)rest_order(snap->pageblock_order, snap->page_size));
}

static uint64_t over(uint64_t value, uint64_t limit)
{
	return value > limit ? value - limit : 0;
}

static uint64_t count_entries(const struct policy_input *input, unsigned int order)
{
	const struct snapshot *snap = input->snap;
	uint64_t entries = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		for (unsigned int o = order; o < snap->nr_orders; o++)
			entries += policy_area(input, &snap->zones[i], o, order);
	return entries;
}

static double refault_share(const struct ladder_state *state)
{
	return state->refault_known ? state->refault : REFAULT_GUESS;
}

static void appraise(const struct policy_input *input, const struct ladder_state *state,
		     unsigned int order, struct offer *offer)
{
	const double quiet = (double)(input->now_ns - state->quiet_ns) / (double)NSEC_PER_SEC;
	const unsigned int rest = resting(input);
	double gib;

	*offer = (struct offer){
		.order = order,
		/* what the kernel reports without it does not count */
		.bytes = over(policy_unreported(input, order), policy_unreported(input, rest)),
		.entries = over(count_entries(input, order), count_entries(input, rest)),
		.lock_ns = policy_lock_time(input->snap, order),
	};
	gib = (double)offer->bytes / (double)GIB;
	offer->cost_ns = (double)offer->entries * ENTRY_COST_NS + (double)offer->lock_ns +
			 refault_share(state) * (double)(offer->bytes / HOST_PAGE) * FAULT_COST_NS;
	offer->worth_ns = gib * quiet * (double)input->config->ladder.cost;
}

static bool acceptable(const struct policy_input *input, const struct offer *offer)
{
	const uint64_t limit = input->config->guards.lock_time;

	return offer->bytes >= input->config->ladder.min_gain &&
	       offer->cost_ns <= offer->worth_ns && (!limit || offer->lock_ns <= limit);
}

/* The rung that gains most, or a reason why none does. */
static bool find_rung(const struct policy_input *input, const struct ladder_state *state,
		      struct offer *best, struct offer *last)
{
	const struct snapshot *snap = input->snap;
	const unsigned int floor = policy_release_order(input, input->config->ladder.idle_floor);
	unsigned int above = resting(input);
	bool found = false;

	*last = (struct offer){ .order = above };
	if (snap->reporting_order < 0) /* no knob: until 5.13 */
		return false;
	for (size_t i = 0; i < RUNGS; i++) {
		unsigned int order = order_of(rung_bytes[i], snap->page_size);

		if (order < floor)
			order = floor;
		if (order >= above)
			continue; /* pages so large, or a floor so high, that rungs fall together */
		above = order;
		appraise(input, state, order, last);
		if (acceptable(input, last) &&
		    (!found || last->worth_ns - last->cost_ns > best->worth_ns - best->cost_ns)) {
			*best = *last;
			found = true;
		}
	}
	return found;
}

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
		    const struct offer *last, struct decision *decision)
{
	const unsigned int order = resting(input);
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

static void go_away(const struct policy_input *input, const struct offer *offer,
		    struct ladder_state *state, struct decision *decision)
{
	char bytes[UNITS_TEXT], cost[UNITS_TEXT], worth[UNITS_TEXT];

	state->away = true;
	state->rung = offer->order;
	state->away_ns = input->now_ns;
	restart(state);
	push(input, offer->order, offer->bytes, state, decision);
	decision_reason(decision,
			"excursion to order %u: %s in %" PRIu64
			" extents for %s of CPU time, worth %s after %.0f s of quiet",
			offer->order, format_size(offer->bytes, bytes), offer->entries,
			format_duration((uint64_t)offer->cost_ns, cost),
			format_duration((uint64_t)offer->worth_ns, worth),
			(double)(input->now_ns - state->quiet_ns) / (double)NSEC_PER_SEC);
}

/* False when the excursion is over. */
static bool stay_away(const struct policy_input *input, struct ladder_state *state,
		      struct decision *decision)
{
	char left[UNITS_TEXT];
	struct offer offer;

	appraise(input, state, state->rung, &offer);
	if (!acceptable(input, &offer) ||
	    input->now_ns - state->away_ns >= input->config->ladder.excursion ||
	    !push(input, state->rung, offer.bytes, state, decision))
		return false;
	decision_reason(decision, "excursion at order %u: %s in %" PRIu64 " extents left",
			state->rung, format_size(offer.bytes, left), offer.entries);
	return true;
}

static bool looks(const struct ladder_state *state, uint64_t now_ns)
{
	return state->phase == LADDER_IDLE &&
	       (state->away || !state->looked_ns || now_ns - state->looked_ns >= LOOK_NS);
}

static void idle(const struct policy_input *input, struct ladder_state *state,
		 struct decision *decision)
{
	const bool looked = snapshot_lowest_order(input->snap) < input->snap->pageblock_order;
	struct offer best = { 0 }, last;

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
	if (find_rung(input, state, &best, &last))
		go_away(input, &best, state, decision);
	else
		at_rest(input, state, &last, decision);
}

bool ladder_needs_all(const struct ladder_state *state, const struct topology *topology,
		      uint64_t now_ns)
{
	return looks(state, now_ns) || rest_order(topology->pageblock_order, topology->page_size) <
					       topology->pageblock_order;
}

void strategy_ladder(const struct policy_input *input, struct policy_state *policy,
		     struct decision *decision)
{
	struct ladder_state *state = &policy->ladder;
	char why[160], left[UNITS_TEXT];

	follow_phase(input, policy, state, why, sizeof(why));
	if (state->phase != LADDER_IDLE)
		come_back(input, state);
	switch (state->phase) {
	case LADDER_BUSY:
		policy_hold(input, decision);
		if (*why)
			decision_reason(decision, "busy: %s", why);
		else
			decision_reason(decision, "busy until it has been calm for %s",
					format_duration(input->config->ladder.settle, left));
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
