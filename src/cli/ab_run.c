// SPDX-License-Identifier: GPL-2.0-only
/* sluice ab run: begins an experiment, or goes on with one. */
#include "ab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sluice/config.h"
#include "sluice/file.h"
#include "sluice/json.h"
#include "sluice/units.h"

#define LEASE_NS      (30 * NSEC_PER_SEC)
#define LEASE_SAMPLES 5 /* that may be late before the lease ends */

/* The experiment's file is JSON, which holds no other text. */
static int check_encoding(const char *path, const char *text, struct errmsg *err)
{
	json_t *json = json_string(text);

	if (!json)
		return errmsg_set(err, -EILSEQ, "\"%s\": it is not in UTF-8, in a comment, say",
				  path);
	json_decref(json);
	return 0;
}

/* The configuration's text; it has to be right. */
static int read_arm(const char *path, char **ret, struct errmsg *err)
{
	char *errors = NULL;
	struct config config;
	size_t size = 0;
	FILE *out = open_memstream(&errors, &size);
	int fd, rc;

	if (!out)
		return errmsg_set(err, -ENOMEM, "memory for messages");
	rc = config_load(path, &config, out);
	fclose(out);
	/* all of them, without the end of the last line */
	if (rc)
		rc = errmsg_set(err, rc, "%.*s", (int)(size ? size - 1 : 0), errors);
	free(errors);
	if (rc)
		return rc;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	rc = fd < 0 ? -errno : fd_read_alloc(fd, (size_t)CONFIG_MAX_BYTES, ret);
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		return errmsg_set(err, rc, "\"%s\": %s", path, strerror(-rc));
	return check_encoding(path, *ret, err);
}

/* A copy, so that the arm stays what it was when the experiment began. */
static int write_copy(const char *path, const char *text, struct errmsg *err)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc;

	if (fd < 0)
		return errmsg_set(err, -errno, "\"%s\": %m", path);
	rc = *text ? fd_write(fd, path, text, err) : 0;
	close(fd);
	return rc;
}

static int write_copies(struct ab_run *run, const char *directory, struct errmsg *err)
{
	static const char *const suffixes[] = { ".A.conf", ".B.conf" };
	const struct ab_experiment *experiment = run->experiment;
	int rc = 0;

	for (int arm = 0; !rc && arm < AB_ARMS; arm++) {
		rc = ab_path(directory, experiment->id, suffixes[arm], run->configs[arm], err);
		if (!rc)
			rc = write_copy(run->configs[arm], experiment->arm_text[arm], err);
	}
	return rc;
}

static int open_sources(struct ab_run *run, struct errmsg *err)
{
	const struct ab_experiment *experiment = run->experiment;
	int rc = 0;

	for (unsigned int i = 0; !rc && i < experiment->nr_outcomes; i++) {
		const struct ab_outcome *outcome = &experiment->outcomes[i];

		if (!outcome->command[0])
			continue;
		rc = metric_open(outcome->command, experiment->metric_timeout,
				 &run->metrics[run->nr_metrics], err);
		run->nr_metrics += !rc;
	}
	if (!rc && experiment->host_feed[0])
		rc = feed_open(experiment->host_feed, &run->feed, err);
	return rc;
}

static void close_run(struct ab_run *run)
{
	for (unsigned int i = 0; i < run->nr_metrics; i++)
		metric_close(run->metrics[i]);
	feed_close(run->feed);
	if (run->file >= 0)
		close(run->file);
	if (run->root >= 0)
		close(run->root);
	ab_free(run->experiment);
}

/* Whether sluiced would take both, before anything is written that says so. */
static int check_arms(const struct ab_run *run, struct errmsg *err)
{
	for (int arm = AB_A; arm < AB_ARMS; arm++) {
		const int rc = ab_check_arm(run->cli, run->experiment->id, run->configs[arm], err);

		if (rc == -ENOENT)
			return errmsg_prefix(err, rc, "an experiment needs the daemon");
		if (rc)
			return errmsg_prefix(err, rc, "arm %c", arm == AB_A ? 'A' : 'B');
	}
	return 0;
}

