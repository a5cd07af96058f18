// SPDX-License-Identifier: GPL-2.0-only
/* From libconfig's tree to struct config, by the table. */
#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define PATH_TEXT 128 /* longer names are cut in messages; no option is that long */

static unsigned int line_of(const config_setting_t *setting)
{
	return config_setting_source_line(setting);
}

/* The value as the file has it, for messages; returns @buf. */
static char *describe(const config_setting_t *setting, char buf[QUOTED_TEXT])
{
	long long number = config_setting_get_int64(setting);
	const char *text;

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(buf, QUOTED_TEXT,
			 config_setting_get_format(setting) == CONFIG_FORMAT_HEX ? "0x%llx" :
										   "%lld",
			 number);
		break;
	case CONFIG_TYPE_FLOAT:
		snprintf(buf, QUOTED_TEXT, "%.15g", config_setting_get_float(setting));
		break;
	case CONFIG_TYPE_BOOL:
		snprintf(buf, QUOTED_TEXT, "%s",
			 config_setting_get_bool(setting) ? "true" : "false");
		break;
	case CONFIG_TYPE_STRING:
		text = config_setting_get_string(setting);
		text_quote(text ? text : "", buf);
		break;
	case CONFIG_TYPE_GROUP:
		snprintf(buf, QUOTED_TEXT, "{ ... }");
		break;
	case CONFIG_TYPE_LIST:
		snprintf(buf, QUOTED_TEXT, "( ... )");
		break;
	default:
		snprintf(buf, QUOTED_TEXT, "[ ... ]");
		break;
	}
	return buf;
}

static void report_value(struct loading *loading, const config_setting_t *setting, const char *path,
			 const char *allowed)
{
	char value[QUOTED_TEXT];

	report_add(loading->report, line_of(setting), "%s: %s: %s", path, describe(setting, value),
		   allowed);
}

static bool store_value(const struct option *option, const config_setting_t *setting, void *base)
{
	const char *text;

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_STRING:
		text = config_setting_get_string(setting);
		return text && option_set_text(option, text, base);
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		/* libconfig wraps hexadecimal numbers silently, so none is accepted. */
		return config_setting_get_format(setting) != CONFIG_FORMAT_HEX &&
		       option_set_int(option, config_setting_get_int64(setting), base);
	case CONFIG_TYPE_BOOL:
		return option_set_bool(option, config_setting_get_bool(setting), base);
	default:
		return false;
	}
}

struct given given_in(const struct loading *loading, const struct option *option, const void *base)
{
	const void *member = option_const_member(option, base);

	for (size_t i = 0; i < loading->nr_given; i++) {
		if (loading->given[i].member == member)
			return loading->given[i];
	}
	return (struct given){ .line = 0 };
}

struct given given_general(const struct loading *loading, const char *name)
{
	return given_in(loading, option_find(SCOPE_GENERAL, name), &loading->config);
}

static void load_value(struct loading *loading, const struct option *option,
		       const config_setting_t *setting, const char *path, void *base)
{
	struct given *given = &loading->given[loading->nr_given++];
	char allowed[OPTION_ALLOWED];

	/* there is room: syntax_check() has counted the settings */
	*given = (struct given){
		.member = option_const_member(option, base),
		.line = line_of(setting),
		.valid = store_value(option, setting, base),
	};
	if (!given->valid)
		report_value(loading, setting, path, option_allowed(option, allowed));
}

static void report_unknown(struct loading *loading, const config_setting_t *setting,
			   const char *path, enum option_scope scope, const char *group)
{
	const char *near = suggest_name(scope, group, config_setting_name(setting));
	char known[256] = "";
	size_t used = 0;

	if (near) {
		report_add(loading->report, line_of(setting),
			   "%s: unknown name; did you mean \"%s\"?", path, near);
		return;
	}
	for (size_t i = 0; i < OPTION_COUNT && used < sizeof(known); i++) {
		if (option_is_at(&option_table[i], scope, group))
			used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
						 used ? ", " : "", option_leaf(&option_table[i]));
	}
	report_add(loading->report, line_of(setting), "%s: unknown name; known here: %s", path,
		   known);
}

/* Where settings stand: which options are known there, and what they are stored in. */
struct place {
	enum option_scope scope;
	const char *group; /* in the scope; "": none */
	const char *path;  /* for messages: "zones[1]"; "": the file itself */
	void *base;
};

static void load_settings(struct loading *loading, const config_setting_t *settings,
			  const struct place *place);

