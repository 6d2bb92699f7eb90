/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients against central differences in double: every primitive with its
 * variants, every scalar function, broadcasts, and composed expressions.
 *
 * A case builds a value from inputs; the loss is its product with fixed random
 * numbers, summed.  Every number of every input is moved by ±H.
 */
#include "t.h"

#include "../../lib/base/rng.h"
#include "../../lib/base/str.h"
#include "../../lib/dev/machine.h"
#include "../../lib/exec/pass.h"
#include "../../lib/expr/emb.h"
#include "../../lib/expr/grad.h"
#include "../../lib/rel/key.h"

#include <math.h>

enum { MAX_IN = 8, NO = (int)UINT32_MAX };
static const double H = 1e-5, TOLERANCE = 2e-6;

/* ---- a program under test ----------------------------------------------------------- */

struct trial {
	struct rn_prog p;
	struct rn_err e;
	uint32_t in[MAX_IN], nin;
	uint64_t seed;
};

static float draw(struct trial *t, uint32_t value, uint32_t i, double lo, double hi)
{
	struct rn_rng_key key = { { (uint32_t)t->seed, value } };

	return (float)(lo + (hi - lo) * rn_rng_uniform(key, i, 0, 0));
}

static uint32_t random_const(struct trial *t, uint32_t rows, uint32_t rank, const uint32_t *dim,
			     double lo, double hi)
{
	uint32_t width = 1, n;
	struct rn_buf *b;

	for (uint32_t i = 0; i < rank; i++)
		width *= dim[i];
	n = rows * width;
	T_CALL(rn_buf_new(n * sizeof(float), "test", &b, &t->e), &t->e);
	for (uint32_t i = 0; i < n; i++)
		((float *)b->data)[i] = draw(t, t->p.nvals, i, lo, hi);
	return rn_prog_const(&t->p, rows, rank, dim, b, &t->e);
}

/* An input that gradients are taken towards. */
static uint32_t input(struct trial *t, uint32_t rows, uint32_t rank, const uint32_t *dim, double lo,
		      double hi)
{
	uint32_t v = random_const(t, rows, rank, dim, lo, hi);

	t->p.vals[v].diff = true;
	t->in[t->nin++] = v;
	return v;
}

#define IN(rows, ...) IN_RANGE(rows, -2, 2, __VA_ARGS__)
#define IN_RANGE(rows, lo, hi, ...)                                                               \
	input(t, rows, sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t),                    \
	      (uint32_t[]){ __VA_ARGS__ }, lo, hi)
#define IDX(...)                                                                                  \
	rn_prog_idx_copy(&t->p, (const uint32_t *)(const int[]){ __VA_ARGS__ },                   \
			 sizeof((int[]){ __VA_ARGS__ }) / sizeof(int), &t->e)

static void begin(struct trial *t, uint64_t seed)
{
	memset(t, 0, sizeof *t);
	t->seed = seed;
	rn_prog_init(&t->p);
}

/* The sum of the value's numbers, each times a fixed random one. */
static uint32_t loss_of(struct trial *t, uint32_t v)
{
	struct rn_val x = t->p.vals[v];
	uint32_t w = random_const(t, x.rows, x.rank, x.dim, -1, 1);

	v = rn_prog_ew2(&t->p, RN_EW_MUL, v, w, &t->e);
	v = rn_prog_fsum(&t->p, v, NULL, 0, NULL, &t->e);
	return rn_prog_colsum(&t->p, v, &t->e);
}

static double run_loss(struct rn_machine *m, struct trial *t, uint32_t loss)
{
	double x = NAN;

	T_CALL(rn_machine_run(m, 0, t->p.ninsts, 3, &t->e), &t->e);
	T_CALL(rn_machine_get_f64(m, loss, &x, &t->e), &t->e);
	return x;
}

