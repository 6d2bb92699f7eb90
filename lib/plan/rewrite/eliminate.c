/* SPDX-License-Identifier: Apache-2.0
 *
 * eliminate: a sum of products over the rows of a join, grouped, without those rows.
 *
 *   sum(a*b*c*d) by u of Edge(u,v), Edge(v,w), Edge(w,x), Edge(x,u), M(u;a), M(v;b), M(w;c), M(x;d)
 *
 * A factor belongs to the atom that it reads.  To eliminate a variable, the atoms (and what
 * is left of earlier ones) that have it are joined and grouped by their other variables,
 * and the products of their factors are summed: what was summed has one row where there
 * were many.  An atom without a factor counts by its multiplicity, so bags stay bags; each
 * term of a sum of products is eliminated for itself; a mean is a sum by a count.
 *
 * Groups come in order of first appearance in the join, whose rows are lexicographic by
 * the atoms' row numbers.  Hence the first atoms, as many as have the grouping columns,
 * are not eliminated: the last join begins with them, row by row, and has the groups in
 * that very order.
 *
 * The order is greedy: always the variable whose join is estimated cheapest, from the exact
 * numbers of rows and distinct values of the atoms.  Where the whole is estimated dearer
 * than the join of all atoms, the aggregate stays as it is.
 */
#include "eliminate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Flops to be saved, below which a plan keeps its stages and its bits: 10 ms of a training. */
enum { LEAST_GAIN = 20000000 };

/* ---- is it one? -------------------------------------------------------------------------- */

static bool is_count(const char *text)
{
	char plain[16];
	size_t n = 0;

	for (; *text && n + 1 < sizeof plain; text++)
		if (*text != ' ')
			plain[n++] = *text;
	plain[n] = '\0';
	return !*text && !strcasecmp(plain, "count(*)");
}

/* Are names of ours free? */
static bool is_free(const char *name)
{
	return strncmp(name, "_n", 2) && strncmp(name, "_c", 2) && !strchr(name, '`');
}

/* sum or mean, with counts of rows at most: --keys and other aggregates stay as they are. */
static bool is_candidate(const struct rn_rewriting *r, uint32_t i)
{
	const struct rn_node *n = rn_rewriting_node(r, i);
	const struct rn_schema *s = rn_rewriting_schema(r, i);
	const char *name;
	json_t *v;

	if (strcmp(n->op->name, "agg") || n->nin != 1 || n->learns || r->facts[i].made ||
	    r->facts[n->in[0].node].users > 1)
		return false;
	if (!r->facts[i].deferred && rn_node_string(n, "expr"))
		return false; /* what is computed before training keeps every bit */
	json_object_foreach((json_t *)(uintptr_t)rn_node_json(n, "cols"), name, v)
		if (!is_count(json_string_value(v)) || !is_free(name))
			return false;
	for (size_t k = 0; k < s->ncols; k++)
		if (s->cols[k].qual || !is_free(s->cols[k].name))
			return false;
	for (size_t k = 0; k < s->nparts; k++)
		if (s->parts[k].sparse)
			return false;
	return true;
}

/* ---- the expression ---------------------------------------------------------------------- */

struct origin {
	const struct rn_elim *el;
	const struct rn_schema *in;
};

static int origin_of(void *arg, const char *name, bool col)
{
	const struct origin *o = arg;
	const struct rn_pattern *p = &o->el->p;
	size_t at;
	uint32_t a = 0;

	if (col)
		return rn_schema_find(o->in, name, &at, NULL) ? -1 : (int)p->atom[p->cols[at]];
	if (rn_schema_find_part(o->in, name, &at, NULL) || o->in->parts[at].sparse)
		return -1;
	while (at >= p->atoms[a].part + p->atoms[a].nparts)
		a++;
	return (int)a;
}

static int read_expr(struct rn_elim *el, bool *ok, struct rn_err *e)
{
	const char *text = rn_node_string(rn_rewriting_node(el->r, el->agg), "expr");
	struct origin o = { el, rn_rewriting_schema(el->r, el->p.top) };

	if (!text)
		return 0;
	RN_TRY(rn_eexpr_parse(text, &el->x, e));
	el->how = rn_eexpr_take_agg(el->x);
	*ok = el->how == RN_AGG_SUM || el->how == RN_AGG_MEAN;
	return *ok ? rn_eexpr_terms(el->x, origin_of, &o, &el->terms, ok, e) : 0;
}

/* ---- groups and roots --------------------------------------------------------------------- */

