/* SPDX-License-Identifier: Apache-2.0
 *
 * The CUDA backend: opening a device, copies, waiting.  Copies go through pinned memory
 * in pieces, so that the host fills one piece while the device takes the one before;
 * copy_in returns when the host's memory has been read, copy_out when it has been
 * written, and with that everything before it is done.
 */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAGE_BYTES = 4 << 20, RING_SLOT = 4 << 10 };
enum { MIN_MAJOR = 8 }; /* of compute capability: what CUDA_ARCHS begins with */

int rn_cuda_use(const struct rn_cuda *c, struct rn_err *e)
{
	RN_CUDA(e, cudaSetDevice(c->ordinal));
	return 0;
}

/* ---- memory ------------------------------------------------------------------------------- */

static int cuda_alloc(struct rn_backend *b, size_t size, void **out, struct rn_err *e)
{
	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	return rn_cuda_pool_alloc(&rn_cuda_of(b)->pool, size, out, e);
}

static void cuda_free(struct rn_backend *b, void *p)
{
	rn_cuda_pool_free(&rn_cuda_of(b)->pool, p);
}

int rn_cuda_late(const struct rn_cuda *c, int rc, struct rn_err *e)
{
	if (rc != RN_EDEV || c->waiting)
		return rc;
	return rn_err_prefix(e, rc, "in work that was under way (RN_CUDA_GRAPH=0 tells in which "
				    "stage)");
}

/* The next piece of pinned memory, when the device has done with it. */
static int next_stage(struct rn_cuda *c, struct rn_cuda_stage **out, struct rn_err *e)
{
	struct rn_cuda_stage *s = &c->stage[c->turn++ % RN_CUDA_STAGES];

	if (!s->mem)
		RN_CUDA(e, cudaHostAlloc(&s->mem, STAGE_BYTES, cudaHostAllocDefault));
	RN_CUDA(e, cudaEventSynchronize(s->done));
	*out = s;
	return 0;
}

static int send(struct rn_cuda *c, void *dst, const void *host, size_t n, struct rn_err *e)
{
	RN_TRY(rn_cuda_use(c, e));
	for (size_t i = 0; i < n; i += STAGE_BYTES) {
		size_t len = n - i < STAGE_BYTES ? n - i : STAGE_BYTES;
		struct rn_cuda_stage *s;

		RN_TRY(next_stage(c, &s, e));
		memcpy(s->mem, (const char *)host + i, len);
		RN_CUDA(e, cudaMemcpyAsync((char *)dst + i, s->mem, len, cudaMemcpyHostToDevice,
					   c->stream));
		RN_CUDA(e, cudaEventRecord(s->done, c->stream));
	}
	return 0;
}

static int cuda_copy_in(struct rn_backend *b, void *dst, const void *host, size_t n,
			struct rn_err *e)
{
	return rn_cuda_late(rn_cuda_of(b), send(rn_cuda_of(b), dst, host, n, e), e);
}

/* The piece before is taken while the device fills this one. */
static int take(struct rn_cuda *c, void *host, const void *src, size_t n, struct rn_err *e)
{
	struct rn_cuda_stage *before = NULL;
	size_t at = 0, ready = 0; /* asked for; of the piece before */

	RN_TRY(rn_cuda_use(c, e));
	while (at < n || before) {
		size_t len = n - at < STAGE_BYTES ? n - at : STAGE_BYTES;
		struct rn_cuda_stage *s = NULL;

		if (len) {
			RN_TRY(next_stage(c, &s, e));
			RN_CUDA(e, cudaMemcpyAsync(s->mem, (const char *)src + at, len,
						   cudaMemcpyDeviceToHost, c->stream));
			RN_CUDA(e, cudaEventRecord(s->done, c->stream));
		}
		if (before) {
			RN_CUDA(e, cudaEventSynchronize(before->done));
			memcpy((char *)host + at - ready, before->mem, ready);
		}
		at += len;
		ready = len;
		before = s;
	}
	return 0;
}

static int cuda_copy_out(struct rn_backend *b, void *host, const void *src, size_t n,
			 struct rn_err *e)
{
	return rn_cuda_late(rn_cuda_of(b), take(rn_cuda_of(b), host, src, n, e), e);
}

static int wait(struct rn_cuda *c, struct rn_err *e)
{
	RN_TRY(rn_cuda_use(c, e));
	RN_CUDA(e, cudaStreamSynchronize(c->stream));
	return 0;
}

