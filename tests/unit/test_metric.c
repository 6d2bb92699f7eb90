/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics against values that scikit-learn 1.9 gave for the same rows, and where
 * they are not defined.
 */
#include "t.h"

#include "../../lib/learn/metric.h"

#include <math.h>
#include <stdlib.h>

static struct rn_err err;
static const char *why;

static struct rn_column *ints(const int64_t *x, size_t n)
{
	struct rn_column *c = NULL;

	T_CALL(rn_column_new(RN_INT64, n, &c, &err), &err);
	if (n)
		memcpy(c->i64, x, n * sizeof *x);
	return c;
}

static struct rn_column *reals(const double *x, size_t n)
{
	struct rn_column *c = NULL;

	T_CALL(rn_column_new(RN_FLOAT64, n, &c, &err), &err);
	if (n)
		memcpy(c->f64, x, n * sizeof *x);
	return c;
}

static double metric(const char *name, const struct rn_task *task, const float *pred, size_t rows,
		     uint32_t width, const struct rn_column *target)
{
	struct rn_scored s = { .pred = pred, .rows = rows, .width = width, .target = target,
			       .target_name = "y" };
	enum rn_metric m;
	double out = -1;

	err = (struct rn_err){ 0 };
	why = NULL;
	if (rn_metric_parse(name, &m, &s.k, &err) || rn_metric_compute(m, task, &s, &out, &why, &err))
		return -1;
	return out;
}

/* Logits whose largest is the class that is predicted. */
static void one_hot(const int *classes, size_t n, uint32_t width, float *out)
{
	for (size_t i = 0; i < n; i++)
		for (uint32_t f = 0; f < width; f++)
			out[i * width + f] = (int)f == classes[i] ? 1.5f : -0.25f * (float)f;
}

static int near(double got, double want)
{
	if (fabs(got - want) < 1e-12)
		return 1;
	printf("# got %.17g, want %.17g (%s)\n", got, want, err.msg);
	return 0;
}

static void test_classes(void)
{
	static const int64_t y[] = { 0, 2, 1, 1, 0, 2, 2, 1 };
	static const int p[] = { 0, 2, 2, 1, 1, 2, 0, 1 };
	static const int64_t y2[] = { 0, 0, 1, 1 }, y3[] = { 0, 0, 1, 4 };
	static const int p2[] = { 0, 3, 1, 0 };
	struct rn_classes three = { .n = 3, .own = true }, four = { .n = 4, .own = true };
	struct rn_task task = { RN_LOSS_CE, &three };
	struct rn_column *c = ints(y, 8), *c2 = ints(y2, 4), *c3 = ints(y3, 4);
	float z[32];

	one_hot(p, 8, 3, z);
	T_OK(near(metric("accuracy", &task, z, 8, 3, c), 0.625), "accuracy");
	T_OK(near(metric("f1_macro", &task, z, 8, 3, c), 0.611111111111111), "f1_macro");
	T_OK(near(metric("f1", &task, z, 8, 3, c), 0.611111111111111), "f1 is f1_macro");
	T_OK(near(metric("f1-micro", &task, z, 8, 3, c), 0.625), "f1_micro, also with '-'");
	T_CALL(rn_column_need_null(c, &err), &err);
	c->null[2] = c->null[6] = 1; /* both were wrong */
	c->nulls = 2;
	T_OK(near(metric("accuracy", &task, z, 8, 3, c), 5.0 / 6), "a NULL label is no row");
	task.classes = &four;
	one_hot(p2, 4, 4, z);
	T_OK(near(metric("f1_macro", &task, z, 4, 4, c2), 0.38888888888888884),
	     "a class that only predictions have counts, one that nobody has does not");
	T_OK(near(metric("f1_macro", &task, z, 4, 4, c3), 0.375), "so does a label that is no class");
	T_OK(near(metric("accuracy", &task, z, 4, 4, c3), 0.5), "which is wrong in any case");
	for (unsigned f = 0; f < 4; f++)
		z[f] = 1;
	T_OK(rn_predicted_class(&task, z, 4) == 0, "of equal logits the first");
	rn_column_unref(c);
	rn_column_unref(c2);
	rn_column_unref(c3);
}

