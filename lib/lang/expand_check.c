/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be said of a definition that no run reaches, whatever its parameters turn out to be:
 * relations, functions and modules that there are none of, template arguments in a number that no
 * definition takes, names that nothing binds.  What is said here can never be right.
 */
#include "expander.h"

#include "../base/opt.h"
#include "../expr/emb_fn.h"

#include <string.h>

/* A statement under check. */
struct check {
	struct rn_expander *x;
	const struct rn_scope *scope;  /* of the function that it stands in, or NULL */
	const struct rn_env *env;      /* parameters, which are bound to nothing in particular */
	const struct rn_rule *rule;    /* NULL: a definition */
	uint32_t nembs, cap_embs, nvars, cap_vars;
	const char **embs, **vars;
	bool by_union;                 /* one name more is the stacked embedding */
};

static const struct rn_term anything = { .kind = RN_T_NONE };

static int bind_params(struct check *k, struct rn_term *const *params, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (params[i]->kind != RN_T_NAME)
			continue;
		k->env = rn_env_bind(k->x, k->env, params[i]->str, &anything);
		if (!k->env)
			return rn_expand_nomem(k->x);
	}
	return 0;
}

/* ---- relations ----------------------------------------------------------------------------- */

/* Does one of the definitions take so many template arguments, and so many relations? */
static bool takes(const struct rn_named *defs, uint32_t n, uint32_t nargs, const struct rn_ref *call)
{
	for (uint32_t i = 0; i < n; i++) {
		struct rn_term **params;
		uint32_t count;

		rn_stmt_tparams(defs[i].stmt, &params, &count);
		if (count == nargs && (!call || defs[i].stmt->nparams == call->nrels))
			return true;
	}
	return false;
}

static int wrong_count(struct check *k, const struct rn_named *defs, uint32_t n, uint32_t nargs,
		       const struct rn_ref *call, uint32_t at, uint32_t end)
{
	struct rn_term **params;
	uint32_t count;

	rn_stmt_tparams(defs->stmt, &params, &count);
	if (n == 1 && count == nargs && call)
		return rn_diag_error(k->x->d, at, end, "the function '%s' takes %u relation%s, not %u", defs->name,
				     defs->stmt->nparams, defs->stmt->nparams == 1 ? "" : "s", call->nrels);
	if (n == 1)
		return rn_diag_error(k->x->d, at, end, "'%s' takes %u template argument%s, not %u", defs->name,
				     count, count == 1 ? "" : "s", nargs);
	return rn_diag_error(k->x->d, at, end, "no definition of '%s' takes %u template argument%s", defs->name,
			     nargs, nargs == 1 ? "" : "s");
}

static int check_ref(struct check *k, const struct rn_ref *r)
{
	struct rn_expander *x = k->x;
	const struct rn_named *defs;
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->nrels; i++)
		RN_TRY(check_ref(k, &r->rels[i]));
	if (rn_env_find(k->env, r->name))
		return 0;
	if (r->call) {
		defs = rn_named_find(x->funcs, x->nfuncs, r->name, &n);
		if (!defs)
			return rn_unknown_function(x, r, r->name);
		return takes(defs, n, r->ntargs, r) ? 0 : wrong_count(k, defs, n, r->ntargs, r, r->at, r->end);
	}
	for (uint32_t i = 0; k->scope && i < k->scope->fn->nparams; i++)
		if (!strcmp(k->scope->fn->params[i].name, r->name))
			return 0;
	defs = k->scope ? rn_named_find(k->scope->local->rules, k->scope->local->nrules, r->name, &n) : NULL;
	if (!defs)
		defs = rn_named_find(x->rules, x->nrules, r->name, &n);
	if (defs)
		return takes(defs, n, r->ntargs, NULL) ? 0 : wrong_count(k, defs, n, r->ntargs, NULL, r->at, r->end);
	if (rn_named_find(x->others, x->nothers, r->name, &n) || x->conf.is_source(x->conf.arg, r->name))
		return r->ntargs ? rn_diag_error(x->d, r->at, r->end, "'%s' is no template", r->name) : 0;
	return rn_unknown_relation(x, k->scope, r, r->name);
}

