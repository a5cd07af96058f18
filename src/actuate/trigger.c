// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/ioctl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sluice/confined.h"
#include "sluice/file.h"
#include "sluice/trigger.h"
#include "sluice/units.h"

/* The most that a request can say it copies; older ones say nothing, and copy less. */
#define ARGUMENT_BYTES (1 << _IOC_SIZEBITS)

static bool named(const char *text)
{
	return text && *text;
}

static const char *target(const struct trigger *trigger)
{
	return named(trigger->path) ? trigger->path : trigger->device;
}

static int open_target(int root, const struct trigger *trigger, struct errmsg *err)
{
	if (!named(target(trigger)))
		return errmsg_set(err, -EINVAL, "the trigger names neither a path nor a device");
	return confined_open(root, target(trigger), err);
}

int trigger_probe(int root, const struct trigger *trigger, struct errmsg *err)
{
	const int fd = open_target(root, trigger, err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static const char *remedy(int code)
{
	switch (code) {
	case -EPERM:
	case -EACCES:
		return " (it asks for a capability that sluiced has dropped)";
	case -ENOTTY:
		return " (the device does not know this request)";
	case -EFAULT:
		return " (the request takes a pointer: give it bytes, not an argument)";
	default:
		return "";
	}
}

static int call(int fd, const struct trigger *trigger, struct errmsg *err)
{
	uint8_t bytes[ARGUMENT_BYTES] = { 0 }; /* room for what the kernel may write back */
	unsigned long argument = (unsigned long)trigger->argument;
	int code;

	if (named(trigger->bytes)) {
		if (parse_hex(trigger->bytes, bytes, sizeof(bytes)) < 0)
			return errmsg_set(err, -EINVAL, "the trigger's bytes are not hexadecimal");
		argument = (unsigned long)bytes;
	}
	if (ioctl(fd, (unsigned long)trigger->request, argument) >= 0)
		return 0;
	code = -errno;
	return errmsg_set(err, code, "/%s: ioctl 0x%x: %s%s", trigger->device, trigger->request,
			  strerror(-code), remedy(code));
}

int trigger_fire(int root, const struct trigger *trigger, struct errmsg *err)
{
	const int fd = open_target(root, trigger, err);
	int rc;

	if (fd < 0)
		return fd;
	if (named(trigger->path))
		rc = fd_write(fd, trigger->path, trigger->text, err);
	else
		rc = call(fd, trigger, err);
	close(fd);
	return rc;
}

char *trigger_describe(const struct trigger *trigger, char buf[TRIGGER_TEXT])
{
	if (named(trigger->path))
		snprintf(buf, TRIGGER_TEXT, "\"%s\" into /%s", trigger->text, trigger->path);
	else
		snprintf(buf, TRIGGER_TEXT, "ioctl 0x%x of /%s", trigger->request, trigger->device);
	return buf;
}
