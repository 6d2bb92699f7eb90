/* SPDX-License-Identifier: Apache-2.0
 *
 * The short numbers that tables are full of, read inline: up to eight digits are one
 * load, one test and three multiplications.  All else goes to num.h's functions,
 * whose results these are.  24 bytes from the number's first are readable.
 */
#ifndef RN_NUM_FAST_H
#define RN_NUM_FAST_H

#include "num.h"

#include <string.h>

extern const double rn_pow10[23]; /* the powers that a double holds exactly */

static inline uint64_t rn_load8(const char *s)
{
	uint64_t x;

	memcpy(&x, s, 8);
	return x;
}

/* Eight digits in x, the first in the lowest byte, as a number (D. Lemire,
 * "Number parsing at a gigabyte per second", 2021). */
static inline uint64_t rn_eight_value(uint64_t x)
{
	x -= 0x3030303030303030ull;
	x = x * 10 + (x >> 8);
	return ((x & 0x000000FF000000FFull) * 0x000F424000000064ull +
		((x >> 16) & 0x000000FF000000FFull) * 0x0000271000000001ull) >>
	       32;
}

/* Nonzero bytes where x has no digit (above the first of them not exact). */
static inline uint64_t rn_no_digits(uint64_t x)
{
	return ((x & 0xF0F0F0F0F0F0F0F0ull) ^ 0x3030303030303030ull) |
	       (((x + 0x0606060606060606ull) & 0xF0F0F0F0F0F0F0F0ull) ^ 0x3030303030303030ull);
}

/* The first n of 1 to 8 bytes of x as eight, with zeros before them. */
static inline uint64_t rn_align_digits(uint64_t x, size_t n)
{
	return x << (64 - 8 * n) | 0x3030303030303030ull >> 1 >> (8 * n - 1);
}

static inline __attribute__((always_inline)) bool rn_int64_fast(const char *s, size_t n,
								 int64_t *out)
{
	bool neg = *s == '-';
	size_t digits = n - neg;
	uint64_t x;

	if (digits - 1 >= 8)
		return rn_int64_parse_padded(s, n, out);
	x = rn_align_digits(rn_load8(s + neg), digits);
	if (rn_no_digits(x))
		return rn_int64_parse(s, n, out);
	x = rn_eight_value(x);
	*out = neg ? -(int64_t)x : (int64_t)x;
	return true;
}

/* Digits with at most one point, eight bytes in all: the point is squeezed out, and the
 * digits over a power of ten are rounded once, hence correctly. */
static inline __attribute__((always_inline)) bool rn_float64_fast(const char *s, size_t n,
								    double *out)
{
	bool neg = *s == '-';
	size_t len = n - neg, after = 0;
	uint64_t x, point;
	double v;

	if (len - 1 >= 8)
		return rn_float64_parse_padded(s, n, out);
	x = rn_load8(s + neg);
	point = x ^ 0x2E2E2E2E2E2E2E2Eull;
	point = (point - 0x0101010101010101ull) & ~point & 0x8080808080808080ull &
		(UINT64_MAX >> (64 - 8 * len));
	if (point) {
		unsigned at = (unsigned)__builtin_ctzll(point) & 56; /* bits before it */
		uint64_t before = ((uint64_t)1 << at) - 1;

		if (len == 1)
			return false;
		x = (x & before) | (x >> 8 & ~before);
		len--;
		after = len - at / 8;
	}
	x = rn_align_digits(x, len);
	if (rn_no_digits(x))
		return rn_float64_parse(s, n, out);
	v = (double)rn_eight_value(x) / rn_pow10[after];
	*out = neg ? -v : v;
	return true;
}

#endif
