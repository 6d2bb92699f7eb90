/* SPDX-License-Identifier: Apache-2.0
 *
 * What encoders take from the data: vocabularies in order of value, centres and
 * scales, document frequencies.  Sums run over the rows in order, so the bits are
 * always the same.
 */
#include "encode_impl.h"

#include "../rel/key.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int rn_fitted_new(size_t n, struct rn_fitted **out, struct rn_err *e)
{
	struct rn_fitted *f;

	RN_TRY(rn_calloc(1, sizeof *f, "what was fitted", &f, e));
	if (rn_calloc(n, sizeof(struct rn_rel *), "what was fitted", &f->tables, e)) {
		free(f);
		return RN_ENOMEM;
	}
	f->refs = 1;
	f->n = n;
	*out = f;
	return 0;
}

struct rn_fitted *rn_fitted_ref(struct rn_fitted *f)
{
	if (f)
		__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
	return f;
}

void rn_fitted_unref(struct rn_fitted *f)
{
	if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; i < f->n; i++)
		rn_rel_unref(f->tables[i]);
	free(f->tables);
	free(f);
}

/* A table of two columns; takes both, also on failure. */
static int make_table(const char *a, struct rn_column *x, const char *b, struct rn_column *y,
		      struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *r;
	int rc = rn_rel_new(NULL, x->rows, &r, e);

	if (rc) {
		rn_column_unref(x);
		rn_column_unref(y);
		return rc;
	}
	rc = rn_rel_add_col(r, a, NULL, x, e);
	if (rc)
		rn_column_unref(y);
	else
		rc = rn_rel_add_col(r, b, NULL, y, e);
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
}

/* ---- vocabularies ------------------------------------------------------------------------- */

/* A distinct value: a row that has it, and how many do. */
struct seen {
	uint32_t row;
	uint64_t count;
	uint64_t rank; /* by value */
};

/* Most frequent first, equally frequent ones by value. */
static int by_count(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return (x->rank > y->rank) - (x->rank < y->rank);
}

static int by_rank(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return (x->rank > y->rank) - (x->rank < y->rank);
}

/* The rank of each among the values of c, by value. */
static int rank(const struct rn_column *c, struct seen *s, size_t n, struct rn_err *e)
{
	struct rn_column *values = NULL;
	struct rn_buf *map = NULL;
	uint32_t *rows;
	int rc;

	RN_TRY(rn_calloc(n, sizeof *rows, "a vocabulary", &rows, e));
	for (size_t i = 0; i < n; i++)
		rows[i] = s[i].row;
	RN_GOTO(out, rn_column_gather(c, rows, n, &values, e));
	RN_GOTO(out, rn_order_rows(&(struct rn_order){ .col = values }, 1, n, &map, e));
	for (size_t i = 0; i < n; i++)
		s[((const uint32_t *)map->data)[i]].rank = i;
out:
	rn_buf_unref(map);
	rn_column_unref(values);
	free(rows);
	return rc;
}

/* The distinct values of c by value, those that are seen too seldom left out. */
static int distinct(const struct rn_ctx *ctx, const struct rn_encoder *en, struct rn_column *c,
		    struct seen **out, size_t *n, struct rn_err *e)
{
	struct rn_key key = { .n = 1, .cols = &c, .rows = c->rows };
	const uint32_t *first, *ptr;
	struct rn_groups g = { 0 };
	struct seen *s = NULL;
	size_t k = 0;
	int rc;

	RN_TRY(rn_group(ctx, &key, &g, e));
	RN_GOTO(out, rn_calloc(g.n, sizeof *s, "a vocabulary", &s, e));
	first = g.first->data;
	ptr = g.ptr->data;
	for (uint64_t i = 0; i < g.n; i++)
		if (!rn_column_is_null(c, first[i]) && ptr[i + 1] - ptr[i] >= en->min)
			s[k++] = (struct seen){ .row = first[i], .count = ptr[i + 1] - ptr[i] };
	RN_GOTO(out, rank(c, s, k, e));
	if (en->top && k > en->top) {
		qsort(s, k, sizeof *s, by_count);
		k = (size_t)en->top;
	}
	if (k > 1)
		qsort(s, k, sizeof *s, by_rank);
	*out = s;
	*n = k;
	s = NULL;
out:
	free(s);
	rn_groups_fini(&g);
	return rc;
}

static int fit_vocabulary(const struct rn_ctx *ctx, const struct rn_encoder *en,
			  struct rn_column *c, struct rn_rel **out, struct rn_err *e)
{
	struct rn_column *value = NULL, *rows = NULL;
	struct seen *s = NULL;
	uint32_t *at = NULL;
	size_t n = 0;
	int rc;

	RN_TRY(distinct(ctx, en, c, &s, &n, e));
	RN_GOTO(out, rn_calloc(n, sizeof *at, "a vocabulary", &at, e));
	for (size_t i = 0; i < n; i++)
		at[i] = s[i].row;
	RN_GOTO(out, rn_column_gather(c, at, n, &value, e));
	RN_GOTO(out, rn_column_new(RN_INT64, n, &rows, e));
	for (size_t i = 0; i < n; i++)
		rows->i64[i] = (int64_t)s[i].count;
	rc = make_table("value", value, "rows", rows, out, e);
	value = NULL;
out:
	rn_column_unref(value);
	free(at);
	free(s);
	return rc;
}

