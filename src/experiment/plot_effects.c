// SPDX-License-Identifier: GPL-2.0-only
/* The differences of the primary outcome block by block, and the intervals of all outcomes. */
#include <math.h>
#include <string.h>

#include "plot.h"
#include "words.h"

#define LONG_UNIT   16 /* from here on not beside the axis */
#define MANY_BLOCKS 60 /* from here on with smaller points */
#define ROW	    26 /* pixels */
#define ALL_ROWS    86 /* what is around the rows */
#define MOST	    50 /* percent; larger effects are cut, for the sake of the others */

/* --- differences ------------------------------------------------------------------------------ */

static const char *differences_missing(const struct ab_experiment *experiment,
				       const struct ab_result *result)
{
	const struct ab_effect *primary = primary_effect(experiment, result);

	for (unsigned int i = 0; primary && i < primary->n; i++)
		if (isfinite(primary->differences[i]))
			return NULL;
	return "No block has been measured as a whole.";
}

static bool bounded(const struct ab_effect *effect)
{
	return isfinite(effect->low) && isfinite(effect->high);
}

static void widen(double number, double *low, double *high)
{
	if (!isfinite(number))
		return;
	*low = fmin(*low, number);
	*high = fmax(*high, number);
}

/* Of the arm that is better where the difference lies. */
static const char *point_colour(enum ab_better better, double difference)
{
	if (better == AB_NEITHER || difference == 0)
		return PLOT_TEXT;
	return (better == AB_MORE) == (difference > 0) ? PLOT_B : PLOT_A;
}

static void put_differences(const struct ab_effect *effect, enum ab_better better, FILE *out)
{
	fputs("$differences << END_OF_DATA\n", out);
	for (unsigned int i = 0; i < effect->n; i++) {
		const char *colour = point_colour(better, effect->differences[i]);

		fprintf(out, "%u", effect->blocks[i] + 1);
		plot_number(out, effect->differences[i]);
		fprintf(out, " 0x%s\n", colour + 1);
	}
	fputs("END_OF_DATA\n", out);
}

/* Across the whole plot. */
static void put_level(FILE *out, double y, const char *style)
{
	fprintf(out, "set arrow from graph 0, first %.9g to graph 1, first %.9g nohead %s\n", y, y,
		style);
}

static void differences_script(const struct ab_experiment *experiment,
			       const struct ab_result *result, FILE *out)
{
	const struct ab_effect *effect = primary_effect(experiment, result);
	const double end = fmax(effect->blocks[effect->n - 1] + 1, 2);
	const struct ab_outcome *outcome = &experiment->outcomes[effect->outcome];
	char label[AB_NAME + 16];
	double low = 0, high = 0, room;

	for (unsigned int i = 0; i < effect->n; i++)
		widen(effect->differences[i], &low, &high);
	if (bounded(effect)) {
		widen(effect->low, &low, &high);
		widen(effect->high, &low, &high);
	}
	room = (high - low) / 16;
	snprintf(label, sizeof(label),
		 strlen(outcome->unit) > LONG_UNIT || !*outcome->unit ? "B − A" : "B − A, %s",
		 outcome->unit);
	plot_begin(out, PLOT_WIDTH, 320);
	put_differences(effect, outcome->better, out);
	fputs("set xlabel 'block'\nset ylabel ", out);
	plot_text(out, label);
	fputc('\n', out);
	fprintf(out, "set xtics %.9g\n", fmax(plot_step(end), 1));
	plot_range(out, 'x', 0.4, end + 0.6);
	plot_range(out, 'y', low - room, high + room);
	if (bounded(effect))
		plot_band(out, 0.4, effect->low, end + 0.6, effect->high);
	put_level(out, 0, "linewidth 1.5 linecolor rgb '" PLOT_TEXT "'");
	if (isfinite(effect->estimate))
		put_level(out, effect->estimate,
			  "dashtype 2 linewidth 2 linecolor rgb '" PLOT_TEXT "'");
	fprintf(out,
		"plot $differences using 1:2:3 with points pointtype 7 pointsize %s "
		"linecolor rgb variable\n",
		effect->n > MANY_BLOCKS ? "0.5" : "0.9");
}

