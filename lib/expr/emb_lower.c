/* SPDX-License-Identifier: Apache-2.0
 *
 * Lowering of embedding expressions: the walk over the tree, names, operators,
 * and where a sparse operand can stay sparse.
 *
 * A value is a number known from the text, a dense value of the program, or a
 * sparse one (stored values beside a CSR).  One without a row dimension (a
 * parameter, a number) is `one`: it broadcasts over rows, whatever their number.
 * 0 times anything is 0 in a sparse operand, also 0 times infinity.  The number 0 times an
 * embedding is zeros of its shape, whatever it holds: nothing depends on it.
 */
#include "emb_ast.h"
#include "encode.h"

#include "../base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- shapes and sparseness ---------------------------------------------------------- */

int rn_elower_reshape(struct rn_elower *l, uint32_t x, uint32_t rank, const uint32_t *dim,
		      uint32_t *out, struct rn_err *e)
{
	const struct rn_val *v = &l->p->vals[x];

	*out = x;
	if (v->rank != rank || memcmp(v->dim, dim, rank * sizeof *dim))
		RN_VAL(out, rn_prog_view(l->p, x, v->rows, rank, dim, e));
	return 0;
}

static uint32_t sparse_rows(const struct rn_elower *l, const struct rn_elv *v)
{
	return l->p->idx[v->ptr].n - 1;
}

static int densify(struct rn_elower *l, struct rn_elv *v, struct rn_err *e)
{
	struct rn_inst i = rn_inst_init(RN_P_DENSIFY);

	if (!l->densifies && !l->scratch)
		rn_log(l->env->ctx, RN_LOG_INFO,
		       "'%s' of '%s' makes a sparse embedding of width %u dense", l->x->text,
		       l->env->stage ? l->env->stage : "?", v->width);
	l->densifies = true;
	i.nin = 1;
	i.in[0].val = v->val;
	i.idx[0] = v->ptr;
	i.idx[1] = v->col;
	RN_VAL(&v->val, rn_prog_add(l->p, &i, sparse_rows(l, v), 1, &v->width, e));
	*v = rn_elv_dense(v->val, false);
	return 0;
}

int rn_elower_dense(struct rn_elower *l, struct rn_elv *v, struct rn_err *e)
{
	struct rn_inst i = rn_inst_init(RN_P_EW);

	if (v->kind == RN_LV_SPARSE)
		return densify(l, v, e);
	if (v->kind == RN_LV_NUM) {
		i.fn = RN_EW_IMM;
		i.imm = v->num;
		RN_VAL(&v->val, rn_prog_add(l->p, &i, 1, 0, NULL, e));
		*v = rn_elv_dense(v->val, true);
	}
	return 0;
}

int rn_elower_rowof(struct rn_elower *l, uint32_t ptr, uint32_t *out, struct rn_err *e)
{
	const uint32_t *x = rn_prog_idx_data(l->p, ptr);
	uint32_t rows = l->p->idx[ptr].n - 1, *row;
	struct rn_buf *b;

	if (l->rowof_ptr != ptr) {
		RN_TRY(rn_buf_new((size_t)x[rows] * sizeof *row, "rows of stored values", &b, e));
		row = b->data;
		for (uint32_t r = 0; r < rows; r++)
			for (uint32_t k = x[r]; k < x[r + 1]; k++)
				row[k] = r;
		RN_VAL(&l->rowof, rn_prog_idx(l->p, b, x[rows], e));
		l->rowof_ptr = ptr;
	}
	*out = l->rowof;
	return 0;
}

/* The values of dense b where sparse a has stored ones, [nnz,1] (or one row of width 1). */
static int at_stored(struct rn_elower *l, const struct rn_elv *a, const struct rn_elv *b,
		     uint32_t *out, struct rn_err *e)
{
	const struct rn_val *v = &l->p->vals[b->val];
	struct rn_inst i = rn_inst_init(RN_P_ATCSR);
	uint32_t rowof, one = 1, view;

	*out = b->val;
	if (b->one) {
		if (v->width == 1)
			return 0;
		RN_VAL(&view, rn_prog_view(l->p, b->val, v->width, 1, &one, e));
		RN_VAL(out, rn_prog_gather(l->p, view, a->col, e));
		return 0;
	}
	if (v->width == 1) {
		RN_TRY(rn_elower_rowof(l, a->ptr, &rowof, e));
		RN_VAL(out, rn_prog_gather(l->p, b->val, rowof, e));
		return 0;
	}
	i.nin = 1;
	i.in[0].val = b->val;
	i.idx[0] = a->ptr;
	i.idx[1] = a->col;
	RN_VAL(out, rn_prog_add(l->p, &i, l->p->idx[a->col].n, 1, &one, e));
	return 0;
}

