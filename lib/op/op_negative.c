/* SPDX-License-Identifier: Apache-2.0
 *
 * negative: negative sampling for link prediction.  Each row, a known pair, comes
 * out with label 1 and is followed by --per copies whose column --col is drawn
 * uniformly from the candidates, with label 0.  What is a known pair is not
 * drawn.
 *
 * The draws are Philox numbers of the row's ordinal, the copy and --draw alone, so
 * that every spelling, block size and thread count gives the same rows.  They are
 * content: fixed when the plan is bound, the same in every epoch and run.
 */
#include "../base/rng.h"
#include "../rel/key.h"
#include "op_table.h"
#include "util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "candidates", .type = RN_OPT_NODE, .flags = RN_OPT_REQUIRED, .meta = "FILE",
	  .help = "what is drawn from: its column COL, else its key" },
	{ .name = "col", .type = RN_OPT_STRING, .flags = RN_OPT_REQUIRED, .meta = "COL",
	  .help = "column that is drawn anew" },
	{ .name = "by", .letter = 'b', .type = RN_OPT_LIST,
	  .flags = RN_OPT_MULTI | RN_OPT_UNIQUE, .meta = "COL,...",
	  .help = "columns that are a pair with COL; all others unless given" },
	{ .name = "per", .type = RN_OPT_INT, .meta = "N", .dflt = "1",
	  .help = "negatives of each row" },
	{ .name = "known", .type = RN_OPT_NODE, .meta = "FILE",
	  .help = "further pairs that are not to be drawn" },
	{ .name = "label", .type = RN_OPT_STRING, .meta = "NAME", .dflt = "label",
	  .help = "name of the column of 1 and 0" },
	{ .name = "draw", .type = RN_OPT_INT, .meta = "N", .dflt = "1",
	  .help = "another N draws others" },
};

static const char *const examples[] = {
	"rn-negative cites.er --candidates papers.er --col dst --label y -o pairs.er",
	"rn-head -n 4 cites.er | rn-negative --known cites.er --candidates papers.er --col dst --per 100 | rn-cat",
	NULL,
};

enum { TRIES = 64 }; /* draws before the candidates are gone through in order */

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	(void)learns;
	if (rn_node_int(n, "per") < 1 || rn_node_int(n, "per") > 1 << 20)
		return rn_err_set(e, RN_EUSAGE, "per must be between 1 and %d, not %lld", 1 << 20,
				  (long long)rn_node_int(n, "per"));
	return 0;
}

/* ---- columns ---------------------------------------------------------------------------- */

/* The column of the candidates. */
static int find_candidate(const struct rn_schema *s, const char *col, size_t *at, struct rn_err *e)
{
	if (!rn_schema_find(s, col, at, NULL))
		return 0;
	if (s->nkey == 1) {
		*at = s->key[0];
		return 0;
	}
	return rn_err_set(e, RN_EUSAGE, "--candidates has no column '%s', and no declared key of one "
			  "column", col);
}

/* The columns that are a pair with `col`, in `s`: those of --by, or (of the first input, whose
 * schema is `in`) all others.  *at owned. */
static int find_by(const struct rn_node *n, const struct rn_schema *in, size_t col,
		   const struct rn_schema *s, size_t **at, size_t *count, struct rn_err *e)
{
	const json_t *by = rn_node_json(n, "by");
	size_t given = json_array_size(by), k = 0;
	int rc = 0;

	RN_TRY(rn_calloc(given + in->ncols, sizeof **at, "columns", at, e));
	for (size_t i = 0; i < (given ? given : in->ncols) && !rc; i++) {
		const char *name = given ? json_string_value(json_array_get(by, i)) : in->cols[i].name;

		if (given || i != col)
			rc = rn_schema_find(s, name, &(*at)[k++], e);
	}
	*count = k;
	if (!rc && !k)
		rc = rn_err_set(e, RN_EUSAGE, "there is no column beside '%s' that a pair could be of",
				rn_node_string(n, "col"));
	if (rc)
		free(*at);
	return rc;
}

