/* SPDX-License-Identifier: Apache-2.0
 *
 * Embedding expressions taken apart: sums are split, products are multiplied out where
 * their factors have different origins, and factors are printed again under other names.
 */
#include "emb_terms.h"

#include "emb_ast.h"

#include <string.h>

struct split {
	rn_eorigin origin;
	void *arg;
	struct rn_arena *arena;
	bool ok;
};

/* A sum while it is put together. */
struct sum {
	size_t n;
	struct rn_eterm terms[RN_ETERMS_MAX];
};

/* ---- what a subexpression reads ------------------------------------------------------- */

static uint64_t one_origin(struct split *s, const char *name, bool col)
{
	int k = s->origin(s->arg, name, col);

	if (k < 0 || k > 63)
		s->ok = false;
	return s->ok ? UINT64_C(1) << k : 0;
}

static uint64_t origins(struct split *s, const struct rn_enode *n)
{
	uint64_t all = 0;

	if (n->kind == RN_E_NAME)
		return one_origin(s, n->str, false);
	if (n->kind == RN_E_COLS) {
		for (uint32_t i = 0; i < n->nby; i++)
			all |= one_origin(s, n->by[i], true);
		s->ok = s->ok && !n->str; /* encoders are not printed again */
	}
	for (uint32_t i = 0; i < n->nargs; i++)
		all |= origins(s, n->args[i]);
	return all;
}

/* Can it be printed, and is it a function of each row?  Configuration is plain values. */
static bool plain(const struct rn_enode *n)
{
	if (n->kind == RN_E_CALL) {
		if (n->fn->flags & (RN_FN_PARAMS | RN_FN_RANDOM | RN_FN_ROWS) || n->nby ||
		    n->fn->form == RN_FORM_AGG || n->fn->form == RN_FORM_SOURCE ||
		    (n->fn->form == RN_FORM_PLAIN && n->ncfg))
			return false;
		for (uint32_t i = 0; i < n->ncfg; i++)
			if (n->cfg[i]->kind > RN_E_NONE && n->cfg[i]->kind != RN_E_NEG)
				return false;
	}
	for (uint32_t i = 0; i < n->nargs; i++)
		if (!plain(n->args[i]))
			return false;
	return true;
}

/* ---- sums of products ----------------------------------------------------------------- */

static int split_node(struct split *s, const struct rn_enode *n, struct sum *out, struct rn_err *e);

static int one_factor(struct split *s, const struct rn_enode *n, bool inverse, struct sum *out,
		      struct rn_err *e)
{
	struct rn_efactor *f = rn_arena_alloc(s->arena, sizeof *f, e);

	if (!f)
		return RN_ENOMEM;
	*f = (struct rn_efactor){ n, inverse, origins(s, n) };
	s->ok = s->ok && f->origins && plain(n);
	out->n = 1;
	out->terms[0] = (struct rn_eterm){ 1, 1, f };
	return 0;
}

/* The products of the terms of a and b, into a. */
static int multiply(struct split *s, struct sum *a, const struct sum *b, struct rn_err *e)
{
	struct sum out = { 0 };

	if (a->n * b->n > RN_ETERMS_MAX) {
		s->ok = false;
		return 0;
	}
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < b->n; k++) {
			const struct rn_eterm *x = &a->terms[i], *y = &b->terms[k];
			struct rn_eterm *t = &out.terms[out.n++];

			t->scale = x->scale * y->scale;
			t->n = x->n + y->n;
			t->factors = rn_arena_alloc(s->arena, t->n * sizeof *t->factors, e);
			if (!t->factors)
				return RN_ENOMEM;
			memcpy(t->factors, x->factors, x->n * sizeof *t->factors);
			memcpy(t->factors + x->n, y->factors, y->n * sizeof *t->factors);
		}
	*a = out;
	return 0;
}

static void add(struct split *s, struct sum *a, const struct sum *b, double sign)
{
	if (a->n + b->n > RN_ETERMS_MAX) {
		s->ok = false;
		return;
	}
	for (size_t i = 0; i < b->n; i++) {
		a->terms[a->n] = b->terms[i];
		a->terms[a->n++].scale *= sign;
	}
}

static void scale(struct sum *a, double by)
{
	for (size_t i = 0; i < a->n; i++)
		a->terms[i].scale *= by;
}

