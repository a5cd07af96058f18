// SPDX-License-Identifier: GPL-2.0-only
/* What the guest did with its memory since the last decision. */
#include "daemon.h"

#include <stdio.h>
#include <string.h>

#include "sluice/log.h"

static void measure_churn(struct daemon *daemon, struct activity *activity)
{
	const uint64_t page_size = observer_topology(daemon->observer)->page_size;
	struct churn_totals *last = &daemon->churn;
	struct churn_totals now;

	if (observer_source(daemon->observer) == SOURCE_BUDDYINFO)
		return;
	now.age = daemon->config.guards.churn_age;
	blockmap_churn(observer_blocks(daemon->observer), now.age, &now.map);
	/*
	 * Another age counts otherwise, and memory that left took its counts along. What was
	 * reported before the first look seems to have been reported at it.
	 */
	if (daemon->snap.observed_ns > now.age && last->age == now.age &&
	    now.map.reported >= last->map.reported && now.map.reused >= last->map.reused &&
	    now.map.faded >= last->map.faded) {
		activity->reported = (now.map.reported - last->map.reported) * page_size;
		activity->reused = (now.map.reused - last->map.reused) * page_size;
		activity->faded = (now.map.faded - last->map.faded) * page_size;
	}
	*last = now;
}

void daemon_measure(struct daemon *daemon, uint64_t now)
{
	struct pressure_totals totals;
	struct errmsg err = { 0 };

	daemon->activity = (struct activity){ 0 };
	if (pressure_read(daemon->root, now, &totals, &err) < 0) {
		if (strcmp(daemon->unmeasured, err.text))
			log_warn("the guest's load is unknown: %s", err.text);
		snprintf(daemon->unmeasured, sizeof(daemon->unmeasured), "%s", err.text);
		return;
	}
	pressure_between(&daemon->pressure, &totals, observer_topology(daemon->observer)->page_size,
			 &daemon->activity);
	pressure_leave_out(&daemon->activity, daemon->preparer.last.wait_ns);
	measure_churn(daemon, &daemon->activity);
	daemon->pressure = totals;
}
