/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates over groups: SQL's on content columns, and the sum of sparse rows.
 */
#ifndef RN_AGGREGATE_H
#define RN_AGGREGATE_H

#include "../rel/key.h"
#include "op.h"

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

/* The text of an aggregate in pieces, which point into it. */
struct rn_cagg_text {
	enum rn_cagg_kind kind;
	bool distinct;
	double q;        /* of a quantile; of a median, 0.5 */
	const char *arg; /* the expression; NULL: count(*) */
	size_t narg;
	const char *by;  /* of first and last; NULL: the order of the rows */
	size_t nby;
};
/* RN_EUSAGE: it is none.  The expressions are not looked at. */
RN_MUST_CHECK int rn_cagg_parse(const char *text, struct rn_cagg_text *out, struct rn_err *e);

/* `text` is an aggregate of a content expression over `s`; *out is the type of the
 * result (RN_EUSAGE says what is wrong):
 *   count(*), count(x), count(distinct x)   int64
 *   sum(x)                                  int64 or float64, as x
 *   min(x), max(x)                          as x
 *   first(x), last(x)                       of the rows; first(x by t): of the order of t
 *   avg(x), median(x), quantile(x, 0.9)     float64; between two values, in proportion
 *   var(x), stddev(x)                       float64; of a sample: n - 1, NULL below two
 * NULLs are left out; but for count, nothing is NULL. */
RN_MUST_CHECK int rn_aggregate_type(const char *text, const struct rn_schema *s, enum rn_type *out,
				    struct rn_err *e);

/* One value per group; *out owned.  An int64 sum that overflows is RN_EDATA, which
 * names the first group where it does.  float64 sums are added in chunks of 256 rows from
 * the group's start, the chunks in order, whatever the threads. */
RN_MUST_CHECK int rn_aggregate(const char *text, const struct rn_rel *in, const struct rn_groups *g,
			       struct rn_column **out, struct rn_err *e);

/* n of them into out[0 … n - 1], by parts on c's team; a column that several read is
 * gone through once for all of their sums. */
RN_MUST_CHECK int rn_aggregates(const struct rn_ctx *c, const char *const *texts, size_t n,
				const struct rn_rel *in, const struct rn_groups *g,
				struct rn_column **out, struct rn_err *e);

/* The same by key (of one column or more), without lists of the groups' rows where the
 * aggregates allow it: *groups in order of first appearance, and their first rows. */
RN_MUST_CHECK int rn_aggregates_by(const struct rn_ctx *c, const struct rn_key *k,
				   const char *const *texts, size_t n, const struct rn_rel *in,
				   uint64_t *groups, struct rn_buf **first, struct rn_column **out,
				   struct rn_err *e);

/* The sum of sparse rows per group is sparse: replaces z (flattened, sparse) by
 * one row per group whose pattern is the union of its rows' patterns. */
RN_MUST_CHECK int rn_aggregate_sparse(struct rn_prog *p, const struct rn_groups *g,
				      struct rn_lpart *z, struct rn_err *e);
/* Multiply the stored values of row i of z by by[i] (a [rows,1] value). */
RN_MUST_CHECK int rn_aggregate_sparse_scale(struct rn_prog *p, struct rn_lpart *z, uint32_t by,
					    struct rn_err *e);

#endif
