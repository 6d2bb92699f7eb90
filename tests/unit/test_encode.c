/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoders: their text, what they fit, tables that came from a file, and shapes of
 * which a part is not known.  Values are compared by the operator test (tests/ops).
 */
#include "t.h"

#include "../../lib/expr/encode.h"

#include <math.h>

static struct rn_ctx ctx = { .threads = 1, .seed = 1 };

/* ---- text -------------------------------------------------------------------------------- */

static void test_text(void)
{
	static const struct {
		const char *text, *list; /* NULL: an error */
	} rows[] = {
		{ "raw(a, b), index( c , 5)", "raw(a) raw(b) index(c)" },
		{ "numeric(a)", "numeric(a)" },
		{ "numeric()(a, b)", "numeric(a) numeric(b)" },
		{ "text(64)(title)", "text(title)" },
		{ "text(title, 64, chars=3, sign=True)", "text(title)" },
		{ "category(`odd name`, s.b, 4, init='normal(0.1)')", "category(odd name) category(s.b)" },
		{ "since(a, b), cyclic(hour)(t)", "since(a, b) cyclic(t)" },
		{ "cyclic(x, period=1e-3)", "cyclic(x)" },
		{ "null(`3`)", "null(3)" },
		{ "", NULL }, { "raw", NULL }, { "raw()", NULL }, { "raw(a", NULL }, { "raw(a,)", NULL },
		{ "raw(a),", NULL }, { "raw(3)", NULL }, { "raw(3a)", NULL }, { "a", NULL },
		{ "index(a, 0)", NULL }, { "index(a, 1.5)", NULL }, { "index(a, b, 3)", NULL },
		{ "index(3)(4)", NULL }, { "text(a)", NULL }, { "text(a, 4, b)", NULL },
		{ "text(a, 4, ngrams=17)", NULL }, { "raw(`a)", NULL }, { "raw(a) raw(b)", NULL },
		{ "cyclic(x, period=0)", NULL }, { "cyclic(x, hour, period=2)", NULL },
		{ "cyclic(x, y)", NULL }, { "category(a)", NULL }, { "onehot(a, min=-1)", NULL },
	};

	for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
		struct rn_str got = RN_STR_INIT;
		struct rn_err e = { 0 };
		struct rn_encoders es;
		int rc = rn_encoders_parse(rows[k].text, &es, &e);

		for (size_t i = 0; !rc && i < es.n; i++) {
			rn_str_add(&got, i ? " " : "");
			rn_encoder_print(&es.at[i], &got);
		}
		if (rows[k].list)
			T_OK(!rc && !strcmp(got.s, rows[k].list), "%s is %s, found %s",
			     rows[k].text, rows[k].list, rc ? e.msg : got.s);
		else
			T_OK(rc == RN_EUSAGE && strchr(e.msg, '^'), "'%s' is refused: %s",
			     rows[k].text, rc ? e.msg : got.s);
		if (!rc)
			rn_encoders_fini(&es);
		rn_str_fini(&got);
	}
}

static void test_bare(void)
{
	struct rn_err e = { 0 };
	struct rn_encoders es;

	T_CALL(rn_encoders_parse_bare("x + [a, null()(b)] * y", 5, &es, &e), &e);
	T_OK(es.n == 2 && es.at[0].kind == RN_ENC_RAW && !strcmp(es.at[0].col, "a") &&
	     es.at[1].kind == RN_ENC_NULL && !strcmp(es.at[1].col, "b"), "columns and encoders in brackets");
	rn_encoders_fini(&es);
	T_OK(rn_encoders_parse_bare("[3]", 1, &es, &e) == RN_EUSAGE, "a number is no column");
}

/* ---- fitting ------------------------------------------------------------------------------ */

/* Column s, strings of one letter (" ": NULL); x, its numbers (NAN: NULL). */
static struct rn_rel *relation(const char *s, const double *x)
{
	size_t n = strlen(s), at = 0;
	struct rn_column *c, *d;
	struct rn_err e = { 0 };
	struct rn_rel *r;

