// SPDX-License-Identifier: GPL-2.0-only
/* Text of a configuration file: reading it, and refusing what libconfig must not see. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"
#include "sluice/file.h"

static int open_regular(const char *path, struct report *report)
{
	/* Neither a FIFO without writer nor a modem line may block the daemon. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int ret;

	if (fd < 0 || fstat(fd, &st) < 0) {
		ret = -errno;
		report_add(report, 0, "cannot read the file: %s", strerror(-ret));
		if (fd >= 0)
			close(fd);
		return ret;
	}
	if (!S_ISREG(st.st_mode)) {
		ret = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
		report_add(report, 0, "%s; a regular file is expected",
			   S_ISDIR(st.st_mode) ? "is a directory" : "is a pipe, socket or device");
		close(fd);
		return ret;
	}
	return fd;
}

int source_read(const char *path, char **ret, size_t *ret_len, struct report *report)
{
	char *text, *grown;
	int fd, len;

	fd = open_regular(path, report);
	if (fd < 0)
		return fd;
	len = fd_read_alloc(fd, (size_t)CONFIG_MAX_BYTES, &text);
	close(fd);
	if (len == -EFBIG)
		report_add(report, 0, "longer than %d bytes, which is the limit", CONFIG_MAX_BYTES);
	else if (len < 0)
		report_add(report, 0, "cannot read the file: %s", strerror(-len));
	if (len < 0)
		return len;
	/* libconfig takes a comment in a last line without end for a syntax error. */
	grown = realloc(text, (size_t)len + 2);
	if (!grown) {
		report_add(report, 0, "cannot read the file: %s", strerror(ENOMEM));
		free(text);
		return -ENOMEM;
	}
	memcpy(grown + len, "\n", 2);
	*ret = grown;
	*ret_len = (size_t)len + 1;
	return 0;
}

static unsigned int line_of(const char *text, const char *at)
{
	unsigned int line = 1;

	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

static bool check_bytes(const char *text, size_t len, struct report *report)
{
	const char *nul = memchr(text, '\0', len);

	if (nul)
		report_add(report, line_of(text, nul), "NUL byte; a text file is expected");
	return !nul;
}

/* libconfig's pattern is ^[ \t]*@include; a comment that looks like it is refused too. */
static bool check_includes(const char *text, struct report *report)
{
	unsigned int line = 1;
	bool ok = true;

	while (text) {
		const char *first = text + strspn(text, " \t");

		if (!strncmp(first, "@include", strlen("@include"))) {
			report_add(report, line,
				   "@include: not allowed; write every option into this file");
			ok = false;
		}
		text = strchr(first, '\n');
		if (text)
			text++;
		line++;
	}
	return ok;
}

bool source_check(const char *text, size_t len, struct report *report)
{
	return check_bytes(text, len, report) && check_includes(text, report) &&
	       syntax_check(text, report);
}
