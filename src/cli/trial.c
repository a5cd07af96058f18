// SPDX-License-Identifier: GPL-2.0-only
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/clock.h"
#include "sluice/kick.h"
#include "sluice/units.h"

/* Beyond the kernel's delay: a pass has a budget, and its host takes time. */
#define PATIENCE_NS (3 * NSEC_PER_SEC)
/* Without a change for so long the rest is not coming: it waits in per-CPU lists. */
#define SETTLED_NS (1 * NSEC_PER_SEC)
#define LOOK_NS	   (100 * NSEC_PER_MSEC)
/* Rounds in a row in which nothing became reported. */
#define FUTILE_ROUNDS 2

enum role {
	ROLE_NONE, /* the kernel had no free extent for it */
	ROLE_FREED,
	ROLE_KEPT,
	ROLE_USED,  /* was kept, has been in a pair */
	ROLE_SPARE, /* may be freed behind those, to push them out of the per-CPU lists */
};

/* A block that was ours in this trial, and so was in the host's memory. */
struct known {
	uint64_t pfn;
	bool freed;    /* in this round, to be reported */
	bool reported; /* just before the touches */
};

struct trial {
	struct touch_area *area;
	const struct trial_options *options;
	struct trial_result *result;
	enum role *roles;
	struct known *known;
	unsigned int nr_known;
	unsigned int spare; /* blocks to push others out of the per-CPU lists with */
};

static int pin(struct errmsg *err)
{
	const int cpu = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)(cpu < 0 ? 0 : cpu), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return errmsg_set(err, -errno, "staying on CPU %d: %m", cpu);
	return 0;
}

static int look_failed(uint64_t pfn, int rc, struct errmsg *err)
{
	return errmsg_set(err, rc, "/proc/kpageflags at pfn %" PRIu64 ": %s", pfn, strerror(-rc));
}

/* Index of the block at @pfn, or -1. */
static int find_block(const struct touch_area *area, uint64_t pfn)
{
	for (unsigned int i = 0; i < area->nr; i++)
		if (area->pfns[i] == pfn)
			return (int)i;
	return -1;
}

static struct known *find_known(const struct trial *trial, uint64_t pfn)
{
	for (unsigned int i = 0; i < trial->nr_known; i++)
		if (trial->known[i].pfn == pfn)
			return &trial->known[i];
	return NULL;
}

/* The other half of the extent that a block would merge to. */
static uint64_t buddy_of(const struct touch_area *area, uint64_t pfn)
{
	return pfn ^ area->block_pages;
}

/* Has every block backed that is not, and notes where all of them are. */
static int take_blocks(struct trial *trial, struct errmsg *err)
{
	struct touch_area *area = trial->area;
	uint64_t ns;
	int rc;

	for (unsigned int i = 0; i < area->nr; i++) {
		if (area->pfns[i] == TOUCH_NO_PFN) {
			rc = touch_block(area, i, &ns);
			if (rc == -EAGAIN)
				continue;
			if (rc)
				return errmsg_set(err, rc, "/proc/self/pagemap: %s", strerror(-rc));
		}
		if (!find_known(trial, area->pfns[i]))
			trial->known[trial->nr_known++] = (struct known){ .pfn = area->pfns[i] };
	}
	return 0;
}

/* A block whose buddy is free would merge with it. */
static bool would_merge(const struct touch_area *area, unsigned int i)
{
	struct touch_extent buddy;

	return !touch_look(area, buddy_of(area, area->pfns[i]), &buddy) && buddy.free;
}

/* Has one block of each pair of buddies freed, in turns, and the other kept. */
static unsigned int choose_buddies(struct trial *trial, unsigned int most)
{
	const struct touch_area *area = trial->area;
	const bool first = trial->result->rounds & 1;
	unsigned int freed = 0;

	for (unsigned int i = 0; i < area->nr && freed < most; i++) {
		const int buddy = find_block(area, buddy_of(area, area->pfns[i]));

		if (trial->roles[i] != ROLE_NONE || area->pfns[i] == TOUCH_NO_PFN || buddy < 0)
			continue;
		trial->roles[i] = first ? ROLE_FREED : ROLE_KEPT;
		trial->roles[buddy] = first ? ROLE_KEPT : ROLE_FREED;
		freed++;
	}
	return freed;
}

