/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts inside a tensor program, and the pieces of lowering that operators use
 * as well: flattening, columns, linear layers, softmax over rows, initialisers.
 */
#include "emb_ast.h"

#include "../base/num.h"
#include "../base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- initialisers ------------------------------------------------------------------- */

int rn_init_parse(const char *name, enum rn_init *kind, double *arg, struct rn_err *e)
{
	static const struct {
		const char *name;
		enum rn_init kind;
		double arg;
		bool takes; /* name(number) */
	} inits[] = {
		{ "default", RN_INIT_DEFAULT, 0, false },
		{ "zeros", RN_INIT_FILL, 0, false },
		{ "ones", RN_INIT_FILL, 1, false },
		{ "constant", RN_INIT_FILL, 0, true },
		{ "uniform", RN_INIT_UNIT, 1, true }, /* uniform(a) is U(-a, a) */
		{ "normal", RN_INIT_NORMAL, 1, true },
		{ "glorot", RN_INIT_XAVIER_UNIFORM, 0, false },
		{ "xavier_uniform", RN_INIT_XAVIER_UNIFORM, 0, false },
		{ "xavier_normal", RN_INIT_XAVIER_NORMAL, 0, false },
		{ "kaiming_uniform", RN_INIT_KAIMING_UNIFORM, 0, false },
		{ "kaiming_normal", RN_INIT_KAIMING_NORMAL, 0, false },
		{ "trunc_normal", RN_INIT_TRUNC_NORMAL, 1, true },
		{ "orthogonal", RN_INIT_ORTHOGONAL, 1, true }, /* orthogonal(gain) */
		{ "eye", RN_INIT_EYE, 0, false },
	};
	size_t n = strcspn(name, "("), len = strlen(name);
	struct rn_str all = RN_STR_INIT;

	for (size_t i = 0; i < sizeof inits / sizeof *inits; i++) {
		rn_str_addf(&all, "%s%s%s", i ? ", " : "", inits[i].name,
			    inits[i].takes ? "(x)" : "");
		/* PyTorch's own names end with an underscore: xavier_uniform_ */
		if (strncmp(inits[i].name, name, strlen(inits[i].name)) ||
		    (n != strlen(inits[i].name) &&
		     !(n == strlen(inits[i].name) + 1 && name[n - 1] == '_')))
			continue;
		*kind = inits[i].kind == RN_INIT_UNIT && name[n] ? RN_INIT_UNIFORM : inits[i].kind;
		*arg = inits[i].arg;
		if (name[n] && (!inits[i].takes || name[len - 1] != ')' ||
				!rn_float64_parse(name + n + 1, len - n - 2, arg)))
			continue;
		rn_str_fini(&all);
		return 0;
	}
	rn_err_set(e, RN_EUSAGE, "there is no initialiser '%s' (there are %s)", name, all.s);
	rn_str_fini(&all);
	return RN_EUSAGE;
}

/* ---- parts -------------------------------------------------------------------------- */

/* Pattern of the mapped rows of a CSR: new bounds and columns, and where each value was. */
static int map_pattern(const uint32_t *ptr, const uint32_t *col, const uint32_t *map,
		       uint32_t rows, struct rn_buf **optr, struct rn_buf **ocol,
		       struct rn_buf **opos, struct rn_err *e)
{
	uint32_t *np, *nc, *pos;
	uint64_t nnz = 0;
	int rc;

	for (uint32_t r = 0; r < rows; r++)
		nnz += map[r] == RN_NO_ROW ? 0 : ptr[map[r] + 1] - ptr[map[r]];
	if (nnz >= RN_NONE)
		return rn_err_set(e, RN_ENOMEM, "out of memory: %llu stored values in one sparse "
						"embedding", (unsigned long long)nnz);
	*optr = *ocol = *opos = NULL;
	RN_GOTO(fail, rn_buf_new(((size_t)rows + 1) * sizeof *np, "a sparse view", optr, e));
	RN_GOTO(fail, rn_buf_new((size_t)nnz * sizeof *nc, "a sparse view", ocol, e));
	RN_GOTO(fail, rn_buf_new((size_t)nnz * sizeof *pos, "a sparse view", opos, e));
	np = (*optr)->data;
	nc = (*ocol)->data;
	pos = (*opos)->data;
	for (uint32_t r = 0, k = 0; r < rows; r++) {
		if (map[r] != RN_NO_ROW)
			for (uint32_t i = ptr[map[r]]; i < ptr[map[r] + 1]; i++, k++) {
				nc[k] = col[i];
				pos[k] = i;
			}
		np[r + 1] = k;
	}
	return 0;
fail:
	rn_buf_unref(*optr);
	rn_buf_unref(*ocol);
	rn_buf_unref(*opos);
	return rc;
}

