/* SPDX-License-Identifier: Apache-2.0
 *
 * What is shared with other processes: memory of the device and events by CUDA's handles,
 * and memory of the host that the device reads and writes itself.
 *
 * Shared memory comes from cudaMalloc and not from the pool: a handle is of a whole
 * allocation.  CUDA cuts small allocations from pages of 2 MiB and a handle shows the whole
 * page, so these are of whole pages.
 */
#include "host.h"

#include <stdlib.h>
#include <string.h>

#define PAGE ((size_t)2 << 20)

struct rn_event {
	cudaEvent_t event;
};
_Static_assert(sizeof(cudaIpcMemHandle_t) <= sizeof(struct rn_handle), "memory's handle fits");
_Static_assert(sizeof(cudaIpcEventHandle_t) <= sizeof(struct rn_handle), "an event's handle fits");

/* ---- memory ------------------------------------------------------------------------------- */

static size_t pages_of(size_t size)
{
	return ((size ? size : 1) + PAGE - 1) & ~(PAGE - 1);
}

static int out_of_memory(size_t size, struct rn_err *e)
{
	char want[32], left[32], all[32];
	size_t free_bytes = 0, total = 0;

	(void)cudaGetLastError();
	(void)cudaMemGetInfo(&free_bytes, &total);
	rn_cuda_size_text(size, want, sizeof want);
	rn_cuda_size_text(free_bytes, left, sizeof left);
	rn_cuda_size_text(total, all, sizeof all);
	return rn_err_set(e, RN_ENOMEM,
			  "device 'cuda': out of memory: %s are wanted for what stages share, %s of %s "
			  "are free; fewer rows, narrower embeddings, stages on the CPU (--device-map "
			  "STAGE=cpu) or --device cpu would help", want, left, all);
}

static int alloc_shared(struct rn_backend *b, size_t size, void **out, struct rn_err *e)
{
	struct rn_cuda_pool *pool = &rn_cuda_of(b)->pool;
	cudaError_t err;

	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	if (size > SIZE_MAX - PAGE)
		return rn_err_nomem(e, SIZE_MAX, "memory that processes share");
	size = pages_of(size);
	do
		err = cudaMalloc(out, size);
	while (err == cudaErrorMemoryAllocation && rn_cuda_pool_trim(pool));
	if (err == cudaErrorMemoryAllocation)
		return out_of_memory(size, e);
	if (err != cudaSuccess)
		return rn_cuda_fail(e, err, "cudaMalloc");
	pool->used += size;
	pool->peak = pool->used > pool->peak ? pool->used : pool->peak;
	return 0;
}

static void free_shared(struct rn_backend *b, void *p, size_t size)
{
	(void)cudaSetDevice(rn_cuda_of(b)->ordinal);
	rn_cuda_of(b)->pool.used -= pages_of(size);
	(void)cudaFree(p); /* a device that is lost has been told of elsewhere */
}

static int export_buf(struct rn_backend *b, void *p, struct rn_handle *h, struct rn_err *e)
{
	cudaIpcMemHandle_t handle;

	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	RN_CUDA(e, cudaIpcGetMemHandle(&handle, p));
	memset(h, 0, sizeof *h);
	memcpy(h, &handle, sizeof handle);
	return 0;
}

static int import_buf(struct rn_backend *b, const struct rn_handle *h, void **out,
		      struct rn_err *e)
{
	cudaIpcMemHandle_t handle;

	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	memcpy(&handle, h, sizeof handle);
	RN_CUDA(e, cudaIpcOpenMemHandle(out, handle, cudaIpcMemLazyEnablePeerAccess));
	return 0;
}

static void release_buf(struct rn_backend *b, void *p)
{
	(void)cudaSetDevice(rn_cuda_of(b)->ordinal);
	(void)cudaStreamSynchronize(rn_cuda_of(b)->stream);
	(void)cudaIpcCloseMemHandle(p);
}

static int map_host(struct rn_backend *b, void *base, size_t size, void **out, struct rn_err *e)
{
	cudaError_t err;

	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	RN_CUDA(e, cudaHostRegister(base, size, cudaHostRegisterMapped | cudaHostRegisterPortable));
	err = cudaHostGetDevicePointer(out, base, 0);
	if (err == cudaSuccess)
		return 0;
	(void)cudaHostUnregister(base);
	return rn_cuda_fail(e, err, "cudaHostGetDevicePointer");
}

static void unmap_host(struct rn_backend *b, void *base)
{
	(void)cudaSetDevice(rn_cuda_of(b)->ordinal);
	(void)cudaStreamSynchronize(rn_cuda_of(b)->stream);
	(void)cudaHostUnregister(base);
}

/* ---- events ------------------------------------------------------------------------------- */

static void event_free(struct rn_backend *b, struct rn_event *ev)
{
	if (!ev)
		return;
	(void)cudaSetDevice(rn_cuda_of(b)->ordinal);
	if (ev->event)
		(void)cudaEventDestroy(ev->event);
	free(ev);
}

static int make_event(struct rn_event *ev, struct rn_handle *h, struct rn_err *e)
{
	cudaIpcEventHandle_t handle;

	RN_CUDA(e, cudaEventCreateWithFlags(&ev->event,
					    cudaEventDisableTiming | cudaEventInterprocess));
	RN_CUDA(e, cudaIpcGetEventHandle(&handle, ev->event));
	memset(h, 0, sizeof *h);
	memcpy(h, &handle, sizeof handle);
	return 0;
}

static int event_new(struct rn_backend *b, struct rn_event **out, struct rn_handle *h,
		     struct rn_err *e)
{
	struct rn_event *ev;
	int rc;

	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	RN_TRY(rn_calloc(1, sizeof *ev, "an event", &ev, e));
	rc = make_event(ev, h, e);
	if (rc)
		event_free(b, ev);
	else
		*out = ev;
	return rc;
}

static int event_take(struct rn_backend *b, const struct rn_handle *h, struct rn_event **out,
		      struct rn_err *e)
{
	cudaIpcEventHandle_t handle;
	struct rn_event *ev;
	cudaError_t err;

	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	RN_TRY(rn_calloc(1, sizeof *ev, "an event", &ev, e));
	memcpy(&handle, h, sizeof handle);
	err = cudaIpcOpenEventHandle(&ev->event, handle);
	if (err == cudaSuccess) {
		*out = ev;
		return 0;
	}
	free(ev);
	return rn_cuda_fail(e, err, "cudaIpcOpenEventHandle");
}

static int event_record(struct rn_backend *b, struct rn_event *ev, struct rn_err *e)
{
	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	RN_CUDA(e, cudaEventRecord(ev->event, rn_cuda_of(b)->stream));
	return 0;
}

static int event_wait(struct rn_backend *b, struct rn_event *ev, struct rn_err *e)
{
	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	RN_CUDA(e, cudaStreamWaitEvent(rn_cuda_of(b)->stream, ev->event, 0));
	return 0;
}

void rn_cuda_share(struct rn_backend *b)
{
	b->alloc_shared = alloc_shared;
	b->free_shared = free_shared;
	b->export_buf = export_buf;
	b->import_buf = import_buf;
	b->release_buf = release_buf;
	b->map_host = map_host;
	b->unmap_host = unmap_host;
	b->event_new = event_new;
	b->event_take = event_take;
	b->event_record = event_record;
	b->event_wait = event_wait;
	b->event_free = event_free;
}
