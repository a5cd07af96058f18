/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether the host releases what is reported, told from touches: statistics and
 * verdict of sluice probe --host. Pure: no clock, no I/O.
 */
#ifndef SLUICE_CLI_TRUTH_H
#define SLUICE_CLI_TRUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/errmsg.h"

/*
 * Noise only adds to a time, and on a busy host it adds to most of them: the fast end is
 * what tells. Both kinds are compared by this quantile; with this confidence it lies in
 * an interval, of which the least number of pairs has both ends.
 */
#define TRUTH_QUANTILE	  0.1
#define TRUTH_CONFIDENCE  0.99
#define TRUTH_LEAST_PAIRS 60
#define TRUTH_MOST_PAIRS  1024

/*
 * All of the times are compared by a U test: where p is below this, they are not alike,
 * though their fast ends may be.
 */
#define TRUTH_P 0.01

/*
 * What a host that released a block has to do at least: zero it, which no processor
 * does faster than this for memory that is not in its caches. Bytes per second.
 */
#define TRUTH_FASTEST_ZEROING (UINT64_C(16) << 30)

/*
 * And what it takes in proportion: the guest zeroes the same block in the same touch,
 * so with processors alike the ratio is 2 and more. Below this it may be the guest.
 */
#define TRUTH_LEAST_RATIO 1.1

/*
 * First touches of two blocks of the same size, one right after the other. Both
 * were in the host's memory once; the first was reported since, the other was in
 * use all the time.
 */
struct touch_pair {
	uint64_t reported_ns;
	uint64_t backed_ns;
};

/* An estimate and its confidence interval, which assumes nothing about the noise. */
struct touch_interval {
	double low, value, high;
};

struct touch_effect {
	struct touch_interval reported_ns; /* the quantile */
	struct touch_interval backed_ns;
	struct touch_interval ratio;	/* of these two */
	struct touch_interval extra_ns; /* their difference */
	/* Mann-Whitney U, one-sided: how likely it is that chance makes reported ones so slow */
	double p;
};

/* -ENODATA below TRUTH_LEAST_PAIRS, -EINVAL above TRUTH_MOST_PAIRS or for a touch of 0 ns. */
int truth_effect(const struct touch_pair *pairs, unsigned int nr, struct touch_effect *ret);

/*
 * One-sided p of the Mann-Whitney U test that values of @a tend to be larger than those
 * of @b: normal approximation with corrections for ties and continuity. Sorts both.
 * 1 if all are equal.
 */
double truth_u_test(double *a, unsigned int nr_a, double *b, unsigned int nr_b);

enum truth {
	TRUTH_RELEASES,
	TRUTH_KEEPS,
	TRUTH_UNKNOWN,
};

/* What stood in the way of enough pairs; all counts are blocks. */
struct touch_count {
	uint64_t block_size;   /* bytes */
	unsigned int freed;    /* in all rounds */
	unsigned int reported; /* of these, were reported before the round's deadline */
	unsigned int touched;  /* reported ones that the kernel gave us when we allocated again */
	unsigned int pairs;
	uint64_t waited_ns; /* the longest wait for a pass */
};

/* Why there are fewer pairs than TRUTH_LEAST_PAIRS, and what to do. */
void truth_shortage(const struct touch_count *count, struct errmsg *why);

/* The verdict on touches of blocks of @block_size bytes, and the sentence that says why. */
enum truth truth_judge(const struct touch_effect *effect, unsigned int nr, uint64_t block_size,
		       struct errmsg *why);

const char *truth_name(enum truth truth);     /* in JSON */
const char *truth_sentence(enum truth truth); /* in text */

#endif