int rn_lpart_flatten(struct rn_prog *p, const struct rn_lpart *in, uint32_t rows,
		     struct rn_lpart *out, struct rn_err *e)
{
	struct rn_lpart res = *in;
	struct rn_buf *ptr, *col, *pos;
	struct rn_err local;
	uint32_t where;

	e = e ? e : &local;
	if (in->map == RN_NONE) {
		*out = *in;
		return 0;
	}
	res.map = RN_NONE;
	res.base_rows = rows;
	if (!in->sparse) {
		RN_VAL(&res.val, rn_prog_gather(p, in->val, in->map, e));
		*out = res;
		return 0;
	}
	RN_TRY(map_pattern(rn_prog_idx_data(p, in->ptr), rn_prog_idx_data(p, in->col),
			   rn_prog_idx_data(p, in->map), rows, &ptr, &col, &pos, e));
	res.ptr = rn_prog_idx(p, ptr, rows + 1, e);
	res.col = rn_prog_idx(p, col, (uint32_t)(col->size / sizeof(uint32_t)), e);
	where = rn_prog_idx(p, pos, (uint32_t)(pos->size / sizeof(uint32_t)), e);
	if (res.ptr == RN_NONE || res.col == RN_NONE || where == RN_NONE)
		return RN_ENOMEM;
	RN_VAL(&res.val, rn_prog_gather(p, in->val, where, e));
	*out = res;
	return 0;
}

int rn_lpart_dense(struct rn_prog *p, const struct rn_lpart *in, uint32_t *val, struct rn_err *e)
{
	struct rn_inst i = rn_inst_init(RN_P_DENSIFY);
	struct rn_err local;

	e = e ? e : &local;
	*val = in->val;
	if (!in->sparse)
		return 0;
	i.nin = 1;
	i.in[0].val = in->val;
	i.idx[0] = in->ptr;
	i.idx[1] = in->col;
	RN_VAL(val, rn_prog_add(p, &i, in->base_rows, in->shape.rank, in->shape.dim, e));
	return 0;
}

/* ---- parameters --------------------------------------------------------------------- */

static int ask(const struct rn_lower_env *env, const char *prefix, const char *what, uint32_t rank,
	       const uint32_t *dim, enum rn_init init, double arg, uint32_t fan_in,
	       uint32_t fan_out, uint32_t *val, struct rn_err *e)
{
	struct rn_param_spec s = { .rank = rank, .init = init, .arg = arg, .fan_in = fan_in,
				   .fan_out = fan_out };
	struct rn_str name = RN_STR_INIT;
	int rc;

	memcpy(s.dim, dim, rank * sizeof *dim);
	rn_str_addf(&name, "%s.%s", prefix, what);
	s.name = name.s;
	rc = rn_str_check(&name, e);
	if (!rc)
		rc = env->param(env->param_arg, &s, val, e);
	rn_str_fini(&name);
	return rc;
}

int rn_elower_param(const struct rn_lower_env *env, const char *prefix, const char *what,
		    uint32_t rank, const uint32_t *dim, enum rn_init init, double arg,
		    uint32_t *val, struct rn_err *e)
{
	uint32_t in = rank ? dim[0] : 1, out = rank > 1 ? dim[rank - 1] : 1;

	return ask(env, prefix, what, rank, dim, init, arg, in, out, val, e);
}

