/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: hash(a, b, ...), the same number on every machine and for ever.
 *
 * h is 0 before the first value, and XXH64 of a value's bytes with the seed h behind it: a
 * string's own; 8 bytes, the lowest first, of a whole number (an int64, or a float64 that is
 * one), of a timestamp's microseconds, of a bool as 0 or 1, and of the bits of any other float64.
 * Before a NULL, which has no bytes, h is complemented, so that it is not an empty string.
 */
#include "content_node.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t hash_word(uint64_t w, uint64_t seed)
{
	unsigned char b[8];

	for (unsigned k = 0; k < 8; k++)
		b[k] = (unsigned char)(w >> 8 * k);
	return XXH64(b, sizeof b, seed);
}

/* Numbers that are equal have equal words. */
static uint64_t word_of(double f)
{
	uint64_t w;

	if (f >= -0x1p63 && f < 0x1p63 && f == (double)(int64_t)f)
		return (uint64_t)(int64_t)f;
	memcpy(&w, &f, sizeof w);
	return w;
}

void rn_cx_hash(enum rn_type type, const struct rn_cx_vec *v, size_t n, uint64_t *h)
{
	for (size_t i = 0; i < n; i++) {
		if (v->null && v->null[i])
			h[i] = XXH64("", 0, ~h[i]);
		else if (type == RN_STRING)
			h[i] = XXH64(v->s[i].n ? v->s[i].s : "", v->s[i].n, h[i]);
		else if (type == RN_FLOAT64)
			h[i] = hash_word(word_of(v->f[i]), h[i]);
		else
			h[i] = hash_word(type == RN_BOOL ? v->b[i] : (uint64_t)v->i[i], h[i]);
	}
}
