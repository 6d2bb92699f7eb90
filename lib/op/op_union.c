/* SPDX-License-Identifier: Apache-2.0
 *
 * union: bag union by column name; the parts are stacked.
 */
#include "op_union.h"

#include "op_table.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>

static const char *const examples[] = {
	"rn-union cites.er self.er -o edges.er",
	"rn-union <(rn-scan jan.csv) <(rn-scan feb.csv) | rn-head",
	NULL,
};

/* Where input s has the columns of `first`: at[i]. */
static int match_columns(const struct rn_schema *first, const struct rn_schema *s, size_t input,
			 size_t *at, struct rn_err *e)
{
	if (s->ncols != first->ncols)
		return rn_err_set(e, RN_EUSAGE,
				  "input %zu has %zu columns and the first has %zu: project them to the same "
				  "names", input + 1, s->ncols, first->ncols);
	for (size_t i = 0; i < first->ncols; i++) {
		struct rn_str name = RN_STR_INIT;
		int rc;

		rn_schema_col_name(first, i, &name);
		rc = rn_str_check(&name, e);
		if (!rc)
			rc = rn_schema_find(s, name.s, &at[i], e);
		rn_str_fini(&name);
		if (rc)
			return rn_err_prefix(e, rc, "input %zu", input + 1);
		if (s->cols[at[i]].type != first->cols[i].type)
			return rn_err_set(e, RN_EUSAGE, "column '%s' is %s in input %zu and %s in the first",
					  first->cols[i].name, rn_type_name(s->cols[at[i]].type), input + 1,
					  rn_type_name(first->cols[i].type));
	}
	return 0;
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	struct rn_shape shape = in[0]->nparts ? in[0]->parts[0].shape : (struct rn_shape){ 0 };
	const struct rn_schema *first = in[0];
	bool sparse = true;
	size_t *at;
	int rc = 0;

	RN_TRY(rn_calloc(first->ncols, sizeof *at, "columns", &at, e));
	for (size_t i = 1; i < n->nin && !rc; i++)
		rc = match_columns(first, in[i], i, at, e);
	free(at);
	if (rc)
		return rc;
	for (size_t i = 0; i < first->ncols; i++)
		RN_TRY(rn_schema_add_col(out, first->cols[i].name, first->cols[i].qual,
					 first->cols[i].type, e));
	for (size_t i = 0; i < n->nin; i++) {
		if (in[i]->nparts > 1)
			return rn_err_set(e, RN_EUSAGE,
					  "input %zu has %zu embedding parts: combine them with a map first", i + 1,
					  in[i]->nparts);
		if (in[i]->nparts != first->nparts)
			return rn_err_set(e, RN_EUSAGE, "input %zu has %s embedding and the first has %s", i + 1,
					  in[i]->nparts ? "an" : "no", first->nparts ? "one" : "none");
		if (first->nparts && !rn_shape_unify(&in[i]->parts[0].shape, &shape, &shape)) {
			struct rn_str a = RN_STR_INIT, b = RN_STR_INIT;

			rn_shape_print(&in[i]->parts[0].shape, &a);
			rn_shape_print(&shape, &b);
			rn_err_set(e, RN_EUSAGE, "the embedding of input %zu has shape %s and that of the first %s",
				   i + 1, a.s, b.s);
			rn_str_fini(&a);
			rn_str_fini(&b);
			return RN_EUSAGE;
		}
		sparse = sparse && first->nparts && in[i]->parts[0].sparse;
	}
	if (first->nparts)
		return rn_schema_add_part(out, "z", &shape, sparse, e);
	return 0;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *r = NULL;
	struct rn_column **cols = NULL;
	size_t *at = NULL, ncols = in[0]->schema.ncols;
	uint64_t rows = 0;
	int rc;

	(void)schema, (void)state;
	for (size_t i = 0; i < n->nin; i++)
		rows += in[i]->rows;
	RN_TRY(rn_op_check_rows(rows, e));
	RN_TRY(rn_op_check_mem(c, rows, &in[0]->schema, e));
	RN_GOTO(fail, rn_calloc(ncols * n->nin, sizeof *at, "columns", &at, e));
	RN_GOTO(fail, rn_calloc(n->nin, sizeof(struct rn_column *), "columns", &cols, e));
	RN_GOTO(fail, rn_rel_new(NULL, rows, &r, e));
	for (size_t i = 0; i < n->nin; i++)
		RN_GOTO(fail, match_columns(&in[0]->schema, &in[i]->schema, i, at + i * ncols, e));
	for (size_t j = 0; j < ncols; j++) {
		const struct rn_field *f = &in[0]->schema.cols[j];
		struct rn_column *col;

		for (size_t i = 0; i < n->nin; i++)
			cols[i] = in[i]->cols[at[i * ncols + j]];
		RN_GOTO(fail, rn_column_concat(cols, n->nin, &col, e));
		RN_GOTO(fail, rn_rel_add_col(r, f->name, f->qual, col, e));
	}
	free(cols);
	free(at);
	*out = r;
	return 0;
fail:
	free(cols);
	free(at);
	rn_rel_unref(r);
	return rc;
}

static int reach(const struct rn_ctx *c, const struct rn_node *n, const void *state,
		 const struct rn_rel *const *in, uint32_t k, const uint8_t *out, uint64_t rows,
		 uint8_t *mark, struct rn_err *e)
{
	(void)c, (void)n, (void)state, (void)rows, (void)e;
	for (uint32_t i = 0; i < k; i++)
		out += in[i]->rows;
	rn_op_reach_map(NULL, out, in[k]->rows, mark);
	return 0;
}