int rn_elower_linear(const struct rn_lower_env *env, const struct rn_elv *x, uint32_t out_features,
		     bool bias, enum rn_init init, double arg, const char *prefix,
		     struct rn_elv *out, struct rn_err *e)
{
	struct rn_prog *p = env->prog;
	const struct rn_val *xv = &p->vals[x->val];
	struct rn_val wide = { .rank = 1, .dim = { x->width } };
	struct rn_val in = x->kind == RN_LV_SPARSE ? wide : *xv;
	uint32_t rank = in.rank ? in.rank : 1, width = in.rank ? in.dim[in.rank - 1] : 1;
	uint32_t w, b = RN_NONE, v, wdim[2] = { width, out_features };

	RN_TRY(ask(env, prefix, "weight", 2, wdim, init, arg, width, out_features, &w, e));
	if (bias) /* PyTorch's default; 0 beside an initialiser that was asked for */
		RN_TRY(ask(env, prefix, "bias", 1, &out_features,
			   init == RN_INIT_DEFAULT ? RN_INIT_DEFAULT : RN_INIT_FILL, 0, width,
			   out_features, &b, e));
	if (x->kind == RN_LV_SPARSE) {
		RN_VAL(&v, rn_prog_view(p, w, width, 1, &out_features, e));
		RN_VAL(&v, rn_prog_spmm(p, x->ptr, v, x->col, x->val, RN_NONE, e));
		if (bias)
			RN_VAL(&v, rn_prog_ew2(p, RN_EW_ADD, v, b, e));
	} else if (rank == 1) {
		RN_VAL(&v, rn_prog_gemm(p, x->val, w, b, false, e));
	} else { /* over the last dimension, as PyTorch */
		uint32_t m[2] = { in.width / (width ? width : 1), width };

		v = x->val;
		if (rank > 2)
			RN_VAL(&v, rn_prog_view(p, v, in.rows, 2, m, e));
		RN_VAL(&v, rn_prog_matmul(p, v, w, false, false, e));
		m[0] = 1;
		m[1] = out_features;
		if (bias) {
			RN_VAL(&b, rn_prog_view(p, b, 1, 2, m, e));
			RN_VAL(&v, rn_prog_ew2(p, RN_EW_ADD, v, b, e));
		}
		in.dim[rank - 1] = out_features;
		if (rank > 2)
			RN_VAL(&v, rn_prog_view(p, v, in.rows, rank, in.dim, e));
	}
	*out = rn_elv_dense(v, x->one);
	return 0;
}

int rn_lower_linear(const struct rn_lower_env *env, const struct rn_lpart *x,
		    uint32_t out_features, bool bias, enum rn_init init, double arg,
		    const char *prefix, struct rn_lpart *out, struct rn_err *e)
{
	struct rn_elv in = rn_elv_dense(x->val, false), res;
	const struct rn_val *v;
	struct rn_err local;

	e = e ? e : &local;
	if (!prefix)
		prefix = env->param_prefix ? env->param_prefix : env->stage;
	if (x->sparse)
		in = (struct rn_elv){ .kind = RN_LV_SPARSE, .val = x->val, .ptr = x->ptr,
				      .col = x->col, .width = x->shape.dim[0] };
	RN_TRY(rn_elower_linear(env, &in, out_features, bias, init, arg, prefix, &res, e));
	v = &env->prog->vals[res.val];
	*out = (struct rn_lpart){ .base_rows = x->base_rows, .val = res.val, .ptr = RN_NONE,
				  .col = RN_NONE, .map = RN_NONE };
	out->shape.rank = v->rank;
	memcpy(out->shape.dim, v->dim, sizeof v->dim);
	return 0;
}

/* ---- columns ------------------------------------------------------------------------ */

static float number_at(const struct rn_column *c, uint64_t i)
{
	switch (c->type) {
	case RN_INT64:
		return (float)c->i64[i];
	case RN_TIMESTAMP:
		return (float)((double)c->i64[i] / 1e6);
	case RN_FLOAT64:
		return (float)c->f64[i];
	case RN_BOOL:
		return c->b[i];
	default:
		return 0;
	}
}

