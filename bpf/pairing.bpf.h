/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pairing: user space touches a fresh page of its own, this program notes which
 * struct page the fault took, and /proc/self/pagemap says which pfn that is.
 * vmemmap = page - pfn * sizeof(struct page). It needs neither symbols nor
 * tracefs, and holds on every architecture with a linear memory map.
 */
#ifndef SLUICE_PAIRING_BPF_H
#define SLUICE_PAIRING_BPF_H

uint64_t paired_page;	   /* last order-0 page that own_tgid allocated */
uint32_t page_struct_size; /* sizeof(struct page), known with the first event */

SEC("raw_tp/mm_page_alloc")
int pair_alloc(struct bpf_raw_tracepoint_args *ctx)
{
	uint64_t page = ctx->args[0];

	if (page && !ctx->args[1] && bpf_get_current_pid_tgid() >> 32 == own_tgid) {
		paired_page = page;
		page_struct_size = bpf_core_type_size(struct page);
	}
	return 0;
}

#endif
