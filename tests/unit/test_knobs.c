// SPDX-License-Identifier: GPL-2.0-only
/*
 * Knobs and their journal, on a fixture tree: the live kernel is never written.
 *
 * Linked with -Wl,--wrap= for each of these (the second line is what openat() becomes
 * with _FILE_OFFSET_BITS=64 and _FORTIFY_SOURCE):
 * wrap: openat write fsync renameat unlinkat
 * wrap: openat64 __openat64_2 __openat_2
 *
 * The wrapped calls are every call by which the module changes anything on disk.
 * They make the fixture behave as the kernel does (a knob takes, refuses or alters
 * a value), and they can fail, or kill the process, at any one of them.
 */
#define _GNU_SOURCE 1 /* nftw */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sluice/file.h"
#include "sluice/knobs.h"

#define ORDER	      KNOB_REPORTING_ORDER
#define DELAY	      KNOB_REPORTING_DELAY
#define ORDER_AT_BOOT 9
#define DELAY_AT_BOOT 2000
#define JOURNAL_TEXT  512

static char base[64];	    /* the fixture: base/root is the tree, base/state the state dir */
static char tree[80];	    /* base/root */
static char state_dir[80];  /* base/state */
static char journal[96];    /* base/state/journal */
static char temporary[112]; /* base/state/journal.new */
static int root = -1;

/* How the fixture's kernel treats a written value. */
static struct {
	int64_t max;	 /* values above are ... */
	bool alters;	 /* ... replaced by max, or else refused with EINVAL */
	int refuses;	 /* errno for each write if not 0 */
	int64_t refused; /* value that alone is refused with EINVAL */
} kernel;

/* What the wrapped calls count and do. */
static unsigned int steps;
static unsigned int kill_at; /* die instead of this step */
static unsigned int fail_at; /* fail at this step ... */
static bool fail_on;	     /* ... and at each one from there on */
static int fail_errno;
static unsigned int knob_writes;
static char trace[64];			/* one letter per change: see note() */
static char journal_seen[JOURNAL_TEXT]; /* at the last write of a knob */

int __real_openat(int dir, const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *buf, size_t size);
int __real_fsync(int fd);
int __real_renameat(int old_dir, const char *old_path, int new_dir, const char *new_path);
int __real_unlinkat(int dir, const char *path, int flags);

int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap___openat_2(int dir, const char *path, int flags);
int __wrap___openat64_2(int dir, const char *path, int flags);
ssize_t __wrap_write(int fd, const void *buf, size_t size);
int __wrap_fsync(int fd);
int __wrap_renameat(int old_dir, const char *old_path, int new_dir, const char *new_path);
int __wrap_unlinkat(int dir, const char *path, int flags);

/* The text of @path, or "" if it can't be opened. */
static void read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len = fd < 0 ? 0 : read(fd, text, size - 1);

	text[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static int step(void)
{
	steps++;
	if (steps == kill_at)
		kill(getpid(), SIGKILL);
	if (fail_at && (steps == fail_at || (fail_on && steps > fail_at))) {
		errno = fail_errno;
		return -1;
	}
	return 0;
}

static void note(char letter)
{
	size_t len = strlen(trace);

	if (len + 1 < sizeof(trace)) {
		trace[len] = letter;
		trace[len + 1] = '\0';
	}
}

static bool is_knob(int fd)
{
	char link[64];
	char path[256];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return false;
	path[len] = '\0';
	return !strncmp(path, tree, strlen(tree));
}

/* A knob's store function. */
static ssize_t store_knob(int fd, const char *text, size_t size)
{
	int64_t value = strtoll(text, NULL, 10);
	char stored[32];
	int len;

	note('K');
	knob_writes++;
	read_text(journal, journal_seen, sizeof(journal_seen));
	if (kernel.refuses || (value > kernel.max && !kernel.alters) || value == kernel.refused) {
		errno = kernel.refuses ? kernel.refuses : EINVAL;
		return -1;
	}
	if (value > kernel.max)
		value = kernel.max;
	len = snprintf(stored, sizeof(stored), "%" PRId64 "\n", value);
	if (ftruncate(fd, 0) < 0 || __real_write(fd, stored, (size_t)len) != len)
		abort();
	return (ssize_t)size;
}

static int open_step(int dir, const char *path, int flags, mode_t mode)
{
	if (flags & O_CREAT)
		note('c');
	return step() < 0 ? -1 : __real_openat(dir, path, flags, mode);
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_list args;

		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	return open_step(dir, path, flags, mode);
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_list args;

		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	return open_step(dir, path, flags, mode);
}

int __wrap___openat_2(int dir, const char *path, int flags)
{
	return open_step(dir, path, flags, 0);
}

int __wrap___openat64_2(int dir, const char *path, int flags)
{
	return open_step(dir, path, flags, 0);
}

ssize_t __wrap_write(int fd, const void *buf, size_t size)
{
	if (step() < 0)
		return -1;
	if (is_knob(fd))
		return store_knob(fd, buf, size);
	note('w');
	return __real_write(fd, buf, size);
}

int __wrap_fsync(int fd)
{
	note('s');
	return step() < 0 ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int old_dir, const char *old_path, int new_dir, const char *new_path)
{
	note('r');
	return step() < 0 ? -1 : __real_renameat(old_dir, old_path, new_dir, new_path);
}

int __wrap_unlinkat(int dir, const char *path, int flags)
{
	note('u');
	return step() < 0 ? -1 : __real_unlinkat(dir, path, flags);
}

static void calm(void)
{
	kernel.max = INT64_MAX;
	kernel.alters = false;
	kernel.refuses = 0;
	kernel.refused = -1;
	steps = kill_at = fail_at = 0;
	fail_on = false;
	fail_errno = EIO;
	knob_writes = 0;
	trace[0] = '\0';
	journal_seen[0] = '\0';
}

/* Writes a file as a bystander would: past the wrapped calls. */
static void put(const char *path, const void *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || __real_write(fd, text, len) != (ssize_t)len || close(fd) < 0)
		abort();
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void knob_put_text(const char *knob, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", tree, knob);
	put_text(path, text);
}

static void knob_put(const char *knob, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64 "\n", value);
	knob_put_text(knob, text);
}

static int64_t knob_get(const char *knob)
{
	char path[256];
	char text[32];

	snprintf(path, sizeof(path), "%s/%s", tree, knob);
	read_text(path, text, sizeof(text));
	return text[0] ? strtoll(text, NULL, 10) : INT64_MIN;
}

