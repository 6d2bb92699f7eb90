/* SPDX-License-Identifier: Apache-2.0
 *
 * Gauges on the CPU; cuda/gauge.cu is the same on a device.
 */
#include "gauge.h"

#include "../base/mem.h"
#include "prog.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int rn_gauge_init(struct rn_gauge *g, uint32_t rows, bool label, bool truth, struct rn_err *e)
{
	int rc = 0;

	*g = (struct rn_gauge){ .rows = rows };
	if (label)
		RN_TRY(rn_calloc(rows, sizeof *g->label, "labels of a metric", &g->label, e));
	if (truth)
		rc = rn_calloc(rows, sizeof *g->truth, "true values of a metric", &g->truth, e);
	if (rc)
		rn_gauge_fini(g);
	return rc;
}

void rn_gauge_fini(struct rn_gauge *g)
{
	free(g->label);
	free(g->truth);
	*g = (struct rn_gauge){ 0 };
}

size_t rn_gauge_bytes(const struct rn_gauge *g)
{
	return g->rows * ((g->label ? sizeof *g->label : 0) + (g->truth ? sizeof *g->truth : 0));
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

/* Of so many terms. */
static double total(struct adder *a, uint32_t rows)
{
	uint32_t n = rows;
	unsigned level = 0;

	do {
		n = n / RN_GAUGE_TERMS + (n % RN_GAUGE_TERMS != 0);
		if (a->n[level])
			close_level(a, level);
		level++;
	} while (n > 1);
	return a->x[level][0];
}

/* ---- the terms ------------------------------------------------------------------------------- */

static uint32_t class_of(const struct rn_gauge *g, const float *row)
{
	uint32_t best = 0;

	if (g->sign)
		return row[0] >= 0;
	for (uint32_t f = 1; f < g->width; f++)
		if (row[f] > row[best])
			best = f;
	return best;
}

static double term(const struct rn_gauge *g, const float *pred, uint32_t i)
{
	double d;

	if (g->label && g->label[i] == RN_NONE)
		return 0;
	if (g->kind == RN_GAUGE_RIGHT)
		return class_of(g, pred + (size_t)i * g->width) == g->label[i];
	d = pred[i];
	if (g->truth)
		d -= g->truth[i];
	return g->kind == RN_GAUGE_MEAN ? d : g->kind == RN_GAUGE_ABS ? fabs(d) : d * d;
}

double rn_gauge_read(const struct rn_gauge *g, const float *pred)
{
	struct adder a;
	double sum;

	if (g->why || !g->rows)
		return NAN;
	memset(a.n, 0, sizeof a.n);
	for (uint32_t i = 0; i < g->rows; i++)
		add(&a, 0, term(g, pred, i));
	sum = total(&a, g->rows);
	if (g->kind == RN_GAUGE_REST)
		return 1 - sum / g->total;
	sum /= g->counted;
	return g->kind == RN_GAUGE_ROOT ? sqrt(sum) : sum;
}
