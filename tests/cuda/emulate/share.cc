/* SPDX-License-Identifier: Apache-2.0
 *
 * Events, and what processes share: memory of the device, which is a file (runtime.cc) that
 * others open by way of /proc; events, whose counts lie in a file, too; memory of the host,
 * which the device has at an address of its own.
 *
 * Streams run when somebody waits.  What another process waits for nobody here need wait
 * for, so a thread does that work.
 */
#include "emulate.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <fcntl.h>
#include <linux/futex.h>
#include <map>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace {

enum : uint32_t { MEMORY = 0x4d454d31, EVENT = 0x45564e31 };

/* In a handle of 64 bytes. */
struct handle {
	uint32_t kind;
	int32_t pid, file;
	uint64_t offset, size;
};

/* How often an event was recorded, and how many of these are done. */
struct counts {
	std::atomic<uint32_t> recorded, done;
};

/* Memory that is not this process's, by where its first byte is. */
struct foreign {
	char *map;
	size_t mapped, size;
};
/* Never destroyed: the thread may use them until the program ends. */
auto &imported = *new std::map<char *, foreign>;
auto &registered = *new std::map<char *, char *>; /* of the host -> in `imported`, or nullptr */

/* what: "export"; forbidden are all ("export", "all") or the asked-th one ("export-2"). */
bool may_not(const char *what, unsigned asked)
{
	const char *s = getenv("RN_EMULATE_IPC");

	return s && (!strcmp(s, what) || !strcmp(s, "all") || s == std::string(what) + "-" + std::to_string(asked));
}

template <typename H> handle read_handle(const H &h)
{
	handle x;

	memcpy(&x, &h, sizeof x);
	return x;
}

template <typename H> void write_handle(H *h, const handle &x)
{
	memset(h, 0, sizeof *h);
	memcpy(h, &x, sizeof x);
}

void *map_of(const handle &h, uint64_t from, uint64_t bytes)
{
	std::string path = "/proc/" + std::to_string(h.pid) + "/fd/" + std::to_string(h.file);
	int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
	int prot = PROT_READ | PROT_WRITE;
	void *p = fd < 0 ? MAP_FAILED : mmap(nullptr, bytes, prot, MAP_SHARED, fd, (off_t)from);

	if (fd >= 0)
		close(fd);
	return p;
}

size_t page()
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

void futex(std::atomic<uint32_t> *at, int op, uint32_t value)
{
	(void)syscall(SYS_futex, at, op, value, nullptr, nullptr, 0);
}

void wait_for(counts *c, uint32_t count)
{
	for (uint32_t done; (int32_t)((done = c->done.load()) - count) < 0;)
		futex(&c->done, FUTEX_WAIT, done);
}

} // namespace

struct rn_emulated_event {
	cudaStream_t stream = nullptr;
	uint64_t at = 0;
	counts *shared = nullptr; /* of several processes */
	int file = -1;		  /* -1: another's, or of this process alone */
	struct rn_emulated_place recorded; /* where it stands in a graph; of NULL: in none */
};

namespace {

/* ---- the thread -------------------------------------------------------------------------- */

struct job {
	cudaStream_t stream;
	uint64_t at;
};
struct helper {
	std::mutex lock;
	std::condition_variable more;
	std::deque<job> jobs;
};

void work(helper *h)
{
	for (;;) {
		std::unique_lock<std::mutex> l(h->lock);
		job j;

		h->more.wait(l, [=] { return !h->jobs.empty(); });
		j = h->jobs.front();
		h->jobs.pop_front();
		l.unlock();
		usleep((useconds_t)rn_emulate_setting("RN_EMULATE_LAG", 0));
		std::lock_guard<std::recursive_mutex> device(rn_emulate_lock());
		rn_emulate_run_until(j.stream, j.at);
	}
}

void do_soon(const job &j)
{
	static helper *h = nullptr; /* never destroyed */

	if (!h) {
		h = new helper;
		std::thread(work, h).detach();
	}
	std::lock_guard<std::mutex> l(h->lock);
	h->jobs.push_back(j);
	h->more.notify_one();
}

struct locked {
	std::lock_guard<std::recursive_mutex> guard;
	locked() : guard(rn_emulate_lock())
	{
	}
};

} // namespace

