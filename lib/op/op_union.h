/* SPDX-License-Identifier: Apache-2.0
 *
 * A union block by block.
 */
#ifndef RN_OP_UNION_H
#define RN_OP_UNION_H

#include "op.h"

/* A block of input i as rows of the union of n->nin inputs: the same values that bind and
 * lower give them.  in: the inputs' schemas; out: the union's.  *r owned. */
RN_MUST_CHECK int rn_union_block(const struct rn_node *n, const struct rn_schema *const *in,
				 const struct rn_schema *out, size_t i, const struct rn_rel *block,
				 struct rn_rel **r, struct rn_err *e);

#endif
