/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers and activations with PyTorch's names, arguments, defaults and
 * definitions.  A layer over features works along the last dimension, as there.
 *
 * Several are written so that their gradients are right where a formula taken
 * literally is not: log1p(exp(min(x, t))) for Softplus, and ELU through tanh,
 * whose exp(x) - 1 keeps its digits near 0.
 */
#include "emb_ast.h"

#include "../base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Short forms that pass a failure on: RN_NONE in, RN_NONE out. */
static uint32_t ew1(struct rn_elower *l, enum rn_ew fn, uint32_t x, struct rn_err *e)
{
	return x == RN_NONE ? RN_NONE : rn_prog_ew1(l->p, fn, x, e);
}

static uint32_t ew2(struct rn_elower *l, enum rn_ew fn, uint32_t x, uint32_t y, struct rn_err *e)
{
	return x == RN_NONE || y == RN_NONE ? RN_NONE : rn_prog_ew2(l->p, fn, x, y, e);
}

static uint32_t select3(struct rn_elower *l, uint32_t c, uint32_t x, uint32_t y, struct rn_err *e)
{
	return c == RN_NONE || x == RN_NONE || y == RN_NONE
		       ? RN_NONE
		       : rn_prog_ew3(l->p, RN_EW_SELECT, c, x, y, e);
}

/* fn(x, c) */
static uint32_t with(struct rn_elower *l, enum rn_ew fn, uint32_t x, double c, struct rn_err *e)
{
	return x == RN_NONE ? RN_NONE : rn_prog_ew_imm(l->p, fn, x, c, false, e);
}

/* fn(c, x) */
static uint32_t before(struct rn_elower *l, enum rn_ew fn, double c, uint32_t x, struct rn_err *e)
{
	return x == RN_NONE ? RN_NONE : rn_prog_ew_imm(l->p, fn, x, c, true, e);
}

static int result(const struct rn_elv *a, uint32_t v, struct rn_elv *out, struct rn_err *e)
{
	if (v == RN_NONE)
		return e->code;
	*out = rn_elv_dense(v, a->one);
	return 0;
}

/* ---- activations -------------------------------------------------------------------- */

RN_LOWER(lower_act)
{
	return result(a, ew1(l, (enum rn_ew)n->fn->how, a->val, e), out, e);
}

RN_LOWER(lower_identity)
{
	*out = *a;
	return 0;
}

/* x > 0 ? x : slope * x */
RN_LOWER(lower_leaky_relu)
{
	uint32_t x = a->val, low = with(l, RN_EW_MUL, x, cfg[0].num, e);

	return result(a, select3(l, ew1(l, RN_EW_POS, x, e), x, low, e), out, e);
}

/* x > 0 ? x : alpha * (exp(x) - 1), with exp(x) - 1 = 2t / (1 - t), t = tanh(x / 2) */
RN_LOWER(lower_elu)
{
	uint32_t x = a->val, t, low;

	t = ew1(l, RN_EW_TANH, with(l, RN_EW_MUL, with(l, RN_EW_MIN, x, 0, e), 0.5, e), e);
	low = ew2(l, RN_EW_DIV, with(l, RN_EW_MUL, t, 2 * cfg[0].num, e),
		  before(l, RN_EW_SUB, 1, t, e), e);
	return result(a, select3(l, ew1(l, RN_EW_POS, x, e), x, low, e), out, e);
}

/* x/2 * (1 + erf(x / sqrt 2)), or the approximation through tanh. */
RN_LOWER(lower_gelu)
{
	uint32_t x = a->val, t;
	bool approx = cfg[0].given && !strcmp(cfg[0].str, "tanh");

	if (cfg[0].given && !approx && strcmp(cfg[0].str, "none"))
		return rn_err_set(e, RN_EUSAGE, "GELU: approximate is \"none\" or \"tanh\"");
	if (approx) {
		t = ew2(l, RN_EW_MUL, ew2(l, RN_EW_MUL, x, x, e), x, e);
		t = ew2(l, RN_EW_ADD, x, with(l, RN_EW_MUL, t, 0.044715, e), e);
		t = ew1(l, RN_EW_TANH, with(l, RN_EW_MUL, t, sqrt(M_2_PI), e), e);
	} else {
		t = ew1(l, RN_EW_ERF, with(l, RN_EW_MUL, x, M_SQRT1_2, e), e);
	}
	t = with(l, RN_EW_ADD, t, 1, e);
	return result(a, ew2(l, RN_EW_MUL, with(l, RN_EW_MUL, x, 0.5, e), t, e), out, e);
}

RN_LOWER(lower_silu)
{
	return result(a, ew2(l, RN_EW_MUL, a->val, ew1(l, RN_EW_SIGMOID, a->val, e), e), out, e);
}

