/* SPDX-License-Identifier: Apache-2.0
 *
 * The body of a rule: atoms, joins, unions, conditions.
 */
#include "lowering.h"

#include "../base/json.h"
#include "../op/join_schema.h"

#include <stdlib.h>
#include <string.h>

/* ---- atoms --------------------------------------------------------------------------------- */

static bool is_any(const struct rn_term *t)
{
	return t->kind == RN_T_NAME && !strcmp(t->str, "_");
}

/* Where the heads of ?preds have a column that is decoded, the relation has it behind its others.
 * The column of the relation where place i of the atom is by its position; *decoded: it is that one. */
static size_t head_column(struct rn_lowering *l, const struct rn_inst_atom *a, uint32_t i,
			  bool *decoded)
{
	const struct rn_rule *r = a->kind == RN_REL_PRED ? rn_expander_inst(l->x, a->rule)->rule : NULL;
	size_t col = i;

	*decoded = false;
	for (uint32_t k = 0; r && k < r->nattrs; k++) {
		if (r->attrs[k].term->kind != RN_T_BRACKET)
			continue;
		*decoded = i == k;
		if (*decoded)
			return r->nattrs - 1;
		return i > k && i < r->nattrs ? col - 1 : col;
	}
	return col;
}

/* Does a place of the atom mean a column that `node`, the relation of a ?pred, does not have,
 * so that it may be what the ?pred decodes? */
static bool reads_decoded(struct rn_lowering *l, const struct rn_inst_atom *a, uint32_t node)
{
	const struct rn_schema *s = rn_lowering_schema(l, node);
	bool decoded;
	size_t col;

	for (uint32_t i = 0; i < a->atom->nplaces; i++) {
		const struct rn_place *p = &a->atom->places[i];

		if (is_any(p->term))
			continue;
		if (p->col ? rn_schema_find(s, p->col, &col, NULL) != 0 :
			     head_column(l, a, i, &decoded) >= s->ncols || decoded)
			return true;
	}
	return false;
}

/* Where in the atom's relation a place stands. */
static int place_column(struct rn_lowering *l, const struct rn_inst_atom *a, uint32_t node,
			uint32_t i, size_t *col)
{
	const struct rn_schema *s = rn_lowering_schema(l, node);
	const struct rn_place *p = &a->atom->places[i];
	struct rn_err mine = { 0 };
	bool decoded;

	*col = head_column(l, a, i, &decoded);
	if (p->col && rn_schema_find(s, p->col, col, &mine))
		return rn_diag_error(l->d, p->at, p->at + (uint32_t)strlen(p->col), "%s", mine.msg);
	if (*col < s->ncols || (decoded && is_any(p->term)))
		return 0;
	return rn_diag_error(l->d, a->atom->at, a->atom->end, "'%s' has %zu column%s, and here are %u places",
			     a->atom->ref.name, s->ncols, s->ncols == 1 ? "" : "s", a->atom->nplaces);
}

/* Constants and repeated variables of an atom as a condition at the end of out. */
static int atom_condition(struct rn_lowering *l, const struct rn_inst_atom *a, struct rn_view *v,
			  struct rn_str *out)
{
	const struct rn_schema *s = rn_lowering_schema(l, v->node);
	const struct rn_view none = { .node = v->node };
	size_t col;
	long twin;

	for (uint32_t i = 0; i < a->atom->nplaces; i++) {
		const struct rn_term *t = a->atom->places[i].term;

		RN_TRY(place_column(l, a, v->node, i, &col));
		if (is_any(t))
			continue;
		twin = t->kind == RN_T_NAME ? rn_view_var(v, t->str) : -1;
		if (t->kind == RN_T_NAME && twin < 0) {
			RN_TRY(rn_add_view_var(l, v, t->str, col));
			continue;
		}
		rn_str_add(out, out->len ? " and " : "");
		rn_text_column(s, col, out);
		if (t->kind == RN_T_NONE) {
			rn_str_add(out, " is null");
			continue;
		}
		rn_str_add(out, " = ");
		if (twin >= 0)
			rn_text_column(s, (size_t)twin, out);
		else
			RN_TRY(rn_text_content(l, &none, t, out));
	}
	return 0;
}

