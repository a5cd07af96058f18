// SPDX-License-Identifier: GPL-2.0-only
/* From looks to the values of a period. */
#include "ab.h"

#include <math.h>
#include <string.h>

#include "sluice/units.h"

static double seconds_between(const struct ab_look *from, const struct ab_look *to)
{
	return (double)(to->time_ns - from->time_ns) / (double)NSEC_PER_SEC;
}

static void begin_half(struct ab_half *half, int root, const struct ab_look *look)
{
	half->first = half->last = *look;
	/* without them there is no figure, see workers() */
	if (worker_cpu_read(root, &half->first_workers, NULL))
		half->first_workers = (struct worker_cpu){ 0 };
}

static void end_half(struct ab_half *half, int root, const struct ab_look *look)
{
	half->last = *look;
	if (worker_cpu_read(root, &half->last_workers, NULL))
		half->last_workers = (struct worker_cpu){ 0 };
}

void ab_window_begin(struct ab_window *window, int root, const struct ab_look *look)
{
	begin_half(&window->halves[0], root, look);
}

void ab_window_add(struct ab_window *window, const struct ab_look *look)
{
	struct ab_half *half = &window->halves[window->now];
	const struct ab_look *last = &half->last;
	const double seconds = seconds_between(last, look);

	half->unreported += ((double)last->unreported + (double)look->unreported) / 2 * seconds;
	if (!isnan(last->host) && !isnan(look->host)) {
		half->host += (last->host + look->host) / 2 * seconds;
		half->host_seconds += seconds;
	}
	if (isnan(look->host))
		window->host_failures++;
	else
		window->host_samples++;
	half->last = *look;
}

void ab_window_half(struct ab_window *window, int root, const struct ab_look *look)
{
	ab_window_add(window, look);
	end_half(&window->halves[0], root, look);
	begin_half(&window->halves[1], root, look);
	window->now = 1;
}

void ab_window_end(struct ab_window *window, int root, const struct ab_look *look)
{
	ab_window_add(window, look);
	end_half(&window->halves[1], root, look);
}

void ab_window_point(struct ab_window *window, double seconds, const struct ab_look *look)
{
	const unsigned int i = window->nr_points;

	if (i == AB_MAX_POINTS)
		return;
	window->at[i] = (float)seconds;
	window->unreported[i] = (float)((double)look->unreported / (double)GIB);
	window->host[i] = (float)(look->host / (double)GIB);
	window->nr_points++;
}

static double growth(uint64_t from, uint64_t to)
{
	return to > from ? (double)(to - from) : 0;
}

static double workers(const struct ab_half *half)
{
	if (!half->first_workers.nr || !half->last_workers.nr)
		return NAN;
	return (double)worker_cpu_between(&half->first_workers, &half->last_workers) /
	       (double)NSEC_PER_MSEC;
}

/* Sums over a half, in the outcomes' units; @page: bytes. */
static void sums(const struct ab_half *half, bool map_stayed, double ret[AB_ALWAYS])
{
	const struct ab_look *first = &half->first, *last = &half->last;
	const struct pressure_totals *from = &first->totals, *to = &last->totals;
	const double seconds = seconds_between(first, last);

	ret[AB_UNREPORTED] = first->has_unreported && last->has_unreported ?
				     half->unreported / (double)GIB :
				     NAN;
	/* memory that left took its counts along */
	ret[AB_REPORTED] =
		map_stayed ? growth(first->churn_reported, last->churn_reported) / (double)MIB :
			     NAN;
	ret[AB_REUSED] =
		map_stayed ? growth(first->churn_reused, last->churn_reused) / (double)MIB : NAN;
	ret[AB_PSI_SOME] = to->has_psi ? growth(from->psi_some_us, to->psi_some_us) / 1000 : NAN;
	ret[AB_PSI_FULL] = to->has_psi ? growth(from->psi_full_us, to->psi_full_us) / 1000 : NAN;
	ret[AB_ALLOC_STALLS] = growth(from->alloc_stalls, to->alloc_stalls);
	ret[AB_COMPACT_STALLS] = growth(from->compact_stalls, to->compact_stalls);
	ret[AB_REFAULTS] = growth(from->refaults, to->refaults);
	ret[AB_WORKER_CPU] = workers(half);
	ret[AB_DAEMON_CPU] =
		first->has_daemon_cpu && last->has_daemon_cpu ?
			growth(first->daemon_ns, last->daemon_ns) / (double)NSEC_PER_MSEC :
			NAN;
	/* what is known stands for all of it, if it is most of it */
	ret[AB_HOST] = half->host_seconds > seconds / 2 ?
			       half->host / (double)GIB * seconds / half->host_seconds :
			       NAN;
}

