// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metrics: real commands by /bin/sh, whatever they do. After each test no descriptor more is open
 * than before, and no child is left.
 *
 * Linked with -Wl,--wrap= for each of these:
 * wrap: syscall poll waitpid kill
 *
 * so that a process can be one that does not end, and a kernel one without pidfd_open(2); and
 * nobody is killed who was waited for already, since another can have the number by then.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/metric.h"
#include "sluice/units.h"

#define LONG_TIME (60 * NSEC_PER_SEC)

static struct {
	bool no_pidfd;
	bool ended; /* and waited for by the kernel, when pidfd_open() is called */
	bool stuck; /* no process ends, for waitpid() and poll() */
} calls;

int __real_poll(struct pollfd *fds, nfds_t nr, int timeout);
pid_t __real_waitpid(pid_t pid, int *status, int options);
long __real_syscall(long number, long a, long b);
int __real_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig);
int __wrap_poll(struct pollfd *fds, nfds_t nr, int timeout);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
long __wrap_syscall(long number, long a, long b);

int __wrap_poll(struct pollfd *fds, nfds_t nr, int timeout)
{
	return calls.stuck ? 0 : __real_poll(fds, nr, timeout);
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
	if (!calls.stuck)
		return __real_waitpid(pid, status, options);
	assert_int_equal(options, WNOHANG); /* else this would be for ever */
	return 0;
}

long __wrap_syscall(long number, long a, long b)
{
	if (number == SYS_pidfd_open && calls.ended)
		assert_int_equal(__real_waitpid((pid_t)a, NULL, 0), a);
	if (!calls.no_pidfd)
		return __real_syscall(number, a, b);
	errno = ENOSYS;
	return -1;
}

int __wrap_kill(pid_t pid, int sig)
{
	if (sig == SIGKILL)
		assert_int_equal(__real_kill(pid < 0 ? -pid : pid, 0), 0);
	return __real_kill(pid, sig);
}

static struct fixture tree;
static unsigned int fds_before;

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int nr = 0;

	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

