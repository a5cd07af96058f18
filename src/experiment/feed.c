// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sluice/file.h"
#include "sluice/metric.h"
#include "sluice/units.h"

#define TAIL_BYTES 4096 /* of a regular file */

/* More than a number and white space need. */
#define LINE_BYTES 64

/* Reads of a port per call: one that is flooded must not keep the caller. */
#define PORT_READS 64

struct feed {
	char *path;
	int port; /* -1: none is open, or the feed is a regular file */
	struct stat port_st;
	bool terminal;

	bool has_line;
	bool no_number; /* too long, or with a NUL byte: text is a part of it */
	char text[LINE_BYTES + 1];
	int64_t came_ns; /* the line, by the caller's clock; may be before that began */

	/* of a port: the line that has not ended yet; LINE_BYTES + 1: too long */
	char partial[LINE_BYTES + 1];
	size_t partial_length;

	/* of a regular file: when it was read last, and what its mtime was */
	bool seen;
	uint64_t seen_ns;
	struct timespec mtime;
};

static int failed(const struct feed *feed, int error, const char *what, struct errmsg *err)
{
	return errmsg_set(err, -error, "host feed %s: %s: %s", feed->path, what, strerror(error));
}

static void close_port(struct feed *feed)
{
	if (feed->port >= 0)
		close(feed->port);
	feed->port = -1;
	feed->partial_length = 0;
}

/*
 * Opens the path. A port stays open as feed->port; -1 is returned then. Of a regular file a
 * descriptor, to be closed by the caller. -errno as *code.
 */
static int open_feed(struct feed *feed, struct stat *st, int *code, struct errmsg *err)
{
	/* O_NONBLOCK: neither a fifo nor a modem line is waited for */
	const int fd = open(feed->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	*code = 0;
	if (fd < 0) {
		*code = failed(feed, errno, "cannot be opened", err);
		return -1;
	}
	if (fstat(fd, st))
		*code = failed(feed, errno, "fstat", err);
	else if (S_ISREG(st->st_mode))
		return fd;
	else if (!S_ISCHR(st->st_mode) && !S_ISFIFO(st->st_mode))
		*code = errmsg_set(err, -EINVAL,
				   "host feed %s: neither a regular file nor a character device "
				   "nor a fifo",
				   feed->path);
	if (*code) {
		close(fd);
	} else {
		feed->port = fd;
		feed->port_st = *st;
		feed->terminal = isatty(fd);
	}
	return -1;
}

int feed_open(const char *path, struct feed **ret, struct errmsg *err)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	struct stat st;
	int fd, rc;

	if (feed)
		feed->path = strdup(path);
	if (!feed || !feed->path) {
		free(feed);
		return errmsg_set(err, -ENOMEM, "memory for the host feed");
	}
	feed->port = -1;
	fd = open_feed(feed, &st, &rc, err);
	if (rc) {
		feed_close(feed);
		return rc;
	}
	if (fd >= 0)
		close(fd); /* it may be another file by the next call */
	*ret = feed;
	return 0;
}

static void take_line(struct feed *feed, const char *text, size_t length, int64_t came_ns)
{
	const size_t kept = length > LINE_BYTES ? LINE_BYTES : length;

	memcpy(feed->text, text, kept);
	feed->text[kept] = '\0';
	feed->no_number = length > LINE_BYTES || memchr(text, '\0', kept);
	feed->has_line = true;
	feed->came_ns = came_ns;
}

/* --- regular files ----------------------------------------------------------------------------- */

static double seconds(const struct timespec *time)
{
	return (double)time->tv_sec + (double)time->tv_nsec / (double)NSEC_PER_SEC;
}

/*
 * When a file with this mtime was modified, by the caller's clock. The mtime is by
 * CLOCK_REALTIME, and by that of the host if the file is in a directory that it shares; either can
 * be set. So the difference to our own clock counts only for what can't be known otherwise: an
 * mtime that went forward was set since the last look, one that stays ages by the caller's clock.
 */
static int64_t modified_ns(const struct feed *feed, const struct stat *st, uint64_t now_ns)
{
	const double at = seconds(&st->st_mtim), before = seconds(&feed->mtime);
	const double limit = 1e9; /* of ages, s: whatever the clocks say, ns of it fit */
	struct timespec wall;
	double age, most = limit;

	if (feed->seen && st->st_mtim.tv_sec == feed->mtime.tv_sec &&
	    st->st_mtim.tv_nsec == feed->mtime.tv_nsec)
		return feed->came_ns;
	clock_gettime(CLOCK_REALTIME, &wall);
	age = seconds(&wall) - at;
	if (feed->seen && at > before)
		most = (double)(now_ns - feed->seen_ns) / (double)NSEC_PER_SEC;
	if (age > most)
		age = most;
	if (age < 0) /* the clocks differ */
		age = 0;
	return (int64_t)now_ns - (int64_t)(age * (double)NSEC_PER_SEC);
}

