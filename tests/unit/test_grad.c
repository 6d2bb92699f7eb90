/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients against central differences in double: every primitive with its
 * variants, every scalar function, and broadcasts.
 *
 * A case builds a value from inputs; the loss is its product with fixed random
 * numbers, summed.  Every number of every input is moved by ±H.
 */
#include "grad_trial.h"

#include "../../lib/rel/key.h"

/* ---- scalar functions --------------------------------------------------------------- */

static const struct {
	enum rn_ew fn;
	double lo, hi;
} scalars[] = {
	{ RN_EW_NEG, -2, 2 },	  { RN_EW_EXP, -2, 2 },	 { RN_EW_LOG, 0.3, 2 },
	{ RN_EW_LOG1P, -0.5, 2 }, { RN_EW_SQRT, 0.3, 2 }, { RN_EW_ABS, -2, 2 },
	{ RN_EW_SIGN, -2, 2 },	  { RN_EW_ROUND, 0.6, 1.4 }, { RN_EW_TANH, -2, 2 },
	{ RN_EW_SIGMOID, -2, 2 }, { RN_EW_ERF, -2, 2 },	 { RN_EW_RELU, -2, 2 },
	{ RN_EW_POS, -2, 2 },	  { RN_EW_ADD, -2, 2 },	 { RN_EW_SUB, -2, 2 },
	{ RN_EW_MUL, -2, 2 },	  { RN_EW_DIV, 0.5, 2 }, { RN_EW_POW, 0.5, 2 },
	{ RN_EW_MAX, -2, 2 },	  { RN_EW_MIN, -2, 2 },	 { RN_EW_EQ, -2, 2 },
	{ RN_EW_LT, -2, 2 },	  { RN_EW_LE, -2, 2 },	 { RN_EW_SELECT, -2, 2 },
	{ RN_EW_FMA, -2, 2 },
};

static uint32_t apply(struct trial *t, enum rn_ew fn, const uint32_t *x)
{
	switch (rn_ew_info[fn].arity) {
	case 1:
		return rn_prog_ew1(&t->p, fn, x[0], &t->e);
	case 2:
		return rn_prog_ew2(&t->p, fn, x[0], x[1], &t->e);
	default:
		return rn_prog_ew3(&t->p, fn, x[0], x[1], x[2], &t->e);
	}
}

static void test_scalars(void)
{
	/* each row: shapes of up to three operands */
	static const struct shape shapes[][3] = {
		{ { 5, 1, { 3 } }, { 5, 1, { 3 } }, { 5, 1, { 3 } } },
		{ { 5, 1, { 3 } }, { 5, 1, { 1 } }, { 1, 1, { 3 } } },
		{ { 1, 1, { 1 } }, { 5, 2, { 3, 2 } }, { 5, 1, { 3 } } },
		{ { 4, 2, { 3, 2 } }, { 1, 2, { 1, 2 } }, { 4, 2, { 3, 1 } } },
		{ { 1, 1, { 3 } }, { 1, 1, { 3 } }, { 1, 1, { 1 } } },
	};
	unsigned seen = 0;

	for (size_t k = 0; k < sizeof scalars / sizeof *scalars; k++)
		for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
			enum rn_ew fn = scalars[k].fn;
			struct trial trial, *t = &trial;
			uint32_t x[3];
			char name[64];

			begin(t, 100 + k * 8 + s);
			seen |= 1u << fn;
			for (unsigned i = 0; i < rn_ew_info[fn].arity; i++) {
				const struct shape *o = &shapes[s][i];

				x[i] = input(t, o->rows, o->rank, o->dim, scalars[k].lo,
					     scalars[k].hi);
				if (fn == RN_EW_SELECT && i == 0) /* some of both */
					x[0] = rn_prog_ew1(&t->p, RN_EW_POS, x[0], &t->e);
			}
			snprintf(name, sizeof name, "%s, shapes %zu", rn_ew_info[fn].name, s);
			check(t, name, apply(t, fn, x));
		}
	for (unsigned f = RN_EW_NEG; f < RN_NEW; f++)
		T_OK(seen >> f & 1, "scalar function %s is tested", rn_ew_info[f].name);
}

