// SPDX-License-Identifier: GPL-2.0-only
/* The policy: tables of what is seen and when, and what is to be decided. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy_fixture.h"

/* --- threshold: scenarios --------------------------------------------------------------------- */

static void no_cooldown(void)
{
	given.config.threshold.cooldown = 0;
}

static void without_kick(void)
{
	given.config.kick = false;
}

static void dry_run(void)
{
	given.acting = false;
}

static void quick(void)
{
	given.config.interval = 500 * NSEC_PER_MSEC;
	given.pass_delay = 250 * NSEC_PER_MSEC;
}

static void ignore_dma32(void)
{
	add_zone("DMA32", CONFIG_ANY_NODE)->ignore = true;
}

static void ignore_node_1(void)
{
	struct config_zone *zone = add_zone("Normal", 1);

	/* whatever else it says */
	zone->ignore = zone->has_start = zone->has_stop = true;
}

/* Normal of either node: 100 MiB, 20 MiB, a minute. */
static void own_normal(void)
{
	struct config_zone *zone = add_zone("Normal", CONFIG_ANY_NODE);

	zone->has_start = zone->has_stop = zone->has_min_age = true;
	zone->start = 100 * MIB;
	zone->stop = 20 * MIB;
	zone->min_age = 60 * NSEC_PER_SEC;
}

static void own_start(void)
{
	struct config_zone *zone = add_zone("Normal", CONFIG_ANY_NODE);

	zone->has_start = true;
	zone->start = 100 * MIB;
}

static void own_stop(void)
{
	struct config_zone *zone = add_zone("Normal", CONFIG_ANY_NODE);

	zone->has_stop = true;
	zone->stop = 20 * MIB;
}

static void own_min_age(void)
{
	struct config_zone *zone = add_zone("Normal", CONFIG_ANY_NODE);

	zone->has_min_age = true;
	zone->min_age = 60 * NSEC_PER_SEC;
}

/* Node 1 is ignored, which goes before what any node's Normal has, wherever it stands. */
static void own_normal_but_node_1(void)
{
	ignore_node_1();
	own_normal();
}

static void ceiling_9(void)
{
	given.config.order_ceiling = 9;
}

static void order_5(void)
{
	given.config.threshold.order = given.config.order_floor = 5;
	given.snap.depth = SCAN_FULL;
}

/* Extents of 512 MiB; the highest order is a pageblock. */
static void pages_of_64k(void)
{
	given.snap.page_size = 65536;
	given.snap.nr_orders = 14;
	given.snap.pageblock_order = 13;
	given.snap.reporting_order = 13;
	given.config.threshold.start = 2 * GIB;
	given.config.threshold.stop = 512 * MIB;
}