static void name_by_time(struct ab_experiment *experiment)
{
	const time_t now = (time_t)(experiment->created_ms / 1000);
	struct tm local;

	if (!experiment->id[0])
		strftime(experiment->id, sizeof(experiment->id), "%Y%m%d-%H%M%S",
			 localtime_r(&now, &local));
}

static int prepare_new(struct ab_run *run, const struct ab_arguments *arguments, struct errmsg *err)
{
	struct ab_experiment *experiment = run->experiment;
	int rc = 0;

	name_by_time(experiment);
	for (int arm = 0; !rc && arm < AB_ARMS; arm++) {
		if (strlen(arguments->arms[arm]) >= sizeof(experiment->arm_file[arm]))
			return errmsg_set(err, -ENAMETOOLONG, "\"%s\": too long",
					  arguments->arms[arm]);
		snprintf(experiment->arm_file[arm], sizeof(experiment->arm_file[arm]), "%s",
			 arguments->arms[arm]);
		rc = read_arm(arguments->arms[arm], &experiment->arm_text[arm], err);
	}
	if (!rc)
		rc = ab_path(arguments->directory, experiment->id, ".jsonl", run->path, err);
	if (!rc && !access(run->path, F_OK))
		rc = errmsg_set(err, -EEXIST,
				"\"%s\" is there: choose another --name, or go on with it by "
				"--resume=%s",
				run->path, experiment->id);
	return rc;
}

/* -EXDEV, -ESTALE: what was measured can be reported, but not gone on with. */
static int check_guest(const struct ab_experiment *experiment, const struct ab_guest *guest,
		       const char *path, struct errmsg *err)
{
	if (strcmp(experiment->guest.machine, guest->machine))
		return errmsg_set(err, -EXDEV,
				  "%s is of another guest: run there what is left of it, or see "
				  "what was measured with sluice ab report %s",
				  path, path);
	if (strcmp(experiment->guest.boot, guest->boot))
		return errmsg_set(err, -ESTALE,
				  "%s: this guest was started anew behind period %u of %u: after "
				  "that nothing is comparable; see what was measured with "
				  "sluice ab report %s",
				  path, experiment->nr_periods, ab_periods(&experiment->plan),
				  path);
	if (experiment->nr_events &&
	    !strcmp(experiment->events[experiment->nr_events - 1].what, "finished"))
		return errmsg_set(err, -EALREADY, "%s is finished: see sluice ab report %s", path,
				  path);
	return 0;
}

static int prepare_resume(struct ab_run *run, const struct ab_arguments *arguments,
			  struct errmsg *err)
{
	struct ab_guest guest;
	int rc;

	ab_free(run->experiment);
	run->experiment = NULL;
	rc = ab_find(arguments->directory, arguments->resume[0] ? arguments->resume : NULL,
		     run->path, err);
	if (!rc)
		rc = ab_load(run->path, &run->experiment, err);
	if (!rc)
		rc = ab_guest_read(run->root, &guest, err);
	if (!rc)
		rc = check_guest(run->experiment, &guest, run->path, err);
	return rc;
}

static int append_event(const struct ab_run *run, const char *what, struct errmsg *err)
{
	struct ab_event event = { .time_ms = ab_wall_ms() };

	snprintf(event.what, sizeof(event.what), "%s", what);
	return ab_append(run->file, ab_event_json(&event), err);
}

/* From here on the experiment is under way. */
static int begin(struct ab_run *run, const struct ab_arguments *arguments, struct errmsg *err)
{
	struct ab_experiment *experiment = run->experiment;
	const bool resumed = arguments->resume;
	int rc;

	run->lease = experiment->sample * LEASE_SAMPLES > LEASE_NS ?
			     experiment->sample * LEASE_SAMPLES :
			     LEASE_NS;
	rc = write_copies(run, arguments->directory, err);
	if (!rc)
		rc = open_sources(run, err);
	if (!rc)
		rc = check_arms(run, err);
	if (!rc && !resumed)
		rc = ab_guest_read(run->root, &experiment->guest, err);
	if (!rc)
		rc = resumed ? ab_reopen(run->path, &run->file, err) :
			       ab_create(run->path, experiment, &run->file, err);
	if (!rc)
		rc = append_event(run, resumed ? "resumed" : "started", err);
	return rc;
}

