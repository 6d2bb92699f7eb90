/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: from text to tree, by recursive descent.
 *
 *   or      and { or and }
 *   and     not { and not }
 *   not     not not | cmp
 *   cmp     concat [ = concat ] { is [not] null | is [not] distinct from concat
 *                                 | [not] in (…) | [not] like concat, also ilike
 *                                 | [not] between concat and concat }
 *   concat  sum { || sum }
 *   sum     product { + product }          also -
 *   product unary { * unary }              also / %
 *   unary   - unary | primary
 *   primary literal | name | (or) | case … end | cast(or as type), also try_cast
 *           | extract(part from or) | f(or, …)
 */
#include "content_parse.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_DEPTH = 200, MAX_HEIGHT = 1000 };

/* ---- errors --------------------------------------------------------------------- */

int rn_cx_expected(struct rn_cx_parser *p, const char *what)
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

void rn_cx_advance(struct rn_cx_parser *p)
{
	rn_cx_next(p->text, &p->t);
}

bool rn_cx_is_word(const struct rn_cx_parser *p, const char *w)
{
	size_t n = strlen(w);

	return p->t.kind == RN_CX_T_WORD && p->t.end - p->t.pos == n &&
	       strncasecmp(p->text + p->t.pos, w, n) == 0;
}

bool rn_cx_is_symbol(const struct rn_cx_parser *p, const char *w)
{
	size_t n = strlen(w);

	return p->t.kind == RN_CX_T_SYMBOL && p->t.end - p->t.pos == n &&
	       memcmp(p->text + p->t.pos, w, n) == 0;
}

bool rn_cx_take_word(struct rn_cx_parser *p, const char *w)
{
	if (!rn_cx_is_word(p, w))
		return false;
	rn_cx_advance(p);
	return true;
}

bool rn_cx_take_symbol(struct rn_cx_parser *p, const char *w)
{
	if (!rn_cx_is_symbol(p, w))
		return false;
	rn_cx_advance(p);
	return true;
}

int rn_cx_need_symbol(struct rn_cx_parser *p, const char *w)
{
	char what[8] = { '\'', w[0], '\'' };

	return rn_cx_take_symbol(p, w) ? 0 : rn_cx_expected(p, what);
}

int rn_cx_need_word(struct rn_cx_parser *p, const char *w)
{
	char what[16] = "'";

	strcat(strcat(what, w), "'");
	return rn_cx_take_word(p, w) ? 0 : rn_cx_expected(p, what);
}

/* ---- nodes ------------------------------------------------------------------------- */

int rn_cx_make(struct rn_cx_parser *p, enum rn_cx_op op, size_t pos, size_t n,
		struct rn_cx_node *const *kids, struct rn_cx_node **out)
{
	RN_TRY(rn_cx_node(p->x, op, pos, n, kids, out, p->e));
	if ((*out)->height > MAX_HEIGHT)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos,
				  "more than %d operators build on each other", MAX_HEIGHT);
	return rn_cx_check(p->x, *out, p->e);
}

static int make2(struct rn_cx_parser *p, enum rn_cx_op op, size_t pos, struct rn_cx_node *a,
		 struct rn_cx_node *b, struct rn_cx_node **out)
{
	return rn_cx_make(p, op, pos, 2, (struct rn_cx_node *const[]){ a, b }, out);
}

int rn_cx_push(struct rn_cx_parser *p, struct rn_cx_list *l, struct rn_cx_node *n)
{
	RN_TRY(rn_grow(&l->at, &l->cap, l->n + 1, sizeof *l->at, "an expression", p->e));
	l->at[l->n++] = n;
	return 0;
}

/* ---- operators ------------------------------------------------------------------------- */

static int parse_unary(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	size_t pos = p->t.pos;
	int rc;

	if (!rn_cx_take_symbol(p, "-"))
		return rn_cx_parse_primary(p, out);
	if (p->t.kind == RN_CX_T_NUMBER)
		return rn_cx_parse_number(p, pos, out);
	if (++p->depth > MAX_DEPTH)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "nested too deeply");
	rc = parse_unary(p, out);
	p->depth--;
	return rc ? rc : rn_cx_make(p, RN_CX_NEG, pos, 1, out, out);
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

static const struct binary *find_binary(const struct rn_cx_parser *p, const struct binary *b,
					size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rn_cx_is_symbol(p, b[i].symbol))
			return &b[i];
	return NULL;
}

static int parse_product(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	const struct binary *b;
	struct rn_cx_node *r;

	RN_TRY(parse_unary(p, out));
	while ((b = find_binary(p, products, COUNT(products)))) {
		size_t pos = p->t.pos;

		rn_cx_advance(p);
		RN_TRY(parse_unary(p, &r));
		RN_TRY(make2(p, b->op, pos, *out, r, out));
	}
	return 0;
}

