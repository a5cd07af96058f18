// SPDX-License-Identifier: GPL-2.0-only
#include "advice.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sluice/units.h"

#define UNSEEN_TEXT \
	"can't be told apart: there is no more than /proc/buddyinfo, see \"sluice probe\""

__attribute__((format(printf, 2, 3))) static void say(char buf[ADVICE_TEXT], const char *fmt, ...)
{
	const size_t used = strlen(buf);
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf + used, ADVICE_TEXT - used, fmt, args);
	va_end(args);
}

static bool holds(const struct daemon_state *daemon)
{
	return daemon->controls && !strcmp(daemon->action, "hold");
}

static bool releases(const struct daemon_state *daemon)
{
	return daemon->controls && !strcmp(daemon->action, "release");
}

/* A daemon that controls nothing refuses to kick. */
static bool can_kick(const struct daemon_state *daemon)
{
	return !daemon->runs || daemon->controls;
}

/* --- in use ----------------------------------------------------------------------------------- */

static void say_anonymous(const struct situation *situation, char *buf)
{
	char size[UNITS_TEXT];

	if (!situation->counters->swap_free) {
		say(buf, "when its processes free it; there is no swap that it could go to");
		return;
	}
	format_size(situation->counters->swap_free * situation->snap->page_size, size);
	say(buf, "when its processes free it; %s moves it to swap (%s left)",
	    situation->has_reclaim ? "memory.reclaim" : "memory pressure", size);
}

static void say_shared(const struct situation *situation, char *buf)
{
	say(buf, "when files in tmpfs are deleted and shared segments removed");
	if (situation->counters->swap_free)
		say(buf, "; %s moves it to swap",
		    situation->has_reclaim ? "memory.reclaim" : "memory pressure");
}

static void say_clean_cache(const struct situation *situation, char *buf)
{
	if (situation->has_reclaim)
		say(buf, "memory.reclaim makes it free; what is needed is read again");
	else
		say(buf, "vm.drop_caches=1 makes all of it free; there is no memory.reclaim "
			 "(5.19, cgroup v2), which takes a part");
}

static void say_slab(const struct situation *situation, char *buf)
{
	say(buf, "%s shrinks it: directory entries, inodes",
	    situation->has_reclaim ? "memory.reclaim" : "vm.drop_caches=2");
}

static void say_other(const struct situation *situation, char *buf)
{
	const uint64_t swap_cache = situation->counters->pages[USAGE_SWAP_CACHE];
	char size[UNITS_TEXT];

	if (situation->account->pages[ACCOUNT_OTHER] < 0) {
		say(buf, "below 0: memory moved while it was counted; look again");
		return;
	}
	say(buf, "the remainder: drivers, vmalloc, per-CPU data; nothing asks for it");
	if (swap_cache)
		say(buf, "; up to %s is swap cache that no process maps",
		    format_size(swap_cache * situation->snap->page_size, size));
}

/* --- free ------------------------------------------------------------------------------------- */

static void say_reported(const struct situation *situation, char *buf)
{
	if (situation->reporting->poisoned)
		say(buf, "the host was told, but may have to keep it: page poison");
	else
		say(buf, "the host was told; that it took it can't be seen from here");
}

static void say_reportable(const struct situation *situation, char *buf)
{
	const struct daemon_state *daemon = situation->daemon;
	char delay[UNITS_TEXT];

	format_duration(situation->reporting->delay_ns, delay);
	if (releases(daemon))
		say(buf, "sluiced releases it: %s", daemon->reason);
	else if (holds(daemon))
		say(buf, "the kernel's next pass, which sluiced can't hold back at this order; "
			 "\"sluice kick\" starts one");
	else if (!can_kick(daemon))
		say(buf,
		    "the kernel's next pass, %s after a free of this size; sluiced starts none: "
		    "%s",
		    delay, daemon->reason);
	else
		say(buf,
		    "the kernel's next pass, %s after a free of this size; \"sluice kick\" "
		    "starts one",
		    delay);
}

int advised_order(const struct snapshot *snap, const struct account *account)
{
	const uint64_t small = (uint64_t)account->pages[ACCOUNT_SMALL];

	if (snap->source == SOURCE_BUDDYINFO || account->reporting != ACCOUNT_ON || !small)
		return -1;
	for (int order = snap->reporting_order - 1; order >= 0; order--)
		if (2 * small_pages_above(snap, (unsigned int)order) >= small)
			return order;
	return -1;
}

