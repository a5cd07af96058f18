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

static void load_value(struct loading *loading, const struct option *option,
		       const config_setting_t *setting, const char *path, void *base,
		       struct given *given)
{
	char allowed[OPTION_ALLOWED];

	given[option - option_table] = (struct given){
		.line = line_of(setting),
		.valid = store_value(option, setting, base),
	};
	if (!given[option - option_table].valid)
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

static void load_zone_members(struct loading *loading, const config_setting_t *group,
			      unsigned int index)
{
	struct given *given = loading->zones[index];
	struct config_zone *zone = &loading->config.zones[index];
	char path[PATH_TEXT], allowed[OPTION_ALLOWED];

	for (unsigned int i = 0; i < (unsigned int)config_setting_length(group); i++) {
		const config_setting_t *member = config_setting_get_elem(group, i);
		const struct option *option;

		option = option_find(SCOPE_ZONE, config_setting_name(member));
		snprintf(path, sizeof(path), "zones[%u].%s", index, config_setting_name(member));
		if (option)
			load_value(loading, option, member, path, zone, given);
		else
			report_unknown(loading, member, path, SCOPE_ZONE, "");
	}
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (option_table[i].required && !given[i].line)
			report_add(loading->report, line_of(group), "zones[%u].%s: missing: %s",
				   index, option_table[i].name,
				   option_allowed(&option_table[i], allowed));
	}
}

static void load_zones(struct loading *loading, const struct option *option,
		       const config_setting_t *list)
{
	unsigned int nr = (unsigned int)config_setting_length(list);
	char path[PATH_TEXT], allowed[OPTION_ALLOWED];

	option_allowed(option, allowed);
	if (!config_setting_is_list(list)) {
		report_value(loading, list, option->name, allowed);
		return;
	}
	for (unsigned int i = 0; i < nr; i++) {
		const config_setting_t *element = config_setting_get_elem(list, i);

		snprintf(path, sizeof(path), "%s[%u]", option->name, i);
		if (i == CONFIG_MAX_ZONES) {
			report_value(loading, element, path, allowed);
			break;
		}
		loading->config.zones[i].node = CONFIG_ANY_NODE;
		loading->config.nr_zones = i + 1;
		if (config_setting_is_group(element))
			load_zone_members(loading, element, i);
		else
			report_value(loading, element, path, "a group: { zone = \"Normal\"; ... }");
	}
}

/* @group: "" for the file itself, else the name of the group. */
static void load_group(struct loading *loading, const config_setting_t *settings, const char *group)
{
	char path[PATH_TEXT], allowed[OPTION_ALLOWED];

	for (unsigned int i = 0; i < (unsigned int)config_setting_length(settings); i++) {
		const config_setting_t *setting = config_setting_get_elem(settings, i);
		const struct option *option;

		snprintf(path, sizeof(path), "%s%s%s", group, *group ? "." : "",
			 config_setting_name(setting));
		option = option_find(SCOPE_GENERAL, path);
		if (!option)
			report_unknown(loading, setting, path, SCOPE_GENERAL, group);
		else if (option->type == OPTION_ZONES)
			load_zones(loading, option, setting);
		else if (option->type != OPTION_GROUP)
			load_value(loading, option, setting, path, &loading->config,
				   loading->general);
		else if (config_setting_is_group(setting))
			load_group(loading, setting, option->name);
		else
			report_value(loading, setting, path, option_allowed(option, allowed));
	}
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
	config_t tree;

	config_init(&tree);
	if (!config_read_string(&tree, text)) {
		report_add(report, (unsigned int)config_error_line(&tree), "%s",
			   config_error_text(&tree) ? config_error_text(&tree) : "syntax error");
	} else {
		config_defaults(&loading.config);
		load_group(&loading, config_root_setting(&tree), "");
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
