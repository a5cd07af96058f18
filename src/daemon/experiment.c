// SPDX-License-Identifier: GPL-2.0-only
/* Arms of experiments: begin, end, and what a runner measures them by. */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/control.h"
#include "sluice/json.h"
#include "sluice/units.h"

#define LEASE_MIN_MS 1000
#define LEASE_MAX_MS 600000

#define ID_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define ID_WORDS "1 to 63 letters, digits, dots, underscores and hyphens"

/* What a request asks for; texts are the request's. */
struct wanted {
	const char *id;
	char arm;
	const char *path;
	uint64_t lease;
};

/* --- requests ---------------------------------------------------------------------------------- */

static int refuse(const json_t *request, const char *key, const char *allowed, struct errmsg *err)
{
	const json_t *value = json_object_get(request, key);
	char found[QUOTED_TEXT] = "is missing";

	if (json_is_string(value))
		text_quote(json_string_value(value), found);
	else if (value)
		snprintf(found, sizeof(found), "is no text");
	errmsg_set(err, -EINVAL, "%s: \"%s\": %s: it has to be %s", request_name(request), key,
		   found, allowed);
	return -EINVAL;
}

static int take_id(const json_t *request, struct wanted *wanted, struct errmsg *err)
{
	const char *id = json_string_value(json_object_get(request, "experiment"));

	if (!id || !*id || strlen(id) >= AB_ID || id[strspn(id, ID_BYTES)])
		return refuse(request, "experiment", ID_WORDS, err);
	wanted->id = id;
	return 0;
}

static int take_arm(const json_t *request, struct wanted *wanted, struct errmsg *err)
{
	const char *arm = json_string_value(json_object_get(request, "arm"));

	if (!arm || (strcmp(arm, "A") != 0 && strcmp(arm, "B") != 0))
		return refuse(request, "arm", "\"A\" or \"B\"", err);
	wanted->arm = *arm;
	return 0;
}

static int take_path(const json_t *request, struct wanted *wanted, struct errmsg *err)
{
	const char *path = json_string_value(json_object_get(request, "config"));

	if (!path || *path != '/')
		return refuse(request, "config", "the absolute path of a configuration file", err);
	wanted->path = path;
	return 0;
}

static int take_lease(const json_t *request, struct wanted *wanted, struct errmsg *err)
{
	int64_t lease_ms = 0;
	int rc;

	rc = request_number(request, "lease_ms", LEASE_MIN_MS, LEASE_MAX_MS, &lease_ms, err);
	if (rc)
		return rc;
	if (!lease_ms)
		return errmsg_set(err, -EINVAL,
				  "%s: \"lease_ms\": is missing: it has to be %d to %d",
				  request_name(request), LEASE_MIN_MS, LEASE_MAX_MS);
	wanted->lease = (uint64_t)lease_ms * NSEC_PER_MSEC;
	return 0;
}

static int take_wanted(const json_t *request, struct wanted *wanted, struct errmsg *err)
{
	int rc;

	rc = take_id(request, wanted, err);
	if (!rc)
		rc = take_arm(request, wanted, err);
	if (!rc)
		rc = take_path(request, wanted, err);
	if (!rc)
		rc = take_lease(request, wanted, err);
	return rc;
}

/* --- arms -------------------------------------------------------------------------------------- */

static bool runs(const struct daemon *daemon)
{
	return daemon->experiment.id[0];
}

static bool has_lease(const struct daemon *daemon, const char *id)
{
	return runs(daemon) && !strcmp(daemon->experiment.id, id);
}

static void renew(struct experiment *experiment)
{
	experiment->until_ns = monotonic_ns() + experiment->lease;
}

uint64_t experiment_left(const struct daemon *daemon)
{
	const uint64_t now = monotonic_ns(), until = daemon->experiment.until_ns;

	if (!runs(daemon))
		return 0;
	return until > now ? until - now : 1;
}

void experiment_end(struct daemon *daemon, enum log_level level, const char *why)
{
	struct experiment *experiment = &daemon->experiment;
	const struct config *own = &experiment->own;
	struct errmsg err = { 0 };
	int rc;

	if (!runs(daemon))
		return;
	rc = daemon_begin_anew(daemon, own, &err);
	log_at(level, "experiment %s: arm %c ended: %s; own configuration: mode %s, strategy %s",
	       experiment->id, experiment->arm, why, config_mode_name(own->mode),
	       config_strategy_name(own->strategy));
	if (rc)
		log_error("control is off: %s", err.text);
	experiment->id[0] = '\0';
}

void experiment_expire(struct daemon *daemon)
{
	const struct experiment *experiment = &daemon->experiment;
	char lease[UNITS_TEXT], why[64];

	if (!runs(daemon) || monotonic_ns() < experiment->until_ns)
		return;
	snprintf(why, sizeof(why), "its lease was not renewed for %s",
		 format_duration(experiment->lease, lease));
	experiment_end(daemon, LOG_LEVEL_WARN, why);
}

