// SPDX-License-Identifier: GPL-2.0-only
/* sluice audit: the free-extent map against the kernel's own totals. */
#include "cli.h"

#include <inttypes.h>

#include "sluice/control.h"
#include "sluice/json.h"
#include "sluice/units.h"

static int64_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void print_zone(const json_t *zone)
{
	printf("%4" PRId64 " %-8s %11" PRId64 " %11" PRId64 " %8" PRId64 " %11" PRId64 " %7" PRId64
	       " %8" PRId64 "\n",
	       number(zone, "node"), json_string_value(json_object_get(zone, "zone")),
	       number(zone, "map_pages"), number(zone, "kernel_pages"), number(zone, "drift_pages"),
	       number(zone, "unexplained_pages"), number(zone, "wrong_blocks"),
	       number(zone, "drift_after_pages"));
}

/* One line per path of each zone that has some. */
static void print_explained(const json_t *zones)
{
	const json_t *zone, *path;
	size_t i, j;

	json_array_foreach(zones, i, zone) json_array_foreach(json_object_get(zone, "explained"), j,
							      path)
		print_field(stdout, j ? "" : "explained",
			    "node %" PRId64 " %s: %+" PRId64 " pages by %s: %s",
			    number(zone, "node"), json_string_value(json_object_get(zone, "zone")),
			    number(path, "pages"), json_string_value(json_object_get(path, "path")),
			    json_string_value(json_object_get(path, "text")));
}

/* What the scan set right. */
static void print_repairs(const json_t *zones)
{
	const json_t *zone;
	size_t i;

	json_array_foreach(zones, i, zone) if (number(zone, "wrong_blocks"))
		print_field(stdout, "repaired",
			    "node %" PRId64 " %s: %" PRId64 " pageblocks, off by up to %" PRId64
			    " pages; %" PRId64 " of them believed free as a whole",
			    number(zone, "node"), json_string_value(json_object_get(zone, "zone")),
			    number(zone, "wrong_blocks"), number(zone, "largest_error_pages"),
			    number(zone, "not_free_blocks"));
}

static void print_verdict(const json_t *audit)
{
	char bound[UNITS_TEXT];

	if (json_is_true(json_object_get(audit, "trusted")))
		print_field(stdout, "verdict", "the map is acted upon: within max_drift, %s a zone",
			    format_size((uint64_t)number(audit, "max_drift_bytes"), bound));
	else
		print_field(stdout, "verdict", "nothing is acted upon: %s",
			    json_string_value(json_object_get(audit, "untrusted_reason")));
	if (!json_is_true(json_object_get(audit, "by_events")))
		print_field(stdout, "note",
			    "No events keep the map between scans: drift is what time changed.");
}

static void print_audit(const json_t *audit)
{
	const json_t *zones = json_object_get(audit, "zones"), *zone;
	size_t i;

	puts("                free pages  free pages             of this   wrong  drift\n"
	     "node zone           of map   of kernel    drift unexplained  blocks  after a scan");
	json_array_foreach(zones, i, zone) print_zone(zone);
	print_explained(zones);
	print_repairs(zones);
	print_verdict(audit);
}

int run_audit(const struct cli *cli, int argc, char **argv)
{
	struct errmsg err = { 0 };
	json_t *audit;
	bool trusted;

	if (expect_no_arguments("audit", argc, argv) != EXIT_OK)
		return EXIT_USAGE;
	if (ask_daemon(cli, REQUEST_AUDIT, &audit, &err) < 0)
		return fail(cli, err.text);
	if (cli->json)
		json_print(audit, true, stdout);
	else
		print_audit(audit);
	trusted = json_is_true(json_object_get(audit, "trusted"));
	json_decref(audit);
	return trusted ? EXIT_OK : EXIT_FAILED;
}
