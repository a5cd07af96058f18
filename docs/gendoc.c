// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes documents from the tables in the code: "gendoc man FILE.scd" replaces
 * the lines @COMMANDS@ and @OPTIONS@, "gendoc example" prints the commented
 * default configuration, "gendoc options GROUP" a table in Markdown. A build tool,
 * not installed.
 */
#include <stdio.h>
#include <string.h>

#include "../src/cli/cli.h"
#include "sluice/config.h"
#include "sluice/version.h"

static int make_man(const char *path)
{
	FILE *in = fopen(path, "re");
	char line[1024];

	if (!in) {
		fprintf(stderr, "gendoc: \"%s\": %m\n", path);
		return 1;
	}
	while (fgets(line, sizeof(line), in)) {
		if (!strcmp(line, "@COMMANDS@\n"))
			print_commands_scdoc(stdout);
		else if (!strcmp(line, "@OPTIONS@\n"))
			config_print_scdoc(stdout);
		else
			fputs(line, stdout);
	}
	fclose(in);
	return fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "man"))
		return make_man(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "example")) {
		config_print_example(stdout);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "options") && config_print_group(argv[2], stdout))
		return 0;
	fputs("usage: gendoc man FILE | gendoc example | gendoc options GROUP\n", stderr);
	return 2;
}
