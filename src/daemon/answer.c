// SPDX-License-Identifier: GPL-2.0-only
/* Requests of clients and their answers. */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/control.h"
#include "sluice/json.h"
#include "sluice/log.h"
#include "sluice/units.h"
#include "sluice/version.h"

json_t *answer_error(const char *text)
{
	return json_pack("{s:i, s:s}", "version", JSON_VERSION, "error", text);
}

const char *request_name(const json_t *request)
{
	return json_string_value(json_object_get(request, "request"));
}

int request_number(const json_t *request, const char *key, int64_t min, int64_t max, int64_t *ret,
		   struct errmsg *err)
{
	const json_t *value = json_object_get(request, key);

	if (!value)
		return 0;
	if (!json_is_integer(value))
		return errmsg_set(err, -EINVAL, "%s: \"%s\" is no whole number",
				  request_name(request), key);
	if (json_integer_value(value) < min || json_integer_value(value) > max)
		return errmsg_set(err, -ERANGE,
				  "%s: \"%s\": %" JSON_INTEGER_FORMAT " is not from %" PRId64
				  " to %" PRId64,
				  request_name(request), key, json_integer_value(value), min, max);
	*ret = json_integer_value(value);
	return 0;
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static void add(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static json_t *notes_json(const struct daemon *daemon)
{
	json_t *notes = json_array();
	const char *note;

	for (unsigned int i = 0; (note = observer_note(daemon->observer, i)); i++)
		json_array_append_new(notes, json_string(note));
	return notes;
}

static json_t *decision_json(const struct daemon *daemon)
{
	const struct decision *decision = &daemon->decision;

	return json_pack("{s:s, s:i, s:b, s:s?, s:s?, s:s, s:o}", "action",
			 policy_action_name(decision->action), "order", (int)decision->order,
			 "kick", decision->kick, "stage", decision->stage, "guard", decision->guard,
			 "reason", decision->reason, "age_ms",
			 daemon->decision_ns ?
				 number((monotonic_ns() - daemon->decision_ns) / NSEC_PER_MSEC) :
				 json_null());
}

/* Rates per second, shares of the span; null before the second decision. */
static json_t *activity_json(const struct activity *activity)
{
	if (!activity->span_ns)
		return json_null();
	return json_pack("{s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "span_ms",
			 number(activity->span_ns / NSEC_PER_MSEC), "alloc_bytes_per_second",
			 number(activity->alloc_rate), "cpu", activity->cpu, "psi_some",
			 activity->has_psi ? json_real(activity->psi_some) : json_null(),
			 "psi_full",
			 activity->has_psi ? json_real(activity->psi_full) : json_null(),
			 "refaults", number(activity->refaults), "swap_ins",
			 number(activity->swap_ins), "alloc_stalls", number(activity->alloc_stalls),
			 "compact_stalls", number(activity->compact_stalls), "reported_bytes",
			 number(activity->reported), "reused_bytes", number(activity->reused));
}

static json_t *tally_json(const struct tally *tally)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "ticks",
			 number(tally->ticks), "triggers", number(tally->triggers), "vetoes",
			 number(tally->vetoes), "warnings", number(tally->warnings), "releases",
			 number(tally->releases), "kicks", number(tally->kicks), "reported_bytes",
			 number(tally->reported_bytes), "scan_ns", number(tally->scan_ns),
			 "wrong_blocks", number(tally->wrong_blocks), "not_free_blocks",
			 number(tally->not_free_blocks));
}