/* log(1 + exp(beta x)) / beta; x itself above the threshold */
RN_LOWER(lower_softplus)
{
	double beta = cfg[0].num, limit = cfg[1].num;
	uint32_t x = beta == 1 ? a->val : with(l, RN_EW_MUL, a->val, beta, e), y;

	if (!(beta > 0))
		return rn_err_set(e, RN_EUSAGE, "Softplus: beta must be above 0");
	y = ew1(l, RN_EW_LOG1P, ew1(l, RN_EW_EXP, with(l, RN_EW_MIN, x, limit, e), e), e);
	if (beta != 1)
		y = with(l, RN_EW_DIV, y, beta, e);
	return result(a, select3(l, before(l, RN_EW_LT, limit, x, e), a->val, y, e), out, e);
}

/* ---- reductions along one feature dimension ----------------------------------------- */

/* Features as [outer, k, inner]; the reduced ones have k = 1. */
struct along {
	uint32_t rank, dim[RN_MAX_RANK], at; /* the dimension */
	uint32_t outer, k, inner;
};

static void along(const struct rn_elower *l, uint32_t x, uint32_t at, struct along *r)
{
	const struct rn_val *v = &l->p->vals[x];

	*r = (struct along){ .rank = v->rank, .at = at, .outer = 1, .inner = 1, .k = 1 };
	memcpy(r->dim, v->dim, sizeof r->dim);
	for (uint32_t i = 0; i < v->rank; i++)
		*(i < at ? &r->outer : i == at ? &r->k : &r->inner) *= v->dim[i];
}

/* PyTorch's dim of a value whose dimension 0 is the row. */
static int feature_dim(const struct rn_elower *l, uint32_t x, double dim, const char *fn,
		       uint32_t *at, struct rn_err *e)
{
	uint32_t rank = l->p->vals[x].rank;
	double d = dim < 0 ? dim + rank + 1 : dim;

	if (d == 0 && rank)
		return rn_err_set(e, RN_EUSAGE, "%s along the rows: write softmax(a; t) in an "
						"aggregate", fn);
	if (d < 1 || d > rank)
		return rn_err_set(e, RN_EUSAGE, "%s: there is no dimension %g (the row is 0, "
						"features are 1 to %u)", fn, dim, rank);
	*at = (uint32_t)d - 1;
	return 0;
}

static uint32_t sum_along(struct rn_elower *l, uint32_t x, const struct along *r, struct rn_err *e)
{
	uint32_t width = r->outer * r->k * r->inner, *map, dim[RN_MAX_RANK], v;

	if (x == RN_NONE || r->rank < 2)
		return x == RN_NONE ? x : rn_prog_fsum(l->p, x, NULL, 0, NULL, e);
	if (rn_calloc(width, sizeof *map, "a feature map", &map, e))
		return RN_NONE;
	for (uint32_t f = 0; f < width; f++)
		map[f] = f / (r->k * r->inner) * r->inner + f % r->inner;
	memcpy(dim, r->dim, sizeof dim);
	dim[r->at] = 1;
	v = rn_prog_fsum(l->p, x, map, r->rank, dim, e);
	free(map);
	return v;
}

/* Of k features along the dimension the `take` from number `from`, the last repeated. */
static uint32_t part_along(struct rn_elower *l, uint32_t x, const struct along *r, uint32_t k,
			   uint32_t from, uint32_t take, struct rn_err *e)
{
	uint32_t *map, dim[RN_MAX_RANK], f = 0, v;

	if (rn_calloc((size_t)r->outer * take * r->inner, sizeof *map, "a feature map", &map, e))
		return RN_NONE;
	for (uint32_t o = 0; o < r->outer; o++)
		for (uint32_t j = 0; j < take; j++)
			for (uint32_t i = 0; i < r->inner; i++) {
				uint32_t at = from + j < k ? from + j : k - 1;

				map[f++] = (o * k + at) * r->inner + i;
			}
	memcpy(dim, r->dim, sizeof dim);
	dim[r->at] = take;
	v = rn_prog_features(l->p, x, map, r->rank, dim, e);
	free(map);
	return v;
}

/* The largest along the dimension: a tree of halves. */
static uint32_t max_along(struct rn_elower *l, uint32_t x, const struct along *r, struct rn_err *e)
{
	struct rn_inst i = rn_inst_init(RN_P_FMAX);
	uint32_t one = 1;

	if (r->rank < 2) {
		i.nin = 1;
		i.in[0].val = x;
		return rn_prog_add(l->p, &i, l->p->vals[x].rows, 1, &one, e);
	}
	for (uint32_t k = r->k; k > 1 && x != RN_NONE; k = (k + 1) / 2) {
		uint32_t half = (k + 1) / 2, lo = part_along(l, x, r, k, 0, half, e);

		x = lo == RN_NONE ? lo : part_along(l, x, r, k, half, half, e);
		x = ew2(l, RN_EW_MAX, lo, x, e);
	}
	return x;
}

