/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and rows: what stands between the sorts and scans of cub.cuh.  No atomics: where two
 * threads write one place they write the same.
 *
 * k_rows, k_heads, k_firsts, k_numbers, k_deal, k_widen, k_pick  threads over rows
 * k_seek    threads over rows, each a binary search whose upper levels stay in the L2 cache
 * k_starts  threads over numbers, likewise: however the rows are spread, none has more to do
 */
#include "rel.h"

#include "cub.cuh"
#include "grid.h"
#include "launch.h"

enum { BLOCK = 256 };

#define RN_EACH(i, n)                                                                        \
	for (uint64_t i = (uint64_t)blockIdx.x * BLOCK + threadIdx.x; i < (n);               \
	     i += (uint64_t)gridDim.x * BLOCK)

static __global__ void __launch_bounds__(BLOCK) k_rows(uint32_t *row, uint32_t n)
{
	RN_EACH(i, n)
		row[i] = (uint32_t)i;
}

static __global__ void __launch_bounds__(BLOCK)
	k_pick_words(uint64_t *out, const uint64_t *x, const uint32_t *map, uint32_t n)
{
	RN_EACH(i, n)
		out[i] = x[map[i]];
}

/* ---- groups ------------------------------------------------------------------------------ */

static __device__ __forceinline__ bool begins(const uint64_t *key, uint64_t i)
{
	return key[i] != RN_CUDA_NO_WORD && (!i || key[i] != key[i - 1]);
}

static __global__ void __launch_bounds__(BLOCK) k_heads(struct rn_cuda_groups g)
{
	RN_EACH(i, g.n)
		g.group[i] = begins(g.key, i);
}

static __global__ void __launch_bounds__(BLOCK) k_firsts(struct rn_cuda_groups g)
{
	RN_EACH(i, g.n)
		if (begins(g.key, i)) {
			g.start[g.group[i]] = (uint32_t)i;
			g.rank[g.row[i]] = 1;
		}
}

/* The pair at which that of pair i begins, which has a word. */
static __device__ __forceinline__ uint32_t start_of(const struct rn_cuda_groups &g, uint64_t i)
{
	return begins(g.key, i) ? (uint32_t)i : g.start[g.group[i] - 1];
}

static __global__ void __launch_bounds__(BLOCK)
	k_numbers(struct rn_cuda_groups g, uint32_t *of, uint32_t *first, uint64_t *word,
		  uint32_t *len)
{
	RN_EACH(i, g.n) {
		const uint64_t key = g.key[i];
		uint32_t start, number;

		if (key == RN_CUDA_NO_WORD) {
			of[g.row[i]] = RN_CUDA_NO_ROW;
			continue;
		}
		start = start_of(g, i);
		number = g.rank[g.row[start]];
		of[g.row[i]] = number;
		if (start == i) {
			first[number] = g.row[i];
			if (word)
				word[number] = key;
		}
		if (len && (i + 1 == g.n || g.key[i + 1] != key))
			len[number] = (uint32_t)(i + 1 - start);
	}
}

static __global__ void __launch_bounds__(BLOCK)
	k_deal(struct rn_cuda_groups g, const uint32_t *ptr, uint32_t *at, uint32_t *falls)
{
	RN_EACH(i, g.n) {
		uint32_t start, to;

		if (g.key[i] == RN_CUDA_NO_WORD)
			continue;
		start = start_of(g, i);
		to = ptr[g.rank[g.row[start]]] + (uint32_t)(i - start);
		at[to] = g.row[i];
		if (to != g.row[i])
			*falls = 1;
	}
}

/* ---- searches ---------------------------------------------------------------------------- */

/* How many of the n sorted keys are below `word`. */
static __device__ __forceinline__ uint32_t below(const uint64_t *key, uint32_t n, uint64_t word)
{
	uint32_t from = 0, left = n;

	while (left) {
		uint32_t half = left / 2;
		bool less = key[from + half] < word;

		from = less ? from + half + 1 : from;
		left = less ? left - half - 1 : half;
	}
	return from;
}

static __global__ void __launch_bounds__(BLOCK)
	k_seek(uint32_t *of, const uint64_t *word, uint32_t n, const uint64_t *key,
	       const uint32_t *number, uint32_t m)
{
	RN_EACH(i, n) {
		uint32_t at = below(key, m, word[i]);

		of[i] = at < m && key[at] == word[i] ? number[at] : RN_CUDA_NO_ROW;
	}
}

