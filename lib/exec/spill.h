/* SPDX-License-Identifier: Apache-2.0
 *
 * Temporary data on disk: blocks of relations in one file that has no name, under
 * $TMPDIR, else /var/tmp, else /tmp.  The file is made when the first block is
 * written; nothing of it is left when the process ends, however it ends.  A block is
 * encoded as in a stream without a codec, and can be read in any order.
 *
 * Threads: any number may write, read and drop blocks at once.
 */
#ifndef RN_SPILL_H
#define RN_SPILL_H

#include "../base/ctx.h"
#include "../rel/rel.h"

struct rn_spill;
RN_MUST_CHECK int rn_spill_new(const struct rn_ctx *c, struct rn_spill **out, struct rn_err *e);
void rn_spill_free(struct rn_spill *s); /* NULL is fine */
uint64_t rn_spill_bytes(const struct rn_spill *s); /* written so far, also what was dropped */
/* What the message of a disk that is full goes by.  Of a sole input so many rows were read,
 * which were `done` of its `total` bytes. */
void rn_spill_expect_rows(struct rn_spill *s, uint64_t rows, uint64_t done, uint64_t total);
/* Inputs are expected to be so many bytes in memory, together; `more` (which may be negative)
 * is added to what was said before. */
void rn_spill_expect(struct rn_spill *s, int64_t more);

/* Where a block lies in the file. */
struct rn_extent {
	uint64_t at, length;
	uint64_t raw, sum; /* of its frame */
	uint32_t rows, chunks;
};

/* Encoding and decoding keep memory from block to block: a thread that writes or reads
 * has a pointer, NULL at first, that it gives along. */
struct rn_spill_io;
void rn_spill_io_free(struct rn_spill_io *io); /* NULL is fine */

/* Rows of r that can be written at once. */
uint64_t rn_spill_rows(const struct rn_rel *r);
/* Write r, of at most rn_spill_rows rows.  A full disk is RN_EIO with the folder, the
 * bytes there and the bytes needed: about as many as all rows of a sole input take, by how far
 * it was read; more than what several take, or than what is there, where that is more. */
RN_MUST_CHECK int rn_spill_put(struct rn_spill *s, struct rn_spill_io **io, const struct rn_rel *r,
			       struct rn_extent *x, struct rn_err *e);
/* Read it; *out owned. */
RN_MUST_CHECK int rn_spill_get(struct rn_spill *s, struct rn_spill_io **io,
			       const struct rn_extent *x, const struct rn_schema *schema,
			       struct rn_rel **out, struct rn_err *e);
/* It is not needed any more: its place on the disk is given back. */
void rn_spill_drop(struct rn_spill *s, const struct rn_extent *x);

#endif
