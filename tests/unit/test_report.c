// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports of experiments: as text, JSON and a page, of good and of strange ones. With
 * REPORT_PAGES=DIR pages stay there to be looked at.
 *
 * wrap: poll
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "experiment/html.h"
#include "experiment/plot.h"
#include "experiment/words.h"
#include "report_fixture.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define HOSTILE	    "<script>alert('1')</script>\"&@x{}^_`id`\n$(id) %s%n \\"

static bool poll_times_out;

int __real_poll(struct pollfd *fds, nfds_t nr, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t nr, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t nr, int timeout)
{
	return poll_times_out ? 0 : __real_poll(fds, nr, timeout);
}

/* --- places ----------------------------------------------------------------------------------- */

static char dir[64], old_path[4096];

static char *path_in(const char *name, char buf[256])
{
	snprintf(buf, 256, "%s/%s", dir, name);
	return buf;
}

static unsigned int count_files(void)
{
	DIR *open = opendir(dir);
	unsigned int nr = 0;

	assert_non_null(open);
	while (readdir(open))
		nr++;
	closedir(open);
	return nr - 2; /* . and .. */
}

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/sluice-report-XXXXXX");
	snprintf(old_path, sizeof(old_path), "%s", getenv("PATH"));
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	DIR *open = opendir(dir);

	(void)state;
	for (const struct dirent *entry; (entry = readdir(open));)
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(open), entry->d_name, 0);
	closedir(open);
	poll_times_out = false;
	setenv("PATH", old_path, 1);
	return rmdir(dir);
}

/* A program of that name is the only one in PATH. */
static void fake_gnuplot(const char *script)
{
	char path[256];
	FILE *file = fopen(path_in("gnuplot", path), "w");

	assert_non_null(file);
	fprintf(file, "#!/bin/sh\n%s\n", script);
	fclose(file);
	assert_int_equal(chmod(path, 0755), 0);
	setenv("PATH", dir, 1);
}

static char *read_page(const char *path)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_true(getdelim(&text, &size, '\0', file) > 0);
	fclose(file);
	return text;
}

/* The page of a report, to be freed; it stays as @name if one wants to look at it. */
static char *page_of(const struct report *report, const char *name)
{
	const char *pages = getenv("REPORT_PAGES");
	struct errmsg err = { 0 };
	char path[256];

	if (pages)
		snprintf(path, sizeof(path), "%s/%s.html", pages, name);
	else
		path_in("page.html", path);
	if (ab_report_html(&report->experiment, &report->result, path, &err))
		fail_msg("%s", err.text);
	return read_page(path);
}

static char *text_of(const struct report *report)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	ab_report_text(&report->experiment, &report->result, out);
	fclose(out);
	if (getenv("REPORT_PAGES"))
		puts(text);
	return text;
}

/* --- words ------------------------------------------------------------------------------------ */

static const struct number_case {
	double number;
	int decimals;
	const char *text;
} numbers[] = {
	{ 0, 3, "0" },
	{ -0.0, 3, "0" },
	{ 1.805, 1, "1.8" },
	{ -0.0004, 2, "0.00" }, /* no "-0.00" */
	{ -0.006, 2, "-0.01" },
	{ 123456789, NUMBER_POWER, "1.23e8" },
	{ -9.999e-5, NUMBER_POWER, "-1.00e-4" },
	{ 0, NUMBER_POWER, "0" },
	{ 1e300, 2, "1.00e300" },
	{ NAN, 2, "-" },
	{ INFINITY, 2, "inf" },
	{ -INFINITY, 2, "-inf" },
};

static const struct lone_case {
	double number;
	const char *text;
} lone[] = {
	{ 0, "0" },	      { 12.345, "12.3" },   { -0.012345, "-0.0123" }, { 999.7, "1000" },
	{ 123456, "123456" }, { 1e6, "1.00e6" },    { 0.00012, "1.20e-4" },   { NAN, "-" },
	{ 1, "1.00" },	      { 54321.9, "54322" }, { INFINITY, "inf" },
};

