/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates of content columns: what they are called.  What they are is in
 * aggregate_eval.c.
 */
#include "aggregate_impl.h"

#include "../base/num.h"
#include "../expr/content.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	bool number; /* it wants numbers */
	bool real;   /* and gives a float64 */
} kinds[RN_CAGG_KINDS] = {
	[RN_CAGG_COUNT] = { "count", false, false },
	[RN_CAGG_SUM] = { "sum", true, false },
	[RN_CAGG_AVG] = { "avg", true, true },
	[RN_CAGG_VAR] = { "var", true, true },
	[RN_CAGG_STDDEV] = { "stddev", true, true },
	[RN_CAGG_MIN] = { "min", false, false },
	[RN_CAGG_MAX] = { "max", false, false },
	[RN_CAGG_FIRST] = { "first", false, false },
	[RN_CAGG_LAST] = { "last", false, false },
	[RN_CAGG_MEDIAN] = { "median", true, true },
	[RN_CAGG_QUANTILE] = { "quantile", true, true },
};

/* ---- text ----------------------------------------------------------------------- */

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
static int parse_call(const char *text, struct piece *arg, enum rn_cagg_kind *kind,
		      struct rn_err *e)
{
	struct piece t = trim(text, strlen(text)), name;
	const char *open = memchr(t.s, '(', t.n);
	int k = 0;

	name = trim(t.s, open ? (size_t)(open - t.s) : 0);
	if (is(name, "mean"))
		k = RN_CAGG_AVG;
	else
		while (k < RN_CAGG_KINDS && !is(name, kinds[k].name))
			k++;
	if (!open || t.s[t.n - 1] != ')' || k == RN_CAGG_KINDS)
		return rn_err_set(e, RN_EUSAGE,
				  "'%s' is no aggregate: write count(*), or count, sum, avg, min, max, first, "
				  "last, median, quantile, var or stddev of an expression", text);
	*kind = (enum rn_cagg_kind)k;
	*arg = trim(open + 1, (size_t)(t.s + t.n - 1 - open) - 1);
	return 0;
}

/* What stands beside the expression: distinct, by …, and the quantile's number. */
static int parse_extras(const char *text, struct piece *arg, struct rn_cagg_text *a,
			struct piece *by, struct rn_err *e)
{
	struct piece q;

	if (arg->n > 8 && !strncasecmp(arg->s, "distinct", 8) && !in_word(arg->s[8])) {
		if (a->kind != RN_CAGG_COUNT)
			return rn_err_set(e, RN_EUSAGE, "'%s': only count takes distinct", text);
		a->distinct = true;
		*arg = trim(arg->s + 8, arg->n - 8);
	}
	if (a->kind == RN_CAGG_FIRST || a->kind == RN_CAGG_LAST)
		split(*arg, "by", arg, by);
	if (a->kind == RN_CAGG_QUANTILE &&
	    (!split(*arg, ",", arg, &q) || !rn_float64_parse(q.s, q.n, &a->q) ||
	     !(a->q >= 0 && a->q <= 1)))
		return rn_err_set(e, RN_EUSAGE, "'%s': write quantile(EXPR, Q) with a number Q from 0 to 1",
				  text);
	return 0;
}

int rn_cagg_parse(const char *text, struct rn_cagg_text *out, struct rn_err *e)
{
	struct piece arg, by = { NULL, 0 };

	*out = (struct rn_cagg_text){ .q = 0.5 };
	RN_TRY(parse_call(text, &arg, &out->kind, e));
	if (out->kind == RN_CAGG_COUNT && (!arg.n || is(arg, "*")))
		return 0;
	if (is(arg, "*"))
		return rn_err_set(e, RN_EUSAGE, "'%s': only count takes *", text);
	if (!arg.n)
		return rn_err_set(e, RN_EUSAGE, "'%s': %s of what? Write %s(EXPR)", text,
				  kinds[out->kind].name, kinds[out->kind].name);
	RN_TRY(parse_extras(text, &arg, out, &by, e));
	out->arg = arg.s;
	out->narg = arg.n;
	out->by = by.n ? by.s : NULL;
	out->nby = by.n;
	return 0;
}

