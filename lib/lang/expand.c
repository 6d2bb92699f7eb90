/* SPDX-License-Identifier: Apache-2.0
 *
 * Relations: which definition a reference means, and the instances of rules.
 */
#include "expander.h"

#include "../base/opt.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	MAX_RULE_DEPTH = 1000, /* rules that rest on each other in a row */
	IN_PROGRESS = UINT32_MAX - 1,
	ITEMS_STEP = 16, /* items of a body that a name is looked for among, in a step */
	FAILED = UINT32_MAX - 2, /* an error that was told already is not told again */
};

const struct rn_rule_inst *rn_expander_inst(const struct rn_expander *x, uint32_t i)
{
	return x->insts[i];
}

/* ---- references ------------------------------------------------------------------------------------ */

static int instantiate(struct rn_expander *x, const struct rn_stmt *s, const struct rn_scope *scope,
		       const struct rn_term *const *args, uint32_t nargs, uint32_t at,
		       uint32_t *out);

/* The relation of a run, which no statement but a ?pred shows others; NULL: none is called so. */
static const struct rn_stmt *run_of(const struct rn_expander *x, const char *name)
{
	const struct rn_program *p = x->conf.program;

	for (uint32_t i = 0; i < p->nstmts; i++)
		if (p->stmts[i].kind >= RN_S_FIT && p->stmts[i].kind < RN_S_PRED && p->stmts[i].rule &&
		    !strcmp(p->stmts[i].name, name))
			return &p->stmts[i];
	return NULL;
}

int rn_unknown_relation(struct rn_expander *x, const struct rn_scope *scope, const struct rn_ref *r,
			const char *name)
{
	struct rn_near near;
	char hint[160];
	uint32_t n;

	if (rn_named_find(x->funcs, x->nfuncs, name, &n))
		return rn_diag_error(x->d, r->at, r->end,
				     "'%s' is a function: call it with its relations, %s(...)(...)", name, name);
	if (run_of(x, name))
		return rn_diag_error(x->d, r->at, r->end,
				     "'%s' is the relation of a run, and stands there alone: make a rule of it, and let runs "
				     "name that, as in ?eval <...> (%s)", name, name);
	rn_near_init(&near, name);
	for (uint32_t i = 0; i < x->nrules; i++)
		rn_near_add(&near, x->rules[i].name);
	for (uint32_t i = 0; i < x->nothers; i++)
		rn_near_add(&near, x->others[i].name);
	for (uint32_t i = 0; scope && i < scope->fn->nparams; i++)
		rn_near_add(&near, scope->fn->params[i].name);
	rn_near_hint(&near, hint, sizeof hint);
	return rn_diag_error(x->d, r->at, r->end,
			     near.best ? "no relation '%s'%s"
				       : "no relation '%s'%s; bind a file to it with --source %s=FILE, or ?source",
			     name, hint, name);
}

static int resolve(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		   const struct rn_ref *r, struct rn_target *out);

/* What the relations of a call are named in its own name: calls of calls would double that
 * name's length again and again, so a long one gives way to its hash. */
static const char *call_name(struct rn_expander *x, const char *name,
			     const struct rn_term *const *args, const struct rn_ref *r,
			     const struct rn_target *params)
{
	struct rn_str rels = RN_STR_INIT, key = RN_STR_INIT;
	const char *out;

	for (uint32_t i = 0; i < r->nrels; i++) {
		const struct rn_target *t = &params[i];

		rn_str_addf(&rels, "%s%s", i ? "," : "",
			    t->kind == RN_REL_SOURCE ? t->source :
			    t->kind == RN_REL_STAGE ? t->stage->name : x->insts[t->rule]->name);
	}
	rn_str_add(&key, name);
	rn_targs_print(args, r->ntargs, &key);
	if (rels.len > RN_EXPAND_NAME)
		rn_str_addf(&key, "(#%016llx)", (unsigned long long)XXH3_64bits(rels.s, rels.len));
	else
		rn_str_addf(&key, "(%s)", r->nrels ? rels.s : "");
	out = rels.failed || key.failed ? NULL : rn_expand_printf(x, "%s", key.s);
	rn_str_fini(&rels);
	rn_str_fini(&key);
	return out;
}

