// SPDX-License-Identifier: GPL-2.0-only
/* Counters at one time: sluiced's, and the kernel's. */
#include "ab.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "picture.h"
#include "sluice/control.h"
#include "sluice/units.h"

int64_t ab_wall_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC);
}

int ab_put_arm(const struct cli *cli, const char *id, enum ab_arm arm, const char *config,
	       uint64_t lease_ns, json_t **ret, struct errmsg *err)
{
	json_t *request = json_pack("{s:s, s:s, s:s, s:s, s:I}", "request", REQUEST_ARM,
				    "experiment", id, "arm", arm == AB_A ? "A" : "B", "config",
				    config, "lease_ms", (json_int_t)(lease_ns / NSEC_PER_MSEC));
	const int rc = ask_daemon_json(cli, request, ret, err);

	json_decref(request);
	return rc;
}

int ab_check_arm(const struct cli *cli, const char *id, const char *config, struct errmsg *err)
{
	json_t *request = json_pack("{s:s, s:s, s:s}", "request", REQUEST_ARM_CHECK, "experiment",
				    id, "config", config);
	json_t *answer;
	const int rc = ask_daemon_json(cli, request, &answer, err);

	json_decref(request);
	if (!rc)
		json_decref(answer);
	return rc;
}

void ab_end_arm(const struct cli *cli, const char *id)
{
	json_t *request = json_pack("{s:s, s:s}", "request", REQUEST_ARM_END, "experiment", id);
	json_t *answer;

	/* without it the lease ends by itself */
	if (!ask_daemon_json(cli, request, &answer, NULL))
		json_decref(answer);
	json_decref(request);
}

static void take_buckets(const json_t *list, uint64_t *ret)
{
	for (size_t i = 0; i < SLUICE_TIME_BUCKETS; i++)
		ret[i] = (uint64_t)json_integer_value(json_array_get(list, i));
}

static const char *words(const json_t *answer, const char *key)
{
	const char *text = json_string_value(json_object_get(answer, key));

	return text ? text : "";
}

static bool is(const json_t *answer, const char *key)
{
	return json_is_true(json_object_get(answer, key));
}

void ab_read_state(const json_t *answer, const char *id, struct ab_state *ret)
{
	const char *in_force = words(answer, "experiment");

	*ret = (struct ab_state){
		.instance = member(answer, "instance"),
		.arms = member(answer, "arms"),
		.drains = member(answer, "drains"),
		.map_renewed = member(answer, "map_renewed"),
		.in_force = !strcmp(in_force, id),
		.let_go = is(answer, "let_go"),
	};
	if (!ret->in_force)
		snprintf(ret->trouble, sizeof(ret->trouble),
			 "sluiced gave its own configuration "
			 "back: the lease had ended");
	else if (ret->let_go)
		snprintf(ret->trouble, sizeof(ret->trouble), "%s", words(answer, "let_go_reason"));
	else if (!is(answer, "trusted"))
		snprintf(ret->trouble, sizeof(ret->trouble), "%s",
			 words(answer, "untrusted_reason"));
	else if (!is(answer, "usable"))
		snprintf(ret->trouble, sizeof(ret->trouble), "%s",
			 words(answer, "unusable_reason"));
}

int ab_take_look(const struct cli *cli, int root, const char *id, struct ab_look *ret,
		 struct errmsg *err)
{
	json_t *request = json_pack("{s:s, s:s}", "request", REQUEST_SAMPLE, "experiment", id);
	struct ab_look look = { .host = NAN };
	json_t *answer = NULL;
	int rc;

	rc = ask_daemon_json(cli, request, &answer, err);
	json_decref(request);
	if (rc)
		return rc;
	/* all at the time of the answer: the scan may have taken a while */
	look.time_ns = monotonic_ns();
	ab_read_state(answer, id, &look.state);
	look.pid = (int)member(answer, "pid");
	look.has_unreported = json_is_integer(json_object_get(answer, "reported_bytes"));
	look.unreported = member(answer, "free_bytes");
	look.unreported -= member(answer, "reported_bytes") < look.unreported ?
				   member(answer, "reported_bytes") :
				   look.unreported;
	look.churn_reported = member(answer, "churn_reported_bytes");
	look.churn_reused = member(answer, "churn_reused_bytes");
	take_buckets(json_object_get(answer, "lifetimes"), look.lifetimes);
	take_buckets(json_object_get(answer, "reuse"), look.reuse);
	json_decref(answer);
	look.has_daemon_cpu = !process_cpu_read(root, look.pid, &look.daemon_ns, NULL);
	rc = pressure_read(root, look.time_ns, &look.totals, err);
	if (!rc)
		*ret = look;
	return rc;
}
