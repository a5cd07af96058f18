// SPDX-License-Identifier: GPL-2.0-only
/* sluice extents: every free extent, written for tools. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/extents_writer.h"
#include "sluice/units.h"

/* Fewer and larger writes: each may use memory, which is what is being looked at. */
#define BUFFER_SIZE (64 * KIB)

struct request {
	const struct cli *cli;
	enum extents_format format;
	enum extents_style style;
	int order;	  /* -1: not given */
	const char *path; /* NULL: standard output */
};

static int usage_error(const char *option, const char *text)
{
	fprintf(stderr, "sluice extents: %s: %s; try sluice --help\n", option, text);
	return EXIT_USAGE;
}

static int parse_option(struct request *request, int option)
{
	char quoted[QUOTED_TEXT], text[sizeof(quoted) + 64];
	struct errmsg err = { 0 };
	int64_t order;

	switch (option) {
	case 'f':
		if (!extents_format_parse(optarg, &request->format))
			return EXIT_OK;
		snprintf(text, sizeof(text), "%s: ranges, orders or bitmap",
			 text_quote(optarg, quoted));
		return usage_error("--format", text);
	case 'n':
		if (parse_int(optarg, 0, SLUICE_MAX_ORDERS - 1, &order, &err) < 0)
			return usage_error("--order", err.text);
		request->order = (int)order;
		return EXIT_OK;
	case 'o':
		request->path = optarg;
		return EXIT_OK;
	case 'b':
		request->style = EXTENTS_BINARY;
		return EXIT_OK;
	default:
		return EXIT_USAGE;
	}
}

static int parse_request(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "format", required_argument, NULL, 'f' },
		{ "order", required_argument, NULL, 'n' },
		{ "output", required_argument, NULL, 'o' },
		{ "binary", no_argument, NULL, 'b' },
		{ 0 },
	};
	int c, status = EXIT_OK;

	while (status == EXIT_OK && (c = getopt_long(argc, argv, "", options, NULL)) != -1)
		status = parse_option(request, c);
	if (status != EXIT_OK)
		return status;
	if (optind < argc)
		return usage_error(argv[optind], "unexpected argument");
	if (request->style == EXTENTS_BINARY && request->cli->json)
		return usage_error("--binary", "not together with --json");
	if (request->style == EXTENTS_BINARY && !request->path && isatty(STDOUT_FILENO))
		return usage_error("--binary", "not to a terminal: use --output FILE, or a pipe");
	if (request->cli->json)
		request->style = EXTENTS_JSON;
	return EXIT_OK;
}

/* The lowest order wanted: that of a pageblock is the least that a bitmap can show. */
static int lowest_order(const struct request *request, const struct topology *topology,
			unsigned int *ret, struct errmsg *err)
{
	const unsigned int least =
		request->format == EXTENTS_BITMAP ? topology->pageblock_order : 0;
	const unsigned int order = request->order < 0 ? least : (unsigned int)request->order;

	if (order < least || order > topology->highest_order)
		return errmsg_set(err, -ERANGE, "--order %u: with --format %s it is %u to %u here",
				  order, extents_format_name(request->format), least,
				  topology->highest_order);
	*ret = order;
	return 0;
}

static void print_summary(const struct extents_writer *writer,
			  const struct extents_summary *summary)
{
	char bytes[UNITS_TEXT], scan[UNITS_TEXT], encode[UNITS_TEXT];
	uint64_t pages = 0;
	int64_t drift = 0;

	for (unsigned int o = writer->lowest; o <= writer->topology->highest_order; o++) {
		pages += summary->extents[o] << o;
		drift += (int64_t)(summary->nr_free[o] << o) - (int64_t)(summary->extents[o] << o);
	}
	fprintf(stderr,
		"%" PRIu64 " entries for %s of free memory in extents of order %u and larger, "
		"%" PRIu64 " bytes in binary; found by %s in %s, written in %s\n",
		writer->entries, format_size(pages * writer->topology->page_size, bytes),
		writer->lowest, writer->binary_bytes, scan_source_name(writer->source),
		format_duration(summary->scan_ns, scan),
		format_duration(summary->visit_ns, encode));
	if (drift)
		fprintf(stderr,
			"the kernel's own count differs by %" PRId64
			" pages: memory moved meanwhile\n",
			drift);
}

static int write_extents(struct extents_writer *writer, struct observer *observer,
			 struct extents_summary *summary, struct errmsg *err)
{
	int rc;

	extents_begin(writer);
	rc = observer_extents(observer, writer->lowest, extents_put, writer, summary, err);
	return rc ? rc : extents_end(writer, summary);
}

/* Opens the output, and closes it behind the last entry: a full disk may show there. */
static int write_output(const struct request *request, struct observer *observer,
			struct extents_writer *writer, struct errmsg *err)
{
	struct extents_summary summary;
	char name[QUOTED_TEXT] = "standard output";
	int rc;

	if (request->path) {
		text_quote(request->path, name);
		writer->out = fopen(request->path, "we");
		if (!writer->out)
			return errmsg_set(err, -errno, "%s: %m", name);
	}
	setvbuf(writer->out, NULL, _IOFBF, BUFFER_SIZE);
	rc = write_extents(writer, observer, &summary, err);
	if (request->path && fclose(writer->out) && !rc)
		rc = -errno;
	if (rc && !err->text[0])
		errmsg_set(err, rc, "%s: %s", name, strerror(-rc));
	if (!rc && writer->style != EXTENTS_JSON)
		print_summary(writer, &summary);
	return rc;
}

static int show(const struct request *request, struct observer *observer)
{
	struct extents_writer writer = {
		.out = stdout,
		.format = request->format,
		.style = request->style,
		.source = observer_source(observer),
		.topology = observer_topology(observer),
	};
	struct errmsg err = { 0 };
	int rc;

	rc = lowest_order(request, writer.topology, &writer.lowest, &err);
	if (!rc)
		rc = write_output(request, observer, &writer, &err);
	if (!rc)
		return EXIT_OK;
	if (request->path || !writer.begun)
		return fail(request->cli, err.text);
	/* a document that was begun can't become an error in JSON any more */
	fprintf(stderr, "sluice: %s\n", err.text);
	return EXIT_FAILED;
}

int run_extents(const struct cli *cli, int argc, char **argv)
{
	struct request request = { .cli = cli, .format = EXTENTS_RANGES, .order = -1 };
	struct observer *observer;
	struct errmsg err = { 0 };
	int status;

	status = parse_request(&request, argc, argv);
	if (status != EXIT_OK)
		return status;
	if (open_observer(true, &observer, &err) < 0)
		return fail(cli, err.text);
	status = show(&request, observer);
	observer_close(observer);
	return status;
}
