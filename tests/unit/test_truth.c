// SPDX-License-Identifier: GPL-2.0-only
/* Statistics and verdicts of sluice probe --host. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/truth.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define BLOCK	    (UINT64_C(2) << 20)
#define USEC	    UINT64_C(1000)

static void assert_near(double found, double expected, double relative)
{
	if (fabs(found - expected) > fabs(expected) * relative)
		fail_msg("%.17g is not %.17g", found, expected);
}

/* --- U test ----------------------------------------------------------------------------------- */

/*
 * p by SciPy 1.10.1: mannwhitneyu(a, b, alternative="greater", method="asymptotic",
 * use_continuity=True). The first is the example of its documentation.
 */
static const struct u_case {
	unsigned int nr_a, nr_b;
	double a[20], b[20];
	double p;
} u_cases[] = {
	{ 5, 4, { 19, 22, 16, 29, 24 }, { 20, 11, 17, 12 }, 0.0556734432665702 },
	{ 4, 5, { 20, 11, 17, 12 }, { 19, 22, 16, 29, 24 }, 0.966903710138903 },
	/* ties within and between */
	{ 8, 8, { 1, 2, 2, 3, 3, 3, 4, 5 }, { 1, 1, 2, 2, 2, 3, 3, 6 }, 0.207694187922544 },
	{ 4, 4, { 7, 7, 7, 7 }, { 7, 7, 7, 8 }, 0.894350226333145 },
	{ 9,
	  7,
	  { 10, 12, 15, 15, 18, 21, 21, 21, 30 },
	  { 9, 10, 10, 11, 12, 15, 16 },
	  0.0142260951037457 },
	/* nothing differs */
	{ 6, 6, { 5, 5, 5, 5, 5, 5 }, { 5, 5, 5, 5, 5, 5 }, 1 },
	{ 3, 0, { 1, 2, 3 }, { 0 }, 1 },
};

static void test_u(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(u_cases); i++) {
		struct u_case row = u_cases[i];

		assert_near(truth_u_test(row.a, row.nr_a, row.b, row.nr_b), row.p, 1e-12);
	}
}

/* As above: range(100, 120) and range(20). */
static void test_u_apart(void **state)
{
	double a[20], b[20];

	(void)state;
	for (int i = 0; i < 20; i++) {
		a[i] = 119 - i;
		b[i] = i;
	}
	assert_near(truth_u_test(a, 20, b, 20), 3.39780756408668e-08, 1e-12);
	assert_near(truth_u_test(b, 20, a, 20), 0.9999999707854, 1e-12);
}

/* --- quantiles -------------------------------------------------------------------------------- */

/*
 * Ranks between which the tenth percentile lies with 99 %: by SciPy 1.10.1, the largest l
 * with binom.cdf(l - 1, n, .1) <= .005 and the smallest h with binom.cdf(h - 1, n, .1) >= .995.
 */
static const struct {
	unsigned int nr, low, high;
} ranks[] = {
	{ 60, 1, 14 }, { 64, 1, 14 }, { 128, 5, 23 }, { 256, 14, 40 }, { 1024, 78, 129 },
};

/* Times 1001, 1002, ... and twice that, shuffled: 37 and 91 share no divisor with any number. */
static void test_quantiles(void **state)
{
	struct touch_pair pairs[TRUTH_MOST_PAIRS];
	struct touch_effect effect;

	(void)state;
	for (size_t i = 0; i < ROWS(ranks); i++) {
		const unsigned int nr = ranks[i].nr;

		for (unsigned int k = 0; k < nr; k++) {
			pairs[k].backed_ns = 1001 + (k * 37) % nr;
			pairs[k].reported_ns = UINT64_C(2) * (1001 + (k * 91) % nr);
		}
		assert_int_equal(truth_effect(pairs, nr, &effect), 0);
		assert_near(effect.backed_ns.low, 1000 + ranks[i].low, 1e-12);
		assert_near(effect.backed_ns.high, 1000 + ranks[i].high, 1e-12);
		assert_near(effect.backed_ns.value, 1001 + 0.1 * (nr - 1), 1e-12);
		assert_near(effect.reported_ns.low, 2 * (1000 + ranks[i].low), 1e-12);
		assert_near(effect.reported_ns.high, 2 * (1000 + ranks[i].high), 1e-12);
		assert_near(effect.ratio.value, 2, 1e-12);
		/* the one is twice the other, and so are its distances */
		assert_near(effect.extra_ns.low,
			    effect.backed_ns.value -
				    hypot(2 * (effect.backed_ns.value - 1000 - ranks[i].low),
					  1000 + ranks[i].high - effect.backed_ns.value),
			    1e-9);
		assert_near(log(effect.ratio.high / 2),
			    hypot(log((1000 + ranks[i].high) / effect.backed_ns.value),
				  log(effect.backed_ns.value / (1000 + ranks[i].low))),
			    1e-9);
	}
}