static const struct scenario scenarios[] = {
	{ "hysteresis between start and stop, then the cooldown",
	  NULL,
	  {
		  { 0, "", HOLD, "0 B unreported at order 9+, start is 32 MiB" },
		  { 2000, "Normal 15", HOLD, "30 MiB unreported at order 9+, start is 32 MiB" },
		  { 4000, "Normal 16", KICKED,
		    "all zones: 32 MiB free and unreported at order 9+ for 1 s or longer, start is "
		    "32 MiB" },
		  { 6000, "Normal 15", RELEASE, "releasing: 30 MiB of 32 MiB left, stop is 8 MiB" },
		  { 8000, "Normal 5", RELEASE, "releasing: 10 MiB of 32 MiB left, stop is 8 MiB" },
		  { 9000, "Normal 4", HOLD, "done: 8 MiB of 32 MiB left, stop is 8 MiB" },
		  { 9000, "Normal 500", HOLD,
		    "cooldown: 10 s left; 1000 MiB unreported at order 9+" },
		  { 11000, "Normal 500", HOLD, "cooldown: 8 s left; 1000 MiB unreported" },
		  { 18999, "Normal 500", HOLD, "cooldown: 1 ms left; 1000 MiB unreported" },
		  { 19000, "Normal 500", KICKED, "all zones: 1000 MiB free" },
		  { 21000, "", HOLD, "done: 0 B of 1000 MiB left, stop is 8 MiB" },
		  { 31000, "Normal 15", HOLD, "30 MiB unreported at order 9+, start is 32 MiB" },
	  } },
	{ "the hysteresis is wide: nothing begins between stop and start",
	  NULL,
	  {
		  { 0, "Normal 16", KICKED, "all zones" },
		  { 2000, "", HOLD, "done" },
		  { 12000, "Normal 15", HOLD, "start is 32 MiB" },
		  { 14000, "Normal 5", HOLD, "start is 32 MiB" },
		  { 16000, "Normal 16", KICKED, "all zones" },
	  } },
	{ "no cooldown",
	  no_cooldown,
	  {
		  { 0, "Normal 16", KICKED, "all zones" },
		  { 2000, "Normal 4", HOLD, "done" },
		  { 2000, "Normal 16", KICKED, "all zones" },
	  } },
	{ "zones and orders are added up",
	  NULL,
	  {
		  { 0, "DMA32 8, Normal 7", HOLD, "30 MiB unreported" },
		  { 1, "DMA32 6, Normal@10 4, 1:Normal 1", HOLD, "30 MiB unreported" },
		  { 2, "DMA32 6, Normal@10 4, 1:Normal 2", KICKED, "all zones: 32 MiB" },
		  { 3, "DMA 1, DMA32 1, Normal 1, 1:Normal@10 1", RELEASE,
		    "10 MiB of 32 MiB left" },
		  { 4, "DMA 1, DMA32 1, 1:Normal@10 1", HOLD, "done: 8 MiB" },
	  } },
	{ "extents below the order do not count",
	  NULL,
	  {
		  { 0, "Normal@8 100000", HOLD, "0 B unreported at order 9+" },
		  { 1, "Normal@10 8", KICKED, "all zones: 32 MiB" },
	  } },
	{ "nor do those that are reported",
	  NULL,
	  {
		  { 0, "Normal 500/485", HOLD, "30 MiB unreported at order 9+" },
		  { 1, "Normal 500/484", KICKED, "all zones: 32 MiB" },
		  { 2, "Normal 500/495", RELEASE, "10 MiB of 32 MiB left" },
		  { 3, "Normal 500/496", HOLD, "done: 8 MiB of 32 MiB left" },
	  } },
	{ "nor the young ones",
	  NULL,
	  {
		  { 0, "Normal 500/0/500", HOLD,
		    "0 B unreported at order 9+, start is 32 MiB, 1000 MiB too young" },
		  { 1, "Normal 500/100/385", HOLD,
		    "30 MiB unreported at order 9+, start is 32 MiB, 770 MiB too young" },
		  { 2, "Normal 500/100/384", KICKED, "all zones: 32 MiB free and unreported" },
		  { 3, "Normal 500/100/395", RELEASE, "800 MiB of 800 MiB left, stop is 8 MiB" },
		  { 4, "Normal 500/100/396", HOLD,
		    "done: 8 MiB of 800 MiB left, stop is 8 MiB, 792 MiB too young" },
		  { 5, "Normal 500/100/400", HOLD,
		    "0 B unreported at order 9+, 800 MiB too young" },
	  } },
	{ "nor what is behind a shut gate",
	  NULL,
	  {
		  { 0, "DMA! 500/100/100, Normal 15", HOLD,
		    "30 MiB unreported at order 9+, start is 32 MiB, 800 MiB behind a zone gate" },
		  { 1, "DMA! 500, Normal 16", KICKED, "all zones: 32 MiB" },
		  { 2, "DMA! 500, Normal! 16", HOLD,
		    "done: 0 B of 32 MiB left, stop is 8 MiB, 1 GiB behind a zone gate" },
	  } },
	{ "nor ignored zones",
	  ignore_dma32,
	  {
		  { 0, "DMA32 500/100/100, Normal 15", HOLD,
		    "30 MiB unreported at order 9+, start is 32 MiB, 800 MiB in ignored zones" },
		  { 1, "DMA32 500, Normal 16", KICKED, "all zones: 32 MiB" },
		  { 2, "DMA32 500", HOLD,
		    "done: 0 B of 32 MiB left, stop is 8 MiB, 1000 MiB in ignored" },
	  } },
	{ "zones ignored by node",
	  ignore_node_1,
	  {
		  { 0, "1:Normal 500, Normal 15", HOLD, "30 MiB unreported at order 9+" },
		  { 1, "1:Normal 500, Normal 16", KICKED, "all zones: 32 MiB" },
	  } },
	{ "everything that does not count at once",
	  ignore_dma32,
	  {
		  { 0, "DMA! 100, DMA32 200, Normal 315/0/300", HOLD,
		    "30 MiB unreported at order 9+, start is 32 MiB, 600 MiB too young, "
		    "200 MiB behind a zone gate, 400 MiB in ignored zones" },
	  } },
	{ "a zone with a start and a stop of its own",
	  own_normal,
	  {
		  { 0, "Normal 49, 1:Normal 49, DMA32 15", HOLD,
		    "30 MiB unreported at order 9+, start is 32 MiB, "
		    "196 MiB in zones with their own start and stop" },
		  { 1, "Normal 50", KICKED,
		    "node 0 Normal: 100 MiB free and unreported at order 9+ for 1 min or longer, "
		    "start is 100 MiB" },
		  { 2, "Normal 11", RELEASE, "22 MiB of 100 MiB left" },
		  { 3, "Normal 10, DMA32 5", RELEASE, "30 MiB of 100 MiB left" },
		  { 4, "Normal 10, 1:Normal 11, DMA32 4", RELEASE, "50 MiB of 100 MiB left" },
		  { 5, "Normal 10, 1:Normal 10, DMA32 4", HOLD,
		    "done: 48 MiB of 100 MiB left, stop is 8 MiB, "
		    "40 MiB in zones with their own start and stop" },
		  { 5, "Normal 60", HOLD,
		    "cooldown: 10 s left; 0 B unreported at order 9+, "
		    "120 MiB in zones with their own start and stop" },
		  { 20000, "1:Normal 50, Normal 49", KICKED, "node 1 Normal: 100 MiB" },
		  { 20001, "", HOLD, "done" },
		  { 40000, "DMA32 16, Normal 50, 1:Normal 60", KICKED, "node 0 Normal: 100 MiB" },
		  { 40001, "", HOLD, "done" },
		  { 60000, "DMA32 16, Normal 49", KICKED,
		    "all zones: 32 MiB free and unreported at order 9+ for 1 s or longer" },
	  } },
	{ "a start of its own, the general stop",
	  own_start,
	  {
		  { 0, "Normal 49", HOLD, "98 MiB in zones with their own" },
		  { 1, "Normal 50", KICKED, "node 0 Normal: 100 MiB" },
		  { 2, "Normal 5", RELEASE, "10 MiB of 100 MiB left" },
		  { 3, "Normal 4", HOLD, "done" },
	  } },
	{ "a stop of its own, the general start",
	  own_stop,
	  {
		  { 0, "Normal 15, DMA32 15", HOLD, "30 MiB in zones with their own" },
		  { 1, "Normal 16", KICKED,
		    "node 0 Normal: 32 MiB free and unreported at order 9+ for 1 s or longer" },
		  { 2, "Normal 11", RELEASE, "22 MiB of 32 MiB left" },
		  { 3, "Normal 10", HOLD, "done" },
	  } },
	{ "an age of its own alone: counted with the others",
	  own_min_age,
	  {
		  { 0, "Normal 8, DMA32 7", HOLD, "30 MiB unreported" },
		  { 1, "Normal 8, DMA32 8", KICKED, "all zones: 32 MiB" },
	  } },
	{ "a group with a node goes before one without",
	  own_normal_but_node_1,
	  {
		  { 0, "1:Normal 500, Normal 49", HOLD, "1000 MiB in ignored zones" },
		  { 1, "1:Normal 500, Normal 50", KICKED, "node 0 Normal: 100 MiB" },
	  } },
	{ "no progress: a kick whenever a pass is late, three in all, then given up",
	  NULL,
	  {
		  { 1000, "Normal 16", KICKED, "all zones" },
		  { 6999, "Normal 16", RELEASE, "releasing: 32 MiB of 32 MiB left" },
		  { 7000, "Normal 16", KICKED,
		    "no progress for a pass: kick 2 of 3, 32 MiB of 32 MiB left" },
		  { 7001, "Normal 16", RELEASE, "releasing" },
		  { 12999, "Normal 16", RELEASE, "releasing" },
		  { 13000, "Normal 16", KICKED, "kick 3 of 3" },
		  { 18999, "Normal 16", RELEASE, "releasing" },
		  { 19000, "Normal 16", HOLD,
		    "given up: 32 MiB of 32 MiB left and no progress after 3 kicks" },
		  { 19001, "Normal 16", HOLD, "cooldown: 10 s left; 32 MiB unreported" },
		  { 28999, "Normal 16", HOLD, "cooldown" },
		  { 29000, "Normal 16", KICKED, "all zones" },
		  { 35000, "Normal 16", KICKED, "kick 2 of 3" },
	  } },
	{ "progress, however small, and all begins anew",
	  NULL,
	  {
		  { 0, "Normal 1000", KICKED, "all zones" },
		  { 6000, "Normal 1000", KICKED, "kick 2 of 3" },
		  { 12000, "Normal 1000", KICKED, "kick 3 of 3" },
		  { 17999, "Normal 999", RELEASE, "releasing" },
		  { 23998, "Normal 999", RELEASE, "releasing" },
		  { 23999, "Normal 999", KICKED, "kick 1 of 3" },
		  { 29999, "Normal 999", KICKED, "kick 2 of 3" },
		  { 35999, "Normal 999", KICKED, "kick 3 of 3" },
		  { 41998, "Normal 999", RELEASE, "releasing" },
		  { 41999, "Normal 999", HOLD,
		    "given up: 2 GiB of 2 GiB left and no progress after 3 kicks" },
	  } },
	{ "what grows and shrinks again is no progress",
	  NULL,
	  {
		  { 0, "Normal 100", KICKED, "all zones" },
		  { 1000, "Normal 50", RELEASE, "releasing: 100 MiB of 200 MiB left" },
		  { 2000, "Normal 200", RELEASE, "releasing: 400 MiB of 400 MiB left" },
		  { 3000, "Normal 51", RELEASE, "releasing: 102 MiB of 400 MiB left" },
		  { 6999, "Normal 50", RELEASE, "releasing" },
		  { 7000, "Normal 50", KICKED, "kick 1 of 3, 100 MiB of 400 MiB left" },
		  { 8000, "Normal 49", RELEASE, "releasing" },
		  { 13999, "Normal 49", RELEASE, "releasing" },
		  { 14000, "Normal 49", KICKED, "kick 1 of 3" },
	  } },
	{ "nor is what ages, what was young is left as well",
	  NULL,
	  {
		  { 0, "Normal 100/0/84", KICKED, "all zones: 32 MiB" },
		  { 6000, "Normal 100/0/50", KICKED, "kick 2 of 3, 200 MiB of 200 MiB left" },
		  { 12000, "Normal 100/0/90", KICKED, "kick 3 of 3" },
		  { 18000, "Normal 100", HOLD, "given up: 200 MiB of 200 MiB left" },
	  } },
	{ "reported extents are progress, though as many become free",
	  NULL,
	  {
		  { 0, "Normal 26/10", KICKED, "all zones: 32 MiB" },
		  { 6000, "Normal 27/11", RELEASE, "releasing: 32 MiB of 32 MiB left" },
		  { 11999, "Normal 27/11", RELEASE, "releasing" },
		  { 12000, "Normal 27/11", KICKED, "kick 1 of 3" },
		  { 18000, "Normal 40/10", KICKED, "kick 2 of 3" }, /* one of them allocated */
		  { 19000, "Normal 41/11", RELEASE, "releasing: 60 MiB of 60 MiB left" },
		  { 25000, "Normal 41/11", KICKED, "kick 1 of 3" },
		  { 31000, "Normal@10 11/11, Normal 41/11", RELEASE, "releasing" },
	  } },
	{ "but not those of orders that only some scans see",
	  NULL,
	  {
		  { 0, "Normal 16", KICKED, "all zones" },
		  { 6000, "Normal 16, Normal@3 9/9, DMA32@8 9/9", KICKED, "kick 2 of 3" },
		  { 12000, "Normal 16", KICKED, "kick 3 of 3" },
		  { 18000, "Normal 16, Normal@3 9/9", HOLD, "given up" },
	  } },
	{ "a late pass that ends at stop is done, not given up",
	  NULL,
	  {
		  { 0, "Normal 16", KICKED, "all zones" },
		  { 60000, "Normal 4", HOLD, "done" },
	  } },
	{ "the delay and the interval say when a pass is late",
	  quick,
	  {
		  { 0, "Normal 16", KICKED, "all zones" },
		  { 1249, "Normal 16", RELEASE, "releasing" },
		  { 1250, "Normal 16", KICKED, "kick 2 of 3" },
		  { 2499, "Normal 16", RELEASE, "releasing" },
		  { 2500, "Normal 16", KICKED, "kick 3 of 3" },
		  { 3750, "Normal 16", HOLD, "given up" },
	  } },
	{ "without kicks it waits for one pass",
	  without_kick,
	  {
		  { 0, "Normal 16", RELEASE, "all zones" },
		  { 5999, "Normal 15", RELEASE, "releasing" },
		  { 11998, "Normal 15", RELEASE, "releasing" },
		  { 11999, "Normal 15", HOLD,
		    "given up: 30 MiB of 32 MiB left and no progress after 0 kicks" },
		  { 22000, "Normal 16", RELEASE, "all zones" },
		  { 28000, "Normal 16", HOLD, "no progress after 0 kicks" },
	  } },
	{ "in a dry run nothing can progress, so nothing is given up",
	  dry_run,
	  {
		  { 0, "Normal 16", KICKED, "all zones" },
		  { 6000, "Normal 16", RELEASE, "releasing" },
		  { 600000, "Normal 16", RELEASE, "releasing: 32 MiB of 32 MiB left" },
		  { 6000000, "Normal 16", RELEASE, "releasing" },
		  { 6002000, "Normal 4", HOLD, "done: 8 MiB of 32 MiB left" },
		  { 6004000, "Normal 16", HOLD, "cooldown: 8 s left" },
		  { 6012000, "Normal 16", KICKED, "all zones" },
	  } },
	{ "a ceiling that is a number",
	  ceiling_9,
	  {
		  { 0, "Normal 15", POLICY_HOLD, 9, NO, "start is 32 MiB" },
		  { 1, "Normal 16", POLICY_RELEASE, 9, KICK, "all zones" },
		  { 2, "", POLICY_HOLD, 9, NO, "done" },
		  { 3, "", POLICY_HOLD, 9, NO, "cooldown" },
	  } },
	{ "below the pageblock",
	  order_5,
	  {
		  { 0, "Normal@5 255", POLICY_HOLD, 11, NO,
		    "31.9 MiB unreported at order 5+, start is 32 MiB" },
		  { 1, "Normal@4 1000, Normal@5 256", POLICY_RELEASE, 5, KICK,
		    "all zones: 32 MiB free and unreported at order 5+" },
		  { 2, "Normal@4 1000, Normal@6 32", POLICY_HOLD, 11, NO, "done: 8 MiB of 32 MiB" },
	  } },
	{ "pages of 64 KiB",
	  pages_of_64k,
	  {
		  { 0, "Normal 3", POLICY_HOLD, 14, NO,
		    "1.5 GiB unreported at order 13+, start is 2 GiB" },
		  { 1, "Normal@12 1000", POLICY_HOLD, 14, NO, "0 B unreported at order 13+" },
		  { 2, "Normal 4", POLICY_RELEASE, 13, KICK,
		    "all zones: 2 GiB free and unreported at order 13+" },
		  { 3, "Normal 2", POLICY_RELEASE, 13, NO, "releasing: 1 GiB of 2 GiB left" },
		  { 4, "Normal 1", POLICY_HOLD, 14, NO, "done: 512 MiB of 2 GiB left" },
	  } },
};

