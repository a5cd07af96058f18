// SPDX-License-Identifier: GPL-2.0-only
/* Makes memory free and contiguous before it is reported. Each step ends before the next. */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/log.h"
#include "sluice/units.h"

/* One step of an eviction that "trim" asks for; what is left waits for the next tick. */
#define EVICT_BUDGET	(200 * NSEC_PER_MSEC)
#define LEAST_AGE_BYTES (2 * MIB) /* in a list that is worth a generation */

static bool trims(const struct config *config)
{
	return config->strategy == STRATEGY_TRIM;
}

/* The same trouble comes back with every step: it is logged once. */
static void complain(struct preparer *preparer, const char *what, const struct errmsg *err)
{
	char text[sizeof(preparer->trouble)];

	preparer->failures++;
	snprintf(text, sizeof(text), "%s: %.360s", what, err->text);
	if (strcmp(preparer->trouble, text))
		log_warn("%s", text);
	snprintf(preparer->trouble, sizeof(preparer->trouble), "%s", text);
}

static void log_method(const struct reclaimer *reclaimer)
{
	log_info("reclaim on request: %s%s%s", reclaim_method_name(reclaimer->method),
		 reclaimer->why[0] ? ": " : "", reclaimer->why);
}

static void probe(struct daemon *daemon)
{
	struct preparer *preparer = &daemon->preparer;

	if (preparer->probed)
		return;
	preparer->probed = true;
	reclaim_probe(daemon->root, observer_topology(daemon->observer), &preparer->reclaimer);
	log_method(&preparer->reclaimer);
}

void daemon_look_at_shape(struct daemon *daemon, uint64_t now)
{
	struct preparer *preparer = &daemon->preparer;
	const struct topology *topology = observer_topology(daemon->observer);
	const uint64_t min_idle = trims(&daemon->config) ? daemon->config.trim.min_idle : 0;
	struct errmsg err = { 0 };

	preparer->has_shape = false;
	if (!trims(&daemon->config) && !daemon->config.prepare.enabled)
		return;
	if (shape_read(daemon->root, topology->page_size, min_idle, &preparer->watch, now,
		       &preparer->shape, &err) < 0) {
		complain(preparer, "preparation", &err);
		return;
	}
	if (observer_source(daemon->observer) != SOURCE_BUDDYINFO)
		shape_add_nodes(observer_blocks(daemon->observer), topology, &daemon->snap,
				&preparer->shape);
	preparer->has_shape = true;
}

static void count_effort(struct preparer *preparer, const struct effort *effort)
{
	preparer->wall_ns += effort->wall_ns;
	preparer->cpu_ns += effort->cpu_ns;
	if (effort->wall_ns > preparer->longest_ns)
		preparer->longest_ns = effort->wall_ns;
	preparer->last.time_ns +=
		effort->wall_ns > effort->cpu_ns ? effort->wall_ns : effort->cpu_ns;
}

static void do_reclaim(struct daemon *daemon, const struct reclaim_request *request,
		       enum log_level level)
{
	struct preparer *preparer = &daemon->preparer;
	const enum reclaim_method before = preparer->reclaimer.method;
	char done_text[UNITS_TEXT], asked[UNITS_TEXT], took[UNITS_TEXT];
	struct effort effort;
	struct errmsg err = { 0 };
	uint64_t done;
	int rc;

	rc = reclaim(daemon->root, observer_topology(daemon->observer), &preparer->reclaimer,
		     request, &done, &effort, &err);
	count_effort(preparer, &effort);
	preparer->reclaims++;
	preparer->reclaimed_bytes += done;
	if (reclaim_is_wait(preparer->reclaimer.method))
		preparer->last.wait_ns += effort.wall_ns;
	preparer->last.asked += request->bytes;
	preparer->last.reclaimed += done;
	preparer->last.scarce |= rc == -EAGAIN;
	preparer->last.unable |= rc == -EOPNOTSUPP;
	if (preparer->reclaimer.method != before)
		log_method(&preparer->reclaimer);
	log_at(level, "reclaimed %s of %s by %s in %s%s%s", format_size(done, done_text),
	       format_size(request->bytes, asked), reclaim_method_name(preparer->reclaimer.method),
	       format_duration(effort.wall_ns, took), rc ? ": " : "", rc ? err.text : "");
	/* less than was asked for is no trouble */
	if (rc && rc != -EAGAIN)
		complain(preparer, "reclaim", &err);
}

static void age(struct daemon *daemon, uint64_t min_idle)
{
	struct preparer *preparer = &daemon->preparer;
	const uint64_t page_size = observer_topology(daemon->observer)->page_size;
	struct effort effort;
	struct errmsg err = { 0 };

	if (reclaim_age(daemon->root, &preparer->reclaimer, min_idle, LEAST_AGE_BYTES / page_size,
			&effort, &err) < 0)
		complain(preparer, "aging", &err);
	count_effort(preparer, &effort);
}

static void drain_lists(struct daemon *daemon)
{
	struct preparer *preparer = &daemon->preparer;
	struct effort effort;
	struct errmsg err = { 0 };

	if (lists_drain(daemon->root, &effort, &err) < 0)
		complain(preparer, "per-CPU lists", &err);
	else
		preparer->drains++;
	count_effort(preparer, &effort);
}

