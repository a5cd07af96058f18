// SPDX-License-Identifier: GPL-2.0-only
/* The BPF object: open, configure, load, pair, attach; and its maps as memory. */
#include "bpf_object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAIR_PAGES	 256
#define PAIR_MIN_AGREE	 100
#define PAGEMAP_PFN_MASK ((1ULL << 55) - 1) /* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT	 (1ULL << 63)

/* libbpf says what went wrong only through its print callback, which has no context. */
static char libbpf_said[256];

__attribute__((format(printf, 2, 0))) static int keep_first_message(enum libbpf_print_level level,
								    const char *fmt, va_list args)
{
	/* the first message names the program, the last only the skeleton */
	if (level != LIBBPF_WARN || libbpf_said[0])
		return 0;
	vsnprintf(libbpf_said, sizeof(libbpf_said), fmt, args);
	libbpf_said[strcspn(libbpf_said, "\n")] = '\0';
	return 0;
}

static size_t page_align(size_t size, const struct topology *topology)
{
	return (size + topology->page_size - 1) & ~(topology->page_size - 1);
}

/* SYSCALL programs came with 5.14. */
static bool syscall_programs_work(void)
{
	return libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SYSCALL, NULL) == 1;
}

/* mm_compaction_fast_isolate_freepages came with 6.5. */
static bool has_fast_isolate(const struct topology *topology)
{
	return topology->kernel_version >= 6005;
}

static void configure(struct sluice_bpf *skel, const struct topology *topology,
		      const struct bpf_wants *wants)
{
	skel->rodata->pageblock_order = topology->pageblock_order;
	skel->rodata->highest_order = topology->highest_order;
	skel->rodata->section_order = topology->section_order;
	skel->rodata->nr_sections = topology->nr_sections;
	skel->rodata->own_tgid = (uint32_t)getpid();
	skel->rodata->pcp_orders = topology_pcp_orders(topology);
	skel->rodata->read_in_place = wants->in_place;
	/* 6.10 emits mm_page_alloc_extfrag behind the removal, before that ahead of it */
	skel->rodata->extfrag_removes = topology->kernel_version >= 6010;
}

/* open, configure, load: what the kernel can't do is not loaded. */
static int load(struct bpf *bpf, const struct topology *topology, const struct bpf_wants *wants,
		struct errmsg *err)
{
	struct sluice_bpf *skel;
	int rc;

	libbpf_set_print(keep_first_message);
	libbpf_said[0] = '\0';
	skel = sluice_bpf__open();
	if (!skel)
		return errmsg_set(err, -errno, "BPF object: %s", libbpf_said);
	bpf->skel = skel;
	configure(skel, topology, wants);
	bpf->can_scan = wants->scan && syscall_programs_work();
	bpf_program__set_autoload(skel->progs.scan, bpf->can_scan);
	bpf_program__set_autoload(skel->progs.export_extents, bpf->can_scan && wants->exports);
	bpf_program__set_autoload(skel->progs.on_zone_locked, wants->events);
	bpf_program__set_autoload(skel->progs.on_pcpu_drain, wants->events);
	bpf_program__set_autoload(skel->progs.on_extfrag,
				  wants->events && skel->rodata->extfrag_removes);
	bpf_program__set_autoload(skel->progs.on_free, wants->direct_frees);
	bpf_program__set_autoload(skel->progs.on_isolate, wants->events);
	bpf_program__set_autoload(skel->progs.on_fast_isolate,
				  wants->events && has_fast_isolate(topology));
	rc = bpf_map__set_max_entries(skel->maps.sections, topology->nr_sections);
	if (!rc)
		rc = bpf_map__set_max_entries(skel->maps.blocks, blockmap_records(topology));
	if (!rc && bpf->can_scan && wants->exports)
		rc = bpf_map__set_max_entries(skel->maps.exports, SLUICE_EXPORT_ENTRIES);
	if (!rc)
		rc = sluice_bpf__load(skel);
	if (rc)
		return errmsg_set(err, rc, "loading the BPF programs: %s (%s)", strerror(-rc),
				  libbpf_said);
	return 0;
}

