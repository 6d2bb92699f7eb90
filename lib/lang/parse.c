/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements, rules and atoms.
 */
#include "parser.h"

#include "../base/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- references and atoms ------------------------------------------------------------------ */

/* Is the ( that comes next closed right before another (?  Then it holds the relations
 * of a function. */
static bool call_follows(const struct rn_parser *p)
{
	enum { MOST = 2000 }; /* tokens */
	struct rn_tok t = p->t;
	int open = 0;

	for (int i = 0; i < MOST; i++, t = rn_lex(p->d->text, p->d->len, t.end)) {
		if (t.kind == RN_TOK_END || t.kind == RN_TOK_BAD || t.kind == RN_TOK_IF)
			return false;
		if (t.kind != RN_TOK_PUNCT)
			continue;
		if (t.ch == ';' || t.ch == '.')
			return false;
		open += t.ch == '(' ? 1 : t.ch == ')' ? -1 : 0;
		if (open)
			continue;
		t = rn_lex(p->d->text, p->d->len, t.end);
		return t.kind == RN_TOK_PUNCT && t.ch == '(';
	}
	return false;
}

/* in_atom: ( may also open the places.  Elsewhere it always opens a call's relations. */
static bool parse_ref(struct rn_parser *p, struct rn_ref *r, bool in_atom)
{
	bool there;

	r->name = rn_take_name(p, "a relation's name", &r->at);
	if (!r->name || !rn_parse_targs(p, &r->targs, &r->ntargs, &there))
		return false;
	if (rn_at(p, '(') && (!in_atom || call_follows(p))) {
		if (++p->depth > RN_PARSE_DEPTH) {
			rn_diag_error(p->d, p->t.at, p->t.end, "nested more than %d deep", RN_PARSE_DEPTH);
			return false;
		}
		r->call = true;
		rn_next(p);
		while (!rn_at(p, ')')) {
			struct rn_ref *arg = rn_parser_push(p, &r->rels, &r->nrels, sizeof *arg);

			if (!arg || !parse_ref(p, arg, false))
				return false;
			if (!rn_take(p, ','))
				break;
		}
		p->depth--;
		if (!rn_expect(p, ')', "behind the function's relations"))
			return false;
	}
	r->end = p->last_end;
	return true;
}

/* x, driver: driver_id, "train", -1 */
static bool parse_place(struct rn_parser *p, struct rn_place *x)
{
	x->at = p->t.at;
	if (p->t.kind == RN_TOK_NAME) {
		struct rn_tok colon = rn_peek(p);

		if (colon.kind == RN_TOK_PUNCT && colon.ch == ':') {
			x->col = rn_take_name(p, "a column", NULL);
			rn_next(p);
		}
	}
	x->term = rn_parse_additive(p);
	if (!x->term)
		return false;
	switch (x->term->kind) {
	case RN_T_NAME:
		return true;
	case RN_T_NUM: case RN_T_STR: case RN_T_BOOL: case RN_T_NONE: case RN_T_NEG: case RN_T_BIN:
		return true; /* what is no constant is found when constants are known */
	default:
		rn_diag_error(p->d, x->term->at, x->term->end,
			      "an atom holds variables and constants; write the expression as a comparison "
			      "or in the head");
		return false;
	}
}

static bool at_primitive(const struct rn_parser *p)
{
	return p->t.kind == RN_TOK_NUM || p->t.kind == RN_TOK_STR || rn_at(p, '-') || rn_at(p, '+') ||
	       rn_at_word(p, "True") || rn_at_word(p, "False");
}

/* The 0 of R(x; 0).  The reference takes any number for it, and so does this, with a word. */
static bool parse_zero(struct rn_parser *p)
{
	const struct rn_term *t = rn_parse_additive(p), *v = t;

	while (v && v->kind == RN_T_NEG)
		v = v->arg[0];
	if (v && v->kind != RN_T_NUM && v->kind != RN_T_STR && v->kind != RN_T_BOOL)
		rn_diag_error(p->d, t->at, t->end, "expected the embedding's variable, or 0");
	else if (v && (v->kind == RN_T_STR || v->num != 0))
		rn_diag_warn(p->d, t->at, t->end, "an embedding that is no variable is 0, whatever is written");
	return v && (v->kind == RN_T_NUM || v->kind == RN_T_STR || v->kind == RN_T_BOOL);
}

