// SPDX-License-Identifier: GPL-2.0-only
/* The whole run as a time line. */
#include <math.h>
#include <stdbool.h>

#include "plot.h"
#include "sluice/units.h"

#define WIDTH	     1120
#define MOST_STRIPES 240  /* of so many, each is 4 pixels wide; of more, the eye makes patterns */
#define LINE_POINTS  4000 /* more can't be told apart, and make a large page */
#define MAX_GAPS     64

static const char *const colours[] = { [AB_A] = PLOT_A, [AB_B] = PLOT_B };

/*
 * Periods stand where the sequence puts them, so that an interruption, which can last for days,
 * takes no room.
 */
struct scale {
	double period; /* in units of the axis */
	double washout;
	double all;
	double unit; /* seconds */
	const char *name;
};

static struct scale time_scale(const struct ab_experiment *experiment)
{
	static const struct {
		double seconds;
		const char *name;
	} units[] = { { 1, "seconds" }, { 60, "minutes" }, { 3600, "hours" }, { 86400, "days" } };
	const double period = (double)experiment->plan.period / (double)NSEC_PER_SEC;
	const double washout = (double)experiment->plan.washout / (double)NSEC_PER_SEC;
	const double all = period * (experiment->periods[experiment->nr_periods - 1].number + 1);
	unsigned int i = 0;

	while (i + 1 < sizeof(units) / sizeof(units[0]) && all >= 3 * units[i + 1].seconds)
		i++;
	return (struct scale){
		.period = period / units[i].seconds,
		.washout = washout / units[i].seconds,
		.all = all / units[i].seconds,
		.unit = units[i].seconds,
		.name = units[i].name,
	};
}

static const char *timeline_missing(const struct ab_experiment *experiment,
				    const struct ab_result *result)
{
	(void)result;
	for (unsigned int i = 0; i < experiment->nr_periods; i++)
		for (unsigned int k = 0; k < experiment->periods[i].nr_points; k++)
			if (isfinite(experiment->periods[i].unreported[k]))
				return NULL;
	return "No period has a time line.";
}

/* The mean of some neighbouring points; NAN if none of them is known. */
static double mean_of(const float *values, unsigned int nr)
{
	double sum = 0;
	unsigned int known = 0;

	for (unsigned int i = 0; i < nr; i++) {
		if (!isfinite(values[i]))
			continue;
		sum += (double)values[i];
		known++;
	}
	return known ? sum / known : (double)NAN;
}

static void put_period(const struct scale *scale, const struct ab_period *period, unsigned int step,
		       FILE *out)
{
	for (unsigned int k = 0; k < period->nr_points; k += step) {
		const unsigned int nr = k + step < period->nr_points ? step : period->nr_points - k;

		plot_number(out, period->number * scale->period +
					 mean_of(period->at + k, nr) / scale->unit);
		plot_number(out, mean_of(period->unreported + k, nr));
		plot_number(out, mean_of(period->host + k, nr));
		fputc('\n', out);
	}
}

/* Lines break where periods are missing. */
static void put_points(const struct ab_experiment *experiment, const struct scale *scale, FILE *out)
{
	unsigned int points = 0, next = 0;

	for (unsigned int i = 0; i < experiment->nr_periods; i++)
		points += experiment->periods[i].nr_points;
	fputs("$points << END_OF_DATA\n", out);
	for (unsigned int i = 0; i < experiment->nr_periods; i++) {
		const struct ab_period *period = &experiment->periods[i];

		if (period->number != next)
			fputc('\n', out);
		put_period(scale, period, points / LINE_POINTS + 1, out);
		next = period->number + 1;
	}
	fputs("END_OF_DATA\n", out);
}

static void put_arm(const struct ab_experiment *experiment, const struct scale *scale,
		    enum ab_arm arm, FILE *out)
{
	fprintf(out, "$arm%d << END_OF_DATA\n-1 -1\n", arm);
	for (unsigned int i = 0; i < experiment->nr_periods; i++) {
		const struct ab_period *period = &experiment->periods[i];

		if (period->arm == arm)
			fprintf(out, "%.9g %.9g\n", period->number * scale->period,
				(period->number + 1) * scale->period);
	}
	fputs("END_OF_DATA\n", out);
}

struct heights {
	double top; /* GiB */
	bool host;
};

static struct heights heights_of(const struct ab_experiment *experiment)
{
	struct heights heights = { 0 };

	for (unsigned int i = 0; i < experiment->nr_periods; i++) {
		const struct ab_period *period = &experiment->periods[i];

		for (unsigned int k = 0; k < period->nr_points; k++) {
			if (isfinite(period->unreported[k]))
				heights.top = fmax(heights.top, (double)period->unreported[k]);
			if (!isfinite(period->host[k]))
				continue;
			heights.top = fmax(heights.top, (double)period->host[k]);
			heights.host = true;
		}
	}
	heights.top = heights.top > 0 ? 1.05 * heights.top : 1;
	return heights;
}

