/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: the loops over a batch.  They run over every row, NULL
 * or not, and look at NULLs and at `active` only where something went wrong.
 * No result is NaN (that is NULL) or -0.0 (that is 0.0).
 */
#include "content_node.h"

#include "../base/num.h"
#include "../rel/key.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define EACH for (size_t i = 0; i < n; i++)

const uint8_t *rn_cx_merge_nulls(const uint8_t *a, const uint8_t *b, size_t n, uint8_t *to)
{
	if (!a || !b)
		return a ? a : b;
	EACH to[i] = a[i] | b[i];
	return to;
}

const uint8_t *rn_cx_any_null(const struct rn_cx_state *s, const struct rn_cx_node *x,
			      const struct rn_cx_vec *kids)
{
	const uint8_t *null = kids[0].null;

	for (size_t k = 1; k < x->nkids; k++)
		null = rn_cx_merge_nulls(null, kids[k].null, s->n, s->scratch[x->index].null);
	return null;
}

int rn_cx_row_fail(const struct rn_cx_state *s, const struct rn_cx_node *x, size_t i,
		   struct rn_err *e, const char *fmt, ...)
{
	struct rn_err why = { 0 };
	va_list ap;

	va_start(ap, fmt);
	rn_err_vset(&why, RN_EDATA, fmt, ap);
	va_end(ap);
	return rn_cx_fail(e, RN_EDATA, s->x->text, x->pos, "row %" PRIu64 ": %s", s->from + i,
			  why.msg);
}

/* ---- comparisons ---------------------------------------------------------------------- */

int rn_cx_cmp_text(const struct rn_cx_text *a, const struct rn_cx_text *b)
{
	size_t n = a->n < b->n ? a->n : b->n;
	int c = n ? memcmp(a->s, b->s, n) : 0;

	return c ? c : (a->n > b->n) - (a->n < b->n);
}

/* out[i] = A op B, by one loop for each operator. */
#define COMPARE(op, A, B)                                                                         \
	do {                                                                                      \
		switch (op) {                                                                     \
		case RN_CX_EQ: EACH out[i] = (A) == (B); break;                                   \
		case RN_CX_NE: EACH out[i] = (A) != (B); break;                                   \
		case RN_CX_LT: EACH out[i] = (A) < (B); break;                                    \
		case RN_CX_LE: EACH out[i] = (A) <= (B); break;                                   \
		case RN_CX_GT: EACH out[i] = (A) > (B); break;                                    \
		default: EACH out[i] = (A) >= (B);                                                \
		}                                                                                 \
	} while (0)

static void compare(enum rn_cx_op op, enum rn_type ta, const struct rn_cx_vec *a, enum rn_type tb,
		    const struct rn_cx_vec *b, size_t n, uint8_t *out)
{
	if (ta == RN_INT64 && tb == RN_FLOAT64)
		COMPARE(op, rn_key_cmp_mixed(a->i[i], b->f[i]), 0);
	else if (ta == RN_FLOAT64 && tb == RN_INT64)
		COMPARE(op, 0, rn_key_cmp_mixed(b->i[i], a->f[i]));
	else if (ta == RN_FLOAT64)
		COMPARE(op, a->f[i], b->f[i]);
	else if (ta == RN_BOOL)
		COMPARE(op, a->b[i], b->b[i]);
	else if (ta == RN_STRING)
		COMPARE(op, rn_cx_cmp_text(&a->s[i], &b->s[i]), 0);
	else
		COMPARE(op, a->i[i], b->i[i]);
}

void rn_cx_equal(enum rn_type ta, const struct rn_cx_vec *a, enum rn_type tb,
		 const struct rn_cx_vec *b, size_t n, uint8_t *eq)
{
	compare(RN_CX_EQ, ta, a, tb, b, n, eq);
}

int rn_cx_compare(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		  const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];

	(void)active;
	(void)e;
	compare(x->op, x->kids[0]->type, &kids[0], x->kids[1]->type, &kids[1], s->n, t->b);
	out->b = t->b;
	out->null = rn_cx_merge_nulls(kids[0].null, kids[1].null, s->n, t->null);
	return 0;
}

