// SPDX-License-Identifier: GPL-2.0-only
/* Walks over all free extents, from the export program or from /proc/kpageflags. */
#include "sluice/extents.h"

#include <errno.h>

#include "observer.h"
#include "sluice/clock.h"

#define BATCH 256 /* extents between two looks at the clock */

struct walk {
	struct observer *observer;
	unsigned int lowest;
	extent_visitor visit;
	void *context;
	struct extents_summary summary;
	unsigned int nr;
	struct free_extent batch[BATCH];
};

/* Shows the visitor what has been gathered. */
static int flush(struct walk *walk)
{
	const uint64_t start = monotonic_ns();
	int rc = 0;

	for (unsigned int i = 0; !rc && i < walk->nr; i++)
		rc = walk->visit(walk->context, &walk->batch[i]);
	walk->nr = 0;
	walk->summary.visit_ns += monotonic_ns() - start;
	return rc;
}

/* An extent_visitor. */
static int gather(void *context, const struct free_extent *extent)
{
	struct walk *walk = context;

	if (extent->order < walk->lowest)
		return 0;
	walk->summary.extents[extent->order]++;
	walk->batch[walk->nr++] = *extent;
	return walk->nr == BATCH ? flush(walk) : 0;
}

static int gather_words(struct walk *walk, const uint64_t *words, uint32_t nr)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < nr; i++) {
		const struct free_extent extent = {
			.pfn = words[i] >> SLUICE_EXTENT_PFN_SHIFT,
			.order = words[i] & (SLUICE_MAX_ORDERS - 1),
			.reported = words[i] & SLUICE_EXTENT_REPORTED,
		};

		rc = gather(walk, &extent);
	}
	return rc;
}

static int walk_bpf(struct walk *walk, const struct pfn_range *range, struct errmsg *err)
{
	struct sluice_export_args args = {
		.next_pfn = range->start,
		.end_pfn = range->end,
		.lowest_order = walk->lowest,
	};
	int rc = 0;

	while (!rc && args.next_pfn < args.end_pfn) {
		const uint64_t *words;

		rc = bpf_export(walk->observer->bpf, &args, &words, err);
		if (!rc)
			rc = gather_words(walk, words, args.entries);
		walk->summary.probes += args.probes;
	}
	return rc;
}

static int walk_all_bpf(struct walk *walk, struct errmsg *err)
{
	const struct topology *topology = &walk->observer->topology;
	int rc = 0;

	for (unsigned int i = 0; !rc && i < topology->nr_ranges; i++)
		rc = walk_bpf(walk, &topology->online[i], err);
	return rc;
}

/* In full whatever the lowest order: heads take some blocks for free on their word. */
static int walk_all_kpageflags(struct walk *walk, struct errmsg *err)
{
	struct observer *observer = walk->observer;

	return kpageflags_visit(observer->kpageflags, observer_blocks(observer),
				&observer->topology, gather, walk, &walk->summary.probes, err);
}

/* The kernel's own counts, to hold the walk against. */
static int read_totals(struct walk *walk, struct errmsg *err)
{
	struct sluice_zone_info zones[SLUICE_MAX_ZONES];
	unsigned int nr;
	int rc;

	rc = observer_read_zones(walk->observer, zones, &nr, err);
	if (!rc && !topology_is_current(walk->observer->root, &walk->observer->topology, zones, nr))
		return errmsg_set(err, -EAGAIN, "memory came or went meanwhile");
	for (unsigned int i = 0; !rc && i < nr; i++)
		for (unsigned int o = 0; o < SLUICE_MAX_ORDERS; o++)
			walk->summary.nr_free[o] += zones[i].nr_free[o];
	return rc;
}

/* Why there is nothing to walk: the last note says what the last source lacks. */
static int cannot_walk(const struct observer *observer, struct errmsg *err)
{
	const char *why = observer->nr_notes ? observer->notes[observer->nr_notes - 1] : "";

	return errmsg_set(err, -ENODATA,
			  "/proc/buddyinfo shows how many free extents there are, not where: a BPF "
			  "scan or /proc/kpageflags is needed. %s",
			  why);
}

int observer_extents(struct observer *observer, unsigned int lowest, extent_visitor visit,
		     void *context, struct extents_summary *ret, struct errmsg *err)
{
	struct walk walk = {
		.observer = observer,
		.lowest = lowest,
		.visit = visit,
		.context = context,
	};
	const uint64_t start = monotonic_ns();
	int rc;

	if (lowest > observer->topology.highest_order)
		return errmsg_set(err, -ERANGE, "order %u: the orders of this kernel are 0 to %u",
				  lowest, observer->topology.highest_order);
	if (observer->source == SOURCE_BUDDYINFO)
		return cannot_walk(observer, err);
	rc = observer->source == SOURCE_BPF ? walk_all_bpf(&walk, err) :
					      walk_all_kpageflags(&walk, err);
	walk.summary.scan_ns = monotonic_ns() - start - walk.summary.visit_ns;
	/* ahead of the last visits, which may use memory */
	if (!rc)
		rc = read_totals(&walk, err);
	if (!rc)
		rc = flush(&walk);
	if (!rc)
		*ret = walk.summary;
	return rc;
}