/* Gives each block its role in this round: what is not to spare is half freed, half kept. */
static void choose(struct trial *trial)
{
	const struct touch_area *area = trial->area;
	const unsigned int most = (area->nr - trial->spare) / 2;
	unsigned int freed, kept;

	memset(trial->roles, 0, area->nr * sizeof(*trial->roles));
	freed = kept = choose_buddies(trial, most);
	for (unsigned int i = 0; i < area->nr; i++) {
		if (trial->roles[i] != ROLE_NONE || area->pfns[i] == TOUCH_NO_PFN)
			continue;
		if (freed < most && !would_merge(area, i)) {
			trial->roles[i] = ROLE_FREED;
			freed++;
		} else if (kept < most) {
			trial->roles[i] = ROLE_KEPT;
			kept++;
		} else {
			trial->roles[i] = ROLE_SPARE;
		}
	}
}

/* Whether all that was freed to be reported is where the kernel looks for it. */
static bool all_in_buddy_lists(const struct trial *trial)
{
	for (unsigned int i = 0; i < trial->nr_known; i++) {
		struct touch_extent extent = { 0 };

		if (trial->known[i].freed &&
		    (touch_look(trial->area, trial->known[i].pfn, &extent) || !extent.free))
			return false;
	}
	return true;
}

/*
 * Frees spare blocks until the others are in the buddy lists. Returns how many the next
 * round should have to spare: some more, since these lists grow and shrink.
 */
static unsigned int push_out(struct trial *trial)
{
	struct touch_area *area = trial->area;
	unsigned int used = 0;

	for (unsigned int i = 0; i < area->nr && !all_in_buddy_lists(trial); i++) {
		if (trial->roles[i] != ROLE_SPARE)
			continue;
		touch_free(area, i);
		used++;
	}
	used += used / 4 + 1;
	return used < area->nr / 2 ? used : area->nr / 2;
}

/* Returns how many are freed to be reported. */
static unsigned int free_blocks(struct trial *trial)
{
	struct touch_area *area = trial->area;
	unsigned int freed = 0;

	for (unsigned int i = 0; i < trial->nr_known; i++)
		trial->known[i].freed = false;
	for (unsigned int i = 0; i < area->nr; i++) {
		if (trial->roles[i] != ROLE_FREED)
			continue;
		find_known(trial, area->pfns[i])->freed = true;
		touch_free(area, i);
		freed++;
	}
	trial->spare = push_out(trial);
	return freed;
}

/* Updates what is known of all blocks; *ret is how many of those freed are reported. */
static int look_at_known(struct trial *trial, unsigned int *ret, struct errmsg *err)
{
	unsigned int reported = 0;

	for (unsigned int i = 0; i < trial->nr_known; i++) {
		struct touch_extent extent;
		int rc = touch_look(trial->area, trial->known[i].pfn, &extent);

		if (rc)
			return look_failed(trial->known[i].pfn, rc, err);
		trial->known[i].reported = extent.reported;
		reported += trial->known[i].freed && extent.reported;
	}
	*ret = reported;
	return 0;
}

/* Waits until @nr blocks are reported or no more come; *ret is their number. */
static int wait_reported(struct trial *trial, unsigned int nr, unsigned int *ret,
			 struct errmsg *err)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	const uint64_t start = monotonic_ns();
	const uint64_t end = start + trial->options->reporting->delay_ns + PATIENCE_NS;
	struct touch_count *count = &trial->result->count;
	uint64_t now, changed = start;
	unsigned int last = 0, reported = 0;
	int rc;

	do {
		nanosleep(&pause, NULL);
		now = monotonic_ns();
		rc = look_at_known(trial, &reported, err);
		if (reported != last)
			changed = now;
		last = reported;
	} while (!rc && reported < nr && now < end && !(reported && now - changed > SETTLED_NS));
	if (now - start > count->waited_ns)
		count->waited_ns = now - start;
	*ret = reported;
	return rc;
}