static void knob_remove(const char *knob)
{
	__real_unlinkat(root, knob, 0);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* The guest after its boot, sluice never started. */
static void boot(void)
{
	calm();
	rmdir(journal);
	unlink(journal);
	unlink(temporary);
	knob_put(ORDER, ORDER_AT_BOOT);
	knob_put(DELAY, DELAY_AT_BOOT);
}

static int setup(void **state)
{
	static const char *const dirs[] = {
		"",
		"/root",
		"/root/sys",
		"/root/sys/module",
		"/root/sys/module/page_reporting",
		"/root/sys/module/page_reporting/parameters",
		"/root/proc",
		"/root/proc/sys",
		"/root/proc/sys/vm",
		"/root/etc",
		"/state",
	};
	char path[256];
	size_t i;

	(void)state;
	/* In memory, as /run is: thousands of fsync() calls follow. */
	snprintf(base, sizeof(base), "%s/sluice-test-knobs-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(base))
		return -1;
	for (i = 1; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", base, dirs[i]);
		if (mkdir(path, 0755) < 0)
			return -1;
	}
	snprintf(tree, sizeof(tree), "%s/root", base);
	snprintf(state_dir, sizeof(state_dir), "%s/state", base);
	snprintf(journal, sizeof(journal), "%s/journal", state_dir);
	snprintf(temporary, sizeof(temporary), "%s/journal.new", state_dir);
	root = root_open(tree, NULL);
	boot();
	return root < 0 ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	close(root);
	root = -1;
	return nftw(base, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct knobs *open_knobs(void)
{
	struct knobs *knobs = NULL;
	struct errmsg err = { "" };
	int code = knobs_open(root, state_dir, &knobs, &err);

	if (code < 0)
		print_error("knobs_open: %s\n", err.text);
	assert_int_equal(code, 0);
	assert_non_null(knobs);
	return knobs;
}

/* knobs_set() without the text. */
static int set(struct knobs *knobs, const char *path, int64_t value)
{
	return knobs_set(knobs, path, value, NULL);
}

static void assert_no_journal(void)
{
	assert_false(exists(journal));
	assert_false(exists(temporary));
}

static void assert_boot_values(void)
{
	assert_int_equal(knob_get(ORDER), ORDER_AT_BOOT);
	assert_int_equal(knob_get(DELAY), DELAY_AT_BOOT);
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

/* knobs_restore() with its report. */
static int restore(struct knobs *knobs, char *report, size_t size)
{
	FILE *out = fmemopen(report, size, "w");
	int code;

	assert_non_null(out);
	memset(report, 0, size);
	code = knobs_restore(knobs, out, NULL);
	fclose(out);
	return code;
}

static int restore_leftover(char *report, size_t size, struct errmsg *err)
{
	FILE *out = fmemopen(report, size, "w");
	int code;

	assert_non_null(out);
	memset(report, 0, size);
	code = knobs_restore_leftover(root, state_dir, out, err);
	fclose(out);
	return code;
}

/* ---- the ordinary course ---- */

static void test_set_and_restore(void **state)
{
	struct knobs *knobs = open_knobs();
	char report[256];
	int64_t original = 0;

	(void)state;
	assert_int_equal(knobs_original(knobs, ORDER, &original), -ENOENT);
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_int_equal(knob_get(ORDER), 11);
	assert_int_equal(knobs_original(knobs, ORDER, &original), 0);
	assert_int_equal(original, 9);
	assert_int_equal(set(knobs, ORDER, 7), 0);
	assert_int_equal(knobs_check(knobs, NULL), 0);
	assert_false(knobs_lost(knobs, ORDER));
	assert_int_equal(restore(knobs, report, sizeof(report)), 0);
	assert_string_equal(report, "page_reporting_order: restored 9 (was 7)\n");
	assert_int_equal(knobs_original(knobs, ORDER, &original), -ENOENT);
	assert_boot_values();
	assert_no_journal();

	/* Nothing is left to restore, and it can begin anew. */
	assert_int_equal(restore(knobs, report, sizeof(report)), 0);
	assert_string_equal(report, "");
	assert_int_equal(set(knobs, ORDER, 10), 0);
	assert_int_equal(knobs_restore(knobs, NULL, NULL), 0);
	assert_boot_values();
	assert_no_journal();
	knobs_close(knobs);
	knobs_close(NULL);
}

/* c create, w write, s fsync, r rename, u unlink of files in the state directory; K knob */
static void test_journal_comes_first(void **state)
{
	struct knobs *knobs;
	struct stat st;

	(void)state;
	knobs = open_knobs();
	trace[0] = '\0';
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_string_equal(trace, "ucwsrsKucwsrs");
	assert_int_equal(lstat(journal, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_string_equal(journal_seen, "sluice-journal 1\n" ORDER " 9 9 11\nend\n");
	assert_int_equal(set(knobs, DELAY, 500), 0);
	assert_string_equal(journal_seen,
			    "sluice-journal 1\n" ORDER " 9 11 11\n" DELAY " 2000 2000 500\nend\n");
	assert_int_equal(set(knobs, ORDER, 9), 0);
	assert_string_equal(journal_seen,
			    "sluice-journal 1\n" ORDER " 9 11 9\n" DELAY " 2000 500 500\nend\n");
	trace[0] = '\0';
	assert_int_equal(set(knobs, ORDER, 9), 0);
	assert_string_equal(trace, "");
	assert_int_equal(knobs_restore(knobs, NULL, NULL), 0);
	/* The order holds its original value already. */
	assert_string_equal(trace, "Kucwsrsuus");
	assert_boot_values();
	assert_no_journal();
	knobs_close(knobs);
}

static void test_value_already_there(void **state)
{
	struct knobs *knobs = open_knobs();
	char text[JOURNAL_TEXT];

	(void)state;
	assert_int_equal(set(knobs, ORDER, 9), 0);
	assert_int_equal(knob_writes, 0);
	/* it is held all the same, so that what someone else writes now is told and stays */
	read_text(journal, text, sizeof(text));
	assert_string_equal(text, "sluice-journal 1\n" ORDER " 9 9 9\nend\n");
	knob_put(ORDER, 8);
	assert_int_equal(knobs_check(knobs, NULL), -EBUSY);
	assert_true(knobs_lost(knobs, ORDER));
	assert_int_equal(set(knobs, ORDER, 10), -EBUSY);
	assert_int_equal(knobs_restore(knobs, NULL, NULL), 0);
	assert_int_equal(knob_get(ORDER), 8);
	assert_no_journal();
	knobs_close(knobs);
}

static void test_no_newline_in_the_knob(void **state)
{
	struct knobs *knobs = open_knobs();

	(void)state;
	knob_put_text(ORDER, "9");
	assert_int_equal(set(knobs, ORDER, 10), 0);
	assert_int_equal(knobs_restore(knobs, NULL, NULL), 0);
	assert_int_equal(knob_get(ORDER), 9);
	knobs_close(knobs);
}

static void test_limit(void **state)
{
	struct knobs *knobs = open_knobs();
	struct errmsg err;
	char path[KNOB_PATH_MAX];
	int i;

	(void)state;
	for (i = 0; i <= KNOBS_MAX; i++) {
		snprintf(path, sizeof(path), "proc/sys/vm/knob%d", i);
		knob_put(path, 100 + i);
		if (i < KNOBS_MAX)
			assert_int_equal(set(knobs, path, INT64_MAX - i), 0);
	}
	assert_int_equal(knobs_set(knobs, path, 1, &err), -ENOSPC);
	assert_contains(err.text, "/proc/sys/vm/knob16: 16 knobs");
	assert_int_equal(knob_get(path), 100 + KNOBS_MAX);
	/* A lost one keeps its place, for it has to be remembered. */
	knob_put("proc/sys/vm/knob3", 42);
	assert_int_equal(knobs_check(knobs, NULL), -EBUSY);
	assert_int_equal(set(knobs, path, 1), -ENOSPC);
	knobs_close(knobs);

	/* The longest journal can be read back. */
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, NULL), KNOBS_MAX - 1);
	for (i = 0; i <= KNOBS_MAX; i++) {
		snprintf(path, sizeof(path), "proc/sys/vm/knob%d", i);
		assert_int_equal(knob_get(path), i == 3 ? 42 : 100 + i);
	}
	assert_no_journal();
}

static void test_longest_line(void **state)
{
	char path[KNOB_PATH_MAX + 1];
	struct knobs *knobs;

	(void)state;
	snprintf(path, sizeof(path), "sys/%0*d", KNOB_PATH_MAX - 5, 0);
	assert_int_equal(strlen(path), KNOB_PATH_MAX - 1);
	knob_put(path, INT64_MAX);
	knobs = open_knobs();
	assert_int_equal(set(knobs, path, INT64_MAX - 1), 0);
	knobs_close(knobs);
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, NULL), 1);
	assert_true(knob_get(path) == INT64_MAX);
	assert_no_journal();

	knobs = open_knobs();
	snprintf(path, sizeof(path), "sys/%0*d", KNOB_PATH_MAX - 4, 0);
	knob_put(path, 1);
	assert_int_equal(set(knobs, path, 2), -EINVAL);
	knobs_close(knobs);
}

/* ---- what can be wrong with a knob ---- */

static const struct bad_set {
	const char *name;
	const char *path;
	const char *content; /* NULL: no such file */
	int64_t value;
	int code;
	const char *text;
} bad_sets[] = {
	{ "no driver has registered", ORDER, "-1\n", 9, -ENODEV, "reads -1" },
	{ "no such knob", "sys/module/page_reporting/parameters/none", NULL, 9, -ENOENT, "none" },
	{ "no number", ORDER, "always [madvise] never\n", 9, -EINVAL, ORDER },
	{ "empty", ORDER, "", 9, -EINVAL, ORDER },
	{ "negative value", ORDER, "9\n", -1, -EINVAL, "-1: must not be negative" },
	{ "absolute path", "/" ORDER, NULL, 9, -EINVAL, "no plain path" },
	{ "path with ..", "sys/../sys/module/page_reporting/parameters/page_reporting_order", NULL,
	  9, -EINVAL, "no plain path" },
	{ "path elsewhere", "etc/passwd", NULL, 9, -EINVAL, "no plain path" },
	{ "path with a blank", "sys/a b", NULL, 9, -EINVAL, "no plain path" },
	{ "a directory", "sys/module", NULL, 9, -EISDIR, "sys/module" },
};

static void test_bad_sets(void **state)
{
	struct knobs *knobs = open_knobs();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad_sets) / sizeof(bad_sets[0]); i++) {
		const struct bad_set *bad = &bad_sets[i];
		struct errmsg err = { "" };
		int code;

		boot();
		if (bad->content)
			knob_put_text(bad->path, bad->content);
		code = knobs_set(knobs, bad->path, bad->value, &err);
		if (code != bad->code)
			fail_msg("%s: %d (%s) instead of %d", bad->name, code, err.text, bad->code);
		assert_contains(err.text, bad->text);
		assert_int_equal(knob_writes, 0);
		assert_no_journal();
		assert_false(knobs_lost(knobs, bad->path));
	}
	knobs_close(knobs);
}

static void test_refused_write(void **state)
{
	struct knobs *knobs = open_knobs();
	struct errmsg err;
	int64_t original;

	(void)state;
	kernel.max = 10; /* 6.2+: param_set_uint_minmax(0, MAX_PAGE_ORDER) */
	assert_int_equal(knobs_set(knobs, ORDER, 11, &err), -EINVAL);
	assert_contains(err.text, ORDER);
	assert_boot_values();
	assert_no_journal();
	assert_int_equal(knobs_original(knobs, ORDER, &original), -ENOENT);

	/* The same on a knob that sluice holds: its last value counts on. */
	assert_int_equal(set(knobs, ORDER, 10), 0);
	assert_int_equal(set(knobs, ORDER, 11), -EINVAL);
	assert_int_equal(knob_get(ORDER), 10);
	assert_int_equal(knobs_check(knobs, NULL), 0);
	read_text(journal, journal_seen, sizeof(journal_seen));
	assert_string_equal(journal_seen, "sluice-journal 1\n" ORDER " 9 10 10\nend\n");
	kernel.refuses = EIO;
	assert_int_equal(set(knobs, ORDER, 7), -EIO);
	kernel.refuses = 0;
	assert_int_equal(knobs_restore(knobs, NULL, NULL), 0);
	assert_boot_values();
	assert_no_journal();
	knobs_close(knobs);
}

static void test_altered_write(void **state)
{
	struct knobs *knobs = open_knobs();
	struct errmsg err;
	int64_t original;

	(void)state;
	kernel.max = 10;
	kernel.alters = true;
	assert_int_equal(knobs_set(knobs, ORDER, 11, &err), -EILSEQ);
	assert_contains(err.text, "took 11 but reads back 10");
	assert_contains(err.text, "put 9 back");
	assert_boot_values();
	assert_no_journal();

	/* The original value, not the last one. */
	assert_int_equal(set(knobs, ORDER, 7), 0);
	assert_int_equal(set(knobs, ORDER, 11), -EILSEQ);
	assert_boot_values();
	assert_no_journal();
	assert_int_equal(knobs_original(knobs, ORDER, &original), -ENOENT);
	assert_int_equal(set(knobs, ORDER, 8), 0);
	assert_int_equal(knobs_restore(knobs, NULL, NULL), 0);
	assert_boot_values();
	knobs_close(knobs);
}

/* The kernel alters the value and refuses the old one: it stays in the journal. */
static void test_altered_write_stays(void **state)
{
	struct knobs *knobs = open_knobs();
	struct errmsg err;

	(void)state;
	kernel.max = 10;
	kernel.alters = true;
	kernel.refused = 9;
	assert_int_equal(knobs_set(knobs, ORDER, 11, &err), -EILSEQ);
	assert_contains(err.text, "putting 9 back failed");
	assert_int_equal(knob_get(ORDER), 10);
	assert_int_equal(knobs_check(knobs, NULL), 0);
	assert_int_equal(knobs_restore(knobs, NULL, NULL), -EINVAL);
	assert_true(exists(journal));
	knobs_close(knobs);
	kernel.refused = -1;
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, NULL), 1);
	assert_boot_values();
	assert_no_journal();
}