/* ---- centre and scale ----------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Between neighbours by their distance, as numpy. */
static double quantile(const double *x, uint64_t n, double q)
{
	double at = q * (double)(n - 1);
	uint64_t i = (uint64_t)at;

	return i + 1 < n ? x[i] + (x[i + 1] - x[i]) * (at - (double)i) : x[i];
}

/* x becomes (x - center) / scale; may sort x. */
static void center_and_scale(enum rn_enc_scale how, double *x, uint64_t n, double *center,
			     double *scale)
{
	double sum = 0, from = x[0];

	switch (how) {
	case RN_SCALE_STANDARD:
		for (uint64_t i = 0; i < n; i++)
			sum += x[i] - from;
		*center = from + sum / (double)n;
		sum = 0;
		for (uint64_t i = 0; i < n; i++)
			sum += (x[i] - *center) * (x[i] - *center);
		*scale = sqrt(sum / (double)n);
		break;
	case RN_SCALE_MINMAX:
	case RN_SCALE_ROBUST:
		qsort(x, n, sizeof *x, by_number);
		*center = how == RN_SCALE_MINMAX ? x[0] : quantile(x, n, 0.5);
		*scale = how == RN_SCALE_MINMAX ? x[n - 1] - x[0]
						: quantile(x, n, 0.75) - quantile(x, n, 0.25);
		break;
	case RN_SCALE_NONE:
		break;
	}
	/* Rounding alone makes no spread: what is as good as constant is not blown up. */
	if (!(*scale > 1e-14 * fabs(*center)))
		*scale = 1;
}

static int numbers_table(double center, double scale, uint64_t n, struct rn_rel **out,
			 struct rn_err *e)
{
	struct rn_column *x = NULL, *y = NULL;
	struct rn_rel *r;
	int rc;

	RN_GOTO(fail, rn_column_new(RN_FLOAT64, 1, &x, e));
	RN_GOTO(fail, rn_column_new(RN_FLOAT64, 1, &y, e));
	x->f64[0] = center == 0 ? 0 : center; /* no -0 */
	y->f64[0] = scale;
	RN_TRY(make_table("center", x, "scale", y, &r, e));
	rc = rn_column_new(RN_INT64, 1, &x, e);
	if (!rc) {
		x->i64[0] = (int64_t)n;
		rc = rn_rel_add_col(r, "rows", NULL, x, e);
	}
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
fail:
	rn_column_unref(x);
	rn_column_unref(y);
	return rc;
}

static int fit_number(const struct rn_ctx *c, const struct rn_enc_number *src, uint64_t rows,
		      struct rn_rel **out, struct rn_err *e)
{
	double center = 0, scale = 1, *x;
	uint64_t n = 0;
	int rc = 0;

	RN_TRY(rn_calloc(rows, sizeof *x, "the numbers of a column", &x, e));
	for (uint64_t i = 0; i < rows && !rc; i++) {
		if (!rn_enc_number(src, i, &x[n]))
			continue;
		if (!isfinite(x[n]))
			rc = rn_err_set(e, RN_EDATA, "a training row has %g in column '%s', which "
					"has then no mean and no range: filter it out, or make it "
					"NULL in a project", x[n], src->en->col);
		n++;
	}
	if (!rc && n)
		center_and_scale(src->en->scale, x, n, &center, &scale);
	if (!rc && (!isfinite(center) || !isfinite(scale)))
		rc = rn_err_set(e, RN_EDATA,
				"the values of column '%s' are too large for a mean and a range: use "
				"log=true, or divide them in a project", src->en->col);
	free(x);
	RN_TRY(rc);
	if (!n)
		rn_log(c, RN_LOG_WARN,
		       "column '%s' is NULL in all training rows, and is not scaled", src->en->col);
	return numbers_table(center, scale, n, out, e);
}

/* ---- document frequencies --------------------------------------------------------------- */

static int frequency_table(const uint32_t *df, uint32_t n, uint64_t all, struct rn_rel **out,
			   struct rn_err *e)
{
	struct rn_column *bucket = NULL, *rows = NULL;
	uint64_t k = 1;
	int rc;

	for (uint32_t i = 0; i < n; i++)
		k += df[i] != 0;
	RN_GOTO(fail, rn_column_new(RN_INT64, k, &bucket, e));
	RN_GOTO(fail, rn_column_need_null(bucket, e));
	RN_GOTO(fail, rn_column_new(RN_INT64, k, &rows, e));
	bucket->null[0] = 1;
	bucket->nulls = 1;
	bucket->i64[0] = 0;
	rows->i64[0] = (int64_t)all;
	k = 1;
	for (uint32_t i = 0; i < n; i++)
		if (df[i]) {
			bucket->i64[k] = i;
			rows->i64[k++] = df[i];
		}
	return make_table("bucket", bucket, "rows", rows, out, e);
fail:
	rn_column_unref(bucket);
	rn_column_unref(rows);
	return rc;
}

