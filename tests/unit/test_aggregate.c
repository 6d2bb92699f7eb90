/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates of many rows, one group of which is a giant, against their definitions
 * written down row by row, for every number of threads: the same bits.
 */
#include "../../lib/base/team.h"
#include "../../lib/expr/content.h"
#include "../../lib/op/aggregate.h"
#include "t.h"

#include <math.h>

enum { N = 300007, TEAMS = 4 };

static struct rn_err err;
static struct rn_ctx ctxs[TEAMS];

static uint64_t state = 9;

static uint32_t rnd(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((state >> 33) * n) >> 31);
}

/* g: a group, every second row in group 7; x, y: float64 and int64 with NULLs; s: text. */
static struct rn_rel *table(unsigned nulls)
{
	struct rn_column *g = NULL, *x = NULL, *y = NULL, *s = NULL;
	struct rn_rel *r = NULL;
	uint64_t at = 0;

	T_CALL(rn_rel_new("t", N, &r, &err), &err);
	T_CALL(rn_column_new(RN_INT64, N, &g, &err), &err);
	T_CALL(rn_column_new(RN_FLOAT64, N, &x, &err), &err);
	T_CALL(rn_column_new(RN_INT64, N, &y, &err), &err);
	T_CALL(rn_column_new_string(N, N, &s, &err), &err);
	for (struct rn_column **c = (struct rn_column *[]){ x, y, s, NULL }; nulls && *c; c++)
		T_CALL(rn_column_need_null(*c, &err), &err);
	for (uint64_t i = 0; i < N; i++) {
		g->i64[i] = rnd(2) ? 7 : (int64_t)rnd(N / 9) << 30;
		x->f64[i] = (rnd(1 << 30) - 5e8) / 3e7;
		y->i64[i] = (int64_t)rnd(1000) - 300;
		for (struct rn_column **c = (struct rn_column *[]){ x, y, s, NULL }; *c; c++)
			if (rnd(100) < nulls) {
				(*c)->null[i] = 1;
				(*c)->nulls++;
			}
		if (nulls && x->null[i])
			x->f64[i] = 0;
		if (nulls && y->null[i])
			y->i64[i] = 0;
		if (!nulls || !s->null[i])
			s->bytes[at++] = (char)('a' + rnd(20));
		s->off[i + 1] = at;
	}
	T_CALL(rn_rel_add_col(r, "g", NULL, g, &err), &err);
	T_CALL(rn_rel_add_col(r, "x", NULL, x, &err), &err);
	T_CALL(rn_rel_add_col(r, "y", NULL, y, &err), &err);
	T_CALL(rn_rel_add_col(r, "s", NULL, s, &err), &err);
	return r;
}

/* ---- the definitions ------------------------------------------------------------------- */

struct rows {
	uint32_t *at; /* rows of a group, ascending */
	uint64_t n;
};

static struct rows rows_of(const struct rn_groups *g, uint64_t i)
{
	const uint32_t *ptr = g->ptr->data;
	struct rows r = { calloc(ptr[i + 1] - ptr[i] + 1, sizeof *r.at), ptr[i + 1] - ptr[i] };

	for (uint64_t k = 0; k < r.n; k++)
		r.at[k] = g->rows ? ((uint32_t *)g->rows->data)[ptr[i] + k] : (uint32_t)(ptr[i] + k);
	return r;
}

static double value(const struct rn_column *c, uint32_t r)
{
	return c->type == RN_FLOAT64 ? c->f64[r] : (double)c->i64[r];
}

/* In chunks of 256 rows. */
static double sum(const struct rn_column *c, const struct rows *r, double mean, bool square,
		  int64_t *n)
{
	double total = 0, part = 0;

	*n = 0;
	for (uint64_t k = 0; k < r->n; k++) {
		double x = value(c, r->at[k]) - mean;

		if (!rn_column_is_null(c, r->at[k])) {
			part += square ? x * x : x;
			++*n;
		}
		if (k % 256 == 255 || k + 1 == r->n) {
			total += part;
			part = 0;
		}
	}
	return total;
}