/* Softmax and LogSoftmax; the shift by the maximum is a constant to gradients. */
RN_LOWER(lower_softmax)
{
	struct along r;
	uint32_t x = a->val, one = 1, at = 0, top, ex, sum;

	if (!l->p->vals[x].rank)
		RN_TRY(rn_elower_reshape(l, x, 1, &one, &x, e));
	RN_TRY(feature_dim(l, x, cfg[0].given ? cfg[0].num : -1, n->fn->name, &at, e));
	along(l, x, at, &r);
	RN_VAL(&top, max_along(l, x, &r, e));
	l->p->vals[top].diff = false;
	x = ew2(l, RN_EW_SUB, x, top, e);
	ex = ew1(l, RN_EW_EXP, x, e);
	sum = sum_along(l, ex, &r, e);
	if (n->fn->how)
		return result(a, ew2(l, RN_EW_SUB, x, ew1(l, RN_EW_LOG, sum, e), e), out, e);
	return result(a, ew2(l, RN_EW_DIV, ex, sum, e), out, e);
}

/* ---- layers ------------------------------------------------------------------------- */

int rn_elower_prefix(struct rn_elower *l, const struct rn_enode *n, char **out, struct rn_err *e)
{
	const char *stage = l->env->param_prefix ? l->env->param_prefix : l->env->stage;
	struct rn_str s = RN_STR_INIT;

	if (n->own) {
		rn_str_add(&s, n->own);
	} else {
		rn_str_add(&s, stage);
		if (l->x->nparams > 1) {
			rn_str_addc(&s, '.');
			for (const char *c = n->fn->name; *c; c++)
				rn_str_addc(&s, (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c));
			rn_str_addf(&s, "%u", n->ordinal);
		}
	}
	*out = rn_str_take(&s, e);
	if (!*out)
		rn_str_fini(&s);
	return *out ? 0 : RN_ENOMEM;
}

int rn_elower_random(struct rn_elower *l, const struct rn_enode *n, char **out, struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;

	rn_str_add(&s, l->env->stage);
	if (n->ordinal > 1)
		rn_str_addf(&s, ".dropout%u", n->ordinal);
	*out = rn_str_take(&s, e);
	if (!*out)
		rn_str_fini(&s);
	return *out ? 0 : RN_ENOMEM;
}

/* The initialiser that an argument names, or the module's. */
static int initialiser(const struct rn_earg *a, enum rn_init *init, double *arg, struct rn_err *e)
{
	return a->given ? rn_init_parse(a->str, init, arg, e) : 0;
}

static uint32_t last_dim(const struct rn_elower *l, const struct rn_elv *a)
{
	const struct rn_val *v;

	if (a->kind == RN_LV_SPARSE)
		return a->width;
	v = &l->p->vals[a->val];
	return v->rank ? v->dim[v->rank - 1] : 1;
}

static int check_width(const struct rn_elower *l, const struct rn_enode *n, const struct rn_elv *a,
		       double want, struct rn_err *e)
{
	if (last_dim(l, a) == want || last_dim(l, a) == RN_DIM_UNKNOWN)
		return 0;
	return rn_err_set(e, RN_EUSAGE, "%s is made for %g features and is applied to %u",
			  n->fn->name, want, last_dim(l, a));
}

/* A parameter of the module at n. */
static int param(struct rn_elower *l, const struct rn_enode *n, const char *what, uint32_t rank,
		 const uint32_t *dim, enum rn_init init, double arg, uint32_t *val,
		 struct rn_err *e)
{
	char *prefix;
	int rc;

	RN_TRY(rn_elower_prefix(l, n, &prefix, e));
	rc = rn_elower_param(l->env, prefix, what, rank, dim, init, arg, val, e);
	free(prefix);
	return rc;
}

RN_LOWER(lower_linear)
{
	enum rn_init init = RN_INIT_DEFAULT;
	double arg = 0;
	char *prefix;
	int rc;

	RN_TRY(check_width(l, n, a, cfg[0].num, e));
	RN_TRY(initialiser(&cfg[3], &init, &arg, e));
	if (cfg[6].given && !cfg[5].given)
		return rn_err_set(e, RN_EUSAGE, "Linear: bases are of the matrices per=COL");
	RN_TRY(rn_elower_prefix(l, n, &prefix, e));
	if (cfg[5].given) {
		struct rn_per per = { cfg[5].str, (uint32_t)cfg[6].num };

		rc = rn_elower_linear_per(l->env, a, &per, (uint32_t)cfg[0].num,
					  (uint32_t)cfg[1].num, cfg[2].num != 0, init, arg,
					  l->scratch, prefix, out, e);
		free(prefix);
		return rc;
	}
	rc = rn_elower_linear(l->env, a, (uint32_t)cfg[1].num, cfg[2].num != 0, init, arg, prefix,
			      out, e);
	free(prefix);
	return rc;
}

