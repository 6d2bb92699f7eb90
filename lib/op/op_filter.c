/* SPDX-License-Identifier: Apache-2.0
 *
 * filter: the rows for which a predicate over the content is true.
 */
#include "../expr/content.h"
#include "op_table.h"
#include "util.h"

static const struct rn_opt opts[] = {
	{ .name = "expr", .type = RN_OPT_STRING, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "PREDICATE", .help = "keep rows for which this is true" },
};

static const char *const examples[] = {
	"rn-scan paper.csv | rn-filter \"split = 'train' and label is not null\" | rn-cat",
	"rn-filter 'year >= 2020' papers.er -o recent.er",
	NULL,
};

static int predicate(const struct rn_node *n, const struct rn_schema *s, struct rn_cexpr **x,
		     struct rn_err *e)
{
	RN_TRY(rn_cexpr_parse(rn_node_string(n, "expr"), s, x, e));
	if (rn_cexpr_type(*x) == RN_BOOL)
		return 0;
	rn_err_set(e, RN_EUSAGE, "'%s' is %s, and a predicate must be bool",
		   rn_node_string(n, "expr"), rn_type_name(rn_cexpr_type(*x)));
	rn_cexpr_free(*x);
	return RN_EUSAGE;
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	struct rn_cexpr *x;

	RN_TRY(predicate(n, in[0], &x, e));
	rn_cexpr_free(x);
	return rn_schema_copy(in[0], out, e);
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct rn_op_rows *st = state;
	struct rn_cexpr *x;
	uint64_t kept;
	int rc;

	(void)schema;
	RN_TRY(predicate(n, &in[0]->schema, &x, e));
	rc = rn_cexpr_filter(x, in[0], &st->map, &kept, e);
	rn_cexpr_free(x);
	return rc ? rc : rn_op_content(c->team, in[0], st->map, kept, true, out, e);
}

const struct rn_op rn_op_filter = {
	.name = "filter",
	.what = "keep the rows for which a predicate is true",
	.usage = "PREDICATE [FILE]",
	.examples = examples,
	.see_also = "rn-project(1), rn-join(1)",
	.flags = RN_OP_ROWWISE,
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
