/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of ab_analyse(). */
#ifndef SLUICE_EXPERIMENT_ANALYSE_H
#define SLUICE_EXPERIMENT_ANALYSE_H

#include "sluice/experiment.h"

/* Level at which an outcome is tested: the first step of Holm's unless it is the primary one. */
double ab_level(const struct ab_experiment *experiment, unsigned int outcome);

/* Blocks in which the arms differ at all. */
unsigned int ab_differing(const struct ab_effect *effect);

/* Blocks in which B's value is the larger less those in which A's is. */
int ab_majority(const struct ab_effect *effect);

/* Writes @effect->text: the verdict, which is there already, in words. */
void ab_describe(const struct ab_experiment *experiment, struct ab_effect *effect);

/* Writes the warnings of @result, whose effects are complete. */
void ab_warn(const struct ab_experiment *experiment, struct ab_result *result);

#endif
