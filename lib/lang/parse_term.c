/* SPDX-License-Identifier: Apache-2.0
 *
 * Terms.  Precedence, low to high: comparisons; + -; * / % @; unary minus; ** (from the
 * right); calls.
 */
#include "parser.h"

#include "../base/num.h"

#include <stdio.h>
#include <string.h>

/* ---- tokens --------------------------------------------------------------------------- */

void rn_next(struct rn_parser *p)
{
	p->last_end = p->t.end;
	p->t = rn_lex(p->d->text, p->d->len, p->t.end);
}

struct rn_tok rn_peek(const struct rn_parser *p)
{
	return rn_lex(p->d->text, p->d->len, p->t.end);
}

bool rn_take(struct rn_parser *p, char ch)
{
	if (!rn_at(p, ch))
		return false;
	rn_next(p);
	return true;
}

const char *rn_foreign(const struct rn_parser *p)
{
	static const struct {
		const char *word, *here;
	} words[] = {
		{ "and", "; in a body a comma stands for 'and'" },
		{ "or", "; for 'x or y' write if(x, True, y) == True, or a union of two rules" },
		{ "not", "; there is no 'not': write the opposite comparison, or !R(...) for a relation" },
		{ "is", "; x == None and x != None test for NULL" },
		{ "in", "; for 'in' join a relation of the values, or write if(x == 1, True, x == 2) == True" },
		{ "between", "; write 1 <= x <= 4, or within an expression if(1 <= x, x <= 4, False)" },
		{ "like", "; write regexp_matches(x, 'pattern') == True" },
		{ "when", "; for 'case' write if(condition, x, y)" },
	};
	const char *at = p->d->text + p->t.at;
	char before = p->t.at ? at[-1] : '\n', behind = p->t.end < p->d->len ? p->d->text[p->t.end] : '\n';

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (rn_at_word(p, words[i].word))
			return words[i].here;
	if (rn_at(p, '|') && behind == '|')
		return "; concat(x, y) joins strings";
	if ((rn_at(p, '/') && (before == '/' || behind == '/' || behind == '*')) || (rn_at(p, '*') && before == '/'))
		return "; '#' begins a comment";
	return "";
}

void *rn_fail(struct rn_parser *p, const char *want)
{
	const char *text = p->d->text;
	char buf[64];

	if (p->rc)
		return NULL;
	if (p->t.kind == RN_TOK_BAD && strchr("\"'`", text[p->t.at]))
		rn_diag_error(p->d, p->t.at, 0, "the %c is not closed on its line", text[p->t.at]);
	else if (p->t.kind == RN_TOK_BAD && text[p->t.at] > ' ' && text[p->t.at] < 0x7F)
		rn_diag_error(p->d, p->t.at, 0, "expected %s, and nothing begins with '%c'", want, text[p->t.at]);
	else if (p->t.kind == RN_TOK_BAD)
		rn_diag_error(p->d, p->t.at, 0, "expected %s, and nothing begins with byte 0x%02x", want,
			      (unsigned char)text[p->t.at]);
	else
		rn_diag_error(p->d, p->t.at, p->t.end, "expected %s, not %s%s", want,
			      rn_tok_label(text, &p->t, buf, sizeof buf), rn_foreign(p));
	return NULL;
}

bool rn_expect(struct rn_parser *p, char ch, const char *where)
{
	char want[80];

	if (rn_take(p, ch))
		return true;
	snprintf(want, sizeof want, "'%c'%s%s", ch, *where ? " " : "", where);
	rn_fail(p, want);
	return false;
}

bool rn_expect_close(struct rn_parser *p)
{
	if (p->t.kind == RN_TOK_GE) { /* K<i>=…: the = belongs to what follows */
		p->t.kind = RN_TOK_PUNCT;
		p->t.ch = '=';
		p->last_end = ++p->t.at;
		return true;
	}
	return rn_expect(p, '>', "behind the arguments");
}