static void differences_caption(const struct ab_experiment *experiment,
				const struct ab_result *result, FILE *out)
{
	const struct ab_effect *effect = primary_effect(experiment, result);
	const struct ab_outcome *outcome = &experiment->outcomes[effect->outcome];
	char percent[NUMBER_TEXT];

	fprintf(out, "Primary outcome, %s%s%s: B minus A, block by block. ", outcome->name,
		*outcome->unit ? ", " : "", outcome->unit);
	if (outcome->better != AB_NEITHER)
		fprintf(out, "%s the line of zero B is better (orange), else A (blue). ",
			outcome->better == AB_LESS ? "Below" : "Above");
	if (bounded(effect))
		fprintf(out, "Dashed: the estimate; grey: its %s interval.",
			setting_text(1 - experiment->alpha, percent));
	else
		fputs("Dashed: the estimate; so few blocks give it no interval.", out);
}

const struct plot plot_differences = {
	.name = "differences",
	.title = "Difference by block",
	.class = "",
	.missing = differences_missing,
	.script = differences_script,
	.caption = differences_caption,
};

/* --- intervals -------------------------------------------------------------------------------- */

/* An effect in percent of A's level; the ends can be infinite. */
struct row {
	const struct ab_effect *effect;
	double estimate, low, high;
};

struct rows {
	struct row rows[AB_MAX_OUTCOMES];
	unsigned int nr;
	double limit; /* percent to each side */
};

static void add_row(struct rows *rows, const struct ab_effect *effect)
{
	const struct row row = {
		.effect = effect,
		.estimate = 100 * share_of_a(effect, effect->estimate),
		.low = 100 * share_of_a(effect, effect->low),
		.high = 100 * share_of_a(effect, effect->high),
	};

	if (isfinite(row.estimate) && !isnan(row.low) && !isnan(row.high))
		rows->rows[rows->nr++] = row;
}

/* The primary outcome is the first. */
static void fill_rows(const struct ab_experiment *experiment, const struct ab_result *result,
		      struct rows *ret)
{
	const struct ab_effect *primary = primary_effect(experiment, result);
	double low = 0, high = 0;

	ret->nr = 0;
	if (primary)
		add_row(ret, primary);
	for (unsigned int i = 0; i < result->nr; i++)
		if (&result->effects[i] != primary)
			add_row(ret, &result->effects[i]);
	for (unsigned int i = 0; i < ret->nr; i++) {
		widen(ret->rows[i].estimate, &low, &high);
		widen(ret->rows[i].low, &low, &high);
		widen(ret->rows[i].high, &low, &high);
	}
	ret->limit = fmax(1.05 * fmax(high, -low), 150 * experiment->margin);
	ret->limit = fmin(ret->limit, fmax(MOST, 400 * experiment->margin));
	if (!(ret->limit > 0))
		ret->limit = 1;
}

static const char *intervals_missing(const struct ab_experiment *experiment,
				     const struct ab_result *result)
{
	struct rows rows;

	if (!result->nr)
		return "No block has been measured as a whole.";
	fill_rows(experiment, result, &rows);
	return rows.nr ? NULL :
			 "No outcome of A has a level that a difference could be a share of.";
}

static const char *verdict_colour(enum ab_verdict verdict)
{
	if (verdict == AB_A_BETTER)
		return PLOT_A;
	return verdict == AB_B_BETTER ? PLOT_B : PLOT_TEXT;
}

/* An interval that leaves the plot ends in an arrow; of one that lies outside, that is all. */
static void put_row(const struct rows *rows, unsigned int i, FILE *out)
{
	const struct row *row = &rows->rows[i];
	const double limit = rows->limit, y = rows->nr - i, inner = 0.9 * limit;
	const double low = fmax(row->low, -limit), high = fmin(row->high, limit);
	const char *colour = verdict_colour(row->effect->verdict);
	const bool cut_low = row->low<-limit, cut_high = row->high> limit;

	fprintf(out,
		"set arrow from %.9g,%.9g to %.9g,%.9g %s filled size screen 0.016,22 "
		"linewidth 2.5 linecolor rgb '%s'\n",
		fmin(low, inner), y, fmax(high, -inner), y,
		cut_low && cut_high ? "heads" :
		cut_low		    ? "backhead" :
		cut_high	    ? "head" :
				      "nohead",
		colour);
	if (fabs(row->estimate) <= limit)
		fprintf(out,
			"set label at %.9g,%.9g '' point pointtype 7 pointsize 0.7 "
			"linecolor rgb '%s'\n",
			row->estimate, y, colour);
}

