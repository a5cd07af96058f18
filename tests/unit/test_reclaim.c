// SPDX-License-Identifier: GPL-2.0-only
/* What preparation reads and writes, on fixture trees. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/lru_gen.h"
#include "sluice/prepare.h"
#include "sluice/shape.h"
#include "sluice/units.h"

#define CGROUP "sys/fs/cgroup/memory.reclaim"
#define NODE0  "sys/devices/system/node/node0/reclaim"
#define NODE1  "sys/devices/system/node/node1/reclaim"

static struct fixture fixture;

static const struct topology one_node = { .page_size = 4096, .nr_nodes = 1 };
static const struct topology two_nodes = { .page_size = 4096, .nr_nodes = 2, .nodes = { 0, 1 } };

/* Of 6.1, two groups and two nodes; a group without a path is gone. */
static const char lists_text[] = "memcg     1 /\n"
				 " node     0\n"
				 "          0      90000          0           0 \n"
				 "          1      60000          5        9000 \n"
				 "          2      30000       1456         100 \n"
				 "          3       1000        710           0 \n"
				 " node     1\n"
				 "          0      90000          0           0 \n"
				 "          1      90000          0           0 \n"
				 "          2      90000       1456        5000 \n"
				 "          3      80000        710           0 \n"
				 "memcg    27 \n"
				 " node     0\n"
				 "          7      50000          0       20000 \n"
				 "          8      20000          0         300 \n"
				 "          9        100          0           0 \n";

static int setup(void **state)
{
	(void)state;
	fixture_open(&fixture);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

static void put_generations(const char *enabled)
{
	fixture_put(&fixture, LRU_GEN_ENABLED, enabled);
	fixture_put(&fixture, LRU_GEN_LISTS, lists_text);
}

static void put_memory(unsigned int swap_kib)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "MemTotal:         995356 kB\nMemFree:          100 kB\n"
		 "MemAvailable:     878488 kB\nActive(file):     2048 kB\n"
		 "Inactive(file):   4096 kB\nSwapTotal:        %u kB\n",
		 swap_kib);
	fixture_put(&fixture, "proc/meminfo", text);
	fixture_put(
		&fixture, "proc/vmstat",
		"pgpgin 100\npgdeactivate 3\npgsteal_kswapd 9\npgsteal_anon 4\npgsteal_file 5\n");
}

static void assert_file(const char *path, const char *text)
{
	char found[2048];

	assert_true(file_read(fixture.root, path, found, sizeof(found), NULL) >= 0);
	if (strncmp(found, text, strlen(text)))
		fail_msg("/%s: \"%.80s\" instead of \"%s\"", path, found, text);
}

static void test_generations(void **state)
{
	struct errmsg err = { 0 };
	struct lru_list *lists;
	unsigned int nr;

	(void)state;
	assert_int_equal(lru_gen_read(fixture.root, &lists, &nr, &err), -EOPNOTSUPP);
	assert_contains(err.text, "no multi-gen LRU in this kernel");
	fixture_put(&fixture, LRU_GEN_ENABLED, "0x0006\n");
	assert_int_equal(lru_gen_probe(fixture.root, &err), -EOPNOTSUPP);
	assert_contains(err.text, "is off");
	fixture_put(&fixture, LRU_GEN_ENABLED, "0x0007\n");
	assert_int_equal(lru_gen_probe(fixture.root, &err), -EOPNOTSUPP);
	assert_contains(err.text, "debugfs is not mounted");
	put_generations("0x0007\n");
	assert_int_equal(lru_gen_read(fixture.root, &lists, &nr, &err), 0);
	assert_int_equal(nr, 3);
	assert_int_equal(lists[0].memcg, 1);
	assert_int_equal(lists[0].oldest, 1);
	assert_int_equal(lists[0].oldest_pages, 9000);
	assert_int_equal(lists[0].oldest_idle_ns, 30 * NSEC_PER_SEC);
	assert_int_equal(lists[0].pages, 9100);
	assert_int_equal(lists[0].youngest, 3);
	assert_int_equal(lists[0].youngest_age_ns, NSEC_PER_SEC);
	assert_true(lru_list_evictable(&lists[0]));
	assert_int_equal(lists[1].node, 1);
	assert_int_equal(lists[1].oldest, 2);
	assert_false(lru_list_evictable(&lists[1]));
	assert_int_equal(lists[2].memcg, 27);
	assert_int_equal(lists[2].nr_generations, 3);
	assert_int_equal(lists[2].oldest_idle_ns, 20 * NSEC_PER_SEC);
	free(lists);
}

