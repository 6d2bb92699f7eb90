/* SPDX-License-Identifier: Apache-2.0
 *
 * Passes: random programs compute the same before and after each of them, bit
 * for bit (dot products of pass_sparse: nearly), and so do their gradients.  What
 * each pass is there for is in test_pass_each.c.
 */
#include "pass_gen.h"

#include "../../lib/base/rng.h"
#include "../../lib/expr/grad.h"

/* ---- random programs ---------------------------------------------------------------- */

static uint32_t any(struct gen *g)
{
	/* late values more often */
	return g->pool[rnd(g, 3) ? rnd(g, g->n) : g->n - 1 - rnd(g, g->n < 5 ? g->n : 5)];
}

/* A value that fits a elementwise: as many rows or one, as wide or one. */
static uint32_t partner(struct gen *g, uint32_t a)
{
	for (int tries = 0; tries < 30; tries++) {
		const struct rn_val *x = &g->p.vals[a], *y;
		uint32_t b = any(g);

		y = &g->p.vals[b];
		if ((y->rows == x->rows || y->rows == 1) &&
		    (y->width == 1 || (y->rank == x->rank && y->dim[0] == x->dim[0] &&
				       y->width == x->width)))
			return b;
	}
	return a;
}

static uint32_t spmm(struct gen *g, uint32_t a)
{
	uint32_t rows = g->p.vals[a].rows, terms = 3 + rnd(g, 20), segs = 2 + rnd(g, 8);
	bool by = rnd(g, 2), weighted = rnd(g, 2), wby = rnd(g, 2);
	uint32_t w = RN_NONE, wi = RN_NONE;

	if (!by)
		terms = rows;
	if (weighted) {
		w = constant(g, wby ? 5 : terms, 1);
		w = rn_prog_ew2(&g->p, RN_EW_MUL, w, rn_prog_view(&g->p, g->param[0], 1, 1,
				(uint32_t[]){ PARAM_DIM * PARAM_DIM }, &g->e), &g->e);
		w = rn_prog_fsum(&g->p, w, NULL, 0, NULL, &g->e);
		wi = wby ? indices(g, terms, 5, false) : RN_NONE;
	}
	return rn_prog_spmm(&g->p, bounds(g, segs, terms), a,
			    by ? indices(g, terms, rows, true) : RN_NONE, w, wi, &g->e);
}

/* sum over edges of weights times gathered rows, written as a product. */
static uint32_t neighbours(struct gen *g, uint32_t a)
{
	uint32_t rows = g->p.vals[a].rows, edges = 4 + rnd(g, 24), segs = 2 + rnd(g, 6), m, w;

	m = rn_prog_gather(&g->p, a, indices(g, edges, rows, true), &g->e);
	if (rnd(g, 3) == 0) /* no weights, but missing terms */
		return rn_prog_spmm(&g->p, bounds(g, segs, edges), m, indices(g, edges, edges, true),
				    RN_NONE, RN_NONE, &g->e);
	w = constant(g, rnd(g, 2) ? edges : 7, 1);
	if (g->p.vals[w].rows != edges)
		w = rn_prog_gather(&g->p, w, indices(g, edges, 7, false), &g->e);
	if (rnd(g, 3) == 0)
		w = rn_prog_ew1(&g->p, RN_EW_SIGMOID, w, &g->e);
	m = rnd(g, 2) ? rn_prog_ew2(&g->p, RN_EW_MUL, m, w, &g->e)
		      : rn_prog_ew2(&g->p, RN_EW_MUL, w, m, &g->e);
	return rn_prog_spmm(&g->p, bounds(g, segs, edges), m,
			    rnd(g, 2) ? indices(g, edges, edges, false) : RN_NONE, RN_NONE, RN_NONE,
			    &g->e);
}

