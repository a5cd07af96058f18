// SPDX-License-Identifier: GPL-2.0-only
/* What an analysis found, in words. */
#include "analyse.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SUSPICIOUS 0.05 /* p at which a check of the measurement is worth a warning */

/* Three significant digits, but no exponent for what is large. */
#define NUMBER 32
static const char *number(double value, char buf[NUMBER])
{
	snprintf(buf, NUMBER, fabs(value) < 999.5 ? "%.3g" : "%.0f", value);
	return buf;
}

/* The same with the outcome's unit. */
#define QUANTITY (NUMBER + AB_NAME)
static const char *quantity(const struct ab_outcome *outcome, double value, char buf[QUANTITY])
{
	char text[NUMBER];

	snprintf(buf, QUANTITY, "%s%s%s", number(value, text), outcome->unit[0] ? " " : "",
		 outcome->unit);
	return buf;
}

/* "p 0.004", with what it was corrected by */
#define CHANCE 64
static const char *chance(const struct ab_experiment *experiment, const struct ab_effect *effect,
			  char buf[CHANCE])
{
	const bool primary = effect->outcome == experiment->primary;
	const double p = primary ? effect->p : effect->adjusted;
	const char *corrected = primary ? "" : " (Holm)";

	if (p < 0.0001)
		snprintf(buf, CHANCE, "p < 0.0001%s", corrected);
	else
		snprintf(buf, CHANCE, "p %.2g%s", p, corrected);
	return buf;
}

/* Interval of the difference: "95 %: -3 to 5.4" */
#define INTERVAL ((size_t)3 * NUMBER)
static const char *interval(double level, double low, double high, char buf[INTERVAL])
{
	char from[NUMBER], to[NUMBER];

	if (!isfinite(low))
		snprintf(buf, INTERVAL, "%.4g %%: anything", 100 * level);
	else
		snprintf(buf, INTERVAL, "%.4g %%: %s to %s", 100 * level, number(low, from),
			 number(high, to));
	return buf;
}

/* "5 % (2.1 GiB s)" */
#define MARGIN (NUMBER + QUANTITY)
static const char *margin(const struct ab_experiment *experiment, const struct ab_effect *effect,
			  char buf[MARGIN])
{
	char size[QUANTITY];

	snprintf(buf, MARGIN, "%.3g %% (%s)", 100 * experiment->margin,
		 quantity(&experiment->outcomes[effect->outcome], effect->margin, size));
	return buf;
}

/* --- verdicts --------------------------------------------------------------------------------- */

/* Where most blocks are the same in both arms the middle says nothing, but counts do. */
static void describe_rare(const struct ab_experiment *experiment, struct ab_effect *effect,
			  const char *who)
{
	const unsigned int differ = ab_differing(effect);
	const unsigned int higher = (unsigned int)((int)differ + ab_majority(effect)) / 2;
	char p[CHANCE];

	snprintf(effect->text, sizeof(effect->text),
		 "%s: %s is higher with B in %u blocks, lower in %u, and the same in %u; %s.", who,
		 experiment->outcomes[effect->outcome].name, higher, differ - higher,
		 effect->n - differ, chance(experiment, effect, p));
}

static void describe_difference(const struct ab_experiment *experiment, struct ab_effect *effect,
				const char *who)
{
	const struct ab_outcome *outcome = &experiment->outcomes[effect->outcome];
	const bool higher = effect->estimate > 0, zero = !higher && !(effect->estimate < 0);
	const double size = fabs(effect->estimate), level = fabs(effect->level[AB_A]);
	char text[QUANTITY], range[INTERVAL], share[NUMBER + 8] = "", of_a[NUMBER], p[CHANCE];
	char least[MARGIN], small[MARGIN + 64] = "";

	if (zero) {
		describe_rare(experiment, effect, who);
		return;
	}
	if (level > 0 && strcmp(outcome->unit, "%") != 0) /* else one might read it as the other */
		snprintf(share, sizeof(share), " or %s %%", number(100 * size / level, of_a));
	if (effect->low >= -effect->margin && effect->high <= effect->margin)
		snprintf(small, sizeof(small),
			 " That is within the margin of %s: too little to matter.",
			 margin(experiment, effect, least));
	snprintf(effect->text, sizeof(effect->text),
		 "%s: %s is %s%s (%s) %s with B than with A (%s), %s.%s", who, outcome->name,
		 quantity(outcome, size, text), share,
		 interval(1 - experiment->alpha, higher ? effect->low : -effect->high,
			  higher ? effect->high : -effect->low, range),
		 higher ? "higher" : "lower", number(effect->level[AB_A], of_a),
		 chance(experiment, effect, p), small);
}