static void test_binary(void)
{
	static const int64_t y[] = { 0, 1, 1, 0, 1, 0, 0, 1, 1, 0 };
	static const float s[] = { -1.5f, .25f, 2, .25f, -.5f, -.5f, -2, .25f, 3, 1 };
	struct rn_task task = { RN_LOSS_BCE, NULL };
	struct rn_classes two = { .n = 2, .own = true };
	struct rn_task ce = { RN_LOSS_CE, &two };
	struct rn_column *c = ints(y, 10);
	float z[20];

	T_OK(near(metric("roc_auc", &task, s, 10, 1, c), 0.78), "roc_auc with ties");
	T_OK(near(metric("average_precision", &task, s, 10, 1, c), 0.7916666666666665),
	     "average_precision with ties");
	T_OK(near(metric("f1_binary", &task, s, 10, 1, c), 0.7272727272727273), "f1_binary");
	T_OK(near(metric("accuracy", &task, s, 10, 1, c), 0.7), "accuracy of logits");
	T_OK(near(metric("f1_macro", &task, s, 10, 1, c), 0.696969696969697), "f1_macro of two");
	for (int i = 0; i < 10; i++) {
		z[2 * i] = 10;
		z[2 * i + 1] = 10 + s[i];
	}
	T_OK(near(metric("roc_auc", &ce, z, 10, 2, c), 0.78), "roc_auc of two logits");
	rn_column_unref(c);
}

static void test_values(void)
{
	static const double y[] = { 1, 2, -3.5, 4 };
	static const float p[] = { 1.5f, 2, -3, 6 };
	struct rn_task task = { RN_LOSS_MSE, NULL };
	static const double tenth[] = { .1, .1, .1 };
	struct rn_column *c = reals(y, 4), *same = reals(tenth, 3);

	T_OK(near(metric("mae", &task, p, 4, 1, c), 0.75), "mae");
	T_OK(near(metric("rmse", &task, p, 4, 1, c), 1.0606601717798212), "rmse");
	T_OK(near(metric("loss", &task, p, 4, 1, NULL), 1.625), "loss is a mean");
	/* The mean is 0.875: 1 - (0.25 + 0 + 0.25 + 4) / (1/64 + 81/64 + 1225/64 + 625/64) */
	T_OK(near(metric("r2", &task, p, 4, 1, c), 1 - 4.5 / 30.1875), "r2");
	T_CALL(rn_column_need_null(c, &err), &err);
	c->null[3] = 1;
	c->nulls = 1; /* the mean is -1/6: 49/36 + 169/36 + 400/36 */
	T_OK(near(metric("r2", &task, p, 4, 1, c), 1 - 0.5 / (618.0 / 36)), "r2 without a NULL label");
	c->null[2] = c->null[1] = 1;
	c->nulls = 3;
	T_OK(isnan(metric("r2", &task, p, 4, 1, c)) && !strcmp(why, "there is one row with a label"),
	     "r2 of one row");
	T_OK(isnan(metric("r2", &task, p, 3, 1, same)) && !strcmp(why, "all labels are equal"),
	     "r2 of labels whose mean is not exactly theirs");
	rn_column_unref(same);
	rn_column_unref(c);
}

/* Queries of three and four rows, one of which ties; and one without a positive row. */
static void test_queries(void)
{
	static const int64_t y[] = { 1, 0, 0, 1, 0, 1, 0, 0 }, u[] = { 1, 1, 1, 2, 2, 2, 2, 3 };
	static const float s[] = { .9f, .95f, .3f, .5f, .5f, .4f, .1f, 7 };
	static const struct { const char *name; double want, all; } cases[] = {
		/* ranks among the negatives of the query: 2; 1.5, 2.  Of all: 3; 3.5, 4 */
		{ "hits@1", 0, 0 }, { "hits@2", 1, 0 }, { "hits@3", 1, 1.0 / 3 }, { "hits@4", 1, 1 },
		{ "mrr", (0.5 + 1 / 1.5 + 0.5) / 3, (1.0 / 3 + 1 / 3.5 + 0.25) / 3 },
		{ "map@1", 0.5, 0 }, { "map@2", 0.5, 0 },
		{ "map@3", (0.5 + (1 + 2.0 / 3) / 2) / 2, 1.0 / 9 },
	};
	struct rn_task tasks[] = { { RN_LOSS_BCE, NULL }, { RN_LOSS_MSE, NULL }, { RN_LOSS_VALUE, NULL } };
	struct rn_column *t = ints(y, 8), *q = ints(u, 8);
	struct rn_ctx c = { .threads = 1 };
	struct rn_key key = { .n = 1, .cols = &q, .rows = 8 };
	struct rn_groups g;
	double got;

	T_CALL(rn_group(&c, &key, &g, &err), &err);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (unsigned k = 0; k < 6; k++) {
			struct rn_scored in = { .pred = s, .rows = 8, .width = 1, .target = t,
						.target_name = "y", .groups = k % 2 ? NULL : &g };
			enum rn_metric m;

			T_CALL(rn_metric_parse(cases[i].name, &m, &in.k, &err), &err);
			T_CALL(rn_metric_compute(m, &tasks[k / 2], &in, &got, &why, &err), &err);
			T_OK(near(got, k % 2 ? cases[i].all : cases[i].want), "%s%s: %g", cases[i].name,
			     k % 2 ? " of all rows" : "", got);
		}
	rn_groups_fini(&g);
	rn_column_unref(t);
	rn_column_unref(q);
}

