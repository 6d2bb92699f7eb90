/* SPDX-License-Identifier: Apache-2.0
 *
 * Variable elimination as nodes: joins of tables, and aggregates of them.
 *
 * Names: variable 3 is column v3, a column that only factors of atom 2 read is _c2_0,
 * multiplicities are _n5, and the part of table 7 in a join is t7.
 */
#include "eliminate.h"

#include "../../base/json.h"

#include <stdlib.h>
#include <string.h>

/* ---- nodes ---------------------------------------------------------------------------- */

static int set_printf(json_t *o, const char *key, struct rn_err *e, const char *fmt, ...)
	RN_PRINTF(4, 5);

static int set_printf(json_t *o, const char *key, struct rn_err *e, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return rn_err_nomem(e, 0, "a plan");
	rc = rn_json_set_text(o, key, text, e);
	free(text);
	return rc;
}

static int add_node(struct rn_elim *el, const char *op, json_t *opt, uint32_t in, uint32_t *out,
		    struct rn_err *e)
{
	struct rn_rewriting_in from = { in, NULL };

	return rn_rewriting_add(el->r, el->agg, op, opt, &from, 1, out, e);
}

/* An option that holds an object or a list; takes v. */
static int with(json_t *opt, const char *key, json_t *v, int rc, struct rn_err *e)
{
	if (rc)
		json_decref(v);
	return rc ? rc : rn_json_set(opt, key, v, e);
}

static int variable_name(json_t *o, uint32_t v, struct rn_err *e)
{
	char key[16];

	snprintf(key, sizeof key, "v%u", v);
	return rn_json_set_text(o, key, key, e);
}

/* ---- factors -------------------------------------------------------------------------- */

struct names {
	const struct rn_elim *el;
	const struct rn_schema *in; /* of the aggregate */
	bool sole;                  /* the parts are those of one atom, not of a join */
};

/* The column of the pattern, and the part, that a name means. */
static uint32_t find_col(const struct names *x, const char *name)
{
	size_t at = 0;

	return rn_schema_find(x->in, name, &at, NULL) ? 0 : x->el->p.cols[at];
}

static void print_name(void *arg, const char *name, bool col, struct rn_str *out)
{
	const struct names *x = arg;
	const struct rn_pattern *p = &x->el->p;
	size_t part = 0;
	uint32_t a = 0, c;

	if (col) {
		c = find_col(x, name);
		a = p->atom[c];
		if (p->var[c] != RN_NONE)
			rn_str_addf(out, "v%u", p->var[c]);
		else
			rn_str_addf(out, "_c%u_%u", a, c - p->atoms[a].first);
		return;
	}
	if (rn_schema_find_part(x->in, name, &part, NULL))
		return;
	while (part >= p->atoms[a].part + p->atoms[a].nparts)
		a++;
	if (!x->sole)
		rn_str_addf(out, "t%u", a);
	else if (p->atoms[a].nparts == 1)
		rn_str_add(out, "z");
	else
		rn_str_addf(out, "`%s`",
			    rn_rewriting_schema(x->el->r, p->atoms[a].node)
				    ->parts[part - p->atoms[a].part].name);
}

static struct names names_of(const struct rn_elim *el, bool sole)
{
	return (struct names){ el, rn_rewriting_schema(el->r, el->p.top), sole };
}

/* " * " and each factor that reads these atoms and no others; how many there are. */
static unsigned print_factors(const struct rn_elim *el, uint64_t atoms, bool sole,
			      struct rn_str *out)
{
	struct names x = names_of(el, sole);
	unsigned n = 0;

	for (size_t i = 0; el->term && i < el->term->n; i++) {
		const struct rn_efactor *f = &el->term->factors[i];

		if (f->origins & ~atoms)
			continue;
		rn_str_add(out, n++ ? " * " : "");
		rn_efactor_print(f, print_name, &x, out);
	}
	return n;
}

/* The columns of atom a that factors read and nobody else does. */
struct wanted {
	struct names x;
	uint32_t a;
	json_t *cols;
	int rc;
	struct rn_err *e;
};

