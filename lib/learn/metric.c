/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics: what they are called, what they want, and what is known of them before there is a
 * prediction.  The rest is arithmetic (lib/dev/gauge.h).
 */
#include "metric.h"

#include "../base/num.h"
#include "../dev/gauge_terms.h"

#include <stdlib.h>
#include <string.h>

static const struct metric_info {
	const char *name;
	bool lower;       /* lower is better */
	bool binary_only; /* wants two classes */
	bool value;       /* over values, not classes */
	bool query;       /* ranks within queries */
	bool at;          /* name@K */
	enum rn_gauge_kind kind;
} metric_info[RN_NMETRICS] = {
	[RN_METRIC_ACCURACY] = { .name = "accuracy", .kind = RN_GAUGE_RIGHT },
	[RN_METRIC_F1_MACRO] = { .name = "f1_macro", .kind = RN_GAUGE_F1 },
	[RN_METRIC_F1_MICRO] = { .name = "f1_micro", .kind = RN_GAUGE_RIGHT },
	[RN_METRIC_F1_BINARY] = { .name = "f1_binary", .binary_only = true,
				  .kind = RN_GAUGE_F1_ONE },
	[RN_METRIC_ROC_AUC] = { .name = "roc_auc", .binary_only = true, .kind = RN_GAUGE_AREA },
	[RN_METRIC_AVERAGE_PRECISION] = { .name = "average_precision", .binary_only = true,
					.kind = RN_GAUGE_PRECISION },
	[RN_METRIC_HITS] = { .name = "hits", .binary_only = true, .query = true, .at = true,
			     .kind = RN_GAUGE_HITS },
	[RN_METRIC_MRR] = { .name = "mrr", .binary_only = true, .query = true,
			    .kind = RN_GAUGE_RECIPROCAL },
	[RN_METRIC_MAP] = { .name = "map", .binary_only = true, .query = true, .at = true,
			    .kind = RN_GAUGE_MAP },
	[RN_METRIC_MAE] = { .name = "mae", .lower = true, .value = true, .kind = RN_GAUGE_ABS },
	[RN_METRIC_RMSE] = { .name = "rmse", .lower = true, .value = true,
			     .kind = RN_GAUGE_ROOT },
	[RN_METRIC_R2] = { .name = "r2", .value = true, .kind = RN_GAUGE_REST },
	[RN_METRIC_LOSS] = { .name = "loss", .lower = true, .value = true,
			     .kind = RN_GAUGE_MEAN },
};

bool rn_metric_higher_is_better(enum rn_metric m)
{
	return !metric_info[m].lower;
}

bool rn_metric_needs_target(enum rn_metric m)
{
	return m != RN_METRIC_LOSS;
}

static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
			return false;
	return *a == *b;
}

bool rn_metric_by_query(enum rn_metric m)
{
	return metric_info[m].query;
}

/* "name", or "name@K" for a metric that has a K. */
static bool is_metric(const char *name, const struct metric_info *info, uint32_t *k)
{
	size_t n = strlen(info->name);
	int64_t at = 0;

	*k = 0;
	if (!info->at)
		return same_name(name, info->name);
	if (strncmp(name, info->name, n) || name[n] != '@' ||
	    !rn_int64_parse(name + n + 1, strlen(name + n + 1), &at) || at < 1 || at > INT32_MAX)
		return false;
	*k = (uint32_t)at;
	return true;
}

int rn_metric_parse(const char *name, enum rn_metric *out, uint32_t *k, struct rn_err *e)
{
	struct rn_str all = RN_STR_INIT;

	if (!strcmp(name, "f1"))
		name = metric_info[RN_METRIC_F1_MACRO].name;
	for (unsigned m = 0; m < RN_NMETRICS; m++) {
		if (is_metric(name, &metric_info[m], k)) {
			*out = (enum rn_metric)m;
			return 0;
		}
	}
	for (unsigned m = 0; m < RN_NMETRICS; m++)
		rn_str_addf(&all, "%s%s%s", m ? ", " : "", metric_info[m].name,
			    metric_info[m].at ? "@K" : "");
	rn_err_set(e, RN_EUSAGE, "there is no metric '%s' (there are %s)", name, all.s);
	rn_str_fini(&all);
	return RN_EUSAGE;
}

/* ---- truth ---------------------------------------------------------------------- */

uint32_t rn_predicted_class(const struct rn_task *task, const float *row, uint32_t width)
{
	/* A logit of 0 is a probability of one half. */
	return rn_gauge_class(task->kind == RN_LOSS_BCE, width, row);
}

static uint32_t class_count(const struct rn_task *task)
{
	return task->kind == RN_LOSS_BCE ? 2 : task->classes->n;
}

/* Code of a row's label; class_count for a label that is no class. */
static int truth(const struct rn_task *task, const struct rn_scored *s, uint64_t i, uint32_t *code,
		 struct rn_err *e)
{
	const struct rn_column *t = s->target;
	double v;

