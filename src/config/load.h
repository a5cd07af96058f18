/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What config_load() is made of: source.c and syntax.c read the text and refuse
 * what libconfig must not see, load.c walks the settings, check.c looks at
 * values together, report.c keeps the errors until all are known.
 */
#ifndef SLUICE_CONFIG_LOAD_H
#define SLUICE_CONFIG_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "table.h"

struct report_entry {
	unsigned int line;
	size_t nr; /* keeps entries of one line in order */
	char *text;
};

struct report {
	struct report_entry *entries;
	size_t nr, room;
	bool lost; /* no memory for an entry */
};

/* Line 0 stands for the file as a whole. */
void report_add(struct report *report, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "file:line: text" in line order. */
void report_print(struct report *report, const char *file, FILE *out);
void report_free(struct report *report);

/*
 * Text of the file, ending in a newline, for the caller to free; -errno with the
 * reason in @report.
 */
int source_read(const char *path, char **ret, size_t *ret_len, struct report *report);
/* Whether libconfig may have the text; if not, @report says why. */
bool source_check(const char *text, size_t len, struct report *report);

/* The same for tokens and brackets; @text ends in a newline and holds no NUL byte. */
bool syntax_check(const char *text, struct report *report);

/* Known name nearest to @name in a scope and group ("": none); NULL if none is near. */
const char *suggest_name(enum option_scope scope, const char *group, const char *name);

#define MAX_SETTINGS 1024 /* the options make 500; looking for duplicates is quadratic */

/* Where the file sets an option; line 0: nowhere. */
struct given {
	const void *member; /* of the configuration */
	unsigned int line;
	bool valid;
};

struct loading {
	struct config config;
	struct report *report;
	struct given given[MAX_SETTINGS];
	size_t nr_given;
};

/* Where the file sets @option of @base, which is in loading->config. */
struct given given_in(const struct loading *loading, const struct option *option, const void *base);
/* The same for an option in SCOPE_GENERAL. */
struct given given_general(const struct loading *loading, const char *name);

/* Values that are right by themselves but not together. */
void check_together(struct loading *loading);
/* The part of it for group actuators. */
void check_actuators(struct loading *loading);

#endif
