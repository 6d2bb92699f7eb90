/* SPDX-License-Identifier: Apache-2.0
 *
 * A small CUDA on the CPU, for tests alone: so much of the runtime as cuda/ uses, under
 * the names of NVIDIA's header, which it stands in front of.  The sources of the backend
 * are compiled unchanged against it into build/VARIANT/emulated/librn_cuda.so.
 *
 * It is stricter than a device where that finds mistakes: memory comes filled with NaN;
 * streams run nothing before somebody waits for them; what is written past an allocation
 * is found when it is freed.
 *
 *   RN_EMULATE_STRICT=1    the host cannot read or write memory of the device (slower)
 *   RN_EMULATE_DEVICES=N   how many devices there are (1)
 *   RN_EMULATE_MEMORY=N    MiB of each (2048)
 *   RN_EMULATE_NOMEM=N     allocations from the Nth on fail
 *   RN_EMULATE_FAIL=N      the device is lost when it runs its Nth kernel, with error
 *   RN_EMULATE_ERROR=N     of this number (214, cudaErrorECCUncorrectable)
 *   RN_EMULATE_REFUSE=N    the Nth launch is refused, as one of a wrong size is
 *   RN_EMULATE_ORDER=down  blocks and threads run from the last to the first
 *   RN_EMULATE_IPC=WHAT    what other processes cannot have: export (no handle of memory), import,
 *                          event (no handle of an event), event-of (nor to open one), all;
 *                          export-2: the second of those that each process asks for
 *   RN_EMULATE_LAG=N       microseconds by which work lags behind where another process waits
 *                          for it (0)
 */
#ifndef RN_EMULATE_CUDA_RUNTIME_H
#define RN_EMULATE_CUDA_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CUDART_VERSION 13000

typedef enum cudaError {
	cudaSuccess = 0,
	cudaErrorInvalidValue = 1,
	cudaErrorMemoryAllocation = 2,
	cudaErrorInitializationError = 3,
	cudaErrorInvalidConfiguration = 9,
	cudaErrorInsufficientDriver = 35,
	cudaErrorDevicesUnavailable = 46,
	cudaErrorNoDevice = 100,
	cudaErrorInvalidDevice = 101,
	cudaErrorDeviceUninitialized = 201,
	cudaErrorNoKernelImageForDevice = 209,
	cudaErrorECCUncorrectable = 214,
	cudaErrorOperatingSystem = 304,
	cudaErrorInvalidResourceHandle = 400,
	cudaErrorNotReady = 600,
	cudaErrorIllegalAddress = 700,
	cudaErrorLaunchTimeout = 702,
	cudaErrorAssert = 710,
	cudaErrorHostMemoryAlreadyRegistered = 712,
	cudaErrorHostMemoryNotRegistered = 713,
	cudaErrorHardwareStackError = 714,
	cudaErrorIllegalInstruction = 715,
	cudaErrorMisalignedAddress = 716,
	cudaErrorLaunchFailure = 719,
	cudaErrorNotSupported = 801,
	cudaErrorSystemDriverMismatch = 803,
	cudaErrorStreamCaptureUnsupported = 900,
	cudaErrorStreamCaptureInvalidated = 901,
	cudaErrorStreamCaptureUnjoined = 904,
	cudaErrorUnknown = 999
} cudaError_t;

typedef struct rn_emulated_stream *cudaStream_t;
typedef struct rn_emulated_event *cudaEvent_t;
typedef struct rn_emulated_graph *cudaGraph_t;
typedef struct rn_emulated_graph_exec *cudaGraphExec_t;

