// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kick, without one: no ring is ever asked of the live kernel.
 *
 * Linked with -Wl,--wrap= for each of these:
 * wrap: socket setsockopt close
 *
 * Unless a test asks for the real one, the socket is /dev/null, and setsockopt()
 * never reaches the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sluice/kick.h"

static struct {
	bool real_socket;
	int socket_errno;
	int setsockopt_errno;
	unsigned int sockets;
	unsigned int rings;
	unsigned int closes;
	int fd;
	struct tpacket_req request;
	char trace[16];
} calls;

int __real_socket(int domain, int type, int protocol);
int __real_close(int fd);

int __wrap_socket(int domain, int type, int protocol);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_close(int fd);

int __wrap_socket(int domain, int type, int protocol)
{
	assert_int_equal(domain, AF_PACKET);
	assert_int_equal(type, SOCK_RAW | SOCK_CLOEXEC);
	assert_int_equal(protocol, 0);
	calls.sockets++;
	strcat(calls.trace, "o");
	if (calls.socket_errno) {
		errno = calls.socket_errno;
		return -1;
	}
	calls.fd = calls.real_socket ? __real_socket(domain, type, protocol) :
				       open("/dev/null", O_RDONLY | O_CLOEXEC);
	return calls.fd;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
	assert_int_equal(fd, calls.fd);
	assert_int_equal(level, SOL_PACKET);
	assert_int_equal(name, PACKET_RX_RING);
	assert_int_equal(size, sizeof(calls.request));
	memcpy(&calls.request, value, sizeof(calls.request));
	calls.rings++;
	strcat(calls.trace, "r");
	errno = calls.setsockopt_errno;
	return calls.setsockopt_errno ? -1 : 0;
}

int __wrap_close(int fd)
{
	assert_int_equal(fd, calls.fd);
	calls.closes++;
	strcat(calls.trace, "c");
	return __real_close(fd);
}

