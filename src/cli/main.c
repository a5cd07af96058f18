// SPDX-License-Identifier: GPL-2.0-only
/* sluice: options, and the command that does the work. */
#include "cli.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "sluice/version.h"

#define RUNTIME_DEFAULT "/run/sluice"

static void print_usage(FILE *out)
{
	fputs("sluice " SLUICE_VERSION
	      " - free memory of this guest: what is free, what is reported, why\n"
	      "\n"
	      "Usage: sluice [--json] [--runtime-dir DIR] COMMAND [ARGUMENTS]\n"
	      "\n",
	      out);
	print_commands(out);
	fputs("\n"
	      "  --json             print JSON\n"
	      "  --runtime-dir DIR  where sluiced runs (default " RUNTIME_DEFAULT ")\n"
	      "  --help, --version\n",
	      out);
}

/* --json is understood behind the command as well; returns what is left of the arguments. */
static int take_json(struct cli *cli, int argc, char **argv)
{
	int kept = 0;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			cli->json = true;
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return kept;
}

/* Output that could not be written (a full disk) is a failure. */
static int finish(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	if (status == EXIT_OK)
		fprintf(stderr, "sluice: standard output: %m\n");
	return status == EXIT_OK ? EXIT_FAILED : status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ 0 },
	};
	struct cli cli = { .runtime_dir = RUNTIME_DEFAULT };
	const struct command *command;
	int c, status;

	/* "+": what stands behind the command is the command's */
	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			cli.json = true;
			break;
		case 'r':
			cli.runtime_dir = optarg;
			break;
		case 'h':
			print_usage(stdout);
			return finish(EXIT_OK);
		case 'v':
			puts("sluice " SLUICE_VERSION);
			return finish(EXIT_OK);
		default:
			fputs("Try sluice --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	command = find_command(argv[optind]);
	if (!command) {
		fprintf(stderr, "sluice: unknown command \"%s\"; try sluice --help\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	argc -= optind;
	argv += optind;
	argc = take_json(&cli, argc, argv);
	optind = 0; /* glibc: start anew with the command's own arguments */
	status = command->run(&cli, argc, argv);
	return finish(status);
}