/* ---- elementwise operators ---------------------------------------------------------- */

static double fold(enum rn_ew fn, double a, double b)
{
	switch (fn) {
	case RN_EW_ADD: return a + b;
	case RN_EW_SUB: return a - b;
	case RN_EW_MUL: return a * b;
	case RN_EW_DIV: return a / b;
	case RN_EW_POW: return pow(a, b);
	case RN_EW_MAX: return a >= b || a != a ? a : b;
	case RN_EW_MIN: return a <= b || a != a ? a : b;
	case RN_EW_EQ: return a == b;
	case RN_EW_LT: return a < b;
	case RN_EW_LE: return a <= b;
	default: return NAN;
	}
}

/* Is fn(0, b), or fn(b, 0), 0 for this number? */
static bool zero_with(enum rn_ew fn, double b, bool zero_first)
{
	switch (fn) {
	case RN_EW_MUL: return true;
	case RN_EW_DIV: return zero_first && b != 0;
	case RN_EW_POW: return zero_first && b > 0;
	case RN_EW_MAX: return b <= 0;
	case RN_EW_MIN: return b >= 0;
	case RN_EW_EQ: return b != 0;
	default: return false;
	}
}

/* fn(a, b) with a sparse operand that stays sparse; false: it cannot. */
static bool keeps_sparse(const struct rn_elower *l, enum rn_ew fn, const struct rn_elv *a,
			 const struct rn_elv *b)
{
	const struct rn_elv *s = a->kind == RN_LV_SPARSE ? a : b, *o = s == a ? b : a;
	const struct rn_val *v;

	if (o->kind == RN_LV_SPARSE)
		return a->ptr == b->ptr && a->col == b->col &&
		       (fn == RN_EW_ADD || fn == RN_EW_SUB || fn == RN_EW_MUL ||
			fn == RN_EW_MAX || fn == RN_EW_MIN);
	if (o->kind == RN_LV_NUM)
		return zero_with(fn, o->num, s == a);
	v = &l->p->vals[o->val];
	return (fn == RN_EW_MUL || (fn == RN_EW_DIV && s == a)) &&
	       (v->width == 1 || (v->rank == 1 && v->width == s->width));
}

static int ew2_sparse(struct rn_elower *l, enum rn_ew fn, const struct rn_elv *a,
		      const struct rn_elv *b, struct rn_elv *out, struct rn_err *e)
{
	const struct rn_elv *s = a->kind == RN_LV_SPARSE ? a : b, *o = s == a ? b : a;
	struct rn_elv res = *s;
	uint32_t x;

	if (o->kind == RN_LV_NUM) {
		RN_VAL(&res.val, rn_prog_ew_imm(l->p, fn, s->val, o->num, s == b, e));
	} else {
		x = o->val;
		if (o->kind == RN_LV_DENSE)
			RN_TRY(at_stored(l, s, o, &x, e));
		RN_VAL(&res.val, s == a ? rn_prog_ew2(l->p, fn, s->val, x, e)
					: rn_prog_ew2(l->p, fn, x, s->val, e));
	}
	*out = res;
	return 0;
}

/* Zeros of v's shape: missing rows of a table, or rows without stored values. */
static int zeros_like(struct rn_elower *l, const struct rn_elv *v, struct rn_elv *out,
		      struct rn_err *e)
{
	uint32_t one = 1, rows, map, rank, dim[RN_MAX_RANK];
	size_t width = 1;
	struct rn_buf *b;