static int parse_sum(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	const struct binary *b;
	struct rn_cx_node *r;

	RN_TRY(parse_product(p, out));
	while ((b = find_binary(p, sums, COUNT(sums)))) {
		size_t pos = p->t.pos;

		rn_cx_advance(p);
		RN_TRY(parse_product(p, &r));
		RN_TRY(make2(p, b->op, pos, *out, r, out));
	}
	return 0;
}

static int parse_concat(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	struct rn_cx_node *r;

	RN_TRY(parse_sum(p, out));
	while (rn_cx_is_symbol(p, "||")) {
		size_t pos = p->t.pos;

		rn_cx_advance(p);
		RN_TRY(parse_sum(p, &r));
		RN_TRY(make2(p, RN_CX_CONCAT, pos, *out, r, out));
	}
	return 0;
}

static int parse_in(struct rn_cx_parser *p, size_t pos, struct rn_cx_node **out)
{
	struct rn_cx_list l = { 0 };
	struct rn_cx_node *n;
	int rc;

	RN_TRY(rn_cx_need_symbol(p, "("));
	RN_GOTO(out, rn_cx_push(p, &l, *out));
	do {
		RN_GOTO(out, rn_cx_parse_or(p, &n));
		RN_GOTO(out, rn_cx_push(p, &l, n));
	} while (rn_cx_take_symbol(p, ","));
	if (!rn_cx_take_symbol(p, ")"))
		rc = rn_cx_expected(p, "',' or ')'");
	else
		rc = rn_cx_make(p, RN_CX_IN, pos, l.n, l.at, out);
out:
	free(l.at);
	return rc;
}

/* After like or ilike, which is like without regard to the case of letters. */
static int parse_like(struct rn_cx_parser *p, size_t pos, bool fold, struct rn_cx_node **out)
{
	struct rn_cx_node *pattern, *like;
	size_t n;
	char *s;

	RN_TRY(parse_concat(p, &pattern));
	if (fold) {
		RN_TRY(rn_cx_make(p, RN_CX_LOWER, (*out)->pos, 1, out, out));
		RN_TRY(rn_cx_make(p, RN_CX_LOWER, pattern->pos, 1, &pattern, &pattern));
	}
	RN_TRY(make2(p, RN_CX_LIKE, pos, *out, pattern, &like));
	like->lit.i = RN_CX_NO_ESCAPE;
	if (rn_cx_take_word(p, "escape")) {
		if (p->t.kind != RN_CX_T_STRING)
			return rn_cx_expected(p, "a character in quotes");
		RN_TRY(rn_cx_unquote(p, &s, &n));
		if (n != 1 || (*s & 0x80))
			return rn_cx_expected(p, "one ASCII character in quotes");
		like->lit.i = *s;
		rn_cx_advance(p);
	}
	*out = like;
	return 0;
}

static int parse_between(struct rn_cx_parser *p, size_t pos, struct rn_cx_node **out)
{
	struct rn_cx_node *kids[3] = { *out };

	RN_TRY(parse_concat(p, &kids[1]));
	RN_TRY(rn_cx_need_word(p, "and"));
	RN_TRY(parse_concat(p, &kids[2]));
	return rn_cx_make(p, RN_CX_BETWEEN, pos, 3, kids, out);
}

/* After is: [not] null, [not] distinct from x. */
static int parse_is(struct rn_cx_parser *p, size_t pos, bool *negate, struct rn_cx_node **out)
{
	struct rn_cx_node *r;

	*negate = rn_cx_take_word(p, "not");
	if (rn_cx_take_word(p, "null"))
		return rn_cx_make(p, RN_CX_IS_NULL, pos, 1, out, out);
	if (!rn_cx_take_word(p, "distinct"))
		return rn_cx_expected(p, *negate ? "'null' or 'distinct from'" :
					     "'null', 'not null' or 'distinct from'");
	RN_TRY(rn_cx_need_word(p, "from"));
	RN_TRY(parse_concat(p, &r));
	return make2(p, RN_CX_DISTINCT, pos, *out, r, out);
}

