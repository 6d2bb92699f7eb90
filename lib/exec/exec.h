/* SPDX-License-Identifier: Apache-2.0
 *
 * Execution in two phases.
 *
 * Bind runs the relational side once: sources are read, the part of the plan
 * without parameters, fitted statistics and randomness is evaluated, and every
 * other node's content and index arrays are made.
 *
 * Run is tensor work only: a sink of the bound plan is lowered to a tensor
 * program, passes make it small, and a machine runs it every epoch.
 */
#ifndef RN_EXEC_H
#define RN_EXEC_H

#include "../dev/machine.h"
#include "../learn/params.h"
#include "../plan/plan.h"

/* ---- one node on given relations ------------------------------------------------ */

/* Does this operator on evaluated inputs have to wait for training?  It learns and
 * there are no parameters to apply. */
bool rn_node_waits(const struct rn_node *n, const struct rn_params *params);

/* The schema of n's output; `in`: schemas of its inputs.  The node's name is the
 * relation's name.  Errors are prefixed with the node. */
RN_MUST_CHECK int rn_node_infer(const struct rn_node *n, const struct rn_schema *const *in,
				struct rn_schema *out, struct rn_err *e);

/* Bind and settle one operator whose encoders, if it has any, are fitted: op.h. */
RN_MUST_CHECK int rn_node_bind(const struct rn_ctx *c, const struct rn_node *n,
			       const struct rn_schema *const *schema,
			       const struct rn_rel *const *in, void *state, struct rn_rel **out,
			       struct rn_err *e);

/* Evaluate one operator, in evaluation mode.  `params`: values for the parameters
 * it asks for; NULL: it must not ask.  *out owned; its parts may be views. */
RN_MUST_CHECK int rn_eval_node(const struct rn_ctx *c, struct rn_backend *b,
			       const struct rn_node *n, const struct rn_rel *const *in,
			       struct rn_params *params, struct rn_rel **out, struct rn_err *e);

/* ---- sources ---------------------------------------------------------------------- */

/* Rows of a scan node, block by block.  `dir`: where a relative path starts (NULL: cwd). */
struct rn_source;
RN_MUST_CHECK int rn_source_open(const struct rn_ctx *c, const struct rn_node *n, const char *dir,
				 struct rn_source **out, struct rn_err *e);
/* The same for who reads no further than the first 65,536 rows: the types of text are those
 * of these rows, so that what comes after them need not be read. */
RN_MUST_CHECK int rn_source_open_first(const struct rn_ctx *c, const struct rn_node *n,
				       const char *dir, struct rn_source **out, struct rn_err *e);
const struct rn_schema *rn_source_schema(const struct rn_source *s);
RN_MUST_CHECK int rn_source_block(struct rn_source *s, struct rn_rel **out, struct rn_err *e); /* NULL at the end */
/* Fingerprint of what was read: XXH3-64 of the bytes; valid after the last block. */
uint64_t rn_source_hash(const struct rn_source *s);
uint64_t rn_source_spilled(const struct rn_source *s); /* bytes of temporary data */
void rn_source_close(struct rn_source *s);
/* The whole of it.  *hash may be NULL. */
RN_MUST_CHECK int rn_source_read(const struct rn_ctx *c, const struct rn_node *n, const char *dir,
				 struct rn_rel **out, uint64_t *hash, struct rn_err *e);

/* ---- a bound plan -------------------------------------------------------------------- */

struct rn_binding;
/* plan: canonical, with runs; c, b and plan are borrowed until rn_binding_free.  What is
 * bound is a copy, rewritten as c->no_rewrite allows; nodes have the numbers of `plan` all the
 * same, unless something else is said.  Encode stages that are not fitted yet are fitted, and
 * stay so in `plan`.
 * carried[i]: node i's rows where a stream brought them, else NULL (borrowed; the
 * array may be NULL).  Losses are always bound, never evaluated.  What waits for a prediction
 * is not bound, and what it reads is (rn_plan_early). */
RN_MUST_CHECK int rn_binding_new(const struct rn_ctx *c, struct rn_backend *b,
				 struct rn_plan *plan, struct rn_rel *const *carried,
				 struct rn_binding **out, struct rn_err *e);
void rn_binding_free(struct rn_binding *x); /* NULL is fine */
/* From now on only these nodes are lowered or predicted: rows and index arrays of others go.
 * Content and states of the nodes of runs stay, and all schemas and counts. */
RN_MUST_CHECK int rn_binding_release(struct rn_binding *x, const uint32_t *nodes, size_t n,
				     struct rn_err *e);
/* What programs that are lowered from it fold, and share (folded.h). */
struct rn_folded *rn_binding_folded(struct rn_binding *x);
/* The rewritten plan: what the runs need, with the stages that rewrites added.  Instructions of
 * programs have their stages' numbers in it. */
const struct rn_plan *rn_binding_plan(const struct rn_binding *x);
/* The number that a node of the canonical plan has in it; RN_NONE: it is not there. */
uint32_t rn_binding_node(const struct rn_binding *x, uint32_t node);
/* Rows and schema of a node of the rewritten plan. */
uint64_t rn_binding_count(const struct rn_binding *x, uint32_t node);
const struct rn_schema *rn_binding_made_schema(const struct rn_binding *x, uint32_t node);
/* What the rewrites of the plan did, "REWRITE: NODE: …" a line. */
const char *rn_binding_log(const struct rn_binding *x);
/* Content of a node (borrowed; parts only where the node is evaluated); NULL for a
 * node that is not there. */
const struct rn_rel *rn_binding_rel(const struct rn_binding *x, uint32_t node);
const struct rn_ctx *rn_binding_ctx(const struct rn_binding *x);
const void *rn_binding_state(const struct rn_binding *x, uint32_t node); /* NULL if evaluated */
/* Content hash of a scan node's source, 0 where it was carried. */
uint64_t rn_binding_source_hash(const struct rn_binding *x, uint32_t node);
uint64_t rn_binding_rows_read(const struct rn_binding *x); /* of all sources that it read */
double rn_binding_seconds(const struct rn_binding *x); /* that rn_binding_new took */
const struct rn_schema *rn_binding_schema(const struct rn_binding *x, uint32_t node);

/* Lower `node` and what it depends on into p.  Parameters are found in or added to
 * `params`, as RN_V_PARAM values of the same number.  *out: its parts' values
 * (rn_lrel_fini).  p->stage of each instruction is its node in rn_binding_plan. */
RN_MUST_CHECK int rn_binding_lower(struct rn_binding *x, uint32_t node, bool training,
				   struct rn_params *params, struct rn_prog *p,
				   struct rn_lrel *out, struct rn_err *e);

/* The flattened dense output of `node` in evaluation mode with these parameter
 * values: a relation with content and parts; *out owned. (Prediction.) */
RN_MUST_CHECK int rn_binding_predict(struct rn_binding *x, uint32_t node, struct rn_params *params,
				     struct rn_rel **out, struct rn_err *e);
/* What that will take, before the values are known: its program into p (initialised; good to look
 * at only), and the bytes of its results at once; at least those of its largest result, which
 * is not to be larger than --mem even where it is never there as a whole. */
RN_MUST_CHECK int rn_binding_predict_size(struct rn_binding *x, uint32_t node,
					  struct rn_params *params, struct rn_prog *p,
					  uint64_t *bytes, struct rn_err *e);

#endif
