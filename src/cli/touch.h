/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory to be touched, in blocks of one transparent huge page each, whose place in
 * physical memory is known: for sluice probe --host.
 *
 * The first touch of a block is one page fault: the kernel takes one free extent of
 * that order and zeroes it, which is when the host has to back what it had dropped.
 */
#ifndef SLUICE_CLI_TOUCH_H
#define SLUICE_CLI_TOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/errmsg.h"
#include "sluice/topology.h"

#define TOUCH_NO_PFN UINT64_MAX

struct touch_area {
	size_t block_size;    /* bytes */
	uint64_t block_pages; /* of one block */
	unsigned int nr;      /* blocks */
	char *blocks;	      /* nr of them, aligned */
	uint64_t *pfns;	      /* first page of each, TOUCH_NO_PFN while it is free */
	char *mapping;	      /* all of it */
	size_t mapping_size;
	int pagemap;
	int kpageflags;
};

/*
 * Size of a transparent huge page. -EOPNOTSUPP with the reason if the kernel gives
 * none to those that ask for it.
 */
int touch_block_size(int root, size_t *ret, struct errmsg *err);

/*
 * Reserves addresses for @nr blocks, touches nothing. -EPERM where the kernel hides
 * page frame numbers, -ENOENT without CONFIG_PROC_PAGE_MONITOR, -ENOMEM. Closed with
 * touch_close(), which frees all memory; so does the end of the process.
 */
int touch_open(int root, const struct topology *topology, size_t block_size, unsigned int nr,
	       struct touch_area *ret, struct errmsg *err);
void touch_close(struct touch_area *area);

/*
 * First touch of a free block; *ns is the time that it took. -EAGAIN if the kernel
 * had no free extent of that order and used small pages: the block is free again.
 */
int touch_block(struct touch_area *area, unsigned int i, uint64_t *ns);

/* Frees a block. */
void touch_free(struct touch_area *area, unsigned int i);

/* Whether a free extent begins at @pfn, and whether it is reported. */
struct touch_extent {
	bool free;
	bool reported;
};

int touch_look(const struct touch_area *area, uint64_t pfn, struct touch_extent *ret);

#endif