static int cuda_sync(struct rn_backend *b, struct rn_err *e)
{
	return rn_cuda_late(rn_cuda_of(b), wait(rn_cuda_of(b), e), e);
}

/* What is kept for later can be had, too. */
static int cuda_memory(struct rn_backend *b, uint64_t *left, uint64_t *total, struct rn_err *e)
{
	size_t n, all;

	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	RN_CUDA(e, cudaMemGetInfo(&n, &all));
	*left = n + rn_cuda_pool_kept(&rn_cuda_of(b)->pool);
	*total = all;
	return 0;
}

/* ---- the ring -------------------------------------------------------------------------------- */

int rn_cuda_ring_grow(struct rn_cuda *c, size_t slot, struct rn_err *e)
{
	struct rn_cuda_ring *r = &c->ring;

	if (r->slot >= slot)
		return 0;
	slot = slot < RING_SLOT ? RING_SLOT : slot;
	if (r->mem) {
		RN_CUDA(e, cudaStreamSynchronize(c->stream));
		RN_CUDA(e, cudaFreeHost(r->mem));
	}
	r->mem = NULL;
	r->slot = 0;
	RN_CUDA(e, cudaHostAlloc((void **)&r->mem, slot * RN_CUDA_RING, cudaHostAllocDefault));
	r->slot = slot;
	return 0;
}

int rn_cuda_ring_send(struct rn_cuda *c, void *dst, const void *host, size_t n, struct rn_err *e)
{
	struct rn_cuda_ring *r = &c->ring;
	unsigned i = r->at++ % RN_CUDA_RING;
	char *slot = r->mem + i * r->slot;

	RN_CUDA(e, cudaEventSynchronize(r->done[i]));
	memcpy(slot, host, n);
	RN_CUDA(e, cudaMemcpyAsync(dst, slot, n, cudaMemcpyHostToDevice, c->stream));
	RN_CUDA(e, cudaEventRecord(r->done[i], c->stream));
	return 0;
}

/* ---- running ----------------------------------------------------------------------------------- */

static bool cuda_supports(const struct rn_backend *b, const struct rn_prog *p,
			  const struct rn_inst *i, enum rn_dtype t)
{
	(void)b, (void)p;
	return t == RN_F32 && (unsigned)i->op < RN_NPRIM;
}

static size_t cuda_scratch(struct rn_backend *b, const struct rn_kargs *a, enum rn_dtype t)
{
	(void)b, (void)t;
	return rn_cuda_op_scratch(a);
}

/* One instruction: machines use lists. */
static int cuda_run(struct rn_backend *b, const struct rn_kargs *a, enum rn_dtype t,
		    struct rn_err *e)
{
	struct rn_list *l;
	int rc;

	RN_TRY(rn_cuda_list_new(b, a, 1, t, &l, e));
	rc = rn_cuda_list_run(l, 0, 1, a->epoch, e);
	if (!rc)
		rc = cuda_sync(b, e);
	rn_cuda_list_free(l);
	return rc;
}

static uint64_t cuda_peak(const struct rn_backend *b)
{
	return ((const struct rn_cuda *)b)->pool.peak;
}

static int cuda_math(struct rn_backend *b, enum rn_math m, struct rn_err *e)
{
	return rn_cuda_set_math(rn_cuda_of(b), m, e);
}

static const char *cuda_note(struct rn_backend *b)
{
	return rn_cuda_fuse_note(rn_cuda_of(b)->fuse);
}

/* ---- opening -------------------------------------------------------------------------------------- */

/* What is missing, where there is no device to open. */
static int check_driver(unsigned ordinal, struct rn_err *e)
{
	int driver = 0, runtime = 0, n = 0;
	cudaError_t err;

	(void)cudaDriverGetVersion(&driver);
	(void)cudaRuntimeGetVersion(&runtime);
	if (!driver)
		return rn_err_set(e, RN_EDEV,
				  "device 'cuda': there is no NVIDIA driver here (libcuda.so.1): "
				  "install one for CUDA %d.%d",
				  runtime / 1000, runtime % 1000 / 10);
	if (driver / 1000 < runtime / 1000)
		return rn_err_set(e, RN_EDEV,
				  "device 'cuda': the NVIDIA driver is for CUDA up to %d.%d, and RN "
				  "is built with %d.%d: install a newer driver",
				  driver / 1000, driver % 1000 / 10, runtime / 1000,
				  runtime % 1000 / 10);
	err = cudaGetDeviceCount(&n);
	if (err != cudaSuccess)
		return rn_cuda_fail(e, err, "cudaGetDeviceCount");
	if (ordinal >= (unsigned)n)
		return rn_err_set(e, RN_EDEV, "device 'cuda:%u': the last one here is cuda:%d",
				  ordinal, n - 1);
	return 0;
}

