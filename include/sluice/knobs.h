/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel knobs: integers in files below the root, written so that every one of
 * them gets its old value back.
 *
 * Each write goes through a journal in the state directory (/run/sluice):
 * original value, last value written and value about to be written are on disk
 * (fsync) before the knob is touched. kill -9 at any instant leaves a journal
 * from which knobs_restore_leftover() undoes everything.
 *
 * If a knob holds a value that sluice did not write, someone else wrote it: the
 * knob is let go of. It is not written again, and it is not restored. (A write
 * that falls between sluice's read and its own write, microseconds later, can't
 * be told from none.)
 */
#ifndef SLUICE_KNOBS_H
#define SLUICE_KNOBS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sluice/errmsg.h"

/* mm/page_reporting.c: 5.14+, unsigned; shown as -1 before a driver registers since 6.2 */
#define KNOB_REPORTING_ORDER "sys/module/page_reporting/parameters/page_reporting_order"
/* mm/page_reporting.c: 7.3+; milliseconds, sampled when a pass is queued */
#define KNOB_REPORTING_DELAY "sys/module/page_reporting/parameters/page_reporting_delay_ms"

#define KNOBS_JOURNAL "journal" /* in the state directory */
#define KNOBS_MAX     16
#define KNOB_PATH_MAX 128

struct knobs;

/*
 * @state_dir must exist; the journal file appears with the first knob that is set and
 * disappears when everything is restored. -EEXIST if a journal is left over: call
 * knobs_restore_leftover() first. -EBUSY if another process has the knobs open:
 * the state directory is locked (flock) until knobs_close() or the end of the
 * process. @root stays the caller's, and must stay open. Freed with knobs_close().
 */
int knobs_open(int root, const char *state_dir, struct knobs **ret, struct errmsg *err);

/*
 * Makes the knob at @path, a plain path below sys/ or proc/sys/, hold @value, 0 or
 * more: journal, write, read back, compare. One that holds @value already is noted in the
 * journal and not written: it is held from then on.
 * Returns 0;
 * -EBUSY if someone else wrote the knob since (it is let go of now, the text
 *        names both values), and on every later call;
 * -EINVAL, -EIO, ... from the journal or the write itself: the knob is as it was;
 * -EILSEQ if the kernel took the write but reads back another value: the
 *        original value was written back, and sluice does not hold the knob any
 *        more (if that failed too, the text says so and the journal keeps it);
 * -ENODEV if the knob reads a negative value (no driver registered yet): such
 *        a value could not be written back, so the knob is not touched;
 * -ENOSPC if KNOBS_MAX knobs are in use.
 */
int knobs_set(struct knobs *knobs, const char *path, int64_t value, struct errmsg *err);

/*
 * Looks whether any knob that sluice holds was written by someone else; lets
 * go of it then. Returns 0, or -EBUSY with the text naming knob and values, once
 * for each such event (of two at once, the second at the next call). A knob that is
 * gone is no event; another -errno if one can't be read.
 */
int knobs_check(struct knobs *knobs, struct errmsg *err);

/* Whether sluice has let go of @path. */
bool knobs_lost(const struct knobs *knobs, const char *path);

/*
 * The value that @path had before sluice first set it; -ENOENT if sluice
 * does not hold it.
 */
int knobs_original(const struct knobs *knobs, const char *path, int64_t *ret);

/*
 * Writes every original value back, except where someone else wrote, and
 * removes the journal. One line per knob goes to @report (may be NULL):
 * "page_reporting_order: restored 9 (was 11)". Knobs that could not be restored
 * stay in the journal; returns the first error then. A knob that is gone (its
 * module was removed) is reported and dropped.
 */
int knobs_restore(struct knobs *knobs, FILE *report, struct errmsg *err);

/*
 * The same for the one knob at @path, which may be written again later; 0 too if sluice
 * does not hold it.
 */
int knobs_release(struct knobs *knobs, const char *path, FILE *report, struct errmsg *err);

/*
 * The same from a journal that an ended process left behind. Returns the
 * number of knobs that were written (0 if there is no journal, or no @state_dir),
 * or -errno; -EBADMSG for a journal that can't be understood (it is kept, with the
 * line in the text), -EPERM for one that someone else may have written, -EBUSY if
 * the process that writes it is still running. Nothing is written in these cases.
 * Knobs that hold neither a value that the journal says sluice wrote nor the
 * one it was about to write are left alone.
 */
int knobs_restore_leftover(int root, const char *state_dir, FILE *report, struct errmsg *err);

/* Closes without restoring (the journal stays, if there is one). NULL is fine. */
void knobs_close(struct knobs *knobs);

#endif
