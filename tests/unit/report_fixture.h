/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiments and results for tests of reports: made up, but as they come. */
#ifndef REPORT_FIXTURE_H
#define REPORT_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/experiment.h"
#include "sluice/units.h"

#define BLOCKS	 20
#define START_MS INT64_C(1783850400000) /* 2026-07-12 10:00 UTC */
#define PERIOD_S 300
#define POINTS	 30

/* What an outcome is like: level of A, what B changes, noise and trend per block, as shares of A. */
static const struct sample {
	struct ab_outcome outcome;
	double level, change, noise, trend;
	enum ab_verdict verdict;
} samples[] = {
	{ { "unreported", "GiB s", AB_LESS, "" }, 412.5, -0.31, 0.08, 0.01, AB_B_BETTER },
	{ { "reported", "MiB", AB_NEITHER, "" }, 18432, 0.44, 0.1, 0, AB_DIFFERENT },
	{ { "reused", "MiB", AB_LESS, "" }, 1310, 1.9, 0.4, 0.01, AB_A_BETTER },
	{ { "psi_some", "ms", AB_LESS, "" }, 0.42, 0.01, 0.5, 0, AB_NOT_ENOUGH },
	{ { "psi_full", "ms", AB_LESS, "" }, 0, 0, 0, 0, AB_NOT_ENOUGH },
	{ { "alloc_stalls", "stalls", AB_LESS, "" }, 3, -0.08, 0.7, 0, AB_NOT_ENOUGH },
	{ { "compact_stalls", "stalls", AB_LESS, "" }, 4e-4, 0.02, 0.3, 0, AB_NOT_ENOUGH },
	{ { "refaults", "pages", AB_LESS, "" }, 12345678, 0.02, 0.3, 0, AB_NOT_ENOUGH },
	{ { "worker_cpu", "ms", AB_LESS, "" }, 1820, 0.09, 0.12, 0, AB_A_BETTER },
	{ { "daemon_cpu", "ms", AB_LESS, "" }, 512.34, 0.004, 0.01, 0.002, AB_EQUIVALENT },
	{ { "host", "GiB s", AB_LESS, "" }, 2214, -0.062, 0.02, 0.004, AB_B_BETTER },
	{ { "p99_latency", "ms", AB_LESS, "/usr/local/bin/latency --quantile 0.99 --window 60" },
	  12.7,
	  0.006,
	  0.02,
	  0.001,
	  AB_EQUIVALENT },
	{ { "replies_of_the_front_end_served", "1/s", AB_MORE, "curl -s localhost/rate" },
	  880.2,
	  -0.003,
	  0.01,
	  0,
	  AB_EQUIVALENT },
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

struct report {
	struct ab_experiment experiment;
	struct ab_result result;
	struct ab_period periods[BLOCKS * AB_BLOCK_LENGTH];
	struct ab_event events[8];
	double differences[SAMPLES][BLOCKS];
	unsigned int blocks[SAMPLES][BLOCKS];
	char text[AB_ARMS][512];
};

/* --- noise: the same in every run (splitmix64) ------------------------------------------------- */

static uint64_t noise_seed;

static double uniform(void)
{
	uint64_t z = noise_seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (double)((z ^ z >> 31) >> 11) / 0x1p53;
}

/* Nearly normal, of mean 0 and deviation 1. */
static double normal(void)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += uniform();
	return sum;
}

/* --- experiment ------------------------------------------------------------------------------- */

/* Free memory piles up in waves; B reports it sooner. */
static void fill_points(struct ab_period *period, bool host)
{
	const double hold = period->arm == AB_A ? 1 : 0.6;

	period->nr_points = POINTS;
	for (unsigned int k = 0; k < POINTS; k++) {
		const double at = PERIOD_S * (k + 0.5) / POINTS;
		const double wave = 1.2 + sin(at / 23 + period->number) + 0.2 * normal();

		period->at[k] = (float)at;
		period->unreported[k] = (float)(fmax(wave, 0.1) * hold);
		period->host[k] = host ? (float)(6.1 + fmax(wave, 0) * hold) : NAN;
	}
}

static void fill_times(struct ab_period *period)
{
	for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++) {
		const double away = (b - 11.0) / 3, later = (b - 8.0) / 2;

		period->lifetimes[b] = (uint64_t)(900 * exp(-away * away) * (1 + 0.1 * normal()));
		period->reuse[b] = (uint64_t)((period->arm == AB_A ? 60 : 170) *
					      exp(-later * later) * (1 + 0.1 * normal()));
	}
}

static void fill_period(struct report *report, unsigned int number)
{
	const unsigned int block = number / AB_BLOCK_LENGTH;
	struct ab_period *period = &report->periods[number];

	*period = (struct ab_period){
		.number = number,
		.arm = report->experiment.plan.sequence[number] == 'A' ? AB_A : AB_B,
		.start_ms = START_MS + INT64_C(1000) * PERIOD_S * number +
			    (number >= 37 ? 86400000 : 0),
		.seconds = PERIOD_S * 0.8,
	};
	for (unsigned int o = 0; o < SAMPLES; o++) {
		const struct sample *sample = &samples[o];
		const double noise = sample->noise * normal() + sample->trend * block;

		period->value[o] =
			sample->level * (1 + noise + (period->arm == AB_B ? sample->change : 0));
		if (*sample->outcome.command || o == AB_HOST) {
			period->samples[o] = 12;
			period->failures[o] = number % 29 == 7;
		}
	}
	fill_points(period, true);
	fill_times(period);
}