/* A call of a function: its last rule, in a scope of its own.  Equal calls are one, wherever
 * they stand. */
static int call(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		const struct rn_ref *r, const struct rn_named *def,
		const struct rn_term *const *args, struct rn_target *out)
{
	struct rn_scope *in = rn_expand_alloc(x, sizeof *in);
	const struct rn_stmt *fn = def->stmt, *value;

	if (fn->nparams != r->nrels)
		return rn_diag_error(x->d, r->at, r->end, "the function '%s' takes %u relation%s, not %u",
				     fn->name, fn->nparams, fn->nparams == 1 ? "" : "s", r->nrels);
	if (!in)
		return rn_expand_nomem(x);
	in->fn = fn;
	in->local = def->local;
	in->params = rn_expand_alloc(x, r->nrels * sizeof *in->params);
	if (!in->params)
		return rn_expand_nomem(x);
	for (uint32_t i = 0; i < r->nrels; i++)
		RN_TRY(resolve(x, env, scope, &r->rels[i], &in->params[i]));
	in->prefix = call_name(x, fn->name, args, r, in->params);
	if (!in->prefix)
		return rn_expand_nomem(x);
	RN_TRY(rn_bind_params(x, NULL, fn, args, &in->env));
	value = &fn->body[fn->nbody - 1];
	if (value->rule->ntparams)
		return rn_diag_error(x->d, value->name_at, 0, "the rule that is a function's value is no template");
	*out = (struct rn_target){ .kind = RN_REL_RULE };
	return instantiate(x, value, in, NULL, 0, r->at, &out->rule);
}

int rn_unknown_function(struct rn_expander *x, const struct rn_ref *r, const char *name)
{
	struct rn_near near;
	char hint[160];

	rn_near_init(&near, name);
	for (uint32_t i = 0; i < x->nfuncs; i++)
		rn_near_add(&near, x->funcs[i].name);
	return rn_diag_error(x->d, r->at, r->end, "no function '%s'%s", name,
			     rn_near_hint(&near, hint, sizeof hint));
}

static int resolve_call(struct rn_expander *x, const struct rn_env *env,
			const struct rn_scope *scope, const struct rn_ref *r, const char *name,
			struct rn_target *out)
{
	const struct rn_named *defs, *best;
	const struct rn_term **args;
	uint32_t n;

	defs = rn_named_find(x->funcs, x->nfuncs, name, &n);
	if (!defs)
		return rn_unknown_function(x, r, name);
	RN_TRY(rn_constants(x, env, scope, r->targs, r->ntargs, true, &args));
	RN_TRY(rn_best_match(x, defs, args, r->ntargs, r->at, r->end, &best));
	return call(x, env, scope, r, best, args, out);
}

/* A parameter, or a rule, of the function that we are in; *found. */
static int resolve_local(struct rn_expander *x, const struct rn_scope *scope,
			 const struct rn_ref *r, const char *name,
			 const struct rn_term *const *args, struct rn_target *out, bool *found)
{
	const struct rn_stmt *fn = scope->fn;
	const struct rn_named *mine, *best;
	uint32_t n;

	*found = true;
	for (uint32_t i = 0; i < fn->nparams; i++)
		if (!strcmp(fn->params[i].name, name)) {
			if (r->ntargs)
				return rn_diag_error(x->d, r->at, r->end, "'%s' is a relation of the call and no "
						     "template", name);
			*out = scope->params[i];
			return 0;
		}
	mine = rn_named_find(scope->local->rules, scope->local->nrules, name, &n);
	*found = mine;
	if (!mine)
		return 0;
	RN_TRY(rn_best_match(x, mine, args, r->ntargs, r->at, r->end, &best));
	*out = (struct rn_target){ .kind = RN_REL_RULE };
	return instantiate(x, best->stmt, scope, args, r->ntargs, r->at, &out->rule);
}

