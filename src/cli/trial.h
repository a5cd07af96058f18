/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The trial of sluice probe --host: touches memory that was reported and memory that
 * was not, by turns.
 *
 * Memory that was never touched is not in the host's memory either, reported or not.
 * So the trial takes blocks of its own, has them backed by touching them, and then in
 * each round
 *
 *   frees some of them and has the kernel look for memory to report (a kick),
 *   waits until they are reported, while others stay in use,
 *   touches the reported ones again; after each, frees one that was in use, which the
 *   kernel gives back at once from its lists, and touches that too.
 *
 * Both touches are the same page fault in the guest, of the same size, right after
 * each other, on memory that nothing has looked at for the same time. They differ in
 * what the host did with the report.
 *
 * Blocks that are freed last stay in lists of the CPU, where they are not reported: so
 * as many are freed on top as it takes for the others to leave these lists.
 *
 * Of two buddies one stays in use, so that the other does not merge when it is free:
 * the kernel allocates from the smallest extents that will do, and so gives the same
 * blocks back although there may be much other free memory. What it gives is looked
 * up by page frame number all the same.
 */
#ifndef SLUICE_CLI_TRIAL_H
#define SLUICE_CLI_TRIAL_H

#include "sluice/reporting.h"
#include "touch.h"
#include "truth.h"

#define TRIAL_MOST_ROUNDS 32

struct trial_options {
	const struct topology *topology;
	const struct reporting *reporting;
	unsigned int samples; /* pairs wanted, at most TRUTH_MOST_PAIRS */
};

struct trial_result {
	struct touch_pair pairs[TRUTH_MOST_PAIRS];
	struct touch_count count;
	unsigned int rounds;
	uint64_t elapsed_ns;
	struct errmsg kick; /* why it could not kick, if so */
};

/*
 * Takes and frees memory of @area, and waits for passes: seconds per round. Pins the
 * process to a CPU, since free blocks wait in lists of the CPU that freed them.
 * Returns 0 or -errno with a reason; too few pairs are no error.
 */
int trial_run(struct touch_area *area, const struct trial_options *options,
	      struct trial_result *result, struct errmsg *err);

#endif
