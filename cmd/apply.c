/* SPDX-License-Identifier: Apache-2.0
 *
 * A trained model on data.
 */
#include "apply.h"

#include "../lib/base/accel.h"

#include <stdlib.h>
#include <string.h>

int rn_applied_load(const struct rn_cli *c, struct rn_applied *a, struct rn_err *e)
{
	*a = (struct rn_applied){ 0 };
	RN_TRY(rn_model_load(c->in[0].file, &a->model, e));
	a->planned = (struct rn_planned){ .plan = a->model.plan, .piped = true };
	a->model.plan = NULL;
	return 0;
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

bool rn_applied_task(const struct rn_applied *a, struct rn_task *out)
{
	const struct rn_model_loss *last = a->model.losses + a->model.nlosses - 1;

	if (!a->model.nlosses)
		return false;
	*out = (struct rn_task){ .kind = last->kind };
	if (last->kind == RN_LOSS_CE)
		out->classes = &last->classes;
	return true;
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
}
