/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: functions of strings.  Characters are
 * those of UTF-8; a byte that starts none counts with the one before it.  A piece
 * of a string points into it and is not copied.
 */
#include "content_node.h"

#include <string.h>

static bool continues(char c)
{
	return ((unsigned char)c & 0xC0) == 0x80;
}

/* Past n characters from byte `at` of s. */
static size_t skip(const struct rn_cx_text *s, size_t at, int64_t n)
{
	for (; n > 0 && at < s->n; n--)
		for (at++; at < s->n && continues(s->s[at]); at++)
			;
	return at;
}

static int64_t length(const struct rn_cx_text *s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += !i || !continues(s->s[i]);
	return n;
}

/* Where t, which is not empty, first is in the bytes from `at` to `end`, or NULL. */
static const char *find(const char *at, const char *end, const struct rn_cx_text *t)
{
	return (size_t)(end - at) < t->n ? NULL : memmem(at, (size_t)(end - at), t->s, t->n);
}

/* ---- pieces ------------------------------------------------------------------------ */

static int64_t clamp(int64_t x)
{
	const int64_t most = (int64_t)1 << 48;

	return x < -most ? -most : x > most ? most : x;
}

/* Characters from place `from`, 1 the first one, -1 the last; `n` of them, or where n is
 * negative those before.  Place 0 is one before the first. */
static struct rn_cx_text substr(const struct rn_cx_text *s, int64_t from, int64_t n)
{
	bool before = n < 0;
	size_t a, b;

	from = clamp(from);
	n = clamp(before ? -clamp(n) : n);
	if (from < 0) {
		from += length(s);
		if (from < 0) {
			n += from;
			n = n < 0 ? 0 : n;
			from = 0;
		}
	} else if (from > 0) {
		from--;
	} else if (n > 0) {
		n--;
	}
	if (before) {
		from -= n;
		if (from < 0) {
			n += from;
			from = 0;
		}
	}
	a = skip(s, 0, from);
	b = skip(s, a, n);
	return (struct rn_cx_text){ s->s + a, b - a };
}

/* The character of `set` that s starts (or ends) with, in bytes; 0: none. */
static size_t matches(const struct rn_cx_text *s, const struct rn_cx_text *set, bool at_end)
{
	for (size_t i = 0, next; i < set->n; i = next) {
		next = skip(set, i, 1);
		if (next - i <= s->n &&
		    !memcmp(at_end ? s->s + s->n - (next - i) : s->s, set->s + i, next - i))
			return next - i;
	}
	return 0;
}

static struct rn_cx_text trim(struct rn_cx_text s, const struct rn_cx_text *set, enum rn_cx_op op)
{
	size_t n;

	while (op != RN_CX_RTRIM && (n = matches(&s, set, false)) > 0) {
		s.s += n;
		s.n -= n;
	}
	while (op != RN_CX_LTRIM && (n = matches(&s, set, true)) > 0)
		s.n -= n;
	return s;
}

/* The first n characters, or where n is negative all but so many at the end. */
static struct rn_cx_text left(const struct rn_cx_text *s, int64_t n)
{
	if (n < 0) {
		n = length(s) + clamp(n);
		n = n < 0 ? 0 : n;
	}
	return (struct rn_cx_text){ s->s, skip(s, 0, n) };
}

static struct rn_cx_text right(const struct rn_cx_text *s, int64_t n)
{
	size_t at;

	n = n < 0 ? -clamp(n) : length(s) - clamp(n);
	at = skip(s, 0, n);
	return (struct rn_cx_text){ s->s + at, s->n - at };
}

/* What stands between the separators before and behind piece n, 1 the first one and -1
 * the last; "" where there is none. */
static struct rn_cx_text split_part(const struct rn_cx_text *s, const struct rn_cx_text *by,
				    int64_t n)
{
	const char *at = s->s, *end = s->s + s->n, *hit;
	int64_t pieces = 1;

	if (!by->n)
		return n == 1 || n == -1 ? *s : (struct rn_cx_text){ s->s, 0 };
	if (n < 0) {
		for (; (hit = find(at, end, by)); pieces++)
			at = hit + by->n;
		n = pieces + 1 + clamp(n);
		at = s->s;
	}
	for (; n > 0; n--) {
		hit = find(at, end, by);
		if (n == 1)
			return (struct rn_cx_text){ at, (size_t)((hit ? hit : end) - at) };
		if (!hit)
			break;
		at = hit + by->n;
	}
	return (struct rn_cx_text){ s->s, 0 };
}

int rn_cx_text_pieces(struct rn_cx_state *s, const struct rn_cx_node *x,
		      const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *out,
		      struct rn_err *e)
{
	static const struct rn_cx_text blank = { " ", 1 };
	struct rn_cx_text *to = s->scratch[x->index].s;

	(void)active;
	(void)e;
	out->null = rn_cx_any_null(s, x, kids);
	for (size_t i = 0; i < s->n; i++) {
		const struct rn_cx_text *text = &kids[0].s[i];

		switch (x->op) {
		case RN_CX_SUBSTR:
			to[i] = substr(text, kids[1].i[i], x->nkids > 2 ? kids[2].i[i] : INT64_MAX);
			break;
		case RN_CX_LEFT:
			to[i] = left(text, kids[1].i[i]);
			break;
		case RN_CX_RIGHT:
			to[i] = right(text, kids[1].i[i]);
			break;
		case RN_CX_SPLIT_PART:
			to[i] = split_part(text, &kids[1].s[i], kids[2].i[i]);
			break;
		default:
			to[i] = trim(*text, x->nkids > 1 ? &kids[1].s[i] : &blank, x->op);
		}
	}
	out->s = to;
	return 0;
}

/* ---- facts ------------------------------------------------------------------------- */

