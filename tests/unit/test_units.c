// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sluice/units.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define TIB	    (1024 * GIB)
#define MIN	    (60 * NSEC_PER_SEC)
#define HOUR	    (60 * MIN)
#define DAY	    (24 * HOUR)

static void test_parse_int(void **state)
{
	static const struct {
		const char *text;
		int64_t min, max;
		int code;
		int64_t value;
		const char *message;
	} rows[] = {
		{ "0", 0, 15, 0, 0, NULL },
		{ "15", 0, 15, 0, 15, NULL },
		{ "007", 0, 15, 0, 7, NULL },
		{ "-0", 0, 15, 0, 0, NULL },
		{ "-3", -3, 3, 0, -3, NULL },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX, NULL },
		{ "-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN, NULL },
		{ "16", 0, 15, -ERANGE, 0,
		  "\"16\": out of range; an integer from 0 to 15 is expected" },
		{ "-1", 0, 15, -ERANGE, 0,
		  "\"-1\": out of range; an integer from 0 to 15 is expected" },
		{ "-4", -3, 3, -ERANGE, 0,
		  "\"-4\": out of range; an integer from -3 to 3 is expected" },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0, "out of range" },
		{ "-9223372036854775809", INT64_MIN, INT64_MAX, -ERANGE, 0, "out of range" },
		{ "18446744073709551616", INT64_MIN, INT64_MAX, -ERANGE, 0, "out of range" },
		{ "99999999999999999999999999", INT64_MIN, INT64_MAX, -ERANGE, 0, "out of range" },
		{ "12abc", 0, 15, -EINVAL, 0,
		  "\"12abc\": trailing \"abc\"; an integer from 0 to 15" },
		{ "1.5", 0, 15, -EINVAL, 0, "trailing \".5\"" },
		{ "1 ", 0, 15, -EINVAL, 0, "trailing \" \"" },
		{ "", INT64_MIN, INT64_MAX, -EINVAL, 0, "\"\": not a number; a decimal integer" },
		{ "-", 0, 15, -EINVAL, 0, "\"-\": not a number" },
		{ "+1", 0, 15, -EINVAL, 0, "not a number" },
		{ "--1", 0, 15, -EINVAL, 0, "not a number" },
		{ " 1", 0, 15, -EINVAL, 0, "not a number" },
		{ "0x10", 0, 15, -EINVAL, 0, "trailing \"x10\"" },
		{ "1\n", 0, 15, -EINVAL, 0, "\"1\\n\": trailing \"\\n\"" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct errmsg err = { "" };
		int64_t value = 77;

		assert_int_equal(parse_int(rows[i].text, rows[i].min, rows[i].max, &value, &err),
				 rows[i].code);
		assert_int_equal(value, rows[i].code ? 77 : rows[i].value);
		if (rows[i].message)
			assert_non_null(strstr(err.text, rows[i].message));
		else
			assert_string_equal(err.text, "");
	}
}

struct parse_row {
	const char *text;
	int code;
	uint64_t value;
	const char *message;
};

static void check_parse(const struct parse_row *rows, size_t nr,
			int (*parse)(const char *text, uint64_t *ret, struct errmsg *err))
{
	for (size_t i = 0; i < nr; i++) {
		struct errmsg err = { "" };
		uint64_t value = 77;

		assert_int_equal(parse(rows[i].text, &value, &err), rows[i].code);
		assert_int_equal(value, rows[i].code ? 77 : rows[i].value);
		if (rows[i].message)
			assert_non_null(strstr(err.text, rows[i].message));
		else
			assert_string_equal(err.text, "");
		assert_int_equal(parse(rows[i].text, &value, NULL), rows[i].code);
	}
}

