/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A/B experiments: two configurations by turns on one running guest (a switchback design), and
 * what they differ in.
 *
 * A period is one stretch of time under one arm. It begins with the wash-out, which is not
 * measured; the rest is the window. Periods are grouped in blocks, whose order of arms is drawn
 * at random; a block gives one paired difference per outcome. The file of an experiment has one
 * JSON document per line: the header, then periods and events as they come, and is all that a
 * report needs.
 */
#ifndef SLUICE_EXPERIMENT_H
#define SLUICE_EXPERIMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sluice/bpf_shared.h"
#include "sluice/errmsg.h"

#define AB_FILE_VERSION 1

#define AB_MIN_BLOCKS	6 /* with fewer, no result can reach 5 %: 2 of 2^5 are 6.25 % */
#define AB_MAX_BLOCKS	512
#define AB_BLOCK_LENGTH 4 /* periods of a block at the most */
#define AB_MAX_METRICS	8
#define AB_NAME		32 /* of an outcome, with its NUL */
#define AB_ID		64
#define AB_MAX_POINTS	64 /* of the time line of one period */

enum ab_arm { AB_A, AB_B, AB_ARMS };

enum ab_design {
	AB_PAIRS, /* AB or BA */
	AB_ABBA,  /* ABBA or BAAB: a steady trend cancels within each block */
};

enum ab_better { AB_LESS, AB_MORE, AB_NEITHER };

/* Outcomes that sluice measures itself, by their index; metrics follow. */
enum {
	AB_UNREPORTED, /* free memory that the host does not know of, at all orders: GiB x s */
	AB_REPORTED,   /* became reported, in pageblocks: MiB */
	AB_REUSED,     /* of it, allocated again within guards.churn_age: MiB */
	AB_PSI_SOME,   /* /proc/pressure/memory: ms */
	AB_PSI_FULL,
	AB_ALLOC_STALLS,   /* /proc/vmstat allocstall_* */
	AB_COMPACT_STALLS, /* compact_stall */
	AB_REFAULTS,	   /* workingset_refault_*: pages */
	AB_WORKER_CPU,	   /* of kernel workers, which run the passes: ms */
	AB_DAEMON_CPU,	   /* of sluiced: ms */
	AB_HOST,	   /* resident on the host, with a feed only: GiB x s */
	AB_ALWAYS,
	AB_MAX_OUTCOMES = AB_ALWAYS + AB_MAX_METRICS,
};

struct ab_outcome {
	char name[AB_NAME];
	char unit[AB_NAME];
	enum ab_better better;
	char command[256]; /* of a metric; else "" */
};

/* What is decided before the first period. Times in ns. */
struct ab_plan {
	enum ab_design design;
	unsigned int blocks;
	uint64_t period; /* wash-out included */
	uint64_t washout;
	uint64_t seed;
	/* of all periods, 'A' and 'B', with a NUL; made by ab_draw() */
	char sequence[AB_MAX_BLOCKS * AB_BLOCK_LENGTH + 1];
};

/* One period as it was measured, whole: broken ones are not recorded. */
struct ab_period {
	unsigned int number; /* its place in the sequence, from 0 */
	enum ab_arm arm;
	int64_t start_ms; /* of the period, CLOCK_REALTIME */
	double seconds;	  /* of the window */
	/* by outcome; NAN: missing. Of sums (GiB x s, counts): scaled to the planned window */
	double value[AB_MAX_OUTCOMES];
	double drift[AB_MAX_OUTCOMES]; /* second half of the window minus the first; or NAN */
	unsigned int samples[AB_MAX_OUTCOMES], failures[AB_MAX_OUTCOMES]; /* of metrics and feed */
	/* of the map meanwhile: pageblocks by how long they had been free, and reported, when they
	 * were allocated from; bucket bounds as in view.h */
	uint64_t lifetimes[SLUICE_TIME_BUCKETS], reuse[SLUICE_TIME_BUCKETS];
	/* time line: seconds since the start of the period, GiB; host NAN where it is unknown */
	unsigned int nr_points;
	float at[AB_MAX_POINTS], unreported[AB_MAX_POINTS], host[AB_MAX_POINTS];
};

