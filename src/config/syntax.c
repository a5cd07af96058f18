// SPDX-License-Identifier: GPL-2.0-only
/*
 * A look at the tokens before libconfig gets them.
 *
 * libconfig 1.5 (Debian 12) wraps numbers beyond 32 bits silently, frees its
 * tree recursively, and never frees a string where its grammar expects none
 * (hyperrealm/libconfig#142). And it says "syntax error" at the end of the file
 * for a bracket that was forgotten at its beginning. What these checks do not
 * mind is left to its grammar.
 */
#include <ctype.h>
#include <string.h>

#include "load.h"

#define MAX_DEPTH  16 /* the options need 5: a group in a list of a group in a list in a group */
#define MAX_DIGITS 9  /* fits 32 bits; hexadecimal numbers stand in strings */

enum token_type {
	TOKEN_END,
	TOKEN_STRING,
	TOKEN_EQUALS,
	TOKEN_COMMA,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_WORD, /* name, number, true, false */
	TOKEN_OTHER,
	TOKEN_BROKEN, /* string or comment that never ends */
};

struct lexer {
	const char *at;
	unsigned int line;
	enum token_type type; /* of the current token, as the rest */
	const char *start;
	size_t len;
	unsigned int start_line;
};

static void advance(struct lexer *lexer, const char *to)
{
	for (; lexer->at < to; lexer->at++)
		lexer->line += *lexer->at == '\n';
}

/* Skips blanks and comments; false if a comment never ends. */
static bool skip_blanks(struct lexer *lexer)
{
	for (;;) {
		const char *at = lexer->at;
		const char *end;

		if (strchr(" \t\r\f\n", *at) && *at) {
			end = at + 1;
		} else if (*at == '#' || (at[0] == '/' && at[1] == '/')) {
			end = strchr(at, '\n');
			end = end ? end : at + strlen(at);
		} else if (at[0] == '/' && at[1] == '*') {
			end = strstr(at + 2, "*/");
			if (!end)
				return false;
			end += 2;
		} else {
			return true;
		}
		advance(lexer, end);
	}
}

/*
 * End of the string whose text begins at @at, or NULL. libconfig lets strings
 * go on over several lines; no option needs that, and a forgotten quote is
 * found in its own line this way.
 */
static const char *string_end(const char *at)
{
	for (; *at && *at != '\n'; at++) {
		if (*at == '"')
			return at + 1;
		if (*at == '\\' && (at[1] == '"' || at[1] == '\\'))
			at++;
	}
	return NULL;
}

static enum token_type type_of(char c)
{
	switch (c) {
	case '\0':
		return TOKEN_END;
	case '"':
		return TOKEN_STRING;
	case '=':
	case ':':
		return TOKEN_EQUALS;
	case ',':
		return TOKEN_COMMA;
	case '{':
	case '[':
	case '(':
		return TOKEN_OPEN;
	case '}':
	case ']':
	case ')':
		return TOKEN_CLOSE;
	default:
		return TOKEN_OTHER;
	}
}

