/* SPDX-License-Identifier: Apache-2.0
 *
 * What an expansion looks things up in: definitions by name, the best of several
 * templates, instances by name.
 */
#include "expander.h"

#include "../base/num.h"
#include "../base/opt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- the arena ---------------------------------------------------------------------------- */

void *rn_expand_alloc(struct rn_expander *x, size_t size)
{
	return rn_arena_alloc(&x->arena, size ? size : 1, x->e);
}

char *rn_expand_printf(struct rn_expander *x, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = rn_arena_vprintf(&x->arena, x->e, fmt, ap);
	va_end(ap);
	return s;
}

int rn_expand_nomem(const struct rn_expander *x)
{
	return x->e && x->e->code ? x->e->code : RN_ENOMEM;
}

const struct rn_env *rn_env_bind(struct rn_expander *x, const struct rn_env *up, const char *name,
				 const struct rn_term *value)
{
	struct rn_env *env = rn_expand_alloc(x, sizeof *env);

	if (env)
		*env = (struct rn_env){ up, name, value };
	return env;
}

const struct rn_term *rn_env_find(const struct rn_env *env, const char *name)
{
	for (; env; env = env->up)
		if (!strcmp(env->name, name))
			return env->value;
	return NULL;
}

void rn_targs_print(const struct rn_term *const *args, uint32_t n, struct rn_str *out)
{
	char buf[RN_NUM_MAX];
	double v;

	for (uint32_t i = 0; i < n; i++) {
		const struct rn_term *t = args[i];

		rn_str_add(out, i ? "," : "<");
		if (t->kind == RN_T_NUM && t->num >= 0 && t->num < 10 && t->num == (int)t->num)
			rn_str_addc(out, (char)('0' + (int)t->num)); /* most are */
		else if (t->kind == RN_T_NUM)
			rn_str_addn(out, buf, rn_float64_format(t->num, buf));
		else if (t->kind == RN_T_BOOL)
			rn_str_add(out, t->num ? "True" : "False");
		else if (t->kind == RN_T_NONE)
			rn_str_add(out, "None");
		else if (rn_float64_parse(t->str, strlen(t->str), &v)) /* "1" is not 1 */
			rn_str_addf(out, "'%s'", t->str);
		else
			rn_str_add(out, t->str);
	}
	rn_str_add(out, n ? ">" : "");
}

/* ---- instances by name ---------------------------------------------------------------------- */

struct rn_memo {
	size_t used, size; /* size: a power of two, or 0 */
	struct rn_memo_slot {
		const char *name; /* NULL: free */
		uint32_t value;
	} *slots;
};

static struct rn_memo_slot *memo_slot(const struct rn_memo *m, const char *name)
{
	size_t i = XXH3_64bits(name, strlen(name)) & (m->size - 1);

	while (m->slots[i].name && strcmp(m->slots[i].name, name))
		i = (i + 1) & (m->size - 1);
	return &m->slots[i];
}

int rn_memo_get(struct rn_expander *x, const char *name, uint32_t value, uint32_t **out,
		bool *fresh)
{
	struct rn_memo *m = x->memo, new;
	struct rn_memo_slot *s;

	if (2 * (m->used + 1) > m->size) {
		new = (struct rn_memo){ .used = m->used, .size = m->size ? 2 * m->size : 256 };
		RN_TRY(rn_calloc(new.size, sizeof *new.slots, "instances", &new.slots, x->e));
		for (size_t i = 0; i < m->size; i++)
			if (m->slots[i].name)
				*memo_slot(&new, m->slots[i].name) = m->slots[i];
		free(m->slots);
		*m = new;
	}
	s = memo_slot(m, name);
	*fresh = !s->name;
	if (*fresh) {
		*s = (struct rn_memo_slot){ name, value };
		m->used++;
	}
	*out = &s->value;
	return 0;
}

/* ---- tables of definitions --------------------------------------------------------------------- */

void rn_stmt_tparams(const struct rn_stmt *s, struct rn_term ***params, uint32_t *n)
{
	*params = s->rule ? s->rule->tparams : s->tparams;
	*n = s->rule ? s->rule->ntparams : s->ntparams;
}