int rn_lower_column(const struct rn_lower_env *env, size_t col, uint32_t *val, struct rn_err *e)
{
	const struct rn_field *f = &env->rel->schema.cols[col];
	const struct rn_column *c = env->rel->cols[col];
	uint32_t one = 1;
	struct rn_err local;
	struct rn_buf *b;
	float *x;

	e = e ? e : &local;
	if (f->type == RN_STRING)
		return rn_err_set(e, RN_EUSAGE, "column '%s' is a string, which has no value as a "
						"number: encode it, as in onehot(%s), or number its "
						"values in a column before", f->name, f->name);
	if (c->nulls)
		rn_log(env->ctx, RN_LOG_WARN, "column '%s': %llu of %u values are NULL, taken as 0",
		       f->name, (unsigned long long)c->nulls, env->rows);
	RN_TRY(rn_buf_new((size_t)env->rows * sizeof *x, "a column as an embedding", &b, e));
	x = b->data;
	for (uint32_t i = 0; i < env->rows; i++)
		x[i] = rn_column_is_null(c, i) ? 0 : number_at(c, i);
	RN_VAL(val, rn_prog_const(env->prog, env->rows, 1, &one, b, e));
	return 0;
}

/* ---- softmax over the rows of segments ---------------------------------------------- */

/* Rows of no segment would be divided by 0: they become 0, with a sum of 1. */
static int shield_dropped(struct rn_prog *p, uint32_t of, uint32_t *val, uint32_t *extra,
			  struct rn_err *e)
{
	const uint32_t *seg = rn_prog_idx_data(p, of);
	uint32_t n = p->idx[of].n, one = 1, in, zero;
	struct rn_buf *b;
	float *x;

	*extra = RN_NONE;
	for (in = 0; in < n && seg[in] != RN_NO_ROW; in++)
		;
	if (in == n)
		return 0;
	RN_TRY(rn_buf_new((size_t)n * sizeof *x, "rows without a group", &b, e));
	x = b->data;
	for (uint32_t i = 0; i < n; i++)
		x[i] = seg[i] == RN_NO_ROW;
	RN_VAL(extra, rn_prog_const(p, n, 1, &one, b, e));
	RN_VAL(&zero, rn_prog_const_fill(p, 1, 1, 0, e));
	RN_VAL(val, rn_prog_ew3(p, RN_EW_SELECT, *extra, zero, *val, e));
	return 0;
}

int rn_lower_softmax(struct rn_prog *p, uint32_t val, uint32_t ptr, uint32_t pos, uint32_t of,
		     uint32_t *out, struct rn_err *e)
{
	struct rn_inst arg = rn_inst_init(RN_P_SEGARG), pick = rn_inst_init(RN_P_PICK);
	struct rn_val v = p->vals[val];
	uint32_t groups = p->idx[ptr].n - 1, top, x, sum, extra;
	struct rn_err local;

	e = e ? e : &local;
	RN_TRY(shield_dropped(p, of, &val, &extra, e));
	arg.nin = 1;
	arg.in[0].val = val;
	arg.idx[0] = ptr;
	arg.idx[1] = pos;
	RN_VAL(&top, rn_prog_add(p, &arg, groups, v.rank, v.dim, e));
	pick.nin = 2;
	pick.in[0].val = val;
	pick.in[1].val = top;
	RN_VAL(&top, rn_prog_add(p, &pick, groups, v.rank, v.dim, e));
	p->vals[top].diff = false; /* the shift cancels: a constant to gradients */
	RN_VAL(&top, rn_prog_gather(p, top, of, e));
	RN_VAL(&x, rn_prog_ew2(p, RN_EW_SUB, val, top, e));
	RN_VAL(&x, rn_prog_ew1(p, RN_EW_EXP, x, e));
	RN_VAL(&sum, rn_prog_spmm(p, ptr, x, pos, RN_NONE, RN_NONE, e));
	RN_VAL(&sum, rn_prog_gather(p, sum, of, e));
	if (extra != RN_NONE)
		RN_VAL(&sum, rn_prog_ew2(p, RN_EW_ADD, sum, extra, e));
	RN_VAL(out, rn_prog_ew2(p, RN_EW_DIV, x, sum, e));
	return 0;
}
