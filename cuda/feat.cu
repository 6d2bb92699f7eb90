/* SPDX-License-Identifier: Apache-2.0
 *
 * Primitives over features, losses that reduce a row, sparse rows.
 *
 * k_colsum        a block for each run of rows and tile of columns; then their sums likewise
 * k_row           a group of lanes for each row: its sum, largest, or the place of that
 * k_fsum          threads over the numbers of the result, in runs of rows; blocks hold the map
 * k_fsum_wide     the same for a map too long for a block
 * k_paste         lanes over columns, groups of lanes over rows
 * k_densify       a warp for each row; k_atcsr: 8 lanes for each row
 * k_ce, k_ce_grad a group of lanes for each row
 */
#include "kernels.h"

#include "launch.h"
#include "rows.cuh"

enum { BLOCK = SUM_BLOCK };

/* ---- column sums ------------------------------------------------------------------------- */

/* Rows of a run: so that there are about a thousand blocks, each with work for a while. */
static uint32_t run_rows(uint32_t n, uint32_t width)
{
	unsigned v = width % 4 ? 1 : 4, cols = rn_sum_cols(width);
	uint64_t tiles = ((uint64_t)width - 1) / (cols * v) + 1, per_block = SUM_BLOCK / cols;
	uint64_t rows = n * tiles / 1024 / per_block * per_block;

	return (uint32_t)(rows < 8 * per_block ? 8 * per_block : rows);
}

size_t rn_cuda_colsum_scratch(uint32_t n, uint32_t width)
{
	uint32_t runs;

	if (!n || !width)
		return 0;
	runs = (n - 1) / run_rows(n, width) + 1;
	return runs > 1 ? (size_t)runs * width * sizeof(float) : 0;
}

template <unsigned V>
static __global__ void __launch_bounds__(SUM_BLOCK)
	k_colsum(float *out, const float *x, unsigned n, unsigned width, unsigned cols,
		 unsigned rows)
{
	const unsigned runs = (n - 1) / rows + 1;

	for (unsigned c = blockIdx.x; c < runs; c += gridDim.x) {
		rn_u64 from = (rn_u64)c * rows, left = n - from;

		rn_sum_rows<V>(x + from * width, left < rows ? left : rows, width, cols, rn_tile(),
			       out + (rn_u64)c * width);
	}
}

template <unsigned V>
static cudaError_t colsum(cudaStream_t s, float *out, const float *x, uint32_t n, uint32_t width,
			  float *scratch)
{
	unsigned cols = rn_sum_cols(width), tiles = (width - 1) / (cols * V) + 1;
	uint32_t rows = run_rows(n, width), runs = (n - 1) / rows + 1;
	float *first = runs > 1 ? scratch : out;
	cudaError_t rc;

	rc = RN_LAUNCH(k_colsum<V>, rn_grid(runs, tiles), SUM_BLOCK, s, first, x, n, width, cols,
		       rows);
	if (rc != cudaSuccess || runs == 1)
		return rc;
	return RN_LAUNCH(k_colsum<V>, rn_grid(1, tiles), SUM_BLOCK, s, out, first, runs, width,
			 cols, runs);
}

cudaError_t rn_cuda_colsum(cudaStream_t s, float *out, const float *x, uint32_t n, uint32_t width,
			   void *scratch)
{
	if (!width)
		return cudaSuccess;
	if (!n)
		return cudaMemsetAsync(out, 0, width * sizeof *out, s);
	if (vector_of(width, out, x, scratch) == 4)
		return colsum<4>(s, out, x, n, width, (float *)scratch);
	return colsum<1>(s, out, x, n, width, (float *)scratch);
}

/* ---- reductions of rows ------------------------------------------------------------------ */

/* Lanes of a row of so many numbers: about 4 each. */
static unsigned row_lanes(uint32_t width)
{
	return rn_pow2((width + 3) / 4, RN_WARP);
}

/* NaN counts as largest, and the first of equal ones is taken. */
RN_DEV bool larger(float y, unsigned g, float x, unsigned f)
{
	if (y != y || x != x)
		return y != y && (x == x || g < f);
	return y > x || (y == x && g < f);
}

