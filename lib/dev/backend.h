/* SPDX-License-Identifier: Apache-2.0
 *
 * Backends: where tensor programs run.  A table of functions with its size and
 * ABI number, so that librn_cuda.so can be loaded at run time.  Nothing outside
 * lib/dev/cpu* and cuda/ knows a device.
 */
#ifndef RN_BACKEND_H
#define RN_BACKEND_H

#include "prog.h"

enum rn_dtype { RN_F32, RN_F64 };

struct rn_blas;
struct rn_list;

/* What a kernel sees of one instruction.  Pointers are device pointers. */
struct rn_kargs {
	const struct rn_prog *prog;
	const struct rn_inst *inst;
	void *out;
	const void *in[RN_MAX_IN]; /* NULL for RN_NONE */
	const uint32_t *idx[3];
	void *scratch; /* as many bytes as kernel.scratch asked for */
	/* Index arrays by number (fmaps, dropout rows and columns). */
	const uint32_t *const *idx_table;
	uint32_t epoch;  /* for random draws */
	const double *f; /* scalars of an optimizer step */
	const struct rn_blas *blas; /* CPU: wide products; NULL: the kernels' own */
};

/* A kernel in one or two phases.  The number of parts depends on sizes only,
 * never on threads; parts of one phase may run in any order and at once, all
 * parts of phase 0 end before phase 1 begins. */
struct rn_kernel {
	uint32_t (*parts[2])(const struct rn_kargs *a); /* parts[1] NULL: one phase */
	void (*run[2])(const struct rn_kargs *a, uint32_t part);
	size_t (*scratch)(const struct rn_kargs *a);    /* NULL: none; sees sizes only */
};

struct rn_backend {
	uint32_t size; /* sizeof(struct rn_backend) of who made it */
	uint32_t abi;  /* RN_BACKEND_ABI */
	const char *name;
	int (*alloc)(struct rn_backend *b, size_t size, void **out, struct rn_err *e);
	void (*free)(struct rn_backend *b, void *p);
	int (*copy_in)(struct rn_backend *b, void *dst, const void *host, size_t n,
		       struct rn_err *e);
	int (*copy_out)(struct rn_backend *b, void *host, const void *src, size_t n,
			struct rn_err *e);
	int (*sync)(struct rn_backend *b, struct rn_err *e);
	/* Share an allocation with another process, and take one: (optional) */
	int (*export_buf)(struct rn_backend *b, void *p, int *fd, struct rn_err *e);
	int (*import_buf)(struct rn_backend *b, int fd, size_t size, void **out, struct rn_err *e);
	/* May this backend run the instruction in this type? */
	bool (*supports)(const struct rn_backend *b, const struct rn_prog *p,
			 const struct rn_inst *i, enum rn_dtype t);
	/* Run one instruction to its end (CPU: on the caller's team). */
	int (*run)(struct rn_backend *b, const struct rn_kargs *a, enum rn_dtype t,
		   struct rn_err *e);
	/* An epoch-long section in which workers stay awake: (optional) */
	void (*enter)(struct rn_backend *b);
	void (*leave)(struct rn_backend *b);
	size_t (*scratch)(struct rn_backend *b, const struct rn_kargs *a, enum rn_dtype t);
	void (*close)(struct rn_backend *b);
	bool host; /* its memory is the host's: constants and index arrays are used in place */
	/* Use at most so many threads from now on; 0: all of them. (optional) */
	void (*grant)(struct rn_backend *b, unsigned threads);
	/* A program made ready: what run() would do with args[0 … n-1], as one piece (CUDA: with
	 * kernels made for it, and replayed as a graph).  All three or none (optional); a machine
	 * then calls these and never run().  The list borrows args until list_free: pointers and
	 * sizes stay as they are; `f` is read anew by each list_run, which returns before the
	 * work is done (copy_out and sync wait for it). */
	int (*list_new)(struct rn_backend *b, const struct rn_kargs *args, uint32_t n,
			enum rn_dtype t, struct rn_list **out, struct rn_err *e);
	int (*list_run)(struct rn_list *l, uint32_t from, uint32_t to, uint32_t epoch,
			struct rn_err *e);
	void (*list_free)(struct rn_list *l);
};
enum { RN_BACKEND_ABI = 2 };

/* The CPU backend with a team of `threads` threads (1 or more); owned, ->close. */
RN_MUST_CHECK int rn_cpu_backend(unsigned threads, struct rn_backend **out, struct rn_err *e);

/* "cpu", "cuda", "cuda:1", "auto"; RN_EDEV says why a device cannot be had;
 * *note (may be NULL) gets a static text where auto fell back. */
RN_MUST_CHECK int rn_backend_open(const char *device, unsigned threads, struct rn_backend **out,
				  const char **note, struct rn_err *e);

/* Which instruction set the kernels use: "x86-64-v4", "x86-64-v3", "baseline". */
const char *rn_cpu_isa(void);

#endif
