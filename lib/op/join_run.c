/* SPDX-License-Identifier: Apache-2.0 */
#include "join_run.h"

#include "../base/team.h"
#include "../rel/gather.h"

#include "util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void drop_maps(struct rn_join_state *s)
{
	for (size_t i = 0; i < RN_MANY; i++) {
		rn_buf_unref(s->map[i]);
		s->map[i] = NULL;
	}
	s->n = 0;
}

void rn_join_state_fini(struct rn_join_state *s)
{
	drop_maps(s);
	rn_schema_fini(&s->schema);
}

int rn_join_run_open(struct rn_join_run *r, const struct rn_ctx *c, const struct rn_node *n,
		     const struct rn_schema *const *schema, const struct rn_rel *const *in,
		     bool pieces, struct rn_join_state *st, struct rn_err *e)
{
	*r = (struct rn_join_run){ .ctx = c, .n = n, .schema = schema, .st = st, .pieces = pieces };
	RN_TRY(rn_calloc(n->nin, sizeof *r->keys, "join keys", &r->keys, e));
	RN_TRY(rn_calloc(n->nin, sizeof *r->in, "inputs", &r->in, e));
	RN_TRY(rn_calloc(n->nin, sizeof(struct rn_hash_index *), "indexes", &r->index, e));
	RN_TRY(rn_calloc(n->nin, sizeof *r->count, "a join", &r->count, e));
	for (size_t i = 1; i < n->nin; i++)
		r->in[i] = in[i];
	if (pieces && rn_join_kind_of(n) == RN_JOIN_FULL)
		RN_TRY(rn_calloc(in[1]->rows, 1, "a join", &r->met, e));
	return rn_join_schema(n, schema, r->keys, &r->left, &st->schema, e);
}

void rn_join_run_close(struct rn_join_run *r)
{
	for (size_t i = 0; r->index && i < r->n->nin; i++)
		rn_hash_index_free(r->index[i]);
	rn_join_order_free(r->times);
	rn_schema_fini(&r->left);
	free(r->keys);
	free(r->in);
	free(r->index);
	free(r->count);
	free(r->met);
	*r = (struct rn_join_run){ 0 };
}

/* ---- matching ---------------------------------------------------------------------- */

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

/* Column `col` of the rows so far, which are those before input i is joined. */
static int left_column(const struct rn_join_run *r, size_t i, size_t col, struct rn_column **out,
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
	return rn_column_gather_team(r->ctx->team, r->in[from]->cols[col], r->st->map[from]->data,
				     r->rows, out, e);
}

/* The condition, with the columns that it reads, for the join with input i. */
static int open_condition(const struct rn_join_run *r, size_t i, struct rn_join_cond *c,
			  struct rn_err *e)
{
	RN_TRY(rn_join_cond_open(r->n, r->schema, &r->left, &r->keys[i - 1], c, e));
	for (size_t k = 0; k < c->schema.ncols; k++)
		if (c->right[k])
			c->cols[k] = rn_column_ref(r->in[i]->cols[c->col[k]]);
		else
			RN_TRY(left_column(r, i, c->col[k], &c->cols[k], e));
	return 0;
}

static int match_if(const struct rn_join_run *r, const struct rn_ctx *c, const struct rn_key *left,
		    const struct rn_key *right, size_t i, enum rn_join_kind kind,
		    struct rn_join_result *j, struct rn_err *e)
{
	struct rn_join_cond cond = { 0 };
	struct rn_pair_test test;
	int rc = open_condition(r, i, &cond, e);

	if (!rc)
		rn_join_cond_test(&cond, &test);
	if (!rc && rn_team_threads(c->team) > 1)
		rc = rn_join_if_shared(c, left, right, r->index[i], kind, &test, j, e);
	else if (!rc)
		rc = rn_join_if(c, left, right, r->index[i], kind, &test, j, e);
	rn_join_cond_fini(&cond);
	return rc;
}

/* The row maps of the rows so far joined with input i. */
static int match(struct rn_join_run *r, const struct rn_ctx *c, const struct rn_key *left, size_t i,
		 struct rn_join_result *j, struct rn_err *e)
{
	enum rn_join_kind kind = rn_join_kind_of(r->n);
	const struct rn_join_keys *k = &r->keys[i - 1];
	struct rn_column *cols[RN_JOIN_KEYS];
	struct rn_key right = { .n = k->n, .cols = cols, .rows = r->in[i]->rows };
	size_t lt, rt;