int rn_cx_distinct(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		   const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	const struct rn_cx_vec *a = &kids[0], *b = &kids[1];

	(void)active;
	(void)e;
	compare(RN_CX_NE, x->kids[0]->type, a, x->kids[1]->type, b, s->n, t->b);
	for (size_t i = 0; (a->null || b->null) && i < s->n; i++) {
		bool na = a->null && a->null[i], nb = b->null && b->null[i];

		t->b[i] = na || nb ? na != nb : t->b[i];
	}
	out->b = t->b;
	out->null = NULL;
	return 0;
}

/* x >= low and x <= high, with the logic of `and`. */
int rn_cx_between(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		  const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	uint8_t *low = t->mask[0], *high = t->mask[1];

	(void)active;
	(void)e;
	compare(RN_CX_GE, x->kids[0]->type, &kids[0], x->kids[1]->type, &kids[1], s->n, low);
	compare(RN_CX_LE, x->kids[0]->type, &kids[0], x->kids[2]->type, &kids[2], s->n, high);
	for (size_t i = 0; i < s->n; i++) {
		bool nx = kids[0].null && kids[0].null[i];
		bool nl = nx || (kids[1].null && kids[1].null[i]);
		bool nh = nx || (kids[2].null && kids[2].null[i]);

		t->b[i] = low[i] && high[i];
		t->null[i] = (nl || nh) && (nl || low[i]) && (nh || high[i]);
		t->b[i] = t->b[i] && !nl && !nh;
	}
	out->b = t->b;
	out->null = t->null;
	return 0;
}

/* NULL where the two are equal, else the first. */
int rn_cx_nullif(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		 const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	uint8_t *eq = t->mask[0];

	(void)active;
	(void)e;
	rn_cx_equal(x->kids[0]->type, &kids[0], x->kids[1]->type, &kids[1], s->n, eq);
	for (size_t i = 0; i < s->n; i++)
		t->null[i] = (kids[0].null && kids[0].null[i]) ||
			     (eq[i] && !(kids[1].null && kids[1].null[i]));
	*out = kids[0];
	out->null = t->null;
	return 0;
}

/* ---- arithmetic ------------------------------------------------------------------------- */

static bool overflows(enum rn_cx_op op, int64_t a, int64_t b)
{
	int64_t r;

	switch (op) {
	case RN_CX_NEG:
		return a == INT64_MIN;
	case RN_CX_ADD:
		return __builtin_add_overflow(a, b, &r);
	case RN_CX_SUB:
		return __builtin_sub_overflow(a, b, &r);
	default:
		return __builtin_mul_overflow(a, b, &r);
	}
}

/* Some row overflowed: it is an error if it counts. */
static int report_overflow(const struct rn_cx_state *s, const struct rn_cx_node *x,
			   const struct rn_cx_vec *kids, const uint8_t *active,
			   const struct rn_cx_vec *out, struct rn_err *e)
{
	const struct rn_cx_vec *b = &kids[x->nkids - 1];

	for (size_t i = 0; i < s->n; i++) {
		if (!overflows(x->op, kids[0].i[i], b->i[i]) || !rn_cx_counts(out->null, active, i))
			continue;
		if (x->op == RN_CX_NEG)
			return rn_cx_row_fail(s, x, i, e, "- %" PRId64 " does not fit int64",
					      kids[0].i[i]);
		return rn_cx_row_fail(s, x, i, e, "%" PRId64 " %s %" PRId64 " does not fit int64",
				      kids[0].i[i], rn_cx_table[x->op].symbol, b->i[i]);
	}
	return 0;
}

/* a % b, where b = 0 is NULL; the quotient of INT64_MIN and -1 must not be made.
 * `before` are the NULLs of the operands, and may be `null`. */
static void int_mod(const int64_t *a, const int64_t *b, const uint8_t *before, size_t n,
		    int64_t *out, uint8_t *null)
{
	EACH
	{
		null[i] = b[i] == 0 || (before && before[i]);
		out[i] = b[i] == 0 || b[i] == -1 ? 0 : a[i] % b[i];
	}
}

