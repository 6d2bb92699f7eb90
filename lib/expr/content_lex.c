/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: tokens, and errors that point at a place in the text.
 */
#include "content_node.h"

#include <string.h>

/* ---- errors --------------------------------------------------------------------- */

enum { WINDOW = 100 }; /* bytes of text shown before and after the place */

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xC0) == 0x80;
}

int rn_cx_fail(struct rn_err *e, int code, const char *text, size_t pos, const char *fmt, ...)
{
	size_t len = strlen(text), from = pos > WINDOW ? pos - WINDOW : 0;
	size_t to = len - pos > WINDOW ? pos + WINDOW : len;
	struct rn_str b = RN_STR_INIT;
	struct rn_err m = { 0 };
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rn_err_vset(&m, code, fmt, ap);
	va_end(ap);
	while (from > 0 && is_continuation(text[from]))
		from--;
	while (to < len && is_continuation(text[to]))
		to++;
	rn_str_addf(&b, "%s\n  %s", m.msg, from ? "…" : "");
	for (size_t i = from; i < to; i++)
		rn_str_addc(&b, (unsigned char)text[i] < ' ' ? ' ' : text[i]);
	rn_str_addf(&b, "%s\n  %s", to < len ? "…" : "", from ? " " : "");
	for (size_t i = from; i < pos; i++)
		if (!is_continuation(text[i]))
			rn_str_addc(&b, ' ');
	rn_str_addc(&b, '^');
	rc = rn_str_check(&b, e);
	if (!rc)
		rc = rn_err_set(e, code, "%s", b.s);
	rn_str_fini(&b);
	return rc;
}

/* ---- tokens ----------------------------------------------------------------------- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The end of a quoted text that starts at `at`; a doubled quote is part of it.  0: no end. */
static size_t quoted_end(const char *s, size_t at)
{
	char q = s[at++];

	for (; s[at]; at++) {
		if (s[at] != q)
			continue;
		if (s[at + 1] != q)
			return at + 1;
		at++;
	}
	return 0;
}

static size_t number_end(const char *s, size_t at)
{
	while (is_digit(s[at]) || s[at] == '.')
		at++;
	if (s[at] == 'e' || s[at] == 'E') {
		at++;
		if (s[at] == '+' || s[at] == '-')
			at++;
		while (is_digit(s[at]))
			at++;
	}
	while (is_letter(s[at]) || is_digit(s[at])) /* 12x is one wrong number */
		at++;
	return at;
}

static size_t symbol_length(const char *s)
{
	static const char *const two[] = { "==", "!=", "<>", "<=", ">=", "||" };

	for (size_t i = 0; i < sizeof two / sizeof *two; i++)
		if (s[0] == two[i][0] && s[1] == two[i][1])
			return 2;
	return strchr("=<>+-*/%(),.", s[0]) ? 1 : 0;
}

void rn_cx_next(const char *s, struct rn_cx_token *t)
{
	size_t at = t->end;

	while (s[at] == ' ' || (s[at] >= '\t' && s[at] <= '\r'))
		at++;
	t->pos = at;
	if (!s[at]) {
		t->kind = RN_CX_T_END;
		t->end = at;
	} else if (is_letter(s[at])) {
		t->kind = RN_CX_T_WORD;
		while (is_letter(s[at]) || is_digit(s[at]))
			at++;
		t->end = at;
	} else if (is_digit(s[at]) || (s[at] == '.' && is_digit(s[at + 1]))) {
		t->kind = RN_CX_T_NUMBER;
		t->end = number_end(s, at);
	} else if (s[at] == '\'' || s[at] == '"' || s[at] == '`') {
		t->kind = s[at] == '`' ? RN_CX_T_QUOTED : RN_CX_T_STRING;
		t->end = quoted_end(s, at);
		if (!t->end) {
			t->kind = RN_CX_T_BAD;
			t->end = at + 1;
		}
	} else {
		t->kind = symbol_length(s + at) ? RN_CX_T_SYMBOL : RN_CX_T_BAD;
		t->end = at + (t->kind == RN_CX_T_SYMBOL ? symbol_length(s + at) : 1);
	}
}
