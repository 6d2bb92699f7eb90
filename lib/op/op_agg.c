/* SPDX-License-Identifier: Apache-2.0
 *
 * agg: group rows and reduce content and embedding.  With --keys the groups are
 * another relation's distinct keys in its order, empty ones too; the neutral
 * value of every embedding aggregate is 0.  By keys alone it is distinct.
 */
#include "op_agg.h"

#include "../expr/content.h"
#include "../rel/key.h"
#include "aggregate.h"
#include "op_table.h"
#include "util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "expr", .type = RN_OPT_STRING, .flags = RN_OPT_POSITIONAL, .meta = "EXPR",
	  .help = "sum(...), mean(...), max(...) or min(...) of an embedding expression" },
	{ .name = "by", .letter = 'b', .type = RN_OPT_LIST,
	  .flags = RN_OPT_MULTI | RN_OPT_UNIQUE, .meta = "COL,...",
	  .help = "grouping columns (none: one group, one row)" },
	{ .name = "cols", .letter = 'c', .type = RN_OPT_MAP, .flags = RN_OPT_MULTI,
	  .meta = "NAME=AGG,...",
	  .help = "content: count, sum, avg, min, max, first, last, quantile, var, ..." },
	{ .name = "keys", .type = RN_OPT_NODE, .meta = "FILE",
	  .help = "the groups are this relation's keys, in its order" },
	{ .name = "param", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "name of its parameters in place of the stage's" },
};

static const char *const examples[] = {
	"rn-scan cites.csv | rn-agg --by dst --cols 'd=count(*)' | rn-head",
	"rn-join h=h1.er a=adj.er --on paper_id=src | rn-agg 'sum(a * h)' --by dst",
	NULL,
};

/* ---- options ---------------------------------------------------------------- */

static int parse_expr(const struct rn_node *n, struct rn_eexpr **x, enum rn_agg *how,
		      struct rn_err *e)
{
	*x = NULL;
	if (!rn_node_string(n, "expr"))
		return 0;
	RN_TRY(rn_eexpr_parse(rn_node_string(n, "expr"), x, e));
	*how = rn_eexpr_take_agg(*x);
	if (*how != RN_AGG_NONE)
		return 0;
	rn_eexpr_free(*x);
	*x = NULL;
	return rn_err_set(e, RN_EUSAGE, "'%s' is no aggregate: write sum(...), mean(...), max(...) or min(...)",
			  rn_node_string(n, "expr"));
}

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	struct rn_eexpr *x;
	enum rn_agg how;

	RN_TRY(rn_op_check_map(n, "cols", e));
	RN_TRY(parse_expr(n, &x, &how, e));
	*learns = x && (rn_eexpr_has_params(x) || rn_eexpr_has_random(x));
	rn_eexpr_free(x);
	return 0;
}

