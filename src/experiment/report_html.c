// SPDX-License-Identifier: GPL-2.0-only
/* The report as one page: verdict, table, plots, and all that they rest on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "page_style.h"
#include "plot.h"
#include "sluice/version.h"
#include "words.h"

static const struct plot *const plots[] = {
	&plot_differences,
	&plot_intervals,
	&plot_timeline,
	&plot_lifetimes,
};

/* --- verdict ---------------------------------------------------------------------------------- */

static const struct {
	const char *text;
	const char *class;
} headlines[] = {
	[AB_A_BETTER] = { "A is better", "a" },
	[AB_B_BETTER] = { "B is better", "b" },
	[AB_DIFFERENT] = { "A and B differ", "" },
	[AB_EQUIVALENT] = { "A and B are equivalent", "" },
	[AB_SAME] = { "No difference between A and B was seen", "" },
	[AB_NOT_ENOUGH] = { "Not enough to tell A from B", "" },
};

static void put_head(const struct ab_experiment *experiment, FILE *out)
{
	/* should a text find a way through, it can still load and run nothing */
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" "
	      "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<title>A/B experiment ",
	      out);
	html_text(out, experiment->id);
	fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", page_style);
}

static void put_verdict(const struct ab_experiment *experiment, const struct ab_result *result,
			FILE *out)
{
	const struct ab_effect *primary = primary_effect(experiment, result);
	const enum ab_verdict verdict = primary ? primary->verdict : AB_NOT_ENOUGH;

	fprintf(out, "<header class=\"verdict %s\">\n<p class=\"dim\">A/B experiment ",
		headlines[verdict].class);
	html_text(out, experiment->id);
	fprintf(out, "</p>\n<h1>%s</h1>\n<p class=\"says\">", headlines[verdict].text);
	html_number(out, result->verdict);
	fputs("</p>\n</header>\n", out);
	if (!result->nr_warnings)
		return;
	fputs("<ul class=\"warnings\">\n", out);
	for (unsigned int i = 0; i < result->nr_warnings; i++) {
		fputs("<li>", out);
		html_number(out, result->warnings[i]);
		fputs("</li>\n", out);
	}
	fputs("</ul>\n", out);
}

/* --- facts ------------------------------------------------------------------------------------ */

static void put_fact(FILE *out, const char *class, const char *name, const char *text)
{
	fprintf(out, "<dt class=\"%s\">", class);
	html_text(out, name);
	fputs("</dt><dd>", out);
	html_text(out, text);
	fputs("</dd>\n", out);
}

/* One in our words, not a user's. */
static void put_finding(FILE *out, const char *name, const char *text)
{
	fputs("<dt>", out);
	html_text(out, name);
	fputs("</dt><dd>", out);
	html_number(out, text);
	fputs("</dd>\n", out);
}

static void put_setting(const struct ab_experiment *experiment, const struct ab_result *result,
			FILE *out)
{
	char fact[FACT_TEXT];

	fputs("<dl>\n", out);
	put_fact(out, "a", "A", experiment->arm_file[AB_A]);
	put_fact(out, "b", "B", experiment->arm_file[AB_B]);
	put_fact(out, "", "Design", design_text(experiment, result, fact));
	put_fact(out, "", "Rules", rule_text(experiment, fact));
	put_fact(out, "", "Guest", guest_text(experiment, fact));
	put_fact(out, "", "Time", when_text(experiment, fact));
	fputs("</dl>\n", out);
}

static void put_runs(const struct ab_experiment *experiment, FILE *out)
{
	char runs[RUNS_TEXT], text[sizeof(runs) + sizeof(experiment->outcomes->command) + 16];

	for (unsigned int i = 0; i < experiment->nr_outcomes; i++) {
		const struct ab_outcome *outcome = &experiment->outcomes[i];

		runs_text(experiment, i, runs);
		if (*outcome->command)
			snprintf(text, sizeof(text), "%s; %s", outcome->command,
				 *runs ? runs : "never run");
		else
			snprintf(text, sizeof(text), "%s", runs);
		if (*text)
			put_fact(out, "", outcome->name, text);
	}
}

