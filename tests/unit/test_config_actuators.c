// SPDX-License-Identifier: GPL-2.0-only
/* Group actuators of the configuration: what is taken, each error with its line, what it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "sluice/config.h"

#define EXTRA(text)   "actuators = { extra = (\n" text "\n); };"
#define KNOB(text)    EXTRA("{ path = \"/sys/a\"; hold = 0; release = 1; " text " }")
#define TRIGGER(text) "actuators = { trigger = {\n" text "\n}; };"
#define NUMBER(max)                                                        \
	"a number from 0 to " max                                          \
	", in quotes if it is hexadecimal (\"0x5401\") or has ten digits " \
	"or more"
#define VALUE  NUMBER("9223372036854775807")
#define WORD   NUMBER("4294967295")
#define KNOBS  "a plain path of at most 127 characters below \"/sys/\" or \"/proc/sys/\""
#define DEVICE "\"\" or a plain path of at most 127 characters below \"/dev/\""
#define RUNGS  "a list of at most 16 groups: ( { order = 5; ... }, ... )"
#define LIST   "a list of at most 8 groups: ( { path = \"/sys/...\"; ... }, ... )"
#define HEX    "pairs of hexadecimal digits, for at most 128 bytes"
#define ORDER  "/sys/module/page_reporting/parameters/page_reporting_order"
#define DELAY  "/sys/module/page_reporting/parameters/page_reporting_delay_ms"

static void test_knobs(void **state)
{
	static const struct row rows[] = {
		{ "actuators = { };", NULL },
		{ "actuators = { extra = ( ); };", NULL },
		{ EXTRA("{ path = \"/proc/sys/vm/a\"; hold = \"0x10\"; release = 3; }"), NULL },
		{ KNOB("rungs = ( );"), NULL },
		{ KNOB("rungs = ( { order = 0; value = 3; }, { order = \"highest\"; value = 1; } "
		       ");"),
		  NULL },
		{ "actuators = ( );", "1: actuators: ( ... ): a group: actuators = { name = "
				      "value; ... };" },
		{ "actuators = { extra = { }; };", "1: actuators.extra: { ... }: " LIST },
		{ EXTRA("5"), "2: actuators.extra[0]: 5: a group: { path = \"/sys/...\"; ... }" },
		{ EXTRA("{ }"), "2: actuators.extra[0].path: missing: " KNOBS "\n"
				"2: actuators.extra[0].hold: missing: " VALUE "\n"
				"2: actuators.extra[0].release: missing: " VALUE },
		{ KNOB("colour = 1;"), "2: actuators.extra[0].colour: unknown name; known here: "
				       "path, hold, release, rungs" },
		{ KNOB("rung = ( );"),
		  "2: actuators.extra[0].rung: unknown name; did you mean \"rungs\"?" },
		{ "actuators = { extr = 1; };",
		  "1: actuators.extr: unknown name; did you mean \"extra\"?" },
		{ "actuators = { x = 1; };",
		  "1: actuators.x: unknown name; known here: extra, trigger" },
	};

	(void)state;
	check_rows(rows, ROWS(rows));
}

/* One knob with @path. */
static void check_path(const char *path, bool allowed)
{
	char text[400], expected[400], quoted[QUOTED_TEXT];

	snprintf(text, sizeof(text), EXTRA("{ path = \"%s\"; hold = 0; release = 1; }"), path);
	snprintf(expected, sizeof(expected), "2: actuators.extra[0].path: %s: " KNOBS,
		 text_quote(path, quoted));
	check_text(text, allowed ? NULL : expected);
}

