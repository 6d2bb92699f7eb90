/* SPDX-License-Identifier: Apache-2.0
 *
 * The set of distinct keys of an input; the number of a key is its place in
 * order of first appearance.  Private to lib/rel.
 *
 * A key becomes one 64-bit word.  Where all columns are integers (int64,
 * timestamp, bool) whose ranges multiply to less than 2^64, the word *is* the
 * key: the mixed-radix number of its columns' distances from their minima.
 * Elsewhere it is a hash, and the columns decide.  Words that are dense enough
 * index an array; others go to tables with linear probing, one for each value
 * of the first bits of the words' hashes.  Rows are taken in batches, so that
 * the tables' cache misses overlap.
 */
#ifndef RN_KEYSET_H
#define RN_KEYSET_H

#include "key.h"

#include <pthread.h>

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

/* Packed, for a search is as fast as the tables are small. */
struct rn_keyset_slot {
	uint64_t word;
	uint32_t id; /* number + 1; 0: empty */
} __attribute__((packed, aligned(4)));

/* The table of one value of the first bits. */
struct rn_keyset_table {
	struct rn_keyset_slot *slot;
	uint64_t size; /* slots */
};

struct rn_keyset {
	enum rn_keyset_kind kind;
	bool nulls; /* NULL is a value like another; else a row that has one is in no key */
	uint64_t n; /* distinct keys */
	struct rn_buf *first; /* uint32_t[n]: their first rows */
	struct rn_key_digit *digits; /* one per column */
	uint64_t words;       /* RN_KEYSET_ARRAY: how many there can be */
	struct rn_buf *array; /* RN_KEYSET_ARRAY: uint32_t[words + 1], number + 1 */
	unsigned first_bits;  /* else: tables are 1 << first_bits */
	struct rn_keyset_table *tables;
	struct rn_buf *slots; /* of all tables */
	/* Of a set that a device made (keyset_accel.c), else NULL: uint64_t[n], the words of the
	 * keys.  Its tables are made by the first search that wants them, under the lock. */
	struct rn_buf *known;
	pthread_mutex_t lock;
};

/* Collect the distinct keys of k.  of[i] (k->rows of them): the number of row i's
 * key, or RN_NO_ROW.  `find`: the set will be asked by rn_keyset_find. */
RN_MUST_CHECK int rn_keyset_new(struct rn_team *t, const struct rn_key *k, bool nulls, bool find,
				uint32_t *of, struct rn_keyset **out, struct rn_err *e);
/* The same, and where that comes cheap the rows by number (below, at is not NULL); else
 * *rows is left alone.  It is the caller's, also on failure. */
struct rn_keyset_rows {
	struct rn_buf *ptr, *at;
};
RN_MUST_CHECK int rn_keyset_new_rows(struct rn_team *t, const struct rn_key *k, bool nulls, bool find,
				     uint32_t *of, struct rn_keyset **out,
				     struct rn_keyset_rows *rows, struct rn_err *e);
void rn_keyset_free(struct rn_keyset *s);

/* Numbers of the keys of the rows of k, RN_NO_ROW where there is none; `own` is what
 * the set was made of.  From any thread.  It fails for want of memory alone, and only where
 * a device made the set. */
RN_MUST_CHECK int rn_keyset_find(struct rn_team *t, struct rn_keyset *s, const struct rn_key *own,
				 const struct rn_key *k, uint32_t *of, struct rn_err *e);

/* Rows by number: the rows i of of[0 … rows - 1] with of[i] == g are
 * at[ptr[g]] … at[ptr[g + 1] - 1], ascending.  `may_be_identity`: *at is NULL where
 * at[i] == i for all i. */
RN_MUST_CHECK int rn_rows_by_number(struct rn_team *t, const uint32_t *of, uint64_t rows,
				    uint64_t n, bool may_be_identity, struct rn_buf **ptr,
				    struct rn_buf **at, struct rn_err *e);

/* Is a number followed by a smaller one (RN_NO_ROW is the largest)? */
bool rn_numbers_fall(struct rn_team *t, const uint32_t *of, uint64_t rows);

