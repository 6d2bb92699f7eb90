/* SPDX-License-Identifier: Apache-2.0
 *
 * Encodings.  Integers are always packed: reading and writing the few bits is
 * cheaper than copying the many (25 GB/s of int64 in and out on one core of an
 * EPYC 9xx4).  Floats are copied, or byte-shuffled in front of a codec.
 */
#include "encoding.h"

#include "bitpack.h"
#include "encoding_avx2.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int rn_bytes_reserve(struct rn_bytes *b, size_t n, struct rn_err *e)
{
	size_t need;

	if (!rn_add_size(b->len, n, &need))
		return rn_err_nomem(e, SIZE_MAX, "a block");
	return rn_grow(&b->p, &b->cap, need ? need : 1, 1, "a block", e);
}

/* ---- integers ---------------------------------------------------------------- */

/* Has this processor what encoding_avx2.c needs? */
static inline bool has_avx2(void)
{
#ifdef RN_ENCODING_AVX2
	return __builtin_cpu_supports("avx2");
#else
	return false;
#endif
}

static struct rn_int_range int_range(const int64_t *v, uint64_t n)
{
	struct rn_int_range r = { v[0], v[0], INT64_MAX, INT64_MIN };
	uint64_t i = 1;

#ifdef RN_ENCODING_AVX2
	if (has_avx2())
		i = rn_int_range_avx2(v, n, &r);
#endif
	for (; i < n; i++) {
		int64_t d = (int64_t)((uint64_t)v[i] - (uint64_t)v[i - 1]);

		r.min = v[i] < r.min ? v[i] : r.min;
		r.max = v[i] > r.max ? v[i] : r.max;
		r.dmin = d < r.dmin ? d : r.dmin;
		r.dmax = d > r.dmax ? d : r.dmax;
	}
	return r;
}

void rn_int_choose(const int64_t *v, uint64_t n, struct rn_chunk *c)
{
	struct rn_int_range r;
	unsigned w, dw;

	c->count = n;
	c->encoding = RN_ENC_FOR;
	if (!n)
		return;
	r = int_range(v, n);
	if (r.min == r.max) {
		c->encoding = RN_ENC_CONSTANT;
		c->base = (uint64_t)r.min;
		return;
	}
	w = rn_bits((uint64_t)r.max - (uint64_t)r.min);
	dw = rn_bits((uint64_t)r.dmax - (uint64_t)r.dmin);
	c->width = (uint8_t)w;
	c->base = (uint64_t)r.min;
	c->encoded = rn_packed_bytes(n, w);
	if (rn_packed_bytes(n - 1, dw) < c->encoded) {
		c->encoding = RN_ENC_DELTA;
		c->width = (uint8_t)dw;
		c->base = (uint64_t)r.dmin;
		c->first = (uint64_t)v[0];
		c->encoded = rn_packed_bytes(n - 1, dw);
	}
}

enum { STEP = 1024 }; /* values that stay in the first-level cache; a multiple of 8 */

static void delta_encode(const uint64_t *v, const struct rn_chunk *c, uint8_t *dst)
{
	uint64_t d[STEP];

	for (uint64_t at = 1; at < c->count; at += STEP) {
		uint64_t n = c->count - at < STEP ? c->count - at : STEP;

		for (uint64_t i = 0; i < n; i++)
			d[i] = v[at + i] - v[at + i - 1];
		rn_pack(d, n, c->base, c->width, dst + (at - 1) / 8 * c->width);
	}
}

void rn_int_encode(const int64_t *v, const struct rn_chunk *c, uint8_t *dst)
{
	if (c->encoding == RN_ENC_DELTA)
		delta_encode((const uint64_t *)v, c, dst);
	else if (c->encoding != RN_ENC_CONSTANT)
		rn_pack((const uint64_t *)v, c->count, c->base, c->width, dst);
}

const char *rn_int_decode(const struct rn_chunk *c, const uint8_t *src, int64_t *out)
{
	uint64_t *v = (uint64_t *)out, last = c->first;

	if (c->encoding == RN_ENC_CONSTANT) {
		for (uint64_t i = 0; i < c->count; i++)
			v[i] = c->base;
		return NULL;
	}
	if (c->encoding != RN_ENC_DELTA) {
		if (!rn_packed_tail_zero(src, c->count, c->width))
			return "bits after the last value are not zero";
		rn_unpack(src, 0, c->count, c->base, c->width, v);
		return NULL;
	}
	if (!rn_packed_tail_zero(src, c->count - 1, c->width))
		return "bits after the last value are not zero";
	v[0] = c->first;
	for (uint64_t at = 1; at < c->count; at += STEP) {
		uint64_t n = c->count - at < STEP ? c->count - at : STEP;

		rn_unpack(src, at - 1, n, c->base, c->width, v + at);
		for (uint64_t i = 0; i < n; i++)
			v[at + i] = last += v[at + i];
	}
	return NULL;
}