static size_t longest_name(const struct ab_experiment *experiment, const struct rows *rows)
{
	size_t longest = 0;

	for (unsigned int i = 0; i < rows->nr; i++) {
		const size_t length =
			strlen(experiment->outcomes[rows->rows[i].effect->outcome].name);

		longest = length > longest ? length : longest;
	}
	return longest;
}

static void put_names(const struct ab_experiment *experiment, const struct rows *rows, FILE *out)
{
	fprintf(out, "set lmargin %zu\nset ytics scale 0 (", longest_name(experiment, rows) + 1);
	for (unsigned int i = 0; i < rows->nr; i++) {
		fputs(i ? ", " : "", out);
		plot_format(out, experiment->outcomes[rows->rows[i].effect->outcome].name);
		fprintf(out, " %u", rows->nr - i);
	}
	fputs(")\n", out);
}

static void intervals_script(const struct ab_experiment *experiment, const struct ab_result *result,
			     FILE *out)
{
	struct rows rows;
	double top, margin;

	fill_rows(experiment, result, &rows);
	top = rows.nr + 0.6;
	margin = fmin(100 * experiment->margin, rows.limit);
	plot_begin(out, PLOT_WIDTH, ALL_ROWS + ROW * rows.nr);
	put_names(experiment, &rows, out);
	fputs("set border 1\nset xlabel 'B − A, % of the level of A'\n", out);
	plot_range(out, 'x', -rows.limit, rows.limit);
	plot_range(out, 'y', 0.4, top);
	if (margin > 0)
		plot_band(out, -margin, 0.4, margin, top);
	fprintf(out,
		"set arrow from 0,0.4 to 0,%.9g nohead linewidth 1.5 "
		"linecolor rgb '" PLOT_TEXT "'\n",
		top);
	for (unsigned int i = 0; i < rows.nr; i++)
		put_row(&rows, i, out);
	fputs("plot NaN with lines\n", out);
}

static bool has_row(const struct rows *rows, const struct ab_effect *effect)
{
	for (unsigned int i = 0; i < rows->nr; i++)
		if (rows->rows[i].effect == effect)
			return true;
	return false;
}

static void put_left_out(const struct ab_experiment *experiment, const struct ab_result *result,
			 const struct rows *rows, FILE *out)
{
	const char *before = " Left out, since A has no level of it to compare with: ";

	for (unsigned int i = 0; i < result->nr; i++) {
		const struct ab_effect *effect = &result->effects[i];

		if (has_row(rows, effect))
			continue;
		fprintf(out, "%s%s", before, experiment->outcomes[effect->outcome].name);
		before = ", ";
	}
	if (rows->nr < result->nr)
		fputc('.', out);
}

static void intervals_caption(const struct ab_experiment *experiment,
			      const struct ab_result *result, FILE *out)
{
	struct rows rows;
	char alpha[NUMBER_TEXT], margin[NUMBER_TEXT];

	fill_rows(experiment, result, &rows);
	fprintf(out,
		"All outcomes, the primary one on top: estimates and %s intervals in percent of "
		"A's level. Blue: A is better; orange: B is. Grey band: the margin, %s to either "
		"side, within which a difference would not matter.",
		setting_text(1 - experiment->alpha, alpha),
		setting_text(experiment->margin, margin));
	put_left_out(experiment, result, &rows, out);
}

const struct plot plot_intervals = {
	.name = "intervals",
	.title = "All outcomes in percent of A",
	.class = "",
	.missing = intervals_missing,
	.script = intervals_script,
	.caption = intervals_caption,
};
