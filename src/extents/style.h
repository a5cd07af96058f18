/* SPDX-License-Identifier: GPL-2.0-only */
/* How entries are written: one implementation per style. Each function returns 0 or -errno. */
#ifndef SLUICE_EXTENTS_STYLE_H
#define SLUICE_EXTENTS_STYLE_H

#include "sluice/extents_writer.h"

#define WORD_BLOCKS 64 /* pageblocks in a word of a bitmap */

/* Pages that a range may have to fit into one word. */
#define RANGE_PAGES_MAX ((1U << SLUICE_EXTENT_PFN_SHIFT) - 1)

struct extents_style_ops {
	int (*begin)(struct extents_writer *writer);
	int (*range)(struct extents_writer *writer, const struct pfn_range *range);
	int (*extent)(struct extents_writer *writer, const struct free_extent *extent);
	int (*span)(struct extents_writer *writer, const struct pfn_range *span); /* or NULL */
	int (*word)(struct extents_writer *writer, uint64_t pfn, uint64_t bits,
		    unsigned int blocks);
	int (*end)(struct extents_writer *writer, const struct extents_summary *summary);
};

extern const struct extents_style_ops extents_text, extents_json, extents_binary;

/* Entries on their way out, counted. */
int put_range(struct extents_writer *writer, const struct pfn_range *range);
int put_extent(struct extents_writer *writer, const struct free_extent *extent);
int put_span(struct extents_writer *writer, const struct pfn_range *span);
int put_word(struct extents_writer *writer, uint64_t pfn, uint64_t bits, unsigned int blocks);

/* bitmap.c */
int bitmap_extent(struct extents_writer *writer, const struct free_extent *extent);
int bitmap_end(struct extents_writer *writer);

/* "0110": the pageblocks from the lowest on. Returns @buf. */
char *bits_text(uint64_t bits, unsigned int blocks, char buf[WORD_BLOCKS + 1]);

/* fprintf(3) that returns 0 or -errno */
int put_text(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