/* mkdir -p */
static int make_directory(const char *path, struct errmsg *err)
{
	char part[AB_PATH];
	const char *slash = path;

	if (strlen(path) >= sizeof(part))
		return errmsg_set(err, -ENAMETOOLONG, "\"%s\": too long", path);
	do {
		slash = strchr(slash + 1, '/');
		snprintf(part, sizeof(part), "%.*s",
			 slash ? (int)(slash - path) : (int)strlen(path), path);
		if (mkdir(part, 0755) && errno != EEXIST)
			return errmsg_set(err, -errno, "\"%s\": %m", part);
	} while (slash);
	return 0;
}

static int report(const struct cli *cli, const struct ab_experiment *experiment, const char *path)
{
	struct ab_result *result;
	json_t *json;

	if (ab_analyse(experiment, AB_RESAMPLES, &result))
		return fail(cli, "no memory for the analysis");
	if (cli->json) {
		json = ab_report_json(experiment, result);
		json_print(json, true, stdout);
		json_decref(json);
	} else {
		ab_report_text(experiment, result, stdout);
		printf("\n%s has it all; with plots: sluice ab report --html PAGE %s\n", path,
		       experiment->id);
	}
	ab_result_free(result);
	return EXIT_OK;
}

static int print_schedule(const struct cli *cli, const struct ab_experiment *experiment)
{
	json_t *json;

	if (!cli->json) {
		ab_print_schedule(experiment, stdout);
		fflush(stdout);
		return EXIT_OK;
	}
	json = ab_header_json(experiment);
	json_print(json, true, stdout);
	json_decref(json);
	return EXIT_OK;
}

static int run_all(struct ab_run *run, const struct ab_arguments *arguments, struct errmsg *err)
{
	int lock = -1, rc;

	run->root = root_open("/", err);
	if (run->root < 0)
		return run->root;
	rc = make_directory(arguments->directory, err);
	if (!rc)
		rc = ab_lock(arguments->directory, &lock, err);
	if (!rc)
		rc = arguments->resume ? prepare_resume(run, arguments, err) :
					 prepare_new(run, arguments, err);
	if (!rc)
		rc = begin(run, arguments, err);
	if (!rc && !run->cli->json)
		print_schedule(run->cli, run->experiment);
	if (!rc)
		rc = ab_loop(run, err);
	if (lock >= 0)
		close(lock);
	return rc;
}

int ab_run(const struct cli *cli, int argc, char **argv)
{
	struct ab_run run = { .cli = cli, .root = -1, .file = -1 };
	struct ab_arguments arguments;
	struct errmsg err = { 0 };
	int code, rc;

	run.experiment = calloc(1, sizeof(*run.experiment));
	if (!run.experiment)
		return fail(cli, "no memory for an experiment");
	if (ab_options(argc, argv, &arguments, run.experiment, &err)) {
		fprintf(stderr, "sluice ab run: %s; try man sluice\n", err.text);
		ab_free(run.experiment);
		return EXIT_USAGE;
	}
	if (arguments.schedule_only) {
		rc = prepare_new(&run, &arguments, &err);
		code = rc ? fail(cli, err.text) : print_schedule(cli, run.experiment);
	} else if (geteuid()) {
		code = fail(cli, "an experiment needs root: it puts configurations in force");
	} else {
		run.live = !cli->json && isatty(STDOUT_FILENO);
		ab_catch_signals();
		rc = run_all(&run, &arguments, &err);
		code = rc ? fail(cli, err.text) : report(cli, run.experiment, run.path);
	}
	close_run(&run);
	return code;
}
