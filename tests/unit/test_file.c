// SPDX-License-Identifier: GPL-2.0-only
/* Small files, error texts and log lines, on a tree of our own in $TMPDIR. */
#define _GNU_SOURCE 1 /* %m */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sluice/errmsg.h"
#include "sluice/file.h"
#include "sluice/log.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

struct tree {
	char dir[64];
	int root;
};

static void put(const struct tree *tree, const char *name, const void *data, size_t len)
{
	int fd = openat(tree->root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void put_text(const struct tree *tree, const char *name, const char *text)
{
	put(tree, name, text, strlen(text));
}

static int set_up(void **state)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	assert_non_null(tree);
	strcpy(tree->dir, "/tmp/sluice-file-XXXXXX");
	assert_non_null(mkdtemp(tree->dir));
	tree->root = root_open(tree->dir, NULL);
	assert_true(tree->root >= 0);
	assert_int_equal(mkdirat(tree->root, "proc", 0700), 0);
	*state = tree;
	return 0;
}

static int tear_down(void **state)
{
	struct tree *tree = *state;

	unlinkat(tree->root, "proc/file", 0);
	unlinkat(tree->root, "proc", AT_REMOVEDIR);
	close(tree->root);
	rmdir(tree->dir);
	free(tree);
	return 0;
}

static void test_root(void **state)
{
	const struct tree *tree = *state;
	struct errmsg err = { "" };

	assert_int_equal(root_open("/nonexistent/dir", &err), -ENOENT);
	assert_string_equal(err.text,
			    "/nonexistent/dir: cannot open the root directory: No such file "
			    "or directory");
	put_text(tree, "proc/file", "x");
	assert_true(file_exists(tree->root, "proc/file"));
	assert_true(file_exists(tree->root, "proc"));
	assert_false(file_exists(tree->root, "proc/other"));
	assert_int_equal(fcntl(tree->root, F_GETFD), FD_CLOEXEC);
}

static void test_read(void **state)
{
	const struct tree *tree = *state;
	struct errmsg err = { "" };
	char buf[8];

	put_text(tree, "proc/file", "1234567");
	assert_int_equal(file_read(tree->root, "proc/file", buf, sizeof(buf), &err), 7);
	assert_string_equal(buf, "1234567");
	put_text(tree, "proc/file", "");
	assert_int_equal(file_read(tree->root, "proc/file", buf, 1, &err), 0);
	assert_string_equal(buf, "");
	put_text(tree, "proc/file", "12345678");
	assert_int_equal(file_read(tree->root, "proc/file", buf, sizeof(buf), &err), -EFBIG);
	assert_string_equal(err.text, "/proc/file: longer than 7 bytes, which is all that is read");
	put(tree, "proc/file", "a\0b", 3);
	assert_int_equal(file_read(tree->root, "proc/file", buf, sizeof(buf), &err), -EINVAL);
	assert_string_equal(err.text, "/proc/file: NUL byte at offset 1; text is expected");
	assert_int_equal(file_read(tree->root, "proc/none", buf, sizeof(buf), &err), -ENOENT);
	assert_string_equal(err.text,
			    "/proc/none: cannot open for reading: No such file or directory "
			    "(not in this kernel, or its file system is not mounted)");
	assert_int_equal(file_read(tree->root, "proc", buf, sizeof(buf), &err), -EISDIR);
	assert_string_equal(err.text, "/proc: cannot read: Is a directory");
	assert_int_equal(file_read(tree->root, "proc/none", buf, sizeof(buf), NULL), -ENOENT);
}

/* Around the sizes at which the buffer grows, and around the limit. */
static void test_read_alloc(void **state)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 99999, 100000 };
	const struct tree *tree = *state;
	static char data[100001];
	struct errmsg err = { "" };
	char *text = NULL;

	memset(data, 'x', sizeof(data));
	for (size_t i = 0; i < ROWS(sizes); i++) {
		put(tree, "proc/file", data, sizes[i]);
		assert_int_equal(file_read_alloc(tree->root, "proc/file", 100000, &text, &err),
				 sizes[i]);
		assert_int_equal(strlen(text), sizes[i]);
		free(text);
		assert_int_equal(file_read_alloc(tree->root, "proc/file", sizes[i], &text, &err),
				 sizes[i]);
		free(text);
		text = NULL;
		if (!sizes[i])
			continue;
		assert_int_equal(
			file_read_alloc(tree->root, "proc/file", sizes[i] - 1, &text, &err),
			-EFBIG);
		assert_null(text);
	}
	put(tree, "proc/file", data, sizeof(data));
	assert_int_equal(file_read_alloc(tree->root, "proc/file", 100000, &text, &err), -EFBIG);
	assert_string_equal(err.text,
			    "/proc/file: longer than 100000 bytes, which is all that is read");
	put(tree, "proc/file", "\0", 1);
	assert_int_equal(file_read_alloc(tree->root, "proc/file", 10, &text, &err), -EINVAL);
	assert_int_equal(file_read_alloc(tree->root, "proc", 10, &text, &err), -EISDIR);
	assert_int_equal(file_read_alloc(tree->root, "proc/none", 10, &text, &err), -ENOENT);
	assert_null(text);
}

