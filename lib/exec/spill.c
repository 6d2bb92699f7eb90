/* SPDX-License-Identifier: Apache-2.0 */
#include "spill.h"

#include "../../formats/block_read.h"
#include "../../formats/block_write.h"
#include "../../formats/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_TRANSFER = 1 << 30 };

struct rn_spill {
	const struct rn_ctx *ctx;
	pthread_mutex_t lock; /* of all below */
	int fd;               /* -1: not made yet */
	char *dir;
	uint64_t end;         /* of the file */
	uint64_t written, dropped;
	uint64_t rows, raw;   /* that were written, and their bytes in memory */
	double all_rows;      /* of a sole input, roughly; 0: unknown */
	int64_t expected;     /* bytes in memory of several inputs, roughly */
};

struct rn_spill_io {
	struct rn_block block;
	struct rn_block_scratch scratch;
	struct rn_block_reader reader;
	struct rn_input input;
};

/* The file as the decoder reads it. */
struct at_io {
	struct rn_io io;
	int fd;
	uint64_t at;
};

/* ---- life -------------------------------------------------------------------- */

int rn_spill_new(const struct rn_ctx *c, struct rn_spill **out, struct rn_err *e)
{
	struct rn_spill *s;

	RN_TRY(rn_calloc(1, sizeof *s, "temporary data", &s, e));
	s->ctx = c;
	s->fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	*out = s;
	return 0;
}

void rn_spill_free(struct rn_spill *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	pthread_mutex_destroy(&s->lock);
	free(s->dir);
	free(s);
}

uint64_t rn_spill_bytes(const struct rn_spill *s)
{
	struct rn_spill *x = (struct rn_spill *)s;
	uint64_t n;

	pthread_mutex_lock(&x->lock);
	n = s->written;
	pthread_mutex_unlock(&x->lock);
	return n;
}

void rn_spill_expect(struct rn_spill *s, int64_t more)
{
	pthread_mutex_lock(&s->lock);
	s->expected += more;
	pthread_mutex_unlock(&s->lock);
}

void rn_spill_io_free(struct rn_spill_io *io)
{
	if (!io)
		return;
	rn_block_fini(&io->block);
	rn_block_scratch_fini(&io->scratch);
	rn_block_reader_fini(&io->reader);
	free(io->input.p);
	free(io);
}

static int need_io(struct rn_spill_io **io, struct rn_err *e)
{
	return *io ? 0 : rn_calloc(1, sizeof **io, "temporary data", io, e);
}

uint64_t rn_spill_rows(const struct rn_rel *r)
{
	uint64_t most = (uint64_t)RN_ER_MAX_RAW / 4 / (rn_rel_bytes(r) / (r->rows + 1) + 1) + 1;

	return most < RN_ER_MAX_ROWS ? most : RN_ER_MAX_ROWS;
}

/* ---- the file ---------------------------------------------------------------- */

/* A file without a name; where the file system has no such thing, one whose name is
 * removed at once. */
