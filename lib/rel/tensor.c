/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors: the embeddings of a relation's rows, dense or CSR.  mem[0] holds the
 * values, mem[1] the row pointers, mem[2] the column numbers.  A sparse tensor
 * starts at pointer 0, also when it is a slice.
 */
#include "rel.h"

#include "window.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int too_large(struct rn_err *e)
{
	return rn_err_nomem(e, SIZE_MAX, "a tensor");
}

/* A tensor with no memory yet. */
static int new_bare(const struct rn_shape *shape, uint64_t rows, bool sparse,
		    struct rn_tensor **out, struct rn_err *e)
{
	RN_TRY(rn_calloc(1, sizeof **out, "a tensor", out, e));
	(*out)->refs = 1;
	(*out)->shape = *shape;
	(*out)->rows = rows;
	(*out)->sparse = sparse;
	return 0;
}

int rn_tensor_new(const struct rn_shape *shape, uint64_t rows, struct rn_tensor **out,
		  struct rn_err *e)
{
	size_t width = shape->rank ? 1 : 0;
	struct rn_tensor *t;
	size_t n, bytes;
	int rc;

	if (shape->rank > RN_MAX_RANK)
		return rn_err_set(e, RN_EBUG, "a tensor of rank %u", shape->rank);
	for (uint32_t i = 0; i < shape->rank; i++)
		if (!rn_mul_size(width, shape->dim[i], &width) || width > UINT32_MAX)
			return too_large(e);
	if (!rn_mul_size(width, rows, &n) || !rn_mul_size(n, sizeof(float), &bytes))
		return too_large(e);
	RN_TRY(new_bare(shape, rows, false, &t, e));
	rc = rn_buf_new(bytes, "a tensor", &t->mem[0], e);
	if (rc) {
		free(t);
		return rc;
	}
	t->nnz = n;
	t->data = t->mem[0]->data;
	*out = t;
	return 0;
}

int rn_tensor_new_sparse(uint32_t width, uint64_t rows, uint64_t nnz, struct rn_tensor **out,
			 struct rn_err *e)
{
	struct rn_shape shape = { .rank = 1, .dim = { width } };
	size_t data, ptr, col;
	struct rn_tensor *t;
	int rc;

	if (!rn_mul_size(nnz, sizeof *t->data, &data) || !rn_mul_size(nnz, sizeof *t->col, &col) ||
	    !rn_add_size(rows, 1, &ptr) || !rn_mul_size(ptr, sizeof *t->ptr, &ptr))
		return too_large(e);
	RN_TRY(new_bare(&shape, rows, true, &t, e));
	RN_GOTO(fail, rn_buf_new(data, "a sparse tensor", &t->mem[0], e));
	RN_GOTO(fail, rn_buf_new(ptr, "a sparse tensor", &t->mem[1], e));
	RN_GOTO(fail, rn_buf_new(col, "a sparse tensor", &t->mem[2], e));
	t->nnz = nnz;
	t->data = t->mem[0]->data;
	t->ptr = t->mem[1]->data;
	t->col = t->mem[2]->data;
	*out = t;
	return 0;
fail:
	rn_tensor_unref(t);
	return rc;
}

struct rn_tensor *rn_tensor_ref(struct rn_tensor *t)
{
	if (t)
		__atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
	return t;
}

void rn_tensor_unref(struct rn_tensor *t)
{
	if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < 3; i++)
		rn_buf_unref(t->mem[i]);
	free(t);
}

static int slice_dense(const struct rn_tensor *t, uint64_t from, struct rn_tensor *o,
		       struct rn_err *e)
{
	size_t width = rn_shape_width(&t->shape);
	void *at;

	o->nnz = o->rows * width;
	RN_TRY(rn_buf_window(t->mem[0], t->data + from * width, o->nnz * sizeof *o->data,
			     "a tensor", &o->mem[0], &at, e));
	o->data = at;
	return 0;
}

