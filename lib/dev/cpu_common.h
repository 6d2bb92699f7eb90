/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernels of both types share at one level of instruction set: how
 * work is cut into parts, and Philox over many counters at once.
 */
#ifndef RN_CPU_COMMON_H
#define RN_CPU_COMMON_H

#include "cpu.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Before a loop whose iterations do not depend on each other, in place or not. */
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Parts for `units` things that touch so many bytes (or cost as much) in all. */
static inline uint32_t parts_for(double bytes, uint64_t units)
{
	double n = bytes / PART_BYTES;
	uint64_t parts = n >= MAX_PARTS ? MAX_PARTS : (uint64_t)n + 1;

	return (uint32_t)(parts < units ? parts : units);
}

/* Units from … to-1 are those of a part. */
struct range {
	uint64_t from, to;
};

static inline struct range part_range(uint64_t units, uint32_t parts, uint32_t part)
{
	return (struct range){ units * part / parts, units * (part + 1) / parts };
}

/* Cut segments evenly: a segment weighs its terms and one more.  A part begins at the
 * first segment whose weights before it reach the part's share. */
static inline uint32_t first_segment(const uint32_t *ptr, uint32_t n, uint32_t parts, uint32_t part)
{
	uint64_t total = (uint64_t)(ptr[n] - ptr[0]) + n, share = total * part / parts;
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if ((uint64_t)(ptr[mid] - ptr[0]) + mid < share)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static inline struct range segment_range(const uint32_t *ptr, uint32_t n, uint32_t parts,
					 uint32_t part)
{
	return (struct range){ first_segment(ptr, n, parts, part),
			       part + 1 == parts ? n : first_segment(ptr, n, parts, part + 1) };
}

static inline const struct rn_val *out_of(const struct rn_kargs *a)
{
	return &a->prog->vals[a->inst->out];
}

static inline const struct rn_val *in_of(const struct rn_kargs *a, unsigned k)
{
	return a->inst->in[k].val == RN_NONE ? NULL : &a->prog->vals[a->inst->in[k].val];
}

/* ---- elementwise programs --------------------------------------------------------- */

/* What a function costs, in simple arithmetic operations on a vector. */
static inline uint32_t ew_cost(uint8_t fn)
{
	switch (fn) {
	case RN_EW_DROPMASK:
		return 24;
	case RN_EW_EXP:
	case RN_EW_LOG:
	case RN_EW_LOG1P:
	case RN_EW_TANH:
	case RN_EW_SIGMOID:
	case RN_EW_ERF:
		return 12;
	case RN_EW_POW:
		return 40;
	case RN_EW_DIV:
	case RN_EW_SQRT:
		return 4;
	default:
		return 1;
	}
}

/* Numbers in a part: a multiple of every block size. */
static inline uint64_t elem_part_size(const struct rn_elem *m)
{
	uint32_t cost = 2, blocks;

	for (uint32_t k = 0; k < m->nsteps; k++)
		cost += ew_cost(m->steps[k].fn);
	blocks = 256 / cost;
	return (uint64_t)(blocks ? blocks : 1) * 512;
}

static inline void single_step(const struct rn_inst *i, struct rn_elem *m)
{
	for (uint32_t k = 0; k < i->nin; k++)
		m->steps[k] = (struct rn_elem_step){ .fn = RN_EW_LOAD, .dst = (uint8_t)k,
						     .a = (uint8_t)k };
	m->steps[i->nin] = (struct rn_elem_step){ .fn = (uint8_t)i->fn, .dst = (uint8_t)i->nin,
						  .a = 0, .b = 1, .c = 2, .imm = i->imm };
	m->nsteps = m->nregs = i->nin + 1;
	m->result = i->nin;
}

/* ---- Philox4x32-10 on many counters at once -------------------------------------- */

/* Each lane of 64 bits holds a word of one counter in its low half; the high half is
 * whatever a product left there.  So a round is two multiplications of low halves, two
 * shifts and a few exclusive ors. */
#if defined __AVX512F__
enum { PHILOX_LANES = 8 };
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif defined __AVX2__
enum { PHILOX_LANES = 4 };
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#else
enum { PHILOX_LANES = 2 };
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 2)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif
typedef uint64_t lanes64 __attribute__((vector_size(8 * PHILOX_LANES)));
typedef uint32_t lanes32 __attribute__((vector_size(4 * PHILOX_LANES)));

static inline __attribute__((always_inline)) lanes64 mul_low(lanes64 a, uint32_t b)
{
#if defined __AVX512F__
	return (lanes64)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined __AVX2__
	return (lanes64)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif defined __SSE2__
	return (lanes64)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#else
	return (a & UINT32_MAX) * (uint64_t)b;
#endif
}

static inline __attribute__((always_inline)) lanes64 widen(const uint32_t *x)
{
	lanes32 v;

	memcpy(&v, x, sizeof v);
	return __builtin_convertvector(v, lanes64);
}

/* The key of each round, ready in every lane. */
struct round_keys {
	lanes64 k[10][2];
};

static inline struct round_keys round_keys(const uint32_t key[2])
{
	struct round_keys r;

	for (uint32_t i = 0; i < 10; i++) {
		r.k[i][0] = (lanes64){ 0 } + (key[0] + i * 0x9E3779B9u);
		r.k[i][1] = (lanes64){ 0 } + (key[1] + i * 0xBB67AE85u);
	}
	return r;
}

static inline __attribute__((always_inline)) void philox_lanes(lanes64 x[4],
							       const struct round_keys *keys)
{
	lanes64 x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];

