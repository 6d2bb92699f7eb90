/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: from text to tree, by recursive descent.
 *
 *   or      and { or and }
 *   and     not { and not }
 *   not     not not | cmp
 *   cmp     concat [ = concat ] { is [not] null | [not] in (…) | [not] like concat
 *                                 | [not] between concat and concat }
 *   concat  sum { || sum }
 *   sum     product { + product }          also -
 *   product unary { * unary }              also / %
 *   unary   - unary | primary
 *   primary literal | name | (or) | case … end | cast(or as type) | f(or, …)
 */
#include "content_node.h"

#include "../base/num.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_DEPTH = 200, MAX_HEIGHT = 1000 };

struct parser {
	struct rn_cexpr *x;
	const struct rn_schema *schema;
	const char *text;
	struct rn_cx_token t; /* the next one */
	unsigned depth;
	struct rn_err *e;
};

/* A list of nodes under construction. */
struct list {
	struct rn_cx_node **at;
	size_t n, cap;
};

static int parse_or(struct parser *p, struct rn_cx_node **out);

/* ---- errors --------------------------------------------------------------------- */

static int expected(struct parser *p, const char *what)
{
	size_t pos = p->t.pos;
	const char *s = p->text + pos;
	int n = (int)(p->t.end - pos);

	if (p->t.kind == RN_CX_T_END)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "expected %s at the end", what);
	if (p->t.kind == RN_CX_T_BAD && strchr("'\"`", *s))
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "there is no closing %c", *s);
	return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "expected %s, found %.*s", what, n, s);
}

/* ---- tokens ----------------------------------------------------------------------- */

static void next(struct parser *p)
{
	rn_cx_next(p->text, &p->t);
}

static bool is_word(const struct parser *p, const char *w)
{
	size_t n = strlen(w);

	return p->t.kind == RN_CX_T_WORD && p->t.end - p->t.pos == n &&
	       strncasecmp(p->text + p->t.pos, w, n) == 0;
}

static bool is_symbol(const struct parser *p, const char *w)
{
	size_t n = strlen(w);

	return p->t.kind == RN_CX_T_SYMBOL && p->t.end - p->t.pos == n &&
	       memcmp(p->text + p->t.pos, w, n) == 0;
}

static bool take_word(struct parser *p, const char *w)
{
	if (!is_word(p, w))
		return false;
	next(p);
	return true;
}

static bool take_symbol(struct parser *p, const char *w)
{
	if (!is_symbol(p, w))
		return false;
	next(p);
	return true;
}

static int need_symbol(struct parser *p, const char *w)
{
	char what[8] = { '\'', w[0], '\'' };

	return take_symbol(p, w) ? 0 : expected(p, what);
}

static int need_word(struct parser *p, const char *w)
{
	char what[16] = "'";

	strcat(strcat(what, w), "'");
	return take_word(p, w) ? 0 : expected(p, what);
}

/* ---- nodes ------------------------------------------------------------------------- */

/* A checked node. */
static int make(struct parser *p, enum rn_cx_op op, size_t pos, size_t n,
		struct rn_cx_node *const *kids, struct rn_cx_node **out)
{
	RN_TRY(rn_cx_node(p->x, op, pos, n, kids, out, p->e));
	if ((*out)->height > MAX_HEIGHT)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos,
				  "more than %d operators build on each other", MAX_HEIGHT);
	return rn_cx_check(p->x, *out, p->e);
}

static int make2(struct parser *p, enum rn_cx_op op, size_t pos, struct rn_cx_node *a,
		 struct rn_cx_node *b, struct rn_cx_node **out)
{
	return make(p, op, pos, 2, (struct rn_cx_node *const[]){ a, b }, out);
}

static int literal(struct parser *p, enum rn_type type, size_t pos, struct rn_cx_node **out)
{
	RN_TRY(rn_cx_node(p->x, RN_CX_LITERAL, pos, 0, NULL, out, p->e));
	(*out)->type = type;
	return 0;
}

static int push(struct parser *p, struct list *l, struct rn_cx_node *n)
{
	RN_TRY(rn_grow(&l->at, &l->cap, l->n + 1, sizeof *l->at, "an expression", p->e));
	l->at[l->n++] = n;
	return 0;
}

/* ---- primaries ----------------------------------------------------------------------- */

