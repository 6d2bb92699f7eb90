/* SPDX-License-Identifier: Apache-2.0 */
#include "shm.h"

#include "../lib/base/mem.h"
#include "../lib/base/memfd.h"
#include "container_format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	PAGE = 4096,        /* the shared page, in front of the ring */
	BYTES = PAGE + RN_SHM_RING,
	MAX_SENT = 1024,    /* payloads in the ring at a time */
	SPINS = 500,        /* looks at the counter before a wait: some microseconds */
	WAIT_MS = 50,       /* between two looks at whether the reader lives: with a full ring, */
	LOOK_MS = 100,      /* while there is room in the pipe, */
	OFFER_MS = 250,     /* with a full pipe, whether one has come */
	LATE = 16 << 20,    /* bytes beyond what the pipe holds after which none will come */
	MOST_PID = 1 << 22, /* of any Linux */
	PATIENCE_MS = 1000, /* with a reader that has emptied the pipe and counts nothing */
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

#define SHM_MAGIC 0x0a314d48534e52abull

/* The first page of the memfd.  The writer fills in `magic` and `cookie`, the reader the
 * rest; each on a cache line of its own. */
struct shared_page {
	uint64_t magic;
	uint8_t cookie[16];
	_Alignas(64) _Atomic uint64_t reader; /* its pid << 32 | its end of the pipe; 0: none */
	_Alignas(64) _Atomic uint32_t done;   /* payloads that it has done with; a futex */
};
_Static_assert(sizeof(struct shared_page) <= PAGE, "it is one page");

struct offer {
	uint8_t boot[16], cookie[16];
	uint64_t pid_ns, dev, ino, pid, fd, bytes;
};
_Static_assert(sizeof(struct offer) == RN_SHM_OFFER, "as the specification says");

static bool is_off(void)
{
	const char *s = getenv("RN_SHM");

	return s && !strcmp(s, "0");
}

/* /proc/sys/kernel/random/boot_id, "01234567-…" without the dashes. */
static bool boot_id(uint8_t id[16])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	unsigned digits = 0, c;

	memset(id, 0, 16);
	while (f && digits < 32 && (c = (unsigned)fgetc(f)) != (unsigned)EOF) {
		unsigned v = c >= '0' && c <= '9' ? c - '0' :
			     c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;

		if (v < 16) {
			id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | v);
			digits++;
		}
	}
	if (f)
		fclose(f);
	return digits == 32;
}

/* Does /proc number the processes as we do?  A pid namespace may have come without its own. */
static bool proc_is_ours(void)
{
	char self[32], pid[32];
	ssize_t n = readlink("/proc/self", self, sizeof self);

	return n > 0 && n == snprintf(pid, sizeof pid, "%d", (int)getpid()) &&
	       memcmp(self, pid, (size_t)n) == 0;
}

/* What a writer and a reader must have in common. */
static bool describe(int pipe, struct offer *o)
{
	struct stat pid_ns, st;

	if (!proc_is_ours() || !boot_id(o->boot) || stat("/proc/self/ns/pid", &pid_ns) < 0 ||
	    fstat(pipe, &st) < 0 || !S_ISFIFO(st.st_mode))
		return false;
	o->pid_ns = pid_ns.st_ino;
	o->dev = st.st_dev;
	o->ino = st.st_ino;
	o->bytes = RN_SHM_RING;
	return true;
}

/* What /proc says about a process; false: there is no such thing. */
static bool look(uint64_t pid, const char *what, struct stat *st)
{
	char path[80];

	snprintf(path, sizeof path, "/proc/%" PRIu64 "%s", pid, what);
	return stat(path, st) == 0;
}

