// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's own counters of who uses memory. */
#include "counters.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/file.h"
#include "sluice/units.h"

#define VMSTAT	  "proc/vmstat"
#define MEMINFO	  "proc/meminfo"
#define MAX_BYTES ((size_t)64 * 1024) /* vmstat of 6.18 has 5 KiB, meminfo 2 KiB */

/* Besides the usages; pages all. */
enum extra {
	EXTRA_INFLATED = USAGES, /* since the boot */
	EXTRA_DEFLATED,
	EXTRA_SWAP_FREE,
	EXTRA_BOOT_MEMMAP,
	EXTRAS
};

struct counter {
	const char *name; /* as the file has it */
	unsigned int at;  /* enum usage, or enum extra */
	bool kib;	  /* else pages */
};

static const struct counter vmstat[] = {
	{ "nr_anon_pages", USAGE_ANON, false },
	{ "nr_file_pages", USAGE_FILE, false },
	{ "nr_dirty", USAGE_DIRTY, false },
	{ "nr_writeback", USAGE_WRITEBACK, false },
	{ "nr_shmem", USAGE_SHMEM, false },
	{ "nr_slab_reclaimable", USAGE_SLAB_RECLAIMABLE, false },
	{ "nr_slab_unreclaimable", USAGE_SLAB_UNRECLAIMABLE, false },
	{ "nr_page_table_pages", USAGE_PAGE_TABLES, false },
	{ "nr_sec_page_table_pages", USAGE_PAGE_TABLES, false },
	{ "nr_kernel_stack", USAGE_STACKS, true },
	{ "nr_zspages", USAGE_ZSPAGES, false },
	{ "nr_balloon_pages", USAGE_BALLOON, false },
	{ "nr_unevictable", USAGE_UNEVICTABLE, false },
	{ "balloon_inflate", EXTRA_INFLATED, false },
	{ "balloon_deflate", EXTRA_DEFLATED, false },
	{ "nr_memmap_boot_pages", EXTRA_BOOT_MEMMAP, false },
	{ 0 },
};

/* nr_swapcached is in vmstat since 5.12 only */
static const struct counter meminfo[] = {
	{ "SwapCached:", USAGE_SWAP_CACHE, true },
	{ "Hugetlb:", USAGE_HUGETLB, true },
	{ "SwapFree:", EXTRA_SWAP_FREE, true },
	{ 0 },
};

struct values {
	uint64_t pages[EXTRAS];
	uint32_t known;
};

static uint64_t to_pages(const struct counter *counter, uint64_t value)
{
	return counter->kib ? value * KIB / (uint64_t)sysconf(_SC_PAGESIZE) : value;
}

static void take_line(const char *line, const struct counter *counters, struct values *values)
{
	char name[64];
	uint64_t value;

	if (sscanf(line, "%63s %20" SCNu64, name, &value) != 2)
		return;
	for (const struct counter *counter = counters; counter->name; counter++) {
		if (strcmp(counter->name, name))
			continue;
		values->pages[counter->at] += to_pages(counter, value);
		values->known |= 1U << counter->at;
	}
}

static int read_values(int root, const char *path, const struct counter *counters,
		       struct values *values, struct errmsg *err)
{
	const uint32_t before = values->known;
	char *text = NULL, *line, *save = NULL;
	int rc;

	rc = file_read_alloc(root, path, MAX_BYTES, &text, err);
	if (rc < 0)
		return rc;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		take_line(line, counters, values);
	free(text);
	if (values->known == before)
		return errmsg_set(err, -EINVAL, "/%s: no counter that is known here", path);
	return 0;
}

/* What went into the balloon and did not come out again. */
static void balloon_from_events(struct values *values)
{
	const uint32_t both = 1U << EXTRA_INFLATED | 1U << EXTRA_DEFLATED;

	if (values->known & 1U << USAGE_BALLOON || (values->known & both) != both)
		return;
	if (values->pages[EXTRA_INFLATED] > values->pages[EXTRA_DEFLATED])
		values->pages[USAGE_BALLOON] =
			values->pages[EXTRA_INFLATED] - values->pages[EXTRA_DEFLATED];
	values->known |= 1U << USAGE_BALLOON;
}

int counters_read(int root, struct memory_counters *ret, struct errmsg *err)
{
	struct memory_counters counters = { 0 };
	struct values values = { 0 };
	int rc;

	rc = read_values(root, VMSTAT, vmstat, &values, err);
	if (!rc)
		rc = zoneinfo_sums(root, &counters, err);
	if (!rc)
		rc = read_values(root, MEMINFO, meminfo, &values, err);
	if (rc)
		return rc;
	balloon_from_events(&values);
	memcpy(counters.pages, values.pages, sizeof(counters.pages));
	counters.known = values.known & ((1U << USAGES) - 1);
	counters.swap_free = values.pages[EXTRA_SWAP_FREE];
	counters.boot_memmap = values.pages[EXTRA_BOOT_MEMMAP];
	*ret = counters;
	return 0;
}

const char *usage_counter(enum usage usage)
{
	for (const struct counter *counter = vmstat; counter->name; counter++)
		if (counter->at == usage)
			return counter->name;
	for (const struct counter *counter = meminfo; counter->name; counter++)
		if (counter->at == usage)
			return counter->name;
	return "";
}
