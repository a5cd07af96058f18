// SPDX-License-Identifier: GPL-2.0-only
#include "analyse.h"

#include <errno.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sluice/stats.h"

/* Share of a mean that its last digits may be wrong by. */
#define ROUNDING 1e-12

/* A whole block: its periods stand behind one another. */
struct block {
	unsigned int number;
	const struct ab_period *periods;
};

struct blocks {
	struct block *block;
	unsigned int nr;
	unsigned int length; /* periods of each */
};

/* What the blocks say of one outcome, where they have it. */
struct columns {
	double *level[AB_ARMS], *mean;
	double *drift; /* B minus A */
	unsigned int nr_drifts;
};

/* --- blocks ----------------------------------------------------------------------------------- */

/* Whether the next @length of @left periods are one block, with as many of A as of B. */
static bool is_whole(const struct ab_period *periods, unsigned int left, unsigned int length)
{
	unsigned int of_b = 0;

	if (left < length)
		return false;
	for (unsigned int i = 0; i < length; i++) {
		if (periods[i].number / length != periods[0].number / length)
			return false;
		of_b += periods[i].arm == AB_B;
	}
	return of_b * 2 == length;
}

static int find_blocks(const struct ab_experiment *experiment, struct blocks *blocks)
{
	const unsigned int length = ab_block_length(experiment->plan.design);

	*blocks = (struct blocks){ .length = length };
	blocks->block = calloc(experiment->nr_periods / length + 1, sizeof(*blocks->block));
	if (!blocks->block)
		return -ENOMEM;
	for (unsigned int i = 0; i < experiment->nr_periods;) {
		const struct ab_period *periods = &experiment->periods[i];

		if (!is_whole(periods, experiment->nr_periods - i, length)) {
			i++;
			continue;
		}
		blocks->block[blocks->nr++] = (struct block){ periods->number / length, periods };
		i += length;
	}
	return 0;
}

/* Means of the arms' periods; false: one is missing. */
static bool arm_means(const struct blocks *blocks, const struct block *block, unsigned int outcome,
		      bool drift, double means[AB_ARMS])
{
	const unsigned int half = blocks->length / 2;

	means[AB_A] = means[AB_B] = 0;
	for (unsigned int i = 0; i < blocks->length; i++) {
		const struct ab_period *period = &block->periods[i];
		const double value = drift ? period->drift[outcome] : period->value[outcome];

		means[period->arm] += value / half;
	}
	return isfinite(means[AB_B] - means[AB_A]);
}

/* B minus A; what is left by rounding where they are equal is no difference and has no sign. */
static double difference(const double means[AB_ARMS])
{
	const double found = means[AB_B] - means[AB_A];

	return fabs(found) > ROUNDING * fmax(fabs(means[AB_A]), fabs(means[AB_B])) ? found : 0;
}

static void fill_columns(const struct blocks *blocks, struct ab_effect *effect,
			 struct columns *columns)
{
	for (unsigned int i = 0; i < blocks->nr; i++) {
		const struct block *block = &blocks->block[i];
		double means[AB_ARMS];

		if (!arm_means(blocks, block, effect->outcome, false, means)) {
			effect->missing++;
			continue;
		}
		columns->level[AB_A][effect->n] = means[AB_A];
		columns->level[AB_B][effect->n] = means[AB_B];
		columns->mean[effect->n] = (means[AB_A] + means[AB_B]) / 2;
		effect->differences[effect->n] = difference(means);
		effect->blocks[effect->n++] = block->number;
		if (arm_means(blocks, block, effect->outcome, true, means))
			columns->drift[columns->nr_drifts++] = difference(means);
	}
}

/* --- effects ---------------------------------------------------------------------------------- */

double ab_level(const struct ab_experiment *experiment, unsigned int outcome)
{
	return outcome == experiment->primary ? experiment->alpha :
						experiment->alpha / experiment->nr_outcomes;
}

