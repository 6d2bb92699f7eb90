/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a rule, and what bodies and heads share: names, projects, maps (lower.h
 * says which nodes a rule becomes).
 */
#include "lowering.h"

#include "../base/json.h"
#include "../expr/encode.h"

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
	struct rn_view_var *new;

	if (!(v->nvars & (v->nvars - 1))) {
		new = rn_lowering_alloc(l, (v->nvars ? 2 * v->nvars : 1) * sizeof *new);
		if (!new)
			return rn_lowering_nomem(l);
		if (v->nvars)
			memcpy(new, v->vars, v->nvars * sizeof *new);
		v->vars = new;
	}
	v->vars[v->nvars++] = (struct rn_view_var){ name, col };
	return 0;
}

int rn_add_view_emb(struct rn_lowering *l, struct rn_view *v, const char *name,
			const char *part)
{
	struct rn_view_emb *new;

	if (!(v->nembs & (v->nembs - 1))) {
		new = rn_lowering_alloc(l, (v->nembs ? 2 * v->nembs : 1) * sizeof *new);
		if (!new)
			return rn_lowering_nomem(l);
		if (v->nembs)
			memcpy(new, v->embs, v->nembs * sizeof *new);
		v->embs = new;
	}
	v->embs[v->nembs++] = (struct rn_view_emb){ name, part };
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

/* The view's variables after a project to `names` of `terms`. */
static int kept_vars(struct rn_lowering *l, struct rn_view *v, uint32_t n, const char *const *names,
		     const struct rn_term *const *terms)
{
	struct rn_view_var *old = v->vars;
	uint32_t nold = v->nvars;

	v->vars = NULL;
	v->nvars = 0;
	for (uint32_t i = 0; i < n; i++) {
		bool named = false;

		for (uint32_t k = 0; k < nold; k++)
			if (terms[i]->kind == RN_T_NAME && !strcmp(old[k].name, terms[i]->str)) {
				RN_TRY(rn_add_view_var(l, v, old[k].name, i));
				named = named || !strcmp(old[k].name, names[i]);
			}
		if (!named)
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

/* A call that aggregates content: count(*), sum(amount). */
static bool is_content_agg(const struct rn_term *t)
{
	static const char *const names[] = { "count", "sum", "avg", "min", "max", "first", "last", "median",
					     "quantile", "var", "stddev" };

	if (t->kind != RN_T_CALL || t->arg[0]->kind != RN_T_NAME)
		return false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(t->arg[0]->str, names[i]))
			return true;
	return false;
}

/* The aggregate at the root of a head's embedding: its name for rn-agg, and what it is of. */
static const char *take_agg(const struct rn_term *t, const struct rn_term **of)
{
	static const char *const names[][2] = { { "sum", "sum" }, { "add", "sum" }, { "mean", "mean" },
						{ "avg", "mean" }, { "max", "max" }, { "min", "min" },
						{ "count", "count" } };

	*of = t;
	if (t->kind != RN_T_CALL || t->arg[0]->kind != RN_T_NAME || t->n != 2 || t->key)
		return NULL;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(t->arg[0]->str, names[i][0])) {
			*of = t->arg[1];
			return names[i][1];
		}
	return NULL;
}

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
};

