// SPDX-License-Identifier: GPL-2.0-only
/* The file of an experiment: reading. What it says is checked, since files get edited and torn. */
#include "sluice/experiment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/file.h"

#define MAX_BYTES (256UL * 1024 * 1024)

/* Where an error is. */
struct place {
	const char *path;
	unsigned int line;
};

static int wrong(const struct place *place, struct errmsg *err, const char *what)
{
	return errmsg_set(err, -EBADMSG, "%s:%u: %s", place->path, place->line, what);
}

/* A string member that fits. */
static bool take_text(const json_t *object, const char *key, char *buf, size_t size)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value) || json_string_length(value) >= size)
		return false;
	memcpy(buf, json_string_value(value), json_string_length(value) + 1);
	return true;
}

/* A whole number from @min to @max. */
static bool take_number(const json_t *object, const char *key, uint64_t min, uint64_t max,
			uint64_t *ret)
{
	const json_t *value = json_object_get(object, key);
	const json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < 0 || (uint64_t)number < min ||
	    (uint64_t)number > max)
		return false;
	*ret = (uint64_t)number;
	return true;
}

static bool take_share(const json_t *object, const char *key, double *ret)
{
	const json_t *value = json_object_get(object, key);
	const double share = json_number_value(value);

	if (!json_is_number(value) || !(share > 0) || share >= 1)
		return false;
	*ret = share;
	return true;
}

static bool take_percent(const json_t *object, const char *key, int *ret)
{
	uint64_t value;

	if (!take_number(object, key, 0, 100, &value))
		return false;
	*ret = (int)value;
	return true;
}

static bool take_design(const json_t *object, enum ab_design *ret)
{
	const char *name = json_string_value(json_object_get(object, "design"));

	for (enum ab_design design = AB_PAIRS; name && design <= AB_ABBA; design++) {
		if (!strcmp(name, ab_design_name(design))) {
			*ret = design;
			return true;
		}
	}
	return false;
}

/* Each block is one of the two that can be drawn. */
static bool sequence_is_right(const struct ab_plan *plan)
{
	const unsigned int length = ab_block_length(plan->design);

	if (strlen(plan->sequence) != ab_periods(plan))
		return false;
	for (unsigned int i = 0; i < plan->blocks; i++) {
		const char *block = plan->sequence + (size_t)i * length;

		if (strncmp(block, length == 4 ? "ABBA" : "AB", length) &&
		    strncmp(block, length == 4 ? "BAAB" : "BA", length))
			return false;
	}
	return true;
}

static bool take_plan(const json_t *json, struct ab_plan *plan)
{
	uint64_t blocks;

	if (!take_design(json, &plan->design) ||
	    !take_number(json, "blocks", 1, AB_MAX_BLOCKS, &blocks) ||
	    !take_number(json, "period_ns", 1, INT64_MAX, &plan->period) ||
	    !take_number(json, "washout_ns", 0, plan->period - 1, &plan->washout) ||
	    !take_number(json, "seed", 0, INT64_MAX, &plan->seed) ||
	    !take_text(json, "sequence", plan->sequence, sizeof(plan->sequence)))
		return false;
	plan->blocks = (unsigned int)blocks;
	return sequence_is_right(plan);
}

static bool take_outcome(const json_t *json, struct ab_outcome *outcome)
{
	const char *better = json_string_value(json_object_get(json, "better"));

	if (!take_text(json, "name", outcome->name, sizeof(outcome->name)) ||
	    !take_text(json, "unit", outcome->unit, sizeof(outcome->unit)) ||
	    !take_text(json, "command", outcome->command, sizeof(outcome->command)) || !better)
		return false;
	for (enum ab_better i = AB_LESS; i <= AB_NEITHER; i++) {
		if (!strcmp(better, ab_better_name(i))) {
			outcome->better = i;
			return true;
		}
	}
	return false;
}

static bool take_outcomes(const json_t *json, struct ab_experiment *experiment)
{
	const json_t *list = json_object_get(json, "outcomes");
	char primary[AB_NAME];
	int index;

	if (!json_array_size(list) || json_array_size(list) > AB_MAX_OUTCOMES ||
	    !take_text(json, "primary", primary, sizeof(primary)))
		return false;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!take_outcome(json_array_get(list, i), &experiment->outcomes[i]))
			return false;
	experiment->nr_outcomes = (unsigned int)json_array_size(list);
	index = ab_find_outcome(experiment, primary);
	experiment->primary = (unsigned int)(index < 0 ? 0 : index);
	return index >= 0;
}

static bool take_arms(const json_t *json, struct ab_experiment *experiment)
{
	const json_t *arms = json_object_get(json, "arms");

	for (size_t i = 0; i < AB_ARMS; i++) {
		const json_t *arm = json_array_get(arms, i);
		const char *text = json_string_value(json_object_get(arm, "text"));

		if (!text || !take_text(arm, "file", experiment->arm_file[i],
					sizeof(experiment->arm_file[i])))
			return false;
		experiment->arm_text[i] = strdup(text);
		if (!experiment->arm_text[i])
			return false;
	}
	return true;
}

