// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/drain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "policy.h"
#include "sluice/units.h"

#define AGREEING_LOOKS	  2
#define EXTENTS_PER_BATCH UINT64_C(512) /* page_reporting_cycle(): capacity * 16 */
#define LOOKS_PER_PASS	  4
#define SHORTEST_LOOK	  (100 * NSEC_PER_MSEC)
#define LONGEST_LOOK	  NSEC_PER_SEC

/* One look, in bytes, but for the passes. */
struct seen {
	uint64_t free;	   /* in extents of the order and above */
	uint64_t reported; /* of these */
	uint64_t left;	   /* unreported and within reach */
	uint64_t young;	   /* of these, too young for a pass to have seen them */
	uint64_t gated;
	uint64_t below;
	uint64_t all_free; /* on the free lists, of any order, by the kernel's count */
	uint64_t passes;
};

/*
 * Passes for one list. Its budget follows from the free extents of all migrate types,
 * and each type's list gets as much: one pass too many at times, never too few.
 */
static uint64_t list_passes(uint64_t unreported, uint64_t nr_free)
{
	const uint64_t batches = (nr_free + EXTENTS_PER_BATCH - 1) / EXTENTS_PER_BATCH + 1;
	const uint64_t per_pass = batches * REPORTING_CAPACITY;

	return (unreported + per_pass - 1) / per_pass;
}

static void see_zone(const struct snapshot *snap, const struct zone_snapshot *zone,
		     unsigned int order, struct seen *seen)
{
	const bool open = zone_gate_open(&zone->info, order);

	for (unsigned int o = 0; o < snap->nr_orders; o++) {
		const struct order_count *count = &zone->orders[o];
		const uint64_t size = snap->page_size << o;
		const uint64_t unreported = (count->free - count->reported) * size;
		const uint64_t passes = list_passes(count->free - count->reported, count->free);

		seen->all_free += zone->info.nr_free[o] * size;
		if (o < order) {
			seen->below += o < snapshot_lowest_order(snap) ?
					       zone->info.nr_free[o] * size :
					       unreported;
			continue;
		}
		seen->free += count->free * size;
		seen->reported += count->reported * size;
		if (!open) {
			seen->gated += unreported;
			continue;
		}
		seen->left += unreported;
		seen->young += count->young * size;
		if (passes > seen->passes) /* a pass visits every list */
			seen->passes = passes;
	}
}

static void look(const struct snapshot *snap, unsigned int order, struct seen *seen)
{
	*seen = (struct seen){ 0 };
	for (unsigned int i = 0; i < snap->nr_zones; i++)
		see_zone(snap, &snap->zones[i], order, seen);
}

static uint64_t tolerance(const struct seen *seen)
{
	const uint64_t share = seen->free / DRAIN_TOLERANCE_SHARE;

	return share > DRAIN_TOLERANCE_BYTES ? share : DRAIN_TOLERANCE_BYTES;
}

/* How long a pass may take to come and to be seen. */
static uint64_t patience(const struct drain_input *input)
{
	return input->pass_delay + 2 * input->look_ns;
}

/*
 * Up to 32 blocks are off the free lists while the host has them, and no counter says
 * so: what left the lists and was not allocated. An allocation that fills the per-CPU
 * lists looks the same, hence the limit in time.
 */
static void note_flight(const struct drain_input *input, const struct seen *seen,
			struct drain_state *state)
{
	const struct snapshot *snap = input->snap;
	const uint64_t most = REPORTING_CAPACITY * (snap->page_size << (snap->nr_orders - 1));
	const uint64_t before = state->missing;

	if (seen->all_free >= state->free) {
		const uint64_t back = seen->all_free - state->free;

		state->missing -= back < state->missing ? back : state->missing;
	} else {
		const uint64_t gone = state->free - seen->all_free;

		state->missing += gone - (gone < input->allocated ? gone : input->allocated);
	}
	if (state->missing > most)
		state->missing = most;
	if (state->missing != before)
		state->missing_ns = input->now_ns;
	if (input->now_ns - state->missing_ns >= DRAIN_FLIGHT_NS)
		state->missing = 0;
}

static void note_push(const struct drain_input *input, struct drain_state *state)
{
	state->progress_ns = input->now_ns;
	if (!state->first_push_ns)
		state->first_push_ns = input->now_ns;
}

/* Whether the kernel reported something since the last look. */
static bool note_progress(const struct drain_input *input, const struct seen *seen,
			  struct drain_state *state)
{
	const bool grown = state->begun && seen->reported > state->reported;

	if (!state->begun)
		*state = (struct drain_state){
			.begun = true,
			.initial = seen->left,
			.least = seen->left,
			.free = seen->all_free,
			.missing_ns = input->now_ns,
			.progress_ns = input->now_ns,
		};
	note_flight(input, seen, state);
	if (grown || seen->left < state->least)
		note_push(input, state);
	if (seen->left < state->least)
		state->least = seen->left;
	if (seen->left > tolerance(seen))
		state->small_since_ns = 0;
	else if (!state->small_since_ns)
		state->small_since_ns = input->now_ns;
	state->reported = seen->reported;
	state->free = seen->all_free;
	return grown;
}

/* What is left came too late for a pass, but one has come by. */
static bool passed_by(const struct drain_input *input, const struct drain_state *state)
{
	const uint64_t wait = patience(input);

	return state->small_since_ns && state->first_push_ns &&
	       input->now_ns - state->small_since_ns >= wait &&
	       input->now_ns - state->first_push_ns >= wait;
}

