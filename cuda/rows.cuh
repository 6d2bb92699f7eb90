/* SPDX-License-Identifier: Apache-2.0
 *
 * How rows are laid over lanes: for launchers, on the host.
 */
#ifndef RN_CUDA_ROWS_CUH
#define RN_CUDA_ROWS_CUH

#include "grid.h"
#include "sums.cuh"

static_assert(RN_SEG_LONG == RN_CUDA_LONG && RN_WARP == RN_GRID_WARP && RN_TILES == RN_GRID_Y &&
		      RN_SEG_BLOCK == 128 && RN_NOWHERE == RN_CUDA_NO_ROW,
	      "device.cuh includes no header");

/* Numbers that a lane can take at once, of rows of this width in these arrays: 4, 2 or 1. */
static inline unsigned vector_of(uint32_t width, const void *a, const void *b = 0,
				 const void *c = 0)
{
	for (unsigned v = 4; v > 1; v /= 2)
		if (rn_aligned(a, width, v) && rn_aligned(b, width, v) && rn_aligned(c, width, v))
			return v;
	return 1;
}

static inline struct rn_segs segs_of(const struct rn_cuda_segs *g)
{
	return { g->ptr, g->piece, g->scratch, g->n, g->npieces };
}

#endif