static json_t *preparation_json(const struct daemon *daemon)
{
	const struct preparer *preparer = &daemon->preparer;
	uint64_t bytes, time_ns;
	json_t *json;

	prepare_quota(&daemon->config, &preparer->state, monotonic_ns(), &bytes, &time_ns);
	json = json_pack("{s:b, s:s, s:s, s:s, s:s}", "enabled", daemon->config.prepare.enabled,
			 "method",
			 preparer->probed ? reclaim_method_name(preparer->reclaimer.method) : "",
			 "method_reason", preparer->reclaimer.why, "reason", preparer->reason,
			 "trouble", preparer->trouble);
	add(json, "reclaims", number(preparer->reclaims));
	add(json, "reclaimed_bytes", number(preparer->reclaimed_bytes));
	add(json, "drains", number(preparer->drains));
	add(json, "compactions", number(preparer->compactions));
	add(json, "blocks_gained", number(preparer->blocks));
	add(json, "failures", number(preparer->failures));
	add(json, "wall_ms", number(preparer->wall_ns / NSEC_PER_MSEC));
	add(json, "cpu_ms", number(preparer->cpu_ns / NSEC_PER_MSEC));
	add(json, "longest_ms", number(preparer->longest_ns / NSEC_PER_MSEC));
	add(json, "quota_bytes", number(bytes));
	add(json, "quota_ms", number(time_ns / NSEC_PER_MSEC));
	return json;
}

static json_t *events_json(const struct daemon *daemon)
{
	struct sluice_event_counters sum;

	if (!observer_has_events(daemon->observer))
		return json_null();
	observer_events(daemon->observer, &sum);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "allocs",
			 number(sum.allocs), "drains", number(sum.drains), "direct_frees",
			 number(sum.direct_frees), "steals", number(sum.steals), "isolated_pages",
			 number(sum.isolated), "fast_isolated_pages", number(sum.fast_isolated),
			 "unknown", number(sum.unknown), "clamped", number(sum.clamped),
			 "reused_pages", number(sum.reused), "missed_runs",
			 number(observer_missed_runs(daemon->observer)));
}

static json_t *map_totals_json(const struct daemon *daemon)
{
	const struct blockmap *map = observer_blocks(daemon->observer);
	struct map_totals totals;

	if (observer_map_totals(daemon->observer, &totals, NULL) < 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I}", "blocks", number(map->nr_blocks),
			 "bytes", number(blockmap_bytes(map)), "renewed",
			 number(observer_refreshes(daemon->observer)), "map_pages",
			 number(totals.map), "kernel_pages", number(totals.kernel), "drift_pages",
			 (json_int_t)(totals.map - totals.kernel));
}

/* Totals at the orders that any scan knows; sizes in bytes. */
static json_t *memory_json(const struct snapshot *snap)
{
	const unsigned int limit =
		snap->reporting_order < 0 ? snap->nr_orders : (unsigned int)snap->reporting_order;
	uint64_t managed = 0, free_bytes = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		managed += snap->zones[i].info.managed_pages * snap->page_size;
		free_bytes += snap->zones[i].info.free_pages * snap->page_size;
	}
	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "managed_bytes", number(managed),
			 "free_bytes", number(free_bytes), "scan", scan_depth_name(snap->depth),
			 "extent_bytes", number(snapshot_free(snap)), "reported_bytes",
			 number(snapshot_reported(snap)), "reportable_bytes",
			 number(snapshot_reportable(snap, limit, false)));
}

static json_t *control_json(const struct daemon *daemon)
{
	int64_t original;
	json_t *restore = json_null();

	if (daemon->knobs && !knobs_original(daemon->knobs, KNOB_REPORTING_ORDER, &original))
		restore = json_integer(original);
	return json_pack("{s:b, s:s, s:b, s:s, s:o}", "usable", daemon->usable, "unusable_reason",
			 daemon->unusable, "let_go", daemon->let_go, "let_go_reason",
			 daemon->let_go ? daemon->let_go_reason : "", "order_to_restore", restore);
}

static json_t *explained_json(const struct zone_audit *zone)
{
	json_t *explained = json_array();

	for (int path = 0; path < AUDIT_PATHS; path++)
		if (zone->explained[path])
			json_array_append_new(
				explained, json_pack("{s:s, s:s, s:I}", "path",
						     audit_path_name((enum audit_path)path), "text",
						     audit_path_text((enum audit_path)path),
						     "pages", (json_int_t)zone->explained[path]));
	return explained;
}