static int map_memory(struct bpf *bpf, const struct topology *topology, struct errmsg *err)
{
	void *sections, *blocks;

	bpf->sections_size = page_align(topology->nr_sections * sizeof(uint64_t), topology);
	bpf->blocks_size =
		page_align(blockmap_records(topology) * sizeof(struct sluice_block), topology);
	sections = mmap(NULL, bpf->sections_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			bpf_map__fd(bpf->skel->maps.sections), 0);
	if (sections == MAP_FAILED)
		return errmsg_set(err, -errno, "mapping the section table: %m");
	bpf->map.sections = sections;
	blocks = mmap(NULL, bpf->blocks_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      bpf_map__fd(bpf->skel->maps.blocks), 0);
	if (blocks == MAP_FAILED)
		return errmsg_set(err, -errno, "mapping the free-extent map: %m");
	bpf->map.blocks = blocks;
	bpf->map.pageblock_order = topology->pageblock_order;
	bpf->map.section_order = topology->section_order;
	bpf->map.nr_sections = topology->nr_sections;
	bpf->map.nr_blocks = blockmap_records(topology);
	bpf->map.times = bpf->skel->bss->zone_times;
	blockmap_index(&bpf->map, topology);
	blockmap_runs(&bpf->map, bpf->skel->bss->hot.runs, SLUICE_RUNS);
	return 0;
}

/* The value that most of the samples agree on; true if at least PAIR_MIN_AGREE do. */
static bool majority(const uint64_t *samples, unsigned int nr, uint64_t *ret)
{
	uint64_t candidate = 0;
	unsigned int votes = 0, agree = 0;

	for (unsigned int i = 0; i < nr; i++) {
		if (!votes)
			candidate = samples[i];
		votes += samples[i] == candidate ? 1U : -1U;
	}
	for (unsigned int i = 0; i < nr; i++)
		agree += samples[i] == candidate;
	if (agree < PAIR_MIN_AGREE)
		return false;
	*ret = candidate;
	return true;
}

/* Touches pages of our own; each gives one candidate for vmemmap. */
static unsigned int collect_pairs(struct bpf *bpf, int pagemap, volatile char *area,
				  size_t page_size, uint64_t *samples)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < PAIR_PAGES; i++) {
		const uint64_t virtual_page = (uintptr_t)(area + i * page_size) / page_size;
		uint64_t entry, page;

		bpf->skel->bss->paired_page = 0;
		area[i * page_size] = 1;
		page = bpf->skel->bss->paired_page;
		if (!page || pread(pagemap, &entry, sizeof(entry),
				   (off_t)(virtual_page * sizeof(entry))) != sizeof(entry))
			continue;
		if (!(entry & PAGEMAP_PRESENT) || !(entry & PAGEMAP_PFN_MASK))
			continue;
		samples[nr++] =
			page - (entry & PAGEMAP_PFN_MASK) * bpf->skel->bss->page_struct_size;
	}
	return nr;
}

static void set_page_shift(struct sluice_bpf *skel)
{
	const uint32_t size = skel->bss->page_struct_size;

	skel->bss->hot.page_shift = size & (size - 1) ? 0 : (uint32_t)__builtin_ctz(size);
}

