/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams whose blocks lie in shared memory: they arrive whole or not at all, from another
 * process, also where that is killed; a writer that lies about the ring, or changes
 * it meanwhile, is an error and no fault; and every allocation may fail.  Seeds are printed;
 * RN_LONG=1 runs longer.
 */
#include "../../formats/container.h"
#include "../../formats/container_format.h"
#include "../../formats/hash.h"
#include "../../lib/base/team.h"

#include "alloc.h"
#include "shm_page.h"

#include <sys/wait.h>

/* ---- streams ------------------------------------------------------------------------- */

static struct rn_rel *random_rel(uint64_t rows, uint32_t width)
{
	struct rn_shape shape = { .rank = 1, .dim = { width } };
	struct rn_column *c = NULL, *s = NULL;
	struct rn_tensor *t = NULL;
	struct rn_rel *r = NULL;
	struct rn_err e;

	T_CALL(rn_rel_new("r", rows, &r, &e), &e);
	T_CALL(rn_column_new(RN_INT64, rows, &c, &e), &e);
	T_CALL(rn_column_new_string(rows, rows * 20, &s, &e), &e);
	T_CALL(rn_tensor_new(&shape, rows, &t, &e), &e);
	for (uint64_t i = 0, at = 0; i < rows; i++) {
		c->i64[i] = (int64_t)rnd();
		s->off[i] = at;
		at += (uint64_t)snprintf(s->bytes + at, 20, "%x", (unsigned)rnd());
		s->off[i + 1] = at;
	}
	for (uint64_t i = 0; i < t->nnz; i++)
		t->data[i] = (float)below(1 << 20);
	T_CALL(rn_rel_add_col(r, "a", NULL, c, &e), &e);
	T_CALL(rn_rel_add_col(r, "s", NULL, s, &e), &e);
	T_CALL(rn_rel_add_part(r, "z", t, NULL, &e), &e);
	return r;
}

static bool same_rel(const struct rn_rel *a, const struct rn_rel *b)
{
	uint64_t n = a->rows;
	const struct rn_column *s = a->cols[1], *t = b->cols[1];

	return n == b->rows && rn_schema_equal(&a->schema, &b->schema) &&
	       memcmp(a->cols[0]->i64, b->cols[0]->i64, n * 8) == 0 &&
	       memcmp(s->off, t->off, (n + 1) * 8) == 0 && memcmp(s->bytes, t->bytes, s->off[n]) == 0 &&
	       memcmp(a->parts[0].t->data, b->parts[0].t->data, a->parts[0].t->nnz * 4) == 0;
}

static int open_io(int fd, bool write, struct rn_io **io, struct rn_err *e)
{
	char path[32];

	snprintf(path, sizeof path, "/dev/fd/%d", fd);
	return write ? rn_io_open_write(path, io, e) : rn_io_open_read(path, io, e);
}

/* Write r in pieces to the pipe p, which is closed. */
static int write_stream(int p, struct rn_rel *r, uint64_t piece, struct rn_writer_opt *opt,
			struct rn_err *e)
{
	struct rn_writer *w = NULL;
	struct rn_io *io;
	int rc;

	rc = open_io(p, true, &io, e);
	close(p);
	RN_TRY(rc);
	RN_TRY(rn_writer_open(io, "{}", opt, &w, e));
	rc = rn_writer_section(w, &r->schema, e);
	for (uint64_t at = 0; !rc && at < r->rows; at += piece) {
		uint64_t n = r->rows - at < piece ? r->rows - at : piece;
		struct rn_rel *some = NULL;

		rc = rn_rel_slice(r, at, n, &some, e);
		if (!rc)
			rc = rn_writer_rows(w, some, e);
		rn_rel_unref(some);
	}
	if (!rc)
		return rn_writer_close(w, e);
	rn_writer_abort(w, e->msg);
	return rc;
}

/* Read the pipe p, which is closed, to its end. */
static int read_stream(int p, struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *s;
	struct rn_reader *r;
	struct rn_io *io;
	int rc;

	*out = NULL;
	rc = open_io(p, false, &io, e);
	close(p);
	RN_TRY(rc);
	RN_TRY(rn_reader_open(io, &r, e));
	rc = rn_reader_section(r, &s, e);
	if (!rc && s)
		rc = rn_reader_all(r, out, e);
	if (!rc)
		rc = rn_reader_section(r, &s, e);
	rn_reader_close(r);
	return rc;
}

