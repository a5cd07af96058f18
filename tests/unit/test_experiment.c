// SPDX-License-Identifier: GPL-2.0-only
/* Experiments: schedule, and the file. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sluice/experiment.h"

#define SECOND UINT64_C(1000000000)

struct given {
	struct ab_experiment experiment;
	char path[64];
	int file;
};

static void fill(struct ab_experiment *experiment)
{
	*experiment = (struct ab_experiment){
		.id = "one",
		.sluice = "1.2",
		.created_ms = 1764000000000,
		.guest = { "m", "b", "6.1" },
		.plan = { .design = AB_ABBA,
			  .blocks = 8,
			  .period = 60 * SECOND,
			  .washout = 10 * SECOND,
			  .seed = 7 },
		.arm_file = { "a.conf", "b.conf" },
		.margin = 0.05,
		.alpha = 0.05,
		.power = 0.8,
		.sample = SECOND,
		.metric_timeout = SECOND,
		.stop_pressure = 20,
	};
	experiment->arm_text[AB_A] = strdup("strategy = \"kernel\";\n");
	experiment->arm_text[AB_B] = strdup("");
	experiment->nr_outcomes = ab_outcomes(false, experiment->outcomes);
	experiment->outcomes[experiment->nr_outcomes++] =
		(struct ab_outcome){ "p99", "", AB_MORE, "cat /tmp/p99 # \"quoted\"" };
	experiment->primary = experiment->nr_outcomes - 1;
	ab_draw(&experiment->plan);
}

static int setup(void **state)
{
	struct given *given = calloc(1, sizeof(*given));
	int fd;

	snprintf(given->path, sizeof(given->path), "/tmp/sluice-experiment-XXXXXX");
	fd = mkstemp(given->path);
	close(fd);
	unlink(given->path);
	given->file = -1;
	fill(&given->experiment);
	*state = given;
	return 0;
}

static int teardown(void **state)
{
	struct given *given = *state;

	if (given->file >= 0)
		close(given->file);
	unlink(given->path);
	free(given->experiment.arm_text[AB_A]);
	free(given->experiment.arm_text[AB_B]);
	free(given);
	return 0;
}

static void create(struct given *given)
{
	struct errmsg err = { 0 };

	assert_int_equal(ab_create(given->path, &given->experiment, &given->file, &err), 0);
}

static void add_period(struct given *given, unsigned int number, double value)
{
	struct ab_period period = {
		.number = number,
		.arm = given->experiment.plan.sequence[number] == 'A' ? AB_A : AB_B,
		.start_ms = 1764000000000 + number,
		.seconds = 50.5,
		.nr_points = 2,
		.at = { 0, 1 },
		.unreported = { 1.5F, 0.25F },
		.host = { NAN, 2 },
	};
	struct errmsg err = { 0 };

	for (unsigned int i = 0; i < given->experiment.nr_outcomes; i++)
		period.value[i] = period.drift[i] = value;
	period.value[AB_PSI_FULL] = NAN;
	period.samples[given->experiment.primary] = 24;
	period.failures[given->experiment.primary] = 1;
	period.reuse[3] = 9;
	assert_int_equal(ab_append(given->file, ab_period_json(&given->experiment, &period), &err),
			 0);
}

static void add_event(struct given *given, const char *what)
{
	struct ab_event event = { .time_ms = 5, .text = "why" };
	struct errmsg err = { 0 };

	snprintf(event.what, sizeof(event.what), "%s", what);
	assert_int_equal(ab_append(given->file, ab_event_json(&event), &err), 0);
}

/* Raw text at the end of the file. */
static void add_text(const struct given *given, const char *text)
{
	assert_int_equal(write(given->file, text, strlen(text)), (ssize_t)strlen(text));
}

static struct ab_experiment *load(const struct given *given)
{
	struct ab_experiment *loaded = NULL;
	struct errmsg err = { 0 };

	if (ab_load(given->path, &loaded, &err))
		fail_msg("%s", err.text);
	return loaded;
}

static void expect_refused(const struct given *given, int code, const char *text)
{
	struct ab_experiment *loaded = NULL;
	struct errmsg err = { 0 };

	assert_int_equal(ab_load(given->path, &loaded, &err), code);
	assert_null(loaded);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" lacks \"%s\"", err.text, text);
}

