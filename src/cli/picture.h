/* SPDX-License-Identifier: GPL-2.0-only */
/* What the pictures of hist and map are made of. Nothing here reads or prints. */
#ifndef SLUICE_PICTURE_H
#define SLUICE_PICTURE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of a bar: so much of it, drawn with this mark. */
struct bar_part {
	char mark;
	uint64_t amount;
};

/*
 * A bar of which @width characters stand for @whole; a part ends at the character
 * that its end lies next to, so that rounding errors do not add up. @width is below
 * BAR_TEXT. Returns @buf.
 */
#define BAR_TEXT 81
char *bar_text(const struct bar_part *parts, size_t nr, uint64_t whole, size_t width,
	       char buf[BAR_TEXT]);

/* "0%" is nothing at all and "100%" all of it: "<1%" and ">99%" are close. */
#define SHARE_TEXT 8
char *share_text(double share, char buf[SHARE_TEXT]);

/*
 * Buckets of hist --json in one table, whatever zone they come from. Bounds are
 * powers of two, so the lower one tells the row: 0 is row 0, 2^n is row n + 1.
 */
#define TABLE_ROWS    65
#define TABLE_COLUMNS 3

struct table_row {
	uint64_t from;	/* inclusive */
	uint64_t below; /* exclusive; 0: no bound */
	uint64_t amounts[TABLE_COLUMNS];
};

struct table {
	struct table_row rows[TABLE_ROWS]; /* one that nothing was added to has no amounts */
	uint64_t sums[TABLE_COLUMNS];
};

/*
 * Adds member @key of each of @buckets, {"from_@unit":N, "below_@unit":N or null,
 * @key:N}, to @column.
 */
void table_add(struct table *table, const json_t *buckets, const char *unit, const char *key,
	       unsigned int column);

bool table_row_empty(const struct table_row *row);

/* The row in which the middle one of a column's amounts lies; NULL: there are none. */
const struct table_row *table_median(const struct table *table, unsigned int column);

/* A non-negative integer member; 0 if it is missing. */
uint64_t member(const json_t *object, const char *key);

#endif
