/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CPU time of the kernel's workers, which run the passes of page reporting (mm/page_reporting.c
 * schedules delayed work), and of a process. Workers run all other work of the kernel too, so
 * only differences between times, and between what is done in them, tell something.
 *
 * Workers are children of kthreadd, process 2 (init/main.c: rest_init()), and are named
 * "kworker/..." (kernel/workqueue.c: format_worker_id(); rescuers, which have "kworker/R-", since
 * 6.8). /proc/PID/schedstat has their time in ns, and /proc/PID/stat in ticks.
 */
#ifndef SLUICE_WORKER_CPU_H
#define SLUICE_WORKER_CPU_H

#include <stdint.h>

#include "sluice/errmsg.h"

struct worker_time {
	int pid;
	uint64_t start_ns; /* since boot, in whole ticks: tells a pid that was used again */
	uint64_t ns;
};

/* All workers at one time, by pid. Empty: { 0 }. */
struct worker_cpu {
	struct worker_time *workers;
	unsigned int nr;
	uint64_t uptime_ns; /* since boot, when the reading began */
};

/* A machine has some per CPU; more are -E2BIG. */
#define WORKER_CPU_MAX 65536

/*
 * Reads the times of all workers. Those that end meanwhile are left out. The caller frees *ret
 * with worker_cpu_free(); it is written on success only. Returns 0; -ENOENT where kernel threads
 * can't be seen (another PID namespace), -EINVAL for a file that makes no sense; else as
 * file_read(), -ENOMEM, -E2BIG.
 *
 * Names, parents, start times: /proc/PID/stat (fs/proc/array.c: do_task_stat()). Children of
 * kthreadd: /proc/2/task/2/children (CONFIG_PROC_CHILDREN, 4.2), else all of /proc is
 * searched. Times: the first number of /proc/PID/schedstat (fs/proc/base.c: CONFIG_SCHED_INFO; all
 * are 0 until 5.14 if CONFIG_SCHEDSTATS and delayacct are off), else utime and stime.
 */
int worker_cpu_read(int root, struct worker_cpu *ret, struct errmsg *err);

void worker_cpu_free(struct worker_cpu *cpu);

/*
 * ns that workers ran between two readings: differences by worker, and all time of those that were
 * started in between. One that has ended is left out. So is one that is older than @before but
 * not in it: the list of children may skip some while others end (get_children_pid()), and all its
 * time since boot is not of this span.
 */
uint64_t worker_cpu_between(const struct worker_cpu *before, const struct worker_cpu *after);

/*
 * ns that a process has run. Of one with several threads: of its first thread where there is
 * schedstat, else of all (sluiced has one). Returns 0; -ENOENT or -ESRCH if it has ended; else as
 * worker_cpu_read().
 */
int process_cpu_read(int root, int pid, uint64_t *ns, struct errmsg *err);

#endif
