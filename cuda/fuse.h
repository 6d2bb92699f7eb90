/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels for elementwise programs: CUDA C with everything folded in that is known when a
 * program is bound (widths, maps present or not, broadcasts, constants, steps), compiled
 * by NVRTC, kept on disk, and run in the place of elem.cu's interpreter, to the same bits.
 *
 * Where a kernel cannot be made (no NVRTC, an error of it, a driver that refuses the image)
 * the interpreter runs and rn_cuda_fuse_note says why: making kernels never fails but for
 * want of memory.  RN_CUDA_FUSE=0 turns them off, RN_CUDA_CACHE=0 the disk.
 */
#ifndef RN_CUDA_FUSE_H
#define RN_CUDA_FUSE_H

#include "../lib/base/mem.h"
#include "../lib/base/str.h"
#include "args.h"
#include "grid.h"

/* ---- text (fuse_text.c): no device needed ------------------------------------------------ */

/* What the text of a kernel depends on beside its program. */
struct rn_fuse_shape {
	unsigned vec;   /* numbers that a thread takes at a time */
	unsigned lanes; /* of a sum over segments: lanes over columns; 0: no sum */
	unsigned at_once; /* of a sum over segments: terms that a lane loads together */
	bool flat;      /* the result is taken as one array, whatever its rows */
};

/* args.h and device.cuh, which stand before all kernels. */
extern const char rn_cuda_fuse_prelude[];
/* Append kernel rn_k<number> for m; segs: RN_P_SEGELEM. */
RN_MUST_CHECK int rn_cuda_fuse_source(const struct rn_cuda_elem *m, bool segs, unsigned number,
				      struct rn_fuse_shape *shape, struct rn_str *out,
				      struct rn_err *e);

/* ---- the compiler (fuse_nvrtc.c) --------------------------------------------------------- */

/* -fmad as the kernels of this folder; everything else is exact without being asked. */
#define RN_FUSE_OPTIONS "-std=c++17", "--fmad=false", "-lineinfo", "-default-device"

/* For compute capability `arch` (80, 90); *image is owned by the caller.  The compiler's words
 * go to log; RN_EDEV where it fails or is not here. */
RN_MUST_CHECK int rn_cuda_compile(const char *text, unsigned arch, void **image, size_t *size,
				  struct rn_str *log, struct rn_err *e);

/* ---- the disk (fuse_cache.c) ------------------------------------------------------------- */

/* Images by a hash of all that they depend on, in $XDG_CACHE_HOME/rn or ~/.cache/rn.  What cannot
 * be read or is not whole is not there; what cannot be written is not kept.
 * cache_write: 0, also where there is to be no cache, or the errno of what could not be written. */
struct rn_fuse_key {
	uint64_t hash[2];
};
struct rn_fuse_key rn_fuse_key_of(const char *text, unsigned arch);
bool rn_fuse_cache_read(const struct rn_fuse_key *key, void **image, size_t *size);
int rn_fuse_cache_write(const struct rn_fuse_key *key, const void *image, size_t size);

/* ---- kernels (fuse.c) -------------------------------------------------------------------- */

/* All kernels of a device.  Equal programs share one. */
struct rn_cuda_fuse;

RN_MUST_CHECK int rn_cuda_fuse_new(struct rn_cuda_fuse **out, struct rn_err *e);
/* The number of m's kernel; segs: RN_P_SEGELEM.  Made by the next rn_cuda_fuse_build. */
RN_MUST_CHECK int rn_cuda_fuse_add(struct rn_cuda_fuse *f, const struct rn_cuda_elem *m, bool segs,
				   uint32_t *kernel, struct rn_err *e);
/* Make those that were added since, for the device that is in use. */
RN_MUST_CHECK int rn_cuda_fuse_build(struct rn_cuda_fuse *f, struct rn_err *e);
/* How many kernels were made, from where, and how many programs are interpreted, and why, since the
 * last time it was asked; "": nothing. */
const char *rn_cuda_fuse_note(struct rn_cuda_fuse *f);
/* As rn_cuda_elem, and with g rn_cuda_segelem, by the kernel where there is one.  m is what
 * the kernel was added for. */
cudaError_t rn_cuda_fuse_launch(const struct rn_cuda_fuse *f, uint32_t kernel, cudaStream_t s,
				const struct rn_cuda_elem *m, const struct rn_cuda_segs *g);
/* NULL is fine.  No kernel may be running. */
void rn_cuda_fuse_free(struct rn_cuda_fuse *f);

#endif
