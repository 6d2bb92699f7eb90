/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of random tensor programs, and running them: for the tests of passes.
 */
#ifndef PASS_GEN_H
#define PASS_GEN_H

#include "t.h"

#include "../../lib/dev/machine.h"
#include "../../lib/exec/pass.h"
#include "../../lib/rel/rel.h"

#include <math.h>

enum { NPARAMS = 4, PARAM_DIM = 6, MAX_POOL = 96 };

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

/* Functions before gathers, then sparse products. */
static inline int sparsify(struct gen *g)
{
	uint32_t count = 0;

	RN_TRY(rn_pass_hoist(&g->p, &count, &g->e));
	return rn_pass_sparse(&g->p, &count, &g->e);
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

#endif
