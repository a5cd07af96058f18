// SPDX-License-Identifier: GPL-2.0-only
#include "words.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LARGEST	     1e6
#define SMALLEST     1e-3
#define SMALLEST_P   1e-4
#define LEVEL_DIGITS 6 /* of a level beside its difference, which may be far smaller */

/* --- numbers ---------------------------------------------------------------------------------- */

static double largest_of(const double *numbers, size_t nr)
{
	double largest = 0;

	for (size_t i = 0; i < nr; i++)
		if (isfinite(numbers[i]))
			largest = fmax(largest, fabs(numbers[i]));
	return largest;
}

int number_decimals(const double *numbers, size_t nr, int digits)
{
	const double largest = largest_of(numbers, nr);
	int decimals;

	if (largest == 0)
		return 0;
	if (largest >= LARGEST || largest < SMALLEST)
		return NUMBER_POWER;
	decimals = digits - 1 - (int)floor(log10(largest));
	return decimals > 0 ? decimals : 0;
}

/* "1.80e+08" as "1.80e8": columns are narrow. */
static void exponent_text(double number, char buf[NUMBER_TEXT])
{
	char plain[NUMBER_TEXT];
	const char *e;

	snprintf(plain, sizeof(plain), "%.2e", number);
	e = strchr(plain, 'e');
	snprintf(buf, NUMBER_TEXT, "%.*se%ld", (int)(e - plain), plain, strtol(e + 1, NULL, 10));
}

char *number_text(double number, int decimals, char buf[NUMBER_TEXT])
{
	if (isnan(number))
		snprintf(buf, NUMBER_TEXT, "-");
	else if (isinf(number))
		snprintf(buf, NUMBER_TEXT, number > 0 ? "inf" : "-inf");
	else if (number == 0)
		snprintf(buf, NUMBER_TEXT, "0");
	else if (decimals == NUMBER_POWER || fabs(number) >= 1e3 * LARGEST)
		exponent_text(number, buf);
	else
		snprintf(buf, NUMBER_TEXT, "%.*f", decimals, number);
	if (buf[0] == '-' && buf[1] && !strpbrk(buf, "123456789i"))
		memmove(buf, buf + 1, strlen(buf)); /* rounded to 0 */
	return buf;
}

char *lone_number_text(double number, char buf[NUMBER_TEXT])
{
	return number_text(number, number_decimals(&number, 1, 3), buf);
}

/* At most two decimals: nobody needs more of a share. */
static int share_decimals(const double *percent, size_t nr)
{
	const int decimals = number_decimals(percent, nr, 3);

	return decimals > 2 || largest_of(percent, nr) < 1 ? 2 : decimals;
}

char *percent_text(double share, char buf[NUMBER_TEXT])
{
	const double percent = 100 * share;
	char number[NUMBER_TEXT];

	number_text(percent, share_decimals(&percent, 1), number);
	snprintf(buf, NUMBER_TEXT, isfinite(share) ? "%.30s%%" : "-", number);
	return buf;
}

char *setting_text(double share, char buf[NUMBER_TEXT])
{
	snprintf(buf, NUMBER_TEXT, "%g%%", 100 * share);
	return buf;
}

char *p_text(double p, char buf[NUMBER_TEXT])
{
	if (isnan(p))
		snprintf(buf, NUMBER_TEXT, "-");
	else if (p < SMALLEST_P)
		snprintf(buf, NUMBER_TEXT, "<%.4f", SMALLEST_P);
	else
		snprintf(buf, NUMBER_TEXT, "%.4f", p);
	return buf;
}

char *time_text(int64_t ms, char buf[TIME_TEXT])
{
	const time_t seconds = ms / 1000;
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(buf, TIME_TEXT, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, TIME_TEXT, "unknown");
	return buf;
}

/* --- one outcome ------------------------------------------------------------------------------ */

double share_of_a(const struct ab_effect *effect, double number)
{
	const double level = fabs(effect->level[AB_A]);

	return isfinite(level) && level > 0 ? number / level : NAN;
}

