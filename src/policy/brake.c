// SPDX-License-Identifier: GPL-2.0-only
/*
 * The brake of all that reclaims. Reclaim on request must never be what makes a guest
 * wait: it stops as soon as the guest does for whatever reason, or reads again what
 * was taken from it.
 */
#include "policy.h"

#include <inttypes.h>
#include <stdio.h>

#include "sluice/units.h"

#define LEAST_SHARE    10	 /* a tenth of the memory has to be available, whatever the floor */
#define LEAST_REFAULTS (2 * MIB) /* fewer are chance */

bool policy_short_of_memory(const struct policy_input *input, char why[BRAKE_WHY])
{
	const struct shape *shape = input->shape;
	const uint64_t tenth = shape->total / LEAST_SHARE, floor = input->config->prepare.floor;
	const uint64_t least = floor > tenth ? floor : tenth;
	char available[UNITS_TEXT], needed[UNITS_TEXT];

	if (shape->available >= least)
		return false;
	snprintf(why, BRAKE_WHY, "%s available, less than %s",
		 format_size(shape->available, available), format_size(least, needed));
	return true;
}

/* What happened since the last decision that calls for the brake; "": nothing. */
static void find_cause(const struct policy_input *input, const struct brake_state *state,
		       char why[BRAKE_WHY])
{
	const struct config_prepare *config = &input->config->prepare;
	const struct activity *activity = &input->activity;
	char again[UNITS_TEXT], of[UNITS_TEXT];

	why[0] = '\0';
	if (activity->alloc_stalls)
		snprintf(why, BRAKE_WHY, "%" PRIu64 " allocations had to reclaim by themselves",
			 activity->alloc_stalls);
	else if (activity->swap_ins)
		snprintf(why, BRAKE_WHY, "%" PRIu64 " pages came back from swap",
			 activity->swap_ins);
	else if (config->pressure && activity->has_psi &&
		 activity->psi_some * 100 >= config->pressure)
		snprintf(why, BRAKE_WHY, "tasks waited for memory for %.1f %% of the time",
			 activity->psi_some * 100);
	else if (config->refaults && state->refaults >= LEAST_REFAULTS &&
		 (double)state->refaults * 100 >= (double)state->reclaimed * config->refaults)
		snprintf(why, BRAKE_WHY, "%s were read again of %s that were reclaimed",
			 format_size(state->refaults, again), format_size(state->reclaimed, of));
}

/* What is reclaimed and what is read again, since the brake was last released. */
static void count(const struct policy_input *input, uint64_t reclaimed, struct brake_state *state)
{
	if (reclaimed && !state->window_ns)
		state->window_ns = input->now_ns;
	if (!state->window_ns)
		return; /* nothing of this is our doing */
	if (input->now_ns - state->window_ns > input->config->prepare.backoff) {
		/* half of what is old still counts: the window slides */
		state->reclaimed /= 2;
		state->refaults /= 2;
		state->window_ns = input->now_ns;
	}
	state->reclaimed += reclaimed;
	state->refaults += input->activity.refaults * input->snap->page_size;
}

bool policy_brake(const struct policy_input *input, uint64_t reclaimed, struct brake_state *state,
		  char why[BRAKE_WHY])
{
	const uint64_t backoff = input->config->prepare.backoff;
	char cause[BRAKE_WHY], left[UNITS_TEXT];

	count(input, reclaimed, state);
	find_cause(input, state, cause);
	if (cause[0]) {
		*state = (struct brake_state){ .until_ns = input->now_ns + backoff };
		snprintf(why, BRAKE_WHY, "%s", cause);
		return true;
	}
	if (input->now_ns < state->until_ns) {
		snprintf(why, BRAKE_WHY, "braked for another %s",
			 format_duration(state->until_ns - input->now_ns, left));
		return true;
	}
	if (!input->activity.span_ns) {
		snprintf(why, BRAKE_WHY, "the guest's load is not known yet");
		return true;
	}
	return policy_short_of_memory(input, why);
}
