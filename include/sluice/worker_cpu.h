/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SLUICE_WORKER_CPU_H
#define SLUICE_WORKER_CPU_H
#include <stdint.h>
#include "sluice/errmsg.h"
struct worker_cpu { struct worker_time *workers; unsigned int nr; };
int worker_cpu_read(int root, struct worker_cpu *ret, struct errmsg *err);
void worker_cpu_free(struct worker_cpu *cpu);
uint64_t worker_cpu_between(const struct worker_cpu *before, const struct worker_cpu *after);
int process_cpu_read(int root, int pid, uint64_t *ns, struct errmsg *err);
#endif
