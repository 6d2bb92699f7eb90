/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise kernels: every scalar function on operands of all kinds, fused
 * programs, the accuracy of the elementary functions, and dropout.
 */
#include "kernel_ref.h"

/* ---- elementwise ---------------------------------------------------------------------------- */

static void test_ew(void)
{
	bool ok = true;

	for (unsigned fn = RN_EW_NEG; fn < RN_NEW; fn++) {
		bool log_like = fn == RN_EW_LOG || fn == RN_EW_LOG1P || fn == RN_EW_SQRT;

		for (unsigned s = 0; s < NSHAPES; s++) {
			uint32_t n = shapes[s][0], w = shapes[s][1], x[3];
			struct rn_prog p;

			rn_prog_init(&p);
			x[0] = flat(&p, n, w);
			x[1] = s % 3 == 0   ? flat(&p, 1, w)
			       : s % 3 == 1 ? flat(&p, n, 1)
					    : flat(&p, n, w);
			x[2] = flat(&p, 1, 1);
			if (log_like || fn == RN_EW_POW)
				x[0] = need(rn_prog_ew1(&p, RN_EW_ABS, x[0], &e));
			if (fn == RN_EW_DIV)
				x[1] = need(rn_prog_ew1(&p, RN_EW_EXP, x[1], &e));
			if (rn_ew_info[fn].arity == 1)
				need(rn_prog_ew1(&p, fn, x[0], &e));
			else if (rn_ew_info[fn].arity == 2)
				need(rn_prog_ew2(&p, fn, x[0], x[1], &e));
			else
				need(rn_prog_ew3(&p, fn, x[0], x[1], x[2], &e));
			ok &= check(&p, 1e-6);
		}
	}
	T_OK(ok, "every scalar function, operands of all kinds");
}

/* Shapes that broadcast inside a row go through feature maps. */
static void test_broadcast(void)
{
	static const uint32_t dims[][4] = { { 4, 3, 2, 1 }, { 1, 3, 1, 1 }, { 4, 1, 2, 1 },
					    { 4, 1, 1, 1 }, { 1, 1, 1, 1 }, { 1, 3, 2, 1 } };
	bool ok = true;

	for (unsigned a = 0; a < 6; a++)
		for (unsigned b = 0; b < 6; b++)
			for (uint32_t n = 0; n < 500; n = n * 7 + 1) {
				struct rn_prog p;
				uint32_t x, y;

				rn_prog_init(&p);
				x = constant(&p, rnd(2) ? n : 1, 3, dims[a]);
				y = constant(&p, n, 3, dims[b]);
				need(rn_prog_ew2(&p, RN_EW_SUB, x, y, &e));
				ok &= check(&p, 1e-7);
			}
	T_OK(ok, "broadcast of features and rows");
}

