/* SPDX-License-Identifier: Apache-2.0
 *
 * What bench/device.c is measured beside: the fastest of cuSPARSE's products of a CSR matrix (the same
 * graph), cuBLAS's products in float, and copies from memory of the device to memory of the device.
 *
 * usage: device_cuda [NODES [EDGES [RUNS]]]      (1000000, 20000000, 20)
 *
 * JSON lines as of device, and first {"work": "copy", "gb_per_s": …}: bytes read and written.
 *
 * nvcc -O2 -o device_cuda device_cuda.cu -lcusparse -lcublas
 */
#include "power_law.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusparse.h>
#include <functional>
#include <vector>

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "device_cuda: %s: %s\n", what, cudaGetErrorString(cudaGetLastError()));
	exit(4);
}
#define CUDA(call) must((call) == cudaSuccess, #call)
#define SPARSE(call) must((call) == CUSPARSE_STATUS_SUCCESS, #call)
#define BLAS(call) must((call) == CUBLAS_STATUS_SUCCESS, #call)

static unsigned runs = 20;

/* Milliseconds: the mean of runs that follow on each other. */
static double measure(const std::function<void()> &work)
{
	cudaEvent_t from, to;
	float ms;

	CUDA(cudaEventCreate(&from));
	CUDA(cudaEventCreate(&to));
	for (unsigned k = 0; k < 3; k++)
		work();
	CUDA(cudaEventRecord(from));
	for (unsigned k = 0; k < runs; k++)
		work();
	CUDA(cudaEventRecord(to));
	CUDA(cudaEventSynchronize(to));
	CUDA(cudaEventElapsedTime(&ms, from, to));
	CUDA(cudaEventDestroy(from));
	CUDA(cudaEventDestroy(to));
	return ms / runs;
}

