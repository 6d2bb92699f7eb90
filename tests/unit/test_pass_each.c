/* SPDX-License-Identifier: Apache-2.0
 *
 * Passes: what each of them is there for does happen, and memory may run out
 * anywhere on the way.
 */
#include "alloc.h"
#include "pass_gen.h"

#include "../../lib/base/str.h"
#include "../../lib/exec/folded.h"
#include "../../lib/expr/emb.h"
#include "../../lib/expr/grad.h"

/* ---- what they are for -------------------------------------------------------- */

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
	T_CALL(sparsify(&g), &g.e);
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
	T_CALL(sparsify(&g), &g.e);
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
			T_CALL(sparsify(&g), &g.e);
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
		T_CALL(sparsify(&g), &g.e);
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

/* Two programs fold the same: one has it.  What differs in a number, an index or a shape is its
 * own, and what no program has any more goes. */
static void test_shared_folding(void)
{
	static float number = 0.5f;
	struct rn_folded shared = { 0 };
	const struct rn_optimize o = { .backend = backend, .folded = &shared };
	struct rn_buf *first = NULL;
	static struct outcome x[2];

	for (unsigned k = 0; k < 6; k++) {
		uint32_t v, edge[4000], root, *live[1] = { &root };
		struct gen g;

		begin(&g);
		g.state = 3;
		v = constant(&g, 2000, 20);
		((float *)g.p.vals[v].data->data)[7] = k == 2 ? number + 1 : number;
		for (uint32_t i = 0; i < 4000; i++)
			edge[i] = k == 3 && i == 9 ? 11 : i * 7 % 2000;
		v = rn_prog_gather(&g.p, v, rn_prog_idx_copy(&g.p, edge, 4000, &g.e), &g.e);
		if (k == 4)
			v = rn_prog_view(&g.p, v, 4000, 2, (uint32_t[]){ 4, 5 }, &g.e);
		v = rn_prog_ew1(&g.p, k == 5 ? RN_EW_NEG : RN_EW_TANH, v, &g.e);
		v = rn_prog_view(&g.p, v, 4000, 1, (uint32_t[]){ 20 }, &g.e);
		root = v;
		g.p.vals[root].keep = true;
		T_CALL(rn_pass_fold_shared(&o, &g.p, &g.e), &g.e);
		T_CALL(rn_pass_sweep(&g.p, live, 1, &g.e), &g.e);
		first = k ? first : rn_buf_ref(g.p.vals[root].data);
		T_OK((g.p.vals[root].data == first) == (k < 2) && g.p.ninsts == 0,
		     "folding %u is %s", k, k < 2 ? "shared" : "its own");
		x[k & 1].n = 4096;
		if (k < 2)
			memcpy(x[k].x, g.p.vals[root].data->data, sizeof x[k].x);
		rn_prog_fini(&g.p);
	}
	T_OK(same_bits(&x[0], &x[1]), "what is shared is what would be made");
	rn_folded_trim(&shared);
	T_OK(shared.n == 1, "what is used stays");
	rn_buf_unref(first);
	rn_folded_trim(&shared);
	T_OK(shared.n == 0, "what is not used goes");
	rn_folded_fini(&shared);
}

/* Of many rows nearly all: they stay as they are, and nothing is copied. */
static void test_nearly_all(void)
{
	enum { ROWS = 40000, MOST = ROWS - ROWS / 64 };

	for (unsigned k = 0; k < 2; k++) {
		uint32_t n = MOST - k, *x = malloc(n * sizeof *x), v, root, in;
		struct rn_buf *data;
		struct gen g;

		begin(&g);
		for (uint32_t i = 0; i < n; i++)
			x[i] = ROWS - 1 - i;
		in = constant(&g, ROWS, PARAM_DIM);
		data = g.p.vals[in].data;
		v = rn_prog_gemm(&g.p, in, g.param[0], RN_NONE, false, &g.e);
		root = rn_prog_gather(&g.p, v, rn_prog_idx_copy(&g.p, x, n, &g.e), &g.e);
		T_CALL(rn_pass_restrict(&g.p, &root, 1, &g.e), &g.e);
		T_OK(g.p.vals[root].rows == n && g.p.vals[v].rows == (k ? n : ROWS) &&
			     (g.p.vals[in].data == data) == !k,
		     "%u rows of %u: %u are made", n, ROWS, g.p.vals[v].rows);
		rn_prog_fini(&g.p);
		free(x);
	}
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
	T_CALL(sparsify(&g), &g.e);
	T_CALL(rn_prog_grad(&g.p, loss, g.param, 1, &grad, &g.e), &g.e);
	T_OK(g.p.vals[grad].kind == RN_V_CONST, "no gradient through a declared constant");
	rn_prog_fini(&g.p);
}

