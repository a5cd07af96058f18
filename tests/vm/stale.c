// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs in the guest: looks for pageblocks that sluiced's map believes wholly free
 * and /proc/kpageflags does not, and for those that stay so.
 *
 *	stale INTERVAL_MS LOOKS [SOCKET]
 *
 * A look asks for the map, reads the flags of the blocks that it shows as free, and
 * asks again: only what both answers show as free, and the flags between them do
 * not, is wrong. Stale is what is wrong in two looks INTERVAL_MS apart. One JSON
 * document tells how many of each were seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BUDDY	   (UINT64_C(1) << 10) /* KPF_BUDDY */
#define MAX_ORDER  13
#define MAX_ANSWER ((size_t)4 << 20)
#define MAX_BLOCKS ((size_t)1 << 20)

static char answer[MAX_ANSWER];
static bool wrong_before[MAX_BLOCKS], wrong_now[MAX_BLOCKS];
static uint64_t checked, wrong, stale;

static int ask_map(const char *path, json_t **ret)
{
	static const char request[] = "{\"request\":\"map\"}\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t used = 0;
	ssize_t got;
	int fd;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    write(fd, request, sizeof(request) - 1) != sizeof(request) - 1) {
		close(fd);
		return -errno;
	}
	while ((got = read(fd, answer + used, sizeof(answer) - used)) > 0)
		used += (size_t)got;
	close(fd);
	*ret = got < 0 ? NULL : json_loadb(answer, used, 0, NULL);
	return *ret ? 0 : -EBADMSG;
}

/* The letter that @map shows for the block at @pfn, 0 if it shows none. */
static char letter_at(const json_t *map, uint64_t pfn, unsigned int order)
{
	const json_t *part;
	size_t i;

	json_array_foreach(json_object_get(map, "parts"), i, part)
	{
		const uint64_t start =
			(uint64_t)json_integer_value(json_object_get(part, "start_pfn"));
		const json_t *blocks = json_object_get(part, "blocks");

		if (pfn >= start && (pfn - start) >> order < json_string_length(blocks))
			return json_string_value(blocks)[(pfn - start) >> order];
	}
	return '\0';
}

static bool believed_free(char letter)
{
	return letter == 'F' || letter == 'R';
}

/* Whether every page of the block is on a free list. */
static int read_truth(int flags, uint64_t pfn, unsigned int order, bool *ret)
{
	static uint64_t words[1 << MAX_ORDER];
	const size_t size = sizeof(words[0]) << order;

	if (pread(flags, words, size, (off_t)(pfn * sizeof(words[0]))) != (ssize_t)size)
		return errno ? -errno : -EIO;
	*ret = true;
	for (size_t i = 0; i < (size_t)1 << order; i++)
		if (!(words[i] & BUDDY))
			*ret = false;
	return 0;
}

/* Marks the blocks of one part that are not free, in wrong_now. */
static int check_part(int flags, const json_t *part, unsigned int order)
{
	const uint64_t start = (uint64_t)json_integer_value(json_object_get(part, "start_pfn"));
	const char *blocks = json_string_value(json_object_get(part, "blocks"));
	bool free = false;

	for (size_t i = 0; blocks[i]; i++) {
		const uint64_t pfn = start + ((uint64_t)i << order);
		int rc;

		if (!believed_free(blocks[i]))
			continue;
		if (pfn >> order >= MAX_BLOCKS)
			return -E2BIG;
		rc = read_truth(flags, pfn, order, &free);
		if (rc)
			return rc;
		checked++;
		wrong_now[pfn >> order] = !free;
	}
	return 0;
}

static int look(const char *path, int flags)
{
	json_t *before = NULL, *after = NULL, *part;
	unsigned int order;
	size_t i;
	int rc;

	memset(wrong_now, 0, sizeof(wrong_now));
	rc = ask_map(path, &before);
	if (rc)
		return rc;
	order = (unsigned int)json_integer_value(json_object_get(before, "pageblock_order"));
	json_array_foreach(json_object_get(before, "parts"), i, part)
	{
		if (!rc)
			rc = order > MAX_ORDER ? -EBADMSG : check_part(flags, part, order);
	}
	if (!rc)
		rc = ask_map(path, &after);
	for (i = 0; !rc && i < MAX_BLOCKS; i++) {
		wrong_now[i] = wrong_now[i] &&
			       believed_free(letter_at(after, (uint64_t)i << order, order));
		wrong += wrong_now[i];
		stale += wrong_now[i] && wrong_before[i];
	}
	memcpy(wrong_before, wrong_now, sizeof(wrong_now));
	json_decref(before);
	json_decref(after);
	return rc;
}

int main(int argc, char **argv)
{
	const long interval = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
	const long looks = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	const struct timespec pause = { interval / 1000, interval % 1000 * 1000000 };
	const char *path = argc > 3 ? argv[3] : "/run/sluice/control";
	int flags, rc = 0;

	if (interval < 1 || looks < 2) {
		fputs("usage: stale INTERVAL_MS LOOKS [SOCKET]; at least 1 ms and 2 looks\n",
		      stderr);
		return 2;
	}
	flags = open("/proc/kpageflags", O_RDONLY);
	if (flags < 0)
		rc = -errno;
	for (long i = 0; !rc && i < looks; i++) {
		if (i)
			nanosleep(&pause, NULL);
		rc = look(path, flags);
	}
	if (rc) {
		fprintf(stderr, "stale: %s\n", strerror(-rc));
		return 1;
	}
	printf("{\"looks\":%ld,\"checked\":%" PRIu64 ",\"wrong\":%" PRIu64 ",\"stale\":%" PRIu64
	       "}\n",
	       looks, checked, wrong, stale);
	return 0;
}
