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
#include "sluice/shape.h"
#include "sluice/snapshot.h"
#include "sluice/topology.h"

enum policy_action {
	POLICY_LEAVE,	/* touch nothing */
	POLICY_HOLD,	/* nothing more is to be reported */
	POLICY_RELEASE, /* free memory is to be reported */
};

/* Page cache that a strategy wants to be evicted; bytes 0: none. */
struct eviction {
	uint64_t bytes;
	uint64_t min_idle; /* ns: what was used since then is to stay, as far as it is known */
	uint64_t leave;	   /* bytes that are to stay in each list, since they may have come later */
	bool age; /* nothing is old enough, by generations: begin new ones where that is time */
};

struct decision {
	enum policy_action action;
	unsigned int order; /* to write; above the highest order: off, where the kernel takes it */
	bool kick;
	uint64_t delay;	   /* ns for page_reporting_delay_ms; 0: leave it alone */
	const char *stage; /* of a strategy that works in stages, static; else NULL */
	struct eviction evict;
	const char *guard; /* that vetoed what the strategy wanted, static; else NULL */
	char reason[384];
};

/* What was done to prepare since the last decision; all 0: nothing. */
struct prepared {
	uint64_t asked;	    /* bytes that were to be reclaimed */
	uint64_t reclaimed; /* bytes */
	bool scarce;	    /* the kernel found less than it was asked for */
	bool unable;	    /* there is no means to reclaim */
	bool compacted;
	int node;	 /* that was compacted, or -1: all */
	uint64_t blocks; /* pageblocks that became free as a whole by it */
	uint64_t compact_ns;
	uint64_t wait_ns; /* of reclaim, by the clock, that the kernel counts as memory pressure */
	uint64_t time_ns; /* of all steps: CPU or by the clock, whichever is more */
};

