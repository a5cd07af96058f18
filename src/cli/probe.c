// SPDX-License-Identifier: GPL-2.0-only
/* sluice probe: what this kernel and this balloon can do. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "sluice/file.h"
#include "sluice/json.h"
#include "sluice/kick.h"
#include "sluice/reporting.h"
#include "sluice/units.h"
#include "truth.h"

#define SAMPLES_DEFAULT 64
#define MEMORY_DEFAULT	(64 * MIB)
#define MEMORY_MOST	GIB

/* One line of the answer: a thing, whether it is there, and what to know or do. */
struct finding {
	const char *key;   /* in JSON */
	const char *label; /* in text */
	bool there;
	char text[512];
};

#define MAX_FINDINGS 16

struct findings {
	unsigned int nr;
	struct finding list[MAX_FINDINGS];
};

__attribute__((format(printf, 5, 6))) static void find(struct findings *findings, const char *key,
						       const char *label, bool there,
						       const char *fmt, ...)
{
	struct finding *finding;
	va_list args;

	if (findings->nr == MAX_FINDINGS)
		return;
	finding = &findings->list[findings->nr++];
	finding->key = key;
	finding->label = label;
	finding->there = there;
	va_start(args, fmt);
	vsnprintf(finding->text, sizeof(finding->text), fmt, args);
	va_end(args);
}

static void find_reporting(struct findings *findings, const struct reporting *reporting)
{
	struct errmsg err = { 0 };

	if (reporting_usable(reporting, &err) < 0)
		find(findings, "reporting", "reporting", false, "%s", err.text);
	else
		find(findings, "reporting", "reporting", true, "%s %s, negotiated and registered",
		     reporting_backend_name(reporting->backend), reporting->device);
	if (reporting->poisoned)
		find(findings, "poison", "poison", true,
		     "page_poison fills free pages: the host may have to keep reported pages as "
		     "they are, so reported does not mean released");
	else if (reporting->feature_poison)
		find(findings, "poison", "poison", false,
		     "init_on_free leaves zeroes in free pages, which the host may drop");
}

static void find_knobs(struct findings *findings, const struct reporting *reporting,
		       const struct topology *topology)
{
	char size[UNITS_TEXT];

	if (!reporting->has_order)
		find(findings, "order", "order knob", false,
		     "no page_reporting_order before Linux 5.14: the kernel reports extents of "
		     "order "
		     "%u and above whenever it likes; sluice can only kick",
		     topology->pageblock_order);
	else if (reporting->order < 0)
		find(findings, "order", "order knob", false,
		     "page_reporting_order is -1: no driver has registered for reporting yet");
	else
		find(findings, "order", "order knob", true, "page_reporting_order is %" PRId64,
		     reporting->order);
	if (reporting->off_value)
		find(findings, "hold", "hold", true,
		     "order %u switches reporting off (5.14 to 6.1)", topology->highest_order + 1);
	else
		find(findings, "hold", "hold", false,
		     "%s: at best extents of order %u (%s) are still reported",
		     reporting->has_order ?
			     "since Linux 6.2 the kernel refuses an order that is off" :
			     "there is no knob that holds reporting",
		     reporting->has_order ? topology->highest_order : topology->pageblock_order,
		     format_size(topology->page_size
					 << (reporting->has_order ? topology->highest_order :
								    topology->pageblock_order),
				 size));
	if (reporting->has_delay)
		find(findings, "delay", "delay knob", true, "page_reporting_delay_ms is %" PRIu64,
		     reporting->delay_ns / NSEC_PER_MSEC);
	else
		find(findings, "delay", "delay knob", false,
		     "no page_reporting_delay_ms before Linux 7.3: passes are 2 s apart");
}

static void find_kick(struct findings *findings, const struct reporting *reporting,
		      const struct topology *topology)
{
	const unsigned int limit = reporting_order_limit(reporting, topology);
	struct errmsg err = { 0 };
	char text[UNITS_TEXT];
	size_t size;

	if (kick_probe(&err) < 0 || kick_block_size(topology, limit, &size, &err) < 0)
		find(findings, "kick", "kick", false, "%s", err.text);
	else
		find(findings, "kick", "kick", true, "packet ring of %s at order limit %u",
		     format_size(size, text), limit);
	find(findings, "trigger", "trigger", false,
	     "mainline offers no ioctl and no trigger file to start a pass; what this kernel or "
	     "VMM adds goes into actuators.trigger, see sluice.conf(5)");
}

