/* SPDX-License-Identifier: Apache-2.0
 *
 * loss: a scalar per row from prediction (embedding) and label (column), with
 * PyTorch's definitions; a fit averages over the rows.  A row with a NULL label
 * is no row of the loss.
 *
 *   cross-entropy  logits [c], integer, string or bool labels
 *   bce            one logit, labels 0/1 or bool (binary cross-entropy with logits)
 *   mse, l1        one value, a number
 *   value          the embedding is the loss: made by a map, MSELoss()(z, y); no label
 *
 * With --weight a row counts as its class does: its loss times that weight by the mean weight of
 * all rows, so that the mean is PyTorch's, sum w l / sum w.
 */
#include "op_table.h"
#include "util.h"

#include "../base/num.h"
#include "../base/str.h"

#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "kind", .type = RN_OPT_CHOICE, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "KIND", .choices = "cross-entropy|bce|mse|l1|value", .help = "which loss" },
	{ .name = "target", .letter = 'y', .type = RN_OPT_STRING, .meta = "COL",
	  .help = "label column (value has none)" },
	{ .name = "weight", .type = RN_OPT_LIST, .meta = "NUM,...",
	  .help = "cross-entropy: how much each class counts, in the order of the classes" },
	{ .name = "ignore-index", .type = RN_OPT_STRING, .meta = "LABEL",
	  .help = "cross-entropy: leave out the rows with this label" },
	{ .name = "label-smoothing", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0",
	  .help = "cross-entropy: so much of the target is spread over all classes" },
	{ .name = "pos-weight", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "1",
	  .help = "bce: how much a row with the label 1 counts" },
};

static const char *const examples[] = {
	"rn-join logits.er train.er --on id | rn-loss cross-entropy --target label | rn-train -o m.rnm",
	NULL,
};

enum rn_loss_kind rn_loss_kind_of(const struct rn_node *n)
{
	switch (rn_node_string(n, "kind")[0]) {
	case 'c':
		return RN_LOSS_CE;
	case 'b':
		return RN_LOSS_BCE;
	case 'm':
		return RN_LOSS_MSE;
	case 'l':
		return RN_LOSS_L1;
	default:
		return RN_LOSS_VALUE;
	}
}

static bool given(const struct rn_node *n, const char *option)
{
	return json_object_get(n->opt, option);
}

/* Options of other kinds, and numbers that make no loss. */
static int check_options(const struct rn_node *n, struct rn_err *e)
{
	static const char *const names[] = { "weight", "ignore-index", "label-smoothing", "pos-weight" };
	const char *kind = rn_node_string(n, "kind");
	double smooth = rn_node_number(n, "label-smoothing"), positive = rn_node_number(n, "pos-weight");

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *of = i < 3 ? "cross-entropy" : "bce";

		if (given(n, names[i]) && strcmp(kind, of))
			return rn_err_set(e, RN_EUSAGE, "%s is for %s, not %s", names[i], of, kind);
	}
	if (!(smooth >= 0 && smooth <= 1))
		return rn_err_set(e, RN_EUSAGE, "label-smoothing is from 0 to 1");
	if (!rn_is_weight(positive))
		return rn_err_set(e, RN_EUSAGE, "pos-weight is 0 or more, and a number that a float32 holds");
	return 0;
}

/* Weight i; as many as classes, 0 or more. */
static int weight_at(const json_t *list, size_t i, double *out, struct rn_err *e)
{
	const char *text = json_string_value(json_array_get(list, i));

	if (rn_float64_parse(text, strlen(text), out) && rn_is_weight(*out))
		return 0;
	return rn_err_set(e, RN_EUSAGE, "weight wants numbers, 0 or more, not '%s' (in float32)", text);
}

static int check_weights(const struct rn_node *n, uint32_t classes, struct rn_err *e)
{
	const json_t *list = rn_node_json(n, "weight");
	double w;

	for (size_t i = 0; i < json_array_size(list); i++)
		RN_TRY(weight_at(list, i, &w, e));
	if (list && classes != RN_DIM_UNKNOWN && json_array_size(list) != classes)
		return rn_err_set(e, RN_EUSAGE, "weight has %zu numbers and the logits are %u wide",
				  json_array_size(list), classes);
	return 0;
}

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	const char *kind = rn_node_string(n, "kind");
	bool target = rn_node_string(n, "target");

	(void)learns;
	RN_TRY(check_options(n, e));
	RN_TRY(check_weights(n, RN_DIM_UNKNOWN, e));
	if (rn_loss_kind_of(n) != RN_LOSS_VALUE)
		return target ? 0 : rn_err_set(e, RN_EUSAGE, "%s wants a --target column", kind);
	return target ? rn_err_set(e, RN_EUSAGE, "value takes no --target: the embedding is the "
				   "loss already") : 0;
}