static uint32_t dots(struct gen *g, uint32_t a)
{
	uint32_t rows = g->p.vals[a].rows, n = 3 + rnd(g, 9), x, y;

	if (rnd(g, 2))
		return rn_prog_sddmm(&g->p, n, a, indices(g, n, rows, true), a,
				     indices(g, n, rows, true), &g->e);
	x = rn_prog_gather(&g->p, a, indices(g, n, rows, true), &g->e);
	y = rn_prog_gather(&g->p, a, indices(g, n, rows, false), &g->e);
	return rn_prog_fsum(&g->p, rn_prog_ew2(&g->p, RN_EW_MUL, x, y, &g->e), NULL, 0, NULL, &g->e);
}

static uint32_t segment_max(struct gen *g, uint32_t a)
{
	uint32_t rows = g->p.vals[a].rows, segs = 2 + rnd(g, 4), ptr = bounds(g, segs, rows), perm;
	uint32_t x[256], width = g->p.vals[a].width, arg;

	for (uint32_t i = 0; i < rows; i++)
		x[i] = rows - 1 - i;
	perm = rnd(g, 2) ? rn_prog_idx_copy(&g->p, x, rows, &g->e) : RN_NONE;
	arg = prim(g, RN_P_SEGARG, a, RN_NONE, ptr, perm, segs, width);
	perm = prim(g, RN_P_PICK, a, arg, RN_NONE, RN_NONE, segs, width);
	if (rnd(g, 2))
		return perm;
	/* the same rows of something else, of which other rows may be needed */
	a = prim(g, RN_P_PICK, rn_prog_ew1(&g->p, RN_EW_SIGMOID, a, &g->e), arg, RN_NONE, RN_NONE,
		 segs, width);
	a = rn_prog_gather(&g->p, a, indices(g, segs, segs, true), &g->e);
	return rn_prog_ew2(&g->p, RN_EW_MUL, a, perm, &g->e);
}

/* Through stored values and back. */
static uint32_t sparse(struct gen *g, uint32_t a)
{
	uint32_t rows = g->p.vals[a].rows, width = g->p.vals[a].width, col[256], ptr[64] = { 0 };
	struct rn_drop d = { .key = { { 5, 6 } }, .row = RN_NONE, .col = RN_NONE };
	uint32_t row[256], n = 0, pi, ci, v, m, one = 1;

	if (rows > 60)
		return a;
	for (uint32_t r = 0; r < rows; r++) {
		for (uint32_t f = 0; f < width && n < 250; f++)
			if (rnd(g, 2)) {
				row[n] = r;
				col[n++] = f;
			}
		ptr[r + 1] = n;
	}
	pi = rn_prog_idx_copy(&g->p, ptr, rows + 1, &g->e);
	ci = rn_prog_idx_copy(&g->p, col, n, &g->e);
	v = prim(g, RN_P_ATCSR, a, RN_NONE, pi, ci, n, 1);
	if (rnd(g, 2)) {
		d.row = rn_prog_idx_copy(&g->p, row, n, &g->e);
		d.col = ci;
		m = rn_prog_dropmask(&g->p, n, 1, &one, 0.3, &d, &g->e);
		v = rn_prog_ew2(&g->p, RN_EW_MUL, v, m, &g->e);
	}
	if (rnd(g, 3) == 0 && n > 1 && g->n < MAX_POOL - 2)
		g->pool[g->n++] = v; /* for others to read, too */
	if (rnd(g, 3) == 0)
		return rn_prog_spmm(&g->p, pi, v, RN_NONE, RN_NONE, RN_NONE, &g->e);
	return prim(g, RN_P_DENSIFY, v, RN_NONE, pi, ci, rows, width);
}

static uint32_t dropout(struct gen *g, uint32_t a)
{
	struct rn_drop d = { .key = { { rnd(g, 9), 2 } }, .row = RN_NONE, .col = RN_NONE };
	struct rn_val v = g->p.vals[a];

	return rn_prog_ew2(&g->p, RN_EW_MUL, a,
			   rn_prog_dropmask(&g->p, v.rows, v.rank, v.dim, 0.4, &d, &g->e), &g->e);
}

