/* SPDX-License-Identifier: Apache-2.0
 *
 * XXH3 compiled for AVX2.  Called only where the processor has it (hash.c).
 */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2")
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "hash.h"

uint64_t rn_hash64_avx2(const void *data, size_t n)
{
	return XXH3_64bits(data, n);
}
