// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strategy "trim", after guest page hinting (CMMA, Martin Schwidefsky, Hubertus Franke
 * and Himanshu Raj, v6 of 2008): there the guest marked clean page cache as volatile,
 * and the host dropped it when it liked. Here the guest itself drops what was idle for
 * long, and what that makes free is reported by pageblocks, as Jeremy Fitzhardinge asked.
 *
 * How old a page is nobody keeps. But a list of the kernel is in the order of arrival,
 * and eviction begins at its end: what is beyond the amount that came in within min_idle
 * has been there for longer. The classic lists move to "active" what is read twice, so
 * that it is not met there at all. The generations of the multi-gen LRU tell besides
 * since when no mapping used them; but they hold what is read all the time as well, which
 * only the kernel tells apart, when it evicts: a generation is left alone for min_idle
 * after the one before it went. Generations that can't be read are not touched.
 */
#include "policy.h"

#include <stdio.h>

#include "sluice/units.h"

#define MAX_KICKS   3
#define STOP_SHARE  4		 /* releasing ends at a quarter of start */
#define SPACING	    8		 /* samples per min_idle */
#define LEAST	    (2 * MIB)	 /* not worth a write of its own below that */
#define LONGEST_GAP NSEC_PER_SEC /* the rate saves up no more than that, or one interval */

static struct inflow sample(const struct policy_input *input)
{
	const struct cache_shape *cache = &input->shape->cache;

	return (struct inflow){
		.time_ns = input->now_ns,
		.read = cache->read,
		.held = cache->active + cache->inactive + cache->stolen,
		.deactivated = cache->deactivated,
	};
}

static void remember(const struct policy_input *input, struct trim_state *state)
{
	const uint64_t min_idle = input->config->trim.min_idle;
	const struct inflow *last =
		&state->samples[(state->next + TRIM_SAMPLES - 1) % TRIM_SAMPLES];

	if (state->min_idle != min_idle) {
		state->min_idle = min_idle;
		state->nr = state->next = 0;
	}
	if (state->nr && input->now_ns - last->time_ns < min_idle / SPACING)
		return;
	state->samples[state->next] = sample(input);
	state->next = (state->next + 1) % TRIM_SAMPLES;
	if (state->nr < TRIM_SAMPLES)
		state->nr++;
}

/* The latest sample that is older than min_idle; NULL: none is. */
static const struct inflow *before_idle(const struct policy_input *input,
					const struct trim_state *state)
{
	const struct inflow *found = NULL;

	for (unsigned int i = 0; i < state->nr; i++) {
		const struct inflow *candidate = &state->samples[i];

		if (input->now_ns - candidate->time_ns >= state->min_idle &&
		    (!found || candidate->time_ns > found->time_ns))
			found = candidate;
	}
	return found;
}

/*
 * The most that can have come to the list since then: what was read from disks, or
 * what the page cache grew by and lost, whichever is more (a file system of the network
 * reads from no disk), and what came over from the active list.
 */
static uint64_t came_in(const struct policy_input *input, const struct inflow *then)
{
	const struct inflow now = sample(input);
	const uint64_t read = over(now.read, then->read), grown = over(now.held, then->held);

	return (read > grown ? read : grown) + over(now.deactivated, then->deactivated);
}

/* What max_fraction still allows. */
static uint64_t fraction_left(const struct policy_input *input, struct trim_state *state)
{
	const struct cache_shape *cache = &input->shape->cache;
	const struct config_trim *config = &input->config->trim;
	uint64_t allowed;

	if (!state->window_ns || input->now_ns - state->window_ns >= config->min_idle) {
		state->window_ns = input->now_ns;
		state->window_cache = cache->active + cache->inactive;
		state->window_gone = 0;
	}
	allowed = (uint64_t)((double)state->window_cache * config->max_fraction / 100);
	return over(allowed, state->window_gone);
}

static uint64_t rate_allows(const struct policy_input *input, const struct trim_state *state)
{
	const uint64_t longest =
		input->config->interval > LONGEST_GAP ? input->config->interval : LONGEST_GAP;
	const uint64_t gap =
		state->last_ns ? smaller(input->now_ns - state->last_ns, longest) : longest;

	return (uint64_t)((double)input->config->trim.rate * (double)gap / (double)NSEC_PER_SEC);
}

