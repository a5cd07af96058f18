// SPDX-License-Identifier: GPL-2.0-only
/*
 * Capabilities by capset(2) itself: libcap's constructor calls prctl(2)
 * (PR_CAPBSET_READ, to find the highest capability), which this daemon never
 * does.
 */
#include "daemon.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

int privileges_drop(unsigned int kernel_version, struct errmsg *err)
{
	static const unsigned int needed[] = {
		CAP_BPF,     /* BPF_PROG_TEST_RUN of the scan */
		CAP_PERFMON, /* bpf_probe_read_kernel() */
		CAP_NET_RAW, /* the packet ring of the kick */
		/*
		 * Until 6.1, for when memory comes and the programs are loaded again: there is
		 * no bpf_rdonly_cast() then, so that libbpf looks for it in the modules'
		 * BTF (BPF_BTF_GET_NEXT_ID).
		 */
		CAP_SYS_ADMIN,
	};
	const size_t nr = sizeof(needed) / sizeof(needed[0]) - (kernel_version >= 6002 ? 1 : 0);
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct have[2], keep[2] = { 0 };

	if (syscall(SYS_capget, &header, have))
		return errmsg_set(err, -errno, "reading the capabilities: %m");
	for (size_t i = 0; i < nr; i++) {
		const unsigned int word = needed[i] / 32;

		keep[word].permitted |= have[word].permitted & 1U << needed[i] % 32;
		keep[word].effective |= have[word].permitted & 1U << needed[i] % 32;
	}
	if (syscall(SYS_capset, &header, keep))
		return errmsg_set(err, -errno, "dropping capabilities: %m");
	return 0;
}
