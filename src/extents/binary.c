// SPDX-License-Identifier: GPL-2.0-only
/* Binary: see extents_writer.h. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "style.h"

static int put(struct extents_writer *writer, const void *data, size_t size)
{
	return fwrite(data, size, 1, writer->out) == 1 ? 0 : -errno;
}

static int put_u64(struct extents_writer *writer, uint64_t word)
{
	word = htole64(word);
	return put(writer, &word, sizeof(word));
}

static int begin(struct extents_writer *writer)
{
	struct {
		char magic[sizeof(EXTENTS_MAGIC) - 1];
		uint16_t version;
		uint16_t format;
		uint32_t page_size;
		uint8_t pageblock_order;
		uint8_t lowest_order;
		uint8_t zero[6];
	} header = {
		.version = htole16(EXTENTS_VERSION),
		.format = htole16((uint16_t)writer->format),
		.page_size = htole32((uint32_t)writer->topology->page_size),
		.pageblock_order = (uint8_t)writer->topology->pageblock_order,
		.lowest_order = (uint8_t)writer->lowest,
	};

	_Static_assert(sizeof(header) == EXTENTS_HEADER_SIZE, "the header has no padding");
	memcpy(header.magic, EXTENTS_MAGIC, sizeof(header.magic));
	return put(writer, &header, sizeof(header));
}

/* The words of the virtio-balloon patches v6 of 2016; see docs/extents.md. */
static int write_range(struct extents_writer *writer, const struct pfn_range *range)
{
	const uint64_t pages = range->end - range->start;
	const uint64_t start = range->start << SLUICE_EXTENT_PFN_SHIFT;
	int rc;

	if (pages <= RANGE_PAGES_MAX)
		return put_u64(writer, start | pages);
	rc = put_u64(writer, start);
	return rc ? rc : put_u64(writer, pages);
}

static int write_extent(struct extents_writer *writer, const struct free_extent *extent)
{
	return put_u64(writer, extent->pfn << SLUICE_EXTENT_PFN_SHIFT |
				       (extent->reported ? SLUICE_EXTENT_REPORTED : 0) |
				       extent->order);
}

static int write_span(struct extents_writer *writer, const struct pfn_range *span)
{
	int rc = put_u64(writer, span->start << SLUICE_EXTENT_PFN_SHIFT);

	return rc ? rc :
		    put_u64(writer, (span->end - span->start) >> writer->topology->pageblock_order);
}

static int write_word(struct extents_writer *writer, uint64_t pfn, uint64_t bits,
		      unsigned int blocks)
{
	(void)pfn;
	(void)blocks;
	return put_u64(writer, bits);
}

static int end(struct extents_writer *writer, const struct extents_summary *summary)
{
	int rc = put_u64(writer, UINT64_MAX);

	(void)summary;
	return rc ? rc : put_u64(writer, writer->entries);
}

const struct extents_style_ops extents_binary = {
	.begin = begin,
	.range = write_range,
	.extent = write_extent,
	.span = write_span,
	.word = write_word,
	.end = end,
};
