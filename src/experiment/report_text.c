// SPDX-License-Identifier: GPL-2.0-only
/* The report for a terminal: 80 columns, the verdict first. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

#define WIDTH	   80
#define LABEL	   12
#define NAME	   16 /* columns of the table, each with the blank before it */
#define LEVEL	   9
#define DIFFERENCE 10
#define INTERVAL   20
#define P	   8
#define ABOUT	   35		    /* unit and direction, on the second line */
#define SHARE	   (DIFFERENCE - 1) /* up to the end of the column of differences */
#define VERDICT	   16		    /* below both p */
#define MAX_EVENTS 12		    /* the rest stands in the file */

_Static_assert(ABOUT + SHARE == NAME + 2 * LEVEL + DIFFERENCE && VERDICT == 2 * P,
	       "columns of the second line");

/* --- lines ------------------------------------------------------------------------------------ */

/* In UTF-8, all but the first byte of a character have 10 as their first bits. */
static size_t columns(const char *text, size_t bytes)
{
	size_t nr = 0;

	for (size_t i = 0; i < bytes; i++)
		nr += (text[i] & 0xc0) != 0x80;
	return nr;
}

/* Bytes of the longest start of @text that takes at most @room columns. */
static size_t bytes_for(const char *text, size_t bytes, size_t room)
{
	size_t fit = bytes;

	while (fit && (columns(text, fit) > room || (fit < bytes && (text[fit] & 0xc0) == 0x80)))
		fit--;
	return fit;
}

/* What a user named can hold what a terminal takes for a command. */
static void put_bytes(FILE *out, const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		fputc((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i], out);
}

/* Words from column @indent on; one that is longer than a line is broken. */
static void put_wrapped(FILE *out, const char *text, size_t indent)
{
	size_t column = indent;

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		const size_t word = strcspn(text, " "), width = columns(text, word);
		size_t bytes;

		if (column > indent && column + 1 + width > WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		bytes = bytes_for(text, word, WIDTH - column);
		put_bytes(out, text, bytes);
		column += columns(text, bytes);
		text += bytes;
	}
	fputc('\n', out);
}