#pragma GCC unroll 10
	for (int r = 0; r < 10; r++) {
		lanes64 p0 = mul_low(x0, 0xD2511F53u), p1 = mul_low(x2, 0xCD9E8D57u);

		x0 = (p1 >> 32) ^ x1 ^ keys->k[r][0];
		x1 = p1;
		x2 = (p0 >> 32) ^ x3 ^ keys->k[r][1];
		x3 = p0;
	}
	x[0] = x0;
	x[1] = x1;
	x[2] = x2;
	x[3] = x3;
}

enum { PHILOX_BATCH = 512 };

/* One word for each (row, column) pair, n <= PHILOX_BATCH; row NULL: row0, row0 + 1, … */
static inline void philox_sparse(uint32_t *out, const uint32_t key[2], uint32_t epoch,
				 const uint32_t *row, uint32_t row0, const uint32_t *col,
				 uint32_t n)
{
	uint32_t tail[2][PHILOX_LANES] = { 0 }, words[PHILOX_LANES];
	const struct round_keys keys = round_keys(key);

	for (uint32_t k = 0; k < n; k += PHILOX_LANES) {
		uint32_t left = n - k < PHILOX_LANES ? n - k : (uint32_t)PHILOX_LANES;
		const uint32_t *r = row ? row + k : NULL, *c = col + k;
		lanes64 x[4], j, odd, high;
		lanes32 v;

		if (left < PHILOX_LANES || !r) {
			for (uint32_t i = 0; i < left; i++) {
				tail[0][i] = r ? r[i] : row0 + k + i;
				tail[1][i] = c[i];
			}
			r = tail[0];
			c = tail[1];
		}
		j = widen(c);
		x[0] = widen(r);
		x[1] = (lanes64){ 0 };
		x[2] = j >> 2;
		x[3] = (lanes64){ 0 } + epoch;
		philox_lanes(x, &keys);
		odd = -(j & 1); /* all ones where set */
		high = -((j >> 1) & 1);
		x[0] ^= (x[0] ^ x[1]) & odd;
		x[2] ^= (x[2] ^ x[3]) & odd;
		x[0] ^= (x[0] ^ x[2]) & high;
		v = __builtin_convertvector(x[0], lanes32);
		memcpy(words, &v, sizeof v);
		memcpy(out + k, words, left * sizeof *out);
	}
}

/* Four words for each counter, side by side; arrays are read and written in whole vectors. */
static inline void philox_batch(uint32_t *out, const uint32_t key[2], uint32_t epoch,
				const uint32_t *row, const uint32_t *quad, uint32_t n)
{
	const struct round_keys keys = round_keys(key);

	for (uint32_t k = 0; k < n; k += PHILOX_LANES) {
		lanes64 x[4] = { widen(row + k), { 0 }, widen(quad + k), (lanes64){ 0 } + epoch };

		philox_lanes(x, &keys);
		x[0] = (x[0] & UINT32_MAX) | x[1] << 32;
		x[2] = (x[2] & UINT32_MAX) | x[3] << 32;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		x[0] = x[0] << 32 | x[0] >> 32;
		x[2] = x[2] << 32 | x[2] >> 32;
#endif
		x[1] = LOW_PAIRS(x[0], x[2]);
		x[3] = HIGH_PAIRS(x[0], x[2]);
		memcpy(out + 4 * k, &x[1], sizeof x[1]);
		memcpy(out + 4 * k + 2 * PHILOX_LANES, &x[3], sizeof x[3]);
	}
}

/* The counters of n consecutive numbers of a dense array, from (row, col) on, in order. */
static inline uint32_t list_counters(uint32_t *r, uint32_t *quad, const uint32_t *rows,
				     uint32_t row, uint32_t col, uint32_t width, uint32_t n)
{
	uint32_t count = 0;

	for (; n; row++, col = 0) {
		uint32_t run = width - col < n ? width - col : n, ordinal = rows ? rows[row] : row;
		uint32_t last = (col + run - 1) / 4;

		for (uint32_t q = col / 4; q <= last; q++, count++) {
			r[count] = ordinal;
			quad[count] = q;
		}
		n -= run;
	}
	return count;
}

/* The words of n <= PHILOX_BATCH consecutive numbers of a dense array of this width.
 * rows: ordinals, or NULL: the row itself.  `out` has room for PHILOX_BATCH words. */
static inline void philox_dense(uint32_t *out, const uint32_t key[2], uint32_t epoch,
				const uint32_t *rows, uint32_t row, uint32_t col, uint32_t width,
				uint32_t n)
{
	uint32_t r[PHILOX_BATCH + 8], quad[PHILOX_BATCH + 8], words[4 * (PHILOX_BATCH + 8)];
	uint32_t count = list_counters(r, quad, rows, row, col, width, n), c0 = 0;

	memset(r + count, 0, 8 * sizeof *r);
	memset(quad + count, 0, 8 * sizeof *quad);
	if (width % 4 == 0 && col % 4 == 0 && n % 4 == 0) { /* every word is used */
		philox_batch(out, key, epoch, r, quad, count);
		return;
	}
	philox_batch(words, key, epoch, r, quad, count);
	for (; n; col = 0) {
		uint32_t run = width - col < n ? width - col : n;

		memcpy(out, words + 4 * c0 + col % 4, run * sizeof *out);
		c0 += (col + run - 1) / 4 - col / 4 + 1;
		out += run;
		n -= run;
	}
}

#endif