static int by_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const struct rn_column *c, const struct rows *r, double q)
{
	double *x = calloc(r->n + 1, sizeof *x), at, v = (double)NAN;
	uint64_t n = 0;

	for (uint64_t k = 0; k < r->n; k++)
		if (!rn_column_is_null(c, r->at[k]))
			x[n++] = value(c, r->at[k]);
	qsort(x, n, sizeof *x, by_double);
	if (n) {
		at = q * (double)(n - 1);
		v = x[(uint64_t)at];
		if (at > floor(at))
			v += (at - floor(at)) * (x[(uint64_t)at + 1] - v);
	}
	free(x);
	return v;
}

/* The row of the least, greatest, first or last of c by `by`; RN_NO_ROW: none. */
static uint32_t pick(const struct rn_column *c, const struct rn_column *by, const struct rows *r,
		     bool greatest, bool last)
{
	uint32_t best = RN_NO_ROW;

	for (uint64_t k = 0; k < r->n; k++) {
		uint32_t row = r->at[k];
		int d;

		if (rn_column_is_null(c, row) || rn_column_is_null(by, row))
			continue;
		d = best == RN_NO_ROW ? 0 : rn_column_compare(by, row, by, best);
		if (best == RN_NO_ROW || (greatest ? d > 0 : d < 0) || (last && !d))
			best = row;
	}
	return best;
}

static bool real_is(const struct rn_column *c, uint64_t i, double want)
{
	if (want != want)
		return rn_column_is_null(c, i) && c->f64[i] == 0;
	return !rn_column_is_null(c, i) && !memcmp(&c->f64[i], &want, sizeof want);
}

static bool int_is(const struct rn_column *c, uint64_t i, bool null, int64_t want)
{
	return rn_column_is_null(c, i) == null && (null || c->i64[i] == want);
}

static bool cell_is(const struct rn_column *c, uint64_t i, const struct rn_column *from,
		    uint32_t row)
{
	if (row == RN_NO_ROW)
		return rn_column_is_null(c, i);
	return !rn_column_is_null(c, i) && !rn_column_compare(c, i, from, row);
}

static const char *const texts[] = {
	"count(*)", "count(x)", "sum(x)", "avg(x)", "stddev(x)", "var(y)", "sum(y)", "avg(y)", "sum(x * 2)",
	"min(x)", "max(s)", "first(y)", "last(s by x)", "count(distinct s)", "median(x)", "quantile(y, 0.9)",
};
enum { NTEXTS = sizeof texts / sizeof *texts };

static int64_t letters(const struct rn_column *s, const struct rows *r)
{
	bool seen[256] = { false };
	int64_t n = 0;

	for (uint64_t k = 0; k < r->n; k++) {
		unsigned char c = (unsigned char)s->bytes[s->off[r->at[k]]];

		if (rn_column_is_null(s, r->at[k]) || seen[c])
			continue;
		seen[c] = true;
		n++;
	}
	return n;
}

/* Is group i as defined in all columns?  If not *what is the first that is not. */
static bool group_is(struct rn_column *const *c, const struct rn_rel *t, const struct rows *r,
		     uint64_t i, const char **what)
{
	const struct rn_column *x = t->cols[1], *y = t->cols[2], *s = t->cols[3];
	int64_t nx, ny, total = 0, n2;
	double sx = sum(x, r, 0, false, &nx), sy = sum(y, r, 0, false, &ny);
	double vx = sum(x, r, sx / (double)nx, true, &n2) / (double)(nx - 1);
	double vy = sum(y, r, sy / (double)ny, true, &n2) / (double)(ny - 1);
	uint32_t first_y = 0;
	bool ok[NTEXTS];

	while (first_y < r->n && rn_column_is_null(y, r->at[first_y]))
		first_y++;
	for (uint64_t k = 0; k < r->n; k++)
		total += y->i64[r->at[k]]; /* 0 where NULL */
	ok[0] = int_is(c[0], i, false, (int64_t)r->n);
	ok[1] = int_is(c[1], i, false, nx);
	ok[2] = real_is(c[2], i, nx ? sx : (double)NAN);
	ok[3] = real_is(c[3], i, nx ? sx / (double)nx : (double)NAN);
	ok[4] = real_is(c[4], i, nx > 1 ? sqrt(vx) : (double)NAN);
	ok[5] = real_is(c[5], i, ny > 1 ? vy : (double)NAN);
	ok[6] = int_is(c[6], i, !ny, total);
	ok[7] = real_is(c[7], i, ny ? sy / (double)ny : (double)NAN);
	ok[8] = real_is(c[8], i, nx ? 2 * sx : (double)NAN); /* exact, as all terms double */
	ok[9] = cell_is(c[9], i, x, pick(x, x, r, false, false));
	ok[10] = cell_is(c[10], i, s, pick(s, s, r, true, false));
	ok[11] = cell_is(c[11], i, y, first_y < r->n ? r->at[first_y] : RN_NO_ROW);
	ok[12] = cell_is(c[12], i, s, pick(s, x, r, true, true));
	ok[13] = int_is(c[13], i, false, letters(s, r));
	ok[14] = real_is(c[14], i, quantile(x, r, 0.5));
	ok[15] = real_is(c[15], i, quantile(y, r, 0.9));
	for (size_t k = 0; k < NTEXTS; k++)
		if (!ok[k]) {
			*what = texts[k];
			return false;
		}
	return true;
}

