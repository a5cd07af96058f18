// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/file.h"
#include "sluice/units.h"
#include "sluice/worker_cpu.h"

#define KTHREADD     2
#define PATH_BYTES   32
#define CHILDREN     "proc/2/task/2/children"
#define CHILDREN_MAX (1 << 20)

/* Fields of /proc/PID/stat, by their numbers in proc(5), from the first one behind the name. */
enum { STAT_STATE = 3, STAT_PPID = 4, STAT_UTIME = 14, STAT_STIME = 15, STAT_START = 22 };

struct task_stat {
	char name[80]; /* a worker's has the name of its queue in it (wq_worker_comm(): 64) */
	uint64_t parent;
	uint64_t run_ns; /* in whole ticks */
	uint64_t start_ns;
};

struct reading {
	int root;
	bool ticks; /* all times out of stat: the two must not be mixed, one would run backwards */
	size_t size;
	struct worker_cpu cpu;
	struct errmsg *err;
};

static uint64_t ticks_ns(uint64_t ticks)
{
	const uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);

	return ticks / hz * NSEC_PER_SEC + ticks % hz * NSEC_PER_SEC / hz;
}

static bool gone(int rc)
{
	return rc == -ENOENT || rc == -ESRCH;
}

static int senseless(const char *path, struct errmsg *err)
{
	return errmsg_set(err, -EINVAL, "/%s: not as this program knows it", path);
}

/* The fields behind the name; false if there are fewer, or one that is wanted is no number. */
static bool parse_fields(char *text, struct task_stat *stat)
{
	uint64_t utime = 0, stime = 0, start = 0;
	bool whole = true;
	int nr = STAT_STATE;

	for (char *field; whole && nr <= STAT_START && (field = strsep(&text, " ")); nr++) {
		if (nr == STAT_PPID)
			whole = !parse_number(field, &stat->parent);
		else if (nr == STAT_UTIME)
			whole = !parse_number(field, &utime);
		else if (nr == STAT_STIME)
			whole = !parse_number(field, &stime);
		else if (nr == STAT_START)
			whole = !parse_number(field, &start);
	}
	stat->run_ns = ticks_ns(utime) + ticks_ns(stime);
	stat->start_ns = ticks_ns(start);
	return whole && nr > STAT_START;
}

/* "10 (kworker/0:0H-kblockd) I 2 0 ...": the name may hold anything, parentheses too. */
static int read_stat(int root, int pid, struct task_stat *ret, struct errmsg *err)
{
	struct task_stat stat = { 0 };
	char path[PATH_BYTES], text[2048], *open, *close;
	int rc;

	snprintf(path, sizeof(path), "proc/%d/stat", pid);
	rc = file_read(root, path, text, sizeof(text), err);
	if (rc < 0)
		return rc;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open || close[1] != ' ' || !parse_fields(close + 2, &stat))
		return senseless(path, err);
	*close = '\0';
	snprintf(stat.name, sizeof(stat.name), "%s", open + 1);
	*ret = stat;
	return 0;
}

/* "6977223 23372781 74": ns on a CPU, ns waiting for one, times. -ENODATA if it is not kept. */
static int read_schedstat(int root, int pid, uint64_t *ns, struct errmsg *err)
{
	char path[PATH_BYTES], line[128], *rest = line;
	uint64_t values[3];
	unsigned int nr = 0;
	int rc;

	snprintf(path, sizeof(path), "proc/%d/schedstat", pid);
	rc = file_read_line(root, path, line, sizeof(line), err);
	if (rc < 0)
		return rc;
	for (char *field; (field = strsep(&rest, " ")); nr++)
		if (nr == 3 || parse_number(field, &values[nr]))
			return senseless(path, err);
	if (nr < 3)
		return senseless(path, err);
	if (!values[0] && !values[1] && !values[2])
		return errmsg_set(err, -ENODATA, "/%s: is all 0", path);
	*ns = values[0];
	return 0;
}

int process_cpu_read(int root, int pid, uint64_t *ns, struct errmsg *err)
{
	struct task_stat stat = { 0 };
	int rc = read_schedstat(root, pid, ns, err);

	if (rc != -ENODATA && !gone(rc))
		return rc;
	rc = read_stat(root, pid, &stat, err); /* fails too if it is the process that is gone */
	if (!rc)
		*ns = stat.run_ns;
	return rc;
}

/* --- all workers ------------------------------------------------------------------------------- */

static int add(struct reading *reading, const struct worker_time *worker)
{
	struct worker_cpu *cpu = &reading->cpu;

	if (cpu->nr == WORKER_CPU_MAX)
		return errmsg_set(reading->err, -E2BIG, "more than %d kernel workers",
				  WORKER_CPU_MAX);
	if (cpu->nr == reading->size) {
		const size_t size = reading->size ? reading->size * 2 : 64;
		struct worker_time *grown = realloc(cpu->workers, size * sizeof(*grown));

		if (!grown)
			return errmsg_set(reading->err, -ENOMEM, "memory for kernel workers");
		cpu->workers = grown;
		reading->size = size;
	}
	cpu->workers[cpu->nr++] = *worker;
	return 0;
}