/* The embedding [1] of the input is the loss. */
static int infer_value(const struct rn_schema *in, const struct rn_shape *shape,
		       struct rn_schema *out, struct rn_err *e)
{
	static const struct rn_shape one = { 1, { 1 } };
	struct rn_str s = RN_STR_INIT;

	if (shape->rank != 1 || (shape->dim[0] != 1 && shape->dim[0] != RN_DIM_UNKNOWN)) {
		rn_shape_print(shape, &s);
		rn_err_set(e, RN_EUSAGE, "value wants one value a row, shape [1], not an embedding of "
			   "shape %s", s.s);
		rn_str_fini(&s);
		return RN_EUSAGE;
	}
	RN_TRY(rn_op_copy_columns(in, out, e));
	return rn_schema_add_part(out, "loss", &one, false, e);
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	const char *target = rn_node_string(n, "target"), *kind = rn_node_string(n, "kind");
	enum rn_loss_kind k = rn_loss_kind_of(n);
	struct rn_shape one = { 1, { 1 } };
	const struct rn_shape *shape;
	struct rn_str s = RN_STR_INIT;
	enum rn_type t;
	size_t part, col;
	bool fits;
	int rc = 0;

	RN_TRY(rn_schema_find_part(in[0], NULL, &part, e));
	if (!strcmp(in[0]->parts[part].name, "loss"))
		return rn_err_set(e, RN_EUSAGE, "the input is a loss already");
	shape = &in[0]->parts[part].shape;
	if (k == RN_LOSS_VALUE)
		return infer_value(in[0], shape, out, e);
	RN_TRY(rn_schema_find(in[0], target, &col, e));
	t = in[0]->cols[col].type;
	fits = shape->rank == 1 && (shape->dim[0] == RN_DIM_UNKNOWN ||
				    (k == RN_LOSS_CE ? shape->dim[0] >= 2 : shape->dim[0] == 1));
	if (!fits) {
		rn_shape_print(shape, &s);
		rc = rn_err_set(e, RN_EUSAGE, "%s wants %s, not an embedding of shape %s", kind,
				k == RN_LOSS_CE ? "logits of shape [classes], 2 or more" : "one value, shape [1]",
				s.s);
		rn_str_fini(&s);
		return rc;
	}
	if (k == RN_LOSS_CE ? t == RN_FLOAT64 || t == RN_TIMESTAMP :
			      t == RN_STRING || t == RN_TIMESTAMP || (k != RN_LOSS_BCE && t == RN_BOOL))
		return rn_err_set(e, RN_EUSAGE, "%s wants %s labels, and column '%s' is %s", kind,
				  k == RN_LOSS_CE ? "int64, string or bool" :
				  k == RN_LOSS_BCE ? "bool or 0/1" : "number", target, rn_type_name(t));
	if (k == RN_LOSS_CE)
		RN_TRY(check_weights(n, shape->dim[0], e));
	RN_TRY(rn_op_copy_columns(in[0], out, e));
	return rn_schema_add_part(out, "loss", &one, false, e);
}

/* ---- classes ------------------------------------------------------------------ */

void rn_classes_fini(struct rn_classes *c)
{
	rn_column_unref(c->values);
	*c = (struct rn_classes){ 0 };
}

/* Order of two values of one column type. */
static int compare(const struct rn_column *a, uint64_t i, const struct rn_column *b, uint64_t j)
{
	if (a->type == RN_STRING) {
		size_t la = a->off[i + 1] - a->off[i], lb = b->off[j + 1] - b->off[j];
		int d = memcmp(a->bytes + a->off[i], b->bytes + b->off[j], la < lb ? la : lb);

		return d ? d : (la > lb) - (la < lb);
	}
	if (a->type == RN_BOOL)
		return a->b[i] - b->b[j];
	return (a->i64[i] > b->i64[j]) - (a->i64[i] < b->i64[j]);
}

