// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hodges and Lehmann's estimate and its bootstrap: half the median of all sums of two differences,
 * 10000 times and more. Few sums are written out. Of many, the median is found without: they
 * are the upper half of a matrix whose rows and columns rise, so those below any pivot are counted
 * in O(n), and pivots that are drawn from what is left over narrow it down (Monahan, ACM
 * Transactions on Mathematical Software 10, 1984).
 */
#include "sluice/stats.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_sort_double.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define FEW 128 /* sums that are written out: of up to 15 differences */

/* Row i has the sums x[i] + x[k], k from i on. */
struct sums {
	size_t n;
	double *x;		       /* sorted, unless there are few */
	size_t *first, *end, *scratch; /* candidates of row i: first[i] <= k < end[i] */
	double few[FEW];
};

static void sums_free(struct sums *sums)
{
	if (!sums)
		return;
	free(sums->x);
	free(sums->first);
	free(sums->end);
	free(sums->scratch);
	free(sums);
}

static struct sums *sums_alloc(size_t n)
{
	struct sums *sums = calloc(1, sizeof(*sums));

	if (!sums)
		return NULL;
	sums->n = n;
	sums->x = calloc(n, sizeof(*sums->x));
	sums->first = calloc(n, sizeof(*sums->first));
	sums->end = calloc(n, sizeof(*sums->end));
	sums->scratch = calloc(n, sizeof(*sums->scratch));
	if (sums->x && sums->first && sums->end && sums->scratch)
		return sums;
	sums_free(sums);
	return NULL;
}

/* Where in each row the sums end that are below @pivot, or @equal to it. Returns their number. */
static size_t count_below(const struct sums *sums, double pivot, bool equal, size_t *end)
{
	size_t count = 0, k = sums->n;

	for (size_t i = 0; i < sums->n; i++) {
		while (k > i) {
			const double sum = sums->x[i] + sums->x[k - 1];

			if (sum < pivot || (equal && sum <= pivot))
				break;
			k--;
		}
		end[i] = k > i ? k : i;
		count += end[i] - i;
	}
	return count;
}

static void swap(size_t **a, size_t **b)
{
	size_t *const old = *a;

	*a = *b;
	*b = old;
}

static double candidate(const struct sums *sums, size_t number)
{
	size_t i = 0;

	while (number >= sums->end[i] - sums->first[i]) {
		number -= sums->end[i] - sums->first[i];
		i++;
	}
	return sums->x[i] + sums->x[sums->first[i] + number];
}

/* The @k-th of all sums, from 0. */
static double select_sum(struct sums *sums, size_t k)
{
	size_t below = 0, left = sums->n * (sums->n + 1) / 2, nr = 0;
	uint64_t seed = 1;

	for (size_t i = 0; i < sums->n; i++) {
		sums->first[i] = i;
		sums->end[i] = sums->n;
	}
	while (left > FEW) {
		double pivot;
		size_t count;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		pivot = candidate(sums, (size_t)(seed >> 33) % left);
		count = count_below(sums, pivot, false, sums->scratch);
		if (k < count) {
			left = count - below;
			swap(&sums->end, &sums->scratch);
			continue;
		}
		count = count_below(sums, pivot, true, sums->scratch);
		if (k < count)
			return pivot;
		left -= count - below;
		below = count;
		swap(&sums->first, &sums->scratch);
	}
	for (size_t i = 0; i < sums->n; i++)
		for (size_t j = sums->first[i]; j < sums->end[i]; j++)
			sums->few[nr++] = sums->x[i] + sums->x[j];
	return gsl_stats_select(sums->few, 1, nr, k - below);
}

/* The smallest sum above @sum, or @sum itself if it is there more than @k times. */
static double next_sum(struct sums *sums, double sum, size_t k)
{
	double next = INFINITY;

	if (count_below(sums, sum, true, sums->scratch) > k)
		return sum;
	for (size_t i = 0; i < sums->n; i++) {
		const size_t j = sums->scratch[i];

		if (j < sums->n && sums->x[i] + sums->x[j] < next)
			next = sums->x[i] + sums->x[j];
	}
	return next;
}

