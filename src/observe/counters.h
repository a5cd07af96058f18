/* SPDX-License-Identifier: GPL-2.0-only */
/* Sums over the zones of /proc/zoneinfo; zoneinfo.c knows the file. */
#ifndef SLUICE_COUNTERS_H
#define SLUICE_COUNTERS_H

#include "sluice/account.h"

/* Fills the members that come from /proc/zoneinfo; -errno with the file named. */
int zoneinfo_sums(int root, struct memory_counters *counters, struct errmsg *err);

#endif
