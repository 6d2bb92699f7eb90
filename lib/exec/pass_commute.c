/* SPDX-License-Identifier: Apache-2.0
 *
 * Commute: a linear map and a sum over segments, in the cheaper order.
 *
 *   spmm(gemm(x, W, b), w)  <->  gemm(spmm(x, w), W) + spmm(1, w) b
 *   spmm(x, w) * c, c and w constant: a mean  ->  spmm(x, w c)
 *
 * The cost of an order is that of its forward and backward.  What is constant costs nothing:
 * A·X of a graph convolution over constant features is then folded, and no gradient flows
 * through it.  The last bits of results change.
 */
#include "pass_util.h"

#include "../rel/rel.h"

#include <stdlib.h>
#include <string.h>

struct commute {
	struct rn_prog *p;
	struct rn_err *e;
	uint32_t *uses;
	uint32_t nuses; /* values when they were counted; later ones have one use */
	uint32_t count;
};

/* Nanoseconds, roughly, for a number that a sum adds and a product's multiply-add. */
static const double ns_term = 0.4, ns_madd = 0.02;

static bool is_own(const struct commute *c, uint32_t val)
{
	return !c->p->vals[val].keep && (val >= c->nuses || c->uses[val] == 1);
}

static double terms(const struct rn_prog *p, const struct rn_inst *i)
{
	return rn_prog_idx_data(p, i->idx[0])[p->idx[i->idx[0]].n - 1];
}

/* The sum with operand x, of which `i` gives segments and weights, and its linear map. */
struct order {
	const struct rn_val *x, *w;    /* what comes in; the weights of the sum, or NULL */
	double terms, k, m, rows_in, rows_out;
};

/* First the sum, over k numbers a row, then the product. */
static double cost_sum_first(const struct order *o)
{
	bool constant = o->x->kind == RN_V_CONST && (!o->w || o->w->kind == RN_V_CONST);
	double sum = constant ? 0 : o->terms * o->k * (o->x->diff ? 2 : 1);

	return ns_term * sum + ns_madd * o->rows_out * o->k * o->m * (o->x->diff ? 3 : 2);
}

static double cost_product_first(const struct order *o)
{
	return ns_term * o->terms * o->m * 2 +
	       ns_madd * o->rows_in * o->k * o->m * (o->x->diff ? 3 : 2);
}

static int add(struct commute *c, const struct rn_inst *i, uint32_t rows, uint32_t rank,
	       const uint32_t *dim, uint32_t *out)
{
	*out = rn_prog_add(c->p, i, rows, rank, dim, c->e);
	return *out == RN_NONE ? c->e->code : 0;
}

static struct rn_inst function(enum rn_ew fn, uint32_t a, uint32_t b)
{
	struct rn_inst i = rn_inst_init(RN_P_EW);

	i.fn = fn;
	i.nin = 2;
	i.in[0].val = a;
	i.in[1].val = b;
	return i;
}

/* ---- the sum first ------------------------------------------------------------------ */

/* The sums of weights, times the bias. */
static int summed_bias(struct commute *c, const struct rn_inst *sum, uint32_t rows_in,
		       uint32_t bias, const struct rn_val *shape, uint32_t *out)
{
	struct rn_inst ones = *sum;
	uint32_t one = 1, sums;

	ones.in[0].val = rn_prog_const_fill(c->p, rows_in, 1, 1, c->e);
	if (ones.in[0].val == RN_NONE)
		return c->e->code;
	RN_TRY(add(c, &ones, shape->rows, 1, &one, &sums));
	ones = function(RN_EW_MUL, sums, bias);
	return add(c, &ones, shape->rows, shape->rank, shape->dim, out);
}

/* spmm(gemm(x, W, b)) -> gemm(spmm(x), W) + sums * b */
static int sum_first(struct commute *c, struct rn_inst *i, bool *done)
{
	struct rn_prog *p = c->p;
	const struct rn_inst *g = rn_pass_maker(p, i->in[0].val, RN_P_GEMM);
	struct rn_val out = p->vals[i->out], x;
	struct rn_inst m, sum = *i;
	uint32_t bias, b = RN_NONE;
	struct order o;

	if (!g || !is_own(c, i->in[0].val))
		return 0;
	m = *g;
	x = p->vals[m.in[0].val];
	o = (struct order){ &x, i->in[1].val == RN_NONE ? NULL : &p->vals[i->in[1].val],
			    terms(p, i), x.width, out.width, x.rows, out.rows };
	if (cost_sum_first(&o) > 0.9 * cost_product_first(&o))
		return 0;
	bias = m.nin > 2 ? m.in[2].val : RN_NONE;
	sum.in[0].val = m.in[0].val;
	RN_TRY(add(c, &sum, out.rows, x.rank, x.dim, &m.in[0].val));
	m.stage = i->stage;
	*done = true;
	if (bias == RN_NONE) {
		m.out = i->out;
		*i = m;
		return 0;
	}
	m.in[2].val = RN_NONE;
	RN_TRY(summed_bias(c, i, x.rows, bias, &out, &b));
	RN_TRY(add(c, &m, out.rows, out.rank, out.dim, &sum.out));
	m = function(RN_EW_ADD, sum.out, b);
	m.out = i->out;
	m.stage = i->stage;
	*i = m;
	return 0;
}

