/* SPDX-License-Identifier: Apache-2.0
 *
 * Constants: what a term is worth where it is one.  A constant of the program may be a
 * template; a name that nothing binds is a string where relations are named.
 */
#include "expander.h"

#include <math.h>
#include <string.h>

enum {
	CONSTANT_STEPS = 3, /* that the name of a constant takes */
	VALUE_STEPS = 12,   /* and its value, the first time */
};

static int too_many(struct rn_expander *x, uint32_t at, uint32_t end)
{
	return rn_diag_limit(x->d, at, end, "the program's expressions expand to more than %d terms",
			     RN_EXPAND_TERMS);
}

int rn_expand_too_many(struct rn_expander *x, const struct rn_term *t)
{
	return too_many(x, t->at, t->end);
}

int rn_expand_work(struct rn_expander *x, uint32_t steps, uint32_t at, uint32_t end)
{
	x->work += steps;
	if (x->work <= RN_EXPAND_WORK)
		return 0;
	return rn_diag_limit(x->d, at, end, "the program takes more than %d steps to expand: templates, "
			     "transforms, constants or guards inside each other multiply", RN_EXPAND_WORK);
}

int rn_expand_count(struct rn_expander *x, uint32_t n, uint32_t at, uint32_t end)
{
	x->nterms += (uint64_t)n * n / RN_EXPAND_LOOKUPS;
	return x->nterms > RN_EXPAND_TERMS ? too_many(x, at, end) : 0;
}

int rn_term_copy(struct rn_expander *x, const struct rn_term *t, uint32_t n, struct rn_term **out)
{
	struct rn_term *c = rn_expand_alloc(x, sizeof *c);

	if (!c)
		return rn_expand_nomem(x);
	if (++x->nterms > RN_EXPAND_TERMS)
		return rn_expand_too_many(x, t);
	*c = *t;
	c->n = n;
	c->size = 0;
	c->key = NULL;
	c->arg = n ? rn_expand_alloc(x, n * sizeof *c->arg) : NULL;
	if (n && !c->arg)
		return rn_expand_nomem(x);
	if (t->key) {
		c->key = rn_expand_alloc(x, n * sizeof *c->key);
		if (!c->key)
			return rn_expand_nomem(x);
		memcpy(c->key, t->key, (n < t->n ? n : t->n) * sizeof *c->key);
	}
	*out = c;
	return 0;
}

int rn_literal_at(struct rn_expander *x, const struct rn_term *c, const struct rn_term *t,
		  struct rn_term **out)
{
	struct rn_term *copy = rn_expand_alloc(x, sizeof *copy);

	if (!copy)
		return rn_expand_nomem(x);
	*copy = *c;
	copy->at = t->at;
	copy->end = t->end;
	*out = copy;
	return 0;
}

bool rn_is_literal(const struct rn_term *t)
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
	RN_TRY(rn_term_copy(x, t, 0, &n));
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

	RN_TRY(rn_term_copy(x, t, 0, &n));
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

	if (rn_tests_null(t) && (t->op == RN_TOP_EQ || t->op == RN_TOP_NE))
		return truth(x, t, rn_literal_equal(a, b) == (t->op == RN_TOP_EQ), out);
	if (a->kind == RN_T_NONE || b->kind == RN_T_NONE) /* as in a filter: NULL, which holds nowhere */
		return truth(x, t, false, out);
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
	case RN_TOP_MOD:
		if (b->num == 0)
			return rn_diag_error(x->d, t->at, t->end, "division by zero");
		return number(x, t, fmod(a->num, b->num), false, out);
	default:
		return rn_diag_error(x->d, t->at, t->end, "'@' multiplies embeddings, not constants");
	}
}

const struct rn_named *rn_find_defs(const struct rn_expander *x, const struct rn_scope *scope,
				    const char *name, uint32_t *n, bool *local)
{
	const struct rn_named *defs = NULL;

	if (scope)
		defs = rn_named_find(scope->local->defs, scope->local->ndefs, name, n);
	*local = defs;
	return defs ? defs : rn_named_find(x->defs, x->ndefs, name, n);
}

bool rn_is_constant(const struct rn_expander *x, const struct rn_scope *scope, const char *name)
{
	const struct rn_named *defs;
	struct rn_term **params;
	uint32_t n = 0, nparams = 0;
	bool local;

	defs = rn_find_defs(x, scope, name, &n, &local);
	if (defs)
		rn_stmt_tparams(defs->stmt, &params, &nparams);
	return defs && !nparams;
}

int rn_find_def(struct rn_expander *x, const struct rn_scope *scope, const struct rn_term *t,
		const char *name, const struct rn_term *const *args, uint32_t nargs,
		const struct rn_stmt **out, bool *local)
{
	const struct rn_named *defs, *best;
	uint32_t n = 0;

	*out = NULL;
	defs = rn_find_defs(x, scope, name, &n, local);
	if (!defs)
		return 0;
	RN_TRY(rn_best_match(x, defs, args, nargs, t->at, t->end, &best));
	*out = best->stmt;
	return 0;
}

static int constant(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		    const struct rn_term *t, const struct rn_term **out, bool told);

static int bare_name(struct rn_expander *x, const struct rn_term *t, const struct rn_term **out)
{
	struct rn_term *s;

	RN_TRY(rn_term_copy(x, t, 0, &s));
	s->kind = RN_T_STR;
	*out = s;
	return 0;
}

