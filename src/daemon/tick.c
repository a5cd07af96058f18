// SPDX-License-Identifier: GPL-2.0-only
/* Observe, decide, act: once per interval. */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/log.h"
#include "sluice/units.h"

#define SCAN_SHARE 50 /* scans may take 1/50 of a CPU at the most */

uint64_t daemon_next_tick(const struct daemon *daemon)
{
	/* an occasional full scan is no reason to look less often */
	const uint64_t stretched = pace_period(&daemon->scan_pace, SCAN_SHARE);

	if (daemon->drain.running)
		return drain_next_look(daemon, monotonic_ns());
	return daemon->config.interval > stretched ? daemon->config.interval : stretched;
}

static void refresh_reporting(struct daemon *daemon)
{
	struct errmsg err = { 0 };

	reporting_read(daemon->root, observer_topology(daemon->observer), &daemon->reporting);
	daemon->usable = !reporting_usable(&daemon->reporting, &err);
	if (!daemon->usable && strcmp(daemon->unusable, err.text)) {
		snprintf(daemon->unusable, sizeof(daemon->unusable), "%s", err.text);
		log_warn("nothing can be reported to the host: %s", err.text);
	}
	if (daemon->usable && daemon->unusable[0]) {
		daemon->unusable[0] = '\0';
		log_info("free page reporting is there now: %s", daemon->reporting.device);
	}
}

static enum scan_depth usual_depth(const struct daemon *daemon, uint64_t now)
{
	if (drain_needs_full(daemon))
		return SCAN_FULL;
	return policy_depth(&daemon->config, &daemon->policy, observer_topology(daemon->observer),
			    now);
}

/* Full scans are audits of the map. */
static bool audit_is_due(const struct daemon *daemon, uint64_t now)
{
	const uint64_t stretched = pace_period(&daemon->full_pace, SCAN_SHARE);
	const uint64_t period = daemon->config.full_interval;

	if (observer_source(daemon->observer) == SOURCE_BUDDYINFO)
		return false;
	if (!daemon->audit.time_ns || daemon->drifted)
		return true;
	return period && now - daemon->audit.time_ns >= (period > stretched ? period : stretched);
}

/* Reported bytes at the orders that every scan knows, so that depths can alternate. */
static uint64_t reported_blocks(const struct snapshot *snap)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		for (unsigned int o = snap->pageblock_order; o < snap->nr_orders; o++)
			bytes += snap->zones[i].orders[o].reported * (snap->page_size << o);
	return bytes;
}

static uint64_t max_drift_pages(const struct daemon *daemon)
{
	return daemon->config.max_drift / observer_topology(daemon->observer)->page_size;
}

static void judge_audit(struct daemon *daemon)
{
	const uint64_t worst = audit_worst(&daemon->audit);
	const bool was_untrusted = daemon->untrusted[0];

	daemon->untrusted[0] = '\0';
	if (worst <= max_drift_pages(daemon)) {
		if (was_untrusted)
			log_info("the free-extent map agrees with the kernel again");
		return;
	}
	snprintf(daemon->untrusted, sizeof(daemon->untrusted),
		 "the free-extent map is %" PRIu64 " pages off the kernel's count after a scan, "
		 "max_drift allows %" PRIu64,
		 worst, max_drift_pages(daemon));
	if (!was_untrusted)
		log_warn("%s: nothing is acted upon", daemon->untrusted);
}

int daemon_audit(struct daemon *daemon, struct errmsg *err)
{
	int rc = 0;

	/* a second look, for memory that moved during the first */
	for (int try = 0; try < 2; try++) {
		rc = observer_audit(daemon->observer, &daemon->audit, &daemon->snap, err);
		if (rc || audit_worst(&daemon->audit) <= max_drift_pages(daemon))
			break;
	}
	if (rc)
		return rc;
	daemon->drifted = false;
	pace_add(&daemon->full_pace, daemon->snap.cpu_ns);
	judge_audit(daemon);
	return 0;
}

/* Between audits events keep the map; too far off the kernel's totals, the next look is one. */
static void look_for_drift(struct daemon *daemon)
{
	struct map_totals totals;
	uint64_t off;

	if (!observer_has_events(daemon->observer) ||
	    observer_map_totals(daemon->observer, &totals, NULL) < 0)
		return;
	off = totals.map > totals.kernel ? totals.map - totals.kernel : totals.kernel - totals.map;
	daemon->drifted = off > max_drift_pages(daemon);
}

/* What the scan found wrong in the map and made right. */
static void count_repairs(struct daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->snap.nr_zones; i++) {
		const struct zone_repairs *repairs = &daemon->snap.zones[i].repairs;

		daemon->tally.wrong_blocks += repairs->wrong_blocks;
		daemon->tally.not_free_blocks += repairs->not_free;
	}
}