/* ; z   ; 0   ; z<k> */
static bool parse_atom_emb(struct rn_parser *p, struct rn_atom *a)
{
	struct rn_term **index = NULL;
	uint32_t n = 0;
	bool there;

	if (!rn_take(p, ';'))
		return true;
	a->emb_at = p->t.at;
	if (rn_at(p, ')')) /* `R(x;)` is as good as R(x) */
		return true;
	a->has_emb = true;
	if (at_primitive(p))
		return parse_zero(p);
	a->emb = rn_take_name(p, "the embedding's variable, or 0", NULL);
	if (!a->emb || !rn_parse_targs(p, &index, &n, &there))
		return false;
	if (n > 1) {
		rn_diag_error(p->d, index[1]->at, index[1]->end, "an embedding's variable has one index");
		return false;
	}
	a->emb_index = n ? index[0] : NULL;
	return true;
}

static bool parse_atom(struct rn_parser *p, struct rn_atom *a)
{
	a->at = p->t.at;
	if (rn_take(p, '?'))
		a->mark = RN_ATOM_OPTIONAL;
	else if (rn_take(p, '!'))
		a->mark = RN_ATOM_ANTI;
	if (!parse_ref(p, &a->ref, true) || !rn_expect(p, '(', "behind the relation"))
		return false;
	while (!rn_at(p, ')') && !rn_at(p, ';')) {
		struct rn_place *x = rn_parser_push(p, &a->places, &a->nplaces, sizeof *x);

		if (!x || !parse_place(p, x))
			return false;
		if (!rn_take(p, ','))
			break;
	}
	if (!parse_atom_emb(p, a) || !rn_expect(p, ')', "behind the atom"))
		return false;
	a->end = p->last_end;
	return true;
}

/* ---- bodies -------------------------------------------------------------------------------- */

static bool at_operator(const struct rn_parser *p)
{
	switch (p->t.kind) {
	case RN_TOK_PUNCT:
		return strchr("<>=+-*/%@", p->t.ch);
	case RN_TOK_POW: case RN_TOK_EQ: case RN_TOK_NE: case RN_TOK_LE: case RN_TOK_GE:
		return true;
	default:
		return false;
	}
}

/* At the ( of a call: does what stands behind its ) go on with it, as in upper(x) == "A"? */
static bool call_is_operand(struct rn_parser look)
{
	unsigned open = 0;

	do {
		open += rn_at(&look, '(');
		open -= rn_at(&look, ')');
		if (look.t.kind == RN_TOK_END || look.t.kind == RN_TOK_IF || rn_at(&look, '.') ||
		    rn_at(&look, ';'))
			return false;
		rn_next(&look);
	} while (open);
	return at_operator(&look);
}

/* Does an atom come next, rather than a comparison?  NAME, perhaps < >, then (. */
static bool atom_follows(const struct rn_parser *p)
{
	struct rn_parser look = *p;
	int angle = 0;

	if (rn_at(p, '?') || rn_at(p, '!'))
		return true;
	if (p->t.kind != RN_TOK_NAME)
		return false;
	rn_next(&look);
	if (rn_empty_targs(&look))
		return true;
	if (rn_at(&look, '<')) {
		if (!rn_targs_follow(&look))
			return false;
		do {
			angle += rn_at(&look, '<') ? 1 : rn_at(&look, '>') ? -1 : 0;
			rn_next(&look);
		} while (angle && look.t.kind != RN_TOK_END);
		return rn_at(&look, '(');
	}
	return rn_at(&look, '(') && !call_is_operand(look);
}

static bool is_comparison(const struct rn_term *t)
{
	return t->kind == RN_T_BIN && t->op >= RN_TOP_EQ;
}

