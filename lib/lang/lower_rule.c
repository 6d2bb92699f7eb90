/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a rule, and what bodies and heads share: names, projects, maps (lower.h
 * says which nodes a rule becomes).
 */
#include "lowering.h"

#include "../base/json.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- nodes and views ------------------------------------------------------------------------ */

uint32_t rn_rule_name_end(const struct rn_rule_inst *r)
{
	return r->rule->name_at + (uint32_t)strlen(r->rule->name);
}

/* An option's value; takes v. */
int rn_set_option(struct rn_lowering *l, json_t *opt, const char *key, json_t *v)
{
	return rn_json_set(opt, key, v, l->e);
}

int rn_new_options(struct rn_lowering *l, json_t **out)
{
	return rn_json_object(out, l->e);
}

/* A node with one input and one text option. */
int rn_text_node(struct rn_lowering *l, const struct rn_rule_inst *r, const char *op,
		     const char *key, const char *text, const char *name, uint32_t at, uint32_t end,
		     const struct rn_text_map *map, const char *param, struct rn_view *v)
{
	json_t *opt;
	int rc;

	RN_TRY(rn_new_options(l, &opt));
	rc = rn_set_option(l, opt, key, json_string(text));
	if (!rc && param)
		rc = rn_set_option(l, opt, "param", json_string(param));
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return rn_lowering_node(l, op, name, opt, 1, &v->node, NULL, r, at, end, map, &v->node);
}

int rn_add_view_var(struct rn_lowering *l, struct rn_view *v, const char *name, size_t col)
{
	struct rn_view_var *new = rn_arena_push(&l->arena, &v->vars, &v->nvars, sizeof *new, l->e);

	if (!new)
		return rn_lowering_nomem(l);
	*new = (struct rn_view_var){ name, col };
	return 0;
}

