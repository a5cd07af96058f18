// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's feed: files, fifos and a terminal, as they come, change and go away. Time is what the
 * tests say, but for mtimes, which the feed compares with the real clock. After each test no
 * descriptor more is open than before.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/metric.h"
#include "sluice/units.h"

#define SECOND NSEC_PER_SEC
/* Of the caller's clock. Soon after boot, for ages can be more than that. */
#define BEGIN (2 * SECOND)

static struct fixture tree;
static char path[64];
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
	fixture_open(&tree);
	snprintf(path, sizeof(path), "%s/feed", tree.dir);
	fds_before = count_fds();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(count_fds(), fds_before);
	fixture_close(&tree);
	return 0;
}

static struct feed *feed_of(const char *name)
{
	struct errmsg err = { "" };
	struct feed *feed = NULL;

	if (feed_open(name, &feed, &err))
		fail_msg("%s", err.text);
	return feed;
}

static void gives(struct feed *feed, uint64_t now_ns, uint64_t expected)
{
	struct errmsg err = { "" };
	uint64_t bytes = 77;

	if (feed_take(feed, now_ns, &bytes, &err))
		fail_msg("%s", err.text);
	assert_true(bytes == expected);
}

static void fails(struct feed *feed, uint64_t now_ns, int code, const char *text)
{
	struct errmsg err = { "" };
	uint64_t bytes = 77;

	assert_int_equal(feed_take(feed, now_ns, &bytes, &err), code);
	assert_contains(err.text, text);
	assert_contains(err.text, "host feed /");
	assert_true(bytes == 77); /* written on success only */
}

/* Sets the mtime to so many seconds from now. */
static void set_mtime(double offset)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	clock_gettime(CLOCK_REALTIME, &times[1]);
	times[1].tv_sec += (time_t)offset;
	assert_int_equal(utimensat(tree.root, "feed", times, 0), 0);
}

/* Time of files runs in ticks (current_time() of the kernel: 10 ms at the most). */
static void next_tick(void)
{
	poll(NULL, 0, 20);
}

