// SPDX-License-Identifier: GPL-2.0-only
/* The configuration: values at their bounds, every error with its line, documents, mutated files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "sluice/config.h"
#include "sluice/log.h"
#include "sluice/units.h"

#define FIXTURES SOURCE_DIR "/tests/unit/fixtures/config/"
#define EXAMPLE	 SOURCE_DIR "/configs/sluice.conf"
#define SIZE	 "a size with a unit (B, KiB, MiB, GiB, TiB)"
#define DURATION "a duration with a unit (us, ms, s, min, h, d)"
#define NUMBER	 "a decimal number without quotes from "
#define TOP_NAMES                                                                              \
	"mode, strategy, interval, full_interval, max_drift, events, kick, log_level, order, " \
	"delay, "                                                                              \
	"threshold, cycle, burst, slew, ladder, trim, prepare, guards, actuators, zones"
#define MUTATIONS 6000

static void test_words(void **state)
{
	static const struct row rows[] = {
		{ "mode = \"observe\";", NULL },
		{ "mode = \"dry-run\";", NULL },
		{ "mode = \"control\";", NULL },
		{ "mode = \"Control\";",
		  "1: mode: \"Control\": one of \"observe\", \"dry-run\", \"control\"" },
		{ "mode = \"\";", "1: mode: \"\": one of \"observe\", \"dry-run\", \"control\"" },
		{ "mode = 0;", "1: mode: 0: one of \"observe\", \"dry-run\", \"control\"" },
		{ "mode = true;", "1: mode: true: one of \"observe\", \"dry-run\", \"control\"" },
		{ "mode = { };", "1: mode: { ... }: one of \"observe\", \"dry-run\", \"control\"" },
		{ "strategy = \"kernel\";", NULL },
		{ "strategy = \"threshold\";", NULL },
		{ "strategy = \"cycle\";", NULL },
		{ "strategy = \"burst\";", NULL },
		{ "strategy = \"slew\";", NULL },
		{ "strategy = \"ladder\";", NULL },
		{ "strategy = \"leiter\";",
		  "1: strategy: \"leiter\": one of \"kernel\", \"threshold\", \"cycle\", "
		  "\"burst\", \"slew\", \"ladder\", \"trim\"" },
		{ "strategy = \"trim\";", NULL },
		{ "prepare = { compact = \"off\"; };", NULL },
		{ "prepare = { compact = \"node\"; };", NULL },
		{ "prepare = { compact = \"all\"; };", NULL },
		{ "prepare = { compact = \"zone\"; };",
		  "1: prepare.compact: \"zone\": one of \"off\", \"node\", \"all\"" },
		{ "events = \"off\";", NULL },
		{ "events = \"lists\";", NULL },
		{ "events = \"all\";", NULL },
		{ "events = false;", "1: events: false: one of \"off\", \"lists\", \"all\"" },
		{ "log_level = \"error\";", NULL },
		{ "log_level = \"warn\";", NULL },
		{ "log_level = \"info\";", NULL },
		{ "log_level = \"debug\";", NULL },
		{ "log_level = 3;",
		  "1: log_level: 3: one of \"error\", \"warn\", \"info\", \"debug\"" },
		{ "kick = true;", NULL },
		{ "kick = False;", NULL },
		{ "kick = 1;", "1: kick: 1: true or false, without quotes" },
		{ "kick = \"true\";", "1: kick: \"true\": true or false, without quotes" },
		{ "kick = [ true ];", "1: kick: [ ... ]: true or false, without quotes" },
	};

	(void)state;
	check_rows(rows, ROWS(rows));
}

/* An option with its least and greatest value, and the next ones outside. */
struct bounds {
	const char *option; /* "%s" for the value */
	const char *name;
	const char *below, *min, *max, *above;
	const char *allowed;
	bool zero;
};

static void check_value(const struct bounds *bounds, const char *value, bool allowed)
{
	char text[200], errors[300];

	if (!value)
		return;
	snprintf(text, sizeof(text), "\n%s%s%s", bounds->option, value,
		 strchr(bounds->name, '[') ? "; } );" :
		 strchr(bounds->name, '.') ? "; };" :
					     ";");
	snprintf(errors, sizeof(errors), "2: %s: %s: %s", bounds->name, value, bounds->allowed);
	check_text(text, allowed ? NULL : errors);
}