/* In the body of R(x) :- R(x), S(x) ., R is the source of that name where there is one. */
static bool is_own_source(struct rn_expander *x, const struct rn_scope *scope, const char *name,
			  uint32_t ntargs)
{
	const struct rn_stmt *s = x->under_way;

	return s && !scope && !ntargs && !strcmp(s->name, name) && rn_rule_of_source(s) &&
	       x->conf.is_source(x->conf.arg, name);
}

static int resolve_global(struct rn_expander *x, const struct rn_scope *scope,
			  const struct rn_ref *r, const char *name,
			  const struct rn_term *const *args, struct rn_target *out)
{
	const struct rn_named *defs, *best;
	uint32_t n;

	defs = rn_named_find(x->rules, x->nrules, name, &n);
	if (defs && is_own_source(x, scope, name, r->ntargs)) {
		*out = (struct rn_target){ .kind = RN_REL_SOURCE, .source = name };
		return 0;
	}
	if (defs) {
		RN_TRY(rn_best_match(x, defs, args, r->ntargs, r->at, r->end, &best));
		if (best->stmt->kind == RN_S_FUNCTION)
			return call(x, NULL, NULL, r, best, args, out);
		*out = (struct rn_target){ .kind = RN_REL_RULE };
		return instantiate(x, best->stmt, NULL, args, r->ntargs, r->at, &out->rule);
	}
	defs = rn_named_find(x->others, x->nothers, name, &n);
	if (r->ntargs && (defs || x->conf.is_source(x->conf.arg, name)))
		return rn_diag_error(x->d, r->at, r->end, "'%s' is no template", name);
	if (defs && defs->stmt->kind == RN_S_STAGE) {
		*out = (struct rn_target){ .kind = RN_REL_STAGE, .stage = defs->stmt };
		return 0;
	}
	if (defs && defs->stmt->kind == RN_S_PRED) {
		*out = (struct rn_target){ .kind = RN_REL_PRED };
		return instantiate(x, defs->stmt, NULL, args, r->ntargs, r->at, &out->rule);
	}
	if (!defs && !x->conf.is_source(x->conf.arg, name))
		return rn_unknown_relation(x, scope, r, name);
	*out = (struct rn_target){ .kind = RN_REL_SOURCE, .source = name };
	return 0;
}

static int resolve(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		   const struct rn_ref *r, struct rn_target *out)
{
	const struct rn_term *bound = rn_env_find(env, r->name);
	const struct rn_term **args;
	const char *name = r->name;
	bool found;

	if (bound && bound->kind != RN_T_STR)
		return rn_diag_error(x->d, r->at, r->end, "'%s' is %s here, and no relation", r->name,
				     bound->kind == RN_T_NONE ? "NULL" :
				     bound->kind == RN_T_BOOL ? "a truth value" : "a number");
	if (bound)
		name = bound->str;
	if (r->call)
		return resolve_call(x, env, scope, r, name, out);
	RN_TRY(rn_constants(x, env, scope, r->targs, r->ntargs, true, &args));
	if (scope && !bound) {
		RN_TRY(resolve_local(x, scope, r, name, args, out, &found));
		if (found)
			return 0;
	}
	return resolve_global(x, scope, r, name, args, out);
}

int rn_guard_source(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		    const struct rn_atom *a, const char **source)
{
	struct rn_target t;

	RN_TRY(resolve(x, env, scope, &a->ref, &t));
	if (t.kind != RN_REL_SOURCE)
		return rn_diag_error(x->d, a->ref.at, a->ref.end,
				     "the guard of a set must be a source: its rows are needed to expand the program");
	*source = t.source;
	return 0;
}

/* ---- bodies ------------------------------------------------------------------------------------------ */

/* A rule under expansion. */
struct making {
	struct rn_expander *x;
	const struct rn_rule *rule;
	const struct rn_scope *scope;
	const struct rn_env *env;
	struct rn_rule_inst *inst;
	uint32_t cap_atoms, cap_conds;
	struct rn_names names;
	uint32_t cap_embs, cap_vars, cap_splat;
	const struct rn_item *set; /* the set whose elements are being added */
};

