/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small files below one replaceable root.
 *
 * Every path of the kernel that sluice reads or writes is relative to a root
 * directory descriptor (an O_PATH descriptor of "/" in the programs, of a
 * fixture tree in the unit tests), so that paths are written without a leading
 * slash: "proc/buddyinfo".
 */
#ifndef SLUICE_FILE_H
#define SLUICE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sluice/errmsg.h"

/* Opens @dir as a root; returns a descriptor that the caller closes, or -errno. */
int root_open(const char *dir, struct errmsg *err);

/*
 * Whether @path, relative to a root, says where it leads: printable ASCII without blanks,
 * no empty component, no "." and no "..".
 */
bool path_is_plain(const char *path);

/* Whether @path exists below @root. */
bool file_exists(int root, const char *path);

/*
 * Reads a whole file of at most @size - 1 bytes into @buf and terminates it.
 * Returns the number of bytes, or -errno; -EFBIG if the file is longer than the
 * buffer, -EINVAL if it holds a NUL byte.
 */
int file_read(int root, const char *path, char *buf, size_t size, struct errmsg *err);

/*
 * The single line of a file, without its newline; -EINVAL if it is not one whole
 * line, for a number that lacks its newline may be cut off. Else as file_read().
 */
int file_read_line(int root, const char *path, char *buf, size_t size, struct errmsg *err);

/*
 * Reads a whole file of at most @limit bytes into memory that the caller frees.
 * Errors as file_read(), -ENOMEM besides. *ret is written on success only.
 */
int file_read_alloc(int root, const char *path, size_t limit, char **ret, struct errmsg *err);

/*
 * Reads from an open descriptor until @size bytes are there or the file ends;
 * returns their number, or -errno. Nothing is terminated.
 */
ssize_t fd_read(int fd, char *buf, size_t size);

/*
 * As file_read_alloc() for an open descriptor, from where it stands, for callers with their
 * own texts: returns the number of bytes, or -errno (-EFBIG, -ENOMEM, read(2)).
 * The text is terminated; NUL bytes in it pass.
 */
int fd_read_alloc(int fd, size_t limit, char **ret);

/* Reads a file that holds one decimal integer; surrounding white space is allowed. */
int file_read_int(int root, const char *path, int64_t *ret, struct errmsg *err);

/*
 * Writes @text with a single write(2), as sysfs wants it: the file is neither
 * created nor truncated. Returns 0 or -errno; -EINTR is passed on, for a write
 * that starts reclaim or compaction must not be repeated; -EIO for a short write.
 */
int file_write(int root, const char *path, const char *text, struct errmsg *err);

/* All of @size bytes, in as many writes as it takes; 0 or -errno. Not for files of the kernel. */
int fd_write_all(int fd, const char *text, size_t size);

/* As file_write() to an open descriptor; @path is for the message. */
int fd_write(int fd, const char *path, const char *text, struct errmsg *err);

#endif
