/* SPDX-License-Identifier: Apache-2.0
 *
 * project: keep, rename and compute columns; the embedding is carried.
 */
#include "../expr/content.h"
#include "op_table.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "cols", .letter = 'c', .type = RN_OPT_MAP, .flags = RN_OPT_MULTI | RN_OPT_REQUIRED,
	  .meta = "NAME[=EXPR],...", .help = "columns of the result, in this order" },
	{ .name = "embedding", .type = RN_OPT_FLAG, .dflt = "true", .help = "carry the embedding" },
};

static const char *const examples[] = {
	"rn-scan paper.csv | rn-project --cols src=paper_id,dst=paper_id | rn-head",
	"rn-scan orders.csv | rn-project --cols 'id, total = price * amount' | rn-cat",
	NULL,
};

/* One output column: its name, and the expression that makes it. */
struct item {
	const char *name, *qual;
	struct rn_cexpr *x;
	long col; /* of the input, or -1 */
};

static void free_items(struct item *items, size_t n)
{
	for (size_t i = 0; items && i < n; i++)
		rn_cexpr_free(items[i].x);
	free(items);
}

/* The options as items; names are borrowed from the node and the schema. */
static int parse_items(const struct rn_node *n, const struct rn_schema *s, struct item **out,
		       size_t *count, struct rn_err *e)
{
	json_t *cols = (json_t *)rn_node_json(n, "cols");
	size_t k = 0, total = json_object_size(cols);
	struct item *items;
	const char *name;
	json_t *v;

	if (!total)
		return rn_err_set(e, RN_EUSAGE, "--cols names no column");
	RN_TRY(rn_calloc(total, sizeof *items, "columns", &items, e));
	json_object_foreach(cols, name, v) {
		struct item *it = &items[k++];
		const char *text = json_string_value(v);
		struct rn_str quoted = RN_STR_INIT;
		size_t col;
		int rc;

		it->name = name;
		/* A kept column may have a name that is no expression. */
		if (!strcmp(name, text) && !rn_schema_find(s, name, &col, NULL)) {
			rn_str_addf(&quoted, "`%s`", name);
			text = quoted.s;
		}
		rc = rn_str_check(&quoted, e);
		if (!rc)
			rc = rn_cexpr_parse(text, s, &it->x, e);
		rn_str_fini(&quoted);
		if (rc) {
			free_items(items, total);
			return rn_err_prefix(e, rc, "column '%s'", name);
		}
		text = json_string_value(v);
		it->col = rn_cexpr_column(it->x);
		if (it->col >= 0 && !strcmp(name, text)) { /* kept, not renamed */
			it->name = s->cols[it->col].name;
			it->qual = s->cols[it->col].qual;
		}
	}
	*out = items;
	*count = total;
	return 0;
}

/* The declared key survives when all its columns do. */
static int keep_key(const struct rn_schema *in, const struct item *items, size_t n,
		    struct rn_schema *out, struct rn_err *e)
{
	uint32_t key[64];

	if (!in->nkey || in->nkey > 64)
		return 0;
	for (size_t k = 0; k < in->nkey; k++) {
		size_t i = 0;

		while (i < n && items[i].col != (long)in->key[k])
			i++;
		if (i == n)
			return 0;
		key[k] = (uint32_t)i;
	}
	return rn_op_set_key(out, key, in->nkey, e);
}

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	(void)learns;
	return rn_op_check_map(n, "cols", e);
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	struct item *items;
	size_t count;
	int rc;

	RN_TRY(parse_items(n, in[0], &items, &count, e));
	for (size_t i = 0; i < count; i++)
		RN_GOTO(out, rn_schema_add_col(out, items[i].name, items[i].qual,
					       rn_cexpr_type(items[i].x), e));
	for (size_t i = 0; rn_node_flag(n, "embedding") && i < in[0]->nparts; i++)
		RN_GOTO(out, rn_schema_add_part(out, in[0]->parts[i].name, &in[0]->parts[i].shape,
						in[0]->parts[i].sparse, e));
	RN_GOTO(out, rn_op_check_columns(out, e));
	rc = keep_key(in[0], items, count, out, e);
out:
	free_items(items, count);
	return rc;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *r = NULL;
	struct item *items;
	size_t count;
	int rc;

	(void)c, (void)schema, (void)state;
	RN_TRY(parse_items(n, &in[0]->schema, &items, &count, e));
	RN_GOTO(fail, rn_rel_new(NULL, in[0]->rows, &r, e));
	for (size_t i = 0; i < count; i++) {
		struct rn_column *col;

		if (items[i].col >= 0)
			col = rn_column_ref(in[0]->cols[items[i].col]);
		else
			RN_GOTO(fail, rn_cexpr_eval(items[i].x, in[0], &col, e));
		RN_GOTO(fail, rn_rel_add_col(r, items[i].name, items[i].qual, col, e));
	}
	RN_GOTO(fail, keep_key(&in[0]->schema, items, count, &r->schema, e));
	free_items(items, count);
	*out = r;
	return 0;
fail:
	free_items(items, count);
	rn_rel_unref(r);
	return rc;
}

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	(void)state;
	if (!rn_node_flag(n, "embedding"))
		return 0;
	return rn_op_select_parts(lw->prog, &in[0], NULL, 0, out, e);
}

const struct rn_op rn_op_project = {
	.name = "project",
	.what = "keep, rename and compute columns",
	.usage = "[FILE]",
	.examples = examples,
	.see_also = "rn-filter(1), rn-map(1)",
	.flags = RN_OP_ROWWISE,
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(opts),
	.check = check,
	.infer = infer,
	.bind = bind,
	.lower = lower,
};