void *rn_parser_alloc(struct rn_parser *p, size_t size)
{
	void *m = p->rc ? NULL : rn_arena_alloc(p->arena, size, p->e);

	if (!m)
		p->rc = RN_ENOMEM;
	return m;
}

void *rn_parser_push(struct rn_parser *p, void *items, uint32_t *n, size_t size)
{
	void *m = p->rc ? NULL : rn_arena_push(p->arena, items, n, size, p->e);

	if (!m)
		p->rc = RN_ENOMEM;
	return m;
}

/* The text of a name or a string: without quotes, \ taken literally but for \n and \t. */
char *rn_parser_text(struct rn_parser *p, struct rn_tok t)
{
	const char *s = p->d->text + t.at, *end = p->d->text + t.end;
	bool escapes = t.kind == RN_TOK_STR;
	char *out, *to;

	if (escapes || *s == '`')
		s++, end--;
	out = to = rn_parser_alloc(p, (size_t)(end - s) + 1);
	if (!out)
		return NULL;
	for (; s < end; s++) {
		if (escapes && *s == '\\' && s + 1 < end) {
			s++;
			*to++ = *s == 'n' ? '\n' : *s == 't' ? '\t' : *s;
		} else {
			*to++ = *s;
		}
	}
	return out;
}

char *rn_take_name(struct rn_parser *p, const char *want, uint32_t *at)
{
	char *s;

	if (p->t.kind != RN_TOK_NAME)
		return rn_fail(p, want);
	if (at)
		*at = p->t.at;
	s = rn_parser_text(p, p->t);
	rn_next(p);
	return s;
}

/* ---- terms ------------------------------------------------------------------------------ */

static struct rn_term *new_term(struct rn_parser *p, enum rn_term_kind kind, uint32_t at)
{
	struct rn_term *t = rn_parser_alloc(p, sizeof *t);

	if (t) {
		t->kind = kind;
		t->at = at;
	}
	return t;
}

/* The term ends where the last token did. */
static struct rn_term *ended(const struct rn_parser *p, struct rn_term *t)
{
	if (t)
		t->end = p->last_end;
	return t;
}

static bool add_arg(struct rn_parser *p, struct rn_term *t, struct rn_term *arg)
{
	struct rn_term **at;

	if (!arg)
		return false;
	if (arg->depth >= RN_TERM_DEPTH) {
		rn_diag_error(p->d, arg->at, arg->end, "more than %d operators in one expression", RN_TERM_DEPTH);
		return false;
	}
	at = rn_parser_push(p, &t->arg, &t->n, sizeof(struct rn_term *));
	if (!at)
		return false;
	*at = arg;
	if (t->depth <= arg->depth)
		t->depth = arg->depth + 1;
	return true;
}

static struct rn_term *binary(struct rn_parser *p, enum rn_term_op op, struct rn_term *a,
			      struct rn_term *b)
{
	struct rn_term *t = a && b ? new_term(p, RN_T_BIN, a->at) : NULL;

	if (!t || !add_arg(p, t, a) || !add_arg(p, t, b))
		return NULL;
	t->op = op;
	t->end = b->end;
	return t;
}

bool rn_targs_follow(const struct rn_parser *p)
{
	enum { MOST = 400 }; /* tokens */
	const char *text = p->d->text;
	struct rn_tok t = p->t;
	int angle = 0, round = 0;

	for (int i = 0; i < MOST; i++, t = rn_lex(text, p->d->len, t.end)) {
		if (t.kind == RN_TOK_PUNCT && strchr("+-*/%@,", t.ch))
			continue;
		if (t.kind == RN_TOK_NAME || t.kind == RN_TOK_NUM || t.kind == RN_TOK_STR ||
		    t.kind == RN_TOK_POW)
			continue;
		if (t.kind == RN_TOK_PUNCT && (t.ch == '(' || t.ch == ')')) {
			round += t.ch == '(' ? 1 : -1;
			if (round < 0)
				return false;
		} else if (t.kind == RN_TOK_PUNCT && t.ch == '<') {
			angle++;
		} else if (t.kind == RN_TOK_GE && angle == 1) {
			return !round;
		} else if (t.kind == RN_TOK_PUNCT && t.ch == '>') {
			if (--angle)
				continue;
			t = rn_lex(text, p->d->len, t.end);
			return !round && t.kind != RN_TOK_NAME && t.kind != RN_TOK_NUM &&
			       t.kind != RN_TOK_STR;
		} else {
			return false;
		}
	}
	return false;
}