int rn_agg_find_by(const struct rn_node *n, const struct rn_schema *in, const struct rn_schema *keys,
		   size_t **at, size_t **keys_at, size_t *count, struct rn_err *e)
{
	const json_t *by = rn_node_json(n, "by");
	int rc;

	*count = json_array_size(by);
	*at = *keys_at = NULL;
	RN_GOTO(fail, rn_calloc(*count, sizeof **at, "columns", at, e));
	RN_GOTO(fail, rn_calloc(*count, sizeof **at, "columns", keys_at, e));
	for (size_t i = 0; i < *count; i++) {
		const char *name = json_string_value(json_array_get(by, i));

		RN_GOTO(fail, rn_schema_find(in, name, &(*at)[i], e));
		if (!keys)
			continue;
		rc = rn_schema_find(keys, in->cols[(*at)[i]].name, &(*keys_at)[i], e);
		if (rc) {
			rn_err_prefix(e, rc, "--keys");
			goto fail;
		}
		RN_GOTO(fail, rn_key_types_meet(in->cols[(*at)[i]].type, name,
						keys->cols[(*keys_at)[i]].type, "--keys", e));
	}
	return 0;
fail:
	free(*at);
	free(*keys_at);
	*at = *keys_at = NULL;
	return rc;
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	long keys = rn_node_input(n, "keys");
	const struct rn_schema *from = keys >= 0 ? in[keys] : in[0];
	json_t *cols = (json_t *)rn_node_json(n, "cols");
	size_t *at, *keys_at, count;
	struct rn_einfo info;
	struct rn_eexpr *x = NULL;
	enum rn_agg how = RN_AGG_NONE;
	const char *name;
	uint32_t key[64];
	json_t *v;
	int rc;

	if (keys >= 0 && !json_array_size(rn_node_json(n, "by")))
		return rn_err_set(e, RN_EUSAGE, "--keys wants --by");
	RN_TRY(rn_agg_find_by(n, in[0], keys >= 0 ? in[keys] : NULL, &at, &keys_at, &count, e));
	for (size_t i = 0; i < count; i++) {
		const struct rn_field *f = &in[0]->cols[at[i]];
		enum rn_type t = keys >= 0 ? from->cols[keys_at[i]].type : f->type;

		RN_GOTO(out, rn_schema_add_col(out, f->name, f->qual, t, e));
		if (i < 64)
			key[i] = (uint32_t)i;
	}
	json_object_foreach(cols, name, v) {
		enum rn_type t;

		RN_GOTO(out, rn_aggregate_type(json_string_value(v), in[0], &t, e));
		RN_GOTO(out, rn_schema_add_col(out, name, NULL, t, e));
	}
	RN_GOTO(out, parse_expr(n, &x, &how, e));
	if (x) {
		RN_GOTO(out, rn_eexpr_infer(x, in[0], &info, e));
		RN_GOTO(out, rn_schema_add_part(out, "z", &info.shape,
						info.sparse && (how == RN_AGG_SUM || how == RN_AGG_MEAN), e));
	} else if (!count && !json_object_size(cols)) {
		rc = rn_err_set(e, RN_EUSAGE, "nothing to do: give an expression, --by or --cols");
		goto out;
	}
	RN_GOTO(out, rn_op_check_columns(out, e));
	rc = count && count <= 64 ? rn_op_set_key(out, key, count, e) : 0;
out:
	rn_eexpr_free(x);
	free(at);
	free(keys_at);
	return rc;
}

/* ---- bind ---------------------------------------------------------------------- */

struct state {
	struct rn_groups groups;
};

/* The key columns of the groups, from their first rows. */
static int group_columns(const struct rn_ctx *c, const struct rn_rel *in, const struct rn_rel *from, const size_t *at,
			 const size_t *from_at, size_t count, const struct rn_groups *g,
			 struct rn_rel *r, struct rn_err *e)
{
	for (size_t i = 0; i < count; i++) {
		const struct rn_field *f = &in->schema.cols[at[i]];
		struct rn_column *col;

		RN_TRY(rn_column_gather_team(c->team, from->cols[from_at[i]], g->first->data, g->n, &col, e));
		RN_TRY(rn_rel_add_col(r, f->name, f->qual, col, e));
	}
	return 0;
}

int rn_agg_report(const struct rn_ctx *c, const struct rn_node *n, uint64_t dropped,
		  struct rn_err *e)
{
	char label[128];

	if (!dropped)
		return 0;
	if (c->strict)
		return rn_err_set(e, RN_EDATA,
				  "%" PRIu64 " rows have a key that --keys lacks, and --strict was given", dropped);
	rn_log(c, RN_LOG_INFO, "%s: %" PRIu64 " rows dropped: their key is not in --keys",
	       rn_node_label(n, label, sizeof label), dropped);
	return 0;
}

/* Columns of r; *out is the caller's, its columns are r's. */
static int pick_columns(const struct rn_rel *r, const size_t *at, size_t count,
			struct rn_column ***out, struct rn_err *e)
{
	RN_TRY(rn_calloc(count, sizeof(struct rn_column *), "columns", out, e));
	for (size_t i = 0; i < count; i++)
		(*out)[i] = r->cols[at[i]];
	return 0;
}

