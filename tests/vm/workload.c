// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory behaviour of a guest for the tests: takes memory, gives it back, fragments it.
 *
 * Static and without any library but libc, because it runs in a guest that has only busybox.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define MIB	    (1024UL * 1024UL)
#define MAX_MIB	    (1024UL * 1024UL)
#define MAX_SECONDS (24UL * 3600UL)
#define MAX_STEP    (1UL << 20)
#define NO_ADVICE   (-1)
#define FOREVER	    (-1L)

struct options {
	int advice;		  /* for madvise(), or NO_ADVICE */
	long hold;		  /* seconds, or FOREVER */
	unsigned long keep_every; /* pages, 0: not given */
	bool lock;		  /* what is kept, in memory */
};

struct area {
	char *start;
	size_t size;
};

static const char usage[] =
	"usage: workload fill SIZE_MIB [--thp|--no-thp] [--hold SECONDS]\n"
	"       workload churn SIZE_MIB SECONDS [--thp|--no-thp]\n"
	"       workload fragment SIZE_MIB --keep-every N [--lock] [--hold SECONDS]\n"
	"Without --hold, memory is held until SIGTERM, SIGINT or the end of standard input.\n";

/* Prints a message and returns -EINVAL, or 0 with the number in *ret_number. */
static int parse_number(const char *what, const char *text, unsigned long max,
			unsigned long *ret_number)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9') {
		fprintf(stderr, "workload: %s '%s' is not a number\n", what, text);
		return -EINVAL;
	}
	if (*end != '\0') {
		fprintf(stderr, "workload: %s '%s': trailing garbage '%s'\n", what, text, end);
		return -EINVAL;
	}
	if (errno || number < 1 || number > max) {
		fprintf(stderr, "workload: %s '%s' is not from 1 to %lu\n", what, text, max);
		return -EINVAL;
	}
	*ret_number = number;
	return 0;
}

/* A line for each step, at once even into a file: the tests wait for it. */
static void tell(const char *step)
{
	puts(step);
	fflush(stdout);
}

/* Maps and advises the area but touches nothing. */
static int area_map(struct area *area, size_t size, int advice)
{
	void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (start == MAP_FAILED) {
		err = errno;
		fprintf(stderr, "workload: mmap of %zu MiB: %s\n", size / MIB, strerror(err));
		return -err;
	}
	if (advice != NO_ADVICE && madvise(start, size, advice)) {
		err = errno;
		fprintf(stderr, "workload: madvise(%d) of %zu MiB: %s\n", advice, size / MIB,
			strerror(err));
		munmap(start, size);
		return -err;
	}
	area->start = start;
	area->size = size;
	return 0;
}

/* One non-zero byte per page is enough for neither the guest nor the host to share it. */
static void area_touch(const struct area *area, size_t page)
{
	for (size_t offset = 0; offset < area->size; offset += page)
		*(volatile char *)(area->start + offset) = 1;
}

static int area_unmap(const struct area *area)
{
	int err;

	if (munmap(area->start, area->size)) {
		err = errno;
		fprintf(stderr, "workload: munmap of %zu MiB: %s\n", area->size / MIB,
			strerror(err));
		return -err;
	}
	return 0;
}

/* Gives back all pages but one of each `step`, which keeps the free memory in small pieces. */
static int area_fragment(const struct area *area, size_t page, unsigned long step)
{
	size_t stride = page * step;
	int err;

	for (size_t offset = 0; offset < area->size; offset += stride) {
		size_t length = area->size - offset < stride ? area->size - offset : stride;

		if (length <= page)
			continue;
		if (madvise(area->start + offset + page, length - page, MADV_DONTNEED)) {
			err = errno;
			fprintf(stderr, "workload: MADV_DONTNEED of %zu bytes: %s\n", length - page,
				strerror(err));
			return -err;
		}
	}
	return 0;
}

/* Returns a descriptor that becomes readable on SIGTERM or SIGINT, or -errno. */
static int open_signals(void)
{
	sigset_t set;
	int err, fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0) {
		err = errno;
		fprintf(stderr, "workload: signalfd: %s\n", strerror(err));
		return -err;
	}
	return fd;
}

/* True when standard input has ended; whatever else was in it is thrown away. */
static bool input_ended(void)
{
	char buffer[256];

	return read(STDIN_FILENO, buffer, sizeof(buffer)) <= 0;
}

/* With a time, standard input does not matter. Returns 0 or -errno. */
static int hold(int signals, long seconds)
{
	struct pollfd fds[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = seconds == FOREVER ? STDIN_FILENO : -1, .events = POLLIN },
	};
	int timeout = seconds == FOREVER ? -1 : (int)(seconds * 1000);
	int err, ready;

	for (;;) {
		ready = poll(fds, 2, timeout);
		if (ready < 0) {
			err = errno;
			fprintf(stderr, "workload: poll: %s\n", strerror(err));
			return -err;
		}
		if (!ready || fds[0].revents || input_ended())
			return 0;
	}
}

