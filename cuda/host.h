/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the host side of the CUDA backend: the device that is open, its memory, and
 * instructions made ready for it.  C; no file outside this folder includes it.
 *
 * All work goes to one stream, in order: memory that is freed may be given out again at
 * once, for what uses it next runs after what used it last.  A graph may have branches
 * (weave.h); as a whole it stands in that order, too.
 */
#ifndef RN_CUDA_HOST_H
#define RN_CUDA_HOST_H

#include "../lib/base/accel.h"
#include "../lib/dev/backend.h"
#include "fuse.h"
#include "kernels.h"

#include <cublas_v2.h>

#define RN_EXPORT __attribute__((visibility("default")))

/* ---- errors (error.c) --------------------------------------------------------------------- */

/* Forward what CUDA says: the call, its message, and what can be done about it. */
#define RN_CUDA(e, call)                                                   \
	do {                                                               \
		cudaError_t rn_cuda_err_ = (call);                         \
		if (rn_cuda_err_ != cudaSuccess)                           \
			return rn_cuda_fail((e), rn_cuda_err_, #call);     \
	} while (0)
#define RN_CUBLAS(e, call)                                                 \
	do {                                                               \
		cublasStatus_t rn_cublas_st_ = (call);                     \
		if (rn_cublas_st_ != CUBLAS_STATUS_SUCCESS)                \
			return rn_cublas_fail((e), rn_cublas_st_, #call);  \
	} while (0)

/* RN_ENOMEM or RN_EDEV. */
int rn_cuda_fail(struct rn_err *e, cudaError_t err, const char *call);
int rn_cublas_fail(struct rn_err *e, cublasStatus_t st, const char *call);
/* "1.5 GiB", "300 bytes": into out. */
void rn_cuda_size_text(size_t n, char *out, size_t cap);

/* ---- memory (pool.c) ------------------------------------------------------------------------ */

/* Large allocations are cudaMalloc's, small ones share chunks of it.  What is freed is kept
 * for the next until memory is wanted for something else. */
struct rn_cuda_pool {
	struct rn_cuda_chunk *chunks;
	bool single; /* each allocation on its own (RN_CUDA_POOL=0: for compute-sanitizer) */
	size_t used, peak;
};
RN_MUST_CHECK int rn_cuda_pool_alloc(struct rn_cuda_pool *p, size_t size, void **out,
				     struct rn_err *e);
void rn_cuda_pool_free(struct rn_cuda_pool *p, void *mem);
/* Give back the chunks that hold nothing; was there one? */
bool rn_cuda_pool_trim(struct rn_cuda_pool *p);
/* Bytes that are kept for later. */
size_t rn_cuda_pool_kept(const struct rn_cuda_pool *p);
void rn_cuda_pool_fini(struct rn_cuda_pool *p);

/* ---- the device (backend.c) ------------------------------------------------------------------ */

enum { RN_CUDA_STAGES = 2, RN_CUDA_RING = 8, RN_CUDA_LANES = 8 };
struct rn_cuda_weave;

struct rn_cuda {
	struct rn_backend backend; /* first: a backend is cast back to its struct rn_cuda */
	char name[16];             /* "cuda:0" */
	int ordinal;
	cudaStream_t stream;
	struct rn_cuda_pool pool;
	cublasHandle_t blas; /* NULL until a product wants it */
	enum rn_math math;
	bool waiting;        /* RN_CUDA_GRAPH=0: no graphs, and each instruction is waited for */
	bool line;           /* RN_CUDA_GRAPH=line: in graphs one thing stands behind the other */
	struct rn_cuda_weave *weave; /* of the capture that is under way (weave.h); NULL: none */
	struct rn_cuda_fuse *fuse;
	struct rn_cuda_rel *rel; /* NULL: RN_CUDA_REL=0 */
	void *workspace;     /* its own, of a fixed size: the same sums in every run */
	/* Pinned memory that copies go through. */
	struct rn_cuda_stage {
		void *mem;
		cudaEvent_t done; /* the device has read it */
	} stage[RN_CUDA_STAGES];
	unsigned turn;
	/* Pinned slots for what lists send before each run. */
	struct rn_cuda_ring {
		char *mem;
		size_t slot; /* bytes of one */
		cudaEvent_t done[RN_CUDA_RING];
		unsigned at;
	} ring;
};

static inline struct rn_cuda *rn_cuda_of(struct rn_backend *b)
{
	return (struct rn_cuda *)b;
}
/* An error of a call that waits is of work launched before: say how to learn which. */
int rn_cuda_late(const struct rn_cuda *c, int rc, struct rn_err *e);
/* The device is a property of the calling thread. */
RN_MUST_CHECK int rn_cuda_use(const struct rn_cuda *c, struct rn_err *e);
/* Slots of at least so many bytes; waits for those in flight. */
RN_MUST_CHECK int rn_cuda_ring_grow(struct rn_cuda *c, size_t slot, struct rn_err *e);
/* n bytes to the device by way of a slot; returns at once. */
RN_MUST_CHECK int rn_cuda_ring_send(struct rn_cuda *c, void *dst, const void *host, size_t n,
				    struct rn_err *e);

/* What librn_cuda.so offers (lib/dev/backend_open.c). */
RN_EXPORT int rn_cuda_backend(unsigned ordinal, struct rn_backend **out, struct rn_err *e);

/* ---- instructions (launch.c) ------------------------------------------------------------------ */

/* One instruction made ready. */
struct rn_cuda_op {
	const struct rn_kargs *a;
	const double *f;           /* device: scalars of an optimizer step */
	const struct rn_cuda_live *live;
	struct rn_cuda_segs segs;  /* of those that sum over segments */
	struct rn_cuda_elem *elem; /* of elementwise ones */
	uint32_t kernel;           /* made for it (fuse.h); RN_NONE: none yet */
};

size_t rn_cuda_op_scratch(const struct rn_kargs *a);
/* Does it read scalars, does it sum over segments? */
bool rn_cuda_op_steps(const struct rn_inst *i);
bool rn_cuda_op_sums(const struct rn_inst *i);
/* What products that are cuBLAS's do from now on. */
RN_MUST_CHECK int rn_cuda_set_math(struct rn_cuda *c, enum rn_math m, struct rn_err *e);
/* A product for cuBLAS: by sizes alone. */
bool rn_cuda_op_wide(const struct rn_prog *p, const struct rn_inst *i);
/* The elementwise program of a->inst; *out owned, NULL for other instructions. */
RN_MUST_CHECK int rn_cuda_op_elem(const struct rn_kargs *a, const struct rn_cuda_live *live,
				  struct rn_cuda_elem **out, struct rn_err *e);
/* How many of n instructions that follow on each other one launch does, the first of them: several
 * where they are steps. */
uint32_t rn_cuda_op_together(const struct rn_cuda_op *o, uint32_t n);
/* Enqueue these n. */
RN_MUST_CHECK int rn_cuda_op_launch(struct rn_cuda *c, const struct rn_cuda_op *o, uint32_t n,
				    struct rn_err *e);

/* ---- relational work (rel.c) ------------------------------------------------------------------ */

/* Sets c->rel, and the backend's accel; to be freed before the device is left. */
RN_MUST_CHECK int rn_cuda_rel_new(struct rn_cuda *c, struct rn_err *e);
void rn_cuda_rel_free(struct rn_cuda_rel *r); /* NULL is fine */

/* ---- programs (list.c) ------------------------------------------------------------------------- */

int rn_cuda_list_new(struct rn_backend *b, const struct rn_kargs *args, uint32_t n,
		     enum rn_dtype t, struct rn_list **out, struct rn_err *e);
int rn_cuda_list_run(struct rn_list *l, uint32_t from, uint32_t to, uint32_t epoch,
		     struct rn_err *e);
int rn_cuda_list_epochs(struct rn_list *l, struct rn_window *w, struct rn_err *e);
size_t rn_cuda_watch_bytes(struct rn_backend *b, const struct rn_gauge *g);
uint32_t rn_cuda_list_failed(const struct rn_list *l);
void rn_cuda_list_free(struct rn_list *l);

/* ---- other processes (share.c) ------------------------------------------------------------------ */

/* What is shared with them, into the table. */
void rn_cuda_share(struct rn_backend *b);

#endif