static void test_paths(void **state)
{
	static const char *const wrong[] = {
		"",	      "sys/a",	      "/etc/passwd",  "/sys",	     "/sys/",
		"/sys//a",    "/sys/./a",     "/sys/../a",    "/sys/a/",     "/sysx/a",
		"/dev/a",     "/proc/self/x", "/proc/sys/..", "/sys/a b",    "/sys/a/..",
		"/proc/sys/", "//sys/a",      "/SYS/a",	      "/sys/a/../b",
	};
	char longest[128] = "/sys/";

	(void)state;
	for (size_t i = 0; i < ROWS(wrong); i++)
		check_path(wrong[i], false);
	check_path("/sys/...", true); /* a name like any other */
	check_path("/sys/..a/b..", true);
	check_path("/proc/sys/vm/a-b_c:d", true);
	memset(longest + 5, 'x', sizeof(longest) - 6);
	check_path(longest, true);
	check_path(
		"/sys/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		false);
}

static void test_values(void **state)
{
	static const struct {
		const char *value;
		bool allowed;
	} rows[] = {
		{ "0", true },
		{ "999999999", true },
		{ "\"0\"", true },
		{ "\"007\"", true },
		{ "\"0xfF\"", true },
		{ "\"9223372036854775807\"", true },
		{ "\"0x7fffffffffffffff\"", true },
		{ "\"9223372036854775808\"", false },
		{ "\"18446744073709551616\"", false },
		{ "\"0x8000000000000000\"", false },
		{ "\"0x10000000000000000\"", false },
		{ "-1", false },
		{ "0x10", false }, /* libconfig wraps them */
		{ "1.5", false },
		{ "true", false },
		{ "\"\"", false },
		{ "\"0x\"", false },
		{ "\"0X1\"", false },
		{ "\"0xg\"", false },
		{ "\" 1\"", false },
		{ "\"1 \"", false },
		{ "\"-1\"", false },
		{ "\"1MiB\"", false },
	};
	char text[200], expected[400];

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		snprintf(text, sizeof(text),
			 EXTRA("{ path = \"/sys/a\"; hold = %s; release = 0; }"), rows[i].value);
		snprintf(expected, sizeof(expected), "2: actuators.extra[0].hold: %s: " VALUE,
			 rows[i].value);
		check_text(text, rows[i].allowed ? NULL : expected);
		snprintf(text, sizeof(text), KNOB("rungs = ( { order = 5; value = %s; } );"),
			 rows[i].value);
		snprintf(expected, sizeof(expected),
			 "2: actuators.extra[0].rungs[0].value: %s: " VALUE, rows[i].value);
		check_text(text, rows[i].allowed ? NULL : expected);
	}
}

static void test_rungs(void **state)
{
	static const struct row rows[] = {
		{ KNOB("rungs = { };"), "2: actuators.extra[0].rungs: { ... }: " RUNGS },
		{ KNOB("rungs = ( 5 );"),
		  "2: actuators.extra[0].rungs[0]: 5: a group: { order = 5; ... }" },
		{ KNOB("rungs = ( { order = 16; value = 1; } );"),
		  "2: actuators.extra[0].rungs[0].order: 16: a decimal number without quotes from "
		  "0 to 15, \"pageblock\" or \"highest\"" },
		{ KNOB("rungs = (\n{ order = 1; }, { valeu = 1; order = 2; value = 1; } );"),
		  "3: actuators.extra[0].rungs[0].value: missing: " VALUE "\n"
		  "3: actuators.extra[0].rungs[1].valeu: unknown name; did you mean \"value\"?" },
		{ KNOB("rungs = ( { order = 1; value = 1; },\n{ order = 2; value = 1; },\n{ order "
		       "= "
		       "1; value = 2; } );"),
		  "4: actuators.extra[0].rungs[2].order: each order once; line 2 names it "
		  "already" },
		/* two knobs are no duplicates of each other's rungs */
		{ EXTRA("{ path = \"/sys/a\"; hold = 0; release = 1; rungs = ( { order = 1; value "
			"= "
			"1; } ); },\n{ path = \"/sys/b\"; hold = 0; release = 1; rungs = ( { order "
			"= 1; value = 1; } ); }"),
		  NULL },
	};
	char text[2048];

	(void)state;
	check_rows(rows, ROWS(rows));
	for (int nr = 16; nr <= 17; nr++) {
		int len = snprintf(text, sizeof(text),
				   "actuators = { extra = ( { path = \"/sys/a\"; hold = 0; release "
				   "= 1; rungs = (");

		for (int i = 0; i < nr; i++)
			len += snprintf(text + len, sizeof(text) - (size_t)len,
					"%s{ order = %d; value = 1; }", i ? ",\n" : "", i);
		snprintf(text + len, sizeof(text) - (size_t)len, "); } ); };");
		check_text(text,
			   nr > 16 ? "17: actuators.extra[0].rungs[16]: { ... }: " RUNGS : NULL);
	}
}

