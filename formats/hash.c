/* SPDX-License-Identifier: Apache-2.0
 *
 * XXH3 chosen at run time: the instructions that every x86-64 has give 17 GB/s
 * in cache, AVX2 55 GB/s (EPYC 9xx4), and a pipe between two programs hashes
 * every byte twice.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "hash.h"

uint64_t rn_hash64(const void *data, size_t n)
{
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
	if (n > 256 && __builtin_cpu_supports("avx2"))
		return rn_hash64_avx2(data, n);
#endif
	return XXH3_64bits(data, n);
}
