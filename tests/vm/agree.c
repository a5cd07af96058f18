// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs in the guest: takes sluiced's histogram between two looks at
 * /proc/buddyinfo, and counts reported extents in /proc/kpageflags, without
 * starting a process or allocating in between. Prints one JSON document per
 * try; the host compares.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUDDY	   (UINT64_C(1) << 10) /* KPF_BUDDY */
#define UPTODATE   (UINT64_C(1) << 3)  /* KPF_UPTODATE: PG_reported on the head of a free extent */
#define MAX_TRIES  64
#define MAX_BLOCKS 1024

#define MEMORY "/sys/devices/system/memory"

/* Memory blocks that are online, by number: far less than /proc/kpageflags spans in some guests. */
static unsigned long blocks[MAX_BLOCKS];
static size_t nr_blocks;
static size_t block_pages;

struct
try {
	char before[4096];
	char hist[65536];
	char after[4096];
	uint64_t heads_before, heads_after; /* extents that kpageflags shows as reported */
};

static struct try tries[MAX_TRIES];

static int read_all(int fd, char *buf, size_t size)
{
	size_t used = 0;
	ssize_t got;

	while ((got = read(fd, buf + used, size - 1 - used)) > 0)
		used += (size_t)got;
	buf[used] = '\0';
	return got < 0 ? -errno : 0;
}

static int read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY), rc;

	if (fd < 0)
		return -errno;
	rc = read_all(fd, buf, size);
	close(fd);
	return rc;
}

static int ask_hist(const char *path, char *buf, size_t size)
{
	static const char request[] = "{\"request\":\"hist\"}\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, rc = 0;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    write(fd, request, sizeof(request) - 1) != sizeof(request) - 1)
		rc = -errno;
	if (!rc)
		rc = read_all(fd, buf, size);
	close(fd);
	return rc;
}

static int add_if_online(const char *name)
{
	char path[sizeof(MEMORY) + 32], text[32], *end;
	const unsigned long number = strtoul(name + strlen("memory"), &end, 10);
	int rc;

	if (end == name + strlen("memory") || *end)
		return 0; /* no block */
	snprintf(path, sizeof(path), MEMORY "/memory%lu/state", number);
	rc = read_text(path, text, sizeof(text));
	if (rc || strcmp(text, "online\n"))
		return rc;
	if (nr_blocks == MAX_BLOCKS)
		return -E2BIG;
	blocks[nr_blocks++] = number;
	return 0;
}

static int find_online(void)
{
	struct dirent *entry;
	char text[32];
	DIR *folder;
	int rc;

	rc = read_text(MEMORY "/block_size_bytes", text, sizeof(text));
	if (rc)
		return rc;
	block_pages = strtoul(text, NULL, 16) / (unsigned long)sysconf(_SC_PAGESIZE);
	folder = opendir(MEMORY);
	if (!folder)
		return -errno;
	while (!rc && (entry = readdir(folder)))
		if (!strncmp(entry->d_name, "memory", strlen("memory")))
			rc = add_if_online(entry->d_name);
	closedir(folder);
	return rc;
}

/* Counts in one memory block; its file may end inside the last one. */
static int count_in_block(int fd, unsigned long block, uint64_t *heads)
{
	static uint64_t flags[8192];
	const size_t size = block_pages * sizeof(flags[0]);
	ssize_t got = 0;

	for (size_t done = 0; done < size; done += (size_t)got) {
		const size_t left = size - done;

		got = pread(fd, flags, left < sizeof(flags) ? left : sizeof(flags),
			    (off_t)(block * size + done));
		if (got <= 0)
			break;
		for (size_t i = 0; i < (size_t)got / sizeof(flags[0]); i++)
			*heads += (flags[i] & (BUDDY | UPTODATE)) == (BUDDY | UPTODATE);
	}
	return got < 0 ? -errno : 0;
}

static int count_reported(uint64_t *ret)
{
	int fd = open("/proc/kpageflags", O_RDONLY), rc = 0;
	uint64_t heads = 0;

	if (fd < 0)
		return -errno;
	for (size_t i = 0; !rc && i < nr_blocks; i++)
		rc = count_in_block(fd, blocks[i], &heads);
	close(fd);
	*ret = heads;
	return rc;
}

static void print_text(const char *text)
{
	putchar('"');
	for (; *text; text++)
		if (*text == '\n')
			fputs("\\n", stdout);
		else
			putchar(*text);
	putchar('"');
}

int main(int argc, char **argv)
{
	const char *path = argc > 2 ? argv[2] : "/run/sluice/control";
	const int nr = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
	int rc = 0;

	if (nr < 1 || nr > MAX_TRIES) {
		fprintf(stderr, "agree: \"%s\": tries, 1 to %d\n", argc > 1 ? argv[1] : "",
			MAX_TRIES);
		return 2;
	}
	rc = find_online();
	memset(tries, 1, sizeof(tries)); /* every page is there before the first look */
	for (int i = 0; !rc && i < nr; i++) {
		rc = read_text("/proc/buddyinfo", tries[i].before, sizeof(tries[i].before));
		if (!rc)
			rc = count_reported(&tries[i].heads_before);
		if (!rc)
			rc = ask_hist(path, tries[i].hist, sizeof(tries[i].hist));
		if (!rc)
			rc = count_reported(&tries[i].heads_after);
		if (!rc)
			rc = read_text("/proc/buddyinfo", tries[i].after, sizeof(tries[i].after));
	}
	if (rc) {
		fprintf(stderr, "agree: %s\n", strerror(-rc));
		return 1;
	}
	for (int i = 0; i < nr; i++) {
		fputs("{\"before\":", stdout);
		print_text(tries[i].before);
		fputs(",\"after\":", stdout);
		print_text(tries[i].after);
		printf(",\"heads_before\":%" PRIu64 ",\"heads_after\":%" PRIu64 ",\"hist\":%s}\n",
		       tries[i].heads_before, tries[i].heads_after, tries[i].hist);
	}
	return 0;
}
