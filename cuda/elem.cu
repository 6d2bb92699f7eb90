/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise programs as bytecode: what runs where fuse.c has made no kernel.  A step is
 * decoded once for VALUES numbers of a thread; registers lie in shared memory, a column
 * for each thread, so that no two threads meet in a bank.
 *
 * k_elem     threads over numbers (VALUES each)
 * k_segelem  a group of lanes for each segment (device.cuh, rn_segsum)
 */
#include "kernels.h"
#include "../lib/dev/prog.h"

#include "launch.h"
#include "rows.cuh"

#include <math.h>

enum { THREADS = RN_SEG_BLOCK, VALUES = 4, FEW_REGS = 8 };

/* struct rn_cuda_step, with what a mask needs. */
struct step {
	uint8_t fn, dst, a, b, c, drop;
	float imm;
	unsigned limit;
};

struct program {
	float *out;
	rn_u64 total;
	unsigned width, nin, nsteps, result;
	bool weighted;
	const struct rn_cuda_live *live;
	struct rn_cuda_in in[RN_CUDA_INS];
	struct rn_cuda_drop drop[RN_CUDA_INS];
	struct step steps[RN_CUDA_STEPS];
	struct rn_segs g;
	unsigned lanes, terms;
};
static_assert(sizeof(struct program) <= 4096, "the parameters of a kernel");

RN_DEV float load_in(const struct rn_cuda_in &in, unsigned i, unsigned f)
{
	unsigned row = in.rmap ? in.rmap[i] : i, col = in.fmap ? in.fmap[f] : in.one ? 0 : f;

	if (in.rmap && row == RN_NOWHERE)
		return 0.0f;
	return in.x[(rn_u64)row * in.stride + col];
}

RN_DEV float load_drop(const struct rn_cuda_drop &d, const struct step &s, unsigned epoch,
		       unsigned i, unsigned f)
{
	unsigned row = d.row ? d.row[i] : i, col = d.col ? d.col[i] : f;

	return rn_drop_at(d.key, row, col, epoch, s.limit, s.imm);
}

/* Registers are reg[r * N * THREADS + n * THREADS], of this thread; N numbers at a time. */
#define AT(r, n) reg[((r) * N + (n)) * THREADS]
#define EACH(expr)                                                                                \
	RN_UNROLL for (unsigned n = 0; n < N; n++)                                                \
	{                                                                                         \
		AT(s.dst, n) = (expr);                                                            \
	}                                                                                         \
	break
#define X AT(s.a, n)
#define Y AT(s.b, n)
#define Z AT(s.c, n)

template <unsigned N>
RN_DEV void run_math(const struct step &s, float *reg)
{
	switch (s.fn) {
	case RN_EW_IMM:
		EACH(s.imm);
	case RN_EW_NEG:
		EACH(-X);
	case RN_EW_EXP:
		EACH(expf(X));
	case RN_EW_LOG:
		EACH(logf(X));
	case RN_EW_LOG1P:
		EACH(log1pf(X));
	case RN_EW_SQRT:
		EACH(sqrtf(X));
	case RN_EW_ABS:
		EACH(fabsf(X));
	case RN_EW_SIGN:
		EACH(rn_sign(X));
	case RN_EW_ROUND:
		EACH(rintf(X));
	case RN_EW_TANH:
		EACH(tanhf(X));
	case RN_EW_SIGMOID:
		EACH(rn_sigmoid(X));
	case RN_EW_ERF:
		EACH(erff(X));
	case RN_EW_RELU:
		EACH(rn_relu(X));
	case RN_EW_POS:
		EACH(rn_if(X > 0.0f));
	case RN_EW_ADD:
		EACH(X + Y);
	case RN_EW_SUB:
		EACH(X - Y);
	case RN_EW_MUL:
		EACH(X * Y);
	case RN_EW_DIV:
		EACH(X / Y);
	case RN_EW_POW:
		EACH(powf(X, Y));
	case RN_EW_MAX:
		EACH(rn_max(X, Y));
	case RN_EW_MIN:
		EACH(rn_min(X, Y));
	case RN_EW_EQ:
		EACH(rn_if(X == Y));
	case RN_EW_LT:
		EACH(rn_if(X < Y));
	case RN_EW_LE:
		EACH(rn_if(X <= Y));
	case RN_EW_SELECT:
		EACH(X != 0.0f ? Y : Z);
	case RN_EW_FMA:
		EACH(fmaf(X, Y, Z));
	default:
		break;
	}
}

/* The program at rows i[n], columns f[n]. */
template <unsigned N>
RN_DEV void run_steps(const struct program &p, float *reg, unsigned epoch, const unsigned *i,
		      const unsigned *f)
{
	for (unsigned k = 0; k < p.nsteps; k++) {
		const struct step &s = p.steps[k];

		if (s.fn == RN_EW_LOAD)
			RN_UNROLL for (unsigned n = 0; n < N; n++)
				AT(s.dst, n) = load_in(p.in[s.a], i[n], f[n]);
		else if (s.fn == RN_EW_DROPMASK)
			RN_UNROLL for (unsigned n = 0; n < N; n++)
				AT(s.dst, n) = load_drop(p.drop[s.drop], s, epoch, i[n], f[n]);
		else
			run_math<N>(s, reg);
	}
}

