// SPDX-License-Identifier: GPL-2.0-only
#include "truth.h"

#include <errno.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sort_double.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdio.h>

#include "sluice/units.h"

/* Chance that at most @k of @nr values are below the quantile. */
static double at_most_below(unsigned int k, unsigned int nr)
{
	return gsl_cdf_binomial_P(k, TRUTH_QUANTILE, nr);
}

/*
 * The quantile of what @values, sorted, are samples of. It is below the value of rank
 * @low if fewer than @low values are below it, and above that of rank @high if at least
 * @high are.
 */
static struct touch_interval quantile_interval(const double *values, unsigned int nr)
{
	const double tail = (1 - TRUTH_CONFIDENCE) / 2;
	unsigned int low = 1, high = 1;

	while (at_most_below(low, nr) <= tail)
		low++;
	while (high < nr && at_most_below(high - 1, nr) < 1 - tail)
		high++;
	return (struct touch_interval){
		.low = values[low - 1],
		.value = gsl_stats_quantile_from_sorted_data(values, 1, nr, TRUTH_QUANTILE),
		.high = values[high - 1],
	};
}

/*
 * Of a - b, which are independent: each end from the ends of both (MOVER; Zou and Donner,
 * Statistics in Medicine 27, 2008).
 */
static struct touch_interval difference(struct touch_interval a, struct touch_interval b)
{
	const double value = a.value - b.value;

	return (struct touch_interval){
		.low = value - hypot(a.value - a.low, b.high - b.value),
		.value = value,
		.high = value + hypot(a.high - a.value, b.value - b.low),
	};
}

static struct touch_interval logarithm(struct touch_interval a)
{
	return (struct touch_interval){ log(a.low), log(a.value), log(a.high) };
}

static struct touch_interval quotient(struct touch_interval a, struct touch_interval b)
{
	const struct touch_interval logs = difference(logarithm(a), logarithm(b));

	return (struct touch_interval){ exp(logs.low), exp(logs.value), exp(logs.high) };
}

/* How many of @values, sorted, from the @i-th on are equal to @value. */
static unsigned int count_equal(const double *values, unsigned int nr, unsigned int i, double value)
{
	unsigned int equal = 0;

	while (i + equal < nr && values[i + equal] <= value)
		equal++;
	return equal;
}

double truth_u_test(double *a, unsigned int nr_a, double *b, unsigned int nr_b)
{
	const double all = nr_a + nr_b, pairs = (double)nr_a * nr_b;
	double u = 0, ties = 0, deviation;
	unsigned int i = 0, j = 0;

	gsl_sort(a, 1, nr_a);
	gsl_sort(b, 1, nr_b);
	/* U counts the pairs in which a is larger, and half of those that are equal */
	while (i < nr_a || j < nr_b) {
		const double value = j == nr_b || (i < nr_a && a[i] < b[j]) ? a[i] : b[j];
		const unsigned int in_a = count_equal(a, nr_a, i, value);
		const unsigned int in_b = count_equal(b, nr_b, j, value);
		const double tied = in_a + in_b;

		u += in_a * (j + in_b / 2.0);
		ties += tied * tied * tied - tied;
		i += in_a;
		j += in_b;
	}
	deviation = sqrt(pairs / 12 * (all + 1 - ties / (all * (all - 1))));
	return deviation > 0 ? gsl_cdf_ugaussian_Q((u - pairs / 2 - 0.5) / deviation) : 1;
}

int truth_effect(const struct touch_pair *pairs, unsigned int nr, struct touch_effect *ret)
{
	double reported[TRUTH_MOST_PAIRS], backed[TRUTH_MOST_PAIRS];
	struct touch_interval r, b;
	double p;

	if (nr < TRUTH_LEAST_PAIRS)
		return -ENODATA;
	if (nr > TRUTH_MOST_PAIRS)
		return -EINVAL;
	for (unsigned int i = 0; i < nr; i++) {
		if (!pairs[i].reported_ns || !pairs[i].backed_ns)
			return -EINVAL;
		reported[i] = (double)pairs[i].reported_ns;
		backed[i] = (double)pairs[i].backed_ns;
	}
	p = truth_u_test(reported, nr, backed, nr);
	r = quantile_interval(reported, nr);
	b = quantile_interval(backed, nr);
	*ret = (struct touch_effect){
		.reported_ns = r,
		.backed_ns = b,
		.ratio = quotient(r, b),
		.extra_ns = difference(r, b),
		.p = p,
	};
	return 0;
}