	if (kind == RN_JOIN_FULL && r->pieces)
		kind = RN_JOIN_LEFT;
	for (size_t q = 0; q < k->n; q++)
		cols[q] = r->in[i]->cols[k->right[q]];
	if (!r->index[i])
		RN_TRY(rn_hash_index_new(c, &right, &r->index[i], e));
	if (json_object_size(rn_node_json(r->n, "asof"))) {
		RN_TRY(rn_join_asof_columns(r->n, r->schema[0], r->schema[1], &lt, &rt, e));
		if (!r->times)
			RN_TRY(rn_join_order_new(c, r->index[i], r->in[1]->cols[rt], &r->times, e));
		return rn_join_asof(c, left, &right, r->index[i], r->in[0]->cols[lt], r->times,
				    rn_node_flag(r->n, "asof-equal"), kind, j, e);
	}
	if (rn_node_string(r->n, "and") && i == r->n->nin - 1)
		return match_if(r, c, left, &right, i, kind, j, e);
	return rn_join(c, left, &right, r->index[i], kind, j, e);
}

enum { MANY_PAIRS = 1000000 };

/* Before the work: without a key every row meets every other. */
static void report_product(const struct rn_join_run *r, const struct rn_ctx *c, size_t i)
{
	uint64_t left = r->rows, right = r->in[i]->rows;
	char label[128];

	if (!r->pieces && !r->keys[i - 1].n && left > 1 && right > 1)
		rn_log(c, left > MANY_PAIRS / right ? RN_LOG_WARN : RN_LOG_INFO,
		       "%s: no key: a product of %" PRIu64 " x %" PRIu64 " rows",
		       rn_node_label(r->n, label, sizeof label), left, right);
}

/* Join the rows so far, of schema `left`, with input i; maps 0 … i grow. */
static int join_next(struct rn_join_run *r, const struct rn_ctx *c, size_t i,
		     struct rn_join_count *count, struct rn_err *e)
{
	const struct rn_join_keys *k = &r->keys[i - 1];
	struct rn_column *cols[RN_JOIN_KEYS] = { 0 };
	const char *names[RN_JOIN_KEYS];
	struct rn_key key = { .n = k->n, .cols = cols, .rows = r->rows, .names = names };
	struct rn_join_result j = { 0 };
	int rc = 0;

	report_product(r, c, i);
	for (size_t q = 0; q < k->n; q++) {
		names[q] = r->left.cols[k->left[q]].name;
		RN_GOTO(out, left_column(r, i, k->left[q], &cols[q], e));
	}
	RN_GOTO(out, match(r, c, &key, i, &j, e));
	*count = (struct rn_join_count){ j.left_unmatched, j.left_null, j.right_unmatched, j.right_null };
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

int rn_join_run_piece(struct rn_join_run *r, const struct rn_ctx *c, const struct rn_rel *left,
		      struct rn_err *e)
{
	struct rn_join_count *count;
	int rc;

