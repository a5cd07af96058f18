// SPDX-License-Identifier: GPL-2.0-only
/* sluice drain: has the daemon drain, and waits for it. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sluice/config.h"
#include "sluice/control.h"
#include "sluice/drain.h"
#include "sluice/json.h"
#include "sluice/units.h"
#include "picture.h"

#define EXIT_TIMEOUT 2 /* so that of wrong usage is EXIT_FAILED here */
#define POLL_NS	     (500 * NSEC_PER_MSEC)
#define MAX_BUSY     20 /* in a row: sluiced takes over a connection that idled for 5 s */

struct drain_options {
	int64_t order; /* ORDER_PAGEBLOCK: the daemon's default */
	uint64_t timeout;
	bool wait, prepare, stop;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

/* From here on, also while the drain is being asked for: it must not stay behind. */
static void catch_signals(void)
{
	const struct sigaction action = { .sa_handler = interrupt };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int parse_options(int argc, char **argv, struct drain_options *options)
{
	enum { OPT_ORDER = 1, OPT_TIMEOUT, OPT_WAIT, OPT_PREPARE, OPT_STOP };
	static const struct option table[] = {
		{ "order", required_argument, NULL, OPT_ORDER },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "wait", no_argument, NULL, OPT_WAIT },
		{ "prepare", no_argument, NULL, OPT_PREPARE },
		{ "stop", no_argument, NULL, OPT_STOP },
		{ 0 },
	};
	struct errmsg err = { 0 };
	int c, rc = 0;

	while (!rc && (c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (c) {
		case OPT_ORDER:
			rc = parse_int(optarg, 0, SLUICE_MAX_ORDERS - 1, &options->order, &err);
			break;
		case OPT_TIMEOUT:
			rc = parse_duration(optarg, &options->timeout, &err);
			if (!rc && (options->timeout < NSEC_PER_MSEC ||
				    options->timeout > DRAIN_TIMEOUT_MAX_NS))
				rc = errmsg_set(&err, -ERANGE, "timeout %s is not from 1ms to 1d",
						optarg);
			break;
		case OPT_WAIT:
			options->wait = true;
			break;
		case OPT_PREPARE:
			options->prepare = true;
			break;
		case OPT_STOP:
			options->stop = true;
			break;
		default: /* getopt_long() has said it */
			return -EINVAL;
		}
	}
	if (!rc && optind < argc)
		rc = errmsg_set(&err, -EINVAL, "unexpected argument \"%s\"", argv[optind]);
	if (!rc && options->stop && argc > 2)
		rc = errmsg_set(&err, -EINVAL, "--stop goes with no other option");
	if (rc)
		fprintf(stderr, "sluice drain: %s; try sluice --help\n", err.text);
	return rc;
}

static const char *outcome(const json_t *status)
{
	const char *name = json_string_value(json_object_get(status, "drain"));

	return name ? name : "";
}

static bool is(const json_t *status, const char *name)
{
	return !strcmp(outcome(status), name);
}

static const char *bytes(const json_t *object, const char *key, char buf[UNITS_TEXT])
{
	return format_size(member(object, key), buf);
}

static const char *elapsed(const json_t *status, char buf[UNITS_TEXT])
{
	/* tenths of a second are enough */
	return format_duration(member(status, "elapsed_ms") / 100 * 100 * NSEC_PER_MSEC, buf);
}

/*
 * On a terminal one line that is written over; elsewhere a line per change. The estimate is
 * the kernel's delay times the passes that its budget takes for the longest list.
 */
static void show_progress(const json_t *status, bool terminal, uint64_t *shown)
{
	const json_t *progress = json_object_get(status, "progress");
	char left[UNITS_TEXT], began[UNITS_TEXT], rest[UNITS_TEXT], gone[UNITS_TEXT];
	const uint64_t bytes_left = member(progress, "left_bytes");

	if (!json_is_object(progress) || (!terminal && bytes_left == *shown))
		return;
	*shown = bytes_left;
	printf("%s%s: %s of %s left, at most %" PRIu64 " passes, about %s%s", terminal ? "\r" : "",
	       elapsed(status, gone), format_size(bytes_left, left),
	       bytes(progress, "initial_bytes", began), member(progress, "passes_left"),
	       format_duration(member(progress, "estimate_ms") * NSEC_PER_MSEC, rest),
	       terminal ? "\033[K" : "\n");
	fflush(stdout);
}

static void print_residue(const json_t *progress)
{
	static const struct {
		const char *key, *what;
	} reasons[] = {
		{ "waiting_bytes", "not reported: waiting for a pass" },
		{ "changed_bytes", "not reported: changed meanwhile (freed, or split off, too "
				   "recently for a pass)" },
		{ "in_flight_bytes", "on its way to the host, or just allocated" },
		{ "gated_bytes",
		  "not reported: behind a zone's gate (the zone has too little free memory)" },
		{ "below_order_bytes", "not reported: in extents below the order" },
	};
	const json_t *residue = json_object_get(progress, "residue");
	char size[UNITS_TEXT];

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (member(residue, reasons[i].key))
			print_field(stdout, bytes(residue, reasons[i].key, size), "%s",
				    reasons[i].what);
}

static void print_end(const json_t *status)
{
	const json_t *progress = json_object_get(status, "progress");
	char left[UNITS_TEXT], began[UNITS_TEXT], gone[UNITS_TEXT];
	const char *reason = json_string_value(json_object_get(status, "reason"));
	const char *how = outcome(status);
	const uint64_t kicks = member(progress, "kicks");

	if (is(status, "dry"))
		how = "drained";
	else if (is(status, "timeout"))
		how = "time-out";
	elapsed(status, gone);
	if (is(status, "failed") || !json_is_object(progress))
		print_field(stdout, how, "order %" PRIu64 ", %s: %s", member(status, "order"), gone,
			    reason ? reason : "");
	else
		print_field(stdout, how, "order %" PRIu64 ", %s, %" PRIu64 " kick%s: %s of %s left",
			    member(status, "order"), gone, kicks, kicks == 1 ? "" : "s",
			    bytes(progress, "left_bytes", left),
			    bytes(progress, "initial_bytes", began));
	print_residue(progress);
}

static int finish(const struct cli *cli, const json_t *status)
{
	if (cli->json)
		json_print(status, true, stdout);
	else
		print_end(status);
	if (is(status, "timeout"))
		return EXIT_TIMEOUT;
	return is(status, "dry") ? EXIT_OK : EXIT_FAILED;
}

static void pause_for(uint64_t ns)
{
	const struct timespec time = { (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };

	nanosleep(&time, NULL); /* a signal ends it early */
}

/* Waits for the end of the drain that *status is about, and replaces it. */
static int wait_for_end(const struct cli *cli, json_t **status, struct errmsg *err)
{
	const bool terminal = isatty(STDOUT_FILENO);
	const uint64_t id = member(*status, "id");
	uint64_t shown = UINT64_MAX;
	unsigned int busy = 0;
	int rc = 0;

	while (!rc && is(*status, "running")) {
		json_t *next;

		if (!cli->json)
			show_progress(*status, terminal, &shown);
		if (!interrupted || busy)
			pause_for(POLL_NS);
		rc = ask_daemon(cli, interrupted ? REQUEST_DRAIN_STOP : REQUEST_DRAIN_STATUS, &next,
				err);
		busy = rc == -EBUSY ? busy + 1 : 0;
		if (rc == -EINTR || (rc == -EBUSY && busy <= MAX_BUSY)) {
			rc = 0;
			continue;
		}
		if (rc)
			break;
		json_decref(*status);
		*status = next;
		if (member(next, "id") != id)
			rc = errmsg_set(err, -ECANCELED,
					"the drain is gone: sluiced was started anew, or another "
					"drain has begun");
	}
	if (terminal && !cli->json && shown != UINT64_MAX)
		fputs("\r\033[K", stdout);
	return rc;
}

static int begin(const struct cli *cli, const struct drain_options *options, json_t **ret,
		 struct errmsg *err)
{
	json_t *request = json_pack("{s:s, s:I, s:b}", "request", REQUEST_DRAIN, "timeout_ms",
				    (json_int_t)(options->timeout / NSEC_PER_MSEC), "prepare",
				    options->prepare);
	int rc;

	if (options->order != ORDER_PAGEBLOCK)
		json_object_set_new(request, "order", json_integer(options->order));
	rc = ask_daemon_json(cli, request, ret, err);
	json_decref(request);
	if (rc == -ENOENT)
		errmsg_prefix(err, rc, "drain: needs the daemon, in mode = \"control\"");
	return rc;
}

static int report_begin(const struct cli *cli, const json_t *status)
{
	char timeout[UNITS_TEXT];

	if (cli->json)
		json_print(status, true, stdout);
	else
		printf("drain at order %" PRIu64 " begun; it ends after %s at the latest: see "
		       "sluice status\n",
		       member(status, "order"),
		       format_duration(member(status, "timeout_ms") * NSEC_PER_MSEC, timeout));
	return EXIT_OK;
}

static int run_stop(const struct cli *cli)
{
	struct errmsg err = { 0 };
	json_t *status;

	if (ask_daemon(cli, REQUEST_DRAIN_STOP, &status, &err) < 0)
		return fail(cli, err.text);
	if (cli->json)
		json_print(status, true, stdout);
	else if (is(status, "none"))
		puts("there was no drain");
	else
		print_end(status);
	json_decref(status);
	return EXIT_OK;
}

int run_drain(const struct cli *cli, int argc, char **argv)
{
	struct drain_options options = { .order = ORDER_PAGEBLOCK, .timeout = DRAIN_TIMEOUT_NS };
	struct errmsg err = { 0 };
	json_t *status = NULL;
	int rc, code;

	if (parse_options(argc, argv, &options) < 0)
		return EXIT_FAILED;
	if (options.stop)
		return run_stop(cli);
	if (options.wait)
		catch_signals();
	rc = begin(cli, &options, &status, &err);
	if (!rc && options.wait)
		rc = wait_for_end(cli, &status, &err);
	if (rc)
		code = fail(cli, err.text);
	else
		code = options.wait ? finish(cli, status) : report_begin(cli, status);
	json_decref(status);
	return code;
}