bool rn_empty_targs(const struct rn_parser *p)
{
	struct rn_tok next = rn_peek(p);

	if (p->t.kind != RN_TOK_NE || p->d->text[p->t.at] != '<' || p->t.at != p->last_end ||
	    next.kind != RN_TOK_PUNCT)
		return false;
	return next.ch == '(' ? next.at == p->t.end : strchr("=),>", next.ch) != NULL;
}

bool rn_parse_targs(struct rn_parser *p, struct rn_term ***args, uint32_t *n, bool *there)
{
	if (rn_empty_targs(p)) {
		rn_next(p);
		*there = false;
		return true;
	}
	*there = rn_at(p, '<') && rn_targs_follow(p);
	if (!*there)
		return true;
	rn_next(p);
	do {
		struct rn_term *t = rn_parse_additive(p), **at;

		at = t ? rn_parser_push(p, args, n, sizeof(struct rn_term *)) : NULL;
		if (!at)
			return false;
		*at = t;
	} while (rn_take(p, ','));
	return rn_expect_close(p);
}

static struct rn_term *parse_name(struct rn_parser *p)
{
	uint32_t at = p->t.at;
	bool quoted = p->d->text[at] == '`';
	struct rn_term *t;

	if (!quoted && (rn_at_word(p, "True") || rn_at_word(p, "False") || rn_at_word(p, "true") ||
			rn_at_word(p, "false"))) {
		t = new_term(p, RN_T_BOOL, at);
		if (t)
			t->num = rn_at_word(p, "True") || rn_at_word(p, "true");
		rn_next(p);
		return ended(p, t);
	}
	t = new_term(p, !quoted && rn_at_word(p, "None") ? RN_T_NONE : RN_T_NAME, at);
	if (!t)
		return NULL;
	t->str = rn_take_name(p, "a name", NULL);
	if (!t->str || !rn_parse_targs(p, &t->arg, &t->n, &t->templated))
		return NULL;
	return ended(p, t);
}

static struct rn_term *parse_number(struct rn_parser *p)
{
	const char *s = p->d->text + p->t.at;
	size_t n = p->t.end - p->t.at;
	struct rn_term *t = new_term(p, RN_T_NUM, p->t.at);

	if (!t)
		return NULL;
	if (!rn_float64_parse(s, n, &t->num) || !(t->num - t->num == 0)) {
		rn_diag_error(p->d, p->t.at, p->t.end, "this number is too large");
		return NULL;
	}
	t->is_float = memchr(s, '.', n) || memchr(s, 'e', n) || memchr(s, 'E', n);
	rn_next(p);
	return ended(p, t);
}

/* Items up to `close`; keywords and * where `call`. */
static bool parse_args(struct rn_parser *p, struct rn_term *t, char close, bool call);

/* [ … ] and { "k": v, … } */
static struct rn_term *parse_list(struct rn_parser *p)
{
	struct rn_term *t = new_term(p, RN_T_BRACKET, p->t.at);

	rn_next(p);
	if (!t || !parse_args(p, t, ']', false))
		return NULL;
	return ended(p, t);
}

static struct rn_term *parse_map(struct rn_parser *p)
{
	struct rn_term *t = new_term(p, RN_T_MAP, p->t.at);
	uint32_t nkeys = 0;

