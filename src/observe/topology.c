// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/topology.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/file.h"
#include "sluice/units.h"

#define MEMORY_DIR	       "sys/devices/system/memory"
#define DEFAULT_SECTION	       (128 * MIB) /* SECTION_SIZE_BITS on x86-64 and arm64 with 4 KiB pages */
#define MAX_SECTIONS	       (1U << 22)
#define MAX_NODE	       1023 /* CONFIG_NODES_SHIFT is 10 at the most */
#define PAGETYPEINFO_MAX_BYTES ((size_t)4 * 1024 * 1024)

static unsigned int log2_exact(uint64_t value)
{
	return (unsigned int)__builtin_ctzll(value);
}

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* The single line of a file, without its newline: a number that lacks it may be cut off. */
static int read_line(int root, const char *path, char *buf, size_t size, struct errmsg *err)
{
	char quoted[QUOTED_TEXT];
	int len;

	len = file_read(root, path, buf, size, err);
	if (len < 0)
		return len;
	if (!len || strchr(buf, '\n') != buf + len - 1)
		return errmsg_set(err, -EINVAL, "/%s: %s is not one whole line", path,
				  text_quote(buf, quoted));
	buf[len - 1] = '\0';
	return 0;
}

/* "Page block order: 9" heads /proc/pagetypeinfo (mm/vmstat.c, pagetypeinfo_show()). */
static int read_pageblock_order(int root, unsigned int *ret, struct errmsg *err)
{
	static const char path[] = "proc/pagetypeinfo";
	unsigned int order;
	char *text = NULL;
	int rc, used = 0;

	rc = file_read_alloc(root, path, PAGETYPEINFO_MAX_BYTES, &text, err);
	if (rc < 0)
		return rc;
	if (sscanf(text, "Page block order: %4u%n", &order, &used) != 1 || text[used] != '\n')
		rc = errmsg_set(err, -EINVAL, "/%s: no line \"Page block order\"", path);
	else if (order < 1 || order >= SLUICE_MAX_ORDERS)
		rc = errmsg_set(err, -EINVAL, "/%s: page block order %u, allowed are 1 to %u", path,
				order, SLUICE_MAX_ORDERS - 1);
	else
		*ret = order, rc = 0;
	free(text);
	return rc;
}

static int read_kernel_version(int root, unsigned int *ret, struct errmsg *err)
{
	unsigned int major, minor;
	char text[128];
	int rc, used = 0;

	rc = read_line(root, "proc/sys/kernel/osrelease", text, sizeof(text), err);
	if (rc)
		return rc;
	if (sscanf(text, "%3u.%3u%n", &major, &minor, &used) != 2 || major > 999 || minor > 999 ||
	    isdigit((unsigned char)text[used]))
		return errmsg_set(err, -EINVAL,
				  "/proc/sys/kernel/osrelease: \"%.40s\" is no kernel version",
				  text);
	*ret = major * 1000 + minor;
	return 0;
}

static bool parse_node(char **at, unsigned int *node)
{
	unsigned long number;

	if (!isdigit((unsigned char)**at))
		return false;
	number = strtoul(*at, at, 10);
	if (number > MAX_NODE)
		return false;
	*node = (unsigned int)number;
	return true;
}

/* A list of ranges as in cpulist files: "0-1,4". */
static int read_nodes(int root, struct topology *topology, struct errmsg *err)
{
	static const char path[] = "sys/devices/system/node/online";
	char text[256], *at = text;
	int rc;

	if (!file_exists(root, path)) { /* !CONFIG_NUMA */
		topology->nr_nodes = 1;
		topology->nodes[0] = 0;
		return 0;
	}
	rc = read_line(root, path, text, sizeof(text), err);
	if (rc)
		return rc;
	topology->nr_nodes = 0;
	for (;;) {
		unsigned int first, last;

		if (!parse_node(&at, &first))
			break;
		last = first;
		if (*at == '-' && (at++, !parse_node(&at, &last)))
			break;
		if (first > last)
			break;
		for (unsigned int node = first; node <= last; node++) {
			if (topology->nr_nodes == TOPOLOGY_MAX_NODES)
				return errmsg_set(err, -E2BIG, "/%s: more than %d nodes", path,
						  TOPOLOGY_MAX_NODES);
			topology->nodes[topology->nr_nodes++] = node;
		}
		if (!*at)
			return 0;
		if (*at++ != ',')
			break;
	}
	return errmsg_set(err, -EINVAL, "/%s: \"%.60s\" is no list of nodes", path, text);
}

/* Inserts a section into the sorted, merged list of ranges. */
static int add_online(struct topology *topology, uint64_t section, struct errmsg *err)
{
	const uint64_t start = section << topology->section_order;
	const uint64_t end = (section + 1) << topology->section_order;
	struct pfn_range *online = topology->online;
	unsigned int at = 0;

	while (at < topology->nr_ranges && online[at].end < start)
		at++;
	if (at < topology->nr_ranges && online[at].start <= end) {
		if (start < online[at].start)
			online[at].start = start;
		if (end > online[at].end)
			online[at].end = end;
		if (at + 1 < topology->nr_ranges && online[at + 1].start <= online[at].end) {
			online[at].end = online[at + 1].end;
			topology->nr_ranges--;
			memmove(&online[at + 1], &online[at + 2],
				(topology->nr_ranges - at - 1) * sizeof(*online));
		}
	} else {
		if (topology->nr_ranges == TOPOLOGY_MAX_RANGES)
			return errmsg_set(err, -E2BIG,
					  "/%s: online memory in more than %d separate pieces",
					  MEMORY_DIR, TOPOLOGY_MAX_RANGES);
		memmove(&online[at + 1], &online[at], (topology->nr_ranges - at) * sizeof(*online));
		online[at] = (struct pfn_range){ start, end };
		topology->nr_ranges++;
	}
	if (section >= topology->nr_sections)
		topology->nr_sections = (unsigned int)section + 1;
	return 0;
}