static bool take_settings(const json_t *json, struct ab_experiment *experiment)
{
	const json_t *stop = json_object_get(json, "stop");
	uint64_t created;

	if (!take_number(json, "created_ms", 0, INT64_MAX, &created))
		return false;
	experiment->created_ms = (int64_t)created;
	return take_share(json, "margin", &experiment->margin) &&
	       take_share(json, "alpha", &experiment->alpha) &&
	       take_share(json, "power", &experiment->power) &&
	       take_number(json, "sample_ns", 1, INT64_MAX, &experiment->sample) &&
	       take_number(json, "metric_timeout_ns", 1, INT64_MAX, &experiment->metric_timeout) &&
	       take_percent(stop, "pressure", &experiment->stop_pressure) &&
	       take_percent(stop, "churn", &experiment->stop_churn) &&
	       take_percent(stop, "errors", &experiment->stop_errors);
}

static int take_header(const struct place *place, const json_t *json,
		       struct ab_experiment *experiment, struct errmsg *err)
{
	const json_t *guest = json_object_get(json, "guest");
	const json_t *version = json_object_get(json, "sluice_ab");

	if (!json_is_integer(version))
		return wrong(place, err, "no experiment of sluice ab begins like that");
	if (json_integer_value(version) != AB_FILE_VERSION)
		return errmsg_set(err, -EPROTONOSUPPORT,
				  "%s:%u: version %" JSON_INTEGER_FORMAT
				  " of the file, this sluice knows %d: use the one that wrote it",
				  place->path, place->line, json_integer_value(version),
				  AB_FILE_VERSION);
	if (!take_text(json, "id", experiment->id, sizeof(experiment->id)) ||
	    !take_text(json, "sluice", experiment->sluice, sizeof(experiment->sluice)))
		return wrong(place, err, "\"id\" or \"sluice\" is missing");
	if (!take_text(guest, "machine", experiment->guest.machine,
		       sizeof(experiment->guest.machine)) ||
	    !take_text(guest, "boot", experiment->guest.boot, sizeof(experiment->guest.boot)) ||
	    !take_text(guest, "kernel", experiment->guest.kernel, sizeof(experiment->guest.kernel)))
		return wrong(place, err, "\"guest\": machine, boot or kernel is missing");
	if (!take_plan(json_object_get(json, "plan"), &experiment->plan))
		return wrong(place, err, "\"plan\" is not one that can be drawn");
	if (!take_arms(json, experiment))
		return wrong(place, err, "\"arms\": two with file and text are needed");
	if (!take_outcomes(json, experiment))
		return wrong(place, err, "\"outcomes\" or \"primary\" is wrong");
	if (!take_text(json, "host_feed", experiment->host_feed, sizeof(experiment->host_feed)) ||
	    !take_settings(json, experiment))
		return wrong(place, err, "a setting is missing or out of its range");
	return 0;
}

static bool take_real(const json_t *value, double *ret)
{
	*ret = json_is_number(value) ? json_number_value(value) : NAN;
	return json_is_number(value) || json_is_null(value);
}

static bool take_values(const json_t *json, const struct ab_experiment *experiment,
			struct ab_period *period)
{
	const json_t *values = json_object_get(json, "values");
	const json_t *drift = json_object_get(json, "drift");
	const json_t *samples = json_object_get(json, "samples");

	for (unsigned int i = 0; i < experiment->nr_outcomes; i++) {
		const char *name = experiment->outcomes[i].name;
		const json_t *counts = json_object_get(samples, name);

		if (!take_real(json_object_get(values, name), &period->value[i]) ||
		    !take_real(json_object_get(drift, name), &period->drift[i]))
			return false;
		period->samples[i] = (unsigned int)json_integer_value(json_array_get(counts, 0));
		period->failures[i] = (unsigned int)json_integer_value(json_array_get(counts, 1));
	}
	return true;
}

static bool take_counts(const json_t *list, uint64_t *counts)
{
	if (!json_is_array(list) || json_array_size(list) > SLUICE_TIME_BUCKETS)
		return false;
	for (size_t i = 0; i < json_array_size(list); i++)
		counts[i] = (uint64_t)json_integer_value(json_array_get(list, i));
	return true;
}

static bool take_points(const json_t *json, struct ab_period *period)
{
	static const char *const keys[] = { "at", "unreported", "host" };
	float *const series[] = { period->at, period->unreported, period->host };
	const size_t nr = json_array_size(json_object_get(json, "at"));

	if (nr > AB_MAX_POINTS)
		return false;
	for (size_t k = 0; k < 3; k++) {
		const json_t *list = json_object_get(json, keys[k]);
		double value;

		if (json_array_size(list) != nr)
			return false;
		for (size_t i = 0; i < nr; i++) {
			if (!take_real(json_array_get(list, i), &value))
				return false;
			series[k][i] = (float)value;
		}
	}
	period->nr_points = (unsigned int)nr;
	return true;
}

