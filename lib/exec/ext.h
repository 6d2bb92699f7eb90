/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators over inputs that need not fit into memory.  What is above --mem is cut
 * into pieces that fit, each piece is given to the operator as it is in memory, and
 * what comes out is put into the order that the operator defines: rows, order and bits
 * are those of one run in memory.
 *
 * Of --mem, blocks of inputs that wait take a quarter; later inputs of a join with their
 * indexes three eighths; rows to be grouped five eighths, to be sorted three quarters, with
 * all that this takes; blocks of temporary data on their way an eighth.
 */
#ifndef RN_EXT_H
#define RN_EXT_H

#include "../rel/key.h"
#include "feed.h"

struct rn_ext {
	const struct rn_ctx *ctx;
	struct rn_backend *backend;
	const struct rn_node *node;
	struct rn_params *params;
	struct rn_spill *file;
	size_t nin;
	struct rn_feeds *feeds;
	const struct rn_schema **schema; /* of the inputs */
	int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e); /* rows of the output */
	void *emit_arg;
	uint64_t rows_in;
};

/* The operators.  The inputs are evaluated, and their rn_feed_section was
 * called. */
RN_MUST_CHECK int rn_ext_join(struct rn_ext *x, struct rn_err *e);
RN_MUST_CHECK int rn_ext_agg(struct rn_ext *x, struct rn_err *e);
RN_MUST_CHECK int rn_ext_sort(struct rn_ext *x, struct rn_err *e);
RN_MUST_CHECK int rn_ext_union(struct rn_ext *x, struct rn_err *e);
/* Any other: all inputs in memory, where they fit. */
RN_MUST_CHECK int rn_ext_whole(struct rn_ext *x, struct rn_err *e);

/* ---- sizes (ext_util.c) --------------------------------------------------------------- */

/* Bytes to plan with: --mem, but never below 64 KiB; without a limit, more than there is. */
uint64_t rn_ext_mem(const struct rn_ctx *c);
/* Bytes of a block of temporary data. */
uint64_t rn_ext_block(const struct rn_ctx *c);
/* Lower the bound node with its inputs as constants, run it, give r its parts (eval.c). */
RN_MUST_CHECK int rn_eval_parts(const struct rn_ctx *c, struct rn_backend *b,
				const struct rn_node *n, const void *state,
				const struct rn_rel *const *in, struct rn_params *params,
				struct rn_rel *r, struct rn_err *e);

/* ---- pieces ---------------------------------------------------------------------------- */

/* The next block of input i, counted; *out owned, NULL at the end. */
RN_MUST_CHECK int rn_ext_next(struct rn_ext *x, size_t i, struct rn_rel **out, struct rn_err *e);
/* The blocks rs as one relation (they are released), *out owned. */
RN_MUST_CHECK int rn_ext_stack(const struct rn_schema *s, struct rn_rel **rs, size_t n,
			       struct rn_rel **out, struct rn_err *e);
/* r with one more int64 column at the end: first, first + 1, … */
RN_MUST_CHECK int rn_ext_number(const struct rn_rel *r, const char *name, uint64_t first,
				struct rn_rel **out, struct rn_err *e);
RN_MUST_CHECK int rn_ext_add_col(const struct rn_rel *r, const char *name, struct rn_column *c,
				 struct rn_rel **out, struct rn_err *e);
/* r without column `col`; key: a schema whose key the result has, or NULL. */
RN_MUST_CHECK int rn_ext_drop_col(const struct rn_rel *r, size_t col, const struct rn_schema *key,
				  struct rn_rel **out, struct rn_err *e);
/* A column name that no column of s or t and no member of `taken` has; each may be NULL. */
void rn_ext_free_name(const struct rn_schema *s, const struct rn_schema *t, const json_t *taken,
		      const char *like, char buf[64]);

/* ---- piles: temporary data that are written once, and read once or twice ----------------- */

struct rn_pile;
RN_MUST_CHECK int rn_pile_new(struct rn_ext *x, const struct rn_schema *s, struct rn_pile **out,
			     struct rn_err *e);
void rn_pile_free(struct rn_pile *r); /* NULL is fine */
/* Rows, which are cut and joined to blocks of their own size. */
RN_MUST_CHECK int rn_pile_add(struct rn_pile *r, const struct rn_rel *rel, struct rn_err *e);
/* … for what emits: arg is the pile. */
RN_MUST_CHECK int rn_pile_emit(void *arg, const struct rn_rel *rel, struct rn_err *e);
/* After the last: the spool (borrowed). */
RN_MUST_CHECK int rn_pile_end(struct rn_pile *r, struct rn_spool **out, struct rn_err *e);

/* Rows on piles by the hash of key columns. */
struct rn_parts {
	size_t n, nkeys;
	const size_t *keys;  /* columns; borrowed */
	bool spread_nulls;   /* rows with a NULL in the key go anywhere */
	unsigned level;      /* of partitions of partitions: another hash */
	struct rn_pile **piles;
};
enum { RN_EXT_PARTS = 64, RN_EXT_LEVELS = 6 };
/* So many that what takes `bytes` comes to take less than `room`, 2 … RN_EXT_PARTS. */
size_t rn_parts_count(uint64_t bytes, uint64_t room);
/* p->n piles.  One block of each waits in memory until rn_parts_end. */
RN_MUST_CHECK int rn_parts_open(struct rn_ext *x, const struct rn_schema *s, struct rn_parts *p,
				struct rn_err *e);
RN_MUST_CHECK int rn_parts_add(struct rn_parts *p, const struct rn_rel *r, struct rn_err *e);
/* After the last: what waits is written. */
RN_MUST_CHECK int rn_parts_end(struct rn_parts *p, struct rn_err *e);
/* All rows of *pile, which is freed and becomes NULL, on p->n piles: open, add and end. */
RN_MUST_CHECK int rn_parts_divide(struct rn_ext *x, const struct rn_schema *s,
				  struct rn_pile **pile, struct rn_parts *p, struct rn_err *e);
void rn_parts_close(struct rn_parts *p);

/* ---- merging (ext_merge.c) ---------------------------------------------------------------- */

struct rn_merge {
	/* The columns that decide, of a block: n new references. */
	int (*keys)(void *arg, const struct rn_rel *block, struct rn_column **cols, struct rn_err *e);
	void *arg;
	size_t n;
	const bool *desc; /* NULL: all ascend */
	bool nulls_last;  /* else NULL is the smallest value */
};
/* Rows of piles that are in order, as one in order; of equal rows those of earlier piles
 * come first.  The piles are freed, and their places set to NULL. */
RN_MUST_CHECK int rn_ext_merge(struct rn_ext *x, const struct rn_merge *m, struct rn_pile **piles,
			       size_t n, int (*emit)(void *arg, const struct rn_rel *r,
						     struct rn_err *e),
			       void *arg, struct rn_err *e);

#endif