/* "-1.80 to -0.78" */
static void interval_text(double low, double high, int decimals, const char *unit,
			  char buf[2 * NUMBER_TEXT + 4])
{
	char from[NUMBER_TEXT], to[NUMBER_TEXT];

	if (isnan(low) || isnan(high))
		snprintf(buf, 2 * NUMBER_TEXT + 4, "-");
	else if (isinf(low) || isinf(high))
		snprintf(buf, 2 * NUMBER_TEXT + 4, "unbounded");
	else
		snprintf(buf, 2 * NUMBER_TEXT + 4, "%.30s%s to %.30s%s",
			 number_text(low, decimals, from), unit, number_text(high, decimals, to),
			 unit);
}

static void signed_text(double number, int decimals, const char *unit, char buf[NUMBER_TEXT])
{
	char text[NUMBER_TEXT];

	number_text(number, decimals, text);
	if (!isfinite(number))
		unit = "";
	snprintf(buf, NUMBER_TEXT, "%s%.28s%s", number > 0 && strcmp(text, "0") ? "+" : "", text,
		 unit);
}

void effect_words(const struct ab_effect *effect, struct effect_words *ret)
{
	const double triple[] = { effect->estimate, effect->low, effect->high };
	const double percent[] = { 100 * share_of_a(effect, triple[0]),
				   100 * share_of_a(effect, triple[1]),
				   100 * share_of_a(effect, triple[2]) };
	const int decimals = number_decimals(triple, 3, 3), shares = share_decimals(percent, 3);
	int levels = number_decimals(effect->level, AB_ARMS, 4);

	/* a small difference of large levels is to be seen in the levels too */
	if (levels != NUMBER_POWER && decimals > levels)
		levels = number_decimals(effect->level, AB_ARMS, LEVEL_DIGITS);
	if (decimals >= 0 && levels > decimals && largest_of(triple, 3) > 0)
		levels = decimals;
	for (int arm = 0; arm < AB_ARMS; arm++)
		number_text(effect->level[arm], levels, ret->level[arm]);
	signed_text(effect->estimate, decimals, "", ret->estimate);
	interval_text(effect->low, effect->high, decimals, "", ret->interval);
	signed_text(percent[0], shares, "%", ret->share);
	interval_text(percent[1], percent[2], shares, "%", ret->share_interval);
	p_text(effect->p, ret->p);
	p_text(effect->adjusted, ret->adjusted);
}

const char *better_word(enum ab_better better)
{
	static const char *const words[] = {
		[AB_LESS] = "less is better",
		[AB_MORE] = "more is better",
		[AB_NEITHER] = "",
	};

	return words[better];
}

const struct ab_effect *primary_effect(const struct ab_experiment *experiment,
				       const struct ab_result *result)
{
	for (unsigned int i = 0; i < result->nr; i++)
		if (result->effects[i].outcome == experiment->primary)
			return &result->effects[i];
	return NULL;
}

struct ab_runs outcome_runs(const struct ab_experiment *experiment, unsigned int outcome)
{
	struct ab_runs runs = { 0 };

	for (unsigned int i = 0; i < experiment->nr_periods; i++) {
		const struct ab_period *period = &experiment->periods[i];

		runs.samples[period->arm] += period->samples[outcome];
		runs.failures[period->arm] += period->failures[outcome];
	}
	return runs;
}

char *runs_text(const struct ab_experiment *experiment, unsigned int outcome, char buf[RUNS_TEXT])
{
	const struct ab_runs runs = outcome_runs(experiment, outcome);
	const uint64_t failed = runs.failures[AB_A] + runs.failures[AB_B];
	const uint64_t all = runs.samples[AB_A] + runs.samples[AB_B] + failed;
	const char *what = *experiment->outcomes[outcome].command ? "runs" : "looks";

	buf[0] = '\0';
	if (failed)
		snprintf(buf, RUNS_TEXT,
			 "%" PRIu64 " %s, %" PRIu64 " failed (A %" PRIu64 ", B %" PRIu64 ")", all,
			 what, failed, runs.failures[AB_A], runs.failures[AB_B]);
	else if (all)
		snprintf(buf, RUNS_TEXT, "%" PRIu64 " %s, none failed", all, what);
	return buf;
}
