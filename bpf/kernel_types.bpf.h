/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few kernel types that the programs read, relocated by CO-RE against the
 * running kernel. A suffix after three underscores is a flavour: another shape
 * of the same type in other versions.
 */
#ifndef SLUICE_KERNEL_TYPES_BPF_H
#define SLUICE_KERNEL_TYPES_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct page {
	unsigned long flags; /* until 6.17 */
	unsigned long private;
	unsigned int page_type;
};

/* 6.18 made page->flags a memdesc_flags_t */
struct page___memdesc {
	struct {
		unsigned long f;
	} flags;
};

typedef struct {
	long counter;
} atomic_long_t;

struct free_area {
	unsigned long nr_free;
};

struct zone {
	unsigned long _watermark[4];
	unsigned long watermark_boost;
	unsigned long nr_reserved_highatomic;
	unsigned long nr_free_highatomic;
	unsigned long zone_start_pfn;
	atomic_long_t managed_pages;
	unsigned long spanned_pages;
	unsigned long present_pages;
	const char *name;
	struct free_area free_area[11]; /* the true length comes from BTF */
	atomic_long_t vm_stat[1];
};

struct pglist_data {
	struct zone node_zones[5]; /* the true length is nr_zones */
	int nr_zones;
	int node_id;
};

struct lruvec {
	struct pglist_data *pgdat; /* CONFIG_MEMCG */
};

struct mem_cgroup_per_node {
	struct lruvec lruvec;
};

struct mem_cgroup {
	struct mem_cgroup_per_node *nodeinfo[0];
};

struct css_set {
	struct mem_cgroup *subsys[16]; /* css is the first member of its mem_cgroup */
};

struct task_struct {
	struct css_set *cgroups;
};

#pragma clang attribute pop

enum pageflags {
	PG_reported = 3, /* as everywhere here, the true value comes from BTF */
};

/* PG_buddy until 6.11, PGTY_buddy from 6.12 */
enum pagetype {
	PG_buddy = 0x40000000,
};
enum pagetype___pgty {
	PGTY_buddy = 0xf0,
};

enum zone_stat_item {
	NR_FREE_PAGES = 0,
};
enum zone_watermarks {
	WMARK_LOW = 1,
};
enum cgroup_subsys_id {
	memory_cgrp_id = 4,
};

#endif
