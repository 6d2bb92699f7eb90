/* SPDX-License-Identifier: Apache-2.0
 *
 * embed: a learned vector per distinct key.  The table belongs to the key
 * values, not to row numbers: the model keeps them, and rows of other data are
 * looked up by value.  A key that the table lacks has the vector 0.
 */
#include "../rel/key.h"
#include "op_table.h"
#include "util.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct rn_opt opts[] = {
	{ .name = "dim", .type = RN_OPT_INT, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED, .meta = "N",
	  .help = "features of a vector" },
	{ .name = "by", .letter = 'b', .type = RN_OPT_LIST,
	  .flags = RN_OPT_MULTI | RN_OPT_UNIQUE, .meta = "COL,...",
	  .help = "key columns, the relation's declared key unless given" },
	{ .name = "init", .type = RN_OPT_STRING, .meta = "NAME", .dflt = "normal",
	  .help = "initial vectors: normal, uniform, zeros, ..." },
	{ .name = "param", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "name of the table in place of the stage's" },
};

static const char *const examples[] = {
	"rn-scan users.csv --key user_id | rn-embed 32 --name user -o user.er",
	"rn-embed 16 --by word words.er --name word --model m.rnm | rn-cat",
	NULL,
};

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	enum rn_init init;
	double arg;

	*learns = true;
	if (rn_node_int(n, "dim") < 1 || rn_node_int(n, "dim") > 1 << 24)
		return rn_err_set(e, RN_EUSAGE, "dim must be between 1 and %d, not %lld", 1 << 24,
				  (long long)rn_node_int(n, "dim"));
	return rn_init_parse(rn_node_string(n, "init"), &init, &arg, e);
}

/* Key columns of the table: at[0 … *count-1] (owned). */
static int find_by(const struct rn_node *n, const struct rn_schema *s, size_t **at, size_t *count,
		   struct rn_err *e)
{
	const json_t *by = rn_node_json(n, "by");
	size_t given = json_array_size(by);
	int rc;

	*count = given ? given : s->nkey;
	if (!*count)
		return rn_err_set(e, RN_EUSAGE, "give the key columns with --by (the relation declares no key)");
	RN_TRY(rn_calloc(*count, sizeof **at, "columns", at, e));
	for (size_t i = 0; i < *count; i++) {
		if (!given) {
			(*at)[i] = s->key[i];
			continue;
		}
		rc = rn_schema_find(s, json_string_value(json_array_get(by, i)), &(*at)[i], e);
		if (rc) {
			free(*at);
			return rc;
		}
	}
	return 0;
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	struct rn_shape shape = { 1, { (uint32_t)rn_node_int(n, "dim") } };
	size_t *at, count;

	RN_TRY(find_by(n, in[0], &at, &count, e));
	free(at);
	RN_TRY(rn_op_copy_columns(in[0], out, e));
	return rn_schema_add_part(out, "z", &shape, false, e);
}

struct state {
	struct rn_groups groups;
	struct rn_rel *keys; /* one row per group */
};

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct state *st = state;
	struct rn_column **cols = NULL;
	size_t *at, count;
	int rc;

	(void)schema;
	RN_TRY(find_by(n, &in[0]->schema, &at, &count, e));
	RN_GOTO(out, rn_calloc(count, sizeof(struct rn_column *), "columns", &cols, e));
	for (size_t i = 0; i < count; i++)
		cols[i] = in[0]->cols[at[i]];
	struct rn_key k = { .n = count, .cols = cols, .rows = in[0]->rows };
	RN_GOTO(out, rn_group(c, &k, &st->groups, e));
	RN_GOTO(out, rn_rel_new(NULL, st->groups.n, &st->keys, e));
	for (size_t i = 0; i < count; i++) {
		const struct rn_field *f = &in[0]->schema.cols[at[i]];
		struct rn_column *col;

		RN_GOTO(out, rn_column_gather(cols[i], st->groups.first->data, st->groups.n, &col, e));
		RN_GOTO(out, rn_rel_add_col(st->keys, f->name, f->qual, col, e));
	}
	rc = rn_op_content(c->team, in[0], NULL, 0, true, out, e);
out:
	free(cols);
	free(at);
	return rc;
}

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	const struct state *st = state;
	struct rn_lower_env env = rn_op_env(lw, n, &in[0]);
	uint32_t dim = (uint32_t)rn_node_int(n, "dim"), groups = (uint32_t)st->groups.n;
	uint32_t rows = (uint32_t)out->rel->rows, table, val, idx, unknown = 0;
	struct rn_param_spec spec = { .rank = 2, .dim = { groups, dim }, .fan_in = groups,
				      .fan_out = dim, .keys = st->keys };
	struct rn_str name = RN_STR_INIT;
	struct rn_lpart z;
	struct rn_buf *map = NULL;
	int rc;

	rn_str_addf(&name, "%s.weight", env.param_prefix ? env.param_prefix : env.stage);
	RN_GOTO(out, rn_str_check(&name, e));
	spec.name = name.s;
	RN_GOTO(out, rn_init_parse(rn_node_string(n, "init"), &spec.init, &spec.arg, e));
	RN_GOTO(out, rn_calloc(groups, sizeof *spec.rows, "table rows", &spec.rows, e));
	RN_GOTO(out, lw->param(lw->param_arg, &spec, &val, e));
	RN_GOTO(out, rn_buf_new((size_t)rows * 4, "a row map", &map, e));
	for (uint32_t i = 0; i < rows; i++) {
		uint32_t row = spec.rows[((const uint32_t *)st->groups.of->data)[i]];

		((uint32_t *)map->data)[i] = row;
		unknown += row == RN_NO_ROW;
	}
	if (unknown)
		rn_log(lw->ctx, RN_LOG_WARN, "%s: %u of %u rows have a key that was not there in training; "
		       "their vector is 0", env.stage, unknown, rows);
	rc = RN_ENOMEM;
	idx = rn_prog_idx(lw->prog, rn_buf_ref(map), rows, e);
	if (idx == RN_NONE)
		goto out;
	/* The table as rows: [N, dim], of which the keys' rows are gathered. */
	table = rn_prog_view(lw->prog, val, lw->prog->vals[val].width / dim, 1, &dim, e);
	if (table == RN_NONE)
		goto out;
	z = (struct rn_lpart){ .shape = { 1, { dim } }, .base_rows = lw->prog->vals[table].rows,
			       .val = table, .ptr = RN_NONE, .col = RN_NONE, .map = idx };
	rc = rn_op_sole_part(out, "z", &z, e);
out:
	rn_buf_unref(map);
	free(spec.rows);
	rn_str_fini(&name);
	return rc;
}

static void close_state(void *state)
{
	struct state *st = state;

	rn_groups_fini(&st->groups);
	rn_rel_unref(st->keys);
}

const struct rn_op rn_op_embed = {
	.name = "embed",
	.what = "give every distinct key a learned vector",
	.usage = "N [FILE]",
	.examples = examples,
	.see_also = "rn-encode(1), rn-linear(1)",
	.flags = RN_OP_LEARNS,
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(opts),
	.state_size = sizeof(struct state),
	.check = check,
	.infer = infer,
	.bind = bind,
	.lower = lower,
	.close = close_state,
};