static int push(struct rn_expander *x, void *items, uint32_t n, uint32_t *cap, size_t size)
{
	char *old, *new;

	if (n < *cap)
		return 0;
	memcpy(&old, items, sizeof old);
	new = rn_expand_alloc(x, (*cap ? 2 * (size_t)*cap : 8) * size);
	if (!new)
		return rn_expand_nomem(x);
	if (n)
		memcpy(new, old, n * size);
	memcpy(items, &new, sizeof new);
	*cap = *cap ? 2 * *cap : 8;
	return 0;
}

static int push_name(struct rn_expander *x, const char ***names, uint32_t *n, uint32_t *cap,
		     const char *name)
{
	RN_TRY(push(x, names, *n, cap, sizeof **names));
	(*names)[(*n)++] = name;
	return 0;
}

/* The places of an atom: literals, and variables, which are noted. */
static int make_places(struct making *m, const struct rn_env *env, struct rn_atom *a)
{
	struct rn_expander *x = m->x;
	struct rn_place *to = rn_expand_alloc(x, a->nplaces * sizeof *to);

	if (!to)
		return rn_expand_nomem(x);
	for (uint32_t i = 0; i < a->nplaces; i++) {
		const struct rn_term *t = a->places[i].term, *c = NULL;
		bool known = false;

		to[i] = a->places[i];
		if (t->kind == RN_T_NAME && !t->templated)
			c = rn_env_find(env, t->str);
		else
			RN_TRY(rn_constant(x, env, m->scope, t, false, &c));
		if (c) {
			to[i].term = (struct rn_term *)(uintptr_t)c;
			continue;
		}
		if (strcmp(t->str, "_") && rn_is_constant(x, m->scope, t->str))
			rn_diag_warn(x->d, t->at, t->end,
				     "'%s' is a variable here and hides the constant of that name", t->str);
		for (uint32_t k = 0; k < m->names.nvars; k++)
			known = known || !strcmp(m->names.vars[k], t->str);
		if (!known && strcmp(t->str, "_") && a->mark != RN_ATOM_ANTI)
			RN_TRY(push_name(x, &m->names.vars, &m->names.nvars, &m->cap_vars, t->str));
	}
	a->places = to;
	return 0;
}

/* What the atom's embedding is called in the head; NULL: it has none. */
static int make_emb(struct making *m, const struct rn_env *env, const struct rn_atom *a,
		    uint32_t element, const char **out)
{
	struct rn_expander *x = m->x;
	const struct rn_term *c;

	*out = NULL;
	if (!a->emb || a->mark == RN_ATOM_ANTI)
		return 0;
	*out = a->emb;
	if (a->emb_index) {
		RN_TRY(rn_constant(x, env, m->scope, a->emb_index, false, &c));
		if (c->kind != RN_T_NUM)
			return rn_diag_error(x->d, a->emb_at, 0, "an embedding's index is a number");
		*out = rn_expand_printf(x, "%s_%.0f", a->emb, c->num);
	} else if (m->set && m->set->kind == RN_ITEM_JOIN) {
		*out = rn_expand_printf(x, "%s_%u", a->emb, element);
	}
	return *out ? 0 : rn_expand_nomem(x);
}

static int note_emb(struct making *m, const struct rn_atom *a, const char *emb)
{
	struct rn_expander *x = m->x;

	if (m->set && m->set->kind == RN_ITEM_JOIN) {
		m->names.splat_base = a->emb;
		RN_TRY(push_name(x, &m->names.splat, &m->names.nsplat, &m->cap_splat, emb));
	}
	if (m->inst->by_union)
		return 0;
	for (uint32_t i = 0; i < m->names.nembs; i++)
		if (!strcmp(m->names.embs[i], emb) && strcmp(emb, "_"))
			return rn_diag_error(x->d, a->emb_at, 0, "'%s' names two embeddings of the body", emb);
	return push_name(x, &m->names.embs, &m->names.nembs, &m->cap_embs, emb);
}