static void close_aggregate(struct rn_cagg *a)
{
	rn_cexpr_free(a->x);
	rn_cexpr_free(a->by);
	rn_column_unref(a->c);
	rn_column_unref(a->bc);
}

static int open_aggregate(const char *text, const struct rn_schema *s, struct rn_cagg *a,
			  struct rn_err *e)
{
	struct rn_cagg_text p;
	enum rn_type t;
	int rc;

	*a = (struct rn_cagg){ .text = text };
	RN_TRY(rn_cagg_parse(text, &p, e));
	a->kind = p.kind;
	if (!p.arg)
		return 0;
	a->distinct = p.distinct;
	a->q = p.q;
	a->arg = p.arg;
	a->narg = p.narg;
	RN_TRY(parse_expr((struct piece){ p.arg, p.narg }, s, &a->x, e));
	if (p.by)
		RN_GOTO(fail, parse_expr((struct piece){ p.by, p.nby }, s, &a->by, e));
	t = rn_cexpr_type(a->x);
	if (!kinds[a->kind].number || t == RN_INT64 || t == RN_FLOAT64)
		return 0;
	rc = rn_err_set(e, RN_EUSAGE, "'%s' wants a number, not %s", text, rn_type_name(t));
fail:
	close_aggregate(a);
	*a = (struct rn_cagg){ 0 };
	return rc;
}

static enum rn_type type_of(const struct rn_cagg *a)
{
	if (a->kind == RN_CAGG_COUNT)
		return RN_INT64;
	return kinds[a->kind].real ? RN_FLOAT64 : rn_cexpr_type(a->x);
}

int rn_aggregate_type(const char *text, const struct rn_schema *s, enum rn_type *out,
		      struct rn_err *e)
{
	struct rn_cagg a;

	RN_TRY(open_aggregate(text, s, &a, e));
	*out = type_of(&a);
	close_aggregate(&a);
	return 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

/* The values of a[i], shared with an earlier one over the same expression. */
static int evaluate(struct rn_cagg *a, size_t i, const struct rn_rel *in, struct rn_err *e)
{
	a[i].type = type_of(&a[i]);
	for (size_t k = 0; a[i].x && !a[i].c && k < i; k++)
		if (a[k].c && a[k].narg == a[i].narg && !memcmp(a[k].arg, a[i].arg, a[i].narg))
			a[i].c = rn_column_ref(a[k].c);
	if (a[i].x && !a[i].c)
		RN_TRY(rn_cexpr_eval(a[i].x, in, &a[i].c, e));
	return a[i].by ? rn_cexpr_eval(a[i].by, in, &a[i].bc, e) : 0;
}

/* Those that are made of sums, RN_CAGG_SUMS at a time. */
static int all_sums(struct rn_team *t, struct rn_cagg *a, size_t n, const struct rn_groups *g,
		    struct rn_column **out, struct rn_err *e)
{
	struct rn_column *values[RN_CAGG_SUMS];
	struct rn_cagg *some[RN_CAGG_SUMS];
	size_t at[RN_CAGG_SUMS], m = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && a[i].kind <= RN_CAGG_STDDEV && !a[i].distinct) {
			at[m] = i;
			some[m++] = &a[i];
		}
		if (!m || (m < RN_CAGG_SUMS && i < n))
			continue;
		RN_TRY(rn_cagg_sums(t, some, m, g, values, e));
		for (size_t k = 0; k < m; k++)
			out[at[k]] = values[k];
		m = 0;
	}
	return 0;
}

static int one(const struct rn_ctx *c, const struct rn_cagg *a, const struct rn_groups *g,
	       struct rn_column **out, struct rn_err *e)
{
	struct rn_team *t = c ? c->team : NULL;

