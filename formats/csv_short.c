/* SPDX-License-Identifier: Apache-2.0
 *
 * Short numbers, four in a register; see csv_short.h.  A field's bytes are shifted to the
 * top of their 64-bit lane, so that zeros come before the first digit and the last digit
 * is in the last byte; pairs of neighbours are then added up three times.  A point is
 * squeezed out first, and what follows it gives the power of ten to divide by: digits and
 * power are exact, so the quotient is rounded once.
 *
 * Two registers are worked on at a time, for the chains are long.  On one core of an EPYC
 * 9xx4 an integer takes 0.9 ns and a float 1.6 ns; one after the other they take 5 ns.
 */
#include "csv_short.h"

#if defined __x86_64__ && defined __GNUC__
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) AVX2

/* Four fields as they stand, up to their eight bytes, and how long they are, less 1. */
struct four {
	__m256i x, last;
};

INLINE __m256i load_four(const void *a, const void *b, const void *c, const void *d)
{
	__m128i low = _mm_loadl_epi64(a), high = _mm_loadl_epi64(c);

	low = _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), b));
	high = _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(high), d));
	return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

/* at: the positions before the first field and behind it. */
INLINE struct four load_fields(const char *text, const uint32_t *at, size_t stride)
{
	const uint32_t *b = at + stride, *c = b + stride, *d = c + stride;
	__m256i around = load_four(at, b, c, d);
	__m256i length = _mm256_sub_epi32(_mm256_srli_epi64(around, 32), around);

	length = _mm256_and_si256(length, _mm256_set1_epi64x(UINT32_MAX));
	return (struct four){
		load_four(text + (*at + 1), text + (*b + 1), text + (*c + 1), text + (*d + 1)),
		_mm256_sub_epi64(length, _mm256_set1_epi64x(2)),
	};
}

/* Are all of one to eight bytes? */
INLINE bool all_short(struct four a, struct four b)
{
	return _mm256_testz_si256(_mm256_or_si256(a.last, b.last), _mm256_set1_epi64x(~7));
}

/* Is a lane below 0: a field, of which what is no digit was taken off? */
INLINE bool any_empty(__m256i a, __m256i b)
{
	return _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_or_si256(a, b)));
}

INLINE __m256i all_ones(void)
{
	return _mm256_set1_epi64x(-1);
}

/* Lanes whose field begins with a minus sign are all ones. */
INLINE __m256i find_signs(struct four f)
{
	__m256i first = _mm256_and_si256(f.x, _mm256_set1_epi64x(0xFF));

	return _mm256_cmpeq_epi64(first, _mm256_set1_epi64x('-'));
}

/* Digits from 0 to 9, and what is none is larger; the sign becomes a zero. */
INLINE __m256i align_digits(struct four f, __m256i minus)
{
	__m256i x = _mm256_xor_si256(f.x, _mm256_set1_epi8('0'));
	__m256i shift = _mm256_sub_epi64(_mm256_set1_epi64x(56), _mm256_slli_epi64(f.last, 3));

	x = _mm256_andnot_si256(_mm256_and_si256(minus, _mm256_set1_epi64x(0xFF)), x);
	return _mm256_sllv_epi64(x, shift);
}

INLINE bool all_digits(__m256i a, __m256i b)
{
	__m256i most = _mm256_subs_epu8(_mm256_max_epu8(a, b), _mm256_set1_epi8(9));

	return _mm256_testz_si256(most, most);
}

INLINE __m256i value_of(__m256i digits)
{
	__m256i two = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(0x010A));
	__m256i four = _mm256_madd_epi16(two, _mm256_set1_epi32(0x00010064));
	__m256i high = _mm256_mul_epu32(four, _mm256_set1_epi64x(10000));

	return _mm256_add_epi64(high, _mm256_srli_epi64(four, 32));
}

/* ---- integers --------------------------------------------------------------------------- */

INLINE void put_ints(__m256i digits, __m256i minus, int64_t *out)
{
	__m256i v = _mm256_sub_epi64(_mm256_xor_si256(value_of(digits), minus), minus);

	_mm256_storeu_si256((__m256i *)(void *)out, v);
}

INLINE bool eight_ints(const char *text, const uint32_t *at, size_t stride, int64_t *out)
{
	struct four a = load_fields(text, at, stride);
	struct four b = load_fields(text, at + 4 * stride, stride);
	__m256i minus_a = find_signs(a), minus_b = find_signs(b), x, y;

	x = align_digits(a, minus_a);
	y = align_digits(b, minus_b);
	if (!all_short(a, b) || !all_digits(x, y) ||
	    any_empty(_mm256_add_epi64(a.last, minus_a), _mm256_add_epi64(b.last, minus_b)))
		return false;
	put_ints(x, minus_a, out);
	put_ints(y, minus_b, out + 4);
	return true;
}

AVX2 static size_t short_ints(const struct rn_csv_span *s, size_t from, size_t n, int64_t *out)
{
	const uint32_t *at = s->at + from * s->stride;
	const char *text = s->text;
	size_t stride = s->stride, i = 0;

	while (i + 8 <= n && eight_ints(text, at + i * stride, stride, out + i))
		i += 8;
	return i;
}