static void check_bounds(const struct bounds *rows, size_t nr, bool with_unit)
{
	static const char *const never[] = {
		"true", "1.5", "-1", "\"\"", "0x5", "\"1e3\"", "\"x\""
	};

	for (size_t i = 0; i < nr; i++) {
		check_value(&rows[i], rows[i].below, false);
		check_value(&rows[i], rows[i].min, true);
		check_value(&rows[i], rows[i].max, true);
		check_value(&rows[i], rows[i].above, false);
		for (size_t j = 0; j < ROWS(never); j++)
			check_value(&rows[i], never[j], false);
		if (!with_unit)
			continue;
		check_value(&rows[i], "0", rows[i].zero);
		check_value(&rows[i], rows[i].zero ? "0L" : NULL, true);
		check_value(&rows[i], "\"0\"", rows[i].zero);
		check_value(&rows[i], "1000", false);
		check_value(&rows[i], "\"1000\"", false);
		check_value(&rows[i], "\"-1s\"", false);
		check_value(&rows[i], "\"99999999999999999999d\"", false);
	}
}

static void test_amounts(void **state)
{
	static const struct bounds rows[] = {
		{ "interval = ", "interval", "\"99999.999us\"", "\"100ms\"", "\"1h\"",
		  "\"3600001ms\"", DURATION ", from 100ms to 1h", false },
		{ "full_interval = ", "full_interval", "\"999ms\"", "\"1s\"", "\"1d\"",
		  "\"86400001ms\"", DURATION ", 0 or from 1s to 1d", true },
		{ "max_drift = ", "max_drift", "\"65535B\"", "\"64KiB\"", "\"1TiB\"",
		  "\"1099511627777B\"", SIZE ", from 64KiB to 1TiB", false },
		{ "delay = { hold = ", "delay.hold", "\"9999us\"", "\"10ms\"", "\"60s\"",
		  "\"60001ms\"", DURATION ", 0 or from 10ms to 1min", true },
		{ "delay = { release = ", "delay.release", "\"9999us\"", "\"10ms\"", "\"60s\"",
		  "\"60001ms\"", DURATION ", 0 or from 10ms to 1min", true },
		{ "threshold = { stop = 0; start = ", "threshold.start", "\"4095B\"", "\"4KiB\"",
		  "\"16TiB\"", "\"17592186044417B\"", SIZE ", from 4KiB to 16TiB", false },
		{ "threshold = { stop = ", "threshold.stop", NULL, "\"1B\"", "\"32767KiB\"",
		  "\"17592186044417B\"", SIZE ", from 0 to 16TiB", true },
		{ "threshold = { min_age = ", "threshold.min_age", NULL, "\"1us\"", "\"24h\"",
		  "\"86400001ms\"", DURATION ", from 0 to 1d", true },
		{ "threshold = { cooldown = ", "threshold.cooldown", NULL, "\"1us\"", "\"1d\"",
		  "\"86400001ms\"", DURATION ", from 0 to 1d", true },
		{ "cycle = { cooldown = ", "cycle.cooldown", NULL, "\"1us\"", "\"1d\"",
		  "\"86400001ms\"", DURATION ", from 0 to 1d", true },
		{ "burst = { start = ", "burst.start", "\"4095B\"", "\"4KiB\"", "\"16TiB\"",
		  "\"17592186044417B\"", SIZE ", from 4KiB to 16TiB", false },
		{ "burst = { step_timeout = ", "burst.step_timeout", "\"99ms\"", "\"100ms\"",
		  "\"1d\"", "\"86400001ms\"", DURATION ", from 100ms to 1d", false },
		{ "burst = { cooldown = ", "burst.cooldown", NULL, "\"1us\"", "\"1d\"",
		  "\"86400001ms\"", DURATION ", from 0 to 1d", true },
		{ "slew = { reserve = ", "slew.reserve", NULL, "\"1B\"", "\"16TiB\"",
		  "\"17592186044417B\"", SIZE ", from 0 to 16TiB", true },
		{ "slew = { give_rate = ", "slew.give_rate", "\"65535B\"", "\"64KiB\"", "\"1TiB\"",
		  "\"1099511627777B\"", SIZE ", from 64KiB to 1TiB", false },
		{ "slew = { take_back = ", "slew.take_back", NULL, "\"1us\"", "\"1d\"",
		  "\"86400001ms\"", DURATION ", from 0 to 1d", true },
		{ "zones = ( { zone = \"DMA\"; stop = 0; start = ", "zones[0].start", "\"4095B\"",
		  "\"4KiB\"", "\"16TiB\"", "\"17592186044417B\"", SIZE ", from 4KiB to 16TiB",
		  false },
		{ "zones = ( { zone = \"DMA\"; stop = ", "zones[0].stop", NULL, "\"1B\"",
		  "\"32767KiB\"", "\"17592186044417B\"", SIZE ", from 0 to 16TiB", true },
		{ "zones = ( { zone = \"DMA\"; min_age = ", "zones[0].min_age", NULL, "\"1us\"",
		  "\"1d\"", "\"86400001ms\"", DURATION ", from 0 to 1d", true },
	};

	(void)state;
	check_bounds(rows, ROWS(rows), true);
}

