// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's totals of load, and what happened between two readings. */
#include "sluice/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sluice/counter_file.h"
#include "sluice/file.h"
#include "sluice/units.h"

#define VMSTAT	    "proc/vmstat"
#define STAT	    "proc/stat"
#define PSI_MEMORY  "proc/pressure/memory"
#define STAT_FIELDS 8 /* user nice system idle iowait irq softirq steal */
#define STAT_IDLE   3
#define STAT_IOWAIT 4
#define STAT_STEAL  7

static int read_vmstat(int root, struct pressure_totals *totals, struct errmsg *err)
{
	struct counter counters[] = {
		{ .name = "pgalloc_", .family = true },
		/* workingset_refault until 5.8, then with _anon and _file behind it */
		{ .name = "workingset_refault", .family = true },
		{ .name = "pswpin" },
		{ .name = "allocstall_", .family = true },
		{ .name = "compact_stall" },
		{ .name = "oom_kill" },
	};
	const int rc = counter_file_read(root, VMSTAT, counters,
					 sizeof(counters) / sizeof(counters[0]), err);

	if (rc < 0)
		return rc;
	if (!counters[0].found)
		return errmsg_set(err, -EINVAL, "/" VMSTAT ": no pgalloc_* counters");
	totals->alloc_pages = counters[0].value;
	totals->refaults = counters[1].value;
	totals->swap_ins = counters[2].value;
	totals->alloc_stalls = counters[3].value;
	totals->compact_stalls = counters[4].value;
	totals->oom_kills = counters[5].value;
	return 0;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and the same with "full". */
static void read_psi(int root, struct pressure_totals *totals)
{
	char text[512];
	const char *some, *full;

	if (file_read(root, PSI_MEMORY, text, sizeof(text), NULL) < 0)
		return;
	some = strstr(text, "some ");
	full = strstr(text, "full ");
	totals->has_psi =
		some && full &&
		sscanf(some, "some %*s %*s %*s total=%20" SCNu64, &totals->psi_some_us) == 1 &&
		sscanf(full, "full %*s %*s %*s total=%20" SCNu64, &totals->psi_full_us) == 1;
}

/* The first line is the sum of all CPUs; the rest may be long and is not read. */
static void read_cpu(int root, struct pressure_totals *totals)
{
	uint64_t ticks[STAT_FIELDS] = { 0 };
	char text[256];
	const int fd = openat(root, STAT, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return;
	length = fd_read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	if (sscanf(text,
		   "cpu %20" SCNu64 " %20" SCNu64 " %20" SCNu64 " %20" SCNu64 " %20" SCNu64
		   " %20" SCNu64 " %20" SCNu64 " %20" SCNu64,
		   &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6],
		   &ticks[7]) <= STAT_IDLE)
		return;
	for (int i = 0; i < STAT_FIELDS; i++) {
		totals->cpu_all += ticks[i];
		if (i != STAT_IDLE && i != STAT_IOWAIT && i != STAT_STEAL)
			totals->cpu_busy += ticks[i];
	}
}

int pressure_read(int root, uint64_t now_ns, struct pressure_totals *ret, struct errmsg *err)
{
	struct pressure_totals totals = { .time_ns = now_ns };
	const int rc = read_vmstat(root, &totals, err);

	if (rc < 0)
		return rc;
	read_psi(root, &totals);
	read_cpu(root, &totals);
	*ret = totals;
	return 0;
}

static double share(uint64_t part, uint64_t whole)
{
	const double ratio = whole ? (double)part / (double)whole : 0;

	return ratio > 1 ? 1 : ratio;
}

/* idle and iowait of /proc/stat can run backwards by a little; no other total can */
static bool runs_forward(const struct pressure_totals *before, const struct pressure_totals *after)
{
	return before->time_ns && after->time_ns > before->time_ns &&
	       after->alloc_pages >= before->alloc_pages && after->refaults >= before->refaults &&
	       after->swap_ins >= before->swap_ins && after->alloc_stalls >= before->alloc_stalls &&
	       after->compact_stalls >= before->compact_stalls &&
	       after->psi_some_us >= before->psi_some_us &&
	       after->psi_full_us >= before->psi_full_us;
}

void pressure_between(const struct pressure_totals *before, const struct pressure_totals *after,
		      uint64_t page_size, struct activity *ret)
{
	struct activity activity = { 0 };
	uint64_t span;

	*ret = activity;
	if (!runs_forward(before, after))
		return;
	span = after->time_ns - before->time_ns;
	activity.span_ns = span;
	activity.alloc_rate = (uint64_t)((double)(after->alloc_pages - before->alloc_pages) *
					 (double)page_size * (double)NSEC_PER_SEC / (double)span);
	if (after->cpu_all > before->cpu_all && after->cpu_busy >= before->cpu_busy)
		activity.cpu =
			share(after->cpu_busy - before->cpu_busy, after->cpu_all - before->cpu_all);
	activity.has_psi = before->has_psi && after->has_psi;
	if (activity.has_psi) {
		activity.psi_some =
			share((after->psi_some_us - before->psi_some_us) * NSEC_PER_USEC, span);
		activity.psi_full =
			share((after->psi_full_us - before->psi_full_us) * NSEC_PER_USEC, span);
	}
	activity.refaults = after->refaults - before->refaults;
	activity.swap_ins = after->swap_ins - before->swap_ins;
	activity.alloc_stalls = after->alloc_stalls - before->alloc_stalls;
	activity.compact_stalls = after->compact_stalls - before->compact_stalls;
	*ret = activity;
}

void pressure_leave_out(struct activity *activity, uint64_t own_ns)
{
	const double own = share(own_ns, activity->span_ns);

	activity->psi_some = activity->psi_some > own ? activity->psi_some - own : 0;
	activity->psi_full = activity->psi_full > own ? activity->psi_full - own : 0;
}

int pressure_trigger(int root, uint64_t stall_us, uint64_t window_us, struct errmsg *err)
{
	char text[64];
	const int length =
		snprintf(text, sizeof(text), "some %" PRIu64 " %" PRIu64, stall_us, window_us);
	const int fd = openat(root, PSI_MEMORY, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int error = errno;

	if (fd < 0)
		return errmsg_set(err, -error, "/" PSI_MEMORY ": cannot be opened: %s",
				  strerror(error));
	/* the terminating NUL is part of what psi_write() wants */
	if (write(fd, text, (size_t)length + 1) < 0) {
		error = errno;
		close(fd);
		return errmsg_set(err, -error, "/" PSI_MEMORY ": \"%s\" is not taken: %s", text,
				  strerror(error));
	}
	return fd;
}
