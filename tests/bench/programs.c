// SPDX-License-Identifier: GPL-2.0-only
/*
 * Switches the BPF programs of other processes on and off, within milliseconds.
 *
 * What a program costs is less than what a busy machine varies by within a second,
 * and a process that loads BPF programs needs about that long to start. So this
 * takes over the programs that a process has attached to tracepoints: it holds them
 * by their descriptors, together with their maps, and attaches them itself, after
 * the process has ended. The code that runs is the process's own.
 *
 * Commands are lines on standard input; each is answered by one line of JSON.
 *
 *   hold SET PID    takes over what PID has attached to tracepoints
 *   empty SET FROM  makes programs that do nothing, for the tracepoints of set FROM
 *   attach SET      attaches a set and detaches the others
 *   detach          detaches all
 *   stats on|off    has the kernel count runs and time of programs (BPF_ENABLE_STATS)
 *   read SET        the programs of a set with what the kernel has counted
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_SETS     8
#define MAX_PROGRAMS 16
#define EVENTS_SYS   "/sys/kernel/tracing/events"

struct program {
	int fd;
	int link; /* -1: not attached */
	bool raw; /* a raw tracepoint; else a perf event of a tracepoint */
	char tracepoint[64];
};

struct set {
	char name[32];
	unsigned int nr;
	struct program programs[MAX_PROGRAMS];
};

struct state {
	struct set sets[MAX_SETS];
	unsigned int nr_sets;
	int stats; /* descriptor that keeps statistics on, or -1 */
};

__attribute__((format(printf, 1, 2))) static json_t *failure(const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return json_pack("{s:s}", "error", text);
}

static struct set *set_named(struct state *state, const char *name)
{
	for (unsigned int i = 0; i < state->nr_sets; i++)
		if (strcmp(state->sets[i].name, name) == 0)
			return &state->sets[i];
	return NULL;
}

/* An empty set of that name, or NULL where there is no room or there is one already. */
static struct set *set_new(struct state *state, const char *name)
{
	struct set *set;

	if (state->nr_sets == MAX_SETS || set_named(state, name))
		return NULL;
	set = &state->sets[state->nr_sets++];
	*set = (struct set){ 0 };
	snprintf(set->name, sizeof(set->name), "%s", name);
	return set;
}

/* Adds a program; the set owns the descriptor. */
static int set_add(struct set *set, int fd, bool raw, const char *tracepoint)
{
	struct program *program;

	if (set->nr == MAX_PROGRAMS) {
		close(fd);
		return -E2BIG;
	}
	program = &set->programs[set->nr++];
	program->fd = fd;
	program->link = -1;
	program->raw = raw;
	snprintf(program->tracepoint, sizeof(program->tracepoint), "%s", tracepoint);
	return 0;
}

/* If this descriptor of a process keeps a program on a tracepoint, adds the program. */
static int hold_descriptor(struct set *set, int pid, unsigned int descriptor)
{
	char name[64];
	uint32_t length = sizeof(name), id, type;
	__u64 offset, address;
	int fd;

	if (bpf_task_fd_query(pid, (int)descriptor, 0, name, &length, &id, &type, &offset,
			      &address))
		return 0; /* anything but a program on an event */
	if (type != BPF_FD_TYPE_RAW_TRACEPOINT && type != BPF_FD_TYPE_TRACEPOINT)
		return 0;
	fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return fd;
	return set_add(set, fd, type == BPF_FD_TYPE_RAW_TRACEPOINT, name);
}

static json_t *do_hold(struct state *state, const char *name, const char *pid)
{
	struct dirent *entry;
	struct set *set;
	char path[64];
	int rc = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	folder = opendir(path);
	if (!folder)
		return failure("'%s': %s", path, strerror(errno));
	set = set_new(state, name);
	if (!set) {
		closedir(folder);
		return failure("set '%s': there is one, or there are %d already", name, MAX_SETS);
	}
	while (!rc && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			rc = hold_descriptor(set, (int)strtol(pid, NULL, 10),
					     (unsigned int)strtoul(entry->d_name, NULL, 10));
	closedir(folder);
	if (rc)
		return failure("programs of process '%s': %s", pid, strerror(-rc));
	return json_pack("{s:i}", "programs", (int)set->nr);
}

/* A program of its own for each tracepoint, since the kernel counts per program. */
static json_t *do_empty(struct state *state, const char *name, const char *from_name)
{
	const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	const struct set *from = set_named(state, from_name);
	struct set *set = from ? set_new(state, name) : NULL;

	if (!from)
		return failure("there is no set '%s'", from_name);
	if (!set)
		return failure("set '%s': there is one, or there are %d already", name, MAX_SETS);
	for (unsigned int i = 0; i < from->nr; i++) {
		const int fd = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "empty", "GPL", nothing,
					     sizeof(nothing) / sizeof(nothing[0]), NULL);

		if (fd < 0)
			return failure("loading an empty program: %s", strerror(-fd));
		set_add(set, fd, true, from->programs[i].tracepoint);
	}
	return json_pack("{s:i}", "programs", (int)set->nr);
}

