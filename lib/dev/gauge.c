/* SPDX-License-Identifier: Apache-2.0
 *
 * Gauges on the CPU; cuda/gauge.cu is the same on a device.
 */
#include "gauge_terms.h"

#include "../base/mem.h"
#include "prog.h"

#include <stdlib.h>
#include <string.h>

int rn_gauge_init(struct rn_gauge *g, uint32_t rows, bool label, bool truth, struct rn_err *e)
{
	int rc = 0;

	*g = (struct rn_gauge){ .rows = rows, .terms = rows };
	if (label)
		RN_TRY(rn_calloc(rows, sizeof *g->label, "labels of a metric", &g->label, e));
	if (truth)
		rc = rn_calloc(rows, sizeof *g->truth, "true values of a metric", &g->truth, e);
	if (rc)
		rn_gauge_fini(g);
	return rc;
}

int rn_gauge_by_class(struct rn_gauge *g, uint32_t classes, struct rn_err *e)
{
	RN_TRY(rn_calloc(classes, sizeof *g->labelled, "classes of a metric", &g->labelled, e));
	RN_TRY(rn_calloc(classes, 2 * sizeof *g->counts, "classes of a metric", &g->counts, e));
	g->classes = g->terms = classes;
	for (uint32_t i = 0; i < g->rows; i++)
		if (g->label[i] != RN_NONE)
			g->labelled[g->label[i]]++;
	return 0;
}

/* One row of a query. */
struct rn_gauge_place {
	uint64_t key; /* of its score */
	uint32_t row;
	bool one; /* its label */
};

static int rank_init(struct rn_gauge_ranks *r, uint32_t rows, uint32_t queries, struct rn_err *e)
{
	RN_TRY(rn_calloc(rows, sizeof *r->row, "ranks of a metric", &r->row, e));
	RN_TRY(rn_calloc(rows, sizeof *r->query, "ranks of a metric", &r->query, e));
	return rn_calloc((size_t)queries + 1, sizeof *r->ptr, "queries of a metric", &r->ptr, e);
}

/* The rows of another query that are ranked, if it has any; returns how many have label 1. */
static uint32_t add_query(struct rn_gauge *g, const uint32_t *rows, uint32_t from, uint32_t to)
{
	struct rn_gauge_ranks *r = &g->ranks;
	uint32_t before = r->n, ones = 0;

	for (uint32_t j = from; j < to; j++) {
		uint32_t i = rows ? rows[j] : j;

		if (g->label[i] > 1)
			continue;
		r->row[r->n] = i;
		r->query[r->n++] = r->queries;
		ones += g->label[i];
	}
	if (r->n > before)
		r->ptr[++r->queries] = r->n;
	r->longest = r->n - before > r->longest ? r->n - before : r->longest;
	return ones;
}

int rn_gauge_by_rank(struct rn_gauge *g, uint32_t k, const uint32_t *ptr, const uint32_t *rows, uint32_t n,
		     struct rn_err *e)
{
	struct rn_gauge_ranks *r = &g->ranks;
	double ones = 0, asked = 0;

	n = ptr ? n : 1;
	RN_TRY(rank_init(r, g->rows, n, e));
	for (uint32_t q = 0; q < n; q++) {
		uint32_t more = add_query(g, rows, ptr ? ptr[q] : 0, ptr ? ptr[q + 1] : g->rows);

		ones += more;
		asked += more > 0;
	}
	r->k = k;
	g->terms = g->kind == RN_GAUGE_MAP ? r->queries : r->n;
	g->counted = g->kind == RN_GAUGE_MAP  ? asked :
		     g->kind == RN_GAUGE_AREA ? 2 * ones * (r->n - ones) : ones;
	return rn_calloc(r->longest, 2 * sizeof *r->places, "ranks of a metric", &r->places, e);
}

void rn_gauge_fini(struct rn_gauge *g)
{
	free(g->label);
	free(g->truth);
	free(g->labelled);
	free(g->counts);
	free(g->ranks.row);
	free(g->ranks.query);
	free(g->ranks.ptr);
	free(g->ranks.places);
	*g = (struct rn_gauge){ 0 };
}