static int make_groups(const struct rn_ctx *c, const struct rn_node *n, const struct rn_key *k,
		       const struct rn_rel *keys, const size_t *keys_at, struct rn_groups *g,
		       struct rn_err *e)
{
	struct rn_key from = { .n = k->n };
	struct rn_column **cols;
	int rc;

	if (!keys)
		return rn_group(c, k, g, e);
	RN_TRY(pick_columns(keys, keys_at, k->n, &cols, e));
	from.cols = cols;
	from.rows = keys->rows;
	rc = rn_group_keys(c, k, &from, g, e);
	free(cols);
	return rc ? rc : rn_agg_report(c, n, g->dropped, e);
}

/* The groups of k, and the aggregated columns in the order of --cols.  What is content alone
 * needs no lists of rows: of g there are the number of groups and their first rows then. */
static int aggregate(const struct rn_ctx *c, const struct rn_node *n, const struct rn_rel *in,
		     const struct rn_key *k, const struct rn_rel *keys, const size_t *keys_at,
		     struct rn_groups *g, struct rn_column **made, struct rn_err *e)
{
	json_t *cols = (json_t *)rn_node_json(n, "cols"), *v;
	size_t count = json_object_size(cols), i = 0;
	const char **texts, *name;
	int rc;

	RN_TRY(rn_calloc(count, sizeof *texts, "columns", &texts, e));
	json_object_foreach(cols, name, v)
		texts[i++] = json_string_value(v);
	if (k->n && !keys && !rn_node_string(n, "expr")) {
		rc = rn_aggregates_by(c, k, texts, count, in, &g->n, &g->first, made, e);
	} else {
		rc = make_groups(c, n, k, keys, keys_at, g, e);
		if (!rc)
			rc = rn_aggregates(c, texts, count, in, g, made, e);
	}
	free(texts);
	return rc;
}

/* r takes the made columns; those that it has are NULL then. */
static int add_columns(const struct rn_node *n, struct rn_rel *r, struct rn_column **made,
		       struct rn_err *e)
{
	json_t *v;
	const char *name;
	size_t i = 0;

	json_object_foreach((json_t *)rn_node_json(n, "cols"), name, v) {
		struct rn_column *c = made[i];

		made[i++] = NULL; /* taken also on failure */
		RN_TRY(rn_rel_add_col(r, name, NULL, c, e));
	}
	return 0;
}

/* Groups and aggregates as a relation; at, keys_at: the `count` columns that are grouped by. */
static int group_rows(const struct rn_ctx *c, const struct rn_node *n, const struct rn_rel *in,
		      const struct rn_rel *keys, const size_t *at, const size_t *keys_at,
		      size_t count, struct rn_groups *g, struct rn_rel **out, struct rn_err *e)
{
	size_t naggs = json_object_size(rn_node_json(n, "cols"));
	struct rn_column **by = NULL, **made = NULL;
	struct rn_rel *r = NULL;
	int rc;

	RN_GOTO(out, pick_columns(in, at, count, &by, e));
	RN_GOTO(out, rn_calloc(naggs, sizeof(struct rn_column *), "columns", &made, e));
	RN_GOTO(out, aggregate(c, n, in, &(struct rn_key){ .n = count, .cols = by, .rows = in->rows },
			       keys, keys_at, g, made, e));
	RN_GOTO(out, rn_rel_new(NULL, g->n, &r, e));
	RN_GOTO(out, group_columns(c, in, keys ? keys : in, at, keys ? keys_at : at, count, g, r, e));
	RN_GOTO(out, add_columns(n, r, made, e));
	*out = r;
	r = NULL;
out:
	for (size_t i = 0; made && i < naggs; i++)
		rn_column_unref(made[i]);
	free(made);
	free(by);
	rn_rel_unref(r);
	return rc;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct state *st = state;
	long ki = rn_node_input(n, "keys");
	const struct rn_rel *keys = ki >= 0 ? in[ki] : NULL;
	size_t *at, *keys_at, count;
	struct rn_rel *r = NULL;
	uint32_t key[64];
	int rc;

	(void)schema;
	RN_TRY(rn_agg_find_by(n, &in[0]->schema, keys ? &keys->schema : NULL, &at, &keys_at, &count, e));
	RN_GOTO(fail, group_rows(c, n, in[0], keys, at, keys_at, count, &st->groups, &r, e));
	for (size_t i = 0; i < count && i < 64; i++)
		key[i] = (uint32_t)i;
	if (count && count <= 64)
		RN_GOTO(fail, rn_op_set_key(&r->schema, key, count, e));
	free(at);
	free(keys_at);
	*out = r;
	return 0;
fail:
	free(at);
	free(keys_at);
	rn_rel_unref(r);
	return rc;
}