	if (v->kind == RN_LV_SPARSE) {
		*out = (struct rn_elv){ .kind = RN_LV_SPARSE, .width = v->width };
		RN_TRY(rn_buf_new(((size_t)sparse_rows(l, v) + 1) * sizeof one, "zeros", &b, e));
		RN_VAL(&out->ptr, rn_prog_idx(l->p, b, sparse_rows(l, v) + 1, e));
		RN_TRY(rn_buf_new(0, "zeros", &b, e));
		RN_VAL(&out->col, rn_prog_idx(l->p, b, 0, e));
		RN_TRY(rn_buf_new(0, "zeros", &b, e));
		RN_VAL(&out->val, rn_prog_const(l->p, 0, 1, &one, b, e));
		return 0;
	}
	rows = l->p->vals[v->val].rows;
	rank = l->p->vals[v->val].rank;
	memcpy(dim, l->p->vals[v->val].dim, sizeof dim);
	for (uint32_t i = 0; i < rank; i++)
		width *= dim[i];
	RN_TRY(rn_buf_new(width * sizeof(float), "zeros", &b, e));
	RN_VAL(&out->val, rn_prog_const(l->p, 1, rank, dim, b, e));
	if (!v->one) {
		RN_TRY(rn_buf_new((size_t)rows * sizeof map, "zeros", &b, e));
		memset(b->data, 0xFF, (size_t)rows * sizeof map);
		RN_VAL(&map, rn_prog_idx(l->p, b, rows, e));
		RN_VAL(&out->val, rn_prog_gather(l->p, out->val, map, e));
	}
	*out = rn_elv_dense(out->val, v->one);
	return 0;
}

int rn_elower_ew2(struct rn_elower *l, enum rn_ew fn, const struct rn_elv *a,
		  const struct rn_elv *b, struct rn_elv *out, struct rn_err *e)
{
	struct rn_elv x = *a, y = *b;
	uint32_t v;

	if (a->kind == RN_LV_NUM && b->kind == RN_LV_NUM) {
		*out = rn_elv_num(fold(fn, a->num, b->num));
		return 0;
	}
	if (fn == RN_EW_MUL && ((a->kind == RN_LV_NUM && a->num == 0) ||
				(b->kind == RN_LV_NUM && b->num == 0)))
		return zeros_like(l, a->kind == RN_LV_NUM ? b : a, out, e);
	if ((a->kind == RN_LV_SPARSE || b->kind == RN_LV_SPARSE) && keeps_sparse(l, fn, a, b))
		return ew2_sparse(l, fn, a, b, out, e);
	if (x.kind == RN_LV_SPARSE)
		RN_TRY(densify(l, &x, e));
	if (y.kind == RN_LV_SPARSE)
		RN_TRY(densify(l, &y, e));
	if (y.kind == RN_LV_NUM)
		v = rn_prog_ew_imm(l->p, fn, x.val, y.num, false, e);
	else if (x.kind == RN_LV_NUM)
		v = rn_prog_ew_imm(l->p, fn, y.val, x.num, true, e);
	else
		v = rn_prog_ew2(l->p, fn, x.val, y.val, e);
	RN_VAL(&v, v);
	*out = rn_elv_dense(v, x.one && y.one);
	return 0;
}

int rn_elower_rowsum(struct rn_elower *l, const struct rn_elv *a, struct rn_elv *out,
		     struct rn_err *e)
{
	uint32_t v;

	if (a->kind == RN_LV_SPARSE)
		v = rn_prog_spmm(l->p, a->ptr, a->val, RN_NONE, RN_NONE, RN_NONE, e);
	else
		v = rn_prog_fsum(l->p, a->val, NULL, 0, NULL, e);
	RN_VAL(&v, v);
	*out = rn_elv_dense(v, a->one);
	return 0;
}

/* ---- matrix product ----------------------------------------------------------------- */

static void shape_of(const struct rn_elower *l, const struct rn_elv *v, struct rn_shape *s)
{
	*s = (struct rn_shape){ .rank = 1, .dim = { v->width } };
	if (v->kind == RN_LV_DENSE) {
		s->rank = l->p->vals[v->val].rank;
		memcpy(s->dim, l->p->vals[v->val].dim, sizeof s->dim);
	}
}

static int bad_matmul(struct rn_elower *l, const struct rn_enode *n, const struct rn_shape *a,
		      const struct rn_shape *b, struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;
	int rc;

	rn_shape_print(a, &s);
	rn_str_add(&s, " @ ");
	rn_shape_print(b, &s);
	rc = rn_eexpr_fail(l->x, n, e, "'@' multiplies matrices whose inner sizes agree, not %s",
			   s.s);
	rn_str_fini(&s);
	return rc;
}