static void append(const char *text)
{
	const int fd = openat(tree.root, "feed", O_WRONLY | O_APPEND);

	next_tick();
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* What a fresh file with this content gives; @text: NULL if that is @bytes. */
static void check_data(const void *data, size_t size, int code, const char *text, uint64_t bytes)
{
	struct feed *feed;

	fixture_write(&tree, "feed", data, size);
	feed = feed_of(path);
	if (text)
		fails(feed, BEGIN, code, text);
	else
		gives(feed, BEGIN, bytes);
	feed_close(feed);
}

static void check_number(const char *content, uint64_t bytes)
{
	check_data(content, strlen(content), 0, NULL, bytes);
}

static void check_refused(const char *content, const char *text)
{
	check_data(content, strlen(content), -EBADMSG, text, 0);
}

static void test_numbers(void **state)
{
	static const char nul[] = "5\0006\n";

	(void)state;
	check_number("123\n", 123);
	check_number("1\n2\n34359738368\n", UINT64_C(34359738368));
	check_number("9223372036854775807\n", INT64_MAX);
	check_number(" \t12 \r\n", 12);
	check_number("old: abc\n12\n", 12); /* the last whole line counts */
	check_number("12\n34", 12);
	check_refused("12\nabc\n", "\"abc\": not a number");
	check_refused("12abc\n", "trailing \"abc\"");
	check_refused("0\n", "\"0\": out of range; an integer from 1 to");
	check_refused("-5\n", "\"-5\": out of range");
	check_refused("+5\n", "not a number");
	check_refused("9223372036854775808\n", "out of range");
	check_refused("99999999999999999999999\n", "out of range");
	check_refused("0x10\n", "trailing \"x10\"");
	check_refused("1.5\n", "trailing \".5\"");
	check_refused("1 2\n", "trailing \" 2\"");
	check_refused("12\n\n", "\"\": not a number");
	check_refused("12\n  \n", "\"\": not a number");
	check_data(nul, sizeof(nul) - 1, -EBADMSG, "is no number of bytes", 0);
	check_data("", 0, -ENODATA, "no whole line has come", 0);
	check_data("12", 2, -ENODATA, "no whole line has come", 0); /* may be cut off */
}

/* Only the end is read; a line that begins before it is no number, though its end looks so. */
static void test_long(void **state)
{
	char *text = malloc(10000);

	(void)state;
	assert_non_null(text);
	memset(text, '1', 10000);
	text[9998] = '\n';
	check_data(text, 9999, -EBADMSG, "is no number of bytes", 0);
	text[9995] = '\n';
	check_data(text, 9999, 0, NULL, 11);
	memset(text, '1', 10000);
	text[10000 - 4096 + 1] = '\n'; /* one digit of it is read */
	check_data(text, 10000, -EBADMSG, "\"1\" is no number of bytes", 0);
	text[10000 - 4096 - 1] = '\n';
	check_data(text, 10000, -EBADMSG, "is no number of bytes", 0);
	text[10000 - 4096] = '\n';
	text[10000 - 4096 + 1] = '1';
	text[10000 - 4096 + 2] = '\n';
	check_data(text, 10000, 0, NULL, 1);
	memset(text, '1', 10000);
	check_data(text, 10000, -ENODATA, "no whole line has come", 0);
	/* as much as is kept of a line, and one more */
	memset(text, ' ', 100);
	text[63] = '7';
	text[64] = '\n';
	check_data(text, 65, 0, NULL, 7);
	memset(text, ' ', 100);
	text[0] = '7';
	text[65] = '\n';
	check_data(text, 66, -EBADMSG, "is no number of bytes", 0);
	free(text);
}

static void test_changes(void **state)
{
	struct feed *feed;
	uint64_t now = BEGIN;

	(void)state;
	fixture_put(&tree, "feed", "1\n");
	feed = feed_of(path);
	gives(feed, now, 1);
	append("2");
	gives(feed, now += SECOND, 1);
	append("3\n");
	gives(feed, now += SECOND, 23);
	next_tick();
	fixture_put(&tree, "new", "4\n");
	assert_int_equal(renameat(tree.root, "new", tree.root, "feed"), 0);
	gives(feed, now += SECOND, 4);
	/* rewritten: between that and its new content the last one counts, while it is new */
	fixture_cut(&tree, "feed", 0);
	gives(feed, now += SECOND, 4);
	fails(feed, now += 15 * SECOND, -ENODATA, "its newest line is 16 s old");
	append("5\n");
	gives(feed, now += SECOND, 5);

	fixture_remove(&tree, "feed");
	fails(feed, now += SECOND, -ENOENT, "cannot be opened: No such file");
	fixture_put(&tree, "feed", "6\n");
	gives(feed, now += SECOND, 6);
	fixture_remove(&tree, "feed");
	fixture_mkdir(&tree, "feed");
	fails(feed, now += SECOND, -EINVAL, "neither a regular file nor");
	fixture_remove(&tree, "feed");
	assert_int_equal(mkfifoat(tree.root, "feed", 0600), 0);
	gives(feed, now += SECOND, 6); /* nothing has come there */
	append("7\n");
	gives(feed, now += SECOND, 7);
	fixture_put(&tree, "feed", "8\n"); /* it was unlinked, so that is seen at its end */
	gives(feed, now += SECOND, 7);
	gives(feed, now += SECOND, 8);
	feed_close(feed);
}

static void test_open(void **state)
{
	struct feed *feed = (struct feed *)path;
	struct errmsg err = { "" };

	(void)state;
	assert_int_equal(feed_open(path, &feed, &err), -ENOENT);
	assert_contains(err.text, "/feed: cannot be opened: No such file");
	assert_int_equal(feed_open(tree.dir, &feed, &err), -EINVAL);
	assert_contains(err.text, "neither a regular file nor a character device nor a fifo");
	assert_ptr_equal(feed, path); /* written on success only */
	feed_close(NULL);
}

/* An age at the first look is by the real clock, and then by the caller's. */
static void test_stale(void **state)
{
	struct feed *feed;

	(void)state;
	fixture_put(&tree, "feed", "1\n");
	set_mtime(-14);
	feed = feed_of(path);
	gives(feed, BEGIN, 1);
	fails(feed, BEGIN + 2 * SECOND, -ENODATA, " old");
	set_mtime(0);
	gives(feed, BEGIN + 3 * SECOND, 1);
	gives(feed, BEGIN + 17 * SECOND, 1);
	fails(feed, BEGIN + 19 * SECOND, -ENODATA, " old");
	feed_close(feed);

	set_mtime(-16);
	feed = feed_of(path);
	fails(feed, BEGIN, -ENODATA, " old");
	set_mtime(0);
	gives(feed, BEGIN + SECOND, 1);
	set_mtime(-3600); /* an old one was put in place */
	fails(feed, BEGIN + 2 * SECOND, -ENODATA, "its newest line is 1 h");
	feed_close(feed);
}

/* The mtime may be by another clock than ours, and either clock may be set. */
static void test_clocks(void **state)
{
	struct feed *feed;

	(void)state;
	/* the host is an hour ahead */
	fixture_put(&tree, "feed", "1\n");
	set_mtime(3600);
	feed = feed_of(path);
	gives(feed, BEGIN, 1);
	gives(feed, BEGIN + 15 * SECOND, 1);
	fails(feed, BEGIN + 15 * SECOND + 1, -ENODATA, "15 s old");
	set_mtime(3601);
	gives(feed, BEGIN + 16 * SECOND, 1);
	feed_close(feed);

	/* behind: what is there at first can't be told from an old one; what comes then can */
	set_mtime(-3600);
	feed = feed_of(path);
	fails(feed, BEGIN, -ENODATA, "1 h");
	set_mtime(-3598);
	gives(feed, BEGIN + 2 * SECOND, 1);
	gives(feed, BEGIN + 15 * SECOND, 1); /* two seconds more at the most */
	fails(feed, BEGIN + 18 * SECOND, -ENODATA, "old");
	feed_close(feed);

	/* it was modified between two looks, but soon after the first */
	set_mtime(-60);
	feed = feed_of(path);
	fails(feed, BEGIN + 60 * SECOND, -ENODATA, "old");
	set_mtime(-20);
	fails(feed, BEGIN + 120 * SECOND, -ENODATA, " old");
	/* clocks at their ends */
	assert_int_equal(utimensat(tree.root, "feed",
				   (const struct timespec[2]){ { .tv_nsec = UTIME_OMIT }, { 0 } },
				   0),
			 0);
	fails(feed, BEGIN + 121 * SECOND, -ENODATA, "old");
	assert_int_equal(utimensat(tree.root, "feed",
				   (const struct timespec[2]){ { .tv_nsec = UTIME_OMIT },
							       { .tv_sec = INT64_MAX } },
				   0),
			 0);
	gives(feed, BEGIN + 122 * SECOND, 1);
	feed_close(feed);
}

static int open_fifo(void)
{
	const int fd = openat(tree.root, "feed", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0); /* fails without a reader */
	return fd;
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_fifo(void **state)
{
	uint64_t now = BEGIN;
	struct feed *feed;
	int writer;

	(void)state;
	assert_int_equal(mkfifoat(tree.root, "feed", 0600), 0);
	feed = feed_of(path);
	fails(feed, now, -ENODATA, "no whole line has come"); /* and no writer */
	writer = open_fifo();
	fails(feed, now, -ENODATA, "no whole line has come"); /* one that is silent */
	put(writer, "1");
	fails(feed, now, -ENODATA, "no whole line has come");
	put(writer, "2\n34\n5");
	gives(feed, now, 34);
	put(writer, "6\r\n");
	gives(feed, now += SECOND, 56);
	put(writer, "abc\n");
	fails(feed, now += SECOND, -EBADMSG, "\"abc\": not a number");
	put(writer, "7\n");
	gives(feed, now += SECOND, 7);
	gives(feed, now += 15 * SECOND, 7);
	fails(feed, now += 1, -ENODATA, "its newest line is 15 s old");
	put(writer, "8\n9");
	gives(feed, now, 8);

	/* what one has begun is not ended by another */
	close(writer);
	gives(feed, now += SECOND, 8);
	writer = open_fifo();
	put(writer, "10\n");
	close(writer);
	gives(feed, now += SECOND, 10);
	gives(feed, now += SECOND, 10);
	feed_close(feed);
}

/* Nothing keeps the reader of a fifo open but the feed: a writer finds it between two looks. */
static void test_fifo_replaced(void **state)
{
	uint64_t now = BEGIN;
	struct feed *feed;
	int old, writer;

	(void)state;
	assert_int_equal(mkfifoat(tree.root, "feed", 0600), 0);
	feed = feed_of(path);
	old = open_fifo();
	put(old, "1\n2");
	gives(feed, now, 1);
	fixture_remove(&tree, "feed");
	assert_int_equal(mkfifoat(tree.root, "feed", 0600), 0);
	put(old, "3\n");
	gives(feed, now, 23); /* it still has its writer */
	put(old, "4");
	close(old);
	gives(feed, now += SECOND, 23); /* its end: the other is opened next time */
	gives(feed, now += SECOND, 23);
	writer = open_fifo();
	put(writer, "5\n");
	gives(feed, now += SECOND, 5);
	fixture_remove(&tree, "feed");
	close(writer);
	gives(feed, now += SECOND, 5);
	fails(feed, now += SECOND, -ENOENT, "cannot be opened: No such file");
	fails(feed, now += SECOND, -ENOENT, "cannot be opened: No such file");
	feed_close(feed);
}

/* Lines that are too long, in any pieces. */
static void test_fifo_long(void **state)
{
	char text[5000];
	struct feed *feed;
	int writer;

	(void)state;
	assert_int_equal(mkfifoat(tree.root, "feed", 0600), 0);
	feed = feed_of(path);
	writer = open_fifo();
	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	put(writer, text);
	fails(feed, BEGIN, -ENODATA, "no whole line has come");
	put(writer, "\n");
	fails(feed, BEGIN, -EBADMSG, "is no number of bytes");
	put(writer, "2\n");
	gives(feed, BEGIN, 2);
	memset(text, ' ', sizeof(text));
	text[0] = '3';
	text[65] = '\n';
	text[66] = '\0';
	put(writer, text);
	fails(feed, BEGIN, -EBADMSG, "is no number of bytes");
	text[64] = '\n';
	text[65] = '\0';
	put(writer, text);
	gives(feed, BEGIN, 3);
	assert_int_equal(write(writer, "4\0005\n", 4), 4);
	fails(feed, BEGIN, -EBADMSG, "is no number of bytes");
	close(writer);
	feed_close(feed);
}

/* One that never stops writing does not keep the caller. */
static void test_flood(void **state)
{
	char *text = malloc(1 << 20);
	struct feed *feed;
	int writer, left;

	(void)state;
	assert_non_null(text);
	assert_int_equal(mkfifoat(tree.root, "feed", 0600), 0);
	feed = feed_of(path);
	writer = open_fifo();
	if (fcntl(writer, F_SETPIPE_SZ, 1 << 20) < 1 << 20) {
		close(writer);
		feed_close(feed);
		free(text);
		skip();
	}
	for (unsigned int i = 0; i < 1 << 20; i += 2)
		memcpy(text + i, i < 1 << 19 ? "8\n" : "9\n", 2);
	assert_int_equal(write(writer, text, 1 << 20), 1 << 20);
	gives(feed, BEGIN, 8);
	assert_int_equal(ioctl(writer, FIONREAD, &left), 0);
	assert_true(left > 0 && left < 1 << 20);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(feed_take(feed, BEGIN, &(uint64_t){ 0 }, NULL), 0);
	gives(feed, BEGIN, 9);
	assert_int_equal(ioctl(writer, FIONREAD, &left), 0);
	assert_int_equal(left, 0);
	close(writer);
	feed_close(feed);
	free(text);
}

/* What is written to the other side of a terminal arrives by a kernel worker. */
static void arrives(struct feed *feed, uint64_t now_ns, uint64_t expected)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < 500 && bytes != expected; i++) {
		poll(NULL, 0, 10);
		(void)!feed_take(feed, now_ns, &bytes, NULL);
	}
	assert_true(bytes == expected);
}

