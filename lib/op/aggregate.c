/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates of content columns: what they are called and what they are.
 */
#include "aggregate.h"

#include "../base/num.h"
#include "../expr/content.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum kind { COUNT, SUM, AVG, MIN, MAX, FIRST, LAST, MEDIAN, QUANTILE, VAR, STDDEV, NKINDS };

static const struct {
	const char *name;
	bool number; /* it wants numbers */
	bool real;   /* and gives a float64 */
} kinds[NKINDS] = {
	[COUNT] = { "count", false, false },	 [SUM] = { "sum", true, false },
	[AVG] = { "avg", true, true },		 [MIN] = { "min", false, false },
	[MAX] = { "max", false, false },	 [FIRST] = { "first", false, false },
	[LAST] = { "last", false, false },	 [MEDIAN] = { "median", true, true },
	[QUANTILE] = { "quantile", true, true }, [VAR] = { "var", true, true },
	[STDDEV] = { "stddev", true, true },
};

enum { CHUNK = 256 }; /* rows that are summed before they are added to the total */

/* ---- text ----------------------------------------------------------------------- */

struct aggregate {
	enum kind kind;
	bool distinct;
	double q;           /* of a quantile */
	struct rn_cexpr *x; /* NULL: count(*) */
	struct rn_cexpr *by; /* first and last: of this order; NULL: of the rows */
};

/* A piece of the text. */
struct piece {
	const char *s;
	size_t n;
};

static struct piece trim(const char *s, size_t n)
{
	while (n && isspace((unsigned char)*s))
		s++, n--;
	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	return (struct piece){ s, n };
}

static bool is(struct piece p, const char *word)
{
	return p.n == strlen(word) && !strncasecmp(p.s, word, p.n);
}

static bool in_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* Split p at the last `word` (of letters, or one symbol) outside quotes and brackets with
 * something on both sides; false: there is none. */
static bool split(struct piece p, const char *word, struct piece *before, struct piece *after)
{
	size_t len = strlen(word);
	bool found = false;
	char quote = 0;
	int depth = 0;

	for (size_t i = 0; i + len <= p.n; i++) {
		char c = p.s[i];

		if (quote || strchr("'\"`", c)) {
			quote = quote ? (c == quote ? 0 : quote) : c;
			continue;
		}
		depth += (c == '(') - (c == ')');
		if (depth || strncasecmp(p.s + i, word, len) ||
		    (isalpha((unsigned char)*word) && ((i && in_word(p.s[i - 1])) ||
						       (i + len < p.n && in_word(p.s[i + len])))))
			continue;
		struct piece a = trim(p.s, i), b = trim(p.s + i + len, p.n - i - len);

		if (a.n && b.n) {
			*before = a;
			*after = b;
			found = true;
		}
	}
	return found;
}

static int parse_expr(struct piece p, const struct rn_schema *s, struct rn_cexpr **x,
		      struct rn_err *e)
{
	char *text = strndup(p.s, p.n);
	int rc;

	if (!text)
		return rn_err_nomem(e, p.n + 1, "an aggregate");
	rc = rn_cexpr_parse(text, s, x, e);
	free(text);
	return rc;
}

/* "sum", "amount * 2" of "sum(amount * 2)". */
static int parse_call(const char *text, struct piece *arg, enum kind *kind, struct rn_err *e)
{
	struct piece t = trim(text, strlen(text)), name;
	const char *open = memchr(t.s, '(', t.n);
	int k = 0;

	name = trim(t.s, open ? (size_t)(open - t.s) : 0);
	if (is(name, "mean"))
		k = AVG;
	else
		while (k < NKINDS && !is(name, kinds[k].name))
			k++;
	if (!open || t.s[t.n - 1] != ')' || k == NKINDS)
		return rn_err_set(e, RN_EUSAGE,
				  "'%s' is no aggregate: write count(*), or count, sum, avg, min, max, first, "
				  "last, median, quantile, var or stddev of an expression", text);
	*kind = (enum kind)k;
	*arg = trim(open + 1, (size_t)(t.s + t.n - 1 - open) - 1);
	return 0;
}

/* What stands beside the expression: distinct, by …, and the quantile's number. */
static int parse_extras(const char *text, struct piece *arg, struct aggregate *a,
			struct piece *by, struct rn_err *e)
{
	struct piece q;

