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
	if (option->type == OPTION_ZONES)
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

static void print_example_group(FILE *out, const struct option *group)
{
	char text[PARAGRAPH], buf[32];
	bool first = true;

	print_wrapped(out, "# ", meaning(group, text));
	fprintf(out, "%s = {\n", group->name);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (!option_is_at(option, SCOPE_GENERAL, group->name))
			continue;
		if (!first)
			fputc('\n', out);
		first = false;
		print_comment(out, "\t# ", option);
		fprintf(out, "\t%s = %s;\n", option_leaf(option), default_text(option, buf));
	}
	fputs("};\n", out);
}

static void print_example_zones(FILE *out, const struct option *zones)
{
	char text[PARAGRAPH];

	print_wrapped(out, "# ", meaning(zones, text));
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option->scope != SCOPE_ZONE)
			continue;
		fprintf(out, "#\n# %s\n", option->name);
		print_comment(out, "#     ", option);
	}
	fprintf(out, "%s = (\n", zones->name);
	fputs("\t# { zone = \"DMA32\"; ignore = true; },\n"
	      "\t# { zone = \"Normal\"; node = 1; start = \"128MiB\"; min_age = \"5s\"; }\n"
	      ");\n",
	      out);
}

void config_print_example(FILE *out)
{
	char buf[32];

	print_wrapped(
		out, "# ",
		"Configuration of sluiced, in the syntax of libconfig. Every option stands here "
		"with its default; what is left out keeps it. \"sluice check\" finds all errors at "
		"once. A reload rereads the file, except for what is read at start only.");
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (!option_is_at(option, SCOPE_GENERAL, ""))
			continue;
		fputc('\n', out);
		if (option->type == OPTION_GROUP) {
			print_example_group(out, option);
		} else if (option->type == OPTION_ZONES) {
			print_example_zones(out, option);
		} else {
			print_comment(out, "# ", option);
			fprintf(out, "%s = %s;\n", option->name, default_text(option, buf));
		}
	}
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

static void print_scdoc_section(FILE *out, const struct option *section)
{
	char text[PARAGRAPH];
	bool is_list = section->type == OPTION_ZONES;

	fprintf(out, "## %s\n\n", section->name);
	print_scdoc_text(out, meaning(section, text));
	fputs("\n\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (option_is_at(&option_table[i], is_list ? SCOPE_ZONE : SCOPE_GENERAL,
				 is_list ? "" : section->name))
			print_scdoc_option(out, &option_table[i]);
	}
}

void config_print_scdoc(FILE *out)
{
	fputs("# OPTIONS\n\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (!option_is_at(option, SCOPE_GENERAL, ""))
			continue;
		if (option_is_value(option))
			print_scdoc_option(out, option);
		else
			print_scdoc_section(out, option);
	}
}

bool config_print_group(const char *group, FILE *out)
{
	bool found = false;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];
		char text[PARAGRAPH], allowed[OPTION_ALLOWED], buf[32];

		if (!option_is_at(option, SCOPE_GENERAL, group))
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
		char name[32], buf[32];

		if (option->type == OPTION_GROUP)
			continue;
		snprintf(name, sizeof(name), "%s%s", option->scope == SCOPE_ZONE ? "zones[]." : "",
			 option->name);
		fprintf(out, "  %-18s  %-12s  %s\n", name, default_text(option, buf),
			option->summary);
	}
}