/* ---- memory: no value of a row per edge --------------------------------------------------- */

enum { NODES = 300, EDGES = 24000, WIDE = 128 };

/* A linear map of x by parameter `number`. */
static uint32_t linear(struct gen *g, uint32_t x, uint32_t number)
{
	uint32_t w = rn_prog_param(&g->p, RN_V_PARAM, number, 2, (uint32_t[]){ WIDE, WIDE }, &g->e);

	return rn_prog_gemm(&g->p, x, w, RN_NONE, false, &g->e);
}

static uint32_t ends(struct gen *g)
{
	uint32_t *x = malloc(EDGES * sizeof *x), i;

	for (uint32_t k = 0; k < EDGES; k++)
		x[k] = rnd(g, NODES);
	i = rn_prog_idx_copy(&g->p, x, EDGES, &g->e);
	free(x);
	return i;
}

/* Segments of EDGES terms over the nodes. */
static uint32_t by_node(struct gen *g, uint32_t terms)
{
	uint32_t x[NODES + 1];

	for (uint32_t k = 0; k <= NODES; k++)
		x[k] = terms / NODES * k;
	return rn_prog_idx_copy(&g->p, x, NODES + 1, &g->e);
}

static uint32_t graph_convolution(struct gen *g, uint32_t x)
{
	uint32_t src = ends(g), ptr = by_node(g, EDGES), w = constant(g, EDGES, 1), h;

	for (uint32_t l = 0; l < 2; l++) {
		h = rn_prog_gather(&g->p, linear(g, x, l), src, &g->e);
		h = rn_prog_spmm(&g->p, ptr, rn_prog_ew2(&g->p, RN_EW_MUL, h, w, &g->e), RN_NONE,
				 RN_NONE, RN_NONE, &g->e);
		x = rn_prog_ew1(&g->p, RN_EW_RELU, h, &g->e);
	}
	return x;
}

/* Attention over two edge types, as HGT's: dot products, exp, normalised, of gathered rows. */
static uint32_t attention(struct gen *g, uint32_t x)
{
	uint32_t q = linear(g, x, 0), ptr = by_node(g, 2 * EDGES), a[2], m[2], of[2], s, v;

	for (uint32_t r = 0; r < 2; r++) {
		uint32_t src = ends(g), dst = ends(g);

		a[r] = rn_prog_ew2(&g->p, RN_EW_MUL, rn_prog_gather(&g->p, q, dst, &g->e),
				   rn_prog_gather(&g->p, linear(g, x, 1 + r), src, &g->e), &g->e);
		a[r] = rn_prog_fsum(&g->p, a[r], NULL, 0, NULL, &g->e);
		m[r] = rn_prog_gather(&g->p, linear(g, x, 3 + r), src, &g->e);
		of[r] = ends(g);
	}
	s = rn_prog_stack(&g->p, a, 2, &g->e);
	s = rn_prog_ew1(&g->p, RN_EW_SIGMOID, s, &g->e);
	v = rn_prog_spmm(&g->p, ptr, s, RN_NONE, RN_NONE, RN_NONE, &g->e);
	a[0] = rn_prog_gather(&g->p, v, of[0], &g->e);
	a[1] = rn_prog_gather(&g->p, v, of[1], &g->e);
	s = rn_prog_ew2(&g->p, RN_EW_DIV, s, rn_prog_stack(&g->p, a, 2, &g->e), &g->e);
	v = rn_prog_ew2(&g->p, RN_EW_MUL, s, rn_prog_stack(&g->p, m, 2, &g->e), &g->e);
	return rn_prog_spmm(&g->p, ptr, v, RN_NONE, RN_NONE, RN_NONE, &g->e);
}

/* A sum of products of both ends, behind a function of each pair. */
static uint32_t products(struct gen *g, uint32_t x)
{
	uint32_t a = rn_prog_gather(&g->p, linear(g, x, 0), ends(g), &g->e);
	uint32_t b = rn_prog_gather(&g->p, linear(g, x, 1), ends(g), &g->e);

	a = rn_prog_ew1(&g->p, RN_EW_RELU, rn_prog_ew2(&g->p, RN_EW_SUB, a, b, &g->e), &g->e);
	return rn_prog_spmm(&g->p, by_node(g, EDGES), a, RN_NONE, RN_NONE, RN_NONE, &g->e);
}

