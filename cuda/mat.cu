/* SPDX-License-Identifier: Apache-2.0
 *
 * Products that cuBLAS has not, or is not asked for.  A block makes a tile of the result,
 * RM x RN numbers a thread, from tiles of 16 terms in shared memory; the next ones are
 * read into registers meanwhile.  A number is the sum of its products one after the other,
 * so it does not depend on the tile.
 *
 * k_gemm          blocks over tiles of the result
 * k_gemm_tn       blocks over tiles of the result and runs of rows; the runs are added after
 * k_ggemm         blocks over panels of rows and tiles of columns, each panel's segments in turn
 * k_ggemm_rows    the same for short segments: a warp for each row
 * k_ggemm_tn      blocks over panels of rows and tiles; k_ggemm_sum adds a segment's panels
 * k_matmul        threads over numbers of the result
 * k_bias          lanes over columns, groups of lanes over rows: behind a product of cuBLAS
 */
#include "kernels.h"

#include "launch.h"
#include "rows.cuh"

enum { TERMS = 16, PAD = 4, BLOCK = 256 };

/* Tiles: square, of few columns, of few rows, small. */
struct square {
	static constexpr unsigned BM = 64, BN = 64, RM = 4, RN = 4;
};
struct slim {
	static constexpr unsigned BM = 64, BN = 16, RM = 4, RN = 2;
};
struct flat {
	static constexpr unsigned BM = 16, BN = 64, RM = 2, RN = 4;
};
struct little {
	static constexpr unsigned BM = 32, BN = 32, RM = 4, RN = 2;
};
template <class T> static constexpr unsigned threads = (T::BM / T::RM) * (T::BN / T::RN);

/* A block of a product: c [rows, cols] = sum over l < terms of a(i, l) * b(l, j). */
struct mul {
	const float *a, *b;
	const float *bias; /* [cols], added to each row of c; NULL: nothing is */
	float *c;
	rn_u64 lda, ldb, ldc;
	unsigned rows, cols, terms;
};

/* ACROSS: the first operand is read down its columns, a(i, l) = a[l * lda + i];
 * TRANS: the second is stored transposed, b(l, j) = b[j * ldb + l]. */
template <class T, bool ACROSS, bool TRANS> struct tile {
	static constexpr unsigned N = threads<T>, PA = T::BM * TERMS / N, PB = T::BN * TERMS / N;
	float ra[PA], rb[PB];

	/* Terms l0 … of both operands, into registers; zeros past the ends. */
	__device__ __forceinline__ void fetch(const mul &g, unsigned l0)
	{
		RN_UNROLL for (unsigned u = 0; u < PA; u++)
		{
			unsigned e = threadIdx.x + u * N, i = ACROSS ? e % T::BM : e / TERMS;
			unsigned l = l0 + (ACROSS ? e / T::BM : e % TERMS);
			bool in = i < g.rows && l < g.terms;

			ra[u] = !in ? 0.0f : ACROSS ? g.a[l * g.lda + i] : g.a[i * g.lda + l];
		}
		RN_UNROLL for (unsigned u = 0; u < PB; u++)
		{
			unsigned e = threadIdx.x + u * N, j = TRANS ? e / TERMS : e % T::BN;
			unsigned l = l0 + (TRANS ? e % TERMS : e / T::BN);
			bool in = j < g.cols && l < g.terms;

			rb[u] = !in ? 0.0f : TRANS ? g.b[j * g.ldb + l] : g.b[l * g.ldb + j];
		}
	}
	__device__ __forceinline__ void put(float (*a)[T::BM + PAD], float (*b)[T::BN + PAD]) const
	{
		RN_UNROLL for (unsigned u = 0; u < PA; u++)
		{
			unsigned e = threadIdx.x + u * N;

			a[ACROSS ? e / T::BM : e % TERMS][ACROSS ? e % T::BM : e / TERMS] = ra[u];
		}
		RN_UNROLL for (unsigned u = 0; u < PB; u++)
		{
			unsigned e = threadIdx.x + u * N;

			b[TRANS ? e % TERMS : e / T::BN][TRANS ? e / TERMS : e % T::BN] = rb[u];
		}
	}
};

