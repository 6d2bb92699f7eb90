/* SPDX-License-Identifier: Apache-2.0
 *
 * The ring beside a pipe: what goes through it arrives; what is not the very pipe, or not what
 * it says, is refused; and a reader that lies in the shared page can neither hang the
 * writer nor make it write where it should not.  RN_LONG=1 runs longer.
 */
#include "shm_page.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

/* ---- the ring ------------------------------------------------------------------ */

/* Both ends in one process, and the pipe between them.  The page says of another one, which does
 * nothing, that it reads: a writer hands nothing to its own. */
struct ends {
	int pipe[2];
	uint8_t offer[RN_SHM_OFFER];
	struct rn_shm_writer *w;
	struct rn_shm_reader *r;
	pid_t reader;
};

static void put_reader(uint8_t *page, uint64_t v)
{
	__atomic_store_n((uint64_t *)(void *)(page + READER), v, __ATOMIC_SEQ_CST);
}

static pid_t hold_pipe(const int pipe[2])
{
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(pipe[1]);
	for (;;)
		pause();
}

static bool meet(struct ends *x)
{
	uint8_t *page;

	make_pipe(x->pipe);
	x->w = rn_shm_writer_new(x->pipe[1], x->offer);
	x->r = x->w ? rn_shm_reader_new(x->pipe[0], x->offer) : NULL;
	x->reader = hold_pipe(x->pipe);
	if (!x->r || x->reader < 0)
		return false;
	page = open_page(x->offer);
	put_reader(page, (uint64_t)x->reader << 32 | (uint32_t)x->pipe[0]);
	munmap(page, BYTES);
	return rn_shm_writer_taken(x->w);
}

static void part(struct ends *x)
{
	kill(x->reader, SIGKILL);
	waitpid(x->reader, NULL, 0);
	rn_shm_writer_free(x->w);
	rn_shm_reader_free(x->r);
	close_pipe(x->pipe);
}

/* What the pipe says of a payload. */
struct note {
	uint64_t at, n, seed;
};

static uint8_t byte_of(uint64_t seed, uint64_t i)
{
	return (uint8_t)((seed + i) * 0x9E3779B97F4A7C15ull >> 56);
}

struct reading {
	struct ends *x;
	uint64_t seen, wrong;
	bool slow;
};

static void *read_notes(void *arg)
{
	struct reading *g = arg;
	struct note n;

	while (read(g->x->pipe[0], &n, sizeof n) == (ssize_t)sizeof n) {
		const uint8_t *p = rn_shm_reader_at(g->x->r, n.at, n.n);

		if (g->slow && g->seen % 16 == 0)
			usleep(2000);
		for (uint64_t i = 0; p && i < n.n; i += 61)
			g->wrong += p[i] != byte_of(n.seed, i);
		g->wrong += !p;
		g->seen++;
		rn_shm_reader_done(g->x->r);
	}
	return NULL;
}

/* Payloads of every size, against a fast reader and against a slow one. */
static void test_ring(bool slow)
{
	uint64_t sent = 0, refused = 0, wrapped = 0, last = 0, total = 0;
	struct ends x = { .w = NULL };
	struct reading g = { .x = &x, .slow = slow };
	struct rn_err e = { 0 };
	pthread_t t;

	T_OK(meet(&x), "a reader in the same pipe takes the offer");
	pthread_create(&t, NULL, read_notes, &g);
	while (total < 16ull * RN_SHM_RING) {
		struct note n = { .n = 64 * below(below(4) ? 4000 : RN_SHM_RING / 64), .seed = rnd() };
		uint8_t *p;

		if (sent % 20 == 5)
			n.n = RN_SHM_RING;
		if (sent % 20 == 10 && !refused)
			n.n = RN_SHM_RING + 64;

		T_CALL(rn_shm_writer_room(x.w, n.n, "out", &p, &n.at, &e), &e);
		refused += !p;
		if (!p && n.n <= RN_SHM_RING)
			T_OK(0, "no room for %d bytes: %s", (int)n.n, rn_shm_writer_why(x.w));
		if (!p)
			continue;
		for (uint64_t i = 0; i < n.n; i += 61)
			p[i] = byte_of(n.seed, i);
		wrapped += n.at < last;
		last = n.at;
		total += n.n;
		sent++;
		if (write(x.pipe[1], &n, sizeof n) != sizeof n)
			abort();
	}
	close(x.pipe[1]);
	pthread_join(t, NULL);
	T_OK(g.seen == sent && !g.wrong && refused == 1,
	     "%s reader: %d payloads, %d times around, %d too large", slow ? "slow" : "fast", (int)sent,
	     (int)wrapped, (int)refused);
	x.pipe[1] = open("/dev/null", O_RDONLY);
	part(&x);
}

