/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers and facts of an experiment as text, the same in every report. Nothing here prints. */
#ifndef SLUICE_WORDS_H
#define SLUICE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/experiment.h"

/*
 * Decimals that show @digits significant ones of the largest of @nr numbers; numbers that are not
 * finite don't count. NUMBER_POWER: they are too large or too small for that.
 */
#define NUMBER_POWER (-1)
int number_decimals(const double *numbers, size_t nr, int digits);

/* "-1.80", "1.8e7" with NUMBER_POWER, "inf"; "-": not a number. Never "-0". Returns @buf. */
#define NUMBER_TEXT 32
char *number_text(double number, int decimals, char buf[NUMBER_TEXT]);

/* A number alone, with three significant digits. */
char *lone_number_text(double number, char buf[NUMBER_TEXT]);

/* "-10.5%"; "-" where it is not known. Returns @buf. */
char *percent_text(double share, char buf[NUMBER_TEXT]);

/* "95%", "2.5%": of a share that somebody chose. Returns @buf. */
char *setting_text(double share, char buf[NUMBER_TEXT]);

/* "0.0031", "<0.0001"; "-": not known. Returns @buf. */
char *p_text(double p, char buf[NUMBER_TEXT]);

/* "2026-07-12 10:03:20", UTC. Returns @buf. */
#define TIME_TEXT 40
char *time_text(int64_t ms, char buf[TIME_TEXT]);

/* @number as a share of the level of A; NAN where A has none. */
double share_of_a(const struct ab_effect *effect, double number);

/* One outcome as it stands in a table. */
struct effect_words {
	char level[AB_ARMS][NUMBER_TEXT];
	char estimate[NUMBER_TEXT]; /* with its sign */
	char interval[2 * NUMBER_TEXT + 4];
	char share[NUMBER_TEXT]; /* the estimate, of A's level */
	char share_interval[2 * NUMBER_TEXT + 4];
	char p[NUMBER_TEXT], adjusted[NUMBER_TEXT];
};
void effect_words(const struct ab_effect *effect, struct effect_words *ret);

/* "less is better"; "": neither is */
const char *better_word(enum ab_better better);

/* NULL: nothing is known of it. */
const struct ab_effect *primary_effect(const struct ab_experiment *experiment,
				       const struct ab_result *result);

/* Runs of a metric, or looks at the host's feed, in all periods. */
struct ab_runs {
	uint64_t samples[AB_ARMS], failures[AB_ARMS];
};
struct ab_runs outcome_runs(const struct ab_experiment *experiment, unsigned int outcome);

/* "960 runs, 3 failed (A 1, B 2)"; "": it is not sampled. Returns @buf. */
#define RUNS_TEXT 128
char *runs_text(const struct ab_experiment *experiment, unsigned int outcome, char buf[RUNS_TEXT]);

/* Whether an event tells more than that a run began and ended, which when_text() does. */
bool event_tells(const struct ab_event *event);

/* Longer facts, one sentence or line each. All return @buf. */
#define FACT_TEXT 640
char *design_text(const struct ab_experiment *experiment, const struct ab_result *result,
		  char buf[FACT_TEXT]);
char *when_text(const struct ab_experiment *experiment, char buf[FACT_TEXT]);
char *guest_text(const struct ab_experiment *experiment, char buf[FACT_TEXT]);
char *rule_text(const struct ab_experiment *experiment, char buf[FACT_TEXT]);
/* How small an effect can have been seen, and what it takes to see one of the margin. */
char *power_text(const struct ab_experiment *experiment, const struct ab_effect *effect,
		 char buf[FACT_TEXT]);
char *carry_text(const struct ab_experiment *experiment, const struct ab_effect *effect,
		 char buf[FACT_TEXT]);
char *trend_text(const struct ab_experiment *experiment, const struct ab_effect *effect,
		 char buf[FACT_TEXT]);

#endif
