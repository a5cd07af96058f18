// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU time of kernel workers, on fixture trees with and without what a kernel may lack; and one
 * look at the kernel that this runs on.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/units.h"
#include "sluice/worker_cpu.h"

static struct fixture tree;

/* /proc/PID/stat as fs/proc/array.c of 6.18 writes it */
static void put_stat(int pid, const char *name, int parent, unsigned int utime, unsigned int stime,
		     unsigned int start)
{
	char path[32];

	snprintf(path, sizeof(path), "proc/%d/stat", pid);
	fixture_printf(&tree, path,
		       "%d (%s) I %d 0 0 0 -1 69238880 0 0 0 0 %u %u 0 0 20 0 1 0 %u 0 0 "
		       "18446744073709551615 0 0 0 0 0 0 0 2147483647 0 1 0 0 17 0 0 0 0 0 0 0 0 "
		       "0 0 0 0 0 0\n",
		       pid, name, parent, utime, stime, start);
}

static void put_schedstat(int pid, const char *text)
{
	char path[32];

	snprintf(path, sizeof(path), "proc/%d/schedstat", pid);
	if (text)
		fixture_put(&tree, path, text);
	else
		fixture_remove(&tree, path);
}

/* Both; @ns: run so far. */
static void put_worker(int pid, const char *name, unsigned int start, uint64_t ns)
{
	char text[64];

	put_stat(pid, name, 2, 0, (unsigned int)(ns / 10000000), start);
	snprintf(text, sizeof(text), "%" PRIu64 " 1234 56\n", ns);
	put_schedstat(pid, text);
}

static void remove_process(int pid)
{
	char path[32];

	snprintf(path, sizeof(path), "proc/%d", pid);
	fixture_remove(&tree, path);
}