static void test_numbers(void **state)
{
	static const char order[] = NUMBER "0 to 15, \"pageblock\" or \"highest\"";
	static const char ceiling[] = NUMBER "0 to 15, \"pageblock\", \"highest\" or \"off\"";
	static const struct bounds rows[] = {
		{ "order = { floor = ", "order.floor", "-1", "0", "15", "16", order, false },
		{ "order = { floor = ", "order.floor", "\"off\"", "\"pageblock\"", "\"highest\"",
		  "\"9\"", order, false },
		{ "order = { ceiling = ", "order.ceiling", "-1", "0", "15", "16", ceiling, false },
		{ "order = { ceiling = ", "order.ceiling", "\"lowest\"", "\"off\"", "\"highest\"",
		  "\"9\"", ceiling, false },
		{ "order = { ceiling = ", "order.ceiling", "999999999", "\"pageblock\"", "9L",
		  "-999999999", ceiling, false },
		{ "threshold = { order = ", "threshold.order", "-1", "0", "15", "16", order,
		  false },
		{ "threshold = { order = ", "threshold.order", "\"off\"", "\"pageblock\"",
		  "\"highest\"", "\"9\"", order, false },
		{ "cycle = { order = ", "cycle.order", "-1", "0", "15", "16", order, false },
		{ "burst = { floor = ", "burst.floor", "-1", "0", "15", "16", order, false },
		{ "slew = { order = ", "slew.order", "-1", "0", "15", "16", order, false },
		{ "ladder = { idle_floor = ", "ladder.idle_floor", "-1", "0", "15", "16", order,
		  false },
		{ "ladder = { cpu = ", "ladder.cpu", "0", "1", "101", "102", NUMBER "1 to 101",
		  false },
		{ "trim = { max_fraction = ", "trim.max_fraction", "0", "1", "100", "101",
		  NUMBER "1 to 100", false },
		{ "trim = { order = ", "trim.order", "-1", "0", "15", "16", order, false },
		{ "prepare = { swappiness = ", "prepare.swappiness", "-1", "0", "200", "201",
		  NUMBER "0 to 200", false },
		{ "prepare = { min_blocks = ", "prepare.min_blocks", "0", "1", "1048576", "1048577",
		  NUMBER "1 to 1048576", false },
		{ "prepare = { pressure = ", "prepare.pressure", "-1", "0", "100", "101",
		  NUMBER "0 to 100", false },
		{ "prepare = { refaults = ", "prepare.refaults", "-1", "0", "100", "101",
		  NUMBER "0 to 100", false },
		{ "guards = { pressure = ", "guards.pressure", "-1", "0", "100", "101",
		  NUMBER "0 to 100", false },
		{ "guards = { churn = ", "guards.churn", "-1", "0", "100", "101", NUMBER "0 to 100",
		  false },
		{ "cycle = { high_water = ", "cycle.high_water", "0", "1", "1048576", "1048577",
		  NUMBER "1 to 1048576", false },
		{ "cycle = { low_water = ", "cycle.low_water", "-1", "0", "31", "1048577",
		  NUMBER "0 to 1048576", false },
		{ "cycle = { max_cycles = ", "cycle.max_cycles", "0", "1", "1000", "1001",
		  NUMBER "1 to 1000", false },
		{ "zones = ( { zone = \"DMA\"; node = ", "zones[0].node", "-1", "0", "1023", "1024",
		  NUMBER "0 to 1023", false },
	};

	(void)state;
	check_bounds(rows, ROWS(rows), false);
}

