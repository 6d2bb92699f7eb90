/* SPDX-License-Identifier: Apache-2.0
 *
 * Chains of 2 to 5 operators against SQLite: each step is a node that is evaluated
 * as the programs do, and a table made of the tables before.  Every column of a
 * chain has a name of its own, x1, x2, …; a table has its rows' numbers in `i`.
 */
#include "diff.h"

#include "../../lib/op/head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A relation on both sides. */
struct table {
	struct rn_rel *rel;
	struct scope scope; /* names and types of its columns */
	int number;	    /* of the table: t3 */
};

static struct {
	struct rn_backend *backend;
	int columns, tables;	  /* so far */
	struct rn_str rn, lite;	  /* for the report: all steps */
	bool failed;
	bool about[MAX_COLS + 1]; /* by place in the last table */
} chain;

/* ---- steps ------------------------------------------------------------------------------- */

enum { NAME = 16 };

static void new_name(char name[NAME])
{
	snprintf(name, NAME, "x%d", ++chain.columns);
}

/* The options of an operator as JSON, in normal form. */
static json_t *options(const struct rn_op *op, json_t *given)
{
	json_t *set = json_object(), *v, *normal;
	const char *key;

	json_object_foreach(given, key, v)
	{
		const struct rn_opt *o = rn_opt_find(op->opts, op->nopts, key);

		if (!o)
			die(key);
		must(rn_opt_from_json(o, v, &normal, &err));
		must(rn_opt_put(set, o, normal, &err));
	}
	must(rn_opt_finish(set, op->opts, op->nopts, &err));
	return set;
}

/* Evaluate an operator on `n` relations; takes `given`; NULL where it fails. */
static struct rn_rel *eval(const char *op, json_t *given, struct rn_rel *const *in, uint32_t n)
{
	struct rn_node node = { .name = (char *)op, .op = rn_op_find(op), .nin = n };
	struct rn_input inputs[3] = { 0 };
	struct rn_rel *out = NULL;
	char *text = json_dumps(given, JSON_ENCODE_ANY);
	int rc;

	rn_str_addf(&chain.rn, " | %s %s", op, text);
	free(text);
	node.opt = options(node.op, given);
	node.in = inputs;
	rc = node.op->check ? node.op->check(&node, &node.learns, &err) : 0;
	if (!rc)
		rc = rn_eval_node(&ctx, chain.backend, &node, (const struct rn_rel *const *)in, NULL,
				  &out, &err);
	chain.failed = chain.failed || rc;
	json_decref(node.opt);
	json_decref(given);
	return rc ? NULL : out;
}

/* The next table, made by a query; its text. */
static void make_table(struct table *t, const char *query)
{
	struct rn_str s = RN_STR_INIT;

	t->number = ++chain.tables;
	rn_str_addf(&s, "create temp table t%d as %s", t->number, query);
	rn_str_addf(&chain.lite, "%s; ", s.s);
	sql(s.s);
	rn_str_fini(&s);
}

/* A step is done: the table has this relation instead. */
static void replace_rel(struct table *t, struct rn_rel *rel)
{
	rn_rel_unref(t->rel);
	t->rel = rel;
}

/* ", x1, x2" */
static void add_names(struct rn_str *b, const struct scope *s)
{
	for (size_t k = 0; k < s->n; k++)
		rn_str_addf(b, ", %s", s->col[k].name);
}

/* An item of a select list; floats stay floats. */
static void add_item(struct rn_str *b, const char *expr, enum rn_type t, const char *name)
{
	rn_str_addf(b, t == RN_FLOAT64 ? ", cast(%s as real) as %s" : ", %s as %s", expr, name);
}

/* ---- sources ----------------------------------------------------------------------------- */

/* l or r, with columns of other names. */
static struct table source(const struct rn_rel *const *base)
{
	unsigned which = rnd(2);
	struct rn_rel *in = rn_rel_ref((struct rn_rel *)base[which]);
	json_t *cols = json_object();
	struct table t = { 0 };
	struct rn_str q = RN_STR_INIT;
	char name[NAME];

