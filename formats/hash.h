/* SPDX-License-Identifier: Apache-2.0
 *
 * The checksum of the formats: XXH3 with 64 bits and seed 0.
 */
#ifndef RN_HASH_H
#define RN_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t rn_hash64(const void *data, size_t n);

/* The body of rn_hash64 where the processor has AVX2. */
uint64_t rn_hash64_avx2(const void *data, size_t n);

#endif
