// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE 1 /* vasprintf */
#include <stdarg.h>
#include <stdlib.h>

#include "load.h"

static bool make_room(struct report *report)
{
	size_t room = report->room ? report->room * 2 : 16;
	struct report_entry *grown;

	if (report->nr < report->room)
		return true;
	grown = realloc(report->entries, room * sizeof(*grown));
	if (!grown)
		return false;
	report->entries = grown;
	report->room = room;
	return true;
}

void report_add(struct report *report, unsigned int line, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0) {
		report->lost = true;
		return;
	}
	if (!make_room(report)) {
		report->lost = true;
		free(text);
		return;
	}
	report->entries[report->nr] = (struct report_entry){ line, report->nr, text };
	report->nr++;
}

static int compare_entries(const void *left, const void *right)
{
	const struct report_entry *a = left, *b = right;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->nr < b->nr ? -1 : a->nr > b->nr;
}

void report_print(struct report *report, const char *file, FILE *out)
{
	if (report->nr)
		qsort(report->entries, report->nr, sizeof(*report->entries), compare_entries);
	for (size_t i = 0; i < report->nr; i++)
		fprintf(out, "%s:%u: %s\n", file, report->entries[i].line, report->entries[i].text);
	if (report->lost)
		fprintf(out, "%s:0: no memory for further errors\n", file);
}

void report_free(struct report *report)
{
	for (size_t i = 0; i < report->nr; i++)
		free(report->entries[i].text);
	free(report->entries);
	*report = (struct report){ 0 };
}
