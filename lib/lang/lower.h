/* SPDX-License-Identifier: Apache-2.0
 *
 * Rule instances to plan nodes.  A rule becomes
 *
 *   an atom      filter (constants, repeated variables), project (its variables' names)
 *   a body       joins in the order written, each on all variables that it shares with what
 *                stands before (left for ?R, anti for !R), comparisons as a residual
 *                condition of the first join that has all their variables; or a union
 *   a head       project (computed attributes, constants), then agg by the attributes
 *
 * where what would change nothing is left out.  The last stage has the instance's name,
 * the others NAME/project, NAME/join, NAME/join2, …; parameters of anonymous modules
 * are those of the rule: its `prefix`.
 */
#ifndef RN_LANG_LOWER_H
#define RN_LANG_LOWER_H

#include "expand.h"
#include "lang.h"

struct rn_lowering;

/* Schemas of sources come from opening them (rn_source_open), once each. */
RN_MUST_CHECK int rn_lowering_new(const struct rn_lang_conf *c, struct rn_diag *d,
				  const struct rn_program *prog, struct rn_lowering **out,
				  struct rn_err *e);
void rn_lowering_free(struct rn_lowering *l); /* NULL is fine; frees the plan unless taken */

/* For rn_expand_conf. */
int rn_lowering_rows(void *arg, const char *source, const struct rn_rel **out, struct rn_err *e);
bool rn_lowering_is_source(void *arg, const char *name);

/* All runs in the order written, and what they need; then the canonical plan, *out owned. */
RN_MUST_CHECK int rn_lower_program(struct rn_lowering *l, struct rn_expander *x,
				   const struct rn_program *prog, struct rn_plan **out,
				   struct rn_err *e);
/* Rows of the sources that can be read only once, and were, by node of the plan: *out owned (an
 * entry per node, NULL where there are none), its relations too. */
RN_MUST_CHECK int rn_lowering_carried(struct rn_lowering *l, const struct rn_plan *plan,
				      struct rn_rel ***out, struct rn_err *e);

#endif
