/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kick: makes the kernel look for memory to report.
 *
 * Mainline has no "report now". A pass is queued only when a free ends, after
 * merging, at an order of at least page_reporting_order
 * (page_reporting_notify_free() in __free_one_page(), mm/page_alloc.c). Frees
 * that a process causes mostly stop in the per-CPU lists. The ring of a packet
 * socket does not: its blocks are single allocations of any order
 * (alloc_one_pg_vec_page(), net/packet/af_packet.c), so closing the socket frees
 * a block of an order that has no per-CPU list straight into the buddy lists.
 * Nothing is received: the socket is bound to no protocol.
 *
 * So the order of the block has to be at least the limit in force, and one
 * without a per-CPU list:
 *
 *   4 KiB pages    limit 9, a THP's order, needs order 10: 4 MiB
 *   16 KiB pages   limit 11 is a THP's order and the highest: no block will do
 *   64 KiB pages   limit 5, which virtio_balloon sets, needs order 5: 2 MiB
 *
 * A block below the limit goes back to the extent it was split from, which was
 * below the limit too. Seen on 6.12 with 16 KiB pages: at limit 9 no pass after
 * six blocks of order 8, one after a block of order 9; at limit 11 a block of
 * order 11 was freed to a per-CPU list, and was the next one allocated.
 */
#ifndef SLUICE_KICK_H
#define SLUICE_KICK_H

#include <stddef.h>

#include "sluice/errmsg.h"
#include "sluice/topology.h"

/* The kernel zeroes the block, so the host has to back it: a kick is not worth more. */
#define KICK_MAX_BYTES ((size_t)32 * 1024 * 1024)

/*
 * Bytes of the smallest block that starts a pass at the order limit
 * @order_limit. -ERANGE with the remedy in @err if the kernel has no such order,
 * or only above KICK_MAX_BYTES. A limit above the highest order means that
 * reporting is off: as the highest.
 */
int kick_block_size(const struct topology *topology, unsigned int order_limit, size_t *ret,
		    struct errmsg *err);

/*
 * Whether this process may kick: 0, -EPERM (CAP_NET_RAW), -EAFNOSUPPORT (no
 * CONFIG_PACKET), with the remedy in @err. Allocates no ring.
 */
int kick_probe(struct errmsg *err);

/*
 * Allocates and frees one block of @block_size bytes. 0 means that the kernel
 * did so, not that a pass was queued: if no contiguous block was free it falls
 * back to vmalloc; only a later scan tells. Errors as kick_probe(), -ENOMEM
 * besides, -EINVAL for a size that is no power of two of at least a page. Zeroes
 * the block, so the host may have to back it again. Blocks for two grace periods
 * (packet_set_ring() calls synchronize_net(), and so does the close).
 */
int kick_send(size_t block_size, struct errmsg *err);

/* Kicks at an order limit: errors as kick_block_size() and kick_send(). */
int kick_at(const struct topology *topology, unsigned int order_limit, struct errmsg *err);

#endif