static json_t *zone_audit_json(const struct zone_audit *zone)
{
	return json_pack("{s:i, s:s, s:o, s:o, s:I, s:o, s:I, s:o, s:o, s:o, s:I}", "node",
			 (int)zone->node, "zone", zone->name, "map_pages", number(zone->map_pages),
			 "kernel_pages", number(zone->kernel_pages), "drift_pages",
			 (json_int_t)zone->drift, "explained", explained_json(zone),
			 "unexplained_pages", (json_int_t)zone->unexplained, "wrong_blocks",
			 number(zone->repairs.wrong_blocks), "not_free_blocks",
			 number(zone->repairs.not_free), "largest_error_pages",
			 number(zone->repairs.largest_error), "drift_after_pages",
			 (json_int_t)zone->drift_after);
}

static json_t *audit_json(const struct daemon *daemon)
{
	const struct audit *audit = &daemon->audit;
	json_t *zones = json_array();

	for (unsigned int i = 0; i < audit->nr_zones; i++)
		json_array_append_new(zones, zone_audit_json(&audit->zones[i]));
	return json_pack("{s:i, s:o, s:b, s:o, s:b, s:s, s:o}", "version", JSON_VERSION, "age_ms",
			 number((monotonic_ns() - audit->time_ns) / NSEC_PER_MSEC), "by_events",
			 audit->by_events, "max_drift_bytes", number(daemon->config.max_drift),
			 "trusted", !daemon->untrusted[0], "untrusted_reason", daemon->untrusted,
			 "zones", zones);
}

static json_t *status_json(const struct daemon *daemon)
{
	const struct config *config = &daemon->config;
	struct reporting reporting;
	json_t *status;

	/* as it is now: the tick's own reading is older than what the tick then wrote */
	reporting_read(daemon->root, observer_topology(daemon->observer), &reporting);
	status = json_pack(
		"{s:i, s:s, s:i, s:s, s:s, s:s, s:s, s:s}", "version", JSON_VERSION, "sluice",
		SLUICE_VERSION, "pid", (int)getpid(), "config", daemon->config_path, "mode",
		config_mode_name(config->mode), "strategy", config_strategy_name(config->strategy),
		"source", scan_source_name(observer_source(daemon->observer)), "event_level",
		observer_has_events(daemon->observer) ? config_events_name(config->events) : "off");
	add(status, "uptime_ms", number((monotonic_ns() - daemon->start_ns) / NSEC_PER_MSEC));
	add(status, "interval_ms", number(daemon_next_tick(daemon) / NSEC_PER_MSEC));
	add(status, "reporting", reporting_json(&reporting));
	add(status, "control", control_json(daemon));
	add(status, "decision", decision_json(daemon));
	add(status, "memory", daemon->have_snapshot ? memory_json(&daemon->snap) : json_null());
	add(status, "activity", activity_json(&daemon->activity));
	add(status, "actuators", actuators_json(daemon));
	add(status, "tally", tally_json(&daemon->tally));
	add(status, "preparation", preparation_json(daemon));
	add(status, "map", map_totals_json(daemon));
	add(status, "events", events_json(daemon));
	add(status, "audit", daemon->audit.time_ns ? audit_json(daemon) : json_null());
	add(status, "drain", drain_status(daemon));
	add(status, "experiment", experiment_json(daemon));
	add(status, "notes", notes_json(daemon));
	return status;
}

struct snapshot *scan_for_answer(struct daemon *daemon, struct errmsg *err)
{
	struct snapshot *snap = malloc(sizeof(*snap));

	if (!snap) {
		errmsg_set(err, -ENOMEM, "no memory for a snapshot");
		return NULL;
	}
	if (observer_snapshot(daemon->observer, SCAN_FULL, snap, err) < 0) {
		free(snap);
		return NULL;
	}
	return snap;
}

