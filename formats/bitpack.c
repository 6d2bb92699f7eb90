/* SPDX-License-Identifier: Apache-2.0
 *
 * Bit packing.  Eight values of w bits are w whole bytes, so a group of eight
 * has constant byte offsets and shifts once w is a constant: the loops below
 * are compiled for each width.  A group reads and writes whole words, up to
 * eight bytes past its end; the last ones therefore go through a buffer.
 */
#include "bitpack.h"

#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the stream is little-endian");

enum { GROUP = 8, GROUP_BYTES = 64 + 16 };

ALWAYS_INLINE uint64_t load64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

ALWAYS_INLINE uint64_t get_one(const uint8_t *p, unsigned j, unsigned w)
{
	unsigned bit = j * w, shift = bit & 7;
	uint64_t x = load64(p + (bit >> 3)) >> shift;

	if (shift + w > 64)
		x |= (uint64_t)p[(bit >> 3) + 8] << (64 - shift);
	return w == 64 ? x : x & ((1ull << w) - 1);
}

ALWAYS_INLINE void get_group(const uint8_t *p, uint64_t base, unsigned w, uint64_t *v)
{
	v[0] = base + get_one(p, 0, w);
	v[1] = base + get_one(p, 1, w);
	v[2] = base + get_one(p, 2, w);
	v[3] = base + get_one(p, 3, w);
	v[4] = base + get_one(p, 4, w);
	v[5] = base + get_one(p, 5, w);
	v[6] = base + get_one(p, 6, w);
	v[7] = base + get_one(p, 7, w);
}

/* Value j into the word at bit j*w; full words are stored as they fill. */
ALWAYS_INLINE uint64_t put_one(uint8_t *p, uint64_t word, uint64_t x, unsigned j, unsigned w)
{
	unsigned bit = j * w, shift = bit & 63;

	word |= x << shift;
	if (shift + w < 64)
		return word;
	memcpy(p + bit / 64 * 8, &word, sizeof word);
	return shift + w == 64 ? 0 : x >> (64 - shift);
}

ALWAYS_INLINE void put_group(uint8_t *p, uint64_t base, unsigned w, const uint64_t *v)
{
	uint64_t word = 0;

	word = put_one(p, word, v[0] - base, 0, w);
	word = put_one(p, word, v[1] - base, 1, w);
	word = put_one(p, word, v[2] - base, 2, w);
	word = put_one(p, word, v[3] - base, 3, w);
	word = put_one(p, word, v[4] - base, 4, w);
	word = put_one(p, word, v[5] - base, 5, w);
	word = put_one(p, word, v[6] - base, 6, w);
	word = put_one(p, word, v[7] - base, 7, w);
	if (w % 8)
		memcpy(p + w / 8 * 8, &word, sizeof word);
}

#define FOR_EACH_WIDTH(X)                                                                         \
	X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)    \
	X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) \
	X(32) X(33) X(34) X(35) X(36) X(37) X(38) X(39) X(40) X(41) X(42) X(43) X(44) X(45) X(46) \
	X(47) X(48) X(49) X(50) X(51) X(52) X(53) X(54) X(55) X(56) X(57) X(58) X(59) X(60) X(61) \
	X(62) X(63) X(64)

#define DEFINE(w)                                                                                 \
	static void unpack_##w(const uint8_t *p, uint64_t groups, uint64_t base, uint64_t *v)     \
	{                                                                                         \
		for (uint64_t g = 0; g < groups; g++)                                             \
			get_group(p + g * w, base, w, v + g * GROUP);                             \
	}                                                                                         \
	static void pack_##w(uint8_t *p, uint64_t groups, uint64_t base, const uint64_t *v)       \
	{                                                                                         \
		for (uint64_t g = 0; g < groups; g++)                                             \
			put_group(p + g * w, base, w, v + g * GROUP);                             \
	}
FOR_EACH_WIDTH(DEFINE)