/* The relation of an atom with its constants selected. */
static int atom_view(struct rn_lowering *l, const struct rn_rule_inst *r,
		     const struct rn_inst_atom *a, struct rn_view *v)
{
	struct rn_str cond = RN_STR_INIT;
	const struct rn_schema *s;
	const char *name;
	int rc;

	*v = (struct rn_view){ 0 };
	RN_TRY(rn_lower_target(l, a, &v->node));
	if (a->kind == RN_REL_PRED && reads_decoded(l, a, v->node))
		RN_TRY(rn_lower_decoded(l, a, &v->node));
	rc = atom_condition(l, a, v, &cond);
	if (!rc && cond.len) {
		name = rn_stage_name(l, r, "filter");
		rc = !name || cond.failed ? rn_lowering_nomem(l)
					  : rn_text_node(l, r, "filter", "expr", cond.s, name, a->atom->at,
						      a->atom->end, NULL, NULL, v);
	}
	rn_str_fini(&cond);
	if (rc)
		return rc;
	s = rn_lowering_schema(l, v->node);
	if (s->nparts > 1)
		return rn_diag_error(l->d, a->atom->at, a->atom->end,
				     "'%s' has %zu embeddings, and a relation of a rule has one", a->atom->ref.name,
				     s->nparts);
	return a->emb && s->nparts ? rn_add_view_emb(l, v, a->emb, "z") : 0;
}

/* ---- joins ------------------------------------------------------------------------------------ */

/* A condition of the body. */
struct cond {
	uint32_t n;
	const char **names; /* of its variables */
	uint32_t bound;     /* so many of them, from the first on, are bound */
	bool waits;         /* and the next one is none of those that were seen */
	bool done;
};

/* A join under construction: which conditions are done, what inputs are called. */
struct joining {
	struct rn_lowering *l;
	const struct rn_rule_inst *r;
	struct cond *conds;
	uint32_t seen; /* variables of the view that the conditions know */
	unsigned step;
	bool optional; /* an optional atom was met: later conditions are filters */
};

static int join_on(struct joining *j, const struct rn_view *v, const struct rn_view *right,
		   json_t *on)
{
	struct rn_lowering *l = j->l;
	int rc = 0;

	for (uint32_t i = 0; i < right->nvars && !rc; i++) {
		struct rn_str a = RN_STR_INIT, b = RN_STR_INIT;
		long col = rn_view_var(v, right->vars[i].name);

		if (col < 0)
			continue;
		rn_schema_col_name(rn_lowering_schema(l, v->node), (size_t)col, &a);
		rn_schema_col_name(rn_lowering_schema(l, right->node), right->vars[i].col, &b);
		rc = a.failed || b.failed ? rn_lowering_nomem(l) : rn_set_option(l, on, a.s, json_string(b.s));
		rn_str_fini(&a);
		rn_str_fini(&b);
	}
	return rc;
}

/* Columns and parts of the joined relation under the rule's names. */
static int joined_view(struct joining *j, struct rn_view *v, const struct rn_view *right,
		       uint32_t node, const char *as_left, const char *as_right, bool filter)
{
	struct rn_lowering *l = j->l;
	size_t nleft = rn_lowering_schema(l, v->node)->ncols;
	uint32_t nvars = v->nvars;

	if (!filter) {
		for (uint32_t i = 0; i < right->nvars; i++) {
			size_t col = nleft + right->vars[i].col;

			if (rn_view_var(v, right->vars[i].name) >= 0)
				continue;
			for (uint32_t k = 0; k < right->nvars; k++) { /* key columns before it are dropped */
				bool key = false;

				for (uint32_t m = 0; m < nvars; m++)
					key = key || !strcmp(v->vars[m].name, right->vars[k].name);
				col -= key && right->vars[k].col < right->vars[i].col;
			}
			RN_TRY(rn_add_view_var(l, v, right->vars[i].name, col));
		}
		/* Of several parts each keeps its name. */
		if (as_left && v->nembs == 1 && rn_lowering_schema(l, v->node)->nparts == 1)
			v->embs[0].part = as_left;
		if (right->nembs)
			RN_TRY(rn_add_view_emb(l, v, right->embs[0].name, as_right));
	}
	v->node = node;
	return 0;
}

