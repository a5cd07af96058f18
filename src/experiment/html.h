/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages of HTML: texts that can be anything, and a file that is whole or not there. */
#ifndef SLUICE_HTML_H
#define SLUICE_HTML_H

#include <stddef.h>
#include <stdio.h>

#include "sluice/errmsg.h"

/* As text or as the value of an attribute in quotes, whatever is in it. */
void html_text(FILE *out, const char *text);

/* The same of numbers, and words with numbers among them: a hyphen before one is a minus sign. */
void html_number(FILE *out, const char *text);

/*
 * Puts @text into the file @path, which is new or takes the place of a regular file; written beside
 * it first and renamed. 0 or -errno with a reason; then nothing has changed.
 */
int html_write(const char *path, const char *text, size_t size, struct errmsg *err);

#endif
