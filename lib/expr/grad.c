/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients: a table of rules for the primitives, and the walk back through the program.
 * Everything that a rule emits is an ordinary instruction, so passes and backends know
 * nothing of gradients.  Here are the rules for matrices and features; those for scalar
 * functions are in grad_ew.c, those for index arrays in grad_rows.c.
 */
#include "grad_impl.h"

#include <stdlib.h>
#include <string.h>

bool rn_grad_wanted(const struct rn_grad *q, uint32_t val)
{
	return val != RN_NONE && q->dep[val];
}

static bool same_shape(const struct rn_val *a, const struct rn_val *b)
{
	return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

int rn_grad_give(struct rn_grad *q, uint32_t val, uint32_t x)
{
	struct rn_val v;

	if (!rn_grad_wanted(q, val))
		return 0;
	v = q->p->vals[val];
	if (!same_shape(&q->p->vals[x], &v))
		VAL(&x, rn_prog_view(q->p, x, v.rows, v.rank, v.dim, q->e));
	if (q->of[val] != RN_NONE)
		VAL(&x, rn_prog_ew2(q->p, RN_EW_ADD, q->of[val], x, q->e));
	q->of[val] = x;
	return 0;
}

/* ---- matrices ----------------------------------------------------------------------- */

/* y = x·W + b:  dx = g·Wᵀ, dW = xᵀ·g, db = column sums of g */
static int grad_gemm(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, w = i->in[1].val, b = i->nin > 2 ? i->in[2].val : RN_NONE, d;
	bool trans = i->flags & RN_F_TRANS;

	if (rn_grad_wanted(q, x)) {
		VAL(&d, rn_prog_gemm(q->p, g, w, RN_NONE, !trans, q->e));
		RN_TRY(rn_grad_give(q, x, d));
	}
	if (rn_grad_wanted(q, w)) {
		VAL(&d, rn_prog_gemm_tn(q->p, trans ? g : x, trans ? x : g, q->e));
		RN_TRY(rn_grad_give(q, w, d));
	}
	if (rn_grad_wanted(q, b)) {
		VAL(&d, rn_prog_colsum(q->p, g, q->e));
		RN_TRY(rn_grad_give(q, b, d));
	}
	return 0;
}

/* out = xᵀ·y:  dx = y·gᵀ, dy = x·g */
static int grad_gemm_tn(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, y = i->in[1].val, d;

	if (rn_grad_wanted(q, x)) {
		VAL(&d, rn_prog_gemm(q->p, y, g, RN_NONE, true, q->e));
		RN_TRY(rn_grad_give(q, x, d));
	}
	if (rn_grad_wanted(q, y)) {
		VAL(&d, rn_prog_gemm(q->p, x, g, RN_NONE, false, q->e));
		RN_TRY(rn_grad_give(q, y, d));
	}
	return 0;
}

/* y[i] = x[i]·W[s]:  dx[i] = g[i]·W[s]ᵀ, dW[s] = xᵀ·g over the segment */
static int grad_ggemm(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, w = i->in[1].val, d;
	bool trans = i->flags & RN_F_TRANS;

	if (rn_grad_wanted(q, x)) {
		VAL(&d, rn_prog_ggemm(q->p, g, w, i->idx[0], !trans, q->e));
		RN_TRY(rn_grad_give(q, x, d));
	}
	if (!rn_grad_wanted(q, w))
		return 0;
	VAL(&d, rn_prog_ggemm_tn(q->p, trans ? g : x, trans ? x : g, i->idx[0], q->e));
	return rn_grad_give(q, w, d);
}

/* out[s] = xᵀ·y:  dx[i] = y[i]·g[s]ᵀ, dy[i] = x[i]·g[s] */
static int grad_ggemm_tn(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, y = i->in[1].val, d;

	if (rn_grad_wanted(q, x)) {
		VAL(&d, rn_prog_ggemm(q->p, y, g, i->idx[0], true, q->e));
		RN_TRY(rn_grad_give(q, x, d));
	}
	if (rn_grad_wanted(q, y)) {
		VAL(&d, rn_prog_ggemm(q->p, x, g, i->idx[0], false, q->e));
		RN_TRY(rn_grad_give(q, y, d));
	}
	return 0;
}

/* Towards a right operand that all rows share: one product over rows times p. */
static int grad_shared(struct rn_grad *q, const struct rn_inst *i, uint32_t g, bool *done)
{
	struct rn_val a = q->p->vals[i->in[0].val], o = q->p->vals[i->out];
	uint32_t x, y, d, r = o.rank > 1 ? o.dim[1] : 1, p = o.width / (r ? r : 1);
	bool tb = i->flags & RN_F_TRANS_B;

	*done = false;
	if (q->p->vals[i->in[1].val].rows != 1 || o.rows == 1 || a.rows == 1 ||
	    i->flags & RN_F_TRANS_A || !p || !r || (uint64_t)o.rows * p >= RN_NONE)
		return 0;
	a.dim[0] = a.width / p;
	VAL(&x, rn_prog_view(q->p, i->in[0].val, a.rows * p, 1, a.dim, q->e));
	VAL(&y, rn_prog_view(q->p, g, o.rows * p, 1, &r, q->e));
	VAL(&d, rn_prog_gemm_tn(q->p, tb ? y : x, tb ? x : y, q->e));
	*done = true;
	return rn_grad_give(q, i->in[1].val, d);
}

/* out = A·B, A = a or aᵀ, B = b or bᵀ:  dA = g·Bᵀ, dB = Aᵀ·g */
static int grad_matmul(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t a = i->in[0].val, b = i->in[1].val, d;
	bool ta = i->flags & RN_F_TRANS_A, tb = i->flags & RN_F_TRANS_B, done = false;

	if (rn_grad_wanted(q, a)) {
		VAL(&d, ta ? rn_prog_matmul(q->p, b, g, tb, true, q->e)
			   : rn_prog_matmul(q->p, g, b, false, !tb, q->e));
		RN_TRY(rn_grad_reduce(q, i->in[0], &d));
		RN_TRY(rn_grad_give(q, a, d));
	}
	if (!rn_grad_wanted(q, b))
		return 0;
	RN_TRY(grad_shared(q, i, g, &done));
	if (done)
		return 0;
	VAL(&d, tb ? rn_prog_matmul(q->p, g, a, true, ta, q->e)
		   : rn_prog_matmul(q->p, a, g, !ta, false, q->e));
	RN_TRY(rn_grad_reduce(q, i->in[1], &d));
	return rn_grad_give(q, b, d);
}

/* ---- features, and stored values ---------------------------------------------------- */

static int grad_sum(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	struct rn_val v = q->p->vals[i->in[0].val];
	uint32_t x;

	RN_TRY(rn_grad_spread(q, g, i->op == RN_P_FSUM ? i->idx[0] : RN_NONE, &v, &x));
	return rn_grad_give(q, i->in[0].val, x);
}

/* To the first largest feature: where its number is the argmax. */
static int grad_fmax(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	struct rn_val v = q->p->vals[i->in[0].val], o = q->p->vals[i->out];
	struct rn_inst n = rn_inst_init(RN_P_ARGMAX);
	uint32_t arg, at, x;
	struct rn_buf *b;

	n.nin = 1;
	n.in[0].val = i->in[0].val;
	VAL(&arg, rn_prog_add(q->p, &n, o.rows, o.rank, o.dim, q->e));
	RN_TRY(rn_buf_new((size_t)v.width * sizeof(float), "feature numbers", &b, q->e));
	for (uint32_t f = 0; f < v.width; f++)
		((float *)b->data)[f] = (float)f;
	VAL(&at, rn_prog_const(q->p, 1, 1, &v.width, b, q->e));
	VAL(&x, rn_prog_ew2(q->p, RN_EW_EQ, arg, at, q->e));
	VAL(&x, rn_prog_ew2(q->p, RN_EW_MUL, x, g, q->e));
	return rn_grad_give(q, i->in[0].val, x);
}

static int grad_concat(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t from = 0;

	for (uint32_t k = 0; k < i->nin; k++) {
		struct rn_val v = q->p->vals[i->in[k].val];
		uint32_t *map, x;

		if (rn_grad_wanted(q, i->in[k].val)) {
			RN_TRY(rn_calloc(v.width, sizeof *map, "a slice", &map, q->e));
			for (uint32_t f = 0; f < v.width; f++)
				map[f] = from + f;
			x = rn_prog_features(q->p, g, map, v.rank, v.dim, q->e);
			free(map);
			VAL(&x, x);
			RN_TRY(rn_grad_reduce(q, i->in[k], &x));
			RN_TRY(rn_grad_give(q, i->in[k].val, x));
		}
		from += v.width;
	}
	return 0;
}

static int grad_stack(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t from = 0, x;

	for (uint32_t k = 0; k < i->nin; k++) {
		uint32_t rows = q->p->vals[i->in[k].val].rows;

		if (rn_grad_wanted(q, i->in[k].val)) {
			VAL(&x, rn_prog_rows(q->p, g, from, rows, q->e));
			RN_TRY(rn_grad_give(q, i->in[k].val, x));
		}
		from += rows;
	}
	return 0;
}

static int grad_view(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	struct rn_val v = q->p->vals[i->in[0].val];
	uint32_t x;

	VAL(&x, rn_prog_view(q->p, g, v.rows, v.rank, v.dim, q->e));
	return rn_grad_give(q, i->in[0].val, x);
}

/* Primitives whose gradient is one primitive on the same arrays, mostly their transpose. */
static int grad_dual(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	static const enum rn_prim dual[RN_NPRIM] = {
		[RN_P_PICK] = RN_P_UNPICK,   [RN_P_UNPICK] = RN_P_PICK,
		[RN_P_DENSIFY] = RN_P_ATCSR, [RN_P_ATCSR] = RN_P_DENSIFY,
		[RN_P_CE] = RN_P_CE_GRAD,
	};
	struct rn_val v = q->p->vals[i->in[0].val];
	struct rn_inst n = rn_inst_init(dual[i->op]);
	bool ce = i->op == RN_P_CE; /* of the logits, scaled by g */
	uint32_t x;

	n.nin = ce ? 2 : i->nin;
	n.in[0].val = ce ? i->in[0].val : g;
	n.in[1].val = ce ? g : i->in[1].val;
	memcpy(n.idx, i->idx, sizeof n.idx);
	VAL(&x, rn_prog_add(q->p, &n, v.rows, v.rank, v.dim, q->e));
	return rn_grad_give(q, i->in[0].val, x);
}

/* ---- the table ---------------------------------------------------------------------- */

/* NULL: nothing flows through. */
static int (*const rules[])(struct rn_grad *q, const struct rn_inst *i, uint32_t g) = {
	[RN_P_EW] = rn_grad_ew,
	[RN_P_ELEM] = NULL,
	[RN_P_GATHER] = rn_grad_gather,
	[RN_P_STACK] = grad_stack,
	[RN_P_SPMM] = rn_grad_spmm,
	[RN_P_SEGELEM] = NULL,
	[RN_P_SDDMM] = rn_grad_sddmm,
	[RN_P_SEGARG] = NULL,
	[RN_P_PICK] = grad_dual,
	[RN_P_UNPICK] = grad_dual,
	[RN_P_GEMM] = grad_gemm,
	[RN_P_GEMM_TN] = grad_gemm_tn,
	[RN_P_GGEMM] = grad_ggemm,
	[RN_P_GGEMM_TN] = grad_ggemm_tn,
	[RN_P_MATMUL] = grad_matmul,
	[RN_P_COLSUM] = grad_sum,
	[RN_P_FSUM] = grad_sum,
	[RN_P_FMAX] = grad_fmax,
	[RN_P_ARGMAX] = NULL,
	[RN_P_CONCAT] = grad_concat,
	[RN_P_VIEW] = grad_view,
	[RN_P_DENSIFY] = grad_dual,
	[RN_P_ATCSR] = grad_dual,
	[RN_P_CE] = grad_dual,
	[RN_P_CE_GRAD] = NULL,
	[RN_P_ADAM] = NULL,
	[RN_P_SGD] = NULL,
};
_Static_assert(sizeof rules / sizeof *rules == RN_NPRIM, "a rule for every primitive");

bool rn_prim_differentiable(enum rn_prim op)
{
	return (unsigned)op < RN_NPRIM && rules[op];
}

/* Does something flow from this result back to operand k? */
static bool flows(const struct rn_inst *i, uint32_t k)
{
	if (i->op == RN_P_EW)
		return rn_grad_ew_flows(i->fn, k);
	if (i->op == RN_P_PICK || i->op == RN_P_UNPICK)
		return k == 0;
	return rules[i->op] != NULL;
}

/* Which values depend on a wanted one.  A result whose `diff` was cleared
 * although an operand has it was declared a constant. */
static int find_dependent(struct rn_grad *q, const uint32_t *wrt, size_t n)
{
	for (size_t k = 0; k < n; k++)
		q->dep[wrt[k]] = true;
	for (uint32_t j = 0; j < q->p->ninsts; j++) {
		const struct rn_inst *i = &q->p->insts[j];
		bool dep = false, diff = false;

		if (i->op == RN_P_ADAM || i->op == RN_P_SGD)
			continue;
		for (uint32_t k = 0; k < i->nin; k++) {
			if (i->in[k].val == RN_NONE)
				continue;
			diff |= q->p->vals[i->in[k].val].diff;
			dep |= q->dep[i->in[k].val] && flows(i, k);
			if (q->dep[i->in[k].val] &&
			    (rn_prim_is_fused(i->op) || i->op == RN_P_CE_GRAD))
				return rn_err_set(q->e, RN_EBUG, "the gradient of %s is not known",
						  rn_prim_name(i->op));
		}
		if (dep && (q->p->vals[i->out].diff || !diff))
			q->dep[i->out] = true;
	}
	return 0;
}

static int walk_back(struct rn_grad *q, uint32_t loss)
{
	struct rn_val v = q->p->vals[loss];
	struct rn_buf *b;

	if (!q->dep[loss])
		return 0;
	RN_TRY(rn_buf_new(sizeof(float), "the gradient of the loss", &b, q->e));
	*(float *)b->data = 1;
	VAL(&q->of[loss], rn_prog_const(q->p, 1, v.rank, v.dim, b, q->e));
	if (v.kind != RN_V_INST)
		return 0;
	for (uint32_t j = v.inst + 1; j-- > 0;) {
		struct rn_inst i = q->p->insts[j];

		if (!rules[i.op] || !q->dep[i.out] || q->of[i.out] == RN_NONE)
			continue;
		q->p->stage = i.stage;
		RN_TRY(rules[i.op](q, &i, q->of[i.out]));
	}
	return 0;
}

static int gradients(struct rn_grad *q, uint32_t loss, const uint32_t *wrt, size_t n,
		     uint32_t *grad)
{
	RN_TRY(find_dependent(q, wrt, n));
	RN_TRY(walk_back(q, loss));
	for (size_t k = 0; k < n; k++) {
		struct rn_val v = q->p->vals[wrt[k]];
		struct rn_buf *zero;

		grad[k] = q->of[wrt[k]];
		if (grad[k] != RN_NONE)
			continue;
		RN_TRY(rn_buf_new((size_t)v.rows * v.width * sizeof(float), "a gradient of 0",
				  &zero, q->e));
		VAL(&grad[k], rn_prog_const(q->p, v.rows, v.rank, v.dim, zero, q->e));
	}
	return 0;
}

int rn_prog_grad(struct rn_prog *p, uint32_t loss, const uint32_t *wrt, size_t n, uint32_t *grad,
		 struct rn_err *e)
{
	struct rn_err local;
	struct rn_grad q = { .p = p, .e = e ? e : &local, .nvals = p->nvals, .seg_ptr = RN_NONE };
	uint32_t stage = p->stage;
	int rc;

	if (loss >= p->nvals || p->vals[loss].rows != 1 || p->vals[loss].width != 1)
		return rn_err_set(e, RN_EBUG, "gradients of a value that is not one number");
	RN_TRY(rn_calloc(q.nvals, sizeof *q.dep, "gradients", &q.dep, q.e));
	rc = rn_calloc(q.nvals, sizeof *q.of, "gradients", &q.of, q.e);
	if (!rc) {
		memset(q.of, 0xFF, q.nvals * sizeof *q.of);
		rc = gradients(&q, loss, wrt, n, grad);
	}
	p->stage = stage;
	free(q.memo);
	free(q.of);
	free(q.dep);
	return rc;
}
