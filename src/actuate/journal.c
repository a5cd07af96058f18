// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"
#include "sluice/file.h"
#include "sluice/units.h"

#define TEMPORARY  KNOBS_JOURNAL ".new"
#define FIRST_LINE "sluice-journal 1"
#define LAST_LINE  "end"

/* A path, three numbers of up to 19 digits, the blanks between them, a newline. */
#define LINE_MAX_BYTES (KNOB_PATH_MAX - 1 + 3 * 20 + 1)
#define JOURNAL_MAX_BYTES \
	(sizeof(FIRST_LINE) + sizeof(LAST_LINE) + (size_t)KNOBS_MAX * LINE_MAX_BYTES)

bool journal_path_ok(const char *path)
{
	return (!strncmp(path, "sys/", 4) || !strncmp(path, "proc/sys/", 9)) &&
	       strlen(path) < KNOB_PATH_MAX && path_is_plain(path);
}

bool journal_covers(const struct journal_entry *entry, int64_t value)
{
	return value == entry->written || value == entry->writing;
}

struct journal_entry *journal_find(struct journal *journal, const char *path)
{
	unsigned int i;

	for (i = 0; i < journal->nr; i++)
		if (!strcmp(journal->entries[i].path, path))
			return &journal->entries[i];
	return NULL;
}

struct journal_entry *journal_add(struct journal *journal, const char *path, int64_t value)
{
	struct journal_entry *entry;

	if (journal->nr == KNOBS_MAX)
		return NULL;
	entry = &journal->entries[journal->nr++];
	snprintf(entry->path, sizeof(entry->path), "%s", path);
	entry->original = entry->written = entry->writing = value;
	return entry;
}

void journal_drop(struct journal *journal, struct journal_entry *entry)
{
	struct journal_entry *end = &journal->entries[journal->nr--];

	memmove(entry, entry + 1, (size_t)(end - (entry + 1)) * sizeof(*entry));
}

static int unlink_if_there(int dir, const char *name)
{
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int journal_open_dir(const char *state_dir, struct errmsg *err)
{
	int code;
	int dir;

	dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		code = -errno;
		return errmsg_set(err, code, "%s: cannot open the state directory: %s", state_dir,
				  strerror(-code));
	}
	if (flock(dir, LOCK_EX | LOCK_NB) < 0) {
		code = errno == EWOULDBLOCK ? -EBUSY : -errno;
		errmsg_set(err, code, "%s: cannot lock the state directory: %s", state_dir,
			   code == -EBUSY ? "another sluice process that writes knobs is running; "
					    "stop it first" :
					    strerror(-code));
		goto out;
	}
	code = unlink_if_there(dir, TEMPORARY);
	if (code < 0)
		errmsg_set(err, code, "%s/%s: cannot remove what an interrupted write left: %s",
			   state_dir, TEMPORARY, strerror(-code));
out:
	if (code < 0)
		close(dir);
	return code < 0 ? code : dir;
}

static int bad_line(struct errmsg *err, unsigned int line, const char *what)
{
	return errmsg_set(err, -EBADMSG, "line %u: %s", line, what);
}

/* Cuts the next field, which a blank ends, off *rest; NULL if there is none. */
static char *next_field(char **rest)
{
	char *field = *rest;
	char *end;

	if (!field)
		return NULL;
	end = strchr(field, ' ');
	if (end)
		*end++ = '\0';
	*rest = end;
	return field;
}

static int parse_value(char **rest, unsigned int line, const char *name, int64_t *ret,
		       struct errmsg *err)
{
	const char *field = next_field(rest);
	char quoted[QUOTED_TEXT];

	if (!field)
		return errmsg_set(err, -EBADMSG, "line %u: the %s value is missing", line, name);
	if (parse_int(field, 0, INT64_MAX, ret, NULL) < 0)
		return errmsg_set(err, -EBADMSG, "line %u: %s value %s: must be 0 to %" PRId64,
				  line, name, text_quote(field, quoted), INT64_MAX);
	return 0;
}

static int parse_entry(char *text, unsigned int line, struct journal *journal, struct errmsg *err)
{
	const char *path = next_field(&text);
	struct journal_entry *entry;
	char quoted[QUOTED_TEXT];

	if (!journal_path_ok(path))
		return errmsg_set(err, -EBADMSG,
				  "line %u: path %s: must be a plain path below sys/ or proc/sys/",
				  line, text_quote(path, quoted));
	if (journal_find(journal, path))
		return errmsg_set(err, -EBADMSG, "line %u: path %s: stands there twice", line,
				  text_quote(path, quoted));
	entry = journal_add(journal, path, 0);
	if (!entry)
		return errmsg_set(err, -EBADMSG, "line %u: more than %d knobs", line, KNOBS_MAX);
	if (parse_value(&text, line, "original", &entry->original, err) < 0 ||
	    parse_value(&text, line, "written", &entry->written, err) < 0 ||
	    parse_value(&text, line, "writing", &entry->writing, err) < 0)
		return -EBADMSG;
	if (text)
		return bad_line(err, line, "text after the third value");
	return 0;
}

