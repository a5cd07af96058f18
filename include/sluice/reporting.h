/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Free page reporting as this kernel and this guest's devices offer it: read
 * only, nothing is tried out by writing.
 */
#ifndef SLUICE_REPORTING_H
#define SLUICE_REPORTING_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/errmsg.h"
#include "sluice/topology.h"

/* Feature bits of virtio-balloon, include/uapi/linux/virtio_balloon.h */
#define BALLOON_F_DEFLATE_ON_OOM 2
#define BALLOON_F_PAGE_POISON	 4
#define BALLOON_F_REPORTING	 5
#define VIRTIO_ID_BALLOON	 5

/* PAGE_REPORTING_DELAY, mm/page_reporting.c: from the request to the pass */
#define REPORTING_DELAY_NS UINT64_C(2000000000)

enum reporting_backend {
	BACKEND_NONE,
	BACKEND_VIRTIO,
	BACKEND_HYPERV,
};

struct reporting {
	enum reporting_backend backend;
	char device[32]; /* "virtio0" */
	bool driver_bound;
	bool feature_reporting;	     /* negotiated */
	bool feature_poison;	     /* negotiated: the host knows what free pages hold */
	bool feature_deflate_on_oom; /* negotiated: inflated pages remain managed */
	/*
	 * Free pages hold a pattern that the host has to keep: with page poisoning
	 * virtballoon_probe() in drivers/virtio/virtio_balloon.c tells it a value other than 0;
	 * with init_on_free it is 0, and pages may be dropped.
	 */
	bool poisoned;
	bool has_order; /* page_reporting_order: 5.14+ */
	int64_t order;	/* its value; -1 before a driver registers, since 6.2 */
	bool off_value; /* orders above the highest are taken and switch reporting off: until 6.1 */
	bool has_delay; /* page_reporting_delay_ms: 7.3+ */
	uint64_t delay_ns; /* from request to pass: the knob, or the kernel's constant */
};

/* Never fails: what can't be read is not there. */
void reporting_read(int root, const struct topology *topology, struct reporting *reporting);

/*
 * Whether the kernel can report to the host: 0, or -ENODEV, -EOPNOTSUPP, -ENXIO
 * with a sentence that names the reason and the remedy.
 */
int reporting_usable(const struct reporting *reporting, struct errmsg *err);

/*
 * The order limit in force: from this order on a free starts a pass. Without a
 * knob, or before a driver has set it, the kernel's default, pageblock order
 * (PAGE_REPORTING_MIN_ORDER until 5.13).
 */
unsigned int reporting_order_limit(const struct reporting *reporting,
				   const struct topology *topology);

const char *reporting_backend_name(enum reporting_backend backend);

#endif
