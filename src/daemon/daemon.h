/* SPDX-License-Identifier: GPL-2.0-only */
/* The daemon's parts. One thread, one loop, no globals. */
#ifndef SLUICE_DAEMON_H
#define SLUICE_DAEMON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "pace.h"
#include "sluice/audit.h"
#include "sluice/breaker.h"
#include "sluice/clock.h"
#include "sluice/config.h"
#include "sluice/drain.h"
#include "sluice/experiment.h"
#include "sluice/knobs.h"
#include "sluice/log.h"
#include "sluice/observe.h"
#include "sluice/policy.h"
#include "sluice/prepare.h"
#include "sluice/pressure.h"
#include "sluice/reporting.h"
#include "sluice/shape.h"
#include "sluice/trigger.h"

#define RUNTIME_DEFAULT "/run/sluice"

struct control;

/* What was done with decisions; all values since the start of the daemon. */
struct tally {
	uint64_t ticks;
	uint64_t releases; /* decisions that began a release */
	uint64_t kicks;
	uint64_t triggers;	 /* passes asked for by the trigger instead */
	uint64_t vetoes;	 /* decisions that a guard made a hold */
	uint64_t warnings;	 /* of memory pressure, by the kernel */
	uint64_t reported_bytes; /* growth of what is reported, from scan to scan */
	uint64_t scan_ns;	 /* time spent in scans */
	/* pageblocks whose records scans found wrong; of these, believed wholly free */
	uint64_t wrong_blocks, not_free_blocks;
};

/* What is actuated; each for itself fails, and is left alone for a while then. */
enum {
	ACTUATOR_DELAY,
	ACTUATOR_ORDER,
	ACTUATOR_TRIGGER,
	ACTUATOR_KICK,
	ACTUATOR_EXTRA, /* the first of actuators.extra */
	NR_ACTUATORS = ACTUATOR_EXTRA + CONFIG_MAX_EXTRA,
};

struct actuator {
	struct breaker breaker;
	bool absent;	   /* not in this kernel when last looked */
	uint64_t done;	   /* times that it worked */
	char trouble[384]; /* last error, to log each once; "": none since it worked */
};

struct churn_totals {
	uint64_t age; /* guards.churn_age that they were counted with */
	struct churn map;
};

/* A drain on request; the last one stays for clients to ask about. */
struct drain {
	uint64_t id; /* counts them; 0: there was none yet */
	bool running;
	unsigned int order;
	bool prepare;
	uint64_t begin_ns, end_ns, timeout;
	bool looked;	   /* progress and reason are known */
	const char *ended; /* how, static; NULL while it runs */
	char reason[384];
	struct drain_state state;
	struct drain_progress progress;
	uint64_t refreshes; /* of the map, at the last look */
};

/* Preparation; the counts are since the start of the daemon. */
struct preparer {
	bool probed;
	struct reclaimer reclaimer;
	bool has_shape;
	struct shape shape; /* of the last tick */
	struct lru_watch watch;
	struct prepare_state state;
	struct prepared last; /* what the last tick did */
	char reason[256];     /* of the last decision */
	char trouble[384];    /* last error of a step, to log each once */
	uint64_t reclaims, compactions, drains, failures;
	uint64_t reclaimed_bytes, blocks;
	uint64_t wall_ns, cpu_ns, longest_ns; /* longest: of one step, in which all else waits */
};

/* An arm of an experiment: a configuration in the place of the daemon's own. */
struct experiment {
	char id[AB_ID]; /* "": there is none, the daemon's own configuration is in force */
	char arm;	/* 'A' or 'B' */
	uint64_t since_ns;
	uint64_t lease; /* ns without a renewal */
	uint64_t until_ns;
	uint64_t arms;	   /* times that one was put in force */
	struct config own; /* returns afterwards */
};

struct daemon {
	/* fixed after the start */
	const char *config_path;
	const char *runtime_dir;
	int root;
	int lock; /* held for the life of the daemon: one instance */
	uint64_t start_ns;
	struct observer *observer;
	struct control *control;

