/* SPDX-License-Identifier: Apache-2.0
 *
 * Looks at an epoch of a window: a gauge is read (lib/dev/gauge.c on the CPU, in the same order of
 * the same operations), compared with the best so far, and what is as good is kept.
 *
 * k_clear   threads over counts
 * k_count   blocks over rows: of each class, how often it is predicted, and rightly
 * k_keys    threads over ranked rows: what they are sorted by
 * k_queries threads over places by score: whose they are, to sort by
 * k_places  threads over places: what stands there; the sorts before it are those of rel.h
 * k_terms   a block for 256 terms of a gauge, added in pairs
 * k_fold    a block for 256 of such sums
 * k_judge   one block: the last sum, and what it means
 * k_keep    threads over numbers, tiles over copies
 * k_look    one thread: the clock
 */
#include "gauge.h"
#include "../lib/dev/gauge_terms.h"
#include "../lib/dev/prog.h"

#include "launch.h"
#include "rows.cuh"

enum {
	TERMS = RN_GAUGE_TERMS,
	COPY = 256,
	MOST_BLOCKS = 1024,
	FEW = 512,          /* classes that a block counts by itself */
	COUNTED = 16 * TERMS, /* rows that a block counts */
};

/* What a reading leaves on the way, in the gauge's scratch. */
struct room {
	double *sums;        /* of 256 terms each, then of 256 sums each, and so on */
	unsigned *predicted; /* [classes] */
	unsigned *right;     /* [classes] */
	unsigned *present;   /* one: classes that predictions or labels have */
	rn_cuda_pairs pairs; /* by falling score, of each query */
	uint64_t *key;       /* [ranked]: at each place; lies where keys to sort by lay */
	unsigned *ones;      /* [ranked + 1]: how many rows above it, of all queries, have label 1 */
	void *sorting;
};

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

/* ---- terms of rows --------------------------------------------------------------------------- */

static __device__ bool counts(const rn_cuda_gauge &g, unsigned i)
{
	return !g.label || g.label[i] != RN_NONE;
}

static __device__ unsigned class_of(const rn_cuda_gauge &g, unsigned i)
{
	return rn_gauge_class(g.sign, g.width, g.pred + (rn_u64)i * g.width);
}

static __device__ double row_term(const rn_cuda_gauge &g, unsigned i)
{
	if (!counts(g, i))
		return 0;
	if (g.kind == RN_GAUGE_RIGHT)
		return class_of(g, i) == g.label[i];
	return rn_gauge_miss(g.kind, g.truth ? g.pred[i] - g.truth[i] : g.pred[i]);
}

/* ---- terms of classes ------------------------------------------------------------------------ */

static __global__ void __launch_bounds__(TERMS) k_clear(unsigned *x, rn_u64 n)
{
	for (rn_u64 i = (rn_u64)blockIdx.x * TERMS + threadIdx.x; i < n; i += (rn_u64)gridDim.x * TERMS)
		x[i] = 0;
}

/* Few classes are counted by each block first: else all rows would wait for a few numbers. */
static __global__ void __launch_bounds__(TERMS) k_count(rn_cuda_gauge g, room r)
{
	__shared__ unsigned part[2 * FEW];
	const bool few = g.classes <= FEW;
	unsigned *predicted = few ? part : r.predicted, *right = few ? part + FEW : r.right;
	const rn_u64 from = (rn_u64)blockIdx.x * COUNTED, to = from + COUNTED;

	for (unsigned k = threadIdx.x; few && k < 2 * FEW; k += TERMS)
		part[k] = 0;
	__syncthreads();
	for (rn_u64 i = from + threadIdx.x; i < to && i < g.rows; i += TERMS) {
		unsigned got;

		if (!counts(g, (unsigned)i))
			continue;
		got = class_of(g, (unsigned)i);
		atomicAdd(predicted + got, 1u);
		if (got == g.label[i])
			atomicAdd(right + got, 1u);
	}
	__syncthreads();
	for (unsigned k = threadIdx.x; few && k < g.classes; k += TERMS) {
		atomicAdd(r.predicted + k, predicted[k]);
		atomicAdd(r.right + k, right[k]);
	}
}

