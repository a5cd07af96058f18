/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What would return a line of the account to the host, in one sentence. Pure functions;
 * explain.c reads and prints.
 */
#ifndef SLUICE_ADVICE_H
#define SLUICE_ADVICE_H

#include <stdbool.h>

#include "sluice/account.h"

/* What sluiced does, by its status. */
struct daemon_state {
	bool runs;
	bool controls; /* mode is control, the kernel can report, nobody else writes the knob */
	char action[16];
	char strategy[16];
	char reason[384]; /* of its last decision, or why it controls nothing */
};

struct situation {
	const struct snapshot *snap;
	const struct reporting *reporting;
	const struct memory_counters *counters;
	const struct account *account;
	const struct daemon_state *daemon;
	bool has_reclaim; /* memory.reclaim of the root cgroup, 5.19+ */
	bool has_drain;	  /* this client has the command "drain" */
	bool virtio_mem;  /* its driver is loaded */
};

#define ADVICE_TEXT 640

/* Returns @buf. */
char *advice_text(const struct situation *situation, enum account_line line, char buf[ADVICE_TEXT]);

/* What is outside the sum. */
enum outside_line { OUTSIDE_BALLOON, OUTSIDE_RESERVED, OUTSIDE_HOLES, OUTSIDE_LINES };

char *outside_text(const struct situation *situation, enum outside_line line,
		   char buf[ADVICE_TEXT]);

/* What may be wrong with the sum, or belongs to no single line. */
enum remark {
	REMARK_BELOW_0,	    /* "other kernel" */
	REMARK_UNCOUNTED,   /* by this kernel */
	REMARK_UNEVICTABLE, /* of what is in use */
	REMARK_ISOLATED,    /* of what is free */
	REMARKS
};

/* "" if there is nothing to say. */
char *remark_text(const struct situation *situation, enum remark remark, char buf[ADVICE_TEXT]);

/*
 * The highest order below the limit at which the kernel would report at least half of
 * what is too small now; -1: none, or it can't be known.
 */
int advised_order(const struct snapshot *snap, const struct account *account);

#endif