/* The largest of a row, by all of its lanes; a lane without numbers has f = RN_NOWHERE. */
RN_DEV void largest(const float *x, unsigned width, unsigned lane, unsigned lanes, bool mine,
		    float *best, unsigned *at)
{
	float b = 0.0f;
	unsigned f = RN_NOWHERE;

	for (unsigned g = lane; mine && g < width; g += lanes)
		if (f == RN_NOWHERE || larger(x[g], g, b, f)) {
			b = x[g];
			f = g;
		}
	for (unsigned m = 1; m < lanes; m *= 2) {
		float y = __shfl_xor_sync(RN_ALL, b, m);
		unsigned g = __shfl_xor_sync(RN_ALL, f, m);

		if (g != RN_NOWHERE && (f == RN_NOWHERE || larger(y, g, b, f))) {
			b = y;
			f = g;
		}
	}
	*best = b;
	*at = f;
}

enum row_kind { ROW_SUM, ROW_MAX, ROW_ARGMAX };

template <enum row_kind KIND>
static __global__ void __launch_bounds__(BLOCK)
	k_row(float *out, const float *x, unsigned n, unsigned width, unsigned lanes)
{
	const unsigned groups = BLOCK / lanes, lane = threadIdx.x % lanes;
	const rn_u64 step = (rn_u64)gridDim.x * groups;
	rn_u64 base = (rn_u64)blockIdx.x * groups;

	for (; base < n; base += step) {
		rn_u64 i = base + threadIdx.x / lanes;
		const float *row = x + i * width;
		float y = 0.0f;
		unsigned f;

		if (KIND == ROW_SUM) {
			for (f = lane; i < n && f < width; f += lanes)
				y += row[f];
			for (unsigned m = 1; m < lanes; m *= 2)
				y += __shfl_xor_sync(RN_ALL, y, m);
		} else {
			largest(row, width, lane, lanes, i < n, &y, &f);
			y = KIND == ROW_ARGMAX ? (float)f : y;
		}
		if (i < n && !lane)
			out[i] = y;
	}
}

template <enum row_kind KIND>
static cudaError_t reduce_rows(cudaStream_t s, float *out, const float *x, uint32_t n,
			       uint32_t width)
{
	unsigned lanes = row_lanes(width);

	if (!n)
		return cudaSuccess;
	return RN_LAUNCH(k_row<KIND>, rn_blocks(n, BLOCK / lanes), BLOCK, s, out, x, n, width,
			 lanes);
}

cudaError_t rn_cuda_fmax(cudaStream_t s, float *out, const float *x, uint32_t n, uint32_t width)
{
	return reduce_rows<ROW_MAX>(s, out, x, n, width);
}

cudaError_t rn_cuda_argmax(cudaStream_t s, float *out, const float *x, uint32_t n, uint32_t width)
{
	return reduce_rows<ROW_ARGMAX>(s, out, x, n, width);
}

/* ---- sums of features by a map ----------------------------------------------------------- */

enum { MAP_MAX = 4096 };
static constexpr unsigned MAP_END = 0xFFFF;

/* Lists of the columns that go to each column of the result: the first of column j, and from a
 * column the next of the same list.  A block makes them once, for a run of rows. */
static __global__ void __launch_bounds__(BLOCK)
	k_fsum(float *out, const float *x, const unsigned *map, unsigned n, unsigned width,
	       unsigned out_width, unsigned rows)
{
	__shared__ unsigned short to[MAP_MAX], first[MAP_MAX], next[MAP_MAX];
	const rn_u64 from = (rn_u64)blockIdx.x * rows, left = n - from;
	const unsigned total = (unsigned)(left < rows ? left : rows) * out_width;

	for (unsigned f = threadIdx.x; f < width; f += BLOCK)
		to[f] = (unsigned short)map[f];
	__syncthreads();
	for (unsigned f = threadIdx.x; f < width; f += BLOCK) {
		unsigned g = f + 1;

		while (g < width && to[g] != to[f])
			g++;
		next[f] = (unsigned short)(g < width ? g : MAP_END);
	}
	for (unsigned j = threadIdx.x; j < out_width; j += BLOCK) {
		unsigned g = 0;

		while (g < width && to[g] != j)
			g++;
		first[j] = (unsigned short)(g < width ? g : MAP_END);
	}
	__syncthreads();
	for (unsigned t = threadIdx.x; t < total; t += BLOCK) {
		const float *row = x + (from + t / out_width) * width;
		float y = 0.0f;

		for (unsigned f = first[t % out_width]; f != MAP_END; f = next[f])
			y += row[f];
		out[from * out_width + t] = y;
	}
}

