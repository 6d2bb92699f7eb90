/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU kernels against the reference, on random shapes: no rows, one row, odd
 * widths, empty segments, missing rows, repeated rows.  Also optimizer steps, and
 * machines.  Elementwise programs are in test_elem.c.
 */
#include "kernel_ref.h"

/* ---- primitives -------------------------------------------------------------------------- */

static void test_rows(void)
{
	bool gather = true, spmm = true, sddmm = true, seg = true, csr = true, stack = true;
	uint32_t many[18];

	for (unsigned s = 0; s < NSHAPES; s++) {
		uint32_t n = shapes[s][0], w = shapes[s][1], terms, x, arg, ptr, col;
		struct rn_prog p;

		rn_prog_init(&p);
		x = flat(&p, n, w);
		need(rn_prog_gather(&p, x, indices(&p, n + n / 3, n, true), &e));
		gather &= check(&p, 0);

		rn_prog_init(&p);
		for (unsigned k = 0; k < 18; k++)
			many[k] = flat(&p, k == 3 ? n : rnd(5), w);
		need(rn_prog_stack(&p, many, 18, &e));
		stack &= check(&p, 0);

		rn_prog_init(&p);
		ptr = segments(&p, n, &terms, s % 2);
		x = flat(&p, n + 3, w);
		col = indices(&p, terms, n + 3, true);
		need(rn_prog_spmm(&p, ptr, x, col, RN_NONE, RN_NONE, &e));
		need(rn_prog_spmm(&p, ptr, x, col, flat(&p, terms, 1), RN_NONE, &e));
		need(rn_prog_spmm(&p, ptr, x, col, flat(&p, 10, 1), indices(&p, terms, 10, false),
				  &e));
		need(rn_prog_spmm(&p, ptr, flat(&p, terms, w), RN_NONE, flat(&p, terms, 1), RN_NONE,
				  &e));
		spmm &= check(&p, 1e-6);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		need(rn_prog_sddmm(&p, n, x, RN_NONE, flat(&p, n + 1, w),
				   indices(&p, n, n + 1, true), &e));
		need(rn_prog_sddmm(&p, n, x, indices(&p, n, n, true), x, RN_NONE, &e));
		sddmm &= check(&p, 1e-6);

		rn_prog_init(&p);
		ptr = segments(&p, n, &terms, s % 2);
		x = flat(&p, terms, w);
		for (unsigned k = 0; k < 2; k++) {
			struct rn_inst i = inst(RN_P_SEGARG, x, RN_NONE);

			i.idx[0] = ptr;
			i.flags = k ? RN_F_MIN : 0;
			arg = add(&p, i, n, w);
			add(&p, inst(RN_P_PICK, x, arg), n, w);
			add(&p, inst(RN_P_UNPICK, flat(&p, n, w), arg), terms, w);
			i.idx[1] = indices(&p, terms, terms, false);
			add(&p, i, n, w);
		}
		seg &= check(&p, 0);

		rn_prog_init(&p);
		ptr = segments(&p, n, &terms, false);
		col = indices(&p, terms, w, false);
		struct rn_inst i = inst(RN_P_DENSIFY, flat(&p, terms, 1), RN_NONE);

		i.idx[0] = ptr;
		i.idx[1] = col;
		x = add(&p, i, n, w);
		i.op = RN_P_ATCSR;
		i.in[0].val = flat(&p, n, w);
		add(&p, i, terms, 1);
		csr &= check(&p, 1e-6);
	}
	T_OK(gather, "gather");
	T_OK(stack, "stack, of more inputs than an instruction has");
	T_OK(spmm, "spmm, with and without weights, rows and an index of weights");
	T_OK(sddmm, "sddmm");
	T_OK(seg, "segarg, pick, unpick");
	T_OK(csr, "densify, atcsr");
}