static int by_name(const void *a, const void *b)
{
	const struct rn_named *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

const struct rn_named *rn_named_find(const struct rn_named *all, uint32_t n, const char *name,
				     uint32_t *count)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (strcmp(all[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (hi = lo; hi < n && !strcmp(all[hi].name, name); hi++)
		;
	*count = hi - lo;
	return hi > lo ? all + lo : NULL;
}

/* ---- all of a program ---------------------------------------------------------------------- */

/* Sorted by name, with a group for each. */
static int sort_named(struct rn_expander *x, struct rn_named *all, uint32_t n, bool among_rules)
{
	if (n)
		qsort(all, n, sizeof *all, by_name);
	for (uint32_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && !strcmp(all[k].name, all[i].name); k++)
			;
		RN_TRY(rn_group_new(x, all + i, k - i, among_rules));
	}
	return 0;
}

/* The definitions and rules of a function's body. */
static int build_local(struct rn_expander *x, const struct rn_stmt *fn, const struct rn_local **out)
{
	struct rn_local *l = rn_expand_alloc(x, sizeof *l);

	if (!l)
		return rn_expand_nomem(x);
	l->rules = rn_expand_alloc(x, fn->nbody * sizeof *l->rules);
	l->defs = rn_expand_alloc(x, fn->nbody * sizeof *l->defs);
	if (!l->rules || !l->defs)
		return rn_expand_nomem(x);
	for (uint32_t i = 0; i < fn->nbody; i++) {
		const struct rn_stmt *s = &fn->body[i];
		struct rn_named named = { .name = s->name, .order = i, .stmt = s };

		if (s->kind == RN_S_RULE)
			l->rules[l->nrules++] = named;
		else if (s->kind == RN_S_DEFINE)
			l->defs[l->ndefs++] = named;
	}
	*out = l;
	RN_TRY(sort_named(x, l->rules, l->nrules, false));
	return sort_named(x, l->defs, l->ndefs, false);
}

static int add_statement(struct rn_expander *x, const struct rn_stmt *s, uint32_t order)
{
	struct rn_named named = { .name = s->name, .order = order, .stmt = s };

	switch (s->kind) {
	case RN_S_DEFINE:
		x->defs[x->ndefs++] = named;
		return 0;
	case RN_S_FUNCTION:
		RN_TRY(build_local(x, s, &named.local));
		x->funcs[x->nfuncs++] = named;
		if (s->nparams)
			return 0;
		/* fall through */
	case RN_S_RULE:
		x->rules[x->nrules++] = named;
		return 0;
	case RN_S_PRED:
		if (!s->rule)
			return 0;
		/* fall through */
	case RN_S_SOURCE:
	case RN_S_STAGE:
		x->others[x->nothers++] = named;
		return 0;
	default:
		return 0;
	}
}

static int build_tables(struct rn_expander *x)
{
	const struct rn_program *p = x->conf.program;
	struct rn_named **tables[] = { &x->rules, &x->defs, &x->funcs, &x->others };

	for (size_t i = 0; i < 4; i++) {
		*tables[i] = rn_expand_alloc(x, (size_t)p->nstmts * sizeof **tables[i]);
		if (!*tables[i])
			return rn_expand_nomem(x);
	}
	for (uint32_t i = 0; i < p->nstmts; i++)
		RN_TRY(add_statement(x, &p->stmts[i], i));
	RN_TRY(sort_named(x, x->rules, x->nrules, false));
	RN_TRY(sort_named(x, x->defs, x->ndefs, false));
	RN_TRY(sort_named(x, x->funcs, x->nfuncs, true));
	return sort_named(x, x->others, x->nothers, false);
}

/* ---- what is defined twice ------------------------------------------------------------------- */

static int check_groups(struct rn_expander *x, const struct rn_named *all, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int rc = i && all[i].group == all[i - 1].group ? 0 : rn_group_ready(x, all[i].group);

		if (rc && rc != RN_EUSAGE)
			return rc;
	}
	return 0;
}

/* R(x) :- R(x), S(x) . over a source of that name? */
bool rn_rule_of_source(const struct rn_stmt *s)
{
	for (uint32_t i = 0; s->kind == RN_S_RULE && !s->rule->ntparams && i < s->rule->nitems; i++) {
		const struct rn_item *it = &s->rule->items[i];

		if (it->kind != RN_ITEM_COMPARE && !strcmp(it->atom.ref.name, s->name) &&
		    !it->atom.ref.ntargs && !it->atom.ref.call)
			return true;
	}
	return false;
}

/* A source, a stage or a ?pred that is called as a rule is. */
static void check_names(struct rn_expander *x)
{
	for (uint32_t i = 0; i < x->nothers; i++) {
		const struct rn_stmt *a = x->others[i].stmt;
		const struct rn_named *rules;
		struct rn_term **params;
		uint32_t n, k;

		rules = rn_named_find(x->rules, x->nrules, x->others[i].name, &n);
		for (uint32_t r = 0; r < n; r++) {
			const struct rn_stmt *b = rules[r].stmt;

			rn_stmt_tparams(b, &params, &k);
			if (k || (a->kind == RN_S_SOURCE && rn_rule_of_source(b)))
				continue;
			rn_tell_twice(x, a->at < b->at ? a : b, a->at < b->at ? b : a);
		}
	}
}

static int check_twice(struct rn_expander *x)
{
	RN_TRY(check_groups(x, x->rules, x->nrules));
	RN_TRY(check_groups(x, x->defs, x->ndefs));
	RN_TRY(check_groups(x, x->funcs, x->nfuncs));
	RN_TRY(check_groups(x, x->others, x->nothers));
	for (uint32_t i = 0; i < x->nfuncs; i++) {
		RN_TRY(check_groups(x, x->funcs[i].local->rules, x->funcs[i].local->nrules));
		RN_TRY(check_groups(x, x->funcs[i].local->defs, x->funcs[i].local->ndefs));
	}
	check_names(x);
	return 0;
}

/* --set NAME=VALUE puts a literal in the place of a constant's value. */
static int set_constant(struct rn_expander *x, const char *text)
{
	const char *eq = strchr(text, '=');
	const struct rn_named *def;
	struct rn_term *t;
	struct rn_stmt *s;
	char *name;
	uint32_t n;

	if (!eq || eq == text)
		return rn_err_set(x->e, RN_EUSAGE, "--set wants NAME=VALUE, not '%s'", text);
	name = rn_expand_printf(x, "%.*s", (int)(eq - text), text);
	t = rn_expand_alloc(x, sizeof *t);
	s = rn_expand_alloc(x, sizeof *s);
	if (!name || !t || !s)
		return rn_expand_nomem(x);
	def = rn_named_find(x->defs, x->ndefs, name, &n);
	if (def && def->stmt->ntparams)
		return rn_err_set(x->e, RN_EUSAGE, "--set %s: '%s' is a template in %s, and --set is for constants without "
				  "arguments", text, name, x->d->file);
	if (!def || n > 1) {
		struct rn_near near;
		char hint[128];

		rn_near_init(&near, name);
		for (uint32_t i = 0; i < x->ndefs; i++)
			if (!x->defs[i].stmt->ntparams)
				rn_near_add(&near, x->defs[i].name);
		return rn_err_set(x->e, RN_EUSAGE, "--set %s: %s has no constant '%s'%s", text, x->d->file, name,
				  rn_near_hint(&near, hint, sizeof hint));
	}
	*s = *def->stmt;
	*t = (struct rn_term){ .kind = RN_T_NUM, .at = s->value->at, .end = s->value->end };
	t->str = eq + 1;
	if (!strcmp(eq + 1, "True") || !strcmp(eq + 1, "true"))
		*t = (struct rn_term){ .kind = RN_T_BOOL, .num = 1, .at = s->at, .end = s->end };
	else if (!strcmp(eq + 1, "False") || !strcmp(eq + 1, "false"))
		*t = (struct rn_term){ .kind = RN_T_BOOL, .at = s->at, .end = s->end };
	else if (!rn_float64_parse(eq + 1, strlen(eq + 1), &t->num) || t->num - t->num != 0)
		t->kind = RN_T_STR;
	else
		t->is_float = strpbrk(eq + 1, ".eE");
	s->value = t;
	((struct rn_named *)(uintptr_t)def)->stmt = s;
	return 0;
}

int rn_expander_new(const struct rn_expand_conf *c, struct rn_expander **out, struct rn_err *e)
{
	struct rn_expander *x;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *x, "an expansion", &x, e));
	x->conf = *c;
	x->d = c->diag;
	x->e = e;
	if (!x->conf.max_instances)
		x->conf.max_instances = 100000;
	RN_GOTO(fail, rn_calloc(1, sizeof *x->memo, "instances", &x->memo, e));
	RN_GOTO(fail, build_tables(x));
	for (size_t i = 0; i < c->nset; i++)
		RN_GOTO(fail, set_constant(x, c->set[i]));
	RN_GOTO(fail, check_twice(x));
	x->e = NULL;
	*out = x;
	return 0;
fail:
	rn_expander_free(x);
	return rc;
}

void rn_expander_free(struct rn_expander *x)
{
	if (!x)
		return;
	if (x->memo)
		free(x->memo->slots);
	free(x->memo);
	free(x->insts);
	free(x->values);
	rn_arena_fini(&x->arena);
	free(x);
}