/* Places: an empty ring is used from its beginning, else what is in use is gone around. */
static void test_places(void)
{
	enum { MB = 1 << 20 };
	static const struct {
		uint32_t done; /* payloads that the reader is done with before */
		size_t n, at;
	} rows[] = {
		{ 0, 3 * MB, 0 },                 /* A */
		{ 0, MB / 2, 3 * MB },            /* B */
		{ 1, MB, 0 },                     /* C: does not fit behind B */
		{ 0, 2 * MB, MB },                /* D: up to B */
		{ 1, MB / 2, 3 * MB },            /* E: where B was */
		{ 0, MB / 2, 3 * MB + MB / 2 },   /* F: to the end */
		{ 2, 3 * MB, 0 },                 /* G: after C and D */
		{ 3, 64, 0 },                     /* all are done */
		{ 0, 64, 64 },
		{ 1, RN_SHM_RING - 128, 128 },
		{ 2, RN_SHM_RING, 0 },
	};
	struct ends x = { .w = NULL };
	struct rn_err e = { 0 };

	T_OK(meet(&x), "a reader takes the offer");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint64_t at = 1;
		uint8_t *p;

		for (uint32_t k = 0; k < rows[i].done; k++)
			rn_shm_reader_done(x.r);
		T_CALL(rn_shm_writer_room(x.w, rows[i].n, "out", &p, &at, &e), &e);
		T_OK(p && at == rows[i].at, "payload %d of %d bytes lies at %d", (int)i,
		     (int)rows[i].n, (int)at);
	}
	part(&x);
}

/* More payloads than are kept count of, and empty ones. */
static void test_many_small(void)
{
	struct ends x = { .w = NULL };
	struct reading g = { .x = &x };
	struct rn_err e = { 0 };
	pthread_t t;

	T_OK(meet(&x), "a reader takes the offer");
	pthread_create(&t, NULL, read_notes, &g);
	for (int i = 0; i < 20000; i++) {
		struct note n = { .n = 64 * below(2), .seed = rnd() };
		uint8_t *p;

		T_CALL(rn_shm_writer_room(x.w, n.n, "out", &p, &n.at, &e), &e);
		if (!p)
			abort();
		if (n.n)
			memset(p, 0, n.n);
		for (uint64_t k = 0; k < n.n; k += 61)
			p[k] = byte_of(n.seed, k);
		if (write(x.pipe[1], &n, sizeof n) != sizeof n)
			abort();
	}
	close(x.pipe[1]);
	pthread_join(t, NULL);
	T_OK(g.seen == 20000 && !g.wrong, "20000 payloads of 0 or 64 bytes");
	x.pipe[1] = open("/dev/null", O_RDONLY);
	part(&x);
}

/* ---- not for us ------------------------------------------------------------------ */

static bool taken(int pipe, const struct offer *o)
{
	struct rn_shm_reader *r = rn_shm_reader_new(pipe, (const uint8_t *)o);

	rn_shm_reader_free(r);
	return r;
}

static void test_refusals(void)
{
	int p[2], other[2], null;
	uint8_t bytes[RN_SHM_OFFER];
	struct offer o, x;
	struct rn_shm_writer *w;

	make_pipe(p);
	make_pipe(other);
	w = rn_shm_writer_new(p[1], bytes);
	memcpy(&o, bytes, sizeof o);
	T_OK(w && !rn_shm_writer_taken(w) && rn_shm_writer_why(w), "an offer that nobody has taken");
	T_OK(!taken(other[0], &o), "another pipe");
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	T_OK(!taken(-1, &o) && !taken(null, &o), "no pipe");
	close(null);
#define CHANGED(text, change) (x = o, change, T_OK(!taken(p[0], &x), text))
	CHANGED("another boot", x.boot[3] ^= 1);
	CHANGED("another cookie", x.cookie[15] ^= 1);
	CHANGED("another pid namespace", x.pid_ns++);
	CHANGED("another device", x.dev++);
	CHANGED("another inode", x.ino++);
	CHANGED("another size", x.bytes += PAGE);
	CHANGED("no such process", x.pid = INT32_MAX);
	CHANGED("a number that is no process", x.pid = UINT64_MAX);
	CHANGED("the first process", x.pid = 0);
	CHANGED("no such descriptor", x.fd = 12345);
	CHANGED("a descriptor that is a pipe", x.fd = (uint64_t)p[0]);
	CHANGED("a number that is no descriptor", x.fd = UINT64_MAX);
	setenv("RN_SHM", "0", 1);
	T_OK(!taken(p[0], &o), "RN_SHM=0 for the reader");
	T_OK(!rn_shm_writer_new(p[1], bytes) && !strcmp(rn_shm_writer_why(NULL), "RN_SHM=0"),
	     "RN_SHM=0 for the writer");
	unsetenv("RN_SHM");
	T_OK(taken(p[0], &o), "the offer as it was");
	T_OK(!taken(p[0], &o), "a second reader");
	rn_shm_writer_free(w);
	close_pipe(p);
	close_pipe(other);
}

