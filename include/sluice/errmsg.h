/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Error texts that travel beside a negative errno value.
 *
 * A library function that can fail for more than one reason takes a
 * struct errmsg and returns errmsg_set(err, -E..., "..."): the caller decides
 * whether and where the text is printed. The text names the object, the value
 * and the allowed range or the remedy; it does not end in a newline.
 */
#ifndef SLUICE_ERRMSG_H
#define SLUICE_ERRMSG_H

struct errmsg {
	char text[384];
};

/*
 * Stores the formatted text (truncated to the buffer) and returns @code, a
 * negative errno value, so that "return errmsg_set(...)" reads well. @err may
 * be NULL: then only the code is passed on. errno is preserved.
 */
int errmsg_set(struct errmsg *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Prefixes the text that is already there with "<formatted>: "; returns @code. */
int errmsg_prefix(struct errmsg *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * A value as it may stand in a message: in double quotes, with everything but
 * printable ASCII escaped ("\n", "\xc2"), cut with "..." if it is long.
 * Returns @buf.
 */
#define QUOTED_TEXT 80
char *text_quote(const char *text, char buf[QUOTED_TEXT]);

#endif
