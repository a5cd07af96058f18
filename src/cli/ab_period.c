// SPDX-License-Identifier: GPL-2.0-only
/* One period of an experiment: an arm, its wash-out, and what is measured behind it. */
#include "ab.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/control.h"
#include "sluice/units.h"

#define RETRY_NS	  NSEC_PER_SEC
#define DRAIN_PATIENCE_NS (3600 * NSEC_PER_SEC)

/* What the stop rules look at: long enough for a share to mean something. */
#define WATCH_NS	   (10 * NSEC_PER_SEC)
#define WATCH_MIN_REPORTED (64 * MIB)
#define WATCH_MIN_SAMPLES  5

/* One period under way. */
struct period {
	unsigned int number;
	uint64_t start_ns;
	int64_t start_ms;
	struct ab_state state; /* as it began */
	struct ab_look look;   /* the last */
	struct ab_window window;
	bool measuring;
	uint64_t next_point_ns;
	/* since the stop rules were applied last */
	struct ab_look watched;
	unsigned int samples, failures;
};

/* --- metrics and the host ------------------------------------------------------------------------- */

/* What goes wrong is said when it is new; it counts each time. */
static void complain(char *last, size_t size, const char *what, const char *text)
{
	if (strcmp(last, text))
		fprintf(stderr, "sluice: %s: %s\n", what, text);
	snprintf(last, size, "%s", text);
}

static void start_metrics(struct ab_run *run, uint64_t now)
{
	for (unsigned int i = 0; i < run->nr_metrics; i++)
		metric_start(run->metrics[i], now, NULL); /* busy: the last run is not done */
}

static void take_metric(struct ab_run *run, struct period *period, unsigned int i)
{
	struct ab_half *half = &period->window.halves[period->window.now];
	const unsigned int outcome = run->experiment->nr_outcomes - run->nr_metrics + i;
	struct errmsg err = { 0 };
	double value;
	const int rc = metric_take(run->metrics[i], monotonic_ns(), &value, &err);

	if (rc == -EAGAIN)
		return;
	if (rc)
		complain(run->metric_trouble[i], sizeof(run->metric_trouble[i]),
			 run->experiment->outcomes[outcome].name, err.text);
	if (!period->measuring)
		return;
	period->samples += !rc;
	period->failures += rc != 0;
	if (rc) {
		period->window.metric_failures[i]++;
		return;
	}
	period->window.metric_samples[i]++;
	half->metrics[i].sum += value;
	half->metrics[i].nr++;
}