static int make_atom(struct making *m, const struct rn_env *env, const struct rn_atom *from,
		     uint32_t element)
{
	struct rn_expander *x = m->x;
	struct rn_inst_atom *to;
	struct rn_atom *a = rn_expand_alloc(x, sizeof *a);
	struct rn_target t;
	const char *emb;

	if (!a)
		return rn_expand_nomem(x);
	if (++x->made > x->conf.max_instances)
		return rn_diag_limit(x->d, from->at, from->end,
				     "the program expands to more than %u instances (--max-instances)",
				     x->conf.max_instances);
	RN_TRY(rn_expand_count(x, from->nplaces, from->at, from->end));
	*a = *from;
	RN_TRY(resolve(x, env, m->scope, &a->ref, &t));
	RN_TRY(make_places(m, env, a));
	RN_TRY(make_emb(m, env, a, element, &emb));
	if (emb)
		RN_TRY(note_emb(m, a, emb));
	RN_TRY(push(x, &m->inst->atoms, m->inst->natoms, &m->cap_atoms, sizeof *to));
	to = &m->inst->atoms[m->inst->natoms++];
	*to = (struct rn_inst_atom){
		.atom = a, .kind = t.kind, .rule = t.rule, .stage = t.stage, .source = t.source,
		.emb = emb, .zero = a->has_emb && !a->emb, .set = m->set ? env : NULL, .env = m->env,
	};
	return 0;
}

static int make_element(void *arg, const struct rn_env *env, uint32_t i)
{
	struct making *m = arg;

	/* The head of a union may hold the variables of the guard. */
	for (const struct rn_env *v = env; !i && m->inst->by_union && v != m->env; v = v->up)
		RN_TRY(push_name(m->x, &m->names.vars, &m->names.nvars, &m->cap_vars, v->name));
	return make_atom(m, env, &m->set->atom, i + 1);
}

static int make_set(struct making *m, const struct rn_item *it)
{
	struct rn_expander *x = m->x;
	uint32_t n;

	if (it->kind == RN_ITEM_UNION && m->rule->nitems > 1 && !m->rule->by_union)
		return rn_diag_error(x->d, it->at, it->end, "a Union(Set(...)) stands alone in its body");
	if (it->kind == RN_ITEM_JOIN && m->rule->by_union)
		return rn_diag_error(x->d, it->at, it->end, "a Join(Set(...)) cannot stand in a union");
	if (it->kind == RN_ITEM_UNION)
		m->inst->by_union = true;
	if (m->names.nsplat && it->kind == RN_ITEM_JOIN)
		return rn_diag_error(x->d, it->at, it->end, "a body holds one Join(Set(...))");
	if (it->nguards && x->d->lenient)
		return RN_EDATA; /* rows that no run asks for */
	m->set = it;
	RN_TRY(rn_expand_set(x, m->env, m->scope, it, make_element, m, &n));
	m->set = NULL;
	if (!n)
		return rn_diag_error(x->d, it->at, it->end, "this set is empty");
	/* A set of one element is that element: its embedding is called z, too. */
	if (n == 1 && it->kind == RN_ITEM_JOIN && it->atom.emb)
		return push_name(x, &m->names.embs, &m->names.nembs, &m->cap_embs, it->atom.emb);
	return 0;
}

static int make_items(struct making *m)
{
	const struct rn_rule *r = m->rule;

	for (uint32_t i = 0; i < r->nitems; i++) {
		const struct rn_item *it = &r->items[i];

		if (it->kind == RN_ITEM_ATOM)
			RN_TRY(make_atom(m, m->env, &it->atom, 0));
		else if (it->kind != RN_ITEM_COMPARE)
			RN_TRY(make_set(m, it));
	}
	return 0;
}