/* Does the term before end in a parenthesis? */
static bool in_braces(const struct rn_parser *p, const struct rn_term *t)
{
	struct rn_tok next = rn_lex(p->d->text, p->d->len, t->end);

	return next.kind == RN_TOK_PUNCT && next.ch == ')';
}

/* 1 < x <= 4 is 1 < x and x <= 4. */
static bool add_chain(struct rn_parser *p, struct rn_item *it, struct rn_term *t)
{
	struct rn_term *left = t->arg[0], **at;

	if (is_comparison(left) && !in_braces(p, left)) {
		if (!add_chain(p, it, left))
			return false;
		t->arg[0] = left->arg[1];
		t->at = t->arg[0]->at;
	}
	at = rn_parser_push(p, &it->conds, &it->nconds, sizeof(struct rn_term *));
	if (at)
		*at = t;
	return at;
}

static bool add_cond(struct rn_parser *p, struct rn_item *it)
{
	const char *hint = rn_foreign(p);
	struct rn_term *t = rn_parse_condition(p);

	if (!t)
		return false;
	if (is_comparison(t))
		return add_chain(p, it, t);
	rn_diag_error(p->d, t->at, t->end, "expected a comparison%s", *hint ? hint : rn_foreign(p));
	return false;
}

/* Join(Set(atom | guard, …))  Union(Set(…)) */
static bool parse_set(struct rn_parser *p, struct rn_item *it)
{
	it->kind = rn_at_word(p, "Join") ? RN_ITEM_JOIN : RN_ITEM_UNION;
	rn_next(p);
	if (!rn_expect(p, '(', "") )
		return false;
	if (!rn_at_word(p, "Set")) {
		rn_fail(p, "Set(");
		return false;
	}
	rn_next(p);
	if (!rn_expect(p, '(', "behind Set") || !parse_atom(p, &it->atom) ||
	    !rn_expect(p, '|', "before the set's guard"))
		return false;
	do {
		struct rn_atom *g;

		if (!atom_follows(p)) {
			if (!add_cond(p, it))
				return false;
			continue;
		}
		g = rn_parser_push(p, &it->guards, &it->nguards, sizeof *g);
		if (!g || !parse_atom(p, g))
			return false;
	} while (rn_take(p, ','));
	return rn_expect(p, ')', "behind the guard") && rn_expect(p, ')', "behind the set");
}

/* Join(Set( or Union(Set(: a relation may be called Join, too. */
static bool set_follows(const struct rn_parser *p)
{
	struct rn_parser look = *p;

	if (!rn_at_word(p, "Join") && !rn_at_word(p, "Union"))
		return false;
	rn_next(&look);
	if (!rn_take(&look, '(') || !rn_at_word(&look, "Set"))
		return false;
	rn_next(&look);
	return !rn_at(&look, ',') && !rn_at(&look, ')') && !rn_at(&look, ';') && !rn_at(&look, ':');
}

static bool parse_item(struct rn_parser *p, struct rn_item *it)
{
	bool ok;

	it->at = p->t.at;
	if (set_follows(p)) {
		ok = parse_set(p, it);
	} else if (atom_follows(p)) {
		it->kind = RN_ITEM_ATOM;
		ok = parse_atom(p, &it->atom);
	} else {
		it->kind = RN_ITEM_COMPARE;
		ok = add_cond(p, it);
	}
	it->end = p->last_end;
	return ok;
}

static bool parse_body(struct rn_parser *p, struct rn_rule *r)
{
	for (;;) {
		struct rn_item *it = rn_parser_push(p, &r->items, &r->nitems, sizeof *it);

		if (!it || !parse_item(p, it))
			return false;
		if (rn_at(p, '|')) {
			if (r->nitems > 1 && !r->by_union)
				break;
			r->by_union = true;
		} else if (!rn_at(p, ',')) {
			return true;
		} else if (r->by_union && !(rn_next(p), atom_follows(p))) {
			/* A | B, a > 5: comparisons may follow a union. */
			p->t = rn_lex(p->d->text, p->d->len, p->last_end - 1);
		} else if (r->by_union) {
			break;
		}
		rn_next(p);
	}
	rn_diag_error(p->d, p->t.at, p->t.end,
		      "',' (join) and '|' (union) cannot be mixed in one body: make a rule of one of them");
	return false;
}