void truth_shortage(const struct touch_count *count, struct errmsg *why)
{
	char size[UNITS_TEXT], time[UNITS_TEXT];

	format_size(count->freed * count->block_size, size);
	format_duration(count->waited_ns, time);
	if (!count->freed)
		errmsg_set(why, 0,
			   "the kernel had no free extents of %s for it: free memory is in smaller "
			   "pieces, see sluice hist",
			   format_size(count->block_size, size));
	else if (!count->reported)
		errmsg_set(why, 0,
			   "nothing of the %s that were freed for it was reported within %s: try "
			   "sluice kick, see with sluice hist whether anything becomes reported, "
			   "then try again",
			   size, time);
	else if (!count->touched)
		errmsg_set(why, 0,
			   "%u freed blocks were reported, but the kernel allocated other free "
			   "memory first, of which is not known whether the host ever had it: try "
			   "again when the guest rests, or with more --samples",
			   count->reported);
	else
		errmsg_set(why, 0,
			   "too few samples: %u pairs of reported and backed memory, %u are the "
			   "least: try again when the guest rests, or with more free memory",
			   count->pairs, TRUTH_LEAST_PAIRS);
}

/* "-1.5 ms" */
#define SIGNED_TEXT (UNITS_TEXT + 1)
static char *format_extra(double ns, char buf[SIGNED_TEXT])
{
	char text[UNITS_TEXT];

	format_duration((uint64_t)(ns < 0 ? -ns : ns), text);
	snprintf(buf, SIGNED_TEXT, "%s%s", ns < 0 ? "-" : "", text);
	return buf;
}

enum truth truth_judge(const struct touch_effect *effect, unsigned int nr, uint64_t block_size,
		       struct errmsg *why)
{
	const double least = (double)block_size * 1e9 / (double)TRUTH_FASTEST_ZEROING;
	char low[SIGNED_TEXT], high[SIGNED_TEXT], cost[SIGNED_TEXT];

	format_extra(effect->extra_ns.low, low);
	format_extra(effect->extra_ns.high, high);
	format_extra(least, cost);
	if (effect->extra_ns.low > least && effect->ratio.low > TRUTH_LEAST_RATIO) {
		errmsg_set(why, 0,
			   "the first touch of reported memory takes longer than that of memory "
			   "that the host has, by %s to %s in %u pairs: the host had to find and "
			   "zero what was touched",
			   low, high, nr);
		return TRUTH_RELEASES;
	}
	if (effect->ratio.high * TRUTH_LEAST_RATIO < 1) {
		errmsg_set(
			why, 0,
			"memory in use is touched more slowly than reported memory, with a ratio "
			"of %.2f at the most: the host does something else to memory, like "
			"swapping it out",
			effect->ratio.high);
		return TRUTH_UNKNOWN;
	}
	if (effect->extra_ns.high < least && effect->p >= TRUTH_P) {
		errmsg_set(
			why, 0,
			"the first touch of reported memory takes as long as that of memory that "
			"the host has: the difference is %s to %s in %u pairs, and a host that "
			"had to find and zero it would need %s at least",
			low, high, nr, cost);
		return TRUTH_KEEPS;
	}
	if (effect->extra_ns.high < least) {
		errmsg_set(why, 0,
			   "some blocks of reported memory are touched as fast as memory that the "
			   "host has, but too many are slower (p = %.2g): the host may release a "
			   "part of what is reported, or noise came at the wrong moments",
			   effect->p);
		return TRUTH_UNKNOWN;
	}
	errmsg_set(why, 0,
		   "the first touch of reported memory takes longer by %s to %s in %u pairs: that "
		   "may be noise, or a host that needs %s or more to find and zero it. More "
		   "--samples narrow it down, and so does a guest that rests",
		   low, high, nr, cost);
	return TRUTH_UNKNOWN;
}

const char *truth_name(enum truth truth)
{
	static const char *const names[] = {
		[TRUTH_RELEASES] = "releases",
		[TRUTH_KEEPS] = "keeps",
		[TRUTH_UNKNOWN] = "unknown",
	};

	return names[truth];
}

const char *truth_sentence(enum truth truth)
{
	static const char *const sentences[] = {
		[TRUTH_RELEASES] = "the host releases what is reported",
		[TRUTH_KEEPS] = "the host acknowledges reports but keeps the memory",
		[TRUTH_UNKNOWN] = "cannot tell",
	};

	return sentences[truth];
}
