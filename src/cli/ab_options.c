// SPDX-License-Identifier: GPL-2.0-only
/* Options of sluice ab run. */
#include "ab.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "sluice/units.h"
#include "sluice/version.h"

#define MIN_WINDOW   NSEC_PER_SEC
#define MIN_SAMPLE   (200 * NSEC_PER_MSEC)
#define USUAL_SAMPLE (2 * NSEC_PER_SEC)
#define MAX_SAMPLE   (60 * NSEC_PER_SEC)
#define MAX_PERIOD   (UINT64_C(24) * 3600 * NSEC_PER_SEC)
#define MAX_TIMEOUT  (600 * NSEC_PER_SEC)

enum {
	OPT_A = 1,
	OPT_B,
	OPT_DESIGN,
	OPT_BLOCKS,
	OPT_PERIOD,
	OPT_WASHOUT,
	OPT_SEED,
	OPT_PRIMARY,
	OPT_MARGIN,
	OPT_METRIC,
	OPT_HIGHER,
	OPT_METRIC_TIMEOUT,
	OPT_HOST_FEED,
	OPT_SAMPLE,
	OPT_STOP_PRESSURE,
	OPT_STOP_CHURN,
	OPT_STOP_ERRORS,
	OPT_NAME,
	OPT_DIR,
	OPT_RESUME,
	OPT_SCHEDULE,
};

static const struct option table[] = {
	{ "a", required_argument, NULL, OPT_A },
	{ "b", required_argument, NULL, OPT_B },
	{ "design", required_argument, NULL, OPT_DESIGN },
	{ "blocks", required_argument, NULL, OPT_BLOCKS },
	{ "period", required_argument, NULL, OPT_PERIOD },
	{ "washout", required_argument, NULL, OPT_WASHOUT },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "primary", required_argument, NULL, OPT_PRIMARY },
	{ "margin", required_argument, NULL, OPT_MARGIN },
	{ "metric", required_argument, NULL, OPT_METRIC },
	{ "higher", required_argument, NULL, OPT_HIGHER },
	{ "metric-timeout", required_argument, NULL, OPT_METRIC_TIMEOUT },
	{ "host-feed", required_argument, NULL, OPT_HOST_FEED },
	{ "sample", required_argument, NULL, OPT_SAMPLE },
	{ "stop-pressure", required_argument, NULL, OPT_STOP_PRESSURE },
	{ "stop-churn", required_argument, NULL, OPT_STOP_CHURN },
	{ "stop-errors", required_argument, NULL, OPT_STOP_ERRORS },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "resume", optional_argument, NULL, OPT_RESUME },
	{ "schedule", no_argument, NULL, OPT_SCHEDULE },
	{ 0 },
};

/* Metrics as they stand on the command line: outcomes follow when the host feed is known. */
struct metrics {
	struct ab_outcome list[AB_MAX_METRICS];
	unsigned int nr;
	const char *higher[AB_MAX_METRICS];
	unsigned int nr_higher;
};

static bool is_name(const char *text, size_t length, size_t limit)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

	return length && length < limit && strspn(text, allowed) >= length && text[0] != '.' &&
	       text[0] != '-';
}

static int take_duration(const char *name, const char *text, uint64_t min, uint64_t max,
			 uint64_t *ret, struct errmsg *err)
{
	char low[32], high[32];
	int rc;

	rc = parse_duration(text, ret, err);
	if (rc)
		return errmsg_prefix(err, rc, "--%s", name);
	if (*ret < min || *ret > max)
		return errmsg_set(err, -ERANGE, "--%s: %s is not from %s to %s", name, text,
				  format_duration_exact(min, low),
				  format_duration_exact(max, high));
	return 0;
}

static int take_int(const char *name, const char *text, int64_t min, int64_t max, int64_t *ret,
		    struct errmsg *err)
{
	const int rc = parse_int(text, min, max, ret, err);

	return rc ? errmsg_prefix(err, rc, "--%s", name) : 0;
}

static int take_percent(const char *name, const char *text, int *ret, struct errmsg *err)
{
	int64_t value;
	const int rc = take_int(name, text, 0, 100, &value, err);

	if (!rc)
		*ret = (int)value;
	return rc;
}

static int take_design(const char *text, enum ab_design *ret, struct errmsg *err)
{
	for (enum ab_design design = AB_PAIRS; design <= AB_ABBA; design++) {
		if (!strcmp(text, ab_design_name(design))) {
			*ret = design;
			return 0;
		}
	}
	return errmsg_set(err, -EINVAL, "--design: \"%s\": abba or pairs", text);
}

