// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs an experiment: block by block, period by period. A period that something disturbs is not
 * recorded, and its block is measured again from its beginning; what can't go on is stopped. In
 * any case sluiced's own configuration returns: asked for, or when the lease ends.
 */
#include "ab.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "sluice/control.h"
#include "sluice/units.h"

#define RETRY_NS	   NSEC_PER_SEC
#define DAEMON_PATIENCE_NS (60 * NSEC_PER_SEC) /* for sluiced to come back */
#define MOST_BROKEN	   20		       /* blocks in a row */

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	interrupted = number;
}

void ab_catch_signals(void)
{
	const struct sigaction action = { .sa_handler = interrupt };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL); /* the reader of the progress may go */
}

bool ab_interrupted(void)
{
	return interrupted;
}

int ab_stopped(struct errmsg *err)
{
	return errmsg_set(err, -ECANCELED, "%s",
			  interrupted == SIGINT ? "interrupted (Ctrl-C)" :
						  "on request (sluice ab stop, or a signal)");
}

static int add_event(const struct ab_run *run, const char *what, const char *text,
		     struct errmsg *err)
{
	struct ab_event event = { .time_ms = ab_wall_ms() };

	snprintf(event.what, sizeof(event.what), "%s", what);
	snprintf(event.text, sizeof(event.text), "%s", text);
	return ab_append(run->file, ab_event_json(&event), err);
}

/* The file is the truth; what was measured is read back from it. */
static int reload(struct ab_run *run, struct errmsg *err)
{
	struct ab_experiment *loaded;
	const int rc = ab_load(run->path, &loaded, err);

	if (rc)
		return rc;
	ab_free(run->experiment);
	run->experiment = loaded;
	return 0;
}

/* -ECANCELED when it does not come back in time. */
static int wait_for_daemon(const struct ab_run *run, struct errmsg *err)
{
	const uint64_t since = monotonic_ns();
	json_t *answer;

	while (ask_daemon(run->cli, REQUEST_SAMPLE, &answer, err)) {
		if (interrupted)
			return ab_stopped(err);
		if (monotonic_ns() - since > DAEMON_PATIENCE_NS)
			return errmsg_set(err, -ECANCELED,
					  "sluiced did not come back within %.0f s",
					  (double)DAEMON_PATIENCE_NS / (double)NSEC_PER_SEC);
		poll(NULL, 0, (int)(RETRY_NS / NSEC_PER_MSEC));
	}
	json_decref(answer);
	return 0;
}

static void say_block(const struct ab_run *run, unsigned int block)
{
	char line[AB_PROGRESS];
	const unsigned int length = ab_block_length(run->experiment->plan.design);

	if (run->live || run->cli->json)
		return;
	ab_progress(run->experiment, (block + 1) * length - 1, "done", run->estimate, line);
	printf("%s\n", line);
	fflush(stdout);
}

/* The periods of one block that are not measured yet. */
static int run_block(struct ab_run *run, unsigned int block, struct errmsg *err)
{
	const unsigned int length = ab_block_length(run->experiment->plan.design);
	int rc = 0;

	for (unsigned int i = 0; !rc && i < length; i++) {
		rc = ab_run_period(run, block * length + i, err);
		if (!rc)
			rc = reload(run, err);
	}
	if (!rc) {
		ab_estimate(run->experiment, run->estimate);
		say_block(run, block);
	}
	return rc;
}

static int run_blocks(struct ab_run *run, struct errmsg *err)
{
	const unsigned int length = ab_block_length(run->experiment->plan.design);
	unsigned int block = run->experiment->nr_periods / length, broken = 0;
	int rc = 0;

	while (!rc && block < run->experiment->plan.blocks) {
		rc = run_block(run, block, err);
		if (!rc) {
			block++;
			broken = 0;
			continue;
		}
		if (rc != -EAGAIN)
			break;
		if (run->live)
			fputs("\r\033[K", stdout);
		fprintf(stderr, "sluice: block %u is measured again: %s\n", block + 1, err->text);
		rc = add_event(run, "interrupted", err->text, err);
		if (!rc && ++broken == MOST_BROKEN)
			rc = errmsg_set(err, -ECANCELED, "block %u was interrupted %d times",
					block + 1, MOST_BROKEN);
		if (!rc)
			rc = wait_for_daemon(run, err);
	}
	return rc;
}

int ab_loop(struct ab_run *run, struct errmsg *err)
{
	char why[sizeof(err->text)];
	int rc;

	rc = run_blocks(run, err);
	ab_end_arm(run->cli, run->experiment->id);
	if (run->live)
		fputs("\r\033[K", stdout);
	if (rc && rc != -ECANCELED)
		return rc; /* the file could not be written, say: it can be gone on with */
	snprintf(why, sizeof(why), "%s", rc ? err->text : "all blocks are measured");
	rc = add_event(run, rc ? "stopped" : "finished", why, err);
	return rc ? rc : reload(run, err);
}
