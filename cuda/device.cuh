/* SPDX-License-Identifier: Apache-2.0
 *
 * What kernels share: scalar functions with the NaN rules of lib/dev, Philox, loads
 * of several numbers at a time, and the two loops that every elementwise program
 * runs in.  The library embeds this text (after args.h) for what NVRTC compiles, so it
 * includes nothing and uses no host header.
 *
 * Compiled with -fmad=false, here and by NVRTC: a product and a sum are contracted only
 * where fmaf says so, so that a generated kernel, the interpreter of elem.cu and (up to
 * the elementary functions) the CPU give the same bits.
 */
#ifndef RN_CUDA_DEVICE_CUH
#define RN_CUDA_DEVICE_CUH

#define RN_DEV [[maybe_unused]] static __device__ __forceinline__
#define RN_NOWHERE 0xFFFFFFFFu /* RN_CUDA_NO_ROW */
#define RN_SEG_LONG 1024       /* RN_CUDA_LONG */
#define RN_SEG_BLOCK 128       /* threads of a block that sums segments */
#define RN_EACH_BLOCK 256      /* threads of a block that makes one number after the other */
#define RN_WARP 32
#define RN_ALL 0xFFFFFFFFu
#define RN_TILES 65535u /* of a grid along y; more go along z */

/* RN_PHASE: the compiler moves no load from one side to the other; no instruction. */
#ifdef __CUDACC__
#define RN_UNROLL _Pragma("unroll")
#define RN_PHASE asm volatile("" : : : "memory")
#else
#define RN_UNROLL
#define RN_PHASE ((void)0)
#endif

typedef unsigned long long rn_u64;

RN_DEV unsigned rn_tile(void)
{
	return blockIdx.z * RN_TILES + blockIdx.y;
}

/* ---- scalar functions -------------------------------------------------------------------- */

RN_DEV float rn_bits(unsigned u)
{
	union {
		unsigned u;
		float f;
	} x;

	x.u = u;
	return x.f;
}

RN_DEV float rn_sign(float x)
{
	return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x;
}

/* What 1 + t loses to rounding is put back to first order (lib/dev/cpu_math.h). */
RN_DEV float rn_sigmoid(float x)
{
	float t = expf(-fabsf(x)), s = 1.0f + t, lost = t - (s - 1.0f);
	float q = (x < 0.0f ? t : 1.0f) / s;

	return q - q * lost * (x < 0.0f ? 1.0f - q : q);
}

RN_DEV float rn_relu(float x)
{
	return x <= 0.0f ? 0.0f : x;
}

RN_DEV float rn_max(float x, float y)
{
	return x >= y || x != x ? x : y;
}

RN_DEV float rn_min(float x, float y)
{
	return x <= y || x != x ? x : y;
}

RN_DEV float rn_if(bool x)
{
	return x ? 1.0f : 0.0f;
}

/* ---- Philox4x32-10 (lib/base/rng.h) ------------------------------------------------------ */

struct rn_words {
	unsigned w[4];
};

