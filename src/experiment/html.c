// SPDX-License-Identifier: GPL-2.0-only
#include "html.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/file.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for what no page may hold */
#define MINUS	    "\xe2\x88\x92"

static const char *entity(unsigned char byte)
{
	switch (byte) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	case '\n':
	case '\t':
		return NULL;
	default:
		return byte < 0x20 || byte == 0x7f ? REPLACEMENT : NULL;
	}
}

void html_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		const char *instead = entity((unsigned char)*text);

		if (instead)
			fputs(instead, out);
		else
			fputc(*text, out);
	}
}

static bool is_minus(const char *text, const char *at)
{
	return *at == '-' && (at == text || !isalnum((unsigned char)at[-1])) &&
	       (isdigit((unsigned char)at[1]) || !strncmp(at + 1, "inf", 3));
}

void html_number(FILE *out, const char *text)
{
	for (const char *c = text; *c; c++) {
		const char one[] = { *c, '\0' };

		if (is_minus(text, c))
			fputs(MINUS, out);
		else
			html_text(out, one);
	}
}

/* --- file ------------------------------------------------------------------------------------- */

static int write_error(const char *path, int code, struct errmsg *err)
{
	char quoted[QUOTED_TEXT];

	return errmsg_set(err, code, "cannot write %s: %s", text_quote(path, quoted),
			  strerror(-code));
}

/* To rename something over a device or a link, as root, would be the end of /dev/stdout. */
static int check_target(const char *path, struct errmsg *err)
{
	char quoted[QUOTED_TEXT];
	struct stat stat;

	if (lstat(path, &stat) < 0)
		return errno == ENOENT ? 0 : write_error(path, -errno, err);
	if (S_ISREG(stat.st_mode))
		return 0;
	return errmsg_set(err, S_ISDIR(stat.st_mode) ? -EISDIR : -EINVAL,
			  "%s is there and no regular file: name a file for the page",
			  text_quote(path, quoted));
}

/* Of a file that any program makes with open(2); mkstemp(3) makes it for its owner alone. */
static int give_mode(int fd)
{
	const mode_t mask = umask(077);

	umask(mask);
	return fchmod(fd, 0666 & ~mask) < 0 ? -errno : 0;
}

static int write_text(int fd, const char *text, size_t size)
{
	const int rc = fd_write_all(fd, text, size);

	if (rc)
		return rc;
	return fsync(fd) < 0 ? -errno : 0;
}

int html_write(const char *path, const char *text, size_t size, struct errmsg *err)
{
	char *beside;
	int rc, fd;

	rc = check_target(path, err);
	if (rc)
		return rc;
	if (asprintf(&beside, "%s.XXXXXX", path) < 0)
		return write_error(path, -ENOMEM, err);
	fd = mkstemp(beside);
	if (fd < 0) {
		rc = write_error(path, -errno, err);
		goto out;
	}
	rc = give_mode(fd);
	if (!rc)
		rc = write_text(fd, text, size);
	if (close(fd) < 0 && !rc)
		rc = -errno;
	if (!rc && rename(beside, path) < 0)
		rc = -errno;
	if (rc) {
		unlink(beside);
		write_error(path, rc, err);
	}
out:
	free(beside);
	return rc;
}
