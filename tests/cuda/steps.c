/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps of many parameters in a row, which one launch does for several of them, against the same
 * steps one by one: parameters and slots have the same bits.
 */
#include "cuda_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMS = 70, SGD_AT = 50, EPOCHS = 3 };

/* Around the sizes of blocks, and one that has many. */
static uint32_t width_of(uint32_t k)
{
	static const uint32_t widths[] = { 1, 255, 256, 257, 512, 7, 3000 };

	return widths[k % (sizeof widths / sizeof *widths)];
}

/* A step for each parameter, in two kinds, and one of another optimizer between them. */
static void build(struct gen *g)
{
	*g = (struct gen){ .state = 3 };
	rn_prog_init(&g->p);
	for (uint32_t k = 0; k < PARAMS; k++) {
		struct rn_inst i = rn_inst_init(k == SGD_AT ? RN_P_SGD : RN_P_ADAM);
		uint32_t width = width_of(k);
		struct rn_err e;

		i.flags = i.op == RN_P_ADAM && k % 3 == 0 ? RN_F_DECOUPLED : 0;
		i.nin = i.op == RN_P_ADAM ? 4 : 3;
		i.in[0].val = gen_need(rn_prog_param(&g->p, RN_V_PARAM, k, 1, &width, &e), &e);
		i.in[1].val = gen_value(g, 1, 1, width, 0);
		for (uint32_t n = 2; n < i.nin; n++)
			i.in[n].val = gen_need(rn_prog_param(&g->p, RN_V_STATE, 2 * k + n - 2, 1, &width,
							     &e), &e);
		gen_need(rn_prog_add(&g->p, &i, 1, 1, &width, &e), &e);
	}
}

/* Each parameter has scalars of its own. */
static void scalars(uint32_t k, uint32_t epoch, double f[8])
{
	memset(f, 0, 8 * sizeof *f);
	if (k == SGD_AT) {
		f[RN_S_LR] = 0.1;
		f[RN_S_MOMENTUM] = 0.9;
		f[RN_S_FIRST] = epoch == 0;
		return;
	}
	f[RN_A_LR] = 0.01 * (1 + k);
	f[RN_A_BETA1] = 0.9;
	f[RN_A_BETA2] = 0.999;
	f[RN_A_EPS] = 1e-8;
	f[RN_A_DECAY] = k % 2 ? 0.01 : 0;
	f[RN_A_BC1] = 1 - pow(f[RN_A_BETA1], epoch + 1.0);
	f[RN_A_BC2] = 1 - pow(f[RN_A_BETA2], epoch + 1.0);
}

struct side {
	struct rn_store *params, *states;
	struct rn_machine *m;
};

static void open_side(struct side *s, struct rn_backend *b, const struct rn_prog *p)
{
	struct rn_err e;
	uint32_t at;

	gen_must(rn_store_new(b, RN_F32, &s->params, &e), &e, "a store");
	gen_must(rn_store_new(b, RN_F32, &s->states, &e), &e, "a store");
	for (uint32_t k = 0; k < PARAMS; k++) {
		gen_must(rn_store_add(s->params, width_of(k), &at, &e), &e, "a parameter");
		for (unsigned n = 0; n < 2; n++)
			gen_must(rn_store_add(s->states, width_of(k), &at, &e), &e, "a slot");
	}
	gen_must(rn_machine_new(p, b, RN_F32, s->params, s->states, NULL, &s->m, &e), &e, "a machine");
}

static void close_side(struct side *s)
{
	rn_machine_free(s->m);
	rn_store_free(s->params);
	rn_store_free(s->states);
}

/* `together`: all instructions at once, the second time as a graph; else each alone. */
static void run(struct side *s, uint32_t epoch, bool together)
{
	double f[8];
	struct rn_err e;

	for (uint32_t k = 0; k < PARAMS; k++) {
		scalars(k, epoch, f);
		rn_machine_set_f(s->m, k, f);
	}
	for (uint32_t k = 0; k < PARAMS; k += together ? PARAMS : 1)
		gen_must(rn_machine_run(s->m, k, together ? PARAMS : k + 1, epoch, &e), &e, "steps");
}

static bool are_equal(struct rn_store *a, struct rn_store *b, uint32_t k, uint32_t width)
{
	float *x = calloc(width, sizeof *x), *y = calloc(width, sizeof *y);
	struct rn_err e;
	bool same;

	gen_must(rn_store_get_f32(a, k, x, &e), &e, "numbers");
	gen_must(rn_store_get_f32(b, k, y, &e), &e, "numbers");
	same = !memcmp(x, y, width * sizeof *x);
	free(x);
	free(y);
	return same;
}

const char *steps_check(struct rn_backend *b)
{
	static char why[80];
	struct side alone, all;
	struct gen g;

	*why = 0;
	build(&g);
	open_side(&alone, b, &g.p);
	open_side(&all, b, &g.p);
	for (uint32_t t = 0; t < EPOCHS; t++) {
		run(&alone, t, false);
		run(&all, t, true);
	}
	for (uint32_t k = 0; k < PARAMS && !*why; k++)
		if (!are_equal(alone.params, all.params, k, width_of(k)) ||
		    !are_equal(alone.states, all.states, 2 * k, width_of(k)) ||
		    !are_equal(alone.states, all.states, 2 * k + 1, width_of(k)))
			snprintf(why, sizeof why, "parameter %u of %u numbers", k, width_of(k));
	close_side(&alone);
	close_side(&all);
	rn_prog_fini(&g.p);
	return *why ? why : NULL;
}
