/* SPDX-License-Identifier: Apache-2.0
 *
 * Gauges: how well predictions agree with what is known of their rows, as one number.  What is known
 * is found once, when a gauge is made (lib/learn/metric.h); to read it is arithmetic, which a
 * device can do where its predictions lie (list_epochs).
 *
 * The number is made of a sum of terms.  They are of the rows; or of the classes, by how often each
 * was predicted, and rightly.
 *
 * Both give the same bits of the same predictions: counts are integers, and the order of the sum is
 * fixed: of 256 terms number i and number i + 128 are added, then i and i + 64 of these, down to
 * one; and the sums of each 256 terms are terms again, until there is one.  Terms and sums are
 * doubles.  A row that does not count has the term 0, and so have those that are missing from the
 * last 256.
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
};

struct rn_gauge {
	enum rn_gauge_kind kind;
	uint32_t rows, width; /* of the predictions; width 1 but for classes */
	uint32_t terms;       /* of the sum */
	/* Of classes: 1 where the only number is at least 0, else 0; not set: that of the first
	 * largest number.  NaN is not larger than anything, and nothing than it. */
	bool sign;
	/* Owned, [rows].  label: RN_NONE: the row does not count, else its class, or 0 where there are
	 * none; NULL: all rows count.  truth: NULL: 0 of each row; not read where the row does not
	 * count. */
	uint32_t *label;
	double *truth;
	double counted;  /* n */
	double total;    /* REST: of the squared distances of the true values from their mean */
	/* F1, F1_ONE: classes, all labels below it; owned, [classes]: rows that have it as their label. */
	uint32_t classes, *labelled;
	uint32_t *counts; /* owned: room for a reading on the CPU */
	const char *why; /* static: why it is not defined for any predictions (it reads NaN); or NULL */
};
/* Zeroed, with arrays for so many rows; kind, width and what is in them are the caller's. */
RN_MUST_CHECK int rn_gauge_init(struct rn_gauge *g, uint32_t rows, bool label, bool truth,
				struct rn_err *e);
/* For kinds of classes, when labels are there: they are counted. */
RN_MUST_CHECK int rn_gauge_by_class(struct rn_gauge *g, uint32_t classes, struct rn_err *e);
void rn_gauge_fini(struct rn_gauge *g);
/* pred: [rows, width].  NaN where it is not defined.  One reader at a time. */
double rn_gauge_read(const struct rn_gauge *g, const float *pred);
/* Bytes of its arrays. */
size_t rn_gauge_bytes(const struct rn_gauge *g);

#endif
