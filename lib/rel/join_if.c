/* SPDX-License-Identifier: Apache-2.0
 *
 * Joins whose partners must pass a test beside the key, and as-of joins.
 *
 * A test sees candidates in batches, in the order of the output; only what
 * passes is kept.  Whether a left row found a partner is known when the first
 * candidate of a later one is seen, which is also where its miss belongs.
 */
#include "join.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1 << 14 };

struct pairs {
	const struct rn_ctx *ctx;
	const struct rn_key *left, *right;
	const struct rn_pair_test *test;
	enum rn_join_kind kind;
	size_t n; /* candidates */
	uint32_t *l, *r;
	uint8_t *keep;
	uint64_t open; /* the left row whose partners may not all have been seen */
	bool any;      /* … has one already */
	uint8_t *met;  /* full join: right rows that have a partner */
	uint64_t rows, limit, misses;
	size_t lcap, rcap;
	uint32_t *ol, *or; /* the output */
};

static int refuse(const struct pairs *p, uint32_t l, struct rn_err *e)
{
	uint64_t bytes = (p->rows + 1) * (rn_join_pairs(p->kind) ? 8 : 4);
	struct rn_str b = RN_STR_INIT;

	rn_join_add_refusal(p->ctx, p->left->rows, p->right->rows, "gives at least", p->rows + 1,
			    bytes, &b);
	if (l != RN_NO_ROW && p->left->n) {
		rn_str_add(&b, "; it comes to ");
		rn_key_print(p->left, l, &b);
	}
	return rn_join_refuse(&b, e);
}

static int emit(struct pairs *p, uint32_t l, uint32_t r, struct rn_err *e)
{
	bool both = rn_join_pairs(p->kind);

	if (p->rows == p->limit)
		return refuse(p, l, e);
	RN_TRY(rn_grow(&p->ol, &p->lcap, p->rows + 1, sizeof *p->ol, "a join", e));
	if (both)
		RN_TRY(rn_grow(&p->or, &p->rcap, p->rows + 1, sizeof *p->or, "a join", e));
	p->ol[p->rows] = l;
	if (both)
		p->or[p->rows] = r;
	p->rows++;
	return 0;
}

/* All partners of the left rows before `l` are known. */
static int settle(struct pairs *p, uint64_t l, struct rn_err *e)
{
	for (; p->open < l; p->open++, p->any = false) {
		p->misses += !p->any;
		if (p->kind == RN_JOIN_SEMI ? p->any : !p->any && p->kind != RN_JOIN_INNER)
			RN_TRY(emit(p, (uint32_t)p->open, RN_NO_ROW, e));
	}
	return 0;
}

static int test_batch(struct pairs *p, struct rn_err *e)
{
	RN_TRY(p->test->keep(p->test->arg, p->l, p->r, p->n, p->keep, e));
	for (size_t i = 0; i < p->n; i++) {
		if (!p->keep[i])
			continue;
		RN_TRY(settle(p, p->l[i], e));
		p->any = true;
		if (p->met)
			p->met[p->r[i]] = 1;
		if (rn_join_pairs(p->kind))
			RN_TRY(emit(p, p->l[i], p->r[i], e));
	}
	p->n = 0;
	return 0;
}

static int test_all(struct pairs *p, const struct rn_hash_index *x, const uint32_t *of,
		    struct rn_err *e)
{
	const uint32_t *ptr = x->ptr->data;

	for (uint64_t i = 0; i < p->left->rows; i++) {
		if (of[i] == RN_NO_ROW)
			continue;
		for (uint32_t j = ptr[of[i]]; j < ptr[of[i] + 1]; j++) {
			p->l[p->n] = (uint32_t)i;
			p->r[p->n++] = rn_hash_index_row(x, j);
			if (p->n == BATCH)
				RN_TRY(test_batch(p, e));
		}
	}
	RN_TRY(test_batch(p, e));
	return settle(p, p->left->rows, e);
}

static int add_rest(struct pairs *p, struct rn_join_result *o, struct rn_err *e)
{
	for (uint64_t j = 0; p->met && j < p->right->rows; j++)
		if (!p->met[j]) {
			o->right_unmatched++;
			RN_TRY(emit(p, RN_NO_ROW, (uint32_t)j, e));
		}
	return 0;
}

static int copy_rows(const uint32_t *rows, uint64_t n, struct rn_buf **out, struct rn_err *e)
{
	RN_TRY(rn_buf_new(n * sizeof *rows, "a join", out, e));
	if (n)
		memcpy((*out)->data, rows, n * sizeof *rows);
	return 0;
}