/* A block in use to compare with that at @pfn, preferably its neighbour; -1: none is left. */
static int find_control(const struct trial *trial, uint64_t pfn)
{
	const int buddy = find_block(trial->area, buddy_of(trial->area, pfn));

	if (buddy >= 0 && trial->roles[buddy] == ROLE_KEPT)
		return buddy;
	for (unsigned int i = 0; i < trial->area->nr; i++)
		if (trial->roles[i] == ROLE_KEPT)
			return (int)i;
	return -1;
}

/* Frees block @i and touches it again: true if the kernel gave the same memory back. */
static bool touch_again(struct touch_area *area, unsigned int i, uint64_t *ns)
{
	const uint64_t pfn = area->pfns[i];

	touch_free(area, i);
	return !touch_block(area, i, ns) && area->pfns[i] == pfn;
}

/* Touches what was freed; each block that turns out to have been reported makes a pair. */
static void touch_pairs(struct trial *trial)
{
	struct trial_result *result = trial->result;
	struct touch_area *area = trial->area;

	for (unsigned int i = 0; i < area->nr; i++) {
		const struct known *known;
		struct touch_pair pair;
		int control;

		/* whatever its role was: what counts is what the kernel gives for it now */
		if (area->pfns[i] != TOUCH_NO_PFN || touch_block(area, i, &pair.reported_ns))
			continue;
		known = find_known(trial, area->pfns[i]);
		if (!known || !known->reported)
			continue;
		result->count.touched++;
		control = find_control(trial, area->pfns[i]);
		if (control < 0 || result->count.pairs == trial->options->samples)
			continue;
		trial->roles[control] = ROLE_USED;
		if (touch_again(area, (unsigned int)control, &pair.backed_ns))
			result->pairs[result->count.pairs++] = pair;
	}
}

/* *reported: blocks that became reported. */
static int run_round(struct trial *trial, unsigned int *reported, struct errmsg *err)
{
	const struct trial_options *options = trial->options;
	struct trial_result *result = trial->result;
	unsigned int freed;
	int rc;

	rc = take_blocks(trial, err);
	if (rc)
		return rc;
	choose(trial);
	freed = free_blocks(trial);
	/* without one a pass may come all the same */
	kick_at(options->topology, reporting_order_limit(options->reporting, options->topology),
		&result->kick);
	rc = wait_reported(trial, freed, reported, err);
	if (rc)
		return rc;
	touch_pairs(trial);
	result->rounds++;
	result->count.freed += freed;
	result->count.reported += *reported;
	return 0;
}

int trial_run(struct touch_area *area, const struct trial_options *options,
	      struct trial_result *result, struct errmsg *err)
{
	struct trial trial = {
		.area = area,
		.options = options,
		.result = result,
		.spare = area->nr / 2,
	};
	const uint64_t start = monotonic_ns();
	unsigned int futile = 0, reported;
	int rc;

	*result = (struct trial_result){ .count.block_size = area->block_size };
	trial.roles = calloc(area->nr, sizeof(*trial.roles));
	trial.known = calloc((size_t)area->nr * TRIAL_MOST_ROUNDS, sizeof(*trial.known));
	if (!trial.roles || !trial.known) {
		rc = errmsg_set(err, -ENOMEM, "no memory for the places of %u blocks", area->nr);
		goto out;
	}
	rc = pin(err);
	while (!rc && result->count.pairs < options->samples && futile < FUTILE_ROUNDS &&
	       result->rounds < TRIAL_MOST_ROUNDS) {
		rc = run_round(&trial, &reported, err);
		futile = rc || reported ? 0 : futile + 1;
	}
	result->elapsed_ns = monotonic_ns() - start;
out:
	free(trial.roles);
	free(trial.known);
	return rc;
}