/* Compare the gradients of `loss` towards the inputs with differences. */
static void check_loss(struct trial *t, const char *name, uint32_t loss)
{
	uint32_t grad[MAX_IN];
	struct rn_backend *b;
	struct rn_machine *m;
	double worst = 0;
	char where[128] = "";
	bool same = true;

	if (t->e.code) {
		T_OK(false, "%s: %s", name, t->e.msg);
		rn_prog_fini(&t->p);
		return;
	}
	T_CALL(rn_prog_grad(&t->p, loss, t->in, t->nin, grad, &t->e), &t->e);
	t->p.vals[loss].keep = true;
	for (uint32_t k = 0; k < t->nin && !t->e.code; k++) {
		same = same && t->p.vals[grad[k]].rows == t->p.vals[t->in[k]].rows &&
		       t->p.vals[grad[k]].rank == t->p.vals[t->in[k]].rank &&
		       !memcmp(t->p.vals[grad[k]].dim, t->p.vals[t->in[k]].dim,
			       t->p.vals[grad[k]].rank * sizeof(uint32_t));
		t->p.vals[grad[k]].keep = true;
	}
	T_OK(same && !t->e.code, "%s: a gradient has the shape of its value %s", name, t->e.msg);
	if (t->e.code)
		return;
	T_CALL(rn_cpu_backend(1, &b, &t->e), &t->e);
	T_CALL(rn_machine_new(&t->p, b, RN_F64, NULL, NULL, NULL, &m, &t->e), &t->e);
	for (uint32_t k = 0; k < t->nin && !t->e.code; k++) {
		uint32_t n = t->p.vals[t->in[k]].rows * t->p.vals[t->in[k]].width;
		double x[256], g[256];

		T_CALL(rn_machine_run(m, 0, t->p.ninsts, 3, &t->e), &t->e);
		T_CALL(rn_machine_get_f64(m, grad[k], g, &t->e), &t->e);
		T_CALL(rn_machine_get_f64(m, t->in[k], x, &t->e), &t->e);
		for (uint32_t i = 0; i < n; i++) {
			double old = x[i], up, down, d;

			x[i] = old + H;
			T_CALL(rn_machine_set_f64(m, t->in[k], x, &t->e), &t->e);
			up = run_loss(m, t, loss);
			x[i] = old - H;
			T_CALL(rn_machine_set_f64(m, t->in[k], x, &t->e), &t->e);
			down = run_loss(m, t, loss);
			x[i] = old;
			T_CALL(rn_machine_set_f64(m, t->in[k], x, &t->e), &t->e);
			d = fabs((up - down) / (2 * H) - g[i]) / (1 + fabs(g[i]));
			if (!(d <= worst)) {
				worst = d;
				snprintf(where, sizeof where, " at input %u, %u: %g, not %g", k, i,
					 g[i], (up - down) / (2 * H));
			}
		}
	}
	T_OK(worst <= TOLERANCE, "%s: gradient%s", name, worst <= TOLERANCE ? "" : where);
	rn_machine_free(m);
	b->close(b);
	rn_prog_fini(&t->p);
}

static void check(struct trial *t, const char *name, uint32_t v)
{
	if (t->e.code || v == RN_NONE) {
		T_OK(false, "%s: %s", name, t->e.msg);
		rn_prog_fini(&t->p);
		return;
	}
	check_loss(t, name, loss_of(t, v));
}

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

/* Rows, rank and dims of an operand. */
struct shape {
	uint32_t rows, rank, dim[2];
};

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

static uint32_t make(struct trial *t, enum rn_prim op, unsigned flags, uint32_t a, uint32_t b,
		     uint32_t i0, uint32_t i1, struct shape s)
{
	struct rn_inst i = rn_inst_init(op);

	i.flags = flags;
	i.nin = b == RN_NONE ? 1 : 2;
	i.in[0].val = a;
	i.in[1].val = b;
	i.idx[0] = i0;
	i.idx[1] = i1;
	return rn_prog_add(&t->p, &i, s.rows, s.rank, s.dim, &t->e);
}

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

/* ---- expressions -------------------------------------------------------------------- */

static int as_input(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e)
{
	struct trial *t = arg;

	(void)e;
	*val = input(t, 1, s->rank, s->dim, -1, 1);
	return 0;
}