static void put_checks(const struct ab_experiment *experiment, const struct ab_result *result,
		       FILE *out)
{
	const struct ab_effect *primary = primary_effect(experiment, result);
	char fact[FACT_TEXT];

	fputs("<h2>What could have gone wrong</h2>\n<dl>\n", out);
	if (primary) {
		put_finding(out, "Power", power_text(experiment, primary, fact));
		put_finding(out, "Carry-over", carry_text(experiment, primary, fact));
		put_finding(out, "Trend", trend_text(experiment, primary, fact));
	}
	put_runs(experiment, out);
	for (unsigned int i = 0; i < experiment->nr_events; i++) {
		const struct ab_event *event = &experiment->events[i];
		char time[TIME_TEXT];

		if (!event_tells(event))
			continue;
		snprintf(fact, sizeof(fact), "%s%s%s", event->what, *event->text ? ": " : "",
			 event->text);
		put_fact(out, "", time_text(event->time_ms, time), fact);
	}
	fputs("</dl>\n", out);
}

/* --- table ------------------------------------------------------------------------------------ */

static void put_cell(FILE *out, const char *label, const char *text, const char *below)
{
	fputs("<td data-label=\"", out);
	html_text(out, label);
	fputs("\">", out);
	html_number(out, text);
	if (below) {
		fputs("<small>", out);
		html_number(out, below);
		fputs("</small>", out);
	}
	fputs("</td>", out);
}

static void put_name(const struct ab_outcome *outcome, FILE *out)
{
	const char *better = better_word(outcome->better);

	fputs("<td><b>", out);
	html_text(out, outcome->name);
	fputs("</b><small>", out);
	html_text(out, outcome->unit);
	fprintf(out, "%s%s</small></td>", *outcome->unit && *better ? ", " : "", better);
}

static void put_row(const struct ab_experiment *experiment, const struct ab_effect *effect,
		    FILE *out)
{
	const bool wins = effect->verdict == AB_A_BETTER || effect->verdict == AB_B_BETTER;
	char percent[NUMBER_TEXT], interval[NUMBER_TEXT + 16];
	struct effect_words words;

	effect_words(effect, &words);
	snprintf(interval, sizeof(interval), "%s interval",
		 setting_text(1 - experiment->alpha, percent));
	fputs(effect->outcome == experiment->primary ? "<tr class=\"primary\">" : "<tr>", out);
	put_name(&experiment->outcomes[effect->outcome], out);
	put_cell(out, "A", words.level[AB_A], NULL);
	put_cell(out, "B", words.level[AB_B], NULL);
	put_cell(out, "B \xe2\x88\x92 A", words.estimate, words.share);
	put_cell(out, interval, words.interval, words.share_interval);
	put_cell(out, "p", words.p, NULL);
	put_cell(out, "adjusted p", words.adjusted, NULL);
	fprintf(out, "<td class=\"%s%s\">%s</td></tr>\n", headlines[effect->verdict].class,
		wins ? " wins" : "", ab_verdict_name(effect->verdict));
}

static void put_table(const struct ab_experiment *experiment, const struct ab_result *result,
		      FILE *out)
{
	const struct ab_effect *primary = primary_effect(experiment, result);
	char percent[NUMBER_TEXT];

	fputs("<h2>Outcomes</h2>\n", out);
	if (!result->nr) {
		fputs("<p class=\"none\">No outcome has been measured in a whole block.</p>\n",
		      out);
		return;
	}
	fprintf(out,
		"<table>\n<thead><tr><th>Outcome</th><th>A</th><th>B</th>"
		"<th>B \xe2\x88\x92 A</th><th>%s interval</th><th>p</th><th>adjusted p</th>"
		"<th>Verdict</th></tr></thead>\n<tbody>\n",
		setting_text(1 - experiment->alpha, percent));
	if (primary)
		put_row(experiment, primary, out);
	for (unsigned int i = 0; i < result->nr; i++)
		if (&result->effects[i] != primary)
			put_row(experiment, &result->effects[i], out);
	fputs("</tbody>\n</table>\n", out);
}

/* --- plots ------------------------------------------------------------------------------------ */

typedef void (*writer)(const struct ab_experiment *experiment, const struct ab_result *result,
		       FILE *out);

