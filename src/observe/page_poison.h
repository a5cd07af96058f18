/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SLUICE_PAGE_POISON_H
#define SLUICE_PAGE_POISON_H

#include <stdbool.h>

/*
 * Whether the kernel fills free pages with a pattern: page_poison= on its command line switches
 * it on, and it has CONFIG_PAGE_POISONING. Kernels without ignore the parameter, as those for
 * clouds do in Debian. True where the latter can't be known. Reads all of /proc/kallsyms where
 * the parameter is on.
 */
bool page_poison_is_on(int root);

#endif
