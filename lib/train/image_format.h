/* SPDX-License-Identifier: Apache-2.0
 *
 * The records of an image (image.h), in the byte order of the machine: images
 * never leave it.
 */
#ifndef RN_IMAGE_FORMAT_H
#define RN_IMAGE_FORMAT_H

#include "../dev/prog.h"

#define RN_IMAGE_MAGIC "RNIMAGE2"

struct rn_image_header {
	char magic[8];
	uint64_t size; /* of the image in bytes */
	uint64_t sum;  /* rn_image_sum */
	uint32_t nparams, nstates, nvals, nidx, ninsts, nsteps, ndrops;
	uint32_t zero[3];
};
_Static_assert(sizeof(struct rn_image_header) == 64, "an image's header has 64 bytes");

/* Of the header (its sum taken as 0) and of everything behind it. */
uint64_t rn_image_sum(const struct rn_image_header *h, const void *rest);

/* Kinds of values, beside those of enum rn_vkind: */
enum {
	RN_IMAGE_EXTERN = 64, /* another process makes it: `offset` in shared memory */
	RN_IMAGE_ARRAY,       /* a constant at `offset` of the program's arrays */
};

struct rn_image_val {
	uint32_t kind, rows, rank, dim[4];
	uint32_t number; /* RN_V_PARAM, RN_V_STATE */
	uint32_t index;  /* 1: the numbers are uint32_t */
	uint32_t inst;   /* RN_V_INST */
	uint64_t offset; /* RN_V_CONST: of its array; RN_V_INST: in shared memory or RN_UNSHARED */
};

struct rn_image_idx {
	uint64_t offset;
	uint32_t n, flags;
};
enum { RN_IMAGE_FMAP = 1, RN_IMAGE_SHARED = 2 }; /* RN_IMAGE_SHARED: at `offset` of the arrays */

struct rn_image_inst {
	uint32_t op, flags, out, nin, fn, stage;
	struct rn_in in[RN_MAX_IN];
	uint32_t idx[3];
	uint32_t nregs, result;
	uint32_t first_step, nsteps, first_drop, ndrops; /* of a fused one */
	double imm;
	struct rn_drop drop;
	double f[RN_STEP_F];
};

/* Where each table begins. */
struct rn_image_layout {
	uint64_t counts, vals, idx, insts, steps, drops, arrays;
};
struct rn_image_layout rn_image_layout(const struct rn_image_header *h);

#endif
