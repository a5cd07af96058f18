/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy: a pure function from what is seen to what is done, with a
 * sentence that says why. No I/O, no clock, no globals: the same code runs in
 * the daemon and on tables.
 */
#ifndef SLUICE_POLICY_H
#define SLUICE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/config.h"
#include "sluice/pressure.h"
#include "sluice/snapshot.h"

enum policy_action {
	POLICY_LEAVE,	/* touch nothing */
	POLICY_HOLD,	/* nothing more is to be reported */
	POLICY_RELEASE, /* free memory is to be reported */
};

struct decision {
	enum policy_action action;
	unsigned int order; /* to write; above the highest order: off, where the kernel takes it */
	bool kick;
	uint64_t delay;	   /* ns for page_reporting_delay_ms; 0: leave it alone */
	const char *stage; /* of a strategy that works in stages, static; else NULL */
	char reason[384];
};

struct policy_input {
	const struct snapshot *snap;
	const struct config *config;
	struct activity activity; /* since the last decision */
	uint64_t now_ns;	  /* CLOCK_MONOTONIC */
	uint64_t pass_delay;	  /* ns from kick to pass: 2 s, or page_reporting_delay_ms */
	bool acting;		  /* decisions are carried out, so progress can be expected */
};

struct threshold_state {
	bool releasing;
	unsigned int kicks;	/* since the last progress */
	uint64_t began_with;	/* bytes to release, the most seen since the release began */
	uint64_t least_left;	/* bytes to release, the fewest seen */
	uint64_t reported;	/* bytes that were reported at the last decision */
	uint64_t progress_ns;	/* last sign of progress, or last kick */
	uint64_t cooldown_from; /* end of the last release; 0: none yet */
};

enum cycle_stage { CYCLE_IDLE, CYCLE_FILL, CYCLE_REPORT, CYCLE_SETTLE, CYCLE_DRAIN };

struct cycle_state {
	enum cycle_stage stage;
	unsigned int cycles;  /* since the last idle */
	uint64_t since_ns;    /* of the stage */
	uint64_t began_with;  /* extents above the mark when the cycle began */
	uint64_t reported;    /* bytes that were reported at the last decision */
	uint64_t progress_ns; /* last time that there were more of them */
};

struct burst_state {
	bool sweeping;
	unsigned int order;	/* of the step */
	uint64_t step_ns;	/* its beginning */
	uint64_t step_with;	/* bytes unreported at its order when it began */
	uint64_t began_with;	/* bytes unreported at the floor when the sweep began */
	uint64_t cooldown_from; /* end of the last sweep; 0: none yet */
};

struct slew_state {
	bool giving;
	uint64_t last_ns;     /* last decision; 0: none yet */
	int64_t allowance;    /* bytes that may be given by now; below 0: too many were */
	uint64_t reported;    /* bytes at the last decision */
	uint64_t unreported;  /* bytes at the last decision */
	uint64_t taken_ns;    /* when the guest last took memory; 0: never */
	uint64_t progress_ns; /* last time that something was given, or last kick */
};

/*
 * What a strategy remembers between decisions, each for itself; all zeroes at the
 * start and on a change of strategy.
 */
struct policy_state {
	struct threshold_state threshold;
	struct cycle_state cycle;
	struct burst_state burst;
	struct slew_state slew;
};

/* Depth of the snapshot that decisions under @config need on this kernel. */
enum scan_depth policy_depth(const struct config *config, unsigned int pageblock_order,
			     unsigned int highest_order);

/* Age (ns) below which a zone's extents count as young. */
uint64_t policy_min_age(const struct config *config, unsigned int node, const char *zone);

void policy_decide(const struct policy_input *input, struct policy_state *policy,
		   struct decision *decision);

const char *policy_action_name(enum policy_action action);

#endif