static bool finds(enum rn_cx_op op, const struct rn_cx_text *s, const struct rn_cx_text *t)
{
	if (!t->n || t->n > s->n)
		return !t->n;
	if (op == RN_CX_CONTAINS)
		return find(s->s, s->s + s->n, t);
	return !memcmp(op == RN_CX_STARTS_WITH ? s->s : s->s + s->n - t->n, t->s, t->n);
}

/* The place of the first t in characters, from 1; 0: there is none. */
static int64_t place(const struct rn_cx_text *s, const struct rn_cx_text *t)
{
	const char *hit = t->n ? find(s->s, s->s + s->n, t) : NULL;
	struct rn_cx_text before = { s->s, hit ? (size_t)(hit - s->s) : 0 };

	return hit ? length(&before) + 1 : !t->n;
}

int rn_cx_text_facts(struct rn_cx_state *s, const struct rn_cx_node *x,
		     const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *out,
		     struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	size_t n = s->n;

	(void)active;
	(void)e;
	out->null = rn_cx_any_null(s, x, kids);
	out->i = t->i;
	if (x->op == RN_CX_LENGTH)
		for (size_t i = 0; i < n; i++)
			t->i[i] = length(&kids[0].s[i]);
	else if (x->op == RN_CX_STRPOS)
		for (size_t i = 0; i < n; i++)
			t->i[i] = place(&kids[0].s[i], &kids[1].s[i]);
	else
		for (size_t i = 0; i < n; i++)
			t->b[i] = finds(x->op, &kids[0].s[i], &kids[1].s[i]);
	return 0;
}

/* ---- copies ------------------------------------------------------------------------ */

/* With each `from` as `to`, at the end of b; stops where that is longer than `most`. */
static void replace(const struct rn_cx_text *s, const struct rn_cx_text *from,
		    const struct rn_cx_text *to, size_t most, struct rn_str *b)
{
	const char *at = s->s, *end = s->s + s->n, *hit;

	while (from->n && b->len <= most && (hit = find(at, end, from))) {
		rn_str_addn(b, at, (size_t)(hit - at));
		rn_str_addn(b, to->s, to->n);
		at = hit + from->n;
	}
	rn_str_addn(b, at, (size_t)(end - at));
}

static void change_case(const struct rn_cx_text *s, bool upper, struct rn_str *b)
{
	for (size_t i = 0; i < s->n; i++) {
		char c = s->s[i];

		if (upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z')
			c ^= 0x20;
		rn_str_addc(b, c);
	}
}

static void reverse(const struct rn_cx_text *s, struct rn_str *b)
{
	for (size_t end = s->n, at; end; end = at) {
		for (at = end - 1; at && continues(s->s[at]); at--)
			;
		rn_str_addn(b, s->s + at, end - at);
	}
}

/* n characters of `fill`, over and over. */
static void add_fill(const struct rn_cx_text *fill, int64_t n, size_t most, struct rn_str *b)
{
	for (size_t at = 0, next; n > 0 && b->len <= most; n--, at = next == fill->n ? 0 : next) {
		next = skip(fill, at, 1);
		rn_str_addn(b, fill->s + at, next - at);
	}
}

/* As n characters: cut, or with `fill` before it (behind it). */
static void pad(const struct rn_cx_text *s, int64_t n, const struct rn_cx_text *fill, bool before,
		size_t most, struct rn_str *b)
{
	int64_t missing = n - length(s);
	struct rn_cx_text kept = left(s, n < 0 ? 0 : n);

	if (before && fill->n)
		add_fill(fill, missing, most, b);
	rn_str_addn(b, kept.s, kept.n);
	if (!before && fill->n)
		add_fill(fill, missing, most, b);
}

static void copy(const struct rn_cx_node *x, const struct rn_cx_vec *kids, size_t i, size_t most,
		 struct rn_str *b)
{
	static const struct rn_cx_text blank = { " ", 1 };
	const struct rn_cx_text *s = &kids[0].s[i];

	switch (x->op) {
	case RN_CX_REPLACE:
		replace(s, &kids[1].s[i], &kids[2].s[i], most, b);
		return;
	case RN_CX_REVERSE:
		reverse(s, b);
		return;
	case RN_CX_REPEAT:
		for (int64_t n = s->n ? kids[1].i[i] : 0; n > 0 && b->len <= most; n--)
			rn_str_addn(b, s->s, s->n);
		return;
	case RN_CX_LPAD:
	case RN_CX_RPAD:
		pad(s, clamp(kids[1].i[i]), x->nkids > 2 ? &kids[2].s[i] : &blank,
		    x->op == RN_CX_LPAD, most, b);
		return;
	default:
		change_case(s, x->op == RN_CX_UPPER, b);
	}
}

int rn_cx_text_copies(struct rn_cx_state *s, const struct rn_cx_node *x,
		      const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *out,
		      struct rn_err *e)
{
	bool grows = rn_cx_table[x->op].fails;
	struct rn_cx_scratch *t = &s->scratch[x->index];

	rn_str_clear(&t->bytes);
	out->null = rn_cx_any_null(s, x, kids);
	for (size_t i = 0; i < s->n; i++) {
		size_t before = t->bytes.len, most = before + RN_CX_MAX_STRING;

		if (grows ? rn_cx_counts(out->null, active, i) : !out->null || !out->null[i])
			copy(x, kids, i, most, &t->bytes);
		t->s[i].n = t->bytes.len - before;
		if (grows && t->bytes.len > most)
			return rn_cx_row_fail(s, x, i, e, "'%s' makes a string of more than %d MiB",
					      rn_cx_table[x->op].symbol, RN_CX_MAX_STRING >> 20);
	}
	return rn_cx_finish_strings(t, s->n, out, e);
}