unsigned int ab_least_for_others(const struct ab_experiment *experiment)
{
	unsigned int blocks = AB_MIN_BLOCKS;

	while (ldexp(1, 1 - (int)blocks) * experiment->nr_outcomes > experiment->alpha)
		blocks++;
	return blocks;
}

int ab_needed(const struct ab_effect *effect, double share, double alpha, double power,
	      unsigned int *ret)
{
	const double wanted = share * fabs(effect->level[AB_A]);

	if (effect->n < 2)
		return -ENODATA;
	*ret = 0;
	if (wanted > 0)
		*ret = (unsigned int)stats_needed(stats_deviation(effect->differences, effect->n),
						  wanted, alpha, power, AB_MAX_BLOCKS);
	return 0;
}

/* A seed for each outcome: steps of the golden ratio, as those of splitmix64. */
static uint64_t seed_of(const struct ab_experiment *experiment, unsigned int outcome)
{
	return experiment->plan.seed + (outcome + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void check_measurement(const struct columns *columns, struct ab_effect *effect)
{
	const struct stats_trend trend = stats_trend(columns->mean, effect->n);

	effect->trend = trend.slope;
	effect->trend_p = trend.p;
	if (!columns->nr_drifts)
		return;
	effect->carry = stats_hodges_lehmann(columns->drift, columns->nr_drifts);
	effect->carry_p = stats_signed_rank(columns->drift, columns->nr_drifts);
}

static void estimate(const struct ab_experiment *experiment, unsigned int resamples,
		     struct ab_effect *effect)
{
	const double alpha = experiment->alpha;
	const uint64_t seed = seed_of(experiment, effect->outcome);
	struct stats_interval interval;

	effect->estimate = stats_hodges_lehmann(effect->differences, effect->n);
	effect->p = stats_signed_rank(effect->differences, effect->n);
	interval = stats_bootstrap(effect->differences, effect->n, 1 - alpha, resamples, seed);
	effect->low = interval.low;
	effect->high = interval.high;
	/* of the same resamples, so that it lies within the other */
	interval = stats_bootstrap(effect->differences, effect->n, 1 - 2 * alpha, resamples, seed);
	effect->near_low = interval.low;
	effect->near_high = interval.high;
}

/* All but what needs the other outcomes. */
static int measure(const struct ab_experiment *experiment, const struct columns *columns,
		   unsigned int resamples, struct ab_effect *effect)
{
	const double alpha = ab_level(experiment, effect->outcome);

	for (enum ab_arm arm = AB_A; arm < AB_ARMS; arm++)
		effect->level[arm] = gsl_stats_median(columns->level[arm], 1, effect->n);
	effect->margin = experiment->margin * fabs(effect->level[AB_A]);
	estimate(experiment, resamples, effect);
	check_measurement(columns, effect);
	effect->detectable = stats_detectable(stats_deviation(effect->differences, effect->n),
					      effect->n, alpha, experiment->power);
	ab_needed(effect, experiment->margin, alpha, experiment->power, &effect->needed);
	/* what statistics answer without memory */
	if (isnan(effect->estimate) || isnan(effect->p) || isnan(effect->low) ||
	    isnan(effect->near_low) || isnan(effect->trend) || isnan(effect->carry) ||
	    isnan(effect->carry_p))
		return -ENOMEM;
	return 0;
}

static int analyse_outcome(const struct ab_experiment *experiment, const struct blocks *blocks,
			   unsigned int resamples, struct ab_effect *effect)
{
	struct columns columns = { 0 };
	const size_t nr = blocks->nr;
	double *cells = calloc(4 * nr + 1, sizeof(*cells));
	int ret = -ENOMEM;

	effect->differences = calloc(nr + 1, sizeof(*effect->differences));
	effect->blocks = calloc(nr + 1, sizeof(*effect->blocks));
	if (!cells || !effect->differences || !effect->blocks)
		goto out;
	columns.level[AB_A] = cells;
	columns.level[AB_B] = cells + nr;
	columns.mean = cells + 2 * nr;
	columns.drift = cells + 3 * nr;
	fill_columns(blocks, effect, &columns);
	ret = effect->n ? measure(experiment, &columns, resamples, effect) : 0;
out:
	free(cells);
	return ret;
}

/* --- verdicts --------------------------------------------------------------------------------- */

int ab_majority(const struct ab_effect *effect)
{
	int majority = 0;

	for (unsigned int i = 0; i < effect->n; i++)
		majority += (effect->differences[i] > 0) - (effect->differences[i] < 0);
	return majority;
}

unsigned int ab_differing(const struct ab_effect *effect)
{
	unsigned int differ = 0;

	for (unsigned int i = 0; i < effect->n; i++)
		differ += effect->differences[i] > 0 || effect->differences[i] < 0;
	return differ;
}

/* Where most differences are 0 so is the estimate, though what is left may be significant. */
static bool is_higher_with_b(const struct ab_effect *effect)
{
	if (effect->estimate > 0 || effect->estimate < 0)
		return effect->estimate > 0;
	return ab_majority(effect) > 0;
}

static enum ab_verdict judge(const struct ab_experiment *experiment, const struct ab_effect *effect)
{
	const double p = effect->outcome == experiment->primary ? effect->p : effect->adjusted;
	const enum ab_better better = experiment->outcomes[effect->outcome].better;

	if (effect->n < AB_MIN_BLOCKS)
		return AB_NOT_ENOUGH;
	if (p <= experiment->alpha) {
		if (better == AB_NEITHER)
			return AB_DIFFERENT;
		return is_higher_with_b(effect) == (better == AB_MORE) ? AB_B_BETTER : AB_A_BETTER;
	}
	/* nothing lies within no margin */
	if (effect->margin > 0 && effect->near_low >= -effect->margin &&
	    effect->near_high <= effect->margin)
		return AB_EQUIVALENT;
	return ab_differing(effect) ? AB_NOT_ENOUGH : AB_SAME;
}

static void judge_all(const struct ab_experiment *experiment, struct ab_result *result)
{
	double p[AB_MAX_OUTCOMES], adjusted[AB_MAX_OUTCOMES];

	for (unsigned int i = 0; i < result->nr; i++)
		p[i] = result->effects[i].p;
	stats_holm(p, result->nr, adjusted);
	for (unsigned int i = 0; i < result->nr; i++) {
		struct ab_effect *effect = &result->effects[i];

		effect->adjusted = adjusted[i];
		effect->verdict = judge(experiment, effect);
		ab_describe(experiment, effect);
	}
	snprintf(result->verdict, sizeof(result->verdict), "%s",
		 result->effects[experiment->primary].text);
	ab_warn(experiment, result);
}

int ab_analyse(const struct ab_experiment *experiment, unsigned int resamples,
	       struct ab_result **ret)
{
	struct ab_result *result = calloc(1, sizeof(*result));
	struct blocks blocks;
	int r;

	if (!result)
		return -ENOMEM;
	r = find_blocks(experiment, &blocks);
	if (r) {
		ab_result_free(result);
		return r;
	}
	result->blocks = blocks.nr;
	result->nr = experiment->nr_outcomes;
	for (unsigned int i = 0; i < result->nr && !r; i++) {
		/* what is so without any block */
		result->effects[i] = (struct ab_effect){
			.outcome = i,
			.level = { NAN, NAN },
			.estimate = NAN,
			.low = -INFINITY,
			.high = INFINITY,
			.near_low = -INFINITY,
			.near_high = INFINITY,
			.p = 1,
			.detectable = INFINITY,
			.trend_p = 1,
			.carry_p = 1,
		};
		r = analyse_outcome(experiment, &blocks, resamples, &result->effects[i]);
	}
	free(blocks.block);
	if (r) {
		ab_result_free(result);
		return r;
	}
	judge_all(experiment, result);
	*ret = result;
	return 0;
}

void ab_result_free(struct ab_result *result)
{
	if (!result)
		return;
	for (unsigned int i = 0; i < result->nr; i++) {
		free(result->effects[i].differences);
		free(result->effects[i].blocks);
	}
	free(result);
}