static __device__ double class_term(const rn_cuda_gauge &g, const room &r, unsigned k)
{
	if (r.predicted[k] || g.labelled[k])
		atomicAdd(r.present, 1u);
	return g.kind == RN_GAUGE_F1_ONE && k != 1 ?
		       0 : rn_gauge_f1(r.right[k], r.predicted[k], g.labelled[k]);
}

/* ---- terms of places and queries --------------------------------------------------------------- */

static __device__ rn_u64 key_of(const rn_cuda_gauge &g, unsigned row)
{
	return rn_gauge_key(rn_gauge_score(g.width, g.pred + (rn_u64)row * g.width));
}

/* The last bits of a float's key say nothing. */
static __host__ __device__ unsigned idle_bits(const rn_cuda_gauge &g)
{
	return g.width == 1 ? 52 - 23 : 0;
}

static __global__ void __launch_bounds__(TERMS) k_keys(rn_cuda_gauge g, room r)
{
	const rn_u64 j = (rn_u64)blockIdx.x * TERMS + threadIdx.x;

	if (j >= g.ranked)
		return;
	r.pairs.key[0][j] = key_of(g, g.row[j]) >> idle_bits(g);
	r.pairs.row[0][j] = (unsigned)j;
}

static __global__ void __launch_bounds__(TERMS) k_queries(rn_cuda_gauge g, room r)
{
	const rn_u64 p = (rn_u64)blockIdx.x * TERMS + threadIdx.x;

	if (p < g.ranked)
		r.pairs.key[r.pairs.at][p] = g.query[r.pairs.row[r.pairs.at][p]];
}

static __global__ void __launch_bounds__(TERMS) k_places(rn_cuda_gauge g, room r)
{
	const rn_u64 p = (rn_u64)blockIdx.x * TERMS + threadIdx.x;
	unsigned row;

	if (p == g.ranked)
		r.ones[p] = 0;
	if (p >= g.ranked)
		return;
	row = g.row[r.pairs.row[r.pairs.at][p]];
	r.key[p] = key_of(g, row);
	r.ones[p] = g.label[row];
}

/* The first place behind p, or `end`, whose key is another. */
static __device__ rn_u64 behind(const uint64_t *key, rn_u64 p, rn_u64 end)
{
	rn_u64 same = p, other = p + 1;

	while (other < end && key[other] == key[p]) {
		same = other;
		other += other - p;
	}
	other = other < end ? other : end;
	while (other - same > 1) {
		const rn_u64 between = same + (other - same) / 2;

		if (key[between] == key[p])
			same = between;
		else
			other = between;
	}
	return other;
}

static __device__ double place_term(const rn_cuda_gauge &g, const room &r, unsigned p)
{
	const unsigned q = g.query[p], begin = g.ptr[q];
	const rn_u64 key = r.key[p];
	rn_gauge_score_rows rows;
	unsigned next;

	if (key == RN_GAUGE_NAN_KEY)
		return NAN;
	if (p > begin && r.key[p - 1] == key)
		return 0;
	next = (unsigned)behind(r.key, p, g.ptr[q + 1]);
	rows.ones = r.ones[next] - r.ones[p];
	rows.zeros = next - p - rows.ones;
	rows.ones_above = r.ones[p] - r.ones[begin];
	rows.zeros_above = p - begin - rows.ones_above;
	return rn_gauge_place_term(g.kind, g.k, &rows);
}

