// SPDX-License-Identifier: GPL-2.0-only
/*
 * A load in phases, for comparing strategies: bursts of work like that of a build, and little in
 * between. The amount of work is fixed and depends on the seed alone, so that its time can be
 * compared.
 *
 *   phases SEED FOLDER     files are written below FOLDER, which should be on a tmpfs
 *
 * Each line of standard input is one step, answered by one line of JSON with its time and the
 * page faults of the whole system meanwhile:
 *
 *   warm MIB JOBS   touches that much memory and gives it back; then as burst, but all of its
 *                   heap is freed
 *   burst JOBS      short-lived processes (jobs), which map, touch and unmap pieces of 4 KiB to
 *                   4 MiB and write files, JOB_TASKS of them at a time. Meanwhile this process
 *                   builds up a heap of pieces, and half of the files are removed again. In the
 *                   end much memory is taken and given back at once, as by a linker; then
 *                   scattered pieces of the heap and most files are freed: what is free then is
 *                   in good part in pieces below 2 MiB. The rest stays in use.
 *   settle JOBS     as many small jobs, one after the other, with pauses between
 *
 * Static and without any library but libc, because it runs in a guest that has only busybox.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KIB	     1024UL
#define MIB	     (1024UL * 1024UL)
#define NSEC_PER_SEC 1000000000ULL

#define MAX_MIB	 65536
#define MAX_JOBS 4096

#define JOB_TASKS  2 /* at a time */
#define JOB_PIECES 8 /* that a job maps, one after the other */
#define JOB_LIVE   4 /* of which so many at a time */
#define JOB_FILES  3
#define HEAP_BYTES (3 * MIB) /* that the heap grows by with each job */
#define FILE_DELAY 8	     /* jobs until a file is removed during the burst */

#define LINK_BYTES (5 * MIB / 2) /* for each job, all at once at the end of a burst */

/* Sizes are drawn evenly by order, from one page on, as a rule of thumb of what builds map. */
#define PIECE_ORDERS 10 /* below 4 MiB */
#define HEAP_ORDERS  8	/* below 1 MiB */
#define FILE_ORDERS  9	/* below 2 MiB */
#define SMALL_ORDERS 6

#define FREED_PERCENT	50 /* of the pieces of the heap, at the end of a burst */
#define REMOVED_PERCENT 75 /* of the files that are left then */

#define SETTLE_PAUSE_NS 200000000L
#define VMSTAT		"/proc/vmstat"

struct piece {
	char *start; /* NULL: none */
	size_t size;
};

/* What one burst builds up; pieces of all bursts stay until the end. */
struct heap {
	struct piece *pieces;
	size_t count, capacity;
};

struct load {
	uint64_t seed;
	int folder;
	size_t page;
	unsigned int next_file; /* number of the first file of the next burst */
};

struct step {
	const char *name;
	unsigned int arguments;
	/* Returns 0 or -errno. */
	int (*run)(struct load *load, unsigned long mib, unsigned long jobs);
};

/* splitmix64 (Steele, Lea and Flood 2014): any seed will do, so each job has its own. */
static uint64_t draw(uint64_t *state)
{
	uint64_t mixed = *state += 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
	return mixed ^ (mixed >> 31);
}

static bool chance(uint64_t *state, unsigned int percent)
{
	return draw(state) % 100 < percent;
}

/* Bytes, from one page to less than 2^orders pages. */
static size_t draw_size(uint64_t *state, unsigned int orders, size_t page)
{
	const uint64_t base = 1ULL << draw(state) % orders;

	return (size_t)(base + draw(state) % base) * page;
}

static void touch(const struct piece *piece, size_t page)
{
	for (size_t at = 0; at < piece->size; at += page)
		*(volatile char *)(piece->start + at) = 1;
}

/* Huge pages would keep a heap of small pieces from being freed in pieces. */
static int piece_map(struct piece *piece, size_t size, bool of_heap)
{
	void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		return -errno;
	if (of_heap) {
		madvise(start, size, MADV_NOHUGEPAGE); /* EINVAL without THP */
		if (madvise(start, size, MADV_DONTFORK)) {
			const int err = -errno;

			munmap(start, size);
			return err;
		}
	}
	*piece = (struct piece){ start, size };
	return 0;
}

static int piece_unmap(struct piece *piece)
{
	if (piece->start && munmap(piece->start, piece->size))
		return -errno;
	piece->start = NULL;
	return 0;
}

/* --- files ------------------------------------------------------------------------------------ */

static void file_name(char *name, size_t size, unsigned int number)
{
	snprintf(name, size, "f%u", number);
}