/* y_k = x1ᵀ W_k x2 + b_k; the weight is kept as [in1, out, in2]. */
RN_LOWER(lower_bilinear)
{
	uint32_t in1 = (uint32_t)cfg[0].num, in2 = (uint32_t)cfg[1].num, k = (uint32_t)cfg[2].num;
	uint32_t dim[3] = { in1, k, in2 }, flat[2], w, v, b;
	double bound = 1 / sqrt(in1);

	RN_TRY(check_width(l, n, &a[0], in1, e));
	RN_TRY(check_width(l, n, &a[1], in2, e));
	if (l->p->vals[a[0].val].rank != 1 || l->p->vals[a[1].val].rank != 1)
		return rn_err_set(e, RN_EUSAGE, "Bilinear takes two embeddings of rank 1");
	if (!rn_mul_size(k, in2, &(size_t){ 0 }) || (uint64_t)k * in2 >= RN_NONE)
		return rn_err_set(e, RN_EUSAGE, "Bilinear: too large");
	flat[0] = in1;
	flat[1] = k * in2;
	RN_TRY(param(l, n, "weight", 3, dim, RN_INIT_UNIFORM, bound, &w, e));
	RN_VAL(&w, rn_prog_view(l->p, w, 1, 2, flat, e));
	RN_VAL(&v, rn_prog_gemm(l->p, a[0].val, w, RN_NONE, false, e));
	RN_TRY(rn_elower_reshape(l, v, 2, dim + 1, &v, e));
	RN_VAL(&v, rn_prog_matmul(l->p, v, a[1].val, false, false, e));
	RN_TRY(rn_elower_reshape(l, v, 1, &k, &v, e));
	if (cfg[3].num != 0) {
		RN_TRY(param(l, n, "bias", 1, &k, RN_INIT_UNIFORM, bound, &b, e));
		RN_VAL(&v, rn_prog_ew2(l->p, RN_EW_ADD, v, b, e));
	}
	*out = rn_elv_dense(v, a[0].one && a[1].one);
	return 0;
}

/* z times a mask of 0 and 1/(1-p); outside training z itself. */
RN_LOWER(lower_dropout)
{
	struct rn_drop d = { .row = RN_NONE, .col = RN_NONE };
	struct rn_val v = l->p->vals[a->val];
	double p = cfg[0].num;
	uint32_t mask;
	char *name;

	if (!(p >= 0 && p <= 1))
		return rn_err_set(e, RN_EUSAGE, "Dropout(%g): a probability is from 0 to 1", p);
	*out = *a;
	if (!l->env->training || p == 0)
		return 0;
	if (p == 1) {
		RN_VAL(&out->val, rn_prog_ew_imm(l->p, RN_EW_MUL, a->val, 0, false, e));
		return 0;
	}
	RN_TRY(rn_elower_random(l, n, &name, e));
	d.key = rn_rng_key(name, l->env->ctx->seed);
	free(name);
	if (a->kind == RN_LV_SPARSE) { /* the mask of the dense embedding, where values stand */
		RN_TRY(rn_elower_rowof(l, a->ptr, &d.row, e));
		d.col = a->col;
	}
	RN_VAL(&mask, rn_prog_dropmask(l->p, v.rows, v.rank, v.dim, p, &d, e));
	RN_VAL(&out->val, rn_prog_ew2(l->p, RN_EW_MUL, a->val, mask, e));
	return 0;
}

/* (x - mean) / sqrt(var + eps) * weight + bias along the last dimension */
RN_LOWER(lower_layer_norm)
{
	uint32_t x = a->val, d = (uint32_t)cfg[0].num, one = 1, mean, var, w, wide[RN_MAX_RANK];
	struct along r;

	RN_TRY(check_width(l, n, a, cfg[0].num, e));
	if (!l->p->vals[x].rank)
		RN_TRY(rn_elower_reshape(l, x, 1, &one, &x, e));
	along(l, x, l->p->vals[x].rank - 1, &r);
	mean = with(l, RN_EW_DIV, sum_along(l, x, &r, e), d, e);
	x = ew2(l, RN_EW_SUB, x, mean, e);
	var = with(l, RN_EW_DIV, sum_along(l, ew2(l, RN_EW_MUL, x, x, e), &r, e), d, e);
	x = ew2(l, RN_EW_DIV, x, ew1(l, RN_EW_SQRT, with(l, RN_EW_ADD, var, cfg[1].num, e), e), e);
	for (uint32_t i = 0; i < r.rank; i++)
		wide[i] = i + 1 == r.rank ? d : 1;
	for (unsigned k = 0; k < 2 && cfg[2].num != 0 && x != RN_NONE; k++) {
		if (k && cfg[3].num == 0)
			break;
		RN_TRY(param(l, n, k ? "bias" : "weight", 1, &d, RN_INIT_FILL, !k, &w, e));
		RN_TRY(rn_elower_reshape(l, w, r.rank, wide, &w, e));
		x = ew2(l, k ? RN_EW_ADD : RN_EW_MUL, x, w, e);
	}
	return result(a, x, out, e);
}

