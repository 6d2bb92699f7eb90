/* SPDX-License-Identifier: Apache-2.0 */
#include "lower.h"

#include "pass.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void release_tensor(struct rn_buf *b)
{
	rn_tensor_unref(b->owner);
}

/* A buffer that stands for t's values and keeps t alive. */
static int tensor_buf(struct rn_tensor *t, struct rn_buf **out, struct rn_err *e)
{
	struct rn_buf *b;

	RN_TRY(rn_calloc(1, sizeof *b, "a tensor", &b, e));
	b->data = t->data;
	b->size = t->nnz * sizeof(float);
	b->refs = 1;
	b->owner = rn_tensor_ref(t);
	b->release = release_tensor;
	*out = b;
	return 0;
}

static int sparse_part(struct rn_prog *p, struct rn_tensor *t, struct rn_lpart *out,
		       struct rn_err *e)
{
	struct rn_buf *ptr;

	RN_TRY(rn_buf_new((t->rows + 1) * 4, "row pointers", &ptr, e));
	for (uint64_t i = 0; i <= t->rows; i++)
		((uint32_t *)ptr->data)[i] = (uint32_t)t->ptr[i];
	out->ptr = rn_prog_idx(p, ptr, (uint32_t)t->rows + 1, e);
	out->col = rn_prog_idx_copy(p, t->col, (uint32_t)t->nnz, e);
	return out->ptr == RN_NONE || out->col == RN_NONE ? RN_CODE(e) : 0;
}

static int part_from_rel(struct rn_prog *p, const struct rn_part_info *info,
			 const struct rn_part *part, uint64_t rows, struct rn_lpart *out,
			 struct rn_err *e)
{
	struct rn_tensor *t = part->t;
	struct rn_buf *data;
	uint32_t one = 1;

	if (t->rows > RN_MAX_ROWS || (t->sparse && t->nnz > RN_MAX_ROWS))
		return rn_err_set(e, RN_ENOMEM, "the embedding '%s' has %" PRIu64 " rows and %" PRIu64
				  " values, more than a program can index", info->name, t->rows, t->nnz);
	*out = (struct rn_lpart){ .shape = t->shape, .base_rows = (uint32_t)t->rows,
				  .sparse = t->sparse, .ptr = RN_NONE, .col = RN_NONE, .map = RN_NONE };
	RN_TRY(tensor_buf(t, &data, e));
	if (t->sparse)
		out->val = rn_prog_const(p, (uint32_t)t->nnz, 1, &one, data, e);
	else
		out->val = rn_prog_const(p, (uint32_t)t->rows, t->shape.rank, t->shape.dim, data, e);
	if (out->val == RN_NONE)
		return RN_CODE(e);
	if (t->sparse)
		RN_TRY(sparse_part(p, t, out, e));
	if (part->map) {
		out->map = rn_prog_idx(p, rn_buf_ref(part->map), (uint32_t)rows, e);
		if (out->map == RN_NONE)
			return RN_CODE(e);
	}
	out->name = strdup(info->name);
	return out->name ? 0 : rn_err_nomem(e, strlen(info->name) + 1, "a part's name");
}

int rn_lrel_from_rel(struct rn_prog *p, const struct rn_rel *r, struct rn_lrel *out,
		     struct rn_err *e)
{
	out->rel = r;
	RN_TRY(rn_calloc(r->schema.nparts, sizeof *out->parts, "parts", &out->parts, e));
	out->nparts = r->schema.nparts;
	for (size_t i = 0; i < out->nparts; i++)
		RN_TRY(part_from_rel(p, &r->schema.parts[i], &r->parts[i], r->rows, &out->parts[i], e));
	return 0;
}

/* ---- parameters -------------------------------------------------------------- */

static uint32_t constant_param(struct rn_prog *p, const struct rn_param *q, struct rn_err *e)
{
	struct rn_buf *b;

	if (rn_buf_new(q->count * sizeof(float), "a parameter", &b, e))
		return RN_NONE;
	memcpy(b->data, q->value, q->count * sizeof(float));
	return rn_prog_const(p, 1, q->rank, q->dim, b, e);
}

