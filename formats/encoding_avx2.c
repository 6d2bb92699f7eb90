/* SPDX-License-Identifier: Apache-2.0
 *
 * What a chunk needs of AVX2, called only where the processor has it: the byte
 * shuffle, 32 values at a time, and the ranges by which an encoding is chosen.
 * The bytes are those of the portable code in encoding.c.
 *
 * A register takes values i … in its low half and values i+16 … in its high half,
 * so that the transposes, which work on halves, end with 32 values in order.
 */
#include "encoding_avx2.h"

#ifdef RN_ENCODING_AVX2

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) AVX2

INLINE __m256i load_halves(const uint8_t *low, const uint8_t *high)
{
	return _mm256_inserti128_si256(
		_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
		_mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

INLINE void store_halves(uint8_t *low, uint8_t *high, __m256i x)
{
	_mm_storeu_si128((__m128i *)(void *)low, _mm256_castsi256_si128(x));
	_mm_storeu_si128((__m128i *)(void *)high, _mm256_extracti128_si256(x, 1));
}

INLINE __m256i load(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

INLINE void store(uint8_t *p, __m256i x)
{
	_mm256_storeu_si256((__m256i *)(void *)p, x);
}

/* ---- shuffle ----------------------------------------------------------------- */

AVX2 static void shuffle4(const uint8_t *p, uint64_t n, uint64_t to, uint8_t *dst)
{
	/* The bytes k of four values side by side. */
	const __m256i gather = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11,
						15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7,
						11, 15);

	for (uint64_t i = 0; i < to; i += 32, p += 128) {
		__m256i v[4], a, b, c, d;

		for (int k = 0; k < 4; k++)
			v[k] = _mm256_shuffle_epi8(load_halves(p + 16 * k, p + 64 + 16 * k),
						   gather);
		a = _mm256_unpacklo_epi32(v[0], v[1]);
		b = _mm256_unpackhi_epi32(v[0], v[1]);
		c = _mm256_unpacklo_epi32(v[2], v[3]);
		d = _mm256_unpackhi_epi32(v[2], v[3]);
		store(dst + i, _mm256_unpacklo_epi64(a, c));
		store(dst + n + i, _mm256_unpackhi_epi64(a, c));
		store(dst + 2 * n + i, _mm256_unpacklo_epi64(b, d));
		store(dst + 3 * n + i, _mm256_unpackhi_epi64(b, d));
	}
}

AVX2 static void unshuffle4(const uint8_t *src, uint64_t n, uint64_t to, uint8_t *p)
{
	for (uint64_t i = 0; i < to; i += 32, p += 128) {
		__m256i r0 = load(src + i), r1 = load(src + n + i);
		__m256i r2 = load(src + 2 * n + i), r3 = load(src + 3 * n + i);
		__m256i a = _mm256_unpacklo_epi8(r0, r1), b = _mm256_unpackhi_epi8(r0, r1);
		__m256i c = _mm256_unpacklo_epi8(r2, r3), d = _mm256_unpackhi_epi8(r2, r3);

		store_halves(p, p + 64, _mm256_unpacklo_epi16(a, c));
		store_halves(p + 16, p + 80, _mm256_unpackhi_epi16(a, c));
		store_halves(p + 32, p + 96, _mm256_unpacklo_epi16(b, d));
		store_halves(p + 48, p + 112, _mm256_unpackhi_epi16(b, d));
	}
}

/* Transpose the 8 by 8 words of each half. */
INLINE void transpose_words(__m256i v[8])
{
	__m256i a[8], b[8];

	for (int k = 0; k < 4; k++) {
		a[2 * k] = _mm256_unpacklo_epi16(v[2 * k], v[2 * k + 1]);
		a[2 * k + 1] = _mm256_unpackhi_epi16(v[2 * k], v[2 * k + 1]);
	}
	for (int k = 0; k < 8; k += 4)
		for (int j = 0; j < 2; j++) {
			b[k + 2 * j] = _mm256_unpacklo_epi32(a[k + j], a[k + j + 2]);
			b[k + 2 * j + 1] = _mm256_unpackhi_epi32(a[k + j], a[k + j + 2]);
		}
	for (int k = 0; k < 4; k++) {
		v[2 * k] = _mm256_unpacklo_epi64(b[k], b[k + 4]);
		v[2 * k + 1] = _mm256_unpackhi_epi64(b[k], b[k + 4]);
	}
}

AVX2 static void shuffle8(const uint8_t *p, uint64_t n, uint64_t to, uint8_t *dst)
{
	/* The bytes k of two values side by side. */
	const __m256i pair = _mm256_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15,
					      0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);

	for (uint64_t i = 0; i < to; i += 32, p += 256) {
		__m256i v[8];

		for (int k = 0; k < 8; k++)
			v[k] = _mm256_shuffle_epi8(load_halves(p + 16 * k, p + 128 + 16 * k), pair);
		transpose_words(v);
		for (unsigned k = 0; k < 8; k++)
			store(dst + k * n + i, v[k]);
	}
}

AVX2 static void unshuffle8(const uint8_t *src, uint64_t n, uint64_t to, uint8_t *p)
{
	for (uint64_t i = 0; i < to; i += 32, p += 256) {
		__m256i low[4], high[4];

		/* Bytes 2k and 2k+1 of values 0 to 7, and of values 8 to 15. */
		for (unsigned k = 0; k < 4; k++) {
			__m256i x = load(src + 2 * k * n + i), y = load(src + (2 * k + 1) * n + i);

			low[k] = _mm256_unpacklo_epi8(x, y);
			high[k] = _mm256_unpackhi_epi8(x, y);
		}
		for (unsigned h = 0; h < 2; h++) {
			const __m256i *w = h ? high : low;
			__m256i a = _mm256_unpacklo_epi16(w[0], w[1]);
			__m256i b = _mm256_unpackhi_epi16(w[0], w[1]);
			__m256i c = _mm256_unpacklo_epi16(w[2], w[3]);
			__m256i d = _mm256_unpackhi_epi16(w[2], w[3]);
			uint8_t *q = p + 64 * h;

			store_halves(q, q + 128, _mm256_unpacklo_epi32(a, c));
			store_halves(q + 16, q + 144, _mm256_unpackhi_epi32(a, c));
			store_halves(q + 32, q + 160, _mm256_unpacklo_epi32(b, d));
			store_halves(q + 48, q + 176, _mm256_unpackhi_epi32(b, d));
		}
	}
}

uint64_t rn_shuffle_avx2(const void *v, uint64_t n, unsigned size, uint8_t *dst)
{
	uint64_t to = n & ~31ull;

	if (size == 4)
		shuffle4(v, n, to, dst);
	else
		shuffle8(v, n, to, dst);
	return to;
}

uint64_t rn_unshuffle_avx2(const uint8_t *src, uint64_t n, unsigned size, void *v)
{
	uint64_t to = n & ~31ull;

	if (size == 4)
		unshuffle4(src, n, to, v);
	else
		unshuffle8(src, n, to, v);
	return to;
}

/* ---- ranges ------------------------------------------------------------------ */

INLINE __m256i min64(__m256i a, __m256i b)
{
	return _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b));
}

