// SPDX-License-Identifier: GPL-2.0-only
/* sluice status: what the daemon sees, decides and has done. */
#include "cli.h"

#include <inttypes.h>
#include <string.h>

#include "sluice/control.h"
#include "sluice/json.h"
#include "sluice/units.h"

static uint64_t number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static bool flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void print_daemon(const json_t *status)
{
	char up[UNITS_TEXT], interval[UNITS_TEXT];

	print_field(stdout, "sluiced", "%s, pid %" PRIu64 ", up %s", text(status, "sluice"),
		    number(status, "pid"),
		    format_duration(number(status, "uptime_ms") * NSEC_PER_MSEC, up));
	print_field(stdout, "config", "%s: mode %s, strategy %s, every %s", text(status, "config"),
		    text(status, "mode"), text(status, "strategy"),
		    format_duration(number(status, "interval_ms") * NSEC_PER_MSEC, interval));
}

static void print_reporting(const json_t *status)
{
	const json_t *reporting = json_object_get(status, "reporting");
	const json_t *control = json_object_get(status, "control");
	const json_t *original = json_object_get(control, "order_to_restore");
	char delay[UNITS_TEXT], order[96] = "no order knob";

	if (flag(reporting, "has_order"))
		snprintf(order, sizeof(order), "order limit %" JSON_INTEGER_FORMAT,
			 json_integer_value(json_object_get(reporting, "order")));
	if (!flag(control, "usable")) {
		print_field(stdout, "reporting", "not possible: %s",
			    text(control, "unusable_reason"));
		return;
	}
	if (json_is_integer(original))
		print_field(stdout, "reporting",
			    "%s %s, %s (to be restored: %" JSON_INTEGER_FORMAT "), pass after %s",
			    text(reporting, "backend"), text(reporting, "device"), order,
			    json_integer_value(original),
			    format_duration(number(reporting, "delay_ms") * NSEC_PER_MSEC, delay));
	else
		print_field(stdout, "reporting", "%s %s, %s, pass after %s",
			    text(reporting, "backend"), text(reporting, "device"), order,
			    format_duration(number(reporting, "delay_ms") * NSEC_PER_MSEC, delay));
	if (flag(control, "let_go"))
		print_field(stdout, "let go", "%s", text(control, "let_go_reason"));
}

static void print_memory(const json_t *memory)
{
	char managed[UNITS_TEXT], free_text[UNITS_TEXT], reported[UNITS_TEXT], now[UNITS_TEXT];

	if (!json_is_object(memory)) {
		print_field(stdout, "memory", "not scanned yet");
		return;
	}
	print_field(stdout, "memory", "%s managed, %s free, %s reported, %s reportable now",
		    format_size(number(memory, "managed_bytes"), managed),
		    format_size(number(memory, "free_bytes"), free_text),
		    format_size(number(memory, "reported_bytes"), reported),
		    format_size(number(memory, "reportable_bytes"), now));
}

static void print_decision(const json_t *status)
{
	const json_t *decision = json_object_get(status, "decision");
	char age[UNITS_TEXT], order[32] = "";

	if (json_is_null(json_object_get(decision, "age_ms"))) {
		print_field(stdout, "decision", "none yet");
		return;
	}
	if (strcmp(text(decision, "action"), "leave") &&
	    flag(json_object_get(status, "reporting"), "has_order"))
		snprintf(order, sizeof(order), " at order %" PRIu64, number(decision, "order"));
	print_field(stdout, "decision", "%s%s%s, %s ago: %s", text(decision, "action"), order,
		    flag(decision, "kick") ? " with a kick" : "",
		    format_duration(number(decision, "age_ms") * NSEC_PER_MSEC, age),
		    text(decision, "reason"));
}

