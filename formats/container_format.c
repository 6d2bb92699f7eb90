/* SPDX-License-Identifier: Apache-2.0 */
#include "container_format.h"

#include "container.h"
#include "hash.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the stream is little-endian");

static void put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof v);
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof v);
}

void rn_put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof v);
}

uint16_t rn_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

uint32_t rn_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

uint64_t rn_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

bool rn_all_zero(const uint8_t *p, size_t n)
{
	return !n || (!p[0] && memcmp(p, p + 1, n - 1) == 0);
}

static void put_sum(uint8_t *p)
{
	rn_put64(p + 56, rn_hash64(p, 56));
}

bool rn_sum_good(const uint8_t *p)
{
	return rn_get64(p + 56) == rn_hash64(p, 56);
}

bool rn_container_magic(const void *p, size_t n)
{
	return n >= 8 && memcmp(p, RN_ER_MAGIC, 8) == 0;
}

void rn_er_header_put(uint32_t length, uint64_t text_sum, uint8_t *p)
{
	memset(p, 0, RN_ER_FIXED);
	memcpy(p, RN_ER_MAGIC, 8);
	put16(p + 8, RN_ER_MAJOR);
	put16(p + 10, RN_ER_MINOR);
	put32(p + 20, length);
	rn_put64(p + 24, text_sum);
	put_sum(p);
}

void rn_frame_put(const struct rn_frame *f, uint8_t *p)
{
	put32(p, f->type);
	put32(p + 4, f->flags);
	rn_put64(p + 8, f->length);
	rn_put64(p + 16, f->raw);
	put32(p + 24, f->rows);
	put32(p + 28, f->chunks);
	put32(p + 32, f->section);
	put32(p + 36, f->block);
	rn_put64(p + 40, f->offset);
	rn_put64(p + 48, f->payload_sum);
	put_sum(p);
}

void rn_frame_get(const uint8_t *p, struct rn_frame *f)
{
	*f = (struct rn_frame){
		.type = rn_get32(p),
		.flags = rn_get32(p + 4),
		.length = rn_get64(p + 8),
		.raw = rn_get64(p + 16),
		.rows = rn_get32(p + 24),
		.chunks = rn_get32(p + 28),
		.section = rn_get32(p + 32),
		.block = rn_get32(p + 36),
		.offset = rn_get64(p + 40),
		.payload_sum = rn_get64(p + 48),
	};
}

void rn_place_put(uint64_t at, uint8_t *p)
{
	memset(p, 0, RN_ER_FIXED);
	rn_put64(p, at);
	put_sum(p);
}

void rn_chunk_put(const struct rn_chunk *c, uint8_t *p)
{
	memset(p, 0, RN_ER_FIXED);
	p[0] = c->role;
	p[1] = c->encoding;
	p[2] = c->codec;
	p[3] = c->width;
	rn_put64(p + 8, c->count);
	rn_put64(p + 16, c->stored);
	rn_put64(p + 24, c->encoded);
	rn_put64(p + 32, c->base);
	rn_put64(p + 40, c->first);
	rn_put64(p + 56, c->sum);
}

bool rn_chunk_get(const uint8_t *p, struct rn_chunk *c)
{
	*c = (struct rn_chunk){
		.role = p[0],
		.encoding = p[1],
		.codec = p[2],
		.width = p[3],
		.count = rn_get64(p + 8),
		.stored = rn_get64(p + 16),
		.encoded = rn_get64(p + 24),
		.base = rn_get64(p + 32),
		.first = rn_get64(p + 40),
		.sum = rn_get64(p + 56),
	};
	return rn_all_zero(p + 4, 4) && rn_all_zero(p + 48, 8) && c->role < RN_NROLES &&
	       c->encoding < RN_NENC && c->codec < RN_NCODEC;
}

const char *rn_encoding_name(unsigned encoding)
{
	static const char *const names[] = {
		[RN_ENC_PLAIN] = "plain", [RN_ENC_CONSTANT] = "constant", [RN_ENC_FOR] = "for",
		[RN_ENC_DELTA] = "delta", [RN_ENC_SHUFFLE] = "shuffle",   [RN_ENC_DICT] = "dict",
	};
	_Static_assert(sizeof names / sizeof *names == RN_NENC, "one name per encoding");

	return encoding < RN_NENC ? names[encoding] : NULL;
}