/* The text between the quotes of the token, doubled ones single; of the arena. */
static int unquote(struct parser *p, char **out, size_t *len)
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

static int parse_string(struct parser *p, struct rn_cx_node **out)
{
	char *s;

	RN_TRY(literal(p, RN_STRING, p->t.pos, out));
	RN_TRY(unquote(p, &s, &(*out)->lit.s.n));
	(*out)->lit.s.s = s;
	next(p);
	return 0;
}

/* A number, from `pos`, where its minus may stand. */
static int parse_number(struct parser *p, size_t pos, struct rn_cx_node **out)
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
	next(p);
out:
	rn_str_fini(&b);
	return rc;
}

static const char *const reserved[] = { "and",  "or",   "not", "is",   "null", "in",
					"like", "case", "when", "then", "else", "end",
					"cast", "as",   "true", "false" };

static bool is_reserved(const struct parser *p)
{
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (is_word(p, reserved[i]))
			return true;
	return false;
}

/* One piece of a name, a word or `quoted`, at the end of b. */
static int take_name(struct parser *p, struct rn_str *b)
{
	size_t n;
	char *s;

	if (p->t.kind == RN_CX_T_WORD) {
		rn_str_addn(b, p->text + p->t.pos, p->t.end - p->t.pos);
	} else if (p->t.kind == RN_CX_T_QUOTED) {
		RN_TRY(unquote(p, &s, &n));
		rn_str_addn(b, s, n);
	} else {
		return expected(p, "a column name");
	}
	next(p);
	return 0;
}

static int find_column(struct parser *p, const char *name, size_t pos, struct rn_cx_node **out)
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

static int no_function(struct parser *p, const char *name, size_t pos)
{
	struct rn_str b = RN_STR_INIT;
	int rc;

	for (enum rn_cx_op op = RN_CX_YEAR; op < RN_CX_NOPS; op++)
		rn_str_addf(&b, ", %s", rn_cx_symbol(op));
	rc = rn_str_check(&b, p->e);
	if (!rc)
		rc = rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "no function '%s' (functions: cast%s)", name,
				b.s);
	rn_str_fini(&b);
	return rc;
}

