// SPDX-License-Identifier: GPL-2.0-only
/* The export program and its array. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "bpf_object.h"

#define EXPORTS_SIZE (SLUICE_EXPORT_ENTRIES * sizeof(uint64_t)) /* whole pages of any size */

int bpf_map_exports(struct bpf *bpf, struct errmsg *err)
{
	void *exports = mmap(NULL, EXPORTS_SIZE, PROT_READ, MAP_SHARED,
			     bpf_map__fd(bpf->skel->maps.exports), 0);

	if (exports == MAP_FAILED)
		return errmsg_set(err, -errno, "mapping the array of exported extents: %m");
	bpf->exports = exports;
	return 0;
}

void bpf_unmap_exports(struct bpf *bpf)
{
	if (bpf->exports)
		munmap((void *)bpf->exports, EXPORTS_SIZE);
}

int bpf_export(struct bpf *bpf, struct sluice_export_args *args, const uint64_t **words,
	       struct errmsg *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(*args));
	const uint64_t before = args->next_pfn;

	if (!bpf->exports)
		return errmsg_set(err, -EOPNOTSUPP, "the BPF program export_extents is not loaded");
	args->budget_ns = SCAN_BUDGET_NS;
	if (bpf_prog_test_run_opts(bpf_program__fd(bpf->skel->progs.export_extents), &opts) < 0)
		return errmsg_set(err, -errno, "running the BPF program export_extents: %m");
	if (args->next_pfn <= before)
		return errmsg_set(err, -EIO, "the BPF export stands still at pfn %" PRIu64, before);
	*words = bpf->exports;
	return 0;
}