static void test_generations_nonsense(void **state)
{
	static const char *const texts[] = {
		"         0   1   2   3\n",
		"memcg 1 /\n  0 1 2 3\n",
		"memcg 1 /\n node 0\n 0 1 2\n",
		"memcg 1 /\n node 0\nso\n",
	};
	struct errmsg err = { 0 };
	struct lru_list *lists;
	unsigned int nr;

	(void)state;
	put_generations("0x0001\n");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		fixture_put(&fixture, LRU_GEN_LISTS, texts[i]);
		assert_int_equal(lru_gen_read(fixture.root, &lists, &nr, &err), -EINVAL);
		assert_contains(err.text, "no group, node or generation");
	}
}

static struct lru_watch watch;

static int look(uint64_t min_idle_s, uint64_t now_s, struct shape *shape, struct errmsg *err)
{
	return shape_read(fixture.root, 4096, min_idle_s * NSEC_PER_SEC, &watch,
			  now_s * NSEC_PER_SEC, shape, err);
}

static void test_shape(void **state)
{
	struct errmsg err = { 0 };
	struct shape shape;

	(void)state;
	assert_int_equal(look(0, 0, &shape, &err), -ENOENT);
	put_memory(0);
	assert_int_equal(look(0, 0, &shape, &err), 0);
	assert_int_equal(shape.total, 995356 * KIB);
	assert_int_equal(shape.available, 878488 * KIB);
	assert_int_equal(shape.cache.active, 2 * MIB);
	assert_int_equal(shape.cache.inactive, 4 * MIB);
	assert_int_equal(shape.cache.read, 100 * KIB);
	assert_int_equal(shape.cache.stolen, 5 * 4096);
	assert_int_equal(shape.cache.deactivated, 3 * 4096);
	assert_false(shape.has_swap);
	assert_false(shape.cache.has_ages);
	assert_false(shape.cache.hidden);
	fixture_put(&fixture, LRU_GEN_ENABLED, "0x0007\n");
	assert_int_equal(look(0, 0, &shape, &err), 0);
	assert_false(shape.cache.has_ages);
	assert_true(shape.cache.hidden);
	put_memory(1);
	put_generations("0x0007\n");
	/* idle is what was the oldest for long enough, to our knowledge */
	watch = (struct lru_watch){ 0 };
	assert_int_equal(look(25, 70, &shape, &err), 0);
	assert_int_equal(shape.cache.old, 0);
	assert_int_equal(look(25, 100, &shape, &err), 0);
	assert_true(shape.has_swap);
	assert_true(shape.cache.has_ages);
	assert_int_equal(shape.cache.old, 9000 * 4096); /* 20 s is too young */
	assert_int_equal(look(20, 101, &shape, &err), 0);
	assert_int_equal(shape.cache.old, 29000 * 4096);
	/* the next generation has to become idle first */
	fixture_put(&fixture, LRU_GEN_LISTS,
		    "memcg 1 /\n node 0\n 2 90000 0 800 \n 3 90000 0 0 \n 4 90000 0 0 \n");
	assert_int_equal(look(20, 102, &shape, &err), 0);
	assert_int_equal(shape.cache.old, 0);
	assert_int_equal(look(20, 121, &shape, &err), 0);
	assert_int_equal(shape.cache.old, 0);
	assert_int_equal(look(20, 122, &shape, &err), 0);
	assert_int_equal(shape.cache.old, 800 * 4096);
	fixture_put(&fixture, "proc/meminfo", "MemTotal: 1 kB\n");
	assert_int_equal(look(0, 0, &shape, &err), -EINVAL);
	assert_contains(err.text, "/proc/meminfo: no MemAvailable");
}

static void test_is_wait(void **state)
{
	(void)state;
	assert_false(reclaim_is_wait(RECLAIM_LRU_GEN));
	assert_true(reclaim_is_wait(RECLAIM_NODE));
	assert_false(reclaim_is_wait(RECLAIM_CGROUP));
}