static void test_scenarios(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		print_message("           %s\n", scenarios[i].what);
		run(&scenarios[i]);
	}
}

/* page_reporting_delay_ms goes with the action, whatever else is decided. */
static void test_delays(void **state)
{
	static const struct {
		const char *seen;
		uint64_t s, delay_ms;
	} steps[] = {
		{ "Normal 15", 1, 60000 },  /* hold */
		{ "Normal 16", 2, 250 },    /* release */
		{ "Normal 16", 3, 250 },    /* releasing */
		{ "Normal 16", 8, 250 },    /* kicked again */
		{ "Normal 4", 9, 60000 },   /* done */
		{ "Normal 50", 10, 60000 }, /* cooldown */
		{ "Normal 50", 19, 250 },   { "Normal 50", 25, 250 },
		{ "Normal 50", 31, 250 },   { "Normal 50", 37, 60000 }, /* given up */
	};
	struct policy_state policy = { 0 };

	(void)state;
	reset();
	given.config.delay_hold = 60 * NSEC_PER_SEC;
	given.config.delay_release = 250 * NSEC_PER_MSEC;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct decision decision;
		struct snapshot snap;

		see(&snap, steps[i].seen);
		decide(&snap, steps[i].s * NSEC_PER_SEC, &policy, &decision);
		if (decision.delay != steps[i].delay_ms * NSEC_PER_MSEC)
			fail_msg("%" PRIu64 " s: %" PRIu64 " ns, %s", steps[i].s, decision.delay,
				 decision.reason);
	}
}

