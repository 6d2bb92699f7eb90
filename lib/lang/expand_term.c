/* SPDX-License-Identifier: Apache-2.0
 *
 * Terms under an environment: constants, transforms, embedding and content expressions.
 */
#include "expander.h"

#include "../expr/emb_fn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int no_memory(const struct rn_expander *x)
{
	return x->e && x->e->code ? x->e->code : RN_ENOMEM;
}

static int too_many_terms(struct rn_expander *x, const struct rn_term *t)
{
	return rn_diag_error(x->d, t->at, t->end, "the program's expressions expand to more than %d terms",
			     RN_EXPAND_TERMS);
}

/* A copy with room for n arguments; where the original stands in the text, it stands. */
static int copy_term(struct rn_expander *x, const struct rn_term *t, uint32_t n,
		     struct rn_term **out)
{
	struct rn_term *c = rn_expand_alloc(x, sizeof *c);

	if (!c)
		return no_memory(x);
	if (++x->nterms > RN_EXPAND_TERMS)
		return too_many_terms(x, t);
	*c = *t;
	c->n = n;
	c->size = 0;
	c->key = NULL;
	c->arg = n ? rn_expand_alloc(x, n * sizeof *c->arg) : NULL;
	if (n && !c->arg)
		return no_memory(x);
	if (t->key) {
		c->key = rn_expand_alloc(x, n * sizeof *c->key);
		if (!c->key)
			return no_memory(x);
		memcpy(c->key, t->key, (n < t->n ? n : t->n) * sizeof *c->key);
	}
	*out = c;
	return 0;
}

/* ---- constants ------------------------------------------------------------------------------ */

static bool is_literal(const struct rn_term *t)
{
	return t->kind == RN_T_NUM || t->kind == RN_T_STR || t->kind == RN_T_BOOL ||
	       t->kind == RN_T_NONE;
}

static int number(struct rn_expander *x, const struct rn_term *t, double v, bool is_float,
		  const struct rn_term **out)
{
	struct rn_term *n;

	if (!isfinite(v))
		return rn_diag_error(x->d, t->at, t->end, "this is not a finite number");
	RN_TRY(copy_term(x, t, 0, &n));
	n->kind = RN_T_NUM;
	n->num = v;
	n->is_float = is_float || rint(v) != v;
	*out = n;
	return 0;
}

static int truth(struct rn_expander *x, const struct rn_term *t, bool v,
		 const struct rn_term **out)
{
	struct rn_term *n;

	RN_TRY(copy_term(x, t, 0, &n));
	n->kind = RN_T_BOOL;
	n->num = v;
	*out = n;
	return 0;
}

bool rn_literal_equal(const struct rn_term *a, const struct rn_term *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == RN_T_STR)
		return !strcmp(a->str, b->str);
	return a->kind == RN_T_NONE || a->num == b->num;
}

static int compare(struct rn_expander *x, const struct rn_term *t, const struct rn_term *a,
		   const struct rn_term *b, const struct rn_term **out)
{
	double c;

	if (t->op == RN_TOP_EQ || t->op == RN_TOP_NE)
		return truth(x, t, rn_literal_equal(a, b) == (t->op == RN_TOP_EQ), out);
	if (a->kind != b->kind || (a->kind != RN_T_NUM && a->kind != RN_T_STR))
		return rn_diag_error(x->d, t->at, t->end, "these two cannot be compared");
	c = a->kind == RN_T_STR ? strcmp(a->str, b->str) : a->num - b->num;
	return truth(x, t, t->op == RN_TOP_LT ? c < 0 : t->op == RN_TOP_LE ? c <= 0 :
			   t->op == RN_TOP_GT ? c > 0 : c >= 0, out);
}