/* What may follow a comparison: is …, [not] in, [not] like, [not] between. */
static int parse_tests(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	for (;;) {
		size_t pos = p->t.pos;
		bool negate, fold;

		if (rn_cx_take_word(p, "is")) {
			RN_TRY(parse_is(p, pos, &negate, out));
		} else {
			negate = rn_cx_take_word(p, "not");
			fold = rn_cx_is_word(p, "ilike");
			if (rn_cx_take_word(p, "in"))
				RN_TRY(parse_in(p, pos, out));
			else if (rn_cx_take_word(p, "like") || rn_cx_take_word(p, "ilike"))
				RN_TRY(parse_like(p, pos, fold, out));
			else if (rn_cx_take_word(p, "between"))
				RN_TRY(parse_between(p, pos, out));
			else if (negate)
				return rn_cx_expected(p, "'in', 'like' or 'between' after 'not'");
			else
				return 0;
		}
		if (negate)
			RN_TRY(rn_cx_make(p, RN_CX_NOT, pos, 1, out, out));
	}
}

static int parse_comparison(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	const struct binary *b;
	struct rn_cx_node *r;

	RN_TRY(parse_concat(p, out));
	b = find_binary(p, comparisons, COUNT(comparisons));
	if (b) {
		size_t pos = p->t.pos;

		rn_cx_advance(p);
		RN_TRY(parse_concat(p, &r));
		RN_TRY(make2(p, b->op, pos, *out, r, out));
		if (find_binary(p, comparisons, COUNT(comparisons)))
			return rn_cx_expected(p, "'and', 'or' or the end (comparisons do not chain)");
	}
	return parse_tests(p, out);
}

static int parse_not(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	size_t pos = p->t.pos;
	int rc;

	if (!rn_cx_take_word(p, "not"))
		return parse_comparison(p, out);
	if (++p->depth > MAX_DEPTH)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, pos, "nested too deeply");
	rc = parse_not(p, out);
	p->depth--;
	return rc ? rc : rn_cx_make(p, RN_CX_NOT, pos, 1, out, out);
}

static int parse_and(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	struct rn_cx_node *r;

	RN_TRY(parse_not(p, out));
	while (rn_cx_is_word(p, "and")) {
		size_t pos = p->t.pos;

		rn_cx_advance(p);
		RN_TRY(parse_not(p, &r));
		RN_TRY(make2(p, RN_CX_AND, pos, *out, r, out));
	}
	return 0;
}

int rn_cx_parse_or(struct rn_cx_parser *p, struct rn_cx_node **out)
{
	struct rn_cx_node *r;

	if (++p->depth > MAX_DEPTH)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, p->t.pos, "nested too deeply");
	RN_TRY(parse_and(p, out));
	while (rn_cx_is_word(p, "or")) {
		size_t pos = p->t.pos;

		rn_cx_advance(p);
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

static int parse_all(struct rn_cx_parser *p)
{
	struct rn_cexpr *x = p->x;

	rn_cx_advance(p);
	RN_TRY(rn_cx_parse_or(p, &x->root));
	if (p->t.kind != RN_CX_T_END)
		return rn_cx_expected(p, "an operator or the end");
	if (x->root->type == RN_CX_UNTYPED)
		return rn_cx_fail(p->e, RN_EUSAGE, p->text, x->root->pos,
				  "this null has no type: write cast(null as TYPE)");
	return 0;
}

int rn_cexpr_parse(const char *text, const struct rn_schema *s, struct rn_cexpr **out,
		   struct rn_err *e)
{
	struct rn_cx_parser p = { .schema = s, .e = e };
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

struct orders {
	struct rn_cexpr_order *out;
	size_t n, most;
};

static const struct rn_cx_node *column_of(const struct rn_cx_node *n)
{
	return n->op == RN_CX_COLUMN ? n : NULL;
}

/* a < b, where both are columns */
static void add_order(struct orders *o, const struct rn_cx_node *a, const struct rn_cx_node *b, bool or_equal)
{
	if (column_of(a) && column_of(b) && o->n < o->most)
		o->out[o->n++] = (struct rn_cexpr_order){ a->col, b->col, or_equal };
}

static void find_orders(struct orders *o, const struct rn_cx_node *n)
{
	switch (n->op) {
	case RN_CX_AND:
		for (size_t i = 0; i < n->nkids; i++)
			find_orders(o, n->kids[i]);
		break;
	case RN_CX_LT:
	case RN_CX_LE:
		add_order(o, n->kids[0], n->kids[1], n->op == RN_CX_LE);
		break;
	case RN_CX_GT:
	case RN_CX_GE:
		add_order(o, n->kids[1], n->kids[0], n->op == RN_CX_GE);
		break;
	case RN_CX_BETWEEN:
		add_order(o, n->kids[1], n->kids[0], true);
		add_order(o, n->kids[0], n->kids[2], true);
		break;
	default:
		break;
	}
}

size_t rn_cexpr_orders(const struct rn_cexpr *x, struct rn_cexpr_order *out, size_t most)
{
	struct orders o = { .out = out, .most = most };

	if (!x->root->fails)
		find_orders(&o, x->root);
	return o.n;
}
