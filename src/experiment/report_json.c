// SPDX-License-Identifier: GPL-2.0-only
/* The report for programs: all that the others show, and the differences block by block. */
#include <math.h>
#include <stdlib.h>

#include "sluice/json.h"
#include "words.h"

/* JSON knows no number that is not finite. */
static json_t *number_json(double number)
{
	return isfinite(number) ? json_real(number) : json_null();
}

static json_t *count_json(uint64_t count)
{
	return json_integer((json_int_t)count);
}

/* A text that was cut within a character, or is no UTF-8 at all, is quoted. */
static json_t *text_json(const char *text)
{
	char quoted[QUOTED_TEXT];
	json_t *json = json_string(text);

	return json ? json : json_string(text_quote(text, quoted));
}

static json_t *differences_json(const struct ab_effect *effect)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < effect->n; i++)
		json_array_append_new(list,
				      json_pack("{s:i, s:o}", "block", (int)effect->blocks[i],
						"difference", number_json(effect->differences[i])));
	return list;
}

static json_t *runs_json(const struct ab_experiment *experiment, unsigned int outcome)
{
	const struct ab_runs runs = outcome_runs(experiment, outcome);

	return json_pack("{s:[o, o], s:[o, o]}", "samples", count_json(runs.samples[AB_A]),
			 count_json(runs.samples[AB_B]), "failures",
			 count_json(runs.failures[AB_A]), count_json(runs.failures[AB_B]));
}

static json_t *what_json(const struct ab_experiment *experiment, const struct ab_effect *effect)
{
	const struct ab_outcome *outcome = &experiment->outcomes[effect->outcome];

	return json_pack("{s:o, s:o, s:s, s:o, s:b, s:i, s:i}", "outcome", text_json(outcome->name),
			 "unit", text_json(outcome->unit), "better",
			 ab_better_name(outcome->better), "command", text_json(outcome->command),
			 "primary", effect->outcome == experiment->primary, "blocks",
			 (int)effect->n, "missing_blocks", (int)effect->missing);
}

static json_t *effect_json(const struct ab_experiment *experiment, const struct ab_effect *effect)
{
	json_t *json = what_json(experiment, effect), *figures, *checks;

	figures = json_pack("{s:[o, o], s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "levels",
			    number_json(effect->level[AB_A]), number_json(effect->level[AB_B]),
			    "difference", number_json(effect->estimate), "low",
			    number_json(effect->low), "high", number_json(effect->high), "near_low",
			    number_json(effect->near_low), "near_high",
			    number_json(effect->near_high), "p", number_json(effect->p),
			    "adjusted_p", number_json(effect->adjusted));
	checks = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "detectable",
		number_json(effect->detectable), "margin", number_json(effect->margin),
		"needed_blocks", effect->needed ? count_json(effect->needed) : json_null(), "trend",
		number_json(effect->trend), "trend_p", number_json(effect->trend_p), "carry_over",
		number_json(effect->carry), "carry_over_p", number_json(effect->carry_p), "verdict",
		ab_verdict_name(effect->verdict), "text", text_json(effect->text), "runs",
		runs_json(experiment, effect->outcome), "differences", differences_json(effect));
	if (json_object_update(json, figures) || json_object_update(json, checks)) {
		json_decref(json);
		json = NULL;
	}
	json_decref(figures);
	json_decref(checks);
	return json;
}

static json_t *primary_json(const struct ab_experiment *experiment, const struct ab_result *result)
{
	const struct ab_effect *primary = primary_effect(experiment, result);
	const enum ab_verdict verdict = primary ? primary->verdict : AB_NOT_ENOUGH;

	return json_pack("{s:o, s:s, s:o}", "outcome",
			 experiment->nr_outcomes ?
				 text_json(experiment->outcomes[experiment->primary].name) :
				 json_null(),
			 "verdict", ab_verdict_name(verdict), "text", text_json(result->verdict));
}

static json_t *lists_json(const struct ab_experiment *experiment, const struct ab_result *result)
{
	json_t *effects = json_array(), *warnings = json_array(), *events = json_array();

	for (unsigned int i = 0; i < result->nr; i++)
		json_array_append_new(effects, effect_json(experiment, &result->effects[i]));
	for (unsigned int i = 0; i < result->nr_warnings; i++)
		json_array_append_new(warnings, text_json(result->warnings[i]));
	for (unsigned int i = 0; i < experiment->nr_events; i++)
		json_array_append_new(events, ab_event_json(&experiment->events[i]));
	return json_pack("{s:o, s:o, s:o}", "effects", effects, "warnings", warnings, "events",
			 events);
}

json_t *ab_report_json(const struct ab_experiment *experiment, const struct ab_result *result)
{
	json_t *lists = lists_json(experiment, result), *json;

	json = json_pack("{s:i, s:o, s:o, s:i, s:i, s:b}", "version", JSON_VERSION, "verdict",
			 primary_json(experiment, result), "experiment", ab_header_json(experiment),
			 "whole_blocks", (int)result->blocks, "measured_periods",
			 (int)experiment->nr_periods, "ended", experiment->ended);
	if (!lists || json_object_update(json, lists)) {
		json_decref(json);
		json = NULL;
	}
	json_decref(lists);
	return json;
}
