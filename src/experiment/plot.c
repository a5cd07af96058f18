// SPDX-License-Identifier: GPL-2.0-only
#include "plot.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sluice/file.h"

#define MAX_SVG	   ((size_t)32 << 20)
#define MAX_ERRORS ((size_t)64 << 10)

/* --- run -------------------------------------------------------------------------------------- */

/* Files without a name, so that gnuplot never waits for us, nor we for it: no pipe fills up. */
struct streams {
	int fd[3]; /* script, plot, errors */
};

static void streams_close(const struct streams *streams)
{
	for (int i = 0; i < 3; i++)
		if (streams->fd[i] >= 0)
			close(streams->fd[i]);
}

static int streams_open(const char *script, size_t size, struct streams *ret)
{
	struct streams streams = { { -1, -1, -1 } };
	int rc = 0;

	for (int i = 0; !rc && i < 3; i++) {
		streams.fd[i] = memfd_create("sluice plot", MFD_CLOEXEC);
		rc = streams.fd[i] < 0 ? -errno : 0;
	}
	if (!rc)
		rc = fd_write_all(streams.fd[0], script, size);
	if (!rc && lseek(streams.fd[0], 0, SEEK_SET) < 0)
		rc = -errno;
	if (rc)
		streams_close(&streams);
	else
		*ret = streams;
	return rc;
}