static bool same_column(const struct rn_column *a, const struct rn_column *b)
{
	if (a->rows != b->rows || a->nulls != b->nulls || (a->null && memcmp(a->null, b->null, a->rows)))
		return false;
	if (a->type == RN_STRING)
		return !memcmp(a->off, b->off, (a->rows + 1) * 8) &&
		       !memcmp(a->bytes, b->bytes, a->off[a->rows]);
	return !memcmp(a->mem[0]->data, b->mem[0]->data, a->rows * 8);
}

static void check_table(const struct rn_rel *r, const char *what)
{
	struct rn_key k = { .n = 1, .cols = r->cols, .rows = N };
	struct rn_column *want[NTEXTS], *got[NTEXTS], *one;
	const char *wrong = "";
	struct rn_groups g;
	bool ok = true;

	T_CALL(rn_group(&ctxs[1], &k, &g, &err), &err);
	T_CALL(rn_aggregates(NULL, texts, NTEXTS, r, &g, want, &err), &err);
	for (uint64_t i = 0; ok && i < g.n; i++) {
		struct rows rows = rows_of(&g, i);

		ok = group_is(want, r, &rows, i, &wrong);
		free(rows.at);
	}
	T_OK(ok, "%s: %d groups as defined %s", what, (int)g.n, wrong);
	for (int t = 0; t < TEAMS; t++) {
		ok = true;
		T_CALL(rn_aggregates(&ctxs[t], texts, NTEXTS, r, &g, got, &err), &err);
		for (size_t a = 0; a < NTEXTS; a++) {
			ok = ok && same_column(want[a], got[a]);
			rn_column_unref(got[a]);
		}
		T_OK(ok, "%s: the same bits on %u threads", what, ctxs[t].threads);
	}
	for (size_t a = 0; a < NTEXTS; a++) {
		if (a % 4 == 2) {
			T_CALL(rn_aggregate(texts[a], r, &g, &one, &err), &err);
			T_OK(same_column(one, want[a]), "%s alone", texts[a]);
			rn_column_unref(one);
		}
		rn_column_unref(want[a]);
	}
	rn_groups_fini(&g);
}

