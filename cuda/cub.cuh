/* SPDX-License-Identifier: Apache-2.0
 *
 * The two algorithms that are CUB's, behind the types that rel.cu wants and no others: each
 * instantiation is code for every architecture.  A compiler that is not nvcc gets the same
 * contract from one thread, for tests/cuda/emulate.
 *
 * rn_cub_sort  stable radix sort of pairs by bits 0 … bits - 1 of the keys, to and fro between
 *              the two halves; 64-bit keys serve all: of bits that are not there no pass is made
 * rn_cub_scan  exclusive prefix sums in place
 *
 * With room NULL they set *bytes to what they need, and do nothing.
 */
#ifndef RN_CUDA_CUB_CUH
#define RN_CUDA_CUB_CUH

#include "rel.h"

#include "launch.h"

#ifdef __CUDACC__

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

static inline cudaError_t rn_cub_sort(cudaStream_t s, struct rn_cuda_pairs *p, unsigned bits,
				      void *room, size_t *bytes)
{
	cub::DoubleBuffer<uint64_t> key(p->key[p->at], p->key[!p->at]);
	cub::DoubleBuffer<uint32_t> row(p->row[p->at], p->row[!p->at]);
	cudaError_t err = cub::DeviceRadixSort::SortPairs(room, *bytes, key, row, p->n, 0,
							  (int)bits, s);

	if (err != cudaSuccess || !room)
		return err;
	if (key.selector != row.selector)
		return cudaErrorUnknown; /* they change sides together */
	p->at ^= (unsigned)key.selector;
	return cudaSuccess;
}

static inline cudaError_t rn_cub_scan(cudaStream_t s, uint32_t *x, uint32_t n, void *room,
				      size_t *bytes)
{
	return cub::DeviceScan::ExclusiveSum(room, *bytes, x, x, n, s);
}

#else

static __global__ void k_sort_serially(struct rn_cuda_pairs p, unsigned bits)
{
	for (unsigned from = 0; from < bits; from += 8, p.at = !p.at) {
		const unsigned mask = (1u << (bits - from < 8 ? bits - from : 8)) - 1;
		uint32_t end[256] = { 0 }, at = 0;

		for (uint32_t i = 0; i < p.n; i++)
			end[p.key[p.at][i] >> from & mask]++;
		for (unsigned k = 0; k < 256; k++) {
			uint32_t count = end[k];

			end[k] = at;
			at += count;
		}
		for (uint32_t i = 0; i < p.n; i++) {
			uint32_t to = end[p.key[p.at][i] >> from & mask]++;

			p.key[!p.at][to] = p.key[p.at][i];
			p.row[!p.at][to] = p.row[p.at][i];
		}
	}
}

static __global__ void k_scan_serially(uint32_t *x, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t one = x[i];

		x[i] = sum;
		sum += one;
	}
}

static inline cudaError_t rn_cub_sort(cudaStream_t s, struct rn_cuda_pairs *p, unsigned bits,
				      void *room, size_t *bytes)
{
	struct rn_cuda_pairs before = *p;

	if (!room) {
		*bytes = 1;
		return cudaSuccess;
	}
	p->at ^= (bits + 7) / 8 & 1;
	return RN_LAUNCH(k_sort_serially, 1, 1, s, before, bits);
}

static inline cudaError_t rn_cub_scan(cudaStream_t s, uint32_t *x, uint32_t n, void *room,
				      size_t *bytes)
{
	if (!room) {
		*bytes = 1;
		return cudaSuccess;
	}
	return RN_LAUNCH(k_scan_serially, 1, 1, s, x, n);
}

#endif

#endif
