// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the configuration names, on a fixture tree: which files and devices are opened at
 * all, and what a trigger does with them. The live kernel is neither written nor called.
 *
 * Linked with -Wl,--wrap= for each of these:
 * wrap: ioctl fstat fstat64
 *
 * A device can't be made everywhere, so fstat() says of a regular file below dev/ what
 * the test wants it to be.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/confined.h"
#include "sluice/trigger.h"

static struct {
	mode_t type; /* of a regular file, as fstat() has it; 0: as it is */
	uid_t owner; /* besides */
	bool has_owner;
	int error; /* of ioctl() */
	unsigned int ioctls;
	unsigned long request;
	unsigned long argument;
	uint8_t bytes[16];
	bool by_pointer;
} calls;

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_fstat(int fd, struct stat *st)
{
	const int rc = __real_fstat(fd, st);

	if (calls.type && S_ISREG(st->st_mode))
		st->st_mode = calls.type | (st->st_mode & 07777);
	if (calls.has_owner)
		st->st_uid = calls.owner;
	return rc;
}

int __wrap_fstat64(int fd, struct stat *st)
{
	return __wrap_fstat(fd, st);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	assert_true(fd >= 0);
	calls.ioctls++;
	calls.request = request;
	va_start(args, request);
	calls.argument = va_arg(args, unsigned long);
	va_end(args);
	if (calls.by_pointer) {
		memcpy(calls.bytes, (const void *)calls.argument, sizeof(calls.bytes));
		/* what a driver may write back, in the largest size that a request can name */
		memset((void *)calls.argument, 0xff, 16383);
	}
	errno = calls.error;
	return calls.error ? -1 : 3;
}

static struct fixture tree;