static void test_products(void)
{
	static const uint32_t sizes[][3] = {
		{ 0, 4, 3 },	   { 3, 0, 4 },	     { 1, 1, 1 },      { 5, 7, 3 },
		{ 8, 16, 16 },	   { 13, 33, 7 },    { 30, 20, 40 },   { 25, 9, 64 },
		{ 31, 10, 65 },	   { 1500, 300, 7 }, { 2000, 16, 33 }, { 300, 70, 90 },
		{ 1030, 65, 129 }, { 9000, 5, 6 },   { 4100, 80, 70 }, { 1030, 70, 260 },
		{ 4100, 257, 66 },
	};
	bool gemm = true, tn = true, mm = true, grouped = true;

	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		uint32_t n = sizes[s][0], k = sizes[s][1], m = sizes[s][2], x;
		struct rn_prog p;

		rn_prog_init(&p);
		x = flat(&p, n, k);
		need(rn_prog_gemm(&p, x, constant(&p, 1, 2, (uint32_t[]){ k, m }), RN_NONE, false,
				  &e));
		need(rn_prog_gemm(&p, x, constant(&p, 1, 2, (uint32_t[]){ m, k }), flat(&p, 1, m),
				  true, &e));
		gemm &= check(&p, 2e-6);

		rn_prog_init(&p);
		need(rn_prog_gemm_tn(&p, flat(&p, n, k), flat(&p, n, m), &e));
		tn &= check(&p, 2e-6);

		for (unsigned f = 0; f < 2; f++) {
			uint32_t at[] = { 0, n / 3, n / 3, n - n / 4, n }, ptr, dim[2];

			rn_prog_init(&p);
			ptr = need(rn_prog_idx_copy(&p, at, 5, &e));
			x = flat(&p, n, k);
			dim[f] = k % 90;
			dim[!f] = m % 70;
			need(rn_prog_ggemm(&p, flat(&p, n, k % 90), constant(&p, 4, 2, dim), ptr, f, &e));
			need(rn_prog_ggemm_tn(&p, flat(&p, n, k % 90), flat(&p, n, m % 70), ptr, &e));
			grouped &= check(&p, 2e-6);
		}

		for (unsigned f = 0; f < 4; f++) {
			uint32_t q = k % 40, r = m % 40, a, b;

			rn_prog_init(&p);
			a = constant(&p, f == 3 ? 1 : n % 50, 2,
				     f & 1 ? (uint32_t[]){ q, 5 } : (uint32_t[]){ 5, q });
			b = constant(&p, f == 2 ? 1 : n % 50, 2,
				     f & 2 ? (uint32_t[]){ r, q } : (uint32_t[]){ q, r });
			need(rn_prog_matmul(&p, a, b, f & 1, f & 2, &e));
			mm &= check(&p, 1e-6);
		}
	}
	T_OK(gemm, "gemm, narrow and wide, transposed, with and without bias");
	T_OK(tn, "gemm_tn");
	T_OK(grouped, "ggemm and ggemm_tn: a matrix per segment");
	T_OK(mm, "matmul, transposed and broadcast");
}

static void test_features(void)
{
	bool colsum = true, fsum = true, fmax_ = true, concat = true, view = true, ce = true;

	for (unsigned s = 0; s < NSHAPES; s++) {
		uint32_t n = shapes[s][0], w = shapes[s][1], x,
			 *map = malloc((w + 1) * sizeof *map);
		struct rn_prog p;
		struct rn_inst i;

		rn_prog_init(&p);
		need(rn_prog_colsum(&p, flat(&p, n, w), &e));
		colsum &= check(&p, 1e-6);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		for (uint32_t f = 0; f < w; f++)
			map[f] = rnd(3);
		need(rn_prog_fsum(&p, x, map, 1, (uint32_t[]){ 4 }, &e));
		need(rn_prog_fsum(&p, x, NULL, 0, NULL, &e));
		fsum &= check(&p, 1e-6);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		add(&p, inst(RN_P_FMAX, x, RN_NONE), n, 1);
		add(&p, inst(RN_P_ARGMAX, x, RN_NONE), n, 1);
		fmax_ &= check(&p, 0);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		need(rn_prog_concat(&p, (uint32_t[]){ x, flat(&p, 1, 3), flat(&p, n, 2), x }, 4,
				    &e));
		concat &= check(&p, 0);

		rn_prog_init(&p);
		x = need(rn_prog_view(&p, flat(&p, n, w), 1, 1, (uint32_t[]){ n * w }, &e));
		x = need(rn_prog_view(&p, x, n, 1, &w, &e));
		need(rn_prog_ew2(&p, RN_EW_ADD, x, x, &e));
		view &= check(&p, 0);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		i = inst(RN_P_CE, x, RN_NONE);
		i.idx[0] = indices(&p, n, w, true);
		add(&p, i, n, 1);
		i.op = RN_P_CE_GRAD;
		i.nin = 2;
		i.in[1].val = flat(&p, n, 1);
		add(&p, i, n, w);
		ce &= check(&p, 2e-6);
		free(map);
	}
	T_OK(colsum, "colsum");
	T_OK(fsum, "fsum");
	T_OK(fmax_, "fmax, argmax");
	T_OK(concat, "concat");
	T_OK(view, "view");
	T_OK(ce, "ce, ce_grad");
}