/* Sleeps until then, unless a signal comes, and takes what metrics have to say. */
static void wait_until(struct ab_run *run, struct period *period, uint64_t until)
{
	struct pollfd fds[AB_MAX_METRICS];
	uint64_t now;

	while (!ab_interrupted() && (now = monotonic_ns()) < until) {
		uint64_t next = until;

		for (unsigned int i = 0; i < run->nr_metrics; i++) {
			const uint64_t deadline = metric_deadline(run->metrics[i]);

			fds[i] = (struct pollfd){ metric_fd(run->metrics[i]), POLLIN, 0 };
			next = deadline < next ? deadline : next;
		}
		/* rounded up, so that the deadline has come */
		poll(fds, run->nr_metrics,
		     next > now ? (int)((next - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC) : 0);
		now = monotonic_ns();
		for (unsigned int i = 0; i < run->nr_metrics; i++)
			if (fds[i].revents || metric_deadline(run->metrics[i]) <= now)
				take_metric(run, period, i);
	}
}

static double ask_host(struct ab_run *run, uint64_t now)
{
	struct errmsg err = { 0 };
	uint64_t bytes;

	if (!run->feed)
		return NAN;
	if (!feed_take(run->feed, now, &bytes, &err))
		return (double)bytes;
	complain(run->feed_trouble, sizeof(run->feed_trouble), "host feed", err.text);
	return NAN;
}

/* --- one look, and what it may end ----------------------------------------------------------------- */

static int percent_above(const char *what, double share, int limit, struct errmsg *err)
{
	if (!limit || share * 100 < limit)
		return 0;
	return errmsg_set(err, -ECANCELED, "%s: %.0f %% in %.0f s, the limit is %d %%", what,
			  share * 100, (double)WATCH_NS / (double)NSEC_PER_SEC, limit);
}

/* The stop rules; -ECANCELED with the reason. */
static int watch(const struct ab_run *run, struct period *period, struct errmsg *err)
{
	const struct ab_experiment *experiment = run->experiment;
	const struct ab_look *now = &period->look, *then = &period->watched;
	const uint64_t span = now->time_ns - then->time_ns;
	const unsigned int samples = period->samples + period->failures;
	uint64_t reported, reused;
	int rc;

	if (span < WATCH_NS)
		return 0;
	rc = percent_above("guard: tasks waited for memory",
			   (double)(now->totals.psi_some_us - then->totals.psi_some_us) * 1000 /
				   (double)span,
			   experiment->stop_pressure, err);
	reported = now->churn_reported > then->churn_reported ?
			   now->churn_reported - then->churn_reported :
			   0;
	reused =
		now->churn_reused > then->churn_reused ? now->churn_reused - then->churn_reused : 0;
	if (!rc && reported >= WATCH_MIN_REPORTED)
		rc = percent_above("guard: what was reported was used again at once",
				   (double)reused / (double)reported, experiment->stop_churn, err);
	if (!rc && samples >= WATCH_MIN_SAMPLES)
		rc = percent_above("guard: samples of metrics failed",
				   (double)period->failures / samples, experiment->stop_errors,
				   err);
	period->watched = *now;
	period->samples = period->failures = 0;
	return rc;
}

/* -EAGAIN: the period does not count; -ECANCELED: the experiment can't go on. */
static int check_state(const struct ab_run *run, const struct period *period, struct errmsg *err)
{
	const struct ab_state *now = &period->look.state, *then = &period->state;

	if (now->let_go)
		return errmsg_set(err, -ECANCELED, "guard: %s", now->trouble);
	if (now->instance != then->instance)
		return errmsg_set(err, -EAGAIN, "sluiced was started anew");
	if (now->trouble[0])
		return errmsg_set(err, -EAGAIN, "%s", now->trouble);
	if (now->drains != then->drains)
		return errmsg_set(err, -EAGAIN, "memory was drained on request");
	if (now->arms != then->arms)
		return errmsg_set(err, -ECANCELED, "something else put an arm of \"%s\" in force",
				  run->experiment->id);
	return 0;
}

static void show(struct ab_run *run, const struct period *period)
{
	const struct ab_plan *plan = &run->experiment->plan;
	const uint64_t passed = monotonic_ns() - period->start_ns;
	const uint64_t until = period->measuring ? plan->period : plan->washout;
	char left[UNITS_TEXT], stage[64], line[AB_PROGRESS];

	if (!run->live)
		return;
	snprintf(
		stage, sizeof(stage), "%s, %s left", period->measuring ? "measured" : "wash-out",
		format_duration(passed < until ? (until - passed) / NSEC_PER_SEC * NSEC_PER_SEC : 0,
				left));
	ab_progress(run->experiment, period->number, stage, run->estimate, line);
	printf("\r%s\033[K", line);
	fflush(stdout);
}

/* A daemon that is gone or busy comes back; what else failed stays. */
static int unanswered(int rc, struct errmsg *err)
{
	if (ab_interrupted())
		return ab_stopped(err);
	if (rc == -ENOENT || rc == -EAGAIN || rc == -EBUSY || rc == -EINTR)
		return errmsg_set(err, -EAGAIN, "sluiced did not answer");
	return rc;
}

static int look(struct ab_run *run, struct period *period, struct errmsg *err)
{
	struct ab_look look;
	int rc;

	if (ab_interrupted())
		return ab_stopped(err);
	rc = ab_take_look(run->cli, run->root, run->experiment->id, &look, err);
	if (rc == -EREMOTEIO)
		return -EAGAIN;
	if (rc)
		return unanswered(rc, err);
	look.host = ask_host(run, look.time_ns);
	period->look = look;
	rc = check_state(run, period, err);
	if (!rc)
		rc = watch(run, period, err);
	return rc;
}

static void add_point(const struct ab_run *run, struct period *period)
{
	const uint64_t step = run->experiment->plan.period / (AB_MAX_POINTS - 2);

	if (period->look.time_ns < period->next_point_ns)
		return;
	ab_window_point(&period->window,
			(double)(period->look.time_ns - period->start_ns) / (double)NSEC_PER_SEC,
			&period->look);
	period->next_point_ns = period->look.time_ns + step;
}

/* Looks every now and then until @end, the last time at it. */
static int looks_until(struct ab_run *run, struct period *period, uint64_t end, struct errmsg *err)
{
	const uint64_t step = run->experiment->sample;
	int rc = 0;

	while (!rc) {
		const uint64_t now = monotonic_ns();
		const bool last = now + step >= end;

		if (period->measuring)
			start_metrics(run, now);
		wait_until(run, period, last ? end : now + step);
		rc = look(run, period, err);
		if (rc)
			break;
		add_point(run, period);
		show(run, period);
		if (last)
			break;
		if (period->measuring)
			ab_window_add(&period->window, &period->look);
	}
	return rc;
}

/* --- a period -------------------------------------------------------------------------------------- */

/* While an operator drains, an arm is refused. */
static int wait_for_drain(const struct ab_run *run, struct errmsg *err)
{
	const uint64_t since = monotonic_ns();
	bool running = true;
	int rc = 0;

	while (!rc && running) {
		json_t *answer;
		const char *drain;

		if (ab_interrupted())
			return ab_stopped(err);
		rc = ask_daemon(run->cli, REQUEST_DRAIN_STATUS, &answer, err);
		if (rc)
			break;
		drain = json_string_value(json_object_get(answer, "drain"));
		running = drain && !strcmp(drain, "running");
		json_decref(answer);
		if (running && monotonic_ns() - since > DRAIN_PATIENCE_NS)
			return errmsg_set(err, -ECANCELED, "a drain is under way for an hour");
		if (running)
			poll(NULL, 0, (int)(RETRY_NS / NSEC_PER_MSEC));
	}
	return rc;
}

static int put_arm(const struct ab_run *run, struct period *period, struct errmsg *err)
{
	const struct ab_experiment *experiment = run->experiment;
	const enum ab_arm arm = experiment->plan.sequence[period->number] == 'A' ? AB_A : AB_B;
	json_t *answer;
	int rc;

	rc = wait_for_drain(run, err);
	if (!rc)
		rc = ab_put_arm(run->cli, experiment->id, arm, run->configs[arm], run->lease,
				&answer, err);
	if (rc == -EREMOTEIO)
		return -ECANCELED;
	if (rc)
		return unanswered(rc, err);
	ab_read_state(answer, experiment->id, &period->state);
	json_decref(answer);
	return 0;
}

static int measure(struct ab_run *run, struct period *period, struct errmsg *err)
{
	const struct ab_plan *plan = &run->experiment->plan;
	const uint64_t start = period->start_ns, window = plan->period - plan->washout;
	int rc;

	rc = looks_until(run, period, start + plan->washout, err);
	if (rc)
		return rc;
	period->measuring = true;
	ab_window_begin(&period->window, run->root, &period->look);
	rc = looks_until(run, period, start + plan->washout + window / 2, err);
	if (rc)
		return rc;
	ab_window_half(&period->window, run->root, &period->look);
	rc = looks_until(run, period, start + plan->period, err);
	if (rc)
		return rc;
	ab_window_end(&period->window, run->root, &period->look);
	return 0;
}

int ab_run_period(struct ab_run *run, unsigned int number, struct errmsg *err)
{
	struct ab_experiment *experiment = run->experiment;
	struct period *period = calloc(1, sizeof(*period));
	struct ab_period *result = calloc(1, sizeof(*result));
	int rc = -ENOMEM;

	if (!period || !result) {
		errmsg_set(err, rc, "memory for a period");
		goto out;
	}
	period->number = number;
	rc = put_arm(run, period, err);
	if (rc)
		goto out;
	period->start_ns = monotonic_ns();
	period->start_ms = ab_wall_ms();
	rc = look(run, period, err);
	if (rc)
		goto out;
	period->watched = period->look;
	add_point(run, period);
	rc = measure(run, period, err);
	if (rc)
		goto out;
	result->number = number;
	result->arm = experiment->plan.sequence[number] == 'A' ? AB_A : AB_B;
	result->start_ms = period->start_ms;
	ab_window_values(&period->window, experiment, result);
	rc = ab_append(run->file, ab_period_json(experiment, result), err);
out:
	if (period)
		ab_window_free(&period->window);
	free(period);
	free(result);
	return rc;
}
