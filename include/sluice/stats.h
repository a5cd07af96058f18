/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Statistics of paired differences, in the client only (GSL). Pure: randomness comes from a
 * seed. Arrays are the caller's and are not changed; their values are finite. @n is 1 or more
 * unless it says otherwise. Without memory the answer is NAN.
 */
#ifndef SLUICE_STATS_H
#define SLUICE_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Up to so many differences that are not 0 the test is exact, beyond it is approximated. */
#define STATS_EXACT 200

struct stats_interval {
	double low, high;
};

/*
 * Two-sided p of the permutation test that flips signs, with Wilcoxon's signed ranks as
 * its statistic: how probable it is, over all 2^n ways to give the differences their signs, that
 * the sum of positive ranks is as far from its mean as it is or farther. Ties have mid-ranks,
 * zeros are left out (Wilcoxon 1945). 1 if no difference is left. Exact for a design that drew
 * the order of each pair by the toss of a coin, whatever the distribution.
 */
double stats_signed_rank(const double *differences, size_t n);

/* Hodges-Lehmann estimate: the median of all (d_i + d_j) / 2, i <= j. */
double stats_hodges_lehmann(const double *differences, size_t n);

/*
 * Interval of it by the bootstrap: expanded percentiles (Hesterberg, What Teachers Should Know
 * about the Bootstrap, The American Statistician 69, 2015), for plain percentiles are too narrow
 * where n is small. @level: 0.95. @resamples: 100 or more. Infinite on both sides where not even
 * the range of the differences would hold their median so often, which it does in
 * 1 - 2^(1 - n) of all cases: for less than 6 at 0.95, less than 5 at 0.9.
 */
struct stats_interval stats_bootstrap(const double *differences, size_t n, double level,
				      unsigned int resamples, uint64_t seed);

/* Holm's correction (1979): adjusted[i] for p[i], at most 1. @adjusted is not @p. */
void stats_holm(const double *p, size_t n, double *adjusted);

struct stats_trend {
	double slope; /* per step: Theil and Sen's median of all slopes */
	double p;     /* two-sided, Mann and Kendall: exact up to 10 values, with ties too, else by
			 the normal distribution, corrected for continuity and ties */
};

/* Of values at equal distances. p is 1 for n of less than 4, the slope 0 for 1. */
struct stats_trend stats_trend(const double *values, size_t n);

/* Standard deviation, n - 1 in the denominator; 0 for n of less than 2. */
double stats_deviation(const double *values, size_t n);

/*
 * Smallest true mean of n differences with this standard deviation that stats_signed_rank()
 * finds with probability @power (0.5 or more) at level @alpha, two-sided, under normal noise: by
 * the noncentral t distribution with the signed ranks' efficiency of 3/pi, up to 30 differences at
 * the level that so few can attain; where all must have one sign, by the chance of that. Infinite
 * for n of less than 2, and where the test can't reach @alpha at all.
 */
double stats_detectable(double deviation, size_t n, double alpha, double power);

/* Fewest n for which stats_detectable() is at most @effect (above 0); 0: more than @most. */
size_t stats_needed(double deviation, double effect, double alpha, double power, size_t most);

#endif
