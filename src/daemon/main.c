// SPDX-License-Identifier: GPL-2.0-only
/* sluiced: options, start, loop, end. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "sluice/control.h"
#include "sluice/file.h"
#include "sluice/log.h"
#include "sluice/units.h"
#include "sluice/version.h"

/* One tenth of a window; a multiple of 2 s is what the kernel's own averages have. */
#define PRESSURE_STALL_US  200000
#define PRESSURE_WINDOW_US 2000000

/* What the loop waits for; addresses of the members tell the events apart. */
struct loop {
	int epoll;
	int signals;
	int tick;
	int lease;    /* of an arm of an experiment */
	int watchdog; /* -1: none */
	int pressure; /* -1: none */
	bool stop;
};

static const char usage[] =
	"sluiced " SLUICE_VERSION
	" - decides when free memory of this guest is reported to the host\n"
	"\n"
	"Usage: sluiced [--config FILE] [--runtime-dir DIR]\n"
	"\n"
	"  --config FILE      configuration (default " CONFIG_DEFAULT_PATH ")\n"
	"  --runtime-dir DIR  socket, lock and journal (default " RUNTIME_DEFAULT ")\n"
	"  --help, --version\n"
	"\n"
	"SIGHUP reloads the configuration, SIGTERM and SIGINT end the daemon; either end\n"
	"gives every knob its old value back. Look at it with sluice(1).\n"
	"\n"
	"Options of the configuration file:\n";

static int parse_options(int argc, char **argv, struct daemon *daemon)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			daemon->config_path = optarg;
			break;
		case 'r':
			daemon->runtime_dir = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			config_print_help(stdout);
			exit(0);
		case 'v':
			puts("sluiced " SLUICE_VERSION);
			exit(0);
		default:
			fputs("Try sluiced --help\n", stderr);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "sluiced: unexpected argument \"%s\"; try sluiced --help\n",
			argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* No file at the default place means all defaults; a named file must exist. */
static int read_config(struct daemon *daemon)
{
	char *errors;
	int rc;

	if (!strcmp(daemon->config_path, CONFIG_DEFAULT_PATH) &&
	    access(daemon->config_path, F_OK) && errno == ENOENT) {
		config_defaults(&daemon->config);
		log_info("no %s: every option at its default", daemon->config_path);
		return 0;
	}
	rc = daemon_load(daemon->config_path, &daemon->config, &errors);
	if (rc)
		fputs(errors ? errors : "sluiced: no memory for messages\n", stderr);
	free(errors);
	return rc;
}

static int lock_instance(struct daemon *daemon, struct errmsg *err)
{
	char path[256], pid[32];
	int length;

	length = snprintf(path, sizeof(path), "%s/" CONTROL_LOCK, daemon->runtime_dir);
	if (length < 0 || (size_t)length >= sizeof(path))
		return errmsg_set(err, -ENAMETOOLONG, "\"%s\": too long for a runtime directory",
				  daemon->runtime_dir);
	if (mkdir(daemon->runtime_dir, 0755) && errno != EEXIST)
		return errmsg_set(err, -errno, "\"%s\": %m", daemon->runtime_dir);
	daemon->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (daemon->lock < 0)
		return errmsg_set(err, -errno, "\"%s\": %m", path);
	if (flock(daemon->lock, LOCK_EX | LOCK_NB))
		return errmsg_set(err, -errno,
				  errno == EWOULDBLOCK ?
					  "\"%s\" is locked: sluiced is running already" :
					  "\"%s\": %m",
				  path);
	length = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(daemon->lock, 0) || write(daemon->lock, pid, (size_t)length) != length)
		return errmsg_set(err, -errno, "\"%s\": %m", path);
	return 0;
}