/* A computed number is a size where it is whole, whatever it was made of. */
static int arithmetic(struct rn_expander *x, const struct rn_term *t, const struct rn_term *a,
		      const struct rn_term *b, const struct rn_term **out)
{
	if (t->op >= RN_TOP_EQ)
		return compare(x, t, a, b, out);
	if (a->kind != RN_T_NUM || b->kind != RN_T_NUM)
		return rn_diag_error(x->d, t->at, t->end, "arithmetic takes numbers");
	switch (t->op) {
	case RN_TOP_ADD: return number(x, t, a->num + b->num, false, out);
	case RN_TOP_SUB: return number(x, t, a->num - b->num, false, out);
	case RN_TOP_MUL: return number(x, t, a->num * b->num, false, out);
	case RN_TOP_POW: return number(x, t, pow(a->num, b->num), false, out);
	case RN_TOP_DIV:
		if (b->num == 0)
			return rn_diag_error(x->d, t->at, t->end, "division by zero");
		return number(x, t, a->num / b->num, false, out);
	default:
		return rn_diag_error(x->d, t->at, t->end, "'@' multiplies embeddings, not constants");
	}
}

/* Definitions called `name`: of the function that we are in, else the program's. */
static const struct rn_named *find_defs(const struct rn_expander *x, const struct rn_scope *scope,
					const char *name, uint32_t *n, bool *local)
{
	*local = false;
	if (scope) /* its definitions stand in the table under the function's statement */
		for (uint32_t i = 0; i < scope->fn->nbody; i++) {
			const struct rn_stmt *s = &scope->fn->body[i];

			*local = *local || (s->kind == RN_S_DEFINE && !strcmp(s->name, name));
		}
	return *local ? NULL : rn_named_find(x->defs, x->ndefs, name, n);
}

bool rn_is_constant(const struct rn_expander *x, const struct rn_scope *scope, const char *name)
{
	const struct rn_named *defs;
	struct rn_term **params;
	uint32_t n = 0, nparams = 0;
	bool local;

	defs = find_defs(x, scope, name, &n, &local);
	if (defs)
		rn_stmt_tparams(defs->stmt, &params, &nparams);
	return (local || n) && !nparams;
}

/* The definition of `name` for these arguments; *out NULL where there is none of the name. */
static int find_def(struct rn_expander *x, const struct rn_scope *scope, const struct rn_term *t,
		    const char *name, const struct rn_term *const *args, uint32_t nargs,
		    const struct rn_stmt **out, bool *local)
{
	const struct rn_named *defs, *best;
	uint32_t n = 0;

	*out = NULL;
	defs = find_defs(x, scope, name, &n, local);
	if (*local)
		RN_TRY(rn_named_local(x, scope->fn, RN_S_DEFINE, name, &defs, &n));
	if (!n)
		return 0;
	RN_TRY(rn_best_match(x, defs, n, args, nargs, t->at, t->end, &best));
	*out = best->stmt;
	return 0;
}

static int constant(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		    const struct rn_term *t, const struct rn_term **out, bool told);

/* A constant of the program, `hidden = 16 .` */
static int named_constant(struct rn_expander *x, const struct rn_scope *scope,
			  const struct rn_term *t, const struct rn_term **out, bool told)
{
	const struct rn_stmt *def;
	bool local;
	int rc;

	RN_TRY(find_def(x, scope, t, t->str, NULL, 0, &def, &local));
	if (!def)
		return 0;
	if (x->depth >= RN_EXPAND_DEPTH)
		return rn_diag_error(x->d, t->at, t->end, "'%s' is defined by itself", t->str);
	x->depth++;
	rc = constant(x, local ? scope->env : NULL, local ? scope : NULL, def->value, out, told);
	x->depth--;
	return rc;
}