/* A column of atom a, under a name of ours. */
static int add_col(const struct rn_elim *el, uint32_t a, uint32_t col, const char *key,
		   json_t *cols, struct rn_err *e)
{
	struct rn_str name = RN_STR_INIT, text = RN_STR_INIT;
	int rc;

	rn_schema_col_name(rn_rewriting_schema(el->r, el->p.atoms[a].node), col, &name);
	rc = rn_str_check(&name, e);
	rn_str_addf(&text, "`%s`", name.s);
	if (!rc)
		rc = rn_str_check(&text, e);
	if (!rc)
		rc = rn_json_set_text(cols, key, text.s, e);
	rn_str_fini(&name);
	rn_str_fini(&text);
	return rc;
}

static void want_col(void *arg, const char *name, bool col)
{
	struct wanted *w = arg;
	const struct rn_pattern *p = &w->x.el->p;
	uint32_t c = col ? find_col(&w->x, name) : 0;
	char key[32];

	if (!col || w->rc || p->atom[c] != w->a || p->var[c] != RN_NONE)
		return;
	snprintf(key, sizeof key, "_c%u_%u", w->a, c - p->atoms[w->a].first);
	w->rc = add_col(w->x.el, w->a, c - p->atoms[w->a].first, key, w->cols, w->e);
}

static int atom_cols(const struct rn_elim *el, uint32_t a, json_t *cols, struct rn_err *e)
{
	struct wanted w = { names_of(el, true), a, cols, 0, e };

	for (uint32_t v = 0; v < el->p.nvars; v++) {
		char key[16];

		if (!(el->p.atoms[a].vars >> v & 1))
			continue;
		snprintf(key, sizeof key, "v%u", v);
		RN_TRY(add_col(el, a, rn_pattern_column(&el->p, a, v), key, cols, e));
	}
	for (size_t i = 0; el->term && i < el->term->n; i++)
		rn_efactor_names(&el->term->factors[i], want_col, &w);
	return w.rc;
}

/* Do factors read a part of atom a? */
static void note_part(void *arg, const char *name, bool col)
{
	(void)name;
	*(bool *)arg |= !col;
}

static bool reads_part(const struct rn_elim *el, uint32_t a)
{
	bool any = false;

	for (size_t i = 0; el->term && i < el->term->n; i++)
		if (el->term->factors[i].origins >> a & 1)
			rn_efactor_names(&el->term->factors[i], note_part, &any);
	return any;
}

static bool has_factor(const struct rn_elim *el, uint32_t a)
{
	for (size_t i = 0; el->term && i < el->term->n; i++)
		if (el->term->factors[i].origins >> a & 1)
			return true;
	return false;
}

/* ---- tables --------------------------------------------------------------------------- */

static int project_atom(struct rn_elim *el, uint32_t a, bool parts, uint32_t *out, struct rn_err *e)
{
	json_t *opt, *cols;
	int rc;

	RN_TRY(rn_json_object(&opt, e));
	rc = rn_json_object(&cols, e);
	if (!rc)
		rc = with(opt, "cols", cols, atom_cols(el, a, cols, e), e);
	if (!rc && !parts)
		rc = rn_json_set(opt, "embedding", json_false(), e);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return add_node(el, "project", opt, el->p.atoms[a].node, out, e);
}

/* A map of node `in` by an expression; of "z", none. */
static int add_map(struct rn_elim *el, struct rn_str *text, uint32_t in, uint32_t *out,
		   struct rn_err *e)
{
	json_t *opt;
	int rc;

	*out = in;
	RN_TRY(rn_str_check(text, e));
	if (!strcmp(text->s, "z"))
		return 0;
	RN_TRY(rn_json_object(&opt, e));
	rc = rn_json_set_text(opt, "expr", text->s, e);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return add_node(el, "map", opt, in, out, e);
}

int rn_elim_atom(struct rn_elim *el, uint32_t a, struct rn_err *e)
{
	struct rn_elim_table *t = &el->tables[a];
	bool apart = el->apart >> a & 1;
	struct rn_str text = RN_STR_INIT;
	int rc;

	*t = (struct rn_elim_table){ .alive = true, .atoms = UINT64_C(1) << a, .node = RN_NONE,
				     .into = RN_NONE };
	rn_estimate_atom(&el->p, a, &t->est);
	t->unique = el->p.atoms[a].unique >= el->p.atoms[a].rows;
	t->emb = apart ? reads_part(el, a) : has_factor(el, a);
	t->varies = t->emb && rn_elim_varies(el, a);
	if (!el->build)
		return 0;
	RN_TRY(project_atom(el, a, reads_part(el, a), &t->node, e));
	if (!t->emb || apart)
		return 0;
	print_factors(el, t->atoms, true, &text);
	rc = add_map(el, &text, t->node, &t->node, e);
	rn_str_fini(&text);
	return rc;
}

