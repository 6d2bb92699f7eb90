/* SPDX-License-Identifier: Apache-2.0
 *
 * Primitives over rows.  They are bound by memory: rows are read 16 (8, 4) bytes a lane
 * where width and alignment allow, several rows in flight.
 *
 * k_gather      lanes over columns, groups of lanes over rows (4 rows each)
 * k_gather_one  width 1: threads over rows (4 each)
 * k_spmm        a group of lanes for each segment (device.cuh, rn_segsum)
 * k_close       a block for each long segment and tile of columns
 * k_sddmm       a group of lanes for each row
 * k_segarg      a group of lanes, or a block, for each segment and tile of columns
 * k_pick, k_unpick  lanes over columns, groups of lanes over rows
 */
#include "kernels.h"

#include "launch.h"
#include "rows.cuh"

enum { BLOCK = 256, ROWS = 4 /* rows of a group of lanes */ };

/* ---- gather ------------------------------------------------------------------------------ */

template <unsigned V>
static __global__ void __launch_bounds__(BLOCK)
	k_gather(float *out, const float *x, const unsigned *map, unsigned rows, unsigned width,
		 unsigned lanes)
{
	const unsigned f = (rn_tile() * lanes + threadIdx.x % lanes) * V, groups = BLOCK / lanes;
	const rn_u64 step = (rn_u64)gridDim.x * groups * ROWS;
	rn_u64 i = (rn_u64)blockIdx.x * groups * ROWS + threadIdx.x / lanes;

	if (f >= width)
		return;
	for (; i < rows; i += step) {
		float y[ROWS][V];
		unsigned row[ROWS];

		RN_UNROLL for (unsigned u = 0; u < ROWS; u++)
		{
			rn_u64 at = i + u * groups;

			row[u] = at < rows ? map[at] : RN_NOWHERE;
		}
		RN_UNROLL for (unsigned u = 0; u < ROWS; u++)
			rn_load_row<V>(y[u], x, row[u], width, f);
		RN_UNROLL for (unsigned u = 0; u < ROWS; u++)
		{
			rn_u64 at = i + u * groups;

			if (at < rows)
				rn_store<V>(out + at * width + f, y[u]);
		}
	}
}

static __global__ void __launch_bounds__(BLOCK)
	k_gather_one(float *out, const float *x, const unsigned *map, unsigned rows)
{
	const rn_u64 step = (rn_u64)gridDim.x * BLOCK * ROWS;

	for (rn_u64 i = (rn_u64)blockIdx.x * BLOCK * ROWS + threadIdx.x; i < rows; i += step) {
		unsigned row[ROWS];
		float y[ROWS];

		RN_UNROLL for (unsigned u = 0; u < ROWS; u++)
			row[u] = i + u * BLOCK < rows ? map[i + u * BLOCK] : RN_NOWHERE;
		RN_UNROLL for (unsigned u = 0; u < ROWS; u++)
			y[u] = row[u] == RN_NOWHERE ? 0.0f : x[row[u]];
		RN_UNROLL for (unsigned u = 0; u < ROWS; u++)
			if (i + u * BLOCK < rows)
				out[i + u * BLOCK] = y[u];
	}
}

template <unsigned V>
static cudaError_t gather(cudaStream_t s, float *out, const float *x, const uint32_t *map,
			  uint32_t rows, uint32_t width)
{
	struct rn_tiling t = rn_tiling_of(width, V);
	dim3 grid = rn_grid(rn_blocks(rows, BLOCK / t.lanes * ROWS), t.tiles);

	return RN_LAUNCH(k_gather<V>, grid, BLOCK, s, out, x, map, rows, width, t.lanes);
}

