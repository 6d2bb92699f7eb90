/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernels (*.cu) offer to the host side of the CUDA backend (*.c): one
 * launcher for each primitive of lib/dev/prog.h, which has their meaning.
 *
 * A launcher enqueues on `s` and returns what the launch returned; it never
 * waits and never allocates.  All pointers but those of structs passed by value
 * are device pointers; NULL for an index array means the identity, for weights
 * 1.  Row counts of 0 are fine.  Every result is the same bits in every run:
 * sums have an order that depends on sizes alone, and no kernel uses atomics on
 * floats.  What changes from epoch to epoch comes from device memory (struct
 * rn_cuda_live), so that a launch can be captured once and replayed.
 *
 * CUDA = CPU to 1e-4 relative; sums may be ordered otherwise than on the CPU.
 */
#ifndef RN_CUDA_KERNELS_H
#define RN_CUDA_KERNELS_H

#include <cuda_runtime.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RN_CUDA_NO_ROW 0xFFFFFFFFu

/* In device memory, written before each run of a list, and before a window of epochs, of which
 * the kernels below write it themselves. */
struct rn_cuda_live {
	uint32_t epoch;
	uint32_t halt;        /* 1: a loss was not finite, or patience ended: steps change nothing */
	uint32_t first, turn; /* of a window: its first epoch, and how many have begun */
};

/* How the sums over segments are cut, found once when a list is made, on the host: segments of
 * up to RN_CUDA_LONG terms are summed by one group of lanes; longer ones by pieces of
 * RN_CUDA_LONG terms, whose sums (in scratch) are added in order. */
enum { RN_CUDA_LONG = 1024 };
struct rn_cuda_segs {
	const uint32_t *ptr; /* [n + 1] */
	uint32_t n, longest;
	uint32_t terms; /* ptr[n] - ptr[0] */
	uint32_t npieces, nlong;
	const uint32_t *piece;  /* [npieces][2]: its segment, and which piece of it this is */
	const uint32_t *longs;  /* [nlong][2]: a long segment, and the number of its first piece */
	float *scratch;         /* [npieces][width] */
};

/* out[seg] = the sum of its pieces in scratch, for each of longs: what ends a sum over segments.
 * Nothing to do where nlong is 0. */
cudaError_t rn_cuda_segs_close(cudaStream_t s, float *out, uint32_t width,
			       const struct rn_cuda_segs *g);

/* ---- elementwise programs (elem.cu; fuse.c makes kernels of its own for them) ------------ */

enum { RN_CUDA_INS = 16, RN_CUDA_STEPS = 64, RN_CUDA_REGS = 24 };

/* Element (i, f) of the output reads x[row * stride + col]: row = rmap ? rmap[i] : i, and 0
 * is read where that is RN_CUDA_NO_ROW; stride 0: one row for all; col = fmap ? fmap[f] :
 * one ? 0 : f. */
struct rn_cuda_in {
	const float *x;
	const uint32_t *fmap, *rmap;
	uint32_t stride;
	uint32_t one; /* 1: its width is 1 */
};
/* enum rn_ew in fn; RN_EW_DROPMASK takes drop[drop]. */
struct rn_cuda_step {
	uint8_t fn, dst, a, b, c, drop;
	double imm; /* as in lib/dev/prog.h: a probability may not be rounded */
};
/* The mask at (i, f): the word of counter {row ? row[i] : i, 0, col / 4, epoch}, output word
 * col % 4, col = col ? col[i] : f (lib/base/rng.h). */
struct rn_cuda_drop {
	uint32_t key[2];
	const uint32_t *row, *col;
};
/* A number is kept, times *scale, where the upper 24 bits of its word reach the result. */
static inline uint32_t rn_cuda_drop_limit(double prob, float *scale)
{
	*scale = prob >= 1 ? 0 : (float)(1 / (1 - prob));
	return prob <= 0 ? 0 : prob >= 1 ? 1u << 24 : (uint32_t)ceil(prob * 16777216);
}