/* A random chain as one fused program gives the bits of its single steps. */
static bool fused_equals_steps(uint32_t n, uint32_t w, unsigned level)
{
	static const uint8_t fns[] = { RN_EW_NEG, RN_EW_EXP, RN_EW_TANH, RN_EW_SIGMOID, RN_EW_RELU,
				       RN_EW_ADD, RN_EW_SUB, RN_EW_MUL, RN_EW_MAX, RN_EW_LT,
				       RN_EW_SELECT, RN_EW_FMA };
	struct rn_elem_step steps[24];
	uint32_t val[RN_ELEM_REGS], in[4], nsteps = 0;
	struct rn_inst i = rn_inst_init(RN_P_ELEM);
	struct rn_machine *m;
	struct rn_prog p;
	uint8_t last;
	bool same;

	rn_prog_init(&p);
	in[0] = flat(&p, n, w);
	in[1] = flat(&p, 1, w);
	in[2] = flat(&p, n, 1);
	in[3] = flat(&p, 1, 1);
	for (uint32_t k = 0; k < 4; k++) {
		i.in[k].val = val[k] = in[k];
		steps[nsteps++] = (struct rn_elem_step){ .fn = RN_EW_LOAD, .dst = (uint8_t)k,
							 .a = (uint8_t)k };
	}
	for (uint32_t k = 0; k < 16; k++) {
		uint8_t fn = fns[rnd(sizeof fns)], dst = (uint8_t)rnd(10);
		struct rn_elem_step *t = &steps[nsteps++];

		if (dst >= k + 4)
			dst = (uint8_t)(k + 4);
		*t = (struct rn_elem_step){ .fn = fn, .dst = dst, .a = (uint8_t)rnd(4),
					    .b = (uint8_t)rnd(4), .c = (uint8_t)rnd(4) };
		val[dst] = rn_ew_info[fn].arity == 1
				   ? rn_prog_ew1(&p, fn, val[t->a], &e)
				   : rn_ew_info[fn].arity == 2
				   ? rn_prog_ew2(&p, fn, val[t->a], val[t->b], &e)
				   : rn_prog_ew3(&p, fn, val[t->a], val[t->b], val[t->c], &e);
		need(val[dst]);
	}
	/* The last step brings all to the full shape. */
	last = steps[nsteps - 1].dst;
	steps[nsteps++] = (struct rn_elem_step){ .fn = RN_EW_LOAD, .dst = 10, .a = 0 };
	steps[nsteps++] = (struct rn_elem_step){ .fn = RN_EW_ADD, .dst = 10, .a = last, .b = 10 };
	val[10] = need(rn_prog_ew2(&p, RN_EW_ADD, val[last], in[0], &e));
	i.nin = 4;
	i.elem = (struct rn_elem){ .nsteps = nsteps, .nregs = 11, .result = 10, .steps = steps };
	val[11] = add(&p, i, n, w);
	p.vals[val[10]].keep = p.vals[val[11]].keep = true;
	m = machine(&p, backends[level][0], RN_F32);
	same = !memcmp(rn_machine_ptr(m, val[10], NULL), rn_machine_ptr(m, val[11], NULL),
		       (size_t)n * w * sizeof(float));
	rn_machine_free(m);
	rn_prog_fini(&p);
	return same;
}

static void test_elem(void)
{
	bool ok = true;

	for (unsigned l = 0; l < nlevels; l++)
		for (unsigned s = 0; s < NSHAPES; s++)
			for (unsigned k = 0; k < 6; k++)
				ok &= fused_equals_steps(shapes[s][0], shapes[s][1], l);
	T_OK(ok, "a fused program gives the bits of its steps");
}

/* Rows from anywhere, and their sums over segments, weighted too, give the bits of gathers,
 * steps and a sparse product. */
