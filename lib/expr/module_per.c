/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear(in, out, per=COL, bases=B): a weight matrix for each value of a content
 * column, W_v, or with a basis W_v = sum over b of coef[v, b] * basis[b] (R-GCN,
 * Schlichtkrull et al. 2018; initialised as PyG's FastRGCNConv does).  The
 * matrices belong to the values, as the vectors of rn-embed do to keys: the
 * model keeps them by value, and the product of a value that it lacks is 0.
 *
 * Rows are sorted by value, so that the products of one value are one product;
 * no row has a matrix of its own.
 */
#include "emb_ast.h"

#include "../base/str.h"
#include "../rel/key.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct per {
	const struct rn_lower_env *env;
	const struct rn_per *how;
	uint32_t in, out, rows;
	uint32_t table, ntable;  /* the parameter by value, and its rows */
	uint32_t *of;            /* row -> row of the table, RN_NO_ROW: none */
	uint32_t ptr;            /* index array: rows sorted by value, bounds */
	uint32_t order, back;    /* sorted -> row, row -> sorted; RN_NONE: sorted already */
};

/* ---- the table -------------------------------------------------------------------------- */

/* The distinct values of the column as keys; *out is the caller's, also on failure. */
static int key_rel(const struct rn_rel *rel, size_t col, const struct rn_groups *g,
		   struct rn_rel **out, struct rn_err *e)
{
	struct rn_column *c;

	RN_TRY(rn_rel_new(NULL, g->n, out, e));
	RN_TRY(rn_column_gather(rel->cols[col], g->first->data, g->n, &c, e));
	return rn_rel_add_col(*out, rel->schema.cols[col].name, NULL, c, e);
}

static int too_large(const struct per *p, struct rn_err *e)
{
	return rn_err_set(e, RN_EUSAGE, "the matrices per value of '%s' are too large", p->how->col);
}

/* The parameter by value: [values, in, out], or the coefficients [values, bases]. */
static int ask_table(struct per *p, const char *prefix, const struct rn_rel *keys,
		     enum rn_init init, double arg, uint32_t *rows, struct rn_err *e)
{
	uint32_t bases = p->how->bases, width = bases ? bases : p->in * p->out;
	struct rn_param_spec s = { .rank = bases ? 2 : 3, .init = init, .arg = arg, .keys = keys,
				   .rows = rows };
	struct rn_str name = RN_STR_INIT;
	int rc;

	s.dim[0] = (uint32_t)keys->rows;
	s.dim[1] = bases ? bases : p->in;
	s.dim[2] = p->out;
	s.fan_in = bases ? s.dim[0] : p->in;
	s.fan_out = bases ? bases : p->out;
	if (bases) {
		s.init = RN_INIT_XAVIER_UNIFORM;
		s.arg = 0;
	}
	rn_str_addf(&name, "%s.%s", prefix, bases ? "coef" : "weight");
	s.name = name.s;
	rc = rn_str_check(&name, e);
	if (!rc)
		rc = p->env->param(p->env->param_arg, &s, &p->table, e);
	rn_str_fini(&name);
	if (!rc)
		p->ntable = p->env->prog->vals[p->table].width / width;
	return rc;
}