/* An offer of the descriptor fd, which is the caller's. */
static bool takes_fd(int fd)
{
	uint8_t bytes[RN_SHM_OFFER];
	struct rn_shm_writer *w;
	struct offer o;
	char page[64];
	int p[2];
	bool got;

	make_pipe(p);
	w = rn_shm_writer_new(p[1], bytes);
	memcpy(&o, bytes, sizeof o);
	/* The true magic and cookie, so that only the descriptor is wrong. */
	snprintf(page, sizeof page, "/proc/self/fd/%d", (int)o.fd);
	{
		int from = open(page, O_RDONLY | O_CLOEXEC);
		uint8_t first[24];

		if (from < 0 || read(from, first, sizeof first) != sizeof first ||
		    pwrite(fd, first, sizeof first, 0) != sizeof first)
			abort();
		close(from);
	}
	o.fd = (uint64_t)fd;
	got = taken(p[0], &o);
	rn_shm_writer_free(w);
	close_pipe(p);
	return got;
}

static int memfd(int seals, off_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, size) < 0 || (seals && fcntl(fd, F_ADD_SEALS, seals) < 0))
		abort();
	return fd;
}

static void test_descriptors(void)
{
	static const struct {
		const char *what;
		int seals;
		off_t size;
		bool good;
	} rows[] = {
		{ "all seals", F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, BYTES, true },
		{ "no seals", 0, BYTES, false },
		{ "a seal against growing", F_SEAL_GROW | F_SEAL_SEAL, BYTES, false },
		{ "seals that may be lifted or added", F_SEAL_SHRINK | F_SEAL_GROW, BYTES, false },
		{ "a smaller one", F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, BYTES - PAGE, false },
		{ "a larger one", F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, BYTES + PAGE, false },
	};
	char name[] = "/tmp/rn-test-shm-XXXXXX";
	int fd;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		fd = memfd(rows[i].seals, rows[i].size);
		T_OK(takes_fd(fd) == rows[i].good, "a memfd with %s is %s", rows[i].what,
		     rows[i].good ? "taken" : "refused");
		close(fd);
	}
	fd = mkstemp(name);
	unlink(name);
	if (fd < 0 || ftruncate(fd, BYTES) < 0)
		abort();
	T_OK(!takes_fd(fd), "a file of the same size is refused: it has no seals");
	close(fd);
}

/* Bytes of address space in use. */
static rlim_t in_use(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (!f || fscanf(f, "%lu", &pages) != 1)
		abort();
	fclose(f);
	return (rlim_t)pages * PAGE;
}

/* Address space that does not suffice, for either side. */
static void test_no_space(void)
{
	uint8_t bytes[RN_SHM_OFFER];
	struct rn_shm_writer *w, *none;
	struct rlimit old, small;
	struct offer o;
	bool got;
	int p[2];

	make_pipe(p);
	w = rn_shm_writer_new(p[1], bytes);
	memcpy(&o, bytes, sizeof o);
	getrlimit(RLIMIT_AS, &old);
	small = old;
	small.rlim_cur = in_use() + RN_SHM_RING / 2;
	setrlimit(RLIMIT_AS, &small);
	none = rn_shm_writer_new(p[1], bytes);
	got = taken(p[0], &o);
	setrlimit(RLIMIT_AS, &old);
	T_OK(w && !none && !got, "neither offered nor taken where it cannot be mapped");
	T_OK(taken(p[0], &o), "taken where it can");
	rn_shm_writer_free(w);
	close_pipe(p);
}