static int read_file(struct feed *feed, int fd, const struct stat *st, uint64_t now_ns,
		     struct errmsg *err)
{
	const off_t start = st->st_size > TAIL_BYTES ? st->st_size - TAIL_BYTES : 0;
	char tail[TAIL_BYTES];
	const char *line, *end;
	ssize_t n;

	if (lseek(fd, start, SEEK_SET) < 0)
		return failed(feed, errno, "lseek", err);
	n = fd_read(fd, tail, sizeof(tail));
	if (n < 0)
		return failed(feed, (int)-n, "cannot be read", err);
	end = memrchr(tail, '\n', (size_t)n);
	if (!end)
		return 0; /* it is being written: what was there before it still counts */
	line = memrchr(tail, '\n', (size_t)(end - tail));
	line = line ? line + 1 : tail;
	take_line(feed, line, (size_t)(end - line), modified_ns(feed, st, now_ns));
	if (line == tail && start)
		feed->no_number = true; /* it begins somewhere before */
	feed->mtime = st->st_mtim;
	feed->seen_ns = now_ns;
	feed->seen = true;
	return 0;
}

/* --- ports ------------------------------------------------------------------------------------- */

static void take_bytes(struct feed *feed, const char *bytes, size_t nr, uint64_t now_ns)
{
	for (const char *byte = bytes; byte < bytes + nr; byte++) {
		if (*byte == '\n') {
			take_line(feed, feed->partial, feed->partial_length, (int64_t)now_ns);
			feed->partial_length = 0;
		} else if (feed->partial_length < sizeof(feed->partial)) {
			feed->partial[feed->partial_length++] = *byte;
		}
	}
}

/*
 * No other end is there. The port stays open if it is still the one of that name: a writer that
 * opens a fifo just now must not lose its reader, and a port of virtio-serial goes on when the host
 * connects (drivers/char/virtio_console.c: until then port_fops_read() returns 0), while the host
 * is told of each open. A terminal that was hung up stays so: it has to be opened anew.
 */
static void end_of_port(struct feed *feed)
{
	struct stat st;

	if (feed->terminal || stat(feed->path, &st) || st.st_dev != feed->port_st.st_dev ||
	    st.st_ino != feed->port_st.st_ino)
		close_port(feed);
	feed->partial_length = 0;
}

static int read_port(struct feed *feed, uint64_t now_ns, struct errmsg *err)
{
	char bytes[4096];

	for (unsigned int i = 0; i < PORT_READS; i++) {
		const ssize_t n = read(feed->port, bytes, sizeof(bytes));
		const int error = n < 0 ? errno : 0;

		if (n > 0) {
			take_bytes(feed, bytes, (size_t)n, now_ns);
		} else if (error == EAGAIN) {
			break;
		} else if (!error || error == EIO) { /* EIO: of terminals without other end */
			end_of_port(feed);
			break;
		} else if (error != EINTR) {
			close_port(feed);
			return failed(feed, error, "cannot be read", err);
		}
	}
	return 0;
}

/* --- either ------------------------------------------------------------------------------------ */

static int newest(const struct feed *feed, uint64_t now_ns, uint64_t *bytes, struct errmsg *err)
{
	const int64_t age = (int64_t)now_ns - feed->came_ns;
	char quoted[QUOTED_TEXT], text[LINE_BYTES + 1], duration[UNITS_TEXT];
	const char *start = text + strspn(feed->text, " \t\r");
	size_t length = strlen(feed->text);
	int64_t value;
	int rc;

	if (!feed->has_line)
		return errmsg_set(err, -ENODATA, "host feed %s: no whole line has come",
				  feed->path);
	if (age > (int64_t)FEED_STALE_NS)
		return errmsg_set(err, -ENODATA, "host feed %s: its newest line is %s old",
				  feed->path, format_duration((uint64_t)age, duration));
	if (feed->no_number)
		return errmsg_set(err, -EBADMSG, "host feed %s: %s is no number of bytes",
				  feed->path, text_quote(feed->text, quoted));
	memcpy(text, feed->text, sizeof(text));
	while (length && strchr(" \t\r", text[length - 1]))
		length--;
	text[length] = '\0';
	rc = parse_int(length ? start : "", 1, INT64_MAX, &value, err);
	if (rc)
		return errmsg_prefix(err, -EBADMSG, "host feed %s", feed->path);
	*bytes = (uint64_t)value;
	return 0;
}

int feed_take(struct feed *feed, uint64_t now_ns, uint64_t *bytes, struct errmsg *err)
{
	struct stat st;
	int fd, rc = 0;

	if (feed->port < 0) {
		fd = open_feed(feed, &st, &rc, err);
		if (fd >= 0) {
			rc = read_file(feed, fd, &st, now_ns, err);
			close(fd);
		}
	}
	if (feed->port >= 0)
		rc = read_port(feed, now_ns, err);
	return rc ? rc : newest(feed, now_ns, bytes, err);
}

void feed_close(struct feed *feed)
{
	if (!feed)
		return;
	close_port(feed);
	free(feed->path);
	free(feed);
}
