/* SPDX-License-Identifier: Apache-2.0
 *
 * One block: a relation of at most 65,536 rows to chunks.  What is encoded lies
 * in `enc`, behind room for the frame header and the chunk table; large vectors
 * that need no encoding are not copied but listed as pieces.
 */
#ifndef RN_BLOCK_WRITE_H
#define RN_BLOCK_WRITE_H

#include "container_format.h"

#include <zstd.h>

/* Borrowed bytes that belong before enc.p + at. */
struct rn_piece {
	const void *p;
	size_t n, at;
};

/* What one thread needs to encode, kept from block to block. */
struct rn_block_scratch {
	ZSTD_CCtx *zstd;
	struct rn_bytes tmp, ints, words, copy;
};

struct rn_block {
	int level;    /* of zstd; 0: no codec */
	bool unsummed; /* the chunks get no checksums: nothing can go wrong on their way */
	struct rn_block_scratch *scratch; /* borrowed, while it is encoded */
	struct rn_bytes enc;
	size_t front; /* enc: frame header and chunk table end here, chunks begin */
	struct rn_piece *pieces;
	size_t npieces, pieces_cap;
	struct rn_chunk *chunks;
	size_t nchunks, chunks_cap;
	struct rn_tensor **flat; /* parts whose maps were undone: they own pieces */
	size_t nflat, flat_cap;
	uint64_t raw;    /* bytes of the values in memory */
	uint64_t length; /* bytes of the payload */
};

/* Encode r.  Then enc, pieces, chunks, raw and length describe the payload until
 * rn_block_clear; the pieces need r until then. */
RN_MUST_CHECK int rn_block_encode(struct rn_block *b, struct rn_block_scratch *scratch,
				  const struct rn_rel *r, struct rn_err *e);
/* Give the chunks of an unsummed block their checksums after all. */
void rn_block_sum(struct rn_block *b);
void rn_block_clear(struct rn_block *b);
void rn_block_fini(struct rn_block *b);
void rn_block_scratch_fini(struct rn_block_scratch *s);

/* Bytes that rows from … from + n-1 of r take in memory as a block (no NULL flags). */
uint64_t rn_block_raw(const struct rn_rel *r, uint64_t from, uint64_t n);
/* The bytes of it that each row takes, whatever its values are. */
uint64_t rn_block_least_raw(const struct rn_schema *s);

#endif