/* Undoes what a daemon left that could not end properly. */
static int restore_leftover(struct daemon *daemon, struct errmsg *err)
{
	char *report = NULL, *line, *save = NULL;
	size_t size;
	FILE *out = open_memstream(&report, &size);
	int rc;

	if (!out)
		return errmsg_set(err, -ENOMEM, "memory for messages");
	rc = knobs_restore_leftover(daemon->root, daemon->runtime_dir, out, err);
	fclose(out);
	for (line = strtok_r(report, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		log_info("left by an earlier daemon: %s", line);
	free(report);
	return rc < 0 ? rc : 0;
}

static int start_observer(struct daemon *daemon, struct errmsg *err)
{
	const struct observer_options options = {
		.root = daemon->root,
		.events = daemon->config.events != EVENTS_OFF,
		.direct_frees = daemon->config.events == EVENTS_ALL,
		.best = SOURCE_BPF,
	};
	const char *note;
	int rc;

	rc = observer_open(&options, &daemon->observer, err);
	if (rc)
		return rc;
	for (unsigned int i = 0; (note = observer_note(daemon->observer, i)); i++)
		log_warn("%s", note);
	malloc_trim(0); /* loading BPF takes megabytes that are never needed again */
	return 0;
}

static int watch(struct loop *loop, int *fd, struct errmsg *err)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = fd };

	if (*fd < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, *fd, &event))
		return errmsg_set(err, -errno, "event loop: %m");
	return 0;
}

static int set_timer(int fd, uint64_t first, uint64_t period)
{
	const struct itimerspec spec = {
		.it_value = { (time_t)(first / NSEC_PER_SEC), (long)(first % NSEC_PER_SEC) },
		.it_interval = { (time_t)(period / NSEC_PER_SEC), (long)(period % NSEC_PER_SEC) },
	};

	return timerfd_settime(fd, 0, &spec, NULL);
}

static int loop_open(struct loop *loop, struct errmsg *err)
{
	const uint64_t watchdog = notify_watchdog_ns();
	sigset_t signals;
	int rc;

	*loop = (struct loop){
		.signals = -1, .tick = -1, .lease = -1, .watchdog = -1, .pressure = -1
	};
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return errmsg_set(err, -errno, "event loop: %m");
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	loop->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	loop->tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	loop->lease = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	rc = watch(loop, &loop->signals, err);
	if (!rc)
		rc = watch(loop, &loop->tick, err);
	if (!rc)
		rc = watch(loop, &loop->lease, err);
	if (!rc && watchdog) {
		loop->watchdog = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		rc = watch(loop, &loop->watchdog, err);
		if (!rc && set_timer(loop->watchdog, watchdog, watchdog))
			rc = errmsg_set(err, -errno, "watchdog timer: %m");
	}
	return rc;
}

static void loop_close(struct loop *loop)
{
	const int fds[] = { loop->pressure, loop->watchdog, loop->lease,
			    loop->tick,	    loop->signals,  loop->epoll };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void drain_timer(int fd)
{
	uint64_t expirations;

	(void)!read(fd, &expirations, sizeof(expirations));
}

static void tick(struct daemon *daemon, struct loop *loop)
{
	drain_timer(loop->tick);
	daemon_tick(daemon);
	set_timer(loop->tick, daemon_next_tick(daemon), 0);
	notify("STATUS=%s: %.300s", policy_action_name(daemon->decision.action),
	       daemon->decision.reason);
}

/*
 * Tasks wait for memory: the next decision comes at once. How much pressure is too much
 * is the guard's to say. Until 6.4 a trigger needs CAP_SYS_RESOURCE: there it is had if
 * the mode is control from the start.
 */
static void watch_pressure(struct daemon *daemon, struct loop *loop)
{
	struct epoll_event event = { .events = EPOLLPRI, .data.ptr = &loop->pressure };
	struct errmsg err = { 0 };

	if (loop->pressure >= 0 || daemon->config.mode != MODE_CONTROL)
		return;
	loop->pressure =
		pressure_trigger(daemon->root, PRESSURE_STALL_US, PRESSURE_WINDOW_US, &err);
	if (loop->pressure < 0) {
		log_info("no early warning of memory pressure: %s", err.text);
		loop->pressure = -1;
	} else if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->pressure, &event)) {
		log_warn("no early warning of memory pressure: %m");
	}
}

/* At most one per window, so that pressure does not make decisions frequent. */
static void warned(struct daemon *daemon, struct loop *loop)
{
	daemon->tally.warnings++;
	tick(daemon, loop);
}

static void reload(struct daemon *daemon, struct loop *loop)
{
	notify("RELOADING=1\nMONOTONIC_USEC=%llu",
	       (unsigned long long)(monotonic_ns() / NSEC_PER_USEC));
	daemon_reload(daemon);
	watch_pressure(daemon, loop);
	notify("READY=1");
	tick(daemon, loop);
}

