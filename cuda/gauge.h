/* SPDX-License-Identifier: Apache-2.0
 *
 * Looks at an epoch of a window: what the kernels of gauge.cu offer to window.c.  Launchers as in
 * kernels.h.
 */
#ifndef RN_CUDA_GAUGE_H
#define RN_CUDA_GAUGE_H

#include "../lib/dev/gauge.h"
#include "rel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A gauge (lib/dev/gauge.h), whose bits this has; arrays are the device's. */
struct rn_cuda_gauge {
	enum rn_gauge_kind kind;
	uint32_t rows, width, sign;
	uint32_t classes, k;
	uint32_t ranked, queries; /* 0: it is of no ranking */
	uint32_t terms;           /* 0: it is not defined */
	const float *pred;
	const uint32_t *label;
	const double *truth;
	const uint32_t *labelled;
	const uint32_t *row, *query, *ptr;
	double counted, total;
	void *scratch;  /* rn_cuda_gauge_scratch bytes, */
	size_t sorting; /* of which so many are for sorts and scans */
};
/* By sizes and kind alone; sets g->sorting, too. */
cudaError_t rn_cuda_gauge_scratch(struct rn_cuda_gauge *g, size_t *bytes);
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
