// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket: one request line, one answer, then the connection ends.
 * Everything is bounded: connections, request size, and the time that either
 * side may take.
 */
#include "daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sluice/control.h"
#include "sluice/log.h"
#include "sluice/units.h"

#define MAX_CONNECTIONS 8
#define IDLE_NS		(5 * NSEC_PER_SEC) /* after that a connection may be taken over */

struct connection {
	int fd; /* -1: unused */
	uint64_t since_ns;
	size_t got;
	char request[CONTROL_MAX_REQUEST];
	char *answer;
	size_t answer_length, sent;
};

struct control {
	int listener;
	int epoll;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct connection connections[MAX_CONNECTIONS];
};

static void drop(struct connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	free(connection->answer);
	connection->fd = -1;
	connection->answer = NULL;
}

static int listen_at(struct control *control, struct errmsg *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int rc;

	memcpy(address.sun_path, control->path, sizeof(control->path));
	control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->listener < 0)
		return errmsg_set(err, -errno, "control socket: %m");
	unlink(control->path); /* ours alone: the lock file says that no other daemon runs */
	mask = umask(0117);
	rc = bind(control->listener, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (rc || listen(control->listener, MAX_CONNECTIONS))
		return errmsg_set(err, -errno, "\"%s\": %m", control->path);
	return 0;
}

int control_open(const char *runtime_dir, int epoll, struct control **ret, struct errmsg *err)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct control *control;
	int rc;

	control = calloc(1, sizeof(*control));
	if (!control)
		return errmsg_set(err, -ENOMEM, "memory for the control socket");
	control->epoll = epoll;
	control->listener = -1;
	for (int i = 0; i < MAX_CONNECTIONS; i++)
		control->connections[i].fd = -1;
	rc = snprintf(control->path, sizeof(control->path), "%s/" CONTROL_SOCKET, runtime_dir);
	if (rc < 0 || (size_t)rc >= sizeof(control->path)) {
		rc = errmsg_set(err, -ENAMETOOLONG, "\"%s\": too long for a socket's path",
				runtime_dir);
		goto fail;
	}
	rc = listen_at(control, err);
	if (rc)
		goto fail;
	event.data.ptr = control;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, control->listener, &event)) {
		rc = errmsg_set(err, -errno, "watching the control socket: %m");
		goto fail;
	}
	*ret = control;
	return 0;
fail:
	control_close(control);
	return rc;
}

void control_close(struct control *control)
{
	if (!control)
		return;
	for (int i = 0; i < MAX_CONNECTIONS; i++)
		drop(&control->connections[i]);
	if (control->listener >= 0) {
		close(control->listener);
		unlink(control->path);
	}
	free(control);
}

/* An unused slot, or the oldest one that has idled too long. */
static struct connection *slot(struct control *control, uint64_t now)
{
	struct connection *oldest = NULL;

	for (int i = 0; i < MAX_CONNECTIONS; i++) {
		struct connection *connection = &control->connections[i];

		if (connection->fd < 0)
			return connection;
		if (!oldest || connection->since_ns < oldest->since_ns)
			oldest = connection;
	}
	if (now - oldest->since_ns < IDLE_NS)
		return NULL;
	drop(oldest);
	return oldest;
}

static void take_connection(struct control *control)
{
	int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct epoll_event event = { .events = EPOLLIN };
	const uint64_t now = monotonic_ns();
	struct connection *connection;

	if (fd < 0)
		return;
	connection = slot(control, now);
	if (!connection) {
		close(fd); /* the client sees the end of the file and says so */
		return;
	}
	*connection = (struct connection){ .fd = fd, .since_ns = now };
	event.data.ptr = connection;
	if (epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event))
		drop(connection);
}

static void send_more(struct connection *connection)
{
	while (connection->sent < connection->answer_length) {
		ssize_t n = send(connection->fd, connection->answer + connection->sent,
				 connection->answer_length - connection->sent, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			break;
		connection->sent += (size_t)n;
	}
	drop(connection);
}

/* Whether the line is complete; a request that is too long ends the connection. */
static bool receive(struct connection *connection)
{
	ssize_t n = recv(connection->fd, connection->request + connection->got,
			 sizeof(connection->request) - connection->got, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		drop(connection);
		return false;
	}
	connection->got += (size_t)n;
	if (memchr(connection->request, '\n', connection->got))
		return true;
	if (connection->got == sizeof(connection->request))
		drop(connection);
	return false;
}

static bool peer_is_root(const struct connection *connection)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return !getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) &&
	       peer.uid == 0;
}

static void serve(struct daemon *daemon, struct control *control, struct connection *connection)
{
	struct epoll_event event = { .events = EPOLLOUT, .data.ptr = connection };

	if (!receive(connection))
		return;
	connection->answer =
		answer(daemon, connection->request,
		       (size_t)((char *)memchr(connection->request, '\n', connection->got) -
				connection->request),
		       peer_is_root(connection));
	if (!connection->answer ||
	    epoll_ctl(control->epoll, EPOLL_CTL_MOD, connection->fd, &event)) {
		drop(connection);
		return;
	}
	connection->answer_length = strlen(connection->answer);
	connection->sent = 0;
	send_more(connection);
}

bool control_event(struct daemon *daemon, struct control *control, void *ptr, uint32_t events)
{
	struct connection *connection = ptr;

	if (ptr == control) {
		take_connection(control);
		return true;
	}
	if (connection < control->connections ||
	    connection >= control->connections + MAX_CONNECTIONS)
		return false;
	if (connection->fd < 0)
		return true; /* dropped by an earlier event of this round */
	if (connection->answer)
		send_more(connection);
	else if (events & EPOLLIN)
		serve(daemon, control, connection);
	else
		drop(connection);
	return true;
}
