/* SPDX-License-Identifier: Apache-2.0 */
#include "pattern.h"

#include "../../expr/content.h"
#include "../../op/join_schema.h"
#include "../../rel/key.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 4 * RN_PATTERN_ATOMS };

static int flatten(struct rn_pattern *p, const struct rn_rewriting *r, uint32_t node,
		   unsigned depth, uint32_t **cols, struct rn_err *e);

/* ---- columns ------------------------------------------------------------------------------ */

static uint32_t root(const struct rn_pattern *p, uint32_t col)
{
	while (p->of[col] != col)
		col = p->of[col];
	return col;
}

static void unify(struct rn_pattern *p, uint32_t a, uint32_t b)
{
	a = root(p, a);
	b = root(p, b);
	if (a < b)
		p->of[b] = a;
	else
		p->of[a] = b;
}

static int new_cols(struct rn_pattern *p, size_t n, uint32_t **out, struct rn_err *e)
{
	*out = rn_arena_alloc(&p->arena, (n ? n : 1) * sizeof **out, e);
	return *out ? 0 : RN_ENOMEM;
}

static int grow(struct rn_pattern *p, uint32_t ncols, struct rn_err *e)
{
	size_t caps[3] = { p->cap_cols, p->cap_cols, p->cap_cols };

	RN_TRY(rn_grow(&p->of, &caps[0], (size_t)p->ncols + ncols + 1, sizeof *p->of, "a plan", e));
	RN_TRY(rn_grow(&p->atom, &caps[1], (size_t)p->ncols + ncols + 1, sizeof *p->atom, "a plan",
		       e));
	RN_TRY(rn_grow(&p->var, &caps[2], (size_t)p->ncols + ncols + 1, sizeof *p->var, "a plan",
		       e));
	p->cap_cols = (uint32_t)caps[0];
	return 0;
}

static int add_atom(struct rn_pattern *p, const struct rn_rewriting *r, uint32_t node,
		    uint32_t **cols, struct rn_err *e)
{
	const struct rn_schema *s = rn_rewriting_schema(r, node);
	const struct rn_pattern_atom *last = p->natoms ? &p->atoms[p->natoms - 1] : NULL;
	struct rn_pattern_atom *a = &p->atoms[p->natoms];

	if (p->natoms == RN_PATTERN_ATOMS) {
		p->mixed = true;
		return new_cols(p, s->ncols, cols, e);
	}
	RN_TRY(new_cols(p, s->ncols, cols, e));
	RN_TRY(grow(p, (uint32_t)s->ncols, e));
	*a = (struct rn_pattern_atom){ .node = node, .first = p->ncols, .ncols = (uint32_t)s->ncols,
				       .part = last ? last->part + last->nparts : 0,
				       .nparts = (uint32_t)s->nparts };
	for (uint32_t i = 0; i < a->ncols; i++) {
		p->of[a->first + i] = a->first + i;
		p->atom[a->first + i] = p->natoms;
		(*cols)[i] = a->first + i;
	}
	p->ncols += a->ncols;
	p->natoms++;
	return 0;
}

/* ---- comparisons -------------------------------------------------------------------------- */

/* A name, plain or in backquotes, at the beginning of s; its length in the text. */
static size_t read_name(const char *s, char *out, size_t size)
{
	size_t n = 0;

	if (*s == '`') {
		while (s[n + 1] && s[n + 1] != '`' && n + 1 < size) {
			out[n] = s[n + 1];
			n++;
		}
		out[n] = '\0';
		return s[n + 1] == '`' && n ? n + 2 : 0;
	}
	if (!isalpha((unsigned char)*s) && *s != '_')
		return 0;
	while ((isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '.') && n + 1 < size) {
		out[n] = s[n];
		n++;
	}
	out[n] = '\0';
	return isalnum((unsigned char)s[n]) ? 0 : n;
}

static size_t skip_space(const char *s)
{
	return strspn(s, " \t\n\r\f\v");
}

static size_t read_operator(const char *s, char op[3])
{
	static const char *const ops[] = { "<>", "!=", "<=", ">=", "==", "<", ">", "=" };

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (!strncmp(s, ops[i], strlen(ops[i]))) {
			memcpy(op, ops[i], strlen(ops[i]) + 1);
			return strlen(ops[i]);
		}
	return 0;
}

/* "x < y and u != v" as tests over columns of s, whose numbers in the pattern are cols; false:
 * it is something else. */
