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

/* A part of a union, of the width of a, for each of some kinds. */
static uint32_t part(struct gen *g, uint32_t a, unsigned kind)
{
	uint32_t rows = g->p.vals[a].rows, n = 3 + rnd(g, 20), x, y;

	switch (kind) {
	case 0:
		return rnd(g, 4) ? rn_prog_gather(&g->p, a, indices(g, n, rows, true), &g->e) : a;
	case 1:
		return rn_prog_sddmm(&g->p, n, a, indices(g, n, rows, true), a,
				     indices(g, n, rows, true), &g->e);
	case 2:
		x = rn_prog_ew1(&g->p, RN_EW_SIGMOID, constant(g, 5, 1), &g->e);
		return rn_prog_spmm(&g->p, bounds(g, 2 + rnd(g, 6), n), a,
				    indices(g, n, rows, true), x, indices(g, n, 5, false), &g->e);
	case 3:
		return rn_prog_spmm(&g->p, bounds(g, 2 + rnd(g, 6), n), a,
				    indices(g, n, rows, true), RN_NONE, RN_NONE, &g->e);
	default:
		x = rn_prog_gather(&g->p, a, indices(g, n, rows, true), &g->e);
		y = rn_prog_gather(&g->p, a, indices(g, n, rows, false), &g->e);
		return rn_prog_ew2(&g->p, RN_EW_SUB, x, y, &g->e);
	}
}

/* Rows of several values of one width, and what is done with a union. */
static uint32_t unions(struct gen *g, uint32_t a)
{
	uint32_t n = rnd(g, 6) ? 2 + rnd(g, 3) : 18, xs[18], kind = rnd(g, 5), v;

	xs[0] = part(g, a, kind);
	for (uint32_t k = 1; k < n; k++) {
		v = any(g);
		xs[k] = part(g, g->p.vals[v].width == g->p.vals[a].width ? v : a, kind);
	}
	v = rn_prog_stack(&g->p, xs, n, &g->e);
	if (rnd(g, 2) || g->p.vals[v].rows > 256)
		return v;
	return rn_prog_spmm(&g->p, bounds(g, 5, g->p.vals[v].rows), v, RN_NONE, RN_NONE, RN_NONE, &g->e);
}