/* The table, and of which of its rows each row is. */
static int find_values(struct per *p, const char *prefix, size_t col, enum rn_init init, double arg,
		       bool quiet, struct rn_err *e)
{
	const struct rn_lower_env *env = p->env;
	struct rn_key k = { .n = 1, .cols = (struct rn_column *const *)&env->rel->cols[col],
			    .rows = env->rel->rows };
	struct rn_groups g = { 0 };
	struct rn_rel *keys = NULL;
	uint32_t *rows = NULL, unknown = 0;
	int rc;

	RN_TRY(rn_group(env->ctx, &k, &g, e));
	RN_GOTO(out, key_rel(env->rel, col, &g, &keys, e));
	RN_GOTO(out, rn_calloc(keys->rows, sizeof *rows, "values", &rows, e));
	RN_GOTO(out, ask_table(p, prefix, keys, init, arg, rows, e));
	RN_GOTO(out, rn_calloc(p->rows, sizeof *p->of, "values", &p->of, e));
	for (uint32_t i = 0; i < p->rows; i++) {
		p->of[i] = rows[((const uint32_t *)g.of->data)[i]];
		unknown += p->of[i] == RN_NO_ROW;
	}
	if (unknown && !quiet)
		rn_log(env->ctx, RN_LOG_WARN, "%s: %u of %u rows have a value of '%s' that was not there "
		       "in training; their product is 0", env->stage, unknown, p->rows, p->how->col);
out:
	free(rows);
	rn_rel_unref(keys);
	rn_groups_fini(&g);
	return rc;
}

/* ---- sorted rows ------------------------------------------------------------------------ */

/* Counting sort by the row of the table; rows without one come last, and in no segment. */
static int sort_rows(struct per *p, uint32_t *known, struct rn_err *e)
{
	struct rn_buf *ptr, *order = NULL, *back = NULL;
	uint32_t *b, *o, *k, *next;
	bool sorted = true;
	int rc;

	RN_TRY(rn_buf_new(((size_t)p->ntable + 1) * sizeof *b, "values", &ptr, e));
	RN_GOTO(fail, rn_calloc((size_t)p->ntable + 1, sizeof *next, "values", &next, e));
	RN_GOTO(free, rn_buf_new((size_t)p->rows * sizeof *o, "values", &back, e));
	b = ptr->data;
	k = back->data;
	for (uint32_t i = 0; i < p->rows; i++)
		if (p->of[i] != RN_NO_ROW)
			b[p->of[i] + 1]++;
	for (uint32_t s = 0; s < p->ntable; s++) {
		b[s + 1] += b[s];
		next[s] = b[s];
	}
	*known = b[p->ntable];
	RN_GOTO(free, rn_buf_new((size_t)*known * sizeof *o, "values", &order, e));
	o = order->data;
	for (uint32_t i = 0; i < p->rows; i++) {
		k[i] = p->of[i] == RN_NO_ROW ? RN_NO_ROW : next[p->of[i]]++;
		sorted = sorted && k[i] == i;
		if (k[i] != RN_NO_ROW)
			o[k[i]] = i;
	}
	free(next);
	p->order = p->back = RN_NONE;
	p->ptr = rn_prog_idx(p->env->prog, ptr, p->ntable + 1, e);
	if (!sorted) {
		p->order = rn_prog_idx(p->env->prog, rn_buf_ref(order), *known, e);
		p->back = rn_prog_idx(p->env->prog, rn_buf_ref(back), p->rows, e);
	}
	rn_buf_unref(order);
	rn_buf_unref(back);
	return p->ptr == RN_NONE || (!sorted && (p->order == RN_NONE || p->back == RN_NONE)) ? RN_ENOMEM
											      : 0;
free:
	free(next);
fail:
	rn_buf_unref(back);
	rn_buf_unref(ptr);
	return rc;
}

/* x through the order; a gather of a gather is one. */
static uint32_t take_sorted(struct per *p, uint32_t x, struct rn_err *e)
{
	struct rn_prog *g = p->env->prog;
	const struct rn_val *v = &g->vals[x];
	const struct rn_inst *i = v->kind == RN_V_INST ? &g->insts[v->inst] : NULL;
	const uint32_t *order = rn_prog_idx_data(g, p->order), *map;
	uint32_t n = g->idx[p->order].n, from, both;
	struct rn_buf *b;

	if (!i || i->op != RN_P_GATHER)
		return rn_prog_gather(g, x, p->order, e);
	from = i->in[0].val;
	map = rn_prog_idx_data(g, i->idx[0]);
	if (rn_buf_new((size_t)n * sizeof *map, "a row map", &b, e))
		return RN_NONE;
	for (uint32_t k = 0; k < n; k++)
		((uint32_t *)b->data)[k] = map[order[k]];
	both = rn_prog_idx(g, b, n, e);
	return both == RN_NONE ? both : rn_prog_gather(g, from, both, e);
}

