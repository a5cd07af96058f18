// SPDX-License-Identifier: GPL-2.0-only
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sluice/metric.h"

/* A number needs far less; what comes beyond is no number. */
#define OUTPUT_BYTES 256

/* For a killed process to end. It takes more only if the kernel itself is stuck for it. */
#define KILL_MS 1000

#define BLANKS " \t\r\n\v\f"

struct metric {
	char *command;
	uint64_t timeout;
	uint64_t deadline;
	pid_t pid;  /* leads the process group; without a watch: killed, but not ended; 0: none */
	int watch;  /* epoll instance with the two below; -1: no run is under way */
	int end;    /* descriptor of the process: readable when it has ended */
	int output; /* -1: at its end */
	size_t length;
	char text[OUTPUT_BYTES + 2]; /* one byte too many, and the NUL */
};

static const char *name(const struct metric *metric, char buf[QUOTED_TEXT])
{
	return text_quote(metric->command, buf);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_all(struct metric *metric)
{
	close_fd(&metric->watch);
	close_fd(&metric->end);
	close_fd(&metric->output);
}

int metric_open(const char *command, uint64_t timeout, struct metric **ret, struct errmsg *err)
{
	struct metric *metric = calloc(1, sizeof(*metric));

	if (metric)
		metric->command = strdup(command);
	if (!metric || !metric->command) {
		free(metric);
		return errmsg_set(err, -ENOMEM, "memory for a metric");
	}
	metric->timeout = timeout;
	metric->watch = metric->end = metric->output = -1;
	*ret = metric;
	return 0;
}

/* Whether the process is gone: it was waited for. Its number can be another's then. */
static bool reap(struct metric *metric)
{
	pid_t pid;

	do
		pid = waitpid(metric->pid, NULL, WNOHANG);
	while (pid < 0 && errno == EINTR);
	if (!pid)
		return false;
	metric->pid = 0;
	return true;
}

/*
 * Ends the run, whether its process has ended or not. That one was not waited for yet, so that
 * neither its number nor its group's can be another's.
 */
static void finish(struct metric *metric)
{
	struct pollfd end = { .fd = metric->end, .events = POLLIN };

	assert(metric->pid > 0); /* 0 would be our own group */
	kill(-metric->pid, SIGKILL);
	kill(metric->pid, SIGKILL); /* it may have gone over to another group */
	if (end.fd >= 0)
		while (poll(&end, 1, KILL_MS) < 0 && errno == EINTR)
			;
	reap(metric);
	close_all(metric);
}

static int spawn_with(char *command, const posix_spawn_file_actions_t *actions,
		      posix_spawnattr_t *attributes, pid_t *ret)
{
	const short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
	char sh[] = "sh", option[] = "-c", end[] = "--"; /* of options: "-x" is a command */
	char *const argv[] = { sh, option, end, command, NULL };
	sigset_t all, none;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setpgroup(attributes, 0);
	posix_spawnattr_setflags(attributes, flags);
	return -posix_spawn(ret, "/bin/sh", actions, attributes, argv, environ);
}

static int spawn(char *command, int output, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int rc = -posix_spawn_file_actions_init(&actions);

	if (rc)
		return rc;
	/* in this order: @output is 0 if the caller has closed its standard input */
	rc = -posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (!rc)
		rc = -posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
						       O_RDONLY, 0);
	if (!rc)
		rc = -posix_spawnattr_init(&attributes);
	if (!rc) {
		rc = spawn_with(command, &actions, &attributes, ret);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static int watch(const struct metric *metric, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(metric->watch, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* Spawns, with all that is needed to follow. On failure there may be a process, and descriptors. */
static int start(struct metric *metric)
{
	int ends[2];
	int rc;

	metric->watch = epoll_create1(EPOLL_CLOEXEC);
	if (metric->watch < 0 || pipe2(ends, O_CLOEXEC))
		return -errno;
	metric->output = ends[0];
	rc = fcntl(ends[0], F_SETFL, O_NONBLOCK) ? -errno : 0; /* its own end waits as usual */
	if (!rc)
		rc = watch(metric, ends[0]);
	if (!rc)
		rc = spawn(metric->command, ends[1], &metric->pid);
	close(ends[1]);
	if (rc) {
		metric->pid = 0; /* whatever posix_spawn() left there */
		return rc;
	}
	/* 5.3, which is older than page reporting (5.7); glibc has a name for it since 2.36 */
	metric->end = (int)syscall(SYS_pidfd_open, metric->pid, 0);
	if (metric->end >= 0)
		return watch(metric, metric->end);
	rc = -errno;
	if (rc == -ESRCH) /* ended, and SIGCHLD is ignored: the number can be another's */
		metric->pid = 0;
	return rc;
}

int metric_start(struct metric *metric, uint64_t now_ns, struct errmsg *err)
{
	char quoted[QUOTED_TEXT];
	int rc;

	if (metric->watch >= 0)
		return errmsg_set(err, -EBUSY, "metric %s: a run is under way",
				  name(metric, quoted));
	if (metric->pid && !reap(metric))
		return errmsg_set(err, -EBUSY,
				  "metric %s: its last run was killed, but process %d does not end",
				  name(metric, quoted), (int)metric->pid);
	metric->length = 0;
	rc = start(metric);
	if (rc) {
		if (metric->pid)
			finish(metric);
		close_all(metric);
		return errmsg_set(err, rc, "metric %s: cannot be started: %s", name(metric, quoted),
				  strerror(-rc));
	}
	if (__builtin_add_overflow(now_ns, metric->timeout, &metric->deadline))
		metric->deadline = UINT64_MAX;
	return 0;
}

int metric_fd(const struct metric *metric)
{
	return metric->watch;
}

uint64_t metric_deadline(const struct metric *metric)
{
	return metric->watch < 0 ? UINT64_MAX : metric->deadline;
}

/* Reads what is there, up to one byte too many. */
static void read_output(struct metric *metric)
{
	const size_t size = sizeof(metric->text) - 1;

	while (metric->output >= 0 && metric->length < size) {
		const ssize_t n =
			read(metric->output, metric->text + metric->length, size - metric->length);

		if (n > 0)
			metric->length += (size_t)n;
		else if (!n || (errno != EINTR && errno != EAGAIN))
			close_fd(&metric->output); /* else it would be readable for ever */
		else if (errno == EAGAIN)
			break;
	}
	metric->text[metric->length] = '\0';
}

static int too_long(const struct metric *metric, struct errmsg *err)
{
	char quoted[QUOTED_TEXT];

	return errmsg_set(err, -EBADMSG,
			  "metric %s: prints more than %d bytes; one decimal number is expected",
			  name(metric, quoted), OUTPUT_BYTES);
}

static int parse_output(struct metric *metric, double *ret, struct errmsg *err)
{
	char *text = metric->text + strspn(metric->text, BLANKS), *end;
	char quoted[QUOTED_TEXT], found[QUOTED_TEXT];
	size_t length = strlen(text);
	double value;

	if (metric->length > OUTPUT_BYTES)
		return too_long(metric, err);
	if (text + length != metric->text + metric->length)
		return errmsg_set(err, -EBADMSG, "metric %s: prints a NUL byte",
				  name(metric, quoted));
	while (length && strchr(BLANKS, text[length - 1]))
		length--;
	text[length] = '\0';
	if (!length)
		return errmsg_set(err, -EBADMSG, "metric %s: prints no number",
				  name(metric, quoted));
	value = strtod(text, &end);
	/* strtod() itself takes "nan", "infinity" and "0x10", and a locale's decimal comma */
	if (*end || strspn(text, "0123456789+-.eE") != length)
		return errmsg_set(err, -EBADMSG,
				  "metric %s: prints %s; one decimal number is expected, as 1.5",
				  name(metric, quoted), text_quote(text, found));
	if (!isfinite(value))
		return errmsg_set(err, -EBADMSG, "metric %s: prints %s, which is out of range",
				  name(metric, quoted), text_quote(text, found));
	*ret = value;
	return 0;
}

static int judge(struct metric *metric, const siginfo_t *end, double *ret, struct errmsg *err)
{
	char quoted[QUOTED_TEXT];

	if (end->si_code != CLD_EXITED)
		return errmsg_set(err, -ECHILD, "metric %s: ended by signal %d (%s)",
				  name(metric, quoted), end->si_status, strsignal(end->si_status));
	if (end->si_status)
		return errmsg_set(err, -ECHILD, "metric %s: exit status %d%s", name(metric, quoted),
				  end->si_status,
				  end->si_status == 127 ? " (a command was not found)" : "");
	return parse_output(metric, ret, err);
}

int metric_take(struct metric *metric, uint64_t now_ns, double *ret, struct errmsg *err)
{
	char quoted[QUOTED_TEXT];
	siginfo_t end = { 0 };
	int rc;

	if (metric->watch < 0)
		return errmsg_set(err, -EINVAL, "metric %s: no run is under way",
				  name(metric, quoted));
	/* before reading: all that it printed is there if it has ended */
	if (waitid(P_PID, (id_t)metric->pid, &end, WEXITED | WNOHANG | WNOWAIT)) {
		rc = -errno;
		metric->pid = 0; /* not ours any more: nobody to kill */
		close_all(metric);
		return errmsg_set(err, rc, "metric %s: cannot be waited for: %s",
				  name(metric, quoted), strerror(-rc));
	}
	read_output(metric);
	if (end.si_pid)
		rc = judge(metric, &end, ret, err);
	else if (metric->length > OUTPUT_BYTES)
		rc = too_long(metric, err);
	else if (now_ns >= metric->deadline)
		rc = errmsg_set(err, -ETIMEDOUT, "metric %s: killed, since it took too long",
				name(metric, quoted));
	else
		return -EAGAIN;
	finish(metric);
	return rc;
}

void metric_close(struct metric *metric)
{
	if (!metric)
		return;
	if (metric->watch >= 0)
		finish(metric);
	else if (metric->pid)
		reap(metric);
	free(metric->command);
	free(metric);
}
