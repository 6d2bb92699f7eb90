/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients of what reads and sums rows by index arrays: gathers, sparse products, dot
 * products of gathered rows.  Towards the rows that were read it is the transposed
 * product, for which the arrays are inverted here, once for equal ones.
 */
#include "grad_impl.h"

#include "../rel/key.h"

#include <stddef.h>
#include <string.h>

/* Index arrays that a transposed SPMM needs. */
struct rn_grad_transposed {
	uint32_t ptr, xi, wi, rows, weighted; /* of what */
	uint32_t tptr, txi, twi;
};

static int add_idx(struct rn_grad *q, struct rn_buf *b, uint32_t *out)
{
	VAL(out, rn_prog_idx(q->p, b, (uint32_t)(b->size / sizeof(uint32_t)), q->e));
	return 0;
}

static int inverse(struct rn_grad *q, uint32_t map, uint32_t n, uint32_t rows, uint32_t *tptr,
		   uint32_t *tpos)
{
	struct rn_buf *ptr, *pos;

	RN_TRY(rn_invert_map(rn_prog_idx_data(q->p, map), n, rows, &ptr, &pos, q->e));
	*tptr = rn_prog_idx(q->p, ptr, rows + 1, q->e);
	if (*tptr == RN_NONE) {
		rn_buf_unref(pos);
		return q->e->code;
	}
	VAL(tpos, rn_prog_idx(q->p, pos, rn_prog_idx_data(q->p, *tptr)[rows], q->e));
	return 0;
}

/* The segment of each of `rows` terms; RN_NO_ROW for those of none. */
static int segments(struct rn_grad *q, uint32_t ptr, uint32_t rows, uint32_t *out)
{
	const uint32_t *x = rn_prog_idx_data(q->p, ptr);
	uint32_t n = q->p->idx[ptr].n - 1, *seg;
	struct rn_buf *b;

	if (q->seg_ptr != ptr || q->seg_rows != rows) {
		RN_TRY(rn_buf_new((size_t)rows * sizeof *seg, "segments", &b, q->e));
		seg = b->data;
		memset(seg, 0xFF, (size_t)rows * sizeof *seg);
		for (uint32_t s = 0; s < n; s++)
			for (uint32_t k = x[s]; k < x[s + 1]; k++)
				seg[k] = s;
		RN_TRY(add_idx(q, b, &q->seg));
		q->seg_ptr = ptr;
		q->seg_rows = rows;
	}
	*out = q->seg;
	return 0;
}

/* b[i] = a[pos[i]]; a RN_NONE is the identity. */
static int compose(struct rn_grad *q, uint32_t a, uint32_t pos, uint32_t *out)
{
	const uint32_t *x = rn_prog_idx_data(q->p, a), *at = rn_prog_idx_data(q->p, pos);
	uint32_t n = q->p->idx[pos].n, *y;
	struct rn_buf *b;

	*out = pos;
	if (a == RN_NONE)
		return 0;
	RN_TRY(rn_buf_new((size_t)n * sizeof *y, "a composed map", &b, q->e));
	y = b->data;
	for (uint32_t i = 0; i < n; i++)
		y[i] = x[at[i]];
	return add_idx(q, b, out);
}

static bool reads_row(const struct rn_prog *p, uint32_t map)
{
	const uint32_t *x = rn_prog_idx_data(p, map);

	for (uint32_t k = 0; k < p->idx[map].n; k++)
		if (x[k] == RN_NO_ROW)
			return false;
	return true;
}

/* Were these transposed before?  Then *t is complete. */
static bool known(const struct rn_grad *q, struct rn_grad_transposed *t)
{
	for (size_t k = 0; k < q->nmemo; k++)
		if (!memcmp(t, &q->memo[k], offsetof(struct rn_grad_transposed, tptr))) {
			*t = q->memo[k];
			return true;
		}
	return false;
}

static int remember(struct rn_grad *q, const struct rn_grad_transposed *t)
{
	RN_TRY(rn_grow(&q->memo, &q->cap_memo, q->nmemo + 1, sizeof *q->memo, "gradients", q->e));
	q->memo[q->nmemo++] = *t;
	return 0;
}

int rn_grad_gather(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t map = i->idx[0], rows = q->p->vals[i->in[0].val].rows, x;
	struct rn_grad_transposed t = { RN_NONE, map, RN_NONE, rows, 0, RN_NONE, RN_NONE, RN_NONE };

	if (rows == 1 && reads_row(q->p, map)) { /* a value that all rows share */
		VAL(&x, rn_prog_colsum(q->p, g, q->e));
		return rn_grad_give(q, i->in[0].val, x);
	}
	if (!known(q, &t)) {
		RN_TRY(inverse(q, map, q->p->idx[map].n, rows, &t.tptr, &t.txi));
		RN_TRY(remember(q, &t));
	}
	VAL(&x, rn_prog_spmm(q->p, t.tptr, g, t.txi, RN_NONE, RN_NONE, q->e));
	return rn_grad_give(q, i->in[0].val, x);
}