enum cudaMemcpyKind {
	cudaMemcpyHostToHost = 0,
	cudaMemcpyHostToDevice = 1,
	cudaMemcpyDeviceToHost = 2,
	cudaMemcpyDeviceToDevice = 3,
	cudaMemcpyDefault = 4
};
enum cudaStreamCaptureMode {
	cudaStreamCaptureModeGlobal = 0,
	cudaStreamCaptureModeThreadLocal = 1,
	cudaStreamCaptureModeRelaxed = 2
};
enum cudaDeviceAttr {
	cudaDevAttrMaxThreadsPerBlock = 1,
	cudaDevAttrMultiProcessorCount = 16,
	cudaDevAttrComputeCapabilityMajor = 75,
	cudaDevAttrComputeCapabilityMinor = 76
};
enum { cudaStreamNonBlocking = 1, cudaHostAllocDefault = 0 };
enum { cudaEventDisableTiming = 2, cudaEventInterprocess = 4 };
enum { cudaHostRegisterPortable = 1, cudaHostRegisterMapped = 2 };
enum { cudaIpcMemLazyEnablePeerAccess = 1 };
typedef struct cudaIpcMemHandle_st {
	char reserved[64];
} cudaIpcMemHandle_t;
typedef struct cudaIpcEventHandle_st {
	char reserved[64];
} cudaIpcEventHandle_t;

struct cudaDeviceProp {
	char name[256];
	size_t totalGlobalMem;
	int major, minor;
	int multiProcessorCount;
};
typedef struct uint3 {
	unsigned x, y, z;
} uint3;
#ifdef __cplusplus
struct dim3 {
	unsigned x, y, z;
	constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
	{
	}
};
#else
typedef struct dim3 {
	unsigned x, y, z;
} dim3;
#endif

const char *cudaGetErrorName(cudaError_t err);
const char *cudaGetErrorString(cudaError_t err);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);

cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaSetDevice(int ordinal);
cudaError_t cudaGetDevice(int *ordinal);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int ordinal);
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int ordinal);
cudaError_t cudaDeviceSynchronize(void);

cudaError_t cudaMalloc(void **p, size_t size);
cudaError_t cudaFree(void *p);
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaHostAlloc(void **p, size_t size, unsigned flags);
cudaError_t cudaMallocHost(void **p, size_t size);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemcpy(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind,
			    cudaStream_t s);
cudaError_t cudaMemsetAsync(void *dst, int byte, size_t n, cudaStream_t s);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t s);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaStreamQuery(cudaStream_t s);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ev, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t ev);
cudaError_t cudaEventRecord(cudaEvent_t ev, cudaStream_t s);
cudaError_t cudaEventSynchronize(cudaEvent_t ev);
cudaError_t cudaEventQuery(cudaEvent_t ev);
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t ev, unsigned flags);

/* With other processes, and memory of the host for the device (share.cc). */
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *h, void *p);
cudaError_t cudaIpcOpenMemHandle(void **p, cudaIpcMemHandle_t h, unsigned flags);
cudaError_t cudaIpcCloseMemHandle(void *p);
cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t *h, cudaEvent_t ev);
cudaError_t cudaIpcOpenEventHandle(cudaEvent_t *ev, cudaIpcEventHandle_t h);
cudaError_t cudaHostRegister(void *p, size_t size, unsigned flags);
cudaError_t cudaHostGetDevicePointer(void **device, void *p, unsigned flags);
cudaError_t cudaHostUnregister(void *p);

/* Kernels from text (nvrtc.cc). */
typedef struct rn_emulated_library *cudaLibrary_t;
typedef struct rn_emulated_kernel *cudaKernel_t;
typedef int cudaJitOption, cudaLibraryOption;
cudaError_t cudaLibraryLoadData(cudaLibrary_t *lib, const void *code, cudaJitOption *jit,
				void **jit_values, unsigned njit, cudaLibraryOption *options,
				void **values, unsigned n);
cudaError_t cudaLibraryGetKernel(cudaKernel_t *k, cudaLibrary_t lib, const char *name);
cudaError_t cudaLibraryUnload(cudaLibrary_t lib);
struct cudaFuncAttributes {
	int numRegs;
};
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *k);
cudaError_t cudaLaunchKernel(const void *k, dim3 grid, dim3 block, void **args, size_t shared,
			     cudaStream_t s);

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *x, cudaGraph_t g, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x);
cudaError_t cudaGraphDestroy(cudaGraph_t g);

/* The clock of the device (cuda/launch.h). */
unsigned long long rn_emulate_nanoseconds(void);

#ifdef __cplusplus
}
#include "device.h"
#endif

#endif
