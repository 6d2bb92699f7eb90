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

/* What is kept of every key of a bucket; parallel arrays. */
struct kept {
	struct real *real;
	__int128 *sum;
	uint32_t *n; /* values that are not NULL */
};

/* A column, and what is kept of it: its sum as float64, as an integer, or a count alone. */
struct item {
	const struct rn_column *c;
	bool real, sum;
};

struct folding {
	struct rn_cagg *a;
	size_t n;
	struct rn_column **out;
	struct item item[RN_FOLD_VALUES];
	struct rn_column *values[RN_FOLD_VALUES]; /* theirs */
	size_t nitems, item_of[RN_CAGG_SUMS]; /* SIZE_MAX: the rows are counted, no more */
	struct kept *kept; /* [bucket][nitems] */
	uint32_t cap[RN_FOLD_BUCKETS];
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

/* ---- adding up ------------------------------------------------------------------------------- */

static bool grow(void *p, size_t size, uint32_t had, uint32_t cap)
{
	char *q;

	memcpy(&q, p, sizeof q);
	q = realloc(q, cap * size);
	if (!q)
		return false;
	memset(q + had * size, 0, (cap - had) * size);
	memcpy(p, &q, sizeof q);
	return true;
}

static bool room(void *arg, uint32_t bucket, uint32_t keys)
{
	struct folding *f = arg;
	uint32_t had = f->cap[bucket];

	for (size_t i = 0; i < f->nitems; i++) {
		struct kept *kept = &f->kept[bucket * f->nitems + i];
		const struct item *it = &f->item[i];

		if ((it->real && !grow(&kept->real, sizeof *kept->real, had, keys)) ||
		    (it->sum && !grow(&kept->sum, sizeof *kept->sum, had, keys)) ||
		    (it->c->null && !grow(&kept->n, sizeof *kept->n, had, keys)))
			return false;
	}
	f->cap[bucket] = keys;
	return true;
}

static inline void add_reals(struct real *real, const struct rn_fold_rows *r, const uint64_t *value,
			     const uint8_t *null, bool integer)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct real *x = &real[r->at[i].key];
		double v;

		if (integer)
			v = (double)(int64_t)value[i];
		else
			memcpy(&v, &value[i], sizeof v);
		if (!null || !null[i])
			x->chunk += v;
		if (r->at[i].before % RN_CAGG_CHUNK == RN_CAGG_CHUNK - 1) {
			x->total += x->chunk;
			x->chunk = 0;
		}
	}
}

static void add_item(const struct item *it, struct kept *kept, const struct rn_fold_rows *r,
		     const uint64_t *value, const uint8_t *null)
{
	if (it->real && it->c->type == RN_INT64)
		add_reals(kept->real, r, value, null, true);
	else if (it->real && null)
		add_reals(kept->real, r, value, null, false);
	else if (it->real)
		add_reals(kept->real, r, value, NULL, false);
	for (uint32_t i = 0; it->sum && i < r->n; i++)
		kept->sum[r->at[i].key] += (int64_t)value[i]; /* 0 under a NULL */
	for (uint32_t i = 0; null && i < r->n; i++)
		kept->n[r->at[i].key] += !null[i];
}

static void add(void *arg, uint32_t bucket, const struct rn_fold_rows *r)
{
	struct folding *f = arg;

	for (size_t i = 0; i < f->nitems; i++)
		add_item(&f->item[i], &f->kept[bucket * f->nitems + i], r, r->value[i], r->null[i]);
}

/* ---- results ---------------------------------------------------------------------------------- */

/* Aggregate k of keys from … from + n - 1 of a bucket; gives how many are NULL. */
static uint64_t end_one(struct folding *f, size_t k, const struct kept *kept, uint32_t from,
			uint32_t n, const struct rn_fold_group *g)
{
	const struct rn_cagg *a = &f->a[k];
	struct rn_column *out = f->out[k];
	uint64_t nulls = 0;

	for (uint32_t i = 0; i < n; i++) {
		int64_t values = kept && kept->n ? kept->n[from + i] : g[i].rows;
		uint64_t to = g[i].number;

		if (a->kind == RN_CAGG_COUNT) {
			out->i64[to] = values;
			out->null[to] = 0;
		} else if (a->type == RN_INT64) {
			out->i64[to] = (int64_t)kept->sum[from + i];
			if (out->i64[to] != kept->sum[from + i]) {
				out->i64[to] = g[i].rows; /* for the message */
				rn_cagg_lower(&f->too_large[k], to);
			}
			nulls += rn_cagg_set_null(out, to, !values);
		} else {
			double sum = kept->real[from + i].total + kept->real[from + i].chunk;

			nulls += rn_cagg_set_real(out, to, rn_cagg_ratio(a, sum, values));
		}
	}
	return nulls;
}

static void end(void *arg, uint32_t bucket, uint32_t from, uint32_t n, const struct rn_fold_group *g)
{
	struct folding *f = arg;

	for (size_t k = 0; k < f->n; k++) {
		size_t i = f->item_of[k];
		const struct kept *kept = i == SIZE_MAX ? NULL : &f->kept[bucket * f->nitems + i];

		__atomic_fetch_add(&f->nulls[k], end_one(f, k, kept, from, n, g), __ATOMIC_RELAXED);
	}
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

static void free_kept(struct folding *f)
{
	for (size_t i = 0; f->kept && i < RN_FOLD_BUCKETS * f->nitems; i++) {
		free(f->kept[i].real);
		free(f->kept[i].sum);
		free(f->kept[i].n);
	}
	free(f->kept);
	free(f);
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
		struct rn_fold_sink sink = { f->nitems, f->values, room, add, end, f };

		RN_GOTO(out, rn_calloc(RN_FOLD_BUCKETS * f->nitems, sizeof *f->kept, "aggregates", &f->kept, e));
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
	free_kept(f);
	return rc;
}