/* ---- the administrator ---- */

static void test_administrator_seen_by_set(void **state)
{
	struct knobs *knobs = open_knobs();
	struct errmsg err;
	char report[256];
	int64_t original;
	int i;

	(void)state;
	assert_int_equal(set(knobs, ORDER, 11), 0);
	knob_put(ORDER, 4);
	for (i = 0; i < 3; i++) {
		memset(&err, 0, sizeof(err));
		assert_int_equal(knobs_set(knobs, ORDER, 10, &err), -EBUSY);
		assert_contains(err.text,
				ORDER ": someone else wrote 4 where sluice had written 11");
		assert_true(knobs_lost(knobs, ORDER));
		assert_no_journal();
		/* Not even if the knob comes to hold one of sluice's values again. */
		knob_put(ORDER, i ? 11 : 9);
	}
	assert_int_equal(knobs_check(knobs, NULL), 0);
	assert_int_equal(knobs_original(knobs, ORDER, &original), -ENOENT);
	assert_int_equal(knob_writes, 1);
	assert_int_equal(restore(knobs, report, sizeof(report)), 0);
	assert_string_equal(report, "page_reporting_order: left alone, someone else wrote 4 "
				    "(sluice: 11)\n");
	assert_int_equal(knob_get(ORDER), 11);
	assert_false(knobs_lost(knobs, DELAY));
	knobs_close(knobs);
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, NULL), 0);
	assert_int_equal(knob_get(ORDER), 11);
}

