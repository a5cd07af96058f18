// SPDX-License-Identifier: GPL-2.0-only
/* Documents made from the table: example file, man page section, --help. */
#define _GNU_SOURCE 1 /* strchrnul */
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "table.h"

#define COLUMNS	  80
#define PARAGRAPH 768

__attribute__((format(printf, 2, 3))) static void append(char text[PARAGRAPH], const char *fmt, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + used, PARAGRAPH - used, fmt, args);
	va_end(args);
}

/* Begins a sentence where @at points into a paragraph. */
static void capitalize(char *at)
{
	*at = (char)toupper((unsigned char)*at);
}

/* "Summary. Help." */
static char *meaning(const struct option *option, char text[PARAGRAPH])
{
	text[0] = '\0';
	append(text, "%s.%s%s", option->summary, option->help ? " " : "",
	       option->help ? option->help : "");
	/* page_reporting_delay_ms keeps its spelling */
	if (!strchr(option->summary, '_') || strchr(option->summary, ' '))
		capitalize(text);
	return text;
}

/* The default as the file spells it, or what stands in for it. */
static const char *default_text(const struct option *option, char buf[32])
{
	if (option->type == OPTION_LIST)
		return "()";
	if (!option->fallback)
		return option->required		  ? "required" :
		       option->type == OPTION_INT ? "any" :
						    "general";
	snprintf(buf, 32,
		 option->type == OPTION_BOOL || option_fallback_is_number(option) ? "%s" : "\"%s\"",
		 option->fallback);
	return buf;
}

/* "A size ..., from 0 to 16TiB; default "8MiB". Read at start only." */
static char *constraints(const struct option *option, char text[PARAGRAPH])
{
	char allowed[OPTION_ALLOWED], buf[32];

	text[0] = '\0';
	append(text, "%s", option_allowed(option, allowed));
	capitalize(text);
	if (option->fallback)
		append(text, "; default %s", default_text(option, buf));
	append(text, "%s.", option->required ? "; required" : "");
	if (!option->reloadable)
		append(text, " Read at start only.");
	return text;
}

static int columns(const char *text)
{
	int at = 0;

	for (; *text; text++)
		at += *text == '\t' ? 8 - at % 8 : 1;
	return at;
}

/* Lines of at most COLUMNS columns, each after @prefix. */
static void print_wrapped(FILE *out, const char *prefix, const char *text)
{
	int at = 0;

	while (*text) {
		int len = (int)(strchrnul(text, ' ') - text);

		if (at && at + 1 + len > COLUMNS) {
			fputc('\n', out);
			at = 0;
		}
		fprintf(out, "%s%.*s", at ? " " : prefix, len, text);
		at += len + (at ? 1 : columns(prefix));
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void print_comment(FILE *out, const char *prefix, const struct option *option)
{
	char text[PARAGRAPH];

	print_wrapped(out, prefix, meaning(option, text));
	print_wrapped(out, prefix, constraints(option, text));
}

/* The members of a list, each with its meaning, and those of lists in it. */
static void print_example_members(FILE *out, const struct option *list, const char *prefix)
{
	char deeper[32];

	snprintf(deeper, sizeof(deeper), "%s    ", prefix);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option->scope != list->list->scope)
			continue;
		fprintf(out, "%.*s\n%s%s\n", (int)strcspn(prefix, "#") + 1, prefix, prefix,
			option->name);
		print_comment(out, deeper, option);
		if (option->type == OPTION_LIST)
			print_example_members(out, option, deeper);
	}
}

static void print_example_list(FILE *out, const struct option *list, const char *indent)
{
	char text[PARAGRAPH], prefix[32];

	snprintf(prefix, sizeof(prefix), "%s# ", indent);
	print_wrapped(out, prefix, meaning(list, text));
	print_example_members(out, list, prefix);
	fprintf(out, "%s%s = (\n", indent, option_leaf(list));
	for (const char *const *line = list->list->examples; *line; line++)
		fprintf(out, "%s\t# %s\n", indent, *line);
	fprintf(out, "%s);\n", indent);
}