/* ---- the product first -------------------------------------------------------------- */

/* gemm(spmm(x), W, b) -> spmm(gemm(x, W)) + b */
static int product_first(struct commute *c, struct rn_inst *i, bool *done)
{
	struct rn_prog *p = c->p;
	const struct rn_inst *s = rn_pass_maker(p, i->in[0].val, RN_P_SPMM);
	struct rn_val out = p->vals[i->out], x;
	struct rn_inst sum, m = *i;
	uint32_t bias = i->nin > 2 ? i->in[2].val : RN_NONE;
	struct order o;

	if (!s || !is_own(c, i->in[0].val))
		return 0;
	sum = *s;
	x = p->vals[sum.in[0].val];
	o = (struct order){ &x, sum.in[1].val == RN_NONE ? NULL : &p->vals[sum.in[1].val],
			    terms(p, &sum), x.width, out.width, x.rows, out.rows };
	if (cost_product_first(&o) > 0.9 * cost_sum_first(&o))
		return 0;
	m.in[0].val = sum.in[0].val;
	m.in[2].val = RN_NONE;
	RN_TRY(add(c, &m, x.rows, out.rank, out.dim, &sum.in[0].val));
	sum.stage = i->stage;
	*done = true;
	if (bias != RN_NONE) {
		RN_TRY(add(c, &sum, out.rows, out.rank, out.dim, &m.out));
		sum = function(RN_EW_ADD, m.out, bias);
		sum.stage = i->stage;
	}
	sum.out = i->out;
	*i = sum;
	return 0;
}

/* ---- means -------------------------------------------------------------------------- */

/* A constant of one number a row. */
static bool is_scale(const struct rn_prog *p, struct rn_in in, uint32_t rows)
{
	const struct rn_val *v = &p->vals[in.val];

	return v->kind == RN_V_CONST && v->width == 1 && v->rows == rows && rows > 1 &&
	       in.fmap == RN_NONE;
}

/* The weight of each term: w[wi[k]] (NULL: 1) times that of its segment. */
static int scaled_weights(struct commute *c, const struct rn_inst *s, uint32_t scale, uint32_t *out)
{
	struct rn_prog *p = c->p;
	const uint32_t *ptr = rn_prog_idx_data(p, s->idx[0]), *wi = rn_prog_idx_data(p, s->idx[2]);
	uint32_t n = p->idx[s->idx[0]].n - 1, one = 1;
	const float *x = p->vals[scale].data->data, *w = NULL;
	struct rn_buf *b;
	float *y;

	if (s->in[1].val != RN_NONE)
		w = p->vals[s->in[1].val].data->data;
	RN_TRY(rn_buf_new((size_t)ptr[n] * sizeof *y, "weights", &b, c->e));
	y = b->data;
	for (uint32_t g = 0; g < n; g++)
		for (uint32_t k = ptr[g]; k < ptr[g + 1]; k++)
			y[k] = w ? w[wi ? wi[k] : k] * x[g] : x[g];
	*out = rn_prog_const(p, ptr[n], 1, &one, b, c->e);
	return *out == RN_NONE ? c->e->code : 0;
}

static int scale_sum(struct commute *c, struct rn_inst *i, bool *done)
{
	struct rn_prog *p = c->p;
	const struct rn_inst *s = NULL;
	struct rn_inst sum;
	unsigned k = 0;

	if (i->fn != RN_EW_MUL)
		return 0;
	for (; k < 2 && !s; k++)
		if (is_scale(p, i->in[!k], p->vals[i->out].rows) && i->in[k].fmap == RN_NONE &&
		    p->vals[i->in[k].val].width == p->vals[i->out].width &&
		    is_own(c, i->in[k].val))
			s = rn_pass_maker(p, i->in[k].val, RN_P_SPMM);
	if (!s || (s->in[1].val != RN_NONE && p->vals[s->in[1].val].kind != RN_V_CONST))
		return 0;
	sum = *s;
	RN_TRY(scaled_weights(c, s, i->in[k & 1].val, &sum.in[1].val));
	sum.idx[2] = RN_NONE;
	sum.out = i->out;
	sum.stage = i->stage;
	*i = sum;
	*done = true;
	return 0;
}

static int visit(void *arg, struct rn_inst i)
{
	struct commute *c = arg;
	bool done = false;

	if (i.op == RN_P_EW)
		RN_TRY(scale_sum(c, &i, &done));
	if (i.op == RN_P_SPMM)
		RN_TRY(sum_first(c, &i, &done));
	else if (i.op == RN_P_GEMM)
		RN_TRY(product_first(c, &i, &done));
	c->count += done;
	return rn_pass_append(c->p, &i, c->e);
}

int rn_pass_commute(struct rn_prog *p, uint32_t *count, struct rn_err *e)
{
	struct rn_err local;
	struct commute c = { .p = p, .e = e ? e : &local, .nuses = p->nvals };
	int rc;

	RN_TRY(rn_pass_uses(p, &c.uses, c.e));
	rc = rn_pass_visit(p, visit, &c, c.e);
	*count += c.count;
	free(c.uses);
	return rc;
}