static enum token_type next_token(struct lexer *lexer)
{
	static const char word[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_*.+-";
	const char *end;
	bool blanks_end = skip_blanks(lexer);

	lexer->start = lexer->at;
	lexer->start_line = lexer->line;
	lexer->type = blanks_end ? type_of(*lexer->at) : TOKEN_BROKEN;
	end = lexer->at + (lexer->type != TOKEN_END);
	if (lexer->type == TOKEN_STRING) {
		end = string_end(lexer->at + 1);
		if (!end)
			lexer->type = TOKEN_BROKEN;
	} else if (lexer->type == TOKEN_OTHER && strspn(lexer->at, word)) {
		lexer->type = TOKEN_WORD;
		end = lexer->at + strspn(lexer->at, word);
	}
	if (lexer->type != TOKEN_BROKEN)
		advance(lexer, end);
	lexer->len = (size_t)(lexer->at - lexer->start);
	return lexer->type;
}

struct bracket {
	char open;
	unsigned int line;
};

struct nesting {
	struct bracket stack[MAX_DEPTH];
	unsigned int depth;
};

static bool open_bracket(struct nesting *nesting, const struct lexer *lexer, struct report *report)
{
	if (nesting->depth == MAX_DEPTH) {
		report_add(report, lexer->start_line, "syntax error: more than %d brackets open",
			   MAX_DEPTH);
		return false;
	}
	nesting->stack[nesting->depth++] = (struct bracket){ *lexer->start, lexer->start_line };
	return true;
}

static bool close_bracket(struct nesting *nesting, const struct lexer *lexer, struct report *report)
{
	static const char opens[] = "{[(", closes[] = "}])";
	char close = *lexer->start;
	const struct bracket *last;

	if (!nesting->depth) {
		report_add(report, lexer->start_line, "syntax error: '%c' closes nothing", close);
		return false;
	}
	last = &nesting->stack[--nesting->depth];
	if (opens[strchr(closes, close) - closes] == last->open)
		return true;
	report_add(report, lexer->start_line,
		   "syntax error: '%c' does not close the '%c' of line %u", close, last->open,
		   last->line);
	return false;
}

/* Where libconfig's grammar has a string: a value, or a further piece of one. */
static bool string_expected(const struct nesting *nesting, enum token_type before)
{
	if (before == TOKEN_EQUALS || before == TOKEN_STRING)
		return true;
	if (!nesting->depth || nesting->stack[nesting->depth - 1].open == '{')
		return false;
	return before == TOKEN_OPEN || before == TOKEN_COMMA;
}

/* libconfig ends the value there, so that "control\x00x" would pass for "control". */
static bool check_string(const struct lexer *lexer, struct report *report)
{
	const char *at = lexer->start;

	for (size_t i = 0; i + 3 < lexer->len; i++) {
		if (at[i] == '\\' && (at[i + 1] | 0x20) == 'x' && at[i + 2] == '0' &&
		    at[i + 3] == '0') {
			report_add(report, lexer->start_line, "syntax error: NUL byte in a string");
			return false;
		}
	}
	return true;
}

static bool check_number(const struct lexer *lexer, struct report *report)
{
	size_t digits = 0;

	if (isalpha((unsigned char)*lexer->start) || *lexer->start == '*')
		return true; /* a name */
	for (size_t i = 0; i < lexer->len; i++) {
		digits = isxdigit((unsigned char)lexer->start[i]) ? digits + 1 : 0;
		if (digits > MAX_DIGITS) {
			report_add(report, lexer->start_line, "%.*s: a number of at most %d digits",
				   (int)(lexer->len < 40 ? lexer->len : 40), lexer->start,
				   MAX_DIGITS);
			return false;
		}
	}
	return true;
}

static bool check_end(const struct nesting *nesting, const struct lexer *lexer,
		      struct report *report)
{
	const struct bracket *last;

	if (lexer->type == TOKEN_BROKEN) {
		report_add(report, lexer->start_line, "syntax error: %s",
			   *lexer->start == '"' ? "this string does not end in its line" :
						  "this comment does not end");
		return false;
	}
	if (!nesting->depth)
		return true;
	last = &nesting->stack[nesting->depth - 1];
	report_add(report, last->line, "syntax error: '%c' is not closed", last->open);
	return false;
}

static bool count_setting(unsigned int *nr, const struct lexer *lexer, struct report *report)
{
	if (++*nr <= MAX_SETTINGS)
		return true;
	report_add(report, lexer->start_line, "more than %d settings", MAX_SETTINGS);
	return false;
}

bool syntax_check(const char *text, struct report *report)
{
	struct lexer lexer = { .at = text, .line = 1, .type = TOKEN_END };
	struct nesting nesting = { .depth = 0 };
	unsigned int nr_settings = 0;
	bool ok = true;

	while (ok) {
		enum token_type before = lexer.type;

		switch (next_token(&lexer)) {
		case TOKEN_OPEN:
			ok = open_bracket(&nesting, &lexer, report);
			break;
		case TOKEN_CLOSE:
			ok = close_bracket(&nesting, &lexer, report);
			break;
		case TOKEN_STRING:
			ok = string_expected(&nesting, before);
			if (!ok)
				report_add(report, lexer.start_line, "syntax error");
			else
				ok = check_string(&lexer, report);
			break;
		case TOKEN_EQUALS:
			ok = count_setting(&nr_settings, &lexer, report);
			break;
		case TOKEN_WORD:
			ok = check_number(&lexer, report);
			break;
		case TOKEN_END:
		case TOKEN_BROKEN:
			return check_end(&nesting, &lexer, report);
		default:
			break;
		}
	}
	return false;
}