static void test_schedule(void **state)
{
	struct ab_plan plan = { .design = AB_ABBA, .blocks = 200, .period = 3, .seed = 1 };
	struct ab_plan again = plan, other = plan;
	unsigned int abba = 0;

	(void)state;
	ab_draw(&plan);
	ab_draw(&again);
	other.seed = 2;
	ab_draw(&other);
	assert_string_equal(plan.sequence, again.sequence);
	assert_string_not_equal(plan.sequence, other.sequence);
	assert_int_equal(strlen(plan.sequence), 800);
	assert_int_equal(ab_duration(&plan), 2400);
	for (unsigned int i = 0; i < 200; i++) {
		const char *block = plan.sequence + (size_t)i * 4;

		assert_true(!strncmp(block, "ABBA", 4) || !strncmp(block, "BAAB", 4));
		abba += *block == 'A';
	}
	/* 200 tosses of a coin lie outside of this once in 10^5 */
	assert_in_range(abba, 69, 131);
}

static void test_pairs(void **state)
{
	struct ab_plan plan = { .design = AB_PAIRS, .blocks = AB_MAX_BLOCKS, .seed = 5 };

	(void)state;
	ab_draw(&plan);
	assert_int_equal(strlen(plan.sequence), (size_t)AB_MAX_BLOCKS * 2);
	assert_int_equal(ab_periods(&plan), AB_MAX_BLOCKS * 2);
	for (unsigned int i = 0; i < plan.blocks; i++)
		assert_int_not_equal(plan.sequence[2 * i], plan.sequence[2 * i + 1]);
}

static void test_outcomes(void **state)
{
	struct ab_experiment experiment = { 0 };

	(void)state;
	experiment.nr_outcomes = ab_outcomes(false, experiment.outcomes);
	assert_int_equal(experiment.nr_outcomes, AB_HOST);
	assert_int_equal(ab_find_outcome(&experiment, "host"), -1);
	assert_int_equal(ab_find_outcome(&experiment, "worker_cpu"), AB_WORKER_CPU);
	experiment.nr_outcomes = ab_outcomes(true, experiment.outcomes);
	assert_int_equal(ab_find_outcome(&experiment, "host"), AB_HOST);
}

static void test_round_trip(void **state)
{
	struct given *given = *state;
	const struct ab_experiment *written = &given->experiment;
	struct ab_experiment *read;

	create(given);
	add_event(given, "started");
	add_period(given, 0, 1.25);
	add_period(given, 1, -3);
	read = load(given);
	assert_string_equal(read->id, "one");
	assert_string_equal(read->guest.kernel, "6.1");
	assert_string_equal(read->plan.sequence, written->plan.sequence);
	assert_int_equal(read->plan.washout, 10 * SECOND);
	assert_string_equal(read->arm_text[AB_A], written->arm_text[AB_A]);
	assert_int_equal(read->nr_outcomes, written->nr_outcomes);
	assert_int_equal(read->primary, written->primary);
	assert_string_equal(read->outcomes[read->primary].command,
			    written->outcomes[written->primary].command);
	assert_int_equal(read->outcomes[read->primary].better, AB_MORE);
	assert_int_equal(read->stop_pressure, 20);
	assert_int_equal(read->nr_periods, 2);
	assert_true(read->periods[1].value[AB_REFAULTS] == -3);
	assert_true(isnan(read->periods[1].value[AB_PSI_FULL]));
	assert_true(read->periods[0].seconds == 50.5);
	assert_int_equal(read->periods[0].samples[read->primary], 24);
	assert_int_equal(read->periods[0].failures[read->primary], 1);
	assert_int_equal(read->periods[0].reuse[3], 9);
	assert_int_equal(read->periods[0].nr_points, 2);
	assert_true(read->periods[0].unreported[1] == 0.25F);
	assert_true(isnan(read->periods[0].host[0]) && read->periods[0].host[1] == 2);
	assert_false(read->ended);
	ab_free(read);
	add_event(given, "finished");
	read = load(given);
	assert_true(read->ended);
	assert_int_equal(read->nr_events, 2);
	ab_free(read);
}