static int slice_sparse(const struct rn_tensor *t, uint64_t from, struct rn_tensor *o,
			struct rn_err *e)
{
	uint64_t base = t->ptr[from], n = o->rows;
	void *at;

	o->nnz = t->ptr[from + n] - base;
	RN_TRY(rn_buf_window(t->mem[0], t->data + base, o->nnz * sizeof *o->data,
			     "a sparse tensor", &o->mem[0], &at, e));
	o->data = at;
	RN_TRY(rn_buf_window(t->mem[2], t->col + base, o->nnz * sizeof *o->col,
			     "a sparse tensor", &o->mem[2], &at, e));
	o->col = at;
	RN_TRY(rn_buf_new((n + 1) * sizeof *o->ptr, "a sparse tensor", &o->mem[1], e));
	o->ptr = o->mem[1]->data;
	for (uint64_t i = 0; i <= n; i++)
		o->ptr[i] = t->ptr[from + i] - base;
	return 0;
}

int rn_tensor_slice(const struct rn_tensor *t, uint64_t from, uint64_t n, struct rn_tensor **out,
		    struct rn_err *e)
{
	struct rn_tensor *o;
	int rc;

	if (from > t->rows || n > t->rows - from)
		return rn_err_set(e, RN_EBUG,
				  "slice of %" PRIu64 " rows from row %" PRIu64
				  " of a tensor of %" PRIu64 " rows",
				  n, from, t->rows);
	RN_TRY(new_bare(&t->shape, n, t->sparse, &o, e));
	rc = t->sparse ? slice_sparse(t, from, o, e) : slice_dense(t, from, o, e);
	if (rc) {
		rn_tensor_unref(o);
		return rc;
	}
	*out = o;
	return 0;
}

static void append_sparse(struct rn_tensor *o, const struct rn_tensor *t, uint64_t row,
			  uint64_t at)
{
	for (uint64_t i = 0; i <= t->rows; i++)
		o->ptr[row + i] = at + t->ptr[i];
	if (!t->nnz)
		return;
	memcpy(o->data + at, t->data, t->nnz * sizeof *o->data);
	memcpy(o->col + at, t->col, t->nnz * sizeof *o->col);
}

static void append_dense(struct rn_tensor *o, const struct rn_tensor *t, uint64_t row)
{
	size_t width = rn_shape_width(&o->shape);
	float *dst = o->data + row * width;

	if (!t->sparse) {
		if (t->nnz)
			memcpy(dst, t->data, t->nnz * sizeof *dst);
		return;
	}
	for (uint64_t i = 0; i < t->rows; i++)
		for (uint64_t j = t->ptr[i]; j < t->ptr[i + 1]; j++)
			dst[i * width + t->col[j]] = t->data[j];
}

int rn_tensor_concat(struct rn_tensor *const *ts, size_t n, struct rn_tensor **out,
		     struct rn_err *e)
{
	uint64_t rows = 0, nnz = 0;
	struct rn_tensor *o;
	bool sparse = true;

	if (!n)
		return rn_err_set(e, RN_EBUG, "concatenation of no tensors");
	if (n == 1) {
		*out = rn_tensor_ref(ts[0]);
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (!rn_shape_equal(&ts[i]->shape, &ts[0]->shape))
			return rn_err_set(e, RN_EBUG, "concatenation of tensors of two shapes");
		rows += ts[i]->rows;
		nnz += ts[i]->nnz;
		sparse = sparse && ts[i]->sparse;
	}
	if (sparse)
		RN_TRY(rn_tensor_new_sparse(ts[0]->shape.dim[0], rows, nnz, &o, e));
	else
		RN_TRY(rn_tensor_new(&ts[0]->shape, rows, &o, e));
	rows = nnz = 0;
	for (size_t i = 0; i < n; i++) {
		if (sparse)
			append_sparse(o, ts[i], rows, nnz);
		else
			append_dense(o, ts[i], rows);
		rows += ts[i]->rows;
		nnz += ts[i]->nnz;
	}
	*out = o;
	return 0;
}
