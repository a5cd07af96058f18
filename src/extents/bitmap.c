// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bitmap of wholly free pageblocks, word by word: only memory that is online
 * has bits, so that holes in physical memory cost nothing.
 */
#include "style.h"

/* First page behind the current word; behind the last one, where the span ends. */
static uint64_t word_end(const struct extents_writer *writer)
{
	const uint64_t pages = (uint64_t)WORD_BLOCKS << writer->topology->pageblock_order;
	const uint64_t left = writer->span.end - writer->word_pfn;

	return writer->word_pfn + (left < pages ? left : pages);
}

static int write_word(struct extents_writer *writer)
{
	const uint64_t pfn = writer->word_pfn, end = word_end(writer), bits = writer->word;

	writer->word_pfn = end;
	writer->word = 0;
	return put_word(writer, pfn, bits,
			(unsigned int)((end - pfn) >> writer->topology->pageblock_order));
}

/* The next range of online memory, joined with those that follow without a gap. */
static int next_span(struct extents_writer *writer)
{
	const struct topology *topology = writer->topology;

	writer->span = topology->online[writer->next_range++];
	while (writer->next_range < topology->nr_ranges &&
	       topology->online[writer->next_range].start == writer->span.end)
		writer->span.end = topology->online[writer->next_range++].end;
	writer->word_pfn = writer->span.start;
	return put_span(writer, &writer->span);
}

/* Writes all words that end at @pfn or before. */
static int advance(struct extents_writer *writer, uint64_t pfn)
{
	int rc = 0;

	while (!rc && pfn >= word_end(writer)) {
		if (writer->word_pfn < writer->span.end)
			rc = write_word(writer);
		else if (writer->next_range < writer->topology->nr_ranges)
			rc = next_span(writer);
		else
			break;
	}
	return rc;
}

int bitmap_extent(struct extents_writer *writer, const struct free_extent *extent)
{
	const unsigned int block_order = writer->topology->pageblock_order;
	const uint64_t end = extent->pfn + (1ULL << extent->order);
	int rc = 0;

	for (uint64_t pfn = extent->pfn; !rc && pfn < end; pfn += 1ULL << block_order) {
		rc = advance(writer, pfn);
		if (!rc && pfn >= writer->word_pfn && pfn < word_end(writer))
			writer->word |= 1ULL << ((pfn - writer->word_pfn) >> block_order);
	}
	return rc;
}

int bitmap_end(struct extents_writer *writer)
{
	return advance(writer, UINT64_MAX);
}