static bool read_tests(struct rn_pattern *p, const char *text, const struct rn_schema *s,
		       const uint32_t *cols)
{
	uint32_t n = p->ntests;
	char name[2][256];
	size_t at[2], len;

	for (;; text += len) {
		struct rn_pattern_test t;

		for (int k = 0; k < 2; k++) {
			text += skip_space(text);
			len = read_name(text, name[k], sizeof name[k]);
			if (!len || rn_schema_find(s, name[k], &at[k], NULL))
				return false;
			text += len;
			text += skip_space(text);
			len = k ? 0 : read_operator(text, t.op);
			if (!k && !len)
				return false;
			text += len;
		}
		if (n == RN_PATTERN_TESTS || s->cols[at[0]].type != s->cols[at[1]].type)
			return false;
		t.a = cols[at[0]];
		t.b = cols[at[1]];
		p->tests[n++] = t;
		if (!*text)
			break;
		len = 3;
		if (strncasecmp(text, "and", 3) || isalnum((unsigned char)text[3]) || text[3] == '_')
			return false;
	}
	p->ntests = n;
	return true;
}

/* ---- joins -------------------------------------------------------------------------------- */

/* The condition of a join of the rows `left` with the last input's columns. */
static int read_condition(struct rn_pattern *p, const struct rn_node *n,
			  const struct rn_schema *const *in, const struct rn_schema *left,
			  const struct rn_join_keys *k, const uint32_t *lcols,
			  const uint32_t *rcols, bool *ok, struct rn_err *e)
{
	struct rn_join_pair pair = { 0 };
	uint32_t *cols;
	int rc;

	RN_GOTO(out, rn_join_pair_schema(n, in, left, k, &pair, e));
	RN_GOTO(out, new_cols(p, pair.schema.ncols, &cols, e));
	for (size_t i = 0; i < pair.schema.ncols; i++)
		cols[i] = pair.right[i] ? rcols[pair.col[i]] : lcols[pair.col[i]];
	*ok = read_tests(p, rn_node_string(n, "and"), &pair.schema, cols);
out:
	rn_join_pair_fini(&pair);
	return rc;
}

static bool is_key(const struct rn_join_keys *k, size_t col)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->right[i] == col)
			return true;
	return false;
}

/* Input i's columns are joined to those so far, *cols of *n. */
static int join_input(struct rn_pattern *p, const struct rn_join_keys *k, const uint32_t *right,
		      size_t nright, uint32_t **cols, size_t *n, struct rn_err *e)
{
	uint32_t *all;

	RN_TRY(new_cols(p, *n + nright, &all, e));
	memcpy(all, *cols, *n * sizeof *all);
	for (size_t i = 0; i < k->n && !p->mixed; i++)
		unify(p, all[k->left[i]], right[k->right[i]]);
	for (size_t j = 0; j < nright; j++)
		if (!is_key(k, j))
			all[(*n)++] = right[j];
	*cols = all;
	return 0;
}

static int flatten_inputs(struct rn_pattern *p, const struct rn_rewriting *r, uint32_t node,
			  unsigned depth, const struct rn_schema *const *in,
			  const struct rn_join_keys *keys, const struct rn_schema *left,
			  uint32_t **cols, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(r, node);
	size_t ncols = in[0]->ncols;
	bool ok = true;

	RN_TRY(flatten(p, r, n->in[0].node, depth + 1, cols, e));
	for (uint32_t i = 1; i < n->nin; i++) {
		uint32_t *right;

		RN_TRY(flatten(p, r, n->in[i].node, depth + 1, &right, e));
		if (i + 1 == n->nin && rn_node_string(n, "and"))
			RN_TRY(read_condition(p, n, in, left, &keys[i - 1], *cols, right, &ok, e));
		RN_TRY(join_input(p, &keys[i - 1], right, in[i]->ncols, cols, &ncols, e));
	}
	p->mixed = p->mixed || !ok;
	return 0;
}

static int flatten_join(struct rn_pattern *p, const struct rn_rewriting *r, uint32_t node,
			unsigned depth, uint32_t **cols, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(r, node);
	struct rn_schema left = { 0 }, out = { 0 };
	const struct rn_schema **in = NULL;
	struct rn_join_keys *keys = NULL;
	int rc;

	RN_GOTO(out, rn_calloc(n->nin, sizeof *keys, "join keys", &keys, e));
	RN_GOTO(out, rn_calloc(n->nin, sizeof(struct rn_schema *), "inputs", &in, e));
	for (uint32_t i = 0; i < n->nin; i++)
		in[i] = rn_rewriting_schema(r, n->in[i].node);
	RN_GOTO(out, rn_join_schema(n, in, keys, &left, &out, e));
	rc = flatten_inputs(p, r, node, depth, in, keys, &left, cols, e);
out:
	rn_schema_fini(&left);
	rn_schema_fini(&out);
	free(in);
	free(keys);
	return rc;
}

