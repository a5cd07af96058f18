// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sluice/errmsg.h"

/* Both functions format into a copy first: an argument may be err->text itself. */
int errmsg_set(struct errmsg *err, int code, const char *fmt, ...)
{
	int saved_errno = errno;
	struct errmsg copy;
	va_list args;

	if (!err)
		return code;
	va_start(args, fmt);
	vsnprintf(copy.text, sizeof(copy.text), fmt, args);
	va_end(args);
	*err = copy;
	errno = saved_errno;
	return code;
}

int errmsg_prefix(struct errmsg *err, int code, const char *fmt, ...)
{
	int saved_errno = errno;
	struct errmsg copy;
	va_list args;
	size_t used, room;

	if (!err)
		return code;
	va_start(args, fmt);
	vsnprintf(copy.text, sizeof(copy.text), fmt, args);
	va_end(args);
	used = strlen(copy.text);
	room = sizeof(copy.text) - used - 1;
	snprintf(copy.text + used, room + 1, ": %.*s", room > 2 ? (int)room - 2 : 0, err->text);
	*err = copy;
	errno = saved_errno;
	return code;
}

/* Writes the escaped form of @c, at most four characters; returns its length. */
static size_t escape_char(char c, char out[5])
{
	static const char hex[] = "0123456789abcdef";
	const char *letter;
	static const char specials[] = "\n\t\r\"\\";
	static const char letters[] = "ntr\"\\";

	letter = c ? strchr(specials, c) : NULL;
	if (letter) {
		out[0] = '\\';
		out[1] = letters[letter - specials];
		return 2;
	}
	if (c >= 0x20 && c < 0x7f) {
		out[0] = c;
		return 1;
	}
	out[0] = '\\';
	out[1] = 'x';
	out[2] = hex[(unsigned char)c >> 4];
	out[3] = hex[(unsigned char)c & 0xf];
	return 4;
}

char *text_quote(const char *text, char buf[QUOTED_TEXT])
{
	static const char cut[] = "\"...";
	size_t room = QUOTED_TEXT - sizeof(cut); /* for the opening quote and the text */
	size_t len = 0;

	buf[len++] = '"';
	for (; *text; text++) {
		char piece[5];
		size_t n = escape_char(*text, piece);

		if (len + n > room) {
			memcpy(buf + len, cut, sizeof(cut));
			return buf;
		}
		memcpy(buf + len, piece, n);
		len += n;
	}
	buf[len++] = '"';
	buf[len] = '\0';
	return buf;
}
