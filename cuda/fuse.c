/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels made for elementwise programs: which there are, and their launch.  Those that are
 * added between two builds are one text and one image, since the compiler takes longer
 * to begin than for a kernel.
 *
 * cuda.mk makes device_text.h, which fuse_text.c includes: args.h and device.cuh, each line a
 * string literal.
 */
#include "fuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct kernel {
	XXH128_hash_t hash; /* of its text as number 0 */
	struct rn_fuse_shape shape;
	unsigned number;    /* in its image */
	cudaKernel_t fn;    /* NULL: it could not be made */
};

struct rn_cuda_fuse {
	bool off;
	struct kernel *kernels;
	size_t n, cap;
	size_t built;       /* kernels up to here have been made, or could not be */
	struct rn_str text; /* of the others */
	cudaLibrary_t *libs;
	size_t nlibs, cap_libs;
	struct rn_str note, told;
};

int rn_cuda_fuse_new(struct rn_cuda_fuse **out, struct rn_err *e)
{
	const char *on = getenv("RN_CUDA_FUSE");

	RN_TRY(rn_calloc(1, sizeof **out, "kernels", out, e));
	(*out)->off = on && !strcmp(on, "0");
	(*out)->text = (*out)->note = (*out)->told = RN_STR_INIT;
	return 0;
}

void rn_cuda_fuse_free(struct rn_cuda_fuse *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->nlibs; i++)
		(void)cudaLibraryUnload(f->libs[i]);
	free(f->libs);
	free(f->kernels);
	rn_str_fini(&f->text);
	rn_str_fini(&f->note);
	rn_str_fini(&f->told);
	free(f);
}

int rn_cuda_fuse_add(struct rn_cuda_fuse *f, const struct rn_cuda_elem *m, bool segs,
		     uint32_t *kernel, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct kernel k = { .number = (unsigned)(f->n - f->built) };
	int rc;

	*kernel = UINT32_MAX;
	if (f->off || !m->width || (!segs && !m->rows))
		return 0;
	RN_GOTO(out, rn_cuda_fuse_source(m, segs, 0, &k.shape, &text, e));
	k.hash = XXH3_128bits(text.s, text.len);
	for (size_t i = 0; i < f->n && *kernel == UINT32_MAX; i++)
		if (XXH128_isEqual(f->kernels[i].hash, k.hash))
			*kernel = (uint32_t)i;
	if (*kernel != UINT32_MAX)
		goto out;
	RN_GOTO(out, rn_grow(&f->kernels, &f->cap, f->n + 1, sizeof *f->kernels, "kernels", e));
	if (k.number) {
		rn_str_clear(&text);
		RN_GOTO(out, rn_cuda_fuse_source(m, segs, k.number, &k.shape, &text, e));
	}
	rn_str_addn(&f->text, text.s, text.len);
	RN_GOTO(out, rn_str_check(&f->text, e));
	*kernel = (uint32_t)f->n;
	f->kernels[f->n++] = k;
out:
	rn_str_fini(&text);
	return rc;
}

/* ---- making ------------------------------------------------------------------------------ */

static int arch_of_device(unsigned *arch)
{
	int device, major, minor;

	if (cudaGetDevice(&device) != cudaSuccess ||
	    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) !=
		    cudaSuccess ||
	    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) !=
		    cudaSuccess)
		return -1;
	*arch = (unsigned)(major * 10 + minor);
	return 0;
}

/* Load an image and find its kernels, unless the driver will not have it.  To ask for a kernel's
 * attributes loads its code: else its first launch would, perhaps while a stream is captured. */
static cudaError_t load(struct rn_cuda_fuse *f, const void *image)
{
	struct cudaFuncAttributes attr;
	cudaLibrary_t lib;
	cudaError_t rc = cudaLibraryLoadData(&lib, image, NULL, NULL, 0, NULL, NULL, 0);

	for (size_t i = f->built; i < f->n && rc == cudaSuccess; i++) {
		char name[32];

		snprintf(name, sizeof name, "rn_k%u", f->kernels[i].number);
		rc = cudaLibraryGetKernel(&f->kernels[i].fn, lib, name);
		if (rc == cudaSuccess)
			rc = cudaFuncGetAttributes(&attr, (const void *)f->kernels[i].fn);
		if (rc != cudaSuccess)
			(void)cudaLibraryUnload(lib);
	}
	if (rc == cudaSuccess) {
		f->libs[f->nlibs++] = lib;
		return rc;
	}
	for (size_t i = f->built; i < f->n; i++)
		f->kernels[i].fn = NULL;
	(void)cudaGetLastError(); /* it is told by who called */
	return rc;
}

/* What they were compiled to. */
static void take_image(struct rn_cuda_fuse *f, const struct rn_fuse_key *key, const void *image, size_t size)
{
	size_t n = f->n - f->built;
	cudaError_t err = load(f, image);
	int why;

	if (err != cudaSuccess) {
		rn_str_addf(&f->note, "%zu elementwise programs are interpreted: kernels cannot be loaded: %s",
			    n, cudaGetErrorString(err));
		return;
	}
	rn_str_addf(&f->note, "%zu kernels compiled", n);
	why = rn_fuse_cache_write(key, image, size);
	if (why)
		rn_str_addf(&f->note, " (and not kept in the cache: %s)", strerror(why));
}