static const char *attr_name(struct rn_lowering *l, const struct rn_attr *a, uint32_t i)
{
	if (a->name)
		return a->name;
	if (a->term->kind == RN_T_NAME)
		return a->term->str;
	if (is_content_agg(a->term))
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

static int sort_attrs(struct rn_lowering *l, const struct rn_rule_inst *r, struct head *h)
{
	struct name_set raw, all; /* as they are written, and as they are then called */

	if (!open_names(l, r->nattrs + 1, &raw) || !open_names(l, r->nattrs + 1, &all))
		return rn_lowering_nomem(l);
	for (uint32_t i = 0; i < r->nattrs; i++) {
		const struct rn_attr *a = &r->attrs[i];
		struct name_count *met;
		const char *name;

		if (r->rule->attrs[i].term->kind == RN_T_BRACKET)
			continue; /* decoded: the run's matter */
		name = attr_name(l, a, i);
		if (!name)
			return rn_lowering_nomem(l);
		if (a->name && find_name(&all, name)->name)
			return rn_diag_error(l->d, a->at, 0, "two columns are called '%s'", name);
		met = find_name(&raw, name);
		met->name = name;
		name = unique(l, name, ++met->n, &all);
		if (!name)
			return rn_lowering_nomem(l);
		find_name(&all, name)->name = name;
		if (is_content_agg(a->term)) {
			h->agg_names[h->naggs] = name;
			h->aggs[h->naggs++] = a->term;
		} else {
			h->names[h->n] = name;
			h->terms[h->n++] = a->term;
		}
	}
	return 0;
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
	uint32_t room = r->nattrs;

	for (uint32_t i = 0; i < r->nattrs; i++)
		room += count_names(r->attrs[i].term);
	if (r->emb)
		room += count_names(r->emb);
	*h = (struct head){ 0 };
	h->names = rn_lowering_alloc(l, room * sizeof *h->names);
	h->terms = rn_lowering_alloc(l, room * sizeof *h->terms);
	h->agg_names = rn_lowering_alloc(l, r->nattrs * sizeof *h->agg_names);
	h->aggs = rn_lowering_alloc(l, r->nattrs * sizeof *h->aggs);
	if (!h->names || !h->terms || !h->agg_names || !h->aggs)
		return rn_lowering_nomem(l);
	if (r->emb)
		h->agg = take_agg(r->emb, &h->emb);
	RN_TRY(sort_attrs(l, r, h));
	return add_extras(l, h, room);
}

/* Do the grouping attributes hold a unique key, so that every group is one row? */
static bool is_unique(const struct rn_lowering *l, const struct rn_view *v, const struct head *h)
{
	const struct rn_schema *s = rn_lowering_schema(l, v->node);

	if (!s->nkey || h->naggs || (h->emb && has_softmax(h->emb)) || (h->agg && *h->agg == 'c'))
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

/* A name that no part has. */
static const char *new_part(struct rn_lowering *l, uint32_t node)
{
	const struct rn_schema *s = rn_lowering_schema(l, node);
	const char *name;
	bool taken = true;

	for (unsigned k = 1; taken; k++) {
		name = rn_lowering_printf(l, "enc%u", k);
		if (!name)
			return NULL;
		taken = false;
		for (size_t i = 0; i < s->nparts; i++)
			taken = taken || !strcmp(s->parts[i].name, name);
	}
	return name;
}

/* The stage of one bracket. */
static int encode_stage(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v,
			const struct rn_term *t, const char *text)
{
	const char *part = new_part(l, v->node), *name = rn_stage_name(l, r, "encode");
	struct rn_view_enc *encs = rn_lowering_alloc(l, (v->nencs + 1) * sizeof *encs);
	json_t *opt;
	int rc;

	if (!part || !name || !encs)
		return rn_lowering_nomem(l);
	RN_TRY(rn_new_options(l, &opt));
	rc = rn_set_option(l, opt, "expr", json_string(text));
	if (!rc)
		rc = rn_set_option(l, opt, "as", json_string(part));
	if (rc) {
		json_decref(opt);
		return rc;
	}
	RN_TRY(rn_lowering_node(l, "encode", name, opt, 1, &v->node, NULL, r, t->at, t->end, NULL,
				&v->node));
	if (v->nencs)
		memcpy(encs, v->encs, v->nencs * sizeof *encs);
	encs[v->nencs++] = (struct rn_view_enc){ t, part };
	v->encs = encs;
	return 0;
}

/* Embedding(2, 4)([dept]) over a column of strings? */
static bool is_category(const struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t)
{
	const struct rn_term *made = t->kind == RN_T_CALL ? t->arg[0] : NULL, *of;
	long col;

	if (!made || made->kind != RN_T_CALL || made->arg[0]->kind != RN_T_NAME ||
	    strcmp(made->arg[0]->str, "Embedding") || made->n < 3 || made->arg[2]->kind != RN_T_NUM ||
	    (made->key && (made->key[1] || made->key[2])) || t->n != 2)
		return false;
	of = t->arg[1];
	if (of->kind != RN_T_BRACKET || of->n != 1 || of->arg[0]->kind != RN_T_NAME)
		return false;
	col = rn_view_var(v, of->arg[0]->str);
	return col >= 0 && rn_view_schema(l, v)->cols[col].type == RN_STRING;
}

/* A category gives its code: Embedding(2, 4)([dept]) becomes [category(dept, 4, init=normal)]. */
static int make_category(struct rn_lowering *l, struct rn_term *t)
{
	const struct rn_term *made = t->arg[0];
	struct rn_term *call = rn_lowering_alloc(l, sizeof *call);
	struct rn_term *word = rn_lowering_alloc(l, 2 * sizeof *word);
	struct rn_term **arg = rn_lowering_alloc(l, 5 * sizeof(struct rn_term *));
	const char **key = rn_lowering_alloc(l, 4 * sizeof(const char *));

	if (!call || !word || !arg || !key)
		return rn_lowering_nomem(l);
	for (int i = 0; i < 2; i++)
		word[i] = (struct rn_term){ .kind = RN_T_NAME, .str = i ? "normal" : "category",
					    .at = made->at, .end = made->end };
	arg[0] = &word[0];
	arg[1] = t->arg[1]->arg[0];
	arg[2] = made->arg[2];
	arg[3] = &word[1];
	key[3] = "init";
	*call = (struct rn_term){ .kind = RN_T_CALL, .at = t->at, .end = t->end, .n = 4, .arg = arg,
				  .key = key };
	arg[4] = call;
	t->kind = RN_T_BRACKET;
	t->n = 1;
	t->arg = &arg[4];
	t->key = NULL;
	return 0;
}

int rn_lower_encoders(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v,
		      const struct rn_term *t)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_encoders es;
	bool calls = false;
	int rc = 0;

	if (is_category(l, v, t))
		RN_TRY(make_category(l, (struct rn_term *)(uintptr_t)t));
	if (t->kind != RN_T_BRACKET) {
		for (uint32_t i = 0; i < t->n; i++)
			RN_TRY(rn_lower_encoders(l, r, v, t->arg[i]));
		return 0;
	}
	for (uint32_t i = 0; i < t->n; i++)
		calls = calls || t->arg[i]->kind == RN_T_CALL;
	if (!calls)
		return 0;
	rc = rn_text_encoders(l, v, t, &text);
	if (!rc && text.failed)
		rc = rn_lowering_nomem(l);
	/* What is wrong with the text is told where it is used. */
	if (!rc && !rn_encoders_parse(text.s, &es, NULL)) {
		if (rn_encoders_fit_any(&es))
			rc = encode_stage(l, r, v, t, text.s);
		rn_encoders_fini(&es);
	}
	rn_str_fini(&text);
	return rc;
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
		rc = rn_text_node(l, r, "map", "expr", text.s, name, t->at, t->end, &map, NULL, v);
	else if (!rc && (name = rn_stage_name(l, r, "map")))
		rc = rn_text_node(l, r, "map", "expr", text.s, name, t->at, t->end, &map, r->name, v);
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

static int agg_options(struct rn_lowering *l, const struct rn_rule_inst *r, const struct head *h,
		       const struct rn_view *v, json_t *opt, struct rn_text_map *map)
{
	struct rn_str text = RN_STR_INIT;
	json_t *by, *cols;
	int rc = 0;

	if (h->emb) {
		const char *how = h->agg ? h->agg : r->nattrs ? "sum" : "mean";

		if (*how == 'c') { /* of an embedding that is there */
			rc = rn_text_emb(l, v, h->emb, &text, NULL);
			rn_str_clear(&text);
			rn_str_add(&text, "sum(1)");
		} else {
			rn_str_addf(&text, "%s(", how);
			rc = rn_text_emb(l, v, h->emb, &text, map);
			rn_str_addc(&text, ')');
		}
		if (!rc)
			rc = text.failed ? rn_lowering_nomem(l) : rn_set_option(l, opt, "expr", json_string(text.s));
		rn_str_clear(&text);
	}
	if (!rc && h->n) {
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
			rc = rn_text_content(l, v, h->aggs[i], &text);
			if (!rc)
				rc = text.failed ? rn_lowering_nomem(l)
						 : rn_set_option(l, cols, h->agg_names[i], json_string(text.s));
		}
	}
	rn_str_fini(&text);
	return rc;
}

int rn_lower_rule(struct rn_lowering *l, const struct rn_rule_inst *r, uint32_t *out)
{
	struct rn_text_map map = { 0 };
	struct rn_view v;
	struct head h;
	json_t *opt;
	int rc;

	RN_TRY(rn_lower_body(l, r, &v));
	RN_TRY(sort_head(l, r, &h));
	if (h.emb && !h.agg && !h.n && !h.naggs && !r->nattrs) /* one row: the mean */
		h.agg = "mean";
	if (!h.n && !h.naggs && !h.emb)
		return rn_diag_error(l->d, r->rule->name_at, rn_rule_name_end(r), "the head holds nothing");
	if (is_unique(l, &v, &h)) {
		RN_TRY(lower_rowwise(l, r, &h, &v));
		*out = v.node;
		return 0;
	}
	if (!named_right(l, &v, &h))
		RN_TRY(rn_lower_keep(l, r, &v, h.nkeep, h.names, h.terms, NULL));
	if (h.emb)
		RN_TRY(rn_lower_encoders(l, r, &v, h.emb));
	RN_TRY(rn_new_options(l, &opt));
	rc = agg_options(l, r, &h, &v, opt, &map);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return rn_lowering_node(l, "agg", r->name, opt, 1, &v.node, NULL, r,
				r->emb ? r->emb->at : r->rule->name_at, r->emb ? r->emb->end : rn_rule_name_end(r), &map,
				out);
}
