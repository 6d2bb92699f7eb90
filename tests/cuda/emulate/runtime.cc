/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime: devices, memory, streams, graphs.  The memory of the device is a region
 * that the host cannot touch, if it shall be strict, but while a stream runs; with ASan
 * what is not allocated there is poisoned.  A stream is a list of work that is done when
 * somebody waits.
 */
#include "graph.h"

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

struct rn_emulated_stream {
	std::deque<work> queue;
	uint64_t queued = 0, done = 0;
	rn_emulated_place capture;
};
namespace {

enum { ALIGN = 256, GUARD = 256, MAX_QUEUE = 20000 };
const uint32_t POISON = 0x7FD5A5A5; /* NaN, and as a row number far outside */
const unsigned char GUARD_BYTE = 0xC7;

struct device {
	std::recursive_mutex lock;
	int file = -1; /* of its memory, for other processes */
	char *base = nullptr;
	size_t size = 0;
	std::map<char *, size_t> blocks; /* allocated: bytes, without the guard */
	std::map<char *, size_t> pinned;
	std::set<cudaStream_t> streams;
	cudaError_t last = cudaSuccess, lost = cudaSuccess;
	uint64_t kernels = 0;
	int ordinal = 0;
	bool strict = false; /* the host cannot touch the memory */
	unsigned open = 0;   /* how deep it is accessible then */
};

/* Never destroyed: programs may use it until they end. */
device *dev()
{
	static device *d = new device;

	return d;
}

struct locked {
	std::lock_guard<std::recursive_mutex> guard;
	locked() : guard(dev()->lock)
	{
	}
};

uint64_t setting(const char *name, uint64_t dflt)
{
	const char *s = getenv(name);

	return s && *s ? strtoull(s, nullptr, 10) : dflt;
}

cudaError_t failed(cudaError_t err)
{
	if (err != cudaSuccess)
		dev()->last = err;
	return err;
}

/* ---- memory ---------------------------------------------------------------------------------- */

struct opened {
	opened()
	{
		if (dev()->strict && !dev()->open++) {
			mprotect(dev()->base, dev()->size, PROT_READ | PROT_WRITE);
			rn_emulate_protect_shared(PROT_READ | PROT_WRITE);
		}
	}
	~opened()
	{
		if (dev()->strict && !--dev()->open) {
			mprotect(dev()->base, dev()->size, PROT_NONE);
			rn_emulate_protect_shared(PROT_NONE);
		}
	}
};

bool begin_memory()
{
	device *d = dev();
	void *p;

	if (d->base)
		return true;
	d->size = setting("RN_EMULATE_MEMORY", 2048) << 20;
	d->strict = setting("RN_EMULATE_STRICT", 0) != 0;
	d->file = memfd_create("emulated-device", MFD_CLOEXEC);
	if (d->file < 0 || ftruncate(d->file, (off_t)d->size))
		return false;
	p = mmap(nullptr, d->size, d->strict ? PROT_NONE : PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_NORESERVE, d->file, 0);
	if (p == MAP_FAILED) {
		d->strict = false;
		return false;
	}
	d->base = (char *)p;
	ASAN_POISON_MEMORY_REGION(d->base, d->size);
	return true;
}

size_t padded(size_t size)
{
	return (size + ALIGN - 1) / ALIGN * ALIGN + GUARD;
}

/* The first gap that is large enough; NULL: none. */
char *find_gap(size_t size)
{
	device *d = dev();
	char *at = d->base;

	for (auto &b : d->blocks) {
		if ((size_t)(b.first - at) >= padded(size))
			return at;
		at = b.first + padded(b.second);
	}
	return (size_t)(d->base + d->size - at) >= padded(size) ? at : nullptr;
}

void check_guard(char *p, size_t size)
{
	for (size_t i = size; i < padded(size); i++)
		if ((unsigned char)p[i] != GUARD_BYTE) {
			fprintf(stderr, "emulated CUDA: byte %zu of a buffer of %zu was written\n",
				i, size);
			abort();
		}
}

bool in_device(const void *p)
{
	device *d = dev();

	return (d->base && (const char *)p >= d->base && (const char *)p < d->base + d->size) ||
	       rn_emulate_is_shared(p, 1);
}

bool is_pinned(const void *p, size_t size)
{
	auto it = dev()->pinned.upper_bound((char *)p);

	if (it == dev()->pinned.begin())
		return false;
	--it;
	return (const char *)p + size <= it->first + it->second;
}

void check_copy(const void *dst, const void *src, size_t n, cudaMemcpyKind kind)
{
	bool to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
	bool from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;

	if (to ? !rn_emulate_is_device(dst, n) : in_device(dst))
		rn_emulate_die("a copy writes to what is not memory of its kind");
	if (from ? !rn_emulate_is_device(src, n) : in_device(src))
		rn_emulate_die("a copy reads what is not memory of its kind");
}

/* ---- streams ----------------------------------------------------------------------------------- */

void run_until(cudaStream_t s, uint64_t at)
{
	opened memory;

	while (s->done < at && dev()->lost == cudaSuccess) {
		work w = std::move(s->queue.front());

		s->queue.pop_front();
		s->done++;
		w();
	}
}

cudaError_t run_all()
{
	for (cudaStream_t s : dev()->streams)
		run_until(s, s->queued);
	return dev()->lost;
}

/* What may not be called while a stream records. */
bool spoils_capture()
{
	bool spoilt = false;

	for (cudaStream_t s : dev()->streams)
		if (s->capture.of)
			s->capture.of->spoilt = spoilt = true;
	return spoilt;
}

void do_copy(void *dst, const void *src, size_t n)
{
	opened memory;

	memmove(dst, src, n);
}

} // namespace

