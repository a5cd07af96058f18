// SPDX-License-Identifier: GPL-2.0-only
/* What the commands share: the daemon's socket, and output. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "sluice/control.h"
#include "sluice/file.h"
#include "sluice/json.h"

/* all connections are taken: the daemon closes a further one at once */
#define BUSY "sluiced is busy with other clients: try again"

#define ANSWER_MAX     ((size_t)4 << 20)
#define ANSWER_SECONDS 60 /* a full scan without BPF in a large guest takes seconds */

static int connect_daemon(const struct cli *cli, struct errmsg *err)
{
	const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, rc;

	rc = snprintf(address.sun_path, sizeof(address.sun_path), "%s/" CONTROL_SOCKET,
		      cli->runtime_dir);
	if (rc < 0 || (size_t)rc >= sizeof(address.sun_path))
		return errmsg_set(err, -ENAMETOOLONG, "\"%s\": too long for a socket's path",
				  cli->runtime_dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errmsg_set(err, -errno, "socket: %m");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); /* connect(2) too */
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	rc = errno == ECONNREFUSED ? -ENOENT : -errno; /* a socket that nobody serves */
	if (rc == -ENOENT)
		errmsg_set(err, rc, "sluiced is not running: nobody serves \"%s\"",
			   address.sun_path);
	else if (rc == -EAGAIN)
		errmsg_set(err, rc, "sluiced does not answer at \"%s\"", address.sun_path);
	else
		errmsg_set(err, rc, "\"%s\": %s", address.sun_path, strerror(-rc));
	close(fd);
	return rc;
}

/* The whole answer; the daemon closes behind it. */
static int read_answer(int fd, json_t **ret, struct errmsg *err)
{
	json_error_t error;
	char *text = NULL;
	json_t *json;
	int rc;

	rc = fd_read_alloc(fd, ANSWER_MAX, &text);
	if (rc == -ECONNRESET)
		return errmsg_set(err, -EBUSY, BUSY);
	if (rc < 0)
		return errmsg_set(err, rc,
				  rc == -EAGAIN ? "sluiced does not answer" :
						  "reading sluiced's answer: %s",
				  strerror(-rc));
	if (!rc) {
		free(text);
		return errmsg_set(err, -EBUSY, BUSY);
	}
	json = json_loads(text, 0, &error);
	free(text);
	if (!json)
		return errmsg_set(err, -EBADMSG, "sluiced's answer is no JSON: %s", error.text);
	if (!json_is_object(json)) {
		json_decref(json);
		return errmsg_set(err, -EBADMSG, "sluiced's answer is no JSON object");
	}
	*ret = json;
	return 0;
}

int ask_daemon(const struct cli *cli, const char *request, json_t **ret, struct errmsg *err)
{
	json_t *json = json_pack("{s:s}", "request", request);
	int rc;

	rc = ask_daemon_json(cli, json, ret, err);
	json_decref(json);
	return rc;
}

int ask_daemon_json(const struct cli *cli, const json_t *request, json_t **ret, struct errmsg *err)
{
	json_t *json = NULL;
	const char *error;
	char line[CONTROL_MAX_REQUEST];
	size_t length;
	int fd, rc;

	length = json_dumpb(request, line, sizeof(line) - 1, JSON_COMPACT);
	if (!length || length >= sizeof(line))
		return errmsg_set(err, -EMSGSIZE, "no memory for the request");
	line[length++] = '\n';
	fd = connect_daemon(cli, err);
	if (fd < 0)
		return fd;
	if (send(fd, line, length, MSG_NOSIGNAL) != (ssize_t)length)
		rc = errno == EPIPE ? errmsg_set(err, -EBUSY, BUSY) :
				      errmsg_set(err, -errno, "asking sluiced: %m");
	else
		rc = read_answer(fd, &json, err);
	close(fd);
	if (rc)
		return rc;
	error = json_string_value(json_object_get(json, "error"));
	if (error) {
		rc = errmsg_set(err, -EREMOTEIO, "sluiced: %s", error);
		json_decref(json);
		return rc;
	}
	*ret = json;
	return 0;
}

int fail(const struct cli *cli, const char *text)
{
	json_t *json;

	if (!cli->json) {
		fprintf(stderr, "sluice: %s\n", text);
		return EXIT_FAILED;
	}
	json = json_pack("{s:i, s:s}", "version", JSON_VERSION, "error", text);
	json_print(json, true, stdout);
	json_decref(json);
	return EXIT_FAILED;
}

int open_observer(bool exports, struct observer **ret, struct errmsg *err)
{
	struct observer_options options = { .best = SOURCE_BPF, .exports = exports };
	int rc;

	if (geteuid())
		return errmsg_set(err, -EPERM, "reading the memory map needs root");
	options.root = root_open("/", err);
	if (options.root < 0)
		return options.root;
	rc = observer_open(&options, ret, err);
	if (rc)
		close(options.root);
	return rc;
}

/* A full scan fills the map, and is the histogram. */
static int look_ourselves(struct observer *observer, const char *request, json_t **ret,
			  struct errmsg *err)
{
	struct snapshot *snap;
	int rc;

	snap = malloc(sizeof(*snap));
	if (!snap)
		return errmsg_set(err, -ENOMEM, "no memory for a snapshot");
	rc = observer_snapshot(observer, SCAN_FULL, snap, err);
	if (!rc && !strcmp(request, REQUEST_HIST))
		*ret = hist_json(snap, observer_topology(observer), observer_blocks(observer));
	else if (!rc && snap->source == SOURCE_BUDDYINFO)
		rc = errmsg_set(err, -ENODATA,
				"there is no map, only the totals of "
				"/proc/buddyinfo: see sluice probe");
	else if (!rc)
		*ret = map_json(observer_topology(observer), observer_blocks(observer));
	free(snap);
	return rc;
}

int look_get(struct look *look, const char *request, json_t **ret, struct errmsg *err)
{
	int rc;

	if (!look->observer) {
		rc = ask_daemon(look->cli, request, ret, err);
		if (rc != -ENOENT)
			return rc;
		rc = open_observer(false, &look->observer, err);
		if (rc)
			return rc;
	}
	return look_ourselves(look->observer, request, ret, err);
}

int expect_no_arguments(const char *command, int argc, char **argv)
{
	static const struct option none[] = { { 0 } };

	if (getopt_long(argc, argv, "", none, NULL) != -1)
		return EXIT_USAGE;
	if (optind == argc)
		return EXIT_OK;
	fprintf(stderr, "sluice %s: unexpected argument \"%s\"; try sluice --help\n", command,
		argv[optind]);
	return EXIT_USAGE;
}

void print_wrapped(FILE *out, const char *text, size_t indent)
{
	size_t column = indent;

	while (*text) {
		const size_t word = strcspn(text, " ");

		if (column > indent && column + 1 + word > CLI_WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		fwrite(text, 1, word, out);
		column += word;
		text += word;
		while (*text == ' ')
			text++;
	}
	fputc('\n', out);
}

void print_field(FILE *out, const char *label, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	fprintf(out, "%-*s", CLI_LABEL, label);
	print_wrapped(out, text ? text : "", CLI_LABEL);
	free(text);
}
