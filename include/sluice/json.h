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
#include "sluice/topology.h"
#include "sluice/view.h"

#define JSON_VERSION 1

/*
 * {"version":1, "zones":[{"node":0, "zone":"Normal", "orders":[{"order":0,
 * "free_extents":N, "reported_extents":N, "reportable_extents":N}, ...]}]}
 * and more keys. reported_extents and reportable_extents are null where the
 * source does not show them. The caller owns the result; NULL: no memory.
 */
json_t *snapshot_json(const struct snapshot *snap);

/*
 * The same, and for each order of a full scan "unusable_share" (view_unusable()); for
 * each zone its view (view.h) and what the map counted: "runs", "ages", "almost_free",
 * "lifetimes", "reuse". Buckets name their bounds: "from_..." inclusive, "below_..."
 * exclusive, null: none; empty ones are left out. "observed_ns" is how long the
 * map has been kept: ages and lifetimes can't be known beyond that. Without a map (source
 * "buddyinfo") a zone's view is missing.
 */
json_t *hist_json(const struct snapshot *snap, const struct topology *topology,
		  const struct blockmap *map);

/*
 * The snapshot that hist_json() of a full scan was made from, but for times, ages and
 * repairs. 0, or -EBADMSG with what is missing; *ret is written on success only.
 */
int snapshot_from_json(const json_t *json, struct snapshot *ret, struct errmsg *err);

/*
 * Every pageblock of online memory, ascending: {"version":1, "page_size":N,
 * "pageblock_order":N, "section_order":N, "parts":[{"node":0, "zone":"Normal",
 * "start_pfn":N, "blocks":"0000R4F..."}]}. One character per block: R free as a
 * whole and reported, F free as a whole, 0 to 7: so many eighths free, rounded down.
 */
json_t *map_json(const struct topology *topology, const struct blockmap *map);

/* What reporting_read() found. */
json_t *reporting_json(const struct reporting *reporting);
/* The reverse; a member that is missing is not there. */
void reporting_from_json(const json_t *json, struct reporting *ret);

/* Prints on one line or indented, with a newline; 0 or -EIO. */
int json_print(const json_t *json, bool indent, FILE *out);

#endif
