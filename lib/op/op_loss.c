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
 */
#include "op_table.h"
#include "util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "kind", .type = RN_OPT_CHOICE, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "KIND", .choices = "cross-entropy|bce|mse|l1|value", .help = "which loss" },
	{ .name = "target", .letter = 'y', .type = RN_OPT_STRING, .meta = "COL",
	  .help = "label column (value has none)" },
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

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	const char *kind = rn_node_string(n, "kind");
	bool target = rn_node_string(n, "target");

	(void)learns;
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
};

const struct rn_classes *rn_loss_classes(const void *state)
{
	const struct state *st = state;

	return st && st->has_classes ? &st->classes : NULL;
}

/* The rows with a label. */
static int labelled(const struct rn_column *c, struct state *st, uint64_t *n, struct rn_err *e)
{
	uint32_t *m, k = 0;

	*n = c->rows - c->nulls;
	if (!c->nulls)
		return 0;
	RN_TRY(rn_buf_new(*n * sizeof *m, "a row map", &st->map, e));
	m = st->map->data;
	for (uint64_t i = 0; i < c->rows; i++)
		if (!c->null[i])
			m[k++] = (uint32_t)i;
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
	struct state *st = state;
	uint64_t rows;
	size_t col;

	(void)schema;
	if (rn_loss_kind_of(n) == RN_LOSS_VALUE)
		return rn_op_content(c->team, in[0], NULL, 0, true, out, e);
	RN_TRY(rn_schema_find(&in[0]->schema, rn_node_string(n, "target"), &col, e));
	RN_TRY(labelled(in[0]->cols[col], st, &rows, e));
	return rn_op_content(c->team, in[0], st->map, rows, true, out, e);
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
	if (k == RN_LOSS_CE)
		return bind_codes(out->cols[col], target, schema[0]->parts[part].shape.dim[0], state, e);
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
	if (st->has_classes) {
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
