// SPDX-License-Identifier: GPL-2.0-only
/* sluice explain: where the guest's memory is, and what would return it to the host. */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advice.h"
#include "picture.h"
#include "sluice/control.h"
#include "sluice/file.h"
#include "sluice/json.h"
#include "sluice/units.h"

#define TRIES	     3 /* while memory moves faster than it is counted */
#define TEXT_COLUMN  37
#define RECLAIM_FILE "sys/fs/cgroup/memory.reclaim"
#define VIRTIO_MEM   "sys/bus/virtio/drivers/virtio_mem"

/* Everything that the answer is made of. */
struct explained {
	struct look look;
	int root;
	struct snapshot snap;
	struct reporting reporting;
	struct memory_counters counters;
	struct account account;
	struct daemon_state daemon;
};

static struct situation situation_of(const struct explained *all)
{
	return (struct situation){
		.snap = &all->snap,
		.reporting = &all->reporting,
		.counters = &all->counters,
		.account = &all->account,
		.daemon = &all->daemon,
		.has_reclaim = file_exists(all->root, RECLAIM_FILE),
		.has_drain = find_command("drain"),
		.virtio_mem = file_exists(all->root, VIRTIO_MEM),
	};
}

/* --- what it rests on ------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* Why a daemon that runs decides nothing that counts; "": it does. */
static const char *idle_reason(const json_t *status)
{
	const json_t *control = json_object_get(status, "control");

	if (json_is_true(json_object_get(control, "let_go")))
		return text_of(control, "let_go_reason");
	if (!json_is_true(json_object_get(control, "usable")))
		return text_of(control, "unusable_reason");
	return "";
}

static void read_status(const json_t *status, struct explained *all)
{
	const json_t *decision = json_object_get(status, "decision");
	struct daemon_state *daemon = &all->daemon;
	const char *idle = idle_reason(status);

	*daemon = (struct daemon_state){
		.runs = true,
		.controls = !*idle && !strcmp(text_of(status, "mode"), "control"),
	};
	snprintf(daemon->action, sizeof(daemon->action), "%s", text_of(decision, "action"));
	snprintf(daemon->strategy, sizeof(daemon->strategy), "%s", text_of(status, "strategy"));
	snprintf(daemon->reason, sizeof(daemon->reason), "%s",
		 *idle ? idle : text_of(decision, "reason"));
	reporting_from_json(json_object_get(status, "reporting"), &all->reporting);
}

/* The reporting of this guest, and the daemon's part in it. */
static int read_reporting(struct explained *all, struct errmsg *err)
{
	json_t *status = NULL;
	int rc;

	if (all->look.observer) {
		all->daemon = (struct daemon_state){ 0 };
		reporting_read(all->root, observer_topology(all->look.observer), &all->reporting);
		return 0;
	}
	rc = ask_daemon(all->look.cli, REQUEST_STATUS, &status, err);
	if (rc < 0)
		return rc;
	read_status(status, all);
	json_decref(status);
	return 0;
}

/* One look: the scan, and counters as close to it as can be. */
static int look_once(struct explained *all, struct errmsg *err)
{
	json_t *hist = NULL;
	int rc;

	rc = look_get(&all->look, REQUEST_HIST, &hist, err);
	if (rc < 0)
		return rc;
	rc = counters_read(all->root, &all->counters, err);
	if (!rc)
		rc = snapshot_from_json(hist, &all->snap, err);
	json_decref(hist);
	if (!rc)
		rc = read_reporting(all, err);
	if (!rc)
		account_fill(&all->snap, &all->reporting, &all->counters, &all->account);
	return rc;
}

static int look_at_all(struct explained *all, struct errmsg *err)
{
	int rc = 0;

	for (int try = 0; !rc && try < TRIES; try++) {
		rc = look_once(all, err);
		if (all->account.pages[ACCOUNT_OTHER] >= 0)
			break;
	}
	return rc;
}

/* --- lines ------------------------------------------------------------------------------------ */

