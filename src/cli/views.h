/* SPDX-License-Identifier: GPL-2.0-only */
/* The views of hist: each prints one document of hist --json its own way. */
#ifndef SLUICE_VIEWS_H
#define SLUICE_VIEWS_H

#include <jansson.h>
#include <stdbool.h>

/* @alone: it comes from an observer of this client's own, not from the daemon. */
void print_orders(const json_t *hist, bool alone);
void print_runs(const json_t *hist, bool alone);
void print_ages(const json_t *hist, bool alone);
void print_almost_free(const json_t *hist, bool alone);

/* "node 0 Normal", to standard output. */
void print_zone_name(const json_t *zone);

#endif
