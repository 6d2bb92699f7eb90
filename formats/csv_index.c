/* SPDX-License-Identifier: Apache-2.0
 *
 * Positions of the bytes that matter.  Where the processor has AVX2, in registers of 32
 * bytes and with its bit instructions; the positions are the same.
 */
#include "csv_scan.h"

#include "csv_masks.h"

#include <string.h>
#if defined __x86_64__ && defined __SSE2__
#include <immintrin.h>
#define HAVE_AVX2 1
#endif

enum { STEP = 8192 }; /* bytes for which there is room at once */

struct index {
	const char *text;
	size_t from, len;
	uint32_t *out; /* room for a position per byte, and 8 more */
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

#define INDEX(x, masks)                                                                            \
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
			PUT_BITS(x, ends_, at_);                                                   \
		}                                                                                  \
	} while (0)

static void index_plain(struct index *x)
{
	INDEX(x, rn_csv_masks_64);
}

#ifdef HAVE_AVX2
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
	INDEX(x, masks_avx2);
}
#endif

static void index_step(struct index *x)
{
#ifdef HAVE_AVX2
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
		RN_TRY(rn_grow(&k->marks, &k->marks_cap, 1 + x.n + STEP + 8, sizeof *k->marks,
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
