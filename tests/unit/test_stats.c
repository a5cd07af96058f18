// SPDX-License-Identifier: GPL-2.0-only
/*
 * Statistics of paired differences, against R (fixtures/stats/references.R makes the files), tables
 * and simulation.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/stats.h"

#define MOST 600

static void assert_near(double found, double expected, double relative)
{
	if (isinf(expected) ? found != expected :
			      !(fabs(found - expected) <= fabs(expected) * relative))
		fail_msg("%.17g is not %.17g", found, expected);
}

static uint64_t random_state;

/* Above 0 and below 1; the same numbers at each run. */
static double uniform(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return ((double)(random_state >> 11) + 0.5) / 9007199254740992.0;
}

static double gaussian(void)
{
	return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

/* --- files of references ---------------------------------------------------------------------- */

struct reference {
	char *text, *next;
	unsigned int cases;
};

static void reference_open(struct reference *reference, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), SOURCE_DIR "/tests/unit/fixtures/stats/%s", name);
	reference->text = reference->next = fixture_slurp(path);
	reference->cases = 0;
}

/* Puts the next case in place; false: there is none, and there were some. */
static bool reference_case(struct reference *reference)
{
	while (*reference->next == '#' || *reference->next == '\n')
		reference->next = strchr(reference->next, '\n') + 1;
	if (*reference->next) {
		reference->cases++;
		return true;
	}
	free(reference->text);
	assert_in_range(reference->cases, 5, 1000);
	return false;
}

static double reference_number(struct reference *reference)
{
	char *end;
	const double value = strtod(reference->next, &end);

	assert_ptr_not_equal(end, reference->next);
	reference->next = end;
	return value;
}

static size_t reference_list(struct reference *reference, double values[MOST])
{
	const size_t n = (size_t)reference_number(reference);

	assert_in_range(n, 1, MOST);
	for (size_t i = 0; i < n; i++)
		values[i] = reference_number(reference);
	return n;
}

/* --- signed ranks ----------------------------------------------------------------------------- */

static void test_signed_rank(void **state)
{
	double differences[MOST], copy[MOST];
	struct reference reference;

	(void)state;
	reference_open(&reference, "signed_rank.txt");
	while (reference_case(&reference)) {
		const double p = reference_number(&reference);
		const size_t n = reference_list(&reference, differences);

		memcpy(copy, differences, sizeof(copy));
		assert_near(stats_signed_rank(differences, n), p, 1e-10);
		assert_memory_equal(copy, differences, n * sizeof(*copy));
		/* neither sign nor scale nor order make a difference */
		for (size_t i = 0; i < n; i++)
			copy[i] = -8 * differences[n - 1 - i];
		assert_near(stats_signed_rank(copy, n), p, 1e-10);
	}
}

/*
 * Largest sum of ranks of one sign that is significant at 5 %, two-sided: David Harvey,
 * Chemometrics Using R, table 12.6, Critical Values for the Wilcoxon Signed Rank Test (LibreTexts).
 */
static const struct {
	unsigned int n;
	int sum;
} critical[] = {
	{ 5, -1 },  { 6, 0 },	{ 7, 2 },   { 8, 3 },	{ 9, 5 },   { 10, 8 },
	{ 11, 10 }, { 12, 13 }, { 13, 17 }, { 14, 21 }, { 15, 25 }, { 16, 29 },
	{ 17, 34 }, { 18, 40 }, { 19, 46 }, { 20, 52 },
};

/* p where the ranks with a negative sign have this sum. */
static double p_of_sum(unsigned int n, unsigned int sum)
{
	double differences[MOST];

	for (unsigned int rank = n; rank > 0; rank--) {
		differences[rank - 1] = rank <= sum ? -(double)rank : rank;
		if (rank <= sum)
			sum -= rank;
	}
	assert_int_equal(sum, 0);
	return stats_signed_rank(differences, n);
}

static void test_critical_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(critical); i++) {
		if (critical[i].sum >= 0)
			assert_true(p_of_sum(critical[i].n, (unsigned int)critical[i].sum) <= 0.05);
		assert_true(p_of_sum(critical[i].n, (unsigned int)(critical[i].sum + 1)) > 0.05);
	}
}

/* Levels that are powers of 2 are met exactly: with p at most alpha there is no room for less. */
static void test_signed_rank_bits(void **state)
{
	double differences[STATS_EXACT];

	(void)state;
	for (unsigned int i = 0; i < STATS_EXACT; i++) {
		differences[i] = i + 1;
		assert_true(stats_signed_rank(differences, i + 1) == ldexp(1, -(int)i));
	}
}

