/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: which types an operator takes and gives.  int64 becomes
 * float64 where the two are mixed in arithmetic or branches, but not where they
 * are compared, which is exact.  A string literal becomes a timestamp where a
 * timestamp is needed, a null becomes whatever is needed.
 */
#include "content_node.h"

#include "../base/num.h"

#include <string.h>

static const char *const symbols[] = {
	[RN_CX_LITERAL] = "literal", [RN_CX_COLUMN] = "column", [RN_CX_NEG] = "-",
	[RN_CX_ADD] = "+",	     [RN_CX_SUB] = "-",		[RN_CX_MUL] = "*",
	[RN_CX_DIV] = "/",	     [RN_CX_MOD] = "%",		[RN_CX_CONCAT] = "||",
	[RN_CX_EQ] = "=",	     [RN_CX_NE] = "<>",		[RN_CX_LT] = "<",
	[RN_CX_LE] = "<=",	     [RN_CX_GT] = ">",		[RN_CX_GE] = ">=",
	[RN_CX_AND] = "and",	     [RN_CX_OR] = "or",		[RN_CX_NOT] = "not",
	[RN_CX_IS_NULL] = "is null", [RN_CX_IN] = "in",		[RN_CX_LIKE] = "like",
	[RN_CX_CASE] = "case",	     [RN_CX_CAST] = "cast",	[RN_CX_YEAR] = "year",
	[RN_CX_MONTH] = "month",     [RN_CX_DAY] = "day",	[RN_CX_HOUR] = "hour",
	[RN_CX_MINUTE] = "minute",   [RN_CX_SECOND] = "second", [RN_CX_WEEKDAY] = "weekday",
	[RN_CX_YEARDAY] = "yearday", [RN_CX_LENGTH] = "length", [RN_CX_LOWER] = "lower",
	[RN_CX_UPPER] = "upper",     [RN_CX_TRIM] = "trim",	[RN_CX_LTRIM] = "ltrim",
	[RN_CX_RTRIM] = "rtrim",     [RN_CX_SUBSTR] = "substr", [RN_CX_REPLACE] = "replace",
	[RN_CX_CONTAINS] = "contains", [RN_CX_STARTS_WITH] = "starts_with",
	[RN_CX_ENDS_WITH] = "ends_with", [RN_CX_ABS] = "abs",	[RN_CX_FLOOR] = "floor",
	[RN_CX_CEIL] = "ceil",	     [RN_CX_ROUND] = "round",	[RN_CX_SQRT] = "sqrt",
	[RN_CX_LN] = "ln",	     [RN_CX_EXP] = "exp",	[RN_CX_COALESCE] = "coalesce",
	[RN_CX_GREATEST] = "greatest", [RN_CX_LEAST] = "least", [RN_CX_NULLIF] = "nullif",
	[RN_CX_BETWEEN] = "between",
};
_Static_assert(sizeof symbols / sizeof *symbols == RN_CX_NOPS, "one symbol per operator");

const char *rn_cx_symbol(enum rn_cx_op op)
{
	return symbols[op];
}

void rn_cx_arity(enum rn_cx_op op, size_t *min, size_t *max)
{
	*min = *max = 1;
	if (op == RN_CX_SUBSTR || (op >= RN_CX_CONTAINS && op <= RN_CX_ENDS_WITH) || op >= RN_CX_COALESCE)
		*min = *max = 2;
	if (op == RN_CX_REPLACE)
		*min = 3;
	if (op == RN_CX_REPLACE || op == RN_CX_SUBSTR)
		*max = 3;
	if (op == RN_CX_ROUND || (op >= RN_CX_TRIM && op <= RN_CX_RTRIM))
		*max = 2;
	if (op >= RN_CX_COALESCE && op <= RN_CX_LEAST)
		*max = 1000;
}

static const char *type_name(enum rn_type t)
{
	return t == RN_CX_UNTYPED ? "null" : rn_type_name(t);
}

int rn_cx_node(struct rn_cexpr *x, enum rn_cx_op op, size_t pos, size_t nkids,
	       struct rn_cx_node *const *kids, struct rn_cx_node **out, struct rn_err *e)
{
	struct rn_cx_node *n = rn_arena_alloc(&x->mem, sizeof *n, e);