/* ---- rules --------------------------------------------------------------------------------- */

static bool parse_attr(struct rn_parser *p, struct rn_attr *a)
{
	a->at = p->t.at;
	if (p->t.kind == RN_TOK_NAME) {
		struct rn_tok colon = rn_peek(p);

		if (colon.kind == RN_TOK_PUNCT && colon.ch == ':') {
			a->name = rn_take_name(p, "a name", NULL);
			rn_next(p);
		}
	}
	a->term = rn_parse_term(p);
	return a->term;
}

static bool parse_head(struct rn_parser *p, struct rn_rule *r)
{
	bool there;

	r->at = p->t.at;
	r->name = rn_take_name(p, "the relation's name", &r->name_at);
	if (!r->name || !rn_parse_targs(p, &r->tparams, &r->ntparams, &there) ||
	    !rn_expect(p, '(', "behind the rule's name"))
		return false;
	while (!rn_at(p, ')') && !rn_at(p, ';')) {
		struct rn_attr *a = rn_parser_push(p, &r->attrs, &r->nattrs, sizeof *a);

		if (!a || !parse_attr(p, a))
			return false;
		if (!rn_take(p, ','))
			break;
	}
	if (rn_take(p, ';') && !rn_at(p, ')') && !(r->emb = rn_parse_term(p)))
		return false;
	return rn_expect(p, ')', "behind the head");
}

/* The next token is the first of its line. */
static bool at_line_start(const struct rn_parser *p)
{
	return p->t.at && p->d->text[p->t.at - 1] == '\n' && p->t.kind != RN_TOK_END;
}

static bool end_statement(struct rn_parser *p, uint32_t *end)
{
	if (!rn_at(p, '.') && (at_line_start(p) || p->t.kind == RN_TOK_END)) {
		rn_diag_error(p->d, p->last_end, 0, "expected '.' at the end of the statement");
		return false;
	}
	if (!rn_expect(p, '.', "at the end of the statement"))
		return false;
	*end = p->last_end;
	return true;
}

static bool parse_rule_tail(struct rn_parser *p, struct rn_rule *r)
{
	if (p->t.kind != RN_TOK_IF) {
		rn_fail(p, "':-' behind the head");
		return false;
	}
	rn_next(p);
	return parse_body(p, r) && end_statement(p, &r->end);
}

static struct rn_rule *parse_rule(struct rn_parser *p)
{
	struct rn_rule *r = rn_parser_alloc(p, sizeof *r);

	return r && parse_head(p, r) && parse_rule_tail(p, r) ? r : NULL;
}

/* Brackets in a head make a column of an embedding, which only a ?pred does. */
static bool check_attrs(struct rn_parser *p, const struct rn_rule *r)
{
	for (uint32_t i = 0; i < r->nattrs; i++) {
		const struct rn_term *t = r->attrs[i].term;

		if (t->kind != RN_T_BRACKET)
			continue;
		rn_diag_error(p->d, t->at, t->end, "an embedding stands behind a ';' in the head, as in %s(x; [a]); "
			      "only a ?pred makes a column of one", r->name);
		return false;
	}
	return true;
}

/* ---- statements ---------------------------------------------------------------------------- */

/* < name=value, … >, if it follows */
static bool parse_settings(struct rn_parser *p, struct rn_stmt *s)
{
	if (p->t.kind == RN_TOK_NE && p->d->text[p->t.at] == '<') {
		rn_next(p);
		return true;
	}
	if (!rn_take(p, '<'))
		return true;
	while (!rn_at(p, '>')) {
		struct rn_setting *x = rn_parser_push(p, &s->settings, &s->nsettings, sizeof *x);

		if (!x || !(x->name = rn_take_name(p, "a setting's name", &x->at)) ||
		    !rn_expect(p, '=', "behind the setting's name") || !(x->value = rn_parse_additive(p)))
			return false;
		for (uint32_t i = 0; i + 1 < s->nsettings; i++)
			if (!strcmp(s->settings[i].name, x->name)) {
				rn_diag_error(p->d, x->at, 0, "'%s' is set twice", x->name);
				return false;
			}
		if (!rn_take(p, ','))
			break;
	}
	return rn_expect_close(p);
}