	rn_str_add(&q, "select i");
	for (int col = 0; col < NCOLS; col++) {
		new_name(name);
		add_column(&t.scope, name, columns[col].type, col != K && col != G);
		json_object_set_new(cols, name, json_string(columns[col].name));
		rn_str_addf(&q, ", %s as %s", columns[col].name, name);
	}
	rn_str_addf(&q, " from %s", which ? "r" : "l");
	t.rel = eval("project", json_pack("{s:o}", "cols", cols), &in, 1);
	make_table(&t, q.s);
	rn_str_fini(&q);
	rn_rel_unref(in);
	return t;
}

/* ---- one input ---------------------------------------------------------------------------- */

static void filter(struct table *t)
{
	struct text x = text_new(&t->scope);
	struct rn_str q = RN_STR_INIT;

	gen(&x, RN_BOOL, 3, ANY);
	rn_str_add(&q, "select row_number() over (order by i) - 1 as i");
	add_names(&q, &t->scope);
	rn_str_addf(&q, " from t%d where %s", t->number, x.lite.s);
	replace_rel(t, eval("filter", json_pack("{s:s}", "expr", x.rn.s), &t->rel, 1));
	make_table(t, q.s);
	rn_str_fini(&q);
	text_free(&x);
}

/* Columns kept and computed; `types` of them, or where that is NULL any. */
static void project(struct table *t, const enum rn_type *types, const char *const *names, size_t n)
{
	struct scope out = { 0 };
	struct rn_str q = RN_STR_INIT;
	json_t *cols = json_object();
	char name[NAME];

	rn_str_add(&q, "select i");
	for (size_t k = 0; k < n; k++) {
		const struct column *c = pick_column(&t->scope, types ? types[k] : RN_NTYPES, false);
		struct text x = text_new(&t->scope);
		enum rn_type type;

		type = types ? types[k] : rnd(2) && c ? c->type : (enum rn_type)rnd(RN_NTYPES);
		if (names)
			snprintf(name, sizeof name, "%s", names[k]);
		else
			new_name(name);
		if (c && c->type == type && rnd(3)) {
			put(&x, c->name);
			add_column(&out, name, type, c->small);
		} else {
			gen(&x, type, 3, ANY);
			add_column(&out, name, type, false);
		}
		json_object_set_new(cols, name, json_string(x.rn.s));
		add_item(&q, x.lite.s, type, name);
		text_free(&x);
	}
	rn_str_addf(&q, " from t%d", t->number);
	replace_rel(t, eval("project", json_pack("{s:o}", "cols", cols), &t->rel, 1));
	t->scope = out;
	make_table(t, q.s);
	rn_str_fini(&q);
}

/* Up to `n` of the columns; "", or " group by x1, x2" at the end of b. */
static json_t *pick_group(const struct table *t, size_t n, struct scope *out, struct rn_str *same)
{
	json_t *by = json_array();

	for (size_t k = 0; k < n; k++) {
		const struct column *c = &t->scope.col[rnd((unsigned)t->scope.n)];
		bool again = false;

		for (size_t j = 0; j < out->n; j++)
			again = again || !strcmp(out->col[j].name, c->name);
		if (again)
			continue;
		json_array_append_new(by, json_string(c->name));
		add_column(out, c->name, c->type, c->small);
		rn_str_addf(same, " and m.%s is t%d.%s", c->name, t->number, c->name);
	}
	return by;
}

/* With `n` aggregates of groups; none of them: the distinct keys. */
static void aggregate(struct table *t, size_t n)
{
	struct rn_str same = RN_STR_INIT, q = RN_STR_INIT;
	json_t *given = json_object(), *cols = json_object(), *by;
	struct scope out = { 0 };
	char from[16], name[NAME];
	size_t keys;

	rn_str_add(&same, "true");
	snprintf(from, sizeof from, "t%d", t->number);
	by = pick_group(t, n ? rnd(3) : 1 + rnd(3), &out, &same);
	keys = out.n;
	rn_str_add(&q, keys ? "select row_number() over (order by min(i)) - 1 as i" :
			      "select 0 * count(*) as i");
	add_names(&q, &out);
	for (size_t k = 0; k < n; k++) {
		struct text x = text_new(&t->scope);
		enum rn_type type;
		bool exact;

		new_name(name);
		gen_aggregate(&x, from, same.s, &type, &exact);
		json_object_set_new(cols, name, json_string(x.rn.s));
		add_item(&q, x.lite.s, type, name);
		add_column(&out, name, type, false);
		chain.about[keys + k] = !exact;
		text_free(&x);
	}
	rn_str_addf(&q, " from %s", from);
	for (size_t k = 0; k < keys; k++)
		rn_str_addf(&q, "%s %s", k ? "," : " group by", out.col[k].name);
	if (keys)
		json_object_set_new(given, "by", by);
	else
		json_decref(by);
	if (n)
		json_object_set_new(given, "cols", cols);
	else
		json_decref(cols);
	replace_rel(t, eval("agg", given, &t->rel, 1));
	t->scope = out;
	make_table(t, q.s);
	rn_str_fini(&q);
	rn_str_fini(&same);
}