static int reset(void **state)
{
	(void)state;
	memset(&calls, 0, sizeof(calls));
	return 0;
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

#define X86    .page_size = 4096, .pageblock_order = 9, .highest_order = 10
#define ARM16K .page_size = 16384, .pageblock_order = 11, .highest_order = 11
#define ARM64K .page_size = 65536, .pageblock_order = 13, .highest_order = 13

static const struct {
	struct topology topology;
	unsigned int order_limit;
	size_t block_size;	/* 0: out of reach */
	unsigned int reachable; /* then, the highest limit that is not */
} sizes[] = {
	/* order 9 is a THP's, and 0 to 3 have per-CPU lists as well */
	{ { X86, .kernel_version = 6012, .has_thp = true }, 9, 4 << 20, 0 },
	{ { X86, .kernel_version = 6012, .has_thp = true }, 10, 4 << 20, 0 },
	{ { X86, .kernel_version = 6012, .has_thp = true }, 8, 1 << 20, 0 },
	{ { X86, .kernel_version = 6012, .has_thp = true }, 4, 64 << 10, 0 },
	{ { X86, .kernel_version = 6012, .has_thp = true }, 3, 64 << 10, 0 },
	{ { X86, .kernel_version = 6012, .has_thp = true }, 0, 64 << 10, 0 },
	/* off */
	{ { X86, .kernel_version = 6001, .has_thp = true }, 11, 4 << 20, 0 },
	{ { X86, .kernel_version = 6001, .has_thp = true }, UINT_MAX, 4 << 20, 0 },
	{ { X86, .kernel_version = 6001 }, 9, 2 << 20, 0 },
	/* order 0 alone has per-CPU lists */
	{ { X86, .kernel_version = 5010, .has_thp = true }, 9, 2 << 20, 0 },
	{ { X86, .kernel_version = 5012, .has_thp = true }, 0, 8192, 0 },
	/* CONFIG_ARCH_FORCE_MAX_ORDER */
	{ { .page_size = 4096,
	    .pageblock_order = 9,
	    .highest_order = 12,
	    .kernel_version = 6012,
	    .has_thp = true },
	  12,
	  16 << 20,
	  0 },
	/* a THP is the largest extent */
	{ { ARM16K, .kernel_version = 6012, .has_thp = true }, 11, 0, 10 },
	{ { ARM16K, .kernel_version = 6012, .has_thp = true }, 12, 0, 10 },
	{ { ARM16K, .kernel_version = 6012, .has_thp = true }, 10, 16 << 20, 0 },
	{ { ARM16K, .kernel_version = 6012, .has_thp = true }, 8, 4 << 20, 0 },
	{ { ARM16K, .kernel_version = 6012 }, 11, 32 << 20, 0 },
	/* from order 10 on a block is larger than a kick is worth */
	{ { ARM64K, .kernel_version = 6012, .has_thp = true }, 5, 2 << 20, 0 },
	{ { ARM64K, .kernel_version = 6012, .has_thp = true }, 9, 32 << 20, 0 },
	{ { ARM64K, .kernel_version = 6012, .has_thp = true }, 10, 0, 9 },
	{ { ARM64K, .kernel_version = 6012, .has_thp = true }, 13, 0, 9 },
	{ { ARM64K, .kernel_version = 6012, .has_thp = true }, 14, 0, 9 },
};

static void test_block_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct errmsg err = { "" };
		size_t size = 0;
		char words[64];
		int rc;

		rc = kick_block_size(&sizes[i].topology, sizes[i].order_limit, &size, &err);
		assert_int_equal(rc, sizes[i].block_size ? 0 : -ERANGE);
		assert_int_equal(size, sizes[i].block_size);
		if (!rc)
			continue;
		snprintf(words, sizeof(words), "at order limit %u on", sizes[i].order_limit);
		assert_contains(err.text, words);
		snprintf(words, sizeof(words), "only up to %u: set threshold.order",
			 sizes[i].reachable);
		assert_contains(err.text, words);
		/* what it says is so */
		assert_int_equal(
			kick_block_size(&sizes[i].topology, sizes[i].reachable, &size, NULL), 0);
		assert_int_equal(
			kick_block_size(&sizes[i].topology, sizes[i].reachable + 1, &size, NULL),
			-ERANGE);
	}
}

static void test_kick_at(void **state)
{
	const struct topology x86 = { X86, .kernel_version = 6012, .has_thp = true };
	const struct topology arm16k = { ARM16K, .kernel_version = 6012, .has_thp = true };

	(void)state;
	assert_int_equal(kick_at(&arm16k, 11, NULL), -ERANGE);
	assert_string_equal(calls.trace, "");
	assert_int_equal(kick_at(&x86, 9, NULL), 0);
	assert_string_equal(calls.trace, "orc");
	assert_int_equal(calls.request.tp_block_size, 4 << 20);
}

/* The checks of packet_set_ring(), net/packet/af_packet.c; the same from 5.10 on. */
static void assert_kernel_takes(const struct tpacket_req *request)
{
	unsigned int page_size = (unsigned int)sysconf(_SC_PAGESIZE);
	/* TPACKET_HDRLEN, whose alignment is -Wsign-conversion at -Werror */
	const size_t header_size =
		sizeof(struct tpacket_hdr) + TPACKET_ALIGNMENT + sizeof(struct sockaddr_ll);
	unsigned int per_block;

	assert_true((int)request->tp_block_size > 0);
	assert_int_equal(request->tp_block_size % page_size, 0);
	assert_true(request->tp_frame_size >= header_size);
	assert_int_equal(request->tp_frame_size % TPACKET_ALIGNMENT, 0);
	per_block = request->tp_block_size / request->tp_frame_size;
	assert_true(per_block > 0);
	assert_true(per_block <= UINT_MAX / request->tp_block_nr);
	assert_int_equal(per_block * request->tp_block_nr, request->tp_frame_nr);
}