INLINE __m256i max64(__m256i a, __m256i b)
{
	return _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi64(a, b));
}

INLINE int64_t least(__m256i x)
{
	int64_t v[4], m;

	store((uint8_t *)v, x);
	m = v[0];
	for (int i = 1; i < 4; i++)
		m = v[i] < m ? v[i] : m;
	return m;
}

INLINE int64_t most(__m256i x)
{
	int64_t v[4], m;

	store((uint8_t *)v, x);
	m = v[0];
	for (int i = 1; i < 4; i++)
		m = v[i] > m ? v[i] : m;
	return m;
}

AVX2 uint64_t rn_int_range_avx2(const int64_t *v, uint64_t n, struct rn_int_range *r)
{
	__m256i min = _mm256_set1_epi64x(r->min), max = _mm256_set1_epi64x(r->max);
	__m256i dmin = _mm256_set1_epi64x(r->dmin), dmax = _mm256_set1_epi64x(r->dmax);
	uint64_t i = 1;

	for (; i + 4 <= n; i += 4) {
		__m256i x = load((const uint8_t *)(v + i));
		__m256i d = _mm256_sub_epi64(x, load((const uint8_t *)(v + i - 1)));

		min = min64(min, x);
		max = max64(max, x);
		dmin = min64(dmin, d);
		dmax = max64(dmax, d);
	}
	*r = (struct rn_int_range){ least(min), most(max), least(dmin), most(dmax) };
	return i;
}

/* ---- floats ------------------------------------------------------------------ */

AVX2 uint64_t rn_f64_nan_avx2(const double *v, uint64_t n, bool *nan)
{
	__m256d any = _mm256_setzero_pd();
	uint64_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m256d a = _mm256_loadu_pd(v + i), b = _mm256_loadu_pd(v + i + 4);

		any = _mm256_or_pd(any, _mm256_cmp_pd(a, b, _CMP_UNORD_Q));
	}
	*nan = _mm256_movemask_pd(any);
	return i;
}

AVX2 uint64_t rn_f64_clean_avx2(double *v, uint64_t n, bool *nan)
{
	__m256d any = _mm256_setzero_pd(), zero = _mm256_setzero_pd();
	uint64_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m256d a = _mm256_loadu_pd(v + i), b = _mm256_loadu_pd(v + i + 4);

		any = _mm256_or_pd(any, _mm256_cmp_pd(a, b, _CMP_UNORD_Q));
		_mm256_storeu_pd(v + i, _mm256_add_pd(a, zero));
		_mm256_storeu_pd(v + i + 4, _mm256_add_pd(b, zero));
	}
	*nan = _mm256_movemask_pd(any);
	return i;
}

#else

/* So that this is a translation unit on other processors too. */
extern int rn_encoding_avx2_unused;

#endif