/* *out stays NULL for what is no constant. */
static int constant(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		    const struct rn_term *t, const struct rn_term **out, bool told)
{
	const struct rn_term *a = NULL, *b = NULL;

	*out = NULL;
	switch (t->kind) {
	case RN_T_NUM: case RN_T_STR: case RN_T_BOOL: case RN_T_NONE:
		*out = t;
		return 0;
	case RN_T_NAME:
		if (t->templated)
			return 0;
		*out = rn_env_find(env, t->str);
		return *out ? 0 : named_constant(x, scope, t, out, told);
	case RN_T_NEG:
		RN_TRY(constant(x, env, scope, t->arg[0], &a, told));
		if (a && a->kind != RN_T_NUM)
			return told ? rn_diag_error(x->d, t->at, t->end, "only a number has a minus") : 0;
		return a ? number(x, t, -a->num, a->is_float, out) : 0;
	case RN_T_BIN:
		RN_TRY(constant(x, env, scope, t->arg[0], &a, told));
		if (a)
			RN_TRY(constant(x, env, scope, t->arg[1], &b, told));
		if (!a || !b || (!told && (!is_literal(a) || t->op == RN_TOP_MATMUL)))
			return 0;
		return arithmetic(x, t, a, b, out);
	default:
		return 0;
	}
}

int rn_try_constant(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		    const struct rn_term *t, const struct rn_term **out)
{
	return constant(x, env, scope, t, out, false);
}

/* What in it is none? */
static int no_constant(struct rn_expander *x, const struct rn_env *env,
		       const struct rn_scope *scope, const struct rn_term *t)
{
	const struct rn_term *c;

	if (t->kind == RN_T_NAME && !t->templated)
		return rn_diag_error(x->d, t->at, t->end, "'%s' is no constant and no parameter here", t->str);
	for (uint32_t i = 0; i < t->n && (t->kind == RN_T_BIN || t->kind == RN_T_NEG); i++) {
		RN_TRY(rn_try_constant(x, env, scope, t->arg[i], &c));
		if (!c)
			return no_constant(x, env, scope, t->arg[i]);
	}
	return rn_diag_error(x->d, t->at, t->end, "this must be a constant");
}

int rn_constant(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		const struct rn_term *t, bool bare_names, const struct rn_term **out)
{
	RN_TRY(constant(x, env, scope, t, out, true));
	if (*out)
		return 0;
	if (bare_names && t->kind == RN_T_NAME && !t->templated) { /* the name of a relation */
		struct rn_term *s;

		RN_TRY(copy_term(x, t, 0, &s));
		s->kind = RN_T_STR;
		*out = s;
		return 0;
	}
	return no_constant(x, env, scope, t);
}

int rn_constants(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		 struct rn_term *const *t, uint32_t n, bool bare_names,
		 const struct rn_term ***out)
{
	*out = n ? rn_expand_alloc(x, n * sizeof **out) : NULL;
	if (n && !*out)
		return no_memory(x);
	for (uint32_t i = 0; i < n; i++)
		RN_TRY(rn_constant(x, env, scope, t[i], bare_names, &(*out)[i]));
	return 0;
}

/* ---- embedding expressions -------------------------------------------------------------------- */

/* A transform under way: its one free variable stands for `arg`. */
struct within {
	const struct rn_names *names;
	const struct rn_env *env;     /* of the transform, or of the rule */
	const struct rn_scope *scope;
	const char *free;             /* the transform's variable; NULL: in the rule itself */
	struct rn_term *arg;          /* already expanded */
	const char *own;              /* "Mu<C2,0>": names its modules */
	uint32_t nmodules, module;    /* modules with parameters in its body, and so far */
};

static int expand(struct rn_expander *x, struct within *w, const struct rn_term *t,
		  struct rn_term **out);