static void test_administrator_seen_by_check(void **state)
{
	struct knobs *knobs = open_knobs();
	struct errmsg err = { "" };

	(void)state;
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_int_equal(set(knobs, DELAY, 500), 0);
	knob_put(ORDER, 4);
	knob_put(DELAY, 77);
	/* Each event once. */
	assert_int_equal(knobs_check(knobs, &err), -EBUSY);
	assert_contains(err.text, ORDER ": someone else wrote 4 where sluice had written 11");
	assert_int_equal(knobs_check(knobs, &err), -EBUSY);
	assert_contains(err.text, DELAY ": someone else wrote 77 where sluice had written 500");
	assert_int_equal(knobs_check(knobs, &err), 0);
	assert_no_journal();
	assert_int_equal(set(knobs, ORDER, 10), -EBUSY);
	assert_int_equal(set(knobs, DELAY, 10), -EBUSY);
	assert_int_equal(knobs_restore(knobs, NULL, NULL), 0);
	assert_int_equal(knob_get(ORDER), 4);
	assert_int_equal(knob_get(DELAY), 77);
	knobs_close(knobs);
}

/* The value before the last is someone else's, too, once the last write is done. */
static void test_administrator_writes_an_older_value(void **state)
{
	struct knobs *knobs = open_knobs();

	(void)state;
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_int_equal(set(knobs, ORDER, 10), 0);
	knob_put(ORDER, 11);
	knobs_close(knobs);
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, NULL), 0);
	assert_int_equal(knob_get(ORDER), 11);
	assert_no_journal();
}

/* One knob goes back, the others stay held, and it may be taken up again. */
static void test_release(void **state)
{
	struct knobs *knobs = open_knobs();
	struct errmsg err = { "" };
	int64_t original;

	(void)state;
	assert_int_equal(knobs_release(knobs, ORDER, NULL, &err), 0); /* is not held */
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_int_equal(set(knobs, DELAY, 500), 0);
	assert_int_equal(knobs_release(knobs, DELAY, NULL, &err), 0);
	assert_int_equal(knob_get(DELAY), DELAY_AT_BOOT);
	assert_int_equal(knob_get(ORDER), 11);
	assert_int_equal(knobs_original(knobs, DELAY, &original), -ENOENT);
	assert_false(knobs_lost(knobs, DELAY));
	read_text(journal, journal_seen, sizeof(journal_seen));
	assert_string_equal(journal_seen, "sluice-journal 1\n" ORDER " 9 11 11\nend\n");

	/* what can't be given back now stays in the journal, and can be later */
	assert_int_equal(set(knobs, DELAY, 600), 0);
	kernel.refuses = EIO;
	assert_int_equal(knobs_release(knobs, DELAY, NULL, &err), -EIO);
	assert_contains(err.text, "cannot write");
	assert_int_equal(knobs_original(knobs, DELAY, &original), 0);
	kernel.refuses = 0;
	assert_int_equal(knobs_release(knobs, DELAY, NULL, &err), 0);
	assert_int_equal(knob_get(DELAY), DELAY_AT_BOOT);

	/* what someone else wrote is theirs */
	knob_put(ORDER, 4);
	assert_int_equal(knobs_release(knobs, ORDER, NULL, &err), 0);
	assert_int_equal(knob_get(ORDER), 4);
	assert_no_journal();
	knobs_close(knobs);
}

static void test_administrator_seen_by_restore(void **state)
{
	static const char expected[] =
		"page_reporting_delay_ms: restored 2000 (was 500)\n"
		"page_reporting_order: left at 4, which someone else wrote (sluice: 11, "
		"before: 9)\n";
	struct knobs *knobs;
	char report[256];
	int leftover;

	(void)state;
	for (leftover = 0; leftover < 2; leftover++) {
		boot();
		knobs = open_knobs();
		assert_int_equal(set(knobs, ORDER, 11), 0);
		assert_int_equal(set(knobs, DELAY, 500), 0);
		knob_put(ORDER, 4);
		if (!leftover)
			assert_int_equal(restore(knobs, report, sizeof(report)), 0);
		knobs_close(knobs);
		if (leftover)
			assert_int_equal(restore_leftover(report, sizeof(report), NULL), 1);
		assert_string_equal(report, expected);
		assert_int_equal(knob_get(ORDER), 4);
		assert_int_equal(knob_get(DELAY), DELAY_AT_BOOT);
		assert_no_journal();
	}
}

/* ---- restoring ---- */

static void test_restore_finds_original_and_gone(void **state)
{
	struct knobs *knobs = open_knobs();
	char report[256];

	(void)state;
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_int_equal(set(knobs, DELAY, 500), 0);
	knob_put(ORDER, 9);
	knob_remove(DELAY);
	/* Neither is an event for the check: one is gone, the other was let go of. */
	assert_int_equal(knobs_check(knobs, NULL), -EBUSY);
	assert_int_equal(knobs_check(knobs, NULL), 0);
	assert_int_equal(set(knobs, DELAY, 600), -ENOENT);
	knobs_close(knobs);
	assert_int_equal(restore_leftover(report, sizeof(report), NULL), 0);
	assert_string_equal(report, "page_reporting_delay_ms: gone, nothing to restore\n");
	assert_no_journal();

	boot();
	knobs = open_knobs();
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_int_equal(set(knobs, DELAY, 500), 0);
	knob_put(ORDER, 9);
	knob_remove(DELAY);
	assert_int_equal(restore(knobs, report, sizeof(report)), 0);
	assert_string_equal(report, "page_reporting_delay_ms: gone, nothing to restore\n"
				    "page_reporting_order: holds 9 already\n");
	assert_no_journal();
	knobs_close(knobs);
}

