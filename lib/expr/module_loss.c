/* SPDX-License-Identifier: Apache-2.0
 *
 * Losses with PyTorch's names and definitions, one value a row: over the features
 * of a row they average (not so with reduction="none"), over rows the aggregate does
 * (a fit takes the mean).
 *
 * Where rows count differently (weight, ignore_index of class numbers), the loss of a row is its
 * weight times it, and, within mean(…), the group's rows by the sum of their weights times
 * that: so the mean is PyTorch's, sum w l / sum w.
 */
#include "emb_ast.h"

#include <float.h>
#include <string.h>

/* ---- arithmetic ------------------------------------------------------------------- */

/* out = fn(a, b) */
static int op2(struct rn_elower *l, enum rn_ew fn, struct rn_elv a, struct rn_elv b,
	       struct rn_elv *out, struct rn_err *e)
{
	return rn_elower_ew2(l, fn, &a, &b, out, e);
}

static int op_num(struct rn_elower *l, enum rn_ew fn, struct rn_elv a, double b, struct rn_elv *out,
		  struct rn_err *e)
{
	return op2(l, fn, a, rn_elv_num(b), out, e);
}

static int op1(struct rn_elower *l, enum rn_ew fn, struct rn_elv a, struct rn_elv *out,
	       struct rn_err *e)
{
	uint32_t v;

	RN_TRY(rn_elower_dense(l, &a, e));
	RN_VAL(&v, rn_prog_ew1(l->p, fn, a.val, e));
	*out = rn_elv_dense(v, a.one);
	return 0;
}

/* a != 0 ? b : c; what is not chosen may be anything. */
static int choose(struct rn_elower *l, struct rn_elv a, struct rn_elv b, struct rn_elv c,
		  struct rn_elv *out, struct rn_err *e)
{
	uint32_t v;

	RN_TRY(rn_elower_dense(l, &a, e));
	RN_TRY(rn_elower_dense(l, &b, e));
	RN_TRY(rn_elower_dense(l, &c, e));
	RN_VAL(&v, rn_prog_ew3(l->p, RN_EW_SELECT, a.val, b.val, c.val, e));
	*out = rn_elv_dense(v, a.one && b.one && c.one);
	return 0;
}

static uint32_t width_of(const struct rn_elower *l, const struct rn_elv *v)
{
	const struct rn_val *x = &l->p->vals[v->val];
	uint32_t w = 1;

	for (uint32_t i = 0; i < x->rank; i++)
		w *= x->dim[i];
	return w;
}

static bool unreduced(const struct rn_earg *reduction)
{
	return reduction->given && !strcmp(reduction->str, "none");
}

/* The mean over a row's features, [1]; all of them where nothing is to be reduced. */
static int row_mean(struct rn_elower *l, const struct rn_earg *reduction, struct rn_elv a,
		    struct rn_elv *out, struct rn_err *e)
{
	uint32_t one = 1, w;

	RN_TRY(rn_elower_dense(l, &a, e));
	if (unreduced(reduction)) {
		*out = a;
		return 0;
	}
	w = width_of(l, &a);
	RN_TRY(rn_elower_rowsum(l, &a, out, e));
	if (w != 1)
		RN_TRY(op_num(l, RN_EW_DIV, *out, w, out, e));
	return rn_elower_reshape(l, out->val, 1, &one, &out->val, e);
}

/* What a rule's aggregate does is not for the module to do. */
static int check_reduction(const struct rn_elower *l, const struct rn_enode *n,
			   const struct rn_earg *cfg, struct rn_err *e)
{
	if (cfg[0].given && strcmp(cfg[0].str, "mean") && !unreduced(cfg))
		return rn_eexpr_fail(l->x, n, e, "%s: a row's loss is a mean over its features (or, with "
				     "reduction=\"none\", all of them); over rows the aggregate reduces, so "
				     "write sum(...) there", n->fn->name);
	return 0;
}

