/* SPDX-License-Identifier: Apache-2.0
 *
 * What the text of an aggregate of content (aggregate.c) and its values
 * (aggregate_eval.c) share.  Private to these.
 */
#ifndef RN_AGGREGATE_IMPL_H
#define RN_AGGREGATE_IMPL_H

#include "aggregate.h"

#include <math.h>

struct rn_cagg {
	const char *text; /* borrowed, */
	const char *arg;  /* … and its argument, narg characters */
	size_t narg;
	enum rn_cagg_kind kind;
	bool distinct;
	double q;                 /* of a quantile */
	struct rn_cexpr *x, *by;  /* NULL: count(*); order of first and last, NULL: of the rows */
	struct rn_column *c, *bc; /* their values */
	enum rn_type type;        /* of the result */
};

enum {
	RN_CAGG_SUMS = 32,   /* aggregates of sums that are made at a time */
	RN_CAGG_CHUNK = 256, /* rows that are summed before they are added to the total */
};

/* NULL or not: what stands there is 0 then. */
static inline bool rn_cagg_set_null(struct rn_column *out, uint64_t i, bool null)
{
	out->null[i] = null;
	return null;
}

/* A float64 of content: NaN is NULL, and there is no -0.0. */
static inline bool rn_cagg_set_real(struct rn_column *out, uint64_t i, double x)
{
	out->f64[i] = x != x ? 0 : x + 0.0;
	return rn_cagg_set_null(out, i, x != x);
}

/* A sum or an average as float64, from the sum of n values; NaN where it is NULL. */
static inline double rn_cagg_ratio(const struct rn_cagg *a, double sum, int64_t n)
{
	return !n ? (double)NAN : a->kind == RN_CAGG_SUM ? sum : sum / (double)n;
}

/* A column for all to be written, with flags. */
RN_MUST_CHECK int rn_cagg_new_column(enum rn_type t, uint64_t n, struct rn_column **out,
				     struct rn_err *e);
/* *to = min(*to, x), from any thread. */
void rn_cagg_lower(uint64_t *to, uint64_t x);
/* RN_EDATA: an integer sum is too large in the group whose first row is `row`. */
RN_MUST_CHECK int rn_cagg_too_large(const struct rn_cagg *a, uint32_t row, uint32_t rows,
				    struct rn_err *e);

/* Group by `key` and aggregate at once, where that is possible (*done) and brings
 * something: no lists of rows are made.  All of a[0 … n - 1] into out[0 … n - 1]. */
RN_MUST_CHECK int rn_cagg_fold(struct rn_team *t, struct rn_cagg *a, size_t n,
			       const struct rn_key *key, uint64_t *ngroups, struct rn_buf **first,
			       struct rn_column **out, bool *done, struct rn_err *e);

/* n aggregates of sums, at most RN_CAGG_SUMS; those of one column read it once. */
RN_MUST_CHECK int rn_cagg_sums(struct rn_team *t, struct rn_cagg *const *a, size_t n,
			       const struct rn_groups *g, struct rn_column **out, struct rn_err *e);
RN_MUST_CHECK int rn_cagg_pick(struct rn_team *t, const struct rn_cagg *a,
			       const struct rn_groups *g, struct rn_column **out,
			       struct rn_err *e);
RN_MUST_CHECK int rn_cagg_distinct(const struct rn_ctx *ctx, const struct rn_cagg *a,
				   const struct rn_groups *g, struct rn_column **out,
				   struct rn_err *e);
RN_MUST_CHECK int rn_cagg_quantile(struct rn_team *t, const struct rn_cagg *a,
				   const struct rn_groups *g, struct rn_column **out,
				   struct rn_err *e);

#endif
