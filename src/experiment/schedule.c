// SPDX-License-Identifier: GPL-2.0-only
/* What is measured, and when: outcomes, and the order of arms. */
#include "sluice/experiment.h"

#include <gsl/gsl_rng.h>
#include <stdio.h>
#include <string.h>

unsigned int ab_block_length(enum ab_design design)
{
	return design == AB_ABBA ? 4 : 2;
}

unsigned int ab_periods(const struct ab_plan *plan)
{
	return plan->blocks * ab_block_length(plan->design);
}

void ab_draw(struct ab_plan *plan)
{
	static const char *const orders[][2] = {
		[AB_PAIRS] = { "AB", "BA" },
		[AB_ABBA] = { "ABBA", "BAAB" },
	};
	const unsigned int length = ab_block_length(plan->design);
	gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);

	gsl_rng_set(rng, (unsigned long)plan->seed);
	/* a coin for each block, and not half of each: then flipping signs is an exact test */
	for (unsigned int i = 0; i < plan->blocks; i++)
		memcpy(plan->sequence + (size_t)i * length,
		       orders[plan->design][gsl_rng_uniform_int(rng, 2)], length);
	plan->sequence[(size_t)plan->blocks * length] = '\0';
	gsl_rng_free(rng);
}

uint64_t ab_duration(const struct ab_plan *plan)
{
	return plan->period * ab_periods(plan);
}

const char *ab_design_name(enum ab_design design)
{
	return design == AB_ABBA ? "abba" : "pairs";
}

const char *ab_better_name(enum ab_better better)
{
	static const char *const names[] = {
		[AB_LESS] = "less", [AB_MORE] = "more", [AB_NEITHER] = "neither"
	};

	return names[better];
}

static const struct ab_outcome always[] = {
	[AB_UNREPORTED] = { "unreported", "GiB s", AB_LESS, "" },
	[AB_REPORTED] = { "reported", "MiB", AB_NEITHER, "" },
	[AB_REUSED] = { "reused", "MiB", AB_LESS, "" },
	[AB_PSI_SOME] = { "psi_some", "ms", AB_LESS, "" },
	[AB_PSI_FULL] = { "psi_full", "ms", AB_LESS, "" },
	[AB_ALLOC_STALLS] = { "alloc_stalls", "stalls", AB_LESS, "" },
	[AB_COMPACT_STALLS] = { "compact_stalls", "stalls", AB_LESS, "" },
	[AB_REFAULTS] = { "refaults", "pages", AB_LESS, "" },
	[AB_WORKER_CPU] = { "worker_cpu", "ms", AB_LESS, "" },
	[AB_DAEMON_CPU] = { "daemon_cpu", "ms", AB_LESS, "" },
	[AB_HOST] = { "host", "GiB s", AB_LESS, "" },
};

unsigned int ab_outcomes(bool host_feed, struct ab_outcome *outcomes)
{
	const unsigned int nr = host_feed ? AB_ALWAYS : AB_HOST;

	memcpy(outcomes, always, nr * sizeof(*outcomes));
	return nr;
}

int ab_find_outcome(const struct ab_experiment *experiment, const char *name)
{
	for (unsigned int i = 0; i < experiment->nr_outcomes; i++)
		if (!strcmp(experiment->outcomes[i].name, name))
			return (int)i;
	return -1;
}