	if (arg->n > 8 && !strncasecmp(arg->s, "distinct", 8) && !in_word(arg->s[8])) {
		if (a->kind != COUNT)
			return rn_err_set(e, RN_EUSAGE, "'%s': only count takes distinct", text);
		a->distinct = true;
		*arg = trim(arg->s + 8, arg->n - 8);
	}
	if (a->kind == FIRST || a->kind == LAST)
		split(*arg, "by", arg, by);
	a->q = 0.5;
	if (a->kind == QUANTILE &&
	    (!split(*arg, ",", arg, &q) || !rn_float64_parse(q.s, q.n, &a->q) || !(a->q >= 0 && a->q <= 1)))
		return rn_err_set(e, RN_EUSAGE, "'%s': write quantile(EXPR, Q) with a number Q from 0 to 1",
				  text);
	return 0;
}

static void close_aggregate(struct aggregate *a)
{
	rn_cexpr_free(a->x);
	rn_cexpr_free(a->by);
}

static int open_aggregate(const char *text, const struct rn_schema *s, struct aggregate *a,
			  struct rn_err *e)
{
	struct piece arg, by = { NULL, 0 };
	enum rn_type t;
	int rc;

	*a = (struct aggregate){ 0 };
	RN_TRY(parse_call(text, &arg, &a->kind, e));
	if (is(arg, "*"))
		return a->kind == COUNT ? 0 : rn_err_set(e, RN_EUSAGE, "'%s': only count takes *", text);
	RN_TRY(parse_extras(text, &arg, a, &by, e));
	RN_TRY(parse_expr(arg, s, &a->x, e));
	if (by.n)
		RN_GOTO(fail, parse_expr(by, s, &a->by, e));
	t = rn_cexpr_type(a->x);
	if (!kinds[a->kind].number || t == RN_INT64 || t == RN_FLOAT64)
		return 0;
	rc = rn_err_set(e, RN_EUSAGE, "'%s' wants a number, not %s", text, rn_type_name(t));
fail:
	close_aggregate(a);
	return rc;
}

static enum rn_type type_of(const struct aggregate *a)
{
	return a->kind == COUNT ? RN_INT64 : kinds[a->kind].real ? RN_FLOAT64 : rn_cexpr_type(a->x);
}

int rn_aggregate_type(const char *text, const struct rn_schema *s, enum rn_type *out,
		      struct rn_err *e)
{
	struct aggregate a;

	RN_TRY(open_aggregate(text, s, &a, e));
	*out = type_of(&a);
	close_aggregate(&a);
	return 0;
}

/* ---- rows of a group ------------------------------------------------------------- */

/* The rows of group g: rows[i] for i in [from, to). */
struct span {
	const uint32_t *rows; /* NULL: i itself */
	uint32_t from, to;
};

static struct span span_of(const struct rn_groups *g, uint64_t i)
{
	const uint32_t *ptr = g->ptr->data;

	return (struct span){ g->rows ? g->rows->data : NULL, ptr[i], ptr[i + 1] };
}

static inline uint32_t row_at(const struct span *s, uint32_t i)
{
	return s->rows ? s->rows[i] : i;
}

static inline double number_at(const struct rn_column *c, uint32_t r)
{
	return c->type == RN_FLOAT64 ? c->f64[r] : (double)c->i64[r];
}

static int set_null(struct rn_column *out, uint64_t i, struct rn_err *e)
{
	RN_TRY(rn_column_need_null(out, e));
	out->null[i] = 1;
	out->nulls++;
	return 0;
}

/* A float64 of content: NaN is NULL, and there is no -0.0. */
static int set_real(struct rn_column *out, uint64_t i, double x, struct rn_err *e)
{
	out->f64[i] = 0;
	if (x != x)
		return set_null(out, i, e);
	out->f64[i] = x + 0.0;
	return 0;
}

/* ---- counts ----------------------------------------------------------------------- */

static int64_t count_rows(const struct span *s, const struct rn_column *c)
{
	int64_t n = s->to - s->from;

	if (!c || !c->null)
		return n;
	for (uint32_t i = s->from; i < s->to; i++)
		n -= c->null[row_at(s, i)];
	return n;
}

