// SPDX-License-Identifier: GPL-2.0-only
#include <limits.h>

#include "sluice/breaker.h"

enum breaker_state breaker_state(const struct breaker *breaker, uint64_t now_ns)
{
	if (!breaker->backoff_ns)
		return BREAKER_CLOSED;
	return now_ns < breaker->retry_ns ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[] = {
		[BREAKER_CLOSED] = "closed",
		[BREAKER_OPEN] = "open",
		[BREAKER_HALF_OPEN] = "half-open",
	};

	return names[state];
}

bool breaker_allows(const struct breaker *breaker, uint64_t now_ns)
{
	return breaker_state(breaker, now_ns) != BREAKER_OPEN;
}

uint64_t breaker_wait(const struct breaker *breaker, uint64_t now_ns)
{
	return breaker_allows(breaker, now_ns) ? 0 : breaker->retry_ns - now_ns;
}

static uint64_t next_backoff(uint64_t last)
{
	if (!last)
		return BREAKER_FIRST;
	return last < BREAKER_LONGEST / 2 ? last * 2 : BREAKER_LONGEST;
}

bool breaker_failed(struct breaker *breaker, uint64_t now_ns)
{
	if (breaker->failures < UINT_MAX)
		breaker->failures++;
	/* a try on request, while it is open, changes nothing */
	if (breaker->failures < BREAKER_FAILURES || !breaker_allows(breaker, now_ns))
		return false;
	breaker->backoff_ns = next_backoff(breaker->backoff_ns);
	breaker->retry_ns = now_ns + breaker->backoff_ns;
	return true;
}

bool breaker_succeeded(struct breaker *breaker)
{
	const bool was_open = breaker->backoff_ns;

	*breaker = (struct breaker){ 0 };
	return was_open;
}