/* ?fit <…> rule   or   ?fit <…> (STAGE) . */
static bool parse_run(struct rn_parser *p, struct rn_stmt *s)
{
	if (!parse_settings(p, s))
		return false;
	if (rn_take(p, '(')) {
		s->inputs = rn_parser_alloc(p, sizeof *s->inputs);
		s->ninputs = 1;
		if (!s->inputs || !parse_ref(p, &s->inputs->ref, true))
			return false;
		s->name = s->inputs->ref.name;
		s->name_at = s->inputs->ref.at;
		return rn_expect(p, ')', "behind the stage") && end_statement(p, &s->end);
	}
	s->rule = parse_rule(p);
	if (!s->rule || (s->kind != RN_S_PRED && !check_attrs(p, s->rule)))
		return false;
	s->name = s->rule->name;
	s->name_at = s->rule->name_at;
	if (s->rule->ntparams)
		rn_diag_error(p->d, s->name_at, s->rule->tparams[0]->end, "a run is no template");
	return true;
}

/* paper.csv, without its quotes: a point within a word. */
static bool at_bare_file(const struct rn_parser *p, const struct rn_term *t)
{
	const struct rn_diag *d = p->d;

	return t->kind != RN_T_STR && rn_at(p, '.') && p->t.at == t->end && p->t.end < d->len &&
	       isalpha((unsigned char)d->text[p->t.end]);
}

/* ?source Paper = "paper.csv" <key="pid"> . */
static bool parse_source(struct rn_parser *p, struct rn_stmt *s)
{
	s->name = rn_take_name(p, "the source's name", &s->name_at);
	if (!s->name)
		return false;
	if (rn_take(p, '=') && !(s->value = rn_parse_additive(p)))
		return false;
	if (s->value && at_bare_file(p, s->value)) {
		rn_next(p); /* the statement ends behind its name */
		rn_diag_error(p->d, s->value->at, p->t.end, "the name of a file stands in quotes");
		rn_next(p);
		return false;
	}
	return parse_settings(p, s) && end_statement(p, &s->end);
}

/* ?stage h1 = linear <out=16> (x, g=other) . */
static bool parse_stage(struct rn_parser *p, struct rn_stmt *s)
{
	s->name = rn_take_name(p, "the stage's name", &s->name_at);
	if (!s->name || !rn_expect(p, '=', "behind the stage's name") ||
	    !(s->op = rn_take_name(p, "an operator", NULL)) || !parse_settings(p, s) ||
	    !rn_expect(p, '(', "before the stage's inputs"))
		return false;
	while (!rn_at(p, ')')) {
		struct rn_stage_input *in = rn_parser_push(p, &s->inputs, &s->ninputs, sizeof *in);
		struct rn_tok eq = rn_peek(p);

		if (!in)
			return false;
		in->at = p->t.at;
		if (eq.kind == RN_TOK_PUNCT && eq.ch == '=') {
			in->as = rn_take_name(p, "a name", NULL);
			rn_next(p);
		}
		if (!parse_ref(p, &in->ref, false))
			return false;
		if (!rn_take(p, ','))
			break;
	}
	return rn_expect(p, ')', "behind the stage's inputs") && end_statement(p, &s->end);
}

static bool parse_question(struct rn_parser *p, struct rn_stmt *s)
{
	static const struct { const char *word; enum rn_stmt_kind kind; } words[] = {
		{ "fit", RN_S_FIT }, { "val", RN_S_VAL }, { "eval", RN_S_EVAL }, { "pred", RN_S_PRED },
		{ "source", RN_S_SOURCE }, { "stage", RN_S_STAGE },
	};

	rn_next(p);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (!rn_at_word(p, words[i].word))
			continue;
		rn_next(p);
		s->kind = words[i].kind;
		return s->kind == RN_S_SOURCE ? parse_source(p, s) :
		       s->kind == RN_S_STAGE ? parse_stage(p, s) : parse_run(p, s);
	}
	rn_fail(p, "fit, val, eval, pred, source or stage behind '?'");
	return false;
}

