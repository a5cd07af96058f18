// SPDX-License-Identifier: GPL-2.0-only
/* sluice ab: its verbs, and those that only look. */
#include "ab.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "picture.h"
#include "sluice/control.h"
#include "sluice/file.h"
#include "sluice/json.h"
#include "sluice/units.h"

#define STOP_PATIENCE_NS (60 * NSEC_PER_SEC)
#define POLL_NS		 (100 * NSEC_PER_MSEC)
#define PLAN_LABEL	 15 /* names of our own outcomes fit */
#define WATCH_SECONDS	 2
#define PILOT_RESAMPLES	 100 /* no interval is printed */

struct verb {
	const char *name;
	int (*run)(const struct cli *cli, int argc, char **argv);
};

static const struct verb verbs[] = {
	{ "run", ab_run },	 { "status", ab_status },    { "stop", ab_stop },
	{ "report", ab_report }, { "plan", ab_plan_blocks }, { 0 },
};

int run_ab(const struct cli *cli, int argc, char **argv)
{
	for (const struct verb *verb = verbs; argc > 1 && verb->name; verb++)
		if (!strcmp(argv[1], verb->name))
			return verb->run(cli, argc - 1, argv + 1);
	if (argc > 1)
		fprintf(stderr, "sluice ab: unknown \"%s\"; ", argv[1]);
	else
		fputs("sluice ab: ", stderr);
	fputs("known are run, status, stop, report, plan; try man sluice\n", stderr);
	return EXIT_USAGE;
}

/* Options that the verbs share; each verb says which it takes. */
struct look_options {
	const char *directory;
	const char *html;
	const char *name; /* NULL: the latest */
	double effect;
	double power;
	bool watch;
};

static int take_share(const char *name, const char *text, double *ret, struct errmsg *err)
{
	int64_t percent;
	const int rc = parse_int(text, 1, 99, &percent, err);

	if (rc)
		return errmsg_prefix(err, rc, "--%s", name);
	*ret = (double)percent / 100;
	return 0;
}

static int take_options(const char *verb, const char *allowed, int argc, char **argv,
			struct look_options *ret)
{
	static const struct option table[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "html", required_argument, NULL, 'h' },
		{ "effect", required_argument, NULL, 'e' },
		{ "power", required_argument, NULL, 'p' },
		{ "watch", no_argument, NULL, 'w' },
		{ 0 },
	};
	struct errmsg err = { 0 };
	int option, rc = 0;

	*ret = (struct look_options){ .directory = AB_DIRECTORY, .effect = 0.05, .power = 0.8 };
	optind = 0;
	while (!rc && (option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == '?')
			return EXIT_USAGE;
		if (!strchr(allowed, option))
			rc = errmsg_set(&err, -EINVAL, "\"%s\" is of no use here",
					argv[optind - 1]);
		else if (option == 'd')
			ret->directory = optarg;
		else if (option == 'h')
			ret->html = optarg;
		else if (option == 'w')
			ret->watch = true;
		else if (option == 'e')
			rc = take_share("effect", optarg, &ret->effect, &err);
		else
			rc = take_share("power", optarg, &ret->power, &err);
	}
	if (!rc && optind < argc)
		ret->name = argv[optind++];
	if (!rc && optind < argc)
		rc = errmsg_set(&err, -EINVAL, "unexpected argument \"%s\"", argv[optind]);
	if (!rc)
		return EXIT_OK;
	fprintf(stderr, "sluice ab %s: %s; try man sluice\n", verb, err.text);
	return EXIT_USAGE;
}

static int load(const struct look_options *options, char path[AB_PATH], struct ab_experiment **ret,
		struct errmsg *err)
{
	const int rc = ab_find(options->directory, options->name, path, err);

	return rc ? rc : ab_load(path, ret, err);
}

/* The same, and what follows from it. */
static int load_analysed(const struct look_options *options, unsigned int resamples,
			 struct ab_experiment **experiment, struct ab_result **result,
			 struct errmsg *err)
{
	struct ab_experiment *loaded;
	char path[AB_PATH];
	int rc;

	rc = load(options, path, &loaded, err);
	if (rc)
		return rc;
	rc = ab_analyse(loaded, resamples, result);
	if (rc) {
		ab_free(loaded);
		errmsg_set(err, rc, "no memory for the analysis");
		return rc;
	}
	*experiment = loaded;
	return 0;
}

/* --- status ---------------------------------------------------------------------------------------- */

static const struct ab_event *last_event(const struct ab_experiment *experiment)
{
	return experiment->nr_events ? &experiment->events[experiment->nr_events - 1] : NULL;
}

