/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics with scikit-learn's definitions, over predictions (the output of a
 * node: logits, or values) and a label column.  A row with a NULL label is no
 * row of a metric.  A label that is no class counts as a class of its own that
 * is never predicted.
 *
 *   accuracy     share of rows whose predicted class is the label
 *   f1_macro     mean of F1 over the classes that labels or predictions have; also f1
 *   f1_micro     F1 over all decisions; for one label a row it equals accuracy
 *   f1_binary    F1 of the positive class (two classes only)
 *   roc_auc      area under the ROC curve, ties by mid-rank (two classes only)
 *   average_precision
 *                sum of recall step × precision, ties as one threshold (two classes only)
 *   hits@K       share of the positive rows that are among the first K of their query: fewer
 *                than K of its negative rows rank before them, one of equal score by half
 *   mrr          mean over the positive rows of 1 / rank, counted likewise
 *   map@K        mean over the queries with a positive row of the average precision of the
 *                first K, by min(K, positive rows); equal scores rank in row order
 *   mae, rmse    over values
 *   r2           1 - (sum of squared errors) / (sum of squared distances of the labels from their
 *                mean); not defined for fewer than two rows, or labels that are all equal
 *   loss         mean of the rows of a loss
 *
 * Where the loss is a value of its own (RN_LOSS_VALUE), several logits are those of
 * the classes 0, 1, ..., and one is that of the label 1.
 */
#ifndef RN_METRIC_H
#define RN_METRIC_H

#include "../dev/gauge.h"
#include "../op/op.h"
#include "../rel/key.h"

enum rn_metric {
	RN_METRIC_ACCURACY,
	RN_METRIC_F1_MACRO,
	RN_METRIC_F1_MICRO,
	RN_METRIC_F1_BINARY,
	RN_METRIC_ROC_AUC,
	RN_METRIC_AVERAGE_PRECISION,
	RN_METRIC_HITS,
	RN_METRIC_MRR,
	RN_METRIC_MAP,
	RN_METRIC_MAE,
	RN_METRIC_RMSE,
	RN_METRIC_R2,
	RN_METRIC_LOSS,
	RN_NMETRICS
};

/* By name, '-' and '_' the same; *k: the K of "hits@10", 0 where there is none.  RN_EUSAGE
 * lists the metrics. */
RN_MUST_CHECK int rn_metric_parse(const char *name, enum rn_metric *out, uint32_t *k,
				  struct rn_err *e);
bool rn_metric_by_query(enum rn_metric m); /* hits, mrr, map: takes a group */
bool rn_metric_higher_is_better(enum rn_metric m);
bool rn_metric_needs_target(enum rn_metric m); /* all but loss */

/* What predictions mean. */
struct rn_task {
	enum rn_loss_kind kind;
	const struct rn_classes *classes; /* RN_LOSS_CE; borrowed */
};

struct rn_scored {
	const float *pred; /* [rows, width]: logits (CE, BCE) or values */
	uint64_t rows;
	uint32_t width;
	const struct rn_column *target; /* NULL for RN_METRIC_LOSS */
	const char *target_name;        /* for messages */
	uint32_t k;                     /* of hits, map */
	const struct rn_groups *groups; /* the rows of each query; NULL: all are of one */
};

/* What is known of a metric before there is a prediction. */
struct rn_metric_facts {
	enum rn_loss_kind kind;   /* of the loss that says what predictions mean */
	uint32_t classes;         /* RN_LOSS_CE: how many; RN_DIM_UNKNOWN: not known yet */
	enum rn_type labels;      /* RN_LOSS_CE: their type */
	uint32_t width;           /* of the predictions; RN_DIM_UNKNOWN: not known yet */
	enum rn_type target;      /* of the column of true values */
	bool untyped;             /* which may hold NULLs alone, so that its type says nothing */
	const char *target_name;
};
/* Can the metric be had of this?  RN_EUSAGE. */
RN_MUST_CHECK int rn_metric_check(enum rn_metric m, const struct rn_metric_facts *f,
				  struct rn_err *e);
/* The facts of rows that are there; s->pred is not read. */
void rn_metric_facts(const struct rn_task *task, const struct rn_scored *s,
		     struct rn_metric_facts *out);

/* What is known of these rows, whose s->pred is not read; to be ended.  RN_EUSAGE as rn_metric_check,
 * RN_EDATA for labels that are none. */
RN_MUST_CHECK int rn_metric_gauge(enum rn_metric m, const struct rn_task *task,
				  const struct rn_scored *s, struct rn_gauge *g, struct rn_err *e);
/* rn_metric_compute, whatever predictions it is of. */
double rn_metric_read(const struct rn_gauge *g, const float *pred, const char **why);
/* Why what was read is not defined: a static text; NULL: it is. */
const char *rn_metric_why(const struct rn_gauge *g, double x);

/* *out is NaN where the metric is not defined for these rows (no rows, AUC of one
 * class); *why (may be NULL) is then a static text that says so. */
RN_MUST_CHECK int rn_metric_compute(enum rn_metric m, const struct rn_task *task,
				    const struct rn_scored *s, double *out, const char **why,
				    struct rn_err *e);

/* Class of row i: index of the first largest logit; for RN_LOSS_BCE 1 where the
 * probability is at least one half. */
uint32_t rn_predicted_class(const struct rn_task *task, const float *row, uint32_t width);

#endif