static int open_conds(struct joining *j)
{
	const struct rn_rule_inst *r = j->r;

	j->conds = rn_lowering_alloc(j->l, r->nconds * sizeof *j->conds);
	if (!j->conds)
		return rn_lowering_nomem(j->l);
	for (uint32_t i = 0; i < r->nconds; i++) {
		uint32_t cap = 0;

		RN_TRY(rn_text_vars(j->l, r->conds[i], false, &j->conds[i].n, &cap, &j->conds[i].names));
	}
	return 0;
}

/* Are the condition's variables all there?  The view has only gained some since it was asked. */
static bool is_bound(const struct joining *j, const struct rn_view *v, struct cond *c)
{
	for (; c->bound < c->n; c->bound++, c->waits = false) {
		uint32_t i = c->waits ? j->seen : 0;

		while (i < v->nvars && strcmp(v->vars[i].name, c->names[c->bound]))
			i++;
		c->waits = i == v->nvars;
		if (c->waits)
			return false;
	}
	return true;
}

/* The conditions whose variables are all there now, joined by `and`, at the end of out. */
static int take_conds(struct joining *j, const struct rn_view *v, struct rn_str *out)
{
	const struct rn_rule_inst *r = j->r;

	for (uint32_t i = 0; i < r->nconds; i++) {
		struct cond *c = &j->conds[i];

		if (c->done || !is_bound(j, v, c))
			continue;
		c->done = true;
		rn_str_add(out, out->len ? " and " : "");
		RN_TRY(rn_text_content(j->l, v, r->conds[i], out));
	}
	j->seen = v->nvars;
	return 0;
}

static bool undone(const struct joining *j)
{
	for (uint32_t i = 0; i < j->r->nconds; i++)
		if (!j->conds[i].done)
			return true;
	return false;
}

static uint32_t first_cond_at(const struct rn_rule_inst *r, bool end)
{
	if (!r->nconds)
		return end ? rn_rule_name_end(r) : r->rule->name_at;
	return end ? r->conds[r->nconds - 1]->end : r->conds[0]->at;
}

/* Conditions that no join took. */
static int filter_rest(struct joining *j, struct rn_view *v)
{
	struct rn_str cond = RN_STR_INIT;
	const char *name;
	int rc = take_conds(j, v, &cond);

	if (!rc && cond.len) {
		name = rn_stage_name(j->l, j->r, "filter");
		rc = !name || cond.failed ? rn_lowering_nomem(j->l)
					  : rn_text_node(j->l, j->r, "filter", "expr", cond.s, name,
						      first_cond_at(j->r, false), first_cond_at(j->r, true), NULL,
						      NULL, v);
	}
	rn_str_fini(&cond);
	return rc;
}

/* The view over the pairs of rows that join `node` looks at, which have the columns that
 * its result lacks, so that a name can mean less there.  to: room for v's variables. */
static int pair_view(struct rn_lowering *l, const struct rn_node *n, const struct rn_view *v,
		     struct rn_join_pair *p, struct rn_view *to)
{
	const struct rn_schema *in[2] = { rn_lowering_schema(l, n->in[0].node),
					  rn_lowering_schema(l, n->in[1].node) };
	struct rn_schema left = { 0 }, out = { 0 };
	struct rn_join_keys k;
	size_t *pair = NULL; /* the pair's column by the result's */
	size_t i = 0;
	int rc;

	RN_GOTO(out, rn_join_schema(n, in, &k, &left, &out, l->e));
	RN_GOTO(out, rn_join_pair_schema(n, in, &left, &k, p, l->e));
	RN_GOTO(out, rn_calloc(out.ncols, sizeof *pair, "columns", &pair, l->e));
	for (; i < left.ncols; i++)
		pair[i] = i;
	for (size_t c = i; c < p->schema.ncols && i < out.ncols; c++) {
		bool key = !p->right[c];

		for (size_t m = 0; m < k.n; m++)
			key = key || k.right[m] == p->col[c];
		if (!key)
			pair[i++] = c;
	}
	to->schema = &p->schema;
	for (uint32_t x = 0; x < v->nvars; x++)
		to->vars[x] = (struct rn_view_var){ v->vars[x].name, pair[v->vars[x].col] };
out:
	free(pair);
	rn_schema_fini(&left);
	rn_schema_fini(&out);
	return rc;
}

