/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of rows by one block, for what is summed in two steps: column sums, partial
 * products, pieces of long segments.  Threads of a block are SUM_COLS columns (V numbers
 * each) by SUM_ROWS rows; a thread adds every SUM_ROWS-th row, and the sums of the threads
 * are added in pairs.  So the order depends on the number of rows alone.
 */
#ifndef RN_CUDA_SUMS_CUH
#define RN_CUDA_SUMS_CUH

#include "args.h"
#include "device.cuh"

enum { SUM_BLOCK = 256 };

/* Threads over columns: by the width alone, so that the order does not depend on V, which
 * alignment decides. */
static inline unsigned rn_sum_cols(unsigned width)
{
	unsigned cols = 1, v = width % 4 ? 1 : 4;

	while (cols < 16 && cols * v < width)
		cols *= 2;
	return cols;
}

/* out[f …] = the sum over i < n of x[i * width + f …], f the first column of tile `tile`. */
template <unsigned V>
RN_DEV void rn_sum_rows(const float *x, rn_u64 n, unsigned width, unsigned cols, unsigned tile,
			float *out)
{
	__shared__ float part[V][SUM_BLOCK];
	const unsigned t = threadIdx.x, rows = SUM_BLOCK / cols, f = (tile * cols + t % cols) * V;
	float acc[V];

	rn_zero<V>(acc);
	if (f < width) {
		rn_u64 i = t / cols;

		for (; i + 3 * rows < n; i += 4 * rows) {
			float y[4][V];

			RN_UNROLL for (unsigned u = 0; u < 4; u++)
				rn_load<V>(y[u], x + (i + u * rows) * width + f);
			RN_UNROLL for (unsigned u = 0; u < 4; u++)
				RN_UNROLL for (unsigned j = 0; j < V; j++)
					acc[j] += y[u][j];
		}
		for (; i < n; i += rows) {
			float y[V];

			rn_load<V>(y, x + i * width + f);
			RN_UNROLL for (unsigned j = 0; j < V; j++)
				acc[j] += y[j];
		}
	}
	RN_UNROLL for (unsigned j = 0; j < V; j++)
		part[j][t] = acc[j];
	for (unsigned m = SUM_BLOCK / 2; m >= cols; m /= 2) {
		__syncthreads();
		if (t < m)
			RN_UNROLL for (unsigned j = 0; j < V; j++)
				part[j][t] += part[j][t + m];
	}
	if (t < cols && f < width) {
		RN_UNROLL for (unsigned j = 0; j < V; j++)
			acc[j] = part[j][t];
		rn_store<V>(out + f, acc);
	}
	__syncthreads(); /* the next sum writes part */
}

#endif