static void report_missing(struct loading *loading, const config_setting_t *group,
			   const struct place *place)
{
	char allowed[OPTION_ALLOWED];

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option->scope == place->scope && option->required &&
		    !given_in(loading, option, place->base).line)
			report_add(loading->report, line_of(group), "%s.%s: missing: %s",
				   place->path, option->name, option_allowed(option, allowed));
	}
}

static void load_element(struct loading *loading, const struct option *list,
			 const config_setting_t *element, const char *path, void *base)
{
	const struct place place = { list->list->scope, "", path, base };
	char allowed[OPTION_ALLOWED];

	if (config_setting_is_group(element)) {
		load_settings(loading, element, &place);
		report_missing(loading, element, &place);
	} else {
		snprintf(allowed, sizeof(allowed), "a group: { %s ... }", list->list->sample);
		report_value(loading, element, path, allowed);
	}
}

static void load_list(struct loading *loading, const struct option *option,
		      const config_setting_t *list, const char *path, void *base)
{
	unsigned int nr = (unsigned int)config_setting_length(list);
	char element_path[PATH_TEXT + 16], allowed[OPTION_ALLOWED];

	option_allowed(option, allowed);
	if (!config_setting_is_list(list)) {
		report_value(loading, list, path, allowed);
		return;
	}
	for (unsigned int i = 0; i < nr; i++) {
		const config_setting_t *element = config_setting_get_elem(list, i);

		snprintf(element_path, sizeof(element_path), "%s[%u]", path, i);
		if (i == option->max) {
			report_value(loading, element, element_path, allowed);
			break;
		}
		load_element(loading, option, element, element_path, option_append(option, base));
	}
}

static void load_setting(struct loading *loading, const config_setting_t *setting,
			 const struct place *place)
{
	const char *name = config_setting_name(setting);
	const struct option *option = option_find_in(place->scope, place->group, name);
	char path[PATH_TEXT], allowed[OPTION_ALLOWED];
	struct place inner = *place;

	snprintf(path, sizeof(path), "%s%s%s", place->path, *place->path ? "." : "", name);
	if (!option) {
		report_unknown(loading, setting, path, place->scope, place->group);
	} else if (option->type == OPTION_LIST) {
		load_list(loading, option, setting, path, place->base);
	} else if (option->type != OPTION_GROUP) {
		load_value(loading, option, setting, path, place->base);
	} else if (config_setting_is_group(setting)) {
		inner.group = option->name;
		inner.path = path;
		load_settings(loading, setting, &inner);
	} else {
		report_value(loading, setting, path, option_allowed(option, allowed));
	}
}

static void load_settings(struct loading *loading, const config_setting_t *settings,
			  const struct place *place)
{
	for (unsigned int i = 0; i < (unsigned int)config_setting_length(settings); i++)
		load_setting(loading, config_setting_get_elem(settings, i), place);
}

/* Members that the file does not name get the general value. */
static void inherit(struct config *config)
{
	for (unsigned int i = 0; i < config->nr_zones; i++) {
		struct config_zone *zone = &config->zones[i];

		if (!zone->has_start)
			zone->start = config->threshold.start;
		if (!zone->has_stop)
			zone->stop = config->threshold.stop;
		if (!zone->has_min_age)
			zone->min_age = config->threshold.min_age;
	}
}

static int load_text(const char *text, struct config *config, struct report *report)
{
	struct loading loading = { .report = report };
	const struct place file = { SCOPE_GENERAL, "", "", &loading.config };
	config_t tree;

	config_init(&tree);
	if (!config_read_string(&tree, text)) {
		report_add(report, (unsigned int)config_error_line(&tree), "%s",
			   config_error_text(&tree) ? config_error_text(&tree) : "syntax error");
	} else {
		config_defaults(&loading.config);
		load_settings(&loading, config_root_setting(&tree), &file);
		check_together(&loading);
	}
	config_destroy(&tree);
	if (report->lost)
		return -ENOMEM;
	if (report->nr)
		return -EINVAL;
	inherit(&loading.config);
	*config = loading.config;
	return 0;
}

int config_load(const char *path, struct config *config, FILE *errors)
{
	struct report report = { 0 };
	char *text = NULL;
	size_t len;
	int ret;

	ret = source_read(path, &text, &len, &report);
	if (!ret && !source_check(text, len, &report))
		ret = -EINVAL;
	if (!ret)
		ret = load_text(text, config, &report);
	report_print(&report, path, errors);
	report_free(&report);
	free(text);
	return ret;
}