static void print_example_settings(FILE *out, const char *group, const char *indent);

static void print_example_group(FILE *out, const struct option *group, const char *indent)
{
	char text[PARAGRAPH], prefix[32];

	snprintf(prefix, sizeof(prefix), "%s# ", indent);
	print_wrapped(out, prefix, meaning(group, text));
	fprintf(out, "%s%s = {\n", indent, option_leaf(group));
	snprintf(prefix, sizeof(prefix), "%s\t", indent);
	print_example_settings(out, group->name, prefix);
	fprintf(out, "%s};\n", indent);
}

static void print_example_value(FILE *out, const struct option *option, const char *indent)
{
	char prefix[32], buf[32];

	snprintf(prefix, sizeof(prefix), "%s# ", indent);
	print_comment(out, prefix, option);
	fprintf(out, "%s%s = %s;\n", indent, option_leaf(option), default_text(option, buf));
}

static void print_example_settings(FILE *out, const char *group, const char *indent)
{
	bool first = *group;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (!option_is_at(option, SCOPE_GENERAL, group))
			continue;
		if (!first)
			fputc('\n', out);
		first = false;
		if (option->type == OPTION_GROUP)
			print_example_group(out, option, indent);
		else if (option->type == OPTION_LIST)
			print_example_list(out, option, indent);
		else
			print_example_value(out, option, indent);
	}
}

void config_print_example(FILE *out)
{
	print_wrapped(
		out, "# ",
		"Configuration of sluiced, in the syntax of libconfig. Every option stands here "
		"with its default; what is left out keeps it. \"sluice check\" finds all errors at "
		"once. A reload rereads the file, except for what is read at start only.");
	print_example_settings(out, "", "");
}

/* What scdoc takes for markup is escaped. */
static void print_scdoc_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("\\_*", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void print_scdoc_option(FILE *out, const struct option *option)
{
	char text[PARAGRAPH];

	fputc('*', out);
	print_scdoc_text(out, option->name);
	fputs("*\n\t", out);
	print_scdoc_text(out, meaning(option, text));
	fputs("\n\n\t", out);
	print_scdoc_text(out, constraints(option, text));
	fputs("\n\n", out);
}

/* A group, or the members of a list. */
static void print_scdoc_section(FILE *out, const struct option *section)
{
	const bool is_list = section->type == OPTION_LIST;
	const enum option_scope scope = is_list ? section->list->scope : section->scope;
	char text[PARAGRAPH], prefix[OPTION_PREFIX];

	fprintf(out, "## %s%s\n\n", option_prefix(section->scope, prefix), section->name);
	print_scdoc_text(out, meaning(section, text));
	fputs("\n\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option_is_value(option) &&
		    option_is_at(option, scope, is_list ? "" : section->name))
			print_scdoc_option(out, option);
	}
}

void config_print_scdoc(FILE *out)
{
	fputs("# OPTIONS\n\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (!option_is_value(option))
			print_scdoc_section(out, option);
		else if (option_is_at(option, SCOPE_GENERAL, ""))
			print_scdoc_option(out, option);
	}
}

bool config_print_group(const char *group, FILE *out)
{
	bool found = false;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];
		char text[PARAGRAPH], allowed[OPTION_ALLOWED], buf[32];

		if (option->type == OPTION_GROUP || !option_is_at(option, SCOPE_GENERAL, group))
			continue;
		if (!found)
			fputs("| option | default | meaning | allowed |\n|---|---|---|---|\n", out);
		found = true;
		fprintf(out, "| `%s` | `%s` | %s | %s |\n", option->name, default_text(option, buf),
			meaning(option, text), option_allowed(option, allowed));
	}
	return found;
}

void config_print_help(FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];
		char prefix[OPTION_PREFIX], name[2 * OPTION_PREFIX], buf[32];

		if (option->type == OPTION_GROUP)
			continue;
		snprintf(name, sizeof(name), "%s%s", option_prefix(option->scope, prefix),
			 option->name);
		fprintf(out, "  %-18s  %-12s  %s\n", name, default_text(option, buf),
			option->summary);
	}
}
