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
/* root only: give all knobs back and control nothing until a reload */
#define REQUEST_RESTORE "restore"

#endif