/* ---- optimizer steps
 * --------------------------------------------------------------------------------- */

static void ref_adam(double *x, double *m, double *v, double g, const double *f, bool decoupled)
{
	if (decoupled)
		*x *= 1 - f[RN_A_LR] * f[RN_A_DECAY];
	else
		g += f[RN_A_DECAY] * *x;
	*m = f[RN_A_BETA1] * *m + (1 - f[RN_A_BETA1]) * g;
	*v = f[RN_A_BETA2] * *v + (1 - f[RN_A_BETA2]) * g * g;
	*x -= f[RN_A_LR] / f[RN_A_BC1] * *m / (sqrt(*v) / sqrt(f[RN_A_BC2]) + f[RN_A_EPS]);
}

static void ref_sgd(double *x, double *buf, double g, const double *f, bool has_buf)
{
	g += f[RN_S_DECAY] * *x;
	if (has_buf)
		g = *buf = f[RN_S_FIRST] ? g : f[RN_S_MOMENTUM] * *buf + g;
	*x -= f[RN_S_LR] * g;
}

/* kind: 0 Adam, 1 AdamW, 2 SGD, 3 SGD with momentum; five steps on n numbers. */
static bool steps_agree(unsigned kind, uint32_t n, unsigned level, enum rn_dtype t)
{
	double *x = calloc(4 * n, sizeof *x), *m = x + n, *v = m + n, *got = v + n, tol = 1e-5;
	struct rn_backend *b = backends[level][1];
	struct rn_store *params, *states;
	struct rn_inst i = rn_inst_init(kind < 2 ? RN_P_ADAM : RN_P_SGD);
	struct rn_machine *mach;
	uint32_t number, g;
	struct rn_prog p;
	bool ok = true;

	rn_prog_init(&p);
	if (rn_store_new(b, t, &params, &e) || rn_store_new(b, t, &states, &e) ||
	    rn_store_add(params, n, &number, &e) || rn_store_add(states, n, &number, &e) ||
	    rn_store_add(states, n, &number, &e))
		die("store");
	for (uint32_t k = 0; k < n; k++)
		x[k] = rnd_real();
	if (rn_store_set(params, 0, x, &e))
		die("set");
	g = flat(&p, 1, n);
	for (uint32_t k = 0; k < n; k++) { /* not near 0, where Adam's step is ill-conditioned */
		float *x0 = (float *)p.vals[g].data->data + k;

		*x0 = fabsf(*x0) < 0.3f ? 0.5f : *x0;
	}
	i.in[0].val = need(rn_prog_param(&p, RN_V_PARAM, 0, 1, &n, &e));
	i.in[1].val = g;
	i.nin = kind < 2 ? 4 : kind == 2 ? 2 : 3;
	if (kind != 2)
		i.in[2].val = need(rn_prog_param(&p, RN_V_STATE, 0, 1, &n, &e));
	if (kind < 2)
		i.in[3].val = need(rn_prog_param(&p, RN_V_STATE, 1, 1, &n, &e));
	i.flags = kind == 1 ? RN_F_DECOUPLED : 0;
	if (rn_prog_add(&p, &i, 0, 0, NULL, &e) != i.in[0].val)
		die("step");
	if (rn_machine_new(&p, b, t, params, states, NULL, &mach, &e))
		die("machine");
	for (unsigned s = 1; s <= 5; s++) {
		double f[RN_STEP_F] = { 0.01, 0.9, 0.999, 1e-8, 0.05, 1 - pow(0.9, s), 1 - pow(0.999, s) };

		if (kind >= 2) {
			f[RN_S_DECAY] = 0.05;
			f[RN_S_FIRST] = s == 1;
		}
		rn_machine_set_f(mach, 0, f);
		if (rn_machine_run(mach, 0, 1, s, &e))
			die("run");
		for (uint32_t k = 0; k < n; k++) {
			double grad = ((const float *)p.vals[g].data->data)[k];

			if (kind < 2)
				ref_adam(&x[k], &m[k], &v[k], grad, f, kind == 1);
			else
				ref_sgd(&x[k], &m[k], grad, f, kind == 3);
		}
	}
	if (rn_store_get(params, 0, got, &e))
		die("get");
	tol = t == RN_F32 ? 1e-5 : 1e-13;
	for (uint32_t k = 0; k < n; k++)
		ok &= fabs(got[k] - x[k]) <= tol * (1 + fabs(x[k]));
	rn_machine_free(mach);
	rn_store_free(params);
	rn_store_free(states);
	rn_prog_fini(&p);
	free(x);
	return ok;
}

