/* SPDX-License-Identifier: Apache-2.0
 *
 * The schemas of a join: names of its inputs, key columns, columns of the result,
 * and columns of a pair of rows, over which a condition is written.
 */
#ifndef RN_JOIN_SCHEMA_H
#define RN_JOIN_SCHEMA_H

#include "../rel/key.h"
#include "op.h"

enum { RN_JOIN_KEYS = 64 };

struct rn_join_keys {
	size_t n;
	size_t left[RN_JOIN_KEYS], right[RN_JOIN_KEYS]; /* columns of the rows so far, and of the
							 * next input */
};

enum rn_join_kind rn_join_kind_of(const struct rn_node *n);
/* Does it keep left rows as they are (semi, anti)? */
bool rn_join_is_filter(const struct rn_node *n);
/* NAME of input i, of schema s: as written, else the relation's, else a, b, c, … */
const char *rn_join_input_name(const struct rn_node *n, const struct rn_schema *s, size_t i,
			       char buf[8]);

/* The joined schema with the inputs' parts, before an expression replaces them; it has the
 * first input's unique key where no row can have two partners.  keys[i] gets the keys by
 * which input i+1 is joined, *left (may be NULL) the schema of the rows that the last
 * input is joined to. */
RN_MUST_CHECK int rn_join_schema(const struct rn_node *n, const struct rn_schema *const *in,
				 struct rn_join_keys *keys, struct rn_schema *left,
				 struct rn_schema *out, struct rn_err *e);
/* Where --asof's columns are in the two inputs. */
RN_MUST_CHECK int rn_join_asof_columns(const struct rn_node *n, const struct rn_schema *l,
				       const struct rn_schema *r, size_t *lt, size_t *rt,
				       struct rn_err *e);

/* A pair of rows of the last join: all columns of both, those of the key too. */
struct rn_join_pair {
	struct rn_schema schema;
	size_t *col;  /* of the left rows, or of the last input */
	bool *right;
};
RN_MUST_CHECK int rn_join_pair_schema(const struct rn_node *n, const struct rn_schema *const *in,
				      const struct rn_schema *left, const struct rn_join_keys *k,
				      struct rn_join_pair *p, struct rn_err *e);
void rn_join_pair_fini(struct rn_join_pair *p);

#endif
