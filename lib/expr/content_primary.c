/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: the parser of what stands between operators: literals,
 * names, calls, case and cast.
 */
#include "content_parse.h"

#include "../base/num.h"
#include "../base/opt.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int literal(struct rn_cx_parser *p, enum rn_type type, size_t pos, struct rn_cx_node **out)
{
	RN_TRY(rn_cx_node(p->x, RN_CX_LITERAL, pos, 0, NULL, out, p->e));
	(*out)->type = type;
	return 0;
}

/* ---- literals ------------------------------------------------------------------------ */

int rn_cx_unquote(struct rn_cx_parser *p, char **out, size_t *len)
{
	const char *s = p->text;
	char q = s[p->t.pos], *to;

	to = rn_arena_alloc(&p->x->mem, p->t.end - p->t.pos, p->e);
	if (!to)
		return RN_ENOMEM;
	*out = to;
	for (size_t i = p->t.pos + 1; i < p->t.end - 1; i++) {
		*to++ = s[i];
		i += s[i] == q;
	}
	*len = (size_t)(to - *out);
	return 0;
}

static int parse_string(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	char *s;

	RN_TRY(literal(p, RN_STRING, p->t.pos, out));
	RN_TRY(rn_cx_unquote(p, &s, &(*out)->lit.s.n));
	(*out)->lit.s.s = s;
	rn_cx_advance(p);
	return 0;
}

int rn_cx_parse_number(struct rn_cx_parser *p, size_t pos, struct rn_cx_node **out)
{
	size_t at = p->t.pos, n = p->t.end - at;
	const char *s = p->text + at;
	struct rn_str b = RN_STR_INIT;
	bool ok;
	int rc;

	RN_TRY(literal(p, RN_INT64, pos, out));
	if (pos != at)
		rn_str_addc(&b, '-');
	rn_str_addn(&b, s, n);
	rc = rn_str_check(&b, p->e);
	if (rc)
		goto out;
	ok = rn_int64_parse(b.s, b.len, &(*out)->lit.i);
	if (!ok && strspn(s, "0123456789") >= n) {
		rc = rn_cx_fail(p->e, RN_EUSAGE, p->text, pos,
				"%s does not fit int64 (as float64: %s.0)", b.s, b.s);
		goto out;
	}
	if (!ok) {
		(*out)->type = RN_FLOAT64;
		ok = rn_float64_parse(b.s, b.len, &(*out)->lit.f) &&
		     (*out)->lit.f - (*out)->lit.f == 0;
		(*out)->lit.f += 0.0; /* -0.0 is 0.0 */
	}
	if (!ok)
		rc = rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "'%s' is no number, or too large",
				b.s);
	rn_cx_advance(p);
out:
	rn_str_fini(&b);
	return rc;
}

static const char *const reserved[] = { "and",  "or",   "not", "is",   "null", "in",
					"like", "case", "when", "then", "else", "end",
					"cast", "as",   "true", "false" };

static bool is_reserved(const struct rn_cx_parser *p)
{
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (rn_cx_is_word(p, reserved[i]))
			return true;
	return false;
}

/* One piece of a name, a word or `quoted`, at the end of b. */
static int take_name(struct rn_cx_parser *p, struct rn_str *b)
{
	size_t n;
	char *s;

	if (p->t.kind == RN_CX_T_WORD) {
		rn_str_addn(b, p->text + p->t.pos, p->t.end - p->t.pos);
	} else if (p->t.kind == RN_CX_T_QUOTED) {
		RN_TRY(rn_cx_unquote(p, &s, &n));
		rn_str_addn(b, s, n);
	} else {
		return rn_cx_expected(p, "a column name");
	}
	rn_cx_advance(p);
	return 0;
}

static int find_column(struct rn_cx_parser *p, const char *name, size_t pos,
		       struct rn_cx_node **out)
{
	struct rn_err why = { 0 };
	size_t col;
	int rc = rn_schema_find(p->schema, name, &col, &why);

	if (rc)
		return rn_cx_fail(p->e, rc, p->text, pos, "%s", why.msg);
	RN_TRY(rn_cx_node(p->x, RN_CX_COLUMN, pos, 0, NULL, out, p->e));
	(*out)->col = col;
	(*out)->type = p->schema->cols[col].type;
	return 0;
}

bool rn_cexpr_is_aggregate(const char *name)
{
	static const char *const names[] = { "count", "sum", "avg", "mean", "min", "max", "first", "last",
					     "median", "quantile", "var", "stddev" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcasecmp(name, names[i]))
			return true;
	return false;
}