	rn_next(p);
	while (t && !rn_at(p, '}')) {
		const char **key = rn_parser_push(p, &t->key, &nkeys, sizeof *t->key);

		if (!key)
			return NULL;
		if (p->t.kind != RN_TOK_STR && p->t.kind != RN_TOK_NAME)
			return rn_fail(p, "a key");
		*key = rn_parser_text(p, p->t);
		rn_next(p);
		if (!rn_expect(p, ':', "behind the key") || !add_arg(p, t, rn_parse_term(p)))
			return NULL;
		if (!rn_take(p, ','))
			break;
	}
	return t && rn_expect(p, '}', "") ? ended(p, t) : NULL;
}

static struct rn_term *parse_inner(struct rn_parser *p);

static struct rn_term *parse_atom(struct rn_parser *p)
{
	struct rn_term *t;
	bool whole;

	switch (p->t.kind) {
	case RN_TOK_NAME:
		return parse_name(p);
	case RN_TOK_NUM:
		return parse_number(p);
	case RN_TOK_STR:
		t = new_term(p, RN_T_STR, p->t.at);
		if (!t || !(t->str = rn_parser_text(p, p->t)))
			return NULL;
		rn_next(p);
		return ended(p, t);
	default:
		break;
	}
	if (rn_at(p, '['))
		return parse_list(p);
	if (rn_at(p, '{'))
		return parse_map(p);
	whole = p->t.at == p->cond;
	if (!rn_take(p, '('))
		return rn_fail(p, "an expression");
	t = whole ? parse_inner(p) : rn_parse_term(p);
	return t && rn_expect(p, ')', "") ? t : NULL;
}

static struct rn_term *parse_call(struct rn_parser *p);

static bool calls(const struct rn_term *call, const char *function)
{
	return call->kind == RN_T_CALL && call->arg[0]->kind == RN_T_NAME && !strcmp(call->arg[0]->str, function);
}

/* count(distinct x): the word, which is a name elsewhere; count(distinct -x), too. */
static bool take_distinct(struct rn_parser *p, const struct rn_term *call)
{
	struct rn_tok next;

	if (!rn_at_word(p, "distinct"))
		return false;
	next = rn_peek(p);
	if (next.kind != RN_TOK_NAME && next.kind != RN_TOK_NUM && next.kind != RN_TOK_STR &&
	    !(next.kind == RN_TOK_PUNCT && strchr("-(", next.ch) && calls(call, "count")))
		return false;
	rn_next(p);
	return true;
}

/* The keyword before a '='. */
static const char *take_keyword(struct rn_parser *p, const struct rn_term *call)
{
	uint32_t at = p->t.at, end = p->t.end;
	const char *name = rn_take_name(p, "a keyword", NULL);

	if (name && (!strcmp(name, "distinct") ? calls(call, "count") :
		     !strcmp(name, "by") && (calls(call, "first") || calls(call, "last")))) {
		rn_diag_error(p->d, at, end, "'%s' stands there without '=': %s", name,
			      *name == 'd' ? "count(distinct x)" : "first(x by t)");
		return NULL;
	}
	rn_next(p);
	return name;
}

/* first(x by t): the word behind an argument. */
static bool take_by(struct rn_parser *p)
{
	if (!rn_at_word(p, "by"))
		return false;
	rn_next(p);
	return true;
}

/* *z, *ReLU(z): for each embedding z_1 … z_n of a bounded join; and the * of count(*). */
static struct rn_term *parse_arg(struct rn_parser *p, bool call)
{
	uint32_t at = p->t.at;
	struct rn_term *t, *of;

	if (!call || !rn_at(p, '*'))
		return rn_parse_term(p);
	rn_next(p);
	t = new_term(p, rn_at(p, ')') ? RN_T_STAR : RN_T_SPLAT, at);
	if (!t || t->kind == RN_T_STAR)
		return ended(p, t);
	of = parse_call(p);
	if (!of || !add_arg(p, t, of))
		return NULL;
	return ended(p, t);
}

