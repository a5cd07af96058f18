// SPDX-License-Identifier: GPL-2.0-only
/* From looks to the values of a period. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cli/ab.h"
#include "sluice/units.h"

#include <cmocka.h> /* behind cli.h, for it has a macro fail() */

#define NO_ROOT (-1) /* so that the kernel's workers are unknown */

static struct ab_experiment experiment;
static struct ab_window window;
static struct ab_look look;
static struct ab_period period;

/* Ten seconds are planned to be measured. */
static void begin(bool feed, unsigned int nr_metrics)
{
	memset(&experiment, 0, sizeof(experiment));
	memset(&window, 0, sizeof(window));
	memset(&look, 0, sizeof(look));
	memset(&period, 0, sizeof(period));
	experiment.plan.period = 15 * NSEC_PER_SEC;
	experiment.plan.washout = 5 * NSEC_PER_SEC;
	if (feed)
		memcpy(experiment.host_feed, "x", 2);
	experiment.nr_outcomes = ab_outcomes(feed, experiment.outcomes) + nr_metrics;
	look.has_unreported = look.has_daemon_cpu = look.totals.has_psi = true;
	look.host = NAN;
}

static void after(uint64_t seconds)
{
	look.time_ns += seconds * NSEC_PER_SEC;
}

static void finish(void)
{
	ab_window_end(&window, NO_ROOT, &look);
	ab_window_values(&window, &experiment, &period);
	ab_window_free(&window);
}

static void assert_value(unsigned int outcome, double value, double drift)
{
	assert_float_equal(period.value[outcome], value, 1e-9);
	assert_float_equal(period.drift[outcome], drift, 1e-9);
}

static void test_integrals(void **state)
{
	(void)state;
	begin(true, 0);
	look.unreported = GIB;
	look.host = 2.0 * (double)GIB;
	ab_window_begin(&window, NO_ROOT, &look);
	after(5);
	ab_window_half(&window, NO_ROOT, &look);
	after(2);
	look.unreported = 3 * GIB; /* from 1 to 3 in 2 s, and so for 3 s */
	ab_window_add(&window, &look);
	after(3);
	finish();
	assert_float_equal(period.seconds, 10, 1e-9);
	assert_value(AB_UNREPORTED, 5 + 4 + 9, 4 + 9 - 5);
	assert_value(AB_HOST, 20, 0);
	assert_int_equal(period.samples[AB_HOST], 3);
	assert_int_equal(period.failures[AB_HOST], 0);
}

static void test_late(void **state)
{
	(void)state;
	begin(false, 0);
	look.unreported = GIB;
	ab_window_begin(&window, NO_ROOT, &look);
	after(10);
	ab_window_half(&window, NO_ROOT, &look);
	after(10);
	look.totals.alloc_stalls = 8;
	finish();
	/* twice as long as planned: sums are halved, so that periods can be compared */
	assert_value(AB_UNREPORTED, 10, 0);
	assert_value(AB_ALLOC_STALLS, 4, 4);
}

static void test_counters(void **state)
{
	(void)state;
	begin(false, 0);
	look.churn_reported = 7 * MIB;
	look.totals.psi_some_us = 1000000;
	look.daemon_ns = 5;
	look.reuse[4] = 3;
	ab_window_begin(&window, NO_ROOT, &look);
	after(5);
	look.churn_reported += 10 * MIB;
	look.totals.psi_some_us += 30000;
	ab_window_half(&window, NO_ROOT, &look);
	after(5);
	look.churn_reported += 30 * MIB;
	look.churn_reused += 5 * MIB;
	look.daemon_ns += 7 * NSEC_PER_MSEC;
	look.reuse[4] += 2;
	finish();
	assert_value(AB_REPORTED, 40, 20);
	assert_value(AB_REUSED, 5, 5);
	assert_value(AB_PSI_SOME, 30, -30);
	assert_value(AB_DAEMON_CPU, 7, 7);
	assert_int_equal(period.reuse[4], 2);
	assert_true(isnan(period.value[AB_WORKER_CPU]));
}

static void test_unknown(void **state)
{
	(void)state;
	begin(true, 0);
	look.has_unreported = look.has_daemon_cpu = look.totals.has_psi = false;
	ab_window_begin(&window, NO_ROOT, &look);
	after(5);
	ab_window_half(&window, NO_ROOT, &look);
	after(5);
	look.state.map_renewed = 1; /* memory came or went */
	look.host = 1;
	finish();
	assert_true(isnan(period.value[AB_UNREPORTED]));
	assert_true(isnan(period.value[AB_PSI_FULL]));
	assert_true(isnan(period.value[AB_DAEMON_CPU]));
	assert_true(isnan(period.value[AB_REPORTED]));
	assert_true(isnan(period.value[AB_HOST]));
	assert_int_equal(period.failures[AB_HOST], 1);
	assert_value(AB_REFAULTS, 0, 0);
}

/* What is known of most of a half stands for all of it. */
static void test_feed_with_gaps(void **state)
{
	(void)state;
	begin(true, 0);
	look.host = (double)GIB;
	ab_window_begin(&window, NO_ROOT, &look);
	after(4);
	ab_window_add(&window, &look);
	after(1);
	look.host = NAN;
	ab_window_half(&window, NO_ROOT, &look);
	look.host = (double)GIB;
	after(1);
	ab_window_add(&window, &look);
	after(4);
	finish();
	assert_value(AB_HOST, 10, 0);
}

static void test_metrics(void **state)
{
	(void)state;
	begin(false, 2);
	ab_window_begin(&window, NO_ROOT, &look);
	window.halves[0].metrics[0] = (struct ab_sum){ 6, 3 };
	window.halves[0].metrics[1] = (struct ab_sum){ 1, 1 };
	after(5);
	ab_window_half(&window, NO_ROOT, &look);
	window.halves[1].metrics[0] = (struct ab_sum){ 10, 1 };
	window.metric_samples[0] = 4;
	window.metric_failures[0] = 4;
	window.metric_samples[1] = 1;
	window.metric_failures[1] = 2;
	after(5);
	finish();
	assert_value(AB_HOST, 4, 8); /* the first metric, without a feed; not scaled */
	assert_int_equal(period.samples[AB_HOST], 4);
	/* most failed: missing, and never 0 */
	assert_true(isnan(period.value[AB_HOST + 1]));
	assert_int_equal(period.failures[AB_HOST + 1], 2);
}

static void test_points(void **state)
{
	(void)state;
	begin(false, 0);
	look.unreported = GIB / 2;
	for (int i = 0; i < AB_MAX_POINTS + 5; i++)
		ab_window_point(&window, i, &look);
	ab_window_begin(&window, NO_ROOT, &look);
	after(5);
	ab_window_half(&window, NO_ROOT, &look);
	after(5);
	finish();
	assert_int_equal(period.nr_points, AB_MAX_POINTS);
	assert_float_equal(period.at[9], 9, 0);
	assert_float_equal(period.unreported[9], 0.5, 0);
	assert_true(isnan(period.host[9]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integrals),      cmocka_unit_test(test_late),
		cmocka_unit_test(test_counters),       cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_feed_with_gaps), cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