static bool gathered_equals_steps(uint32_t n, uint32_t w, unsigned level)
{
	struct rn_elem_step steps[] = {
		{ .fn = RN_EW_LOAD, .dst = 0, .a = 0 },	{ .fn = RN_EW_LOAD, .dst = 1, .a = 1 },
		{ .fn = RN_EW_MUL, .dst = 0, .a = 0, .b = 1 }, { .fn = RN_EW_LOAD, .dst = 2, .a = 2 },
		{ .fn = RN_EW_ADD, .dst = 0, .a = 0, .b = 2 }, { .fn = RN_EW_LOAD, .dst = 1, .a = 3 },
		{ .fn = RN_EW_SUB, .dst = 0, .a = 0, .b = 1 }, { .fn = RN_EW_SIGMOID, .dst = 0, .a = 0 },
	};
	uint32_t in[5], map[3], fmap, ptr, terms, v, wide = w + 2, f[800], wi;
	struct rn_inst i = rn_inst_init(RN_P_ELEM);
	struct rn_machine *m;
	struct rn_prog p;
	uint32_t out[6];
	bool same = true;

	rn_prog_init(&p);
	ptr = segments(&p, n, &terms, true);
	for (unsigned k = 0; k < 3; k++)
		map[k] = indices(&p, terms, 9 + k, true);
	for (uint32_t k = 0; k < w; k++)
		f[k] = rnd(wide);
	in[0] = flat(&p, 9, w);
	in[1] = flat(&p, 10, 1);
	in[2] = flat(&p, 11, wide);
	in[3] = flat(&p, rnd(2) ? terms : 1, w);
	in[4] = flat(&p, 7, 1);
	wi = indices(&p, terms, 7, false);
	v = need(rn_prog_ew2(&p, RN_EW_MUL, need(rn_prog_gather(&p, in[0], map[0], &e)),
			     need(rn_prog_gather(&p, in[1], map[1], &e)), &e));
	v = need(rn_prog_ew2(&p, RN_EW_ADD, v,
			     need(rn_prog_features(&p, need(rn_prog_gather(&p, in[2], map[2], &e)), f, 1,
						   &w, &e)), &e));
	fmap = p.insts[p.ninsts - 2].in[0].fmap == RN_NONE ? p.insts[p.ninsts - 3].in[0].fmap
							   : p.insts[p.ninsts - 2].in[0].fmap;
	v = need(rn_prog_ew2(&p, RN_EW_SUB, v, in[3], &e));
	out[0] = v = need(rn_prog_ew1(&p, RN_EW_SIGMOID, v, &e));
	out[2] = need(rn_prog_spmm(&p, ptr, v, RN_NONE, RN_NONE, RN_NONE, &e));
	out[4] = need(rn_prog_spmm(&p, ptr, v, RN_NONE, in[4], wi, &e));
	for (unsigned k = 0; k < 5; k++)
		i.in[k] = (struct rn_in){ in[k], RN_NONE, k < 3 ? map[k] : k == 4 ? wi : RN_NONE };
	i.in[2].fmap = fmap;
	i.nin = 4;
	i.elem = (struct rn_elem){ .nsteps = 8, .nregs = 3, .result = 0, .steps = steps };
	out[1] = add(&p, i, terms, w);
	i.op = RN_P_SEGELEM;
	i.idx[0] = ptr;
	out[3] = add(&p, i, n, w);
	i.flags = RN_F_WEIGHTED;
	i.nin = 5;
	out[5] = add(&p, i, n, w);
	for (unsigned k = 0; k < 6; k++)
		p.vals[out[k]].keep = true;
	for (unsigned t = 0; t < 2; t++) {
		m = machine(&p, backends[level][t], t ? RN_F64 : RN_F32);
		for (unsigned k = 0; k < 6; k += 2)
			same &= !memcmp(rn_machine_ptr(m, out[k], NULL),
					rn_machine_ptr(m, out[k + 1], NULL),
					count(&p, out[k]) * (t ? sizeof(double) : sizeof(float)));
		rn_machine_free(m);
	}
	rn_prog_fini(&p);
	return same;
}

/* A product, sum or difference of two rows has a kernel of its own. */
static bool pair_equals_steps(uint32_t n, uint32_t w, unsigned level, enum rn_ew fn)
{
	struct rn_elem_step steps[] = { { .fn = RN_EW_LOAD, .dst = 0, .a = 1 },
					{ .fn = RN_EW_LOAD, .dst = 1, .a = 0 },
					{ .fn = (uint8_t)fn, .dst = 0, .a = 1, .b = 0 } };
	struct rn_inst i = rn_inst_init(RN_P_SEGELEM);
	uint32_t x, y, map, ptr, terms, v, out[2];
	struct rn_machine *m;
	struct rn_prog p;
	bool same;

	rn_prog_init(&p);
	ptr = segments(&p, n, &terms, true);
	map = indices(&p, terms, 9, true);
	x = flat(&p, 9, w);
	y = flat(&p, terms, w);
	v = need(rn_prog_ew2(&p, fn, need(rn_prog_gather(&p, x, map, &e)), y, &e));
	out[0] = need(rn_prog_spmm(&p, ptr, v, RN_NONE, RN_NONE, RN_NONE, &e));
	i.nin = 2;
	i.in[0] = (struct rn_in){ x, RN_NONE, map };
	i.in[1].val = y;
	i.idx[0] = ptr;
	i.elem = (struct rn_elem){ .nsteps = 3, .nregs = 2, .result = 0, .steps = steps };
	out[1] = add(&p, i, n, w);
	p.vals[out[0]].keep = p.vals[out[1]].keep = true;
	m = machine(&p, backends[level][1], RN_F32);
	same = !memcmp(rn_machine_ptr(m, out[0], NULL), rn_machine_ptr(m, out[1], NULL),
		       count(&p, out[0]) * sizeof(float));
	rn_machine_free(m);
	rn_prog_fini(&p);
	return same;
}

