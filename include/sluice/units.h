/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers with units: "64MiB", "2s". One parser for the config file, the
 * command line and the tests.
 */
#ifndef SLUICE_UNITS_H
#define SLUICE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/errmsg.h"

/*
 * Strict decimal integer: optional '-', digits, nothing else. @min and @max are
 * inclusive. -EINVAL for anything that is no number ("12abc" is named as
 * trailing text), -ERANGE outside the range.
 */
int parse_int(const char *text, int64_t min, int64_t max, int64_t *ret, struct errmsg *err);

/*
 * Size: "0", or a decimal number (fractions allowed: "1.5GiB") and one of B,
 * KiB, MiB, GiB, TiB. Result in bytes, which must be whole (-EINVAL) and fit
 * (-ERANGE). A fraction has at most nine digits. A number without a unit is an error,
 * except 0, and so are decimal units (kB, MB): the message names the allowed ones.
 */
int parse_size(const char *text, uint64_t *bytes, struct errmsg *err);

/*
 * Duration: "0", or a decimal number (fractions allowed) and one of us, ms, s,
 * min, h, d. Result in nanoseconds; errors as parse_size().
 */
int parse_duration(const char *text, uint64_t *ns, struct errmsg *err);

/*
 * A number without a sign and without a unit, decimal or hexadecimal ("0x4008700c"): -EINVAL
 * for anything else, -ERANGE if it does not fit.
 */
int parse_number(const char *text, uint64_t *ret);

/*
 * Pairs of hexadecimal digits, nothing between them: "1e005000". Returns the number of bytes;
 * -EINVAL for anything else, -ERANGE for more than @size. @ret may be NULL: only checked.
 */
int parse_hex(const char *text, uint8_t *ret, size_t size);

/*
 * Human-readable text, at most 12 characters, always with a unit: "0 B",
 * "512 KiB", "62.5 MiB", "1.2 GiB". Returns @buf.
 */
#define UNITS_TEXT 16
char *format_size(uint64_t bytes, char buf[UNITS_TEXT]);
/* "0 s", "300 ns", "250 ms", "2 s", "1.5 min", "3 h". */
char *format_duration(uint64_t ns, char buf[UNITS_TEXT]);

/*
 * Text that parse_size() / parse_duration() read back as exactly the same
 * value, in the largest unit that needs no fraction: "64MiB", "1500ms", "0"
 * (durations of odd nanoseconds: "0.001us"). For generated config files and
 * messages.
 */
char *format_size_exact(uint64_t bytes, char buf[32]);
char *format_duration_exact(uint64_t ns, char buf[32]);

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_SEC  UINT64_C(1000000000)

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#endif
