/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the encoders share and nobody else needs.
 */
#ifndef RN_ENCODE_IMPL_H
#define RN_ENCODE_IMPL_H

#include "encode.h"

extern const char *const rn_enc_parts[RN_NPARTS]; /* as the content language calls them */

/* Stored values of one row: features in ascending order, or of a text's buckets. */
struct rn_enc_cells {
	size_t n, cap, cap_val;
	uint32_t *col;
	float *val;
};
RN_MUST_CHECK int rn_enc_put(struct rn_enc_cells *c, uint32_t col, double val, struct rn_err *e);
void rn_enc_cells_fini(struct rn_enc_cells *c);

/* Tells one column's rows by number and kind: numbers, times. */
struct rn_enc_number {
	const struct rn_encoder *en;
	const struct rn_column *col, *ref;
};
/* What is scaled, already through the logarithm; false: it is NULL. */
bool rn_enc_number(const struct rn_enc_number *x, uint64_t row, double *out);

/* Code of a row's value in a vocabulary: 0 for NULL and for what is not there. */
uint32_t rn_enc_code(const struct rn_rel *table, const struct rn_column *c, uint64_t row);

/* ---- text (encode_text.c) ---------------------------------------------------------------- */

struct rn_enc_text {
	const struct rn_encoder *en;
	const double *idf; /* by bucket, or NULL */
	struct rn_str low, term;
	struct rn_enc_words {
		size_t n, cap;
		uint64_t *at; /* (begin << 32 | length) in low */
	} words;
	size_t nterms, cap_terms;
	uint64_t *terms; /* bucket << 1 | negative */
};
void rn_enc_text_init(struct rn_enc_text *t, const struct rn_encoder *en, const double *idf);
void rn_enc_text_fini(struct rn_enc_text *t);
/* Distinct buckets of the text with their values, in ascending order, at the end of `out`;
 * `from` is added to each. */
RN_MUST_CHECK int rn_enc_text_cells(struct rn_enc_text *t, const char *s, size_t n, uint32_t from,
				    struct rn_enc_cells *out, struct rn_err *e);
/* The distinct buckets only: t->terms[0 ... t->nterms-1]. */
RN_MUST_CHECK int rn_enc_text_buckets(struct rn_enc_text *t, const char *s, size_t n,
				      struct rn_err *e);
/* Weights by bucket from a fitted table, *out owned (NULL: none). */
RN_MUST_CHECK int rn_enc_idf(const struct rn_encoder *en, const struct rn_rel *table, double **out,
			     struct rn_err *e);

#endif
