/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of cases: an operator, options, inputs; and where they are cheap to
 * write down, the values that must come out.
 */
#include "ops.h"

#include <string.h>

/* ---- what filters keep ------------------------------------------------------------------- */

static bool truth(const struct rn_rel *r, const char *col, uint64_t i, double *x)
{
	const struct rn_column *c = col_of(r, col);

	if (rn_column_is_null(c, i))
		return false;
	*x = c->type == RN_FLOAT64 ? c->f64[i] : c->type == RN_BOOL ? c->b[i] : (double)c->i64[i];
	return true;
}

static bool keep_positive(const struct rn_rel *r, uint64_t i)
{
	const struct rn_column *s = col_of(r, "s");
	double x;

	return truth(r, "i", i, &x) && x > 0 && !rn_column_is_null(s, i) &&
	       !(s->off[i + 1] - s->off[i] == 1 && s->bytes[s->off[i]] == 'a');
}

static bool keep_null(const struct rn_rel *r, uint64_t i)
{
	double x;

	return !truth(r, "f", i, &x) || (truth(r, "b", i, &x) && x != 0);
}

static bool keep_j(const struct rn_rel *r, uint64_t i)
{
	double x;

	return truth(r, "j", i, &x) && x != 0;
}

static bool keep_none(const struct rn_rel *r, uint64_t i)
{
	(void)r, (void)i;
	return false;
}

static bool keep_label(const struct rn_rel *r, uint64_t i)
{
	return !rn_column_is_null(col_of(r, "y"), i);
}

static bool keep_not_one(const struct rn_rel *r, uint64_t i)
{
	double x;

	return truth(r, "y", i, &x) && x != 1;
}

/* f of the left row is less than f of the right one. */
static bool pair_less(const struct rn_rel *l, uint64_t i, const struct rn_rel *r, uint64_t j)
{
	double x, y;

	return truth(l, "f", i, &x) && truth(r, "f", j, &y) && x < y;
}

/* ---- embeddings -------------------------------------------------------------------------- */

/* Feature f of part k of input i in the row that the output row is made of. */
static double at(const struct trial *t, const uint32_t *rows, uint32_t i, size_t k, uint32_t f)
{
	uint32_t w = rn_shape_width(&t->in[i]->schema.parts[k].shape);

	return rows[i] == RN_NO_ROW ? 0 : t->flat[i][k][(size_t)rows[i] * w + f];
}

static uint32_t width(const struct trial *t, uint32_t i, size_t k)
{
	return rn_shape_width(&t->in[i]->schema.parts[k].shape);
}

static double number(const struct trial *t, const uint32_t *rows, const char *col)
{
	double x;

	return rows[0] != RN_NO_ROW && truth(t->in[0], col, rows[0], &x) ? x : 0;
}

static void emb_z(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		out[f] = at(t, rows, 0, 0, f);
}

static void emb_zero(const struct trial *t, const uint32_t *rows, double *out)
{
	(void)rows;
	memset(out, 0, width(t, 0, 0) * sizeof *out);
}

static void emb_twice(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		out[f] = 2 * at(t, rows, 0, 0, f);
}

static void emb_tanh(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		out[f] = 2 * tanh(at(t, rows, 0, 0, f)) - 1;
}

static void emb_relu(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		out[f] = fmax(at(t, rows, 0, 0, f), 0);
}

static void emb_normal(const struct trial *t, const uint32_t *rows, double *out)
{
	double sum = 0;

	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		sum += at(t, rows, 0, 0, f);
	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		out[f] = at(t, rows, 0, 0, f) / fmin(fmax(sum, 1), 1e9);
}

static void emb_softmax(const struct trial *t, const uint32_t *rows, double *out)
{
	double sum = 0;

	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		sum += out[f] = exp(at(t, rows, 0, 0, f));
	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		out[f] /= sum;
}

static void emb_times_f(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		out[f] = number(t, rows, "f") * at(t, rows, 0, 0, f);
}

static void emb_concat(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		*out++ = at(t, rows, 0, 0, f);
	for (uint32_t f = 0; f < width(t, 0, 1); f++)
		*out++ = at(t, rows, 0, 1, f);
}

static void emb_transpose(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t j = 0; j < 2; j++)
			*out++ = at(t, rows, 0, 0, j * 3 + i);
}

static void emb_gram(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t i = 0; i < 2; i++)
		for (uint32_t j = 0; j < 2; j++, out++) {
			*out = 0;
			for (uint32_t k = 0; k < 3; k++)
				*out += at(t, rows, 0, 0, i * 3 + k) * at(t, rows, 0, 0, j * 3 + k);
		}
}

/* The output width is the number of the weights over the input's width. */
static void affine(const struct trial *t, const uint32_t *rows, uint32_t input, bool bias,
		   double *out)
{
	const float *w = trial_param(t, "weight"), *b = bias ? trial_param(t, "bias") : NULL;
	uint32_t in = width(t, input, 0);
	size_t n = t->params.items[rn_params_find(&t->params, "n.weight")].count / in;

	for (size_t j = 0; j < n; j++) {
		out[j] = b ? (double)b[j] : 0;
		for (uint32_t f = 0; f < in; f++)
			out[j] += at(t, rows, input, 0, f) * (double)w[f * n + j];
	}
}

