/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: which types an operator takes and gives.  int64 becomes
 * float64 where the two are mixed in arithmetic or branches, but not where they
 * are compared, which is exact.  A string literal becomes a timestamp where a
 * timestamp is needed, a null becomes whatever is needed.
 */
#include "content_node.h"

#include "../base/num.h"
#include "regex.h"

#include <string.h>

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
				  rn_cx_table[n->op].symbol, needs, a);
	return rn_cx_fail(e, RN_EUSAGE, x->text, n->pos, "'%s' needs %s, has %s and %s",
			  rn_cx_table[n->op].symbol, needs, a, type_name(n->kids[1]->type));
}

/* ---- conversions -------------------------------------------------------------------- */

/* Is kid i of a case a value (and not a condition)?  Those of coalesce and its like are. */
static bool is_branch(const struct rn_cx_node *n, size_t i)
{
	size_t first = n->op == RN_CX_CASE_OF;

	if (n->op != RN_CX_CASE && n->op != RN_CX_CASE_OF)
		return true;
	return i >= first && ((i - first) % 2 == 1 || i == n->nkids - 1);
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
		return rn_cx_cast(x, *n, t, false, (*n)->pos, n, e);
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

int rn_cx_cast(struct rn_cexpr *x, struct rn_cx_node *kid, enum rn_type t, bool try, size_t pos,
	       struct rn_cx_node **out, struct rn_err *e)
{
	enum rn_type from;

	set_type(kid, t);
	if (becomes_timestamp(kid, t) && !try)
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
	(*out)->lit.b = try;
	(*out)->fails = kid->fails ||
			(!try && (from == RN_STRING || (from == RN_FLOAT64 && t == RN_INT64)));
	return 0;
}

/* ---- operators ------------------------------------------------------------------------ */

/* Make operands that are to be compared of types that compare: the first with each
 * of the others.  One timestamp makes all string literals timestamps. */
static int meet(struct rn_cexpr *x, const struct rn_cx_node *n, struct rn_cx_node **kids,
		size_t count, struct rn_err *e)
{
	bool time = false;

	for (size_t i = 0; i < count; i++)
		time = time || kids[i]->type == RN_TIMESTAMP;
	for (size_t i = 0; time && i < count; i++)
		if (becomes_timestamp(kids[i], RN_TIMESTAMP))
			RN_TRY(literal_to_timestamp(x, kids[i], e));
	/* A null on the left takes the type of the first other one that has one. */
	for (size_t i = 1; i < count; i++)
		set_type(kids[0], kids[i]->type);
	set_type(kids[0], RN_INT64);
	for (size_t i = 1; i < count; i++) {
		set_type(kids[i], kids[0]->type);
		if (kids[i]->type != kids[0]->type &&
		    !(is_number(kids[i]->type) && is_number(kids[0]->type)))
			return rn_cx_fail(e, RN_EUSAGE, x->text, n->pos,
					  "'%s' does not compare %s with %s",
					  rn_cx_table[n->op].symbol, type_name(kids[0]->type),
					  type_name(kids[i]->type));
	}
	return 0;
}

int rn_cx_compare_whens(struct rn_cexpr *x, size_t n, struct rn_cx_node **kids, struct rn_err *e)
{
	struct rn_cx_node *operand = kids[0], **all, *same;
	size_t whens = 0;

	all = rn_arena_alloc(&x->mem, n * sizeof *all, e);
	if (!all)
		return RN_ENOMEM;
	all[0] = operand;
	for (size_t i = 1; i + 1 < n; i += 2)
		all[++whens] = kids[i];
	RN_TRY(rn_cx_node(x, RN_CX_EQ, operand->pos, 0, NULL, &same, e)); /* for its name only */
	RN_TRY(meet(x, same, all, whens + 1, e));
	for (size_t i = 1; i + 1 < n; i += 2) {
		struct rn_cx_node *pair[2] = { NULL, kids[i] };

		RN_TRY(rn_cx_node(x, RN_CX_OPERAND, operand->pos, 0, NULL, &pair[0], e));
		pair[0]->of = operand;
		pair[0]->type = operand->type;
		RN_TRY(rn_cx_node(x, RN_CX_EQ, kids[i]->pos, 2, pair, &kids[i], e));
		kids[i]->type = RN_BOOL;
	}
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

/* A timestamp moved by seconds, or seconds from one to another. */
static int check_time_arithmetic(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	bool right = n->kids[0]->type == RN_TIMESTAMP; /* seconds stand on the right, if anywhere */
	struct rn_cx_node **s = &n->kids[right];

	if (!is_number((*s)->type) && ((*s)->type != RN_CX_UNTYPED || n->op == RN_CX_SUB)) {
		if (n->op == RN_CX_ADD)
			return wrong_types(x, n, "numbers, or a timestamp and seconds", e);
		RN_TRY(need(x, n, RN_TIMESTAMP, "numbers, timestamps, or a timestamp and seconds", e));
		n->type = RN_FLOAT64;
		return 0;
	}
	if (n->op == RN_CX_SUB && !right)
		return wrong_types(x, n, "numbers, timestamps, or a timestamp and seconds", e);
	n->type = RN_TIMESTAMP;
	n->fails = true;
	return coerce(x, s, RN_FLOAT64, e);
}

static int check_arithmetic(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	enum rn_type a = n->kids[0]->type, b = n->kids[n->nkids - 1]->type;
	enum rn_type t = RN_INT64;

	if ((n->op == RN_CX_SUB || n->op == RN_CX_ADD) && (a == RN_TIMESTAMP || b == RN_TIMESTAMP))
		return check_time_arithmetic(x, n, e);
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

		if (n->op == RN_CX_CASE_OF && i == 0)
			continue;
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
					  n->op < RN_CX_COALESCE ?
						  "this branch is %s, another one is %s" :
						  "this argument is %s, another one is %s",
					  type_name(n->kids[i]->type), type_name(t));
	}
	n->type = t;
	return 0;
}