int rn_join_if(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right,
	       const struct rn_hash_index *x, enum rn_join_kind kind,
	       const struct rn_pair_test *test, struct rn_join_result *out, struct rn_err *e)
{
	struct pairs p = { .ctx = c, .left = left, .right = right, .test = test, .kind = kind };
	struct rn_buf *of = NULL;
	int rc;

	p.limit = rn_join_most_rows(c, rn_join_pairs(kind) ? 2 : 1);
	RN_TRY(rn_join_find(left, right, x, &of, out, e));
	RN_GOTO(out, rn_calloc(BATCH, sizeof *p.l, "a join", &p.l, e));
	RN_GOTO(out, rn_calloc(BATCH, sizeof *p.r, "a join", &p.r, e));
	RN_GOTO(out, rn_calloc(BATCH, 1, "a join", &p.keep, e));
	if (kind == RN_JOIN_FULL)
		RN_GOTO(out, rn_calloc(right->rows, 1, "a join", &p.met, e));
	RN_GOTO(out, test_all(&p, x, of->data, e));
	RN_GOTO(out, add_rest(&p, out, e));
	out->left_unmatched = p.misses;
	out->rows = p.rows;
	RN_GOTO(out, copy_rows(p.ol, p.rows, &out->left, e));
	if (rn_join_pairs(kind))
		rc = copy_rows(p.or, p.rows, &out->right, e);
out:
	rn_buf_unref(of);
	free(p.l);
	free(p.r);
	free(p.keep);
	free(p.met);
	free(p.ol);
	free(p.or);
	if (rc)
		rn_join_result_fini(out);
	return rc;
}

/* ---- as of ------------------------------------------------------------------------- */

/* Rows of each key in the order of their times, those without one left out:
 * at[ptr[g]] … at[ptr[g + 1] - 1]. */
static int order_times(const struct rn_hash_index *x, const struct rn_column *rt,
		       struct rn_buf **ptr, struct rn_buf **at, struct rn_err *e)
{
	const uint32_t *own = x->ptr->data, *rows;
	struct rn_buf *order = NULL, *key = NULL;
	uint32_t *of;
	int rc;

	RN_GOTO(out, rn_order_rows(&(struct rn_order){ .col = rt }, 1, rt->rows, &order, e));
	/* The key of each row, by its place in the order of times; then sorted by key,
	 * which keeps that order. */
	RN_GOTO(out, rn_buf_new(2 * rt->rows * sizeof *of, "an index", &key, e));
	of = key->data;
	memset(of, 0xff, 2 * rt->rows * sizeof *of); /* RN_NO_ROW */
	for (uint64_t g = 0; g < x->set->n; g++)
		for (uint32_t j = own[g]; j < own[g + 1]; j++)
			of[rt->rows + rn_hash_index_row(x, j)] = (uint32_t)g;
	rows = order->data;
	for (uint64_t i = 0; i < rt->rows; i++)
		if (!rn_column_is_null(rt, rows[i]))
			of[i] = of[rt->rows + rows[i]];
	RN_GOTO(out, rn_rows_by_number(of, rt->rows, x->set->n, false, ptr, at, e));
	for (uint32_t j = 0, n = ((uint32_t *)(*ptr)->data)[x->set->n]; j < n; j++)
		((uint32_t *)(*at)->data)[j] = rows[((uint32_t *)(*at)->data)[j]];
out:
	rn_buf_unref(order);
	rn_buf_unref(key);
	return rc;
}

/* The last of rows[from … to - 1], which are in order of time, that is before lt[i]. */
static uint32_t latest(const struct rn_column *lt, uint64_t i, const struct rn_column *rt,
		       const uint32_t *rows, uint32_t from, uint32_t to, bool or_equal)
{
	uint32_t lo = from, hi = to;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (rn_column_compare(rt, rows[mid], lt, i) < (or_equal ? 1 : 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo == from ? RN_NO_ROW : rows[lo - 1];
}

/* Numbers of keys become right rows; the left rows without one are left out, or kept. */
static int write_asof(uint32_t *of, uint64_t nleft, bool outer, struct rn_join_result *o,
		      struct rn_err *e)
{
	uint32_t *left, *right;
	uint64_t at = 0;

	for (uint64_t i = 0; i < nleft; i++)
		o->left_unmatched += of[i] == RN_NO_ROW;
	o->rows = outer ? nleft : nleft - o->left_unmatched;
	RN_TRY(rn_buf_new(o->rows * sizeof *left, "a join", &o->left, e));
	RN_TRY(rn_buf_new(o->rows * sizeof *right, "a join", &o->right, e));
	left = o->left->data;
	right = o->right->data;
	for (uint64_t i = 0; i < nleft; i++) {
		if (of[i] == RN_NO_ROW && !outer)
			continue;
		left[at] = (uint32_t)i;
		right[at++] = of[i];
	}
	return 0;
}

int rn_join_asof(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right,
		 const struct rn_hash_index *x, const struct rn_column *lt,
		 const struct rn_column *rt, bool or_equal, enum rn_join_kind kind,
		 struct rn_join_result *out, struct rn_err *e)
{
	struct rn_buf *of, *ptr = NULL, *at = NULL;
	const uint32_t *p, *rows;
	uint32_t *o;
	int rc;

	(void)c; /* there is one row or none for each left one */
	RN_TRY(rn_join_find(left, right, x, &of, out, e));
	RN_GOTO(out, order_times(x, rt, &ptr, &at, e));
	p = ptr->data;
	rows = at->data;
	o = of->data;
	for (uint64_t i = 0; i < left->rows; i++)
		if (o[i] != RN_NO_ROW)
			o[i] = rn_column_is_null(lt, i) ?
				       RN_NO_ROW :
				       latest(lt, i, rt, rows, p[o[i]], p[o[i] + 1], or_equal);
	rc = write_asof(o, left->rows, kind == RN_JOIN_LEFT, out, e);
out:
	rn_buf_unref(of);
	rn_buf_unref(ptr);
	rn_buf_unref(at);
	if (rc)
		rn_join_result_fini(out);
	return rc;
}