	if (!n)
		return RN_ENOMEM;
	n->kids = rn_arena_alloc(&x->mem, nkids * sizeof *n->kids, e);
	if (!n->kids)
		return RN_ENOMEM;
	n->op = op;
	n->pos = pos;
	n->index = x->nodes++;
	n->nkids = nkids;
	for (size_t i = 0; i < nkids; i++) {
		n->kids[i] = kids[i];
		n->fails = n->fails || kids[i]->fails;
		if (kids[i]->height >= n->height)
			n->height = kids[i]->height + 1;
	}
	*out = n;
	return 0;
}

static bool is_number(enum rn_type t)
{
	return t == RN_INT64 || t == RN_FLOAT64;
}

/* "'+' needs numbers, has string and int64". */
static int wrong_types(const struct rn_cexpr *x, const struct rn_cx_node *n, const char *needs,
		       struct rn_err *e)
{
	const char *a = type_name(n->kids[0]->type);

	if (n->nkids == 1)
		return rn_cx_fail(e, RN_EUSAGE, x->text, n->pos, "'%s' needs %s, has %s",
				  symbols[n->op], needs, a);
	return rn_cx_fail(e, RN_EUSAGE, x->text, n->pos, "'%s' needs %s, has %s and %s",
			  symbols[n->op], needs, a, type_name(n->kids[1]->type));
}

/* ---- conversions -------------------------------------------------------------------- */

/* Is kid i of a case a value (and not a condition)?  Those of coalesce and its like are. */
static bool is_branch(const struct rn_cx_node *n, size_t i)
{
	return n->op != RN_CX_CASE || i % 2 == 1 || i == n->nkids - 1;
}

/* Give an untyped null, or a case or function of nothing but such, a type. */
static void set_type(struct rn_cx_node *n, enum rn_type t)
{
	if (n->type != RN_CX_UNTYPED)
		return;
	n->type = t;
	for (size_t i = 0; i < n->nkids; i++)
		if (is_branch(n, i))
			set_type(n->kids[i], t);
}

static int literal_to_timestamp(const struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	if (!rn_timestamp_parse(n->lit.s.s, n->lit.s.n, &n->lit.i))
		return rn_cx_fail(e, RN_EUSAGE, x->text, n->pos,
				  "this string is no timestamp (such as '2026-01-31T12:00:00Z')");
	n->type = RN_TIMESTAMP;
	return 0;
}

static bool becomes_timestamp(const struct rn_cx_node *n, enum rn_type t)
{
	return t == RN_TIMESTAMP && n->type == RN_STRING && n->op == RN_CX_LITERAL;
}

/* Make *n of type t where that needs no cast to be written; else leave it. */
static int coerce(struct rn_cexpr *x, struct rn_cx_node **n, enum rn_type t, struct rn_err *e)
{
	set_type(*n, t);
	if (becomes_timestamp(*n, t))
		return literal_to_timestamp(x, *n, e);
	if ((*n)->type == RN_INT64 && t == RN_FLOAT64)
		return rn_cx_cast(x, *n, t, (*n)->pos, n, e);
	return 0;
}

static bool converts(enum rn_type from, enum rn_type to)
{
	switch (from) {
	case RN_INT64:
		return true;
	case RN_FLOAT64:
	case RN_STRING:
		return from == RN_STRING || to != RN_TIMESTAMP;
	case RN_BOOL:
		return to != RN_TIMESTAMP;
	default:
		return to == RN_INT64 || to == RN_STRING;
	}
}

int rn_cx_cast(struct rn_cexpr *x, struct rn_cx_node *kid, enum rn_type t, size_t pos,
	       struct rn_cx_node **out, struct rn_err *e)
{
	enum rn_type from;

	set_type(kid, t);
	if (becomes_timestamp(kid, t))
		RN_TRY(literal_to_timestamp(x, kid, e));
	from = kid->type;
	if (from == t) {
		*out = kid;
		return 0;
	}
	RN_TRY(rn_cx_node(x, RN_CX_CAST, pos, 1, &kid, out, e));
	if (!converts(from, t))
		return rn_cx_fail(e, RN_EUSAGE, x->text, pos, "no cast from %s to %s",
				  type_name(from), type_name(t));
	(*out)->type = t;
	(*out)->fails = kid->fails || from == RN_STRING || (from == RN_FLOAT64 && t == RN_INT64);
	return 0;
}

