/* SPDX-License-Identifier: Apache-2.0
 *
 * Passes over tensor programs, in the order in which bind applies them.  None
 * changes a bit of what a program computes, except where it says so.
 */
#ifndef RN_PASS_H
#define RN_PASS_H

#include "../base/ctx.h"
#include "../dev/backend.h"

/* Run what depends on no parameter and no randomness, once; those values become
 * constants and their instructions go.  Segment sums of products inside a stage are
 * recognised as by rn_pass_sparse, whatever other stages are in the program. */
RN_MUST_CHECK int rn_pass_fold(struct rn_prog *p, struct rn_backend *b, struct rn_err *e);

/* sum(w * x[src]) over segments -> RN_P_SPMM without the per-edge product, dot
 * products of gathered rows -> RN_P_SDDMM, and row-wise functions of gathered rows
 * -> gathers of their results.  The last bits of results may change. */
RN_MUST_CHECK int rn_pass_sparse(struct rn_prog *p, struct rn_err *e);

/* Keep only the rows that `roots` depend on: constants, index arrays and
 * results are compacted; dropout keeps the ordinals of the unrestricted rows.
 * What neither roots nor kept values depend on is dropped.  Runs before gradients. */
RN_MUST_CHECK int rn_pass_restrict(struct rn_prog *p, const uint32_t *roots, size_t n,
				   struct rn_err *e);

/* Fuse chains of RN_P_EW into RN_P_ELEM.  Also drops instructions that no kept
 * value (so the loss must be one) and no optimizer step depends on.
 * `same_stage`: fuse only within a stage (staged placement; the bits are the same). */
RN_MUST_CHECK int rn_pass_fuse(struct rn_prog *p, bool same_stage, struct rn_err *e);

/* Renumber after passes that left holes: drop dead instructions, values, arrays.
 * `live`: values to keep beside those with `keep`; renumbered in place. */
RN_MUST_CHECK int rn_pass_sweep(struct rn_prog *p, uint32_t *const *live, size_t n,
				struct rn_err *e);

#endif
