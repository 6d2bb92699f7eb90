/* SPDX-License-Identifier: Apache-2.0
 *
 * Bounded sets: Set(atom | 1 <= i, i <= h) and Set(atom | MetaRel(ts, pe, tt), ts != tt).
 */
#include "expander.h"

#include "../base/num.h"

#include <math.h>
#include <string.h>

enum { ROW_PLACES = 8 }; /* of a guard's atom that take a step, beside one for the row */

/* A set under expansion. */
struct walk {
	struct rn_expander *x;
	const struct rn_scope *scope;
	const struct rn_item *set;
	int (*fn)(void *arg, const struct rn_env *env, uint32_t i);
	void *arg;
	uint32_t n;
	const struct rn_env *outside; /* what is bound outside of the set */
	struct rn_term ***cells; /* by guard, by row and place: made when they are met first */
};

/* All conditions of the set that are constant now must hold. */
static int element(struct walk *w, const struct rn_env *env)
{
	struct rn_expander *x = w->x;
	const struct rn_term *c;

	for (uint32_t i = 0; i < w->set->nconds; i++) {
		RN_TRY(rn_constant(x, env, w->scope, w->set->conds[i], false, &c));
		if (c->kind == RN_T_BOOL && !c->num)
			return 0;
	}
	if (w->n >= x->conf.max_instances)
		return rn_diag_error(x->d, w->set->at, w->set->end,
				     "this set has more than %u elements (--max-instances)",
				     x->conf.max_instances);
	return w->fn(w->arg, env, w->n++);
}

/* ---- integers ------------------------------------------------------------------------------------ */

/* The one name in the conditions that is no constant. */
static int find_variable(struct walk *w, const struct rn_env *env, const struct rn_term *t,
			 const char **name)
{
	const struct rn_term *c;

	if (t->kind == RN_T_NAME) {
		if (t->templated) /* a constant, perhaps of the variable */
			return 0;
		RN_TRY(rn_try_constant(w->x, env, w->scope, t, &c));
		if (c)
			return 0;
		if (*name && strcmp(*name, t->str))
			return rn_diag_error(w->x->d, t->at, t->end,
					     "a set of integers has one variable, and here are '%s' and '%s'",
					     *name, t->str);
		*name = t->str;
		return 0;
	}
	for (uint32_t i = 0; i < t->n; i++)
		RN_TRY(find_variable(w, env, t->arg[i], name));
	return 0;
}

static bool mentions(const struct rn_term *t, const char *name)
{
	if (t->kind == RN_T_NAME && !t->templated && !strcmp(t->str, name))
		return true;
	for (uint32_t i = 0; i < t->n; i++)
		if (mentions(t->arg[i], name))
			return true;
	return false;
}

/* The bound that one comparison gives, if it is one. */
static int take_bound(struct walk *w, const struct rn_env *env, const struct rn_term *t,
		      const char *name, double *low, double *high)
{
	const struct rn_term *side[2] = { t->arg[0], t->arg[1] }, *c;
	enum rn_term_op op = t->op;
	int var = side[0]->kind == RN_T_NAME && !strcmp(side[0]->str, name) ? 0 : 1;

	if (side[var]->kind != RN_T_NAME || strcmp(side[var]->str, name) ||
	    mentions(side[1 - var], name))
		return 0;
	RN_TRY(rn_try_constant(w->x, env, w->scope, side[1 - var], &c));
	if (!c || c->kind != RN_T_NUM)
		return 0;
	if (var == 1) /* 1 <= i is i >= 1 */
		op = op == RN_TOP_LT ? RN_TOP_GT : op == RN_TOP_LE ? RN_TOP_GE :
		     op == RN_TOP_GT ? RN_TOP_LT : op == RN_TOP_GE ? RN_TOP_LE : op;
	if (op == RN_TOP_GE || op == RN_TOP_EQ)
		*low = fmax(*low, ceil(c->num));
	if (op == RN_TOP_GT)
		*low = fmax(*low, floor(c->num) + 1);
	if (op == RN_TOP_LE || op == RN_TOP_EQ)
		*high = fmin(*high, floor(c->num));
	if (op == RN_TOP_LT)
		*high = fmin(*high, ceil(c->num) - 1);
	return 0;
}

static int integers(struct walk *w, const struct rn_env *env)
{
	struct rn_expander *x = w->x;
	const struct rn_item *set = w->set;
	double low = -INFINITY, high = INFINITY;
	const char *name = NULL;

	for (uint32_t i = 0; i < set->nconds; i++)
		RN_TRY(find_variable(w, env, set->conds[i], &name));
	if (!name)
		return rn_diag_error(x->d, set->at, set->end, "the guard of this set has no variable");
	for (uint32_t i = 0; i < set->nconds; i++)
		RN_TRY(take_bound(w, env, set->conds[i], name, &low, &high));
	if (!isfinite(low) || !isfinite(high))
		return rn_diag_error(x->d, set->at, set->end,
				     "'%s' needs a lower and an upper bound: 1 <= %s, %s <= 4", name, name, name);
	if (high - low >= x->conf.max_instances)
		return rn_diag_error(x->d, set->at, set->end,
				     "this set has more than %u elements (--max-instances)",
				     x->conf.max_instances);
	for (double v = low; v <= high; v++) {
		struct rn_term *t = rn_expand_alloc(x, sizeof *t);
		const struct rn_env *in;

		if (!t)
			return rn_expand_nomem(x);
		*t = (struct rn_term){ .kind = RN_T_NUM, .num = v, .at = set->at, .end = set->end };
		in = rn_env_bind(x, env, name, t);
		if (!in)
			return rn_expand_nomem(x);
		RN_TRY(element(w, in));
	}
	return 0;
}