/* The template arguments of a constant; *out NULL where they are none themselves. */
static int constant_args(struct rn_expander *x, const struct rn_env *env,
			 const struct rn_scope *scope, const struct rn_term *t,
			 const struct rn_term ***out, bool told)
{
	const struct rn_term **args = rn_expand_alloc(x, t->n * sizeof *args);

	*out = NULL;
	if (!args)
		return rn_expand_nomem(x);
	for (uint32_t i = 0; i < t->n; i++) {
		RN_TRY(constant(x, env, scope, t->arg[i], &args[i], told));
		if (!args[i] && t->arg[i]->kind == RN_T_NAME && !t->arg[i]->templated)
			RN_TRY(bare_name(x, t->arg[i], &args[i]));
		if (!args[i])
			return 0;
	}
	*out = args;
	return 0;
}

/* Where the value of a constant is kept: its number in x->values + 1; 0: not evaluated yet. */
static int kept_value(struct rn_expander *x, const struct rn_scope *scope, const struct rn_term *t,
		      const struct rn_term *const *args, const char **name, uint32_t *number)
{
	struct rn_str key = RN_STR_INIT;
	uint32_t *slot;
	bool fresh;

	rn_str_add(&key, "\v"); /* no instance is called so */
	if (scope)
		rn_str_addf(&key, "%s.", scope->prefix);
	rn_str_add(&key, t->str);
	rn_targs_print(args, t->n, &key);
	*name = key.failed ? NULL : rn_expand_printf(x, "%s", key.s);
	rn_str_fini(&key);
	if (!*name)
		return rn_expand_nomem(x);
	RN_TRY(rn_memo_get(x, *name, 0, &slot, &fresh));
	*number = *slot;
	return 0;
}

static int keep_value(struct rn_expander *x, const char *name, const struct rn_term *value)
{
	uint32_t *slot;
	bool fresh;

	RN_TRY(rn_grow(&x->values, &x->cap_values, (size_t)x->nvalues + 1, sizeof *x->values, "constants",
		       x->e));
	x->values[x->nvalues++] = value;
	RN_TRY(rn_memo_get(x, name, 0, &slot, &fresh));
	*slot = x->nvalues;
	return 0;
}

/* The definition's value for these arguments. */
static int evaluate(struct rn_expander *x, const struct rn_scope *scope, const struct rn_term *t,
		    const struct rn_term *const *args, const struct rn_term **out, bool told)
{
	const struct rn_stmt *def;
	const struct rn_env *in;
	bool local;
	int rc;

	RN_TRY(rn_expand_work(x, VALUE_STEPS, t->at, t->end));
	RN_TRY(rn_find_def(x, scope, t, t->str, args, t->n, &def, &local));
	if (!def)
		return 0;
	if (x->depth >= RN_EXPAND_DEPTH && !t->n)
		return rn_diag_error(x->d, t->at, t->end, "'%s' is defined by itself", t->str);
	if (x->depth >= RN_EXPAND_DEPTH)
		return rn_diag_error(x->d, t->at, t->end, "constants are nested more than %d deep: '%s'",
				     RN_EXPAND_DEPTH, t->str);
	RN_TRY(rn_bind_params(x, local ? scope->env : NULL, def, args, &in));
	x->depth++;
	rc = constant(x, in, local ? scope : NULL, def->value, out, told);
	x->depth--;
	return rc;
}

/* A constant of the program, `hidden = 16 .`, `width<"Author"> = 32 .`, evaluated once. */
static int named_constant(struct rn_expander *x, const struct rn_env *env,
			  const struct rn_scope *scope, const struct rn_term *t,
			  const struct rn_term **out, bool told)
{
	const struct rn_term **args;
	const char *name;
	uint32_t n = 0, number;
	bool local;

	if (!rn_find_defs(x, scope, t->str, &n, &local))
		return 0;
	RN_TRY(rn_expand_work(x, CONSTANT_STEPS + t->n, t->at, t->end));
	RN_TRY(constant_args(x, env, scope, t, &args, told));
	if (!args)
		return 0;
	RN_TRY(kept_value(x, local ? scope : NULL, t, args, &name, &number));
	if (number) {
		*out = x->values[number - 1];
		return 0;
	}
	RN_TRY(evaluate(x, scope, t, args, out, told));
	return *out ? keep_value(x, name, *out) : 0;
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
		*out = t->templated ? NULL : rn_env_find(env, t->str);
		return *out ? 0 : named_constant(x, env, scope, t, out, told);
	case RN_T_NEG:
		RN_TRY(constant(x, env, scope, t->arg[0], &a, told));
		if (a && a->kind != RN_T_NUM)
			return told ? rn_diag_error(x->d, t->at, t->end, "only a number has a minus") : 0;
		return a ? number(x, t, -a->num, a->is_float, out) : 0;
	case RN_T_BIN:
		RN_TRY(constant(x, env, scope, t->arg[0], &a, told));
		if (a)
			RN_TRY(constant(x, env, scope, t->arg[1], &b, told));
		if (!a || !b || (!told && (!rn_is_literal(a) || t->op == RN_TOP_MATMUL)))
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
	if (bare_names && t->kind == RN_T_NAME && !t->templated) /* the name of a relation */
		return bare_name(x, t, out);
	return no_constant(x, env, scope, t);
}

int rn_constants(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		 struct rn_term *const *t, uint32_t n, bool bare_names,
		 const struct rn_term ***out)
{
	*out = n ? rn_expand_alloc(x, n * sizeof **out) : NULL;
	if (n && !*out)
		return rn_expand_nomem(x);
	for (uint32_t i = 0; i < n; i++)
		RN_TRY(rn_constant(x, env, scope, t[i], bare_names, &(*out)[i]));
	return 0;
}
