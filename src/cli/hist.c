// SPDX-License-Identifier: GPL-2.0-only
/* sluice hist: free memory of each zone, by what the view asks for. */
#include "cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/control.h"
#include "sluice/json.h"
#include "sluice/units.h"
#include "views.h"

#define WATCH_DEFAULT 2 /* seconds */

struct view {
	const char *name;
	bool needs_map; /* totals are not enough */
	void (*print)(const json_t *hist, bool alone);
};

/* the first is the default */
static const struct view views[] = {
	{ "orders", false, print_orders },
	{ "runs", true, print_runs },
	{ "ages", true, print_ages },
	{ "almost-free", true, print_almost_free },
};

static const struct view *find_view(const char *name)
{
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		if (!strcmp(views[i].name, name))
			return &views[i];
	return NULL;
}

static int print_hist(const struct look *look, const struct view *view, const json_t *hist)
{
	const char *source = json_string_value(json_object_get(hist, "source"));
	char text[128];

	if (look->cli->json) {
		json_print(hist, false, stdout);
		return EXIT_OK;
	}
	if (view->needs_map && source && !strcmp(source, scan_source_name(SOURCE_BUDDYINFO))) {
		snprintf(text, sizeof(text),
			 "--view %s: there is no map, only the totals of /proc/buddyinfo: see "
			 "sluice probe",
			 view->name);
		return fail(look->cli, text);
	}
	view->print(hist, look->observer);
	return EXIT_OK;
}

static int show(struct look *look, const struct view *view)
{
	struct errmsg err = { 0 };
	json_t *hist = NULL;
	int status;

	if (look_get(look, REQUEST_HIST, &hist, &err) < 0)
		return fail(look->cli, err.text);
	status = print_hist(look, view, hist);
	fflush(stdout);
	json_decref(hist);
	return ferror(stdout) ? EXIT_FAILED : status;
}

/* Repaints a terminal; appends to anything else. */
static int watch(struct look *look, const struct view *view, unsigned int seconds)
{
	const bool terminal = isatty(STDOUT_FILENO) && !look->cli->json;
	int rc;

	for (;;) {
		if (terminal)
			fputs("\033[H\033[2J", stdout);
		rc = show(look, view);
		if (rc != EXIT_OK)
			return rc;
		sleep(seconds);
		if (!terminal && !look->cli->json)
			putchar('\n');
	}
}

struct options {
	const struct view *view;
	bool watch;
	const char *seconds; /* NULL: not given */
};

static int parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{ "view", required_argument, NULL, 'v' },
		{ "watch", optional_argument, NULL, 'w' },
		{ 0 },
	};
	char quoted[QUOTED_TEXT];
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'w') {
			options->watch = true;
			options->seconds = optarg;
		} else if (c == 'v')
			options->view = find_view(optarg);
		else
			return EXIT_USAGE;
		if (!options->view) {
			fprintf(stderr,
				"sluice hist: --view: %s: orders, runs, ages or almost-free\n",
				text_quote(optarg, quoted));
			return EXIT_USAGE;
		}
	}
	/* "--watch 5" besides "--watch=5" */
	if (optind < argc && options->watch && !options->seconds)
		options->seconds = argv[optind++];
	if (optind == argc)
		return EXIT_OK;
	fprintf(stderr, "sluice hist: unexpected argument \"%s\"; try sluice --help\n",
		argv[optind]);
	return EXIT_USAGE;
}

int run_hist(const struct cli *cli, int argc, char **argv)
{
	struct options options = { .view = &views[0] };
	struct look look = { .cli = cli };
	struct errmsg err = { 0 };
	int64_t period = WATCH_DEFAULT;
	int status;

	status = parse(&options, argc, argv);
	if (status != EXIT_OK)
		return status;
	if (options.seconds && parse_int(options.seconds, 1, 3600, &period, &err) < 0) {
		fprintf(stderr, "sluice hist: --watch: %s\n", err.text);
		return EXIT_USAGE;
	}
	status = options.watch ? watch(&look, options.view, (unsigned int)period) :
				 show(&look, options.view);
	observer_close(look.observer);
	return status;
}
