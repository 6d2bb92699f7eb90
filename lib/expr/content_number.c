/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: functions of numbers.
 */
#include "content_node.h"

#include <inttypes.h>
#include <math.h>

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
	case RN_CX_SIGN:
		return (x > 0) - (x < 0);
	case RN_CX_ROUND:
		return round(x);
	case RN_CX_FLOOR:
		return floor(x);
	case RN_CX_CEIL:
		return ceil(x);
	case RN_CX_TRUNC:
		return trunc(x);
	case RN_CX_SQRT:
		return sqrt(x);
	case RN_CX_LN:
		return x > 0 ? log(x) : (double)NAN;
	case RN_CX_LOG2:
		return x > 0 ? log2(x) : (double)NAN;
	case RN_CX_LOG10:
		return x > 0 ? log10(x) : (double)NAN;
	case RN_CX_SIN:
		return sin(x);
	case RN_CX_COS:
		return cos(x);
	case RN_CX_TAN:
		return tan(x);
	case RN_CX_ASIN:
		return asin(x);
	case RN_CX_ACOS:
		return acos(x);
	case RN_CX_ATAN:
		return atan(x);
	default:
		return exp(x);
	}
}

static double function_of_two(enum rn_cx_op op, const struct rn_cx_vec *kids, size_t i)
{
	if (op == RN_CX_ROUND)
		return round_to(kids[0].f[i], kids[1].i[i]);
	return op == RN_CX_POW ? pow(kids[0].f[i], kids[1].f[i]) :
				 atan2(kids[0].f[i], kids[1].f[i]);
}

/* abs and sign are the ones that do anything to an int64. */
static int int_function(struct rn_cx_state *s, const struct rn_cx_node *x,
			const struct rn_cx_vec *kid, const uint8_t *active, struct rn_cx_vec *out,
			struct rn_err *e)
{
	int64_t *to = s->scratch[x->index].i;

	out->null = kid->null;
	out->i = kid->i;
	if (x->op != RN_CX_ABS && x->op != RN_CX_SIGN)
		return 0;
	for (size_t i = 0; i < s->n; i++) {
		int64_t v = kid->i[i];

		to[i] = v < 0 ? (int64_t)-(uint64_t)v : v;
		if (x->op == RN_CX_SIGN)
			to[i] = (v > 0) - (v < 0);
		else if (v == INT64_MIN && rn_cx_counts(kid->null, active, i))
			return rn_cx_row_fail(s, x, i, e, "abs(%" PRId64 ") does not fit int64", v);
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
	out->null = rn_cx_any_null(s, x, kids);
	for (size_t i = 0; i < s->n; i++)
		t->f[i] = x->nkids > 1 ? function_of_two(x->op, kids, i) :
					 real_function(x->op, kids[0].f[i]);
	rn_cx_tidy_floats(t, s->n, out);
	return 0;
}