static json_t *hist(struct daemon *daemon)
{
	struct errmsg err = { 0 };
	struct snapshot *snap = scan_for_answer(daemon, &err);
	json_t *json;

	if (!snap)
		return answer_error(err.text);
	json = hist_json(snap, observer_topology(daemon->observer),
			 observer_blocks(daemon->observer));
	free(snap);
	return json;
}

static json_t *map(const struct daemon *daemon)
{
	if (observer_source(daemon->observer) == SOURCE_BUDDYINFO)
		return answer_error(
			"there is no map: only the totals of /proc/buddyinfo are known");
	return map_json(observer_topology(daemon->observer), observer_blocks(daemon->observer));
}

static json_t *audit(struct daemon *daemon)
{
	struct errmsg err = { 0 };

	if (daemon_audit(daemon, &err) < 0)
		return answer_error(err.text);
	return audit_json(daemon);
}

static json_t *kick(struct daemon *daemon)
{
	struct errmsg err = { 0 };

	if (daemon->config.mode != MODE_CONTROL)
		return answer_error("the daemon's mode is not \"control\": it kicks nothing");
	if (!daemon->usable)
		return answer_error(daemon->unusable);
	if (act_kick(daemon, true, &err) < 0)
		return answer_error(err.text);
	log_info("kicked on request");
	return json_pack("{s:i, s:b, s:o}", "version", JSON_VERSION, "kicked", true, "pass_in_ms",
			 number(daemon->reporting.delay_ns / NSEC_PER_MSEC));
}

static json_t *restore(struct daemon *daemon)
{
	log_info("restore on request");
	experiment_end(daemon, LOG_LEVEL_INFO, "\"sluice restore\"");
	act_end(daemon);
	act_let_go(daemon,
		   "\"sluice restore\" took the knobs back; a reload (SIGHUP) resumes control");
	return json_pack("{s:i, s:b}", "version", JSON_VERSION, "restored", true);
}

static json_t *dispatch(struct daemon *daemon, const char *request, const json_t *arguments,
			bool root)
{
	if (!strcmp(request, REQUEST_STATUS))
		return status_json(daemon);
	if (!strcmp(request, REQUEST_HIST))
		return hist(daemon);
	if (!strcmp(request, REQUEST_MAP))
		return map(daemon);
	if (!strcmp(request, REQUEST_DRAIN_STATUS))
		return drain_status(daemon);
	if (!root)
		return answer_error("only root may ask for that");
	if (!strcmp(request, REQUEST_AUDIT))
		return audit(daemon);
	if (!strcmp(request, REQUEST_KICK))
		return kick(daemon);
	if (!strcmp(request, REQUEST_RESTORE))
		return restore(daemon);
	if (!strcmp(request, REQUEST_DRAIN))
		return drain_begin(daemon, arguments);
	if (!strcmp(request, REQUEST_DRAIN_STOP))
		return drain_stop(daemon);
	if (!strcmp(request, REQUEST_ARM))
		return experiment_arm(daemon, arguments);
	if (!strcmp(request, REQUEST_ARM_CHECK))
		return experiment_arm_check(daemon, arguments);
	if (!strcmp(request, REQUEST_ARM_END))
		return experiment_arm_end(daemon, arguments);
	if (!strcmp(request, REQUEST_SAMPLE))
		return experiment_sample(daemon, arguments);
	return answer_error("unknown request; known are status, hist, map, audit, kick, restore, "
			    "drain, drain-status, drain-stop, arm, arm-check, arm-end, sample");
}

char *answer(struct daemon *daemon, const char *request, size_t length, bool root)
{
	const char *name;
	json_error_t error;
	json_t *json, *reply;
	char *text;

	json = json_loadb(request, length, JSON_REJECT_DUPLICATES, &error);
	name = request_name(json);
	if (name)
		reply = dispatch(daemon, name, json, root);
	else
		reply = answer_error("the request is no line of JSON with the string \"request\"");
	json_decref(json);
	text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	return text;
}