bool rn_emulate_recorded_at(cudaStream_t s, struct rn_emulated_place *at)
{
	if (!s || !dev()->streams.count(s) || !s->capture.of)
		return false;
	*at = s->capture;
	return true;
}

cudaError_t rn_emulate_record_behind(cudaStream_t s, const struct rn_emulated_place &at)
{
	if (!dev()->streams.count(s) || !at.of->begun || (s->capture.of && s->capture.of != at.of))
		return failed(cudaErrorInvalidValue);
	s->capture.of = at.of;
	s->capture.behind.insert(s->capture.behind.end(), at.behind.begin(), at.behind.end());
	return cudaSuccess;
}

void rn_emulate_die(const char *what)
{
	fprintf(stderr, "emulated CUDA: %s\n", what);
	abort();
}

bool rn_emulate_is_device(const void *p, size_t size)
{
	auto it = dev()->blocks.upper_bound((char *)p);

	if (rn_emulate_is_shared(p, size))
		return true;
	if (it == dev()->blocks.begin())
		return false;
	--it;
	return (const char *)p + size <= it->first + it->second;
}

bool rn_emulate_block(const void *p, int *file, uint64_t *offset, uint64_t *size)
{
	auto it = dev()->blocks.find((char *)p);

	if (it == dev()->blocks.end())
		return false;
	*file = dev()->file;
	*offset = (uint64_t)(it->first - dev()->base);
	*size = it->second;
	return true;
}

std::recursive_mutex &rn_emulate_lock()
{
	return dev()->lock;
}

uint64_t rn_emulate_setting(const char *name, uint64_t dflt)
{
	return setting(name, dflt);
}

cudaError_t rn_emulate_failed(cudaError_t err)
{
	return failed(err);
}

bool rn_emulate_run_until(cudaStream_t s, uint64_t at)
{
	if (dev()->streams.count(s))
		run_until(s, at);
	return dev()->lost == cudaSuccess;
}

void rn_emulate_pin(void *p, size_t size)
{
	if (size)
		dev()->pinned[(char *)p] = size;
	else
		dev()->pinned.erase((char *)p);
}

/* Where a stream stands; false: it is none, or may not be asked while it records. */
bool rn_emulate_stream_at(cudaStream_t s, uint64_t *at, cudaError_t *err)
{
	*err = !dev()->streams.count(s) ? cudaErrorInvalidResourceHandle
	       : s->capture.of		  ? cudaErrorStreamCaptureUnsupported
					  : dev()->lost;
	if (*err == cudaErrorStreamCaptureUnsupported)
		s->capture.of->spoilt = true;
	if (*err == cudaSuccess)
		*at = s->queued;
	return *err == cudaSuccess;
}

