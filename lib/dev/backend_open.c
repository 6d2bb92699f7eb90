/* SPDX-License-Identifier: Apache-2.0
 *
 * From a device's name to a backend.  The CUDA backend is a library of its own,
 * loaded only when it is asked for: every program builds and runs without it.
 */
#include "backend.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define CUDA_LIBRARY "librn_cuda.so"
#define CUDA_SYMBOL "rn_cuda_backend"

/* The loader names first what it did not find: our library, or one that it wants. */
static int cannot_load(const char *why, struct rn_err *e)
{
	if (!why || !strncmp(why, CUDA_LIBRARY ":", sizeof CUDA_LIBRARY))
		return rn_err_set(e, RN_EDEV,
				  "device 'cuda': there is no %s in ../lib of the programs: RN was "
				  "built without CUDA; with nvcc, `make` makes it",
				  CUDA_LIBRARY);
	return rn_err_set(e, RN_EDEV, "device 'cuda': cannot load %s, which needs CUDA's libraries: %s",
			  CUDA_LIBRARY, why);
}

static int open_cuda(unsigned ordinal, struct rn_backend **out, struct rn_err *e)
{
	int (*open)(unsigned ordinal, struct rn_backend **out, struct rn_err *e);
	struct rn_backend *b = NULL;
	void *h, *f;
	int rc;

	h = dlopen(CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL); /* never closed: it owns a device */
	if (!h)
		return cannot_load(dlerror(), e);
	f = dlsym(h, CUDA_SYMBOL);
	if (!f)
		return rn_err_set(e, RN_EDEV, "device 'cuda': %s has no %s", CUDA_LIBRARY,
				  CUDA_SYMBOL);
	memcpy(&open, &f, sizeof f);
	rc = open(ordinal, &b, e);
	if (rc)
		return rc;
	if (b->abi != RN_BACKEND_ABI || b->size != sizeof *b) {
		rc = rn_err_set(e, RN_EDEV,
				"device 'cuda': %s is of another version of RN (interface %u of "
				"%u bytes, this is %u of %zu)",
				CUDA_LIBRARY, b->abi, b->size, RN_BACKEND_ABI, sizeof *b);
		if (b->abi == RN_BACKEND_ABI)
			b->close(b);
		return rc;
	}
	*out = b;
	return 0;
}

/* The N of "cuda:N"; false where it is not a small number. */
static bool parse_ordinal(const char *s, unsigned *n)
{
	*n = 0;
	if (!*s || strlen(s) > 4)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		*n = *n * 10 + (unsigned)(*s - '0');
	}
	return true;
}

int rn_backend_open(const char *device, unsigned threads, struct rn_backend **out,
		    const char **note, struct rn_err *e)
{
	unsigned ordinal = 0;
	int rc;

	if (note)
		*note = NULL;
	if (!device || !strcmp(device, "cpu"))
		return rn_cpu_backend(threads, out, e);
	if (!strcmp(device, "auto")) {
		struct rn_err why = { 0 };

		rc = open_cuda(0, out, &why);
		if (!rc)
			return 0;
		if (note)
			*note = "no CUDA device can be used, so the CPU is";
		return rn_cpu_backend(threads, out, e);
	}
	if (!strcmp(device, "cuda") ||
	    (!strncmp(device, "cuda:", 5) && parse_ordinal(device + 5, &ordinal)))
		return open_cuda(ordinal, out, e);
	return rn_err_set(e, RN_EUSAGE, "no device '%s': it is one of cpu, cuda, cuda:N and auto",
			  device);
}