/* What a process that writes has to tell; in memory that it shares. */
struct told {
	struct rn_writer_stats st;
	struct rn_err e;
	int rc;
	bool failed; /* an allocation did */
	long leaked; /* blocks */
};

static struct told *new_told(void)
{
	void *p = mmap(NULL, sizeof(struct told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static void test_streams(void)
{
	uint64_t shared = 0, blocks = 0;
	struct told *told = new_told();

	for (uint64_t seed = 1; seed <= (getenv("RN_LONG") ? 300 : 30); seed++) {
		struct rn_writer_opt opt = { .stats = &told->st };
		struct rn_err e = { 0 };
		struct rn_rel *r, *back;
		uint64_t piece;
		int p[2], rc;
		pid_t pid;

		state = seed * 0x9E3779B97F4A7C15ull;
		r = random_rel(1 + below(30000), 1 + (uint32_t)below(60));
		piece = 1 + below(5000);
		opt.block_rows = below(3) ? 1 + (uint32_t)below(3000) : 0;
		memset(told, 0, sizeof *told);
		make_pipe(p);
		pid = fork();
		if (!pid) {
			close(p[0]);
			if (seed % 2)
				T_CALL(rn_team_new(2, &opt.team, &e), &e);
			told->rc = write_stream(p[1], r, piece, &opt, &told->e);
			rn_team_free(opt.team);
			_exit(0);
		}
		close(p[1]);
		rc = read_stream(p[0], &back, &e);
		waitpid(pid, NULL, 0);
		if (rc || told->rc || !same_rel(r, back))
			T_OK(0, "seed %d: %d %s, %d %s", (int)seed, rc, e.msg, told->rc, told->e.msg);
		shared += told->st.shared_blocks;
		blocks += told->st.blocks;
		rn_rel_unref(r);
		rn_rel_unref(back);
	}
	T_OK(shared, "between two processes (seeds 1…): %d of %d blocks were shared", (int)shared,
	     (int)blocks);
	munmap(told, sizeof *told);
}

static void test_processes(void)
{
	struct rn_rel *r = random_rel(200000, 16), *back;
	struct rn_err e = { 0 };
	int p[2], status, rc;
	pid_t pid;

	make_pipe(p);
	pid = fork();
	if (!pid) {
		struct rn_writer_stats st = { 0 };
		struct rn_writer_opt opt = { .stats = &st };

		close(p[0]);
		rc = write_stream(p[1], r, 10000, &opt, &e);
		_exit(rc ? 1 : st.shared_blocks ? 0 : 2);
	}
	close(p[1]);
	rc = read_stream(p[0], &back, &e);
	waitpid(pid, &status, 0);
	T_OK(!rc && same_rel(r, back), "from another process: %s", e.msg);
	T_OK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "and through shared memory (exit %d)",
	     WEXITSTATUS(status));
	rn_rel_unref(back);
	rn_rel_unref(r);
}

/* All rows, and then no end. */
static void write_and_die(int p, struct rn_rel *r)
{
	struct rn_writer_opt opt = { .block_rows = 500 };
	struct rn_writer *w;
	struct rn_io *io;
	struct rn_err e;

	if (open_io(p, true, &io, &e) || rn_writer_open(io, "{}", &opt, &w, &e) ||
	    rn_writer_section(w, &r->schema, &e) || rn_writer_rows(w, r, &e))
		_exit(1);
	kill(getpid(), SIGKILL);
}

/* The writer is killed, at any time or right before the end: never a whole relation. */
static void test_killed_writers(void)
{
	struct rn_rel *r = random_rel(60000, 16), *back;
	int whole = 0, cut = 0, rounds = getenv("RN_LONG") ? 1000 : 20;

	for (int i = 0; i < rounds; i++) {
		struct rn_err e = { 0 };
		int p[2], status, rc;
		pid_t pid;

		make_pipe(p);
		pid = fork();
		if (!pid) {
			struct rn_writer_opt opt = { .block_rows = 500 };

			close(p[0]);
			if (i % 4 == 0)
				write_and_die(p[1], r);
			ualarm((useconds_t)(1 + rnd() % 20000), 0);
			_exit(write_stream(p[1], r, 10000, &opt, &e) ? 1 : 0);
		}
		(void)rnd(); /* the child's */
		close(p[1]);
		rc = read_stream(p[0], &back, &e);
		waitpid(pid, &status, 0);
		whole += !rc;
		cut += rc == RN_EDATA;
		if (rc ? rc != RN_EDATA || !strstr(e.msg, "truncated") : !back || !same_rel(r, back))
			T_OK(0, "after a kill: %d %s", rc, e.msg);
		rn_rel_unref(back);
	}
	T_OK(whole + cut == rounds && cut >= rounds / 4,
	     "killed writers: %d cut streams are errors, %d were whole", cut, whole);
	rn_rel_unref(r);
}

/* ---- a writer that lies -------------------------------------------------------------- */

/* A stream whose one block lies in the ring, made by hand. */
struct forged {
	int pipe[2];
	uint8_t offer[RN_SHM_OFFER];
	struct rn_shm_writer *w;
	uint8_t *page;
	uint8_t *inl; /* the same stream, all inline */
	size_t len;
	size_t section, block, end; /* where in it the frames begin */
	struct rn_frame frame;      /* of the block */
};

static void forge(struct forged *f, struct rn_rel *r)
{
	struct rn_writer_opt opt = { .compress = RN_COMPRESS_NONE };
	struct rn_writer *w = NULL;
	struct rn_io *io = NULL;
	struct rn_frame s;
	void *data = NULL;
	struct rn_err e;

	make_pipe(f->pipe);
	if (fcntl(f->pipe[1], F_SETPIPE_SZ, 1 << 20) < 0)
		abort();
	f->w = rn_shm_writer_new(f->pipe[1], f->offer);
	f->page = open_page(f->offer);
	T_CALL(rn_io_to_memory(&data, &f->len, &io, &e), &e);
	T_CALL(rn_writer_open(io, "{}", &opt, &w, &e), &e);
	T_CALL(rn_writer_section(w, &r->schema, &e), &e);
	T_CALL(rn_writer_rows(w, r, &e), &e);
	T_CALL(rn_writer_close(w, &e), &e);
	f->inl = data;
	f->section = 2 * RN_ER_FIXED;
	rn_frame_get(f->inl + f->section, &s);
	f->block = f->section + RN_ER_FIXED + s.length;
	rn_frame_get(f->inl + f->block, &f->frame);
	f->end = f->block + RN_ER_FIXED + f->frame.length;
}

static void forged_free(struct forged *f)
{
	rn_shm_writer_free(f->w);
	munmap(f->page, BYTES);
	free(f->inl);
	close_pipe(f->pipe);
}

/* The payload to the ring, without sums: as it should be. */
static void lay_out(struct forged *f, uint64_t at)
{
	uint8_t *p = f->page + PAGE + at;

	memcpy(p, f->inl + f->block + RN_ER_FIXED, f->frame.length);
	for (uint32_t i = 0; i < f->frame.chunks; i++)
		memset(p + RN_ER_FIXED * i + 56, 0, 8);
	f->frame.flags = RN_FLAG_SHARED;
	f->frame.payload_sum = rn_hash64(p, RN_ER_FIXED * f->frame.chunks);
}

struct sent {
	uint64_t at, running;
	int fd;
};

static void send_frame(struct sent *s, struct rn_frame *f, const void *payload, size_t n)
{
	uint8_t both[8 + RN_ER_FIXED];
	uint8_t *p = both + 8;

	f->offset = s->at;
	rn_frame_put(f, p);
	rn_put64(both, s->running);
	s->running = rn_hash64(both, sizeof both);
	if (write(s->fd, p, RN_ER_FIXED) != RN_ER_FIXED || write(s->fd, payload, n) != (ssize_t)n)
		abort();
	s->at += RN_ER_FIXED + n;
}

static void send_end(struct sent *s, const struct forged *f)
{
	uint8_t end[64] = { 0 };
	struct rn_frame last = { .type = RN_FRAME_END, .length = 64, .raw = 32, .section = 1 };

	rn_put64(end, s->running);
	rn_put64(end + 8, 1);
	rn_put64(end + 16, f->frame.rows);
	rn_put64(end + 24, 1);
	last.payload_sum = rn_hash64(end, 32);
	send_frame(s, &last, end, 64);
}

/* The stream with this place of its block; whatever f->frame says. */
static void send_all(struct forged *f, const uint8_t place[RN_ER_FIXED])
{
	uint8_t padded[128] = { 0 };
	struct rn_frame offer = { .type = RN_FRAME_OFFER, .length = 128, .raw = RN_SHM_OFFER,
				  .payload_sum = rn_hash64(f->offer, RN_SHM_OFFER) };
	struct sent s = { .fd = f->pipe[1] };
	struct rn_frame section;

	memcpy(padded, f->offer, RN_SHM_OFFER);
	if (write(s.fd, f->inl, f->section) != (ssize_t)f->section)
		abort();
	s.at = f->section;
	s.running = rn_hash64(f->inl, RN_ER_FIXED);
	send_frame(&s, &offer, padded, sizeof padded);
	rn_frame_get(f->inl + f->section, &section);
	send_frame(&s, &section, f->inl + f->section + RN_ER_FIXED, section.length);
	send_frame(&s, &f->frame, place, RN_ER_FIXED);
	send_end(&s, f);
	close(s.fd);
	f->pipe[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int read_forged(struct forged *f, struct rn_rel **out, struct rn_err *e)
{
	return read_stream(dup(f->pipe[0]), out, e);
}

enum { NLIES = 9 };

/* Lie number i about a block that is right; what is wrong with it. */
static const char *tell_lie(struct forged *f, int i, uint8_t place[RN_ER_FIXED])
{
	uint8_t *p = f->page + PAGE;

	switch (i) {
	case 0:
		rn_place_put(RN_SHM_RING, place);
		return "out of range";
	case 1:
		rn_place_put(RN_SHM_RING - f->frame.length + 64, place);
		return "out of range";
	case 2:
		rn_place_put(UINT64_MAX - 63, place);
		return "out of range";
	case 3:
		rn_place_put(8, place);
		return "out of range";
	case 4:
		place[0] ^= 64;
		return "the checksum of a place";
	case 5:
		place[8] = 1;
		rn_put64(place + 56, rn_hash64(place, 56));
		return "a reserved field";
	case 6:
		f->frame.length = RN_SHM_RING + 64;
		return "out of range";
	case 7:
		p[16] ^= 1;
		return "the checksum of a chunk table";
	default:
		p[RN_ER_FIXED + 56] = 1;
		f->frame.payload_sum = rn_hash64(p, RN_ER_FIXED * f->frame.chunks);
		return "the checksum of a chunk is wrong";
	}
}

static void test_false_places(void)
{
	struct rn_rel *r = random_rel(3000, 16), *back;

	for (int i = -1; i < NLIES; i++) {
		uint8_t place[RN_ER_FIXED];
		struct rn_err e = { 0 };
		const char *why = "";
		struct forged f;
		int rc;

		forge(&f, r);
		lay_out(&f, 0);
		rn_place_put(0, place);
		if (i >= 0)
			why = tell_lie(&f, i, place);
		send_all(&f, place);
		rc = read_forged(&f, &back, &e);
		if (i < 0)
			T_OK(!rc && same_rel(r, back), "a block in the ring as it should be: %s", e.msg);
		else
			T_OK(rc == RN_EDATA && strstr(e.msg, why), "lie %d: %s", i, e.msg);
		rn_rel_unref(back);
		forged_free(&f);
	}
	rn_rel_unref(r);
}

static void *scribble(void *arg)
{
	struct liar *l = arg;
	uint64_t x = l->seed;

	while (!l->stop) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		/* Mostly where the table and the first chunks are. */
		__atomic_store_n(l->page + PAGE + (x >> 63 ? x >> 50 : (x >> 40) % 512), (uint8_t)x,
				 __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Bytes that change while they are read: an error or a relation, never a fault.  Half the
 * time they only change before, behind a table whose sum is right. */
static void test_changing(void)
{
	struct rn_rel *r = random_rel(3000, 16), *back;
	int refused = 0, rounds = getenv("RN_LONG") ? 5000 : 200;

	for (int i = 1; i <= rounds; i++) {
		uint8_t place[RN_ER_FIXED];
		struct rn_err e = { 0 };
		struct forged f;
		struct liar l = { .seed = (uint64_t)i };
		pthread_t t;
		int rc;

		forge(&f, r);
		lay_out(&f, 0);
		l.page = f.page;
		for (int k = 0; i % 2 && k < 4; k++)
			f.page[PAGE + below(below(2) ? f.frame.chunks * RN_ER_FIXED : f.frame.length)] =
				(uint8_t)rnd();
		f.frame.payload_sum = rn_hash64(f.page + PAGE, RN_ER_FIXED * f.frame.chunks);
		rn_place_put(0, place);
		send_all(&f, place);
		if (i % 2 == 0)
			pthread_create(&t, NULL, scribble, &l);
		rc = read_forged(&f, &back, &e);
		l.stop = true;
		if (i % 2 == 0)
			pthread_join(t, NULL);
		refused += rc == RN_EDATA;
		if (rc && rc != RN_EDATA)
			T_OK(0, "seed %d: %d %s", i, rc, e.msg);
		rn_rel_unref(back);
		forged_free(&f);
	}
	T_OK(refused > rounds / 10, "bytes that change (seeds 1 to %d): %d streams refused", rounds, refused);
	rn_rel_unref(r);
}

/* The memory belonged to another reader. */
static void test_leftovers(void)
{
	struct rn_rel *r = random_rel(3000, 16), *back;
	uint8_t place[RN_ER_FIXED];
	struct rn_err e = { 0 };
	struct forged f;
	int rc;

	forge(&f, r);
	lay_out(&f, 0);
	rn_place_put(0, place);
	f.offer[20] ^= 1;
	send_all(&f, place);
	rc = read_forged(&f, &back, &e);
	T_OK(rc == RN_EDATA && strstr(e.msg, "belonged to another reader"), "%s", e.msg);
	rn_rel_unref(back);
	forged_free(&f);
	rn_rel_unref(r);
}

/* ---- failing allocations ---------------------------------------------------------------- */

/* The k-th allocation of a process that writes, or reads, fails; 0: none. */
static bool one_allocation(struct rn_rel *r, uint64_t k, bool writes, struct told *told)
{
	struct rn_writer_opt opt = { .block_rows = 10000, .stats = &told->st };
	struct rn_rel *back = NULL;
	struct rn_err e = { 0 };
	long live = alloc_live();
	int p[2], rc;
	bool failed;
	pid_t pid;

	memset(told, 0, sizeof *told);
	make_pipe(p);
	pid = fork();
	if (!pid) {
		close(p[0]);
		alloc_fail(writes ? k : 0, false);
		told->rc = write_stream(p[1], r, 10000, &opt, &told->e);
		told->failed = alloc_stop();
		told->leaked = alloc_live() - live;
		_exit(0);
	}
	close(p[1]);
	alloc_fail(writes ? 0 : k, false);
	rc = read_stream(p[0], &back, &e);
	failed = alloc_stop() || told->failed;
	waitpid(pid, NULL, 0);
	failed = failed || told->failed;
	if (!rc && !same_rel(r, back))
		T_OK(0, "allocation %d: other rows", (int)k);
	rn_rel_unref(back);
	if (failed ? rc && rc != RN_ENOMEM && rc != RN_EDATA && rc != RN_EIO : rc || told->rc)
		T_OK(0, "allocation %d: %d %s, %d %s", (int)k, rc, e.msg, told->rc, told->e.msg);
	if (told->failed && told->rc && told->rc != RN_ENOMEM)
		T_OK(0, "allocation %d: the writer says %d %s", (int)k, told->rc, told->e.msg);
	if (k > 3 && (live != alloc_live() || told->leaked))
		T_OK(0, "allocation %d leaks %ld and %ld blocks", (int)k, alloc_live() - live,
		     told->leaked);
	return failed;
}

static void test_allocations(void)
{
	struct rn_rel *r = random_rel(60000, 4); /* more than a pipe holds */
	size_t files = open_files();
	struct told *told = new_told();

	for (int writes = 0; writes < 2; writes++) {
		uint64_t k = 1;

		while (one_allocation(r, k, writes, told))
			k++;
		T_OK(k > 10 && told->st.shared_blocks, "each of %d allocations of a %s fails", (int)k - 1,
		     writes ? "writer" : "reader");
	}
	T_OK(files == open_files(), "no descriptor is left open");
	munmap(told, sizeof *told);
	rn_rel_unref(r);
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
	test_streams();
	test_processes();
	test_killed_writers();
	test_false_places();
	test_changing();
	test_leftovers();
	test_allocations();
	T_OK(open_files() == files, "every descriptor is closed");
	return t_done();
}