/* ---- rows of relations ------------------------------------------------------------------------------ */

/* A value of the guard relation as a literal, *out where it was made before; NULL is no value. */
static int cell(struct walk *w, const struct rn_column *c, uint64_t i, const struct rn_atom *at,
		struct rn_term **out)
{
	struct rn_expander *x = w->x;
	struct rn_term *t;

	if (*out)
		return 0;
	*out = t = rn_expand_alloc(x, sizeof *t);
	if (!t)
		return rn_expand_nomem(x);
	*t = (struct rn_term){ .kind = RN_T_NUM, .at = at->at, .end = at->end };
	if (rn_column_is_null(c, i)) {
		t->kind = RN_T_NONE;
	} else if (c->type == RN_STRING) {
		t->kind = RN_T_STR;
		t->str = rn_expand_printf(x, "%.*s", (int)(c->off[i + 1] - c->off[i]), c->bytes + c->off[i]);
		if (!t->str)
			return rn_expand_nomem(x);
	} else if (c->type == RN_BOOL) {
		t->kind = RN_T_BOOL;
		t->num = c->b[i];
	} else {
		t->num = c->type == RN_FLOAT64 ? c->f64[i] : (double)c->i64[i];
		t->is_float = c->type == RN_FLOAT64;
	}
	return 0;
}

/* What a guard of the set bound the name to, or NULL. */
static const struct rn_term *bound_by_guard(const struct walk *w, const struct rn_env *env,
					    const char *name)
{
	for (; env != w->outside; env = env->up)
		if (!strcmp(env->name, name))
			return env->value;
	return NULL;
}

/* Bind the places of the guard to row i; *fits: its constants and bound names agree.  NULL is equal
 * to no other guard's NULL, as in a join; a None that is written, or is an argument, selects it. */
static int bind_row(struct walk *w, const struct rn_env **env, const struct rn_atom *g,
		    const struct rn_rel *r, uint64_t i, struct rn_term **cells, bool *fits)
{
	struct rn_expander *x = w->x;

	*fits = true;
	for (uint32_t k = 0; *fits && k < g->nplaces; k++) {
		const struct rn_term *p = g->places[k].term, *c = NULL, *v;
		size_t col = k;

		if (g->places[k].col && rn_schema_find(&r->schema, g->places[k].col, &col, x->e))
			return rn_diag_error(x->d, g->places[k].at, 0, "no column '%s' in '%s'",
					     g->places[k].col, g->ref.name);
		if (p->kind == RN_T_NAME && !strcmp(p->str, "_"))
			continue;
		RN_TRY(cell(w, r->cols[col], i, g, &cells[k]));
		v = cells[k];
		if (p->kind == RN_T_NAME && !p->templated) {
			c = rn_env_find(*env, p->str);
			if (!c) {
				*env = rn_env_bind(x, *env, p->str, v);
				if (!*env)
					return rn_expand_nomem(x);
				continue;
			}
		} else {
			RN_TRY(rn_constant(x, *env, w->scope, p, false, &c));
		}
		*fits = rn_literal_equal(c, v) &&
			(v->kind != RN_T_NONE || p->kind != RN_T_NAME || !bound_by_guard(w, *env, p->str));
	}
	return 0;
}

static int rows(struct walk *w, const struct rn_env *env, uint32_t guard)
{
	struct rn_expander *x = w->x;
	const struct rn_atom *g = &w->set->guards[guard];
	const struct rn_rel *r;
	const char *source;
	bool fits;

	if (guard == w->set->nguards)
		return element(w, env);
	RN_TRY(rn_guard_source(x, env, w->scope, g, &source));
	RN_TRY(x->conf.rows(x->conf.arg, source, &r, x->e));
	if (g->nplaces > r->schema.ncols)
		return rn_diag_error(x->d, g->at, g->end, "'%s' has %zu columns, and here are %u places", source,
				     r->schema.ncols, g->nplaces);
	if (!w->cells[guard])
		w->cells[guard] = rn_expand_alloc(x, r->rows * g->nplaces * sizeof **w->cells);
	if (!w->cells[guard])
		return rn_expand_nomem(x);
	for (uint64_t i = 0; i < r->rows; i++) {
		const struct rn_env *in = env;

		RN_TRY(rn_expand_work(x, 1 + g->nplaces / ROW_PLACES, g->at, g->end));
		RN_TRY(bind_row(w, &in, g, r, i, w->cells[guard] + i * g->nplaces, &fits));
		if (fits)
			RN_TRY(rows(w, in, guard + 1));
	}
	return 0;
}

int rn_expand_set(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		  const struct rn_item *set,
		  int (*fn)(void *arg, const struct rn_env *env, uint32_t i), void *arg,
		  uint32_t *count)
{
	struct walk w = { .x = x, .scope = scope, .set = set, .fn = fn, .arg = arg, .outside = env };

	w.cells = rn_expand_alloc(x, set->nguards * sizeof *w.cells);
	if (!w.cells)
		return rn_expand_nomem(x);
	RN_TRY(set->nguards ? rows(&w, env, 0) : integers(&w, env));
	*count = w.n;
	return 0;
}