	T_CALL(rn_column_new_string(n, n, &c, &e), &e);
	T_CALL(rn_column_need_null(c, &e), &e);
	T_CALL(rn_column_new(RN_FLOAT64, n, &d, &e), &e);
	T_CALL(rn_column_need_null(d, &e), &e);
	for (size_t i = 0; i < n; i++) {
		c->off[i] = at;
		if (s[i] != ' ')
			c->bytes[at++] = s[i];
		c->nulls += c->null[i] = s[i] == ' ';
		d->nulls += d->null[i] = isnan(x[i]);
		d->f64[i] = isnan(x[i]) ? 0 : x[i];
	}
	c->off[n] = at;
	T_CALL(rn_rel_new("r", n, &r, &e), &e);
	T_CALL(rn_rel_add_col(r, "s", NULL, c, &e), &e);
	T_CALL(rn_rel_add_col(r, "x", NULL, d, &e), &e);
	return r;
}

/* What one encoder fits on all rows, as "a|b …", a row each. */
static void fits(const struct rn_rel *r, const char *text, const char *want)
{
	struct rn_str got = RN_STR_INIT;
	struct rn_err e = { 0 };
	struct rn_encoders es;
	struct rn_fitted *f;
	uint32_t rows[64];

	for (uint32_t i = 0; i < r->rows; i++)
		rows[i] = i;
	T_CALL(rn_encoders_parse(text, &es, &e), &e);
	T_CALL(rn_encoders_fit(&ctx, &es, r, rows, r->rows, &f, &e), &e);
	for (uint64_t i = 0; i < f->tables[0]->rows; i++)
		for (size_t k = 0; k < f->tables[0]->schema.ncols; k++) {
			rn_str_add(&got, k ? "|" : i ? " " : "");
			rn_column_print(f->tables[0]->cols[k], i, &got);
		}
	T_OK(!strcmp(got.s, want), "%s fits %s, found %s", text, want, got.s);
	T_OK(!rn_encoder_check_table(&es.at[0], f->tables[0], &e), "%s: its table is good: %s", text,
	     e.msg);
	rn_fitted_unref(f);
	rn_encoders_fini(&es);
	rn_str_fini(&got);
}

static void test_fit(void)
{
	static const double x[] = { 3, NAN, 1, 2, 2, 10, 4, 1e300 };
	static const double same[] = { 0.1, 0.1, 0.1, 0.1, NAN, NAN, NAN, INFINITY };
	struct rn_rel *r = relation("ba bacbd", x), *q = relation("xxxxxxxx", same), *some;
	struct rn_err e = { 0 };
	struct rn_encoders es;
	struct rn_fitted *f;
	uint32_t all[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };

	fits(r, "onehot(s)", "a|2 b|3 c|1 d|1");
	fits(r, "onehot(s, min=2)", "a|2 b|3");
	fits(r, "onehot(s, top=3)", "a|2 b|3 c|1");
	fits(r, "category(s, 2, top=1)", "b|3");
	fits(r, "onehot(s, min=9)", "");
	fits(r, "text(s, 1, idf=true)", "|8 0|7"); /* all words in one bucket */
	T_CALL(rn_rel_slice(r, 0, 7, &some, &e), &e);
	fits(some, "numeric(x, scale=minmax)", "1|9|6");
	fits(some, "numeric(x, scale=robust)", "2.5|1.75|6");
	rn_rel_unref(some);
	T_CALL(rn_rel_slice(r, 2, 2, &some, &e), &e);
	fits(some, "numeric(x)", "1.5|0.5|2");
	rn_rel_unref(some);
	T_CALL(rn_rel_slice(q, 0, 7, &some, &e), &e);
	fits(some, "numeric(x)", "0.1|1|4"); /* rounding makes no spread */
	rn_rel_unref(some);
	T_CALL(rn_rel_slice(q, 4, 3, &some, &e), &e);
	fits(some, "numeric(x)", "0|1|0");
	rn_rel_unref(some);
	T_CALL(rn_encoders_parse("numeric(x)", &es, &e), &e);
	T_OK(rn_encoders_fit(&ctx, &es, q, all, 8, &f, &e) == RN_EDATA && strstr(e.msg, "inf"),
	     "an infinite number has no mean: %s", e.msg);
	T_OK(rn_encoders_fit(&ctx, &es, q, all, 7, &f, &e) == 0, "which does not matter elsewhere");
	rn_fitted_unref(f);
	rn_encoders_fini(&es);
	rn_rel_unref(r);
	rn_rel_unref(q);
}