template <class T> RN_DEV void store_tile(const mul &g, const float (*acc)[T::RN])
{
	const unsigned i0 = threadIdx.x / (T::BN / T::RN) * T::RM;
	const unsigned j0 = threadIdx.x % (T::BN / T::RN) * T::RN;

	RN_UNROLL for (unsigned r = 0; r < T::RM; r++)
		RN_UNROLL for (unsigned q = 0; q < T::RN; q++)
			if (i0 + r < g.rows && j0 + q < g.cols)
				g.c[(i0 + r) * g.ldc + j0 + q] =
					g.bias ? acc[r][q] + g.bias[j0 + q] : acc[r][q];
}

/* All threads of a block make one tile; g is the same for all. */
template <class T, bool ACROSS, bool TRANS> RN_DEV void multiply(const mul &g)
{
	__shared__ __align__(16) float a[TERMS][T::BM + PAD], b[TERMS][T::BN + PAD];
	const unsigned i0 = threadIdx.x / (T::BN / T::RN) * T::RM;
	const unsigned j0 = threadIdx.x % (T::BN / T::RN) * T::RN;
	float acc[T::RM][T::RN] = {};
	tile<T, ACROSS, TRANS> next;

	next.fetch(g, 0);
	for (unsigned l = 0; l < g.terms; l += TERMS) {
		unsigned left = g.terms - l;

		next.put(a, b);
		__syncthreads();
		if (left > TERMS)
			next.fetch(g, l + TERMS);
		RN_UNROLL for (unsigned t = 0; t < TERMS; t++)
		{
			float x[T::RM], y[T::RN];

			RN_UNROLL for (unsigned r = 0; r < T::RM; r++)
				x[r] = a[t][i0 + r];
			RN_UNROLL for (unsigned q = 0; q < T::RN; q++)
				y[q] = b[t][j0 + q];
			RN_UNROLL for (unsigned r = 0; r < T::RM; r++)
				RN_UNROLL for (unsigned q = 0; q < T::RN; q++)
					acc[r][q] = fmaf(x[r], y[q], acc[r][q]);
		}
		__syncthreads();
		if (left <= TERMS)
			break; /* l does not wrap */
	}
	store_tile<T>(g, acc);
}

/* A tile of c at (i, j) of a product of [rows, terms] by [terms, cols]. */
template <class T, bool ACROSS, bool TRANS>
RN_DEV mul tile_at(const float *a, const float *b, float *c, unsigned rows, unsigned terms,
		   unsigned cols, rn_u64 lda, rn_u64 i, unsigned j)
{
	mul g;

	g.lda = lda;
	g.ldb = TRANS ? terms : cols;
	g.ldc = cols;
	g.a = a + (ACROSS ? i : i * lda);
	g.b = b + (TRANS ? j * g.ldb : j);
	g.bias = 0;
	g.c = c + i * cols + j;
	g.rows = rows - i < T::BM ? (unsigned)(rows - i) : T::BM;
	g.cols = cols - j < T::BN ? cols - j : T::BN;
	g.terms = terms;
	return g;
}

/* ---- out = x·W + b ----------------------------------------------------------------------- */

template <class T, bool TRANS>
static __global__ void __launch_bounds__(threads<T>)
	k_gemm(float *out, const float *x, const float *w, const float *bias, unsigned n, unsigned k,
	       unsigned m)
{
	const rn_u64 i = (rn_u64)blockIdx.x * T::BM, j = (rn_u64)rn_tile() * T::BN;
	mul g;

	if (i >= n || j >= m)
		return;
	g = tile_at<T, false, TRANS>(x, w, out, n, k, m, k, i, (unsigned)j);
	g.bias = bias ? bias + j : 0;
	multiply<T, false, TRANS>(g);
}

static rn_u64 tiles_of(uint32_t rows, uint32_t cols, unsigned bm, unsigned bn)
{
	return ((rn_u64)rows + bm - 1) / bm * (((rn_u64)cols + bn - 1) / bn);
}

