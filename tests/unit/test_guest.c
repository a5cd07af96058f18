// SPDX-License-Identifier: GPL-2.0-only
/* Who the guest is, as ab_guest_read() finds it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/experiment.h"

#define MACHINE "3d1219c7c4c5404aaa1f6d2a48adfda4"
#define UUID	"4c4c4544-0051-3710-8058-cac04f4d4c32"
#define BOOT	"3fb3d804-cc87-4ff6-9c11-e43efaef050a"

static struct fixture tree;

static int set_up(void **state)
{
	(void)state;
	fixture_open(&tree);
	fixture_put(&tree, "etc/machine-id", MACHINE "\n");
	fixture_put(&tree, "sys/class/dmi/id/product_uuid", UUID "\n");
	fixture_put(&tree, "proc/sys/kernel/random/boot_id", BOOT "\n");
	fixture_put(&tree, "proc/sys/kernel/osrelease", "6.18.44-fc\n");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

static void check(const char *machine, const char *boot, const char *kernel)
{
	struct errmsg err = { "" };
	struct ab_guest guest;

	memset(&guest, 'x', sizeof(guest));
	if (ab_guest_read(tree.root, &guest, &err))
		fail_msg("%s", err.text);
	assert_string_equal(guest.machine, machine);
	assert_string_equal(guest.boot, boot);
	assert_string_equal(guest.kernel, kernel);
}

static void check_machine(const char *content, const char *machine)
{
	fixture_put(&tree, "etc/machine-id", content);
	check(machine, BOOT, "6.18.44-fc");
}

static void test_machine(void **state)
{
	(void)state;
	check(MACHINE, BOOT, "6.18.44-fc");
	check_machine(MACHINE, MACHINE);
	check_machine("uninitialized\n", UUID);
	check_machine("", UUID);
	check_machine(MACHINE "0\n", UUID);
	check_machine("3d1219c7c4c5404aaa1f6d2a48adfda\n", UUID);
	check_machine("3d1219c7c4c5404aaa1f6d2a48adfdag\n", UUID);
	check_machine("00000000000000000000000000000000\n", UUID);
	fixture_remove(&tree, "etc/machine-id");
	check(UUID, BOOT, "6.18.44-fc");
	fixture_put(&tree, "sys/class/dmi/id/product_uuid",
		    "4c4c4544x0051-3710-8058-cac04f4d4c32\n");
	check("", BOOT, "6.18.44-fc");
	fixture_put(&tree, "sys/class/dmi/id/product_uuid", "Not Settable\n");
	check("", BOOT, "6.18.44-fc");
	fixture_put(&tree, "sys/class/dmi/id/product_uuid",
		    "00000000-0000-0000-0000-000000000000\n");
	check("", BOOT, "6.18.44-fc");
	fixture_remove(&tree, "sys");
	check("", BOOT, "6.18.44-fc");
	check_machine("uninitialized\n", "");
}

static void test_missing(void **state)
{
	(void)state;
	fixture_remove(&tree, "proc/sys/kernel/random");
	check(MACHINE, "", "6.18.44-fc");
	fixture_remove(&tree, "proc");
	check(MACHINE, "", "");
	fixture_remove(&tree, "etc");
	fixture_remove(&tree, "sys");
	check("", "", "");
}

static void refuses(int code, const char *text)
{
	struct ab_guest guest = { .boot = "none" };
	struct errmsg err = { "" };

	assert_int_equal(ab_guest_read(tree.root, &guest, &err), code);
	assert_contains(err.text, text);
	assert_string_equal(guest.boot, "none"); /* written on success only */
	assert_string_equal(guest.machine, "");
}

static void test_senseless(void **state)
{
	(void)state;
	fixture_put(&tree, "proc/sys/kernel/random/boot_id", "3fb3d804\n");
	refuses(-EINVAL, "/proc/sys/kernel/random/boot_id: no UUID");
	fixture_put(&tree, "proc/sys/kernel/random/boot_id", BOOT);
	refuses(-EINVAL, "is not one whole line");
	fixture_put(&tree, "proc/sys/kernel/random/boot_id", BOOT "\n");
	fixture_put(&tree, "proc/sys/kernel/osrelease", "6.18\n6.19\n");
	refuses(-EINVAL, "/proc/sys/kernel/osrelease: ");
	fixture_printf(&tree, "proc/sys/kernel/osrelease", "%064d\n", 6);
	refuses(-EFBIG, "/proc/sys/kernel/osrelease: ");
	fixture_printf(&tree, "proc/sys/kernel/osrelease", "%062d\n", 6);
	check(MACHINE, BOOT, "00000000000000000000000000000000000000000000000000000000000006");
}

/* This machine tells its boot and its kernel, whatever they are. */
static void test_this_machine(void **state)
{
	const int root = root_open("/", NULL);
	struct errmsg err = { "" };
	struct ab_guest guest;

	(void)state;
	if (ab_guest_read(root, &guest, &err))
		fail_msg("%s", err.text);
	close(root);
	assert_int_equal(strlen(guest.boot), 36);
	assert_true(guest.kernel[0] >= '3' && guest.kernel[0] <= '9');
	print_message("machine \"%s\", kernel \"%s\"\n", guest.machine, guest.kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_machine, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_senseless, set_up, tear_down),
		cmocka_unit_test(test_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
