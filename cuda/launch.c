/* SPDX-License-Identifier: Apache-2.0
 *
 * From a primitive to what runs it: one table.  Products of two wide sides are cuBLAS's,
 * in float throughout unless --math says otherwise; the others are RN's own kernels.
 */
#include "host.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)RN_CUDA_INS == RN_MAX_IN && (int)RN_CUDA_STEPS == RN_ELEM_STEPS &&
		       (int)RN_CUDA_REGS == RN_ELEM_REGS,
	       "what a fused program may have");

enum { WORKSPACE = 32 << 20 }; /* bytes: what NVIDIA advises for Hopper */

static const struct rn_val *out_of(const struct rn_kargs *a)
{
	return &a->prog->vals[a->inst->out];
}

static const struct rn_val *in_of(const struct rn_kargs *a, unsigned k)
{
	return &a->prog->vals[a->inst->in[k].val];
}

static uint32_t idx_len(const struct rn_kargs *a, unsigned k)
{
	return a->prog->idx[a->inst->idx[k]].n;
}

/* ---- elementwise -------------------------------------------------------------------------- */

static void set_drop(const struct rn_kargs *a, const struct rn_drop *d, struct rn_cuda_drop *to)
{
	*to = (struct rn_cuda_drop){
		.key = { d->key.k[0], d->key.k[1] },
		.row = d->row == RN_NONE ? NULL : a->idx_table[d->row],
		.col = d->col == RN_NONE ? NULL : a->idx_table[d->col],
	};
}

/* One scalar function as a program: its operands loaded, then it. */
static void set_single(const struct rn_kargs *a, struct rn_cuda_elem *m)
{
	const struct rn_inst *i = a->inst;

	for (uint32_t k = 0; k < i->nin; k++)
		m->steps[m->nsteps++] =
			(struct rn_cuda_step){ .fn = RN_EW_LOAD, .dst = (uint8_t)k, .a = (uint8_t)k };
	m->steps[m->nsteps++] = (struct rn_cuda_step){
		.fn = (uint8_t)i->fn, .dst = (uint8_t)i->nin, .a = 0, .b = 1, .c = 2, .imm = i->imm,
	};
	m->nregs = i->nin + 1;
	m->result = i->nin;
	if (i->fn == RN_EW_DROPMASK)
		set_drop(a, &i->drop, &m->drop[0]);
}

static int set_fused(const struct rn_kargs *a, struct rn_cuda_elem *m, struct rn_err *e)
{
	const struct rn_elem *p = &a->inst->elem;

	if (p->ndrops > RN_CUDA_INS)
		return rn_err_set(e, RN_EBUG, "%u dropout masks in a fused program", p->ndrops);
	for (uint32_t k = 0; k < p->nsteps; k++) {
		const struct rn_elem_step *s = &p->steps[k];

		m->steps[k] = (struct rn_cuda_step){ s->fn, s->dst, s->a, s->b, s->c, s->drop,
						     s->imm };
	}
	for (uint32_t k = 0; k < p->ndrops; k++)
		set_drop(a, &p->drops[k], &m->drop[k]);
	m->nsteps = p->nsteps;
	m->nregs = p->nregs;
	m->result = p->result;
	return 0;
}

int rn_cuda_op_elem(const struct rn_kargs *a, const struct rn_cuda_live *live,
		    struct rn_cuda_elem **out, struct rn_err *e)
{
	const struct rn_inst *i = a->inst;
	struct rn_cuda_elem *m;
	int rc = 0;

	*out = NULL;
	if (i->op != RN_P_EW && !rn_prim_is_fused(i->op))
		return 0;
	RN_TRY(rn_calloc(1, sizeof *m, "an instruction for the device", &m, e));
	m->out = a->out;
	m->rows = out_of(a)->rows;
	m->width = out_of(a)->width;
	m->nin = i->nin;
	m->live = live;
	m->weighted = (i->flags & RN_F_WEIGHTED) != 0;
	for (uint32_t k = 0; k < i->nin; k++) {
		const struct rn_val *v = in_of(a, k);
		const struct rn_in *in = &i->in[k];
		bool mapped = in->rmap != RN_NONE;

		m->in[k] = (struct rn_cuda_in){
			.x = a->in[k],
			.fmap = in->fmap == RN_NONE ? NULL : a->idx_table[in->fmap],
			.rmap = mapped ? a->idx_table[in->rmap] : NULL,
			.stride = v->rows == 1 && !mapped ? 0 : v->width,
			.one = v->width == 1 && in->fmap == RN_NONE,
		};
	}
	if (i->op == RN_P_EW)
		set_single(a, m);
	else
		rc = set_fused(a, m, e);
	if (rc)
		free(m);
	else
		*out = m;
	return rc;
}

