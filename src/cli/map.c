// SPDX-License-Identifier: GPL-2.0-only
/* sluice map: physical memory as a picture. */
#include "cells.h"
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "picture.h"
#include "sluice/bpf_shared.h"
#include "sluice/control.h"
#include "sluice/json.h"
#include "sluice/units.h"

#define MAX_SECTION_ORDER 40
#define MAX_BLOCKS	  (1ULL << 31) /* 2^52 bytes, in pageblocks of 2 MiB */

#define MIN_WIDTH    40
#define MAX_WIDTH    1000
#define MIN_LINES    16
#define LINES	     24 /* of a screen that can't be asked */
#define LEGEND_LINES 8	/* what stands around the picture, the prompt behind it included */

enum cell_size { CELL_FITTING, CELL_SECTION, CELL_BLOCK };

struct options {
	enum cell_size cell;
	unsigned int width; /* columns of text */
	unsigned int lines; /* of the screen */
	bool colour;
};

/* A document of map --json, understood. */
struct map {
	unsigned int block_order;
	uint64_t block; /* bytes of a pageblock */
	uint64_t section_blocks;
	size_t nr;
	const struct part *parts; /* ascending; their texts belong to the document */
};

struct picture {
	const struct map *map;
	struct grid grid;
	int digits; /* of an address */
	bool colour;
	struct cell total;
	uint64_t inner; /* pageblocks of holes that are drawn */
};

/* --- reading ---------------------------------------------------------------------------------- */

static bool read_part(const json_t *json, unsigned int block_order, struct part *part)
{
	const json_t *blocks = json_object_get(json, "blocks");

	*part = (struct part){
		.start = member(json, "start_pfn") >> block_order,
		.blocks = json_string_value(blocks),
		.node = member(json, "node"),
		.zone = json_string_value(json_object_get(json, "zone")),
	};
	part->end = part->start + json_string_length(blocks);
	return part->zone && part->end > part->start && part->end <= MAX_BLOCKS;
}

static bool read_sizes(const json_t *json, struct map *map)
{
	const uint64_t block_order = member(json, "pageblock_order");
	const uint64_t section_order = member(json, "section_order");
	const uint64_t page_size = member(json, "page_size");

	/* none of these comes from a kernel, and some could not be shifted */
	if (!page_size || page_size > MIB || block_order > SLUICE_MAX_PAGEBLOCK_ORDER ||
	    section_order < block_order || section_order > MAX_SECTION_ORDER)
		return false;
	map->block_order = (unsigned int)block_order;
	map->block = page_size << block_order;
	map->section_blocks = 1ULL << (section_order - block_order);
	return true;
}

static bool read_parts(const json_t *json, const struct map *map, struct part *parts)
{
	for (size_t i = 0; i < map->nr; i++) {
		if (!read_part(json_array_get(json, i), map->block_order, &parts[i]))
			return false;
		if (i && parts[i].start < parts[i - 1].start)
			return false;
	}
	return map->nr;
}

/* --- drawing ---------------------------------------------------------------------------------- */

/* Colours for what is free, none for what is in use (ECMA-48 SGR). */
static const char *letter_colour(char letter)
{
	switch (letter) {
	case 'R':
		return "30;42"; /* on green */
	case 'r':
		return "32";
	case 'F':
		return "30;46"; /* on cyan */
	case '5' ... '7':
		return "30;43"; /* on yellow */
	case '1' ... '4':
		return "33";
	default:
		return "";
	}
}

static void print_letters(const char *letters, bool colour)
{
	const char *now = "";

	for (const char *letter = letters; *letter; letter++) {
		const char *next = letter_colour(*letter);

		if (colour && strcmp(now, next))
			printf("\033[0%s%sm", *next ? ";" : "", next);
		now = next;
		putchar(*letter);
	}
	if (colour && *now)
		fputs("\033[0m", stdout);
}

