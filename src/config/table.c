// SPDX-License-Identifier: GPL-2.0-only
/* The options: whatever is said about one anywhere comes from its row here. */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "sluice/log.h"
#include "sluice/units.h"
#include "table.h"

#define TIB	      (1024 * GIB)
#define DAY	      (86400 * NSEC_PER_SEC)
#define MAX_ORDER     15   /* above any kernel's: arm64 with 64 KiB pages has 13 */
#define MAX_NODE      1023 /* CONFIG_NODES_SHIFT is 10 at the most */
#define AT(member)    offsetof(struct config, member)
#define ZONE(member)  offsetof(struct config_zone, member)
#define EXTRA(member) offsetof(struct config_extra, member)
#define RUNG(member)  offsetof(struct config_rung, member)

static const char *const mode_words[] = {
	[MODE_OBSERVE] = "observe",
	[MODE_DRY_RUN] = "dry-run",
	[MODE_CONTROL] = "control",
	NULL,
};

static const char *const strategy_words[] = {
	[STRATEGY_KERNEL] = "kernel", [STRATEGY_THRESHOLD] = "threshold",
	[STRATEGY_CYCLE] = "cycle",   [STRATEGY_BURST] = "burst",
	[STRATEGY_SLEW] = "slew",     [STRATEGY_LADDER] = "ladder",
	[STRATEGY_TRIM] = "trim",     NULL,
};

static const char *const events_words[] = {
	[EVENTS_OFF] = "off",
	[EVENTS_LISTS] = "lists",
	[EVENTS_ALL] = "all",
	NULL,
};

static const char *const compact_words[] = {
	[COMPACT_OFF] = "off",
	[COMPACT_NODE] = "node",
	[COMPACT_ALL] = "all",
	NULL,
};

static const char *const log_words[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
	NULL,
};

/* Word i stands for -1 - i, as ORDER_PAGEBLOCK, ORDER_HIGHEST, ORDER_OFF. */
static const char *const order_words[] = { "pageblock", "highest", NULL };
static const char *const ceiling_words[] = { "pageblock", "highest", "off", NULL };
static_assert(ORDER_PAGEBLOCK == -1 && ORDER_HIGHEST == -2 && ORDER_OFF == -3, "order words");

/* Zones that hold buddy memory; ZONE_DEVICE never does (include/linux/mmzone.h). */
static const char *const zone_words[] = { "DMA", "DMA32", "Normal", "HighMem", "Movable", NULL };

static const struct config_zone blank_zone = { .node = CONFIG_ANY_NODE };
static const char *const zone_examples[] = {
	"{ zone = \"DMA32\"; ignore = true; },",
	"{ zone = \"Normal\"; node = 1; start = \"128MiB\"; min_age = \"5s\"; }",
	NULL,
};
static const struct option_list zone_list = {
	.scope = SCOPE_ZONE,
	.size = sizeof(struct config_zone),
	.nr_offset = AT(nr_zones),
	.blank = &blank_zone,
	.sample = "zone = \"Normal\";",
	.examples = zone_examples,
};

static const char *const knob_trees[] = { "/sys/", "/proc/sys/", NULL };
static const char *const device_trees[] = { "/dev/", NULL };

static const char *const extra_examples[] = {
	"{ path = \"/sys/kernel/NAME/KNOB\"; hold = 0; release = 1;",
	"  rungs = ( { order = 5; value = 3; } ); }",
	NULL,
};
static const struct option_list extra_list = {
	.scope = SCOPE_EXTRA,
	.size = sizeof(struct config_extra),
	.nr_offset = AT(nr_extra),
	.sample = "path = \"/sys/...\";",
	.examples = extra_examples,
};
static const struct option_list rung_list = {
	.scope = SCOPE_RUNG,
	.size = sizeof(struct config_rung),
	.nr_offset = EXTRA(nr_rungs),
	.sample = "order = 5;",
};

