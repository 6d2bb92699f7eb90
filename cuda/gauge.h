/* SPDX-License-Identifier: Apache-2.0
 *
 * Looks at an epoch of a window: what the kernels of gauge.cu offer to window.c.  Launchers as in
 * kernels.h.
 */
#ifndef RN_CUDA_GAUGE_H
#define RN_CUDA_GAUGE_H

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A gauge (lib/dev/gauge.h), whose bits this has; arrays are the device's. */
struct rn_cuda_gauge {
	uint32_t kind; /* enum rn_gauge_kind */
	uint32_t rows, width, sign;
	uint32_t classes;
	uint32_t terms; /* 0: it is not defined */
	const float *pred;
	const uint32_t *label;
	const double *truth;
	const uint32_t *labelled;
	double counted, total;
	void *scratch; /* rn_cuda_gauge_scratch bytes */
};
/* By sizes and kind alone. */
size_t rn_cuda_gauge_scratch(const struct rn_cuda_gauge *g);
struct rn_cuda_copy {
	float *to;
	const float *from;
	uint64_t n;
};

/* A look begins, or ends: its time. */
cudaError_t rn_cuda_look(cudaStream_t s, struct rn_cuda_window *w, int end);
/* The gauge is read into w->val of the turn that began last; w->best, stale and keep follow, and
 * live->halt where patience ends.  Where live->halt is set nothing changes, and keep is 0. */
cudaError_t rn_cuda_judge(cudaStream_t s, struct rn_cuda_live *live, struct rn_cuda_window *w,
			  const struct rn_cuda_gauge *g);
/* Where w->keep: each of n copies (device memory), of at most `most` numbers. */
cudaError_t rn_cuda_keep(cudaStream_t s, const struct rn_cuda_window *w,
			 const struct rn_cuda_copy *copies, uint32_t n, uint64_t most);

#ifdef __cplusplus
}
#endif

#endif
