/* SPDX-License-Identifier: Apache-2.0
 *
 * Models: a container (.rnm) with the canonical plan, the parameters, what encoders
 * fitted, and the class labels.  Its header is
 *
 *   {"rn": 1, "kind": "model", "plan": {…}, "dir": "/where/sources/are",
 *    "history": [{"argv": […]}, …, {"argv": ["rn-train", …], "seed": 1}],
 *    "sections": [{"role": "parameter", "name": "h1.weight", "shape": [1433, 16]},
 *                 {"role": "fitted", "name": "x", "number": 0, "encoder": "onehot(color)"},
 *                 {"role": "classes", "loss": "loss", "count": 7, "own": false}, …]}
 *
 * and section i is what sections[i] says: a parameter as (row int64; value
 * [rest of its shape]), in order, every bit of its floats; what encoder number i of stage
 * x fitted as expr/encode.h says; classes as (label), in order of their codes (no rows
 * where labels are their own codes).
 *
 * A checkpoint is the same container with kind "checkpoint" and more members
 * and sections; rn_model_load reads its parameters too.
 */
#ifndef RN_MODEL_H
#define RN_MODEL_H

#include "../../formats/container.h"
#include "../exec/exec.h"
#include "../learn/metric.h"

struct rn_model_loss {
	char *name; /* of the loss node */
	enum rn_loss_kind kind;
	struct rn_classes classes; /* RN_LOSS_CE */
};

struct rn_model {
	json_t *header;
	struct rn_plan *plan;    /* its encode stages are fitted */
	struct rn_params params; /* frozen; all loaded */
	size_t nlosses;
	struct rn_model_loss *losses; /* one per fit run, in their order */
};

/* Everything is checked: RN_EDATA says what is wrong where. */
RN_MUST_CHECK int rn_model_load(const char *path, struct rn_model *m, struct rn_err *e);
void rn_model_fini(struct rn_model *m);

/* For an encode operator with --model: the stage whose encoders are those of `opt` (normal
 * form), called *name unless that is NULL, which then becomes its name.  *fitted: what it
 * fitted.  Both borrowed.  RN_EUSAGE where there is none, or several; encoders that fit
 * nothing want none. */
RN_MUST_CHECK int rn_model_encoder(const struct rn_model *m, const json_t *opt, const char **name,
				   struct rn_fitted **fitted, struct rn_err *e);

/* Write a model.  x: what the plan is bound to, or NULL; tasks[i]: of the plan's i-th fit
 * run; history: or NULL.  path "-": standard output. */
RN_MUST_CHECK int rn_model_save(const char *path, const struct rn_plan *plan,
				const struct rn_binding *x,
				const struct rn_params *params, const struct rn_task *tasks,
				const json_t *history, const struct rn_writer_opt *opt,
				struct rn_err *e);

/* Values of equal names, from a model (a file) or from .npy files (a folder), into
 * the table; those are `loaded` then. */
RN_MUST_CHECK int rn_params_load(struct rn_params *p, const char *path, struct rn_err *e);

#endif
