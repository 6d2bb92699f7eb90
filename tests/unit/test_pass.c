/* SPDX-License-Identifier: Apache-2.0
 *
 * Passes: random programs compute the same before and after each of them, bit
 * for bit (dot products of pass_sparse: nearly), and so do their gradients; and
 * what each pass is there for does happen.
 */
#include "t.h"

#include "../../lib/base/rng.h"
#include "../../lib/base/str.h"
#include "../../lib/dev/machine.h"
#include "../../lib/exec/pass.h"
#include "../../lib/expr/emb.h"
#include "../../lib/expr/grad.h"
#include "../../lib/rel/rel.h"

#include <math.h>

enum { NPARAMS = 4, PARAM_DIM = 6, MAX_POOL = 96 };

/* ---- an allocator that fails on demand ---------------------------------------------- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define RN_CAN_FAIL 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

static unsigned long fail_at; /* 0: never */
static long live_blocks;

static void *alloc_or_fail(void *p)
{
	live_blocks += p != NULL;
	return p;
}

static int now(void)
{
	return fail_at && --fail_at == 0;
}

void *malloc(size_t n)
{
	return now() ? NULL : alloc_or_fail(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
	return now() ? NULL : alloc_or_fail(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
	void *q;

	if (now())
		return NULL;
	q = __libc_realloc(p, n);
	return p ? q : alloc_or_fail(q);
}

void *aligned_alloc(size_t align, size_t n)
{
	return now() ? NULL : alloc_or_fail(__libc_memalign(align, n));
}

void free(void *p)
{
	live_blocks -= p != NULL;
	__libc_free(p);
}
#endif

/* ---- random programs ---------------------------------------------------------------- */

struct gen {
	struct rn_prog p;
	struct rn_err e;
	uint64_t state;
	uint32_t pool[MAX_POOL], n; /* values that instructions may read */
	uint32_t param[NPARAMS];
};

static uint32_t rnd(struct gen *g, uint32_t n)
{
	g->state = g->state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(g->state >> 33) % n;
}

static float rndf(struct gen *g)
{
	return (float)rnd(g, 4001) / 1000.0f - 2;
}

static uint32_t constant(struct gen *g, uint32_t rows, uint32_t width)
{
	struct rn_buf *b;

	T_CALL(rn_buf_new((size_t)rows * width * sizeof(float), "test", &b, &g->e), &g->e);
	for (uint32_t i = 0; i < rows * width; i++)
		((float *)b->data)[i] = rndf(g);
	return rn_prog_const(&g->p, rows, 1, &width, b, &g->e);
}

/* n random entries below `limit`; now and then RN_NO_ROW. */
static uint32_t indices(struct gen *g, uint32_t n, uint32_t limit, bool holes)
{
	uint32_t x[256];

	for (uint32_t i = 0; i < n; i++)
		x[i] = holes && rnd(g, 8) == 0 ? RN_NO_ROW : rnd(g, limit);
	return rn_prog_idx_copy(&g->p, x, n, &g->e);
}

/* Bounds of `segs` segments over `terms` terms, some empty. */
static uint32_t bounds(struct gen *g, uint32_t segs, uint32_t terms)
{
	uint32_t x[64] = { 0 };

	for (uint32_t i = 1; i <= segs; i++)
		x[i] = i == segs ? terms : x[i - 1] + rnd(g, terms - x[i - 1] + 1) / (1 + rnd(g, 3));
	return rn_prog_idx_copy(&g->p, x, segs + 1, &g->e);
}

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

static uint32_t prim(struct gen *g, enum rn_prim op, uint32_t a, uint32_t b, uint32_t i0,
		     uint32_t i1, uint32_t rows, uint32_t width)
{
	struct rn_inst i = rn_inst_init(op);

	i.flags = op == RN_P_SEGARG && rnd(g, 2) ? RN_F_MIN : 0;
	i.nin = b == RN_NONE ? 1 : 2;
	i.in[0].val = a;
	i.in[1].val = b;
	i.idx[0] = i0;
	i.idx[1] = i1;
	return rn_prog_add(&g->p, &i, rows, 1, &width, &g->e);
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

static uint32_t loss_of(struct gen *g, uint32_t v)
{
	return rn_prog_colsum(&g->p, rn_prog_fsum(&g->p, v, NULL, 0, NULL, &g->e), &g->e);
}

/* ---- running ------------------------------------------------------------------------ */

struct outcome {
	uint32_t n;
	float x[4096];
};

static struct rn_backend *backend;

static struct rn_store *parameters(struct rn_err *e)
{
	struct rn_store *s;

	T_CALL(rn_store_new(backend, RN_F32, &s, e), e);
	for (uint32_t k = 0; k < NPARAMS; k++) {
		uint32_t n = k < 2 ? PARAM_DIM * PARAM_DIM : PARAM_DIM, number;
		double x[PARAM_DIM * PARAM_DIM];

		for (uint32_t i = 0; i < n; i++)
			x[i] = 0.1 * ((i * 7 + k * 3) % 11) - 0.4;
		T_CALL(rn_store_add(s, n, &number, e), e);
		T_CALL(rn_store_set(s, number, x, e), e);
	}
	return s;
}

/* Run the program `times` over and read the values. */
static void run(struct rn_prog *p, const uint32_t *val, uint32_t n, uint32_t times,
		struct outcome *o, struct rn_err *e)
{
	struct rn_store *s = parameters(e);
	struct rn_machine *m = NULL;

	o->n = 0;
	for (uint32_t k = 0; k < n; k++)
		p->vals[val[k]].keep = true;
	if (e->code)
		T_OK(false, "before running: %s", e->msg);
	T_CALL(rn_machine_new(p, backend, RN_F32, s, NULL, NULL, &m, e), e);
	for (uint32_t k = 0; k < times && !e->code; k++)
		T_CALL(rn_machine_run(m, 0, p->ninsts, k + 1, e), e);
	for (uint32_t k = 0; k < n && !e->code; k++) {
		T_CALL(rn_machine_get_f32(m, val[k], o->x + o->n, e), e);
		o->n += p->vals[val[k]].rows * p->vals[val[k]].width;
	}
	rn_machine_free(m);
	rn_store_free(s);
}

static bool same_bits(const struct outcome *a, const struct outcome *b)
{
	return a->n == b->n && !memcmp(a->x, b->x, a->n * sizeof *a->x);
}

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

/* ---- what the passes are for -------------------------------------------------------- */

static uint32_t count(const struct rn_prog *p, enum rn_prim op)
{
	uint32_t n = 0;

	for (uint32_t j = 0; j < p->ninsts; j++)
		n += p->insts[j].op == op;
	return n;
}

static void begin(struct gen *g)
{
	uint32_t dim[2] = { PARAM_DIM, PARAM_DIM };

	memset(g, 0, sizeof *g);
	rn_prog_init(&g->p);
	for (uint32_t k = 0; k < NPARAMS; k++)
		g->param[k] = rn_prog_param(&g->p, RN_V_PARAM, k, k < 2 ? 2 : 1, dim, &g->e);
}

/* Two weights and a left join: no value per edge is wider than 1. */
static void test_recognition(void)
{
	struct gen g;
	uint32_t h, w, v, wide = 0, map, root, *live[1] = { &root };

	begin(&g);
	h = rn_prog_gemm(&g.p, constant(&g, 9, PARAM_DIM), g.param[0], RN_NONE, false, &g.e);
	map = indices(&g, 40, 9, true);
	w = rn_prog_gather(&g.p, constant(&g, 7, 1), indices(&g, 40, 7, false), &g.e);
	v = rn_prog_gather(&g.p, h, map, &g.e);
	v = rn_prog_ew2(&g.p, RN_EW_MUL, v, w, &g.e);
	v = rn_prog_ew2(&g.p, RN_EW_MUL, constant(&g, 40, 1), v, &g.e);
	root = rn_prog_spmm(&g.p, bounds(&g, 9, 40), v, indices(&g, 40, 40, false), RN_NONE, RN_NONE,
			    &g.e);
	T_CALL(rn_pass_sparse(&g.p, &g.e), &g.e);
	T_CALL(rn_pass_sweep(&g.p, live, 1, &g.e), &g.e);
	for (uint32_t j = 0; j < g.p.ninsts; j++)
		wide += g.p.vals[g.p.insts[j].out].rows == 40 && g.p.vals[g.p.insts[j].out].width > 1;
	T_OK(wide == 0 && count(&g.p, RN_P_SPMM) == 1, "a weighted sum makes no value per edge");
	rn_prog_fini(&g.p);
	/* dot products of gathered rows */
	begin(&g);
	h = rn_prog_gemm(&g.p, constant(&g, 9, PARAM_DIM), g.param[0], RN_NONE, false, &g.e);
	v = rn_prog_ew2(&g.p, RN_EW_MUL, rn_prog_gather(&g.p, h, indices(&g, 30, 9, true), &g.e),
			rn_prog_gather(&g.p, h, indices(&g, 30, 9, false), &g.e), &g.e);
	root = rn_prog_fsum(&g.p, v, NULL, 0, NULL, &g.e);
	T_CALL(rn_pass_sparse(&g.p, &g.e), &g.e);
	T_CALL(rn_pass_sweep(&g.p, live, 1, &g.e), &g.e);
	T_OK(count(&g.p, RN_P_SDDMM) == 1 && count(&g.p, RN_P_GATHER) == 0 && g.p.ninsts == 2,
	     "dot products read rows where they are");
	rn_prog_fini(&g.p);
}

static uint32_t layer(struct gen *g, uint32_t h, uint32_t map, bool bias)
{
	uint32_t v = rn_prog_gather(&g->p, h, map, &g->e);

	v = rn_prog_gemm(&g->p, v, g->param[0], bias ? g->param[2] : RN_NONE, false, &g->e);
	return rn_prog_ew1(&g->p, RN_EW_TANH, v, &g->e);
}

/* A layer over both ends of edges is computed once per node; with a bias a missing row
 * would not be 0. */
static void test_hoisting(void)
{
	for (unsigned holes = 0; holes < 2; holes++)
		for (unsigned bias = 0; bias < 2; bias++) {
			bool moves = !holes || !bias;
			uint32_t h, v, root, *live[1] = { &root }, rows = 0, n;
			struct gen g;

			begin(&g);
			h = constant(&g, 9, PARAM_DIM);
			v = layer(&g, h, indices(&g, 40, 9, holes), bias);
			v = rn_prog_ew2(&g.p, RN_EW_MUL, v, layer(&g, h, indices(&g, 40, 9, holes), bias),
					&g.e);
			root = rn_prog_fsum(&g.p, v, NULL, 0, NULL, &g.e);
			T_CALL(rn_pass_sparse(&g.p, &g.e), &g.e);
			T_CALL(rn_pass_sweep(&g.p, live, 1, &g.e), &g.e);
			n = count(&g.p, RN_P_GEMM);
			for (uint32_t j = 0; j < g.p.ninsts; j++)
				if (g.p.insts[j].op == RN_P_GEMM)
					rows = g.p.vals[g.p.insts[j].out].rows;
			T_OK(moves ? n == 1 && rows == 9 && g.p.ninsts == 3 : n == 2 && rows == 40,
			     "a layer over edges%s%s: %u products of %u rows", holes ? " with holes" : "",
			     bias ? ", biased" : "", n, rows);
			rn_prog_fini(&g.p);
		}
	for (unsigned two = 0; two < 2; two++) { /* a vector, as a parameter of either rank */
		uint32_t v, root, *live[1] = { &root };
		struct gen g;

		begin(&g);
		v = rn_prog_view(&g.p, g.param[2], 1, 1 + two, (uint32_t[]){ PARAM_DIM, 1 }, &g.e);
		v = rn_prog_ew2(&g.p, RN_EW_MUL, rn_prog_view(&g.p, constant(&g, 9, PARAM_DIM), 9,
				1 + two, (uint32_t[]){ PARAM_DIM, 1 }, &g.e), v, &g.e);
		root = rn_prog_fsum(&g.p, v, NULL, 0, NULL, &g.e);
		T_CALL(rn_pass_sparse(&g.p, &g.e), &g.e);
		T_CALL(rn_pass_sweep(&g.p, live, 1, &g.e), &g.e);
		T_OK(count(&g.p, RN_P_GEMM) == 1 && count(&g.p, RN_P_FSUM) == 0,
		     "a product with a vector");
		rn_prog_fini(&g.p);
	}
}

/* Folding gives the same bits whichever stages another process ran before. */
static void test_fold_by_stage(void)
{
	static struct outcome x[3];

	for (unsigned split = 0; split < 3; split++) {
		uint32_t h, w, v, edge[40];
		struct gen g;

		begin(&g);
		g.state = 11;
		h = constant(&g, 9, PARAM_DIM);
		w = constant(&g, 40, 1);
		for (uint32_t i = 0; i < 40; i++)
			edge[i] = rnd(&g, 9);
		v = rn_prog_gather(&g.p, h, rn_prog_idx_copy(&g.p, edge, 40, &g.e), &g.e);
		if (split == 1) { /* the join ran elsewhere: its output is data */
			g.p.vals[v].keep = true;
			T_CALL(rn_pass_fold(&g.p, backend, &g.e), &g.e);
		}
		g.p.stage = 1;
		v = rn_prog_ew2(&g.p, RN_EW_MUL, v, w, &g.e);
		g.p.stage = split == 2 ? 2 : 1; /* a map, then a sum */
		v = rn_prog_spmm(&g.p, bounds(&g, 4, 40), v, RN_NONE, RN_NONE, RN_NONE, &g.e);
		if (split < 2) {
			g.p.vals[v].keep = true;
			T_CALL(rn_pass_fold(&g.p, backend, &g.e), &g.e);
			T_OK(g.p.vals[v].kind == RN_V_CONST, "everything was folded");
			run(&g.p, &v, 1, 1, &x[split], &g.e);
		} else { /* each stage rounds */
			static struct outcome plain;

			run(&g.p, &v, 1, 1, &plain, &g.e);
			T_CALL(rn_pass_fold(&g.p, backend, &g.e), &g.e);
			run(&g.p, &v, 1, 1, &x[2], &g.e);
			T_OK(same_bits(&plain, &x[2]), "folding over stages changes no bit");
		}
		rn_prog_fini(&g.p);
	}
	T_OK(same_bits(&x[0], &x[1]), "folding does not depend on where a join ran");
}

static void test_folding(void)
{
	struct gen g;
	uint32_t x, v, w, root, *live[1] = { &root };

	begin(&g);
	x = constant(&g, 9, PARAM_DIM);
	v = rn_prog_ew1(&g.p, RN_EW_TANH, x, &g.e);
	w = rn_prog_view(&g.p, v, 9, 2, (uint32_t[]){ 1, PARAM_DIM }, &g.e);
	v = rn_prog_gemm(&g.p, v, g.param[0], RN_NONE, false, &g.e);
	root = rn_prog_ew2(&g.p, RN_EW_ADD, v, rn_prog_view(&g.p, w, 9, 1,
			   (uint32_t[]){ PARAM_DIM }, &g.e), &g.e);
	T_CALL(rn_pass_fold(&g.p, backend, &g.e), &g.e);
	T_CALL(rn_pass_sweep(&g.p, live, 1, &g.e), &g.e);
	T_OK(g.p.ninsts == 2 && count(&g.p, RN_P_GEMM) == 1, "what is constant runs once");
	T_OK(g.p.vals[g.p.insts[0].in[0].val].data == g.p.vals[g.p.insts[1].in[1].val].data,
	     "a view of a constant shares its data");
	rn_prog_fini(&g.p);
}

static void test_restriction(void)
{
	struct rn_drop d = { .key = { { 1, 2 } }, .row = RN_NONE, .col = RN_NONE };
	uint32_t x, v, m, root, dim = PARAM_DIM, rows = 0;
	struct gen g;

	begin(&g);
	x = constant(&g, 100, PARAM_DIM);
	m = rn_prog_dropmask(&g.p, 100, 1, &dim, 0.5, &d, &g.e);
	v = rn_prog_ew2(&g.p, RN_EW_MUL, x, m, &g.e);
	v = rn_prog_gemm(&g.p, v, g.param[0], RN_NONE, false, &g.e);
	root = rn_prog_gather(&g.p, v, rn_prog_idx_copy(&g.p, (uint32_t[]){ 70, 5, 70 }, 3, &g.e),
			      &g.e);
	T_CALL(rn_pass_restrict(&g.p, &root, 1, &g.e), &g.e);
	for (uint32_t j = 0; j < g.p.ninsts; j++)
		rows += g.p.vals[g.p.insts[j].out].rows;
	T_OK(g.p.vals[x].rows == 2 && rows == 2 + 2 + 2 + 3, "only needed rows are left");
	d = g.p.insts[g.p.vals[m].inst].drop;
	T_OK(d.row != RN_NONE && rn_prog_idx_data(&g.p, d.row)[0] == 5 &&
		     rn_prog_idx_data(&g.p, d.row)[1] == 70, "draws keep their ordinals");
	rn_prog_fini(&g.p);
}

/* Stored values of which one reader wants more than another. */
static void test_shared_values(void)
{
	struct outcome before = { 0 }, after = { 0 };

	for (unsigned restricted = 0; restricted < 2; restricted++) {
		uint32_t ptr, col, v, dense, few, most, root;
		struct gen g;

		begin(&g);
		ptr = rn_prog_idx_copy(&g.p, (uint32_t[]){ 0, 2, 3, 5, 6 }, 5, &g.e);
		col = rn_prog_idx_copy(&g.p, (uint32_t[]){ 0, 3, 1, 0, 2, 3 }, 6, &g.e);
		v = constant(&g, 6, 1);
		dense = prim(&g, RN_P_DENSIFY, v, RN_NONE, ptr, col, 4, 4);
		few = rn_prog_gather(&g.p, dense, rn_prog_idx_copy(&g.p, (uint32_t[]){ 3, 1 }, 2, &g.e),
				     &g.e);
		most = rn_prog_gather(&g.p, v, rn_prog_idx_copy(&g.p, (uint32_t[]){ 0, 2 }, 2, &g.e),
				      &g.e);
		root = rn_prog_ew2(&g.p, RN_EW_MUL, few, most, &g.e);
		if (restricted) {
			T_CALL(rn_pass_restrict(&g.p, &root, 1, &g.e), &g.e);
			T_OK(g.p.vals[dense].rows == 2 && g.p.vals[v].rows == 3,
			     "rows of stored values: %u, %u", g.p.vals[dense].rows, g.p.vals[v].rows);
		}
		run(&g.p, &root, 1, 1, restricted ? &after : &before, &g.e);
		rn_prog_fini(&g.p);
	}
	T_OK(same_bits(&before, &after), "stored values that two readers share");
}

/* Chains become one program each; limits split them; shared values are stored once. */
static void test_fusion(void)
{
	struct gen g;
	uint32_t x, y, v, root;

	begin(&g);
	x = rn_prog_gemm(&g.p, constant(&g, 50, PARAM_DIM), g.param[0], RN_NONE, false, &g.e);
	v = rn_prog_ew1(&g.p, RN_EW_TANH, x, &g.e);
	v = rn_prog_ew_imm(&g.p, RN_EW_MUL, v, 0.5, false, &g.e);
	v = rn_prog_view(&g.p, v, 50, 2, (uint32_t[]){ 1, PARAM_DIM }, &g.e);
	v = rn_prog_ew2(&g.p, RN_EW_ADD, v, rn_prog_view(&g.p, g.param[2], 1, 2,
			(uint32_t[]){ 1, PARAM_DIM }, &g.e), &g.e);
	root = rn_prog_ew_imm(&g.p, RN_EW_SUB, v, 1, true, &g.e);
	g.p.vals[root].keep = true;
	T_CALL(rn_pass_fuse(&g.p, false, &g.e), &g.e);
	T_OK(g.p.ninsts == 2 && count(&g.p, RN_P_ELEM) == 1,
	     "a chain through a view is one program");
	rn_prog_fini(&g.p);

	begin(&g); /* y is read by a sum, too */
	x = constant(&g, 50, PARAM_DIM);
	y = rn_prog_ew1(&g.p, RN_EW_TANH, rn_prog_ew2(&g.p, RN_EW_MUL, x, g.param[2], &g.e), &g.e);
	v = rn_prog_ew1(&g.p, RN_EW_NEG, rn_prog_ew1(&g.p, RN_EW_EXP, y, &g.e), &g.e);
	root = rn_prog_ew2(&g.p, RN_EW_ADD, v, rn_prog_colsum(&g.p, y, &g.e), &g.e);
	g.p.vals[root].keep = true;
	T_CALL(rn_pass_fuse(&g.p, false, &g.e), &g.e);
	T_OK(g.p.ninsts == 3 && count(&g.p, RN_P_ELEM) == 2, "a value that a sum reads is stored");
	rn_prog_fini(&g.p);

	for (unsigned wide = 0; wide < 2; wide++) { /* too long, too many inputs */
		struct outcome before = { 0 }, after = { 0 };

		for (unsigned fused = 0; fused < 2; fused++) {
			uint32_t in[40];

			begin(&g);
			for (unsigned k = 0; k < 40; k++)
				in[k] = constant(&g, 5, PARAM_DIM);
			v = rn_prog_ew2(&g.p, RN_EW_MUL, in[0], g.param[2], &g.e);
			for (unsigned k = 0; k < 200; k++)
				v = rn_prog_ew1(&g.p, RN_EW_TANH,
						rn_prog_ew2(&g.p, RN_EW_ADD, v,
							    wide ? in[k % 40] : in[k % 3], &g.e), &g.e);
			if (fused) {
				g.p.vals[v].keep = true;
				T_CALL(rn_pass_fuse(&g.p, false, &g.e), &g.e);
				T_OK(count(&g.p, RN_P_EW) == 0 && g.p.ninsts < (wide ? 30 : 10),
				     "a long chain is a few programs: %u", g.p.ninsts);
			}
			run(&g.p, &v, 1, 1, fused ? &after : &before, &g.e);
			rn_prog_fini(&g.p);
		}
		T_OK(same_bits(&before, &after), "a long chain has the same bits");
	}
}

/* A balanced tree of sums needs few registers only if it is written depth first. */
static void test_registers(void)
{
	struct outcome before = { 0 }, after = { 0 };
	struct gen g;

	for (unsigned fused = 0; fused < 2; fused++) {
		uint32_t v[16], n = 16, x;

		begin(&g);
		x = constant(&g, 6, PARAM_DIM);
		for (unsigned k = 0; k < 16; k++)
			v[k] = rn_prog_ew_imm(&g.p, RN_EW_MUL,
					      rn_prog_ew2(&g.p, RN_EW_MUL, x, g.param[2 + k % 2], &g.e),
					      0.1 * k, false, &g.e);
		for (; n > 1; n /= 2)
			for (unsigned k = 0; k < n / 2; k++)
				v[k] = rn_prog_ew2(&g.p, RN_EW_ADD, v[2 * k], v[2 * k + 1], &g.e);
		if (fused) {
			g.p.vals[v[0]].keep = true;
			T_CALL(rn_pass_fuse(&g.p, false, &g.e), &g.e);
		}
		run(&g.p, v, 1, 1, fused ? &after : &before, &g.e);
		rn_prog_fini(&g.p);
	}
	T_OK(same_bits(&before, &after), "a tree of sums has the same bits");
}

/* What a step changes is read before it, also when fused. */
static void test_steps_between(void)
{
	struct outcome before = { 0 }, after = { 0 };

	for (unsigned fused = 0; fused < 2; fused++) {
		struct rn_inst step = rn_inst_init(RN_P_SGD);
		struct gen g;
		uint32_t v;

		begin(&g);
		step.nin = 3;
		step.in[0].val = g.param[2];
		step.in[1].val = constant(&g, 1, PARAM_DIM);
		step.f[RN_S_LR] = 1;
		v = rn_prog_ew1(&g.p, RN_EW_NEG, g.param[2], &g.e);
		rn_prog_add(&g.p, &step, 0, 0, NULL, &g.e);
		v = rn_prog_ew1(&g.p, RN_EW_TANH, v, &g.e);
		g.p.vals[v].keep = true;
		if (fused)
			T_CALL(rn_pass_fuse(&g.p, false, &g.e), &g.e);
		run(&g.p, &v, 1, 1, fused ? &after : &before, &g.e);
		rn_prog_fini(&g.p);
	}
	T_OK(same_bits(&before, &after), "a step between two functions stays between them");
}

/* A gather that was declared a constant to gradients is not read through. */
static void test_cut(void)
{
	struct gen g;
	uint32_t v, loss, grad, x, w;

	begin(&g);
	x = rn_prog_gemm(&g.p, constant(&g, 9, PARAM_DIM), g.param[0], RN_NONE, false, &g.e);
	w = rn_prog_fsum(&g.p, rn_prog_ew2(&g.p, RN_EW_MUL, constant(&g, 12, PARAM_DIM), g.param[2],
					   &g.e), NULL, 0, NULL, &g.e);
	v = rn_prog_gather(&g.p, x, indices(&g, 12, 9, false), &g.e);
	g.p.vals[v].diff = false;
	v = rn_prog_spmm(&g.p, bounds(&g, 4, 12), v, RN_NONE, w, RN_NONE, &g.e);
	loss = loss_of(&g, v);
	T_CALL(rn_pass_sparse(&g.p, &g.e), &g.e);
	T_CALL(rn_prog_grad(&g.p, loss, g.param, 1, &grad, &g.e), &g.e);
	T_OK(g.p.vals[grad].kind == RN_V_CONST, "no gradient through a declared constant");
	rn_prog_fini(&g.p);
}

/* ---- memory that runs out ----------------------------------------------------------- */

#ifdef RN_CAN_FAIL
static int as_param(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e)
{
	*val = rn_prog_param(arg, RN_V_PARAM, 0, s->rank, s->dim, e);
	return *val == RN_NONE ? e->code : 0;
}

/* An expression from text to a swept program of gradients. */
static int whole_way(struct rn_prog *p, struct rn_err *e)
{
	static const char text[] = "Softmax()(Linear(4, 3)(Dropout(0.5)(s / clamp(rowsum(s), 1, 9)))) "
				   "* h + LayerNorm(3)(relu(s + 1) @ Tensor(4, 3))";
	struct rn_ctx ctx = { .threads = 1, .seed = 1 };
	uint32_t three = 3, one = 1, ptr[4] = { 0, 2, 2, 3 }, col[3] = { 1, 3, 0 }, loss, grad;
	uint32_t map[3] = { 2, 0, RN_NO_ROW };
	struct rn_lower_env env = { .ctx = &ctx, .prog = p, .training = true, .stage = "st",
				    .rows = 3, .nparts = 2, .param = as_param, .param_arg = p };
	struct rn_lpart part[2] = { { .name = (char *)"h", .shape = { 1, { 3 } }, .base_rows = 3 },
				    { .name = (char *)"s", .shape = { 1, { 4 } }, .base_rows = 3,
				      .sparse = true } }, out;
	struct rn_eexpr *x;
	struct rn_buf *b;
	uint32_t param = 0;
	int rc;

	RN_TRY(rn_buf_new(9 * sizeof(float), "test", &b, e));
	rn_buf_ref(b);
	part[0].val = rn_prog_const(p, 3, 1, &three, b, e);
	part[1].val = rn_prog_const(p, 3, 1, &one, b, e);
	part[0].ptr = part[0].col = RN_NONE;
	part[1].ptr = rn_prog_idx_copy(p, ptr, 4, e);
	part[1].col = rn_prog_idx_copy(p, col, 3, e);
	part[0].map = part[1].map = rn_prog_idx_copy(p, map, 3, e);
	if (part[0].val == RN_NONE || part[1].val == RN_NONE || part[1].ptr == RN_NONE ||
	    part[1].col == RN_NONE || part[1].map == RN_NONE)
		return e->code;
	env.parts = part;
	RN_TRY(rn_eexpr_parse(text, &x, e));
	rc = rn_eexpr_lower(x, &env, &out, e);
	rn_eexpr_free(x);
	RN_TRY(rc);
	loss = rn_prog_fsum(p, out.val, NULL, 0, NULL, e);
	loss = loss == RN_NONE ? loss : rn_prog_gather(p, loss, part[1].map, e);
	loss = loss == RN_NONE ? loss : rn_prog_colsum(p, loss, e);
	if (loss == RN_NONE)
		return e->code;
	RN_TRY(rn_pass_fold(p, backend, e));
	RN_TRY(rn_pass_sparse(p, e));
	RN_TRY(rn_pass_restrict(p, &loss, 1, e));
	while (p->vals[param].kind != RN_V_PARAM)
		param++;
	RN_TRY(rn_prog_grad(p, loss, &param, 1, &grad, e));
	p->vals[loss].keep = p->vals[grad].keep = true;
	RN_TRY(rn_pass_fuse(p, false, e));
	return rn_pass_sweep(p, NULL, 0, e);
}

static void test_memory(void)
{
	unsigned long k;
	bool fine = true;
	int rc = RN_ENOMEM;

	for (k = 1; rc && k < 5000; k++) {
		struct rn_err e = { 0 };
		long before = live_blocks;
		struct rn_prog p;

		rn_prog_init(&p);
		fail_at = k;
		rc = whole_way(&p, &e);
		fail_at = 0;
		rn_prog_fini(&p);
		if ((rc && (rc != RN_ENOMEM || e.code != rc)) || live_blocks != before) {
			T_OK(false, "allocation %lu fails: %d, %ld blocks left: %s", k, rc,
			     live_blocks - before, e.msg);
			fine = false;
		}
	}
	T_OK(fine && !rc && k > 100, "each of %lu allocations may fail", k);
}
#endif

int main(int argc, char **argv)
{
	uint32_t programs = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 150;
	struct rn_err e = { 0 };

	T_CALL(rn_cpu_backend(1, &backend, &e), &e);
	test_recognition();
	test_hoisting();
	test_folding();
	test_fold_by_stage();
	test_restriction();
	test_shared_values();
	test_fusion();
	test_registers();
	test_steps_between();
	test_cut();
#ifdef RN_CAN_FAIL
	test_memory();
#endif
	for (uint32_t k = 0; k < programs; k++) {
		test_single(k, 4 + k % 30);
		test_few_rows(1000 + k, 4 + k % 30);
		test_pipeline(2000 + k, 4 + k % 30);
	}
	backend->close(backend);
	return t_done();
}
