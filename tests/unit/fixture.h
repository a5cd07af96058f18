/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fixture trees: a directory of our own stands in for "/", so that no test reads
 * or writes anything of the machine it runs on. Any failure fails the test.
 *
 * Include after <cmocka.h>.
 */
#ifndef SLUICE_TESTS_FIXTURE_H
#define SLUICE_TESTS_FIXTURE_H

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/bpf_shared.h"
#include "sluice/file.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Fails with both texts if @text does not contain @part. */
#define assert_contains(text, part)                                                 \
	do {                                                                        \
		if (!strstr(text, part))                                            \
			fail_msg("\"%s\" does not contain \"%s\"", (text), (part)); \
	} while (0)

struct fixture {
	char dir[40];
	int root;
};

static inline void fixture_open(struct fixture *fixture)
{
	/* thousands of small files: in memory if there is such a place */
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/sluice-observe-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(fixture->dir));
	fixture->root = root_open(fixture->dir, NULL);
	assert_true(fixture->root >= 0);
}

static inline int fixture_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Removes a file or a directory with all that is in it; it may be missing. */
static inline void fixture_remove(const struct fixture *fixture, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", fixture->dir, path);
	if (access(full, F_OK) == 0)
		assert_int_equal(nftw(full, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void fixture_close(struct fixture *fixture)
{
	close(fixture->root);
	assert_int_equal(nftw(fixture->dir, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Makes the directories above @path. */
static inline void fixture_parents(const struct fixture *fixture, const char *path)
{
	char part[256];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		mkdirat(fixture->root, part, 0755);
	}
}

static inline void fixture_mkdir(const struct fixture *fixture, const char *path)
{
	fixture_parents(fixture, path);
	assert_int_equal(mkdirat(fixture->root, path, 0755), 0);
}

static inline void fixture_link(const struct fixture *fixture, const char *path, const char *target)
{
	if (symlinkat(target, fixture->root, path) == 0)
		return;
	fixture_parents(fixture, path);
	assert_int_equal(symlinkat(target, fixture->root, path), 0);
}

static inline void fixture_write(const struct fixture *fixture, const char *path, const void *data,
				 size_t size)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL;
	int fd;

	/* a new file: ext4 flushes one that was truncated and written again to the disk */
	unlinkat(fixture->root, path, 0);
	fd = openat(fixture->root, path, flags, 0644);
	if (fd < 0) {
		fixture_parents(fixture, path);
		fd = openat(fixture->root, path, flags, 0644);
	}
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	assert_int_equal(close(fd), 0);
}

static inline void fixture_put(const struct fixture *fixture, const char *path, const char *text)
{
	fixture_write(fixture, path, text, strlen(text));
}

__attribute__((format(printf, 3, 4))) static inline void fixture_printf(
	const struct fixture *fixture, const char *path, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fixture_put(fixture, path, text);
}

/* Leaves the first @size bytes of a file. */
static inline void fixture_cut(const struct fixture *fixture, const char *path, size_t size)
{
	int fd = openat(fixture->root, path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

/* A file of the source tree, terminated, for the caller to free. */
static inline char *fixture_slurp(const char *path)
{
	int fd = open(path, O_RDONLY);
	char *text;

	if (fd < 0)
		fail_msg("cannot open %s", path);
	assert_true(fd_read_alloc(fd, 1 << 20, &text) >= 0);
	close(fd);
	return text;
}

/* What /proc/buddyinfo and /proc/zoneinfo say about one zone. */
struct fixture_zone {
	unsigned int node;
	const char *name;
	uint64_t start_pfn, spanned, present, free, low;
	uint64_t nr_free[SLUICE_MAX_ORDERS];
};

/* Writes both files as mm/vmstat.c of 6.18 does. */
static inline void fixture_zones(const struct fixture *fixture, const struct fixture_zone *zones,
				 unsigned int nr, unsigned int nr_orders)
{
	char *buddyinfo, *zoneinfo;
	size_t size;
	FILE *buddy = open_memstream(&buddyinfo, &size);
	FILE *info = open_memstream(&zoneinfo, &size);

	assert_true(buddy && info);
	for (const struct fixture_zone *zone = zones; zone < zones + nr; zone++) {
		fprintf(buddy, "Node %u, zone %8s ", zone->node, zone->name);
		for (unsigned int o = 0; o < nr_orders; o++)
			fprintf(buddy, "%6" PRIu64 " ", zone->nr_free[o]);
		fputc('\n', buddy);
		fprintf(info, "Node %u, zone %8s", zone->node, zone->name);
		fprintf(info, "\n  pages free     %" PRIu64, zone->free);
		fprintf(info, "\n        boost    0\n        min      %" PRIu64, zone->low / 2);
		fprintf(info, "\n        low      %" PRIu64, zone->low);
		fprintf(info, "\n        high     %" PRIu64, zone->low * 2);
		fprintf(info, "\n        spanned  %" PRIu64, zone->spanned);
		fprintf(info, "\n        present  %" PRIu64, zone->present);
		fprintf(info, "\n        managed  %" PRIu64, zone->present);
		fprintf(info, "\n        cma      0\n        protection: (0, 0, 0, 0, 0)");
		fprintf(info, "\n      nr_free_pages %" PRIu64, zone->free);
		fprintf(info, "\n  pagesets\n    cpu: 0\n              count:    0");
		fprintf(info, "\n  node_unreclaimable:  0\n  start_pfn:           %" PRIu64 "\n",
			zone->start_pfn);
	}
	assert_int_equal(fclose(buddy), 0);
	assert_int_equal(fclose(info), 0);
	fixture_put(fixture, "proc/buddyinfo", buddyinfo);
	fixture_put(fixture, "proc/zoneinfo", zoneinfo);
	free(buddyinfo);
	free(zoneinfo);
}

/* Writes the state of one memory block. */
static inline void fixture_memory(const struct fixture *fixture, unsigned int number,
				  const char *state)
{
	char path[96];

	snprintf(path, sizeof(path), "sys/devices/system/memory/memory%u/state", number);
	fixture_printf(fixture, path, "%s\n", state);
}

#endif