static const struct lone_case percents[] = {
	{ 0.05, "5.00%" }, { 0.8, "80.0%" }, { 1.2345, "123%" }, { 0.00001, "0.00%" },
	{ 0, "0%" },	   { NAN, "-" },     { INFINITY, "-" },	 { -0.105, "-10.5%" },
};

static const struct lone_case ps[] = {
	{ 0, "<0.0001" }, { 0.00009, "<0.0001" }, { 0.0001, "0.0001" },
	{ 1, "1.0000" },  { 0.04567, "0.0457" },  { NAN, "-" },
};

static void test_numbers(void **state)
{
	char buf[NUMBER_TEXT];

	(void)state;
	for (size_t i = 0; i < ROWS(numbers); i++)
		assert_string_equal(number_text(numbers[i].number, numbers[i].decimals, buf),
				    numbers[i].text);
	for (size_t i = 0; i < ROWS(lone); i++)
		assert_string_equal(lone_number_text(lone[i].number, buf), lone[i].text);
	for (size_t i = 0; i < ROWS(percents); i++)
		assert_string_equal(percent_text(percents[i].number, buf), percents[i].text);
	for (size_t i = 0; i < ROWS(ps); i++)
		assert_string_equal(p_text(ps[i].number, buf), ps[i].text);
}

static void test_effect_words(void **state)
{
	struct ab_effect effect = {
		.level = { 12.314, 11.023 },
		.estimate = -1.291,
		.low = -1.8,
		.high = -0.78,
		.p = 0.0003,
		.adjusted = 0.0031,
	};
	struct effect_words words;

	(void)state;
	effect_words(&effect, &words);
	assert_string_equal(words.level[AB_A], "12.31");
	assert_string_equal(words.level[AB_B], "11.02");
	assert_string_equal(words.estimate, "-1.29");
	assert_string_equal(words.interval, "-1.80 to -0.78");
	assert_string_equal(words.share, "-10.5%");
	assert_string_equal(words.share_interval, "-14.6% to -6.3%");
	/* a small difference of large levels is to be seen in the levels */
	effect = (struct ab_effect){ .level = { 512.001, 512.012 },
				     .estimate = 0.011,
				     .low = -INFINITY,
				     .high = INFINITY,
				     .p = NAN,
				     .adjusted = NAN };
	effect_words(&effect, &words);
	assert_string_equal(words.level[AB_A], "512.001");
	assert_string_equal(words.estimate, "+0.0110");
	assert_string_equal(words.interval, "unbounded");
	assert_string_equal(words.p, "-");
	/* nothing to be a share of */
	effect.level[AB_A] = 0;
	effect_words(&effect, &words);
	assert_string_equal(words.share, "-");
	assert_string_equal(words.share_interval, "-");
}

static void test_times(void **state)
{
	char buf[TIME_TEXT];

	(void)state;
	assert_string_equal(time_text(START_MS, buf), "2026-07-12 10:00:00");
	time_text(INT64_MAX, buf);
	time_text(INT64_MIN, buf);
}

/* --- strange experiments ---------------------------------------------------------------------- */

/* Nothing measured yet. */
static void make_empty(struct report *report)
{
	report->experiment.nr_periods = 0;
	report->experiment.nr_events = 0;
	report->experiment.ended = false;
	report->experiment.host_feed[0] = '\0';
	report->result = (struct ab_result){ .verdict = "Not enough to tell: no block is whole." };
}

/* One block: no interval, no p. */
static void make_short(struct report *report)
{
	report->experiment.nr_periods = AB_BLOCK_LENGTH;
	report->result.blocks = 1;
	for (unsigned int i = 0; i < report->result.nr; i++) {
		struct ab_effect *effect = &report->result.effects[i];

		effect->n = 1;
		effect->low = effect->near_low = -INFINITY;
		effect->high = effect->near_high = INFINITY;
		effect->p = effect->adjusted = 1;
		effect->detectable = effect->trend = effect->carry = NAN;
		effect->trend_p = effect->carry_p = NAN;
		effect->needed = 0;
		effect->verdict = AB_NOT_ENOUGH;
	}
	snprintf(report->result.verdict, sizeof(report->result.verdict),
		 "Not enough to tell: 1 block, and 6 are the least.");
}

