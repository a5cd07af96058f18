// SPDX-License-Identifier: GPL-2.0-only
/* Carries decisions out. Knows how, not why. */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/confined.h"
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
	int rc;

	daemon->let_go = false;
	if (daemon->config.mode != MODE_CONTROL || daemon->knobs)
		return 0;
	rc = knobs_open(daemon->root, daemon->runtime_dir, &daemon->knobs, err);
	if (!rc)
		actuators_begin(daemon);
	return rc;
}

static void give_back(struct daemon *daemon)
{
	struct errmsg err = { 0 };
	char *report = NULL;
	size_t size;
	FILE *lines;

	lines = open_memstream(&report, &size);
	if (knobs_restore(daemon->knobs, lines, &err) < 0)
		log_error("%s; run \"sluice restore\" when the cause is gone", err.text);
	if (lines) {
		fclose(lines);
		log_report(report);
		free(report);
	}
}

/* The knobs stay open whatever the mode: they know what someone else wrote. */
int act_anew(struct daemon *daemon, struct errmsg *err)
{
	if (!daemon->knobs)
		return daemon->let_go ? 0 : act_begin(daemon, err);
	act_check_foreign(daemon); /* what someone else wrote since the last tick stays theirs */
	give_back(daemon);
	actuators_begin(daemon);
	return 0;
}

void act_end(struct daemon *daemon)
{
	if (!daemon->knobs)
		return;
	give_back(daemon);
	knobs_close(daemon->knobs);
	daemon->knobs = NULL;
}

void act_let_go(struct daemon *daemon, const char *reason)
{
	daemon->let_go = true;
	snprintf(daemon->let_go_reason, sizeof(daemon->let_go_reason), "%s", reason);
	daemon->policy = (struct policy_state){ 0 };
}

/* The knob that decides; what others do does not matter while it can't be written. */
bool act_blocked(const struct daemon *daemon, uint64_t now, char *reason, size_t size)
{
	const struct actuator *order = &daemon->actuators[ACTUATOR_ORDER];
	char wait[UNITS_TEXT];

	if (!daemon->knobs || !daemon->reporting.has_order || breaker_allows(&order->breaker, now))
		return false;
	snprintf(reason, size, "breaker: %s failed %u times in a row, tried again in %s: %s",
		 strrchr(KNOB_REPORTING_ORDER, '/') + 1, order->breaker.failures,
		 format_duration(breaker_wait(&order->breaker, now), wait), order->trouble);
	return true;
}

/* A foreign write of a knob of reporting ends our control, that of another one does not. */
static void foreign_write(struct daemon *daemon, const struct errmsg *err)
{
	if (knobs_lost(daemon->knobs, KNOB_REPORTING_ORDER) ||
	    knobs_lost(daemon->knobs, KNOB_REPORTING_DELAY)) {
		log_warn("%s; sluice lets go of it until the next reload", err->text);
		act_let_go(daemon, err->text);
	} else {
		log_warn("%s; sluice leaves it alone until the next reload, and goes on",
			 err->text);
	}
}

bool act_lost_any(const struct daemon *daemon)
{
	bool lost = daemon->let_go;

	for (unsigned int i = 0; daemon->knobs && i < daemon->config.nr_extra; i++)
		lost = lost || knobs_lost(daemon->knobs, daemon->config.extra[i].path + 1);
	return lost;
}

void act_check_foreign(struct daemon *daemon)
{
	struct errmsg err = { 0 };

	while (daemon->knobs && !daemon->let_go && knobs_check(daemon->knobs, &err) == -EBUSY)
		foreign_write(daemon, &err);
}

/* Sets a knob that may be set now. Trouble is noted. */
static int turn(struct daemon *daemon, unsigned int id, const char *path, int64_t value)
{
	struct errmsg err = { 0 };
	int rc;

	rc = id >= ACTUATOR_EXTRA ? confined_check(daemon->root, path, &err) : 0;
	if (!rc)
		rc = knobs_set(daemon->knobs, path, value, &err);
	if (rc == -EBUSY && knobs_lost(daemon->knobs, path)) {
		foreign_write(daemon, &err);
		return rc;
	}
	/* left alone with its old value, not with one that was meant for another time */
	if (actuator_note(daemon, id, rc, &err) &&
	    knobs_release(daemon->knobs, path, NULL, &err) < 0)
		log_error("%s", err.text);
	return rc;
}

static void turn_extra(struct daemon *daemon, unsigned int i, const struct decision *decision)
{
	const struct topology *topology = observer_topology(daemon->observer);
	const struct config_extra *extra = &daemon->config.extra[i];
	const char *path = extra->path + 1;
	const unsigned int id = ACTUATOR_EXTRA + i;
	int64_t value = (int64_t)extra->hold;

	if (decision->action == POLICY_RELEASE)
		value = config_extra_release(extra, decision->order, (int)topology->pageblock_order,
					     (int)topology->highest_order);
	if (!knobs_lost(daemon->knobs, path) && actuator_allowed(daemon, id) &&
	    actuator_there(daemon, id))
		turn(daemon, id, path, value);
}

/* Whether the rest may follow. */
static bool turn_all(struct daemon *daemon, const struct decision *decision)
{
	const struct reporting *reporting = &daemon->reporting;

	/* the delay is sampled when a pass is queued: it goes first */
	if (decision->delay && reporting->has_delay && actuator_allowed(daemon, ACTUATOR_DELAY) &&
	    turn(daemon, ACTUATOR_DELAY, KNOB_REPORTING_DELAY,
		 (int64_t)(decision->delay / NSEC_PER_MSEC)) < 0)
		return false;
	for (unsigned int i = 0; i < daemon->config.nr_extra; i++)
		turn_extra(daemon, i, decision);
	return !reporting->has_order ||
	       turn(daemon, ACTUATOR_ORDER, KNOB_REPORTING_ORDER, decision->order) == 0;
}

static int fire(struct daemon *daemon, struct errmsg *err)
{
	const struct trigger trigger = trigger_of(&daemon->config);
	const int rc = trigger_fire(daemon->root, &trigger, err);

	if (!rc)
		daemon->tally.triggers++;
	actuator_note(daemon, ACTUATOR_TRIGGER, rc, err);
	return rc;
}

static int kick(struct daemon *daemon, struct errmsg *err)
{
	const struct topology *topology = observer_topology(daemon->observer);
	struct reporting now; /* the limit may have been written since the last decision */
	int rc;

	reporting_read(daemon->root, topology, &now);
	rc = kick_at(topology, reporting_order_limit(&now, topology), err);
	if (!rc)
		daemon->tally.kicks++;
	actuator_note(daemon, ACTUATOR_KICK, rc, err);
	return rc;
}

int act_kick(struct daemon *daemon, bool on_request, struct errmsg *err)
{
	if (has_trigger(&daemon->config) &&
	    (on_request || actuator_allowed(daemon, ACTUATOR_TRIGGER)) &&
	    actuator_there(daemon, ACTUATOR_TRIGGER) && fire(daemon, err) == 0)
		return 0;
	if (on_request || actuator_allowed(daemon, ACTUATOR_KICK))
		return kick(daemon, err);
	return -EAGAIN;
}

void act(struct daemon *daemon, const struct decision *decision)
{
	struct errmsg err = { 0 };

	if (decision->action == POLICY_LEAVE || daemon->let_go || !daemon->knobs)
		return;
	if (turn_all(daemon, decision) && decision->kick)
		act_kick(daemon, false, &err);
}
