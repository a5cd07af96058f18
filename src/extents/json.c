// SPDX-License-Identifier: GPL-2.0-only
/*
 * JSON: one document, written as it comes, since a tree of all entries would need
 * memory without bound. Only numbers and names of ours are in it, so that nothing
 * needs escaping.
 */
#include <inttypes.h>

#include "sluice/json.h"
#include "style.h"

static int begin(struct extents_writer *writer)
{
	return put_text(writer->out,
			"{\"version\":%d,\"format\":\"%s\",\"source\":\"%s\",\"page_size\":%" PRIu64
			",\"pageblock_order\":%u,\"lowest_order\":%u,\"entries\":[",
			JSON_VERSION, extents_format_name(writer->format),
			scan_source_name(writer->source), writer->topology->page_size,
			writer->topology->pageblock_order, writer->lowest);
}

/* Entries stand on lines of their own; @writer->entries counts the one that follows. */
static const char *separator(const struct extents_writer *writer)
{
	return writer->entries > 1 ? ",\n" : "\n";
}

static int write_range(struct extents_writer *writer, const struct pfn_range *range)
{
	return put_text(writer->out, "%s{\"pfn\":%" PRIu64 ",\"pages\":%" PRIu64 "}",
			separator(writer), range->start, range->end - range->start);
}

static int write_extent(struct extents_writer *writer, const struct free_extent *extent)
{
	return put_text(writer->out, "%s{\"pfn\":%" PRIu64 ",\"order\":%u,\"reported\":%s}",
			separator(writer), extent->pfn, extent->order,
			extent->reported ? "true" : "false");
}

static int write_word(struct extents_writer *writer, uint64_t pfn, uint64_t bits,
		      unsigned int blocks)
{
	char text[WORD_BLOCKS + 1];

	return put_text(writer->out, "%s{\"pfn\":%" PRIu64 ",\"free\":\"%s\"}", separator(writer),
			pfn, bits_text(bits, blocks, text));
}

static int end(struct extents_writer *writer, const struct extents_summary *summary)
{
	int rc;

	rc = put_text(writer->out,
		      "],\n\"nr_entries\":%" PRIu64 ",\"binary_bytes\":%" PRIu64
		      ",\"scan_ns\":%" PRIu64 ",\"encode_ns\":%" PRIu64 ",\"probes\":%" PRIu64
		      ",\"orders\":[",
		      writer->entries, writer->binary_bytes, summary->scan_ns, summary->visit_ns,
		      summary->probes);
	for (unsigned int o = writer->lowest; !rc && o <= writer->topology->highest_order; o++)
		rc = put_text(
			writer->out,
			"%s\n{\"order\":%u,\"free_extents\":%" PRIu64 ",\"nr_free\":%" PRIu64 "}",
			o > writer->lowest ? "," : "", o, summary->extents[o], summary->nr_free[o]);
	return rc ? rc : put_text(writer->out, "]}\n");
}

const struct extents_style_ops extents_json = {
	.begin = begin,
	.range = write_range,
	.extent = write_extent,
	.word = write_word,
	.end = end,
};
