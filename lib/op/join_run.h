/* SPDX-License-Identifier: Apache-2.0
 *
 * A join while it runs: the inputs after the first are indexed once, and left rows are
 * joined to them all at once (by op_join's bind), or in pieces, whose outputs one after
 * the other are the same rows.
 */
#ifndef RN_JOIN_RUN_H
#define RN_JOIN_RUN_H

#include "join_cond.h"

/* The state of a bound join: what lower reads. */
struct rn_join_state {
	size_t n;
	struct rn_buf *map[RN_MANY]; /* per input: uint32_t[rows] */
	struct rn_schema schema;     /* with the inputs' parts, before an expression */
};
void rn_join_state_fini(struct rn_join_state *s);

/* Rows without a partner in input i. */
struct rn_join_count {
	uint64_t left_unmatched, left_null, right_unmatched, right_null;
};

struct rn_join_run {
	const struct rn_ctx *ctx;
	const struct rn_node *n;
	const struct rn_schema *const *schema; /* of the inputs, parts too */
	const struct rn_rel **in;              /* in[0]: the piece */
	struct rn_join_keys *keys;             /* [i - 1]: of input i */
	struct rn_schema left;                 /* of the rows that the last input is joined to */
	struct rn_hash_index **index;          /* of input i; NULL: not made yet */
	struct rn_join_order *times;           /* as of: the second input's; NULL: not made yet */
	struct rn_join_count *count;           /* with input i */
	struct rn_join_state *st;              /* maps of the piece's output */
	uint64_t rows;                         /* of it */
	bool pieces;
	uint8_t *met; /* full join in pieces: right rows that have a partner */
};

/* in[1] … : the later inputs, borrowed as all else.  st is zeroed, and the caller's. */
RN_MUST_CHECK int rn_join_run_open(struct rn_join_run *r, const struct rn_ctx *c,
				   const struct rn_node *n, const struct rn_schema *const *schema,
				   const struct rn_rel *const *in, bool pieces,
				   struct rn_join_state *st, struct rn_err *e);
void rn_join_run_close(struct rn_join_run *r);

/* Join `left`, which must stay until the next one.  RN_ENOMEM where the numbers of the
 * output rows take more than c->mem_limit (the counts are then as before). */
RN_MUST_CHECK int rn_join_run_piece(struct rn_join_run *r, const struct rn_ctx *c,
				    const struct rn_rel *left, struct rn_err *e);
/* After the last piece of a full join: the right rows without a partner.  left: no rows. */
RN_MUST_CHECK int rn_join_run_rest(struct rn_join_run *r, const struct rn_rel *left,
				   struct rn_err *e);
/* Rows from … from + n - 1 of the piece's output: their content, *out owned, and the state
 * that lower wants for them (finish it without its schema). */
RN_MUST_CHECK int rn_join_run_content(const struct rn_join_run *r, uint64_t from, uint64_t n,
				      struct rn_join_state *part, struct rn_rel **out,
				      struct rn_err *e);
/* Give it the inputs' parts as views, where the join has no expression. */
RN_MUST_CHECK int rn_join_run_views(const struct rn_join_run *r, const struct rn_join_state *part,
				    struct rn_rel *out, struct rn_err *e);
/* Say what found no partner, at the end of all; under --strict that is an error. */
RN_MUST_CHECK int rn_join_run_report(const struct rn_join_run *r, struct rn_err *e);

#endif
