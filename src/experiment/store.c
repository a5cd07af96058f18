// SPDX-License-Identifier: GPL-2.0-only
/* The file of an experiment: writing. One JSON document per line, each on the disk at once. */
#include "sluice/experiment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* JSON has no NAN. */
static json_t *real(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *plan_json(const struct ab_plan *plan)
{
	return json_pack("{s:s, s:i, s:o, s:o, s:o, s:s}", "design", ab_design_name(plan->design),
			 "blocks", (int)plan->blocks, "period_ns", number(plan->period),
			 "washout_ns", number(plan->washout), "seed", number(plan->seed),
			 "sequence", plan->sequence);
}

static json_t *outcomes_json(const struct ab_experiment *experiment)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < experiment->nr_outcomes; i++) {
		const struct ab_outcome *outcome = &experiment->outcomes[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name", outcome->name,
						      "unit", outcome->unit, "better",
						      ab_better_name(outcome->better), "command",
						      outcome->command));
	}
	return list;
}

json_t *ab_header_json(const struct ab_experiment *experiment)
{
	const struct ab_guest *guest = &experiment->guest;
	json_t *arms = json_array();
	json_t *json;

	for (int arm = 0; arm < AB_ARMS; arm++)
		json_array_append_new(arms,
				      json_pack("{s:s, s:s}", "file", experiment->arm_file[arm],
						"text", experiment->arm_text[arm]));
	json = json_pack("{s:i, s:s, s:s, s:I, s:{s:s, s:s, s:s}, s:o, s:o, s:o}", "sluice_ab",
			 AB_FILE_VERSION, "sluice", experiment->sluice, "id", experiment->id,
			 "created_ms", (json_int_t)experiment->created_ms, "guest", "machine",
			 guest->machine, "boot", guest->boot, "kernel", guest->kernel, "plan",
			 plan_json(&experiment->plan), "arms", arms, "outcomes",
			 outcomes_json(experiment));
	json_object_update_new(
		json, json_pack("{s:s, s:s, s:f, s:f, s:f, s:o, s:o, s:{s:i, s:i, s:i}}",
				"host_feed", experiment->host_feed, "primary",
				experiment->outcomes[experiment->primary].name, "margin",
				experiment->margin, "alpha", experiment->alpha, "power",
				experiment->power, "sample_ns", number(experiment->sample),
				"metric_timeout_ns", number(experiment->metric_timeout), "stop",
				"pressure", experiment->stop_pressure, "churn",
				experiment->stop_churn, "errors", experiment->stop_errors));
	return json;
}

static json_t *counts_json(const uint64_t *counts, size_t nr)
{
	json_t *list = json_array();

	while (nr && !counts[nr - 1])
		nr--;
	for (size_t i = 0; i < nr; i++)
		json_array_append_new(list, number(counts[i]));
	return list;
}

static json_t *points_json(const float *values, unsigned int nr)
{
	json_t *list = json_array();

	/* more digits than a plot can show would only make the file long */
	for (unsigned int i = 0; i < nr; i++)
		json_array_append_new(list, real(round((double)values[i] * 1e4) / 1e4));
	return list;
}

json_t *ab_period_json(const struct ab_experiment *experiment, const struct ab_period *period)
{
	json_t *values = json_object(), *drift = json_object(), *samples = json_object();

	for (unsigned int i = 0; i < experiment->nr_outcomes; i++) {
		const char *name = experiment->outcomes[i].name;

		json_object_set_new(values, name, real(period->value[i]));
		json_object_set_new(drift, name, real(period->drift[i]));
		if (period->samples[i] || period->failures[i])
			json_object_set_new(samples, name,
					    json_pack("[i, i]", (int)period->samples[i],
						      (int)period->failures[i]));
	}
	return json_pack("{s:{s:i, s:s, s:I, s:f, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o}}}",
			 "period", "number", (int)period->number, "arm",
			 period->arm == AB_A ? "A" : "B", "start_ms", (json_int_t)period->start_ms,
			 "seconds", period->seconds, "values", values, "drift", drift, "samples",
			 samples, "lifetimes", counts_json(period->lifetimes, SLUICE_TIME_BUCKETS),
			 "reuse", counts_json(period->reuse, SLUICE_TIME_BUCKETS), "line", "at",
			 points_json(period->at, period->nr_points), "unreported",
			 points_json(period->unreported, period->nr_points), "host",
			 points_json(period->host, period->nr_points));
}

json_t *ab_event_json(const struct ab_event *event)
{
	return json_pack("{s:{s:I, s:s, s:s}}", "event", "time_ms", (json_int_t)event->time_ms,
			 "what", event->what, "text", event->text);
}

int ab_append(int fd, json_t *json, struct errmsg *err)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	size_t length;
	ssize_t done;
	int rc = 0;

	json_decref(json);
	if (!text)
		return errmsg_set(err, -ENOMEM, "memory for a line of the experiment's file");
	length = strlen(text);
	text[length++] = '\n'; /* in the place of the NUL: one write, so no reader sees half */
	done = write(fd, text, length);
	if (done >= 0 && (size_t)done < length)
		rc = errmsg_set(err, -ENOSPC,
				"writing the experiment's file: only %zd of %zu bytes went in",
				done, length);
	else if (done < 0 || fdatasync(fd))
		rc = errmsg_set(err, -errno, "writing the experiment's file: %m");
	free(text);
	return rc;
}

int ab_create(const char *path, const struct ab_experiment *experiment, int *ret,
	      struct errmsg *err)
{
	int fd, rc;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return errmsg_set(err, -errno, "\"%s\": %m", path);
	rc = ab_append(fd, ab_header_json(experiment), err);
	if (rc) {
		unlink(path);
		close(fd);
		return rc;
	}
	*ret = fd;
	return 0;
}

/* Length of the file up to the end of its last whole line. */
static int whole_length(int fd, off_t *ret)
{
	char buf[4096];
	off_t at = lseek(fd, 0, SEEK_END);

	while (at > 0) {
		const off_t from = at > (off_t)sizeof(buf) ? at - (off_t)sizeof(buf) : 0;
		const ssize_t got = pread(fd, buf, (size_t)(at - from), from);
		const char *end;

		if (got <= 0)
			return got ? -errno : -EIO;
		end = memrchr(buf, '\n', (size_t)got);
		if (end) {
			at = from + (end - buf) + 1;
			break;
		}
		at = from;
	}
	*ret = at;
	return at < 0 ? -errno : 0;
}

int ab_reopen(const char *path, int *ret, struct errmsg *err)
{
	off_t length = 0;
	int fd, rc;

	fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return errmsg_set(err, -errno, "\"%s\": %m", path);
	rc = whole_length(fd, &length);
	if (!rc && ftruncate(fd, length))
		rc = -errno;
	if (rc) {
		close(fd);
		return errmsg_set(err, rc, "\"%s\": %s", path, strerror(-rc));
	}
	*ret = fd;
	return 0;
}
