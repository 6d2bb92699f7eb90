/* SPDX-License-Identifier: Apache-2.0
 *
 * Reverse-mode differentiation of a tensor program: appends the instructions
 * that compute d loss / d value for the values asked for.  One readable table
 * of rules, a row a primitive and a row a scalar function.  The first
 * contribution to a gradient is taken as it is, later ones are added, in the
 * static order of the program walked backward.
 */
#ifndef RN_GRAD_H
#define RN_GRAD_H

#include "../dev/prog.h"

/* loss: a value of one row and width 1.  wrt[i] -> grad[i]: the value that holds
 * its gradient (a zero constant where the loss does not depend on it).
 * Runs before fusion.  Instructions get the stage of the instruction that they
 * differentiate. */
RN_MUST_CHECK int rn_prog_grad(struct rn_prog *p, uint32_t loss, const uint32_t *wrt, size_t n,
			       uint32_t *grad, struct rn_err *e);

/* Whether a value's gradient can be had at all (RN_P_ARGMAX, rounding… give zero). */
bool rn_prim_differentiable(enum rn_prim op);

#endif