/* With ties and skew, chance declares as much as p says, and no more, for each p that there is. */
static void test_signed_rank_level(void **state)
{
	static const double size[] = { 0, 1, 1, 2, 3, 3, 3, 5, 90, 700 };
	double differences[ARRAY_SIZE(size)];
	unsigned int count = 0;

	(void)state;
	for (double level = 0.01; level < 1; level += 0.07) {
		count = 0;
		for (unsigned int signs = 0; signs < 1U << ARRAY_SIZE(size); signs++) {
			for (unsigned int i = 0; i < ARRAY_SIZE(size); i++)
				differences[i] = signs >> i & 1 ? size[i] : -size[i];
			count += stats_signed_rank(differences, ARRAY_SIZE(size)) <= level;
		}
		assert_in_range(count, 1, (uint64_t)(level * (1U << ARRAY_SIZE(size))));
	}
}

/* --- estimate and interval -------------------------------------------------------------------- */

static void test_hodges_lehmann(void **state)
{
	double differences[MOST], copy[MOST];
	struct reference reference;

	(void)state;
	reference_open(&reference, "hodges_lehmann.txt");
	while (reference_case(&reference)) {
		const double estimate = reference_number(&reference);
		const size_t n = reference_list(&reference, differences);

		memcpy(copy, differences, sizeof(copy));
		assert_near(stats_hodges_lehmann(differences, n), estimate, 1e-14);
		assert_memory_equal(copy, differences, n * sizeof(*copy));
	}
}

/* Two bootstraps differ by chance, with so many resamples by less than 5 % of the interval. */
static void test_bootstrap(void **state)
{
	double differences[MOST];
	struct reference reference;

	(void)state;
	reference_open(&reference, "bootstrap.txt");
	while (reference_case(&reference)) {
		const double level = reference_number(&reference);
		const double low = reference_number(&reference);
		const double high = reference_number(&reference);
		const size_t n = reference_list(&reference, differences);
		const struct stats_interval found =
			stats_bootstrap(differences, n, level, 20000, 11);

		if (fabs(found.low - low) > 0.05 * (high - low) ||
		    fabs(found.high - high) > 0.05 * (high - low))
			fail_msg("%g to %g is not %g to %g", found.low, found.high, low, high);
	}
}

static bool same(struct stats_interval a, struct stats_interval b)
{
	return a.low == b.low && a.high == b.high;
}

static void test_bootstrap_seed(void **state)
{
	double differences[10];
	struct stats_interval interval;

	(void)state;
	random_state = 5;
	for (unsigned int i = 0; i < ARRAY_SIZE(differences); i++)
		differences[i] = gaussian();
	interval = stats_bootstrap(differences, 10, 0.95, 500, 42);
	assert_true(interval.low < interval.high);
	assert_true(same(interval, stats_bootstrap(differences, 10, 0.95, 500, 42)));
	assert_false(same(interval, stats_bootstrap(differences, 10, 0.95, 500, 43)));
	/* both halves of the seed count */
	assert_false(same(interval,
			  stats_bootstrap(differences, 10, 0.95, 500, 42 | UINT64_C(1) << 40)));
}