/* One that fails does not block the others, and stays in the journal. */
static void test_restore_fails_for_one(void **state)
{
	struct knobs *knobs = open_knobs();
	struct errmsg err;
	char report[512];

	(void)state;
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_int_equal(set(knobs, DELAY, 500), 0);
	kernel.refused = DELAY_AT_BOOT;
	assert_int_equal(restore(knobs, report, sizeof(report)), -EINVAL);
	assert_contains(report, "page_reporting_delay_ms: NOT restored to 2000: ");
	assert_contains(report, "page_reporting_order: restored 9 (was 11)\n");
	read_text(journal, journal_seen, sizeof(journal_seen));
	assert_string_equal(journal_seen, "sluice-journal 1\n" DELAY " 2000 500 500\nend\n");
	assert_int_equal(knob_get(ORDER), ORDER_AT_BOOT);
	knobs_close(knobs);
	assert_int_equal(restore_leftover(report, sizeof(report), &err), -EINVAL);
	assert_contains(err.text, DELAY);
	knob_put_text(DELAY, "rubbish\n");
	assert_int_equal(restore_leftover(report, sizeof(report), &err), -EINVAL);
	knob_put(DELAY, 500);
	kernel.refused = -1;
	assert_int_equal(restore_leftover(report, sizeof(report), &err), 1);
	assert_boot_values();
	assert_no_journal();
}

/* Both fail: the first error is returned, and both can be restored later. */
static void test_restore_fails_for_all(void **state)
{
	struct knobs *knobs = open_knobs();
	struct errmsg err;

	(void)state;
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_int_equal(set(knobs, DELAY, 500), 0);
	kernel.refuses = EIO;
	assert_int_equal(knobs_restore(knobs, NULL, &err), -EIO);
	assert_contains(err.text, DELAY);
	kernel.refuses = 0;
	assert_int_equal(knobs_restore(knobs, NULL, &err), 0);
	assert_boot_values();
	assert_no_journal();
	knobs_close(knobs);
}

/* The kernel makes something else of the original value: that is tried again. */
static void test_restore_is_altered(void **state)
{
	struct knobs *knobs;
	struct errmsg err;
	int leftover;

	(void)state;
	for (leftover = 0; leftover < 2; leftover++) {
		boot();
		knob_put(ORDER, 11);
		knobs = open_knobs();
		assert_int_equal(set(knobs, ORDER, 7), 0);
		kernel.max = 10;
		kernel.alters = true;
		assert_int_equal(knobs_restore(knobs, NULL, &err), -EILSEQ);
		assert_contains(err.text, "took 11 but reads back 10");
		assert_int_equal(knob_get(ORDER), 10);
		kernel.max = 11;
		if (!leftover)
			assert_int_equal(knobs_restore(knobs, NULL, &err), 0);
		knobs_close(knobs);
		if (leftover)
			assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, &err), 1);
		assert_int_equal(knob_get(ORDER), 11);
		assert_no_journal();
	}
}

/* A lost knob leaves the journal late if the disk is full, but it does. */
static void test_lost_on_a_full_disk(void **state)
{
	struct knobs *knobs = open_knobs();

	(void)state;
	assert_int_equal(set(knobs, ORDER, 11), 0);
	knob_put(ORDER, 4);
	steps = 0;
	fail_at = 2; /* after the read */
	fail_on = true;
	assert_int_equal(knobs_check(knobs, NULL), -EBUSY);
	fail_at = 0;
	assert_true(exists(journal));
	assert_int_equal(knobs_check(knobs, NULL), 0);
	assert_no_journal();
	knobs_close(knobs);
}

static void test_open_and_leftover(void **state)
{
	struct knobs *knobs = open_knobs();
	struct knobs *second = NULL;
	struct errmsg err;

	(void)state;
	/* One at a time. */
	assert_int_equal(knobs_open(root, state_dir, &second, &err), -EBUSY);
	assert_contains(err.text, "another sluice process");
	assert_null(second);
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, &err), -EBUSY);
	assert_int_equal(set(knobs, ORDER, 11), 0);
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, &err), -EBUSY);
	assert_int_equal(knob_get(ORDER), 11);
	knobs_close(knobs);

	/* A journal is left over, then a temporary file as well. */
	assert_int_equal(knobs_open(root, state_dir, &second, &err), -EEXIST);
	assert_contains(err.text, journal);
	assert_contains(err.text, "sluice restore");
	put_text(temporary, "sluice-jour");
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, &err), 1);
	assert_boot_values();
	assert_no_journal();
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, &err), 0);

	put_text(temporary, "sluice-jour");
	knobs = open_knobs();
	assert_no_journal();
	knobs_close(knobs);

	/* No state directory: nothing to restore, but nothing to work with either. */
	assert_int_equal(knobs_restore_leftover(root, "/nonexistent/sluice", NULL, &err), 0);
	assert_int_equal(knobs_open(root, "/nonexistent/sluice", &second, &err), -ENOENT);
	assert_contains(err.text, "/nonexistent/sluice");
	assert_null(second);
}

/* ---- journals that are not to be trusted or understood ---- */

#define V1	"sluice-journal 1\n"
#define GOOD	ORDER " 9 11 11\n"
#define TEXT(s) s, sizeof(s) - 1

