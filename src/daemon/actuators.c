// SPDX-License-Identifier: GPL-2.0-only
/* Single actuators: what they are called, whether they may be tried, how that went. */
#include "daemon.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sluice/confined.h"
#include "sluice/file.h"
#include "sluice/log.h"
#include "sluice/units.h"

static_assert(CONFIG_PATH <= KNOB_PATH_MAX, "a configured path fits the journal");
static_assert(CONFIG_MAX_EXTRA + 2 <= KNOBS_MAX, "all configured knobs fit the journal");

bool has_trigger(const struct config *config)
{
	return *config->trigger.path || *config->trigger.device;
}

/* Paths in the file begin with a slash, those below a root do not. */
static const char *below_root(const char *path)
{
	return *path ? path + 1 : path;
}

struct trigger trigger_of(const struct config *config)
{
	const struct config_trigger *trigger = &config->trigger;

	return (struct trigger){
		.path = below_root(trigger->path),
		.text = trigger->text,
		.device = below_root(trigger->device),
		.request = (uint32_t)trigger->request,
		.argument = trigger->argument,
		.bytes = trigger->bytes,
	};
}

const char *actuator_name(const struct daemon *daemon, unsigned int id)
{
	const struct config *config = &daemon->config;

	switch (id) {
	case ACTUATOR_DELAY:
		return "/" KNOB_REPORTING_DELAY;
	case ACTUATOR_ORDER:
		return "/" KNOB_REPORTING_ORDER;
	case ACTUATOR_TRIGGER:
		return *config->trigger.path ? config->trigger.path : config->trigger.device;
	case ACTUATOR_KICK:
		return "packet ring";
	default:
		return config->extra[id - ACTUATOR_EXTRA].path;
	}
}

bool actuator_allowed(const struct daemon *daemon, unsigned int id)
{
	return breaker_allows(&daemon->actuators[id].breaker, monotonic_ns());
}

bool actuator_there(struct daemon *daemon, unsigned int id)
{
	struct actuator *actuator = &daemon->actuators[id];
	const char *name = actuator_name(daemon, id);
	const bool absent = !file_exists(daemon->root, below_root(name));

	if (absent && !actuator->absent)
		log_warn("%s: there is no such file: it is used as soon as there is", name);
	else if (!absent && actuator->absent)
		log_info("%s: it is there now", name);
	actuator->absent = absent;
	return !absent;
}

static void note_success(struct daemon *daemon, unsigned int id)
{
	struct actuator *actuator = &daemon->actuators[id];

	actuator->done++;
	actuator->trouble[0] = '\0';
	if (breaker_succeeded(&actuator->breaker))
		log_info("breaker closed: %s works again", actuator_name(daemon, id));
}

bool actuator_note(struct daemon *daemon, unsigned int id, int rc, const struct errmsg *err)
{
	struct actuator *actuator = &daemon->actuators[id];
	char wait[UNITS_TEXT];
	bool opened;

	if (!rc) {
		note_success(daemon, id);
		return false;
	}
	/* the same trouble comes back with every decision: it is logged once */
	if (strcmp(actuator->trouble, err->text) != 0) {
		snprintf(actuator->trouble, sizeof(actuator->trouble), "%s", err->text);
		log_error("%s", err->text);
	}
	opened = breaker_failed(&actuator->breaker, monotonic_ns());
	if (opened)
		log_warn("breaker open: %s failed %u times in a row; left alone for %s",
			 actuator_name(daemon, id), actuator->breaker.failures,
			 format_duration(actuator->breaker.backoff_ns, wait));
	return opened;
}

/* What the configuration names, looked at before it is needed; nothing of it is fatal. */
static void look_at(struct daemon *daemon, unsigned int id)
{
	const struct trigger trigger = trigger_of(&daemon->config);
	struct errmsg err = { 0 };
	int rc;

	if (!actuator_there(daemon, id))
		return;
	rc = id == ACTUATOR_TRIGGER ?
		     trigger_probe(daemon->root, &trigger, &err) :
		     confined_check(daemon->root, below_root(actuator_name(daemon, id)), &err);
	if (rc < 0)
		log_warn("%s", err.text);
}