static void put_field(FILE *out, const char *label, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void put_field(FILE *out, const char *label, const char *fmt, ...)
{
	char text[2 * FACT_TEXT];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fprintf(out, "%-*s", LABEL, label);
	put_wrapped(out, text, LABEL);
}

/* At most @width columns, filled with blanks. */
static void put_cell(FILE *out, const char *text, size_t width)
{
	const size_t bytes = bytes_for(text, strlen(text), width);

	put_bytes(out, text, bytes);
	fprintf(out, "%*s", (int)(width - columns(text, bytes)), "");
}

/* At the right of @width columns, with a blank before it; half a number would be a wrong one. */
static void put_figure(FILE *out, const char *text, size_t width)
{
	fprintf(out, "%*s", (int)width, strlen(text) < width ? text : "...");
}

/* --- table ------------------------------------------------------------------------------------ */

static void put_head(const struct ab_experiment *experiment, FILE *out)
{
	char percent[NUMBER_TEXT], interval[NUMBER_TEXT + 16];

	snprintf(interval, sizeof(interval), "%s interval",
		 setting_text(1 - experiment->alpha, percent));
	fprintf(out, "\n%-*s%*s%*s%*s%*s%*s%*s\n", NAME, "outcome", LEVEL, "A", LEVEL, "B",
		DIFFERENCE, "B - A", INTERVAL, interval, P, "p", P, "adj. p");
}

/* "  primary, GiB x s, less is better" */
static void put_about(const struct ab_experiment *experiment, const struct ab_effect *effect,
		      FILE *out)
{
	const struct ab_outcome *outcome = &experiment->outcomes[effect->outcome];
	const char *better = better_word(outcome->better);
	char about[3 * AB_NAME];

	snprintf(about, sizeof(about), "%s%s%s%s",
		 effect->outcome == experiment->primary ? "primary, " : "", outcome->unit,
		 *outcome->unit && *better ? ", " : "", better);
	fputs("  ", out);
	put_cell(out, about, ABOUT - 2);
}

static void put_effect(const struct ab_experiment *experiment, const struct ab_effect *effect,
		       FILE *out)
{
	const char *name = experiment->outcomes[effect->outcome].name;
	struct effect_words words;

	effect_words(effect, &words);
	if (columns(name, strlen(name)) > NAME) {
		put_bytes(out, name, bytes_for(name, strlen(name), WIDTH));
		fputc('\n', out);
		name = "";
	}
	put_cell(out, name, NAME);
	put_figure(out, words.level[AB_A], LEVEL);
	put_figure(out, words.level[AB_B], LEVEL);
	put_figure(out, words.estimate, DIFFERENCE);
	put_figure(out, words.interval, INTERVAL);
	put_figure(out, words.p, P);
	put_figure(out, words.adjusted, P);
	fputc('\n', out);
	put_about(experiment, effect, out);
	put_figure(out, words.share, SHARE);
	put_figure(out, words.share_interval, INTERVAL);
	put_figure(out, ab_verdict_name(effect->verdict), VERDICT);
	fputc('\n', out);
}

static void put_table(const struct ab_experiment *experiment, const struct ab_result *result,
		      FILE *out)
{
	const struct ab_effect *primary = primary_effect(experiment, result);

	if (!result->nr) {
		fputs("\nNo outcome has been measured in a whole block.\n", out);
		return;
	}
	put_head(experiment, out);
	if (primary)
		put_effect(experiment, primary, out);
	for (unsigned int i = 0; i < result->nr; i++)
		if (&result->effects[i] != primary)
			put_effect(experiment, &result->effects[i], out);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void put_setting(const struct ab_experiment *experiment, const struct ab_result *result,
			FILE *out)
{
	char fact[FACT_TEXT];

	put_field(out, "A", "%s", experiment->arm_file[AB_A]);
	put_field(out, "B", "%s", experiment->arm_file[AB_B]);
	put_field(out, "design", "%s", design_text(experiment, result, fact));
	put_field(out, "rules", "%s", rule_text(experiment, fact));
	put_field(out, "guest", "%s", guest_text(experiment, fact));
	put_field(out, "time", "%s", when_text(experiment, fact));
}

static void put_checks(const struct ab_experiment *experiment, const struct ab_result *result,
		       FILE *out)
{
	const struct ab_effect *primary = primary_effect(experiment, result);
	char fact[FACT_TEXT];

	if (!primary)
		return;
	fputc('\n', out);
	put_field(out, "power", "%s", power_text(experiment, primary, fact));
	put_field(out, "carry-over", "%s", carry_text(experiment, primary, fact));
	put_field(out, "trend", "%s", trend_text(experiment, primary, fact));
}

static void put_runs(const struct ab_experiment *experiment, FILE *out)
{
	char runs[RUNS_TEXT];

	for (unsigned int i = 0; i < experiment->nr_outcomes; i++) {
		const struct ab_outcome *outcome = &experiment->outcomes[i];

		runs_text(experiment, i, runs);
		if (*outcome->command)
			put_field(out, "metric", "%s: %s; %s", outcome->name, outcome->command,
				  *runs ? runs : "never run");
		else if (*runs)
			put_field(out, "samples", "%s: %s", outcome->name, runs);
	}
}

static void put_events(const struct ab_experiment *experiment, FILE *out)
{
	const unsigned int nr = experiment->nr_events;
	const unsigned int first = nr > MAX_EVENTS ? nr - MAX_EVENTS : 0;
	char time[TIME_TEXT];

	if (first)
		put_field(out, "event", "%u earlier ones stand in the file", first);
	for (unsigned int i = first; i < nr; i++) {
		const struct ab_event *event = &experiment->events[i];

		if (event_tells(event))
			put_field(out, "event", "%s: %s%s%s", time_text(event->time_ms, time),
				  event->what, *event->text ? ": " : "", event->text);
	}
}

void ab_report_text(const struct ab_experiment *experiment, const struct ab_result *result,
		    FILE *out)
{
	fputs("A/B experiment ", out);
	put_wrapped(out, experiment->id, strlen("A/B experiment "));
	fputc('\n', out);
	put_field(out, "verdict", "%s", result->verdict);
	for (unsigned int i = 0; i < result->nr_warnings; i++)
		put_field(out, "warning", "%s", result->warnings[i]);
	fputc('\n', out);
	put_setting(experiment, result, out);
	put_table(experiment, result, out);
	put_checks(experiment, result, out);
	put_runs(experiment, out);
	put_events(experiment, out);
}