static const struct {
	const char *key; /* in JSON */
	const char *label;
	bool shown; /* without memory too */
} lines[ACCOUNT_LINES] = {
	[ACCOUNT_ANON] = { "anonymous", "anonymous", false },
	[ACCOUNT_CACHE_CLEAN] = { "page_cache_clean", "clean page cache", false },
	[ACCOUNT_CACHE_DIRTY] = { "page_cache_dirty", "dirty page cache", false },
	[ACCOUNT_SHMEM] = { "shared_memory", "shared, tmpfs", false },
	[ACCOUNT_HUGETLB] = { "hugetlb", "hugetlb pool", false },
	[ACCOUNT_ZSPAGES] = { "compressed_swap", "compressed swap", false },
	[ACCOUNT_SLAB_RECLAIMABLE] = { "slab_reclaimable", "reclaimable slab", false },
	[ACCOUNT_SLAB_UNRECLAIMABLE] = { "slab_unreclaimable", "other slab", false },
	[ACCOUNT_PAGE_TABLES] = { "page_tables", "page tables", false },
	[ACCOUNT_STACKS] = { "kernel_stacks", "kernel stacks", false },
	[ACCOUNT_BALLOON] = { "balloon", "balloon", false },
	[ACCOUNT_OTHER] = { "other_kernel", "other kernel", true },
	[ACCOUNT_REPORTED] = { "reported", "reported", true },
	[ACCOUNT_REPORTABLE] = { "reportable", "reportable now", true },
	[ACCOUNT_SMALL] = { "too_small", "too small", false },
	[ACCOUNT_GATED] = { "behind_gate", "behind a gate", false },
	[ACCOUNT_HELD] = { "held", "not reportable", false },
	[ACCOUNT_UNSEEN] = { "reported_or_not", "reported or not", false },
	[ACCOUNT_LISTS] = { "per_cpu_lists", "per-CPU lists", false },
	[ACCOUNT_UNACCEPTED] = { "unaccepted", "not accepted", false },
};

static const struct {
	const char *key;
	const char *label;
} outside[OUTSIDE_LINES] = {
	[OUTSIDE_BALLOON] = { "balloon", "balloon" },
	[OUTSIDE_RESERVED] = { "reserved", "reserved" },
	[OUTSIDE_HOLES] = { "holes", "holes" },
};

static uint64_t outside_pages(const struct account *account, enum outside_line line)
{
	const uint64_t pages[OUTSIDE_LINES] = {
		[OUTSIDE_BALLOON] = account->ballooned,
		[OUTSIDE_RESERVED] = account->reserved,
		[OUTSIDE_HOLES] = account->holes,
	};

	return pages[line];
}

/* --- text ------------------------------------------------------------------------------------- */

static char *size_text(int64_t pages, uint64_t page_size, char buf[UNITS_TEXT + 1])
{
	const uint64_t bytes = (uint64_t)(pages < 0 ? -pages : pages) * page_size;

	buf[0] = '-';
	format_size(bytes, buf + (pages < 0));
	return buf;
}

static void print_row(const struct explained *all, const char *label, int64_t pages, bool in_sum,
		      const char *text)
{
	char size[UNITS_TEXT + 1], share[SHARE_TEXT] = "";

	size_text(pages, all->snap.page_size, size);
	if (in_sum && pages >= 0)
		share_text((double)pages / (double)all->account.managed, share);
	printf("%-19s%10s %5s", label, size, share);
	if (*text) {
		fputs("  ", stdout);
		print_wrapped(stdout, text, TEXT_COLUMN);
	} else {
		putchar('\n');
	}
}

static void print_line(const struct explained *all, const struct situation *situation,
		       enum account_line line)
{
	const int64_t pages = all->account.pages[line];
	char label[24], text[ADVICE_TEXT] = "";

	if (!pages && (!lines[line].shown || !account_knows(&all->account, line)))
		return;
	if (pages)
		advice_text(situation, line, text);
	snprintf(label, sizeof(label), "  %s", lines[line].label);
	print_row(all, label, pages, true, text);
}

static void print_group(const struct explained *all, const struct situation *situation,
			const char *label, int first, int end)
{
	int64_t sum = 0;

	for (int line = first; line < end; line++)
		sum += all->account.pages[line];
	print_row(all, label, sum, true, "");
	for (int line = first; line < end; line++)
		print_line(all, situation, (enum account_line)line);
}

static void print_outside(const struct explained *all, const struct situation *situation)
{
	char label[24], text[ADVICE_TEXT];

	puts("not in the sum");
	for (enum outside_line line = OUTSIDE_BALLOON; line < OUTSIDE_LINES; line++) {
		const uint64_t pages = outside_pages(&all->account, line);

		snprintf(label, sizeof(label), "  %s", outside[line].label);
		if (pages)
			print_row(all, label, (int64_t)pages, false,
				  outside_text(situation, line, text));
	}
}

