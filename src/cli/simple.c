// SPDX-License-Identifier: GPL-2.0-only
/* sluice check, kick and restore. */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/config.h"
#include "sluice/control.h"
#include "sluice/file.h"
#include "sluice/json.h"
#include "sluice/kick.h"
#include "sluice/knobs.h"
#include "sluice/reporting.h"
#include "sluice/units.h"

int run_check(const struct cli *cli, int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : CONFIG_DEFAULT_PATH;
	char *errors = NULL, *line, *save = NULL;
	struct config config;
	json_t *json, *list;
	size_t size;
	FILE *out;
	int rc;

	if (argc > 2 || path[0] == '-') {
		fprintf(stderr, "sluice check: one file at the most; try sluice --help\n");
		return EXIT_USAGE;
	}
	out = open_memstream(&errors, &size);
	if (!out)
		return fail(cli, "no memory for messages");
	rc = config_load(path, &config, out);
	fclose(out);
	if (cli->json) {
		list = json_array();
		for (line = strtok_r(errors, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			json_array_append_new(list, json_string(line));
		json = json_pack("{s:i, s:s, s:b, s:o}", "version", JSON_VERSION, "file", path,
				 "ok", !rc, "errors", list);
		json_print(json, true, stdout);
		json_decref(json);
	} else if (rc) {
		fputs(errors, stderr);
	} else {
		printf("%s: ok\n", path);
	}
	free(errors);
	return rc ? EXIT_FAILED : EXIT_OK;
}

static int report_kick(const struct cli *cli, uint64_t pass_in_ms)
{
	char delay[UNITS_TEXT];
	json_t *json;

	if (!cli->json) {
		printf("kicked: a pass follows after %s if something can be reported\n",
		       format_duration(pass_in_ms * NSEC_PER_MSEC, delay));
		return EXIT_OK;
	}
	json = json_pack("{s:i, s:b, s:I}", "version", JSON_VERSION, "kicked", true, "pass_in_ms",
			 (json_int_t)pass_in_ms);
	json_print(json, true, stdout);
	json_decref(json);
	return EXIT_OK;
}

static int kick_alone(struct errmsg *err, uint64_t *pass_in_ms)
{
	struct reporting reporting;
	struct topology topology;
	int root, rc;

	root = root_open("/", err);
	if (root < 0)
		return root;
	rc = topology_read(root, NULL, &topology, err);
	if (!rc) {
		reporting_read(root, &topology, &reporting);
		*pass_in_ms = reporting.delay_ns / NSEC_PER_MSEC;
		rc = reporting_usable(&reporting, err);
	}
	if (!rc)
		rc = kick_at(&topology, reporting_order_limit(&reporting, &topology), err);
	close(root);
	return rc;
}

int run_kick(const struct cli *cli, int argc, char **argv)
{
	struct errmsg err = { 0 };
	uint64_t pass_in_ms = 0;
	json_t *json = NULL;
	int rc;

	if (expect_no_arguments("kick", argc, argv) != EXIT_OK)
		return EXIT_USAGE;
	rc = ask_daemon(cli, REQUEST_KICK, &json, &err);
	if (!rc) {
		pass_in_ms = (uint64_t)json_integer_value(json_object_get(json, "pass_in_ms"));
		json_decref(json);
	} else if (rc == -ENOENT) {
		rc = kick_alone(&err, &pass_in_ms);
	}
	return rc ? fail(cli, err.text) : report_kick(cli, pass_in_ms);
}

static int report_restore(const struct cli *cli, int restored, const char *report)
{
	json_t *json;

	if (!cli->json) {
		fputs(report, stdout);
		if (!restored)
			puts("nothing to restore");
		return EXIT_OK;
	}
	json = json_pack("{s:i, s:i, s:s}", "version", JSON_VERSION, "restored", restored, "report",
			 report);
	json_print(json, true, stdout);
	json_decref(json);
	return EXIT_OK;
}

static int restore_alone(const struct cli *cli)
{
	struct errmsg err = { 0 };
	char *report = NULL;
	size_t size;
	FILE *out;
	int root, rc;

	root = root_open("/", &err);
	if (root < 0)
		return fail(cli, err.text);
	out = open_memstream(&report, &size);
	rc = knobs_restore_leftover(root, cli->runtime_dir, out, &err);
	if (out)
		fclose(out);
	close(root);
	rc = rc < 0 ? fail(cli, err.text) : report_restore(cli, rc, report ? report : "");
	free(report);
	return rc;
}

int run_restore(const struct cli *cli, int argc, char **argv)
{
	struct errmsg err = { 0 };
	json_t *json = NULL;
	int rc;

	if (expect_no_arguments("restore", argc, argv) != EXIT_OK)
		return EXIT_USAGE;
	rc = ask_daemon(cli, REQUEST_RESTORE, &json, &err);
	if (rc == -ENOENT)
		return restore_alone(cli);
	if (rc)
		return fail(cli, err.text);
	json_decref(json);
	return report_restore(
		cli, 1, "sluiced gave its knobs back and controls nothing until it is reloaded\n");
}