static bool take_period(const json_t *json, const struct ab_experiment *experiment,
			struct ab_period *period)
{
	const char *arm = json_string_value(json_object_get(json, "arm"));
	uint64_t at, start;

	if (!take_number(json, "number", 0, ab_periods(&experiment->plan) - 1, &at) ||
	    !take_number(json, "start_ms", 0, INT64_MAX, &start) || !arm ||
	    arm[0] != experiment->plan.sequence[at] || arm[1])
		return false;
	period->number = (unsigned int)at;
	period->arm = arm[0] == 'A' ? AB_A : AB_B;
	period->start_ms = (int64_t)start;
	period->seconds = json_number_value(json_object_get(json, "seconds"));
	return period->seconds > 0 && take_values(json, experiment, period) &&
	       take_counts(json_object_get(json, "lifetimes"), period->lifetimes) &&
	       take_counts(json_object_get(json, "reuse"), period->reuse) &&
	       take_points(json_object_get(json, "line"), period);
}

/* One more at the end of an array that grows. */
static void *grow(void **array, unsigned int nr, size_t size)
{
	void *larger = realloc(*array, (nr + 1) * size);

	if (!larger)
		return NULL;
	*array = larger;
	return memset((char *)larger + nr * size, 0, size);
}

static int add_period(const struct place *place, const json_t *json,
		      struct ab_experiment *experiment, struct errmsg *err)
{
	struct ab_period period = { 0 };
	struct ab_period *last, *added;

	if (!take_period(json, experiment, &period))
		return wrong(place, err, "no period of this experiment");
	/* a block that was interrupted is measured again, from its beginning */
	while (experiment->nr_periods) {
		last = &experiment->periods[experiment->nr_periods - 1];
		if (last->number < period.number)
			break;
		experiment->nr_periods--;
	}
	added = grow((void **)&experiment->periods, experiment->nr_periods, sizeof(period));
	if (!added)
		return errmsg_set(err, -ENOMEM, "memory for an experiment");
	*added = period;
	experiment->nr_periods++;
	return 0;
}

static int add_event(const struct place *place, const json_t *json,
		     struct ab_experiment *experiment, struct errmsg *err)
{
	struct ab_event event = { 0 };
	struct ab_event *added;
	uint64_t at;

	if (!take_number(json, "time_ms", 0, INT64_MAX, &at) ||
	    !take_text(json, "what", event.what, sizeof(event.what)) ||
	    !take_text(json, "text", event.text, sizeof(event.text)))
		return wrong(place, err, "no event of an experiment");
	event.time_ms = (int64_t)at;
	added = grow((void **)&experiment->events, experiment->nr_events, sizeof(event));
	if (!added)
		return errmsg_set(err, -ENOMEM, "memory for an experiment");
	*added = event;
	experiment->nr_events++;
	experiment->ended = !strcmp(event.what, "stopped") || !strcmp(event.what, "finished");
	return 0;
}

static int take_line(const struct place *place, const char *text, size_t length,
		     struct ab_experiment *experiment, struct errmsg *err)
{
	json_error_t error;
	json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	int rc;

	if (!json)
		rc = wrong(place, err, error.text);
	else if (place->line == 1)
		rc = take_header(place, json, experiment, err);
	else if (json_object_get(json, "period"))
		rc = add_period(place, json_object_get(json, "period"), experiment, err);
	else if (json_object_get(json, "event"))
		rc = add_event(place, json_object_get(json, "event"), experiment, err);
	else
		rc = wrong(place, err, "neither a period nor an event");
	json_decref(json);
	return rc;
}

static int read_text(const char *path, char **ret, struct errmsg *err)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int rc;

	if (fd < 0)
		return errmsg_set(err, -errno, "\"%s\": %m", path);
	rc = fd_read_alloc(fd, MAX_BYTES, ret);
	close(fd);
	if (rc < 0)
		return errmsg_set(err, rc, "\"%s\": %s", path, strerror(-rc));
	return 0;
}

int ab_load(const char *path, struct ab_experiment **ret, struct errmsg *err)
{
	struct ab_experiment *experiment = calloc(1, sizeof(*experiment));
	struct place place = { path, 0 };
	char *text = NULL;
	int rc;

	if (!experiment)
		return errmsg_set(err, -ENOMEM, "memory for an experiment");
	rc = read_text(path, &text, err);
	for (const char *line = text; !rc && line && *line;) {
		const char *end = strchr(line, '\n');

		if (!end)
			break; /* torn by a crash */
		place.line++;
		rc = take_line(&place, line, (size_t)(end - line), experiment, err);
		line = end + 1;
	}
	free(text);
	if (!rc && !place.line)
		rc = errmsg_set(err, -EBADMSG, "%s:1: the header is missing or not whole", path);
	if (rc) {
		ab_free(experiment);
		return rc;
	}
	*ret = experiment;
	return 0;
}

void ab_free(struct ab_experiment *experiment)
{
	if (!experiment)
		return;
	for (int arm = 0; arm < AB_ARMS; arm++)
		free(experiment->arm_text[arm]);
	free(experiment->periods);
	free(experiment->events);
	free(experiment);
}