static int check_device(struct rn_cuda *c, struct rn_err *e)
{
	int major = 0, minor = 0;

	RN_CUDA(e, cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, c->ordinal));
	RN_CUDA(e, cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, c->ordinal));
	if (major < MIN_MAJOR)
		return rn_err_set(e, RN_EDEV,
				  "device '%s': its compute capability is %d.%d, and RN wants %d.0 or "
				  "more",
				  c->name, major, minor, MIN_MAJOR);
	return 0;
}

static int open_device(struct rn_cuda *c, struct rn_err *e)
{
	RN_TRY(check_driver((unsigned)c->ordinal, e));
	RN_TRY(check_device(c, e));
	RN_TRY(rn_cuda_use(c, e));
	RN_TRY(rn_cuda_fuse_new(&c->fuse, e));
	RN_TRY(rn_cuda_rel_new(c, e));
	RN_CUDA(e, cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking));
	for (unsigned i = 0; i < RN_CUDA_STAGES; i++)
		RN_CUDA(e, cudaEventCreateWithFlags(&c->stage[i].done, cudaEventDisableTiming));
	for (unsigned i = 0; i < RN_CUDA_RING; i++)
		RN_CUDA(e, cudaEventCreateWithFlags(&c->ring.done[i], cudaEventDisableTiming));
	return 0;
}

/* A device that is lost says so again at each of these; it has been told. */
static void cuda_close(struct rn_backend *b)
{
	struct rn_cuda *c;

	if (!b)
		return;
	c = rn_cuda_of(b);
	(void)cudaSetDevice(c->ordinal);
	if (c->stream)
		(void)cudaStreamSynchronize(c->stream);
	if (c->blas)
		(void)cublasDestroy(c->blas);
	rn_cuda_fuse_free(c->fuse);
	rn_cuda_rel_free(c->rel);
	rn_cuda_pool_fini(&c->pool);
	for (unsigned i = 0; i < RN_CUDA_STAGES; i++) {
		if (c->stage[i].done)
			(void)cudaEventDestroy(c->stage[i].done);
		if (c->stage[i].mem)
			(void)cudaFreeHost(c->stage[i].mem);
	}
	for (unsigned i = 0; i < RN_CUDA_RING; i++)
		if (c->ring.done[i])
			(void)cudaEventDestroy(c->ring.done[i]);
	if (c->ring.mem)
		(void)cudaFreeHost(c->ring.mem);
	if (c->stream)
		(void)cudaStreamDestroy(c->stream);
	free(c);
}

int rn_cuda_backend(unsigned ordinal, struct rn_backend **out, struct rn_err *e)
{
	const char *pool = getenv("RN_CUDA_POOL"), *graph = getenv("RN_CUDA_GRAPH");
	struct rn_cuda *c;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *c, "the CUDA backend", &c, e));
	c->ordinal = (int)ordinal;
	snprintf(c->name, sizeof c->name, "cuda:%u", ordinal);
	c->pool.single = pool && !strcmp(pool, "0");
	c->waiting = graph && !strcmp(graph, "0");
	c->line = graph && !strcmp(graph, "line");
	c->backend = (struct rn_backend){
		.size = sizeof(struct rn_backend),
		.abi = RN_BACKEND_ABI,
		.name = c->name,
		.alloc = cuda_alloc,
		.free = cuda_free,
		.copy_in = cuda_copy_in,
		.copy_out = cuda_copy_out,
		.sync = cuda_sync,
		.supports = cuda_supports,
		.run = cuda_run,
		.scratch = cuda_scratch,
		.close = cuda_close,
		.list_new = rn_cuda_list_new,
		.list_run = rn_cuda_list_run,
		.list_free = rn_cuda_list_free,
		.list_epochs = rn_cuda_list_epochs,
		.watch_bytes = rn_cuda_watch_bytes,
		.list_failed = rn_cuda_list_failed,
		.memory = cuda_memory,
		.peak = cuda_peak,
		.math = cuda_math,
		.note = cuda_note,
	};
	rn_cuda_share(&c->backend);
	rc = open_device(c, e);
	if (rc)
		cuda_close(&c->backend);
	else
		*out = &c->backend;
	return rc;
}
