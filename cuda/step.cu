/* SPDX-License-Identifier: Apache-2.0
 *
 * Optimizer steps: PyTorch's formulas in its order of operations, as lib/dev/cpu_feat.inc.h.
 * The scalars lie in device memory and are read by each thread, so that a captured step
 * sees those of its epoch.
 *
 * k_adam         threads over the numbers of several parameters, each of which has whole blocks
 * k_sgd          threads over a parameter
 * k_turn         one block: what an epoch of a window reads, in the place of the host's copy
 * k_gate         one thread: the loss kept, and steps stopped where it is not finite
 */
#include "kernels.h"
#include "../lib/dev/prog.h"

#include "launch.h"
#include "rows.cuh"

enum { BLOCK = 256 };

/* Step number k has the blocks from first[k] on; what is not used begins behind all of them. */
struct adams {
	const rn_cuda_live *live;
	unsigned first[RN_CUDA_ADAMS];
	rn_cuda_adam_step step[RN_CUDA_ADAMS];
};
static_assert(sizeof(adams) <= 4096, "the parameters of a kernel");
static_assert((RN_CUDA_ADAMS & (RN_CUDA_ADAMS - 1)) == 0, "a power of 2, for the search");

/* The last step that begins at or before this block. */
RN_DEV unsigned adam_of(const adams &a, unsigned block)
{
	unsigned k = 0;

	RN_UNROLL for (unsigned m = RN_CUDA_ADAMS / 2; m; m /= 2)
		k += a.first[k + m] <= block ? m : 0;
	return k;
}

static __global__ void __launch_bounds__(BLOCK) k_adam(const adams a)
{
	const unsigned step_number = adam_of(a, blockIdx.x);
	const rn_cuda_adam_step &s = a.step[step_number];
	const rn_u64 k = (rn_u64)(blockIdx.x - a.first[step_number]) * BLOCK + threadIdx.x;
	const double *f = s.f;
	const bool decoupled = s.decoupled;
	const float b1 = (float)f[RN_A_BETA1], b2 = (float)f[RN_A_BETA2], eps = (float)f[RN_A_EPS];
	const float c1 = (float)(1 - f[RN_A_BETA1]), c2 = (float)(1 - f[RN_A_BETA2]);
	const float decay = decoupled ? 0.0f : (float)f[RN_A_DECAY];
	const float keep = decoupled ? (float)(1 - f[RN_A_LR] * f[RN_A_DECAY]) : 1.0f;
	const float step = (float)(-f[RN_A_LR] / f[RN_A_BC1]), root = (float)sqrt(f[RN_A_BC2]);
	float x, g, m1, v1;

	if (k >= s.n || a.live->halt)
		return;
	x = s.p[k] * keep;
	g = decay != 0.0f ? s.grad[k] + decay * x : s.grad[k];
	m1 = s.m[k] * b1 + c1 * g;
	v1 = s.v[k] * b2 + c2 * g * g;
	s.m[k] = m1;
	s.v[k] = v1;
	s.p[k] = x + step * m1 / (sqrtf(v1) / root + eps);
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

cudaError_t rn_cuda_adam(cudaStream_t s, const struct rn_cuda_adam_step *a, uint32_t n,
			 const struct rn_cuda_live *live)
{
	adams all = {};
	unsigned blocks = 0;

	if (!n || n > RN_CUDA_ADAMS)
		return cudaErrorInvalidValue;
	all.live = live;
	for (unsigned k = 0; k < RN_CUDA_ADAMS; k++) {
		all.first[k] = k < n ? blocks : 0xFFFFFFFFu;
		if (k >= n)
			continue;
		all.step[k] = a[k];
		blocks += a[k].n / BLOCK + (a[k].n % BLOCK != 0);
	}
	return blocks ? RN_LAUNCH(k_adam, blocks, BLOCK, s, all) : cudaSuccess;
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
