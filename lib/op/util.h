/* SPDX-License-Identifier: Apache-2.0
 *
 * What several operators share: content by row maps, parts by row maps.
 */
#ifndef RN_OP_UTIL_H
#define RN_OP_UTIL_H

#include "op.h"

/* The columns of `in` (no parts) by a row map; map NULL: the same columns, shared.
 * The declared key stays where `keep_key` says that it still holds.  By parts on the
 * team, which may be NULL.  *out owned. */
RN_MUST_CHECK int rn_op_content(struct rn_team *t, const struct rn_rel *in,
				const struct rn_buf *map, uint64_t n, bool keep_key,
				struct rn_rel **out, struct rn_err *e);

/* A part seen through one more row map of n rows (NULL: as it is); the name is copied. */
RN_MUST_CHECK int rn_op_select_part(struct rn_prog *p, const struct rn_lpart *in, const char *name,
				    const struct rn_buf *map, uint32_t n, struct rn_lpart *out,
				    struct rn_err *e);

/* All parts of `in` through one row map into out->parts. */
RN_MUST_CHECK int rn_op_select_parts(struct rn_prog *p, const struct rn_lrel *in,
				     const struct rn_buf *map, uint32_t n, struct rn_lrel *out,
				     struct rn_err *e);

/* For reach: mark row map[i] (i where map is NULL) wherever `out` has a mark; RN_NO_ROW: none. */
void rn_op_reach_map(const struct rn_buf *map, const uint8_t *out, uint64_t rows, uint8_t *mark);

/* State and hooks of an operator whose rows are rows of input 0: some, in another order, or
 * more than once.  Its bind makes the map. */
struct rn_op_rows {
	struct rn_buf *map; /* uint32_t[rows of the output]: rows of input 0 */
};
RN_MUST_CHECK int rn_op_rows_reach(const struct rn_ctx *c, const struct rn_node *n,
				   const void *state, const struct rn_rel *const *in, uint32_t k,
				   const uint8_t *out, uint64_t rows, uint8_t *mark,
				   struct rn_err *e);
RN_MUST_CHECK int rn_op_rows_lower(const struct rn_lower *lw, const struct rn_node *n,
				   const void *state, const struct rn_lrel *in,
				   struct rn_lrel *out, struct rn_err *e);
void rn_op_rows_close(void *state);

/* Room for n parts, zeroed. */
RN_MUST_CHECK int rn_op_alloc_parts(struct rn_lrel *out, size_t n, struct rn_err *e);
/* Make x, which owns no name, the sole part, called `name`. */
RN_MUST_CHECK int rn_op_sole_part(struct rn_lrel *out, const char *name, const struct rn_lpart *x,
				  struct rn_err *e);

/* The environment in which node n lowers an expression over `in`. */
struct rn_lower_env rn_op_env(const struct rn_lower *lw, const struct rn_node *n,
			      const struct rn_lrel *in);

/* Mark the columns in out's schema (those names, all bare and unqualified) as its key. */
RN_MUST_CHECK int rn_op_set_key(struct rn_schema *s, const uint32_t *cols, size_t n,
				struct rn_err *e);
/* The columns of `from`, and its key, at the end of `to`, which has none. */
RN_MUST_CHECK int rn_op_copy_columns(const struct rn_schema *from, struct rn_schema *to,
				     struct rn_err *e);
RN_MUST_CHECK int rn_op_copy_key(const struct rn_schema *from, struct rn_schema *to,
				 struct rn_err *e);

/* No two columns of one name and qualifier (RN_EUSAGE names it). */
RN_MUST_CHECK int rn_op_check_columns(const struct rn_schema *s, struct rn_err *e);

/* Every value of a RN_OPT_MAP option must be text (a JSON spec may hold numbers). */
RN_MUST_CHECK int rn_op_check_map(const struct rn_node *n, const char *option, struct rn_err *e);

/* `rows` rows of s fit into --mem (a string counts as 8 bytes), or RN_ENOMEM. */
RN_MUST_CHECK int rn_op_check_mem(const struct rn_ctx *c, uint64_t rows, const struct rn_schema *s,
				  struct rn_err *e);

/* Rows fit into the row maps (RN_MAX_ROWS), or RN_ENOMEM. */
RN_MUST_CHECK int rn_op_check_rows(uint64_t rows, struct rn_err *e);

#endif