/* What @write writes, to be freed by the caller; NULL: no memory. */
static char *text_by(writer write, const struct ab_experiment *experiment,
		     const struct ab_result *result, size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	if (!out)
		return NULL;
	write(experiment, result, out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

static int put_plot(const struct plot *plot, const struct ab_experiment *experiment,
		    const struct ab_result *result, FILE *out, struct errmsg *err)
{
	char *caption = NULL, *script = NULL, *svg = NULL;
	int rc = -ENOMEM;
	size_t size;

	caption = text_by(plot->caption, experiment, result, &size);
	if (!caption)
		goto out;
	script = text_by(plot->script, experiment, result, &size);
	if (!script)
		goto out;
	rc = plot_run(script, size, &svg, err);
	if (rc)
		goto out;
	html_text(out, caption);
	fputs("</figcaption>\n<div class=\"scroll\">\n", out);
	rc = plot_embed(out, svg, plot->name, plot->title);
	if (rc)
		errmsg_set(err, rc, "gnuplot made no SVG of \"%s\"", plot->title);
	fputs("</div>\n", out);
out:
	if (rc == -ENOMEM)
		errmsg_set(err, rc, "no memory for a plot");
	free(svg);
	free(script);
	free(caption);
	return rc;
}

static int put_figure(const struct plot *plot, const struct ab_experiment *experiment,
		      const struct ab_result *result, FILE *out, struct errmsg *err)
{
	const char *missing = plot->missing(experiment, result);
	int rc = 0;

	fprintf(out, "<figure id=\"%s\" class=\"%s\">\n<figcaption><h3>%s</h3>", plot->name,
		missing && !strcmp(plot->class, "side") ? "" : plot->class, plot->title);
	if (missing)
		fprintf(out, "</figcaption>\n<p class=\"none\">%s</p>\n", missing);
	else
		rc = put_plot(plot, experiment, result, out, err);
	fputs("</figure>\n", out);
	return rc;
}

/* --- details ---------------------------------------------------------------------------------- */

static void put_details(FILE *out, const char *summary, const char *class, const char *text)
{
	fprintf(out, "<details><summary>%s</summary><pre class=\"%s\">", summary, class);
	html_text(out, text);
	fputs("</pre></details>\n", out);
}

static void put_sequence(const struct ab_experiment *experiment, FILE *out)
{
	const struct ab_plan *plan = &experiment->plan;
	const unsigned int length = ab_block_length(plan->design);

	fputs("<details><summary>Sequence of arms, as drawn</summary><pre class=\"wrap\">", out);
	for (size_t i = 0; plan->sequence[i]; i++)
		fprintf(out, "%s%c", i && i % length == 0 ? " " : "", plan->sequence[i]);
	fputs("</pre></details>\n", out);
}

static void put_sources(const struct ab_experiment *experiment, const struct ab_result *result,
			FILE *out)
{
	const char *const *texts = (const char *const *)experiment->arm_text;

	fputs("<h2>What it rests on</h2>\n"
	      "<details><summary>All verdicts in words</summary><dl>\n",
	      out);
	for (unsigned int i = 0; i < result->nr; i++)
		put_finding(out, experiment->outcomes[result->effects[i].outcome].name,
			    result->effects[i].text);
	fputs("</dl></details>\n", out);
	put_sequence(experiment, out);
	put_details(out, "Configuration of A", "", texts[AB_A] ? texts[AB_A] : "");
	put_details(out, "Configuration of B", "", texts[AB_B] ? texts[AB_B] : "");
}

/* --- page ------------------------------------------------------------------------------------- */

static int put_page(const struct ab_experiment *experiment, const struct ab_result *result,
		    FILE *out, struct errmsg *err)
{
	int rc = 0;

	put_head(experiment, out);
	put_verdict(experiment, result, out);
	put_setting(experiment, result, out);
	put_table(experiment, result, out);
	fputs("<div class=\"figures\">\n", out);
	for (size_t i = 0; !rc && i < sizeof(plots) / sizeof(plots[0]); i++)
		rc = put_figure(plots[i], experiment, result, out, err);
	fputs("</div>\n", out);
	put_checks(experiment, result, out);
	put_sources(experiment, result, out);
	fputs("<footer>Made by sluice " SLUICE_VERSION ".</footer>\n</main>\n</body>\n</html>\n",
	      out);
	return rc;
}

int ab_report_html(const struct ab_experiment *experiment, const struct ab_result *result,
		   const char *path, struct errmsg *err)
{
	char *page = NULL;
	size_t size = 0;
	FILE *out;
	int rc;

	out = open_memstream(&page, &size);
	if (!out)
		return errmsg_set(err, -errno, "no memory for a page");
	rc = put_page(experiment, result, out, err);
	if (fclose(out) && !rc)
		rc = errmsg_set(err, -ENOMEM, "no memory for a page");
	if (!rc)
		rc = html_write(path, page, size, err);
	free(page);
	return rc;
}