static int tracepoint_id(const char *tracepoint)
{
	char path[256];
	FILE *file;
	int id;

	snprintf(path, sizeof(path), EVENTS_SYS "/%s/%s/id",
		 strncmp(tracepoint, "mm_compaction_", 14) ? "kmem" : "compaction", tracepoint);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	if (fscanf(file, "%d", &id) != 1)
		id = -EIO;
	fclose(file);
	return id;
}

/* The program runs on all CPUs, whichever the event is opened for (perf_trace_##call()). */
static int attach_perf(const struct program *program)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.sample_period = 1,
		.wakeup_events = 1,
	};
	int fd, err;

	fd = tracepoint_id(program->tracepoint);
	if (fd < 0)
		return fd;
	attr.config = (__u64)fd;
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, program->fd) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		err = errno;
		close(fd);
		return -err;
	}
	return fd;
}

/* A program of type tracing (tp_btf) knows its tracepoint, and must not be given a name. */
static int attach_raw(const struct program *program)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int rc;

	rc = bpf_obj_get_info_by_fd(program->fd, &info, &size);
	if (rc)
		return rc;
	return bpf_raw_tracepoint_open(
		info.type == BPF_PROG_TYPE_TRACING ? NULL : program->tracepoint, program->fd);
}

static void detach_all(struct state *state)
{
	for (unsigned int s = 0; s < state->nr_sets; s++) {
		for (unsigned int i = 0; i < state->sets[s].nr; i++) {
			struct program *program = &state->sets[s].programs[i];

			if (program->link >= 0)
				close(program->link);
			program->link = -1;
		}
	}
}

/* Programs on raw tracepoints that are not ours: somebody else's work in our figures. */
static int count_others(const struct state *state)
{
	uint32_t id = 0;
	int others = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		struct bpf_link_info info = { 0 };
		uint32_t size = sizeof(info);
		const int fd = bpf_link_get_fd_by_id(id);

		if (fd < 0) /* gone meanwhile */
			continue;
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) &&
		    info.type == BPF_LINK_TYPE_RAW_TRACEPOINT)
			others++;
		close(fd);
	}
	for (unsigned int s = 0; s < state->nr_sets; s++)
		for (unsigned int i = 0; i < state->sets[s].nr; i++)
			others -= state->sets[s].programs[i].raw &&
				  state->sets[s].programs[i].link >= 0;
	return others;
}

static json_t *do_detach(struct state *state)
{
	detach_all(state);
	return json_pack("{s:i}", "others", count_others(state));
}

static json_t *do_attach(struct state *state, const char *name)
{
	struct set *set = set_named(state, name);

	if (!set)
		return failure("there is no set '%s'", name);
	detach_all(state);
	for (unsigned int i = 0; i < set->nr; i++) {
		struct program *program = &set->programs[i];

		program->link = program->raw ? attach_raw(program) : attach_perf(program);
		if (program->link < 0)
			return failure("attaching to %s: %s", program->tracepoint,
				       strerror(-program->link));
	}
	return json_pack("{s:i}", "others", count_others(state));
}

static json_t *do_stats(struct state *state, const char *word)
{
	if (state->stats >= 0)
		close(state->stats);
	state->stats = -1;
	if (strcmp(word, "on") != 0)
		return json_object();
	state->stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (state->stats < 0)
		return failure("BPF_ENABLE_STATS: %s", strerror(-state->stats));
	return json_object();
}

static json_t *do_read(struct state *state, const char *name)
{
	const struct set *set = set_named(state, name);
	json_t *programs = json_array();

	if (!set)
		return failure("there is no set '%s'", name);
	for (unsigned int i = 0; i < set->nr; i++) {
		struct bpf_prog_info info = { 0 };
		uint32_t size = sizeof(info);
		const int rc = bpf_obj_get_info_by_fd(set->programs[i].fd, &info, &size);

		if (rc) {
			json_decref(programs);
			return failure("program of %s: %s", set->programs[i].tracepoint,
				       strerror(-rc));
		}
		json_array_append_new(programs,
				      json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", info.name,
						"tracepoint", set->programs[i].tracepoint, "runs",
						(json_int_t)info.run_cnt, "ns",
						(json_int_t)info.run_time_ns, "missed",
						(json_int_t)info.recursion_misses));
	}
	return json_pack("{s:o}", "programs", programs);
}

static json_t *answer(struct state *state, char *line)
{
	const char *command = strtok(line, " \n");
	const char *first = strtok(NULL, " \n");
	const char *second = strtok(NULL, " \n");

	if (!command)
		return failure("an empty line is no command");
	if (!strcmp(command, "detach"))
		return do_detach(state);
	if (!strcmp(command, "attach") && first)
		return do_attach(state, first);
	if (!strcmp(command, "read") && first)
		return do_read(state, first);
	if (!strcmp(command, "stats") && first)
		return do_stats(state, first);
	if (!strcmp(command, "hold") && second)
		return do_hold(state, first, second);
	if (!strcmp(command, "empty") && second)
		return do_empty(state, first, second);
	return failure("'%s' is no command, or lacks an argument", command);
}

int main(void)
{
	static struct state state = { .stats = -1 };
	char line[128];

	while (fgets(line, sizeof(line), stdin)) {
		json_t *reply = answer(&state, line);

		if (!reply || json_dumpf(reply, stdout, JSON_COMPACT))
			return 1;
		json_decref(reply);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