static int join_two(struct rn_elim *el, const struct rn_elim_chain *c, uint32_t parts,
		    const char *left, uint32_t i, uint64_t on, uint32_t *out, struct rn_err *e)
{
	const struct rn_elim_table *t = &el->tables[c->tables[i]];
	char right[16];
	struct rn_rewriting_in in[2] = { { *out, parts == 1 ? left : "j" }, { t->node, right } };
	json_t *opt, *keys;
	int rc;

	snprintf(right, sizeof right, "t%u", c->tables[i]);
	RN_TRY(rn_json_object(&opt, e));
	rc = rn_json_object(&keys, e);
	if (!rc) {
		for (uint32_t v = 0; v < el->p.nvars && !rc; v++)
			if (on >> v & 1)
				rc = variable_name(keys, v, e);
		rc = with(opt, "on", keys, rc, e);
	}
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return rn_rewriting_add(el->r, el->agg, "join", opt, in, 2, out, e);
}

static int add_filter(struct rn_elim *el, const struct rn_pattern_test *t, uint32_t *node,
		      struct rn_err *e)
{
	json_t *opt;
	int rc;

	RN_TRY(rn_json_object(&opt, e));
	rc = set_printf(opt, "expr", e, "v%u %s v%u", t->a, t->op, t->b);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return add_node(el, "filter", opt, *node, node, e);
}

static int apply_tests(struct rn_elim *el, uint64_t vars, uint32_t *node, struct rn_err *e)
{
	for (uint32_t i = 0; i < el->p.ntests; i++) {
		const struct rn_pattern_test *t = &el->p.tests[i];

		if (el->tested >> i & 1 || !(vars >> t->a & 1) || !(vars >> t->b & 1))
			continue;
		el->tested |= UINT64_C(1) << i;
		if (el->build)
			RN_TRY(add_filter(el, t, node, e));
	}
	return 0;
}

int rn_elim_join(struct rn_elim *el, struct rn_elim_chain *c, struct rn_err *e)
{
	const struct rn_elim_table *t = &el->tables[c->tables[0]];
	unsigned parts = t->emb;
	char left[16] = "j";

	c->est = t->est;
	c->node = t->node;
	if (parts)
		snprintf(left, sizeof left, "t%u", c->tables[0]);
	RN_TRY(apply_tests(el, c->est.vars, &c->node, e));
	for (uint32_t i = 1; i < c->n; i++) {
		t = &el->tables[c->tables[i]];
		if (!(t->est.vars & c->est.vars)) {
			el->failed = true;
			return 0;
		}
		if (el->build)
			RN_TRY(join_two(el, c, parts, left, i, t->est.vars & c->est.vars,
					&c->node, e));
		if (t->emb && !parts++)
			snprintf(left, sizeof left, "t%u", c->tables[i]);
		rn_estimate_join(&c->est, &t->est);
		el->cost.rows += c->est.rows + RN_ELIM_STAGE;
		RN_TRY(apply_tests(el, c->est.vars, &c->node, e));
	}
	return 0;
}

/* ---- aggregates ------------------------------------------------------------------------ */

/* "sum(_n3 * _n5)", "count(*)": the multiplicities of the chain's rows. */
static int set_count(const struct rn_elim *el, const struct rn_elim_chain *c, json_t *cols,
		     const char *name, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	int rc;

	for (uint32_t i = 0; i < c->n; i++)
		if (el->tables[c->tables[i]].count)
			rn_str_addf(&text, "%s_n%u", text.len ? " * " : "sum(",
				    el->tables[c->tables[i]].count - 1);
	rn_str_add(&text, text.len ? ")" : "count(*)");
	rc = rn_str_check(&text, e);
	if (!rc)
		rc = rn_json_set_text(cols, name, text.s, e);
	rn_str_fini(&text);
	return rc;
}

/* "sum(0.5 * t1 * t4 * [_n3])": parts, factors of atoms that are kept apart, multiplicities of
 * tables without a part. */
