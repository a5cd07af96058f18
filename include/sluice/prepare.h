/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Preparation: making memory free, and free memory contiguous, before it is reported.
 * All of these are writes to files of the kernel that return when the work is done:
 * the caller waits.
 */
#ifndef SLUICE_PREPARE_H
#define SLUICE_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/errmsg.h"
#include "sluice/lru_gen.h"
#include "sluice/topology.h"

/* What a step took of the caller. */
struct effort {
	uint64_t wall_ns;
	uint64_t cpu_ns; /* CLOCK_THREAD_CPUTIME_ID */
};

enum reclaim_method {
	RECLAIM_LRU_GEN, /* debugfs of the multi-gen LRU: by generation */
	RECLAIM_NODE,	 /* /sys/devices/system/node/nodeN/reclaim: 6.17+ */
	RECLAIM_CGROUP,	 /* memory.reclaim of the root of cgroup v2: 5.19+ */
	RECLAIM_NONE,
};

const char *reclaim_method_name(enum reclaim_method method);

/*
 * Whether the kernel counts the writer as a task that waits for memory (PSI): nodeN/reclaim does,
 * 2.7 to 3.8 ms for 60 MiB on 7.2; memory.reclaim (6.1, 7.2) and the generations (6.1, 7.2) add
 * nothing.
 */
bool reclaim_is_wait(enum reclaim_method method);

/* Which method is in use. */
struct reclaimer {
	enum reclaim_method method;
	bool has_swappiness; /* the method takes swappiness= */
	char why[384];	     /* why none of the methods before it, "; " between them */
};

/*
 * Finds the first method that this kernel has; RECLAIM_NONE with the reasons if there
 * is none. Methods other than RECLAIM_LRU_GEN that don't take swappiness= (cgroup v2
 * until 6.8) are passed over if there is swap, which they would use. Evicts nothing.
 */
void reclaim_probe(int root, const struct topology *topology, struct reclaimer *ret);

struct reclaim_request {
	uint64_t bytes;
	int swappiness;		 /* 0: page cache only */
	uint64_t min_idle_ns;	 /* of RECLAIM_LRU_GEN: leave younger generations alone */
	struct lru_watch *watch; /* of shape_read(); NULL: go by generations alone */
	uint64_t leave;		 /* bytes of it to leave in each list, the youngest */
	uint64_t budget_ns;	 /* no further write is begun after that time */
};

/*
 * Reclaims up to @request->bytes, in writes of at most RECLAIM_CHUNK. *done is what
 * left the LRU lists meanwhile by the kernel's count (pgsteal_*), which may be more
 * than was asked for: other methods than RECLAIM_LRU_GEN work in batches, and the
 * kernel may reclaim by itself at the same time. 0; -EAGAIN if it found less than it was asked for,
 * -EBUSY, -EINTR; if the method fails for good, the next one is taken, -EOPNOTSUPP if
 * none is left. *done and *effort are always written.
 */
#define RECLAIM_CHUNK ((uint64_t)16 * 1024 * 1024)
#define RECLAIM_LEAST ((uint64_t)256 * 1024) /* no write for less */
int reclaim(int root, const struct topology *topology, struct reclaimer *reclaimer,
	    const struct reclaim_request *request, uint64_t *done, struct effort *effort,
	    struct errmsg *err);

/*
 * Begins a new generation in each list of which nothing is old enough to be evicted
 * although its pages are, so that they can be the next time. 0 without
 * RECLAIM_LRU_GEN. Walks page tables.
 */
int reclaim_age(int root, const struct reclaimer *reclaimer, uint64_t min_idle_ns,
		uint64_t min_pages, struct effort *effort, struct errmsg *err);

/*
 * Compacts a node; with COMPACT_ALL_NODES all of them. -ENOENT without
 * CONFIG_COMPACTION. Whether it gained anything only a scan tells.
 */
#define COMPACT_ALL_NODES (-1)
int compact(int root, const struct topology *topology, int node, struct effort *effort,
	    struct errmsg *err);

/*
 * Pushes pages out of the per-CPU lists: those of other nodes, and since 6.7 those
 * beyond what a CPU needed lately (/proc/sys/vm/stat_refresh).
 */
int lists_drain(int root, struct effort *effort, struct errmsg *err);

#endif
