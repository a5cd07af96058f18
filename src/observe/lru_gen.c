// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/lru_gen.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/file.h"
#include "sluice/units.h"

#define LISTS_BYTES	((size_t)4 * 1024 * 1024) /* 4 lines per control group and node */
#define MIN_GENERATIONS 2 /* MIN_NR_GENS, include/linux/mmzone.h: the youngest, never evicted */

bool lru_gen_enabled(int root)
{
	char text[32];
	unsigned int enabled;

	return file_read_line(root, LRU_GEN_ENABLED, text, sizeof(text), NULL) >= 0 &&
	       sscanf(text, "%x", &enabled) == 1 && enabled & 1;
}

int lru_gen_probe(int root, struct errmsg *err)
{
	if (!file_exists(root, LRU_GEN_ENABLED))
		return errmsg_set(err, -EOPNOTSUPP, "no multi-gen LRU in this kernel");
	if (!lru_gen_enabled(root))
		return errmsg_set(err, -EOPNOTSUPP,
				  "the multi-gen LRU is off (/" LRU_GEN_ENABLED ")");
	if (!file_exists(root, LRU_GEN_LISTS))
		return errmsg_set(err, -EOPNOTSUPP,
				  "no /" LRU_GEN_LISTS ": debugfs is not mounted");
	return 0;
}

bool lru_list_evictable(const struct lru_list *list)
{
	return list->oldest_pages && list->oldest + MIN_GENERATIONS <= list->youngest;
}

/* A generation below those that came before it: they are listed from the oldest on. */
static void add_generation(struct lru_list *list, uint64_t number, uint64_t age_ns, uint64_t pages)
{
	if (list->oldest_pages && number == list->oldest + 1)
		list->oldest_idle_ns = age_ns;
	list->nr_generations++;
	list->youngest = number;
	list->youngest_age_ns = age_ns;
	list->pages += pages;
	if (list->oldest_pages)
		return;
	list->oldest = number;
	list->oldest_pages = pages;
}

struct parser {
	struct lru_list *lists;
	unsigned int nr, room;
	bool in_group, in_list;
	uint64_t memcg;
};

static int begin_list(struct parser *parser, unsigned int node)
{
	if (parser->nr == parser->room) {
		const unsigned int room = parser->room ? 2 * parser->room : 64;
		struct lru_list *more = reallocarray(parser->lists, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		parser->lists = more;
		parser->room = room;
	}
	parser->lists[parser->nr++] = (struct lru_list){ .memcg = parser->memcg, .node = node };
	parser->in_list = true;
	return 0;
}

/* "memcg 1 /", " node 0", and for each generation number, age in ms, anon and file pages. */
static int parse_line(struct parser *parser, const char *line)
{
	uint64_t number, age_ms, file;
	unsigned int node;

	if (sscanf(line, "memcg %20" SCNu64, &parser->memcg) == 1) {
		parser->in_group = true;
		parser->in_list = false;
		return 0;
	}
	if (parser->in_group && sscanf(line, " node %9u", &node) == 1)
		return begin_list(parser, node);
	if (!parser->in_list || sscanf(line, "%20" SCNu64 " %20" SCNu64 " %*u%*[ x]%20" SCNu64,
				       &number, &age_ms, &file) != 3)
		return -EINVAL;
	add_generation(&parser->lists[parser->nr - 1], number, age_ms * NSEC_PER_MSEC, file);
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const struct lru_list *left = a, *right = b;

	return left->pages < right->pages ? 1 : left->pages > right->pages ? -1 : 0;
}

/* When the generation became the oldest of its list, as far as @watch knows. */
static uint64_t oldest_since(const struct lru_watch *watch, const struct lru_list *list,
			     uint64_t now_ns)
{
	for (unsigned int i = 0; i < watch->nr; i++)
		if (watch->lists[i].memcg == list->memcg && watch->lists[i].node == list->node)
			return watch->lists[i].oldest == list->oldest ? watch->lists[i].since_ns :
									now_ns;
	return now_ns;
}

void lru_watch(struct lru_watch *watch, struct lru_list *lists, unsigned int nr, uint64_t now_ns)
{
	struct lru_watch now = { .nr = nr < LRU_WATCHED ? nr : LRU_WATCHED };

	if (nr)
		qsort(lists, nr, sizeof(*lists), by_size);
	for (unsigned int i = 0; i < nr; i++) {
		struct lru_list *list = &lists[i];
		const uint64_t since = oldest_since(watch, list, now_ns);

		if (i < now.nr) {
			now.lists[i].memcg = list->memcg;
			now.lists[i].node = list->node;
			now.lists[i].oldest = list->oldest;
			now.lists[i].since_ns = since;
		}
		if (list->oldest_idle_ns > now_ns - since)
			list->oldest_idle_ns = now_ns - since;
	}
	*watch = now;
}

int lru_gen_read(int root, struct lru_list **ret, unsigned int *nr, struct errmsg *err)
{
	struct parser parser = { 0 };
	char *text = NULL, *line, *save = NULL, quoted[QUOTED_TEXT];
	int rc;

	rc = lru_gen_probe(root, err);
	if (rc)
		return rc;
	rc = file_read_alloc(root, LRU_GEN_LISTS, LISTS_BYTES, &text, err);
	if (rc < 0)
		return rc;
	rc = 0;
	for (line = strtok_r(text, "\n", &save); line && !rc; line = strtok_r(NULL, "\n", &save)) {
		rc = parse_line(&parser, line);
		if (rc)
			errmsg_set(err, rc, "/" LRU_GEN_LISTS ": %s: %s", text_quote(line, quoted),
				   rc == -EINVAL ? "no group, node or generation" : "no memory");
	}
	free(text);
	if (rc) {
		free(parser.lists);
		return rc;
	}
	*ret = parser.lists;
	*nr = parser.nr;
	return 0;
}
