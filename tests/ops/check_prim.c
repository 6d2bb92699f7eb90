/* SPDX-License-Identifier: Apache-2.0
 *
 * Every primitive and every scalar function against central differences: missing
 * rows, repeated rows, empty segments, broadcast operands, feature maps.  A new one
 * needs a row here: how to build it, or why it has no derivative.
 */
#include "ops.h"

#include "../../lib/expr/grad.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t need(uint32_t v, const struct rn_err *e)
{
	if (v == RN_NONE)
		must(RN_EBUG, e, "building a primitive");
	return v;
}

/* A parameter of random reals, as rows of the program. */
static uint32_t dense(struct model *m, struct rnd *r, uint32_t rows, uint32_t rank, uint32_t d0,
		      uint32_t d1)
{
	uint32_t dim[2] = { d0, d1 }, v;
	size_t n = (size_t)rows * d0 * (rank > 1 ? d1 : 1);
	float *x = calloc(n + 1, sizeof *x);
	char name[32];

	for (size_t i = 0; i < n; i++)
		x[i] = (float)rnd_real(r);
	snprintf(name, sizeof name, "operand %u", m->params.n);
	v = model_param(m, name, rows, rank, dim, x);
	free(x);
	return v;
}

/* n row numbers below `rows`, one in five of them missing. */
static uint32_t indices(struct model *m, struct rnd *r, uint32_t n, uint32_t rows, bool missing)
{
	uint32_t x[64], i;
	struct rn_err e;

	for (i = 0; i < n; i++)
		x[i] = missing && !rnd_below(r, 5) ? RN_NO_ROW : rnd_below(r, rows);
	return need(rn_prog_idx_copy(&m->p, x, n, &e), &e);
}

/* Segments over n terms, some of them empty. */
static uint32_t bounds(struct model *m, struct rnd *r, uint32_t segments, uint32_t n)
{
	uint32_t x[64] = { 0 };
	struct rn_err e;

	for (uint32_t s = 1; s < segments; s++)
		x[s] = x[s - 1] + (rnd_below(r, 3) ? rnd_below(r, (n - x[s - 1]) / 2 + 1) : 0);
	x[segments] = n;
	return need(rn_prog_idx_copy(&m->p, x, segments + 1, &e), &e);
}

/* Columns of a CSR of 4 rows and width 5, with its bounds. */
static uint32_t pattern(struct model *m, struct rnd *r, uint32_t *ptr, uint32_t *nnz)
{
	uint32_t p[5] = { 0 }, col[20];
	struct rn_err e;

	*nnz = 0;
	for (uint32_t row = 0; row < 4; row++) {
		for (uint32_t f = 0; f < 5; f++)
			if (row != 2 && rnd_below(r, 2))
				col[(*nnz)++] = f;
		p[row + 1] = *nnz;
	}
	*ptr = need(rn_prog_idx_copy(&m->p, p, 5, &e), &e);
	return need(rn_prog_idx_copy(&m->p, col, *nnz, &e), &e);
}

static uint32_t add(struct model *m, enum rn_prim op, uint32_t a, uint32_t b, uint32_t i0,
		    uint32_t i1, uint32_t rows, uint32_t width)
{
	struct rn_inst i = rn_inst_init(op);
	struct rn_err e;

	i.nin = b == RN_NONE ? 1 : 2;
	i.in[0].val = a;
	i.in[1].val = b;
	i.idx[0] = i0;
	i.idx[1] = i1;
	return need(rn_prog_add(&m->p, &i, rows, 1, &width, &e), &e);
}

/* ---- builders ---------------------------------------------------------------------------- */

/* Feature maps and a row that all rows share. */
static uint32_t build_ew(struct model *m, struct rnd *r)
{
	static const uint32_t twice[6] = { 2, 0, 1, 1, 0, 2 }, shape[2] = { 2, 3 };
	uint32_t a = dense(m, r, 4, 2, 2, 3), b = dense(m, r, 1, 1, 3, 0), x;
	struct rn_err e;

	x = need(rn_prog_features(&m->p, b, twice, 2, shape, &e), &e);
	return need(rn_prog_ew2(&m->p, RN_EW_MUL, a, x, &e), &e);
}

