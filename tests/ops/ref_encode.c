/* SPDX-License-Identifier: Apache-2.0
 *
 * What encoders make of a row, written down as the manual says it, by hand and in
 * quadratic time.  They are fitted on the rows of even number.
 */
#include "ops.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int trial_fit(struct trial *t, struct rn_err *e)
{
	uint64_t n = t->in[0]->rows;
	struct rn_encoders es;
	uint32_t *rows;
	int rc;

	RN_TRY(rn_encoders_parse(rn_node_string(&t->node, "expr"), &es, e));
	rc = rn_calloc(n, sizeof *rows, "rows", &rows, e);
	if (!rc) {
		for (uint32_t i = 0; 2 * i < n; i++)
			rows[i] = 2 * i;
		rc = rn_encoders_fit(&quiet, &es, t->in[0], rows, (n + 1) / 2, &t->node.fitted, e);
		free(rows);
	}
	rn_encoders_fini(&es);
	return rc;
}

/* ---- numbers ------------------------------------------------------------------------------ */

static bool number(const struct trial *t, const char *col, uint64_t i, bool logarithm, double *x)
{
	const struct rn_column *c = col_of(t->in[0], col);

	if (rn_column_is_null(c, i))
		return false;
	*x = c->type == RN_FLOAT64     ? c->f64[i]
	     : c->type == RN_BOOL      ? c->b[i]
	     : c->type == RN_TIMESTAMP ? (double)c->i64[i] / 1e6
				       : (double)c->i64[i];
	if (logarithm)
		*x = (*x < 0 ? -1 : 1) * log(1 + fabs(*x));
	return true;
}

/* The numbers of the training rows. */
static uint64_t training(const struct trial *t, const char *col, bool logarithm, double *x)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < t->in[0]->rows; i += 2)
		n += number(t, col, i, logarithm, &x[n]);
	return n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double at_quantile(const double *x, uint64_t n, double q)
{
	double at = q * (double)(n - 1), below = floor(at);
	uint64_t i = (uint64_t)below;

	return i + 1 < n ? x[i] * (1 - at + below) + x[i + 1] * (at - below) : x[i];
}

/* how: 's' standard, 'm' minmax, 'r' robust */
static double scaled(const struct trial *t, const uint32_t *rows, const char *col, char how,
		     bool logarithm)
{
	double *x = calloc(t->in[0]->rows + 1, sizeof *x), center = 0, scale = 0, v;
	uint64_t n = training(t, col, logarithm, x);

	if (n && how == 's') {
		for (uint64_t i = 0; i < n; i++)
			center += x[i] / (double)n;
		for (uint64_t i = 0; i < n; i++)
			scale += (x[i] - center) * (x[i] - center) / (double)n;
		scale = sqrt(scale);
	} else if (n) {
		qsort(x, n, sizeof *x, by_value);
		center = how == 'm' ? x[0] : at_quantile(x, n, 0.5);
		scale = how == 'm' ? x[n - 1] - x[0]
				   : at_quantile(x, n, 0.75) - at_quantile(x, n, 0.25);
	}
	free(x);
	if (!number(t, col, rows[0], logarithm, &v))
		return 0;
	return (v - center) / (scale > 1e-9 ? scale : 1);
}

static double is_null(const struct trial *t, const uint32_t *rows, const char *col)
{
	return rn_column_is_null(col_of(t->in[0], col), rows[0]);
}

void emb_numeric(const struct trial *t, const uint32_t *rows, double *out)
{
	out[0] = scaled(t, rows, "f", 's', false);
	out[1] = is_null(t, rows, "f");
	out[2] = scaled(t, rows, "i", 's', false);
	out[3] = is_null(t, rows, "i");
	out[4] = scaled(t, rows, "b", 's', false);
	out[5] = is_null(t, rows, "b");
}

void emb_scales(const struct trial *t, const uint32_t *rows, double *out)
{
	double x;

	out[0] = scaled(t, rows, "f", 'm', true);
	out[1] = scaled(t, rows, "i", 'r', false);
	out[2] = number(t, "f", rows[0], true, &x) ? x : 0;
	out[3] = is_null(t, rows, "s");
	out[4] = is_null(t, rows, "i");
}

