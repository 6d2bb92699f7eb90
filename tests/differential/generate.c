/* SPDX-License-Identifier: Apache-2.0
 *
 * Random expressions and aggregates, written for RN and for SQLite.
 */
#include "diff.h"

#include <stdio.h>
#include <string.h>

void add_column(struct scope *s, const char *name, enum rn_type t, bool small)
{
	struct column *c = &s->col[s->n++];

	snprintf(c->name, sizeof c->name, "%s", name);
	c->type = t;
	c->small = small;
}

struct scope base_scope(const char *sides)
{
	struct scope s = { .bare = !sides[1] };

	for (; *sides; sides++)
		for (int col = 0; col < NCOLS; col++) {
			char name[4] = { *sides, '.', columns[col].name[0] };

			add_column(&s, name, columns[col].type, col != K && col != G);
		}
	return s;
}

const struct column *pick_column(const struct scope *s, enum rn_type t, bool small)
{
	for (unsigned tries = 0; tries < 60 && s->n; tries++) {
		const struct column *c = &s->col[rnd((unsigned)s->n)];

		if ((t == RN_NTYPES || c->type == t) && (c->small || !small))
			return c;
	}
	return NULL;
}

struct text text_new(const struct scope *s)
{
	return (struct text){ RN_STR_INIT, RN_STR_INIT, s };
}

void text_free(struct text *x)
{
	rn_str_fini(&x->rn);
	rn_str_fini(&x->lite);
}

void put(struct text *x, const char *s)
{
	rn_str_add(&x->rn, s);
	rn_str_add(&x->lite, s);
}

void put2(struct text *x, const char *rn, const char *lite)
{
	rn_str_add(&x->rn, rn);
	rn_str_add(&x->lite, lite);
}

static void gen_literal(struct text *x, enum rn_type t)
{
	char s[40];

	switch (t) {
	case RN_INT64:
		snprintf(s, sizeof s, "%d", (int)rnd(6));
		put(x, s);
		break;
	case RN_FLOAT64:
		snprintf(s, sizeof s, "%d.%s", (int)rnd(3), rnd(2) ? "25" : "0");
		put(x, s);
		break;
	case RN_BOOL:
		put(x, rnd(2) ? "true" : "FALSE");
		break;
	case RN_STRING:
		snprintf(s, sizeof s, "'%s'", strings[rnd(NSTRINGS)]);
		put(x, s);
		break;
	default:
		put2(x, "cast('2000-01-02T03:04:05Z' as timestamp)", "946782245000000");
	}
}

/* The name of a column as an expression may have it. */
static void put_column(struct text *x, const struct column *c)
{
	bool bare = x->scope->bare && rnd(2);

	put(x, bare ? c->name + 2 : c->name);
}

static void gen_leaf(struct text *x, enum rn_type t)
{
	const struct column *c = rnd(3) ? pick_column(x->scope, t, true) : NULL;

	if (c)
		put_column(x, c);
	else
		gen_literal(x, t);
}

static void gen_case(struct text *x, enum rn_type t, int depth)
{
	put(x, "case ");
	if (rnd(3) == 0) {
		enum rn_type k = (enum rn_type)rnd(RN_NTYPES);

		gen(x, k, depth - 1, ANY);
		if (rnd(2)) {
			put(x, " when ");
			gen(x, k, depth - 1, ANY);
			put(x, " then ");
			gen(x, t, depth - 1, ANY);
		}
		put(x, " when ");
		gen(x, k == RN_INT64 && rnd(3) == 0 ? RN_FLOAT64 : k, depth - 1, ANY);
	} else {
		put(x, "when ");
		gen(x, RN_BOOL, depth - 1, ANY);
	}
	put(x, " then ");
	gen(x, t, depth - 1, ANY);
	if (rnd(3)) {
		put(x, " else ");
		/* An int64 branch beside a float64 one becomes float64. */
		gen(x, t == RN_FLOAT64 && rnd(3) == 0 ? RN_INT64 : t, depth - 1, ANY);
	}
	put(x, " end");
}

static void binary(struct text *x, enum rn_type t, int depth, const char *op, int prec)
{
	gen(x, t, depth - 1, prec);
	put(x, op);
	gen(x, t, depth - 1, prec + 1);
}