static int look(struct daemon *daemon, uint64_t now, struct errmsg *err)
{
	const enum scan_depth depth = usual_depth(daemon, now);
	int rc;

	if (audit_is_due(daemon, now))
		return daemon_audit(daemon, err);
	rc = observer_snapshot(daemon->observer, depth, &daemon->snap, err);
	if (rc)
		return rc;
	if (daemon->snap.depth == depth)
		pace_add(&daemon->scan_pace, daemon->snap.cpu_ns);
	look_for_drift(daemon);
	return 0;
}

static int observe(struct daemon *daemon, uint64_t now)
{
	const uint64_t before = daemon->have_snapshot ? reported_blocks(&daemon->snap) : 0;
	const uint64_t renewed = observer_refreshes(daemon->observer);
	struct errmsg err = { 0 };
	uint64_t after;
	int rc;

	for (unsigned int i = 0; daemon->have_snapshot && i < daemon->snap.nr_zones; i++) {
		const struct sluice_zone_info *zone = &daemon->snap.zones[i].info;

		observer_set_min_age(
			daemon->observer, zone->node, zone->name,
			daemon->drain.running ?
				daemon->reporting.delay_ns :
				policy_min_age(&daemon->config, zone->node, zone->name));
	}
	rc = look(daemon, now, &err);
	if (rc) {
		daemon->have_snapshot = false;
		log_error("scan: %s", err.text);
		return rc;
	}
	if (observer_refreshes(daemon->observer) != renewed)
		log_info("memory came or went: the map holds %" PRIu32 " pageblocks now",
			 observer_blocks(daemon->observer)->nr_blocks);
	after = reported_blocks(&daemon->snap);
	if (daemon->have_snapshot && after > before)
		daemon->tally.reported_bytes += after - before;
	daemon->have_snapshot = true;
	daemon->tally.scan_ns += daemon->snap.cost_ns;
	count_repairs(daemon);
	return 0;
}

/* A decision that is not the policy's to make. */
static bool decide_without_policy(struct daemon *daemon, uint64_t now, struct decision *decision)
{
	char blocked[sizeof(decision->reason)];
	const char *reason;

	if (daemon->config.mode == MODE_OBSERVE)
		reason = "mode is observe";
	else if (!daemon->usable)
		reason = daemon->unusable;
	else if (daemon->let_go)
		reason = daemon->let_go_reason;
	else if (daemon->untrusted[0])
		reason = daemon->untrusted;
	else if (act_blocked(daemon, now, blocked, sizeof(blocked)))
		reason = blocked;
	else
		return false;
	*decision = (struct decision){ .action = POLICY_LEAVE };
	snprintf(decision->reason, sizeof(decision->reason), "%s", reason);
	return true;
}

static void decide(struct daemon *daemon, uint64_t now, struct decision *decision)
{
	const struct policy_input input = {
		.snap = &daemon->snap,
		.config = &daemon->config,
		.activity = daemon->activity,
		.shape = daemon->preparer.has_shape ? &daemon->preparer.shape : NULL,
		.prepared = daemon->preparer.last,
		.now_ns = now,
		.pass_delay = daemon->reporting.delay_ns,
		.acting = daemon->config.mode == MODE_CONTROL,
		.hyperv = daemon->reporting.backend == BACKEND_HYPERV,
		.poisoned = daemon->reporting.poisoned,
	};

	if (!drain_decide(daemon, now, decision) && !decide_without_policy(daemon, now, decision))
		policy_decide(&input, &daemon->policy, decision);
	/* only kernels until 6.1 take an order that switches reporting off */
	if (decision->order >= daemon->snap.nr_orders && !daemon->reporting.off_value)
		decision->order = daemon->snap.nr_orders - 1;
}

/* "release at order 9, kick": what a decision does. */
static void describe(const struct daemon *daemon, const struct decision *decision, char *buf,
		     size_t size)
{
	const unsigned int highest = observer_topology(daemon->observer)->highest_order;
	const char *name = policy_action_name(decision->action);

	if (decision->action == POLICY_LEAVE)
		snprintf(buf, size, "%s", name);
	else if (decision->order > highest)
		snprintf(buf, size, "%s at order %u (off)", name, decision->order);
	else if (!daemon->reporting.has_order)
		snprintf(buf, size, "%s%s", name, decision->kick ? ", kick" : "");
	else
		snprintf(buf, size, "%s at order %u%s", name, decision->order,
			 decision->kick ? ", kick" : "");
}

static void log_decision(const struct daemon *daemon, const struct decision *decision)
{
	const struct decision *last = &daemon->decision;
	const bool same = daemon->decision_ns && last->action == decision->action &&
			  last->order == decision->order && last->stage == decision->stage &&
			  last->guard == decision->guard && !decision->kick;
	char what[64];

	describe(daemon, decision, what, sizeof(what));
	log_at(same ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "%s%s: %s",
	       daemon->config.mode == MODE_DRY_RUN ? "would " : "", what, decision->reason);
}

