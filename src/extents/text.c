// SPDX-License-Identifier: GPL-2.0-only
/* Text: one entry per line, words between blanks, nothing else. */
#include <inttypes.h>

#include "style.h"

char *bits_text(uint64_t bits, unsigned int blocks, char buf[WORD_BLOCKS + 1])
{
	for (unsigned int i = 0; i < blocks; i++)
		buf[i] = bits >> i & 1 ? '1' : '0';
	buf[blocks] = '\0';
	return buf;
}

static int begin(struct extents_writer *writer)
{
	(void)writer;
	return 0;
}

static int write_range(struct extents_writer *writer, const struct pfn_range *range)
{
	return put_text(writer->out, "%" PRIu64 " %" PRIu64 "\n", range->start,
			range->end - range->start);
}

static int write_extent(struct extents_writer *writer, const struct free_extent *extent)
{
	return put_text(writer->out, "%" PRIu64 " %u %s\n", extent->pfn, extent->order,
			extent->reported ? "reported" : "-");
}

static int write_word(struct extents_writer *writer, uint64_t pfn, uint64_t bits,
		      unsigned int blocks)
{
	char text[WORD_BLOCKS + 1];

	return put_text(writer->out, "%" PRIu64 " %s\n", pfn, bits_text(bits, blocks, text));
}

static int end(struct extents_writer *writer, const struct extents_summary *summary)
{
	(void)writer;
	(void)summary;
	return 0;
}

const struct extents_style_ops extents_text = {
	.begin = begin,
	.range = write_range,
	.extent = write_extent,
	.word = write_word,
	.end = end,
};
