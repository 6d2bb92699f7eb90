/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: like, ||, and casts, most of which come from or go to
 * text.
 */
#include "content_node.h"

#include "../base/num.h"

#include <string.h>

/* ---- strings that a node makes ------------------------------------------------------- */

/* The bytes of all rows go to one buffer; while it may still move, s[i] has the
 * lengths only. */
int rn_cx_finish_strings(struct rn_cx_scratch *t, size_t n, struct rn_cx_vec *out,
			 struct rn_err *e)
{
	const char *at = t->bytes.s ? t->bytes.s : "";

	RN_TRY(rn_str_check(&t->bytes, e));
	for (size_t i = 0; i < n; i++) {
		t->s[i].s = at;
		at += t->s[i].n;
	}
	out->s = t->s;
	return 0;
}

int rn_cx_concat(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		 const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];

	(void)active;
	rn_str_clear(&t->bytes);
	out->null = rn_cx_merge_nulls(kids[0].null, kids[1].null, s->n, t->null);
	for (size_t i = 0; i < s->n; i++) {
		const struct rn_cx_text *a = &kids[0].s[i], *b = &kids[1].s[i];

		t->s[i].n = 0;
		if (out->null && out->null[i])
			continue;
		rn_str_addn(&t->bytes, a->s, a->n);
		rn_str_addn(&t->bytes, b->s, b->n);
		t->s[i].n = a->n + b->n;
	}
	return rn_cx_finish_strings(t, s->n, out, e);
}

/* ---- like ------------------------------------------------------------------------------ */

/* Past the UTF-8 character that starts at s. */
static const char *after_character(const char *s, const char *end)
{
	s++;
	while (s < end && ((unsigned char)*s & 0xC0) == 0x80)
		s++;
	return s;
}

/* Match one pattern element that is not '%' at *p with the text at *s; both move on. */
static bool match_one(const char **p, const char *pend, const char **s, const char *send,
		      int escape)
{
	if (**p == escape && *p + 1 < pend) {
		if (*s == send || (*p)[1] != **s)
			return false;
		*p += 2;
		*s += 1;
		return true;
	}
	if (*s == send || (**p != '_' && **p != **s))
		return false;
	*s = **p == '_' ? after_character(*s, send) : *s + 1;
	*p += 1;
	return true;
}

/* Greedy with one point of return, which is enough: a later '%' makes an earlier one final. */
static bool like(const struct rn_cx_text *text, const struct rn_cx_text *pattern, int escape)
{
	const char *s = text->s, *send = s + text->n, *p = pattern->s, *pend = p + pattern->n;
	const char *back_p = NULL, *back_s = NULL;

	while (s < send || p < pend) {
		if (p < pend && *p == '%' && *p != escape) {
			back_p = ++p;
			back_s = s;
			continue;
		}
		if (p < pend && match_one(&p, pend, &s, send, escape))
			continue;
		if (!back_p || back_s == send)
			return false;
		back_s = after_character(back_s, send);
		s = back_s;
		p = back_p;
	}
	return true;
}

int rn_cx_like(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
	       const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];

	(void)active;
	(void)e;
	out->null = rn_cx_merge_nulls(kids[0].null, kids[1].null, s->n, t->null);
	for (size_t i = 0; i < s->n; i++)
		t->b[i] = (!out->null || !out->null[i]) &&
			  like(&kids[0].s[i], &kids[1].s[i], (int)x->lit.i);
	out->b = t->b;
	return 0;
}

/* ---- casts ------------------------------------------------------------------------------- */

static bool is_text(const struct rn_cx_text *s, const char *word)
{
	return s->n == strlen(word) && memcmp(s->s, word, s->n) == 0;
}

/* Text to value i of type `to`; *null for what is no number. */
static bool parse_value(const struct rn_cx_text *s, enum rn_type to, size_t i,
			struct rn_cx_scratch *t, bool *null)
{
	switch (to) {
	case RN_INT64:
		return rn_int64_parse(s->s, s->n, &t->i[i]);
	case RN_FLOAT64:
		if (!rn_float64_parse(s->s, s->n, &t->f[i]))
			return false;
		*null = t->f[i] != t->f[i];
		t->f[i] += 0.0; /* -0.0 is 0.0 */
		return true;
	case RN_TIMESTAMP:
		return rn_timestamp_parse(s->s, s->n, &t->i[i]);
	default:
		t->b[i] = is_text(s, "true");
		return t->b[i] || is_text(s, "false");
	}
}