static void test_read_proc(void **state)
{
	struct errmsg err = { "" };
	char *text = NULL;
	int root = root_open("/", &err);

	(void)state;
	/* st_size is 0 there. */
	assert_true(file_read_alloc(root, "proc/self/status", 65536, &text, &err) > 0);
	assert_non_null(strstr(text, "Pid:"));
	free(text);
	close(root);
}

static void test_fd_read_alloc(void **state)
{
	char *text = NULL;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "a\0b", 3), 3);
	close(fds[1]);
	assert_int_equal(fd_read_alloc(fds[0], 3, &text), 3);
	assert_memory_equal(text, "a\0b", 4);
	free(text);
	close(fds[0]);
	text = NULL;
	assert_int_equal(fd_read_alloc(fds[0], 3, &text), -EBADF);
	assert_null(text);
}

static void test_read_int(void **state)
{
	static const struct {
		const char *text;
		int code;
		int64_t value;
		const char *message;
	} rows[] = {
		{ "9\n", 0, 9, NULL },
		{ "-1\n", 0, -1, NULL },
		{ " \t 42 \n\n", 0, 42, NULL },
		{ "9223372036854775807", 0, INT64_MAX, NULL },
		{ "18446744073709551615\n", -ERANGE, 0,
		  "/proc/file: \"18446744073709551615\": out of" },
		{ "", -EINVAL, 0, "/proc/file: \"\": not a number; a decimal integer is expected" },
		{ "\n", -EINVAL, 0, "/proc/file: \"\": not a number" },
		{ "9 8\n", -EINVAL, 0, "/proc/file: \"9 8\": trailing \" 8\"" },
		{ "Y\n", -EINVAL, 0, "/proc/file: \"Y\": not a number" },
	};
	const struct tree *tree = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		struct errmsg err = { "" };
		int64_t value = 77;

		put_text(tree, "proc/file", rows[i].text);
		assert_int_equal(file_read_int(tree->root, "proc/file", &value, &err),
				 rows[i].code);
		assert_int_equal(value, rows[i].code ? 77 : rows[i].value);
		if (rows[i].message)
			assert_non_null(strstr(err.text, rows[i].message));
	}
}

