/* SPDX-License-Identifier: Apache-2.0
 *
 * A case of the tests of gradients: a value built from inputs; the loss is its product with
 * fixed random numbers, summed.  Every number of every input is moved by ±H.
 */
#ifndef GRAD_TRIAL_H
#define GRAD_TRIAL_H

#include "t.h"

#include "../../lib/base/rng.h"
#include "../../lib/dev/machine.h"
#include "../../lib/exec/pass.h"
#include "../../lib/expr/grad.h"

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

/* Rows, rank and dims of an operand. */
struct shape {
	uint32_t rows, rank, dim[2];
};

/* One instruction. */
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

#endif
