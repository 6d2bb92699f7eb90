/* SPDX-License-Identifier: Apache-2.0
 *
 * Random elementwise programs over real arrays, for the test of the kernels made for them.
 */
#ifndef FUSE_GEN_H
#define FUSE_GEN_H

#include "../../cuda/fuse.h"

enum { FUSE_ARRAYS = 64 };

/* Arrays of a program: on the host, and where `put` has put them. */
struct fuse_case {
	struct rn_cuda_elem m;    /* with pointers of the device */
	struct rn_cuda_segs segs; /* if sums: n > 0 */
	bool sums;
	uint32_t rows;      /* of the program: of a sum, terms */
	uint32_t *ptr;      /* host: bounds */
	void *mem[FUSE_ARRAYS]; /* of the device, to be freed */
	unsigned nmem;
	struct rn_cuda_live *live;
};

/* n bytes into the device's memory, `shift` bytes behind an aligned address. */
typedef void *fuse_put(struct fuse_case *c, const void *host, size_t n, size_t shift);

void fuse_case_make(struct fuse_case *c, uint64_t seed, bool sums, fuse_put *put);

#endif