size_t rn_gauge_bytes(const struct rn_gauge *g)
{
	const struct rn_gauge_ranks *r = &g->ranks;
	size_t row = (g->label ? sizeof *g->label : 0) + (g->truth ? sizeof *g->truth : 0) +
		     (r->row ? sizeof *r->row + sizeof *r->query : 0);

	return g->rows * row + g->classes * (sizeof *g->labelled + 2 * sizeof *g->counts) +
	       r->queries * sizeof *r->ptr + r->longest * 2 * sizeof *r->places;
}

/* ---- the sum --------------------------------------------------------------------------------- */

/* Terms that wait for others: of rows, of sums of 256 rows, and so on. */
enum { LEVELS = 5 }; /* for 2^32 rows */
struct adder {
	double x[LEVELS][RN_GAUGE_TERMS];
	unsigned n[LEVELS];
};

static double in_pairs(double *x)
{
	for (unsigned m = RN_GAUGE_TERMS / 2; m; m /= 2)
		for (unsigned i = 0; i < m; i++)
			x[i] += x[i + m];
	return x[0];
}

static void add(struct adder *a, unsigned level, double x);

/* The sum of what waits there is a term of the next level. */
static void close_level(struct adder *a, unsigned level)
{
	memset(a->x[level] + a->n[level], 0, (RN_GAUGE_TERMS - a->n[level]) * sizeof(double));
	a->n[level] = 0;
	add(a, level + 1, in_pairs(a->x[level]));
}

static void add(struct adder *a, unsigned level, double x)
{
	a->x[level][a->n[level]++] = x;
	if (a->n[level] == RN_GAUGE_TERMS && level + 1 < LEVELS)
		close_level(a, level);
}

/* Of so many terms, one or more. */
static double total(struct adder *a, uint32_t n)
{
	unsigned level = 0;

	do {
		n = n / RN_GAUGE_TERMS + (n % RN_GAUGE_TERMS != 0);
		if (a->n[level])
			close_level(a, level);
		level++;
	} while (n > 1);
	return a->x[level][0];
}

/* ---- terms of rows ----------------------------------------------------------------------------- */

static bool counts(const struct rn_gauge *g, uint32_t i)
{
	return !g->label || g->label[i] != RN_NONE;
}

static uint32_t class_of(const struct rn_gauge *g, const float *pred, uint32_t i)
{
	return rn_gauge_class(g->sign, g->width, pred + (size_t)i * g->width);
}

static double row_term(const struct rn_gauge *g, const float *pred, uint32_t i)
{
	if (!counts(g, i))
		return 0;
	if (g->kind == RN_GAUGE_RIGHT)
		return class_of(g, pred, i) == g->label[i];
	return rn_gauge_miss(g->kind, g->truth ? pred[i] - g->truth[i] : pred[i]);
}

static void add_rows(const struct rn_gauge *g, const float *pred, struct adder *a)
{
	for (uint32_t i = 0; i < g->rows; i++)
		add(a, 0, row_term(g, pred, i));
}

/* ---- terms of classes --------------------------------------------------------------------------- */

static void count_classes(const struct rn_gauge *gauge, const float *pred, uint32_t *predicted, uint32_t *right)
{
	const struct rn_gauge g = *gauge; /* no count is a part of it */

	memset(predicted, 0, g.classes * sizeof *predicted);
	memset(right, 0, g.classes * sizeof *right);
	for (uint32_t i = 0; i < g.rows; i++) {
		uint32_t got;

		if (!counts(&g, i))
			continue;
		got = class_of(&g, pred, i);
		predicted[got]++;
		right[got] += got == g.label[i];
	}
}

/* Returns how many classes there are, in predictions or labels. */
static uint32_t add_classes(const struct rn_gauge *g, const float *pred, struct adder *a)
{
	uint32_t *predicted = g->counts, *right = g->counts + g->classes, present = 0;

	count_classes(g, pred, predicted, right);
	for (uint32_t k = 0; k < g->classes; k++) {
		present += predicted[k] || g->labelled[k];
		add(a, 0, g->kind == RN_GAUGE_F1_ONE && k != 1 ?
				  0 : rn_gauge_f1(right[k], predicted[k], g->labelled[k]));
	}
	return present;
}

/* ---- terms of places and queries --------------------------------------------------------------- */

enum { MANY = 64 }; /* rows that are sorted byte by byte */

static int by_place(const void *a, const void *b)
{
	const struct rn_gauge_place *x = a, *y = b;

	return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : (x->row > y->row) - (x->row < y->row);
}

