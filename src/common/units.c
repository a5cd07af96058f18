// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sluice/units.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* What a number with a unit measures: its units, ascending, and how messages call them. */
struct scale {
	const struct unit *units;
	size_t nr_units;
	const char *names;
	const char *base; /* "bytes" */
};

#define TIB		(1024ULL * GIB)
#define NSEC_PER_MIN	(60ULL * NSEC_PER_SEC)
#define NSEC_PER_HOUR	(60ULL * NSEC_PER_MIN)
#define NSEC_PER_DAY	(24ULL * NSEC_PER_HOUR)
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define FRACTION_DIGITS 9
#define DIGITS		"0123456789"

static const struct unit size_units[] = {
	{ "B", 1 }, { "KiB", KIB }, { "MiB", MIB }, { "GiB", GIB }, { "TiB", TIB },
};

/* Nanoseconds are displayed only: no kernel interface that sluice uses counts in them. */
static const struct unit duration_units[] = {
	{ "ns", 1 },	       { "us", NSEC_PER_USEC }, { "ms", NSEC_PER_MSEC },
	{ "s", NSEC_PER_SEC }, { "min", NSEC_PER_MIN }, { "h", NSEC_PER_HOUR },
	{ "d", NSEC_PER_DAY },
};

static const struct scale size_scale = {
	size_units,
	ARRAY_SIZE(size_units),
	"B, KiB, MiB, GiB, TiB",
	"bytes",
};

static const struct scale duration_scale = {
	duration_units + 1,
	ARRAY_SIZE(duration_units) - 1,
	"us, ms, s, min, h, d",
	"nanoseconds",
};

/* Reads @len digits; false if the number does not fit. */
static bool read_digits(const char *digits, size_t len, uint64_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(digits[i] - '0'), &value))
			return false;
	}
	*ret = value;
	return true;
}

/* Value of a hexadecimal digit, or -1. */
static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int parse_hex_number(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		const int digit = hex_digit(*text);

		if (digit < 0)
			return -EINVAL;
		if (value >> 60)
			return -ERANGE;
		value = value << 4 | (uint64_t)digit;
	}
	*ret = value;
	return 0;
}

int parse_number(const char *text, uint64_t *ret)
{
	if (text[0] == '0' && text[1] == 'x')
		return parse_hex_number(text + 2, ret);
	if (!*text || strspn(text, DIGITS) != strlen(text))
		return -EINVAL;
	return read_digits(text, strlen(text), ret) ? 0 : -ERANGE;
}

int parse_hex(const char *text, uint8_t *ret, size_t size)
{
	size_t nr = 0;

	for (; *text; text += 2, nr++) {
		const int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0)
			return -EINVAL;
		if (nr == size)
			return -ERANGE;
		if (ret)
			ret[nr] = (uint8_t)(high << 4 | low);
	}
	return (int)nr;
}

/* "an integer" or "an integer from 0 to 15", for messages */
static const char *int_expected(int64_t min, int64_t max, char buf[64])
{
	if (min == INT64_MIN && max == INT64_MAX)
		snprintf(buf, 64, "a decimal integer");
	else
		snprintf(buf, 64, "an integer from %" PRId64 " to %" PRId64, min, max);
	return buf;
}