static void test_parse_size(void **state)
{
	static const struct parse_row rows[] = {
		{ "0", 0, 0, NULL },
		{ "0B", 0, 0, NULL },
		{ "0.000TiB", 0, 0, NULL },
		{ "1B", 0, 1, NULL },
		{ "4KiB", 0, 4096, NULL },
		{ "64MiB", 0, 64 * MIB, NULL },
		{ "1.5GiB", 0, 1536 * MIB, NULL },
		{ "0.5KiB", 0, 512, NULL },
		{ "1.0B", 0, 1, NULL },
		{ "0.000976562KiB", -EINVAL, 0, "not a whole number of bytes" },
		{ "0.001953125TiB", 0, 2 * GIB, NULL },
		{ "0.000000001TiB", -EINVAL, 0, "not a whole number of bytes" },
		{ "0.999999999TiB", -EINVAL, 0, "not a whole number of bytes" },
		{ "16777215.998046875TiB", 0, UINT64_MAX - 2 * GIB + 1, NULL },
		{ "16777215.999023438TiB", -EINVAL, 0, "not a whole number of bytes" },
		{ "18446744073709551615B", 0, UINT64_MAX, NULL },
		{ "18446744073709551616B", -ERANGE, 0, "more than 2^64 bytes" },
		{ "16777216TiB", -ERANGE, 0, "\"16777216TiB\": more than 2^64 bytes" },
		{ "99999999999999999999999GiB", -ERANGE, 0, "more than 2^64 bytes" },
		{ "0.3B", -EINVAL, 0, "\"0.3B\": not a whole number of bytes" },
		{ "1.0000000000KiB", -EINVAL, 0, "more than 9 digits after the point" },
		{ "64", -EINVAL, 0, "\"64\": no unit; add one of B, KiB, MiB, GiB, TiB" },
		{ "00", -EINVAL, 0, "no unit" },
		{ "0.0", -EINVAL, 0, "no unit" },
		{ "64MB", -EINVAL, 0,
		  "\"64MB\": unknown unit \"MB\"; the units are B, KiB, MiB, GiB, TiB" },
		{ "64kB", -EINVAL, 0, "unknown unit \"kB\"" },
		{ "64kib", -EINVAL, 0, "unknown unit \"kib\"" },
		{ "64 MiB", -EINVAL, 0, "unknown unit \" MiB\"" },
		{ "64MiB ", -EINVAL, 0, "unknown unit \"MiB \"" },
		{ "64M", -EINVAL, 0, "unknown unit \"M\"" },
		{ "1s", -EINVAL, 0, "unknown unit \"s\"" },
		{ "1.2.3MiB", -EINVAL, 0, "unknown unit \".3MiB\"" },
		{ "1,5GiB", -EINVAL, 0, "unknown unit \",5GiB\"" },
		{ "1e3B", -EINVAL, 0, "unknown unit \"e3B\"" },
		{ ".5GiB", -EINVAL, 0, "not a number with a unit (B, KiB, MiB, GiB, TiB)" },
		{ "5.GiB", -EINVAL, 0, "not a number with a unit" },
		{ ".", -EINVAL, 0, "not a number with a unit" },
		{ "-1MiB", -EINVAL, 0, "not a number with a unit" },
		{ "+1MiB", -EINVAL, 0, "not a number with a unit" },
		{ " 1MiB", -EINVAL, 0, "not a number with a unit" },
		{ "MiB", -EINVAL, 0, "not a number with a unit" },
		{ "nan", -EINVAL, 0, "not a number with a unit" },
		{ "", -EINVAL, 0, "\"\": not a number with a unit" },
	};

	(void)state;
	check_parse(rows, ROWS(rows), parse_size);
}