template <class T> static T *device(const std::vector<T> &host)
{
	T *p;

	CUDA(cudaMalloc(&p, host.size() * sizeof(T)));
	CUDA(cudaMemcpy(p, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
	return p;
}

static float *random_floats(size_t n)
{
	std::vector<float> x(n);

	for (float &v : x)
		v = (float)rnd(1000) / 1000;
	return device(x);
}

static void copy()
{
	const size_t n = (size_t)1 << 30;
	char *a, *b;
	double ms;

	CUDA(cudaMalloc(&a, n));
	CUDA(cudaMalloc(&b, n));
	CUDA(cudaMemset(a, 1, n));
	ms = measure([&] { CUDA(cudaMemcpyAsync(b, a, n, cudaMemcpyDeviceToDevice)); });
	printf("{\"work\": \"copy\", \"gb_per_s\": %.1f}\n", 2e-6 * (double)n / ms);
	CUDA(cudaFree(a));
	CUDA(cudaFree(b));
}

/* Milliseconds of the fastest of cuSPARSE's ways, with its preparation done before; what refuses these
 * operands is passed over. */
static double best_spmm(cusparseHandle_t h, cusparseSpMatDescr_t a, cusparseDnMatDescr_t x,
			cusparseDnMatDescr_t y)
{
	const cusparseOperation_t plain = CUSPARSE_OPERATION_NON_TRANSPOSE;
	const float one = 1, zero = 0;
	double best = INFINITY;

	for (auto way : { CUSPARSE_SPMM_ALG_DEFAULT, CUSPARSE_SPMM_CSR_ALG1, CUSPARSE_SPMM_CSR_ALG2,
			  CUSPARSE_SPMM_CSR_ALG3 }) {
		bool works = true;
		void *scratch;
		size_t size;

		if (cusparseSpMM_bufferSize(h, plain, plain, &one, a, x, &zero, y, CUDA_R_32F, way, &size) !=
		    CUSPARSE_STATUS_SUCCESS)
			continue;
		CUDA(cudaMalloc(&scratch, size ? size : 1));
		(void)cusparseSpMM_preprocess(h, plain, plain, &one, a, x, &zero, y, CUDA_R_32F, way, scratch);
		double ms = measure([&] {
			works = works && cusparseSpMM(h, plain, plain, &one, a, x, &zero, y, CUDA_R_32F, way,
						      scratch) == CUSPARSE_STATUS_SUCCESS;
		});
		if (works && ms < best)
			best = ms;
		CUDA(cudaFree(scratch));
	}
	must(best < INFINITY, "cusparseSpMM");
	return best;
}

static void spmm(int64_t n, int64_t m)
{
	std::vector<int> ptr(n + 1), src(m);
	float *w;
	int *dptr, *dsrc;
	cusparseHandle_t h;

	for (int64_t k = 0; k < m; k++)
		ptr[node_of((uint32_t)n) + 1]++;
	for (int64_t i = 0; i < n; i++)
		ptr[i + 1] += ptr[i];
	for (int &s : src)
		s = (int)node_of((uint32_t)n);
	w = random_floats(m);
	dptr = device(ptr);
	dsrc = device(src);
	SPARSE(cusparseCreate(&h));
	for (int64_t width : { 64, 256 }) {
		float *x = random_floats(n * width), *y;
		cusparseSpMatDescr_t a;
		cusparseDnMatDescr_t bx, by;

		CUDA(cudaMalloc(&y, n * width * sizeof *y));
		SPARSE(cusparseCreateCsr(&a, n, n, m, dptr, dsrc, w, CUSPARSE_INDEX_32I,
					 CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F));
		SPARSE(cusparseCreateDnMat(&bx, n, width, width, x, CUDA_R_32F, CUSPARSE_ORDER_ROW));
		SPARSE(cusparseCreateDnMat(&by, n, width, width, y, CUDA_R_32F, CUSPARSE_ORDER_ROW));
		double ms = best_spmm(h, a, bx, by);
		printf("{\"work\": \"spmm\", \"width\": %lld, \"ms\": %.4f}\n", (long long)width, ms);
		SPARSE(cusparseDestroySpMat(a));
		SPARSE(cusparseDestroyDnMat(bx));
		SPARSE(cusparseDestroyDnMat(by));
		CUDA(cudaFree(x));
		CUDA(cudaFree(y));
	}
	SPARSE(cusparseDestroy(h));
	CUDA(cudaFree(w));
	CUDA(cudaFree(dptr));
	CUDA(cudaFree(dsrc));
}

static void gemm(int n)
{
	static const int dims[][2] = { { 128, 256 }, { 256, 256 }, { 256, 40 } };
	const float one = 1, zero = 0;
	cublasHandle_t h;

	BLAS(cublasCreate(&h));
	for (auto &d : dims) {
		int k = d[0], m = d[1];
		float *x = random_floats((size_t)n * k), *w = random_floats((size_t)k * m), *y;

		CUDA(cudaMalloc(&y, (size_t)n * m * sizeof *y));
		double ms = measure([&] {
			BLAS(cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, w, m, x, k,
					 &zero, y, m));
		});
		printf("{\"work\": \"gemm\", \"n\": %d, \"k\": %d, \"m\": %d, \"ms\": %.4f}\n", n, k, m,
		       ms);
		CUDA(cudaFree(x));
		CUDA(cudaFree(w));
		CUDA(cudaFree(y));
	}
	BLAS(cublasDestroy(h));
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 1000000, m = argc > 2 ? atol(argv[2]) : 20000000;

	runs = argc > 3 ? (unsigned)atoi(argv[3]) : runs;
	if (n < 1 || m < 1 || n > 0x7FFFFFFF || m > 0x7FFFFFFF || !runs) {
		fprintf(stderr, "usage: device_cuda [NODES [EDGES [RUNS]]]\n");
		return 2;
	}
	copy();
	spmm(n, m);
	gemm((int)n);
	return 0;
}