	if (task->kind == RN_LOSS_CE) {
		*code = rn_classes_code(task->classes, t, i);
		if (*code == RN_NONE)
			*code = task->classes->n;
		return 0;
	}
	v = t->type == RN_BOOL ? t->b[i] : t->type == RN_INT64 ? (double)t->i64[i] : t->f64[i];
	if (v != 0 && v != 1)
		return rn_err_set(e, RN_EDATA,
				  "column '%s' has %g in row %llu, but a binary label is 0 or 1",
				  s->target_name, v, (unsigned long long)i);
	*code = v == 1;
	return 0;
}

static double number(const struct rn_column *t, uint64_t i)
{
	switch (t->type) {
	case RN_BOOL:
		return t->b[i];
	case RN_INT64:
		return (double)t->i64[i];
	case RN_TIMESTAMP:
		return (double)t->i64[i] * 1e-6;
	default:
		return t->f64[i];
	}
}

/* ---- gauges ------------------------------------------------------------------------------- */

/* What is known of the rows that count. */
static int read_labels(const struct rn_task *task, const struct rn_scored *s, bool classes,
		       struct rn_gauge *g, struct rn_err *e)
{
	for (uint32_t i = 0; i < g->rows; i++) {
		if (s->target && rn_column_is_null(s->target, i)) {
			g->label[i] = RN_NONE;
			continue;
		}
		g->counted++;
		if (classes)
			RN_TRY(truth(task, s, i, &g->label[i], e));
		else if (g->truth)
			g->truth[i] = number(s->target, i);
	}
	return 0;
}

/* g->total.  Where all labels are equal their distances from a mean that was rounded need not be 0. */
static void find_total(struct rn_gauge *g)
{
	double mean = 0, first = NAN;
	bool equal = true;

	for (uint32_t i = 0; i < g->rows; i++) {
		if (g->label && g->label[i] == RN_NONE)
			continue;
		equal = equal && (isnan(first) || g->truth[i] == first);
		first = g->truth[i];
		mean += g->truth[i];
	}
	if (g->counted < 2 || equal) {
		g->why = g->counted < 2 ? "there is one row with a label" : "all labels are equal";
		return;
	}
	mean /= g->counted;
	for (uint32_t i = 0; i < g->rows; i++)
		if (!g->label || g->label[i] != RN_NONE)
			g->total += (g->truth[i] - mean) * (g->truth[i] - mean);
}

/* The rows of each query, ranked when there are predictions. */
static int find_ranks(const struct rn_scored *s, struct rn_gauge *g, struct rn_err *e)
{
	const struct rn_groups *q = s->groups;

	RN_TRY(rn_gauge_by_rank(g, s->k, q ? q->ptr->data : NULL, q && q->rows ? q->rows->data : NULL,
				q ? (uint32_t)q->n : 0, e));
	if (g->counted == 0)
		g->why = g->kind != RN_GAUGE_AREA && g->kind != RN_GAUGE_PRECISION ?
				 "there is no row with a label of 1" :
			 g->ranks.n ? "all labels are of one class" :
				      "there is no row with a label";
	return 0;
}

/* What is known, into a gauge of zeros. */
static int fill_gauge(enum rn_metric m, const struct rn_task *task, const struct rn_scored *s,
		      struct rn_gauge *g, struct rn_err *e)
{
	bool classes = !metric_info[m].value;

	g->kind = metric_info[m].kind;
	g->width = s->width;
	g->sign = classes && task->kind == RN_LOSS_BCE;
	RN_TRY(read_labels(task, s, classes, g, e));
	if (rn_gauge_is_by_rank(g->kind))
		return find_ranks(s, g, e);
	if (g->counted == 0)
		g->why = "there is no row with a label";
	else if (g->kind == RN_GAUGE_REST)
		find_total(g);
	else if (rn_gauge_is_by_class(g->kind)) /* a label that is none has a class of its own */
		return rn_gauge_by_class(g, class_count(task) + 1, e);
	return 0;
}

/* task: what predictions mean to this metric. */
static int make_gauge(enum rn_metric m, const struct rn_task *task, const struct rn_scored *s,
		      struct rn_gauge *g, struct rn_err *e)
{
	bool classes = !metric_info[m].value;
	int rc;

	if (s->rows > UINT32_MAX)
		return rn_err_set(e, RN_EBUG, "a metric of %llu rows", (unsigned long long)s->rows);
	RN_TRY(rn_gauge_init(g, (uint32_t)s->rows, classes || (s->target && s->target->nulls),
			     m != RN_METRIC_LOSS && !classes, e));
	rc = fill_gauge(m, task, s, g, e);
	if (rc)
		rn_gauge_fini(g);
	return rc;
}

const char *rn_metric_why(const struct rn_gauge *g, double x)
{
	return !isnan(x) ? NULL : g->why ? g->why : "a prediction is not a number";
}

double rn_metric_read(const struct rn_gauge *g, const float *pred, const char **why)
{
	double x = rn_gauge_read(g, pred);

	*why = rn_metric_why(g, x);
	return x;
}

/* ---- entry --------------------------------------------------------------------------------- */

/* Several logits of a loss that is a value of its own are those of the classes 0, 1, ...; one is
 * that of the label 1.  Any score ranks. */