/* A function of one name in RN and another in SQLite. */
static void call(struct text *x, const char *rn, const char *lite, const enum rn_type *args,
		 int depth)
{
	put2(x, rn, lite);
	for (int k = 0; args[k] != RN_NTYPES; k++) {
		put(x, k ? ", " : "(");
		gen(x, args[k], depth - 1, ANY);
	}
	put(x, ")");
}
#define CALL(rn, lite, ...)                                                                       \
	call(x, rn, lite, (const enum rn_type[]){ __VA_ARGS__, RN_NTYPES }, depth)

/* A function that gives what it takes. */
static void gen_choice(struct text *x, enum rn_type t, int depth)
{
	switch (rnd(4)) {
	case 0:
		CALL("coalesce", "coalesce", t, t, t);
		return;
	case 1:
		CALL("nullif", "nullif", t, t);
		return;
	case 2:
		CALL("greatest", "max", t, t, t);
		return;
	default:
		CALL("least", "min", t, t);
	}
}

static void gen_string_function(struct text *x, int depth)
{
	switch (rnd(9)) {
	case 7: /* the piece before the first n characters are over */
		put2(x, "left(", "substr(");
		gen(x, RN_STRING, depth - 1, ANY);
		put2(x, ", abs(", ", 1, abs(");
		gen(x, RN_INT64, depth - 1, ANY);
		put(x, "))");
		return;
	case 0:
		CALL("lower", "lower", RN_STRING);
		return;
	case 1:
		CALL("upper", "upper", RN_STRING);
		return;
	case 2:
		CALL("trim", "trim", RN_STRING, RN_STRING);
		return;
	case 3:
		CALL("ltrim", "ltrim", RN_STRING);
		return;
	case 4:
		CALL("rtrim", "rtrim", RN_STRING, RN_STRING);
		return;
	case 5:
		CALL("substr", "substr", RN_STRING, RN_INT64);
		return;
	case 6:
		CALL("substr", "substr", RN_STRING, RN_INT64, RN_INT64);
		return;
	default:
		/* SQLite does not look at a NULL replacement of the empty string. */
		put(x, "replace(");
		gen(x, RN_STRING, depth - 1, ANY);
		put(x, ", ");
		gen(x, RN_STRING, depth - 1, ANY);
		put(x, ", coalesce(");
		gen(x, RN_STRING, depth - 1, ANY);
		put(x, ", 'q'))");
	}
}

/* SQLite's floor(), ceil() and round() of what is surely a float64, and functions of the
 * C library, which is the same. */
static void gen_rounding(struct text *x, int depth)
{
	switch (rnd(9)) {
	case 4:
		CALL("sqrt", "sqrt", RN_FLOAT64);
		return;
	case 5:
		CALL("ln", "ln", RN_FLOAT64);
		return;
	case 6:
		CALL("sin", "sin", RN_FLOAT64);
		return;
	case 7:
		CALL("atan", "atan", RN_FLOAT64); /* atan2 sees the sign of 0 */
		return;
	case 8:
		CALL("trunc", "trunc", RN_FLOAT64);
		return;
	case 0:
		CALL("abs", "abs", RN_FLOAT64);
		return;
	case 1:
		CALL("floor", "floor", RN_FLOAT64);
		return;
	case 2:
		CALL("ceil", "ceil", RN_FLOAT64);
		return;
	default:
		CALL("round", "round", RN_FLOAT64);
	}
}

static void gen_int(struct text *x, int depth)
{
	static const struct {
		const char *name, *format;
	} parts[] = { { "year", "%Y" }, { "month", "%m" }, { "day", "%d" }, { "hour", "%H" },
		      { "minute", "%M" }, { "second", "%S" }, { "yearday", "%j" }, { "weekday", NULL } };
	unsigned k = rnd(12);

	if (k < 2)
		binary(x, RN_INT64, depth, k ? " + " : " - ", SUM);
	else if (k < 4)
		binary(x, RN_INT64, depth, k == 2 ? " * " : " % ", PRODUCT);
	else if (k == 4) {
		put(x, "- ");
		gen(x, RN_INT64, depth - 1, UNARY);
	} else if (k == 5) {
		unsigned p = rnd(8);

		rn_str_addf(&x->rn, "%s(", parts[p].name);
		if (parts[p].format)
			rn_str_addf(&x->lite, "cast(strftime('%s', (", parts[p].format);
		else
			rn_str_add(&x->lite, "((strftime('%w', (");
		gen(x, RN_TIMESTAMP, depth - 1, ANY);
		put2(x, ")", parts[p].format ? ") / 1000000, 'unixepoch') as integer)" :
					       ") / 1000000, 'unixepoch') + 6) % 7 + 1)");
	} else if (k == 6) {
		enum rn_type from = rnd(2) ? RN_BOOL : RN_FLOAT64;

		put(x, "cast(");
		gen(x, from, depth - 1, ANY);
		put2(x, " as int64)", " as integer)");
	} else if (k == 7) {
		put(x, "cast(cast(");
		gen(x, RN_INT64, depth - 1, ANY);
		put2(x, " as string) as int64)", " as text) as integer)");
	} else if (k == 8) {
		if (rnd(2))
			CALL("length", "length", RN_STRING);
		else
			CALL("strpos", "instr", RN_STRING, RN_STRING);
	} else if (k == 9) {
		if (rnd(2))
			CALL("abs", "abs", RN_INT64);
		else
			CALL("sign", "sign", RN_INT64);
	} else if (k == 10) {
		gen_choice(x, RN_INT64, depth);
	} else {
		gen_case(x, RN_INT64, depth);
	}
}

