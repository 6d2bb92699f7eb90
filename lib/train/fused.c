/* SPDX-License-Identifier: Apache-2.0
 *
 * The fused placement: one machine in this process.
 */
#include "fit.h"

#include <stdlib.h>

struct fused {
	struct rn_runner base;
	struct rn_machine *machine;
};

static struct fused *self(struct rn_runner *r)
{
	return (struct fused *)r;
}

static int forward(struct rn_runner *r, uint32_t epoch, double *loss, struct rn_err *e)
{
	struct fused *m = self(r);

	RN_TRY(rn_machine_run(m->machine, 0, r->fit->nforward, epoch, e));
	return rn_machine_get_f64(m->machine, r->fit->loss, loss, e);
}

static int learn(struct rn_runner *r, uint32_t epoch, struct rn_err *e)
{
	const struct rn_prog *p = &r->fit->prog;
	double f[RN_STEP_F];

	for (uint32_t i = r->fit->nback; i < p->ninsts; i++) {
		rn_optim_scalars(&p->insts[i], (uint64_t)epoch + 1, f);
		rn_machine_set_f(self(r)->machine, i, f);
	}
	return rn_machine_run(self(r)->machine, r->fit->nforward, p->ninsts, epoch, e);
}

static int find(struct rn_runner *r, uint32_t epoch, uint32_t *inst, struct rn_err *e)
{
	return rn_machine_find_nonfinite(self(r)->machine, 0, r->fit->nforward, epoch, inst, e);
}

/* The machine works on fit->states itself. */
static int in_place(struct rn_runner *r, struct rn_err *e)
{
	(void)r;
	(void)e;
	return 0;
}

static uint64_t bytes(const struct rn_runner *r)
{
	return rn_machine_bytes(((const struct fused *)r)->machine);
}

static void close_fused(struct rn_runner *r)
{
	rn_machine_free(self(r)->machine);
	free(r);
}

static const struct rn_runner_ops ops = {
	.forward = forward,
	.learn = learn,
	.find = find,
	.pull = in_place,
	.push = in_place,
	.bytes = bytes,
	.close = close_fused,
};

int rn_fused_open(struct rn_fit *f, struct rn_backend *b, struct rn_store *params,
		  struct rn_runner **out, struct rn_err *e)
{
	struct fused *m;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *m, "a runner", &m, e));
	m->base = (struct rn_runner){ .ops = &ops, .fit = f };
	rc = rn_machine_new(&f->prog, b, RN_F32, params, f->states, NULL, &m->machine, e);
	if (rc) {
		free(m);
		return rc;
	}
	*out = &m->base;
	return 0;
}