static bool parse_args(struct rn_parser *p, struct rn_term *t, char close, bool call)
{
	uint32_t nkeys = t->n; /* a call has its function before its arguments */
	const char **key, *rows = NULL, *by = NULL;

	while (by || !rn_at(p, close)) {
		const char *name = by ? by : rows;

		if (call && p->t.kind == RN_TOK_NAME) {
			struct rn_tok eq = rn_peek(p);

			if (eq.kind == RN_TOK_PUNCT && eq.ch == '=') {
				name = take_keyword(p, t);
				if (!name)
					return false;
			}
		}
		if (call && !name && take_distinct(p, t))
			name = "distinct";
		if (!add_arg(p, t, parse_arg(p, call)))
			return false;
		by = NULL;
		if (name && !t->key) { /* entries for what stands before */
			for (nkeys = 0; nkeys + 1 < t->n;)
				if (!rn_parser_push(p, &t->key, &nkeys, sizeof *t->key))
					return false;
		}
		if (t->key || name) {
			key = rn_parser_push(p, &t->key, &nkeys, sizeof *t->key);
			if (!key)
				return false;
			*key = name;
		}
		if (call && take_by(p))
			by = "by";
		else if (call && !rows && rn_take(p, ';'))
			rows = ";";
		else if (!rn_take(p, ','))
			break;
	}
	return rn_expect(p, close, "");
}

static struct rn_term *parse_call(struct rn_parser *p)
{
	struct rn_term *t = parse_atom(p), *call;

	while (t && rn_at(p, '(')) {
		call = new_term(p, RN_T_CALL, t->at);
		rn_next(p);
		if (!call || !add_arg(p, call, t) || !parse_args(p, call, ')', true))
			return NULL;
		t = ended(p, call);
	}
	return t;
}

static struct rn_term *parse_unary(struct rn_parser *p);

/* x ** y binds tighter than a minus before it, and takes a minus behind it. */
static struct rn_term *parse_power(struct rn_parser *p)
{
	struct rn_term *t = parse_call(p);

	if (!t || p->t.kind != RN_TOK_POW)
		return t;
	rn_next(p);
	return binary(p, RN_TOP_POW, t, parse_unary(p));
}

static struct rn_term *parse_unary(struct rn_parser *p)
{
	struct rn_term *t, *x;

	if (p->depth >= RN_PARSE_DEPTH) {
		rn_diag_error(p->d, p->t.at, p->t.end, "nested more than %d deep", RN_PARSE_DEPTH);
		return NULL;
	}
	p->depth++;
	if (rn_take(p, '+')) {
		t = parse_unary(p);
	} else if (!rn_at(p, '-')) {
		t = parse_power(p);
	} else {
		t = new_term(p, RN_T_NEG, p->t.at);
		rn_next(p);
		x = parse_unary(p);
		t = t && add_arg(p, t, x) ? ended(p, t) : NULL;
	}
	p->depth--;
	return t;
}

static struct rn_term *parse_product(struct rn_parser *p)
{
	struct rn_term *t = parse_unary(p);

	while (t && p->t.kind == RN_TOK_PUNCT && strchr("*/%@", p->t.ch)) {
		enum rn_term_op op = p->t.ch == '*' ? RN_TOP_MUL :
				     p->t.ch == '/' ? RN_TOP_DIV :
				     p->t.ch == '%' ? RN_TOP_MOD : RN_TOP_MATMUL;

		rn_next(p);
		t = binary(p, op, t, parse_unary(p));
	}
	return t;
}

struct rn_term *rn_parse_additive(struct rn_parser *p)
{
	struct rn_term *t = parse_product(p);

	while (t && (rn_at(p, '+') || rn_at(p, '-'))) {
		enum rn_term_op op = p->t.ch == '+' ? RN_TOP_ADD : RN_TOP_SUB;

		rn_next(p);
		t = binary(p, op, t, parse_product(p));
	}
	return t;
}