static void gen_float(struct text *x, int depth)
{
	enum rn_type a = rnd(2) ? RN_FLOAT64 : RN_INT64;
	unsigned k = rnd(9);

	if (k < 3) {
		gen(x, RN_FLOAT64, depth - 1, k == 2 ? PRODUCT : SUM);
		put(x, k == 0 ? " + " : k == 1 ? " - " : " * ");
		gen(x, a, depth - 1, k == 2 ? UNARY : PRODUCT);
	} else if (k == 3) {
		rn_str_add(&x->lite, "cast(");
		gen(x, a, depth - 1, PRODUCT);
		put2(x, " / ", " as real) / ");
		gen(x, RN_INT64, depth - 1, UNARY);
	} else if (k == 4) {
		rn_str_add(&x->lite, "cast(");
		gen(x, RN_TIMESTAMP, depth - 1, SUM);
		put(x, " - ");
		gen(x, RN_TIMESTAMP, depth - 1, PRODUCT);
		rn_str_add(&x->lite, " as real) / 1e6");
	} else if (k == 5) {
		put(x, "cast(");
		gen(x, rnd(2) ? RN_INT64 : RN_BOOL, depth - 1, ANY);
		put2(x, " as float64)", " as real)");
	} else if (k == 6) {
		gen_rounding(x, depth);
	} else if (k == 7) {
		gen_choice(x, RN_FLOAT64, depth);
	} else {
		gen_case(x, RN_FLOAT64, depth);
	}
}

/* Large numbers, where doubles are coarse, are compared, not computed with. */
static void gen_comparison(struct text *x, int depth)
{
	static const char *const ops[] = { " = ", " == ", " <> ", " != ",
					   " < ", " <= ", " > ",  " >= " };
	const char *op = ops[rnd(8)];
	enum rn_type t = (enum rn_type)rnd(RN_NTYPES);

	if (rnd(4) == 0) {
		const struct column *a = pick_column(x->scope, rnd(2) ? RN_INT64 : RN_FLOAT64, false);
		const struct column *b = pick_column(x->scope, rnd(2) ? RN_INT64 : RN_FLOAT64, false);

		if (a && b) {
			put_column(x, a);
			put(x, op);
			put_column(x, b);
			return;
		}
	}
	gen(x, t, depth - 1, CONCAT);
	put(x, op);
	if (rnd(12) == 0)
		put(x, "null");
	else
		gen(x, t == RN_INT64 && rnd(3) == 0 ? RN_FLOAT64 : t, depth - 1, CONCAT);
}