/* ---- floats ------------------------------------------------------------------------------- */

/* Squeeze the first point out of each lane; *after: digits behind it.  Another one stays,
 * and is no digit. */
INLINE __m256i without_point(__m256i x, __m256i *after, __m256i *none)
{
	const __m256i zero = _mm256_setzero_si256();
	__m256i points = _mm256_cmpeq_epi8(x, _mm256_set1_epi8('.' ^ '0'));
	__m256i first = _mm256_and_si256(points, _mm256_sub_epi64(zero, points));
	__m256i next = _mm256_slli_epi64(first, 8), before, behind;

	/* first is 1 in the byte of the point, next in the byte behind it (0: there is none). */
	*none = _mm256_cmpeq_epi64(first, zero);
	before = _mm256_andnot_si256(*none, _mm256_add_epi64(first, all_ones()));
	before = _mm256_and_si256(x, before);
	behind = _mm256_sub_epi64(zero, next);
	*after = _mm256_sad_epu8(_mm256_and_si256(behind, _mm256_set1_epi8(1)), zero);
	x = _mm256_andnot_si256(_mm256_sub_epi64(next, first), _mm256_xor_si256(x, before));
	return _mm256_or_si256(x, _mm256_slli_epi64(before, 8));
}

/* 10^0 … 10^7 as float64 are their upper halves: the lower ones are 0. */
INLINE __m256d power_of_ten(__m256i after)
{
	const __m256i upper = _mm256_setr_epi32(0x3FF00000, 0x40240000, 0x40590000, 0x408F4000,
						0x40C38800, 0x40F86A00, 0x412E8480, 0x416312D0);

	return _mm256_castsi256_pd(
		_mm256_slli_epi64(_mm256_permutevar8x32_epi32(upper, after), 32));
}

INLINE void put_floats(__m256i digits, __m256i after, __m256i minus, double *out)
{
	/* An integer below 2^52 as the low bits of 2^52. */
	const __m256d magic = _mm256_set1_pd(0x1p52);
	__m256d v = _mm256_or_pd(_mm256_castsi256_pd(value_of(digits)), magic);
	__m256d sign = _mm256_and_pd(_mm256_castsi256_pd(minus), _mm256_set1_pd(-0.0));

	v = _mm256_div_pd(_mm256_sub_pd(v, magic), power_of_ten(after));
	/* -0.0 becomes 0.0 */
	v = _mm256_add_pd(_mm256_xor_pd(v, sign), _mm256_setzero_pd());
	_mm256_storeu_pd(out, v);
}

INLINE bool eight_floats(const char *text, const uint32_t *at, size_t stride, double *out)
{
	struct four a = load_fields(text, at, stride);
	struct four b = load_fields(text, at + 4 * stride, stride);
	__m256i minus_a = find_signs(a), minus_b = find_signs(b);
	__m256i after_a, after_b, none_a, none_b, x, y;

	x = without_point(align_digits(a, minus_a), &after_a, &none_a);
	y = without_point(align_digits(b, minus_b), &after_b, &none_b);
	if (!all_short(a, b) || !all_digits(x, y))
		return false;
	/* What is taken off: a sign, and a point. */
	none_a = _mm256_sub_epi64(minus_a, _mm256_add_epi64(none_a, _mm256_set1_epi64x(1)));
	none_b = _mm256_sub_epi64(minus_b, _mm256_add_epi64(none_b, _mm256_set1_epi64x(1)));
	if (any_empty(_mm256_add_epi64(a.last, none_a), _mm256_add_epi64(b.last, none_b)))
		return false;
	put_floats(x, after_a, minus_a, out);
	put_floats(y, after_b, minus_b, out + 4);
	return true;
}

AVX2 static size_t short_floats(const struct rn_csv_span *s, size_t from, size_t n, double *out)
{
	const uint32_t *at = s->at + from * s->stride;
	const char *text = s->text;
	size_t stride = s->stride, i = 0;

	while (i + 8 <= n && eight_floats(text, at + i * stride, stride, out + i))
		i += 8;
	return i;
}

size_t rn_csv_short_ints(const struct rn_csv_span *s, size_t from, size_t n, int64_t *out)
{
	return s->crlf || !__builtin_cpu_supports("avx2") ? 0 : short_ints(s, from, n, out);
}

size_t rn_csv_short_floats(const struct rn_csv_span *s, size_t from, size_t n, double *out)
{
	return s->crlf || !__builtin_cpu_supports("avx2") ? 0 : short_floats(s, from, n, out);
}
#else
size_t rn_csv_short_ints(const struct rn_csv_span *s, size_t from, size_t n, int64_t *out)
{
	(void)s, (void)from, (void)n, (void)out;
	return 0;
}

size_t rn_csv_short_floats(const struct rn_csv_span *s, size_t from, size_t n, double *out)
{
	(void)s, (void)from, (void)n, (void)out;
	return 0;
}
#endif
