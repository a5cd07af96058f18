// SPDX-License-Identifier: GPL-2.0-only
/* Configurations as a whole: defaults, printing, comparing. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

void config_defaults(struct config *config)
{
	memset(config, 0, sizeof(*config)); /* padding too, so that memcmp() can compare */
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];
		bool ok = true;

		if (option->scope != SCOPE_GENERAL || !option_is_value(option))
			continue;
		if (option->type == OPTION_BOOL)
			option_set_bool(option, !strcmp(option->fallback, "true"), config);
		else if (option_fallback_is_number(option))
			ok = option_set_int(option, strtol(option->fallback, NULL, 10), config);
		else
			ok = option_set_text(option, option->fallback, config);
		assert(ok);
		(void)ok;
	}
}

/* Members that the file does not name stay unnamed. */
static bool zone_names(const struct option *option, const struct config_zone *zone)
{
	if (option->type == OPTION_INT)
		return zone->node != CONFIG_ANY_NODE;
	return !option->has_offset || *(const bool *)((const char *)zone + option->has_offset);
}

static void print_zone(const struct config_zone *zone, unsigned int index, FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option->scope != SCOPE_ZONE || !zone_names(option, zone))
			continue;
		fprintf(out, "zones[%u].%s = ", index, option->name);
		option_print(option, zone, out);
		fputs(";\n", out);
	}
}

void config_print(const struct config *config, FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option->scope != SCOPE_GENERAL || !option_is_value(option))
			continue;
		fprintf(out, "%s = ", option->name);
		option_print(option, config, out);
		fputs(";\n", out);
	}
	for (unsigned int i = 0; i < config->nr_zones; i++)
		print_zone(&config->zones[i], i, out);
}

unsigned int config_fixed_changes(const struct config *running, const struct config *loaded,
				  FILE *names)
{
	unsigned int changes = 0;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option->scope != SCOPE_GENERAL || !option_is_value(option) ||
		    option->reloadable || option_equal(option, running, loaded))
			continue;
		fprintf(names, "%s\n", option->name);
		changes++;
	}
	return changes;
}

int order_resolve(int order, int pageblock_order, int highest_order)
{
	switch (order) {
	case ORDER_PAGEBLOCK:
		return pageblock_order;
	case ORDER_HIGHEST:
		return highest_order;
	case ORDER_OFF:
		return highest_order + 1;
	default:
		return order;
	}
}
