/* SPDX-License-Identifier: Apache-2.0
 *
 * The relational side: join, group, distinct, order, all by index arrays.
 *
 * Equality of keys is SQL's: NULL never matches in a join, NULLs form one
 * group; -0.0 equals 0.0; int64 meets float64 where the values are equal
 * exactly (also beyond 2^53); bool, string and timestamp meet their own type
 * only; strings compare bytewise.
 *
 * Order of rows is defined and does not depend on threads: the rows of a join
 * are lexicographic by input row numbers; groups come in order of first
 * appearance.
 */
#ifndef RN_KEY_H
#define RN_KEY_H

#include "../base/ctx.h"
#include "rel.h"

/* Key columns of one input: n columns of the same number of rows.  Borrowed. */
struct rn_key {
	size_t n;
	struct rn_column *const *cols;
	uint64_t rows;
	const char *const *names; /* of the columns, for messages; may be NULL */
};

/* May the types of a and b meet in a key?  RN_EUSAGE names both columns. */
RN_MUST_CHECK int rn_key_types_meet(enum rn_type a, const char *an, enum rn_type b, const char *bn,
				    struct rn_err *e);

/* Below 0, 0, above 0, exactly: by the integer part of b, then by what b is beyond it. */
static inline int rn_key_cmp_mixed(int64_t a, double b)
{
	int64_t t;
	double part;

	if (!(b < 0x1p63)) /* nor NaN, which may stand under a NULL */
		return -1;
	if (b < -0x1p63)
		return 1;
	t = (int64_t)b;
	part = b - (double)t;
	return a != t ? (a > t) - (a < t) : (part < 0) - (part > 0);
}

/* A hash index of one input: for every distinct key its rows, ascending. */
struct rn_hash_index;
RN_MUST_CHECK int rn_hash_index_new(const struct rn_ctx *c, const struct rn_key *k,
				    struct rn_hash_index **out, struct rn_err *e);
void rn_hash_index_free(struct rn_hash_index *x);

enum rn_join_kind { RN_JOIN_INNER, RN_JOIN_LEFT, RN_JOIN_SEMI, RN_JOIN_ANTI, RN_JOIN_FULL };
/* Does a row of such a join come from both sides (where it has a partner)? */
static inline bool rn_join_pairs(enum rn_join_kind k)
{
	return k != RN_JOIN_SEMI && k != RN_JOIN_ANTI;
}

struct rn_join_result {
	uint64_t rows;
	struct rn_buf *left;  /* uint32_t[rows]; RN_NO_ROW for a right row that a full join keeps */
	struct rn_buf *right; /* uint32_t[rows], RN_NO_ROW for a left row without a partner;
				 NULL for semi and anti */
	uint64_t left_unmatched;  /* left rows without a partner (NULL keys included) */
	uint64_t right_unmatched; /* right rows likewise; counted by full joins only */
	uint64_t left_null, right_null; /* rows with a NULL in the key */
};
void rn_join_result_fini(struct rn_join_result *r);

/* Join left with an indexed right.  Counts its output before it allocates;
 * above c->mem_limit, or above RN_MAX_ROWS rows, RN_ENOMEM with the counts and
 * the key value that contributes most.  A key of no columns is equal everywhere.
 * A full join has the rows of the left one, then the right rows without a partner. */
RN_MUST_CHECK int rn_join(const struct rn_ctx *c, const struct rn_key *left,
			  const struct rn_key *right, const struct rn_hash_index *x,
			  enum rn_join_kind kind, struct rn_join_result *out, struct rn_err *e);

/* Partners of left row i have a value of `by` (see rn_pair_test) that is below left[i], or above it;
 * or_equal: or it. */
struct rn_pair_bound {
	const struct rn_column *left;
	bool above, or_equal;
};
enum { RN_PAIR_BOUNDS = 4 };
/* A condition on pairs of rows beside the key: keep[i] = 1 where left[i] and right[i]
 * are partners, else 0.  Bounds that all partners keep spare the test of pairs that do not;
 * a NULL keeps none. */