cudaError_t rn_cuda_gather(cudaStream_t s, float *out, const float *x, const uint32_t *map,
			   uint32_t rows, uint32_t width)
{
	if (!rows || !width)
		return cudaSuccess;
	if (!map)
		return cudaMemcpyAsync(out, x, (size_t)rows * width * sizeof *out,
				       cudaMemcpyDeviceToDevice, s);
	if (width == 1)
		return RN_LAUNCH(k_gather_one, rn_blocks(rows, BLOCK * ROWS), BLOCK, s, out, x, map,
				 rows);
	switch (vector_of(width, out, x)) {
	case 4:
		return gather<4>(s, out, x, map, rows, width);
	case 2:
		return gather<2>(s, out, x, map, rows, width);
	default:
		return gather<1>(s, out, x, map, rows, width);
	}
}

/* ---- spmm -------------------------------------------------------------------------------- */

struct spmm {
	float *out;
	const float *x, *w;
	const unsigned *xi, *wi;
	struct rn_segs g;
	unsigned width, lanes, terms;
};

/* WEIGHTED: 0: no weights, 1: w[k], 2: w[wi[k]].  A weight that is not finite counts for
 * nothing where there is no row. */
template <unsigned V, unsigned WEIGHTED> struct spmm_term {
	struct held {
		unsigned row, at;
		float w, y[V];
	};
	const spmm &a;

	__device__ __forceinline__ spmm_term(const spmm &args) : a(args)
	{
	}
	__device__ __forceinline__ void columns(unsigned)
	{
	}
	__device__ __forceinline__ void find(held &h, unsigned k) const
	{
		h.row = a.xi ? a.xi[k] : k;
		h.at = WEIGHTED == 2 ? a.wi[k] : k;
	}
	__device__ __forceinline__ void load(held &h, unsigned, unsigned f) const
	{
		const float *x = a.x + (rn_u64)h.row * a.width + f;
		bool there = !a.xi || h.row != RN_NOWHERE;
		float w = WEIGHTED ? a.w[h.at] : 1.0f;

		h.w = there ? w : 0.0f;
		rn_load<V>(h.y, there ? x : rn_nil.x);
	}
	__device__ __forceinline__ void add(const held &h, unsigned, unsigned, float *acc) const
	{
		RN_UNROLL for (unsigned j = 0; j < V; j++)
			acc[j] = WEIGHTED ? fmaf(h.w, h.y[j], acc[j]) : acc[j] + h.y[j];
	}
};

template <unsigned V, unsigned WEIGHTED>
static __global__ void __launch_bounds__(RN_SEG_BLOCK) k_spmm(const spmm a)
{
	spmm_term<V, WEIGHTED> term(a);

	rn_segsum<V, 4>(a.g, a.out, a.width, a.lanes, a.terms, term);
}

template <unsigned V>
static cudaError_t spmm_of(cudaStream_t s, const spmm *a, dim3 grid)
{
	if (!a->w)
		return RN_LAUNCH((k_spmm<V, 0>), grid, RN_SEG_BLOCK, s, *a);
	if (!a->wi)
		return RN_LAUNCH((k_spmm<V, 1>), grid, RN_SEG_BLOCK, s, *a);
	return RN_LAUNCH((k_spmm<V, 2>), grid, RN_SEG_BLOCK, s, *a);
}

cudaError_t rn_cuda_spmm(cudaStream_t s, float *out, const float *x, const uint32_t *xi,
			 const float *w, const uint32_t *wi, uint32_t width,
			 const struct rn_cuda_segs *g)
{
	unsigned v = vector_of(width, out, x, g->npieces ? g->scratch : NULL);
	struct rn_seg_layout l = rn_seg_layout_of(g, width, v);
	dim3 grid = rn_segs_grid(g, &l);
	spmm a = { out, x, w, xi, wi, segs_of(g), width, l.lanes, l.terms };
	cudaError_t rc;

	if (!g->n || !width)
		return cudaSuccess;
	rc = v == 4 ? spmm_of<4>(s, &a, grid) : v == 2 ? spmm_of<2>(s, &a, grid)
						       : spmm_of<1>(s, &a, grid);
	return rc != cudaSuccess ? rc : rn_cuda_segs_close(s, out, width, g);
}

/* ---- long segments ----------------------------------------------------------------------- */