static void gen_test(struct text *x, int depth)
{
	enum rn_type t = (enum rn_type)rnd(RN_NTYPES);
	unsigned k = rnd(7);

	if (k == 5) {
		bool not = rnd(2);

		gen(x, t, depth - 1, CONCAT);
		put2(x, not ? " is not distinct from " : " is distinct from ",
		     not ? " is " : " is not ");
		gen(x, t, depth - 1, CONCAT);
	} else if (k == 6) {
		put2(x, "", "lower(");
		gen(x, RN_STRING, depth - 1, CONCAT);
		put2(x, " ilike 'A_%'", ") like 'a_%'");
	} else if (k == 3) {
		gen(x, t, depth - 1, CONCAT);
		put(x, rnd(2) ? " between " : " not between ");
		gen(x, t, depth - 1, CONCAT);
		put(x, " and ");
		gen(x, t, depth - 1, CONCAT);
	} else if (k == 4) {
		put2(x, "contains(", "(instr(");
		gen(x, RN_STRING, depth - 1, ANY);
		put(x, ", ");
		gen(x, RN_STRING, depth - 1, ANY);
		put2(x, ")", ") > 0)");
	} else if (k == 0) {
		gen(x, t, depth - 1, TEST);
		put(x, rnd(2) ? " is null" : " is not null");
	} else if (k == 1) {
		gen(x, t, depth - 1, TEST);
		put(x, rnd(2) ? " in (" : " not in (");
		for (unsigned n = rnd(3);; n--) {
			gen(x, t, depth - 1, ANY);
			if (!n)
				break;
			put(x, ", ");
		}
		put(x, rnd(6) ? ")" : ", null)");
	} else {
		static const char *const patterns[] = { "'a%'", "'%b'", "'_'", "'%a_'", "'%'", "''",
							"'a!%' escape '!'", "'%!_%' escape '!'" };
		gen(x, RN_STRING, depth - 1, CONCAT);
		put(x, rnd(2) ? " like " : " not like ");
		put(x, patterns[rnd(8)]);
	}
}

static void gen_bool(struct text *x, int depth, unsigned k)
{
	if (k < 3) {
		gen_comparison(x, depth);
	} else if (k < 5) {
		gen_test(x, depth);
	} else if (k == 5) {
		binary(x, RN_BOOL, depth, " and ", AND);
	} else if (k == 6) {
		binary(x, RN_BOOL, depth, " or ", OR);
	} else if (k == 7) {
		put(x, "not ");
		gen(x, RN_BOOL, depth - 1, NOT);
	} else if (k == 8) {
		gen_case(x, RN_BOOL, depth);
	} else {
		put2(x, "cast(", "((");
		gen(x, RN_INT64, depth - 1, ANY);
		put2(x, " as bool)", ") <> 0)");
	}
}

/* Whole seconds, as in all timestamps here. */
static void gen_time(struct text *x, int depth, unsigned k)
{
	static const char *const units[] = { "year", "month", "day" };
	const char *unit = units[rnd(3)];

	if (k < 2) {
		put2(x, "(", "((");
		gen(x, RN_TIMESTAMP, depth - 1, SUM);
		put2(x, k ? " + " : " - ", k ? ") + 1000000 * (" : ") - 1000000 * (");
		gen(x, RN_INT64, depth - 1, PRODUCT);
		put2(x, ")", "))");
	} else {
		rn_str_addf(&x->rn, "date_trunc('%s', ", unit);
		rn_str_add(&x->lite, "(1000000 * unixepoch((");
		gen(x, RN_TIMESTAMP, depth - 1, ANY);
		rn_str_add(&x->rn, ")");
		rn_str_addf(&x->lite, ") / 1000000, 'unixepoch', 'start of %s'))", unit);
	}
}

void gen(struct text *x, enum rn_type t, int depth, int prec)
{
	static const int bool_prec[] = { TEST, TEST, TEST, TEST,    TEST,
					 AND,  OR,   NOT,  PRIMARY, PRIMARY };
	unsigned k = rnd(10);
	bool paren;

	if (depth <= 0 || rnd(6) == 0) {
		gen_leaf(x, t);
		return;
	}
	/* Numbers and strings get parentheses more often than they need them. */
	paren = t == RN_BOOL ? prec > bool_prec[k] || rnd(8) == 0 :
		t == RN_STRING ? prec > CONCAT : t != RN_TIMESTAMP && prec > SUM;
	if (paren)
		put(x, "(");
	if (t == RN_INT64) {
		gen_int(x, depth);
	} else if (t == RN_FLOAT64) {
		gen_float(x, depth);
	} else if (t == RN_BOOL) {
		gen_bool(x, depth, k);
	} else if (t == RN_STRING && k < 3) {
		binary(x, t, depth, " || ", CONCAT);
	} else if (t == RN_STRING && k < 6) {
		gen_string_function(x, depth);
	} else if (t == RN_TIMESTAMP && k < 4) {
		gen_time(x, depth, k);
	} else if (k == 6) {
		gen_choice(x, t, depth);
	} else if (t == RN_STRING && k == 8) {
		put2(x, "strftime(", "strftime('%Y/%m/%d %H:%M:%S %j', (");
		gen(x, RN_TIMESTAMP, depth - 1, ANY);
		put2(x, ", '%Y/%m/%d %H:%M:%S %j')", ") / 1000000, 'unixepoch')");
	} else if (t == RN_STRING && k == 7) {
		put(x, "cast(");
		gen(x, RN_INT64, depth - 1, ANY);
		put2(x, " as string)", " as text)");
	} else {
		gen_case(x, t, depth);
	}
	if (paren)
		put(x, ")");
}

