// SPDX-License-Identifier: GPL-2.0-only
/*
 * The analysis of A/B experiments on guests that are made up, thousands of them, of which is known
 * what is true: how often it finds a difference that is not there, or does not find one that is,
 * and how often it calls equivalent what is not. Speaks TAP; the same numbers at each run. A share
 * may be off its bound by what chance does in so many runs, with a probability of 1 %.
 */
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sluice/experiment.h"
#include "sluice/stats.h"

#define RUNS	  1000
#define OUTCOMES  6
#define BLOCKS	  14 /* signed ranks of so many reach 4.94 %: close to what is allowed */
#define MOST	  64 /* blocks */
#define ALPHA	  0.05
#define POWER	  0.8
#define CHANCE	  0.01
#define RESAMPLES 100 /* where only p counts */
#define INTERVALS 400 /* where intervals do */

#define LEVEL	  60.0
#define DEVIATION 4.0 /* of a period */
#define MARGIN	  0.05

/* What happens on the guest, whatever the arm. */
struct noise {
	const char *name;
	double trend;	 /* from a period to the next */
	double memory;	 /* correlation of a period with the next */
	double outliers; /* share of periods that are 5 times as much */
	bool heavy;	 /* Cauchy's distribution, which has no mean */
};

static const struct noise noises[] = {
	{ .name = "white noise" },
	{ .name = "trend", .trend = 1 },
	{ .name = "autocorrelation 0.8", .memory = 0.8 },
	{ .name = "outliers", .outliers = 0.05, .heavy = true },
	{ .name = "all of it", .trend = 1, .memory = 0.8, .outliers = 0.05, .heavy = true },
};
#define NOISES (sizeof(noises) / sizeof(noises[0]))

struct simulation {
	struct ab_experiment experiment;
	struct ab_period periods[MOST * AB_BLOCK_LENGTH];
	gsl_rng *random;
};

static unsigned int nr_checks, nr_failed;

static void check(bool is_right, const char *what, enum ab_design design, const char *of,
		  const char *figures)
{
	printf("%s %u - %s, %s, %s: %s\n", is_right ? "ok" : "not ok", ++nr_checks, what,
	       design == AB_PAIRS ? "pairs" : "ABBA", of, figures);
	nr_failed += !is_right;
}

/* The most of @runs that chance makes of @share. */
static unsigned int at_most(double share, unsigned int runs)
{
	unsigned int count = 0;

	while (gsl_cdf_binomial_P(count, share, runs) < 1 - CHANCE)
		count++;
	return count;
}

/* The fewest. */
static unsigned int at_least(double share, unsigned int runs)
{
	return runs - at_most(1 - share, runs);
}

static double percent(unsigned int count, unsigned int runs)
{
	return runs ? 100.0 * count / runs : 0;
}

/* --- experiments ------------------------------------------------------------------------------ */

static double shock(const struct noise *noise, gsl_rng *random)
{
	return noise->heavy ? gsl_ran_cauchy(random, DEVIATION / 4) :
			      gsl_ran_gaussian_ziggurat(random, DEVIATION);
}

/* Outcomes share a half of their noise. B has @effect more, in each of them. */
static void run(struct simulation *simulation, const struct noise *noise, double effect)
{
	struct ab_experiment *experiment = &simulation->experiment;
	const double fresh = sqrt(1 - noise->memory * noise->memory);
	gsl_rng *random = simulation->random;
	double last[OUTCOMES + 1] = { 0 };

	experiment->plan.seed = gsl_rng_get(random);
	ab_draw(&experiment->plan);
	for (unsigned int i = 0; i <= experiment->nr_outcomes; i++)
		last[i] = shock(noise, random);
	for (unsigned int i = 0; i < experiment->nr_periods; i++) {
		struct ab_period *period = &experiment->periods[i];
		const double factor = gsl_rng_uniform(random) < noise->outliers ? 5 : 1;

		period->number = i;
		period->arm = experiment->plan.sequence[i] == 'A' ? AB_A : AB_B;
		for (unsigned int o = 0; o <= experiment->nr_outcomes; o++)
			last[o] = noise->memory * last[o] + fresh * shock(noise, random);
		for (unsigned int o = 0; o < experiment->nr_outcomes; o++) {
			period->value[o] =
				factor * (LEVEL + noise->trend * i +
					  M_SQRT1_2 * (last[o] + last[experiment->nr_outcomes]) +
					  (period->arm == AB_B ? effect : 0));
			period->drift[o] = shock(noise, random);
		}
	}
}