static void test_gathered(void)
{
	bool ok = true;

	for (unsigned l = 0; l < nlevels; l++)
		for (unsigned s = 0; s < NSHAPES; s++)
			if (shapes[s][0] && shapes[s][0] < 5000)
				ok &= gathered_equals_steps(shapes[s][0], shapes[s][1], l) &&
				      pair_equals_steps(shapes[s][0], shapes[s][1], l, RN_EW_MUL) &&
				      pair_equals_steps(shapes[s][0], shapes[s][1], l, RN_EW_ADD) &&
				      pair_equals_steps(shapes[s][0], shapes[s][1], l, RN_EW_SUB);
	T_OK(ok, "rows from anywhere, and their sums, give the bits of gathers and products");
}

/* ---- accuracy ----------------------------------------------------------------------------------
 */

/* Distance in units of the last place of the true value in float. */
static double ulps32(double got, double want)
{
	int ex;

	if (got == want || (got != got && want != want))
		return 0;
	if (fabs(want) > FLT_MAX || fabs(got) > FLT_MAX) /* overflow may round either way */
		return fabs((double)(float)want - got) > 0 ? INFINITY : 0;
	frexp(want, &ex);
	return fabs(got - want) / ldexp(1, (ex < -125 ? -125 : ex) - 24);
}

static double ulps64(double got, long double want)
{
	int ex;

	if (got == want || (got != got && want != want))
		return 0;
	if (fabsl(want) > DBL_MAX || fabs(got) > DBL_MAX)
		return (double)want == got ? 0 : INFINITY;
	frexpl(want, &ex);
	return (double)(fabsl(got - want) / ldexpl(1, (ex < -1021 ? -1021 : ex) - 53));
}

static double true32(enum rn_ew fn, double x)
{
	return fn == RN_EW_SIGMOID ? (x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)))
				   : ref_ew(fn, x, 0, 0);
}

static long double true64(enum rn_ew fn, long double x)
{
	switch (fn) {
	case RN_EW_EXP: return expl(x);
	case RN_EW_LOG: return logl(x);
	case RN_EW_LOG1P: return log1pl(x);
	case RN_EW_TANH: return tanhl(x);
	case RN_EW_ERF: return erfl(x);
	default: return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
	}
}

static const float special[] = {
	0,	  -0.0f,   INFINITY, -INFINITY,	  NAN,	   1,		-1,	      FLT_MAX,
	-FLT_MAX, FLT_MIN, -FLT_MIN, 1e-45f,	  -1e-45f, 88.7f,	88.73f,	      89,
	-87.3f,	  -88,	   -103,     -103.9f,	  -104,	   -105,	0.5f,	      -0.9999999f,
	16777216, 0.625f,  -0.625f,  0.92773437f, 4,	   0.41421357f, -0.29289323f, 0.70710677f,
};