const struct option option_table[OPTION_COUNT] = {
	{
		.name = "mode",
		.type = OPTION_WORD,
		.offset = AT(mode),
		.words = mode_words,
		.fallback = "control",
		.summary = "what sluiced may do",
		.help = "\"observe\" decides nothing and writes nothing; \"dry-run\" decides and "
			"logs "
			"what it would do; \"control\" acts.",
		.reloadable = true,
	},
	{
		.name = "strategy",
		.type = OPTION_WORD,
		.offset = AT(strategy),
		.words = strategy_words,
		.fallback = "threshold",
		.reloadable = true,
		.summary = "when memory is reported to the host",
		.help = "\"kernel\" leaves that to the kernel alone, as if sluiced did not run; "
			"\"threshold\" holds reporting back until enough memory is free and "
			"unreported; \"cycle\" works in batches of five stages; \"burst\" sweeps "
			"all orders at once, from the highest down; \"slew\" gives back slowly and "
			"stops at once when the guest takes memory; \"trim\" frees page cache "
			"that was idle for long, and reports that; \"ladder\" holds back while "
			"the guest is busy and reports small pieces too while it is idle.",
	},
	{
		.name = "interval",
		.type = OPTION_DURATION,
		.offset = AT(interval),
		.min = 100 * NSEC_PER_MSEC,
		.max = 3600 * NSEC_PER_SEC,
		.fallback = "2s",
		.reloadable = true,
		.summary = "time between two decisions",
		.help = "Before each one the free extents of at least a pageblock are scanned. The "
			"time is longer where scans would take more than 2 % of a CPU. The "
			"kernel itself waits 2s before a pass.",
	},
	{
		.name = "full_interval",
		.type = OPTION_DURATION,
		.offset = AT(full_interval),
		.min = NSEC_PER_SEC,
		.max = DAY,
		.or_zero = true,
		.fallback = "60s",
		.reloadable = true,
		.summary = "time between two audits of the map",
		.help = "An audit compares the map with the kernel's totals and scans all orders. "
			"Such a scan looks into every pageblock and takes about twenty times as "
			"long as the one before a decision. 0: only on request.",
	},
	{
		.name = "max_drift",
		.type = OPTION_SIZE,
		.offset = AT(max_drift),
		.min = 64 * KIB,
		.max = TIB,
		.fallback = "16MiB",
		.reloadable = true,
		.summary = "how far a zone of the map may be off",
		.help = "Compared with the kernel's total. Beyond that the map is audited at the "
			"next "
			"decision; what is still beyond it then is not acted upon.",
	},
	{
		.name = "events",
		.type = OPTION_WORD,
		.offset = AT(events),
		.words = events_words,
		.fallback = "lists",
		.summary = "allocator events that are followed",
		.help = "\"off\": none, scans alone: ages, lifetimes and reuse are then exact to "
			"one "
			"interval only, and what is freed and taken again in between is not seen; "
			"\"lists\": refills and drains of the per-CPU lists; \"all\": direct frees "
			"too, one event per page, which a load of page faults can feel.",
	},
	{
		.name = "kick",
		.type = OPTION_BOOL,
		.offset = AT(kick),
		.fallback = "true",
		.summary = "start a pass when releasing",
		.help = "Writing an order starts nothing in the kernel. A kick does: it allocates "
			"and "
			"frees one block of at least the release order (4 MiB at order 9 with "
			"4 KiB pages) by a packet socket (CAP_NET_RAW). "
			"actuators.trigger takes its place where there is one.",
		.reloadable = true,
	},
	{
		.name = "log_level",
		.type = OPTION_WORD,
		.offset = AT(log_level),
		.words = log_words,
		.fallback = "info",
		.reloadable = true,
		.summary = "least important messages that are logged",
	},
	{
		.name = "order",
		.type = OPTION_GROUP,
		.summary = "bounds of page_reporting_order",
		.help = "Linux 5.14 and later; a block of order N is 2^N pages. \"pageblock\" is "
			"the "
			"kernel's own default (9, 2 MiB, on x86-64), \"highest\" the highest order "
			"of its allocator (10 on most kernels). With pages of 64 KiB a pageblock "
			"is 512 MiB, order 13, and the balloon's own default is 5: set "
			"threshold.order to 5 there.",
	},
	{
		.name = "order.floor",
		.type = OPTION_ORDER,
		.offset = AT(order_floor),
		.max = MAX_ORDER,
		.words = order_words,
		.fallback = "0",
		.reloadable = true,
		.summary = "lowest order that sluiced writes",
		.help = "A bound for every strategy, whatever its own options say. Low orders "
			"report more memory, but the kernel then walks long lists with interrupts "
			"off and the host loses huge pages.",
	},
	{
		.name = "order.ceiling",
		.type = OPTION_ORDER,
		.offset = AT(order_ceiling),
		.max = MAX_ORDER,
		.words = ceiling_words,
		.fallback = "off",
		.reloadable = true,
		.summary = "highest order that sluiced writes",
		.help = "It is written to hold reporting back. \"off\" is beyond the highest "
			"order, "
			"which stops reporting; Linux 5.14 to 6.1 take it, later ones are given "
			"\"highest\" instead.",
	},
	{
		.name = "delay",
		.type = OPTION_GROUP,
		.summary = "page_reporting_delay_ms",
		.help = "Linux 7.3 and later: how long the kernel waits before a pass. 0 leaves it "
			"alone. Longer delays than the range allows can stop reporting until the "
			"driver is bound anew.",
	},
	{
		.name = "delay.hold",
		.type = OPTION_DURATION,
		.offset = AT(delay_hold),
		.min = 10 * NSEC_PER_MSEC,
		.max = 60 * NSEC_PER_SEC,
		.or_zero = true,
		.fallback = "0",
		.reloadable = true,
		.summary = "delay while reporting is held back",
	},
	{
		.name = "delay.release",
		.type = OPTION_DURATION,
		.offset = AT(delay_release),
		.min = 10 * NSEC_PER_MSEC,
		.max = 60 * NSEC_PER_SEC,
		.or_zero = true,
		.fallback = "0",
		.reloadable = true,
		.summary = "delay while memory is released",
	},
#include "table_strategies.h"
#include "table_ladder.h"
#include "table_prepare.h"
#include "table_guards.h"
#include "table_actuators.h"
#include "table_zones.h"
};

