/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed integers: value i minus base is in bits i*w … i*w + w-1, the lowest
 * bit of a byte first; zero bits fill the last u64 word.
 */
#ifndef RN_BITPACK_H
#define RN_BITPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits that hold v: 0 for 0. */
static inline unsigned rn_bits(uint64_t v)
{
	return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

/* Bytes of n values of w bits; n * w must fit. */
static inline size_t rn_packed_bytes(uint64_t n, unsigned w)
{
	return (size_t)((n * w + 63) / 64 * 8);
}

/* dst has rn_packed_bytes(n, w) bytes; v[i] - base must fit in w bits. */
void rn_pack(const uint64_t *v, uint64_t n, uint64_t base, unsigned w, uint8_t *dst);
/* Values from, …, from + n-1 of the packed src, from a multiple of 8. */
void rn_unpack(const uint8_t *src, uint64_t from, uint64_t n, uint64_t base, unsigned w,
	       uint64_t *v);

/* Bytes of 0 or 1, one bit each. */
void rn_pack_bits(const uint8_t *v, uint64_t n, uint8_t *dst);
void rn_unpack_bits(const uint8_t *src, uint64_t n, uint8_t *v);

/* Are the bits after the last value zero? */
bool rn_packed_tail_zero(const uint8_t *src, uint64_t n, unsigned w);

#endif