struct rn_pair_test {
	int (*keep)(void *arg, const uint32_t *left, const uint32_t *right, size_t n,
		    uint8_t *keep, struct rn_err *e);
	void *arg;
	const struct rn_column *by; /* of the right rows; of a type that meets those of the bounds */
	struct rn_pair_bound bounds[RN_PAIR_BOUNDS];
	size_t nbounds;
};
/* The same, where partners must also pass the test: as in SQL's ON, a row all of whose
 * candidates fail has no partner.  Candidates are tested in batches and not kept. */
RN_MUST_CHECK int rn_join_if(const struct rn_ctx *c, const struct rn_key *left,
			     const struct rn_key *right, const struct rn_hash_index *x,
			     enum rn_join_kind kind, const struct rn_pair_test *test,
			     struct rn_join_result *out, struct rn_err *e);

/* The same rows by parts: several threads may call test->keep at once, and it may be asked
 * twice about a pair. */
RN_MUST_CHECK int rn_join_if_shared(const struct rn_ctx *c, const struct rn_key *left,
				    const struct rn_key *right, const struct rn_hash_index *x,
				    enum rn_join_kind kind, const struct rn_pair_test *test,
				    struct rn_join_result *out, struct rn_err *e);

/* The right rows of each key in the order of a column, made once for any number of joins. */
struct rn_join_order;
RN_MUST_CHECK int rn_join_order_new(const struct rn_ctx *c, const struct rn_hash_index *x,
				    const struct rn_column *by, struct rn_join_order **out,
				    struct rn_err *e);
void rn_join_order_free(struct rn_join_order *o); /* NULL is fine */

/* As of: the only partner of a left row is, of the right rows with its key and a time
 * (of `times`) before lt (`or_equal`: or at it), the latest; of equally late ones the last.
 * NULL times match nothing.  Both are int64, float64 or timestamps that meet; kind is
 * RN_JOIN_INNER or RN_JOIN_LEFT. */
RN_MUST_CHECK int rn_join_asof(const struct rn_ctx *c, const struct rn_key *left,
			       const struct rn_key *right, const struct rn_hash_index *x,
			       const struct rn_column *lt, const struct rn_join_order *times,
			       bool or_equal, enum rn_join_kind kind, struct rn_join_result *out,
			       struct rn_err *e);

struct rn_groups {
	uint64_t n;           /* groups */
	struct rn_buf *of;    /* uint32_t[rows]: the group of each row; RN_NO_ROW: dropped */
	struct rn_buf *first; /* uint32_t[n]: first row of each group (RN_NO_ROW: empty group) */
	struct rn_buf *ptr;   /* uint32_t[n + 1]: group g has rows[ptr[g]] … rows[ptr[g+1]-1] */
	struct rn_buf *rows;  /* uint32_t[ptr[n]]: ascending within a group; NULL: rows[i] = i */
	uint64_t dropped;     /* rows whose key is not in the given key set */
};
void rn_groups_fini(struct rn_groups *g);

/* Groups of equal keys in order of first appearance.  k->n = 0: one group that
 * holds every row (also when there are no rows). */
RN_MUST_CHECK int rn_group(const struct rn_ctx *c, const struct rn_key *k, struct rn_groups *out,
			   struct rn_err *e);

/* The distinct keys alone, *n of them: *first is uint32_t[*n], their first rows, ascending.
 * NULL is a key like another, and a key of no columns is one key if there are rows. */
RN_MUST_CHECK int rn_distinct(const struct rn_ctx *c, const struct rn_key *k, uint64_t *n,
			      struct rn_buf **first, struct rn_err *e);

/* The groups are the distinct keys of `keys`, in its order; rows of k with
 * other keys are dropped and counted.  NULL is a key like another here.
 * out->first refers to rows of `keys`. */
RN_MUST_CHECK int rn_group_keys(const struct rn_ctx *c, const struct rn_key *k,
				const struct rn_key *keys, struct rn_groups *out, struct rn_err *e);