/* Finds vmemmap: see bpf/pairing.bpf.h. */
static int pair(struct bpf *bpf, int root, const struct topology *topology, struct errmsg *err)
{
	const size_t size = PAIR_PAGES * topology->page_size;
	uint64_t samples[PAIR_PAGES];
	struct bpf_link *link = NULL;
	void *area = MAP_FAILED;
	int pagemap, rc = 0;
	unsigned int nr;

	pagemap = openat(root, "proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return errmsg_set(err, -errno, "/proc/self/pagemap: %m (CONFIG_PROC_PAGE_MONITOR)");
	area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED) {
		rc = errmsg_set(err, -errno, "memory for pairing: %m");
		goto out;
	}
	madvise(area, size,
		MADV_NOHUGEPAGE); /* EINVAL without THP: then there is nothing to avoid */
	link = bpf_program__attach(bpf->skel->progs.pair_alloc);
	if (!link) {
		rc = errmsg_set(err, -errno, "attaching to mm_page_alloc: %s", libbpf_said);
		goto out;
	}
	nr = collect_pairs(bpf, pagemap, area, topology->page_size, samples);
	if (!majority(samples, nr, &bpf->skel->bss->hot.vmemmap))
		rc = errmsg_set(err, -ENOENT,
				"the memory map's address is unknown: of %u pairs of page and pfn "
				"fewer than %d agree",
				nr, PAIR_MIN_AGREE);
	else
		set_page_shift(bpf->skel);
out:
	bpf_link__destroy(link);
	if (area != MAP_FAILED)
		munmap(area, size);
	close(pagemap);
	return rc;
}

/* The memory map stays where it is when memory comes or goes. */
static void inherit(struct bpf *bpf, const struct bpf *old)
{
	bpf->skel->bss->hot.vmemmap = old->skel->bss->hot.vmemmap;
	bpf->skel->bss->page_struct_size = old->skel->bss->page_struct_size;
	bpf->skel->bss->hot.page_shift = old->skel->bss->hot.page_shift;
	blockmap_inherit(&bpf->map, &old->map);
	bpf_events(old, &bpf->earlier);
}

int bpf_open(int root, const struct topology *topology, const struct bpf_wants *wants,
	     const struct bpf *old, struct bpf **ret, struct errmsg *err)
{
	struct bpf *bpf;
	int rc;

	bpf = calloc(1, sizeof(*bpf));
	if (!bpf)
		return errmsg_set(err, -ENOMEM, "memory for the BPF object");
	rc = load(bpf, topology, wants, err);
	if (!rc)
		rc = map_memory(bpf, topology, err);
	if (!rc && bpf->can_scan && wants->exports)
		rc = bpf_map_exports(bpf, err);
	if (!rc && old)
		inherit(bpf, old);
	else if (!rc)
		rc = pair(bpf, root, topology, err);
	if (rc) {
		bpf_close(bpf);
		return rc;
	}
	*ret = bpf;
	return 0;
}

void bpf_close(struct bpf *bpf)
{
	if (!bpf)
		return;
	if (bpf->map.sections)
		munmap(bpf->map.sections, bpf->sections_size);
	if (bpf->map.blocks)
		munmap(bpf->map.blocks, bpf->blocks_size);
	bpf_unmap_exports(bpf);
	sluice_bpf__destroy(bpf->skel);
	free(bpf);
}

bool bpf_can_scan(const struct bpf *bpf)
{
	return bpf->can_scan;
}

const struct blockmap *bpf_blockmap(const struct bpf *bpf)
{
	return &bpf->map;
}

int bpf_read_zones(struct bpf *bpf, const struct topology *topology, struct sluice_zone_info *zones,
		   unsigned int *nr, struct errmsg *err)
{
	bpf->skel->bss->nr_zones = 0;
	for (unsigned int i = 0; i < topology->nr_nodes; i++) {
		uint64_t args[1] = { topology->nodes[i] };
		LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));

		if (bpf_prog_test_run_opts(bpf_program__fd(bpf->skel->progs.read_zones), &opts) < 0)
			return errmsg_set(err, -errno, "running the BPF program read_zones: %m");
		if (opts.retval)
			return errmsg_set(
				err, -ENOENT,
				"the zones of node %u can't be found without memory cgroups",
				topology->nodes[i]);
	}
	if (!bpf->skel->bss->nr_zones)
		return errmsg_set(err, -ENOENT, "no populated zone found through memory cgroups");
	*nr = bpf->skel->bss->nr_zones;
	memcpy(zones, bpf->skel->bss->zones, *nr * sizeof(*zones));
	return 0;
}

