/* SPDX-License-Identifier: Apache-2.0
 *
 * The condition that a join has beside its keys (--and): a content expression over
 * the columns of both sides, evaluated for candidate pairs of rows.
 */
#ifndef RN_JOIN_COND_H
#define RN_JOIN_COND_H

#include "../expr/content.h"
#include "join_schema.h"

struct rn_join_cond {
	struct rn_cexpr *x;
	struct rn_schema schema; /* the columns that it reads */
	size_t *col;             /* where they are: in the left rows, or in the last input, */
	bool *right;             /* by this */
	struct rn_column **cols; /* the caller fills them in, references of its own */
};

/* Parse node n's condition over pairs of rows; left: the schema of the rows that the
 * last input is joined to, by the keys k. */
RN_MUST_CHECK int rn_join_cond_open(const struct rn_node *n, const struct rn_schema *const *in,
				    const struct rn_schema *left, const struct rn_join_keys *k,
				    struct rn_join_cond *c, struct rn_err *e);
void rn_join_cond_fini(struct rn_join_cond *c);

/* The test of pairs of rows that the condition is; c's columns are there, and c outlives it. */
void rn_join_cond_test(struct rn_join_cond *c, struct rn_pair_test *out);

/* struct rn_pair_test's function; arg is the condition, cols filled in. */
int rn_join_cond_keep(void *arg, const uint32_t *left, const uint32_t *right, size_t n,
		      uint8_t *keep, struct rn_err *e);

#endif
