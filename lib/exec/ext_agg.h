/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates of groups whose rows do not fit into memory together.
 */
#ifndef RN_EXT_AGG_H
#define RN_EXT_AGG_H

#include "ext.h"

/* Rows are taken in pieces.  Of each group, runs of 256 rows are given to the operator
 * as groups of their own, and what comes of them is added up in order, which is the
 * order in which the operator adds.  Counts, sums, averages, variances, minima, maxima,
 * first and last values, and sums, means, maxima and minima of embeddings can be made so;
 * distinct values and quantiles are found in their order (ext_values.h), sums of a sparse part
 * feature by feature (ext_sparse.h).  A softmax and sums of what is made of sparse parts are
 * RN_ENOMEM with the key of the largest group. */
struct rn_accum;
/* schema: of the rows; by: the grouping columns (borrowed); number: the column with the
 * numbers of the rows, or SIZE_MAX. */
RN_MUST_CHECK int rn_accum_open(struct rn_ext *x, const struct rn_schema *schema,
				const size_t *by, size_t nby, size_t number,
				struct rn_accum **out, struct rn_err *e);
void rn_accum_close(struct rn_accum *a); /* NULL is fine */
/* RN_ENOMEM if an aggregate cannot be made in pieces; key: of the group, and its rows, "at
 * least" or "some" so many. */
RN_MUST_CHECK int rn_accum_check(const struct rn_accum *a, const char *key, const char *most,
				 uint64_t rows, struct rn_err *e);
/* Before the first rows, for each block of the relation of --keys: its keys are the groups, and
 * rows with others are left out.  at: the key columns there, number: that with the numbers. */
RN_MUST_CHECK int rn_accum_keys(struct rn_accum *a, const struct rn_rel *keys, const size_t *at,
				size_t number, struct rn_err *e);
uint64_t rn_accum_kept(const struct rn_accum *a); /* rows that were not left out */
/* Must the rows be given a second time, after rn_accum_again? */
bool rn_accum_twice(const struct rn_accum *a);
/* A block of rows (takes the reference). */
RN_MUST_CHECK int rn_accum_add(struct rn_accum *a, struct rn_rel *block, struct rn_err *e);
RN_MUST_CHECK int rn_accum_again(struct rn_accum *a, struct rn_err *e);
/* After the last: a row per group in order of first appearance, as the operator makes it,
 * *out owned; *first: the number of its first row, or of its key (owned). */
RN_MUST_CHECK int rn_accum_end(struct rn_accum *a, struct rn_rel **out, struct rn_column **first,
			       struct rn_err *e);

#endif