static int same_shape(const struct rn_elower *l, const struct rn_enode *n, const struct rn_elv *a,
		      const struct rn_elv *b, struct rn_err *e)
{
	if (a->kind == RN_LV_DENSE && b->kind == RN_LV_DENSE && width_of(l, a) != width_of(l, b))
		return rn_eexpr_fail(l->x, n, e, "%s: the prediction has %u values and the target %u",
				     n->fn->name, width_of(l, a), width_of(l, b));
	return 0;
}

/* ---- classes ---------------------------------------------------------------------- */

/* 0, 1, …, n-1 as one row. */
static int counting(struct rn_elower *l, uint32_t n, struct rn_elv *out, struct rn_err *e)
{
	struct rn_buf *b;
	uint32_t v;

	RN_TRY(rn_buf_new(n * sizeof(float), "class numbers", &b, e));
	for (uint32_t i = 0; i < n; i++)
		((float *)b->data)[i] = (float)i;
	RN_VAL(&v, rn_prog_const(l->p, 1, 1, &n, b, e));
	*out = rn_elv_dense(v, true);
	return 0;
}

/* The rowsum of a, [1]. */
static int row_sum(struct rn_elower *l, struct rn_elv a, struct rn_elv *out, struct rn_err *e)
{
	uint32_t one = 1;

	RN_TRY(rn_elower_rowsum(l, &a, out, e));
	return rn_elower_reshape(l, out->val, 1, &one, &out->val, e);
}

/* n numbers that were given, as one row. */
static int given_row(struct rn_elower *l, const struct rn_earg *a, struct rn_elv *out, struct rn_err *e)
{
	uint32_t n = rn_earg_count(a), v;
	struct rn_buf *b;

	RN_TRY(rn_buf_new(n * sizeof(float), "weights", &b, e));
	for (uint32_t i = 0; i < n; i++)
		((float *)b->data)[i] = (float)rn_earg_num(a, i);
	RN_VAL(&v, rn_prog_const(l->p, 1, 1, &n, b, e));
	*out = rn_elv_dense(v, true);
	return 0;
}

bool rn_is_weight(double w)
{
	return w == 0 || (w > 0 && w <= FLT_MAX && (float)w > 0);
}

/* What a class loss is made of. */
struct classes {
	struct rn_elv z;          /* logits, or log p, [n] */
	struct rn_elv target;     /* a class number [1], or probabilities [n] */
	uint32_t n;
	bool numbers;
	bool weighted, ignores;
	struct rn_elv weight;     /* of each class, [n], one row */
	double ignored;           /* the class number that does not count */
	double smooth;
	bool rows;                /* reduction="none": a mean is one of rows */
};

/* How much each row counts, [1]. */
static int row_weights(struct rn_elower *l, const struct classes *c, struct rn_elv *out,
		       struct rn_err *e)
{
	struct rn_elv hot, ignored;

	*out = rn_elv_num(1);
	if (c->weighted) {
		RN_TRY(counting(l, c->n, &hot, e));
		RN_TRY(op2(l, RN_EW_EQ, c->target, hot, &hot, e));
		RN_TRY(op2(l, RN_EW_MUL, hot, c->weight, &hot, e));
		RN_TRY(row_sum(l, hot, out, e));
	}
	if (!c->ignores)
		return 0;
	RN_TRY(op_num(l, RN_EW_EQ, c->target, c->ignored, &ignored, e));
	return choose(l, ignored, rn_elv_num(0), *out, out, e);
}

/* Classes that are data are all classes, or that of a row does not count. */
static int check_labels(const struct rn_elower *l, const struct rn_enode *n, const struct classes *c,
			struct rn_err *e)
{
	uint32_t rows = l->scratch || !c->numbers ? 0 : l->p->vals[c->target.val].rows;
	float x;

	for (uint32_t i = 0; i < rows; i++) {
		if (!rn_elower_known(l->p, c->target.val, i, &x))
			return 0;
		if ((c->ignores && x == (float)c->ignored) ||
		    (x >= 0 && x < (float)c->n && (float)(uint32_t)x == x))
			continue;
		(void)!rn_err_set(e, RN_EDATA, "%s: row %u has the label %g, and the %u classes of the prediction "
				  "are 0 to %u (ignore_index leaves out the rows of a label)", n->fn->name, i,
				  (double)x, c->n, c->n - 1);
		return rn_eexpr_caret(l->x->text, n->pos, RN_EDATA, e);
	}
	return 0;
}