/* From the disk, else compiled.  RN_ENOMEM alone is an error. */
static int make(struct rn_cuda_fuse *f, unsigned arch, struct rn_err *e)
{
	struct rn_fuse_key key = rn_fuse_key_of(f->text.s, arch);
	struct rn_str text = RN_STR_INIT, log = RN_STR_INIT;
	size_t n = f->n - f->built, size = 0;
	struct rn_err why = { 0 };
	void *image = NULL;
	int rc = 0;

	if (rn_fuse_cache_read(&key, &image, &size)) {
		if (load(f, image) == cudaSuccess) {
			rn_str_addf(&f->note, "%zu kernels from the cache", n);
			goto out;
		}
		free(image);
		image = NULL;
	}
	rn_str_add(&text, rn_cuda_fuse_prelude);
	rn_str_addn(&text, f->text.s, f->text.len);
	RN_GOTO(out, rn_str_check(&text, e));
	rc = rn_cuda_compile(text.s, arch, &image, &size, &log, &why);
	if (!rc)
		take_image(f, &key, image, size);
	else
		rn_str_addf(&f->note, "%zu elementwise programs are interpreted: %s%s%s", n, why.msg,
			    log.len ? "\n" : "", log.failed ? "" : log.s);
	rc = rc == RN_ENOMEM ? rn_err_set(e, RN_ENOMEM, "%s", why.msg) : 0;
out:
	free(image);
	rn_str_fini(&text);
	rn_str_fini(&log);
	return rc;
}

int rn_cuda_fuse_build(struct rn_cuda_fuse *f, struct rn_err *e)
{
	unsigned arch;
	int rc = 0;

	if (f->built == f->n)
		return 0;
	RN_TRY(rn_grow(&f->libs, &f->cap_libs, f->nlibs + 1, sizeof *f->libs, "kernels", e));
	if (f->note.len)
		rn_str_add(&f->note, "; ");
	if (arch_of_device(&arch))
		rn_str_addf(&f->note, "%zu elementwise programs are interpreted: the device does not "
			    "say what it is", f->n - f->built);
	else
		rc = make(f, arch, e);
	f->built = f->n;
	rn_str_clear(&f->text);
	return rc;
}

const char *rn_cuda_fuse_note(struct rn_cuda_fuse *f)
{
	struct rn_str told = f->told;

	f->told = f->note;
	f->note = told;
	rn_str_clear(&f->note);
	return f->told.failed ? "" : f->told.s;
}

/* ---- running ----------------------------------------------------------------------------- */

static struct rn_fused args_of(const struct rn_cuda_elem *m, const struct rn_cuda_segs *g,
			       const struct rn_fuse_shape *s)
{
	struct rn_fused a = { .out = m->out, .rows = m->rows };

	if (s->flat)
		a.rows = (unsigned long long)m->rows * m->width;
	for (uint32_t k = 0; k < m->nin; k++) {
		a.x[k] = m->in[k].x;
		a.fmap[k] = m->in[k].fmap;
		a.rmap[k] = m->in[k].rmap;
	}
	for (uint32_t k = 0; k < RN_CUDA_INS; k++) {
		a.drow[k] = m->drop[k].row;
		a.dcol[k] = m->drop[k].col;
		memcpy(a.key[k], m->drop[k].key, sizeof a.key[k]);
	}
	a.epoch = m->live ? &m->live->epoch : NULL;
	if (g) {
		a.terms = rn_seg_layout_of(g, m->width, s->vec).terms;
		a.g = (struct rn_segs){ g->ptr, g->piece, g->scratch, g->n, g->npieces };
	}
	return a;
}

/* Sums write scratch as they write the result. */
static bool scratch_fits(const struct rn_fuse_shape *s, const struct rn_cuda_segs *g)
{
	return !g->npieces || (uintptr_t)g->scratch % (s->vec * sizeof(float)) == 0;
}

cudaError_t rn_cuda_fuse_launch(const struct rn_cuda_fuse *f, uint32_t kernel, cudaStream_t s,
				const struct rn_cuda_elem *m, const struct rn_cuda_segs *g)
{
	const struct kernel *k = kernel < f->n ? &f->kernels[kernel] : NULL;
	struct rn_fused a;
	void *arg = &a;
	cudaError_t rc;
	dim3 grid, block;

	if (!k || !k->fn || (g && !scratch_fits(&k->shape, g)))
		return g ? rn_cuda_segelem(s, m, g) : rn_cuda_elem(s, m);
	if (g ? !g->n : !m->rows)
		return cudaSuccess;
	a = args_of(m, g, &k->shape);
	if (g) {
		struct rn_seg_layout l = rn_seg_layout_of(g, m->width, k->shape.vec);

		grid = rn_segs_grid(g, &l);
		block = rn_grid(128, 1);
	} else {
		uint64_t units = a.rows * (k->shape.flat ? 1 : m->width) / k->shape.vec;

		grid = rn_grid(rn_blocks(units, 256), 1);
		block = rn_grid(256, 1);
	}
	rc = cudaLaunchKernel((const void *)k->fn, grid, block, &arg, 0, s);
	return rc != cudaSuccess || !g ? rc : rn_cuda_segs_close(s, m->out, m->width, g);
}