/* A random order: as RN has it, and for SQL, "x1 desc, x2, ". */
static json_t *pick_order(const struct table *t, struct rn_str *lite)
{
	json_t *order = json_array();

	for (unsigned n = 1 + rnd(3); n; n--) {
		const char *name = t->scope.col[rnd((unsigned)t->scope.n)].name;
		char text[24];

		snprintf(text, sizeof text, "%s%s", name, rnd(2) ? " desc" : "");
		json_array_append_new(order, json_string(text));
		rn_str_addf(lite, "%s, ", text);
	}
	return order;
}

static void sort(struct table *t)
{
	struct rn_str order = RN_STR_INIT, q = RN_STR_INIT;
	json_t *by = pick_order(t, &order);

	rn_str_addf(&q, "select row_number() over (order by %si) - 1 as i", order.s);
	add_names(&q, &t->scope);
	rn_str_addf(&q, " from t%d", t->number);
	replace_rel(t, eval("sort", json_pack("{s:o}", "by", by), &t->rel, 1));
	make_table(t, q.s);
	rn_str_fini(&order);
	rn_str_fini(&q);
}

/* The first rows of groups, in an order or in that of the rows. */
static void head(struct table *t, uint64_t rows)
{
	struct rn_str order = RN_STR_INIT, same = RN_STR_INIT, q = RN_STR_INIT;
	struct scope groups = { 0 };
	json_t *by = pick_group(t, rnd(3), &groups, &same);
	json_t *given = rnd(2) ? pick_order(t, &order) : NULL;
	struct rn_head_conf conf = { .rows = rows, .by = by, .order = given };
	struct rn_rel *out = NULL;
	struct rn_head *h = NULL;
	int rc;

	rn_str_addf(&q, "select row_number() over (order by %si) - 1 as i", order.s ? order.s : "");
	add_names(&q, &t->scope);
	rn_str_add(&q, " from (select *, row_number() over (");
	for (size_t k = 0; k < groups.n; k++)
		rn_str_addf(&q, "%s %s", k ? "," : "partition by", groups.col[k].name);
	rn_str_addf(&q, " order by %si) as place from t%d) where place <= %d",
		    order.s ? order.s : "", t->number, (int)rows);
	rc = rn_head_new(&ctx, &conf, &t->rel->schema, &h, &err);
	if (!rc)
		rc = rn_head_add(h, t->rel, &err);
	if (!rc)
		rc = rn_head_take(h, &out, &err);
	rn_head_free(h);
	chain.failed = chain.failed || rc;
	rn_str_addf(&chain.rn, " | head %d by %s%s", (int)rows, order.s ? order.s : "",
		    same.s ? same.s : "");
	replace_rel(t, out);
	make_table(t, q.s);
	json_decref(by);
	json_decref(given);
	rn_str_fini(&order);
	rn_str_fini(&same);
	rn_str_fini(&q);
}

/* ---- two inputs and more ------------------------------------------------------------------ */