static void test_together(void **state)
{
	static const struct row rows[] = {
		{ "threshold = { start = \"8193KiB\"; };", NULL },
		{ "threshold = { start = \"8MiB\"; };",
		  "1: threshold.start: \"8MiB\": a size above threshold.stop, which is 8MiB" },
		{ "threshold = { stop = \"32MiB\"; };",
		  "1: threshold.stop: \"32MiB\": a size below threshold.start, which is 32MiB" },
		{ "threshold = { start = \"1GiB\";\n stop = \"2GiB\"; };",
		  "2: threshold.stop: \"2GiB\": a size below threshold.start, which is 1GiB" },
		{ "threshold = { start = \"1\"; stop = \"2TiB\"; };",
		  "1: threshold.start: \"1\": " SIZE ", from 4KiB to 16TiB" },
		{ "zones = ( { zone = \"DMA\"; start = \"8MiB\"; } );",
		  "1: zones[0].start: \"8MiB\": a size above threshold.stop, which is 8MiB" },
		{ "zones = ( { zone = \"DMA\"; stop = \"32MiB\"; } );",
		  "1: zones[0].stop: \"32MiB\": a size below threshold.start, which is 32MiB" },
		/* The general value counts wherever it stands. */
		{ "zones = ( { zone = \"DMA\"; stop = \"32MiB\"; } ); threshold = { start = "
		  "\"1GiB\"; };",
		  NULL },
		{ "zones = ( { zone = \"DMA\"; stop = \"2GiB\"; start = \"3GiB\"; } );", NULL },
		{ "zones = ( { zone = \"DMA\"; stop = \"2\"; start = \"4KiB\"; } );",
		  "1: zones[0].stop: \"2\": " SIZE ", from 0 to 16TiB" },
		{ "zones = ( { zone = \"DMA\"; }, { zone = \"DMA\"; node = 0; } );", NULL },
		{ "zones = ( { zone = \"DMA\"; },\n{ zone = \"DMA\"; } );",
		  "2: zones[1].zone: \"DMA\": each zone once per node; line 1 names it already" },
		{ "zones = ( { zone = \"DMA\"; node = 3; },\n{ node = 3; zone = \"DMA\"; } );",
		  "2: zones[1].zone: \"DMA\": each zone once per node; line 1 names it already" },
		{ "zones = ( { zone = \"DMA\"; }, { zone = \"DMA\"; node = -1; } );",
		  "1: zones[1].node: -1: " NUMBER "0 to 1023" },
		{ "order = { floor = 3; ceiling = 3; }; threshold = { order = 3; };", NULL },
		{ "order = { floor = 4; ceiling = 3; };",
		  "1: order.ceiling: 3: at least order.floor, which is 4" },
		{ "threshold = { order = 3; };\norder = { floor = 4; };",
		  "1: threshold.order: 3: at least order.floor, which is 4" },
		{ "order = { ceiling = 4; }; threshold = { order = 5; };",
		  "1: threshold.order: 5: at most order.ceiling, which is 4" },
		{ "order = { floor = \"highest\"; ceiling = 0; };", NULL },
		{ "cycle = { order = 3; }; order = { floor = 4; };",
		  "1: cycle.order: 3: at least order.floor, which is 4" },
		{ "burst = { floor = 5; }; order = { ceiling = 4; };",
		  "1: burst.floor: 5: at most order.ceiling, which is 4" },
		{ "slew = { order = 3; }; order = { floor = 4; };",
		  "1: slew.order: 3: at least order.floor, which is 4" },
		{ "ladder = { idle_floor = 3; }; order = { floor = 4; };",
		  "1: ladder.idle_floor: 3: at least order.floor, which is 4" },
		{ "ladder = { quiet = \"64MiB\"; };",
		  "1: ladder.quiet: \"64MiB\": a size below ladder.busy, which is 64MiB" },
		{ "ladder = { busy = \"16MiB\"; };",
		  "1: ladder.busy: \"16MiB\": a size above ladder.quiet, which is 16MiB" },
		{ "cycle = { low_water = 31; };", NULL },
		{ "cycle = { low_water = 32; };",
		  "1: cycle.low_water: 32: a number below cycle.high_water, which is 32" },
		{ "cycle = { high_water = 4;\nlow_water = 5; };",
		  "2: cycle.low_water: 5: a number below cycle.high_water, which is 4" },
		{ "cycle = { high_water = 0; low_water = 5; };",
		  "1: cycle.high_water: 0: " NUMBER "1 to 1048576" },
	};

	(void)state;
	check_rows(rows, ROWS(rows));
}

static void test_zones(void **state)
{
	static const char list[] =
		"a list of at most 16 groups: ( { zone = \"Normal\"; ... }, ... )";
	struct config config;
	char text[2048], expected[200], *errors;

	(void)state;
	for (int nr = 15; nr <= 20; nr++) {
		int len = snprintf(text, sizeof(text), "zones = (");

		for (int i = 0; i < nr; i++)
			len += snprintf(text + len, sizeof(text) - (size_t)len,
					"%s{ zone = \"Normal\"; node = %d; }", i ? ",\n" : "", i);
		snprintf(text + len, sizeof(text) - (size_t)len, ");");
		snprintf(expected, sizeof(expected), "17: zones[16]: { ... }: %s", list);
		check_text(text, nr > CONFIG_MAX_ZONES ? expected : NULL);
	}
	check_text("zones = ();", NULL);
	snprintf(expected, sizeof(expected), "1: zones: { ... }: %s", list);
	check_text("zones = { zone = \"DMA\"; };", expected);
	snprintf(expected, sizeof(expected), "1: zones: [ ... ]: %s", list);
	check_text("zones = [ \"DMA\" ];", expected);
	check_text("zones = ( ( ) );", "1: zones[0]: ( ... ): a group: { zone = \"Normal\"; ... }");

	/* Unnamed members hold the general values. */
	assert_int_equal(load_text("zones = ( { zone = \"HighMem\"; stop = 0; } );"
				   "threshold = { start = \"1GiB\"; min_age = \"7s\"; };",
				   &config, &errors),
			 0);
	free(errors);
	assert_int_equal(config.nr_zones, 1);
	assert_string_equal(config.zones[0].zone, "HighMem");
	assert_int_equal(config.zones[0].node, CONFIG_ANY_NODE);
	assert_int_equal(config.zones[0].start, GIB);
	assert_int_equal(config.zones[0].stop, 0);
	assert_int_equal(config.zones[0].min_age, 7 * NSEC_PER_SEC);
	assert_false(config.zones[0].has_start || config.zones[0].has_min_age);
	assert_true(config.zones[0].has_stop);
}

