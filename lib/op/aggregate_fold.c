/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts, sums and averages by key, without lists of the groups' rows: each row is added
 * to what its key has by then.  The order of additions is that of aggregate_eval.c: a
 * chunk is what the rows since a multiple of 256 gave, and joins the total behind them.
 */
#include "aggregate_impl.h"

#include "../rel/fold.h"
#include "../rel/part.h"

#include <stdlib.h>
#include <string.h>

struct real {
	double total, chunk;
};

/* A column, and what is kept of it: its sum as float64, as an integer, a count of values that
 * are not NULL; each where it begins in what is kept of a key. */
struct item {
	const struct rn_column *c;
	bool real, sum;
	uint32_t real_at, sum_at, n_at;
};

struct folding {
	struct rn_cagg *a;
	size_t n;
	struct rn_column **out;
	struct item item[RN_FOLD_VALUES];
	struct rn_column *values[RN_FOLD_VALUES]; /* theirs */
	size_t nitems, item_of[RN_CAGG_SUMS]; /* SIZE_MAX: the rows are counted, no more */
	uint64_t nulls[RN_CAGG_SUMS];
	uint64_t too_large[RN_CAGG_SUMS]; /* the first group whose sum does not fit */
};

/* ---- what is to be kept -------------------------------------------------------------------- */

/* The item of a column. */
static bool find_item(struct folding *f, struct rn_column *c, size_t *at)
{
	for (*at = 0; *at < f->nitems; ++*at)
		if (f->values[*at] == c)
			return true;
	if (f->nitems == RN_FOLD_VALUES)
		return false;
	f->values[f->nitems] = c;
	f->item[f->nitems++].c = c;
	return true;
}

/* Can all be folded?  If so what for. */
static bool plan(struct folding *f)
{
	if (f->n > RN_CAGG_SUMS)
		return false;
	for (size_t k = 0; k < f->n; k++) {
		const struct rn_cagg *a = &f->a[k];
		size_t *i = &f->item_of[k];

		if (a->distinct || a->kind > RN_CAGG_AVG)
			return false;
		*i = SIZE_MAX;
		if (a->kind == RN_CAGG_COUNT && (!a->c || !a->c->null))
			continue;
		if (!find_item(f, a->c, i))
			return false;
		f->item[*i].real |= a->kind != RN_CAGG_COUNT && a->type == RN_FLOAT64;
		f->item[*i].sum |= a->kind != RN_CAGG_COUNT && a->type == RN_INT64;
	}
	return true;
}

/* Give each item its place; returns the bytes of a key.  Those of 16 come first. */
static size_t lay_out(struct folding *f)
{
	uint32_t at = 0;

	for (size_t i = 0; i < f->nitems; i++) {
		struct item *it = &f->item[i];

		it->real_at = at;
		at += it->real ? sizeof(struct real) : 0;
		it->sum_at = at;
		at += it->sum ? sizeof(__int128) : 0;
	}
	for (size_t i = 0; i < f->nitems; i++) {
		f->item[i].n_at = at;
		at += f->item[i].c->null ? sizeof(uint32_t) : 0;
	}
	return at;
}

/* ---- adding up ------------------------------------------------------------------------------- */

_Static_assert((int)RN_FOLD_CHUNK == (int)RN_CAGG_CHUNK, "a chunk is a chunk");

static inline char *kept_of(const struct rn_fold_rows *r, uint32_t i, uint32_t at)
{
	return r->kept + (size_t)r->key[i] * RN_FOLD_UNIT + at;
}

static inline void add_reals(const struct item *it, const struct rn_fold_rows *r,
			     const uint64_t *value, const uint8_t *null, bool integer)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct real *x = (struct real *)(void *)kept_of(r, i, it->real_at);
		double v;

		if (integer)
			v = (double)(int64_t)value[i];
		else
			memcpy(&v, &value[i], sizeof v);
		if (!null || !null[i])
			x->chunk += v;
		if (r->before[i] == RN_CAGG_CHUNK - 1) {
			x->total += x->chunk;
			x->chunk = 0;
		}
	}
}

static void add_sums(const struct item *it, const struct rn_fold_rows *r, const uint64_t *value)
{
	for (uint32_t i = 0; i < r->n; i++)
		*(__int128 *)(void *)kept_of(r, i, it->sum_at) += (int64_t)value[i]; /* 0 under a NULL */
}

static void count_values(const struct item *it, const struct rn_fold_rows *r, const uint8_t *null)
{
	for (uint32_t i = 0; i < r->n; i++)
		*(uint32_t *)(void *)kept_of(r, i, it->n_at) += !null[i];
}