static int set_sum(const struct rn_elim *el, const struct rn_elim_chain *c, double scale,
		   json_t *opt, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	uint64_t apart = 0;
	const char *sep = "";
	int rc;

	rn_str_add(&text, "sum(");
	if (scale != 1) {
		rn_str_addf(&text, "(%.17g)", scale);
		sep = " * ";
	}
	for (uint32_t i = 0; i < c->n; i++) {
		const struct rn_elim_table *t = &el->tables[c->tables[i]];

		if (t->atoms & el->apart && c->tables[i] < el->p.natoms) {
			apart |= t->atoms;
			continue;
		}
		if (!t->emb && !t->count)
			continue;
		rn_str_add(&text, sep);
		sep = " * ";
		if (!t->emb)
			rn_str_addf(&text, "[_n%u]", t->count - 1);
		else if (c->n == 1)
			rn_str_add(&text, "z");
		else
			rn_str_addf(&text, "t%u", c->tables[i]);
	}
	if (apart) {
		rn_str_add(&text, sep);
		print_factors(el, apart, false, &text);
	}
	rn_str_addc(&text, ')');
	rc = rn_str_check(&text, e);
	if (!rc)
		rc = rn_json_set_text(opt, "expr", text.s, e);
	rn_str_fini(&text);
	return rc;
}

/* How many factors a row of the chain has. */
static unsigned parts_of(const struct rn_elim *el, const struct rn_elim_chain *c)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < c->n; i++)
		n += el->tables[c->tables[i]].emb;
	return n;
}

static int group_options(struct rn_elim *el, const struct rn_elim_chain *c, uint64_t vars,
			 uint32_t count, json_t *opt, struct rn_err *e)
{
	json_t *by, *cols;
	int rc = 0;

	RN_TRY(rn_json_array(&by, e));
	for (uint32_t v = 0; v < el->p.nvars && !rc; v++) {
		char name[16];

		snprintf(name, sizeof name, "v%u", v);
		if (vars >> v & 1)
			rc = rn_json_append(by, json_string(name), e);
	}
	RN_TRY(with(opt, "by", by, rc, e));
	if (parts_of(el, c))
		RN_TRY(set_sum(el, c, 1, opt, e));
	if (count) {
		char name[16];

		snprintf(name, sizeof name, "_n%u", count - 1);
		RN_TRY(rn_json_object(&cols, e));
		RN_TRY(with(opt, "cols", cols, set_count(el, c, cols, name, e), e));
	}
	return 0;
}

/* A table for the chain's rows; the chain's tables are no more. */
static struct rn_elim_table *new_table(struct rn_elim *el, const struct rn_elim_chain *c)
{
	struct rn_elim_table *t = &el->tables[el->ntables];

	*t = (struct rn_elim_table){ .alive = true, .est = c->est, .node = RN_NONE,
				     .joined = c->est.rows, .parts = rn_elim_factors(el, c),
				     .into = RN_NONE };
	for (uint32_t i = 0; i < c->n; i++) {
		t->atoms |= el->tables[c->tables[i]].atoms;
		t->varies = t->varies || el->tables[c->tables[i]].varies;
		el->tables[c->tables[i]].alive = false;
		el->tables[c->tables[i]].into = el->ntables;
	}
	return t;
}

int rn_elim_group(struct rn_elim *el, const struct rn_elim_chain *c, uint64_t vars,
		  struct rn_err *e)
{
	struct rn_elim_table *t = new_table(el, c);
	json_t *opt;
	int rc;

	vars &= c->est.vars;
	t->emb = parts_of(el, c);
	t->count = !t->emb || el->counts ? el->ntables + 1 : 0;
	rn_estimate_group(&t->est, vars);
	t->unique = true;
	t->varies = t->emb; /* counts vary */
	el->cost.rows += c->est.rows * RN_ELIM_GROUP + RN_ELIM_STAGE;
	el->ntables++;
	el->ngroups++;
	if (!el->build)
		return 0;
	RN_TRY(rn_json_object(&opt, e));
	rc = group_options(el, c, vars, t->count, opt, e);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return add_node(el, "agg", opt, c->node, &t->node, e);
}