/* Give a join the conditions that it can decide. */
static int residual(struct joining *j, const struct rn_inst_atom *a, struct rn_view *v)
{
	struct rn_lowering *l = j->l;
	struct rn_node *n = &l->plan->nodes[v->node];
	struct rn_join_pair p = { 0 };
	struct rn_str cond = RN_STR_INIT;
	struct rn_view pairs = *v;
	int rc;

	if (a->atom->mark != RN_ATOM_PLAIN || j->optional || !undone(j))
		return 0;
	pairs.vars = rn_lowering_alloc(l, v->nvars * sizeof *pairs.vars);
	if (!pairs.vars)
		return rn_lowering_nomem(l);
	rc = pair_view(l, n, v, &p, &pairs);
	if (!rc)
		rc = take_conds(j, &pairs, &cond);
	rn_join_pair_fini(&p);
	if (!rc && cond.len)
		rc = cond.failed ? rn_lowering_nomem(l) : rn_set_option(l, n->opt, "and", json_string(cond.s));
	if (!rc && cond.len) /* is it right? */
		rc = rn_lowering_infer(l, v->node, j->r, first_cond_at(j->r, false),
				       first_cond_at(j->r, true), NULL);
	rn_str_fini(&cond);
	return rc;
}

static const char *input_name(struct joining *j, const struct rn_view *v, const char *fallback)
{
	return v->nembs == 1 && strcmp(v->embs[0].name, "_") ? v->embs[0].name
			      : rn_lowering_printf(j->l, "%s%u", fallback, j->step);
}

/* Is column `col` of v a key to `right`? */
static bool is_key(const struct rn_view *v, const struct rn_view *right, size_t col)
{
	for (uint32_t i = 0; i < v->nvars; i++)
		if (v->vars[i].col == col && rn_view_var(right, v->vars[i].name) >= 0)
			return true;
	return false;
}

/* Has the view, which has been joined before, a column that gets the name of another one where it
 * is an input of this name?  A key stays as it is, unless another key is called so. */
static bool name_is_taken(struct rn_lowering *l, const struct rn_view *v, const struct rn_view *right,
			  const char *name)
{
	const struct rn_schema *s = rn_lowering_schema(l, v->node);

	for (size_t i = 0; i < s->ncols; i++)
		for (size_t k = 0; s->cols[i].qual && !strcmp(s->cols[i].qual, name) && k < s->ncols; k++) {
			bool bare;

			if (s->cols[k].qual || strcmp(s->cols[k].name, s->cols[i].name))
				continue;
			bare = is_key(v, right, k);
			for (size_t m = 0; m < s->ncols && bare; m++)
				bare = m == k || strcmp(s->cols[m].name, s->cols[k].name) || !is_key(v, right, m);
			if (!bare)
				return true;
		}
	return false;
}

/* Every variable of !R(x) is bound by another atom. */
static int check_anti(struct joining *j, const struct rn_inst_atom *a, const struct rn_view *v)
{
	for (uint32_t i = 0; i < a->atom->nplaces; i++) {
		const struct rn_term *t = a->atom->places[i].term;

		if (t->kind == RN_T_NAME && strcmp(t->str, "_") && rn_view_var(v, t->str) < 0)
			return rn_diag_error(j->l->d, t->at, t->end,
					     "'%s' is bound by no atom before !%s: write _ for any value", t->str,
					     a->atom->ref.name);
	}
	return 0;
}

