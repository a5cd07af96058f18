/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The journal of knob writes: what is to be undone if the process dies now.
 * Private to src/actuate.
 *
 * Text, one knob per line. The first line carries the version and the last one
 * tells a whole journal from one that was cut at the end of a line:
 *
 *	sluice-journal 1
 *	sys/module/page_reporting/parameters/page_reporting_order 9 11 10
 *	end
 *
 * The numbers are: the value before sluice first wrote the knob, the last value
 * written, and the value being written (the same as the last one between two
 * writes).
 */
#ifndef SLUICE_ACTUATE_JOURNAL_H
#define SLUICE_ACTUATE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/errmsg.h"
#include "sluice/knobs.h"

struct journal_entry {
	char path[KNOB_PATH_MAX];
	int64_t original; /* none of the three is negative */
	int64_t written;
	int64_t writing;
};

struct journal {
	struct journal_entry entries[KNOBS_MAX];
	unsigned int nr;
};

/*
 * Whether @path may stand in a journal: below sys/ or proc/sys/, without blanks,
 * control characters, empty components, "." and "..", shorter than KNOB_PATH_MAX.
 */
bool journal_path_ok(const char *path);

/* Whether @value can be on the knob because sluice wrote it. */
bool journal_covers(const struct journal_entry *entry, int64_t value);

/* The entry of @path, or NULL. */
struct journal_entry *journal_find(struct journal *journal, const char *path);

/* Appends an entry whose three values are @value; NULL if there is no room. */
struct journal_entry *journal_add(struct journal *journal, const char *path, int64_t value);

/* Takes @entry out; the order of the others is kept. */
void journal_drop(struct journal *journal, struct journal_entry *entry);

/*
 * Opens the state directory, locks it against other users of the journal for as
 * long as the descriptor is open, and removes what an interrupted
 * journal_store() left. Returns the descriptor or -errno; -EBUSY if another
 * process holds the lock.
 */
int journal_open_dir(const char *state_dir, struct errmsg *err);

/*
 * Reads and checks the journal. Returns 0; -ENOENT if there is none; -EPERM if it
 * is no regular file, not owned by this process' user, or writable by others;
 * -EBADMSG with the line in the text if it can't be understood.
 */
int journal_load(int dir, struct journal *ret, struct errmsg *err);

/*
 * Replaces the journal on disk, or removes it if @journal is empty. On return the
 * new state is on disk; a kill at any instant leaves either the old or the new
 * one. After an error it can be either of them, too.
 */
int journal_store(int dir, const struct journal *journal, struct errmsg *err);

#endif
