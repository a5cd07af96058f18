/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers from outside, during an experiment: a user's command, and what the host says.
 * Nothing here waits.
 */
#ifndef SLUICE_METRIC_H
#define SLUICE_METRIC_H

#include <stdint.h>

#include "sluice/errmsg.h"

struct metric;

/*
 * A metric: @command is run by /bin/sh with no input; what it prints, as its only line, is one
 * decimal number ("12", "-0.5", "1.5e3"; white space around it is allowed). No run is under
 * way yet. @timeout: ns that a run may take. 0 or -ENOMEM.
 */
int metric_open(const char *command, uint64_t timeout, struct metric **ret, struct errmsg *err);

/*
 * Starts a run, in a process group of its own, with standard error of the caller. -EBUSY while
 * one is under way; else 0 or the reason why it can't be started.
 */
int metric_start(struct metric *metric, uint64_t now_ns, struct errmsg *err);

/* To be polled for reading, the same one for a whole run; -1 while none is under way. */
int metric_fd(const struct metric *metric);

/* When metric_take() is due at the latest, ns; UINT64_MAX while no run is under way. */
uint64_t metric_deadline(const struct metric *metric);

/*
 * What became of the run, to be asked when there is something to read, and at the deadline.
 * It ends when the shell does: what that has left in the background is killed, and not waited for.
 * Returns 0 with the number, -EAGAIN while the run is under way; else the run has failed, with the
 * reason: -ETIMEDOUT (its process group was killed), -ECHILD (exit status or signal), -EBADMSG (no
 * number, more than a number, not finite); -EINVAL: there was none. No process of it is left then
 * but what it put into another group.
 */
int metric_take(struct metric *metric, uint64_t now_ns, double *ret, struct errmsg *err);

/* Ends a run that is under way. */
void metric_close(struct metric *metric);

struct feed;

/*
 * The host's feed: bytes of this guest's memory that are resident on the host, one
 * decimal number per line, as the host sees them. @path: a regular file that is rewritten or
 * appended to (its last whole line counts), or a port of virtio-serial, another character
 * device or a fifo (what comes is read, its last whole line counts). 0 or -errno.
 */
int feed_open(const char *path, struct feed **ret, struct errmsg *err);

/* Age beyond which a number is no longer the host's present state. */
#define FEED_STALE_NS UINT64_C(15000000000)

/*
 * The newest number. A regular file must have been modified, and a line must have come, within
 * FEED_STALE_NS: else -ENODATA. -EBADMSG: the newest line is no number of bytes. Other -errno:
 * reading failed; a feed whose file went away, or whose port has no other end, is looked for again
 * at the next call.
 */
int feed_take(struct feed *feed, uint64_t now_ns, uint64_t *bytes, struct errmsg *err);

void feed_close(struct feed *feed);

#endif
