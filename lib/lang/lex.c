/* SPDX-License-Identifier: Apache-2.0 */
#include "lex.h"

#include <stdio.h>
#include <string.h>

static bool starts_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The text, with a NUL past its end. */
struct scan {
	const char *text;
	size_t len;
};

static char peek(const struct scan *s, size_t i)
{
	return i < s->len ? s->text[i] : '\0';
}

static size_t skip_blanks(const struct scan *s, size_t i)
{
	for (; i < s->len; i++) {
		char c = s->text[i];

		if (c == '#') {
			const char *nl = memchr(s->text + i, '\n', s->len - i);

			if (!nl)
				return s->len;
			i = (size_t)(nl - s->text);
		} else if (c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != '\v') {
			break;
		}
	}
	return i;
}

/* Behind the exponent at i, or i where there is none. */
static size_t exponent_end(const struct scan *s, size_t i)
{
	size_t e = i + 1;

	if (peek(s, i) != 'e' && peek(s, i) != 'E')
		return i;
	if (peek(s, e) == '+' || peek(s, e) == '-')
		e++;
	if (!is_digit(peek(s, e)))
		return i;
	while (is_digit(peek(s, e)))
		e++;
	return e;
}

/* Does the statement go on behind the point before i, so that it belongs to a number?  The next
 * one begins with a name or a ?. */
static bool goes_on(const struct scan *s, size_t i)
{
	size_t next = skip_blanks(s, i);
	char c = peek(s, next);

	return next < s->len && strchr(".,;:|)]}<>=!+-*/%@", c);
}

/* 16, 0.5, .5, 1e-3, 2.5E+4; 2. where the statement goes on, as in `d = 2. .`, and 1.e2. */
static size_t number_end(const struct scan *s, size_t i)
{
	while (is_digit(peek(s, i)))
		i++;
	if (peek(s, i) == '.' && (is_digit(peek(s, i + 1)) || goes_on(s, i + 1) ||
				  exponent_end(s, i + 1) > i + 1))
		for (i++; is_digit(peek(s, i)); i++)
			;
	return exponent_end(s, i);
}

/* Behind the closing quote, or 0 where a line or the text ends first. */
static size_t string_end(const struct scan *s, size_t i)
{
	char quote = s->text[i];

	for (i++; i < s->len && s->text[i] != '\n'; i++) {
		if (s->text[i] == '\\' && quote != '`')
			i++;
		else if (s->text[i] == quote)
			return i + 1;
	}
	return 0;
}

static enum rn_tok_kind pair_kind(char a, char b)
{
	static const struct { char pair[3]; enum rn_tok_kind kind; } pairs[] = {
		{ ":-", RN_TOK_IF }, { "->", RN_TOK_ARROW }, { "**", RN_TOK_POW },
		{ "==", RN_TOK_EQ }, { "!=", RN_TOK_NE },    { "<>", RN_TOK_NE },
		{ "<=", RN_TOK_LE }, { ">=", RN_TOK_GE },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		if (a == pairs[i].pair[0] && b == pairs[i].pair[1])
			return pairs[i].kind;
	return RN_TOK_PUNCT;
}

struct rn_tok rn_lex(const char *text, size_t len, uint32_t at)
{
	struct scan s = { text, len };
	size_t i = skip_blanks(&s, at), end = i + 1;
	struct rn_tok t = { .kind = RN_TOK_BAD, .at = (uint32_t)i };
	char c = peek(&s, i);

	if (i >= len) {
		t.kind = RN_TOK_END;
		end = i;
	} else if (starts_name(c)) {
		t.kind = RN_TOK_NAME;
		while (starts_name(peek(&s, end)) || is_digit(peek(&s, end)))
			end++;
	} else if (is_digit(c) || (c == '.' && is_digit(peek(&s, i + 1)))) {
		t.kind = RN_TOK_NUM;
		end = number_end(&s, i);
	} else if (c == '"' || c == '\'' || c == '`') {
		size_t e = string_end(&s, i);

		if (e && (c != '`' || e > i + 2)) {
			t.kind = c == '`' ? RN_TOK_NAME : RN_TOK_STR;
			end = e;
		}
	} else if (c && strchr("()[]{}<>,;:|?!+-*/%@=.", c)) {
		t.kind = pair_kind(c, peek(&s, i + 1));
		t.ch = t.kind == RN_TOK_PUNCT ? c : 0;
		end = i + (t.kind == RN_TOK_PUNCT ? 1 : 2);
	}
	t.end = (uint32_t)end;
	return t;
}

const char *rn_tok_label(const char *text, const struct rn_tok *t, char *buf, size_t size)
{
	enum { SHOWN = 40 };
	uint32_t n = t->end - t->at;

	if (t->kind == RN_TOK_END)
		snprintf(buf, size, "the end of the program");
	else if (t->kind == RN_TOK_STR)
		snprintf(buf, size, "%.*s%s", (int)(n > SHOWN ? SHOWN : n), text + t->at, n > SHOWN ? "..." : "");
	else
		snprintf(buf, size, "'%.*s%s'", (int)(n > SHOWN ? SHOWN : n), text + t->at, n > SHOWN ? "..." : "");
	return buf;
}
