// SPDX-License-Identifier: GPL-2.0-only
/* The circuit breaker, on tables: what happens when, and what it is then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/breaker.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define S	    NSEC_PER_SEC

struct row {
	uint64_t at; /* s */
	char what;   /* f: a try failed, s: a try succeeded, ' ': nothing */
	bool changed;
	enum breaker_state state; /* right after */
	uint64_t wait;		  /* s */
};

static void play(const struct row *rows, size_t nr)
{
	struct breaker breaker = { 0 };

	for (size_t i = 0; i < nr; i++) {
		const uint64_t now = rows[i].at * S;
		bool changed = false;

		if (rows[i].what == 'f')
			changed = breaker_failed(&breaker, now);
		else if (rows[i].what == 's')
			changed = breaker_succeeded(&breaker);
		if (changed != rows[i].changed || breaker_state(&breaker, now) != rows[i].state ||
		    breaker_wait(&breaker, now) != rows[i].wait * S ||
		    breaker_allows(&breaker, now) != (rows[i].state != BREAKER_OPEN))
			fail_msg("row %zu: changed %d, %s, wait %llu s", i, changed,
				 breaker_state_name(breaker_state(&breaker, now)),
				 (unsigned long long)(breaker_wait(&breaker, now) / S));
	}
}

static void test_opens(void **state)
{
	static const struct row rows[] = {
		{ 0, ' ', false, BREAKER_CLOSED, 0 }, /* all zeroes, at time zero */
		{ 1, 'f', false, BREAKER_CLOSED, 0 },
		{ 2, 'f', false, BREAKER_CLOSED, 0 },
		{ 3, 's', false, BREAKER_CLOSED, 0 }, /* three in a row, not in all */
		{ 4, 'f', false, BREAKER_CLOSED, 0 },
		{ 5, 'f', false, BREAKER_CLOSED, 0 },
		{ 6, 'f', true, BREAKER_OPEN, 30 },
		{ 7, ' ', false, BREAKER_OPEN, 29 },
		{ 35, ' ', false, BREAKER_OPEN, 1 },
		{ 36, ' ', false, BREAKER_HALF_OPEN, 0 },
		{ 99, ' ', false, BREAKER_HALF_OPEN, 0 }, /* until it is tried */
		{ 99, 's', true, BREAKER_CLOSED, 0 },
		{ 100, 'f', false, BREAKER_CLOSED, 0 }, /* anew, from 30 s on */
		{ 100, 'f', false, BREAKER_CLOSED, 0 },
		{ 100, 'f', true, BREAKER_OPEN, 30 },
	};

	(void)state;
	play(rows, ROWS(rows));
}

static void test_backs_off(void **state)
{
	static const struct row rows[] = {
		{ 0, 'f', false, BREAKER_CLOSED, 0 },
		{ 0, 'f', false, BREAKER_CLOSED, 0 },
		{ 0, 'f', true, BREAKER_OPEN, 30 },
		{ 30, 'f', true, BREAKER_OPEN, 60 }, /* one try is enough now */
		{ 90, 'f', true, BREAKER_OPEN, 120 },
		{ 210, 'f', true, BREAKER_OPEN, 240 },
		{ 450, 'f', true, BREAKER_OPEN, 480 },
		{ 930, 'f', true, BREAKER_OPEN, 960 },
		{ 1890, 'f', true, BREAKER_OPEN, 1920 },
		{ 3810, 'f', true, BREAKER_OPEN, 3600 }, /* not 3840 */
		{ 7410, 'f', true, BREAKER_OPEN, 3600 },
		{ 11009, ' ', false, BREAKER_OPEN, 1 },
		{ 11010, ' ', false, BREAKER_HALF_OPEN, 0 },
		{ 11010, 's', true, BREAKER_CLOSED, 0 },
	};

	(void)state;
	play(rows, ROWS(rows));
}

/* A try that someone asked for, while it is open. */
static void test_on_request(void **state)
{
	static const struct row rows[] = {
		{ 0, 'f', false, BREAKER_CLOSED, 0 },
		{ 0, 'f', false, BREAKER_CLOSED, 0 },
		{ 0, 'f', true, BREAKER_OPEN, 30 },
		{ 10, 'f', false, BREAKER_OPEN, 20 }, /* neither longer nor later */
		{ 30, 'f', true, BREAKER_OPEN, 60 },
		{ 40, 's', true, BREAKER_CLOSED, 0 },
	};

	(void)state;
	play(rows, ROWS(rows));
}

static void test_many(void **state)
{
	struct breaker breaker = { .failures = UINT32_MAX };

	(void)state;
	assert_true(breaker_failed(&breaker, 5)); /* does not wrap */
	assert_int_equal(breaker_state(&breaker, 5), BREAKER_OPEN);
	assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
	assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
	assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half-open");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_backs_off),
		cmocka_unit_test(test_on_request),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