struct policy_input {
	const struct snapshot *snap;
	const struct config *config;
	struct activity activity;  /* since the last decision */
	const struct shape *shape; /* NULL: not observed */
	struct prepared prepared;
	uint64_t now_ns;     /* CLOCK_MONOTONIC */
	uint64_t pass_delay; /* ns from kick to pass: 2 s, or page_reporting_delay_ms */
	bool acting;	     /* decisions are carried out, so progress can be expected */
	bool hyperv;	     /* the host is Hyper-V: no order is raised during a pass */
	bool poisoned;	     /* free pages hold what the host has to keep */
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

/* Stops what reclaims: after what it reclaimed is read again, or tasks wait for memory. */
struct brake_state {
	uint64_t window_ns; /* beginning of the window that the next two are counted in; 0: none */
	uint64_t reclaimed; /* bytes */
	uint64_t refaults;  /* bytes */
	uint64_t until_ns;  /* no reclaim before; 0: never braked */
};

/* Page cache as it was at some time; what came in since is the difference. */
struct inflow {
	uint64_t time_ns;
	uint64_t read, held, deactivated; /* bytes; held: cached or reclaimed since boot */
};

#define TRIM_SAMPLES 16

struct trim_state {
	struct brake_state brake;
	uint64_t min_idle;		     /* that the samples were taken for */
	struct inflow samples[TRIM_SAMPLES]; /* ring, one per eighth of min_idle */
	unsigned int nr, next;
	uint64_t last_ns;
	uint64_t window_ns; /* beginning of the min_idle that max_fraction counts in */
	uint64_t window_cache, window_gone; /* bytes */
	uint64_t rest_ns;		    /* nothing is evicted before, */
	bool unable;			    /* since there is no means, not since little is found */
	bool releasing;
	unsigned int kicks;   /* since the last progress */
	uint64_t reported;    /* bytes at the last decision */
	uint64_t progress_ns; /* last time that more was reported, or last kick */
	uint64_t given_up;    /* bytes unreported when kicks brought nothing; 0: they did */
};

enum ladder_phase { LADDER_BUSY, LADDER_SETTLING, LADDER_IDLE };

struct ladder_state {
	bool started;
	enum ladder_phase phase;
	uint64_t busy_ns;	 /* last decision that saw the guest busy */
	uint64_t quiet_ns;	 /* since when it is quiet */
	uint64_t looked_ns;	 /* last look at all orders */
	uint64_t cold_ns;	 /* while busy: last time that most was cold; 0: not lately */
	bool away;		 /* on a rung below pageblock order */
	unsigned int rung;	 /* its order */
	uint64_t away_ns;	 /* since when */
	uint64_t reported;	 /* bytes at the last decision, at the order of the release */
	uint64_t progress_ns;	 /* last growth of it, or last kick; 0: begins */
	unsigned int kicks;	 /* without effect, since then */
	unsigned int left_order; /* order of the last excursion, */
	uint64_t left_reported;	 /* what was reported at it when it ended, bytes, */
	uint64_t left_ns;	 /* and when; 0: none whose outcome is still to be seen */
	double refault;		 /* share of what excursions reported that was soon taken again */
	bool refault_known;
};

enum guard {
	GUARD_NONE,
	GUARD_PRESSURE,
	GUARD_CHURN,
	GUARD_ALLOC_RATE,
	GUARD_RESERVE,
	GUARD_LOCK_TIME,
	GUARD_POISON,
	GUARD_HYPERV,
};

struct guard_state {
	enum guard last;     /* cause of the last veto that lasts beyond its cause */
	uint64_t last_ns;    /* when the cause was last seen */
	bool vetoed;	     /* the last decision was: no progress can be expected */
	double reported;     /* bytes that became reported lately, fading with churn_age */
	double reused;	     /* of these, allocated again, fading as they do */
	uint64_t seen_bytes; /* reported at the last decision */
	uint64_t pass_ns;    /* last sign of a pass: growth of that, or a kick */
};

/*
 * What strategies and guards remember between decisions, each for itself; all zeroes
 * at the start and on a change of strategy.
 */
struct policy_state {
	struct threshold_state threshold;
	struct cycle_state cycle;
	struct burst_state burst;
	struct slew_state slew;
	struct trim_state trim;
	struct ladder_state ladder;
	struct guard_state guards;
};

/* Depth of the snapshot that the next decision, at @now_ns, needs on this kernel. */
enum scan_depth policy_depth(const struct config *config, const struct policy_state *policy,
			     const struct topology *topology, uint64_t now_ns);

/* Age (ns) below which a zone's extents count as young. */
uint64_t policy_min_age(const struct config *config, unsigned int node, const char *zone);

void policy_decide(const struct policy_input *input, struct policy_state *policy,
		   struct decision *decision);

#define PREPARE_MINUTES 60 /* of the hour that quotas are about */

struct node_looks {
	unsigned int node;
	unsigned int agreeing; /* looks in a row that promise enough */
	uint64_t until_ns;     /* left alone before; 0: not */
	uint64_t cost_ns;      /* of the last compaction */
};

struct prepare_state {
	struct brake_state brake;
	uint64_t minute; /* of the last entry, since boot */
	uint64_t bytes[PREPARE_MINUTES], time_ns[PREPARE_MINUTES];
	uint64_t last_ns; /* last preparation; 0: none */
	unsigned int nr_nodes;
	struct node_looks nodes[SLUICE_MAX_ZONES];
};

/* What is to be done, in this order: reclaim, drain the per-CPU lists, compact. */
struct preparation {
	uint64_t reclaim_bytes;
	bool drain_lists;
	bool compact;
	int node;	    /* to compact, or -1: all */
	uint64_t budget_ns; /* reclaim begins no further write after that */
	char reason[256];
};

/* What is left of the quotas of the hour that ends at @now_ns. */
void prepare_quota(const struct config *config, const struct prepare_state *state, uint64_t now_ns,
		   uint64_t *bytes, uint64_t *time_ns);

/* Pure as policy_decide(). @decision: what the strategy decided, which comes afterwards. */
void prepare_decide(const struct policy_input *input, const struct decision *decision,
		    struct prepare_state *state, struct preparation *preparation);

/*
 * Pageblocks that compaction could complete in a node: almost free ones, as far as what
 * is used in them finds room in blocks that stay partly used.
 */
uint64_t prepare_completable(const struct node_shape *node, unsigned int pageblock_order);

/*
 * Time (ns) that a pass at @order spends walking lists below pageblock order with
 * interrupts off (page_reporting_cycle() under zone->lock): an estimate.
 */
uint64_t policy_lock_time(const struct snapshot *snap, unsigned int order);

const char *policy_action_name(enum policy_action action);

#endif
