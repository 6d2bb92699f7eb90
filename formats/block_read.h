/* SPDX-License-Identifier: Apache-2.0
 *
 * Input with offsets, and one block of it to a relation.
 */
#ifndef RN_BLOCK_READ_H
#define RN_BLOCK_READ_H

#include "container.h"
#include "container_format.h"
#include "pool.h"

#include <zstd.h>

/* A window on the payload of the current frame.  Only bytes that belong to the
 * payload are asked for: a pipe may hold no more until its writer goes on. */
struct rn_input {
	struct rn_io *io;
	uint64_t offset;  /* of the next byte that io gives */
	const uint8_t *w; /* window: w + from … w + len */
	size_t from, len, cap;
	uint8_t *p;       /* its memory, if io has none; the owner of the input frees it */
	uint64_t left;    /* bytes of the payload that io has still to give */
	bool exact;       /* to read is to copy: never more than is asked for */
	bool anywhere;    /* io is read at `offset`, wherever others read it */
};

/* RN_EDATA "'NAME': malformed at offset N: …". */
RN_MUST_CHECK int rn_input_bad(const struct rn_input *in, uint64_t offset, struct rn_err *e,
			       const char *fmt, ...) RN_PRINTF(4, 5);
/* Exactly n bytes to p, past the window, or RN_EDATA "truncated at offset …". */
RN_MUST_CHECK int rn_input_read(struct rn_input *in, void *p, size_t n, struct rn_err *e);
/* Is that all that there is? */
RN_MUST_CHECK int rn_input_ended(struct rn_input *in, bool *ended, struct rn_err *e);
/* Begin a payload of n bytes; then n bytes of it at *p (valid until the next
 * call), with the memory growing only as data arrives. */
void rn_input_payload(struct rn_input *in, uint64_t n);
RN_MUST_CHECK int rn_input_take(struct rn_input *in, uint64_t n, const uint8_t **p,
				struct rn_err *e);
/* The next n bytes of it to `to`, without passing the window where they are not there. */
RN_MUST_CHECK int rn_input_copy(struct rn_input *in, size_t n, void *to, struct rn_err *e);
/* All of the payload into the window: what is taken from then on needs no io. */
RN_MUST_CHECK int rn_input_load(struct rn_input *in, struct rn_err *e);
/* The payload becomes that of `part`, whose memory is kept, and `in` is behind it.  Where io is
 * in memory or read anywhere part may then be loaded while `in` is read. */
RN_MUST_CHECK int rn_input_split(struct rn_input *in, struct rn_input *part, struct rn_err *e);
/* Offset in the stream of the first byte not yet taken. */
uint64_t rn_input_offset(const struct rn_input *in);

/* Decodes one block after another; what it holds in between is scratch. */
struct rn_block_reader {
	/* Of the memory of values: each thread has its own, as what it wrote before is in its
	 * cache.  It keeps pool_bytes that nobody uses. */
	struct rn_pool *pool;
	size_t pool_bytes;
	ZSTD_DCtx *zstd;
	struct rn_chunk *chunks;
	size_t nchunks, next, chunks_cap;
	uint64_t table;    /* offset of the chunk table */
	uint64_t at;       /* offset of the chunk being decoded */
	uint64_t raw_left; /* of what the frame header announced */
	uint32_t rows;
	bool unsummed;     /* the chunks of this block have no checksums */
	struct rn_bytes plain, ints, codes;
	uint32_t *encodings; /* how many chunks of each: counted up */
};

/* The block that frame f announces, whose payload begins at `in`; the chunks of each
 * encoding are counted up in encodings[RN_NENC]. */
RN_MUST_CHECK int rn_block_decode(struct rn_block_reader *b, struct rn_input *in,
				  const struct rn_frame *f, const struct rn_schema *s,
				  uint32_t *encodings, struct rn_rel **out, struct rn_err *e);
void rn_block_reader_fini(struct rn_block_reader *b);

#endif