/* ---- bools ------------------------------------------------------------------- */

void rn_bool_choose(const uint8_t *v, uint64_t n, struct rn_chunk *c)
{
	c->count = n;
	c->encoding = RN_ENC_FOR;
	if (!n)
		return;
	if (memcmp(v, v + 1, n - 1) == 0) {
		c->encoding = RN_ENC_CONSTANT;
		c->base = v[0];
		return;
	}
	c->width = 1;
	c->encoded = rn_packed_bytes(n, 1);
}

void rn_bool_encode(const uint8_t *v, const struct rn_chunk *c, uint8_t *dst)
{
	if (c->encoding != RN_ENC_CONSTANT && c->width)
		rn_pack_bits(v, c->count, dst);
}

const char *rn_bool_decode(const struct rn_chunk *c, const uint8_t *src, uint8_t *v)
{
	if (c->encoding == RN_ENC_CONSTANT || !c->width) {
		memset(v, (int)c->base, c->count);
		return NULL;
	}
	if (!rn_packed_tail_zero(src, c->count, 1))
		return "bits after the last value are not zero";
	rn_unpack_bits(src, c->count, v);
	return NULL;
}

/* ---- floats ------------------------------------------------------------------ */

void rn_float_choose(const void *v, uint64_t n, unsigned size, struct rn_chunk *c)
{
	c->count = n;
	c->encoding = RN_ENC_PLAIN;
	c->encoded = n * size;
	if (n && memcmp(v, (const char *)v + size, (n - 1) * size) == 0) {
		c->encoding = RN_ENC_CONSTANT;
		c->encoded = 0;
		memcpy(&c->base, v, size);
	}
}

/* Transpose an 8 by 8 matrix of bytes: 2x2, 4x4 and 8x8 blocks in turn. */
static inline void transpose8(uint64_t r[8])
{
	uint64_t t;

#define EXCHANGE(a, b, shift, mask)                        \
	do {                                               \
		t = ((r[a] >> (shift)) ^ r[b]) & (mask);   \
		r[b] ^= t;                                 \
		r[a] ^= t << (shift);                      \
	} while (0)
	for (int i = 0; i < 8; i += 2)
		EXCHANGE(i, i + 1, 8, 0x00FF00FF00FF00FFull);
	for (int i = 0; i < 8; i += 4) {
		EXCHANGE(i, i + 2, 16, 0x0000FFFF0000FFFFull);
		EXCHANGE(i + 1, i + 3, 16, 0x0000FFFF0000FFFFull);
	}
	for (int i = 0; i < 4; i++)
		EXCHANGE(i, i + 4, 32, 0x00000000FFFFFFFFull);
#undef EXCHANGE
}

/* Eight values as a matrix whose row k is the bytes k of them. */
static inline void load_rows(const uint8_t *p, unsigned size, uint64_t r[8])
{
	for (unsigned i = 0; i < 8; i++) {
		r[i] = 0;
		memcpy(&r[i], p + i * size, size);
	}
	transpose8(r);
}

void rn_shuffle(const void *v, uint64_t n, unsigned size, uint8_t *dst)
{
	const uint8_t *p = v;
	uint64_t r[8], i = 0;

#ifdef RN_ENCODING_AVX2
	if (has_avx2())
		i = rn_shuffle_avx2(v, n, size, dst);
#endif
	for (; i + 8 <= n; i += 8) {
		load_rows(p + i * size, size, r);
		for (unsigned k = 0; k < size; k++)
			memcpy(dst + k * n + i, &r[k], 8);
	}
	for (; i < n; i++)
		for (unsigned k = 0; k < size; k++)
			dst[k * n + i] = p[i * size + k];
}