static void test_limits(void)
{
	struct rlimit old, small;
	uint8_t bytes[RN_SHM_OFFER];
	int p[2];

	make_pipe(p);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 65536;
	setrlimit(RLIMIT_FSIZE, &small);
	T_OK(!rn_shm_writer_new(p[1], bytes), "no offer, and no signal, where files must be small");
	setrlimit(RLIMIT_FSIZE, &old);
	getrlimit(RLIMIT_NOFILE, &old);
	small = old;
	small.rlim_cur = (rlim_t)p[1] + 1;
	setrlimit(RLIMIT_NOFILE, &small);
	T_OK(!rn_shm_writer_new(p[1], bytes), "no offer where no file can be opened");
	setrlimit(RLIMIT_NOFILE, &old);
	close_pipe(p);
}

/* ---- a reader that lies ------------------------------------------------------------ */

static void put_done(uint8_t *page, uint32_t v)
{
	__atomic_store_n((uint32_t *)(void *)(page + DONE), v, __ATOMIC_SEQ_CST);
}

/* Who says that they read the pipe, and do not. */
static void test_false_readers(void)
{
	uint64_t me = (uint64_t)getpid() << 32;
	int p[2], other[2];

	make_pipe(p);
	make_pipe(other);
	{
		const struct {
			const char *what;
			uint64_t reader;
		} rows[] = {
			{ "a descriptor that is not open", me | 999 },
			{ "a descriptor of another pipe", me | (uint32_t)other[0] },
			{ "a process that does not exist", (uint64_t)INT32_MAX << 32 | (uint32_t)p[0] },
			{ "a process that cannot be", UINT64_MAX },
			{ "process 0", (uint32_t)p[0] },
			{ "the first process", 1ull << 32 | (uint32_t)p[0] },
			{ "the writer itself", me | (uint32_t)p[0] },
		};

		for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
			uint8_t offer[RN_SHM_OFFER], *room, *page;
			struct rn_shm_writer *w = rn_shm_writer_new(p[1], offer);
			struct rn_err e = { 0 };
			uint64_t at;

			page = open_page(offer);
			put_reader(page, rows[i].reader);
			T_CALL(rn_shm_writer_room(w, 64, "out", &room, &at, &e), &e);
			T_OK(!room && !rn_shm_writer_taken(w) && rn_shm_writer_why(w), "inline for %s",
			     rows[i].what);
			munmap(page, BYTES);
			rn_shm_writer_free(w);
		}
	}
	close_pipe(p);
	close_pipe(other);
}

static void *lie(void *arg)
{
	struct liar *l = arg;
	uint64_t x = l->seed;

	while (!l->stop) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		put_done(l->page, (uint32_t)(x >> 60 ? x >> 40 : x >> 60));
		if (!(x >> 58))
			put_reader(l->page, x);
	}
	return NULL;
}

/* Counts that are random: every payload finds room or goes inline, at once. */
static void test_false_counts(void)
{
	int rounds = getenv("RN_LONG") ? 500 : 20;
	unsigned broken = 0;

	for (int i = 1; i <= rounds; i++) {
		struct ends x = { .w = NULL };
		struct liar l = { .seed = (uint64_t)i * 0x9E3779B97F4A7C15ull };
		struct rn_err e = { 0 };
		pthread_t t;

		if (!meet(&x))
			abort();
		l.page = open_page(x.offer);
		pthread_create(&t, NULL, lie, &l);
		for (int k = 0; k < 200; k++) {
			size_t n = 64 * (1 + below(8000));
			uint64_t at;
			uint8_t *p;

			T_CALL(rn_shm_writer_room(x.w, n, "out", &p, &at, &e), &e);
			if (p)
				memset(p, k, n);
			else
				broken++;
		}
		l.stop = true;
		pthread_join(t, NULL);
		munmap(l.page, BYTES);
		part(&x);
	}
	T_OK(broken, "random counts (seeds 1 to %d times 9E37…): %u payloads went inline", rounds, broken);
}

/* One that reads, and never counts. */
static void test_no_counts(void)
{
	struct ends x = { .w = NULL };
	struct rn_err e = { 0 };
	uint8_t *p;
	uint64_t at;
	int k = 0;

	if (!meet(&x))
		abort();
	do {
		T_CALL(rn_shm_writer_room(x.w, 1 << 20, "out", &p, &at, &e), &e);
		k++;
	} while (p && k < 100);
	T_OK(!p && k == RN_SHM_RING / (1 << 20) + 1, "a reader that never counts gets the rest inline: %s",
	     rn_shm_writer_why(x.w));
	part(&x);
}