/* The pairs of --known must be of the same types. */
static int check_known(const struct rn_node *n, const struct rn_schema *in, size_t col,
		       const struct rn_schema *known, struct rn_err *e)
{
	size_t *a = NULL, *b = NULL, na, at;
	int rc;

	RN_GOTO(out, rn_schema_find(known, rn_node_string(n, "col"), &at, e));
	RN_GOTO(out, rn_key_types_meet(in->cols[col].type, in->cols[col].name, known->cols[at].type,
				       "--known", e));
	RN_GOTO(out, find_by(n, in, col, in, &a, &na, e));
	RN_GOTO(out, find_by(n, in, col, known, &b, &na, e));
	for (size_t i = 0; i < na; i++)
		RN_GOTO(out, rn_key_types_meet(in->cols[a[i]].type, in->cols[a[i]].name,
					       known->cols[b[i]].type, "--known", e));
out:
	free(a);
	free(b);
	return rc;
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	const struct rn_schema *cand = in[rn_node_input(n, "candidates")];
	const char *label = rn_node_string(n, "label");
	long known = rn_node_input(n, "known");
	size_t col, at, *by;

	RN_TRY(rn_schema_find(in[0], rn_node_string(n, "col"), &col, e));
	RN_TRY(find_candidate(cand, rn_node_string(n, "col"), &at, e));
	if (cand->cols[at].type != in[0]->cols[col].type)
		return rn_err_set(e, RN_EUSAGE, "column '%s' is %s, and '%s' of --candidates is %s",
				  in[0]->cols[col].name, rn_type_name(in[0]->cols[col].type),
				  cand->cols[at].name, rn_type_name(cand->cols[at].type));
	RN_TRY(find_by(n, in[0], col, in[0], &by, &at, e));
	free(by);
	if (known >= 0)
		RN_TRY(check_known(n, in[0], col, in[known], e));
	for (size_t i = 0; i < in[0]->ncols; i++) {
		const struct rn_field *f = &in[0]->cols[i];

		if (!strcmp(f->name, label))
			return rn_err_set(e, RN_EUSAGE, "there is a column '%s' already: name the label "
					  "with --label", label);
		RN_TRY(rn_schema_add_col(out, f->name, f->qual, f->type, e));
	}
	RN_TRY(rn_schema_add_col(out, label, NULL, RN_INT64, e));
	for (size_t i = 0; i < in[0]->nparts; i++)
		RN_TRY(rn_schema_add_part(out, in[0]->parts[i].name, &in[0]->parts[i].shape,
					  in[0]->parts[i].sparse, e));
	return 0;
}

/* ---- known pairs -------------------------------------------------------------------------- */

/* Pairs as (number of the rest of the pair) * 2^32 + (number of the candidate), sorted. */
struct pairs {
	uint64_t *pair;
	uint64_t n;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool is_known(const struct pairs *p, uint32_t rest, uint32_t cand)
{
	uint64_t key = (uint64_t)rest << 32 | cand;

	return p->n && bsearch(&key, p->pair, p->n, sizeof key, by_value);
}

/* The number of each row's key among the distinct ones of `of`; *out owned groups. */
static int number(const struct rn_ctx *c, const struct rn_rel *r, const size_t *at,
		  const struct rn_rel *of, const size_t *of_at, size_t n, struct rn_groups *out,
		  struct rn_err *e)
{
	struct rn_column **cols;
	int rc;

	RN_TRY(rn_calloc(2 * n, sizeof(struct rn_column *), "columns", &cols, e));
	for (size_t i = 0; i < n; i++) {
		cols[i] = r->cols[at[i]];
		cols[n + i] = of->cols[of_at[i]];
	}
	struct rn_key k = { .n = n, .cols = cols, .rows = r->rows };
	struct rn_key keys = { .n = n, .cols = cols + n, .rows = of->rows };
	rc = rn_group_keys(c, &k, &keys, out, e);
	free(cols);
	return rc;
}

/* Add the pairs of relation r; rest: the number of each of its rows, if wanted. */
static int add_pairs(const struct rn_ctx *c, const struct rn_node *n, const struct rn_rel *r,
		     const struct rn_rel *edges, size_t col, const struct rn_rel *cand, size_t at,
		     struct pairs *p, struct rn_groups *rest, struct rn_err *e)
{
	size_t *a = NULL, *b = NULL, count, mine;
	struct rn_groups g = { 0 };
	int rc;

