// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preparation: what is to be done so that there is more to report. Whatever the
 * strategy; within quotas, and never while the guest is short of memory.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy.h"
#include "sluice/units.h"

#define NSEC_PER_MINUTE (60 * NSEC_PER_SEC)
#define LARGEST_STEP	(64 * MIB)
#define LEAST_STEP	(2 * MIB)
#define LONGEST_STEP	(200 * NSEC_PER_MSEC) /* of reclaim; compaction can't be cut short */
#define AGREEING_LOOKS	2

static void reason(struct preparation *preparation, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void reason(struct preparation *preparation, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(preparation->reason, sizeof(preparation->reason), fmt, args);
	va_end(args);
}

/* Drops the minutes that are older than an hour; an entry of 0 holds nothing. */
static void advance(struct prepare_state *state, uint64_t now_ns)
{
	const uint64_t minute = now_ns / NSEC_PER_MINUTE;

	if (minute - state->minute >= PREPARE_MINUTES) {
		memset(state->bytes, 0, sizeof(state->bytes));
		memset(state->time_ns, 0, sizeof(state->time_ns));
		state->minute = minute;
	}
	while (state->minute < minute) {
		state->minute++;
		state->bytes[state->minute % PREPARE_MINUTES] = 0;
		state->time_ns[state->minute % PREPARE_MINUTES] = 0;
	}
}

void prepare_quota(const struct config *config, const struct prepare_state *state, uint64_t now_ns,
		   uint64_t *bytes, uint64_t *time_ns)
{
	struct prepare_state present = *state;
	uint64_t used_bytes = 0, used_ns = 0;

	advance(&present, now_ns);
	for (unsigned int i = 0; i < PREPARE_MINUTES; i++) {
		used_bytes += present.bytes[i];
		used_ns += present.time_ns[i];
	}
	*bytes = over(config->prepare.bytes_per_hour, used_bytes);
	*time_ns = over(config->prepare.time_per_hour, used_ns);
}

uint64_t prepare_completable(const struct node_shape *node, unsigned int pageblock_order)
{
	/*
	 * A block that becomes free takes its own free pages out of the room, and what is
	 * used in it fills the rest of as many pages: a pageblock of room for each.
	 */
	return smaller(node->almost_free, node->room >> pageblock_order);
}

static struct node_looks *looks_of(struct prepare_state *state, unsigned int node)
{
	for (unsigned int i = 0; i < state->nr_nodes; i++)
		if (state->nodes[i].node == node)
			return &state->nodes[i];
	if (state->nr_nodes == SLUICE_MAX_ZONES)
		return NULL;
	state->nodes[state->nr_nodes] = (struct node_looks){ .node = node };
	return &state->nodes[state->nr_nodes++];
}

static void judge_node(const struct policy_input *input, struct node_looks *looks)
{
	const struct prepared *prepared = &input->prepared;

	looks->agreeing = 0;
	looks->cost_ns = prepared->compact_ns;
	if (prepared->blocks < (uint64_t)input->config->prepare.min_blocks)
		looks->until_ns = input->now_ns + input->config->prepare.backoff;
}

/* What the last preparation took and brought. */
static void settle(const struct policy_input *input, struct prepare_state *state)
{
	const struct prepared *prepared = &input->prepared;

	advance(state, input->now_ns);
	state->bytes[state->minute % PREPARE_MINUTES] += prepared->reclaimed;
	state->time_ns[state->minute % PREPARE_MINUTES] += prepared->time_ns;
	if (!prepared->compacted)
		return;
	for (unsigned int i = 0; i < state->nr_nodes; i++)
		if (prepared->node < 0 || state->nodes[i].node == (unsigned int)prepared->node)
			judge_node(input, &state->nodes[i]);
}

/* The node with the most to complete, of those that two looks agree on; NULL: none. */
static struct node_looks *look(const struct policy_input *input, struct prepare_state *state,
			       uint64_t *most)
{
	struct node_looks *best = NULL;
	uint64_t best_blocks = 0;

	*most = 0;
	for (unsigned int i = 0; i < input->shape->nr_nodes; i++) {
		const struct node_shape *node = &input->shape->nodes[i];
		const uint64_t blocks = prepare_completable(node, input->snap->pageblock_order);
		struct node_looks *looks = looks_of(state, node->node);

		if (blocks > *most)
			*most = blocks;
		if (!looks)
			continue;
		if (blocks < (uint64_t)input->config->prepare.min_blocks)
			looks->agreeing = 0;
		else
			looks->agreeing++;
		if (looks->agreeing < AGREEING_LOOKS || input->now_ns < looks->until_ns ||
		    blocks <= best_blocks)
			continue;
		best = looks;
		best_blocks = blocks;
	}
	return best;
}

static uint64_t reclaimable(const struct policy_input *input, uint64_t quota)
{
	const struct cache_shape *cache = &input->shape->cache;
	const uint64_t floor = input->config->prepare.floor;
	uint64_t bytes = smaller(quota, LARGEST_STEP);

	if (!input->config->prepare.reclaim)
		return 0;
	bytes = smaller(bytes, over(cache->active + cache->inactive, floor));
	bytes = smaller(bytes, over(input->shape->available, floor));
	/* what is active is in use */
	bytes = smaller(bytes, cache->inactive);
	return bytes < LEAST_STEP ? 0 : bytes;
}

static void plan(const struct policy_input *input, struct prepare_state *state,
		 struct preparation *preparation)
{
	const struct config_prepare *config = &input->config->prepare;
	char bytes_text[UNITS_TEXT], time_text[UNITS_TEXT];
	uint64_t bytes, time_ns, most;
	struct node_looks *best;

	best = look(input, state, &most);
	prepare_quota(input->config, state, input->now_ns, &bytes, &time_ns);
	if (state->last_ns && input->now_ns - state->last_ns < config->interval) {
		reason(preparation, "the next in %s",
		       format_duration(config->interval - (input->now_ns - state->last_ns),
				       time_text));
		return;
	}
	if (!time_ns) {
		reason(preparation, "the time of this hour is used up: %s",
		       format_duration(config->time_per_hour, time_text));
		return;
	}
	preparation->reclaim_bytes = reclaimable(input, bytes);
	preparation->budget_ns = smaller(time_ns, LONGEST_STEP);
	preparation->compact = config->compact != COMPACT_OFF && best && best->cost_ns <= time_ns;
	preparation->node = best && config->compact == COMPACT_NODE ? (int)best->node : -1;
	preparation->drain_lists = preparation->compact || preparation->reclaim_bytes;
	if (preparation->drain_lists)
		state->last_ns = input->now_ns;
	reason(preparation,
	       "%s to reclaim, %s of the quota left; at most %" PRIu64
	       " blocks to complete in a node, min_blocks is %d",
	       format_size(preparation->reclaim_bytes, bytes_text), format_size(bytes, time_text),
	       most, config->min_blocks);
}

void prepare_decide(const struct policy_input *input, const struct decision *decision,
		    struct prepare_state *state, struct preparation *preparation)
{
	char why[BRAKE_WHY];

	*preparation = (struct preparation){ .node = -1 };
	if (!input->config->prepare.enabled) {
		reason(preparation, "off");
		return;
	}
	if (!input->shape) {
		reason(preparation, "memory is not known");
		return;
	}
	settle(input, state);
	if (decision->action == POLICY_LEAVE)
		reason(preparation, "nothing is decided");
	else if (policy_brake(input, input->prepared.reclaimed, &state->brake, why))
		reason(preparation, "%s", why);
	else
		plan(input, state, preparation);
}