int rn_elower_matmul(struct rn_elower *l, const struct rn_enode *n, const struct rn_elv *a,
		     const struct rn_elv *b, struct rn_elv *out, struct rn_err *e)
{
	struct rn_elv x = *a, y = *b;
	struct rn_shape sa, sb;
	uint32_t v, one = 1;

	if (a->kind == RN_LV_NUM || b->kind == RN_LV_NUM)
		return rn_eexpr_fail(l->x, n, e, "'@' multiplies matrices: write '*' for a number");
	if (y.kind == RN_LV_SPARSE)
		RN_TRY(densify(l, &y, e));
	shape_of(l, &x, &sa);
	shape_of(l, &y, &sb);
	if (sa.rank > 2 || sb.rank > 2 || !sa.rank || !sb.rank ||
	    (sa.dim[sa.rank - 1] != sb.dim[0] && sa.dim[sa.rank - 1] != RN_DIM_UNKNOWN &&
	     sb.dim[0] != RN_DIM_UNKNOWN))
		return bad_matmul(l, n, &sa, &sb, e);
	if (sa.rank == 1 && sb.rank == 2 && y.one) { /* a parameter: [d] @ [d,k] = [k] */
		if (x.kind == RN_LV_SPARSE) {
			RN_VAL(&v, rn_prog_view(l->p, y.val, sb.dim[0], 1, &sb.dim[1], e));
			RN_VAL(&v, rn_prog_spmm(l->p, x.ptr, v, x.col, x.val, RN_NONE, e));
		} else {
			RN_VAL(&v, rn_prog_gemm(l->p, x.val, y.val, RN_NONE, false, e));
		}
		*out = rn_elv_dense(v, x.one);
		return 0;
	}
	if (x.kind == RN_LV_SPARSE)
		RN_TRY(densify(l, &x, e));
	/* [d] on the left is a row: a stored column, transposed. */
	if (sa.rank == 1 && sb.rank == 1) {
		RN_TRY(rn_elower_ew2(l, RN_EW_MUL, &x, &y, &x, e));
		RN_TRY(rn_elower_rowsum(l, &x, out, e));
		RN_TRY(rn_elower_reshape(l, out->val, 2, (uint32_t[]){ one, one }, &out->val, e));
		return 0;
	}
	RN_VAL(&v, rn_prog_matmul(l->p, x.val, y.val, sa.rank == 1, false, e));
	*out = rn_elv_dense(v, x.one && y.one);
	return 0;
}

/* ---- names -------------------------------------------------------------------------- */

/* A name that is no part: say what there is, and whether a column is meant. */
static int no_part(struct rn_elower *l, const struct rn_enode *n, struct rn_err *e)
{
	const struct rn_lower_env *env = l->env;
	struct rn_str s = RN_STR_INIT;
	int rc;

	for (size_t i = 0; i < env->nparts; i++)
		rn_str_addf(&s, "%s'%s'", i ? ", " : "", env->parts[i].name);
	if (env->rel) {
		size_t col;

		if (!rn_schema_find(&env->rel->schema, n->str, &col, NULL)) {
			rn_str_fini(&s);
			return rn_eexpr_fail(l->x, n, e, "'%s' is a content column: write [%s]",
					     n->str, n->str);
		}
	}
	if (rn_efunc_find(n->str))
		rc = rn_eexpr_fail(l->x, n, e, "'%s' is a function: write %s(…)", n->str, n->str);
	else if (!env->nparts)
		rc = rn_eexpr_fail(l->x, n, e, "there is no embedding '%s': the input has none",
				   n->str);
	else
		rc = rn_eexpr_fail(l->x, n, e, "there is no embedding '%s' (there is %s)", n->str,
				   s.s);
	rn_str_fini(&s);
	return rc;
}

static int lower_name(struct rn_elower *l, const struct rn_enode *n, struct rn_elv *out,
		      struct rn_err *e)
{
	const struct rn_lower_env *env = l->env;
	struct rn_lpart flat;
	size_t i;

