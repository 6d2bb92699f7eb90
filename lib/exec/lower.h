/* SPDX-License-Identifier: Apache-2.0
 *
 * Between relations and tensor programs: rows in memory as constants of a
 * program, and constants of a program as rows again.
 */
#ifndef RN_EXEC_LOWER_H
#define RN_EXEC_LOWER_H

#include "exec.h"

/* The parts of an evaluated relation as constants of p (shared, not copied);
 * out->rel = r, borrowed. */
RN_MUST_CHECK int rn_lrel_from_rel(struct rn_prog *p, const struct rn_rel *r, struct rn_lrel *out,
				   struct rn_err *e);

/* Where an operator's parameters come from. */
struct rn_param_source {
	struct rn_prog *prog;
	struct rn_params *params;
	bool constant;   /* their values as constants; else RN_V_PARAM */
	uint32_t *vals;  /* value of each parameter in this program, or RN_NONE; owned */
	size_t cap;
};
int rn_param_source_get(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e);
void rn_param_source_fini(struct rn_param_source *s);

/* RN_ENOMEM if one instruction of p alone needs more than --mem. */
RN_MUST_CHECK int rn_prog_check_mem(const struct rn_ctx *c, const struct rn_prog *p,
				    struct rn_err *e);

/* Run the constant program p on b and give `r` the parts of l (values of p): views
 * where l has row maps.  plan: as in struct rn_optimize.  RN_EBUG if a value is no constant afterwards. */
RN_MUST_CHECK int rn_lrel_to_rel(struct rn_prog *p, struct rn_backend *b, const struct rn_plan *plan,
				 const struct rn_lrel *l, struct rn_rel *r, struct rn_err *e);

/* The code of a builder's failure. */
#define RN_CODE(e) ((e) && (e)->code ? (e)->code : RN_ENOMEM)

#endif
