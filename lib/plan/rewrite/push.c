/* SPDX-License-Identifier: Apache-2.0
 *
 * push: a filter moves below the projection, union, map or join that it stands on, if that has
 * no other reader, so that rows are dropped before work is done on them.  The predicate keeps
 * its text: it moves only where the same names mean the same columns.  It does not move into the
 * optional side of a left join, below what learns, below a join if it could fail on rows that
 * the join drops, or, under --strict, below a join at all, which counts the rows that find no
 * partner.
 */
#include "rewriting.h"

#include "../../base/json.h"
#include "../../expr/content.h"
#include "../../op/join_schema.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- where may it go? ------------------------------------------------------------------------ */

/* For each column of a node the column of input k that it is, or RN_NONE. */
static void project_columns(const struct rn_node *n, const struct rn_schema *in, uint32_t *of)
{
	const char *name;
	size_t i = 0, at;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)rn_node_json(n, "cols"), name, v) {
		bool kept = !strcmp(name, json_string_value(v)) &&
			    !rn_schema_find(in, name, &at, NULL);

		of[i++] = kept ? (uint32_t)at : RN_NONE;
	}
}

static bool is_key(const struct rn_join_keys *k, size_t col)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->right[i] == col)
			return true;
	return false;
}

static int join_columns(const struct rn_rewriting *r, const struct rn_node *n, uint32_t input,
			uint32_t *of, struct rn_err *e)
{
	const struct rn_schema **in = NULL;
	struct rn_join_keys *keys = NULL;
	struct rn_schema out = { 0 };
	size_t c = 0;
	int rc;

	RN_GOTO(out, rn_calloc(n->nin, sizeof *keys, "join keys", &keys, e));
	RN_GOTO(out, rn_calloc(n->nin, sizeof(struct rn_schema *), "inputs", &in, e));
	for (uint32_t i = 0; i < n->nin; i++)
		in[i] = rn_rewriting_schema(r, n->in[i].node);
	RN_GOTO(out, rn_join_schema(n, in, keys, NULL, &out, e));
	for (uint32_t i = 0; i < (rn_join_is_filter(n) ? 1 : n->nin); i++)
		for (size_t j = 0; j < in[i]->ncols; j++)
			if (!i || !is_key(&keys[i - 1], j))
				of[c++] = i == input ? (uint32_t)j : RN_NONE;
out:
	rn_schema_fini(&out);
	free(in);
	free(keys);
	return rc;
}

/* Does the predicate over node x mean the same over its input k? */
static int same_over(const struct rn_rewriting *r, const char *text, uint32_t x, uint32_t k,
		     bool *same, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(r, x);
	const struct rn_schema *s = rn_rewriting_schema(r, x);
	const struct rn_schema *in = rn_rewriting_schema(r, n->in[k].node);
	struct rn_cexpr *above = NULL, *below = NULL;
	uint32_t *of;
	int rc;

	*same = false;
	RN_TRY(rn_calloc(s->ncols, sizeof *of, "columns", &of, e));
	for (uint32_t i = 0; i < s->ncols; i++)
		of[i] = i; /* maps and unions */
	if (!strcmp(n->op->name, "project"))
		project_columns(n, in, of);
	rc = strcmp(n->op->name, "join") ? 0 : join_columns(r, n, k, of, e);
	if (rc || rn_cexpr_parse(text, in, &below, NULL))
		goto out;
	RN_GOTO(out, rn_cexpr_parse(text, s, &above, e));
	*same = true;
	for (uint32_t j = 0; j < in->ncols; j++) {
		bool used = false;

		for (uint32_t i = 0; i < s->ncols; i++)
			used = used || (of[i] == j && rn_cexpr_uses(above, i));
		*same = *same && used == rn_cexpr_uses(below, j);
	}
	for (uint32_t i = 0; i < s->ncols; i++)
		*same = *same && !(of[i] == RN_NONE && rn_cexpr_uses(above, i));
out:
	rn_cexpr_free(above);
	rn_cexpr_free(below);
	free(of);
	return rc;
}

/* A union matches columns by name: the predicate must find them at the same places in all. */
static bool same_columns(const struct rn_schema *a, const struct rn_schema *b)
{
	if (a->ncols != b->ncols)
		return false;
	for (size_t i = 0; i < a->ncols; i++)
		if (strcmp(a->cols[i].name, b->cols[i].name) || !a->cols[i].qual != !b->cols[i].qual ||
		    (a->cols[i].qual && strcmp(a->cols[i].qual, b->cols[i].qual)))
			return false;
	return true;
}

/* Is the "(" at `at` the argument list of a function, not a group or a list of values? */
static bool is_call(const char *text, size_t at)
{
	static const char *const words[] = { "and", "or", "not", "in" };
	size_t end = at, n = 0;

	while (end && isspace((unsigned char)text[end - 1]))
		end--;
	while (n < end && (isalnum((unsigned char)text[end - 1 - n]) || text[end - 1 - n] == '_'))
		n++;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (n == strlen(words[i]) && !strncasecmp(text + end - n, words[i], n))
			return false;
	return n;
}

/* Can the predicate fail?  Of rows that a join would drop it must not: arithmetic may overflow, and
 * a cast may not fit. */
