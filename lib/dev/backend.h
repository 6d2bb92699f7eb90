/* SPDX-License-Identifier: Apache-2.0
 *
 * Backends: where tensor programs run.  A table of functions with its size and
 * ABI number, so that librn_cuda.so can be loaded at run time.  Nothing outside
 * lib/dev/cpu* and cuda/ knows a device.
 */
#ifndef RN_BACKEND_H
#define RN_BACKEND_H

#include "../base/ctx.h"
#include "gauge.h"
#include "prog.h"

enum rn_dtype { RN_F32, RN_F64 };

struct rn_accel;
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

/* What a device does after epochs of a window: it runs another list, reads a gauge of the result, and
 * keeps what is best.  All but `best`, `stale` and what is filled is the same in each window of a list. */
struct rn_watch {
	struct rn_list *list;  /* of the same backend; made before the window, and all of it is run */
	const void *pred;      /* device memory where that leaves its predictions */
	const struct rn_gauge *gauge;
	uint32_t every, last;  /* after epochs (counted from 1) that `every` divides, and after that one */
	bool higher;           /* is better */
	uint64_t patience;     /* no more epochs after so many looks that found nothing better; 0: never */
	double best;           /* so far; NaN: nothing yet; */
	uint64_t stale;        /* and looks since; both go on with the window */
	/* Copied, on the device, where an epoch is better than all before, or as good. */
	const struct rn_copy {
		void *to;
		const void *from;
		size_t n; /* floats */
	} *keep;
	uint32_t nkeep;
	double *val;    /* [n of the window], filled: what was read; NaN: nothing, or not defined */
	double seconds; /* grows by what the window has spent on this */
	bool unready;   /* set: what failed is taking what all of this needs on the device */
};

/* Epochs first … first+n-1 of a program, which the host does not come between. */
enum { RN_WINDOW = 256 };
struct rn_window {
	uint32_t first, n; /* n: 1 to RN_WINDOW */
	uint32_t gate;     /* the instruction whose result, one number, is the loss */
	const double *f;   /* [n][optimizer instructions][8]: their scalars, in their order */
	uint32_t done;     /* set: epochs that made their step; n, or loss[done] is not finite, or
			    * patience ended with the last of them */
	double *loss;      /* [n], filled for these and the one that is not finite */
	struct rn_watch *watch; /* NULL: nothing is done between epochs */
};

/* What names an allocation or an event to other processes. */
struct rn_handle {
	unsigned char bytes[64];
};
struct rn_event;

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
	/* Memory of the device that other processes see, too (all five or none; optional).  Only
	 * what alloc_shared gave can be exported; who imports it sees it from its start, and
	 * releases it before its owner frees it.  Its own handle no process can import. */
	int (*alloc_shared)(struct rn_backend *b, size_t size, void **out, struct rn_err *e);
	void (*free_shared)(struct rn_backend *b, void *p, size_t size);
	int (*export_buf)(struct rn_backend *b, void *p, struct rn_handle *h, struct rn_err *e);
	int (*import_buf)(struct rn_backend *b, const struct rn_handle *h, void **out,
			  struct rn_err *e);
	void (*release_buf)(struct rn_backend *b, void *p);
	/* Memory of the host that other processes map, too, for kernels: *out is its address to
	 * alloc's users.  What others write there is seen once their sync is over. (optional) */
	int (*map_host)(struct rn_backend *b, void *base, size_t size, void **out,
			struct rn_err *e);
	void (*unmap_host)(struct rn_backend *b, void *base);
	/* Moments in the work of one process that the work of another waits for, on the same
	 * device and without the host (all five or none; optional).  event_new: one's own, which
	 * it records, with its handle; event_take: another's.  event_wait: what is run from now on
	 * waits for what was recorded last, if anything was. */
	int (*event_new)(struct rn_backend *b, struct rn_event **out, struct rn_handle *h,
			 struct rn_err *e);
	int (*event_take)(struct rn_backend *b, const struct rn_handle *h, struct rn_event **out,
			  struct rn_err *e);
	int (*event_record)(struct rn_backend *b, struct rn_event *ev, struct rn_err *e);
	int (*event_wait)(struct rn_backend *b, struct rn_event *ev, struct rn_err *e);
	void (*event_free)(struct rn_backend *b, struct rn_event *ev);
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
	/* Run all of a list once for each epoch of w, to the bits of list_run, and return when that
	 * is done.  With a loss that is not finite no step changes anything any more, that of its own
	 * epoch the first; with a patience that ends, those of the epochs after it. (optional) */
	int (*list_epochs)(struct rn_list *l, struct rn_window *w, struct rn_err *e);
	/* The memory that it takes to read such a gauge.  (where list_epochs is) */
	size_t (*watch_bytes)(struct rn_backend *b, const struct rn_gauge *g);
	/* The instruction at which the last list_run or list_epochs failed, of the list whose it is;
	 * RN_NONE where that is not known, which the error then says. (optional) */
	uint32_t (*list_failed)(const struct rn_list *l);
	/* Bytes that alloc can still give, and those of the whole device. (optional) */
	int (*memory)(struct rn_backend *b, uint64_t *left, uint64_t *total, struct rn_err *e);
	/* The most bytes that were taken at once. (optional) */
	uint64_t (*peak)(const struct rn_backend *b);
	/* How products round from now on; without it they are RN_MATH_F32. (optional) */
	int (*math)(struct rn_backend *b, enum rn_math m, struct rn_err *e);
	/* What was made ready since the last call, for -v; "": nothing. (optional) */
	const char *(*note)(struct rn_backend *b);
	/* What it can do for relational work (lib/base/accel.h); it lives as long as the backend.
	 * NULL: nothing.  Whoever opens the backend gives it to a team and takes it away again. */
	struct rn_accel *accel;
};
enum { RN_BACKEND_ABI = 5 };

/* The CPU backend with a team of `threads` threads (1 or more); owned, ->close. */
RN_MUST_CHECK int rn_cpu_backend(unsigned threads, struct rn_backend **out, struct rn_err *e);

/* "cpu", "cuda", "cuda:1", "auto"; RN_EDEV says why a device cannot be had.  why (zeroed; may be NULL)
 * gets that where auto fell back. */
RN_MUST_CHECK int rn_backend_open(const char *device, unsigned threads, struct rn_backend **out,
				  struct rn_err *why, struct rn_err *e);

/* That of a context: its device, threads and math; where auto fell back it says so at `level`.
 * RN_EUSAGE where the device is the cpu by name and the math is not f32. */
RN_MUST_CHECK int rn_backend_of(const struct rn_ctx *c, enum rn_log_level level,
				struct rn_backend **out, struct rn_err *e);
/* What its products do: c's math where it has one, else f32. */
enum rn_math rn_backend_math(const struct rn_backend *b, const struct rn_ctx *c);
/* "f32", "tf32", "bf16"; the reverse is false for any other text. */
const char *rn_math_name(enum rn_math m);
bool rn_math_parse(const char *name, enum rn_math *m);

/* Which instruction set the kernels use: "x86-64-v4", "x86-64-v3", "baseline". */
const char *rn_cpu_isa(void);

#endif