static enum rn_loss_kind kind_for(enum rn_metric m, enum rn_loss_kind kind, uint32_t width)
{
	if (metric_info[m].query && (kind == RN_LOSS_MSE || kind == RN_LOSS_L1))
		return RN_LOSS_BCE;
	if (kind == RN_LOSS_VALUE && !metric_info[m].value)
		return width == 1 ? RN_LOSS_BCE : RN_LOSS_CE;
	return kind;
}

void rn_metric_facts(const struct rn_task *task, const struct rn_scored *s,
		     struct rn_metric_facts *out)
{
	const struct rn_classes *c = task->kind == RN_LOSS_CE ? task->classes : NULL;

	*out = (struct rn_metric_facts){
		.kind = task->kind,
		.classes = c ? c->n : 0,
		.labels = !c || c->own ? RN_INT64 : c->values->type,
		.width = s->width,
		.target_name = s->target_name,
	};
	if (s->target) {
		out->target = s->target->type;
		out->untyped = s->target->nulls == s->target->rows;
	}
}

static bool differ(uint32_t a, uint32_t b)
{
	return a != RN_DIM_UNKNOWN && b != RN_DIM_UNKNOWN && a != b;
}

static int check_target(const struct metric_info *info, const struct rn_metric_facts *f,
			enum rn_loss_kind kind, enum rn_type labels, struct rn_err *e)
{
	if ((info->value || kind == RN_LOSS_BCE) &&
	    (f->target == RN_STRING || (f->target == RN_TIMESTAMP && !info->value)))
		return rn_err_set(e, RN_EUSAGE, "column '%s' is %s: metric '%s' wants numbers",
				  f->target_name, rn_type_name(f->target), info->name);
	if (!info->value && kind == RN_LOSS_CE && f->target != labels && !f->untyped)
		return rn_err_set(e, RN_EUSAGE, "column '%s' is %s, and the classes of the loss are %s",
				  f->target_name, rn_type_name(f->target), rn_type_name(labels));
	return 0;
}

int rn_metric_check(enum rn_metric m, const struct rn_metric_facts *f, struct rn_err *e)
{
	const struct metric_info *info = &metric_info[m];
	enum rn_loss_kind kind = kind_for(m, f->kind, f->width);
	bool own = f->kind == RN_LOSS_VALUE;
	uint32_t classes = kind == RN_LOSS_BCE ? 2 : own ? f->width : f->classes;
	uint32_t want = info->value || kind != RN_LOSS_CE ? 1 : classes;

	if (!info->value && kind != RN_LOSS_CE && kind != RN_LOSS_BCE)
		return rn_err_set(e, RN_EUSAGE,
				  "metric '%s' is of classes, but the loss is one of values: take "
				  "mae, rmse or r2",
				  info->name);
	if (differ(f->width, want))
		return rn_err_set(e, RN_EUSAGE,
				  "metric '%s' wants predictions of width %u, not %u", info->name,
				  want, f->width);
	if (info->binary_only && differ(classes, 2))
		return rn_err_set(e, RN_EUSAGE,
				  "metric '%s' is defined for two classes, and there are %u",
				  info->name, classes);
	if (m == RN_METRIC_LOSS)
		return 0;
	if (!f->target_name)
		return rn_err_set(e, RN_EUSAGE, "metric '%s' wants a --target column", info->name);
	if (own && f->width == RN_DIM_UNKNOWN) /* one logit, or several? */
		return 0;
	return check_target(info, f, kind, own ? RN_INT64 : f->labels, e);
}

/* The metric can be had; *meant: what its predictions mean to it, with `own` as its classes where
 * it has no other. */
static int interpret(enum rn_metric m, const struct rn_task *task, const struct rn_scored *s,
		     struct rn_classes *own, struct rn_task *meant, struct rn_err *e)
{
	struct rn_metric_facts facts;

	rn_metric_facts(task, s, &facts);
	if (!s->target)
		facts.target_name = NULL;
	RN_TRY(rn_metric_check(m, &facts, e));
	*own = (struct rn_classes){ .n = s->width, .own = true };
	*meant = *task;
	meant->kind = kind_for(m, task->kind, s->width);
	if (task->kind == RN_LOSS_VALUE)
		meant->classes = own;
	return 0;
}

int rn_metric_gauge(enum rn_metric m, const struct rn_task *task, const struct rn_scored *s,
		    struct rn_gauge *g, struct rn_err *e)
{
	struct rn_classes own;
	struct rn_task meant;

	*g = (struct rn_gauge){ 0 };
	RN_TRY(interpret(m, task, s, &own, &meant, e));
	return make_gauge(m, &meant, s, g, e);
}

int rn_metric_compute(enum rn_metric m, const struct rn_task *task, const struct rn_scored *s,
		      double *out, const char **why, struct rn_err *e)
{
	struct rn_gauge g;
	const char *none;

	*out = NAN;
	RN_TRY(rn_metric_gauge(m, task, s, &g, e));
	*out = rn_metric_read(&g, s->pred, why ? why : &none);
	rn_gauge_fini(&g);
	return 0;
}