/* longs: a segment, and its first piece; its pieces are consecutive rows of scratch. */
template <unsigned V>
static __global__ void __launch_bounds__(SUM_BLOCK)
	k_close(float *out, const float *scratch, const unsigned *ptr, const unsigned *longs,
		unsigned nlong, unsigned width, unsigned cols)
{
	for (unsigned i = blockIdx.x; i < nlong; i += gridDim.x) {
		unsigned seg = longs[2 * i], terms = ptr[seg + 1] - ptr[seg];

		rn_sum_rows<V>(scratch + (rn_u64)longs[2 * i + 1] * width,
			       (terms - 1) / RN_SEG_LONG + 1, width, cols, rn_tile(),
			       out + (rn_u64)seg * width);
	}
}

cudaError_t rn_cuda_segs_close(cudaStream_t s, float *out, uint32_t width,
			       const struct rn_cuda_segs *g)
{
	unsigned v = vector_of(width, out, g->scratch) == 4 ? 4 : 1;
	unsigned cols = rn_sum_cols(width), tiles = (width - 1) / (cols * v) + 1;
	dim3 grid = rn_grid(rn_blocks(g->nlong, 1), tiles);

	if (!g->nlong || !width)
		return cudaSuccess;
	if (v == 4)
		return RN_LAUNCH(k_close<4>, grid, SUM_BLOCK, s, out, g->scratch, g->ptr, g->longs,
				 g->nlong, width, cols);
	return RN_LAUNCH(k_close<1>, grid, SUM_BLOCK, s, out, g->scratch, g->ptr, g->longs,
			 g->nlong, width, cols);
}

/* ---- sddmm ------------------------------------------------------------------------------- */

/* Row k is `lanes` lanes wide; each lane takes V numbers of every lanes-th pack of both rows. */
template <unsigned V>
static __global__ void __launch_bounds__(BLOCK)
	k_sddmm(float *out, unsigned n, unsigned width, const float *a, const unsigned *ai,
		const float *b, const unsigned *bi, unsigned lanes)
{
	const unsigned groups = BLOCK / lanes, lane = threadIdx.x % lanes;
	const rn_u64 step = (rn_u64)gridDim.x * groups * 2;
	/* every lane of a warp takes part in each turn */
	rn_u64 base = (rn_u64)blockIdx.x * groups * 2;

	for (; base < n; base += step) {
		rn_u64 k[2] = { base + threadIdx.x / lanes, base + threadIdx.x / lanes + groups };
		unsigned i[2], j[2];
		float sum[2] = { 0.0f, 0.0f };

		RN_UNROLL for (unsigned u = 0; u < 2; u++)
		{
			i[u] = k[u] >= n ? RN_NOWHERE : ai ? ai[k[u]] : (unsigned)k[u];
			j[u] = k[u] >= n ? RN_NOWHERE : bi ? bi[k[u]] : (unsigned)k[u];
		}
		for (unsigned f = lane * V; f < width; f += lanes * V) {
			float x[2][V], y[2][V];

			RN_UNROLL for (unsigned u = 0; u < 2; u++)
			{
				bool both = i[u] != RN_NOWHERE && j[u] != RN_NOWHERE;

				rn_load_row<V>(x[u], a, both ? i[u] : RN_NOWHERE, width, f);
				rn_load_row<V>(y[u], b, both ? j[u] : RN_NOWHERE, width, f);
			}
			RN_UNROLL for (unsigned u = 0; u < 2; u++)
				RN_UNROLL for (unsigned v = 0; v < V; v++)
					sum[u] = fmaf(x[u][v], y[u][v], sum[u]);
		}
		RN_UNROLL for (unsigned u = 0; u < 2; u++)
		{
			for (unsigned m = 1; m < lanes; m *= 2)
				sum[u] += __shfl_xor_sync(RN_ALL, sum[u], m);
			if (!lane && k[u] < n)
				out[k[u]] = sum[u];
		}
	}
}

