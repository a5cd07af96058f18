// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one BPF object: works from Linux 5.10 to 7.3.
 *
 *   pairing  which struct page belongs to which pfn, found at start
 *   zones    the counters of struct zone, read without a lock
 *   scan     free extents from the memory map, the source of truth
 *   export   the same, extent by extent, for tools
 *   events   what the buddy lists do between two scans
 *
 * Nothing here decides anything. User space reads the results from mapped
 * memory, without a system call.
 */
#include "kernel_types.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "sluice/bpf_shared.h"

#include "globals.bpf.h"
#include "blocks.bpf.h"
#include "pairing.bpf.h"
#include "zones.bpf.h"
#include "scan.bpf.h"
#include "export.bpf.h"
#include "events.bpf.h"

/* bpf_get_current_task() and bpf_probe_read_kernel() are GPL-only */
char LICENSE[] SEC("license") = "GPL";