static int join_atom(struct joining *j, const struct rn_inst_atom *a, struct rn_view *v)
{
	struct rn_lowering *l = j->l;
	struct rn_view right;
	json_t *opt, *on;
	const char *as[2], *name;
	uint32_t in[2], node;
	enum rn_atom_mark mark = a->atom->mark;
	int rc;

	RN_TRY(atom_view(l, j->r, a, &right));
	if (mark == RN_ATOM_ANTI)
		RN_TRY(check_anti(j, a, v));
	j->step++;
	as[0] = v->nembs > 1 ? rn_lowering_printf(l, "_j%u", j->step) : input_name(j, v, "_l");
	if (as[0] && name_is_taken(l, v, &right, as[0]))
		as[0] = rn_lowering_printf(l, "_j%u", j->step);
	as[1] = input_name(j, &right, "_r");
	name = rn_stage_name(l, j->r, "join");
	if (!as[0] || !as[1] || !name)
		return rn_lowering_nomem(l);
	RN_TRY(rn_new_options(l, &opt));
	rc = rn_new_options(l, &on);
	if (!rc) {
		rc = join_on(j, v, &right, on);
		if (!rc && !json_object_size(on)) {
			json_decref(on);
			rn_diag_warn(l->d, a->atom->at, a->atom->end,
				     "'%s' shares no variable with what stands before it: a cross product",
				     a->atom->ref.name);
			rc = rn_set_option(l, opt, "and", json_string("true"));
		} else if (!rc) {
			rc = rn_set_option(l, opt, "on", on);
		} else {
			json_decref(on);
		}
	}
	if (!rc && mark != RN_ATOM_PLAIN)
		rc = rn_set_option(l, opt, "how", json_string(mark == RN_ATOM_ANTI ? "anti" : "left"));
	if (rc) {
		json_decref(opt);
		return rc;
	}
	in[0] = v->node;
	in[1] = right.node;
	RN_TRY(rn_lowering_node(l, "join", name, opt, 2, in, as, j->r, a->atom->at, a->atom->end, NULL,
				&node));
	RN_TRY(joined_view(j, v, &right, node, as[0], as[1], mark == RN_ATOM_ANTI));
	j->optional = j->optional || mark == RN_ATOM_OPTIONAL;
	return residual(j, a, v);
}

static int join_body(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v)
{
	struct joining j = { .l = l, .r = r };

	RN_TRY(open_conds(&j));
	if (r->natoms > RN_LOWER_ATOMS)
		return rn_diag_error(l->d, r->rule->name_at, rn_rule_name_end(r),
				     "a body joins at most %d relations, and this one %u", RN_LOWER_ATOMS, r->natoms);
	if (r->atoms[0].atom->mark != RN_ATOM_PLAIN)
		return rn_diag_error(l->d, r->atoms[0].atom->at, r->atoms[0].atom->end,
				     "the first atom of a body is neither optional nor negated");
	RN_TRY(atom_view(l, r, &r->atoms[0], v));
	for (uint32_t i = 1; i < r->natoms; i++)
		RN_TRY(join_atom(&j, &r->atoms[i], v));
	return filter_rest(&j, v);
}

/* ---- unions ------------------------------------------------------------------------------------- */

/* The variables that the rule reads, in the order of its head. */
static int rule_vars(struct rn_lowering *l, const struct rn_rule_inst *r, uint32_t *n,
		     const char ***names)
{
	uint32_t cap = 0;

	*n = 0;
	*names = NULL;
	for (uint32_t i = 0; i < r->nattrs; i++)
		RN_TRY(rn_text_vars(l, r->attrs[i].term, r->rule->attrs[i].term->kind == RN_T_BRACKET, n,
				    &cap, names));
	for (uint32_t i = 0; i < r->nconds; i++)
		RN_TRY(rn_text_vars(l, r->conds[i], false, n, &cap, names));
	return r->emb ? rn_text_vars(l, r->emb, true, n, &cap, names) : 0;
}

/* What the variable of a guard is in this element of the set, or NULL. */
static const struct rn_term *set_variable(const struct rn_inst_atom *a, const char *name)
{
	for (const struct rn_env *v = a->set; v && v != a->env; v = v->up)
		if (!strcmp(v->name, name))
			return v->value;
	return NULL;
}

/* mine: room for n terms. */
static int union_input(struct rn_lowering *l, const struct rn_rule_inst *r,
		       const struct rn_inst_atom *a, uint32_t n, const char *const *names,
		       const struct rn_term *const *terms, const struct rn_term **mine, bool emb,
		       struct rn_view *v)
{
	const char *name;