void rn_unshuffle(const uint8_t *src, uint64_t n, unsigned size, void *v)
{
	uint8_t *p = v;
	uint64_t i = 0;

#ifdef RN_ENCODING_AVX2
	if (has_avx2())
		i = rn_unshuffle_avx2(src, n, size, v);
#endif
	for (; i + 8 <= n; i += 8) {
		uint64_t r[8] = { 0 };

		for (unsigned k = 0; k < size; k++)
			memcpy(&r[k], src + k * n + i, 8);
		transpose8(r);
		for (unsigned k = 0; k < 8; k++)
			memcpy(p + (i + k) * size, &r[k], size);
	}
	for (; i < n; i++)
		for (unsigned k = 0; k < size; k++)
			p[i * size + k] = src[k * n + i];
}

static void float_decode(const struct rn_chunk *c, const uint8_t *src, unsigned size, void *v)
{
	uint8_t *p = v;

	if (c->encoding == RN_ENC_CONSTANT)
		for (uint64_t i = 0; i < c->count; i++)
			memcpy(p + i * size, &c->base, size);
	else if (c->encoding == RN_ENC_SHUFFLE)
		rn_unshuffle(src, c->count, size, v);
	else if (c->count)
		memcpy(v, src, c->count * size);
}

bool rn_f64_has_nan(const double *v, uint64_t n)
{
	bool nan = false;
	uint64_t i = 0;

#ifdef RN_ENCODING_AVX2
	if (has_avx2())
		i = rn_f64_nan_avx2(v, n, &nan);
#endif
	for (; i < n; i++)
		nan |= isnan(v[i]);
	return nan;
}

const char *rn_f64_decode(const struct rn_chunk *c, const uint8_t *src, double *v)
{
	bool nan = false;
	uint64_t i = 0;

	float_decode(c, src, 8, v);
#ifdef RN_ENCODING_AVX2
	if (has_avx2())
		i = rn_f64_clean_avx2(v, c->count, &nan);
#endif
	for (; i < c->count; i++) {
		nan |= isnan(v[i]);
		v[i] += 0.0; /* -0.0 becomes 0.0 */
	}
	return nan ? "a float64 value is NaN" : NULL;
}

const char *rn_f32_decode(const struct rn_chunk *c, const uint8_t *src, float *v)
{
	float_decode(c, src, 4, v);
	return NULL;
}

/* ---- descriptions ------------------------------------------------------------ */

static const char *check_packed(const struct rn_chunk *c, uint64_t count, unsigned top)
{
	if (c->width > top)
		return "packed values are too wide";
	if (c->encoded != rn_packed_bytes(count, c->width))
		return "the length does not fit the packed values";
	return NULL;
}

static bool is_int(const struct rn_chunk *c, unsigned size)
{
	return (c->role == RN_ROLE_VALUES && !size) || c->role == RN_ROLE_LENGTHS ||
	       c->role == RN_ROLE_COUNTS || c->role == RN_ROLE_COLS;
}

const char *rn_chunk_check(const struct rn_chunk *c, unsigned size)
{
	bool bits = c->role == RN_ROLE_NULLS || (c->role == RN_ROLE_VALUES && size == 1);
	bool floats = c->role == RN_ROLE_VALUES && size >= 4;
	bool unused = c->width || c->base || c->first;

	switch (c->encoding) {
	case RN_ENC_PLAIN:
	case RN_ENC_SHUFFLE:
		if (!floats && (c->role != RN_ROLE_BYTES || c->encoding == RN_ENC_SHUFFLE))
			break;
		if (unused)
			return "an unused field is not zero";
		return c->encoded == c->count * (floats ? size : 1) ?
			       NULL : "the length does not fit the values";
	case RN_ENC_CONSTANT:
		if (c->role == RN_ROLE_CODES || c->role == RN_ROLE_BYTES || !c->count)
			break;
		if (c->width || c->first || c->encoded)
			return "an unused field is not zero";
		if ((bits && c->base > 1) || (size == 4 && c->base > UINT32_MAX))
			return "the constant is out of range";
		return NULL;
	case RN_ENC_FOR:
		if (!bits && !is_int(c, size))
			break;
		if (c->first || (bits && c->base))
			return "an unused field is not zero";
		return check_packed(c, c->count, bits ? 1 : 64);
	case RN_ENC_DELTA:
		if (!is_int(c, size) || !c->count)
			break;
		return check_packed(c, c->count - 1, 64);
	case RN_ENC_DICT:
		if (c->role != RN_ROLE_CODES)
			break;
		if (c->base || c->first)
			return "an unused field is not zero";
		return check_packed(c, c->count, 32);
	}
	return "the encoding does not fit the values";
}