	for (i = 0; i < env->nparts; i++)
		if (env->parts[i].name && !strcmp(env->parts[i].name, n->str))
			break;
	if (i == env->nparts && env->nparts == 1 &&
	    (!strcmp(n->str, "z") ||
	     (env->rel->schema.name && !strcmp(n->str, env->rel->schema.name))))
		i = 0; /* a sole part is also z, and bears its relation's name */
	if (i == env->nparts)
		return no_part(l, n, e);
	if (!l->have[i]) {
		RN_TRY(rn_lpart_flatten(l->p, &env->parts[i], env->rows, &flat, e));
		l->parts[i] = rn_elv_dense(flat.val, false);
		if (flat.sparse)
			l->parts[i] = (struct rn_elv){ .kind = RN_LV_SPARSE, .val = flat.val,
						       .ptr = flat.ptr, .col = flat.col,
						       .width = flat.shape.dim[0] };
		l->have[i] = true;
	}
	*out = l->parts[i];
	return 0;
}

static int lower_column(struct rn_elower *l, const struct rn_enode *n, const char *name,
			uint32_t *val, struct rn_err *e)
{
	size_t col;
	int rc = rn_schema_find(&l->env->rel->schema, name, &col, e);

	if (rc)
		return rn_eexpr_caret(l->x->text, n->pos, rc, e);
	for (size_t i = 0; i < l->ncols; i++)
		if (l->cols[i].col == col) {
			*val = l->cols[i].val;
			return 0;
		}
	rc = rn_lower_column(l->env, col, val, e);
	if (rc)
		return rc == RN_EUSAGE ? rn_eexpr_caret(l->x->text, n->pos, rc, e) : rc;
	RN_TRY(rn_grow(&l->cols, &l->cap_cols, l->ncols + 1, sizeof *l->cols, "columns", e));
	l->cols[l->ncols].col = col;
	l->cols[l->ncols++].val = *val;
	return 0;
}

/* A block of encoded columns as a constant of the program. */
static int lower_block(struct rn_elower *l, const struct rn_enc_block *b, struct rn_elv *out,
		       struct rn_err *e)
{
	uint32_t one = 1, rows = l->env->rows;

	if (!b->sparse) {
		RN_VAL(&out->val, rn_prog_const(l->p, rows, 1, &b->width, rn_buf_ref(b->val), e));
		*out = rn_elv_dense(out->val, false);
		return 0;
	}
	*out = (struct rn_elv){ .kind = RN_LV_SPARSE, .width = b->width };
	RN_VAL(&out->ptr, rn_prog_idx(l->p, rn_buf_ref(b->ptr), rows + 1, e));
	RN_VAL(&out->col, rn_prog_idx(l->p, rn_buf_ref(b->col), (uint32_t)b->nnz, e));
	RN_VAL(&out->val, rn_prog_const(l->p, (uint32_t)b->nnz, 1, &one, rn_buf_ref(b->val), e));
	return 0;
}

/* Encoders in brackets fit nothing and learn nothing, so there is one block. */
static int lower_encoders(struct rn_elower *l, const struct rn_enode *n, struct rn_elv *out,
			  struct rn_err *e)
{
	const struct rn_lower_env *env = l->env;
	struct rn_encoded x = { 0 };
	struct rn_encoders es;
	struct rn_einfo info;
	int rc;

	RN_TRY(rn_encoders_parse_bare(n->str, 0, &es, e));
	rc = rn_encoders_infer(&es, NULL, &env->rel->schema, &info, e);
	if (rc)
		rn_eexpr_caret(l->x->text, n->pos, rc, e);
	if (!rc)
		rc = rn_encoders_apply(env->ctx, &es, NULL, env->rel, env->stage, &x, e);
	if (!rc)
		rc = lower_block(l, &x.blocks[0], out, e);
	rn_encoded_fini(&x);
	rn_encoders_fini(&es);
	return rc;
}

static int lower_columns(struct rn_elower *l, const struct rn_enode *n, struct rn_elv *out,
			 struct rn_err *e)
{
	uint32_t *vals, v = RN_NONE;
	int rc = 0;

