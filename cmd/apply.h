/* SPDX-License-Identifier: Apache-2.0
 *
 * A trained model on data: its plan bound with other runs, its parameters.
 */
#ifndef RN_APPLY_H
#define RN_APPLY_H

#include "plans.h"

struct rn_applied {
	struct rn_model model; /* without its plan: */
	struct rn_planned planned;
	struct rn_backend *backend;
	struct rn_binding *binding;
	const struct rn_ctx *ctx; /* whose team has the backend's accelerator */
	uint32_t *before;         /* fits before each run of the model's plan, and of all of them */
};

/* Load the model that the program's operand names. */
RN_MUST_CHECK int rn_applied_load(const struct rn_cli *c, struct rn_applied *a, struct rn_err *e);
/* Drop the plan's runs, to add others. */
void rn_applied_clear_runs(struct rn_applied *a);
/* Rebind sources (option --source), keep what the runs need, bind it. */
RN_MUST_CHECK int rn_applied_bind(const struct rn_cli *c, struct rn_applied *a, struct rn_err *e);
/* What the predictions of a run mean, before which so many fits stand and whose relation is of
 * schema s; *knows: a loss of the model says it (check.h). */
RN_MUST_CHECK int rn_applied_task(const struct rn_applied *a, const struct rn_run *r, const struct rn_schema *s,
				  uint32_t before, struct rn_task *out, bool *knows, struct rn_err *e);
void rn_applied_fini(struct rn_applied *a);

#endif
