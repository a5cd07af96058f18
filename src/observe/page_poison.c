// SPDX-License-Identifier: GPL-2.0-only
#include "page_poison.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "sluice/file.h"

/* Whether the last page_poison= switches it on (kstrtobool(), lib/kstrtox.c). */
static bool is_asked_for(int root)
{
	static const char name[] = "page_poison=";
	char text[4096], *word, *save = NULL;
	bool on = false;

	if (file_read(root, "proc/cmdline", text, sizeof(text), NULL) < 0)
		return false;
	for (word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		const char *value = word + sizeof(name) - 1;

		if (!strncmp(word, name, sizeof(name) - 1))
			on = strchr("1yYtT", *value) ? *value != '\0' :
						       !strncasecmp(value, "on", 2);
	}
	return on;
}

/* "ffffffffbb926ba0 T __kernel_poison_pages", mm/page_poison.c; until 5.10 without "__". */
static bool poisons(const char *line)
{
	const char *name = strrchr(line, ' ');

	return name && (!strcmp(name + 1, "__kernel_poison_pages\n") ||
			!strcmp(name + 1, "kernel_poison_pages\n"));
}

static bool find_symbol(FILE *symbols)
{
	bool found = false, empty = true;
	char *line = NULL;
	size_t size = 0;

	while (!found && getline(&line, &size, symbols) > 0) {
		empty = false;
		found = poisons(line);
	}
	free(line);
	return found || empty || ferror(symbols);
}

bool page_poison_is_on(int root)
{
	FILE *symbols = NULL;
	bool on;
	int fd;

	if (!is_asked_for(root))
		return false;
	fd = openat(root, "proc/kallsyms", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		symbols = fdopen(fd, "r");
	if (!symbols) {
		if (fd >= 0)
			close(fd);
		return true;
	}
	on = find_symbol(symbols);
	fclose(symbols);
	return on;
}