/* w: [values] rows of shape [in, out] */
static int multiply_dense(struct per *p, uint32_t x, uint32_t w, uint32_t *out, struct rn_err *e)
{
	struct rn_prog *g = p->env->prog;
	uint32_t known;

	RN_TRY(sort_rows(p, &known, e));
	if (p->order == RN_NONE) {
		RN_VAL(out, rn_prog_ggemm(g, x, w, p->ptr, false, e));
		return 0;
	}
	RN_VAL(&x, take_sorted(p, x, e));
	RN_VAL(&x, rn_prog_ggemm(g, x, w, p->ptr, false, e));
	RN_VAL(out, rn_prog_gather(g, x, p->back, e));
	return 0;
}

/* A stored value of feature f in a row of value v takes row v * in + f of all matrices. */
static int multiply_sparse(struct per *p, const struct rn_elv *x, uint32_t w, uint32_t *out,
			   struct rn_err *e)
{
	struct rn_prog *g = p->env->prog;
	const uint32_t *ptr = rn_prog_idx_data(g, x->ptr), *col = rn_prog_idx_data(g, x->col);
	uint32_t nnz = g->idx[x->col].n, *at, idx;
	struct rn_buf *b;

	if ((uint64_t)p->ntable * p->in >= RN_NONE)
		return too_large(p, e);
	RN_VAL(&w, rn_prog_view(g, w, p->ntable * p->in, 1, &p->out, e));
	RN_TRY(rn_buf_new((size_t)nnz * sizeof *at, "values", &b, e));
	at = b->data;
	for (uint32_t r = 0; r < p->rows; r++)
		for (uint32_t k = ptr[r]; k < ptr[r + 1]; k++)
			at[k] = p->of[r] == RN_NO_ROW ? RN_NO_ROW : p->of[r] * p->in + col[k];
	RN_VAL(&idx, rn_prog_idx(g, b, nnz, e));
	RN_VAL(out, rn_prog_spmm(g, x->ptr, w, idx, x->val, RN_NONE, e));
	return 0;
}

/* ---- the whole -------------------------------------------------------------------------- */

/* The matrices as [values] rows of shape [in, out]. */
static int matrices(struct per *p, const char *prefix, enum rn_init init, double arg, uint32_t *w,
		    struct rn_err *e)
{
	uint32_t bases = p->how->bases, shape[2] = { p->in, p->out }, all = p->in * p->out;
	uint32_t dim[3] = { bases, p->in, p->out }, flat[2] = { bases, all };
	struct rn_prog *g = p->env->prog;
	struct rn_param_spec s = { .rank = 3, .init = init, .arg = arg, .fan_in = p->in,
				   .fan_out = p->out };
	struct rn_str name = RN_STR_INIT;
	uint32_t basis;
	int rc;

	if (!bases) {
		RN_VAL(w, rn_prog_view(g, p->table, p->ntable, 2, shape, e));
		return 0;
	}
	memcpy(s.dim, dim, sizeof dim);
	if (init == RN_INIT_DEFAULT)
		s.init = RN_INIT_XAVIER_UNIFORM;
	rn_str_addf(&name, "%s.basis", prefix);
	s.name = name.s;
	rc = rn_str_check(&name, e);
	if (!rc)
		rc = p->env->param(p->env->param_arg, &s, &basis, e);
	rn_str_fini(&name);
	RN_TRY(rc);
	RN_VAL(&basis, rn_prog_view(g, basis, 1, 2, flat, e));
	RN_VAL(w, rn_prog_view(g, p->table, p->ntable, 1, &bases, e));
	RN_VAL(w, rn_prog_gemm(g, *w, basis, RN_NONE, false, e));
	RN_VAL(w, rn_prog_view(g, *w, p->ntable, 2, shape, e));
	return 0;
}

