/* SPDX-License-Identifier: Apache-2.0
 *
 * The set of distinct keys of an input; the number of a key is its place in
 * order of first appearance.  Private to lib/rel.
 *
 * A key becomes one 64-bit word.  Where all columns are integers (int64,
 * timestamp, bool) whose ranges multiply to less than 2^64, the word *is* the
 * key: the mixed-radix number of its columns' distances from their minima.
 * Elsewhere it is a hash, and the columns decide.  Words that are dense enough
 * index an array; others go to a table with linear probing.  Rows are taken in
 * batches, so that the table's cache misses overlap.
 */
#ifndef RN_KEYSET_H
#define RN_KEYSET_H

#include "key.h"

enum { RN_KEY_BATCH = 512 };

enum rn_keyset_kind {
	RN_KEYSET_ARRAY, /* the word indexes */
	RN_KEYSET_WORD,  /* a table; equal words are equal keys */
	RN_KEYSET_HASH,  /* a table; equal words may be equal keys */
};

/* How a column enters the word. */
struct rn_key_digit {
	uint64_t min;    /* as int64 */
	uint64_t range;  /* maximum - minimum */
	uint64_t stride; /* what one step adds to the word */
	bool null;       /* NULL is digit 0, the minimum is 1 */
};

struct rn_keyset_slot {
	uint64_t word;
	uint32_t id; /* number + 1; 0: empty */
};

struct rn_keyset {
	enum rn_keyset_kind kind;
	bool nulls; /* NULL is a value like another; else a row that has one is in no key */
	uint64_t n; /* distinct keys */
	uint32_t *first; /* their first rows */
	size_t first_cap;
	struct rn_key_digit *digits; /* one per column; RN_KEYSET_HASH: NULL */
	uint64_t words;              /* RN_KEYSET_ARRAY: how many there can be */
	struct rn_buf *table; /* ARRAY: uint32_t[words + 1], number + 1; else rn_keyset_slot[] */
	unsigned bits;        /* of the table's size */
};

/* Collect the distinct keys of k.  of[i] (k->rows of them): the number of row i's
 * key, or RN_NO_ROW.  `stop_at_dup`: end at the first row that repeats a key, which
 * is then *dup; else dup may be NULL. */
RN_MUST_CHECK int rn_keyset_new(const struct rn_key *k, bool nulls, uint32_t *of, uint32_t *dup,
				struct rn_keyset **out, struct rn_err *e);
void rn_keyset_free(struct rn_keyset *s);

/* Numbers of the keys of rows from … from + n - 1 of k, RN_NO_ROW where there is
 * none, into of[0] … of[n - 1]; `own` is what the set was made of.  Only reads s. */
void rn_keyset_find(const struct rn_keyset *s, const struct rn_key *own, const struct rn_key *k,
		    uint64_t from, uint64_t n, uint32_t *of);

/* Rows by number: the rows i of of[0 … rows - 1] with of[i] == g are
 * at[ptr[g]] … at[ptr[g + 1] - 1], ascending.  `may_be_identity`: *at is NULL where
 * at[i] == i for all i. */
RN_MUST_CHECK int rn_rows_by_number(const uint32_t *of, uint64_t rows, uint64_t n,
				    bool may_be_identity, struct rn_buf **ptr, struct rn_buf **at,
				    struct rn_err *e);

/* RN_EBUG unless a and b have as many columns, of types that meet. */
RN_MUST_CHECK int rn_key_check(const struct rn_key *a, const struct rn_key *b, struct rn_err *e);

/* Rows of k with a NULL in the key. */
uint64_t rn_key_count_nulls(const struct rn_key *k);

#endif
