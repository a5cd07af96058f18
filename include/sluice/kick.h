/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kick: makes the kernel look for memory to report.
 *
 * Mainline has no "report now". A pass is queued only when a free ends, after
 * merging, at an order of at least page_reporting_order
 * (page_reporting_notify_free() in __free_one_page(), mm/page_alloc.c). Frees
 * that a process causes mostly stop in the per-CPU lists. The ring of a packet
 * socket does not: a block of 4 MiB is order 10, which has no per-CPU list
 * (alloc_one_pg_vec_page(), net/packet/af_packet.c), so closing the socket
 * frees it straight into the buddy lists. Nothing is received: the socket is
 * bound to no protocol.
 */
#ifndef SLUICE_KICK_H
#define SLUICE_KICK_H

#include <stddef.h>

#include "sluice/errmsg.h"

/*
 * Size of the block for a kernel whose highest order is @highest_order: the
 * highest order's, but 4 MiB at the most. Bytes.
 */
size_t kick_block_size(size_t page_size, int highest_order);

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

#endif
