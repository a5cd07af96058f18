// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs in the guest: sends one line to sluiced, and prints what it answers.
 *
 *	ask LINE [SOCKET]
 *
 * For requests that are for programs, which the client has no command for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int send_line(int fd, const char *line)
{
	const size_t length = strlen(line);

	if (write(fd, line, length) != (ssize_t)length || write(fd, "\n", 1) != 1)
		return -EIO;
	return 0;
}

static int print_answer(int fd)
{
	char part[4096];
	ssize_t got;

	while ((got = read(fd, part, sizeof(part))) > 0)
		fwrite(part, 1, (size_t)got, stdout);
	putchar('\n');
	return got < 0 ? -errno : 0;
}

static int ask(const char *line, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, rc = 0;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		rc = -errno;
	if (!rc)
		rc = send_line(fd, line);
	if (!rc)
		rc = print_answer(fd);
	close(fd);
	return rc;
}

int main(int argc, char **argv)
{
	int rc;

	if (argc < 2 || argc > 3) {
		fputs("usage: ask LINE [SOCKET]\n", stderr);
		return 2;
	}
	rc = ask(argv[1], argc > 2 ? argv[2] : "/run/sluice/control");
	if (rc)
		fprintf(stderr, "ask: %s\n", strerror(-rc));
	return rc ? 1 : 0;
}