static void plan(struct simulation *simulation, enum ab_design design, unsigned int blocks,
		 unsigned int outcomes)
{
	struct ab_experiment *experiment = &simulation->experiment;

	*experiment = (struct ab_experiment){
		.plan = { .design = design, .blocks = blocks },
		.nr_outcomes = outcomes,
		.margin = MARGIN,
		.alpha = ALPHA,
		.power = POWER,
		.periods = simulation->periods,
		.nr_periods = blocks * ab_block_length(design),
	};
	for (unsigned int o = 0; o < outcomes; o++) {
		experiment->outcomes[o].better = (enum ab_better)(o % 3);
		snprintf(experiment->outcomes[o].name, AB_NAME, "outcome.%u", o);
	}
}

static struct ab_result *analyse(const struct simulation *simulation, unsigned int resamples)
{
	struct ab_result *result;

	if (ab_analyse(&simulation->experiment, resamples, &result)) {
		puts("Bail out! no memory");
		exit(EXIT_FAILURE);
	}
	return result;
}

/* The arm that has less is better in outcome 0. */
static bool is_found(const struct ab_effect *effect)
{
	return effect->verdict <= AB_DIFFERENT;
}

/* Standard deviation of a block's difference in white noise. */
static double deviation(enum ab_design design)
{
	return design == AB_PAIRS ? DEVIATION * M_SQRT2 : DEVIATION;
}

/* --- checks ----------------------------------------------------------------------------------- */

/* Nothing is there, and little may be found. */
static void check_nothing(struct simulation *simulation, enum ab_design design,
			  const struct noise *noise)
{
	const unsigned int most = at_most(ALPHA, RUNS);
	unsigned int primary = 0, any = 0;
	char figures[128];

	plan(simulation, design, BLOCKS, OUTCOMES);
	for (unsigned int i = 0; i < RUNS; i++) {
		struct ab_result *result;
		bool found = false;

		run(simulation, noise, 0);
		result = analyse(simulation, RESAMPLES);
		primary += is_found(&result->effects[0]);
		for (unsigned int o = 0; o < OUTCOMES; o++)
			found |= result->effects[o].adjusted <= ALPHA;
		any += found;
		ab_result_free(result);
	}
	snprintf(figures, sizeof(figures), "%.1f %% found different, %.1f %% may be",
		 percent(primary, RUNS), percent(most, RUNS));
	check(primary <= most, "A/A", design, noise->name, figures);
	snprintf(figures, sizeof(figures),
		 "%.1f %% found any of %d outcomes different, %.1f %% may be", percent(any, RUNS),
		 OUTCOMES, percent(most, RUNS));
	check(any <= most, "A/A", design, noise->name, figures);
}

