/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Physical memory in cells: how pageblocks become the characters of a picture, and
 * where its rows and holes lie. Pure functions; map.c reads and prints.
 */
#ifndef SLUICE_CELLS_H
#define SLUICE_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pageblocks that follow each other, all of one zone: a part of map --json. */
struct part {
	uint64_t start;	    /* in pageblocks from address 0 */
	uint64_t end;	    /* exclusive */
	const char *blocks; /* a letter for each, see map_json() */
	uint64_t node;
	const char *zone;
};

/* Pageblocks by state, and what is free in them. */
struct cell {
	uint64_t blocks;
	uint64_t reported; /* free as a whole */
	uint64_t free;	   /* free as a whole, not reported */
	uint64_t partial;  /* free to an eighth or more, but not as a whole */
	uint64_t eighths;  /* of pageblocks, that are free at least */
};

/* Adds one pageblock; it is in use if map_json() does not write that letter. */
void cell_add(struct cell *cell, char letter);

/*
 * What a cell looks like:
 *   ' '       no memory of this zone
 *   'R'       all of it is free and reported
 *   'r'       at least half of it is
 *   'F'       all of it is free
 *   '1'..'7'  at least so many eighths are free
 *   '.'       none of these
 */
char cell_letter(const struct cell *cell);

/* Cells of one size, in rows that begin at whole multiples of their length. */
struct grid {
	uint64_t cell;	  /* pageblocks */
	uint64_t columns; /* cells in a row */
};

/* Parts of one zone with less than a row between them, which share rows. */
struct segment {
	size_t first, nr; /* parts */
	uint64_t start, end;
	bool new_zone;	/* it is not that of the part before */
	uint64_t hole;	/* between the part before and this segment, pageblocks */
	uint64_t inner; /* holes inside */
};

/* The segment that begins with part @first of @nr parts, which ascend. */
struct segment segment_at(const struct part *parts, size_t nr, size_t first,
			  const struct grid *grid);

/* The row's first pageblock that belongs to @pageblock. */
uint64_t row_of(const struct grid *grid, uint64_t pageblock);

/* The @grid->columns cells of the row that begins at pageblock @row. */
void fill_row(const struct part *parts, const struct segment *segment, const struct grid *grid,
	      uint64_t row, struct cell *cells);

/* Lines of the picture: rows, a heading for each new zone, a line for each hole. */
uint64_t picture_lines(const struct part *parts, size_t nr, const struct grid *grid);

/*
 * The smallest cell, a power of two of pageblocks, with which the picture has no
 * more than @lines lines, as far as that can be had.
 */
uint64_t fitting_cell(const struct part *parts, size_t nr, uint64_t columns, uint64_t lines);

#endif