static int run_elem(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	if (o->kernel != RN_NONE)
		RN_CUDA(e, rn_cuda_fuse_launch(c->fuse, o->kernel, c->stream, o->elem, NULL));
	else
		RN_CUDA(e, rn_cuda_elem(c->stream, o->elem));
	return 0;
}

static int run_segelem(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	if (o->kernel != RN_NONE)
		RN_CUDA(e, rn_cuda_fuse_launch(c->fuse, o->kernel, c->stream, o->elem, &o->segs));
	else
		RN_CUDA(e, rn_cuda_segelem(c->stream, o->elem, &o->segs));
	return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int run_gather(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *v = out_of(a);

	RN_CUDA(e, rn_cuda_gather(c->stream, a->out, a->in[0], a->idx[0], v->rows, v->width));
	return 0;
}

static int run_stack(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	char *at = o->a->out;

	for (uint32_t k = 0; k < o->a->inst->nin; k++) {
		const struct rn_val *v = in_of(o->a, k);
		size_t n = (size_t)v->rows * v->width * sizeof(float);

		if (n)
			RN_CUDA(e, cudaMemcpyAsync(at, o->a->in[k], n, cudaMemcpyDeviceToDevice,
						   c->stream));
		at += n;
	}
	return 0;
}

static int run_spmm(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;

	RN_CUDA(e, rn_cuda_spmm(c->stream, a->out, a->in[0], a->idx[1], a->in[1], a->idx[2],
				out_of(a)->width, &o->segs));
	return 0;
}

static int run_sddmm(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;

	RN_CUDA(e, rn_cuda_sddmm(c->stream, a->out, out_of(a)->rows, in_of(a, 0)->width, a->in[0],
				 a->idx[0], a->in[1], a->idx[1]));
	return 0;
}

static int run_segarg(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *v = out_of(a);

	RN_CUDA(e, rn_cuda_segarg(c->stream, a->out, a->in[0], a->idx[0], a->idx[1], v->rows,
				  v->width, (a->inst->flags & RN_F_MIN) != 0));
	return 0;
}

static int run_pick(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *v = out_of(a);

	RN_CUDA(e, rn_cuda_pick(c->stream, a->out, a->in[0], a->in[1], v->rows, v->width));
	return 0;
}

static int run_unpick(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *v = out_of(a);

	RN_CUDA(e, rn_cuda_unpick(c->stream, a->out, v->rows, a->in[0], a->in[1], in_of(a, 0)->rows,
				  v->width));
	return 0;
}

/* ---- matrices ----------------------------------------------------------------------------------- */

/* What cuBLAS's cost of a launch and of tiles that are not filled makes up for. */
bool rn_cuda_op_wide(const struct rn_prog *p, const struct rn_inst *i)
{
	uint64_t n, k, m;

	if (i->op != RN_P_GEMM && i->op != RN_P_GEMM_TN)
		return false;
	n = p->vals[i->in[0].val].rows;
	k = p->vals[i->in[0].val].width;
	m = i->op == RN_P_GEMM ? p->vals[i->out].width : p->vals[i->in[1].val].width;
	return k >= 32 && m >= 32 && n >= 256 && n * k * m >= 1u << 24 && n <= INT32_MAX &&
	       k <= INT32_MAX && m <= INT32_MAX;
}

int rn_cuda_set_math(struct rn_cuda *c, enum rn_math m, struct rn_err *e)
{
	c->math = m;
	if (c->blas)
		RN_CUBLAS(e, cublasSetMathMode(c->blas, m == RN_MATH_F32 ? CUBLAS_PEDANTIC_MATH :
									   CUBLAS_DEFAULT_MATH));
	return 0;
}

/* Made when the first product wants it, which no epoch waits for: lists ask before they run. */
static int open_blas(struct rn_cuda *c, struct rn_err *e)
{
	if (c->blas)
		return 0;
	RN_CUBLAS(e, cublasCreate(&c->blas));
	RN_CUBLAS(e, cublasSetStream(c->blas, c->stream));
	RN_TRY(rn_cuda_pool_alloc(&c->pool, WORKSPACE, &c->workspace, e));
	RN_CUBLAS(e, cublasSetWorkspace(c->blas, c->workspace, WORKSPACE));
	RN_CUBLAS(e, cublasSetAtomicsMode(c->blas, CUBLAS_ATOMICS_NOT_ALLOWED));
	return rn_cuda_set_math(c, c->math, e);
}

/* out [n, m] by rows = op(x)·op(w) with inner length k.  cuBLAS counts down columns: it is told
 * outᵀ = op(w)ᵀ·op(x)ᵀ. */
static int multiply(struct rn_cuda *c, cublasOperation_t tw, cublasOperation_t tx, int m, int n,
		    int k, const float *w, int ldw, const float *x, int ldx, float *out,
		    struct rn_err *e)
{
	const float one = 1, zero = 0;

	RN_TRY(open_blas(c, e));
	if (c->math == RN_MATH_F32)
		RN_CUBLAS(e, cublasSgemm(c->blas, tw, tx, m, n, k, &one, w, ldw, x, ldx, &zero, out,
					 m));
	else
		RN_CUBLAS(e, cublasGemmEx(c->blas, tw, tx, m, n, k, &one, w, CUDA_R_32F, ldw, x,
					  CUDA_R_32F, ldx, &zero, out, CUDA_R_32F, m,
					  c->math == RN_MATH_BF16 ? CUBLAS_COMPUTE_32F_FAST_16BF :
								    CUBLAS_COMPUTE_32F_FAST_TF32,
					  CUBLAS_GEMM_DEFAULT));
	return 0;
}

static int wide_gemm(struct rn_cuda *c, const struct rn_kargs *a, struct rn_err *e)
{
	bool trans = a->inst->flags & RN_F_TRANS;
	int n = (int)out_of(a)->rows, k = (int)in_of(a, 0)->width, m = (int)out_of(a)->width;

	RN_TRY(multiply(c, trans ? CUBLAS_OP_T : CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, a->in[1],
			trans ? k : m, a->in[0], k, a->out, e));
	if (a->in[2])
		RN_CUDA(e, rn_cuda_add_bias(c->stream, a->out, a->in[2], (uint32_t)n, (uint32_t)m));
	return 0;
}

static int run_gemm(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;

	if (rn_cuda_op_wide(a->prog, a->inst))
		return wide_gemm(c, a, e);
	RN_CUDA(e, rn_cuda_gemm(c->stream, a->out, a->in[0], a->in[1], a->in[2], out_of(a)->rows,
				in_of(a, 0)->width, out_of(a)->width,
				(a->inst->flags & RN_F_TRANS) != 0));
	return 0;
}

static int run_gemm_tn(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	uint32_t n = in_of(a, 0)->rows, k = in_of(a, 0)->width, m = in_of(a, 1)->width;

	if (!rn_cuda_op_wide(a->prog, a->inst)) {
		RN_CUDA(e, rn_cuda_gemm_tn(c->stream, a->out, a->in[0], a->in[1], n, k, m,
					   a->scratch));
		return 0;
	}
	return multiply(c, CUBLAS_OP_N, CUBLAS_OP_T, (int)m, (int)k, (int)n, a->in[1], (int)m,
			a->in[0], (int)k, a->out, e);
}

static size_t scratch_gemm_tn(const struct rn_kargs *a)
{
	return rn_cuda_gemm_tn_scratch(in_of(a, 0)->rows, in_of(a, 0)->width, in_of(a, 1)->width);
}

static int run_ggemm(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;

	RN_CUDA(e, rn_cuda_ggemm(c->stream, a->out, a->in[0], a->in[1], a->idx[0],
				 in_of(a, 1)->rows, out_of(a)->rows, in_of(a, 0)->width,
				 out_of(a)->width, (a->inst->flags & RN_F_TRANS) != 0));
	return 0;
}

static int run_ggemm_tn(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;

	RN_CUDA(e, rn_cuda_ggemm_tn(c->stream, a->out, a->in[0], a->in[1], a->idx[0],
				    out_of(a)->rows, in_of(a, 0)->rows, in_of(a, 0)->width,
				    in_of(a, 1)->width, a->scratch));
	return 0;
}

static size_t scratch_ggemm_tn(const struct rn_kargs *a)
{
	return rn_cuda_ggemm_tn_scratch(out_of(a)->rows, in_of(a, 0)->rows, in_of(a, 0)->width,
					in_of(a, 1)->width);
}

static uint32_t dim_of(const struct rn_val *v, unsigned k)
{
	return v->rank > k ? v->dim[k] : 1;
}

static int run_matmul(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *x = in_of(a, 0), *y = in_of(a, 1), *v = out_of(a);
	bool ta = a->inst->flags & RN_F_TRANS_A, tb = a->inst->flags & RN_F_TRANS_B;

	RN_CUDA(e, rn_cuda_matmul(c->stream, a->out, a->in[0], a->in[1], v->rows, dim_of(x, ta),
				  dim_of(x, !ta), dim_of(y, !tb), ta, tb,
				  x->rows == 1 ? 0 : x->width, y->rows == 1 ? 0 : y->width));
	return 0;
}

/* ---- features ------------------------------------------------------------------------------------ */

static int run_colsum(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *x = in_of(a, 0);

	RN_CUDA(e, rn_cuda_colsum(c->stream, a->out, a->in[0], x->rows, x->width, a->scratch));
	return 0;
}

static size_t scratch_colsum(const struct rn_kargs *a)
{
	return rn_cuda_colsum_scratch(in_of(a, 0)->rows, in_of(a, 0)->width);
}

static int run_fsum(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *x = in_of(a, 0);

	RN_CUDA(e, rn_cuda_fsum(c->stream, a->out, a->in[0], a->idx[0], x->rows, x->width,
				out_of(a)->width));
	return 0;
}

static int run_fmax(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_val *x = in_of(o->a, 0);

	RN_CUDA(e, rn_cuda_fmax(c->stream, o->a->out, o->a->in[0], x->rows, x->width));
	return 0;
}

static int run_argmax(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_val *x = in_of(o->a, 0);

	RN_CUDA(e, rn_cuda_argmax(c->stream, o->a->out, o->a->in[0], x->rows, x->width));
	return 0;
}

static int run_concat(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *v = out_of(a);
	uint32_t from = 0;

	for (uint32_t k = 0; k < a->inst->nin; k++) {
		const struct rn_val *x = in_of(a, k);

		RN_CUDA(e, rn_cuda_paste(c->stream, a->out, v->width, from, a->in[k], v->rows,
					 x->width, x->rows == 1 ? 0 : x->width));
		from += x->width;
	}
	return 0;
}

/* A view lies where its operand lies, unless it was given memory of its own. */
static int run_view(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *v = out_of(a);

	if (a->out != a->in[0])
		RN_CUDA(e, cudaMemcpyAsync(a->out, a->in[0],
					   (size_t)v->rows * v->width * sizeof(float),
					   cudaMemcpyDeviceToDevice, c->stream));
	return 0;
}

static int run_densify(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *v = out_of(a);

	RN_CUDA(e, rn_cuda_densify(c->stream, a->out, a->in[0], a->idx[0], a->idx[1], v->rows,
				   v->width));
	return 0;
}

static int run_atcsr(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *x = in_of(a, 0);

	RN_CUDA(e, rn_cuda_atcsr(c->stream, a->out, a->in[0], a->idx[0], a->idx[1], x->rows,
				 x->width));
	return 0;
}

/* ---- losses, steps ----------------------------------------------------------------------------------- */

static int run_ce(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_val *x = in_of(o->a, 0);

	RN_CUDA(e, rn_cuda_ce(c->stream, o->a->out, o->a->in[0], o->a->idx[0], x->rows, x->width));
	return 0;
}

static int run_ce_grad(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *x = in_of(a, 0);

	RN_CUDA(e, rn_cuda_ce_grad(c->stream, a->out, a->in[0], a->in[1], a->idx[0], x->rows,
				   x->width));
	return 0;
}

/* A kernel writes its own result and the slots, which are operands. */
static float *slot(const struct rn_kargs *a, unsigned k)
{
	return (float *)(uintptr_t)a->in[k];
}

/* n steps that follow on each other: none reads what another writes. */
static int run_adams(struct rn_cuda *c, const struct rn_cuda_op *o, uint32_t n, struct rn_err *e)
{
	struct rn_cuda_adam_step all[RN_CUDA_ADAMS];

	for (uint32_t k = 0; k < n; k++) {
		const struct rn_kargs *a = o[k].a;

		all[k] = (struct rn_cuda_adam_step){
			.p = a->out,
			.grad = a->in[1],
			.m = slot(a, 2),
			.v = slot(a, 3),
			.f = o[k].f,
			.n = out_of(a)->width,
			.decoupled = (a->inst->flags & RN_F_DECOUPLED) != 0,
		};
	}
	RN_CUDA(e, rn_cuda_adam(c->stream, all, n, o->live));
	return 0;
}

static int run_adam(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	return run_adams(c, o, 1, e);
}

static int run_sgd(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;

	RN_CUDA(e, rn_cuda_sgd(c->stream, a->out, a->in[1], a->inst->nin > 2 ? slot(a, 2) : NULL,
			       out_of(a)->width, o->f, o->live));
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------------------ */

enum { STEPS = 1, SUMS = 2 };

static const struct launcher {
	int (*run)(struct rn_cuda *c, const struct rn_cuda_op *o, struct rn_err *e);
	size_t (*scratch)(const struct rn_kargs *a); /* NULL: none but that of segments */
	unsigned flags;
} launchers[] = {
	[RN_P_EW] = { run_elem, NULL, 0 },
	[RN_P_ELEM] = { run_elem, NULL, 0 },
	[RN_P_GATHER] = { run_gather, NULL, 0 },
	[RN_P_STACK] = { run_stack, NULL, 0 },
	[RN_P_SPMM] = { run_spmm, NULL, SUMS },
	[RN_P_SEGELEM] = { run_segelem, NULL, SUMS },
	[RN_P_SDDMM] = { run_sddmm, NULL, 0 },
	[RN_P_SEGARG] = { run_segarg, NULL, 0 },
	[RN_P_PICK] = { run_pick, NULL, 0 },
	[RN_P_UNPICK] = { run_unpick, NULL, 0 },
	[RN_P_GEMM] = { run_gemm, NULL, 0 },
	[RN_P_GEMM_TN] = { run_gemm_tn, scratch_gemm_tn, 0 },
	[RN_P_GGEMM] = { run_ggemm, NULL, 0 },
	[RN_P_GGEMM_TN] = { run_ggemm_tn, scratch_ggemm_tn, 0 },
	[RN_P_MATMUL] = { run_matmul, NULL, 0 },
	[RN_P_COLSUM] = { run_colsum, scratch_colsum, 0 },
	[RN_P_FSUM] = { run_fsum, NULL, 0 },
	[RN_P_FMAX] = { run_fmax, NULL, 0 },
	[RN_P_ARGMAX] = { run_argmax, NULL, 0 },
	[RN_P_CONCAT] = { run_concat, NULL, 0 },
	[RN_P_VIEW] = { run_view, NULL, 0 },
	[RN_P_DENSIFY] = { run_densify, NULL, 0 },
	[RN_P_ATCSR] = { run_atcsr, NULL, 0 },
	[RN_P_CE] = { run_ce, NULL, 0 },
	[RN_P_CE_GRAD] = { run_ce_grad, NULL, 0 },
	[RN_P_ADAM] = { run_adam, NULL, STEPS },
	[RN_P_SGD] = { run_sgd, NULL, STEPS },
};
_Static_assert(sizeof launchers / sizeof *launchers == RN_NPRIM, "a row for every primitive");

bool rn_cuda_op_steps(const struct rn_inst *i)
{
	return launchers[i->op].flags & STEPS;
}

bool rn_cuda_op_sums(const struct rn_inst *i)
{
	return launchers[i->op].flags & SUMS;
}

/* The pieces of long segments, of which each has a row of sums. */
static size_t scratch_sums(const struct rn_kargs *a)
{
	const uint32_t *ptr = rn_prog_idx_data(a->prog, a->inst->idx[0]);
	size_t pieces = 0;

	for (uint32_t s = 0; s + 1 < idx_len(a, 0); s++) {
		uint32_t n = ptr[s + 1] - ptr[s];

		if (n > RN_CUDA_LONG)
			pieces += (n + RN_CUDA_LONG - 1) / RN_CUDA_LONG;
	}
	return pieces * out_of(a)->width * sizeof(float);
}

size_t rn_cuda_op_scratch(const struct rn_kargs *a)
{
	const struct launcher *l = &launchers[a->inst->op];

	if (l->flags & SUMS)
		return scratch_sums(a);
	return l->scratch ? l->scratch(a) : 0;
}

uint32_t rn_cuda_op_together(const struct rn_cuda_op *o, uint32_t n)
{
	uint32_t k = 0;

	while (k < n && k < RN_CUDA_ADAMS && o[k].a->inst->op == RN_P_ADAM)
		k++;
	return k ? k : 1;
}

int rn_cuda_op_launch(struct rn_cuda *c, const struct rn_cuda_op *o, uint32_t n, struct rn_err *e)
{
	const struct rn_val *v = out_of(o->a);

	if (n > 1)
		return run_adams(c, o, n, e);
	if (!v->rows || !v->width)
		return 0; /* nothing to make */
	return launchers[o->a->inst->op].run(c, o, e);
}
