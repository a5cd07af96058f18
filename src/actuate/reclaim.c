// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaim on request. What the kernel offers differs by version and by what is mounted;
 * the multi-gen LRU goes first because it alone can be told how old what goes has to be.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "effort.h"
#include "sluice/counter_file.h"
#include "sluice/file.h"
#include "sluice/lru_gen.h"
#include "sluice/prepare.h"
#include "sluice/units.h"

#define MEMINFO	       "proc/meminfo"
#define VMSTAT	       "proc/vmstat"
#define CGROUP_RECLAIM "sys/fs/cgroup/memory.reclaim"
#define PATH_BYTES     64

const char *reclaim_method_name(enum reclaim_method method)
{
	static const char *const names[] = {
		[RECLAIM_LRU_GEN] = "lru_gen",
		[RECLAIM_NODE] = "node",
		[RECLAIM_CGROUP] = "cgroup",
		[RECLAIM_NONE] = "none",
	};

	return names[method];
}

bool reclaim_is_wait(enum reclaim_method method)
{
	return method == RECLAIM_NODE;
}

static void node_path(unsigned int node, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "sys/devices/system/node/node%u/reclaim", node);
}

static bool has_swap(int root)
{
	struct counter swap = { .name = "SwapTotal" };

	/* unknown is not to be risked; without CONFIG_SWAP there is no such line */
	return counter_file_read(root, MEMINFO, &swap, 1, NULL) < 0 || swap.value;
}

/* A request for nothing: older kernels refuse the option, newer ones have nothing to do. */
static bool takes_swappiness(int root)
{
	return !file_write(root, CGROUP_RECLAIM, "0 swappiness=0", NULL);
}

/* Whether a method can be used: 0, or -EOPNOTSUPP with the reason. */
static int try_method(int root, const struct topology *topology, enum reclaim_method method,
		      bool *swappiness, struct errmsg *err)
{
	char path[PATH_BYTES];

	*swappiness = true;
	switch (method) {
	case RECLAIM_LRU_GEN:
		return lru_gen_probe(root, err);
	case RECLAIM_NODE:
		node_path(topology->nr_nodes ? topology->nodes[0] : 0, path);
		return file_exists(root, path) ?
			       0 :
			       errmsg_set(err, -EOPNOTSUPP, "no /%s before Linux 6.17", path);
	case RECLAIM_CGROUP:
		if (!file_exists(root, CGROUP_RECLAIM))
			return errmsg_set(err, -EOPNOTSUPP,
					  "no /" CGROUP_RECLAIM
					  ": Linux 5.19, and cgroup v2 with the "
					  "controller \"memory\"");
		*swappiness = takes_swappiness(root);
		if (!*swappiness && has_swap(root))
			return errmsg_set(err, -EOPNOTSUPP,
					  "/" CGROUP_RECLAIM
					  " takes no swappiness= and would swap");
		return 0;
	case RECLAIM_NONE:
		break;
	}
	return 0;
}

static void add_reason(struct reclaimer *reclaimer, const char *reason)
{
	const size_t used = strlen(reclaimer->why);

	snprintf(reclaimer->why + used, sizeof(reclaimer->why) - used, "%s%s", used ? "; " : "",
		 reason);
}

/* The first usable method from @method on. */
static void find_method(int root, const struct topology *topology, enum reclaim_method method,
			struct reclaimer *reclaimer)
{
	for (; method < RECLAIM_NONE; method++) {
		struct errmsg err = { 0 };

		if (!try_method(root, topology, method, &reclaimer->has_swappiness, &err))
			break;
		add_reason(reclaimer, err.text);
	}
	reclaimer->method = method;
}

void reclaim_probe(int root, const struct topology *topology, struct reclaimer *ret)
{
	*ret = (struct reclaimer){ 0 };
	find_method(root, topology, RECLAIM_LRU_GEN, ret);
}