/* Pageblocks of a node, or of all (-1), in extents of at least one. */
static uint64_t free_blocks(const struct snapshot *snap, int node)
{
	uint64_t blocks = 0;

	for (unsigned int i = 0; i < snap->nr_zones; i++) {
		const struct zone_snapshot *zone = &snap->zones[i];

		if (node >= 0 && zone->info.node != (unsigned int)node)
			continue;
		for (unsigned int o = snap->pageblock_order; o < snap->nr_orders; o++)
			blocks += zone->orders[o].free << (o - snap->pageblock_order);
	}
	return blocks;
}

static uint64_t count_blocks(struct daemon *daemon, struct snapshot *scratch, int node)
{
	if (observer_snapshot(daemon->observer, SCAN_HEADS, scratch, NULL) < 0)
		return 0;
	return free_blocks(scratch, node);
}

static void do_compact(struct daemon *daemon, int node)
{
	struct preparer *preparer = &daemon->preparer;
	struct snapshot *scratch = malloc(sizeof(*scratch));
	struct effort effort = { 0 };
	struct errmsg err = { 0 };
	uint64_t before, after;
	char took[UNITS_TEXT];

	if (!scratch)
		return;
	before = count_blocks(daemon, scratch, node);
	notify("WATCHDOG=1"); /* it may take seconds, and the whole period is there for it */
	if (compact(daemon->root, observer_topology(daemon->observer), node, &effort, &err) < 0)
		complain(preparer, "compaction", &err);
	after = count_blocks(daemon, scratch, node);
	free(scratch);
	count_effort(preparer, &effort);
	preparer->compactions++;
	preparer->last.compacted = true;
	preparer->last.node = node;
	preparer->last.blocks = after > before ? after - before : 0;
	preparer->last.compact_ns = effort.wall_ns;
	preparer->blocks += preparer->last.blocks;
	if (node < 0)
		log_info("compacted all nodes: %" PRIu64 " pageblocks gained in %s",
			 preparer->last.blocks, format_duration(effort.wall_ns, took));
	else
		log_info("compacted node %d: %" PRIu64 " pageblocks gained in %s", node,
			 preparer->last.blocks, format_duration(effort.wall_ns, took));
}

/* What the strategy wants to be evicted. */
static void evict(struct daemon *daemon, const struct eviction *eviction)
{
	const struct reclaim_request request = {
		.bytes = eviction->bytes,
		.min_idle_ns = eviction->min_idle,
		.watch = &daemon->preparer.watch,
		.leave = eviction->leave,
		.budget_ns = EVICT_BUDGET,
	};

	if (eviction->bytes)
		do_reclaim(daemon, &request, LOG_LEVEL_DEBUG); /* the decision was logged */
	else if (eviction->age)
		age(daemon, eviction->min_idle);
}

static void carry_out(struct daemon *daemon, const struct preparation *preparation)
{
	const struct reclaim_request request = {
		.bytes = preparation->reclaim_bytes,
		.swappiness = daemon->config.prepare.swappiness,
		.budget_ns = preparation->budget_ns,
	};

	if (preparation->reclaim_bytes)
		do_reclaim(daemon, &request, LOG_LEVEL_INFO);
	if (preparation->drain_lists)
		drain_lists(daemon);
	if (preparation->compact)
		do_compact(daemon, preparation->node);
}

static void log_preparation(const struct daemon *daemon, const struct preparation *preparation)
{
	char bytes[UNITS_TEXT];

	if (preparation->drain_lists)
		log_info("%sprepare: reclaim %s%s: %s",
			 daemon->config.mode == MODE_DRY_RUN ? "would " : "",
			 format_size(preparation->reclaim_bytes, bytes),
			 preparation->compact ? ", compact" : "", preparation->reason);
	else if (strcmp(preparation->reason, daemon->preparer.reason))
		log_debug("prepare nothing: %s", preparation->reason);
}

void daemon_prepare(struct daemon *daemon, uint64_t now, const struct decision *decision)
{
	const struct policy_input input = {
		.snap = &daemon->snap,
		.config = &daemon->config,
		.activity = daemon->activity,
		.shape = daemon->preparer.has_shape ? &daemon->preparer.shape : NULL,
		.prepared = daemon->preparer.last,
		.now_ns = now,
		.pass_delay = daemon->reporting.delay_ns,
		.acting = daemon->config.mode == MODE_CONTROL,
	};
	struct preparer *preparer = &daemon->preparer;
	struct preparation preparation;

	prepare_decide(&input, decision, &preparer->state, &preparation);
	log_preparation(daemon, &preparation);
	snprintf(preparer->reason, sizeof(preparer->reason), "%s", preparation.reason);
	preparer->last = (struct prepared){ .node = -1 };
	if (daemon->config.mode != MODE_CONTROL || daemon->let_go || !daemon->knobs)
		return;
	if (decision->evict.bytes || decision->evict.age || preparation.reclaim_bytes)
		probe(daemon);
	evict(daemon, &decision->evict);
	carry_out(daemon, &preparation);
}
