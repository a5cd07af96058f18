/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The protocol between client and daemon: over a Unix stream socket in the
 * runtime directory, one line of JSON {"request": "..."} is answered by one JSON
 * document, and the daemon closes. An answer with the member "error" is a
 * failure in words.
 */
#ifndef SLUICE_CONTROL_H
#define SLUICE_CONTROL_H

#define CONTROL_SOCKET	    "control"
#define CONTROL_LOCK	    "lock" /* held (flock) by the daemon, holds its pid */
#define CONTROL_MAX_REQUEST 4096

#define REQUEST_STATUS "status"
#define REQUEST_HIST   "hist"
#define REQUEST_MAP    "map"
/* root only: an audit now */
#define REQUEST_AUDIT "audit"
/* root only: one kick */
#define REQUEST_KICK "kick"
/*
 * root only: drain, {"order":N, "timeout_ms":N, "prepare":false}, each with a default. At
 * most one at a time. The answer is that of REQUEST_DRAIN_STATUS; the time-out is
 * the daemon's, so nothing stays behind if the client goes.
 */
#define REQUEST_DRAIN "drain"
/*
 * The drain that runs or ran last: {"version":1, "drain":"running", "id":N, ...}, or
 * "dry", "timeout", "stopped", "failed"; "none" alone if there was none.
 */
#define REQUEST_DRAIN_STATUS "drain-status"
/* root only: end it; answer as REQUEST_DRAIN_STATUS */
#define REQUEST_DRAIN_STOP "drain-stop"
/*
 * root only: an arm of an experiment: {"experiment":ID, "arm":"A" or "B", "config":PATH,
 * "lease_ms":N}. Puts the configuration in that file in force, in the place of the daemon's own:
 * the knobs go back and all state begins anew, whatever was in force, the same arm too; but
 * what sluice has let go of stays so until a reload. Without a renewal for the lease (1 s to
 * 10 min) the daemon's own configuration returns; so it does with REQUEST_ARM_END,
 * REQUEST_RESTORE and at a start of the daemon. A reload meanwhile replaces what returns.
 * Refused: while another experiment has the lease, while a drain runs, and a configuration with
 * errors ("file:line: ...", one per line) or with another value of what only a start can change.
 * The daemon reads the file without CAP_DAC_OVERRIDE, and where a unit shuts it in, it sees its
 * own /tmp and no /home. The answer is that of REQUEST_SAMPLE.
 */
#define REQUEST_ARM "arm"
/*
 * root only: {"experiment":ID, "config":PATH}: whether REQUEST_ARM would be refused for what it
 * asks; nothing is put in force. The answer is {"version":1}.
 */
#define REQUEST_ARM_CHECK "arm-check"
/*
 * root only: {"experiment":ID}; the daemon's own configuration returns. The answer is
 * {"version":1, "ended":true}, or false if it had returned before. Refused: while another
 * experiment has the lease.
 */
#define REQUEST_ARM_END "arm-end"
/*
 * root only: counters for an experiment, after a full scan; with {"experiment":ID} the lease
 * of that experiment begins anew. All members are totals since the daemon started or since the
 * map began, but for those of the scan:
 * {"version":1, "time_ns":N, "instance":N (differs after a restart), "pid":N, "experiment":ID or
 * null, "arm":"A" or null, "arms":N (times that an arm was put in force), "reloads":N,
 * "free_bytes":N, "reported_bytes":N or null (at all orders), "churn_reported_bytes":N,
 * "churn_reused_bytes":N (within guards.churn_age of the daemon's own configuration),
 * "lifetimes":[...], "reuse":[...] (by sluice_time_bucket, over all zones), "map_renewed":N,
 * "releases":N, "kicks":N, "vetoes":N, "drains":N, "let_go":false, "let_go_reason":"",
 * "trusted":true, "untrusted_reason":"", "usable":true, "unusable_reason":""}
 */
#define REQUEST_SAMPLE "sample"
/* root only: give all knobs back and control nothing until a reload */
#define REQUEST_RESTORE "restore"

#endif
