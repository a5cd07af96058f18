// SPDX-License-Identifier: GPL-2.0-only
/* Draining on request: begins, decides in the ticks, ends, and tells clients about it. */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sluice/control.h"
#include "sluice/json.h"
#include "sluice/log.h"
#include "sluice/units.h"

#define SCAN_SHARE 10 /* scans may take 1/10 of a CPU during a drain at the most */

/* What stands against a drain, whatever its order; NULL: nothing. */
static const char *obstacle(const struct daemon *daemon)
{
	if (daemon->config.mode != MODE_CONTROL)
		return "the daemon's mode is not \"control\": it drains nothing; set mode = "
		       "\"control\" and reload it (SIGHUP)";
	if (daemon->let_go)
		return daemon->let_go_reason;
	if (!daemon->usable)
		return daemon->unusable;
	if (daemon->untrusted[0])
		return daemon->untrusted;
	if (observer_source(daemon->observer) == SOURCE_BUDDYINFO)
		return "/proc/buddyinfo alone does not show what is reported, so nothing tells "
		       "when a drain is done";
	if (!daemon->knobs)
		return "control is off: the daemon's log says why";
	return NULL;
}

/*
 * Nothing of it stays: the strategy begins anew, at once. One that touches nothing
 * leaves the order as it was before the drain.
 */
static void end(struct daemon *daemon, const char *how, const char *reason)
{
	struct drain *drain = &daemon->drain;
	struct errmsg err = { 0 };

	drain->running = false;
	drain->ended = how;
	drain->end_ns = monotonic_ns();
	if (reason != drain->reason)
		snprintf(drain->reason, sizeof(drain->reason), "%s", reason);
	log_info("drain %s: %s", how, drain->reason);
	daemon->policy = (struct policy_state){ 0 };
	if (daemon->config.strategy != STRATEGY_KERNEL || daemon->let_go)
		return;
	act_end(daemon);
	if (act_begin(daemon, &err) < 0)
		log_error("control is off: %s", err.text);
}

static uint64_t allocated(const struct daemon *daemon)
{
	const struct activity *activity = &daemon->activity;

	/* memory that came or went says nothing about what the host has */
	if (!activity->span_ns || observer_refreshes(daemon->observer) != daemon->drain.refreshes)
		return UINT64_MAX;
	return (uint64_t)((double)activity->alloc_rate * (double)activity->span_ns /
			  (double)NSEC_PER_SEC);
}

/* Time between two looks, as far as scans allow. */
static uint64_t look_ns(const struct daemon *daemon)
{
	const uint64_t wanted = drain_look_ns(daemon->reporting.delay_ns);
	const uint64_t stretched = pace_period(&daemon->scan_pace, SCAN_SHARE);

	return wanted > stretched ? wanted : stretched;
}

bool drain_decide(struct daemon *daemon, uint64_t now, struct decision *decision)
{
	struct drain *drain = &daemon->drain;
	const struct drain_input input = {
		.snap = &daemon->snap,
		.config = &daemon->config,
		.order = drain->order,
		.now_ns = now,
		.deadline_ns = drain->begin_ns + drain->timeout,
		.pass_delay = daemon->reporting.delay_ns,
		.look_ns = look_ns(daemon),
		.allocated = allocated(daemon),
	};
	const char *against;

	if (!drain->running)
		return false;
	against = obstacle(daemon);
	if (against) {
		end(daemon, "failed", against);
		return false;
	}
	drain_step(&input, &drain->state, decision, &drain->progress);
	drain->looked = true;
	drain->refreshes = observer_refreshes(daemon->observer);
	snprintf(drain->reason, sizeof(drain->reason), "%s", decision->reason);
	if (drain->progress.outcome == DRAIN_RUNNING)
		return true;
	end(daemon, drain_outcome_name(drain->progress.outcome), drain->reason);
	return false;
}

void drain_blind(struct daemon *daemon, uint64_t now)
{
	struct drain *drain = &daemon->drain;

	if (!drain->running || now - drain->begin_ns < drain->timeout)
		return;
	end(daemon, drain_outcome_name(DRAIN_TIMED_OUT),
	    "the time to drain is over, and the last scan failed");
	daemon->hurry = true;
}

bool drain_needs_full(const struct daemon *daemon)
{
	return daemon->drain.running &&
	       daemon->drain.order < observer_topology(daemon->observer)->pageblock_order;
}

uint64_t drain_next_look(const struct daemon *daemon, uint64_t now)
{
	const struct drain *drain = &daemon->drain;
	const uint64_t passed = now - drain->begin_ns;
	uint64_t next = look_ns(daemon);

	if (passed < drain->timeout && next > drain->timeout - passed)
		next = drain->timeout - passed;
	return next;
}