int parse_int(const char *text, int64_t min, int64_t max, int64_t *ret, struct errmsg *err)
{
	bool negative = text[0] == '-';
	const char *digits = text + negative;
	size_t len = strspn(digits, DIGITS);
	char quoted[QUOTED_TEXT], trailing[QUOTED_TEXT], expected[64];
	uint64_t magnitude;
	int64_t value;

	text_quote(text, quoted);
	int_expected(min, max, expected);
	if (!len)
		return errmsg_set(err, -EINVAL, "%s: not a number; %s is expected", quoted,
				  expected);
	if (digits[len])
		return errmsg_set(err, -EINVAL, "%s: trailing %s; %s is expected", quoted,
				  text_quote(digits + len, trailing), expected);
	if (!read_digits(digits, len, &magnitude) ||
	    magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return errmsg_set(err, -ERANGE, "%s: out of range; %s is expected", quoted,
				  expected);
	/* Two's complement of the magnitude, for INT64_MIN has no positive counterpart. */
	value = (int64_t)(negative ? 0 - magnitude : magnitude);
	if (value < min || value > max)
		return errmsg_set(err, -ERANGE, "%s: out of range; %s is expected", quoted,
				  expected);
	*ret = value;
	return 0;
}

static const struct unit *find_unit(const struct scale *scale, const char *name)
{
	for (size_t i = 0; i < scale->nr_units; i++) {
		if (!strcmp(scale->units[i].name, name))
			return &scale->units[i];
	}
	return NULL;
}

/*
 * @factor times the fraction 0.@digits, exactly. With p = 10^@len the product
 * factor * digits / p is split into (factor / p) * digits + (factor % p) * digits / p:
 * the first is below @factor, the second's numerator below 10^18, so neither
 * overflows. Returns false if the result is not whole.
 */
static bool scale_fraction(uint64_t factor, const char *digits, size_t len, uint64_t *ret)
{
	uint64_t fraction = 0;
	uint64_t power = 1;
	uint64_t rest;

	read_digits(digits, len, &fraction);
	for (size_t i = 0; i < len; i++)
		power *= 10;
	rest = factor % power * fraction;
	*ret = factor / power * fraction + rest / power;
	return rest % power == 0;
}

static int parse_scaled(const char *text, const struct scale *scale, uint64_t *ret,
			struct errmsg *err)
{
	size_t whole_len = strspn(text, DIGITS);
	const char *fraction = text + whole_len;
	char quoted[QUOTED_TEXT], name[QUOTED_TEXT];
	size_t fraction_len = 0;
	const struct unit *unit;
	const char *suffix = fraction;
	uint64_t whole, part;

	text_quote(text, quoted);
	if (*fraction == '.') {
		fraction++;
		fraction_len = strspn(fraction, DIGITS);
		suffix = fraction + fraction_len;
	}
	if (!whole_len || (suffix != text + whole_len && !fraction_len))
		return errmsg_set(err, -EINVAL, "%s: not a number with a unit (%s)", quoted,
				  scale->names);
	if (!strcmp(text, "0")) {
		*ret = 0;
		return 0;
	}
	if (!*suffix)
		return errmsg_set(err, -EINVAL, "%s: no unit; add one of %s", quoted, scale->names);
	unit = find_unit(scale, suffix);
	if (!unit)
		return errmsg_set(err, -EINVAL, "%s: unknown unit %s; the units are %s", quoted,
				  text_quote(suffix, name), scale->names);
	if (fraction_len > FRACTION_DIGITS)
		return errmsg_set(err, -EINVAL, "%s: more than %d digits after the point", quoted,
				  FRACTION_DIGITS);
	if (!scale_fraction(unit->factor, fraction, fraction_len, &part))
		return errmsg_set(err, -EINVAL, "%s: not a whole number of %s", quoted,
				  scale->base);
	if (!read_digits(text, whole_len, &whole) ||
	    __builtin_mul_overflow(whole, unit->factor, &whole) ||
	    __builtin_add_overflow(whole, part, &whole))
		return errmsg_set(err, -ERANGE, "%s: more than 2^64 %s", quoted, scale->base);
	*ret = whole;
	return 0;
}

int parse_size(const char *text, uint64_t *bytes, struct errmsg *err)
{
	return parse_scaled(text, &size_scale, bytes, err);
}

int parse_duration(const char *text, uint64_t *ns, struct errmsg *err)
{
	return parse_scaled(text, &duration_scale, ns, err);
}

/*
 * Up to one digit after the point, rounded half up; none from 10000 on, which
 * keeps the text within 12 characters ("16777216 TiB").
 */
static bool print_rounded(uint64_t value, const struct unit *unit, uint64_t limit,
			  char buf[UNITS_TEXT])
{
	uint64_t whole = value / unit->factor;
	uint64_t rest = value % unit->factor;
	/* rest < factor <= 8.64e13 (a day), so rest * 10 fits */
	uint64_t tenths = (rest * 10 + unit->factor / 2) / unit->factor;

	if (whole >= 10000) {
		tenths = 0;
		whole += rest >= unit->factor - rest;
	} else if (tenths == 10) {
		tenths = 0;
		whole++;
	}
	if (limit && whole >= limit)
		return false;
	if (tenths)
		snprintf(buf, UNITS_TEXT, "%" PRIu64 ".%u %s", whole, (unsigned int)tenths,
			 unit->name);
	else
		snprintf(buf, UNITS_TEXT, "%" PRIu64 " %s", whole, unit->name);
	return true;
}

/* In the smallest unit in which the rounded value stays below one of the next unit. */
static char *format_scaled(uint64_t value, const struct unit *units, size_t nr_units,
			   char buf[UNITS_TEXT])
{
	size_t i = 0;

	while (i + 1 < nr_units &&
	       !print_rounded(value, &units[i], units[i + 1].factor / units[i].factor, buf))
		i++;
	if (i + 1 == nr_units)
		print_rounded(value, &units[i], 0, buf);
	return buf;
}

char *format_size(uint64_t bytes, char buf[UNITS_TEXT])
{
	return format_scaled(bytes, size_units, ARRAY_SIZE(size_units), buf);
}

char *format_duration(uint64_t ns, char buf[UNITS_TEXT])
{
	if (!ns) {
		snprintf(buf, UNITS_TEXT, "0 s");
		return buf;
	}
	return format_scaled(ns, duration_units, ARRAY_SIZE(duration_units), buf);
}

static char *format_exact(uint64_t value, const struct scale *scale, char buf[32])
{
	size_t i = scale->nr_units;

	if (!value) {
		snprintf(buf, 32, "0");
		return buf;
	}
	while (--i > 0) {
		if (value % scale->units[i].factor == 0)
			break;
	}
	snprintf(buf, 32, "%" PRIu64 "%s", value / scale->units[i].factor, scale->units[i].name);
	return buf;
}

char *format_size_exact(uint64_t bytes, char buf[32])
{
	return format_exact(bytes, &size_scale, buf);
}

char *format_duration_exact(uint64_t ns, char buf[32])
{
	const unsigned int odd = (unsigned int)(ns % NSEC_PER_USEC);

	if (!odd)
		return format_exact(ns, &duration_scale, buf);
	snprintf(buf, 32, "%" PRIu64 ".%03uus", (uint64_t)(ns / NSEC_PER_USEC), odd);
	return buf;
}