/* "100 (to be restored: 50)", or why there is no such value. */
static void describe_knob(const json_t *knob, char *buf, size_t size)
{
	const json_t *value = json_object_get(knob, "value");
	const json_t *original = json_object_get(knob, "to_restore");
	int used;

	if (!flag(knob, "there")) {
		snprintf(buf, size, "there is no such file");
		return;
	}
	if (!json_is_integer(value)) {
		snprintf(buf, size, "no integer");
		return;
	}
	used = snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	if (flag(knob, "let_go"))
		snprintf(buf + used, size - (size_t)used, ", someone else wrote it: let go");
	else if (json_is_integer(original))
		snprintf(buf + used, size - (size_t)used,
			 " (to be restored: %" JSON_INTEGER_FORMAT ")",
			 json_integer_value(original));
}

static void print_breaker(const json_t *actuator)
{
	const char *state = text(actuator, "breaker");
	char wait[UNITS_TEXT];

	if (!strcmp(state, "closed"))
		return;
	print_field(stdout, "breaker",
		    "%s: %s after %" PRIu64 " failures in a row, tried again %s%s: %s",
		    text(actuator, "name"), state, number(actuator, "failures"),
		    !strcmp(state, "open") ? "in " : "at the next occasion",
		    !strcmp(state, "open") ?
			    format_duration(number(actuator, "retry_in_ms") * NSEC_PER_MSEC, wait) :
			    "",
		    text(actuator, "error"));
}

/* What is configured besides the knobs of reporting, and whatever is left alone. */
static void print_actuators(const json_t *actuators)
{
	const json_t *actuator;
	char values[128];
	size_t i;

	json_array_foreach(actuators, i, actuator)
	{
		const char *kind = text(actuator, "kind");

		if (!strcmp(kind, "extra")) {
			describe_knob(actuator, values, sizeof(values));
			print_field(stdout, "extra", "%s: %s", text(actuator, "name"), values);
		} else if (!strcmp(kind, "trigger")) {
			print_field(stdout, "trigger", "%s: %" PRIu64 " times%s",
				    text(actuator, "does"), number(actuator, "done"),
				    flag(actuator, "there") ? "" : "; there is no such file");
		}
		print_breaker(actuator);
	}
}

static void print_drain(const json_t *drain)
{
	char elapsed[UNITS_TEXT];

	if (!json_is_integer(json_object_get(drain, "id")))
		return;
	print_field(stdout, "drain", "%s at order %" PRIu64 ", %s: %s", text(drain, "drain"),
		    number(drain, "order"),
		    format_duration(number(drain, "elapsed_ms") * NSEC_PER_MSEC, elapsed),
		    text(drain, "reason"));
}

static void print_experiment(const json_t *experiment)
{
	char since[UNITS_TEXT], left[UNITS_TEXT];

	if (!json_is_object(experiment))
		return;
	print_field(stdout, "experiment", "%s: arm %s for %s; its lease ends in %s",
		    text(experiment, "id"), text(experiment, "arm"),
		    format_duration(number(experiment, "since_ms") * NSEC_PER_MSEC, since),
		    format_duration(number(experiment, "lease_left_ms") * NSEC_PER_MSEC, left));
}

static void print_tally(const json_t *status)
{
	const json_t *tally = json_object_get(status, "tally");
	char reported[UNITS_TEXT], spent[UNITS_TEXT];

	print_field(stdout, "so far",
		    "%" PRIu64 " decisions, %" PRIu64 " releases, %" PRIu64
		    " kicks, %s newly reported, %s spent in scans",
		    number(tally, "ticks"), number(tally, "releases"), number(tally, "kicks"),
		    format_size(number(tally, "reported_bytes"), reported),
		    format_duration(number(tally, "scan_ns"), spent));
	print_field(stdout, "source", "scan by %s, events %s", text(status, "source"),
		    text(status, "event_level"));
}