/* Pages that were reclaimed since boot, by anyone. */
static uint64_t stolen(int root)
{
	struct counter stolen[] = { { .name = "pgsteal_anon" }, { .name = "pgsteal_file" } };

	if (counter_file_read(root, VMSTAT, stolen, 2, NULL) < 0)
		return 0;
	return stolen[0].value + stolen[1].value;
}

/* Other errors than these mean that the method itself is no good. */
static bool is_passing(int rc)
{
	return rc == -EAGAIN || rc == -EBUSY || rc == -EINTR;
}

static int write_reclaim(int root, const char *path, const struct reclaimer *reclaimer,
			 const struct reclaim_request *request, uint64_t bytes, struct errmsg *err)
{
	char text[64];

	if (reclaimer->has_swappiness)
		snprintf(text, sizeof(text), "%" PRIu64 " swappiness=%d", bytes,
			 request->swappiness);
	else
		snprintf(text, sizeof(text), "%" PRIu64, bytes);
	return file_write(root, path, text, err);
}

/* The list with the most pages that may go. */
static const struct lru_list *fullest(const struct lru_list *lists, unsigned int nr,
				      const struct reclaim_request *request, uint64_t leave,
				      uint64_t *pages)
{
	const struct lru_list *found = NULL;

	*pages = 0;
	for (unsigned int i = 0; i < nr; i++) {
		const struct lru_list *list = &lists[i];

		if (!lru_list_evictable(list) || list->oldest_idle_ns < request->min_idle_ns ||
		    list->oldest_pages <= leave || list->oldest_pages - leave <= *pages)
			continue;
		*pages = list->oldest_pages - leave;
		found = list;
	}
	return found;
}

/* "- memcg node generation swappiness pages": up to that generation, that many pages. */
static int evict_generation(int root, const struct topology *topology,
			    const struct reclaim_request *request, uint64_t bytes,
			    struct errmsg *err)
{
	const uint64_t page_size = topology->page_size;
	const struct lru_list *list;
	struct lru_list *lists;
	unsigned int nr;
	uint64_t pages;
	char text[128];
	int rc;

	rc = lru_gen_read(root, &lists, &nr, err);
	if (rc)
		return rc;
	if (request->watch)
		lru_watch(request->watch, lists, nr, monotonic_ns());
	list = fullest(lists, nr, request, request->leave / page_size, &pages);
	if (list) {
		if (pages > bytes / page_size)
			pages = bytes / page_size;
		snprintf(text, sizeof(text), "- %" PRIu64 " %u %" PRIu64 " %d %" PRIu64,
			 list->memcg, list->node, list->oldest, request->swappiness, pages);
		rc = file_write(root, LRU_GEN_LISTS, text, err);
		/* the group may be gone by now, or the generation */
		if (rc == -EINVAL)
			rc = -EAGAIN;
	} else {
		rc = errmsg_set(err, -EAGAIN, "no list has a generation that is old enough");
	}
	free(lists);
	return rc;
}

/* One node that gives is enough: the others may have nothing. */
static int reclaim_nodes(int root, const struct topology *topology,
			 const struct reclaimer *reclaimer, const struct reclaim_request *request,
			 uint64_t bytes, struct errmsg *err)
{
	const uint64_t share = bytes / (topology->nr_nodes ? topology->nr_nodes : 1);
	bool given = false;
	int rc = 0;

	for (unsigned int i = 0; i < topology->nr_nodes; i++) {
		char path[PATH_BYTES];
		int code;

		node_path(topology->nodes[i], path);
		code = write_reclaim(root, path, reclaimer, request, share, err);
		if (code && !is_passing(code))
			return code;
		if (code)
			rc = code;
		else
			given = true;
	}
	return given ? 0 : rc;
}

