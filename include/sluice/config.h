/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration: one table of options drives parsing, `sluice check`,
 * --help, the man page and the commented default file.
 *
 * The file is read by libconfig. Values that are wrong are all reported at
 * once; a configuration is only ever replaced as a whole.
 */
#ifndef SLUICE_CONFIG_H
#define SLUICE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sluice/errmsg.h"

#define CONFIG_DEFAULT_PATH "/etc/sluice/sluice.conf"
#define CONFIG_MAX_BYTES    (256 * 1024)

enum mode {
	MODE_OBSERVE, /* decide nothing, write nothing */
	MODE_DRY_RUN, /* decide and log, write nothing */
	MODE_CONTROL, /* decide and do */
};

enum strategy_id {
	STRATEGY_KERNEL,
	STRATEGY_THRESHOLD,
	STRATEGY_CYCLE,
	STRATEGY_BURST,
	STRATEGY_SLEW,
	STRATEGY_LADDER,
	STRATEGY_TRIM,
};

enum event_level {
	EVENTS_OFF,   /* scans alone */
	EVENTS_LISTS, /* refills and drains of the per-CPU lists */
	EVENTS_ALL,   /* direct frees too (mm_page_free, one event per page) */
};

/*
 * An order in the configuration: a number, or a name whose number only the
 * running kernel knows. Resolved by order_resolve().
 */
enum {
	ORDER_PAGEBLOCK = -1, /* "pageblock": the kernel's own default */
	ORDER_HIGHEST = -2,   /* "highest": the allocator's highest order */
	ORDER_OFF = -3,	      /* "off": beyond the highest, where the kernel takes it */
};

#define CONFIG_ZONE_NAME 16
#define CONFIG_MAX_ZONES 16
#define CONFIG_ANY_NODE	 (-1)

/*
 * Per-zone override. config_load() fills members that the file does not name
 * with the general value; has_* tell which are named.
 */
struct config_zone {
	char zone[CONFIG_ZONE_NAME]; /* "DMA32", "Normal", ... */
	int node;		     /* or CONFIG_ANY_NODE */
	bool ignore;		     /* never a reason to release */
	uint64_t start;		     /* bytes */
	uint64_t stop;		     /* bytes */
	uint64_t min_age;	     /* ns */
	bool has_start, has_stop, has_min_age;
};

struct config_threshold {
	uint64_t start;	   /* bytes of reportable memory at which releasing begins */
	uint64_t stop;	   /* bytes at which it ends; below start */
	uint64_t min_age;  /* ns; extents that became free more recently do not count */
	uint64_t cooldown; /* ns between the end of one release and the next */
	int order;	   /* order to release at, or ORDER_* */
};

struct config_cycle {
	int high_water;	   /* unreported extents of one order in one zone that begin a cycle */
	int low_water;	   /* those at which the list counts as done; below high_water */
	int max_cycles;	   /* in a row; then the strategy is idle for one cooldown */
	uint64_t cooldown; /* ns that the stage drain lasts */
	int order;	   /* order to release at, or ORDER_* */
};

struct config_burst {
	uint64_t start;	       /* bytes of reportable memory at the floor that begin a sweep */
	uint64_t step_timeout; /* ns for one order */
	uint64_t cooldown;     /* ns between the end of one sweep and the next */
	int floor;	       /* lowest order of a sweep, or ORDER_* */
};

struct config_slew {
	uint64_t reserve;   /* bytes of reportable memory that are left alone */
	uint64_t give_rate; /* bytes per second that are given beyond it */
	uint64_t take_back; /* ns without giving after the guest took memory */
	int order;	    /* order to release at, or ORDER_* */
};

struct config_trim {
	uint64_t min_idle; /* ns; page cache that was used since then stays */
	int max_fraction;  /* percent of the page cache that may go in one min_idle */
	uint64_t rate;	   /* bytes per second that may go */
	uint64_t start;	   /* bytes of reportable memory at which releasing begins */
	int order;	   /* order to release at, or ORDER_* */
};

enum compact_scope {
	COMPACT_OFF,
	COMPACT_NODE, /* the node that gains most */
	COMPACT_ALL,  /* all nodes at once */
};

/* Making memory free and contiguous before it is reported. */
struct config_prepare {
	bool enabled;
	enum compact_scope compact;
	bool reclaim;
	uint64_t interval;	 /* ns between two preparations */
	uint64_t bytes_per_hour; /* that may be reclaimed */
	uint64_t time_per_hour;	 /* ns that reclaim and compaction may take */
	int swappiness;		 /* 0: page cache only */
	uint64_t floor;		 /* bytes of available memory, and of page cache, that stay */
	int min_blocks;		 /* pageblocks that a compaction has to complete */
	/* brakes of all that reclaims, the strategy "trim" too */
	int pressure;	  /* percent of the time that some task waited for memory (PSI) */
	int refaults;	  /* percent of what was reclaimed that is read again */
	uint64_t backoff; /* ns without reclaim or compaction after a brake */
};

