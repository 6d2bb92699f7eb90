/* SPDX-License-Identifier: Apache-2.0
 *
 * How work is laid over a device, by sizes alone: for what launches kernels, in C and C++.
 */
#ifndef RN_CUDA_GRID_H
#define RN_CUDA_GRID_H

#include "kernels.h"

#include <stdbool.h>

enum { RN_GRID_WARP = 32, RN_GRID_Y = 65535 /* tiles of a grid along y; more go along z */ };

/* The smallest power of 2 that is not below n, at most `most`. */
static inline unsigned rn_pow2(uint64_t n, unsigned most)
{
	unsigned p = 1;

	while (p < n && p < most)
		p *= 2;
	return p;
}

/* Blocks for so many units, at least 1, and few enough for any grid: kernels take strides. */
static inline unsigned rn_blocks(uint64_t units, unsigned per_block)
{
	uint64_t n = (units + per_block - 1) / per_block;

	return n < 1 ? 1 : n > 1u << 30 ? 1u << 30 : (unsigned)n;
}

/* A grid of blocks by tiles; rn_tile() is which of the tiles, and may be past the last. */
static inline dim3 rn_grid(unsigned blocks, uint64_t tiles)
{
	uint64_t y = tiles < RN_GRID_Y ? tiles : (uint64_t)RN_GRID_Y;
	dim3 grid;

	grid.x = blocks;
	grid.y = (unsigned)y;
	grid.z = (unsigned)((tiles + y - 1) / y);
	return grid;
}

/* May rows of this width in x be read v numbers at a time? */
static inline bool rn_aligned(const void *x, uint32_t width, unsigned v)
{
	return width % v == 0 && (uintptr_t)x % (v * sizeof(float)) == 0;
}

/* A row of `width` numbers, v a lane: so many lanes side by side, so many times. */
struct rn_tiling {
	unsigned lanes, tiles;
};

static inline struct rn_tiling rn_tiling_of(uint32_t width, unsigned v)
{
	struct rn_tiling t;

	t.lanes = rn_pow2(((uint64_t)width + v - 1) / v, RN_GRID_WARP);
	t.tiles = width ? (width - 1) / (t.lanes * v) + 1 : 1;
	return t;
}

/* How a sum over segments is laid out.  The order of its additions is that of `terms`, which is
 * found from sizes alone: however many numbers a lane takes at a time (v, which alignment
 * decides), the bits are the same. */
struct rn_seg_layout {
	unsigned lanes, tiles; /* over columns */
	unsigned terms;        /* lanes that share the terms of a segment, a power of 2 */
};

/* With enough segments to fill the device, a lane has about 4 terms, which it loads at once;
 * with few, there are as many lanes as terms. */
static inline struct rn_seg_layout rn_seg_layout_of(const struct rn_cuda_segs *g, uint32_t width,
						    unsigned v)
{
	double mean = g->n ? (double)g->terms / g->n : 0;
	struct rn_seg_layout l;
	unsigned most;

	l.lanes = rn_tiling_of(width, width % 4 == 0 ? 4 : width % 2 == 0 ? 2 : 1).lanes;
	l.tiles = width ? (width - 1) / (l.lanes * v) + 1 : 1;
	most = RN_GRID_WARP / l.lanes;
	if ((double)g->n * l.lanes >= 1 << 18)
		mean /= 4;
	for (l.terms = 1; l.terms < most && l.terms < mean;)
		l.terms *= 2;
	return l;
}

/* For rn_segsum in blocks of RN_SEG_BLOCK = 128. */
static inline dim3 rn_segs_grid(const struct rn_cuda_segs *g, const struct rn_seg_layout *l)
{
	uint64_t items = (uint64_t)g->n + g->npieces;

	return rn_grid(rn_blocks(items * l->lanes * l->terms, 128), l->tiles);
}

#endif
