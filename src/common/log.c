// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/log.h"

#define LOG_LINE 2048

static enum log_level log_max = LOG_LEVEL_INFO;
static enum { SINK_UNKNOWN, SINK_PLAIN, SINK_JOURNAL } log_sink;

/* <3> err, <4> warning, <6> info, <7> debug: sd-daemon(3) */
static const char *const journal_prefix[] = { "<3>", "<4>", "<6>", "<7>" };
static const char *const plain_prefix[] = { "error: ", "warning: ", "", "" };

/*
 * systemd.exec(5) asks to compare: $JOURNAL_STREAM is inherited by children
 * whose standard error was redirected elsewhere.
 */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char expected[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(expected, sizeof(expected), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, expected) == 0;
}

void log_set_level(enum log_level level)
{
	log_max = level;
}

/* A line break inside would start a second event without priority. */
static void clean_controls(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
	}
}

/* Appends the message to @line, "..." at the end if it had to be cut; returns the length. */
__attribute__((format(printf, 2, 0))) static size_t format_message(char line[LOG_LINE],
								   const char *fmt, va_list args)
{
	static const char cut[] = "...\n";
	size_t used = strlen(line);
	size_t room = LOG_LINE - used - sizeof(cut) + 1; /* with the terminating byte */
	int n = vsnprintf(line + used, room, fmt, args);
	bool is_cut = n >= 0 && (size_t)n >= room;

	clean_controls(line + used);
	used += strlen(line + used);
	memcpy(line + used, is_cut ? cut : "\n", is_cut ? sizeof(cut) : 2);
	return used + strlen(line + used);
}

void log_at(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[LOG_LINE];
	va_list args;
	size_t len;

	if (level > log_max)
		return;
	if (log_sink == SINK_UNKNOWN)
		log_sink = stderr_is_journal() ? SINK_JOURNAL : SINK_PLAIN;
	snprintf(line, sizeof(line), "%s",
		 log_sink == SINK_JOURNAL ? journal_prefix[level] : plain_prefix[level]);
	errno = saved_errno; /* for %m */
	va_start(args, fmt);
	len = format_message(line, fmt, args);
	va_end(args);
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}