static void test_unknown_names(void **state)
{
	static const struct {
		const char *text, *name, *near;
	} rows[] = {
		{ "treshold = { };", "treshold", "threshold" },
		{ "MODE = 1;", "MODE", "mode" },
		{ "mdoe = 1;", "mdoe", "mode" },
		{ "startegy = 1;", "startegy", "strategy" },
		{ "log-level = 1;", "log-level", "log_level" },
		{ "intervall = 1;", "intervall", "interval" },
		{ "zone = ( );", "zone", "zones" },
		{ "order = { flor = 1; };", "order.flor", "floor" },
		{ "threshold = { minage = 1; };", "threshold.minage", "min_age" },
		{ "zones = ( { zone = \"DMA\"; nod = 1; } );", "zones[0].nod", "node" },
		{ "x = 1;", "x", NULL },
		{ "floor = 1;", "floor", NULL }, /* exists, but not here */
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = 1;",
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
	};
	char expected[300];

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		if (rows[i].near)
			snprintf(expected, sizeof(expected),
				 "1: %s: unknown name; did you mean \"%s\"?", rows[i].name,
				 rows[i].near);
		else
			snprintf(expected, sizeof(expected), "1: %s: unknown name; known here: %s",
				 rows[i].name, TOP_NAMES);
		check_text(rows[i].text, expected);
	}
	check_text("delay = { wait = 1; };",
		   "1: delay.wait: unknown name; known here: hold, release");
	check_text("zones = ( { zone = \"DMA\"; colour = 1; } );",
		   "1: zones[0].colour: unknown name; known here: zone, node, ignore, start, stop, "
		   "min_age");
	check_text("order = { order = { floor = 1; }; };",
		   "1: order.order: unknown name; known here: floor, ceiling");
}

static void test_syntax(void **state)
{
	static const struct row rows[] = {
		{ "", NULL },
		{ "\n\n", NULL },
		{ "# comment without line end", NULL },
		{ "mode = \"control\" // so", NULL },
		{ "/* a\n\"b { */ kick = true;\r\n", NULL },
		{ "mode = \"con\"\n\"trol\";", NULL },
		{ "\nmode = control;", "2: syntax error" },
		{ "mode \"control\";", "1: syntax error" },
		{ "\"control\"", "1: syntax error" },
		{ "mode = \"a\"; \"b\"", "1: syntax error" },
		{ "mode = 1 \"b\";", "1: syntax error" },
		{ "order = { \"a\" };", "1: syntax error" },
		{ "zones = ( { zone = \"DMA\"; } \"b\" );", "1: syntax error" },
		{ "zones = ( { zone = \"DMA\", \"b\" } );", "1: syntax error" },
		{ "mode = \"control\";\nmode = \"control\";", "2: duplicate setting name" },
		{ "zones = [ 1, \"a\" ];", "1: mismatched element type in array" },
		{ "order = {\n\n", "1: syntax error: '{' is not closed" },
		{ "order = {\nfloor = 1;\n);",
		  "3: syntax error: ')' does not close the '{' of line 1" },
		{ "\n}", "2: syntax error: '}' closes nothing" },
		{ "\nmode = \"control;\nkick = true;",
		  "2: syntax error: this string does not end in its line" },
		{ "mode = \"\\\"; # \\", "1: syntax error: this string does not end in its line" },
		{ "mode = \"control\"; /* so", "1: syntax error: this comment does not end" },
		{ "order = { floor = 4294967301; };",
		  "1: 4294967301: a number of at most 9 digits" },
		{ "order = { floor = 0x1000000005; };",
		  "1: 0x1000000005: a number of at most 9 digits" },
		{ "order = { floor = -1234567890; };",
		  "1: -1234567890: a number of at most 9 digits" },
		{ "a4294967301 = 123456789;",
		  "1: a4294967301: unknown name; known here: " TOP_NAMES },
		{ "\n \t@include \"x\"\nmode = (;",
		  "2: @include: not allowed; write every option into this file" },
		{ "mode = \"@include\"; # @include", "1: mode: \"@include\": one of \"observe\", "
						     "\"dry-run\", \"control\"" },
		{ "mode = \"control\\x00x\";", "1: syntax error: NUL byte in a string" },
		{ "mode = \"\\x63ontrol\";", NULL },
		{ "\xff\xfe", "1: syntax error" },
		{ "\x7f"
		  "ELF",
		  "1: syntax error" },
	};

	(void)state;
	check_rows(rows, ROWS(rows));
}