/* The columns of --by; false: two of them are one variable. */
static bool find_groups(struct rn_elim *el, uint32_t *group)
{
	const json_t *by = rn_node_json(rn_rewriting_node(el->r, el->agg), "by");
	const struct rn_schema *in = rn_rewriting_schema(el->r, el->p.top);
	size_t at;

	el->group = group;
	for (size_t i = 0; i < json_array_size(by); i++) {
		if (el->ngroup == RN_PATTERN_VARS ||
		    rn_schema_find(in, json_string_value(json_array_get(by, i)), &at, NULL))
			return false;
		for (uint32_t k = 0; k < el->ngroup; k++)
			if (el->p.of[group[k]] == el->p.of[el->p.cols[at]])
				return false;
		group[el->ngroup++] = el->p.cols[at];
	}
	return true;
}

/* The first atoms that have all grouping columns. */
static void find_roots(struct rn_elim *el)
{
	const struct rn_pattern *p = &el->p;
	uint64_t group = 0;
	uint32_t a = 0;

	for (uint32_t i = 0; i < el->ngroup; i++)
		group |= UINT64_C(1) << p->var[el->group[i]];
	el->roots = el->rootvars = 0;
	do {
		el->roots |= UINT64_C(1) << a;
		el->rootvars |= p->atoms[a++].vars;
	} while (a < p->natoms && group & ~el->rootvars);
}

/* The factor reads several atoms, which are to be joined before: extend `set` to atoms that
 * hang together. */
static bool connect(const struct rn_elim *el, uint64_t *set)
{
	const struct rn_pattern *p = &el->p;

	for (;;) {
		uint64_t in = *set & -*set, vars, best = 0;

		for (uint64_t before = 0; before != in;) {
			before = in;
			vars = 0;
			for (uint32_t a = 0; a < p->natoms; a++)
				vars |= in >> a & 1 ? p->atoms[a].vars : 0;
			for (uint32_t a = 0; a < p->natoms; a++)
				if (*set >> a & 1 && p->atoms[a].vars & vars)
					in |= UINT64_C(1) << a;
		}
		if (in == *set)
			return true;
		for (uint32_t a = 0; a < p->natoms && !best; a++)
			if (!(*set >> a & 1) && p->atoms[a].vars & vars)
				for (uint32_t b = 0; b < p->natoms; b++)
					if ((*set & ~in) >> b & 1 &&
					    p->atoms[a].vars & p->atoms[b].vars)
						best = UINT64_C(1) << a;
		if (!best)
			return false;
		*set |= best;
	}
}

/* Sets of atoms that are joined before their factors are computed: at most one set for each atom.
 * Those that meet the roots become roots.  sets[] has room for all atoms. */
static unsigned find_sets(struct rn_elim *el, uint64_t *sets)
{
	unsigned n = 0;

	el->apart = 0;
	for (size_t i = 0; el->term && i < el->term->n; i++) {
		uint64_t set = el->term->factors[i].origins;

		if (!(set & (set - 1)))
			continue;
		el->failed = el->failed || !connect(el, &set);
		for (unsigned k = 0; k < n;) {
			if (!(sets[k] & set)) {
				k++;
				continue;
			}
			set |= sets[k];
			sets[k] = sets[--n];
		}
		sets[n++] = set;
		el->apart |= set;
	}
	for (unsigned k = 0; k < n;) {
		if (!(sets[k] & el->roots)) {
			k++;
			continue;
		}
		el->roots |= sets[k];
		for (uint32_t a = 0; a < el->p.natoms; a++)
			el->rootvars |= sets[k] >> a & 1 ? el->p.atoms[a].vars : 0;
		sets[k] = sets[--n];
	}
	for (uint32_t a = 0; a < el->p.natoms; a++)
		el->failed = el->failed || (el->apart >> a & 1 && el->p.atoms[a].nparts > 1);
	return n;
}

/* ---- the order --------------------------------------------------------------------------- */

/* Variables that something else than the tables of `but` still needs. */
static uint64_t needed(const struct rn_elim *el, const struct rn_elim_chain *but)
{
	uint64_t vars = el->rootvars;

	for (uint32_t k = 0; k < el->ntables; k++) {
		bool other = el->tables[k].alive;

		for (uint32_t i = 0; i < but->n; i++)
			other = other && but->tables[i] != k;
		vars |= other ? el->tables[k].est.vars : 0;
	}
	for (uint32_t i = 0; i < el->p.ntests; i++)
		if (!(el->tested >> i & 1))
			vars |= UINT64_C(1) << el->p.tests[i].a | UINT64_C(1) << el->p.tests[i].b;
	return vars;
}

