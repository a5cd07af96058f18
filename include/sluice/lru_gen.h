/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lists of the multi-gen LRU as debugfs shows them (Linux 6.1+, CONFIG_LRU_GEN,
 * Documentation/admin-guide/mm/multigen_lru.rst). Pages that a mapping uses move to
 * the youngest generation when the kernel looks; pages that are read through a file
 * descriptor stay in the oldest, at its head, and are protected when it is evicted if
 * they were read often enough (lru_gen_add_folio(), sort_folio()).
 */
#ifndef SLUICE_LRU_GEN_H
#define SLUICE_LRU_GEN_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/errmsg.h"

#define LRU_GEN_ENABLED "sys/kernel/mm/lru_gen/enabled"
#define LRU_GEN_LISTS	"sys/kernel/debug/lru_gen"

/* The file pages of one control group on one node. */
struct lru_list {
	uint64_t memcg;
	unsigned int node;
	unsigned int nr_generations;
	uint64_t youngest;	  /* number of the youngest generation */
	uint64_t youngest_age_ns; /* since it was begun */
	uint64_t pages;		  /* of all generations */
	/* the oldest generation that holds any; no such: the youngest */
	uint64_t oldest;
	uint64_t oldest_pages;
	/* since the next younger generation was begun, and since it was first the oldest */
	uint64_t oldest_idle_ns;
};

/*
 * Since when which generation is the oldest of its list. When the kernel evicts one, it
 * moves what was read often enough to the next and forgets how often: to go on with
 * that one at once would take what is hot.
 */
#define LRU_WATCHED 128
struct lru_watch {
	unsigned int nr;
	struct {
		uint64_t memcg;
		unsigned int node;
		uint64_t oldest;
		uint64_t since_ns; /* CLOCK_MONOTONIC */
	} lists[LRU_WATCHED];
};

/* Whether the kernel keeps its lists by generation, visible or not. */
bool lru_gen_enabled(int root);

/* 0; -EOPNOTSUPP with the reason if the multi-gen LRU is off or debugfs does not show it. */
int lru_gen_probe(int root, struct errmsg *err);

/* Follows all lists; those beyond LRU_WATCHED, the smallest, don't become idle. */
void lru_watch(struct lru_watch *watch, struct lru_list *lists, unsigned int nr, uint64_t now_ns);

/*
 * All lists, in memory that the caller frees; errors as lru_gen_probe(), -EINVAL for
 * a text that makes no sense, -ENOMEM. *ret and *nr are written on success only.
 */
int lru_gen_read(int root, struct lru_list **ret, unsigned int *nr, struct errmsg *err);

/* Whether the kernel evicts the oldest generation on request: never the two youngest. */
bool lru_list_evictable(const struct lru_list *list);

#endif