/* Two workers among others: kthreadd's other children, processes, and one that calls itself so. */
static int set_up(void **state)
{
	(void)state;
	assert_int_equal(sysconf(_SC_CLK_TCK), 100); /* of the fixtures */
	fixture_open(&tree);
	fixture_put(&tree, "proc/uptime", "1000.25 1900.50\n");
	put_stat(1, "systemd", 0, 500, 500, 1);
	put_schedstat(1, "5000000000 1 1\n");
	put_stat(2, "kthreadd", 0, 0, 1, 1);
	put_schedstat(2, "6977223 23372781 74\n");
	put_stat(3, "pool_workqueue_release", 2, 100, 100, 1);
	put_schedstat(3, "2000000000 1 1\n");
	put_worker(9, "kworker/0:1-events", 2, 1000000000);
	put_worker(11, "kworker/u8:0-(ev) x)", 3, 3000000005);
	put_stat(500, "kworker/0:9", 1, 100, 100, 7000);
	put_schedstat(500, "2000000000 1 1\n");
	fixture_put(&tree, "proc/2/task/2/children", "11 3 9 ");
	fixture_put(&tree, "proc/meminfo", "");
	fixture_put(&tree, "proc/12abc/stat", "");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

static void read_all(struct worker_cpu *ret)
{
	struct errmsg err = { "" };

	if (worker_cpu_read(tree.root, ret, &err))
		fail_msg("%s", err.text);
}

static void check_fixture(uint64_t first, uint64_t second)
{
	struct worker_cpu cpu;

	read_all(&cpu);
	assert_int_equal(cpu.nr, 2);
	assert_int_equal(cpu.workers[0].pid, 9); /* by pid */
	assert_true(cpu.workers[0].ns == first);
	assert_true(cpu.workers[0].start_ns == 20 * NSEC_PER_MSEC);
	assert_int_equal(cpu.workers[1].pid, 11);
	assert_true(cpu.workers[1].ns == second);
	assert_true(cpu.workers[1].start_ns == 30 * NSEC_PER_MSEC);
	assert_true(cpu.uptime_ns == 1000 * NSEC_PER_SEC + 250 * NSEC_PER_MSEC);
	worker_cpu_free(&cpu);
	assert_null(cpu.workers);
	assert_int_equal(cpu.nr, 0);
}

static void test_read(void **state)
{
	(void)state;
	check_fixture(1000000000, 3000000005);
	worker_cpu_free(NULL);
}

/* Without CONFIG_PROC_CHILDREN all of /proc is searched, with the same outcome. */
static void test_no_children(void **state)
{
	(void)state;
	fixture_remove(&tree, "proc/2/task/2/children");
	check_fixture(1000000000, 3000000005);
	fixture_remove(&tree, "proc/2/task");
	check_fixture(1000000000, 3000000005);
}

/* Ticks of 10 ms, of all workers, even if one has what the others lack. */
static void test_no_schedstat(void **state)
{
	(void)state;
	put_stat(9, "kworker/0:1", 2, 1, 2, 2);
	put_schedstat(2, "0 0 0\n");
	check_fixture(30000000, 3000000000);
	put_schedstat(2, NULL);
	put_schedstat(9, NULL);
	check_fixture(30000000, 3000000000);
}

/* Ended since it was listed, or since its stat was read; and one that has not run yet. */
static void test_vanished(void **state)
{
	struct worker_cpu cpu;

	(void)state;
	fixture_put(&tree, "proc/2/task/2/children", "9 10 11 12 ");
	put_worker(12, "kworker/1:1", 99000, 7);
	put_schedstat(12, NULL);
	check_fixture(1000000000, 3000000005);
	put_schedstat(12, "0 0 0\n");
	read_all(&cpu);
	assert_int_equal(cpu.nr, 3);
	assert_true(cpu.workers[2].ns == 0);
	worker_cpu_free(&cpu);
	fixture_put(&tree, "proc/2/task/2/children", "");
	read_all(&cpu);
	assert_int_equal(cpu.nr, 0);
	worker_cpu_free(&cpu);
}

static void test_many(void **state)
{
	char children[4096] = "";
	struct worker_cpu cpu;
	size_t length = 0;

	(void)state;
	for (int pid = 700; pid > 500; pid--) {
		put_worker(pid, "kworker/3:1", 5, (uint64_t)pid);
		length +=
			(size_t)snprintf(children + length, sizeof(children) - length, "%d ", pid);
	}
	fixture_put(&tree, "proc/2/task/2/children", children);
	read_all(&cpu);
	assert_int_equal(cpu.nr, 200);
	for (unsigned int i = 0; i < cpu.nr; i++) {
		assert_int_equal(cpu.workers[i].pid, 501 + i);
		assert_true(cpu.workers[i].ns == 501 + i);
	}
	worker_cpu_free(&cpu);
}

static void refuses(int code, const char *text)
{
	struct worker_cpu cpu = { .nr = 77 };
	struct errmsg err = { "" };

	assert_int_equal(worker_cpu_read(tree.root, &cpu, &err), code);
	assert_contains(err.text, text);
	assert_int_equal(cpu.nr, 77); /* written on success only */
}

static void test_invisible(void **state)
{
	(void)state;
	put_stat(2, "bash", 1, 0, 1, 1);
	refuses(-ENOENT, "process 2 is not kthreadd: kernel threads can't be seen");
	remove_process(2);
	refuses(-ENOENT, "process 2 is not kthreadd");
}

static void refuses_stat(const char *text)
{
	fixture_put(&tree, "proc/9/stat", text);
	refuses(-EINVAL, "/proc/9/stat: not as this program knows it");
}

static void refuses_schedstat(const char *text)
{
	put_schedstat(9, text);
	refuses(-EINVAL, "/proc/9/schedstat: ");
}

static void refuses_children(const char *text)
{
	fixture_put(&tree, "proc/2/task/2/children", text);
	refuses(-EINVAL, "/proc/2/task/2/children: not as this program knows it");
}

static void refuses_uptime(const char *text)
{
	fixture_put(&tree, "proc/uptime", text);
	refuses(-EINVAL, "/proc/uptime: ");
}

static void test_strict(void **state)
{
	(void)state;
	refuses_stat("");
	refuses_stat("9 kworker/0:1 I 2\n");
	refuses_stat("9 ) I 2 0 0 0 -1 1 0 0 0 0 1 2 0 0 20 0 1 0 2 (kworker/0:1\n");
	refuses_stat("9 (kworker/0:1)\n");
	refuses_stat("9 (kworker/0:1) I 2 0 0 0 -1 1 0 0 0 0 1 2 0 0 20 0 1 0\n"); /* 21 fields */
	refuses_stat("9 (kworker/0:1) I x 0 0 0 -1 1 0 0 0 0 1 2 0 0 20 0 1 0 4 0\n");
	refuses_stat("9 (kworker/0:1) I 2 0 0 0 -1 1 0 0 0 0 1x 2 0 0 20 0 1 0 4 0\n");
	refuses_stat("9 (kworker/0:1) I 2 0 0 0 -1 1 0 0 0 0 1 -2 0 0 20 0 1 0 4 0\n");
	refuses_stat("9 (kworker/0:1) I 2 0 0 0 -1 1 0 0 0 0 1 2 0 0 20 0 1 0 4x 0\n");
	fixture_put(&tree, "proc/9/stat",
		    "9 (kworker/0:1) I 2 0 0 0 -1 1 0 0 0 0 1 2 0 0 20 0 1 0 2 0\n");
	check_fixture(1000000000, 3000000005);
	refuses_schedstat("");
	refuses_schedstat("1 2 3"); /* may be cut off */
	refuses_schedstat("1 2\n");
	refuses_schedstat("1 2 3 4\n");
	refuses_schedstat("1x 2 3\n");
	refuses_schedstat("-1 2 3\n");
	refuses_schedstat("18446744073709551616 2 3\n");
	put_schedstat(9, "1000000000 2 3\n");
	refuses_children("9 11");
	refuses_children("9 11 x ");
	refuses_children("9  11 ");
	refuses_children("9 -11 ");
	refuses_children("9 0 11 ");
	refuses_children("9 11 \n");
	fixture_put(&tree, "proc/2/task/2/children", "9 11 ");
	refuses_uptime("");
	refuses_uptime("1000.25 1");
	refuses_uptime("1000 25\n");
	refuses_uptime("1000.2 25\n");
	refuses_uptime("x.25 25\n");
	fixture_put(&tree, "proc/uptime", "1000.25 1900.50\n");
	check_fixture(1000000000, 3000000005);
	put_schedstat(2, "x\n");
	refuses(-EINVAL, "/proc/2/schedstat: ");
	fixture_remove(&tree, "proc/uptime");
	put_schedstat(2, "1 1 1\n");
	refuses(-ENOENT, "/proc/uptime: ");
}

static void test_between(void **state)
{
	struct worker_cpu before, after, empty = { 0 };

	(void)state;
	put_worker(7, "kworker/0:0", 1, 400);
	put_worker(15, "kworker/1:0", 5, 90000);
	fixture_put(&tree, "proc/2/task/2/children", "7 9 11 15 ");
	read_all(&before);
	assert_true(worker_cpu_between(&before, &before) == 0);

	fixture_put(&tree, "proc/uptime", "1060.25 1900.50\n");
	put_worker(7, "kworker/0:0", 1, 500);		  /* has run for 100 */
	remove_process(9);				  /* has ended */
	put_worker(11, "kworker/0:2", 100500, 30);	  /* another one, with the same number */
	put_worker(13, "kworker/u8:1", 100025, 2000);	  /* new, as soon as can be */
	put_worker(14, "kworker/u8:2", 100024, 77000000); /* old, but was not seen before */
	put_worker(15, "kworker/1:0", 5, 80000);	  /* went back: a guest that was restored */
	put_worker(99, "kworker/u8:1", 100900, 50000);	  /* new */
	fixture_put(&tree, "proc/2/task/2/children", "7 9 11 13 14 15 99 ");
	read_all(&after);
	assert_int_equal(after.nr, 6);
	assert_true(worker_cpu_between(&before, &after) == 100 + 30 + 2000 + 50000);
	assert_true(worker_cpu_between(&after, &empty) == 0);
	assert_true(worker_cpu_between(&empty, &after) == 0); /* not all since boot */
	worker_cpu_free(&before);
	worker_cpu_free(&after);
}

static void test_process(void **state)
{
	struct errmsg err = { "" };
	uint64_t ns = 77;

	(void)state;
	assert_int_equal(process_cpu_read(tree.root, 500, &ns, NULL), 0);
	assert_true(ns == 2000000000);
	put_stat(500, "sluiced", 1, 3, 4, 7000);
	put_schedstat(500, "0 0 0\n");
	assert_int_equal(process_cpu_read(tree.root, 500, &ns, NULL), 0);
	assert_true(ns == 70000000);
	put_stat(500, "sluiced", 1, 4, 4, 7000);
	put_schedstat(500, NULL);
	assert_int_equal(process_cpu_read(tree.root, 500, &ns, NULL), 0);
	assert_true(ns == 80000000);
	put_schedstat(500, "1\n");
	assert_int_equal(process_cpu_read(tree.root, 500, &ns, &err), -EINVAL);
	assert_contains(err.text, "/proc/500/schedstat: not as this program knows it");
	remove_process(500);
	assert_int_equal(process_cpu_read(tree.root, 500, &ns, &err), -ENOENT);
	assert_contains(err.text, "/proc/500/stat: ");
	assert_true(ns == 80000000);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_nsec;
}

/* The real kernel: its own files are understood, and the times fit its clocks. */
static void test_this_machine(void **state)
{
	const uint64_t slack = 50 * NSEC_PER_MSEC; /* ticks of both */
	const int root = root_open("/", NULL);
	struct worker_cpu before, after;
	struct errmsg err = { "" };
	uint64_t ns, begin, used;
	int rc;

	(void)state;
	begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin < 100 * NSEC_PER_MSEC)
		;
	assert_int_equal(process_cpu_read(root, getpid(), &ns, NULL), 0);
	used = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	assert_in_range(ns + slack, used, used + slack);

	rc = worker_cpu_read(root, &before, &err);
	if (rc == -ENOENT) {
		print_message("%s\n", err.text);
		close(root);
		skip();
	}
	if (rc)
		fail_msg("%s", err.text);
	begin = clock_ns(CLOCK_BOOTTIME);
	assert_in_range(before.uptime_ns, begin - 10 * NSEC_PER_SEC, begin);
	assert_true(before.nr > 0);
	for (unsigned int i = 0; i < before.nr; i++) {
		assert_true(before.workers[i].pid > (i ? before.workers[i - 1].pid : 2));
		assert_true(before.workers[i].start_ns <= begin);
		assert_true(before.workers[i].ns <= begin);
	}
	assert_int_equal(worker_cpu_read(root, &after, NULL), 0);
	ns = worker_cpu_between(&before, &after);
	used = clock_ns(CLOCK_BOOTTIME) - before.uptime_ns;
	assert_true(ns <= (used + slack) * (uint64_t)sysconf(_SC_NPROCESSORS_CONF));
	print_message("%u workers, %" PRIu64 " us between two readings\n", before.nr,
		      ns / NSEC_PER_USEC);
	worker_cpu_free(&before);
	worker_cpu_free(&after);
	close(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_children, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_schedstat, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_vanished, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_invisible, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_strict, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_between, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_process, set_up, tear_down),
		cmocka_unit_test(test_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