static bool has(const char *const *names, uint32_t n, const char *name)
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

	if (t->kind == RN_T_NAME && !t->templated) {
		find_defs(x, scope, t->str, &n, &local);
		if (n || local || rn_env_find(env, t->str))
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
static int add_own_name(struct rn_expander *x, struct within *w, const struct rn_term *t,
			struct rn_term **out)
{
	struct rn_term *c, *s;
	const char **key;

	for (uint32_t i = 1; t->key && i < t->n; i++)
		if (t->key[i] && !strcmp(t->key[i], "name"))
			return 0;
	w->module++;
	c = *out;
	RN_TRY(copy_term(x, c, c->n + 1, &c));
	memcpy(c->arg, (*out)->arg, (*out)->n * sizeof *c->arg);
	key = rn_expand_alloc(x, c->n * sizeof *key);
	s = rn_expand_alloc(x, sizeof *s);
	if (!key || !s)
		return no_memory(x);
	if ((*out)->key)
		memcpy(key, (*out)->key, (*out)->n * sizeof *key);
	*s = (struct rn_term){ .kind = RN_T_STR, .at = t->at, .end = t->end };
	s->str = w->nmodules > 1 ? rn_expand_printf(x, "%s.%u", w->own, w->module) : w->own;
	if (!s->str)
		return no_memory(x);
	key[c->n - 1] = "name";
	c->key = key;
	c->arg[c->n - 1] = s;
	*out = c;
	return 0;
}

static int unknown_function(struct rn_expander *x, const struct rn_term *t)
{
	struct rn_str hint = RN_STR_INIT;

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
	return *out ? 0 : no_memory(x);
}

/* Put a transform's body in; arg NULL: it is not applied to anything. */
static int apply(struct rn_expander *x, struct within *w, const struct rn_term *at,
		 const struct rn_term *const *args, uint32_t nargs, const struct rn_stmt *def,
		 bool local, struct rn_term *arg, struct rn_term **out)
{
	struct within in = { .names = w->names, .scope = local ? w->scope : NULL, .arg = arg };
	struct rn_diag_frame *frame = rn_expand_alloc(x, sizeof *frame);
	struct rn_term *body, *call;
	int rc;

	if (!frame)
		return no_memory(x);

	if (x->depth >= RN_EXPAND_DEPTH)
		return rn_diag_error(x->d, at->at, at->end, "transforms are nested more than %d deep: '%s'",
				     RN_EXPAND_DEPTH, def->name);
	RN_TRY(rn_bind_params(x, in.scope ? in.scope->env : NULL, def, args, &in.env));
	RN_TRY(rn_find_free(x, in.env, in.scope, def->value, "a transform", &in.free));
	if (in.free && !arg)
		return rn_diag_error(x->d, at->at, at->end, "the transform '%s' is applied to something: %s(z)",
				     def->name, def->name);
	RN_TRY(full_name(x, in.scope, def->name, args, nargs, &in.own));
	in.nmodules = count_modules(def->value);
	rn_diag_push(x->d, frame, in.own, at->at);
	x->depth++;
	rc = expand(x, &in, def->value, &body);
	x->depth--;
	x->d->top = frame->up;
	if (rc)
		return rc;
	if (in.free || !arg) {
		*out = body;
		return 0;
	}
	/* K = Linear(16, 7) . : a function that is applied now */
	RN_TRY(copy_term(x, at, 2, &call));
	call->kind = RN_T_CALL;
	call->key = NULL;
	call->arg[0] = body;
	call->arg[1] = arg;
	*out = call;
	return 0;
}

/* A name, or NAME<args>, that stands alone. */
static int expand_name(struct rn_expander *x, struct within *w, const struct rn_term *t,
		       struct rn_term **out)
{
	const struct rn_names *names = w->names;
	const struct rn_term **args = NULL, *c;
	const struct rn_stmt *def;
	const char *name = t->str;
	bool local;

	if (w->free && !t->templated && !strcmp(name, w->free)) {
		*out = w->arg;
		return 0;
	}
	RN_TRY(rn_constants(x, w->env, w->scope, t->arg, t->n, true, &args));
	if (!w->own && t->templated && t->n == 1 && args[0]->kind == RN_T_NUM) { /* z<2> is z_2 */
		name = rn_expand_printf(x, "%s_%.0f", t->str, args[0]->num);
		if (!name)
			return no_memory(x);
	}
	if (!w->own && has(names->embs, names->nembs, name)) {
		/* A set of one element is that element. */
		if (names->nsplat == 1 && !strcmp(name, names->splat_base))
			name = names->splat[0];
		RN_TRY(copy_term(x, t, 0, out));
		(*out)->templated = false;
		(*out)->str = name;
		return 0;
	}
	if (!t->templated) {
		RN_TRY(rn_try_constant(x, w->env, w->scope, t, &c));
		if (c) {
			*out = (struct rn_term *)(uintptr_t)c;
			return 0;
		}
	}
	RN_TRY(find_def(x, w->scope, t, t->str, args, t->n, &def, &local));
	if (def)
		return apply(x, w, t, args, t->n, def, local, NULL, out);
	if (!w->own && has(names->vars, names->nvars, t->str))
		return rn_diag_error(x->d, t->at, t->end, "'%s' is a column: [%s] makes an embedding of it",
				     t->str, t->str);
	return rn_diag_error(x->d, t->at, t->end, "'%s' is bound nowhere in the body", t->str);
}

/* [a, Enc(8)(b)]: variables of the body, and encoders of them; `setting`: among an encoder's. */
static int expand_bracket(struct rn_expander *x, struct within *w, const struct rn_term *t,
			  bool setting, struct rn_term **out)
{
	bool made = t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_CALL;
	const struct rn_names *names = w->names;
	const struct rn_term *c;

	if (t->kind == RN_T_NAME) {
		if (!setting && has(names->vars, names->nvars, t->str) && !t->templated) {
			*out = (struct rn_term *)(uintptr_t)t;
			return 0;
		}
		RN_TRY(rn_try_constant(x, w->env, w->scope, t, &c));
		if (c || (setting && !t->templated)) { /* a word: Cyclic(hour)(t) */
			*out = (struct rn_term *)(uintptr_t)(c ? c : t);
			return 0;
		}
		if (has(names->embs, names->nembs, t->str))
			return rn_diag_error(x->d, t->at, t->end, "'%s' is an embedding: without the brackets",
					     t->str);
		return rn_diag_error(x->d, t->at, t->end, "no column '%s' in the body", t->str);
	}
	if (is_literal(t)) {
		*out = (struct rn_term *)(uintptr_t)t;
		return 0;
	}
	RN_TRY(copy_term(x, t, t->n, out));
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->kind == RN_T_CALL && !i && t->arg[0]->kind == RN_T_NAME)
			(*out)->arg[0] = t->arg[0];
		else
			RN_TRY(expand_bracket(x, w, t->arg[i], made ? !i : setting || (t->key && t->key[i]),
					      &(*out)->arg[i]));
	}
	return 0;
}