static int int_arithmetic(struct rn_cx_state *s, const struct rn_cx_node *x,
			  const struct rn_cx_vec *kids, const uint8_t *active,
			  struct rn_cx_vec *v, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	const int64_t *a = kids[0].i, *b = kids[x->nkids - 1].i;
	int64_t *out = t->i;
	size_t n = s->n;
	int bad = 0;

	switch (x->op) {
	case RN_CX_NEG:
		EACH bad |= __builtin_sub_overflow(0, a[i], &out[i]);
		break;
	case RN_CX_ADD:
		EACH bad |= __builtin_add_overflow(a[i], b[i], &out[i]);
		break;
	case RN_CX_SUB:
		EACH bad |= __builtin_sub_overflow(a[i], b[i], &out[i]);
		break;
	case RN_CX_MUL:
		EACH bad |= __builtin_mul_overflow(a[i], b[i], &out[i]);
		break;
	default:
		int_mod(a, b, v->null, n, out, t->null);
		v->null = t->null;
	}
	v->i = out;
	return bad ? report_overflow(s, x, kids, active, v, e) : 0;
}

/* NaN becomes NULL (as x / 0 and x % 0 do), -0.0 becomes 0.0. */
void rn_cx_tidy_floats(struct rn_cx_scratch *t, size_t n, struct rn_cx_vec *v)
{
	const uint8_t *null = v->null;
	double *f = t->f;
	int nan = 0;

	EACH
	{
		f[i] += 0.0;
		nan |= f[i] != f[i];
	}
	v->f = f;
	if (!nan)
		return;
	EACH t->null[i] = f[i] != f[i] || (null && null[i]);
	v->null = t->null;
}

static void float_arithmetic(struct rn_cx_state *s, const struct rn_cx_node *x,
			     const struct rn_cx_vec *kids, struct rn_cx_vec *v)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	const double *a = kids[0].f, *b = kids[x->nkids - 1].f;
	double *out = t->f;
	size_t n = s->n;

	switch (x->op) {
	case RN_CX_NEG:
		EACH out[i] = -a[i];
		break;
	case RN_CX_ADD:
		EACH out[i] = a[i] + b[i];
		break;
	case RN_CX_SUB:
		EACH out[i] = a[i] - b[i];
		break;
	case RN_CX_MUL:
		EACH out[i] = a[i] * b[i];
		break;
	case RN_CX_DIV:
		EACH out[i] = b[i] == 0 ? (double)NAN : a[i] / b[i];
		break;
	default:
		EACH out[i] = fmod(a[i], b[i]);
	}
	rn_cx_tidy_floats(t, n, v);
}

/* The difference of two timestamps in seconds; that of microseconds may pass int64. */
static void seconds_between(struct rn_cx_state *s, const struct rn_cx_node *x,
			    const struct rn_cx_vec *kids, struct rn_cx_vec *v)
{
	double *out = s->scratch[x->index].f;

	for (size_t i = 0; i < s->n; i++)
		out[i] = (double)((__int128)kids[0].i[i] - kids[1].i[i]) / 1e6;
	v->f = out;
}

/* A timestamp and seconds, to the nearest microsecond. */
static int move_time(struct rn_cx_state *s, const struct rn_cx_node *x,
		     const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *v,
		     struct rn_err *e)
{
	bool right = x->kids[0]->type == RN_TIMESTAMP;
	const int64_t *from = kids[!right].i;
	const double *seconds = kids[right].f;
	int64_t *out = s->scratch[x->index].i;

	for (size_t i = 0; i < s->n; i++) {
		double us = round(seconds[i] * (x->op == RN_CX_SUB ? -1e6 : 1e6));
		bool fits = us >= -0x1p63 && us < 0x1p63;

		out[i] = 0;
		if ((!fits || __builtin_add_overflow(from[i], (int64_t)us, &out[i])) &&
		    rn_cx_counts(v->null, active, i))
			return rn_cx_row_fail(s, x, i, e, "the time %.17g seconds on is no timestamp",
					      us / 1e6);
	}
	v->i = out;
	return 0;
}

int rn_cx_arithmetic(struct rn_cx_state *s, const struct rn_cx_node *x,
		     const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *out,
		     struct rn_err *e)
{
	const uint8_t *last = x->nkids > 1 ? kids[1].null : NULL;

	out->null = rn_cx_merge_nulls(kids[0].null, last, s->n, s->scratch[x->index].null);
	if (x->type == RN_INT64)
		return int_arithmetic(s, x, kids, active, out, e);
	if (x->type == RN_TIMESTAMP)
		return move_time(s, x, kids, active, out, e);
	if (x->kids[0]->type == RN_TIMESTAMP)
		seconds_between(s, x, kids, out);
	else
		float_arithmetic(s, x, kids, out);
	return 0;
}