static void add(void *arg, const struct rn_fold_rows *r)
{
	const struct folding *f = arg;

	for (size_t i = 0; i < f->nitems; i++) {
		const struct item *it = &f->item[i];
		const uint64_t *value = r->value[i];
		const uint8_t *null = r->null[i];

		if (it->real && it->c->type == RN_INT64)
			add_reals(it, r, value, null, true);
		else if (it->real && null)
			add_reals(it, r, value, null, false);
		else if (it->real)
			add_reals(it, r, value, NULL, false);
		if (it->sum)
			add_sums(it, r, value);
		if (null)
			count_values(it, r, null);
	}
}

/* ---- results ---------------------------------------------------------------------------------- */

/* The values that are not NULL in a group. */
static inline int64_t count_of(const struct item *it, const struct rn_fold_group *g)
{
	return it && it->c->null ? *(const uint32_t *)(const void *)(g->kept + it->n_at) : g->rows;
}

/* Aggregate k of n groups; gives how many are NULL. */
static uint64_t end_one(struct folding *f, size_t k, uint32_t n, const struct rn_fold_group *g)
{
	const struct item *it = f->item_of[k] == SIZE_MAX ? NULL : &f->item[f->item_of[k]];
	const struct rn_cagg *a = &f->a[k];
	struct rn_column *out = f->out[k];
	uint64_t nulls = 0;

	for (uint32_t i = 0; i < n; i++) {
		int64_t values = count_of(it, &g[i]);
		uint64_t to = g[i].number;

		if (a->kind == RN_CAGG_COUNT) {
			out->i64[to] = values;
			out->null[to] = 0;
		} else if (a->type == RN_INT64) {
			__int128 sum = *(const __int128 *)(const void *)(g[i].kept + it->sum_at);

			out->i64[to] = (int64_t)sum;
			if (out->i64[to] != sum) {
				out->i64[to] = g[i].rows; /* for the message */
				rn_cagg_lower(&f->too_large[k], to);
			}
			nulls += rn_cagg_set_null(out, to, !values);
		} else {
			const struct real *x = (const struct real *)(const void *)(g[i].kept + it->real_at);

			nulls += rn_cagg_set_real(out, to, rn_cagg_ratio(a, x->total + x->chunk, values));
		}
	}
	return nulls;
}

static void end(void *arg, uint32_t n, const struct rn_fold_group *g)
{
	struct folding *f = arg;

	for (size_t k = 0; k < f->n; k++)
		__atomic_fetch_add(&f->nulls[k], end_one(f, k, n, g), __ATOMIC_RELAXED);
}

static int make_columns(struct rn_team *t, struct folding *f, const struct rn_fold *fold,
			struct rn_err *e)
{
	for (size_t k = 0; k < f->n; k++) {
		f->too_large[k] = UINT64_MAX;
		RN_TRY(rn_cagg_new_column(f->a[k].type, fold->n, &f->out[k], e));
	}
	rn_fold_end(t, fold);
	for (size_t k = 0; k < f->n; k++) {
		uint64_t g = f->too_large[k];

		if (g != UINT64_MAX)
			return rn_cagg_too_large(&f->a[k], ((const uint32_t *)fold->first->data)[g],
						 (uint32_t)f->out[k]->i64[g], e);
	}
	for (size_t k = 0; k < f->n; k++)
		rn_column_set_nulls(f->out[k], f->nulls[k]);
	return 0;
}

int rn_cagg_fold(struct rn_team *t, struct rn_cagg *a, size_t n, const struct rn_key *key,
		 uint64_t *ngroups, struct rn_buf **first, struct rn_column **out, bool *done,
		 struct rn_err *e)
{
	struct rn_fold fold = { 0 };
	struct folding *f;
	int rc = 0;

	*done = false;
	RN_TRY(rn_calloc(1, sizeof *f, "aggregates", &f, e));
	f->a = a;
	f->n = n;
	f->out = out;
	if (plan(f)) {
		struct rn_fold_sink sink = { f->nitems, f->values, lay_out(f), add, end, f };

		RN_GOTO(out, rn_fold_new(t, key, &sink, &fold, done, e));
		if (*done)
			RN_GOTO(out, make_columns(t, f, &fold, e));
		if (*done) {
			*ngroups = fold.n;
			*first = rn_buf_ref(fold.first);
		}
	}
out:
	rn_fold_free(&fold);
	free(f);
	return rc;
}
