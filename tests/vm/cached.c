// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page cache of one file for the tests: reads parts of it, once or all the time, and counts
 * what of it is cached. The cache of a block device lasts as long as somebody has it open.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB	(1024UL * 1024UL)
#define MAX_MIB (64UL * 1024UL)

static const char usage[] = "usage: cached FILE hold\n"
			    "       cached FILE read START_MIB SIZE_MIB\n"
			    "       cached FILE reread START_MIB SIZE_MIB\n"
			    "       cached FILE count START_MIB SIZE_MIB\n"
			    "\"hold\" and \"reread\", twice a second, last until a signal.\n";

static int complain(const char *what)
{
	fprintf(stderr, "cached: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

static int read_part(int fd, unsigned long start, unsigned long size)
{
	static char buffer[64 * 1024];

	for (unsigned long offset = 0; offset < size * MIB; offset += sizeof(buffer)) {
		if (pread(fd, buffer, sizeof(buffer), (off_t)(start * MIB + offset)) !=
		    (ssize_t)sizeof(buffer))
			return complain("read");
	}
	return EXIT_SUCCESS;
}

static int reread(int fd, unsigned long start, unsigned long size)
{
	for (;;) {
		if (read_part(fd, start, size))
			return EXIT_FAILURE;
		poll(NULL, 0, 500);
	}
}

/* mincore(2) tells what is cached without touching it. */
static int count(int fd, unsigned long start, unsigned long size)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = size * MIB / page;
	unsigned char *in_core = calloc(pages, 1);
	size_t cached = 0;
	void *area = mmap(NULL, size * MIB, PROT_READ, MAP_SHARED, fd, (off_t)(start * MIB));

	const bool known = in_core && area != MAP_FAILED && !mincore(area, size * MIB, in_core);

	for (size_t i = 0; known && i < pages; i++)
		cached += in_core[i] & 1;
	free(in_core);
	if (!known)
		return complain("mincore");
	printf("%zu\n", cached * page / MIB);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	unsigned long start = 0, size = 0;
	int fd;

	if (argc == 5) {
		start = strtoul(argv[3], NULL, 10);
		size = strtoul(argv[4], NULL, 10);
	}
	if ((argc != 3 && argc != 5) || start > MAX_MIB || size > MAX_MIB || (argc == 5 && !size)) {
		fputs(usage, stderr);
		return EXIT_FAILURE;
	}
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return complain(argv[1]);
	if (argc == 3 && !strcmp(argv[2], "hold"))
		return pause();
	if (argc == 5 && !strcmp(argv[2], "read"))
		return read_part(fd, start, size);
	if (argc == 5 && !strcmp(argv[2], "reread"))
		return reread(fd, start, size);
	if (argc == 5 && !strcmp(argv[2], "count"))
		return count(fd, start, size);
	fputs(usage, stderr);
	return EXIT_FAILURE;
}
