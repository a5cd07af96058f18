/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Machine output: snapshots and facts as JSON (jansson). The daemon answers
 * with it, the client prints it or draws from it, so both show the same.
 */
#ifndef SLUICE_JSON_H
#define SLUICE_JSON_H

#include <jansson.h>
#include <stdio.h>

#include "sluice/reporting.h"
#include "sluice/snapshot.h"

#define JSON_VERSION 1

/*
 * {"version":1, "zones":[{"node":0, "zone":"Normal", "orders":[{"order":0,
 * "free_extents":N, "reported_extents":N, "reportable_extents":N}, ...]}]}
 * and more keys. reported_extents and reportable_extents are null where the
 * source does not show them. The caller owns the result; NULL: no memory.
 */
json_t *snapshot_json(const struct snapshot *snap);

/* What reporting_read() found. */
json_t *reporting_json(const struct reporting *reporting);

/* Prints on one line or indented, with a newline; 0 or -EIO. */
int json_print(const json_t *json, bool indent, FILE *out);

#endif