static void test_powers(void)
{
	static const double powers[] = { 0, 0.5, 1, 2, 3, -1.5 };

	for (size_t k = 0; k < sizeof powers / sizeof *powers; k++) {
		struct trial trial, *t = &trial;
		uint32_t x, v;
		char name[32];

		begin(t, 300 + k);
		x = IN_RANGE(4, 0.5, 2, 3);
		snprintf(name, sizeof name, "a power of %g", powers[k]);
		v = rn_prog_ew_imm(&t->p, RN_EW_POW, x, powers[k], false, &t->e);
		check(t, name, v);
		begin(t, 320 + k);
		x = IN_RANGE(4, -2, 2, 3);
		v = rn_prog_ew_imm(&t->p, RN_EW_POW, x, powers[k], true, &t->e);
		snprintf(name, sizeof name, "%g to a power", powers[k]);
		if (powers[k] > 0)
			check(t, name, v);
		else
			rn_prog_fini(&t->p);
	}
}

/* ---- primitives --------------------------------------------------------------------- */

static void test_rows(void)
{
	struct trial trial, *t = &trial;
	uint32_t x, w, v;

	begin(t, 1);
	x = IN(4, 3);
	check(t, "gather with duplicates and missing rows",
	      rn_prog_gather(&t->p, x, IDX(0, 2, 2, NO, 3, 0), &t->e));
	begin(t, 2);
	x = IN(1, 3);
	check(t, "gather of one row", rn_prog_gather(&t->p, x, IDX(0, 0, 0, 0), &t->e));
	begin(t, 3);
	x = IN(1, 3);
	check(t, "gather of one row or none", rn_prog_gather(&t->p, x, IDX(0, NO, 0), &t->e));
	begin(t, 4);
	x = IN(3, 2);
	x = rn_prog_gather(&t->p, x, IDX(1, 0, 1, 2), &t->e);
	v = rn_prog_gather(&t->p, x, IDX(3, 3, 0), &t->e);
	check(t, "gather of a gather", v);
	/* spmm: each of x, w with and without an index; segments 0-2, none, 2-5 */
	for (unsigned k = 0; k < 8; k++) {
		char name[64];

		begin(t, 10 + k);
		x = IN(k & 1 ? 4 : 6, 3);
		w = k & 2 ? IN(k & 4 ? 3 : 6, 1) : RN_NONE;
		if (k & 4 && !(k & 2)) {
			rn_prog_fini(&t->p);
			continue;
		}
		v = rn_prog_spmm(&t->p, IDX(0, 2, 2, 5), x, k & 1 ? IDX(3, 0, NO, 3, 1) : RN_NONE, w,
				 k & 4 ? IDX(2, 2, 0, 1, 0) : RN_NONE, &t->e);
		snprintf(name, sizeof name, "spmm%s%s%s", k & 1 ? ", x by index" : "",
			 k & 2 ? ", weighted" : "", k & 4 ? " by index" : "");
		check(t, name, v);
	}
	/* the same arrays with and without weights, in either order */
	for (unsigned k = 0; k < 2; k++) {
		uint32_t ptr, src;

		begin(t, 18 + k);
		x = IN(4, 3);
		w = IN(5, 1);
		ptr = IDX(0, 2, 2, 5);
		src = IDX(3, 0, 1, 3, 1);
		v = rn_prog_spmm(&t->p, ptr, x, src, k ? w : RN_NONE, RN_NONE, &t->e);
		x = rn_prog_spmm(&t->p, ptr, x, src, k ? RN_NONE : w, RN_NONE, &t->e);
		check(t, "sums by one index, one of them weighted",
		      rn_prog_ew2(&t->p, RN_EW_MUL, v, x, &t->e));
	}
	for (unsigned k = 0; k < 4; k++) {
		uint32_t a, b;
		char name[64];

		begin(t, 20 + k);
		a = IN(k & 1 ? 3 : 5, 2);
		b = IN(k & 2 ? 4 : 5, 2);
		v = rn_prog_sddmm(&t->p, 5, a, k & 1 ? IDX(2, 2, 0, NO, 1) : RN_NONE, b,
				  k & 2 ? IDX(3, 0, NO, 1, 0) : RN_NONE, &t->e);
		snprintf(name, sizeof name, "sddmm%s%s", k & 1 ? ", a by index" : "",
			 k & 2 ? ", b by index" : "");
		check(t, name, v);
	}
	begin(t, 30);
	x = IN(4, 2);
	v = rn_prog_sddmm(&t->p, 4, x, IDX(0, 1, 2, 3), x, IDX(1, 1, 0, 2), &t->e);
	check(t, "sddmm of a value with itself", v);
}

