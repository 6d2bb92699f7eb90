/* SPDX-License-Identifier: Apache-2.0
 *
 * The layout of rn_er(5) in C, shared by writer and reader.  Structures here are
 * the decoded form; rn_*_put and rn_*_get are the only code that knows offsets.
 */
#ifndef RN_CONTAINER_FORMAT_H
#define RN_CONTAINER_FORMAT_H

#include "../lib/rel/rel.h"
#include "encoding.h"

#define RN_ER_MAGIC "\xAB" "RNE\r\n\x1A\n"

enum {
	RN_ER_ALIGN = 64,
	RN_ER_FIXED = 64, /* bytes of the fixed header, a frame header and a table entry */
	RN_ER_MAJOR = 1,
	RN_ER_MINOR = 0,

	RN_ER_MAX_HEADER = 64 << 20,
	RN_ER_MAX_SCHEMA = 16 << 20,
	RN_ER_MAX_MESSAGE = 64 << 10,
	RN_ER_MAX_COLS = 65536,
	RN_ER_MAX_PARTS = 65536,
	RN_ER_MAX_WIDTH = 1 << 28, /* values of a row in one part */
	RN_ER_MAX_ROWS = 65536,    /* in a block */
	RN_ER_MAX_RAW = 1 << 30,   /* bytes of a block in memory */
	RN_ER_MAX_SECTIONS = 1 << 20,
};

enum rn_frame_type {
	RN_FRAME_OFFER = 'O' | 'F' << 8 | 'F' << 16 | 'R' << 24,
	RN_FRAME_SECTION = 'S' | 'E' << 8 | 'C' << 16 | 'T' << 24,
	RN_FRAME_BLOCK = 'B' | 'L' << 8 | 'C' << 16 | 'K' << 24,
	RN_FRAME_END = 'E' | 'N' << 8 | 'D' << 16 | '_' << 24,
	RN_FRAME_ABORT = 'A' | 'B' << 8 | 'R' << 16 | 'T' << 24,
};

enum { RN_FLAG_SHARED = 1 }; /* of a block: the payload lies in shared memory (shm.h) */

struct rn_frame {
	uint32_t type, flags;
	uint64_t length, raw;
	uint32_t rows, chunks, section, block;
	uint64_t offset, payload_sum;
};

static inline uint64_t rn_er_pad(uint64_t n)
{
	return (n + RN_ER_ALIGN - 1) & ~(uint64_t)(RN_ER_ALIGN - 1);
}

/* All into and from 64 bytes.  _put adds the sum at byte 56; rn_sum_good checks it. */
void rn_er_header_put(uint32_t length, uint64_t text_sum, uint8_t *p);
void rn_frame_put(const struct rn_frame *f, uint8_t *p);
void rn_frame_get(const uint8_t *p, struct rn_frame *f);
void rn_chunk_put(const struct rn_chunk *c, uint8_t *p);
/* false: a reserved field is not zero, or a number is out of its range. */
bool rn_chunk_get(const uint8_t *p, struct rn_chunk *c);
/* Where in shared memory a payload begins. */
void rn_place_put(uint64_t at, uint8_t *p);
bool rn_sum_good(const uint8_t *p);

uint16_t rn_get16(const uint8_t *p);
uint32_t rn_get32(const uint8_t *p);
uint64_t rn_get64(const uint8_t *p);
void rn_put64(uint8_t *p, uint64_t v);

bool rn_all_zero(const uint8_t *p, size_t n);

/* Schema to JSON (RN_EUSAGE for names that are not UTF-8, or too much of it), and
 * back (RN_EDATA; the message says what is wrong with the schema, not where). */
RN_MUST_CHECK int rn_schema_to_json(const struct rn_schema *s, struct rn_str *out,
				    struct rn_err *e);
RN_MUST_CHECK int rn_schema_from_json(const char *text, size_t n, struct rn_schema *out,
				      struct rn_err *e);

#endif
