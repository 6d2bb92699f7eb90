/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoders: content columns as features.
 *
 *   numeric(age, income, null=true), onehot(color, min=5), category(city, 8),
 *   text(title, 1024), cyclic(day, weekday, month), raw(x), index(word, 1433)
 *
 * parse  text -> a list of encoders, one per column; errors carry a caret
 * infer  list + schema -> width and facts, before any row is read
 * fit    list + rows   -> what they take from the data: vocabularies, means, ...
 * apply  list + what was fitted + rows -> values
 *
 * What is fitted comes from the rows that fit is given and from no other; a
 * width that depends on it is RN_DIM_UNKNOWN until then.
 */
#ifndef RN_ENCODE_H
#define RN_ENCODE_H

#include "../base/ctx.h"
#include "emb.h"

enum rn_enc_kind {
	RN_ENC_RAW,
	RN_ENC_INDEX,
	RN_ENC_NUMERIC,
	RN_ENC_ONEHOT,
	RN_ENC_CATEGORY,
	RN_ENC_TEXT,
	RN_ENC_CYCLIC,
	RN_ENC_TIME,
	RN_ENC_SINCE,
	RN_ENC_NULL,
	RN_NENCS
};

enum rn_enc_scale { RN_SCALE_STANDARD, RN_SCALE_MINMAX, RN_SCALE_ROBUST, RN_SCALE_NONE };
enum rn_enc_norm { RN_NORM_L2, RN_NORM_L1, RN_NORM_NONE };
/* Parts of a timestamp, in the order of their features. */
enum rn_enc_part {
	RN_PART_SECOND,
	RN_PART_MINUTE,
	RN_PART_HOUR,
	RN_PART_DAY,
	RN_PART_WEEKDAY,
	RN_PART_YEARDAY,
	RN_PART_MONTH,
	RN_NPARTS
};

/* One column under one kind. */
struct rn_encoder {
	enum rn_enc_kind kind;
	char *col;
	char *ref;             /* RN_ENC_SINCE: the column of the later time */
	uint32_t n;            /* width of index and text, features of a category's vector */
	enum rn_enc_scale scale;
	bool log, null;        /* numbers: sign(x) log1p|x| first; a NULL indicator beside it */
	uint64_t min, top;     /* values seen at least `min` times, the `top` most seen; 0: all */
	enum rn_init init;     /* RN_ENC_CATEGORY */
	double init_arg;
	char *name;            /* of its learned table, in place of the stage's and the column's; or NULL */
	uint32_t ngrams, chars; /* RN_ENC_TEXT: words 1 ... ngrams long, or characters */
	bool idf, sign;
	bool blanks, crc;      /* words are between blanks, and as they are; CRC-32 hashes them */
	char *empty;           /* the word that a text without any has, and NULL; or NULL: none */
	enum rn_enc_norm norm;
	unsigned parts;        /* RN_ENC_CYCLIC of a timestamp: a bit of each enum rn_enc_part */
	double period;         /* of a number; 0: a timestamp */
};
struct rn_encoders {
	size_t n, cap;
	struct rn_encoder *at;
};

RN_MUST_CHECK int rn_encoders_parse(const char *text, struct rn_encoders *out, struct rn_err *e);
/* What an expression has in brackets, [age, text(64)(title)], from `from` on up to "]" or
 * the end: a column alone is raw. */
RN_MUST_CHECK int rn_encoders_parse_bare(const char *text, size_t from, struct rn_encoders *out,
					 struct rn_err *e);
void rn_encoders_fini(struct rn_encoders *es);
const char *rn_encoder_kind(const struct rn_encoder *en); /* "onehot" */
/* "onehot(color)": what messages and models call it. */
void rn_encoder_print(const struct rn_encoder *en, struct rn_str *out);
bool rn_encoder_fits(const struct rn_encoder *en); /* does it take anything from the data? */
bool rn_encoders_fit_any(const struct rn_encoders *es);

/* ---- what was fitted ------------------------------------------------------------------ */

/* A table per encoder, NULL for one that fits nothing:
 *
 *   onehot, category    value (of the column's type), rows: a row per code 1, 2, ...
 *   numeric, time, ...  center, scale, rows: one row; x becomes (x - center) / scale
 *   text with idf       bucket, rows: in how many rows the bucket is; bucket NULL: all rows
 */
struct rn_fitted {
	int refs;
	size_t n;
	struct rn_rel **tables;
};
RN_MUST_CHECK int rn_fitted_new(size_t n, struct rn_fitted **out, struct rn_err *e);
struct rn_fitted *rn_fitted_ref(struct rn_fitted *f); /* NULL is fine */
void rn_fitted_unref(struct rn_fitted *f);            /* NULL is fine */

/* From the n rows of r that `rows` lists.  *out owned. */
RN_MUST_CHECK int rn_encoders_fit(const struct rn_ctx *c, const struct rn_encoders *es,
				  const struct rn_rel *r, const uint32_t *rows, uint64_t n,
				  struct rn_fitted **out, struct rn_err *e);
/* Is `table`, which came from a file, one that `en` fits?  RN_EDATA. */
RN_MUST_CHECK int rn_encoder_check_table(const struct rn_encoder *en, const struct rn_rel *table,
					 struct rn_err *e);

/* ---- values ----------------------------------------------------------------------------- */

/* Check columns and types (RN_EUSAGE); fitted may be NULL. */
RN_MUST_CHECK int rn_encoders_infer(const struct rn_encoders *es, const struct rn_fitted *fitted,
				    const struct rn_schema *s, struct rn_einfo *out,
				    struct rn_err *e);

/* Neighbouring encoders side by side, or one category's codes. */
struct rn_enc_block {
	size_t first, n;       /* encoders */
	uint32_t width;
	bool sparse;
	uint64_t nnz;          /* sparse */
	struct rn_buf *val;    /* float[rows * width], or [nnz] */
	struct rn_buf *ptr, *col; /* sparse: uint32_t[rows + 1], [nnz] */
	struct rn_buf *codes;  /* a category: uint32_t[rows] */
};
/* The blocks in order; only a sole one is sparse. */
struct rn_encoded {
	size_t n;
	struct rn_enc_block *blocks;
};
RN_MUST_CHECK int rn_encoders_apply(const struct rn_ctx *c, const struct rn_encoders *es,
				    const struct rn_fitted *fitted, const struct rn_rel *r,
				    const char *stage, struct rn_encoded *out, struct rn_err *e);
void rn_encoded_fini(struct rn_encoded *x);
/* The keys of a category's learned table, a row per code: NULL first.  *out owned. */
RN_MUST_CHECK int rn_category_keys(const struct rn_encoder *en, const struct rn_rel *table,
				   struct rn_rel **out, struct rn_err *e);

#endif
