/* SPDX-License-Identifier: Apache-2.0
 *
 * What the rules of the gradients share and nobody else needs.
 *
 * In a rule, g is the gradient of the instruction's result; it has the result's
 * rows and shape.  rn_grad_give adds a contribution to an operand's gradient, which
 * must have that operand's rows and width.
 */
#ifndef RN_GRAD_IMPL_H
#define RN_GRAD_IMPL_H

#include "grad.h"

struct rn_grad {
	struct rn_prog *p;
	struct rn_err *e;
	bool *dep;    /* depends on a wanted value in a way that has a derivative */
	uint32_t *of; /* gradient of each value, or RN_NONE */
	uint32_t nvals;
	struct rn_grad_transposed *memo; /* grad_rows.c */
	size_t nmemo, cap_memo;
	uint32_t seg_ptr, seg_rows, seg; /* the last array of segments of terms */
};

/* *out = a value that is made, or return the error that making it set. */
#define VAL(out, expr)                                                                            \
	do {                                                                                      \
		*(out) = (expr);                                                                  \
		if (*(out) == RN_NONE)                                                            \
			return q->e->code;                                                        \
	} while (0)

/* Is a gradient of this value (RN_NONE: of none) needed? */
bool rn_grad_wanted(const struct rn_grad *q, uint32_t val);
/* Add x to the gradient of `val`. */
RN_MUST_CHECK int rn_grad_give(struct rn_grad *q, uint32_t val, uint32_t x);

/* ---- elementwise (grad_ew.c) --------------------------------------------------------- */

RN_MUST_CHECK int rn_grad_ew(struct rn_grad *q, const struct rn_inst *i, uint32_t g);
/* Does a scalar function have a derivative by operand k? */
bool rn_grad_ew_flows(enum rn_ew fn, uint32_t k);
/* Features that an operand of lower width was read into: back, by sums. */
RN_MUST_CHECK int rn_grad_reduce(struct rn_grad *q, struct rn_in in, uint32_t *x);
/* g read through a feature map (RN_NONE: as it is), on v's rows and in its shape. */
RN_MUST_CHECK int rn_grad_spread(struct rn_grad *q, uint32_t g, uint32_t fmap,
				 const struct rn_val *v, uint32_t *out);

/* ---- rows (grad_rows.c) -------------------------------------------------------------- */

RN_MUST_CHECK int rn_grad_gather(struct rn_grad *q, const struct rn_inst *i, uint32_t g);
RN_MUST_CHECK int rn_grad_spmm(struct rn_grad *q, const struct rn_inst *i, uint32_t g);
RN_MUST_CHECK int rn_grad_sddmm(struct rn_grad *q, const struct rn_inst *i, uint32_t g);

#endif