static void test_bootstrap_few(void **state)
{
	static const double differences[] = { 3, 1, 4, 1.5, 9, 2.6 };
	static const struct {
		size_t n;
		double level;
		bool finite;
	} rows[] = {
		{ 1, 0.95, false }, { 2, 0.95, false }, { 3, 0.95, false },  { 5, 0.95, false },
		{ 6, 0.95, true },  { 4, 0.9, false },	{ 5, 0.9, true },    { 6, 0.99, false },
		{ 6, 0.9, true },   { 2, 0.5, true },	{ 6, 0.9687, true }, { 6, 0.9688, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct stats_interval found =
			stats_bootstrap(differences, rows[i].n, rows[i].level, 100, 1);

		assert_int_equal(isfinite(found.low), rows[i].finite);
		assert_int_equal(isfinite(found.high), rows[i].finite);
		if (!rows[i].finite)
			assert_true(found.low < 0 && found.high > 0);
	}
}

/* Share of intervals of @level that miss what is true, of @n normal differences. */
static double missed(size_t n, double level, unsigned int tries)
{
	double differences[MOST];
	unsigned int count = 0;

	random_state = 77;
	for (unsigned int t = 0; t < tries; t++) {
		struct stats_interval found;

		for (size_t i = 0; i < n; i++)
			differences[i] = 5 + gaussian();
		found = stats_bootstrap(differences, n, level, 500, t);
		count += found.low > 5 || found.high < 5;
	}
	print_message("%zu differences: %.2f %% of intervals of %g %% miss\n", n,
		      100.0 * count / tries, 100 * level);
	return (double)count / tries;
}

/* Plain percentiles miss in 10 % of 10. Four deviations of 2000 tries are 2 %. */
static void test_coverage(void **state)
{
	double share;

	(void)state;
	share = missed(10, 0.95, 2000);
	assert_true(share > 0.03 && share < 0.07);
	share = missed(10, 0.9, 2000);
	assert_true(share > 0.07 && share < 0.13);
	share = missed(30, 0.95, 1000);
	assert_true(share > 0.025 && share < 0.08);
}

/* --- Holm ------------------------------------------------------------------------------------- */

static void test_holm(void **state)
{
	double p[MOST], adjusted[MOST];
	struct reference reference;

	(void)state;
	reference_open(&reference, "holm.txt");
	while (reference_case(&reference)) {
		const size_t n = reference_list(&reference, p);

		stats_holm(p, n, adjusted);
		for (size_t i = 0; i < n; i++)
			assert_near(adjusted[i], reference_number(&reference), 1e-14);
	}
}

/* --- trend ------------------------------------------------------------------------------------ */

static void test_trend(void **state)
{
	double values[MOST];
	struct reference reference;

	(void)state;
	reference_open(&reference, "trend.txt");
	while (reference_case(&reference)) {
		const double p = reference_number(&reference);
		const double slope = reference_number(&reference);
		const size_t n = reference_list(&reference, values);
		struct stats_trend trend = stats_trend(values, n);

		assert_near(trend.p, p, 1e-9); /* R takes small ones from 1 */
		assert_near(trend.slope, slope, 1e-12);
		for (size_t i = 0; i < n; i++)
			values[i] = -values[i];
		trend = stats_trend(values, n);
		assert_near(trend.p, p, 1e-9);
		assert_near(trend.slope, -slope, 1e-12);
	}
}

/* --- power ------------------------------------------------------------------------------------ */

static void test_deviation(void **state)
{
	static const double values[] = { 2, 4, 4, 4, 5, 5, 7, 9 };

	(void)state;
	assert_near(stats_deviation(values, 8), sqrt(32.0 / 7), 1e-14);
	assert_near(stats_deviation(values, 2), sqrt(2), 1e-14);
	assert_true(stats_deviation(values, 1) == 0);
}

static void test_detectable(void **state)
{
	struct reference reference;

	(void)state;
	reference_open(&reference, "detectable.txt");
	while (reference_case(&reference)) {
		const size_t n = (size_t)reference_number(&reference);
		const double alpha = reference_number(&reference);
		const double power = reference_number(&reference);
		const double effect = reference_number(&reference);

		assert_near(stats_detectable(1, n, alpha, power), effect, 1e-7);
		assert_near(stats_detectable(40, n, alpha, power), 40 * effect, 1e-7);
	}
	assert_true(isinf(stats_detectable(0, 5, 0.05, 0.8)));
	assert_true(stats_detectable(0, 6, 0.05, 0.8) == 0);
	assert_true(stats_detectable(0, 7, 0.05, 0.8) == 0);
	assert_true(isinf(stats_detectable(1, 1, 0.9, 0.8)));
}

static void test_needed(void **state)
{
	struct reference reference;

	(void)state;
	reference_open(&reference, "needed.txt");
	while (reference_case(&reference)) {
		const double effect = reference_number(&reference);
		const double alpha = reference_number(&reference);
		const double power = reference_number(&reference);
		const size_t n = (size_t)reference_number(&reference);

		assert_int_equal(stats_needed(1, effect, alpha, power, 512), n);
		assert_int_equal(stats_needed(3, 3 * effect, alpha, power, 512), n);
		if (!n)
			continue;
		/* the fewest, and no fewer */
		assert_int_equal(stats_needed(1, effect, alpha, power, n), n);
		assert_int_equal(stats_needed(1, effect, alpha, power, n - 1), 0);
		assert_true(stats_detectable(1, n, alpha, power) <= effect * (1 + 1e-9));
		assert_true(stats_detectable(1, n - 1, alpha, power) > effect);
	}
	assert_int_equal(stats_needed(0, 1, 0.05, 0.8, 512), 6);
	assert_int_equal(stats_needed(1, 1e-300, 0.05, 0.8, 512), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signed_rank),
		cmocka_unit_test(test_critical_values),
		cmocka_unit_test(test_signed_rank_bits),
		cmocka_unit_test(test_signed_rank_level),
		cmocka_unit_test(test_hodges_lehmann),
		cmocka_unit_test(test_bootstrap),
		cmocka_unit_test(test_bootstrap_seed),
		cmocka_unit_test(test_bootstrap_few),
		cmocka_unit_test(test_coverage),
		cmocka_unit_test(test_holm),
		cmocka_unit_test(test_trend),
		cmocka_unit_test(test_deviation),
		cmocka_unit_test(test_detectable),
		cmocka_unit_test(test_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