static void test_write(void **state)
{
	const struct tree *tree = *state;
	struct errmsg err = { "" };
	char buf[16];
	int root;

	/* Neither created nor truncated. */
	assert_int_equal(file_write(tree->root, "proc/file", "9", &err), -ENOENT);
	assert_non_null(strstr(err.text, "/proc/file: cannot open for writing: No such file"));
	assert_false(file_exists(tree->root, "proc/file"));
	put_text(tree, "proc/file", "12345");
	assert_int_equal(file_write(tree->root, "proc/file", "9", &err), 0);
	assert_int_equal(file_read(tree->root, "proc/file", buf, sizeof(buf), &err), 5);
	assert_string_equal(buf, "92345");

	root = root_open("/", &err);
	assert_int_equal(file_write(root, "dev/full", "9\n", &err), -ENOSPC);
	assert_string_equal(err.text, "/dev/full: cannot write \"9\\n\": No space left on device");
	close(root);
}

static void write_beyond_limit(const struct tree *tree)
{
	const struct rlimit limit = { 2, 2 };
	struct errmsg err = { "" };

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit))
		_exit(1);
	_exit(file_write(tree->root, "proc/file", "12345", &err) != -EIO ||
	      !strstr(err.text, "/proc/file: cannot write \"12345\""));
}

static void leave_root(const struct tree *tree)
{
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGABRT, SIG_DFL);
	close(STDERR_FILENO); /* what assert() says is not wanted here */
	file_exists(tree->root, "/etc/passwd");
	_exit(0);
}

/* Status of a child that runs @body. */
static int child_status(void (*body)(const struct tree *tree), const struct tree *tree)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid)
		body(tree);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_short_write(void **state)
{
	const struct tree *tree = *state;

	put_text(tree, "proc/file", "");
	assert_int_equal(child_status(write_beyond_limit, tree), 0);
}

static void test_absolute_path(void **state)
{
	int status = child_status(leave_root, *state);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_errmsg(void **state)
{
	struct errmsg err = { "" };
	char expected[sizeof(err.text)];

	(void)state;
	errno = ENOTTY;
	assert_int_equal(errmsg_set(&err, -EINVAL, "%s: %d", "order", 12), -EINVAL);
	assert_string_equal(err.text, "order: 12");
	assert_int_equal(errmsg_prefix(&err, -EIO, "/sys/%s", "x"), -EIO);
	assert_string_equal(err.text, "/sys/x: order: 12");
	assert_int_equal(errmsg_set(&err, -EIO, "again %s", err.text), -EIO);
	assert_string_equal(err.text, "again /sys/x: order: 12");
	assert_int_equal(errmsg_set(NULL, -EINVAL, "x"), -EINVAL);
	assert_int_equal(errmsg_prefix(NULL, -EINVAL, "x"), -EINVAL);
	assert_int_equal(errno, ENOTTY);

	memset(expected, 'y', sizeof(expected) - 1);
	expected[sizeof(expected) - 1] = '\0';
	errmsg_set(&err, -1, "%s%s", expected, expected);
	assert_string_equal(err.text, expected);
	errmsg_prefix(&err, -1, "%s", expected);
	assert_string_equal(err.text, expected);
	for (size_t len = sizeof(expected) - 4; len < sizeof(expected); len++) {
		errmsg_set(&err, -1, "old");
		errmsg_prefix(&err, -1, "%.*s", (int)len, expected);
		assert_true(strlen(err.text) < sizeof(err.text));
		assert_memory_equal(err.text, expected, len);
	}
}

static void test_quote(void **state)
{
	char text[200], buf[QUOTED_TEXT];

	(void)state;
	assert_string_equal(text_quote("64MiB", buf), "\"64MiB\"");
	assert_string_equal(text_quote("", buf), "\"\"");
	assert_string_equal(text_quote("a\"b\\c\n\t\r", buf), "\"a\\\"b\\\\c\\n\\t\\r\"");
	assert_string_equal(text_quote("\x1b[2J\xc2\xb5\x7f", buf), "\"\\x1b[2J\\xc2\\xb5\\x7f\"");
	for (size_t len = 0; len < sizeof(text); len++) {
		memset(text, len % 2 ? 'a' : '\x01', len);
		text[len] = '\0';
		text_quote(text, buf);
		assert_true(strlen(buf) < QUOTED_TEXT);
		assert_int_equal(buf[0], '"');
		if (len > QUOTED_TEXT)
			assert_string_equal(buf + strlen(buf) - 4, "\"...");
	}
}

/* Whether the child's standard error is the journal's as $JOURNAL_STREAM has it. */
enum journal {
	JOURNAL_NONE,
	JOURNAL_OTHER, /* set, but for another stream */
	JOURNAL_THIS,
};

static void become_logger(int fd, enum journal journal)
{
	char stream[64] = "1:2";
	struct stat st;

	if (dup2(fd, STDERR_FILENO) < 0 || fstat(fd, &st) < 0)
		_exit(2);
	if (journal == JOURNAL_THIS)
		snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
			 (uintmax_t)st.st_ino);
	if (journal == JOURNAL_NONE)
		unsetenv("JOURNAL_STREAM");
	else
		setenv("JOURNAL_STREAM", stream, 1);
}

