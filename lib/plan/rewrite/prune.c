/* SPDX-License-Identifier: Apache-2.0
 *
 * prune: columns that nothing reads are dropped before a join or a filter would copy them.
 *
 * A column is read if the options of a node above mention its name, or if a run has it; an
 * operator that is not known here reads all.  Nothing else changes: keys that were declared stay,
 * and so do computed columns, whose expressions may fail.
 */
#include "rewriting.h"

#include "../../base/json.h"
#include "../../op/join_schema.h"

#include <stdlib.h>
#include <string.h>

struct prune {
	struct rn_rewriting *r;
	uint32_t *order, n;
	bool **need; /* by node: its columns that are read; NULL: it is not needed */
};

static bool is_op(const struct rn_rewriting *r, uint32_t i, const char *name)
{
	return !strcmp(rn_rewriting_node(r, i)->op->name, name);
}

/* ---- what is read ------------------------------------------------------------------------- */

static bool mentions(const json_t *v, const char *name)
{
	json_t *o = (json_t *)(uintptr_t)v, *item;
	const char *key;
	size_t i;

	if (json_is_string(v))
		return strstr(json_string_value(v), name) != NULL;
	json_object_foreach(o, key, item)
		if (strstr(key, name) || mentions(item, name))
			return true;
	json_array_foreach(o, i, item)
		if (mentions(item, name))
			return true;
	return false;
}

static void need_all(const struct rn_schema *s, bool *need)
{
	for (size_t c = 0; c < s->ncols; c++)
		need[c] = true;
}

/* What is read of a join is read of its inputs, and so are the keys: those on the left are named by
 * --on, or shared. */
static int need_of_join(const struct prune *p, uint32_t i, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(p->r, i);
	const struct rn_schema **in = NULL;
	struct rn_join_keys *keys = NULL;
	struct rn_schema out = { 0 };
	size_t c = 0;
	int rc;

	RN_GOTO(out, rn_calloc(n->nin, sizeof *keys, "join keys", &keys, e));
	RN_GOTO(out, rn_calloc(n->nin, sizeof(struct rn_schema *), "inputs", &in, e));
	for (uint32_t k = 0; k < n->nin; k++)
		in[k] = rn_rewriting_schema(p->r, n->in[k].node);
	RN_GOTO(out, rn_join_schema(n, in, keys, NULL, &out, e));
	for (uint32_t k = 0; k < n->nin; k++)
		for (size_t j = 0; j < in[k]->ncols; j++) {
			bool *need = &p->need[n->in[k].node][j], key = false;

			for (size_t q = 0; k && q < keys[k - 1].n; q++)
				key = key || keys[k - 1].right[q] == j;
			*need = *need || key || rn_node_flag(n, "natural");
			if (!key && (!k || !rn_join_is_filter(n)) && p->need[i][c++])
				*need = true;
		}
out:
	rn_schema_fini(&out);
	free(in);
	free(keys);
	return rc;
}

/* Node i reads its inputs. */
static int need_of(const struct prune *p, uint32_t i, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(p->r, i);
	bool passes = is_op(p->r, i, "filter") || is_op(p->r, i, "map") || is_op(p->r, i, "linear") ||
		      is_op(p->r, i, "loss");
	bool known = passes || is_op(p->r, i, "project") || is_op(p->r, i, "agg") ||
		     is_op(p->r, i, "join");

	for (uint32_t k = 0; k < n->nin; k++) {
		const struct rn_schema *s = rn_rewriting_schema(p->r, n->in[k].node);
		bool *need = p->need[n->in[k].node];

		if (!known || p->r->facts[i].made)
			need_all(s, need);
		for (size_t c = 0; c < s->ncols; c++)
			need[c] = need[c] || (passes && p->need[i][c]) ||
				  mentions(n->opt, s->cols[c].name);
		for (size_t c = 0; c < s->nkey; c++)
			need[s->key[c]] = true;
	}
	return is_op(p->r, i, "join") ? need_of_join(p, i, e) : 0;
}

static int find_needs(struct prune *p, struct rn_err *e)
{
	RN_TRY(rn_calloc(p->r->plan->nnodes, sizeof(bool *), "columns", &p->need, e));
	for (uint32_t k = 0; k < p->n; k++) {
		uint32_t i = p->order[k];

		RN_TRY(rn_calloc(rn_rewriting_schema(p->r, i)->ncols, sizeof(bool), "columns",
				 &p->need[i], e));
		if (p->r->facts[i].runs)
			need_all(rn_rewriting_schema(p->r, i), p->need[i]);
	}
	for (uint32_t k = p->n; k-- > 0;)
		if (!p->r->facts[p->order[k]].leaf)
			RN_TRY(need_of(p, p->order[k], e));
	return 0;
}

