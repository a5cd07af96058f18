// SPDX-License-Identifier: GPL-2.0-only
/* What a sceptic asks of an experiment, in sentences. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sluice/units.h"
#include "words.h"

/* "5 min", "1500 ms": exact, and with a blank. */
static char *exact_text(uint64_t ns, char buf[UNITS_TEXT + 32])
{
	char plain[32];
	size_t digits;

	format_duration_exact(ns, plain);
	digits = strspn(plain, "0123456789.");
	snprintf(buf, UNITS_TEXT + 32, "%.*s %s", (int)digits, plain,
		 plain[digits] ? plain + digits : "s");
	return buf;
}

char *design_text(const struct ab_experiment *experiment, const struct ab_result *result,
		  char buf[FACT_TEXT])
{
	const struct ab_plan *plan = &experiment->plan;
	char period[UNITS_TEXT + 32], washout[UNITS_TEXT + 32];

	snprintf(buf, FACT_TEXT,
		 "%s; %u blocks of %u periods planned, %u measured; periods of %s, of which "
		 "%s are wash-out; order of arms drawn with seed %" PRIu64,
		 ab_design_name(plan->design), plan->blocks, ab_block_length(plan->design),
		 result->blocks, exact_text(plan->period, period),
		 exact_text(plan->washout, washout), plan->seed);
	return buf;
}

char *when_text(const struct ab_experiment *experiment, char buf[FACT_TEXT])
{
	const unsigned int nr = experiment->nr_periods;
	char from[TIME_TEXT], to[TIME_TEXT], planned[UNITS_TEXT];
	const char *end = experiment->ended && experiment->nr_events ?
				  experiment->events[experiment->nr_events - 1].what :
				  "not ended";

	format_duration(ab_duration(&experiment->plan), planned);
	if (!nr)
		snprintf(buf, FACT_TEXT, "begun %s UTC, no period measured; %s; planned: %s",
			 time_text(experiment->created_ms, from), end, planned);
	else
		snprintf(buf, FACT_TEXT, "%s to %s UTC; %s; planned: %s",
			 time_text(experiment->periods[0].start_ms, from),
			 time_text(experiment->periods[nr - 1].start_ms +
					   (int64_t)(experiment->plan.period / NSEC_PER_MSEC),
				   to),
			 end, planned);
	return buf;
}

char *guest_text(const struct ab_experiment *experiment, char buf[FACT_TEXT])
{
	const char *kernel = experiment->guest.kernel;

	snprintf(buf, FACT_TEXT, "Linux %s; sluice %s; %s%s",
		 *kernel ? kernel : "of unknown version", experiment->sluice,
		 *experiment->host_feed ? "host's resident memory by " : "host not seen",
		 experiment->host_feed);
	return buf;
}

/* "pressure 20%, churn 50%"; percent of 0: never */
static void stop_text(const struct ab_experiment *experiment, char *buf, size_t size)
{
	const struct {
		const char *name;
		int percent;
	} stops[] = {
		{ "pressure", experiment->stop_pressure },
		{ "churn", experiment->stop_churn },
		{ "errors", experiment->stop_errors },
	};
	size_t used = 0;

	snprintf(buf, size, "nothing stops it early");
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		if (stops[i].percent && used < size)
			used += (size_t)snprintf(buf + used, size - used, "%s %s of %d%%",
						 used ? " or" : "stops early at", stops[i].name,
						 stops[i].percent);
}

char *rule_text(const struct ab_experiment *experiment, char buf[FACT_TEXT])
{
	char alpha[NUMBER_TEXT], margin[NUMBER_TEXT], stop[160];

	stop_text(experiment, stop, sizeof(stop));
	snprintf(buf, FACT_TEXT,
		 "primary outcome %s, at p of at most %s; others at p adjusted for all %u "
		 "(Holm); equivalent within %s of A; %s",
		 experiment->nr_outcomes ? experiment->outcomes[experiment->primary].name : "none",
		 setting_text(experiment->alpha, alpha), experiment->nr_outcomes,
		 setting_text(experiment->margin, margin), stop);
	return buf;
}