/* The pattern of a regular expression is known here. */
static int compile_pattern(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	const struct rn_cx_node *p = n->kids[1];
	const char *why;

	if (p->op != RN_CX_LITERAL || p->lit.null)
		return rn_cx_fail(e, RN_EUSAGE, x->text, p->pos,
				  "'%s' needs a pattern in quotes here", rn_cx_table[n->op].symbol);
	n->regex = rn_regex_new(&x->mem, p->lit.s.s, p->lit.s.n, &why, e);
	if (n->regex)
		return 0;
	return why ? rn_cx_fail(e, RN_EUSAGE, x->text, p->pos, "this pattern has %s", why) : RN_ENOMEM;
}

static enum rn_type type_of_letter(char c, enum rn_type first)
{
	switch (c) {
	case 't':
		return RN_TIMESTAMP;
	case 's':
		return RN_STRING;
	case 'i':
		return RN_INT64;
	case 'b':
		return RN_BOOL;
	case 'f':
		return RN_FLOAT64;
	default: /* a number; null is a whole one */
		return first == RN_FLOAT64 ? RN_FLOAT64 : RN_INT64;
	}
}

static int check_function(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	static const char *const what[RN_NTYPES] = {
		[RN_INT64] = "an int64",   [RN_FLOAT64] = "a number", [RN_BOOL] = "a bool",
		[RN_STRING] = "a string", [RN_TIMESTAMP] = "a timestamp",
	};
	const struct rn_cx_info *f = &rn_cx_table[n->op];
	const char *arg = f->args;

	for (size_t i = 0; i < n->nkids; i++, arg++) {
		enum rn_type t;

		arg += *arg == '|';
		t = type_of_letter(*arg, n->kids[i]->type);
		RN_TRY(coerce(x, &n->kids[i], t, e));
		if (n->kids[i]->type != t)
			return rn_cx_fail(e, RN_EUSAGE, x->text, n->kids[i]->pos,
					  "'%s' needs %s here, this is %s", f->symbol,
					  *arg == 'n' ? "a number" : what[t],
					  type_name(n->kids[i]->type));
	}
	n->type = type_of_letter(f->result, n->kids[0]->type);
	if (n->op == RN_CX_ROUND && n->nkids > 1) {
		n->type = RN_FLOAT64;
		RN_TRY(coerce(x, &n->kids[0], n->type, e));
	}
	n->fails = n->fails || f->fails || (n->op == RN_CX_ABS && n->type == RN_INT64);
	if (n->op >= RN_CX_REGEXP_MATCHES && n->op <= RN_CX_REGEXP_REPLACE)
		return compile_pattern(x, n, e);
	if (n->op >= RN_CX_DATE_TRUNC && n->op <= RN_CX_TRY_STRPTIME)
		return rn_cx_check_time(x, n, e);
	return 0;
}

int rn_cx_check(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e)
{
	n->type = RN_BOOL;
	if (rn_cx_table[n->op].args)
		return check_function(x, n, e);
	switch (n->op) {
	case RN_CX_NEG:
	case RN_CX_ADD:
	case RN_CX_SUB:
	case RN_CX_MUL:
	case RN_CX_DIV:
	case RN_CX_MOD:
		return check_arithmetic(x, n, e);
	case RN_CX_AND:
	case RN_CX_OR:
	case RN_CX_NOT:
		return need(x, n, RN_BOOL, "bools", e);
	case RN_CX_IS_NULL:
		set_type(n->kids[0], RN_INT64);
		return 0;
	case RN_CX_LIKE:
		return need(x, n, RN_STRING, "strings", e);
	case RN_CX_CONCAT:
		n->type = RN_STRING;
		return need(x, n, RN_STRING, "strings (see cast)", e);
	case RN_CX_CASE:
	case RN_CX_CASE_OF:
	case RN_CX_COALESCE:
	case RN_CX_GREATEST:
	case RN_CX_LEAST:
		return check_choice(x, n, e);
	case RN_CX_NULLIF:
		RN_TRY(meet(x, n, n->kids, n->nkids, e));
		n->type = n->kids[0]->type;
		return 0;
	case RN_CX_HASH:
		n->type = RN_INT64;
		for (size_t i = 0; i < n->nkids; i++)
			set_type(n->kids[i], RN_INT64);
		return 0;
	default: /* comparisons, in, between */
		return meet(x, n, n->kids, n->nkids, e);
	}
}