static const char *outcome_of(const struct ab_experiment *experiment, pid_t runner, bool rebooted)
{
	const struct ab_event *last = last_event(experiment);

	if (experiment->ended && last)
		return last->what;
	if (runner)
		return "running";
	return rebooted ? "ended by a reboot" : "interrupted";
}

static void print_ended(const struct ab_experiment *experiment, const char *state, bool rebooted)
{
	const unsigned int length = ab_block_length(experiment->plan.design);
	const struct ab_event *last = experiment->ended ? last_event(experiment) : NULL;

	print_field(stdout, "state", "%s: %u of %u blocks are measured%s%s", state,
		    experiment->nr_periods / length, experiment->plan.blocks, last ? "; " : "",
		    last ? last->text : "");
	if (!rebooted && !experiment->ended)
		print_field(stdout, "",
			    "sluiced has its own configuration back. Go on with sluice ab run "
			    "--resume=%s, or see what was measured with sluice ab report %s",
			    experiment->id, experiment->id);
	else
		print_field(stdout, "", "%ssluice ab report %s shows what was measured",
			    experiment->ended ?
				    "" :
				    "It can't be gone on with, since memory is another now; ",
			    experiment->id);
}

/* What sluiced says of the arm that is in force. */
static void print_arm(const struct cli *cli)
{
	char since[UNITS_TEXT];
	json_t *status, *arm;

	if (ask_daemon(cli, REQUEST_STATUS, &status, NULL))
		return;
	arm = json_object_get(status, "experiment");
	if (json_is_object(arm))
		print_field(stdout, "arm", "%s, for %s",
			    json_string_value(json_object_get(arm, "arm")),
			    format_duration(member(arm, "since_ms") / 1000 * NSEC_PER_SEC, since));
	else
		print_field(stdout, "arm", "none is in force");
	json_decref(status);
}

static void print_running(const struct cli *cli, const struct ab_experiment *experiment,
			  pid_t runner)
{
	char line[AB_PROGRESS], estimate[AB_PROGRESS], left[UNITS_TEXT];
	const unsigned int all = ab_periods(&experiment->plan);
	const unsigned int done = experiment->nr_periods < all ? experiment->nr_periods : all - 1;

	print_field(stdout, "state", "running as process %d, about %s left", (int)runner,
		    format_duration((all - done) * experiment->plan.period, left));
	print_arm(cli);
	ab_estimate(experiment, estimate);
	ab_progress(experiment, done, "under way", estimate, line);
	printf("\n%s\n", line);
}

static int show_status(const struct cli *cli, const struct look_options *options)
{
	struct ab_experiment *experiment;
	struct ab_guest guest = { 0 };
	struct errmsg err = { 0 };
	char path[AB_PATH];
	const char *state;
	bool rebooted;
	pid_t runner;
	json_t *json;
	int root;

	if (load(options, path, &experiment, &err))
		return fail(cli, err.text);
	root = root_open("/", NULL);
	ab_guest_read(root, &guest, NULL);
	close(root);
	runner = experiment->ended ? 0 : ab_runner(options->directory);
	rebooted = strcmp(guest.boot, experiment->guest.boot) != 0;
	state = outcome_of(experiment, runner, rebooted);
	if (cli->json) {
		json = ab_header_json(experiment);
		json_object_update_new(json, json_pack("{s:i, s:s, s:s, s:i, s:i, s:i}", "version",
						       JSON_VERSION, "state", state, "file", path,
						       "runner", (int)runner, "periods_done",
						       (int)experiment->nr_periods, "periods",
						       (int)ab_periods(&experiment->plan)));
		json_print(json, true, stdout);
		json_decref(json);
	} else {
		ab_print_schedule(experiment, stdout);
		if (runner)
			print_running(cli, experiment, runner);
		else
			print_ended(experiment, state, rebooted);
	}
	ab_free(experiment);
	return EXIT_OK;
}