/* Add to the chain what shares a variable with it and makes the fewest rows; false: nothing
 * is left. */
static bool add_best(const struct rn_elim *el, struct rn_elim_chain *c, const uint32_t *list,
		     uint32_t n, struct rn_estimate *est)
{
	struct rn_estimate best = { 0 };
	uint32_t at = RN_NONE;

	for (uint32_t i = 0; i < n; i++) {
		struct rn_estimate x = *est;
		bool in = false;

		for (uint32_t k = 0; k < c->n; k++)
			in = in || c->tables[k] == list[i];
		if (in || !(el->tables[list[i]].est.vars & x.vars))
			continue;
		rn_estimate_join(&x, &el->tables[list[i]].est);
		if (at != RN_NONE && x.rows >= best.rows)
			continue;
		at = list[i];
		best = x;
	}
	if (at == RN_NONE)
		return false;
	c->tables[c->n++] = at;
	*est = best;
	return true;
}

/* The tables that have variable v, in the order in which they are joined. */
static void bucket_of(const struct rn_elim *el, uint32_t v, struct rn_elim_chain *c)
{
	uint32_t list[RN_ELIM_TABLES], n = 0;
	struct rn_estimate est;

	c->n = 0;
	for (uint32_t k = 0; k < el->ntables; k++) {
		if (!el->tables[k].alive || !(el->tables[k].est.vars >> v & 1))
			continue;
		list[n++] = k;
		if (!c->n || el->tables[k].est.rows < el->tables[c->tables[0]].est.rows)
			c->tables[0] = k;
		c->n = 1;
	}
	if (!c->n)
		return;
	est = el->tables[c->tables[0]].est;
	while (add_best(el, c, list, n, &est))
		;
}

/* Rows that eliminating v makes; infinite where a test on v reads what its bucket lacks. */
static double bucket_cost(const struct rn_elim *el, const struct rn_elim_chain *c, uint32_t v)
{
	struct rn_estimate est = el->tables[c->tables[0]].est;
	double cost = est.rows;

	for (uint32_t i = 1; i < c->n; i++) {
		rn_estimate_join(&est, &el->tables[c->tables[i]].est);
		cost += est.rows;
	}
	for (uint32_t i = 0; i < el->p.ntests; i++) {
		const struct rn_pattern_test *t = &el->p.tests[i];

		if (!(el->tested >> i & 1) && (t->a == v || t->b == v) &&
		    !(est.vars >> t->a & est.vars >> t->b & 1))
			return INFINITY;
	}
	rn_estimate_group(&est, needed(el, c));
	return est.vars ? cost + est.rows : INFINITY;
}

static void say_variable(struct rn_elim *el, uint32_t v)
{
	const struct rn_pattern *p = &el->p;
	uint32_t c = 0;

	while (p->var[c] != v)
		c++;
	const struct rn_pattern_atom *a = &p->atoms[p->atom[c]];

	rn_str_addf(&el->order, "%s%s.%s", el->order.len ? ", " : "",
		    rn_rewriting_node(el->r, a->node)->name,
		    rn_rewriting_schema(el->r, a->node)->cols[c - a->first].name);
}

static void widen(struct rn_elim *el, uint64_t vars)
{
	unsigned n = (unsigned)__builtin_popcountll(vars);

	if (n > el->width + 1)
		el->width = n - 1;
}

/* Where one table of the chain has all variables of another, and this at most one row for each
 * of its rows, their parts are multiplied there, not on the rows of the join. */
static int absorb(struct rn_elim *el, struct rn_elim_chain *c, struct rn_err *e)
{
	for (uint32_t i = 0; i < c->n; i++)
		for (uint32_t k = 0; k < c->n; k++) {
			const struct rn_elim_table *x = &el->tables[c->tables[i]];
			const struct rn_elim_table *y = &el->tables[c->tables[k]];
			struct rn_elim_chain two = { .n = 2,
						     .tables = { c->tables[i], c->tables[k] } };

			if (i == k || !x->emb || !y->emb || y->count || !y->unique ||
			    y->est.vars & ~x->est.vars || c->n < 3)
				continue;
			RN_TRY(rn_elim_join(el, &two, e));
			RN_TRY(rn_elim_map(el, &two, false, e));
			c->tables[i] = el->ntables - 1;
			memmove(&c->tables[k], &c->tables[k + 1],
				(c->n - k - 1) * sizeof *c->tables);
			c->n--;
			i = 0;
			k = RN_NONE; /* again, from 0 */
		}
	return 0;
}

