/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates over groups: SQL's on content columns, and the sum of sparse rows.
 */
#ifndef RN_AGGREGATE_H
#define RN_AGGREGATE_H

#include "../rel/key.h"
#include "op.h"

/* `text` is count(*), or count, sum, avg, min or max of a content expression over
 * `s`; *out is the type of the result (RN_EUSAGE says what is wrong).  As in SQL:
 * count is int64; sum keeps int64 and float64; avg is float64; min and max keep
 * the type.  NULLs are left out; sum, avg, min, max of none is NULL. */
RN_MUST_CHECK int rn_aggregate_type(const char *text, const struct rn_schema *s, enum rn_type *out,
				    struct rn_err *e);

/* One value per group; *out owned.  An int64 sum that overflows is RN_EDATA.
 * float64 sums are added in chunks of 256 rows from the group's start, the
 * chunks in order. */
RN_MUST_CHECK int rn_aggregate(const char *text, const struct rn_rel *in, const struct rn_groups *g,
			       struct rn_column **out, struct rn_err *e);

/* The sum of sparse rows per group is sparse: replaces z (flattened, sparse) by
 * one row per group whose pattern is the union of its rows' patterns. */
RN_MUST_CHECK int rn_aggregate_sparse(struct rn_prog *p, const struct rn_groups *g,
				      struct rn_lpart *z, struct rn_err *e);
/* Multiply the stored values of row i of z by by[i] (a [rows,1] value). */
RN_MUST_CHECK int rn_aggregate_sparse_scale(struct rn_prog *p, struct rn_lpart *z, uint32_t by,
					    struct rn_err *e);

#endif
