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
	OPTION_LIST,	 /* list of groups of the options in another scope */
	OPTION_BOOL,	 /* bool */
	OPTION_WORD,	 /* int: index in words */
	OPTION_NAME,	 /* char[CONFIG_ZONE_NAME]: one of words */
	OPTION_PATH,	 /* char[max + 1]: plain and below one of words; or_zero: or "" */
	OPTION_TEXT,	 /* char[max + 1]: printable */
	OPTION_HEX,	 /* char[2 * max + 1]: bytes in hexadecimal digits */
	OPTION_SIZE,	 /* uint64_t, bytes */
	OPTION_DURATION, /* uint64_t, ns */
	OPTION_ORDER,	 /* int: min..max, or one of words as ORDER_PAGEBLOCK, ORDER_HIGHEST, ... */
	OPTION_INT,	 /* int */
	OPTION_NUMBER,	 /* uint64_t; in quotes it may be hexadecimal, and long */
};

enum option_scope {
	SCOPE_GENERAL, /* offsets in struct config */
	SCOPE_ZONE,    /* offsets in struct config_zone */
	SCOPE_EXTRA,   /* offsets in struct config_extra */
	SCOPE_RUNG,    /* offsets in struct config_rung */
};

/* Of an OPTION_LIST: an array of @size bytes per element at the option's offset. */
struct option_list {
	enum option_scope scope; /* of the members */
	size_t size;
	size_t nr_offset;   /* of the unsigned int with the number of elements */
	const void *blank;  /* an element before the file names a member; NULL: all zeroes */
	const char *sample; /* begins an element, in messages: "zone = \"Normal\";" */
	const char *const *examples; /* whole elements, for documents; ends with NULL */
};

struct option {
	/* "mode", "threshold.start"; in another scope than SCOPE_GENERAL "start" */
	const char *name;
	enum option_scope scope;
	enum option_type type;
	size_t offset;
	size_t has_offset; /* of the bool that tells whether the file names it; 0: none */
	uint64_t min, max; /* inclusive; bytes, ns, plain numbers, elements */
	bool or_zero;	   /* 0 is allowed besides min..max */
	bool required;
	bool reloadable;
	const char *const *words; /* ends with NULL */
	const char *fallback;	  /* default as parse_*() and the words spell it; NULL: none */
	const char *summary;	  /* at most OPTION_SUMMARY characters, no full stop */
	const char *help;	  /* further sentences, or NULL */
	const struct option_list *list;
};

#define OPTION_SUMMARY 44 /* --help stays within 80 columns */
#define OPTION_COUNT   97
extern const struct option option_table[OPTION_COUNT];

/* Row for @name, or NULL. */
const struct option *option_find(enum option_scope scope, const char *name);

/* Row for the list whose members are in @scope; NULL for SCOPE_GENERAL. */
const struct option *option_list_of(enum option_scope scope);
/* Row for @leaf in @group, or NULL. */
const struct option *option_find_in(enum option_scope scope, const char *group, const char *leaf);

/*
 * What precedes the name of an option in @scope in documents: "zones[]."; returns @buf.
 */
#define OPTION_PREFIX 64
char *option_prefix(enum option_scope scope, char buf[OPTION_PREFIX]);

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
#define OPTION_ALLOWED 192
char *option_allowed(const struct option *option, char buf[OPTION_ALLOWED]);

/* Elements of a list in @base: how many, and each of them. */
unsigned int option_nr(const struct option *list, const void *base);
void *option_element(const struct option *list, void *base, unsigned int index);
const void *option_const_element(const struct option *list, const void *base, unsigned int index);
/* Appends a blank element; there must be room. Returns it. */
void *option_append(const struct option *list, void *base);
/* Whether the file names a member of @element: what it does not name is not printed. */
bool option_is_named(const struct option *list, const struct option *member, const void *element);

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
