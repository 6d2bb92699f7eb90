/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of several definitions of a name fits template arguments best.
 *
 * Definitions whose literals stand in the same places, and which repeat their parameters alike,
 * have one shape; those of a shape are found by the hash of their literals.  So what a match costs
 * is the number of shapes, few as a rule, and not that of the definitions.  Where there are many
 * shapes the matches are kept, too.
 */
#include "expander.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	MAX_TARGS = 64,
	MANY_SHAPES = 4,     /* from here on matches are kept */
	SHAPES_A_STEP = 8,   /* that are looked at for one step of the expansion */
};

/* <a, 1, a>: same[] = 0, 1, 0 and lit[] = NULL, 1, NULL. */
struct rn_pattern {
	uint32_t n;
	const struct rn_term **lit; /* by place: the literal; NULL: a parameter */
	uint32_t *same;             /* by place: the first place of that parameter */
};

struct shape {
	const struct rn_pattern *like; /* of its first definition */
	size_t cap;                    /* a power of two */
	uint32_t *slots;               /* definition + 1 by the hash of its literals; 0: free */
};

struct rn_group {
	const struct rn_named *defs; /* in the order of the program */
	uint32_t n, number;
	bool ready, failed;          /* patterns are made; what is wrong with one was told */
	bool among_rules;            /* what functions without relations are told as */
	struct rn_pattern *patterns; /* by definition */
	uint32_t nshapes;
	struct shape *shapes;
};

/* ---- patterns ------------------------------------------------------------------------------ */

static int make_pattern(struct rn_expander *x, const struct rn_stmt *s, struct rn_pattern *p)
{
	struct rn_term **params;

	rn_stmt_tparams(s, &params, &p->n);
	p->lit = rn_expand_alloc(x, p->n * sizeof *p->lit);
	p->same = rn_expand_alloc(x, p->n * sizeof *p->same);
	if (!p->lit || !p->same)
		return rn_expand_nomem(x);
	if (p->n > MAX_TARGS)
		return rn_diag_error(x->d, s->name_at, s->name_at + (uint32_t)strlen(s->name),
				     "more than %d template parameters", MAX_TARGS);
	for (uint32_t i = 0; i < p->n; i++) {
		p->same[i] = i;
		if (params[i]->kind != RN_T_NAME) {
			RN_TRY(rn_constant(x, NULL, NULL, params[i], false, &p->lit[i]));
			continue;
		}
		for (uint32_t k = i; k-- > 0;)
			if (params[k]->kind == RN_T_NAME && !strcmp(params[k]->str, params[i]->str))
				p->same[i] = k;
	}
	return 0;
}

static bool same_shape(const struct rn_pattern *a, const struct rn_pattern *b)
{
	for (uint32_t i = 0; a->n == b->n && i < a->n; i++)
		if (!a->lit[i] != !b->lit[i] || a->same[i] != b->same[i])
			return false;
	return a->n == b->n;
}

/* Does everything that fits a fit b? */
static bool within(const struct rn_pattern *a, const struct rn_pattern *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		uint32_t k = b->same[i];

		if (b->lit[i] && (!a->lit[i] || !rn_literal_equal(a->lit[i], b->lit[i])))
			return false;
		if (k == i || a->same[i] == a->same[k])
			continue;
		if (!a->lit[i] || !a->lit[k] || !rn_literal_equal(a->lit[i], a->lit[k]))
			return false;
	}
	return true;
}

static uint64_t hash_places(const struct rn_pattern *p, const struct rn_term *const *values)
{
	uint64_t h = p->n;

	for (uint32_t i = 0; i < p->n; i++) {
		const struct rn_term *v = values[i];
		double num = v && v->kind != RN_T_STR ? v->num + 0.0 : 0;

		if (!p->lit[i])
			continue;
		h = XXH3_64bits_withSeed(&num, sizeof num, h + v->kind);
		if (v->kind == RN_T_STR)
			h = XXH3_64bits_withSeed(v->str, strlen(v->str), h);
	}
	return h;
}

/* ---- groups -------------------------------------------------------------------------------- */

int rn_group_new(struct rn_expander *x, struct rn_named *defs, uint32_t n, bool among_rules)
{
	struct rn_group *g = rn_expand_alloc(x, sizeof *g);

	if (!g)
		return rn_expand_nomem(x);
	*g = (struct rn_group){ .defs = defs, .n = n, .number = x->ngroups++,
				.among_rules = among_rules };
	for (uint32_t i = 0; i < n; i++)
		defs[i].group = g;
	return 0;
}

/* The slot of a definition of this shape with these literals, or a free one. */
static uint32_t *find_slot(const struct rn_group *g, const struct shape *s,
			   const struct rn_term *const *values)
{
	size_t i = hash_places(s->like, values) & (s->cap - 1);

	for (;; i = (i + 1) & (s->cap - 1)) {
		const struct rn_pattern *p = s->slots[i] ? &g->patterns[s->slots[i] - 1] : NULL;
		bool equal = true;

		for (uint32_t k = 0; p && equal && k < p->n; k++)
			equal = !p->lit[k] || rn_literal_equal(p->lit[k], values[k]);
		if (equal)
			return &s->slots[i];
	}
}

void rn_tell_twice(struct rn_expander *x, const struct rn_stmt *first, const struct rn_stmt *s)
{
	uint32_t line, col;

	rn_diag_place(x->d, first->name_at, &line, &col);
	rn_diag_error(x->d, s->name_at, s->name_at + (uint32_t)strlen(s->name),
		      "'%s' is defined twice; the first time in line %u", s->name, line);
}

/* Functions without relations are among the rules, too. */
static bool is_told(const struct rn_stmt *a, const struct rn_stmt *b, bool among_rules)
{
	return among_rules && a->kind == RN_S_FUNCTION && b->kind == RN_S_FUNCTION &&
	       !a->nparams && !b->nparams;
}

