/* SPDX-License-Identifier: Apache-2.0
 *
 * sort: the rows in an order; the embedding is carried.
 */
#include "op_table.h"
#include "order.h"
#include "util.h"

static const struct rn_opt opts[] = {
	{ .name = "by", .letter = 'b', .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_OPT_REQUIRED,
	  .meta = "EXPR[ desc],...", .help = "what decides, most important first" },
};

static const char *const examples[] = {
	"rn-scan paper.csv | rn-sort --by 'label, year desc' | rn-head -n 3 | rn-cat",
	"rn-agg --by dst --cols 'd=count(*)' cites.csv | rn-sort --by 'd desc' | rn-cat",
	NULL,
};

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	RN_TRY(rn_order_check(rn_node_json(n, "by"), in[0], e));
	return rn_schema_copy(in[0], out, e);
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct rn_op_rows *st = state;

	(void)schema;
	RN_TRY(rn_order_map(c->team, rn_node_json(n, "by"), in[0], &st->map, e));
	return rn_op_content(c->team, in[0], st->map, in[0]->rows, true, out, e);
}

const struct rn_op rn_op_sort = {
	.name = "sort",
	.what = "put rows in order",
	.usage = "[FILE]",
	.examples = examples,
	.see_also = "rn-head(1), rn-agg(1)",
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(opts),
	.state_size = sizeof(struct rn_op_rows),
	.infer = infer,
	.bind = bind,
	.reach = rn_op_rows_reach,
	.lower = rn_op_rows_lower,
	.close = rn_op_rows_close,
};
