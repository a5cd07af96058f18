/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of the kernel with one counter per line, "name value" or "name:  value kB":
 * /proc/vmstat (mm/vmstat.c) and /proc/meminfo (fs/proc/meminfo.c). Which of them
 * there are depends on the kernel.
 */
#ifndef SLUICE_COUNTER_FILE_H
#define SLUICE_COUNTER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/errmsg.h"

/* A counter that is wanted, or with @family all whose names begin so: one per zone. */
struct counter {
	const char *name; /* without a colon */
	bool family;
	unsigned int found; /* out: lines that were added up */
	uint64_t value;	    /* out: their sum, in the unit of the file */
};

/*
 * Looks up @nr counters in one pass. Returns 0, even if none was found; -EINVAL for
 * one that is there but has no number; else as file_read().
 */
int counter_file_read(int root, const char *path, struct counter *counters, size_t nr,
		      struct errmsg *err);

#endif