static int open_unnamed(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), n;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT))
		return fd;
	n = snprintf(path, sizeof path, "%s/rn-XXXXXX", dir);
	if (n < 0 || (size_t)n >= sizeof path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* Under the lock. */
static int open_file(struct rn_spill *s, struct rn_err *e)
{
	const char *own = getenv("TMPDIR"), *dirs[] = { own, "/var/tmp", "/tmp" };
	size_t first = own && *own ? 0 : 1, last = own && *own ? 1 : 3, i;

	if (s->fd >= 0)
		return 0;
	for (i = first; i < last && s->fd < 0; i++)
		s->fd = open_unnamed(dirs[i]);
	if (s->fd < 0)
		return rn_err_errno(e, "more data than --mem allows, and no temporary file can be made in "
				    "'%s' (set TMPDIR, or raise --mem)", dirs[i - 1]);
	s->dir = strdup(dirs[i - 1]);
	if (!s->dir)
		return rn_err_nomem(e, strlen(dirs[i - 1]) + 1, "a folder's name");
	rn_log(s->ctx, RN_LOG_INFO, "data above --mem go to a temporary file in '%s'", s->dir);
	return 0;
}

void rn_spill_expect_rows(struct rn_spill *s, uint64_t rows, uint64_t done, uint64_t total)
{
	pthread_mutex_lock(&s->lock);
	if (done)
		s->all_rows = (double)rows * ((double)total / (double)done);
	pthread_mutex_unlock(&s->lock);
}

/* Bytes for a reader: "1.5 GB". */
static const char *size_text(uint64_t n, char buf[24])
{
	static const char *const units[] = { "bytes", "KB", "MB", "GB", "TB", "PB" };
	double x = (double)n;
	size_t u = 0;

	while (x >= 1000 && u + 1 < sizeof units / sizeof units[0]) {
		x /= 1000;
		u++;
	}
	snprintf(buf, 24, u ? "%.1f %s" : "%.0f %s", x, units[u]);
	return buf;
}

/* About what all takes, as far as the inputs are known (0: not at all). */
static double all_bytes(const struct rn_spill *s)
{
	if (s->all_rows > 0 && s->rows)
		return (double)s->written / (double)s->rows * s->all_rows;
	return s->raw && s->expected > 0 ? (double)s->written / (double)s->raw * (double)s->expected : 0;
}

static int no_room(struct rn_spill *s, uint64_t n, struct rn_err *e)
{
	char there[24], need[24];
	uint64_t least, all;
	int why = errno;
	bool about;

	pthread_mutex_lock(&s->lock);
	least = s->written - s->dropped; /* with this block */
	all = (uint64_t)all_bytes(s);
	about = s->all_rows > 0 && all > least;
	size_text(least - n, there);
	pthread_mutex_unlock(&s->lock);
	size_text(all > least ? all : least, need);
	errno = why;
	return rn_err_errno(e, "cannot write temporary data in '%s': %s are there, and %s %s are "
			    "needed (set TMPDIR to a folder with more room, or raise --mem)",
			    s->dir, there, about ? "about" : "more than", need);
}

static int write_at(struct rn_spill *s, const void *buf, size_t n, uint64_t at, uint64_t whole,
		    struct rn_err *e)
{
	const char *p = buf;

	while (n) {
		ssize_t k = pwrite(s->fd, p, n < MAX_TRANSFER ? n : MAX_TRANSFER, (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return no_room(s, whole, e);
		p += k;
		n -= (size_t)k;
		at += (uint64_t)k;
	}
	return 0;
}

/* ---- blocks out ---------------------------------------------------------------- */

static int put_pieces(struct rn_spill *s, struct rn_block *b, const uint8_t *from,
		      uint64_t at, uint64_t whole, struct rn_err *e)
{
	for (size_t i = 0; i < b->npieces; i++) {
		const uint8_t *to = b->enc.p + b->pieces[i].at;

		RN_TRY(write_at(s, from, (size_t)(to - from), at, whole, e));
		at += (uint64_t)(to - from);
		RN_TRY(write_at(s, b->pieces[i].p, b->pieces[i].n, at, whole, e));
		at += b->pieces[i].n;
		from = to;
	}
	return write_at(s, from, (size_t)(b->enc.p + b->enc.len - from), at, whole, e);
}

int rn_spill_put(struct rn_spill *s, struct rn_spill_io **io, const struct rn_rel *r,
		 struct rn_extent *x, struct rn_err *e)
{
	struct rn_block *b;
	uint8_t *table;
	int rc;

	RN_TRY(need_io(io, e));
	b = &(*io)->block;
	RN_GOTO(out, rn_block_encode(b, &(*io)->scratch, r, e));
	table = b->enc.p + b->front - RN_ER_FIXED * b->nchunks;
	for (size_t i = 0; i < b->nchunks; i++)
		rn_chunk_put(&b->chunks[i], table + RN_ER_FIXED * i);
	*x = (struct rn_extent){
		.length = b->length, .raw = b->raw, .rows = (uint32_t)r->rows,
		.chunks = (uint32_t)b->nchunks, .sum = rn_hash64(table, RN_ER_FIXED * b->nchunks),
	};
	pthread_mutex_lock(&s->lock);
	rc = open_file(s, e);
	if (!rc) {
		x->at = s->end;
		s->end += x->length;
		s->written += x->length;
		s->rows += x->rows;
		s->raw += x->raw;
	}
	pthread_mutex_unlock(&s->lock);
	if (!rc)
		rc = put_pieces(s, b, table, x->at, x->length, e);
out:
	rn_block_clear(b);
	return rc;
}

/* ---- blocks in ------------------------------------------------------------------ */

static int at_read(struct rn_io *io, void *buf, size_t n, size_t *got, struct rn_err *e)
{
	struct at_io *a = (struct at_io *)io;

	*got = 0;
	while (*got < n) {
		size_t want = n - *got < MAX_TRANSFER ? n - *got : MAX_TRANSFER;
		ssize_t k = pread(a->fd, (char *)buf + *got, want, (off_t)a->at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return rn_err_errno(e, "cannot read temporary data in '%s'", io->name);
		if (!k)
			break;
		*got += (size_t)k;
		a->at += (uint64_t)k;
	}
	return 0;
}

static const struct rn_io_ops at_ops = { .read = at_read };

int rn_spill_get(struct rn_spill *s, struct rn_spill_io **own, const struct rn_extent *x,
		 const struct rn_schema *schema, struct rn_rel **out, struct rn_err *e)
{
	struct at_io at = { .io = { .ops = &at_ops, .kind = RN_IO_FILE, .name = s->dir },
			    .fd = s->fd, .at = x->at };
	struct rn_frame f = { .type = RN_FRAME_BLOCK, .length = x->length, .raw = x->raw,
			      .rows = x->rows, .chunks = x->chunks, .payload_sum = x->sum };
	uint32_t unused[RN_NENC] = { 0 };
	struct rn_input *in;
	int rc;

	RN_TRY(need_io(own, e));
	in = &(*own)->input;
	in->io = &at.io;
	in->offset = x->at;
	rn_input_payload(in, x->length);
	rc = rn_block_decode(&(*own)->reader, in, &f, schema, unused, out, e);
	in->io = NULL;
	/* What was written well and reads badly is the disk's fault, not the input's. */
	if (rc != RN_EDATA)
		return rc;
	if (e)
		e->code = RN_EIO;
	return rn_err_prefix(e, RN_EIO, "temporary data are damaged");
}

void rn_spill_drop(struct rn_spill *s, const struct rn_extent *x)
{
	if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)x->at, (off_t)x->length))
		return; /* the place is kept till the end */
	pthread_mutex_lock(&s->lock);
	s->dropped += x->length;
	pthread_mutex_unlock(&s->lock);
}