/* The arrays of the transposed product of i, towards x. */
static int transpose(struct rn_grad *q, const struct rn_inst *i, struct rn_grad_transposed *out)
{
	uint32_t rows = q->p->vals[i->in[0].val].rows, pos, seg, terms;
	const uint32_t *ptr = rn_prog_idx_data(q->p, i->idx[0]);

	*out = (struct rn_grad_transposed){ i->idx[0], i->idx[1], i->idx[2], rows,
					    i->in[1].val != RN_NONE, 0, 0, RN_NONE };
	if (known(q, out))
		return 0;
	terms = ptr[q->p->idx[i->idx[0]].n - 1];
	RN_TRY(inverse(q, i->idx[1], terms, rows, &out->tptr, &pos));
	RN_TRY(segments(q, i->idx[0], terms, &seg));
	RN_TRY(compose(q, seg, pos, &out->txi));
	if (i->in[1].val != RN_NONE)
		RN_TRY(compose(q, i->idx[2], pos, &out->twi));
	return remember(q, out);
}

/* An index array (RN_NONE: the identity) of n entries: RN_NO_ROW behind the terms. */
static int extend(struct rn_grad *q, uint32_t x, uint32_t terms, uint32_t n, uint32_t *out)
{
	const uint32_t *from = rn_prog_idx_data(q->p, x);
	struct rn_buf *b;
	uint32_t *y;

	*out = x;
	if (from && q->p->idx[x].n == n)
		return 0;
	RN_TRY(rn_buf_new((size_t)n * sizeof *y, "an index array", &b, q->e));
	y = b->data;
	for (uint32_t i = 0; i < n; i++)
		y[i] = i >= terms ? RN_NO_ROW : from ? from[i] : i;
	return add_idx(q, b, out);
}

/* towards x without index: dx[k] = w[k] * g[segment of k] */
static int grad_spmm_plain(struct rn_grad *q, const struct rn_inst *i, uint32_t g, uint32_t terms)
{
	uint32_t x = i->in[0].val, w = i->in[1].val, rows = q->p->vals[x].rows, seg, wi, dx;

	RN_TRY(segments(q, i->idx[0], rows, &seg));
	VAL(&dx, rn_prog_gather(q->p, g, seg, q->e));
	if (w != RN_NONE) {
		if (i->idx[2] != RN_NONE || q->p->vals[w].rows != rows) {
			RN_TRY(extend(q, i->idx[2], terms, rows, &wi));
			VAL(&w, rn_prog_gather(q->p, w, wi, q->e));
		}
		VAL(&dx, rn_prog_ew2(q->p, RN_EW_MUL, dx, w, q->e));
	}
	return rn_grad_give(q, x, dx);
}

/* out[s] = sum of w[wi[k]] * x[xi[k]]:  dx by the transposed product, dw by dot products */
int rn_grad_spmm(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, w = i->in[1].val, terms, seg, xi, dx, dw, n, ptr, pos;
	struct rn_grad_transposed t;

	terms = rn_prog_idx_data(q->p, i->idx[0])[q->p->idx[i->idx[0]].n - 1];
	if (rn_grad_wanted(q, x) && i->idx[1] == RN_NONE) {
		RN_TRY(grad_spmm_plain(q, i, g, terms));
	} else if (rn_grad_wanted(q, x)) {
		RN_TRY(transpose(q, i, &t));
		VAL(&dx, rn_prog_spmm(q->p, t.tptr, g, t.txi, w, t.twi, q->e));
		RN_TRY(rn_grad_give(q, x, dx));
	}
	if (!rn_grad_wanted(q, w))
		return 0;
	n = i->idx[2] == RN_NONE ? q->p->vals[w].rows : terms;
	RN_TRY(segments(q, i->idx[0], n, &seg));
	xi = i->idx[1];
	if (xi != RN_NONE || q->p->vals[x].rows != n)
		RN_TRY(extend(q, xi, terms, n, &xi));
	VAL(&dw, rn_prog_sddmm(q->p, n, x, xi, g, seg, q->e));
	if (i->idx[2] != RN_NONE) {
		RN_TRY(inverse(q, i->idx[2], terms, q->p->vals[w].rows, &ptr, &pos));
		VAL(&dw, rn_prog_spmm(q->p, ptr, dw, pos, RN_NONE, RN_NONE, q->e));
	}
	return rn_grad_give(q, w, dw);
}

/* out[k] = dot(a[ai[k]], b[bi[k]]):  da[r] = sum over k with ai[k] = r of g[k] * b[bi[k]] */
int rn_grad_sddmm(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	for (unsigned k = 0; k < 2; k++) {
		uint32_t a = i->in[k].val, b = i->in[!k].val, ai = i->idx[k], bi = i->idx[!k];
		uint32_t ptr, pos, x;

		if (!rn_grad_wanted(q, a))
			continue;
		if (ai == RN_NONE) {
			VAL(&x, rn_prog_gather(q->p, b, bi, q->e));
			VAL(&x, rn_prog_ew2(q->p, RN_EW_MUL, x, g, q->e));
		} else {
			RN_TRY(inverse(q, ai, q->p->idx[ai].n, q->p->vals[a].rows, &ptr, &pos));
			RN_TRY(compose(q, bi, pos, &bi));
			VAL(&x, rn_prog_spmm(q->p, ptr, b, bi, g, pos, q->e));
		}
		RN_TRY(rn_grad_give(q, a, x));
	}
	return 0;
}
