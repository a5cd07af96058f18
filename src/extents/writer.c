// SPDX-License-Identifier: GPL-2.0-only
/* From extents to entries, counted and handed to the style. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "style.h"

#define END_SIZE (2 * sizeof(uint64_t))

static const char *const format_names[] = {
	[EXTENTS_RANGES] = "ranges",
	[EXTENTS_ORDERS] = "orders",
	[EXTENTS_BITMAP] = "bitmap",
};

static const struct extents_style_ops *const styles[] = {
	[EXTENTS_TEXT] = &extents_text,
	[EXTENTS_JSON] = &extents_json,
	[EXTENTS_BINARY] = &extents_binary,
};

const char *extents_format_name(enum extents_format format)
{
	return format_names[format];
}

int extents_format_parse(const char *name, enum extents_format *ret)
{
	for (unsigned int i = EXTENTS_RANGES; i <= EXTENTS_BITMAP; i++) {
		if (!strcmp(name, format_names[i])) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

int put_text(FILE *out, const char *fmt, ...)
{
	va_list args;
	int length;

	va_start(args, fmt);
	length = vfprintf(out, fmt, args);
	va_end(args);
	return length < 0 ? -errno : 0;
}

int put_range(struct extents_writer *writer, const struct pfn_range *range)
{
	const uint64_t words = range->end - range->start > RANGE_PAGES_MAX ? 2 : 1;

	writer->entries++;
	writer->binary_bytes += words * sizeof(uint64_t);
	return writer->ops->range(writer, range);
}

int put_extent(struct extents_writer *writer, const struct free_extent *extent)
{
	writer->entries++;
	writer->binary_bytes += sizeof(uint64_t);
	return writer->ops->extent(writer, extent);
}

int put_span(struct extents_writer *writer, const struct pfn_range *span)
{
	writer->binary_bytes += 2 * sizeof(uint64_t);
	return writer->ops->span ? writer->ops->span(writer, span) : 0;
}

int put_word(struct extents_writer *writer, uint64_t pfn, uint64_t bits, unsigned int blocks)
{
	writer->entries++;
	writer->binary_bytes += sizeof(uint64_t);
	return writer->ops->word(writer, pfn, bits, blocks);
}

/* The range that grows at its end is written when an extent leaves a gap. */
static int merge(struct extents_writer *writer, const struct free_extent *extent)
{
	const uint64_t end = extent->pfn + (1ULL << extent->order);
	int rc = 0;

	if (writer->pending.end == extent->pfn) {
		writer->pending.end = end;
		return 0;
	}
	if (writer->pending.end)
		rc = put_range(writer, &writer->pending);
	writer->pending = (struct pfn_range){ extent->pfn, end };
	return rc;
}

void extents_begin(struct extents_writer *writer)
{
	writer->begun = false;
	writer->entries = 0;
	writer->binary_bytes = EXTENTS_HEADER_SIZE;
	writer->ops = styles[writer->style];
	writer->pending = writer->span = (struct pfn_range){ 0 };
	writer->next_range = 0;
	writer->word_pfn = writer->word = 0;
}

static int begin_once(struct extents_writer *writer)
{
	if (writer->begun)
		return 0;
	writer->begun = true;
	return writer->ops->begin(writer);
}

int extents_put(void *context, const struct free_extent *extent)
{
	struct extents_writer *writer = context;
	int rc;

	rc = begin_once(writer);
	if (rc)
		return rc;
	switch (writer->format) {
	case EXTENTS_RANGES:
		return merge(writer, extent);
	case EXTENTS_ORDERS:
		return put_extent(writer, extent);
	case EXTENTS_BITMAP:
		return bitmap_extent(writer, extent);
	}
	return -EINVAL;
}

int extents_end(struct extents_writer *writer, const struct extents_summary *summary)
{
	int rc;

	rc = begin_once(writer);
	if (!rc && writer->format == EXTENTS_RANGES && writer->pending.end)
		rc = put_range(writer, &writer->pending);
	if (!rc && writer->format == EXTENTS_BITMAP)
		rc = bitmap_end(writer);
	writer->binary_bytes += END_SIZE;
	if (!rc)
		rc = writer->ops->end(writer, summary);
	if (!rc && fflush(writer->out))
		rc = -errno;
	return rc;
}