static uint32_t build_gather(struct model *m, struct rnd *r)
{
	uint32_t x = dense(m, r, rnd_below(r, 2) ? 5 : 1, 1, 3, 0), rows = m->p.vals[x].rows;
	struct rn_err e;

	return need(rn_prog_gather(&m->p, x, indices(m, r, 9, rows, true), &e), &e);
}

static uint32_t build_stack(struct model *m, struct rnd *r)
{
	uint32_t xs[20], n = rnd_below(r, 2) ? 3 : 20; /* of one input more than once, and a tree */
	struct rn_err e;

	for (uint32_t k = 0; k < n; k++)
		xs[k] = k && !rnd_below(r, 4) ? xs[0] : dense(m, r, rnd_below(r, 4), 1, 3, 0);
	return need(rn_prog_stack(&m->p, xs, n, &e), &e);
}

static uint32_t build_spmm(struct model *m, struct rnd *r)
{
	bool xi = rnd_below(r, 2), weights = rnd_below(r, 3) > 0, wi = weights && rnd_below(r, 2);
	uint32_t x = dense(m, r, xi ? 5 : 12, 1, 3, 0),
		 w = weights ? dense(m, r, wi ? 4 : 12, 1, 1, 0) : RN_NONE;
	struct rn_err e;

	return need(rn_prog_spmm(&m->p, bounds(m, r, 6, 12), x,
				 xi ? indices(m, r, 12, 5, true) : RN_NONE, w,
				 wi ? indices(m, r, 12, 4, false) : RN_NONE, &e),
		    &e);
}

static uint32_t build_sddmm(struct model *m, struct rnd *r)
{
	bool ai = rnd_below(r, 2), bi = rnd_below(r, 2) || !ai;
	uint32_t a = dense(m, r, ai ? 4 : 9, 1, 3, 0), b = dense(m, r, bi ? 5 : 9, 1, 3, 0);
	struct rn_err e;

	return need(rn_prog_sddmm(&m->p, 9, a, ai ? indices(m, r, 9, 4, true) : RN_NONE, b,
				  bi ? indices(m, r, 9, 5, true) : RN_NONE, &e),
		    &e);
}

static uint32_t argument(struct model *m, struct rnd *r, uint32_t x)
{
	struct rn_inst i = rn_inst_init(RN_P_SEGARG);
	uint32_t width = m->p.vals[x].width;
	struct rn_err e;

	i.flags = rnd_below(r, 2) ? RN_F_MIN : 0;
	i.nin = 1;
	i.in[0].val = x;
	i.idx[0] = bounds(m, r, 5, m->p.vals[x].rows);
	return need(rn_prog_add(&m->p, &i, 5, 1, &width, &e), &e);
}

static uint32_t build_pick(struct model *m, struct rnd *r)
{
	uint32_t x = dense(m, r, 9, 1, 3, 0);

	return add(m, RN_P_PICK, x, argument(m, r, x), RN_NONE, RN_NONE, 5, 3);
}

static uint32_t build_unpick(struct model *m, struct rnd *r)
{
	uint32_t x = dense(m, r, 9, 1, 3, 0), g = dense(m, r, 5, 1, 3, 0);

	return add(m, RN_P_UNPICK, g, argument(m, r, x), RN_NONE, RN_NONE, 9, 3);
}

static uint32_t build_gemm(struct model *m, struct rnd *r)
{
	bool trans = rnd_below(r, 2);
	uint32_t x = dense(m, r, 6, 1, 4, 0), w = dense(m, r, 1, 2, trans ? 3 : 4, trans ? 4 : 3);
	uint32_t b = rnd_below(r, 2) ? dense(m, r, 1, 1, 3, 0) : RN_NONE;
	struct rn_err e;

	return need(rn_prog_gemm(&m->p, x, w, b, trans, &e), &e);
}

static uint32_t build_gemm_tn(struct model *m, struct rnd *r)
{
	uint32_t x = dense(m, r, 6, 1, 4, 0), y = dense(m, r, 6, 1, 3, 0);
	struct rn_err e;

	return need(rn_prog_gemm_tn(&m->p, x, y, &e), &e);
}

