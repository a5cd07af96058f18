// SPDX-License-Identifier: GPL-2.0-only
/* Checks of values against each other; each is reported where the file sets it. */
#include <string.h>

#include "load.h"
#include "sluice/units.h"

/* A value to compare: its name in messages, where the file sets it, what it is. */
struct operand {
	char name[32];
	struct given given;
	uint64_t value;
};

static struct given given_zone(const struct loading *loading, unsigned int zone, const char *name)
{
	return given_in(loading, option_find(SCOPE_ZONE, name), &loading->config.zones[zone]);
}

/* Not if the file sets it wrongly: that has been reported. */
static bool usable(const struct operand *operand)
{
	return !operand->given.line || operand->given.valid;
}

static struct operand general_operand(const struct loading *loading, const char *name,
				      uint64_t value)
{
	struct operand operand = { .given = given_general(loading, name), .value = value };

	snprintf(operand.name, sizeof(operand.name), "%s", name);
	return operand;
}

/* Blames stop, or start if that alone is set in the file. */
static void check_sizes(struct loading *loading, const struct operand *stop,
			const struct operand *start, bool blame_start)
{
	char stop_text[32], start_text[32];

	if (!usable(stop) || !usable(start) || stop->value < start->value)
		return;
	format_size_exact(stop->value, stop_text);
	format_size_exact(start->value, start_text);
	if (blame_start)
		report_add(loading->report, start->given.line,
			   "%s: \"%s\": a size above %s, which is %s", start->name, start_text,
			   stop->name, stop_text);
	else
		report_add(loading->report, stop->given.line,
			   "%s: \"%s\": a size below %s, which is %s", stop->name, stop_text,
			   start->name, start_text);
}

static void check_threshold(struct loading *loading)
{
	const struct config_threshold *threshold = &loading->config.threshold;
	struct operand stop = general_operand(loading, "threshold.stop", threshold->stop);
	struct operand start = general_operand(loading, "threshold.start", threshold->start);

	check_sizes(loading, &stop, &start, !stop.given.line);
}

/* Replaces a general value by the zone's own, if the file sets that; whether it does. */
static bool zone_operand(const struct loading *loading, unsigned int zone, const char *name,
			 uint64_t value, struct operand *operand)
{
	struct given given = given_zone(loading, zone, name);

	if (!given.line)
		return false;
	snprintf(operand->name, sizeof(operand->name), "zones[%u].%s", zone, name);
	operand->given = given;
	operand->value = value;
	return true;
}

static void check_zone(struct loading *loading, unsigned int i)
{
	const struct config_threshold *threshold = &loading->config.threshold;
	const struct config_zone *zone = &loading->config.zones[i];
	struct operand stop = general_operand(loading, "threshold.stop", threshold->stop);
	struct operand start = general_operand(loading, "threshold.start", threshold->start);
	bool own_stop = zone_operand(loading, i, "stop", zone->stop, &stop);
	bool own_start = zone_operand(loading, i, "start", zone->start, &start);

	/* If both are general, check_threshold() has looked at them. */
	if (own_stop || own_start)
		check_sizes(loading, &stop, &start, !own_stop);
}

/* Whether the file says rightly which zone this is. */
static bool zone_known(const struct loading *loading, unsigned int i)
{
	struct given node = given_zone(loading, i, "node");

	return given_zone(loading, i, "zone").valid && (!node.line || node.valid);
}

/* Reports the later group. A zone may be named with and without node. */
static void check_duplicate(struct loading *loading, unsigned int i)
{
	const struct config_zone *zone = &loading->config.zones[i];

	for (unsigned int j = 0; j < i; j++) {
		const struct config_zone *other = &loading->config.zones[j];

		if (!zone_known(loading, i) || !zone_known(loading, j) ||
		    other->node != zone->node || strcmp(other->zone, zone->zone) != 0)
			continue;
		report_add(
			loading->report, given_zone(loading, i, "zone").line,
			"zones[%u].zone: \"%s\": each zone once per node; line %u names it already",
			i, zone->zone, given_zone(loading, j, "zone").line);
		return;
	}
}

/*
 * Names of orders are left to the running kernel: only it knows their numbers. A default
 * gives way to the bounds.
 */
static void check_release_order(struct loading *loading, const char *name, int order)
{
	const struct config *config = &loading->config;
	const int floor = config->order_floor, ceiling = config->order_ceiling;
	const unsigned int line = given_general(loading, name).line;

	if (!line)
		return;
	if (order >= 0 && floor >= 0 && order < floor)
		report_add(loading->report, line, "%s: %d: at least order.floor, which is %d", name,
			   order, floor);
	if (order >= 0 && ceiling >= 0 && order > ceiling)
		report_add(loading->report, line, "%s: %d: at most order.ceiling, which is %d",
			   name, order, ceiling);
}

static void check_orders(struct loading *loading)
{
	const struct config *config = &loading->config;
	const int floor = config->order_floor, ceiling = config->order_ceiling;

	if (floor >= 0 && ceiling >= 0 && ceiling < floor)
		report_add(loading->report, given_general(loading, "order.ceiling").line,
			   "order.ceiling: %d: at least order.floor, which is %d", ceiling, floor);
	check_release_order(loading, "threshold.order", config->threshold.order);
	check_release_order(loading, "cycle.order", config->cycle.order);
	check_release_order(loading, "burst.floor", config->burst.floor);
	check_release_order(loading, "slew.order", config->slew.order);
	check_release_order(loading, "ladder.idle_floor", config->ladder.idle_floor);
	check_release_order(loading, "trim.order", config->trim.order);
}

static void check_cycle(struct loading *loading)
{
	const struct config_cycle *cycle = &loading->config.cycle;
	struct given low = given_general(loading, "cycle.low_water");
	struct given high = given_general(loading, "cycle.high_water");

	/* one that is wrong by itself has been reported */
	if (cycle->low_water < cycle->high_water || (low.line && !low.valid) ||
	    (high.line && !high.valid))
		return;
	if (low.line)
		report_add(loading->report, low.line,
			   "cycle.low_water: %d: a number below cycle.high_water, which is %d",
			   cycle->low_water, cycle->high_water);
	else
		report_add(loading->report, high.line,
			   "cycle.high_water: %d: a number above cycle.low_water, which is %d",
			   cycle->high_water, cycle->low_water);
}

static void check_ladder(struct loading *loading)
{
	const struct config_ladder *ladder = &loading->config.ladder;
	struct operand quiet = general_operand(loading, "ladder.quiet", ladder->quiet);
	struct operand busy = general_operand(loading, "ladder.busy", ladder->busy);

	check_sizes(loading, &quiet, &busy, !quiet.given.line);
}

void check_together(struct loading *loading)
{
	check_threshold(loading);
	check_cycle(loading);
	check_ladder(loading);
	check_orders(loading);
	check_actuators(loading);
	for (unsigned int i = 0; i < loading->config.nr_zones; i++) {
		check_zone(loading, i);
		check_duplicate(loading, i);
	}
}
