/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kinds of joins share.  Private to lib/rel.
 */
#ifndef RN_JOIN_H
#define RN_JOIN_H

#include "keyset.h"

struct rn_hash_index {
	struct rn_keyset *set;
	struct rn_buf *ptr;  /* uint32_t[set->n + 1] */
	struct rn_buf *rows; /* uint32_t[ptr[n]]; NULL: the identity */
	uint64_t nulls;      /* rows that are in no key */
};

static inline uint32_t rn_hash_index_row(const struct rn_hash_index *x, uint32_t at)
{
	return x->rows ? ((const uint32_t *)x->rows->data)[at] : at;
}

/* The key on the right that each row of left has: uint32_t[left->rows], *of owned;
 * also counts the NULLs into o. */
RN_MUST_CHECK int rn_join_find(struct rn_team *t, const struct rn_key *left,
			       const struct rn_key *right, const struct rn_hash_index *x,
			       struct rn_buf **of, struct rn_join_result *o, struct rn_err *e);

/* Those of key g are at[ptr[g]] … at[ptr[g + 1] - 1], equal ones ascending, rows whose value is
 * NULL left out; values has what is at these places, side by side, as they are looked through. */
struct rn_join_order {
	struct rn_buf *ptr, *at;
	struct rn_column *values;
};
/* The first of the places lo … hi - 1 (of one key) whose value is not below value i of `of`
 * (`equal`: is above it), or hi.  From any thread. */
uint32_t rn_join_order_place(const struct rn_join_order *o, const struct rn_column *of, uint64_t i,
			     bool equal, uint32_t lo, uint32_t hi);

/* The right rows in the order in which the bounds of a test stand. */
struct rn_join_range {
	const struct rn_pair_test *test; /* borrowed */
	struct rn_join_order *order;     /* NULL: none */
};
RN_MUST_CHECK int rn_join_range_open(const struct rn_ctx *c, const struct rn_hash_index *x,
				     const struct rn_pair_test *test, struct rn_join_range *r,
				     struct rn_err *e);
void rn_join_range_fini(struct rn_join_range *r);
/* The right rows with that key that are within the bounds of left row i: n of them, in that
 * order.  From any thread. */
const uint32_t *rn_join_range_find(const struct rn_join_range *r, uint64_t i, uint32_t key,
				   uint32_t *n);

/* How many rows a join with `maps` row maps may have: by the memory limit, and RN_MAX_ROWS. */
uint64_t rn_join_most_rows(const struct rn_ctx *c, unsigned maps);
/* "joining A with B rows GIVES N rows, …" at the end of b. */
void rn_join_add_refusal(const struct rn_ctx *c, uint64_t nleft, uint64_t nright,
			 const char *gives, uint64_t rows, uint64_t bytes, struct rn_str *b);
/* "; src=5 alone gives 12 (3 left with 4 right rows)", the key that gives most; of: each left
 * row's number of the key, or RN_NO_ROW. */
void rn_join_add_worst_key(const struct rn_hash_index *x, const uint32_t *of,
			   const struct rn_key *left, struct rn_str *b);
/* RN_ENOMEM with the text of b, which is freed. */
RN_MUST_CHECK int rn_join_refuse(struct rn_str *b, struct rn_err *e);

#endif