/* Patterns of sparse inputs, one under the other. */
static int stack_pattern(struct rn_prog *p, const struct rn_lpart *xs, size_t n, uint32_t rows,
			 struct rn_lpart *out, struct rn_err *e)
{
	struct rn_buf *ptr, *col = NULL;
	size_t nnz = 0, r = 0, k = 0;

	for (size_t i = 0; i < n; i++)
		nnz += p->idx[xs[i].col].n;
	RN_TRY(rn_buf_new(((size_t)rows + 1) * 4, "row pointers", &ptr, e));
	if (rn_buf_new(nnz * 4, "columns", &col, e)) {
		rn_buf_unref(ptr);
		return RN_ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		const uint32_t *q = rn_prog_idx_data(p, xs[i].ptr);

		for (uint32_t j = 0; j < xs[i].base_rows; j++)
			((uint32_t *)ptr->data)[++r] = (uint32_t)k + q[j + 1];
		memcpy((uint32_t *)col->data + k, rn_prog_idx_data(p, xs[i].col),
		       (size_t)p->idx[xs[i].col].n * 4);
		k += p->idx[xs[i].col].n;
	}
	out->ptr = rn_prog_idx(p, ptr, rows + 1, e);
	out->col = rn_prog_idx(p, col, (uint32_t)nnz, e);
	return out->ptr == RN_NONE || out->col == RN_NONE ? RN_ENOMEM : 0;
}

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	uint32_t rows = (uint32_t)out->rel->rows, vals[RN_MANY];
	struct rn_lpart flat[RN_MANY], z;
	bool sparse = true;

	(void)state;
	if (!in[0].nparts)
		return 0;
	for (size_t i = 0; i < n->nin; i++)
		sparse = sparse && in[i].parts[0].sparse;
	for (size_t i = 0; i < n->nin; i++) {
		RN_TRY(rn_lpart_flatten(lw->prog, &in[i].parts[0], (uint32_t)in[i].rel->rows, &flat[i], e));
		vals[i] = flat[i].val;
		if (!sparse)
			RN_TRY(rn_lpart_dense(lw->prog, &flat[i], &vals[i], e));
	}
	z = (struct rn_lpart){ .shape = flat[0].shape, .base_rows = rows, .sparse = sparse,
			       .ptr = RN_NONE, .col = RN_NONE, .map = RN_NONE };
	if (sparse)
		RN_TRY(stack_pattern(lw->prog, flat, n->nin, rows, &z, e));
	z.val = rn_prog_stack(lw->prog, vals, (uint32_t)n->nin, e);
	if (z.val == RN_NONE)
		return e && e->code ? e->code : RN_ENOMEM;
	return rn_op_sole_part(out, "z", &z, e);
}

/* ---- block by block -------------------------------------------------------------- */

/* t, sparse or dense as the result is. */
static int convert(const struct rn_tensor *t, bool sparse, struct rn_tensor **out, struct rn_err *e)
{
	uint32_t width = rn_shape_width(&t->shape);
	struct rn_tensor *o;

	if (t->sparse == sparse) {
		*out = rn_tensor_ref((struct rn_tensor *)t);
		return 0;
	}
	RN_TRY(rn_tensor_new(&t->shape, t->rows, &o, e)); /* the union of both kinds is dense */
	for (uint64_t r = 0; r < t->rows; r++)
		for (uint64_t k = t->ptr[r]; k < t->ptr[r + 1]; k++)
			o->data[r * width + t->col[k]] += t->data[k]; /* -0 becomes 0 */
	*out = o;
	return 0;
}

static int add_block_part(const struct rn_schema *out, const struct rn_rel *block, struct rn_rel *r,
			  struct rn_err *e)
{
	struct rn_tensor *flat, *z;
	int rc;

	RN_TRY(rn_rel_flat_part(block, 0, &flat, e));
	rc = convert(flat, out->parts[0].sparse, &z, e);
	rn_tensor_unref(flat);
	return rc ? rc : rn_rel_add_part(r, out->parts[0].name, z, NULL, e);
}

int rn_union_block(const struct rn_node *n, const struct rn_schema *const *in,
		   const struct rn_schema *out, size_t i, const struct rn_rel *block,
		   struct rn_rel **r, struct rn_err *e)
{
	struct rn_rel *o = NULL;
	size_t *at;
	int rc;

	RN_TRY(rn_calloc(out->ncols, sizeof *at, "columns", &at, e));
	RN_GOTO(out, match_columns(in[0], in[i], i, at, e));
	RN_GOTO(out, rn_rel_new(n->name, block->rows, &o, e));
	for (size_t k = 0; k < out->ncols; k++)
		RN_GOTO(out, rn_rel_add_col(o, out->cols[k].name, out->cols[k].qual,
					    rn_column_ref(block->cols[at[k]]), e));
	if (out->nparts)
		rc = add_block_part(out, block, o, e);
out:
	free(at);
	if (rc)
		rn_rel_unref(o);
	else
		*r = o;
	return rc;
}

const struct rn_op rn_op_union = {
	.name = "union",
	.what = "stack relations that have the same columns",
	.usage = "FILE...",
	.examples = examples,
	.see_also = "rn-join(1), rn-project(1)",
	.min_in = 1,
	.max_in = RN_MANY,
	.infer = infer,
	.bind = bind,
	.reach = reach,
	.lower = lower,
};