void emb_times(const struct trial *t, const uint32_t *rows, double *out)
{
	const struct rn_column *a = col_of(t->in[0], "a"), *b = col_of(t->in[0], "b");
	double mean = 0, var = 0, x = 0;
	uint64_t n = 0;

	out[0] = scaled(t, rows, "a", 's', false);
	out[1] = is_null(t, rows, "a");
	/* sign(s) log(1 + |s|) of the seconds from a to b */
	for (int pass = 0; pass < 3; pass++)
		for (uint64_t i = pass < 2 ? 0 : rows[0]; i < a->rows; i += 2) {
			if (rn_column_is_null(a, i) || rn_column_is_null(b, i)) {
				x = pass < 2 ? x : NAN;
			} else {
				x = (double)(b->i64[i] - a->i64[i]) / 1e6;
				x = (x < 0 ? -1 : 1) * log(1 + fabs(x));
				n += pass == 0;
				mean += pass == 0 ? x : 0;
				var += pass == 1 ? (x - mean) * (x - mean) : 0;
			}
			if (pass == 2)
				break;
			if (pass == 0 && i + 2 >= a->rows && n)
				mean /= (double)n;
			if (pass == 1 && i + 2 >= a->rows && n)
				var = sqrt(var / (double)n);
		}
	out[2] = x != x ? 0 : (x - mean) / (var > 1e-9 ? var : 1);
}

/* ---- vocabularies --------------------------------------------------------------------------- */

static int compare(const struct rn_column *c, uint64_t i, uint64_t k)
{
	if (c->type == RN_STRING) {
		struct rn_str a = RN_STR_INIT, b = RN_STR_INIT;
		int d;

		rn_column_print(c, i, &a);
		rn_column_print(c, k, &b);
		d = strcmp(a.s, b.s);
		rn_str_fini(&a);
		rn_str_fini(&b);
		return d;
	}
	return (c->i64[i] > c->i64[k]) - (c->i64[i] < c->i64[k]);
}

static uint64_t seen(const struct rn_column *c, uint64_t i)
{
	uint64_t n = 0;

	for (uint64_t k = 0; k < c->rows; k += 2)
		n += !rn_column_is_null(c, k) && !compare(c, i, k);
	return n;
}

/* Is row k the first training row of its value? */
static bool is_first(const struct rn_column *c, uint64_t k)
{
	if (k % 2 || rn_column_is_null(c, k))
		return false;
	for (uint64_t i = 0; i < k; i += 2)
		if (!rn_column_is_null(c, i) && !compare(c, i, k))
			return false;
	return true;
}

/* Does the value of row i stand in the vocabulary? */
static bool kept(const struct rn_column *c, uint64_t i, uint64_t min, uint64_t top)
{
	uint64_t better = 0;

	if (rn_column_is_null(c, i) || !seen(c, i) || seen(c, i) < min)
		return false;
	for (uint64_t k = 0; top && k < c->rows; k += 2)
		if (is_first(c, k) && (seen(c, k) > seen(c, i) ||
				       (seen(c, k) == seen(c, i) && compare(c, k, i) < 0)))
			better++;
	return !top || better < top;
}

/* The code of a row, and how many there are with that of NULL. */
static uint32_t code(const struct trial *t, const char *col, uint64_t row, uint64_t min,
		     uint64_t top, uint32_t *n)
{
	const struct rn_column *c = col_of(t->in[0], col);
	uint32_t below = 0;
	bool in = kept(c, row, min, top);

	*n = 1;
	for (uint64_t k = 0; k < c->rows; k += 2)
		if (is_first(c, k) && kept(c, k, min, top)) {
			++*n;
			below += in && compare(c, k, row) < 0;
		}
	return in ? below + 1 : 0;
}

static double *put_one(double *out, uint32_t at, uint32_t n)
{
	memset(out, 0, n * sizeof *out);
	out[at] = 1;
	return out + n;
}

