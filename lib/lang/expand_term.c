/* SPDX-License-Identifier: Apache-2.0
 *
 * Terms under an environment: transforms, embedding and content expressions.  What stands in
 * brackets is in expand_bracket.c.
 */
#include "expander.h"

#include "../expr/emb_fn.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { APPLY_STEPS = 6 }; /* that a transform takes, beside those of its body */

/* ---- embedding expressions -------------------------------------------------------------------- */

bool rn_has_name(const char *const *names, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static bool is_call_of_name(const struct rn_term *t)
{
	return t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_NAME;
}

int rn_find_free(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		 const struct rn_term *t, const char *of, const char **name)
{
	uint32_t from = t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_NAME ? 1 : 0;
	const struct rn_term *c = NULL;
	uint32_t n = 0;
	bool local;

	RN_TRY(rn_expand_work(x, 1, t->at, t->end));
	if (t->kind == RN_T_NAME && !t->templated) {
		if (rn_find_defs(x, scope, t->str, &n, &local) || rn_env_find(env, t->str))
			return 0;
		RN_TRY(rn_try_constant(x, env, scope, t, &c));
		if (c)
			return 0;
		if (*name && strcmp(*name, t->str))
			return rn_diag_error(x->d, t->at, t->end,
					     "%s has one variable, and here are '%s' and '%s'", of,
					     *name, t->str);
		*name = t->str;
		return 0;
	}
	if (t->kind == RN_T_NAME || t->kind == RN_T_MAP || t->kind == RN_T_BRACKET)
		return 0; /* the arguments of a template are constants, brackets hold columns */
	for (uint32_t i = from; i < t->n; i++) {
		if (t->kind == RN_T_CALL && t->key && t->key[i])
			continue;
		RN_TRY(rn_find_free(x, env, scope, t->arg[i], of, name));
	}
	return 0;
}

/* How many calls in a body make a module with parameters? */
static uint32_t count_modules(const struct rn_term *t)
{
	struct rn_emb_fn fn;
	uint32_t n = 0;

	if (is_call_of_name(t) && rn_emb_function(t->arg[0]->str, &fn) && fn.params)
		n = 1;
	if (t->kind != RN_T_NAME)
		for (uint32_t i = 0; i < t->n; i++)
			n += count_modules(t->arg[i]);
	return n;
}

/* name="Mu<1>" for a module inside a transform. */
static int add_own_name(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
			struct rn_term **out)
{
	struct rn_term *c, *s;
	const char **key;

	for (uint32_t i = 1; t->key && i < t->n; i++)
		if (t->key[i] && !strcmp(t->key[i], "name"))
			return 0;
	w->module++;
	c = *out;
	RN_TRY(rn_term_copy(x, c, c->n + 1, &c));
	memcpy(c->arg, (*out)->arg, (*out)->n * sizeof *c->arg);
	key = rn_expand_alloc(x, c->n * sizeof *key);
	s = rn_expand_alloc(x, sizeof *s);
	if (!key || !s)
		return rn_expand_nomem(x);
	if ((*out)->key)
		memcpy(key, (*out)->key, (*out)->n * sizeof *key);
	*s = (struct rn_term){ .kind = RN_T_STR, .at = t->at, .end = t->end };
	s->str = w->nmodules > 1 ? rn_expand_printf(x, "%s.%u", w->own, w->module) : w->own;
	if (!s->str)
		return rn_expand_nomem(x);
	key[c->n - 1] = "name";
	c->key = key;
	c->arg[c->n - 1] = s;
	*out = c;
	return 0;
}

int rn_unknown_module(struct rn_expander *x, const struct rn_term *t)
{
	struct rn_str hint = RN_STR_INIT;

	if (rn_is_hash_bucket(t))
		return rn_diag_error(x->d, t->at, t->at + (uint32_t)strlen(t->str),
				     "'%s' is of columns, in brackets: [%s(1024, 16)(title)]", t->str,
				     t->str);
	rn_emb_suggest(t->str, &hint);
	rn_diag_error(x->d, t->at, t->at + (uint32_t)strlen(t->str), "no function or transform '%s'%s",
		      t->str, hint.s);
	rn_str_fini(&hint);
	return RN_EUSAGE;
}

static int full_name(struct rn_expander *x, const struct rn_scope *scope, const char *name,
		     const struct rn_term *const *args, uint32_t n, const char **out)
{
	struct rn_str s = RN_STR_INIT;

	if (scope)
		rn_str_addf(&s, "%s.", scope->prefix);
	rn_str_add(&s, name);
	rn_targs_print(args, n, &s);
	*out = s.failed ? NULL : rn_expand_printf(x, "%s", s.s);
	rn_str_fini(&s);
	return *out ? 0 : rn_expand_nomem(x);
}

/* Put a transform's body in; arg NULL: it is not applied to anything. */
static int apply(struct rn_expander *x, struct rn_within *w, const struct rn_term *at,
		 const struct rn_term *const *args, uint32_t nargs, const struct rn_stmt *def,
		 bool local, struct rn_term *arg, struct rn_term **out)
{
	struct rn_within in = { .names = w->names, .scope = local ? w->scope : NULL, .arg = arg };
	struct rn_diag_frame *frame = rn_expand_alloc(x, sizeof *frame);
	struct rn_term *body, *call;
	int rc;

	if (!frame)
		return rn_expand_nomem(x);

	if (x->depth >= RN_EXPAND_DEPTH)
		return rn_diag_error(x->d, at->at, at->end, "transforms are nested more than %d deep: '%s'",
				     RN_EXPAND_DEPTH, def->name);
	RN_TRY(rn_expand_work(x, APPLY_STEPS + nargs, at->at, at->end));
	RN_TRY(rn_bind_params(x, in.scope ? in.scope->env : NULL, def, args, &in.env));
	RN_TRY(rn_find_free(x, in.env, in.scope, def->value, "a transform", &in.free));
	if (in.free && !arg)
		return rn_diag_error(x->d, at->at, at->end, "the transform '%s' is applied to something: %s(z)",
				     def->name, def->name);
	RN_TRY(full_name(x, in.scope, def->name, args, nargs, &in.own));
	in.nmodules = count_modules(def->value);
	rn_diag_push(x->d, frame, in.own, at->at);
	x->depth++;
	rc = rn_expand_within(x, &in, def->value, &body);
	x->depth--;
	x->d->top = frame->up;
	if (rc)
		return rc;
	if (in.free || !arg) {
		*out = body;
		return 0;
	}
	/* K = Linear(16, 7) . : a function that is applied now */
	RN_TRY(rn_term_copy(x, at, 2, &call));
	call->kind = RN_T_CALL;
	call->key = NULL;
	call->arg[0] = body;
	call->arg[1] = arg;
	*out = call;
	return 0;
}

/* z2 where the body binds no z2, but two embeddings or more? */
static bool is_numbered(const struct rn_names *names, const char *name, uint32_t *number)
{
	*number = rn_is_input(name) ? (uint32_t)strtoul(name + 1, NULL, 10) : 0;
	return *number && *number <= names->nembs && !rn_has_name(names->vars, names->nvars, name);
}

/* A name, or NAME<args>, that stands alone. */
static int expand_name(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
		       struct rn_term **out)
{
	const struct rn_names *names = w->names;
	const struct rn_term **args = NULL, *c;
	const struct rn_stmt *def;
	const char *name = t->str;
	uint32_t number;
	bool local;

	if (w->free && !t->templated && !strcmp(name, w->free)) {
		*out = w->arg;
		return 0;
	}
	RN_TRY(rn_constants(x, w->env, w->scope, t->arg, t->n, true, &args));
	if (!w->own && t->templated && t->n == 1 && args[0]->kind == RN_T_NUM) { /* z<2> is z_2 */
		name = rn_expand_printf(x, "%s_%.0f", t->str, args[0]->num);
		if (!name)
			return rn_expand_nomem(x);
	}
	if (!w->own && w->element && !t->templated && !strcmp(name, names->splat_base))
		name = names->splat[w->element - 1];
	if (!w->own && rn_has_name(names->embs, names->nembs, name)) {
		/* A set of one element is that element. */
		if (names->nsplat == 1 && !strcmp(name, names->splat_base))
			name = names->splat[0];
		RN_TRY(rn_term_copy(x, t, 0, out));
		(*out)->templated = false;
		(*out)->str = name;
		return 0;
	}
	RN_TRY(rn_try_constant(x, w->env, w->scope, t, &c));
	if (c) /* what is wrong with it is wrong here */
		return rn_literal_at(x, c, t, out);
	RN_TRY(rn_find_def(x, w->scope, t, t->str, args, t->n, &def, &local));
	if (def)
		return apply(x, w, t, args, t->n, def, local, NULL, out);
	if (!w->own && !t->templated && is_numbered(names, t->str, &number)) {
		rn_diag_warn(x->d, t->at, t->end, "'%s' is bound nowhere in the body: it is taken for embedding "
			     "number %u there, '%s', as the reference takes it", t->str, number,
			     names->embs[number - 1]);
		RN_TRY(rn_term_copy(x, t, 0, out));
		(*out)->str = names->embs[number - 1];
		return 0;
	}
	if (!w->own && rn_has_name(names->vars, names->nvars, t->str))
		return rn_diag_error(x->d, t->at, t->end, "'%s' is a column: [%s] makes an embedding of it",
				     t->str, t->str);
	return rn_diag_error(x->d, t->at, t->end, "'%s' is bound nowhere in the body", t->str);
}

bool rn_is_input(const char *name)
{
	return *name == 'z' && name[1] && strlen(name) < 6 &&
	       strspn(name + 1, "0123456789") == strlen(name + 1);
}

bool rn_is_aggregate(const char *name)
{
	return !strcmp(name, "count") || !strcmp(name, "add") || !strcmp(name, "avg");
}

/* Its own functions the language takes in any case: Transpose, Sqrt. */
bool rn_find_function(const char *name, const char **as, struct rn_emb_fn *fn)
{
	static const char *const own[] = { "view", "transpose", "unsqueeze", "sqrt", "exp", "log", "abs",
					   "round", "sign", "clamp", "dot", "rowsum", "rowmean", "rowmax",
					   "slice" };

	*as = name;
	if (rn_emb_function(name, fn))
		return true;
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (!strcasecmp(own[i], name))
			return rn_emb_function(*as = own[i], fn);
	return false;
}

/* The function's name as it is spelt. */
static int function_name(struct rn_expander *x, const struct rn_term *t, const char *as,
			    struct rn_term **out)
{
	*out = (struct rn_term *)(uintptr_t)t;
	if (!as || as == t->str)
		return 0;
	RN_TRY(rn_term_copy(x, t, 0, out));
	(*out)->str = as;
	return 0;
}

static bool mentions(const struct rn_term *t, const char *name)
{
	if (t->kind == RN_T_NAME)
		return !t->templated && !strcmp(t->str, name);
	for (uint32_t i = t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_NAME; i < t->n; i++)
		if (mentions(t->arg[i], name))
			return true;
	return false;
}

/* *z or *f(z): one argument for each embedding of the set. */
static int expand_splat(struct rn_expander *x, const struct rn_within *w, const struct rn_term *t,
			struct rn_term **out)
{
	const struct rn_term *of = t->arg[0];
	struct rn_within in = *w;

	if (w->own || !w->names->nsplat || !mentions(of, w->names->splat_base))
		return rn_diag_error(x->d, t->at, t->end,
				     of->kind == RN_T_NAME && !of->templated
				     ? "*%s stands for the embeddings of Join(Set(...)), and there is none that "
				     "calls them so"
				     : "* stands for the embeddings of Join(Set(...)), and here is none of them",
				     of->str);
	for (in.element = 1; in.element <= w->names->nsplat; in.element++)
		RN_TRY(rn_expand_within(x, &in, of, out++));
	return 0;
}

/* weight=[1, w]: numbers and constants. */
static int expand_list(struct rn_expander *x, const struct rn_within *w, const struct rn_term *t,
		       struct rn_term **out)
{
	const struct rn_term *c;

	RN_TRY(rn_term_copy(x, t, t->n, out));
	for (uint32_t i = 0; i < t->n; i++) {
		RN_TRY(rn_constant(x, w->env, w->scope, t->arg[i], false, &c));
		if (c->kind != RN_T_NUM)
			return rn_diag_error(x->d, t->arg[i]->at, t->arg[i]->end, "expected a number");
		RN_TRY(rn_literal_at(x, c, t->arg[i], &(*out)->arg[i]));
	}
	return 0;
}

/* f(…) where f is no transform: a function, or a module that is made. */
static int expand_function(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
			   struct rn_term **out)
{
	const struct rn_names *names = w->names;
	struct rn_emb_fn fn = { 0 };
	const char *name = NULL;
	struct rn_term *c;
	uint32_t n = t->n, to = 1;

	if (t->arg[0]->kind == RN_T_NAME && !rn_find_function(t->arg[0]->str, &name, &fn) &&
	    !(names->root && !w->own && rn_is_aggregate(t->arg[0]->str)))
		return rn_unknown_module(x, t->arg[0]);
	for (uint32_t i = 1; i < t->n; i++)
		n += t->arg[i]->kind == RN_T_SPLAT ? names->nsplat : 0;
	RN_TRY(rn_term_copy(x, t, n, &c));
	if (t->arg[0]->kind == RN_T_NAME)
		RN_TRY(function_name(x, t->arg[0], name, &c->arg[0]));
	else
		RN_TRY(rn_expand_within(x, w, t->arg[0], &c->arg[0]));
	for (uint32_t i = 1; i < t->n; i++) {
		const struct rn_term *a = t->arg[i];

		if (a->kind == RN_T_STAR && name && !strcmp(name, "count")) { /* of rows */
			c->arg[to++] = (struct rn_term *)(uintptr_t)a;
			continue;
		}
		if (a->kind == RN_T_SPLAT) {
			RN_TRY(expand_splat(x, w, a, c->arg + to));
			to += names->nsplat;
			continue;
		}
		if (t->key && t->key[i] &&
		    (*t->key[i] == ';' || (!strcmp(t->key[i], "per") && a->kind != RN_T_STR))) {
			/* softmax(a; t), Linear(8, 8, per=t): a variable; per="t": a column of that name */
			if (w->own)
				return rn_diag_error(x->d, a->at, a->end, "a transform knows no columns");
			if (a->kind != RN_T_NAME || !rn_has_name(names->vars, names->nvars, a->str))
				return rn_diag_error(x->d, a->at, a->end, "expected a variable of the body");
			c->arg[to++] = (struct rn_term *)(uintptr_t)a;
			continue;
		}
		if (fn.lists && a->kind == RN_T_BRACKET)
			RN_TRY(expand_list(x, w, a, &c->arg[to++]));
		else
			RN_TRY(rn_expand_within(x, w, a, &c->arg[to++]));
	}
	c->n = to;
	*out = c;
	return w->own && fn.params ? add_own_name(x, w, t, out) : 0;
}

static int expand_call(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
		       struct rn_term **out)
{
	const struct rn_term *f = t->arg[0], **args;
	const struct rn_stmt *def;
	struct rn_term *arg;
	bool local;

	if (f->kind != RN_T_NAME)
		return expand_function(x, w, t, out);
	RN_TRY(rn_constants(x, w->env, w->scope, f->arg, f->n, true, &args));
	RN_TRY(rn_find_def(x, w->scope, f, f->str, args, f->n, &def, &local));
	if (!def && f->templated)
		return rn_unknown_module(x, f);
	if (!def)
		return expand_function(x, w, t, out);
	if (t->n != 2 || t->key || t->arg[1]->kind == RN_T_SPLAT)
		return rn_diag_error(x->d, t->at, t->end, "the transform '%s' takes one embedding", f->str);
	RN_TRY(rn_expand_within(x, w, t->arg[1], &arg));
	return apply(x, w, f, args, f->n, def, local, arg, out);
}

int rn_expand_within(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
		     struct rn_term **out)
{
	uint32_t depth = 0;
	uint64_t size = 1;

	RN_TRY(rn_expand_work(x, 1, t->at, t->end));
	switch (t->kind) {
	case RN_T_NUM: case RN_T_STR: case RN_T_BOOL: case RN_T_NONE:
		*out = (struct rn_term *)(uintptr_t)t;
		return 0;
	case RN_T_NAME:
		return expand_name(x, w, t, out);
	case RN_T_CALL:
		RN_TRY(expand_call(x, w, t, out));
		break;
	case RN_T_BRACKET:
		if (w->own)
			return rn_diag_error(x->d, t->at, t->end, "a transform knows no columns");
		RN_TRY(rn_expand_bracket(x, w, t, out));
		break;
	case RN_T_NEG:
	case RN_T_BIN:
		RN_TRY(rn_term_copy(x, t, t->n, out));
		for (uint32_t i = 0; i < t->n; i++)
			RN_TRY(rn_expand_within(x, w, t->arg[i], &(*out)->arg[i]));
		break;
	default:
		return rn_diag_error(x->d, t->at, t->end, "this cannot stand in an embedding expression");
	}
	for (uint32_t i = 0; i < (*out)->n; i++) {
		size += (*out)->arg[i]->size ? (*out)->arg[i]->size : 1;
		if ((*out)->arg[i]->depth >= depth)
			depth = (*out)->arg[i]->depth + 1;
	}
	if (size > RN_EXPAND_TERMS)
		return rn_expand_too_many(x, t);
	(*out)->size = (uint32_t)size;
	(*out)->depth = depth;
	if (depth > RN_TERM_DEPTH)
		return rn_diag_error(x->d, t->at, t->end, "the expression is nested more than %d deep",
				     RN_TERM_DEPTH);
	return 0;
}

int rn_expand_emb(struct rn_expander *x, const struct rn_names *names, const struct rn_term *t,
		  struct rn_term **out)
{
	struct rn_within w = { .names = names, .env = names->env, .scope = names->scope };

	RN_TRY(rn_expand_within(x, &w, t, out));
	x->nterms += (*out)->size;
	return x->nterms > RN_EXPAND_TERMS ? rn_expand_too_many(x, t) : 0;
}

/* ---- content expressions ---------------------------------------------------------------------- */

int rn_expand_content(struct rn_expander *x, const struct rn_names *names,
		      const struct rn_term *t, struct rn_term **out)
{
	const struct rn_term *c = NULL;

	switch (t->kind) {
	case RN_T_NUM: case RN_T_STR: case RN_T_BOOL: case RN_T_NONE: case RN_T_STAR:
		*out = (struct rn_term *)(uintptr_t)t;
		return 0;
	case RN_T_NAME:
		if (rn_has_name(names->vars, names->nvars, t->str) && !t->templated) {
			*out = (struct rn_term *)(uintptr_t)t;
			return 0;
		}
		RN_TRY(rn_try_constant(x, names->env, names->scope, t, &c));
		*out = (struct rn_term *)(uintptr_t)c;
		if (c)
			return 0;
		if (rn_has_name(names->embs, names->nembs, t->str))
			return rn_diag_error(x->d, t->at, t->end, "'%s' is an embedding, and this is an expression "
					     "over columns", t->str);
		return rn_diag_error(x->d, t->at, t->end, "'%s' is bound nowhere in the body", t->str);
	case RN_T_NEG: case RN_T_BIN: case RN_T_CALL:
		RN_TRY(rn_term_copy(x, t, t->n, out));
		for (uint32_t i = 0; i < t->n; i++) {
			if (t->kind == RN_T_CALL && !i)
				(*out)->arg[0] = t->arg[0];
			else
				RN_TRY(rn_expand_content(x, names, t->arg[i], &(*out)->arg[i]));
		}
		return 0;
	default:
		return rn_diag_error(x->d, t->at, t->end, "this cannot stand in an expression over columns");
	}
}