static void print_row(struct picture *picture, const struct segment *segment, uint64_t row)
{
	const uint64_t start = row > segment->start ? row : segment->start;
	struct cell cells[MAX_WIDTH];
	char letters[MAX_WIDTH + 1];
	const uint64_t first = (start - row) / picture->grid.cell;
	uint64_t last = first;

	fill_row(picture->map->parts, segment, &picture->grid, row, cells);
	for (uint64_t c = first; c < picture->grid.columns; c++) {
		letters[c] = cell_letter(&cells[c]);
		if (cells[c].blocks)
			last = c;
		picture->total.blocks += cells[c].blocks;
		picture->total.reported += cells[c].reported;
		picture->total.free += cells[c].free;
		picture->total.partial += cells[c].partial;
		picture->total.eighths += cells[c].eighths;
	}
	letters[last + 1] = '\0';
	printf("0x%0*" PRIx64 "  ", picture->digits, start * picture->map->block);
	print_letters(letters + first, picture->colour);
	putchar('\n');
}

/* Memory of the zone from @first on, to where another zone begins. */
static void print_zone(const struct map *map, size_t first)
{
	const struct part *zone = &map->parts[first];
	char size[UNITS_TEXT];
	uint64_t blocks = 0;

	for (size_t i = first; i < map->nr && map->parts[i].node == zone->node &&
			       !strcmp(map->parts[i].zone, zone->zone);
	     i++)
		blocks += map->parts[i].end - map->parts[i].start;
	printf("node %" PRIu64 " %s: %s\n", zone->node, zone->zone,
	       format_size(blocks * map->block, size));
}

static void print_picture(struct picture *picture)
{
	const struct map *map = picture->map;
	const uint64_t length = picture->grid.cell * picture->grid.columns;
	char size[UNITS_TEXT];

	for (size_t i = 0; i < map->nr;) {
		const struct segment segment = segment_at(map->parts, map->nr, i, &picture->grid);

		if (segment.hole)
			printf("0x%0*" PRIx64 "  hole: %s\n", picture->digits,
			       (segment.start - segment.hole) * map->block,
			       format_size(segment.hole * map->block, size));
		if (segment.new_zone)
			print_zone(map, i);
		for (uint64_t row = row_of(&picture->grid, segment.start); row < segment.end;
		     row += length)
			print_row(picture, &segment, row);
		picture->inner += segment.inner;
		i += segment.nr;
	}
}

static void print_state(const struct picture *picture, const char *letters, uint64_t blocks,
			const char *what)
{
	char size[UNITS_TEXT];

	print_letters(letters, picture->colour);
	printf("%*s %10s  %s", (int)(3 - strlen(letters)), "",
	       format_size(blocks * picture->map->block, size), what);
}

static void print_legend(const struct picture *picture)
{
	const struct cell *total = &picture->total;
	const uint64_t whole = total->reported + total->free;
	const uint64_t free_eighths = total->eighths - 8 * whole;
	char size[UNITS_TEXT];

	print_state(picture, "R", total->reported, "reported");
	if (picture->grid.cell > 1) {
		fputs(", ", stdout);
		print_letters("r", picture->colour);
		fputs(": half or more of the cell is", stdout);
	}
	putchar('\n');
	print_state(picture, "F", total->free, "free, not reported\n");
	print_state(picture, "1-7", total->partial, "");
	printf("partly free, so many eighths or more: at least %s\n",
	       format_size(free_eighths * (picture->map->block / 8), size));
	print_state(picture, ".", total->blocks - whole - total->partial,
		    "in use: less than an eighth is free\n");
	if (picture->inner)
		print_state(picture, " ", picture->inner, "holes in and between cells\n");
}

