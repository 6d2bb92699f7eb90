/* SPDX-License-Identifier: Apache-2.0
 *
 * A part of a tensor program, written down for another process.
 *
 * An image holds the instructions of one process, the small constants and index
 * arrays that they read, where the large ones are (arrays.h), and which of its values
 * lie where in the memory that all processes share.  Numbers in it are its own; nothing
 * in it is a pointer:
 *
 *   header 64 bytes   magic, sizes, how many of each, checksum of the rest
 *   counts            values of each parameter, then of each optimizer slot (u64)
 *   values, indexes, instructions, steps, drops: one record each
 *   arrays            of constants and indexes, 64-byte aligned, used in place
 *
 * Views cost nothing, so every process that reads through one has it.  A reader
 * checks the sum, every size, and every number that refers to another record;
 * a machine then checks the program as a program.
 */
#ifndef RN_IMAGE_H
#define RN_IMAGE_H

#include "../dev/prog.h"
#include "shared.h"

#define RN_UNSHARED UINT64_MAX

/* What goes in. */
struct rn_image_part {
	const struct rn_prog *prog;
	const bool *mine;       /* [ninsts] instructions of this process; views are found */
	const uint64_t *shared; /* [nvals] offset in shared memory, or RN_UNSHARED */
	const struct rn_shared *arrays; /* those of the program (arrays.h), or NULL */
	uint32_t nparams;       /* of the session's table */
	const size_t *counts;   /* [nparams] */
	/* Out, owned by the caller (free()): */
	uint32_t ninsts, *insts;   /* number in the program of each instruction of the image */
	uint32_t nstates, *states; /* and of each optimizer slot */
};
RN_MUST_CHECK int rn_image_write(struct rn_image_part *part, struct rn_shared **out,
				 struct rn_err *e);

/* What comes out. */
struct rn_image {
	struct rn_prog prog;
	uint64_t *shared; /* [nvals] results that others read: offset; else RN_UNSHARED */
	uint32_t nparams, nstates;
	size_t *counts;   /* [nparams], then [nstates] */
	struct rn_shared *file;
};
/* Takes file, also on failure.  values: the shared memory, in which values that other
 * processes make are constants of this program.  arrays: NULL if it was written without. */
RN_MUST_CHECK int rn_image_read(struct rn_shared *file, const struct rn_shared *values,
				const struct rn_shared *arrays, struct rn_image *out,
				struct rn_err *e);
void rn_image_fini(struct rn_image *i);

#endif