	RN_GOTO(out, rn_schema_find(&r->schema, rn_node_string(n, "col"), &mine, e));
	RN_GOTO(out, find_by(n, &edges->schema, col, &edges->schema, &a, &count, e));
	RN_GOTO(out, find_by(n, &edges->schema, col, &r->schema, &b, &count, e));
	RN_GOTO(out, number(c, r, b, edges, a, count, rest, e));
	RN_GOTO(out, number(c, r, &mine, cand, &at, 1, &g, e));
	for (uint64_t i = 0; i < r->rows; i++) {
		uint32_t u = ((const uint32_t *)rest->of->data)[i], v = ((const uint32_t *)g.of->data)[i];

		if (u != RN_NO_ROW && v != RN_NO_ROW)
			p->pair[p->n++] = (uint64_t)u << 32 | v;
	}
out:
	rn_groups_fini(&g);
	free(a);
	free(b);
	return rc;
}

/* ---- drawing ---------------------------------------------------------------------------- */

/* A candidate that is no known pair with `rest`, or RN_NO_ROW where there is none. */
static uint32_t draw(const struct pairs *p, struct rn_rng_key key, uint64_t row, uint32_t copy,
		     uint32_t rest, uint32_t ncand)
{
	uint32_t at = 0;

	for (uint32_t try = 0; try < TRIES && ncand; try++) {
		uint32_t ctr[4] = { (uint32_t)row, (uint32_t)(row >> 32), copy, try }, word[4];
		uint64_t x;

		rn_philox4x32(ctr, key.k, word);
		x = (uint64_t)word[0] << 32 | word[1];
		at = (uint32_t)((unsigned __int128)x * ncand >> 64);
		if (!is_known(p, rest, at))
			return at;
	}
	for (uint32_t k = 1; k <= ncand; k++)
		if (!is_known(p, rest, (uint32_t)(((uint64_t)at + k) % ncand)))
			return (uint32_t)(((uint64_t)at + k) % ncand);
	return RN_NO_ROW;
}

/* For each output row: its pair, its row of `edges, candidates` stacked, its label. */
struct drawn {
	uint64_t n;
	struct rn_buf *map, *value;
	struct rn_column *label;
};

static int draw_all(const struct rn_ctx *c, const struct rn_node *n, const struct rn_rel *edges,
		    const struct pairs *p, const struct rn_groups *rest,
		    const struct rn_groups *cand, struct drawn *d, struct rn_err *e)
{
	struct rn_rng_key key = rn_rng_key("negative", (uint64_t)rn_node_int(n, "draw"));
	uint64_t per = (uint64_t)rn_node_int(n, "per"), without = 0, most;
	uint32_t *m, *v;

	if (!rn_mul_size(edges->rows, per + 1, &most))
		most = UINT64_MAX;
	RN_TRY(rn_op_check_rows(most, e));
	RN_TRY(rn_op_check_mem(c, most, &edges->schema, e));
	RN_TRY(rn_buf_new(most * sizeof *m, "a row map", &d->map, e));
	RN_TRY(rn_buf_new(most * sizeof *m, "a row map", &d->value, e));
	RN_TRY(rn_column_new(RN_INT64, most, &d->label, e));
	m = d->map->data;
	v = d->value->data;
	for (uint64_t i = 0; i < edges->rows; i++)
		for (uint32_t k = 0; k <= per; k++) {
			uint32_t at = k ? draw(p, key, i, k, ((const uint32_t *)rest->of->data)[i],
					       (uint32_t)cand->n) : 0;

			if (at == RN_NO_ROW) {
				without++;
				break;
			}
			m[d->n] = (uint32_t)i;
			v[d->n] = k ? (uint32_t)edges->rows + ((const uint32_t *)cand->first->data)[at]
				    : (uint32_t)i;
			d->label->i64[d->n++] = !k;
		}
	d->label->rows = d->n;
	if (without)
		rn_log(c, RN_LOG_WARN, "%" PRIu64 " of %" PRIu64 " rows have no negative: they are known "
		       "pairs with every candidate", without, edges->rows);
	return 0;
}

/* The columns of the pairs, of which `col` is partly drawn, and the label. */
static int make_rel(const struct rn_node *n, const struct rn_rel *edges, size_t col,
		    const struct rn_column *cand, struct drawn *d, struct rn_rel **out,
		    struct rn_err *e)
{
	struct rn_column *both[2] = { edges->cols[col], (struct rn_column *)(uintptr_t)cand }, *x, *c;
	struct rn_rel *r;
	int rc = 0;

