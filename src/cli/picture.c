// SPDX-License-Identifier: GPL-2.0-only
#include "picture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

char *bar_text(const struct bar_part *parts, size_t nr, uint64_t whole, size_t width,
	       char buf[BAR_TEXT])
{
	const double scale = whole ? (double)width / (double)whole : 0;
	size_t drawn = 0;
	double end = 0;

	for (size_t i = 0; i < nr; i++) {
		end += (double)parts[i].amount * scale;
		while (drawn < width && (double)drawn < round(end))
			buf[drawn++] = parts[i].mark;
	}
	buf[drawn] = '\0';
	return buf;
}

char *share_text(double share, char buf[SHARE_TEXT])
{
	if (share > 0 && share < 0.01)
		snprintf(buf, SHARE_TEXT, "<1%%");
	else if (share > 0.99 && share < 1)
		snprintf(buf, SHARE_TEXT, ">99%%");
	else
		snprintf(buf, SHARE_TEXT, "%ld%%", lround(100 * fmin(fmax(share, 0), 1)));
	return buf;
}

uint64_t member(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

void table_add(struct table *table, const json_t *buckets, const char *unit, const char *key,
	       unsigned int column)
{
	char from_key[32], below_key[32];
	const json_t *bucket;
	size_t i;

	snprintf(from_key, sizeof(from_key), "from_%s", unit);
	snprintf(below_key, sizeof(below_key), "below_%s", unit);
	json_array_foreach(buckets, i, bucket)
	{
		const uint64_t from = member(bucket, from_key), amount = member(bucket, key);
		struct table_row *row = &table->rows[from ? 64 - __builtin_clzll(from) : 0];

		row->from = from;
		row->below = member(bucket, below_key);
		row->amounts[column] += amount;
		table->sums[column] += amount;
	}
}

bool table_row_empty(const struct table_row *row)
{
	for (unsigned int c = 0; c < TABLE_COLUMNS; c++)
		if (row->amounts[c])
			return false;
	return true;
}

const struct table_row *table_median(const struct table *table, unsigned int column)
{
	const uint64_t middle = (table->sums[column] + 1) / 2;
	uint64_t seen = 0;

	for (unsigned int r = 0; r < TABLE_ROWS; r++) {
		seen += table->rows[r].amounts[column];
		if (middle && seen >= middle)
			return &table->rows[r];
	}
	return NULL;
}
