// SPDX-License-Identifier: GPL-2.0-only
/* The picture of physical memory: what a cell shows, where rows and holes lie, what fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/cells.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* --- cells ------------------------------------------------------------------------------------ */

static const struct cell_case {
	const char *blocks;
	char letter;
	uint64_t reported, free, partial, eighths;
} cells[] = {
	{ "", ' ', 0, 0, 0, 0 },
	/* one pageblock is what map --json says */
	{ "R", 'R', 1, 0, 0, 8 },
	{ "F", 'F', 0, 1, 0, 8 },
	{ "0", '.', 0, 0, 0, 0 },
	{ "1", '1', 0, 0, 1, 1 },
	{ "7", '7', 0, 0, 1, 7 },
	/* several, alike */
	{ "RRRR", 'R', 4, 0, 0, 32 },
	{ "FFFF", 'F', 0, 4, 0, 32 },
	{ "0000", '.', 0, 0, 0, 0 },
	{ "3333", '3', 0, 0, 4, 12 },
	/* R is said of all, F of all, r of half */
	{ "RRRF", 'r', 3, 1, 0, 32 },
	{ "RFFF", 'F', 1, 3, 0, 32 },
	{ "RRR0", 'r', 3, 0, 0, 24 },
	{ "RR00", 'r', 2, 0, 0, 16 },
	{ "R000", '2', 1, 0, 0, 8 },
	{ "RRR7", 'r', 3, 0, 1, 31 },
	{ "FFF7", '7', 0, 3, 1, 31 },
	{ "FF00", '4', 0, 2, 0, 16 },
	{ "F000", '2', 0, 1, 0, 8 },
	/* eighths are rounded down */
	{ "7000", '1', 0, 0, 1, 7 },
	{ "3000", '.', 0, 0, 1, 3 },
	{ "1111111100000000", '.', 0, 0, 8, 8 },
	{ "7777777777777776", '6', 0, 0, 16, 111 },
	/* what map --json does not write */
	{ "8", '.', 0, 0, 0, 0 },
	{ "x\xff 9", '.', 0, 0, 0, 0 },
};

static void test_cells(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(cells); i++) {
		struct cell cell = { 0 };

		for (const char *letter = cells[i].blocks; *letter; letter++)
			cell_add(&cell, *letter);
		assert_int_equal(cell.blocks, strlen(cells[i].blocks));
		assert_int_equal(cell.reported, cells[i].reported);
		assert_int_equal(cell.free, cells[i].free);
		assert_int_equal(cell.partial, cells[i].partial);
		assert_int_equal(cell.eighths, cells[i].eighths);
		if (cell_letter(&cell) != cells[i].letter)
			fail_msg("\"%s\" is drawn as '%c', not '%c'", cells[i].blocks,
				 cell_letter(&cell), cells[i].letter);
	}
}

/* --- segments --------------------------------------------------------------------------------- */

static struct part part(uint64_t node, const char *zone, uint64_t start, const char *blocks)
{
	return (struct part){ start, start + strlen(blocks), blocks, node, zone };
}

/* Rows of 4 cells of 2 pageblocks. */
static const struct grid small = { .cell = 2, .columns = 4 };

static void test_segments(void **state)
{
	const struct part parts[] = {
		part(0, "DMA", 2, "RR"),      part(0, "DMA32", 4, "FFFF"),
		part(0, "DMA32", 15, "0000"), /* 7 behind: less than a row */
		part(0, "DMA32", 27, "11"),   /* 8 behind: a row */
		part(1, "DMA32", 29, "22"),   /* the same zone of another node */
		part(1, "DMA32", 31, "33"),   part(1, "DMA32", 32, "4"), /* overlaps */
	};
	static const struct {
		size_t first, nr;
		uint64_t start, end, hole, inner;
		bool new_zone;
	} expected[] = {
		{ 0, 1, 2, 4, 2, 0, true },
		{ 1, 2, 4, 19, 0, 7, true },
		{ 3, 1, 27, 29, 8, 0, false },
		{ 4, 3, 29, 33, 0, 0, true },
	};
	size_t i = 0;

	(void)state;
	for (size_t e = 0; e < ROWS(expected); e++) {
		const struct segment segment = segment_at(parts, ROWS(parts), i, &small);

		assert_int_equal(segment.first, expected[e].first);
		assert_int_equal(segment.nr, expected[e].nr);
		assert_int_equal(segment.start, expected[e].start);
		assert_int_equal(segment.end, expected[e].end);
		assert_int_equal(segment.hole, expected[e].hole);
		assert_int_equal(segment.inner, expected[e].inner);
		assert_int_equal(segment.new_zone, expected[e].new_zone);
		i += segment.nr;
	}
	assert_int_equal(i, ROWS(parts));
	/* 4 segments: 1 + 3 + 1 + 2 rows, 3 headings, 2 holes */
	assert_int_equal(picture_lines(parts, ROWS(parts), &small), 1 + 3 + 1 + 2 + 3 + 2);
}

/* --- rows ------------------------------------------------------------------------------------- */

static void assert_row(const struct part *parts, const struct segment *segment,
		       const struct grid *grid, uint64_t row, const char *letters)
{
	struct cell *row_cells = malloc(grid->columns * sizeof(*row_cells));
	char *found = calloc(1, grid->columns + 1);

	assert_non_null(row_cells);
	assert_non_null(found);
	fill_row(parts, segment, grid, row, row_cells);
	for (uint64_t c = 0; c < grid->columns; c++)
		found[c] = cell_letter(&row_cells[c]);
	assert_string_equal(found, letters);
	free(found);
	free(row_cells);
}