/* ---- tables from files --------------------------------------------------------------------- */

/* Is the table that `by` fits on r one for `text`? */
static void table(const struct rn_rel *r, const char *by, const char *text, bool good)
{
	uint32_t rows[64];
	struct rn_encoders a, b;
	struct rn_err e = { 0 };
	struct rn_fitted *f;

	for (uint32_t i = 0; i < r->rows; i++)
		rows[i] = i;
	T_CALL(rn_encoders_parse(by, &a, &e), &e);
	T_CALL(rn_encoders_parse(text, &b, &e), &e);
	T_CALL(rn_encoders_fit(&ctx, &a, r, rows, r->rows, &f, &e), &e);
	T_OK(rn_encoder_check_table(&b.at[0], f->tables[0], &e) == (good ? 0 : RN_EDATA),
	     "a table of %s is %s for %s", by, good ? "good" : "bad", text);
	if (good && b.at[0].kind == RN_ENC_ONEHOT && f->tables[0]->rows > 1) {
		/* Not in order of value. */
		f->tables[0]->cols[0]->bytes[0] = 'z';
		T_OK(rn_encoder_check_table(&b.at[0], f->tables[0], &e) == RN_EDATA,
		     "a vocabulary without order is bad");
	}
	rn_fitted_unref(f);
	rn_encoders_fini(&a);
	rn_encoders_fini(&b);
}

static void test_tables(void)
{
	static const double x[] = { 3, NAN, 1, 2 };
	struct rn_rel *r = relation("ba b", x);

	table(r, "onehot(s)", "onehot(s)", true);
	table(r, "onehot(s)", "category(s, 3)", true);
	table(r, "onehot(s)", "numeric(x)", false);
	table(r, "numeric(x)", "numeric(x, scale=robust)", true);
	table(r, "numeric(x)", "onehot(x)", false);
	table(r, "numeric(x)", "numeric(x, scale=none)", false);
	table(r, "text(s, 64, idf=true)", "text(s, 64, idf=true)", true);
	table(r, "text(s, 64, idf=true)", "text(s, 64)", false);
	table(r, "text(s, 64, idf=true)", "text(s, 2, idf=true)", false);
	table(r, "text(s, 64, idf=true)", "raw(x)", false);
	rn_rel_unref(r);
}

/* ---- shapes --------------------------------------------------------------------------------- */

static void test_shapes(void)
{
	struct rn_shape open = { 1, { RN_DIM_UNKNOWN } }, five = { 1, { 5 } }, six = { 1, { 6 } },
			flat = { 2, { 5, RN_DIM_UNKNOWN } }, s;
	struct rn_str text = RN_STR_INIT;

	T_OK(rn_shape_unify(&open, &five, &s) && s.dim[0] == 5, "unknown and 5");
	T_OK(rn_shape_unify(&five, &open, &s) && s.dim[0] == 5, "5 and unknown");
	T_OK(rn_shape_unify(&open, &open, &s) && !rn_shape_known(&s), "unknown both");
	T_OK(!rn_shape_unify(&five, &six, &s) && !rn_shape_unify(&open, &flat, &s), "5 and 6, ranks");
	rn_shape_print(&flat, &text);
	T_OK(!strcmp(text.s, "[5,?]") && !rn_shape_known(&flat) && rn_shape_known(&five), "%s", text.s);
	rn_str_fini(&text);
}

int main(void)
{
	test_text();
	test_bare();
	test_fit();
	test_tables();
	test_shapes();
	return t_done();
}
