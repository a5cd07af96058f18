// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sluice/kick.h"
#include "sluice/units.h"

/* Whether a free of this order goes straight to the buddy lists, at a price worth paying. */
static bool can_kick(const struct topology *topology, unsigned int order)
{
	return !(topology_pcp_orders(topology) >> order & 1) &&
	       topology->page_size << order <= KICK_MAX_BYTES;
}

int kick_block_size(const struct topology *topology, unsigned int order_limit, size_t *ret,
		    struct errmsg *err)
{
	const unsigned int highest = topology->highest_order;
	unsigned int order = order_limit < highest ? order_limit : highest;

	while (order <= highest && !can_kick(topology, order))
		order++;
	if (order <= highest) {
		*ret = topology->page_size << order;
		return 0;
	}
	for (order = highest; order && !can_kick(topology, order);)
		order--;
	errmsg_set(err, -ERANGE,
		   "no kick starts a pass at order limit %u on this kernel, only up to %u: "
		   "set threshold.order and order.floor to %u or less",
		   order_limit, order, order);
	return -ERANGE;
}

/* Returns the descriptor or -errno. Protocol 0: the socket never sees a packet. */
static int open_socket(struct errmsg *err)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int code;

	if (fd >= 0)
		return fd;
	code = -errno;
	switch (code) {
	case -EPERM:
	case -EACCES: /* a security module said no */
		return errmsg_set(err, -EPERM,
				  "packet socket: %s: the kick needs CAP_NET_RAW in the user "
				  "namespace that owns the network namespace; run as root, outside "
				  "of containers",
				  strerror(-code));
	case -EAFNOSUPPORT:
		return errmsg_set(err, code,
				  "packet socket: %s: the kick needs CONFIG_PACKET (try \"modprobe "
				  "af_packet\"), and AF_PACKET in RestrictAddressFamilies= of the "
				  "systemd unit if that is set",
				  strerror(-code));
	default:
		return errmsg_set(err, code, "packet socket: %s", strerror(-code));
	}
}

int kick_probe(struct errmsg *err)
{
	int fd = open_socket(err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/*
 * What packet_set_ring() asks of a TPACKET_V1 ring (the default version), from
 * 5.10 on: a positive int of whole pages for the block, frames that hold the header
 * (TPACKET_HDRLEN) and are a multiple of TPACKET_ALIGNMENT, and exactly as many
 * of them as fit. A page per frame meets that on every page size, and keeps the
 * kernel's bitmap of frames small.
 */
static int make_request(size_t block_size, struct tpacket_req *ret, struct errmsg *err)
{
	size_t page_size = (size_t)sysconf(_SC_PAGESIZE);

	if (block_size < page_size || block_size > INT_MAX || (block_size & (block_size - 1)))
		return errmsg_set(err, -EINVAL,
				  "block of %zu bytes: must be a power of two from %zu to %d",
				  block_size, page_size, INT_MAX);
	*ret = (struct tpacket_req){
		.tp_block_size = (unsigned int)block_size,
		.tp_block_nr = 1,
		.tp_frame_size = (unsigned int)page_size,
		.tp_frame_nr = (unsigned int)(block_size / page_size),
	};
	return 0;
}

int kick_send(size_t block_size, struct errmsg *err)
{
	struct tpacket_req request;
	int code;
	int fd;

	code = make_request(block_size, &request, err);
	if (code < 0)
		return code;
	fd = open_socket(err);
	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0) {
		code = -errno;
		errmsg_set(err, code, "packet ring of %zu bytes: %s%s", block_size, strerror(-code),
			   code == -ENOMEM ? ": the guest is short of memory; kick later" : "");
	}
	/* This frees the block, before it returns (packet_release()). */
	close(fd);
	return code;
}

int kick_at(const struct topology *topology, unsigned int order_limit, struct errmsg *err)
{
	size_t size;
	int rc;

	rc = kick_block_size(topology, order_limit, &size, err);
	return rc ? rc : kick_send(size, err);
}