/* Signals as for a program that a shell starts, whatever the caller does with its own. */
static int set_signals(posix_spawnattr_t *attributes)
{
	sigset_t none, defaults;
	int rc;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	rc = posix_spawnattr_setsigmask(attributes, &none);
	if (!rc)
		rc = posix_spawnattr_setsigdefault(attributes, &defaults);
	if (!rc)
		rc = posix_spawnattr_setflags(attributes,
					      POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return rc;
}

/* Returns 0 or an errno value, as posix_spawn(3) does. */
static int spawn(const struct streams *streams, pid_t *ret)
{
	/* -d: no init file of the user's has a part in it */
	char name[] = "gnuplot", defaults[] = "-d";
	char *const arguments[] = { name, defaults, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int rc;

	rc = posix_spawn_file_actions_init(&actions);
	if (rc)
		return rc;
	rc = posix_spawnattr_init(&attributes);
	if (rc) {
		posix_spawn_file_actions_destroy(&actions);
		return rc;
	}
	rc = set_signals(&attributes);
	for (int i = 0; !rc && i < 3; i++)
		rc = posix_spawn_file_actions_adddup2(&actions, streams->fd[i], i);
	if (!rc)
		rc = posix_spawnp(ret, name, &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* Its exit status as of waitpid(2), or -ETIMEDOUT, or another -errno; it is gone afterwards. */
static int wait_for(pid_t pid)
{
	/* Linux 5.3; by number, since C libraries got a function later */
	const int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	int n, error, status;

	do
		n = fd < 0 ? -1 : poll(&poll_fd, 1, PLOT_SECONDS * 1000);
	while (n < 0 && fd >= 0 && errno == EINTR);
	error = errno;
	if (n <= 0)
		kill(pid, SIGKILL);
	if (fd >= 0)
		close(fd);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (n < 0)
		return -error;
	return n ? status : -ETIMEDOUT;
}

/* What gnuplot says of an error: a copy of the line, a caret, and the reason. */
static int plot_error(const struct streams *streams, int status, struct errmsg *err)
{
	char quoted[QUOTED_TEXT], *text = NULL, *last;

	if (lseek(streams->fd[2], 0, SEEK_SET) < 0 ||
	    fd_read_alloc(streams->fd[2], MAX_ERRORS, &text) < 0)
		text = NULL;
	last = text;
	for (char *line = text; line && *line; line += strcspn(line, "\n")) {
		line += strspn(line, "\n ");
		last = *line ? line : last;
	}
	if (last)
		last[strcspn(last, "\n")] = '\0';
	if (WIFSIGNALED(status))
		errmsg_set(err, -EIO, "gnuplot was ended by signal %d", WTERMSIG(status));
	else
		errmsg_set(err, -EIO, "gnuplot failed with status %d: %s", WEXITSTATUS(status),
			   text_quote(last ? last : "", quoted));
	free(text);
	return -EIO;
}

static int take_plot(const struct streams *streams, int status, char **ret, struct errmsg *err)
{
	char *svg = NULL;
	int rc;

	if (status == -ETIMEDOUT)
		return errmsg_set(err, status, "gnuplot took more than %d s", PLOT_SECONDS);
	if (status < 0)
		return errmsg_set(err, status, "cannot wait for gnuplot: %s", strerror(-status));
	if (status)
		return plot_error(streams, status, err);
	rc = lseek(streams->fd[1], 0, SEEK_SET) < 0 ? -errno : 0;
	if (!rc)
		rc = fd_read_alloc(streams->fd[1], MAX_SVG, &svg);
	if (rc < 0)
		return errmsg_set(err, rc, "cannot read gnuplot's plot: %s", strerror(-rc));
	*ret = svg;
	return 0;
}

int plot_run(const char *script, size_t size, char **ret, struct errmsg *err)
{
	struct streams streams;
	pid_t pid = -1;
	int rc;

	rc = streams_open(script, size, &streams);
	if (rc)
		return errmsg_set(err, rc, "no file for a plot: %s", strerror(-rc));
	rc = -spawn(&streams, &pid);
	if (rc == -ENOENT)
		errmsg_set(err, rc,
			   "gnuplot is not there: install gnuplot-nox, or make the page elsewhere "
			   "from the experiment's file");
	else if (rc)
		errmsg_set(err, rc, "cannot start gnuplot: %s", strerror(-rc));
	else
		rc = take_plot(&streams, wait_for(pid), ret, err);
	streams_close(&streams);
	return rc;
}

/* --- embed ------------------------------------------------------------------------------------ */

/* What stands before the name of an id, in a tag. */
static size_t before_id(const char *text)
{
	static const char *const starts[] = { " id='", " id=\"", "href='#", "href=\"#", "url(#" };

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (!strncmp(text, starts[i], strlen(starts[i])))
			return strlen(starts[i]);
	return 0;
}

static void put_tag(FILE *out, const char *tag, size_t bytes, const char *name)
{
	for (size_t i = 0; i < bytes;) {
		const size_t start = before_id(tag + i);

		fwrite(tag + i, 1, start ? start : 1, out);
		if (start)
			fprintf(out, "%s-", name);
		i += start ? start : 1;
	}
}

/* The end of an element that speaks of gnuplot's own commands; NULL: @tag begins none. */
static const char *skip_words(const char *tag)
{
	const char *end = NULL;

	if (!strncmp(tag, "<title>", 7))
		end = strstr(tag, "</title>");
	else if (!strncmp(tag, "<desc>", 6))
		end = strstr(tag, "</desc>");
	return end ? strchr(end, '>') + 1 : NULL;
}

/* Within the first tag of an SVG document. */
static int put_start(FILE *out, const char *svg, const char *name, const char *title)
{
	const char *box = strstr(svg, "viewBox=\"");
	size_t length;

	if (!box)
		return -EBADMSG;
	box += strlen("viewBox=\"");
	length = strspn(box, "0123456789. ");
	fprintf(out,
		"<svg class=\"plot\" role=\"img\" viewBox=\"%.*s\" aria-labelledby=\"%s-title\">\n"
		"<title id=\"%s-title\">%s</title>\n",
		(int)length, box, name, name, title);
	return 0;
}

int plot_embed(FILE *out, const char *svg, const char *name, const char *title)
{
	const char *text = strstr(svg, "<svg"), *end = text ? strstr(text, "</svg>") : NULL;
	int rc = end ? put_start(out, text, name, title) : -EBADMSG;

	if (rc)
		return rc;
	for (text = strchr(text, '>') + 1; text < end;) {
		const size_t tag = *text == '<' ? strcspn(text, ">") + 1 : 0;
		const size_t words = strcspn(text, "<");
		const char *skipped = skip_words(text);

		if (tag && !skipped)
			put_tag(out, text, tag, name);
		else if (!tag)
			fwrite(text, 1, words, out);
		text = skipped ? skipped : text + (tag ? tag : words);
	}
	fputs("</svg>\n", out);
	return 0;
}