int rn_add_view_emb(struct rn_lowering *l, struct rn_view *v, const char *name,
			const char *part)
{
	struct rn_view_emb *new = rn_arena_push(&l->arena, &v->embs, &v->nembs, sizeof *new, l->e);

	if (!new)
		return rn_lowering_nomem(l);
	*new = (struct rn_view_emb){ name, part };
	return 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

const char *rn_stage_name(struct rn_lowering *l, const struct rn_rule_inst *r, const char *what)
{
	enum { KINDS = sizeof l->made.kinds / sizeof l->made.kinds[0] };
	struct rn_made *m = &l->made;
	size_t i = 0;

	if (m->rule != r->name)
		*m = (struct rn_made){ .rule = r->name };
	while (i < KINDS - 1 && m->kinds[i].what && strcmp(m->kinds[i].what, what))
		i++;
	m->kinds[i].what = what;
	if (++m->kinds[i].n == 1)
		return rn_lowering_printf(l, "%s/%s", r->name, what);
	return rn_lowering_printf(l, "%s/%s%u", r->name, what, m->kinds[i].n);
}

/* ---- project --------------------------------------------------------------------------------- */

/* Are the columns exactly these already? */
static bool is_kept(const struct rn_lowering *l, const struct rn_view *v, uint32_t n,
		    const char *const *names, const struct rn_term *const *terms)
{
	const struct rn_schema *s = rn_lowering_schema(l, v->node);

	if (s->ncols != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (terms[i]->kind != RN_T_NAME || rn_view_var(v, terms[i]->str) != (long)i ||
		    strcmp(s->cols[i].name, names[i]))
			return false;
	return true;
}

/* The view's variables after a project to `names` of `terms`.  A column's name is a variable, too,
 * but where one of the body is called so: that one hides it. */
static int kept_vars(struct rn_lowering *l, struct rn_view *v, uint32_t n, const char *const *names,
		     const struct rn_term *const *terms)
{
	const struct rn_view old = *v;

	v->vars = NULL;
	v->nvars = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (terms[i]->kind == RN_T_NAME && rn_view_var(&old, terms[i]->str) >= 0)
			RN_TRY(rn_add_view_var(l, v, terms[i]->str, i));
		if (rn_view_var(&old, names[i]) < 0)
			RN_TRY(rn_add_view_var(l, v, names[i], i));
	}
	return 0;
}

int rn_lower_keep(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v,
		  uint32_t n, const char *const *names, const struct rn_term *const *terms,
		  const char *name)
{
	const struct rn_schema *s = rn_lowering_schema(l, v->node);
	json_t *opt = NULL, *cols = NULL;
	bool drop = !v->nembs && s->nparts;
	int rc;

	if (is_kept(l, v, n, names, terms) && !drop)
		return kept_vars(l, v, n, names, terms);
	RN_GOTO(fail, rn_new_options(l, &opt));
	RN_GOTO(fail, rn_new_options(l, &cols));
	for (uint32_t i = 0; i < n; i++) {
		struct rn_str text = RN_STR_INIT;

		rc = rn_text_content(l, v, terms[i], &text);
		if (!rc)
			rc = text.failed ? rn_lowering_nomem(l) : rn_set_option(l, cols, names[i], json_string(text.s));
		rn_str_fini(&text);
		if (rc)
			goto fail;
	}
	rc = rn_set_option(l, opt, "cols", cols);
	cols = NULL;
	if (!rc && drop)
		rc = rn_set_option(l, opt, "embedding", json_false());
	if (!rc && !name && !(name = rn_stage_name(l, r, "project")))
		rc = rn_lowering_nomem(l);
	if (rc)
		goto fail;
	RN_TRY(rn_lowering_node(l, "project", name, opt, 1, &v->node, NULL, r,
				n ? terms[0]->at : r->rule->name_at, n ? terms[n - 1]->end : rn_rule_name_end(r), NULL,
				&v->node));
	return kept_vars(l, v, n, names, terms);
fail:
	json_decref(opt);
	json_decref(cols);
	return rc;
}

/* ---- heads ------------------------------------------------------------------------------------------ */

static bool has_softmax(const struct rn_term *t)
{
	if (t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_NAME && !strcmp(t->arg[0]->str, "softmax"))
		return true;
	if (t->kind != RN_T_NAME)
		for (uint32_t i = 0; i < t->n; i++)
			if (has_softmax(t->arg[i]))
				return true;
	return false;
}

/* A rule's head, sorted out. */
struct head {
	uint32_t n, naggs;            /* grouping attributes; content aggregates */
	const char **names, **agg_names;
	const struct rn_term **terms, **aggs;
	uint32_t nkeep;               /* and, behind the grouping ones, what else is read */
	const char *agg;              /* of the embedding, NULL: none was written */
	const struct rn_term *emb;    /* without it; NULL: no embedding */
	bool nested;                  /* an expression stands around its aggregates */
	/* The columns of the relation, in the order of the head, of those behind the grouping. */
	uint32_t nouts;
	const char **out_names;
	const struct rn_term **outs;
	bool finish;                  /* these are others than those, or in another order */
};

static const char *attr_name(struct rn_lowering *l, const struct rn_attr *a, uint32_t i)
{
	if (a->name)
		return a->name;
	if (a->term->kind == RN_T_NAME)
		return a->term->str;
	if (rn_is_content_agg(a->term))
		return a->term->arg[0]->str;
	return rn_lowering_printf(l, "c%u", i);
}

/* Names of a head's columns, and how often each was met. */
struct name_set {
	size_t cap; /* a power of two, more than there will be */
	struct name_count {
		const char *name;
		unsigned n;
	} *at;
};

static bool open_names(struct rn_lowering *l, uint32_t n, struct name_set *s)
{
	s->cap = 16;
	while (s->cap < 2 * (size_t)n)
		s->cap *= 2;
	s->at = rn_lowering_alloc(l, s->cap * sizeof *s->at);
	return s->at;
}

static struct name_count *find_name(const struct name_set *s, const char *name)
{
	size_t i = XXH3_64bits(name, strlen(name)) & (s->cap - 1);

	while (s->at[i].name && strcmp(s->at[i].name, name))
		i = (i + 1) & (s->cap - 1);
	return &s->at[i];
}

/* A name that no column before it has: name, or name_k. */
static const char *unique(struct rn_lowering *l, const char *name, unsigned k,
			  const struct name_set *all)
{
	const char *try = k < 2 ? name : rn_lowering_printf(l, "%s_%u", name, k);

	for (k = k < 2 ? 2 : k + 1; try && find_name(all, try)->name; k++)
		try = rn_lowering_printf(l, "%s_%u", name, k);
	return try;
}

/* Attribute `name` is what the grouping calls so. */
static int add_out(struct rn_lowering *l, struct head *h, const struct rn_attr *a, const char *name,
		   const struct rn_term *t)
{
	struct rn_term *made = rn_lowering_alloc(l, sizeof *made);

	if (!made)
		return rn_lowering_nomem(l);
	*made = (struct rn_term){ .kind = RN_T_NAME, .str = name, .at = a->term->at, .end = a->term->end };
	h->out_names[h->nouts] = name;
	h->outs[h->nouts++] = t ? t : made;
	return 0;
}

/* A name of its own for attribute i, NULL where it is none of the relation's (it is decoded). */
static int name_attr(struct rn_lowering *l, const struct rn_rule_inst *r, uint32_t i, struct name_set *raw,
		     struct name_set *all, const char **out)
{
	const struct rn_attr *a = &r->attrs[i];
	struct name_count *met;

	*out = NULL;
	if (r->rule->attrs[i].term->kind == RN_T_BRACKET)
		return 0;
	*out = attr_name(l, a, i);
	if (!*out)
		return rn_lowering_nomem(l);
	if (a->name && find_name(all, *out)->name)
		return rn_diag_error(l->d, a->at, 0, "two columns are called '%s'", *out);
	met = find_name(raw, *out);
	met->name = *out;
	*out = unique(l, *out, ++met->n, all);
	if (!*out)
		return rn_lowering_nomem(l);
	find_name(all, *out)->name = *out;
	return 0;
}

/* The column of an aggregate within an expression: one for equal ones. */
struct inner {
	struct rn_lowering *l;
	struct head *h;
	struct name_set *all;
};

static const char *inner_agg(void *arg, const struct rn_term *t)
{
	struct inner *in = arg;
	struct head *h = in->h;
	const char *name;

	for (uint32_t i = 0; i < h->naggs; i++)
		if (rn_terms_equal(h->aggs[i], t))
			return h->agg_names[i];
	name = unique(in->l, t->arg[0]->str, 1, in->all);
	if (!name)
		return NULL;
	find_name(in->all, name)->name = name;
	h->agg_names[h->naggs] = name;
	h->aggs[h->naggs++] = t;
	return name;
}

/* What is computed of aggregates: when all columns have names. */
static int split_attrs(struct rn_lowering *l, struct head *h, struct name_set *all)
{
	struct inner in = { l, h, all };
	struct rn_attr_split s = { .l = l, .nby = h->n, .by = h->terms, .names = h->names, .agg = inner_agg,
				   .arg = &in };

	for (uint32_t i = 0; i < h->nouts; i++) {
		struct rn_term *t;

		if (h->outs[i]->kind == RN_T_NAME)
			continue;
		RN_TRY(rn_split_attr(&s, h->outs[i], &t));
		h->outs[i] = t;
		h->finish = true;
	}
	return 0;
}

static int sort_attrs(struct rn_lowering *l, const struct rn_rule_inst *r, struct head *h, uint32_t room)
{
	struct name_set raw, all; /* as they are written, and as they are then called */

	if (!open_names(l, room + 1, &raw) || !open_names(l, room + 1, &all))
		return rn_lowering_nomem(l);
	for (uint32_t i = 0; i < r->nattrs; i++) {
		const struct rn_attr *a = &r->attrs[i];
		const char *name;

		RN_TRY(name_attr(l, r, i, &raw, &all, &name));
		if (!name)
			continue;
		if (rn_is_content_agg(a->term)) {
			RN_TRY(rn_check_content_agg(l, a->term));
			RN_TRY(add_out(l, h, a, name, NULL));
			h->agg_names[h->naggs] = name;
			h->aggs[h->naggs++] = a->term;
		} else if (rn_count_content_aggs(a->term)) {
			RN_TRY(add_out(l, h, a, name, a->term));
		} else {
			h->finish = h->finish || h->nouts > h->n;
			RN_TRY(add_out(l, h, a, name, NULL));
			h->names[h->n] = name;
			h->terms[h->n++] = a->term;
		}
	}
	return split_attrs(l, h, &all);
}

/* What the expression and the aggregates read beside the attributes. */
static int add_extras(struct rn_lowering *l, struct head *h, uint32_t room)
{
	const char **vars = NULL;
	struct name_set names;
	uint32_t n = 0, cap = 0;

	if (!open_names(l, room + 1, &names))
		return rn_lowering_nomem(l);
	for (uint32_t i = 0; i < h->n; i++)
		find_name(&names, h->names[i])->name = h->names[i];
	h->nkeep = h->n;
	if (h->emb)
		RN_TRY(rn_text_vars(l, h->emb, true, &n, &cap, &vars));
	for (uint32_t i = 0; i < h->naggs; i++)
		RN_TRY(rn_text_vars(l, h->aggs[i], false, &n, &cap, &vars));
	for (uint32_t i = 0; i < n && h->nkeep < room; i++) {
		bool there = false;
		struct rn_term *t;

		for (uint32_t k = 0; k < h->n; k++)
			there = there || (h->terms[k]->kind == RN_T_NAME && !strcmp(h->terms[k]->str, vars[i]));
		if (there)
			continue;
		t = rn_lowering_alloc(l, sizeof *t);
		if (!t)
			return rn_lowering_nomem(l);
		*t = (struct rn_term){ .kind = RN_T_NAME, .str = vars[i] };
		h->names[h->nkeep] = unique(l, vars[i], 1, &names);
		if (!h->names[h->nkeep])
			return rn_lowering_nomem(l);
		find_name(&names, h->names[h->nkeep])->name = h->names[h->nkeep];
		h->terms[h->nkeep++] = t;
	}
	return 0;
}

static uint32_t count_names(const struct rn_term *t)
{
	uint32_t n = t->kind == RN_T_NAME;

	for (uint32_t i = 0; i < t->n; i++)
		n += count_names(t->arg[i]);
	return n;
}

static int sort_head(struct rn_lowering *l, const struct rn_rule_inst *r, struct head *h)
{
	uint32_t room = r->nattrs, naggs = 1; /* one: lower_nested */

	for (uint32_t i = 0; i < r->nattrs; i++) {
		room += count_names(r->attrs[i].term);
		naggs += rn_count_content_aggs(r->attrs[i].term);
	}
	if (r->emb)
		room += count_names(r->emb);
	*h = (struct head){ 0 };
	h->names = rn_lowering_alloc(l, room * sizeof *h->names);
	h->terms = rn_lowering_alloc(l, room * sizeof *h->terms);
	h->agg_names = rn_lowering_alloc(l, naggs * sizeof *h->agg_names);
	h->aggs = rn_lowering_alloc(l, naggs * sizeof *h->aggs);
	h->out_names = rn_lowering_alloc(l, (r->nattrs + 1) * sizeof *h->out_names);
	h->outs = rn_lowering_alloc(l, (r->nattrs + 1) * sizeof *h->outs);
	if (!h->names || !h->terms || !h->agg_names || !h->aggs || !h->out_names || !h->outs)
		return rn_lowering_nomem(l);
	if (r->emb)
		h->agg = rn_take_aggregate(r->emb, &h->emb);
	h->nested = r->emb && rn_nests_aggregates(r->emb);
	if (h->nested) {
		h->agg = NULL;
		h->emb = r->emb;
	}
	RN_TRY(sort_attrs(l, r, h, room));
	return add_extras(l, h, room);
}

/* Is the number of a group's rows somewhere in it? */
static bool counts(const struct rn_term *t)
{
	const struct rn_term *of;
	const char *how = rn_take_aggregate(t, &of);

	for (uint32_t i = 0; i < t->n && !how && t->kind != RN_T_NAME; i++)
		if (counts(t->arg[i]))
			return true;
	return how && *how == 'c';
}

static bool takes_mean(const struct head *h)
{
	return h->agg && !strcmp(h->agg, "mean");
}

/* Do the grouping attributes hold a unique key, so that every group is one row? */
static bool is_unique(const struct rn_lowering *l, const struct rn_view *v, const struct head *h)
{
	const struct rn_schema *s = rn_lowering_schema(l, v->node);

	if (!s->nkey || h->naggs || (h->emb && has_softmax(h->emb)) || (h->agg && *h->agg == 'c') ||
	    (h->nested && counts(h->emb)) || (h->emb && (h->nested || takes_mean(h)) && rn_weighs_rows(h->emb)))
		return false;
	for (size_t k = 0; k < s->nkey; k++) {
		bool there = false;

		for (uint32_t i = 0; i < h->n; i++)
			there = there || (h->terms[i]->kind == RN_T_NAME &&
					  rn_view_var(v, h->terms[i]->str) == (long)s->key[k]);
		if (!there)
			return false;
	}
	return true;
}

/* Is the expression the relation's sole part as it is? */
static bool is_part(const struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t)
{
	return t->kind == RN_T_NAME && rn_lowering_schema(l, v->node)->nparts == 1 &&
	       rn_view_part(v, t->str);
}

/* What the last stage of a rule has as `param`; NULL: its own name says it. */
static const char *own_param(const struct rn_rule_inst *r)
{
	return strcmp(r->name, r->prefix) ? r->prefix : NULL;
}

int rn_lower_map(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v,
		 const struct rn_term *t, const char *name)
{
	struct rn_text_map map = { 0 };
	struct rn_str text = RN_STR_INIT;
	int rc;

	if (is_part(l, v, t))
		return 0;
	RN_TRY(rn_lower_encoders(l, r, v, t));
	rc = rn_text_emb(l, v, t, &text, &map);
	if (!rc && text.failed)
		rc = rn_lowering_nomem(l);
	if (!rc && name)
		rc = rn_text_node(l, r, "map", "expr", text.s, name, t->at, t->end, &map,
				  strcmp(name, r->name) ? NULL : own_param(r), v);
	else if (!rc && (name = rn_stage_name(l, r, "map")))
		rc = rn_text_node(l, r, "map", "expr", text.s, name, t->at, t->end, &map, r->prefix, v);
	else if (!rc)
		rc = rn_lowering_nomem(l);
	rn_str_fini(&text);
	v->nembs = 0;
	return rc ? rc : rn_add_view_emb(l, v, "z", "z");
}

/* Every group is one row: no grouping. */
static int lower_rowwise(struct rn_lowering *l, const struct rn_rule_inst *r, struct head *h,
			 struct rn_view *v)
{
	bool extras = h->nkeep > h->n;

	if (!h->emb) {
		v->nembs = 0;
		return rn_lower_keep(l, r, v, h->n, h->names, h->terms, r->name);
	}
	if (is_part(l, v, h->emb) || extras) {
		RN_TRY(rn_lower_map(l, r, v, h->emb, NULL));
		return rn_lower_keep(l, r, v, h->n, h->names, h->terms, r->name);
	}
	RN_TRY(rn_lower_keep(l, r, v, h->n, h->names, h->terms, NULL));
	return rn_lower_map(l, r, v, h->emb, r->name);
}

/* Are all attributes plain columns that are called so? */
static bool named_right(const struct rn_lowering *l, const struct rn_view *v, const struct head *h)
{
	const struct rn_schema *s = rn_lowering_schema(l, v->node);

	for (uint32_t i = 0; i < h->n; i++) {
		long col = h->terms[i]->kind == RN_T_NAME ? rn_view_var(v, h->terms[i]->str) : -1;
		struct rn_str name = RN_STR_INIT;
		bool right;

		if (col < 0)
			return false;
		rn_schema_col_name(s, (size_t)col, &name);
		right = !strcmp(name.s, h->names[i]);
		rn_str_fini(&name);
		if (!right)
			return false;
	}
	return true;
}

static int agg_expr(struct rn_lowering *l, const struct rn_rule_inst *r, const struct head *h,
		    const struct rn_view *v, json_t *opt, struct rn_text_map *map)
{
	const char *how = h->agg ? h->agg : r->nattrs ? "sum" : "mean";
	struct rn_str text = RN_STR_INIT;
	int rc;

	if (*how == 'c') { /* of an embedding that is there */
		rc = h->emb->kind == RN_T_STAR ? 0 : rn_text_emb(l, v, h->emb, &text, NULL);
		rn_str_clear(&text);
		rn_str_add(&text, "sum(1)");
	} else {
		rn_str_addf(&text, "%s(", how);
		rc = rn_text_emb(l, v, h->emb, &text, map);
		rn_str_addc(&text, ')');
	}
	if (!rc)
		rc = text.failed ? rn_lowering_nomem(l) : rn_set_option(l, opt, "expr", json_string(text.s));
	rn_str_fini(&text);
	return rc;
}

/* What is grouped by, and aggregates of content. */
static int agg_columns(struct rn_lowering *l, const struct head *h, const struct rn_view *v, json_t *opt)
{
	struct rn_str text = RN_STR_INIT;
	json_t *by, *cols;
	int rc = 0;

	if (h->n) {
		rc = rn_json_array(&by, l->e);
		if (!rc)
			rc = rn_set_option(l, opt, "by", by);
		for (uint32_t i = 0; i < h->n && !rc; i++)
			rc = rn_json_append(by, json_string(h->names[i]), l->e);
	}
	if (!rc && h->naggs) {
		rc = rn_new_options(l, &cols);
		if (!rc)
			rc = rn_set_option(l, opt, "cols", cols);
		for (uint32_t i = 0; i < h->naggs && !rc; i++) {
			rn_str_clear(&text);
			rc = rn_text_aggregate(l, v, h->aggs[i], &text);
			if (!rc)
				rc = text.failed ? rn_lowering_nomem(l)
						 : rn_set_option(l, cols, h->agg_names[i], json_string(text.s));
		}
	}
	rn_str_fini(&text);
	return rc;
}

/* A name that no column of the head has. */
static const char *count_name(struct rn_lowering *l, const struct head *h)
{
	const char *name = "rows";
	bool taken = true;

	for (unsigned k = 2; taken && name; k++) {
		taken = false;
		for (uint32_t i = 0; i < h->n; i++)
			taken = taken || !strcmp(h->names[i], name);
		for (uint32_t i = 0; i < h->naggs; i++)
			taken = taken || !strcmp(h->agg_names[i], name);
		if (taken)
			name = rn_lowering_printf(l, "rows_%u", k);
	}
	return name;
}

/* count(*), a further column of the stage. */
static int add_count(struct rn_lowering *l, struct head *h)
{
	struct rn_term *t = rn_lowering_alloc(l, 3 * sizeof *t);
	struct rn_term **arg = rn_lowering_alloc(l, 2 * sizeof(struct rn_term *));

	h->agg_names[h->naggs] = count_name(l, h);
	if (!t || !arg || !h->agg_names[h->naggs])
		return rn_lowering_nomem(l);
	t[1] = (struct rn_term){ .kind = RN_T_NAME, .str = "count" };
	t[2] = (struct rn_term){ .kind = RN_T_STAR };
	arg[0] = &t[1];
	arg[1] = &t[2];
	t[0] = (struct rn_term){ .kind = RN_T_CALL, .n = 2, .arg = arg };
	h->aggs[h->naggs++] = t;
	return 0;
}

/* What stands behind an `agg` of the head: its variables where those of the body are grouped by. */
static int view_groups(struct rn_lowering *l, const struct head *h, const struct rn_nested *x,
		       struct rn_view *v)
{
	*v = (struct rn_view){ .node = v->node };
	for (uint32_t i = 0; i < h->n; i++)
		if (h->terms[i]->kind == RN_T_NAME)
			RN_TRY(rn_add_view_var(l, v, h->terms[i]->str, i));
	if (x->counts)
		RN_TRY(rn_add_view_var(l, v, x->rows, h->n + h->naggs - 1));
	return x->expr ? rn_add_view_emb(l, v, x->part, "z") : 0;
}

/* The columns of the head, in its order; a relation of one row and no columns is a sum. */
static int finish_head(struct rn_lowering *l, const struct rn_rule_inst *r, const struct head *h,
		       struct rn_view *v)
{
	if (!h->nouts)
		return rn_text_node(l, r, "agg", "expr", "sum(z)", r->name, r->emb->at, r->emb->end, NULL, NULL, v);
	v->vars = NULL;
	v->nvars = 0;
	for (uint32_t i = 0; i < h->n + h->naggs; i++)
		RN_TRY(rn_add_view_var(l, v, i < h->n ? h->names[i] : h->agg_names[i - h->n], i));
	return rn_lower_keep(l, r, v, h->nouts, h->out_names, h->outs, r->name);
}

/* An expression around aggregates: they are a stage before it. */
static int lower_nested(struct rn_lowering *l, const struct rn_rule_inst *r, struct head *h,
			struct rn_view *v)
{
	const char *name = rn_stage_name(l, r, "agg"), *param = rn_lowering_printf(l, "%s.agg", r->prefix);
	struct rn_nested x;
	json_t *opt;
	int rc;

	if (!name || !param)
		return rn_lowering_nomem(l);
	RN_TRY(rn_nested_split(l, v, h->n, h->terms, h->emb, false, &x));
	if (x.counts)
		RN_TRY(add_count(l, h));
	RN_TRY(rn_new_options(l, &opt));
	rc = x.expr ? rn_set_option(l, opt, "expr", json_string(x.expr)) : 0;
	if (!rc && x.expr)
		rc = rn_set_option(l, opt, "param", json_string(param));
	if (!rc)
		rc = agg_columns(l, h, v, opt);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	RN_TRY(rn_lowering_node(l, "agg", name, opt, 1, &v->node, NULL, r, r->emb->at, r->emb->end, &x.map,
				&v->node));
	RN_TRY(view_groups(l, h, &x, v));
	h->finish = h->finish || x.counts;
	RN_TRY(rn_lower_map(l, r, v, x.rest, h->finish ? NULL : r->name));
	return h->finish ? finish_head(l, r, h, v) : 0;
}

/* One aggregate, and what is computed of its columns. */
static int lower_agg(struct rn_lowering *l, const struct rn_rule_inst *r, const struct head *h,
		     struct rn_view *v, uint32_t *out)
{
	const char *name = h->finish ? rn_stage_name(l, r, "agg") : r->name;
	const char *param = h->finish ? r->prefix : own_param(r);
	struct rn_text_map map = { 0 };
	json_t *opt;
	int rc;

	if (!name)
		return rn_lowering_nomem(l);
	RN_TRY(rn_new_options(l, &opt));
	rc = h->emb ? agg_expr(l, r, h, v, opt, &map) : 0;
	if (!rc && h->emb && param)
		rc = rn_set_option(l, opt, "param", json_string(param));
	if (!rc)
		rc = agg_columns(l, h, v, opt);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	RN_TRY(rn_lowering_node(l, "agg", name, opt, 1, &v->node, NULL, r,
				r->emb ? r->emb->at : r->rule->name_at, r->emb ? r->emb->end : rn_rule_name_end(r), &map,
				out));
	if (!h->finish)
		return 0;
	*v = (struct rn_view){ .node = *out };
	if (h->emb)
		RN_TRY(rn_add_view_emb(l, v, "z", "z"));
	RN_TRY(finish_head(l, r, h, v));
	*out = v->node;
	return 0;
}

int rn_lower_rule(struct rn_lowering *l, const struct rn_rule_inst *r, uint32_t *out)
{
	struct rn_nested nested;
	struct rn_view v;
	struct head h;

	RN_TRY(rn_lower_body(l, r, &v));
	RN_TRY(sort_head(l, r, &h));
	if (h.emb && !h.agg && !h.n && !h.naggs && !r->nattrs) /* one row: the mean */
		h.agg = "mean";
	if (!h.n && !h.naggs && !h.emb)
		return rn_diag_error(l->d, r->rule->name_at, rn_rule_name_end(r), "the head holds nothing");
	if (is_unique(l, &v, &h)) {
		if (h.nested)
			RN_TRY(rn_nested_split(l, &v, h.n, h.terms, h.emb, true, &nested));
		h.emb = h.nested ? nested.rest : h.emb;
		RN_TRY(lower_rowwise(l, r, &h, &v));
		*out = v.node;
		return 0;
	}
	if (!named_right(l, &v, &h))
		RN_TRY(rn_lower_keep(l, r, &v, h.nkeep, h.names, h.terms, NULL));
	if (h.emb)
		RN_TRY(rn_lower_encoders(l, r, &v, h.emb));
	if (h.nested) {
		RN_TRY(lower_nested(l, r, &h, &v));
		*out = v.node;
		return 0;
	}
	return lower_agg(l, r, &h, &v, out);
}