static void print_map(const struct map *map, const struct options *options)
{
	const uint64_t end = map->parts[map->nr - 1].end * map->block;
	struct picture picture = { .map = map, .colour = options->colour };
	char cell[UNITS_TEXT], block[UNITS_TEXT];
	uint64_t columns = 1;

	picture.digits = snprintf(NULL, 0, "%" PRIx64, end - 1);
	/* a power of two, so that rows begin at round addresses */
	while (2 * columns + (uint64_t)picture.digits + strlen("0x  ") <= options->width)
		columns *= 2;
	picture.grid.columns = columns;
	picture.grid.cell =
		options->cell == CELL_BLOCK ?
			1 :
		options->cell == CELL_SECTION ?
			map->section_blocks :
			fitting_cell(map->parts, map->nr, columns, options->lines - LEGEND_LINES);
	print_picture(&picture);
	printf("\none cell is %s; of pageblocks, which are %s each, there are\n",
	       format_size(picture.grid.cell * map->block, cell), format_size(map->block, block));
	print_legend(&picture);
}

/* --- command ---------------------------------------------------------------------------------- */

/* https://no-color.org: any text but an empty one in NO_COLOR means none. */
static bool colour_wanted(void)
{
	const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && terminal &&
	       strcmp(terminal, "dumb") != 0;
}

static struct options default_options(void)
{
	struct options options = { .width = CLI_WIDTH, .lines = LINES, .colour = colour_wanted() };
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		return options;
	options.width = size.ws_col < MIN_WIDTH ? MIN_WIDTH :
			size.ws_col > MAX_WIDTH ? MAX_WIDTH :
						  size.ws_col;
	options.lines = size.ws_row > MIN_LINES ? size.ws_row : MIN_LINES;
	return options;
}

static int parse_cell(const char *text, enum cell_size *ret)
{
	char quoted[QUOTED_TEXT];

	if (!strcmp(text, "section"))
		*ret = CELL_SECTION;
	else if (!strcmp(text, "block"))
		*ret = CELL_BLOCK;
	else {
		fprintf(stderr, "sluice map: --cell: %s: section or block\n",
			text_quote(text, quoted));
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

static int parse_width(const char *text, unsigned int *ret)
{
	struct errmsg err = { 0 };
	int64_t width = 0;

	if (parse_int(text, MIN_WIDTH, MAX_WIDTH, &width, &err) < 0) {
		fprintf(stderr, "sluice map: --width: %s\n", err.text);
		return EXIT_USAGE;
	}
	*ret = (unsigned int)width;
	return EXIT_OK;
}

static int parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{ "cell", required_argument, NULL, 'c' },
		{ "width", required_argument, NULL, 'w' },
		{ 0 },
	};
	int c, status = EXIT_OK;

	while (status == EXIT_OK && (c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'c')
			status = parse_cell(optarg, &options->cell);
		else if (c == 'w')
			status = parse_width(optarg, &options->width);
		else
			return EXIT_USAGE;
	}
	if (status != EXIT_OK || optind == argc)
		return status;
	fprintf(stderr, "sluice map: unexpected argument \"%s\"; try sluice --help\n",
		argv[optind]);
	return EXIT_USAGE;
}

static int show(const struct cli *cli, const json_t *json, const struct options *options)
{
	const json_t *list = json_object_get(json, "parts");
	const size_t nr = json_array_size(list);
	struct part *parts;
	struct map map;
	int status = EXIT_OK;

	if (cli->json) {
		json_print(json, false, stdout);
		return EXIT_OK;
	}
	parts = calloc(nr + 1, sizeof(*parts));
	if (!parts)
		return fail(cli, "no memory for the parts of the map");
	map = (struct map){ .parts = parts, .nr = nr };
	if (read_sizes(json, &map) && read_parts(list, &map, parts))
		print_map(&map, options);
	else
		status = fail(cli, "sluiced's answer is no map that makes sense");
	free(parts);
	return status;
}

int run_map(const struct cli *cli, int argc, char **argv)
{
	struct options options = default_options();
	struct look look = { .cli = cli };
	struct errmsg err = { 0 };
	json_t *json = NULL;
	int status;

	status = parse(&options, argc, argv);
	if (status != EXIT_OK)
		return status;
	if (look_get(&look, REQUEST_MAP, &json, &err) < 0)
		status = fail(cli, err.text);
	else
		status = show(cli, json, &options);
	observer_close(look.observer);
	json_decref(json);
	return status;
}