static void test_undefined(void)
{
	static const int64_t ones[] = { 1, 1, 1 }, zeros[] = { 0, 0, 0 }, odd[] = { 0, 2, 1 };
	static const float s[] = { 0.5f, -1, 2 }, nan3[] = { 0.5f, NAN, 2 };
	struct rn_task bce = { RN_LOSS_BCE, NULL }, mse = { RN_LOSS_MSE, NULL };
	struct rn_classes three = { .n = 3, .own = true };
	struct rn_task ce = { RN_LOSS_CE, &three };
	struct rn_column *c1 = ints(ones, 3), *c0 = ints(zeros, 3), *cx = ints(odd, 3),
			 *none = ints(ones, 0);
	enum rn_metric m;
	uint32_t k;

	T_OK(isnan(metric("roc_auc", &bce, s, 3, 1, c1)) && !strcmp(why, "all labels are of one class"),
	     "roc_auc of one class is not defined");
	T_OK(isnan(metric("roc_auc", &bce, s, 3, 1, c0)) && why, "nor of the other");
	T_OK(near(metric("average_precision", &bce, s, 3, 1, c1), 1), "average_precision of positives is 1");
	T_OK(isnan(metric("average_precision", &bce, s, 3, 1, c0)) && why, "and needs one");
	T_OK(isnan(metric("roc_auc", &bce, nan3, 3, 1, cx)) ||
		     strstr(err.msg, "column 'y' has 2 in row 1"), "a label of 2 is not binary: %s", err.msg);
	c1->i64[0] = 0;
	T_OK(isnan(metric("roc_auc", &bce, nan3, 3, 1, c1)) && !strcmp(why, "a prediction is not a number"),
	     "NaN has no rank");
	T_OK(isnan(metric("accuracy", &bce, s, 0, 1, none)) && why, "accuracy of no rows");
	T_OK(isnan(metric("rmse", &mse, s, 0, 1, none)) && why, "rmse of no rows");
	T_OK(metric("accuracy", &mse, s, 3, 1, c1) == -1 && strstr(err.msg, "take mae, rmse or r2"),
	     "no classes in a regression");
	T_OK(metric("roc_auc", &ce, s, 1, 3, none) == -1 && strstr(err.msg, "defined for two classes"),
	     "roc_auc of three classes is refused");
	T_OK(metric("accuracy", &ce, s, 3, 1, c1) == -1 && strstr(err.msg, "of width 3, not 1"),
	     "a width that is not that of the classes");
	T_OK(metric("mae", &mse, s, 3, 1, NULL) == -1 && strstr(err.msg, "wants a --target"), "no target");
	T_OK(rn_metric_parse("auc", &m, &k, &err) == RN_EUSAGE && strstr(err.msg, "there are accuracy, f1_macro"),
	     "an unknown metric lists them: %s", err.msg);
	rn_column_unref(c1);
	rn_column_unref(c0);
	rn_column_unref(cx);
	rn_column_unref(none);
}

/* The mean of so many predictions that are 0 but for three: large, 1, and minus large. */
static double mean_of(size_t rows, size_t large, size_t one, size_t minus)
{
	struct rn_task task = { RN_LOSS_L1, NULL };
	float *x = calloc(rows, sizeof *x);
	double mean;

	x[large] = 1e18f;
	x[one] = 1;
	x[minus] = -1e18f;
	mean = metric("loss", &task, x, rows, 1, NULL);
	free(x);
	return mean;
}

/* Of many rows: sums are those of all of them, in the order that gauge.h tells. */
static void test_sums(void)
{
	static const size_t sizes[] = { 1, 2, 255, 256, 257, 1000, 65535, 65536, 65537, 150000 };
	struct rn_task task = { RN_LOSS_MSE, NULL };

	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		size_t n = sizes[k];
		float *x = calloc(n, sizeof *x);
		double *y = calloc(n, sizeof *y), off = 0;
		struct rn_column *c;

		for (size_t i = 0; i < n; i++) {
			x[i] = (float)(i * 37 % 101) / 8;
			y[i] = (double)(i % 13);
			off += fabs(x[i] - y[i]); /* in eighths: exact */
		}
		c = reals(y, n);
		T_OK(metric("mae", &task, x, n, 1, c) == off / (double)n, "mae of %zu rows", n);
		rn_column_unref(c);
		free(x);
		free(y);
	}
	T_OK(mean_of(300, 0, 1, 128) == 1.0 / 300, "rows 0 and 128 are added before row 1 is");
	T_OK(mean_of(300, 0, 128, 1) == 0, "and row 1 after row 128");
	T_OK(mean_of(40000, 0, 256, 256 * 128) == 1.0 / 40000, "so are the sums of 256 rows");
	T_OK(mean_of(40000, 0, 256 * 128, 256) == 0, "in that order");
}

int main(void)
{
	test_classes();
	test_binary();
	test_values();
	test_queries();
	test_undefined();
	test_sums();
	return t_done();
}