static int buffer(struct rn_elower *l, const char *prefix, const char *what, uint32_t dim,
		  double fill, uint32_t *val, struct rn_err *e)
{
	struct rn_param_spec s = { .rank = 1, .dim = { dim }, .init = RN_INIT_FILL, .arg = fill,
				   .fan_in = dim, .fan_out = 1, .buffer = true };
	struct rn_str name = RN_STR_INIT;
	int rc;

	rn_str_addf(&name, "%s.%s", prefix, what);
	s.name = name.s;
	rc = rn_str_check(&name, e);
	if (!rc)
		rc = l->env->param(l->env->param_arg, &s, val, e);
	rn_str_fini(&name);
	return rc;
}

/* What a buffer will be once its earlier updates in this program are done: a module that is used
 * twice moves its statistics twice, one after the other. */
static int moved_buffer(struct rn_elower *l, uint32_t buf, uint32_t *out, struct rn_err *e)
{
	*out = buf;
	for (size_t i = 0; i < l->p->nupdates; i++) {
		const struct rn_update u = l->p->updates[i];

		if (u.param == buf)
			RN_VAL(out, ew2(l, RN_EW_SUB, *out, with(l, RN_EW_MUL, u.delta, u.rate, e), e));
	}
	return 0;
}

/* The mean and the variance of each feature over the rows, and what they make of the running
 * ones: those forget at the rate of the momentum, and take the variance of a sample. */
static int batch_statistics(struct rn_elower *l, uint32_t x, const uint32_t running[2],
			    double momentum, uint32_t *mean, uint32_t *var, struct rn_err *e)
{
	double n = l->p->vals[x].rows;
	uint32_t d, v[2], now;

	RN_VAL(mean, with(l, RN_EW_DIV, rn_prog_colsum(l->p, x, e), n > 0 ? n : 1, e));
	RN_VAL(&d, ew2(l, RN_EW_SUB, x, *mean, e));
	d = ew2(l, RN_EW_MUL, d, d, e);
	RN_VAL(&d, d);
	RN_VAL(var, with(l, RN_EW_DIV, rn_prog_colsum(l->p, d, e), n > 0 ? n : 1, e));
	if (n < 2 && !l->scratch)
		rn_log(l->env->ctx, RN_LOG_WARN, "%s: BatchNorm1d over %g row%s, which have no variance",
		       l->env->stage, n, n == 1 ? "" : "s");
	for (unsigned k = 0; k < 2 && running[0] != RN_NONE && n >= 2; k++) {
		v[k] = k ? with(l, RN_EW_MUL, *var, n / (n - 1), e) : *mean;
		RN_TRY(moved_buffer(l, running[k], &now, e));
		RN_VAL(&v[k], ew2(l, RN_EW_SUB, now, v[k], e));
		RN_TRY(rn_prog_update(l->p, running[k], v[k], momentum, e));
	}
	return 0;
}

/* (x - mean) / sqrt(var + eps) * weight + bias, of the rows in training, of the running ones after */
RN_LOWER(lower_batch_norm)
{
	uint32_t x = a->val, d = (uint32_t)cfg[0].num, running[2] = { RN_NONE, RN_NONE }, stat[2], w;
	bool track = cfg[4].num != 0;
	char *prefix;
	int rc = 0;

	RN_TRY(check_width(l, n, a, cfg[0].num, e));
	if (a->one || l->p->vals[x].rank != 1)
		return rn_err_set(e, RN_EUSAGE, "BatchNorm1d is for an embedding of shape [n] of each row");
	if (!(cfg[1].num > 0) || !(cfg[2].num >= 0 && cfg[2].num <= 1))
		return rn_err_set(e, RN_EUSAGE, "BatchNorm1d: eps is above 0, and momentum from 0 to 1");
	RN_TRY(rn_elower_prefix(l, n, &prefix, e));
	if (track)
		rc = buffer(l, prefix, "running_mean", d, 0, &running[0], e);
	if (track && !rc)
		rc = buffer(l, prefix, "running_var", d, 1, &running[1], e);
	free(prefix);
	RN_TRY(rc);
	memcpy(stat, running, sizeof stat);
	if (l->env->training || !track)
		RN_TRY(batch_statistics(l, x, running, cfg[2].num, &stat[0], &stat[1], e));
	x = ew2(l, RN_EW_SUB, x, stat[0], e);
	x = ew2(l, RN_EW_DIV, x,
		ew1(l, RN_EW_SQRT, with(l, RN_EW_ADD, stat[1], cfg[1].num, e), e), e);
	for (unsigned k = 0; k < 2 && cfg[3].num != 0 && x != RN_NONE; k++) {
		RN_TRY(param(l, n, k ? "bias" : "weight", 1, &d, RN_INIT_FILL, !k, &w, e));
		x = ew2(l, k ? RN_EW_ADD : RN_EW_MUL, x, w, e);
	}
	return result(a, x, out, e);
}