	if (a->atom->mark != RN_ATOM_PLAIN)
		return rn_diag_error(l->d, a->atom->at, a->atom->end, "an atom of a union is neither optional nor "
				     "negated");
	RN_TRY(atom_view(l, r, a, v));
	for (uint32_t i = 0; i < n; i++) {
		mine[i] = terms[i]->kind != RN_T_NAME || rn_view_var(v, names[i]) >= 0 ?
				  terms[i] : set_variable(a, names[i]);
		if (!mine[i])
			return rn_diag_error(l->d, a->atom->at, a->atom->end,
					     "every atom of a union binds every variable of the head, and this one "
					     "lacks '%s'", names[i]);
	}
	if (emb && !a->atom->has_emb)
		return rn_diag_error(l->d, a->atom->at, a->atom->end,
				     "the head has an embedding, and this atom names none: write '; z' or '; 0'");
	if (emb && !v->nembs)
		return rn_diag_error(l->d, a->atom->at, a->atom->end, "'%s' has no embedding", a->atom->ref.name);
	if (!emb)
		v->nembs = 0;
	if (emb && a->zero) {
		name = rn_stage_name(l, r, "map");
		if (!name)
			return rn_lowering_nomem(l);
		RN_TRY(rn_text_node(l, r, "map", "expr", "0 * z", name, a->atom->emb_at, 0, NULL, NULL, v));
	}
	return rn_lower_keep(l, r, v, n, names, mine, NULL);
}

/* The union of n relations; of unions, where there are more than the operator takes. */
static int stack(struct rn_lowering *l, const struct rn_rule_inst *r, uint32_t n, uint32_t *in,
		 uint32_t *out)
{
	uint32_t groups = 0;
	const char *name;
	json_t *opt;

	if (n == 1) {
		*out = *in;
		return 0;
	}
	if (n > RN_MANY) {
		for (uint32_t i = 0; i < n; i += RN_MANY, groups++)
			RN_TRY(stack(l, r, n - i < RN_MANY ? n - i : RN_MANY, in + i, &in[groups]));
		return stack(l, r, groups, in, out);
	}
	name = rn_stage_name(l, r, "union");
	if (!name)
		return rn_lowering_nomem(l);
	RN_TRY(rn_new_options(l, &opt));
	return rn_lowering_node(l, "union", name, opt, n, in, NULL, r, r->atoms[0].atom->at,
				r->atoms[r->natoms - 1].atom->end, NULL, out);
}

static int union_body(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v)
{
	struct joining j = { .l = l, .r = r };
	bool emb = r->atoms[0].emb || r->atoms[0].zero;
	const struct rn_term **terms, **mine;
	const char **names, *all = "all";
	struct rn_term *t;
	uint32_t *in, n;

	emb = emb && r->emb;
	RN_TRY(rule_vars(l, r, &n, &names));
	if (!n) { /* all rows are one group; but a relation has a column */
		names = &all;
		n = 1;
	}
	in = rn_lowering_alloc(l, r->natoms * sizeof *in);
	terms = rn_lowering_alloc(l, n * sizeof *terms);
	mine = rn_lowering_alloc(l, n * sizeof *mine);
	t = rn_lowering_alloc(l, n * sizeof *t);
	if (!in || !terms || !mine || !t)
		return rn_lowering_nomem(l);
	RN_TRY(open_conds(&j));
	for (uint32_t i = 0; i < n; i++) {
		t[i] = (struct rn_term){ .kind = names == &all ? RN_T_NUM : RN_T_NAME, .str = names[i],
					 .at = r->rule->name_at, .end = rn_rule_name_end(r) };
		terms[i] = &t[i];
	}
	for (uint32_t i = 0; i < r->natoms; i++) {
		RN_TRY(union_input(l, r, &r->atoms[i], n, names, terms, mine, emb, v));
		in[i] = v->node;
	}
	RN_TRY(stack(l, r, r->natoms, in, &v->node));
	*v = (struct rn_view){ .node = v->node };
	for (uint32_t i = 0; i < n; i++)
		RN_TRY(rn_add_view_var(l, v, names[i], i));
	if (emb)
		RN_TRY(rn_add_view_emb(l, v, r->atoms[0].emb ? r->atoms[0].emb : "z", "z"));
	return filter_rest(&j, v);
}

int rn_lower_body(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *out)
{
	return r->by_union ? union_body(l, r, out) : join_body(l, r, out);
}