static int split_binary(struct split *s, const struct rn_enode *n, struct sum *out,
			struct rn_err *e)
{
	const struct rn_enode *a = n->args[0], *b = n->args[1];
	struct sum right = { 0 };
	double x;

	if (n->op == RN_B_MUL && rn_enode_number(a, &x)) {
		RN_TRY(split_node(s, b, out, e));
		scale(out, x);
		return 0;
	}
	RN_TRY(split_node(s, a, out, e));
	if ((n->op == RN_B_MUL || n->op == RN_B_DIV) && rn_enode_number(b, &x)) {
		scale(out, n->op == RN_B_MUL ? x : 1 / x);
		return 0;
	}
	if (n->op == RN_B_DIV)
		RN_TRY(one_factor(s, b, true, &right, e));
	else
		RN_TRY(split_node(s, b, &right, e));
	if (!s->ok)
		return 0;
	if (n->op == RN_B_MUL || n->op == RN_B_DIV)
		return multiply(s, out, &right, e);
	add(s, out, &right, n->op == RN_B_SUB ? -1 : 1);
	return 0;
}

static int split_node(struct split *s, const struct rn_enode *n, struct sum *out, struct rn_err *e)
{
	uint64_t from;

	if (!s->ok)
		return 0;
	from = origins(s, n);
	if (from & (from - 1)) { /* of several: a sum or a product may be split */
		if (n->kind == RN_E_NEG) {
			RN_TRY(split_node(s, n->args[0], out, e));
			scale(out, -1);
			return 0;
		}
		if (n->kind == RN_E_BIN && (n->op == RN_B_ADD || n->op == RN_B_SUB ||
					    n->op == RN_B_MUL || n->op == RN_B_DIV))
			return split_binary(s, n, out, e);
	}
	return one_factor(s, n, false, out, e);
}

int rn_eexpr_terms(const struct rn_eexpr *x, rn_eorigin origin, void *arg, struct rn_eterms *out,
		   bool *ok, struct rn_err *e)
{
	struct split s = { .origin = origin, .arg = arg, .arena = &out->arena };
	struct sum sum = { 0 };
	int rc = 0;

	memset(out, 0, sizeof *out);
	s.ok = !rn_eexpr_has_params(x) && !rn_eexpr_has_random(x) && !rn_eexpr_spans_rows(x);
	RN_GOTO(fail, split_node(&s, x->root, &sum, e));
	*ok = s.ok && sum.n;
	if (!*ok)
		goto fail;
	out->n = sum.n;
	out->terms = rn_arena_alloc(&out->arena, sum.n * sizeof *out->terms, e);
	if (!out->terms) {
		rc = RN_ENOMEM;
		goto fail;
	}
	memcpy(out->terms, sum.terms, sum.n * sizeof *out->terms);
	return 0;
fail:
	rn_eterms_fini(out);
	return rc;
}

void rn_eterms_fini(struct rn_eterms *t)
{
	rn_arena_fini(&t->arena);
	t->n = 0;
	t->terms = NULL;
}

/* ---- text ------------------------------------------------------------------------------ */

struct print {
	void (*name)(void *arg, const char *name, bool col, struct rn_str *out);
	void *arg;
	struct rn_str *out;
};

static void print_node(const struct print *p, const struct rn_enode *n);

static void print_number(const struct print *p, const struct rn_enode *n)
{
	size_t from = p->out->len;

	rn_str_addf(p->out, "%.17g", n->num);
	if (n->is_float && !p->out->failed && !strpbrk(p->out->s + from, ".e"))
		rn_str_add(p->out, ".0");
}

static void print_string(const struct print *p, const char *s)
{
	rn_str_addc(p->out, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			rn_str_addc(p->out, '\\');
		rn_str_addc(p->out, *s);
	}
	rn_str_addc(p->out, '"');
}

static void print_list(const struct print *p, uint32_t n, struct rn_enode *const *list,
		       const char *const *kw)
{
	rn_str_addc(p->out, '(');
	for (uint32_t i = 0; i < n; i++) {
		rn_str_add(p->out, i ? ", " : "");
		if (kw && kw[i])
			rn_str_addf(p->out, "%s=", kw[i]);
		print_node(p, list[i]);
	}
	rn_str_addc(p->out, ')');
}