	/* change with a reload, and with an arm */
	struct config config; /* in force */
	uint64_t reloads;     /* that were not refused */
	/* NULL unless mode is control; after an arm in another mode, that may hold nothing */
	struct knobs *knobs;
	struct experiment experiment;

	/* change with every tick */
	struct reporting reporting;
	bool usable;	    /* the kernel can report to the host */
	char unusable[384]; /* why not */
	bool let_go;	    /* someone else writes the knob, or `sluice restore` was run */
	char let_go_reason[384];
	struct audit audit;    /* the last; time_ns 0: none yet */
	bool drifted;	       /* the map is too far off: audit it at the next tick */
	char untrusted[192];   /* why the map is not acted upon; "": it is */
	struct pace full_pace; /* of full scans */
	struct pace scan_pace; /* of scans at the depth that the policy needs */
	bool have_snapshot;
	struct snapshot snap; /* latest of the ticks */
	struct pressure_totals pressure;
	struct churn_totals churn;
	struct activity activity; /* between the last two ticks */
	char unmeasured[384];	  /* why the load is unknown, to log it once */
	struct policy_state policy;
	struct drain drain;
	bool hurry; /* a tick is due at once */
	struct preparer preparer;
	struct decision decision;
	uint64_t decision_ns;
	struct actuator actuators[NR_ACTUATORS];
	struct tally tally;
};

/* tick.c: observe, decide, act; and what a reload or an end undoes. */
void daemon_tick(struct daemon *daemon);
/* Audits the map now; at most twice. */
int daemon_audit(struct daemon *daemon, struct errmsg *err);
uint64_t daemon_next_tick(const struct daemon *daemon); /* ns from now */
/* As config_load(), with the errors in text that the caller frees; NULL: no memory. */
int daemon_load(const char *path, struct config *config, char **errors);
/* What is only read at the start and differs: names, one per line, to be freed; NULL: no memory. */
char *daemon_fixed_changes(const struct daemon *daemon, const struct config *loaded);
void daemon_reload(struct daemon *daemon);
/*
 * Puts a configuration in force as a start would, whatever was in force: knobs go back, and
 * nothing is remembered but totals and what sluice has let go of.
 */
int daemon_begin_anew(struct daemon *daemon, const struct config *config, struct errmsg *err);

/*
 * experiment.c: arms of experiments, by request. An arm ends with its lease, on request, with
 * "sluice restore" and with the daemon; nothing of it is on disk.
 */
json_t *experiment_arm(struct daemon *daemon, const json_t *request);
json_t *experiment_arm_check(struct daemon *daemon, const json_t *request);
json_t *experiment_arm_end(struct daemon *daemon, const json_t *request);
json_t *experiment_sample(struct daemon *daemon, const json_t *request);
json_t *experiment_json(const struct daemon *daemon); /* for the status */
/* Ends the arm, if there is one. */
void experiment_end(struct daemon *daemon, enum log_level level, const char *why);
/* Ends an arm whose lease is over. */
void experiment_expire(struct daemon *daemon);
uint64_t experiment_left(const struct daemon *daemon); /* ns of the lease, 1 or more; 0: no arm */
/* Keeps what was loaded for when the arm ends; false if there is none. */
bool experiment_keep(struct daemon *daemon, const struct config *loaded);

/* measure.c: the guest's load between two ticks, into daemon->activity. */
void daemon_measure(struct daemon *daemon, uint64_t now);

/*
 * drain.c: while a drain runs it decides instead of the policy; false if it does not, or
 * does no longer.
 */