static int cannot_cast(const struct rn_cx_state *s, const struct rn_cx_node *x, size_t i,
		       const char *value, size_t len, struct rn_err *e)
{
	return rn_cx_row_fail(s, x, i, e, "'%.*s%s' is no %s", len > 60 ? 60 : (int)len, value,
			      len > 60 ? "…" : "", rn_type_name(x->type));
}

static int from_text(struct rn_cx_state *s, const struct rn_cx_node *x,
		     const struct rn_cx_vec *kid, const uint8_t *active, struct rn_cx_vec *out,
		     struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	bool nulls = false;

	for (size_t i = 0; i < s->n; i++) {
		bool null = (kid->null && kid->null[i]) || (active && !active[i]);

		if (!null && !parse_value(&kid->s[i], x->type, i, t, &null)) {
			if (!x->lit.b)
				return cannot_cast(s, x, i, kid->s[i].s, kid->s[i].n, e);
			null = true;
		}
		t->null[i] = null;
		nulls = nulls || null;
	}
	out->i = t->i;
	out->null = nulls ? t->null : NULL;
	return 0;
}

static void print_value(const struct rn_cx_vec *v, enum rn_type t, size_t i, struct rn_str *out)
{
	if (t == RN_INT64)
		rn_int64_print(v->i[i], out);
	else if (t == RN_FLOAT64)
		rn_float64_print(v->f[i], out);
	else if (t == RN_BOOL)
		rn_str_add(out, v->b[i] ? "true" : "false");
	else
		rn_timestamp_print(v->i[i], out);
}

static int to_text(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kid,
		   struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];

	rn_str_clear(&t->bytes);
	out->null = kid->null;
	for (size_t i = 0; i < s->n; i++) {
		size_t before = t->bytes.len;

		if (!kid->null || !kid->null[i])
			print_value(kid, x->kids[0]->type, i, &t->bytes);
		t->s[i].n = t->bytes.len - before;
	}
	return rn_cx_finish_strings(t, s->n, out, e);
}

/* A float64 loses its fraction. */
static int float_to_int(struct rn_cx_state *s, const struct rn_cx_node *x,
			const struct rn_cx_vec *kid, const uint8_t *active, struct rn_cx_vec *out,
			struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	char value[RN_NUM_MAX];

	for (size_t i = 0; i < s->n; i++) {
		double f = kid->f[i];
		bool fits = f >= -0x1p63 && f < 0x1p63;

		t->i[i] = fits ? (int64_t)f : 0;
		t->null[i] = !fits || (kid->null && kid->null[i]);
		if (!fits && !x->lit.b && rn_cx_counts(kid->null, active, i))
			return cannot_cast(s, x, i, value, rn_float64_format(f, value), e);
	}
	out->null = t->null;
	return 0;
}

static int between_numbers(struct rn_cx_state *s, const struct rn_cx_node *x,
			   const struct rn_cx_vec *kid, const uint8_t *active,
			   struct rn_cx_vec *out, struct rn_err *e)
{
	enum rn_type from = x->kids[0]->type, to = x->type;
	struct rn_cx_scratch *t = &s->scratch[x->index];
	size_t n = s->n;

	out->null = kid->null;
	out->i = t->i;
	if (from == RN_FLOAT64 && to == RN_INT64)
		return float_to_int(s, x, kid, active, out, e);
	if (from == RN_INT64 && to == RN_FLOAT64)
		for (size_t i = 0; i < n; i++)
			t->f[i] = (double)kid->i[i];
	else if (from == RN_BOOL && to == RN_FLOAT64)
		for (size_t i = 0; i < n; i++)
			t->f[i] = kid->b[i];
	else if (from == RN_BOOL)
		for (size_t i = 0; i < n; i++)
			t->i[i] = kid->b[i];
	else if (to == RN_BOOL)
		for (size_t i = 0; i < n; i++)
			t->b[i] = from == RN_FLOAT64 ? kid->f[i] != 0 : kid->i[i] != 0;
	else /* int64 and timestamp: microseconds since 1970-01-01 */
		out->i = kid->i;
	return 0;
}

int rn_cx_convert(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		  const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	if (x->kids[0]->type == RN_STRING)
		return from_text(s, x, &kids[0], active, out, e);
	if (x->type == RN_STRING)
		return to_text(s, x, &kids[0], out, e);
	return between_numbers(s, x, &kids[0], active, out, e);
}