bool rn_emulate_is_shared(const void *p, size_t size)
{
	auto it = imported.upper_bound((char *)p);

	if (it == imported.begin())
		return false;
	--it;
	return (const char *)p + size <= it->first + it->second.size;
}

void rn_emulate_protect_shared(int prot)
{
	for (auto &x : imported)
		mprotect(x.second.map, x.second.mapped, prot);
}

extern "C" {

/* ---- events ------------------------------------------------------------------------------ */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ev, unsigned flags)
{
	locked l;
	cudaStream_t none = nullptr;

	if (!rn_emulate_run_until(none, 0)) /* the device is lost */
		return rn_emulate_failed(cudaErrorECCUncorrectable);
	if ((flags & cudaEventInterprocess) && !(flags & cudaEventDisableTiming))
		return rn_emulate_failed(cudaErrorInvalidValue);
	*ev = new rn_emulated_event;
	if (!(flags & cudaEventInterprocess))
		return cudaSuccess;
	int fd = memfd_create("emulated-event", MFD_CLOEXEC), prot = PROT_READ | PROT_WRITE;
	void *p = MAP_FAILED;
	if (fd >= 0 && !ftruncate(fd, (off_t)page()))
		p = mmap(nullptr, page(), prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		rn_emulate_die("no memory for an event");
	(*ev)->file = fd;
	(*ev)->shared = (counts *)p;
	return cudaSuccess;
}

/* Counts stay mapped: the thread may be about to write them. */
cudaError_t cudaEventDestroy(cudaEvent_t ev)
{
	if (ev->file >= 0)
		close(ev->file);
	delete ev;
	return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t ev, cudaStream_t s)
{
	locked l;
	cudaError_t err;
	uint64_t at;

	ev->recorded = {};
	if (!ev->shared && rn_emulate_recorded_at(s, &ev->recorded))
		return cudaSuccess;
	if (!rn_emulate_stream_at(s, &at, &err))
		return rn_emulate_failed(err);
	if (ev->shared) {
		counts *c = ev->shared;
		uint32_t count = c->recorded.fetch_add(1) + 1;

		err = rn_emulate_enqueue(s, [=] {
			c->done.store(count);
			futex(&c->done, FUTEX_WAKE, INT32_MAX);
		});
		do_soon({ s, ++at });
	}
	ev->stream = s;
	ev->at = at;
	return err;
}

cudaError_t cudaEventSynchronize(cudaEvent_t ev)
{
	if (ev->shared) {
		wait_for(ev->shared, ev->shared->recorded.load());
		return cudaSuccess;
	}
	locked l;
	return rn_emulate_run_until(ev->stream, ev->at)
		       ? cudaSuccess
		       : rn_emulate_failed(cudaErrorECCUncorrectable);
}

cudaError_t cudaEventQuery(cudaEvent_t ev)
{
	return cudaEventSynchronize(ev);
}

/* For what was recorded when this is called. */
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t ev, unsigned flags)
{
	locked l;
	counts *c = ev->shared;
	cudaError_t err;
	uint64_t at;

	if (!flags && ev->recorded.of)
		return rn_emulate_record_behind(s, ev->recorded);
	if (flags || !rn_emulate_stream_at(s, &at, &err))
		return rn_emulate_failed(flags ? cudaErrorInvalidValue : err);
	if (c) {
		uint32_t count = c->recorded.load();

		return rn_emulate_enqueue(s, [=] { wait_for(c, count); });
	}
	cudaStream_t of = ev->stream;
	uint64_t until = ev->at;
	return rn_emulate_enqueue(s, [=] { rn_emulate_run_until(of, until); });
}

cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t *h, cudaEvent_t ev)
{
	static unsigned asked;
	locked l;

	if (may_not("event", ++asked))
		return rn_emulate_failed(cudaErrorNotSupported);
	if (ev->file < 0)
		return rn_emulate_failed(cudaErrorInvalidResourceHandle);
	write_handle(h, handle{ EVENT, getpid(), ev->file, 0, page() });
	return cudaSuccess;
}

cudaError_t cudaIpcOpenEventHandle(cudaEvent_t *ev, cudaIpcEventHandle_t h)
{
	static unsigned asked;
	locked l;
	handle x = read_handle(h);

	if (may_not("event-of", ++asked))
		return rn_emulate_failed(cudaErrorNotSupported);
	void *p = x.kind == EVENT && x.pid != getpid() ? map_of(x, 0, x.size) : MAP_FAILED;

	if (p == MAP_FAILED)
		return rn_emulate_failed(cudaErrorInvalidResourceHandle);
	*ev = new rn_emulated_event;
	(*ev)->shared = (counts *)p;
	return cudaSuccess;
}