static void fill_experiment(struct report *report)
{
	struct ab_experiment *experiment = &report->experiment;

	*experiment = (struct ab_experiment){
		.id = "20260712T100000-order9-ladder",
		.sluice = "0.9",
		.created_ms = START_MS - 2000,
		.guest = { .machine = "a5", .boot = "b6", .kernel = "6.1.0-30-amd64" },
		.plan = { .design = AB_ABBA,
			  .blocks = BLOCKS,
			  .period = PERIOD_S * NSEC_PER_SEC,
			  .washout = PERIOD_S * NSEC_PER_SEC / 5,
			  .seed = 20260712 },
		.arm_file = { "/etc/sluice/threshold.conf", "/etc/sluice/ladder.conf" },
		.arm_text = { report->text[AB_A], report->text[AB_B] },
		.host_feed = "/dev/virtio-ports/org.sluice.host",
		.nr_outcomes = SAMPLES,
		.margin = 0.05,
		.alpha = 0.05,
		.power = 0.8,
		.sample = NSEC_PER_SEC,
		.stop_pressure = 20,
		.stop_errors = 10,
		.periods = report->periods,
		.nr_periods = BLOCKS * AB_BLOCK_LENGTH,
		.events = report->events,
		.nr_events = 4,
		.ended = true,
	};
	for (unsigned int block = 0; block < BLOCKS; block++)
		snprintf(experiment->plan.sequence + (size_t)block * AB_BLOCK_LENGTH,
			 AB_BLOCK_LENGTH + 1, "%s", uniform() < 0.5 ? "ABBA" : "BAAB");
	for (unsigned int o = 0; o < SAMPLES; o++)
		experiment->outcomes[o] = samples[o].outcome;
	for (unsigned int i = 0; i < experiment->nr_periods; i++)
		fill_period(report, i);
	snprintf(report->text[AB_A], sizeof(report->text[AB_A]),
		 "strategy = \"threshold\";\nthreshold: {\n  order = 9;\n};\n");
	snprintf(report->text[AB_B], sizeof(report->text[AB_B]), "strategy = \"ladder\";\n");
	report->events[0] = (struct ab_event){ START_MS, "started", "" };
	report->events[1] =
		(struct ab_event){ START_MS + 11200000, "interrupted", "the guest shut down" };
	report->events[2] =
		(struct ab_event){ START_MS + 97500000, "resumed", "period 37 is measured again" };
	report->events[3] = (struct ab_event){ START_MS + 110400000, "finished", "" };
}

/* --- result: rough figures, which a report takes as they are ----------------------------------- */

static void fill_differences(struct report *report, unsigned int o)
{
	for (unsigned int block = 0; block < BLOCKS; block++) {
		double sum[AB_ARMS] = { 0 };

		for (unsigned int k = 0; k < AB_BLOCK_LENGTH; k++) {
			const struct ab_period *period =
				&report->periods[block * AB_BLOCK_LENGTH + k];

			sum[period->arm] += period->value[o] / 2;
		}
		report->differences[o][block] = sum[AB_B] - sum[AB_A];
		report->blocks[o][block] = block;
		report->result.effects[o].level[AB_A] += sum[AB_A] / BLOCKS;
		report->result.effects[o].level[AB_B] += sum[AB_B] / BLOCKS;
		report->result.effects[o].estimate += report->differences[o][block] / BLOCKS;
	}
}

static void fill_effect(struct report *report, unsigned int o)
{
	struct ab_effect *effect = &report->result.effects[o];
	double squares = 0, error;

	*effect = (struct ab_effect){
		.outcome = o,
		.n = BLOCKS,
		.differences = report->differences[o],
		.blocks = report->blocks[o],
		.needed = 24,
		.trend = samples[o].trend * samples[o].level,
		.trend_p = 0.003,
		.carry = 0.004 * samples[o].level,
		.carry_p = 0.61,
		.verdict = samples[o].verdict,
	};
	fill_differences(report, o);
	for (unsigned int i = 0; i < BLOCKS; i++)
		squares += pow(report->differences[o][i] - effect->estimate, 2);
	error = sqrt(squares / (BLOCKS - 1) / BLOCKS);
	effect->low = effect->estimate - 2.09 * error;
	effect->high = effect->estimate + 2.09 * error;
	effect->near_low = effect->estimate - 1.73 * error;
	effect->near_high = effect->estimate + 1.73 * error;
	effect->p = error > 0 ? erfc(fabs(effect->estimate) / error / sqrt(2)) : 1;
	effect->adjusted = fmin(1, effect->p * SAMPLES);
	effect->detectable = 2.95 * error;
	effect->margin = 0.05 * effect->level[AB_A];
	snprintf(effect->text, sizeof(effect->text), "%s: so it is, p = %.4f",
		 samples[o].outcome.name, effect->p);
}

static void fill_result(struct report *report)
{
	report->result.blocks = BLOCKS;
	report->result.nr = SAMPLES;
	for (unsigned int o = 0; o < SAMPLES; o++)
		fill_effect(report, o);
	snprintf(
		report->result.verdict, sizeof(report->result.verdict),
		"B is better: unreported is 27.5%% less with it, 95%% interval -30.7%% to -24.2%%, "
		"p < 0.0001 in 20 blocks.");
	snprintf(report->result.warnings[0], sizeof(report->result.warnings[0]),
		 "unreported has a trend of 1%% per block: the load changes while it is measured");
	report->result.nr_warnings = 1;
}

/* Owned by the caller, in one piece. */
static struct report *make_report(void)
{
	struct report *report = calloc(1, sizeof(*report));

	noise_seed = 1;
	fill_experiment(report);
	fill_result(report);
	return report;
}

#endif
