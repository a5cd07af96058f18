/* SPDX-License-Identifier: GPL-2.0-only */
/* Constants that user space sets before loading, and the maps. */
#ifndef SLUICE_GLOBALS_BPF_H
#define SLUICE_GLOBALS_BPF_H

/* Set before loading, from the running kernel (topology.h). */
const volatile uint32_t pageblock_order;
const volatile uint32_t highest_order;
const volatile uint32_t section_order; /* log2 of pages per section */
const volatile uint32_t nr_sections;
const volatile uint32_t own_tgid;    /* whose page faults pair pages with pfns */
const volatile uint32_t pcp_orders;  /* bit N: frees of order N go to per-CPU lists */
const volatile bool read_in_place;   /* bpf_rdonly_cast() works: 6.2+ */
const volatile bool extfrag_removes; /* mm_page_alloc_extfrag means an extent was taken */

/* Set by user space, once pairing has found where the memory map is. */
struct sluice_hot hot __attribute__((aligned(64)));

/*
 * First record of each section, or SLUICE_NO_RECORDS. 64 bits, since the kernel
 * keeps the elements of an array 8 bytes apart and user space maps them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint64_t);
} sections SEC(".maps");

/* One record per pageblock of online memory, section after section. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct sluice_block);
} blocks SEC(".maps");

struct sluice_zone_info zones[SLUICE_MAX_ZONES];
uint32_t nr_zones;

struct sluice_scan_zone scan_zones[SLUICE_MAX_ZONES];

struct sluice_zone_times zone_times[SLUICE_MAX_ZONES];

struct sluice_event_counters event_counters[SLUICE_MAX_CPUS] __attribute__((aligned(64)));

#endif