/* --- orders ----------------------------------------------------------------------------------- */

static const struct order_case {
	int wanted, floor, ceiling;
	unsigned int pageblock, highest;
	unsigned int release, hold;
	enum scan_depth depth;
} order_cases[] = {
	{ ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, ORDER_OFF, 9, 10, 9, 11, SCAN_HEADS },
	{ ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, ORDER_HIGHEST, 9, 10, 9, 10, SCAN_HEADS },
	{ ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, 9, 10, 9, 9, SCAN_HEADS },
	{ ORDER_HIGHEST, ORDER_PAGEBLOCK, ORDER_OFF, 9, 10, 10, 11, SCAN_HEADS },
	{ ORDER_HIGHEST, ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, 9, 10, 9, 9, SCAN_HEADS },
	{ ORDER_HIGHEST, ORDER_PAGEBLOCK, 9, 9, 10, 9, 9, SCAN_HEADS },
	{ ORDER_OFF, ORDER_PAGEBLOCK, ORDER_OFF, 9, 10, 10, 11, SCAN_HEADS },
	/* the floor */
	{ 0, 0, ORDER_OFF, 9, 10, 0, 11, SCAN_FULL },
	{ 0, 5, ORDER_OFF, 9, 10, 5, 11, SCAN_FULL },
	{ 0, 8, ORDER_OFF, 9, 10, 8, 11, SCAN_FULL },
	{ 0, 9, ORDER_OFF, 9, 10, 9, 11, SCAN_HEADS },
	{ 0, ORDER_PAGEBLOCK, ORDER_OFF, 9, 10, 9, 11, SCAN_HEADS },
	{ 9, ORDER_HIGHEST, ORDER_OFF, 9, 10, 10, 11, SCAN_HEADS },
	{ 9, 15, ORDER_OFF, 9, 10, 10, 11, SCAN_HEADS },
	{ 5, 5, ORDER_OFF, 9, 10, 5, 11, SCAN_FULL },
	{ 6, 5, ORDER_OFF, 9, 10, 6, 11, SCAN_FULL },
	/* the ceiling */
	{ 10, 0, 10, 9, 10, 10, 10, SCAN_HEADS },
	{ 10, 0, 9, 9, 10, 9, 9, SCAN_HEADS },
	{ 10, 0, 8, 9, 10, 8, 8, SCAN_FULL },
	{ 10, 0, 0, 9, 10, 0, 0, SCAN_FULL },
	{ 15, 0, 15, 9, 10, 10, 15, SCAN_HEADS }, /* never above the highest to release */
	{ 11, 0, 11, 9, 10, 10, 11, SCAN_HEADS },
	/* a floor above the ceiling: the ceiling it is */
	{ ORDER_PAGEBLOCK, 10, 9, 9, 10, 9, 9, SCAN_HEADS },
	{ ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, 5, 9, 10, 5, 5, SCAN_FULL },
	/* other kernels */
	{ ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, ORDER_OFF, 13, 13, 13, 14, SCAN_HEADS },
	{ ORDER_HIGHEST, ORDER_PAGEBLOCK, ORDER_OFF, 13, 13, 13, 14, SCAN_HEADS },
	{ 5, 5, ORDER_OFF, 13, 13, 5, 14, SCAN_FULL }, /* virtio's own on arm64 with 64 KiB pages */
	{ 9, 0, 9, 13, 13, 9, 9, SCAN_FULL },
	{ ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, ORDER_OFF, 1, 1, 1, 2, SCAN_HEADS },
	{ ORDER_PAGEBLOCK, ORDER_PAGEBLOCK, ORDER_OFF, 7, 10, 7, 11, SCAN_HEADS },
};

