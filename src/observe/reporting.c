// SPDX-License-Identifier: GPL-2.0-only
#include "sluice/reporting.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/file.h"
#include "sluice/knobs.h"
#include "sluice/units.h"

#define VIRTIO_DEVICES "sys/bus/virtio/devices"
#define HV_BALLOON     "sys/bus/vmbus/drivers/hv_balloon"

/* Reads a file of one virtio device; "" if it can't be read. */
static void read_attribute(int root, const char *device, const char *name, char *buf, size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), VIRTIO_DEVICES "/%.32s/%s", device, name);
	if (file_read(root, path, buf, size, NULL) < 0)
		buf[0] = '\0';
}

static bool feature_bit(const char *features, unsigned int bit)
{
	return strlen(features) > bit && features[bit] == '1'; /* bit 0 comes first */
}

static bool read_balloon(int root, const char *device, const struct topology *topology,
			 struct reporting *reporting)
{
	char text[256], driver[96];

	read_attribute(root, device, "device", text, sizeof(text));
	if (strtoul(text, NULL, 16) != VIRTIO_ID_BALLOON)
		return false;
	read_attribute(root, device, "features", text, sizeof(text));
	reporting->backend = BACKEND_VIRTIO;
	snprintf(reporting->device, sizeof(reporting->device), "%s", device);
	reporting->feature_reporting = feature_bit(text, BALLOON_F_REPORTING);
	reporting->feature_poison = feature_bit(text, BALLOON_F_PAGE_POISON);
	reporting->poisoned = reporting->feature_poison && topology->page_poison;
	reporting->feature_deflate_on_oom = feature_bit(text, BALLOON_F_DEFLATE_ON_OOM);
	snprintf(driver, sizeof(driver), VIRTIO_DEVICES "/%.32s/driver", device);
	reporting->driver_bound = file_exists(root, driver);
	return true;
}

static void read_backend(int root, const struct topology *topology, struct reporting *reporting)
{
	struct dirent *entry;
	DIR *dir = NULL;
	int fd;

	if (file_exists(root, HV_BALLOON)) {
		reporting->backend = BACKEND_HYPERV;
		snprintf(reporting->device, sizeof(reporting->device), "hv_balloon");
		reporting->driver_bound = true;
		/* the hypercall's availability is not exported; a registered order tells */
		reporting->feature_reporting = !reporting->has_order || reporting->order >= 0;
	}
	fd = openat(root, VIRTIO_DEVICES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		dir = fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && strlen(entry->d_name) < sizeof(reporting->device) &&
		    read_balloon(root, entry->d_name, topology, reporting))
			break;
	closedir(dir);
}

void reporting_read(int root, const struct topology *topology, struct reporting *reporting)
{
	int64_t delay_ms;

	*reporting = (struct reporting){ .order = -1, .delay_ns = REPORTING_DELAY_NS };
	reporting->has_order = !file_read_int(root, KNOB_REPORTING_ORDER, &reporting->order, NULL);
	reporting->has_delay =
		!file_read_int(root, KNOB_REPORTING_DELAY, &delay_ms, NULL) && delay_ms >= 0;
	if (reporting->has_delay)
		reporting->delay_ns = (uint64_t)delay_ms * NSEC_PER_MSEC;
	/* 6.2 gave the parameter a range (param_set_uint_minmax()), until then any value is taken */
	reporting->off_value = reporting->has_order && topology->kernel_version < 6002;
	read_backend(root, topology, reporting);
}

int reporting_usable(const struct reporting *reporting, struct errmsg *err)
{
	if (reporting->backend == BACKEND_NONE)
		return errmsg_set(
			err, -ENODEV,
			"no balloon device: give the guest one with free page reporting "
			"(QEMU: -device virtio-balloon-pci,free-page-reporting=on; libvirt: "
			"<memballoon model='virtio' freePageReporting='on'/>)");
	if (!reporting->driver_bound)
		return errmsg_set(err, -ENXIO,
				  "no driver is bound to the balloon %s: modprobe virtio_balloon",
				  reporting->device);
	if (!reporting->feature_reporting)
		return errmsg_set(
			err, -EOPNOTSUPP,
			"the balloon %s does not offer free page reporting: switch it on at "
			"the host (QEMU: free-page-reporting=on; libvirt: "
			"freePageReporting='on'; Firecracker: free_page_reporting); with "
			"init_on_free or page_poison the host must offer page poison too "
			"(QEMU: page-poison=on; off in machine types before 5.1)",
			reporting->device);
	if (reporting->has_order && reporting->order < 0)
		return errmsg_set(err, -ENXIO,
				  "no driver has registered for free page reporting "
				  "(page_reporting_order is -1)");
	return 0;
}

unsigned int reporting_order_limit(const struct reporting *reporting,
				   const struct topology *topology)
{
	if (!reporting->has_order || reporting->order < 0)
		return topology->pageblock_order;
	return (unsigned int)reporting->order;
}

const char *reporting_backend_name(enum reporting_backend backend)
{
	static const char *const names[] = {
		[BACKEND_NONE] = "none",
		[BACKEND_VIRTIO] = "virtio-balloon",
		[BACKEND_HYPERV] = "hv_balloon",
	};

	return names[backend];
}
