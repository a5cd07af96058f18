// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"
#include "sluice/file.h"
#include "sluice/knobs.h"

/* A knob that someone else wrote. */
struct lost_knob {
	char path[KNOB_PATH_MAX];
	int64_t written; /* by sluice */
	int64_t found;
};

struct knobs {
	int root; /* the caller's */
	int dir;  /* the state directory, locked */
	/*
	 * The journal on disk may name more than @journal does, since storing the
	 * latter failed. That is safe (what was restored is left alone) but not
	 * exact, so it is tried again at the next opportunity.
	 */
	bool stale;
	struct journal journal; /* the knobs that sluice holds */
	struct lost_knob lost[KNOBS_MAX];
	unsigned int nr_lost;
};

static const char *knob_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

/*
 * Writes @value and reads it back. -EILSEQ if the kernel took it but holds
 * another one, which is stored in *found.
 */
static int write_value(int root, const char *path, int64_t value, int64_t *found,
		       struct errmsg *err)
{
	char text[32];
	int64_t now;
	int code;

	snprintf(text, sizeof(text), "%" PRId64 "\n", value);
	code = file_write(root, path, text, err);
	if (code == -EILSEQ) /* which means something else here */
		return -EIO;
	if (code < 0)
		return code;
	code = file_read_int(root, path, &now, err);
	if (code < 0)
		return errmsg_prefix(err, code, "%" PRId64 " was written", value);
	if (now == value)
		return 0;
	*found = now;
	return errmsg_set(err, -EILSEQ, "/%s: the kernel took %" PRId64 " but reads back %" PRId64,
			  path, value, now);
}

static void sync_journal(struct knobs *knobs)
{
	knobs->stale = journal_store(knobs->dir, &knobs->journal, NULL) < 0;
}

static const struct lost_knob *find_lost(const struct knobs *knobs, const char *path)
{
	unsigned int i;

	for (i = 0; i < knobs->nr_lost; i++)
		if (!strcmp(knobs->lost[i].path, path))
			return &knobs->lost[i];
	return NULL;
}

static int lost_error(const struct lost_knob *lost, struct errmsg *err)
{
	return errmsg_set(err, -EBUSY,
			  "/%s: someone else wrote %" PRId64 " where sluice had written %" PRId64,
			  lost->path, lost->found, lost->written);
}

/* Someone else wrote @found: it is their knob now, in the journal as well. */
static int let_go(struct knobs *knobs, struct journal_entry *entry, int64_t found,
		  struct errmsg *err)
{
	/* There is room: knobs_set() counts held and lost knobs together. */
	struct lost_knob *lost = &knobs->lost[knobs->nr_lost++];

	memcpy(lost->path, entry->path, sizeof(lost->path));
	lost->written = entry->writing;
	lost->found = found;
	journal_drop(&knobs->journal, entry);
	sync_journal(knobs);
	return lost_error(lost, err);
}