/* Periods that follow each other in the sequence, but not in time. */
static void put_gaps(const struct ab_experiment *experiment, const struct scale *scale, FILE *out)
{
	const int64_t period_ms = (int64_t)(experiment->plan.period / NSEC_PER_MSEC);
	unsigned int gaps = 0;

	for (unsigned int i = 1; i < experiment->nr_periods && gaps < MAX_GAPS; i++) {
		const struct ab_period *before = &experiment->periods[i - 1], *after = before + 1;
		const int64_t periods = (int64_t)after->number - (int64_t)before->number;

		if (after->start_ms - before->start_ms < periods * period_ms + period_ms / 2)
			continue;
		fprintf(out,
			"set arrow from first %.9g, graph 0 to first %.9g, graph 1 nohead front "
			"dashtype 3 linewidth 2 linecolor rgb '" PLOT_TEXT "'\n",
			after->number * scale->period, after->number * scale->period);
		gaps++;
	}
}

/* Each period as a stripe of its arm's colour, and two lines before them. */
static void put_stripes(const struct ab_experiment *experiment, const struct scale *scale,
			const struct heights *heights, FILE *out)
{
	put_points(experiment, scale, out);
	put_arm(experiment, scale, AB_A, out);
	put_arm(experiment, scale, AB_B, out);
	fputs("plot ", out);
	for (int arm = 0; arm < AB_ARMS; arm++)
		fprintf(out,
			"$arm%d using 1:(0):1:2:(0):(%.9g) with boxxyerror "
			"fillstyle transparent solid 0.08 noborder linecolor rgb '%s', "
			"'' using 1:(0):($1+%.9g):2:(0):(%.9g) with boxxyerror "
			"fillstyle transparent solid 0.14 noborder linecolor rgb '%s', ",
			arm, heights->top, colours[arm], scale->washout, heights->top,
			colours[arm]);
	fputs("$points using 1:2 with lines linewidth 1.6 linecolor rgb '" PLOT_FREE "'", out);
	if (heights->host)
		fputs(", '' using 1:3 with lines linewidth 1.6 linecolor rgb '" PLOT_HOST "'", out);
	fputc('\n', out);
}

/* The means of one arm in one block, as columns of a table. */
static void put_means(const struct ab_period *periods, unsigned int nr, enum ab_arm arm, FILE *out)
{
	double unreported = 0, host = 0;
	unsigned int measured = 0;

	for (unsigned int i = 0; i < nr; i++) {
		if (periods[i].arm != arm)
			continue;
		unreported += mean_of(periods[i].unreported, periods[i].nr_points);
		host += mean_of(periods[i].host, periods[i].nr_points);
		measured++;
	}
	plot_number(out, measured ? unreported / measured : (double)NAN);
	plot_number(out, measured ? host / measured : (double)NAN);
}

/* A line for each arm. */
static void put_blocks(const struct ab_experiment *experiment, const struct scale *scale,
		       const struct heights *heights, FILE *out)
{
	const unsigned int length = ab_block_length(experiment->plan.design);

	fputs("$blocks << END_OF_DATA\n", out);
	for (unsigned int i = 0, nr; i < experiment->nr_periods; i += nr) {
		const struct ab_period *first = &experiment->periods[i];
		const unsigned int block = first->number / length;

		for (nr = 1; i + nr < experiment->nr_periods; nr++)
			if (first[nr].number / length != block)
				break;
		plot_number(out, (block + 0.5) * length * scale->period);
		for (int arm = 0; arm < AB_ARMS; arm++)
			put_means(first, nr, (enum ab_arm)arm, out);
		fputc('\n', out);
	}
	fputs("END_OF_DATA\nplot ", out);
	for (int arm = 0; arm < AB_ARMS; arm++) {
		fprintf(out, "%s$blocks using 1:%d with lines linewidth 1.6 linecolor rgb '%s'",
			arm ? ", " : "", 2 + 2 * arm, colours[arm]);
		if (heights->host)
			fprintf(out,
				", '' using 1:%d with lines dashtype 2 linewidth 1.6 "
				"linecolor rgb '%s'",
				3 + 2 * arm, colours[arm]);
	}
	fputc('\n', out);
}

static void timeline_script(const struct ab_experiment *experiment, const struct ab_result *result,
			    FILE *out)
{
	const struct scale scale = time_scale(experiment);
	const struct heights heights = heights_of(experiment);

	(void)result;
	plot_begin(out, WIDTH, 320);
	fprintf(out, "set xlabel '%s of the experiment'\nset ylabel 'GiB'\n", scale.name);
	plot_range(out, 'x', 0, scale.all);
	plot_range(out, 'y', 0, heights.top);
	put_gaps(experiment, &scale, out);
	if (experiment->nr_periods > MOST_STRIPES)
		put_blocks(experiment, &scale, &heights, out);
	else
		put_stripes(experiment, &scale, &heights, out);
}

static void timeline_caption(const struct ab_experiment *experiment, const struct ab_result *result,
			     FILE *out)
{
	const bool host = heights_of(experiment).host;

	(void)result;
	fputs("The whole run, in the order of its sequence: ", out);
	if (experiment->nr_periods > MOST_STRIPES)
		fprintf(out,
			"free memory that is not reported, means of each block; blue A, orange "
			"B.%s ",
			host ? " Dashed: what is resident on the host." : "");
	else
		fprintf(out,
			"free memory that is not reported (purple)%s. Behind it the arm: blue A, "
			"orange B; the paler start of each period is wash-out, which is not "
			"measured. ",
			host ? ", and what is resident on the host (green)" : "");
	fputs("A dotted upright line: an interruption, which is left out.", out);
}

const struct plot plot_timeline = {
	.name = "timeline",
	.title = "Unreported memory over time",
	.class = "wide",
	.missing = timeline_missing,
	.script = timeline_script,
	.caption = timeline_caption,
};
