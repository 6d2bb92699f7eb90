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
		    struct rn_err *why, struct rn_err *e)
{
	unsigned ordinal = 0;

	if (!device || !strcmp(device, "cpu"))
		return rn_cpu_backend(threads, out, e);
	if (!strcmp(device, "auto"))
		return open_cuda(0, out, why) ? rn_cpu_backend(threads, out, e) : 0;
	if (!strcmp(device, "cuda") ||
	    (!strncmp(device, "cuda:", 5) && parse_ordinal(device + 5, &ordinal)))
		return open_cuda(ordinal, out, e);
	return rn_err_set(e, RN_EUSAGE, "no device '%s': it is one of cpu, cuda, cuda:N and auto",
			  device);
}

/* ---- math ----------------------------------------------------------------------------------- */

static const char *const math_names[] = {
	[RN_MATH_F32] = "f32",
	[RN_MATH_TF32] = "tf32",
	[RN_MATH_BF16] = "bf16",
};

const char *rn_math_name(enum rn_math m)
{
	return math_names[m];
}

bool rn_math_parse(const char *name, enum rn_math *m)
{
	for (size_t i = 0; i < sizeof math_names / sizeof *math_names; i++)
		if (!strcmp(name, math_names[i])) {
			*m = (enum rn_math)i;
			return true;
		}
	return false;
}

static int set_math(const struct rn_ctx *c, struct rn_backend *b, struct rn_err *e)
{
	if (c->math == RN_MATH_F32)
		return 0;
	if (b->math)
		return b->math(b, c->math, e);
	if (!c->device || strcmp(c->device, "auto"))
		return rn_err_set(e, RN_EUSAGE, "--math %s needs --device cuda: on '%s' products are "
				  "float's", rn_math_name(c->math), b->name);
	rn_log(c, RN_LOG_WARN, "--math %s needs a CUDA device: the CPU's products are float's (f32)",
	       rn_math_name(c->math));
	return 0;
}

enum rn_math rn_backend_math(const struct rn_backend *b, const struct rn_ctx *c)
{
	return b->math ? c->math : RN_MATH_F32;
}

int rn_backend_of(const struct rn_ctx *c, enum rn_log_level level, struct rn_backend **out,
		  struct rn_err *e)
{
	struct rn_err why = { 0 };
	int rc;

	RN_TRY(rn_backend_open(c->device, c->threads ? c->threads : 1, out, &why, e));
	if (why.code)
		rn_log(c, level, "no CUDA device can be used, so the CPU is: %s", why.msg);
	rc = set_math(c, *out, e);
	if (rc) {
		(*out)->close(*out);
		*out = NULL;
	}
	return rc;
}
