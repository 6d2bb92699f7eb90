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

void rn_gauge_fini(struct rn_gauge *g)
{
	free(g->label);
	free(g->truth);
	free(g->labelled);
	free(g->counts);
	*g = (struct rn_gauge){ 0 };
}

size_t rn_gauge_bytes(const struct rn_gauge *g)
{
	return g->rows * ((g->label ? sizeof *g->label : 0) + (g->truth ? sizeof *g->truth : 0)) +
	       g->classes * (sizeof *g->labelled + 2 * sizeof *g->counts);
}

static bool by_class(const struct rn_gauge *g)
{
	return g->kind == RN_GAUGE_F1 || g->kind == RN_GAUGE_F1_ONE;
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

/* Returns how many classes there are, in predictions or labels. */
static uint32_t add_classes(const struct rn_gauge *g, const float *pred, struct adder *a)
{
	uint32_t *predicted = g->counts, *right = g->counts + g->classes, present = 0;

	memset(g->counts, 0, 2 * g->classes * sizeof *g->counts);
	for (uint32_t i = 0; i < g->rows; i++) {
		uint32_t got;

		if (!counts(g, i))
			continue;
		got = class_of(g, pred, i);
		predicted[got]++;
		right[got] += got == g->label[i];
	}
	for (uint32_t k = 0; k < g->classes; k++) {
		present += predicted[k] || g->labelled[k];
		add(a, 0, g->kind == RN_GAUGE_F1_ONE && k != 1 ?
				  0 : rn_gauge_f1(right[k], predicted[k], g->labelled[k]));
	}
	return present;
}

/* ---- reading ------------------------------------------------------------------------------------- */

double rn_gauge_read(const struct rn_gauge *g, const float *pred)
{
	uint32_t present = 0;
	struct adder a;

	if (g->why || !g->terms)
		return NAN;
	memset(a.n, 0, sizeof a.n);
	if (by_class(g))
		present = add_classes(g, pred, &a);
	else
		add_rows(g, pred, &a);
	return rn_gauge_meaning(g->kind, total(&a, g->terms), g->counted, g->total, present);
}