RN_DEV rn_words rn_philox(unsigned row, unsigned quad, unsigned epoch, const unsigned *key)
{
	unsigned c0 = row, c1 = 0, c2 = quad, c3 = epoch, k0 = key[0], k1 = key[1];
	rn_words r;

	RN_UNROLL for (unsigned i = 0; i < 10; i++)
	{
		rn_u64 p0 = (rn_u64)0xD2511F53u * c0, p1 = (rn_u64)0xCD9E8D57u * c2;

		c0 = (unsigned)(p1 >> 32) ^ c1 ^ k0;
		c1 = (unsigned)p1;
		c2 = (unsigned)(p0 >> 32) ^ c3 ^ k1;
		c3 = (unsigned)p0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	r.w[0] = c0;
	r.w[1] = c1;
	r.w[2] = c2;
	r.w[3] = c3;
	return r;
}

/* Word number n, without an index that would put the four into memory. */
RN_DEV unsigned rn_word(const rn_words &r, unsigned n)
{
	unsigned low = n & 1 ? r.w[1] : r.w[0], high = n & 1 ? r.w[3] : r.w[2];

	return n & 2 ? high : low;
}

RN_DEV float rn_keep(unsigned word, unsigned limit, float scale)
{
	return word >> 8 >= limit ? scale : 0.0f;
}

/* The masks of V columns from f on, of one row; V divides f, so they share a counter. */
template <unsigned V>
RN_DEV void rn_drop(float *d, const unsigned *key, unsigned row, unsigned f, unsigned epoch,
		    unsigned limit, float scale)
{
	rn_words r = rn_philox(row, f / 4, epoch, key);

	RN_UNROLL for (unsigned j = 0; j < V; j++)
		d[j] = rn_keep(rn_word(r, f + j), limit, scale);
}

RN_DEV float rn_drop_at(const unsigned *key, unsigned row, unsigned col, unsigned epoch,
			unsigned limit, float scale)
{
	return rn_keep(rn_word(rn_philox(row, col / 4, epoch, key), col), limit, scale);
}

/* ---- several numbers at a time ----------------------------------------------------------- */

template <class T, unsigned V> struct alignas(sizeof(T) * V) rn_pack {
	T x[V];
};

/* x is aligned to V numbers (rn_pack). */
template <unsigned V, class T> RN_DEV void rn_load(T *d, const T *x)
{
	rn_pack<T, V> p = *reinterpret_cast<const rn_pack<T, V> *>(x);

	RN_UNROLL for (unsigned j = 0; j < V; j++)
		d[j] = p.x[j];
}

template <unsigned V> RN_DEV void rn_store(float *x, const float *d)
{
	rn_pack<float, V> p;

	RN_UNROLL for (unsigned j = 0; j < V; j++)
		p.x[j] = d[j];
	*reinterpret_cast<rn_pack<float, V> *>(x) = p;
}

template <unsigned V> RN_DEV void rn_zero(float *d)
{
	RN_UNROLL for (unsigned j = 0; j < V; j++)
		d[j] = 0.0f;
}

/* What a row that is not there reads: no branch stands between loads, so that several are
 * under way together. */
[[maybe_unused]] static __device__ const rn_pack<float, 4> rn_nil = { { 0.0f, 0.0f, 0.0f, 0.0f } };

RN_DEV const float *rn_row(const float *x, unsigned row, unsigned stride, unsigned f)
{
	return row == RN_NOWHERE ? rn_nil.x : x + (rn_u64)row * stride + f;
}

/* Numbers f … f+V-1 of a row; zeros where there is no row. */
template <unsigned V>
RN_DEV void rn_load_row(float *d, const float *x, unsigned row, unsigned stride, unsigned f)
{
	rn_load<V>(d, rn_row(x, row, stride, f));
}

RN_DEV float rn_at_row(const float *x, unsigned row, unsigned stride, unsigned f)
{
	return *rn_row(x, row, stride, f);
}

/* ---- one number after the other ---------------------------------------------------------- */

/* Program<V> makes V numbers: of one row, from column f on, row(i, f, y); or, of an array
 * taken as flat, from number i on. */
template <unsigned W, unsigned V, template <unsigned> class Program>
RN_DEV void rn_each_row(const rn_fused &a)
{
	const unsigned per_row = W / V;
	const rn_u64 units = a.rows * per_row, step = (rn_u64)gridDim.x * RN_EACH_BLOCK;
	Program<V> p(a);

	for (rn_u64 u = (rn_u64)blockIdx.x * RN_EACH_BLOCK + threadIdx.x; u < units; u += step) {
		unsigned i, f;
		float y[V];

		if (units >> 32) {
			i = (unsigned)(u / per_row);
			f = (unsigned)(u % per_row) * V;
		} else {
			i = (unsigned)u / per_row;
			f = (unsigned)u % per_row * V;
		}
		p.columns(f);
		p.row(i, f, y);
		rn_store<V>(a.out + (rn_u64)i * W + f, y);
	}
}

template <unsigned V, template <unsigned> class Program> RN_DEV void rn_each_flat(const rn_fused &a)
{
	const rn_u64 units = a.rows / V, step = (rn_u64)gridDim.x * RN_EACH_BLOCK;
	const rn_u64 thread = (rn_u64)blockIdx.x * RN_EACH_BLOCK + threadIdx.x;
	Program<V> p(a);

	p.columns(0);
	for (rn_u64 u = thread; u < units; u += step) {
		float y[V];

		p.row(u * V, 0, y);
		rn_store<V>(a.out + u * V, y);
	}
	if (V > 1 && thread < a.rows % V) { /* what is left of the array */
		Program<1> last(a);
		rn_u64 t = units * V + thread;

		last.columns(0);
		last.row(t, 0, a.out + t);
	}
}

/* ---- sums over segments ------------------------------------------------------------------ */

/* Item number `at`: a piece of a long segment, or (after those) a segment that is not long.
 * Its terms are k … end-1, its sum goes to the result; NULL: nothing to do. */
RN_DEV float *rn_seg_item(const rn_segs &g, rn_u64 at, float *out, unsigned width, unsigned *k,
			  unsigned *end)
{
	if (at < g.npieces) {
		unsigned seg = g.piece[2 * at], which = g.piece[2 * at + 1];

		*k = g.ptr[seg] + which * RN_SEG_LONG;
		*end = g.ptr[seg + 1];
		if (*end - *k > RN_SEG_LONG)
			*end = *k + RN_SEG_LONG;
		return g.scratch + at * width;
	}
	at -= g.npieces;
	if (at >= g.n)
		return 0;
	*k = g.ptr[at];
	*end = g.ptr[at + 1];
	return *end - *k > RN_SEG_LONG ? 0 : out + at * width;
}

/* Terms k, k + step, …: U of them, each phase of all before the next, so that U loads are
 * under way together. */
template <unsigned U, class Term>
RN_DEV void rn_seg_terms(const Term &term, unsigned k, unsigned step, unsigned f, float *acc)
{
	typename Term::held h[U];

	RN_UNROLL for (unsigned u = 0; u < U; u++)
		term.find(h[u], k + u * step);
	RN_PHASE;
	RN_UNROLL for (unsigned u = 0; u < U; u++)
		term.load(h[u], k + u * step, f);
	RN_PHASE;
	RN_UNROLL for (unsigned u = 0; u < U; u++)
		term.add(h[u], k + u * step, f, acc);
}

/* Sums over segments.  A segment is summed by lanes * terms neighbouring lanes of a warp: lanes
 * of them side by side over columns (V each; a grid has a tile for each such run), terms of
 * them each taking every terms-th term, U at a time; their sums are added in pairs at the
 * end.  A Term says how: columns(f) comes first; of a term, find() reads indices, load() reads
 * numbers, and add() adds to acc, in order. */
template <unsigned V, unsigned U, class Term>
RN_DEV void rn_segsum(const rn_segs &g, float *out, unsigned width, unsigned lanes, unsigned terms,
		      Term &term)
{
	const unsigned lane = threadIdx.x % RN_WARP, group = lanes * terms;
	const unsigned slot = lane % group / lanes, per_warp = RN_WARP / group;
	const unsigned f = (rn_tile() * lanes + lane % lanes) * V;
	const rn_u64 items = (rn_u64)g.npieces + g.n;
	const rn_u64 step = (rn_u64)gridDim.x * (RN_SEG_BLOCK / RN_WARP) * per_warp;
	rn_u64 first = (rn_u64)blockIdx.x * (RN_SEG_BLOCK / RN_WARP) + threadIdx.x / RN_WARP;

	if (f < width)
		term.columns(f);
	for (first *= per_warp; first < items; first += step) {
		unsigned k = 0, end = 0;
		float *to = rn_seg_item(g, first + lane / group, out, width, &k, &end), acc[V];
		unsigned left = to && f < width && end - k > slot ? end - k - slot : 0;

		rn_zero<V>(acc);
		k += slot;
		for (; left > (U - 1) * terms; left = left > U * terms ? left - U * terms : 0) {
			rn_seg_terms<U>(term, k, terms, f, acc);
			k += U * terms;
		}
		if (U > 2 && left > terms) {
			rn_seg_terms<2>(term, k, terms, f, acc);
			k += 2 * terms;
			left = left > 2 * terms ? left - 2 * terms : 0;
		}
		if (U > 1 && left)
			rn_seg_terms<1>(term, k, terms, f, acc);
		for (unsigned m = lanes; m < group; m *= 2)
			RN_UNROLL for (unsigned j = 0; j < V; j++)
				acc[j] += __shfl_xor_sync(RN_ALL, acc[j], m);
		if (to && f < width && !slot)
			rn_store<V>(to + f, acc);
	}
}

#endif