static bool comparison(const struct rn_parser *p, enum rn_term_op *op)
{
	switch (p->t.kind) {
	case RN_TOK_EQ: *op = RN_TOP_EQ; return true;
	case RN_TOK_NE: *op = RN_TOP_NE; return true;
	case RN_TOK_LE: *op = RN_TOP_LE; return true;
	case RN_TOK_GE: *op = RN_TOP_GE; return true;
	default: break;
	}
	if (p->t.kind != RN_TOK_PUNCT || !strchr("<>=", p->t.ch))
		return false;
	*op = p->t.ch == '<' ? RN_TOP_LT : p->t.ch == '>' ? RN_TOP_GT : RN_TOP_EQ;
	return true;
}

/* *second: the sign of the second comparison, if there is one (else it is not touched). */
static struct rn_term *parse_chain(struct rn_parser *p, struct rn_tok *second)
{
	struct rn_term *t = rn_parse_additive(p);
	enum rn_term_op op;

	for (unsigned n = 0; t && comparison(p, &op); n++) {
		if (n == 1)
			*second = p->t;
		rn_next(p);
		t = binary(p, op, t, rn_parse_additive(p));
	}
	return t;
}

/* Behind a parenthesis with which a condition begins: it may be one around all of it. */
static struct rn_term *parse_inner(struct rn_parser *p)
{
	struct rn_tok second = { .end = 0 };
	struct rn_term *t;

	p->cond = p->t.at;
	t = parse_chain(p, &second);
	if (second.end) {
		p->chain = t;
		p->chain_at = second.at;
		p->chain_end = second.end;
	}
	return t;
}

static struct rn_term *misplaced_chain(struct rn_parser *p, uint32_t at, uint32_t end)
{
	rn_diag_error(p->d, at, end, "a chain of comparisons stands among the conditions of a body only: within an "
		      "expression write if(1 <= x, x <= 4, False)");
	return NULL;
}

struct rn_term *rn_parse_condition(struct rn_parser *p)
{
	struct rn_tok second;
	struct rn_term *t;

	p->cond = p->t.at;
	p->chain = NULL;
	t = parse_chain(p, &second);
	return t && p->chain && p->chain != t ? misplaced_chain(p, p->chain_at, p->chain_end) : t;
}

struct rn_term *rn_parse_term(struct rn_parser *p)
{
	struct rn_term *t = rn_parse_additive(p);
	enum rn_term_op op;

	if (!t || !comparison(p, &op))
		return t;
	rn_next(p);
	t = binary(p, op, t, rn_parse_additive(p));
	return t && comparison(p, &op) ? misplaced_chain(p, p->t.at, p->t.end) : t;
}

bool rn_tests_null(const struct rn_term *t)
{
	return t->kind == RN_T_BIN && t->op >= RN_TOP_EQ &&
	       (t->arg[0]->kind == RN_T_NONE || t->arg[1]->kind == RN_T_NONE);
}

/* ---- printing --------------------------------------------------------------------------- */

int rn_term_level(const struct rn_term *t)
{
	if (t->kind == RN_T_NEG || (t->kind == RN_T_NUM && t->num < 0))
		return 3;
	if (t->kind != RN_T_BIN)
		return 5;
	switch (t->op) {
	case RN_TOP_ADD: case RN_TOP_SUB: return 1;
	case RN_TOP_MUL: case RN_TOP_DIV: case RN_TOP_MOD: case RN_TOP_MATMUL: return 2;
	case RN_TOP_POW: return 4;
	default: return 0;
	}
}

const char *rn_term_sign(enum rn_term_op op)
{
	static const char *const signs[] = {
		[RN_TOP_ADD] = " + ", [RN_TOP_SUB] = " - ", [RN_TOP_MUL] = " * ",
		[RN_TOP_DIV] = " / ", [RN_TOP_MOD] = " % ", [RN_TOP_MATMUL] = " @ ",
		[RN_TOP_POW] = " ** ", [RN_TOP_EQ] = " == ", [RN_TOP_NE] = " != ",
		[RN_TOP_LT] = " < ", [RN_TOP_LE] = " <= ", [RN_TOP_GT] = " > ",
		[RN_TOP_GE] = " >= ",
	};

	return signs[op];
}