void emb_onehot(const struct trial *t, const uint32_t *rows, double *out)
{
	uint32_t n, at = code(t, "s", rows[0], 0, 0, &n);

	out = put_one(out, at, n);
	at = code(t, "i", rows[0], 2, 0, &n);
	out = put_one(out, at, n);
	at = code(t, "t", rows[0], 0, 2, &n);
	put_one(out, at, n);
}

void emb_category(const struct trial *t, const uint32_t *rows, double *out)
{
	const float *w = trial_param(t, "s.weight"), *v = trial_param(t, "i.weight");
	uint32_t n, at;
	double x;

	*out++ = number(t, "f", rows[0], false, &x) ? x : 0;
	at = code(t, "s", rows[0], 0, 0, &n);
	for (uint32_t k = 0; k < 3; k++)
		*out++ = (double)w[at * 3 + k];
	at = code(t, "i", rows[0], 0, 0, &n);
	for (uint32_t k = 0; k < 3; k++)
		*out++ = (double)v[at * 3 + k];
	at = code(t, "s", rows[0], 0, 0, &n);
	put_one(out, at, n);
}

/* ---- text and circles ------------------------------------------------------------------- */

/* Texts of at most one word, as gen.c makes them. */
static size_t word(const struct rn_column *c, uint64_t i, const char **s)
{
	*s = c->bytes + c->off[i];
	return rn_column_is_null(c, i) ? 0 : c->off[i + 1] - c->off[i];
}

void emb_text(const struct trial *t, const uint32_t *rows, double *out)
{
	const struct rn_column *c = col_of(t->in[0], "s");
	size_t n, m;
	const char *s, *o;
	uint64_t docs = 0, df = 0;

	n = word(c, rows[0], &s);
	memset(out, 0, 16 * sizeof *out);
	if (!n)
		return;
	out[XXH64(s, n, 0) % 8] = 1; /* a word alone has the norm 1 */
	for (uint64_t i = 0; i < c->rows; i += 2) {
		m = word(c, i, &o);
		docs++;
		df += m && XXH64(o, m, 0) % 8 == XXH64(s, n, 0) % 8;
	}
	out[8 + XXH64(s, n, 0) % 8] = log((1 + (double)docs) / (1 + (double)df)) + 1;
}

/* The 2-grams of " word ", with signs. */
void emb_chars(const struct trial *t, const uint32_t *rows, double *out)
{
	const struct rn_column *c = col_of(t->in[0], "s");
	char text[16];
	size_t n, to;
	const char *s;

	n = word(c, rows[0], &s);
	memset(out, 0, 8 * sizeof *out);
	if (!n)
		return;
	snprintf(text, sizeof text, " %.*s ", (int)n, s);
	for (size_t i = 0; text[i + 1]; i = to) {
		size_t end;
		uint64_t h;

		for (to = i + 1; ((unsigned char)text[to] & 0xC0) == 0x80; to++)
			;
		for (end = to + 1; text[to] && ((unsigned char)text[end] & 0xC0) == 0x80; end++)
			;
		if (!text[to])
			break;
		h = XXH64(text + i, end - i, 0);
		out[h % 8] += h >> 63 ? -1 : 1;
	}
}

void emb_cyclic(const struct trial *t, const uint32_t *rows, double *out)
{
	double x, turn[4];
	struct tm tm;
	time_t s;

	memset(out, 0, 10 * sizeof *out);
	if (number(t, "t", rows[0], false, &x)) {
		s = (time_t)floor(x);
		gmtime_r(&s, &tm);
		turn[0] = (tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec + x - floor(x)) / 86400;
		turn[1] = (tm.tm_wday + 6) % 7 / 7.0;
		turn[2] = tm.tm_yday / (tm.tm_year % 4 ? 365.0 : 366.0); /* 1901 to 2099 */
		turn[3] = tm.tm_mon / 12.0;
		for (int k = 0; k < 4; k++) {
			out[2 * k] = sin(2 * M_PI * turn[k]);
			out[2 * k + 1] = cos(2 * M_PI * turn[k]);
		}
	}
	if (number(t, "f", rows[0], false, &x)) {
		out[8] = sin(2 * M_PI * x / 3);
		out[9] = cos(2 * M_PI * x / 3);
	}
}