static void test_limits(void **state)
{
	static struct touch_pair pairs[TRUTH_MOST_PAIRS + 1];
	struct touch_effect effect = { .p = 7 };

	(void)state;
	for (unsigned int i = 0; i <= TRUTH_MOST_PAIRS; i++)
		pairs[i] = (struct touch_pair){ 1000, 1000 };
	assert_int_equal(truth_effect(pairs, 0, &effect), -ENODATA);
	assert_int_equal(truth_effect(pairs, TRUTH_LEAST_PAIRS - 1, &effect), -ENODATA);
	assert_int_equal(truth_effect(pairs, TRUTH_MOST_PAIRS + 1, &effect), -EINVAL);
	pairs[3].backed_ns = 0;
	assert_int_equal(truth_effect(pairs, TRUTH_LEAST_PAIRS, &effect), -EINVAL);
	assert_near(effect.p, 7, 0); /* written on success only */
	pairs[3].backed_ns = 1000;
	assert_int_equal(truth_effect(pairs, TRUTH_LEAST_PAIRS, &effect), 0);
	assert_near(effect.p, 1, 0);
	assert_int_equal(truth_effect(pairs, TRUTH_MOST_PAIRS, &effect), 0);
}

/* --- verdicts --------------------------------------------------------------------------------- */

static uint64_t random_state;

/* From 0 inclusive to 1 exclusive; the same numbers at each run. */
static double random_number(void)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (double)(random_state >> 11) / 9007199254740992.0;
}

/* A touch of @base us, with some jitter, and of up to @noise us more in a share of all. */
static uint64_t make_touch(double base, double share, double noise)
{
	double us = base * (1 + 0.05 * random_number());

	if (random_number() < share)
		us += noise * random_number();
	return (uint64_t)(us * (double)USEC);
}

/* Hosts by what a touch takes there (us), and what must, or at least must not, be said of them. */
static const struct host_case {
	const char *name;
	double backed, extra; /* extra: what the host does if it released the block */
	double released;      /* share of the blocks */
	double share, noise;
	unsigned int nr;
	enum truth truth;
} hosts[] = {
	/* a guest on a processor: zeroing takes 130 us, a host with huge pages takes that again */
	{ "huge pages", 130, 170, 1, 0.1, 1000, 64, TRUTH_RELEASES },
	{ "small pages", 130, 800, 1, 0.1, 1000, 64, TRUTH_RELEASES },
	{ "kept", 130, 0, 0, 0.1, 1000, 64, TRUTH_KEEPS },
	/* busy: most touches are disturbed */
	{ "busy", 130, 170, 1, 0.7, 20000, 256, TRUTH_RELEASES },
	{ "busy, kept", 130, 0, 0, 0.7, 20000, 256, TRUTH_KEEPS },
	/* emulated: the guest takes long to zero */
	{ "emulated", 1100, 1300, 1, 0.5, 8000, 128, TRUTH_RELEASES },
	{ "emulated, kept", 1100, 0, 0, 0.5, 8000, 128, TRUTH_KEEPS },
	{ "emulated slowly", 16000, 170, 1, 0.5, 8000, 128, TRUTH_UNKNOWN },
	{ "emulated slowly, kept", 16000, 0, 0, 0.9, 8000, 64, TRUTH_UNKNOWN },
	/* part of what is reported is released */
	{ "half", 130, 170, 0.5, 0.1, 1000, 128, TRUTH_UNKNOWN },
	{ "most", 130, 800, 0.8, 0.1, 1000, 128, TRUTH_UNKNOWN },
	/* a host that is slower, but not by what zeroing takes */
	{ "a little slower", 130, 20, 1, 0.1, 1000, 64, TRUTH_UNKNOWN },
	/* the host swapped out what was in use */
	{ "swapping", 5000, -4700, 1, 0.1, 1000, 64, TRUTH_UNKNOWN },
	/* every touch is disturbed, by more than what is looked for */
	{ "noise", 130, 0, 0, 1, 20000, 64, TRUTH_UNKNOWN },
};

static enum truth judge_host(const struct host_case *host, struct errmsg *why)
{
	struct touch_pair pairs[TRUTH_MOST_PAIRS];
	struct touch_effect effect;

	for (unsigned int i = 0; i < host->nr; i++) {
		const double extra = random_number() < host->released ? host->extra : 0;

		pairs[i].reported_ns = make_touch(host->backed + extra, host->share, host->noise);
		pairs[i].backed_ns = make_touch(host->backed, host->share, host->noise);
	}
	assert_int_equal(truth_effect(pairs, host->nr, &effect), 0);
	return truth_judge(&effect, host->nr, BLOCK, why);
}

