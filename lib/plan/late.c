/* SPDX-License-Identifier: Apache-2.0
 *
 * What rests on decoded columns, and the plan without it.
 */
#include "plan_impl.h"

#include <stdlib.h>

bool rn_plan_late(const struct rn_plan *p, struct rn_rel *const *carried, bool *late)
{
	bool any = false;

	for (uint32_t i = 0; i < p->nnodes; i++) {
		const struct rn_node *n = &p->nodes[i];

		late[i] = false;
		if (carried && carried[i])
			continue;
		late[i] = n->op->flags & RN_OP_LATE;
		for (uint32_t k = 0; k < n->nin; k++)
			late[i] = late[i] || late[n->in[k].node];
		any = any || late[i];
	}
	return any;
}

/* early->runs: room for all. */
static int add_run(struct rn_plan *early, enum rn_run_kind kind, uint32_t node, json_t *opt,
		   struct rn_err *e)
{
	if (!opt)
		return rn_err_nomem(e, 0, "runs");
	early->runs[early->nruns++] = (struct rn_run){ .kind = kind, .node = node, .opt = opt };
	return 0;
}

/* Runs that are not late as they are; what the others read before they wait: front[i]. */
static int split_runs(const struct rn_plan *p, const bool *late, bool *need, bool *front,
		      struct rn_plan *early, struct rn_err *e)
{
	for (uint32_t i = 0; i < p->nruns; i++) {
		const struct rn_run *r = &p->runs[i];

		need[r->node] = need[r->node] || late[r->node];
		if (!late[r->node])
			RN_TRY(add_run(early, r->kind, r->node, json_incref(r->opt), e));
		else if (r->kind != RN_RUN_PRED)
			return rn_err_set(e, RN_EUSAGE, "%s of '%s': it rests on a decoded column, which is known "
					  "when all fits are over", rn_run_types[r->kind].name,
					  p->nodes[r->node].name);
	}
	for (uint32_t i = p->nnodes; i-- > 0;)
		for (uint32_t k = 0; need[i] && late[i] && k < p->nodes[i].nin; k++) {
			uint32_t in = p->nodes[i].in[k].node;

			need[in] = true;
			front[in] = front[in] || !late[in];
		}
	for (uint32_t i = 0; i < p->nnodes; i++)
		if (front[i])
			RN_TRY(add_run(early, RN_RUN_PRED, i, json_object(), e));
	return 0;
}

int rn_plan_early(const struct rn_plan *p, struct rn_rel *const *carried, struct rn_plan *early,
		  struct rn_err *e)
{
	bool *marks;
	int rc;

	*early = *p;
	early->runs = NULL;
	early->nruns = 0;
	early->cap_runs = (size_t)p->nruns + p->nnodes;
	RN_TRY(rn_calloc((size_t)p->nnodes * 3, sizeof *marks, "a plan", &marks, e));
	rn_plan_late(p, carried, marks);
	rc = rn_calloc(early->cap_runs, sizeof *early->runs, "runs", &early->runs, e);
	if (!rc)
		rc = split_runs(p, marks, marks + p->nnodes, marks + 2 * (size_t)p->nnodes, early, e);
	free(marks);
	if (rc)
		rn_plan_early_fini(early);
	return rc;
}

void rn_plan_early_fini(struct rn_plan *early)
{
	for (uint32_t i = 0; i < early->nruns; i++)
		json_decref(early->runs[i].opt);
	free(early->runs);
	*early = (struct rn_plan){ 0 };
}