static __global__ void __launch_bounds__(BLOCK)
	k_widen(uint64_t *key, const uint32_t *of, uint32_t rows, uint32_t n)
{
	RN_EACH(i, rows)
		key[i] = of[i] < n ? of[i] : n;
}

static __global__ void __launch_bounds__(BLOCK)
	k_starts(uint32_t *ptr, uint32_t n, const uint64_t *key, uint32_t rows)
{
	RN_EACH(g, (uint64_t)n + 1)
		ptr[g] = below(key, rows, g);
}

/* ---- launchers --------------------------------------------------------------------------- */

cudaError_t rn_cuda_sort_room(uint32_t n, size_t *bytes)
{
	struct rn_cuda_pairs p = {};

	p.n = n;
	*bytes = 0;
	return rn_cub_sort(0, &p, 64, 0, bytes);
}

cudaError_t rn_cuda_sort(cudaStream_t s, struct rn_cuda_pairs *p, unsigned bits, void *room,
			 size_t bytes)
{
	return p->n ? rn_cub_sort(s, p, bits, room, &bytes) : cudaSuccess;
}

cudaError_t rn_cuda_scan_room(uint32_t n, size_t *bytes)
{
	*bytes = 0;
	return rn_cub_scan(0, 0, n, 0, bytes);
}

cudaError_t rn_cuda_scan(cudaStream_t s, uint32_t *x, uint32_t n, void *room, size_t bytes)
{
	return n ? rn_cub_scan(s, x, n, room, &bytes) : cudaSuccess;
}

cudaError_t rn_cuda_rows(cudaStream_t s, uint32_t *row, uint32_t n)
{
	return n ? RN_LAUNCH(k_rows, rn_blocks(n, BLOCK), BLOCK, s, row, n) : cudaSuccess;
}

cudaError_t rn_cuda_pick_words(cudaStream_t s, uint64_t *out, const uint64_t *x,
			       const uint32_t *map, uint32_t n)
{
	if (!n)
		return cudaSuccess;
	return RN_LAUNCH(k_pick_words, rn_blocks(n, BLOCK), BLOCK, s, out, x, map, n);
}

cudaError_t rn_cuda_groups_heads(cudaStream_t s, const struct rn_cuda_groups *g)
{
	return g->n ? RN_LAUNCH(k_heads, rn_blocks(g->n, BLOCK), BLOCK, s, *g) : cudaSuccess;
}

cudaError_t rn_cuda_groups_firsts(cudaStream_t s, const struct rn_cuda_groups *g)
{
	return g->n ? RN_LAUNCH(k_firsts, rn_blocks(g->n, BLOCK), BLOCK, s, *g) : cudaSuccess;
}

cudaError_t rn_cuda_groups_numbers(cudaStream_t s, const struct rn_cuda_groups *g, uint32_t *of,
				   uint32_t *first, uint64_t *word, uint32_t *len)
{
	if (!g->n)
		return cudaSuccess;
	return RN_LAUNCH(k_numbers, rn_blocks(g->n, BLOCK), BLOCK, s, *g, of, first, word, len);
}

cudaError_t rn_cuda_groups_deal(cudaStream_t s, const struct rn_cuda_groups *g,
				const uint32_t *ptr, uint32_t *at, uint32_t *falls)
{
	if (!g->n)
		return cudaSuccess;
	return RN_LAUNCH(k_deal, rn_blocks(g->n, BLOCK), BLOCK, s, *g, ptr, at, falls);
}

cudaError_t rn_cuda_seek(cudaStream_t s, uint32_t *of, const uint64_t *word, uint32_t n,
			 const uint64_t *key, const uint32_t *number, uint32_t m)
{
	if (!n)
		return cudaSuccess;
	return RN_LAUNCH(k_seek, rn_blocks(n, BLOCK), BLOCK, s, of, word, n, key, number, m);
}

cudaError_t rn_cuda_widen(cudaStream_t s, uint64_t *key, const uint32_t *of, uint32_t rows,
			  uint32_t n)
{
	if (!rows)
		return cudaSuccess;
	return RN_LAUNCH(k_widen, rn_blocks(rows, BLOCK), BLOCK, s, key, of, rows, n);
}

cudaError_t rn_cuda_starts(cudaStream_t s, uint32_t *ptr, uint32_t n, const uint64_t *key,
			   uint32_t rows)
{
	return RN_LAUNCH(k_starts, rn_blocks((uint64_t)n + 1, BLOCK), BLOCK, s, ptr, n, key, rows);
}