static double mean(const struct ab_sum *a, const struct ab_sum *b)
{
	const unsigned int nr = a->nr + b->nr;

	return nr ? (a->sum + b->sum) / nr : NAN;
}

static void metric_values(const struct ab_window *window, unsigned int metric, unsigned int index,
			  struct ab_period *period)
{
	static const struct ab_sum none;
	const struct ab_sum *early = &window->halves[0].metrics[metric];
	const struct ab_sum *late = &window->halves[1].metrics[metric];

	period->samples[index] = window->metric_samples[metric];
	period->failures[index] = window->metric_failures[metric];
	/* of a window most of whose samples failed nothing is known */
	if (window->metric_failures[metric] > window->metric_samples[metric])
		return;
	period->value[index] = mean(early, late);
	period->drift[index] = mean(late, &none) - mean(early, &none);
}

void ab_window_values(const struct ab_window *window, const struct ab_experiment *experiment,
		      struct ab_period *period)
{
	const struct ab_half *halves = window->halves;
	const bool map_stayed =
		halves[0].first.state.map_renewed == halves[1].last.state.map_renewed;
	const double planned =
		(double)(experiment->plan.period - experiment->plan.washout) / (double)NSEC_PER_SEC;
	const bool feed = experiment->host_feed[0];
	const unsigned int nr = feed ? AB_ALWAYS : AB_HOST;
	double early[AB_ALWAYS], late[AB_ALWAYS];

	period->seconds = seconds_between(&halves[0].first, &halves[1].last);
	sums(&halves[0], map_stayed, early);
	sums(&halves[1], map_stayed, late);
	for (unsigned int i = 0; i < experiment->nr_outcomes; i++)
		period->value[i] = period->drift[i] = NAN;
	for (unsigned int i = 0; i < nr; i++) {
		const double scale = planned / period->seconds;

		period->value[i] = (early[i] + late[i]) * scale;
		period->drift[i] = (late[i] - early[i]) * scale;
	}
	for (unsigned int i = nr; i < experiment->nr_outcomes; i++)
		metric_values(window, i - nr, i, period);
	if (feed) {
		period->samples[AB_HOST] = window->host_samples;
		period->failures[AB_HOST] = window->host_failures;
	}
	for (unsigned int b = 0; b < SLUICE_TIME_BUCKETS; b++) {
		period->lifetimes[b] =
			(uint64_t)growth(halves[0].first.lifetimes[b], halves[1].last.lifetimes[b]);
		period->reuse[b] =
			(uint64_t)growth(halves[0].first.reuse[b], halves[1].last.reuse[b]);
	}
	period->nr_points = window->nr_points;
	memcpy(period->at, window->at, sizeof(period->at));
	memcpy(period->unreported, window->unreported, sizeof(period->unreported));
	memcpy(period->host, window->host, sizeof(period->host));
}

void ab_window_free(struct ab_window *window)
{
	for (int i = 0; i < 2; i++) {
		worker_cpu_free(&window->halves[i].first_workers);
		worker_cpu_free(&window->halves[i].last_workers);
	}
}