static void find_observing(struct findings *findings)
{
	struct observer *observer = NULL;
	struct snapshot *snap = NULL;
	struct errmsg err = { 0 };
	char cost[UNITS_TEXT];
	const char *note;

	if (open_observer(false, &observer, &err) < 0) {
		find(findings, "scan", "scan", false, "%s", err.text);
		return;
	}
	snap = calloc(1, sizeof(*snap));
	if (snap && !observer_snapshot(observer, SCAN_FULL, snap, &err))
		find(findings, "scan", "scan", snap->source == SOURCE_BPF,
		     "by %s: %s for %u zones, self-check passed", scan_source_name(snap->source),
		     format_duration(snap->cost_ns, cost), snap->nr_zones);
	else
		find(findings, "scan", "scan", false, "%s", err.text);
	for (unsigned int i = 0; (note = observer_note(observer, i)); i++)
		find(findings, "note", "note", false, "%s", note);
	free(snap);
	observer_close(observer);
}

static json_t *findings_json(const struct findings *findings, const struct reporting *reporting,
			     const char *kernel)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < findings->nr; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:b, s:s}", "name", findings->list[i].key,
						"available", findings->list[i].there, "detail",
						findings->list[i].text));
	return json_pack("{s:i, s:s, s:o, s:o}", "version", JSON_VERSION, "kernel", kernel,
			 "reporting", reporting_json(reporting), "findings", list);
}

static void print_findings(const struct findings *findings, const char *kernel)
{
	print_field(stdout, "kernel", "%s", kernel);
	for (unsigned int i = 0; i < findings->nr; i++)
		print_field(stdout, findings->list[i].label, "%s%s",
			    findings->list[i].there		   ? "yes: " :
			    !strcmp(findings->list[i].key, "note") ? "" :
								     "no: ",
			    findings->list[i].text);
}

struct request {
	bool host;
	unsigned int samples; /* 0: not given, as memory */
	uint64_t memory;
};

static int usage_error(const char *option, const char *text)
{
	fprintf(stderr, "sluice probe: %s: %s; try sluice --help\n", option, text);
	return EXIT_USAGE;
}

static int parse_option(struct request *request, int option)
{
	struct errmsg err = { 0 };
	int64_t samples;

	switch (option) {
	case 'h':
		request->host = true;
		return EXIT_OK;
	case 's':
		if (parse_int(optarg, TRUTH_LEAST_PAIRS, TRUTH_MOST_PAIRS, &samples, &err) < 0)
			return usage_error("--samples", err.text);
		request->samples = (unsigned int)samples;
		return EXIT_OK;
	case 'm':
		if (parse_size(optarg, &request->memory, &err) < 0)
			return usage_error("--memory", err.text);
		if (request->memory < MIB || request->memory > MEMORY_MOST)
			return usage_error("--memory", "1MiB to 1GiB");
		return EXIT_OK;
	default:
		return EXIT_USAGE;
	}
}

static int parse_request(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "host", no_argument, NULL, 'h' },
		{ "samples", required_argument, NULL, 's' },
		{ "memory", required_argument, NULL, 'm' },
		{ 0 },
	};
	int c, status = EXIT_OK;

	while (status == EXIT_OK && (c = getopt_long(argc, argv, "", options, NULL)) != -1)
		status = parse_option(request, c);
	if (status != EXIT_OK)
		return status;
	if (optind < argc)
		return usage_error(argv[optind], "unexpected argument");
	if (!request->host && (request->samples || request->memory))
		return usage_error("--host", "not given, and --samples and --memory are for it");
	return EXIT_OK;
}

int run_probe(const struct cli *cli, int argc, char **argv)
{
	struct findings findings = { 0 };
	struct request request = { 0 };
	struct reporting reporting;
	struct topology topology;
	struct errmsg err = { 0 };
	struct utsname kernel;
	json_t *json;
	int root, rc;

	if (parse_request(&request, argc, argv) != EXIT_OK)
		return EXIT_USAGE;
	if (request.host)
		return probe_host(cli, request.samples ? request.samples : SAMPLES_DEFAULT,
				  request.memory ? request.memory : MEMORY_DEFAULT);
	root = root_open("/", &err);
	if (root < 0)
		return fail(cli, err.text);
	rc = topology_read(root, NULL, &topology, &err);
	if (rc) {
		close(root);
		return fail(cli, rc == -EACCES ? "probe needs root" : err.text);
	}
	uname(&kernel);
	reporting_read(root, &topology, &reporting);
	close(root);
	find_reporting(&findings, &reporting);
	find_knobs(&findings, &reporting, &topology);
	find_kick(&findings, &reporting, &topology);
	find_observing(&findings);
	if (cli->json) {
		json = findings_json(&findings, &reporting, kernel.release);
		json_print(json, true, stdout);
		json_decref(json);
	} else {
		print_findings(&findings, kernel.release);
	}
	return EXIT_OK;
}