/* The variable whose bucket is cheapest, of those in `among`; *left: there are any. */
static double choose(const struct rn_elim *el, uint64_t among, struct rn_elim_chain *best,
		     uint32_t *var, bool *left)
{
	double least = INFINITY;
	struct rn_elim_chain c;

	for (uint32_t v = 0; v < el->p.nvars; v++) {
		double cost;

		if (!((among & ~el->rootvars) >> v & 1))
			continue;
		bucket_of(el, v, &c);
		if (!c.n)
			continue;
		*left = true;
		cost = bucket_cost(el, &c, v);
		if (cost < least) {
			least = cost;
			*best = c;
			*var = v;
		}
	}
	return least;
}

/* Eliminate all variables but the roots': the cheapest first, or `start` and then always one of the
 * table that came of the last one, as long as that has any. */
static int eliminate_all(struct rn_elim *el, uint32_t start, struct rn_err *e)
{
	uint64_t among = start == RN_NONE ? UINT64_MAX : UINT64_C(1) << start;

	for (;;) {
		struct rn_elim_chain best = { 0 };
		bool left = false;
		uint32_t var = 0;
		double cost = choose(el, among, &best, &var, &left);

		if (!isfinite(cost))
			cost = choose(el, UINT64_MAX, &best, &var, &left);
		if (!left)
			return 0;
		if (!isfinite(cost)) {
			el->failed = true;
			return 0;
		}
		RN_TRY(absorb(el, &best, e));
		RN_TRY(rn_elim_join(el, &best, e));
		widen(el, best.est.vars);
		if (el->build && el->term == (el->terms.n ? el->terms.terms : NULL))
			say_variable(el, var);
		RN_TRY(rn_elim_group(el, &best, needed(el, &best), e));
		among = start == RN_NONE ? UINT64_MAX : el->tables[el->ntables - 1].est.vars;
	}
}

/* Atoms as tables; those that must be joined before their factors are computed are, and those that
 * have many rows for the same values are grouped at once. */
static int make_tables(struct rn_elim *el, struct rn_err *e)
{
	uint64_t sets[RN_PATTERN_ATOMS];
	unsigned nsets = find_sets(el, sets);

	el->ntables = el->p.natoms;
	for (uint32_t a = 0; a < el->p.natoms && !el->failed; a++)
		RN_TRY(rn_elim_atom(el, a, e));
	for (unsigned k = 0; k < nsets && !el->failed; k++) {
		struct rn_elim_chain c = { .n = 1,
					   .tables = { (uint32_t)__builtin_ctzll(sets[k]) } };
		struct rn_estimate est = el->tables[c.tables[0]].est;
		uint32_t list[RN_PATTERN_ATOMS], n = 0;

		for (uint32_t a = 0; a < el->p.natoms; a++)
			if (sets[k] >> a & 1)
				list[n++] = a;
		while (add_best(el, &c, list, n, &est))
			;
		RN_TRY(rn_elim_join(el, &c, e));
		RN_TRY(rn_elim_map(el, &c, true, e));
	}
	for (uint32_t k = 0, n = el->ntables; k < n && !el->failed; k++) {
		struct rn_elim_chain c = { .n = 1, .tables = { k }, .node = el->tables[k].node,
					   .est = el->tables[k].est };

		if (!el->tables[k].alive || k >= el->p.natoms || el->roots >> k & 1 ||
		    (!el->r->always && c.est.rows < 1.5 * el->p.atoms[k].unique) ||
		    c.est.rows <= el->p.atoms[k].unique || !c.est.vars)
			continue;
		RN_TRY(rn_elim_group(el, &c, c.est.vars, e));
		el->tables[el->ntables - 1].est.rows = el->p.atoms[k].unique;
	}
	return 0;
}