static void test_segment_max(void)
{
	for (unsigned k = 0; k < 4; k++) {
		struct trial trial, *t = &trial;
		uint32_t x, arg, rows, v;

		begin(t, 40 + k);
		x = IN(5, 3);
		rows = k & 1 ? IDX(4, 0, 2, 1, 3) : RN_NONE;
		arg = make(t, RN_P_SEGARG, k & 2 ? RN_F_MIN : 0, x, RN_NONE, IDX(0, 3, 3, 5), rows,
			   (struct shape){ 3, 1, { 3 } });
		v = make(t, RN_P_PICK, 0, x, arg, RN_NONE, RN_NONE, (struct shape){ 3, 1, { 3 } });
		check(t, k & 2 ? "min of segments" : "max of segments", v);
		/* back to rows: the gradient of the gradient */
		begin(t, 44 + k);
		x = random_const(t, 5, 1, (uint32_t[]){ 3 }, -2, 2);
		v = IN(3, 3);
		rows = k & 1 ? IDX(4, 0, 2, 1, 3) : RN_NONE;
		arg = make(t, RN_P_SEGARG, 0, x, RN_NONE, IDX(0, 3, 3, 5), rows,
			   (struct shape){ 3, 1, { 3 } });
		v = make(t, RN_P_UNPICK, 0, v, arg, RN_NONE, RN_NONE, (struct shape){ 5, 1, { 3 } });
		check(t, "unpick", v);
	}
}

static void test_matrices(void)
{
	struct trial trial, *t = &trial;

	for (unsigned k = 0; k < 4; k++) {
		uint32_t x, w, b;

		begin(t, 50 + k);
		x = IN(5, 3);
		w = k & 1 ? IN(1, 2, 3) : IN(1, 3, 2);
		b = k & 2 ? IN(1, 2) : RN_NONE;
		check(t, k & 1 ? "gemm transposed" : "gemm",
		      rn_prog_gemm(&t->p, x, w, b, k & 1, &t->e));
	}
	begin(t, 55);
	{
		uint32_t x = IN(5, 3), y = IN(5, 2);

		check(t, "gemm_tn", rn_prog_gemm_tn(&t->p, x, y, &t->e));
	}
	for (unsigned k = 0; k < 16; k++) { /* a [2,3] b [3,4] */
		uint32_t a, b, ra = k & 4 ? 1 : 3, rb = k & 8 ? 1 : 3;
		char name[64];

		begin(t, 60 + k);
		a = k & 1 ? IN(ra, 3, 2) : IN(ra, 2, 3);
		b = k & 2 ? IN(rb, 4, 3) : IN(rb, 3, 4);
		snprintf(name, sizeof name, "matmul %u, %u and %u rows", k & 3, ra, rb);
		check(t, name, rn_prog_matmul(&t->p, a, b, k & 1, k & 2, &t->e));
	}
	begin(t, 80);
	{
		uint32_t a = IN(3, 3), b = IN(3, 3, 2); /* [3] as a row */

		check(t, "matmul of a row", rn_prog_matmul(&t->p, a, b, true, false, &t->e));
	}
}

