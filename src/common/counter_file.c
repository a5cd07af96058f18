// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/counter_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sluice/file.h"

#define FILE_BYTES ((size_t)32 * 1024) /* vmstat of 6.18 has 5 KiB, meminfo 2 KiB */

static bool is_meant(const struct counter *counter, const char *name, size_t length)
{
	const size_t wanted = strlen(counter->name);

	return (counter->family ? length >= wanted : length == wanted) &&
	       !memcmp(name, counter->name, wanted);
}

static int take_line(const char *path, const char *line, struct counter *counters, size_t nr,
		     struct errmsg *err)
{
	const size_t length = strcspn(line, ": \t");
	uint64_t value;

	for (size_t i = 0; i < nr; i++) {
		if (!is_meant(&counters[i], line, length))
			continue;
		if (sscanf(line + length + (line[length] == ':'), "%20" SCNu64, &value) != 1)
			return errmsg_set(err, -EINVAL, "/%s: \"%.40s\": no counter", path, line);
		counters[i].value += value;
		counters[i].found++;
	}
	return 0;
}

int counter_file_read(int root, const char *path, struct counter *counters, size_t nr,
		      struct errmsg *err)
{
	char text[FILE_BYTES], *line, *save = NULL;
	int rc;

	for (size_t i = 0; i < nr; i++)
		counters[i].value = counters[i].found = 0;
	rc = file_read(root, path, text, sizeof(text), err);
	if (rc < 0)
		return rc;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		rc = take_line(path, line, counters, nr, err);
		if (rc)
			return rc;
	}
	return 0;
}
