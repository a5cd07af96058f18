// SPDX-License-Identifier: GPL-2.0-only
/* Which way reports go in this guest, by sysfs trees of several kernels and devices. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/knobs.h"
#include "sluice/reporting.h"
#include "sluice/units.h"

#define VIRTIO	  "sys/bus/virtio/devices/"
#define DRIVER	  "sys/bus/virtio/drivers/virtio_balloon"
#define HYPERV	  "sys/bus/vmbus/drivers/hv_balloon"
#define ZEROES_56 "00000000000000000000000000000000000000000000000000000000"
#define ZEROES_64 ZEROES_56 "00000000"

/* Bit 0 comes first: 5 is reporting, 4 is poison. */
#define PLAIN	 "01100000" ZEROES_56 "\n"
#define REPORTS	 "01100100" ZEROES_56 "\n"
#define POISONED "01101100" ZEROES_56 "\n"

static struct fixture tree;

static int setup(void **state)
{
	(void)state;
	fixture_open(&tree);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

struct device {
	const char *name, *id, *features; /* NULL: no such file */
	bool bound;
};

static const struct guest {
	const char *what;
	unsigned int kernel; /* 6.12 is 6012 */
	bool hyperv;
	struct device devices[3];
	const char *order, *delay; /* the knobs' contents; NULL: no such file */
	/* expected */
	enum reporting_backend backend;
	const char *device;
	bool driver_bound, feature_reporting, feature_poison, has_order;
	int64_t order_read;
	bool off_value, has_delay;
	uint64_t delay_ms;
	int usable;
	const char *message;
} guests[] = {
	{
		.what = "no virtio at all",
		.kernel = 6012,
		.backend = BACKEND_NONE,
		.device = "",
		.order_read = -1,
		.delay_ms = 2000,
		.usable = -ENODEV,
		.message = "no balloon device: give the guest one",
	},
	{
		.what = "virtio, but no balloon; the knob waits for a driver",
		.kernel = 6012,
		.devices = { { "virtio0", "0x0002\n", REPORTS, true } },
		.order = "-1\n",
		.backend = BACKEND_NONE,
		.device = "",
		.has_order = true,
		.order_read = -1,
		.delay_ms = 2000,
		.usable = -ENODEV,
		.message = "no balloon device",
	},
	{
		.what = "5.10: no /sys/module/page_reporting",
		.kernel = 5010,
		.devices = { { "virtio0", "0x0005\n", REPORTS, true } },
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.order_read = -1,
		.delay_ms = 2000,
	},
	{
		.what = "5.15",
		.kernel = 5015,
		.devices = { { "virtio0", "0x0005\n", REPORTS, true } },
		.order = "9\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 9,
		.off_value = true,
		.delay_ms = 2000,
	},
	{
		.what = "6.1, off",
		.kernel = 6001,
		.devices = { { "virtio1", "0x0002\n", REPORTS, true },
			     { "virtio2", "0x0005\n", REPORTS, true },
			     { "virtio3", "0x0004\n", REPORTS, true } },
		.order = "11\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio2",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 11,
		.off_value = true,
		.delay_ms = 2000,
	},
	{
		.what = "6.1, any number",
		.kernel = 6001,
		.devices = { { "virtio0", "0x0005\n", REPORTS, true } },
		.order = "4294967295\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 4294967295,
		.off_value = true,
		.delay_ms = 2000,
	},
	{
		.what = "6.2: no off value any more",
		.kernel = 6002,
		.devices = { { "virtio0", "0x0005\n", REPORTS, true } },
		.order = "10\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 10,
		.delay_ms = 2000,
	},
	{
		.what = "7.3: a delay",
		.kernel = 7003,
		.devices = { { "virtio0", "0x0005\n", REPORTS, true } },
		.order = "9\n",
		.delay = "250\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 9,
		.has_delay = true,
		.delay_ms = 250,
	},
	{
		.what = "7.3, no delay, order 0",
		.kernel = 7003,
		.devices = { { "virtio0", "0x0005\n", REPORTS, true } },
		.order = "0\n",
		.delay = "0\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 0,
		.has_delay = true,
		.delay_ms = 0,
	},
	{
		.what = "7.3, the longest delay there is",
		.kernel = 7003,
		.devices = { { "virtio0", "0x0005\n", REPORTS, true } },
		.order = "9\n",
		.delay = "4294967295\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 9,
		.has_delay = true,
		.delay_ms = 4294967295,
	},
	{
		.what = "a balloon without free page reporting",
		.kernel = 6012,
		.devices = { { "virtio0", "0x0005\n", PLAIN, true } },
		.order = "-1\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.has_order = true,
		.order_read = -1,
		.delay_ms = 2000,
		.usable = -EOPNOTSUPP,
		.message = "the balloon virtio0 does not offer free page reporting",
	},
	{
		.what = "no driver is bound",
		.kernel = 6012,
		.devices = { { "virtio7", "0x0005\n", PLAIN, false } },
		.order = "9\n", /* what is left of the last one */
		.backend = BACKEND_VIRTIO,
		.device = "virtio7",
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
		.usable = -ENXIO,
		.message = "no driver is bound to the balloon virtio7: modprobe virtio_balloon",
	},
	{
		.what = "a driver that has not registered yet",
		.kernel = 6012,
		.devices = { { "virtio0", "0x0005\n", REPORTS, true } },
		.order = "-1\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = -1,
		.delay_ms = 2000,
		.usable = -ENXIO,
		.message = "no driver has registered for free page reporting",
	},
	{
		.what = "poison",
		.kernel = 6012,
		.devices = { { "virtio0", "0x0005\n", POISONED, true } },
		.order = "9\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.feature_poison = true,
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
	},
	{
		.what = "feature strings of 128 characters, as on this project's first machine",
		.kernel = 6018,
		.devices = { { "virtio0", "0x0005\n", "01100101" ZEROES_56 ZEROES_64 "\n", true } },
		.order = "9\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
	},
	{
		.what = "bits that look like it from the wrong end",
		.kernel = 6018,
		.devices = { { "virtio0", "0x0005\n", "00000000" ZEROES_56 ZEROES_56 "00110000\n",
			       true } },
		.order = "9\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
		.usable = -EOPNOTSUPP,
		.message = "does not offer free page reporting",
	},
	{
		.what = "feature strings cut off before and behind bit 5",
		.kernel = 6012,
		.devices = { { "virtio0", "0x0005\n", "01101", true } },
		.order = "9\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_poison = true,
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
		.usable = -EOPNOTSUPP,
		.message = "does not offer free page reporting",
	},
	{
		.what = "the latter",
		.kernel = 6012,
		.devices = { { "virtio0", "0x0005\n", "000001", true } },
		.order = "9\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
	},
	{
		.what = "no features, and knobs that are no numbers",
		.kernel = 7003,
		.devices = { { "virtio0", "0x0005\n", NULL, true } },
		.order = "nine\n",
		.delay = "2s\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.order_read = -1,
		.delay_ms = 2000,
		.usable = -EOPNOTSUPP,
		.message = "does not offer free page reporting",
	},
	{
		.what = "knobs that are empty or negative",
		.kernel = 7003,
		.devices = { { "virtio0", "0x0005\n", REPORTS, true } },
		.order = "",
		.delay = "-1\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0",
		.driver_bound = true,
		.feature_reporting = true,
		.order_read = -1,
		.delay_ms = 2000,
	},
	{
		.what = "devices without an id, with a strange one, and the balloon",
		.kernel = 6012,
		.devices = { { "virtio0", NULL, REPORTS, true },
			     { "virtio1", "balloon\n", REPORTS, true },
			     { "virtio2", "0x0005\n", POISONED, true } },
		.order = "9\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio2",
		.driver_bound = true,
		.feature_reporting = true,
		.feature_poison = true,
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
	},
	{
		.what = "an id that only begins like the balloon's",
		.kernel = 6012,
		.devices = { { "virtio0", "0x0050\n", REPORTS, true },
			     { "virtio1", "0x10005\n", REPORTS, true } },
		.order = "9\n",
		.backend = BACKEND_NONE,
		.device = "",
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
		.usable = -ENODEV,
		.message = "no balloon device",
	},
	{
		.what = "a name of 31 characters, the longest that is kept",
		.kernel = 6012,
		.devices = { { "virtio0123456789012345678901234", "0x0005\n", REPORTS, true } },
		.order = "9\n",
		.backend = BACKEND_VIRTIO,
		.device = "virtio0123456789012345678901234",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
	},
	{
		.what = "a longer one",
		.kernel = 6012,
		.devices = { { "virtio01234567890123456789012345", "0x0005\n", REPORTS, true } },
		.order = "9\n",
		.backend = BACKEND_NONE,
		.device = "",
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
		.usable = -ENODEV,
		.message = "no balloon device",
	},
	{
		.what = "Hyper-V",
		.kernel = 6012,
		.hyperv = true,
		.order = "9\n",
		.backend = BACKEND_HYPERV,
		.device = "hv_balloon",
		.driver_bound = true,
		.feature_reporting = true,
		.has_order = true,
		.order_read = 9,
		.delay_ms = 2000,
	},
	{
		.what = "Hyper-V 5.10: nothing says whether it reports",
		.kernel = 5010,
		.hyperv = true,
		.backend = BACKEND_HYPERV,
		.device = "hv_balloon",
		.driver_bound = true,
		.feature_reporting = true,
		.order_read = -1,
		.delay_ms = 2000,
	},
	{
		.what = "Hyper-V that has not registered",
		.kernel = 6012,
		.hyperv = true,
		.order = "-1\n",
		.backend = BACKEND_HYPERV,
		.device = "hv_balloon",
		.driver_bound = true,
		.has_order = true,
		.order_read = -1,
		.delay_ms = 2000,
		.usable = -EOPNOTSUPP,
		.message = "the balloon hv_balloon does not offer free page reporting",
	},
};

static void build(const struct guest *guest)
{
	fixture_remove(&tree, "sys");
	if (guest->hyperv)
		fixture_mkdir(&tree, HYPERV);
	if (guest->order)
		fixture_put(&tree, KNOB_REPORTING_ORDER, guest->order);
	if (guest->delay)
		fixture_put(&tree, KNOB_REPORTING_DELAY, guest->delay);
	for (size_t i = 0; i < ARRAY_SIZE(guest->devices) && guest->devices[i].name; i++) {
		const struct device *device = &guest->devices[i];
		char path[128];

		if (i == 0)
			fixture_mkdir(&tree, DRIVER);
		snprintf(path, sizeof(path), VIRTIO "%s/device", device->name);
		if (device->id)
			fixture_put(&tree, path, device->id);
		snprintf(path, sizeof(path), VIRTIO "%s/features", device->name);
		if (device->features)
			fixture_put(&tree, path, device->features);
		snprintf(path, sizeof(path), VIRTIO "%s/driver", device->name);
		if (device->bound)
			fixture_link(&tree, path, "../../drivers/virtio_balloon");
	}
}

static void test_guests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const struct guest *guest = &guests[i];
		const struct topology topology = { .kernel_version = guest->kernel };
		struct reporting reporting;
		struct errmsg err = { "" };

		build(guest);
		print_message("           %s\n", guest->what);
		memset(&reporting, 0x5a, sizeof(reporting));
		reporting_read(tree.root, &topology, &reporting);
		assert_int_equal(reporting.backend, guest->backend);
		assert_string_equal(reporting.device, guest->device);
		assert_int_equal(reporting.driver_bound, guest->driver_bound);
		assert_int_equal(reporting.feature_reporting, guest->feature_reporting);
		assert_int_equal(reporting.feature_poison, guest->feature_poison);
		assert_int_equal(reporting.has_order, guest->has_order);
		assert_int_equal(reporting.order, guest->order_read);
		assert_int_equal(reporting.off_value, guest->off_value);
		assert_int_equal(reporting.has_delay, guest->has_delay);
		assert_int_equal(reporting.delay_ns, guest->delay_ms * NSEC_PER_MSEC);
		assert_int_equal(reporting_usable(&reporting, &err), guest->usable);
		assert_contains(err.text, guest->message ? guest->message : "");
		assert_true(guest->usable || !*err.text);
		assert_int_equal(reporting_usable(&reporting, NULL), guest->usable);
	}
}