uint32_t rn_classes_code(const struct rn_classes *c, const struct rn_column *labels, uint64_t i)
{
	uint64_t lo = 0, hi;

	if (rn_column_is_null(labels, i))
		return RN_NONE;
	if (c->own)
		return labels->type == RN_INT64 && labels->i64[i] >= 0 && labels->i64[i] < c->n ?
			       (uint32_t)labels->i64[i] : RN_NONE;
	if (labels->type != c->values->type)
		return RN_NONE;
	for (hi = c->values->rows; lo < hi;) {
		uint64_t mid = (lo + hi) / 2;
		int d = compare(c->values, mid, labels, i);

		if (!d)
			return (uint32_t)mid;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return RN_NONE;
}

int rn_classes_column(const struct rn_classes *c, const uint32_t *codes, uint64_t n,
		      struct rn_column **out, struct rn_err *e)
{
	if (!c->own)
		return rn_column_gather(c->values, codes, n, out, e);
	RN_TRY(rn_column_new(RN_INT64, n, out, e));
	for (uint64_t i = 0; i < n; i++)
		(*out)->i64[i] = codes[i];
	return 0;
}

static int by_value(const void *a, const void *b, void *column)
{
	return compare(column, *(const uint32_t *)a, column, *(const uint32_t *)b);
}

/* The distinct labels of a column without NULLs, in order of value. */
static int vocabulary(const struct rn_column *labels, struct rn_column **out, struct rn_err *e)
{
	uint64_t n = labels->rows, k = 0;
	uint32_t *rows;
	int rc;

	RN_TRY(rn_calloc(n, sizeof *rows, "class labels", &rows, e));
	for (uint64_t i = 0; i < n; i++)
		rows[i] = (uint32_t)i;
	if (n > 1)
		qsort_r(rows, n, sizeof *rows, by_value, (void *)labels);
	for (uint64_t i = 0; i < n; i++)
		if (!i || compare(labels, rows[i], labels, rows[k - 1]))
			rows[k++] = rows[i];
	rc = rn_column_gather(labels, rows, k, out, e);
	free(rows);
	return rc;
}

static int make_classes(const struct rn_column *labels, const char *target, uint32_t width,
			struct rn_classes *c, struct rn_err *e)
{
	c->n = width;
	c->own = labels->type == RN_INT64;
	for (uint64_t i = 0; c->own && i < labels->rows; i++)
		c->own = labels->i64[i] >= 0 && labels->i64[i] < width;
	if (c->own)
		return 0;
	RN_TRY(vocabulary(labels, &c->values, e));
	if (c->values->rows > width)
		return rn_err_set(e, RN_EUSAGE,
				  "column '%s' has %" PRIu64 " classes and the logits are %u wide", target,
				  c->values->rows, width);
	return 0;
}

/* ---- the operator ---------------------------------------------------------------- */

struct state {
	struct rn_buf *map; /* rows that have a label; NULL: all */
	struct rn_buf *codes; /* CE: uint32_t[rows] */
	struct rn_buf *values; /* others: float[rows] */
	struct rn_classes classes;
	bool has_classes;
	double scale; /* 1 by the mean weight of the rows */
};

const struct rn_classes *rn_loss_classes(const void *state)
{
	const struct state *st = state;

	return st && st->has_classes ? &st->classes : NULL;
}

/* A label that is written down, as a column of one row. */
static int label_column(const char *text, const char *target, enum rn_type t, struct rn_column **out,
			struct rn_err *e)
{
	bool yes = !strcmp(text, "true") || !strcmp(text, "1");
	size_t n = strlen(text);
	int64_t i = 0;

	if (t == RN_INT64 ? !rn_int64_parse(text, n, &i) :
			    t == RN_BOOL && !yes && strcmp(text, "false") && strcmp(text, "0"))
		return rn_err_set(e, RN_EUSAGE, "ignore-index '%s' is no %s, and column '%s' is", text,
				  rn_type_name(t), target);
	if (t == RN_STRING) {
		RN_TRY(rn_column_new_string(1, n, out, e));
		memcpy((*out)->bytes, text, n);
		(*out)->off[0] = 0;
		(*out)->off[1] = n;
		return 0;
	}
	RN_TRY(rn_column_new(t, 1, out, e));
	if (t == RN_BOOL)
		(*out)->b[0] = yes;
	else
		(*out)->i64[0] = i;
	return 0;
}

/* The rows with a label that counts. */
static int labelled(const struct rn_column *c, const struct rn_column *ignored, struct state *st,
		    uint64_t *n, struct rn_err *e)
{
	uint32_t *m;

	*n = c->rows;
	if (!c->nulls && !ignored)
		return 0;
	*n = 0;
	RN_TRY(rn_buf_new(c->rows * sizeof *m, "a row map", &st->map, e));
	m = st->map->data;
	for (uint64_t i = 0; i < c->rows; i++)
		if (!rn_column_is_null(c, i) && !(ignored && !compare(c, i, ignored, 0)))
			m[(*n)++] = (uint32_t)i;
	return 0;
}

static int bind_codes(const struct rn_column *labels, const char *target, uint32_t width,
		      struct state *st, struct rn_err *e)
{
	uint32_t *codes;

	RN_TRY(make_classes(labels, target, width, &st->classes, e));
	st->has_classes = true;
	RN_TRY(rn_buf_new(labels->rows * sizeof *codes, "class codes", &st->codes, e));
	codes = st->codes->data;
	for (uint64_t i = 0; i < labels->rows; i++)
		codes[i] = rn_classes_code(&st->classes, labels, i);
	return 0;
}

/* The weights of all rows, added up. */
static int sum_weights(const json_t *list, const uint32_t *codes, size_t rows, double *sum,
		       struct rn_err *e)
{
	double *w;
	int rc = 0;

	RN_TRY(rn_calloc(json_array_size(list), sizeof *w, "weights", &w, e));
	for (size_t k = 0; k < json_array_size(list) && !rc; k++)
		rc = weight_at(list, k, &w[k], e);
	*sum = 0;
	for (size_t i = 0; i < rows && !rc; i++)
		*sum += w[codes[i]];
	free(w);
	return rc;
}

/* The rows' weights add up to their number. */
static int bind_scale(const struct rn_node *n, struct state *st, struct rn_err *e)
{
	const json_t *list = rn_node_json(n, "weight");
	const uint32_t *codes = st->codes->data;
	size_t rows = st->codes->size / sizeof *codes;
	double sum;

	st->scale = 1;
	if (!list || !rows)
		return 0;
	RN_TRY(check_weights(n, st->classes.n, e));
	RN_TRY(sum_weights(list, codes, rows, &sum, e));
	if (!(sum > 0))
		return rn_err_set(e, RN_EUSAGE, "weight is 0 for every row");
	if (sum > FLT_MAX)
		return rn_err_set(e, RN_EUSAGE, "the weights of the rows add up to %g, more than a float32 holds: only "
				  "how they compare matters, so divide them all by one number", sum);
	st->scale = (double)rows / sum;
	return 0;
}

static int bind_values(const struct rn_column *labels, const char *target, bool binary,
		       struct state *st, struct rn_err *e)
{
	float *x;

	RN_TRY(rn_buf_new(labels->rows * sizeof *x, "labels", &st->values, e));
	x = st->values->data;
	for (uint64_t i = 0; i < labels->rows; i++) {
		double v = labels->type == RN_FLOAT64 ? labels->f64[i] :
			   labels->type == RN_BOOL ? labels->b[i] : (double)labels->i64[i];

		if (binary && v != 0 && v != 1)
			return rn_err_set(e, RN_EDATA, "bce wants labels 0 and 1, and column '%s' has %g", target, v);
		x[i] = (float)v;
	}
	return 0;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	const char *target = rn_node_string(n, "target"), *text = rn_node_string(n, "ignore-index");
	struct rn_column *ignored = NULL;
	struct state *st = state;
	uint64_t rows;
	size_t col;
	int rc;

	(void)schema;
	if (rn_loss_kind_of(n) == RN_LOSS_VALUE)
		return rn_op_content(c->team, in[0], NULL, 0, true, out, e);
	RN_TRY(rn_schema_find(&in[0]->schema, target, &col, e));
	if (text)
		RN_TRY(label_column(text, target, in[0]->cols[col]->type, &ignored, e));
	rc = labelled(in[0]->cols[col], ignored, st, &rows, e);
	rn_column_unref(ignored);
	return rc ? rc : rn_op_content(c->team, in[0], st->map, rows, true, out, e);
}

/* Codes depend on how wide the logits are. */
static int settle(const struct rn_ctx *c, const struct rn_node *n,
		  const struct rn_schema *const *schema, const struct rn_rel *const *in,
		  const struct rn_rel *out, void *state, struct rn_err *e)
{
	const char *target = rn_node_string(n, "target");
	enum rn_loss_kind k = rn_loss_kind_of(n);
	size_t col, part;

	(void)c, (void)in;
	if (k == RN_LOSS_VALUE)
		return 0;
	RN_TRY(rn_schema_find(&out->schema, target, &col, e));
	RN_TRY(rn_schema_find_part(schema[0], NULL, &part, e));
	if (k == RN_LOSS_CE) {
		RN_TRY(bind_codes(out->cols[col], target, schema[0]->parts[part].shape.dim[0], state, e));
		return bind_scale(n, state, e);
	}
	return bind_values(out->cols[col], target, k == RN_LOSS_BCE, state, e);
}

static int reach(const struct rn_ctx *c, const struct rn_node *n, const void *state,
		 const struct rn_rel *const *in, uint32_t k, const uint8_t *out, uint64_t rows,
		 uint8_t *mark, struct rn_err *e)
{
	(void)c, (void)n, (void)in, (void)k, (void)e;
	rn_op_reach_map(((const struct state *)state)->map, out, rows, mark);
	return 0;
}

/* The chains below stop at the first failure: RN_NONE is passed on. */
static uint32_t f1(struct rn_prog *p, enum rn_ew fn, uint32_t a, struct rn_err *e)
{
	return a == RN_NONE ? a : rn_prog_ew1(p, fn, a, e);
}

static uint32_t f2(struct rn_prog *p, enum rn_ew fn, uint32_t a, uint32_t b, struct rn_err *e)
{
	return a == RN_NONE || b == RN_NONE ? RN_NONE : rn_prog_ew2(p, fn, a, b, e);
}

/* Binary cross-entropy with logits, max(z, 0) - z y + log(1 + exp(-|z|)).  The
 * maximum is (z + |z|) / 2, which is exact and has the derivative 1/2 at 0, so that
 * the gradient there is sigmoid(0) - y. */
static uint32_t bce(struct rn_prog *p, uint32_t z, uint32_t y, struct rn_err *e)
{
	uint32_t abs = f1(p, RN_EW_ABS, z, e);
	uint32_t twice = f2(p, RN_EW_ADD, z, abs, e);
	uint32_t max = twice == RN_NONE ? twice : rn_prog_ew_imm(p, RN_EW_MUL, twice, 0.5, false, e);
	uint32_t linear = f2(p, RN_EW_SUB, max, f2(p, RN_EW_MUL, z, y, e), e);
	uint32_t tail = f1(p, RN_EW_LOG1P, f1(p, RN_EW_EXP, f1(p, RN_EW_NEG, abs, e), e), e);

	return f2(p, RN_EW_ADD, linear, tail, e);
}

/* MSE: (z - y)²; L1: |z - y|. */
static uint32_t elementwise(struct rn_prog *p, enum rn_loss_kind k, uint32_t z, uint32_t y,
			    struct rn_err *e)
{
	uint32_t d;

	if (k == RN_LOSS_BCE)
		return bce(p, z, y, e);
	d = f2(p, RN_EW_SUB, z, y, e);
	return k == RN_LOSS_MSE ? f2(p, RN_EW_MUL, d, d, e) : f1(p, RN_EW_ABS, d, e);
}

/* ---- losses with options: the modules' ---------------------------------------------- */

static bool is_module(const struct rn_node *n)
{
	return given(n, "weight") || given(n, "label-smoothing") || given(n, "pos-weight");
}

/* "1.25 * CrossEntropyLoss(weight=[1, 5], label_smoothing=0.1)(z, [y])" */
static int module_text(const struct rn_node *n, const struct state *st, struct rn_str *s, struct rn_err *e)
{
	const json_t *list = rn_node_json(n, "weight");

	if (!st->has_classes) {
		rn_str_addf(s, "BCEWithLogitsLoss(pos_weight=%.17g)(z, [y])", rn_node_number(n, "pos-weight"));
		return rn_str_check(s, e);
	}
	rn_str_addf(s, "%.17g * CrossEntropyLoss(label_smoothing=%.17g", st->scale,
		    rn_node_number(n, "label-smoothing"));
	for (size_t i = 0; i < json_array_size(list); i++)
		rn_str_addf(s, "%s%s", i ? ", " : ", weight=[", json_string_value(json_array_get(list, i)));
	rn_str_addf(s, "%s)(z, [y])", list ? "]" : "");
	return rn_str_check(s, e);
}

/* The labels as the column y. */
static int label_rel(const struct state *st, uint64_t rows, struct rn_rel **out, struct rn_err *e)
{
	enum rn_type t = st->has_classes ? RN_INT64 : RN_FLOAT64;
	struct rn_column *c;
	int rc;

	RN_TRY(rn_column_new(t, rows, &c, e));
	for (uint64_t i = 0; i < rows; i++)
		if (st->has_classes)
			c->i64[i] = ((const uint32_t *)st->codes->data)[i];
		else
			c->f64[i] = ((const float *)st->values->data)[i];
	rc = rn_rel_new(NULL, rows, out, e);
	if (rc) {
		rn_column_unref(c);
		return rc;
	}
	rc = rn_rel_add_col(*out, "y", NULL, c, e);
	if (rc)
		rn_rel_unref(*out);
	return rc;
}

/* z: the prediction, one row a label. */
static int lower_module(const struct rn_lower *lw, const struct rn_node *n, const struct state *st,
			const struct rn_lpart *z, uint64_t rows, uint32_t *loss, struct rn_err *e)
{
	char name[] = "z";
	struct rn_lpart part = *z, made;
	struct rn_lrel in = { .nparts = 1, .parts = &part };
	struct rn_str text = RN_STR_INIT;
	struct rn_eexpr *x = NULL;
	struct rn_lower_env env;
	struct rn_rel *rel;
	int rc;

	part.name = name;
	RN_TRY(label_rel(st, rows, &rel, e));
	in.rel = rel;
	env = rn_op_env(lw, n, &in);
	RN_GOTO(out, module_text(n, st, &text, e));
	RN_GOTO(out, rn_eexpr_parse(text.s, &x, e));
	RN_GOTO(out, rn_eexpr_lower(x, &env, &made, e));
	*loss = made.val;
out:
	rn_eexpr_free(x);
	rn_str_fini(&text);
	rn_rel_unref(rel);
	return rc;
}

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	const struct state *st = state;
	struct rn_prog *p = lw->prog;
	uint32_t rows = (uint32_t)out->rel->rows, one = 1, z, loss;
	struct rn_lpart seen, part;
	int rc;

	RN_TRY(rn_op_select_part(p, &in[0].parts[0], "loss", st->map, rows, &seen, e));
	rc = rn_lpart_flatten(p, &seen, rows, &part, e);
	free(seen.name);
	if (rc)
		return rc;
	RN_TRY(rn_lpart_dense(p, &part, &z, e));
	if (is_module(n)) {
		part = (struct rn_lpart){ .shape = part.shape, .base_rows = rows, .val = z, .ptr = RN_NONE,
					  .col = RN_NONE, .map = RN_NONE };
		RN_TRY(lower_module(lw, n, st, &part, rows, &loss, e));
	} else if (st->has_classes) {
		struct rn_inst ce = rn_inst_init(RN_P_CE);

		ce.nin = 1;
		ce.in[0].val = z;
		ce.idx[0] = rn_prog_idx(p, rn_buf_ref(st->codes), rows, e);
		if (ce.idx[0] == RN_NONE)
			return RN_ENOMEM;
		loss = rn_prog_add(p, &ce, rows, 1, &one, e);
	} else if (rn_loss_kind_of(n) == RN_LOSS_VALUE) {
		loss = z;
	} else {
		uint32_t y = rn_prog_const(p, rows, 1, &one, rn_buf_ref(st->values), e);

		loss = elementwise(p, rn_loss_kind_of(n), z, y, e);
	}
	if (loss == RN_NONE)
		return e && e->code ? e->code : RN_ENOMEM;
	part = (struct rn_lpart){ .shape = { 1, { 1 } }, .base_rows = rows, .val = loss,
				  .ptr = RN_NONE, .col = RN_NONE, .map = RN_NONE };
	return rn_op_sole_part(out, "loss", &part, e);
}

static void close_state(void *state)
{
	struct state *st = state;

	rn_buf_unref(st->map);
	rn_buf_unref(st->codes);
	rn_buf_unref(st->values);
	rn_classes_fini(&st->classes);
}

const struct rn_op rn_op_loss = {
	.name = "loss",
	.what = "make a loss from prediction and label",
	.usage = "KIND [--target COL] [FILE]",
	.examples = examples,
	.see_also = "rn-train(1), rn-join(1)",
	.flags = RN_OP_SINK,
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(opts),
	.state_size = sizeof(struct state),
	.check = check,
	.infer = infer,
	.bind = bind,
	.reach = reach,
	.settle = settle,
	.lower = lower,
	.close = close_state,
};