/* The row of a table by value that holds the row's value of column k. */
static uint64_t value_row(const struct trial *t, const char *name, uint64_t row)
{
	const struct rn_param *p = &t->params.items[rn_params_find(&t->params, name)];
	uint64_t v = 0;

	while (!cell_equal(p->keys->cols[0], v, col_of(t->in[0], "k"), row))
		v++;
	return v;
}

static void emb_per(const struct trial *t, const uint32_t *rows, double *out)
{
	const float *w = trial_param(t, "weight"), *b = trial_param(t, "bias");
	uint32_t in = width(t, 0, 0);

	w += value_row(t, "n.weight", rows[0]) * in * 3;
	for (size_t j = 0; j < 3; j++) {
		out[j] = (double)b[j];
		for (uint32_t f = 0; f < in; f++)
			out[j] += at(t, rows, 0, 0, f) * (double)w[f * 3 + j];
	}
}

/* Two matrices of a basis. */
static void emb_bases(const struct trial *t, const uint32_t *rows, double *out)
{
	const float *basis = trial_param(t, "basis"), *c = trial_param(t, "coef");
	uint32_t in = width(t, 0, 0);

	c += value_row(t, "n.coef", rows[0]) * 2;
	for (size_t j = 0; j < 3; j++) {
		out[j] = 0;
		for (uint32_t f = 0; f < 2 * in; f++)
			out[j] += at(t, rows, 0, 0, f % in) * (double)c[f / in] * (double)basis[f * 3 + j];
	}
}

static void emb_linear(const struct trial *t, const uint32_t *rows, double *out)
{
	affine(t, rows, 0, true, out);
}

static void emb_linear_plain(const struct trial *t, const uint32_t *rows, double *out)
{
	affine(t, rows, 0, false, out);
}

static void emb_layer_norm(const struct trial *t, const uint32_t *rows, double *out)
{
	const float *w = trial_param(t, "weight"), *b = trial_param(t, "bias");
	double mean = 0, var = 0;

	for (uint32_t f = 0; f < 4; f++)
		mean += at(t, rows, 0, 0, f) / 4;
	for (uint32_t f = 0; f < 4; f++)
		var += pow(at(t, rows, 0, 0, f) - mean, 2) / 4;
	for (uint32_t f = 0; f < 4; f++)
		out[f] =
		    (at(t, rows, 0, 0, f) - mean) / sqrt(var + 1e-5) * (double)w[f] + (double)b[f];
}

/* Two inputs, or two parts of one. */
static void emb_product(const struct trial *t, const uint32_t *rows, double *out)
{
	bool one = t->in[0]->schema.nparts == 2;

	for (uint32_t f = 0; f < 3; f++)
		out[f] = at(t, rows, 0, 0, 0) * (one ? at(t, rows, 0, 1, f) : at(t, rows, 1, 0, f));
}

static void emb_plus(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t f = 0; f < 3; f++)
		out[f] = at(t, rows, 0, 0, 0) + at(t, rows, 0, 1, f);
}

static void emb_sum_relu(const struct trial *t, const uint32_t *rows, double *out)
{
	for (uint32_t f = 0; f < 3; f++)
		out[f] = at(t, rows, 0, 0, f) + fmax(at(t, rows, 1, 0, f), 0);
}

static void emb_weighted_dot(const struct trial *t, const uint32_t *rows, double *out)
{
	double dot = 0;

	for (uint32_t f = 0; f < 3; f++)
		dot += at(t, rows, 0, 0, f) * at(t, rows, 0, 1, f);
	for (uint32_t f = 0; f < 3; f++)
		out[f] = dot * at(t, rows, 0, 0, f);
}

static void emb_raw(const struct trial *t, const uint32_t *rows, double *out)
{
	out[0] = number(t, rows, "f");
	out[1] = number(t, rows, "i");
	out[2] = number(t, rows, "b");
	out[3] = number(t, rows, "t") * 1e-6;
}

static void one_hot(const struct trial *t, const uint32_t *rows, uint32_t n, double *out)
{
	double x;

	memset(out, 0, n * sizeof *out);
	if (truth(t->in[0], "n", rows[0], &x))
		out[(uint32_t)x] = 1;
}

static void emb_index(const struct trial *t, const uint32_t *rows, double *out)
{
	one_hot(t, rows, 5, out);
}

static void emb_mixed(const struct trial *t, const uint32_t *rows, double *out)
{
	out[0] = number(t, rows, "f");
	one_hot(t, rows, 6, out + 1);
	out[7] = number(t, rows, "b");
}

/* ---- losses ------------------------------------------------------------------------------ */

static double cross_entropy(const struct trial *t, const uint32_t *rows, uint32_t label)
{
	double sum = 0;

	for (uint32_t f = 0; f < width(t, 0, 0); f++)
		sum += exp(at(t, rows, 0, 0, f));
	return log(sum) - at(t, rows, 0, 0, label);
}