/* ---- lower ---------------------------------------------------------------------- */

#define CODE(e) ((e) && (e)->code ? (e)->code : RN_ENOMEM)

/* 1 / rows of each group (0 for empty ones), [n,1]. */
static uint32_t inverse_counts(struct rn_prog *p, const struct rn_groups *g, struct rn_err *e)
{
	const uint32_t *ptr = g->ptr->data;
	struct rn_buf *b;
	uint32_t one = 1;
	float *x;

	if (rn_buf_new(g->n * sizeof *x, "group sizes", &b, e))
		return RN_NONE;
	x = b->data;
	for (uint64_t i = 0; i < g->n; i++)
		x[i] = ptr[i + 1] > ptr[i] ? 1.0f / (float)(ptr[i + 1] - ptr[i]) : 0.0f;
	return rn_prog_const(p, (uint32_t)g->n, 1, &one, b, e);
}

static int lower_dense(struct rn_prog *p, const struct rn_groups *g, enum rn_agg how,
		       struct rn_lpart *z, struct rn_err *e)
{
	uint32_t ptr = rn_prog_idx(p, rn_buf_ref(g->ptr), (uint32_t)g->n + 1, e);
	uint32_t nrows = ((const uint32_t *)g->ptr->data)[g->n];
	uint32_t rows = g->rows ? rn_prog_idx(p, rn_buf_ref(g->rows), nrows, e) : RN_NONE;
	uint32_t val = z->val;

	if (ptr == RN_NONE || (g->rows && rows == RN_NONE))
		return CODE(e);
	if (how == RN_AGG_SUM || how == RN_AGG_MEAN) {
		val = rn_prog_spmm(p, ptr, val, rows, RN_NONE, RN_NONE, e);
		if (val != RN_NONE && how == RN_AGG_MEAN) {
			uint32_t inv = inverse_counts(p, g, e);

			val = inv == RN_NONE ? RN_NONE : rn_prog_ew2(p, RN_EW_MUL, val, inv, e);
		}
	} else {
		struct rn_inst arg = rn_inst_init(RN_P_SEGARG), pick = rn_inst_init(RN_P_PICK);
		const struct rn_val *v = &p->vals[val];
		uint32_t dim[4], rank = v->rank;

		memcpy(dim, v->dim, sizeof dim);
		arg.flags = how == RN_AGG_MIN ? RN_F_MIN : 0;
		arg.nin = 1;
		arg.in[0].val = val;
		arg.idx[0] = ptr;
		arg.idx[1] = rows;
		pick.nin = 2;
		pick.in[0].val = val;
		pick.in[1].val = rn_prog_add(p, &arg, (uint32_t)g->n, rank, dim, e);
		if (pick.in[1].val == RN_NONE)
			return CODE(e);
		val = rn_prog_add(p, &pick, (uint32_t)g->n, rank, dim, e);
	}
	if (val == RN_NONE)
		return CODE(e);
	z->val = val;
	z->base_rows = (uint32_t)g->n;
	return 0;
}

/* softmax(a; t…) normalises over the rows that share t…, softmax(a) over the rows of a
 * group, both before the grouping itself. */
struct over {
	const struct rn_lower *lw;
	const struct rn_rel *rel;
	const struct rn_groups *groups;
};

static int softmax_groups(const struct over *o, size_t nby, const char *const *by,
			  struct rn_groups *g, struct rn_err *e)
{
	struct rn_column *cols[64];
	struct rn_key k = { .n = nby, .cols = cols, .rows = o->rel->rows };