/* ---- the other operators ------------------------------------------------------------------- */

/* Columns of a projection that only keeps and renames: at[i] of the input; false: it computes. */
static bool renames(const struct rn_node *n, const struct rn_schema *s, size_t *at)
{
	const char *name;
	size_t i = 0;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)rn_node_json(n, "cols"), name, v) {
		const char *text = json_string_value(v);
		struct rn_cexpr *x;
		long col;

		if (!strcmp(name, text) && !rn_schema_find(s, name, &at[i], NULL)) {
			i++;
			continue;
		}
		if (rn_cexpr_parse(text, s, &x, NULL))
			return false;
		col = rn_cexpr_column(x);
		rn_cexpr_free(x);
		if (col < 0)
			return false;
		at[i++] = (size_t)col;
	}
	return true;
}

static int flatten_project(struct rn_pattern *p, const struct rn_rewriting *r, uint32_t node,
			   unsigned depth, bool *done, uint32_t **cols, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(r, node);
	const struct rn_schema *in = rn_rewriting_schema(r, n->in[0].node);
	size_t count = rn_rewriting_schema(r, node)->ncols, *at;
	uint32_t *from;
	int rc = 0;

	if (!rn_node_flag(n, "embedding") && in->nparts)
		return 0;
	RN_TRY(rn_calloc(count, sizeof *at, "columns", &at, e));
	if (!renames(n, in, at))
		goto out;
	RN_GOTO(out, flatten(p, r, n->in[0].node, depth + 1, &from, e));
	RN_GOTO(out, new_cols(p, count, cols, e));
	for (size_t i = 0; i < count; i++)
		(*cols)[i] = from[at[i]];
	*done = true;
out:
	free(at);
	return rc;
}

/* Is the predicate made of comparisons of columns?  (The names are looked up again later.) */
static bool only_tests(const struct rn_rewriting *r, const struct rn_node *n)
{
	const struct rn_schema *s = rn_rewriting_schema(r, n->in[0].node);
	struct rn_pattern probe = { 0 };
	uint32_t *zeros = calloc(s->ncols + 1, sizeof *zeros);
	bool ok = zeros && read_tests(&probe, rn_node_string(n, "expr"), s, zeros);

	free(zeros);
	return ok;
}

static bool is_inner(const struct rn_node *n)
{
	return rn_join_kind_of(n) == RN_JOIN_INNER && !rn_node_json(n, "asof") &&
	       !rn_node_string(n, "expr") && !n->learns;
}

