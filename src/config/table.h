/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of the configuration module: the table of options, and what turns its
 * rows into values and texts. Only load.c knows libconfig.
 */
#ifndef SLUICE_CONFIG_TABLE_H
#define SLUICE_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sluice/config.h"

enum option_type {
	OPTION_GROUP,	 /* holds the options named "group.option" */
	OPTION_ZONES,	 /* list of groups of the options in SCOPE_ZONE */
	OPTION_BOOL,	 /* bool */
	OPTION_WORD,	 /* int: index in words */
	OPTION_NAME,	 /* char[CONFIG_ZONE_NAME]: one of words */
	OPTION_SIZE,	 /* uint64_t, bytes */
	OPTION_DURATION, /* uint64_t, ns */
	OPTION_ORDER,	 /* int: min..max, or one of words as ORDER_PAGEBLOCK, ORDER_HIGHEST, ... */
	OPTION_INT,	 /* int */
};

enum option_scope {
	SCOPE_GENERAL, /* offsets in struct config */
	SCOPE_ZONE,    /* offsets in struct config_zone */
};

struct option {
	const char *name; /* "mode", "threshold.start"; "start" in SCOPE_ZONE */
	enum option_scope scope;
	enum option_type type;
	size_t offset;
	size_t has_offset; /* of the bool that tells whether the file names it; 0: none */
	uint64_t min, max; /* inclusive; bytes, ns, plain numbers */
	bool or_zero;	   /* 0 is allowed besides min..max */
	bool required;
	bool reloadable;
	const char *const *words; /* ends with NULL */
	const char *fallback;	  /* default as parse_*() and the words spell it; NULL: none */
	const char *summary;	  /* at most OPTION_SUMMARY characters, no full stop */
	const char *help;	  /* further sentences, or NULL */
};

#define OPTION_SUMMARY 44 /* --help stays within 80 columns */
#define OPTION_COUNT   81
extern const struct option option_table[OPTION_COUNT];

/* Row for @name, or NULL. */
const struct option *option_find(enum option_scope scope, const char *name);

/* Whether the option stands in @group ("": in none): "threshold.start" does in "threshold". */
bool option_is_at(const struct option *option, enum option_scope scope, const char *group);
/* Name inside its group: "start". */
const char *option_leaf(const struct option *option);
/* Whether the default is written without quotes in the file. */
bool option_fallback_is_number(const struct option *option);
/* Neither a group nor a list. */
bool option_is_value(const struct option *option);

/*
 * Store a value if it is allowed; @base is the struct that the offsets belong
 * to. They return false, and leave @base as it is, if it is not.
 */
bool option_set_text(const struct option *option, const char *text, void *base);
bool option_set_int(const struct option *option, int64_t value, void *base);
bool option_set_bool(const struct option *option, bool value, void *base);

/* The value in @base, or @text, as it is written in the file: "32MiB" with quotes, 9, true. */
void option_print(const struct option *option, const void *base, FILE *out);
void option_print_text(const struct option *option, const char *text, FILE *out);
bool option_equal(const struct option *option, const void *a, const void *b);

/* What is allowed, for messages and documents; returns @buf. */
#define OPTION_ALLOWED 160
char *option_allowed(const struct option *option, char buf[OPTION_ALLOWED]);

/* Member of @base at the option's offset. */
static inline void *option_member(const struct option *option, void *base)
{
	return (char *)base + option->offset;
}

static inline const void *option_const_member(const struct option *option, const void *base)
{
	return (const char *)base + option->offset;
}

#endif