static void emb_ce(const struct trial *t, const uint32_t *rows, double *out)
{
	*out = cross_entropy(t, rows, (uint32_t)number(t, rows, "y"));
}

/* weight=[1, 2, 0.5], label_smoothing=0.1 */
static const double class_weight[3] = { 1, 2, 0.5 };

static double weighted_entropy(const struct trial *t, const uint32_t *rows, uint32_t label)
{
	double sum = 0;

	for (uint32_t c = 0; c < 3; c++)
		sum += class_weight[c] * cross_entropy(t, rows, c);
	return 0.9 * class_weight[label] * cross_entropy(t, rows, label) + 0.1 / 3 * sum;
}

/* The rows that are kept and share column `by` (NULL: all) with the row, by the sum of their weights. */
static double share_of(const struct trial *t, const uint32_t *rows, bool (*keep)(const struct rn_rel *, uint64_t),
		       const char *by)
{
	const struct rn_column *k = by ? col_of(t->in[0], by) : NULL;
	double n = 0, sum = 0, y;

	for (uint64_t i = 0; i < t->in[0]->rows; i++) {
		if (k && k->i64[i] != k->i64[rows[0]])
			continue;
		if (keep && !keep(t->in[0], i))
			continue;
		n++;
		sum += class_weight[truth(t->in[0], "y", i, &y) ? (uint32_t)y : 0];
	}
	return n / sum;
}

static void emb_ce_weighted(const struct trial *t, const uint32_t *rows, double *out)
{
	*out = weighted_entropy(t, rows, (uint32_t)number(t, rows, "y")) * share_of(t, rows, keep_not_one, NULL);
}

static void emb_ce_shared(const struct trial *t, const uint32_t *rows, double *out)
{
	*out = weighted_entropy(t, rows, (uint32_t)number(t, rows, "y")) * share_of(t, rows, NULL, "j");
}

static void emb_bce_positive(const struct trial *t, const uint32_t *rows, double *out)
{
	double z = at(t, rows, 0, 0, 0), p = 1 / (1 + exp(-z)), y = number(t, rows, "y");

	*out = -(3 * y * log(p) + (1 - y) * log(1 - p));
}

/* Labels that are not their own code: the number of smaller ones that there are. */
static void emb_ce_vocabulary(const struct trial *t, const uint32_t *rows, double *out)
{
	const struct rn_column *y = col_of(t->in[0], "y");
	double own = number(t, rows, "y");
	uint32_t code = 0;

	for (int v = -2; v < own; v++)
		for (uint64_t i = 0; i < y->rows; i++)
			if (!rn_column_is_null(y, i) && y->i64[i] == v) {
				code++;
				break;
			}
	for (uint64_t i = 0; i < y->rows; i++)
		if (!rn_column_is_null(y, i) && y->i64[i] < 0) {
			*out = cross_entropy(t, rows, code);
			return;
		}
	*out = cross_entropy(t, rows, (uint32_t)own); /* all in 0 … 4 */
}

static void emb_bce(const struct trial *t, const uint32_t *rows, double *out)
{
	double z = at(t, rows, 0, 0, 0), p = 1 / (1 + exp(-z)), y = number(t, rows, "y");

	*out = -(y * log(p) + (1 - y) * log(1 - p));
}

static void emb_mse(const struct trial *t, const uint32_t *rows, double *out)
{
	*out = pow(at(t, rows, 0, 0, 0) - number(t, rows, "y"), 2);
}

static void emb_l1(const struct trial *t, const uint32_t *rows, double *out)
{
	*out = fabs(at(t, rows, 0, 0, 0) - number(t, rows, "y"));
}

/* ---- the table --------------------------------------------------------------------------- */

#define IN(...) .in = { __VA_ARGS__ }
#define MAP(text, ...) "map", text, "{\"expr\": \"" text "\"}", IN(__VA_ARGS__)

