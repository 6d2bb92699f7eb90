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

struct state {
	struct rn_buf *map; /* uint32_t[rows] */
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
	struct state *st = state;

	(void)schema;
	RN_TRY(rn_order_map(c->team, rn_node_json(n, "by"), in[0], &st->map, e));
	return rn_op_content(c->team, in[0], st->map, in[0]->rows, true, out, e);
}

static int reach(const struct rn_ctx *c, const struct rn_node *n, const void *state,
		 const struct rn_rel *const *in, uint32_t k, const uint8_t *out, uint64_t rows,
		 uint8_t *mark, struct rn_err *e)
{
	(void)c, (void)n, (void)in, (void)k, (void)e;
	rn_op_reach_map(((const struct state *)state)->map, out, rows, mark);
	return 0;
}

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	const struct state *st = state;

	(void)n;
	return rn_op_select_parts(lw->prog, &in[0], st->map, (uint32_t)out->rel->rows, out, e);
}

static void close_state(void *state)
{
	rn_buf_unref(((struct state *)state)->map);
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
	.state_size = sizeof(struct state),
	.infer = infer,
	.bind = bind,
	.reach = reach,
	.lower = lower,
	.close = close_state,
};