cudaError_t rn_emulate_enqueue(cudaStream_t s, work w)
{
	locked l;

	if (dev()->lost != cudaSuccess)
		return failed(dev()->lost);
	if (!s || !dev()->streams.count(s))
		return failed(cudaErrorInvalidResourceHandle);
	if (s->capture.of) {
		std::vector<node> &nodes = s->capture.of->nodes;

		nodes.push_back({ std::move(w), std::move(s->capture.behind) });
		s->capture.behind = { nodes.size() - 1 };
		return cudaSuccess;
	}
	s->queue.push_back(std::move(w));
	s->queued++;
	if (s->queue.size() > MAX_QUEUE)
		run_until(s, s->queued);
	return cudaSuccess;
}

cudaError_t rn_emulate_launch(const char *name, dim3 grid, dim3 block, cudaStream_t s, work thread)
{
	static const char *order = getenv("RN_EMULATE_ORDER");
	static uint64_t last = setting("RN_EMULATE_FAIL", 0), refuse = setting("RN_EMULATE_REFUSE", 0);
	static uint64_t asked = 0;
	bool down = order && !strcmp(order, "down");

	if (!grid.x || !grid.y || !grid.z || grid.x > 0x7FFFFFFF || grid.y > 65535 ||
	    grid.z > 65535 || !block.x || !block.y || !block.z || block.z > 64 ||
	    (uint64_t)block.x * block.y * block.z > 1024)
		return failed(cudaErrorInvalidConfiguration);
	if (++asked == refuse)
		return failed(cudaErrorInvalidConfiguration);
	return rn_emulate_enqueue(s, [=] {
		if (++dev()->kernels == last) {
			dev()->lost = (cudaError_t)setting("RN_EMULATE_ERROR",
							   cudaErrorECCUncorrectable);
			return;
		}
		rn_emulate_run(name, grid, block, thread, down);
	});
}

