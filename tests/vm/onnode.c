// SPDX-License-Identifier: GPL-2.0-only
/* Runs a command whose memory, page cache too, comes from one NUMA node; as numactl --membind. */
#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_NODE 63

int main(int argc, char **argv)
{
	unsigned long node, mask;
	char *end;

	if (argc < 3) {
		fputs("usage: onnode NODE COMMAND [ARGUMENT...]\n", stderr);
		return EXIT_FAILURE;
	}
	node = strtoul(argv[1], &end, 10);
	if (!*argv[1] || *end || node > MAX_NODE) {
		fprintf(stderr, "onnode: node '%s' is not from 0 to %d\n", argv[1], MAX_NODE);
		return EXIT_FAILURE;
	}
	mask = 1UL << node;
	/* one more than there are bits: set_mempolicy(2) */
	if (syscall(SYS_set_mempolicy, MPOL_BIND, &mask, 8 * sizeof(mask) + 1)) {
		fprintf(stderr, "onnode: node %lu: %s\n", node, strerror(errno));
		return EXIT_FAILURE;
	}
	execvp(argv[2], argv + 2);
	fprintf(stderr, "onnode: %s: %s\n", argv[2], strerror(errno));
	return EXIT_FAILURE;
}
