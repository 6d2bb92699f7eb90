/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse_gen.h"

#include "../../lib/dev/prog.h"

#include <stdlib.h>
#include <string.h>

struct rng {
	uint64_t state;
};

static uint32_t below(struct rng *r, uint32_t n)
{
	r->state = r->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((r->state >> 33) % n);
}

static void *room(size_t n)
{
	void *p = calloc(n + 1, 1);

	if (!p)
		abort();
	return p;
}

/* An array of numbers, aligned or not. */
static const float *numbers(struct fuse_case *c, struct rng *r, size_t n, fuse_put *put)
{
	float *x = room(n * sizeof *x);
	const float *at;

	for (size_t i = 0; i < n; i++)
		x[i] = below(r, 40) ? (float)below(r, 4001) / 1000 - 2 : 0;
	at = put(c, x, n * sizeof *x, below(r, 5) ? 0 : below(r, 2) ? 4 : 8);
	free(x);
	return at;
}

/* n numbers below `limit`; some are RN_CUDA_NO_ROW. */
static const uint32_t *indices(struct fuse_case *c, struct rng *r, uint32_t n, uint32_t limit,
			       bool missing, fuse_put *put)
{
	uint32_t *x = room((size_t)n * sizeof *x);
	const uint32_t *at;

	for (uint32_t i = 0; i < n; i++)
		x[i] = !limit || (missing && !below(r, 8)) ? RN_CUDA_NO_ROW : below(r, limit);
	at = put(c, x, (size_t)n * sizeof *x, below(r, 6) ? 0 : 4);
	free(x);
	return at;
}

/* Segments that are empty, short, and longer than a piece. */
static void make_segs(struct fuse_case *c, struct rng *r, fuse_put *put)
{
	struct rn_cuda_segs *g = &c->segs;
	uint32_t *piece, *longs, at = 0;

	g->n = 1 + below(r, 40);
	c->ptr = room((g->n + 1) * sizeof *c->ptr);
	for (uint32_t s = 0; s < g->n; s++) {
		uint32_t len = below(r, 3)    ? below(r, 12)
			       : below(r, 12) ? 0
					      : 1000 + below(r, 2500);

		c->ptr[s + 1] = c->ptr[s] + len;
		if (len > RN_CUDA_LONG) {
			g->nlong++;
			g->npieces += (len - 1) / RN_CUDA_LONG + 1;
		}
	}
	g->terms = c->rows = c->ptr[g->n];
	g->ptr = put(c, c->ptr, (g->n + 1) * sizeof *c->ptr, 0);
	piece = room(2 * (size_t)g->npieces * sizeof *piece);
	longs = room(2 * (size_t)g->nlong * sizeof *longs);
	for (uint32_t s = 0, l = 0; s < g->n; s++) {
		uint32_t len = c->ptr[s + 1] - c->ptr[s];

		if (len <= RN_CUDA_LONG)
			continue;
		longs[2 * l] = s;
		longs[2 * l++ + 1] = at;
		for (uint32_t k = 0; k * RN_CUDA_LONG < len; k++, at++) {
			piece[2 * at] = s;
			piece[2 * at + 1] = k;
		}
	}
	g->piece = put(c, piece, 2 * (size_t)g->npieces * sizeof *piece, 0);
	g->longs = put(c, longs, 2 * (size_t)g->nlong * sizeof *longs, 0);
	free(piece);
	free(longs);
}

/* An operand of any shape that may be read. */
static void make_in(struct fuse_case *c, struct rng *r, unsigned k, fuse_put *put)
{
	struct rn_cuda_in *in = &c->m.in[k];
	uint32_t width = c->m.width, rows = c->rows ? c->rows : 1, own = width;
	bool mapped = !below(r, 3), one_row = !mapped && !below(r, 4), cols = !below(r, 4);

	if (cols)
		own = 1 + below(r, 9);
	else if (!below(r, 3))
		own = 1;
	in->one = own == 1 && !cols;
	if (cols)
		in->fmap = k && c->m.in[k - 1].fmap && c->m.in[k - 1].stride == own && below(r, 2)
				   ? c->m.in[k - 1].fmap
				   : indices(c, r, width, own, false, put);
	if (mapped) {
		rows = 1 + below(r, 30);
		if (k && c->m.in[k - 1].rmap && below(r, 2)) { /* the same map again */
			in->rmap = c->m.in[k - 1].rmap;
			rows = 31;
		} else {
			in->rmap = indices(c, r, c->rows, rows, true, put);
			rows = 31;
		}
	}
	in->stride = one_row ? 0 : own;
	in->x = numbers(c, r, (size_t)(one_row ? 1 : rows) * own, put);
}

