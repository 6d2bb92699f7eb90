/* SPDX-License-Identifier: Apache-2.0
 *
 * The fused placement: one machine in this process.
 */
#include "fit.h"
#include "score.h"

#include <stdlib.h>
#include <string.h>

enum { SCALARS = 8 }; /* of a step, as rn_machine_set_f takes them */

struct fused {
	struct rn_runner base;
	struct rn_runner_ops ops;
	struct rn_machine *machine;
	struct rn_store *params;
	struct rn_copy *keep; /* [params->n]; NULL until epochs are watched */
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

/* The scalars of all steps of epochs first … first+n-1. */
static void fill_scalars(const struct rn_fit *fit, uint32_t first, uint32_t n, double *f)
{
	for (uint32_t t = 0; t < n; t++)
		for (uint32_t i = fit->nback; i < fit->prog.ninsts; i++, f += SCALARS) {
			double all[RN_STEP_F];

			rn_optim_scalars(&fit->prog.insts[i], (uint64_t)first + t + 1, all);
			memcpy(f, all, SCALARS * sizeof *f);
		}
}

static int list_copies(struct fused *m, const struct rn_store *to, struct rn_err *e)
{
	if (m->keep)
		return 0;
	RN_TRY(rn_calloc(m->params->n, sizeof *m->keep, "the best parameters", &m->keep, e));
	for (uint32_t i = 0; i < m->params->n; i++)
		m->keep[i] = (struct rn_copy){ to->items[i].data, m->params->items[i].data,
					       to->items[i].count };
	return 0;
}

/* What the device is to know of it, for the first epochs. */
static int begin_watch(struct fused *m, struct rn_watching *w, struct rn_watch *out, struct rn_err *e)
{
	struct rn_forward *f = &w->score->forward;

	RN_TRY(list_copies(m, w->kept, e));
	*out = (struct rn_watch){
		.list = rn_machine_list(f->machine),
		.pred = rn_machine_ptr(f->machine, f->val, NULL),
		.gauge = &w->score->gauge,
		.every = w->every,
		.last = w->last,
		.higher = rn_metric_higher_is_better(w->score->metric),
		.patience = w->patience,
		.best = w->best,
		.stale = w->stale,
		.keep = m->keep,
		.nkeep = m->params->n,
		.val = w->val,
	};
	return 0;
}

static int epochs(struct rn_runner *r, uint32_t first, uint32_t n, struct rn_watching *watching,
		  double *loss, uint32_t *done, struct rn_err *e)
{
	uint32_t steps = r->fit->prog.ninsts - r->fit->nback;
	struct rn_watch watch = { 0 };
	double *f;
	int rc = 0;

	*done = 0;
	if (watching)
		RN_TRY(begin_watch(self(r), watching, &watch, e));
	RN_TRY(rn_calloc((size_t)RN_WINDOW * steps, SCALARS * sizeof *f, "scalars of steps", &f, e));
	while (!rc && *done < n) {
		struct rn_window w = {
			.first = first + *done,
			.n = n - *done < RN_WINDOW ? n - *done : RN_WINDOW,
			.gate = r->fit->nforward - 1,
			.f = f,
			.loss = loss + *done,
			.watch = watching ? &watch : NULL,
		};

		fill_scalars(r->fit, w.first, w.n, f);
		rc = rn_machine_epochs(self(r)->machine, &w, e);
		*done += w.done;
		if (w.done < w.n)
			break;
		watch.val += w.n;
	}
	if (watching) {
		watching->seconds = watch.seconds;
		watching->unready = watch.unready;
	}
	free(f);
	return rc;
}

static uint32_t failed(const struct rn_runner *r)
{
	return rn_machine_failed(((const struct fused *)r)->machine);
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
	free(self(r)->keep);
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
	.failed = failed,
};

int rn_fused_open(struct rn_fit *f, struct rn_backend *b, struct rn_store *params,
		  struct rn_runner **out, struct rn_err *e)
{
	struct fused *m;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *m, "a runner", &m, e));
	m->ops = ops;
	m->base = (struct rn_runner){ .ops = &m->ops, .fit = f };
	m->params = params;
	rc = rn_machine_new(&f->prog, b, RN_F32, params, f->states, NULL, &m->machine, e);
	if (rc) {
		free(m);
		return rc;
	}
	if (rn_machine_has_epochs(m->machine) && f->nforward)
		m->ops.epochs = epochs;
	*out = &m->base;
	return 0;
}