/* Adds the process if it is a worker, and still there. */
static int look_at(struct reading *reading, int pid)
{
	struct worker_time worker = { .pid = pid };
	struct task_stat stat = { 0 };
	int rc = read_stat(reading->root, pid, &stat, reading->err);

	if (!rc && (stat.parent != KTHREADD || strncmp(stat.name, "kworker/", 8) != 0))
		return 0;
	if (!rc && reading->ticks)
		worker.ns = stat.run_ns;
	else if (!rc)
		rc = read_schedstat(reading->root, pid, &worker.ns, reading->err);
	if (rc == -ENODATA) /* has not run yet */
		rc = 0;
	if (rc)
		return gone(rc) ? 0 : rc;
	worker.start_ns = stat.start_ns;
	return add(reading, &worker);
}

/* A name in /proc, or a number in a list; 0: it is none. */
static int pid_of(const char *text)
{
	uint64_t pid;

	return text[0] < '0' || text[0] > '9' || parse_number(text, &pid) || pid > INT_MAX ?
		       0 :
		       (int)pid;
}

/* "3 4 5 ", without an end of line: a number without a blank may be cut off */
static int look_at_children(struct reading *reading, char *list)
{
	int rc = 0;

	for (char *word; !rc && (word = strsep(&list, " "));) {
		const int pid = pid_of(word);

		if (list && pid)
			rc = look_at(reading, pid);
		else if (list || *word)
			rc = senseless(CHILDREN, reading->err);
	}
	return rc;
}

static int look_at_all(struct reading *reading)
{
	int fd = openat(reading->root, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return errmsg_set(reading->err, rc, "/proc: cannot be listed: %s", strerror(-rc));
	}
	while (!rc) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		if (pid_of(entry->d_name))
			rc = look_at(reading, pid_of(entry->d_name));
	}
	if (!rc && errno)
		rc = errmsg_set(reading->err, -errno, "/proc: cannot be listed: %m");
	closedir(dir);
	return rc;
}

/* "1121.43 1265.67": s since boot, with two digits (fs/proc/uptime.c) */
static int read_uptime(int root, uint64_t *ns, struct errmsg *err)
{
	char line[64], *rest = line;
	const char *whole, *part;
	uint64_t seconds, hundredths;
	int rc = file_read_line(root, "proc/uptime", line, sizeof(line), err);

	if (rc < 0)
		return rc;
	whole = strsep(&rest, ".");
	part = strsep(&rest, " ");
	if (!part || strlen(part) != 2 || parse_number(whole, &seconds) ||
	    parse_number(part, &hundredths))
		return senseless("proc/uptime", err);
	*ns = seconds * NSEC_PER_SEC + hundredths * 10 * NSEC_PER_MSEC;
	return 0;
}

/* Whether kernel threads can be seen from here, and where their times are. */
static int look_at_kthreadd(struct reading *reading)
{
	struct task_stat stat = { 0 };
	uint64_t ns;
	int rc = read_stat(reading->root, KTHREADD, &stat, reading->err);

	if (gone(rc) || (!rc && strcmp(stat.name, "kthreadd") != 0))
		return errmsg_set(reading->err, -ENOENT,
				  "process 2 is not kthreadd: kernel threads can't be seen "
				  "(in a PID namespace of its own)");
	if (rc)
		return rc;
	rc = read_schedstat(reading->root, KTHREADD, &ns, reading->err);
	reading->ticks = rc == -ENODATA || gone(rc);
	return reading->ticks ? 0 : rc;
}

static int by_pid(const void *a, const void *b)
{
	const struct worker_time *left = a, *right = b;

	return left->pid < right->pid ? -1 : left->pid > right->pid;
}

static int look_at_workers(struct reading *reading)
{
	char *children = NULL;
	int rc = file_read_alloc(reading->root, CHILDREN, CHILDREN_MAX, &children, reading->err);

	if (rc == -ENOENT)
		return look_at_all(reading);
	if (rc >= 0)
		rc = look_at_children(reading, children);
	free(children);
	return rc;
}

int worker_cpu_read(int root, struct worker_cpu *ret, struct errmsg *err)
{
	struct reading reading = { .root = root, .err = err };
	int rc = look_at_kthreadd(&reading);

	if (!rc)
		rc = read_uptime(root, &reading.cpu.uptime_ns, err);
	if (!rc)
		rc = look_at_workers(&reading);
	if (rc) {
		worker_cpu_free(&reading.cpu);
		return rc;
	}
	if (reading.cpu.nr)
		qsort(reading.cpu.workers, reading.cpu.nr, sizeof(*reading.cpu.workers), by_pid);
	*ret = reading.cpu;
	return 0;
}

void worker_cpu_free(struct worker_cpu *cpu)
{
	if (!cpu)
		return;
	free(cpu->workers);
	*cpu = (struct worker_cpu){ 0 };
}

uint64_t worker_cpu_between(const struct worker_cpu *before, const struct worker_cpu *after)
{
	unsigned int b = 0;
	uint64_t sum = 0;

	if (!before->uptime_ns)
		return 0;
	for (unsigned int a = 0; a < after->nr; a++) {
		const struct worker_time *now = &after->workers[a], *then;

		while (b < before->nr && before->workers[b].pid < now->pid)
			b++;
		then = b < before->nr ? &before->workers[b] : NULL;
		if (then && then->pid == now->pid && then->start_ns == now->start_ns)
			sum += now->ns > then->ns ? now->ns - then->ns : 0;
		else if (now->start_ns >= before->uptime_ns)
			sum += now->ns;
	}
	return sum;
}
