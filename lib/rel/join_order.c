/* SPDX-License-Identifier: Apache-2.0
 *
 * The right rows of each key in the order of a column, for joins that look for partners by
 * bisection: as of a time (join_asof.c), and within bounds (here).
 */
#include "join.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows in order ------------------------------------------------------------------------- */

struct places {
	const struct rn_hash_index *x;
	const struct rn_column *by;
	const uint32_t *order; /* the right rows by its value */
	uint32_t *key;         /* of each right row */
	uint32_t *of;          /* of each place in the order; RN_NO_ROW: no key, or NULL */
	uint32_t *at;          /* places, then the rows at them */
};

static void clear_keys(void *arg, uint32_t part)
{
	const struct places *t = arg;
	uint64_t from = rn_part_from(part), to = rn_part_to(part, t->by->rows);

	memset(t->key + from, 0xff, (to - from) * sizeof *t->key); /* RN_NO_ROW */
}

static void set_keys(void *arg, uint32_t part)
{
	const struct places *t = arg;
	const uint32_t *ptr = t->x->ptr->data;
	uint64_t to = rn_part_to(part, t->x->set->n);

	for (uint64_t g = rn_part_from(part); g < to; g++)
		for (uint32_t j = ptr[g]; j < ptr[g + 1]; j++)
			t->key[rn_hash_index_row(t->x, j)] = (uint32_t)g;
}

static void key_places(void *arg, uint32_t part)
{
	const struct places *t = arg;
	uint64_t to = rn_part_to(part, t->by->rows);

	for (uint64_t i = rn_part_from(part); i < to; i++)
		t->of[i] = rn_column_is_null(t->by, t->order[i]) ? RN_NO_ROW : t->key[t->order[i]];
}

/* o->ptr and o->at. */
static int order_rows(struct rn_team *team, const struct rn_hash_index *x,
		      const struct rn_column *by, struct rn_join_order *o, struct rn_err *e)
{
	struct rn_buf *order = NULL, *key = NULL;
	struct places t = { .x = x, .by = by };
	uint64_t n;
	int rc;

	RN_GOTO(out, rn_order_rows_team(team, &(struct rn_order){ .col = by }, 1, by->rows, &order, e));
	RN_GOTO(out, rn_buf_new_raw(2 * by->rows * sizeof *t.key, "an index", &key, e));
	t.order = order->data;
	t.key = key->data;
	t.of = t.key + by->rows;
	rn_part_run(team, by->rows, clear_keys, &t);
	rn_part_run(team, x->set->n, set_keys, &t);
	rn_part_run(team, by->rows, key_places, &t);
	/* Sorting by key keeps the order of values. */
	RN_GOTO(out, rn_rows_by_number(team, t.of, by->rows, x->set->n, false, &o->ptr, &o->at, e));
	t.at = o->at->data;
	n = ((const uint32_t *)o->ptr->data)[x->set->n];
	for (uint64_t i = 0; i < n; i++)
		t.at[i] = t.order[t.at[i]];
out:
	rn_buf_unref(order);
	rn_buf_unref(key);
	return rc;
}

int rn_join_order_new(const struct rn_ctx *c, const struct rn_hash_index *x,
		      const struct rn_column *by, struct rn_join_order **out, struct rn_err *e)
{
	struct rn_team *t = rn_part_team(c);
	struct rn_join_order *o;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *o, "an index", &o, e));
	rc = order_rows(t, x, by, o, e);
	if (!rc)
		rc = rn_column_gather_team(t, by, o->at->data, ((const uint32_t *)o->ptr->data)[x->set->n],
					   &o->values, e);
	if (rc)
		rn_join_order_free(o);
	else
		*out = o;
	return rc;
}

void rn_join_order_free(struct rn_join_order *o)
{
	if (!o)
		return;
	rn_buf_unref(o->ptr);
	rn_buf_unref(o->at);
	rn_column_unref(o->values);
	free(o);
}

/* ---- places in it -------------------------------------------------------------------------- */

/* The searches for numbers have no branch that depends on them: a processor goes on with the next
 * rows' while it waits for memory. */
#define PLACE(name, T)                                                                     \
	static inline uint32_t name(const T *v, T x, bool equal, uint32_t lo, uint32_t hi) \
	{                                                                                  \
		const T *at = v + lo;                                                      \
                                                                                           \
		for (uint32_t n = hi - lo, half; n; n -= half) {                           \
			T y = at[(half = n - n / 2) - 1];                                  \
                                                                                           \
			at += half & -(uint32_t)((y < x) | (equal & (y == x)));            \
		}                                                                          \
		return (uint32_t)(at - v);                                                 \
	}
PLACE(place_int, int64_t)
PLACE(place_float, double)

uint32_t rn_join_order_place(const struct rn_join_order *o, const struct rn_column *of, uint64_t i,
			     bool equal, uint32_t lo, uint32_t hi)
{
	const struct rn_column *v = o->values;

	if ((v->type == RN_INT64 || v->type == RN_TIMESTAMP) && of->type == v->type)
		return place_int(v->i64, of->i64[i], equal, lo, hi);
	if (v->type == RN_FLOAT64 && of->type == RN_FLOAT64)
		return place_float(v->f64, of->f64[i], equal, lo, hi);
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (rn_column_compare(v, mid, of, i) < (equal ? 1 : 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- bounds -------------------------------------------------------------------------------- */

int rn_join_range_open(const struct rn_ctx *c, const struct rn_hash_index *x,
		       const struct rn_pair_test *test, struct rn_join_range *r, struct rn_err *e)
{
	*r = (struct rn_join_range){ .test = test };
	return rn_join_order_new(c, x, test->by, &r->order, e);
}

void rn_join_range_fini(struct rn_join_range *r)
{
	rn_join_order_free(r->order);
	*r = (struct rn_join_range){ 0 };
}

const uint32_t *rn_join_range_find(const struct rn_join_range *r, uint64_t i, uint32_t key, uint32_t *n)
{
	const uint32_t *ptr = r->order->ptr->data, *at = r->order->at->data;
	uint32_t lo = ptr[key], hi = ptr[key + 1];

	for (size_t k = 0; k < r->test->nbounds; k++) {
		const struct rn_pair_bound *b = &r->test->bounds[k];

		if (rn_column_is_null(b->left, i))
			hi = lo;
		else if (b->above)
			lo = rn_join_order_place(r->order, b->left, i, !b->or_equal, lo, hi);
		else
			hi = rn_join_order_place(r->order, b->left, i, b->or_equal, lo, hi);
	}
	*n = hi - lo;
	return at + lo;
}
