/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the fits of a plan would be cut for a staged placement: bound and lowered as
 * training would do it, and then told instead of run.
 */
#include "cut.h"
#include "train.h"

#include <stdlib.h>
#include <string.h>

/* Bytes that part `from` makes for part `to` in one pass. */
struct flows {
	uint32_t n;
	uint64_t *bytes[RN_NPHASES]; /* [n * n] */
};

static void flows_fini(struct flows *x)
{
	for (int k = 0; k < RN_NPHASES; k++)
		free(x->bytes[k]);
}

/* A value counts in the pass in which it is first read by a part. */
static int find_flows(const struct rn_cut *c, const struct rn_fit *f, struct flows *x,
		      struct rn_err *e)
{
	const struct rn_prog *p = &f->prog;
	bool *seen = NULL;
	int rc;

	*x = (struct flows){ .n = c->nparts };
	for (int k = 0; k < RN_NPHASES; k++)
		RN_GOTO(out, rn_calloc((size_t)x->n * x->n, sizeof(uint64_t), "stages", &x->bytes[k],
				       e));
	RN_GOTO(out, rn_calloc((size_t)p->nvals * x->n, 1, "stages", &seen, e));
	for (uint32_t i = 0; i < p->ninsts; i++) {
		uint32_t to = c->part_of[i];

		for (uint32_t k = 0; to != RN_NONE && k < p->insts[i].nin; k++) {
			uint32_t v = p->insts[i].in[k].val, from;

			v = v == RN_NONE ? v : rn_cut_root(p, v);
			if (v == RN_NONE || c->place[v] == RN_UNSHARED)
				continue;
			from = c->part_of[p->vals[v].inst];
			if (from == to || seen[(size_t)v * x->n + to])
				continue;
			seen[(size_t)v * x->n + to] = true;
			x->bytes[rn_cut_phase(f, i)][(size_t)from * x->n + to] +=
				(uint64_t)p->vals[v].rows * p->vals[v].width * sizeof(float);
		}
	}
out:
	free(seen);
	if (rc)
		flows_fini(x);
	return rc;
}

/* "; back to 1 (3840 bytes), 2 (960 bytes)" */
static void print_flows(const struct flows *x, enum rn_phase phase, uint32_t from,
			const char *what, struct rn_str *out)
{
	const char *sep = what;

	for (uint32_t to = 0; to < x->n; to++) {
		uint64_t bytes = x->bytes[phase][(size_t)from * x->n + to];

		if (!bytes)
			continue;
		rn_str_addf(out, "%s%u (%llu bytes)", sep, to + 1, (unsigned long long)bytes);
		sep = ", ";
	}
}

static int print_cut(const struct rn_cut *c, const struct rn_fit *f, const struct rn_plan *plan,
		     struct rn_str *out, struct rn_err *e)
{
	uint64_t all = 0;
	struct flows x;

	RN_TRY(find_flows(c, f, &x, e));
	for (int k = 0; k < RN_NPHASES; k++)
		for (size_t i = 0; i < (size_t)x.n * x.n; i++)
			all += x.bytes[k][i];
	rn_str_addf(out, "\nstaged fit(%s): %u process%s, %llu bytes between them\n", f->name,
		    c->nparts, c->nparts == 1 ? "" : "es", (unsigned long long)all);
	for (uint32_t q = 0; q < c->nparts; q++) {
		const struct rn_cut_part *part = &c->parts[q];

		rn_str_addf(out, "%4u  ", q + 1);
		for (uint32_t i = 0; i < part->nnodes; i++)
			rn_str_addf(out, "%s%s = %s", i ? ", " : "", plan->nodes[part->nodes[i]].name,
				    plan->nodes[part->nodes[i]].op->name);
		rn_str_addf(out, ": %u instructions, %u rows, %.3g flops", part->ninsts, part->rows,
			    part->flops);
		print_flows(&x, RN_FORWARD, q, "; forward to ", out);
		print_flows(&x, RN_BACKWARD, q, "; back to ", out);
		print_flows(&x, RN_STEP, q, "; for the step to ", out);
		rn_str_addc(out, '\n');
	}
	flows_fini(&x);
	return rn_str_check(out, e);
}

static int explain_fit(struct rn_binding *x, struct rn_backend *b, const struct rn_plan *plan,
		       const struct rn_run *run, struct rn_params *params, uint32_t stages,
		       struct rn_str *out, struct rn_err *e)
{
	struct rn_cut cut = { 0 };
	struct rn_fit f;
	int rc;

	RN_TRY(rn_fit_build(x, b, plan, run, params, false, &f, e));
	rc = rn_cut_make(&f, rn_binding_plan(x), stages, 0, &cut, e);
	if (!rc)
		rc = print_cut(&cut, &f, rn_binding_plan(x), out, e);
	rn_cut_fini(&cut);
	rn_fit_fini(&f);
	return rc;
}

int rn_train_explain(const struct rn_train_conf *c, struct rn_str *out, struct rn_err *e)
{
	struct rn_params params = { 0 };
	struct rn_binding *x = NULL;
	struct rn_backend *b;
	uint32_t fits = 0;
	int rc;

	RN_TRY(rn_backend_open("cpu", c->ctx->threads, &b, NULL, e));
	RN_GOTO(out, rn_binding_new(c->ctx, b, c->plan, c->carried, &x, e));
	for (uint32_t i = 0; i < c->plan->nruns; i++) {
		if (c->plan->runs[i].kind != RN_RUN_FIT)
			continue;
		fits++;
		RN_GOTO(out, explain_fit(x, b, c->plan, &c->plan->runs[i], &params, c->stages, out,
					 e));
	}
	if (!fits)
		rc = rn_err_set(e, RN_EUSAGE, "there is nothing to cut: the plan has no fit run");
out:
	rn_params_fini(&params);
	rn_binding_free(x);
	b->close(b);
	return rc;
}