static bool may_fail(const char *text)
{
	char quote = 0;

	for (size_t i = 0; text[i]; i++) {
		char c = text[i];

		if (quote || strchr("'\"`", c)) {
			quote = !quote ? c : c == quote ? 0 : quote;
			continue;
		}
		if (strchr("+*/%|", c) || (c == '-' && !(i && strchr(" =<>(,", text[i - 1]) &&
						       isdigit((unsigned char)text[i + 1]))) ||
		    (c == '(' && is_call(text, i)))
			return true;
		if (c == '-')
			for (size_t k = i; k-- > 0 && !strchr("=<>(,", text[k]);)
				if (text[k] != ' ')
					return true;
	}
	return false;
}

/* May a filter of `text` move from above x to input k? */
static bool may_enter(const struct rn_rewriting *r, const char *text, uint32_t x, uint32_t k)
{
	const struct rn_node *n = rn_rewriting_node(r, x);
	bool first = k == 0;

	if (n->in[k].opt || n->learns)
		return false;
	if (!strcmp(n->op->name, "project"))
		return true;
	if (!strcmp(n->op->name, "map"))
		return !strstr(rn_node_string(n, "expr"), rn_rewriting_node(r, n->in[k].node)->name);
	if (!strcmp(n->op->name, "union"))
		return same_columns(rn_rewriting_schema(r, x), rn_rewriting_schema(r, n->in[k].node));
	if (strcmp(n->op->name, "join") || r->ctx->strict || may_fail(text))
		return false;
	switch (rn_join_kind_of(n)) {
	case RN_JOIN_INNER:
		return first || !rn_node_json(n, "asof");
	case RN_JOIN_FULL:
		return false;
	default:
		return first;
	}
}

/* ---- moving ----------------------------------------------------------------------------------- */

static int add_filter(struct rn_rewriting *r, uint32_t f, uint32_t in, uint32_t *out,
		      struct rn_err *e)
{
	struct rn_rewriting_in from = { in, NULL };
	json_t *opt;

	RN_TRY(rn_json_copy(rn_rewriting_node(r, f)->opt, &opt, e));
	return rn_rewriting_add(r, f, "filter", opt, &from, 1, out, e);
}

/* Filter f becomes x over filtered inputs; in[k] of them: `only`, or all. */
static int move(struct rn_rewriting *r, uint32_t f, uint32_t x, uint32_t only, bool all,
		bool *moved, struct rn_err *e)
{
	const struct rn_node *n = rn_rewriting_node(r, x);
	struct rn_rewriting_in *in;
	uint32_t like, nin = n->nin;
	json_t *opt;
	int rc = 0;

	RN_TRY(rn_calloc(nin, sizeof *in, "inputs", &in, e));
	for (uint32_t k = 0; k < nin && !rc; k++) {
		n = rn_rewriting_node(r, x); /* nodes move as others are added */
		in[k] = (struct rn_rewriting_in){ n->in[k].node, n->in[k].as };
		if (!strcmp(n->op->name, "join") && !in[k].as)
			in[k].as = rn_rewriting_node(r, in[k].node)->name;
		if (all || k == only)
			rc = add_filter(r, f, in[k].node, &in[k].node, e);
	}
	n = rn_rewriting_node(r, x);
	if (!rc)
		rc = rn_json_copy(n->opt, &opt, e);
	if (!rc)
		rc = rn_rewriting_add(r, f, n->op->name, opt, in, nin, &like, e);
	free(in);
	RN_TRY(rc);
	if (!rn_rewriting_same_schema(rn_rewriting_schema(r, f), rn_rewriting_schema(r, like)))
		return 0;
	*moved = true;
	rn_rewriting_say(r, f, "below %s", rn_rewriting_node(r, x)->name);
	return rn_rewriting_become(r, f, like, e);
}

static int push_filter(struct rn_rewriting *r, uint32_t f, bool *moved, struct rn_err *e)
{
	uint32_t x = rn_rewriting_node(r, f)->in[0].node, nin = rn_rewriting_node(r, x)->nin;
	const char *text = rn_node_string(rn_rewriting_node(r, f), "expr");
	bool is_union = !strcmp(rn_rewriting_node(r, x)->op->name, "union"), same, all = is_union;
	uint32_t only = RN_NONE;

	if (r->facts[x].leaf || r->facts[x].made || r->facts[x].users != 1 || r->facts[x].runs)
		return 0;
	for (uint32_t k = 0; k < nin && only == RN_NONE; k++) {
		same = false;
		if (may_enter(r, text, x, k))
			RN_TRY(same_over(r, text, x, k, &same, e));
		all = all && same;
		if (same && !is_union)
			only = k;
	}
	if (only == RN_NONE && !all)
		return 0;
	return move(r, f, x, only, all, moved, e);
}

int rn_rewrite_push(struct rn_rewriting *r, struct rn_err *e)
{
	uint32_t *order, n;
	bool moved = true;

	/* A filter that moved leaves others below, which may move on. */
	for (unsigned round = 0; moved && round < 64; round++) {
		int rc = 0;

		moved = false;
		RN_TRY(rn_rewriting_count(r, e));
		RN_TRY(rn_rewriting_order(r, RN_NONE, &order, &n, e));
		for (uint32_t k = n; k-- > 0 && !rc;)
			if (!strcmp(rn_rewriting_node(r, order[k])->op->name, "filter") &&
			    !r->facts[order[k]].made && !r->facts[order[k]].leaf)
				rc = push_filter(r, order[k], &moved, e);
		free(order);
		RN_TRY(rc);
	}
	return 0;
}