template <unsigned REGS>
static __global__ void __launch_bounds__(THREADS)
	k_elem(const struct program p)
{
	constexpr unsigned N = VALUES;
	__shared__ float regs[REGS * N * THREADS];
	float *reg = regs + threadIdx.x;
	const rn_u64 step = (rn_u64)gridDim.x * THREADS * N;
	const unsigned epoch = p.live ? p.live->epoch : 0;
	rn_u64 t = (rn_u64)blockIdx.x * THREADS * N + threadIdx.x;

	for (; t < p.total; t += step) {
		unsigned i[N], f[N];

		RN_UNROLL for (unsigned n = 0; n < N; n++)
		{
			rn_u64 at = t + n * THREADS < p.total ? t + n * THREADS : t;

			if (p.total >> 32) {
				i[n] = (unsigned)(at / p.width);
				f[n] = (unsigned)(at % p.width);
			} else {
				i[n] = (unsigned)at / p.width;
				f[n] = (unsigned)at % p.width;
			}
		}
		run_steps<N>(p, reg, epoch, i, f);
		RN_UNROLL for (unsigned n = 0; n < N; n++)
			if (t + n * THREADS < p.total)
				p.out[t + n * THREADS] = AT(p.result, n);
	}
}

/* A term of a segment is a row of the program. */
struct elem_term {
	struct held {
	};
	const struct program &p;
	float *reg;
	unsigned epoch;

	__device__ __forceinline__ elem_term(const struct program &args, float *mine)
	    : p(args), reg(mine), epoch(args.live ? args.live->epoch : 0)
	{
	}
	__device__ __forceinline__ void columns(unsigned)
	{
	}
	__device__ __forceinline__ void find(held &, unsigned) const
	{
	}
	__device__ __forceinline__ void load(held &, unsigned, unsigned) const
	{
	}
	__device__ __forceinline__ void add(const held &, unsigned k, unsigned f, float *acc) const
	{
		constexpr unsigned N = 1;

		run_steps<1>(p, reg, epoch, &k, &f);
		if (p.weighted)
			acc[0] = fmaf(load_in(p.in[p.nin - 1], k, 0), AT(p.result, 0), acc[0]);
		else
			acc[0] += AT(p.result, 0);
	}
};
#undef AT
#undef EACH
#undef X
#undef Y
#undef Z

static __global__ void __launch_bounds__(THREADS)
	k_segelem(const struct program p)
{
	__shared__ float regs[RN_CUDA_REGS * THREADS];
	elem_term term(p, regs + threadIdx.x);

	rn_segsum<1, 1>(p.g, p.out, p.width, p.lanes, p.terms, term);
}

/* ---- launching --------------------------------------------------------------------------- */

static struct program program_of(const struct rn_cuda_elem *m)
{
	struct program p = {};

	p.out = m->out;
	p.total = (rn_u64)m->rows * m->width;
	p.width = m->width;
	p.nin = m->nin;
	p.nsteps = m->nsteps;
	p.result = m->result;
	p.weighted = m->weighted;
	p.live = m->live;
	for (unsigned k = 0; k < RN_CUDA_INS; k++) {
		p.in[k] = m->in[k];
		p.drop[k] = m->drop[k];
	}
	for (unsigned k = 0; k < m->nsteps; k++) {
		const struct rn_cuda_step *s = &m->steps[k];
		struct step *d = &p.steps[k];

		*d = { s->fn, s->dst, s->a, s->b, s->c, s->drop, (float)s->imm, 0 };
		if (s->fn == RN_EW_DROPMASK)
			d->limit = rn_cuda_drop_limit(s->imm, &d->imm);
	}
	return p;
}

cudaError_t rn_cuda_elem(cudaStream_t s, const struct rn_cuda_elem *m)
{
	struct program p;
	unsigned blocks;

	if (!m->rows || !m->width)
		return cudaSuccess;
	if (m->nsteps > RN_CUDA_STEPS || m->nregs > RN_CUDA_REGS || m->nin > RN_CUDA_INS)
		return cudaErrorInvalidValue;
	p = program_of(m);
	blocks = rn_blocks(p.total, THREADS * VALUES);
	if (m->nregs <= FEW_REGS)
		return RN_LAUNCH(k_elem<FEW_REGS>, blocks, THREADS, s, p);
	return RN_LAUNCH(k_elem<RN_CUDA_REGS>, blocks, THREADS, s, p);
}

cudaError_t rn_cuda_segelem(cudaStream_t s, const struct rn_cuda_elem *m,
			    const struct rn_cuda_segs *g)
{
	struct rn_seg_layout l = rn_seg_layout_of(g, m->width, 1);
	struct program p;
	cudaError_t rc;

	if (!g->n || !m->width)
		return cudaSuccess;
	if (m->nsteps > RN_CUDA_STEPS || m->nregs > RN_CUDA_REGS || m->nin > RN_CUDA_INS)
		return cudaErrorInvalidValue;
	p = program_of(m);
	p.g = segs_of(g);
	p.lanes = l.lanes;
	p.terms = l.terms;
	rc = RN_LAUNCH(k_segelem, rn_segs_grid(g, &l), THREADS, s, p);
	return rc != cudaSuccess ? rc : rn_cuda_segs_close(s, m->out, m->width, g);
}