/* Classes that are data become codes: one primitive, as in the stage cross-entropy.  False:
 * they are not. */
static int known_classes(struct rn_elower *l, const struct classes *c, bool *done,
			 struct rn_elv *out, struct rn_err *e)
{
	const struct rn_elv *z = &c->z, *target = &c->target;
	uint32_t rows = l->p->vals[z->val].rows, one = 1, *code, v;
	struct rn_inst ce = rn_inst_init(RN_P_CE);
	struct rn_buf *b;
	float x;

	*done = false;
	if (l->p->vals[target->val].rows != rows || target->one || z->one)
		return 0;
	RN_TRY(rn_buf_new((size_t)rows * sizeof *code, "class codes", &b, e));
	code = b->data;
	for (uint32_t i = 0; i < rows; i++) {
		bool known = rn_elower_known(l->p, target->val, i, &x);
		bool ignored = known && c->ignores && x == (float)c->ignored;

		if (!known) {
			rn_buf_unref(b);
			return 0;
		}
		code[i] = ignored ? RN_NO_ROW : (uint32_t)x;
	}
	*done = true;
	ce.nin = 1;
	ce.in[0].val = z->val;
	RN_VAL(&ce.idx[0], rn_prog_idx(l->p, b, rows, e));
	RN_VAL(&v, rn_prog_add(l->p, &ce, rows, 1, &one, e));
	*out = rn_elv_dense(v, false);
	return 0;
}

/* -log p at the target's class; NaN for a target that is no class. */
static int index_loss(struct rn_elower *l, struct rn_elv logp, struct rn_elv target,
		      struct rn_elv *out, struct rn_err *e)
{
	struct rn_elv hot, hits, picked;

	RN_TRY(counting(l, width_of(l, &logp), &hot, e));
	RN_TRY(op2(l, RN_EW_EQ, target, hot, &hot, e));
	RN_TRY(row_sum(l, hot, &hits, e));
	RN_TRY(choose(l, hot, logp, rn_elv_num(0), &picked, e));
	RN_TRY(row_sum(l, picked, &picked, e));
	RN_TRY(op2(l, RN_EW_DIV, picked, hits, out, e));
	return op1(l, RN_EW_NEG, *out, out, e);
}

/* -Σ w t log p of a class number or of probabilities t, smoothed with the uniform ones.  logp
 * holds w log p. */
static int class_loss(struct rn_elower *l, const struct classes *c, struct rn_elv logp,
		      struct rn_elv *out, struct rn_err *e)
{
	struct rn_elv ignored = { 0 }, target = c->target, all;

	if (c->ignores) { /* a class that is there, so that the gradient is finite */
		RN_TRY(op_num(l, RN_EW_EQ, target, c->ignored, &ignored, e));
		RN_TRY(choose(l, ignored, rn_elv_num(0), target, &target, e));
	}
	if (c->numbers) {
		RN_TRY(index_loss(l, logp, target, out, e));
	} else {
		RN_TRY(op2(l, RN_EW_MUL, target, logp, &all, e));
		RN_TRY(row_sum(l, all, out, e));
		RN_TRY(op1(l, RN_EW_NEG, *out, out, e));
	}
	if (c->smooth != 0) {
		RN_TRY(row_sum(l, logp, &all, e));
		RN_TRY(op_num(l, RN_EW_MUL, *out, 1 - c->smooth, out, e));
		RN_TRY(op_num(l, RN_EW_MUL, all, c->smooth / c->n, &all, e));
		RN_TRY(op2(l, RN_EW_SUB, *out, all, out, e));
	}
	return c->ignores ? choose(l, ignored, rn_elv_num(0), *out, out, e) : 0;
}