/* Aggregates of a head that expressions do not know by that name. */
static bool is_aggregate(const char *name)
{
	return !strcmp(name, "count") || !strcmp(name, "add") || !strcmp(name, "avg");
}

/* f(…) where f is no transform: a function, or a module that is made. */
static int expand_function(struct rn_expander *x, struct within *w, const struct rn_term *t,
			   struct rn_term **out)
{
	const struct rn_names *names = w->names;
	struct rn_emb_fn fn = { 0 };
	struct rn_term *c;
	uint32_t n = t->n, to = 1;

	if (t->arg[0]->kind == RN_T_NAME && !rn_emb_function(t->arg[0]->str, &fn) &&
	    !(t == names->root && is_aggregate(t->arg[0]->str)))
		return unknown_function(x, t->arg[0]);
	for (uint32_t i = 1; i < t->n; i++)
		n += t->arg[i]->kind == RN_T_SPLAT ? names->nsplat : 0;
	RN_TRY(copy_term(x, t, n, &c));
	if (t->arg[0]->kind == RN_T_NAME)
		c->arg[0] = t->arg[0];
	else
		RN_TRY(expand(x, w, t->arg[0], &c->arg[0]));
	for (uint32_t i = 1; i < t->n; i++) {
		const struct rn_term *a = t->arg[i];

		if (a->kind == RN_T_SPLAT) {
			if (!names->nsplat || strcmp(a->str, names->splat_base) || w->own)
				return rn_diag_error(x->d, a->at, a->end,
						     "*%s stands for the embeddings of Join(Set(...)), and there is none "
						     "that calls them so", a->str);
			for (uint32_t k = 0; k < names->nsplat; k++) {
				RN_TRY(copy_term(x, a, 0, &c->arg[to]));
				c->arg[to]->kind = RN_T_NAME;
				c->arg[to++]->str = names->splat[k];
			}
			continue;
		}
		if (t->key && t->key[i] && *t->key[i] == ';') { /* softmax(a; t): a variable */
			if (a->kind != RN_T_NAME || !has(names->vars, names->nvars, a->str))
				return rn_diag_error(x->d, a->at, a->end, "expected a variable of the body");
			c->arg[to++] = (struct rn_term *)(uintptr_t)a;
			continue;
		}
		RN_TRY(expand(x, w, a, &c->arg[to++]));
	}
	c->n = to;
	*out = c;
	return w->own && fn.params ? add_own_name(x, w, t, out) : 0;
}

