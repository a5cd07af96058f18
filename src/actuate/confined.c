// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE 1 /* O_PATH */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sluice/confined.h"
#include "sluice/file.h"

/* Where files may be: what stands before the rest of the path. */
struct tree {
	const char *dir;
	bool devices;
};

static const struct tree trees[] = { { "sys", false }, { "proc/sys", false }, { "dev", true } };

/* The tree of @path, and what follows it in *rest; NULL if there is none. */
static const struct tree *find_tree(const char *path, const char **rest)
{
	for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
		const size_t len = strlen(trees[i].dir);

		if (!strncmp(path, trees[i].dir, len) && path[len] == '/') {
			*rest = path + len + 1;
			return &trees[i];
		}
	}
	return NULL;
}

/* glibc has no openat2() yet. */
static int open_beneath(int dir, const char *path, int flags, unsigned long long resolve)
{
	const struct open_how how = {
		.flags = (unsigned int)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve,
	};
	const long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static const char *remedy(int code, const struct tree *tree)
{
	switch (code) {
	case -ENOENT:
		return tree->devices ? " (no such device: is its driver loaded?)" :
				       " (not in this kernel: is its module loaded?)";
	case -EXDEV:
		return " (a symbolic link leads elsewhere: name the file itself)";
	case -ELOOP:
		return " (a symbolic link: name the device itself)";
	case -EACCES:
	case -EPERM:
		return " (root without capabilities may not)";
	case -ENOSYS:
		return " (openat2(2) is missing: Linux 5.6, or what a seccomp filter forbids)";
	default:
		return "";
	}
}

static int check_file(int fd, const char *path, const struct tree *tree, struct errmsg *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return errmsg_set(err, -errno, "/%s: cannot look at it: %s", path, strerror(errno));
	if (tree->devices ? !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode) : !S_ISREG(st.st_mode))
		return errmsg_set(err, -EPERM, "/%s: not used: %s", path,
				  S_ISLNK(st.st_mode) ? "a symbolic link; name the device itself" :
				  tree->devices	      ? "neither a character nor a block device" :
							"no regular file");
	if (st.st_uid != geteuid())
		return errmsg_set(err, -EPERM,
				  "/%s: not used: it belongs to user %u, not to %u (chown it)",
				  path, (unsigned int)st.st_uid, (unsigned int)geteuid());
	if (st.st_mode & S_IWOTH)
		return errmsg_set(err, -EPERM,
				  "/%s: not used: mode %04o lets everyone write it (chmod o-w)",
				  path, (unsigned int)st.st_mode & 07777);
	return 0;
}

/* Opens with @flags, or with @otherwise if that may not be or is read-only. */
static int open_in_tree(int root, const struct tree *tree, const char *rest, int flags,
			int otherwise, struct errmsg *err)
{
	const int follow = tree->devices ? O_NOFOLLOW : 0;
	int dir, fd;

	dir = open_beneath(root, tree->dir, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (dir < 0)
		return errmsg_set(err, dir, "/%s: cannot open: %s (is it mounted?)", tree->dir,
				  strerror(-dir));
	fd = open_beneath(dir, rest, flags | follow, 0);
	if (fd == -EACCES || fd == -EROFS)
		fd = open_beneath(dir, rest, otherwise | follow, 0);
	close(dir);
	if (fd < 0)
		return errmsg_set(err, fd, "/%s/%s: cannot open: %s%s", tree->dir, rest,
				  strerror(-fd), remedy(fd, tree));
	return fd;
}

static int open_checked(int root, const char *path, bool only_check, struct errmsg *err)
{
	const char *rest = NULL;
	const struct tree *tree = find_tree(path, &rest);
	int fd, rc;

	if (!tree || !path_is_plain(path))
		return errmsg_set(err, -EINVAL, "/%s: no plain path below /sys, /proc/sys or /dev",
				  path);
	if (only_check)
		fd = open_in_tree(root, tree, rest, O_PATH, O_PATH, err);
	else if (tree->devices)
		fd = open_in_tree(root, tree, rest, O_RDWR | O_NONBLOCK | O_NOCTTY,
				  O_RDONLY | O_NONBLOCK | O_NOCTTY, err);
	else
		fd = open_in_tree(root, tree, rest, O_WRONLY | O_NOCTTY, O_WRONLY | O_NOCTTY, err);
	if (fd < 0)
		return fd;
	rc = check_file(fd, path, tree, err);
	if (rc)
		close(fd);
	return rc ? rc : fd;
}

int confined_check(int root, const char *path, struct errmsg *err)
{
	const int fd = open_checked(root, path, true, err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int confined_open(int root, const char *path, struct errmsg *err)
{
	/* no driver is asked for anything before it is known whose file this is */
	const int rc = confined_check(root, path, err);

	return rc ? rc : open_checked(root, path, false, err);
}
