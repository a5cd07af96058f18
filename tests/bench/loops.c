// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loops that live on the page allocator: what watching it costs is what they lose.
 *
 *   fault   anonymous memory touched page by page and unmapped (what will-it-scale
 *           calls page_fault1); one operation is one page
 *   fork    fork, exit and wait; one operation is one child
 *   file    a file of anonymous memory (memfd, so tmpfs) written and truncated; one
 *           operation is one page
 *   thp     huge pages touched and unmapped; one operation is one huge page
 *   cross   as fault, but touched on one CPU and unmapped on another: the per-CPU
 *           lists of the one are always empty and those of the other always full,
 *           so that every page passes through the buddy lists. No load is worse for
 *           whoever watches these.
 *
 * Each task is a process with memory of its own. They live as long as standard
 * input: each line of it is a number of milliseconds to run, all tasks at once, and
 * is answered by one line of JSON. In between the tasks sleep.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sluice/errmsg.h"
#include "sluice/units.h"

#define WRITE_BYTES  (1 * MIB)
#define FORKS	     8 /* between two looks at the clock */
#define MAX_TASKS    64
#define MAX_MIB	     65536
#define MAX_MS	     60000
#define PMD_SIZE_SYS "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

/* What a loop needs from one round to the next. */
struct work {
	size_t size; /* of the area that one round takes and gives back */
	size_t page;
	size_t huge; /* 0: the kernel has no huge pages */
	int file;
	char *buffer;
	cpu_set_t touch, unmap; /* of the loop cross */
};

struct loop {
	const char *name;
	/* One round; returns the operations it did, or -errno. */
	long (*round)(struct work *work);
};

/* One task's outcome of one line of input, sent through its socket. */
struct outcome {
	uint64_t operations;
	uint64_t wall_ns;
	uint64_t cpu_ns; /* of the task and the children it waited for */
	int64_t error;
};

struct task {
	pid_t pid;
	int socket; /* takes durations in ns, gives outcomes */
};

static char *map_area(size_t size, int advice)
{
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		return NULL;
	/* a kernel without THP refuses the advice, and needs none to keep off huge pages */
	if (madvise(area, size, advice) && advice == MADV_HUGEPAGE) {
		munmap(area, size);
		return NULL;
	}
	return area;
}

static void touch(char *start, size_t size, size_t step)
{
	for (size_t at = 0; at < size; at += step)
		*(volatile char *)(start + at) = 1;
}

static long round_fault(struct work *work)
{
	char *area = map_area(work->size, MADV_NOHUGEPAGE);

	if (!area)
		return -errno;
	touch(area, work->size, work->page);
	return munmap(area, work->size) ? -errno : (long)(work->size / work->page);
}

static long round_cross(struct work *work)
{
	char *area;

	if (sched_setaffinity(0, sizeof(work->touch), &work->touch))
		return -errno;
	area = map_area(work->size, MADV_NOHUGEPAGE);
	if (!area)
		return -errno;
	touch(area, work->size, work->page);
	if (sched_setaffinity(0, sizeof(work->unmap), &work->unmap))
		return -errno;
	return munmap(area, work->size) ? -errno : (long)(work->size / work->page);
}

static long round_thp(struct work *work)
{
	const size_t size = work->size + work->huge; /* some of it is aligned */
	char *area, *start;

	area = map_area(size, MADV_HUGEPAGE);
	if (!area)
		return -errno;
	start = area + (work->huge - (uintptr_t)area % work->huge) % work->huge;
	touch(start, work->size, work->huge);
	return munmap(area, size) ? -errno : (long)(work->size / work->huge);
}

static long round_fork(struct work *work)
{
	(void)work;
	for (long i = 0; i < FORKS; i++) {
		const pid_t child = fork();

		if (child < 0)
			return -errno;
		if (child == 0)
			_exit(0);
		if (waitpid(child, NULL, 0) != child)
			return -errno;
	}
	return FORKS;
}

static long round_file(struct work *work)
{
	for (size_t at = 0; at < work->size; at += WRITE_BYTES) {
		const ssize_t written = pwrite(work->file, work->buffer, WRITE_BYTES, (off_t)at);

		if (written != (ssize_t)WRITE_BYTES)
			return written < 0 ? -errno : -ENOSPC;
	}
	if (ftruncate(work->file, 0))
		return -errno;
	return (long)(work->size / work->page);
}

static const struct loop loops[] = {
	{ "fault", round_fault }, { "fork", round_fork },   { "file", round_file },
	{ "thp", round_thp },	  { "cross", round_cross },
};

static const struct loop *loop_named(const char *name)
{
	for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
		if (strcmp(loops[i].name, name) == 0)
			return &loops[i];
	return NULL;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static uint64_t cpu_of(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * NSEC_PER_SEC +
	       ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000;
}

static uint64_t cpu_ns(void)
{
	return cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
}

static struct outcome run_rounds(const struct loop *loop, struct work *work, uint64_t duration_ns)
{
	const uint64_t start = now_ns(), cpu = cpu_ns();
	struct outcome outcome = { 0 };

	while (outcome.wall_ns < duration_ns) {
		const long done = loop->round(work);

		if (done < 0) {
			outcome.error = done;
			break;
		}
		outcome.operations += (uint64_t)done;
		outcome.wall_ns = now_ns() - start;
	}
	outcome.cpu_ns = cpu_ns() - cpu;
	return outcome;
}

static size_t huge_page_size(void)
{
	FILE *file = fopen(PMD_SIZE_SYS, "re");
	size_t size = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%zu", &size) != 1)
		size = 0;
	fclose(file);
	return size;
}

/* The first two CPUs that this process may use, one in each set. */
static int choose_cpus(cpu_set_t *first, cpu_set_t *second)
{
	cpu_set_t allowed, *next = first;

	CPU_ZERO(first);
	CPU_ZERO(second);
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -errno;
	for (size_t cpu = 0; cpu < CPU_SETSIZE && next; cpu++) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		CPU_SET(cpu, next);
		next = next == first ? second : NULL;
	}
	return next ? -ENOTSUP : 0;
}