bool drain_decide(struct daemon *daemon, uint64_t now, struct decision *decision);
/* A tick without a snapshot. */
void drain_blind(struct daemon *daemon, uint64_t now);
bool drain_needs_full(const struct daemon *daemon);
uint64_t drain_next_look(const struct daemon *daemon, uint64_t now); /* ns from now */
/* What makes more memory reportable first. */
void drain_prepare(struct daemon *daemon);
/* -EBUSY, with the way out, while one runs. */
int drain_busy(const struct daemon *daemon, struct errmsg *err);
json_t *drain_begin(struct daemon *daemon, const json_t *request);
json_t *drain_status(const struct daemon *daemon);
json_t *drain_stop(struct daemon *daemon);

/*
 * prepare.c: makes memory free and contiguous, as the policy says. The first looks at
 * what that needs to know, before the decision; the second acts, after it.
 */
void daemon_look_at_shape(struct daemon *daemon, uint64_t now);
void daemon_prepare(struct daemon *daemon, uint64_t now, const struct decision *decision);

/* act.c: the only place that writes knobs. */
int act_begin(struct daemon *daemon, struct errmsg *err);
/* Gives the knobs back, to take them anew; but what sluice has let go of stays so. */
int act_anew(struct daemon *daemon, struct errmsg *err);
void act(struct daemon *daemon, const struct decision *decision);
/* Starts a pass: by the trigger, or by a kick. On request it is tried whatever failed before. */
int act_kick(struct daemon *daemon, bool on_request, struct errmsg *err);
/* Whether the order can't be written at the moment, and why. */
bool act_blocked(const struct daemon *daemon, uint64_t now, char *reason, size_t size);
/* Whether there is a knob that sluice has let go of. */
bool act_lost_any(const struct daemon *daemon);
/* Lets go of what someone else wrote since. */
void act_check_foreign(struct daemon *daemon);
void act_let_go(struct daemon *daemon, const char *reason);
void act_end(struct daemon *daemon);

/* actuators.c: what is known about single actuators. Names are static or in the configuration. */
const char *actuator_name(const struct daemon *daemon, unsigned int id);
bool actuator_allowed(const struct daemon *daemon, unsigned int id);
/* Notes an outcome: logs what is new, and moves the breaker. Whether that opened. */
bool actuator_note(struct daemon *daemon, unsigned int id, int rc, const struct errmsg *err);
/* Whether the kernel has it; a change is logged. */
bool actuator_there(struct daemon *daemon, unsigned int id);
/* Forgets all; warns of what is configured but not there, or not to be used. */
void actuators_begin(struct daemon *daemon);
bool has_trigger(const struct config *config);
/* Points into @config. */
struct trigger trigger_of(const struct config *config);
/* An array, for the status: see docs/actuators.md. */
json_t *actuators_json(const struct daemon *daemon);

/* control.c: the Unix socket; its descriptor goes into the daemon's epoll set. */
int control_open(const char *runtime_dir, int epoll, struct control **ret, struct errmsg *err);
void control_close(struct control *control);
/* Handles an event whose data.ptr belongs to the control socket; false if it does not. */
bool control_event(struct daemon *daemon, struct control *control, void *ptr, uint32_t events);

/* answer.c: one request, one answer. The caller frees the text. */
char *answer(struct daemon *daemon, const char *request, size_t length, bool root);
json_t *answer_error(const char *text);
/* A whole number of the request in these bounds; absent: *ret stays as it is. */
int request_number(const json_t *request, const char *key, int64_t min, int64_t max, int64_t *ret,
		   struct errmsg *err);
const char *request_name(const json_t *request);
/* All orders, apart from the ticks' own snapshots; freed by the caller. NULL: @err says why. */
struct snapshot *scan_for_answer(struct daemon *daemon, struct errmsg *err);

/* notify.c: sd_notify(3) without libsystemd; does nothing without $NOTIFY_SOCKET. */
void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Period in which WATCHDOG=1 is due, ns; 0: no watchdog. */
uint64_t notify_watchdog_ns(void);

/*
 * privileges.c: keeps what the running daemon needs on this kernel (6.12 is 6012), with
 * capset(2), never prctl(2).
 */
int privileges_drop(unsigned int kernel_version, struct errmsg *err);

#endif