static uint32_t segment_max(struct gen *g, uint32_t a)
{
	uint32_t rows = g->p.vals[a].rows, segs = 2 + rnd(g, 4), ptr = bounds(g, segs, rows), perm;
	uint32_t x[256], width = g->p.vals[a].width, arg;

	if (rows > 256)
		return a;
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

/* A matrix of few columns. */
static uint32_t narrow(struct gen *g)
{
	uint32_t map[2 * PARAM_DIM], dim[2] = { PARAM_DIM, 2 };

	for (uint32_t f = 0; f < 2 * PARAM_DIM; f++)
		map[f] = rnd(g, PARAM_DIM * PARAM_DIM);
	return rn_prog_features(&g->p, g->param[1], map, 2, dim, &g->e);
}

/* A linear map of rows from several tables, or of a mean, or the mean of one. */
static uint32_t joined(struct gen *g, uint32_t a)
{
	uint32_t width = g->p.vals[a].width, rows = g->p.vals[a].rows, n = 12 + rnd(g, 30), x, y;
	uint32_t b = constant(g, 5, PARAM_DIM - (width < PARAM_DIM ? width : 1)), w, dim = PARAM_DIM;

	if (rnd(g, 2) && width < PARAM_DIM) {
		x = rn_prog_gather(&g->p, a, indices(g, n, rows, true), &g->e);
		y = rnd(g, 2) ? rn_prog_gather(&g->p, b, indices(g, n, 5, true), &g->e)
			      : constant(g, n, g->p.vals[b].width);
		x = rn_prog_view(&g->p, x, n, 1, &g->p.vals[x].width, &g->e);
		x = rn_prog_concat(&g->p, (uint32_t[]){ x, y }, 2, &g->e);
		return rn_prog_gemm(&g->p, x, g->param[rnd(g, 2)], rnd(g, 2) ? g->param[2] : RN_NONE,
				    false, &g->e);
	}
	w = rnd(g, 2) ? constant(g, 5, 1) : RN_NONE;
	b = bounds(g, 4, n);
	y = indices(g, n, 14, true);
	x = g->pool[1];
	if (rnd(g, 2)) /* something with a gradient */
		x = rn_prog_ew2(&g->p, RN_EW_MUL, x, g->param[3], &g->e);
	if (rnd(g, 2))
		x = rn_prog_gemm(&g->p, x, g->param[0], rnd(g, 2) ? g->param[2] : RN_NONE, rnd(g, 2),
				 &g->e);
	x = rn_prog_spmm(&g->p, b, x, y, w, w == RN_NONE ? w : indices(g, n, 5, false), &g->e);
	if (rnd(g, 2))
		x = rn_prog_ew2(&g->p, RN_EW_MUL, x, constant(g, 4, 1), &g->e);
	x = rn_prog_view(&g->p, x, 4, 1, &dim, &g->e);
	return rn_prog_gemm(&g->p, x, rnd(g, 2) ? narrow(g) : g->param[1],
			    RN_NONE, false, &g->e);
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

	switch (rnd(g, 26)) {
	case 17: return joined(g, a);
	case 18: return joined(g, any(g));
	case 16: return unions(g, a);
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
	case 19:
	case 20: return dropout(g, rn_prog_ew1(&g->p, RN_EW_RELU, linear(g, a), &g->e));
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
		if (rows > 256)
			return a;
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
		if (!(fabs(a->x[i] - b->x[i]) <= 1e-5 * (1 + fabs(a->x[i]))))
			return false;
	return a->n == b->n;
}

enum pass {
	FOLD, HOIST, SPARSE, STACK, SPLIT, COMMUTE, UNIFY, RESTRICT, THROUGH, FUSE, FUSE_STAGE, SWEEP,
	NPASS
};

static int through(struct rn_prog *p, uint32_t *count, struct rn_err *e)
{
	return rn_pass_through(p, false, count, e);
}

static const struct pass_info {
	const char *name;
	int (*run)(struct rn_prog *p, uint32_t *count, struct rn_err *e);
	bool exact; /* no bit changes */
} passes[NPASS] = {
	[FOLD] = { "fold", NULL, false },
	[HOIST] = { "hoist", rn_pass_hoist, true },
	[SPARSE] = { "sparse", rn_pass_sparse, false },
	[STACK] = { "stack", rn_pass_stack, true },
	[SPLIT] = { "split", rn_pass_split, false },
	[COMMUTE] = { "commute", rn_pass_commute, false },
	[UNIFY] = { "unify", NULL, true },
	[RESTRICT] = { "restrict", NULL, true },
	[THROUGH] = { "through", through, true },
	[FUSE] = { "fuse", NULL, true },
	[FUSE_STAGE] = { "fuse by stage", NULL, true },
	[SWEEP] = { "sweep", NULL, true },
};
static uint32_t applied[NPASS]; /* places in all programs */

static int apply(struct gen *g, enum pass pass, uint32_t *root)
{
	uint32_t *live[1] = { root };

	if (passes[pass].run)
		return passes[pass].run(&g->p, &applied[pass], &g->e);
	switch (pass) {
	case FOLD: return rn_pass_fold(&g->p, backend, &g->e);
	case UNIFY: return rn_pass_unify(&g->p, &g->e);
	case RESTRICT: return rn_pass_restrict(&g->p, root, 1, &g->e);
	case FUSE:
	case FUSE_STAGE:
		g->p.vals[*root].keep = true;
		return rn_pass_fuse(&g->p, pass == FUSE_STAGE, &g->e);
	default: return rn_pass_sweep(&g->p, live, 1, &g->e);
	}
}

/* Each pass alone, on the same program, after those for sparse products or not. */
static void test_single(uint64_t seed, uint32_t insts, bool sparse)
{
	static struct outcome before, after;
	struct gen g;
	uint32_t root = build(&g, seed, insts);

	if (sparse)
		T_CALL(sparsify(&g), &g.e);
	run(&g.p, &root, 1, 1, &before, &g.e);
	rn_prog_fini(&g.p);
	for (unsigned pass = 0; pass < NPASS; pass++) {
		root = build(&g, seed, insts);
		if (sparse)
			T_CALL(sparsify(&g), &g.e);
		for (uint32_t j = 0; j < g.p.ninsts; j++)
			g.p.insts[j].stage = j * 4 / g.p.ninsts;
		T_CALL(apply(&g, pass, &root), &g.e);
		run(&g.p, &root, 1, 1, &after, &g.e);
		T_OK(passes[pass].exact ? same_bits(&before, &after) : nearly(&before, &after),
		     "program %llu after %s", (unsigned long long)seed, passes[pass].name);
		rn_prog_fini(&g.p);
	}
}

static uint32_t together; /* dropouts behind ReLUs whose gradient is one (grad_ew.c) */

/* A pass before gradients leaves them as they are, but for the order of sums; and what the
 * rules do for instructions of one stage gives what they give for each. */
static void test_gradients(uint64_t seed, uint32_t insts)
{
	static struct outcome before, after;
	uint32_t plain = 0;

	for (unsigned k = 0; k <= NPASS + 1; k++) {
		unsigned pass = k && k <= NPASS ? k - 1 : NPASS; /* first none */
		uint32_t val[1 + NPARAMS];
		struct gen g;

		if (pass < NPASS && !passes[pass].run)
			continue;
		val[0] = loss_of(&g, build(&g, seed, insts));
		g.p.vals[val[0]].keep = true;
		T_CALL(sparsify(&g), &g.e);
		if (pass < NPASS)
			T_CALL(apply(&g, pass, &val[0]), &g.e);
		for (uint32_t j = 0; k > NPASS && j < g.p.ninsts; j++)
			g.p.insts[j].stage = j;
		T_CALL(rn_prog_grad(&g.p, val[0], g.param, NPARAMS, val + 1, &g.e), &g.e);
		plain = k ? plain : g.p.ninsts;
		together += k > NPASS && g.p.ninsts != plain;
		run(&g.p, val, 1 + NPARAMS, 1, k ? &after : &before, &g.e);
		rn_prog_fini(&g.p);
		if (k)
			T_OK(nearly(&before, &after), "gradients of program %llu after %s",
			     (unsigned long long)seed,
			     pass < NPASS ? passes[pass].name : "stages are cut apart");
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

/* Every value that can be made again is: no bit changes, and no more memory is needed. */
static uint32_t remade;

static void recompute(struct gen *g, uint64_t seed)
{
	uint64_t before, after;
	uint32_t at;

	T_CALL(rn_prog_peak(&g->p, &before, &at, &g->e), &g->e);
	T_CALL(rn_pass_recompute(&g->p, 1, &remade, &g->e), &g->e);
	T_CALL(rn_prog_peak(&g->p, &after, &at, &g->e), &g->e);
	T_OK(after <= before, "program %llu: at most %llu bytes, before %llu",
	     (unsigned long long)seed, (unsigned long long)after, (unsigned long long)before);
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
		T_CALL(sparsify(&g), &g.e);
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
			T_CALL(rn_pass_through(&g.p, fused == 2, &applied[THROUGH], &g.e), &g.e);
			T_CALL(rn_pass_fuse(&g.p, fused == 2, &g.e), &g.e);
			if (fused == 1)
				recompute(&g, seed);
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

/* All of them in their order, with one switched off, or all: the same loss and gradients. */
static void test_switches(uint64_t seed, uint32_t insts)
{
	static struct outcome before, after;

	for (int off = -2; off <= RN_NREWRITES; off++) {
		struct rn_ctx ctx = { .threads = 1 };
		struct rn_pass_log log = { 0 };
		struct rn_optimize o = { .ctx = &ctx, .backend = backend, .log = &log,
					 .apart = off == RN_NREWRITES };
		uint32_t val[1 + NPARAMS], *live[1 + NPARAMS], ran = 0;
		struct gen g;

		val[0] = loss_of(&g, build(&g, seed, insts));
		g.p.vals[val[0]].keep = true;
		ctx.no_rewrite = off == -1 ? RN_RW_ALL : off < 0 || off == RN_NREWRITES ? 0
										: RN_RW_BIT(off);
		if (off > -2)
			T_CALL(rn_prog_optimize(&o, &g.p, val, 1, &g.e), &g.e);
		T_CALL(rn_prog_grad(&g.p, val[0], g.param, NPARAMS, val + 1, &g.e), &g.e);
		for (uint32_t k = 0; k <= NPARAMS; k++) {
			g.p.vals[val[k]].keep = true;
			live[k] = &val[k];
		}
		if (off > -2)
			T_CALL(rn_prog_finish(&o, &g.p, live, 1 + NPARAMS, &g.e), &g.e);
		run(&g.p, val, 1 + NPARAMS, 1, off > -2 ? &after : &before, &g.e);
		rn_prog_fini(&g.p);
		for (unsigned rw = 0; rw < RN_NREWRITES; rw++)
			ran += log.did[rw].runs > 0 && !rn_rewrite_on(&ctx, rw);
		if (off > -2)
			T_OK(nearly(&before, &after) && !ran, "program %llu without %s",
			     (unsigned long long)seed,
			     off == -1 ? "all" : off == RN_NREWRITES ? "none, staged"
								     : rn_rewrite_info[off].name);
	}
}

int main(int argc, char **argv)
{
	uint32_t programs = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 150;
	struct rn_err e = { 0 };

	T_CALL(rn_cpu_backend(1, &backend, &e), &e);
	for (uint32_t k = 0; k < programs; k++) {
		test_single(k, 4 + k % 30, k % 2);
		test_gradients(3000 + k, 4 + k % 30);
		test_few_rows(1000 + k, 4 + k % 30);
		test_pipeline(2000 + k, 4 + k % 30);
		if (k % 3 == 0)
			test_switches(4000 + k, 4 + k % 30);
	}
	for (unsigned k = 0; k < NPASS && programs >= 100; k++)
		if (passes[k].run)
			T_OK(applied[k] > 10, "%s applied in %u places", passes[k].name, applied[k]);
	if (programs >= 100)
		T_OK(together > 10, "%u programs with dropouts behind ReLUs", together);
	if (programs >= 100)
		T_OK(remade > 10, "%u values made again", remade);
	backend->close(backend);
	return t_done();
}
