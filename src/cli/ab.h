/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of sluice ab. */
#ifndef SLUICE_AB_H
#define SLUICE_AB_H

#include "cli.h"
#include "sluice/clock.h"
#include "sluice/experiment.h"
#include "sluice/metric.h"
#include "sluice/pressure.h"
#include "sluice/worker_cpu.h"

#define AB_DIRECTORY "/var/lib/sluice/ab"
#define AB_LOCK	     "lock" /* held (flock) by the one that runs an experiment, holds its pid */

/* --- ab_files.c: where experiments are ----------------------------------------------------------- */

#define AB_PATH 512

/* DIR/ID.jsonl; -ENAMETOOLONG. */
int ab_path(const char *directory, const char *id, const char *suffix, char ret[AB_PATH],
	    struct errmsg *err);

/* The experiment that was begun last; -ENOENT if there is none. */
int ab_latest(const char *directory, char ret[AB_PATH], struct errmsg *err);

/* @name: a path, an ID, or NULL for the latest. */
int ab_find(const char *directory, const char *name, char ret[AB_PATH], struct errmsg *err);

/* Takes the lock; *ret is to be closed at the end. -EBUSY names the process that has it. */
int ab_lock(const char *directory, int *ret, struct errmsg *err);

/* The process that runs an experiment; 0: none does. */
pid_t ab_runner(const char *directory);

/* --- ab_look.c: counters at one time -------------------------------------------------------------- */

/* What sluiced says that has to stay the same while a period is measured. */
struct ab_state {
	uint64_t instance, arms, drains, map_renewed;
	bool in_force;	   /* the experiment's arm is */
	char trouble[384]; /* why nothing that is measured now counts: "": it does */
	bool let_go;	   /* the trouble is that someone else wrote a knob */
};

/* Totals; differences of two of them are what a period is about. */
struct ab_look {
	uint64_t time_ns;
	struct ab_state state;
	int pid; /* sluiced's */
	bool has_unreported, has_daemon_cpu;
	uint64_t unreported;		       /* bytes, at this time */
	double host;			       /* bytes, at this time; NAN: unknown */
	uint64_t churn_reported, churn_reused; /* bytes */
	struct pressure_totals totals;
	uint64_t daemon_ns;
	uint64_t lifetimes[SLUICE_TIME_BUCKETS], reuse[SLUICE_TIME_BUCKETS];
};

/* Puts an arm in force, and looks; as ask_daemon(). */
int ab_put_arm(const struct cli *cli, const char *id, enum ab_arm arm, const char *config,
	       uint64_t lease_ns, json_t **ret, struct errmsg *err);
/* Whether sluiced would take the arm; errors as above. */
int ab_check_arm(const struct cli *cli, const char *id, const char *config, struct errmsg *err);
/* Ends the arm, quietly. */
void ab_end_arm(const struct cli *cli, const char *id);

/* What an answer of REQUEST_ARM or REQUEST_SAMPLE says of it. */
void ab_read_state(const json_t *answer, const char *id, struct ab_state *ret);

/* Looks, which renews the lease; @root as root_open() gives it. The host is not in it. */
int ab_take_look(const struct cli *cli, int root, const char *id, struct ab_look *ret,
		 struct errmsg *err);

int64_t ab_wall_ms(void);

/* --- ab_window.c: from looks to the values of a period -------------------------------------------- */

struct ab_sum {
	double sum;
	unsigned int nr;
};

/* One half of a window. */
struct ab_half {
	double unreported, host; /* integrals, bytes x s */
	double host_seconds;	 /* for which the host is known */
	struct ab_sum metrics[AB_MAX_METRICS];
	struct ab_look first, last;
	struct worker_cpu first_workers, last_workers;
};