/* (int, str; 16): what a function takes or gives; read, and not checked. */
static bool parse_schema(struct rn_parser *p, struct rn_param_decl *d)
{
	if (!rn_expect(p, '(', "before the types"))
		return false;
	d->typed = true;
	while (!rn_at(p, ')') && !rn_at(p, ';')) {
		const char **t = rn_parser_push(p, &d->types, &d->ntypes, sizeof *t);

		if (!t || !(*t = rn_take_name(p, "a type", NULL)))
			return false;
		if (rn_take(p, '[')) { /* datetime64[ns] */
			if (!rn_take_name(p, "a unit", NULL) || !rn_expect(p, ']', ""))
				return false;
		}
		if (!rn_take(p, ','))
			break;
	}
	if (rn_take(p, ';'))
		while (!rn_at(p, ')')) {
			struct rn_term *t = rn_parse_additive(p);

			if (!t)
				return false;
			d->shape = d->shape ? d->shape : t;
			if (!rn_take(p, ','))
				break;
		}
	return rn_expect(p, ')', "behind the types");
}

static bool parse_statement(struct rn_parser *p, struct rn_stmt *s, bool inside);
static bool parse_function(struct rn_parser *p, struct rn_stmt *s);

/* Go on behind the next `.`, or at the next line that is not indented. */
static void skip_statement(struct rn_parser *p, uint32_t from)
{
	while (p->t.kind != RN_TOK_END && !rn_at(p, '.')) {
		if (p->t.at > from && at_line_start(p) && (p->t.kind == RN_TOK_NAME || rn_at(p, '?')))
			return;
		rn_next(p);
	}
	rn_next(p);
}

/* Statements up to the end, or up to enddef.  One that is wrong is left out. */
static void parse_statements(struct rn_parser *p, struct rn_stmt **stmts, uint32_t *n, bool inside)
{
	while (!p->rc && !rn_diag_full(p->d) && p->t.kind != RN_TOK_END &&
	       !(inside && rn_at_word(p, "enddef"))) {
		struct rn_stmt *s = rn_parser_push(p, stmts, n, sizeof *s);
		uint32_t at = p->t.at;

		if (!s)
			return;
		p->depth = 0;
		if (parse_statement(p, s, inside))
			continue;
		memset(s, 0, sizeof *s);
		--*n;
		/* The error may stand behind the statement's end: go on there. */
		if (p->t.at == at || p->last_end <= at || p->d->text[p->last_end - 1] != '.')
			skip_statement(p, at);
	}
}

/* def F<T>(In: (int; T), Edges) -> (int; T): … enddef */
static bool parse_function(struct rn_parser *p, struct rn_stmt *s)
{
	struct rn_param_decl result = { 0 };
	bool there;

	rn_next(p);
	s->kind = RN_S_FUNCTION;
	s->name = rn_take_name(p, "the function's name", &s->name_at);
	if (!s->name || !rn_parse_targs(p, &s->tparams, &s->ntparams, &there) ||
	    !rn_expect(p, '(', "before the function's relations"))
		return false;
	while (!rn_at(p, ')')) {
		struct rn_param_decl *d = rn_parser_push(p, &s->params, &s->nparams, sizeof *d);

		if (!d || !(d->name = rn_take_name(p, "a relation's name", &d->at)) ||
		    (rn_take(p, ':') && !parse_schema(p, d)))
			return false;
		if (!rn_take(p, ','))
			break;
	}
	if (!rn_expect(p, ')', "behind the function's relations"))
		return false;
	if (p->t.kind == RN_TOK_ARROW) {
		rn_next(p);
		if (!parse_schema(p, &result))
			return false;
	}
	if (!rn_expect(p, ':', "before the function's body"))
		return false;
	parse_statements(p, &s->body, &s->nbody, true);
	if (p->t.kind == RN_TOK_END) {
		rn_diag_error(p->d, s->at, s->name_at, "this def has no enddef");
		return false;
	}
	s->end = p->t.end;
	rn_next(p);
	rn_take(p, '.');
	if (!s->nbody || s->body[s->nbody - 1].kind != RN_S_RULE) {
		const struct rn_stmt *last = s->nbody ? &s->body[s->nbody - 1] : s;

		rn_diag_error(p->d, last->name_at, last->name_at + (uint32_t)strlen(last->name),
			      "a function ends with the rule that is its value");
		return true; /* the parse is past it */
	}
	return !p->rc;
}

