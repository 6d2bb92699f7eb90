/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of a sparse part by group, of any number of rows: what is held is what the sums
 * themselves have.
 */
#ifndef RN_EXT_SPARSE_H
#define RN_EXT_SPARSE_H

#include "ext.h"

struct rn_sparse_sums;
/* Of part `part`, `width` features wide. */
RN_MUST_CHECK int rn_sparse_sums_open(struct rn_ext *x, size_t part, uint32_t width,
				      struct rn_sparse_sums **out, struct rn_err *e);
void rn_sparse_sums_close(struct rn_sparse_sums *s); /* NULL is fine */
/* The next rows of the groups: row i is one of group[i].  RN_ENOMEM: the sums do not fit. */
RN_MUST_CHECK int rn_sparse_sums_add(struct rn_sparse_sums *s, const struct rn_rel *rows,
				     const uint32_t *group, struct rn_err *e);
/* After the last, once: a row for each of n groups, as the operator adds them up.  rows: of each
 * group, by which its sums are divided; NULL: they are not.  *out owned. */
RN_MUST_CHECK int rn_sparse_sums_take(struct rn_sparse_sums *s, uint64_t n, const uint64_t *rows,
				      struct rn_tensor **out, struct rn_err *e);

#endif