/* The last join: the roots in order, then what is left. */
static int finish(struct rn_elim *el, uint32_t *out, struct rn_err *e)
{
	struct rn_elim_chain c = { 0 };
	uint32_t list[RN_ELIM_TABLES], n = 0, alive = 0;
	struct rn_estimate est;

	for (uint32_t k = 0; k < el->ntables; k++) {
		alive += el->tables[k].alive;
		if (el->tables[k].alive && k < el->p.natoms && el->roots >> k & 1)
			c.tables[c.n++] = k;
		else if (el->tables[k].alive)
			list[n++] = k;
	}
	est = el->tables[c.tables[0]].est;
	for (uint32_t i = 1; i < c.n; i++)
		rn_estimate_join(&est, &el->tables[c.tables[i]].est);
	while (add_best(el, &c, list, n, &est))
		;
	el->failed = el->failed || c.n < alive;
	if (el->failed)
		return 0;
	RN_TRY(rn_elim_join(el, &c, e));
	widen(el, c.est.vars);
	for (uint32_t i = 0; i < el->p.ntests; i++)
		el->failed = el->failed || !(el->tested >> i & 1);
	return el->failed ? 0 : rn_elim_final(el, &c, out, e);
}

static int eliminate_from(struct rn_elim *el, const struct rn_eterm *term, uint32_t start,
			  uint32_t *out, struct rn_err *e)
{
	el->term = term;
	el->tested = 0;
	el->failed = false;
	find_roots(el);
	RN_TRY(make_tables(el, e));
	if (!el->failed)
		RN_TRY(eliminate_all(el, start, e));
	return el->failed ? 0 : finish(el, out, e);
}

/* The best order that is found of one term: its start and its cost. */
static int plan_term(struct rn_elim *el, const struct rn_eterm *term, uint32_t *start,
		     struct rn_err *e)
{
	struct rn_elim_cost before = el->cost, least = { INFINITY, INFINITY };
	uint32_t none;

	el->build = false;
	find_roots(el);
	for (uint32_t v = 0; v <= el->p.nvars; v++) {
		uint32_t from = v < el->p.nvars ? v : RN_NONE;

		if (from != RN_NONE && el->rootvars >> v & 1)
			continue;
		el->cost = before;
		RN_TRY(eliminate_from(el, term, from, &none, e));
		if (el->failed || rn_elim_total(el->cost) >= rn_elim_total(least))
			continue;
		least = el->cost;
		*start = from;
	}
	el->cost = least;
	el->failed = !isfinite(least.rows);
	return 0;
}

/* NULL: there is no expression, and only rows are counted. */
static const struct rn_eterm *term(const struct rn_elim *el, size_t i)
{
	return el->x ? &el->terms.terms[i] : NULL;
}

static int plan_terms(struct rn_elim *el, size_t n, struct rn_err *e)
{
	for (size_t i = 0; i < n; i++) {
		RN_TRY(plan_term(el, term(el, i), &el->starts[i], e));
		if (el->failed)
			return 0;
	}
	return 0;
}

static int build_terms(struct rn_elim *el, size_t n, uint32_t *results, struct rn_err *e)
{
	el->build = true;
	el->ngroups = 0;
	el->width = 0;
	for (size_t i = 0; i < n; i++)
		RN_TRY(eliminate_from(el, term(el, i), el->starts[i], &results[i], e));
	return 0;
}

/* ---- does it pay? ------------------------------------------------------------------------- */

static void say_cost(const struct rn_elim *el, struct rn_elim_cost c, struct rn_str *out)
{
	rn_str_addf(out, "%.3g rows", c.rows);
	if (el->x)
		rn_str_addf(out, " and %.3g flops an epoch", c.flops);
}

/* "about 2.1e+06 rows and 4.5e+07 flops an epoch instead of 1.3e+07 rows and …" */
static int say_costs(const struct rn_elim *el, struct rn_elim_cost a, const char *instead,
		     struct rn_elim_cost b, struct rn_str *out, struct rn_err *e)
{
	rn_str_add(out, "about ");
	say_cost(el, a, out);
	rn_str_add(out, instead);
	say_cost(el, b, out);
	return rn_str_check(out, e);
}

/* Without a look at the data: is there anything to gain? */
static bool is_hopeful(const struct rn_elim *el)
{
	const struct rn_pattern *p = &el->p;

	for (uint32_t a = 0; a < p->natoms; a++) {
		const struct rn_schema *s = rn_rewriting_schema(el->r, p->atoms[a].node);
		bool unique = s->nkey;

		if (el->roots >> a & 1)
			continue;
		if (p->atoms[a].vars & ~el->rootvars)
			return true;
		for (size_t i = 0; i < s->nkey; i++)
			unique = unique && p->var[p->atoms[a].first + s->key[i]] != RN_NONE;
		if (!unique)
			return true;
	}
	return false;
}