/* hidden = 16 .   Mu<k> = … . */
static bool parse_definition(struct rn_parser *p, struct rn_stmt *s, struct rn_rule *head)
{
	s->kind = RN_S_DEFINE;
	s->name = head->name;
	s->tparams = head->tparams;
	s->ntparams = head->ntparams;
	rn_next(p);
	s->value = rn_parse_term(p);
	return s->value && end_statement(p, &s->end);
}

static bool parse_statement(struct rn_parser *p, struct rn_stmt *s, bool inside)
{
	struct rn_rule *r;
	struct rn_parser start = *p;
	bool there;

	s->at = p->t.at;
	if (inside && (rn_at(p, '?') || rn_at_word(p, "def"))) {
		rn_diag_error(p->d, p->t.at, p->t.end, "a function holds rules and definitions only");
		return rn_at_word(p, "def") && parse_function(p, s); /* over its enddef */
	}
	if (rn_at_word(p, "enddef")) {
		rn_diag_error(p->d, p->t.at, p->t.end, "this enddef has no def");
		rn_next(p);
		s->kind = RN_S_FUNCTION;
		return true;
	}
	if (rn_at(p, '?'))
		return parse_question(p, s);
	if (rn_at_word(p, "def"))
		return parse_function(p, s);
	r = rn_parser_alloc(p, sizeof *r);
	if (!r || !(r->name = rn_take_name(p, "a statement", &s->name_at)) ||
	    !rn_parse_targs(p, &r->tparams, &r->ntparams, &there))
		return false;
	if (rn_at(p, '='))
		return parse_definition(p, s, r);
	start.rc = p->rc;
	*p = start;
	s->kind = RN_S_RULE;
	s->rule = parse_rule(p);
	if (!s->rule || !check_attrs(p, s->rule))
		return false;
	s->name = s->rule->name;
	s->end = s->rule->end;
	return true;
}

/* Names and strings go into JSON, and end with a NUL. */
static bool check_text(struct rn_diag *d)
{
	const char *nul = memchr(d->text, '\0', d->len);
	size_t n = nul ? (size_t)(nul - d->text) : d->len;
	size_t good = rn_utf8_prefix(d->text, n);

	if (good == d->len)
		return true;
	rn_diag_error(d, (uint32_t)good, 0, "byte 0x%02x is no UTF-8 here", (unsigned char)d->text[good]);
	return false;
}

int rn_parse_program(struct rn_diag *d, struct rn_program **out, struct rn_err *e)
{
	struct rn_program *prog;
	struct rn_parser p;

	RN_TRY(rn_calloc(1, sizeof *prog, "a program", &prog, e));
	*out = prog;
	if (d->len > RN_PARSE_MAX) {
		rn_diag_error(d, 0, 0, "the program is longer than %d bytes", RN_PARSE_MAX);
		return 0;
	}
	if (!check_text(d))
		return 0;
	p = (struct rn_parser){ .d = d, .arena = &prog->arena, .e = e };
	if (d->len >= 3 && !memcmp(d->text, "\xEF\xBB\xBF", 3))
		p.t.end = 3; /* a byte order mark */
	rn_next(&p);
	parse_statements(&p, &prog->stmts, &prog->nstmts, false);
	return p.rc;
}

void rn_program_free(struct rn_program *p)
{
	if (!p)
		return;
	rn_arena_fini(&p->arena);
	free(p);
}