static void test_parse_duration(void **state)
{
	static const struct parse_row rows[] = {
		{ "0", 0, 0, NULL },
		{ "0ms", 0, 0, NULL },
		{ "1us", 0, 1000, NULL },
		{ "0.001us", 0, 1, NULL },
		{ "0.0001us", -EINVAL, 0, "not a whole number of nanoseconds" },
		{ "250ms", 0, 250 * NSEC_PER_MSEC, NULL },
		{ "2s", 0, 2 * NSEC_PER_SEC, NULL },
		{ "1.5s", 0, 1500 * NSEC_PER_MSEC, NULL },
		{ "0.000000001s", 0, 1, NULL },
		{ "1.000000001s", 0, NSEC_PER_SEC + 1, NULL },
		{ "1.5min", 0, 90 * NSEC_PER_SEC, NULL },
		{ "0.000000001d", 0, 86400, NULL },
		{ "0.999999999d", 0, DAY - 86400, NULL },
		{ "3h", 0, 3 * HOUR, NULL },
		{ "1d", 0, DAY, NULL },
		{ "18446744073709551.615us", 0, UINT64_MAX, NULL },
		{ "18446744073709551.616us", -ERANGE, 0, "more than 2^64 nanoseconds" },
		{ "213503d", 0, 213503 * DAY, NULL },
		{ "213504d", -ERANGE, 0, "more than 2^64 nanoseconds" },
		{ "2", -EINVAL, 0, "\"2\": no unit; add one of us, ms, s, min, h, d" },
		{ "2ns", -EINVAL, 0, "unknown unit \"ns\"" },
		{ "2m", -EINVAL, 0, "unknown unit \"m\"" },
		{ "2sec", -EINVAL, 0, "unknown unit \"sec\"" },
		{ "2MiB", -EINVAL, 0, "unknown unit \"MiB\"" },
		{ "1h30min", -EINVAL, 0, "unknown unit \"h30min\"" },
		{ "-1s", -EINVAL, 0, "not a number with a unit" },
	};

	(void)state;
	check_parse(rows, ROWS(rows), parse_duration);
}

struct format_row {
	uint64_t value;
	const char *human;
	const char *exact;
};

static void check_format(const struct format_row *rows, size_t nr,
			 char *(*human)(uint64_t value, char buf[UNITS_TEXT]),
			 char *(*exact)(uint64_t value, char buf[32]))
{
	for (size_t i = 0; i < nr; i++) {
		char text[UNITS_TEXT], exact_text[32];

		assert_ptr_equal(human(rows[i].value, text), text);
		assert_string_equal(text, rows[i].human);
		assert_true(strlen(text) <= 12);
		assert_ptr_equal(exact(rows[i].value, exact_text), exact_text);
		assert_string_equal(exact_text, rows[i].exact);
	}
}

static void test_format_size(void **state)
{
	static const struct format_row rows[] = {
		{ 0, "0 B", "0" },
		{ 1, "1 B", "1B" },
		{ 1023, "1023 B", "1023B" },
		{ 1024, "1 KiB", "1KiB" },
		{ 1025, "1 KiB", "1025B" },
		{ 512 * KIB, "512 KiB", "512KiB" },
		{ 1048523, "1023.9 KiB", "1048523B" },
		{ 1048575, "1 MiB", "1048575B" },
		{ 62 * MIB + 512 * KIB, "62.5 MiB", "64000KiB" },
		{ 64 * MIB, "64 MiB", "64MiB" },
		{ 1288490189, "1.2 GiB", "1288490189B" },
		{ 1536 * MIB, "1.5 GiB", "1536MiB" },
		{ GIB - 1, "1 GiB", "1073741823B" },
		{ 16 * TIB, "16 TiB", "16TiB" },
		{ 9999 * TIB + TIB / 2, "9999.5 TiB", "10239488GiB" },
		{ 10000 * TIB + TIB / 2, "10001 TiB", "10240512GiB" },
		{ UINT64_MAX, "16777216 TiB", "18446744073709551615B" },
	};

	(void)state;
	check_format(rows, ROWS(rows), format_size, format_size_exact);
}