static int take_metric(const char *text, struct metrics *metrics, struct errmsg *err)
{
	const size_t length = strcspn(text, "=");
	const char *command = text[length] ? text + length + 1 : "";
	struct ab_outcome *outcome;

	if (metrics->nr == AB_MAX_METRICS)
		return errmsg_set(err, -E2BIG, "--metric: %d at the most", AB_MAX_METRICS);
	outcome = &metrics->list[metrics->nr];
	if (!is_name(text, length, sizeof(outcome->name)) || !*command)
		return errmsg_set(err, -EINVAL,
				  "--metric: \"%s\": NAME=COMMAND, the name of letters, digits, "
				  "'.', '_' and '-', up to %zu",
				  text, sizeof(outcome->name) - 1);
	if (strlen(command) >= sizeof(outcome->command))
		return errmsg_set(err, -E2BIG,
				  "--metric: %.*s: commands have %zu bytes at the "
				  "most: put a longer one into a script",
				  (int)length, text, sizeof(outcome->command) - 1);
	*outcome = (struct ab_outcome){ .better = AB_LESS };
	memcpy(outcome->name, text, length);
	memcpy(outcome->command, command, strlen(command) + 1);
	metrics->nr++;
	return 0;
}

static int take_margin(const char *text, double *ret, struct errmsg *err)
{
	int64_t value;
	const int rc = take_int("margin", text, 1, 99, &value, err);

	if (!rc)
		*ret = (double)value / 100;
	return rc;
}

static int take_text(const char *name, const char *text, char *buf, size_t size, struct errmsg *err)
{
	if (strlen(text) >= size)
		return errmsg_set(err, -ENAMETOOLONG, "--%s: \"%s\": longer than %zu bytes", name,
				  text, size - 1);
	memcpy(buf, text, strlen(text) + 1);
	return 0;
}

static int take_plan(int option, const char *text, struct ab_plan *plan, struct errmsg *err)
{
	int64_t number = 0;
	int rc = 0;

	switch (option) {
	case OPT_DESIGN:
		return take_design(text, &plan->design, err);
	case OPT_BLOCKS:
		rc = take_int("blocks", text, 2, AB_MAX_BLOCKS, &number, err);
		plan->blocks = (unsigned int)number;
		return rc;
	case OPT_SEED:
		rc = take_int("seed", text, 1, UINT32_MAX, &number, err);
		plan->seed = (uint64_t)number;
		return rc;
	case OPT_PERIOD:
		return take_duration("period", text, 2 * NSEC_PER_SEC, MAX_PERIOD, &plan->period,
				     err);
	default:
		return take_duration("washout", text, 0, MAX_PERIOD, &plan->washout, err);
	}
}

static int take_measuring(int option, const char *text, struct ab_experiment *experiment,
			  struct metrics *metrics, struct errmsg *err)
{
	switch (option) {
	case OPT_MARGIN:
		return take_margin(text, &experiment->margin, err);
	case OPT_METRIC:
		return take_metric(text, metrics, err);
	case OPT_HIGHER:
		if (metrics->nr_higher == AB_MAX_METRICS)
			return errmsg_set(err, -E2BIG, "--higher: %d at the most", AB_MAX_METRICS);
		metrics->higher[metrics->nr_higher++] = text;
		return 0;
	case OPT_METRIC_TIMEOUT:
		return take_duration("metric-timeout", text, NSEC_PER_MSEC, MAX_TIMEOUT,
				     &experiment->metric_timeout, err);
	case OPT_HOST_FEED:
		return take_text("host-feed", text, experiment->host_feed,
				 sizeof(experiment->host_feed), err);
	case OPT_SAMPLE:
		return take_duration("sample", text, MIN_SAMPLE, MAX_SAMPLE, &experiment->sample,
				     err);
	case OPT_STOP_PRESSURE:
		return take_percent("stop-pressure", text, &experiment->stop_pressure, err);
	case OPT_STOP_CHURN:
		return take_percent("stop-churn", text, &experiment->stop_churn, err);
	default:
		return take_percent("stop-errors", text, &experiment->stop_errors, err);
	}
}

static int take_option(int option, struct ab_arguments *arguments, struct ab_experiment *experiment,
		       struct metrics *metrics, struct errmsg *err)
{
	switch (option) {
	case OPT_A:
		arguments->arms[AB_A] = optarg;
		return 0;
	case OPT_B:
		arguments->arms[AB_B] = optarg;
		return 0;
	case OPT_PRIMARY:
		arguments->primary = optarg;
		return 0;
	case OPT_DIR:
		arguments->directory = optarg;
		return 0;
	case OPT_RESUME:
		arguments->resume = optarg ? optarg : "";
		return 0;
	case OPT_SCHEDULE:
		arguments->schedule_only = true;
		return 0;
	case OPT_NAME:
		if (!is_name(optarg, strlen(optarg), sizeof(experiment->id)))
			return errmsg_set(err, -EINVAL,
					  "--name: \"%s\": letters, digits, '.', '_' and '-', up "
					  "to %zu",
					  optarg, sizeof(experiment->id) - 1);
		return take_text("name", optarg, experiment->id, sizeof(experiment->id), err);
	case OPT_DESIGN:
	case OPT_BLOCKS:
	case OPT_PERIOD:
	case OPT_WASHOUT:
	case OPT_SEED:
		return take_plan(option, optarg, &experiment->plan, err);
	case '?': /* getopt_long() has said it */
		return errmsg_set(err, -EINVAL, "see above");
	default:
		return take_measuring(option, optarg, experiment, metrics, err);
	}
}

