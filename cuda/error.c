/* SPDX-License-Identifier: Apache-2.0
 *
 * What CUDA says, as RN's errors: which call failed, why, and what can be done.
 */
#include "host.h"

#include <stdio.h>
#include <string.h>

static const struct {
	cudaError_t err;
	const char *help;
} helps[] = {
	{ cudaErrorInsufficientDriver, "install an NVIDIA driver that is as new as this CUDA" },
	{ cudaErrorSystemDriverMismatch, "the driver was updated: restart the machine" },
	{ cudaErrorNoDevice, "there is no GPU that this process may see (CUDA_VISIBLE_DEVICES?)" },
	{ cudaErrorDevicesUnavailable, "another process has the device for itself" },
	{ cudaErrorOperatingSystem, "may this process open /dev/nvidia*?" },
	{ cudaErrorNoKernelImageForDevice, "build with CUDA_ARCHS of this device" },
	{ cudaErrorECCUncorrectable, "the memory of the device is damaged: the last checkpoint "
				     "is whole; restart the device (nvidia-smi -r)" },
	{ cudaErrorLaunchTimeout, "the device also drives a screen, which stops long kernels" },
	{ cudaErrorIllegalAddress, "this is a bug in RN: please run scripts/gpu-check" },
	{ cudaErrorMisalignedAddress, "this is a bug in RN: please run scripts/gpu-check" },
	{ cudaErrorIllegalInstruction, "this is a bug in RN: please run scripts/gpu-check" },
	{ cudaErrorInvalidConfiguration, "this is a bug in RN: please run scripts/gpu-check" },
	{ cudaErrorLaunchFailure, "the device may be failing: does scripts/gpu-check pass?" },
};

/* "cudaFree" of "cudaFree(p)". */
static int name_length(const char *call)
{
	return (int)strcspn(call, "(");
}

int rn_cuda_fail(struct rn_err *e, cudaError_t err, const char *call)
{
	const char *help = NULL;

	(void)cudaGetLastError(); /* it has been told */
	for (size_t i = 0; i < sizeof helps / sizeof *helps; i++)
		if (helps[i].err == err)
			help = helps[i].help;
	return rn_err_set(e, err == cudaErrorMemoryAllocation ? RN_ENOMEM : RN_EDEV,
			  "device 'cuda': %.*s: %s (%s)%s%s", name_length(call), call,
			  cudaGetErrorString(err), cudaGetErrorName(err), help ? "; " : "",
			  help ? help : "");
}

int rn_cublas_fail(struct rn_err *e, cublasStatus_t st, const char *call)
{
	return rn_err_set(e, st == CUBLAS_STATUS_ALLOC_FAILED ? RN_ENOMEM : RN_EDEV,
			  "device 'cuda': %.*s: %s", name_length(call), call,
			  cublasGetStatusString(st));
}

void rn_cuda_size_text(size_t n, char *out, size_t cap)
{
	static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB" };
	double x = (double)n / 1024;
	unsigned u = 0;

	if (n < 1024) {
		snprintf(out, cap, "%zu bytes", n);
		return;
	}
	for (; x >= 1024 && u < 3; u++)
		x /= 1024;
	snprintf(out, cap, "%.1f %s", x, unit[u]);
}
