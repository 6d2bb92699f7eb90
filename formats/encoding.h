/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks: one vector of values of a block as bytes, by the encodings of
 * rn_er(5).  Encoders choose by exact size; decoders check everything that the
 * values themselves can get wrong and return what is wrong as text, NULL if
 * nothing is (the caller knows the offset).
 */
#ifndef RN_ENCODING_H
#define RN_ENCODING_H

#include "../lib/base/mem.h"

enum rn_encoding {
	RN_ENC_PLAIN,
	RN_ENC_CONSTANT,
	RN_ENC_FOR,
	RN_ENC_DELTA,
	RN_ENC_SHUFFLE,
	RN_ENC_DICT,
	RN_NENC
};

enum rn_codec { RN_CODEC_NONE, RN_CODEC_ZSTD, RN_NCODEC };

enum rn_role {
	RN_ROLE_NULLS,
	RN_ROLE_VALUES,
	RN_ROLE_CODES,
	RN_ROLE_LENGTHS,
	RN_ROLE_BYTES,
	RN_ROLE_COUNTS,
	RN_ROLE_COLS,
	RN_NROLES
};

/* An entry of the chunk table, decoded. */
struct rn_chunk {
	uint8_t role, encoding, codec, width;
	uint64_t count, stored, encoded, base, first, sum;
};

/* Bytes that grow. */
struct rn_bytes {
	uint8_t *p;
	size_t len, cap;
};

/* Room for n more bytes at p + len. */
RN_MUST_CHECK int rn_bytes_reserve(struct rn_bytes *b, size_t n, struct rn_err *e);

/* Describe v in c (encoding, width, count, encoded, base, first); then write
 * c->encoded bytes to dst. */
void rn_int_choose(const int64_t *v, uint64_t n, struct rn_chunk *c);
void rn_int_encode(const int64_t *v, const struct rn_chunk *c, uint8_t *dst);

/* Bytes of 0 and 1. */
void rn_bool_choose(const uint8_t *v, uint64_t n, struct rn_chunk *c);
void rn_bool_encode(const uint8_t *v, const struct rn_chunk *c, uint8_t *dst);

/* Floats of `size` (4 or 8) bytes: constant or plain. */
void rn_float_choose(const void *v, uint64_t n, unsigned size, struct rn_chunk *c);
bool rn_f64_has_nan(const double *v, uint64_t n);
/* Byte shuffle: byte k of value i to dst[k*n + i], and back. */
void rn_shuffle(const void *v, uint64_t n, unsigned size, uint8_t *dst);
void rn_unshuffle(const uint8_t *src, uint64_t n, unsigned size, void *v);

/* Do encoding, width, base, first and the encoded length go together for
 * c->count values of this role?  `size` tells what VALUES are: 0 integers, 1
 * bools, 4 and 8 floats. */
RN_MUST_CHECK const char *rn_chunk_check(const struct rn_chunk *c, unsigned size);

/* Decode the c->encoded bytes of a chunk that rn_chunk_check found good. */
RN_MUST_CHECK const char *rn_int_decode(const struct rn_chunk *c, const uint8_t *src, int64_t *v);
RN_MUST_CHECK const char *rn_bool_decode(const struct rn_chunk *c, const uint8_t *src, uint8_t *v);
RN_MUST_CHECK const char *rn_f64_decode(const struct rn_chunk *c, const uint8_t *src, double *v);
RN_MUST_CHECK const char *rn_f32_decode(const struct rn_chunk *c, const uint8_t *src, float *v);

#endif
