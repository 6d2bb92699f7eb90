/* SPDX-License-Identifier: Apache-2.0
 *
 * merge: equal sub-plans are one.  A node is equal to an earlier one of the same operator and
 * options if their inputs are equal; what it is called does not count where nobody asks for
 * it.  Parameters are compared by name: stages that learn are one only if all their
 * parameters have names of their own.  Random stages, statistics of a batch, encoders and
 * losses are never merged, and what a run reads stays.
 */
#include "rewriting.h"

#include "../../base/json.h"
#include "../../expr/emb_terms.h"

#include <stdlib.h>
#include <string.h>

/* ---- names -------------------------------------------------------------------------------- */

/* Does some text of the node's options hold `name`, by which an expression may know an input? */
static bool mentions(const json_t *opt, const char *name)
{
	json_t *o = (json_t *)(uintptr_t)opt, *v;
	const char *key;
	size_t i;

	if (json_is_string(opt))
		return strstr(json_string_value(opt), name) != NULL;
	json_object_foreach(o, key, v)
		if (mentions(v, name))
			return true;
	json_array_foreach(o, i, v)
		if (mentions(v, name))
			return true;
	return false;
}

/* What input k of node i is known by there, or NULL: nobody asks. */
static const char *known_as(const struct rn_rewriting *r, const struct rn_node *n, uint32_t k)
{
	const char *name = n->in[k].as ? n->in[k].as : rn_rewriting_node(r, n->in[k].node)->name;

	return !strcmp(n->op->name, "join") || mentions(n->opt, name) ? name : NULL;
}

/* ---- equal nodes --------------------------------------------------------------------------- */

/* May two nodes like this be one? */
static int may_merge(const struct rn_rewriting *r, uint32_t i, bool *may, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(r, i);
	const struct rn_opt *expr = rn_opt_find(n->op->opts, n->op->nopts, "expr");
	struct rn_eexpr *x;

	*may = !r->facts[i].leaf && !r->facts[i].made && !(n->op->flags & RN_OP_SINK);
	if (!*may || !n->learns)
		return 0;
	*may = expr && rn_node_string(n, "expr") &&
	       rn_opt_find(n->op->opts, n->op->nopts, "param") && !n->op->fit;
	if (!*may)
		return 0;
	RN_TRY(rn_eexpr_parse(rn_node_string(n, "expr"), &x, e));
	*may = rn_eexpr_is_shared(x, rn_node_string(n, "param"));
	rn_eexpr_free(x);
	return 0;
}

/* All that two equal nodes have in common, as text. */
static void describe(const struct rn_rewriting *r, uint32_t i, const uint32_t *same,
		     struct rn_str *out)
{
	const struct rn_node *n = rn_rewriting_node(r, i);

	rn_str_clear(out);
	rn_str_addf(out, "%s ", n->op->name);
	for (uint32_t k = 0; k < n->nin; k++) {
		const char *as = known_as(r, n, k);

		rn_str_addf(out, "%u=%s=%s ", same[n->in[k].node], as ? as : "",
			    n->in[k].opt ? n->in[k].opt : "");
	}
	rn_json_print(n->opt, RN_JSON_COMPACT, out);
}

/* Inputs of node i that equal an earlier node are read there, under the name that they had. */
static int redirect(struct rn_rewriting *r, uint32_t i, const uint32_t *same, struct rn_err *e)
{
	struct rn_node *n = &r->plan->nodes[i];

	if (r->facts[i].made)
		return 0;
	for (uint32_t k = 0; k < n->nin; k++) {
		uint32_t to = same[n->in[k].node];
		const char *as = known_as(r, n, k);
		bool join = !strcmp(n->op->name, "join");

		if (to == n->in[k].node || (as && !join))
			continue;
		if (join && !n->in[k].as) {
			n->in[k].as = strdup(as);
			if (!n->in[k].as)
				return rn_err_nomem(e, strlen(as) + 1, "a name");
		}
		n->in[k].node = to;
	}
	return 0;
}

static int merge_node(struct rn_rewriting *r, uint32_t i, uint32_t *same, json_t *seen,
		      struct rn_str *text, struct rn_err *e)
{
	const json_t *twin;
	bool may;

	RN_TRY(redirect(r, i, same, e));
	RN_TRY(may_merge(r, i, &may, e));
	if (!may)
		return 0;
	describe(r, i, same, text);
	RN_TRY(rn_str_check(text, e));
	twin = json_object_get(seen, text->s);
	if (!twin)
		return rn_json_set(seen, text->s, json_integer(i), e);
	same[i] = (uint32_t)json_integer_value(twin);
	return 0;
}

int rn_rewrite_merge(struct rn_rewriting *r, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	uint32_t *order = NULL, *same = NULL, n;
	json_t *seen = NULL;
	int rc;

	RN_GOTO(out, rn_rewriting_order(r, RN_NONE, &order, &n, e));
	RN_GOTO(out, rn_calloc(r->plan->nnodes, sizeof *same, "a plan", &same, e));
	RN_GOTO(out, rn_json_object(&seen, e));
	for (uint32_t i = 0; i < r->plan->nnodes; i++)
		same[i] = i;
	for (uint32_t k = 0; k < n; k++)
		RN_GOTO(out, merge_node(r, order[k], same, seen, &text, e));
	RN_GOTO(out, rn_rewriting_count(r, e));
	for (uint32_t k = 0; k < n; k++)
		if (same[order[k]] != order[k] && !r->facts[order[k]].users &&
		    !r->facts[order[k]].runs)
			rn_rewriting_say(r, order[k], "is %s",
					 rn_rewriting_node(r, same[order[k]])->name);
out:
	rn_str_fini(&text);
	json_decref(seen);
	free(same);
	free(order);
	return rc;
}
