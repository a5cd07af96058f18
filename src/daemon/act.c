// SPDX-License-Identifier: GPL-2.0-only
/* Carries decisions out. Knows how, not why. */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/kick.h"
#include "sluice/log.h"
#include "sluice/units.h"

/* The restore's report goes to the log, line by line. */
static void log_report(char *report)
{
	char *line, *save = NULL;

	for (line = strtok_r(report, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		log_info("%s", line);
}

int act_begin(struct daemon *daemon, struct errmsg *err)
{
	daemon->let_go = false;
	daemon->trouble[0] = '\0';
	if (daemon->config.mode != MODE_CONTROL || daemon->knobs)
		return 0;
	return knobs_open(daemon->root, daemon->runtime_dir, &daemon->knobs, err);
}

void act_end(struct daemon *daemon)
{
	struct errmsg err = { 0 };
	char *report = NULL;
	size_t size;
	FILE *lines;

	if (!daemon->knobs)
		return;
	lines = open_memstream(&report, &size);
	if (knobs_restore(daemon->knobs, lines, &err) < 0)
		log_error("%s; run \"sluice restore\" when the cause is gone", err.text);
	if (lines) {
		fclose(lines);
		log_report(report);
		free(report);
	}
	knobs_close(daemon->knobs);
	daemon->knobs = NULL;
}

void act_let_go(struct daemon *daemon, const char *reason)
{
	daemon->let_go = true;
	snprintf(daemon->let_go_reason, sizeof(daemon->let_go_reason), "%s", reason);
	daemon->policy = (struct policy_state){ 0 };
}

/* The same trouble comes back with every decision: it is logged once. */
static void complain(struct daemon *daemon, const struct errmsg *err)
{
	if (!strcmp(daemon->trouble, err->text))
		return;
	log_error("%s", err->text);
	snprintf(daemon->trouble, sizeof(daemon->trouble), "%s", err->text);
}

/* One knob; a foreign write ends our control, other trouble is logged once. */
static int turn(struct daemon *daemon, const char *path, int64_t value)
{
	struct errmsg err = { 0 };
	int rc;

	rc = knobs_set(daemon->knobs, path, value, &err);
	if (!rc)
		return 0;
	if (rc == -EBUSY) {
		log_warn("%s; sluice lets go of it until the next reload", err.text);
		act_let_go(daemon, err.text);
	} else {
		complain(daemon, &err);
	}
	return rc;
}

int act_kick(struct daemon *daemon, struct errmsg *err)
{
	const struct topology *topology = observer_topology(daemon->observer);
	struct reporting now; /* the limit may have been written since the last decision */
	int rc;

	reporting_read(daemon->root, topology, &now);
	rc = kick_at(topology, reporting_order_limit(&now, topology), err);
	if (!rc)
		daemon->tally.kicks++;
	return rc;
}

void act(struct daemon *daemon, const struct decision *decision)
{
	struct errmsg err = { 0 };

	if (decision->action == POLICY_LEAVE || daemon->let_go || !daemon->knobs)
		return;
	/* the delay is sampled when a pass is queued: it goes first */
	if (decision->delay && daemon->reporting.has_delay &&
	    turn(daemon, KNOB_REPORTING_DELAY, (int64_t)(decision->delay / NSEC_PER_MSEC)) < 0)
		return;
	if (daemon->reporting.has_order && turn(daemon, KNOB_REPORTING_ORDER, decision->order) < 0)
		return;
	if (decision->kick && act_kick(daemon, &err) < 0)
		complain(daemon, &err);
}