	RN_TRY(rn_rel_new(NULL, d->n, &r, e));
	for (size_t i = 0; i < edges->schema.ncols && !rc; i++) {
		const struct rn_field *f = &edges->schema.cols[i];

		if (i == col) {
			rc = rn_column_concat(both, 2, &x, e);
			if (!rc) {
				rc = rn_column_gather(x, d->value->data, d->n, &c, e);
				rn_column_unref(x);
			}
		} else {
			rc = rn_column_gather(edges->cols[i], d->map->data, d->n, &c, e);
		}
		if (!rc)
			rc = rn_rel_add_col(r, f->name, f->qual, c, e);
	}
	if (!rc)
		rc = rn_rel_add_col(r, rn_node_string(n, "label"), NULL, rn_column_ref(d->label), e);
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	const struct rn_rel *edges = in[0], *cand = in[rn_node_input(n, "candidates")];
	long k = rn_node_input(n, "known");
	const struct rn_rel *known = k >= 0 ? in[k] : NULL;
	struct rn_groups rest = { 0 }, other = { 0 }, of = { 0 };
	struct rn_op_rows *st = state;
	struct pairs p = { 0 };
	struct drawn d = { 0 };
	size_t col, at;
	int rc;

	(void)schema;
	RN_TRY(rn_schema_find(&edges->schema, rn_node_string(n, "col"), &col, e));
	RN_TRY(find_candidate(&cand->schema, rn_node_string(n, "col"), &at, e));
	RN_TRY(rn_op_check_rows(edges->rows + cand->rows, e));
	RN_GOTO(out, rn_calloc(edges->rows + (known ? known->rows : 0), sizeof *p.pair, "known pairs",
			       &p.pair, e));
	RN_GOTO(out, add_pairs(c, n, edges, edges, col, cand, at, &p, &rest, e));
	if (known)
		RN_GOTO(out, add_pairs(c, n, known, edges, col, cand, at, &p, &other, e));
	if (p.n > 1)
		qsort(p.pair, p.n, sizeof *p.pair, by_value);
	RN_GOTO(out, number(c, cand, &at, cand, &at, 1, &of, e));
	RN_GOTO(out, draw_all(c, n, edges, &p, &rest, &of, &d, e));
	RN_GOTO(out, make_rel(n, edges, col, cand->cols[at], &d, out, e));
	st->map = rn_buf_ref(d.map);
out:
	rn_groups_fini(&rest);
	rn_groups_fini(&other);
	rn_groups_fini(&of);
	rn_buf_unref(d.map);
	rn_buf_unref(d.value);
	rn_column_unref(d.label);
	free(p.pair);
	return rc;
}

const struct rn_op rn_op_negative = {
	.name = "negative",
	.what = "draw pairs that are not there beside those that are",
	.usage = "--col COL --candidates FILE [FILE]",
	.examples = examples,
	.see_also = "rn-loss(1), rn-train(1), rn-join(1)",
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(opts),
	.state_size = sizeof(struct rn_op_rows),
	.check = check,
	.infer = infer,
	.bind = bind,
	.reach = rn_op_rows_reach,
	.lower = rn_op_rows_lower,
	.close = rn_op_rows_close,
};