static int wrong_count(struct parser *p, enum rn_cx_op op, size_t pos, size_t n)
{
	const char *name = rn_cx_symbol(op);
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

static int parse_call(struct parser *p, const char *name, size_t pos, struct rn_cx_node **out)
{
	enum rn_cx_op op = RN_CX_YEAR;
	struct list args = { 0 };
	struct rn_cx_node *arg;
	size_t min, max;
	int rc;

	while (op < RN_CX_NOPS && strcasecmp(name, rn_cx_symbol(op)) != 0)
		op++;
	if (op == RN_CX_NOPS)
		return no_function(p, name, pos);
	rn_cx_arity(op, &min, &max);
	next(p);
	do {
		RN_GOTO(out, parse_or(p, &arg));
		RN_GOTO(out, push(p, &args, arg));
	} while (take_symbol(p, ","));
	RN_GOTO(out, need_symbol(p, ")"));
	if (args.n >= min && args.n <= max)
		rc = make(p, op, pos, args.n, args.at, out);
	else
		rc = wrong_count(p, op, pos, args.n);
out:
	free(args.at);
	return rc;
}

static int parse_name(struct parser *p, struct rn_cx_node **out)
{
	struct rn_str b = RN_STR_INIT;
	size_t pos = p->t.pos;
	int rc;

	RN_GOTO(out, take_name(p, &b));
	while (take_symbol(p, ".")) {
		rn_str_addc(&b, '.');
		RN_GOTO(out, take_name(p, &b));
	}
	RN_GOTO(out, rn_str_check(&b, p->e));
	rc = is_symbol(p, "(") ? parse_call(p, b.s, pos, out) : find_column(p, b.s, pos, out);
out:
	rn_str_fini(&b);
	return rc;
}

/* when, then, …, after the operand of a simple case (or NULL). */
static int parse_whens(struct parser *p, struct rn_cx_node *operand, struct list *l)
{
	struct rn_cx_node *n;

	if (!is_word(p, "when"))
		return expected(p, "'when'");
	while (is_word(p, "when")) {
		size_t pos = p->t.pos;

		next(p);
		RN_TRY(parse_or(p, &n));
		if (operand)
			RN_TRY(make2(p, RN_CX_EQ, pos, operand, n, &n));
		RN_TRY(push(p, l, n));
		RN_TRY(need_word(p, "then"));
		RN_TRY(parse_or(p, &n));
		RN_TRY(push(p, l, n));
	}
	if (take_word(p, "else")) {
		RN_TRY(parse_or(p, &n));
		RN_TRY(push(p, l, n));
	}
	return need_word(p, "end");
}

static int parse_case(struct parser *p, struct rn_cx_node **out)
{
	struct rn_cx_node *operand = NULL;
	struct list l = { 0 };
	size_t pos = p->t.pos;
	int rc = 0;

	next(p);
	if (!is_word(p, "when"))
		RN_TRY(parse_or(p, &operand));
	rc = parse_whens(p, operand, &l);
	if (!rc)
		rc = make(p, RN_CX_CASE, pos, l.n, l.at, out);
	free(l.at);
	return rc;
}

static int parse_type(struct parser *p, enum rn_type *out)
{
	char name[16] = "";
	size_t n = p->t.end - p->t.pos;

	for (size_t i = 0; p->t.kind == RN_CX_T_WORD && i < n && n < sizeof name; i++)
		name[i] = (char)(p->text[p->t.pos + i] | ' '); /* lower case */
	if (rn_type_parse(name, out))
		return expected(p, "a type (int64, float64, bool, string, timestamp)");
	next(p);
	return 0;
}

static int parse_cast(struct parser *p, struct rn_cx_node **out)
{
	size_t pos = p->t.pos;
	struct rn_cx_node *n;
	enum rn_type t;

	next(p);
	RN_TRY(need_symbol(p, "("));
	RN_TRY(parse_or(p, &n));
	RN_TRY(need_word(p, "as"));
	RN_TRY(parse_type(p, &t));
	RN_TRY(need_symbol(p, ")"));
	return rn_cx_cast(p->x, n, t, pos, out, p->e);
}

static int parse_primary(struct parser *p, struct rn_cx_node **out)
{
	bool yes = is_word(p, "true");

	if (p->t.kind == RN_CX_T_STRING)
		return parse_string(p, out);
	if (p->t.kind == RN_CX_T_NUMBER)
		return parse_number(p, p->t.pos, out);
	if (take_symbol(p, "(")) {
		RN_TRY(parse_or(p, out));
		return need_symbol(p, ")");
	}
	if (is_word(p, "case"))
		return parse_case(p, out);
	if (is_word(p, "cast"))
		return parse_cast(p, out);
	if (yes || is_word(p, "false") || is_word(p, "null")) {
		bool null = is_word(p, "null");

		RN_TRY(literal(p, null ? RN_CX_UNTYPED : RN_BOOL, p->t.pos, out));
		(*out)->lit.null = null;
		(*out)->lit.b = yes;
		next(p);
		return 0;
	}
	if ((p->t.kind != RN_CX_T_WORD && p->t.kind != RN_CX_T_QUOTED) || is_reserved(p))
		return expected(p, "a value");
	return parse_name(p, out);
}

/* ---- operators ------------------------------------------------------------------------- */

static int parse_unary(struct parser *p, struct rn_cx_node **out)
{
	size_t pos = p->t.pos;
	int rc;

	if (!take_symbol(p, "-"))
		return parse_primary(p, out);
	if (p->t.kind == RN_CX_T_NUMBER)
		return parse_number(p, pos, out);
	if (++p->depth > MAX_DEPTH)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "nested too deeply");
	rc = parse_unary(p, out);
	p->depth--;
	return rc ? rc : make(p, RN_CX_NEG, pos, 1, out, out);
}

struct binary {
	const char *symbol;
	enum rn_cx_op op;
};

static const struct binary products[] = {
	{ "*", RN_CX_MUL },
	{ "/", RN_CX_DIV },
	{ "%", RN_CX_MOD },
};
static const struct binary sums[] = { { "+", RN_CX_ADD }, { "-", RN_CX_SUB } };
static const struct binary comparisons[] = {
	{ "=", RN_CX_EQ },  { "==", RN_CX_EQ }, { "<>", RN_CX_NE }, { "!=", RN_CX_NE },
	{ "<", RN_CX_LT },  { "<=", RN_CX_LE }, { ">", RN_CX_GT },  { ">=", RN_CX_GE },
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct binary *find_binary(const struct parser *p, const struct binary *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_symbol(p, b[i].symbol))
			return &b[i];
	return NULL;
}

