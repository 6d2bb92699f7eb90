/* SPDX-License-Identifier: Apache-2.0
 *
 * NVRTC, loaded when a kernel is to be compiled and never before: it is 100 MB, and most
 * runs find their kernels on the disk.  It needs no device.
 */
#include "fuse.h"

#include <dlfcn.h>
#include <nvrtc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct nvrtc {
	__typeof__(&nvrtcCreateProgram) create;
	__typeof__(&nvrtcCompileProgram) compile;
	__typeof__(&nvrtcGetCUBINSize) image_size;
	__typeof__(&nvrtcGetCUBIN) image;
	__typeof__(&nvrtcGetProgramLogSize) log_size;
	__typeof__(&nvrtcGetProgramLog) log;
	__typeof__(&nvrtcDestroyProgram) destroy;
	__typeof__(&nvrtcGetErrorString) text;
	char why[256]; /* it is not here */
};

/* What dlopen finds is the same for all threads, and stays. */
static struct nvrtc nvrtc;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *find(void *lib, const char *name)
{
	void *f = lib ? dlsym(lib, name) : NULL;

	if (lib && !f && !*nvrtc.why)
		snprintf(nvrtc.why, sizeof nvrtc.why, "NVRTC has no function '%s'", name);
	return f;
}

static void open_nvrtc(void)
{
	static const char *const files[] = { "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so" };
	void *lib = NULL;

	for (size_t i = 0; i < sizeof files / sizeof *files && !lib; i++)
		lib = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		snprintf(nvrtc.why, sizeof nvrtc.why, "NVRTC is not here: %s", dlerror());
		return;
	}
	*(void **)&nvrtc.create = find(lib, "nvrtcCreateProgram");
	*(void **)&nvrtc.compile = find(lib, "nvrtcCompileProgram");
	*(void **)&nvrtc.image_size = find(lib, "nvrtcGetCUBINSize");
	*(void **)&nvrtc.image = find(lib, "nvrtcGetCUBIN");
	*(void **)&nvrtc.log_size = find(lib, "nvrtcGetProgramLogSize");
	*(void **)&nvrtc.log = find(lib, "nvrtcGetProgramLog");
	*(void **)&nvrtc.destroy = find(lib, "nvrtcDestroyProgram");
	*(void **)&nvrtc.text = find(lib, "nvrtcGetErrorString");
}

static void take_log(nvrtcProgram p, struct rn_str *log)
{
	size_t n = 0;
	char *text;

	if (nvrtc.log_size(p, &n) != NVRTC_SUCCESS || n <= 1)
		return;
	text = malloc(n);
	if (text && nvrtc.log(p, text) == NVRTC_SUCCESS)
		rn_str_addn(log, text, n - 1);
	free(text);
}

static int take_image(nvrtcProgram p, void **image, size_t *size, struct rn_err *e)
{
	if (nvrtc.image_size(p, size) != NVRTC_SUCCESS || !*size)
		return rn_err_set(e, RN_EDEV, "NVRTC made no image");
	*image = malloc(*size);
	if (!*image)
		return rn_err_nomem(e, *size, "kernels");
	if (nvrtc.image(p, *image) == NVRTC_SUCCESS)
		return 0;
	free(*image);
	*image = NULL;
	return rn_err_set(e, RN_EDEV, "NVRTC gave no image");
}

int rn_cuda_compile(const char *text, unsigned arch, void **image, size_t *size,
		    struct rn_str *log, struct rn_err *e)
{
	char target[32];
	const char *const options[] = { RN_FUSE_OPTIONS, target };
	nvrtcProgram p;
	nvrtcResult r;
	int rc;

	*image = NULL;
	pthread_once(&once, open_nvrtc);
	if (*nvrtc.why)
		return rn_err_set(e, RN_EDEV, "%s", nvrtc.why);
	snprintf(target, sizeof target, "--gpu-architecture=sm_%u", arch);
	r = nvrtc.create(&p, text, "rn_kernels.cu", 0, NULL, NULL);
	if (r != NVRTC_SUCCESS)
		return rn_err_set(e, RN_EDEV, "NVRTC: %s", nvrtc.text(r));
	r = nvrtc.compile(p, sizeof options / sizeof *options, options);
	take_log(p, log);
	if (r != NVRTC_SUCCESS)
		rc = rn_err_set(e, RN_EDEV, "NVRTC cannot compile kernels for sm_%u: %s", arch,
				nvrtc.text(r));
	else
		rc = take_image(p, image, size, e);
	nvrtc.destroy(&p);
	return rc;
}
