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

#include "page_poison.h"
#include "parts.h"
#include "sluice/file.h"
#include "sluice/units.h"

#define DEFAULT_SECTION	       (128 * MIB) /* SECTION_SIZE_BITS on x86-64 and arm64 with 4 KiB pages */
#define MAX_SECTIONS	       (1U << 22)
#define MAX_NODE	       1023 /* CONFIG_NODES_SHIFT is 10 at the most */
#define PAGETYPEINFO_MAX_BYTES ((size_t)4 * 1024 * 1024)

static unsigned int log2_exact(uint64_t value)
{
	return (unsigned int)__builtin_ctzll(value);
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
	else if (order < 1 || order > SLUICE_MAX_PAGEBLOCK_ORDER)
		rc = errmsg_set(err, -EINVAL, "/%s: page block order %u, allowed are 1 to %u", path,
				order, SLUICE_MAX_PAGEBLOCK_ORDER);
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

	rc = file_read_line(root, "proc/sys/kernel/osrelease", text, sizeof(text), err);
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

/* A list of ranges, ascending, as in cpulist files: "0-1,4". */
static int read_nodes(int root, unsigned int *nodes, unsigned int *nr, struct errmsg *err)
{
	static const char path[] = NODE_DIR "/online";
	char text[256], *at = text;
	int rc;

	if (!file_exists(root, path)) { /* !CONFIG_NUMA */
		*nr = 1;
		nodes[0] = 0;
		return 0;
	}
	rc = file_read_line(root, path, text, sizeof(text), err);
	if (rc)
		return rc;
	*nr = 0;
	for (;;) {
		unsigned int first, last;

		if (!parse_node(&at, &first))
			break;
		last = first;
		if (*at == '-' && (at++, !parse_node(&at, &last)))
			break;
		if (first > last || (*nr && first <= nodes[*nr - 1]))
			break;
		for (unsigned int node = first; node <= last; node++) {
			if (*nr == TOPOLOGY_MAX_NODES)
				return errmsg_set(err, -E2BIG, "/%s: more than %d nodes", path,
						  TOPOLOGY_MAX_NODES);
			nodes[(*nr)++] = node;
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

	rc = parse_int(name + strlen("memory"), 0, MAX_SECTIONS - 1, &number, NULL);
	if (rc == -ERANGE)
		return errmsg_set(err, rc, "/%s/%.40s: sluice counts memory blocks from 0 to %u",
				  MEMORY_DIR, name, MAX_SECTIONS - 1);
	if (rc)
		return 0; /* "memory_failure" and others that are no block */
	snprintf(path, sizeof(path), MEMORY_DIR "/memory%" PRId64 "/state", number);
	rc = file_read_line(root, path, state, sizeof(state), err);
	if (rc == -ENOENT || rc == -ENODEV)
		return 0; /* removed while we look */
	if (rc)
		return rc;
	/*
	 * offline: its memory map may hold garbage. going-offline: that may last, and until
	 * it is done the pages belong to their zone and its free ones are counted there.
	 */
	if (strcmp(state, "online") && strcmp(state, "going-offline"))
		return 0;
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
static int sections_from_zones(struct topology *topology, struct errmsg *err)
{
	int rc = 0;

	topology->section_order = log2_exact(DEFAULT_SECTION / topology->page_size);
	/* arm64 with 64 KiB pages has pageblocks of 512 MiB, and SECTION_SIZE_BITS is 29 */
	if (topology->section_order < topology->pageblock_order)
		topology->section_order = topology->pageblock_order;
	for (unsigned int i = 0; !rc && i < topology->nr_zones; i++) {
		const struct topology_zone *zone = &topology->zones[i];
		const uint64_t first = zone->start_pfn >> topology->section_order;
		const uint64_t end = zone->start_pfn + zone->spanned_pages;

		for (uint64_t s = first; !rc && s << topology->section_order < end; s++) {
			if (s >= MAX_SECTIONS)
				return errmsg_set(err, -EINVAL,
						  "/proc/zoneinfo: zone %s spans beyond section %u",
						  zone->name, MAX_SECTIONS);
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
		return sections_from_zones(topology, err);
	rc = file_read_line(root, path, text, sizeof(text), err);
	if (rc)
		return rc;
	size = strtoull(text, &end, 16); /* printed as %lx */
	if (!isxdigit((unsigned char)*text) || *end || __builtin_popcountll(size) != 1 ||
	    size < topology->page_size << topology->pageblock_order || size > 1ULL << 40)
		return errmsg_set(err, -EINVAL,
				  "/%s: \"%.30s\" is no block size (a power of two in hexadecimal, "
				  "from one pageblock to 1 TiB)",
				  path, text);
	topology->section_order = log2_exact(size / topology->page_size);
	return read_memory_blocks(root, topology, err);
}

static void take_zones(struct topology *topology, const struct sluice_zone_info *zones,
		       unsigned int nr)
{
	topology->nr_zones = nr;
	for (unsigned int i = 0; i < nr; i++) {
		struct topology_zone *zone = &topology->zones[i];

		zone->node = zones[i].node;
		memcpy(zone->name, zones[i].name, sizeof(zone->name));
		zone->start_pfn = zones[i].start_pfn;
		zone->spanned_pages = zones[i].spanned_pages;
		zone->present_pages = zones[i].present_pages;
	}
	topology->highest_order = zones[0].nr_orders - 1;
}

static int check_orders(const struct topology *topology, struct errmsg *err)
{
	if (topology->highest_order >= SLUICE_NO_EXTENT)
		return errmsg_set(err, -EINVAL, "/proc/buddyinfo: highest order %u, allowed is %u",
				  topology->highest_order, SLUICE_NO_EXTENT - 1);
	if (topology->pageblock_order > topology->highest_order)
		return errmsg_set(err, -EINVAL,
				  "/proc/pagetypeinfo: page block order %u is above the highest "
				  "order %u of /proc/buddyinfo",
				  topology->pageblock_order, topology->highest_order);
	return 0;
}

int topology_find_zone(const struct topology *topology, unsigned int node, const char *name)
{
	for (unsigned int i = 0; i < topology->nr_zones; i++)
		if (topology->zones[i].node == node && !strcmp(topology->zones[i].name, name))
			return (int)i;
	return -ENOENT;
}

/*
 * Gives zones the indices that they have in @old, so that what is counted per index
 * stays right. One that is gone keeps its index, and spans nothing.
 */
static int keep_zones(struct topology *topology, const struct topology *old, struct errmsg *err)
{
	struct topology_zone zones[SLUICE_MAX_ZONES];
	unsigned int nr = old->nr_zones;

	memcpy(zones, old->zones, sizeof(zones));
	for (unsigned int i = 0; i < nr; i++)
		zones[i].start_pfn = zones[i].spanned_pages = zones[i].present_pages = 0;
	for (unsigned int i = 0; i < topology->nr_zones; i++) {
		const struct topology_zone *zone = &topology->zones[i];
		const int at = topology_find_zone(old, zone->node, zone->name);

		if (at < 0 && nr == SLUICE_MAX_ZONES)
			return errmsg_set(err, -E2BIG, "more than %d zones have come and gone",
					  SLUICE_MAX_ZONES);
		zones[at < 0 ? (int)nr++ : at] = *zone;
	}
	memcpy(topology->zones, zones, sizeof(zones));
	topology->nr_zones = nr;
	return 0;
}

/* Records are counted in 32 bits; the map of a guest with as many is 32 GiB large. */
static int check_records(const struct topology *topology, struct errmsg *err)
{
	const uint64_t records = topology_online_pages(topology) >> topology->pageblock_order;

	if (records < SLUICE_NO_RECORDS)
		return 0;
	return errmsg_set(err, -E2BIG, "/%s: %" PRIu64 " pageblocks are online, allowed are %u",
			  MEMORY_DIR, records, SLUICE_NO_RECORDS - 1);
}

static int read_all(int root, const struct topology *old, struct topology *read, struct errmsg *err)
{
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	unsigned int nr_zones;
	int rc;

	read->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	rc = read_kernel_version(root, &read->kernel_version, err);
	if (!rc)
		rc = read_pageblock_order(root, &read->pageblock_order, err);
	if (!rc)
		rc = zones_read_text(root, zones, &nr_zones, err);
	if (rc)
		return rc;
	take_zones(read, zones, nr_zones);
	rc = check_orders(read, err);
	if (!rc && old)
		rc = keep_zones(read, old, err);
	if (!rc)
		rc = read_nodes(root, read->nodes, &read->nr_nodes, err);
	if (!rc)
		rc = read_sections(root, read, err);
	if (!rc)
		rc = check_records(read, err);
	if (!rc)
		rc = topology_read_parts(root, read, old, err);
	read->has_thp = file_exists(root, "sys/kernel/mm/transparent_hugepage/enabled");
	read->page_poison = old ? old->page_poison : page_poison_is_on(root);
	return rc;
}

int topology_read(int root, const struct topology *old, struct topology *topology,
		  struct errmsg *err)
{
	struct topology *read = calloc(1, sizeof(*read));
	int rc;

	if (!read)
		return errmsg_set(err, -ENOMEM, "memory for the topology");
	rc = read_all(root, old, read, err);
	if (!rc)
		*topology = *read;
	free(read);
	return rc;
}

static bool same_nodes(int root, const struct topology *topology)
{
	unsigned int nodes[TOPOLOGY_MAX_NODES], nr;

	return !read_nodes(root, nodes, &nr, NULL) && nr == topology->nr_nodes &&
	       !memcmp(nodes, topology->nodes, nr * sizeof(nodes[0]));
}

bool topology_is_current(int root, const struct topology *topology,
			 const struct sluice_zone_info *zones, unsigned int nr)
{
	uint64_t known = 0, present = 0;

	if (!same_nodes(root, topology))
		return false;
	for (unsigned int i = 0; i < topology->nr_zones; i++)
		known += topology->zones[i].present_pages;
	for (unsigned int i = 0; i < nr; i++) {
		const int at = topology_find_zone(topology, zones[i].node, zones[i].name);

		if (at < 0 || topology->zones[at].start_pfn != zones[i].start_pfn ||
		    topology->zones[at].spanned_pages != zones[i].spanned_pages ||
		    topology->zones[at].present_pages != zones[i].present_pages)
			return false;
		present += zones[i].present_pages;
	}
	return known == present;
}

bool topology_same_sections(int root, const struct topology *topology)
{
	struct topology *now;
	bool same;

	if (!file_exists(root, MEMORY_DIR "/block_size_bytes"))
		return true; /* nothing can come or go */
	now = calloc(1, sizeof(*now));
	if (!now)
		return true;
	now->section_order = topology->section_order;
	same = !read_memory_blocks(root, now, NULL) && now->nr_ranges == topology->nr_ranges &&
	       !memcmp(now->online, topology->online, now->nr_ranges * sizeof(now->online[0]));
	free(now);
	return same;
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