/* The worst error of a function on this level; n numbers spread over all floats. */
static double worst(enum rn_ew fn, unsigned level, enum rn_dtype t)
{
	enum { N = 200000, S = sizeof special / sizeof *special };
	struct rn_prog p;
	struct rn_machine *m;
	struct rn_buf *b;
	double *got = malloc(N * sizeof *got), bad = 0;
	uint32_t v;

	rn_prog_init(&p);
	if (rn_buf_new(N * sizeof(float), "test", &b, &e))
		die("constant");
	for (uint32_t k = 0; k < N; k++) {
		float *x = (float *)b->data + k;
		uint32_t u = k * 21467u;

		if (k % 2)
			*x = ((float)rnd(2000001) - 1e6f) / (k % 4 == 1 ? 1e4f : 1e5f);
		else
			memcpy(x, &u, sizeof u);
	}
	memcpy(b->data, special, sizeof special);
	v = need(rn_prog_const(&p, N, 1, (uint32_t[]){ 1 }, b, &e));
	v = need(rn_prog_ew1(&p, fn, v, &e));
	m = machine(&p, backends[level][0], t);
	if (rn_machine_get_f64(m, v, got, &e))
		die("get");
	for (uint32_t k = 0; k < N; k++) {
		float x = ((const float *)b->data)[k];
		double u =
		    t == RN_F32 ? ulps32(got[k], true32(fn, x)) : ulps64(got[k], true64(fn, x));

		if (u > bad) {
			bad = u;
			if (u > 4)
				printf("# %s(%.9g) = %.17g\n", rn_ew_info[fn].name, x, got[k]);
		}
	}
	rn_machine_free(m);
	rn_prog_fini(&p);
	free(got);
	return bad;
}

static void test_accuracy(void)
{
	static const enum rn_ew fns[] = { RN_EW_EXP, RN_EW_LOG, RN_EW_LOG1P, RN_EW_TANH,
					  RN_EW_SIGMOID, RN_EW_ERF };

	for (unsigned k = 0; k < sizeof fns / sizeof *fns; k++) {
		double f = 0, d = 0;

		for (unsigned l = 0; l < nlevels; l++) {
			f = fmax(f, worst(fns[k], l, RN_F32));
			d = fmax(d, worst(fns[k], l, RN_F64));
		}
		T_OK(f <= 2 && d <= 4, "%s: %.2f ulp in float, %.2f in double",
		     rn_ew_info[fns[k]].name, f, d);
	}
}

/* pow of all pairs of special numbers, and of random ones. */
static void test_pow(void)
{
	enum { S = sizeof special / sizeof *special, R = 3000, N = S * S + R };
	double bad = 0;

	for (unsigned l = 0; l < nlevels; l++) {
		struct rn_buf *b[2];
		struct rn_machine *m;
		struct rn_prog p;
		double *got = malloc(N * sizeof *got);
		uint32_t v[2];

		rn_prog_init(&p);
		for (unsigned k = 0; k < 2; k++) {
			if (rn_buf_new(N * sizeof(float), "test", &b[k], &e))
				die("constant");
			for (uint32_t i = 0; i < N; i++)
				((float *)b[k]->data)[i] = i < S * S ? special[k ? i / S : i % S]
						: i % 2 && k ? (float)rnd(9) - 4
						: rnd_real() * 10;
			v[k] = need(rn_prog_const(&p, N, 1, (uint32_t[]){ 1 }, b[k], &e));
		}
		v[0] = need(rn_prog_ew2(&p, RN_EW_POW, v[0], v[1], &e));
		m = machine(&p, backends[l][0], RN_F32);
		if (rn_machine_get_f64(m, v[0], got, &e))
			die("get");
		for (uint32_t i = 0; i < N; i++) {
			float x = ((float *)b[0]->data)[i], y = ((float *)b[1]->data)[i];
			double u = ulps32(got[i], pow(x, y));

			if (u > 1)
				printf("# pow(%.9g, %.9g) = %.9g, not %.9g\n", x, y, got[i],
				       pow(x, y));
			bad = fmax(bad, u);
		}
		rn_machine_free(m);
		rn_prog_fini(&p);
		free(got);
	}
	T_OK(bad <= 1, "pow, special and random pairs: %.2f ulp", bad);
}

