// SPDX-License-Identifier: GPL-2.0-only
/* Checks of group actuators: paths that clash, triggers that are half named. */
#include <linux/ioctl.h>
#include <string.h>

#include "load.h"
#include "sluice/knobs.h"
#include "sluice/units.h"

static struct given given_extra(const struct loading *loading, unsigned int i, const char *name)
{
	return given_in(loading, option_find(SCOPE_EXTRA, name), &loading->config.extra[i]);
}

/* Reports the later one of two. */
static void check_twice(struct loading *loading, unsigned int i)
{
	const struct config_extra *extra = loading->config.extra;
	const struct given given = given_extra(loading, i, "path");

	for (unsigned int j = 0; given.valid && j < i; j++) {
		if (strcmp(extra[i].path, extra[j].path) != 0)
			continue;
		report_add(loading->report, given.line,
			   "actuators.extra[%u].path: \"%s\": each file once; line %u names it "
			   "already",
			   i, extra[i].path, given_extra(loading, j, "path").line);
		return;
	}
}

/* The knobs that sluiced writes anyway have options of their own. */
static const char *own_knob(const char *path)
{
	if (!strcmp(path + 1, KNOB_REPORTING_ORDER))
		return "groups order and threshold say what is written there";
	if (!strcmp(path + 1, KNOB_REPORTING_DELAY))
		return "group delay says what is written there";
	return NULL;
}

static void check_rungs(struct loading *loading, unsigned int i)
{
	const struct config_extra *extra = &loading->config.extra[i];
	const struct option *order = option_find(SCOPE_RUNG, "order");

	for (unsigned int r = 0; r < extra->nr_rungs; r++) {
		const struct given given = given_in(loading, order, &extra->rungs[r]);

		for (unsigned int s = 0; given.valid && s < r; s++) {
			const struct given other = given_in(loading, order, &extra->rungs[s]);

			if (!other.valid || extra->rungs[s].order != extra->rungs[r].order)
				continue;
			report_add(loading->report, given.line,
				   "actuators.extra[%u].rungs[%u].order: each order once; line %u "
				   "names it already",
				   i, r, other.line);
			break;
		}
	}
}

static void check_extra(struct loading *loading, unsigned int i)
{
	const struct config_extra *extra = &loading->config.extra[i];
	const struct given given = given_extra(loading, i, "path");
	const char *own = given.valid ? own_knob(extra->path) : NULL;

	if (own)
		report_add(loading->report, given.line, "actuators.extra[%u].path: \"%s\": %s", i,
			   extra->path, own);
	check_twice(loading, i);
	check_rungs(loading, i);
}

/* Which of the options of the trigger the file sets to something, and rightly. */
struct trigger_given {
	struct given path, text, device, request, argument, bytes;
};

static struct given given_trigger(const struct loading *loading, const char *name, bool named)
{
	const struct given given = given_general(loading, name);

	/* "" and 0 name nothing; what is wrong by itself has been reported, but is named */
	return named || (given.line && !given.valid) ? given : (struct given){ .line = 0 };
}

static void report_trigger(struct loading *loading, unsigned int line, const char *name,
			   const char *what)
{
	if (line)
		report_add(loading->report, line, "actuators.trigger.%s: %s", name, what);
}

static void check_trigger_path(struct loading *loading, const struct trigger_given *given)
{
	const struct config_trigger *trigger = &loading->config.trigger;

	if (!given->path.valid)
		return;
	if (own_knob(trigger->path))
		report_trigger(loading, given->path.line, "path",
			       "this knob starts no pass, and is written anyway");
	for (unsigned int i = 0; i < loading->config.nr_extra; i++) {
		if (strcmp(trigger->path, loading->config.extra[i].path) != 0)
			continue;
		report_trigger(loading, given->path.line, "path",
			       "it is a knob in actuators.extra already");
		break;
	}
}

/* What a request of _IO*() says about the size that the kernel copies. */
static void check_bytes(struct loading *loading, const struct trigger_given *given)
{
	const struct config_trigger *trigger = &loading->config.trigger;
	const unsigned int size = _IOC_SIZE((unsigned int)trigger->request);
	const size_t nr = strlen(trigger->bytes) / 2;

	if (given->bytes.valid && given->request.valid && size && nr != size)
		report_add(loading->report, given->bytes.line,
			   "actuators.trigger.bytes: %zu bytes: request 0x%llx takes %u", nr,
			   (unsigned long long)trigger->request, size);
}

static void check_trigger(struct loading *loading)
{
	const struct config_trigger *trigger = &loading->config.trigger;
	const struct trigger_given given = {
		.path = given_trigger(loading, "actuators.trigger.path", *trigger->path),
		.text = given_trigger(loading, "actuators.trigger.text", *trigger->text),
		.device = given_trigger(loading, "actuators.trigger.device", *trigger->device),
		.request = given_trigger(loading, "actuators.trigger.request", trigger->request),
		.argument = given_trigger(loading, "actuators.trigger.argument", trigger->argument),
		.bytes = given_trigger(loading, "actuators.trigger.bytes", *trigger->bytes),
	};

	if (given.path.line && given.device.line)
		report_trigger(loading, given.device.line, "device",
			       "either this or actuators.trigger.path, not both");
	if (given.path.line && !given.text.line)
		report_trigger(loading, given.path.line, "path",
			       "actuators.trigger.text has to say what is written");
	if (given.device.line && !given.request.line)
		report_trigger(loading, given.device.line, "device",
			       "actuators.trigger.request has to say which ioctl, not 0");
	if (!given.path.line)
		report_trigger(loading, given.text.line, "text",
			       "actuators.trigger.path has to say where to");
	if (!given.device.line) {
		report_trigger(loading, given.request.line, "request",
			       "actuators.trigger.device has to say of what");
		report_trigger(loading, given.argument.line, "argument",
			       "only with actuators.trigger.device");
		report_trigger(loading, given.bytes.line, "bytes",
			       "only with actuators.trigger.device");
	}
	if (given.argument.line && given.bytes.line)
		report_trigger(loading, given.bytes.line, "bytes",
			       "either this or actuators.trigger.argument, not both");
	check_trigger_path(loading, &given);
	check_bytes(loading, &given);
}

void check_actuators(struct loading *loading)
{
	for (unsigned int i = 0; i < loading->config.nr_extra; i++)
		check_extra(loading, i);
	check_trigger(loading);
}