/* Stable: by one byte of the keys after the other, but those in which all are equal. */
static void sort_by_bytes(struct rn_gauge_place *p, struct rn_gauge_place *spare, uint32_t n)
{
	uint32_t count[sizeof p->key][256] = { { 0 } };
	struct rn_gauge_place *from = p, *to = spare;

	for (uint32_t i = 0; i < n; i++)
		for (unsigned k = 0; k < sizeof p->key; k++)
			count[k][p[i].key >> 8 * k & 255]++;
	for (unsigned k = 0; k < sizeof p->key; k++) {
		uint32_t *at = count[k], begin = 0;
		struct rn_gauge_place *sorted = to;

		if (at[p->key >> 8 * k & 255] == n)
			continue;
		for (unsigned b = 0; b < 256; b++) {
			begin += at[b];
			at[b] = begin - at[b];
		}
		for (uint32_t i = 0; i < n; i++)
			to[at[from[i].key >> 8 * k & 255]++] = from[i];
		to = from;
		from = sorted;
	}
	if (from != p)
		memcpy(p, from, n * sizeof *p);
}

static void sort_places(struct rn_gauge_place *p, struct rn_gauge_place *spare, uint32_t n)
{
	if (n >= MANY)
		sort_by_bytes(p, spare, n);
	else if (n > 1)
		qsort(p, n, sizeof *p, by_place);
}

/* The places of query q, and how many; 0: a score is not a number. */
static uint32_t rank_query(const struct rn_gauge *g, const float *pred, uint32_t q)
{
	const struct rn_gauge_ranks *r = &g->ranks;
	uint32_t from = r->ptr[q], n = r->ptr[q + 1] - from;

	for (uint32_t j = 0; j < n; j++) {
		uint32_t i = r->row[from + j];
		uint64_t key = rn_gauge_key(rn_gauge_score(g->width, pred + (size_t)i * g->width));

		if (key == RN_GAUGE_NAN_KEY)
			return 0;
		r->places[j] = (struct rn_gauge_place){ key, i, g->label[i] };
	}
	sort_places(r->places, r->places + r->longest, n);
	return n;
}

static void add_places(const struct rn_gauge *g, uint32_t n, struct adder *a)
{
	const struct rn_gauge_place *p = g->ranks.places;
	struct rn_gauge_score_rows r = { 0 };

	for (uint32_t i = 0, j; i < n; i = j) {
		r.ones = r.zeros = 0;
		for (j = i; j < n && p[j].key == p[i].key; j++) {
			r.ones += p[j].one;
			r.zeros += !p[j].one;
		}
		add(a, 0, rn_gauge_place_term(g->kind, g->ranks.k, &r));
		for (uint32_t rest = i + 1; rest < j; rest++)
			add(a, 0, 0);
		r.ones_above += r.ones;
		r.zeros_above += r.zeros;
	}
}

static double query_term(const struct rn_gauge *g, uint32_t n)
{
	const struct rn_gauge_place *p = g->ranks.places;
	uint32_t k = g->ranks.k, ones = 0, found = 0;
	double sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		ones += p[i].one;
		if (p[i].one && i < k)
			sum += (double)++found / ((double)i + 1);
	}
	return ones ? sum / (double)(ones < k ? ones : k) : 0;
}

/* False: a score is not a number. */
static bool add_queries(const struct rn_gauge *g, const float *pred, struct adder *a)
{
	for (uint32_t q = 0; q < g->ranks.queries; q++) {
		uint32_t n = rank_query(g, pred, q);

		if (!n)
			return false;
		if (g->kind == RN_GAUGE_MAP)
			add(a, 0, query_term(g, n));
		else
			add_places(g, n, a);
	}
	return true;
}

/* ---- reading ------------------------------------------------------------------------------------- */

double rn_gauge_read(const struct rn_gauge *g, const float *pred)
{
	uint32_t present = 0;
	struct adder a;

	if (g->why || !g->terms)
		return NAN;
	memset(a.n, 0, sizeof a.n);
	if (rn_gauge_is_by_rank(g->kind)) {
		if (!add_queries(g, pred, &a))
			return NAN;
	} else if (rn_gauge_is_by_class(g->kind)) {
		present = add_classes(g, pred, &a);
	} else {
		add_rows(g, pred, &a);
	}
	return rn_gauge_meaning(g->kind, total(&a, g->terms), g->counted, g->total, present);
}