/* The interval of the difference holds what is true as often as it claims. */
static void test_coverage(void **state)
{
	static const struct host_case same = { "", 130, 0, 0, 0.5, 2000, 128, TRUTH_KEEPS };
	const unsigned int tries = 4000;
	unsigned int missed = 0;

	(void)state;
	random_state = 99;
	for (unsigned int t = 0; t < tries; t++) {
		struct touch_pair pairs[TRUTH_MOST_PAIRS];
		struct touch_effect effect;

		for (unsigned int i = 0; i < same.nr; i++) {
			pairs[i].reported_ns = make_touch(same.backed, same.share, same.noise);
			pairs[i].backed_ns = make_touch(same.backed, same.share, same.noise);
		}
		assert_int_equal(truth_effect(pairs, same.nr, &effect), 0);
		missed += effect.extra_ns.low > 0 || effect.extra_ns.high < 0;
	}
	print_message("%u of %u intervals miss\n", missed, tries);
	/* 40 are expected of 99 % */
	assert_in_range(missed, 0, 60);
}

/* A wrong verdict is never said; none at all seldom where there should be one. */
static void test_verdicts(void **state)
{
	const unsigned int tries = 500;

	(void)state;
	for (size_t i = 0; i < ROWS(hosts); i++) {
		unsigned int counts[3] = { 0 };
		struct errmsg why;

		random_state = i + 1;
		for (unsigned int t = 0; t < tries; t++)
			counts[judge_host(&hosts[i], &why)]++;
		print_message("%s: %u releases, %u keeps, %u unknown of %u\n", hosts[i].name,
			      counts[TRUTH_RELEASES], counts[TRUTH_KEEPS], counts[TRUTH_UNKNOWN],
			      tries);
		if (counts[hosts[i].truth] < tries * 98 / 100)
			fail_msg("%s: too seldom %s", hosts[i].name, truth_name(hosts[i].truth));
		if (hosts[i].truth != TRUTH_UNKNOWN)
			assert_int_equal(counts[hosts[i].truth] + counts[TRUTH_UNKNOWN], tries);
	}
}

/* The rule itself: ends of the intervals and p. 122.07 us are 2 MiB at 16 GiB/s. */
static const struct rule_case {
	double extra_low, extra_high, ratio_low, ratio_high, p;
	enum truth truth;
	const char *why;
} rules[] = {
	{ 123000, 200000, 1.11, 1.5, 0.0009, TRUTH_RELEASES, "by 123 us to 200 us in 64 pairs" },
	{ 122000, 200000, 1.11, 1.5, 0.0009, TRUTH_UNKNOWN,
	  "or a host that needs 122.1 us or more" },
	{ 123000, 200000, 1.09, 1.5, 0.0009, TRUTH_UNKNOWN, "may be noise" },
	/* where most touches are disturbed p says little */
	{ 123000, 200000, 1.11, 1.5, 0.2, TRUTH_RELEASES, "by 123 us to 200 us in 64 pairs" },
	{ -5000, 122000, 0.9, 1.5, 0.01, TRUTH_KEEPS, "is -5 us to 122 us in 64 pairs" },
	{ -5000, 123000, 0.9, 1.5, 0.01, TRUTH_UNKNOWN, "may be noise" },
	{ -5000, 122000, 0.9, 1.5, 0.0099, TRUTH_UNKNOWN, "may release a part" },
	{ -90000, -20000, 0.5, 0.92, 0.5, TRUTH_KEEPS, "is -90 us to -20 us" },
	{ -90000, -20000, 0.5, 0.90, 0.5, TRUTH_UNKNOWN, "ratio of 0.90 at the most" },
};

static void test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(rules); i++) {
		const struct touch_effect effect = {
			.ratio = { .low = rules[i].ratio_low, .high = rules[i].ratio_high },
			.extra_ns = { .low = rules[i].extra_low, .high = rules[i].extra_high },
			.p = rules[i].p,
		};
		struct errmsg why = { 0 };

		assert_int_equal(truth_judge(&effect, 64, BLOCK, &why), rules[i].truth);
		if (!strstr(why.text, rules[i].why))
			fail_msg("\"%s\" is not in \"%s\"", rules[i].why, why.text);
	}
}

/* --- too few ---------------------------------------------------------------------------------- */

static const struct {
	struct touch_count count;
	const char *why;
} shortages[] = {
	{ { .block_size = BLOCK }, "no free extents of 2 MiB" },
	{ { .block_size = BLOCK, .freed = 16, .waited_ns = 5000000000 },
	  "nothing of the 32 MiB that were freed for it was reported within 5 s: try sluice kick" },
	{ { .block_size = BLOCK, .freed = 16, .reported = 9 },
	  "9 freed blocks were reported, but the kernel allocated other" },
	{ { .block_size = BLOCK, .freed = 16, .reported = 9, .touched = 3, .pairs = 2 },
	  "too few samples: 2 pairs of reported and backed memory, 60 are the least" },
};

static void test_shortages(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(shortages); i++) {
		struct errmsg why = { 0 };

		truth_shortage(&shortages[i].count, &why);
		if (!strstr(why.text, shortages[i].why))
			fail_msg("\"%s\" is not in \"%s\"", shortages[i].why, why.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u),	  cmocka_unit_test(test_u_apart),
		cmocka_unit_test(test_quantiles), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_coverage),  cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_rules),	  cmocka_unit_test(test_shortages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
