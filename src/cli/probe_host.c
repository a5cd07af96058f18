// SPDX-License-Identifier: GPL-2.0-only
/* sluice probe --host: whether the host releases what is reported. */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/file.h"
#include "sluice/json.h"
#include "sluice/snapshot.h"
#include "sluice/units.h"
#include "trial.h"

#define FREE_MEMORY_OF 4 /* a quarter of it at the most */
#define LEAST_BLOCKS   8

struct answer {
	enum truth truth;
	struct errmsg why;
	bool has_effect;
	struct touch_effect effect;
	unsigned int wanted;
	uint64_t memory; /* bytes that may be held at a time; then those that were */
	struct trial_result trial;
};

/*
 * Blocks that may be held, of @most bytes: free memory above the low watermarks is what
 * is to spare.
 */
static int bound_blocks(int root, const struct topology *topology, unsigned int limit,
			size_t block_size, uint64_t most, unsigned int *ret, struct errmsg *err)
{
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	char free_text[UNITS_TEXT], need_text[UNITS_TEXT];
	uint64_t spare = 0;
	bool open = false;
	unsigned int nr;
	int rc;

	rc = zones_read_text(root, zones, &nr, err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < nr; i++) {
		const uint64_t pages = zones[i].free_pages;

		spare += pages > zones[i].low_wmark ? pages - zones[i].low_wmark : 0;
		open |= zone_gate_open(&zones[i], limit);
	}
	spare *= topology->page_size;
	if (!open)
		return errmsg_set(
			err, -EAGAIN,
			"no zone has as much free memory as the kernel wants before it "
			"reports at order limit %u (low watermark + %u blocks): try again "
			"when more is free",
			limit, REPORTING_CAPACITY);
	if (most > spare / FREE_MEMORY_OF)
		most = spare / FREE_MEMORY_OF;
	if (most / block_size < LEAST_BLOCKS)
		return errmsg_set(
			err, -EAGAIN,
			"%s are free above the low watermarks, of which it takes at most "
			"a quarter, and no more than --memory; it needs %s, %u huge pages",
			format_size(spare, free_text),
			format_size(LEAST_BLOCKS * block_size, need_text), LEAST_BLOCKS);
	*ret = (unsigned int)(most / block_size);
	return 0;
}

/* Whether a freed block of @block_size would be reported. */
static int check_limit(const struct reporting *reporting, const struct topology *topology,
		       size_t block_size, struct errmsg *err)
{
	const unsigned int limit = reporting_order_limit(reporting, topology);
	char text[UNITS_TEXT];

	if (topology->page_size << limit <= block_size)
		return 0;
	return errmsg_set(err, -EAGAIN,
			  "the order limit is %u: free blocks of %s, a huge page, are not reported "
			  "while it is in force. If sluiced holds it, try again when it does not, "
			  "or stop it; else see page_reporting_order",
			  limit, format_size(block_size, text));
}

/* Everything that has to be so before memory is touched. */
static int prepare(int root, uint64_t memory, struct topology *topology,
		   struct reporting *reporting, size_t *block_size, unsigned int *blocks,
		   struct errmsg *err)
{
	int rc;

	if (geteuid())
		return errmsg_set(err, -EPERM, "seeing which memory is touched needs root");
	rc = topology_read(root, NULL, topology, err);
	if (rc)
		return rc;
	reporting_read(root, topology, reporting);
	rc = reporting_usable(reporting, err);
	if (!rc)
		rc = touch_block_size(root, block_size, err);
	if (!rc)
		rc = check_limit(reporting, topology, *block_size, err);
	if (!rc)
		rc = bound_blocks(root, topology, reporting_order_limit(reporting, topology),
				  *block_size, memory, blocks, err);
	return rc;
}

/* The trial; its reason to fail is the reason for not knowing. */
static int try_memory(int root, struct answer *answer)
{
	const struct touch_area none = { .pagemap = -1, .kpageflags = -1 };
	struct trial_options options = { .samples = answer->wanted };
	struct touch_area area = none;
	struct reporting reporting;
	struct topology topology;
	unsigned int blocks = 0;
	size_t block_size = 0;
	int rc;

	options.topology = &topology;
	options.reporting = &reporting;
	rc = prepare(root, answer->memory, &topology, &reporting, &block_size, &blocks,
		     &answer->why);
	if (!rc)
		rc = touch_open(root, &topology, block_size, blocks, &area, &answer->why);
	if (rc)
		return rc;
	answer->memory = blocks * block_size;
	rc = trial_run(&area, &options, &answer->trial, &answer->why);
	touch_close(&area);
	return rc;
}