static uint32_t linear(struct gen *g, uint32_t a)
{
	uint32_t width = g->p.vals[a].width, dim[2] = { PARAM_DIM, PARAM_DIM }, x[PARAM_DIM];

	for (uint32_t f = 0; f < PARAM_DIM; f++)
		x[f] = f % width;
	a = rn_prog_features(&g->p, a, x, 1, dim, &g->e);
	return rn_prog_gemm(&g->p, a, g->param[rnd(g, 2)], rnd(g, 2) ? g->param[2] : RN_NONE,
			    rnd(g, 2), &g->e);
}

static uint32_t features(struct gen *g, uint32_t a)
{
	uint32_t width = g->p.vals[a].width, to = rnd(g, 2) && width <= 8 ? width : 1 + rnd(g, 6);
	uint32_t map[8], dim[2] = { to, 1 };

	for (uint32_t f = 0; f < to; f++)
		map[f] = rnd(g, width);
	if (rnd(g, 2)) /* of something that can be fused with it */
		a = rn_prog_ew1(&g->p, RN_EW_SIGMOID, a, &g->e);
	return rn_prog_features(&g->p, a, map, 1 + rnd(g, 2), dim, &g->e);
}

static uint32_t scalar(struct gen *g, uint32_t a)
{
	static const enum rn_ew one[] = { RN_EW_NEG, RN_EW_ABS, RN_EW_TANH, RN_EW_SIGMOID,
					  RN_EW_RELU, RN_EW_POS, RN_EW_SIGN, RN_EW_ERF };
	static const enum rn_ew two[] = { RN_EW_ADD, RN_EW_SUB, RN_EW_MUL, RN_EW_MAX, RN_EW_MIN,
					  RN_EW_LT, RN_EW_LE };

	switch (rnd(g, 4)) {
	case 0:
		return rn_prog_ew1(&g->p, one[rnd(g, 8)], a, &g->e);
	case 1:
		return rn_prog_ew_imm(&g->p, two[rnd(g, 7)], a, 0.25 * rnd(g, 8) - 1, rnd(g, 2),
				      &g->e);
	case 2:
		return rn_prog_ew3(&g->p, RN_EW_SELECT, rn_prog_ew1(&g->p, RN_EW_POS, a, &g->e), a,
				   partner(g, a), &g->e);
	default:
		return rn_prog_ew2(&g->p, two[rnd(g, 7)], a, partner(g, a), &g->e);
	}
}

static uint32_t random_inst(struct gen *g)
{
	uint32_t a = any(g), rows = g->p.vals[a].rows, width = g->p.vals[a].width, labels[256];

	switch (rnd(g, 22)) {
	case 0:
		a = rn_prog_gather(&g->p, a, indices(g, 2 + rnd(g, 14), rows, rnd(g, 2)), &g->e);
		rows = g->p.vals[a].rows;
		return rnd(g, 2) ? a : rn_prog_gather(&g->p, a, indices(g, 2 + rnd(g, 14), rows, true),
						      &g->e);
	case 1: return spmm(g, a);
	case 2: return neighbours(g, a);
	case 3: return dots(g, a);
	case 4: return segment_max(g, a);
	case 5: return sparse(g, a);
	case 6: return dropout(g, a);
	case 7: return linear(g, a);
	case 8: return features(g, a);
	case 9: return rn_prog_colsum(&g->p, a, &g->e);
	case 10: return rn_prog_fsum(&g->p, a, NULL, 0, NULL, &g->e);
	case 11:
		return prim(g, rnd(g, 2) ? RN_P_FMAX : RN_P_ARGMAX, a, RN_NONE, RN_NONE, RN_NONE,
			    rows, 1);
	case 12: return rn_prog_view(&g->p, a, rows, 2, (uint32_t[]){ 1, width }, &g->e);
	case 13: return rn_prog_matmul(&g->p, a, a, true, false, &g->e);
	case 14:
		if (width > 6)
			return a;
		a = rn_prog_concat(&g->p, (uint32_t[]){ a, partner(g, a) }, 2, &g->e);
		return rn_prog_view(&g->p, a, rows, 1, &g->p.vals[a].width, &g->e);
	case 15:
		for (uint32_t i = 0; i < rows; i++)
			labels[i] = rnd(g, width);
		return prim(g, RN_P_CE, a, RN_NONE, rn_prog_idx_copy(&g->p, labels, rows, &g->e),
			    RN_NONE, rows, 1);
	default: return scalar(g, a);
	}
}

