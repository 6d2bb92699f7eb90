/* SPDX-License-Identifier: Apache-2.0
 *
 * Products (cublas_v2.h).
 */
#include "cublas_v2.h"
#include "emulate.h"

#include <vector>

struct rn_emulated_cublas {
	cudaStream_t stream = nullptr;
};

static void multiply(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda,
		     const float *b, int ldb, float beta, float *c, int ldc)
{
	std::vector<float> sum(m);

	for (int j = 0; j < n; j++) {
		float *to = c + (size_t)j * ldc;

		sum.assign(m, 0);
		for (int l = 0; l < k; l++) {
			float y = tb ? b[(size_t)l * ldb + j] : b[(size_t)j * ldb + l];

			for (int i = 0; i < m; i++)
				sum[i] += y * (ta ? a[(size_t)i * lda + l] : a[(size_t)l * lda + i]);
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

cublasStatus_t cublasSgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
			   int n, int k, const float *alpha, const float *a, int lda,
			   const float *b, int ldb, const float *beta, float *c, int ldc)
{
	bool at = ta == CUBLAS_OP_T, bt = tb == CUBLAS_OP_T;
	float al = *alpha, be = *beta;
	cudaError_t err;

	if (m < 0 || n < 0 || k < 0 || lda < (at ? k : m) || ldb < (bt ? n : k) || ldc < m ||
	    lda < 1 || ldb < 1 || ldc < 1)
		return CUBLAS_STATUS_INVALID_VALUE;
	err = rn_emulate_enqueue(h->stream, [=] {
		multiply(at, bt, m, n, k, al, a, lda, b, ldb, be, c, ldc);
	});
	return err == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

} // extern "C"