static void test_orders(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(order_cases); i++) {
		const struct order_case *row = &order_cases[i];
		struct policy_state policy = { 0 };
		struct decision decision;
		struct snapshot snap;

		reset();
		given.config.order_floor = row->floor;
		given.config.order_ceiling = row->ceiling;
		given.config.threshold.order = row->wanted;
		given.snap.depth = row->depth;
		given.snap.pageblock_order = row->pageblock;
		given.snap.nr_orders = row->highest + 1;
		see(&snap, "");
		decide(&snap, NSEC_PER_SEC, &policy, &decision);
		if (decision.action != POLICY_HOLD || decision.order != row->hold)
			fail_msg("row %zu: hold at %u", i, decision.order);
		/* more than enough of the highest order */
		snap.zones[2].orders[row->highest].free = 100000;
		decide(&snap, NSEC_PER_SEC, &policy, &decision);
		if (decision.action != POLICY_RELEASE || decision.order != row->release)
			fail_msg("row %zu: release at %u", i, decision.order);
		if (depth_of(row->pageblock, row->highest) != row->depth)
			fail_msg("row %zu: depth", i);
		/* the baseline needs no more than heads */
		given.config.strategy = STRATEGY_KERNEL;
		assert_int_equal(depth_of(row->pageblock, row->highest), SCAN_HEADS);
	}
}

