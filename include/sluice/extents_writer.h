/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Free extents written for tools, as a stream: three formats (what an entry is),
 * each in three styles (how it is written). sluice(1) is their reference.
 *
 *             ranges            orders                        bitmap
 * entry       free pages in     a free extent                 64 pageblocks, a bit
 *             one piece                                       each: wholly free
 * text        PFN PAGES         PFN ORDER "reported" or "-"   PFN 0110...
 * JSON        pfn, pages        pfn, order, reported          pfn, free ("0110...")
 * binary      8 or 16 bytes     8 bytes                       8 bytes
 *
 * Binary files hold 64-bit words in little-endian byte order behind a header:
 *
 *   0  8  "sluicext"             16  1  pageblock order
 *   8  2  version, 1             17  1  lowest order
 *  10  2  enum extents_format    18  6  zero
 *  12  4  page size in bytes
 *
 *   ranges  pfn << 12 | pages; from 4096 pages on: pfn << 12, then a word: pages
 *   orders  pfn << 12 | reported << 11 | order
 *   bitmap  for each range of online memory: pfn << 12, number of pageblocks, and
 *           so many bits in whole words, the lowest bit first
 *
 * and end with a word of ones and the number of entries.
 */
#ifndef SLUICE_EXTENTS_WRITER_H
#define SLUICE_EXTENTS_WRITER_H

#include <stdint.h>
#include <stdio.h>

#include "sluice/extents.h"
#include "sluice/snapshot.h"
#include "sluice/topology.h"

#define EXTENTS_MAGIC	    "sluicext"
#define EXTENTS_VERSION	    1
#define EXTENTS_HEADER_SIZE 24

enum extents_format {
	EXTENTS_RANGES = 1,
	EXTENTS_ORDERS = 2,
	EXTENTS_BITMAP = 3,
};

enum extents_style {
	EXTENTS_TEXT,
	EXTENTS_JSON,
	EXTENTS_BINARY,
};

struct extents_style_ops;

struct extents_writer {
	/* set by the caller, who keeps what they point to */
	FILE *out;
	enum extents_format format;
	enum extents_style style;
	enum scan_source source;
	unsigned int lowest; /* order; bitmap: at least pageblock order */
	const struct topology *topology;

	/* results */
	uint64_t entries;
	uint64_t binary_bytes; /* in style binary, whatever the style is */

	bool begun; /* something may have been written */

	/* the writer's own */
	const struct extents_style_ops *ops;
	struct pfn_range pending; /* ranges: not written yet, may grow */
	unsigned int next_range;  /* bitmap: of the topology's */
	struct pfn_range span;	  /* bitmap: the range of online memory being written */
	uint64_t word_pfn;	  /* bitmap: first page of the current word */
	uint64_t word;		  /* bitmap: its bits */
};

/*
 * extents_begin(), extents_put() for each extent in ascending order (an
 * extent_visitor; @context is the struct extents_writer), extents_end(): 0 or
 * -errno of writing. Nothing is written before the first extent, or the end. A
 * stream that is not ended is cut off: no JSON, or binary without its end.
 */
void extents_begin(struct extents_writer *writer);
int extents_put(void *context, const struct free_extent *extent);
int extents_end(struct extents_writer *writer, const struct extents_summary *summary);

/* "ranges", "orders", "bitmap"; extents_format_parse() is 0 or -EINVAL. */
const char *extents_format_name(enum extents_format format);
int extents_format_parse(const char *name, enum extents_format *ret);

#endif