template <unsigned V>
static cudaError_t sddmm(cudaStream_t s, float *out, uint32_t n, uint32_t width, const float *a,
			 const uint32_t *ai, const float *b, const uint32_t *bi)
{
	/* two packs a lane: fewer sums across lanes, more loads in flight */
	unsigned lanes = rn_pow2((width / V + 1) / 2, RN_WARP);

	return RN_LAUNCH(k_sddmm<V>, rn_blocks(n, BLOCK / lanes * 2), BLOCK, s, out, n, width, a,
			 ai, b, bi, lanes);
}

cudaError_t rn_cuda_sddmm(cudaStream_t s, float *out, uint32_t n, uint32_t width, const float *a,
			  const uint32_t *ai, const float *b, const uint32_t *bi)
{
	if (!n)
		return cudaSuccess;
	switch (vector_of(width, a, b)) {
	case 4:
		return sddmm<4>(s, out, n, width, a, ai, b, bi);
	case 2:
		return sddmm<2>(s, out, n, width, a, ai, b, bi);
	default:
		return sddmm<1>(s, out, n, width, a, ai, b, bi);
	}
}

/* ---- extrema of segments ----------------------------------------------------------------- */

/* The best term so far, by its place k in the segment; RN_NOWHERE: none. */
struct best {
	float x;
	unsigned k;
};

/* Does (y, k) come before b?  A number beats NaN, a term beats none, the first its equals. */
RN_DEV bool beats(float y, unsigned k, const best &b, bool smallest)
{
	if (k == RN_NOWHERE || b.k == RN_NOWHERE)
		return k != RN_NOWHERE;
	if (y != y || b.x != b.x)
		return y == y || (b.x != b.x && k < b.k);
	return y == b.x ? k < b.k : smallest ? y < b.x : y > b.x;
}

RN_DEV best better(const best &a, const best &b, bool smallest)
{
	return beats(b.x, b.k, a, smallest) ? b : a;
}

struct segarg {
	unsigned *out;
	const float *x;
	const unsigned *ptr, *rows;
	unsigned n, width, lanes;
	bool smallest;
};

/* The best of terms from + slot, from + slot + slots, … of a segment. */
RN_DEV best segarg_scan(const segarg &a, unsigned from, unsigned end, unsigned slot, unsigned slots,
			unsigned f)
{
	best b = { 0.0f, RN_NOWHERE };

	for (rn_u64 k = (rn_u64)from + slot; k < end; k += slots) {
		unsigned row = a.rows ? a.rows[k] : (unsigned)k;
		float y = a.x[(rn_u64)row * a.width + f];

		if (beats(y, (unsigned)k, b, a.smallest)) {
			b.x = y;
			b.k = (unsigned)k;
		}
	}
	return b;
}

RN_DEV void segarg_store(const segarg &a, rn_u64 seg, unsigned f, const best &b)
{
	a.out[seg * a.width + f] = b.k == RN_NOWHERE ? RN_NOWHERE : a.rows ? a.rows[b.k] : b.k;
}

/* Many segments: `slots` times `lanes` lanes of a warp for each. */
static __global__ void __launch_bounds__(BLOCK) k_segarg(const segarg a, unsigned slots)
{
	const unsigned group = a.lanes * slots, per_warp = RN_WARP / group;
	const unsigned lane = threadIdx.x % RN_WARP, f = rn_tile() * a.lanes + lane % a.lanes;
	const rn_u64 step = (rn_u64)gridDim.x * (BLOCK / RN_WARP) * per_warp;
	rn_u64 first = (rn_u64)blockIdx.x * (BLOCK / RN_WARP) + threadIdx.x / RN_WARP;

	for (first *= per_warp; first < a.n; first += step) {
		rn_u64 seg = first + lane / group;
		unsigned slot = lane % group / a.lanes;
		bool mine = seg < a.n && f < a.width;
		best b = { 0.0f, RN_NOWHERE };

		if (mine)
			b = segarg_scan(a, a.ptr[seg], a.ptr[seg + 1], slot, slots, f);
		for (unsigned m = a.lanes; m < group; m *= 2) {
			best o;

			o.x = __shfl_xor_sync(RN_ALL, b.x, m);
			o.k = __shfl_xor_sync(RN_ALL, b.k, m);
			b = better(b, o, a.smallest);
		}
		if (mine && !slot)
			segarg_store(a, seg, f, b);
	}
}

