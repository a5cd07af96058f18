// SPDX-License-Identifier: GPL-2.0-only
/* hist --view runs, ages and almost-free: what the free-extent map knows beyond the orders. */
#include "cli.h"
#include "views.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "picture.h"
#include "sluice/units.h"

void print_zone_name(const json_t *zone)
{
	const char *name = json_string_value(json_object_get(zone, "zone"));

	printf("node %" PRIu64 " %s", member(zone, "node"), name ? name : "?");
}

/* --- runs ------------------------------------------------------------------------------------- */

#define RUNS_BAR  40
#define RUNS_HEAD "    from    below      runs       free  share of the zone's free memory\n"

enum { RUNS, RUN_PAGES };

static void print_run_class(const struct table_row *row, uint64_t page_size, uint64_t zone_pages)
{
	const struct bar_part free_part = { '=', row->amounts[RUN_PAGES] };
	char from[UNITS_TEXT], below[UNITS_TEXT] = "-", bytes[UNITS_TEXT], bar[BAR_TEXT];

	if (row->below)
		format_size(row->below * page_size, below);
	bar_text(&free_part, 1, zone_pages, RUNS_BAR, bar);
	printf("%8s %8s %9" PRIu64 " %10s%s%s\n", format_size(row->from * page_size, from), below,
	       row->amounts[RUNS], format_size(row->amounts[RUN_PAGES] * page_size, bytes),
	       bar[0] ? "  " : "", bar);
}

static void print_zone_runs(const json_t *zone, uint64_t page_size, struct table *all)
{
	const json_t *runs = json_object_get(zone, "runs");
	const json_t *classes = json_object_get(runs, "classes");
	const uint64_t longest = member(runs, "longest_pages");
	char free_text[UNITS_TEXT], length[UNITS_TEXT];
	struct table table = { 0 };

	table_add(&table, classes, "pages", "runs", RUNS);
	table_add(&table, classes, "pages", "free_pages", RUN_PAGES);
	table_add(all, classes, "pages", "runs", RUNS);
	table_add(all, classes, "pages", "free_pages", RUN_PAGES);
	print_zone_name(zone);
	printf(": %s free", format_size(table.sums[RUN_PAGES] * page_size, free_text));
	if (longest)
		printf(", longest run %s at 0x%" PRIx64 "\n",
		       format_size(longest * page_size, length),
		       member(runs, "longest_start_pfn") * page_size);
	else
		puts(", no pageblock as a whole");
	if (table.sums[RUNS])
		fputs(RUNS_HEAD, stdout);
	for (unsigned int r = 0; r < TABLE_ROWS; r++)
		if (!table_row_empty(&table.rows[r]))
			print_run_class(&table.rows[r], page_size, table.sums[RUN_PAGES]);
	putchar('\n');
}

void print_runs(const json_t *hist, bool alone)
{
	const uint64_t page_size = member(hist, "page_size");
	const uint64_t block_pages = 1ULL << member(hist, "pageblock_order");
	char free_text[UNITS_TEXT], large[UNITS_TEXT], block[UNITS_TEXT];
	struct table all = { 0 };
	const json_t *zone;
	uint64_t pages = 0;
	size_t i;

	(void)alone;
	json_array_foreach(json_object_get(hist, "zones"), i, zone)
		print_zone_runs(zone, page_size, &all);
	for (unsigned int r = 0; r < TABLE_ROWS; r++)
		if (all.rows[r].from >= block_pages)
			pages += all.rows[r].amounts[RUN_PAGES];
	printf("%s free in %" PRIu64 " runs; %s of it in runs of %s or longer\n",
	       format_size(all.sums[RUN_PAGES] * page_size, free_text), all.sums[RUNS],
	       format_size(pages * page_size, large), format_size(block_pages * page_size, block));
}

/* --- ages ------------------------------------------------------------------------------------- */

#define AGES_BAR  26
#define AGES_HEAD "    from    below   reported unreported  in pieces  # reported = not . pieces\n"

enum { FREE_BLOCKS, REPORTED_BLOCKS, PIECES };

#define TIMES_BAR 20
#define TIMES_HEAD                                                                        \
	"how long pageblocks had been free, or reported, when they were allocated from\n" \
	"    from    below lifetimes                          reuse\n"

