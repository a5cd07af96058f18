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

/* "zones[0].zone = "Normal";": the values in one scope, and of lists in it. */
static void print_scope(enum option_scope scope, const struct option *list, const void *base,
			const char *path, FILE *out);

static void print_elements(const struct option *list, const void *base, const char *path, FILE *out)
{
	char inner[OPTION_PREFIX];

	for (unsigned int i = 0; i < option_nr(list, base); i++) {
		snprintf(inner, sizeof(inner), "%s%s[%u].", path, list->name, i);
		print_scope(list->list->scope, list, option_const_element(list, base, i), inner,
			    out);
	}
}

static void print_scope(enum option_scope scope, const struct option *list, const void *base,
			const char *path, FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option->scope != scope || !option_is_value(option) ||
		    (list && !option_is_named(list, option, base)))
			continue;
		fprintf(out, "%s%s = ", path, option->name);
		option_print(option, base, out);
		fputs(";\n", out);
	}
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (option_table[i].scope == scope && option_table[i].type == OPTION_LIST)
			print_elements(&option_table[i], base, path, out);
	}
}

void config_print(const struct config *config, FILE *out)
{
	print_scope(SCOPE_GENERAL, NULL, config, "", out);
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

int64_t config_extra_release(const struct config_extra *extra, unsigned int order,
			     int pageblock_order, int highest_order)
{
	for (unsigned int i = 0; i < extra->nr_rungs; i++) {
		if (order_resolve(extra->rungs[i].order, pageblock_order, highest_order) ==
		    (int)order)
			return (int64_t)extra->rungs[i].value;
	}
	return (int64_t)extra->release;
}

/* Whether the options in a scope whose names begin with @prefix have the same values. */
static bool scope_equal(enum option_scope scope, const char *prefix, const void *a, const void *b);

static bool elements_equal(const struct option *list, const void *a, const void *b)
{
	bool equal = option_nr(list, a) == option_nr(list, b);

	for (unsigned int i = 0; equal && i < option_nr(list, a); i++)
		equal = scope_equal(list->list->scope, "", option_const_element(list, a, i),
				    option_const_element(list, b, i));
	return equal;
}

static bool scope_equal(enum option_scope scope, const char *prefix, const void *a, const void *b)
{
	bool equal = true;

	for (size_t i = 0; equal && i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option->scope != scope || strncmp(option->name, prefix, strlen(prefix)) != 0)
			continue;
		if (option->type == OPTION_LIST)
			equal = elements_equal(option, a, b);
		else if (option_is_value(option))
			equal = option_equal(option, a, b);
	}
	return equal;
}

bool config_actuators_differ(const struct config *a, const struct config *b)
{
	return !scope_equal(SCOPE_GENERAL, "actuators.", a, b);
}