struct rn_cuda_elem {
	float *out;
	uint32_t rows, width;
	uint32_t nin, nsteps, nregs, result;
	struct rn_cuda_in in[RN_CUDA_INS];
	struct rn_cuda_step steps[RN_CUDA_STEPS];
	struct rn_cuda_drop drop[RN_CUDA_INS];
	const struct rn_cuda_live *live;
	uint32_t weighted; /* RN_P_SEGELEM, 1: the last input is the term's weight */
};
cudaError_t rn_cuda_elem(cudaStream_t s, const struct rn_cuda_elem *m);
cudaError_t rn_cuda_segelem(cudaStream_t s, const struct rn_cuda_elem *m,
			    const struct rn_cuda_segs *g);

/* ---- rows (rows.cu) ---------------------------------------------------------------------- */

/* out[i] = x[map[i]], 0 for RN_CUDA_NO_ROW. */
cudaError_t rn_cuda_gather(cudaStream_t s, float *out, const float *x, const uint32_t *map,
			   uint32_t rows, uint32_t width);
/* out[s] = sum over k in ptr[s] … ptr[s+1]-1 of w[wi[k]] * x[xi[k]]; terms whose xi is
 * RN_CUDA_NO_ROW are left out. */
cudaError_t rn_cuda_spmm(cudaStream_t s, float *out, const float *x, const uint32_t *xi,
			 const float *w, const uint32_t *wi, uint32_t width,
			 const struct rn_cuda_segs *g);
/* out[k] = dot(a[ai[k]], b[bi[k]]), 0 where either is RN_CUDA_NO_ROW. */
cudaError_t rn_cuda_sddmm(cudaStream_t s, float *out, uint32_t n, uint32_t width, const float *a,
			  const uint32_t *ai, const float *b, const uint32_t *bi);
cudaError_t rn_cuda_segarg(cudaStream_t s, uint32_t *out, const float *x, const uint32_t *ptr,
			   const uint32_t *rows, uint32_t n, uint32_t width, int smallest);
cudaError_t rn_cuda_pick(cudaStream_t s, float *out, const float *x, const uint32_t *arg,
			 uint32_t n, uint32_t width);
/* Zeros first: `out` has `rows` rows. */
cudaError_t rn_cuda_unpick(cudaStream_t s, float *out, uint32_t rows, const float *g,
			   const uint32_t *arg, uint32_t n, uint32_t width);

/* ---- features (feat.cu) ------------------------------------------------------------------ */

/* [n, width] -> [width]; scratch: rn_cuda_colsum_scratch bytes. */
size_t rn_cuda_colsum_scratch(uint32_t n, uint32_t width);
cudaError_t rn_cuda_colsum(cudaStream_t s, float *out, const float *x, uint32_t n, uint32_t width,
			   void *scratch);
/* map NULL: all into width 1; else out[i, j] = sum over f with map[f] = j, f ascending. */
cudaError_t rn_cuda_fsum(cudaStream_t s, float *out, const float *x, const uint32_t *map,
			 uint32_t n, uint32_t width, uint32_t out_width);
cudaError_t rn_cuda_fmax(cudaStream_t s, float *out, const float *x, uint32_t n, uint32_t width);
/* The index of the first largest, as a float. */
cudaError_t rn_cuda_argmax(cudaStream_t s, float *out, const float *x, uint32_t n,
			   uint32_t width);
/* Columns from … from+width-1 of out [rows, out_width] = x [rows, width]; stride 0: one row. */
cudaError_t rn_cuda_paste(cudaStream_t s, float *out, uint32_t out_width, uint32_t from,
			  const float *x, uint32_t rows, uint32_t width, uint32_t stride);
cudaError_t rn_cuda_densify(cudaStream_t s, float *out, const float *vals, const uint32_t *ptr,
			    const uint32_t *col, uint32_t rows, uint32_t width);
cudaError_t rn_cuda_atcsr(cudaStream_t s, float *out, const float *x, const uint32_t *ptr,
			  const uint32_t *col, uint32_t rows, uint32_t width);
/* logits [n, c] -> [n]; and its gradient, times g [n]. */
cudaError_t rn_cuda_ce(cudaStream_t s, float *out, const float *z, const uint32_t *label,
		       uint32_t n, uint32_t c);
cudaError_t rn_cuda_ce_grad(cudaStream_t s, float *out, const float *z, const float *g,
			    const uint32_t *label, uint32_t n, uint32_t c);

/* ---- products that cuBLAS has not (mat.cu) ----------------------------------------------- */