static __device__ double query_term(const rn_cuda_gauge &g, const room &r, unsigned q)
{
	const unsigned begin = g.ptr[q], n = g.ptr[q + 1] - begin;
	const unsigned ones = r.ones[begin + n] - r.ones[begin], most = ones < g.k ? ones : g.k;
	unsigned found = 0;
	double sum = 0;

	if (r.key[begin] == RN_GAUGE_NAN_KEY)
		return NAN;
	for (unsigned i = 0; i < n && i < g.k && found < most; i++)
		if (r.ones[begin + i + 1] > r.ones[begin + i])
			sum += (double)++found / ((double)i + 1);
	return most ? sum / (double)most : 0;
}

/* ---- the sum --------------------------------------------------------------------------------- */

static __device__ double term(const rn_cuda_gauge &g, const room &r, unsigned i)
{
	if (g.queries)
		return g.kind == RN_GAUGE_MAP ? query_term(g, r, i) : place_term(g, r, i);
	return rn_gauge_is_by_class(g.kind) ? class_term(g, r, i) : row_term(g, i);
}

static __global__ void __launch_bounds__(TERMS) k_terms(rn_cuda_gauge g, room r)
{
	const rn_u64 i = (rn_u64)blockIdx.x * TERMS + threadIdx.x;
	const double sum = in_pairs(i < g.terms ? term(g, r, (unsigned)i) : 0);

	if (!threadIdx.x)
		r.sums[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(TERMS) k_fold(const double *x, unsigned n, double *out)
{
	const rn_u64 i = (rn_u64)blockIdx.x * TERMS + threadIdx.x;
	const double sum = in_pairs(i < n ? x[i] : 0);

	if (!threadIdx.x)
		out[blockIdx.x] = sum;
}

/* ---- what it means --------------------------------------------------------------------------- */

static __device__ double meaning(const rn_cuda_gauge &g, const room &r, double sum)
{
	if (!g.terms)
		return NAN;
	return rn_gauge_meaning(g.kind, sum, g.counted, g.total,
				g.kind == RN_GAUGE_F1 ? *r.present : 0);
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
	k_judge(rn_cuda_live *live, rn_cuda_window *w, rn_cuda_gauge g, room r, const double *x, unsigned n)
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
	val = meaning(g, r, n == 1 ? *x : sum); /* one sum is no term again */
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

/* ---- launchers ------------------------------------------------------------------------------- */

/* So many bytes of scratch, aligned for all. */
static char *take(size_t *at, char *from, size_t bytes)
{
	char *p = from + *at;

	*at += (bytes + 255) / 256 * 256;
	return p;
}

static void lay_ranks(const rn_cuda_gauge &g, size_t *at, char *from, room *r)
{
	for (unsigned k = 0; k < 2; k++) {
		r->pairs.key[k] = (uint64_t *)take(at, from, g.ranked * sizeof(uint64_t));
		r->pairs.row[k] = (uint32_t *)take(at, from, g.ranked * sizeof(uint32_t));
	}
	r->pairs.n = g.ranked;
	r->key = r->pairs.key[0];
	r->ones = (unsigned *)take(at, from, (g.ranked + (size_t)1) * sizeof *r->ones);
	r->sorting = take(at, from, g.sorting);
}

/* Returns its bytes. */
static size_t lay_room(const rn_cuda_gauge &g, room *r)
{
	char *from = (char *)g.scratch;
	size_t at = 0, sums = 0;
	uint32_t n = g.terms;

	do {
		n = blocks_of(n);
		sums += n;
	} while (n > TERMS);
	*r = {};
	r->sums = (double *)take(&at, from, sums * sizeof *r->sums);
	if (rn_gauge_is_by_class(g.kind)) {
		r->predicted = (unsigned *)take(&at, from, (2 * (size_t)g.classes + 1) * sizeof *r->predicted);
		r->right = r->predicted + g.classes;
		r->present = r->right + g.classes;
	}
	if (g.queries)
		lay_ranks(g, &at, from, r);
	return at ? at : 1;
}

cudaError_t rn_cuda_gauge_scratch(struct rn_cuda_gauge *g, size_t *bytes)
{
	cudaError_t err = cudaSuccess;
	size_t scan = 0;
	room r;

	g->sorting = 0;
	if (g->queries)
		err = rn_cuda_sort_room(g->ranked, &g->sorting);
	if (g->queries && err == cudaSuccess)
		err = rn_cuda_scan_room(g->ranked + 1, &scan);
	g->sorting = scan > g->sorting ? scan : g->sorting;
	*bytes = lay_room(*g, &r);
	return err;
}

static cudaError_t count_classes(cudaStream_t s, const rn_cuda_gauge &g, const room &r)
{
	const rn_u64 n = 2 * (rn_u64)g.classes + 1;
	const unsigned blocks = rn_blocks(n, TERMS);
	const cudaError_t err = RN_LAUNCH(k_clear, blocks < MOST_BLOCKS ? blocks : (unsigned)MOST_BLOCKS,
					  TERMS, s, r.predicted, n);

	return err == cudaSuccess ? RN_LAUNCH(k_count, rn_blocks(g.rows, COUNTED), TERMS, s, g, r) : err;
}

static unsigned bit_length(uint32_t x)
{
	unsigned n = 0;

	for (; x; x >>= 1)
		n++;
	return n;
}

/* The sort is stable: by score, then, where there are more queries than one, by query. */
static cudaError_t sort_places(cudaStream_t s, const rn_cuda_gauge &g, room *r)
{
	const unsigned blocks = rn_blocks(g.ranked, TERMS);
	cudaError_t err = RN_LAUNCH(k_keys, blocks, TERMS, s, g, *r);

	if (err == cudaSuccess)
		err = rn_cuda_sort(s, &r->pairs, 64 - idle_bits(g), r->sorting, g.sorting);
	if (err != cudaSuccess || g.queries == 1)
		return err;
	err = RN_LAUNCH(k_queries, blocks, TERMS, s, g, *r);
	if (err != cudaSuccess)
		return err;
	return rn_cuda_sort(s, &r->pairs, bit_length(g.queries - 1), r->sorting, g.sorting);
}

static cudaError_t rank_rows(cudaStream_t s, const rn_cuda_gauge &g, room *r)
{
	cudaError_t err = sort_places(s, g, r);

	if (err == cudaSuccess)
		err = RN_LAUNCH(k_places, rn_blocks((rn_u64)g.ranked + 1, TERMS), TERMS, s, g, *r);
	return err == cudaSuccess ? rn_cuda_scan(s, r->ones, g.ranked + 1, r->sorting, g.sorting) : err;
}

/* Before the terms. */
static cudaError_t prepare(cudaStream_t s, const rn_cuda_gauge &g, room *r)
{
	if (g.queries)
		return rank_rows(s, g, r);
	return rn_gauge_is_by_class(g.kind) ? count_classes(s, g, *r) : cudaSuccess;
}

cudaError_t rn_cuda_judge(cudaStream_t s, struct rn_cuda_live *live, struct rn_cuda_window *w,
			  const struct rn_cuda_gauge *g)
{
	uint32_t n = blocks_of(g->terms);
	cudaError_t err = cudaSuccess;
	double *x;
	room r;

	(void)lay_room(*g, &r);
	x = r.sums;
	if (n)
		err = prepare(s, *g, &r);
	if (n && err == cudaSuccess)
		err = RN_LAUNCH(k_terms, n, TERMS, s, *g, r);
	while (err == cudaSuccess && n > TERMS) {
		err = RN_LAUNCH(k_fold, blocks_of(n), TERMS, s, (const double *)x, n, x + n);
		x += n;
		n = blocks_of(n);
	}
	if (err != cudaSuccess)
		return err;
	return RN_LAUNCH(k_judge, 1, TERMS, s, live, w, *g, r, (const double *)x, n);
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