static int flatten(struct rn_pattern *p, const struct rn_rewriting *r, uint32_t node,
		   unsigned depth, uint32_t **cols, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(r, node);
	const struct rn_rewrite_facts *f = &r->facts[node];
	bool done = false;

	if (f->leaf || f->made || (depth && (f->users > 1 || f->runs)) || depth > MAX_DEPTH)
		return add_atom(p, r, node, cols, e);
	if (!strcmp(n->op->name, "join") && is_inner(n))
		return flatten_join(p, r, node, depth, cols, e);
	if (!strcmp(n->op->name, "project")) {
		RN_TRY(flatten_project(p, r, node, depth, &done, cols, e));
	} else if (!strcmp(n->op->name, "filter") && only_tests(r, n)) {
		RN_TRY(flatten(p, r, n->in[0].node, depth + 1, cols, e));
		done = read_tests(p, rn_node_string(n, "expr"),
				  rn_rewriting_schema(r, n->in[0].node), *cols);
		p->mixed = p->mixed || !done;
		return 0;
	}
	return done ? 0 : add_atom(p, r, node, cols, e);
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* Equal columns must be of one type, and of different atoms, and no name hold what quotes it.
 * last[]: by column, 1 + the last atom that had one that equals it. */
static bool is_mixed(const struct rn_pattern *p, const struct rn_rewriting *r, uint32_t *last)
{
	for (uint32_t i = 0; i < p->ncols; i++) {
		const struct rn_pattern_atom *a = &p->atoms[p->atom[i]];
		const struct rn_pattern_atom *b = &p->atoms[p->atom[p->of[i]]];

		if (rn_rewriting_schema(r, a->node)->cols[i - a->first].type !=
			    rn_rewriting_schema(r, b->node)->cols[p->of[i] - b->first].type ||
		    last[p->of[i]] == p->atom[i] + 1 ||
		    strchr(rn_rewriting_schema(r, a->node)->cols[i - a->first].name, '`'))
			return true;
		last[p->of[i]] = p->atom[i] + 1;
	}
	return false;
}

int rn_pattern_init(struct rn_pattern *p, const struct rn_rewriting *r, uint32_t top,
		    struct rn_err *e)
{
	uint32_t *last;
	int rc;

	memset(p, 0, sizeof *p);
	p->top = top;
	RN_GOTO(fail, flatten(p, r, top, 0, &p->cols, e));
	RN_GOTO(fail, new_cols(p, p->ncols, &last, e));
	for (uint32_t i = 0; i < p->ncols; i++)
		p->of[i] = root(p, i);
	p->mixed = p->mixed || is_mixed(p, r, last);
	return 0;
fail:
	rn_pattern_fini(p);
	return rc;
}

void rn_pattern_fini(struct rn_pattern *p)
{
	free(p->of);
	free(p->atom);
	free(p->var);
	rn_arena_fini(&p->arena);
}

bool rn_pattern_number(struct rn_pattern *p, const bool *use)
{
	for (uint32_t i = 0; i < p->ncols; i++) /* RN_NONE: it stays dead */
		p->var[i] = RN_NONE;
	for (uint32_t i = 0; i < p->ncols; i++)
		if (use[i] || p->of[i] != i)
			p->var[p->of[i]] = 0;
	for (uint32_t t = 0; t < p->ntests; t++)
		p->var[p->of[p->tests[t].a]] = p->var[p->of[p->tests[t].b]] = 0;
	for (uint32_t i = 0; i < p->ncols; i++) {
		if (p->of[i] != i || p->var[i] == RN_NONE)
			continue;
		if (p->nvars == RN_PATTERN_VARS)
			return false;
		p->var[i] = p->nvars++;
	}
	for (uint32_t i = 0; i < p->ncols; i++) {
		p->var[i] = p->var[p->of[i]];
		if (p->var[i] != RN_NONE)
			p->atoms[p->atom[i]].vars |= UINT64_C(1) << p->var[i];
	}
	for (uint32_t t = 0; t < p->ntests; t++) {
		p->tests[t].a = p->var[p->tests[t].a];
		p->tests[t].b = p->var[p->tests[t].b];
	}
	return true;
}

uint32_t rn_pattern_column(const struct rn_pattern *p, uint32_t a, uint32_t v)
{
	for (uint32_t i = 0; i < p->atoms[a].ncols; i++)
		if (p->var[p->atoms[a].first + i] == v)
			return i;
	return RN_NONE;
}

/* ---- estimates ------------------------------------------------------------------------------ */

void rn_estimate_atom(const struct rn_pattern *p, uint32_t a, struct rn_estimate *out)
{
	out->vars = p->atoms[a].vars;
	out->rows = p->atoms[a].rows;
	out->components = p->components;
	memcpy(out->distinct, p->atoms[a].distinct, sizeof out->distinct);
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

/* Distinct values of some variables together: those of a row are of one component. */
static double together(const struct rn_estimate *x, uint64_t vars)
{
	double n = 1;
	bool any = false;

	for (uint32_t v = 0; v < RN_PATTERN_VARS; v++) {
		if (!(vars >> v & 1))
			continue;
		n *= any ? x->distinct[v] / least(x->components, x->distinct[v]) : x->distinct[v];
		any = true;
	}
	return least(n, x->rows);
}

void rn_estimate_join(struct rn_estimate *x, const struct rn_estimate *y)
{
	uint64_t shared = x->vars & y->vars;
	double a = together(x, shared), b = together(y, shared), keys = a > b ? a : b;

	x->rows = keys > 0 ? x->rows * y->rows / keys : 0;
	for (uint32_t v = 0; v < RN_PATTERN_VARS; v++) {
		if (shared >> v & 1)
			x->distinct[v] = least(x->distinct[v], y->distinct[v]);
		else if (y->vars >> v & 1)
			x->distinct[v] = y->distinct[v];
		x->distinct[v] = least(x->distinct[v], x->rows);
	}
	x->vars |= y->vars;
}

/* So many rows fall into the places that there are, each into any. */
void rn_estimate_group(struct rn_estimate *x, uint64_t vars)
{
	double rows = x->rows, places;

	x->vars &= vars;
	x->rows = INFINITY;
	places = together(x, x->vars);
	x->rows = __builtin_popcountll(x->vars) > 1 && places > 0
			  ? places * -expm1(-rows / places)
			  : least(places, rows);
}
