/* SPDX-License-Identifier: Apache-2.0
 *
 * --math: which products round, and how far they may.  Operands have 23 bits of mantissa, so
 * that a product of rounded ones is another number.
 */
#include "cuda_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A wide product, one of rows by columns, and one too small for cuBLAS. */
enum { ROWS = 4096, WIDTH = 64, PRODUCTS = 3 };

struct products {
	struct gen g;
	uint32_t val[PRODUCTS];
};

static void build(struct products *p, bool absolute)
{
	struct gen *g = &p->g;
	uint32_t x, y, w, small;
	struct rn_err e;

	*g = (struct gen){ .state = 7, .abs = absolute };
	rn_prog_init(&g->p);
	x = gen_value(g, ROWS, 1, WIDTH, 0);
	y = gen_value(g, ROWS, 1, WIDTH, 0);
	w = gen_value(g, 1, 2, WIDTH, WIDTH);
	small = gen_value(g, 20, 1, WIDTH, 0);
	p->val[0] = gen_need(rn_prog_gemm(&g->p, x, w, RN_NONE, false, &e), &e);
	p->val[1] = gen_need(rn_prog_gemm_tn(&g->p, x, y, &e), &e);
	p->val[2] = gen_need(rn_prog_gemm(&g->p, small, w, RN_NONE, false, &e), &e);
	for (unsigned k = 0; k < PRODUCTS; k++)
		g->p.vals[p->val[k]].keep = true;
}

static size_t numbers(const struct products *p, unsigned k)
{
	const struct rn_val *v = &p->g.p.vals[p->val[k]];

	return (size_t)v->rows * v->width;
}

static void run(struct products *p, struct rn_backend *b, enum rn_dtype t, double *out[PRODUCTS])
{
	struct rn_machine *m;
	struct rn_err e;

	gen_must(rn_machine_new(&p->g.p, b, t, NULL, NULL, NULL, &m, &e), &e, "a machine");
	gen_must(rn_machine_run(m, 0, p->g.p.ninsts, 0, &e), &e, "a run");
	for (unsigned k = 0; k < PRODUCTS; k++) {
		out[k] = realloc(out[k], numbers(p, k) * sizeof *out[k]);
		gen_must(rn_machine_get_f64(m, p->val[k], out[k], &e), &e, "a product");
	}
	rn_machine_free(m);
}

/* The largest error, relative to the sum of |terms|. */
static double error_of(const double *x, const double *want, const double *terms, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs(x[i] - want[i]) / terms[i]);
	return most;
}

const char *math_check(struct rn_backend *cpu, struct rn_backend *cuda)
{
	/* An operand is off by half a bit, a product of two by twice that. */
	static const struct {
		enum rn_math math;
		double least, most;
	} cases[] = { { RN_MATH_TF32, 1e-6, 1.01 / 1024 }, { RN_MATH_BF16, 1e-5, 1.01 / 128 } };
	double *exact[PRODUCTS] = { 0 }, *terms[PRODUCTS] = { 0 }, *got[PRODUCTS] = { 0 };
	double *f32[PRODUCTS] = { 0 };
	static char why[200];
	struct products p, a;
	struct rn_err e;

	*why = 0;
	build(&p, false);
	build(&a, true);
	run(&p, cpu, RN_F64, exact);
	run(&a, cpu, RN_F64, terms);
	run(&p, cuda, RN_F32, f32);
	for (unsigned c = 0; c < 2; c++) {
		gen_must(cuda->math(cuda, cases[c].math, &e), &e, "math");
		run(&p, cuda, RN_F32, got);
		for (unsigned k = 0; k < PRODUCTS && !*why; k++) {
			double x = error_of(got[k], exact[k], terms[k], numbers(&p, k));
			bool wide = k < 2;

			if (wide ? x < cases[c].least || x > cases[c].most :
				   memcmp(got[k], f32[k], numbers(&p, k) * sizeof *got[k]) != 0)
				snprintf(why, sizeof why, "math %u, product %u is off by %.3g",
					 cases[c].math, k, x);
		}
	}
	gen_must(cuda->math(cuda, RN_MATH_F32, &e), &e, "math");
	run(&p, cuda, RN_F32, got);
	for (unsigned k = 0; k < PRODUCTS && !*why; k++)
		if (error_of(got[k], exact[k], terms[k], numbers(&p, k)) > 1e-6 ||
		    memcmp(got[k], f32[k], numbers(&p, k) * sizeof *got[k]))
			snprintf(why, sizeof why, "f32: product %u is rounded", k);
	for (unsigned k = 0; k < PRODUCTS; k++) {
		free(exact[k]);
		free(terms[k]);
		free(got[k]);
		free(f32[k]);
	}
	rn_prog_fini(&p.g.p);
	rn_prog_fini(&a.g.p);
	return *why ? why : NULL;
}
