/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics by classes and by ranks against their definitions, written out pair by pair: of random
 * rows with equal scores, NULLs and labels that are none, of queries of any size, of one class, of
 * no rows.  What is counted in integers is the same number, also of many rows.
 */
#include "t.h"

#include "../../lib/learn/metric.h"

#include <math.h>
#include <stdlib.h>

enum { MOST = 90, ROUNDS = 400, NO_CLASS = 2 };

static struct rn_err err;
static uint64_t state = 1;

static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % n);
}

/* Rows of two classes; score: what ranks them. */
struct rows {
	uint32_t n, queries;
	uint32_t label[MOST], query[MOST]; /* label RN_NONE: NULL */
	double score[MOST];
	float pred[2 * MOST];
	bool two; /* logits a row, instead of one */
	bool nan;
};

static uint32_t random_label(const struct rows *r, uint32_t kind)
{
	if (kind < 2 || !below(6))
		return kind < 2 ? kind : RN_NONE;
	return r->two && !below(9) ? NO_CLASS : below(2);
}

static void random_rows(struct rows *r, uint32_t round)
{
	uint32_t kind = below(12), levels = 1 + below(round % 2 ? 8 : 10000);

	*r = (struct rows){ .n = below(MOST + 1), .queries = 1 + below(12), .two = round % 3 == 0 };
	for (uint32_t i = 0; i < r->n; i++) {
		float x = ((float)below(levels) - (float)(levels / 2)) / 4;

		if (!below(2) && x == 0)
			x = -0.0f;
		if (round % 7 == 0 && !below(200))
			x = NAN;
		r->label[i] = random_label(r, kind);
		r->query[i] = below(r->queries);
		r->score[i] = x;
		if (r->two) {
			r->pred[2 * i] = (float)below(4) * 1e4f;
			r->pred[2 * i + 1] = r->pred[2 * i] + x;
			r->score[i] = (double)r->pred[2 * i + 1] - (double)r->pred[2 * i];
		} else {
			r->pred[i] = x;
		}
		r->nan |= isnan(x) && r->label[i] < 2;
	}
}

/* ---- definitions ------------------------------------------------------------------------------- */

/* Rows of one label within a query that stand above a row, and those beside it. */
static void count(const struct rows *r, uint32_t at, uint32_t label, bool by_query, double *above, double *beside)
{
	*above = *beside = 0;
	for (uint32_t i = 0; i < r->n; i++) {
		if (r->label[i] != label || (by_query && r->query[i] != r->query[at]))
			continue;
		*above += r->score[i] > r->score[at];
		*beside += r->score[i] == r->score[at];
	}
}

static double rank_of(const struct rows *r, uint32_t at, bool by_query)
{
	double above, beside;

	count(r, at, 0, by_query, &above, &beside);
	return 1 + above + 0.5 * beside;
}

enum ranking { AREA, PRECISION, HITS, RECIPROCAL };

/* The mean over the rows of label 1. */
static double mean_of_ones(const struct rows *r, enum ranking m, bool by_query)
{
	double sum = 0, ones = 0, zeros = 0, above, beside, all, all_beside, rank;

	for (uint32_t i = 0; i < r->n; i++) {
		zeros += r->label[i] == 0;
		if (r->label[i] != 1)
			continue;
		ones++;
		count(r, i, 1, by_query, &above, &beside);
		count(r, i, 0, by_query, &all, &all_beside);
		rank = rank_of(r, i, by_query);
		sum += m == HITS ? rank <= 3 : m == RECIPROCAL ? 1 / rank : 0;
		if (m == PRECISION)
			sum += (above + beside) / (above + beside + all + all_beside);
		if (m == AREA)
			sum += 1 - rank;
	}
	if (r->nan || ones == 0 || (m == AREA && zeros == 0))
		return NAN;
	return m == AREA ? 1 + sum / (ones * zeros) : sum / ones;
}

/* The place of a row, from 1, among those of a label below `labels`. */
static double place_of(const struct rows *r, uint32_t at, uint32_t from, bool by_query)
{
	double place = 1;

	for (uint32_t i = 0; i < r->n; i++)
		if (r->label[i] >= from && r->label[i] < 2 && (!by_query || r->query[i] == r->query[at]))
			place += r->score[i] > r->score[at] || (r->score[i] == r->score[at] && i < at);
	return place;
}

static double mean_average_precision(const struct rows *r, uint32_t k, bool by_query)
{
	double sum = 0, asked = 0;

	for (uint32_t q = 0; q < (by_query ? r->queries : 1); q++) {
		double part = 0, ones = 0;

		for (uint32_t i = 0; i < r->n; i++) {
			if (r->label[i] != 1 || (by_query && r->query[i] != q))
				continue;
			ones++;
			if (place_of(r, i, 0, by_query) <= k)
				part += place_of(r, i, 1, by_query) / place_of(r, i, 0, by_query);
		}
		asked += ones > 0;
		sum += ones > 0 ? part / (ones < k ? ones : k) : 0;
	}
	return r->nan || asked == 0 ? NAN : sum / asked;
}

static uint32_t predicted(const struct rows *r, uint32_t i)
{
	return r->two ? r->pred[2 * i + 1] > r->pred[2 * i] : r->pred[i] >= 0;
}

static double f1_of(const struct rows *r, uint32_t class, bool *present)
{
	double right = 0, both = 0;

	for (uint32_t i = 0; i < r->n; i++) {
		if (r->label[i] == RN_NONE)
			continue;
		right += r->label[i] == class && predicted(r, i) == class;
		both += (r->label[i] == class) + (predicted(r, i) == class);
	}
	*present = both > 0;
	return both > 0 ? 2 * right / both : 0;
}

