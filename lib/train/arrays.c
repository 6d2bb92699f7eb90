/* SPDX-License-Identifier: Apache-2.0 */
#include "arrays.h"
#include "image.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A buffer that the program refers to, as long as the longest that it takes for one. */
struct array {
	const void *data;
	size_t bytes;
	uint64_t offset;
};

struct list {
	const struct rn_prog *prog;
	struct array *items;
	size_t n, cap;
};

static size_t val_bytes(const struct rn_val *v)
{
	return v->kind == RN_V_CONST ? (size_t)v->rows * v->width * sizeof(float) : 0;
}

static size_t idx_bytes(const struct rn_idx *x)
{
	return (size_t)x->n * sizeof(uint32_t);
}

static int add(struct list *l, const struct rn_buf *b, size_t bytes, struct rn_err *e)
{
	if (bytes < RN_ARRAYS_LEAST)
		return 0;
	RN_TRY(rn_grow(&l->items, &l->cap, l->n + 1, sizeof *l->items, "shared memory", e));
	l->items[l->n++] = (struct array){ b->data, bytes, 0 };
	return 0;
}

static int add_idx(struct list *l, uint32_t i, struct rn_err *e)
{
	return i == RN_NONE ? 0 : add(l, l->prog->idx[i].data, idx_bytes(&l->prog->idx[i]), e);
}

static int add_inst(struct list *l, const struct rn_inst *i, struct rn_err *e)
{
	for (uint32_t k = 0; k < i->nin; k++) {
		const struct rn_val *v = i->in[k].val == RN_NONE ? NULL : &l->prog->vals[i->in[k].val];

		if (v)
			RN_TRY(add(l, v->data, val_bytes(v), e));
		RN_TRY(add_idx(l, i->in[k].fmap, e));
		RN_TRY(add_idx(l, i->in[k].rmap, e));
	}
	for (unsigned k = 0; k < 3; k++)
		RN_TRY(add_idx(l, i->idx[k], e));
	RN_TRY(add_idx(l, i->drop.row, e));
	RN_TRY(add_idx(l, i->drop.col, e));
	for (uint32_t k = 0; rn_prim_is_fused(i->op) && k < i->elem.ndrops; k++) {
		RN_TRY(add_idx(l, i->elem.drops[k].row, e));
		RN_TRY(add_idx(l, i->elem.drops[k].col, e));
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct array *x = a, *y = b;

	if (x->data != y->data)
		return (uintptr_t)x->data < (uintptr_t)y->data ? -1 : 1;
	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* Each once; the size of all. */
static uint64_t lay_out(struct list *l)
{
	uint64_t at = 0;
	size_t n = 0;

	if (l->n)
		qsort(l->items, l->n, sizeof *l->items, compare);
	for (size_t i = 0; i < l->n; i++) {
		if (n && l->items[n - 1].data == l->items[i].data)
			continue;
		l->items[n] = l->items[i];
		l->items[n].offset = at;
		at += (l->items[n++].bytes + RN_ALIGN - 1) & ~(uint64_t)(RN_ALIGN - 1);
	}
	l->n = n;
	return at;
}

static const struct array *find(const struct list *l, const void *data)
{
	struct array key = { data, SIZE_MAX, 0 };
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare(&l->items[mid], &key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < l->n && l->items[low].data == data ? &l->items[low] : NULL;
}

static void release_file(struct rn_buf *b)
{
	rn_shared_free(b->owner);
	b->release = NULL;
}

static void release_window(struct rn_buf *b)
{
	rn_buf_unref(b->owner);
	b->release = NULL;
}

struct rn_shared *rn_arrays_file(const struct rn_buf *arrays)
{
	return arrays->owner;
}

uint64_t rn_arrays_find(const struct rn_shared *file, const void *data)
{
	uintptr_t at = (uintptr_t)data, base = file ? (uintptr_t)file->base : 0;

	return base && at >= base && at < base + file->size ? at - base : RN_UNSHARED;
}

/* *buf becomes its copy in the memory, if it has one there. */
static int replace(const struct list *l, struct rn_buf *arrays, struct rn_buf **buf, size_t bytes,
		   struct rn_err *e)
{
	const struct array *a = bytes < RN_ARRAYS_LEAST ? NULL : find(l, (*buf)->data);
	struct rn_buf *b;

	if (!a)
		return 0;
	RN_TRY(rn_calloc(1, sizeof *b, "shared memory", &b, e));
	b->data = (char *)arrays->data + a->offset;
	b->size = a->bytes;
	b->refs = 1;
	b->release = release_window;
	b->owner = rn_buf_ref(arrays);
	rn_buf_unref(*buf);
	*buf = b;
	return 0;
}

static int replace_all(const struct list *l, struct rn_prog *p, struct rn_buf *arrays,
		       struct rn_err *e)
{
	for (uint32_t i = 0; i < p->nvals; i++)
		RN_TRY(replace(l, arrays, &p->vals[i].data, val_bytes(&p->vals[i]), e));
	for (uint32_t i = 0; i < p->nidx; i++)
		RN_TRY(replace(l, arrays, &p->idx[i].data, idx_bytes(&p->idx[i]), e));
	return 0;
}

/* Filled, and closed to writers: processes that map it later cannot, and this one does not. */
static int fill(const struct list *l, struct rn_shared *file, struct rn_err *e)
{
	for (size_t i = 0; i < l->n; i++)
		memcpy((char *)file->base + l->items[i].offset, l->items[i].data, l->items[i].bytes);
	RN_TRY(rn_shared_seal(file, e));
	if (file->size && mprotect(file->base, file->size, PROT_READ))
		return rn_err_errno(e, "cannot protect shared memory");
	return 0;
}

static int move(const struct list *l, uint64_t size, struct rn_prog *p, struct rn_buf **out,
		struct rn_err *e)
{
	struct rn_buf *b;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *b, "shared memory", &b, e));
	b->refs = 1;
	rc = rn_shared_new("rn-arrays", size, (struct rn_shared **)&b->owner, e);
	if (!rc) {
		b->release = release_file;
		b->data = rn_arrays_file(b)->base;
		b->size = size;
		rn_shared_use_huge(b->owner);
		rc = fill(l, b->owner, e);
	}
	if (!rc)
		rc = replace_all(l, p, b, e);
	if (rc)
		rn_buf_unref(b);
	else
		*out = b;
	return rc;
}

int rn_arrays_move(struct rn_prog *p, struct rn_buf **out, struct rn_err *e)
{
	struct list l = { .prog = p };
	int rc = 0;

	for (uint32_t i = 0; i < p->ninsts; i++)
		RN_GOTO(out, add_inst(&l, &p->insts[i], e));
	rc = move(&l, lay_out(&l), p, out, e);
out:
	free(l.items);
	return rc;
}