/* RN_EBUG unless a and b have as many columns, of types that meet. */
RN_MUST_CHECK int rn_key_check(const struct rn_key *a, const struct rn_key *b, struct rn_err *e);

/* Rows of k with a NULL in the key. */
uint64_t rn_key_count_nulls(struct rn_team *t, const struct rn_key *k);

/* ---- words (keyset_word.c) ----------------------------------------------------------- */

/* Words of a batch of rows.  skip[i]: row i has no word (NULL, or a value out of range). */
struct rn_key_words {
	uint64_t word[RN_KEY_BATCH];
	int64_t value[RN_KEY_BATCH];
	uint8_t skip[RN_KEY_BATCH];
	bool skips; /* any of them */
};

/* Give s, with its digits allocated, the kind that k's columns allow. */
RN_MUST_CHECK int rn_keyset_choose(struct rn_team *t, const struct rn_key *k, struct rn_keyset *s,
				   struct rn_err *e);
/* The words of rows from … from + n - 1; n is at most RN_KEY_BATCH. */
void rn_key_words(const struct rn_keyset *s, const struct rn_key *k, uint64_t from, size_t n,
		  struct rn_key_words *w);
/* Row i of a against row j of b, NULLs being equal. */
bool rn_key_same(const struct rn_key *a, uint64_t i, const struct rn_key *b, uint64_t j);

/* The bits by which words find their table, and their place in it. */
static inline uint64_t rn_key_hash(uint64_t word)
{
	return (word ^ word >> 32) * 0x9E3779B97F4A7C15u;
}

/* Of a hash without its first bits, the place among `size`: in the order of hashes. */
static inline uint64_t rn_key_place(uint64_t hash, unsigned first_bits, uint64_t size)
{
	return (uint64_t)((unsigned __int128)(hash << first_bits) * size >> 64);
}

/* ---- building (keyset_build.c) ----------------------------------------------------- */

/* Many rows: sets s->n and first, fills of, and makes what rn_keyset_find needs if `find`.
 * rows: NULL, or as in rn_keyset_new_rows. */
RN_MUST_CHECK int rn_keyset_build_array(struct rn_team *t, const struct rn_key *k,
					struct rn_keyset *s, uint32_t *of, struct rn_err *e);
RN_MUST_CHECK int rn_keyset_build_tables(struct rn_team *t, const struct rn_key *k, bool find,
					 struct rn_keyset *s, uint32_t *of,
					 struct rn_keyset_rows *rows, struct rn_err *e);

/* rn_keyset_find where the tables are larger than a cache and the rows many: they are split
 * as for the building, some at a time.  False: it is not so, or there is no memory for it. */
bool rn_keyset_find_split(struct rn_team *t, const struct rn_keyset *s, const struct rn_key *k,
			  uint32_t *of);

/* Move the keys of t to `size` slots, more than there are keys, at `to` (zeroed). */
void rn_keyset_table_move(struct rn_keyset_table *t, unsigned first_bits,
			  struct rn_keyset_slot *to, uint64_t size);
/* Twice the slots (or the first t->size ones), from calloc; false: no memory. */
RN_MUST_CHECK bool rn_keyset_table_grow(struct rn_keyset_table *t, unsigned first_bits);

/* ---- on a device (keyset_accel.c) ------------------------------------------------------------ */

/* rn_keyset_new_rows, rn_keyset_find and what rn_rows_by_number does with numbers that fall,
 * on the team's accelerator.  False: there is none, or it does not pay, or it declines; all
 * is as it was but of[]. */
bool rn_keyset_new_accel(struct rn_team *t, const struct rn_key *k, struct rn_keyset *s, bool find,
			 uint32_t *of, struct rn_keyset_rows *rows);
bool rn_keyset_find_accel(struct rn_team *t, const struct rn_keyset *s, const struct rn_key *own,
			  const struct rn_key *k, uint32_t *of);
bool rn_rows_by_number_accel(struct rn_team *t, const uint32_t *of, uint64_t rows, uint64_t n,
			     struct rn_buf **ptr, struct rn_buf **at);
/* The tables of a set that a device made. */
RN_MUST_CHECK int rn_keyset_need_tables(struct rn_team *t, struct rn_keyset *s,
					const struct rn_key *own, struct rn_err *e);

#endif