	if (!l->env->rel)
		return rn_eexpr_fail(l->x, n, e, "there are no content columns here");
	if (n->str)
		return lower_encoders(l, n, out, e);
	RN_TRY(rn_calloc(n->nby, sizeof *vals, "columns", &vals, e));
	for (uint32_t i = 0; i < n->nby && !rc; i++)
		rc = lower_column(l, n, n->by[i], &vals[i], e);
	if (!rc) {
		v = rn_prog_concat(l->p, vals, n->nby, e);
		rc = v == RN_NONE ? (e ? e->code : RN_EBUG) : 0;
	}
	free(vals);
	if (rc)
		return rc;
	*out = rn_elv_dense(v, false);
	return 0;
}

/* ---- the walk ----------------------------------------------------------------------- */

static int lower_bin(struct rn_elower *l, const struct rn_enode *n, struct rn_elv *out,
		     struct rn_err *e)
{
	static const struct {
		enum rn_ew fn;
		bool swap, not_;
	} how[] = {
		[RN_B_ADD] = { RN_EW_ADD, 0, 0 }, [RN_B_SUB] = { RN_EW_SUB, 0, 0 },
		[RN_B_MUL] = { RN_EW_MUL, 0, 0 }, [RN_B_DIV] = { RN_EW_DIV, 0, 0 },
		[RN_B_POW] = { RN_EW_POW, 0, 0 }, [RN_B_EQ] = { RN_EW_EQ, 0, 0 },
		[RN_B_NE] = { RN_EW_EQ, 0, 1 },	  [RN_B_LT] = { RN_EW_LT, 0, 0 },
		[RN_B_LE] = { RN_EW_LE, 0, 0 },	  [RN_B_GT] = { RN_EW_LT, 1, 0 },
		[RN_B_GE] = { RN_EW_LE, 1, 0 },
	};
	struct rn_elv a, b, one = rn_elv_num(1);
	int rc;

	RN_TRY(rn_elower_node(l, n->args[0], &a, e));
	RN_TRY(rn_elower_node(l, n->args[1], &b, e));
	if (n->op == RN_B_MATMUL)
		return rn_elower_matmul(l, n, &a, &b, out, e);
	rc = rn_elower_ew2(l, how[n->op].fn, how[n->op].swap ? &b : &a,
			   how[n->op].swap ? &a : &b, out, e);
	if (rc == RN_EUSAGE)
		return rn_eexpr_caret(l->x->text, n->pos, rc, e);
	if (!rc && how[n->op].not_)
		rc = rn_elower_ew2(l, RN_EW_SUB, &one, out, out, e);
	return rc;
}

static int lower_neg(struct rn_elower *l, const struct rn_enode *n, struct rn_elv *out,
		     struct rn_err *e)
{
	RN_TRY(rn_elower_node(l, n->args[0], out, e));
	if (out->kind == RN_LV_NUM)
		out->num = -out->num;
	else
		RN_VAL(&out->val, rn_prog_ew1(l->p, RN_EW_NEG, out->val, e));
	return 0;
}

/* An elementwise function of a sparse operand: of its stored values. */
static int apply_stored(struct rn_elower *l, const struct rn_enode *n, const struct rn_earg *cfg,
			const struct rn_elv *a, struct rn_elv *out, struct rn_err *e)
{
	struct rn_elv stored = rn_elv_dense(a->val, false), res;

	RN_TRY(n->fn->lower(l, n, cfg, &stored, &res, e));
	*out = *a;
	out->val = res.val;
	return 0;
}

static int lower_call(struct rn_elower *l, const struct rn_enode *n, struct rn_elv *out,
		      struct rn_err *e)
{
	const struct rn_efunc *f = n->fn;
	struct rn_earg cfg[RN_A_MAX];
	struct rn_elv *a;
	int rc = 0;

	RN_TRY(rn_efunc_bind(l->x, n, cfg, e));
	if (f->form == RN_FORM_AGG)
		return rn_eexpr_fail(l->x, n, e, "%s(…) is an aggregate: it belongs outermost, in "
						 "rn-agg or a rule's head", f->name);
	RN_TRY(rn_calloc(n->nargs, sizeof *a, "operands", &a, e));
	for (uint32_t i = 0; i < n->nargs && !rc; i++)
		rc = rn_elower_node(l, n->args[i], &a[i], e);
	if (!rc && n->nargs == 1 && a[0].kind == RN_LV_SPARSE && f->flags & RN_FN_ZERO) {
		rc = apply_stored(l, n, cfg, &a[0], out, e);
	} else if (!rc) {
		for (uint32_t i = 0; i < n->nargs && !rc; i++)
			if (!(f->flags & (a[i].kind == RN_LV_NUM ? RN_FN_NUM : RN_FN_SPARSE)))
				rc = rn_elower_dense(l, &a[i], e);
		if (!rc)
			rc = f->lower(l, n, cfg, a, out, e);
	}
	free(a);
	if (rc == RN_EUSAGE && e && !strchr(e->msg, '\n'))
		rc = rn_eexpr_caret(l->x->text, n->pos, rc, e);
	return rc;
}