static void make_weights(struct fuse_case *c, struct rng *r, fuse_put *put)
{
	struct rn_cuda_in *in = &c->m.in[c->m.nin++];

	c->m.weighted = 1;
	in->one = in->stride = 1;
	if (below(r, 2))
		in->rmap = indices(c, r, c->rows, 20, false, put);
	in->x = numbers(c, r, c->rows + 20u, put);
}

static void make_drops(struct fuse_case *c, struct rng *r, fuse_put *put)
{
	for (unsigned d = 0; d < 2; d++) {
		c->m.drop[d].key[0] = below(r, 1u << 30);
		c->m.drop[d].key[1] = below(r, 1u << 30);
		if (below(r, 2))
			c->m.drop[d].row = indices(c, r, c->rows, 1000, false, put);
		if (c->m.width == 1 && below(r, 2))
			c->m.drop[d].col = indices(c, r, c->rows, 1000, false, put);
	}
}

static void make_steps(struct fuse_case *c, struct rng *r, unsigned loads)
{
	struct rn_cuda_elem *m = &c->m;
	uint32_t n = 1 + below(r, 14), regs = 0;

	for (unsigned k = 0; k < loads; k++)
		m->steps[m->nsteps++] = (struct rn_cuda_step){ RN_EW_LOAD, (uint8_t)regs++,
							       (uint8_t)k, 0, 0, 0, 0 };
	m->steps[m->nsteps++] = (struct rn_cuda_step){ RN_EW_IMM, (uint8_t)regs++, 0, 0, 0, 0,
						       below(r, 3) ? below(r, 9) - 4.0 : 0.3 };
	for (uint32_t k = 0; k < n; k++) {
		uint32_t fn = RN_EW_DROPMASK + below(r, RN_NEW - RN_EW_DROPMASK);
		uint8_t dst = (uint8_t)(regs < 20 ? regs++ : below(r, regs));

		if (fn == RN_EW_EXP || fn == RN_EW_POW) /* stay in range */
			fn = RN_EW_MUL;
		m->steps[m->nsteps++] = (struct rn_cuda_step){
			(uint8_t)fn, dst, (uint8_t)below(r, dst ? dst : 1),
			(uint8_t)below(r, dst ? dst : 1), (uint8_t)below(r, dst ? dst : 1),
			(uint8_t)below(r, 2), fn == RN_EW_DROPMASK ? below(r, 11) / 10.0 : 0,
		};
		m->result = dst;
	}
	m->nregs = regs;
}

void fuse_case_make(struct fuse_case *c, uint64_t seed, bool sums, fuse_put *put)
{
	static const uint32_t widths[] = { 1, 1, 2, 3, 4, 7, 8, 16, 33, 64, 130, 300 };
	const struct rn_cuda_live live = { .epoch = 7 };
	struct rng r = { seed * 7919 + 1 };
	unsigned loads;
	size_t n;

	memset(c, 0, sizeof *c);
	c->sums = sums;
	c->m.width = widths[below(&r, 12)];
	c->rows = c->m.rows = below(&r, 6) ? 1 + below(&r, 300) : 1;
	if (sums) {
		make_segs(c, &r, put);
		c->m.rows = c->segs.n;
		c->segs.scratch = put(c, NULL, (size_t)c->segs.npieces * c->m.width * 4, 0);
	}
	loads = below(&r, 5);
	for (; c->m.nin < loads; c->m.nin++)
		make_in(c, &r, c->m.nin, put);
	if (sums && below(&r, 2))
		make_weights(c, &r, put);
	make_drops(c, &r, put);
	make_steps(c, &r, loads);
	n = (size_t)c->m.rows * c->m.width * sizeof(float);
	c->m.out = put(c, NULL, n, below(&r, 6) ? 0 : 4);
	c->m.live = put(c, &live, sizeof live, 0);
}
