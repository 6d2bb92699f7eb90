/* SPDX-License-Identifier: Apache-2.0
 *
 * What the operator agg shares with who groups rows in parts.
 */
#ifndef RN_OP_AGG_H
#define RN_OP_AGG_H

#include "op.h"

/* Where the columns of --by are in the input and, with --keys, in the key relation (keys:
 * its schema, or NULL).  *at and *keys_at owned, *count long. */
RN_MUST_CHECK int rn_agg_find_by(const struct rn_node *n, const struct rn_schema *in,
				 const struct rn_schema *keys, size_t **at, size_t **keys_at,
				 size_t *count, struct rn_err *e);
/* Say that so many rows have a key that --keys lacks; under --strict that is an error. */
RN_MUST_CHECK int rn_agg_report(const struct rn_ctx *c, const struct rn_node *n, uint64_t dropped,
				struct rn_err *e);

#endif
