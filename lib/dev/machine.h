/* SPDX-License-Identifier: Apache-2.0
 *
 * A machine runs one program on one backend.  All results lie in one slab with
 * offsets assigned by liveness when the machine is made: running allocates
 * nothing.  Parameters and optimizer slots lie in a store that several machines
 * (training, validation, prediction) share.  Machines with one store of parameters share
 * memory for results, too: what is wanted of one is read before another runs.
 */
#ifndef RN_MACHINE_H
#define RN_MACHINE_H

#include "backend.h"

/* Parameters or states of a session, in device memory, numbered as in RN_V_PARAM. */
struct rn_store {
	struct rn_backend *backend;
	enum rn_dtype type;
	uint32_t n;
	struct rn_store_item {
		size_t count; /* values */
		void *data;   /* device memory of `type` */
	} *items;
	struct rn_room *room; /* the largest of its machines' slabs; NULL: none yet */
};
RN_MUST_CHECK int rn_store_new(struct rn_backend *b, enum rn_dtype t, struct rn_store **out,
			       struct rn_err *e);
/* Add a zeroed item; *number is its number. */
RN_MUST_CHECK int rn_store_add(struct rn_store *s, size_t count, uint32_t *number,
			       struct rn_err *e);
RN_MUST_CHECK int rn_store_set(struct rn_store *s, uint32_t number, const double *x,
			       struct rn_err *e);
RN_MUST_CHECK int rn_store_get(struct rn_store *s, uint32_t number, double *x, struct rn_err *e);
RN_MUST_CHECK int rn_store_set_f32(struct rn_store *s, uint32_t number, const float *x,
				   struct rn_err *e);
RN_MUST_CHECK int rn_store_get_f32(struct rn_store *s, uint32_t number, float *x, struct rn_err *e);
void rn_store_free(struct rn_store *s);

/* A slab, for all machines that it is large enough for. */
struct rn_room {
	unsigned refs;
	struct rn_backend *backend;
	size_t size;
	void *mem;
};
/* One of at least `size` bytes: that of s (NULL: none), or a new one, which is then that of
 * s and is counted in *bytes.  A reference. */
RN_MUST_CHECK int rn_room_take(struct rn_store *s, struct rn_backend *b, size_t size,
			       struct rn_room **out, uint64_t *bytes, struct rn_err *e);
void rn_room_unref(struct rn_room *w); /* NULL is fine */

/* The bytes that results of a machine of p take: its slab.  elsewhere: NULL, or by value: it is
 * given memory (`mem` of rn_machine_new). */
RN_MUST_CHECK int rn_machine_slab(const struct rn_prog *p, enum rn_dtype t, const bool *elsewhere,
				  uint64_t *bytes, struct rn_err *e);

struct rn_machine;

/* Borrows prog, backend, params, states (either NULL where the program has none)
 * until rn_machine_free.  `mem`: NULL, or memory for each value that has an entry
 * other than NULL there (values that live in memory shared with another process). */
RN_MUST_CHECK int rn_machine_new(const struct rn_prog *p, struct rn_backend *b, enum rn_dtype t,
				 struct rn_store *params, struct rn_store *states,
				 void *const *mem, struct rn_machine **out, struct rn_err *e);
/* The same; `idx`: NULL, or memory for each index array that has an entry other than NULL there, in which
 * the array is when the machine runs.  Likewise constants that `mem` has. */
RN_MUST_CHECK int rn_machine_new_over(const struct rn_prog *p, struct rn_backend *b, enum rn_dtype t,
				      struct rn_store *params, struct rn_store *states,
				      void *const *mem, const uint32_t *const *idx,
				      struct rn_machine **out, struct rn_err *e);
void rn_machine_free(struct rn_machine *m);

/* Run instructions from … to-1 in order. */
RN_MUST_CHECK int rn_machine_run(struct rn_machine *m, uint32_t from, uint32_t to, uint32_t epoch,
				 struct rn_err *e);
/* Can all of the program be run for many epochs at once?  Then rn_machine_epochs does
 * (list_epochs of backend.h). */
bool rn_machine_has_epochs(const struct rn_machine *m);
RN_MUST_CHECK int rn_machine_epochs(struct rn_machine *m, struct rn_window *w, struct rn_err *e);
/* The program made ready, for another machine's window; NULL: the backend has no such thing. */
struct rn_list *rn_machine_list(struct rn_machine *m);
/* The instruction at which the last of these failed; RN_NONE: not known. */
uint32_t rn_machine_failed(const struct rn_machine *m);
/* Set the scalars of optimizer instruction i (8 doubles). */
void rn_machine_set_f(struct rn_machine *m, uint32_t inst, const double *f);

/* Copy a value out as float or double [rows * width]; in (constants, and
 * results that another process computes). */
RN_MUST_CHECK int rn_machine_get_f32(struct rn_machine *m, uint32_t val, float *x,
				     struct rn_err *e);
RN_MUST_CHECK int rn_machine_get_f64(struct rn_machine *m, uint32_t val, double *x,
				     struct rn_err *e);
RN_MUST_CHECK int rn_machine_set_f64(struct rn_machine *m, uint32_t val, const double *x,
				     struct rn_err *e);
/* The device pointer of a value, and its bytes. */
void *rn_machine_ptr(struct rn_machine *m, uint32_t val, size_t *bytes);

/* Bytes of slab, constants and scratch. */
uint64_t rn_machine_bytes(const struct rn_machine *m);
/* First value among instructions from … to-1 (run one by one) that is not
 * finite: its instruction, or RN_NONE. */
RN_MUST_CHECK int rn_machine_find_nonfinite(struct rn_machine *m, uint32_t from, uint32_t to,
					    uint32_t epoch, uint32_t *inst, struct rn_err *e);

#endif
