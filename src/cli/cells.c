// SPDX-License-Identifier: GPL-2.0-only
#include "cells.h"

#include <string.h>

#define WHOLE 8 /* eighths */

void cell_add(struct cell *cell, char letter)
{
	const unsigned int eighths =
		letter >= '1' && letter <= '7' ? (unsigned int)(letter - '0') : 0;

	cell->blocks++;
	cell->reported += letter == 'R';
	cell->free += letter == 'F';
	cell->partial += eighths > 0;
	cell->eighths += letter == 'R' || letter == 'F' ? WHOLE : eighths;
}

char cell_letter(const struct cell *cell)
{
	if (!cell->blocks)
		return ' ';
	if (cell->reported == cell->blocks)
		return 'R';
	if (2 * cell->reported >= cell->blocks)
		return 'r';
	if (cell->reported + cell->free == cell->blocks)
		return 'F';
	return ".1234567"[cell->eighths / cell->blocks];
}

static bool same_zone(const struct part *a, const struct part *b)
{
	return a->node == b->node && !strcmp(a->zone, b->zone);
}

/* Zones may share a pageblock, so that a part may begin before the last one ends. */
static uint64_t gap(const struct part *before, const struct part *after)
{
	return after->start > before->end ? after->start - before->end : 0;
}

struct segment segment_at(const struct part *parts, size_t nr, size_t first,
			  const struct grid *grid)
{
	struct segment segment = {
		.first = first,
		.nr = 1,
		.start = parts[first].start,
		.end = parts[first].end,
		.new_zone = !first || !same_zone(&parts[first - 1], &parts[first]),
		.hole = first ? gap(&parts[first - 1], &parts[first]) : parts[first].start,
	};

	for (size_t i = first + 1; i < nr; i++) {
		const uint64_t hole = gap(&parts[i - 1], &parts[i]);

		if (!same_zone(&parts[i - 1], &parts[i]) || hole >= grid->cell * grid->columns)
			break;
		segment.nr++;
		segment.end = parts[i].end;
		segment.inner += hole;
	}
	return segment;
}

uint64_t row_of(const struct grid *grid, uint64_t pageblock)
{
	return pageblock - pageblock % (grid->cell * grid->columns);
}

void fill_row(const struct part *parts, const struct segment *segment, const struct grid *grid,
	      uint64_t row, struct cell *cells)
{
	const uint64_t row_end = row + grid->cell * grid->columns;

	for (uint64_t c = 0; c < grid->columns; c++)
		cells[c] = (struct cell){ 0 };
	for (size_t i = segment->first; i < segment->first + segment->nr; i++) {
		const struct part *part = &parts[i];
		const uint64_t end = part->end < row_end ? part->end : row_end;

		for (uint64_t b = part->start > row ? part->start : row; b < end; b++)
			cell_add(&cells[(b - row) / grid->cell], part->blocks[b - part->start]);
	}
}

uint64_t picture_lines(const struct part *parts, size_t nr, const struct grid *grid)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < nr;) {
		const struct segment segment = segment_at(parts, nr, i, grid);
		const uint64_t length = row_of(grid, segment.end - 1) - row_of(grid, segment.start);

		lines += length / (grid->cell * grid->columns) + 1;
		lines += segment.new_zone ? 1 : 0;
		lines += segment.hole ? 1 : 0;
		i += segment.nr;
	}
	return lines;
}

uint64_t fitting_cell(const struct part *parts, size_t nr, uint64_t columns, uint64_t lines)
{
	struct grid grid = { .cell = 1, .columns = columns };

	while (picture_lines(parts, nr, &grid) > lines && grid.cell * columns < parts[nr - 1].end)
		grid.cell *= 2;
	return grid.cell;
}