/* All have the dimensions of the first but for the outermost one: [2, 3] and [4, 3]. */
static int check_concat(const struct rn_elower *l, const struct rn_enode *n,
			const struct rn_elv *a, struct rn_err *e)
{
	const struct rn_val *first = &l->p->vals[a[0].val], *v;

	for (uint32_t i = 1; i < n->nargs; i++) {
		v = &l->p->vals[a[i].val];
		if (v->rank < 2 && first->rank < 2)
			continue;
		if (v->rank == first->rank && !memcmp(v->dim + 1, first->dim + 1, 3 * sizeof *v->dim))
			continue;
		return rn_err_set(e, RN_EUSAGE, "Concat: the shapes of its arguments 1 and %u, of %u and %u "
				  "dimensions, do not fit together: view(...)(z) changes a shape", i + 1,
				  first->rank, v->rank);
	}
	return 0;
}

RN_LOWER(lower_concat)
{
	uint32_t *vals, v;
	bool one = true;

	RN_TRY(check_concat(l, n, a, e));
	RN_TRY(rn_calloc(n->nargs, sizeof *vals, "operands", &vals, e));
	for (uint32_t i = 0; i < n->nargs; i++) {
		vals[i] = a[i].val;
		one = one && a[i].one;
	}
	v = rn_prog_concat(l->p, vals, n->nargs, e);
	free(vals);
	RN_VAL(&v, v);
	*out = rn_elv_dense(v, one);
	return 0;
}

/* Tensor(1, s…) and Tensor(s…): a parameter of shape [s…]. */
RN_LOWER(lower_tensor)
{
	enum rn_init init = RN_INIT_FILL;
	double arg = cfg[1].given ? cfg[1].num : 0;
	uint32_t skip = cfg[0].n > 1 && cfg[0].size[0] == 1, v;

	(void)a;
	if (cfg[0].n - skip > RN_MAX_RANK)
		return rn_err_set(e, RN_EUSAGE, "Tensor: at most %d sizes", RN_MAX_RANK);
	for (uint32_t i = 0; i < cfg[0].n; i++)
		if (!cfg[0].size[i])
			return rn_err_set(e, RN_EUSAGE, "Tensor: sizes are 1 or more");
	RN_TRY(initialiser(&cfg[2], &init, &arg, e));
	RN_TRY(param(l, n, "weight", cfg[0].n - skip, cfg[0].size + skip, init, arg, &v, e));
	*out = rn_elv_dense(v, true);
	return 0;
}

bool rn_elower_known(const struct rn_prog *p, uint32_t val, uint32_t i, float *out)
{
	const struct rn_val *v = &p->vals[val];
	const struct rn_inst *in;

	if (v->kind == RN_V_CONST) {
		*out = ((const float *)v->data->data)[i];
		return true;
	}
	if (v->kind != RN_V_INST)
		return false;
	in = &p->insts[v->inst];
	if (in->op == RN_P_VIEW)
		return rn_elower_known(p, in->in[0].val, i, out);
	if (in->op != RN_P_GATHER)
		return false;
	i = rn_prog_idx_data(p, in->idx[0])[i];
	*out = 0;
	return i == UINT32_MAX || rn_elower_known(p, in->in[0].val, i, out);
}

/* padding_idx of an Embedding, also from the end: a row that is 0 and stays so; RN_NO_ROW: none. */
static int padding(const struct rn_enode *n, const struct rn_earg *cfg, uint32_t num, uint32_t *out,
		   struct rn_err *e)
{
	double at = cfg->num < 0 ? cfg->num + num : cfg->num;

	*out = RN_NO_ROW;
	if (n->fn->how || !cfg->given)
		return 0;
	if (at < 0 || at >= num)
		return rn_err_set(e, RN_EUSAGE, "Embedding: padding_idx %g is no row of a table of %u", cfg->num, num);
	*out = (uint32_t)at;
	return 0;
}

