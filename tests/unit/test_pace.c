// SPDX-License-Identifier: GPL-2.0-only
/* How often something that costs CPU time may be done: what one slow time changes, and what not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/pace.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define SHARE	    50

struct row {
	uint64_t cost; /* of one more */
	uint64_t period;
};

static void play(const struct row *rows, size_t nr)
{
	struct pace pace = { 0 };

	assert_int_equal(pace_period(&pace, SHARE), 0);
	for (size_t i = 0; i < nr; i++) {
		pace_add(&pace, rows[i].cost);
		if (pace_period(&pace, SHARE) != rows[i].period)
			fail_msg("row %zu: %llu", i, (unsigned long long)pace_period(&pace, SHARE));
	}
}

static void test_begins_without_delay(void **state)
{
	static const struct row rows[] = { { 900, 0 }, { 800, 0 }, { 700, 0 }, { 600, 30000 } };

	(void)state;
	play(rows, ROWS(rows));
}

static void test_slow_ones_delay_nothing(void **state)
{
	static const struct row rows[] = {
		{ 10, 0 },	 { 10, 0 },	  { 10, 0 },  { 10, 500 },     { 100000, 500 },
		{ 100000, 500 }, { 100000, 500 }, { 9, 450 }, { 100000, 450 },
	};

	(void)state;
	play(rows, ROWS(rows));
}

static void test_dearer_for_good(void **state)
{
	static const struct row rows[] = {
		{ 10, 0 },   { 10, 0 },	  { 10, 0 },	{ 10, 500 }, { 40, 500 },
		{ 50, 500 }, { 60, 500 }, { 70, 2000 }, /* the last cheap one is gone */
		{ 5, 250 },				/* and at once when it is cheap again */
	};

	(void)state;
	play(rows, ROWS(rows));
}

static void test_no_overflow(void **state)
{
	static const struct row rows[] = {
		{ UINT64_MAX, 0 }, { UINT64_MAX, 0 }, { UINT64_MAX, 0 }, { UINT64_MAX, UINT64_MAX }
	};

	(void)state;
	play(rows, ROWS(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_without_delay),
		cmocka_unit_test(test_slow_ones_delay_nothing),
		cmocka_unit_test(test_dearer_for_good),
		cmocka_unit_test(test_no_overflow),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
