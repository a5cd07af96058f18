// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/stats.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sort_double.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define MK_EXACT 10 /* values up to which the test of a trend is exact */

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

/* --- signed ranks ----------------------------------------------------------------------------- */

/* Differences that are not 0, ranked by size: twice the mid-rank, for that is an integer. */
struct ranks {
	double *size; /* sorted */
	unsigned int *rank;
	size_t n;
	unsigned int positive, negative; /* sums of ranks */
};

static unsigned int rank_of(const struct ranks *ranks, double size)
{
	size_t low = 0, high = ranks->n;

	while (low < high) {
		const size_t middle = (low + high) / 2;

		if (ranks->size[middle] < size)
			low = middle + 1;
		else
			high = middle;
	}
	return ranks->rank[low];
}

static void rank_differences(const double *differences, size_t n, struct ranks *ranks)
{
	size_t tied;

	for (size_t i = 0; i < n; i++)
		if (fpclassify(differences[i]) != FP_ZERO)
			ranks->size[ranks->n++] = fabs(differences[i]);
	gsl_sort(ranks->size, 1, ranks->n);
	for (size_t i = 0; i < ranks->n; i = tied) {
		for (tied = i + 1; tied < ranks->n && ranks->size[tied] <= ranks->size[i];)
			tied++;
		for (size_t k = i; k < tied; k++)
			ranks->rank[k] = (unsigned int)(i + 1 + tied);
	}
	for (size_t i = 0; i < n; i++) {
		if (differences[i] > 0)
			ranks->positive += rank_of(ranks, differences[i]);
		else if (differences[i] < 0)
			ranks->negative += rank_of(ranks, -differences[i]);
	}
}

/* Halves ranks and sums if all are even, as they are without ties: half the work below. */
static void reduce(struct ranks *ranks)
{
	for (size_t i = 0; i < ranks->n; i++)
		if (ranks->rank[i] % 2)
			return;
	for (size_t i = 0; i < ranks->n; i++)
		ranks->rank[i] /= 2;
	ranks->positive /= 2;
	ranks->negative /= 2;
}

/*
 * Chance of each sum up to @limit, of ranks that are taken by the toss of a coin each:
 * @chance[0..limit]. All terms are positive, so no digit is lost, and without ties powers of 2.
 */
static void sum_chances(const unsigned int *rank, size_t n, unsigned int limit, double *chance)
{
	for (unsigned int sum = 1; sum <= limit; sum++)
		chance[sum] = 0;
	chance[0] = 1;
	for (size_t i = 0; i < n; i++) {
		for (unsigned int sum = limit + 1; sum-- > 0;)
			chance[sum] =
				(chance[sum] + (sum >= rank[i] ? chance[sum - rank[i]] : 0)) / 2;
	}
}

static double signed_rank_exact(struct ranks *ranks)
{
	unsigned int limit;
	double *chance, p = 0;

	reduce(ranks);
	limit = ranks->positive < ranks->negative ? ranks->positive : ranks->negative;
	chance = malloc((limit + 1) * sizeof(*chance));
	if (!chance)
		return NAN;
	sum_chances(ranks->rank, ranks->n, limit, chance);
	for (unsigned int sum = 0; sum <= limit; sum++)
		p += chance[sum];
	free(chance);
	/* sums are distributed symmetrically; their mean itself is in both halves */
	return smaller(2 * p, 1);
}

/* Normal, corrected for continuity; squares of mid-ranks have the correction for ties in them. */
static double signed_rank_normal(const struct ranks *ranks)
{
	const double distance = fabs((double)ranks->positive - (double)ranks->negative) / 2;
	double squares = 0;

	for (size_t i = 0; i < ranks->n; i++)
		squares += (double)ranks->rank[i] * ranks->rank[i];
	/* ranks are doubled, so half of one is 1 */
	return smaller(2 * gsl_cdf_ugaussian_Q((distance - 1) / sqrt(squares / 4)), 1);
}

double stats_signed_rank(const double *differences, size_t n)
{
	struct ranks ranks = {
		.size = calloc(n, sizeof(*ranks.size)),
		.rank = calloc(n, sizeof(*ranks.rank)),
	};
	double p = NAN;

	if (ranks.size && ranks.rank) {
		rank_differences(differences, n, &ranks);
		if (!ranks.n)
			p = 1;
		else if (ranks.n <= STATS_EXACT)
			p = signed_rank_exact(&ranks);
		else
			p = signed_rank_normal(&ranks);
	}
	free(ranks.size);
	free(ranks.rank);
	return p;
}

