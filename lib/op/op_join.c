/* SPDX-License-Identifier: Apache-2.0
 *
 * join: equi-join of two or more inputs, left to right.  The output's parts are
 * its inputs' parts seen through row maps, never copies of them.  The names and
 * columns are in join_schema.c, the condition beside the keys in join_cond.c, the rows
 * in join_run.c.
 */
#include "join_run.h"
#include "op_table.h"
#include "util.h"

#include <stdlib.h>

static const struct rn_opt opts[] = {
	{ .name = "on", .letter = 'k', .type = RN_OPT_MAP, .flags = RN_OPT_MULTI, .meta = "COL|L=R,...",
	  .help = "key columns, by one name or by left and right name" },
	{ .name = "natural", .type = RN_OPT_FLAG, .dflt = "false",
	  .help = "join on all columns that the inputs share" },
	{ .name = "and", .letter = 'a', .type = RN_OPT_STRING, .meta = "CONDITION",
	  .help = "partners must also meet this, over the columns of both sides" },
	{ .name = "asof", .type = RN_OPT_MAP, .meta = "COL|L=R",
	  .help = "the only partner is the latest right row before the left one" },
	{ .name = "asof-equal", .type = RN_OPT_FLAG, .dflt = "false", .help = "a right row at that very time counts, too" },
	{ .name = "how", .type = RN_OPT_CHOICE, .meta = "KIND", .dflt = "inner",
	  .choices = "inner|left|full|semi|anti",
	  .help = "rows without a partner: drop, keep, or only test" },
	{ .name = "expr", .type = RN_OPT_STRING, .meta = "EXPR",
	  .help = "embedding of the result, over the inputs' parts" },
	{ .name = "param", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "name of its parameters in place of the stage's" },
};

static const char *const examples[] = {
	"rn-scan cites.csv | rn-join - papers.er --on src=paper_id | rn-cat",
	"rn-join h=h1.er a=adj.er --on paper_id=src | rn-agg 'sum(a * h)' --by dst",
	NULL,
};

/* ---- the operator ------------------------------------------------------------------ */

static int parse_expr(const struct rn_node *n, struct rn_eexpr **x, struct rn_err *e)
{
	*x = NULL;
	return rn_node_string(n, "expr") ? rn_eexpr_parse(rn_node_string(n, "expr"), x, e) : 0;
}

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	struct rn_eexpr *x;

	RN_TRY(rn_op_check_map(n, "on", e));
	RN_TRY(rn_op_check_map(n, "asof", e));
	RN_TRY(parse_expr(n, &x, e));
	*learns = x && (rn_eexpr_has_params(x) || rn_eexpr_has_random(x));
	rn_eexpr_free(x);
	return 0;
}

/* The joined schema; a condition is checked, too. */
static int infer_columns(const struct rn_node *n, const struct rn_schema *const *in,
			 struct rn_schema *out, struct rn_err *e)
{
	struct rn_schema left = { 0 };
	struct rn_join_cond cond = { 0 };
	struct rn_join_keys *keys;
	int rc;

	RN_TRY(rn_calloc(n->nin, sizeof *keys, "join keys", &keys, e));
	rc = rn_join_schema(n, in, keys, &left, out, e);
	if (!rc && rn_node_string(n, "and"))
		rc = rn_join_cond_open(n, in, &left, &keys[n->nin - 2], &cond, e);
	rn_join_cond_fini(&cond);
	rn_schema_fini(&left);
	free(keys);
	return rc;
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	struct rn_schema s = { 0 };
	struct rn_einfo info;
	struct rn_eexpr *x;
	int rc;

	if (!rn_node_string(n, "expr"))
		return infer_columns(n, in, out, e);
	RN_TRY(parse_expr(n, &x, e));
	RN_GOTO(out, infer_columns(n, in, &s, e));
	RN_GOTO(out, rn_eexpr_infer(x, &s, &info, e));
	for (size_t i = 0; i < s.ncols; i++)
		RN_GOTO(out, rn_schema_add_col(out, s.cols[i].name, s.cols[i].qual, s.cols[i].type, e));
	RN_GOTO(out, rn_op_copy_key(&s, out, e));
	rc = rn_schema_add_part(out, "z", &info.shape, info.sparse, e);
out:
	rn_schema_fini(&s);
	rn_eexpr_free(x);
	return rc;
}

/* ---- bind ------------------------------------------------------------------------ */

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct rn_join_run r;
	int rc;

	RN_GOTO(out, rn_join_run_open(&r, c, n, schema, in, false, state, e));
	RN_GOTO(out, rn_join_run_piece(&r, c, in[0], e));
	RN_GOTO(out, rn_join_run_report(&r, e));
	RN_GOTO(out, rn_op_check_rows(r.rows, e));
	rc = rn_join_run_content(&r, 0, r.rows, state, out, e);
out:
	rn_join_run_close(&r);
	return rc;
}

/* What a semi or anti join only tests has no rows in the result. */
static int reach(const struct rn_ctx *c, const struct rn_node *n, const void *state,
		 const struct rn_rel *const *in, uint32_t k, const uint8_t *out, uint64_t rows,
		 uint8_t *mark, struct rn_err *e)
{
	const struct rn_join_state *st = state;

	(void)c, (void)n, (void)in, (void)e;
	if (st->map[k])
		rn_op_reach_map(st->map[k], out, rows, mark);
	return 0;
}

/* The inputs' parts under their names in the joined schema. */
static int lower_parts(const struct rn_lower *lw, const struct rn_node *n, const struct rn_join_state *st,
		       const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	size_t o = 0;

	RN_TRY(rn_op_alloc_parts(out, st->schema.nparts, e));
	for (size_t i = 0; i < (rn_join_is_filter(n) ? 1 : n->nin); i++)
		for (size_t j = 0; j < in[i].nparts; j++, o++)
			RN_TRY(rn_op_select_part(lw->prog, &in[i].parts[j], st->schema.parts[o].name,
						 st->map[i], (uint32_t)out->rel->rows, &out->parts[o], e));
	return 0;
}

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	struct rn_lrel joined = { .rel = out->rel };
	struct rn_lower_env env;
	struct rn_eexpr *x;
	struct rn_lpart z;
	int rc;

	if (!rn_node_string(n, "expr"))
		return lower_parts(lw, n, state, in, out, e);
	RN_TRY(parse_expr(n, &x, e));
	RN_GOTO(out, lower_parts(lw, n, state, in, &joined, e));
	env = rn_op_env(lw, n, &joined);
	RN_GOTO(out, rn_eexpr_lower(x, &env, &z, e));
	rc = rn_op_sole_part(out, "z", &z, e);
out:
	rn_lrel_fini(&joined);
	rn_eexpr_free(x);
	return rc;
}

static void close_state(void *state)
{
	rn_join_state_fini(state);
}

const struct rn_op rn_op_join = {
	.name = "join",
	.what = "join relations on equal keys",
	.usage = "[NAME=]FILE...",
	.examples = examples,
	.see_also = "rn-agg(1), rn-union(1)",
	.flags = RN_OP_LEARNS,
	.min_in = 2,
	.max_in = RN_MANY,
	RN_OPTS(opts),
	.state_size = sizeof(struct rn_join_state),
	.check = check,
	.infer = infer,
	.bind = bind,
	.reach = reach,
	.lower = lower,
	.close = close_state,
};