static int make_conds(struct making *m)
{
	const struct rn_rule *r = m->rule;
	struct rn_rule_inst *inst = m->inst;

	for (uint32_t i = 0; i < r->nitems; i++) {
		const struct rn_item *it = &r->items[i];

		for (uint32_t k = 0; it->kind == RN_ITEM_COMPARE && k < it->nconds; k++) {
			RN_TRY(push(m->x, &inst->conds, inst->nconds, &m->cap_conds, sizeof *inst->conds));
			RN_TRY(rn_expand_content(m->x, &m->names, it->conds[k], &inst->conds[inst->nconds]));
			inst->nconds++;
		}
	}
	return 0;
}

/* Does an atom of the union call its embedding so? */
static bool names_embedding(const struct rn_rule *r, const char *name)
{
	for (uint32_t i = 0; i < r->nitems; i++) {
		const struct rn_item *it = &r->items[i];

		if (it->kind != RN_ITEM_COMPARE && it->atom.emb && !strcmp(it->atom.emb, name))
			return true;
	}
	return false;
}

/* The name in a union's head that is an atom's embedding: it is no constant and no transform here,
 * whatever else is called so.  As rn_find_free. */
static int find_embedding(struct making *m, const struct rn_term *t, const char **name)
{
	uint32_t from = t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_NAME ? 1 : 0;

	RN_TRY(rn_expand_work(m->x, 1 + m->rule->nitems / ITEMS_STEP, t->at, t->end));
	if (t->kind == RN_T_MAP || t->kind == RN_T_BRACKET || (t->kind == RN_T_NAME && t->templated))
		return 0;
	if (t->kind == RN_T_NAME && names_embedding(m->rule, t->str)) {
		if (*name && strcmp(*name, t->str))
			return rn_diag_error(m->x->d, t->at, t->end, "the embedding of a union has one variable, "
					     "and here are '%s' and '%s'", *name, t->str);
		*name = t->str;
	}
	for (uint32_t i = from; i < t->n; i++)
		if (t->kind != RN_T_CALL || !t->key || !t->key[i])
			RN_TRY(find_embedding(m, t->arg[i], name));
	return 0;
}

/* What the head of a union calls the stacked embedding, behind the semicolon or in brackets. */
static int name_stacked(struct making *m, const char **name)
{
	const struct rn_rule *r = m->rule;

	for (int pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i <= r->nattrs; i++) {
			const struct rn_term *t = i < r->nattrs ? r->attrs[i].term : r->emb;

			if (i < r->nattrs && (t->kind != RN_T_BRACKET || t->n != 1))
				continue;
			t = i < r->nattrs ? t->arg[0] : t;
			if (t && !pass)
				RN_TRY(find_embedding(m, t, name));
			else if (t)
				RN_TRY(rn_find_free(m->x, m->env, m->scope, t, "the embedding of a union", name));
		}
	return 0;
}

static int make_head(struct making *m)
{
	const struct rn_rule *r = m->rule;
	struct rn_rule_inst *inst = m->inst;
	struct rn_expander *x = m->x;
	uint32_t end = r->name_at + (uint32_t)strlen(r->name);
	const char *free = NULL;

	if (r->nattrs > RN_EXPAND_COLUMNS)
		return rn_diag_error(x->d, r->name_at, end, "a head has at most %d columns, and this one %u",
				     RN_EXPAND_COLUMNS, r->nattrs);
	RN_TRY(rn_expand_count(x, r->nattrs, r->name_at, end));
	inst->nattrs = r->nattrs;
	inst->attrs = rn_expand_alloc(x, r->nattrs * sizeof *inst->attrs);
	if (!inst->attrs)
		return rn_expand_nomem(x);
	/* The stacked embedding of a union is what the head calls it. */
	if (inst->by_union) {
		RN_TRY(name_stacked(m, &free));
		if (free)
			RN_TRY(push_name(x, &m->names.embs, &m->names.nembs, &m->cap_embs, free));
		for (uint32_t i = 0; i < inst->natoms; i++)
			inst->atoms[i].emb = inst->atoms[i].atom->has_emb ? free : NULL;
	}
	for (uint32_t i = 0; i < r->nattrs; i++) {
		inst->attrs[i] = r->attrs[i];
		if (r->attrs[i].term->kind != RN_T_BRACKET) {
			RN_TRY(rn_expand_content(x, &m->names, r->attrs[i].term, &inst->attrs[i].term));
			continue;
		}
		if (r->attrs[i].term->n != 1)
			return rn_diag_error(x->d, r->attrs[i].at, r->attrs[i].term->end,
					     "one embedding at a time becomes a column");
		RN_TRY(rn_expand_emb(x, &m->names, r->attrs[i].term->arg[0], &inst->attrs[i].term));
	}
	m->names.root = r->emb;
	return r->emb ? rn_expand_emb(x, &m->names, r->emb, &inst->emb) : 0;
}

