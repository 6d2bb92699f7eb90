/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes a tensor program well formed.  The builder checks shapes as it
 * adds an instruction; a machine checks the whole program again, with the
 * contents of index arrays, before it runs one that may come from elsewhere.
 */
#ifndef RN_PROG_CHECK_H
#define RN_PROG_CHECK_H

#include "prog.h"

/* Operands, index arrays and shapes of one instruction whose `out` exists. */
RN_MUST_CHECK int rn_inst_check(const struct rn_prog *p, const struct rn_inst *i, struct rn_err *e);

/* Every instruction, operands before their use, every index within its bounds. */
RN_MUST_CHECK int rn_prog_check(const struct rn_prog *p, struct rn_err *e);

/* "[2,3]"; "[]" for a scalar. */
void rn_shape_text(uint32_t rank, const uint32_t *dim, char *out, size_t cap);

#endif
