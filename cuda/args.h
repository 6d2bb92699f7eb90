/* SPDX-License-Identifier: Apache-2.0
 *
 * What a generated kernel takes, by value: in C (fuse.c fills it), in the kernels that are
 * compiled with the library, and, as text before device.cuh, in what NVRTC compiles.  So it
 * includes nothing, and uses no type that those three do not share.
 */
#ifndef RN_CUDA_ARGS_H
#define RN_CUDA_ARGS_H

/* struct rn_cuda_segs, as far as a kernel reads it. */
struct rn_segs {
	const unsigned *ptr, *piece;
	float *scratch;
	unsigned n, npieces;
};

/* By number of input or mask, as in struct rn_cuda_elem; what is not used is NULL. */
struct rn_fused {
	float *out;
	const float *x[16];
	const unsigned *fmap[16], *rmap[16];
	const unsigned *drow[16], *dcol[16];
	unsigned key[16][2];
	const unsigned *epoch;
	unsigned long long rows; /* of the result; numbers, where it is taken as one array */
	unsigned terms;          /* of a segment: lanes that share its terms, a power of 2 */
	struct rn_segs g;
};

#endif