/* ---- instances --------------------------------------------------------------------------------------- */

static int make(struct rn_expander *x, const struct rn_stmt *s, const struct rn_rule *rule,
		const struct rn_scope *scope, const struct rn_term *const *args, const char *name,
		const char *prefix, struct rn_rule_inst **out)
{
	struct making m = { .x = x, .rule = rule, .scope = scope };

	m.inst = rn_expand_alloc(x, sizeof *m.inst);
	if (!m.inst)
		return rn_expand_nomem(x);
	m.env = scope ? scope->env : NULL;
	if (s)
		RN_TRY(rn_bind_params(x, m.env, s, args, &m.env));
	*m.inst = (struct rn_rule_inst){ .name = name, .prefix = prefix, .rule = rule,
					 .by_union = rule->by_union, .frames = x->d->top };
	RN_TRY(make_items(&m));
	if (!m.inst->natoms)
		return rn_diag_error(x->d, rule->at, 0, "a body holds at least one relation");
	m.names.env = m.env;
	m.names.scope = scope;
	RN_TRY(make_conds(&m));
	RN_TRY(make_head(&m));
	*out = m.inst;
	return 0;
}

static int add_inst(struct rn_expander *x, struct rn_rule_inst *inst, uint32_t *out)
{
	RN_TRY(rn_grow(&x->insts, &x->cap, (size_t)x->n + 1, sizeof *x->insts, "instances", x->e));
	*out = x->n;
	x->insts[x->n++] = inst;
	return 0;
}

static int instantiate(struct rn_expander *x, const struct rn_stmt *s, const struct rn_scope *scope,
		       const struct rn_term *const *args, uint32_t nargs, uint32_t at,
		       uint32_t *out)
{
	struct rn_str key = RN_STR_INIT;
	struct rn_rule_inst *inst;
	uint32_t *slot, end = at + (uint32_t)strlen(s->name), number = 0;
	bool fresh, framed = nargs || scope;
	const struct rn_stmt *above = x->under_way;
	struct rn_diag_frame *frame;
	char *name;
	int rc;

	if (scope)
		rn_str_addf(&key, "%s.", scope->prefix);
	rn_str_add(&key, s->name);
	if (!scope && rn_rule_of_source(s) && x->conf.is_source(x->conf.arg, s->name))
		rn_str_add(&key, "/2"); /* the source has the name itself */
	rn_targs_print(args, nargs, &key);
	name = key.failed ? NULL : rn_expand_printf(x, "%s", key.s);
	rn_str_fini(&key);
	if (!name)
		return rn_expand_nomem(x);
	RN_TRY(rn_memo_get(x, name, IN_PROGRESS, &slot, &fresh));
	if (!fresh && *slot == IN_PROGRESS)
		return rn_diag_error(x->d, at, end, "a cycle of rules: '%s' rests on itself", name);
	if (!fresh && *slot == FAILED)
		return RN_EUSAGE;
	*out = *slot;
	if (!fresh)
		return 0;
	if (x->depth >= MAX_RULE_DEPTH || (framed && x->d->top && x->d->top->depth >= RN_EXPAND_DEPTH))
		return rn_diag_error(x->d, at, end, "'%s': more than %d %s rest on each other", name,
				     framed ? RN_EXPAND_DEPTH : MAX_RULE_DEPTH,
				     framed ? "templates" : "rules");
	x->depth++;
	frame = rn_expand_alloc(x, sizeof *frame);
	if (!frame)
		return rn_expand_nomem(x);
	if (framed)
		rn_diag_push(x->d, frame, name, at);
	x->under_way = s;
	rc = make(x, s, s->rule, scope, args, name, name, &inst);
	x->under_way = above;
	if (framed)
		x->d->top = frame->up;
	x->depth--;
	if (!rc)
		rc = add_inst(x, inst, &number);
	if (!rn_memo_get(x, name, 0, &slot, &fresh)) /* the table may have moved */
		*slot = rc ? FAILED : number;
	*out = number;
	return rc;
}