	if (nby > 64)
		return rn_err_set(e, RN_EUSAGE, "softmax over more than 64 columns");
	for (size_t i = 0; i < nby; i++) {
		size_t at;

		RN_TRY(rn_schema_find(&o->rel->schema, by[i], &at, e));
		cols[i] = o->rel->cols[at];
	}
	return rn_group(o->lw->ctx, &k, g, e);
}

static int softmax_over(void *arg, uint32_t val, size_t nby, const char *const *by, uint32_t *out,
			struct rn_err *e)
{
	const struct over *o = arg;
	struct rn_prog *p = o->lw->prog;
	struct rn_groups own = { 0 };
	const struct rn_groups *g = o->groups;
	uint32_t ptr, pos = RN_NONE, of;
	int rc = 0;

	if (nby) {
		RN_GOTO(out, softmax_groups(o, nby, by, &own, e));
		g = &own;
	}
	ptr = rn_prog_idx(p, rn_buf_ref(g->ptr), (uint32_t)g->n + 1, e);
	of = rn_prog_idx(p, rn_buf_ref(g->of), (uint32_t)o->rel->rows, e);
	if (g->rows)
		pos = rn_prog_idx(p, rn_buf_ref(g->rows), ((const uint32_t *)g->ptr->data)[g->n], e);
	rc = ptr == RN_NONE || of == RN_NONE || (g->rows && pos == RN_NONE) ?
		     CODE(e) :
		     rn_lower_softmax(p, val, ptr, pos, of, out, e);
out:
	rn_groups_fini(&own);
	return rc;
}

/* The rows of each row's group by the sum of their weights; 0 for rows of no group. */
static int share_over(void *arg, uint32_t val, uint32_t *out, struct rn_err *e)
{
	const struct over *o = arg;
	const struct rn_groups *g = o->groups;
	struct rn_prog *p = o->lw->prog;
	struct rn_lpart sum = { .val = val };
	uint32_t mean, of;

	RN_TRY(lower_dense(p, g, RN_AGG_MEAN, &sum, e));
	mean = rn_prog_ew_imm(p, RN_EW_DIV, sum.val, 1, true, e);
	of = mean == RN_NONE ? RN_NONE : rn_prog_idx(p, rn_buf_ref(g->of), (uint32_t)o->rel->rows, e);
	*out = of == RN_NONE ? RN_NONE : rn_prog_gather(p, mean, of, e);
	return *out == RN_NONE ? CODE(e) : 0;
}

/* ---- reach ------------------------------------------------------------------------ */

/* Rows that a softmax normalises together depend on each other. */
struct spread {
	const struct rn_ctx *ctx;
	const struct rn_rel *rel;
	uint8_t *mark;
	bool more; /* a row was marked */
};

static int spread_over(void *arg, size_t nby, const char *const *by, struct rn_err *e)
{
	struct spread *s = arg;
	struct rn_lower lw = { .ctx = s->ctx };
	struct over over = { &lw, s->rel, NULL };
	struct rn_groups g = { 0 };
	const uint32_t *of;
	uint8_t *marked;
	int rc;

	RN_TRY(softmax_groups(&over, nby, by, &g, e));
	RN_GOTO(out, rn_calloc(g.n, 1, "groups", &marked, e));
	of = g.of->data;
	for (uint64_t i = 0; i < s->rel->rows; i++)
		marked[of[i]] |= s->mark[i];
	for (uint64_t i = 0; i < s->rel->rows; i++) {
		s->more = s->more || s->mark[i] != marked[of[i]];
		s->mark[i] = marked[of[i]];
	}
	free(marked);
out:
	rn_groups_fini(&g);
	return rc;
}

static void reach_rows(const struct rn_groups *g, uint64_t rows, const uint8_t *out, uint8_t *mark)
{
	const uint32_t *of = g->of->data;

	for (uint64_t i = 0; i < rows; i++)
		mark[i] |= of[i] != RN_NO_ROW && out[of[i]];
}