/* Of sums->x. */
static double hodges_lehmann(struct sums *sums)
{
	const size_t all = sums->n * (sums->n + 1) / 2;
	double middle;
	size_t nr = 0;

	if (all <= FEW) {
		for (size_t i = 0; i < sums->n; i++)
			for (size_t k = i; k < sums->n; k++)
				sums->few[nr++] = sums->x[i] + sums->x[k];
		return gsl_stats_median(sums->few, 1, nr) / 2;
	}
	middle = select_sum(sums, (all - 1) / 2);
	if (all % 2)
		return middle / 2;
	return (middle + next_sum(sums, middle, all / 2)) / 4;
}

double stats_hodges_lehmann(const double *differences, size_t n)
{
	struct sums *sums = sums_alloc(n);
	double estimate;

	if (!sums)
		return NAN;
	for (size_t i = 0; i < n; i++)
		sums->x[i] = differences[i];
	gsl_sort(sums->x, 1, n);
	estimate = hodges_lehmann(sums);
	sums_free(sums);
	return estimate;
}

/* The generator takes 32 bits of a seed. */
static gsl_rng *generator(uint64_t seed)
{
	gsl_error_handler_t *handler = gsl_set_error_handler_off(); /* it would abort */
	gsl_rng *random = gsl_rng_alloc(gsl_rng_mt19937);

	gsl_set_error_handler(handler);
	if (random)
		gsl_rng_set(random, (uint32_t)(seed ^ seed >> 32));
	return random;
}

/* One resample of @sorted, which is sorted as well: how often it has each is all that is drawn. */
static void resample(const double *sorted, struct sums *sums, gsl_rng *random)
{
	const size_t n = sums->n;
	size_t *times = sums->scratch, nr = 0;

	for (size_t i = 0; i < n; i++)
		times[i] = 0;
	for (size_t i = 0; i < n; i++)
		times[gsl_rng_uniform_int(random, n)]++;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < times[i]; k++)
			sums->x[nr++] = sorted[i];
}

/* Share of the resamples on each side of the interval: ((1 - level) / 2, but as wide as t. */
static double expanded_tail(size_t n, double level)
{
	const double all = (double)n;

	return gsl_cdf_ugaussian_Q(sqrt(all / (all - 1)) *
				   gsl_cdf_tdist_Qinv((1 - level) / 2, all - 1));
}

struct stats_interval stats_bootstrap(const double *differences, size_t n, double level,
				      unsigned int resamples, uint64_t seed)
{
	struct stats_interval interval = { NAN, NAN };
	double *sorted, *estimates, tail;
	struct sums *sums;
	gsl_rng *random;

	/* as often are all differences on one side of their median, where no resample has it */
	if (pow(2, 1 - (double)n) > 1 - level)
		return (struct stats_interval){ -INFINITY, INFINITY };
	sorted = malloc(n * sizeof(*sorted));
	estimates = malloc(resamples * sizeof(*estimates));
	sums = sums_alloc(n);
	random = generator(seed);
	if (!sorted || !estimates || !sums || !random)
		goto out;
	for (size_t i = 0; i < n; i++)
		sorted[i] = differences[i];
	gsl_sort(sorted, 1, n);
	for (unsigned int i = 0; i < resamples; i++) {
		resample(sorted, sums, random);
		estimates[i] = hodges_lehmann(sums);
	}
	gsl_sort(estimates, 1, resamples);
	tail = expanded_tail(n, level);
	interval.low = gsl_stats_quantile_from_sorted_data(estimates, 1, resamples, tail);
	interval.high = gsl_stats_quantile_from_sorted_data(estimates, 1, resamples, 1 - tail);
out:
	free(sorted);
	free(estimates);
	sums_free(sums);
	if (random)
		gsl_rng_free(random);
	return interval;
}