static int set_up(void **state)
{
	(void)state;
	memset(&calls, 0, sizeof(calls));
	fixture_open(&tree);
	assert_int_equal(setenv("TREE", tree.dir, 1), 0); /* for the commands */
	fds_before = count_fds();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(count_fds(), fds_before);
	assert_int_equal(__real_waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	fixture_close(&tree);
	return 0;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_nsec;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static struct metric *metric_of(const char *command, uint64_t timeout)
{
	struct metric *metric = NULL;

	assert_int_equal(metric_open(command, timeout, &metric, NULL), 0);
	assert_int_equal(metric_fd(metric), -1);
	assert_true(metric_deadline(metric) == UINT64_MAX);
	return metric;
}

static void start(struct metric *metric)
{
	struct errmsg err = { "" };

	if (metric_start(metric, now(), &err))
		fail_msg("%s", err.text);
	assert_true(metric_fd(metric) >= 0);
}

/* Waits as a loop of events would. One that is woken without end is noticed. */
static int follow(struct metric *metric, double *value, struct errmsg *err)
{
	for (unsigned int wakes = 0; wakes < 50; wakes++) {
		struct pollfd fd = { .fd = metric_fd(metric), .events = POLLIN };
		const uint64_t time = now(), deadline = metric_deadline(metric);
		int rc;

		if (deadline > time)
			poll(&fd, 1, (int)((deadline - time) / NSEC_PER_MSEC) + 1);
		rc = metric_take(metric, now(), value, err);
		if (rc != -EAGAIN) {
			assert_int_equal(metric_fd(metric), -1);
			assert_true(metric_deadline(metric) == UINT64_MAX);
			return rc;
		}
	}
	fail_msg("woken again and again, for nothing");
	return 0;
}

/* What becomes of a command, which is to be known within 20 s. */
static int outcome(const char *command, double *value, struct errmsg *err)
{
	struct metric *metric = metric_of(command, 20 * NSEC_PER_SEC);
	int rc;

	start(metric);
	rc = follow(metric, value, err);
	metric_close(metric);
	return rc;
}

static void gives(const char *command, double expected)
{
	struct errmsg err = { "" };
	double value = -77;

	if (outcome(command, &value, &err))
		fail_msg("%s: %s", command, err.text);
	if (value < expected || value > expected)
		fail_msg("%s: %g, not %g", command, value, expected);
}

static void fails(const char *command, int code, const char *text)
{
	struct errmsg err = { "" };
	double value = -77;

	assert_int_equal(outcome(command, &value, &err), code);
	assert_contains(err.text, text);
	assert_contains(err.text, "metric \"");
	assert_true(value == -77); /* written on success only */
}

/* Fails unless a process ends within 5 s; who waits for it is not our business. */
static void assert_gone(pid_t pid)
{
	char path[32], text[512] = "", *state;

	assert_true(pid > 1);
	snprintf(path, sizeof(path), "proc/%d/stat", pid);
	for (unsigned int i = 0; i < 500; i++) {
		const int root = root_open("/", NULL);
		const int rc = file_read(root, path, text, sizeof(text), NULL);

		close(root);
		state = rc > 0 ? strrchr(text, ')') : NULL;
		if (rc == -ENOENT || rc == -ESRCH || (state && strchr("ZX", state[2])))
			return;
		pause_ms(10);
	}
	fail_msg("process %d is still there: %s", pid, text);
}

/* The number that a command writes into a file, as soon as it has. */
static pid_t wait_for_pid(const char *file)
{
	int64_t pid;

	for (unsigned int i = 0; i < 500; i++) {
		char line[32];

		if (!file_read_line(tree.root, file, line, sizeof(line), NULL)) {
			assert_int_equal(parse_int(line, 2, INT32_MAX, &pid, NULL), 0);
			return (pid_t)pid;
		}
		pause_ms(10);
	}
	fail_msg("the command does not come up");
	return 0;
}

static void test_numbers(void **state)
{
	(void)state;
	gives("echo 12", 12);
	gives("echo -0.5", -0.5);
	gives("echo 1.5e3", 1500);
	gives("echo +7", 7);
	gives("echo 0", 0);
	gives("printf 12", 12); /* no end of line */
	gives("printf ' \\t12 \\r\\n\\n'", 12);
	gives("printf 1; sleep 0.05; printf 2; sleep 0.05; echo", 12);
	gives("printf '%200s' 5", 5);
	gives("printf '%256s' 5", 5);
	gives("echo 3 | cat", 3);
}

static void test_no_numbers(void **state)
{
	(void)state;
	fails("true", -EBADMSG, "metric \"true\": prints no number");
	fails("echo", -EBADMSG, "prints no number");
	fails("echo 12abc", -EBADMSG, "prints \"12abc\"; one decimal number is expected, as 1.5");
	fails("echo abc", -EBADMSG, "prints \"abc\"");
	fails("echo 1 2", -EBADMSG, "prints \"1 2\"");
	fails("echo 1; echo 2", -EBADMSG, "prints \"1\\n2\"");
	fails("echo -", -EBADMSG, "prints \"-\"");
	fails("echo 1e", -EBADMSG, "prints \"1e\"");
	fails("echo 1.2.3", -EBADMSG, "prints \"1.2.3\"");
	fails("echo 1,5", -EBADMSG, "prints \"1,5\"");
	fails("echo 0x10", -EBADMSG, "prints \"0x10\"");
	fails("echo nan", -EBADMSG, "prints \"nan\"");
	fails("echo -inf", -EBADMSG, "prints \"-inf\"");
	fails("echo infinity", -EBADMSG, "prints \"infinity\"");
	fails("echo 1e999", -EBADMSG, "prints \"1e999\", which is out of range");
	fails("printf '5\\0006'", -EBADMSG, "prints a NUL byte");
	fails("printf '5\\000'", -EBADMSG, "prints a NUL byte");
	fails("printf '%257s' 5", -EBADMSG, "prints more than 256 bytes");
}

static void test_ended_too_long(void **state)
{
	struct metric *metric = metric_of("printf '%257s' 5", LONG_TIME);
	struct errmsg err = { "" };
	double value = -77;

	(void)state;
	start(metric);
	pause_ms(500);
	assert_int_equal(metric_take(metric, now(), &value, &err), -EBADMSG);
	assert_contains(err.text, "prints more than 256 bytes");
	metric_close(metric);
}

/* Refused as soon as it is seen, and nothing goes on printing. */
static void test_endless(void **state)
{
	const uint64_t before = now();

	(void)state;
	fails("head -c 10485760 /dev/zero | tr '\\0' 1", -EBADMSG, "prints more than 256 bytes");
	fails("echo $$ > $TREE/shell; yes 1; echo 5", -EBADMSG, "prints more than 256 bytes");
	assert_gone(wait_for_pid("shell"));
	assert_true(now() - before < 15 * NSEC_PER_SEC); /* the timeout is 20 */
}

static void test_failures(void **state)
{
	(void)state;
	fails("echo 5; exit 3", -ECHILD, "metric \"echo 5; exit 3\": exit status 3");
	fails("echo 5; false", -ECHILD, "exit status 1");
	fails("echo 5; kill -9 $$", -ECHILD, "ended by signal 9 (Killed)");
	fails("echo 5; kill -TERM $$", -ECHILD, "ended by signal 15 (Terminated)");
	fails("/no/such/command", -ECHILD, "exit status 127 (a command was not found)");
	fails("-x", -ECHILD, "exit status 127"); /* not an option of the shell */
	fails("echo 5 && (", -ECHILD, "exit status 2");
}

/* At the end of the output the run goes on, and its descriptor is not readable for ever. */
static void test_output_closed(void **state)
{
	const uint64_t before = now();

	(void)state;
	gives("echo 5; exec >&-; sleep 0.5", 5);
	assert_true(now() - before >= 500 * NSEC_PER_MSEC);
	fails("echo 5; exec >&-; sleep 0.1; exit 2", -ECHILD, "exit status 2");
	fails("exec >&-; sleep 0.1", -EBADMSG, "prints no number");
}

/* The end of the shell counts, whoever holds the pipe; nothing of its group is left. */
static void test_background(void **state)
{
	const uint64_t before = now();
	double value = 0;

	(void)state;
	assert_int_equal(outcome("sleep 1000 & echo $!", &value, NULL), 0);
	assert_gone((pid_t)value);
	assert_int_equal(outcome("(trap '' TERM HUP; sleep 1000) & echo $!", &value, NULL), 0);
	assert_gone((pid_t)value);
	fails("sleep 1000 & echo $! > $TREE/child; exit 9", -ECHILD, "exit status 9");
	assert_gone(wait_for_pid("child"));
	assert_true(now() - before < 15 * NSEC_PER_SEC);
}

static void test_timeout(void **state)
{
	struct metric *metric = metric_of("trap '' TERM; sleep 1000 & echo $! > $TREE/child; "
					  "echo $$ > $TREE/shell; echo 5; wait",
					  LONG_TIME);
	struct errmsg err = { "" };
	double value = -77;
	uint64_t begin = now();
	pid_t shell;

	(void)state;
	assert_int_equal(metric_start(metric, begin, NULL), 0);
	assert_true(metric_deadline(metric) == begin + LONG_TIME);
	shell = wait_for_pid("shell");
	assert_int_equal(getpgid(shell), shell);
	assert_int_equal(metric_take(metric, begin, &value, NULL), -EAGAIN);
	assert_int_equal(metric_take(metric, begin + LONG_TIME - 1, &value, NULL), -EAGAIN);
	assert_int_equal(kill(shell, 0), 0);
	assert_int_equal(metric_take(metric, begin + LONG_TIME, &value, &err), -ETIMEDOUT);
	assert_contains(err.text, "killed, since it took too long");
	assert_true(value == -77);
	assert_int_equal(kill(shell, 0), -1); /* waited for */
	assert_gone(wait_for_pid("child"));
	assert_int_equal(metric_fd(metric), -1);

	/* for ever; and one that stops itself is ended too */
	metric_close(metric);
	metric = metric_of("kill -STOP $$; echo 5", UINT64_MAX);
	start(metric);
	assert_true(metric_deadline(metric) == UINT64_MAX);
	pause_ms(50);
	assert_int_equal(metric_take(metric, UINT64_MAX - 1, &value, NULL), -EAGAIN);
	assert_int_equal(metric_take(metric, UINT64_MAX, &value, NULL), -ETIMEDOUT);
	metric_close(metric);
}

/*
 * What the shell has become can go over to another group; it is still the one that was started.
 * This program itself is that command: see main().
 */
static void test_other_group(void **state)
{
	struct metric *metric = metric_of("exec $SELF move", LONG_TIME);
	char self[256];
	const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	double value;
	pid_t pid;

	(void)state;
	assert_true(n > 0);
	self[n] = '\0';
	assert_int_equal(setenv("SELF", self, 1), 0);
	start(metric);
	pid = wait_for_pid("moved");
	assert_int_equal(getpgid(pid), getpgid(0));
	assert_int_equal(metric_take(metric, UINT64_MAX, &value, NULL), -ETIMEDOUT);
	assert_int_equal(kill(pid, 0), -1); /* waited for */
	metric_close(metric);
}

static int move(void)
{
	tree.root = root_open(getenv("TREE"), NULL);
	if (setpgid(0, getpgid(getppid())))
		return 1;
	fixture_printf(&tree, "moved", "%d\n", (int)getpid());
	pause();
	return 0;
}

/* By the real clock, as the caller does it. */
static void test_deadline(void **state)
{
	struct metric *metric = metric_of("sleep 1000", 200 * NSEC_PER_MSEC);
	const uint64_t before = now();
	double value;

	(void)state;
	start(metric);
	assert_int_equal(follow(metric, &value, NULL), -ETIMEDOUT);
	assert_in_range(now() - before, 200 * NSEC_PER_MSEC, 5 * NSEC_PER_SEC);

	/* one that has ended in time but was not asked for has not failed */
	metric_close(metric);
	metric = metric_of("echo 8", 1);
	start(metric);
	assert_int_equal(
		poll(&(struct pollfd){ .fd = metric_fd(metric), .events = POLLIN }, 1, 5000), 1);
	pause_ms(300);
	assert_int_equal(metric_take(metric, now(), &value, NULL), 0);
	assert_true(value == 8);
	metric_close(metric);
}

static void test_order(void **state)
{
	struct metric *metric = metric_of("sleep 0.2; echo 6", LONG_TIME);
	struct errmsg err = { "" };
	double value;

	(void)state;
	assert_int_equal(metric_take(metric, now(), &value, &err), -EINVAL);
	assert_contains(err.text, "no run is under way");
	start(metric);
	assert_int_equal(metric_start(metric, now(), &err), -EBUSY);
	assert_contains(err.text, "a run is under way");
	assert_int_equal(follow(metric, &value, NULL), 0); /* the first one was not disturbed */
	assert_true(value == 6);
	for (unsigned int i = 0; i < 3; i++) {
		start(metric);
		assert_int_equal(follow(metric, &value, NULL), 0);
	}
	metric_close(metric);
	metric_close(NULL);
}

/* What was printed by an earlier run is not part of the next. */
static void test_again(void **state)
{
	struct metric *metric =
		metric_of("cat $TREE/output; ! grep -q bad $TREE/output", LONG_TIME);
	double value = -77;

	(void)state;
	fixture_put(&tree, "output", "123456789 bad\n");
	start(metric);
	assert_int_equal(follow(metric, &value, NULL), -ECHILD);
	fixture_put(&tree, "output", "5");
	start(metric);
	assert_int_equal(follow(metric, &value, NULL), 0);
	assert_true(value == 5);
	metric_close(metric);
}

static void test_close(void **state)
{
	struct metric *metric = metric_of("sleep 1000 & echo $! > $TREE/child; "
					  "echo $$ > $TREE/shell; wait",
					  LONG_TIME);
	pid_t shell;

	(void)state;
	start(metric);
	shell = wait_for_pid("shell");
	metric_close(metric);
	assert_int_equal(kill(shell, 0), -1);
	assert_gone(wait_for_pid("child"));
}

/* A daemon ignores and blocks signals, and has its descriptors; a command gets none of that. */
static void test_surroundings(void **state)
{
	const int saved = dup(STDERR_FILENO);
	struct metric *metric = metric_of("sleep 1000", LONG_TIME);
	char text[64];
	sigset_t set;
	int fd;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	/*
	 * Of the shell itself, so without others. Of 1 to 28: glibc's posix_spawn() has two of its
	 * own ignored, 32 and 33.
	 */
	gives("n=0; while read -r key value; do case $key-$value in "
	      "Sig[BI]*-*0000000) ;; Sig[BI]*) n=1 ;; esac; done < /proc/$$/status; echo $n",
	      0);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);

	gives("set -- $(cat /proc/$$/stat); echo $(($5 - $$))", 0); /* leads its group */
	gives("cat; test \"$(readlink /proc/$$/fd/0)\" = /dev/null && echo 1", 1);
	gives("test -n \"$TREE\" && echo 1", 1); /* the environment is ours */

	fixture_put(&tree, "errors", "");
	fd = openat(tree.root, "errors", O_WRONLY | O_CLOEXEC);
	dup2(fd, STDERR_FILENO);
	gives("echo 1; echo oops >&2", 1);
	dup2(saved, STDERR_FILENO);
	close(fd);
	close(saved);
	assert_true(file_read(tree.root, "errors", text, sizeof(text), NULL) > 0);
	assert_string_equal(text, "oops\n");

	start(metric);
	for (fd = STDERR_FILENO + 1; fd < 64; fd++) {
		const int flags = fcntl(fd, F_GETFD);
		char link[32], target[64];
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = flags < 0 ? 0 : readlink(link, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (strstr(target, "pipe:") || strstr(target, "anon_inode:"))
			assert_true(flags & FD_CLOEXEC);
	}
	metric_close(metric);
}

/* The pipe may get the numbers of standard descriptors that are closed. */
static void test_closed_standard(void **state)
{
	const int in = dup(STDIN_FILENO), out = dup(STDOUT_FILENO);
	struct metric *metric = metric_of("cat; test \"$(readlink /proc/$$/fd/0)\" = /dev/null "
					  "&& echo 5",
					  LONG_TIME);
	struct metric *other = metric_of("echo 6", LONG_TIME);
	double value = 0, second = 0;
	int rc, other_rc;

	(void)state;
	/* nothing that prints until they are back */
	close(STDOUT_FILENO);
	rc = metric_start(metric, now(), NULL);
	while (!rc && (rc = metric_take(metric, now(), &value, NULL)) == -EAGAIN) {
		pause_ms(1);
		rc = 0;
	}
	close(STDIN_FILENO);
	other_rc = metric_start(other, now(), NULL);
	while (!other_rc && (other_rc = metric_take(other, now(), &second, NULL)) == -EAGAIN) {
		pause_ms(1);
		other_rc = 0;
	}
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	close(in);
	close(out);
	metric_close(metric);
	metric_close(other);
	assert_int_equal(rc, 0);
	assert_int_equal(other_rc, 0);
	assert_true(value == 5);
	assert_true(second == 6);
}

static void test_no_descriptors(void **state)
{
	struct metric *metric = metric_of("echo 5", LONG_TIME);
	struct rlimit saved, limit;
	struct errmsg err = { "" };
	double value;
	int highest = dup(STDERR_FILENO);

	(void)state;
	close(highest); /* all below are open */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	limit = saved;
	for (unsigned int more = 0; more < 3; more++) {
		int rc;

		limit.rlim_cur = (rlim_t)highest + more;
		setrlimit(RLIMIT_NOFILE, &limit);
		rc = metric_start(metric, now(), &err);
		setrlimit(RLIMIT_NOFILE, &saved);
		assert_int_equal(rc, -EMFILE);
		assert_contains(err.text, "metric \"echo 5\": cannot be started: Too many open");
		assert_int_equal(metric_fd(metric), -1);
		assert_int_equal(count_fds(), fds_before);
	}
	start(metric);
	assert_int_equal(follow(metric, &value, NULL), 0);
	metric_close(metric);
}

/* It has been spawned by then. */
static void test_no_pidfd(void **state)
{
	struct metric *metric = metric_of("sleep 1000", LONG_TIME);
	struct errmsg err = { "" };

	(void)state;
	calls.no_pidfd = true;
	assert_int_equal(metric_start(metric, now(), &err), -ENOSYS);
	assert_contains(err.text, "cannot be started: Function not implemented");
	assert_int_equal(metric_fd(metric), -1);
	pause_ms(100); /* there is nothing to wait for the process with */
	metric_close(metric);
}

/* A process that the kernel can't end now is not waited for, nor forgotten. */
static void test_stuck(void **state)
{
	struct metric *metric = metric_of("sleep 1000", LONG_TIME);
	struct errmsg err = { "" };
	double value;

	(void)state;
	start(metric);
	calls.stuck = true;
	assert_int_equal(metric_take(metric, UINT64_MAX, &value, NULL), -ETIMEDOUT);
	assert_int_equal(metric_fd(metric), -1);
	assert_int_equal(metric_start(metric, now(), &err), -EBUSY);
	assert_contains(err.text, "was killed, but process ");
	calls.stuck = false;
	pause_ms(200);
	start(metric);
	calls.stuck = true;
	assert_int_equal(metric_take(metric, UINT64_MAX, &value, NULL), -ETIMEDOUT);
	calls.stuck = false;
	pause_ms(200);
	metric_close(metric);
}

/* The kernel waits for children by itself then: their numbers can be another's. */
static void test_sigchld_ignored(void **state)
{
	struct metric *metric = metric_of("sleep 0.3; echo 5", LONG_TIME);
	struct metric *quick = metric_of("echo 5", LONG_TIME);
	struct errmsg err = { "" };
	double value;
	int rc;

	(void)state;
	signal(SIGCHLD, SIG_IGN);
	start(metric);
	assert_int_equal(follow(metric, &value, &err), -ECHILD);
	assert_contains(err.text, "cannot be waited for");
	rc = metric_start(quick, now(), &err);
	if (rc) /* it has ended so soon */
		assert_int_equal(rc, -ESRCH);
	else
		assert_int_equal(follow(quick, &value, &err), -ECHILD);
	assert_int_equal(metric_fd(quick), -1);
	signal(SIGCHLD, SIG_DFL);
	calls.ended = true; /* as soon as can be */
	assert_int_equal(metric_start(quick, now(), &err), -ESRCH);
	assert_contains(err.text, "cannot be started: No such process");
	assert_int_equal(metric_fd(quick), -1);
	metric_close(metric);
	metric_close(quick);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_numbers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ended_too_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_endless, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_output_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_background, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_timeout, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_group, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_deadline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_close, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_surroundings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_closed_standard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_descriptors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_pidfd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stuck, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sigchld_ignored, set_up, tear_down),
	};

	if (argc == 2 && !strcmp(argv[1], "move"))
		return move();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