static void test_features(void)
{
	struct trial trial, *t = &trial;
	uint32_t x, y, z;

	begin(t, 90);
	x = IN(5, 3);
	check(t, "colsum", rn_prog_colsum(&t->p, x, &t->e));
	begin(t, 91);
	x = IN(5, 1);
	check(t, "colsum of one column", rn_prog_colsum(&t->p, x, &t->e));
	begin(t, 92);
	x = IN(4, 2, 3);
	check(t, "fsum", rn_prog_fsum(&t->p, x, NULL, 0, NULL, &t->e));
	begin(t, 93);
	x = IN(4, 2, 3);
	check(t, "fsum by groups", rn_prog_fsum(&t->p, x, (uint32_t[]){ 0, 1, 2, 0, 1, 2 }, 1,
						(uint32_t[]){ 3 }, &t->e));
	begin(t, 94);
	x = IN(4, 3);
	check(t, "fmax", make(t, RN_P_FMAX, 0, x, RN_NONE, RN_NONE, RN_NONE,
			      (struct shape){ 4, 1, { 1 } }));
	begin(t, 95);
	x = IN(4, 3);
	y = make(t, RN_P_ARGMAX, 0, x, RN_NONE, RN_NONE, RN_NONE, (struct shape){ 4, 1, { 1 } });
	check(t, "argmax gives no gradient", rn_prog_ew2(&t->p, RN_EW_MUL, x, y, &t->e));
	begin(t, 96);
	x = IN(4, 3);
	y = IN(1, 2);
	z = IN(4, 1);
	check(t, "concat", rn_prog_concat(&t->p, (uint32_t[]){ x, y, z, x }, 4, &t->e));
	begin(t, 97);
	x = IN(1, 3, 2);
	y = rn_prog_view(&t->p, x, 3, 1, (uint32_t[]){ 2 }, &t->e);
	check(t, "view of one row as three", rn_prog_gather(&t->p, y, IDX(2, 0, 2, NO), &t->e));
	begin(t, 98);
	x = IN(3, 4);
	check(t, "view", rn_prog_view(&t->p, x, 3, 2, (uint32_t[]){ 2, 2 }, &t->e));
	begin(t, 99);
	x = IN(3, 4);
	check(t, "features: a permutation",
	      rn_prog_features(&t->p, x, (uint32_t[]){ 2, 0, 3, 1 }, 2, (uint32_t[]){ 2, 2 }, &t->e));
	begin(t, 100);
	x = IN(3, 4);
	check(t, "features: some, twice",
	      rn_prog_features(&t->p, x, (uint32_t[]){ 2, 2, 1 }, 1, (uint32_t[]){ 3 }, &t->e));
}

static void test_sparse_and_loss(void)
{
	struct trial trial, *t = &trial;
	uint32_t x;

	begin(t, 110);
	x = IN(4, 1);
	check(t, "densify", make(t, RN_P_DENSIFY, 0, x, RN_NONE, IDX(0, 2, 2, 4), IDX(0, 4, 1, 2),
				 (struct shape){ 3, 1, { 5 } }));
	begin(t, 111);
	x = IN(3, 5);
	check(t, "atcsr", make(t, RN_P_ATCSR, 0, x, RN_NONE, IDX(0, 2, 2, 4), IDX(0, 4, 1, 2),
			       (struct shape){ 4, 1, { 1 } }));
	begin(t, 112);
	x = IN(4, 3);
	check(t, "cross-entropy", make(t, RN_P_CE, 0, x, RN_NONE, IDX(2, 0, 1, 2), RN_NONE,
				       (struct shape){ 4, 1, { 1 } }));
}

/* ---- ties, and what has no gradient ------------------------------------------------- */