static void take_signals(struct daemon *daemon, struct loop *loop)
{
	struct signalfd_siginfo info;

	while (read(loop->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			reload(daemon, loop);
		} else {
			log_info("ending on signal %u", info.ssi_signo);
			loop->stop = true;
		}
	}
}

static void run(struct daemon *daemon, struct loop *loop)
{
	struct epoll_event events[16];

	while (!loop->stop) {
		const int nr = epoll_wait(loop->epoll, events, 16, -1);

		for (int i = 0; i < nr; i++) {
			void *ptr = events[i].data.ptr;

			if (ptr == &loop->signals)
				take_signals(daemon, loop);
			else if (ptr == &loop->tick)
				tick(daemon, loop);
			else if (ptr == &loop->lease)
				drain_timer(loop->lease), experiment_expire(daemon);
			else if (ptr == &loop->pressure)
				warned(daemon, loop);
			else if (ptr == &loop->watchdog)
				drain_timer(loop->watchdog), notify("WATCHDOG=1");
			else
				control_event(daemon, daemon->control, ptr, events[i].events);
		}
		if (daemon->hurry) {
			watch_pressure(daemon, loop); /* an arm may be the first to control */
			set_timer(loop->tick, 1, 0);
		}
		daemon->hurry = false;
		/* not the tick's: a lease that is renewed is no reason to decide more often */
		set_timer(loop->lease, experiment_left(daemon), 0);
	}
	notify("STOPPING=1");
}

static int start(struct daemon *daemon, struct loop *loop, struct errmsg *err)
{
	int rc;

	daemon->root = root_open("/", err);
	if (daemon->root < 0)
		return daemon->root;
	rc = loop_open(loop, err); /* first: signals wait until they can be taken */
	if (!rc)
		rc = lock_instance(daemon, err);
	if (!rc)
		rc = restore_leftover(daemon, err);
	if (!rc)
		rc = start_observer(daemon, err);
	if (!rc)
		rc = act_begin(daemon, err);
	if (!rc)
		watch_pressure(daemon, loop);
	if (!rc)
		rc = control_open(daemon->runtime_dir, loop->epoll, &daemon->control, err);
	if (!rc)
		rc = privileges_drop(observer_topology(daemon->observer)->kernel_version, err);
	if (!rc && set_timer(loop->tick, 1, 0))
		rc = errmsg_set(err, -errno, "timer: %m");
	return rc;
}

int main(int argc, char **argv)
{
	static struct daemon daemon = {
		.config_path = CONFIG_DEFAULT_PATH,
		.runtime_dir = RUNTIME_DEFAULT,
		.root = -1,
		.lock = -1,
	};
	struct loop loop = { -1, -1, -1, -1, -1, -1, false };
	struct errmsg err = { 0 };
	int rc;

	signal(SIGPIPE, SIG_IGN); /* the reader of the log may go; knobs must not stay behind */
	mallopt(M_MMAP_THRESHOLD, 64 * 1024); /* large blocks go back to the kernel when freed */
	daemon.start_ns = monotonic_ns();
	if (parse_options(argc, argv, &daemon) < 0)
		return 2;
	if (read_config(&daemon) < 0)
		return 1;
	log_set_level((enum log_level)daemon.config.log_level);
	if (geteuid()) {
		log_error(
			"sluiced needs root: it reads the memory map and writes kernel parameters");
		return 1;
	}
	rc = start(&daemon, &loop, &err);
	if (rc) {
		log_error("%s", err.text);
	} else {
		log_info("sluiced " SLUICE_VERSION ": mode %s, strategy %s, source %s",
			 config_mode_name(daemon.config.mode),
			 config_strategy_name(daemon.config.strategy),
			 scan_source_name(observer_source(daemon.observer)));
		notify("READY=1");
		run(&daemon, &loop);
	}
	act_end(&daemon);
	control_close(daemon.control);
	observer_close(daemon.observer);
	loop_close(&loop);
	if (daemon.lock >= 0)
		close(daemon.lock);
	if (daemon.root >= 0)
		close(daemon.root);
	return rc ? 1 : 0;
}