/* Values of a sum too: max and min keep NaN and the first of equal zeros. */
static void test_special(void)
{
	static const float x[] = { NAN, 1, -0.0f, 0.0f, NAN, -0.0f, 2.5f, -0.4f, 5e6f };
	static const float y[] = { 1, NAN, 0.0f, -0.0f, NAN, -0.0f, -2, -0.5f, 8388609 };
	enum { N = sizeof x / sizeof *x };
	bool ok = true;

	for (unsigned l = 0; l < nlevels; l++) {
		static const enum rn_ew fns[] = { RN_EW_MAX, RN_EW_MIN, RN_EW_ROUND, RN_EW_RELU,
						  RN_EW_SIGN };
		struct rn_buf *b[2];
		struct rn_prog p;
		struct rn_machine *m;
		uint32_t v[2], r[5];
		float got[N];

		rn_prog_init(&p);
		for (unsigned k = 0; k < 2; k++) {
			if (rn_buf_new(sizeof x, "test", &b[k], &e))
				die("constant");
			memcpy(b[k]->data, k ? y : x, sizeof x);
			v[k] = need(rn_prog_const(&p, N, 1, (uint32_t[]){ 1 }, b[k], &e));
		}
		for (unsigned k = 0; k < 5; k++) {
			r[k] = need(k < 2 ? rn_prog_ew2(&p, fns[k], v[0], v[1], &e)
					  : rn_prog_ew1(&p, fns[k], v[1], &e));
			p.vals[r[k]].keep = true;
		}
		m = machine(&p, backends[l][0], RN_F32);
		for (unsigned k = 0; k < 5; k++) {
			if (rn_machine_get_f32(m, r[k], got, &e))
				die("get");
			for (unsigned i = 0; i < N; i++) {
				float a = k < 2 ? x[i] : y[i],
				      want = (float)ref_ew(fns[k], a, y[i], 0);

				ok &= got[i] == want || (got[i] != got[i] && want != want);
				if (k < 2 && a == y[i])
					ok &= signbit(got[i]) == signbit(a);
			}
		}
		rn_machine_free(m);
		rn_prog_fini(&p);
	}
	T_OK(ok, "NaN, zeros and ties of max, min, round, relu, sign");
}

/* ---- dropout
 * -------------------------------------------------------------------------------------- */

static bool dropout_is_scalar(uint32_t n, uint32_t w, unsigned kind, unsigned level,
			      enum rn_dtype t)
{
	struct rn_drop d = { rn_rng_key("test.dropout", 7), RN_NONE, RN_NONE };
	double prob = kind == 3 ? 0.7 : 0.5, *got = malloc(((size_t)n * w + 1) * sizeof *got);
	const uint32_t *row, *col;
	struct rn_machine *m;
	struct rn_prog p;
	bool ok = true;
	uint32_t v;

	rn_prog_init(&p);
	if (kind % 2)
		d.row = indices(&p, n, 4000000000u, false);
	if (kind >= 2 && w == 1)
		d.col = indices(&p, n, 5000, false);
	v = need(rn_prog_dropmask(&p, n, 1, &w, prob, &d, &e));
	m = machine(&p, backends[level][n % 3], t);
	if (rn_machine_get_f64(m, v, got, &e))
		die("get");
	row = rn_prog_idx_data(&p, d.row);
	col = rn_prog_idx_data(&p, d.col);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t f = 0; f < w; f++) {
			float u = rn_rng_uniform(d.key, row ? row[i] : i, col ? col[i] : f, 3);
			double want = u >= prob ? 1 / (1 - prob) : 0;

			ok &= got[(size_t)i * w + f] == (t == RN_F32 ? (float)want : want);
		}
	rn_machine_free(m);
	rn_prog_fini(&p);
	free(got);
	return ok;
}

static void test_dropout(void)
{
	bool ok = true;

	for (unsigned l = 0; l < nlevels; l++)
		for (unsigned s = 0; s < NSHAPES; s++)
			for (unsigned kind = 0; kind < 4; kind++)
				ok &=
				    dropout_is_scalar(shapes[s][0], shapes[s][1], kind, l,
						      RN_F32) &&
				    dropout_is_scalar(shapes[s][0], shapes[s][1], kind, l, RN_F64);
	T_OK(ok, "dropout draws what rn_rng_uniform draws, dense and sparse");
}

int main(void)
{
	open_backends();
	T_OK(nlevels >= 1, "%u levels of instruction set", nlevels);
	test_ew();
	test_broadcast();
	test_elem();
	test_gathered();
	test_accuracy();
	test_pow();
	test_special();
	test_dropout();
	close_backends();
	return t_done();
}
