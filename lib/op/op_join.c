/* SPDX-License-Identifier: Apache-2.0
 *
 * join: equi-join of two or more inputs, left to right.  The output's parts are
 * its inputs' parts seen through row maps, never copies of them.  The names and
 * columns are in join_schema.c, the condition beside the keys in join_cond.c.
 */
#include "join_cond.h"
#include "op_table.h"
#include "util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

struct state {
	size_t n;
	struct rn_buf *map[RN_MANY]; /* per input: uint32_t[rows] */
	struct rn_schema schema;     /* with the inputs' parts */
};

static bool is_key(const struct rn_join_keys *k, size_t right)
{
	for (size_t q = 0; q < k->n; q++)
		if (k->right[q] == right)
			return true;
	return false;
}

/* Replace each of the first `n` maps m by m[by], n rows. */
static int compose(struct rn_buf **maps, size_t n, const struct rn_buf *by, uint64_t rows,
		   struct rn_err *e)
{
	const uint32_t *b = by->data;

	for (size_t i = 0; i < n; i++) {
		const uint32_t *m = maps[i]->data;
		struct rn_buf *out;
		uint32_t *o;

		RN_TRY(rn_buf_new(rows * sizeof *o, "a row map", &out, e));
		o = out->data;
		for (uint64_t r = 0; r < rows; r++)
			o[r] = m[b[r]];
		rn_buf_unref(maps[i]);
		maps[i] = out;
	}
	return 0;
}

/* Say what found no partner; under --strict that is an error. */
static int report_side(const struct rn_ctx *c, const struct rn_node *n, const char *where,
		       uint64_t unmatched, uint64_t null, struct rn_err *e)
{
	char label[128];

	if (!unmatched)
		return 0;
	rn_node_label(n, label, sizeof label);
	if (c->strict)
		return rn_err_set(e, RN_EDATA,
				  "%" PRIu64 " rows find no partner in '%s' (%" PRIu64
				  " with a NULL key), and --strict was given", unmatched, where, null);
	rn_log(c, RN_LOG_INFO, "%s: %" PRIu64 " rows find no partner in '%s' (%" PRIu64 " with a NULL key)",
	       label, unmatched, where, null);
	return 0;
}

static int report(const struct rn_ctx *c, const struct rn_node *n, const char *left,
		  const char *right, const struct rn_join_result *j, struct rn_err *e)
{
	char label[128];

	RN_TRY(report_side(c, n, right, j->left_unmatched, j->left_null, e));
	if (rn_join_kind_of(n) == RN_JOIN_FULL)
		return report_side(c, n, left, j->right_unmatched, j->right_null, e);
	if (j->right_null)
		rn_log(c, RN_LOG_INFO, "%s: %" PRIu64 " rows of '%s' have a NULL key",
		       rn_node_label(n, label, sizeof label), j->right_null, right);
	return 0;
}

/* What the joins of one node share while they are made. */
struct run {
	const struct rn_ctx *ctx;
	const struct rn_node *n;
	const struct rn_schema *const *schema;
	const struct rn_rel *const *in;
	struct rn_join_keys *keys;
	struct rn_join_cond cond;
	struct state *st;
	uint64_t rows; /* so far */
};

/* Column `col` of the rows so far, which are those before input i is joined. */
static int left_column(const struct run *r, size_t i, size_t col, struct rn_column **out,
		       struct rn_err *e)
{
	size_t from = 0;

	if (i == 1) {
		*out = rn_column_ref(r->in[0]->cols[col]);
		return 0;
	}
	/* Which input does it come from, and which column of it is it? */
	if (col >= r->in[0]->schema.ncols) {
		col -= r->in[0]->schema.ncols;
		for (from = 1; from < i; from++) {
			const struct rn_join_keys *k = &r->keys[from - 1];
			size_t own = 0;

			for (size_t c = 0; c < r->in[from]->schema.ncols; c++) {
				if (is_key(k, c))
					continue;
				if (own++ == col) {
					col = c;
					goto found;
				}
			}
			col -= own;
		}
		return rn_err_set(e, RN_EBUG, "a join lost a column");
	}
found:
	return rn_column_gather(r->in[from]->cols[col], r->st->map[from]->data, r->rows, out, e);
}

