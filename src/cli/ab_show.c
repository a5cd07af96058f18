// SPDX-License-Identifier: GPL-2.0-only
/* What an experiment looks like while it runs: its schedule, and how far it is. */
#include "ab.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "picture.h"
#include "sluice/units.h"

#define BAR_WIDTH	   10
#define ESTIMATE_RESAMPLES 100
#define BLOCKS_IN_A_LINE   12

void ab_print_schedule(const struct ab_experiment *experiment, FILE *out)
{
	const struct ab_plan *plan = &experiment->plan;
	const unsigned int length = ab_block_length(plan->design);
	char period[UNITS_TEXT], washout[UNITS_TEXT], all[UNITS_TEXT];

	print_field(out, "experiment", "%s", experiment->id);
	print_field(out, "A", "%s", experiment->arm_file[AB_A]);
	print_field(out, "B", "%s", experiment->arm_file[AB_B]);
	print_field(out, "design",
		    "%s: %u blocks of %u periods of %s, of which the first %s are not measured; "
		    "%s in all",
		    ab_design_name(plan->design), plan->blocks, length,
		    format_duration(plan->period, period), format_duration(plan->washout, washout),
		    format_duration(ab_duration(plan), all));
	print_field(out, "primary",
		    "%s: the verdict rests on it; a difference of less than "
		    "%.0f %% does not matter",
		    experiment->outcomes[experiment->primary].name, experiment->margin * 100);
	if (plan->blocks < ab_least_for_others(experiment))
		print_field(out, "others",
			    "no other outcome can be found different with less than %u blocks "
			    "(Holm)",
			    ab_least_for_others(experiment));
	fprintf(out, "%-*s", CLI_LABEL, "schedule");
	for (unsigned int i = 0; i < plan->blocks; i++) {
		if (i % BLOCKS_IN_A_LINE)
			fputc(' ', out);
		else if (i)
			fprintf(out, "\n%*s", CLI_LABEL, "");
		fprintf(out, "%.*s", (int)length, plan->sequence + (size_t)i * length);
	}
	fprintf(out, "\n%-*sseed %" PRIu64 "\n", CLI_LABEL, "", plan->seed);
}

void ab_estimate(const struct ab_experiment *experiment, char ret[AB_PROGRESS])
{
	const struct ab_outcome *outcome = &experiment->outcomes[experiment->primary];
	struct ab_result *result;

	*ret = '\0';
	if (ab_analyse(experiment, ESTIMATE_RESAMPLES, &result))
		return;
	if (result->effects[experiment->primary].n)
		snprintf(ret, AB_PROGRESS, "; %s B-A %+.3g %s", outcome->name,
			 result->effects[experiment->primary].estimate, outcome->unit);
	ab_result_free(result);
}

void ab_progress(const struct ab_experiment *experiment, unsigned int period, const char *stage,
		 const char *estimate, char ret[AB_PROGRESS])
{
	const struct ab_plan *plan = &experiment->plan;
	const struct bar_part part = { '#', period };
	char bar[BAR_TEXT];

	snprintf(ret, AB_PROGRESS, "[%-*s] block %u of %u, %c, %s%s", BAR_WIDTH,
		 bar_text(&part, 1, ab_periods(plan), BAR_WIDTH, bar),
		 period / ab_block_length(plan->design) + 1, plan->blocks, plan->sequence[period],
		 stage, estimate);
}