/* The loss of a row in units of the mean's: rows by the sum of weights. */
static int share(struct rn_elower *l, const struct classes *c, struct rn_elv *out, struct rn_err *e)
{
	struct rn_elv w;
	uint32_t v;

	if (!l->env->shares || !c->numbers || !(c->weighted || c->ignores) || c->rows)
		return 0;
	RN_TRY(row_weights(l, c, &w, e));
	if (c->target.one) /* every row counts alike */
		return op2(l, RN_EW_DIV, *out, w, out, e);
	RN_TRY(l->env->shares(l->env->rows_arg, w.val, &v, e));
	return op2(l, RN_EW_MUL, *out, rn_elv_dense(v, false), out, e);
}

enum { WEIGHT, IGNORE, REDUCTION_AT, SMOOTHING }; /* arguments of a class loss */

static int open_classes(struct rn_elower *l, const struct rn_enode *n, const struct rn_earg *cfg,
			const struct rn_elv *a, struct classes *c, struct rn_err *e)
{
	uint32_t width, weights = rn_earg_count(&cfg[WEIGHT]);

	*c = (struct classes){ .z = a[0], .target = a[1], .weighted = weights,
			       .ignores = cfg[IGNORE].given, .ignored = cfg[IGNORE].num,
			       .smooth = n->fn->how ? cfg[SMOOTHING].num : 0,
			       .rows = unreduced(&cfg[REDUCTION_AT]) };
	RN_TRY(rn_elower_dense(l, &c->z, e));
	RN_TRY(rn_elower_dense(l, &c->target, e));
	c->n = width_of(l, &c->z);
	width = width_of(l, &c->target);
	c->numbers = width == 1; /* one of unknown width is not */
	if (l->p->vals[c->z.val].rank != 1 || c->n < 2)
		return rn_eexpr_fail(l->x, n, e, "%s wants a prediction of shape [classes], 2 or more",
				     n->fn->name);
	if (!(c->smooth >= 0 && c->smooth <= 1))
		return rn_eexpr_fail(l->x, n, e, "%s: label_smoothing is from 0 to 1", n->fn->name);
	if (width != 1 && width != c->n && width != RN_DIM_UNKNOWN)
		return rn_eexpr_fail(l->x, n, e, "%s: the target is a class number, or %u probabilities, "
				     "not %u values", n->fn->name, c->n, width);
	if (c->weighted && c->n != RN_DIM_UNKNOWN && (cfg[WEIGHT].node->kind != RN_E_LIST || weights != c->n))
		return rn_eexpr_fail(l->x, cfg[WEIGHT].node, e, "%s: weight wants a number for each of the %u "
				     "classes, not %u", n->fn->name, c->n, weights);
	if (c->ignores && !c->numbers)
		return rn_eexpr_fail(l->x, cfg[IGNORE].node, e, "%s: ignore_index is a class number, and the target "
				     "is probabilities", n->fn->name);
	for (uint32_t i = 0; i < weights; i++)
		if (!rn_is_weight(rn_earg_num(&cfg[WEIGHT], i)))
			return rn_eexpr_fail(l->x, cfg[WEIGHT].node, e, "%s: a weight is 0 or more, and a number that "
					     "a float32 holds", n->fn->name);
	return c->weighted ? given_row(l, &cfg[WEIGHT], &c->weight, e) : 0;
}

/* The loss of known classes, by the weights of the rows. */
static int weigh_known(struct rn_elower *l, const struct classes *c, struct rn_elv *out,
		       struct rn_err *e)
{
	struct rn_elv w;

	if (!c->weighted)
		return 0;
	RN_TRY(row_weights(l, c, &w, e));
	return op2(l, RN_EW_MUL, *out, w, out, e);
}

RN_LOWER(lower_class_loss)
{
	const struct rn_efunc *log_softmax = rn_efunc_find("LogSoftmax");
	struct rn_earg none[RN_A_MAX] = { { 0 } };
	struct rn_elv logp;
	struct classes c;
	bool done = false;

	RN_TRY(check_reduction(l, n, cfg + REDUCTION_AT, e));
	RN_TRY(open_classes(l, n, cfg, a, &c, e));
	RN_TRY(check_labels(l, n, &c, e));
	if (n->fn->how && c.smooth == 0 && c.numbers)
		RN_TRY(known_classes(l, &c, &done, out, e));
	if (done) {
		RN_TRY(weigh_known(l, &c, out, e));
		return share(l, &c, out, e);
	}
	logp = c.z;
	if (n->fn->how)
		RN_TRY(log_softmax->lower(l, n, none, &c.z, &logp, e));
	if (c.weighted)
		RN_TRY(op2(l, RN_EW_MUL, logp, c.weight, &logp, e));
	RN_TRY(class_loss(l, &c, logp, out, e));
	return share(l, &c, out, e);
}