static const struct garbage {
	const char *name;
	const char *text;
	size_t len;
	const char *message;
} garbage[] = {
	{ "empty", TEXT(""), "line 1: " },
	{ "newline", TEXT("\n"), "line 1: " },
	{ "NUL", TEXT("\0"), "line 1: " },
	{ "other version", TEXT("sluice-journal 2\n" GOOD "end\n"), "line 1: " },
	{ "version alone", TEXT(V1), "line 2: " },
	{ "no knob", TEXT(V1 "end\n"), "line 2: " },
	{ "no end", TEXT(V1 GOOD), "line 3: " },
	{ "end without newline", TEXT(V1 GOOD "end"), "line 3: " },
	{ "text after the end", TEXT(V1 GOOD "end\n\n"), "line 4: text after the end" },
	{ "NUL after the end", TEXT(V1 GOOD "end\n\0"), "line 4: " },
	{ "blank line", TEXT(V1 "\n" GOOD "end\n"), "line 2: " },
	{ "NUL in the version", TEXT("sluice-journal 1\0\n" GOOD "end\n"), "line 1: " },
	{ "NUL in the path", TEXT(V1 "sys/a\0b 9 11 11\nend\n"), "line 2: holds a NUL" },
	{ "NUL in a number", TEXT(V1 ORDER " 9 11 1\0001\nend\n"), "line 2: holds a NUL" },
	{ "absolute path", TEXT(V1 "/" ORDER " 9 11 11\nend\n"), "line 2: path \"/sys" },
	{ "path elsewhere", TEXT(V1 "etc/secret 9 11 11\nend\n"), "line 2: path" },
	{ "path in /proc", TEXT(V1 "proc/sysrq-trigger 9 11 11\nend\n"), "line 2: path" },
	{ "path with ..", TEXT(V1 "sys/../secret 9 11 11\nend\n"), "line 2: path" },
	{ "path ends in ..", TEXT(V1 "sys/module/.. 9 11 11\nend\n"), "line 2: path" },
	{ "path with .", TEXT(V1 "sys/./a 9 11 11\nend\n"), "line 2: path" },
	{ "path with //", TEXT(V1 "sys//a 9 11 11\nend\n"), "line 2: path" },
	{ "path ends in /", TEXT(V1 "sys/a/ 9 11 11\nend\n"), "line 2: path" },
	{ "path is sys/", TEXT(V1 "sys/ 9 11 11\nend\n"), "line 2: path" },
	{ "path with a tab", TEXT(V1 "sys/a\tb 9 11 11\nend\n"), "line 2: path \"sys/a\\tb\"" },
	{ "path with a DEL", TEXT(V1 "sys/a\177 9 11 11\nend\n"), "line 2: path" },
	{ "path in UTF-8", TEXT(V1 "sys/\303\244 9 11 11\nend\n"), "line 2: path" },
	{ "path with an escape", TEXT(V1 "sys/\033[2J 9 11 11\nend\n"), "line 2: path" },
	{ "no path", TEXT(V1 " 9 11 11\nend\n"), "line 2: path" },
	{ "path twice", TEXT(V1 GOOD GOOD "end\n"), "line 3: path" },
	{ "no value", TEXT(V1 ORDER "\nend\n"), "line 2: the original value is missing" },
	{ "two values", TEXT(V1 ORDER " 9 11\nend\n"), "line 2: the writing value is missing" },
	{ "four values", TEXT(V1 ORDER " 9 11 11 11\nend\n"), "line 2: text after" },
	{ "blank at the end", TEXT(V1 ORDER " 9 11 11 \nend\n"), "line 2: text after" },
	{ "two blanks", TEXT(V1 ORDER "  9 11 11\nend\n"), "line 2: original value \"\"" },
	{ "carriage return", TEXT(V1 ORDER " 9 11 11\r\nend\n"), "line 2: writing value" },
	{ "no number", TEXT(V1 ORDER " nine 11 11\nend\n"), "line 2: original value \"nine\"" },
	{ "trailing text", TEXT(V1 ORDER " 9 11x 11\nend\n"), "line 2: written value \"11x\"" },
	{ "negative", TEXT(V1 ORDER " -1 11 11\nend\n"), "line 2: original value \"-1\"" },
	{ "2^63", TEXT(V1 ORDER " 9 11 9223372036854775808\nend\n"), "line 2: writing value" },
	{ "huge", TEXT(V1 ORDER " 9 99999999999999999999999999 11\nend\n"), "line 2: written" },
};

/* Nothing was written, and the journal is as it was. */
static void assert_left_alone(const char *name, const char *text, size_t len)
{
	char now[8192];
	int fd = open(journal, O_RDONLY);
	ssize_t n = read(fd, now, sizeof(now));

	close(fd);
	if (n != (ssize_t)len || memcmp(now, text, len))
		fail_msg("%s: the journal was changed", name);
	assert_int_equal(knob_writes, 0);
	assert_int_equal(knob_get(ORDER), 11);
	assert_int_equal(knob_get("secret"), 11);
	assert_int_equal(knob_get("etc/secret"), 11);
}

static void assert_bad_journal(const char *name, const char *text, size_t len, const char *message)
{
	struct knobs *knobs = NULL;
	struct errmsg err = { "" };
	int code;

	boot();
	knob_put(ORDER, 11);
	knob_put("secret", 11);
	knob_put("etc/secret", 11);
	put(journal, text, len);
	code = knobs_restore_leftover(root, state_dir, NULL, &err);
	if (code != -EBADMSG)
		fail_msg("%s: %d (%s) instead of -EBADMSG", name, code, err.text);
	if (!strstr(err.text, message) || strncmp(err.text, journal, strlen(journal)))
		fail_msg("%s: \"%s\" instead of \"%s: %s\"", name, err.text, journal, message);
	assert_left_alone(name, text, len);
	assert_int_equal(knobs_open(root, state_dir, &knobs, NULL), -EEXIST);
	assert_left_alone(name, text, len);
}

static void test_garbage(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
		assert_bad_journal(garbage[i].name, garbage[i].text, garbage[i].len,
				   garbage[i].message);
}

static void test_overlong(void **state)
{
	static char text[8192];
	size_t len;
	int i;

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_bad_journal("no newline at all", text, sizeof(text), "line 1: is too long");
	memcpy(text, V1 "sys/", strlen(V1 "sys/"));
	assert_bad_journal("a long path", text, sizeof(text), "line 2: is too long");
	snprintf(text, sizeof(text), V1 "sys/%0*d 1 2 3\nend\n", KNOB_PATH_MAX - 4, 0);
	assert_bad_journal("a path one byte too long", text, strlen(text), "line 2: path");

	/* A byte more than the longest journal there can be. */
	len = (size_t)snprintf(text, sizeof(text), V1);
	for (i = 0; i < KNOBS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"sys/%0*d %" PRId64 " %" PRId64 " %" PRId64 "\n",
					KNOB_PATH_MAX - 5, i, INT64_MAX, INT64_MAX, INT64_MAX);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "end\n");
	assert_bad_journal("the longest journal and a NUL", text, len + 1, "line 19: ");
	put(journal, text, len);
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, NULL), 0);
	assert_no_journal();

	memset(text, '\0', sizeof(text));
	assert_bad_journal("nothing but NULs", text, sizeof(text), "line 1: is too long");
	memset(text, '\n', sizeof(text));
	assert_bad_journal("nothing but newlines", text, sizeof(text), "line 1: must be");

	/* One knob too many. */
	len = (size_t)snprintf(text, sizeof(text), V1);
	for (i = 0; i <= KNOBS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "sys/%d 9 11 11\n", i);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "end\n");
	assert_bad_journal("too many knobs", text, len, "line 18: more than 16 knobs");
}

static const char two_knobs[] = V1 GOOD DELAY " 2000 500 500\nend\n";

static void test_truncated_at_every_byte(void **state)
{
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(two_knobs) - 1; len++)
		assert_bad_journal("truncated", two_knobs, len, "line ");
	/* The whole one is fine. */
	boot();
	knob_put(ORDER, 11);
	knob_put(DELAY, 500);
	put_text(journal, two_knobs);
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, NULL), 2);
	assert_boot_values();
	assert_no_journal();
}