/* ---- operators ------------------------------------------------------------------------ */

/* Make two operands that are to be compared of types that compare. */
static int meet(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_cx_node **a,
		struct rn_cx_node **b, struct rn_err *e)
{
	set_type(*a, (*b)->type);
	set_type(*b, (*a)->type);
	set_type(*a, RN_INT64);
	set_type(*b, RN_INT64);
	if (becomes_timestamp(*a, (*b)->type))
		RN_TRY(literal_to_timestamp(x, *a, e));
	if (becomes_timestamp(*b, (*a)->type))
		RN_TRY(literal_to_timestamp(x, *b, e));
	if ((*a)->type == (*b)->type || (is_number((*a)->type) && is_number((*b)->type)))
		return 0;
	return rn_cx_fail(e, RN_EUSAGE, x->text, n->pos, "'%s' does not compare %s with %s",
			  symbols[n->op], type_name((*a)->type), type_name((*b)->type));
}

static int check_in(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	/* A null on the left takes the type of the first element that has one. */
	for (size_t i = 1; i < n->nkids; i++)
		set_type(n->kids[0], n->kids[i]->type);
	for (size_t i = 1; i < n->nkids; i++)
		RN_TRY(meet(x, n, &n->kids[0], &n->kids[i], e));
	n->type = RN_BOOL;
	return 0;
}

/* Every kid of type t, or the error that the operator `needs` something else. */
static int need(struct rn_cexpr *x, struct rn_cx_node *n, enum rn_type t, const char *needs,
		struct rn_err *e)
{
	for (size_t i = 0; i < n->nkids; i++) {
		RN_TRY(coerce(x, &n->kids[i], t, e));
		if (n->kids[i]->type != t)
			return wrong_types(x, n, needs, e);
	}
	return 0;
}

static int check_arithmetic(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	enum rn_type a = n->kids[0]->type, b = n->kids[n->nkids - 1]->type;
	enum rn_type t = RN_INT64;

	if (n->op == RN_CX_SUB && (a == RN_TIMESTAMP || b == RN_TIMESTAMP)) {
		RN_TRY(need(x, n, RN_TIMESTAMP, "two numbers or two timestamps", e));
		n->type = RN_FLOAT64;
		return 0;
	}
	if ((!is_number(a) && a != RN_CX_UNTYPED) || (!is_number(b) && b != RN_CX_UNTYPED))
		return wrong_types(x, n, n->nkids == 1 ? "a number" : "numbers", e);
	if (a == RN_FLOAT64 || b == RN_FLOAT64 || n->op == RN_CX_DIV)
		t = RN_FLOAT64;
	RN_TRY(need(x, n, t, "numbers", e));
	n->type = t;
	n->fails = n->fails || (t == RN_INT64 && n->op != RN_CX_MOD);
	return 0;
}

/* The type of kid k goes with t, that of those before it. */
static enum rn_type wider(enum rn_type t, enum rn_type k)
{
	return t == RN_CX_UNTYPED || (t == RN_INT64 && k == RN_FLOAT64) ||
			       (t == RN_STRING && k == RN_TIMESTAMP) ?
		       k :
		       t;
}

/* case, coalesce, greatest, least: all values of one type. */
static int check_choice(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	enum rn_type t = RN_CX_UNTYPED;

	for (size_t i = 0; i < n->nkids; i++) {
		enum rn_type k = n->kids[i]->type;

		if (!is_branch(n, i)) {
			set_type(n->kids[i], RN_BOOL);
			if (n->kids[i]->type != RN_BOOL)
				return rn_cx_fail(e, RN_EUSAGE, x->text, n->kids[i]->pos,
						  "'when' needs a bool, has %s", type_name(k));
		} else {
			t = wider(t, k);
		}
	}
	for (size_t i = 0; i < n->nkids; i++) {
		if (!is_branch(n, i) || t == RN_CX_UNTYPED)
			continue;
		RN_TRY(coerce(x, &n->kids[i], t, e));
		if (n->kids[i]->type != t)
			return rn_cx_fail(e, RN_EUSAGE, x->text, n->kids[i]->pos,
					  n->op == RN_CX_CASE ? "this branch is %s, another one is %s" :
							       "this argument is %s, another one is %s",
					  type_name(n->kids[i]->type), type_name(t));
	}
	n->type = t;
	return 0;
}

