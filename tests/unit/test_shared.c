// SPDX-License-Identifier: GPL-2.0-only
/* The arithmetic that BPF programs and the daemon share: logarithms, spans in 7 bits, buckets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/bpf_shared.h"

#define EXHAUSTIVE (1U << 22) /* every number below; above, all places where something changes */

/* The largest power of two that is not above @value, by counting. */
static uint32_t slow_log2(uint32_t value)
{
	uint32_t log = 0;

	while (value >= 2) {
		value /= 2;
		log++;
	}
	return log;
}

static void test_log2(void **state)
{
	(void)state;
	for (uint32_t value = 1; value < EXHAUSTIVE; value++)
		assert_int_equal(sluice_log2(value), slow_log2(value));
	for (uint32_t bit = 1; bit < 32; bit++) {
		const uint32_t power = 1U << bit;

		assert_int_equal(sluice_log2(power - 1), bit - 1);
		assert_int_equal(sluice_log2(power), bit);
		assert_int_equal(sluice_log2(power + 1), bit);
		assert_int_equal(sluice_log2(power | (power - 1)), bit);
	}
}

/* That one span survives: exactly below 4 ticks, to within an eighth from there on. */
static void check_span(uint32_t ticks)
{
	const uint32_t code = sluice_span_encode(ticks);
	const uint32_t decoded = sluice_span_decode(code);
	const uint32_t error = decoded > ticks ? decoded - ticks : ticks - decoded;

	if (code > 127)
		fail_msg("%u ticks: code %u needs more than 7 bits", ticks, code);
	if (ticks < 4 ? error : (uint64_t)error * 8 > ticks)
		fail_msg("%u ticks: decoded to %u", ticks, decoded);
	if (sluice_span_encode(decoded) != code)
		fail_msg("%u ticks: code %u, then %u", ticks, code, sluice_span_encode(decoded));
}

/*
 * The code depends on the highest bit of a span and the two below it alone, so that
 * it is enough to look at either end of each of these intervals.
 */
static void test_spans(void **state)
{
	uint32_t last = 0;

	(void)state;
	for (uint32_t ticks = 0; ticks < EXHAUSTIVE; ticks++) {
		const uint32_t code = sluice_span_encode(ticks);

		check_span(ticks);
		assert_true(code == last || code == last + 1);
		last = code;
	}
	for (uint32_t shift = 20; shift < 30; shift++) {
		for (uint32_t mantissa = 4; mantissa < 8; mantissa++) {
			const uint32_t first = mantissa << shift, end = first + (1U << shift) - 1;

			check_span(first - 1);
			check_span(first);
			check_span(first + (1U << (shift - 1)));
			check_span(end);
			assert_int_equal(sluice_span_encode(first), sluice_span_encode(end));
			assert_int_equal(sluice_span_encode(first),
					 sluice_span_encode(first - 1) + 1);
		}
	}
	check_span(UINT32_MAX);
	assert_int_equal(sluice_span_encode(UINT32_MAX), 123);
}

/* What a record can hold besides: decoded to some number, without undefined behaviour. */
static void test_all_codes(void **state)
{
	(void)state;
	for (uint32_t code = 0; code < 128; code++) {
		const uint32_t ticks = sluice_span_decode(code);

		if (code <= 123)
			assert_int_equal(sluice_span_encode(ticks), code);
	}
	assert_int_equal(sluice_span_decode(0), 0);
	assert_int_equal(sluice_span_decode(3), 3);
	assert_int_equal(sluice_span_decode(4), 4);
	assert_int_equal(sluice_span_decode(8), 9);   /* 8 and 9 */
	assert_int_equal(sluice_span_decode(12), 18); /* 16 to 19 */
}

/* Bucket n: from 2^(n-1) ticks, inclusive, to 2^n, exclusive; bucket 0: less than a tick. */
static void test_time_buckets(void **state)
{
	(void)state;
	assert_int_equal(sluice_time_bucket(0), 0);
	for (uint32_t bucket = 1; bucket < SLUICE_TIME_BUCKETS; bucket++) {
		const uint32_t from = 1U << (bucket - 1);

		assert_int_equal(sluice_time_bucket(from), bucket);
		assert_int_equal(sluice_time_bucket(from - 1), bucket - 1);
		assert_int_equal(sluice_time_bucket(from | (from - 1)), bucket);
	}
	assert_int_equal(sluice_time_bucket(UINT32_MAX), SLUICE_TIME_BUCKETS - 1);
}

/* The fields have room for what the limits allow. */
static void test_record(void **state)
{
	struct sluice_block block = { 0 };

	(void)state;
	block.free_pages = 1U << SLUICE_MAX_PAGEBLOCK_ORDER;
	block.order = SLUICE_NO_EXTENT;
	block.zone = SLUICE_MAX_ZONES - 1;
	block.flags = SLUICE_BLOCK_FREE | SLUICE_BLOCK_REPORTED;
	block.reported_after = 123;
	block.since = UINT32_MAX;
	assert_int_equal(block.free_pages, 1U << SLUICE_MAX_PAGEBLOCK_ORDER);
	assert_int_equal(block.order, SLUICE_NO_EXTENT);
	assert_int_equal(block.zone, SLUICE_MAX_ZONES - 1);
	assert_int_equal(block.flags, SLUICE_BLOCK_FREE | SLUICE_BLOCK_REPORTED);
	assert_int_equal(block.reported_after, 123);
	assert_int_equal(block.since, UINT32_MAX);
	assert_true(SLUICE_NO_EXTENT < SLUICE_MAX_ORDERS);
	assert_true(SLUICE_MAX_PAGEBLOCK_ORDER < SLUICE_NO_EXTENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log2),	  cmocka_unit_test(test_spans),
		cmocka_unit_test(test_all_codes), cmocka_unit_test(test_time_buckets),
		cmocka_unit_test(test_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