/* What can't be read has no line. */
static void check_unreadable(const char *path, int code, const char *expected)
{
	struct config config = { .nr_zones = 7 };
	char *errors;

	assert_int_equal(load_path(path, &config, &errors), code);
	assert_string_equal(errors, expected);
	assert_int_equal(config.nr_zones, 7);
	free(errors);
}

static void test_files(void **state)
{
	static char big[CONFIG_MAX_BYTES + 1];

	(void)state;
	check_unreadable("/nonexistent/x.conf", -ENOENT,
			 "0: cannot read the file: No such file or directory\n");
	check_unreadable("/tmp", -EISDIR, "0: is a directory; a regular file is expected\n");
	check_unreadable("/dev/null", -EINVAL,
			 "0: is a pipe, socket or device; a regular file is expected\n");
	unlink(file_path);
	assert_int_equal(mkfifo(file_path, 0600), 0);
	check_unreadable(file_path, -EINVAL,
			 "0: is a pipe, socket or device; a regular file is expected\n");
	unlink(file_path);
	memset(big, '\n', sizeof(big));
	put(big, sizeof(big));
	check_unreadable(file_path, -EFBIG, "0: longer than 262144 bytes, which is the limit\n");
	memcpy(big + CONFIG_MAX_BYTES - 5, "mode;", 5);
	put(big, CONFIG_MAX_BYTES);
	check_unreadable(file_path, -EINVAL, "262140: syntax error\n");
	put("\nmode = \0\"", 9);
	check_unreadable(file_path, -EINVAL, "2: NUL byte; a text file is expected\n");
}

static void test_nesting(void **state)
{
	static const char *const opens[] = { "(", "a={", "[", "({a=" };
	static char text[CONFIG_MAX_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < ROWS(opens); i++) {
		size_t len = strlen(opens[i]), used = 2;

		memcpy(text, "a=", 2);
		for (; used + len < sizeof(text); used += len)
			memcpy(text + used, opens[i], len + 1);
		text[used] = '\0';
		check_text(text, "1: syntax error: more than 16 brackets open");
		check_text(text + 2, "1: syntax error: more than 16 brackets open");
	}
}

static void test_many_settings(void **state)
{
	char text[8 * 1100] = "", *errors;
	struct config config;
	size_t len = 0;

	(void)state;
	for (int i = 0; i < 1024; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "x%d=1\n", i);
	assert_int_equal(load_text(text, &config, &errors), -EINVAL);
	assert_non_null(strstr(errors, "\n1024: x1023: unknown name"));
	free(errors);
	strcpy(text + len, "mode=1");
	check_text(text, "1025: more than 1024 settings");
}

/* Each fixture against the errors that it has, or the values that it sets. */
static void test_fixtures(void **state)
{
	static const struct {
		const char *name;
		int code;
	} rows[] = { { "full", 0 }, { "wrong", -EINVAL }, { "include", -EINVAL } };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char path[300], *expected, *errors, *values;
		struct config config;
		size_t size;
		FILE *out;

		snprintf(path, sizeof(path), "%s%s.expected", FIXTURES, rows[i].name);
		expected = slurp(path);
		snprintf(path, sizeof(path), "%s%s.conf", FIXTURES, rows[i].name);
		assert_int_equal(load_path(path, &config, &errors), rows[i].code);
		out = open_memstream(&values, &size);
		if (!rows[i].code)
			config_print(&config, out);
		fclose(out);
		assert_string_equal(rows[i].code ? errors : values, expected);
		assert_string_equal(rows[i].code ? values : errors, "");
		free(expected);
		free(errors);
		free(values);
	}
}

static char *print_document(void (*print)(FILE *out))
{
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	print(out);
	fclose(out);
	return text;
}

static void check_lines(const char *text, size_t longest)
{
	for (size_t len; *text; text += len + 1) {
		size_t columns = 0;

		len = strcspn(text, "\n");
		for (size_t i = 0; i < len; i++)
			columns += text[i] == '\t' ? 8 - columns % 8 : 1;
		if (columns > longest || (len && strchr(" \t", text[len - 1])))
			fail_msg("too long, or blanks at the end: %.*s", (int)len, text);
	}
}