static void test_probe(void **state)
{
	struct reclaimer found;

	(void)state;
	put_memory(0);
	reclaim_probe(fixture.root, &one_node, &found);
	assert_int_equal(found.method, RECLAIM_NONE);
	assert_contains(found.why, "no multi-gen LRU");
	assert_contains(found.why, "before Linux 6.17");
	assert_contains(found.why, "no /" CGROUP);
	/* a plain file takes swappiness=; the request for nothing stands in it */
	fixture_put(&fixture, CGROUP, "                    ");
	reclaim_probe(fixture.root, &one_node, &found);
	assert_int_equal(found.method, RECLAIM_CGROUP);
	assert_true(found.has_swappiness);
	assert_file(CGROUP, "0 swappiness=0");
	fixture_put(&fixture, NODE0, "");
	reclaim_probe(fixture.root, &one_node, &found);
	assert_int_equal(found.method, RECLAIM_NODE);
	put_generations("0x0007\n");
	reclaim_probe(fixture.root, &one_node, &found);
	assert_int_equal(found.method, RECLAIM_LRU_GEN);
	assert_string_equal(found.why, "");
}

/* Where swappiness= is not taken, what has swap would swap. */
static void test_swap(void **state)
{
	struct reclaimer found;

	(void)state;
	fixture_mkdir(&fixture, "sys/fs/cgroup");
	fixture_link(&fixture, CGROUP, "/dev/full"); /* exists, and takes nothing */
	put_memory(0);
	reclaim_probe(fixture.root, &one_node, &found);
	assert_int_equal(found.method, RECLAIM_CGROUP);
	assert_false(found.has_swappiness);
	put_memory(1024);
	reclaim_probe(fixture.root, &one_node, &found);
	assert_int_equal(found.method, RECLAIM_NONE);
	assert_contains(found.why, "takes no swappiness= and would swap");
}

static int try_reclaim(const struct topology *topology, struct reclaimer *reclaimer,
		       const struct reclaim_request *request, struct errmsg *err)
{
	struct effort effort;
	uint64_t done = 1;
	const int rc = reclaim(fixture.root, topology, reclaimer, request, &done, &effort, err);

	assert_int_equal(done, 0); /* the counters of the fixture stand still */
	return rc;
}

/* The list with most of what is old enough, as much of it as may go. */
static void test_reclaim_generation(void **state)
{
	struct reclaimer reclaimer = { .method = RECLAIM_LRU_GEN, .has_swappiness = true };
	struct reclaim_request request = { .bytes = 4 * MIB, .min_idle_ns = 20 * NSEC_PER_SEC };
	struct errmsg err = { 0 };

	(void)state;
	put_memory(0);
	put_generations("0x0007\n");
	assert_int_equal(try_reclaim(&two_nodes, &reclaimer, &request, &err), -EAGAIN);
	assert_file(LRU_GEN_LISTS, "- 27 0 7 0 1024");
	put_generations("0x0007\n");
	request.min_idle_ns = 25 * NSEC_PER_SEC;
	try_reclaim(&two_nodes, &reclaimer, &request, &err);
	assert_file(LRU_GEN_LISTS, "- 1 0 1 0 1024");
	put_generations("0x0007\n");
	request.leave = 8900 * 4096;
	try_reclaim(&two_nodes, &reclaimer, &request, &err);
	assert_file(LRU_GEN_LISTS, "- 1 0 1 0 100");
	put_generations("0x0007\n");
	request.leave = 9000 * 4096;
	assert_int_equal(try_reclaim(&two_nodes, &reclaimer, &request, &err), -EAGAIN);
	assert_contains(err.text, "no list has a generation that is old enough");
	assert_file(LRU_GEN_LISTS, "memcg");
}

static void test_reclaim_others(void **state)
{
	struct reclaimer reclaimer = { .method = RECLAIM_NODE, .has_swappiness = true };
	const struct reclaim_request request = { .bytes = 64 * MIB, .swappiness = 5 };
	struct errmsg err = { 0 };

	(void)state;
	put_memory(0);
	fixture_put(&fixture, NODE0, "                              ");
	fixture_put(&fixture, NODE1, "                              ");
	assert_int_equal(try_reclaim(&two_nodes, &reclaimer, &request, &err), -EAGAIN);
	assert_contains(err.text, "the kernel found nothing to reclaim");
	assert_file(NODE0, "8388608 swappiness=5 ");
	assert_file(NODE1, "8388608 swappiness=5 ");
	reclaimer = (struct reclaimer){ .method = RECLAIM_CGROUP };
	fixture_put(&fixture, CGROUP, "                              ");
	try_reclaim(&two_nodes, &reclaimer, &request, &err);
	assert_file(CGROUP, "16777216 ");
}