/* Nothing to say as long as there was none and will be none. */
static void print_preparation(const json_t *preparation)
{
	char bytes[UNITS_TEXT], took[UNITS_TEXT], longest[UNITS_TEXT];

	if (!flag(preparation, "enabled") && !number(preparation, "reclaims"))
		return;
	print_field(stdout, "prepared",
		    "%s reclaimed, %" PRIu64 " pageblocks by %" PRIu64
		    " compactions, in %s, the longest step %s; %s",
		    format_size(number(preparation, "reclaimed_bytes"), bytes),
		    number(preparation, "blocks_gained"), number(preparation, "compactions"),
		    format_duration(number(preparation, "wall_ms") * NSEC_PER_MSEC, took),
		    format_duration(number(preparation, "longest_ms") * NSEC_PER_MSEC, longest),
		    text(preparation, "reason"));
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void print_activity(const json_t *activity)
{
	char rate[UNITS_TEXT], reused[UNITS_TEXT], waited[48] = "no PSI";

	if (!json_is_object(activity)) /* not before the second decision */
		return;
	if (json_is_number(json_object_get(activity, "psi_some")))
		snprintf(waited, sizeof(waited), "waited for memory %.1f %%",
			 real(activity, "psi_some") * 100);
	print_field(stdout, "load",
		    "%s/s allocated, CPU %.0f %%, %s, %s reused soon after a report",
		    format_size(number(activity, "alloc_bytes_per_second"), rate),
		    real(activity, "cpu") * 100, waited,
		    format_size(number(activity, "reused_bytes"), reused));
}

static void print_map(const json_t *map)
{
	char bytes[UNITS_TEXT];

	if (json_is_object(map)) /* not if totals are all there is */
		print_field(stdout, "map", "%" PRIu64 " pageblocks in %s", number(map, "blocks"),
			    format_size(number(map, "bytes"), bytes));
}

/* The last audit, all zones added up. */
static void print_audit(const json_t *audit)
{
	const json_t *zone;
	json_int_t drift = 0, unexplained = 0, after = 0;
	char age[UNITS_TEXT];
	size_t i;

	if (!json_is_object(audit))
		return;
	json_array_foreach(json_object_get(audit, "zones"), i, zone)
	{
		drift += json_integer_value(json_object_get(zone, "drift_pages"));
		unexplained += json_integer_value(json_object_get(zone, "unexplained_pages"));
		after += json_integer_value(json_object_get(zone, "drift_after_pages"));
	}
	print_field(stdout, "audit",
		    "%s ago: map off by %" JSON_INTEGER_FORMAT " pages, %" JSON_INTEGER_FORMAT
		    " of them unexplained; %" JSON_INTEGER_FORMAT " after a scan%s%s",
		    format_duration(number(audit, "age_ms") * NSEC_PER_MSEC, age), drift,
		    unexplained, after, flag(audit, "trusted") ? "" : ". NOTHING IS ACTED UPON: ",
		    text(audit, "untrusted_reason"));
}

int run_status(const struct cli *cli, int argc, char **argv)
{
	struct errmsg err = { 0 };
	json_t *status, *note;
	size_t i;

	if (expect_no_arguments("status", argc, argv) != EXIT_OK)
		return EXIT_USAGE;
	if (ask_daemon(cli, REQUEST_STATUS, &status, &err) < 0)
		return fail(cli, err.text);
	if (cli->json) {
		json_print(status, true, stdout);
	} else {
		print_daemon(status);
		print_reporting(status);
		print_memory(json_object_get(status, "memory"));
		print_decision(status);
		print_actuators(json_object_get(status, "actuators"));
		print_activity(json_object_get(status, "activity"));
		print_experiment(json_object_get(status, "experiment"));
		print_drain(json_object_get(status, "drain"));
		print_tally(status);
		print_preparation(json_object_get(status, "preparation"));
		print_map(json_object_get(status, "map"));
		print_audit(json_object_get(status, "audit"));
		json_array_foreach(json_object_get(status, "notes"), i, note)
			print_field(stdout, "note", "%s", json_string_value(note));
	}
	json_decref(status);
	return EXIT_OK;
}