enum { LIFETIMES, REUSE };

struct sizes {
	uint64_t page, block; /* bytes */
};

static void print_age(const struct table_row *row, const struct sizes *sizes, uint64_t zone_free)
{
	const struct bar_part parts[] = {
		{ '#', row->amounts[REPORTED_BLOCKS] * sizes->block },
		{ '=', (row->amounts[FREE_BLOCKS] - row->amounts[REPORTED_BLOCKS]) * sizes->block },
		{ '.', row->amounts[PIECES] * sizes->page },
	};
	char from[UNITS_TEXT], below[UNITS_TEXT], bytes[3][UNITS_TEXT], bar[BAR_TEXT];

	for (unsigned int i = 0; i < 3; i++)
		format_size(parts[i].amount, bytes[i]);
	bar_text(parts, 3, zone_free, AGES_BAR, bar);
	printf("%8s %8s %10s %10s %10s%s%s\n", format_duration(row->from, from),
	       format_duration(row->below, below), bytes[0], bytes[1], bytes[2], bar[0] ? "  " : "",
	       bar);
}

static void print_zone_ages(const json_t *zone, const struct sizes *sizes)
{
	const json_t *ages = json_object_get(zone, "ages");
	char bytes[UNITS_TEXT];
	struct table table = { 0 };
	uint64_t zone_free;

	table_add(&table, ages, "ns", "free_blocks", FREE_BLOCKS);
	table_add(&table, ages, "ns", "reported_blocks", REPORTED_BLOCKS);
	table_add(&table, ages, "ns", "partial_pages", PIECES);
	zone_free = table.sums[FREE_BLOCKS] * sizes->block + table.sums[PIECES] * sizes->page;
	print_zone_name(zone);
	printf(": %s free, by how long\n", format_size(zone_free, bytes));
	if (zone_free)
		fputs(AGES_HEAD, stdout);
	for (unsigned int r = 0; r < TABLE_ROWS; r++)
		if (!table_row_empty(&table.rows[r]))
			print_age(&table.rows[r], sizes, zone_free);
	putchar('\n');
}

static void print_time(const struct table_row *row, const struct table *table)
{
	const struct bar_part lifetimes = { '=', row->amounts[LIFETIMES] };
	const struct bar_part reuse = { '#', row->amounts[REUSE] };
	char from[UNITS_TEXT], below[UNITS_TEXT], bars[2][BAR_TEXT];

	bar_text(&lifetimes, 1, table->sums[LIFETIMES], TIMES_BAR, bars[0]);
	bar_text(&reuse, 1, table->sums[REUSE], TIMES_BAR, bars[1]);
	printf("%8s %8s %9" PRIu64 " %-*s %9" PRIu64 "%s%s\n", format_duration(row->from, from),
	       format_duration(row->below, below), row->amounts[LIFETIMES], TIMES_BAR, bars[0],
	       row->amounts[REUSE], bars[1][0] ? " " : "", bars[1]);
}

static void print_median(const char *label, const char *what, const struct table_row *median)
{
	char from[UNITS_TEXT], below[UNITS_TEXT];

	if (median)
		print_field(stdout, label, "%s; median after %s to %s", what,
			    format_duration(median->from, from),
			    format_duration(median->below, below));
	else
		print_field(stdout, label, "%s", what);
}

/* What became of pageblocks that were free as a whole, in all zones. */
static void print_times(const json_t *zones)
{
	struct table table = { 0 };
	uint64_t reported = 0;
	const json_t *zone;
	char what[128];
	size_t i;

	json_array_foreach(zones, i, zone)
	{
		table_add(&table, json_object_get(zone, "lifetimes"), "ns", "blocks", LIFETIMES);
		table_add(&table, json_object_get(zone, "reuse"), "ns", "blocks", REUSE);
		reported += member(zone, "reported_blocks");
	}
	if (table.sums[LIFETIMES])
		fputs(TIMES_HEAD, stdout);
	for (unsigned int r = 0; r < TABLE_ROWS; r++)
		if (!table_row_empty(&table.rows[r]))
			print_time(&table.rows[r], &table);
	if (table.sums[LIFETIMES])
		putchar('\n');
	snprintf(what, sizeof(what),
		 "pageblocks that were free as a whole and then allocated from: %" PRIu64,
		 table.sums[LIFETIMES]);
	print_median("lifetimes", what, table_median(&table, LIFETIMES));
	snprintf(what, sizeof(what),
		 "%" PRIu64 " of %" PRIu64 " reported pageblocks were allocated again",
		 table.sums[REUSE], reported);
	print_median("reuse", what, table_median(&table, REUSE));
}