static int scan_range(struct bpf *bpf, struct scan_job *job, const struct pfn_range *range,
		      struct errmsg *err)
{
	const uint64_t block = 1ULL << job->topology->pageblock_order;
	struct sluice_scan_args args = {
		.next_pfn = range->start & ~(block - 1),
		.end_pfn = range->end,
		.budget_ns = SCAN_BUDGET_NS,
		.zone = job->zone,
		.full = job->depth == SCAN_FULL,
	};

	while (args.next_pfn < args.end_pfn) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &args, .ctx_size_in = sizeof(args));
		const uint64_t before = args.next_pfn;

		if (bpf_prog_test_run_opts(bpf_program__fd(bpf->skel->progs.scan), &opts) < 0)
			return errmsg_set(err, -errno, "running the BPF program scan: %m");
		if (args.next_pfn <= before)
			return errmsg_set(err, -EIO, "the BPF scan stands still at pfn %" PRIu64,
					  before);
		job->probes += args.probes;
	}
	return 0;
}

void bpf_set_time(struct bpf *bpf, uint64_t now_ns)
{
	bpf->skel->bss->hot.recent_tick = (uint32_t)(now_ns >> SLUICE_TICK_SHIFT);
}

int bpf_scan(struct bpf *bpf, struct scan_job *job, struct errmsg *err)
{
	struct sluice_scan_zone *result = &bpf->skel->bss->scan_zones[job->zone];
	int rc = 0;

	memset(result, 0, sizeof(*result));
	for (unsigned int i = 0; !rc && i < job->topology->nr_parts; i++)
		if (job->topology->parts[i].zone == job->zone)
			rc = scan_range(bpf, job, &job->topology->parts[i].pfns, err);
	job->found = *result;
	return rc;
}

int bpf_attach_events(struct bpf *bpf, struct errmsg *err)
{
	struct sluice_bpf *skel = bpf->skel;
	const struct {
		struct bpf_program *program;
		struct bpf_link **link;
		bool required;
	} events[] = {
		{ skel->progs.on_zone_locked, &skel->links.on_zone_locked, true },
		{ skel->progs.on_pcpu_drain, &skel->links.on_pcpu_drain, true },
		{ skel->progs.on_extfrag, &skel->links.on_extfrag, true },
		{ skel->progs.on_free, &skel->links.on_free, true },
		/* CONFIG_COMPACTION */
		{ skel->progs.on_isolate, &skel->links.on_isolate, false },
		{ skel->progs.on_fast_isolate, &skel->links.on_fast_isolate, false },
	};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (!bpf_program__autoload(events[i].program))
			continue;
		*events[i].link = bpf_program__attach(events[i].program);
		if (!*events[i].link && events[i].required)
			return errmsg_set(err, -errno, "attaching the BPF program %s: %s",
					  bpf_program__name(events[i].program), libbpf_said);
	}
	return 0;
}

static void add_counters(struct sluice_event_counters *sum,
			 const struct sluice_event_counters *count)
{
	sum->allocs += count->allocs;
	sum->drains += count->drains;
	sum->direct_frees += count->direct_frees;
	sum->steals += count->steals;
	sum->isolated += count->isolated;
	sum->fast_isolated += count->fast_isolated;
	sum->unknown += count->unknown;
	sum->clamped += count->clamped;
	sum->reused += count->reused;
}

void bpf_events(const struct bpf *bpf, struct sluice_event_counters *sum)
{
	*sum = bpf->earlier;
	for (unsigned int cpu = 0; cpu < SLUICE_MAX_CPUS; cpu++)
		add_counters(sum, &bpf->skel->bss->event_counters[cpu]);
}

uint64_t bpf_missed_runs(const struct bpf *bpf)
{
	struct bpf_program *program;
	uint64_t missed = 0;

	bpf_object__for_each_program(program, bpf->skel->obj)
	{
		struct bpf_prog_info info = { 0 };
		uint32_t size = sizeof(info);

		if (bpf_program__fd(program) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			missed += info.recursion_misses;
	}
	return missed;
}
