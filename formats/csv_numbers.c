/* SPDX-License-Identifier: Apache-2.0
 *
 * A look at text that is hardly more than reading it: where all columns are numbers, it
 * is enough to see which column each byte belongs to that is neither a digit nor the end
 * of a field.  What is not plain is left to those who look at every field; so "no" means
 * only that it is not known.
 */
#include "csv_scan.h"

#if defined __x86_64__ && defined __SSE2__
#include <immintrin.h>
#define HAVE_AVX2 1
#endif

struct look {
	const char *text;
	size_t at, len;
	char delimiter;
	size_t ncols;
	const unsigned *types;
	uint64_t ends;  /* so far */
	uint64_t first; /* number of the first end of this row */
	uint64_t point; /* number of the last field with a point, + 1 */
	uint64_t near;  /* bytes from `at` on that are within 16 of an end */
	uint64_t rows;
};

static bool is_digit(char c)
{
	return (unsigned char)(c - '0') < 10;
}

static bool is_end(const struct look *l, size_t at)
{
	return at == 0 || l->text[at - 1] == l->delimiter || l->text[at - 1] == '\n';
}

/* The byte at `at`, in field number n, is no digit: may it be there? */
static bool may_be(struct look *l, size_t at, uint64_t n)
{
	const char *p = l->text + at;
	size_t col = n - l->first;

	if (col >= l->ncols)
		return false;
	if (*p == '-')
		return is_end(l, at) && (is_digit(p[1]) || p[1] == '.');
	if (*p == '\r')
		return p[1] == '\n';
	if (*p != '.' || l->types[col] != RN_FLOAT64 || l->point == n + 1)
		return false;
	l->point = n + 1;
	return is_digit(p[1]) || (at && is_digit(p[-1]));
}

/* 64 bytes, of which ends, line feeds and digits are known. */
static inline __attribute__((always_inline)) bool look_at(struct look *l, uint64_t ends,
							  uint64_t lf, uint64_t digits)
{
	uint64_t near = ends, other = ~(ends | digits);

	for (unsigned i = 1; i < 16; i *= 2)
		near |= near << i;
	if (~(near | l->near))
		return false;
	l->near = ends >> 48 ? ((uint64_t)1 << (64 - __builtin_clzll(ends) - 48)) - 1 : 0;
	for (uint64_t m = other | lf; m; m &= m - 1) {
		unsigned i = (unsigned)__builtin_ctzll(m);
		uint64_t n = l->ends + (uint64_t)__builtin_popcountll(ends & (((uint64_t)1 << i) - 1));

		if (!(lf >> i & 1)) {
			if (!may_be(l, l->at + i, n))
				return false;
			continue;
		}
		if (n + 1 - l->first != l->ncols)
			return false;
		l->first = n + 1;
		l->rows++;
	}
	l->ends += (uint64_t)__builtin_popcountll(ends);
	return true;
}

/* The same of what is left, or where there are no such registers. */
static bool look_plainly(struct look *l, size_t until)
{
	for (; l->at < until; l->at += 64) {
		uint64_t ends = 0, lf = 0, digits = 0;

		for (unsigned i = 0; i < 64; i++) {
			char c = l->at + i < l->len ? l->text[l->at + i] : l->delimiter;

			ends |= (uint64_t)(c == l->delimiter || c == '\n') << i;
			lf |= (uint64_t)(c == '\n') << i;
			digits |= (uint64_t)is_digit(c) << i;
		}
		if (!look_at(l, ends, lf, digits))
			return false;
	}
	return true;
}

#ifdef HAVE_AVX2
__attribute__((target("avx2,bmi,lzcnt,popcnt"))) static bool look_avx2(struct look *l, size_t until)
{
	const __m256i delimiter = _mm256_set1_epi8(l->delimiter), lf = _mm256_set1_epi8('\n');
	const __m256i zero = _mm256_set1_epi8('0'), nine = _mm256_set1_epi8(9);

	for (; l->at + 64 <= until; l->at += 64) {
		uint64_t e = 0, n = 0, d = 0;

		for (unsigned i = 0; i < 64; i += 32) {
			const char *p = l->text + l->at + i;
			__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p);
			__m256i feeds = _mm256_cmpeq_epi8(x, lf);
			__m256i all = _mm256_or_si256(feeds, _mm256_cmpeq_epi8(x, delimiter));
			__m256i digit = _mm256_sub_epi8(x, zero);

			digit = _mm256_cmpeq_epi8(_mm256_min_epu8(digit, nine), digit);
			e |= (uint64_t)(uint32_t)_mm256_movemask_epi8(all) << i;
			n |= (uint64_t)(uint32_t)_mm256_movemask_epi8(feeds) << i;
			d |= (uint64_t)(uint32_t)_mm256_movemask_epi8(digit) << i;
		}
		if (!look_at(l, e, n, d))
			return false;
	}
	return true;
}
#endif

bool rn_csv_all_numbers(struct rn_csv_chunk *k, char delimiter, size_t ncols,
			const unsigned *types)
{
	struct look l = { .text = k->text, .at = k->from, .len = k->len, .delimiter = delimiter,
			  .ncols = ncols, .types = types, .near = UINT16_MAX };

	if (is_digit(delimiter) || delimiter == '-' || delimiter == '.')
		return false;
#ifdef HAVE_AVX2
	if (__builtin_cpu_supports("avx2") && !look_avx2(&l, k->len))
		return false;
#endif
	if (!look_plainly(&l, k->len))
		return false;
	k->rows = k->lines = l.rows;
	return true;
}
