/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups whose rows need not be listed: every row passes by once, with the place of its
 * key, beside the values that are added up.  A window of rows at a time is split by key
 * into buckets; then each bucket's rows are folded while its keys are in a cache.  Of a
 * key the rows come in their order, whatever the threads.  Private to lib/rel and lib/op.
 */
#ifndef RN_FOLD_H
#define RN_FOLD_H

#include "key.h"

enum { RN_FOLD_BUCKETS = 512, RN_FOLD_VALUES = 8 }; /* at most */

/* Rows of one bucket, in their order. */
struct rn_fold_rows {
	uint32_t n;
	const struct rn_fold_at {
		uint32_t key;    /* its place in the bucket */
		uint32_t before; /* rows of that key before this one */
	} *at;
	/* Of each value column: the eight bytes of int64, timestamp and float64 (else NULL), and
	 * the flags if some are NULL (else NULL). */
	const uint64_t *const *value;
	const uint8_t *const *null;
};

struct rn_fold_group {
	uint32_t number, rows;
};

/* Who folds.  Each bucket is with one thread at a time. */
struct rn_fold_sink {
	size_t n; /* value columns */
	struct rn_column *const *values;
	/* Make room for so many keys in a bucket, zeroed; false: no memory. */
	bool (*room)(void *arg, uint32_t bucket, uint32_t keys);
	void (*add)(void *arg, uint32_t bucket, const struct rn_fold_rows *r);
	/* The groups of its keys from … from + n - 1. */
	void (*end)(void *arg, uint32_t bucket, uint32_t from, uint32_t n,
		    const struct rn_fold_group *g);
	void *arg;
};

struct rn_fold {
	uint64_t n;           /* groups, in order of first appearance; NULL is a key like another */
	struct rn_buf *first; /* uint32_t[n]: their first rows */
	struct fold *own;
};

/* Add all rows of k (one column or more).  *done false: it is better done with lists of
 * rows: there are few rows, or hardly two of a key, or too many of one for the threads. */
RN_MUST_CHECK int rn_fold_new(struct rn_team *t, const struct rn_key *k,
			      const struct rn_fold_sink *s, struct rn_fold *f, bool *done,
			      struct rn_err *e);
/* sink->end for every bucket. */
void rn_fold_end(struct rn_team *t, const struct rn_fold *f);
void rn_fold_free(struct rn_fold *f);

#endif