/* Whatever one byte turns into: understood or refused, and nothing else is written. */
static void test_every_byte_changed(void **state)
{
	static const char replacements[] = {
		'\0', '\n', ' ', '/', '.', '-', '0', '9', 'e', '\xff'
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(two_knobs) - 1; i++) {
		for (j = 0; j < sizeof(replacements); j++) {
			char text[sizeof(two_knobs)];
			int code;

			memcpy(text, two_knobs, sizeof(text));
			text[i] = replacements[j];
			boot();
			knob_put(ORDER, 11);
			knob_put("secret", 11);
			put(journal, text, sizeof(text) - 1);
			code = knobs_restore_leftover(root, state_dir, NULL, NULL);
			assert_true(code == -EBADMSG || code >= 0);
			assert_int_equal(exists(journal), code < 0);
			assert_int_equal(knob_get("secret"), 11);
		}
	}
}

enum distrust { OWNER, GROUP_WRITES, OTHERS_WRITE, LINK, DIRECTORY, FIFO, NR_DISTRUSTS };

static const char *const distrust_texts[] = {
	[OWNER] = "belongs to user 65534", [GROUP_WRITES] = "mode 0620",
	[OTHERS_WRITE] = "mode 0602",	   [LINK] = "symbolic link",
	[DIRECTORY] = "regular file",	   [FIFO] = "regular file",
};

/* Returns 0 or -1, as system calls do. */
static int make_distrusted(enum distrust distrust)
{
	char elsewhere[128];

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", base);
	put_text(elsewhere, two_knobs);
	switch (distrust) {
	case LINK:
		return symlink(elsewhere, journal);
	case DIRECTORY:
		return mkdir(journal, 0700);
	case FIFO:
		return mkfifo(journal, 0600);
	default:
		break;
	}
	put_text(journal, two_knobs);
	switch (distrust) {
	case GROUP_WRITES:
		return chmod(journal, 0620);
	case OTHERS_WRITE:
		return chmod(journal, 0602);
	default:
		return chown(journal, 65534, (gid_t)-1);
	}
}

static void test_distrust(void **state)
{
	enum distrust distrust;

	(void)state;
	for (distrust = 0; distrust < NR_DISTRUSTS; distrust++) {
		struct knobs *knobs = NULL;
		struct errmsg err = { "" };

		boot();
		knob_put(ORDER, 11);
		knob_put(DELAY, 500);
		if (distrust == OWNER && geteuid() != 0) {
			print_message("SKIPPED: a journal of another user (needs root)\n");
			continue;
		}
		assert_int_equal(make_distrusted(distrust), 0);
		assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, &err), -EPERM);
		assert_contains(err.text, "not trusted");
		assert_contains(err.text, distrust_texts[distrust]);
		assert_int_equal(knob_writes, 0);
		assert_int_equal(knob_get(ORDER), 11);
		assert_true(exists(journal));
		assert_int_equal(knobs_open(root, state_dir, &knobs, NULL), -EEXIST);
	}
}

/* ---- dying, and failing, at every step ---- */

/*
 * What sluice does in its life, and what an administrator ("admin-") does
 * meanwhile. The code that a call returns, if not 0, stands after a colon.
 */
static const struct script {
	const char *name;
	const char *text;
	int64_t kernel_max; /* 0: none */
	bool alters;
} scripts[] = {
	{ "one write", "order=11", 0, false },
	{ "several writes", "order=11 order=10 order=9 order=9 order=11", 0, false },
	{ "two knobs", "delay=60000 order=10 check delay=100 restore order=7 restore", 0, false },
	{ "refused writes", "order=11:EINVAL order=10 order=11:EINVAL order=7", 10, false },
	{ "an administrator",
	  "order=11 delay=100 admin-order=5 check:EBUSY order=10:EBUSY delay=200 admin-delay=6 "
	  "delay=300:EBUSY restore",
	  0, false },
	{ "an administrator, seen late", "order=11 delay=100 admin-order=5 restore", 0, false },
	{ "altered writes", "delay=3 order=11:EILSEQ order=7 order=12:EILSEQ order=8", 10, true },
};

#define NR_SCRIPTS (sizeof(scripts) / sizeof(scripts[0]))

/* The values that the administrator wrote, or -1. Shared with the child. */
struct bystander {
	int64_t order;
	int64_t delay;
};

static struct bystander *administrator;

static void administrator_writes(const char *knob, int64_t value)
{
	*(strcmp(knob, ORDER) ? &administrator->delay : &administrator->order) = value;
	knob_put(knob, value);
}

/* Does what one word of a script says; returns whether the result was another. */
static bool goes_wrong(struct knobs *knobs, const char *word)
{
	const char *knob = strstr(word, "order") ? ORDER : DELAY;
	const char *equals = strchr(word, '=');
	const char *colon = strchr(word, ':');
	int64_t value = equals ? strtoll(equals + 1, NULL, 10) : 0;
	int expected = 0;
	int code = 0;

	if (colon)
		expected = !strcmp(colon, ":EBUSY")  ? -EBUSY :
			   !strcmp(colon, ":EINVAL") ? -EINVAL :
						       -EILSEQ;
	if (!strncmp(word, "admin-", 6))
		administrator_writes(knob, value);
	else if (!strncmp(word, "check", 5))
		code = knobs_check(knobs, NULL);
	else if (!strcmp(word, "restore"))
		code = knobs_restore(knobs, NULL, NULL);
	else
		code = knobs_set(knobs, knob, value, NULL);
	return code != expected;
}

/* Returns the number of wrong results. */
static int play(const struct script *script, struct knobs *knobs)
{
	char text[256];
	char *rest = NULL;
	char *word;
	int wrong = 0;

	snprintf(text, sizeof(text), "%s", script->text);
	for (word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		wrong += goes_wrong(knobs, word);
	return wrong;
}

static void begin(const struct script *script)
{
	boot();
	administrator->order = administrator->delay = -1;
	if (script->kernel_max)
		kernel.max = script->kernel_max;
	kernel.alters = script->alters;
}

static int run_script(const struct script *script)
{
	struct knobs *knobs;

	if (knobs_open(root, state_dir, &knobs, NULL) < 0)
		return 100;
	return play(script, knobs);
}

static int run_leftover(const struct script *script)
{
	(void)script;
	return knobs_restore_leftover(root, state_dir, NULL, NULL) < 0;
}

/* Runs @run in a child that dies at step @k; returns whether there was such a step. */
static bool dies_at(unsigned int k, int (*run)(const struct script *), const struct script *script)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		steps = 0;
		kill_at = k;
		_exit(run(script));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return true;
	}
	if (WEXITSTATUS(status))
		fail_msg("%s: %d wrong results", script->name, WEXITSTATUS(status));
	return false;
}

static void assert_undone(const struct script *script, unsigned int k)
{
	int64_t order = administrator->order < 0 ? ORDER_AT_BOOT : administrator->order;
	int64_t delay = administrator->delay < 0 ? DELAY_AT_BOOT : administrator->delay;

	if (knob_get(ORDER) != order || knob_get(DELAY) != delay)
		fail_msg("%s, killed at step %u: order %" PRId64 ", delay %" PRId64, script->name,
			 k, knob_get(ORDER), knob_get(DELAY));
	if (exists(journal) || exists(temporary))
		fail_msg("%s, killed at step %u: files are left", script->name, k);
}