bool experiment_keep(struct daemon *daemon, const struct config *loaded)
{
	struct experiment *experiment = &daemon->experiment;

	if (!runs(daemon))
		return false;
	experiment->own = *loaded;
	log_info("experiment %s: arm %c stays in force; what is reloaded follows it",
		 experiment->id, experiment->arm);
	return true;
}

static int check_others(const struct daemon *daemon, const struct wanted *wanted,
			struct errmsg *err)
{
	const struct experiment *experiment = &daemon->experiment;
	char left[UNITS_TEXT];

	if (!runs(daemon) || has_lease(daemon, wanted->id))
		return drain_busy(daemon, err);
	return errmsg_set(err, -EBUSY,
			  "experiment \"%s\" is under way, with arm %c in force: its lease ends in "
			  "%s unless it goes on",
			  experiment->id, experiment->arm,
			  format_duration(experiment_left(daemon), left));
}

/* One line per error, NULL: no memory. */
static json_t *error_of_lines(char *lines)
{
	const size_t length = lines ? strlen(lines) : 0;
	json_t *error;

	if (length)
		lines[length - 1] = '\0'; /* the end of the last line */
	error = answer_error(lines ? lines : "no memory for messages");
	free(lines);
	return error;
}

/* Reads the arm's configuration; NULL, or why it can't be had. */
static json_t *load(const struct daemon *daemon, const char *path, struct config *config)
{
	char *errors, *names, *lines = NULL;

	if (daemon_load(path, config, &errors) < 0)
		return error_of_lines(errors);
	free(errors);
	names = daemon_fixed_changes(daemon, config);
	if (names && !*names) {
		free(names);
		return NULL;
	}
	if (!names || asprintf(&lines,
			       "%s: other values than the daemon was started with, which only a "
			       "start can change, of:\n%s",
			       path, names) < 0)
		lines = NULL;
	free(names);
	return error_of_lines(lines);
}

static int begin(struct daemon *daemon, const struct wanted *wanted, const struct config *config,
		 struct errmsg *err)
{
	struct experiment *experiment = &daemon->experiment;
	int rc;

	if (!runs(daemon))
		experiment->own = daemon->config;
	snprintf(experiment->id, sizeof(experiment->id), "%s", wanted->id);
	experiment->arm = wanted->arm;
	experiment->lease = wanted->lease;
	rc = daemon_begin_anew(daemon, config, err);
	if (rc) {
		experiment_end(daemon, LOG_LEVEL_ERROR, err->text);
		return rc;
	}
	experiment->arms++;
	experiment->since_ns = monotonic_ns();
	renew(experiment);
	log_info("experiment %s: arm %c: %s: mode %s, strategy %s", experiment->id, experiment->arm,
		 wanted->path, config_mode_name(config->mode),
		 config_strategy_name(config->strategy));
	return 0;
}

/* --- samples ----------------------------------------------------------------------------------- */

/* How long pageblocks had been free, or reported, when they were taken: over all zones. */
static json_t *times_json(const struct daemon *daemon, bool reported)
{
	const struct blockmap *map = observer_blocks(daemon->observer);
	const bool known = observer_source(daemon->observer) != SOURCE_BUDDYINFO;
	json_t *json = json_array();

	for (unsigned int bucket = 0; bucket < SLUICE_TIME_BUCKETS; bucket++) {
		uint64_t blocks = 0;

		for (unsigned int zone = 0; known && zone < SLUICE_MAX_ZONES; zone++)
			blocks += reported ? map->times[zone].reuse[bucket] :
					     map->times[zone].lifetimes[bucket];
		json_array_append_new(json, json_integer((json_int_t)blocks));
	}
	return json;
}

static void add(json_t *json, const char *key, uint64_t value)
{
	json_object_set_new(json, key, json_integer((json_int_t)value));
}

static void add_memory(json_t *json, const struct daemon *daemon, const struct snapshot *snap)
{
	const struct config *own = runs(daemon) ? &daemon->experiment.own : &daemon->config;
	const bool known = snap->source != SOURCE_BUDDYINFO;
	struct churn churn = { 0 };
	uint64_t free_pages = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++)
		free_pages += snap->zones[i].info.free_pages;
	/* one age for both arms, or they could not be compared */
	if (known)
		blockmap_churn(observer_blocks(daemon->observer), own->guards.churn_age, &churn);
	add(json, "free_bytes", free_pages * snap->page_size);
	if (known)
		add(json, "reported_bytes", snapshot_reported(snap));
	else
		json_object_set_new(json, "reported_bytes", json_null());
	add(json, "churn_reported_bytes", churn.reported * snap->page_size);
	add(json, "churn_reused_bytes", churn.reused * snap->page_size);
	json_object_set_new(json, "lifetimes", times_json(daemon, false));
	json_object_set_new(json, "reuse", times_json(daemon, true));
	add(json, "map_renewed", observer_refreshes(daemon->observer));
}

