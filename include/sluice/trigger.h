/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The trigger: a way to start a pass that a kernel or VMM adds. Mainline has none: no
 * ioctl and no trigger file, in any version (mm/page_reporting.c). So nothing here is
 * known in advance: all of it is what the configuration names.
 */
#ifndef SLUICE_TRIGGER_H
#define SLUICE_TRIGGER_H

#include <stdint.h>

#include "sluice/errmsg.h"

/* The strings are the caller's; "" or NULL stand for none. */
struct trigger {
	const char *path; /* below sys/ or proc/sys/: @text is written, with a single write(2) */
	const char *text;
	const char *device; /* below dev/, if there is no path: gets an ioctl(2) */
	uint32_t request;
	uint64_t argument; /* as it is, unless there are bytes */
	const char *bytes; /* hexadecimal: the argument is a pointer to them */
};

/*
 * Whether it can be opened, without firing: 0, or errors as confined_open(). Opening a
 * device may have effects of its own, which are its driver's.
 */
int trigger_probe(int root, const struct trigger *trigger, struct errmsg *err);

/*
 * Once: opens, writes or calls, closes. Returns 0; errors as confined_open(), and what
 * write(2) or ioctl(2) say; -EINVAL for a trigger that names nothing or wrong bytes.
 * Blocks for as long as the driver does.
 */
int trigger_fire(int root, const struct trigger *trigger, struct errmsg *err);

/* What it does, for people: "\"1\" into /sys/...", "ioctl 0x5414 of /dev/..."; returns @buf. */
#define TRIGGER_TEXT 256
char *trigger_describe(const struct trigger *trigger, char buf[TRIGGER_TEXT]);

#endif