/* Takes u. */
static void append(struct table *t, struct table *u)
{
	const char *names[MAX_COLS];
	enum rn_type types[MAX_COLS];
	struct rn_str q = RN_STR_INIT;
	struct rn_rel *in[2];

	for (size_t k = 0; k < t->scope.n; k++) {
		names[k] = t->scope.col[k].name;
		types[k] = t->scope.col[k].type;
	}
	project(u, types, names, t->scope.n);
	if (chain.failed)
		goto out;
	rn_str_add(&q, "select row_number() over (order by side, i) - 1 as i");
	add_names(&q, &t->scope);
	rn_str_add(&q, " from (select 0 as side, i");
	add_names(&q, &t->scope);
	rn_str_addf(&q, " from t%d union all select 1, i", t->number);
	add_names(&q, &t->scope);
	rn_str_addf(&q, " from t%d)", u->number);
	in[0] = t->rel;
	in[1] = u->rel;
	for (size_t k = 0; k < t->scope.n; k++)
		t->scope.col[k].small = t->scope.col[k].small && u->scope.col[k].small;
	replace_rel(t, eval("union", json_object(), in, 2));
	make_table(t, q.s);
out:
	rn_rel_unref(u->rel);
	rn_str_fini(&q);
}

/* Key columns that may meet, of both; in a full join of one type, as they are merged. */
static size_t pick_keys(const struct table *t, const struct table *u, bool full, size_t most,
			const struct column **l, const struct column **r)
{
	size_t n = 0;

	for (unsigned tries = 0; tries < 200 && n < most; tries++) {
		const struct column *a = pick_column(&t->scope, RN_NTYPES, false);
		const struct column *b = pick_column(&u->scope, RN_NTYPES, false);
		bool numbers = a && b && a->type <= RN_FLOAT64 && b->type <= RN_FLOAT64, again = false;

		if (!a || !b || (a->type != b->type && (full || !numbers)))
			continue;
		for (size_t k = 0; k < n; k++)
			again = again || l[k] == a || r[k] == b;
		if (again)
			continue;
		l[n] = a;
		r[n++] = b;
	}
	return n;
}

static bool is_key(const struct column *c, const struct column *const *keys, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (keys[k] == c)
			return true;
	return false;
}

/* What a join of two has, after its row number. */
static struct scope joined(const struct table *t, const struct table *u, const char *how,
			   const struct column *const *l, const struct column *const *r, size_t n,
			   struct rn_str *q)
{
	bool full = !strcmp(how, "full"), one = !strcmp(how, "semi") || !strcmp(how, "anti");
	struct scope out = t->scope;

	for (size_t c = 0; c < t->scope.n; c++) {
		const struct column *col = &t->scope.col[c];
		size_t k = 0;

		while (k < n && l[k] != col)
			k++;
		if (full && k < n) { /* it holds the values of either */
			out.col[c].small = col->small && r[k]->small;
			rn_str_addf(q, ", coalesce(l.%s, r.%s) as %s", col->name, r[k]->name, col->name);
		} else {
			rn_str_addf(q, ", l.%s", col->name);
		}
	}
	for (size_t c = 0; !one && c < u->scope.n; c++) {
		const struct column *col = &u->scope.col[c];

		if (is_key(col, r, n))
			continue;
		add_column(&out, col->name, col->type, col->small);
		rn_str_addf(q, ", r.%s", col->name);
	}
	return out;
}

/* The rows of a join by its kind; the gap is the condition. */
static void add_from(struct rn_str *q, const char *how, int l, int r, const char *on)
{
	if (!strcmp(how, "semi") || !strcmp(how, "anti"))
		rn_str_addf(q, " from t%d l where %s exists (select 1 from t%d r where %s)", l,
			    *how == 'a' ? "not" : "", r, on);
	else
		rn_str_addf(q, " from t%d l %s join t%d r on %s", l, how, r, on);
}