extern "C" {

/* ---- errors ------------------------------------------------------------------------------------ */

static const struct {
	cudaError_t err;
	const char *name, *text;
} errors[] = {
	{ cudaSuccess, "cudaSuccess", "no error" },
	{ cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument" },
	{ cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory" },
	{ cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
	  "invalid configuration argument" },
	{ cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
	  "CUDA driver version is insufficient for CUDA runtime version" },
	{ cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected" },
	{ cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal" },
	{ cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable",
	  "uncorrectable ECC error encountered" },
	{ cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
	  "an illegal memory access was encountered" },
	{ cudaErrorDeviceUninitialized, "cudaErrorDeviceUninitialized", "invalid device context" },
	{ cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle",
	  "invalid resource handle" },
	{ cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
	  "part or all of the requested memory range is already mapped" },
	{ cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
	  "pointer does not correspond to a registered memory region" },
	{ cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported" },
	{ cudaErrorNotReady, "cudaErrorNotReady", "device not ready" },
	{ cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
	  "operation not permitted when stream is capturing" },
	{ cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
	  "operation failed due to a previous error during capture" },
	{ cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
	  "operation not permitted: a forked stream was not joined" },
};

const char *cudaGetErrorName(cudaError_t err)
{
	for (auto &x : errors)
		if (x.err == err)
			return x.name;
	return "cudaErrorUnknown";
}

const char *cudaGetErrorString(cudaError_t err)
{
	for (auto &x : errors)
		if (x.err == err)
			return x.text;
	return "unknown error";
}

cudaError_t cudaGetLastError(void)
{
	locked l;
	cudaError_t err = dev()->last;

	dev()->last = dev()->lost;
	return err;
}

cudaError_t cudaPeekAtLastError(void)
{
	locked l;

	return dev()->last;
}

/* ---- devices ------------------------------------------------------------------------------------ */

cudaError_t cudaDriverGetVersion(int *version)
{
	*version = CUDART_VERSION;
	return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
	*version = CUDART_VERSION;
	return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *n)
{
	*n = (int)setting("RN_EMULATE_DEVICES", 1);
	return *n ? cudaSuccess : failed(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int ordinal)
{
	locked l;
	int n;

	if (cudaGetDeviceCount(&n) != cudaSuccess || ordinal < 0 || ordinal >= n)
		return failed(cudaErrorInvalidDevice);
	dev()->ordinal = ordinal;
	return cudaSuccess;
}

cudaError_t cudaGetDevice(int *ordinal)
{
	*ordinal = dev()->ordinal;
	return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int ordinal)
{
	(void)ordinal;
	*p = {};
	snprintf(p->name, sizeof p->name, "emulated");
	p->totalGlobalMem = setting("RN_EMULATE_MEMORY", 2048) << 20;
	p->major = 9;
	p->multiProcessorCount = 4;
	return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int ordinal)
{
	(void)ordinal;
	*value = attr == cudaDevAttrMaxThreadsPerBlock	      ? 1024
		 : attr == cudaDevAttrMultiProcessorCount     ? 4
		 : attr == cudaDevAttrComputeCapabilityMajor ? 9
							      : 0;
	return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
	locked l;

	return spoils_capture() ? failed(cudaErrorStreamCaptureUnsupported) : failed(run_all());
}

/* ---- memory -------------------------------------------------------------------------------------- */

cudaError_t cudaMalloc(void **p, size_t size)
{
	static uint64_t asked = 0;
	locked l;
	device *d = dev();
	char *at;

	if (spoils_capture())
		return failed(cudaErrorStreamCaptureUnsupported);
	if (d->lost != cudaSuccess)
		return failed(d->lost);
	*p = nullptr;
	if (setting("RN_EMULATE_NOMEM", 0) && ++asked >= setting("RN_EMULATE_NOMEM", 0))
		return failed(cudaErrorMemoryAllocation);
	if (!size)
		return cudaSuccess;
	at = begin_memory() ? find_gap(size) : nullptr;
	if (!at)
		return failed(cudaErrorMemoryAllocation);
	{
		opened memory;

		ASAN_UNPOISON_MEMORY_REGION(at, padded(size));
		for (size_t i = 0; i < size / 4; i++)
			((uint32_t *)at)[i] = POISON;
		memset(at + size / 4 * 4, GUARD_BYTE, padded(size) - size / 4 * 4);
		ASAN_POISON_MEMORY_REGION(at + size, padded(size) - size);
	}
	d->blocks[at] = size;
	*p = at;
	return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
	locked l;
	device *d = dev();

	if (!p)
		return cudaSuccess;
	if (spoils_capture())
		return failed(cudaErrorStreamCaptureUnsupported);
	run_all();
	auto it = d->blocks.find((char *)p);
	if (it == d->blocks.end())
		rn_emulate_die("cudaFree of what cudaMalloc did not give");
	{
		opened memory;

		ASAN_UNPOISON_MEMORY_REGION(it->first, padded(it->second));
		check_guard(it->first, it->second);
		ASAN_POISON_MEMORY_REGION(it->first, padded(it->second));
	}
	d->blocks.erase(it);
	return failed(d->lost);
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
	locked l;
	size_t used = 0;

	for (auto &b : dev()->blocks)
		used += padded(b.second);
	*total = setting("RN_EMULATE_MEMORY", 2048) << 20;
	*free = *total - used;
	return failed(dev()->lost);
}

cudaError_t cudaHostAlloc(void **p, size_t size, unsigned flags)
{
	locked l;

	(void)flags;
	*p = malloc(size ? size : 1);
	if (!*p)
		return failed(cudaErrorMemoryAllocation);
	dev()->pinned[(char *)*p] = size;
	return cudaSuccess;
}

cudaError_t cudaMallocHost(void **p, size_t size)
{
	return cudaHostAlloc(p, size, 0);
}

cudaError_t cudaFreeHost(void *p)
{
	locked l;

	if (!p)
		return cudaSuccess;
	run_all();
	if (!dev()->pinned.erase((char *)p))
		rn_emulate_die("cudaFreeHost of what cudaHostAlloc did not give");
	free(p);
	return failed(dev()->lost);
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind)
{
	locked l;

	if (spoils_capture())
		return failed(cudaErrorStreamCaptureUnsupported);
	check_copy(dst, src, n, kind);
	if (run_all() != cudaSuccess)
		return failed(dev()->lost);
	do_copy(dst, src, n);
	return cudaSuccess;
}

/* From and to memory that is not pinned the copy is made at once, as CUDA does. */
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind,
			    cudaStream_t s)
{
	locked l;
	bool out = kind == cudaMemcpyDeviceToHost;
	const void *host = kind == cudaMemcpyHostToDevice ? src : out ? dst : nullptr;

	if (!n)
		return cudaSuccess;
	check_copy(dst, src, n, kind);
	if (!host || is_pinned(host, n) || (s && s->capture.of))
		return rn_emulate_enqueue(s, [=] { memmove(dst, src, n); });
	if (!out) {
		auto kept = std::make_shared<std::vector<char>>((const char *)src,
								(const char *)src + n);

		return rn_emulate_enqueue(s, [=] { memcpy(dst, kept->data(), n); });
	}
	cudaError_t err = cudaStreamSynchronize(s);
	if (err == cudaSuccess)
		do_copy(dst, src, n);
	return err;
}

cudaError_t cudaMemsetAsync(void *dst, int byte, size_t n, cudaStream_t s)
{
	locked l;

	if (!n)
		return cudaSuccess;
	if (!rn_emulate_is_device(dst, n))
		rn_emulate_die("cudaMemsetAsync of what is not memory of the device");
	return rn_emulate_enqueue(s, [=] { memset(dst, byte, n); });
}

/* ---- streams --------------------------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
	locked l;

	(void)flags;
	if (dev()->lost != cudaSuccess)
		return failed(dev()->lost);
	*s = new rn_emulated_stream;
	dev()->streams.insert(*s);
	return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
	locked l;

	run_until(s, s->queued);
	dev()->streams.erase(s);
	delete s;
	return failed(dev()->lost);
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
	locked l;

	if (!dev()->streams.count(s))
		return failed(cudaErrorInvalidResourceHandle);
	if (s->capture.of) {
		s->capture.of->spoilt = true;
		return failed(cudaErrorStreamCaptureUnsupported);
	}
	run_until(s, s->queued);
	return failed(dev()->lost);
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
	return cudaStreamSynchronize(s); /* who asks waits, or would ask for ever */
}

/* ---- graphs ------------------------------------------------------------------------------------------ */

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
	locked l;

	(void)mode;
	if (!dev()->streams.count(s) || s->capture.of)
		return failed(cudaErrorInvalidValue);
	s->capture.of = std::make_shared<rn_emulated_recording>();
	s->capture.of->begun = s;
	return failed(dev()->lost);
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
	locked l;
	rn_emulated_place end = s->capture;

	*g = nullptr;
	if (!end.of || end.of->begun != s)
		return failed(cudaErrorInvalidValue);
	for (cudaStream_t other : dev()->streams)
		if (other->capture.of == end.of)
			other->capture = {};
	end.of->begun = nullptr;
	if (end.of->spoilt)
		return failed(cudaErrorStreamCaptureInvalidated);
	if (!leads_to_all(end))
		return failed(cudaErrorStreamCaptureUnjoined);
	*g = new rn_emulated_graph{ std::move(end.of->nodes) };
	return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *x, cudaGraph_t g, unsigned long long flags)
{
	(void)flags;
	*x = new rn_emulated_graph_exec{ std::make_shared<std::vector<node>>(g->nodes),
					 std::make_shared<unsigned>(0) };
	return cudaSuccess;
}

/* Any order that the graph allows is one that a device may take. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s)
{
	auto nodes = x->nodes;
	auto launches = x->launches;

	return rn_emulate_enqueue(s, [=] { run_in_some_order(*nodes, (*launches)++, [] { return dev()->lost == cudaSuccess; }); });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x)
{
	delete x;
	return cudaSuccess;
}

unsigned long long rn_emulate_nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1000000000ull * (unsigned long long)t.tv_sec + (unsigned long long)t.tv_nsec;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
	delete g;
	return cudaSuccess;
}

} // extern "C"