/* ---- binary ----------------------------------------------------------------------- */

/* The numbers of an argument, one or one for each feature of z; a single one as a number. */
static int per_feature(struct rn_elower *l, const struct rn_enode *n, const struct rn_earg *a,
		       const char *what, const struct rn_elv *z, struct rn_elv *out, struct rn_err *e)
{
	uint32_t k = rn_earg_count(a), width = width_of(l, z);

	for (uint32_t i = 0; i < k; i++)
		if (!rn_is_weight(rn_earg_num(a, i)))
			return rn_eexpr_fail(l->x, a->node, e, "%s: %s is 0 or more, and a number that a float32 holds",
					     n->fn->name, what);
	*out = rn_elv_num(k ? rn_earg_num(a, 0) : 1);
	if (k <= 1)
		return 0;
	if (k != width && width != RN_DIM_UNKNOWN)
		return rn_eexpr_fail(l->x, a->node, e, "%s: %s wants a number, or one for each of the %u values of a "
				     "row, not %u", n->fn->name, what, width, k);
	RN_TRY(given_row(l, a, out, e));
	return rn_elower_reshape(l, out->val, l->p->vals[z->val].rank, l->p->vals[z->val].dim, &out->val, e);
}

static bool is_one(const struct rn_elv *a)
{
	return a->kind == RN_LV_NUM && a->num == 1;
}

/* A binary loss, times the weights of its features, over them. */
static int binary_mean(struct rn_elower *l, const struct rn_enode *n, const struct rn_earg *cfg,
		       struct rn_elv t, struct rn_elv *out, struct rn_err *e)
{
	struct rn_elv w;

	RN_TRY(per_feature(l, n, &cfg[0], "weight", &t, &w, e));
	if (!is_one(&w))
		RN_TRY(op2(l, RN_EW_MUL, t, w, &t, e));
	return row_mean(l, &cfg[1], t, out, e);
}

/* (1 - y) z + w (log(1 + exp(-|z|)) + max(-z, 0)), w = 1 + (pos_weight - 1) y.  The maximum is
 * (|z| - z) / 2, which has the derivative -1/2 at 0, so that the gradient there is 1/2 - y. */
RN_LOWER(lower_bce_logits)
{
	struct rn_elv z = a[0], y = a[1], t, size, soft, positive, w;

	RN_TRY(check_reduction(l, n, cfg + 1, e));
	RN_TRY(rn_elower_dense(l, &z, e));
	RN_TRY(same_shape(l, n, &z, &y, e));
	RN_TRY(per_feature(l, n, &cfg[2], "pos_weight", &z, &positive, e));
	RN_TRY(op1(l, RN_EW_ABS, z, &size, e));
	RN_TRY(op1(l, RN_EW_NEG, size, &soft, e));
	RN_TRY(op1(l, RN_EW_EXP, soft, &soft, e));
	RN_TRY(op1(l, RN_EW_LOG1P, soft, &soft, e));
	RN_TRY(op2(l, RN_EW_SUB, size, z, &t, e));
	RN_TRY(op_num(l, RN_EW_MUL, t, 0.5, &t, e));
	RN_TRY(op2(l, RN_EW_ADD, soft, t, &soft, e));
	if (!is_one(&positive)) {
		RN_TRY(op_num(l, RN_EW_SUB, positive, 1, &positive, e));
		RN_TRY(op2(l, RN_EW_MUL, y, positive, &w, e));
		RN_TRY(op_num(l, RN_EW_ADD, w, 1, &w, e));
		RN_TRY(op2(l, RN_EW_MUL, soft, w, &soft, e));
	}
	RN_TRY(op2(l, RN_EW_SUB, rn_elv_num(1), y, &t, e));
	RN_TRY(op2(l, RN_EW_MUL, t, z, &t, e));
	RN_TRY(op2(l, RN_EW_ADD, t, soft, &t, e));
	return binary_mean(l, n, cfg, t, out, e);
}