static void leftover_is_restored(const struct script *script, unsigned int k)
{
	struct knobs *knobs;
	struct errmsg err = { "" };

	calm();
	if (knobs_restore_leftover(root, state_dir, NULL, &err) < 0)
		fail_msg("%s, killed at step %u: %s", script->name, k, err.text);
	assert_int_equal(knobs_restore_leftover(root, state_dir, NULL, NULL), 0);
	knobs = open_knobs();
	knobs_close(knobs);
}

static unsigned int nr_kills;

static void test_killed_at_every_step(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NR_SCRIPTS; i++) {
		const struct script *script = &scripts[i];
		unsigned int window = 0;
		bool killed = true;
		unsigned int k;

		for (k = 1; killed; k++, nr_kills++) {
			begin(script);
			killed = dies_at(k, run_script, script);
			leftover_is_restored(script, k);
			/*
			 * What the kernel made of a value is not in the journal until
			 * it is seen: it can't be told from someone else's value if
			 * the process dies between the write and its undoing.
			 */
			if (script->alters && knob_get(ORDER) == script->kernel_max) {
				window++;
				knob_put(ORDER, ORDER_AT_BOOT);
			}
			assert_undone(script, k);
		}
		assert_true(k > 10); /* the calls were wrapped indeed */
		assert_in_range(window, 0, script->alters ? 2 * 3 : 0);
	}
}

/* Between the death and the restore, an administrator writes one of the knobs. */
static void test_killed_then_administrator(void **state)
{
	static const char *const knobs[] = { ORDER, DELAY };
	size_t i, j;

	(void)state;
	for (i = 0; i < NR_SCRIPTS; i++) {
		for (j = 0; j < 2; j++) {
			const struct script *script = &scripts[i];
			bool killed = true;
			unsigned int k;

			for (k = 1; killed; k++, nr_kills++) {
				begin(script);
				killed = dies_at(k, run_script, script);
				administrator_writes(knobs[j], 42);
				leftover_is_restored(script, k);
				if (script->alters && knob_get(ORDER) == script->kernel_max)
					knob_put(ORDER, ORDER_AT_BOOT);
				assert_undone(script, k);
			}
		}
	}
}

/* Killed at every step, then each restore is killed, one step later each time. */
static void test_restore_killed_at_every_step(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NR_SCRIPTS; i++) {
		const struct script *script = &scripts[i];
		bool killed = true;
		unsigned int k, j;

		if (script->alters)
			continue;
		for (k = 1; killed; k++) {
			begin(script);
			killed = dies_at(k, run_script, script);
			calm();
			for (j = 1; dies_at(j, run_leftover, script); j++)
				nr_kills++;
			assert_undone(script, k);
		}
	}
}

/* From the same leftover, a single restore is killed at each step. */
static void test_restore_killed_once(void **state)
{
	unsigned int j;
	bool killed = true;

	(void)state;
	for (j = 1; killed; j++, nr_kills++) {
		begin(&scripts[0]);
		knob_put(ORDER, 11);
		knob_put(DELAY, 500);
		put_text(journal, two_knobs);
		killed = dies_at(j, run_leftover, &scripts[0]);
		leftover_is_restored(&scripts[0], j);
		assert_undone(&scripts[0], j);
	}
	print_message("%u kills\n", nr_kills);
}

/*
 * Each step fails once, or all do from some step on (a full disk). What fails is
 * reported, no knob ever holds a value that the journal does not cover, and a
 * restore after the trouble brings everything back.
 */
static bool fail_and_restore(const struct script *script, unsigned int k, bool on, bool leftover)
{
	struct knobs *knobs;
	bool failed;
	int code;

	begin(script);
	knobs = open_knobs();
	steps = 0;
	fail_at = k;
	fail_on = on;
	fail_errno = ENOSPC;
	play(script, knobs);
	failed = steps >= k;
	fail_at = 0;
	code = leftover ? 0 : knobs_restore(knobs, NULL, NULL);
	if (code < 0)
		fail_msg("%s, failed at step %u: restore returns %d", script->name, k, code);
	if (!leftover)
		assert_undone(script, k);
	knobs_close(knobs);
	leftover_is_restored(script, k);
	assert_undone(script, k);
	return failed;
}

static void test_failing_at_every_step(void **state)
{
	unsigned int k, way;
	size_t i;

	(void)state;
	for (i = 0; i < NR_SCRIPTS; i++) {
		const struct script *script = &scripts[i];

		if (script->alters)
			continue;
		for (way = 0; way < 4; way++)
			for (k = 1; fail_and_restore(script, k, way & 1, way & 2);)
				k++;
	}
}

/* A set that fails at whatever step leaves the value, or the journal knows. */
static void test_failed_set_is_covered(void **state)
{
	unsigned int k;
	int code = -1;

	(void)state;
	for (k = 1; code < 0; k++) {
		struct knobs *knobs;

		boot();
		knobs = open_knobs();
		steps = 0;
		fail_at = k;
		code = set(knobs, ORDER, 11);
		fail_at = 0;
		if (code < 0 && knob_get(ORDER) != ORDER_AT_BOOT) {
			read_text(journal, journal_seen, sizeof(journal_seen));
			assert_contains(journal_seen, ORDER " 9 9 11\n");
		} else if (code < 0) {
			assert_no_journal();
		}
		assert_int_equal(knobs_restore(knobs, NULL, NULL), 0);
		assert_boot_values();
		assert_no_journal();
		knobs_close(knobs);
	}
	assert_true(k > 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_set_and_restore),
		TEST(test_journal_comes_first),
		TEST(test_value_already_there),
		TEST(test_no_newline_in_the_knob),
		TEST(test_limit),
		TEST(test_longest_line),
		TEST(test_bad_sets),
		TEST(test_refused_write),
		TEST(test_altered_write),
		TEST(test_altered_write_stays),
		TEST(test_administrator_seen_by_set),
		TEST(test_administrator_seen_by_check),
		TEST(test_administrator_writes_an_older_value),
		TEST(test_release),
		TEST(test_administrator_seen_by_restore),
		TEST(test_restore_finds_original_and_gone),
		TEST(test_restore_fails_for_one),
		TEST(test_restore_fails_for_all),
		TEST(test_restore_is_altered),
		TEST(test_lost_on_a_full_disk),
		TEST(test_open_and_leftover),
		TEST(test_garbage),
		TEST(test_overlong),
		TEST(test_truncated_at_every_byte),
		TEST(test_every_byte_changed),
		TEST(test_distrust),
		TEST(test_killed_at_every_step),
		TEST(test_killed_then_administrator),
		TEST(test_restore_killed_at_every_step),
		TEST(test_restore_killed_once),
		TEST(test_failing_at_every_step),
		TEST(test_failed_set_is_covered),
	};

	administrator = mmap(NULL, sizeof(*administrator), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (administrator == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("knobs", tests, NULL, NULL);
}