struct groups {
	struct trial *t;
	uint32_t ptr, pos, of;
};

static int group_softmax(void *arg, uint32_t val, size_t nby, const char *const *by, uint32_t *out,
			 struct rn_err *e)
{
	struct groups *g = arg;

	(void)by;
	T_OK(nby == 1, "softmax names its columns");
	return rn_lower_softmax(&g->t->p, val, g->ptr, g->pos, g->of, out, e);
}

/* Over 4 rows: h [3], a [1], m [2,2], s sparse [5], k [2] through a map with a hole. */
static uint32_t expression(struct trial *t, const char *text, bool dropped)
{
	struct rn_ctx ctx = { .threads = 1, .seed = 1 };
	struct groups g = { t, 0, 0, 0 };
	struct rn_lower_env env = { .ctx = &ctx, .prog = &t->p, .training = true, .stage = "st",
				    .rows = 4, .nparts = 5, .param = as_input, .param_arg = t,
				    .softmax = group_softmax, .rows_arg = &g };
	char names[5][2] = { "h", "a", "m", "s", "k" };
	struct rn_lpart part[5], out;
	struct rn_eexpr *x;
	uint32_t v = RN_NONE;

	g.ptr = IDX(0, 2, 3);
	g.pos = dropped ? IDX(3, 0, 2) : RN_NONE;
	g.of = dropped ? IDX(0, NO, 1, 0) : IDX(0, 0, 1, 1);
	if (!dropped)
		g.ptr = IDX(0, 2, 4);
	for (unsigned k = 0; k < 5; k++)
		part[k] = (struct rn_lpart){ .name = names[k], .base_rows = k == 4 ? 3 : 4,
					     .ptr = RN_NONE, .col = RN_NONE, .map = RN_NONE };
	part[0].val = IN(4, 3);
	part[0].shape = (struct rn_shape){ 1, { 3 } };
	part[1].val = IN(4, 1);
	part[1].shape = (struct rn_shape){ 1, { 1 } };
	part[2].val = IN(4, 2, 2);
	part[2].shape = (struct rn_shape){ 2, { 2, 2 } };
	part[3].val = IN(5, 1);
	part[3].shape = (struct rn_shape){ 1, { 5 } };
	part[3].sparse = true;
	part[3].ptr = IDX(0, 2, 2, 3, 5);
	part[3].col = IDX(0, 4, 2, 1, 2);
	part[4].val = IN(3, 2);
	part[4].shape = (struct rn_shape){ 1, { 2 } };
	part[4].map = IDX(2, NO, 2, 0);
	env.parts = part;
	T_CALL(rn_eexpr_parse(text, &x, &t->e), &t->e);
	if (!rn_eexpr_lower(x, &env, &out, &t->e))
		T_CALL(rn_lpart_dense(&t->p, &out, &v, &t->e), &t->e);
	rn_eexpr_free(x);
	return v;
}

