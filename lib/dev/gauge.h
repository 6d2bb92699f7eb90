/* SPDX-License-Identifier: Apache-2.0
 *
 * Gauges: how well predictions agree with what is known of their rows, as one number.  What is known
 * is found once, when a gauge is made (lib/learn/metric.h); to read it is arithmetic, which a
 * device can do where its predictions lie (list_epochs).
 *
 * The number is made of a sum of terms.  They are
 *   of rows     by what is predicted, and what is true;
 *   of classes  by how often each was predicted, and rightly;
 *   of places   that rows of the labels 0 and 1 take when those of each query are ranked by falling
 *               score, equal ones in the order of the rows: a score's rows have one term, at the
 *               first of their places, by how many rows of either label stand there and above;
 *   of queries  by the places that the rows of label 1 take in each.
 * A score is the only number of a row, or the second of two less the first.
 *
 * Both give the same bits of the same predictions: counts are integers, and the order of the sum is
 * fixed: of 256 terms number i and number i + 128 are added, then i and i + 64 of these, down to
 * one; and the sums of each 256 terms are terms again, until there is one.  Terms and sums are
 * doubles.  A row that does not count has the term 0, and so have other places of a score, and those
 * that are missing from the last 256.
 */
#ifndef RN_GAUGE_H
#define RN_GAUGE_H

#include "../base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RN_GAUGE_TERMS = 256 };

/* The terms, and what the sum becomes (n: rows that count). */
enum rn_gauge_kind {
	/* Of rows. */
	RN_GAUGE_RIGHT, /* 1 where the class is the label; sum / n */
	RN_GAUGE_MEAN,  /* x, or x - truth; sum / n */
	RN_GAUGE_ABS,   /* |x - truth|; sum / n */
	RN_GAUGE_ROOT,  /* (x - truth)²; the root of sum / n */
	RN_GAUGE_REST,  /* (x - truth)²; 1 - sum / total */
	/* Of classes. */
	RN_GAUGE_F1,     /* F1; sum / classes that predictions or labels have */
	RN_GAUGE_F1_ONE, /* F1 of class 1, of others 0; sum */
	/* Of places.  n: rows of label 1; a row's rank: 1 and the rows of label 0 that stand above it,
	 * and half of those of its score. */
	RN_GAUGE_AREA,      /* pairs of a row of label 1 and one of label 0, twice those that stand in this
	                     * order and once those of one score; sum / twice all such pairs */
	RN_GAUGE_PRECISION, /* rows of label 1, times their share of all rows up to there; sum / n */
	RN_GAUGE_HITS,      /* rows of label 1 whose rank is at most k; sum / n */
	RN_GAUGE_RECIPROCAL, /* rows of label 1, divided by their rank; sum / n */
	/* Of queries. */
	RN_GAUGE_MAP, /* the sum over rows of label 1 among the first k, of their share of all rows up to
	               * there, by how many they could be; sum / queries that have any */
};

/* What is known of places. */
struct rn_gauge_ranks {
	uint32_t n, queries, k;
	/* Owned. */
	uint32_t *row;   /* [n]: the rows of query 0, then those of query 1, …; ascending in each */
	uint32_t *query; /* [n]: whose the place is */
	uint32_t *ptr;   /* [queries + 1]: query q has places ptr[q] … ptr[q + 1] - 1, one or more */
	uint32_t longest; /* query */
	struct rn_gauge_place *places; /* [2 * longest]: room for a reading on the CPU */
};

struct rn_gauge {
	enum rn_gauge_kind kind;
	uint32_t rows, width; /* of the predictions; width 1 but for classes, or 2 for places */
	uint32_t terms;       /* of the sum */
	/* Of classes: 1 where the only number is at least 0, else 0; not set: that of the first
	 * largest number.  NaN is not larger than anything, and nothing than it. */
	bool sign;
	/* Owned, [rows].  label: RN_NONE: the row does not count, else its class, or 0 where there are
	 * none; NULL: all rows count.  truth: NULL: 0 of each row; not read where the row does not
	 * count. */
	uint32_t *label;
	double *truth;
	double counted;  /* n, or what else the sum is divided by */
	double total;    /* REST: of the squared distances of the true values from their mean */
	/* F1, F1_ONE: classes, all labels below it; owned, [classes]: rows that have it as their label. */
	uint32_t classes, *labelled;
	uint32_t *counts; /* owned: room for a reading on the CPU */
	struct rn_gauge_ranks ranks; /* of places and queries */
	const char *why; /* static: why it is not defined for any predictions (it reads NaN); or NULL */
};
/* Zeroed, with arrays for so many rows; kind, width and what is in them are the caller's. */
RN_MUST_CHECK int rn_gauge_init(struct rn_gauge *g, uint32_t rows, bool label, bool truth,
				struct rn_err *e);
/* For kinds of classes, when labels are there: they are counted. */
RN_MUST_CHECK int rn_gauge_by_class(struct rn_gauge *g, uint32_t classes, struct rn_err *e);
/* For kinds of places and queries, when labels are there; others than 0 and 1 do not count.  Query q
 * has rows[ptr[q]] … rows[ptr[q + 1] - 1] (rows NULL: rows[i] = i), of n; ptr NULL: there is one, of
 * all rows.  `counted` is set: 0 where the gauge is not defined for such labels. */
RN_MUST_CHECK int rn_gauge_by_rank(struct rn_gauge *g, uint32_t k, const uint32_t *ptr,
				   const uint32_t *rows, uint32_t n, struct rn_err *e);
void rn_gauge_fini(struct rn_gauge *g);
/* pred: [rows, width].  NaN where it is not defined.  One reader at a time. */
double rn_gauge_read(const struct rn_gauge *g, const float *pred);
/* Bytes of its arrays. */
size_t rn_gauge_bytes(const struct rn_gauge *g);

#endif