const struct op_case op_cases[] = {
	{ "filter", "comparison", "{\"expr\": \"i > 0 and s <> 'a'\"}", IN("r(u:u i:i s:s; z:3)"),
	  .keep = keep_positive },
	{ "filter", "NULLs, sparse part", "{\"expr\": \"f is null or b\"}",
	  IN("r(f:f b:b t:t; z:s5)"), .keep = keep_null },
	{ "filter", "several parts", "{\"expr\": \"j <> 0\"}", IN("r(q.j:j; p:2 q:2x2 s:s4)"),
	  .keep = keep_j },
	{ "filter", "nothing left, no part", "{\"expr\": \"i > 100\"}", IN("r(i:i)"),
	  .keep = keep_none },

	{ "project", "rename and compute",
	  "{\"cols\": {\"a\": \"i\", \"u\": \"u\", \"c\": \"i + 1\", \"s\": \"s\"}}",
	  IN("r(u:u i:i s:s; z:3)") },
	{ "project", "swap", "{\"cols\": {\"i\": \"f\", \"f\": \"i\"}}",
	  IN("r(q.i:i q.f:f; p:s4 q:2)") },
	{ "project", "no embedding", "{\"cols\": [\"t\", \"b\"], \"embedding\": false}",
	  IN("r(b:b t:t; z:3)") },

	{ "join", "inner", "{\"on\": \"k\"}", IN("l(k:i s:s; z:2)", "r(k:i f:f; z:3)") },
	{ "join", "inner on an int64 and a float64", "{\"on\": {\"k\": \"f\", \"s\": \"s2\"}}",
	  IN("l(k:i s:s; z:2)", "r(f:f s2:s b:b; z:s4)") },
	{ "join", "left", "{\"on\": {\"k\": \"k2\"}, \"how\": \"left\"}",
	  IN("l(k:i s:s; z:s3)", "r(k2:i s:s t:t; p:2 q:2x2)") },
	{ "join", "semi", "{\"on\": \"k\", \"how\": \"semi\"}",
	  IN("l(u:u k:i s:s; z:2)", "r(k:i; z:3)") },
	{ "join", "anti", "{\"on\": \"k\", \"how\": \"anti\"}",
	  IN("l(u:u k:i s:s; p:2 q:s4)", "r(k:i)") },
	{ "join", "semi with an expression",
	  "{\"on\": \"k\", \"how\": \"semi\", \"expr\": \"z * 2\"}",
	  IN("l(u:u k:i; z:2)", "r(k:i)"), .emb = emb_twice },
	{ "join", "full", "{\"on\": {\"k\": \"k2\", \"s\": \"s\"}, \"how\": \"full\"}",
	  IN("l(f:f k:i s:s; z:2)", "r(s:s k2:i t:t; p:s3 q:2x2)") },
	{ "join", "full with an expression",
	  "{\"on\": \"k\", \"how\": \"full\", \"expr\": \"h + relu(a)\"}",
	  IN("h(k:s; z:3)", "a(k:s; z:3)"), .emb = emb_sum_relu },
	{ "join", "inner with a condition", "{\"on\": \"k\", \"and\": \"l.f < r.f\"}",
	  IN("l(k:i f:f; z:2)", "r(k:i f:f; z:3)"), .pair = pair_less },
	{ "join", "left with a condition",
	  "{\"on\": \"k\", \"and\": \"l.f < r.f and l.k = r.k\", \"how\": \"left\"}",
	  IN("l(k:b f:f; z:2)", "r(k:b f:f; z:3)"), .pair = pair_less },
	{ "join", "full with a condition",
	  "{\"on\": \"k\", \"and\": \"l.f < r.f\", \"how\": \"full\"}",
	  IN("l(k:i f:f; z:2)", "r(k:i f:f; z:3)"), .pair = pair_less },
	{ "join", "semi with a condition only", "{\"and\": \"r.f > l.f\", \"how\": \"semi\"}",
	  IN("l(u:u f:f; z:2)", "r(k:i f:f)"), .pair = pair_less },
	{ "join", "anti with a condition",
	  "{\"on\": \"k\", \"and\": \"l.f < r.f\", \"how\": \"anti\"}",
	  IN("l(u:u k:i f:f; z:2)", "r(k:i f:f)"), .pair = pair_less },
	{ "join", "as of", "{\"on\": \"k\", \"asof\": \"t\"}",
	  IN("l(k:i t:t; z:2)", "r(k:i s:s t:t; z:3)") },
	{ "join", "as of, left, or equal",
	  "{\"on\": \"k\", \"asof\": {\"f\": \"i\"}, \"asof-equal\": true, \"how\": \"left\"}",
	  IN("l(k:s f:f; z:s4)", "r(k:s i:i; z:3)") },
	{ "join", "natural", "{\"natural\": true}", IN("l(k:i s:s; z:2)", "r(b:b s:s k:i)") },
	{ "join", "three inputs", "{\"on\": \"k\"}",
	  IN("l(k:i s:s; z:2)", "r(k:i s:s; z:3)", "m(k:i s:s; z:s4)") },
	{ "join", "three inputs, left", "{\"on\": \"k\", \"how\": \"left\"}",
	  IN("l(k:i; z:2)", "r(k:i f:f; z:3)", "m(k:i s:s; z:1)") },
	{ "join", "expression", "{\"on\": \"k\", \"expr\": \"a * h\"}",
	  IN("a(k:i; z:1)", "h(k:i; z:3)"), .emb = emb_product },
	{ "join", "expression over missing rows",
	  "{\"on\": \"k\", \"how\": \"left\", \"expr\": \"h + relu(a)\"}",
	  IN("h(k:i; z:3)", "a(k:i; z:3)"), .emb = emb_sum_relu },
	{ "join", "expression with parameters",
	  "{\"on\": \"k\", \"expr\": \"Linear(3, 2)(h) * a\"}", IN("h(k:i; z:3)", "a(k:i; z:1)") },

	{ "agg", "content",
	  "{\"by\": \"s\", \"cols\": {\"n\": \"count(*)\", \"ni\": \"count(i)\", \"sum\": "
	  "\"sum(i)\", "
	  "\"sumf\": \"sum(f)\", \"avg\": \"avg(f)\", \"lo\": \"min(f)\", \"hi\": \"max(t)\"}}",
	  IN("r(s:s i:i f:f t:t; z:3)") },
	{ "agg", "more content",
	  "{\"by\": \"k\", \"cols\": {\"d\": \"count(distinct s)\", \"a\": \"first(s)\", \"z\": \"last(i)\", "
	  "\"fb\": \"first(s by f)\", \"lb\": \"last(t by i)\", \"med\": \"median(f)\", \"v\": \"var(f)\"}}",
	  IN("r(k:b s:s i:i f:f t:t; z:3)") },
	{ "agg", "one group", "{\"expr\": \"sum(z)\", \"cols\": {\"n\": \"count(*)\"}}",
	  IN("r(k:i; z:3)"), .emb = emb_z },
	{ "agg", "distinct", "{\"by\": [\"k\", \"b\"]}", IN("r(q.k:i b:b; z:3)") },
	{ "agg", "sum", "{\"expr\": \"sum(z)\", \"by\": \"k\"}", IN("r(k:i; z:3)"), .emb = emb_z },
	{ "agg", "mean", "{\"expr\": \"mean(z)\", \"by\": \"k\"}", IN("r(k:f; z:2x2)"),
	  .emb = emb_z },
	{ "agg", "max", "{\"expr\": \"max(z)\", \"by\": \"k\"}", IN("r(k:b; z:3)"), .emb = emb_z },
	{ "agg", "min", "{\"expr\": \"min(z)\", \"by\": \"k\"}", IN("r(k:s; z:3)"), .emb = emb_z },
	{ "agg", "sum of sparse rows", "{\"expr\": \"sum(z)\", \"by\": \"k\"}", IN("r(k:i; z:s5)"),
	  .emb = emb_z },
	{ "agg", "mean of sparse rows", "{\"expr\": \"mean(z * 2)\", \"by\": \"k\"}",
	  IN("r(k:i; z:s5)"), .emb = emb_twice },
	{ "agg", "max of sparse rows", "{\"expr\": \"max(z)\", \"by\": \"k\"}", IN("r(k:i; z:s5)"),
	  .emb = emb_z },
	{ "agg", "sum of zeros", "{\"expr\": \"sum(0 * z)\", \"by\": \"k\"}", IN("r(k:i; z:3)"),
	  .emb = emb_zero },
	{ "agg", "sum of encoders", "{\"expr\": \"sum([Index(5)(n)])\", \"by\": \"k\"}", IN("r(k:i n:n)"),
	  .emb = emb_index },
	{ "agg", "sum with a column", "{\"expr\": \"sum([f] * z)\", \"by\": \"k\"}",
	  IN("r(k:i f:f; z:3)"), .emb = emb_times_f },
	{ "agg", "weighted sum", "{\"expr\": \"sum(a * h)\", \"by\": \"k\"}", IN("r(k:i; a:1 h:3)"),
	  .emb = emb_product },
	{ "agg", "sum of sums", "{\"expr\": \"sum(a + h)\", \"by\": \"k\"}", IN("r(k:i; a:1 h:3)"),
	  .emb = emb_plus },
	{ "agg", "sum weighted by dot products",
	  "{\"expr\": \"sum(dot(p, q) * p)\", \"by\": \"k\"}", IN("r(k:i; p:3 q:3)"),
	  .emb = emb_weighted_dot },
	{ "agg", "mean of rows that count differently",
	  "{\"expr\": \"mean(CrossEntropyLoss(weight=[1, 2, 0.5], label_smoothing=0.1)(z, [y]))\", \"by\": \"j\"}",
	  IN("r(j:j y:c; z:3)"), .emb = emb_ce_shared },
	{ "agg", "mean of known classes by given keys",
	  "{\"expr\": \"mean(0.5 * CrossEntropyLoss(weight=[1, 2, 3, 4, 5], ignore_index=-1)(z, [n]))\", \"by\": \"k\"}",
	  IN("r(k:i n:n; z:5)", "--keys g(k:i s:s)") },
	{ "agg", "softmax over a group", "{\"expr\": \"sum(softmax(a) * h)\", \"by\": \"k\"}",
	  IN("r(k:i; a:1 h:3)") },
	{ "agg", "softmax over rows that share a column",
	  "{\"expr\": \"sum(softmax(a; s) * h)\", \"by\": \"k\"}", IN("r(k:i s:s; a:2 h:2)") },
	{ "agg", "with parameters", "{\"expr\": \"sum(Linear(3, 2)(z))\", \"by\": \"k\"}",
	  IN("r(k:i; z:3)"), .emb = emb_linear },
	{ "agg", "given keys",
	  "{\"expr\": \"sum(z)\", \"by\": [\"k\"], \"cols\": {\"n\": \"count(*)\", \"m\": "
	  "\"max(s)\"}}",
	  IN("r(k:i s:s; z:3)", "--keys g(k:i s:s)"), .emb = emb_z },
	{ "agg", "mean by given keys of another type", "{\"expr\": \"mean(z)\", \"by\": [\"k\"]}",
	  IN("r(k:f; z:3)", "--keys g(s:s k:i; z:2)"), .emb = emb_z },
	{ "agg", "max by given keys", "{\"expr\": \"max(relu(z))\", \"by\": [\"k\", \"s\"]}",
	  IN("r(k:i s:s; z:3)", "--keys g(s:s k:i)"), .emb = emb_relu },

	{ "union", "one input", NULL, IN("r(k:i s:s; z:3)") },
	{ "union", "columns in another order", NULL, IN("r(k:i s:s; z:3)", "q(s:s k:i; y:3)") },
	{ "union", "sparse parts", NULL, IN("r(k:f; z:s4)", "q(k:f; z:s4)", "p(k:f; z:s4)") },
	{ "union", "sparse and dense", NULL, IN("r(b:b; z:s4)", "q(b:b; z:4)") },
	{ "union", "no part", NULL, IN("r(t:t s:s)", "q(t:t s:s)") },

	{ "sort", "a column", "{\"by\": \"k\"}", IN("r(u:u k:i; z:3)") },
	{ "sort", "strings, falling, and an expression",
	  "{\"by\": [\"s desc\", \"- f asc\", \"b\"]}", IN("r(s:s f:f b:b; p:s4 q:2x2)") },
	{ "sort", "no part", "{\"by\": [\"t desc\", \"q.k\"]}", IN("r(q.k:i t:t s:s)") },

	{ MAP("tanh(z) * 2 - 1", "r(u:u k:i; z:4)"), .emb = emb_tanh },
	{ MAP("relu(z)", "r(k:i; z:2x3)"), .emb = emb_relu },
	{ MAP("z / clamp(rowsum(z), 1, 1e9)", "r(k:i; z:4)"), .emb = emb_normal },
	{ MAP("Softmax(z)", "r(k:i; z:4)"), .emb = emb_softmax },
	{ MAP("LogSoftmax(z) * z", "r(k:i; z:4)") },
	{ MAP("[f] * z", "r(f:f; z:4)"), .emb = emb_times_f },
	{ MAP("Concat(p, q)", "r(k:i; p:2 q:3)"), .emb = emb_concat },
	{ MAP("transpose(z)", "r(k:i; z:2x3)"), .emb = emb_transpose },
	{ MAP("z @ transpose(z)", "r(k:i; z:2x3)"), .emb = emb_gram },
	{ MAP("view(3, 2)(z) @ slice(0, 2)(w)", "r(k:i; z:2x3 w:4)") },
	{ MAP("Linear(4, 3)(z)", "r(k:i; z:4)"), .emb = emb_linear },
	{ MAP("Linear(3, 2)(z)", "r(k:i; z:2x3)") },
	{ MAP("Linear(5, 3)(z)", "r(k:i; z:s5)"), .emb = emb_linear },
	{ MAP("relu(z) * 2", "r(k:i; z:s5)") },
	{ MAP("z / clamp(rowsum(z), 1, 1e9)", "r(k:i; z:s5)"), .emb = emb_normal },
	{ MAP("z + 1", "r(k:i; z:s5)") },
	{ MAP("[f] * z * w", "r(f:f; z:s5 w:5)") },
	{ MAP("LayerNorm(4)(z)", "r(k:i; z:4)"), .emb = emb_layer_norm },
	{ MAP("Dropout(0.5)(z) * z", "r(k:i; z:4)") },
	{ MAP("Dropout(0.3)(z)", "r(k:i; z:s5)"), .emb = emb_z },
	{ MAP("Bilinear(2, 3, 2)(p, q)", "r(k:i; p:2 q:3)") },
	{ MAP("Tensor(2, 3) * z + Tensor(2, name='t')", "r(k:i; z:2x3)") },
	{ MAP("Embedding(5, 3)([n]) * z", "r(n:n; z:3)") },
	{ MAP("Embedding(5, 3, padding_idx=-2)([n]) * z", "r(n:n; z:3)") },
	{ MAP("[index(5)(n), null(f)] * 2", "r(n:n f:f)") },
	{ MAP("Linear(9, 2)([text(4)(s), cyclic(t, hour), numeric(f, scale=none, null=true), b])",
	      "r(s:s t:t f:f b:b)") },
	{ MAP("log(z) + sqrt(z) - 1 / z + log1p(z)", "r(k:i; z:+4)") },
	{ MAP("pow(z, 2) + pow(z, w) + pow(2, w)", "r(k:i; z:+4 w:+4)") },
	{ MAP("exp(z) + sigmoid(z) * erf(z) + abs(z) - sign(z) + round(z)", "r(k:i; z:4)") },
	{ MAP("GELU(z) + SiLU(z) - Softplus(z) + ELU(z) * LeakyReLU(z) + -z", "r(k:i; z:4)") },
	{ MAP("minimum(z, w) * maximum(z, 2 * w) + (z > w) * z - (z <= 0.5)", "r(k:i; z:4 w:4)") },
	{ MAP("rowmax(z) * rowmean(z) + dot(z, z) + ArgMax(z)", "r(k:i; z:4)") },

	{ MAP("CrossEntropyLoss()(z, [n])", "r(n:n; z:5)") },
	{ MAP("CrossEntropyLoss(label_smoothing=0.1)(z, Softmax(w)) + NLLLoss()(LogSoftmax(z), relu([n]))",
	      "r(n:n; z:5 w:5)") },
	{ MAP("CrossEntropyLoss(weight=[1, 2, 0, 4, 5], ignore_index=3)(z, [n])", "r(n:n; z:5)") },
	{ MAP("CrossEntropyLoss(weight=[1, 2, 0, 4, 5], ignore_index=3, label_smoothing=0.1)(z, [n])",
	      "r(n:n; z:5)") },
	{ MAP("CrossEntropyLoss(weight=[1, 2, 0, 4, 5], label_smoothing=0.1)(z, Softmax(w)) + "
	      "NLLLoss([1, 2, 3, 4, 5], ignore_index=0)(LogSoftmax(z), relu([n]))", "r(n:n; z:5 w:5)") },
	{ MAP("BCEWithLogitsLoss(pos_weight=2)(z, sigmoid(w)) + BCELoss()(sigmoid(w), sigmoid(z))",
	      "r(k:i; z:3 w:3)") },
	{ MAP("BCEWithLogitsLoss([1, 0, 2], pos_weight=[2, 1, 0.5])(z, sigmoid(w)) + "
	      "BCELoss(weight=[3, 1, 0])(sigmoid(w), sigmoid(z)) + BCELoss(2)(sigmoid(z), sigmoid(w))",
	      "r(k:i; z:3 w:3)") },
	{ MAP("SmoothL1Loss(beta=0.5)(z, w) + HuberLoss(delta=0.5)(z, w) + MSELoss()(z, w) * L1Loss()(z, w)",
	      "r(k:i; z:3 w:3)") },
	{ MAP("MarginRankingLoss(margin=0.2)(z, w, sign(v))", "r(k:i; z:1 w:1 v:1)") },

	{ MAP("Concat(0 * z, z * 0 + w, 0 * tanh(z) + [f])", "r(f:f; z:3 w:3)") },
	{ MAP("0 * z", "r(k:i; z:s5)"), .emb = emb_zero },
	{ MAP("0 * z", "r(k:i; z:2x3)"), .emb = emb_zero },

	{ "linear", "with a bias", "{\"out\": 3}", IN("r(u:u k:i; z:4)"), .emb = emb_linear },
	{ "linear", "without", "{\"out\": 2, \"bias\": false, \"init\": \"glorot\"}",
	  IN("r(k:i; z:4)"), .emb = emb_linear_plain },
	{ "linear", "wide", "{\"out\": 37}", IN("r(k:i; z:65)"), .emb = emb_linear },
	{ "linear", "sparse rows", "{\"out\": 3}", IN("r(k:i; z:s6)"), .emb = emb_linear },

	{ MAP("Linear(4, 3, per=k)(z)", "r(k:i; z:4)"), .emb = emb_per },
	{ MAP("Linear(5, 3, per=k)(z)", "r(k:s; z:s5)"), .emb = emb_per },
	{ MAP("Linear(4, 3, False, per=k, bases=2)(z)", "r(k:f; z:4)"), .emb = emb_bases },
	{ MAP("Linear(5, 3, False, per=k, bases=2)(z)", "r(k:b; z:s5)"), .emb = emb_bases },
	{ MAP("Linear(4, 4, per=`k`, name='a')(Linear(4, 4, per=s, name='b')(z)) * z", "r(k:i s:s; z:4)") },
	{ "linear", "a matrix per value", "{\"out\": 3, \"per\": \"k\"}", IN("r(k:i; z:4)"),
	  .emb = emb_per },
	{ "linear", "combined of a basis", "{\"out\": 3, \"per\": \"k\", \"bases\": 2, \"bias\": false}",
	  IN("r(k:s; z:s6)"), .emb = emb_bases },
	{ "agg", "sum with matrices per value", "{\"expr\": \"sum(Linear(3, 2, per=s)(h) * a)\", \"by\": \"k\"}",
	  IN("r(k:i s:s; h:3 a:1)") },

	{ "embed", "one column", "{\"dim\": 3, \"by\": \"k\"}", IN("r(k:i s:s; z:2)") },
	{ "embed", "two columns", "{\"dim\": 2, \"by\": [\"k\", \"s\"], \"init\": \"uniform\"}",
	  IN("r(k:f s:s)") },
	{ "embed", "the declared key", "{\"dim\": 4}", IN("r(s:s u:u)") },

	{ "encode", "raw", "{\"expr\": \"raw(f, i, b, t)\"}", IN("r(u:u i:i f:f b:b t:t)"),
	  .emb = emb_raw },
	{ "encode", "index", "{\"expr\": \"index(n, 5)\"}", IN("r(n:n; z:2)"), .emb = emb_index },
	{ "encode", "both", "{\"expr\": \"raw(f), index(n, 6), raw(b)\"}", IN("r(n:n f:f b:b)"),
	  .emb = emb_mixed },
	{ "encode", "called as modules", "{\"expr\": \"Raw(f), Index(6)(n), Raw()(b)\"}",
	  IN("r(n:n f:f b:b)"), .emb = emb_mixed },
	{ "encode", "beside the parts", "{\"expr\": \"OneHot(min=2)(i), raw(f)\", \"as\": \"e\"}",
	  IN("r(i:i f:f; p:s4 q:2x2)") },
	{ "encode", "beside nothing", "{\"expr\": \"Index(5)(n)\", \"as\": \"e\"}", IN("r(n:n)"),
	  .emb = emb_index },
	{ "encode", "numeric", "{\"expr\": \"numeric(f, i, b, null=true)\"}",
	  IN("r(u:u i:i f:f b:b)"), .emb = emb_numeric },
	{ "encode", "scales, logarithms, NULLs",
	  "{\"expr\": \"numeric(f, scale=minmax, log=true), numeric(i, scale=robust), "
	  "numeric(f, scale=none, log=true), null(s, i)\"}",
	  IN("r(i:i f:f s:s)"), .emb = emb_scales },
	{ "encode", "times", "{\"expr\": \"time(a, null=true), since(a, b)\"}", IN("r(a:t b:t)"),
	  .emb = emb_times },
	{ "encode", "one-hot", "{\"expr\": \"onehot(s), onehot(i, min=2), onehot(t, top=2)\"}",
	  IN("r(s:s i:i t:t; z:2)"), .emb = emb_onehot },
	{ "encode", "category", "{\"expr\": \"category(q.i, s, 3, init=uniform), text(s, 6, norm=l1)\"}",
	  IN("r(s:s q.i:i f:f)") },
	{ "encode", "category beside the others",
	  "{\"expr\": \"raw(f), category(s, i, 3), onehot(s)\"}", IN("r(s:s i:i f:f)"),
	  .emb = emb_category },
	{ "encode", "words", "{\"expr\": \"text(s, 8), text(s, 8, idf=true, norm=none)\"}",
	  IN("r(s:s)"), .emb = emb_text },
	{ "encode", "words between blanks",
	  "{\"expr\": \"text(s, 8, words=blanks, hash=crc32, norm=l1, empty=none), "
	  "text(s, 4, words=blanks, hash=crc32, sign=true, idf=true, empty=none)\"}", IN("r(s:s k:i)") },
	{ "encode", "characters", "{\"expr\": \"text(s, 8, chars=2, sign=true, norm=none)\"}",
	  IN("r(s:s k:i)"), .emb = emb_chars },
	{ "encode", "circles",
	  "{\"expr\": \"cyclic(t, month, hour, yearday, weekday), cyclic(f, period=3)\"}",
	  IN("r(t:t f:f)"), .emb = emb_cyclic },

	{ "negative", "one for each", "{\"col\": \"k\"}",
	  IN("r(s:s k:i; z:3)", "--candidates g(k:i s:s)") },
	{ "negative", "several, known ones beside", "{\"col\": \"k\", \"by\": \"s\", \"per\": 3, "
	  "\"label\": \"y\", \"draw\": 7}",
	  IN("r(s:s f:f k:i; p:s4 q:2x2)", "--candidates g(u:u k:i; z:2)", "--known h(k:i s:s)") },

	{ "loss", "cross-entropy, labels that are codes",
	  "{\"kind\": \"cross-entropy\", \"target\": \"y\"}", IN("r(u:u y:c; z:3)"),
	  .keep = keep_label, .emb = emb_ce },
	{ "loss", "cross-entropy, labels that are not",
	  "{\"kind\": \"cross-entropy\", \"target\": \"y\"}", IN("r(y:i; z:5)"), .keep = keep_label,
	  .emb = emb_ce_vocabulary },
	{ "loss", "cross-entropy, strings", "{\"kind\": \"cross-entropy\", \"target\": \"y\"}",
	  IN("r(y:s; z:5)"), .keep = keep_label },
	{ "loss", "cross-entropy, bools, sparse logits",
	  "{\"kind\": \"cross-entropy\", \"target\": \"y\"}", IN("r(y:b; z:s2)"),
	  .keep = keep_label },
	{ "loss", "bce", "{\"kind\": \"bce\", \"target\": \"y\"}", IN("r(y:b; z:1)"),
	  .keep = keep_label, .emb = emb_bce },
	{ "loss", "cross-entropy, weighted, smoothed, without a label",
	  "{\"kind\": \"cross-entropy\", \"target\": \"y\", \"weight\": [1, 2, 0.5], "
	  "\"label_smoothing\": 0.1, \"ignore_index\": 1}",
	  IN("r(u:u y:c; z:3)"), .keep = keep_not_one, .emb = emb_ce_weighted },
	{ "loss", "bce, weighted", "{\"kind\": \"bce\", \"target\": \"y\", \"pos_weight\": 3}",
	  IN("r(y:b; z:1)"), .keep = keep_label, .emb = emb_bce_positive },
	{ "loss", "value", "{\"kind\": \"value\"}", IN("r(k:i s:s; z:1)"), .emb = emb_z },
	{ "loss", "mse", "{\"kind\": \"mse\", \"target\": \"y\"}", IN("r(y:f; z:1)"),
	  .keep = keep_label, .emb = emb_mse },
	{ "loss", "l1", "{\"kind\": \"l1\", \"target\": \"y\"}", IN("r(y:i; z:1)"),
	  .keep = keep_label, .emb = emb_l1 },
};
const size_t op_ncases = sizeof op_cases / sizeof *op_cases;