/* @effect deviations are there, and so many blocks as are promised to find them. */
static void check_power(struct simulation *simulation, enum ab_design design, double effect)
{
	const double size = effect * deviation(design);
	const unsigned int blocks =
		(unsigned int)stats_needed(deviation(design), size, ALPHA, POWER, MOST);
	const unsigned int least = at_least(POWER, RUNS);
	unsigned int found = 0, right = 0;
	char figures[128], of[64];

	plan(simulation, design, blocks, 1);
	for (unsigned int i = 0; i < RUNS; i++) {
		const bool less = i % 2;
		struct ab_result *result;

		run(simulation, &noises[0], less ? -size : size);
		result = analyse(simulation, RESAMPLES);
		found += is_found(&result->effects[0]);
		right += result->effects[0].verdict == (less ? AB_B_BETTER : AB_A_BETTER);
		ab_result_free(result);
	}
	snprintf(of, sizeof(of), "%g deviations, %u blocks", effect, blocks);
	snprintf(figures, sizeof(figures), "%.1f %% found, %.1f %% must be", percent(found, RUNS),
		 percent(least, RUNS));
	check(blocks && found >= least, "a difference", design, of, figures);
	snprintf(figures, sizeof(figures),
		 "%.1f %% of them with the right sign, more than 99 %% must",
		 percent(right, found));
	check(found && right * 100 > found * 99, "a difference", design, of, figures);
}

/* The difference is the margin itself: it is outside. */
static void check_margin(struct simulation *simulation, enum ab_design design,
			 const struct noise *noise, unsigned int blocks)
{
	const unsigned int most = at_most(ALPHA, RUNS);
	unsigned int equivalent = 0, within = 0;
	char figures[128], of[64];

	plan(simulation, design, blocks, 1);
	for (unsigned int i = 0; i < RUNS; i++) {
		const double size = MARGIN * LEVEL;
		const struct ab_effect *effect;
		struct ab_result *result;

		run(simulation, noise, i % 2 ? -size : size);
		result = analyse(simulation, INTERVALS);
		effect = &result->effects[0];
		equivalent += effect->verdict == AB_EQUIVALENT;
		within +=
			effect->near_low >= -effect->margin && effect->near_high <= effect->margin;
		ab_result_free(result);
	}
	snprintf(of, sizeof(of), "%s, %u blocks", noise->name, blocks);
	snprintf(figures, sizeof(figures),
		 "%.1f %% called equivalent, interval within in %.1f %%, %.1f %% may be",
		 percent(equivalent, RUNS), percent(within, RUNS), percent(most, RUNS));
	check(equivalent <= most && within <= most, "a difference of the margin", design, of,
	      figures);
}

/* There is none, and it should be said. */
static void check_equivalent(struct simulation *simulation, enum ab_design design,
			     unsigned int blocks)
{
	unsigned int equivalent = 0;
	char figures[128], of[64];

	plan(simulation, design, blocks, 1);
	for (unsigned int i = 0; i < RUNS; i++) {
		struct ab_result *result;

		run(simulation, &noises[0], 0);
		result = analyse(simulation, INTERVALS);
		equivalent += result->effects[0].verdict == AB_EQUIVALENT;
		ab_result_free(result);
	}
	snprintf(of, sizeof(of), "%u blocks", blocks);
	snprintf(figures, sizeof(figures), "%.1f %% called equivalent, 50 %% must be",
		 percent(equivalent, RUNS));
	check(equivalent * 2 >= RUNS, "no difference", design, of, figures);
}

int main(void)
{
	static const double effects[] = { 1.8, 1.3, 1, 0.5 };
	struct simulation *simulation = calloc(1, sizeof(*simulation));

	if (!simulation)
		return EXIT_FAILURE;
	simulation->random = gsl_rng_alloc(gsl_rng_mt19937);
	gsl_rng_set(simulation->random, 1);
	for (enum ab_design design = AB_PAIRS; design <= AB_ABBA; design++) {
		for (size_t i = 0; i < NOISES; i++)
			check_nothing(simulation, design, &noises[i]);
		for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++)
			check_power(simulation, design, effects[i]);
		check_margin(simulation, design, &noises[0], 12);
		check_margin(simulation, design, &noises[0], 30);
		check_margin(simulation, design, &noises[2], 30);
		check_equivalent(simulation, design, 30);
	}
	printf("1..%u\n", nr_checks);
	gsl_rng_free(simulation->random);
	free(simulation);
	return nr_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