/* Packets that @body writes to a standard error of its own, each followed by "|". */
static void capture(void (*body)(void), enum journal journal, char *buf, size_t size)
{
	size_t len = 0;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		become_logger(fds[1], journal);
		body();
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], buf + len, size - len - 2)) > 0) {
		len += (size_t)n;
		buf[len++] = '|';
	}
	buf[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void log_levels(void)
{
	log_error("a%d", 1);
	log_warn("b");
	log_info("c");
	log_debug("hidden");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("d");
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("hidden");
	log_error("%s", "");
}

static void log_controls(void)
{
	errno = EBUSY;
	log_info("one\ntwo\x1b[2J %m");
	if (errno != EBUSY)
		_exit(1);
}

static void log_long(void)
{
	char text[5000];

	memset(text, 'z', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_error("%s", text);
}

static void test_log(void **state)
{
	static const char plain[] = "error: a1\n|warning: b\n|c\n|d\n|error: \n|";
	char buf[8192];

	(void)state;
	capture(log_levels, JOURNAL_NONE, buf, sizeof(buf));
	assert_string_equal(buf, plain);
	capture(log_levels, JOURNAL_OTHER, buf, sizeof(buf));
	assert_string_equal(buf, plain);
	capture(log_levels, JOURNAL_THIS, buf, sizeof(buf));
	assert_string_equal(buf, "<3>a1\n|<4>b\n|<6>c\n|<7>d\n|<3>\n|");
	capture(log_controls, JOURNAL_NONE, buf, sizeof(buf));
	assert_string_equal(buf, "one two [2J Device or resource busy\n|");
	capture(log_long, JOURNAL_NONE, buf, sizeof(buf));
	assert_int_equal(strlen(buf), 2047 + 1);
	assert_memory_equal(buf, "error: zzz", 10);
	assert_string_equal(buf + strlen(buf) - 7, "zz...\n|");
}

static void test_plain_paths(void **state)
{
	static const char *const plain[] = { "a", "sys/a", "a/...", "..a/b..", "a-b_c:d,e@f" };
	static const char *const other[] = { "",      "/",    "/a",  "a/",     "a//b",
					     ".",     "..",   "./a", "a/../b", "a/.",
					     "a b/c", "a\tb", "a\n", "\x7f",   "\xc3\xa4" };

	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (!path_is_plain(plain[i]))
			fail_msg("%s is plain", plain[i]);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		if (path_is_plain(other[i]))
			fail_msg("%s is not plain", other[i]);
}

#define ON_TREE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_TREE(test_root),
		ON_TREE(test_read),
		ON_TREE(test_read_alloc),
		cmocka_unit_test(test_read_proc),
		cmocka_unit_test(test_fd_read_alloc),
		ON_TREE(test_read_int),
		ON_TREE(test_write),
		ON_TREE(test_short_write),
		ON_TREE(test_absolute_path),
		cmocka_unit_test(test_plain_paths),
		cmocka_unit_test(test_errmsg),
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
