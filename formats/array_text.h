/* SPDX-License-Identifier: Apache-2.0
 *
 * Embeddings as text, as rn-cat writes them to JSON lines.  Dense: an array of numbers,
 * nested by dimension, as pgvector prints them, too.  Sparse: an object that has a number for
 * each of some indices, {"3": 0.5, "17": 1}, in any order.  A null is 0 and counted, as is a
 * value that only a float32 takes as infinity.
 */
#ifndef RN_ARRAY_TEXT_H
#define RN_ARRAY_TEXT_H

#include "../lib/base/err.h"
#include "../lib/rel/rel.h"

/* What a source does with a column of embeddings. */
struct rn_array_column {
	bool (*embeds)(const void *arg, const char *column);
	const void *arg;
	bool known;   /* what they look like: sparse is; dense is as the first one is */
	bool refused; /* the first value was none */
	uint64_t looked; /* rows in which a reader of text has found none; 0: it has, or none looked */
	bool sparse;
	struct rn_shape shape;
};

struct rn_array_value {
	uint32_t col;
	float v;
};

/* Texts that are read, one after the other; all 0 at first. */
struct rn_array_reader {
	uint64_t nulls, large; /* so far, of those that were good */
	struct rn_array_value *value; /* of the last sparse one, by index */
	size_t n, cap;
	char fault[96]; /* what is wrong with the last one, which was not good */
};
void rn_array_reader_fini(struct rn_array_reader *r);

/* The shape of the array s[0 … n - 1]; false: it is none. */
bool rn_array_shape(const char *s, size_t n, struct rn_shape *out);
/* Numbers to `to` (NULL: nowhere; what r counts is then of no use).  False: it is no array of that
 * shape. */
bool rn_array_dense(struct rn_array_reader *r, const struct rn_shape *shape, const char *s, size_t n,
		    float *to);
/* *good: it is a sparse row of that width, in r->value. */
RN_MUST_CHECK int rn_array_sparse(struct rn_array_reader *r, uint32_t width, const char *s, size_t n,
				  bool *good, struct rn_err *e);
/* Whichever the column has; the values go nowhere. */
RN_MUST_CHECK int rn_array_check(struct rn_array_reader *r, const struct rn_array_column *c,
				 const char *s, size_t n, bool *good, struct rn_err *e);
/* What is wrong with a text that is not good, "wants …, not '…'"; fault: of its reader. */
void rn_array_tell(const struct rn_array_column *c, const char *fault, const char *s, size_t n,
		   struct rn_str *out);

/* All rows of a string column, *out owned.  A NULL, for a row or for a number, is 0 and
 * counted in r.  *bad: the first row that is not good (RN_NO_ROW: all are; else *out is
 * NULL). */
RN_MUST_CHECK int rn_array_rows(struct rn_array_reader *r, const struct rn_array_column *a,
				const struct rn_column *c, uint64_t *bad, struct rn_tensor **out,
				struct rn_err *e);

#endif