static __global__ void __launch_bounds__(BLOCK)
	k_fsum_wide(float *out, const float *x, const unsigned *map, unsigned n, unsigned width,
		    unsigned out_width)
{
	const rn_u64 total = (rn_u64)n * out_width, step = (rn_u64)gridDim.x * BLOCK;

	for (rn_u64 t = (rn_u64)blockIdx.x * BLOCK + threadIdx.x; t < total; t += step) {
		const float *row = x + t / out_width * width;
		unsigned j = (unsigned)(t % out_width);
		float y = 0.0f;

		for (unsigned f = 0; f < width; f++)
			if (map[f] == j)
				y += row[f];
		out[t] = y;
	}
}

cudaError_t rn_cuda_fsum(cudaStream_t s, float *out, const float *x, const uint32_t *map,
			 uint32_t n, uint32_t width, uint32_t out_width)
{
	uint64_t rows;

	if (!n || !out_width)
		return cudaSuccess;
	if (!map)
		return reduce_rows<ROW_SUM>(s, out, x, n, width);
	if (width >= MAP_MAX || out_width >= MAP_MAX)
		return RN_LAUNCH(k_fsum_wide, rn_blocks((rn_u64)n * out_width, BLOCK), BLOCK, s,
				 out, x, map, n, width, out_width);
	rows = (uint64_t)n / 2048 + 1; /* and enough numbers to be worth the lists */
	rows = rows * out_width < 4 * BLOCK ? 4 * BLOCK / out_width + 1 : rows;
	rows = rows < 1u << 19 ? rows : 1u << 19;
	return RN_LAUNCH(k_fsum, rn_blocks(n, (unsigned)rows), BLOCK, s, out, x, map, n, width,
			 out_width, (unsigned)rows);
}

/* ---- columns side by side ---------------------------------------------------------------- */

template <unsigned V>
static __global__ void __launch_bounds__(BLOCK)
	k_paste(float *out, unsigned out_width, unsigned from, const float *x, unsigned rows,
		unsigned width, unsigned stride, unsigned lanes)
{
	const unsigned f = (rn_tile() * lanes + threadIdx.x % lanes) * V, groups = BLOCK / lanes;
	const rn_u64 step = (rn_u64)gridDim.x * groups;

	if (f >= width)
		return;
	for (rn_u64 i = (rn_u64)blockIdx.x * groups + threadIdx.x / lanes; i < rows; i += step) {
		float y[V];

		rn_load<V>(y, x + i * stride + f);
		rn_store<V>(out + i * out_width + from + f, y);
	}
}

cudaError_t rn_cuda_paste(cudaStream_t s, float *out, uint32_t out_width, uint32_t from,
			  const float *x, uint32_t rows, uint32_t width, uint32_t stride)
{
	bool four = rn_aligned(out + from, out_width, 4) && rn_aligned(x, width, 4) &&
		    stride % 4 == 0;
	struct rn_tiling t = rn_tiling_of(width, four ? 4 : 1);
	dim3 grid = rn_grid(rn_blocks(rows, BLOCK / t.lanes), t.tiles);

	if (!rows || !width)
		return cudaSuccess;
	if (four)
		return RN_LAUNCH(k_paste<4>, grid, BLOCK, s, out, out_width, from, x, rows, width,
				 stride, t.lanes);
	return RN_LAUNCH(k_paste<1>, grid, BLOCK, s, out, out_width, from, x, rows, width, stride,
			 t.lanes);
}

/* ---- sparse rows ------------------------------------------------------------------------- */

/* Stored numbers of one column are added, in order: the first of them in a batch of 32 adds
 * up those of the batch. */
static __global__ void __launch_bounds__(BLOCK)
	k_densify(float *out, const float *vals, const unsigned *ptr, const unsigned *col,
		  unsigned rows, unsigned width)
{
	const unsigned lane = threadIdx.x % RN_WARP, warps = BLOCK / RN_WARP;
	rn_u64 i = (rn_u64)blockIdx.x * warps + threadIdx.x / RN_WARP;

	for (; i < rows; i += (rn_u64)gridDim.x * warps) {
		float *row = out + i * width;

		for (unsigned f = lane; f < width; f += RN_WARP)
			row[f] = 0.0f;
		__syncwarp();
		for (rn_u64 base = ptr[i]; base < ptr[i + 1]; base += RN_WARP) {
			bool mine = base + lane < ptr[i + 1], leads = mine;
			unsigned c = mine ? col[base + lane] : RN_NOWHERE;
			float x = mine ? vals[base + lane] : 0.0f, sum = 0.0f;

			for (unsigned l = 0; l < RN_WARP; l++) {
				unsigned other = __shfl_sync(RN_ALL, c, (int)l);
				float y = __shfl_sync(RN_ALL, x, (int)l);

				if (other == c) {
					leads = leads && l >= lane;
					sum += y;
				}
			}
			if (leads)
				row[c] += sum;
			__syncwarp();
		}
	}
}

