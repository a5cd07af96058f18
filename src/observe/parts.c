// SPDX-License-Identifier: GPL-2.0-only
#include "parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sluice/file.h"

static bool clip(const struct topology_zone *zone, const struct pfn_range *range,
		 struct pfn_range *ret)
{
	const uint64_t end = zone->start_pfn + zone->spanned_pages;

	ret->start = range->start > zone->start_pfn ? range->start : zone->start_pfn;
	ret->end = range->end < end ? range->end : end;
	return ret->start < ret->end;
}

static bool has_zone(const struct topology *topology, const char *name)
{
	for (unsigned int i = 0; i < topology->nr_zones; i++)
		if (!strcmp(topology->zones[i].name, name))
			return true;
	return false;
}

/*
 * The name of the one zone that a section belongs to (drivers/base/memory.c,
 * valid_zones_show()). Empty where it has several, "none"; while it goes offline,
 * when the file names zones that it could go to instead; and without that file.
 */
static int read_section_zone(int root, const struct topology *topology, uint64_t section,
			     char *name, size_t size, struct errmsg *err)
{
	char path[96], state[32];
	int rc;

	*name = '\0';
	snprintf(path, sizeof(path), MEMORY_DIR "/memory%" PRIu64 "/state", section);
	if (file_read_line(root, path, state, sizeof(state), NULL) || strcmp(state, "online"))
		return 0;
	snprintf(path, sizeof(path), MEMORY_DIR "/memory%" PRIu64 "/valid_zones", section);
	if (!file_exists(root, path))
		return 0;
	rc = file_read_line(root, path, name, size, err);
	if (!rc && strcmp(name, "none") && !has_zone(topology, name))
		/* garbage; or its state, or the zones, changed while we looked */
		return errmsg_set(err, -EAGAIN, "/%s: \"%.40s\" is no zone of /proc/zoneinfo", path,
				  name);
	if (rc || !strcmp(name, "none"))
		*name = '\0';
	return rc == -ENOENT || rc == -ENODEV ? 0 : rc;
}

/* Whether a section may belong to a zone; @name is what read_section_zone() found. */
static bool can_own(int root, uint64_t section, const char *name, const struct topology_zone *zone)
{
	char path[96];

	if (*name && strcmp(name, zone->name))
		return false;
	if (!file_exists(root, NODE_DIR)) /* !CONFIG_NUMA: there are no links to nodes */
		return *name;
	snprintf(path, sizeof(path), MEMORY_DIR "/memory%" PRIu64 "/node%u", section, zone->node);
	return file_exists(root, path);
}

static int add_part(struct topology *topology, unsigned int zone, const struct pfn_range *pfns,
		    struct errmsg *err)
{
	struct zone_range *last =
		topology->nr_parts ? &topology->parts[topology->nr_parts - 1] : NULL;

	if (last && last->zone == zone && last->pfns.end == pfns->start) {
		last->pfns.end = pfns->end;
		return 0;
	}
	if (topology->nr_parts == TOPOLOGY_MAX_RANGES)
		return errmsg_set(err, -E2BIG, "/%s: zones in more than %d separate pieces",
				  MEMORY_DIR, TOPOLOGY_MAX_RANGES);
	topology->parts[topology->nr_parts++] = (struct zone_range){ *pfns, zone };
	return 0;
}

/* What the zones' spans take of one section, lowest first. */
static unsigned int clip_zones(const struct topology *topology, const struct pfn_range *section,
			       struct zone_range *parts)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < topology->nr_zones; i++) {
		struct zone_range part = { .zone = i };
		unsigned int at = nr;

		if (!clip(&topology->zones[i], section, &part.pfns))
			continue;
		for (; at && parts[at - 1].pfns.start > part.pfns.start; at--)
			parts[at] = parts[at - 1];
		parts[at] = part;
		nr++;
	}
	return nr;
}

static bool overlap(const struct zone_range *parts, unsigned int nr)
{
	for (unsigned int i = 1; i < nr; i++)
		if (parts[i].pfns.start < parts[i - 1].pfns.end)
			return true;
	return false;
}

/*
 * Of zones whose spans cover the same pages of a section, keeps those that can have
 * them: on the section's node, and of its name if it has just one.
 */
static int keep_owners(int root, const struct topology *topology, uint64_t section,
		       struct zone_range *parts, unsigned int *nr, struct errmsg *err)
{
	unsigned int kept = 0;
	char name[128];
	int rc;

	rc = read_section_zone(root, topology, section, name, sizeof(name), err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < *nr; i++)
		if (can_own(root, section, name, &topology->zones[parts[i].zone]))
			parts[kept++] = parts[i];
	*nr = kept;
	return 0;
}

/* What @old knew of a section; pages don't change their zone while they are online. */
static unsigned int old_parts(const struct topology *old, const struct pfn_range *section,
			      struct zone_range *parts)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < old->nr_parts && nr < SLUICE_MAX_ZONES; i++) {
		struct zone_range part = old->parts[i];

		if (part.pfns.start < section->start)
			part.pfns.start = section->start;
		if (part.pfns.end > section->end)
			part.pfns.end = section->end;
		if (part.pfns.start < part.pfns.end)
			parts[nr++] = part;
	}
	return nr;
}

/* The parts that zones have of one section. */
static int add_parts(int root, struct topology *topology, const struct topology *old,
		     uint64_t section, struct errmsg *err)
{
	const uint64_t start = section << topology->section_order;
	const struct pfn_range whole = { start, start + (1ULL << topology->section_order) };
	struct zone_range parts[SLUICE_MAX_ZONES];
	unsigned int nr = clip_zones(topology, &whole, parts);
	int rc = 0;

	if (overlap(parts, nr))
		rc = keep_owners(root, topology, section, parts, &nr, err);
	if (!rc && overlap(parts, nr) && old && old_parts(old, &whole, parts))
		nr = old_parts(old, &whole, parts);
	for (unsigned int i = 0; !rc && i < nr; i++) {
		struct pfn_range *pfns = &parts[i].pfns;

		/* still: a zone ends where the next begins, as at boot with movablecore= */
		if (i + 1 < nr && pfns->end > parts[i + 1].pfns.start)
			pfns->end = parts[i + 1].pfns.start;
		if (pfns->start < pfns->end)
			rc = add_part(topology, parts[i].zone, pfns, err);
	}
	return rc;
}

int topology_read_parts(int root, struct topology *topology, const struct topology *old,
			struct errmsg *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < topology->nr_ranges; i++) {
		const uint64_t end = topology->online[i].end >> topology->section_order;

		for (uint64_t s = topology->online[i].start >> topology->section_order;
		     !rc && s < end; s++)
			rc = add_parts(root, topology, old, s, err);
	}
	return rc;
}