static void print_at(const struct rn_term *t, int least, struct rn_str *out)
{
	bool braces = rn_term_level(t) < least;

	rn_str_add(out, braces ? "(" : "");
	rn_term_print(t, out);
	rn_str_add(out, braces ? ")" : "");
}

static void print_string(const char *s, struct rn_str *out)
{
	rn_str_addc(out, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\' || *s == '\n' || *s == '\t')
			rn_str_addc(out, '\\');
		rn_str_addc(out, *s == '\n' ? 'n' : *s == '\t' ? 't' : *s);
	}
	rn_str_addc(out, '"');
}

static bool plain_name(const char *s)
{
	struct rn_tok t = rn_lex(s, strlen(s), 0);

	return t.kind == RN_TOK_NAME && !t.at && *s != '`' && t.end == strlen(s) && strcmp(s, "True") &&
	       strcmp(s, "False") && strcmp(s, "true") && strcmp(s, "false") && strcmp(s, "None");
}

bool rn_is_agg_word(const char *key)
{
	return !strcmp(key, "distinct") || !strcmp(key, "by");
}

static void print_list(const struct rn_term *t, uint32_t from, struct rn_str *out)
{
	for (uint32_t i = from; i < t->n; i++) {
		const char *key = t->key ? t->key[i] : NULL;
		bool rows = key && *key == ';';

		bool word = key && t->kind == RN_T_CALL && rn_is_agg_word(key);

		rn_str_add(out, i == from ? "" : rows && !t->key[i - 1] ? "; " : word ? " " : ", ");
		if (key && !rows)
			rn_str_addf(out, t->kind == RN_T_MAP ? "\"%s\": " : word ? "%s " : "%s=", key);
		rn_term_print(t->arg[i], out);
	}
}

static void print_binary(const struct rn_term *t, struct rn_str *out)
{
	int l = rn_term_level(t);

	print_at(t->arg[0], t->op == RN_TOP_POW ? 5 : l ? l : 1, out); /* comparisons do not chain */
	rn_str_add(out, rn_term_sign(t->op));
	print_at(t->arg[1], t->op == RN_TOP_POW ? 3 : l + 1, out);
}

void rn_term_print(const struct rn_term *t, struct rn_str *out)
{
	char buf[RN_NUM_MAX];

	switch (t->kind) {
	case RN_T_NUM:
		rn_str_addn(out, buf, rn_float64_format(t->num, buf));
		if (t->is_float && !memchr(buf, '.', rn_float64_format(t->num, buf)) &&
		    !memchr(buf, 'e', rn_float64_format(t->num, buf)))
			rn_str_add(out, ".0");
		break;
	case RN_T_STR:
		print_string(t->str, out);
		break;
	case RN_T_BOOL:
		rn_str_add(out, t->num ? "True" : "False");
		break;
	case RN_T_NONE:
		rn_str_add(out, "None");
		break;
	case RN_T_NAME:
		rn_str_addf(out, plain_name(t->str) ? "%s" : "`%s`", t->str);
		if (t->templated) {
			rn_str_addc(out, '<');
			print_list(t, 0, out);
			rn_str_addc(out, '>');
		}
		break;
	case RN_T_CALL:
		print_at(t->arg[0], 5, out);
		rn_str_addc(out, '(');
		print_list(t, 1, out);
		rn_str_addc(out, ')');
		break;
	case RN_T_NEG:
		rn_str_addc(out, '-');
		print_at(t->arg[0], 3, out);
		break;
	case RN_T_BIN:
		print_binary(t, out);
		break;
	case RN_T_BRACKET:
	case RN_T_MAP:
		rn_str_addc(out, t->kind == RN_T_MAP ? '{' : '[');
		print_list(t, 0, out);
		rn_str_addc(out, t->kind == RN_T_MAP ? '}' : ']');
		break;
	case RN_T_SPLAT:
		rn_str_addc(out, '*');
		print_at(t->arg[0], 5, out);
		break;
	case RN_T_STAR:
		rn_str_addc(out, '*');
		break;
	}
}
