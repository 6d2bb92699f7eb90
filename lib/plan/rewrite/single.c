/* SPDX-License-Identifier: Apache-2.0
 *
 * single: an aggregate by the key of its input has groups of one row, and sum, mean, max and min
 * of one row are that row's: the expression is mapped, and nothing is grouped.  Rows and their
 * order stay.  Not where it learns or draws, normalises over the group, has content aggregates, or
 * takes its groups from another relation.
 */
#include "rewriting.h"

#include "../../base/json.h"
#include "../../expr/emb.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int spans_rows(const char *text, bool *out, struct rn_err *e)
{
	struct rn_eexpr *x;

	RN_TRY(rn_eexpr_parse(text, &x, e));
	*out = rn_eexpr_spans_rows(x);
	rn_eexpr_free(x);
	return 0;
}

/* Does --by name every column of the input's key? */
static bool by_key(const struct rn_node *n, const struct rn_schema *in)
{
	const json_t *by = rn_node_json(n, "by"), *name;
	size_t i, at;

	for (size_t k = 0; k < in->nkey; k++) {
		bool there = false;

		json_array_foreach(by, i, name)
			there = there || (!rn_schema_find(in, json_string_value(name), &at, NULL) &&
					  at == in->key[k]);
		if (!there)
			return false;
	}
	return in->nkey;
}

/* The argument of "sum(...)": where it is in text, which is such a call as a whole or in
 * parentheses (then there is none). */
static bool argument(const char *text, size_t *from, size_t *len)
{
	size_t end = strlen(text), at = 0;

	while (isspace((unsigned char)text[at]))
		at++;
	if (!isalpha((unsigned char)text[at]))
		return false;
	at = strcspn(text, "(");
	while (end && isspace((unsigned char)text[end - 1]))
		end--;
	if (end < at + 2 || text[end - 1] != ')')
		return false;
	*from = at + 1;
	*len = end - 1 - *from;
	return true;
}

static int add_map(struct rn_rewriting *r, uint32_t i, const char *text, size_t len, uint32_t *out,
		   struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(r, i);
	struct rn_rewriting_in in = { n->in[0].node, n->in[0].as };
	json_t *opt, *expr;
	int rc;

	RN_TRY(rn_json_object(&opt, e));
	rc = rn_json_string(text, len, &expr, e);
	if (!rc)
		rc = rn_json_set(opt, "expr", expr, e);
	if (!rc)
		return rn_rewriting_add(r, i, "map", opt, &in, 1, out, e);
	json_decref(opt);
	return rc;
}

/* The columns of --by alone. */
static int add_project(struct rn_rewriting *r, uint32_t i, uint32_t map, uint32_t *out, struct rn_err *e)
{
	const json_t *by = rn_node_json(rn_rewriting_node(r, i), "by"), *name;
	struct rn_rewriting_in in = { map, NULL };
	json_t *cols = NULL, *opt;
	size_t k;
	int rc;

	RN_TRY(rn_json_object(&opt, e));
	rc = rn_json_object(&cols, e);
	json_array_foreach(by, k, name)
		if (!rc)
			rc = rn_json_set_text(cols, json_string_value(name), json_string_value(name), e);
	if (!rc) {
		rc = rn_json_set(opt, "cols", cols, e);
		cols = NULL;
	}
	if (!rc)
		return rn_rewriting_add(r, i, "project", opt, &in, 1, out, e);
	json_decref(cols);
	json_decref(opt);
	return rc;
}

static int drop(struct rn_rewriting *r, uint32_t i, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(r, i);
	const char *text = rn_node_string(n, "expr");
	uint32_t like, map;
	size_t from, len;
	bool spans;

	if (n->learns || n->nin != 1 || !text || json_object_size(rn_node_json(n, "cols")) ||
	    !by_key(n, rn_rewriting_schema(r, n->in[0].node)) || !argument(text, &from, &len))
		return 0;
	RN_TRY(spans_rows(text, &spans, e));
	if (spans)
		return 0;
	RN_TRY(add_map(r, i, text + from, len, &map, e));
	like = map;
	if (!rn_rewriting_same_schema(rn_rewriting_schema(r, i), rn_rewriting_schema(r, like)))
		RN_TRY(add_project(r, i, map, &like, e));
	if (!rn_rewriting_same_schema(rn_rewriting_schema(r, i), rn_rewriting_schema(r, like)))
		return 0; /* another key, or a sparse part that an aggregate makes dense */
	rn_rewriting_say(r, i, "each group is one row");
	return rn_rewriting_become(r, i, like, e);
}

int rn_rewrite_single(struct rn_rewriting *r, struct rn_err *e)
{
	uint32_t *order, n;
	int rc = 0;

	RN_TRY(rn_rewriting_order(r, RN_NONE, &order, &n, e));
	for (uint32_t k = 0; k < n && !rc; k++)
		if (!strcmp(rn_rewriting_node(r, order[k])->op->name, "agg") &&
		    !r->facts[order[k]].made && !r->facts[order[k]].leaf)
			rc = drop(r, order[k], e);
	free(order);
	return rc;
}