void stats_holm(const double *p, size_t n, double *adjusted)
{
	for (size_t i = 0; i < n; i++) {
		size_t less = 0;

		for (size_t k = 0; k < n; k++)
			less += p[k] < p[i];
		adjusted[i] = smaller((double)(n - less) * p[i], 1);
	}
	/* none is below one whose p is smaller; those that are done already do no harm */
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			if (p[k] <= p[i] && adjusted[k] > adjusted[i])
				adjusted[i] = adjusted[k];
}

/* --- trend ------------------------------------------------------------------------------------ */

/* Multiplies a polynomial by (1 + x + ... + x^(@terms - 1)). */
static void polynomial_multiply(double *coefficient, size_t size, size_t terms)
{
	for (size_t i = size; i-- > 0;)
		for (size_t k = 1; k < terms && k <= i; k++)
			coefficient[i] += coefficient[i - k];
}

/* The same undone. */
static void polynomial_divide(double *coefficient, size_t size, size_t terms)
{
	for (size_t i = 0; i < size; i++)
		for (size_t k = 1; k < terms && k <= i; k++)
			coefficient[i] -= coefficient[i - k];
}

/*
 * Orders of n values by the number of their inversions: the coefficients of
 * [1] [2] ... [n] with [j] = 1 + x + ... + x^(j - 1), over the same product for each group of tied
 * values (Gauss' multinomial). Integers, of at most 10! = 3628800. @score: pairs that rise less
 * pairs that fall, not negative.
 */
static double trend_exact(const double *sorted, size_t n, double score)
{
	double orders[MK_EXACT * (MK_EXACT - 1) / 2 + 1] = { 1 };
	const size_t size = sizeof(orders) / sizeof(orders[0]);
	size_t untied = n * (n - 1) / 2, group = 0;
	double all = 0, extreme = 0;

	for (size_t terms = 2; terms <= n; terms++)
		polynomial_multiply(orders, size, terms);
	for (size_t i = 1; i < n; i++) {
		group = sorted[i] <= sorted[i - 1] ? group + 1 : 0;
		untied -= group;
		polynomial_divide(orders, size, group + 1);
	}
	for (size_t falling = 0; falling <= untied; falling++) {
		all += orders[falling];
		if ((double)untied - 2 * (double)falling >= score)
			extreme += orders[falling];
	}
	return smaller(2 * extreme / all, 1);
}

/* As R's cor.test(method = "kendall", exact = FALSE, continuity = TRUE). */
static double trend_normal(const double *sorted, size_t n, double score)
{
	const double all = (double)n;
	double variance = all * (all - 1) * (2 * all + 5);
	size_t tied;

	for (size_t i = 0; i < n; i = tied) {
		double group;

		for (tied = i + 1; tied < n && sorted[tied] <= sorted[i];)
			tied++;
		group = (double)(tied - i);
		variance -= group * (group - 1) * (2 * group + 5);
	}
	if (variance <= 0 || score < 1)
		return 1;
	return smaller(2 * gsl_cdf_ugaussian_Q((score - 1) / sqrt(variance / 18)), 1);
}

struct stats_trend stats_trend(const double *values, size_t n)
{
	struct stats_trend trend = { 0, 1 };
	const size_t pairs = n * (n - 1) / 2;
	double *sorted, *slopes, score = 0;
	size_t nr = 0;

	if (n < 2)
		return trend;
	sorted = malloc(n * sizeof(*sorted));
	slopes = malloc(pairs * sizeof(*slopes));
	if (!sorted || !slopes) {
		trend = (struct stats_trend){ NAN, NAN };
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		sorted[i] = values[i];
		for (size_t k = i + 1; k < n; k++) {
			score += (values[k] > values[i]) - (values[k] < values[i]);
			slopes[nr++] = (values[k] - values[i]) / (double)(k - i);
		}
	}
	trend.slope = gsl_stats_median(slopes, 1, nr);
	gsl_sort(sorted, 1, n);
	if (n >= 4)
		trend.p = n <= MK_EXACT ? trend_exact(sorted, n, fabs(score)) :
					  trend_normal(sorted, n, fabs(score));
out:
	free(sorted);
	free(slopes);
	return trend;
}

double stats_deviation(const double *values, size_t n)
{
	return n < 2 ? 0 : gsl_stats_sd(values, 1, n);
}