/* By key at once: the groups, and the bits, that lists of rows give. */
static void check_by(const struct rn_rel *r, const struct rn_key *k, const char *what)
{
	static const char *const some[] = { "count(*)", "avg(y)", "count(x)", "sum(x)", "sum(y)", "avg(x)",
					    "sum(x * 2)", "min(x)" };
	static const size_t number[] = { 0, 1, 4, 7, 8 }; /* a minimum is not folded */
	enum { NSOME = sizeof some / sizeof *some };
	struct rn_column *want[NSOME], *got[NSOME];
	struct rn_groups g;
	struct rn_buf *first;
	uint64_t n;

	T_CALL(rn_group(&ctxs[1], k, &g, &err), &err);
	T_CALL(rn_aggregates(&ctxs[1], some, NSOME, r, &g, want, &err), &err);
	for (int t = T_TSAN; t < TEAMS; t += 1 + T_TSAN) /* 2 and 7 threads */
		for (size_t q = T_TSAN ? 3 : 0; q < sizeof number / sizeof *number; q++) {
			size_t m = number[q];
			bool ok;

			T_CALL(rn_aggregates_by(&ctxs[t], k, some, m, r, &n, &first, got, &err), &err);
			ok = n == g.n && !memcmp(first->data, g.first->data, n * sizeof(uint32_t));
			rn_buf_unref(first);
			for (size_t a = 0; a < m; a++) {
				ok = ok && same_column(want[a], got[a]);
				rn_column_unref(got[a]);
			}
			T_OK(ok, "%s: %d aggregates of %d groups by key on %u threads", what, (int)m, (int)n,
			     ctxs[t].threads);
		}
	for (size_t a = 0; a < NSOME; a++)
		rn_column_unref(want[a]);
	rn_groups_fini(&g);
}

static void test_by(const struct rn_rel *r, const char *what)
{
	char text[64];

	for (size_t c = 0; c < 4; c++) { /* far apart, float64, dense, and text */
		snprintf(text, sizeof text, "%s, column %d", what, (int)c);
		check_by(r, &(struct rn_key){ .n = 1, .cols = r->cols + c, .rows = r->rows }, text);
	}
	snprintf(text, sizeof text, "%s, two columns", what);
	check_by(r, &(struct rn_key){ .n = 2, .cols = r->cols + 2, .rows = r->rows }, text);
}

/* More rows than are split at a time: ten of a key, and hardly two. */
static void test_windows(void)
{
	enum { MANY = (2 << 20) + 70001 };
	static const uint32_t keys[] = { MANY / 10, 3000000 };
	struct rn_column *k = NULL, *x = NULL, *y = NULL;
	struct rn_rel *r = NULL;

	T_CALL(rn_rel_new("t", MANY, &r, &err), &err);
	T_CALL(rn_column_new(RN_INT64, MANY, &k, &err), &err);
	T_CALL(rn_column_new(RN_FLOAT64, MANY, &x, &err), &err);
	T_CALL(rn_column_new(RN_INT64, MANY, &y, &err), &err);
	T_CALL(rn_rel_add_col(r, "k", NULL, k, &err), &err);
	T_CALL(rn_rel_add_col(r, "x", NULL, x, &err), &err);
	T_CALL(rn_rel_add_col(r, "y", NULL, y, &err), &err);
	for (size_t q = 0; q < 4; q += T_TSAN ? 3 : 1) {
		for (uint64_t i = 0; i < MANY; i++) {
			k->i64[i] = (int64_t)rnd(keys[q / 2]) << (q % 2 ? 0 : 30);
			x->f64[i] = (rnd(1 << 30) - 5e8) / 3e7;
			y->i64[i] = (int64_t)rnd(1000) - 300;
		}
		check_by(r, &(struct rn_key){ .n = 1, .cols = r->cols, .rows = MANY }, q % 2 ? "dense" : "far");
	}
	rn_rel_unref(r);
}

