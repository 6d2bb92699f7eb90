/* SPDX-License-Identifier: Apache-2.0
 *
 * Looks at an epoch of a window: a gauge is read (lib/dev/gauge.c on the CPU, in the same order of
 * the same operations), compared with the best so far, and what is as good is kept.
 *
 * k_terms   a block for 256 rows: the terms of a gauge, added in pairs
 * k_fold    a block for 256 of such sums
 * k_judge   one block: the last sum, and what it means
 * k_keep    threads over numbers, tiles over copies
 * k_look    one thread: the clock
 */
#include "kernels.h"
#include "../lib/dev/gauge.h"
#include "../lib/dev/prog.h"

#include "launch.h"
#include "rows.cuh"

enum { TERMS = RN_GAUGE_TERMS, COPY = 256, MOST_BLOCKS = 1024 };

static uint32_t blocks_of(uint32_t n)
{
	return n / TERMS + (n % TERMS != 0);
}

/* Of 256 terms, one of each thread; thread 0 has it. */
static __device__ double in_pairs(double x)
{
	__shared__ double part[TERMS];
	const unsigned t = threadIdx.x;

	part[t] = x;
	for (unsigned m = TERMS / 2; m; m /= 2) {
		__syncthreads();
		if (t < m)
			part[t] += part[t + m];
	}
	return part[t];
}

static __device__ unsigned class_of(const rn_cuda_gauge &g, const float *row)
{
	unsigned best = 0;

	if (g.sign)
		return row[0] >= 0;
	for (unsigned f = 1; f < g.width; f++)
		if (row[f] > row[best])
			best = f;
	return best;
}

static __device__ double term(const rn_cuda_gauge &g, unsigned i)
{
	double d;

	if (g.label && g.label[i] == RN_NONE)
		return 0;
	if (g.kind == RN_GAUGE_RIGHT)
		return class_of(g, g.pred + (rn_u64)i * g.width) == g.label[i];
	d = g.pred[i];
	if (g.truth)
		d -= g.truth[i];
	return g.kind == RN_GAUGE_MEAN ? d : g.kind == RN_GAUGE_ABS ? fabs(d) : d * d;
}

static __global__ void __launch_bounds__(TERMS) k_terms(rn_cuda_gauge g, double *out)
{
	const rn_u64 i = (rn_u64)blockIdx.x * TERMS + threadIdx.x;
	const double sum = in_pairs(i < g.rows ? term(g, (unsigned)i) : 0);

	if (!threadIdx.x)
		out[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(TERMS) k_fold(const double *x, unsigned n, double *out)
{
	const rn_u64 i = (rn_u64)blockIdx.x * TERMS + threadIdx.x;
	const double sum = in_pairs(i < n ? x[i] : 0);

	if (!threadIdx.x)
		out[blockIdx.x] = sum;
}

static __device__ double meaning(const rn_cuda_gauge &g, double sum)
{
	if (!(g.counted > 0))
		return NAN;
	if (g.kind == RN_GAUGE_REST)
		return 1 - sum / g.total;
	sum /= g.counted;
	return g.kind == RN_GAUGE_ROOT ? sqrt(sum) : sum;
}

/* 1 better than the best so far, 0 equal, -1 worse or undefined: lib/train/loop.c decides so, too. */
static __device__ int compare(const rn_cuda_window *w, double x)
{
	int more;

	if (x != x)
		return -1;
	if (w->best != w->best)
		return 1;
	more = (x > w->best) - (x < w->best);
	return w->higher ? more : -more;
}

static __global__ void __launch_bounds__(TERMS)
	k_judge(rn_cuda_live *live, rn_cuda_window *w, rn_cuda_gauge g, const double *x, unsigned n)
{
	const unsigned t = threadIdx.x;
	const double sum = in_pairs(t < n ? x[t] : 0);
	double val;
	int order;

	if (t)
		return;
	w->keep = 0;
	if (live->halt)
		return;
	val = meaning(g, n == 1 ? *x : sum); /* one sum is no term again */
	order = compare(w, val);
	w->val[live->turn - 1] = val;
	w->stale = order > 0 ? 0 : w->stale + 1;
	if (order >= 0) {
		w->best = val;
		w->keep = 1;
	}
	if (w->patience && w->stale >= w->patience)
		live->halt = 1;
}

static __global__ void __launch_bounds__(COPY)
	k_keep(const rn_cuda_window *w, const rn_cuda_copy *copies, unsigned n)
{
	const rn_u64 stride = (rn_u64)gridDim.x * COPY;
	const unsigned tile = rn_tile();

	if (tile >= n || !w->keep)
		return;
	for (rn_u64 k = (rn_u64)blockIdx.x * COPY + threadIdx.x; k < copies[tile].n; k += stride)
		copies[tile].to[k] = copies[tile].from[k];
}

static __global__ void k_look(rn_cuda_window *w, bool end)
{
	const rn_u64 now = rn_nanoseconds();

	w->ns = end ? w->ns + now : w->ns - now;
}

size_t rn_cuda_gauge_scratch(uint32_t rows)
{
	size_t n = 0;

	do {
		rows = blocks_of(rows);
		n += rows;
	} while (rows > TERMS);
	return (n ? n : 1) * sizeof(double);
}

cudaError_t rn_cuda_judge(cudaStream_t s, struct rn_cuda_live *live, struct rn_cuda_window *w,
			  const struct rn_cuda_gauge *g)
{
	uint32_t n = blocks_of(g->rows);
	double *x = g->scratch;
	cudaError_t err = cudaSuccess;

	if (n)
		err = RN_LAUNCH(k_terms, n, TERMS, s, *g, x);
	while (err == cudaSuccess && n > TERMS) {
		err = RN_LAUNCH(k_fold, blocks_of(n), TERMS, s, (const double *)x, n, x + n);
		x += n;
		n = blocks_of(n);
	}
	if (err != cudaSuccess)
		return err;
	return RN_LAUNCH(k_judge, 1, TERMS, s, live, w, *g, (const double *)x, n);
}

cudaError_t rn_cuda_keep(cudaStream_t s, const struct rn_cuda_window *w,
			 const struct rn_cuda_copy *copies, uint32_t n, uint64_t most)
{
	unsigned blocks = rn_blocks(most, COPY);

	if (!n)
		return cudaSuccess;
	return RN_LAUNCH(k_keep, rn_grid(blocks < MOST_BLOCKS ? blocks : (unsigned)MOST_BLOCKS, n), COPY,
			 s, w, copies, n);
}

cudaError_t rn_cuda_look(cudaStream_t s, struct rn_cuda_window *w, int end)
{
	return RN_LAUNCH(k_look, 1, 1, s, w, end != 0);
}
