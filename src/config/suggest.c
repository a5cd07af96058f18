// SPDX-License-Identifier: GPL-2.0-only
/* "did you mean": the known name nearest to an unknown one. */
#include <ctype.h>
#include <string.h>

#include "load.h"

#define LONGEST 32 /* nothing longer is near any name */

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

static bool same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/*
 * Insertions, deletions, substitutions and swaps of neighbours (optimal string
 * alignment) that lead from @a to @b, case aside. Both at most LONGEST long.
 */
static size_t distance(const char *a, const char *b)
{
	size_t cost[LONGEST + 1][LONGEST + 1];
	size_t a_len = strlen(a), b_len = strlen(b);

	for (size_t i = 0; i <= a_len; i++)
		cost[i][0] = i;
	for (size_t j = 0; j <= b_len; j++)
		cost[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		for (size_t j = 1; j <= b_len; j++) {
			bool same = same_letter(a[i - 1], b[j - 1]);

			cost[i][j] = min3(cost[i - 1][j] + 1, cost[i][j - 1] + 1,
					  cost[i - 1][j - 1] + !same);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
			    same_letter(a[i - 2], b[j - 1]) && cost[i - 2][j - 2] + 1 < cost[i][j])
				cost[i][j] = cost[i - 2][j - 2] + 1;
		}
	}
	return cost[a_len][b_len];
}

const char *suggest_name(enum option_scope scope, const char *group, const char *name)
{
	const char *nearest = NULL;
	size_t least = LONGEST;

	if (strlen(name) > LONGEST)
		return NULL;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const char *known = option_leaf(&option_table[i]);
		size_t steps;

		if (!option_is_at(&option_table[i], scope, group))
			continue;
		steps = distance(name, known);
		/* One step in a name of four letters, two in one of six. */
		if (steps < least && steps <= (strlen(known) + 1) / 3) {
			least = steps;
			nearest = known;
		}
	}
	return nearest;
}