static void test_peak(void)
{
	static uint32_t (*const models[])(struct gen *, uint32_t) = { graph_convolution, attention,
								      products };
	static const char *const names[] = { "graph convolution", "attention", "products" };

	for (unsigned k = 0; k < 3; k++) {
		struct rn_optimize o = { .backend = backend };
		uint32_t x, loss, grad[6], wrt[6], n = 0, *live[7];
		struct rn_machine *m = NULL;
		struct rn_store *s;
		uint64_t bytes, edge = (uint64_t)EDGES * WIDE * sizeof(float);
		struct gen g;

		memset(&g, 0, sizeof g);
		rn_prog_init(&g.p);
		x = rn_prog_ew2(&g.p, RN_EW_MUL, constant(&g, NODES, WIDE),
				rn_prog_param(&g.p, RN_V_PARAM, 5, 1, (uint32_t[]){ WIDE }, &g.e), &g.e);
		loss = loss_of(&g, models[k](&g, x));
		g.p.vals[loss].keep = true;
		T_CALL(rn_prog_optimize(&o, &g.p, &loss, 1, &g.e), &g.e);
		for (uint32_t v = 0; v < g.p.nvals; v++)
			if (g.p.vals[v].kind == RN_V_PARAM)
				wrt[n++] = v;
		T_CALL(rn_prog_grad(&g.p, loss, wrt, n, grad, &g.e), &g.e);
		live[0] = &loss;
		for (uint32_t i = 0; i < n; i++) {
			g.p.vals[grad[i]].keep = true;
			live[i + 1] = &grad[i];
		}
		T_CALL(rn_prog_finish(&o, &g.p, live, n + 1, &g.e), &g.e);
		T_CALL(rn_store_new(backend, RN_F32, &s, &g.e), &g.e);
		for (uint32_t i = 0; i < 6; i++)
			T_CALL(rn_store_add(s, i < 5 ? WIDE * WIDE : WIDE, &x, &g.e), &g.e);
		T_CALL(rn_machine_new(&g.p, backend, RN_F32, s, NULL, NULL, &m, &g.e), &g.e);
		bytes = m ? rn_machine_bytes(m) : UINT64_MAX;
		/* One value of a row per edge alone would not fit. */
		T_OK(bytes < edge, "%s: %.1f MB forward and backward, %.1f MB in a row per edge",
		     names[k], bytes / 1e6, edge / 1e6);
		if (bytes >= edge) {
			struct rn_str text = RN_STR_INIT;

			rn_prog_print(&g.p, &text);
			printf("# %s\n", text.s);
			rn_str_fini(&text);
		}
		rn_machine_free(m);
		rn_store_free(s);
		rn_prog_fini(&g.p);
	}
}

/* ---- memory that runs out ----------------------------------------------------------- */

static int as_param(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e)
{
	*val = rn_prog_param(arg, RN_V_PARAM, 0, s->rank, s->dim, e);
	return *val == RN_NONE ? e->code : 0;
}

#define VAL(out, expr)                                                                            \
	do {                                                                                      \
		*(out) = (expr);                                                                  \
		if (*(out) == RN_NONE)                                                            \
			return e->code;                                                           \
	} while (0)

/* What the passes for unions, linear maps and sums rewrite: x [3,3] becomes another [3,3]. */
static int union_of(struct rn_prog *p, uint32_t *x, uint32_t map, struct rn_err *e)
{
	static const uint32_t bounds[] = { 0, 3, 4, 6 }, rows[] = { 0, 1, 2, 0, 1, 2, 2, 1, 0 };
	uint32_t part[2], ptr, many, y, square[2] = { 3, 3 }, tall[2] = { 6, 3 }, w, w2, c;

	VAL(&ptr, rn_prog_idx_copy(p, bounds, 4, e));
	VAL(&many, rn_prog_idx_copy(p, rows, 9, e));
	VAL(&w, rn_prog_param(p, RN_V_PARAM, 1, 2, square, e));
	VAL(&w2, rn_prog_param(p, RN_V_PARAM, 2, 2, tall, e));
	VAL(&c, rn_prog_const_fill(p, 3, 1, 0.5f, e));
	for (unsigned k = 0; k < 2; k++) {
		VAL(&part[k], rn_prog_gather(p, *x, map, e));
		VAL(&part[k], rn_prog_ew2(p, RN_EW_SUB, part[k], part[0], e));
	}
	VAL(&y, rn_prog_stack(p, part, 2, e));
	VAL(&y, rn_prog_spmm(p, ptr, y, RN_NONE, RN_NONE, RN_NONE, e));
	VAL(&y, rn_prog_ew2(p, RN_EW_MUL, y, c, e));
	VAL(&y, rn_prog_gemm(p, y, w, RN_NONE, false, e));
	VAL(&part[0], rn_prog_gather(p, y, many, e));
	VAL(&part[1], rn_prog_gather(p, *x, many, e));
	VAL(&y, rn_prog_concat(p, part, 2, e));
	VAL(&y, rn_prog_gemm(p, y, w2, RN_NONE, false, e));
	VAL(&y, rn_prog_ew2(p, RN_EW_MUL, y, part[1], e));
	VAL(x, rn_prog_spmm(p, ptr, y, RN_NONE, RN_NONE, RN_NONE, e));
	return 0;
}

