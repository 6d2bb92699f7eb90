/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels that were made of text (nvrtc.cc): their images loaded, and launched.
 */
#include "emulate.h"

#include <dlfcn.h>
#include <memory>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <unistd.h>
#include <vector>

struct rn_emulated_kernel {
	std::function<void()> *(*bind)(void **args);
};
struct rn_emulated_library {
	void *handle;
	std::vector<std::unique_ptr<rn_emulated_kernel>> kernels;
};

extern "C" {

cudaError_t cudaLibraryLoadData(cudaLibrary_t *lib, const void *code, cudaJitOption *jit,
				void **jit_values, unsigned njit, cudaLibraryOption *options,
				void **values, unsigned n)
{
	char path[] = "/tmp/rn-kernels-XXXXXX"; /* of its own: the loader goes by names */
	uint64_t size;
	void *handle = nullptr;
	int fd = mkstemp(path);

	(void)jit, (void)jit_values, (void)njit, (void)options, (void)values, (void)n;
	if (fd < 0)
		return cudaErrorInvalidValue;
	memcpy(&size, code, sizeof size);
	if (write(fd, (const char *)code + sizeof size, size) == (ssize_t)size)
		handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		fprintf(stderr, "emulated CUDA: %s\n", dlerror());
	close(fd);
	unlink(path);
	if (!handle)
		return cudaErrorNoKernelImageForDevice;
	*lib = new rn_emulated_library{ handle, {} };
	return cudaSuccess;
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t *k, cudaLibrary_t lib, const char *name)
{
	std::string bind = std::string(name) + "_bind";
	auto kernel = std::make_unique<rn_emulated_kernel>();

	*(void **)&kernel->bind = dlsym(lib->handle, bind.c_str());
	if (!kernel->bind)
		return cudaErrorInvalidValue;
	*k = kernel.get();
	lib->kernels.push_back(std::move(kernel));
	return cudaSuccess;
}

/* Work in flight may hold code of it: it stays loaded. */
cudaError_t cudaLibraryUnload(cudaLibrary_t lib)
{
	(void)cudaDeviceSynchronize();
	delete lib;
	return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *k)
{
	a->numRegs = 32;
	return k ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaLaunchKernel(const void *k, dim3 grid, dim3 block, void **args, size_t shared,
			     cudaStream_t s)
{
	const rn_emulated_kernel *kernel = (const rn_emulated_kernel *)k;
	std::unique_ptr<std::function<void()>> thread(kernel->bind(args));

	return shared ? cudaErrorInvalidValue
		      : rn_emulate_launch("a kernel of text", grid, block, s, *thread);
}

} // extern "C"