static int check_between(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	set_type(n->kids[0], n->kids[1]->type);
	set_type(n->kids[0], n->kids[2]->type);
	RN_TRY(meet(x, n, &n->kids[0], &n->kids[1], e));
	return meet(x, n, &n->kids[0], &n->kids[2], e);
}

static int check_text_function(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	size_t all = n->nkids;
	int rc;

	n->nkids = n->op == RN_CX_SUBSTR ? 1 : all;
	rc = need(x, n, RN_STRING, n->nkids > 1 ? "strings" : "a string", e);
	n->nkids = all;
	RN_TRY(rc);
	for (size_t i = 1; n->op == RN_CX_SUBSTR && i < all; i++) {
		RN_TRY(coerce(x, &n->kids[i], RN_INT64, e));
		if (n->kids[i]->type != RN_INT64)
			return rn_cx_fail(e, RN_EUSAGE, x->text, n->kids[i]->pos,
					  "'substr' counts in int64, this is %s",
					  type_name(n->kids[i]->type));
	}
	n->type = n->op == RN_CX_LENGTH					 ? RN_INT64 :
		  n->op >= RN_CX_CONTAINS && n->op <= RN_CX_ENDS_WITH ? RN_BOOL :
									  RN_STRING;
	return 0;
}

static int check_number_function(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	struct rn_cx_node **kid = &n->kids[0];

	n->type = RN_FLOAT64;
	if (n->nkids == 1 && n->op <= RN_CX_ROUND && (*kid)->type != RN_FLOAT64)
		n->type = RN_INT64;
	RN_TRY(coerce(x, kid, n->type, e));
	if ((*kid)->type != n->type)
		return rn_cx_fail(e, RN_EUSAGE, x->text, n->pos, "'%s' needs a number, has %s",
				  symbols[n->op], type_name((*kid)->type));
	n->fails = n->fails || (n->op == RN_CX_ABS && n->type == RN_INT64);
	if (n->nkids == 1)
		return 0;
	RN_TRY(coerce(x, &n->kids[1], RN_INT64, e));
	if (n->kids[1]->type != RN_INT64)
		return rn_cx_fail(e, RN_EUSAGE, x->text, n->kids[1]->pos,
				  "'round' counts digits in int64, this is %s",
				  type_name(n->kids[1]->type));
	return 0;
}

static int check_function(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	if (n->op <= RN_CX_YEARDAY) {
		n->type = RN_INT64;
		return need(x, n, RN_TIMESTAMP, "a timestamp", e);
	}
	if (n->op <= RN_CX_ENDS_WITH)
		return check_text_function(x, n, e);
	if (n->op <= RN_CX_EXP)
		return check_number_function(x, n, e);
	if (n->op != RN_CX_NULLIF)
		return check_choice(x, n, e);
	RN_TRY(meet(x, n, &n->kids[0], &n->kids[1], e));
	n->type = n->kids[0]->type;
	return 0;
}

int rn_cx_check(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	n->type = RN_BOOL;
	if (n->op >= RN_CX_NEG && n->op <= RN_CX_MOD)
		return check_arithmetic(x, n, e);
	if (n->op >= RN_CX_EQ && n->op <= RN_CX_GE)
		return meet(x, n, &n->kids[0], &n->kids[1], e);
	if (n->op >= RN_CX_AND && n->op <= RN_CX_NOT)
		return need(x, n, RN_BOOL, "bools", e);
	if (n->op == RN_CX_IN)
		return check_in(x, n, e);
	if (n->op == RN_CX_LIKE)
		return need(x, n, RN_STRING, "strings", e);
	if (n->op == RN_CX_CASE)
		return check_choice(x, n, e);
	if (n->op == RN_CX_BETWEEN)
		return check_between(x, n, e);
	if (n->op == RN_CX_IS_NULL) {
		set_type(n->kids[0], RN_INT64);
		return 0;
	}
	if (n->op == RN_CX_CONCAT) {
		n->type = RN_STRING;
		return need(x, n, RN_STRING, "strings (see cast)", e);
	}
	return check_function(x, n, e);
}
