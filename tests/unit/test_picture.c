// SPDX-License-Identifier: GPL-2.0-only
/* Bars, shares, and tables of buckets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/picture.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* --- bars ------------------------------------------------------------------------------------- */

static const struct bar_case {
	uint64_t amounts[3];
	uint64_t whole;
	size_t width;
	const char *bar;
} bars[] = {
	{ { 0, 0, 0 }, 0, 10, "" },
	{ { 0, 0, 0 }, 100, 10, "" },
	{ { 1, 1, 1 }, 0, 10, "" }, /* nothing to be a share of */
	{ { 100, 0, 0 }, 100, 10, "##########" },
	{ { 0, 0, 100 }, 100, 4, "...." },
	{ { 50, 30, 20 }, 100, 10, "#####+++.." },
	{ { 4, 0, 0 }, 100, 10, "" },
	{ { 5, 0, 0 }, 100, 10, "#" }, /* half a character is one */
	/* ends are rounded, not lengths: three thirds of ten are ten */
	{ { 1, 1, 1 }, 3, 10, "###++++..." },
	/* what is too little for a character of its own still counts for the end */
	{ { 4, 4, 4 }, 100, 10, "+" },
	/* memory that moved during a scan: more than the whole never gets wider */
	{ { 80, 80, 80 }, 100, 10, "########++" },
	{ { UINT64_MAX, 0, 0 },
	  UINT64_MAX,
	  80,
	  "################################################################################" },
};

static void test_bars(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(bars); i++) {
		const struct bar_part parts[] = {
			{ '#', bars[i].amounts[0] },
			{ '+', bars[i].amounts[1] },
			{ '.', bars[i].amounts[2] },
		};
		char buf[BAR_TEXT];

		memset(buf, 'x', sizeof(buf));
		assert_string_equal(bar_text(parts, 3, bars[i].whole, bars[i].width, buf),
				    bars[i].bar);
	}
}

/* --- shares ----------------------------------------------------------------------------------- */

static const struct share_case {
	double share;
	const char *text;
} shares[] = {
	{ 0, "0%" },	     { 1e-12, "<1%" },	   { 0.0099, "<1%" },	 { 0.01, "1%" },
	{ 0.014, "1%" },     { 0.016, "2%" },	   { 0.5, "50%" },	 { 0.99, "99%" },
	{ 0.9901, ">99%" },  { 0.999999, ">99%" }, { 1, "100%" },	 { 7, "100%" },
	{ -0.000001, "0%" }, { -INFINITY, "0%" },  { INFINITY, "100%" },
};

static void test_shares(void **state)
{
	char buf[SHARE_TEXT];

	(void)state;
	for (size_t i = 0; i < ROWS(shares); i++)
		assert_string_equal(share_text(shares[i].share, buf), shares[i].text);
}

/* --- tables ----------------------------------------------------------------------------------- */

static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, 0, &error);

	if (!json)
		fail_msg("%s: %s", text, error.text);
	return json;
}

static void add(struct table *table, const char *buckets, const char *unit, const char *key,
		unsigned int column)
{
	json_t *json = parse(buckets);

	table_add(table, json, unit, key, column);
	json_decref(json);
}

/* Buckets of two zones meet in the row of their lower bound; others stay empty. */
static void test_table(void **state)
{
	struct table table = { 0 };
	unsigned int rows = 0;

	(void)state;
	add(&table,
	    "[{\"from_ns\":0, \"below_ns\":16777216, \"blocks\":3, \"other\":9},"
	    " {\"from_ns\":33554432, \"below_ns\":67108864, \"blocks\":5}]",
	    "ns", "blocks", 0);
	add(&table, "[{\"from_ns\":33554432, \"below_ns\":67108864, \"blocks\":7}]", "ns", "blocks",
	    0);
	add(&table, "[{\"from_ns\":33554432, \"below_ns\":67108864, \"blocks\":1}]", "ns", "blocks",
	    2);
	for (unsigned int r = 0; r < TABLE_ROWS; r++)
		rows += !table_row_empty(&table.rows[r]);
	assert_int_equal(rows, 2);
	assert_int_equal(table.rows[0].from, 0);
	assert_int_equal(table.rows[0].below, 16777216);
	assert_int_equal(table.rows[0].amounts[0], 3);
	assert_int_equal(table.rows[26].from, 33554432);
	assert_int_equal(table.rows[26].below, 67108864);
	assert_int_equal(table.rows[26].amounts[0], 12);
	assert_int_equal(table.rows[26].amounts[1], 0);
	assert_int_equal(table.rows[26].amounts[2], 1);
	assert_int_equal(table.sums[0], 15);
	assert_int_equal(table.sums[1], 0);
	assert_int_equal(table.sums[2], 1);
}

/* The last class of runs has no upper bound; the largest number has a row. */
static void test_table_bounds(void **state)
{
	struct table table = { 0 };

	(void)state;
	add(&table,
	    "[{\"from_pages\":1, \"below_pages\":2, \"runs\":2},"
	    " {\"from_pages\":262144, \"below_pages\":null, \"runs\":1},"
	    " {\"from_pages\":4611686018427387904, \"below_pages\":null, \"runs\":4}]",
	    "pages", "runs", 1);
	assert_int_equal(table.rows[1].amounts[1], 2);
	assert_int_equal(table.rows[19].amounts[1], 1);
	assert_int_equal(table.rows[19].below, 0);
	assert_int_equal(table.rows[63].amounts[1], 4);
}

/* A daemon's answer may be anything: it fills no row beyond the table. */
static void test_table_of_nonsense(void **state)
{
	struct table table = { 0 };

	(void)state;
	table_add(&table, NULL, "ns", "blocks", 0);
	add(&table, "[1, null, \"x\", {}, {\"from_ns\":\"a\", \"blocks\":[]}]", "ns", "blocks", 0);
	assert_int_equal(table.sums[0], 0);
	add(&table, "[{\"from_ns\":-1, \"below_ns\":-1, \"blocks\":6}]", "ns", "blocks", 0);
	assert_int_equal(table.rows[64].amounts[0], 6);
}

static const struct median_case {
	const char *buckets;
	int row; /* -1: none */
} medians[] = {
	{ "[]", -1 },
	{ "[{\"from_ns\":4, \"blocks\":0}]", -1 },
	{ "[{\"from_ns\":0, \"blocks\":1}]", 0 },
	{ "[{\"from_ns\":0, \"blocks\":1}, {\"from_ns\":8, \"blocks\":1}]", 0 },
	{ "[{\"from_ns\":0, \"blocks\":1}, {\"from_ns\":8, \"blocks\":2}]", 4 },
	{ "[{\"from_ns\":0, \"blocks\":2}, {\"from_ns\":2, \"blocks\":1},"
	  " {\"from_ns\":8, \"blocks\":2}]",
	  2 },
	{ "[{\"from_ns\":0, \"blocks\":1}, {\"from_ns\":16, \"blocks\":100}]", 5 },
};

static void test_median(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(medians); i++) {
		struct table table = { 0 };
		const struct table_row *row;

		add(&table, medians[i].buckets, "ns", "blocks", 1);
		row = table_median(&table, 1);
		assert_null(table_median(&table, 0));
		if (medians[i].row < 0)
			assert_null(row);
		else
			assert_ptr_equal(row, &table.rows[medians[i].row]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_bounds),
		cmocka_unit_test(test_table_of_nonsense),
		cmocka_unit_test(test_median),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