/* Are the keys unique?  *dup: the first row that repeats an earlier one, or RN_NO_ROW.
 * NULL is a key like another here. */
RN_MUST_CHECK int rn_key_unique(const struct rn_ctx *c, const struct rn_key *k, uint32_t *dup,
				struct rn_err *e);

/* Value i of a against value j of b, of types that meet and neither NULL: below 0, 0,
 * above 0.  Exact between int64 and float64; strings bytewise; false before true. */
int rn_column_compare(const struct rn_column *a, uint64_t i, const struct rn_column *b,
		      uint64_t j);

/* The rows in order: by the first column, equal ones by the next, and so on; rows that
 * are equal in all keep their order.  NULL is the smallest value.  *map: uint32_t[rows]. */
struct rn_order {
	const struct rn_column *col;
	bool desc;
};
RN_MUST_CHECK int rn_order_rows(const struct rn_order *by, size_t n, uint64_t rows,
				struct rn_buf **map, struct rn_err *e);
RN_MUST_CHECK int rn_order_rows_team(struct rn_team *t, const struct rn_order *by, size_t n,
				     uint64_t rows, struct rn_buf **map, struct rn_err *e);

/* Key values of row i as text, for messages: "src=5, dst='x'" ("5, 'x'" without names). */
void rn_key_print(const struct rn_key *k, uint64_t i, struct rn_str *out);

/* ---- memory ---------------------------------------------------------------------------- */

/* Upper estimates of the bytes that the functions above hold at their peak, their output
 * included and their input not (but for rounding to huge pages), for who must decide
 * before: `keys` is how many distinct ones there are (at most rows).  While keys are
 * numbered they take, per row, 4 (of) + 8 (word) + 2 (offset) and, per key, 12 (first rows)
 * and at most 48 in tables, which a group gives back one after another; an index keeps 20
 * of them.  Words that are dense take an array of up to 8 per row instead.  Then rows are
 * sorted by number, in 4 + 4 per row and 4 per key beside what is kept; those of a group
 * without dense words in 4 per row, beside the words. */
static inline uint64_t rn_group_bytes(uint64_t rows, uint64_t keys)
{
	return 18 * rows + 24 * keys + 72 * (keys < 1 << 18 ? keys : 1 << 18) + (1 << 17);
}
static inline uint64_t rn_hash_index_bytes(uint64_t rows, uint64_t keys)
{
	return 24 * rows + 88 * keys + (1 << 17);
}
/* Of what stays: the numbers' tables (or array), first rows, and rows by key. */
static inline uint64_t rn_hash_index_kept(uint64_t rows, uint64_t keys)
{
	return 16 * rows + 56 * keys + (1 << 17);
}
/* Numbers of left rows, and two row maps; a full join marks keys and right rows.  Before
 * there are maps, 2^21 words at a time are split by the tables of many right rows. */
static inline uint64_t rn_join_bytes(uint64_t left, uint64_t right, uint64_t out)
{
	uint64_t split = right < 1 << 16 ? 0 : 10 * (left < 1 << 21 ? left : 1 << 21) + (1 << 19);
	uint64_t maps = 2 * right + 8 * out;

	return 4 * left + (maps > split ? maps : split) + (1 << 16);
}
/* Two times 12 bytes of a word and its row, and the map; counts of parts. */
static inline uint64_t rn_order_bytes(uint64_t rows)
{
	return 29 * rows + (1 << 16);
}

/* CSR inverse of a row map: for each of n targets the positions i with
 * map[i] == target, ascending (RN_NO_ROW entries left out).  ptr: uint32_t[n+1]. */
RN_MUST_CHECK int rn_invert_map(const uint32_t *map, uint64_t len, uint64_t n, struct rn_buf **ptr,
				struct rn_buf **pos, struct rn_err *e);
RN_MUST_CHECK int rn_invert_map_team(struct rn_team *t, const uint32_t *map, uint64_t len,
				     uint64_t n, struct rn_buf **ptr, struct rn_buf **pos,
				     struct rn_err *e);

#endif