static void test_format_duration(void **state)
{
	static const struct format_row rows[] = {
		{ 0, "0 s", "0" },
		{ 1, "1 ns", "0.001us" },
		{ 300, "300 ns", "0.300us" },
		{ 1000, "1 us", "1us" },
		{ 1500, "1.5 us", "1.500us" },
		{ 250 * NSEC_PER_MSEC, "250 ms", "250ms" },
		{ 999999999, "1 s", "999999.999us" },
		{ 1500 * NSEC_PER_MSEC, "1.5 s", "1500ms" },
		{ 2 * NSEC_PER_SEC, "2 s", "2s" },
		{ 59950 * NSEC_PER_MSEC, "1 min", "59950ms" },
		{ 90 * NSEC_PER_SEC, "1.5 min", "90s" },
		{ 3 * HOUR, "3 h", "3h" },
		{ 36 * HOUR, "1.5 d", "36h" },
		{ 9999 * DAY, "9999 d", "9999d" },
		{ UINT64_MAX, "213504 d", "18446744073709551.615us" },
	};

	(void)state;
	check_format(rows, ROWS(rows), format_duration, format_duration_exact);
}

/* xorshift64, so that the values are the same everywhere */
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void test_exact_round_trip(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15ULL;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint64_t value = next_random(&seed) >> (i % 64);
		uint64_t back = ~value;
		char text[32], human[UNITS_TEXT];

		/* Whole units come often in practice and never at random. */
		if (i % 3 == 0)
			value = value % 4096 * (i % 2 ? MIB : MIN);
		assert_int_equal(parse_size(format_size_exact(value, text), &back, NULL), 0);
		assert_int_equal(back, value);
		back = ~value;
		assert_int_equal(parse_duration(format_duration_exact(value, text), &back, NULL),
				 0);
		assert_int_equal(back, value);
		assert_true(strlen(format_size(value, human)) <= 12);
		assert_true(strlen(format_duration(value, human)) <= 12);
	}
}

static void test_parse_number(void **state)
{
	static const struct {
		const char *text;
		int code;
		uint64_t value;
	} rows[] = {
		{ "0", 0, 0 },
		{ "0012", 0, 12 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "0x0", 0, 0 },
		{ "0xDeadBeef", 0, 0xdeadbeef },
		{ "0xffffffffffffffff", 0, UINT64_MAX },
		{ "0x0ffffffffffffffff", 0, UINT64_MAX },
		{ "0x10000000000000000", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
		{ "x1", -EINVAL, 0 },
		{ "0X1", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "12a", -EINVAL, 0 },
		{ "0x1g", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t value = 77;

		assert_int_equal(parse_number(rows[i].text, &value), rows[i].code);
		assert_int_equal(value, rows[i].code ? 77 : rows[i].value);
	}
}

static void test_parse_hex(void **state)
{
	uint8_t bytes[4] = { 7, 7, 7, 7 };

	(void)state;
	assert_int_equal(parse_hex("", bytes, 4), 0);
	assert_int_equal(parse_hex("00fFA5", bytes, 4), 3);
	assert_true(bytes[0] == 0 && bytes[1] == 0xff && bytes[2] == 0xa5 && bytes[3] == 7);
	assert_int_equal(parse_hex("01020304", bytes, 4), 4);
	assert_int_equal(parse_hex("0102030405", bytes, 4), -ERANGE);
	assert_int_equal(parse_hex("0102030405", NULL, 5), 5);
	assert_int_equal(parse_hex("0", bytes, 4), -EINVAL);
	assert_int_equal(parse_hex("012", bytes, 4), -EINVAL);
	assert_int_equal(parse_hex("0g", bytes, 4), -EINVAL);
	assert_int_equal(parse_hex("g0", bytes, 4), -EINVAL);
	assert_int_equal(parse_hex("00 11", bytes, 4), -EINVAL);
	assert_int_equal(parse_hex("0x11", bytes, 4), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_number),	cmocka_unit_test(test_parse_hex),
		cmocka_unit_test(test_parse_int),	cmocka_unit_test(test_parse_size),
		cmocka_unit_test(test_parse_duration),	cmocka_unit_test(test_format_size),
		cmocka_unit_test(test_format_duration), cmocka_unit_test(test_exact_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
