/* SPDX-License-Identifier: Apache-2.0
 *
 * All kernels for one type.  The includer defines real, REAL_BITS (32, 64), F(name)
 * (the name of a function of this type) and BLAS_GEMM.
 */

static inline uint32_t F(parts_elem)(const struct rn_kargs *a, const struct rn_elem *m)
{
	const struct rn_val *o = out_of(a);
	uint64_t total = (uint64_t)o->rows * o->width, size = elem_part_size(m);

	return (uint32_t)((total + size - 1) / size);
}

static uint32_t F(parts_elem_inst)(const struct rn_kargs *a)
{
	return F(parts_elem)(a, &a->inst->elem);
}

static uint32_t F(parts_ew)(const struct rn_kargs *a)
{
	struct rn_elem_step steps[4];
	struct rn_elem m = { .steps = steps };

	single_step(a->inst, &m);
	return F(parts_elem)(a, &m);
}

#include "cpu_vec.inc.h"

#include "cpu_elem.inc.h"
#include "cpu_rows.inc.h"

#include "cpu_gemm.inc.h"

#include "cpu_feat.inc.h"

#define ONE(p, r) { .parts = { F(p), NULL }, .run = { F(r), NULL } }
static const struct rn_kernel F(kernels)[RN_NPRIM] = {
	[RN_P_EW] = ONE(parts_ew, run_ew),
	[RN_P_ELEM] = ONE(parts_elem_inst, run_elem),
	[RN_P_GATHER] = ONE(parts_gather, run_gather),
	[RN_P_STACK] = ONE(parts_stack, run_stack),
	[RN_P_SPMM] = ONE(parts_spmm, run_spmm),
	[RN_P_SEGELEM] = ONE(parts_segelem, run_segelem),
	[RN_P_SDDMM] = ONE(parts_sddmm, run_sddmm),
	[RN_P_SEGARG] = ONE(parts_segarg, run_segarg),
	[RN_P_PICK] = ONE(parts_pick, run_pick),
	[RN_P_UNPICK] = { .parts = { F(parts_zero), F(parts_unpick) },
			  .run = { F(run_zero), F(run_unpick) } },
	[RN_P_GEMM] = { .parts = { F(parts_gemm0), F(parts_gemm) },
			.run = { F(run_gemm0), F(run_gemm) },
			.scratch = F(scratch_gemm) },
	[RN_P_GEMM_TN] = { .parts = { F(parts_gemm_tn0), F(parts_gemm_tn1) },
			   .run = { F(run_gemm_tn0), F(run_gemm_tn1) },
			   .scratch = F(scratch_gemm_tn) },
	[RN_P_GGEMM] = { .parts = { F(parts_ggemm0), F(parts_ggemm) },
			 .run = { F(run_ggemm0), F(run_ggemm) },
			 .scratch = F(scratch_ggemm) },
	[RN_P_GGEMM_TN] = ONE(parts_ggemm_tn, run_ggemm_tn),
	[RN_P_MATMUL] = ONE(parts_matmul, run_matmul),
	[RN_P_COLSUM] = { .parts = { F(parts_colsum0), F(parts_colsum1) },
			  .run = { F(run_colsum0), F(run_colsum1) },
			  .scratch = F(scratch_colsum) },
	[RN_P_FSUM] = ONE(parts_rows, run_fsum),
	[RN_P_FMAX] = ONE(parts_rows, run_fmax),
	[RN_P_ARGMAX] = ONE(parts_rows, run_argmax),
	[RN_P_CONCAT] = ONE(parts_out, run_concat),
	[RN_P_VIEW] = ONE(parts_view, run_view),
	[RN_P_DENSIFY] = ONE(parts_densify, run_densify),
	[RN_P_ATCSR] = ONE(parts_atcsr, run_atcsr),
	[RN_P_CE] = ONE(parts_ce, run_ce),
	[RN_P_CE_GRAD] = ONE(parts_ce, run_ce_grad),
	[RN_P_ADAM] = ONE(parts_step, run_adam),
	[RN_P_SGD] = ONE(parts_step, run_sgd),
};
#undef ONE
