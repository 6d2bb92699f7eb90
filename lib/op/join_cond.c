/* SPDX-License-Identifier: Apache-2.0 */
#include "join_cond.h"

#include <stdlib.h>
#include <string.h>

/* Of the pair's columns only those that the condition reads.  A name that means a
 * column among all of them means it among these, too. */
static int used_columns(const struct rn_join_pair *p, const struct rn_cexpr *x,
			struct rn_join_cond *c, struct rn_err *e)
{
	size_t n = p->schema.ncols;

	RN_TRY(rn_calloc(n, sizeof *c->col, "columns", &c->col, e));
	RN_TRY(rn_calloc(n, sizeof *c->right, "columns", &c->right, e));
	RN_TRY(rn_calloc(n, sizeof(struct rn_column *), "columns", &c->cols, e));
	for (size_t i = 0; i < n; i++) {
		const struct rn_field *f = &p->schema.cols[i];

		if (!rn_cexpr_uses(x, i))
			continue;
		c->col[c->schema.ncols] = p->col[i];
		c->right[c->schema.ncols] = p->right[i];
		RN_TRY(rn_schema_add_col(&c->schema, f->name, f->qual, f->type, e));
	}
	return 0;
}

int rn_join_cond_open(const struct rn_node *n, const struct rn_schema *const *in,
		      const struct rn_schema *left, const struct rn_join_keys *k,
		      struct rn_join_cond *c, struct rn_err *e)
{
	const char *text = rn_node_string(n, "and");
	struct rn_join_pair p = { 0 };
	struct rn_cexpr *x = NULL;
	int rc;

	RN_GOTO(out, rn_join_pair_schema(n, in, left, k, &p, e));
	RN_GOTO(out, rn_cexpr_parse(text, &p.schema, &x, e));
	rc = RN_EUSAGE;
	if (rn_cexpr_type(x) != RN_BOOL)
		rn_err_set(e, rc, "'%s' is %s, and a condition must be bool", text,
			   rn_type_name(rn_cexpr_type(x)));
	else
		rc = used_columns(&p, x, c, e);
	if (!rc)
		rc = rn_cexpr_parse(text, &c->schema, &c->x, e);
out:
	rn_cexpr_free(x);
	rn_join_pair_fini(&p);
	if (!rc)
		return 0;
	rn_join_cond_fini(c);
	return rn_err_prefix(e, rc, "--and");
}

void rn_join_cond_fini(struct rn_join_cond *c)
{
	for (size_t i = 0; c->cols && i < c->schema.ncols; i++)
		rn_column_unref(c->cols[i]);
	free(c->cols);
	free(c->col);
	free(c->right);
	rn_schema_fini(&c->schema);
	rn_cexpr_free(c->x);
	*c = (struct rn_join_cond){ 0 };
}

int rn_join_cond_keep(void *arg, const uint32_t *left, const uint32_t *right, size_t n,
		      uint8_t *keep, struct rn_err *e)
{
	const struct rn_join_cond *c = arg;
	struct rn_rel *pairs = NULL;
	struct rn_buf *map = NULL;
	uint64_t kept;
	int rc;

	RN_GOTO(out, rn_rel_new(NULL, n, &pairs, e));
	for (size_t i = 0; i < c->schema.ncols; i++) {
		const struct rn_field *f = &c->schema.cols[i];
		struct rn_column *col;

		RN_GOTO(out, rn_column_gather(c->cols[i], c->right[i] ? right : left, n, &col, e));
		RN_GOTO(out, rn_rel_add_col(pairs, f->name, f->qual, col, e));
	}
	rc = rn_cexpr_filter(c->x, pairs, &map, &kept, e);
	if (rc) {
		rn_err_prefix(e, rc, "--and, in a batch of pairs");
		goto out;
	}
	memset(keep, 0, n);
	for (uint64_t i = 0; i < kept; i++)
		keep[((const uint32_t *)map->data)[i]] = 1;
out:
	rn_buf_unref(map);
	rn_rel_unref(pairs);
	return rc;
}

/* Comparisons of a column of each side, as bounds of the same right column. */
void rn_join_cond_test(struct rn_join_cond *c, struct rn_pair_test *out)
{
	struct rn_cexpr_order o[2 * RN_PAIR_BOUNDS];
	size_t n = rn_cexpr_orders(c->x, o, 2 * RN_PAIR_BOUNDS);

	*out = (struct rn_pair_test){ .keep = rn_join_cond_keep, .arg = c };
	for (size_t i = 0; i < n && out->nbounds < RN_PAIR_BOUNDS; i++) {
		bool above = c->right[o[i].b]; /* … the left column is the right one's value */
		const struct rn_column *by = c->cols[above ? o[i].b : o[i].a];

		if (c->right[o[i].a] == c->right[o[i].b] || (out->by && out->by != by))
			continue;
		out->by = by;
		out->bounds[out->nbounds++] = (struct rn_pair_bound){ c->cols[above ? o[i].a : o[i].b],
								      above, o[i].or_equal };
	}
}