struct ab_window {
	struct ab_half halves[2];
	unsigned int now; /* the half that is measured */
	unsigned int host_samples, host_failures;
	unsigned int metric_samples[AB_MAX_METRICS], metric_failures[AB_MAX_METRICS];
	unsigned int nr_points;
	float at[AB_MAX_POINTS], unreported[AB_MAX_POINTS], host[AB_MAX_POINTS];
};

void ab_window_begin(struct ab_window *window, int root, const struct ab_look *look);
/* One more look; integrals go straight from look to look. */
void ab_window_add(struct ab_window *window, const struct ab_look *look);
/* This look ends the first half and begins the second; or ends the window. */
void ab_window_half(struct ab_window *window, int root, const struct ab_look *look);
void ab_window_end(struct ab_window *window, int root, const struct ab_look *look);
/* A point of the time line, @seconds since the start of the period. */
void ab_window_point(struct ab_window *window, double seconds, const struct ab_look *look);
/* Values of the period, whose number, arm and start are set already. */
void ab_window_values(const struct ab_window *window, const struct ab_experiment *experiment,
		      struct ab_period *period);
void ab_window_free(struct ab_window *window);

/* --- ab_run.c, ab_loop.c, ab_period.c: running one ------------------------------------------------------------- */

struct ab_run {
	const struct cli *cli;
	bool live; /* progress is written over on a terminal */
	struct ab_experiment *experiment;
	char path[AB_PATH]; /* of its file */
	int root;
	int file; /* of the experiment, for ab_append() */
	char configs[AB_ARMS][AB_PATH];
	struct metric *metrics[AB_MAX_METRICS];
	unsigned int nr_metrics; /* the last outcomes */
	struct feed *feed;	 /* NULL: none */
	uint64_t lease;
	char estimate[CLI_WIDTH]; /* for the progress */
	char feed_trouble[384];	  /* to say each once */
	char metric_trouble[AB_MAX_METRICS][384];
};

/* All blocks that are missing; 0 when the experiment has ended, by itself or stopped. */
int ab_loop(struct ab_run *run, struct errmsg *err);

/* SIGINT, SIGTERM and SIGHUP end what ab_loop() does. */
void ab_catch_signals(void);
bool ab_interrupted(void);
/* -ECANCELED, with how. */
int ab_stopped(struct errmsg *err);

/*
 * Measures one period, and adds it to the file. -EAGAIN: something disturbed it, so that its block
 * does not count; -ECANCELED: the experiment can't go on; each with the reason.
 */
int ab_run_period(struct ab_run *run, unsigned int number, struct errmsg *err);

/* What stands on the command line of `sluice ab run`. */
struct ab_arguments {
	const char *directory;
	const char *arms[AB_ARMS]; /* files */
	const char *resume;	   /* a name; "": the latest; NULL: a new experiment */
	const char *primary;
	bool schedule_only;
};

/* Reads options into the experiment, which has defaults then where nothing is said. */
int ab_options(int argc, char **argv, struct ab_arguments *arguments,
	       struct ab_experiment *experiment, struct errmsg *err);

int ab_run(const struct cli *cli, int argc, char **argv);
int ab_status(const struct cli *cli, int argc, char **argv);
int ab_stop(const struct cli *cli, int argc, char **argv);
int ab_report(const struct cli *cli, int argc, char **argv);
int ab_plan_blocks(const struct cli *cli, int argc, char **argv);

/* --- ab_show.c ------------------------------------------------------------------------------------ */

void ab_print_schedule(const struct ab_experiment *experiment, FILE *out);
#define AB_PROGRESS CLI_WIDTH /* the last column stays free */
/*
 * The difference in the primary outcome so far, "; unreported B-A -1.2 GiB s", or "". It is no result:
 * who looks often finds one by chance.
 */
void ab_estimate(const struct ab_experiment *experiment, char ret[AB_PROGRESS]);
/* "[###    ] block 3 of 10, A, @stage@estimate". */
void ab_progress(const struct ab_experiment *experiment, unsigned int period, const char *stage,
		 const char *estimate, char ret[AB_PROGRESS]);

#endif