/* Each pair of a group and a value counts once, where it first appears. */
static int count_distinct(const struct rn_column *c, const struct rn_groups *g,
			  struct rn_column *out, struct rn_err *e)
{
	struct rn_column *group, *cols[2] = { NULL, (struct rn_column *)c };
	const uint32_t *of = g->of->data, *first;
	struct rn_key k = { .n = 2, .cols = cols, .rows = c->rows };
	struct rn_groups pairs;
	int rc;

	RN_TRY(rn_column_new(RN_INT64, c->rows, &group, e));
	for (uint64_t i = 0; i < c->rows; i++)
		group->i64[i] = of[i];
	cols[0] = group;
	rc = rn_group(NULL, &k, &pairs, e);
	rn_column_unref(group);
	RN_TRY(rc);
	memset(out->i64, 0, out->rows * sizeof *out->i64);
	first = pairs.first->data;
	for (uint64_t p = 0; p < pairs.n; p++)
		if (of[first[p]] != RN_NO_ROW && !rn_column_is_null(c, first[p]))
			out->i64[of[first[p]]]++;
	rn_groups_fini(&pairs);
	return 0;
}

/* ---- sums --------------------------------------------------------------------------- */

/* Sum of (x - mean)^power over the values that are not NULL; *n counts them.  In chunks
 * from the start. */
static double sum_powers(const struct span *s, const struct rn_column *c, double mean,
			 bool square, int64_t *n)
{
	double total = 0;

	*n = 0;
	for (uint32_t at = s->from; at < s->to;) {
		uint32_t end = s->to - at < CHUNK ? s->to : at + CHUNK;
		double part = 0;

		for (; at < end; at++) {
			uint32_t r = row_at(s, at);
			double x;

			if (rn_column_is_null(c, r))
				continue;
			x = number_at(c, r) - mean;
			part += square ? x * x : x;
			++*n;
		}
		total += part;
	}
	return total;
}

static bool sum_int(const struct span *s, const struct rn_column *c, int64_t *sum, int64_t *n)
{
	__int128 total = 0;

	*n = 0;
	for (uint32_t i = s->from; i < s->to; i++) {
		uint32_t r = row_at(s, i);

		if (rn_column_is_null(c, r))
			continue;
		total += c->i64[r];
		++*n;
	}
	*sum = (int64_t)total;
	return total == *sum;
}

/* sum, avg, var or stddev as float64; NaN where it is NULL. */
static double moment(const struct span *s, const struct rn_column *c, enum kind kind)
{
	int64_t n;
	double sum = sum_powers(s, c, 0, false, &n), var;

	if (kind == SUM || kind == AVG)
		return !n ? (double)NAN : kind == SUM ? sum : sum / (double)n;
	if (n < 2)
		return (double)NAN;
	var = sum_powers(s, c, sum / (double)n, true, &n) / (double)(n - 1);
	return kind == VAR ? var : sqrt(var);
}

static int sums(const char *text, const struct aggregate *a, const struct rn_column *c,
		const struct rn_groups *g, struct rn_column *out, struct rn_err *e)
{
	for (uint64_t i = 0; i < g->n; i++) {
		struct span s = span_of(g, i);
		int64_t n;

		if (a->kind == COUNT) {
			out->i64[i] = count_rows(&s, c);
		} else if (a->kind == SUM && c->type == RN_INT64) {
			if (!sum_int(&s, c, &out->i64[i], &n))
				return rn_err_set(e, RN_EDATA,
						  "'%s' does not fit into an int64: cast it to float64", text);
			if (!n)
				RN_TRY(set_null(out, i, e));
		} else {
			RN_TRY(set_real(out, i, moment(&s, c, a->kind), e));
		}
	}
	return 0;
}

/* ---- one row of each group ------------------------------------------------------------ */

/* min, max, first, last: the row that holds the value, or RN_NO_ROW.  `by` decides (NULL: the
 * order of the rows); of equal ones the first row, for last the last. */
static uint32_t pick(const struct span *s, const struct rn_column *c, const struct rn_column *by,
		     enum kind kind)
{
	uint32_t best = RN_NO_ROW;