/* ---- bodies -------------------------------------------------------------------------------- */

static int add_name(struct check *k, const char ***names, uint32_t *n, uint32_t *cap,
		    const char *name)
{
	if (*n == *cap) {
		const char **more = rn_expand_alloc(k->x, (*cap ? 2 * (size_t)*cap : 8) * sizeof *more);

		if (!more)
			return rn_expand_nomem(k->x);
		if (*n)
			memcpy(more, *names, *n * sizeof *more);
		*names = more;
		*cap = *cap ? 2 * *cap : 8;
	}
	(*names)[(*n)++] = name;
	return 0;
}

static int check_atom(struct check *k, const struct rn_atom *a)
{
	RN_TRY(rn_expand_count(k->x, a->nplaces, a->at, a->end));
	RN_TRY(check_ref(k, &a->ref));
	for (uint32_t i = 0; i < a->nplaces; i++)
		if (a->places[i].term->kind == RN_T_NAME)
			RN_TRY(add_name(k, &k->vars, &k->nvars, &k->cap_vars, a->places[i].term->str));
	return a->emb ? add_name(k, &k->embs, &k->nembs, &k->cap_embs, a->emb) : 0;
}

static int find_names(struct check *k, const struct rn_term *t)
{
	if (t->kind == RN_T_NAME && !t->templated) {
		k->env = rn_env_bind(k->x, k->env, t->str, &anything);
		return k->env ? 0 : rn_expand_nomem(k->x);
	}
	for (uint32_t i = 0; i < t->n && (t->kind == RN_T_BIN || t->kind == RN_T_NEG); i++)
		RN_TRY(find_names(k, t->arg[i]));
	return 0;
}

/* The variables of a set are known in its atom; the head of a union may hold them. */
static int check_set(struct check *k, const struct rn_item *it)
{
	const struct rn_env *env = k->env;

	for (uint32_t g = 0; g < it->nguards; g++) {
		RN_TRY(check_ref(k, &it->guards[g].ref));
		for (uint32_t i = 0; i < it->guards[g].nplaces; i++)
			RN_TRY(find_names(k, it->guards[g].places[i].term));
	}
	for (uint32_t i = 0; i < it->nconds; i++)
		RN_TRY(find_names(k, it->conds[i]));
	RN_TRY(check_atom(k, &it->atom));
	if (it->kind != RN_ITEM_UNION)
		k->env = env;
	return 0;
}

/* ---- expressions --------------------------------------------------------------------------- */

/* z, z_2: an embedding of the body? */
static bool is_embedding(const struct check *k, const char *name)
{
	for (uint32_t i = 0; i < k->nembs; i++) {
		size_t n = strlen(k->embs[i]);

		if (!strncmp(name, k->embs[i], n) &&
		    (!name[n] || (name[n] == '_' && strspn(name + n + 1, "0123456789") == strlen(name + n + 1))))
			return true;
	}
	return false;
}

static int check_name(struct check *k, const struct rn_term *t)
{
	const struct rn_named *defs;
	uint32_t n;
	bool local;

	if (!t->templated && (is_embedding(k, t->str) || rn_env_find(k->env, t->str)))
		return 0;
	defs = rn_find_defs(k->x, k->scope, t->str, &n, &local);
	if (defs)
		return takes(defs, n, t->n, NULL) ? 0 : wrong_count(k, defs, n, t->n, NULL, t->at, t->end);
	if (!k->rule || k->by_union || is_embedding(k, t->str) || rn_is_input(t->str))
		return 0;
	if (rn_has_name(k->vars, k->nvars, t->str))
		return rn_diag_error(k->x->d, t->at, t->end, "'%s' is a column: [%s] makes an embedding of it",
				     t->str, t->str);
	return rn_diag_error(k->x->d, t->at, t->end, "'%s' is bound nowhere in the body", t->str);
}