/* A character device, with an other end that goes away. */
static void test_terminal(void **state)
{
	const int host = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct errmsg err = { "" };
	char name[64];
	struct feed *feed;
	uint64_t bytes;
	int fd;

	(void)state;
	if (host < 0 || grantpt(host) || unlockpt(host) || ptsname_r(host, name, sizeof(name)) ||
	    access(name, R_OK)) {
		print_message("no pseudo terminals: %s\n", strerror(errno));
		if (host >= 0)
			close(host);
		skip();
	}
	feed = feed_of(name);
	fails(feed, BEGIN, -ENODATA, "no whole line has come");
	put(host, "42\n");
	arrives(feed, BEGIN, 42);
	put(host, "43\n44\n4");
	arrives(feed, BEGIN + SECOND, 44);
	gives(feed, BEGIN + 16 * SECOND, 44);
	fails(feed, BEGIN + 17 * SECOND, -ENODATA, "its newest line is 16 s old");
	put(host, "5\n");
	arrives(feed, BEGIN + 18 * SECOND, 45);

	/* hung up, but its name is still there: what was open is dead, and opened anew */
	fd = open(name, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	assert_true(fd >= 0);
	if (ioctl(fd, TIOCVHANGUP))
		print_message("no hanging up: %s\n", strerror(errno)); /* CAP_SYS_ADMIN */
	close(fd);
	gives(feed, BEGIN + 18 * SECOND, 45);
	gives(feed, BEGIN + 18 * SECOND, 45);
	put(host, "46\n");
	arrives(feed, BEGIN + 18 * SECOND, 46);

	/* its other end goes away: seen quietly, and then its name is gone */
	close(host);
	gives(feed, BEGIN + 19 * SECOND, 46);
	assert_int_equal(count_fds(), fds_before);
	assert_true(feed_take(feed, BEGIN + 20 * SECOND, &bytes, &err) < 0);
	assert_contains(err.text, "cannot be opened");
	feed_close(feed);
}

/* A device without anything at its other end, as a port of virtio-serial without its host. */
static void test_silent_device(void **state)
{
	struct feed *feed;

	(void)state;
	feed = feed_of("/dev/null");
	fails(feed, BEGIN, -ENODATA, "no whole line has come");
	fails(feed, BEGIN + SECOND, -ENODATA, "no whole line has come");
	feed_close(feed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stale, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_clocks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fifo, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fifo_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fifo_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_terminal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silent_device, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