static int file_write(const struct load *load, unsigned int number, size_t size)
{
	static const char block[64 * KIB] = { 1 };
	char name[16];
	int err = 0, file;

	file_name(name, sizeof(name), number);
	file = openat(load->folder, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (file < 0)
		return -errno;
	while (!err && size) {
		const size_t wanted = size < sizeof(block) ? size : sizeof(block);
		const ssize_t written = write(file, block, wanted);

		if (written <= 0)
			err = written ? -errno : -ENOSPC;
		else
			size -= (size_t)written;
	}
	close(file);
	return err;
}

static int file_remove(const struct load *load, unsigned int number)
{
	char name[16];

	file_name(name, sizeof(name), number);
	return unlinkat(load->folder, name, 0) && errno != ENOENT ? -errno : 0;
}

/* --- jobs ------------------------------------------------------------------------------------- */

/* What a job does in its own process. */
static int job_run(const struct load *load, uint64_t seed, unsigned int orders, unsigned int file)
{
	struct piece live[JOB_LIVE] = { 0 };
	int rc = 0;

	for (unsigned int i = 0; !rc && i < JOB_PIECES; i++) {
		struct piece *piece = &live[i % JOB_LIVE];

		rc = piece_unmap(piece);
		if (!rc)
			rc = piece_map(piece, draw_size(&seed, orders, load->page), false);
		if (!rc)
			touch(piece, load->page);
	}
	for (unsigned int i = 0; !rc && i < JOB_FILES; i++)
		rc = file_write(
			load, file + i,
			draw_size(&seed, orders < FILE_ORDERS ? orders : FILE_ORDERS, load->page));
	return rc; /* what is left is unmapped by the end */
}

/* *ret is its process, 0 if there is none. */
static int job_start(const struct load *load, uint64_t seed, unsigned int orders, unsigned int file,
		     pid_t *ret)
{
	const pid_t child = fork();

	if (child == 0)
		_exit(-job_run(load, seed, orders, file));
	*ret = child < 0 ? 0 : child;
	return child < 0 ? -errno : 0;
}

/* Waits for a job, if there is one; returns 0, or what it failed with. */
static int job_wait(pid_t *job)
{
	const pid_t child = *job;
	int status;

	*job = 0;
	if (!child)
		return 0;
	if (waitpid(child, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

/* --- heap ------------------------------------------------------------------------------------- */

static int heap_add(struct heap *heap, size_t size, size_t page)
{
	int rc;

	if (heap->count == heap->capacity) {
		const size_t capacity = heap->capacity ? 2 * heap->capacity : 1024;
		void *pieces = reallocarray(heap->pieces, capacity, sizeof(*heap->pieces));

		if (!pieces)
			return -ENOMEM;
		heap->pieces = pieces;
		heap->capacity = capacity;
	}
	rc = piece_map(&heap->pieces[heap->count], size, true);
	if (!rc)
		touch(&heap->pieces[heap->count++], page);
	return rc;
}

static int heap_grow(struct heap *heap, uint64_t *seed, size_t page)
{
	int rc = 0;

	for (size_t grown = 0; !rc && grown < HEAP_BYTES;) {
		const size_t size = draw_size(seed, HEAP_ORDERS, page);

		rc = heap_add(heap, size, page);
		grown += size;
	}
	return rc;
}

/* The pieces that are left stay mapped. */
static int heap_scatter(struct heap *heap, uint64_t *seed, unsigned int percent)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < heap->count; i++)
		if (chance(seed, percent))
			rc = piece_unmap(&heap->pieces[i]);
	free(heap->pieces);
	*heap = (struct heap){ 0 };
	return rc;
}

/* --- steps ------------------------------------------------------------------------------------ */

static int remove_some(const struct load *load, uint64_t *seed, unsigned int first,
		       unsigned int count, unsigned int percent)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < count; i++)
		if (chance(seed, percent))
			rc = file_remove(load, first + i);
	return rc;
}

/*
 * Starts all jobs, and does what goes on beside them. A job waits for the end of the one
 * before the last, whichever is slow: so its files are there when they are to be removed.
 */
static int run_jobs(const struct load *load, struct heap *heap, uint64_t *seed, unsigned int jobs)
{
	pid_t running[JOB_TASKS] = { 0 };
	int rc = 0, err;

	for (unsigned int job = 0; !rc && job < jobs; job++) {
		const unsigned int file = load->next_file + job * JOB_FILES;
		pid_t *place = &running[job % JOB_TASKS];

		rc = job_wait(place);
		if (!rc)
			rc = job_start(load, draw(seed), PIECE_ORDERS, file, place);
		if (!rc)
			rc = heap_grow(heap, seed, load->page);
		if (!rc && job >= FILE_DELAY)
			rc = remove_some(load, seed, file - FILE_DELAY * JOB_FILES, JOB_FILES, 50);
	}
	for (unsigned int i = 0; i < JOB_TASKS; i++) {
		err = job_wait(&running[i]);
		rc = rc ? rc : err;
	}
	return rc;
}

