// SPDX-License-Identifier: GPL-2.0-only
/* Values of single options: check and store, print, say what is allowed. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "sluice/file.h"
#include "sluice/units.h"
#include "table.h"

static bool in_range(const struct option *option, uint64_t value)
{
	return (option->or_zero && !value) || (value >= option->min && value <= option->max);
}

static int find_word(const char *const *words, const char *text)
{
	for (int i = 0; words[i]; i++) {
		if (!strcmp(words[i], text))
			return i;
	}
	return -1;
}

/* memcpy, because some of the members are enums. */
static void store_int(const struct option *option, int value, void *base)
{
	memcpy(option_member(option, base), &value, sizeof(value));
}

static int fetch_int(const struct option *option, const void *base)
{
	int value;

	memcpy(&value, option_const_member(option, base), sizeof(value));
	return value;
}

static uint64_t fetch_amount(const struct option *option, const void *base)
{
	return *(const uint64_t *)option_const_member(option, base);
}

/* Remembers that the file names the option, where a member is there for that. */
static bool mark_set(const struct option *option, void *base)
{
	if (option->has_offset)
		*(bool *)((char *)base + option->has_offset) = true;
	return true;
}

static bool set_amount(const struct option *option, uint64_t value, void *base)
{
	if (!in_range(option, value))
		return false;
	*(uint64_t *)option_member(option, base) = value;
	return mark_set(option, base);
}

static bool set_word(const struct option *option, const char *text, void *base)
{
	int word = find_word(option->words, text);

	if (word < 0)
		return false;
	if (option->type == OPTION_NAME)
		snprintf(option_member(option, base), CONFIG_ZONE_NAME, "%s", option->words[word]);
	else
		store_int(option, option->type == OPTION_ORDER ? -1 - word : word, base);
	return mark_set(option, base);
}

static bool below_one_of(const char *const *trees, const char *path)
{
	for (; *trees; trees++) {
		if (!strncmp(path, *trees, strlen(*trees)))
			return true;
	}
	return false;
}

/* Printable, and neither quotes nor backslashes, so that it can be shown as it is written. */
static bool is_plain_text(const char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
			return false;
	}
	return true;
}

static bool is_string_allowed(const struct option *option, const char *text)
{
	switch (option->type) {
	case OPTION_PATH:
		return (option->or_zero && !*text) ||
		       (below_one_of(option->words, text) && path_is_plain(text + 1));
	case OPTION_HEX:
		return parse_hex(text, NULL, option->max) >= 0;
	default:
		return is_plain_text(text);
	}
}

static bool set_string(const struct option *option, const char *text, void *base)
{
	const size_t longest = option->type == OPTION_HEX ? 2 * option->max : option->max;

	if (strlen(text) > longest || !is_string_allowed(option, text))
		return false;
	strncpy(option_member(option, base), text, longest + 1);
	return mark_set(option, base);
}

bool option_set_text(const struct option *option, const char *text, void *base)
{
	uint64_t amount;

	switch (option->type) {
	case OPTION_WORD:
	case OPTION_NAME:
	case OPTION_ORDER:
		return set_word(option, text, base);
	case OPTION_SIZE:
		return !parse_size(text, &amount, NULL) && set_amount(option, amount, base);
	case OPTION_DURATION:
		return !parse_duration(text, &amount, NULL) && set_amount(option, amount, base);
	case OPTION_NUMBER:
		return !parse_number(text, &amount) && set_amount(option, amount, base);
	case OPTION_PATH:
	case OPTION_TEXT:
	case OPTION_HEX:
		return set_string(option, text, base);
	default:
		return false;
	}
}

bool option_set_int(const struct option *option, int64_t value, void *base)
{
	switch (option->type) {
	case OPTION_ORDER:
	case OPTION_INT:
		if (value < 0 || !in_range(option, (uint64_t)value))
			return false;
		store_int(option, (int)value, base);
		return mark_set(option, base);
	case OPTION_NUMBER:
		return value >= 0 && set_amount(option, (uint64_t)value, base);
	case OPTION_SIZE:
	case OPTION_DURATION:
		/* Of what, nobody knows, unless it is nothing. */
		return !value && set_amount(option, 0, base);
	default:
		return false;
	}
}

bool option_set_bool(const struct option *option, bool value, void *base)
{
	if (option->type != OPTION_BOOL)
		return false;
	*(bool *)option_member(option, base) = value;
	return mark_set(option, base);
}

void option_print_text(const struct option *option, const char *text, FILE *out)
{
	bool quoted = option->type != OPTION_BOOL;

	fprintf(out, quoted ? "\"%s\"" : "%s", text);
}