void actuators_begin(struct daemon *daemon)
{
	memset(daemon->actuators, 0, sizeof(daemon->actuators));
	for (unsigned int i = 0; i < daemon->config.nr_extra; i++)
		look_at(daemon, ACTUATOR_EXTRA + i);
	if (has_trigger(&daemon->config))
		look_at(daemon, ACTUATOR_TRIGGER);
}

static const char *kind_of(unsigned int id)
{
	static const char *const kinds[] = {
		[ACTUATOR_DELAY] = "delay",	[ACTUATOR_ORDER] = "order",
		[ACTUATOR_TRIGGER] = "trigger", [ACTUATOR_KICK] = "kick",
		[ACTUATOR_EXTRA] = "extra",
	};

	return kinds[id < ACTUATOR_EXTRA ? id : ACTUATOR_EXTRA];
}

static bool is_knob(unsigned int id)
{
	return id != ACTUATOR_TRIGGER && id != ACTUATOR_KICK;
}

/* What the knob holds, and what it is to be given back. */
static void add_values(const struct daemon *daemon, unsigned int id, json_t *json)
{
	const char *path = below_root(actuator_name(daemon, id));
	int64_t value;

	json_object_set_new(json, "value",
			    file_read_int(daemon->root, path, &value, NULL) ? json_null() :
									      json_integer(value));
	json_object_set_new(json, "to_restore",
			    knobs_original(daemon->knobs, path, &value) ? json_null() :
									  json_integer(value));
	json_object_set_new(json, "let_go", json_boolean(knobs_lost(daemon->knobs, path)));
}

static json_t *actuator_json(const struct daemon *daemon, unsigned int id)
{
	const struct actuator *actuator = &daemon->actuators[id];
	const struct trigger trigger = trigger_of(&daemon->config);
	const uint64_t now = monotonic_ns();
	const uint64_t wait = breaker_wait(&actuator->breaker, now);
	char does[TRIGGER_TEXT];
	json_t *json;

	json = json_pack("{s:s, s:s, s:b, s:I, s:s, s:i, s:o, s:s}", "kind", kind_of(id), "name",
			 actuator_name(daemon, id), "there", !actuator->absent, "done",
			 (json_int_t)actuator->done, "breaker",
			 breaker_state_name(breaker_state(&actuator->breaker, now)), "failures",
			 (int)actuator->breaker.failures, "retry_in_ms",
			 wait ? json_integer((json_int_t)(wait / NSEC_PER_MSEC)) : json_null(),
			 "error", actuator->trouble);
	if (is_knob(id))
		add_values(daemon, id, json);
	else if (id == ACTUATOR_TRIGGER)
		json_object_set_new(json, "does", json_string(trigger_describe(&trigger, does)));
	return json;
}

/* Whether there is anything to say about it. */
static bool in_use(const struct daemon *daemon, unsigned int id)
{
	switch (id) {
	case ACTUATOR_DELAY:
		return daemon->reporting.has_delay;
	case ACTUATOR_ORDER:
		return daemon->reporting.has_order;
	case ACTUATOR_TRIGGER:
		return has_trigger(&daemon->config);
	case ACTUATOR_KICK:
		return true;
	default:
		return id - ACTUATOR_EXTRA < daemon->config.nr_extra;
	}
}

json_t *actuators_json(const struct daemon *daemon)
{
	json_t *list = json_array();

	/* nothing is actuated unless sluiced controls */
	for (unsigned int id = 0; daemon->knobs && id < NR_ACTUATORS; id++)
		if (in_use(daemon, id))
			json_array_append_new(list, actuator_json(daemon, id));
	return list;
}
