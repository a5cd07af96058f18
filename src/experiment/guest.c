// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sluice/experiment.h"
#include "sluice/file.h"

#define MACHINE_FORM "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define UUID_FORM    "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"

/* x stands for a hexadecimal digit. An identity that is nothing but zeros is none. */
static bool has_form(const char *text, const char *form)
{
	if (strlen(text) != strlen(form) || strspn(text, "0-") == strlen(text))
		return false;
	for (; *form; form++, text++)
		if (*form == 'x' ? !isxdigit((unsigned char)*text) : *text != *form)
			return false;
	return true;
}

/* The line of a file; unchanged if there is no such file. */
static int read_line(int root, const char *path, char ret[AB_ID], struct errmsg *err)
{
	const int rc = file_read_line(root, path, ret, AB_ID, err);

	return rc == -ENOENT ? 0 : rc;
}

/*
 * machine-id(5): 32 digits, with or without an end of line; empty or "uninitialized" until systemd
 * has made one up. An image may come without one; then it is the hypervisor's word that counts,
 * which the kernel keeps out of sight if it is all 0 or all f (drivers/firmware/dmi_scan.c), and
 * tells root alone.
 */
static void read_machine(int root, char ret[AB_ID])
{
	char text[AB_ID] = "";

	if (file_read(root, "etc/machine-id", text, sizeof(text), NULL) >= 0) {
		text[strcspn(text, "\n")] = '\0';
		if (has_form(text, MACHINE_FORM)) {
			memcpy(ret, text, sizeof(text));
			return;
		}
	}
	if (file_read_line(root, "sys/class/dmi/id/product_uuid", text, sizeof(text), NULL) ||
	    !has_form(text, UUID_FORM))
		text[0] = '\0';
	memcpy(ret, text, sizeof(text));
}

int ab_guest_read(int root, struct ab_guest *ret, struct errmsg *err)
{
	struct ab_guest guest = { 0 };
	int rc;

	read_machine(root, guest.machine);
	rc = read_line(root, "proc/sys/kernel/random/boot_id", guest.boot, err);
	if (!rc && guest.boot[0] && !has_form(guest.boot, UUID_FORM))
		rc = errmsg_set(err, -EINVAL, "/proc/sys/kernel/random/boot_id: no UUID");
	if (!rc)
		rc = read_line(root, "proc/sys/kernel/osrelease", guest.kernel, err);
	if (!rc)
		*ret = guest;
	return rc;
}
