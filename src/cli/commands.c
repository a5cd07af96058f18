// SPDX-License-Identifier: GPL-2.0-only
/* The table of commands: dispatch, --help and the man page come from it. */
#include "cli.h"

#include <string.h>

const struct command commands[] = {
	{ "probe", "[--host]", "what kernel and balloon can do, what is missing",
	  "Each thing that is missing stands with its reason and its remedy. Works without the "
	  "daemon, as root; nothing is written.\n"
	  "--host finds out whether the host really releases what is reported, by the time of the "
	  "first touch: what the host released it has to find and zero again. It takes memory, "
	  "frees some of it, kicks, waits until that is reported, and touches it again, by turns "
	  "with memory that was in use all the time; this takes seconds, and no knob is written. "
	  "--memory SIZE is what it takes at the most, 64MiB by default, and never more than a "
	  "quarter of what is free above the low watermarks; all of it is freed at the end. "
	  "--samples N is how many touches of each kind it compares, 64 by default, 60 to 1024. "
	  "Without a verdict it says why. The exit status is the verdict, see below; "
	  "docs/probe-host.md says how to read the answer.",
	  run_probe },
	{ "status", "", "what the daemon sees, decides and has done", NULL, run_status },
	{ "hist", "[OPTIONS]", "free memory by order, run length, age (--view)",
	  "--view orders, the default, shows the extents of each zone by order. The bar is each "
	  "order's share of the zone's free bytes: # reported, + unreported and reportable now, "
	  ". unreported and out of the kernel's reach (below the order limit, or in a zone behind "
	  "its gate). A zone's gate is the free memory that it must exceed before the kernel "
	  "reports from it: low watermark + 32 blocks of the order limit. \"unusable\" is the "
	  "share of the zone's free memory that lies in extents below that order, and so can't "
	  "serve an allocation of that order.\n"
	  "--view runs shows by length what is free in one piece: pageblocks that are free as a "
	  "whole are joined with their neighbours, beyond the highest order; in others each extent "
	  "is a run of its own.\n"
	  "--view ages shows for how long pageblocks have been free as a whole, reported or not. "
	  "The free pieces of other pageblocks are as old as the last change in their pageblock. "
	  "Below stands how long pageblocks had been free (lifetimes), and how long reported "
	  "(reuse), when they were allocated from: what is reused soon was reported in vain.\n"
	  "--view almost-free shows pageblocks of which at least half is free, and how much would "
	  "have to move to free them as a whole.\n"
	  "In all views \"from\" is inclusive and \"below\" exclusive. --watch [SECONDS] repeats "
	  "the view, every 2 seconds by default. The JSON is the same for all views. Works without "
	  "the daemon, as root.",
	  run_hist },
	{ "explain", "", "where all memory is, and what would return it",
	  "Each line is a part of the memory that the kernel manages, with its size, its share and "
	  "what would return it to the host, which depends on the state of guest and daemon. The "
	  "lines add up to all of it, to the page: \"other kernel\" is the remainder. Below stands "
	  "what is not in the sum. Lines without memory are left out, but for what is reported and "
	  "what could be now. Works without the daemon, as root; nothing is written.",
	  run_explain },
	{ "map", "[OPTIONS]", "picture of physical memory: used, free, reported",
	  "R: all of the cell is free and reported, r: at least half of it is, F: all of it is "
	  "free, 1 to 7: at least so many eighths are free, a dot: none of these. A row begins "
	  "with the address of its first cell. The totals below the picture are by pageblock.\n"
	  "A cell is as many pageblocks as make the picture fit the screen. --cell section makes "
	  "it one memory block, the unit of memory hotplug; --cell block, one pageblock. --width N "
	  "is the width in columns; by default that of the terminal, else 80. There are colours on "
	  "a terminal, unless NO_COLOR is set. Works without the daemon, as root.",
	  run_map },
	{ "audit", "", "the map against the kernel's totals, now",
	  "Compares the free-extent map, as events have kept it, with the kernel's own count of "
	  "free pages in each zone, scans, and compares again. What events missed is put down to "
	  "the ways of the kernel that have none, as far as there is evidence for them; the rest "
	  "is unexplained. Exit status 1: the map is still off by more than max_drift, and "
	  "nothing is acted upon. Root only.",
	  run_audit },
	{ "extents", "[OPTION]...", "every free extent with its place, for tools",
	  "Extents are listed in ascending order of their page frame numbers (PFN), one entry per "
	  "line. --format ranges, the default, prints PFN PAGES for each piece of free memory, "
	  "neighbouring extents merged; --format orders prints PFN ORDER and \"reported\" or "
	  "\"-\" for each extent of the buddy allocator; --format bitmap prints PFN and a line of "
	  "up to 64 digits, one per pageblock from PFN on: 1 is wholly free. --order N leaves out "
	  "extents below order N; by default none, and with a bitmap those below the order of a "
	  "pageblock. --output FILE writes to a file. --binary writes a compact form, see below. "
	  "The number of entries, their size in that form and the time taken stand on standard "
	  "error, or in the JSON. Works without the daemon, as root.",
	  run_extents },
	{ "check", "[FILE]", "check a configuration file; every error at once",
	  "Errors go to standard error as file:line: name: value: what is allowed.", run_check },
	{ "kick", "", "make the kernel look for memory to report, once",
	  "Allocates and frees a packet ring of one block; a pass follows after the kernel's delay "
	  "if "
	  "something can be reported at the order limit.",
	  run_kick },
	{ "drain", "[OPTIONS]", "barrier: wait until all that can be is reported",
	  "Has the daemon sweep and kick until nothing that the kernel would report at the order "
	  "is "
	  "unreported: before a pause, a snapshot or a migration. --wait waits for that, with "
	  "progress on a terminal; what is left stands below, by reason. Without it the drain is "
	  "only begun. --order N drains at order N instead of a pageblock's; not below order.floor "
	  "of the configuration. --prepare first empties per-CPU lists, and lets configured "
	  "preparation go on. --timeout DURATION, 5min "
	  "by "
	  "default, ends the drain. While it runs no strategy and no guard decides; afterwards the "
	  "strategy begins anew and the knobs hold what it wants. Interrupted (Ctrl-C), a drain "
	  "that "
	  "is waited for ends; a client that is killed leaves it to end by itself. --stop ends it. "
	  "Takes mode = \"control\".\n"
	  "--json prints one document: \"drain\" is \"dry\", \"timeout\", \"stopped\", "
	  "\"failed\" or, without --wait, \"running\". Exit status 0: dry; 2: the time was over; "
	  "1: "
	  "anything else, wrong usage too.",
	  run_drain },
	{ "ab", "VERB [OPTIONS]", "compare two configurations on this guest",
	  "run --a A.conf --b B.conf puts the two in force by turns, in an order drawn at "
	  "random, "
	  "measures what they differ in, and reports a verdict; docs/ab.md says how to plan one "
	  "and "
	  "how to read it. The schedule is printed and written to the experiment's file before it "
	  "starts; --schedule only prints it. Afterwards, and whatever happens, the daemon's own "
	  "configuration returns: an arm is in force for as long as this command renews its "
	  "lease.\n"
	  "--design abba (the default: blocks ABBA or BAAB) or pairs (AB or BA). --blocks N (10). "
	  "--period DURATION (3min) is the time under one arm, of which the first --washout "
	  "DURATION "
	  "(1min) is not measured. --seed N draws the same order again. --primary OUTCOME "
	  "(unreported) is the outcome that the verdict rests on, and --margin PERCENT (5) the "
	  "difference below which it does not matter. --sample DURATION (2s, or a "
	  "quarter of what is measured of a period where that is less) is the time between two "
	  "looks. --name ID names the experiment, --dir DIR (/var/lib/sluice/ab) is where its file "
	  "is.\n"
	  "--metric NAME=COMMAND adds an outcome of your own: the command is run by sh(1) at each "
	  "look and prints one number; a period's value is their mean. A command that fails, "
	  "prints "
	  "anything else or takes longer than --metric-timeout DURATION (10s) counts as missing. "
	  "Less "
	  "is better unless --higher NAME says otherwise. --host-feed PATH is a file, or a port of "
	  "virtio-serial, with the bytes of this guest that are resident on the host, one number "
	  "per "
	  "line, written there every few seconds: outcome \"host\".\n"
	  "It stops by itself when tasks waited for memory --stop-pressure PERCENT (20) of 10 s, "
	  "when "
	  "--stop-churn PERCENT (80) of what was reported in 10 s was used again, when "
	  "--stop-errors "
	  "PERCENT (50) of the samples of metrics failed, 0 for never; and when someone else "
	  "writes "
	  "a knob. A block that is disturbed (sluiced is restarted, memory is drained) is measured "
	  "again. --resume[=NAME] goes on with an experiment whose process has ended.\n"
	  "status [--watch] [NAME] shows how far it is, with a running estimate, which is no "
	  "result. stop ends it. report [--html PAGE] [NAME] prints the report, or writes one "
	  "page with plots (by gnuplot). plan [--effect PERCENT] [--power PERCENT] [NAME] says "
	  "how "
	  "many blocks it takes to find such an effect, by what a pilot varied. NAME is an ID or a "
	  "file; without it the latest is meant. report and plan work anywhere, from the file "
	  "alone.",
	  run_ab },
	{ "restore", "", "give every knob its old value back",
	  "With a running daemon: the daemon gives its knobs back and controls nothing until it is "
	  "reloaded (SIGHUP). Without: what a killed daemon left behind is undone from its "
	  "journal.",
	  run_restore },
	{ 0 },
};

const struct command *find_command(const char *name)
{
	for (const struct command *command = commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

void print_commands(FILE *out)
{
	for (const struct command *command = commands; command->name; command++)
		fprintf(out, "  %-8s%-20s  %s\n", command->name, command->arguments,
			command->summary);
}

/* A new line in @text begins a new paragraph below the command. */
static void print_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n') {
			fputs("\n\n\t", out);
			continue;
		}
		if (strchr("#_*\\~-", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

void print_commands_scdoc(FILE *out)
{
	for (const struct command *command = commands; command->name; command++) {
		fprintf(out, "*%s* %s\n\t%c%s.", command->name, command->arguments,
			command->summary[0] - 'a' + 'A', command->summary + 1);
		if (command->help) {
			fputc(' ', out);
			print_escaped(out, command->help);
		}
		fputs("\n\n", out);
	}
}