struct ab_event {
	int64_t time_ms;    /* CLOCK_REALTIME */
	char what[AB_NAME]; /* "started", "interrupted", "resumed", "stopped", "finished" */
	char text[256];
};

/* The guest that it runs on; "" where the kernel does not tell. */
struct ab_guest {
	char machine[AB_ID]; /* /etc/machine-id, else DMI's product_uuid */
	char boot[AB_ID];    /* /proc/sys/kernel/random/boot_id */
	char kernel[AB_ID];
};

struct ab_experiment {
	char id[AB_ID];	    /* also the name of its file */
	char sluice[AB_ID]; /* version that wrote the file */
	int64_t created_ms;
	struct ab_guest guest;
	struct ab_plan plan;
	char arm_file[AB_ARMS][256]; /* where the configuration came from */
	char *arm_text[AB_ARMS];     /* the configuration itself */
	char host_feed[256];	     /* "": none */
	struct ab_outcome outcomes[AB_MAX_OUTCOMES];
	unsigned int nr_outcomes;
	unsigned int primary;	 /* index of an outcome */
	double margin;		 /* of equivalence, share of A's level: 0.05 */
	double alpha, power;	 /* 0.05, 0.8 */
	uint64_t sample;	 /* ns between looks */
	uint64_t metric_timeout; /* ns */
	/* percent at which the experiment stops; 0: never */
	int stop_pressure, stop_churn, stop_errors;

	struct ab_period *periods; /* in order of their numbers, those that were measured */
	unsigned int nr_periods;
	struct ab_event *events;
	unsigned int nr_events;
	bool ended; /* the last event is "stopped" or "finished" */
};

/*
 * Reads who this guest is; a member that the kernel does not tell is "". Returns 0, or -errno for
 * a file that is there but can't be read or makes no sense.
 */
int ab_guest_read(int root, struct ab_guest *ret, struct errmsg *err);

/* Periods of a block: 2 or 4. */
unsigned int ab_block_length(enum ab_design design);

/* Periods in all. */
unsigned int ab_periods(const struct ab_plan *plan);

/* Draws the order of arms of each block with @plan->seed, and writes @plan->sequence. */
void ab_draw(struct ab_plan *plan);

/*
 * Blocks from which on an outcome other than the primary one can be found different at all: the
 * least p of n blocks is 2^(1-n), which Holm's first step multiplies by the number of outcomes.
 */
unsigned int ab_least_for_others(const struct ab_experiment *experiment);

/* Whole run, ns. */
uint64_t ab_duration(const struct ab_plan *plan);

const char *ab_design_name(enum ab_design design);
const char *ab_better_name(enum ab_better better);

/* The outcomes that are always measured, in the order of ab_experiment.outcomes, but for the
 * host's, which is there with a feed only. Returns their number. */
unsigned int ab_outcomes(bool host_feed, struct ab_outcome *outcomes);

/* -1: no such outcome. */
int ab_find_outcome(const struct ab_experiment *experiment, const char *name);

/* --- the file ---------------------------------------------------------------------------------- */

json_t *ab_header_json(const struct ab_experiment *experiment);
json_t *ab_period_json(const struct ab_experiment *experiment, const struct ab_period *period);
json_t *ab_event_json(const struct ab_event *event);

/*
 * Reads a file; the caller frees *ret with ab_free(). A last line without an end, as a crash
 * leaves it, is ignored; any other that is wrong is -EBADMSG with "file:line: what". Of
 * another version: -EPROTONOSUPPORT. Of a period that was measured twice the last counts.
 */
int ab_load(const char *path, struct ab_experiment **ret, struct errmsg *err);
void ab_free(struct ab_experiment *experiment);

/*
 * Creates the file of an experiment, which must not be there, with its header. *ret is a
 * descriptor for ab_append(), to be closed by the caller. Returns 0 or -errno.
 */
int ab_create(const char *path, const struct ab_experiment *experiment, int *ret,
	      struct errmsg *err);

/* Opens an existing one to go on with it; a last line without an end is cut off. */
int ab_reopen(const char *path, int *ret, struct errmsg *err);

/* Adds a line, which is on the disk when this returns 0. @json is released. */
int ab_append(int fd, json_t *json, struct errmsg *err);

/* --- the analysis ------------------------------------------------------------------------------ */