/* Few segments: a block for each. */
static __global__ void __launch_bounds__(BLOCK) k_segarg_block(const segarg a)
{
	__shared__ best all[BLOCK];
	const unsigned t = threadIdx.x, f = rn_tile() * a.lanes + t % a.lanes;
	best b = { 0.0f, RN_NOWHERE };

	if (f < a.width)
		b = segarg_scan(a, a.ptr[blockIdx.x], a.ptr[blockIdx.x + 1], t / a.lanes,
				BLOCK / a.lanes, f);
	all[t] = b;
	for (unsigned m = BLOCK / 2; m >= a.lanes; m /= 2) {
		__syncthreads();
		if (t < m)
			all[t] = better(all[t], all[t + m], a.smallest);
	}
	if (t < a.lanes && f < a.width)
		segarg_store(a, blockIdx.x, f, all[t]);
}

cudaError_t rn_cuda_segarg(cudaStream_t s, uint32_t *out, const float *x, const uint32_t *ptr,
			   const uint32_t *rows, uint32_t n, uint32_t width, int smallest)
{
	struct rn_tiling t = rn_tiling_of(width, 1);
	segarg a = { out, x, ptr, rows, n, width, t.lanes, smallest != 0 };
	unsigned slots = rn_pow2(RN_WARP / t.lanes, 8);

	if (!n || !width)
		return cudaSuccess;
	if ((rn_u64)n * t.tiles < 512)
		return RN_LAUNCH(k_segarg_block, rn_grid(n, t.tiles), BLOCK, s, a);
	return RN_LAUNCH(k_segarg, rn_grid(rn_blocks((rn_u64)n * t.lanes * slots, BLOCK), t.tiles),
			 BLOCK, s, a, slots);
}

/* out[s, f] = x[arg[s, f], f]; BACK: out[arg[s, f], f] = x[s, f]. */
template <bool BACK>
static __global__ void __launch_bounds__(BLOCK)
	k_pick(float *out, const float *x, const unsigned *arg, unsigned n, unsigned width,
	       unsigned lanes)
{
	const unsigned f = rn_tile() * lanes + threadIdx.x % lanes, groups = BLOCK / lanes;
	const rn_u64 step = (rn_u64)gridDim.x * groups;

	if (f >= width)
		return;
	for (rn_u64 i = (rn_u64)blockIdx.x * groups + threadIdx.x / lanes; i < n; i += step) {
		rn_u64 at = i * width + f;
		unsigned row = arg[at];

		if (!BACK)
			out[at] = rn_at_row(x, row, width, f);
		else if (row != RN_NOWHERE)
			out[(rn_u64)row * width + f] = x[at];
	}
}

cudaError_t rn_cuda_pick(cudaStream_t s, float *out, const float *x, const uint32_t *arg,
			 uint32_t n, uint32_t width)
{
	struct rn_tiling t = rn_tiling_of(width, 1);
	dim3 grid = rn_grid(rn_blocks(n, BLOCK / t.lanes), t.tiles);

	if (!n || !width)
		return cudaSuccess;
	return RN_LAUNCH(k_pick<false>, grid, BLOCK, s, out, x, arg, n, width, t.lanes);
}

cudaError_t rn_cuda_unpick(cudaStream_t s, float *out, uint32_t rows, const float *g,
			   const uint32_t *arg, uint32_t n, uint32_t width)
{
	struct rn_tiling t = rn_tiling_of(width, 1);
	dim3 grid = rn_grid(rn_blocks(n, BLOCK / t.lanes), t.tiles);
	cudaError_t rc;

	if (!rows || !width)
		return cudaSuccess;
	rc = cudaMemsetAsync(out, 0, (size_t)rows * width * sizeof *out, s);
	if (rc != cudaSuccess || !n)
		return rc;
	return RN_LAUNCH(k_pick<true>, grid, BLOCK, s, out, g, arg, n, width, t.lanes);
}