/* --- configured zones ------------------------------------------------------------------------- */

static void test_zones(void **state)
{
	const struct config *config = &given.config;

	(void)state;
	reset();
	assert_null(policy_zone(config, 0, "Normal"));
	assert_int_equal(policy_min_age(config, 0, "Normal"), NSEC_PER_SEC);
	add_zone("Normal", 1);
	add_zone("Normal", CONFIG_ANY_NODE);
	add_zone("DMA32", 0);
	add_zone("Normal", 3);
	assert_ptr_equal(policy_zone(config, 0, "Normal"), &config->zones[1]);
	assert_ptr_equal(policy_zone(config, 1, "Normal"), &config->zones[0]);
	assert_ptr_equal(policy_zone(config, 2, "Normal"), &config->zones[1]);
	assert_ptr_equal(policy_zone(config, 3, "Normal"), &config->zones[3]);
	assert_ptr_equal(policy_zone(config, 0, "DMA32"), &config->zones[2]);
	assert_null(policy_zone(config, 1, "DMA32"));
	assert_null(policy_zone(config, 0, "DMA"));
	assert_null(policy_zone(config, 0, "Norma"));
	assert_null(policy_zone(config, 0, "Normal2"));
	/* min_age: the zone's own if it has one, even 0 */
	given.config.zones[0].min_age = 7;
	assert_int_equal(policy_min_age(config, 1, "Normal"), NSEC_PER_SEC);
	given.config.zones[0].has_min_age = true;
	assert_int_equal(policy_min_age(config, 1, "Normal"), 7);
	given.config.zones[0].min_age = 0;
	assert_int_equal(policy_min_age(config, 1, "Normal"), 0);
	/* a group with a node hides the one without, also what it does not name */
	given.config.zones[1].has_min_age = true;
	given.config.zones[1].min_age = 99;
	assert_int_equal(policy_min_age(config, 0, "Normal"), 99);
	assert_int_equal(policy_min_age(config, 3, "Normal"), NSEC_PER_SEC);
}