/* Takes u.  With keys, a condition, or both. */
static void join(struct table *t, struct table *u)
{
	static const char *const kinds[] = { "inner", "left", "semi", "anti", "full" };
	const char *how = kinds[rnd(5)];
	const struct column *l[2], *r[2];
	size_t n = pick_keys(t, u, !strcmp(how, "full"), 1 + rnd(2), l, r);
	struct rn_str on = RN_STR_INIT, q = RN_STR_INIT;
	json_t *given = json_pack("{s:s}", "how", how), *keys = json_object();
	struct rn_rel *in[2] = { t->rel, u->rel };
	struct scope both = t->scope;

	rn_str_add(&on, "true");
	for (size_t k = 0; k < n; k++) {
		json_object_set_new(keys, l[k]->name, json_string(r[k]->name));
		rn_str_addf(&on, " and l.%s = r.%s", l[k]->name, r[k]->name);
	}
	for (size_t c = 0; c < u->scope.n; c++)
		add_column(&both, u->scope.col[c].name, u->scope.col[c].type, u->scope.col[c].small);
	if (n)
		json_object_set(given, "on", keys);
	json_decref(keys);
	if (!n || rnd(2)) {
		struct text x = text_new(&both);

		gen(&x, RN_BOOL, 2, ANY);
		json_object_set_new(given, "and", json_string(x.rn.s));
		rn_str_addf(&on, " and (%s)", x.lite.s);
		text_free(&x);
	}
	rn_str_add(&q, !strcmp(how, "semi") || !strcmp(how, "anti") ?
			       "select row_number() over (order by l.i) - 1 as i" :
			       "select row_number() over (order by l.i is null, l.i, r.i) - 1 as i");
	t->scope = joined(t, u, how, l, r, n, &q);
	add_from(&q, how, t->number, u->number, on.s);
	replace_rel(t, eval("join", given, in, 2));
	make_table(t, q.s);
	rn_rel_unref(u->rel);
	rn_str_fini(&on);
	rn_str_fini(&q);
}

/* Takes u. */
static void join_asof(struct table *t, struct table *u)
{
	const char *how = rnd(2) ? "inner" : "left";
	bool equal = rnd(2);
	enum rn_type type = rnd(2) ? RN_TIMESTAMP : rnd(2) ? RN_INT64 : RN_FLOAT64;
	const struct column *l[1], *r[1], *lt = pick_column(&t->scope, type, false);
	const struct column *rt = pick_column(&u->scope, type, false);
	size_t n = pick_keys(t, u, false, 1, l, r);
	struct rn_str q = RN_STR_INIT, on = RN_STR_INIT;
	struct rn_rel *in[2] = { t->rel, u->rel };

	if (!lt || !rt || !n || l[0] == lt || r[0] == rt) {
		rn_rel_unref(u->rel);
		return;
	}
	rn_str_add(&q, "select row_number() over (order by l.i) - 1 as i");
	rn_str_addf(&on,
		    "r.i = (select m.i from t%d m where m.%s = l.%s and m.%s %s l.%s "
		    "order by m.%s desc, m.i desc limit 1)",
		    u->number, r[0]->name, l[0]->name, rt->name, equal ? "<=" : "<", lt->name,
		    rt->name);
	replace_rel(t, eval("join",
			    json_pack("{s:s, s:{s:s}, s:{s:s}, s:b}", "how", how, "on", l[0]->name,
				      r[0]->name, "asof", lt->name, rt->name, "asof-equal", equal),
			    in, 2));
	t->scope = joined(t, u, how, l, r, n, &q);
	add_from(&q, how, t->number, u->number, on.s);
	make_table(t, q.s);
	rn_rel_unref(u->rel);
	rn_str_fini(&on);
	rn_str_fini(&q);
}

/* Three at once, on a column that all call by one name.  Takes u and v. */
static void join_three(struct table *t, struct table *u, struct table *v)
{
	static const enum rn_type types[] = { RN_INT64, RN_STRING, RN_FLOAT64, RN_TIMESTAMP, RN_BOOL };
	const enum rn_type key[3] = { types[rnd(5)], types[rnd(5)], types[rnd(5)] };
	const char *how = rnd(2) ? "inner" : "left";
	struct table *all[3] = { t, u, v };
	struct rn_str q = RN_STR_INIT;
	struct rn_rel *in[3];
	struct scope out = { 0 };
	char name[3][NAME];

	new_name(name[0]);
	for (int k = 0; k < 3; k++) {
		new_name(name[1]);
		new_name(name[2]);
		project(all[k], (const enum rn_type[]){ key[0], key[1], key[2] },
			(const char *[]){ name[0], name[1], name[2] }, 3);
		if (chain.failed)
			goto out;
		in[k] = all[k]->rel;
	}
	rn_str_add(&q, "select row_number() over (order by a.i, b.i, c.i) - 1 as i");
	for (int k = 0; k < 3; k++)
		for (size_t c = k > 0; c < 3; c++) {
			const struct column *col = &all[k]->scope.col[c];

			rn_str_addf(&q, ", %c.%s", 'a' + k, col->name);
			add_column(&out, col->name, col->type, col->small);
		}
	rn_str_addf(&q, " from t%d a %s join t%d b on a.%s = b.%s %s join t%d c on a.%s = c.%s", t->number,
		    how, u->number, name[0], name[0], how, v->number, name[0], name[0]);
	replace_rel(t, eval("join", json_pack("{s:s, s:s}", "on", name[0], "how", how), in, 3));
	t->scope = out;
	make_table(t, q.s);
out:
	rn_rel_unref(u->rel);
	rn_rel_unref(v->rel);
	rn_str_fini(&q);
}