/* Write the plan; the aggregate becomes the last of its nodes. */
static int apply(struct rn_elim *el, size_t nterms, struct rn_elim_cost enumerated, struct rn_err *e)
{
	uint32_t results[RN_ETERMS_MAX] = { 0 };
	struct rn_elim_cost eliminated = el->cost;
	struct rn_str text = RN_STR_INIT;
	bool done;
	int rc;

	RN_TRY(build_terms(el, nterms, results, e));
	if (!el->ngroups) /* the join would be the same one */
		return 0;
	RN_TRY(rn_elim_combine(el, results, nterms, &done, e));
	if (!done)
		return 0;
	rc = say_costs(el, eliminated, " instead of ", enumerated, &text, e);
	if (!rc)
		rn_rewriting_say(el->r, el->agg, "%u atoms, %zu term%s, order %s; width %u; %s",
				 el->p.natoms, nterms, nterms == 1 ? "" : "s",
				 el->order.len ? el->order.s : "(none)", el->width, text.s);
	rn_str_fini(&text);
	return rc;
}

static int rewrite(struct rn_elim *el, struct rn_err *e)
{
	size_t nterms = el->x ? el->terms.n : 1;
	struct rn_str text = RN_STR_INIT;
	struct rn_elim_cost enumerated;
	double gain;
	int rc;

	find_roots(el);
	if (!is_hopeful(el))
		return 0;
	RN_TRY(rn_pattern_measure(&el->p, el->r, e));
	RN_TRY(rn_elim_find_fixed(el, e));
	RN_TRY(plan_terms(el, nterms, e));
	if (el->failed) {
		rn_rewriting_say(el->r, el->agg,
				 "%u atoms: no order of elimination; the join is made",
				 el->p.natoms);
		return 0;
	}
	enumerated = rn_elim_enumeration(el);
	gain = rn_elim_total(enumerated) - rn_elim_total(el->cost);
	if (el->r->always || rn_elim_is_refused(el) || gain > LEAST_GAIN)
		return apply(el, nterms, enumerated, e);
	rc = say_costs(el, enumerated, "; eliminating variables would take ", el->cost, &text, e);
	if (!rc)
		rn_rewriting_say(el->r, el->agg, "%u atoms: the join is made, %s", el->p.natoms,
				 text.s);
	rn_str_fini(&text);
	return rc;
}

/* Which columns are variables beside those that are shared: the groups'. */
static int number(struct rn_elim *el, bool *ok, struct rn_err *e)
{
	bool *use;

	RN_TRY(rn_calloc(el->p.ncols, sizeof *use, "columns", &use, e));
	for (uint32_t i = 0; i < el->ngroup; i++)
		use[el->group[i]] = true;
	*ok = rn_pattern_number(&el->p, use);
	free(use);
	return 0;
}

static int try_node(struct rn_rewriting *r, uint32_t i, struct rn_elim *el, struct rn_err *e)
{
	uint32_t group[RN_PATTERN_VARS];
	bool ok;
	int rc;

	memset(el, 0, sizeof *el);
	el->r = r;
	el->agg = i;
	el->order = RN_STR_INIT;
	RN_TRY(rn_pattern_init(&el->p, r, rn_rewriting_node(r, i)->in[0].node, e));
	ok = !el->p.mixed && el->p.natoms > 1 && find_groups(el, group);
	if (ok)
		RN_GOTO(out, read_expr(el, &ok, e));
	if (ok)
		RN_GOTO(out, number(el, &ok, e));
	el->counts = json_object_size(rn_node_json(rn_rewriting_node(r, i), "cols")) ||
		     el->how == RN_AGG_MEAN;
	rc = ok ? rewrite(el, e) : 0;
out:
	rn_pattern_fini(&el->p);
	rn_eterms_fini(&el->terms);
	rn_eexpr_free(el->x);
	rn_str_fini(&el->order);
	return rc;
}

int rn_rewrite_eliminate(struct rn_rewriting *r, struct rn_err *e)
{
	uint32_t *order, n;
	struct rn_elim *el;
	int rc;

	if (r->ctx->strict) /* rows without a partner are counted in the joins as written */
		return 0;
	RN_TRY(rn_calloc(1, sizeof *el, "a rewrite", &el, e));
	rc = rn_rewriting_order(r, RN_NONE, &order, &n, e);
	if (rc) {
		free(el);
		return rc;
	}
	for (uint32_t k = 0; k < n && !rc; k++)
		if (is_candidate(r, order[k]))
			rc = try_node(r, order[k], el, e);
	free(order);
	free(el);
	return rc;
}