/* Nobody's numbers: nothing of the primary outcome is known. */
static void make_unknown(struct report *report)
{
	struct ab_effect *effect = &report->result.effects[0];
	struct ab_period *period = report->periods;

	*effect = (struct ab_effect){
		.missing = BLOCKS,
		.level = { NAN, NAN },
		.estimate = NAN,
		.low = NAN,
		.high = NAN,
		.near_low = NAN,
		.near_high = NAN,
		.p = NAN,
		.adjusted = NAN,
		.detectable = NAN,
		.margin = NAN,
		.trend = NAN,
		.trend_p = NAN,
		.carry = NAN,
		.carry_p = NAN,
		.verdict = AB_NOT_ENOUGH,
	};
	for (unsigned int i = 0; i < report->experiment.nr_periods; i++, period++) {
		memset(period->lifetimes, 0, sizeof(period->lifetimes));
		memset(period->reuse, 0, sizeof(period->reuse));
		for (unsigned int k = 0; k < period->nr_points; k++)
			period->unreported[k] = period->host[k] = NAN;
	}
}

/* Whatever a user can name is named so that it hurts. */
static void make_hostile(struct report *report)
{
	struct ab_experiment *experiment = &report->experiment;

	snprintf(experiment->id, sizeof(experiment->id), "%s", HOSTILE);
	snprintf(experiment->guest.kernel, sizeof(experiment->guest.kernel), "%s", HOSTILE);
	snprintf(experiment->host_feed, sizeof(experiment->host_feed), "%s", HOSTILE);
	for (int arm = 0; arm < AB_ARMS; arm++) {
		snprintf(experiment->arm_file[arm], sizeof(experiment->arm_file[arm]), "%s",
			 HOSTILE);
		snprintf(report->text[arm], sizeof(report->text[arm]), "%s\x1b[2J\xff", HOSTILE);
	}
	for (unsigned int o = 0; o < experiment->nr_outcomes; o++) {
		struct ab_outcome *outcome = &experiment->outcomes[o];

		snprintf(outcome->name, sizeof(outcome->name), "%.*s", AB_NAME - 1, HOSTILE);
		snprintf(outcome->unit, sizeof(outcome->unit), "%.*s", AB_NAME - 1,
			 &HOSTILE[o % 2 ? 20 : 0]);
		snprintf(outcome->command, sizeof(outcome->command), "%s%s", HOSTILE, HOSTILE);
		snprintf(report->result.effects[o].text, sizeof(report->result.effects[o].text),
			 "%s", HOSTILE);
	}
	snprintf(report->events[1].text, sizeof(report->events[1].text), "\x1b]0;x\a%s%0100d",
		 HOSTILE, 0);
	snprintf(report->result.verdict, sizeof(report->result.verdict), "%s", HOSTILE);
	snprintf(report->result.warnings[0], sizeof(report->result.warnings[0]), "%s", HOSTILE);
}

static const struct strange {
	const char *name;
	void (*make)(struct report *report);
} stranges[] = {
	{ "empty", make_empty },
	{ "short", make_short },
	{ "unknown", make_unknown },
	{ "hostile", make_hostile },
};

/* --- text ------------------------------------------------------------------------------------- */

static void check_lines(const char *text)
{
	unsigned int columns = 0;

	for (; *text; text++) {
		assert_true(*text == '\n' || (unsigned char)*text >= 0x20);
		columns = *text == '\n' ? 0 : columns + ((*text & 0xc0) != 0x80);
		assert_in_range(columns, 0, 80);
	}
}

