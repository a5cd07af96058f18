// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's own counters of who uses memory. */
#include "counters.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "sluice/counter_file.h"
#include "sluice/units.h"

#define VMSTAT	   "proc/vmstat"
#define MEMINFO	   "proc/meminfo"
#define MOST_LINES (sizeof(vmstat) / sizeof(vmstat[0])) /* of either table */

/* Besides the usages; pages all. */
enum extra {
	EXTRA_INFLATED = USAGES, /* since the boot */
	EXTRA_DEFLATED,
	EXTRA_SWAP_FREE,
	EXTRA_BOOT_MEMMAP,
	EXTRAS
};

struct usage_line {
	const char *name; /* as the file has it */
	unsigned int at;  /* enum usage, or enum extra */
	bool kib;	  /* else pages */
};

static const struct usage_line vmstat[] = {
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
static const struct usage_line meminfo[] = {
	{ "SwapCached", USAGE_SWAP_CACHE, true },
	{ "Hugetlb", USAGE_HUGETLB, true },
	{ "SwapFree", EXTRA_SWAP_FREE, true },
	{ 0 },
};

struct values {
	uint64_t pages[EXTRAS];
	uint32_t known;
};

static uint64_t to_pages(const struct usage_line *line, uint64_t value)
{
	return line->kib ? value * KIB / (uint64_t)sysconf(_SC_PAGESIZE) : value;
}

static int read_values(int root, const char *path, const struct usage_line *lines,
		       struct values *values, struct errmsg *err)
{
	struct counter counters[MOST_LINES] = { 0 };
	bool any = false;
	size_t nr = 0;
	int rc;

	for (; lines[nr].name; nr++)
		counters[nr].name = lines[nr].name;
	rc = counter_file_read(root, path, counters, nr, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < nr; i++) {
		if (!counters[i].found)
			continue;
		values->pages[lines[i].at] += to_pages(&lines[i], counters[i].value);
		values->known |= 1U << lines[i].at;
		any = true;
	}
	if (!any)
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
	for (const struct usage_line *line = vmstat; line->name; line++)
		if (line->at == usage)
			return line->name;
	for (const struct usage_line *line = meminfo; line->name; line++)
		if (line->at == usage)
			return line->name;
	return "";
}