static int no_function(struct rn_cx_parser *p, const char *name, size_t pos)
{
	char hint[RN_NEAR_MAX + 32];
	struct rn_near near;

	if (rn_cexpr_is_aggregate(name))
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "'%s' is of a group's rows: rn-agg, or the head "
				  "of a rule, makes a column of it, which can be compared then", name);
	rn_near_init(&near, name);
	for (enum rn_cx_op op = RN_CX_YEAR; op < RN_CX_NOPS; op++)
		rn_near_add(&near, rn_cx_table[op].symbol);
	return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "no function '%s'%s (rn(7) lists them)",
			  name, rn_near_hint(&near, hint, sizeof hint));
}

static int wrong_count(struct rn_cx_parser *p, const char *name, enum rn_cx_op op, size_t pos, size_t n)
{
	size_t min, max;

	rn_cx_arity(op, &min, &max);
	if (min == max)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "'%s' takes %zu argument%s, not %zu", name,
				  min, min == 1 ? "" : "s", n);
	if (max == min + 1)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "'%s' takes %zu or %zu arguments, not %zu",
				  name, min, max, n);
	return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "'%s' takes %zu to %zu arguments, not %zu", name,
			  min, max, n);
}

/* x || y || …; n: two or more. */
static int join_strings(struct rn_cx_parser *p, size_t pos, size_t n, struct rn_cx_node *const *x,
			struct rn_cx_node **out)
{
	struct rn_cx_node *pair[2] = { x[0] };

	for (size_t i = 1; i < n; i++) {
		pair[1] = x[i];
		RN_TRY(rn_cx_make(p, RN_CX_CONCAT, pos, 2, pair, out));
		pair[0] = *out;
	}
	return 0;
}

static int parse_call(struct rn_cx_parser *p, const char *name, size_t pos, struct rn_cx_node **out)
{
	enum rn_cx_op op = rn_cx_find(name);
	struct rn_cx_list args = { 0 };
	struct rn_cx_node *arg;
	size_t min, max;
	int rc;

	if (op == RN_CX_NOPS)
		return no_function(p, name, pos);
	rn_cx_arity(op, &min, &max);
	rn_cx_advance(p);
	do {
		RN_GOTO(out, rn_cx_parse_or(p, &arg));
		RN_GOTO(out, rn_cx_push(p, &args, arg));
	} while (rn_cx_take_symbol(p, ","));
	RN_GOTO(out, rn_cx_need_symbol(p, ")"));
	if (args.n < min || args.n > max)
		rc = wrong_count(p, name, op, pos, args.n);
	else if (op == RN_CX_CONCAT)
		rc = join_strings(p, pos, args.n, args.at, out);
	else
		rc = rn_cx_make(p, op, pos, args.n, args.at, out);
out:
	free(args.at);
	return rc;
}

static int parse_name(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	struct rn_str b = RN_STR_INIT;
	size_t pos = p->t.pos;
	int rc;

	RN_GOTO(out, take_name(p, &b));
	while (rn_cx_take_symbol(p, ".")) {
		rn_str_addc(&b, '.');
		RN_GOTO(out, take_name(p, &b));
	}
	RN_GOTO(out, rn_str_check(&b, p->e));
	rc = rn_cx_is_symbol(p, "(") ? parse_call(p, b.s, pos, out) : find_column(p, b.s, pos, out);
out:
	rn_str_fini(&b);
	return rc;
}

/* when, then, …, [else], end. */
static int parse_whens(struct rn_cx_parser *p, struct rn_cx_list *l)
{
	struct rn_cx_node *n;

	if (!rn_cx_is_word(p, "when"))
		return rn_cx_expected(p, "'when'");
	while (rn_cx_take_word(p, "when")) {
		RN_TRY(rn_cx_parse_or(p, &n));
		RN_TRY(rn_cx_push(p, l, n));
		RN_TRY(rn_cx_need_word(p, "then"));
		RN_TRY(rn_cx_parse_or(p, &n));
		RN_TRY(rn_cx_push(p, l, n));
	}
	if (rn_cx_take_word(p, "else")) {
		RN_TRY(rn_cx_parse_or(p, &n));
		RN_TRY(rn_cx_push(p, l, n));
	}
	return rn_cx_need_word(p, "end");
}

