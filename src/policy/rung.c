// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rungs of the ladder, and what each is worth.
 *
 * Worth is time: a guest that has been quiet for a while is expected to stay so for
 * as long again, so each MiB is returned for that time, at a price that the
 * configuration sets.
 */
#include "rung.h"

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

/* Where the ladder rests unless the guest is busy: order 9 with 4 KiB pages. */
#define REST_BYTES (UINT64_C(2) << 20)

/* Extents of these sizes and more: orders 7, 5, 2, 0 with 4 KiB pages. */
static const uint64_t rung_bytes[] = { UINT64_C(512) << 10, UINT64_C(128) << 10, UINT64_C(16) << 10,
				       UINT64_C(4) << 10 };
#define RUNGS (sizeof(rung_bytes) / sizeof(rung_bytes[0]))

/* Order of the smallest extent of at least @bytes. */
static unsigned int order_of(uint64_t bytes, uint64_t page_size)
{
	unsigned int order = 0;

	while (page_size << order < bytes)
		order++;
	return order;
}

unsigned int rung_rest(unsigned int pageblock_order, uint64_t page_size)
{
	const unsigned int order = order_of(REST_BYTES, page_size);

	return order < pageblock_order ? order : pageblock_order;
}

unsigned int rung_resting(const struct policy_input *input)
{
	const struct snapshot *snap = input->snap;

	return policy_release_order(input, (int)rung_rest(snap->pageblock_order, snap->page_size));
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

void rung_appraise(const struct policy_input *input, const struct ladder_state *state,
		   unsigned int order, struct rung *rung)
{
	const double quiet = (double)(input->now_ns - state->quiet_ns) / (double)NSEC_PER_SEC;
	const unsigned int rest = rung_resting(input);
	double gib, pages;

	*rung = (struct rung){
		.order = order,
		/* what the kernel reports without it does not count */
		.bytes = over(policy_unreported(input, order), policy_unreported(input, rest)),
		.entries = over(count_entries(input, order), count_entries(input, rest)),
		.lock_ns = policy_lock_time(input->snap, order),
	};
	gib = (double)rung->bytes / (double)GIB;
	pages = (double)rung->bytes / HOST_PAGE;
	rung->cost_ns = (double)rung->entries * ENTRY_COST_NS + (double)rung->lock_ns +
			refault_share(state) * pages * FAULT_COST_NS;
	rung->worth_ns = gib * quiet * (double)input->config->ladder.cost;
}

bool rung_acceptable(const struct policy_input *input, const struct rung *rung)
{
	const uint64_t limit = input->config->guards.lock_time;

	return rung->bytes >= input->config->ladder.min_gain && rung->cost_ns <= rung->worth_ns &&
	       (!limit || rung->lock_ns <= limit);
}

bool rung_find(const struct policy_input *input, const struct ladder_state *state,
	       struct rung *best, struct rung *last)
{
	const struct snapshot *snap = input->snap;
	const unsigned int floor = policy_release_order(input, input->config->ladder.idle_floor);
	unsigned int above = rung_resting(input);
	bool found = false;

	*last = (struct rung){ .order = above };
	if (snap->reporting_order < 0) /* no knob: until 5.13 */
		return false;
	for (size_t i = 0; i < RUNGS; i++) {
		unsigned int order = order_of(rung_bytes[i], snap->page_size);

		if (order < floor)
			order = floor;
		if (order >= above)
			continue; /* pages so large, or a floor so high, that rungs fall together */
		above = order;
		rung_appraise(input, state, order, last);
		if (rung_acceptable(input, last) &&
		    (!found || last->worth_ns - last->cost_ns > best->worth_ns - best->cost_ns)) {
			*best = *last;
			found = true;
		}
	}
	return found;
}