static void expect_grad(struct trial *t, const char *name, uint32_t v, uint32_t wrt,
			const double *want, uint32_t n)
{
	uint32_t loss = rn_prog_colsum(&t->p, rn_prog_fsum(&t->p, v, NULL, 0, NULL, &t->e), &t->e);
	struct rn_backend *b;
	struct rn_machine *m;
	double g[16] = { 0 };
	uint32_t grad;

	T_CALL(rn_prog_grad(&t->p, loss, &wrt, 1, &grad, &t->e), &t->e);
	t->p.vals[grad].keep = true;
	T_CALL(rn_cpu_backend(1, &b, &t->e), &t->e);
	T_CALL(rn_machine_new(&t->p, b, RN_F64, NULL, NULL, NULL, &m, &t->e), &t->e);
	T_CALL(rn_machine_run(m, 0, t->p.ninsts, 0, &t->e), &t->e);
	T_CALL(rn_machine_get_f64(m, grad, g, &t->e), &t->e);
	T_OK(!memcmp(g, want, n * sizeof *g), "%s: %g %g %g %g", name, g[0], g[1], g[2], g[3]);
	rn_machine_free(m);
	b->close(b);
	rn_prog_fini(&t->p);
}

static uint32_t filled(struct trial *t, uint32_t rows, uint32_t width, float x)
{
	uint32_t v = rn_prog_const_fill(&t->p, rows, width, x, &t->e);

	t->p.vals[v].diff = true;
	return v;
}

static void test_ties(void)
{
	struct trial trial, *t = &trial;
	uint32_t a, b, v;

	for (unsigned k = 0; k < 2; k++) {
		begin(t, 0);
		a = filled(t, 1, 2, 1);
		b = filled(t, 1, 2, 1);
		v = rn_prog_ew2(&t->p, k ? RN_EW_MIN : RN_EW_MAX, a, b, &t->e);
		expect_grad(t, "of equal operands the first has the gradient", v, a,
			    (double[]){ 1, 1 }, 2);
		begin(t, 0);
		a = filled(t, 1, 2, 1);
		b = filled(t, 1, 2, 1);
		v = rn_prog_ew2(&t->p, k ? RN_EW_MIN : RN_EW_MAX, a, b, &t->e);
		expect_grad(t, "and the second has none", v, b, (double[]){ 0, 0 }, 2);
	}
	begin(t, 0);
	a = filled(t, 2, 2, 1);
	v = make(t, RN_P_FMAX, 0, a, RN_NONE, RN_NONE, RN_NONE, (struct shape){ 2, 1, { 1 } });
	expect_grad(t, "of equal features the first", v, a, (double[]){ 1, 0, 1, 0 }, 4);
	begin(t, 0);
	a = filled(t, 4, 1, 1);
	b = make(t, RN_P_SEGARG, 0, a, RN_NONE, IDX(0, 3), IDX(2, 1, 3),
		 (struct shape){ 1, 1, { 1 } });
	v = make(t, RN_P_PICK, 0, a, b, RN_NONE, RN_NONE, (struct shape){ 1, 1, { 1 } });
	expect_grad(t, "of equal rows the first of the segment", v, a, (double[]){ 0, 0, 1, 0 }, 4);
	begin(t, 0);
	a = filled(t, 2, 1, 0);
	v = rn_prog_ew1(&t->p, RN_EW_RELU, a, &t->e);
	expect_grad(t, "relu at 0 has none", v, a, (double[]){ 0, 0 }, 2);
	begin(t, 0);
	a = filled(t, 2, 2, 0);
	b = filled(t, 2, 2, 3);
	v = rn_prog_ew1(&t->p, RN_EW_EXP, b, &t->e);
	expect_grad(t, "a value that the loss does not depend on", v, a,
		    (double[]){ 0, 0, 0, 0 }, 4);
	begin(t, 0);
	a = filled(t, 2, 1, 3);
	v = rn_prog_ew1(&t->p, RN_EW_EXP, a, &t->e);
	t->p.vals[v].diff = false;
	v = rn_prog_ew2(&t->p, RN_EW_ADD, v, a, &t->e);
	expect_grad(t, "a value declared constant", v, a, (double[]){ 1, 1 }, 2);
	T_OK(!rn_prim_differentiable(RN_P_ARGMAX) && !rn_prim_differentiable(RN_P_ADAM) &&
		     rn_prim_differentiable(RN_P_SPMM), "what has a gradient");
}