static uint32_t build_ggemm(struct model *m, struct rnd *r)
{
	bool trans = rnd_below(r, 2);
	uint32_t x = dense(m, r, 6, 1, 4, 0), w = dense(m, r, 3, 2, trans ? 2 : 4, trans ? 4 : 2);
	struct rn_err e;

	return need(rn_prog_ggemm(&m->p, x, w, bounds(m, r, 3, 6), trans, &e), &e);
}

static uint32_t build_ggemm_tn(struct model *m, struct rnd *r)
{
	uint32_t x = dense(m, r, 6, 1, 4, 0), y = dense(m, r, 6, 1, 3, 0);
	struct rn_err e;

	return need(rn_prog_ggemm_tn(&m->p, x, y, bounds(m, r, 3, 6), &e), &e);
}

static uint32_t build_matmul(struct model *m, struct rnd *r)
{
	bool ta = rnd_below(r, 2), tb = rnd_below(r, 2);
	uint32_t shared = rnd_below(r, 3), a, b;
	struct rn_err e;

	a = dense(m, r, shared == 1 ? 1 : 5, 2, ta ? 4 : 2, ta ? 2 : 4);
	b = dense(m, r, shared == 2 ? 1 : 5, 2, tb ? 3 : 4, tb ? 4 : 3);
	return need(rn_prog_matmul(&m->p, a, b, ta, tb, &e), &e);
}

static uint32_t build_colsum(struct model *m, struct rnd *r)
{
	struct rn_err e;

	return need(rn_prog_colsum(&m->p, dense(m, r, 7, 1, 3, 0), &e), &e);
}

static uint32_t build_fsum(struct model *m, struct rnd *r)
{
	static const uint32_t map[6] = { 1, 0, 1, 3, 3, 1 }, four = 4;
	bool whole = rnd_below(r, 2);
	uint32_t x = dense(m, r, 5, 2, 2, 3);
	struct rn_err e;

	return need(rn_prog_fsum(&m->p, x, whole ? NULL : map, whole ? 0 : 1, &four, &e), &e);
}

static uint32_t build_fmax(struct model *m, struct rnd *r)
{
	return add(m, RN_P_FMAX, dense(m, r, 6, 1, 4, 0), RN_NONE, RN_NONE, RN_NONE, 6, 1);
}

static uint32_t build_concat(struct model *m, struct rnd *r)
{
	uint32_t xs[3] = { dense(m, r, 5, 1, 2, 0), dense(m, r, 1, 1, 3, 0),
			   dense(m, r, 5, 1, 1, 0) };
	struct rn_err e;

	return need(rn_prog_concat(&m->p, xs, 3, &e), &e);
}

static uint32_t build_view(struct model *m, struct rnd *r)
{
	uint32_t dim[2] = { 2, 2 };
	struct rn_err e;

	return need(rn_prog_view(&m->p, dense(m, r, 6, 1, 2, 0), 3, 2, dim, &e), &e);
}

static uint32_t build_densify(struct model *m, struct rnd *r)
{
	uint32_t ptr, nnz, col = pattern(m, r, &ptr, &nnz);

	return add(m, RN_P_DENSIFY, dense(m, r, nnz, 1, 1, 0), RN_NONE, ptr, col, 4, 5);
}

static uint32_t build_atcsr(struct model *m, struct rnd *r)
{
	uint32_t ptr, nnz, col = pattern(m, r, &ptr, &nnz);

	return add(m, RN_P_ATCSR, dense(m, r, 4, 1, 5, 0), RN_NONE, ptr, col, nnz, 1);
}

static uint32_t build_ce(struct model *m, struct rnd *r)
{
	return add(m, RN_P_CE, dense(m, r, 6, 1, 4, 0), RN_NONE, indices(m, r, 6, 4, true), RN_NONE,
		   6, 1);
}