cudaError_t rn_cuda_densify(cudaStream_t s, float *out, const float *vals, const uint32_t *ptr,
			    const uint32_t *col, uint32_t rows, uint32_t width)
{
	if (!rows || !width)
		return cudaSuccess;
	return RN_LAUNCH(k_densify, rn_blocks(rows, BLOCK / RN_WARP), BLOCK, s, out, vals, ptr, col,
			 rows, width);
}

enum { CSR_LANES = 8 };

static __global__ void __launch_bounds__(BLOCK)
	k_atcsr(float *out, const float *x, const unsigned *ptr, const unsigned *col, unsigned rows,
		unsigned width)
{
	const unsigned groups = BLOCK / CSR_LANES;
	rn_u64 i = (rn_u64)blockIdx.x * groups + threadIdx.x / CSR_LANES;

	for (; i < rows; i += (rn_u64)gridDim.x * groups) {
		rn_u64 end = ptr[i + 1];

		for (rn_u64 k = (rn_u64)ptr[i] + threadIdx.x % CSR_LANES; k < end; k += CSR_LANES)
			out[k] = x[i * width + col[k]];
	}
}

cudaError_t rn_cuda_atcsr(cudaStream_t s, float *out, const float *x, const uint32_t *ptr,
			  const uint32_t *col, uint32_t rows, uint32_t width)
{
	if (!rows)
		return cudaSuccess;
	return RN_LAUNCH(k_atcsr, rn_blocks(rows, BLOCK / CSR_LANES), BLOCK, s, out, x, ptr, col,
			 rows, width);
}

/* ---- cross-entropy ----------------------------------------------------------------------- */

/* out[i] = logsumexp(z[i]) - z[i, label[i]]; GRAD: out[i] = (softmax(z[i]) - onehot) * g[i]. */
template <bool GRAD>
static __global__ void __launch_bounds__(BLOCK)
	k_ce(float *out, const float *z, const float *g, const unsigned *label, unsigned n,
	     unsigned c, unsigned lanes)
{
	const unsigned groups = BLOCK / lanes, lane = threadIdx.x % lanes;
	const rn_u64 step = (rn_u64)gridDim.x * groups;
	rn_u64 base = (rn_u64)blockIdx.x * groups;

	for (; base < n; base += step) {
		rn_u64 i = base + threadIdx.x / lanes;
		unsigned y = i < n ? label[i] : RN_NOWHERE, at;
		bool mine = i < n && y != RN_NOWHERE;
		const float *row = z + i * c;
		float top, sum = 0.0f;

		largest(row, c, lane, lanes, mine, &top, &at);
		for (unsigned f = lane; mine && f < c; f += lanes)
			sum += expf(row[f] - top);
		for (unsigned m = 1; m < lanes; m *= 2)
			sum += __shfl_xor_sync(RN_ALL, sum, m);
		if (GRAD)
			for (unsigned f = lane; i < n && f < c; f += lanes) {
				float p = mine ? expf(row[f] - top) / sum : 0.0f;

				out[i * c + f] = mine ? (p - (f == y ? 1.0f : 0.0f)) * g[i] : 0.0f;
			}
		else if (i < n && !lane)
			out[i] = mine ? logf(sum) + (top - row[y]) : 0.0f;
	}
}

cudaError_t rn_cuda_ce(cudaStream_t s, float *out, const float *z, const uint32_t *label,
		       uint32_t n, uint32_t c)
{
	unsigned lanes = row_lanes(c);

	if (!n)
		return cudaSuccess;
	return RN_LAUNCH(k_ce<false>, rn_blocks(n, BLOCK / lanes), BLOCK, s, out, z,
			 (const float *)NULL, label, n, c, lanes);
}

cudaError_t rn_cuda_ce_grad(cudaStream_t s, float *out, const float *z, const float *g,
			    const uint32_t *label, uint32_t n, uint32_t c)
{
	unsigned lanes = row_lanes(c);

	if (!n || !c)
		return cudaSuccess;
	return RN_LAUNCH(k_ce<true>, rn_blocks(n, BLOCK / lanes), BLOCK, s, out, z, g, label, n, c,
			 lanes);
}