/* The option that sets the lowest order of a release; NULL: the strategy has none. */
static const char *order_option(const struct daemon_state *daemon)
{
	static const char *const options[][2] = {
		{ "threshold", "threshold.order" }, { "cycle", "cycle.order" },
		{ "burst", "burst.floor" },	    { "slew", "slew.order" },
		{ "trim", "trim.order" },	    { "ladder", "ladder.idle_floor" },
	};

	for (size_t i = 0; daemon->controls && i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(daemon->strategy, options[i][0]))
			return options[i][1];
	return NULL;
}

static void say_lower_order(const struct situation *situation, int order, char *buf)
{
	const char *option = order_option(situation->daemon);
	char size[UNITS_TEXT];

	format_size(small_pages_above(situation->snap, (unsigned int)order) *
			    situation->snap->page_size,
		    size);
	if (option) {
		say(buf, "%s = %d would report %s of it, at a price; ", option, order, size);
	} else {
		say(buf, "order %d would report %s of it, at a price (page_reporting_order%s); ",
		    order, size, can_kick(situation->daemon) ? ", then \"sluice kick\"" : "");
	}
}

static void say_small(const struct situation *situation, char *buf)
{
	const int order = advised_order(situation->snap, situation->account);

	if (holds(situation->daemon) && situation->reporting->has_order) {
		say(buf, "sluiced holds it: %s", situation->daemon->reason);
		return;
	}
	if (!situation->reporting->has_order)
		say(buf, "this kernel has no knob for a lower order (5.14); ");
	else if (order >= 0)
		say_lower_order(situation, order, buf);
	say(buf, "vm.compact_memory=1 merges what can be moved");
}

/* The highest order below the limit at which the zone's gate is open; -1: none. */
static int opening_order(const struct snapshot *snap, const struct sluice_zone_info *zone)
{
	for (int order = snap->reporting_order - 1; order >= 0; order--)
		if (zone_gate_open(zone, (unsigned int)order))
			return order;
	return -1;
}

static void say_gate(const struct situation *situation, const struct zone_snapshot *zone, char *buf)
{
	const struct snapshot *snap = situation->snap;
	const uint64_t gate = zone_gate_pages(&zone->info, (unsigned int)snap->reporting_order);
	const int opens = opening_order(snap, &zone->info);
	char size[UNITS_TEXT];

	say(buf, "node %u %s must have more than %s free at order %d", zone->info.node,
	    zone->info.name, format_size(gate * snap->page_size, size), snap->reporting_order);
	if (!situation->reporting->has_order)
		say(buf, ", and there is no knob for a lower one");
	else if (opens >= 0)
		say(buf, "; order %d opens this gate", opens);
	else
		say(buf, ", and no lower order opens it");
}

static void say_gated(const struct situation *situation, char *buf)
{
	const struct snapshot *snap = situation->snap;
	const struct zone_snapshot *most = NULL;
	unsigned int zones = 0;
	uint64_t pages = 0;

	for (unsigned int z = 0; z < snap->nr_zones; z++) {
		const uint64_t gated = zone_gated_pages(snap, &snap->zones[z]);

		zones += gated ? 1 : 0;
		if (gated <= pages)
			continue;
		pages = gated;
		most = &snap->zones[z];
	}
	if (most)
		say_gate(situation, most, buf);
	else
		say(buf,
		    "what a zone has when that is no more than its low watermark and 32 blocks "
		    "of the order limit");
	if (zones > 1)
		say(buf, "; %u more zone%s", zones - 1, zones > 2 ? "s" : "");
}

static void say_held(const struct situation *situation, char *buf)
{
	const struct snapshot *snap = situation->snap;
	struct errmsg err = { 0 };

	if (situation->account->reporting == ACCOUNT_OFF) {
		if (reporting_usable(situation->reporting, &err) < 0)
			say(buf, "%s", err.text);
		else
			say(buf, "this kernel has no free page reporting "
				 "(CONFIG_PAGE_REPORTING)");
	} else if (holds(situation->daemon)) {
		say(buf, "sluiced holds it: %s", situation->daemon->reason);
	} else {
		say(buf, "page_reporting_order is above the highest order, %u: write %u there%s",
		    snap->nr_orders - 1, snap->pageblock_order,
		    can_kick(situation->daemon) ? ", then \"sluice kick\"" : "");
	}
}

static void say_lists(const struct situation *situation, char *buf)
{
	if (situation->has_drain)
		say(buf, "merges with its neighbours when the lists drain: \"sluice drain "
			 "--prepare\"");
	else
		say(buf, "merges with its neighbours when the lists overflow or memory is short");
}