/* Embedding, NodeLookup: rows of a table, by an index that is known at bind. */
RN_LOWER(lower_lookup)
{
	uint32_t num = (uint32_t)cfg[0].num, dim[2] = { num, (uint32_t)cfg[1].num };
	uint32_t rows = l->p->vals[a->val].rows, map, w, pad, *idx;
	bool as_linear = n->fn->how && cfg[2].num != 0;
	enum rn_init init = as_linear ? RN_INIT_DEFAULT : RN_INIT_NORMAL;
	double arg = as_linear ? 0 : 1;
	struct rn_buf *b;
	float x;

	if (l->p->vals[a->val].width != 1)
		return rn_err_set(e, RN_EUSAGE, "%s is applied to an index, an embedding of width "
						"1, not %u", n->fn->name, l->p->vals[a->val].width);
	if (num > 1u << 24)
		return rn_err_set(e, RN_EUSAGE, "%s: at most %u rows, which is where float32 stops "
						"counting: use rn-embed", n->fn->name, 1u << 24);
	RN_TRY(initialiser(&cfg[n->fn->how ? 3 : 2], &init, &arg, e));
	RN_TRY(padding(n, &cfg[4], num, &pad, e));
	RN_TRY(rn_buf_new((size_t)rows * sizeof *idx, "a lookup", &b, e));
	idx = b->data;
	for (uint32_t i = 0; i < rows; i++) {
		bool known = rn_elower_known(l->p, a->val, i, &x);

		if (known && x >= 0 && x < num && (float)(uint32_t)x == x) {
			idx[i] = (uint32_t)x == pad ? RN_NO_ROW : (uint32_t)x;
			continue;
		}
		rn_buf_unref(b);
		if (!known)
			return rn_err_set(e, RN_EUSAGE,
					  "%s needs an index that is data: a content column or a "
					  "source's embedding", n->fn->name);
		return rn_err_set(e, RN_EDATA, "%s(%u, %u): row %u has index %g", n->fn->name, num,
				  dim[1], i, (double)x);
	}
	RN_VAL(&map, rn_prog_idx(l->p, b, rows, e));
	RN_TRY(param(l, n, "weight", 2, dim, init, arg, &w, e));
	RN_VAL(&w, rn_prog_view(l->p, w, num, 1, &dim[1], e));
	RN_VAL(&w, rn_prog_gather(l->p, w, map, e));
	*out = rn_elv_dense(w, a->one);
	return 0;
}

/* ---- the table ---------------------------------------------------------------------- */

static const struct rn_eargdecl
	inplace_cfg[] = { { "inplace", RN_A_FLAG, false, 0 }, { 0 } },
	slope_cfg[] = { { "negative_slope", RN_A_NUM, false, 0.01 },
			{ "inplace", RN_A_FLAG, false, 0 }, { 0 } },
	elu_cfg[] = { { "alpha", RN_A_NUM, false, 1 }, { "inplace", RN_A_FLAG, false, 0 }, { 0 } },
	gelu_cfg[] = { { "approximate", RN_A_STR, false, 0 }, { 0 } },
	softplus_cfg[] = { { "beta", RN_A_NUM, false, 1 }, { "threshold", RN_A_NUM, false, 20 },
			   { 0 } },
	dim_cfg[] = { { "dim", RN_A_INT, false, -1 }, { 0 } },
	linear_cfg[] = { { "in_features", RN_A_SIZE, true, 0 },
			 { "out_features", RN_A_SIZE, true, 0 },
			 { "bias", RN_A_FLAG, false, 1 }, { "init", RN_A_STR, false, 0 },
			 { "name", RN_A_STR, false, 0 }, { "per", RN_A_COL, false, 0 },
			 { "bases", RN_A_SIZE, false, 0 }, { 0 } },
	bilinear_cfg[] = { { "in1_features", RN_A_SIZE, true, 0 },
			   { "in2_features", RN_A_SIZE, true, 0 },
			   { "out_features", RN_A_SIZE, true, 0 },
			   { "bias", RN_A_FLAG, false, 1 }, { "name", RN_A_STR, false, 0 }, { 0 } },
	dropout_cfg[] = { { "p", RN_A_NUM, false, 0.5 }, { "inplace", RN_A_FLAG, false, 0 },
			  { 0 } },
	norm_cfg[] = { { "normalized_shape", RN_A_SIZE, true, 0 },
		       { "eps", RN_A_NUM, false, 1e-5 },
		       { "elementwise_affine", RN_A_FLAG, false, 1 },
		       { "bias", RN_A_FLAG, false, 1 }, { "name", RN_A_STR, false, 0 }, { 0 } },
	batch_cfg[] = { { "num_features", RN_A_SIZE, true, 0 }, { "eps", RN_A_NUM, false, 1e-5 },
			{ "momentum", RN_A_NUM, false, 0.1 }, { "affine", RN_A_FLAG, false, 1 },
			{ "track_running_stats", RN_A_FLAG, false, 1 },
			{ "name", RN_A_STR, false, 0 }, { 0 } },
	tensor_cfg[] = { { "sizes", RN_A_SIZES, true, 0 }, { "fill", RN_A_NUM, false, 0 },
			 { "init", RN_A_STR, false, 0 }, { "name", RN_A_STR, false, 0 }, { 0 } },
	embedding_cfg[] = { { "num_embeddings", RN_A_SIZE, true, 0 },
			    { "embedding_dim", RN_A_SIZE, true, 0 },
			    { "init", RN_A_STR, false, 0 }, { "name", RN_A_STR, false, 0 },
			    { "padding_idx", RN_A_INT, false, 0 }, { 0 } },
	lookup_cfg[] = { { "num_embeddings", RN_A_SIZE, true, 0 },
			 { "embedding_dim", RN_A_SIZE, true, 0 },
			 { "linear_init", RN_A_FLAG, false, 0 },
			 { "init", RN_A_STR, false, 0 }, { "name", RN_A_STR, false, 0 }, { 0 } };