/* A method that fails gives way to the next, and at last there is none. */
static void test_fallback(void **state)
{
	struct reclaimer reclaimer = { .method = RECLAIM_LRU_GEN, .has_swappiness = true };
	const struct reclaim_request request = { .bytes = 4 * MIB, .budget_ns = NSEC_PER_SEC };
	struct errmsg err = { 0 };

	(void)state;
	put_memory(0);
	fixture_put(&fixture, CGROUP, "                              ");
	assert_int_equal(try_reclaim(&one_node, &reclaimer, &request, &err), -EAGAIN);
	assert_int_equal(reclaimer.method, RECLAIM_CGROUP);
	assert_file(CGROUP, "2097152 swappiness=0");
	fixture_remove(&fixture, CGROUP);
	assert_int_equal(try_reclaim(&one_node, &reclaimer, &request, &err), -EOPNOTSUPP);
	assert_int_equal(reclaimer.method, RECLAIM_NONE);
	assert_contains(err.text, "no reclaim on request: no multi-gen LRU in this kernel; ");
}

/* Only the list whose pages are old and can't be evicted yet. */
static void test_age(void **state)
{
	const struct reclaimer reclaimer = { .method = RECLAIM_LRU_GEN };
	const struct reclaimer other = { .method = RECLAIM_NODE };
	struct errmsg err = { 0 };
	struct effort effort;

	(void)state;
	put_generations("0x0007\n");
	assert_int_equal(reclaim_age(fixture.root, &other, 0, 1, &effort, &err), 0);
	assert_file(LRU_GEN_LISTS, "memcg");
	reclaim_age(fixture.root, &reclaimer, 90 * NSEC_PER_SEC, 512, &effort, &err);
	assert_file(LRU_GEN_LISTS, "memcg");
	reclaim_age(fixture.root, &reclaimer, 80 * NSEC_PER_SEC, 5001, &effort, &err);
	assert_file(LRU_GEN_LISTS, "memcg");
	assert_int_equal(
		reclaim_age(fixture.root, &reclaimer, 80 * NSEC_PER_SEC, 512, &effort, &err), 0);
	assert_file(LRU_GEN_LISTS, "+ 1 1 3 0 1");
}

static void test_compact(void **state)
{
	struct effort effort = { 0 };
	struct errmsg err = { 0 };

	(void)state;
	assert_int_equal(compact(fixture.root, &two_nodes, 1, &effort, &err), -ENOENT);
	assert_contains(err.text, "node1/compact");
	fixture_put(&fixture, "proc/sys/vm/compact_memory", " ");
	fixture_put(&fixture, "proc/sys/vm/stat_refresh", " ");
	assert_int_equal(compact(fixture.root, &two_nodes, 1, &effort, &err), -ENOENT);
	assert_file("proc/sys/vm/compact_memory", " ");
	fixture_put(&fixture, "sys/devices/system/node/node1/compact", " ");
	assert_int_equal(compact(fixture.root, &two_nodes, 1, &effort, &err), 0);
	assert_file("sys/devices/system/node/node1/compact", "1");
	/* a kernel without nodes */
	assert_int_equal(compact(fixture.root, &one_node, 0, &effort, &err), 0);
	assert_file("proc/sys/vm/compact_memory", "1");
	assert_int_equal(compact(fixture.root, &two_nodes, COMPACT_ALL_NODES, &effort, &err), 0);
	assert_int_equal(lists_drain(fixture.root, &effort, &err), 0);
	assert_file("proc/sys/vm/stat_refresh", "1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_generations),
		TEST(test_generations_nonsense),
		TEST(test_shape),
		TEST(test_is_wait),
		TEST(test_probe),
		TEST(test_swap),
		TEST(test_reclaim_generation),
		TEST(test_reclaim_others),
		TEST(test_fallback),
		TEST(test_age),
		TEST(test_compact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