/* The reader dies, and another process keeps the pipe open. */
static void test_dead_reader(void)
{
	uint8_t offer[RN_SHM_OFFER], *p = NULL;
	struct rn_shm_writer *w;
	struct rn_err e = { 0 };
	uint64_t at;
	int pp[2], rc = 0;
	pid_t pid;

	make_pipe(pp);
	w = rn_shm_writer_new(pp[1], offer);
	pid = fork();
	if (!pid) {
		if (!rn_shm_reader_new(pp[0], offer))
			_exit(1);
		pause();
	}
	for (int i = 0; i < 5000 && !rn_shm_writer_taken(w); i++)
		usleep(1000);
	rc = rn_shm_writer_room(w, 64, "out", &p, &at, &e);
	T_OK(!rc && p, "room, while the reader lives");
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT);
	rc = rn_shm_writer_room(w, 64, "out", &p, &at, &e);
	T_OK(rc == RN_EIO && !strcmp(e.msg, "cannot write 'out': Broken pipe"),
	     "a reader that has exited is a closed pipe: %s", e.msg);
	waitpid(pid, NULL, 0);
	rn_shm_writer_free(w);
	close_pipe(pp);
}

/* ---- a reader that is gone ------------------------------------------------------- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A process that takes the offer and then does nothing; this one holds the pipe, too. */
static pid_t take_offer(int pipe, const uint8_t offer[RN_SHM_OFFER], bool exits)
{
	pid_t pid = fork();

	if (!pid) {
		if (!rn_shm_reader_new(pipe, offer))
			_exit(1);
		if (!exits)
			pause();
		_exit(0);
	}
	return pid;
}

struct put_job {
	struct rn_shm_writer *w;
	size_t n, total;
	int rc;
	struct rn_err e;
	double ended;
};

/* Until it fails, or all is written. */
static void *put_all(void *arg)
{
	static const uint8_t zeros[1 << 20];
	struct put_job *j = arg;

	for (size_t at = 0; at < j->total && !j->rc; at += j->n)
		j->rc = rn_shm_writer_put(j->w, zeros, j->n, "out", &j->e);
	j->ended = now();
	return NULL;
}

/* Small writes and large ones wait in a full pipe when the reader that took the offer is killed;
 * own: may the writer open the pipe once more? */
static void test_full_pipe(size_t n, bool own)
{
	struct put_job j = { .n = n, .total = 8 << 20 };
	uint8_t offer[RN_SHM_OFFER];
	struct rlimit old, small;
	double killed;
	int pp[2];
	pthread_t t;
	pid_t pid;

	make_pipe(pp);
	j.w = rn_shm_writer_new(pp[1], offer);
	getrlimit(RLIMIT_NOFILE, &old);
	small = old;
	small.rlim_cur = (rlim_t)pp[0];
	if (!own && setrlimit(RLIMIT_NOFILE, &small))
		abort();
	T_CALL(rn_shm_writer_put(j.w, offer, sizeof offer, "out", &j.e), &j.e);
	if (setrlimit(RLIMIT_NOFILE, &old))
		abort();
	pthread_create(&t, NULL, put_all, &j);
	usleep(300000); /* it waits: nobody has come */
	pid = take_offer(pp[0], offer, false);
	usleep(600000); /* it has seen who came */
	killed = now();
	kill(pid, SIGKILL);
	pthread_join(t, NULL);
	T_OK(j.rc == RN_EIO && !strcmp(j.e.msg, "cannot write 'out': Broken pipe") &&
		     j.ended >= killed && j.ended - killed < 1,
	     "writes of %d bytes%s: ended %.2f s after their reader", (int)n,
	     own ? "" : ", by the pipe's own descriptor", j.ended - killed);
	waitpid(pid, NULL, 0);
	rn_shm_writer_free(j.w);
	close_pipe(pp);
}

static void *sleep_on(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* A process that takes the offer and is for ever at a place that all pass when they exit: its
 * descriptors are gone, and its pidfd says nothing yet. */
static pid_t exit_half(int pipe, const uint8_t offer[RN_SHM_OFFER])
{
	char path[64];
	pthread_t t;
	pid_t pid = fork();

	if (!pid) {
		if (!rn_shm_reader_new(pipe, offer) || pthread_create(&t, NULL, sleep_on, NULL))
			_exit(1);
		syscall(SYS_exit, 0); /* of this thread alone */
	}
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, pipe);
	while (!access(path, F_OK))
		usleep(1000);
	return pid;
}

