/* SPDX-License-Identifier: Apache-2.0
 *
 * Forward programs and what is made of them: the values of a node under given
 * parameters, a metric over them, predictions as a relation.
 *
 * A forward program is lowered in evaluation mode, restricted to its own rows,
 * and shares its parameters with every other machine of the session.
 */
#ifndef RN_SCORE_H
#define RN_SCORE_H

#include "../exec/exec.h"
#include "check.h"
#include "../learn/metric.h"

struct rn_forward {
	struct rn_prog prog;
	struct rn_machine *machine; /* NULL until rn_forward_start */
	uint32_t val;               /* the node's sole part: [rows, width] */
	uint64_t rows;
	uint32_t width;
	float *out; /* what the last run computed */
};
/* The program of `node`, whose relation must have one part.  Parameters are found in, or added
 * to, `params` (frozen: RN_EUSAGE for those that are not there). */
RN_MUST_CHECK int rn_forward_new(struct rn_binding *x, struct rn_backend *b,
				 const struct rn_plan *plan, uint32_t node,
				 struct rn_params *params, struct rn_forward *f, struct rn_err *e);
/* Its machine; borrows b and store. */
RN_MUST_CHECK int rn_forward_start(struct rn_forward *f, struct rn_backend *b,
				   struct rn_store *store, struct rn_err *e);
RN_MUST_CHECK int rn_forward_run(struct rn_forward *f, struct rn_err *e); /* into f->out */
void rn_forward_fini(struct rn_forward *f);

/* A metric over a node: a val or eval run. */
struct rn_score {
	struct rn_forward forward;
	enum rn_metric metric;
	const char *metric_name; /* "hits@10", borrowed from the run */
	struct rn_gauge gauge; /* the metric, of whatever predictions */
	const char *node; /* name, borrowed from the plan */
	uint64_t watch; /* bytes that a device takes to read the metric and keep what is best; 0: none */
};
/* `run`: a val or eval run with its metric and target; task: what its predictions mean. */
RN_MUST_CHECK int rn_score_new(struct rn_binding *x, struct rn_backend *b,
			       const struct rn_plan *plan, const struct rn_run *run,
			       const struct rn_task *task, struct rn_params *params,
			       struct rn_score *s, struct rn_err *e);
/* Alone, where nothing else is run.  RN_ENOMEM: on the host it needs more than --mem.  what: "val",
 * "eval". */
RN_MUST_CHECK int rn_score_check_mem(struct rn_score *s, const char *what, struct rn_binding *x,
				     struct rn_backend *b, struct rn_err *e);
/* NaN where the metric is not defined (*why, may be NULL: a static text).  Starts the machine
 * when that was not done yet. */
RN_MUST_CHECK int rn_score_run(struct rn_score *s, struct rn_backend *b, struct rn_store *store,
			       double *out, const char **why, struct rn_err *e);
/* The metric of what was run by other means into s->forward.out. */
double rn_score_value(const struct rn_score *s, const char **why);
void rn_score_fini(struct rn_score *s);
/* To an error of a device in running it: which stage, and what would help (need.h).  what: "val",
 * "eval".  Returns rc. */
int rn_score_explain(struct rn_score *s, const char *what, int rc, struct rn_binding *x,
		     struct rn_backend *b, struct rn_err *e);

/* A store with the values of the table, in its order. */
RN_MUST_CHECK int rn_params_to_store(const struct rn_params *p, struct rn_store *s,
				     struct rn_err *e); /* adds missing items, sets all */
RN_MUST_CHECK int rn_params_from_store(struct rn_params *p, struct rn_store *s, struct rn_err *e);

/* ---- predictions ---------------------------------------------------------------- */

/* How a column is made of a relation's sole embedding. */
struct rn_decoding {
	enum rn_decoded how;
	const char *as;
	uint32_t first;             /* of so many numbers, and the others are the embedding; 0: of all */
	bool embedding;             /* it stays */
	const struct rn_task *task; /* what the predictions mean; for LABEL, NUMBER and BINARY */
};
/* Content, that column, and the parts; *out owned. */
RN_MUST_CHECK int rn_decode_rel(const struct rn_rel *in, const struct rn_decoding *d,
				struct rn_rel **out, struct rn_err *e);

/* Content, `prediction`, and the parts of a pred run's node in evaluation mode; *out owned.
 *   cross-entropy   the label of the largest logit
 *   binary          bool: probability of at least 1/2; and `probability`
 *   values          the value, where the width is 1
 * task NULL, a width that is not the task's, or a relation without columns: no such column.
 * The run's options choose another of these (--decode), its name (--as), and whether the
 * embedding stays. */
RN_MUST_CHECK int rn_predict_run(struct rn_binding *x, const struct rn_plan *plan,
				 const struct rn_run *run, struct rn_params *params,
				 const struct rn_task *task, struct rn_rel **out,
				 struct rn_err *e);

/* Write a relation to a file as "csv", "tsv", "jsonl" or "er". */
RN_MUST_CHECK int rn_rel_save(const struct rn_ctx *c, const struct rn_rel *r, const char *path,
			      const char *format, struct rn_err *e);

#endif