/* How much may go now, and why not more. */
static struct eviction evict(const struct policy_input *input, struct trim_state *state, char *why,
			     size_t size)
{
	const struct cache_shape *cache = &input->shape->cache;
	const uint64_t there = cache->has_ages ? cache->old : cache->inactive;
	const struct inflow *then = before_idle(input, state);
	const uint64_t fresh = then ? came_in(input, then) : 0;
	const uint64_t idle = then ? over(there, fresh) : 0;
	const uint64_t spare = over(cache->active + cache->inactive, input->config->prepare.floor);
	const uint64_t fraction = fraction_left(input, state);
	char text[UNITS_TEXT], other[UNITS_TEXT], min_idle[UNITS_TEXT];
	uint64_t bytes = smaller(smaller(idle, fraction), spare);

	format_duration(state->min_idle, min_idle);
	if (input->now_ns < state->rest_ns) {
		snprintf(why, size, "%s: a rest of %s",
			 state->unable ? "this kernel can't evict on request" :
					 "the kernel found less than was asked for",
			 format_duration(state->rest_ns - input->now_ns, text));
		return (struct eviction){ 0 };
	}
	if (cache->hidden) {
		snprintf(why, size,
			 "the multi-gen LRU does not show its generations, and so not what is "
			 "hot: mount debugfs");
		return (struct eviction){ 0 };
	}
	if (!then) {
		snprintf(why, size, "the page cache has to be watched for %s first", min_idle);
		return (struct eviction){ 0 };
	}
	if (bytes < LEAST) {
		snprintf(why, size, "%s of the page cache idle for %s, %s of max_fraction left%s",
			 format_size(idle, text), min_idle, format_size(fraction, other),
			 spare < LEAST ? ", no more of it than the floor" : "");
		return (struct eviction){
			.min_idle = state->min_idle,
			.age = cache->has_ages && fraction >= LEAST && spare >= LEAST,
		};
	}
	bytes = smaller(bytes, rate_allows(input, state));
	/* by other means the kernel takes up to twice of what it is asked for */
	if (!cache->has_ages)
		bytes = smaller(bytes, idle / 2);
	snprintf(why, size, "%s of %s idle for %s %s", format_size(bytes, text),
		 format_size(idle, other), min_idle,
		 cache->has_ages ? "by generation" : "by order of arrival");
	return (struct eviction){ .bytes = bytes, .min_idle = state->min_idle, .leave = fresh };
}

/* What the last eviction brought. */
static void settle(const struct policy_input *input, struct trim_state *state)
{
	const struct prepared *prepared = &input->prepared;

	state->window_gone += prepared->reclaimed;
	/* the rest of it is in use, or protected: asking again at once only costs time */
	if (prepared->unable || prepared->asked)
		state->unable = prepared->unable;
	if (prepared->unable)
		state->rest_ns = input->now_ns + input->config->prepare.backoff;
	else if (prepared->scarce && prepared->reclaimed < prepared->asked / 2)
		state->rest_ns = input->now_ns + input->config->trim.min_idle / 2;
}

static void hold(const struct policy_input *input, struct trim_state *state,
		 struct decision *decision)
{
	state->releasing = false;
	policy_hold(input, decision);
}

/* After a pass without progress: another kick, or the end. */
static void push(const struct policy_input *input, uint64_t left, struct trim_state *state,
		 struct decision *decision)
{
	if (state->kicks >= MAX_KICKS || !input->config->kick) {
		state->given_up = left;
		hold(input, state, decision);
		return;
	}
	state->kicks++;
	state->progress_ns = input->now_ns;
	decision->kick = true;
}

static void go_on(const struct policy_input *input, unsigned int order, uint64_t left,
		  struct trim_state *state, struct decision *decision)
{
	const uint64_t reported = policy_reported(input->snap, order);

	if (reported > state->reported || !input->acting) {
		state->progress_ns = input->now_ns;
		state->kicks = 0;
	}
	state->reported = reported;
	if (left <= input->config->trim.start / STOP_SHARE) {
		hold(input, state, decision);
		return;
	}
	policy_release(input, order, decision);
	if (input->now_ns - state->progress_ns >= policy_patience(input))
		push(input, left, state, decision);
}

/* The release, as "threshold" does it; without an age, since the memory was idle before. */
static void release(const struct policy_input *input, unsigned int order, uint64_t left,
		    struct trim_state *state, struct decision *decision)
{
	const uint64_t start = input->config->trim.start;

	if (state->releasing) {
		go_on(input, order, left, state, decision);
		return;
	}
	if (left + start <= state->given_up)
		state->given_up = 0; /* someone did take it */
	if (left < start + state->given_up) {
		hold(input, state, decision);
		return;
	}
	state->releasing = true;
	state->given_up = 0;
	state->kicks = input->config->kick;
	state->reported = policy_reported(input->snap, order);
	state->progress_ns = input->now_ns;
	policy_release(input, order, decision);
	decision->kick = input->config->kick;
}

void strategy_trim(const struct policy_input *input, struct policy_state *policy,
		   struct decision *decision)
{
	const unsigned int order = policy_release_order(input, input->config->trim.order);
	const uint64_t left = policy_unreported(input, order);
	struct trim_state *state = &policy->trim;
	char why[192], text[UNITS_TEXT], start[UNITS_TEXT];
	struct eviction eviction = { 0 };
	bool braked;

	if (!input->shape) {
		*decision = (struct decision){ .action = POLICY_LEAVE };
		decision_reason(decision, "the page cache is not known: /proc/meminfo and "
					  "/proc/vmstat can't be read");
		return;
	}
	remember(input, state);
	settle(input, state);
	release(input, order, left, state, decision);
	braked = policy_brake(input, input->prepared.reclaimed, &state->brake, why);
	if (!braked)
		eviction = evict(input, state, why, sizeof(why));
	state->last_ns = input->now_ns;
	decision->evict = eviction;
	decision->stage = state->releasing ? "release" : eviction.bytes ? "trim" : "wait";
	decision_reason(decision, "%s: %s; %s unreported at order %u+, start is %s",
			braked	       ? "nothing is evicted" :
			eviction.bytes ? "evicting" :
					 "nothing to evict",
			why, format_size(left, text), order,
			format_size(input->config->trim.start, start));
}
