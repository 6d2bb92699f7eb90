/* SPDX-License-Identifier: Apache-2.0
 *
 * What list.c and window.c share: a program made ready, and how its instructions are enqueued.
 */
#ifndef RN_CUDA_LIST_H
#define RN_CUDA_LIST_H

#include "host.h"

enum { RN_LIST_SCALARS = 8, RN_LIST_LIVE = 16 };

struct rn_list {
	struct rn_cuda *c;
	uint32_t n;
	struct rn_cuda_op *ops;
	struct rn_cuda_live *live; /* device; behind it the scalars */
	char *now, *before; /* what is to be there, and what is */
	size_t live_bytes;
	uint32_t nscalars;
	uint32_t failed;    /* instruction at which the last run did; RN_NONE: not known */
	bool sent;
	bool fused; /* kernels were made for its elementwise programs */
	struct table *tables;
	size_t ntables;
	struct range *ranges;
	size_t nranges;
	struct window *window; /* NULL: it was never run in one */
};

/* Device: the scalars of its steps, [nscalars]. */
double *rn_cuda_list_scalars(const struct rn_list *l);
/* What the instructions read of a run, unless the device has it from the run before. */
RN_MUST_CHECK int rn_cuda_list_send(struct rn_list *l, uint32_t epoch, struct rn_err *e);
RN_MUST_CHECK int rn_cuda_list_launch(struct rn_list *l, uint32_t from, uint32_t to,
				      struct rn_err *e);
/* Kernels for the elementwise programs, once.  They give the bits of the interpreter, which runs
 * the first time: what runs but once is not worth compiling. */
RN_MUST_CHECK int rn_cuda_list_fuse(struct rn_list *l, struct rn_err *e);
/* What `enqueue` launches, as a graph; within begin and end of weave.h, at most so many units. */
RN_MUST_CHECK int rn_cuda_capture(struct rn_cuda *c, uint32_t most,
				  int (*enqueue)(void *arg, struct rn_err *e), void *arg,
				  cudaGraphExec_t *exec, struct rn_err *e);
/* A graph that cannot be launched, or fails at once: of which instruction is not known. */
RN_MUST_CHECK int rn_cuda_replay(struct rn_cuda *c, cudaGraphExec_t graph, struct rn_err *e);

void rn_cuda_window_free(struct rn_list *l); /* none is in flight */

#endif
