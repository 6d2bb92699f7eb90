/* SPDX-License-Identifier: Apache-2.0
 *
 * What the text of an aggregate of content (aggregate.c) and its values
 * (aggregate_eval.c) share.  Private to these.
 */
#ifndef RN_AGGREGATE_IMPL_H
#define RN_AGGREGATE_IMPL_H

#include "aggregate.h"

enum rn_cagg_kind {
	RN_CAGG_COUNT,
	RN_CAGG_SUM,
	RN_CAGG_AVG,
	RN_CAGG_VAR,
	RN_CAGG_STDDEV, /* up to here: of sums */
	RN_CAGG_MIN,
	RN_CAGG_MAX,
	RN_CAGG_FIRST,
	RN_CAGG_LAST, /* … of one row */
	RN_CAGG_MEDIAN,
	RN_CAGG_QUANTILE,
	RN_CAGG_KINDS
};

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

enum { RN_CAGG_SUMS = 32 }; /* aggregates of sums that are made at a time */

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