static int check_emb(struct check *k, const struct rn_term *t, bool head)
{
	uint32_t from = 0, n;
	struct rn_emb_fn fn;
	const char *as;
	bool local;

	RN_TRY(rn_expand_work(k->x, 1, t->at, t->end));
	if (t->kind == RN_T_NAME)
		return check_name(k, t);
	if (t->kind == RN_T_BRACKET || t->kind == RN_T_MAP) /* columns, and encoders of them */
		return 0;
	if (t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_NAME) {
		const struct rn_term *f = t->arg[0];

		from = 1;
		if (f->templated || rn_find_defs(k->x, k->scope, f->str, &n, &local)) {
			if (!rn_find_defs(k->x, k->scope, f->str, &n, &local))
				return rn_unknown_module(k->x, f);
			RN_TRY(check_name(k, f));
		} else if (!rn_find_function(f->str, &as, &fn) && !(head && rn_is_aggregate(f->str))) {
			return rn_unknown_module(k->x, f);
		}
	}
	for (uint32_t i = from; i < t->n; i++)
		if (t->kind != RN_T_CALL || !t->key || !t->key[i])
			RN_TRY(check_emb(k, t->arg[i], head));
	return 0;
}

/* ---- statements ---------------------------------------------------------------------------- */

static int check_rule(struct check *k, const struct rn_rule *r)
{
	k->rule = r;
	k->by_union = r->by_union;
	for (uint32_t i = 0; i < r->nitems; i++) {
		const struct rn_item *it = &r->items[i];

		k->by_union = k->by_union || it->kind == RN_ITEM_UNION;
		if (it->kind == RN_ITEM_ATOM)
			RN_TRY(check_atom(k, &it->atom));
		else if (it->kind != RN_ITEM_COMPARE)
			RN_TRY(check_set(k, it));
	}
	return r->emb ? check_emb(k, r->emb, true) : 0;
}

static int check_definition(struct check *k, const struct rn_stmt *s)
{
	const char *free = NULL;

	RN_TRY(check_emb(k, s->value, false));
	return rn_find_free(k->x, k->env, k->scope, s->value, "a transform", &free);
}

static int check_statement(struct rn_expander *x, const struct rn_stmt *s,
			   const struct rn_scope *scope, const struct rn_env *env)
{
	struct check k = { .x = x, .scope = scope, .env = env };
	struct rn_term **params;
	uint32_t n;

	if (s->kind != RN_S_RULE && s->kind != RN_S_DEFINE && s->kind != RN_S_FUNCTION)
		return 0;
	rn_stmt_tparams(s, &params, &n);
	RN_TRY(bind_params(&k, params, n));
	return s->kind == RN_S_RULE ? check_rule(&k, s->rule) : check_definition(&k, s);
}

static int check_function(struct rn_expander *x, const struct rn_named *f)
{
	struct rn_scope scope = { .prefix = "", .fn = f->stmt, .local = f->local };
	struct check k = { .x = x };

	RN_TRY(bind_params(&k, f->stmt->tparams, f->stmt->ntparams));
	for (uint32_t i = 0; i < f->stmt->nbody && !rn_diag_full(x->d); i++) {
		int rc = check_statement(x, &f->stmt->body[i], &scope, k.env);

		if (rc && rc != RN_EUSAGE)
			return rc;
	}
	return 0;
}

int rn_expand_check(struct rn_expander *x, struct rn_err *e)
{
	const struct rn_program *p = x->conf.program;
	int rc = 0;

	x->e = e;
	for (uint32_t i = 0; i < p->nstmts && !rn_diag_full(x->d) && (!rc || rc == RN_EUSAGE); i++)
		if (p->stmts[i].kind == RN_S_RULE || p->stmts[i].kind == RN_S_DEFINE)
			rc = check_statement(x, &p->stmts[i], NULL, NULL);
	for (uint32_t i = 0; i < x->nfuncs && !rn_diag_full(x->d) && (!rc || rc == RN_EUSAGE); i++)
		rc = check_function(x, &x->funcs[i]);
	x->e = NULL;
	return rc == RN_EUSAGE ? 0 : rc;
}