static void add_shape(struct rn_expander *x, struct rn_group *g, uint32_t *shape_of, uint32_t i)
{
	uint32_t k = 0;

	while (k < g->nshapes && !same_shape(g->shapes[k].like, &g->patterns[i]))
		k++;
	shape_of[i] = k;
	x->work += k / SHAPES_A_STEP;
	if (k == g->nshapes)
		g->shapes[g->nshapes++].like = &g->patterns[i];
	g->shapes[k].cap++; /* definitions: make_shapes turns that into slots */
}

static int make_shapes(struct rn_expander *x, struct rn_group *g)
{
	uint32_t *shape_of = rn_expand_alloc(x, g->n * sizeof *shape_of), *slot;

	g->shapes = rn_expand_alloc(x, g->n * sizeof *g->shapes);
	if (!g->shapes || !shape_of)
		return rn_expand_nomem(x);
	for (uint32_t i = 0; i < g->n; i++)
		add_shape(x, g, shape_of, i);
	for (uint32_t k = 0; k < g->nshapes; k++) {
		struct shape *s = &g->shapes[k];
		size_t cap = 2;

		while (cap < 2 * s->cap)
			cap *= 2;
		s->cap = cap;
		s->slots = rn_expand_alloc(x, cap * sizeof *s->slots);
		if (!s->slots)
			return rn_expand_nomem(x);
	}
	for (uint32_t i = 0; i < g->n; i++) {
		slot = find_slot(g, &g->shapes[shape_of[i]], g->patterns[i].lit);
		if (!*slot)
			*slot = i + 1;
		else if (!is_told(g->defs[*slot - 1].stmt, g->defs[i].stmt, g->among_rules))
			rn_tell_twice(x, g->defs[*slot - 1].stmt, g->defs[i].stmt);
	}
	return 0;
}

int rn_group_ready(struct rn_expander *x, struct rn_group *g)
{
	int rc = 0;

	if (g->ready)
		return g->failed ? RN_EUSAGE : 0;
	g->ready = true;
	g->failed = true; /* a pattern that asks for itself */
	g->patterns = rn_expand_alloc(x, g->n * sizeof *g->patterns);
	if (!g->patterns)
		return rn_expand_nomem(x);
	for (uint32_t i = 0; i < g->n && !rc; i++)
		rc = make_pattern(x, g->defs[i].stmt, &g->patterns[i]);
	if (!rc)
		rc = make_shapes(x, g);
	g->failed = rc;
	return rc;
}

/* ---- the best match ------------------------------------------------------------------------ */

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

/* The definition of a shape that fits, + 1; 0: none. */
static uint32_t fitting(const struct rn_group *g, const struct shape *s,
			const struct rn_term *const *args, uint32_t nargs)
{
	if (s->like->n != nargs)
		return 0;
	for (uint32_t i = 0; i < nargs; i++) /* the same parameter twice: equal arguments */
		if (s->like->same[i] != i && !rn_literal_equal(args[s->like->same[i]], args[i]))
			return 0;
	return *find_slot(g, s, args);
}

/* The most specific of the definitions that fit. */
static int match(struct rn_expander *x, const struct rn_group *g,
		 const struct rn_term *const *args, uint32_t nargs, uint32_t at, uint32_t end,
		 uint32_t *out)
{
	uint32_t best = 0, other;

	RN_TRY(rn_expand_work(x, 1 + g->nshapes / SHAPES_A_STEP, at, end));
	for (uint32_t k = 0; k < g->nshapes; k++) {
		other = fitting(g, &g->shapes[k], args, nargs);
		if (other && (!best || within(&g->patterns[other - 1], &g->patterns[best - 1])))
			best = other;
	}
	if (!best)
		return no_match(x, g->defs, g->n, args, nargs, at, end);
	for (uint32_t k = 0; k < g->nshapes; k++) { /* is it at least as specific as all others? */
		other = fitting(g, &g->shapes[k], args, nargs);
		if (other && !within(&g->patterns[best - 1], &g->patterns[other - 1]))
			return ambiguous(x, g->defs[best - 1].stmt, g->defs[other - 1].stmt, at, end);
	}
	*out = best;
	return 0;
}

/* Where the match for these arguments is kept. */
static int kept_match(struct rn_expander *x, const struct rn_group *g,
		      const struct rn_term *const *args, uint32_t nargs, uint32_t **out)
{
	struct rn_str key = RN_STR_INIT;
	bool fresh;
	char *name;

	rn_str_addf(&key, "\n%u", g->number); /* no instance is called so */
	rn_targs_print(args, nargs, &key);
	name = key.failed ? NULL : rn_expand_printf(x, "%s", key.s);
	rn_str_fini(&key);
	return name ? rn_memo_get(x, name, 0, out, &fresh) : rn_expand_nomem(x);
}

int rn_best_match(struct rn_expander *x, const struct rn_named *defs,
		  const struct rn_term *const *args, uint32_t nargs, uint32_t at, uint32_t end,
		  const struct rn_named **out)
{
	struct rn_group *g = defs->group;
	uint32_t *kept = NULL, best = 0;

	*out = NULL;
	if (nargs > MAX_TARGS)
		return rn_diag_error(x->d, at, end, "more than %d template arguments", MAX_TARGS);
	RN_TRY(rn_group_ready(x, g));
	if (g->nshapes > MANY_SHAPES) {
		RN_TRY(kept_match(x, g, args, nargs, &kept));
		best = *kept;
	}
	if (!best)
		RN_TRY(match(x, g, args, nargs, at, end, &best));
	if (kept)
		*kept = best;
	*out = &g->defs[best - 1];
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
