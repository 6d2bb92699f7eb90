/* SPDX-License-Identifier: Apache-2.0
 *
 * From a loss node to a program of forward, backward and step.
 */
#include "fit.h"

#include "../exec/pass.h"
#include "../expr/grad.h"

#include <stdlib.h>
#include <string.h>

/* What the loss says of predictions. */
static void read_task(struct rn_binding *x, const struct rn_plan *plan, struct rn_fit *f)
{
	const void *state = rn_binding_state(x, f->run->node);

	f->task.kind = rn_loss_kind_of(&plan->nodes[f->run->node]);
	f->task.classes = rn_loss_classes(state);
}

/* The mean loss. */
static int lower_loss(struct rn_binding *x, struct rn_params *params, struct rn_fit *f,
		      struct rn_err *e)
{
	struct rn_lrel rel = { 0 };
	struct rn_err why = { 0 };
	struct rn_lpart flat;
	uint32_t v;
	int rc;

	RN_GOTO(out, rn_binding_lower(x, f->run->node, true, params, &f->prog, &rel, e));
	f->rows = rel.rel->rows;
	if (!f->rows) {
		rc = rn_err_set(e, RN_EUSAGE,
				"the loss '%s' has no rows: no row passes the filters before it with a label "
				"that is not NULL", f->name);
		goto out;
	}
	if (rel.nparts != 1) {
		rc = rn_err_set(e, RN_EBUG, "the loss '%s' has %zu parts", f->name, rel.nparts);
		goto out;
	}
	f->prog.stage = rn_binding_node(x, f->run->node);
	RN_GOTO(out, rn_lpart_flatten(&f->prog, &rel.parts[0], (uint32_t)f->rows, &flat, e));
	RN_GOTO(out, rn_lpart_dense(&f->prog, &flat, &v, e));
	if (f->prog.vals[v].width != 1) {
		rc = rn_err_set(e, RN_EBUG, "the loss '%s' is %u wide", f->name,
				f->prog.vals[v].width);
		goto out;
	}
	v = rn_prog_colsum(&f->prog, v, &why);
	if (v != RN_NONE)
		v = rn_prog_ew_imm(&f->prog, RN_EW_DIV, v, (double)f->rows, false, &why);
	if (v == RN_NONE) {
		rc = rn_err_set(e, why.code, "%s", why.msg);
		goto out;
	}
	f->loss = v;
	f->prog.vals[v].keep = true;
out:
	rn_lrel_fini(&rel);
	return rc;
}

/* The stage that steps a parameter: the first that uses it. */
static uint32_t owner(const struct rn_prog *p, uint32_t param)
{
	for (uint32_t i = 0; i < p->ninsts; i++)
		for (uint32_t k = 0; k < p->insts[i].nin; k++)
			if (p->insts[i].in[k].val == param)
				return p->insts[i].stage;
	return p->stage;
}

/* Is the value a buffer, which has no gradient? */
static bool is_buffer(const struct rn_prog *p, uint32_t val)
{
	for (size_t k = 0; k < p->nupdates; k++)
		if (p->updates[k].param == val)
			return true;
	return false;
}

/* The steps of buffers, behind those of parameters. */
static int add_updates(struct rn_prog *p, struct rn_err *e)
{
	for (size_t k = 0; k < p->nupdates; k++) {
		const struct rn_update *u = &p->updates[k];

		p->stage = owner(p, u->param);
		RN_TRY(rn_optim_append_update(p, u, e));
	}
	return 0;
}

/* Gradients and steps of all parameters of the program, in the order of the table. */
static int add_steps(struct rn_fit *f, struct rn_backend *b, const struct rn_params *params,
		     struct rn_err *e)
{
	uint32_t n = 0, *val, *grad, *stage;
	struct rn_prog *p = &f->prog;
	int rc;