static int work_open(const struct loop *loop, size_t size, struct work *work)
{
	work->size = size;
	work->page = (size_t)sysconf(_SC_PAGESIZE);
	work->huge = huge_page_size();
	if (loop->round == round_thp && (!work->huge || size % work->huge))
		return -ENOTSUP;
	if (loop->round == round_cross)
		return choose_cpus(&work->touch, &work->unmap);
	work->buffer = malloc(WRITE_BYTES);
	if (!work->buffer)
		return -ENOMEM;
	memset(work->buffer, 1, WRITE_BYTES);
	work->file = memfd_create("sluice-bench", MFD_CLOEXEC);
	return work->file < 0 ? -errno : 0;
}

/* A task's life: one outcome for each duration, until the other end is closed. */
static int serve(const struct loop *loop, size_t size, int socket)
{
	struct work work = { .file = -1 };
	const int error = work_open(loop, size, &work);
	uint64_t duration_ns;

	while (recv(socket, &duration_ns, sizeof(duration_ns), 0) == sizeof(duration_ns)) {
		struct outcome outcome = { .error = error };

		if (!error)
			outcome = run_rounds(loop, &work, duration_ns);
		if (send(socket, &outcome, sizeof(outcome), MSG_NOSIGNAL) != sizeof(outcome))
			return 1;
	}
	return 0;
}

/* Starts a task; its socket closes when this process ends, which ends the task. */
static int task_start(const struct loop *loop, size_t size, struct task *tasks, unsigned int index)
{
	struct task *task = &tasks[index];
	int sockets[2];
	int err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	task->pid = fork();
	if (task->pid == 0) {
		/* an end that stayed open here would keep the others alive */
		for (unsigned int i = 0; i < index; i++)
			close(tasks[i].socket);
		close(sockets[0]);
		_exit(serve(loop, size, sockets[1]));
	}
	err = task->pid < 0 ? -errno : 0;
	close(sockets[1]);
	task->socket = sockets[0];
	return err;
}

/* Has all tasks run for a time; fills in `outcomes`. */
static int run_all(const struct task *tasks, unsigned int nr, uint64_t duration_ns,
		   struct outcome *outcomes)
{
	for (unsigned int i = 0; i < nr; i++)
		if (send(tasks[i].socket, &duration_ns, sizeof(duration_ns), MSG_NOSIGNAL) < 0)
			return -errno;
	for (unsigned int i = 0; i < nr; i++) {
		if (recv(tasks[i].socket, &outcomes[i], sizeof(*outcomes), 0) != sizeof(*outcomes))
			return -ECHILD;
		if (outcomes[i].error)
			return (int)outcomes[i].error;
	}
	return 0;
}

static void print_outcome(const struct outcome *outcomes, unsigned int nr)
{
	uint64_t operations = 0, cpu = 0;
	double per_second = 0;

	for (unsigned int i = 0; i < nr; i++) {
		operations += outcomes[i].operations;
		cpu += outcomes[i].cpu_ns;
		per_second += (double)outcomes[i].operations * (double)NSEC_PER_SEC /
			      (double)outcomes[i].wall_ns;
	}
	printf("{\"operations\": %" PRIu64 ", \"per_second\": %.1f, \"cpu_ns\": %" PRIu64 "}\n",
	       operations, per_second, cpu);
	fflush(stdout);
}

/* From 1 to @max. Prints a message and returns -errno, or 0 with the number in *ret. */
static int take_number(const char *what, const char *text, int64_t max, uint64_t *ret)
{
	struct errmsg err = { 0 };
	int64_t number = 0;
	const int rc = parse_int(text, 1, max, &number, &err);

	if (rc)
		fprintf(stderr, "loops: %s: %s\n", what, err.text);
	else
		*ret = (uint64_t)number;
	return rc;
}

/* Answers each line of standard input. */
static int answer(const struct task *tasks, unsigned int nr)
{
	struct outcome outcomes[MAX_TASKS] = { 0 };
	uint64_t milliseconds;
	char line[32];
	int rc;

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (take_number("milliseconds", line, MAX_MS, &milliseconds))
			return -EINVAL;
		rc = run_all(tasks, nr, milliseconds * NSEC_PER_MSEC, outcomes);
		if (rc) {
			fprintf(stderr, "loops: %s\n", strerror(-rc));
			return rc;
		}
		print_outcome(outcomes, nr);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct loop *loop = argc == 4 ? loop_named(argv[1]) : NULL;
	struct task tasks[MAX_TASKS] = { 0 };
	uint64_t wanted, size;
	unsigned int nr = 0;
	int rc = 0;

	if (!loop) {
		fputs("usage: loops fault|fork|file|thp|cross TASKS MIB\n", stderr);
		return 2;
	}
	if (take_number("number of tasks", argv[2], MAX_TASKS, &wanted) ||
	    take_number("size in MiB", argv[3], MAX_MIB, &size))
		return 2;
	while (!rc && nr < wanted)
		rc = task_start(loop, size * MIB, tasks, nr++);
	if (rc)
		fprintf(stderr, "loops: starting task %u: %s\n", nr, strerror(-rc));
	else
		rc = answer(tasks, nr);
	for (unsigned int i = 0; i < nr; i++)
		close(tasks[i].socket);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return rc ? 1 : 0;
}