static bool interrupted(int signals)
{
	struct pollfd fd = { .fd = signals, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

static int run_fill(size_t size, const struct options *options, size_t page, int signals)
{
	struct area area = { 0 };
	int ret;

	ret = area_map(&area, size, options->advice);
	if (ret)
		return ret;
	area_touch(&area, page);
	tell("filled");
	ret = hold(signals, options->hold);
	if (ret)
		return ret;
	ret = area_unmap(&area);
	if (!ret)
		tell("freed");
	return ret;
}

static int run_churn(size_t size, unsigned long seconds, int advice, size_t page, int signals)
{
	time_t end = now() + (time_t)seconds;
	unsigned long cycles = 0;
	struct area area = { 0 };
	int ret;

	while (now() < end && !interrupted(signals)) {
		ret = area_map(&area, size, advice);
		if (ret)
			return ret;
		area_touch(&area, page);
		ret = area_unmap(&area);
		if (ret)
			return ret;
		cycles++;
	}
	printf("cycles %lu\n", cycles);
	return 0;
}

static int run_fragment(size_t size, const struct options *options, size_t page, int signals)
{
	struct area area = { 0 };
	int ret;

	ret = area_map(&area, size, MADV_NOHUGEPAGE);
	if (ret)
		return ret;
	area_touch(&area, page);
	ret = area_fragment(&area, page, options->keep_every);
	if (ret)
		return ret;
	if (options->lock && mlockall(MCL_CURRENT | MCL_ONFAULT)) {
		ret = -errno;
		fprintf(stderr, "workload: mlockall: %s\n", strerror(-ret));
		return ret;
	}
	tell("fragmented");
	ret = hold(signals, options->hold);
	if (ret)
		return ret;
	ret = area_unmap(&area);
	if (!ret)
		tell("freed");
	return ret;
}

/* Returns 0 or -EINVAL; the words that are no options move behind them, see getopt(3). */
static int parse_options(int argc, char **argv, struct options *options)
{
	enum { OPT_THP = 1, OPT_NO_THP, OPT_HOLD, OPT_KEEP_EVERY, OPT_LOCK };
	static const struct option table[] = {
		{ "thp", no_argument, NULL, OPT_THP },
		{ "no-thp", no_argument, NULL, OPT_NO_THP },
		{ "hold", required_argument, NULL, OPT_HOLD },
		{ "keep-every", required_argument, NULL, OPT_KEEP_EVERY },
		{ "lock", no_argument, NULL, OPT_LOCK },
		{ NULL, 0, NULL, 0 },
	};
	unsigned long seconds = 0;
	int opt, ret = 0;

	while (!ret && (opt = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (opt) {
		case OPT_THP:
			options->advice = MADV_HUGEPAGE;
			break;
		case OPT_NO_THP:
			options->advice = MADV_NOHUGEPAGE;
			break;
		case OPT_HOLD:
			ret = parse_number("SECONDS", optarg, MAX_SECONDS, &seconds);
			options->hold = (long)seconds;
			break;
		case OPT_KEEP_EVERY:
			ret = parse_number("N", optarg, MAX_STEP, &options->keep_every);
			break;
		case OPT_LOCK:
			options->lock = true;
			break;
		default:
			ret = -EINVAL;
		}
	}
	return ret;
}

static int run(int count, char **words, const struct options *options)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned long mib, seconds;
	int signals;

	if (count < 2 || parse_number("SIZE_MIB", words[1], MAX_MIB, &mib))
		return -EINVAL;
	signals = open_signals();
	if (signals < 0)
		return signals;

	if (!strcmp(words[0], "fill") && count == 2)
		return run_fill(mib * MIB, options, page, signals);
	if (!strcmp(words[0], "fragment") && count == 2 && options->keep_every)
		return run_fragment(mib * MIB, options, page, signals);
	if (!strcmp(words[0], "churn") && count == 3) {
		if (parse_number("SECONDS", words[2], MAX_SECONDS, &seconds))
			return -EINVAL;
		return run_churn(mib * MIB, seconds, options->advice, page, signals);
	}
	return -EINVAL;
}

int main(int argc, char **argv)
{
	struct options options = { .advice = NO_ADVICE, .hold = FOREVER };
	int ret;

	ret = parse_options(argc, argv, &options);
	if (!ret)
		ret = run(argc - optind, argv + optind, &options);
	if (ret == -EINVAL)
		fputs(usage, stderr);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