static int expand_call(struct rn_expander *x, struct within *w, const struct rn_term *t,
		       struct rn_term **out)
{
	const struct rn_term *f = t->arg[0], **args;
	const struct rn_stmt *def;
	struct rn_term *arg;
	bool local;

	if (f->kind != RN_T_NAME)
		return expand_function(x, w, t, out);
	RN_TRY(rn_constants(x, w->env, w->scope, f->arg, f->n, true, &args));
	RN_TRY(find_def(x, w->scope, f, f->str, args, f->n, &def, &local));
	if (!def && f->templated)
		return unknown_function(x, f);
	if (!def)
		return expand_function(x, w, t, out);
	if (t->n != 2 || t->key || t->arg[1]->kind == RN_T_SPLAT)
		return rn_diag_error(x->d, t->at, t->end, "the transform '%s' takes one embedding", f->str);
	RN_TRY(expand(x, w, t->arg[1], &arg));
	return apply(x, w, f, args, f->n, def, local, arg, out);
}

static int expand(struct rn_expander *x, struct within *w, const struct rn_term *t,
		  struct rn_term **out)
{
	uint32_t depth = 0;
	uint64_t size = 1;

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
		RN_TRY(expand_bracket(x, w, t, false, out));
		break;
	case RN_T_NEG:
	case RN_T_BIN:
		RN_TRY(copy_term(x, t, t->n, out));
		for (uint32_t i = 0; i < t->n; i++)
			RN_TRY(expand(x, w, t->arg[i], &(*out)->arg[i]));
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
		return too_many_terms(x, t);
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
	struct within w = { .names = names, .env = names->env, .scope = names->scope };

	RN_TRY(expand(x, &w, t, out));
	x->nterms += (*out)->size;
	return x->nterms > RN_EXPAND_TERMS ? too_many_terms(x, t) : 0;
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
		if (has(names->vars, names->nvars, t->str) && !t->templated) {
			*out = (struct rn_term *)(uintptr_t)t;
			return 0;
		}
		RN_TRY(rn_try_constant(x, names->env, names->scope, t, &c));
		*out = (struct rn_term *)(uintptr_t)c;
		if (c)
			return 0;
		if (has(names->embs, names->nembs, t->str))
			return rn_diag_error(x->d, t->at, t->end, "'%s' is an embedding, and this is an expression "
					     "over columns", t->str);
		return rn_diag_error(x->d, t->at, t->end, "'%s' is bound nowhere in the body", t->str);
	case RN_T_NEG: case RN_T_BIN: case RN_T_CALL:
		RN_TRY(copy_term(x, t, t->n, out));
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