void daemon_tick(struct daemon *daemon)
{
	const uint64_t now = monotonic_ns();
	struct decision decision;

	daemon->tally.ticks++;
	refresh_reporting(daemon);
	act_check_foreign(daemon);
	if (observe(daemon, now) < 0) {
		drain_blind(daemon, now);
		return;
	}
	daemon_measure(daemon, now);
	daemon_look_at_shape(daemon, now);
	decide(daemon, now, &decision);
	log_decision(daemon, &decision);
	if (!daemon->drain.running || daemon->drain.prepare)
		daemon_prepare(daemon, now, &decision);
	else
		daemon->preparer.last = (struct prepared){ .node = -1 };
	if (daemon->config.mode == MODE_CONTROL)
		act(daemon, &decision);
	if (decision.action == POLICY_RELEASE && daemon->decision.action != POLICY_RELEASE)
		daemon->tally.releases++;
	if (decision.guard)
		daemon->tally.vetoes++;
	daemon->decision = decision;
	daemon->decision_ns = now;
}

int daemon_load(const char *path, struct config *config, char **errors)
{
	size_t size;
	FILE *out;
	int rc;

	*errors = NULL;
	out = open_memstream(errors, &size);
	if (!out)
		return -ENOMEM;
	rc = config_load(path, config, out);
	fclose(out);
	return rc;
}

char *daemon_fixed_changes(const struct daemon *daemon, const struct config *loaded)
{
	char *names = NULL;
	size_t size;
	FILE *out = open_memstream(&names, &size);

	if (!out)
		return NULL;
	config_fixed_changes(&daemon->config, loaded, out);
	fclose(out);
	return names;
}

/* What is only read at the start keeps its value, and the log says so. */
static void keep_fixed(const struct daemon *daemon, struct config *loaded)
{
	char *names = daemon_fixed_changes(daemon, loaded), *save = NULL;
	char *line = names ? strtok_r(names, "\n", &save) : NULL;

	for (; line; line = strtok_r(NULL, "\n", &save))
		log_warn("%s: %s takes effect at the next start", daemon->config_path, line);
	free(names);
	loaded->events = daemon->config.events;
}

static void take_over(struct daemon *daemon, const struct config *config)
{
	daemon->config = *config;
	daemon->preparer.probed = false;
	log_set_level((enum log_level)config->log_level);
}

/*
 * What was decided and measured so far. Sights of memory stay: they are of the guest alone; and
 * so do the quotas of the hour, which hold whatever is in force.
 */
static void forget(struct daemon *daemon)
{
	struct preparer *preparer = &daemon->preparer;

	daemon->policy = (struct policy_state){ 0 };
	daemon->decision = (struct decision){ 0 };
	daemon->decision_ns = 0;
	daemon->pressure = (struct pressure_totals){ 0 };
	daemon->churn = (struct churn_totals){ 0 };
	daemon->activity = (struct activity){ 0 };
	daemon->scan_pace = (struct pace){ 0 };
	preparer->has_shape = false;
	preparer->watch = (struct lru_watch){ 0 };
	preparer->last = (struct prepared){ 0 };
	preparer->reason[0] = '\0';
}

int daemon_begin_anew(struct daemon *daemon, const struct config *config, struct errmsg *err)
{
	take_over(daemon, config);
	forget(daemon);
	daemon->hurry = true;
	return act_anew(daemon, err);
}

void daemon_reload(struct daemon *daemon)
{
	const struct config old = daemon->config, *now = &daemon->config;
	struct errmsg err = { 0 };
	struct config loaded;
	char *errors, *line, *save = NULL;

	if (daemon_load(daemon->config_path, &loaded, &errors) < 0) {
		line = errors ? strtok_r(errors, "\n", &save) : NULL;
		for (; line; line = strtok_r(NULL, "\n", &save))
			log_error("%s", line);
		log_error("reload refused: the running configuration stays");
		free(errors);
		return;
	}
	free(errors);
	keep_fixed(daemon, &loaded);
	daemon->reloads++;
	if (!experiment_keep(daemon, &loaded))
		take_over(daemon, &loaded);
	if (now->strategy != old.strategy || now->mode != old.mode)
		daemon->policy = (struct policy_state){ 0 };
	/* a knob that was let go of is taken up again; one that is not wanted goes back */
	if (now->mode != MODE_CONTROL || act_lost_any(daemon) || now->strategy != old.strategy ||
	    config_actuators_differ(now, &old))
		act_end(daemon);
	if (act_begin(daemon, &err) < 0)
		log_error("control is off: %s", err.text);
	log_info("reloaded %s: mode %s, strategy %s", daemon->config_path,
		 config_mode_name(loaded.mode), config_strategy_name(loaded.strategy));
}