static int reclaim_once(int root, const struct topology *topology,
			const struct reclaimer *reclaimer, const struct reclaim_request *request,
			uint64_t bytes, struct errmsg *err)
{
	switch (reclaimer->method) {
	case RECLAIM_LRU_GEN:
		return evict_generation(root, topology, request, bytes, err);
	case RECLAIM_NODE:
		return reclaim_nodes(root, topology, reclaimer, request, bytes, err);
	case RECLAIM_CGROUP:
		return write_reclaim(root, CGROUP_RECLAIM, reclaimer, request, bytes, err);
	case RECLAIM_NONE:
		break;
	}
	return errmsg_set(err, -EOPNOTSUPP, "this kernel has no reclaim on request: %s",
			  reclaimer->why);
}

/*
 * Other methods than by generation go on until each list of a pass is done, and were seen
 * to take up to twice of what they are asked for: half of it is asked for at a time.
 */
static uint64_t next_write(const struct reclaimer *reclaimer, uint64_t left)
{
	const uint64_t bytes = reclaimer->method == RECLAIM_LRU_GEN ? left : left / 2;

	return bytes < RECLAIM_CHUNK ? bytes : RECLAIM_CHUNK;
}

int reclaim(int root, const struct topology *topology, struct reclaimer *reclaimer,
	    const struct reclaim_request *request, uint64_t *done, struct effort *effort,
	    struct errmsg *err)
{
	const struct effort_start start = effort_begin();
	const uint64_t before = stolen(root);
	int rc = 0;

	*done = 0;
	while (!rc && *done < request->bytes) {
		const uint64_t bytes = next_write(reclaimer, request->bytes - *done), had = *done;

		if (bytes < RECLAIM_LEAST)
			break;
		rc = reclaim_once(root, topology, reclaimer, request, bytes, err);
		*done = (stolen(root) - before) * topology->page_size;
		if (rc && !is_passing(rc) && reclaimer->method != RECLAIM_NONE) {
			add_reason(reclaimer, err->text);
			find_method(root, topology, reclaimer->method + 1, reclaimer);
			rc = 0;
			continue;
		}
		if (!rc && *done == had)
			rc = errmsg_set(err, -EAGAIN, "the kernel found nothing to reclaim");
		if (effort_so_far(&start).wall_ns >= request->budget_ns)
			break;
	}
	*effort = effort_so_far(&start);
	return rc;
}

/* Nothing can be evicted, but what there is was left alone for long enough. */
static bool needs_age(const struct lru_list *list, uint64_t min_idle_ns, uint64_t min_pages)
{
	return list->oldest_pages >= min_pages && !lru_list_evictable(list) &&
	       list->oldest < list->youngest && list->youngest_age_ns >= min_idle_ns;
}

int reclaim_age(int root, const struct reclaimer *reclaimer, uint64_t min_idle_ns,
		uint64_t min_pages, struct effort *effort, struct errmsg *err)
{
	const struct effort_start start = effort_begin();
	struct lru_list *lists = NULL;
	unsigned int nr = 0;
	int rc = 0;

	*effort = (struct effort){ 0 };
	if (reclaimer->method != RECLAIM_LRU_GEN)
		return 0;
	rc = lru_gen_read(root, &lists, &nr, err);
	for (unsigned int i = 0; !rc && i < nr; i++) {
		const struct lru_list *list = &lists[i];
		char text[96];

		if (!needs_age(list, min_idle_ns, min_pages))
			continue;
		/*
		 * No anonymous memory (0), and by force (1) since the oldest generation has
		 * to give its place to the new one: it is empty.
		 */
		snprintf(text, sizeof(text), "+ %" PRIu64 " %u %" PRIu64 " 0 1", list->memcg,
			 list->node, list->youngest);
		rc = file_write(root, LRU_GEN_LISTS, text, err);
		if (rc == -EINVAL || rc == -EEXIST || rc == -ERANGE)
			rc = 0; /* gone, or the kernel was faster */
	}
	free(lists);
	*effort = effort_so_far(&start);
	return rc;
}