/* Feature strings of any length and content: no more than what they say. */
static void test_features(void **state)
{
	const struct topology topology = { .kernel_version = 6012 };
	char features[300];

	(void)state;
	build(&guests[2]);
	for (size_t len = 0; len < sizeof(features); len++) {
		/* file_read() takes 255 characters; kernels show 64 or 128 */
		const bool readable = len <= 255;
		struct reporting reporting;

		memset(features, '1', len);
		fixture_write(&tree, VIRTIO "virtio0/features", features, len);
		reporting_read(tree.root, &topology, &reporting);
		assert_int_equal(reporting.backend, BACKEND_VIRTIO);
		assert_int_equal(reporting.feature_deflate_on_oom, readable && len > 2);
		assert_int_equal(reporting.feature_poison, readable && len > 4);
		assert_int_equal(reporting.feature_reporting, readable && len > 5);
	}
	for (unsigned int c = 0; c < 256; c++) {
		struct reporting reporting;

		memset(features, (int)c, 64);
		fixture_write(&tree, VIRTIO "virtio0/features", features, 64);
		reporting_read(tree.root, &topology, &reporting);
		assert_int_equal(reporting.feature_reporting, c == '1');
	}
}

/* A virtio directory that is a file, a dangling driver link. */
static void test_strange_trees(void **state)
{
	const struct topology topology = { .kernel_version = 6012 };
	struct reporting reporting;

	(void)state;
	fixture_put(&tree, "sys/bus/virtio/devices", "not a directory\n");
	reporting_read(tree.root, &topology, &reporting);
	assert_int_equal(reporting.backend, BACKEND_NONE);
	build(&guests[2]);
	fixture_remove(&tree, DRIVER);
	reporting_read(tree.root, &topology, &reporting);
	assert_int_equal(reporting.backend, BACKEND_VIRTIO);
	assert_false(reporting.driver_bound);
	assert_true(reporting.feature_reporting);
}

/* The limit in force, on a kernel with pageblocks of order 13. */
static void test_order_limit(void **state)
{
	const struct topology topology = { .pageblock_order = 13 };
	static const struct {
		struct reporting reporting;
		unsigned int limit;
	} rows[] = {
		{ { .has_order = false, .order = -1 }, 13 }, /* until 5.13 */
		{ { .has_order = true, .order = -1 }, 13 },  /* no driver has registered */
		{ { .has_order = true, .order = 0 }, 0 },
		{ { .has_order = true, .order = 5 }, 5 },
		{ { .has_order = true, .order = 14 }, 14 }, /* off */
		{ { .has_order = true, .order = UINT32_MAX }, UINT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(reporting_order_limit(&rows[i].reporting, &topology),
				 rows[i].limit);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(reporting_backend_name(BACKEND_NONE), "none");
	assert_string_equal(reporting_backend_name(BACKEND_VIRTIO), "virtio-balloon");
	assert_string_equal(reporting_backend_name(BACKEND_HYPERV), "hv_balloon");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_guests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_features, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strange_trees, setup, teardown),
		cmocka_unit_test(test_order_limit),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
