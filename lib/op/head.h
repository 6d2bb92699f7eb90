/* SPDX-License-Identifier: Apache-2.0
 *
 * The first rows: of all or of each group, in the order of the input, in another
 * order, or at random.  Rows come block by block, and about twice what is kept is
 * held at a time.
 */
#ifndef RN_HEAD_H
#define RN_HEAD_H

#include "op.h"

struct rn_head_conf {
	uint64_t rows;       /* how many, of each group */
	const json_t *by;    /* grouping columns, an array of names; NULL or empty: one group */
	const json_t *order; /* as rn_order_check wants it; NULL: the order of the input */
	bool random;         /* in place of an order: by a draw for each row's number */
	uint64_t seed;
};

struct rn_head;
/* For rows of schema s; conf and s are borrowed until the end. */
RN_MUST_CHECK int rn_head_new(const struct rn_ctx *c, const struct rn_head_conf *conf,
			      const struct rn_schema *s, struct rn_head **out, struct rn_err *e);
/* The next rows of the input. */
RN_MUST_CHECK int rn_head_add(struct rn_head *h, struct rn_rel *r, struct rn_err *e);
/* Drop of the rows held those that cannot be among the first; rn_head_add does so where they
 * have become many. */
RN_MUST_CHECK int rn_head_drop(struct rn_head *h, struct rn_err *e);
/* Rows that are held, and their bytes; rows in pieces, in the order of the input (borrowed;
 * NULL: no more). */
uint64_t rn_head_rows(const struct rn_head *h);
uint64_t rn_head_bytes(const struct rn_head *h);
const struct rn_rel *rn_head_held(const struct rn_head *h, size_t i);
/* The numbers in the input of the rows that are held: uint64_t[rn_head_rows] (borrowed). */
const uint64_t *rn_head_numbers(const struct rn_head *h);
/* What a random choice goes by, the smallest first: a draw for each of n numbers; *out owned. */
RN_MUST_CHECK int rn_head_draws(uint64_t seed, const uint64_t *number, uint64_t n,
				struct rn_column **out, struct rn_err *e);
/* The rows: in the order given, else in that of the input.  *out owned; once.
 * In an order given they have no declared key. */
RN_MUST_CHECK int rn_head_take(struct rn_head *h, struct rn_rel **out, struct rn_err *e);
void rn_head_free(struct rn_head *h); /* NULL is fine */

#endif