void option_print(const struct option *option, const void *base, FILE *out)
{
	char buf[32];
	int number;

	switch (option->type) {
	case OPTION_BOOL:
		option_print_text(
			option, *(const bool *)option_const_member(option, base) ? "true" : "false",
			out);
		break;
	case OPTION_NAME:
	case OPTION_PATH:
	case OPTION_TEXT:
	case OPTION_HEX:
		option_print_text(option, option_const_member(option, base), out);
		break;
	case OPTION_SIZE:
		option_print_text(option, format_size_exact(fetch_amount(option, base), buf), out);
		break;
	case OPTION_DURATION:
		option_print_text(option, format_duration_exact(fetch_amount(option, base), buf),
				  out);
		break;
	case OPTION_WORD:
		option_print_text(option, option->words[fetch_int(option, base)], out);
		break;
	case OPTION_ORDER:
	case OPTION_INT:
		number = fetch_int(option, base);
		if (number < 0 && option->words)
			option_print_text(option, option->words[-1 - number], out);
		else
			fprintf(out, "%d", number);
		break;
	case OPTION_NUMBER:
		/* in quotes: it may have more digits than the syntax takes without */
		fprintf(out, "\"%" PRIu64 "\"", fetch_amount(option, base));
		break;
	case OPTION_GROUP:
	case OPTION_LIST:
		break;
	}
}

bool option_equal(const struct option *option, const void *a, const void *b)
{
	const void *left = option_const_member(option, a);
	const void *right = option_const_member(option, b);

	switch (option->type) {
	case OPTION_BOOL:
		return *(const bool *)left == *(const bool *)right;
	case OPTION_NAME:
	case OPTION_PATH:
	case OPTION_TEXT:
	case OPTION_HEX:
		return !strcmp(left, right);
	case OPTION_SIZE:
	case OPTION_DURATION:
	case OPTION_NUMBER:
		return fetch_amount(option, a) == fetch_amount(option, b);
	default:
		return fetch_int(option, a) == fetch_int(option, b);
	}
}

__attribute__((format(printf, 2, 3))) static void append(char buf[OPTION_ALLOWED], const char *fmt,
							 ...)
{
	size_t used = strlen(buf);
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf + used, OPTION_ALLOWED - used, fmt, args);
	va_end(args);
}

/* "\"a\", \"b\", \"c\"", with @last before the last one if there are several. */
static void append_words(char buf[OPTION_ALLOWED], const char *const *words, const char *last)
{
	for (int i = 0; words[i]; i++) {
		const char *before = !i ? "" : words[i + 1] ? ", " : last;

		append(buf, "%s\"%s\"", before, words[i]);
	}
}

static void append_range(char buf[OPTION_ALLOWED], const struct option *option,
			 char *(*format)(uint64_t value, char buf[32]))
{
	char min[32], max[32];

	append(buf, ", %sfrom %s to %s", option->or_zero ? "0 or " : "", format(option->min, min),
	       format(option->max, max));
}

char *option_allowed(const struct option *option, char buf[OPTION_ALLOWED])
{
	buf[0] = '\0';
	switch (option->type) {
	case OPTION_GROUP:
		append(buf, "a group: %s = { name = value; ... };", option->name);
		break;
	case OPTION_LIST:
		append(buf, "a list of at most %" PRIu64 " groups: ( { %s ... }, ... )",
		       option->max, option->list->sample);
		break;
	case OPTION_BOOL:
		append(buf, "true or false, without quotes");
		break;
	case OPTION_WORD:
	case OPTION_NAME:
		append(buf, "one of ");
		append_words(buf, option->words, ", ");
		break;
	case OPTION_SIZE:
		append(buf, "a size with a unit (B, KiB, MiB, GiB, TiB)");
		append_range(buf, option, format_size_exact);
		break;
	case OPTION_DURATION:
		append(buf, "a duration with a unit (us, ms, s, min, h, d)");
		append_range(buf, option, format_duration_exact);
		break;
	case OPTION_ORDER:
		append(buf, "a decimal number without quotes from %" PRIu64 " to %" PRIu64 ", ",
		       option->min, option->max);
		append_words(buf, option->words, " or ");
		break;
	case OPTION_INT:
		append(buf, "a decimal number without quotes from %" PRIu64 " to %" PRIu64,
		       option->min, option->max);
		break;
	case OPTION_NUMBER:
		append(buf,
		       "a number from %" PRIu64 " to %" PRIu64
		       ", in quotes if it is hexadecimal (\"0x5401\") or has ten digits or more",
		       option->min, option->max);
		break;
	case OPTION_PATH:
		append(buf, "%sa plain path of at most %" PRIu64 " characters below ",
		       option->or_zero ? "\"\" or " : "", option->max);
		append_words(buf, option->words, " or ");
		break;
	case OPTION_TEXT:
		append(buf,
		       "at most %" PRIu64
		       " printable ASCII characters, no quotes and no backslashes",
		       option->max);
		break;
	case OPTION_HEX:
		append(buf, "pairs of hexadecimal digits, for at most %" PRIu64 " bytes",
		       option->max);
		break;
	}
	return buf;
}
