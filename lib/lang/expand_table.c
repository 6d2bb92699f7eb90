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

enum { MAX_TARGS = 64 };

/* ---- the arena ---------------------------------------------------------------------------- */

void *rn_expand_alloc(struct rn_expander *x, size_t size)
{
	return rn_arena_alloc(&x->arena, size ? size : 1, x->e);
}

char *rn_expand_printf(struct rn_expander *x, const char *fmt, ...)
{
	va_list ap, again;
	char *s = NULL;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0 && (s = rn_expand_alloc(x, (size_t)n + 1)))
		vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
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
		if (t->kind == RN_T_NUM)
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

int rn_named_local(struct rn_expander *x, const struct rn_stmt *fn, enum rn_stmt_kind kind,
		   const char *name, const struct rn_named **out, uint32_t *n)
{
	struct rn_named *mine;
	uint32_t count = 0;

	for (uint32_t i = 0; i < fn->nbody; i++)
		count += fn->body[i].kind == kind && !strcmp(fn->body[i].name, name);
	*n = 0;
	*out = mine = rn_expand_alloc(x, count * sizeof *mine);
	if (!mine)
		return rn_expand_nomem(x);
	for (uint32_t i = 0; i < fn->nbody; i++)
		if (fn->body[i].kind == kind && !strcmp(fn->body[i].name, name))
			mine[(*n)++] = (struct rn_named){ name, i, &fn->body[i] };
	return 0;
}

int rn_named_relations(struct rn_expander *x, const char *name, const struct rn_named **out,
		       uint32_t *n)
{
	const struct rn_named *funcs;
	struct rn_named *all;
	uint32_t nfuncs;

	*out = rn_named_find(x->rules, x->nrules, name, n);
	funcs = rn_named_find(x->funcs, x->nfuncs, name, &nfuncs);
	if (!nfuncs)
		return 0;
	all = rn_expand_alloc(x, ((size_t)*n + nfuncs) * sizeof *all);
	if (!all)
		return rn_expand_nomem(x);
	if (*n)
		memcpy(all, *out, *n * sizeof *all);
	for (uint32_t i = 0; i < nfuncs; i++)
		if (!funcs[i].stmt->nparams)
			all[(*n)++] = funcs[i];
	*out = *n ? all : NULL;
	return 0;
}

/* "H<_,1>": equal for definitions that no arguments can tell apart. */
static void print_pattern(const struct rn_stmt *s, struct rn_str *out)
{
	struct rn_term **params;
	uint32_t n;

	rn_stmt_tparams(s, &params, &n);
	rn_str_addf(out, "%s%s%s", s->kind == RN_S_DEFINE ? "=" : s->kind == RN_S_FUNCTION ? "def " : "",
		    s->name, n ? "<" : "");
	for (uint32_t i = 0; i < n; i++) {
		rn_str_add(out, i ? "," : "");
		if (params[i]->kind == RN_T_NAME)
			rn_str_add(out, "_");
		else
			rn_term_print(params[i], out);
	}
}

static int check_twice(struct rn_expander *x, const struct rn_stmt *s)
{
	struct rn_str key = RN_STR_INIT;
	uint32_t *before, line, col;
	bool fresh = true;
	char *name;
	int rc = 0;

	rn_str_add(&key, "\n"); /* no instance is called so */
	print_pattern(s, &key);
	name = key.failed ? NULL : rn_expand_printf(x, "%s", key.s);
	rn_str_fini(&key);
	if (!name)
		return rn_expand_nomem(x);
	rc = rn_memo_get(x, name, s->name_at, &before, &fresh);
	if (rc || fresh)
		return rc;
	rn_diag_place(x->d, *before, &line, &col);
	rn_diag_error(x->d, s->name_at, s->name_at + (uint32_t)strlen(s->name),
		      "'%s' is defined twice; the first time in line %u", s->name, line);
	return 0;
}

static int add_named(struct rn_expander *x, struct rn_named *all, uint32_t *n,
		     const struct rn_stmt *s, uint32_t order)
{
	all[(*n)++] = (struct rn_named){ s->name, order, s };
	return check_twice(x, s);
}