enum ab_verdict {
	AB_A_BETTER,
	AB_B_BETTER,
	AB_DIFFERENT,
	AB_EQUIVALENT,
	AB_SAME, /* no block showed any difference, and there is no margin: A is at 0 */
	AB_NOT_ENOUGH,
};

/*
 * What is known of one outcome. Differences are B minus A; levels and effects in its unit. With n
 * of 0, levels and the estimate are NAN, intervals and what is detectable infinite, and p is 1.
 */
struct ab_effect {
	unsigned int outcome;
	unsigned int n;		    /* blocks that are whole and have it in each period */
	unsigned int missing;	    /* whole blocks that lack it */
	double level[AB_ARMS];	    /* median over blocks of the mean of an arm's periods */
	double *differences;	    /* n of them: mean of B's periods minus mean of A's, in order;
				       0 if they agree in all but what is rounded off */
	unsigned int *blocks;	    /* n: which block each is */
	double estimate;	    /* Hodges-Lehmann */
	double low, high;	    /* of it, at 1 - alpha; infinite: too few */
	double near_low, near_high; /* at 1 - 2 alpha: for equivalence */
	double p;		    /* of no difference */
	double adjusted;	    /* the same, by Holm over all outcomes */
	/* Of the primary outcome at alpha; of others at alpha / nr_outcomes, Holm's first step. */
	double detectable;   /* smallest effect that so many blocks find with the wanted power */
	double margin;	     /* of equivalence, absolute; 0 if A is at 0: then nothing is within */
	unsigned int needed; /* blocks in all to find an effect of the margin; 0: more than can
				be, or not known, with n of less than 2 or no margin */
	double trend, trend_p; /* of the blocks' means, per block */
	double carry, carry_p; /* B minus A of the drift within windows, of blocks that have it in
				  all periods: the wash-out is too short if that is there */
	enum ab_verdict verdict;
	char text[512]; /* the verdict in words, with the figures that it rests on */
};

struct ab_result {
	unsigned int blocks; /* whole ones */
	unsigned int nr;
	struct ab_effect effects[AB_MAX_OUTCOMES]; /* as the outcomes */
	char verdict[512];     /* of the primary outcome, one or two sentences */
	char warnings[8][256]; /* carry-over, trend, too few, stopped early, missing values */
	unsigned int nr_warnings;
};

/*
 * The verdict of the primary outcome rests on p as it is, since it was declared; that of
 * all others on p adjusted. With p at most alpha: one is better (AB_DIFFERENT where neither
 * direction is); else AB_EQUIVALENT if the 1 - 2 alpha interval lies within the margin
 * (two one-sided tests, Schuirmann 1987; of each outcome by itself, Holm corrects differences
 * only); else AB_NOT_ENOUGH, with how much more is needed. Fewer than AB_MIN_BLOCKS are never
 * enough. @resamples: of the bootstrap, 100 or more, AB_RESAMPLES in earnest. Intervals follow
 * from the plan's seed. The caller frees *ret with ab_result_free(). Returns 0 or -ENOMEM.
 */
#define AB_RESAMPLES 10000
int ab_analyse(const struct ab_experiment *experiment, unsigned int resamples,
	       struct ab_result **ret);
void ab_result_free(struct ab_result *result);

/* Blocks that an effect of @share (0.05) of A's level in an outcome needs; 0: more than
 * AB_MAX_BLOCKS, or A is at 0. -ENODATA with fewer than 2 blocks. */
int ab_needed(const struct ab_effect *effect, double share, double alpha, double power,
	      unsigned int *ret);

/* "A is better", "B is better", "different", "equivalent", "not enough data" */
const char *ab_verdict_name(enum ab_verdict verdict);

/* --- the report -------------------------------------------------------------------------------- */

json_t *ab_report_json(const struct ab_experiment *experiment, const struct ab_result *result);
void ab_report_text(const struct ab_experiment *experiment, const struct ab_result *result,
		    FILE *out);
/*
 * One page without anything outside it; plots by gnuplot as SVG. -ENOENT if gnuplot is not
 * there, another -errno with the reason if it or the file failed; no half-written file is left.
 */
int ab_report_html(const struct ab_experiment *experiment, const struct ab_result *result,
		   const char *path, struct errmsg *err);

#endif