static int parse_product(struct parser *p, struct rn_cx_node **out)
{
	const struct binary *b;
	struct rn_cx_node *r;

	RN_TRY(parse_unary(p, out));
	while ((b = find_binary(p, products, COUNT(products)))) {
		size_t pos = p->t.pos;

		next(p);
		RN_TRY(parse_unary(p, &r));
		RN_TRY(make2(p, b->op, pos, *out, r, out));
	}
	return 0;
}

static int parse_sum(struct parser *p, struct rn_cx_node **out)
{
	const struct binary *b;
	struct rn_cx_node *r;

	RN_TRY(parse_product(p, out));
	while ((b = find_binary(p, sums, COUNT(sums)))) {
		size_t pos = p->t.pos;

		next(p);
		RN_TRY(parse_product(p, &r));
		RN_TRY(make2(p, b->op, pos, *out, r, out));
	}
	return 0;
}

static int parse_concat(struct parser *p, struct rn_cx_node **out)
{
	struct rn_cx_node *r;

	RN_TRY(parse_sum(p, out));
	while (is_symbol(p, "||")) {
		size_t pos = p->t.pos;

		next(p);
		RN_TRY(parse_sum(p, &r));
		RN_TRY(make2(p, RN_CX_CONCAT, pos, *out, r, out));
	}
	return 0;
}

static int parse_in(struct parser *p, size_t pos, struct rn_cx_node **out)
{
	struct list l = { 0 };
	struct rn_cx_node *n;
	int rc;

	RN_TRY(need_symbol(p, "("));
	RN_GOTO(out, push(p, &l, *out));
	do {
		RN_GOTO(out, parse_or(p, &n));
		RN_GOTO(out, push(p, &l, n));
	} while (take_symbol(p, ","));
	if (!take_symbol(p, ")"))
		rc = expected(p, "',' or ')'");
	else
		rc = make(p, RN_CX_IN, pos, l.n, l.at, out);
out:
	free(l.at);
	return rc;
}

static int parse_like(struct parser *p, size_t pos, struct rn_cx_node **out)
{
	struct rn_cx_node *pattern, *like;
	size_t n;
	char *s;

	RN_TRY(parse_concat(p, &pattern));
	RN_TRY(make2(p, RN_CX_LIKE, pos, *out, pattern, &like));
	like->lit.i = RN_CX_NO_ESCAPE;
	if (take_word(p, "escape")) {
		if (p->t.kind != RN_CX_T_STRING)
			return expected(p, "a character in quotes");
		RN_TRY(unquote(p, &s, &n));
		if (n != 1 || (*s & 0x80))
			return expected(p, "one ASCII character in quotes");
		like->lit.i = *s;
		next(p);
	}
	*out = like;
	return 0;
}

static int parse_between(struct parser *p, size_t pos, struct rn_cx_node **out)
{
	struct rn_cx_node *kids[3] = { *out };

	RN_TRY(parse_concat(p, &kids[1]));
	RN_TRY(need_word(p, "and"));
	RN_TRY(parse_concat(p, &kids[2]));
	return make(p, RN_CX_BETWEEN, pos, 3, kids, out);
}

/* What may follow a comparison: is [not] null, [not] in, [not] like, [not] between. */
static int parse_tests(struct parser *p, struct rn_cx_node **out)
{
	for (;;) {
		size_t pos = p->t.pos;
		bool negate = false;

		if (take_word(p, "is")) {
			negate = take_word(p, "not");
			RN_TRY(need_word(p, "null"));
			RN_TRY(make(p, RN_CX_IS_NULL, pos, 1, out, out));
		} else {
			negate = take_word(p, "not");
			if (take_word(p, "in"))
				RN_TRY(parse_in(p, pos, out));
			else if (take_word(p, "like"))
				RN_TRY(parse_like(p, pos, out));
			else if (take_word(p, "between"))
				RN_TRY(parse_between(p, pos, out));
			else if (negate)
				return expected(p, "'in', 'like' or 'between' after 'not'");
			else
				return 0;
		}
		if (negate)
			RN_TRY(make(p, RN_CX_NOT, pos, 1, out, out));
	}
}

