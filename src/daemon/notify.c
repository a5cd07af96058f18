// SPDX-License-Identifier: GPL-2.0-only
#include "daemon.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sluice/units.h"

void notify(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char text[512];
	va_list args;
	int length, fd;

	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0'; /* abstract socket */
	va_start(args, fmt);
	length = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (length < 0 || (size_t)length >= sizeof(text))
		length = (int)strlen(text);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* the service manager may be gone: nothing to be done about it here */
	(void)!sendto(fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT,
		      (struct sockaddr *)&address,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
	close(fd);
}

uint64_t notify_watchdog_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	int64_t value;

	if (!usec || parse_int(usec, 1, INT64_MAX / 1000, &value, NULL) < 0)
		return 0;
	if (pid) {
		int64_t wanted;

		if (parse_int(pid, 1, INT32_MAX, &wanted, NULL) < 0 || wanted != getpid())
			return 0;
	}
	return (uint64_t)value * NSEC_PER_USEC / 2; /* sd_watchdog_enabled(3): half of the limit */
}