int rn_param_source_get(void *arg, const struct rn_param_spec *spec, uint32_t *val,
			struct rn_err *e)
{
	struct rn_param_source *s = arg;
	const struct rn_param *q;
	uint32_t number;
	size_t had = s->cap;

	if (!s->params)
		return rn_err_set(e, RN_EBUG, "parameter '%s' is asked for where none can be", spec->name);
	RN_TRY(rn_params_get(s->params, spec, &number, e));
	RN_TRY(rn_grow(&s->vals, &s->cap, (size_t)number + 1, sizeof *s->vals, "parameters", e));
	for (size_t i = had; i < s->cap; i++)
		s->vals[i] = RN_NONE;
	q = &s->params->items[number];
	if (s->vals[number] == RN_NONE)
		s->vals[number] = s->constant ?
					  constant_param(s->prog, q, e) :
					  rn_prog_param(s->prog, RN_V_PARAM, number, q->rank, q->dim, e);
	*val = s->vals[number];
	return *val == RN_NONE ? RN_CODE(e) : 0;
}

void rn_param_source_fini(struct rn_param_source *s)
{
	free(s->vals);
	s->vals = NULL;
	s->cap = 0;
}

/* ---- back to rows --------------------------------------------------------------- */

static int tensor_from_part(const struct rn_prog *p, const struct rn_lpart *l,
			    struct rn_tensor **out, struct rn_err *e)
{
	const struct rn_val *v = &p->vals[l->val];
	struct rn_tensor *t;

	if (v->kind != RN_V_CONST)
		return rn_err_set(e, RN_EBUG, "an embedding was not computed");
	if (l->sparse) {
		const uint32_t *ptr = rn_prog_idx_data(p, l->ptr);
		uint32_t nnz = ptr[l->base_rows];

		RN_TRY(rn_tensor_new_sparse(l->shape.dim[0], l->base_rows, nnz, &t, e));
		for (uint32_t i = 0; i <= l->base_rows; i++)
			t->ptr[i] = ptr[i];
		if (nnz) {
			memcpy(t->col, rn_prog_idx_data(p, l->col), (size_t)nnz * 4);
			memcpy(t->data, v->data->data, (size_t)nnz * 4);
		}
	} else {
		RN_TRY(rn_calloc(1, sizeof *t, "a tensor", &t, e));
		t->refs = 1;
		t->shape = l->shape;
		t->rows = v->rows;
		t->nnz = (uint64_t)v->rows * v->width;
		t->mem[0] = rn_buf_ref(v->data);
		t->data = v->data->data;
	}
	*out = t;
	return 0;
}

int rn_prog_check_mem(const struct rn_ctx *c, const struct rn_prog *p, struct rn_err *e)
{
	for (uint32_t i = 0; c->mem_limit && i < p->ninsts; i++) {
		const struct rn_val *v = &p->vals[p->insts[i].out];
		uint64_t bytes = (uint64_t)v->rows * v->width * sizeof(float);
		char mem[RN_SIZE_TEXT];

		if (bytes > c->mem_limit)
			return rn_err_set(e, RN_ENOMEM,
					  "an embedding of %u rows of %u values needs %" PRIu64
					  " bytes, more than --mem %s",
					  v->rows, v->width, bytes, rn_size_text(c->mem_limit, mem));
	}
	return 0;
}

int rn_lrel_to_rel(struct rn_prog *p, struct rn_backend *b, const struct rn_plan *plan,
		   const struct rn_lrel *l, struct rn_rel *r, struct rn_err *e)
{
	const struct rn_optimize o = { .backend = b, .plan = plan };

	for (size_t i = 0; i < l->nparts; i++)
		p->vals[l->parts[i].val].keep = true;
	RN_TRY(rn_pass_fold_shared(&o, p, e));
	for (size_t i = 0; i < l->nparts; i++) {
		const struct rn_lpart *q = &l->parts[i];
		struct rn_buf *map = q->map == RN_NONE ? NULL : rn_buf_ref(p->idx[q->map].data);
		struct rn_tensor *t;
		int rc = tensor_from_part(p, q, &t, e);

		if (rc) {
			rn_buf_unref(map);
			return rc;
		}
		RN_TRY(rn_rel_add_part(r, q->name, t, map, e));
	}
	return 0;
}