int knobs_open(int root, const char *state_dir, struct knobs **ret, struct errmsg *err)
{
	struct knobs *knobs = NULL;
	struct stat st;
	int code;
	int dir;

	dir = journal_open_dir(state_dir, err);
	if (dir < 0)
		return dir;
	/* Any object with that name: what can't be understood must not be written over. */
	if (fstatat(dir, KNOBS_JOURNAL, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		code = errmsg_set(err, -EEXIST,
				  "%s/%s: an ended process left it; run \"sluice restore\" first",
				  state_dir, KNOBS_JOURNAL);
		goto out;
	}
	if (errno != ENOENT) {
		code = -errno;
		errmsg_set(err, code, "%s/%s: cannot look for it: %s", state_dir, KNOBS_JOURNAL,
			   strerror(-code));
		goto out;
	}
	knobs = calloc(1, sizeof(*knobs));
	if (!knobs) {
		code = errmsg_set(err, -ENOMEM, "no memory for the table of knobs");
		goto out;
	}
	knobs->root = root;
	knobs->dir = dir;
	*ret = knobs;
	return 0;
out:
	close(dir);
	return code;
}

void knobs_close(struct knobs *knobs)
{
	if (!knobs)
		return;
	close(knobs->dir);
	free(knobs);
}

/* Nothing of sluice is on the knob: without @was_held there is nothing to undo either. */
static void retract(struct knobs *knobs, struct journal_entry *entry, bool was_held)
{
	if (was_held)
		entry->writing = entry->written;
	else
		journal_drop(&knobs->journal, entry);
	sync_journal(knobs);
}

/* The kernel made @found of what was written. Puts the original value back. */
static int undo_altered(struct knobs *knobs, struct journal_entry *entry, int64_t found,
			struct errmsg *err)
{
	struct errmsg why;
	int code;

	code = write_value(knobs->root, entry->path, entry->original, &found, &why);
	if (code < 0) {
		/* Covered by the journal, so that a restore tries again. */
		entry->written = entry->writing = found;
		errmsg_set(err, -EILSEQ, "%s; putting %" PRId64 " back failed: %s", err->text,
			   entry->original, why.text);
	} else {
		errmsg_set(err, -EILSEQ, "%s; put %" PRId64 " back", err->text, entry->original);
		journal_drop(&knobs->journal, entry);
	}
	sync_journal(knobs);
	return -EILSEQ;
}

/* Whether a write that failed has left @value on the knob, as it should. */
static bool still_holds(int root, const char *path, int64_t value)
{
	int64_t now;

	return file_read_int(root, path, &now, NULL) == 0 && now == value;
}

/*
 * Replaces @now by @value, with the journal around it. If it is @value already, it is held from
 * here on all the same: else what someone else writes later would be taken for the value
 * from before, and be written over.
 */
static int write_journalled(struct knobs *knobs, const char *path, int64_t now, int64_t value,
			    struct errmsg *err)
{
	struct journal_entry *entry = journal_find(&knobs->journal, path);
	bool was_held = entry;
	struct errmsg why;
	int64_t found = now;
	int code;

	if (!was_held && knobs->journal.nr + knobs->nr_lost < KNOBS_MAX)
		entry = journal_add(&knobs->journal, path, now);
	if (!entry)
		return errmsg_set(err, -ENOSPC, "/%s: %d knobs are in use, which is the limit",
				  path, KNOBS_MAX);
	entry->writing = value;
	code = journal_store(knobs->dir, &knobs->journal, &why);
	if (code < 0) {
		retract(knobs, entry, was_held);
		return errmsg_set(err, code, "/%s: not written: %s", path, why.text);
	}

	if (now != value)
		code = write_value(knobs->root, path, value, &found, &why);
	if (code == -EILSEQ)
		code = undo_altered(knobs, entry, found, &why);
	else if (code < 0 && still_holds(knobs->root, path, now))
		retract(knobs, entry, was_held);
	if (code < 0)
		return errmsg_set(err, code, "%s", why.text);

	/* From here on @now on this knob is someone else's doing. */
	entry->written = value;
	sync_journal(knobs);
	return 0;
}

int knobs_set(struct knobs *knobs, const char *path, int64_t value, struct errmsg *err)
{
	const struct lost_knob *lost = find_lost(knobs, path);
	struct journal_entry *entry = journal_find(&knobs->journal, path);
	int64_t now;
	int code;

	if (!journal_path_ok(path))
		return errmsg_set(err, -EINVAL, "%s: no plain path below sys/ or proc/sys/", path);
	if (value < 0)
		return errmsg_set(err, -EINVAL, "/%s: %" PRId64 ": must not be negative", path,
				  value);
	if (lost)
		return lost_error(lost, err);
	code = file_read_int(knobs->root, path, &now, err);
	if (code < 0)
		return code;
	if (entry && !journal_covers(entry, now))
		return let_go(knobs, entry, now, err);
	if (now < 0)
		return errmsg_set(err, -ENODEV,
				  "/%s: reads %" PRId64
				  ", which could not be written back: no driver has registered yet",
				  path, now);
	if (entry) /* of the two values that it may hold, it holds this one */
		entry->written = entry->writing = now;
	if (now == value && entry)
		return 0;
	return write_journalled(knobs, path, now, value, err);
}

int knobs_check(struct knobs *knobs, struct errmsg *err)
{
	unsigned int i;
	int first = 0;

	if (knobs->stale)
		sync_journal(knobs);
	for (i = 0; i < knobs->journal.nr; i++) {
		struct journal_entry *entry = &knobs->journal.entries[i];
		int64_t now;
		int code;

		code = file_read_int(knobs->root, entry->path, &now, first ? NULL : err);
		if (code == 0 && !journal_covers(entry, now))
			return let_go(knobs, entry, now, err);
		/* What has gone, with its module say, nobody wrote. */
		if (code < 0 && code != -ENOENT && !first)
			first = code;
	}
	return first;
}

bool knobs_lost(const struct knobs *knobs, const char *path)
{
	return find_lost(knobs, path);
}

int knobs_original(const struct knobs *knobs, const char *path, int64_t *ret)
{
	unsigned int i;

	for (i = 0; i < knobs->journal.nr; i++) {
		if (!strcmp(knobs->journal.entries[i].path, path)) {
			*ret = knobs->journal.entries[i].original;
			return 0;
		}
	}
	return -ENOENT;
}

static void report_line(FILE *report, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void report_line(FILE *report, const char *path, const char *fmt, ...)
{
	va_list args;

	if (!report)
		return;
	fprintf(report, "%s: ", knob_name(path));
	va_start(args, fmt);
	vfprintf(report, fmt, args);
	va_end(args);
	fputc('\n', report);
}

/*
 * Puts the original value of @entry back. Returns 1 if it did, 0 if there is
 * nothing to do or it is not for sluice to do; the entry is done with then.
 * -errno if it has to stay.
 */
static int restore_one(int root, struct journal_entry *entry, FILE *report, struct errmsg *err)
{
	int64_t found = 0;
	int64_t now;
	int code;

	code = file_read_int(root, entry->path, &now, err);
	if (code == -ENOENT) {
		report_line(report, entry->path, "gone, nothing to restore");
		return 0;
	}
	if (code < 0)
		goto out;
	if (now == entry->original) {
		report_line(report, entry->path, "holds %" PRId64 " already", now);
		return 0;
	}
	if (!journal_covers(entry, now)) {
		report_line(report, entry->path,
			    "left at %" PRId64 ", which someone else wrote (sluice: %" PRId64
			    ", before: %" PRId64 ")",
			    now, entry->writing, entry->original);
		return 0;
	}
	code = write_value(root, entry->path, entry->original, &found, err);
	if (code == -EILSEQ) /* what it holds now is no one else's: try again next time */
		entry->written = entry->writing = found;
out:
	if (code < 0)
		report_line(report, entry->path, "NOT restored to %" PRId64 ": %s", entry->original,
			    err->text);
	else
		report_line(report, entry->path, "restored %" PRId64 " (was %" PRId64 ")",
			    entry->original, now);
	return code < 0 ? code : 1;
}

/* restore_one(), and what follows for the journal. */
static int restore_entry(struct knobs *knobs, struct journal_entry *entry, FILE *report,
			 struct errmsg *err)
{
	const int code = restore_one(knobs->root, entry, report, err);

	if (code >= 0)
		journal_drop(&knobs->journal, entry);
	sync_journal(knobs);
	return code;
}

/* Returns the first error. *nr_restored is written in any case. */
static int restore_all(struct knobs *knobs, FILE *report, int *nr_restored, struct errmsg *err)
{
	unsigned int i;
	int first = 0;
	int code;

	*nr_restored = 0;
	/* Backwards, as undoing goes. */
	for (i = knobs->journal.nr; i-- > 0;) {
		struct errmsg why;

		code = restore_entry(knobs, &knobs->journal.entries[i], report, &why);
		if (code < 0 && !first)
			first = errmsg_set(err, code, "%s", why.text);
		else if (code > 0)
			*nr_restored += code;
	}
	if (knobs->stale) {
		code = journal_store(knobs->dir, &knobs->journal, first ? NULL : err);
		knobs->stale = code < 0;
		if (!first)
			first = code;
	}
	return first;
}

int knobs_restore(struct knobs *knobs, FILE *report, struct errmsg *err)
{
	unsigned int i;
	int nr_restored;

	for (i = 0; i < knobs->nr_lost; i++)
		report_line(report, knobs->lost[i].path,
			    "left alone, someone else wrote %" PRId64 " (sluice: %" PRId64 ")",
			    knobs->lost[i].found, knobs->lost[i].written);
	return restore_all(knobs, report, &nr_restored, err);
}

int knobs_release(struct knobs *knobs, const char *path, FILE *report, struct errmsg *err)
{
	struct journal_entry *entry = journal_find(&knobs->journal, path);
	const int code = entry ? restore_entry(knobs, entry, report, err) : 0;

	return code < 0 ? code : 0;
}

int knobs_restore_leftover(int root, const char *state_dir, FILE *report, struct errmsg *err)
{
	struct knobs knobs = { .root = root, .dir = -1 };
	int nr_restored = 0;
	int code;

	knobs.dir = journal_open_dir(state_dir, err);
	if (knobs.dir == -ENOENT) /* sluice has not run since the boot */
		return 0;
	if (knobs.dir < 0)
		return knobs.dir;
	code = journal_load(knobs.dir, &knobs.journal, err);
	if (code == -ENOENT)
		code = 0;
	else if (code < 0)
		errmsg_prefix(err, code, "%s/%s", state_dir, KNOBS_JOURNAL);
	else
		code = restore_all(&knobs, report, &nr_restored, err);
	close(knobs.dir);
	return code < 0 ? code : nr_restored;
}