static int parse_comparison(struct parser *p, struct rn_cx_node **out)
{
	const struct binary *b;
	struct rn_cx_node *r;

	RN_TRY(parse_concat(p, out));
	b = find_binary(p, comparisons, COUNT(comparisons));
	if (b) {
		size_t pos = p->t.pos;

		next(p);
		RN_TRY(parse_concat(p, &r));
		RN_TRY(make2(p, b->op, pos, *out, r, out));
		if (find_binary(p, comparisons, COUNT(comparisons)))
			return expected(p, "'and', 'or' or the end (comparisons do not chain)");
	}
	return parse_tests(p, out);
}

static int parse_not(struct parser *p, struct rn_cx_node **out)
{
	size_t pos = p->t.pos;
	int rc;

	if (!take_word(p, "not"))
		return parse_comparison(p, out);
	if (++p->depth > MAX_DEPTH)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "nested too deeply");
	rc = parse_not(p, out);
	p->depth--;
	return rc ? rc : make(p, RN_CX_NOT, pos, 1, out, out);
}

static int parse_and(struct parser *p, struct rn_cx_node **out)
{
	struct rn_cx_node *r;

	RN_TRY(parse_not(p, out));
	while (is_word(p, "and")) {
		size_t pos = p->t.pos;

		next(p);
		RN_TRY(parse_not(p, &r));
		RN_TRY(make2(p, RN_CX_AND, pos, *out, r, out));
	}
	return 0;
}

static int parse_or(struct parser *p, struct rn_cx_node **out)
{
	struct rn_cx_node *r;

	if (++p->depth > MAX_DEPTH)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, p->t.pos, "nested too deeply");
	RN_TRY(parse_and(p, out));
	while (is_word(p, "or")) {
		size_t pos = p->t.pos;

		next(p);
		RN_TRY(parse_and(p, &r));
		RN_TRY(make2(p, RN_CX_OR, pos, *out, r, out));
	}
	p->depth--;
	return 0;
}

/* ---- the whole --------------------------------------------------------------------------- */

static int copy_types(const struct rn_schema *s, struct rn_cexpr *x, struct rn_err *e)
{
	enum rn_type *t = rn_arena_alloc(&x->mem, s->ncols * sizeof *t, e);

	if (!t)
		return RN_ENOMEM;
	for (size_t i = 0; i < s->ncols; i++)
		t[i] = s->cols[i].type;
	x->types = t;
	x->ncols = s->ncols;
	return 0;
}

static int parse_all(struct parser *p)
{
	struct rn_cexpr *x = p->x;

	next(p);
	RN_TRY(parse_or(p, &x->root));
	if (p->t.kind != RN_CX_T_END)
		return expected(p, "an operator or the end");
	if (x->root->type == RN_CX_UNTYPED)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, x->root->pos,
				  "this null has no type: write cast(null as TYPE)");
	return 0;
}

int rn_cexpr_parse(const char *text, const struct rn_schema *s, struct rn_cexpr **out,
		   struct rn_err *e)
{
	struct parser p = { .schema = s, .e = e };
	struct rn_cexpr *x;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *x, "an expression", &x, e));
	x->text = rn_arena_strdup(&x->mem, text, e);
	rc = x->text ? copy_types(s, x, e) : RN_ENOMEM;
	p.x = x;
	p.text = x->text;
	if (!rc)
		rc = parse_all(&p);
	if (rc) {
		rn_cexpr_free(x);
		return rc;
	}
	*out = x;
	return 0;
}

void rn_cexpr_free(struct rn_cexpr *x)
{
	if (!x)
		return;
	rn_arena_fini(&x->mem);
	free(x);
}

enum rn_type rn_cexpr_type(const struct rn_cexpr *x)
{
	return x->root->type;
}

long rn_cexpr_column(const struct rn_cexpr *x)
{
	return x->root->op == RN_CX_COLUMN ? (long)x->root->col : -1;
}

static bool uses(const struct rn_cx_node *n, size_t col)
{
	if (n->op == RN_CX_COLUMN)
		return n->col == col;
	for (size_t i = 0; i < n->nkids; i++)
		if (uses(n->kids[i], col))
			return true;
	return false;
}

bool rn_cexpr_uses(const struct rn_cexpr *x, size_t col)
{
	return uses(x->root, col);
}