/* ---- what is dropped -------------------------------------------------------------------------- */

/* A projection of node x on what is read; *out is x where that is all. */
static int project(struct prune *p, uint32_t user, uint32_t x, uint32_t *out, struct rn_err *e)
{
	const struct rn_schema *s = rn_rewriting_schema(p->r, x);
	struct rn_rewriting_in in = { x, NULL };
	struct rn_str name = RN_STR_INIT;
	size_t kept = 0;
	json_t *opt, *cols;
	int rc;

	*out = x;
	for (size_t c = 0; c < s->ncols; c++)
		kept += p->need[x][c];
	if (kept == s->ncols || !s->ncols)
		return 0;
	RN_TRY(rn_json_object(&opt, e));
	RN_GOTO(fail, rn_json_object(&cols, e));
	RN_GOTO(fail, rn_json_set(opt, "cols", cols, e));
	for (size_t c = 0; c < s->ncols; c++) {
		if (!p->need[x][c] && (kept || c))
			continue; /* a projection has a column */
		rn_schema_col_name(s, c, &name);
		RN_GOTO(fail, rn_str_check(&name, e));
		RN_GOTO(fail, rn_json_set_text(cols, name.s, name.s, e));
	}
	rn_str_fini(&name);
	return rn_rewriting_add(p->r, user, "project", opt, &in, 1, out, e);
fail:
	rn_str_fini(&name);
	json_decref(opt);
	return rc;
}

static int prune_inputs(struct prune *p, uint32_t i, struct rn_err *e)
{
	for (uint32_t k = 0; k < rn_rewriting_node(p->r, i)->nin; k++) {
		uint32_t x = rn_rewriting_node(p->r, i)->in[k].node, to;
		struct rn_node *n;

		if (is_op(p->r, x, "join") && !p->r->facts[x].made)
			continue; /* it has dropped what it can */
		RN_TRY(project(p, i, x, &to, e));
		if (to == x)
			continue;
		n = &p->r->plan->nodes[i];
		if (is_op(p->r, i, "join") && !n->in[k].as) {
			n->in[k].as = strdup(rn_rewriting_node(p->r, x)->name);
			if (!n->in[k].as)
				return rn_err_nomem(e, 0, "a name");
		}
		n->in[k].node = to;
		rn_rewriting_say(p->r, i, "%zu of %zu columns of %s",
				 rn_rewriting_schema(p->r, to)->ncols,
				 rn_rewriting_schema(p->r, x)->ncols,
				 rn_rewriting_node(p->r, x)->name);
	}
	return 0;
}

static bool same_field(const struct rn_field *a, const struct rn_field *b)
{
	return !strcmp(a->name, b->name) && !a->qual == !b->qual &&
	       (!a->qual || !strcmp(a->qual, b->qual));
}

/* The needs of a node whose schema became narrower: of the columns that it still has. */
static int narrow(struct prune *p, uint32_t i, struct rn_err *e)
{
	struct rn_schema old = { 0 };
	const struct rn_schema *s;
	bool *need;
	int rc;

	RN_TRY(rn_schema_copy(rn_rewriting_schema(p->r, i), &old, e));
	rc = rn_rewriting_infer(p->r, i, e);
	s = rn_rewriting_schema(p->r, i);
	if (rc || s->ncols == old.ncols)
		goto out;
	RN_GOTO(out, rn_calloc(s->ncols, sizeof *need, "columns", &need, e));
	for (size_t c = 0, o = 0; c < s->ncols; c++) { /* the order of columns stays */
		while (o < old.ncols && !same_field(&old.cols[o], &s->cols[c]))
			o++;
		need[c] = o >= old.ncols || p->need[i][o++];
	}
	free(p->need[i]);
	p->need[i] = need;
out:
	rn_schema_fini(&old);
	return rc;
}

int rn_rewrite_prune(struct rn_rewriting *r, struct rn_err *e)
{
	struct prune p = { .r = r };
	uint32_t nnodes = r->plan->nnodes;
	int rc;

	RN_TRY(rn_rewriting_order(r, RN_NONE, &p.order, &p.n, e));
	RN_GOTO(out, find_needs(&p, e));
	for (uint32_t k = 0; k < p.n; k++) {
		uint32_t i = p.order[k];

		if (r->facts[i].leaf || r->facts[i].made)
			continue;
		if (is_op(r, i, "join") || is_op(r, i, "filter"))
			RN_GOTO(out, prune_inputs(&p, i, e));
		RN_GOTO(out, narrow(&p, i, e));
	}
out:
	for (uint32_t i = 0; p.need && i < nnodes; i++)
		free(p.need[i]);
	free(p.need);
	free(p.order);
	return rc;
}