static int lower_per(struct per *p, const struct rn_elv *x, size_t col, bool bias,
		     enum rn_init init, double arg, bool scratch, const char *prefix,
		     struct rn_elv *out, struct rn_err *e)
{
	bool torch = init == RN_INIT_DEFAULT && !p->how->bases;
	uint32_t w, v, b;

	RN_TRY(find_values(p, prefix, col, init, arg, scratch, e));
	RN_TRY(matrices(p, prefix, init, arg, &w, e));
	if (scratch)
		RN_VAL(&v, rn_prog_const_fill(p->env->prog, p->rows, p->out, 0, e));
	else if (x->kind == RN_LV_SPARSE)
		RN_TRY(multiply_sparse(p, x, w, &v, e));
	else
		RN_TRY(multiply_dense(p, x->val, w, &v, e));
	if (bias) {
		RN_TRY(rn_elower_param(p->env, prefix, "bias", 1, &p->out,
				       torch ? RN_INIT_UNIFORM : RN_INIT_FILL,
				       torch ? 1 / sqrt(p->in) : 0, &b, e));
		RN_VAL(&v, rn_prog_ew2(p->env->prog, RN_EW_ADD, v, b, e));
	}
	*out = rn_elv_dense(v, false);
	return 0;
}

int rn_elower_linear_per(const struct rn_lower_env *env, const struct rn_elv *x,
			 const struct rn_per *per, uint32_t in, uint32_t out_features, bool bias,
			 enum rn_init init, double arg, bool scratch, const char *prefix,
			 struct rn_elv *out, struct rn_err *e)
{
	struct per p = { .env = env, .how = per, .in = in, .out = out_features, .rows = env->rows };
	size_t col;
	int rc;

	if (!env->rel)
		return rn_err_set(e, RN_EUSAGE, "per=%s: there are no content columns here", per->col);
	RN_TRY(rn_schema_find(&env->rel->schema, per->col, &col, e));
	if (x->one)
		return rn_err_set(e, RN_EUSAGE, "per=%s is for an embedding of each row, and this is the "
				  "same for all", per->col);
	if (x->kind == RN_LV_DENSE && env->prog->vals[x->val].rank != 1)
		return rn_err_set(e, RN_EUSAGE, "per=%s is for embeddings of rank 1", per->col);
	if ((uint64_t)in * out_features >= RN_NONE)
		return too_large(&p, e);
	rc = lower_per(&p, x, col, bias, init, arg, scratch, prefix, out, e);
	free(p.of);
	return rc;
}

int rn_lower_linear_per(const struct rn_lower_env *env, const struct rn_lpart *x, const char *col,
			uint32_t bases, uint32_t out_features, bool bias, enum rn_init init,
			double arg, struct rn_lpart *out, struct rn_err *e)
{
	const char *prefix = env->param_prefix ? env->param_prefix : env->stage;
	struct rn_elv in = rn_elv_dense(x->val, false), res;
	struct rn_per per = { col, bases };
	struct rn_err local;

	e = e ? e : &local;
	if (x->sparse)
		in = (struct rn_elv){ .kind = RN_LV_SPARSE, .val = x->val, .ptr = x->ptr,
				      .col = x->col, .width = x->shape.dim[0] };
	RN_TRY(rn_elower_linear_per(env, &in, &per, x->shape.dim[0], out_features, bias, init, arg,
				    false, prefix, &res, e));
	*out = (struct rn_lpart){ .shape = { 1, { out_features } }, .base_rows = x->base_rows,
				  .val = res.val, .ptr = RN_NONE, .col = RN_NONE, .map = RN_NONE };
	return 0;
}