/* A rule, or a ?pred, that is called so: its relation has the name. */
static bool is_relation(const struct rn_expander *x, const char *name)
{
	const struct rn_named *others;
	uint32_t n;

	if (rn_named_find(x->rules, x->nrules, name, &n))
		return true;
	others = rn_named_find(x->others, x->nothers, name, &n);
	for (uint32_t i = 0; i < n; i++)
		if (others[i].stmt->kind == RN_S_PRED)
			return true;
	return false;
}

/* A run's own relation: "Loss", and "Loss/2" for the next run that calls it so, whose modules are
 * those of "Loss" all the same. */
static int run_name(struct rn_expander *x, const char *name, const char **out)
{
	uint32_t *slot, n;
	bool fresh;

	for (n = is_relation(x, name) ? 2 : 1;; n++) {
		*out = n > 1 ? rn_expand_printf(x, "%s/%u", name, n) : name;
		if (!*out)
			return rn_expand_nomem(x);
		RN_TRY(rn_memo_get(x, *out, FAILED, &slot, &fresh));
		if (fresh)
			return 0;
	}
}

int rn_expand_run(struct rn_expander *x, const struct rn_stmt *s, uint32_t *out, struct rn_err *e)
{
	struct rn_rule_inst *inst;
	const char *name;
	int rc;

	x->e = e;
	if (s->kind == RN_S_PRED) {
		rc = instantiate(x, s, NULL, NULL, 0, s->name_at, out);
	} else {
		rc = run_name(x, s->name, &name);
		if (!rc)
			rc = make(x, NULL, s->rule, NULL, NULL, name, s->name, &inst);
		if (!rc)
			rc = add_inst(x, inst, out);
	}
	x->e = NULL;
	return rc;
}

int rn_expand_rule(struct rn_expander *x, const struct rn_stmt *s, uint32_t *out,
		   struct rn_err *e)
{
	int rc;

	x->e = e;
	rc = instantiate(x, s, NULL, NULL, 0, s->name_at, out);
	x->e = NULL;
	return rc;
}

int rn_expand_ref(struct rn_expander *x, const struct rn_ref *r, struct rn_inst_atom *out,
		  struct rn_err *e)
{
	struct rn_target t;
	int rc;

	x->e = e;
	rc = resolve(x, NULL, NULL, r, &t);
	x->e = NULL;
	if (!rc)
		*out = (struct rn_inst_atom){ .kind = t.kind, .rule = t.rule, .stage = t.stage,
					      .source = t.source };
	return rc;
}

int rn_expand_constant(struct rn_expander *x, const struct rn_term *t, struct rn_term **out,
		       struct rn_err *e)
{
	const struct rn_term *c = NULL;
	struct rn_term *list;
	int rc = 0;

	if (t->kind != RN_T_BRACKET && t->kind != RN_T_MAP) {
		x->e = e;
		rc = rn_constant(x, NULL, NULL, t, false, &c);
		x->e = NULL;
		*out = (struct rn_term *)(uintptr_t)c;
		return rc;
	}
	list = rn_arena_alloc(&x->arena, sizeof *list, e);
	if (!list)
		return RN_ENOMEM;
	*list = *t;
	list->arg = rn_arena_alloc(&x->arena, (t->n ? t->n : 1) * sizeof *list->arg, e);
	if (!list->arg)
		return RN_ENOMEM;
	for (uint32_t i = 0; i < t->n; i++)
		RN_TRY(rn_expand_constant(x, t->arg[i], &list->arg[i], e));
	*out = list;
	return 0;
}