static enum drain_outcome judge(const struct drain_input *input, const struct seen *seen,
				bool grown, struct drain_state *state)
{
	const bool quiet = !grown && state->missing <= tolerance(seen);

	state->dry_looks = quiet && !seen->left ? state->dry_looks + 1 : 0;
	if (state->dry_looks >= AGREEING_LOOKS || (quiet && passed_by(input, state)))
		return DRAIN_DRY;
	return input->now_ns >= input->deadline_ns ? DRAIN_TIMED_OUT : DRAIN_RUNNING;
}

static void report(const struct drain_input *input, const struct seen *seen,
		   const struct drain_state *state, struct drain_progress *progress)
{
	const bool dry = progress->outcome == DRAIN_DRY;
	const uint64_t changed = dry || seen->young > seen->left ? seen->left : seen->young;

	progress->free = seen->free;
	progress->initial = state->initial;
	progress->left = seen->left;
	progress->passes = dry ? 0 : seen->passes;
	progress->estimate_ns = progress->passes * input->pass_delay;
	progress->kicks = state->kicks;
	progress->residue = (struct drain_residue){
		.waiting = seen->left - changed,
		.changed = changed,
		.gated = seen->gated,
		.below = seen->below,
		.in_flight = state->missing > tolerance(seen) ? state->missing : 0,
	};
}

static void explain(const struct drain_progress *progress, unsigned int order,
		    struct decision *decision)
{
	char left[UNITS_TEXT], began[UNITS_TEXT], more[UNITS_TEXT], gated[UNITS_TEXT];

	format_size(progress->left, left);
	format_size(progress->initial, began);
	format_size(progress->residue.gated, gated);
	if (progress->outcome == DRAIN_DRY)
		decision_reason(decision,
				"drained at order %u: %s left of %s, %s behind a zone gate", order,
				left, began, gated);
	else if (progress->outcome == DRAIN_TIMED_OUT)
		decision_reason(decision, "the time to drain is over: %s of %s left at order %u+",
				left, began, order);
	else if (progress->residue.in_flight && !progress->left)
		decision_reason(decision, "draining: %s may be on its way to the host",
				format_size(progress->residue.in_flight, more));
	else
		decision_reason(decision,
				"draining: %s of %s left at order %u+, at most %" PRIu64
				" passes, %s",
				left, began, order, progress->passes,
				format_duration(progress->estimate_ns, more));
}

void drain_step(const struct drain_input *input, struct drain_state *state,
		struct decision *decision, struct drain_progress *progress)
{
	const bool first = !state->begun;
	struct seen seen;
	bool grown;

	look(input->snap, input->order, &seen);
	grown = note_progress(input, &seen, state);
	*progress = (struct drain_progress){ .outcome = judge(input, &seen, grown, state) };
	*decision = (struct decision){
		.action = POLICY_RELEASE,
		.order = input->order,
		.delay = input->config->delay_release,
		.stage = "drain",
	};
	if (progress->outcome == DRAIN_RUNNING && input->config->kick && seen.left &&
	    (first || input->now_ns - state->progress_ns >= patience(input))) {
		decision->kick = true;
		state->kicks++;
		note_push(input, state);
	}
	report(input, &seen, state, progress);
	explain(progress, input->order, decision);
}

int drain_order(const struct config *config, const struct reporting *reporting,
		unsigned int pageblock_order, unsigned int highest_order, int order,
		unsigned int *ret, struct errmsg *err)
{
	const int block = (int)pageblock_order, highest = (int)highest_order;
	const int wanted = order_resolve(order, block, highest);
	const int floor = order_resolve(config->order_floor, block, highest);
	const int ceiling = order_resolve(config->order_ceiling, block, highest);

	if (wanted < 0 || wanted > highest)
		return errmsg_set(err, -ERANGE, "order %d: orders are 0 to %d on this kernel",
				  wanted, highest);
	if (!reporting->has_order && wanted != block)
		return errmsg_set(err, -ERANGE,
				  "order %d: this kernel has no order knob (Linux 5.14 and later "
				  "have), it reports at order %d alone",
				  wanted, block);
	if (reporting->has_order && wanted < floor)
		return errmsg_set(err, -ERANGE,
				  "order %d is below order.floor, %d: lower order.floor in the "
				  "configuration, or drain at %d or above",
				  wanted, floor, floor);
	if (reporting->has_order && wanted > ceiling)
		return errmsg_set(err, -ERANGE,
				  "order %d is above order.ceiling, %d: raise order.ceiling in the "
				  "configuration, or drain at %d or below",
				  wanted, ceiling, ceiling);
	*ret = (unsigned int)wanted;
	return 0;
}

uint64_t drain_look_ns(uint64_t pass_delay)
{
	const uint64_t look_ns = pass_delay / LOOKS_PER_PASS;

	if (look_ns < SHORTEST_LOOK)
		return SHORTEST_LOOK;
	return look_ns > LONGEST_LOOK ? LONGEST_LOOK : look_ns;
}

const char *drain_outcome_name(enum drain_outcome outcome)
{
	static const char *const names[] = {
		[DRAIN_RUNNING] = "running",
		[DRAIN_DRY] = "dry",
		[DRAIN_TIMED_OUT] = "timeout",
	};

	return names[outcome];
}
