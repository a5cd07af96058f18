/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that the configuration names: opened without leaving the tree that they are
 * named in (openat2(2) with RESOLVE_BENEATH, Linux 5.6: symbolic links of sysfs are
 * followed, but not out of it), and only what nobody but this process' user, root, can
 * have put or opened there.
 */
#ifndef SLUICE_CONFINED_H
#define SLUICE_CONFINED_H

#include "sluice/errmsg.h"

/*
 * Opens a file below "sys/" or "proc/sys/" for writing, or a device below "dev/" for
 * ioctls: read-write, or read-only if it can't be written, not blocking. @path is plain
 * (path_is_plain()), relative to @root. Returns a descriptor for the caller to close;
 * -EINVAL if @path is below none of the three;
 * -ENOENT, -EACCES, ... from openat2(2), -EXDEV if a link leads out of the tree;
 * -EPERM if it is neither a regular file (a character or block device below dev/), or
 *        belongs to someone else, or everyone may write it.
 */
int confined_open(int root, const char *path, struct errmsg *err);

/* The same checks without opening it: 0 or -errno. */
int confined_check(int root, const char *path, struct errmsg *err);

#endif