void print_ages(const json_t *hist, bool alone)
{
	const uint64_t page_size = member(hist, "page_size");
	const struct sizes sizes = { page_size, page_size << member(hist, "pageblock_order") };
	const json_t *zones = json_object_get(hist, "zones"), *zone;
	char observed[UNITS_TEXT];
	size_t i;

	json_array_foreach(zones, i, zone) print_zone_ages(zone, &sizes);
	print_times(zones);
	format_duration(member(hist, "observed_ns"), observed);
	if (alone)
		print_field(
			stdout, "observed",
			"for %s, since this client first looked: ages start there. Lifetimes "
			"and reuse need sluiced: a client sees no more than what changed between "
			"its own looks",
			observed);
	else
		print_field(stdout, "observed", "for %s: ages start there at the earliest",
			    observed);
}

/* --- almost free ------------------------------------------------------------------------------ */

#define ALMOST_BAR  33
#define ALMOST_HEAD "   free pages    blocks       free    to move  = free, . to move\n"

static void print_almost_class(const json_t *class, const struct sizes *sizes, uint64_t scale)
{
	const uint64_t blocks = member(class, "blocks");
	const uint64_t free_bytes = member(class, "free_pages") * sizes->page;
	const struct bar_part parts[] = {
		{ '=', free_bytes },
		{ '.', blocks * sizes->block - free_bytes },
	};
	char free_text[UNITS_TEXT], move[UNITS_TEXT], bar[BAR_TEXT];

	bar_text(parts, 2, scale, ALMOST_BAR, bar);
	printf("%5" PRIu64 " to %4" PRIu64 " %9" PRIu64 " %10s %10s%s%s\n",
	       member(class, "from_pages"), member(class, "below_pages") - 1, blocks,
	       format_size(parts[0].amount, free_text), format_size(parts[1].amount, move),
	       bar[0] ? "  " : "", bar);
}

/* Adds the zone's pageblocks and their free pages to @all. */
static void print_zone_almost_free(const json_t *zone, const struct sizes *sizes, uint64_t all[2])
{
	const json_t *classes = json_object_get(json_object_get(zone, "almost_free"), "classes");
	uint64_t blocks = 0, most = 0;
	const json_t *class;
	size_t i;

	json_array_foreach(classes, i, class)
	{
		const uint64_t nr = member(class, "blocks");

		blocks += nr;
		most = nr > most ? nr : most;
		all[1] += member(class, "free_pages");
	}
	all[0] += blocks;
	print_zone_name(zone);
	printf(": pageblocks almost free: %" PRIu64 "\n", blocks);
	if (blocks)
		fputs(ALMOST_HEAD, stdout);
	for (i = json_array_size(classes); i > 0; i--) {
		class = json_array_get(classes, i - 1);
		if (member(class, "blocks"))
			print_almost_class(class, sizes, most * sizes->block);
	}
	putchar('\n');
}

void print_almost_free(const json_t *hist, bool alone)
{
	const uint64_t page_size = member(hist, "page_size");
	const struct sizes sizes = { page_size, page_size << member(hist, "pageblock_order") };
	char size[UNITS_TEXT], move[UNITS_TEXT], whole[UNITS_TEXT];
	uint64_t all[2] = { 0 };
	const json_t *zone;
	size_t i;

	(void)alone;
	json_array_foreach(json_object_get(hist, "zones"), i, zone)
		print_zone_almost_free(zone, &sizes, all);
	printf("moving %s would free %" PRIu64 " pageblocks of %s as a whole: %s\n",
	       format_size(all[0] * sizes.block - all[1] * sizes.page, move), all[0],
	       format_size(sizes.block, size), format_size(all[0] * sizes.block, whole));
	puts("what is in them may be unmovable: only compaction can tell");
}