/* ---- memory of the device ---------------------------------------------------------------- */

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *h, void *p)
{
	static unsigned asked;
	locked l;
	handle x = { MEMORY, getpid(), -1, 0, 0 };

	if (may_not("export", ++asked))
		return rn_emulate_failed(cudaErrorNotSupported);
	if (!rn_emulate_block(p, &x.file, &x.offset, &x.size))
		return rn_emulate_failed(cudaErrorInvalidValue);
	write_handle(h, x);
	return cudaSuccess;
}

cudaError_t cudaIpcOpenMemHandle(void **p, cudaIpcMemHandle_t h, unsigned flags)
{
	static unsigned asked;
	locked l;
	handle x = read_handle(h);
	uint64_t from = x.offset / page() * page(), bytes = x.offset + x.size - from;
	void *map;

	if (flags != cudaIpcMemLazyEnablePeerAccess)
		return rn_emulate_failed(cudaErrorInvalidValue);
	if (may_not("import", ++asked))
		return rn_emulate_failed(cudaErrorNotSupported);
	if (x.kind == MEMORY && x.pid == getpid())
		return rn_emulate_failed(cudaErrorDeviceUninitialized);
	map = x.kind == MEMORY ? map_of(x, from, bytes) : MAP_FAILED;
	if (map == MAP_FAILED)
		return rn_emulate_failed(cudaErrorInvalidResourceHandle);
	*p = (char *)map + (x.offset - from);
	imported[(char *)*p] = foreign{ (char *)map, bytes, x.size };
	if (rn_emulate_setting("RN_EMULATE_STRICT", 0))
		mprotect(map, bytes, PROT_NONE);
	return cudaSuccess;
}

cudaError_t cudaIpcCloseMemHandle(void *p)
{
	locked l;
	auto it = imported.find((char *)p);

	(void)cudaDeviceSynchronize();
	if (it == imported.end())
		return rn_emulate_failed(cudaErrorInvalidValue);
	munmap(it->second.map, it->second.mapped);
	imported.erase(it);
	return cudaSuccess;
}

/* ---- memory of the host ------------------------------------------------------------------ */

/* Memory that others map too gets a second address, so that one is not taken for the other. */
cudaError_t cudaHostRegister(void *p, size_t size, unsigned flags)
{
	locked l;
	size_t bytes = (size + page() - 1) / page() * page();
	void *alias = MAP_FAILED;

	if (!size || (uintptr_t)p % page())
		return rn_emulate_failed(cudaErrorInvalidValue);
	if (registered.count((char *)p))
		return rn_emulate_failed(cudaErrorHostMemoryAlreadyRegistered);
	if (flags & cudaHostRegisterMapped) {
		alias = mremap(p, 0, bytes, MREMAP_MAYMOVE);
		if (alias == MAP_FAILED)
			return rn_emulate_failed(cudaErrorInvalidValue);
		imported[(char *)alias] = foreign{ (char *)alias, bytes, size };
		if (rn_emulate_setting("RN_EMULATE_STRICT", 0))
			mprotect(alias, bytes, PROT_NONE);
	}
	registered[(char *)p] = alias == MAP_FAILED ? nullptr : (char *)alias;
	rn_emulate_pin(p, size);
	return cudaSuccess;
}

cudaError_t cudaHostGetDevicePointer(void **device, void *p, unsigned flags)
{
	locked l;
	auto it = registered.find((char *)p);

	if (flags || it == registered.end() || !it->second)
		return rn_emulate_failed(flags ? cudaErrorInvalidValue
					       : cudaErrorHostMemoryNotRegistered);
	*device = it->second;
	return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *p)
{
	locked l;
	auto it = registered.find((char *)p);

	(void)cudaDeviceSynchronize();
	if (it == registered.end())
		return rn_emulate_failed(cudaErrorHostMemoryNotRegistered);
	if (it->second) {
		munmap(it->second, imported[it->second].mapped);
		imported.erase(it->second);
	}
	registered.erase(it);
	rn_emulate_pin(p, 0);
	return cudaSuccess;
}

} // extern "C"