static int build_tables(struct rn_expander *x)
{
	const struct rn_program *p = x->conf.program;
	struct rn_named **tables[] = { &x->rules, &x->defs, &x->funcs, &x->others };
	uint32_t *counts[] = { &x->nrules, &x->ndefs, &x->nfuncs, &x->nothers }, k;

	for (size_t i = 0; i < 4; i++) {
		*tables[i] = rn_expand_alloc(x, (size_t)p->nstmts * sizeof **tables[i]);
		if (!*tables[i])
			return rn_expand_nomem(x);
	}
	for (uint32_t i = 0; i < p->nstmts; i++) {
		const struct rn_stmt *s = &p->stmts[i];

		if (s->kind == RN_S_FIT || s->kind == RN_S_VAL || s->kind == RN_S_EVAL ||
		    (s->kind == RN_S_PRED && !s->rule))
			continue;
		k = s->kind == RN_S_RULE ? 0 : s->kind == RN_S_DEFINE ? 1 : s->kind == RN_S_FUNCTION ? 2 : 3;
		RN_TRY(add_named(x, *tables[k], counts[k], s, i));
	}
	for (size_t i = 0; i < 4; i++)
		if (*counts[i])
			qsort(*tables[i], *counts[i], sizeof **tables[i], by_name);
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
	if (!def || n > 1 || def->stmt->ntparams) {
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
	rn_arena_fini(&x->arena);
	free(x);
}

/* ---- templates ----------------------------------------------------------------------------------- */

/* Do these arguments fit?  *literals: the parameters that are literals, as bits. */
static int fits(struct rn_expander *x, const struct rn_stmt *s, const struct rn_term *const *args,
		uint32_t nargs, bool *yes, uint64_t *literals)
{
	struct rn_term **params;
	uint32_t n;

	rn_stmt_tparams(s, &params, &n);
	*literals = 0;
	*yes = n == nargs;
	for (uint32_t i = 0; *yes && i < n; i++) {
		const struct rn_term *c;

		if (params[i]->kind == RN_T_NAME) {
			for (uint32_t k = 0; k < i; k++) /* the same parameter twice: equal arguments */
				if (params[k]->kind == RN_T_NAME && !strcmp(params[k]->str, params[i]->str))
					*yes = *yes && rn_literal_equal(args[k], args[i]);
			continue;
		}
		RN_TRY(rn_constant(x, NULL, NULL, params[i], false, &c));
		*yes = rn_literal_equal(c, args[i]);
		*literals |= 1ull << i;
	}
	return 0;
}

static int no_match(struct rn_expander *x, const struct rn_named *defs, uint32_t n,
		    const struct rn_term *const *args, uint32_t nargs, uint32_t at, uint32_t end)
{
	struct rn_str s = RN_STR_INIT;
	struct rn_term **params;
	uint32_t k;

	rn_stmt_tparams(defs->stmt, &params, &k);
	rn_targs_print(args, nargs, &s);
	if (n == 1 && k != nargs)
		rn_diag_error(x->d, at, end, "'%s' takes %u template argument%s, not %u", defs->name, k,
			      k == 1 ? "" : "s", nargs);
	else
		rn_diag_error(x->d, at, end, "no definition of '%s' fits %s%s", defs->name, defs->name, s.s);
	rn_str_fini(&s);
	return RN_EUSAGE;
}

/* No arguments tell them apart: that was an error already. */
static bool same_pattern(const struct rn_stmt *a, const struct rn_stmt *b)
{
	struct rn_term **pa, **pb;
	uint32_t na, nb;

	rn_stmt_tparams(a, &pa, &na);
	rn_stmt_tparams(b, &pb, &nb);
	for (uint32_t i = 0; na == nb && i < na; i++)
		if ((pa[i]->kind == RN_T_NAME) != (pb[i]->kind == RN_T_NAME) ||
		    (pa[i]->kind != RN_T_NAME && !rn_literal_equal(pa[i], pb[i])))
			return false;
	return na == nb;
}

static int ambiguous(struct rn_expander *x, const struct rn_stmt *a, const struct rn_stmt *b,
		     uint32_t at, uint32_t end)
{
	uint32_t line_a, line_b, col;

	rn_diag_place(x->d, a->name_at, &line_a, &col);
	rn_diag_place(x->d, b->name_at, &line_b, &col);
	return rn_diag_error(x->d, at, end,
			     "this is ambiguous: the definitions of '%s' in lines %u and %u fit equally well",
			     a->name, line_a, line_b);
}

int rn_best_match(struct rn_expander *x, const struct rn_named *defs, uint32_t n,
		  const struct rn_term *const *args, uint32_t nargs, uint32_t at, uint32_t end,
		  const struct rn_named **out)
{
	uint64_t best = 0, mask;
	bool yes;

	*out = NULL;
	if (nargs > MAX_TARGS)
		return rn_diag_error(x->d, at, end, "more than %d template arguments", MAX_TARGS);
	for (uint32_t i = 0; i < n; i++) {
		RN_TRY(fits(x, defs[i].stmt, args, nargs, &yes, &mask));
		if (yes && (!*out || (mask & best) == best)) {
			*out = &defs[i];
			best = mask;
		}
	}
	if (!*out)
		return no_match(x, defs, n, args, nargs, at, end);
	for (uint32_t i = 0; i < n; i++) { /* is it at least as specific as all others? */
		RN_TRY(fits(x, defs[i].stmt, args, nargs, &yes, &mask));
		if (yes && &defs[i] != *out && ((mask & best) != mask || mask == best) &&
		    !same_pattern(defs[i].stmt, (*out)->stmt))
			return ambiguous(x, (*out)->stmt, defs[i].stmt, at, end);
	}
	return 0;
}

int rn_bind_params(struct rn_expander *x, const struct rn_env *up, const struct rn_stmt *def,
		   const struct rn_term *const *args, const struct rn_env **out)
{
	struct rn_term **params;
	uint32_t n;

	rn_stmt_tparams(def, &params, &n);
	*out = up;
	for (uint32_t i = 0; i < n; i++) {
		if (params[i]->kind != RN_T_NAME)
			continue;
		*out = rn_env_bind(x, *out, params[i]->str, args[i]);
		if (!*out)
			return rn_expand_nomem(x);
	}
	return 0;
}