	RN_TRY(rn_calloc(r->n->nin, sizeof *count, "a join", &count, e));
	drop_maps(r->st);
	r->in[0] = left;
	r->rows = left->rows;
	for (size_t i = 1; i < r->n->nin; i++)
		RN_GOTO(out, join_next(r, c, i, &count[i], e));
	for (size_t i = 1; i < r->n->nin; i++) {
		r->count[i].left_unmatched += count[i].left_unmatched;
		r->count[i].left_null += count[i].left_null;
		r->count[i].right_unmatched += count[i].right_unmatched;
		r->count[i].right_null = count[i].right_null;
	}
	for (uint64_t k = 0; r->met && k < r->rows; k++) {
		uint32_t to = ((const uint32_t *)r->st->map[1]->data)[k];

		if (to != RN_NO_ROW)
			r->met[to] = 1;
	}
out:
	free(count);
	return rc;
}

int rn_join_run_rest(struct rn_join_run *r, const struct rn_rel *left, struct rn_err *e)
{
	uint64_t n = 0, right = r->in[1]->rows;
	uint32_t *l, *m;

	drop_maps(r->st);
	r->in[0] = left;
	for (uint64_t k = 0; k < right; k++)
		n += !r->met[k];
	r->count[1].right_unmatched = n;
	r->rows = n;
	RN_TRY(rn_buf_new(n * sizeof *l, "a join", &r->st->map[0], e));
	RN_TRY(rn_buf_new(n * sizeof *m, "a join", &r->st->map[1], e));
	r->st->n = 2;
	l = r->st->map[0]->data;
	m = r->st->map[1]->data;
	memset(l, 0xff, n * sizeof *l); /* RN_NO_ROW */
	for (uint64_t k = 0; k < right; k++)
		if (!r->met[k])
			*m++ = (uint32_t)k;
	return 0;
}

/* ---- reports ------------------------------------------------------------------------ */

static int report_side(const struct rn_join_run *r, const char *where, uint64_t unmatched,
		       uint64_t null, struct rn_err *e)
{
	char label[128];

	if (!unmatched)
		return 0;
	rn_node_label(r->n, label, sizeof label);
	if (r->ctx->strict)
		return rn_err_set(e, RN_EDATA,
				  "%" PRIu64 " rows find no partner in '%s' (%" PRIu64
				  " with a NULL key), and --strict was given", unmatched, where, null);
	rn_log(r->ctx, RN_LOG_INFO,
	       "%s: %" PRIu64 " rows find no partner in '%s' (%" PRIu64 " with a NULL key)", label,
	       unmatched, where, null);
	return 0;
}

int rn_join_run_report(const struct rn_join_run *r, struct rn_err *e)
{
	char lbuf[8], rbuf[8], label[128];
	const char *left = rn_join_input_name(r->n, r->schema[0], 0, lbuf);

	for (size_t i = 1; i < r->n->nin; i++) {
		const struct rn_join_count *c = &r->count[i];
		const char *right = rn_join_input_name(r->n, r->schema[i], i, rbuf);

		RN_TRY(report_side(r, right, c->left_unmatched, c->left_null, e));
		if (rn_join_kind_of(r->n) == RN_JOIN_FULL)
			RN_TRY(report_side(r, left, c->right_unmatched, c->right_null, e));
		else if (c->right_null && r->ctx->strict)
			return rn_err_set(e, RN_EDATA, "%" PRIu64 " rows of '%s' have a NULL key, and "
					  "--strict was given", c->right_null, right);
		else if (c->right_null)
			rn_log(r->ctx, RN_LOG_INFO, "%s: %" PRIu64 " rows of '%s' have a NULL key",
			       rn_node_label(r->n, label, sizeof label), c->right_null, right);
	}
	return 0;
}

/* ---- output -------------------------------------------------------------------------- */

/* A full join's key column q: the left value, or the right one where there is no left row. */
static int coalesced(const struct rn_join_run *r, const struct rn_join_state *st, uint64_t rows,
		     size_t q, struct rn_column **out, struct rn_err *e)
{
	const uint32_t *left = st->map[0]->data, *right = st->map[1]->data;
	struct rn_column *both[2] = { r->in[0]->cols[r->keys[0].left[q]],
				      r->in[1]->cols[r->keys[0].right[q]] }, *all;
	bool any = false;
	struct rn_buf *map;
	uint32_t *m;
	int rc;

	for (uint64_t i = 0; i < rows && !any; i++)
		any = left[i] == RN_NO_ROW;
	if (!any)
		return rn_column_gather_team(r->ctx->team, both[0], left, rows, out, e);
	RN_TRY(rn_op_check_rows(r->in[0]->rows + r->in[1]->rows, e));
	RN_TRY(rn_column_concat(both, 2, &all, e));
	RN_GOTO(out, rn_buf_new(rows * sizeof *m, "a row map", &map, e));
	m = map->data;
	for (uint64_t i = 0; i < rows; i++)
		m[i] = left[i] != RN_NO_ROW ? left[i] : (uint32_t)r->in[0]->rows + right[i];
	rc = rn_column_gather_team(r->ctx->team, all, m, rows, out, e);
	rn_buf_unref(map);
out:
	rn_column_unref(all);
	return rc;
}

/* Column c of input i in the joined rows, by g. */
static int joined_column(const struct rn_join_run *r, const struct rn_join_state *st, uint64_t rows,
			 size_t i, size_t c, const struct rn_gather *g, struct rn_column **out,
			 struct rn_err *e)
{
	if (!i && rn_join_kind_of(r->n) == RN_JOIN_FULL)
		for (size_t q = 0; q < r->keys[0].n; q++)
			if (r->keys[0].left[q] == c)
				return coalesced(r, st, rows, q, out, e);
	return rn_gather_column(g, r->in[i]->cols[c], out, e);
}

static int gather_content(const struct rn_join_run *r, const struct rn_join_state *st, uint64_t rows,
			  struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *s = &r->st->schema;
	struct rn_rel *rel;
	size_t o = 0;
	int rc;

	RN_TRY(rn_rel_new(NULL, rows, &rel, e));
	for (size_t i = 0; i < (rn_join_is_filter(r->n) ? 1 : r->n->nin); i++) {
		struct rn_gather g = rn_gather_by(r->ctx->team, st->map[i]->data, rows);

		for (size_t c = 0; c < r->in[i]->schema.ncols; c++) {
			struct rn_column *col;

			if (i && is_key(&r->keys[i - 1], c))
				continue;
			RN_GOTO(fail, joined_column(r, st, rows, i, c, &g, &col, e));
			RN_GOTO(fail, rn_rel_add_col(rel, s->cols[o].name, s->cols[o].qual, col, e));
			o++;
		}
	}
	RN_GOTO(fail, rn_op_copy_key(s, &rel->schema, e));
	*out = rel;
	return 0;
fail:
	rn_rel_unref(rel);
	return rc;
}

/* The maps of rows from … from + n - 1: parts read a map from its start. */
static int cut_maps(const struct rn_join_run *r, uint64_t from, uint64_t n,
		    struct rn_join_state *part, struct rn_err *e)
{
	for (size_t i = 0; i < r->st->n; i++) {
		struct rn_buf *b = r->st->map[i];

		if (!b)
			continue;
		if (!from && n == r->rows) {
			part->map[i] = rn_buf_ref(b);
			continue;
		}
		RN_TRY(rn_buf_new(n * sizeof(uint32_t), "a row map", &part->map[i], e));
		if (n)
			memcpy(part->map[i]->data, (uint32_t *)b->data + from, n * sizeof(uint32_t));
	}
	part->n = r->st->n;
	part->schema = r->st->schema;
	return 0;
}

int rn_join_run_content(const struct rn_join_run *r, uint64_t from, uint64_t n,
			struct rn_join_state *part, struct rn_rel **out, struct rn_err *e)
{
	if (part == r->st)
		return gather_content(r, part, n, out, e);
	RN_TRY(cut_maps(r, from, n, part, e));
	return gather_content(r, part, n, out, e);
}

/* map[i], and through that `inner`. */
static int through(const struct rn_buf *inner, struct rn_buf *map, uint64_t rows,
		   struct rn_buf **out, struct rn_err *e)
{
	const uint32_t *from = inner ? inner->data : NULL, *m = map->data;
	uint32_t *to;

	if (!inner) {
		*out = rn_buf_ref(map);
		return 0;
	}
	RN_TRY(rn_buf_new(rows * sizeof *to, "a row map", out, e));
	to = (*out)->data;
	for (uint64_t i = 0; i < rows; i++)
		to[i] = m[i] == RN_NO_ROW ? RN_NO_ROW : from[m[i]];
	return 0;
}

int rn_join_run_views(const struct rn_join_run *r, const struct rn_join_state *part,
		      struct rn_rel *out, struct rn_err *e)
{
	size_t o = 0;

	for (size_t i = 0; i < (rn_join_is_filter(r->n) ? 1 : r->n->nin); i++)
		for (size_t j = 0; j < r->in[i]->schema.nparts; j++, o++) {
			const struct rn_part *p = &r->in[i]->parts[j];
			struct rn_buf *map;

			RN_TRY(through(p->map, part->map[i], out->rows, &map, e));
			RN_TRY(rn_rel_add_part(out, part->schema.parts[o].name, rn_tensor_ref(p->t), map, e));
		}
	return 0;
}
