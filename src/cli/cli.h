/* SPDX-License-Identifier: GPL-2.0-only */
/* The client's parts: one file per subcommand, one table that lists them. */
#ifndef SLUICE_CLI_H
#define SLUICE_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "sluice/errmsg.h"
#include "sluice/observe.h"

#define CLI_WIDTH 80 /* text output fits this many columns */

/* Exit statuses, the same for every command. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_KEEPS = 3,	  /* probe --host: the host does not release what is reported */
	EXIT_UNKNOWN = 4, /* probe --host: can't tell */
};

struct cli {
	const char *runtime_dir;
	bool json;
};

struct command {
	const char *name;
	const char *arguments; /* as in the usage line; "" if there are none */
	const char *summary;   /* one line */
	const char *help;      /* further sentences for the man page, or NULL */
	int (*run)(const struct cli *cli, int argc, char **argv);
};

extern const struct command commands[]; /* ends with a NULL name */

/* NULL: there is none of that name. */
const struct command *find_command(const char *name);

int run_probe(const struct cli *cli, int argc, char **argv);
int run_status(const struct cli *cli, int argc, char **argv);
int run_hist(const struct cli *cli, int argc, char **argv);
int run_explain(const struct cli *cli, int argc, char **argv);
int run_map(const struct cli *cli, int argc, char **argv);
int run_audit(const struct cli *cli, int argc, char **argv);
int run_extents(const struct cli *cli, int argc, char **argv);
int run_check(const struct cli *cli, int argc, char **argv);
int run_kick(const struct cli *cli, int argc, char **argv);
int run_drain(const struct cli *cli, int argc, char **argv);
int run_ab(const struct cli *cli, int argc, char **argv);
int run_restore(const struct cli *cli, int argc, char **argv);

/*
 * sluice probe --host: touches at most @memory bytes at a time; @samples is from
 * TRUTH_LEAST_PAIRS to TRUTH_MOST_PAIRS.
 */
int probe_host(const struct cli *cli, unsigned int samples, uint64_t memory);

void print_commands(FILE *out);	      /* for --help */
void print_commands_scdoc(FILE *out); /* for the man page */

/*
 * Asks the daemon. 0 and *ret (owned by the caller), -ENOENT if no daemon runs,
 * another -errno if it does not answer, or -EREMOTEIO with the daemon's words.
 */
int ask_daemon(const struct cli *cli, const char *request, json_t **ret, struct errmsg *err);

/* The same with a request that has members besides its name; @request stays the caller's. */
int ask_daemon_json(const struct cli *cli, const json_t *request, json_t **ret, struct errmsg *err);

/* Prints {"version":1,"error":...} to standard output or the text to standard error. */
int fail(const struct cli *cli, const char *text);

/*
 * An observer without events, for a look without the daemon; needs root. @exports:
 * for observer_extents().
 */
int open_observer(bool exports, struct observer **ret, struct errmsg *err);

/*
 * Where hist and map look: into the daemon's answers if one runs, else through an
 * observer of this client's own, which then stays open; closed by the caller.
 */
struct look {
	const struct cli *cli;
	struct observer *observer; /* NULL: the daemon answers */
};

/*
 * The answer to REQUEST_HIST or REQUEST_MAP, owned by the caller. 0, or -errno with
 * a reason.
 */
int look_get(struct look *look, const char *request, json_t **ret, struct errmsg *err);

/* "label      text text text", wrapped at CLI_WIDTH, further lines indented. */
#define CLI_LABEL 12
void print_field(FILE *out, const char *label, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Words of @text from column @indent on, wrapped at CLI_WIDTH, and a newline. */
void print_wrapped(FILE *out, const char *text, size_t indent);

/* No more arguments than options took: EXIT_OK, or EXIT_USAGE after a message. */
int expect_no_arguments(const char *command, int argc, char **argv);

#endif