static void test_example(void **state)
{
	char *example = print_document(config_print_example);
	char *shipped = slurp(EXAMPLE);
	struct config config, defaults;
	char *errors;

	(void)state;
	assert_string_equal(shipped, example);
	check_lines(example, 80);
	config_defaults(&defaults);
	assert_int_equal(load_path(EXAMPLE, &config, &errors), 0);
	assert_string_equal(errors, "");
	assert_memory_equal(&config, &defaults, sizeof(config));
	free(example);
	free(shipped);
	free(errors);
}

static void test_documents(void **state)
{
	char *help = print_document(config_print_help);
	char *scdoc = print_document(config_print_scdoc);

	(void)state;
	check_lines(help, 80);
	assert_non_null(
		strstr(help, "  threshold.start     \"32MiB\"       reportable memory at which"));
	assert_non_null(strstr(help, "  zones[].zone        required"));
	check_lines(scdoc, 1000);
	assert_memory_equal(scdoc, "# OPTIONS\n\n*mode*\n\tWhat", 23);
	assert_non_null(strstr(scdoc, "\n## threshold\n"));
	assert_non_null(strstr(scdoc, "\n*threshold.min\\_age*\n\t"));
	free(help);
	free(scdoc);
}

static void test_defaults(void **state)
{
	struct config config;

	(void)state;
	memset(&config, 0xff, sizeof(config));
	config_defaults(&config);
	assert_int_equal(config.mode, MODE_CONTROL);
	assert_int_equal(config.strategy, STRATEGY_THRESHOLD);
	assert_int_equal(config.interval, 2 * NSEC_PER_SEC);
	assert_int_equal(config.full_interval, 60 * NSEC_PER_SEC);
	assert_int_equal(config.max_drift, 16 * MIB);
	assert_int_equal(config.events, EVENTS_LISTS);
	assert_true(config.kick);
	assert_int_equal(config.order_floor, 0);
	assert_int_equal(config.order_ceiling, ORDER_OFF);
	assert_int_equal(config.delay_hold, 0);
	assert_int_equal(config.delay_release, 0);
	assert_int_equal(config.log_level, LOG_LEVEL_INFO);
	assert_int_equal(config.threshold.start, 32 * MIB);
	assert_int_equal(config.threshold.stop, 8 * MIB);
	assert_int_equal(config.threshold.min_age, NSEC_PER_SEC);
	assert_int_equal(config.threshold.cooldown, 10 * NSEC_PER_SEC);
	assert_int_equal(config.threshold.order, ORDER_PAGEBLOCK);
	assert_int_equal(config.nr_zones, 0);
	assert_int_equal(config.nr_extra, 0);
	assert_string_equal(config.trigger.path, "");
	assert_string_equal(config.trigger.device, "");
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(config_mode_name(MODE_OBSERVE), "observe");
	assert_string_equal(config_mode_name(MODE_DRY_RUN), "dry-run");
	assert_string_equal(config_mode_name(MODE_CONTROL), "control");
	assert_string_equal(config_mode_name((enum mode)9), "unknown");
	assert_string_equal(config_strategy_name(STRATEGY_KERNEL), "kernel");
	assert_string_equal(config_strategy_name(STRATEGY_THRESHOLD), "threshold");
	assert_string_equal(config_events_name(EVENTS_OFF), "off");
	assert_string_equal(config_events_name(EVENTS_LISTS), "lists");
	assert_string_equal(config_events_name(EVENTS_ALL), "all");
	assert_int_equal(order_resolve(0, 9, 10), 0);
	assert_int_equal(order_resolve(15, 9, 10), 15);
	assert_int_equal(order_resolve(ORDER_PAGEBLOCK, 9, 10), 9);
	assert_int_equal(order_resolve(ORDER_HIGHEST, 9, 10), 10);
	assert_int_equal(order_resolve(ORDER_OFF, 9, 10), 11);
}

static void test_fixed_changes(void **state)
{
	struct config running, loaded;
	char *names;
	size_t size;
	FILE *out = open_memstream(&names, &size);

	(void)state;
	config_defaults(&running);
	loaded = running;
	assert_int_equal(config_fixed_changes(&running, &loaded, out), 0);
	loaded.interval++;
	loaded.threshold.order = 3;
	loaded.nr_zones = 1;
	assert_int_equal(config_fixed_changes(&running, &loaded, out), 0);
	loaded.events = EVENTS_ALL;
	loaded.kick = false;
	loaded.mode = MODE_OBSERVE;
	assert_int_equal(config_fixed_changes(&running, &loaded, out), 1);
	fclose(out);
	assert_string_equal(names, "events\n");
	free(names);
}