/* In one piece, of huge pages where the guest has them. */
static int take_and_give(const struct load *load, size_t size)
{
	struct piece piece = { 0 };
	const int rc = piece_map(&piece, size, false);

	if (rc)
		return rc;
	touch(&piece, load->page);
	return piece_unmap(&piece);
}

static int burst(struct load *load, unsigned int jobs, unsigned int freed_percent,
		 unsigned int removed_percent)
{
	uint64_t seed = draw(&load->seed);
	struct heap heap = { 0 };
	int rc, err;

	rc = run_jobs(load, &heap, &seed, jobs);
	if (!rc)
		rc = take_and_give(load, jobs * LINK_BYTES);
	err = heap_scatter(&heap, &seed, freed_percent);
	rc = rc ? rc : err;
	if (!rc)
		rc = remove_some(load, &seed, load->next_file, jobs * JOB_FILES, removed_percent);
	load->next_file += jobs * JOB_FILES;
	return rc;
}

static int step_warm(struct load *load, unsigned long mib, unsigned long jobs)
{
	const int rc = take_and_give(load, mib * MIB);

	return rc ? rc : burst(load, (unsigned int)jobs, 100, 100);
}

static int step_burst(struct load *load, unsigned long mib, unsigned long jobs)
{
	(void)mib;
	return burst(load, (unsigned int)jobs, FREED_PERCENT, REMOVED_PERCENT);
}

static int step_settle(struct load *load, unsigned long mib, unsigned long jobs)
{
	const struct timespec pause = { .tv_nsec = SETTLE_PAUSE_NS };
	uint64_t seed = draw(&load->seed);
	pid_t child;
	int rc = 0;

	(void)mib;
	for (unsigned long job = 0; !rc && job < jobs; job++) {
		rc = job_start(load, draw(&seed), SMALL_ORDERS, load->next_file, &child);
		if (!rc)
			rc = job_wait(&child);
		if (!rc)
			rc = remove_some(load, &seed, load->next_file, JOB_FILES, 100);
		nanosleep(&pause, NULL);
	}
	return rc;
}

static const struct step steps[] = {
	{ "warm", 2, step_warm },
	{ "burst", 1, step_burst },
	{ "settle", 1, step_settle },
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* Page faults of the whole system since boot; 0 if they can't be read. */
static uint64_t page_faults(void)
{
	FILE *file = fopen(VMSTAT, "re");
	uint64_t faults = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "pgfault %" SCNu64, &faults) == 1)
			break;
	if (file)
		fclose(file);
	return faults;
}

/* From 1 to max, up to the end of the text. */
static bool parse_number(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno && *ret >= 1 && *ret <= max;
}

/* The step that a line asks for, with its numbers, or NULL. */
static const struct step *parse_step(char *line, unsigned long *mib, unsigned long *jobs)
{
	const char *name = strtok(line, " \n"), *word;

	for (size_t i = 0; name && i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (strcmp(steps[i].name, name) != 0)
			continue;
		if (steps[i].arguments == 2 &&
		    (!(word = strtok(NULL, " \n")) || !parse_number(word, MAX_MIB, mib)))
			return NULL;
		if (!(word = strtok(NULL, " \n")) || !parse_number(word, MAX_JOBS, jobs))
			return NULL;
		return strtok(NULL, " \n") ? NULL : &steps[i];
	}
	return NULL;
}

static void answer(struct load *load, char *line)
{
	unsigned long mib = 0, jobs = 0;
	const struct step *step = parse_step(line, &mib, &jobs);
	const uint64_t faults = page_faults(), start = now_ns();
	uint64_t ns;
	int rc;

	if (!step) {
		puts("{\"error\": \"no such step: warm MIB JOBS, burst JOBS, settle JOBS\"}");
		return;
	}
	rc = step->run(load, mib, jobs);
	ns = now_ns() - start;
	if (rc)
		printf("{\"error\": \"%s: %s\"}\n", step->name, strerror(-rc));
	else
		printf("{\"step\": \"%s\", \"ns\": %" PRIu64 ", \"pgfault\": %" PRIu64 "}\n",
		       step->name, ns, page_faults() - faults);
}

int main(int argc, char **argv)
{
	struct load load = { .page = (size_t)sysconf(_SC_PAGESIZE) };
	unsigned long seed;
	char line[64];

	if (argc != 3 || !parse_number(argv[1], UINT32_MAX, &seed)) {
		fputs("usage: phases SEED FOLDER\n", stderr);
		return 2;
	}
	load.seed = seed;
	load.folder = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (load.folder < 0) {
		fprintf(stderr, "phases: folder '%s': %s\n", argv[2], strerror(errno));
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		answer(&load, line);
		fflush(stdout);
	}
	return 0;
}
