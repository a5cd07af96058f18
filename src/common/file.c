// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE 1 /* O_PATH */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/file.h"
#include "sluice/units.h"

/* What the administrator can do about a failed open, as the end of a message. */
static const char *remedy(int error)
{
	switch (error) {
	case ENOENT:
		return " (not in this kernel, or its file system is not mounted)";
	case EACCES:
	case EPERM:
		return " (needs root)";
	case EROFS:
		return " (mounted read-only)";
	default:
		return "";
	}
}

int root_open(const char *dir, struct errmsg *err)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		int error = errno;

		return errmsg_set(err, -error, "%s: cannot open the root directory: %s", dir,
				  strerror(error));
	}
	return fd;
}

/* An absolute path would silently leave the root. */
static void assert_relative(const char *path)
{
	assert(path[0] != '\0' && path[0] != '/');
	(void)path;
}

static int open_below(int root, const char *path, int flags, struct errmsg *err)
{
	int fd;

	assert_relative(path);
	fd = openat(root, path, flags | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		int error = errno;

		return errmsg_set(err, -error, "/%s: cannot open for %s: %s%s", path,
				  flags & O_WRONLY ? "writing" : "reading", strerror(error),
				  remedy(error));
	}
	return fd;
}

bool path_is_plain(const char *path)
{
	const char *component = path;

	for (const char *c = path;; c++) {
		const size_t len = (size_t)(c - component);

		if (*c == '/' || *c == '\0') {
			if (len == 0 || (len <= 2 && !strncmp(component, "..", len)))
				return false;
			if (*c == '\0')
				return true;
			component = c + 1;
		} else if (*c <= ' ' || *c >= 0x7f) {
			return false;
		}
	}
}

bool file_exists(int root, const char *path)
{
	assert_relative(path);
	return faccessat(root, path, F_OK, 0) == 0;
}

ssize_t fd_read(int fd, char *buf, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, buf + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

/* Whether nothing follows: 0, -EFBIG or another -errno. */
static int read_end(int fd)
{
	char extra;
	ssize_t n = fd_read(fd, &extra, 1);

	if (n < 0)
		return (int)n;
	return n ? -EFBIG : 0;
}

/* The message for a failed read of at most @limit bytes. */
static int read_error(const char *path, int code, size_t limit, struct errmsg *err)
{
	if (code == -EFBIG)
		return errmsg_set(err, code,
				  "/%s: longer than %zu bytes, which is all that is read", path,
				  limit);
	return errmsg_set(err, code, "/%s: cannot read: %s", path, strerror(-code));
}

static int check_text(const char *path, const char *text, size_t len, struct errmsg *err)
{
	const char *nul = memchr(text, '\0', len);

	if (nul)
		return errmsg_set(err, -EINVAL, "/%s: NUL byte at offset %zu; text is expected",
				  path, (size_t)(nul - text));
	return 0;
}

int file_read(int root, const char *path, char *buf, size_t size, struct errmsg *err)
{
	ssize_t len;
	int ret;
	int fd;

	assert(size > 0 && size <= INT_MAX);
	fd = open_below(root, path, O_RDONLY, err);
	if (fd < 0)
		return fd;
	len = fd_read(fd, buf, size - 1);
	ret = len < 0 ? (int)len : read_end(fd);
	close(fd);
	if (ret < 0)
		return read_error(path, ret, size - 1, err);
	buf[len] = '\0';
	ret = check_text(path, buf, (size_t)len, err);
	return ret < 0 ? ret : (int)len;
}

int fd_read_alloc(int fd, size_t limit, char **ret)
{
	size_t size = 0; /* bytes that fit, the terminating one aside */
	size_t len = 0;
	char *text = NULL;
	int code;

	assert(limit < INT_MAX);
	/* st_size says 0 in /proc and 4096 in /sys, so the buffer grows by what comes. */
	while (len == size && size < limit) {
		ssize_t n;
		char *grown;

		size = size ? size * 2 : 4096;
		if (size > limit)
			size = limit;
		grown = realloc(text, size + 1);
		if (!grown) {
			free(text);
			return -ENOMEM;
		}
		text = grown;
		n = fd_read(fd, text + len, size - len);
		if (n < 0) {
			free(text);
			return (int)n;
		}
		len += (size_t)n;
	}
	code = len == size ? read_end(fd) : 0;
	if (!code && !text) {
		text = malloc(1);
		code = text ? 0 : -ENOMEM;
	}
	if (code) {
		free(text);
		return code;
	}
	text[len] = '\0';
	*ret = text;
	return (int)len;
}

int file_read_line(int root, const char *path, char *buf, size_t size, struct errmsg *err)
{
	char quoted[QUOTED_TEXT];
	int len;

	len = file_read(root, path, buf, size, err);
	if (len < 0)
		return len;
	if (!len || strchr(buf, '\n') != buf + len - 1)
		return errmsg_set(err, -EINVAL, "/%s: %s is not one whole line", path,
				  text_quote(buf, quoted));
	buf[len - 1] = '\0';
	return 0;
}

int file_read_alloc(int root, const char *path, size_t limit, char **ret, struct errmsg *err)
{
	char *text;
	int len;
	int fd;
	int code;

	fd = open_below(root, path, O_RDONLY, err);
	if (fd < 0)
		return fd;
	len = fd_read_alloc(fd, limit, &text);
	close(fd);
	if (len < 0)
		return read_error(path, len, limit, err);
	code = check_text(path, text, (size_t)len, err);
	if (code < 0) {
		free(text);
		return code;
	}
	*ret = text;
	return len;
}

int file_read_int(int root, const char *path, int64_t *ret, struct errmsg *err)
{
	static const char blanks[] = " \t\n";
	char buf[64];
	char *start;
	int len;
	int code;

	len = file_read(root, path, buf, sizeof(buf), err);
	if (len < 0)
		return len;
	start = buf + strspn(buf, blanks);
	while (len > start - buf && strchr(blanks, buf[len - 1]))
		len--;
	buf[len] = '\0';
	code = parse_int(start, INT64_MIN, INT64_MAX, ret, err);
	if (code < 0)
		return errmsg_prefix(err, code, "/%s", path);
	return 0;
}

int fd_write_all(int fd, const char *text, size_t size)
{
	while (size) {
		const ssize_t done = write(fd, text, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		text += done;
		size -= (size_t)done;
	}
	return 0;
}

int fd_write(int fd, const char *path, const char *text, struct errmsg *err)
{
	const ssize_t n = write(fd, text, strlen(text));
	const int error = n < 0 ? errno : (size_t)n != strlen(text) ? EIO : 0;
	char quoted[QUOTED_TEXT];

	if (error)
		return errmsg_set(err, -error, "/%s: cannot write %s: %s%s", path,
				  text_quote(text, quoted), strerror(error), remedy(error));
	return 0;
}

int file_write(int root, const char *path, const char *text, struct errmsg *err)
{
	int rc, fd;

	fd = open_below(root, path, O_WRONLY, err);
	if (fd < 0)
		return fd;
	rc = fd_write(fd, path, text, err);
	close(fd);
	return rc;
}