/* xorshift64: the same mutations everywhere */
static size_t pick(size_t below)
{
	static uint64_t seed = 0x9e3779b97f4a7c15ULL;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* Replaces @old_len bytes at @at by @piece; returns the new length. */
static size_t splice(char *text, size_t len, size_t at, size_t old_len, const char *piece,
		     size_t piece_len)
{
	memmove(text + at + piece_len, text + at + old_len, len - at - old_len);
	memcpy(text + at, piece, piece_len);
	return len - old_len + piece_len;
}

static size_t mutate(char *text, size_t len)
{
	static const char *const pieces[] = {
		"{",
		"}",
		"(",
		")",
		"[",
		"]",
		"\"",
		"\\",
		"\\\"",
		"=",
		":",
		";",
		",",
		"#",
		"//",
		"/*",
		"*/",
		"\n",
		"@include",
		"\n@include \"x\"\n",
		"0",
		"-1",
		"0x1F",
		"99999999999L",
		"1.5",
		"true",
		"\"64MiB\"",
		"\"0\"",
		"\"\"",
		"\\x00",
		"zones = ( { zone = \"DMA\"; } );",
		"rungs = ( { order = 1; value = 1; } );",
		"node = 1;",
		"threshold",
		"cycle = { high_water = 1; };",
		"low_water",
		"mode = \"observe\";",
		"(((((((((((((((((((((((",
		"\xff",
		"e9",
	};
	const char *piece = pieces[pick(ROWS(pieces))];
	size_t at = pick(len + 1), span = pick(40), from = pick(len + 1);
	char copy[40], byte = (char)pick(256);

	if (span > len - at)
		span = len - at;
	switch (pick(6)) {
	case 0: /* another byte */
		return splice(text, len, at, span ? 1 : 0, &byte, 1);
	case 1: /* less */
		return splice(text, len, at, span, "", 0);
	case 2: /* a token more */
		return splice(text, len, at, 0, piece, strlen(piece));
	case 3: /* a token instead */
		return splice(text, len, at, span, piece, strlen(piece));
	case 4: /* twice, elsewhere */
		memcpy(copy, text + at, span);
		return splice(text, len, from, 0, copy, span);
	default: /* cut off */
		return pick(4) ? len : at;
	}
}

static bool loaded_well(const struct config *config)
{
	bool ok = config->nr_zones <= CONFIG_MAX_ZONES &&
		  config->threshold.stop < config->threshold.start &&
		  config->cycle.low_water < config->cycle.high_water;

	for (unsigned int i = 0; i < config->nr_zones; i++)
		ok = ok && config->zones[i].stop < config->zones[i].start &&
		     memchr(config->zones[i].zone, '\0', CONFIG_ZONE_NAME);
	ok = ok && config->nr_extra <= CONFIG_MAX_EXTRA &&
	     !(*config->trigger.path && *config->trigger.device);
	for (unsigned int i = 0; ok && i < config->nr_extra; i++)
		ok = config->extra[i].nr_rungs <= CONFIG_MAX_RUNGS &&
		     memchr(config->extra[i].path, '\0', CONFIG_PATH) &&
		     config->extra[i].hold <= INT64_MAX;
	return ok;
}

/* Files a few changes away from good ones: no crash, no leak, no half-read configuration. */
static void test_mutations(void **state)
{
	static const char *const seeds[] = { EXAMPLE, FIXTURES "full.conf", FIXTURES "wrong.conf" };
	struct config config, before;
	size_t loaded = 0;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (int i = 0; i < MUTATIONS; i++) {
		char *text = slurp(seeds[i % (int)ROWS(seeds)]), *errors;
		size_t len = strlen(text);
		int ret;

		for (size_t changes = 1 + pick(6); changes; changes--)
			len = mutate(text, len);
		put(text, len);
		config = before;
		ret = load_path(file_path, &config, &errors);
		assert_true(ret == 0 || ret == -EINVAL);
		assert_int_equal(*errors == '\0', ret == 0);
		if (ret)
			assert_memory_equal(&config, &before, sizeof(config));
		else
			assert_true(loaded_well(&config));
		loaded += !ret;
		free(errors);
		free(text);
	}
	/* Changes in comments do no harm, so both ways have been gone. */
	assert_in_range(loaded, MUTATIONS / 50, MUTATIONS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),	  cmocka_unit_test(test_amounts),
		cmocka_unit_test(test_numbers),	  cmocka_unit_test(test_together),
		cmocka_unit_test(test_zones),	  cmocka_unit_test(test_unknown_names),
		cmocka_unit_test(test_syntax),	  cmocka_unit_test(test_files),
		cmocka_unit_test(test_nesting),	  cmocka_unit_test(test_many_settings),
		cmocka_unit_test(test_fixtures),  cmocka_unit_test(test_example),
		cmocka_unit_test(test_documents), cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_names),	  cmocka_unit_test(test_fixed_changes),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