static double f1_macro(const struct rows *r)
{
	double sum = 0, n = 0;
	bool present;

	for (uint32_t c = 0; c <= NO_CLASS; c++) {
		sum += f1_of(r, c, &present);
		n += present;
	}
	return n > 0 ? sum / n : NAN;
}

/* ---- against them -------------------------------------------------------------------------------- */

static struct rn_column *column_of(const uint32_t *x, size_t n)
{
	struct rn_column *c = NULL;

	T_CALL(rn_column_new(RN_INT64, n, &c, &err), &err);
	T_CALL(rn_column_need_null(c, &err), &err);
	for (size_t i = 0; i < n; i++) {
		c->i64[i] = x[i];
		c->null[i] = x[i] == RN_NONE;
		c->nulls += c->null[i];
	}
	return c;
}

static double measured(const struct rows *r, const char *name, bool by_query)
{
	struct rn_column *y = column_of(r->label, r->n), *q = column_of(r->query, r->n);
	struct rn_key key = { .n = 1, .cols = &q, .rows = r->n };
	struct rn_classes two = { .n = 2, .own = true };
	struct rn_task task = { r->two ? RN_LOSS_CE : RN_LOSS_BCE, &two };
	struct rn_scored s = { .pred = r->pred, .rows = r->n, .width = r->two ? 2 : 1, .target = y,
			       .target_name = "y" };
	struct rn_ctx c = { .threads = 1 };
	struct rn_groups g;
	enum rn_metric m;
	const char *why;
	double x = -1;

	T_CALL(rn_group(&c, &key, &g, &err), &err);
	s.groups = by_query ? &g : NULL;
	T_CALL(rn_metric_parse(name, &m, &s.k, &err), &err);
	T_CALL(rn_metric_compute(m, &task, &s, &x, &why, &err), &err);
	if (isnan(x) != (why != NULL))
		x = -2;
	rn_groups_fini(&g);
	rn_column_unref(y);
	rn_column_unref(q);
	return x;
}

static bool near(double got, double want)
{
	return isnan(want) ? isnan(got) : fabs(got - want) <= 1e-13;
}

/* One metric over all rounds. */
static void test_metric(const char *name, double (*definition)(const struct rows *r, bool by_query), bool by_query)
{
	unsigned wrong = 0, undefined = 0;
	double got = 0, want = 0;
	struct rows r;

	for (uint32_t round = 0; round < ROUNDS && !wrong; round++) {
		state = round * 977 + 5;
		random_rows(&r, round);
		got = measured(&r, name, by_query);
		want = definition(&r, by_query);
		undefined += isnan(want);
		wrong = !near(got, want);
	}
	T_OK(!wrong && undefined && undefined < ROUNDS / 2, "%s%s: %.17g, %.17g", name,
	     by_query ? " by query" : "", got, want);
}

static double by_area(const struct rows *r, bool by_query)
{
	return mean_of_ones(r, AREA, by_query);
}
static double by_precision(const struct rows *r, bool by_query)
{
	return mean_of_ones(r, PRECISION, by_query);
}
static double by_hits(const struct rows *r, bool by_query)
{
	return mean_of_ones(r, HITS, by_query);
}
static double by_reciprocal(const struct rows *r, bool by_query)
{
	return mean_of_ones(r, RECIPROCAL, by_query);
}
static double by_map(const struct rows *r, bool by_query)
{
	return mean_average_precision(r, 4, by_query);
}
static double by_f1(const struct rows *r, bool by_query)
{
	(void)by_query;
	return f1_macro(r);
}
static double by_f1_binary(const struct rows *r, bool by_query)
{
	bool present;

	return isnan(by_f1(r, by_query)) ? NAN : f1_of(r, 1, &present);
}

/* Of n rows, about half of them of label 1, with the scores base, base + 1, … of each four. */
static void test_many(uint32_t n, float base)
{
	enum { EACH = 4 };
	struct rn_task task = { RN_LOSS_BCE, NULL };
	uint32_t *label = calloc(n, sizeof *label);
	float *pred = calloc(n, sizeof *pred);
	struct rn_scored s = { .pred = pred, .rows = n, .width = 1, .target_name = "y" };
	uint64_t twice = 0, ones = 0, zeros = 0;
	struct rn_column *y;
	double got = -1;

	for (uint32_t i = 0; i < n; i++) {
		pred[i] = base + (float)((i * 7919ull % n) / EACH);
		label[i] = below(2);
	}
	for (uint32_t k = 0; k < n; k += EACH) {
		uint64_t ones_here = 0;

		for (uint32_t i = 0; i < n; i++)
			ones_here += pred[i] == base + (float)(k / EACH) && label[i];
		twice += ones_here * (2 * zeros + EACH - ones_here);
		ones += ones_here;
		zeros += EACH - ones_here;
	}
	s.target = y = column_of(label, n);
	T_CALL(rn_metric_compute(RN_METRIC_ROC_AUC, &task, &s, &got, NULL, &err), &err);
	T_OK(got == (double)twice / (2.0 * (double)ones * (double)zeros), "roc_auc of %u rows from %g: %.17g", n,
	     base, got);
	rn_column_unref(y);
	free(label);
	free(pred);
}

int main(void)
{
	test_metric("roc_auc", by_area, false);
	test_metric("average_precision", by_precision, false);
	test_metric("f1_macro", by_f1, false);
	test_metric("f1_binary", by_f1_binary, false);
	for (unsigned k = 0; k < 2; k++) {
		test_metric("hits@3", by_hits, k);
		test_metric("mrr", by_reciprocal, k);
		test_metric("map@4", by_map, k);
	}
	for (uint32_t n = 60; n <= 6000; n *= 10) {
		test_many(n, 0);
		test_many(n, 1 << 20);
		test_many(n, -(float)n / 8);
	}
	return t_done();
}