/* "0.52 GiB (4.2% of A)" */
#define AMOUNT_TEXT 112
static const char *amount_text(const struct ab_experiment *experiment,
			       const struct ab_effect *effect, double amount, char buf[AMOUNT_TEXT])
{
	const double share = share_of_a(effect, amount);
	char number[NUMBER_TEXT], percent[NUMBER_TEXT];

	snprintf(buf, AMOUNT_TEXT, isfinite(share) ? "%s %s (%s of A)" : "%s %s",
		 lone_number_text(amount, number), experiment->outcomes[effect->outcome].unit,
		 percent_text(share, percent));
	return buf;
}

#define NEEDED_TEXT 240
static void needed_text(const struct ab_experiment *experiment, const struct ab_effect *effect,
			char buf[NEEDED_TEXT])
{
	char margin[AMOUNT_TEXT];

	buf[0] = '\0';
	if (!isfinite(effect->margin) || effect->margin <= 0)
		return;
	amount_text(experiment, effect, effect->margin, margin);
	if (effect->needed)
		snprintf(buf, NEEDED_TEXT, "; one of the margin, %s, takes %u blocks in all",
			 margin, effect->needed);
	else
		snprintf(buf, NEEDED_TEXT, "; one of the margin, %s, takes more than %d blocks",
			 margin, AB_MAX_BLOCKS);
}

char *power_text(const struct ab_experiment *experiment, const struct ab_effect *effect,
		 char buf[FACT_TEXT])
{
	char power[NUMBER_TEXT], amount[AMOUNT_TEXT], needed[NEEDED_TEXT];

	if (!isfinite(effect->detectable)) {
		snprintf(buf, FACT_TEXT, "too few blocks to say what they could find: %u",
			 effect->n);
		return buf;
	}
	if (effect->detectable <= 0) {
		snprintf(buf, FACT_TEXT,
			 "all %u blocks differ by the same: no noise to reckon with", effect->n);
		return buf;
	}
	needed_text(experiment, effect, needed);
	snprintf(buf, FACT_TEXT, "%u blocks find a difference of %s with a chance of %s%s",
		 effect->n, amount_text(experiment, effect, effect->detectable, amount),
		 setting_text(experiment->power, power), needed);
	return buf;
}

char *carry_text(const struct ab_experiment *experiment, const struct ab_effect *effect,
		 char buf[FACT_TEXT])
{
	char amount[AMOUNT_TEXT], p[NUMBER_TEXT];

	if (!isfinite(effect->carry))
		snprintf(buf, FACT_TEXT, "not known");
	else
		snprintf(buf, FACT_TEXT,
			 "drift within windows, B minus A, is %s, p %s (small: the wash-out is "
			 "too short)",
			 amount_text(experiment, effect, effect->carry, amount),
			 p_text(effect->carry_p, p));
	return buf;
}

char *trend_text(const struct ab_experiment *experiment, const struct ab_effect *effect,
		 char buf[FACT_TEXT])
{
	char amount[AMOUNT_TEXT], p[NUMBER_TEXT];

	if (!isfinite(effect->trend))
		snprintf(buf, FACT_TEXT, "not known");
	else
		snprintf(buf, FACT_TEXT, "%s per block, p %s; %s",
			 amount_text(experiment, effect, effect->trend, amount),
			 p_text(effect->trend_p, p),
			 experiment->plan.design == AB_ABBA ?
				 "if steady, it cancels within a block" :
				 "it adds to the noise, as pairs don't cancel it");
	return buf;
}

bool event_tells(const struct ab_event *event)
{
	return *event->text || (strcmp(event->what, "started") && strcmp(event->what, "finished"));
}
