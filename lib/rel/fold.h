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

enum {
	/* What is kept of a key follows what the search for it needs: together a multiple of so
	 * many bytes, so that it does not straddle more cache lines than it must. */
	RN_FOLD_UNIT = 16,
	RN_FOLD_CHUNK = 256, /* rows of a key, after which a sum begins anew */
};

/* Rows of one bucket, in their order. */
struct rn_fold_rows {
	uint32_t n;
	char *kept;          /* of the key of row i: at kept + key[i] * RN_FOLD_UNIT */
	const uint32_t *key; /* its place in the bucket, in units */
	const uint8_t *before; /* rows of that key before this one, modulo RN_FOLD_CHUNK */
	/* Of each value column: the eight bytes of int64, timestamp and float64 (else NULL), and
	 * the flags if some are NULL (else NULL). */
	const uint64_t *const *value;
	const uint8_t *const *null;
};

struct rn_fold_group {
	uint32_t number, rows;
	const char *kept;
};

/* Who folds.  Each bucket is with one thread at a time. */
struct rn_fold_sink {
	size_t n; /* value columns */
	struct rn_column *const *values;
	size_t size; /* bytes to be kept of a key: at a multiple of RN_FOLD_UNIT, zeroed at first */
	void (*add)(void *arg, const struct rn_fold_rows *r);
	void (*end)(void *arg, uint32_t n, const struct rn_fold_group *g);
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
