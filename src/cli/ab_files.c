// SPDX-License-Identifier: GPL-2.0-only
/* Where experiments are, and which process runs one. */
#include "ab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/units.h"

#define SUFFIX ".jsonl"

int ab_path(const char *directory, const char *id, const char *suffix, char ret[AB_PATH],
	    struct errmsg *err)
{
	const int length = snprintf(ret, AB_PATH, "%s/%s%s", directory, id, suffix);

	if (length < 0 || length >= AB_PATH)
		return errmsg_set(err, -ENAMETOOLONG, "\"%s/%s%s\": too long", directory, id,
				  suffix);
	return 0;
}

static bool ends_with(const char *text, const char *end)
{
	const size_t length = strlen(text), tail = strlen(end);

	return length > tail && !strcmp(text + length - tail, end);
}

/* The later of two files; what can't be looked at is not later. */
static bool is_later(int directory, const char *name, struct timespec *latest)
{
	struct stat status;

	if (fstatat(directory, name, &status, 0) || !S_ISREG(status.st_mode))
		return false;
	if (status.st_mtim.tv_sec < latest->tv_sec ||
	    (status.st_mtim.tv_sec == latest->tv_sec && status.st_mtim.tv_nsec < latest->tv_nsec))
		return false;
	*latest = status.st_mtim;
	return true;
}

int ab_latest(const char *directory, char ret[AB_PATH], struct errmsg *err)
{
	struct timespec latest = { 0 };
	const struct dirent *entry;
	DIR *dir = opendir(directory);
	bool found = false;
	int rc = 0;

	if (!dir && errno != ENOENT)
		return errmsg_set(err, -errno, "\"%s\": %m", directory);
	while (dir && !rc && (entry = readdir(dir))) {
		if (!ends_with(entry->d_name, SUFFIX) ||
		    !is_later(dirfd(dir), entry->d_name, &latest))
			continue;
		rc = ab_path(directory, entry->d_name, "", ret, err);
		found = true;
	}
	if (dir)
		closedir(dir);
	if (!rc && !found)
		rc = errmsg_set(err, -ENOENT,
				"\"%s\" holds no experiment: begin one with sluice ab run",
				directory);
	return rc;
}

int ab_find(const char *directory, const char *name, char ret[AB_PATH], struct errmsg *err)
{
	if (!name)
		return ab_latest(directory, ret, err);
	if (!strchr(name, '/') && !ends_with(name, SUFFIX))
		return ab_path(directory, name, SUFFIX, ret, err);
	if (strlen(name) >= AB_PATH)
		return errmsg_set(err, -ENAMETOOLONG, "\"%s\": too long", name);
	memcpy(ret, name, strlen(name) + 1);
	return 0;
}

/* The number in the lock's file; 0: none. */
static pid_t read_pid(int fd)
{
	char text[32] = "";
	int64_t pid;

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return parse_int(text, 1, INT32_MAX, &pid, NULL) ? 0 : (pid_t)pid;
}

int ab_lock(const char *directory, int *ret, struct errmsg *err)
{
	char path[AB_PATH], pid[32];
	int fd, length, rc;

	rc = ab_path(directory, AB_LOCK, "", path, err);
	if (rc)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return errmsg_set(err, -errno, "\"%s\": %m", path);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		rc = errno == EWOULDBLOCK ?
			     errmsg_set(err, -EBUSY,
					"process %d runs an experiment: see sluice ab status, or "
					"end it with sluice ab stop",
					(int)read_pid(fd)) :
			     errmsg_set(err, -errno, "\"%s\": %m", path);
		close(fd);
		return rc;
	}
	length = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)length, 0) != length) {
		rc = errmsg_set(err, -errno, "\"%s\": %m", path);
		close(fd);
		return rc;
	}
	*ret = fd;
	return 0;
}

pid_t ab_runner(const char *directory)
{
	char path[AB_PATH];
	pid_t pid = 0;
	int fd;

	if (ab_path(directory, AB_LOCK, "", path, NULL))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	if (flock(fd, LOCK_SH | LOCK_NB))
		pid = read_pid(fd);
	close(fd);
	return pid;
}
