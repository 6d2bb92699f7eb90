/* SPDX-License-Identifier: Apache-2.0
 *
 * Random plans over random relations for the tests of rewrites: patterns of joins, cyclic or
 * not, under an aggregate, with learned embeddings at their leaves, duplicates, NULL keys, empty
 * relations, comparisons, and what may stand above and below: filters, unions, and layers of a
 * network.
 */
#ifndef REWRITE_GEN_H
#define REWRITE_GEN_H

#include "t.h"

#include "../../lib/base/json.h"
#include "../../lib/plan/plan.h"

#include <stdarg.h>

enum { GEN_NODES = 256, GEN_VARS = 6, GEN_WIDTH = 3 };

static struct rn_err err;
static uint64_t seed = 1;

static unsigned rnd(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static bool odds(unsigned percent)
{
	return rnd(100) < percent;
}

struct gen {
	struct rn_plan *plan;
	struct rn_rel *carried[GEN_NODES];
	uint32_t pairs[2], singles[2]; /* sources */
	unsigned nlearned;
	/* the pattern */
	uint32_t top;
	unsigned nvars, nparts;
	char col[GEN_VARS][16]; /* by variable: its column so far, or "" */
	char part[12][8];       /* names of the parts */
	bool left;              /* there is a left side */
};

/* ---- nodes ------------------------------------------------------------------------------ */

static uint32_t add(struct gen *g, const char *op, const char *name, uint32_t a, const char *as,
		    uint32_t b, const char *bs, const char *fmt, ...)
	__attribute__((format(printf, 8, 9)));

/* A node of inputs a and b (RN_NONE: none) with options as JSON, ' for ". */
static uint32_t add(struct gen *g, const char *op, const char *name, uint32_t a, const char *as,
		    uint32_t b, const char *bs, const char *fmt, ...)
{
	char text[1024], own[16];
	uint32_t node = 0;
	json_t *opt;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (char *s = text; *s; s++)
		*s = *s == '\'' ? '"' : *s;
	opt = json_loads(text, 0, NULL);
	if (!opt)
		printf("# bad options: %s\n", text);
	snprintf(own, sizeof own, "%s%u", op, g->plan->nnodes);
	T_CALL(rn_plan_add(g->plan, rn_op_find(op), name ? name : own, NULL, opt, &node, &err), &err);
	if (a != RN_NONE)
		T_CALL(rn_plan_add_input(g->plan, node, as, NULL, a, &err), &err);
	if (b != RN_NONE)
		T_CALL(rn_plan_add_input(g->plan, node, bs, NULL, b, &err), &err);
	return node;
}

static uint32_t add1(struct gen *g, const char *op, uint32_t in, const char *opt)
{
	return add(g, op, NULL, in, NULL, RN_NONE, NULL, "%s", opt);
}

/* ---- relations ---------------------------------------------------------------------------- */

static struct rn_column *column(uint64_t rows, unsigned values, bool nulls)
{
	struct rn_column *c = NULL;
	uint64_t n = 0;

	T_CALL(rn_column_new(RN_INT64, rows, &c, &err), &err);
	if (nulls)
		T_CALL(rn_column_need_null(c, &err), &err);
	for (uint64_t i = 0; i < rows; i++) {
		bool null = nulls && odds(8);

		c->i64[i] = null ? 0 : (int64_t)rnd(values);
		if (nulls)
			c->null[i] = null;
		n += null;
	}
	if (nulls)
		rn_column_set_nulls(c, n);
	return c;
}

static struct rn_rel *relation(unsigned ncols, unsigned values)
{
	uint64_t rows = odds(5) ? 0 : 2 + rnd(14);
	struct rn_shape shape = { 1, { GEN_WIDTH } };
	struct rn_tensor *t = NULL;
	struct rn_rel *r = NULL;
	bool nulls = odds(40);

	T_CALL(rn_rel_new("x", rows, &r, &err), &err);
	for (unsigned i = 0; i < ncols; i++)
		T_CALL(rn_rel_add_col(r, i ? i > 1 ? "w" : "b" : "a", NULL,
				      column(rows, values, nulls && i < 2), &err), &err);
	T_CALL(rn_tensor_new(&shape, rows, &t, &err), &err);
	for (uint64_t i = 0; i < rows * GEN_WIDTH; i++)
		t->data[i] = (float)rnd(2000) / 1000 - 1;
	T_CALL(rn_rel_add_part(r, "z", t, NULL, &err), &err);
	return r;
}

static void sources(struct gen *g)
{
	unsigned values = 3 + rnd(5);

	for (unsigned i = 0; i < 2; i++) {
		g->pairs[i] = add(g, "scan", i ? "E1" : "E0", RN_NONE, NULL, RN_NONE, NULL,
				  "{'from': 'e%u.csv'}", i);
		g->carried[g->pairs[i]] = relation(3, values);
		g->singles[i] = add(g, "scan", i ? "U1" : "U0", RN_NONE, NULL, RN_NONE, NULL,
				    "{'from': 'u%u.csv'}", i);
		g->carried[g->singles[i]] = relation(1, values);
	}
}

/* ---- patterns ------------------------------------------------------------------------------- */

/* An atom over one or two variables: a source, perhaps filtered, its embedding learned or dropped,
 * under column names of its own. */
static uint32_t atom(struct gen *g, bool pair, unsigned number, bool *emb)
{
	uint32_t n = pair ? g->pairs[rnd(2)] : g->singles[rnd(2)];

	*emb = odds(pair ? 30 : 80);
	if (odds(15))
		n = add1(g, "filter", n, "{'expr': 'a >= 1'}");
	if (*emb)
		n = add(g, "map", NULL, n, NULL, RN_NONE, NULL,
			"{'expr': 'tanh(Linear(3, %u, name=\\'L%u\\')(z))'}", odds(15) ? 1 : 2,
			odds(70) ? g->nlearned++ : 0);
	if (pair)
		return add(g, "project", NULL, n, NULL, RN_NONE, NULL,
			   "{'cols': {'a%u': 'a', 'b%u': 'b', 'w%u': 'w'}, 'embedding': %s}", number,
			   number, number, *emb ? "true" : "false");
	return add(g, "project", NULL, n, NULL, RN_NONE, NULL,
		   "{'cols': {'a%u': 'a'}, 'embedding': %s}", number, *emb ? "true" : "false");
}

/* Join an atom over variables x and y (or y < 0: x alone). */
static void join_atom(struct gen *g, int x, int y, unsigned number)
{
	char keys[96] = "", cols[2][16], as[8];
	uint32_t n;
	bool emb;

	n = atom(g, y >= 0, number, &emb);
	snprintf(as, sizeof as, "p%u", number);
	snprintf(cols[0], sizeof *cols, "a%u", number);
	snprintf(cols[1], sizeof *cols, "b%u", number);
	for (int k = 0; k < (y >= 0 ? 2 : 1); k++) {
		int v = k ? y : x;

		if (*g->col[v])
			snprintf(keys + strlen(keys), sizeof keys - strlen(keys), "%s'%s': '%s'",
				 *keys ? ", " : "", g->col[v], cols[k]);
		else
			strcpy(g->col[v], cols[k]);
	}
	if (g->left)
		g->top = add(g, "join", NULL, g->top, g->nparts == 1 ? g->part[0] : "j", n, as,
			     "{'on': {%s}}", keys);
	else
		g->top = n;
	if (emb)
		strcpy(g->part[g->nparts++], g->left ? as : "p0");
	g->left = true;
}

static void pattern(struct gen *g)
{
	unsigned n = 0;

	g->nvars = 2 + rnd(GEN_VARS - 1);
	g->nparts = 0;
	g->left = false;
	memset(g->col, 0, sizeof g->col);
	for (unsigned v = 1; v < g->nvars; v++) { /* a tree, */
		unsigned u = odds(60) ? v - 1 : rnd(v);
		bool turned = v > 1 && odds(40);

		join_atom(g, (int)(turned ? v : u), (int)(turned ? u : v), n++);
	}
	for (unsigned k = rnd(3); k && g->nvars > 2; k--) { /* … and what closes cycles */
		unsigned u = rnd(g->nvars), v = odds(50) ? 0 : rnd(g->nvars);

		if (u != v)
			join_atom(g, (int)u, (int)v, n++);
	}
	for (unsigned v = 0; v < g->nvars; v++)
		if (odds(60))
			join_atom(g, (int)v, -1, n++);
	if (!g->nparts)
		join_atom(g, 0, -1, n++);
	if (!g->nparts) {
		g->top = add(g, "map", NULL, g->top, NULL, RN_NONE, NULL,
			     "{'expr': 'Tensor(1, 2, 0.5, name=\\'T\\')'}");
		strcpy(g->part[g->nparts++], "z");
	}
	if (odds(30)) {
		static const char *const ops[] = { "<", "!=", ">=" };
		unsigned u = rnd(g->nvars), v = rnd(g->nvars);

		g->top = add(g, "filter", NULL, g->top, NULL, RN_NONE, NULL, "{'expr': '%s %s %s'}",
			     g->col[u], ops[rnd(3)], g->col[v]);
	}
}

static void factor(const struct gen *g, char *out, size_t size)
{
	static const char *const forms[] = { "%s", "%s", "%s", "tanh(%s)", "exp(-%s * %s)",
					     "(1.5 - %s)", "(%s + 0.25 * %s)" };
	const char *a = g->nparts == 1 ? "z" : g->part[rnd(g->nparts)];
	const char *b = g->nparts == 1 || odds(70) ? a : g->part[rnd(g->nparts)];
	char text[64];

	snprintf(text, sizeof text, "%s", forms[rnd(sizeof forms / sizeof *forms)]);
	for (char *s = strstr(text, "%s"); s; s = strstr(text, "%s")) {
		char rest[64];

		strcpy(rest, s + 2);
		snprintf(s, sizeof text - (size_t)(s - text), "%s%s", a, rest);
		a = b;
	}
	snprintf(out, size, "%s", text);
}

static void expression(const struct gen *g, char *out, size_t size)
{
	unsigned terms = odds(60) ? 1 : 1 + rnd(3);
	size_t n = 0;

	for (unsigned t = 0; t < terms; t++) {
		n += (size_t)snprintf(out + n, size - n, "%s%s", t ? odds(50) ? " + " : " - " : "",
				      odds(20) ? "0.5 * " : "");
		for (unsigned k = 0, factors = 1 + rnd(4); k < factors; k++) {
			char f[64];

			factor(g, f, sizeof f);
			n += (size_t)snprintf(out + n, size - n, "%s%s", k ? " * " : "", f);
		}
	}
}

/* The aggregate: groups of some variables, first ones more often. */
static uint32_t aggregate(struct gen *g, bool content)
{
	char by[64] = "", cols[96] = "", expr[768] = "", text[512], name[16];
	uint32_t in;

	for (unsigned v = 0; v < g->nvars; v++) {
		if (!(v ? odds(v == 1 ? 30 : 10) : odds(85)))
			continue;
		snprintf(name, sizeof name, "g%u", v);
		snprintf(by + strlen(by), sizeof by - strlen(by), "%s'%s'", *by ? ", " : "", name);
		snprintf(cols + strlen(cols), sizeof cols - strlen(cols), "%s'%s': '%s'",
			 *cols ? ", " : "", name, g->col[v]);
	}
	in = add(g, "project", NULL, g->top, NULL, RN_NONE, NULL, "{'cols': {%s%s'k': '%s'}}", cols,
		 *cols ? ", " : "", g->col[0]);
	if (!content) {
		expression(g, text, sizeof text);
		snprintf(expr, sizeof expr, "'expr': '%s(%s)', ", odds(75) ? "sum" : "mean", text);
	}
	return add(g, "agg", content ? "N" : "A", in, NULL, RN_NONE, NULL, "{%s'by': [%s]%s}", expr, by,
		   content || odds(25) ? ", 'cols': {'n': 'count(*)'}" : "");
}

/* Aggregated once more by what is its key, or by less of it. */
static uint32_t again(struct gen *g, uint32_t n)
{
	static const char *const forms[] = { "sum(2 * z)", " mean(z + 1) ", "max(tanh(z))", "min((z) * (z))" };
	json_t *by = json_deep_copy(rn_node_json(&g->plan->nodes[n], "by"));
	char *text;

	if (json_array_size(by) > 1 && odds(30))
		json_array_remove(by, json_array_size(by) - 1);
	text = json_dumps(by, 0);
	for (char *c = text; *c; c++)
		if (*c == '"')
			*c = '\'';
	n = add(g, "agg", NULL, n, NULL, RN_NONE, NULL, "{'expr': '%s', 'by': %s}", forms[rnd(4)], text);
	free(text);
	json_decref(by);
	return n;
}

/* ---- a network ------------------------------------------------------------------------------ */

/* Relation n with key column *key and an embedding of so many values, and what is behind it. */
struct layer {
	uint32_t n;
	char key[16];
	unsigned width;
};

static void dense(struct gen *g, struct layer *x)
{
	static const char *const forms[] = { "ReLU(%s)", "tanh(%s)", "%s", "%s / 2 + 1" };
	char linear[96], expr[128];

	snprintf(linear, sizeof linear, "Linear(%u, 3, name=\\'L%u\\')(z)", x->width,
		 odds(80) ? g->nlearned++ : 1);
	snprintf(expr, sizeof expr, forms[rnd(4)], linear);
	if (x->width != 2 && strstr(expr, "\\'L1\\'")) /* a parameter has one shape */
		return;
	x->n = add(g, "map", NULL, x->n, NULL, RN_NONE, NULL, "{'expr': '%s'}", expr);
	x->width = 3;
}

/* Along edges that begin at the key, to where they end. */
static void pass_on(struct gen *g, struct layer *x)
{
	static const char *const forms[] = { "sum(h * [w])", "mean(h)", "max(h)", "sum(h)",
					     "sum(softmax(rowsum(h); t) * h)",
					     "sum(h * rowsum(e))", "sum([w] * h / (1 + e * e))" };
	unsigned form = rnd(x->width == 3 ? 7 : 6);
	uint32_t e = add(g, "project", NULL, g->pairs[rnd(2)], NULL, RN_NONE, NULL,
			 "{'cols': {'s': 'a', 't': 'b', 'w': 'w'}, 'embedding': %s}",
			 form < 5 ? "false" : "true");

	x->n = add(g, "join", NULL, x->n, "h", e, "e", "{'on': {'%s': 's'}}", x->key);
	if (odds(30))
		x->n = add(g, "filter", NULL, x->n, NULL, RN_NONE, NULL, "{'expr': 'w > 0'}");
	x->n = add(g, "agg", NULL, x->n, NULL, RN_NONE, NULL, "{'expr': '%s', 'by': ['t']}",
		   forms[form]);
	strcpy(x->key, "t");
}

/* Beside the row of another relation, where it has one. */
static void beside(struct gen *g, struct layer *x)
{
	uint32_t u = add(g, "project", NULL, g->singles[rnd(2)], NULL, RN_NONE, NULL,
			 "{'cols': {'k': 'a'}}");

	x->n = add(g, "join", NULL, x->n, "h", u, "u", "{'on': {'%s': 'k'}, 'how': '%s'}", x->key,
		   odds(60) ? "left" : "inner");
	x->n = add(g, "map", NULL, x->n, NULL, RN_NONE, NULL,
		   "{'expr': 'Linear(%u, 2, name=\\'L%u\\')(Concat(h, u))'}", x->width + 3,
		   g->nlearned++);
	x->width = 2;
}

/* Rows whose key is `key`; the embedding is of width 1 or 2, as atoms are. */
static uint32_t network(struct gen *g, uint32_t n, const char *key)
{
	struct layer x = { .n = n, .width = 3 };

	x.n = add(g, "map", NULL, x.n, NULL, RN_NONE, NULL,
		  "{'expr': 'Concat(rowsum(z), 2 * rowsum(z), tanh(rowsum(z)))'}");
	snprintf(x.key, sizeof x.key, "%s", key);
	for (unsigned k = 1 + rnd(4); k; k--) {
		unsigned what = rnd(3);

		if (what == 0)
			dense(g, &x);
		else if (what == 1)
			pass_on(g, &x);
		else
			beside(g, &x);
	}
	return x.n;
}

/* ---- above ---------------------------------------------------------------------------------- */

/* What may stand above: parts of a model that read it once or twice. */
static uint32_t above(struct gen *g, uint32_t n)
{
	bool column = json_array_size(rn_node_json(&g->plan->nodes[n], "by"));
	const char *key = column ? json_string_value(json_array_get(
					   rn_node_json(&g->plan->nodes[n], "by"), 0))
				 : NULL;
	uint32_t m;

	if (key && odds(40))
		n = again(g, n);
	if (key && odds(30))
		n = add(g, "filter", NULL, n, NULL, RN_NONE, NULL, "{'expr': '%s != 1'}", key);
	if (key && odds(50))
		return network(g, n, key);
	if (key && odds(30)) {
		m = add(g, "project", NULL, n, NULL, RN_NONE, NULL, "{'cols': {'q': '%s'}}", key);
		n = add(g, "project", NULL, n, NULL, RN_NONE, NULL, "{'cols': {'q': '%s'}}", key);
		if (odds(50))
			m = add1(g, "filter", m, "{'expr': 'q < 4'}");
		n = odds(50) ? add(g, "union", NULL, n, NULL, m, NULL, "{}") : n;
	}
	return n;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static void gen_fini(struct gen *g)
{
	for (unsigned i = 0; i < GEN_NODES; i++)
		rn_rel_unref(g->carried[i]);
	rn_plan_free(g->plan);
}

/* Runs 0 and 1: a learned result, and counts that learn nothing. */
static void gen_plan(struct gen *g)
{
	uint32_t a, n;

	*g = (struct gen){ .nlearned = 1 };
	T_CALL(rn_plan_new(&g->plan, &err), &err);
	sources(g);
	pattern(g);
	a = above(g, aggregate(g, false));
	pattern(g);
	n = aggregate(g, true);
	T_CALL(rn_plan_add_run(g->plan, RN_RUN_PRED, a, NULL, &err), &err);
	T_CALL(rn_plan_add_run(g->plan, RN_RUN_PRED, n, json_pack("{s:s}", "name", "n"), &err), &err);
}

#endif