char *advice_text(const struct situation *situation, enum account_line line, char buf[ADVICE_TEXT])
{
	static const char *const fixed[ACCOUNT_LINES] = {
		[ACCOUNT_CACHE_DIRTY] = "sync(1) writes it back: then it is clean page cache",
		[ACCOUNT_HUGETLB] = "a lower vm.nr_hugepages gives back what is unused of the pool",
		[ACCOUNT_ZSPAGES] = "compressed swap: when it is read back or dropped; swapoff(8)",
		[ACCOUNT_SLAB_UNRECLAIMABLE] = "when the kernel frees the objects in it",
		[ACCOUNT_PAGE_TABLES] = "when processes unmap memory or end",
		[ACCOUNT_STACKS] = "when tasks end",
		[ACCOUNT_BALLOON] = "inflated: the host has it",
		[ACCOUNT_UNSEEN] = UNSEEN_TEXT,
		[ACCOUNT_UNACCEPTED] = "not accepted yet: the host has not given it",
	};
	static void (*const depending[ACCOUNT_LINES])(const struct situation *, char *) = {
		[ACCOUNT_ANON] = say_anonymous,	       [ACCOUNT_CACHE_CLEAN] = say_clean_cache,
		[ACCOUNT_SHMEM] = say_shared,	       [ACCOUNT_SLAB_RECLAIMABLE] = say_slab,
		[ACCOUNT_OTHER] = say_other,	       [ACCOUNT_REPORTED] = say_reported,
		[ACCOUNT_REPORTABLE] = say_reportable, [ACCOUNT_SMALL] = say_small,
		[ACCOUNT_GATED] = say_gated,	       [ACCOUNT_HELD] = say_held,
		[ACCOUNT_LISTS] = say_lists,
	};

	buf[0] = '\0';
	if (depending[line])
		depending[line](situation, buf);
	else
		say(buf, "%s", fixed[line]);
	return buf;
}

char *outside_text(const struct situation *situation, enum outside_line line, char buf[ADVICE_TEXT])
{
	const uint64_t memmap = situation->counters->boot_memmap * situation->snap->page_size;
	char size[UNITS_TEXT];

	buf[0] = '\0';
	switch (line) {
	case OUTSIDE_BALLOON:
		say(buf, "inflated: the host has it");
		break;
	case OUTSIDE_RESERVED:
		say(buf, "kernel image, memory map%s%s%s, what was reserved at the boot: stays",
		    memmap ? " (" : "", memmap ? format_size(memmap, size) : "", memmap ? ")" : "");
		if (situation->virtio_mem)
			say(buf, "; what virtio-mem has unplugged: the host has it");
		break;
	default:
		say(buf, "addresses in the zones' spans without memory of theirs");
	}
	return buf;
}

/* --- remarks ---------------------------------------------------------------------------------- */

/* A kernel that does not count these has none of them. */
static bool optional(enum usage usage)
{
	return usage == USAGE_SWAP_CACHE || usage == USAGE_HUGETLB || usage == USAGE_ZSPAGES ||
	       usage == USAGE_BALLOON;
}

static void say_uncounted(const struct memory_counters *counters, char *buf)
{
	for (enum usage usage = USAGE_ANON; usage < USAGES; usage++)
		if (!(counters->known & 1U << usage) && !optional(usage))
			say(buf, "%s %s", *buf ? "," : "this kernel does not have",
			    usage_counter(usage));
	if (*buf)
		say(buf, ": what these count is in \"other kernel\"");
}

char *remark_text(const struct situation *situation, enum remark remark, char buf[ADVICE_TEXT])
{
	const uint64_t page = situation->snap->page_size;
	const int64_t other = situation->account->pages[ACCOUNT_OTHER];
	const uint64_t too_much = other < 0 ? 0 - (uint64_t)other : 0;
	const uint64_t unevictable = situation->counters->pages[USAGE_UNEVICTABLE];
	const uint64_t isolated = situation->account->isolated;
	char size[UNITS_TEXT];

	buf[0] = '\0';
	if (remark == REMARK_UNCOUNTED)
		say_uncounted(situation->counters, buf);
	else if (remark == REMARK_BELOW_0 && too_much)
		say(buf,
		    "memory moved while it was counted, at each of several looks: the other lines "
		    "add up to %s too much",
		    format_size(too_much * page, size));
	else if (remark == REMARK_UNEVICTABLE && unevictable)
		say(buf,
		    "%s of what is in use can't be reclaimed: locked (mlock) or otherwise "
		    "unevictable",
		    format_size(unevictable * page, size));
	else if (remark == REMARK_ISOLATED && isolated)
		say(buf,
		    "%s of what is free is isolated, as while memory is unplugged: the kernel "
		    "does not report that",
		    format_size(isolated * page, size));
	return buf;
}