void drain_prepare(struct daemon *daemon)
{
	struct effort effort;
	struct errmsg err = { 0 };

	/* the other steps follow with the ticks, if they are configured */
	if (lists_drain(daemon->root, &effort, &err) < 0)
		log_warn("drain: per-CPU lists: %s", err.text);
}

static int take_request(const struct daemon *daemon, const json_t *request, struct drain *drain,
			struct errmsg *err)
{
	const struct topology *topology = observer_topology(daemon->observer);
	const json_t *prepare = json_object_get(request, "prepare");
	int64_t timeout_ms = DRAIN_TIMEOUT_NS / NSEC_PER_MSEC, order = ORDER_PAGEBLOCK;
	int rc;

	rc = request_number(request, "order", 0, SLUICE_MAX_ORDERS - 1, &order, err);
	if (!rc)
		rc = request_number(request, "timeout_ms", 1, DRAIN_TIMEOUT_MAX_NS / NSEC_PER_MSEC,
				    &timeout_ms, err);
	if (!rc && prepare && !json_is_boolean(prepare))
		rc = errmsg_set(err, -EINVAL, "drain: \"prepare\" is neither true nor false");
	if (!rc)
		rc = drain_order(&daemon->config, &daemon->reporting, topology->pageblock_order,
				 topology->highest_order, (int)order, &drain->order, err);
	if (rc)
		return rc;
	drain->timeout = (uint64_t)timeout_ms * NSEC_PER_MSEC;
	drain->prepare = json_is_true(prepare);
	return 0;
}

int drain_busy(const struct daemon *daemon, struct errmsg *err)
{
	if (!daemon->drain.running)
		return 0;
	return errmsg_set(err, -EBUSY,
			  "a drain at order %u is under way: wait for its end, or end it with "
			  "\"sluice drain --stop\"",
			  daemon->drain.order);
}

json_t *drain_begin(struct daemon *daemon, const json_t *request)
{
	struct drain drain = {
		.id = daemon->drain.id + 1,
		.running = true,
		.begin_ns = monotonic_ns(),
		.refreshes = observer_refreshes(daemon->observer),
	};
	struct errmsg err = { 0 };
	char timeout[UNITS_TEXT];

	if (drain_busy(daemon, &err) < 0)
		return answer_error(err.text);
	if (!daemon->decision_ns)
		return answer_error("the daemon has not looked yet: try again");
	if (take_request(daemon, request, &drain, &err) < 0)
		return answer_error(err.text);
	if (obstacle(daemon))
		return answer_error(obstacle(daemon));
	log_info("drain on request: order %u, %s at the most%s", drain.order,
		 format_duration(drain.timeout, timeout),
		 drain.prepare ? ", with preparation" : "");
	daemon->drain = drain;
	daemon->hurry = true;
	if (drain.prepare)
		drain_prepare(daemon);
	return drain_status(daemon);
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *progress_json(const struct drain_progress *progress)
{
	const struct drain_residue *residue = &progress->residue;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:{s:o, s:o, s:o, s:o, s:o}}",
			 "free_bytes", number(progress->free), "initial_bytes",
			 number(progress->initial), "left_bytes", number(progress->left),
			 "passes_left", number(progress->passes), "estimate_ms",
			 number(progress->estimate_ns / NSEC_PER_MSEC), "kicks",
			 (int)progress->kicks, "residue", "waiting_bytes", number(residue->waiting),
			 "changed_bytes", number(residue->changed), "gated_bytes",
			 number(residue->gated), "below_order_bytes", number(residue->below),
			 "in_flight_bytes", number(residue->in_flight));
}

json_t *drain_status(const struct daemon *daemon)
{
	const struct drain *drain = &daemon->drain;
	const uint64_t until = drain->running ? monotonic_ns() : drain->end_ns;

	if (!drain->id)
		return json_pack("{s:i, s:s}", "version", JSON_VERSION, "drain", "none");
	return json_pack("{s:i, s:s, s:o, s:i, s:b, s:o, s:o, s:s, s:o}", "version", JSON_VERSION,
			 "drain", drain->running ? drain_outcome_name(DRAIN_RUNNING) : drain->ended,
			 "id", number(drain->id), "order", (int)drain->order, "prepare",
			 drain->prepare, "elapsed_ms",
			 number((until - drain->begin_ns) / NSEC_PER_MSEC), "timeout_ms",
			 number(drain->timeout / NSEC_PER_MSEC), "reason", drain->reason,
			 "progress", drain->looked ? progress_json(&drain->progress) : json_null());
}

json_t *drain_stop(struct daemon *daemon)
{
	if (daemon->drain.running)
		end(daemon, "stopped", "on request");
	daemon->hurry = true;
	return drain_status(daemon);
}
