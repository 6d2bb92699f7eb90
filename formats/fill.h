/* SPDX-License-Identifier: Apache-2.0
 *
 * A block made of rows that come one at a time, as databases give them: values are
 * put into the columns of the current row in order, and what is full is taken.
 */
#ifndef RN_FILL_H
#define RN_FILL_H

#include "../lib/base/ctx.h"
#include "../lib/rel/rel.h"

struct rn_fill_col {
	char *name;               /* owned */
	enum rn_type type;        /* of a content column */
	bool part;                /* an embedding: each value has the shape's width */
	struct rn_shape shape;    /* rank 0: not known yet */
	struct rn_column *values; /* of the block being filled */
	char *bytes;              /* of its strings */
	float *floats;            /* of its embeddings */
	size_t nbytes, nfloats, cap;
};

struct rn_fill {
	struct rn_fill_col *cols;
	size_t ncols;
	uint32_t capacity, rows; /* of a block; in this one */
	uint64_t bytes;          /* of strings and embeddings in this one */
};

/* `n` columns, as yet without names, to be named and typed before the first block. */
RN_MUST_CHECK int rn_fill_init(struct rn_fill *f, const struct rn_ctx *c, size_t n,
			       struct rn_err *e);
void rn_fill_fini(struct rn_fill *f);
/* Name column i; RN_EUSAGE, naming `source`, where an earlier one has that name. */
RN_MUST_CHECK int rn_fill_name(struct rn_fill *f, size_t i, const char *name, const char *source,
			       struct rn_err *e);
/* The columns of the block as the schema of a relation: content, then embeddings. */
RN_MUST_CHECK int rn_fill_schema(const struct rn_fill *f, struct rn_schema *out, struct rn_err *e);

RN_MUST_CHECK int rn_fill_begin(struct rn_fill *f, struct rn_err *e);
bool rn_fill_is_full(const struct rn_fill *f);
/* The rows so far, *out owned. */
RN_MUST_CHECK int rn_fill_take(struct rn_fill *f, struct rn_rel **out, struct rn_err *e);

/* The value of column i in the current row, once for each column. */
RN_MUST_CHECK int rn_fill_null(struct rn_fill *f, size_t i, struct rn_err *e);
RN_MUST_CHECK int rn_fill_float(struct rn_fill *f, size_t i, double v, struct rn_err *e);
RN_MUST_CHECK int rn_fill_text(struct rn_fill *f, size_t i, const char *s, size_t n,
			       struct rn_err *e);
/* Room for n values of an embedding, to be written by the caller. */
RN_MUST_CHECK int rn_fill_floats(struct rn_fill *f, size_t i, size_t n, float **out,
				 struct rn_err *e);
static inline void rn_fill_int(struct rn_fill *f, size_t i, int64_t v) /* also a timestamp */
{
	f->cols[i].values->i64[f->rows] = v;
}
static inline void rn_fill_bool(struct rn_fill *f, size_t i, bool v)
{
	f->cols[i].values->b[f->rows] = v;
}
static inline void rn_fill_next(struct rn_fill *f) /* the row is complete */
{
	f->rows++;
}

#endif