static const struct {
	uint32_t (*build)(struct model *m, struct rnd *r);
	const char *none; /* why it has no derivative */
} prims[] = {
	[RN_P_EW] = { build_ew, NULL },
	[RN_P_ELEM] = { NULL, "it is made by fusion, after gradients" },
	[RN_P_GATHER] = { build_gather, NULL },
	[RN_P_STACK] = { build_stack, NULL },
	[RN_P_SPMM] = { build_spmm, NULL },
	[RN_P_SEGELEM] = { NULL, "it is made by fusion, after gradients" },
	[RN_P_SDDMM] = { build_sddmm, NULL },
	[RN_P_SEGARG] = { NULL, "its result is row numbers" },
	[RN_P_PICK] = { build_pick, NULL },
	[RN_P_UNPICK] = { build_unpick, NULL },
	[RN_P_GEMM] = { build_gemm, NULL },
	[RN_P_GEMM_TN] = { build_gemm_tn, NULL },
	[RN_P_GGEMM] = { build_ggemm, NULL },
	[RN_P_GGEMM_TN] = { build_ggemm_tn, NULL },
	[RN_P_MATMUL] = { build_matmul, NULL },
	[RN_P_COLSUM] = { build_colsum, NULL },
	[RN_P_FSUM] = { build_fsum, NULL },
	[RN_P_FMAX] = { build_fmax, NULL },
	[RN_P_ARGMAX] = { NULL, "its result is a feature's number" },
	[RN_P_CONCAT] = { build_concat, NULL },
	[RN_P_VIEW] = { build_view, NULL },
	[RN_P_DENSIFY] = { build_densify, NULL },
	[RN_P_ATCSR] = { build_atcsr, NULL },
	[RN_P_CE] = { build_ce, NULL },
	[RN_P_CE_GRAD] = { NULL, "it stands in gradients only" },
	[RN_P_ADAM] = { NULL, "a step comes after gradients" },
	[RN_P_SGD] = { NULL, "a step comes after gradients" },
};
_Static_assert(sizeof prims / sizeof *prims == RN_NPRIM, "a row for every primitive");

/* ---- checks ------------------------------------------------------------------------------ */

static bool check(uint32_t (*build)(struct model *m, struct rnd *r), uint64_t seed)
{
	struct model m = { .loss = RN_NONE };
	struct rnd r = { seed };
	bool ok;

	rn_prog_init(&m.p);
	model_add_loss(&m, build(&m, &r), &r);
	model_differentiate(&m);
	ok = model_check(&m, &r);
	model_fini(&m);
	return ok;
}

bool check_primitive(enum rn_prim op, uint64_t seed, const char **not_differentiable)
{
	if (!prims[op].build != !rn_prim_differentiable(op))
		return fail("rn_prim_differentiable says %d", rn_prim_differentiable(op));
	*not_differentiable = prims[op].none;
	if (!prims[op].build && !prims[op].none)
		return fail("it has no row in check_prim.c");
	return !prims[op].build || check(prims[op].build, seed);
}

/* fn of operands of which the second is one row that all rows share. */
bool check_scalar_function(enum rn_ew fn, uint64_t seed)
{
	bool positive = fn == RN_EW_LOG || fn == RN_EW_LOG1P || fn == RN_EW_SQRT || fn == RN_EW_POW;
	struct model m = { .loss = RN_NONE };
	struct rnd r = { seed };
	uint32_t x[3], y, three = 3;
	struct rn_err e;
	bool ok;

	rn_prog_init(&m.p);
	for (unsigned k = 0; k < 3; k++) {
		x[k] = dense(&m, &r, k == 1 ? 1 : 5, 1, 3, 0);
		if (positive)
			x[k] = need(rn_prog_ew2(&m.p, RN_EW_MUL, x[k], x[k], &e), &e);
	}
	switch (rn_ew_info[fn].arity) {
	case 1:
		y = rn_prog_ew1(&m.p, fn, x[0], &e);
		break;
	case 2:
		y = rn_prog_ew2(&m.p, fn, x[0], x[1], &e);
		break;
	case 3:
		y = rn_prog_ew3(&m.p, fn, x[0], x[1], x[2], &e);
		break;
	default: { /* a mask, which does not depend on what it is multiplied by */
		struct rn_drop d = { .key = rn_rng_key("test", seed),
				     .row = RN_NONE,
				     .col = RN_NONE };

		y = need(rn_prog_dropmask(&m.p, 5, 1, &three, 0.4, &d, &e), &e);
		y = rn_prog_ew2(&m.p, RN_EW_MUL, x[0], y, &e);
	}
	}
	model_add_loss(&m, need(y, &e), &r);
	model_differentiate(&m);
	ok = model_check(&m, &r);
	model_fini(&m);
	return ok;
}
