/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared memory between the writer of a stream and the reader at the other end of its
 * very pipe: a ring in a memfd that the stream offers, rn_er(5) says how.  Payloads of
 * blocks lie in the ring; the pipe carries what describes them, so that order, the
 * stream's end and a neighbour's death are the pipe's, as ever.
 *
 * Nothing here is needed: whatever does not work, does not fit or looks wrong leaves
 * the payload inline, silently.  Neither side trusts the other.  The size of the memfd is
 * sealed; the writer places blocks by what it knows itself and takes one counter from
 * the reader, which can only be more or less than it was; the reader looks at nothing
 * before it has copied it.  RN_SHM=0 in the environment turns either side off.
 */
#ifndef RN_SHM_H
#define RN_SHM_H

#include "io.h"

enum {
	RN_SHM_OFFER = 80,        /* bytes of an offer */
	RN_SHM_RING = 4 << 20,    /* bytes of the ring: larger payloads go inline */
};

struct rn_shm_writer;
/* A ring for what is written to `pipe`, and its offer.  NULL: there can be none. */
struct rn_shm_writer *rn_shm_writer_new(int pipe, uint8_t offer[RN_SHM_OFFER]);
/* Has a reader come?  Asked anew each time, without waiting.  It is another process. */
bool rn_shm_writer_taken(struct rn_shm_writer *w);
/* Room for a payload of n bytes (a multiple of 64) at *p, its place in the ring in *at,
 * once the reader has done with what was there before; *p = NULL: it has to go inline.
 * RN_EIO, as a write to the pipe would, where the reader is gone; `name` is the output's. */
RN_MUST_CHECK int rn_shm_writer_room(struct rn_shm_writer *w, size_t n, const char *name,
				     uint8_t **p, uint64_t *at, struct rn_err *e);
/* Write n bytes to the pipe, all of them, as rn_io_ops.write does; but RN_EIO, as if it were
 * closed, once the reader that took the offer has exited, also where another process holds the
 * pipe: at once where the write waits for room, else within 0.1 s. */
RN_MUST_CHECK int rn_shm_writer_put(struct rn_shm_writer *w, const void *p, size_t n,
				    const char *name, struct rn_err *e);
/* Why payloads go inline, in words that stay; NULL: a reader takes them.  w may be NULL. */
const char *rn_shm_writer_why(const struct rn_shm_writer *w);
/* NULL is fine.  What is in the ring stays there for the reader. */
void rn_shm_writer_free(struct rn_shm_writer *w);

struct rn_shm_reader;
/* Take the offer that came out of `pipe`.  NULL: it is not for us. */
struct rn_shm_reader *rn_shm_reader_new(int pipe, const uint8_t offer[RN_SHM_OFFER]);
/* The n bytes at place `at`, to be copied before they are looked at; NULL: there is no
 * such place. */
const uint8_t *rn_shm_reader_at(const struct rn_shm_reader *r, uint64_t at, uint64_t n);
/* The oldest payload that was announced is done with. */
void rn_shm_reader_done(struct rn_shm_reader *r);
void rn_shm_reader_free(struct rn_shm_reader *r); /* NULL is fine */

#endif
