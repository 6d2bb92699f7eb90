/* SPDX-License-Identifier: Apache-2.0
 *
 * Positions of the bytes that matter.  Where the processor has AVX2, in registers of 32
 * bytes and with its bit instructions; with AVX-512 VBMI2 the bits become positions without
 * a loop over them.  The positions are the same.
 */
#include "csv_scan.h"

#include "csv_masks.h"

#include <string.h>
#if defined __x86_64__ && defined __SSE2__
#include <immintrin.h>
#define HAVE_AVX 1
#endif

enum {
	STEP = 8192, /* bytes for which there is room at once */
	AT_ONCE = 16, /* positions that are written at once, at most */
};

struct index {
	const char *text;
	size_t from, len;
	uint32_t *out; /* room for a position per byte, and AT_ONCE more */
	char delimiter;
	bool all;
	size_t n;
	uint64_t lines, high;
	bool crlf, broken;
};

/* Carriage returns and NULs among the 64 bytes at `at`, of which `some` are looked at. */
static uint64_t look_closer(struct index *x, size_t at, uint64_t lf, uint64_t some)
{
	const char *p = x->text + at;
	uint64_t cr = rn_csv_equal_mask(p, '\r') & some, nul = rn_csv_equal_mask(p, '\0') & some;
	uint64_t alone = cr & ~(lf >> 1);

	if (alone >> 63 && p[64] == '\n')
		alone &= INT64_MAX;
	x->crlf = x->crlf || cr;
	x->broken = x->broken || alone || nul;
	return cr | nul;
}

/* The bits of m as positions; what is written past them is overwritten later. */
#define PUT_BITS(x, m, base)                                                                       \
	do {                                                                                       \
		unsigned count_ = (unsigned)__builtin_popcountll(m);                               \
		uint32_t *to_ = (x)->out + (x)->n;                                                 \
		for (unsigned i_ = 0; i_ < count_; i_ += 8)                                        \
			for (unsigned j_ = 0; j_ < 8; j_++) {                                      \
				to_[i_ + j_] = (uint32_t)((base) + (m ? (unsigned)__builtin_ctzll(m) : 0)); \
				m &= m - 1;                                                        \
			}                                                                          \
		(x)->n += count_;                                                                  \
	} while (0)

#define INDEX(x, masks, put)                                                                       \
	do {                                                                                       \
		for (size_t at_ = (x)->from; at_ < (x)->len; at_ += 64) {                          \
			size_t left_ = (x)->len - at_;                                             \
			uint64_t some_ = left_ < 64 ? ((uint64_t)1 << left_) - 1 : UINT64_MAX;     \
			struct rn_csv_masks m_ = masks((x)->text + at_, (x)->delimiter);           \
			uint64_t ends_ = m_.ends & some_;                                          \
			(x)->high |= m_.high & some_;                                              \
			(x)->lines += (uint64_t)__builtin_popcountll(m_.lf & some_);               \
			if (m_.odd & some_) {                                                      \
				uint64_t odd_ = look_closer(x, at_, m_.lf, some_);                 \
				ends_ |= (x)->all ? odd_ : 0;                                      \
			}                                                                          \
			if ((x)->all)                                                              \
				ends_ |= rn_csv_equal_mask((x)->text + at_, '"') & some_;          \
			put(x, ends_, at_);                                                        \
		}                                                                                  \
	} while (0)

static void index_plain(struct index *x)
{
	INDEX(x, rn_csv_masks_64, PUT_BITS);
}

#ifdef HAVE_AVX
__attribute__((target("avx2,bmi,popcnt"))) static inline struct rn_csv_masks
masks_avx2(const char *p, char delimiter)
{
	struct rn_csv_masks m = { 0, 0, 0, 0 };

	for (unsigned i = 0; i < 64; i += 32) {
		__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(p + i));
		__m256i lf = _mm256_cmpeq_epi8(x, _mm256_set1_epi8('\n'));
		__m256i ends = _mm256_or_si256(lf, _mm256_cmpeq_epi8(x, _mm256_set1_epi8(delimiter)));
		__m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(x, _mm256_set1_epi8('\r')), x);

		m.ends |= (uint64_t)(uint32_t)_mm256_movemask_epi8(ends) << i;
		m.lf |= (uint64_t)(uint32_t)_mm256_movemask_epi8(lf) << i;
		m.odd |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_andnot_si256(ends, low)) << i;
		m.high |= (uint64_t)(uint32_t)_mm256_movemask_epi8(x) << i;
	}
	return m;
}

__attribute__((target("avx2,bmi,popcnt"))) static void index_avx2(struct index *x)
{
	INDEX(x, masks_avx2, PUT_BITS);
}

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi2,bmi,popcnt")))

AVX512 static inline struct rn_csv_masks masks_avx512(const char *p, char delimiter)
{
	__m512i x = _mm512_loadu_si512(p);
	uint64_t lf = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\n'));
	uint64_t ends = lf | _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(delimiter));
	uint64_t low = _mm512_cmple_epu8_mask(x, _mm512_set1_epi8('\r'));

	return (struct rn_csv_masks){ ends, lf, low & ~ends, _mm512_movepi8_mask(x) };
}

/* Sixteen bytes as positions from base on. */
AVX512 static inline void store_avx512(uint32_t *to, __m512i base, __m512i at)
{
	__m512i wide = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(at));

	_mm512_storeu_si512(to, _mm512_add_epi32(base, wide));
}

/* As PUT_BITS does: the numbers of the bits side by side, as bytes first. */
AVX512 static inline void put_avx512(struct index *x, uint64_t m, size_t base)
{
	static const uint8_t numbers[64] = {
		0,  1,	2,  3,	4,  5,	6,  7,	8,  9,	10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
		22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
		44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
	};
	__m512i at = _mm512_maskz_compress_epi8(m, _mm512_loadu_si512(numbers));
	__m512i from = _mm512_set1_epi32((int)base);
	unsigned count = (unsigned)__builtin_popcountll(m);
	uint32_t *to = x->out + x->n;

	store_avx512(to, from, at);
	x->n += count;
	while (count > AT_ONCE) {
		at = _mm512_alignr_epi64(at, at, 2);
		to += AT_ONCE;
		count -= AT_ONCE;
		store_avx512(to, from, at);
	}
}

AVX512 static void index_avx512(struct index *x)
{
	INDEX(x, masks_avx512, put_avx512);
}
#endif

static void index_step(struct index *x)
{
#ifdef HAVE_AVX
	if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2")) {
		index_avx512(x);
		return;
	}
	if (__builtin_cpu_supports("avx2")) {
		index_avx2(x);
		return;
	}
#endif
	index_plain(x);
}

int rn_csv_index(struct rn_csv_chunk *k, char delimiter, bool all, struct rn_err *e)
{
	struct index x = { .text = k->text, .from = k->from, .delimiter = delimiter, .all = all };

	while (x.from < k->len) {
		x.len = k->len - x.from < STEP ? k->len : x.from + STEP;
		RN_TRY(rn_grow(&k->marks, &k->marks_cap, 1 + x.n + STEP + AT_ONCE, sizeof *k->marks,
			       "positions", e));
		x.out = k->marks + 1;
		index_step(&x);
		x.from = x.len;
	}
	k->marks[0] = (uint32_t)k->from - 1;
	k->nmarks = x.n;
	k->lines = x.lines;
	k->high = x.high != 0;
	k->crlf = x.crlf;
	k->broken = x.broken;
	return 0;
}