static void describe_equivalent(const struct ab_experiment *experiment, struct ab_effect *effect)
{
	const struct ab_outcome *outcome = &experiment->outcomes[effect->outcome];
	char text[QUANTITY], range[INTERVAL], of_a[NUMBER], least[MARGIN];

	snprintf(effect->text, sizeof(effect->text),
		 "Equivalent: with B, %s differs by %s (%s) from A (%s), within the margin of %s.",
		 outcome->name, quantity(outcome, effect->estimate, text),
		 interval(1 - 2 * experiment->alpha, effect->near_low, effect->near_high, range),
		 number(effect->level[AB_A], of_a), margin(experiment, effect, least));
}

/* "; how much more it takes" */
#define ADVICE (MARGIN + 128)
static void advise(const struct ab_experiment *experiment, const struct ab_effect *effect,
		   char buf[ADVICE])
{
	char least[MARGIN];

	if (effect->margin <= 0) {
		snprintf(buf, ADVICE, "; A is at 0, of which no share is a margin");
		return;
	}
	margin(experiment, effect, least);
	if (!effect->needed)
		snprintf(buf, ADVICE, "; to find a difference of %s takes more than %d blocks",
			 least, AB_MAX_BLOCKS);
	else if (effect->needed <= effect->n)
		snprintf(buf, ADVICE,
			 "; so many blocks find a difference of %s with a probability of %.3g %%, "
			 "but "
			 "do not rule it out",
			 least, 100 * experiment->power);
	else
		snprintf(buf, ADVICE, "; to find a difference of %s takes about %u blocks, %u more",
			 least, effect->needed, effect->needed - effect->n);
}

/* What no block showed may come up in others: 1 - alpha^(1/n) of them, with 1 - alpha. */
static void describe_same(const struct ab_experiment *experiment, struct ab_effect *effect)
{
	const struct ab_outcome *outcome = &experiment->outcomes[effect->outcome];
	const double hidden = 1 - pow(experiment->alpha, 1.0 / effect->n);
	char text[QUANTITY];

	snprintf(effect->text, sizeof(effect->text),
		 "No difference: %s is the same with A and with B in each of the %u blocks (%s); "
		 "that it differs in %.2g %% of all blocks is not ruled out (%.4g %%).",
		 outcome->name, effect->n, quantity(outcome, effect->level[AB_A], text),
		 100 * hidden, 100 * (1 - experiment->alpha));
}

static void describe_shortage(const struct ab_experiment *experiment, struct ab_effect *effect)
{
	const struct ab_outcome *outcome = &experiment->outcomes[effect->outcome];
	char text[QUANTITY], range[INTERVAL], of_a[NUMBER], p[CHANCE];
	char few[96] = "", advice[ADVICE] = "";

	if (!effect->n) {
		snprintf(effect->text, sizeof(effect->text),
			 "Not enough data: no block has %s in all of its periods.", outcome->name);
		return;
	}
	if (effect->n < AB_MIN_BLOCKS)
		snprintf(few, sizeof(few),
			 " %u of the %d blocks without which there is no verdict;", effect->n,
			 AB_MIN_BLOCKS);
	if (effect->n > 1)
		advise(experiment, effect, advice);
	snprintf(effect->text, sizeof(effect->text),
		 "Not enough data:%s with B, %s differs by %s (%s) from A (%s), %s%s.", few,
		 outcome->name, quantity(outcome, effect->estimate, text),
		 interval(1 - experiment->alpha, effect->low, effect->high, range),
		 number(effect->level[AB_A], of_a), chance(experiment, effect, p), advice);
}

void ab_describe(const struct ab_experiment *experiment, struct ab_effect *effect)
{
	switch (effect->verdict) {
	case AB_A_BETTER:
		describe_difference(experiment, effect, "A is better");
		break;
	case AB_B_BETTER:
		describe_difference(experiment, effect, "B is better");
		break;
	case AB_DIFFERENT:
		describe_difference(experiment, effect, "Different");
		break;
	case AB_EQUIVALENT:
		describe_equivalent(experiment, effect);
		break;
	case AB_SAME:
		describe_same(experiment, effect);
		break;
	case AB_NOT_ENOUGH:
		describe_shortage(experiment, effect);
		break;
	}
}

