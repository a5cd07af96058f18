// SPDX-License-Identifier: GPL-2.0-only
/* sluice hist: free extents by zone and order. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/control.h"
#include "sluice/json.h"
#include "sluice/units.h"

#define BAR_WIDTH     34
#define WATCH_DEFAULT "2"

struct source {
	const struct cli *cli;
	struct observer *observer; /* NULL: the daemon answers */
};

static uint64_t member(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* From the daemon if one runs, else from an observer of our own. */
static int get_hist(struct source *source, json_t **ret, struct errmsg *err)
{
	struct snapshot *snap;
	int rc;

	if (!source->observer) {
		rc = ask_daemon(source->cli, REQUEST_HIST, ret, err);
		if (rc != -ENOENT)
			return rc;
		rc = open_observer(false, &source->observer, err);
		if (rc)
			return rc;
	}
	snap = malloc(sizeof(*snap));
	if (!snap)
		return errmsg_set(err, -ENOMEM, "no memory for a snapshot");
	rc = observer_snapshot(source->observer, SCAN_FULL, snap, err);
	if (!rc)
		*ret = hist_json(snap, observer_topology(source->observer),
				 observer_blocks(source->observer));
	free(snap);
	return rc;
}

/* Sums over the orders of one zone, or of all. Bytes. */
struct sums {
	uint64_t free, reported, reportable;
	bool known; /* what is reported */
};

static void add_order(struct sums *sums, const json_t *order, uint64_t page_size)
{
	const uint64_t size = page_size << member(order, "order");

	sums->free += member(order, "free_extents") * size;
	sums->reported += member(order, "reported_extents") * size;
	sums->reportable += member(order, "reportable_extents") * size;
	sums->known = !json_is_null(json_object_get(order, "reported_extents"));
}

static void print_bar(const json_t *order, uint64_t page_size, uint64_t zone_free)
{
	const uint64_t size = page_size << member(order, "order");
	const struct {
		char mark;
		uint64_t bytes;
	} parts[] = {
		{ '#', member(order, "reported_extents") * size },
		{ '+', member(order, "reportable_extents") * size },
		{ '.', (member(order, "free_extents") - member(order, "reported_extents") -
			member(order, "reportable_extents")) *
			       size },
	};
	const double scale = zone_free ? (double)BAR_WIDTH / (double)zone_free : 0;
	double end = 0;
	int drawn = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		end += (double)parts[i].bytes * scale;
		for (; drawn < (int)lround(end); drawn++)
			putchar(parts[i].mark);
	}
	putchar('\n');
}

static void print_order(const json_t *order, uint64_t page_size, uint64_t zone_free)
{
	const uint64_t number = member(order, "order"), extents = member(order, "free_extents");
	char size[UNITS_TEXT], bytes[UNITS_TEXT], share[8] = "-";

	if (json_is_null(json_object_get(order, "reported_extents")))
		snprintf(share, sizeof(share), "?");
	else if (extents)
		snprintf(share, sizeof(share), "%" PRIu64 "%%",
			 100 * member(order, "reported_extents") / extents);
	printf("%5" PRIu64 " %8s %9" PRIu64 " %10s %8s", number,
	       format_size(page_size << number, size), extents,
	       format_size(extents * (page_size << number), bytes), share);
	if (extents)
		fputs("  ", stdout);
	print_bar(order, page_size, zone_free);
}

static void print_zone(const json_t *zone, uint64_t page_size)
{
	const json_t *orders = json_object_get(zone, "orders"), *order;
	char free_text[UNITS_TEXT], managed[UNITS_TEXT], gate[UNITS_TEXT];
	struct sums sums = { 0 };
	size_t i;

	json_array_foreach(orders, i, order) add_order(&sums, order, page_size);
	printf("node %" PRIu64 " %s: %s free of %s; gate at %s: %s\n", member(zone, "node"),
	       json_string_value(json_object_get(zone, "zone")), format_size(sums.free, free_text),
	       format_size(member(zone, "managed_bytes"), managed),
	       format_size(member(zone, "gate_bytes"), gate),
	       json_is_true(json_object_get(zone, "gate_open")) ? "open" : "shut");
	if (json_integer_value(json_object_get(zone, "drift_pages")))
		printf("the kernel's own count differs by %" JSON_INTEGER_FORMAT
		       " pages: memory moved during the scan\n",
		       -json_integer_value(json_object_get(zone, "drift_pages")));
	puts("order     size   extents       free reported  share of the zone's free memory");
	json_array_foreach(orders, i, order) print_order(order, page_size, sums.free);
	putchar('\n');
}

