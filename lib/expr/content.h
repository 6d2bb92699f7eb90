/* SPDX-License-Identifier: Apache-2.0
 *
 * The content-expression language: filter, project and computed columns.
 *
 * Three-valued logic; comparisons = == != <> < <= > >=, and/or/not, is [not]
 * null, is [not] distinct from, [not] in (…), [not] between, [not] like or ilike
 * '…' [escape 'c'], + - * / % and unary minus, ||, parentheses, column names (d,
 * s.d, "odd name" in backquotes), strings in ' or ", numbers, true, false, null,
 * case [x] when … then … else … end, cast or try_cast(x as TYPE), extract(PART
 * from t), and the functions of rn(7).
 *
 * x / 0 and x % 0 are NULL; / of two int64 is float64; an int64 that overflows, or
 * a cast that fails, is an error that names the row, unless and, or, case or
 * coalesce leave the row out.  int64 meets float64 in arithmetic as float64, in
 * comparisons exactly.  The difference of two timestamps is in seconds, float64,
 * and a timestamp plus or minus seconds is another; a string literal meets a
 * timestamp as one.  Types are checked by parse, and errors carry the text with a
 * caret.
 */
#ifndef RN_CONTENT_H
#define RN_CONTENT_H

#include "../rel/rel.h"

struct rn_cexpr;

/* Is `name`, in letters of any case, an aggregate, sum or count: of a group's rows, and so no function here? */
bool rn_cexpr_is_aggregate(const char *name);

/* Parse and check against a schema; *out owned, keeps nothing of `s`. */
RN_MUST_CHECK int rn_cexpr_parse(const char *text, const struct rn_schema *s,
				 struct rn_cexpr **out, struct rn_err *e);
void rn_cexpr_free(struct rn_cexpr *x);
enum rn_type rn_cexpr_type(const struct rn_cexpr *x);
/* The column index if the expression is a bare column, else -1. */
long rn_cexpr_column(const struct rn_cexpr *x);
/* Does the expression read column `col` of the schema? */
bool rn_cexpr_uses(const struct rn_cexpr *x, size_t col);

/* Columns a and b with a < b (or_equal: a <= b) wherever the expression, a condition, is true.  Up to
 * `most` of those that it says in so many words; none where it may be an error for some row. */
struct rn_cexpr_order {
	size_t a, b;
	bool or_equal;
};
size_t rn_cexpr_orders(const struct rn_cexpr *x, struct rn_cexpr_order *out, size_t most);

/* A column of r->rows values; r has the schema of parse. *out owned. */
RN_MUST_CHECK int rn_cexpr_eval(const struct rn_cexpr *x, const struct rn_rel *r,
				struct rn_column **out, struct rn_err *e);
/* Rows for which a bool expression is true, ascending: *map uint32_t[*n]. */
RN_MUST_CHECK int rn_cexpr_filter(const struct rn_cexpr *x, const struct rn_rel *r,
				  struct rn_buf **map, uint64_t *n, struct rn_err *e);

#endif
