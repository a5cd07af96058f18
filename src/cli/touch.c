// SPDX-License-Identifier: GPL-2.0-only
#include "touch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kernel-page-flags.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sluice/clock.h"
#include "sluice/file.h"

#define THP "sys/kernel/mm/transparent_hugepage/"

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_PFN	((1ULL << 55) - 1)

int touch_block_size(int root, size_t *ret, struct errmsg *err)
{
	char enabled[64];
	int64_t size;

	if (file_read(root, THP "enabled", enabled, sizeof(enabled), err) < 0 ||
	    file_read_int(root, THP "hpage_pmd_size", &size, err) < 0)
		return errmsg_set(err, -EOPNOTSUPP,
				  "this kernel has no transparent huge pages "
				  "(CONFIG_TRANSPARENT_HUGEPAGE): blocks of reportable size can't "
				  "be touched one by one");
	if (strstr(enabled, "[never]"))
		return errmsg_set(err, -EOPNOTSUPP,
				  "/" THP "enabled is never: blocks of reportable size can't be "
				  "touched one by one; \"madvise\" is enough");
	if (size < sysconf(_SC_PAGESIZE))
		return errmsg_set(err, -EOPNOTSUPP, "/" THP "hpage_pmd_size: %" PRId64, size);
	*ret = (size_t)size;
	return 0;
}

static int open_file(int root, const char *path, int *ret, struct errmsg *err)
{
	*ret = openat(root, path, O_RDONLY | O_CLOEXEC);
	if (*ret < 0)
		return errmsg_set(err, -errno, "/%s: %m (needs CONFIG_PROC_PAGE_MONITOR and root)",
				  path);
	return 0;
}

/* Addresses for one block more, so that the blocks can be aligned. */
static int map_blocks(struct touch_area *area, struct errmsg *err)
{
	const size_t size = area->block_size;

	area->mapping_size = (area->nr + 1) * size;
	area->mapping = mmap(NULL, area->mapping_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area->mapping == MAP_FAILED) {
		area->mapping = NULL;
		return errmsg_set(err, -errno, "mapping %zu bytes: %m", area->mapping_size);
	}
	area->blocks = area->mapping + (-(uintptr_t)area->mapping & (size - 1));
	if (madvise(area->mapping, area->mapping_size, MADV_HUGEPAGE))
		return errmsg_set(err, -errno, "MADV_HUGEPAGE: %m");
	return 0;
}

int touch_open(int root, const struct topology *topology, size_t block_size, unsigned int nr,
	       struct touch_area *ret, struct errmsg *err)
{
	struct touch_area area = {
		.block_size = block_size,
		.block_pages = block_size / topology->page_size,
		.nr = nr,
		.pagemap = -1,
		.kpageflags = -1,
	};
	int rc;

	area.pfns = malloc(nr * sizeof(*area.pfns));
	if (!area.pfns)
		return errmsg_set(err, -ENOMEM, "no memory for %u addresses", nr);
	for (unsigned int i = 0; i < nr; i++)
		area.pfns[i] = TOUCH_NO_PFN;
	rc = open_file(root, "proc/self/pagemap", &area.pagemap, err);
	if (!rc)
		rc = open_file(root, "proc/kpageflags", &area.kpageflags, err);
	if (!rc)
		rc = map_blocks(&area, err);
	if (rc) {
		touch_close(&area);
		return rc;
	}
	*ret = area;
	return 0;
}

void touch_close(struct touch_area *area)
{
	if (area->mapping)
		munmap(area->mapping, area->mapping_size);
	if (area->pagemap >= 0)
		close(area->pagemap);
	if (area->kpageflags >= 0)
		close(area->kpageflags);
	free(area->pfns);
	*area = (struct touch_area){ .pagemap = -1, .kpageflags = -1 };
}

/* Page frame number of a page that is in memory. */
static int find_pfn(const struct touch_area *area, const char *address, uint64_t *ret)
{
	const size_t page_size = area->block_size / area->block_pages;
	uint64_t entry;
	ssize_t got;

	got = pread(area->pagemap, &entry, sizeof(entry),
		    (off_t)((uintptr_t)address / page_size * sizeof(entry)));
	if (got != sizeof(entry))
		return got < 0 ? -errno : -EIO;
	if (!(entry & PAGEMAP_PRESENT))
		return -EAGAIN;
	*ret = entry & PAGEMAP_PFN;
	return *ret ? 0 : -EPERM; /* hidden without CAP_SYS_ADMIN */
}

/* The place of a block, if it is one extent: its last page is where that ends. */
static int find_block(struct touch_area *area, unsigned int i, uint64_t *ret)
{
	const char *block = area->blocks + i * area->block_size;
	uint64_t first = 0, last = 0;
	int rc;

	rc = find_pfn(area, block, &first);
	if (rc)
		return rc;
	rc = find_pfn(area, block + area->block_size - area->block_size / area->block_pages, &last);
	if (rc)
		return rc;
	if (first % area->block_pages || last != first + area->block_pages - 1)
		return -EAGAIN;
	*ret = first;
	return 0;
}

int touch_block(struct touch_area *area, unsigned int i, uint64_t *ns)
{
	volatile char *block = area->blocks + i * area->block_size;
	uint64_t start;
	int rc;

	start = clock_ns(CLOCK_MONOTONIC_RAW);
	*block = 1; /* not zero, so that the host can't merge it with others */
	*ns = clock_ns(CLOCK_MONOTONIC_RAW) - start;
	rc = find_block(area, i, &area->pfns[i]);
	if (rc)
		touch_free(area, i);
	return rc;
}

void touch_free(struct touch_area *area, unsigned int i)
{
	madvise(area->blocks + i * area->block_size, area->block_size, MADV_DONTNEED);
	area->pfns[i] = TOUCH_NO_PFN;
}

int touch_look(const struct touch_area *area, uint64_t pfn, struct touch_extent *ret)
{
	uint64_t flags;
	ssize_t got;

	got = pread(area->kpageflags, &flags, sizeof(flags), (off_t)(pfn * sizeof(flags)));
	if (got != sizeof(flags))
		return got < 0 ? -errno : -EIO;
	ret->free = flags & (1ULL << KPF_BUDDY);
	/* PG_reported has the bit of PG_uptodate; on the first page of an extent only */
	ret->reported = ret->free && flags & (1ULL << KPF_UPTODATE);
	return 0;
}
