/* SPDX-License-Identifier: Apache-2.0
 *
 * map and linear: the embedding through an expression; content unchanged.
 * rn-linear is short for a map with one Linear.
 */
#include "op_table.h"
#include "util.h"

static const struct rn_opt map_opts[] = {
	{ .name = "expr", .type = RN_OPT_STRING, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "EXPR", .help = "embedding expression over the parts and [columns]" },
	{ .name = "param", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "name of its parameters in place of the stage's" },
};

static const char *const map_examples[] = {
	"rn-scan points.csv --emb 'x,y' | rn-map 'z / sqrt(rowsum(z * z))' | rn-cat",
	"rn-map 'Dropout(0.5)(ReLU(z))' h1.er --name drop1 -o drop1.er",
	NULL,
};

static int parse(const struct rn_node *n, struct rn_eexpr **x, struct rn_err *e)
{
	return rn_eexpr_parse(rn_node_string(n, "expr"), x, e);
}

static int map_check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	struct rn_eexpr *x;
	int rc = 0;

	RN_TRY(parse(n, &x, e));
	*learns = rn_eexpr_has_params(x) || rn_eexpr_has_random(x);
	if (rn_eexpr_spans_rows(x) && rn_eexpr_take_agg(x) == RN_AGG_NONE) /* infer refuses an aggregate */
		rc = rn_err_set(e, RN_EUSAGE, "softmax over rows needs the groups of an aggregate: write it in "
				"rn-agg, or Softmax()(z) for the features of each row");
	rn_eexpr_free(x);
	return rc;
}

static int map_infer(const struct rn_node *n, const struct rn_schema *const *in,
		     struct rn_schema *out, struct rn_err *e)
{
	struct rn_eexpr *x;
	struct rn_einfo info;
	int rc;

	RN_TRY(parse(n, &x, e));
	RN_GOTO(out, rn_eexpr_infer(x, in[0], &info, e));
	RN_GOTO(out, rn_op_copy_columns(in[0], out, e));
	rc = rn_schema_add_part(out, "z", &info.shape, info.sparse, e);
out:
	rn_eexpr_free(x);
	return rc;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	(void)n, (void)schema, (void)state;
	return rn_op_content(c->team, in[0], NULL, 0, true, out, e);
}

static int map_lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		     const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	struct rn_lower_env env = rn_op_env(lw, n, &in[0]);
	struct rn_eexpr *x;
	struct rn_lpart z;
	int rc;

	(void)state;
	RN_TRY(parse(n, &x, e));
	rc = rn_eexpr_lower(x, &env, &z, e);
	rn_eexpr_free(x);
	return rc ? rc : rn_op_sole_part(out, "z", &z, e);
}

const struct rn_op rn_op_map = {
	.name = "map",
	.what = "put the embedding through an expression",
	.usage = "EXPR [FILE]",
	.examples = map_examples,
	.see_also = "rn-linear(1), rn-agg(1), rn-train(1)",
	.flags = RN_OP_ROWWISE | RN_OP_LEARNS,
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(map_opts),
	.check = map_check,
	.infer = map_infer,
	.bind = bind,
	.lower = map_lower,
};

/* ---- linear ------------------------------------------------------------------ */

static const struct rn_opt linear_opts[] = {
	{ .name = "out", .type = RN_OPT_INT, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED, .meta = "N",
	  .help = "output features" },
	{ .name = "bias", .type = RN_OPT_FLAG, .dflt = "true", .help = "add a learned bias" },
	{ .name = "per", .type = RN_OPT_STRING, .meta = "COL",
	  .help = "a weight matrix for each value of this column" },
	{ .name = "bases", .type = RN_OPT_INT, .meta = "N", .dflt = "0",
	  .help = "... combined of N matrices; 0: each on its own" },
	{ .name = "init", .type = RN_OPT_STRING, .meta = "NAME", .dflt = "default",
	  .help = "initial weights: default, glorot, kaiming_uniform, zeros, ..." },
	{ .name = "param", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "name of its parameters in place of the stage's" },
};

static const char *const linear_examples[] = {
	"rn-map 'Dropout(0.5)(z)' x.er --name drop0 | rn-linear 16 --name h1 -o h1.er",
	"rn-linear 16 --name h1 --model gcn.rnm x.er | rn-cat",
	NULL,
};

static int linear_check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	enum rn_init init;
	double arg;

	*learns = true;
	if (rn_node_int(n, "out") < 1 || rn_node_int(n, "out") > 1 << 24)
		return rn_err_set(e, RN_EUSAGE, "out must be between 1 and %d, not %lld", 1 << 24,
				  (long long)rn_node_int(n, "out"));
	if (rn_node_int(n, "bases") < 0 || rn_node_int(n, "bases") > 1 << 24)
		return rn_err_set(e, RN_EUSAGE, "bases must be between 0 and %d, not %lld", 1 << 24,
				  (long long)rn_node_int(n, "bases"));
	if (rn_node_int(n, "bases") && !rn_node_string(n, "per"))
		return rn_err_set(e, RN_EUSAGE, "--bases are of the matrices --per COL");
	return rn_init_parse(rn_node_string(n, "init"), &init, &arg, e);
}

static int linear_infer(const struct rn_node *n, const struct rn_schema *const *in,
			struct rn_schema *out, struct rn_err *e)
{
	struct rn_shape shape = { 1, { (uint32_t)rn_node_int(n, "out") } };
	const char *per = rn_node_string(n, "per");
	struct rn_str s = RN_STR_INIT;
	size_t part, col;

	RN_TRY(rn_schema_find_part(in[0], NULL, &part, e));
	if (per)
		RN_TRY(rn_schema_find(in[0], per, &col, e));
	if (in[0]->parts[part].shape.rank != 1) {
		rn_shape_print(&in[0]->parts[part].shape, &s);
		rn_err_set(e, RN_EUSAGE, "linear wants an embedding of shape [n], not %s", s.s);
		rn_str_fini(&s);
		return RN_EUSAGE;
	}
	RN_TRY(rn_op_copy_columns(in[0], out, e));
	return rn_schema_add_part(out, "z", &shape, false, e);
}

static int linear_lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
			const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	struct rn_lower_env env = rn_op_env(lw, n, &in[0]);
	struct rn_lpart flat, z;
	enum rn_init init;
	double arg;

	(void)state;
	RN_TRY(rn_init_parse(rn_node_string(n, "init"), &init, &arg, e));
	RN_TRY(rn_lpart_flatten(lw->prog, &in[0].parts[0], env.rows, &flat, e));
	if (rn_node_string(n, "per"))
		RN_TRY(rn_lower_linear_per(&env, &flat, rn_node_string(n, "per"),
					   (uint32_t)rn_node_int(n, "bases"),
					   (uint32_t)rn_node_int(n, "out"), rn_node_flag(n, "bias"),
					   init, arg, &z, e));
	else
		RN_TRY(rn_lower_linear(&env, &flat, (uint32_t)rn_node_int(n, "out"),
				       rn_node_flag(n, "bias"), init, arg,
				       env.param_prefix ? env.param_prefix : env.stage, &z, e));
	return rn_op_sole_part(out, "z", &z, e);
}

const struct rn_op rn_op_linear = {
	.name = "linear",
	.what = "put the embedding through a learned linear layer, z W + b",
	.usage = "N [FILE]",
	.examples = linear_examples,
	.see_also = "rn-map(1), rn-train(1)",
	.flags = RN_OP_ROWWISE | RN_OP_LEARNS,
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(linear_opts),
	.check = linear_check,
	.infer = linear_infer,
	.bind = bind,
	.lower = linear_lower,
};
