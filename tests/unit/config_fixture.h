/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configurations as texts: loads them from a file of our own, and compares all errors.
 * Include after <cmocka.h>; set_up() and tear_down() are for the group of tests.
 */
#ifndef SLUICE_TESTS_CONFIG_FIXTURE_H
#define SLUICE_TESTS_CONFIG_FIXTURE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/config.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static char file_path[] = "/tmp/sluice-config-XXXXXX";

/* Contents of a file, for the caller to free. */
static inline char *slurp(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 65536);

	if (!file || !text)
		fail_msg("cannot read %s", path);
	text[fread(text, 1, 65535, file)] = '\0';
	fclose(file);
	return text;
}

/* Loads @path; *errors is for the caller to free, without the path at the line starts. */
static inline int load_path(const char *path, struct config *config, char **errors)
{
	size_t size, len = strlen(path);
	char *raw, *to;
	FILE *out = open_memstream(&raw, &size);
	int ret = config_load(path, config, out);

	fclose(out);
	*errors = to = calloc(1, size + 1);
	for (char *line = raw, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_true(!strncmp(line, path, len) && line[len] == ':');
		to = stpncpy(to, line + len + 1, (size_t)(end - line) - len);
	}
	free(raw);
	return ret;
}

static inline void put(const void *text, size_t len)
{
	FILE *file = fopen(file_path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static inline int load_text(const char *text, struct config *config, char **errors)
{
	put(text, strlen(text));
	return load_path(file_path, config, errors);
}

/* @expected: all of the errors without their last line end; NULL: the text is right. */
static inline void check_text(const char *text, const char *expected)
{
	struct config config, before;
	char *errors;
	int ret;

	memset(&config, 0xa5, sizeof(config));
	before = config;
	ret = load_text(text, &config, &errors);
	if (*errors)
		errors[strlen(errors) - 1] = '\0';
	if (strcmp(errors, expected ? expected : "") != 0)
		fail_msg("%s\n  expected: %s\n  found:    %s", text, expected, errors);
	assert_int_equal(ret, expected ? -EINVAL : 0);
	if (ret)
		assert_memory_equal(&config, &before, sizeof(config));
	free(errors);
}

struct row {
	const char *text;
	const char *errors;
};

static inline void check_rows(const struct row *rows, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		check_text(rows[i].text, rows[i].errors);
}

static inline int set_up(void **state)
{
	int fd = mkstemp(file_path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static inline int tear_down(void **state)
{
	(void)state;
	return unlink(file_path);
}

#endif