/* A tree with files of each kind, in which others and outside can be reached by links. */
static int set_up(void **state)
{
	(void)state;
	memset(&calls, 0, sizeof(calls));
	fixture_open(&tree);
	fixture_put(&tree, "sys/devices/x/knob", "5\n");
	fixture_put(&tree, "sys/devices/x/open", "5\n");
	fchmodat(tree.root, "sys/devices/x/open", 0666, 0);
	fixture_link(&tree, "sys/class/x", "../devices/x");
	fixture_link(&tree, "sys/class/absolute", "/sys/devices/x");
	fixture_link(&tree, "sys/class/outside", "../../etc");
	fixture_link(&tree, "sys/class/loop", "loop");
	fixture_put(&tree, "proc/sys/vm/knob", "7\n");
	fixture_put(&tree, "etc/file", "secret\n");
	fixture_put(&tree, "dev/node", "");
	fixture_put(&tree, "dev/dir/node", "");
	fixture_link(&tree, "dev/link", "node");
	fixture_link(&tree, "dev/up", "../etc");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

/* Both functions; @text is what the message says, NULL: it is opened. */
static void check(const char *path, int code, const char *text)
{
	struct errmsg err = { "" };
	int fd = confined_open(tree.root, path, &err);

	assert_int_equal(fd < 0 ? fd : 0, code);
	if (fd >= 0)
		close(fd);
	if (text)
		assert_contains(err.text, text);
	assert_int_equal(confined_check(tree.root, path, &err), code);
	if (text)
		assert_contains(err.text, text);
}

static void test_trees(void **state)
{
	(void)state;
	check("sys/devices/x/knob", 0, NULL);
	check("sys/class/x/knob", 0, NULL); /* a link that stays in the tree */
	check("proc/sys/vm/knob", 0, NULL);
	check("etc/file", -EINVAL, "/etc/file: no plain path below /sys, /proc/sys or /dev");
	check("proc/knob", -EINVAL, "no plain path");
	check("sys/../etc/file", -EINVAL, "no plain path");
	check("sys/", -EINVAL, "no plain path");
	check("sys", -EINVAL, "no plain path");
	check("", -EINVAL, "no plain path");
	check("sys/class/outside/file", -EXDEV, "a symbolic link leads elsewhere");
	check("sys/class/absolute/knob", -EXDEV, "a symbolic link leads elsewhere");
	check("sys/class/loop", -ELOOP, "/sys/class/loop: cannot open");
	check("sys/devices/x/none", -ENOENT,
	      "/sys/devices/x/none: cannot open: No such file or "
	      "directory (not in this kernel: is its module "
	      "loaded?)");
	check("sys/devices/x", -EPERM, "no regular file");
	check("dev/none", -ENOENT, "is its driver loaded?");
	fixture_remove(&tree, "proc");
	check("proc/sys/vm/knob", -ENOENT,
	      "/proc/sys: cannot open: No such file or directory (is "
	      "it mounted?)");
}

/* A link in place of the tree itself leads nowhere. */
static void test_linked_tree(void **state)
{
	(void)state;
	fixture_remove(&tree, "dev");
	fixture_link(&tree, "dev", "etc");
	check("dev/file", -ELOOP, "/dev: cannot open");
}

static void test_owner_and_mode(void **state)
{
	char text[128];

	(void)state;
	check("sys/devices/x/open", -EPERM,
	      "/sys/devices/x/open: not used: mode 0666 lets everyone write it (chmod o-w)");
	calls.has_owner = true;
	calls.owner = geteuid() + 1;
	snprintf(text, sizeof(text), "not used: it belongs to user %u, not to %u",
		 (unsigned int)geteuid() + 1, (unsigned int)geteuid());
	check("sys/devices/x/knob", -EPERM, text);
	calls.type = S_IFCHR;
	check("dev/node", -EPERM, text);
}

static void test_devices(void **state)
{
	(void)state;
	check("dev/node", -EPERM, "/dev/node: not used: neither a character nor a block device");
	check("dev/dir", -EPERM, "neither a character nor a block device");
	calls.type = S_IFCHR;
	check("dev/node", 0, NULL);
	check("dev/dir/node", 0, NULL);
	calls.type = S_IFBLK;
	check("dev/node", 0, NULL);
	check("dev/link", -EPERM, "/dev/link: not used: a symbolic link; name the device itself");
	check("dev/up/file", -EXDEV, "a symbolic link leads elsewhere");
	assert_int_equal(fchmodat(tree.root, "dev/node", 0622, 0), 0);
	check("dev/node", -EPERM, "mode 0622 lets everyone write it");
	assert_int_equal(fchmodat(tree.root, "dev/node", 0660, 0), 0);
	check("dev/node", 0, NULL); /* the group, disk for one, may */
	check("sys/devices/x/knob", -EPERM, "no regular file");
}

static int fire(const struct trigger *trigger, const char *text)
{
	struct errmsg err = { "" };
	const int rc = trigger_fire(tree.root, trigger, &err);

	if (text)
		assert_contains(err.text, text);
	else
		assert_string_equal(err.text, "");
	return rc;
}

static void test_write(void **state)
{
	struct trigger trigger = { .path = "sys/class/x/knob", .text = "go", .device = "" };
	char buf[TRIGGER_TEXT], found[16];

	(void)state;
	assert_int_equal(trigger_probe(tree.root, &trigger, NULL), 0);
	file_read(tree.root, "sys/devices/x/knob", found, sizeof(found), NULL);
	assert_string_equal(found, "5\n"); /* a probe does not fire */
	assert_int_equal(fire(&trigger, NULL), 0);
	file_read(tree.root, "sys/devices/x/knob", found, sizeof(found), NULL);
	assert_string_equal(found, "go"); /* neither truncated nor with a newline */
	assert_string_equal(trigger_describe(&trigger, buf), "\"go\" into /sys/class/x/knob");
	trigger.path = "sys/class/outside/file";
	assert_int_equal(trigger_probe(tree.root, &trigger, NULL), -EXDEV);
	assert_int_equal(fire(&trigger, "/sys/class/outside/file: cannot open"), -EXDEV);
	file_read(tree.root, "etc/file", found, sizeof(found), NULL);
	assert_string_equal(found, "secret\n");
	trigger.path = "";
	assert_int_equal(fire(&trigger, "names neither a path nor a device"), -EINVAL);
	assert_int_equal(fire(&(struct trigger){ 0 }, "names neither"), -EINVAL);
	assert_int_equal(calls.ioctls, 0);
}

static void test_ioctl(void **state)
{
	static const uint8_t expected[16] = { 0x1e, 0x00, 0x50, 0xff };
	struct trigger trigger = { .device = "dev/node", .request = 0xc0045401, .argument = 99 };
	char buf[TRIGGER_TEXT];

	(void)state;
	calls.type = S_IFCHR;
	assert_int_equal(trigger_probe(tree.root, &trigger, NULL), 0);
	assert_int_equal(calls.ioctls, 0);
	assert_int_equal(fire(&trigger, NULL), 0); /* what it returns, 3, is no error */
	assert_int_equal(calls.ioctls, 1);
	assert_int_equal(calls.request, 0xc0045401);
	assert_int_equal(calls.argument, 99);
	assert_string_equal(trigger_describe(&trigger, buf), "ioctl 0xc0045401 of /dev/node");

	trigger.bytes = "1E0050ff";
	calls.by_pointer = true;
	assert_int_equal(fire(&trigger, NULL), 0);
	assert_memory_equal(calls.bytes, expected, sizeof(expected));
	trigger.bytes = "1e0";
	assert_int_equal(fire(&trigger, "not hexadecimal"), -EINVAL);
	assert_int_equal(calls.ioctls, 2);
}

static void test_ioctl_errors(void **state)
{
	const struct trigger trigger = { .path = "", .device = "dev/node", .request = 0x5414 };

	(void)state;
	assert_int_equal(fire(&trigger, "neither a character nor a block device"), -EPERM);
	assert_int_equal(calls.ioctls, 0);
	calls.type = S_IFCHR;
	calls.error = ENOTTY;
	assert_int_equal(fire(&trigger, "/dev/node: ioctl 0x5414: Inappropriate ioctl for device "
					"(the device does not know this request)"),
			 -ENOTTY);
	calls.error = EPERM;
	assert_int_equal(fire(&trigger, "capability that sluiced has dropped"), -EPERM);
	calls.error = EFAULT;
	assert_int_equal(fire(&trigger, "give it bytes"), -EFAULT);
	calls.error = EIO;
	assert_int_equal(fire(&trigger, "/dev/node: ioctl 0x5414: Input/output error"), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_trees, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_linked_tree, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_owner_and_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_devices, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ioctl, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ioctl_errors, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