static int add_memory_block(int root, struct topology *topology, const char *name,
			    struct errmsg *err)
{
	char path[96], state[32];
	int64_t number;
	int rc;

	if (parse_int(name + strlen("memory"), 0, MAX_SECTIONS - 1, &number, NULL) < 0)
		return 0; /* "memory_failure" and others that are no block */
	snprintf(path, sizeof(path), MEMORY_DIR "/memory%" PRId64 "/state", number);
	rc = read_line(root, path, state, sizeof(state), err);
	if (rc == -ENOENT || rc == -ENODEV)
		return 0; /* removed while we look */
	if (rc)
		return rc;
	if (strcmp(state, "online"))
		return 0; /* offline, going-offline: its memory map may hold garbage */
	return add_online(topology, (uint64_t)number, err);
}

static int is_memory(const struct dirent *entry)
{
	return !strncmp(entry->d_name, "memory", strlen("memory"));
}

/*
 * Memory hotplug knows which sections are online. Sorted by number, so that the
 * ranges do not first come in more pieces than there are in the end.
 */
static int read_memory_blocks(int root, struct topology *topology, struct errmsg *err)
{
	struct dirent **entries;
	int nr, rc = 0;

	nr = scandirat(root, MEMORY_DIR, &entries, is_memory, versionsort);
	if (nr < 0)
		return errmsg_set(err, -errno, "/%s: %m", MEMORY_DIR);
	for (int i = 0; i < nr; i++) {
		if (!rc)
			rc = add_memory_block(root, topology, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	if (!rc && !topology->nr_ranges)
		rc = errmsg_set(err, -EINVAL, "/%s: no memory block is online", MEMORY_DIR);
	return rc;
}

/* Without CONFIG_MEMORY_HOTPLUG nothing comes or goes: the zones' spans are all. */
static int sections_from_zones(int root, struct topology *topology, struct errmsg *err)
{
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	unsigned int nr;
	int rc;

	topology->section_order = log2_exact(DEFAULT_SECTION / topology->page_size);
	/* arm64 with 64 KiB pages has pageblocks of 512 MiB, and SECTION_SIZE_BITS is 29 */
	if (topology->section_order < topology->pageblock_order)
		topology->section_order = topology->pageblock_order;
	rc = zones_read_text(root, zones, &nr, err);
	for (unsigned int i = 0; !rc && i < nr; i++) {
		const uint64_t first = zones[i].start_pfn >> topology->section_order;
		const uint64_t end = zones[i].start_pfn + zones[i].spanned_pages;

		for (uint64_t s = first; !rc && s << topology->section_order < end; s++) {
			if (s >= MAX_SECTIONS)
				return errmsg_set(err, -EINVAL,
						  "/proc/zoneinfo: zone %s spans beyond section %u",
						  zones[i].name, MAX_SECTIONS);
			rc = add_online(topology, s, err);
		}
	}
	if (!rc && !topology->nr_ranges)
		rc = errmsg_set(err, -EINVAL, "/proc/zoneinfo: no zone spans any page");
	return rc;
}

static int read_sections(int root, struct topology *topology, struct errmsg *err)
{
	static const char path[] = MEMORY_DIR "/block_size_bytes";
	char text[32], *end;
	uint64_t size;
	int rc;

	if (!file_exists(root, path))
		return sections_from_zones(root, topology, err);
	rc = read_line(root, path, text, sizeof(text), err);
	if (rc)
		return rc;
	size = strtoull(text, &end, 16); /* printed as %lx */
	if (!isxdigit((unsigned char)*text) || *end || !is_power_of_two(size) ||
	    size < topology->page_size << topology->pageblock_order || size > 1ULL << 40)
		return errmsg_set(err, -EINVAL,
				  "/%s: \"%.30s\" is no block size (a power of two in hexadecimal, "
				  "from one pageblock to 1 TiB)",
				  path, text);
	topology->section_order = log2_exact(size / topology->page_size);
	return read_memory_blocks(root, topology, err);
}

int topology_read(int root, struct topology *topology, struct errmsg *err)
{
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	struct topology read = { 0 };
	unsigned int nr_zones;
	int rc;

	read.page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	rc = read_kernel_version(root, &read.kernel_version, err);
	if (!rc)
		rc = read_pageblock_order(root, &read.pageblock_order, err);
	if (!rc)
		rc = zones_read_text(root, zones, &nr_zones, err);
	if (!rc)
		rc = read_nodes(root, &read, err);
	if (!rc)
		rc = read_sections(root, &read, err);
	if (rc)
		return rc;
	read.highest_order = zones[0].nr_orders - 1;
	if (read.pageblock_order > read.highest_order)
		return errmsg_set(err, -EINVAL,
				  "/proc/pagetypeinfo: page block order %u is above the highest "
				  "order %u of /proc/buddyinfo",
				  read.pageblock_order, read.highest_order);
	read.has_thp = file_exists(root, "sys/kernel/mm/transparent_hugepage/enabled");
	*topology = read;
	return 0;
}

uint32_t topology_pcp_orders(const struct topology *topology)
{
	uint32_t mask = 1;

	if (topology->kernel_version >= 5013) {
		mask = 0xf;
		if (topology->has_thp)
			mask |= 1U << topology->pageblock_order;
	}
	return mask;
}

uint64_t topology_online_pages(const struct topology *topology)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < topology->nr_ranges; i++)
		pages += topology->online[i].end - topology->online[i].start;
	return pages;
}