static int highest_order(const json_t *zones)
{
	const json_t *orders = json_object_get(json_array_get(zones, 0), "orders");
	const json_t *last = json_array_get(orders, json_array_size(orders) - 1);

	return (int)json_integer_value(json_object_get(last, "order"));
}

static void print_total(const json_t *hist)
{
	const json_t *zones = json_object_get(hist, "zones"), *zone, *order;
	const uint64_t page_size = member(hist, "page_size");
	const int limit = (int)json_integer_value(json_object_get(hist, "reporting_order"));
	char all[UNITS_TEXT], reported[UNITS_TEXT], now[UNITS_TEXT], other[UNITS_TEXT];
	struct sums sums = { 0 };
	size_t i, j;

	json_array_foreach(zones, i, zone)
		json_array_foreach(json_object_get(zone, "orders"), j, order)
			add_order(&sums, order, page_size);
	if (!sums.known) {
		printf("%s free; what is reported can't be seen on this kernel\n",
		       format_size(sums.free, all));
		return;
	}
	printf("%s free: # %s reported, + %s reportable now,\n. %s not",
	       format_size(sums.free, all), format_size(sums.reported, reported),
	       format_size(sums.reportable, now),
	       format_size(sums.free - sums.reported - sums.reportable, other));
	if (limit < 0)
		puts(" (this kernel reports nothing)");
	else if (limit > highest_order(zones))
		puts(" (reporting is held: the order limit is above the highest order)");
	else
		printf(" (below order %d, or in a zone that is not reported now)\n", limit);
}

static void print_hist(const json_t *hist)
{
	const json_t *zone;
	size_t i;

	json_array_foreach(json_object_get(hist, "zones"), i, zone)
		print_zone(zone, member(hist, "page_size"));
	print_total(hist);
}

static int show(struct source *source)
{
	struct errmsg err = { 0 };
	json_t *hist = NULL;

	if (get_hist(source, &hist, &err) < 0)
		return fail(source->cli, err.text);
	if (source->cli->json)
		json_print(hist, false, stdout);
	else
		print_hist(hist);
	fflush(stdout);
	json_decref(hist);
	return ferror(stdout) ? EXIT_FAILED : EXIT_OK;
}

/* Repaints a terminal; appends to anything else. */
static int watch(struct source *source, uint64_t seconds)
{
	const bool terminal = isatty(STDOUT_FILENO) && !source->cli->json;
	int rc;

	for (;;) {
		if (terminal)
			fputs("\033[H\033[2J", stdout);
		rc = show(source);
		if (rc != EXIT_OK)
			return rc;
		sleep((unsigned int)seconds);
		if (!terminal && !source->cli->json)
			putchar('\n');
	}
}

int run_hist(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "watch", optional_argument, NULL, 'w' },
		{ 0 },
	};
	struct source source = { .cli = cli };
	const char *seconds = NULL;
	struct errmsg err = { 0 };
	int64_t period = 0;
	int c, rc;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'w')
			seconds = optarg ? optarg : WATCH_DEFAULT;
		else
			return EXIT_USAGE;
	}
	/* "--watch 5" besides "--watch=5" */
	if (optind < argc && seconds && argv[optind][0] != '-')
		seconds = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "sluice hist: unexpected argument \"%s\"; try sluice --help\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	if (seconds && parse_int(seconds, 1, 3600, &period, &err) < 0) {
		fprintf(stderr, "sluice hist: --watch: %s\n", err.text);
		return EXIT_USAGE;
	}
	rc = seconds ? watch(&source, (uint64_t)period) : show(&source);
	observer_close(source.observer);
	return rc;
}