static void pause_for(uint64_t ns)
{
	const struct timespec time = { (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };

	nanosleep(&time, NULL);
}

int ab_status(const struct cli *cli, int argc, char **argv)
{
	struct look_options options;
	int code = take_options("status", "dw", argc, argv, &options);

	if (code != EXIT_OK)
		return code;
	do {
		if (options.watch && !cli->json)
			fputs("\033[H\033[2J", stdout);
		code = show_status(cli, &options);
		fflush(stdout);
		if (options.watch)
			pause_for(WATCH_SECONDS * NSEC_PER_SEC);
	} while (options.watch && code == EXIT_OK && ab_runner(options.directory));
	return code;
}

/* --- stop ------------------------------------------------------------------------------------------ */

int ab_stop(const struct cli *cli, int argc, char **argv)
{
	struct look_options options;
	const int code = take_options("stop", "d", argc, argv, &options);
	const uint64_t since = monotonic_ns();
	pid_t runner;

	if (code != EXIT_OK)
		return code;
	runner = ab_runner(options.directory);
	if (!runner)
		return fail(cli, "no experiment is running; see sluice ab status");
	if (kill(runner, SIGTERM))
		return fail(cli, errno == EPERM ? "only root can stop an experiment" :
						  "the process that ran the experiment is gone");
	while (ab_runner(options.directory) == runner) {
		if (monotonic_ns() - since > STOP_PATIENCE_NS)
			return fail(cli, "the experiment has not ended within a minute; see "
					 "sluice ab status");
		pause_for(POLL_NS);
	}
	return show_status(cli, &options);
}

/* --- report ---------------------------------------------------------------------------------------- */

static int write_html(const struct cli *cli, const struct ab_experiment *experiment,
		      const struct ab_result *result, const char *path)
{
	struct errmsg err = { 0 };

	if (ab_report_html(experiment, result, path, &err))
		return fail(cli, err.text);
	printf("%s: written\n", path);
	return EXIT_OK;
}

int ab_report(const struct cli *cli, int argc, char **argv)
{
	struct ab_experiment *experiment;
	struct look_options options;
	struct errmsg err = { 0 };
	struct ab_result *result;
	json_t *json;
	int code = take_options("report", "dh", argc, argv, &options);

	if (code != EXIT_OK)
		return code;
	if (load_analysed(&options, AB_RESAMPLES, &experiment, &result, &err))
		return fail(cli, err.text);
	if (options.html) {
		code = write_html(cli, experiment, result, options.html);
	} else if (cli->json) {
		json = ab_report_json(experiment, result);
		json_print(json, true, stdout);
		json_decref(json);
	} else {
		ab_report_text(experiment, result, stdout);
	}
	ab_result_free(result);
	ab_free(experiment);
	return code;
}

/* --- plan ------------------------------------------------------------------------------------------ */

static void print_needed(const struct ab_experiment *experiment, const struct ab_effect *effect,
			 const struct look_options *options)
{
	const struct ab_outcome *outcome = &experiment->outcomes[effect->outcome];
	const uint64_t block = experiment->plan.period * ab_block_length(experiment->plan.design);
	char time[UNITS_TEXT];
	unsigned int blocks;

	printf("%-*s ", PLAN_LABEL, outcome->name);
	if (ab_needed(effect, options->effect, experiment->alpha, options->power, &blocks) ||
	    !isfinite(effect->level[AB_A]))
		printf("can't tell: the pilot has %u blocks with it\n", effect->n);
	else if (effect->level[AB_A] == 0)
		puts("can't tell: it was 0 with A");
	else if (!blocks)
		printf("more than %d blocks\n", AB_MAX_BLOCKS);
	else
		printf("%u blocks, %s\n", blocks, format_duration(blocks * block, time));
}

static json_t *plan_json(const struct ab_experiment *experiment, const struct ab_result *result,
			 const struct look_options *options)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < result->nr; i++) {
		const struct ab_effect *effect = &result->effects[i];
		unsigned int blocks = 0;
		const bool known = effect->level[AB_A] != 0 &&
				   !ab_needed(effect, options->effect, experiment->alpha,
					      options->power, &blocks);

		json_array_append_new(
			list, json_pack("{s:s, s:i, s:o}", "outcome",
					experiment->outcomes[effect->outcome].name, "pilot_blocks",
					(int)effect->n, "blocks",
					known && blocks ? json_integer(blocks) : json_null()));
	}
	return json_pack("{s:i, s:s, s:f, s:f, s:f, s:i, s:o}", "version", JSON_VERSION, "pilot",
			 experiment->id, "effect", options->effect, "alpha", experiment->alpha,
			 "power", options->power, "most_blocks", AB_MAX_BLOCKS, "outcomes", list);
}

int ab_plan_blocks(const struct cli *cli, int argc, char **argv)
{
	struct ab_experiment *experiment;
	struct look_options options;
	struct errmsg err = { 0 };
	struct ab_result *result;
	json_t *json;
	const int code = take_options("plan", "dep", argc, argv, &options);

	if (code != EXIT_OK)
		return code;
	if (load_analysed(&options, PILOT_RESAMPLES, &experiment, &result, &err))
		return fail(cli, err.text);
	if (cli->json) {
		json = plan_json(experiment, result, &options);
		json_print(json, true, stdout);
		json_decref(json);
	} else {
		printf("What %s varied, and a probability of %.0f %% to find a difference of\n"
		       "%.0f %% of A, take\n\n",
		       experiment->id, options.power * 100, options.effect * 100);
		for (unsigned int i = 0; i < result->nr; i++)
			print_needed(experiment, &result->effects[i], &options);
	}
	ab_result_free(result);
	ab_free(experiment);
	return EXIT_OK;
}