/* --- no decision ------------------------------------------------------------------------------ */

/* Any state: those that do not decide do not touch it. */
static const struct policy_state some_state = { .threshold = { true, 2, 3, 4, 5, 6, 7 } };

static void check_leave(const struct snapshot *snap, const char *reason)
{
	struct policy_state state = some_state;
	struct decision decision;

	decide(snap, 1000 * NSEC_PER_SEC, &state, &decision);
	assert_int_equal(decision.action, POLICY_LEAVE);
	assert_int_equal(decision.order, 0);
	assert_false(decision.kick);
	assert_int_equal(decision.delay, 0);
	assert_string_equal(decision.reason, reason);
	assert_same_state(&state, &some_state);
}

static void test_kernel(void **state)
{
	struct snapshot snap;

	(void)state;
	reset();
	given.config.strategy = STRATEGY_KERNEL;
	given.config.delay_hold = given.config.delay_release = NSEC_PER_SEC;
	see(&snap, "Normal 500/100/300, Normal@10 1, DMA! 100");
	check_leave(&snap, "strategy kernel touches nothing; 804 MiB unreported at order 9");
	snap.reporting_order = 10;
	check_leave(&snap, "strategy kernel touches nothing; 4 MiB unreported at order 10");
	/* off; until 6.1 by any number */
	snap.reporting_order = 11;
	check_leave(&snap, "strategy kernel touches nothing; 0 B unreported at order 11");
	snap.reporting_order = 64;
	check_leave(&snap, "strategy kernel touches nothing; 0 B unreported at order 64");
	snap.reporting_order = 32767;
	check_leave(&snap, "strategy kernel touches nothing; 0 B unreported at order 32767");
	snap.reporting_order = -1;
	check_leave(&snap, "strategy kernel touches nothing; 0 B unreported at order -1");
	/* it observes whatever can be observed */
	snap.reporting_order = 9;
	snap.source = SOURCE_BUDDYINFO;
	check_leave(&snap, "strategy kernel touches nothing; 0 B unreported at order 9");
}

