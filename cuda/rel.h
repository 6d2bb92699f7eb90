/* SPDX-License-Identifier: Apache-2.0
 *
 * Relational work: what the kernels of rel.cu and the sorting of cub.cuh offer to rel.c.
 *
 * Launchers as in kernels.h.  Words, rows and numbers are those of lib/base/accel.h; what
 * is *sorted* are pairs of a word and its row, by word, pairs of one word by row.  A run of
 * equal words is a *group*; those without a word (all bits set) are in none.
 */
#ifndef RN_CUDA_REL_H
#define RN_CUDA_REL_H

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RN_CUDA_NO_WORD 0xFFFFFFFFFFFFFFFFu

/* Pairs, and room for as many: sorting leaves them in key[at], row[at]. */
struct rn_cuda_pairs {
	uint64_t *key[2];
	uint32_t *row[2];
	unsigned at;
	uint32_t n;
};
/* Stable, by the low `bits` bits of the keys; in room of rn_cuda_sort_room bytes. */
cudaError_t rn_cuda_sort_room(uint32_t n, size_t *bytes);
cudaError_t rn_cuda_sort(cudaStream_t s, struct rn_cuda_pairs *p, unsigned bits, void *room,
			 size_t bytes);
/* x[i] = x[0] + … + x[i - 1], in place; room as above. */
cudaError_t rn_cuda_scan_room(uint32_t n, size_t *bytes);
cudaError_t rn_cuda_scan(cudaStream_t s, uint32_t *x, uint32_t n, void *room, size_t bytes);

/* row[i] = i. */
cudaError_t rn_cuda_rows(cudaStream_t s, uint32_t *row, uint32_t n);
/* out[i] = x[map[i]]. */
cudaError_t rn_cuda_pick_words(cudaStream_t s, uint64_t *out, const uint64_t *x,
			       const uint32_t *map, uint32_t n);

/* Groups of sorted pairs.  In this order, with scans between:
 *
 *   heads   group[i] = 1 where pair i is the first of its group, else 0; a scan makes it
 *           the number of groups that began before
 *   firsts  start[g] = the pair at which group g begins, rank[r] = 1 for its row r, where rank
 *           [n + 1] was 0; a scan makes rank[r] the number of the key whose first row is r, and
 *           rank[n] how many there are
 *   numbers of, first, word and len (either may be NULL, len was 0) of each number
 *   deal    at, where ptr is len after a scan; *falls = 1 if at[i] = i does not hold for all i */
struct rn_cuda_groups {
	const uint64_t *key;
	const uint32_t *row;
	uint32_t n;
	uint32_t *group, *start, *rank;
};
cudaError_t rn_cuda_groups_heads(cudaStream_t s, const struct rn_cuda_groups *g);
cudaError_t rn_cuda_groups_firsts(cudaStream_t s, const struct rn_cuda_groups *g);
cudaError_t rn_cuda_groups_numbers(cudaStream_t s, const struct rn_cuda_groups *g, uint32_t *of,
				   uint32_t *first, uint64_t *word, uint32_t *len);
cudaError_t rn_cuda_groups_deal(cudaStream_t s, const struct rn_cuda_groups *g,
				const uint32_t *ptr, uint32_t *at, uint32_t *falls);

/* of[i] = number[j] with key[j] = word[i], or RN_CUDA_NO_ROW; key [m] is sorted. */
cudaError_t rn_cuda_seek(cudaStream_t s, uint32_t *of, const uint64_t *word, uint32_t n,
			 const uint64_t *key, const uint32_t *number, uint32_t m);
/* key[i] = of[i], or n where that is not below n. */
cudaError_t rn_cuda_widen(cudaStream_t s, uint64_t *key, const uint32_t *of, uint32_t rows,
			  uint32_t n);
/* ptr[g] = the number of keys below g, g = 0 … n; key [rows] is sorted. */
cudaError_t rn_cuda_starts(cudaStream_t s, uint32_t *ptr, uint32_t n, const uint64_t *key,
			   uint32_t rows);

#ifdef __cplusplus
}
#endif

#endif