static void test_steps(void)
{
	static const char *const names[] = { "adam", "adamw", "sgd", "sgd with momentum" };

	for (unsigned kind = 0; kind < 4; kind++) {
		bool ok = true;

		for (unsigned l = 0; l < nlevels; l++)
			for (uint32_t n = 1; n < 30000; n = n * 13 + 4)
				ok &= steps_agree(kind, n, l, RN_F32) &&
				      steps_agree(kind, n, l, RN_F64);
		T_OK(ok, "%s follows PyTorch's formula", names[kind]);
	}
}

/* ---- machines
 * ------------------------------------------------------------------------------------------- */

/* A chain of values of mixed sizes in one slab: the same numbers as when all are kept. */
static void test_slab(void)
{
	bool ok = true;

	for (unsigned round = 0; round < 20; round++) {
		uint32_t vals[40], n = 0;
		struct rn_machine *m[2];
		struct rn_prog p;

		rn_prog_init(&p);
		vals[n++] = flat(&p, 50, 20);
		while (n < 40) {
			uint32_t a = vals[n - 1 - rnd(n < 5 ? n : 5)], b = vals[n - 1];

			vals[n++] =
			    need(rnd(3) == 0 ? rn_prog_view(&p, a, 50, 2, (uint32_t[]){ 4, 5 }, &e)
				 : rnd(2)    ? rn_prog_ew1(&p, RN_EW_TANH, a, &e)
					  : rn_prog_gather(&p, b, indices(&p, 50, 50, true), &e));
			vals[n - 1] =
			    need(rn_prog_view(&p, vals[n - 1], 50, 1, (uint32_t[]){ 20 }, &e));
		}
		p.vals[vals[n - 1]].keep = true;
		m[0] = machine(&p, backends[0][0], RN_F32);
		for (uint32_t v = 0; v < p.nvals; v++)
			p.vals[v].keep = true;
		m[1] = machine(&p, backends[0][0], RN_F32);
		ok &= !memcmp(rn_machine_ptr(m[0], vals[n - 1], NULL),
			      rn_machine_ptr(m[1], vals[n - 1], NULL), 50 * 20 * sizeof(float));
		ok &= rn_machine_bytes(m[0]) < rn_machine_bytes(m[1]);
		rn_machine_free(m[0]);
		rn_machine_free(m[1]);
		rn_prog_fini(&p);
	}
	T_OK(ok, "values that share a slab do not overwrite each other");
}

