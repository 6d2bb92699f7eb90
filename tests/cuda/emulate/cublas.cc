/* SPDX-License-Identifier: Apache-2.0
 *
 * Products (cublas_v2.h).
 */
#include "cublas_v2.h"
#include "emulate.h"

#include <string.h>
#include <vector>

struct rn_emulated_cublas {
	cudaStream_t stream = nullptr;
};

/* To the nearest number with `keep` bits of mantissa, ties to even, as tensor cores read it. */
static float rounded(float x, int keep)
{
	uint32_t u, drop = 23 - keep;

	memcpy(&u, &x, sizeof u);
	if (keep == 23 || (u & 0x7F800000) == 0x7F800000)
		return x;
	u += (1u << (drop - 1)) - 1 + (u >> drop & 1);
	u &= ~((1u << drop) - 1);
	memcpy(&x, &u, sizeof u);
	return x;
}

static void multiply(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda,
		     const float *b, int ldb, float beta, float *c, int ldc, int keep)
{
	std::vector<float> sum(m);

	for (int j = 0; j < n; j++) {
		float *to = c + (size_t)j * ldc;

		sum.assign(m, 0);
		for (int l = 0; l < k; l++) {
			float y = rounded(tb ? b[(size_t)l * ldb + j] : b[(size_t)j * ldb + l], keep);

			for (int i = 0; i < m; i++)
				sum[i] += y * rounded(ta ? a[(size_t)i * lda + l] :
							   a[(size_t)l * lda + i], keep);
		}
		for (int i = 0; i < m; i++)
			to[i] = alpha * sum[i] + (beta != 0 ? beta * to[i] : 0);
	}
}

extern "C" {

cublasStatus_t cublasCreate(cublasHandle_t *h)
{
	*h = new rn_emulated_cublas;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t h)
{
	delete h;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t h, cudaStream_t s)
{
	h->stream = s;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t h, void *p, size_t size)
{
	(void)h;
	return rn_emulate_is_device(p, size) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t mode)
{
	(void)h, (void)mode;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t h, cublasAtomicsMode_t mode)
{
	(void)h, (void)mode;
	return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
	return status == CUBLAS_STATUS_SUCCESS ? "success" : "the function failed";
}

static cublasStatus_t gemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
			   int k, const float *alpha, const float *a, int lda, const float *b,
			   int ldb, const float *beta, float *c, int ldc, int keep)
{
	bool at = ta == CUBLAS_OP_T, bt = tb == CUBLAS_OP_T;
	float al = *alpha, be = *beta;
	cudaError_t err;

	if (m < 0 || n < 0 || k < 0 || lda < (at ? k : m) || ldb < (bt ? n : k) || ldc < m ||
	    lda < 1 || ldb < 1 || ldc < 1)
		return CUBLAS_STATUS_INVALID_VALUE;
	err = rn_emulate_enqueue(h->stream, [=] {
		multiply(at, bt, m, n, k, al, a, lda, b, ldb, be, c, ldc, keep);
	});
	return err == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t cublasSgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
			   int n, int k, const float *alpha, const float *a, int lda,
			   const float *b, int ldb, const float *beta, float *c, int ldc)
{
	return gemm(h, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, 23);
}

cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
			    int n, int k, const void *alpha, const void *a, cudaDataType at, int lda,
			    const void *b, cudaDataType bt, int ldb, const void *beta, void *c,
			    cudaDataType ct, int ldc, cublasComputeType_t compute,
			    cublasGemmAlgo_t algo)
{
	int keep = compute == CUBLAS_COMPUTE_32F_FAST_16BF ? 7 :
		   compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? 10 : 23;

	if (at != CUDA_R_32F || bt != CUDA_R_32F || ct != CUDA_R_32F || algo != CUBLAS_GEMM_DEFAULT)
		return CUBLAS_STATUS_INVALID_VALUE;
	return gemm(h, ta, tb, m, n, k, (const float *)alpha, (const float *)a, lda, (const float *)b,
		    ldb, (const float *)beta, (float *)c, ldc, keep);
}

} // extern "C"
