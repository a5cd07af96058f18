// SPDX-License-Identifier: GPL-2.0-only
/* How long pageblocks stayed free, and reported, in both arms. */
#include <math.h>
#include <stdbool.h>

#include "plot.h"
#include "sluice/units.h"

/* Per period, by bucket, see SLUICE_TIME_BUCKETS. */
struct histogram {
	double blocks[AB_ARMS][SLUICE_TIME_BUCKETS];
	double all, top;
	unsigned int first, last; /* bucket that is not empty */
};

static void finish_histogram(struct histogram *histogram)
{
	histogram->first = SLUICE_TIME_BUCKETS;
	for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++) {
		const double both = histogram->blocks[AB_A][b] + histogram->blocks[AB_B][b];

		histogram->all += both;
		histogram->top = fmax(histogram->top,
				      fmax(histogram->blocks[AB_A][b], histogram->blocks[AB_B][b]));
		if (both <= 0)
			continue;
		histogram->first = b < histogram->first ? b : histogram->first;
		histogram->last = b;
	}
}

static struct histogram histogram_of(const struct ab_experiment *experiment, bool reuse)
{
	struct histogram histogram = { 0 };
	unsigned int periods[AB_ARMS] = { 0 };

	for (unsigned int i = 0; i < experiment->nr_periods; i++)
		periods[experiment->periods[i].arm]++;
	for (unsigned int i = 0; i < experiment->nr_periods; i++) {
		const struct ab_period *period = &experiment->periods[i];
		const uint64_t *counts = reuse ? period->reuse : period->lifetimes;

		for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++)
			histogram.blocks[period->arm][b] +=
				(double)counts[b] / periods[period->arm];
	}
	finish_histogram(&histogram);
	return histogram;
}

static const char *lifetimes_missing(const struct ab_experiment *experiment,
				     const struct ab_result *result)
{
	(void)result;
	if (histogram_of(experiment, false).all > 0 || histogram_of(experiment, true).all > 0)
		return NULL;
	return "No pageblock that was free as a whole was allocated from, as far as was seen.";
}

/* Bucket n is from n to n + 1 on an axis on which each doubling of time is one. */
static void put_time_axis(unsigned int first, unsigned int last, FILE *out)
{
	static const struct {
		double seconds;
		const char *name;
	} marks[] = {
		{ 0.1, "0.1 s" },   { 1, "1 s" },	  { 10, "10 s" },   { 60, "1 min" },
		{ 600, "10 min" },  { 3600, "1 h" },	  { 21600, "6 h" }, { 86400, "1 d" },
		{ 864000, "10 d" }, { 8640000, "100 d" },
	};
	const double tick = (double)(1U << SLUICE_TICK_SHIFT) / (double)NSEC_PER_SEC;

	fputs("set xtics (", out);
	if (!first)
		fputs("'0' 0, ", out);
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		fprintf(out, "%s'%s' %.9g", i ? ", " : "", marks[i].name,
			log2(marks[i].seconds / tick) + 1);
	fputs(")\n", out);
	plot_range(out, 'x', first, last + 1);
}

static void put_data(const struct histogram *histogram, const char *name, FILE *out)
{
	fprintf(out, "$%s << END_OF_DATA\n", name);
	for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++) {
		fprintf(out, "%u", b);
		plot_number(out, histogram->blocks[AB_A][b]);
		plot_number(out, histogram->blocks[AB_B][b]);
		fputc('\n', out);
	}
	fputs("END_OF_DATA\n", out);
}

/* A takes the left half of each bucket, B the right one. */
static void put_bars(const struct histogram *histogram, const char *name, const char *title,
		     FILE *out)
{
	static const char bars[] = "with boxxyerror fillstyle solid 1 noborder linecolor rgb";

	fprintf(out,
		"set title '%s' textcolor rgb '" PLOT_TEXT "'\n"
		"unset label\n",
		title);
	if (histogram->all <= 0)
		fputs("set label 'none' at graph 0.5, graph 0.5 center "
		      "textcolor rgb '" PLOT_TEXT "'\n",
		      out);
	fprintf(out, "set ytics %.9g\n", plot_step(histogram->top));
	plot_range(out, 'y', 0, histogram->top > 0 ? 1.05 * histogram->top : 1);
	fprintf(out,
		"plot $%s using 1:(0):($1+0.06):($1+0.5):(0):2 %s '" PLOT_A "', "
		"'' using 1:(0):($1+0.5):($1+0.94):(0):3 %s '" PLOT_B "'\n",
		name, bars, bars);
}

static void lifetimes_script(const struct ab_experiment *experiment, const struct ab_result *result,
			     FILE *out)
{
	const struct histogram lifetimes = histogram_of(experiment, false);
	const struct histogram reuse = histogram_of(experiment, true);
	const unsigned int last = lifetimes.last > reuse.last ? lifetimes.last : reuse.last;

	(void)result;
	plot_begin(out, PLOT_WIDTH, 420);
	put_data(&lifetimes, "lifetimes", out);
	put_data(&reuse, "reuse", out);
	put_time_axis(lifetimes.first < reuse.first ? lifetimes.first : reuse.first, last, out);
	fputs("set ylabel 'blocks per period'\nset multiplot layout 2,1\n", out);
	put_bars(&lifetimes, "lifetimes", "from free as a whole to the first allocation", out);
	put_bars(&reuse, "reuse", "from reported to the first allocation", out);
	fputs("unset multiplot\n", out);
}

static void lifetimes_caption(const struct ab_experiment *experiment,
			      const struct ab_result *result, FILE *out)
{
	(void)result;
	(void)experiment;
	fputs("Pageblocks by how long they had been free, and reported, when they were allocated "
	      "from; each pair of bars is a doubling of time, A (blue) on the left and B (orange) "
	      "on the right. What is reused soon after it was reported cost a fault on the host "
	      "for little.",
	      out);
}

const struct plot plot_lifetimes = {
	.name = "lifetimes",
	.title = "How long blocks stayed free",
	.class = "side",
	.missing = lifetimes_missing,
	.script = lifetimes_script,
	.caption = lifetimes_caption,
};