static int add_metrics(struct ab_experiment *experiment, const struct metrics *metrics,
		       struct errmsg *err)
{
	experiment->nr_outcomes =
		ab_outcomes(experiment->host_feed[0] != '\0', experiment->outcomes);
	for (unsigned int i = 0; i < metrics->nr; i++) {
		if (ab_find_outcome(experiment, metrics->list[i].name) >= 0)
			return errmsg_set(err, -EEXIST,
					  "--metric: %s: there is an outcome of "
					  "that name",
					  metrics->list[i].name);
		experiment->outcomes[experiment->nr_outcomes++] = metrics->list[i];
	}
	for (unsigned int i = 0; i < metrics->nr_higher; i++) {
		const int index = ab_find_outcome(experiment, metrics->higher[i]);

		if (index < 0 || !experiment->outcomes[index].command[0])
			return errmsg_set(err, -ENOENT, "--higher: %s: no --metric of that name",
					  metrics->higher[i]);
		experiment->outcomes[index].better = AB_MORE;
	}
	return 0;
}

static int find_primary(struct ab_experiment *experiment, const char *name, struct errmsg *err)
{
	char known[320] = "";
	const int index = ab_find_outcome(experiment, name);

	if (index >= 0) {
		experiment->primary = (unsigned int)index;
		return 0;
	}
	for (unsigned int i = 0; i < experiment->nr_outcomes; i++) {
		const size_t length = strlen(known);

		snprintf(known + length, sizeof(known) - length, "%s%s", i ? ", " : "",
			 experiment->outcomes[i].name);
	}
	return errmsg_set(err, -ENOENT, "--primary: \"%s\": known are %s", name, known);
}

/* What only makes sense together. */
static int check(const struct ab_arguments *arguments, struct ab_experiment *experiment,
		 struct errmsg *err)
{
	const struct ab_plan *plan = &experiment->plan;
	uint64_t window;
	char period[32], washout[32];

	if (optind > 1 && arguments->resume)
		return 0;
	if (!arguments->arms[AB_A] || !arguments->arms[AB_B])
		return errmsg_set(err, -EINVAL,
				  "--a FILE and --b FILE are needed: the two "
				  "configurations");
	if (plan->washout >= plan->period || plan->period - plan->washout < MIN_WINDOW)
		return errmsg_set(err, -ERANGE,
				  "--washout %s leaves less than 1s of --period %s to measure",
				  format_duration_exact(plan->washout, washout),
				  format_duration_exact(plan->period, period));
	window = plan->period - plan->washout;
	if (!experiment->sample)
		experiment->sample = window / 4 < USUAL_SAMPLE ? window / 4 : USUAL_SAMPLE;
	if (experiment->sample > window / 2)
		return errmsg_set(err, -ERANGE,
				  "--sample: %s is more than half of what is "
				  "measured of a period",
				  format_duration_exact(experiment->sample, period));
	return find_primary(experiment, arguments->primary ? arguments->primary : "unreported",
			    err);
}

static void set_defaults(struct ab_experiment *experiment)
{
	uint32_t seed = 0;

	*experiment = (struct ab_experiment){
		.sluice = SLUICE_VERSION,
		.created_ms = ab_wall_ms(),
		.plan = { .design = AB_ABBA,
			  .blocks = 10,
			  .period = 180 * NSEC_PER_SEC,
			  .washout = 60 * NSEC_PER_SEC },
		.margin = 0.05,
		.alpha = 0.05,
		.power = 0.8,
		.metric_timeout = 10 * NSEC_PER_SEC,
		.stop_pressure = 20,
		.stop_churn = 80,
		.stop_errors = 50,
	};
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed) || !seed)
		seed = (uint32_t)monotonic_ns() | 1;
	experiment->plan.seed = seed;
}

int ab_options(int argc, char **argv, struct ab_arguments *arguments,
	       struct ab_experiment *experiment, struct errmsg *err)
{
	struct metrics metrics = { .nr = 0 };
	int option, rc = 0;

	*arguments = (struct ab_arguments){ .directory = AB_DIRECTORY };
	set_defaults(experiment);
	while (!rc && (option = getopt_long(argc, argv, "", table, NULL)) != -1)
		rc = take_option(option, arguments, experiment, &metrics, err);
	if (!rc && optind < argc)
		rc = errmsg_set(err, -EINVAL, "unexpected argument \"%s\"", argv[optind]);
	if (!rc)
		rc = add_metrics(experiment, &metrics, err);
	if (!rc)
		rc = check(arguments, experiment, err);
	if (!rc)
		ab_draw(&experiment->plan);
	return rc;
}