const struct option *option_find(enum option_scope scope, const char *name)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (option_table[i].scope == scope && !strcmp(option_table[i].name, name))
			return &option_table[i];
	}
	return NULL;
}

const struct option *option_list_of(enum option_scope scope)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (option_table[i].list && option_table[i].list->scope == scope)
			return &option_table[i];
	}
	return NULL;
}

const struct option *option_find_in(enum option_scope scope, const char *group, const char *leaf)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (option_is_at(&option_table[i], scope, group) &&
		    !strcmp(option_leaf(&option_table[i]), leaf))
			return &option_table[i];
	}
	return NULL;
}

char *option_prefix(enum option_scope scope, char buf[OPTION_PREFIX])
{
	const struct option *list = option_list_of(scope);
	char outer[OPTION_PREFIX];

	buf[0] = '\0';
	if (list)
		snprintf(buf, OPTION_PREFIX, "%s%s[].", option_prefix(list->scope, outer),
			 list->name);
	return buf;
}

bool option_is_at(const struct option *option, enum option_scope scope, const char *group)
{
	const char *dot = strrchr(option->name, '.');
	size_t len = dot ? (size_t)(dot - option->name) : 0;

	return option->scope == scope && strlen(group) == len && !memcmp(option->name, group, len);
}

const char *option_leaf(const struct option *option)
{
	const char *dot = strrchr(option->name, '.');

	return dot ? dot + 1 : option->name;
}

bool option_is_value(const struct option *option)
{
	return option->type != OPTION_GROUP && option->type != OPTION_LIST;
}

static unsigned int *nr_of(const struct option *list, void *base)
{
	return (unsigned int *)((char *)base + list->list->nr_offset);
}

unsigned int option_nr(const struct option *list, const void *base)
{
	return *(const unsigned int *)((const char *)base + list->list->nr_offset);
}

void *option_element(const struct option *list, void *base, unsigned int index)
{
	return (char *)base + list->offset + index * list->list->size;
}

const void *option_const_element(const struct option *list, const void *base, unsigned int index)
{
	return (const char *)base + list->offset + index * list->list->size;
}

void *option_append(const struct option *list, void *base)
{
	void *element = option_element(list, base, (*nr_of(list, base))++);

	if (list->list->blank)
		memcpy(element, list->list->blank, list->list->size);
	else
		memset(element, 0, list->list->size);
	return element;
}

bool option_is_named(const struct option *list, const struct option *member, const void *element)
{
	if (member->has_offset)
		return *(const bool *)((const char *)element + member->has_offset);
	return member->required || member->fallback || !list->list->blank ||
	       !option_equal(member, element, list->list->blank);
}

bool option_fallback_is_number(const struct option *option)
{
	return option->type == OPTION_INT || option->type == OPTION_NUMBER ||
	       (option->type == OPTION_ORDER && isdigit((unsigned char)option->fallback[0]));
}

static const char *word_at(const char *const *words, unsigned int index)
{
	for (unsigned int i = 0; words[i]; i++) {
		if (i == index)
			return words[i];
	}
	return "unknown";
}

const char *config_mode_name(enum mode mode)
{
	return word_at(mode_words, mode);
}

const char *config_strategy_name(enum strategy_id strategy)
{
	return word_at(strategy_words, strategy);
}

const char *config_events_name(enum event_level level)
{
	return word_at(events_words, level);
}