static void test_expressions(void)
{
	static const char *const texts[] = {
		"Linear(3, 2)(Dropout(0.3)(h))",
		"ReLU(Linear(3, 2)(h)) * a + k",
		"Linear(2, 3)(m) @ h",
		"view(3)(k @ Linear(2, 3, False)(transpose(m))) * h + 0 * a",
		"LayerNorm(3)(h)",
		"LayerNorm(2)(m)",
		"Softmax()(h)",
		"Softmax(1)(m)",
		"LogSoftmax(-1)(m)",
		"GELU()(h) + SiLU()(h)",
		"GELU(approximate=\"tanh\")(h)",
		"ELU(0.7)(h) * LeakyReLU(0.3)(h)",
		"Softplus(1.5, 1)(h)",
		"sqrt(rowsum(h * h)) / (1 + exp(a))",
		"(abs(h) + 0.1) ** a",
		"clamp(h, -0.5, 0.7) + rowmax(h)",
		"Concat(h, a, view(4)(m), Tensor(1, 2))",
		"slice(1, 3)(h) * k",
		"Bilinear(3, 2, 2)(h, k)",
		"Tensor(1, 3, 0.5) * h + Tensor(1, 1.5)",
		"h @ Tensor(3, 2) @ Tensor(2, 1)",
		"dot(h, h) * rowmean(m)",
		"Dropout(0.3)(ReLU(h)) * a",
		"Linear(2, 2, False)(Dropout(0.5)(ReLU(Linear(3, 2)(h))))",
		"Dropout(0.4)(ReLU(h)) * ReLU(h)",
		"Dropout(1)(ReLU(h)) + h",
		/* sparse */
		"s",
		"Linear(5, 2)(s)",
		"Linear(5, 2)(Dropout(0.4)(s))",
		"s / clamp(rowsum(abs(s)), 0.1, 1e9)",
		"relu(s) * a + s",
		"s * Linear(3, 5)(h)",
		"s * Tensor(1, 5) @ Tensor(5, 2)",
		"exp(s)",
		"rowsum(s * s) + dot(s, Linear(3, 5)(h))",
		"tanh(s) @ Linear(3, 5)(h)",
		/* over rows */
		"softmax(h; t)",
		"softmax(a; t) * k",
		"softmax(Linear(3, 2)(h) * 3; t)",
	};

	for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
		for (unsigned dropped = 0; dropped < (strstr(texts[k], "softmax(") ? 2 : 1); dropped++) {
			struct trial trial, *t = &trial;

			begin(t, 1000 + k);
			check(t, texts[k], expression(t, texts[k], dropped));
		}
}

/* A GCN layer: sparse input, dropout, weighted neighbours, a left join, cross-entropy over some
 * rows; with the passes that run before gradients, or without. */
static void gcn(struct trial *t, unsigned passes, const char *name)
{
	uint32_t moved = 0;
	static const uint32_t src[] = { 0, 1, 2, 3, 3, 1, 0 };
	uint32_t x = expression(t, "Linear(5, 3, False)(Dropout(0.4)(s))", false), w = IN(7, 1);
	uint32_t w2 = IN(1, 3, 2), rows, h, loss;

	h = rn_prog_gather(&t->p, x, rn_prog_idx_copy(&t->p, src, 7, &t->e), &t->e);
	h = rn_prog_ew2(&t->p, RN_EW_MUL, w, h, &t->e);
	h = rn_prog_spmm(&t->p, IDX(0, 3, 3, 5, 7), h, IDX(6, 0, 2, 1, 5, 3, 4), RN_NONE, RN_NONE,
			 &t->e);
	h = rn_prog_ew1(&t->p, RN_EW_TANH, h, &t->e);
	h = rn_prog_gemm(&t->p, h, w2, RN_NONE, false, &t->e);
	rows = IDX(3, NO, 0);
	h = rn_prog_gather(&t->p, h, rows, &t->e);
	h = make(t, RN_P_CE, 0, h, RN_NONE, IDX(1, 0, 1), RN_NONE, (struct shape){ 3, 1, { 1 } });
	loss = rn_prog_ew_imm(&t->p, RN_EW_MUL, rn_prog_colsum(&t->p, h, &t->e), 1.0 / 3, false,
			      &t->e);
	for (uint32_t k = 0; k < t->nin; k++)
		t->p.vals[t->in[k]].keep = true;
	if (passes & 1) {
		T_CALL(rn_pass_hoist(&t->p, &moved, &t->e), &t->e);
		T_CALL(rn_pass_sparse(&t->p, &moved, &t->e), &t->e);
	}
	if (passes & 2)
		T_CALL(rn_pass_restrict(&t->p, &loss, 1, &t->e), &t->e);
	check_loss(t, name, loss);
}

int main(void)
{
	struct trial t;

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
	test_expressions();
	begin(&t, 7);
	gcn(&t, 0, "a GCN layer");
	begin(&t, 7);
	gcn(&t, 1, "a GCN layer through spmm");
	begin(&t, 7);
	gcn(&t, 3, "a GCN layer of some rows");
	return t_done();
}