static int reach_again(const struct rn_ctx *c, const struct rn_node *n, const struct rn_rel *in,
		       const uint8_t *out, uint8_t *mark, struct rn_err *e)
{
	size_t *at, *keys_at, count;
	struct rn_column **by = NULL;
	struct rn_groups g = { 0 };
	int rc;

	RN_TRY(rn_agg_find_by(n, &in->schema, NULL, &at, &keys_at, &count, e));
	RN_GOTO(out, pick_columns(in, at, count, &by, e));
	RN_GOTO(out, rn_group(c, &(struct rn_key){ .n = count, .cols = by, .rows = in->rows }, &g, e));
	reach_rows(&g, in->rows, out, mark);
out:
	rn_groups_fini(&g);
	free(by);
	free(at);
	free(keys_at);
	return rc;
}

/* The rows of each group; the relation of --keys only says which groups there are.  Groups
 * that were made without lists of rows are made again. */
static int reach(const struct rn_ctx *c, const struct rn_node *n, const void *state,
		 const struct rn_rel *const *in, uint32_t k, const uint8_t *out, uint64_t rows,
		 uint8_t *mark, struct rn_err *e)
{
	const struct rn_groups *g = &((const struct state *)state)->groups;
	struct spread s = { .ctx = c, .rel = in[0], .mark = mark };
	enum rn_agg how = RN_AGG_NONE;
	struct rn_eexpr *x;
	int rc = 0;

	(void)rows;
	if (k)
		return 0;
	if (!g->of)
		return reach_again(c, n, in[0], out, mark, e);
	reach_rows(g, in[0]->rows, out, mark);
	RN_TRY(parse_expr(n, &x, &how, e));
	do {
		s.more = false;
		if (x)
			rc = rn_eexpr_softmaxes(x, spread_over, &s, e);
	} while (!rc && s.more);
	rn_eexpr_free(x);
	return rc;
}

/* ---- lower, continued ------------------------------------------------------------- */

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	const struct state *st = state;
	struct over over = { lw, in[0].rel, &st->groups };
	struct rn_lower_env env = rn_op_env(lw, n, &in[0]);
	enum rn_agg how = RN_AGG_NONE;
	struct rn_eexpr *x;
	struct rn_lpart z;
	int rc;

	RN_TRY(parse_expr(n, &x, &how, e));
	if (!x)
		return 0;
	env.softmax = softmax_over;
	env.shares = how == RN_AGG_MEAN ? share_over : NULL;
	env.rows_arg = &over;
	rc = rn_eexpr_lower(x, &env, &z, e);
	rn_eexpr_free(x);
	if (rc)
		return rc;
	if (z.sparse && (how == RN_AGG_MAX || how == RN_AGG_MIN)) {
		rn_log(lw->ctx, RN_LOG_INFO, "%s: max and min make a sparse embedding dense", env.stage);
		RN_TRY(rn_lpart_dense(lw->prog, &z, &z.val, e));
		z.sparse = false;
	}
	if (z.sparse) {
		RN_TRY(rn_aggregate_sparse(lw->prog, &st->groups, &z, e));
		if (how == RN_AGG_MEAN)
			RN_TRY(rn_aggregate_sparse_scale(lw->prog, &z,
							 inverse_counts(lw->prog, &st->groups, e), e));
	} else {
		RN_TRY(lower_dense(lw->prog, &st->groups, how, &z, e));
	}
	return rn_op_sole_part(out, "z", &z, e);
}

static void close_state(void *state)
{
	rn_groups_fini(&((struct state *)state)->groups);
}

const struct rn_op rn_op_agg = {
	.name = "agg",
	.what = "group rows; aggregate content and embedding",
	.usage = "[EXPR] [FILE]",
	.examples = examples,
	.see_also = "rn-join(1), rn-map(1)",
	.flags = RN_OP_LEARNS,
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(opts),
	.state_size = sizeof(struct state),
	.check = check,
	.infer = infer,
	.bind = bind,
	.reach = reach,
	.lower = lower,
	.close = close_state,
};
