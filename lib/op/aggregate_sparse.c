/* SPDX-License-Identifier: Apache-2.0
 *
 * The sum of sparse rows per group, which is sparse again.
 */
#include "aggregate.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	uint32_t col, k; /* column, number of the stored value */
};

static int by_column(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->col != y->col)
		return x->col < y->col ? -1 : 1;
	return x->k < y->k ? -1 : x->k > y->k;
}

/* The union pattern of every group, and for each of its entries the stored
 * values that add up to it: seg[j] … seg[j+1]-1 of src, in row order. */
struct merged {
	struct rn_buf *ptr, *col, *seg, *src;
	uint32_t n, nsrc; /* entries, values */
};

static void merged_fini(struct merged *m)
{
	rn_buf_unref(m->ptr);
	rn_buf_unref(m->col);
	rn_buf_unref(m->seg);
	rn_buf_unref(m->src);
}

static int merge(const struct rn_groups *g, const uint32_t *ptr, const uint32_t *col,
		 struct merged *m, struct rn_err *e)
{
	const uint32_t *gptr = g->ptr->data, *rows = g->rows ? g->rows->data : NULL;
	uint32_t *optr, *ocol, *oseg, *osrc;
	struct entry *es = NULL;
	size_t total = 0, cap = 0;

	for (uint32_t i = 0; i < gptr[g->n]; i++) {
		uint32_t r = rows ? rows[i] : i;

		total += ptr[r + 1] - ptr[r];
	}
	RN_TRY(rn_buf_new((g->n + 1) * 4, "row pointers", &m->ptr, e));
	RN_TRY(rn_buf_new(total * 4, "columns", &m->col, e));
	RN_TRY(rn_buf_new((total + 1) * 4, "value segments", &m->seg, e));
	RN_TRY(rn_buf_new(total * 4, "value numbers", &m->src, e));
	optr = m->ptr->data;
	ocol = m->col->data;
	oseg = m->seg->data;
	osrc = m->src->data;
	for (uint64_t s = 0; s < g->n; s++) {
		size_t n = 0;

		for (uint32_t i = gptr[s]; i < gptr[s + 1]; i++) {
			uint32_t r = rows ? rows[i] : i;

			if (rn_grow(&es, &cap, n + (ptr[r + 1] - ptr[r]), sizeof *es, "sparse rows", e)) {
				free(es);
				return RN_ENOMEM;
			}
			for (uint32_t k = ptr[r]; k < ptr[r + 1]; k++)
				es[n++] = (struct entry){ col[k], k };
		}
		if (n > 1)
			qsort(es, n, sizeof *es, by_column);
		for (size_t i = 0; i < n; i++) {
			if (!i || es[i].col != es[i - 1].col) {
				oseg[m->n] = m->nsrc;
				ocol[m->n++] = es[i].col;
			}
			osrc[m->nsrc++] = es[i].k;
		}
		optr[s + 1] = m->n;
	}
	oseg[m->n] = m->nsrc;
	free(es);
	return 0;
}

int rn_aggregate_sparse(struct rn_prog *p, const struct rn_groups *g, struct rn_lpart *z,
			struct rn_err *e)
{
	struct merged m = { 0 };
	uint32_t ptr, col, seg, src;
	int rc;

	RN_GOTO(out, merge(g, rn_prog_idx_data(p, z->ptr), rn_prog_idx_data(p, z->col), &m, e));
	rc = RN_ENOMEM;
	ptr = rn_prog_idx(p, rn_buf_ref(m.ptr), (uint32_t)g->n + 1, e);
	col = rn_prog_idx(p, rn_buf_ref(m.col), m.n, e);
	seg = rn_prog_idx(p, rn_buf_ref(m.seg), m.n + 1, e);
	src = rn_prog_idx(p, rn_buf_ref(m.src), m.nsrc, e);
	if (ptr == RN_NONE || col == RN_NONE || seg == RN_NONE || src == RN_NONE)
		goto out;
	z->val = rn_prog_spmm(p, seg, z->val, src, RN_NONE, RN_NONE, e);
	if (z->val == RN_NONE)
		goto out;
	z->ptr = ptr;
	z->col = col;
	z->base_rows = (uint32_t)g->n;
	rc = 0;
out:
	merged_fini(&m);
	return rc;
}

int rn_aggregate_sparse_scale(struct rn_prog *p, struct rn_lpart *z, uint32_t by, struct rn_err *e)
{
	const uint32_t *ptr = rn_prog_idx_data(p, z->ptr);
	uint32_t nnz = ptr[z->base_rows], idx;
	struct rn_buf *b;
	uint32_t *row;

	if (by == RN_NONE)
		return e ? e->code : RN_ENOMEM;
	RN_TRY(rn_buf_new((size_t)nnz * 4, "row numbers", &b, e));
	row = b->data;
	for (uint32_t r = 0; r < z->base_rows; r++)
		for (uint32_t k = ptr[r]; k < ptr[r + 1]; k++)
			row[k] = r;
	idx = rn_prog_idx(p, b, nnz, e);
	if (idx == RN_NONE)
		return RN_ENOMEM;
	by = rn_prog_gather(p, by, idx, e);
	if (by == RN_NONE)
		return RN_ENOMEM;
	z->val = rn_prog_ew2(p, RN_EW_MUL, z->val, by, e);
	return z->val == RN_NONE ? RN_ENOMEM : 0;
}