/* Parses line @line, and tells in *ended whether it was the last one. */
static int parse_line(char *text, unsigned int line, struct journal *journal, bool *ended,
		      struct errmsg *err)
{
	if (*ended)
		return bad_line(err, line, "text after the end");
	if (line == 1 && strcmp(text, FIRST_LINE))
		return bad_line(err, line, "must be \"" FIRST_LINE "\"");
	if (line == 1)
		return 0;
	if (strcmp(text, LAST_LINE))
		return parse_entry(text, line, journal, err);
	if (journal->nr == 0)
		return bad_line(err, line, "ends without naming a knob");
	*ended = true;
	return 0;
}

static int parse_journal(char *text, size_t len, struct journal *ret, struct errmsg *err)
{
	struct journal journal = { .nr = 0 };
	const char *end = text + len;
	unsigned int line = 0;
	bool ended = false;

	while (text < end) {
		size_t room = (size_t)(end - text);
		char *newline;
		int code;

		line++;
		newline = memchr(text, '\n', room < LINE_MAX_BYTES ? room : LINE_MAX_BYTES);
		if (!newline)
			return bad_line(err, line,
					room < LINE_MAX_BYTES ? "is cut off" : "is too long");
		*newline = '\0';
		if (strlen(text) != (size_t)(newline - text))
			return bad_line(err, line, "holds a NUL byte");
		code = parse_line(text, line, &journal, &ended, err);
		if (code < 0)
			return code;
		text = newline + 1;
	}
	if (!ended)
		return bad_line(err, line + 1, "the line \"" LAST_LINE "\" is missing");
	*ret = journal;
	return 0;
}

/* Only what this user alone can have written is acted upon. */
static int check_trust(int fd, struct errmsg *err)
{
	struct stat st;
	int code;

	if (fstat(fd, &st) < 0) {
		code = -errno;
		return errmsg_set(err, code, "cannot look at it: %s", strerror(-code));
	}
	if (!S_ISREG(st.st_mode))
		return errmsg_set(err, -EPERM, "not trusted: no regular file");
	if (st.st_uid != geteuid())
		return errmsg_set(err, -EPERM, "not trusted: it belongs to user %u, not to %u",
				  (unsigned int)st.st_uid, (unsigned int)geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return errmsg_set(err, -EPERM, "not trusted: mode %04o lets others write it",
				  (unsigned int)st.st_mode & 07777);
	return 0;
}

int journal_load(int dir, struct journal *ret, struct errmsg *err)
{
	char text[JOURNAL_MAX_BYTES + 1]; /* the last byte shows that a file is too long */
	ssize_t len;
	int code;
	int fd;

	/* O_NONBLOCK: a FIFO in its place must not hang the caller. */
	fd = openat(dir, KNOBS_JOURNAL, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ELOOP)
			return errmsg_set(err, -EPERM, "not trusted: it is a symbolic link");
		code = -errno;
		return errmsg_set(err, code, "cannot open it: %s", strerror(-code));
	}
	code = check_trust(fd, err);
	if (code < 0)
		goto out;
	len = fd_read(fd, text, sizeof(text));
	if (len < 0) {
		code = errmsg_set(err, (int)len, "cannot read it: %s", strerror((int)-len));
		goto out;
	}
	code = parse_journal(text, (size_t)len, ret, err);
out:
	close(fd);
	return code;
}

/* Writes the text of @journal into @text, which holds JOURNAL_MAX_BYTES; returns its length. */
static size_t format_journal(const struct journal *journal, char *text)
{
	size_t len = (size_t)snprintf(text, JOURNAL_MAX_BYTES, "%s\n", FIRST_LINE);
	unsigned int i;

	for (i = 0; i < journal->nr; i++) {
		const struct journal_entry *entry = &journal->entries[i];

		len += (size_t)snprintf(text + len, JOURNAL_MAX_BYTES - len,
					"%s %" PRId64 " %" PRId64 " %" PRId64 "\n", entry->path,
					entry->original, entry->written, entry->writing);
	}
	len += (size_t)snprintf(text + len, JOURNAL_MAX_BYTES - len, "%s\n", LAST_LINE);
	return len;
}

static int write_full(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Creates the temporary file with the text of @journal, on disk. */
static int write_temporary(int dir, const struct journal *journal)
{
	char text[JOURNAL_MAX_BYTES];
	size_t len = format_journal(journal, text);
	int code;
	int fd;

	fd = openat(dir, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	code = write_full(fd, text, len);
	if (!code && fsync(fd) < 0)
		code = -errno;
	close(fd);
	return code;
}

static int replace_journal(int dir, const struct journal *journal)
{
	int code = write_temporary(dir, journal);

	if (!code && renameat(dir, TEMPORARY, dir, KNOBS_JOURNAL) < 0)
		code = -errno;
	if (code < 0)
		unlinkat(dir, TEMPORARY, 0);
	return code;
}

int journal_store(int dir, const struct journal *journal, struct errmsg *err)
{
	int code;

	/* Of an earlier attempt that could not even remove its traces. */
	code = unlink_if_there(dir, TEMPORARY);
	if (!code && journal->nr)
		code = replace_journal(dir, journal);
	else if (!code)
		code = unlink_if_there(dir, KNOBS_JOURNAL);
	if (!code && fsync(dir) < 0)
		code = -errno;
	if (code < 0)
		return errmsg_set(err, code, "cannot %s the journal in the state directory: %s",
				  journal->nr ? "write" : "remove", strerror(-code));
	return 0;
}