template <class T>
static cudaError_t gemm(cudaStream_t s, float *out, const float *x, const float *w, const float *b,
			uint32_t n, uint32_t k, uint32_t m, int trans)
{
	dim3 grid = rn_grid(rn_blocks(n, T::BM), tiles_of(1, m, 1, T::BN));

	if (trans)
		return RN_LAUNCH((k_gemm<T, true>), grid, threads<T>, s, out, x, w, b, n, k, m);
	return RN_LAUNCH((k_gemm<T, false>), grid, threads<T>, s, out, x, w, b, n, k, m);
}

cudaError_t rn_cuda_gemm(cudaStream_t s, float *out, const float *x, const float *w,
			 const float *b, uint32_t n, uint32_t k, uint32_t m, int trans)
{
	if (!n || !m)
		return cudaSuccess;
	if (m <= 24)
		return gemm<slim>(s, out, x, w, b, n, k, m, trans);
	if (n <= 24)
		return gemm<flat>(s, out, x, w, b, n, k, m, trans);
	if (tiles_of(n, m, 64, 64) >= 256)
		return gemm<square>(s, out, x, w, b, n, k, m, trans);
	return gemm<little>(s, out, x, w, b, n, k, m, trans);
}

static __global__ void __launch_bounds__(BLOCK)
	k_bias(float *out, const float *b, unsigned n, unsigned m, unsigned lanes)
{
	const rn_u64 f = (rn_u64)rn_tile() * lanes + threadIdx.x % lanes;
	const unsigned groups = BLOCK / lanes;
	rn_u64 i = (rn_u64)blockIdx.x * groups + threadIdx.x / lanes;

	if (f >= m)
		return;
	for (float x = b[f]; i < n; i += (rn_u64)gridDim.x * groups)
		out[i * m + f] += x;
}

cudaError_t rn_cuda_add_bias(cudaStream_t s, float *out, const float *b, uint32_t n, uint32_t m)
{
	struct rn_tiling t = rn_tiling_of(m, 1);

	if (!n || !m)
		return cudaSuccess;
	return RN_LAUNCH(k_bias, rn_grid(rn_blocks(n, BLOCK / t.lanes * 4), t.tiles), BLOCK, s, out,
			 b, n, m, t.lanes);
}

/* ---- out = xᵀ·y -------------------------------------------------------------------------- */

/* A run of rows, so that there are about 512 blocks where each has 64 rows or more. */
static uint32_t run_of(uint32_t n, uint32_t k, uint32_t m)
{
	rn_u64 tiles = m <= 24 ? tiles_of(k, m, slim::BM, slim::BN)
			       : tiles_of(k, m, little::BM, little::BN);
	rn_u64 runs = tiles < 512 ? 512 / tiles : 1;
	rn_u64 rows = ((n + runs - 1) / runs + 63) / 64 * 64;

	return rows < 64 ? 64 : rows > 1u << 31 ? 1u << 31 : (uint32_t)rows;
}