/* Is it a process of our user?  In another user namespace equal numbers are other users. */
static bool is_of_our_user(uint64_t pid)
{
	struct stat process, theirs, ours;

	return look(pid, "", &process) && process.st_uid == geteuid() &&
	       look(pid, "/ns/user", &theirs) && stat("/proc/self/ns/user", &ours) == 0 &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

static void *map_all(int fd)
{
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* ---- writer ------------------------------------------------------------------ */

struct rn_shm_writer {
	struct shared_page *page;
	uint8_t *ring;
	int fd, pipe;
	int own;            /* the pipe once more, for writes that do not wait; -1: none */
	int pidfd;          /* of the reader, -1: none has come */
	const char *broken; /* why no reader will be served any more, or NULL */
	bool wrote;         /* something, and so tried to open that */
	bool gone;          /* the reader had exited before it was looked at */
	uint64_t late;      /* bytes that may be written before a reader comes */
	int64_t looked;     /* when it was last looked after the reader */
	uint64_t head;      /* bytes placed so far, with those left out at the ring's end */
	uint32_t done;      /* as it was last seen */
	uint32_t first, n;  /* of `starts`: the oldest, how many */
	uint64_t starts[MAX_SENT]; /* of the payloads in the ring, counted as head is */
};

static bool fill_page(struct shared_page *p)
{
	p->magic = SHM_MAGIC;
	return getrandom(p->cookie, sizeof p->cookie, 0) == sizeof p->cookie;
}

/* A limit on the size of files would end the process by a signal. */
static bool may_be_large(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_FSIZE, &l) == 0 &&
	       (l.rlim_cur == RLIM_INFINITY || l.rlim_cur >= BYTES);
}

struct rn_shm_writer *rn_shm_writer_new(int pipe, uint8_t offer[RN_SHM_OFFER])
{
	struct offer o = { 0 };
	struct rn_shm_writer *w;
	int size;

	if (is_off() || !describe(pipe, &o) || !may_be_large() ||
	    rn_calloc(1, sizeof *w, "shared memory", &w, NULL))
		return NULL;
	w->pipe = pipe;
	w->pidfd = w->own = -1;
	w->fd = rn_memfd("rn");
	size = fcntl(pipe, F_GETPIPE_SZ);
	w->late = LATE + (uint64_t)(size > 0 ? size : 0);
	if (w->fd >= 0 && ftruncate(w->fd, BYTES) == 0 && fcntl(w->fd, F_ADD_SEALS, SEALS) == 0)
		w->page = map_all(w->fd);
	if (!w->page || !fill_page(w->page)) {
		rn_shm_writer_free(w);
		return NULL;
	}
	w->ring = (uint8_t *)w->page + PAGE;
	o.pid = (uint64_t)getpid();
	o.fd = (uint64_t)w->fd;
	memcpy(o.cookie, w->page->cookie, sizeof o.cookie);
	memcpy(offer, &o, sizeof o);
	return w;
}

void rn_shm_writer_free(struct rn_shm_writer *w)
{
	if (!w)
		return;
	if (w->page)
		munmap(w->page, BYTES);
	if (w->fd >= 0)
		close(w->fd);
	if (w->own >= 0)
		close(w->own);
	if (w->pidfd >= 0)
		close(w->pidfd);
	free(w);
}

static const char not_taken[] = "no program took the offer";

const char *rn_shm_writer_why(const struct rn_shm_writer *w)
{
	if (!w)
		return is_off() ? "RN_SHM=0" : "this system, or a limit, has none";
	return w->broken ? w->broken : w->pidfd < 0 ? not_taken : NULL;
}

/* Is what the process calls its descriptor fd this pipe? */
static bool reads_pipe(const struct rn_shm_writer *w, uint32_t pid, uint32_t fd)
{
	struct stat ours, theirs;
	char what[32];

	snprintf(what, sizeof what, "/fd/%" PRIu32, fd);
	return look(pid, what, &theirs) && fstat(w->pipe, &ours) == 0 &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

static bool has_exited(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Has its main thread begun to exit?  Its descriptors are closed some time before a pidfd says so. */
static bool is_exiting(uint32_t pid)
{
	const unsigned exiting = 4; /* PF_EXITING of the kernel's flags, proc(5) */
	char path[32], text[512], *behind_name;
	unsigned flags = 0;
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	behind_name = strrchr(text, ')');
	return behind_name && sscanf(behind_name, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
	       flags & exiting;
}

/* Of one that is not there any more nobody can tell whether it read the pipe.  Who can write to
 * the page can end this process as well, so it is believed. */
static void meet_reader(struct rn_shm_writer *w, uint32_t pid, uint32_t fd)
{
	bool is_pid = pid && pid <= MOST_PID && pid != (uint32_t)getpid();
	/* Once we have the pidfd, the number is this process's for as long as it lives. */
	int pidfd = is_pid ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;

	w->gone = is_pid && pidfd < 0 && errno == ESRCH;
	if (pidfd >= 0 && is_of_our_user(pid) && reads_pipe(w, pid, fd)) {
		w->pidfd = pidfd;
		return;
	}
	w->broken = "who took the offer does not read this pipe as our user";
	if (pidfd < 0)
		return;
	w->gone = is_exiting(pid) || has_exited(pidfd);
	close(pidfd);
}

bool rn_shm_writer_taken(struct rn_shm_writer *w)
{
	uint64_t reader;

	if (w->broken || w->pidfd >= 0)
		return !w->broken;
	reader = atomic_load_explicit(&w->page->reader, memory_order_acquire);
	if (!reader)
		return false;
	meet_reader(w, (uint32_t)(reader >> 32), (uint32_t)reader);
	return !w->broken;
}

/* What the reader has done with is free.  A count that cannot be ends the ring's use. */
static void take_back(struct rn_shm_writer *w, uint32_t done)
{
	uint32_t n = done - w->done;

	if (n > w->n) {
		w->broken = "the reader does not count as it should";
		return;
	}
	w->first = (w->first + n) % MAX_SENT;
	w->n -= n;
	w->done = done;
}

/* A reader that has exited counts as a closed pipe, even where another process holds it. */
static bool is_gone(const struct rn_shm_writer *w)
{
	struct pollfd p[2] = { { .fd = w->pipe }, { .fd = w->pidfd, .events = POLLIN } };

	return w->gone ||
	       (poll(p, 2, 0) > 0 && (p[0].revents & (POLLERR | POLLNVAL) || p[1].revents));
}

static int closed(const char *name, struct rn_err *e)
{
	errno = EPIPE;
	return rn_err_errno(e, "cannot write '%s'", name);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* Wait a while for the counter to be another one. */
static void wait_done(struct rn_shm_writer *w, uint32_t old)
{
	struct timespec t = { .tv_nsec = WAIT_MS * 1000000L };

	for (int i = 0; i < SPINS; i++)
		if (atomic_load_explicit(&w->page->done, memory_order_acquire) != old)
			return;
	syscall(SYS_futex, &w->page->done, FUTEX_WAIT, old, &t, NULL, 0);
}

/* The reader has taken everything out of the pipe, and should count what it took. */
static bool owes_a_count(const struct rn_shm_writer *w)
{
	int unread;

	return ioctl(w->pipe, FIONREAD, &unread) == 0 && !unread;
}

/* Where n bytes in one piece begin, counted as head is.  An empty ring is used from its
 * beginning, which is in the cache. */
static uint64_t place(const struct rn_shm_writer *w, size_t n)
{
	uint64_t at = w->head % RN_SHM_RING;

	return at && (!w->n || RN_SHM_RING - at < n) ? w->head + RN_SHM_RING - at : w->head;
}

static bool fits(struct rn_shm_writer *w, size_t n)
{
	return !w->n || (w->n < MAX_SENT && place(w, n) + n - w->starts[w->first] <= RN_SHM_RING);
}

/* Wait until there is room for n bytes, or until w->broken. */
static int wait_room(struct rn_shm_writer *w, size_t n, const char *name, struct rn_err *e)
{
	int64_t quiet = 0; /* since when the reader owes a count */

	for (;;) {
		uint32_t done = atomic_load_explicit(&w->page->done, memory_order_acquire);
		bool counts = done != w->done;

		take_back(w, done);
		if (w->broken)
			return 0;
		if (is_gone(w))
			return closed(name, e);
		if (fits(w, n))
			return 0;
		quiet = counts || !owes_a_count(w) ? 0 : quiet ? quiet : now_ms();
		if (quiet && now_ms() - quiet > PATIENCE_MS) {
			w->broken = "the reader does not count what it reads";
			return 0;
		}
		wait_done(w, done);
	}
}

int rn_shm_writer_room(struct rn_shm_writer *w, size_t n, const char *name, uint8_t **p,
		       uint64_t *at, struct rn_err *e)
{
	uint64_t start;

	*p = NULL;
	if (!rn_shm_writer_taken(w) || n > RN_SHM_RING)
		return w->gone ? closed(name, e) : 0;
	RN_TRY(wait_room(w, n, name, e));
	if (w->broken)
		return 0;
	start = place(w, n);
	w->head = start + n;
	w->starts[(w->first + w->n++) % MAX_SENT] = start;
	*at = start % RN_SHM_RING;
	*p = w->ring + *at;
	return 0;
}

/* ---- writes to the pipe ------------------------------------------------------ */

/* Who reads is none of ours, and never will be: then nobody is looked after. */
static bool is_foreign(const struct rn_shm_writer *w)
{
	return w->broken && w->pidfd < 0 && !w->gone;
}

/* Now and then: a reader may have come, or gone. */
static int look_after(struct rn_shm_writer *w, int64_t every, const char *name, struct rn_err *e)
{
	struct timespec t;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	now = t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
	if (now - w->looked < every)
		return 0;
	w->looked = now;
	if (!rn_shm_writer_taken(w) && !w->broken && !w->late)
		w->broken = not_taken;
	return !is_foreign(w) && is_gone(w) ? closed(name, e) : 0;
}

/* The pipe as a file of our own: that writes do not wait is no matter of others then. */
static int open_again(int pipe)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", pipe);
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

/* As much as there is room for; EAGAIN: there is none.  Without a file of our own: what has room
 * wherever there is any. */
static ssize_t write_some(const struct rn_shm_writer *w, const void *p, size_t n)
{
	struct pollfd room = { .fd = w->pipe, .events = POLLOUT };

	n = n < INT_MAX ? n : INT_MAX;
	if (is_foreign(w))
		return write(w->pipe, p, n); /* waits */
	if (w->own >= 0)
		return write(w->own, p, n);
	if (poll(&room, 1, 0) > 0)
		return write(w->pipe, p, n < PIPE_BUF ? n : PIPE_BUF);
	errno = EAGAIN;
	return -1;
}

/* Wait until there is room, the reader is gone, or it is time to see whether one has come. */
static int wait_pipe(struct rn_shm_writer *w, const char *name, struct rn_err *e)
{
	struct pollfd p[2] = { { .fd = w->pipe, .events = POLLOUT },
			       { .fd = w->pidfd, .events = POLLIN } };
	bool offered = !w->broken && w->pidfd < 0;
	int n = poll(p, 2, offered ? OFFER_MS : -1);

	if (n < 0 && errno != EINTR)
		return rn_err_errno(e, "cannot write '%s'", name);
	return look_after(w, n > 0 && !p[1].revents ? LOOK_MS : 0, name, e);
}

int rn_shm_writer_put(struct rn_shm_writer *w, const void *p, size_t n, const char *name,
		      struct rn_err *e)
{
	const uint8_t *from = p;

	if (!w->wrote)
		w->own = open_again(w->pipe);
	w->wrote = true;
	RN_TRY(look_after(w, LOOK_MS, name, e));
	while (n) {
		ssize_t k = write_some(w, from, n);

		if (k < 0 && errno == EAGAIN) {
			RN_TRY(wait_pipe(w, name, e));
		} else if (k < 0 && errno != EINTR) {
			return rn_err_errno(e, "cannot write '%s'", name);
		} else if (k > 0) {
			from += k;
			n -= (size_t)k;
			w->late -= w->late < (uint64_t)k ? w->late : (uint64_t)k;
		}
	}
	return 0;
}

/* ---- reader ------------------------------------------------------------------ */

struct rn_shm_reader {
	struct shared_page *page;
	const uint8_t *ring;
};

/* Can it neither shrink nor be anything but a memfd? */
static bool is_sealed(int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 && st.st_size == BYTES;
}

/* The memfd that the offer names, as far as it can be told from outside; -1: not that. */
static int open_offered(const struct offer *o)
{
	struct stat st;
	char path[64], what[32];
	int fd;

	if (o->pid > INT32_MAX || o->fd > INT32_MAX || !is_of_our_user(o->pid))
		return -1;
	snprintf(what, sizeof what, "/fd/%" PRIu64, o->fd);
	if (!look(o->pid, what, &st) || !S_ISREG(st.st_mode) || st.st_size != BYTES)
		return -1;
	snprintf(path, sizeof path, "/proc/%" PRIu64 "%s", o->pid, what);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && is_sealed(fd))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The page to write to, and the ring, which is only read. */
static struct shared_page *map_offered(const struct offer *o)
{
	int fd = open_offered(o);
	uint8_t *p;

	if (fd < 0)
		return NULL;
	p = map_all(fd);
	close(fd);
	if (!p)
		return NULL;
	if (mprotect(p + PAGE, RN_SHM_RING, PROT_READ) == 0)
		return (struct shared_page *)(void *)p;
	munmap(p, BYTES);
	return NULL;
}

struct rn_shm_reader *rn_shm_reader_new(int pipe, const uint8_t offer[RN_SHM_OFFER])
{
	uint64_t me = (uint64_t)getpid() << 32 | (uint32_t)pipe, none = 0;
	struct offer o, here = { 0 };
	struct rn_shm_reader *r;

	memcpy(&o, offer, sizeof o);
	if (is_off() || !describe(pipe, &here) || memcmp(o.boot, here.boot, sizeof o.boot) != 0 ||
	    o.pid_ns != here.pid_ns || o.dev != here.dev || o.ino != here.ino ||
	    o.bytes != here.bytes || rn_calloc(1, sizeof *r, "shared memory", &r, NULL))
		return NULL;
	r->page = map_offered(&o);
	if (!r->page || r->page->magic != SHM_MAGIC ||
	    memcmp(r->page->cookie, o.cookie, sizeof o.cookie) != 0 ||
	    !atomic_compare_exchange_strong(&r->page->reader, &none, me)) {
		rn_shm_reader_free(r);
		return NULL;
	}
	r->ring = (const uint8_t *)r->page + PAGE;
	return r;
}

const uint8_t *rn_shm_reader_at(const struct rn_shm_reader *r, uint64_t at, uint64_t n)
{
	if (at % RN_ER_ALIGN || at > RN_SHM_RING || n > RN_SHM_RING - at)
		return NULL;
	return r->ring + at;
}

void rn_shm_reader_done(struct rn_shm_reader *r)
{
	atomic_fetch_add_explicit(&r->page->done, 1, memory_order_release);
	syscall(SYS_futex, &r->page->done, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void rn_shm_reader_free(struct rn_shm_reader *r)
{
	if (!r)
		return;
	if (r->page)
		munmap(r->page, BYTES);
	free(r);
}