	RN_TRY(rn_calloc((size_t)params->n * 3, sizeof *val, "gradients", &val, e));
	grad = val + params->n;
	stage = grad + params->n;
	for (uint32_t i = 0; i < params->n; i++) {
		uint32_t v = 0;

		while (v < p->nvals &&
		       (p->vals[v].kind != RN_V_PARAM || p->vals[v].param != i))
			v++;
		if (v == p->nvals || is_buffer(p, v))
			continue; /* another fit's, or no parameter */
		val[n] = v;
		stage[n++] = owner(p, v);
	}
	if (!n) {
		rc = rn_err_set(e, RN_EUSAGE, "the loss '%s' depends on no parameter: there is "
				"nothing to train", f->name);
		goto out;
	}
	RN_GOTO(out, rn_prog_grad(p, f->loss, val, n, grad, e));
	RN_GOTO(out, rn_optim_clip(&f->optim, p, n, grad, stage, e));
	RN_GOTO(out, rn_store_new(b, RN_F32, &f->states, e));
	for (uint32_t k = 0; k < n; k++) {
		const char *name = params->items[p->vals[val[k]].param].name;

		p->stage = stage[k];
		RN_GOTO(out, rn_optim_append(&f->optim, p, val[k], grad[k], name, f->states, e));
	}
	rc = add_updates(p, e);
out:
	free(val);
	return rc;
}

/* Where the phases end.  Passes keep the order: forward, backward, steps. */
static int find_phases(struct rn_fit *f, struct rn_err *e)
{
	const struct rn_prog *p = &f->prog;

	f->nforward = p->vals[f->loss].kind == RN_V_INST ? p->vals[f->loss].inst + 1 : 0;
	f->nback = p->ninsts;
	while (f->nback > 0 && rn_optim_is_step(&p->insts[f->nback - 1]))
		f->nback--;
	for (uint32_t i = 0; i < f->nback; i++)
		if (rn_optim_is_step(&p->insts[i]))
			return rn_err_set(e, RN_EBUG, "a step stands before a gradient in the "
					  "program of '%s'", f->name);
	return 0;
}

int rn_fit_build(struct rn_binding *x, struct rn_backend *b, const struct rn_plan *plan,
		 const struct rn_run *run, struct rn_params *params, bool apart, struct rn_fit *f,
		 struct rn_err *e)
{
	struct rn_ctx ctx = *rn_binding_ctx(x);
	struct rn_optimize o = { .ctx = &ctx, .backend = b, .apart = apart, .log = &f->log,
				 .folded = rn_binding_folded(x), .plan = rn_binding_plan(x) };
	uint32_t *live[1] = { &f->loss };
	uint64_t total;
	int rc;

	memset(f, 0, sizeof *f);
	f->run = run;
	f->name = plan->nodes[run->node].name;
	rn_prog_init(&f->prog);
	rn_optim_from_run(run, &f->optim);
	if (b->memory) /* what is short there is made again */
		RN_GOTO(fail, b->memory(b, &ctx.mem_limit, &total, e));
	read_task(x, plan, f);
	RN_GOTO(fail, lower_loss(x, params, f, e));
	RN_GOTO(fail, rn_prog_optimize(&o, &f->prog, &f->loss, 1, e));
	RN_GOTO(fail, add_steps(f, b, params, e));
	RN_GOTO(fail, rn_prog_finish(&o, &f->prog, live, 1, e));
	RN_GOTO(fail, find_phases(f, e));
	return 0;
fail:
	if (rc == RN_EDEV || rc == RN_ENOMEM)
		(void)rn_err_prefix(e, rc, "fit '%s'", f->name);
	rn_fit_fini(f);
	return rc;
}

int rn_fit_shorten(struct rn_fit *f, const struct rn_ctx *c, struct rn_err *e)
{
	const struct rn_optimize o = { .ctx = c, .log = &f->log };
	uint32_t *live[1] = { &f->loss };

	RN_TRY(rn_prog_shorten(&o, &f->prog, true, live, 1, e));
	return find_phases(f, e);
}

void rn_fit_fini(struct rn_fit *f)
{
	rn_store_free(f->states);
	rn_prog_fini(&f->prog);
	memset(f, 0, sizeof *f);
}