struct config_ladder {
	uint64_t busy;	    /* bytes allocated per second from which the guest is busy */
	uint64_t quiet;	    /* below that it is quiet; below busy */
	int cpu;	    /* percent of all CPUs' time below which it is quiet */
	uint64_t settle;    /* ns without being busy until it settles */
	uint64_t idle;	    /* ns of quiet until it is idle */
	uint64_t cold;	    /* ns; what was free for longer is not what a busy guest uses */
	int idle_floor;	    /* lowest rung of an excursion, or ORDER_* */
	uint64_t cost;	    /* ns of CPU time that 1 GiB returned for 1 s may cost */
	uint64_t min_gain;  /* bytes that an excursion has to promise */
	uint64_t excursion; /* ns that one may last */
};

#define CONFIG_MAX_EXTRA 8
#define CONFIG_MAX_RUNGS 16
#define CONFIG_PATH	 128 /* as KNOB_PATH_MAX */
#define CONFIG_TEXT	 64
#define CONFIG_BYTES	 128

/* Value of a further knob while releasing at one order. */
struct config_rung {
	int order; /* or ORDER_* */
	uint64_t value;
};

/* A further knob. Values fit int64_t. */
struct config_extra {
	char path[CONFIG_PATH]; /* "/sys/...", "/proc/sys/..." */
	uint64_t hold;
	uint64_t release;
	struct config_rung rungs[CONFIG_MAX_RUNGS];
	unsigned int nr_rungs;
};

/* What starts a pass in place of the kick: path or device, or "" both. */
struct config_trigger {
	char path[CONFIG_PATH]; /* "/sys/...", "/proc/sys/...": text is written */
	char text[CONFIG_TEXT];
	char device[CONFIG_PATH]; /* "/dev/...": gets an ioctl */
	uint64_t request;
	uint64_t argument;
	char bytes[2 * CONFIG_BYTES + 1]; /* hexadecimal; if not "", instead of argument */
};

/* What may veto a release, whatever the strategy. 0 switches a guard off. */
struct config_guards {
	int pressure;	     /* percent of the time that some task waited for memory (PSI) */
	int churn;	     /* percent of what is reported that is reused within churn_age */
	uint64_t churn_age;  /* ns */
	uint64_t alloc_rate; /* bytes per second that the guest allocates */
	uint64_t reserve;    /* bytes that have to be free above the low watermarks */
	uint64_t lock_time;  /* ns per pass that lists may be walked with interrupts off */
	bool poison;	     /* do not report what the host may have to keep */
	uint64_t dwell;	     /* ns that a veto lasts beyond its cause */
};

struct config {
	enum mode mode;
	enum strategy_id strategy;
	uint64_t interval;	/* ns between decisions */
	uint64_t full_interval; /* ns between audits (full scans); 0: only on request */
	uint64_t max_drift;	/* bytes, of the map off the kernel's totals after an audit */
	enum event_level events;
	bool kick;
	int order_floor;	/* lowest order that sluice writes, or ORDER_* */
	int order_ceiling;	/* highest order that sluice writes, or ORDER_* */
	uint64_t delay_hold;	/* ns, 0: leave page_reporting_delay_ms alone */
	uint64_t delay_release; /* ns, 0: leave page_reporting_delay_ms alone */
	int log_level;		/* as in log.h */
	struct config_threshold threshold;
	struct config_cycle cycle;
	struct config_burst burst;
	struct config_slew slew;
	struct config_trim trim;
	struct config_prepare prepare;
	struct config_ladder ladder;
	struct config_guards guards;
	struct config_extra extra[CONFIG_MAX_EXTRA];
	unsigned int nr_extra;
	struct config_trigger trigger;
	struct config_zone zones[CONFIG_MAX_ZONES];
	unsigned int nr_zones;
};

/* Every option at its default. */
void config_defaults(struct config *config);

/*
 * Reads @path. All errors are appended to @errors, one per line, each as
 * "file:line: name: value: what is allowed" ("file:0:" if the file can't be
 * read at all). Returns 0, -ENOENT or another -errno if the file can't be
 * read, -EINVAL if it holds errors. *config is written on success only.
 */
int config_load(const char *path, struct config *config, FILE *errors);

/* The words of the enumerations, for messages and JSON. */
const char *config_mode_name(enum mode mode);
const char *config_strategy_name(enum strategy_id strategy);
const char *config_events_name(enum event_level level);

/*
 * Options whose values differ between two configurations but that a reload
 * cannot change: their names, one per line, go to @names. Returns how many.
 */
unsigned int config_fixed_changes(const struct config *running, const struct config *loaded,
				  FILE *names);

/* Order number for an ORDER_* value on a kernel with these properties. */
int order_resolve(int order, int pageblock_order, int highest_order);

/* Value for a further knob while releasing at @order. */
int64_t config_extra_release(const struct config_extra *extra, unsigned int order,
			     int pageblock_order, int highest_order);
/* Whether the two differ in what stands in group actuators. */
bool config_actuators_differ(const struct config *a, const struct config *b);

/*
 * Documents made from the table: the commented default file, a section of the
 * man page in scdoc, and the options one per line for --help.
 */
void config_print_example(FILE *out);
void config_print_scdoc(FILE *out);
void config_print_help(FILE *out);
/* The options of one group as a table in Markdown; false if there is no such group. */
bool config_print_group(const char *group, FILE *out);
/* Every option with its current value, one "name = value;" per line. */
void config_print(const struct config *config, FILE *out);

#endif