/* The columns that the condition reads, for the join with input i. */
static int open_condition(struct run *r, const struct rn_schema *left, size_t i, struct rn_err *e)
{
	struct rn_join_cond *c = &r->cond;

	RN_TRY(rn_join_cond_open(r->n, r->schema, left, &r->keys[i - 1], c, e));
	for (size_t k = 0; k < c->schema.ncols; k++)
		if (c->right[k])
			c->cols[k] = rn_column_ref(r->in[i]->cols[c->col[k]]);
		else
			RN_TRY(left_column(r, i, c->col[k], &c->cols[k], e));
	return 0;
}

/* The row maps of the rows so far joined with input i. */
static int match(struct run *r, const struct rn_key *left, const struct rn_schema *schema, size_t i,
		 struct rn_join_result *j, struct rn_err *e)
{
	enum rn_join_kind kind = rn_join_kind_of(r->n);
	const struct rn_join_keys *k = &r->keys[i - 1];
	struct rn_column *cols[RN_JOIN_KEYS];
	struct rn_key right = { .n = k->n, .cols = cols, .rows = r->in[i]->rows };
	struct rn_pair_test test = { rn_join_cond_keep, &r->cond };
	struct rn_hash_index *x;
	size_t lt, rt;
	int rc;

	for (size_t q = 0; q < k->n; q++)
		cols[q] = r->in[i]->cols[k->right[q]];
	RN_TRY(rn_hash_index_new(r->ctx, &right, &x, e));
	if (json_object_size(rn_node_json(r->n, "asof"))) {
		RN_GOTO(out, rn_join_asof_columns(r->n, r->schema[0], r->schema[1], &lt, &rt, e));
		rc = rn_join_asof(r->ctx, left, &right, x, r->in[0]->cols[lt], r->in[1]->cols[rt],
				  rn_node_flag(r->n, "asof-equal"), kind, j, e);
	} else if (rn_node_string(r->n, "and") && i == r->n->nin - 1) {
		RN_GOTO(out, open_condition(r, schema, i, e));
		rc = rn_join_if(r->ctx, left, &right, x, kind, &test, j, e);
	} else {
		rc = rn_join(r->ctx, left, &right, x, kind, j, e);
	}
out:
	rn_hash_index_free(x);
	return rc;
}

/* Join the rows so far, of schema `left`, with input i; maps 0 … i grow. */
static int join_next(struct run *r, const struct rn_schema *left, size_t i, struct rn_err *e)
{
	const struct rn_join_keys *k = &r->keys[i - 1];
	struct rn_column *cols[RN_JOIN_KEYS] = { 0 };
	const char *names[RN_JOIN_KEYS];
	struct rn_key key = { .n = k->n, .cols = cols, .rows = r->rows, .names = names };
	struct rn_join_result j = { 0 };
	char lbuf[8], rbuf[8];
	int rc = 0;

	for (size_t q = 0; q < k->n; q++) {
		names[q] = left->cols[k->left[q]].name;
		RN_GOTO(out, left_column(r, i, k->left[q], &cols[q], e));
	}
	RN_GOTO(out, match(r, &key, left, i, &j, e));
	RN_GOTO(out, report(r->ctx, r->n, rn_join_input_name(r->n, r->schema[0], 0, lbuf),
			    rn_join_input_name(r->n, r->schema[i], i, rbuf), &j, e));
	if (i == 1) {
		r->st->map[0] = rn_buf_ref(j.left);
		r->st->n = 1;
	} else {
		RN_GOTO(out, compose(r->st->map, i, j.left, j.rows, e));
	}
	if (j.right) {
		r->st->map[i] = rn_buf_ref(j.right);
		r->st->n = i + 1;
	}
	r->rows = j.rows;
out:
	rn_join_result_fini(&j);
	for (size_t q = 0; q < k->n; q++)
		rn_column_unref(cols[q]);
	return rc;
}