static int parse_case(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	enum rn_cx_op op = RN_CX_CASE;
	struct rn_cx_node *operand;
	struct rn_cx_list l = { 0 };
	size_t pos = p->t.pos;
	int rc;

	rn_cx_advance(p);
	if (!rn_cx_is_word(p, "when")) {
		op = RN_CX_CASE_OF;
		RN_GOTO(out, rn_cx_parse_or(p, &operand));
		RN_GOTO(out, rn_cx_push(p, &l, operand));
	}
	RN_GOTO(out, parse_whens(p, &l));
	if (op == RN_CX_CASE_OF)
		RN_GOTO(out, rn_cx_compare_whens(p->x, l.n, l.at, p->e));
	rc = rn_cx_make(p, op, pos, l.n, l.at, out);
out:
	free(l.at);
	return rc;
}

static int parse_type(struct rn_cx_parser *p, enum rn_type *out)
{
	char name[16] = "";
	size_t n = p->t.end - p->t.pos;

	for (size_t i = 0; p->t.kind == RN_CX_T_WORD && i < n && n < sizeof name; i++)
		name[i] = (char)(p->text[p->t.pos + i] | ' '); /* lower case */
	if (rn_type_parse(name, out))
		return rn_cx_expected(p, "a type (int64, float64, bool, string, timestamp)");
	rn_cx_advance(p);
	return 0;
}

static int parse_cast(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	bool try = rn_cx_is_word(p, "try_cast");
	size_t pos = p->t.pos;
	struct rn_cx_node *n;
	enum rn_type t;

	rn_cx_advance(p);
	RN_TRY(rn_cx_need_symbol(p, "("));
	RN_TRY(rn_cx_parse_or(p, &n));
	RN_TRY(rn_cx_need_word(p, "as"));
	RN_TRY(parse_type(p, &t));
	RN_TRY(rn_cx_need_symbol(p, ")"));
	return rn_cx_cast(p->x, n, t, try, pos, out, p->e);
}

/* extract(PART from t): the function of that name. */
static int parse_extract(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	enum rn_cx_op op = RN_CX_NOPS;
	struct rn_str b = RN_STR_INIT;
	size_t pos = p->t.pos;
	int rc;

	rn_cx_advance(p);
	RN_GOTO(out, rn_cx_need_symbol(p, "("));
	if (p->t.kind == RN_CX_T_WORD) {
		rn_str_addn(&b, p->text + p->t.pos, p->t.end - p->t.pos);
		RN_GOTO(out, rn_str_check(&b, p->e));
		op = rn_cx_find(b.s);
	}
	if (op < RN_CX_YEAR || op > RN_CX_EPOCH)
		rc = rn_cx_expected(p, "a part of a timestamp (year, quarter, month, week, day, hour, …)");
	else
		rn_cx_advance(p);
	if (!rc)
		rc = rn_cx_need_word(p, "from");
	if (!rc)
		rc = rn_cx_parse_or(p, out);
	if (!rc)
		rc = rn_cx_need_symbol(p, ")");
	if (!rc)
		rc = rn_cx_make(p, op, pos, 1, out, out);
out:
	rn_str_fini(&b);
	return rc;
}

/* Is the next token but one an opening parenthesis? */
static bool follows_paren(const struct rn_cx_parser *p)
{
	struct rn_cx_token t = p->t;

	rn_cx_next(p->text, &t);
	return t.kind == RN_CX_T_SYMBOL && p->text[t.pos] == '(';
}

int rn_cx_parse_primary(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	bool yes = rn_cx_is_word(p, "true");

	if (p->t.kind == RN_CX_T_STRING)
		return parse_string(p, out);
	if (p->t.kind == RN_CX_T_NUMBER)
		return rn_cx_parse_number(p, p->t.pos, out);
	if (rn_cx_take_symbol(p, "(")) {
		RN_TRY(rn_cx_parse_or(p, out));
		return rn_cx_need_symbol(p, ")");
	}
	if (rn_cx_is_word(p, "case"))
		return parse_case(p, out);
	if ((rn_cx_is_word(p, "cast") || rn_cx_is_word(p, "try_cast") || rn_cx_is_word(p, "extract")) &&
	    follows_paren(p))
		return rn_cx_is_word(p, "extract") ? parse_extract(p, out) : parse_cast(p, out);
	if (yes || rn_cx_is_word(p, "false") || rn_cx_is_word(p, "null")) {
		bool null = rn_cx_is_word(p, "null");

		RN_TRY(literal(p, null ? RN_CX_UNTYPED : RN_BOOL, p->t.pos, out));
		(*out)->lit.null = null;
		(*out)->lit.b = yes;
		rn_cx_advance(p);
		return 0;
	}
	if ((p->t.kind != RN_CX_T_WORD && p->t.kind != RN_CX_T_QUOTED) || is_reserved(p))
		return rn_cx_expected(p, "a value");
	return parse_name(p, out);
}