	if (a->distinct)
		return rn_cagg_distinct(c, a, g, out, e);
	return a->kind >= RN_CAGG_MEDIAN ? rn_cagg_quantile(t, a, g, out, e) :
					   rn_cagg_pick(t, a, g, out, e);
}

static int open_all(const char *const *texts, size_t n, const struct rn_rel *in, struct rn_cagg **a,
		    struct rn_err *e)
{
	RN_TRY(rn_calloc(n, sizeof **a, "aggregates", a, e));
	for (size_t i = 0; i < n; i++) {
		RN_TRY(open_aggregate(texts[i], &in->schema, &(*a)[i], e));
		RN_TRY(evaluate(*a, i, in, e));
	}
	return 0;
}

static bool has_infinity(const struct rn_column *c)
{
	bool any = false;

	for (uint64_t i = 0; c->type == RN_FLOAT64 && i < c->rows && !any; i++)
		any = isinf(c->f64[i]);
	return any;
}

/* A sum of finite values that is beyond the largest float64 is infinite, as in expressions
 * and as IEEE 754 has it, but worth a word. */
static void tell_infinity(const struct rn_ctx *c, const struct rn_cagg *a,
			  const struct rn_column *out)
{
	if (a->kind <= RN_CAGG_STDDEV && has_infinity(out) && !has_infinity(a->c))
		rn_log(c, RN_LOG_WARN, "'%s' is infinite: finite values add up to more than a float64 holds",
		       a->text);
}

static void close_all(const struct rn_ctx *c, struct rn_cagg *a, size_t n, int rc,
		      struct rn_column **out)
{
	for (size_t i = 0; i < n; i++) {
		if (!rc)
			tell_infinity(c, &a[i], out[i]);
		if (a)
			close_aggregate(&a[i]);
		if (rc) {
			rn_column_unref(out[i]);
			out[i] = NULL;
		}
	}
	free(a);
}

static int from_groups(const struct rn_ctx *c, struct rn_cagg *a, size_t n, const struct rn_groups *g,
		       struct rn_column **out, struct rn_err *e)
{
	RN_TRY(all_sums(c ? c->team : NULL, a, n, g, out, e));
	for (size_t i = 0; i < n; i++)
		if (!out[i])
			RN_TRY(one(c, &a[i], g, &out[i], e));
	return 0;
}

int rn_aggregates(const struct rn_ctx *c, const char *const *texts, size_t n,
		  const struct rn_rel *in, const struct rn_groups *g, struct rn_column **out,
		  struct rn_err *e)
{
	struct rn_cagg *a = NULL;
	int rc;

	memset(out, 0, n * sizeof *out);
	rc = open_all(texts, n, in, &a, e);
	if (!rc)
		rc = from_groups(c, a, n, g, out, e);
	close_all(c, a, n, rc, out);
	return rc;
}

int rn_aggregates_by(const struct rn_ctx *c, const struct rn_key *k, const char *const *texts,
		     size_t n, const struct rn_rel *in, uint64_t *groups, struct rn_buf **first,
		     struct rn_column **out, struct rn_err *e)
{
	struct rn_groups g = { 0 };
	struct rn_cagg *a = NULL;
	bool done = false;
	int rc;

	if (!n)
		return rn_distinct(c, k, groups, first, e);
	memset(out, 0, n * sizeof *out);
	RN_GOTO(out, open_all(texts, n, in, &a, e));
	RN_GOTO(out, rn_cagg_fold(c ? c->team : NULL, a, n, k, groups, first, out, &done, e));
	if (done)
		goto out;
	RN_GOTO(out, rn_group(c, k, &g, e));
	RN_GOTO(out, from_groups(c, a, n, &g, out, e));
	*groups = g.n;
	*first = rn_buf_ref(g.first);
out:
	rn_groups_fini(&g);
	close_all(c, a, n, rc, out);
	return rc;
}

int rn_aggregate(const char *text, const struct rn_rel *in, const struct rn_groups *g,
		 struct rn_column **out, struct rn_err *e)
{
	return rn_aggregates(NULL, &text, 1, in, g, out, e);
}