static void test_text(void **state)
{
	struct report *report = make_report();
	char *text = text_of(report);
	static const char *const parts[] = {
		"verdict     B is better: unreported is 27.5% less",
		"A           /etc/sluice/threshold.conf",
		"seed 20260712",
		"20 blocks of 4 periods planned, 20 measured",
		"Linux 6.1.0-30-amd64",
		"2026-07-12 10:00:00 to 2026-07-13 16:40:00 UTC; finished",
		"primary, GiB s, less is better",
		"replies_of_the_front_end_served",
		"interrupted: the guest shut down",
		"3 failed (A 1, B 2)",
	};

	(void)state;
	check_lines(text);
	for (size_t i = 0; i < ROWS(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("no \"%s\" in\n%s", parts[i], text);
	free(text);
	free(report);
}

static void test_strange_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(stranges); i++) {
		struct report *report = make_report();
		char *text;

		stranges[i].make(report);
		text = text_of(report);
		check_lines(text);
		free(text);
		free(report);
	}
}

/* Many events: the last ones, and how many there were. */
static void test_many_events(void **state)
{
	struct report *report = make_report();
	struct ab_event events[40];
	char *text;

	(void)state;
	for (size_t i = 0; i < ROWS(events); i++)
		events[i] = report->events[1];
	report->experiment.events = events;
	report->experiment.nr_events = ROWS(events);
	text = text_of(report);
	assert_non_null(strstr(text, "28 earlier ones"));
	check_lines(text);
	free(text);
	free(report);
}

/* Blocks that all say the same have no noise, and no difference is too small to be found. */
static void test_no_noise(void **state)
{
	struct report *report = make_report();
	char *text;

	(void)state;
	report->result.effects[report->experiment.primary].detectable = 0;
	text = text_of(report);
	assert_non_null(strstr(text, "blocks differ by the same"));
	assert_null(strstr(text, "blocks find a difference"));
	check_lines(text);
	free(text);
	free(report);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static json_t *json_of(const struct report *report)
{
	json_t *made = ab_report_json(&report->experiment, &report->result), *json;
	json_error_t error;
	char *text;

	assert_non_null(made);
	text = json_dumps(made, 0);
	assert_non_null(text);
	assert_int_equal(strncmp(text, "{\"version\": 1", 13), 0);
	json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		fail_msg("%s: %s", error.text, text);
	free(text);
	json_decref(made);
	return json;
}

static void test_json(void **state)
{
	struct report *report = make_report();
	json_t *json = json_of(report), *effects = json_object_get(json, "effects"), *effect, *pair;
	size_t i, k;

	(void)state;
	assert_int_equal(json_array_size(effects), SAMPLES);
	json_array_foreach(effects, i, effect)
	{
		const json_t *pairs = json_object_get(effect, "differences");

		assert_string_equal(json_string_value(json_object_get(effect, "outcome")),
				    samples[i].outcome.name);
		assert_int_equal(json_is_true(json_object_get(effect, "primary")), !i);
		assert_int_equal(json_array_size(pairs), BLOCKS);
		json_array_foreach(pairs, k, pair)
		{
			assert_int_equal(json_integer_value(json_object_get(pair, "block")), k);
			assert_true(json_real_value(json_object_get(pair, "difference")) ==
				    report->differences[i][k]);
		}
	}
	assert_int_equal(json_array_size(json_object_get(json, "warnings")), 1);
	assert_int_equal(json_array_size(json_object_get(json, "events")), 4);
	json_decref(json);
	free(report);
}

static void test_strange_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(stranges); i++) {
		struct report *report = make_report();
		json_t *json;

		stranges[i].make(report);
		report->result.warnings[0][0] = '\xff'; /* no UTF-8 */
		json = json_of(report);
		assert_int_equal(json_array_size(json_object_get(json, "effects")),
				 report->result.nr);
		json_decref(json);
		free(report);
	}
}

static void test_nulls(void **state)
{
	static const char *const keys[] = { "difference", "low",   "high",	 "p",
					    "adjusted_p", "trend", "detectable", "carry_over" };
	struct report *report = make_report();
	json_t *json, *effect;

	(void)state;
	make_unknown(report);
	report->result.effects[0].low = -INFINITY;
	json = json_of(report);
	effect = json_array_get(json_object_get(json, "effects"), 0);
	for (size_t i = 0; i < ROWS(keys); i++)
		assert_true(json_is_null(json_object_get(effect, keys[i])));
	json_decref(json);
	free(report);
}