#define ACT(name, flags, cfg, how, lower)                                                         \
	{ name, RN_FORM_EITHER, 1, 1, RN_FN_EW | (flags), cfg, how, lower }

const struct rn_efunc rn_efuncs_net[] = {
	ACT("Identity", RN_FN_ZERO, NULL, 0, lower_identity),
	ACT("ReLU", RN_FN_ZERO, inplace_cfg, RN_EW_RELU, lower_act),
	ACT("Tanh", RN_FN_ZERO, NULL, RN_EW_TANH, lower_act),
	ACT("Sigmoid", 0, NULL, RN_EW_SIGMOID, lower_act),
	ACT("LeakyReLU", RN_FN_ZERO, slope_cfg, 0, lower_leaky_relu),
	ACT("leaky_relu", RN_FN_ZERO, slope_cfg, 0, lower_leaky_relu),
	ACT("ELU", RN_FN_ZERO, elu_cfg, 0, lower_elu),
	ACT("elu", RN_FN_ZERO, elu_cfg, 0, lower_elu),
	ACT("GELU", RN_FN_ZERO, gelu_cfg, 0, lower_gelu),
	ACT("gelu", RN_FN_ZERO, gelu_cfg, 0, lower_gelu),
	ACT("SiLU", RN_FN_ZERO, inplace_cfg, 0, lower_silu),
	ACT("silu", RN_FN_ZERO, inplace_cfg, 0, lower_silu),
	ACT("Softplus", 0, softplus_cfg, 0, lower_softplus),
	ACT("softplus", 0, softplus_cfg, 0, lower_softplus),
	{ "Softmax", RN_FORM_EITHER, 1, 1, 0, dim_cfg, 0, lower_softmax },
	{ "LogSoftmax", RN_FORM_EITHER, 1, 1, 0, dim_cfg, 1, lower_softmax },
	{ "log_softmax", RN_FORM_EITHER, 1, 1, 0, dim_cfg, 1, lower_softmax },
	{ "Concat", RN_FORM_EITHER, 1, 4096, 0, NULL, 0, lower_concat },
	{ "Dropout", RN_FORM_CURRIED, 1, 1, RN_FN_RANDOM | RN_FN_SPARSE, dropout_cfg, 0,
	  lower_dropout },
	{ "Linear", RN_FORM_CURRIED, 1, 1, RN_FN_PARAMS | RN_FN_SPARSE, linear_cfg, 0,
	  lower_linear },
	{ "Bilinear", RN_FORM_CURRIED, 2, 2, RN_FN_PARAMS, bilinear_cfg, 0, lower_bilinear },
	{ "LayerNorm", RN_FORM_CURRIED, 1, 1, RN_FN_PARAMS, norm_cfg, 0, lower_layer_norm },
	{ "BatchNorm1d", RN_FORM_CURRIED, 1, 1, RN_FN_PARAMS, batch_cfg, 0, lower_batch_norm },
	{ "Embedding", RN_FORM_CURRIED, 1, 1, RN_FN_PARAMS, embedding_cfg, 0, lower_lookup },
	{ "NodeLookup", RN_FORM_CURRIED, 1, 1, RN_FN_PARAMS, lookup_cfg, 1, lower_lookup },
	{ "Tensor", RN_FORM_SOURCE, 0, 0, RN_FN_PARAMS, tensor_cfg, 0, lower_tensor },
};
const size_t rn_nefuncs_net = sizeof rn_efuncs_net / sizeof *rn_efuncs_net;
