/* SPDX-License-Identifier: Apache-2.0
 *
 * A capture by several streams: an instruction stands in the graph behind those alone whose memory it
 * needs, so that the device runs side by side what does not depend on each other.  Small kernels take
 * as long as their launch, so what an epoch of them takes is the longest chain of the graph.
 *
 * What an instruction reads and writes are ranges of memory, not values: places are reused, and a
 * reuse is an order, too.  Between begin and end, each launch is within enter and leave.  Where
 * nothing is captured, of a very long program, and with RN_CUDA_GRAPH=line all of this does nothing.
 */
#ifndef RN_CUDA_WEAVE_H
#define RN_CUDA_WEAVE_H

#include "host.h"

/* For a capture of at most so many launches; before it begins.  *out is owned; NULL: they shall stand
 * in one line. */
RN_MUST_CHECK int rn_cuda_weave_new(struct rn_cuda *c, uint32_t most, struct rn_cuda_weave **out,
				    struct rn_err *e);
void rn_cuda_weave_free(struct rn_cuda_weave *w); /* NULL is fine */

/* Launches from here on stand behind all that was launched before. */
RN_MUST_CHECK int rn_cuda_weave_begin(struct rn_cuda *c, struct rn_err *e);
/* The next launch reads, or writes, n bytes there; NULL: nothing. */
void rn_cuda_weave_reads(struct rn_cuda *c, const void *p, size_t n);
void rn_cuda_weave_writes(struct rn_cuda *c, const void *p, size_t n);
/* ... what an instruction does. */
void rn_cuda_weave_op(struct rn_cuda *c, const struct rn_cuda_op *o);
/* From here to leave, c->stream is the one to launch on. */
RN_MUST_CHECK int rn_cuda_weave_enter(struct rn_cuda *c, struct rn_err *e);
RN_MUST_CHECK int rn_cuda_weave_leave(struct rn_cuda *c, struct rn_err *e); /* also of a failure */
/* What is launched from here on stands behind everything. */
RN_MUST_CHECK int rn_cuda_weave_end(struct rn_cuda *c, struct rn_err *e);

#endif