	for (uint32_t i = s->from; i < s->to; i++) {
		uint32_t r = row_at(s, i);
		int d = kind == LAST ? 1 : 0;

		if (rn_column_is_null(c, r) || (by && rn_column_is_null(by, r)))
			continue;
		if (best != RN_NO_ROW && by)
			d = rn_column_compare(by, r, by, best);
		if (best == RN_NO_ROW || (kind == MAX ? d > 0 : kind == LAST ? d >= 0 : d < 0))
			best = r;
		if (kind == FIRST && !by)
			break;
	}
	return best;
}

static int picked(const struct rn_column *c, const struct rn_column *by, const struct rn_groups *g,
		  enum kind kind, struct rn_column **out, struct rn_err *e)
{
	struct rn_buf *map;
	int rc;

	RN_TRY(rn_buf_new(g->n * sizeof(uint32_t), "a row map", &map, e));
	for (uint64_t i = 0; i < g->n; i++) {
		struct span s = span_of(g, i);

		((uint32_t *)map->data)[i] = pick(&s, c, by, kind);
	}
	rc = rn_column_gather(c, map->data, g->n, out, e);
	rn_buf_unref(map);
	return rc;
}

/* ---- quantiles -------------------------------------------------------------------------- */

/* Of n sorted values, between the two that stand next to q. */
static double interpolate(const double *x, uint64_t n, double q)
{
	double at = q * (double)(n - 1), low = floor(at);
	uint64_t i = (uint64_t)low;

	return i + 1 < n && at > low ? x[i] + (at - low) * (x[i + 1] - x[i]) : x[i];
}

/* The rows are sorted once, and then dealt out to their groups. */
static int quantiles(double q, const struct rn_column *c, const struct rn_groups *g,
		     struct rn_column *out, struct rn_err *e)
{
	const uint32_t *ptr = g->ptr->data, *of = g->of->data, *rows;
	struct rn_buf *order = NULL;
	uint64_t *count = NULL;
	double *x = NULL;
	int rc;

	RN_GOTO(out, rn_order_rows(&(struct rn_order){ .col = c }, 1, c->rows, &order, e));
	RN_GOTO(out, rn_calloc(g->n, sizeof *count, "quantiles", &count, e));
	RN_GOTO(out, rn_calloc(ptr[g->n], sizeof *x, "quantiles", &x, e));
	rows = order->data;
	for (uint64_t i = 0; i < c->rows; i++) {
		uint32_t r = rows[i], to = of[r];

		if (to != RN_NO_ROW && !rn_column_is_null(c, r))
			x[ptr[to] + count[to]++] = number_at(c, r);
	}
	for (uint64_t i = 0; i < g->n; i++)
		RN_GOTO(out, set_real(out, i,
				      count[i] ? interpolate(x + ptr[i], count[i], q) : (double)NAN, e));
out:
	rn_buf_unref(order);
	free(count);
	free(x);
	return rc;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static int compute(const char *text, const struct aggregate *a, const struct rn_column *c,
		   const struct rn_groups *g, struct rn_column *out, struct rn_err *e)
{
	if (a->distinct)
		return count_distinct(c, g, out, e);
	if (a->kind == MEDIAN || a->kind == QUANTILE)
		return quantiles(a->q, c, g, out, e);
	return sums(text, a, c, g, out, e);
}

int rn_aggregate(const char *text, const struct rn_rel *in, const struct rn_groups *g,
		 struct rn_column **out, struct rn_err *e)
{
	struct rn_column *c = NULL, *by = NULL, *r;
	struct aggregate a;
	int rc = 0;

	RN_TRY(open_aggregate(text, &in->schema, &a, e));
	if (a.x)
		RN_GOTO(out, rn_cexpr_eval(a.x, in, &c, e));
	if (a.by)
		RN_GOTO(out, rn_cexpr_eval(a.by, in, &by, e));
	if (a.kind >= MIN && a.kind <= LAST) {
		rc = picked(c, a.kind <= MAX ? c : by, g, a.kind, out, e);
		goto out;
	}
	RN_GOTO(out, rn_column_new(type_of(&a), g->n, &r, e));
	rc = compute(text, &a, c, g, r, e);
	if (rc)
		rn_column_unref(r);
	else
		*out = r;
out:
	rn_column_unref(c);
	rn_column_unref(by);
	close_aggregate(&a);
	return rc;
}
