/* SPDX-License-Identifier: Apache-2.0
 *
 * What the passes share.  Between passes a program may hold holes: values that
 * nothing uses, and instructions whose result became a constant.  A dead value
 * is made a constant of no rows, so that every value has data; rn_pass_sweep
 * removes them.
 */
#ifndef RN_PASS_UTIL_H
#define RN_PASS_UTIL_H

#include "pass.h"

static inline bool rn_pass_is_step(const struct rn_inst *i)
{
	return i->op == RN_P_ADAM || i->op == RN_P_SGD;
}

/* Is instruction j there, or a hole? */
static inline bool rn_pass_present(const struct rn_prog *p, uint32_t j)
{
	const struct rn_inst *i = &p->insts[j];

	return rn_pass_is_step(i) ||
	       (p->vals[i->out].kind == RN_V_INST && p->vals[i->out].inst == j);
}

static inline bool rn_pass_is_imm(const struct rn_prog *p, uint32_t val)
{
	const struct rn_val *v = &p->vals[val];

	return v->kind == RN_V_INST && p->insts[v->inst].op == RN_P_EW &&
	       p->insts[v->inst].fn == RN_EW_IMM;
}

/* live[v]: does a kept value, one of `also`, or an optimizer step depend on v?
 * An array of p->nvals, owned by the caller. */
RN_MUST_CHECK int rn_pass_live(const struct rn_prog *p, const uint32_t *also, size_t n,
			       bool **live, struct rn_err *e);
/* Drop the instructions and constants behind values that are not live. */
RN_MUST_CHECK int rn_pass_bury(struct rn_prog *p, const bool *live, struct rn_err *e);
/* How many operands of instructions each value is; owned by the caller. */
RN_MUST_CHECK int rn_pass_uses(const struct rn_prog *p, uint32_t **uses, struct rn_err *e);
/* The instruction that makes a value, if it is of this kind; NULL: something else does, or the
 * result was declared a constant to gradients, which must not get lost. */
const struct rn_inst *rn_pass_maker(const struct rn_prog *p, uint32_t val, enum rn_prim op);
/* Rewrite the whole program: visit has each instruction, without holes, in order, and appends
 * it again, or another for its result, what that needs before it by rn_prog_add.  A value's
 * instruction must be looked up in p->insts behind its turn.  p->stage is the instruction's. */
RN_MUST_CHECK int rn_pass_visit(struct rn_prog *p, int (*visit)(void *arg, struct rn_inst i),
				void *arg, struct rn_err *e);
RN_MUST_CHECK int rn_pass_append(struct rn_prog *p, const struct rn_inst *i, struct rn_err *e);
/* Call fn for every index array that an instruction refers to. */
void rn_pass_each_idx(struct rn_inst *i, void (*fn)(void *arg, uint32_t *idx), void *arg);

/* Terms of a segmented instruction; does an index array name no row? */
static inline uint32_t rn_pass_terms(const struct rn_prog *p, const struct rn_inst *i)
{
	return rn_prog_idx_data(p, i->idx[0])[p->idx[i->idx[0]].n - 1];
}
bool rn_pass_has_no_row(const struct rn_prog *p, uint32_t idx);

/* Row maps that were composed before (pass_segelem.c); zeroed at first. */
struct rn_segelem {
	struct rn_segelem_map {
		uint32_t map, by, n, out;
	} *memo;
	size_t nmemo, cap_memo;
};
/* An SPMM over the rows of an elementwise program -> RN_P_SEGELEM.  In: *i is the RN_P_ELEM
 * that makes those rows; out: the instruction in place of `sum`. */
RN_MUST_CHECK int rn_segelem_make(struct rn_segelem *s, struct rn_prog *p,
				  const struct rn_inst *sum, struct rn_inst *i,
				  struct rn_err *e);
void rn_segelem_fini(struct rn_segelem *s);
/* As rn_pass_sparse, for programs of which parts may have been run elsewhere before: what
 * changes a bit is done only where all instructions are of one stage. */
RN_MUST_CHECK int rn_pass_sparse_within(struct rn_prog *p, struct rn_err *e);

#endif