/* Cells begin at whole multiples of their size; a part may begin and end inside one. */
static void test_rows(void **state)
{
	const struct part parts[] = {
		part(0, "Normal", 3, "RF0R7"),
		part(0, "Normal", 9, "FFFFFFFF"),
	};
	const struct segment segment = segment_at(parts, 2, 0, &small);

	(void)state;
	assert_int_equal(segment.nr, 2);
	assert_int_equal(row_of(&small, 0), 0);
	assert_int_equal(row_of(&small, 7), 0);
	assert_int_equal(row_of(&small, 8), 8);
	/* -R | F0 | R7, and the cell before, of which nothing is there */
	assert_row(parts, &segment, &small, 0, " R4r");
	assert_row(parts, &segment, &small, 8, "FFFF");
	assert_row(parts, &segment, &small, 16, "F   ");
	assert_row(parts, &segment, &small, 24, "    ");
}

/* All that is in the parts is drawn, once, whatever the cell. */
static void test_sums(void **state)
{
	const struct part parts[] = {
		part(0, "DMA", 0, "4RRRRRR0"),	  part(0, "DMA32", 8, "FFFFFFFFFFFFFFFFF0123456"),
		part(0, "Normal", 64, "RRRRRRR"), part(0, "Normal", 77, "00000001"),
		part(1, "Normal", 1000, "FR7"),
	};
	uint64_t blocks = 0;

	(void)state;
	for (size_t i = 0; i < ROWS(parts); i++)
		blocks += parts[i].end - parts[i].start;
	for (uint64_t cell = 1; cell <= 2048; cell *= 2) {
		const struct grid grid = { .cell = cell, .columns = 4 };
		uint64_t lines = 0, drawn = 0, free_blocks = 0, reported = 0;

		for (size_t i = 0; i < ROWS(parts);) {
			const struct segment segment = segment_at(parts, ROWS(parts), i, &grid);
			struct cell row[4];

			for (uint64_t r = row_of(&grid, segment.start); r < segment.end;
			     r += 4 * cell) {
				fill_row(parts, &segment, &grid, r, row);
				for (unsigned int c = 0; c < 4; c++) {
					drawn += row[c].blocks;
					free_blocks += row[c].free;
					reported += row[c].reported;
				}
				lines++;
			}
			lines += segment.new_zone;
			lines += segment.hole > 0;
			i += segment.nr;
		}
		assert_int_equal(drawn, blocks);
		assert_int_equal(free_blocks, 17 + 1);
		assert_int_equal(reported, 6 + 7 + 1);
		assert_int_equal(picture_lines(parts, ROWS(parts), &grid), lines);
	}
}

/* --- sizes ------------------------------------------------------------------------------------ */

#define GIB_BLOCKS 512ULL /* of 2 MiB */

/* A PC: DMA, DMA32 and Normal behind the hole below 4 GiB. Texts are not looked at. */
static void make_pc(struct part parts[3], uint64_t gib)
{
	const struct part pc[] = {
		{ 0, 8, NULL, 0, "DMA" },
		{ 8, 3 * GIB_BLOCKS, NULL, 0, "DMA32" },
		{ 4 * GIB_BLOCKS, (gib + 1) * GIB_BLOCKS, NULL, 0, "Normal" },
	};

	memcpy(parts, pc, sizeof(pc));
}

static const struct fit_case {
	uint64_t gib, columns, lines, cell;
} fits[] = {
	/* three headings, a hole and the row of DMA are 5 lines */
	{ 4, 64, 24, 2 },				/* 12 rows of DMA32, 4 of Normal */
	{ 24, 64, 18, 16 },				/* 2 and 11: that's it */
	{ 24, 64, 17, 32 },	{ 1024, 64, 16, 1024 }, /* 1 and 9 */
	{ 1024, 64, 1000, 16 }, { 1024, 16, 16, 4096 },
};

static void test_fit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(fits); i++) {
		const struct fit_case *fit = &fits[i];
		struct grid grid = { .columns = fit->columns };
		struct part parts[3];

		make_pc(parts, fit->gib);
		grid.cell = fitting_cell(parts, 3, fit->columns, fit->lines);
		assert_true(picture_lines(parts, 3, &grid) <= fit->lines);
		if (grid.cell > 1) {
			grid.cell /= 2;
			assert_true(picture_lines(parts, 3, &grid) > fit->lines);
			grid.cell *= 2;
		}
		assert_int_equal(grid.cell, fit->cell);
	}
}

/* Many small parts in turn: headings alone are too many, and the cell does not grow for ever. */
static void test_no_fit(void **state)
{
	struct part parts[64];

	(void)state;
	for (uint64_t i = 0; i < ROWS(parts); i++)
		parts[i] = (struct part){ 100 * i, 100 * i + 50, NULL, i % 2, "Movable" };
	assert_int_equal(fitting_cell(parts, ROWS(parts), 64, 16), 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells), cmocka_unit_test(test_segments),
		cmocka_unit_test(test_rows),  cmocka_unit_test(test_sums),
		cmocka_unit_test(test_fit),   cmocka_unit_test(test_no_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