static void test_machine(void)
{
	double x[3] = { 1, 2, 3 }, y[3], shared[8];
	void *mem[8] = { NULL };
	struct rn_machine *m;
	struct rn_prog p;
	uint32_t a, b, c, i;

	rn_prog_init(&p);
	a = need(rn_prog_const_fill(&p, 1, 3, 0, &e));
	b = need(rn_prog_view(&p, a, 3, 1, (uint32_t[]){ 1 }, &e));
	c = need(rn_prog_ew1(&p, RN_EW_EXP, b, &e));
	b = need(rn_prog_ew2(&p, RN_EW_DIV, b, b, &e));
	mem[c] = shared;
	if (rn_machine_new(&p, backends[0][0], RN_F64, NULL, NULL, mem, &m, &e))
		die("machine");
	T_OK(rn_machine_ptr(m, c, NULL) == (void *)shared, "a value lies in the memory given");
	T_CALL(rn_machine_find_nonfinite(m, 0, p.ninsts, 0, &i, &e), &e);
	T_OK(i == p.ninsts - 1, "0 / 0 is found");
	T_CALL(rn_machine_set_f64(m, a, x, &e), &e);
	T_CALL(rn_machine_find_nonfinite(m, 0, p.ninsts, 0, &i, &e), &e);
	T_CALL(rn_machine_get_f64(m, c, y, &e), &e);
	T_OK(i == RN_NONE && fabs(y[2] - exp(3)) < 1e-13,
	     "a constant that is set is used, through its view");
	rn_machine_free(m);
	if (rn_machine_new(&p, backends[0][0], RN_F32, NULL, NULL, NULL, &m, &e))
		die("machine");
	T_CALL(rn_machine_set_f64(m, a, x, &e), &e);
	T_CALL(rn_machine_run(m, 0, p.ninsts, 0, &e), &e);
	T_CALL(rn_machine_get_f64(m, b, y, &e), &e);
	T_OK(y[0] == 1 && *(float *)p.vals[a].data->data == 0,
	     "setting a constant in float leaves the shared one alone");
	rn_machine_free(m);
	p.insts[p.ninsts - 1].in[0].val = p.nvals;
	T_OK(rn_machine_new(&p, backends[0][0], RN_F32, NULL, NULL, NULL, &m, &e) == RN_EBUG,
	     "a broken program is refused");
	rn_prog_fini(&p);
}

/* exp(0) of so many rows, by a machine of the store. */
static struct rn_machine *ones(struct rn_prog *p, struct rn_store *s, uint32_t rows, uint32_t *v)
{
	struct rn_machine *m;

	rn_prog_init(p);
	*v = need(rn_prog_ew1(p, RN_EW_EXP, need(rn_prog_const_fill(p, rows, 1, 0, &e)), &e));
	p->vals[*v].keep = true;
	if (rn_machine_new(p, backends[0][0], RN_F32, s, NULL, NULL, &m, &e))
		die("machine");
	return m;
}

/* Machines of one store lie in one slab where it is large enough, and outlive each other. */
static void test_shared_slab(void)
{
	struct rn_machine *large, *small, *larger;
	struct rn_prog p[3];
	struct rn_store *s;
	uint32_t v[3];
	float x[300];

	T_CALL(rn_store_new(backends[0][0], RN_F32, &s, &e), &e);
	large = ones(&p[0], s, 200, &v[0]);
	small = ones(&p[1], s, 100, &v[1]);
	larger = ones(&p[2], s, 300, &v[2]);
	T_OK(rn_machine_ptr(small, v[1], NULL) == rn_machine_ptr(large, v[0], NULL),
	     "the smaller in the larger");
	T_OK(rn_machine_ptr(larger, v[2], NULL) != rn_machine_ptr(large, v[0], NULL),
	     "what does not fit has a slab of its own");
	rn_machine_free(large);
	T_CALL(rn_machine_run(small, 0, p[1].ninsts, 0, &e), &e);
	T_CALL(rn_machine_get_f32(small, v[1], x, &e), &e);
	T_OK(x[0] == 1 && x[99] == 1, "the slab outlives the machine that it was made for");
	rn_store_free(s);
	T_CALL(rn_machine_run(larger, 0, p[2].ninsts, 0, &e), &e);
	T_CALL(rn_machine_get_f32(larger, v[2], x, &e), &e);
	T_OK(x[0] == 1 && x[299] == 1, "and the store");
	rn_machine_free(small);
	rn_machine_free(larger);
	for (unsigned k = 0; k < 3; k++)
		rn_prog_fini(&p[k]);
}

int main(void)
{
	open_backends();
	test_shared_slab();
	T_OK(nlevels >= 1, "%u levels of instruction set", nlevels);
	test_rows();
	test_products();
	test_features();
	test_steps();
	test_slab();
	test_machine();
	close_backends();
	return t_done();
}