typedef void unpack_fn(const uint8_t *p, uint64_t groups, uint64_t base, uint64_t *v);
typedef void pack_fn(uint8_t *p, uint64_t groups, uint64_t base, const uint64_t *v);

#define UNPACK_ROW(w) [w] = unpack_##w,
#define PACK_ROW(w)   [w] = pack_##w,
static unpack_fn *const unpackers[65] = { FOR_EACH_WIDTH(UNPACK_ROW) };
static pack_fn *const packers[65] = { FOR_EACH_WIDTH(PACK_ROW) };

void rn_pack(const uint64_t *v, uint64_t n, uint64_t base, unsigned w, uint8_t *dst)
{
	size_t total = rn_packed_bytes(n, w), words = (w + 7) / 8 * 8, end, used;
	uint64_t groups;

	if (!w || !n)
		return;
	/* Full groups whose whole words lie within dst. */
	groups = total >= words ? (total - words) / w + 1 : 0;
	groups = groups < n / GROUP ? groups : n / GROUP;
	packers[w](dst, groups, base, v);
	for (used = groups * w; used < total; used = end, groups++) {
		uint8_t bytes[GROUP_BYTES] = { 0 };
		uint64_t last[GROUP];

		for (unsigned j = 0; j < GROUP; j++)
			last[j] = groups * GROUP + j < n ? v[groups * GROUP + j] : base;
		packers[w](bytes, 1, base, last);
		end = used + w < total ? used + w : total;
		memcpy(dst + used, bytes, end - used);
	}
}

void rn_unpack(const uint8_t *src, uint64_t from, uint64_t n, uint64_t base, unsigned w,
	       uint64_t *v)
{
	size_t avail = (n * w + 7) / 8, reach = w + 8, at;
	uint64_t groups;

	if (!w) {
		for (uint64_t i = 0; i < n; i++)
			v[i] = base;
		return;
	}
	src += from / GROUP * w;
	/* Groups that read nothing past the last value. */
	groups = avail >= reach ? (avail - reach) / w + 1 : 0;
	unpackers[w](src, groups, base, v);
	for (; groups * GROUP < n; groups++) {
		uint64_t rest = n - groups * GROUP < GROUP ? n - groups * GROUP : GROUP;
		uint8_t bytes[GROUP_BYTES] = { 0 };
		uint64_t last[GROUP];

		at = groups * w;
		memcpy(bytes, src + at, avail - at < w ? avail - at : w);
		unpackers[w](bytes, 1, base, last);
		memcpy(v + groups * GROUP, last, rest * sizeof *v);
	}
}

void rn_pack_bits(const uint8_t *v, uint64_t n, uint8_t *dst)
{
	uint64_t i = 0;

	memset(dst + n / 64 * 8, 0, n % 64 ? 8 : 0);
	for (; i + 8 <= n; i += 8) /* byte k moves to bit 56 + k */
		dst[i / 8] = (uint8_t)((load64(v + i) * 0x0102040810204080ull) >> 56);
	for (; i < n; i++)
		dst[i / 8] |= (uint8_t)(v[i] << (i % 8));
}

void rn_unpack_bits(const uint8_t *src, uint64_t n, uint8_t *v)
{
	uint64_t i = 0;

	for (; i + 8 <= n; i += 8) {
		/* Bit k stays in byte k alone, and carries into that byte's top bit. */
		uint64_t x = (src[i / 8] * 0x0101010101010101ull) & 0x8040201008040201ull;

		x = ((x + 0x00406070787C7E7Full) >> 7) & 0x0101010101010101ull;
		memcpy(v + i, &x, 8);
	}
	for (; i < n; i++)
		v[i] = src[i / 8] >> (i % 8) & 1;
}

bool rn_packed_tail_zero(const uint8_t *src, uint64_t n, unsigned w)
{
	uint64_t bits = n * w;
	uint64_t last;

	if (bits % 64 == 0)
		return true;
	last = load64(src + bits / 64 * 8);
	return last >> (bits % 64) == 0;
}