/* A program of some instructions; its last value is the root. */
static uint32_t build(struct gen *g, uint64_t seed, uint32_t insts)
{
	uint32_t dim[2] = { PARAM_DIM, PARAM_DIM };

	memset(g, 0, sizeof *g);
	g->state = seed * 7919 + 13;
	rn_prog_init(&g->p);
	for (uint32_t k = 0; k < NPARAMS; k++)
		g->param[k] = rn_prog_param(&g->p, RN_V_PARAM, k, k < 2 ? 2 : 1, dim, &g->e);
	g->pool[g->n++] = constant(g, 9, 4);
	g->pool[g->n++] = constant(g, 14, PARAM_DIM);
	g->pool[g->n++] = constant(g, 9, 1);
	g->pool[g->n++] = g->param[3];
	while (g->n < 4 + insts) {
		uint32_t v = random_inst(g);

		if (v == RN_NONE) {
			T_OK(false, "random program %llu: %s", (unsigned long long)seed, g->e.msg);
			break;
		}
		/* keep numbers small, so that sums of other shapes are comparable */
		if (g->p.vals[v].kind == RN_V_INST && rnd(g, 2))
			v = rn_prog_ew1(&g->p, RN_EW_TANH, v, &g->e);
		g->pool[g->n++] = v;
	}
	return g->pool[g->n - 1];
}

/* ---- passes over them --------------------------------------------------------------- */

static bool nearly(const struct outcome *a, const struct outcome *b)
{
	for (uint32_t i = 0; i < a->n && a->n == b->n; i++)
		if (!(fabs(a->x[i] - b->x[i]) <= 1e-4 * (1 + fabs(a->x[i]))))
			return false;
	return a->n == b->n;
}

enum pass { FOLD, SPARSE, RESTRICT, FUSE, FUSE_STAGE, SWEEP, NPASS };

static int apply(struct gen *g, enum pass pass, uint32_t *root)
{
	uint32_t *live[1] = { root };

	switch (pass) {
	case FOLD: return rn_pass_fold(&g->p, backend, &g->e);
	case SPARSE: return rn_pass_sparse(&g->p, &g->e);
	case RESTRICT: return rn_pass_restrict(&g->p, root, 1, &g->e);
	case FUSE:
	case FUSE_STAGE:
		g->p.vals[*root].keep = true;
		return rn_pass_fuse(&g->p, pass == FUSE_STAGE, &g->e);
	default: return rn_pass_sweep(&g->p, live, 1, &g->e);
	}
}

/* Each pass alone, on the same program. */
static void test_single(uint64_t seed, uint32_t insts)
{
	static const char *const names[] = { "fold", "sparse", "restrict", "fuse", "fuse by stage",
					     "sweep" };
	static struct outcome before, after;
	struct gen g;
	uint32_t root = build(&g, seed, insts);

	run(&g.p, &root, 1, 1, &before, &g.e);
	rn_prog_fini(&g.p);
	for (unsigned pass = 0; pass < NPASS; pass++) {
		root = build(&g, seed, insts);
		for (uint32_t j = 0; j < g.p.ninsts; j++)
			g.p.insts[j].stage = j * 4 / g.p.ninsts;
		T_CALL(apply(&g, pass, &root), &g.e);
		run(&g.p, &root, 1, 1, &after, &g.e);
		T_OK(pass <= SPARSE ? nearly(&before, &after) : same_bits(&before, &after),
		     "program %llu after %s", (unsigned long long)seed, names[pass]);
		rn_prog_fini(&g.p);
	}
}