/* Towards constants there are no instructions. */
static void test_economy(void)
{
	struct trial trial, *t = &trial;
	uint32_t x, w, v, grad, before;

	begin(t, 1);
	x = random_const(t, 6, 1, (uint32_t[]){ 3 }, -1, 1);
	w = IN(1, 3, 2);
	v = loss_of(t, rn_prog_gemm(&t->p, x, w, RN_NONE, false, &t->e));
	before = t->p.ninsts;
	T_CALL(rn_prog_grad(&t->p, v, &w, 1, &grad, &t->e), &t->e);
	T_OK(t->p.insts[t->p.vals[grad].inst].op == RN_P_GEMM_TN, "one product for a weight");
	for (uint32_t j = before; j < t->p.ninsts; j++)
		T_OK(t->p.insts[j].op != RN_P_GEMM, "no gradient towards a constant");
	rn_prog_fini(&t->p);
}

static uint32_t readers(const struct rn_prog *p, uint32_t v)
{
	uint32_t n = 0;

	for (uint32_t j = 0; j < p->ninsts; j++)
		for (uint32_t k = 0; k < p->insts[j].nin; k++)
			n += p->insts[j].in[k].val == v;
	return n;
}

/* A dropout behind a ReLU: its gradient is that of the two one by one, needs neither the mask nor
 * what the ReLU gave, and where nothing came through it is 0, whatever flows back. */
static void test_dropped(void)
{
	static const float odd[] = { 1, -1, 0, -0.0f, NAN, INFINITY, -INFINITY, 1e-45f, 3e38f, 0.5f };
	enum { N = 400 };
	struct rn_drop d = { .key = { { 4, 9 } }, .row = RN_NONE, .col = RN_NONE };
	struct trial trial, *t = &trial;
	uint32_t x, y, mask, z, g, loss, grad, one = 1, *live[] = { &grad, &y, &mask, &z };
	static float got[N], want[N];
	struct rn_backend *b;
	struct rn_machine *m;
	bool same = true;

	for (unsigned apart = 0; apart < 2; apart++) { /* apart: by the rules for each */
		begin(t, 5);
		x = IN(N, 1);
		for (uint32_t i = 0; i < N; i++)
			((float *)t->p.vals[x].data->data)[i] = odd[i % 10];
		y = rn_prog_ew1(&t->p, RN_EW_RELU, x, &t->e);
		mask = rn_prog_dropmask(&t->p, N, 1, &one, 0.3, &d, &t->e);
		t->p.stage = apart;
		z = rn_prog_ew2(&t->p, RN_EW_MUL, y, mask, &t->e);
		g = random_const(t, N, 1, &one, -2, 2);
		loss = rn_prog_colsum(&t->p, rn_prog_ew2(&t->p, RN_EW_MUL, z, g, &t->e), &t->e);
		T_CALL(rn_prog_grad(&t->p, loss, &x, 1, &grad, &t->e), &t->e);
		t->p.vals[grad].keep = true;
		T_CALL(rn_pass_sweep(&t->p, live, 4, &t->e), &t->e);
		T_OK((readers(&t->p, y) == 1 && readers(&t->p, mask) == 1) == !apart,
		     "only the product reads the mask and what the ReLU gave");
		T_CALL(rn_cpu_backend(1, &b, &t->e), &t->e);
		T_CALL(rn_machine_new(&t->p, b, RN_F32, NULL, NULL, NULL, &m, &t->e), &t->e);
		T_CALL(rn_machine_run(m, 0, t->p.ninsts, 1, &t->e), &t->e);
		T_CALL(rn_machine_get_f32(m, grad, apart ? want : got, &t->e), &t->e);
		rn_machine_free(m);
		b->close(b);
		rn_prog_fini(&t->p);
	}
	for (uint32_t i = 0; i < N; i++)
		same = same && got[i] == want[i];
	T_OK(same, "the gradient through a ReLU and a dropout, of odd numbers");
}

int main(void)
{
	test_scalars();
	test_powers();
	test_rows();
	test_segment_max();
	test_matrices();
	test_features();
	test_sparse_and_loss();
	test_ties();
	test_economy();
	test_dropped();
	return t_done();
}