/* out = x·W (+ b), each row's sum over k ascending in fixed tiles: for products too small for
 * cuBLAS to pay, and where it is told not to be used.  trans: W is [m, k]. */
cudaError_t rn_cuda_gemm(cudaStream_t s, float *out, const float *x, const float *w,
			 const float *b, uint32_t n, uint32_t k, uint32_t m, int trans);
/* out [k, m] = xᵀ·y over n rows, by partial products of rows added in a fixed tree. */
size_t rn_cuda_gemm_tn_scratch(uint32_t n, uint32_t k, uint32_t m);
cudaError_t rn_cuda_gemm_tn(cudaStream_t s, float *out, const float *x, const float *y, uint32_t n,
			    uint32_t k, uint32_t m, void *scratch);
/* A matrix for each segment of the rows; ptr [segs + 1] begins with 0 and ends with n. */
cudaError_t rn_cuda_ggemm(cudaStream_t s, float *out, const float *x, const float *w,
			  const uint32_t *ptr, uint32_t segs, uint32_t n, uint32_t k, uint32_t m,
			  int trans);
/* out[s] [k, m] = xᵀ·y over the rows of a segment, by partial products of rows. */
size_t rn_cuda_ggemm_tn_scratch(uint32_t segs, uint32_t n, uint32_t k, uint32_t m);
cudaError_t rn_cuda_ggemm_tn(cudaStream_t s, float *out, const float *x, const float *y,
			     const uint32_t *ptr, uint32_t segs, uint32_t n, uint32_t k, uint32_t m,
			     void *scratch);
/* Row by row a [p, q] · b [q, r]; ta, tb: stored transposed; a stride of 0: one for all. */
cudaError_t rn_cuda_matmul(cudaStream_t s, float *out, const float *a, const float *b,
			   uint32_t rows, uint32_t p, uint32_t q, uint32_t r, int ta, int tb,
			   uint32_t a_stride, uint32_t b_stride);
/* b [m] added to each row of out [n, m]. */
cudaError_t rn_cuda_add_bias(cudaStream_t s, float *out, const float *b, uint32_t n, uint32_t m);

/* ---- optimizer steps (step.cu): lib/dev/prog.h has the scalars f, here in device memory -- */

/* Both leave everything as it is where live->halt is set. */
struct rn_cuda_adam_step {
	float *p;
	const float *grad;
	float *m, *v;
	const double *f;
	uint32_t n; /* numbers */
	uint32_t decoupled;
};
/* The steps of 1 to RN_CUDA_ADAMS parameters, by one launch. */
enum { RN_CUDA_ADAMS = 32 };
cudaError_t rn_cuda_adam(cudaStream_t s, const struct rn_cuda_adam_step *a, uint32_t n,
			 const struct rn_cuda_live *live);
/* buf NULL: no momentum. */
cudaError_t rn_cuda_sgd(cudaStream_t s, float *p, const float *grad, float *buf, uint32_t n,
			const double *f, const struct rn_cuda_live *live);

/* ---- epochs without the host (step.cu) --------------------------------------------------- */

/* In device memory: what has become of a window.  The host writes it up to `loss` before, and
 * reads it after it. */
enum { RN_CUDA_WINDOW = 256 };
struct rn_cuda_window {
	double best;              /* NaN: nothing yet */
	uint64_t stale, patience; /* patience 0: for ever */
	uint64_t ns;              /* spent on looks */
	uint32_t higher;          /* is better */
	uint32_t keep;            /* the last look found what is best, or as good */
	uint32_t made;            /* epochs that made their step */
	float loss[RN_CUDA_WINDOW];
	double val[RN_CUDA_WINDOW]; /* of epochs that were looked at */
};

/* An epoch of a window begins: live->epoch = first + turn, f [n] = row `turn` of table [][n], and
 * then the turn is counted. */
cudaError_t rn_cuda_turn(cudaStream_t s, struct rn_cuda_live *live, double *f, uint32_t n,
			 const double *table);
/* Its loss is known, and kept; where it is not finite, live->halt. */
cudaError_t rn_cuda_gate(cudaStream_t s, struct rn_cuda_live *live, const float *loss,
			 struct rn_cuda_window *w);

#ifdef __cplusplus
}
#endif

#endif