int rn_elim_map(struct rn_elim *el, const struct rn_elim_chain *c, bool apart, struct rn_err *e)
{
	uint32_t count = el->tables[c->tables[0]].count;
	struct rn_elim_table *t = new_table(el, c);
	struct rn_str text = RN_STR_INIT;
	int rc;

	t->emb = true;
	t->varies = t->varies || apart;
	t->count = count;
	t->unique = !apart && el->tables[c->tables[0]].unique;
	el->cost.rows += RN_ELIM_STAGE;
	el->ntables++;
	if (!el->build)
		return 0;
	if (apart)
		print_factors(el, t->atoms, false, &text);
	for (uint32_t i = 0; i < c->n && !apart; i++)
		rn_str_addf(&text, "%st%u", i ? " * " : "", c->tables[i]);
	rc = add_map(el, &text, c->node, &t->node, e);
	rn_str_fini(&text);
	return rc;
}

/* ---- the end ----------------------------------------------------------------------------- */

/* The columns under the names of the aggregate, and what its expressions read. */
static int final_cols(const struct rn_elim *el, const struct rn_elim_chain *c, json_t *cols,
		      struct rn_err *e)
{
	const json_t *by = rn_node_json(rn_rewriting_node(el->r, el->agg), "by");

	for (uint32_t i = 0; i < el->ngroup; i++)
		RN_TRY(set_printf(cols, json_string_value(json_array_get(by, i)), e, "v%u",
				  el->p.var[el->group[i]]));
	for (uint32_t i = 0; i < c->n; i++) {
		const struct rn_elim_table *t = &el->tables[c->tables[i]];
		char name[16];

		snprintf(name, sizeof name, "_n%u", t->count - 1);
		if (t->count)
			RN_TRY(rn_json_set_text(cols, name, name, e));
	}
	return 0;
}

static void keep_col(void *arg, const char *name, bool col)
{
	struct wanted *w = arg;
	const struct rn_pattern *p = &w->x.el->p;
	uint32_t c = col ? find_col(&w->x, name) : 0;
	char key[32];

	if (!col || w->rc || !(w->x.el->apart >> p->atom[c] & 1))
		return;
	if (p->var[c] != RN_NONE)
		snprintf(key, sizeof key, "v%u", p->var[c]);
	else
		snprintf(key, sizeof key, "_c%u_%u", p->atom[c], c - p->atoms[p->atom[c]].first);
	if (!json_object_get(w->cols, key))
		w->rc = rn_json_set_text(w->cols, key, key, w->e);
}

static int final_project(struct rn_elim *el, const struct rn_elim_chain *c, uint32_t *out,
			 struct rn_err *e)
{
	json_t *opt, *cols;
	struct wanted w;
	int rc;

	RN_TRY(rn_json_object(&opt, e));
	rc = rn_json_object(&cols, e);
	if (!rc) {
		w = (struct wanted){ names_of(el, false), 0, cols, 0, e };
		w.rc = final_cols(el, c, cols, e);
		for (size_t i = 0; el->term && i < el->term->n && !w.rc; i++)
			rn_efactor_names(&el->term->factors[i], keep_col, &w);
		if (!w.rc && !json_object_size(cols)) /* a projection has a column */
			w.rc = variable_name(cols, (uint32_t)__builtin_ctzll(c->est.vars), e);
		rc = with(opt, "cols", cols, w.rc, e);
	}
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return add_node(el, "project", opt, c->node, out, e);
}

/* The user's count columns, and ours. */
static int final_counts(const struct rn_elim *el, const struct rn_elim_chain *c, json_t *cols,
			struct rn_err *e)
{
	const json_t *wanted = rn_node_json(rn_rewriting_node(el->r, el->agg), "cols");
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)wanted, name, v)
		RN_TRY(set_count(el, c, cols, name, e));
	return el->how == RN_AGG_MEAN ? set_count(el, c, cols, "_n", e) : 0;
}

static int final_options(struct rn_elim *el, const struct rn_elim_chain *c, json_t *opt,
			 struct rn_err *e)
{
	const json_t *by = rn_node_json(rn_rewriting_node(el->r, el->agg), "by");
	json_t *cols;

	if (by)
		RN_TRY(rn_json_set(opt, "by", json_incref((json_t *)(uintptr_t)by), e));
	if (el->term)
		RN_TRY(set_sum(el, c, el->term->scale, opt, e));
	RN_TRY(rn_json_object(&cols, e));
	RN_TRY(with(opt, "cols", cols, final_counts(el, c, cols, e), e));
	if (!json_object_size(cols))
		json_object_del(opt, "cols");
	return 0;
}

int rn_elim_final(struct rn_elim *el, const struct rn_elim_chain *c, uint32_t *out,
		  struct rn_err *e)
{
	uint32_t in;
	json_t *opt;
	int rc;

