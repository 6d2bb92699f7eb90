/* SPDX-License-Identifier: Apache-2.0
 *
 * A trained model on data.
 */
#include "apply.h"

#include "../lib/base/accel.h"
#include "../lib/base/mem.h"
#include "../lib/train/check.h"

#include <stdlib.h>
#include <string.h>

static int count_fits(struct rn_applied *a, struct rn_err *e)
{
	const struct rn_plan *p = a->planned.plan;

	RN_TRY(rn_calloc((size_t)p->nruns + 1, sizeof *a->before, "runs", &a->before, e));
	for (uint32_t i = 0; i < p->nruns; i++)
		a->before[i + 1] = a->before[i] + (p->runs[i].kind == RN_RUN_FIT);
	return 0;
}

int rn_applied_load(const struct rn_cli *c, struct rn_applied *a, struct rn_err *e)
{
	*a = (struct rn_applied){ 0 };
	RN_TRY(rn_model_load(c->in[0].file, &a->model, e));
	a->planned = (struct rn_planned){ .plan = a->model.plan, .piped = true };
	a->model.plan = NULL;
	return count_fits(a, e);
}

void rn_applied_clear_runs(struct rn_applied *a)
{
	struct rn_plan *p = a->planned.plan;

	for (uint32_t i = 0; i < p->nruns; i++)
		json_decref(p->runs[i].opt);
	p->nruns = 0;
}

int rn_applied_bind(const struct rn_cli *c, struct rn_applied *a, struct rn_err *e)
{
	const char *const *source;
	size_t nsource;
	int rc;

	RN_TRY(rn_cli_list(c, "source", &source, &nsource, e));
	rc = rn_planned_finish(&a->planned, NULL, source, nsource, e);
	free((void *)(uintptr_t)source);
	RN_TRY(rc);
	RN_TRY(rn_planned_check(&a->planned, RN_NONE, e));
	RN_TRY(rn_backend_of(&c->ctx, RN_LOG_INFO, &a->backend, e));
	a->ctx = &c->ctx;
	rn_accel_attach(a->ctx, a->backend->accel);
	RN_TRY(rn_binding_new(&c->ctx, a->backend, a->planned.plan, NULL, &a->binding, e));
	rn_accel_log(a->ctx);
	return 0;
}

static struct rn_task task_of(const struct rn_model_loss *l)
{
	return (struct rn_task){ .kind = l->kind, .classes = l->kind == RN_LOSS_CE ? &l->classes : NULL };
}

int rn_applied_task(const struct rn_applied *a, const struct rn_run *r, const struct rn_schema *s,
		    uint32_t before, struct rn_task *out, bool *knows, struct rn_err *e)
{
	uint32_t n = (uint32_t)a->model.nlosses, loss;
	struct rn_loss_facts *facts;

	RN_TRY(rn_calloc(n, sizeof *facts, "losses", &facts, e));
	for (uint32_t i = 0; i < n; i++) {
		const struct rn_task task = task_of(&a->model.losses[i]);

		rn_task_facts(&task, &facts[i]);
	}
	loss = rn_loss_of_run(r, s, facts, before < n ? before : n, n);
	free(facts);
	*knows = loss != RN_NONE;
	if (*knows)
		*out = task_of(&a->model.losses[loss]);
	return 0;
}

void rn_applied_fini(struct rn_applied *a)
{
	rn_binding_free(a->binding);
	if (a->ctx)
		rn_accel_attach(a->ctx, NULL);
	if (a->backend)
		a->backend->close(a->backend);
	rn_planned_fini(&a->planned);
	rn_model_fini(&a->model);
	free(a->before);
}