/* ---- chains ------------------------------------------------------------------------------- */

static void step(struct table *t, const struct rn_rel *const *base)
{
	struct table u, v;

	memset(chain.about, 0, sizeof chain.about);
	switch (rnd(12)) {
	case 0:
	case 1:
		filter(t);
		return;
	case 2:
		project(t, NULL, NULL, 1 + rnd(6));
		return;
	case 3:
	case 4:
		aggregate(t, 1 + rnd(3));
		return;
	case 5:
		aggregate(t, 0);
		return;
	case 6:
		sort(t);
		return;
	case 7:
		head(t, rnd(6));
		return;
	case 8:
		u = source(base);
		append(t, &u);
		return;
	case 9:
		u = source(base);
		join_asof(t, &u);
		return;
	case 10:
		u = source(base);
		v = source(base);
		join_three(t, &u, &v);
		return;
	default:
		u = source(base);
		if (rnd(2))
			filter(&u);
		join(t, &u);
	}
}

/* Rows and columns in bounds for the next step. */
static void limit(struct table *t)
{
	if (!chain.failed && t->scope.n > MAX_COLS - NCOLS - 4)
		project(t, NULL, NULL, 8);
	if (!chain.failed && t->rel->rows > 300)
		head(t, 100);
}

static bool same_columns(const struct table *t)
{
	bool ok = t->rel->schema.ncols == t->scope.n;

	for (size_t k = 0; ok && k < t->scope.n; k++)
		ok = !strcmp(t->rel->schema.cols[k].name, t->scope.col[k].name) &&
		     t->rel->schema.cols[k].type == t->scope.col[k].type;
	return ok;
}

static bool same_rows(const struct table *t)
{
	struct rn_str q = RN_STR_INIT;
	bool ok;

	rn_str_add(&q, "select ");
	for (size_t k = 0; k < t->scope.n; k++)
		rn_str_addf(&q, "%s%s", k ? ", " : "", t->scope.col[k].name);
	rn_str_addf(&q, " from t%d order by i", t->number);
	ok = columns_are(q.s, t->rel->cols, t->scope.n, chain.about);
	rn_str_fini(&q);
	return ok;
}

static void drop_tables(void)
{
	char text[40];

	for (int k = 1; k <= chain.tables; k++) {
		snprintf(text, sizeof text, "drop table if exists temp.t%d", k);
		sql(text);
	}
}

bool check_chain(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	const struct rn_rel *base[2] = { l, r };
	unsigned steps = 2 + rnd(4);
	struct table t;
	bool ok;

	memset(&chain, 0, sizeof chain);
	chain.rn = chain.lite = RN_STR_INIT;
	must(rn_cpu_backend(1, &chain.backend, &err));
	t = source(base);
	for (unsigned k = 0; k < steps && !chain.failed; k++) {
		if (k)
			limit(&t);
		if (!chain.failed)
			step(&t, base);
		/* What is right up to rounding only cannot be compared any further. */
		for (size_t c = 0; c < t.scope.n; c++)
			if (chain.about[c])
				k = steps;
	}
	ok = !chain.failed && same_columns(&t) && same_rows(&t);
	report(ok, pair, chain.rn.s, chain.lite.s);
	rn_rel_unref(t.rel);
	drop_tables();
	chain.backend->close(chain.backend);
	rn_str_fini(&chain.rn);
	rn_str_fini(&chain.lite);
	return ok;
}