/* ---- aggregates -------------------------------------------------------------------------- */

/* Values of a group's column that are not NULL, as SQL; `order` may end it. */
static void add_values(struct rn_str *b, const char *what, const char *x, const char *from,
		       const char *same, const char *order)
{
	rn_str_addf(b, "(select %s from %s m where %s and m.%s is not null %s)", what, from, same, x,
		    order);
}

/* first, last: the one of lowest (highest) `by`, NULL for the order of the rows. */
static void gen_end(struct text *x, bool last, const char *a, const char *by, const char *from,
		    const char *same)
{
	const char *desc = last ? "desc" : "";
	char what[32], order[128];

	snprintf(what, sizeof what, "m.%s", a);
	if (!by) {
		rn_str_addf(&x->rn, "%s(%s)", last ? "last" : "first", a);
		snprintf(order, sizeof order, "order by i %s limit 1", desc);
	} else {
		rn_str_addf(&x->rn, "%s(%s by %s)", last ? "last" : "first", a, by);
		snprintf(order, sizeof order, "and m.%s is not null order by m.%s %s, i %s limit 1", by,
			 by, desc, desc);
	}
	add_values(&x->lite, what, a, from, same, order);
}

static void gen_spread(struct text *x, bool var, const char *c, const char *from, const char *same)
{
	rn_str_addf(&x->rn, "%s(%s)", var ? "var" : "stddev", c);
	rn_str_add(&x->lite, var ? "(" : "sqrt(");
	rn_str_addf(&x->lite,
		    "max(0, (select (sum(1.0 * m.%s * m.%s) - count(*) * avg(m.%s) * avg(m.%s)) / "
		    "(count(*) - 1) from %s m where %s and m.%s is not null)))",
		    c, c, c, c, from, same, c);
}

/* (1 - d) times the value at the place below, d times the one above. */
static void gen_quantile(struct text *x, const char *c, const char *from, const char *same)
{
	static const char *const qs[] = { "0.5", "0", "0.25", "0.9", "1.0" };
	const char *q = qs[rnd(5)];

	rn_str_addf(&x->rn, strcmp(q, "0.5") ? "quantile(%s, %s)" : "median(%s)", c, q);
	rn_str_addf(&x->lite,
		    "(select sum(case r - lo when 0 then v * (1 - d) when 1 then v * d end) "
		    "from (select v, r, cast(%s * (n - 1) as integer) as lo, "
		    "%s * (n - 1) - cast(%s * (n - 1) as integer) as d from "
		    "(select 1.0 * m.%s as v, row_number() over (order by m.%s) - 1 as r, "
		    "count(*) over () as n from %s m where %s and m.%s is not null)))",
		    q, q, q, c, c, from, same, c);
}

void gen_aggregate(struct text *x, const char *from, const char *same, enum rn_type *type,
		   bool *exact)
{
	const struct column *a = pick_column(x->scope, RN_NTYPES, false);
	const struct column *by = pick_column(x->scope, RN_NTYPES, false);
	const struct column *c = pick_column(x->scope, rnd(2) ? RN_INT64 : RN_FLOAT64, true);
	unsigned k = rnd(10);
	const char *f;

	if (!c && k > 5)
		k = rnd(6);
	*exact = k < 7;
	*type = k < 2 ? RN_INT64 : k < 6 ? a->type : k == 6 ? c->type : RN_FLOAT64;
	switch (k) {
	case 0:
		put(x, "count(");
		put(x, rnd(4) ? a->name : "*");
		put(x, ")");
		return;
	case 1:
		put(x, "count(distinct ");
		put(x, a->name);
		put(x, ")");
		return;
	case 2:
	case 3:
		put(x, k == 2 ? "min(" : "max(");
		put(x, a->name);
		put(x, ")");
		return;
	case 4:
	case 5:
		gen_end(x, rnd(2), a->name, k == 4 ? NULL : by->name, from, same);
		return;
	case 6:
	case 7:
		f = k == 6 ? "sum(" : "avg(";
		put(x, f);
		put(x, c->name);
		put(x, ")");
		return;
	case 8:
		gen_spread(x, rnd(2), c->name, from, same);
		return;
	default:
		gen_quantile(x, c->name, from, same);
	}
}