static void print_columns(const struct print *p, const struct rn_enode *n)
{
	rn_str_addc(p->out, '[');
	for (uint32_t i = 0; i < n->nby; i++) {
		rn_str_add(p->out, i ? ", " : "");
		p->name(p->arg, n->by[i], true, p->out);
	}
	rn_str_addc(p->out, ']');
}

static void print_binary(const struct print *p, const struct rn_enode *n)
{
	static const char *const signs[] = {
		[RN_B_ADD] = "+",    [RN_B_SUB] = "-",	[RN_B_MUL] = "*", [RN_B_DIV] = "/",
		[RN_B_MATMUL] = "@", [RN_B_POW] = "**", [RN_B_EQ] = "==", [RN_B_NE] = "!=",
		[RN_B_LT] = "<",     [RN_B_LE] = "<=",	[RN_B_GT] = ">",  [RN_B_GE] = ">=",
	};

	rn_str_addc(p->out, '(');
	print_node(p, n->args[0]);
	rn_str_addf(p->out, " %s ", signs[n->op]);
	print_node(p, n->args[1]);
	rn_str_addc(p->out, ')');
}

static void print_call(const struct print *p, const struct rn_enode *n)
{
	rn_str_add(p->out, n->fn->name);
	if (n->fn->form != RN_FORM_PLAIN)
		print_list(p, n->ncfg, n->cfg, n->kw);
	print_list(p, n->nargs, n->args, NULL);
}

static void print_node(const struct print *p, const struct rn_enode *n)
{
	switch (n->kind) {
	case RN_E_NUM:
		print_number(p, n);
		return;
	case RN_E_STR:
		print_string(p, n->str);
		return;
	case RN_E_BOOL:
		rn_str_add(p->out, n->num ? "True" : "False");
		return;
	case RN_E_NONE:
		rn_str_add(p->out, "None");
		return;
	case RN_E_NAME:
		p->name(p->arg, n->str, false, p->out);
		return;
	case RN_E_COLS:
		print_columns(p, n);
		return;
	case RN_E_NEG:
		rn_str_add(p->out, "(-");
		print_node(p, n->args[0]);
		rn_str_addc(p->out, ')');
		return;
	case RN_E_BIN:
		print_binary(p, n);
		return;
	case RN_E_CALL:
		print_call(p, n);
		return;
	case RN_E_LIST: /* no factor has one: plain() */
		return;
	}
}

void rn_efactor_print(const struct rn_efactor *f,
		      void (*name)(void *arg, const char *name, bool col, struct rn_str *out),
		      void *arg, struct rn_str *out)
{
	struct print p = { name, arg, out };

	rn_str_add(out, f->inverse ? "(1 / " : "");
	print_node(&p, f->node);
	rn_str_add(out, f->inverse ? ")" : "");
}

static void walk_names(const struct rn_enode *n, void (*fn)(void *arg, const char *name, bool col),
		       void *arg)
{
	if (n->kind == RN_E_NAME)
		fn(arg, n->str, false);
	for (uint32_t i = 0; n->kind == RN_E_COLS && i < n->nby; i++)
		fn(arg, n->by[i], true);
	for (uint32_t i = 0; i < n->nargs; i++)
		walk_names(n->args[i], fn, arg);
}

void rn_efactor_names(const struct rn_efactor *f, void (*fn)(void *arg, const char *name, bool col),
		      void *arg)
{
	walk_names(f->node, fn, arg);
}

/* ---- sharing --------------------------------------------------------------------------- */

static bool is_shared(const struct rn_enode *n, bool prefix)
{
	if (n->kind == RN_E_CALL) {
		if (n->fn->flags & RN_FN_RANDOM || !strcmp(n->fn->name, "BatchNorm1d") ||
		    (n->fn->flags & RN_FN_PARAMS && !n->own && !prefix))
			return false;
		for (uint32_t i = 0; i < n->ncfg; i++)
			if (!is_shared(n->cfg[i], prefix))
				return false;
	}
	for (uint32_t i = 0; i < n->nargs; i++)
		if (!is_shared(n->args[i], prefix))
			return false;
	return true;
}

bool rn_eexpr_is_shared(const struct rn_eexpr *x, bool prefix)
{
	return is_shared(x->root, prefix);
}