/* Add a mean of many constants, which are folded. */
static int add_constants(struct rn_prog *p, uint32_t *x, struct rn_err *e)
{
	struct rn_drop d = { .key = { { 1, 2 } }, .row = RN_NONE, .col = RN_NONE };
	uint32_t c, m, width = RN_FOLDED_BYTES / 400 + 1;

	VAL(&c, rn_prog_const_fill(p, 100, width, 0.5f, e));
	VAL(&c, rn_prog_ew1(p, RN_EW_TANH, c, e));
	VAL(&m, rn_prog_dropmask(p, 100, 1, &width, 0.5, &d, e));
	VAL(&c, rn_prog_ew2(p, RN_EW_MUL, c, m, e));
	VAL(&c, rn_prog_fsum(p, c, NULL, 0, NULL, e));
	VAL(&c, rn_prog_colsum(p, c, e));
	VAL(x, rn_prog_ew2(p, RN_EW_ADD, *x, c, e));
	return 0;
}

/* An expression from text to a swept program of gradients. */
static int whole_way(struct rn_prog *p, struct rn_folded *folded, struct rn_err *e)
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
	struct rn_optimize o = { .backend = backend, .folded = folded };
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
	RN_TRY(union_of(p, &out.val, part[1].map, e));
	loss = rn_prog_fsum(p, out.val, NULL, 0, NULL, e);
	loss = loss == RN_NONE ? loss : rn_prog_gather(p, loss, part[1].map, e);
	loss = loss == RN_NONE ? loss : rn_prog_colsum(p, loss, e);
	if (loss == RN_NONE)
		return e->code;
	RN_TRY(add_constants(p, &loss, e));
	RN_TRY(rn_prog_optimize(&o, p, &loss, 1, e));
	while (p->vals[param].kind != RN_V_PARAM)
		param++;
	RN_TRY(rn_prog_grad(p, loss, &param, 1, &grad, e));
	p->vals[loss].keep = p->vals[grad].keep = true;
	return rn_prog_finish(&o, p, NULL, 0, e);
}

static void test_memory(void)
{
	uint64_t k;
	bool fine = true;
	int rc = RN_ENOMEM;

	for (k = 1; rc && k < 5000; k++) {
		struct rn_err e = { 0 };
		long before = alloc_live();
		struct rn_folded folded = { 0 };
		struct rn_prog p;

		rn_prog_init(&p);
		alloc_fail(k, false);
		rc = whole_way(&p, &folded, &e);
		alloc_stop();
		rn_prog_fini(&p);
		rn_folded_fini(&folded);
		if ((rc && (rc != RN_ENOMEM || e.code != rc)) || alloc_live() != before) {
			T_OK(false, "allocation %lu fails: %d, %ld blocks left: %s", (unsigned long)k,
			     rc, alloc_live() - before, e.msg);
			fine = false;
		}
	}
	T_OK(fine && !rc && k > 100, "each of %lu allocations may fail", (unsigned long)k);
}

int main(void)
{
	struct rn_err e = { 0 };

	T_CALL(rn_cpu_backend(1, &backend, &e), &e);
	test_recognition();
	test_hoisting();
	test_folding();
	test_fold_by_stage();
	test_shared_folding();
	test_restriction();
	test_nearly_all();
	test_shared_values();
	test_fusion();
	test_registers();
	test_steps_between();
	test_cut();
	test_peak();
	test_memory();
	backend->close(backend);
	return t_done();
}