static void print_text(const struct explained *all)
{
	const struct situation situation = situation_of(all);
	char text[ADVICE_TEXT];

	printf("%29s %5s  %s\n", "size", "share", "what returns it to the host");
	print_group(all, &situation, "in use", 0, ACCOUNT_FIRST_FREE);
	print_group(all, &situation, "free", ACCOUNT_FIRST_FREE, ACCOUNT_LINES);
	print_row(all, "managed", (int64_t)all->account.managed, true, "the sum");
	print_outside(all, &situation);
	for (enum remark remark = REMARK_BELOW_0; remark < REMARKS; remark++)
		if (*remark_text(&situation, remark, text))
			print_field(stdout, "note", "%s", text);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static json_t *row_json(const struct explained *all, const char *key, int64_t pages)
{
	return json_pack("{s:s, s:I, s:I}", "name", key, "pages", (json_int_t)pages, "bytes",
			 (json_int_t)pages * (json_int_t)all->snap.page_size);
}

static json_t *line_json(const struct explained *all, const struct situation *situation,
			 enum account_line line)
{
	const int64_t pages = all->account.pages[line];
	json_t *json = row_json(all, lines[line].key, pages);
	char text[ADVICE_TEXT];

	if (!account_knows(&all->account, line)) {
		json_object_set_new(json, "pages", json_null());
		json_object_set_new(json, "bytes", json_null());
	}
	json_object_set_new(json, "in_use", json_boolean(line < ACCOUNT_FIRST_FREE));
	json_object_set_new(json, "share", json_real((double)pages / (double)all->account.managed));
	json_object_set_new(json, "returned_by", json_string(advice_text(situation, line, text)));
	return json;
}

static json_t *lines_json(const struct explained *all, const struct situation *situation)
{
	json_t *list = json_array();

	for (int line = 0; line < ACCOUNT_LINES; line++)
		json_array_append_new(list, line_json(all, situation, (enum account_line)line));
	return list;
}

static json_t *outside_json(const struct explained *all, const struct situation *situation)
{
	json_t *list = json_array();
	char text[ADVICE_TEXT];

	for (enum outside_line line = OUTSIDE_BALLOON; line < OUTSIDE_LINES; line++) {
		json_t *row = row_json(all, outside[line].key,
				       (int64_t)outside_pages(&all->account, line));

		json_object_set_new(row, "returned_by",
				    json_string(outside_text(situation, line, text)));
		json_array_append_new(list, row);
	}
	return list;
}

static json_t *remarks_json(const struct situation *situation)
{
	json_t *list = json_array();
	char text[ADVICE_TEXT];

	for (enum remark remark = REMARK_BELOW_0; remark < REMARKS; remark++)
		if (*remark_text(situation, remark, text))
			json_array_append_new(list, json_string(text));
	return list;
}

static void print_json(const struct explained *all)
{
	static const char *const states[] = {
		[ACCOUNT_ON] = "on",
		[ACCOUNT_LIMITED_OUT] = "held",
		[ACCOUNT_OFF] = "off",
	};
	const struct situation situation = situation_of(all);
	json_t *json;

	json = json_pack(
		"{s:i, s:s, s:I, s:I, s:s, s:i, s:I, s:b, s:o, s:o, s:o}", "version", JSON_VERSION,
		"source", scan_source_name(all->snap.source), "page_size",
		(json_int_t)all->snap.page_size, "managed_pages", (json_int_t)all->account.managed,
		"reporting", states[all->account.reporting], "reporting_order",
		all->snap.reporting_order, "lag_pages", (json_int_t)all->counters.lag, "daemon",
		all->daemon.runs, "lines", lines_json(all, &situation), "outside",
		outside_json(all, &situation), "notes", remarks_json(&situation));
	json_print(json, true, stdout);
	json_decref(json);
}

int run_explain(const struct cli *cli, int argc, char **argv)
{
	struct errmsg err = { 0 };
	struct explained *all;
	int status = EXIT_OK;

	if (expect_no_arguments("explain", argc, argv) != EXIT_OK)
		return EXIT_USAGE;
	all = calloc(1, sizeof(*all));
	if (!all)
		return fail(cli, "no memory for a snapshot");
	all->look.cli = cli;
	all->root = root_open("/", &err);
	if (all->root < 0 || look_at_all(all, &err) < 0)
		status = fail(cli, err.text);
	else if (cli->json)
		print_json(all);
	else
		print_text(all);
	observer_close(all->look.observer);
	if (all->root >= 0)
		close(all->root);
	free(all);
	return status;
}