/* --- page ------------------------------------------------------------------------------------- */

static unsigned int count(const char *text, const char *part)
{
	unsigned int nr = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		nr++;
	return nr;
}

/* No id twice, or a plot would take another's marks. */
static void check_ids(const char *page)
{
	static const char *const starts[] = { " id=\"", " id='" };

	for (size_t i = 0; i < ROWS(starts); i++) {
		for (const char *id = page; (id = strstr(id, starts[i])); id++) {
			char text[128];

			snprintf(text, sizeof(text), "%.*s", (int)strcspn(id + 5, "\"'") + 6, id);
			if (count(page, text) != 1)
				fail_msg("%s is not alone", text);
		}
	}
}

static void test_page(void **state)
{
	struct report *report = make_report();
	char *page = page_of(report, "page");

	(void)state;
	assert_non_null(strstr(page, "<h1>B is better</h1>"));
	assert_int_equal(count(page, "<svg "), 4);
	assert_int_equal(count(page, "</svg>"), 4);
	assert_int_equal(count(page, "<figure"), 4);
	assert_null(strstr(page, "<?xml"));
	assert_null(strstr(page, "://"));
	assert_null(strstr(page, "GNUPLOT"));
	assert_int_equal(count(page, "<tr class=\"primary\">"), 1);
	assert_int_equal(count(page, "<tr"), 1 + SAMPLES);
	assert_non_null(strstr(page, "threshold: {\n  order = 9;"));
	check_ids(page);
	free(page);
	free(report);
}

/* Where there is nothing to plot, a sentence says so. */
static const struct figures_case {
	void (*make)(struct report *report);
	unsigned int plots;
} figures[] = {
	{ make_empty, 0 },
	{ make_short, 4 },
	{ make_unknown, 1 },
	{ make_hostile, 4 },
};

static void test_strange_pages(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(figures); i++) {
		struct report *report = make_report();
		char *page;

		figures[i].make(report);
		page = page_of(report, stranges[i].name);
		assert_int_equal(count(page, "<svg "), figures[i].plots);
		assert_int_equal(count(page, "<figure"), 4);
		assert_int_equal(count(page, "<figure") - count(page, "<svg "),
				 count(page, "</figcaption>\n<p class=\"none\">"));
		check_ids(page);
		free(page);
		free(report);
	}
}