/* The value without its gradient. */
static int detach(struct rn_elower *l, struct rn_elv *a, struct rn_err *e)
{
	struct rn_val v = l->p->vals[a->val];

	RN_VAL(&a->val, rn_prog_view(l->p, a->val, v.rows, v.rank, v.dim, e));
	l->p->vals[a->val].diff = false;
	return 0;
}

/* max(log p, -100), detached */
static int bounded_log(struct rn_elower *l, struct rn_elv p, struct rn_elv *out, struct rn_err *e)
{
	RN_TRY(op1(l, RN_EW_LOG, p, &p, e));
	RN_TRY(op_num(l, RN_EW_MAX, p, -100, out, e));
	return detach(l, out, e);
}

/* -(y max(log p, -100) + (1 - y) max(log(1 - p), -100)), with PyTorch's derivative
 * (p - y) / max(p (1 - p), 1e-12), which is finite where p is 0 or 1: it is the factor of
 * p - detached p, which is 0. */
RN_LOWER(lower_bce)
{
	struct rn_elv p = a[0], y = a[1], fixed, rest, yes, no, t, slope;

	RN_TRY(check_reduction(l, n, cfg + 1, e));
	RN_TRY(rn_elower_dense(l, &p, e));
	RN_TRY(rn_elower_dense(l, &y, e));
	RN_TRY(same_shape(l, n, &p, &y, e));
	fixed = p;
	RN_TRY(detach(l, &fixed, e));
	RN_TRY(op2(l, RN_EW_SUB, rn_elv_num(1), fixed, &rest, e));
	RN_TRY(bounded_log(l, fixed, &yes, e));
	RN_TRY(bounded_log(l, rest, &no, e));
	RN_TRY(op2(l, RN_EW_MUL, y, yes, &yes, e));
	RN_TRY(op2(l, RN_EW_SUB, rn_elv_num(1), y, &t, e));
	RN_TRY(op2(l, RN_EW_MUL, t, no, &no, e));
	RN_TRY(op2(l, RN_EW_ADD, yes, no, &t, e));
	RN_TRY(op2(l, RN_EW_MUL, fixed, rest, &rest, e));
	RN_TRY(op_num(l, RN_EW_MAX, rest, 1e-12, &rest, e));
	RN_TRY(op2(l, RN_EW_SUB, fixed, y, &slope, e));
	RN_TRY(op2(l, RN_EW_DIV, slope, rest, &slope, e));
	RN_TRY(detach(l, &slope, e));
	RN_TRY(op2(l, RN_EW_SUB, p, fixed, &p, e));
	RN_TRY(op2(l, RN_EW_MUL, slope, p, &p, e));
	RN_TRY(op2(l, RN_EW_SUB, p, t, &t, e));
	return binary_mean(l, n, cfg, t, out, e);
}

/* ---- distances -------------------------------------------------------------------- */

enum { MSE, L1, SMOOTH_L1, HUBER };

/* SmoothL1(beta) is Huber(beta) / beta; |d| and d² / 2 are their limbs. */
RN_LOWER(lower_distance)
{
	struct rn_elv d, size, square, far, near;
	double limit = cfg[1].num;
	int how = n->fn->how;

	RN_TRY(check_reduction(l, n, cfg, e));
	RN_TRY(same_shape(l, n, &a[0], &a[1], e));
	RN_TRY(op2(l, RN_EW_SUB, a[0], a[1], &d, e));
	RN_TRY(rn_elower_dense(l, &d, e));
	RN_TRY(op2(l, RN_EW_MUL, d, d, &square, e));
	if (how == MSE)
		return row_mean(l, cfg, square, out, e);
	RN_TRY(op1(l, RN_EW_ABS, d, &size, e));
	if (how == L1 || (how == SMOOTH_L1 && limit == 0))
		return row_mean(l, cfg, size, out, e);
	if (!(limit > 0))
		return rn_eexpr_fail(l->x, n, e, "%s: %s must be above 0", n->fn->name,
				     how == HUBER ? "delta" : "beta");
	RN_TRY(op_num(l, RN_EW_MUL, square, how == HUBER ? 0.5 : 0.5 / limit, &square, e));
	RN_TRY(op_num(l, RN_EW_SUB, size, 0.5 * limit, &far, e));
	if (how == HUBER)
		RN_TRY(op_num(l, RN_EW_MUL, far, limit, &far, e));
	RN_TRY(op_num(l, how == HUBER ? RN_EW_LE : RN_EW_LT, size, limit, &near, e));
	RN_TRY(choose(l, near, square, far, &d, e));
	return row_mean(l, cfg, d, out, e);
}