/* A full join's key column q: the left value, or the right one where there is no left row. */
static int coalesced(const struct run *r, size_t q, struct rn_column **out, struct rn_err *e)
{
	struct rn_column *both[2] = { r->in[0]->cols[r->keys[0].left[q]],
				      r->in[1]->cols[r->keys[0].right[q]] }, *all;
	const uint32_t *left = r->st->map[0]->data, *right = r->st->map[1]->data;
	struct rn_buf *map;
	uint32_t *m;
	int rc;

	RN_TRY(rn_op_check_rows(r->in[0]->rows + r->in[1]->rows, e));
	RN_TRY(rn_column_concat(both, 2, &all, e));
	RN_GOTO(out, rn_buf_new(r->rows * sizeof *m, "a row map", &map, e));
	m = map->data;
	for (uint64_t i = 0; i < r->rows; i++)
		m[i] = left[i] != RN_NO_ROW ? left[i] : (uint32_t)r->in[0]->rows + right[i];
	rc = rn_column_gather(all, m, r->rows, out, e);
	rn_buf_unref(map);
out:
	rn_column_unref(all);
	return rc;
}

/* Column c of input i in the joined rows. */
static int joined_column(const struct run *r, size_t i, size_t c, struct rn_column **out,
			 struct rn_err *e)
{
	if (!i && rn_join_kind_of(r->n) == RN_JOIN_FULL)
		for (size_t q = 0; q < r->keys[0].n; q++)
			if (r->keys[0].left[q] == c)
				return coalesced(r, q, out, e);
	return rn_column_gather(r->in[i]->cols[c], r->st->map[i]->data, r->rows, out, e);
}

static int gather_content(const struct run *r, struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *s = &r->st->schema;
	struct rn_rel *rel;
	size_t o = 0;
	int rc;

	RN_TRY(rn_rel_new(NULL, r->rows, &rel, e));
	for (size_t i = 0; i < (rn_join_is_filter(r->n) ? 1 : r->n->nin); i++)
		for (size_t c = 0; c < r->in[i]->schema.ncols; c++) {
			struct rn_column *col;

			if (i && is_key(&r->keys[i - 1], c))
				continue;
			RN_GOTO(fail, joined_column(r, i, c, &col, e));
			RN_GOTO(fail, rn_rel_add_col(rel, s->cols[o].name, s->cols[o].qual, col, e));
			o++;
		}
	RN_GOTO(fail, rn_op_copy_key(s, &rel->schema, e));
	*out = rel;
	return 0;
fail:
	rn_rel_unref(rel);
	return rc;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct run r = { .ctx = c, .n = n, .schema = schema, .in = in, .st = state,
			 .rows = in[0]->rows };
	struct rn_schema left = { 0 };
	int rc;

	RN_TRY(rn_calloc(n->nin, sizeof *r.keys, "join keys", &r.keys, e));
	RN_GOTO(out, rn_join_schema(n, schema, r.keys, &left, &r.st->schema, e));
	for (size_t i = 1; i < n->nin; i++)
		RN_GOTO(out, join_next(&r, &left, i, e));
	RN_GOTO(out, rn_op_check_rows(r.rows, e));
	rc = gather_content(&r, out, e);
out:
	rn_join_cond_fini(&r.cond);
	rn_schema_fini(&left);
	free(r.keys);
	return rc;
}

/* The inputs' parts under their names in the joined schema. */
static int lower_parts(const struct rn_lower *lw, const struct rn_node *n, const struct state *st,
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
	struct state *st = state;

	for (size_t i = 0; i < RN_MANY; i++)
		rn_buf_unref(st->map[i]);
	rn_schema_fini(&st->schema);
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
	.state_size = sizeof(struct state),
	.check = check,
	.infer = infer,
	.bind = bind,
	.lower = lower,
	.close = close_state,
};
