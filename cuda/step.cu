/* SPDX-License-Identifier: Apache-2.0
 *
 * Optimizer steps: PyTorch's formulas in its order of operations, as lib/dev/cpu_feat.inc.h.
 * The scalars lie in device memory and are read by each thread, so that a captured step
 * sees those of its epoch.
 *
 * k_adam, k_sgd  threads over parameters
 * k_turn         one block: what an epoch of a window reads, in the place of the host's copy
 * k_gate         one thread: the loss kept, and steps stopped where it is not finite
 */
#include "kernels.h"
#include "../lib/dev/prog.h"

#include "launch.h"
#include "rows.cuh"

enum { BLOCK = 256 };

static __global__ void __launch_bounds__(BLOCK)
	k_adam(float *p, const float *grad, float *m, float *v, unsigned n, const double *f,
	       const rn_cuda_live *live, bool decoupled)
{
	const float b1 = (float)f[RN_A_BETA1], b2 = (float)f[RN_A_BETA2], eps = (float)f[RN_A_EPS];
	const float c1 = (float)(1 - f[RN_A_BETA1]), c2 = (float)(1 - f[RN_A_BETA2]);
	const float decay = decoupled ? 0.0f : (float)f[RN_A_DECAY];
	const float keep = decoupled ? (float)(1 - f[RN_A_LR] * f[RN_A_DECAY]) : 1.0f;
	const float step = (float)(-f[RN_A_LR] / f[RN_A_BC1]), root = (float)sqrt(f[RN_A_BC2]);
	const rn_u64 stride = (rn_u64)gridDim.x * BLOCK;

	if (live->halt)
		return;
	for (rn_u64 k = (rn_u64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += stride) {
		float x = p[k] * keep, g = decay != 0.0f ? grad[k] + decay * x : grad[k];
		float m1 = m[k] * b1 + c1 * g, v1 = v[k] * b2 + c2 * g * g;

		m[k] = m1;
		v[k] = v1;
		p[k] = x + step * m1 / (sqrtf(v1) / root + eps);
	}
}

static __global__ void __launch_bounds__(BLOCK)
	k_sgd(float *p, const float *grad, float *buf, unsigned n, const double *f,
	      const rn_cuda_live *live)
{
	const float lr = (float)f[RN_S_LR], momentum = (float)f[RN_S_MOMENTUM];
	const float decay = (float)f[RN_S_DECAY];
	const bool first = f[RN_S_FIRST] != 0;
	const rn_u64 stride = (rn_u64)gridDim.x * BLOCK;

	if (live->halt)
		return;
	for (rn_u64 k = (rn_u64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += stride) {
		float g = decay != 0.0f ? grad[k] + decay * p[k] : grad[k];

		if (buf && momentum != 0.0f) {
			g = first ? g : momentum * buf[k] + g;
			buf[k] = g;
		}
		p[k] -= lr * g;
	}
}

cudaError_t rn_cuda_adam(cudaStream_t s, float *p, const float *grad, float *m, float *v,
			 uint32_t n, const double *f, const struct rn_cuda_live *live,
			 int decoupled)
{
	if (!n)
		return cudaSuccess;
	return RN_LAUNCH(k_adam, rn_blocks(n, BLOCK), BLOCK, s, p, grad, m, v, n, f, live,
			 decoupled != 0);
}

cudaError_t rn_cuda_sgd(cudaStream_t s, float *p, const float *grad, float *buf, uint32_t n,
			const double *f, const struct rn_cuda_live *live)
{
	if (!n)
		return cudaSuccess;
	return RN_LAUNCH(k_sgd, rn_blocks(n, BLOCK), BLOCK, s, p, grad, buf, n, f, live);
}

/* ---- epochs without the host ------------------------------------------------------------- */

static __global__ void __launch_bounds__(BLOCK)
	k_turn(rn_cuda_live *live, double *f, unsigned n, const double *table)
{
	const unsigned turn = live->turn;

	for (unsigned k = threadIdx.x; k < n; k += BLOCK)
		f[k] = table[(rn_u64)turn * n + k];
	__syncthreads(); /* all have read the turn */
	if (!threadIdx.x) {
		live->epoch = live->first + turn;
		live->turn = turn + 1;
	}
}

static __global__ void k_gate(rn_cuda_live *live, const float *loss, rn_cuda_window *w)
{
	const float x = *loss;

	if (live->halt)
		return;
	w->loss[live->turn - 1] = x;
	if (isfinite(x))
		w->made = live->turn;
	else
		live->halt = 1;
}

cudaError_t rn_cuda_turn(cudaStream_t s, struct rn_cuda_live *live, double *f, uint32_t n,
			 const double *table)
{
	return RN_LAUNCH(k_turn, 1, BLOCK, s, live, f, n, table);
}

cudaError_t rn_cuda_gate(cudaStream_t s, struct rn_cuda_live *live, const float *loss,
			 struct rn_cuda_window *w)
{
	return RN_LAUNCH(k_gate, 1, 1, s, live, loss, w);
}