static void test_exiting_reader(void)
{
	struct put_job j = { .n = 4096, .total = 8 << 20 };
	uint8_t offer[RN_SHM_OFFER];
	int pp[2];
	pid_t pid;

	if (T_TSAN) {
		T_SKIP("ThreadSanitizer and threads after fork(2)");
		return;
	}
	make_pipe(pp);
	j.w = rn_shm_writer_new(pp[1], offer);
	pid = exit_half(pp[0], offer);
	put_all(&j);
	T_OK(j.rc == RN_EIO && !strcmp(j.e.msg, "cannot write 'out': Broken pipe"),
	     "a reader that is just exiting at the first look: %s", j.e.msg);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	rn_shm_writer_free(j.w);
	close_pipe(pp);
}

/* It takes the offer and exits before the writer has looked once. */
static void test_short_reader(bool reaped)
{
	uint8_t offer[RN_SHM_OFFER], *p;
	struct put_job j = { .n = 4096, .total = 8 << 20 };
	double begin = now();
	struct rn_err e;
	uint64_t at;
	int pp[2];
	pid_t pid;

	make_pipe(pp);
	j.w = rn_shm_writer_new(pp[1], offer);
	pid = take_offer(pp[0], offer, true);
	waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT);
	if (reaped)
		waitpid(pid, NULL, 0);
	put_all(&j);
	T_OK(j.rc == RN_EIO && j.ended - begin < 5 && !strcmp(j.e.msg, "cannot write 'out': Broken pipe"),
	     "a reader that %s at the first look: %s", reaped ? "is gone" : "has exited", j.e.msg);
	T_OK(rn_shm_writer_room(j.w, 64, "out", &p, &at, &e) == RN_EIO, "and there is no room for it");
	if (!reaped)
		waitpid(pid, NULL, 0);
	rn_shm_writer_free(j.w);
	close_pipe(pp);
}

static void *drain(void *arg)
{
	static uint8_t bytes[1 << 16];
	int pipe = *(int *)arg;
	size_t *total = malloc(sizeof *total);
	ssize_t n;

	*total = 0;
	while ((n = read(pipe, bytes, sizeof bytes)) > 0)
		*total += (size_t)n;
	return total;
}

/* One that is none of ours gets everything, and as ever once it is clear that it is not. */
static void test_foreign_reader(void)
{
	struct put_job j = { .n = 1 << 20, .total = 24 << 20 };
	uint8_t offer[RN_SHM_OFFER];
	void *total;
	pthread_t t;
	int pp[2];

	make_pipe(pp);
	j.w = rn_shm_writer_new(pp[1], offer);
	pthread_create(&t, NULL, drain, &pp[0]);
	put_all(&j);
	usleep(150000);
	T_CALL(rn_shm_writer_put(j.w, offer, sizeof offer, "out", &j.e), &j.e);
	{
		struct rn_shm_reader *late = rn_shm_reader_new(pp[0], offer);

		T_OK(late && !rn_shm_writer_taken(j.w) &&
			     !strcmp(rn_shm_writer_why(j.w), "no program took the offer"),
		     "after 16 MiB nobody is waited for");
		rn_shm_reader_free(late);
	}
	rn_shm_writer_free(j.w);
	close(pp[1]);
	pthread_join(t, &total);
	T_OK(!j.rc && *(size_t *)total == j.total + sizeof offer, "it got all %d bytes",
	     (int)*(size_t *)total);
	free(total);
	close(pp[0]);
}

int main(void)
{
	size_t files = open_files();

	if (!has_pidfd()) {
		T_SKIP("no pidfd_open(2) here: everything goes inline");
		return t_done();
	}
	signal(SIGPIPE, SIG_IGN);
	alarm(HANG_S);
	test_ring(false);
	test_ring(true);
	test_places();
	test_many_small();
	test_refusals();
	test_descriptors();
	test_limits();
	test_no_space();
	test_false_readers();
	test_false_counts();
	test_no_counts();
	test_dead_reader();
	test_full_pipe(64, true);
	test_full_pipe(1 << 20, true);
	test_full_pipe(4096, false);
	test_short_reader(false);
	test_short_reader(true);
	test_exiting_reader();
	test_foreign_reader();
	T_OK(open_files() == files, "every descriptor is closed");
	return t_done();
}
