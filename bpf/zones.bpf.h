/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The zones of one node, found without symbols: the current task's memory
 * cgroup knows the pglist_data of every node (lruvec.pgdat, CONFIG_MEMCG, in
 * 5.10 to 7.3). Run with BPF_PROG_TEST_RUN (raw tracepoints: 5.10), never
 * attached.
 */
#ifndef SLUICE_ZONES_BPF_H
#define SLUICE_ZONES_BPF_H

#define MAX_ZONES_PER_NODE 8

#define READ_AT(dst, base, offset) \
	bpf_probe_read_kernel(&(dst), sizeof(dst), (const void *)((uint64_t)(base) + (offset)))

static __always_inline uint64_t pgdat_of(uint32_t nid)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	uint64_t memcg = 0, per_node = 0, pgdat = 0;
	struct css_set *cgroups;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id) ||
	    !bpf_core_field_exists(struct lruvec, pgdat))
		return 0;
	cgroups = BPF_CORE_READ(task, cgroups);
	READ_AT(memcg, cgroups,
		bpf_core_field_offset(struct css_set, subsys) +
			sizeof(void *) *
				bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
	if (!memcg)
		return 0;
	READ_AT(per_node, memcg,
		bpf_core_field_offset(struct mem_cgroup, nodeinfo) + sizeof(void *) * nid);
	if (!per_node)
		return 0;
	READ_AT(pgdat, per_node,
		bpf_core_field_offset(struct mem_cgroup_per_node, lruvec) +
			bpf_core_field_offset(struct lruvec, pgdat));
	return pgdat;
}

static __always_inline void read_zone(struct sluice_zone_info *info, struct zone *zone,
				      uint32_t nid)
{
	const uint64_t area = (uint64_t)zone + bpf_core_field_offset(struct zone, free_area);
	const uint32_t stride = bpf_core_type_size(struct free_area);
	const char *name = BPF_CORE_READ(zone, name);

	bpf_probe_read_kernel_str(info->name, sizeof(info->name), name);
	info->node = nid;
	info->start_pfn = BPF_CORE_READ(zone, zone_start_pfn);
	info->spanned_pages = BPF_CORE_READ(zone, spanned_pages);
	info->present_pages = BPF_CORE_READ(zone, present_pages);
	info->managed_pages = BPF_CORE_READ(zone, managed_pages.counter);
	info->low_wmark =
		BPF_CORE_READ(zone, _watermark[WMARK_LOW]) + BPF_CORE_READ(zone, watermark_boost);
	if (bpf_core_field_exists(zone->nr_free_highatomic)) /* 6.13+ */
		info->reserved_highatomic = BPF_CORE_READ(zone, nr_free_highatomic);
	else
		info->reserved_highatomic = BPF_CORE_READ(zone, nr_reserved_highatomic);
	READ_AT(info->free_pages, zone,
		bpf_core_field_offset(struct zone, vm_stat) +
			sizeof(long) * bpf_core_enum_value(enum zone_stat_item, NR_FREE_PAGES));
	info->nr_orders = bpf_core_field_size(struct zone, free_area) / stride;
	/* unrolled: verifiers until 6.1 refuse the shape that clang gives this loop */
#pragma unroll
	for (uint32_t order = 0; order < SLUICE_MAX_ORDERS; order++) {
		info->nr_free[order] = 0;
		if (order < info->nr_orders)
			READ_AT(info->nr_free[order], area,
				order * stride + bpf_core_field_offset(struct free_area, nr_free));
	}
}

/* Appends the populated zones of node args[0] to zones[]; 1 if the node can't be found. */
SEC("raw_tp/sluice_zones")
int read_zones(struct bpf_raw_tracepoint_args *ctx)
{
	const uint32_t nid = ctx->args[0];
	const uint64_t pgdat = pgdat_of(nid);
	int in_node = 0;

	if (!pgdat)
		return 1;
	READ_AT(in_node, pgdat, bpf_core_field_offset(struct pglist_data, nr_zones));
	for (int i = 0; i < MAX_ZONES_PER_NODE; i++) {
		struct zone *zone =
			(void *)(pgdat + bpf_core_field_offset(struct pglist_data, node_zones) +
				 i * bpf_core_type_size(struct zone));
		uint32_t n = nr_zones;

		if (i >= in_node || n >= SLUICE_MAX_ZONES)
			break;
		if (!BPF_CORE_READ(zone, present_pages))
			continue;
		nr_zones = n + 1;
		/* in range already; verifiers until 6.1 lose that where a mask tells them */
		asm volatile("" : "+r"(n));
		read_zone(&zones[n & (SLUICE_MAX_ZONES - 1)], zone, nid);
	}
	return 0;
}

#endif