static void test_block_again(void **state)
{
	struct given *given = *state;
	struct ab_experiment *read;

	create(given);
	for (unsigned int i = 0; i < 7; i++)
		add_period(given, i, 1);
	add_event(given, "interrupted");
	add_period(given, 4, 2);
	read = load(given);
	/* what came behind it in that block is gone with it */
	assert_int_equal(read->nr_periods, 5);
	assert_true(read->periods[4].value[0] == 2 && read->periods[3].value[0] == 1);
	ab_free(read);
}

static void test_torn(void **state)
{
	struct given *given = *state;
	struct ab_experiment *read;
	struct errmsg err = { 0 };

	create(given);
	add_period(given, 0, 1);
	add_text(given, "{\"period\":{\"number\":1,\"ar");
	read = load(given);
	assert_int_equal(read->nr_periods, 1);
	ab_free(read);
	close(given->file);
	assert_int_equal(ab_reopen(given->path, &given->file, &err), 0);
	add_period(given, 1, 2);
	read = load(given);
	assert_int_equal(read->nr_periods, 2);
	ab_free(read);
}

static void test_never_replaced(void **state)
{
	struct given *given = *state;
	struct errmsg err = { 0 };
	int fd = -1;

	create(given);
	assert_int_equal(ab_create(given->path, &given->experiment, &fd, &err), -EEXIST);
	assert_int_equal(fd, -1);
	assert_non_null(strstr(err.text, given->path));
}

static void test_wrong_lines(void **state)
{
	static const struct {
		const char *line, *text;
	} wrong[] = {
		{ "{\"period\":{\"number\":0,\n", ":2: " },
		{ "{\"something\":1}\n", ":2: neither a period nor an event" },
		{ "{\"event\":{\"time_ms\":1}}\n", ":2: no event" },
		{ "{\"period\":{\"number\":99}}\n", ":2: no period" },
		{ "[]\n", ":2: neither" },
	};
	struct given *given = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		create(given);
		add_text(given, wrong[i].line);
		expect_refused(given, -EBADMSG, wrong[i].text);
		close(given->file);
		unlink(given->path);
		given->file = -1;
	}
}

static void test_wrong_arm(void **state)
{
	struct given *given = *state;

	create(given);
	given->experiment.plan.sequence[0] ^= 'A' ^ 'B';
	add_period(given, 0, 1);
	expect_refused(given, -EBADMSG, ":2: no period of this experiment");
}

/* The header with one member changed. */
static void write_header(struct given *given, const char *key, json_t *value)
{
	json_t *header = ab_header_json(&given->experiment);
	FILE *file = fopen(given->path, "w");

	json_object_set_new(header, key, value);
	json_dumpf(header, file, JSON_COMPACT);
	fputs("\n", file);
	fclose(file);
	json_decref(header);
}

static void test_wrong_header(void **state)
{
	static const struct {
		const char *key, *value, *text;
		int code;
	} wrong[] = {
		{ "sluice_ab", "2", ":1: version 2", -EPROTONOSUPPORT },
		{ "sluice_ab", "null", ":1: no experiment", -EBADMSG },
		{ "primary", "\"speed\"", ":1: \"outcomes\"", -EBADMSG },
		{ "plan", "{}", ":1: \"plan\"", -EBADMSG },
		{ "arms", "[]", ":1: \"arms\"", -EBADMSG },
		{ "margin", "7", ":1: a setting", -EBADMSG },
		{ "guest", "7", ":1: \"guest\"", -EBADMSG },
		{ "stop", "{\"pressure\":101}", ":1: a setting", -EBADMSG },
	};
	struct given *given = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		write_header(given, wrong[i].key,
			     json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
		expect_refused(given, wrong[i].code, wrong[i].text);
	}
}

static void test_wrong_sequence(void **state)
{
	struct given *given = *state;

	memcpy(given->experiment.plan.sequence, "AABB", 4);
	create(given);
	expect_refused(given, -EBADMSG, ":1: \"plan\"");
}

static void test_no_file(void **state)
{
	struct given *given = *state;
	FILE *file;

	expect_refused(given, -ENOENT, given->path);
	file = fopen(given->path, "w");
	fclose(file);
	expect_refused(given, -EBADMSG, ":1: the header");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_block_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_arm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_sequence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