static void test_clashes(void **state)
{
	static const struct row rows[] = {
		{ EXTRA("{ path = \"/sys/a\"; hold = 0; release = 1; },\n"
			"{ path = \"/sys/b\"; hold = 0; release = 1; },\n"
			"{ path = \"/sys/a\"; hold = 0; release = 1; }"),
		  "4: actuators.extra[2].path: \"/sys/a\": each file once; line 2 names it "
		  "already" },
		{ EXTRA("{ path = \"" ORDER "\"; hold = 0; release = 1; }"),
		  "2: actuators.extra[0].path: \"" ORDER
		  "\": groups order and threshold say what is written there" },
		{ EXTRA("{ path = \"" DELAY "\"; hold = 0; release = 1; }"),
		  "2: actuators.extra[0].path: \"" DELAY
		  "\": group delay says what is written there" },
		{ "actuators = { trigger = { path = \"/sys/a\"; text = \"1\"; };\n"
		  "extra = ( { path = \"/sys/a\"; hold = 0; release = 1; } ); };",
		  "1: actuators.trigger.path: it is a knob in actuators.extra already" },
		{ TRIGGER("path = \"" ORDER "\"; text = \"1\";"),
		  "2: actuators.trigger.path: this knob starts no pass, and is written anyway" },
	};
	char text[2048];

	(void)state;
	check_rows(rows, ROWS(rows));
	for (int nr = 8; nr <= 9; nr++) {
		int len = snprintf(text, sizeof(text), "actuators = { extra = (");

		for (int i = 0; i < nr; i++)
			len += snprintf(text + len, sizeof(text) - (size_t)len,
					"%s{ path = \"/sys/%d\"; hold = 0; release = 1; }",
					i ? ",\n" : "", i);
		snprintf(text + len, sizeof(text) - (size_t)len, "); };");
		check_text(text, nr > 8 ? "9: actuators.extra[8]: { ... }: " LIST : NULL);
	}
}

static void test_trigger(void **state)
{
	static const struct row rows[] = {
		{ TRIGGER(""), NULL },
		{ TRIGGER("path = \"\"; text = \"\"; device = \"\"; request = 0; argument = 0; "
			  "bytes = \"\";"),
		  NULL },
		{ TRIGGER("path = \"/sys/a\"; text = \"go now\";"), NULL },
		{ TRIGGER("device = \"/dev/a/b\"; request = \"0x5414\"; bytes = \"00fFA5\";"),
		  NULL },
		{ TRIGGER("device = \"/dev/a\"; request = \"4294967295\"; argument = 7;"), NULL },
		{ TRIGGER("device = \"/dev/a\"; request = \"0x40045401\"; bytes = \"01020304\";"),
		  NULL },
		{ TRIGGER("path = \"/dev/a\"; text = \"1\";"),
		  "2: actuators.trigger.path: \"/dev/a\": \"\" or " KNOBS },
		{ TRIGGER("device = \"/sys/a\"; request = 1;"),
		  "2: actuators.trigger.device: \"/sys/a\": " DEVICE },
		{ TRIGGER("device = \"/dev/../a\"; request = 1;"),
		  "2: actuators.trigger.device: \"/dev/../a\": " DEVICE },
		{ TRIGGER("path = \"/sys/a\"; text = \"a\\nb\";"),
		  "2: actuators.trigger.text: \"a\\nb\": at most 63 printable ASCII characters, no "
		  "quotes and no backslashes" },
		{ TRIGGER("path = \"/sys/a\";\ntext = 1;"),
		  "3: actuators.trigger.text: 1: at most 63 printable ASCII characters, no quotes "
		  "and no backslashes" },
		{ TRIGGER("device = \"/dev/a\"; request = \"4294967296\";"),
		  "2: actuators.trigger.request: \"4294967296\": " WORD },
		{ TRIGGER("device = \"/dev/a\"; request = 1; argument = \"0x100000000\";"),
		  "2: actuators.trigger.argument: \"0x100000000\": " WORD },
		{ TRIGGER("device = \"/dev/a\"; request = 1; bytes = \"123\";"),
		  "2: actuators.trigger.bytes: \"123\": " HEX },
		{ TRIGGER("device = \"/dev/a\"; request = 1; bytes = \"0x12\";"),
		  "2: actuators.trigger.bytes: \"0x12\": " HEX },
		{ TRIGGER("device = \"/dev/a\"; request = 1; bytes = 12;"),
		  "2: actuators.trigger.bytes: 12: " HEX },
		{ TRIGGER("device = \"/dev/a\"; request = 1;\npath = \"/sys/a\"; text = \"1\";"),
		  "2: actuators.trigger.device: either this or actuators.trigger.path, not both" },
		{ TRIGGER("path = \"/sys/a\";"),
		  "2: actuators.trigger.path: actuators.trigger.text has to say what is written" },
		{ TRIGGER("text = \"1\";"),
		  "2: actuators.trigger.text: actuators.trigger.path has to say where to" },
		{ TRIGGER("device = \"/dev/a\"; request = 0;"),
		  "2: actuators.trigger.device: actuators.trigger.request has to say which ioctl, "
		  "not 0" },
		{ TRIGGER("request = 1;\nargument = 2;"),
		  "2: actuators.trigger.request: actuators.trigger.device has to say of what\n"
		  "3: actuators.trigger.argument: only with actuators.trigger.device" },
		{ TRIGGER("bytes = \"00\";"),
		  "2: actuators.trigger.bytes: only with actuators.trigger.device" },
		{ TRIGGER("device = \"/dev/a\"; request = 1; argument = 1;\nbytes = \"00\";"),
		  "3: actuators.trigger.bytes: either this or actuators.trigger.argument, not "
		  "both" },
		{ TRIGGER("device = \"/dev/a\"; request = \"0x40045401\";\nbytes = \"010203\";"),
		  "3: actuators.trigger.bytes: 3 bytes: request 0x40045401 takes 4" },
		{ TRIGGER("ioctl = 1;"), "2: actuators.trigger.ioctl: unknown name; known here: "
					 "path, text, device, request, argument, bytes" },
		{ "actuators = { trigger = ( ); };",
		  "1: actuators.trigger: ( ... ): a group: actuators.trigger = { name = value; ... "
		  "};" },
	};

	(void)state;
	check_rows(rows, ROWS(rows));
}

