/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: functions of strings and of numbers.  Characters are
 * those of UTF-8; a byte that starts none counts with the one before it.  A piece
 * of a string points into it and is not copied.
 */
#include "content_node.h"

#include <inttypes.h>
#include <math.h>
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

/* ---- tests and copies ---------------------------------------------------------------- */

static bool finds(enum rn_cx_op op, const struct rn_cx_text *s, const struct rn_cx_text *t)
{
	if (!t->n || t->n > s->n)
		return !t->n;
	if (op == RN_CX_CONTAINS)
		return memmem(s->s, s->n, t->s, t->n);
	return !memcmp(op == RN_CX_STARTS_WITH ? s->s : s->s + s->n - t->n, t->s, t->n);
}

/* With each `from` as `to`, at the end of b. */
static void replace(const struct rn_cx_text *s, const struct rn_cx_text *from,
		    const struct rn_cx_text *to, struct rn_str *b)
{
	const char *at = s->s, *end = s->s + s->n, *hit;

	while (from->n && at < end && (hit = memmem(at, (size_t)(end - at), from->s, from->n))) {
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

/* Strings that are written anew: lower, upper, replace. */
static int make_strings(struct rn_cx_state *s, const struct rn_cx_node *x,
			const struct rn_cx_vec *kids, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];

	rn_str_clear(&t->bytes);
	for (size_t i = 0; i < s->n; i++) {
		size_t before = t->bytes.len;

		if (out->null && out->null[i])
			;
		else if (x->op == RN_CX_REPLACE)
			replace(&kids[0].s[i], &kids[1].s[i], &kids[2].s[i], &t->bytes);
		else
			change_case(&kids[0].s[i], x->op == RN_CX_UPPER, &t->bytes);
		t->s[i].n = t->bytes.len - before;
	}
	return rn_cx_finish_strings(t, s->n, out, e);
}

static const uint8_t *all_nulls(const struct rn_cx_state *s, const struct rn_cx_node *x,
				const struct rn_cx_vec *kids)
{
	uint8_t *to = s->scratch[x->index].null;
	const uint8_t *null = kids[0].null;

	for (size_t k = 1; k < x->nkids; k++)
		null = rn_cx_merge_nulls(null, kids[k].null, s->n, to);
	return null;
}

int rn_cx_text_function(struct rn_cx_state *s, const struct rn_cx_node *x,
			const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *out,
			struct rn_err *e)
{
	static const struct rn_cx_text blank = { " ", 1 };
	struct rn_cx_scratch *t = &s->scratch[x->index];
	size_t n = s->n;

	(void)active;
	out->null = all_nulls(s, x, kids);
	out->i = t->i;
	switch (x->op) {
	case RN_CX_LENGTH:
		for (size_t i = 0; i < n; i++)
			t->i[i] = length(&kids[0].s[i]);
		return 0;
	case RN_CX_CONTAINS:
	case RN_CX_STARTS_WITH:
	case RN_CX_ENDS_WITH:
		for (size_t i = 0; i < n; i++)
			t->b[i] = finds(x->op, &kids[0].s[i], &kids[1].s[i]);
		return 0;
	case RN_CX_SUBSTR:
		for (size_t i = 0; i < n; i++)
			t->s[i] = substr(&kids[0].s[i], kids[1].i[i],
					 x->nkids > 2 ? kids[2].i[i] : INT64_MAX);
		return 0;
	case RN_CX_TRIM:
	case RN_CX_LTRIM:
	case RN_CX_RTRIM:
		for (size_t i = 0; i < n; i++)
			t->s[i] = trim(kids[0].s[i], x->nkids > 1 ? &kids[1].s[i] : &blank, x->op);
		return 0;
	default:
		return make_strings(s, x, kids, out, e);
	}
}

/* ---- numbers --------------------------------------------------------------------------- */

/* To d digits after the point (before it, where d is negative); halves away from zero. */
static double round_to(double x, int64_t d)
{
	double scale, y;

	if (d > 22 || d < -308)
		return d > 0 ? x : 0;
	scale = pow(10, d < 0 ? (double)-d : (double)d);
	y = d < 0 ? round(x / scale) * scale : round(x * scale) / scale;
	return y - y == 0 ? y : x; /* x * scale was too large for a fraction anyway */
}

static double real_function(enum rn_cx_op op, double x)
{
	switch (op) {
	case RN_CX_ABS:
		return fabs(x);
	case RN_CX_ROUND:
		return round(x);
	case RN_CX_FLOOR:
		return floor(x);
	case RN_CX_CEIL:
		return ceil(x);
	case RN_CX_SQRT:
		return sqrt(x);
	case RN_CX_LN:
		return x > 0 ? log(x) : (double)NAN;
	default:
		return exp(x);
	}
}

/* abs is the only one that does anything to an int64. */
static int int_function(struct rn_cx_state *s, const struct rn_cx_node *x,
			const struct rn_cx_vec *kid, const uint8_t *active, struct rn_cx_vec *out,
			struct rn_err *e)
{
	int64_t *to = s->scratch[x->index].i;

	out->null = kid->null;
	out->i = kid->i;
	if (x->op != RN_CX_ABS)
		return 0;
	for (size_t i = 0; i < s->n; i++) {
		int64_t v = kid->i[i];

		to[i] = v < 0 ? (int64_t)-(uint64_t)v : v;
		if (v == INT64_MIN && (!kid->null || !kid->null[i]) && (!active || active[i]))
			return rn_cx_fail(e, RN_EDATA, s->x->text, x->pos,
					  "row %" PRIu64 ": abs(%" PRId64 ") does not fit int64",
					  s->from + i, v);
	}
	out->i = to;
	return 0;
}

int rn_cx_number_function(struct rn_cx_state *s, const struct rn_cx_node *x,
			  const struct rn_cx_vec *kids, const uint8_t *active,
			  struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];

	if (x->type == RN_INT64)
		return int_function(s, x, &kids[0], active, out, e);
	out->null = all_nulls(s, x, kids);
	for (size_t i = 0; i < s->n; i++)
		t->f[i] = x->nkids > 1 ? round_to(kids[0].f[i], kids[1].i[i]) :
					 real_function(x->op, kids[0].f[i]);
	rn_cx_tidy_floats(t, s->n, out);
	return 0;
}
