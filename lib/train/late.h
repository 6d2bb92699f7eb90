/* SPDX-License-Identifier: Apache-2.0
 *
 * Predictions of predictions: pred runs whose relation rests on a column that is made of an
 * embedding (a stage `decode`).  Content is bound before the fits, and such a column is known
 * after them.  So what rests on it is bound for each such run anew: the stages that it reads of
 * the plan as it is bound already are predicted, each `decode` under it is made of the relation
 * that its pred run shows, in the order of the plan, and with these relations as rows that
 * are there the rest is bound.
 */
#ifndef RN_LATE_H
#define RN_LATE_H

#include "../exec/exec.h"
#include "../learn/metric.h"

struct rn_late_conf {
	const struct rn_ctx *ctx;
	struct rn_backend *backend;
	struct rn_plan *plan;
	struct rn_binding *binding; /* of that plan */
	struct rn_params *params;
	/* What the predictions mean of which this loss is; NULL: there is no such loss. */
	const struct rn_task *(*task)(void *arg, const char *loss);
	/* Exchange the parameters with those after so many fits; a second time: back.  NULL: they
	 * are the same everywhere. */
	void (*swap)(void *arg, uint32_t fits);
	/* Before a stage of a late binding is predicted: its parameters.  NULL: all are there. */
	int (*ready)(void *arg, struct rn_binding *x, uint32_t node, struct rn_err *e);
	void *arg;
};

struct rn_late {
	struct rn_late_conf conf;
	bool *late;           /* rn_plan_late */
	struct rn_rel **rows; /* by node: those of `decode` stages that were made */
};
/* *l is to be freed by rn_late_fini, also after a failure, and before its binding. */
RN_MUST_CHECK int rn_late_init(struct rn_late *l, const struct rn_late_conf *conf,
			       struct rn_err *e);
void rn_late_fini(struct rn_late *l);

/* What a late run reads, bound under the parameters after `fits` fits. */
struct rn_late_bound {
	struct rn_plan plan; /* the session's nodes, this run */
	struct rn_run run;
	struct rn_rel **carried;
	struct rn_binding *binding;
};
/* run: borrowed meanwhile.  *b is to be freed by rn_late_unbind, also after a failure. */
RN_MUST_CHECK int rn_late_bind(struct rn_late *l, const struct rn_run *run, uint32_t fits,
			       struct rn_late_bound *b, struct rn_err *e);
void rn_late_unbind(struct rn_late *l, struct rn_late_bound *b);

#endif