static char *print(const struct config *config)
{
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	config_print(config, out);
	fclose(out);
	return text;
}

static void test_meaning(void **state)
{
	static const char text[] =
		"actuators = { extra = (\n"
		"{ path = \"/sys/a\"; hold = \"0x20\"; release = 1; rungs = (\n"
		"  { order = 5; value = \"1099511627776\"; }, { order = \"pageblock\"; value = 9; "
		"},\n"
		"  { order = \"highest\"; value = 10; } ); },\n"
		"{ path = \"/sys/b\"; hold = 3; release = 4; } );\n"
		"trigger = { device = \"/dev/a\"; request = \"0x5414\"; bytes = \"00ff\"; }; };";
	struct config config, other;
	char *errors, *printed;

	(void)state;
	assert_int_equal(load_text(text, &config, &errors), 0);
	free(errors);
	assert_int_equal(config.nr_extra, 2);
	assert_string_equal(config.extra[0].path, "/sys/a");
	assert_int_equal(config.extra[0].hold, 32);
	assert_int_equal(config.extra[0].nr_rungs, 3);
	assert_int_equal(config_extra_release(&config.extra[0], 5, 9, 10), 1LL << 40);
	assert_int_equal(config_extra_release(&config.extra[0], 9, 9, 10), 9);
	assert_int_equal(config_extra_release(&config.extra[0], 10, 9, 10), 10);
	assert_int_equal(config_extra_release(&config.extra[0], 7, 9, 10), 1);
	assert_int_equal(config_extra_release(&config.extra[0], 7, 7, 13), 9);
	assert_int_equal(config_extra_release(&config.extra[1], 9, 9, 10), 4);
	assert_string_equal(config.trigger.device, "/dev/a");
	assert_int_equal(config.trigger.request, 0x5414);
	assert_string_equal(config.trigger.bytes, "00ff");

	printed = print(&config);
	assert_non_null(strstr(printed, "actuators.trigger.request = \"21524\";\n"));
	assert_non_null(strstr(printed, "actuators.extra[0].path = \"/sys/a\";\n"
					"actuators.extra[0].hold = \"32\";\n"
					"actuators.extra[0].release = \"1\";\n"
					"actuators.extra[0].rungs[0].order = 5;\n"
					"actuators.extra[0].rungs[0].value = \"1099511627776\";\n"
					"actuators.extra[0].rungs[1].order = \"pageblock\";\n"
					"actuators.extra[0].rungs[1].value = \"9\";\n"
					"actuators.extra[0].rungs[2].order = \"highest\";\n"
					"actuators.extra[0].rungs[2].value = \"10\";\n"
					"actuators.extra[1].path = \"/sys/b\";\n"));
	free(printed);

	/* what differs in the group, and nothing else, makes them differ */
	assert_int_equal(load_text(text, &other, &errors), 0);
	free(errors);
	other.interval++;
	assert_false(config_actuators_differ(&config, &other));
	other.extra[0].rungs[2].value++;
	assert_true(config_actuators_differ(&config, &other));
	other = config;
	other.extra[1].nr_rungs = 1;
	assert_true(config_actuators_differ(&config, &other));
	other = config;
	other.trigger.bytes[0] = '1';
	assert_true(config_actuators_differ(&config, &other));
	other = config;
	other.nr_extra--;
	assert_true(config_actuators_differ(&config, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_knobs),	cmocka_unit_test(test_paths),
		cmocka_unit_test(test_values),	cmocka_unit_test(test_rungs),
		cmocka_unit_test(test_clashes), cmocka_unit_test(test_trigger),
		cmocka_unit_test(test_meaning),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
