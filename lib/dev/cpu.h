/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the CPU backend: the kernel tables, one for each level of instruction
 * set, and what kernels of every type share.
 *
 * cpu_kernels.c is compiled once for each level; it includes the *.inc.h files
 * once for float and once for double.
 */
#ifndef RN_CPU_H
#define RN_CPU_H

#include "backend.h"

#define NO_ROW UINT32_MAX /* RN_NO_ROW of lib/rel, which this folder may not include */

enum {
	CHUNK_TERMS = 256,  /* of a segment's sum */
	CHUNK_ROWS = 256,   /* of RN_P_COLSUM */
	CHUNK_OUTER = 4096, /* rows of a partial product of RN_P_GEMM_TN */
	PANEL_ROWS = 1024,  /* of a product that BLAS computes */
	PART_BYTES = 96 << 10, /* memory that a part touches, about: 10 to 30 µs of work */
	MAX_PARTS = 4096,
};

/* The two products that are left to BLAS where it is there. */
struct rn_blas {
	void *handle;
	void (*sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
		      int lda, const float *b, int ldb, float beta, float *c, int ldc);
	void (*dgemm)(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
		      int lda, const double *b, int ldb, double beta, double *c, int ldc);
};

struct rn_cpu_kernels {
	const char *isa;
	const struct rn_kernel *f32, *f64; /* [RN_NPRIM] */
};
extern const struct rn_cpu_kernels rn_cpu_kernels_baseline;
#ifdef __x86_64__
extern const struct rn_cpu_kernels rn_cpu_kernels_v3, rn_cpu_kernels_v4;
#endif

/* Is this a product for BLAS?  By sizes alone.  Up to 256 columns on both sides the kernels
 * are as fast (measured), and BLAS need not be loaded. */
static inline bool rn_cpu_wide(const struct rn_prog *p, const struct rn_inst *i)
{
	uint32_t less, more;

	if (i->op != RN_P_GEMM && i->op != RN_P_GEMM_TN)
		return false;
	less = p->vals[i->in[0].val].width;
	more = p->vals[i->op == RN_P_GEMM ? i->out : i->in[1].val].width;
	if (less > more) {
		uint32_t t = less;

		less = more;
		more = t;
	}
	return less > 64 && more > 256 && more <= 1 << 30 && p->vals[i->in[0].val].rows >= 256;
}

#endif