/* max(0, margin - y (x1 - x2)) */
RN_LOWER(lower_ranking)
{
	struct rn_elv d;

	RN_TRY(check_reduction(l, n, cfg + 1, e));
	RN_TRY(same_shape(l, n, &a[0], &a[1], e));
	RN_TRY(same_shape(l, n, &a[0], &a[2], e));
	RN_TRY(op2(l, RN_EW_SUB, a[1], a[0], &d, e));
	RN_TRY(op2(l, RN_EW_MUL, d, a[2], &d, e));
	RN_TRY(op_num(l, RN_EW_ADD, d, cfg[0].num, &d, e));
	RN_TRY(op2(l, RN_EW_MAX, rn_elv_num(0), d, &d, e)); /* a tie has no gradient, as there */
	return row_mean(l, cfg + 1, d, out, e);
}

/* ---- the table -------------------------------------------------------------------- */

#define REDUCTION { "reduction", RN_A_STR, false, 0 }
#define COUNTS { "weight", RN_A_NUMS, false, 0 }, { "ignore_index", RN_A_INT, false, 0 }, REDUCTION

static const struct rn_eargdecl
	class_cfg[] = { COUNTS, { "label_smoothing", RN_A_NUM, false, 0 }, { 0 } },
	nll_cfg[] = { COUNTS, { 0 } },
	none_cfg[] = { REDUCTION, { 0 } },
	binary_cfg[] = { { "weight", RN_A_NUMS, false, 0 }, REDUCTION, { 0 } },
	logits_cfg[] = { { "weight", RN_A_NUMS, false, 0 }, REDUCTION,
			 { "pos_weight", RN_A_NUMS, false, 0 }, { 0 } },
	smooth_cfg[] = { REDUCTION, { "beta", RN_A_NUM, false, 1 }, { 0 } },
	huber_cfg[] = { REDUCTION, { "delta", RN_A_NUM, false, 1 }, { 0 } },
	margin_cfg[] = { { "margin", RN_A_NUM, false, 0 }, REDUCTION, { 0 } };

const struct rn_efunc rn_efuncs_loss[] = {
	{ "CrossEntropyLoss", RN_FORM_CURRIED, 2, 2, RN_FN_WEIGHS, class_cfg, 1, lower_class_loss },
	{ "NLLLoss", RN_FORM_CURRIED, 2, 2, RN_FN_WEIGHS, nll_cfg, 0, lower_class_loss },
	{ "BCEWithLogitsLoss", RN_FORM_CURRIED, 2, 2, 0, logits_cfg, 0, lower_bce_logits },
	{ "BCELoss", RN_FORM_CURRIED, 2, 2, 0, binary_cfg, 0, lower_bce },
	{ "MSELoss", RN_FORM_CURRIED, 2, 2, 0, none_cfg, MSE, lower_distance },
	{ "L1Loss", RN_FORM_CURRIED, 2, 2, 0, none_cfg, L1, lower_distance },
	{ "SmoothL1Loss", RN_FORM_CURRIED, 2, 2, 0, smooth_cfg, SMOOTH_L1, lower_distance },
	{ "HuberLoss", RN_FORM_CURRIED, 2, 2, 0, huber_cfg, HUBER, lower_distance },
	{ "MarginRankingLoss", RN_FORM_CURRIED, 3, 3, 0, margin_cfg, 0, lower_ranking },
};
const size_t rn_nefuncs_loss = sizeof rn_efuncs_loss / sizeof *rn_efuncs_loss;