static void test_overflow(struct rn_rel *r)
{
	struct rn_key k = { .n = 1, .cols = r->cols, .rows = N };
	const char *two[] = { "count(*)", "sum(y)" };
	struct rn_column *out[2];
	struct rn_groups g;
	struct rn_buf *first;
	uint32_t third, row;
	char want[160];
	uint64_t n;
	bool ok = true;

	T_CALL(rn_group(&ctxs[0], &k, &g, &err), &err);
	for (uint32_t i = 40; i < 45; i++) { /* groups that overflow */
		row = ((uint32_t *)g.first->data)[i];
		r->cols[2]->i64[row] = INT64_MAX;
		for (uint32_t j = row + 1; j < N; j++)
			if (((uint32_t *)g.of->data)[j] == i)
				r->cols[2]->i64[j] = INT64_MAX;
	}
	third = 0;
	for (uint32_t i = 40; i < 45 && !third; i++)
		if (((uint32_t *)g.ptr->data)[i + 1] - ((uint32_t *)g.ptr->data)[i] > 1)
			third = i;
	snprintf(want, sizeof want,
		 "'sum(y)' does not fit into an int64 in the group of row %u (%u rows): ",
		 ((uint32_t *)g.first->data)[third],
		 ((uint32_t *)g.ptr->data)[third + 1] - ((uint32_t *)g.ptr->data)[third]);
	for (int t = 0; t < TEAMS; t++)
		ok = ok && rn_aggregates(&ctxs[t], two, 2, r, &g, out, &err) == RN_EDATA && !out[0] &&
		     !strncmp(err.msg, want, strlen(want));
	T_OK(ok && third, "%s", err.msg);
	for (int t = 0; t < TEAMS; t++)
		ok = ok && rn_aggregates_by(&ctxs[t], &k, two, 2, r, &n, &first, out, &err) == RN_EDATA &&
		     !out[0] && !strncmp(err.msg, want, strlen(want));
	T_OK(ok, "by key: %s", err.msg);
	rn_groups_fini(&g);
}

/* More aggregates than are made at a time, and a relation of no rows. */
static void test_many(struct rn_rel *r)
{
	static const char *const some[] = { "sum(x)", "count(s)", "avg(x)" };
	struct rn_key k = { .n = 1, .cols = r->cols, .rows = N }, none = { .rows = 0 };
	const char *all[100];
	struct rn_column *out[100];
	struct rn_rel *empty = NULL;
	struct rn_groups g;
	bool ok = true;

	for (size_t i = 0; i < 100; i++)
		all[i] = some[i % 3];
	T_CALL(rn_group(&ctxs[1], &k, &g, &err), &err);
	T_CALL(rn_aggregates(&ctxs[1], all, 100, r, &g, out, &err), &err);
	for (size_t i = 0; i < 100; i++)
		ok = ok && same_column(out[i], out[i % 3]);
	for (size_t i = 0; i < 100; i++)
		rn_column_unref(out[i]);
	rn_groups_fini(&g);
	T_OK(ok, "a hundred at once");
	T_CALL(rn_rel_slice(r, 0, 0, &empty, &err), &err);
	T_CALL(rn_group(&ctxs[1], &none, &g, &err), &err);
	T_CALL(rn_aggregates(&ctxs[1], some, 3, empty, &g, out, &err), &err);
	T_OK(rn_column_is_null(out[0], 0) && out[1]->i64[0] == 0 && rn_column_is_null(out[2], 0),
	     "of no rows");
	for (size_t i = 0; i < 3; i++)
		rn_column_unref(out[i]);
	rn_groups_fini(&g);
	rn_rel_unref(empty);
}

/* What rn-agg computes is no function of a row, whatever the case of its letters. */
static void test_names(void)
{
	static const char *const names[] = { "count", "Sum", "avg", "MEAN", "min", "max", "first", "last",
					     "median", "quantile", "var", "stddev" };
	struct rn_cagg_text made;
	char text[32];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(text, sizeof text, "%s(x, 0.5)", names[i]);
		T_OK(!rn_cagg_parse(text, &made, NULL) && rn_cexpr_is_aggregate(names[i]), "%s", names[i]);
	}
	T_OK(!rn_cexpr_is_aggregate("upper") && !rn_cexpr_is_aggregate("count_if"), "others are functions");
}

int main(void)
{
	static const unsigned threads[TEAMS] = { 1, 2, 3, 7 };
	struct rn_rel *full = table(0), *holes = table(15);

	for (int t = 0; t < TEAMS; t++) {
		ctxs[t].threads = threads[t];
		T_CALL(rn_team_new(threads[t], &ctxs[t].team, &err), &err);
	}
	check_table(full, "no NULLs");
	check_table(holes, "NULLs");
	test_by(full, "no NULLs");
	test_by(holes, "NULLs");
	test_windows();
	test_names();
	test_many(holes);
	test_overflow(full);
	for (int t = 0; t < TEAMS; t++)
		rn_team_free(ctxs[t].team);
	rn_rel_unref(full);
	rn_rel_unref(holes);
	return t_done();
}