	el->cost.rows += c->est.rows * RN_ELIM_GROUP;
	el->cost.flops += el->term ? rn_elim_flops(el, c) : 0;
	*out = RN_NONE;
	if (!el->build)
		return 0;
	RN_TRY(final_project(el, c, &in, e));
	RN_TRY(rn_json_object(&opt, e));
	rc = final_options(el, c, opt, e);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return add_node(el, "agg", opt, in, out, e);
}

/* The sum of the terms: their rows one after the other, grouped once more.  Each has all counts. */
static int add_terms(struct rn_elim *el, const uint32_t *results, size_t n, uint32_t *out,
		     struct rn_err *e)
{
	const struct rn_node *agg = rn_rewriting_node(el->r, results[0]);
	struct rn_rewriting_in in[RN_ETERMS_MAX];
	json_t *opt, *by, *cols = NULL, *v;
	const char *name;
	int rc;

	for (size_t i = 0; i < n; i++)
		in[i] = (struct rn_rewriting_in){ results[i], NULL };
	RN_TRY(rn_json_object(&opt, e));
	RN_TRY(rn_rewriting_add(el->r, el->agg, "union", opt, in, (uint32_t)n, out, e));
	RN_TRY(rn_json_object(&opt, e));
	rc = rn_json_set_text(opt, "expr", "sum(z)", e);
	agg = rn_rewriting_node(el->r, results[0]);
	by = (json_t *)(uintptr_t)rn_node_json(agg, "by");
	if (!rc && by)
		rc = rn_json_set(opt, "by", json_incref(by), e);
	if (!rc && rn_node_json(agg, "cols"))
		rc = rn_json_object(&cols, e);
	json_object_foreach((json_t *)(uintptr_t)rn_node_json(agg, "cols"), name, v)
		if (!rc)
			rc = set_printf(cols, name, e, "max(`%s`)", name);
	if (!rc && cols)
		rc = rn_json_set(opt, "cols", json_incref(cols), e);
	json_decref(cols);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return add_node(el, "agg", opt, *out, out, e);
}

/* The columns that the aggregate has, alone.  Without a group there is one row, whose counts
 * are 0 where nothing is counted. */
static int last_columns(struct rn_elim *el, uint32_t *out, struct rn_err *e)
{
	const struct rn_schema *want = rn_rewriting_schema(el->r, el->agg);
	json_t *opt, *cols;
	int rc;

	if (!want->ncols) /* a projection has a column */
		return 0;
	RN_TRY(rn_json_object(&opt, e));
	rc = rn_json_object(&cols, e);
	if (!rc) {
		for (size_t i = 0; i < want->ncols && !rc; i++)
			rc = set_printf(cols, want->cols[i].name, e,
					el->ngroup ? "`%s`" : "coalesce(`%s`, 0)",
					want->cols[i].name);
		rc = with(opt, "cols", cols, rc, e);
	}
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return add_node(el, "project", opt, *out, out, e);
}

/* The mean: the sum by the number of rows, which is then dropped. */
static int divide(struct rn_elim *el, uint32_t *out, struct rn_err *e)
{
	json_t *opt;
	int rc;

	RN_TRY(rn_json_object(&opt, e));
	rc = rn_json_set_text(opt, "expr", "z / clamp([_n], 1, 1e18)", e);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	RN_TRY(add_node(el, "map", opt, *out, out, e));
	return last_columns(el, out, e);
}

int rn_elim_combine(struct rn_elim *el, const uint32_t *results, size_t n, bool *done,
		    struct rn_err *e)
{
	uint32_t out = results[0];

	*done = false;
	for (size_t i = 1; i < n; i++)
		if (!rn_schema_equal(rn_rewriting_schema(el->r, out),
				     rn_rewriting_schema(el->r, results[i])))
			return 0; /* their embeddings differ in shape */
	if (n > 1)
		RN_TRY(add_terms(el, results, n, &out, e));
	if (el->how == RN_AGG_MEAN)
		RN_TRY(divide(el, &out, e));
	else if (!el->ngroup)
		RN_TRY(last_columns(el, &out, e));
	if (!rn_rewriting_same_schema(rn_rewriting_schema(el->r, el->agg),
				      rn_rewriting_schema(el->r, out)))
		return 0;
	*done = true;
	return rn_rewriting_become(el->r, el->agg, out, e);
}
