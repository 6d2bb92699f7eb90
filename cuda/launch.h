/* SPDX-License-Identifier: Apache-2.0
 *
 * The one way in which a kernel is launched:
 *
 *	return RN_LAUNCH(k_gather, grid, block, s, out, x, map, rows, width);
 *
 * with grid and block a number or a dim3, and the value a cudaError_t.  A template
 * with a comma in its arguments stands in parentheses: RN_LAUNCH((k_sum<4, true>), ...).
 * Shared memory is static.  A grid of no blocks is an error: a launcher that has
 * nothing to do returns cudaSuccess itself.
 *
 * A compiler that is not nvcc builds the kernels for tests/cuda/emulate, whose
 * cuda_runtime.h has rn_emulate: the same kernel, its threads run on the CPU.
 */
#ifndef RN_CUDA_LAUNCH_H
#define RN_CUDA_LAUNCH_H

#include <cuda_runtime.h>

#ifdef __CUDACC__
#define RN_LAUNCH(kernel, grid, block, stream, ...) \
	(kernel<<<(grid), (block), 0, (stream)>>>(__VA_ARGS__), cudaGetLastError())
#else
#define RN_LAUNCH(kernel, grid, block, stream, ...) \
	rn_emulate(#kernel, kernel, grid, block, stream, __VA_ARGS__)
#endif

/* The device's clock. */
[[maybe_unused]] static __device__ __forceinline__ unsigned long long rn_nanoseconds(void)
{
#ifdef __CUDACC__
	unsigned long long t;

	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
	return t;
#else
	return rn_emulate_nanoseconds();
#endif
}

#endif
