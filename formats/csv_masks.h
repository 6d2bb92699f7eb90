/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of 64 bytes mean something: as a word of bits, the first byte in the lowest.
 */
#ifndef RN_CSV_MASKS_H
#define RN_CSV_MASKS_H

#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct rn_csv_masks {
	uint64_t ends; /* delimiters and line feeds */
	uint64_t lf;
	uint64_t odd;  /* other control characters from NUL to CR, among others */
	uint64_t high; /* not ASCII */
};

#ifdef __SSE2__
static inline uint64_t rn_csv_bits16(__m128i x, unsigned at)
{
	return (uint64_t)(uint32_t)_mm_movemask_epi8(x) << at;
}

static inline struct rn_csv_masks rn_csv_masks_64(const char *p, char delimiter)
{
	struct rn_csv_masks m = { 0, 0, 0, 0 };

	for (unsigned i = 0; i < 64; i += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		__m128i lf = _mm_cmpeq_epi8(x, _mm_set1_epi8('\n'));
		__m128i ends = _mm_or_si128(lf, _mm_cmpeq_epi8(x, _mm_set1_epi8(delimiter)));
		__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8('\r')), x);

		m.ends |= rn_csv_bits16(ends, i);
		m.lf |= rn_csv_bits16(lf, i);
		m.odd |= rn_csv_bits16(_mm_andnot_si128(ends, low), i);
		m.high |= rn_csv_bits16(x, i);
	}
	return m;
}

/* Quotes, line feeds, carriage returns and NULs. */
static inline uint64_t rn_csv_quote_mask(const char *p)
{
	uint64_t m = 0;

	for (unsigned i = 0; i < 64; i += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		__m128i y = _mm_cmpeq_epi8(x, _mm_set1_epi8('\n'));

		y = _mm_or_si128(y, _mm_cmpeq_epi8(x, _mm_set1_epi8('\r')));
		y = _mm_or_si128(y, _mm_cmpeq_epi8(x, _mm_set1_epi8('"')));
		y = _mm_or_si128(y, _mm_cmpeq_epi8(x, _mm_setzero_si128()));
		m |= rn_csv_bits16(y, i);
	}
	return m;
}

static inline uint64_t rn_csv_equal_mask(const char *p, char c)
{
	uint64_t m = 0;

	for (unsigned i = 0; i < 64; i += 16)
		m |= rn_csv_bits16(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + i)),
						  _mm_set1_epi8(c)), i);
	return m;
}
#else
static inline struct rn_csv_masks rn_csv_masks_64(const char *p, char delimiter)
{
	struct rn_csv_masks m = { 0, 0, 0, 0 };

	for (unsigned i = 0; i < 64; i++) {
		uint64_t bit = (uint64_t)1 << i;

		m.lf |= p[i] == '\n' ? bit : 0;
		m.ends |= p[i] == '\n' || p[i] == delimiter ? bit : 0;
		m.odd |= p[i] >= 0 && p[i] <= '\r' && p[i] != '\n' && p[i] != delimiter ? bit : 0;
		m.high |= p[i] < 0 ? bit : 0;
	}
	return m;
}

static inline uint64_t rn_csv_quote_mask(const char *p)
{
	uint64_t m = 0;

	for (unsigned i = 0; i < 64; i++)
		m |= (uint64_t)(p[i] == '"' || p[i] == '\n' || p[i] == '\r' || !p[i]) << i;
	return m;
}

static inline uint64_t rn_csv_equal_mask(const char *p, char c)
{
	uint64_t m = 0;

	for (unsigned i = 0; i < 64; i++)
		m |= (uint64_t)(p[i] == c) << i;
	return m;
}
#endif

#endif