static size_t align(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

size_t rn_cuda_gemm_tn_scratch(uint32_t n, uint32_t k, uint32_t m)
{
	uint32_t runs;

	if (!n || !k || !m)
		return 0;
	runs = (n - 1) / run_of(n, k, m) + 1;
	if (runs == 1)
		return 0;
	return align((size_t)runs * k * m * sizeof(float)) + rn_cuda_colsum_scratch(runs, k * m);
}

template <class T>
static __global__ void __launch_bounds__(threads<T>)
	k_gemm_tn(float *out, const float *x, const float *y, unsigned n, unsigned k, unsigned m,
		  unsigned run)
{
	const rn_u64 row = (rn_u64)blockIdx.x * run, left = n - row;
	const unsigned across = (m - 1) / T::BN + 1;
	const rn_u64 i = (rn_u64)(rn_tile() / across) * T::BM;
	const unsigned j = rn_tile() % across * T::BN;
	mul g;

	if (i >= k)
		return;
	g = tile_at<T, true, false>(x + row * k, y + row * m, out + blockIdx.x * (rn_u64)k * m, k,
				    (unsigned)(left < run ? left : run), m, k, i, j);
	multiply<T, true, false>(g);
}

template <class T>
static cudaError_t gemm_tn(cudaStream_t s, float *out, const float *x, const float *y, uint32_t n,
			   uint32_t k, uint32_t m, uint32_t run, float *scratch)
{
	uint32_t runs = (n - 1) / run + 1;
	dim3 grid = rn_grid(runs, tiles_of(k, m, T::BM, T::BN));
	cudaError_t rc;

	rc = RN_LAUNCH(k_gemm_tn<T>, grid, threads<T>, s, runs > 1 ? scratch : out, x, y, n, k, m,
		       run);
	if (rc != cudaSuccess || runs == 1)
		return rc;
	return rn_cuda_colsum(s, out, scratch, runs, k * m,
			      (char *)scratch + align((size_t)runs * k * m * sizeof(float)));
}

cudaError_t rn_cuda_gemm_tn(cudaStream_t s, float *out, const float *x, const float *y, uint32_t n,
			    uint32_t k, uint32_t m, void *scratch)
{
	uint32_t run = run_of(n, k, m);

	if (!k || !m)
		return cudaSuccess;
	if (!n)
		return cudaMemsetAsync(out, 0, (size_t)k * m * sizeof *out, s);
	if (m <= 24)
		return gemm_tn<slim>(s, out, x, y, n, k, m, run, (float *)scratch);
	return gemm_tn<little>(s, out, x, y, n, k, m, run, (float *)scratch);
}

/* ---- a matrix for each segment ----------------------------------------------------------- */

/* The segment that holds row i: the last that begins at or before it. */
RN_DEV unsigned segment_of(const unsigned *ptr, unsigned n, rn_u64 i)
{
	unsigned lo = 0, hi = n - 1;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo + 1) / 2;

		if (ptr[mid] <= i)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

template <class T, bool TRANS>
static __global__ void __launch_bounds__(threads<T>)
	k_ggemm(float *out, const float *x, const float *w, const unsigned *ptr, unsigned segs,
		unsigned n, unsigned k, unsigned m)
{
	const rn_u64 from = (rn_u64)blockIdx.x * T::BM, j = (rn_u64)rn_tile() * T::BN;
	const rn_u64 end = n - from < T::BM ? n : from + T::BM;
	unsigned seg;

	if (j >= m)
		return;
	seg = segment_of(ptr, segs, from);
	for (rn_u64 i = from; i < end; seg++) {
		rn_u64 stop = ptr[seg + 1] < end ? ptr[seg + 1] : end;

		if (stop <= i)
			continue;
		multiply<T, false, TRANS>(tile_at<T, false, TRANS>(
			x + i * k, w + (rn_u64)seg * k * m, out + i * m, (unsigned)(stop - i), k, m,
			k, 0, (unsigned)j));
		i = stop;
	}
}

template <bool TRANS>
static __global__ void __launch_bounds__(BLOCK)
	k_ggemm_rows(float *out, const float *x, const float *w, const unsigned *ptr, unsigned segs,
		     unsigned n, unsigned k, unsigned m)
{
	const unsigned lane = threadIdx.x % RN_WARP, warps = BLOCK / RN_WARP;
	rn_u64 i = (rn_u64)blockIdx.x * warps + threadIdx.x / RN_WARP;

	for (; i < n; i += (rn_u64)gridDim.x * warps) {
		const float *b = w + (rn_u64)segment_of(ptr, segs, i) * k * m, *a = x + i * k;

		for (rn_u64 j = lane; j < m; j += RN_WARP) {
			float sum = 0.0f;

			for (unsigned l = 0; l < k; l++)
				sum = fmaf(a[l], TRANS ? b[j * k + l] : b[(rn_u64)l * m + j], sum);
			out[i * m + j] = sum;
		}
	}
}

template <class T, bool TRANS>
static cudaError_t ggemm(cudaStream_t s, float *out, const float *x, const float *w,
			 const uint32_t *ptr, uint32_t segs, uint32_t n, uint32_t k, uint32_t m)
{
	dim3 grid = rn_grid(rn_blocks(n, T::BM), tiles_of(1, m, 1, T::BN));

	return RN_LAUNCH((k_ggemm<T, TRANS>), grid, threads<T>, s, out, x, w, ptr, segs, n, k, m);
}

template <bool TRANS>
static cudaError_t ggemm_by_size(cudaStream_t s, float *out, const float *x, const float *w,
				 const uint32_t *ptr, uint32_t segs, uint32_t n, uint32_t k,
				 uint32_t m)
{
	if (n / segs < 8) /* a tile would be mostly empty */
		return RN_LAUNCH(k_ggemm_rows<TRANS>, rn_blocks(n, BLOCK / RN_WARP), BLOCK, s, out,
				 x, w, ptr, segs, n, k, m);
	if (m <= 24)
		return ggemm<slim, TRANS>(s, out, x, w, ptr, segs, n, k, m);
	if (n / segs < 32)
		return ggemm<flat, TRANS>(s, out, x, w, ptr, segs, n, k, m);
	if (tiles_of(n, m, 64, 64) >= 256)
		return ggemm<square, TRANS>(s, out, x, w, ptr, segs, n, k, m);
	return ggemm<little, TRANS>(s, out, x, w, ptr, segs, n, k, m);
}

cudaError_t rn_cuda_ggemm(cudaStream_t s, float *out, const float *x, const float *w,
			  const uint32_t *ptr, uint32_t segs, uint32_t n, uint32_t k, uint32_t m,
			  int trans)
{
	if (!n || !m || !segs)
		return cudaSuccess;
	return trans ? ggemm_by_size<true>(s, out, x, w, ptr, segs, n, k, m)
		     : ggemm_by_size<false>(s, out, x, w, ptr, segs, n, k, m);
}

/* Where panel p meets segment s there is a partial product, number p + s: along the rows one of
 * the two grows, so no number occurs twice, and those of a segment are consecutive. */
template <class T>
static __global__ void __launch_bounds__(threads<T>)
	k_ggemm_tn(float *parts, const float *x, const float *y, const unsigned *ptr, unsigned segs,
		   unsigned n, unsigned k, unsigned m, unsigned run)
{
	const rn_u64 from = (rn_u64)blockIdx.x * run, end = n - from < run ? n : from + run;
	const unsigned across = (m - 1) / T::BN + 1;
	const rn_u64 row = (rn_u64)(rn_tile() / across) * T::BM;
	unsigned seg;

	if (row >= k)
		return;
	seg = segment_of(ptr, segs, from);
	for (rn_u64 i = from; i < end; seg++) {
		rn_u64 stop = ptr[seg + 1] < end ? ptr[seg + 1] : end;

		if (stop <= i)
			continue;
		multiply<T, true, false>(tile_at<T, true, false>(
			x + i * k, y + i * m, parts + ((rn_u64)blockIdx.x + seg) * k * m, k,
			(unsigned)(stop - i), m, k, row, rn_tile() % across * T::BN));
		i = stop;
	}
}

template <unsigned V>
static __global__ void __launch_bounds__(SUM_BLOCK)
	k_ggemm_sum(float *out, const float *parts, const unsigned *ptr, unsigned segs,
		    unsigned width, unsigned cols, unsigned run)
{
	for (unsigned s = blockIdx.x; s < segs; s += gridDim.x) {
		unsigned first = ptr[s] / run, n = ptr[s + 1] > ptr[s];

		if (n)
			n = (ptr[s + 1] - 1) / run - first + 1;
		rn_sum_rows<V>(parts + ((rn_u64)first + s) * width, n, width, cols, rn_tile(),
			       out + (rn_u64)s * width);
	}
}

size_t rn_cuda_ggemm_tn_scratch(uint32_t segs, uint32_t n, uint32_t k, uint32_t m)
{
	if (!segs || !n || !k || !m)
		return 0;
	return ((size_t)(n - 1) / run_of(n, k, m) + 1 + segs) * k * m * sizeof(float);
}

cudaError_t rn_cuda_ggemm_tn(cudaStream_t s, float *out, const float *x, const float *y,
			     const uint32_t *ptr, uint32_t segs, uint32_t n, uint32_t k, uint32_t m,
			     void *scratch)
{
	uint32_t run = run_of(n, k, m), width = k * m;
	float *parts = (float *)scratch;
	unsigned v = vector_of(width, out, parts) == 4 ? 4 : 1, cols = rn_sum_cols(width);
	cudaError_t rc;
	dim3 grid;

	if (!segs || !width)
		return cudaSuccess;
	if (!n)
		return cudaMemsetAsync(out, 0, (size_t)segs * width * sizeof *out, s);
	if (m <= 24) {
		grid = rn_grid(rn_blocks(n, run), tiles_of(k, m, slim::BM, slim::BN));
		rc = RN_LAUNCH(k_ggemm_tn<slim>, grid, threads<slim>, s, parts, x, y, ptr, segs, n,
			       k, m, run);
	} else {
		grid = rn_grid(rn_blocks(n, run), tiles_of(k, m, little::BM, little::BN));
		rc = RN_LAUNCH(k_ggemm_tn<little>, grid, threads<little>, s, parts, x, y, ptr, segs,
			       n, k, m, run);
	}
	if (rc != cudaSuccess)
		return rc;
	grid = rn_grid(rn_blocks(segs, 1), (width - 1) / (cols * v) + 1);
	if (v == 4)
		return RN_LAUNCH(k_ggemm_sum<4>, grid, SUM_BLOCK, s, out, parts, ptr, segs, width,
				 cols, run);
	return RN_LAUNCH(k_ggemm_sum<1>, grid, SUM_BLOCK, s, out, parts, ptr, segs, width, cols,
			 run);
}

/* ---- a product for each row -------------------------------------------------------------- */

struct matmul {
	float *out;
	const float *a, *b;
	rn_u64 total;
	unsigned p, q, r, ai, al, bl, bj, a_stride, b_stride;
};

static __global__ void __launch_bounds__(BLOCK) k_matmul(const matmul g)
{
	const rn_u64 step = (rn_u64)gridDim.x * BLOCK;

	for (rn_u64 t = (rn_u64)blockIdx.x * BLOCK + threadIdx.x; t < g.total; t += step) {
		rn_u64 row = g.total >> 32 ? t / g.r : (unsigned)t / g.r;
		unsigned j = (unsigned)(t - row * g.r), i;
		const float *a, *b;
		float sum = 0.0f;

		i = (unsigned)(row % g.p);
		row /= g.p;
		a = g.a + row * g.a_stride + (rn_u64)i * g.ai;
		b = g.b + row * g.b_stride + (rn_u64)j * g.bj;
		for (unsigned l = 0; l < g.q; l++)
			sum = fmaf(a[(rn_u64)l * g.al], b[(rn_u64)l * g.bl], sum);
		g.out[t] = sum;
	}
}

cudaError_t rn_cuda_matmul(cudaStream_t s, float *out, const float *a, const float *b,
			   uint32_t rows, uint32_t p, uint32_t q, uint32_t r, int ta, int tb,
			   uint32_t a_stride, uint32_t b_stride)
{
	matmul g = { out, a, b, (rn_u64)rows * p * r, p, q, r, ta ? 1 : q, ta ? p : 1, tb ? 1 : r,
		     tb ? q : 1, a_stride, b_stride };

	if (!rows || !p || !r)
		return cudaSuccess;
	/* all rows times one matrix are one product */
	if (!b_stride && (!ta || p == 1) && (a_stride || rows == 1) && (rn_u64)rows * p >> 32 == 0)
		return rn_cuda_gemm(s, out, a, b, NULL, rows * p, q, r, tb);
	if (!a_stride && r == 1 && (b_stride || rows == 1))
		return rn_cuda_gemm(s, out, b, a, NULL, rows, q, p, !ta);
	return RN_LAUNCH(k_matmul, rn_blocks(g.total, BLOCK), BLOCK, s, g);
}