static void judge(struct answer *answer)
{
	const struct trial_result *trial = &answer->trial;
	const unsigned int nr = trial->count.pairs;

	answer->has_effect = !truth_effect(trial->pairs, nr, &answer->effect);
	if (answer->has_effect) {
		answer->truth =
			truth_judge(&answer->effect, nr, trial->count.block_size, &answer->why);
	} else {
		truth_shortage(&trial->count, &answer->why);
	}
}

static void print_answer(const struct answer *answer)
{
	const struct trial_result *trial = &answer->trial;
	const struct touch_effect *effect = &answer->effect;
	char block[UNITS_TEXT], first[UNITS_TEXT], second[UNITS_TEXT];

	print_field(stdout, "verdict", "%s", truth_sentence(answer->truth));
	print_field(stdout, "because", "%s", answer->why.text);
	if (answer->has_effect) {
		format_size(trial->count.block_size, block);
		format_duration((uint64_t)effect->reported_ns.value, first);
		format_duration((uint64_t)effect->backed_ns.value, second);
		print_field(stdout, "first touch",
			    "%s per block of %s if reported, %s if the host has it (10 %% are "
			    "faster)",
			    first, block, second);
		print_field(stdout, "ratio",
			    "%.2f; with %.0f %% confidence from %.2f to %.2f; p = %.2g that "
			    "chance alone makes reported memory so much slower",
			    effect->ratio.value, TRUTH_CONFIDENCE * 100, effect->ratio.low,
			    effect->ratio.high, effect->p);
	}
	if (trial->rounds)
		print_field(stdout, "memory", "%s at a time, all freed again; %u rounds in %s",
			    format_size(answer->memory, first), trial->rounds,
			    format_duration(trial->elapsed_ns, second));
	if (trial->kick.text[0])
		print_field(stdout, "kick", "no: %s", trial->kick.text);
}

static json_t *interval_json(const struct touch_interval *interval)
{
	return json_pack("{s:f, s:f, s:f}", "low", interval->low, "value", interval->value, "high",
			 interval->high);
}

static json_t *effect_json(const struct touch_effect *effect)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:f, s:f}", "reported_ns",
			 interval_json(&effect->reported_ns), "backed_ns",
			 interval_json(&effect->backed_ns), "ratio", interval_json(&effect->ratio),
			 "extra_ns", interval_json(&effect->extra_ns), "confidence",
			 TRUTH_CONFIDENCE, "p", effect->p);
}

static json_t *answer_json(const struct answer *answer)
{
	const struct trial_result *trial = &answer->trial;
	const struct touch_count *count = &trial->count;

	return json_pack("{s:i, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:o}",
			 "version", JSON_VERSION, "verdict", truth_name(answer->truth), "reason",
			 answer->why.text, "samples_wanted", (int)answer->wanted, "samples",
			 (int)count->pairs, "rounds", (int)trial->rounds, "freed_blocks",
			 (int)count->freed, "reported_blocks", (int)count->reported,
			 "touched_blocks", (int)count->touched, "block_bytes",
			 (json_int_t)count->block_size, "memory_bytes",
			 (json_int_t)(trial->rounds ? answer->memory : 0), "elapsed_ns",
			 (json_int_t)trial->elapsed_ns, "effect",
			 answer->has_effect ? effect_json(&answer->effect) : json_null());
}

int probe_host(const struct cli *cli, unsigned int samples, uint64_t memory)
{
	static const int statuses[] = {
		[TRUTH_RELEASES] = EXIT_OK,
		[TRUTH_KEEPS] = EXIT_KEEPS,
		[TRUTH_UNKNOWN] = EXIT_UNKNOWN,
	};
	struct answer *answer;
	int root, status;
	json_t *json;

	answer = calloc(1, sizeof(*answer));
	if (!answer)
		return fail(cli, "no memory for samples");
	answer->truth = TRUTH_UNKNOWN;
	answer->wanted = samples;
	answer->memory = memory;
	root = root_open("/", &answer->why);
	if (root >= 0) {
		if (!try_memory(root, answer))
			judge(answer);
		close(root);
	}
	if (cli->json) {
		json = answer_json(answer);
		json_print(json, true, stdout);
		json_decref(json);
	} else {
		print_answer(answer);
	}
	status = statuses[answer->truth];
	free(answer);
	return status;
}