static int fit_text(const struct rn_encoder *en, const struct rn_column *c, struct rn_rel **out,
		    struct rn_err *e)
{
	struct rn_enc_text t;
	uint32_t *df;
	int rc = 0;

	RN_TRY(rn_calloc(en->n, sizeof *df, "document frequencies", &df, e));
	rn_enc_text_init(&t, en, NULL);
	for (uint64_t i = 0; i < c->rows && !rc; i++) {
		rc = rn_enc_text_buckets(&t, c->bytes + c->off[i], c->off[i + 1] - c->off[i], e);
		for (size_t k = 0; k < t.nterms && !rc; k++)
			df[t.terms[k]]++;
	}
	if (!rc)
		rc = frequency_table(df, en->n, c->rows, out, e);
	rn_enc_text_fini(&t);
	free(df);
	return rc;
}

/* ---- all of them ---------------------------------------------------------------------------- */

static int fit_one(const struct rn_ctx *c, const struct rn_encoder *en, const struct rn_rel *r,
		   const uint32_t *rows, uint64_t n, struct rn_rel **out, struct rn_err *e)
{
	struct rn_column *col = NULL, *ref = NULL;
	struct rn_enc_number src = { .en = en };
	size_t at;
	int rc;

	RN_TRY(rn_schema_find(&r->schema, en->col, &at, e));
	RN_TRY(rn_column_gather(r->cols[at], rows, n, &col, e));
	if (en->ref) {
		RN_GOTO(out, rn_schema_find(&r->schema, en->ref, &at, e));
		RN_GOTO(out, rn_column_gather(r->cols[at], rows, n, &ref, e));
	}
	src.col = col;
	src.ref = ref;
	rc = en->kind == RN_ENC_TEXT ? fit_text(en, col, out, e) :
	     en->kind == RN_ENC_ONEHOT || en->kind == RN_ENC_CATEGORY ?
				       fit_vocabulary(c, en, col, out, e) :
				       fit_number(c, &src, n, out, e);
out:
	rn_column_unref(col);
	rn_column_unref(ref);
	return rc;
}

int rn_encoders_fit(const struct rn_ctx *c, const struct rn_encoders *es, const struct rn_rel *r,
		    const uint32_t *rows, uint64_t n, struct rn_fitted **out, struct rn_err *e)
{
	struct rn_fitted *f;
	int rc = 0;

	RN_TRY(rn_fitted_new(es->n, &f, e));
	for (size_t i = 0; i < es->n && !rc; i++)
		if (rn_encoder_fits(&es->at[i]))
			rc = fit_one(c, &es->at[i], r, rows, n, &f->tables[i], e);
	if (rc)
		rn_fitted_unref(f);
	else
		*out = f;
	return rc;
}

/* ---- tables from files ---------------------------------------------------------------------- */

static bool is_col(const struct rn_rel *t, size_t i, const char *name, int type)
{
	return i < t->schema.ncols && !strcmp(t->schema.cols[i].name, name) &&
	       (type < 0 || t->cols[i]->type == (enum rn_type)type);
}

static bool good_vocabulary(const struct rn_rel *t)
{
	const struct rn_column *v = t->cols[0];

	if (v->nulls || t->rows >= 1u << 28)
		return false;
	for (uint64_t i = 1; i < t->rows; i++)
		if (rn_column_compare(v, i - 1, v, i) >= 0)
			return false;
	return true;
}

static bool good_frequencies(const struct rn_encoder *en, const struct rn_rel *t)
{
	const struct rn_column *b = t->cols[0];

	for (uint64_t i = 0; i < t->rows; i++)
		if (!rn_column_is_null(b, i) && (b->i64[i] < 0 || b->i64[i] >= en->n))
			return false;
	return true;
}

int rn_encoder_check_table(const struct rn_encoder *en, const struct rn_rel *t, struct rn_err *e)
{
	struct rn_str what = RN_STR_INIT;
	bool good;

	switch (en->kind) {
	case RN_ENC_ONEHOT:
	case RN_ENC_CATEGORY:
		good = t->schema.ncols == 2 && is_col(t, 0, "value", -1) &&
		       is_col(t, 1, "rows", RN_INT64) && good_vocabulary(t);
		break;
	case RN_ENC_TEXT:
		good = en->idf && t->schema.ncols == 2 && is_col(t, 0, "bucket", RN_INT64) &&
		       is_col(t, 1, "rows", RN_INT64) && good_frequencies(en, t);
		break;
	default:
		good = rn_encoder_fits(en) && t->rows == 1 && t->schema.ncols == 3 &&
		       is_col(t, 0, "center", RN_FLOAT64) && is_col(t, 1, "scale", RN_FLOAT64) &&
		       is_col(t, 2, "rows", RN_INT64) && !t->cols[0]->nulls &&
		       !t->cols[1]->nulls && t->cols[1]->f64[0] != 0;
	}
	if (good)
		return 0;
	rn_encoder_print(en, &what);
	rn_err_set(e, RN_EDATA, "a table is not what %s fits", what.s);
	rn_str_fini(&what);
	return RN_EDATA;
}