/* Restriction in earnest: a few rows of the root. */
static void test_few_rows(uint64_t seed, uint32_t insts)
{
	static struct outcome before, after;
	struct gen g;

	for (unsigned restricted = 0; restricted < 2; restricted++) {
		uint32_t root = build(&g, seed, insts), x[2] = { 0 }, map;

		x[0] = rnd(&g, g.p.vals[root].rows);
		map = rn_prog_idx_copy(&g.p, x, 1 + rnd(&g, 2), &g.e);
		root = rn_prog_gather(&g.p, root, map, &g.e);
		if (restricted)
			T_CALL(rn_pass_restrict(&g.p, &root, 1, &g.e), &g.e);
		run(&g.p, &root, 1, 1, restricted ? &after : &before, &g.e);
		rn_prog_fini(&g.p);
	}
	T_OK(same_bits(&before, &after), "program %llu restricted", (unsigned long long)seed);
}

/* All of them, with gradients and steps, as a fit applies them. */
static void test_pipeline(uint64_t seed, uint32_t insts)
{
	static struct outcome before, after;
	struct gen g;

	for (unsigned fused = 0; fused < 3; fused++) {
		uint32_t loss = loss_of(&g, build(&g, seed, insts)), val[2 + NPARAMS];
		uint32_t *live[1] = { &val[0] };

		val[0] = loss;
		memcpy(val + 1, g.param, sizeof g.param);
		g.p.vals[loss].keep = true;
		T_CALL(rn_pass_fold(&g.p, backend, &g.e), &g.e);
		T_CALL(rn_pass_sparse(&g.p, &g.e), &g.e);
		if (fused)
			T_CALL(rn_pass_restrict(&g.p, &loss, 1, &g.e), &g.e);
		{
			uint32_t grad[NPARAMS];

			T_CALL(rn_prog_grad(&g.p, loss, g.param, NPARAMS, grad, &g.e), &g.e);
			for (uint32_t k = 0; k < NPARAMS; k++) {
				struct rn_inst i = rn_inst_init(RN_P_SGD);

				i.nin = 3;
				i.in[0].val = g.param[k];
				i.in[1].val = grad[k];
				i.f[RN_S_LR] = 0.01;
				rn_prog_add(&g.p, &i, 0, 0, NULL, &g.e);
			}
		}
		if (fused) {
			for (uint32_t k = 0; k < NPARAMS; k++) /* so that sweep keeps them */
				g.p.vals[g.param[k]].keep = true;
			T_CALL(rn_pass_fuse(&g.p, fused == 2, &g.e), &g.e);
			T_CALL(rn_pass_sweep(&g.p, live, 1, &g.e), &g.e);
			for (uint32_t v = 0; v < g.p.nvals; v++)
				if (g.p.vals[v].kind == RN_V_PARAM)
					val[1 + g.p.vals[v].param] = v;
		}
		run(&g.p, val, 1 + NPARAMS, 3, fused ? &after : &before, &g.e);
		rn_prog_fini(&g.p);
		if (fused)
			T_OK(same_bits(&before, &after), "steps of program %llu%s",
			     (unsigned long long)seed, fused == 2 ? ", by stage" : "");
	}
}

int main(int argc, char **argv)
{
	uint32_t programs = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 150;
	struct rn_err e = { 0 };

	T_CALL(rn_cpu_backend(1, &backend, &e), &e);
	for (uint32_t k = 0; k < programs; k++) {
		test_single(k, 4 + k % 30);
		test_few_rows(1000 + k, 4 + k % 30);
		test_pipeline(2000 + k, 4 + k % 30);
	}
	backend->close(backend);
	return t_done();
}