/* --- warnings --------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void warn(struct ab_result *result, const char *fmt,
						       ...)
{
	const unsigned int most = sizeof(result->warnings) / sizeof(result->warnings[0]);
	va_list args;

	if (result->nr_warnings == most)
		return;
	va_start(args, fmt);
	vsnprintf(result->warnings[result->nr_warnings++], sizeof(result->warnings[0]), fmt, args);
	va_end(args);
}

static void warn_measurement(const struct ab_experiment *experiment, struct ab_result *result)
{
	const struct ab_effect *effect = &result->effects[experiment->primary];
	const struct ab_outcome *outcome = &experiment->outcomes[experiment->primary];
	char text[QUANTITY];

	if (effect->carry_p < SUSPICIOUS)
		warn(result,
		     "Carry-over: within its windows %s still moves otherwise under B than under A "
		     "(by %s from the first half to the second, p %.2g). The wash-out may be too "
		     "short.",
		     outcome->name, quantity(outcome, effect->carry, text), effect->carry_p);
	if (effect->trend_p < SUSPICIOUS)
		warn(result, "Trend: %s moves by %s per block (p %.2g). %s", outcome->name,
		     quantity(outcome, effect->trend, text), effect->trend_p,
		     experiment->plan.design == AB_ABBA ?
			     "A steady one cancels within each block of ABBA." :
			     "Pairs do not cancel it: it favours neither arm, for the order is "
			     "drawn, "
			     "but hides small differences. ABBA would cancel it.");
}

static bool was_stopped(const struct ab_experiment *experiment)
{
	return experiment->nr_events &&
	       !strcmp(experiment->events[experiment->nr_events - 1].what, "stopped");
}

static void warn_end(const struct ab_experiment *experiment, struct ab_result *result)
{
	const unsigned int planned = experiment->plan.blocks;

	if (result->blocks < AB_MIN_BLOCKS)
		warn(result, "Too few: %u whole blocks, %d are the least for any verdict.",
		     result->blocks, AB_MIN_BLOCKS);
	if (result->blocks >= planned)
		return;
	if (was_stopped(experiment))
		warn(result,
		     "Stopped early, with %u of %u blocks: this is not the sample that was "
		     "planned. If "
		     "it was stopped for what it showed, p and intervals promise too much.",
		     result->blocks, planned);
	else if (experiment->ended)
		warn(result, "Only %u of the %u planned blocks are whole.", result->blocks,
		     planned);
	else
		warn(result,
		     "Not finished, %u of %u blocks: no result yet. Who stops when it looks good "
		     "is "
		     "fooled more often than p says.",
		     result->blocks, planned);
}

/* p has a least value, which the correction can lift above what counts. */
static void warn_others(const struct ab_experiment *experiment, struct ab_result *result)
{
	const unsigned int least = ab_least_for_others(experiment);

	if (result->blocks >= AB_MIN_BLOCKS && result->blocks < least)
		warn(result,
		     "%u blocks are enough for the primary outcome alone: to find one of the %u "
		     "others different takes %u (Holm, over all).",
		     result->blocks, experiment->nr_outcomes - 1, least);
}

/* Of how many blocks each outcome is missing; those that find no place are counted. */
static void warn_missing(const struct ab_experiment *experiment, struct ab_result *result)
{
	char list[160] = "";
	unsigned int more = 0;

	for (unsigned int i = 0; i < result->nr; i++) {
		const struct ab_effect *effect = &result->effects[i];
		const size_t length = strlen(list);
		char item[AB_NAME + 16];

		if (!effect->missing)
			continue;
		snprintf(item, sizeof(item), "%s%s in %u", length ? ", " : "",
			 experiment->outcomes[i].name, effect->missing);
		if (length + strlen(item) < sizeof(list))
			snprintf(list + length, sizeof(list) - length, "%s", item);
		else
			more++;
	}
	if (more)
		warn(result,
		     "Values are missing, of %u blocks: %s, and %u outcomes more. These blocks "
		     "do not count for it.",
		     result->blocks, list, more);
	else if (list[0])
		warn(result,
		     "Values are missing, of %u blocks: %s. These blocks do not count for it.",
		     result->blocks, list);
}

void ab_warn(const struct ab_experiment *experiment, struct ab_result *result)
{
	warn_end(experiment, result);
	warn_others(experiment, result);
	warn_measurement(experiment, result);
	warn_missing(experiment, result);
}

const char *ab_verdict_name(enum ab_verdict verdict)
{
	static const char *const names[] = {
		[AB_A_BETTER] = "A is better", [AB_B_BETTER] = "B is better",
		[AB_DIFFERENT] = "different",  [AB_EQUIVALENT] = "equivalent",
		[AB_SAME] = "the same",	       [AB_NOT_ENOUGH] = "not enough data",
	};

	return names[verdict];
}