int rn_elower_node(struct rn_elower *l, const struct rn_enode *n, struct rn_elv *out,
		   struct rn_err *e)
{
	switch (n->kind) {
	case RN_E_NUM:
	case RN_E_BOOL:
		*out = rn_elv_num(n->num);
		return 0;
	case RN_E_NAME:
		return lower_name(l, n, out, e);
	case RN_E_COLS:
		return lower_columns(l, n, out, e);
	case RN_E_NEG:
		return lower_neg(l, n, out, e);
	case RN_E_BIN:
		return lower_bin(l, n, out, e);
	case RN_E_CALL:
		return lower_call(l, n, out, e);
	case RN_E_STR:
	case RN_E_NONE:
	case RN_E_LIST:
		break;
	}
	return rn_eexpr_fail(l->x, n, e, "expected an embedding, found %s",
			     n->kind == RN_E_STR ? "a string" : n->kind == RN_E_NONE ? "None" :
			     "a list of numbers (Concat makes an embedding of numbers)");
}

/* A value without a row dimension, for every row. */
static int spread(struct rn_elower *l, uint32_t *val, struct rn_err *e)
{
	struct rn_buf *b;
	uint32_t map;

	RN_TRY(rn_buf_new((size_t)l->env->rows * sizeof map, "a row map", &b, e));
	RN_VAL(&map, rn_prog_idx(l->p, b, l->env->rows, e));
	RN_VAL(val, rn_prog_gather(l->p, *val, map, e));
	return 0;
}

/* The result as a part: rows, and a rank of 1 or more. */
static int finish(struct rn_elower *l, struct rn_elv *v, struct rn_lpart *out, struct rn_err *e)
{
	const struct rn_val *pv;
	uint32_t one = 1;

	*out = (struct rn_lpart){ .base_rows = l->env->rows, .ptr = RN_NONE, .col = RN_NONE,
				  .map = RN_NONE };
	if (v->kind == RN_LV_SPARSE) {
		out->sparse = true;
		out->val = v->val;
		out->ptr = v->ptr;
		out->col = v->col;
		out->shape = (struct rn_shape){ .rank = 1, .dim = { v->width } };
		return 0;
	}
	RN_TRY(rn_elower_dense(l, v, e));
	if (!l->p->vals[v->val].rank)
		RN_TRY(rn_elower_reshape(l, v->val, 1, &one, &v->val, e));
	if (v->one)
		RN_TRY(spread(l, &v->val, e));
	pv = &l->p->vals[v->val];
	out->val = v->val;
	out->shape.rank = pv->rank;
	memcpy(out->shape.dim, pv->dim, sizeof pv->dim);
	return 0;
}

int rn_elower_run(struct rn_elower *l, struct rn_lpart *out, struct rn_err *e)
{
	size_t n = l->env->nparts;
	struct rn_elv v;
	int rc;

	l->rowof_ptr = RN_NONE;
	RN_TRY(rn_calloc(n, sizeof *l->parts, "an expression", &l->parts, e));
	rc = rn_calloc(n, sizeof *l->have, "an expression", &l->have, e);
	if (!rc)
		rc = rn_elower_node(l, l->x->root, &v, e);
	if (!rc)
		rc = finish(l, &v, out, e);
	free(l->cols);
	free(l->have);
	free(l->parts);
	return rc;
}

int rn_eexpr_lower(const struct rn_eexpr *x, const struct rn_lower_env *env, struct rn_lpart *out,
		   struct rn_err *e)
{
	struct rn_elower l = { .x = x, .env = env, .p = env->prog };
	struct rn_err local;

	return rn_elower_run(&l, out, e ? e : &local);
}