static void test_hostile_page(void **state)
{
	struct report *report = make_report();
	char *page;

	(void)state;
	make_hostile(report);
	page = page_of(report, "hostile");
	assert_null(strstr(page, "<script"));
	assert_null(strchr(page, '\x1b'));
	assert_null(strstr(page, "uid="));
	assert_non_null(strstr(page, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;"));
	free(page);
	free(report);
}

/* Extreme numbers still make plots, not errors. */
static void test_extremes(void **state)
{
	static const double amounts[] = { 0, 1e-300, 1e300, 1e18, -1e9, NAN, INFINITY };

	(void)state;
	for (size_t i = 0; i < ROWS(amounts); i++) {
		struct report *report = make_report();
		struct ab_effect *effect = &report->result.effects[0];
		char *text;

		for (unsigned int k = 0; k < BLOCKS; k++)
			effect->differences[k] = amounts[i];
		effect->estimate = effect->low = effect->high = amounts[i];
		free(page_of(report, "extreme"));
		text = text_of(report);
		check_lines(text);
		free(text);
		free(report);
	}
}

/* As many periods and points as there can be: the page stays small. */
static void test_large(void **state)
{
	const unsigned int nr = AB_MAX_BLOCKS * AB_BLOCK_LENGTH;
	struct report *report = make_report();
	struct ab_period *periods = calloc(nr, sizeof(*periods));
	char *page;

	(void)state;
	for (unsigned int i = 0; i < nr; i++) {
		periods[i] = report->periods[i % report->experiment.nr_periods];
		periods[i].number = i;
		periods[i].start_ms = START_MS + INT64_C(1000) * PERIOD_S * i;
	}
	report->experiment.periods = periods;
	report->experiment.nr_periods = nr;
	report->experiment.plan.blocks = AB_MAX_BLOCKS;
	page = page_of(report, "large");
	assert_in_range(strlen(page), 100000, 4000000);
	free(page);
	free(periods);
	free(report);
}

/* --- errors ----------------------------------------------------------------------------------- */

static int try_page(const char *path, struct errmsg *err)
{
	struct report *report = make_report();
	const int rc = ab_report_html(&report->experiment, &report->result, path, err);

	free(report);
	return rc;
}

static void test_no_gnuplot(void **state)
{
	struct errmsg err = { 0 };
	char path[256];

	(void)state;
	setenv("PATH", dir, 1);
	assert_int_equal(try_page(path_in("page.html", path), &err), -ENOENT);
	assert_string_equal(err.text, "gnuplot is not there: install gnuplot-nox, or make the page "
				      "elsewhere from the experiment's file");
	assert_int_equal(count_files(), 0);
}

static const struct fake_case {
	const char *script;
	int code;
	const char *text;
} fakes[] = {
	{ "echo 'plot x'; echo 'line 0: no \"such\"' >&2; exit 3", -EIO,
	  "gnuplot failed with status 3: \"line 0: no \\\"such\\\"\"" },
	{ "exit 1", -EIO, "gnuplot failed with status 1: \"\"" },
	{ "printf 'a\\n  ^\\n  last\\n\\n' >&2; exit 1", -EIO,
	  "gnuplot failed with status 1: \"last\"" },
	{ "kill -9 $$", -EIO, "gnuplot was ended by signal 9" },
	{ "echo hello", -EBADMSG, "gnuplot made no SVG of \"Difference by block\"" },
	{ "echo '<svg viewBox='", -EBADMSG, "gnuplot made no SVG of \"Difference by block\"" },
	{ "exec 0<&- 1>&-", -EBADMSG, "gnuplot made no SVG of \"Difference by block\"" },
};

static void test_bad_gnuplot(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(fakes); i++) {
		struct errmsg err = { 0 };
		char path[256];

		fake_gnuplot(fakes[i].script);
		assert_int_equal(try_page(path_in("page.html", path), &err), fakes[i].code);
		assert_string_equal(err.text, fakes[i].text);
		assert_int_equal(count_files(), 1);
	}
}

static void test_slow_gnuplot(void **state)
{
	struct errmsg err = { 0 };
	char path[256];

	(void)state;
	fake_gnuplot("exec /bin/sleep 1000");
	poll_times_out = true;
	assert_int_equal(try_page(path_in("page.html", path), &err), -ETIMEDOUT);
	assert_string_equal(err.text, "gnuplot took more than 60 s");
}

/* Signals that the caller blocks or ignores are gnuplot's again. */
static void test_signals(void **state)
{
	struct errmsg err = { 0 };
	sigset_t all, old;
	char path[256];

	(void)state;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	signal(SIGPIPE, SIG_IGN);
	fake_gnuplot("kill -PIPE $$; exit 7");
	assert_int_equal(try_page(path_in("page.html", path), &err), -EIO);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_string_equal(err.text, "gnuplot was ended by signal 13");
}

/* Nothing but a regular file is ever replaced. */
static void test_targets(void **state)
{
	struct errmsg err = { 0 };
	char path[256], link_path[256], quoted[QUOTED_TEXT], text[384];

	(void)state;
	assert_int_equal(html_write(path_in("none/page.html", path), "x", 1, &err), -ENOENT);
	snprintf(text, sizeof(text), "cannot write %s: No such file or directory",
		 text_quote(path, quoted));
	assert_string_equal(err.text, text);
	assert_int_equal(html_write(dir, "x", 1, &err), -EISDIR);
	assert_int_equal(html_write("/dev/null", "x", 1, &err), -EINVAL);
	assert_non_null(strstr(err.text, "name a file for the page"));
	assert_int_equal(symlink("/dev/null", path_in("link", link_path)), 0);
	assert_int_equal(html_write(link_path, "x", 1, &err), -EINVAL);
	assert_int_equal(count_files(), 1);
}

static void test_write(void **state)
{
	struct errmsg err = { 0 };
	struct stat stat_of;
	char path[256], *text;
	mode_t mask = umask(027);

	(void)state;
	assert_int_equal(html_write(path_in("page.html", path), "old and long", 12, &err), 0);
	assert_int_equal(html_write(path, "new", 3, &err), 0);
	umask(mask);
	assert_int_equal(stat(path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0640);
	text = read_page(path);
	assert_string_equal(text, "new");
	free(text);
	assert_int_equal(count_files(), 1);
}

/* A disk that is full half-way: the old page stays. */
static void test_full(void **state)
{
	const struct rlimit little = { 2, RLIM_INFINITY };
	struct errmsg err = { 0 };
	struct rlimit old;
	char path[256], *text;
	int rc;

	(void)state;
	assert_int_equal(html_write(path_in("page.html", path), "old", 3, &err), 0);
	getrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &little);
	rc = html_write(path, "new page", 8, &err);
	setrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(rc, -EFBIG);
	text = read_page(path);
	assert_string_equal(text, "old");
	free(text);
	assert_int_equal(count_files(), 1);
}

/* --- SVG -------------------------------------------------------------------------------------- */

static const struct embed_case {
	const char *svg;
	const char *body; /* NULL: no SVG */
} embeds[] = {
	{ "", NULL },
	{ "<svg viewBox=\"0 0 1 1\">", NULL },
	{ "<svg width=\"1\"></svg>", NULL },
	{ "<?xml?><svg width=\"9\" viewBox=\"0 0 1 1\"><g id='a' x=\"1\"/></svg>",
	  "<g id='n-a' x=\"1\"/>" },
	/* references too, but not what a user wrote */
	{ "<svg viewBox=\"0 0 1 1\"><use xlink:href='#a' fill=\"url(#b)\"/><text> "
	  "id='c'</text></svg>",
	  "<use xlink:href='#n-a' fill=\"url(#n-b)\"/><text> id='c'</text>" },
	{ "<svg viewBox=\"0 0 1 "
	  "1\"><title>plot</title><desc>by</desc><g><title>x</title></g></svg>",
	  "<g></g>" },
	{ "<svg viewBox=\"0 0 1 1\"><title>plot</svg>", "<title>plot" },
};

static void test_embed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(embeds); i++) {
		char *text = NULL, expected[512];
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);
		const int rc = plot_embed(out, embeds[i].svg, "n", "T");

		fclose(out);
		assert_int_equal(rc, embeds[i].body ? 0 : -EBADMSG);
		snprintf(
			expected, sizeof(expected),
			"<svg class=\"plot\" role=\"img\" viewBox=\"0 0 1 1\" "
			"aria-labelledby=\"n-title\">\n<title id=\"n-title\">T</title>\n%s</svg>\n",
			embeds[i].body ? embeds[i].body : "");
		assert_string_equal(text, embeds[i].body ? expected : "");
		free(text);
	}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_numbers),	 TEST(test_effect_words),  TEST(test_times),
		TEST(test_text),	 TEST(test_strange_texts), TEST(test_many_events),
		TEST(test_no_noise),	 TEST(test_json),	   TEST(test_strange_json),
		TEST(test_nulls),	 TEST(test_page),	   TEST(test_strange_pages),
		TEST(test_hostile_page), TEST(test_extremes),	   TEST(test_large),
		TEST(test_no_gnuplot),	 TEST(test_bad_gnuplot),   TEST(test_slow_gnuplot),
		TEST(test_signals),	 TEST(test_targets),	   TEST(test_write),
		TEST(test_full),	 TEST(test_embed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