/* What was done, and what stands against doing anything. */
static void add_deeds(json_t *json, const struct daemon *daemon)
{
	json_t *state;

	add(json, "releases", daemon->tally.releases);
	add(json, "kicks", daemon->tally.kicks);
	add(json, "vetoes", daemon->tally.vetoes);
	add(json, "drains", daemon->drain.id);
	state = json_pack("{s:b, s:s, s:b, s:s, s:b, s:s}", "let_go", daemon->let_go,
			  "let_go_reason", daemon->let_go ? daemon->let_go_reason : "", "trusted",
			  !daemon->untrusted[0], "untrusted_reason", daemon->untrusted, "usable",
			  daemon->usable, "unusable_reason", daemon->unusable);
	json_object_update(json, state);
	json_decref(state);
}

static json_t *sample_json(const struct daemon *daemon, const struct snapshot *snap)
{
	const struct experiment *experiment = &daemon->experiment;
	const char arm[2] = { experiment->arm };
	json_t *json;

	json = json_pack("{s:i, s:I, s:I, s:i, s:s?, s:s?, s:I, s:I}", "version", JSON_VERSION,
			 "time_ns", (json_int_t)snap->time_ns, "instance",
			 (json_int_t)daemon->start_ns, "pid", (int)getpid(), "experiment",
			 runs(daemon) ? experiment->id : NULL, "arm", runs(daemon) ? arm : NULL,
			 "arms", (json_int_t)experiment->arms, "reloads",
			 (json_int_t)daemon->reloads);
	add_memory(json, daemon, snap);
	add_deeds(json, daemon);
	return json;
}

json_t *experiment_json(const struct daemon *daemon)
{
	const struct experiment *experiment = &daemon->experiment;
	const char arm[2] = { experiment->arm };

	if (!runs(daemon))
		return json_null();
	return json_pack("{s:s, s:s, s:I, s:I, s:I}", "id", experiment->id, "arm", arm, "since_ms",
			 (json_int_t)((monotonic_ns() - experiment->since_ns) / NSEC_PER_MSEC),
			 "lease_left_ms", (json_int_t)(experiment_left(daemon) / NSEC_PER_MSEC),
			 "arms", (json_int_t)experiment->arms);
}

/* --- answers ----------------------------------------------------------------------------------- */

json_t *experiment_arm(struct daemon *daemon, const json_t *request)
{
	struct errmsg err = { 0 };
	struct wanted wanted = { 0 };
	struct config config;
	struct snapshot *snap;
	json_t *json;

	experiment_expire(daemon);
	if (take_wanted(request, &wanted, &err) < 0 || check_others(daemon, &wanted, &err) < 0)
		return answer_error(err.text);
	json = load(daemon, wanted.path, &config);
	if (json)
		return json;
	/* before anything changes: a scan that fails refuses the arm */
	snap = scan_for_answer(daemon, &err);
	if (!snap || begin(daemon, &wanted, &config, &err) < 0)
		json = answer_error(err.text);
	else
		json = sample_json(daemon, snap);
	free(snap);
	return json;
}

json_t *experiment_arm_check(struct daemon *daemon, const json_t *request)
{
	struct wanted wanted = { 0 };
	struct errmsg err = { 0 };
	struct config config;
	json_t *json;

	experiment_expire(daemon);
	if (take_id(request, &wanted, &err) < 0 || take_path(request, &wanted, &err) < 0 ||
	    check_others(daemon, &wanted, &err) < 0)
		return answer_error(err.text);
	json = load(daemon, wanted.path, &config);
	return json ? json : json_pack("{s:i}", "version", JSON_VERSION);
}

json_t *experiment_arm_end(struct daemon *daemon, const json_t *request)
{
	struct wanted wanted = { 0 };
	struct errmsg err = { 0 };
	bool ends;

	experiment_expire(daemon);
	ends = runs(daemon);
	if (take_id(request, &wanted, &err) < 0)
		return answer_error(err.text);
	if (ends && !has_lease(daemon, wanted.id)) {
		errmsg_set(&err, -EBUSY, "experiment \"%s\" is under way, not \"%s\"",
			   daemon->experiment.id, wanted.id);
		return answer_error(err.text);
	}
	experiment_end(daemon, LOG_LEVEL_INFO, "on request");
	return json_pack("{s:i, s:b}", "version", JSON_VERSION, "ended", ends);
}

json_t *experiment_sample(struct daemon *daemon, const json_t *request)
{
	struct wanted wanted = { .id = "" };
	struct errmsg err = { 0 };
	struct snapshot *snap;
	json_t *json;

	experiment_expire(daemon);
	if (json_object_get(request, "experiment") && take_id(request, &wanted, &err) < 0)
		return answer_error(err.text);
	snap = scan_for_answer(daemon, &err);
	json = snap ? sample_json(daemon, snap) : answer_error(err.text);
	free(snap);
	/* behind the scan, which may take longer than the lease */
	if (has_lease(daemon, wanted.id))
		renew(&daemon->experiment);
	return json;
}