static void test_ring(void **state)
{
	size_t size;

	for (size = (size_t)sysconf(_SC_PAGESIZE); size <= 1 << 30; size *= 2) {
		reset(state);
		assert_int_equal(kick_send(size, NULL), 0);
		assert_string_equal(calls.trace, "orc");
		assert_int_equal(calls.request.tp_block_size, size);
		assert_int_equal(calls.request.tp_block_nr, 1);
		assert_kernel_takes(&calls.request);
	}
}

static void test_bad_block_size(void **state)
{
	static const size_t bad[] = {
		0, 1, 512, 3 * 65536, (4 << 20) + 1, (size_t)1 << 31, SIZE_MAX
	};
	struct errmsg err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(kick_send(bad[i], &err), -EINVAL);
		assert_contains(err.text, "must be a power of two");
	}
	assert_string_equal(calls.trace, "");
}

static const struct {
	int socket_errno;
	int code;
	const char *remedy;
} socket_errors[] = {
	{ EPERM, -EPERM, "CAP_NET_RAW" },
	{ EACCES, -EPERM, "CAP_NET_RAW" },
	{ EAFNOSUPPORT, -EAFNOSUPPORT, "CONFIG_PACKET" },
	{ EAFNOSUPPORT, -EAFNOSUPPORT, "RestrictAddressFamilies=" },
	{ EMFILE, -EMFILE, "packet socket: " },
};

static void test_no_socket(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(socket_errors) / sizeof(socket_errors[0]); i++) {
		struct errmsg err = { "" };

		reset(state);
		calls.socket_errno = socket_errors[i].socket_errno;
		assert_int_equal(kick_probe(&err), socket_errors[i].code);
		assert_contains(err.text, socket_errors[i].remedy);
		memset(&err, 0, sizeof(err));
		assert_int_equal(kick_send(4 << 20, &err), socket_errors[i].code);
		assert_contains(err.text, socket_errors[i].remedy);
		assert_string_equal(calls.trace, "oo");
	}
}

static void test_no_ring(void **state)
{
	struct errmsg err;

	calls.setsockopt_errno = ENOMEM;
	assert_int_equal(kick_send(4 << 20, &err), -ENOMEM);
	assert_contains(err.text, "packet ring of 4194304 bytes");
	assert_contains(err.text, "short of memory");
	assert_string_equal(calls.trace, "orc");

	reset(state);
	calls.setsockopt_errno = EINVAL;
	assert_int_equal(kick_send(4 << 20, &err), -EINVAL);
	assert_string_equal(calls.trace, "orc");
}

/* The probe is harmless, so this one is real: a socket, and no ring. */
static void test_probe(void **state)
{
	struct errmsg err = { "" };
	int code;

	(void)state;
	calls.real_socket = true;
	code = kick_probe(&err);
	assert_true(code == 0 || code == -EPERM || code == -EAFNOSUPPORT);
	assert_int_equal(calls.sockets, 1);
	assert_int_equal(calls.rings, 0);
	assert_int_equal(calls.closes, code == 0);
	if (code < 0)
		print_message("not allowed to kick here: %s\n", err.text);
}

static void test_probe_without_capability(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	calls.real_socket = true;
	if (geteuid() != 0 || kick_probe(NULL) < 0) {
		print_message("SKIPPED: needs root and packet sockets\n");
		skip();
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(setuid(65534) < 0 || kick_probe(NULL) != -EPERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_block_size, reset),
		cmocka_unit_test_setup(test_kick_at, reset),
		cmocka_unit_test_setup(test_ring, reset),
		cmocka_unit_test_setup(test_bad_block_size, reset),
		cmocka_unit_test_setup(test_no_socket, reset),
		cmocka_unit_test_setup(test_no_ring, reset),
		cmocka_unit_test_setup(test_probe, reset),
		cmocka_unit_test_setup(test_probe_without_capability, reset),
	};

	return cmocka_run_group_tests_name("kick", tests, NULL, NULL);
}
