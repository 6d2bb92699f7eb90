/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU kernels at one level of instruction set.  kernels.mk compiles this
 * file once for each; RN_ISA names the level (baseline, v3, v4).
 */
#include "cpu_common.h"
#include "cpu_math.h"

#ifndef RN_ISA
#define RN_ISA baseline
#endif

#define real float
#define REAL_BITS 32
#define F(name) name##_f32
#define BLAS_GEMM sgemm
static const float nan_f32 = NAN;
#define root_f32(x) __builtin_sqrtf(x)
#define fma_f32(a, b, c) MADD32(a, b, c)
#define fused_f32(a, b, c) __builtin_fmaf(a, b, c)
#include "cpu_real.inc.h"
#undef real
#undef REAL_BITS
#undef F
#undef BLAS_GEMM

#undef VINLINE
#define real double
#define REAL_BITS 64
#define F(name) name##_f64
#define BLAS_GEMM dgemm
static const double nan_f64 = NAN;
#define root_f64(x) __builtin_sqrt(x)
#define fma_f64(a, b, c) MADD64(a, b, c)
#define fused_f64(a, b, c) __builtin_fma(a, b, c)
#include "cpu_real.inc.h"

#define STRING(x) STRING_(x)
#define STRING_(x) #x
#define NAME(x) NAME_(x)
#define NAME_(x) rn_cpu_kernels_##x

const struct rn_cpu_kernels NAME(RN_ISA) = { STRING(RN_ISA), kernels_f32, kernels_f64 };