static void test_buddyinfo(void **state)
{
	struct snapshot snap;

	(void)state;
	reset();
	see(&snap, "Normal 500");
	snap.source = SOURCE_BUDDYINFO;
	check_leave(&snap, "no decision: /proc/buddyinfo alone does not show what is reported");
	/* kpageflags does */
	{
		struct policy_state policy = { 0 };
		struct decision decision;

		snap.source = SOURCE_KPAGEFLAGS;
		decide(&snap, NSEC_PER_SEC, &policy, &decision);
		assert_int_equal(decision.action, POLICY_RELEASE);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(policy_action_name(POLICY_LEAVE), "leave");
	assert_string_equal(policy_action_name(POLICY_HOLD), "hold");
	assert_string_equal(policy_action_name(POLICY_RELEASE), "release");
}

/* --- reasons ---------------------------------------------------------------------------------- */

/*
 * The longest texts: sizes of 12 characters ("12345.6 TiB" is as long as they
 * get below 2^64 in four zones), every part there is. None may be cut off.
 */
static void test_long_reasons(void **state)
{
	const uint64_t many = UINT64_C(3000000000000); /* extents of 2 MiB: 5.2 EiB */
	struct policy_state policy = { 0 };
	struct decision decision;
	struct snapshot snap;

	(void)state;
	reset();
	own_normal();
	ignore_dma32();
	given.config.threshold.start = given.config.zones[0].start = UINT64_MAX / 2;
	given.config.threshold.cooldown = 86400 * NSEC_PER_SEC - 1;
	see(&snap, "DMA! 1, DMA32 1, Normal 1, 1:Normal 1");
	snap.zones[0].orders[9].free = many;
	snap.zones[1].orders[9].free = many / 10;
	snap.zones[2].orders[9] = (struct order_count){ many / 8, 0, many / 16 };
	snap.zones[3].orders[9] = (struct order_count){ many / 8, 0, many / 16 };
	decide(&snap, NSEC_PER_SEC, &policy, &decision);
	assert_string_equal(
		decision.reason,
		"0 B unreported at order 9+, start is 8388608 TiB, 715256 TiB too young, "
		"5722046 TiB behind a zone gate, 572205 TiB in ignored zones, "
		"715256 TiB in zones with their own start and stop");
	policy.threshold.cooldown_from = NSEC_PER_SEC;
	decide(&snap, NSEC_PER_SEC, &policy, &decision);
	assert_string_equal(decision.reason,
			    "cooldown: 1 d left; 0 B unreported at order 9+, 715256 TiB too young, "
			    "5722046 TiB behind a zone gate, 572205 TiB in ignored zones, "
			    "715256 TiB in zones with their own start and stop");
	policy = (struct policy_state){ .threshold = { .releasing = true,
						       .began_with = UINT64_MAX } };
	given.config.threshold.stop = UINT64_MAX - MIB;
	given.config.zones[0].stop = UINT64_MAX;
	decide(&snap, NSEC_PER_SEC, &policy, &decision);
	assert_string_equal(decision.reason,
			    "done: 715256 TiB of 16777216 TiB left, stop is 16777216 TiB, "
			    "715256 TiB too young, 5722046 TiB behind a zone gate, "
			    "572205 TiB in ignored zones, "
			    "715256 TiB in zones with their own start and stop");
}

/* The longest name of a zone, the largest number of a node. */
static void test_long_names(void **state)
{
	struct policy_state policy = { 0 };
	struct config_zone *own;
	struct decision decision;
	struct snapshot snap;

	(void)state;
	reset();
	own = add_zone("ZoneOf15Letters", CONFIG_ANY_NODE);
	own->has_start = own->has_min_age = true;
	own->start = UINT64_MAX / 4;
	own->min_age = 86399 * NSEC_PER_SEC;
	given.snap.nr_orders = 16;
	given.snap.pageblock_order = 15;
	see(&snap, "");
	strcpy(snap.zones[2].info.name, "ZoneOf15Letters");
	snap.zones[2].info.node = UINT32_MAX;
	snap.zones[2].orders[15].free = UINT64_C(1) << 35;
	decide(&snap, NSEC_PER_SEC, &policy, &decision);
	assert_string_equal(decision.reason,
			    "node 4294967295 ZoneOf15Letters: 4194304 TiB free and unreported at "
			    "order 15+ for 1 d or longer, start is 4194304 TiB");
}

/* --- any input -------------------------------------------------------------------------------- */

/* What must hold from one decision to the next, whatever comes. */
static void test_any_walk(void **state)
{
	uint64_t random = 1, now = NSEC_PER_SEC, least = 0;
	unsigned int kicks = 0, releases = 0, given_up = 0;
	struct policy_state policy = { 0 };
	bool was_releasing = false;

	(void)state;
	reset();
	given.config.threshold.cooldown = 3 * NSEC_PER_SEC;
	for (unsigned int i = 0; i < 20000; i++) {
		struct snapshot snap = given.snap;
		struct decision decision;
		uint64_t ripe;

		random = random * 6364136223846793005 + 1442695040888963407;
		/* mostly stuck, sometimes anything */
		if ((random >> 58) < 8)
			given.snap.zones[2].orders[9].free = (random >> 33) % 24;
		snap = given.snap;
		ripe = snap.zones[2].orders[9].free * 2 * MIB;
		now += (random >> 20) % (4 * NSEC_PER_SEC);
		decide(&snap, now, &policy, &decision);
		if (decision.action == POLICY_RELEASE) {
			assert_int_equal(decision.order, 9);
			if (!was_releasing) {
				assert_true(ripe >= 32 * MIB && decision.kick);
				least = ripe;
				kicks = 1;
				releases++;
			} else {
				assert_true(ripe > 8 * MIB);
				if (ripe < least) {
					least = ripe;
					kicks = 0;
				}
				kicks += decision.kick;
			}
			assert_true(kicks <= 3);
		} else {
			assert_int_equal(decision.action, POLICY_HOLD);
			assert_int_equal(decision.order, 11);
			assert_false(decision.kick);
			if (was_releasing && ripe > 8 * MIB) {
				assert_int_equal(kicks, 3);
				given_up++;
			}
		}
		was_releasing = decision.action == POLICY_RELEASE;
	}
	print_message("           %u releases, %u given up\n", releases, given_up);
	assert_true(releases > 200 && given_up > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios),  cmocka_unit_test(test_delays),
		cmocka_unit_test(test_orders),	   cmocka_unit_test(test_zones),
		cmocka_unit_test(test_kernel),	   cmocka_unit_test(test_buddyinfo),
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_long_reasons),
		cmocka_unit_test(test_long_names), cmocka_unit_test(test_any_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
