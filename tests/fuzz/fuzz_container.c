/* SPDX-License-Identifier: Apache-2.0
 *
 * The container reader.  Each input is read as it is, then once more with all its
 * checksums, offsets and padding put right, so that damage gets past them to
 * the decoders.  What is read without an error must be sound and must survive
 * being written and read again.  Several threads must find the same, and so must a reader
 * who finds the blocks in shared memory.
 */
#include "../../formats/container.h"
#include "../../formats/container_format.h"
#include "../../formats/hash.h"
#include "../../formats/shm.h"
#include "../../lib/base/team.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	PAGE = 4096,              /* of the memfd, in front of the ring */
	OFFERED_FD = 64,          /* where an offer names it */
	MOST_SHARED = 256 << 10,  /* bytes of a stream that is read out of shared memory: a pipe takes it */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* ---- putting checksums right ------------------------------------------------- */

static void seal(uint8_t *p)
{
	rn_put64(p + 56, rn_hash64(p, 56));
}

/* Clear the padding behind p[0 … n-1]; returns the padded length, at most `left`. */
static size_t pad(uint8_t *p, uint64_t n, size_t left)
{
	size_t end = n < left ? (size_t)n : left;
	size_t padded = rn_er_pad(end) < left ? (size_t)rn_er_pad(end) : left;

	memset(p + end, 0, padded - end);
	return padded;
}

static void seal_block(uint8_t *frame, size_t left)
{
	size_t table = (size_t)rn_get32(frame + 28) * RN_ER_FIXED;
	uint8_t *payload = frame + RN_ER_FIXED, *p;

	left -= RN_ER_FIXED;
	if (table > left)
		return;
	p = payload + table;
	left -= table;
	for (uint8_t *c = payload; c < payload + table; c += RN_ER_FIXED) {
		uint64_t stored = rn_get64(c + 16);
		size_t padded;

		if (stored > left)
			break;
		padded = pad(p, stored, left);
		rn_put64(c + 56, rn_hash64(p, (size_t)stored));
		p += padded;
		left -= padded;
	}
	rn_put64(frame + 48, rn_hash64(payload, table));
}

static void repair(uint8_t *p, size_t n)
{
	uint64_t running, at;
	uint8_t both[8 + RN_ER_FIXED];

	if (n < RN_ER_FIXED || rn_get32(p + 20) > n - RN_ER_FIXED)
		return;
	memcpy(p, RN_ER_MAGIC, 8);
	at = RN_ER_FIXED + pad(p + RN_ER_FIXED, rn_get32(p + 20), n - RN_ER_FIXED);
	rn_put64(p + 24, rn_hash64(p + RN_ER_FIXED, rn_get32(p + 20)));
	seal(p);
	running = rn_hash64(p, RN_ER_FIXED);
	while (at + RN_ER_FIXED <= n) {
		uint8_t *f = p + at;
		uint64_t length = rn_get64(f + 8), raw = rn_get64(f + 16);
		size_t left = n - at;

		if (length > left - RN_ER_FIXED)
			return;
		rn_put64(f + 40, at);
		if (rn_get32(f) == RN_FRAME_BLOCK) {
			seal_block(f, RN_ER_FIXED + (size_t)length);
		} else if (raw <= length) {
			pad(f + RN_ER_FIXED, raw, (size_t)length);
			if (rn_get32(f) == RN_FRAME_END && length >= 16)
				rn_put64(f + RN_ER_FIXED, running);
			rn_put64(f + 48, rn_hash64(f + RN_ER_FIXED, (size_t)raw));
		}
		seal(f);
		rn_put64(both, running);
		memcpy(both + 8, f, RN_ER_FIXED);
		running = rn_hash64(both, sizeof both);
		at += RN_ER_FIXED + length;
	}
}

/* ---- reading ----------------------------------------------------------------- */

static void check_column(const struct rn_column *c)
{
	uint64_t nulls = 0;

	for (uint64_t i = 0; i < c->rows; i++) {
		nulls += rn_column_is_null(c, i);
		if (c->type == RN_FLOAT64)
			require(c->f64[i] == c->f64[i]);
		if (c->type == RN_BOOL)
			require(c->b[i] <= 1);
		if (c->type == RN_STRING)
			require(c->off[i] <= c->off[i + 1]);
	}
	require(nulls == c->nulls && !c->null == !nulls);
}

static void check_tensor(const struct rn_tensor *t)
{
	require(!t->sparse || t->ptr[t->rows] == t->nnz);
	for (uint64_t r = 0; t->sparse && r < t->rows; r++)
		for (uint64_t i = t->ptr[r]; i < t->ptr[r + 1]; i++)
			require(t->col[i] < t->shape.dim[0] &&
				(i == t->ptr[r] || t->col[i] > t->col[i - 1]));
}

static void check_rel(const struct rn_rel *r)
{
	for (size_t i = 0; i < r->schema.ncols; i++)
		check_column(r->cols[i]);
	for (size_t i = 0; i < r->schema.nparts; i++)
		check_tensor(r->parts[i].t);
}

/* Read all of io; into w too, if that is not NULL. */
static int read_io(struct rn_io *io, struct rn_team *team, struct rn_writer *w, struct rn_err *e)
{
	const struct rn_schema *s;
	struct rn_reader *r;
	int rc;

	RN_TRY(rn_reader_open(io, &r, e));
	rn_reader_set_team(r, team);
	while (!(rc = rn_reader_section(r, &s, e)) && s) {
		struct rn_rel *b;

		if (w)
			RN_GOTO(out, rn_writer_section(w, s, e));
		while (!(rc = rn_reader_block(r, &b, e)) && b) {
			check_rel(b);
			if (w)
				rc = rn_writer_rows(w, b, e);
			rn_rel_unref(b);
			if (rc)
				goto out;
		}
		if (rc)
			break;
	}
out:
	rn_reader_close(r);
	return rc;
}

static int read_stream(const void *data, size_t n, struct rn_team *team, struct rn_writer *w,
		       struct rn_err *e)
{
	struct rn_io *io;

	RN_TRY(rn_io_from_memory(data, n, "fuzz", &io, e));
	return read_io(io, team, w, e);
}

/* ---- shared memory ------------------------------------------------------------- */

/* A stream on its way into a pipe, its blocks into the ring beside it. */
struct shared {
	int pipe[2];
	struct rn_shm_writer *w;
	uint8_t offer[RN_SHM_OFFER], *ring;
	uint64_t at, running, place;
};

static bool shared_open(struct shared *s)
{
	void *p = MAP_FAILED;

	*s = (struct shared){ .w = NULL };
	if (pipe(s->pipe) < 0)
		return false;
	s->w = fcntl(s->pipe[1], F_SETPIPE_SZ, 1 << 20) < 0 ? NULL : rn_shm_writer_new(s->pipe[1], s->offer);
	if (s->w)
		p = mmap(NULL, PAGE + RN_SHM_RING, PROT_READ | PROT_WRITE, MAP_SHARED,
			 (int)rn_get64(s->offer + OFFERED_FD), 0);
	if (p != MAP_FAILED) {
		s->ring = (uint8_t *)p + PAGE;
		return true;
	}
	rn_shm_writer_free(s->w);
	close(s->pipe[0]);
	close(s->pipe[1]);
	return false;
}

static void shared_close(struct shared *s)
{
	munmap(s->ring - PAGE, PAGE + RN_SHM_RING);
	rn_shm_writer_free(s->w);
	close(s->pipe[0]);
}

static void put(struct shared *s, const void *p, size_t n)
{
	require(write(s->pipe[1], p, n) == (ssize_t)n);
	s->at += n;
}

/* Frame f with what follows it; offset and sums are put right. */
static void put_frame(struct shared *s, const uint8_t *f, const void *payload, size_t n, uint32_t flags)
{
	uint8_t both[8 + RN_ER_FIXED];

	memcpy(both + 8, f, RN_ER_FIXED);
	memcpy(both + 8 + 4, &flags, sizeof flags);
	rn_put64(both + 8 + 40, s->at);
	if (rn_get32(f) != RN_FRAME_BLOCK && rn_get64(f + 16) <= n)
		rn_put64(both + 8 + 48, rn_hash64(payload, (size_t)rn_get64(f + 16)));
	seal(both + 8);
	rn_put64(both, s->running);
	s->running = rn_hash64(both, sizeof both);
	put(s, both + 8, RN_ER_FIXED);
	put(s, payload, n);
}

/* A block of which the input says that it is shared has a place of the input's choice; the
 * others' payload moves to the ring. */
static void put_block(struct shared *s, uint8_t *f, uint64_t length)
{
	uint64_t table = (uint64_t)rn_get32(f + 28) * RN_ER_FIXED;
	uint8_t place[RN_ER_FIXED] = { 0 };

	if (rn_get32(f + 4) & RN_FLAG_SHARED) {
		memcpy(place, f + RN_ER_FIXED, length ? sizeof place : 0);
		seal(place);
	} else {
		for (uint64_t i = 0; i < table && table <= length; i += RN_ER_FIXED)
			rn_put64(f + RN_ER_FIXED + i + 56, 0);
		rn_place_put(s->place, place);
		memcpy(s->ring + s->place, f + RN_ER_FIXED, length);
		s->place += length;
	}
	if (table <= length)
		rn_put64(f + 48, rn_hash64(f + RN_ER_FIXED, table));
	put_frame(s, f, place, sizeof place, rn_get32(f + 4) | RN_FLAG_SHARED);
}

/* The stream p[0 … n-1], which is repaired, into the pipe; p changes. */
static void put_stream(struct shared *s, uint8_t *p, size_t n)
{
	uint8_t offer[RN_ER_FIXED] = { 0 }, padded[2 * RN_ER_FIXED] = { 0 };
	size_t at = RN_ER_FIXED + rn_er_pad(rn_get32(p + 20));
	struct rn_frame f = { .type = RN_FRAME_OFFER, .length = sizeof padded, .raw = RN_SHM_OFFER };

	if (at > n)
		at = n;
	s->running = rn_hash64(p, RN_ER_FIXED);
	put(s, p, at);
	rn_frame_put(&f, offer);
	memcpy(padded, s->offer, RN_SHM_OFFER);
	put_frame(s, offer, padded, sizeof padded, 0);
	while (at + RN_ER_FIXED <= n) {
		uint64_t length = rn_get64(p + at + 8), left = n - at - RN_ER_FIXED;
		uint32_t type = rn_get32(p + at);

		if (length > left)
			return;
		if (type == RN_FRAME_END && length >= 16)
			rn_put64(p + at + RN_ER_FIXED, s->running);
		if (type == RN_FRAME_BLOCK)
			put_block(s, p + at, length);
		else if (type != RN_FRAME_OFFER)
			put_frame(s, p + at, p + at + RN_ER_FIXED, length, rn_get32(p + at + 4));
		at += RN_ER_FIXED + length;
	}
}

/* What a reader says who finds the blocks in shared memory. */
static void read_shared(uint8_t *p, size_t n, bool good)
{
	struct shared s;
	struct rn_err e;
	struct rn_io *io;
	char path[32];
	int rc;

	if (n < RN_ER_FIXED || n > MOST_SHARED || !shared_open(&s))
		return;
	put_stream(&s, p, n);
	close(s.pipe[1]);
	snprintf(path, sizeof path, "/dev/fd/%d", s.pipe[0]);
	if (!rn_io_open_read(path, &io, &e)) {
		rc = read_io(io, NULL, NULL, &e);
		require(rc == 0 || rc == RN_ENOMEM || (rc == RN_EDATA && !good));
	}
	shared_close(&s);
}

/* ---- the target ------------------------------------------------------------------ */

static void rewrite(const void *data, size_t n, struct rn_team *team)
{
	struct rn_writer_opt opt = { .compress = n % 2 ? RN_COMPRESS_ZSTD : RN_COMPRESS_NONE,
				     .block_rows = (uint32_t)(n % 7) * 10,
				     .team = team };
	struct rn_writer *w;
	struct rn_io *io;
	struct rn_err e;
	void *copy;
	size_t len;

	if (rn_io_to_memory(&copy, &len, &io, &e) || rn_writer_open(io, "", &opt, &w, &e))
		return;
	if (read_stream(data, n, team, w, &e)) {
		rn_writer_abort(w, e.msg);
		require(e.code == RN_ENOMEM);
		return;
	}
	require(!rn_writer_close(w, &e));
	require(!read_stream(copy, len, team, NULL, &e));
	free(copy);
}

/* Alone and on a team; the results must be the same. */
static int read_twice(const void *data, size_t n, struct rn_team *team)
{
	struct rn_err e = { 0 }, te = { 0 };
	int rc = read_stream(data, n, NULL, NULL, &e);
	int trc = read_stream(data, n, team, NULL, &te);

	require(rc == 0 || rc == RN_EDATA || rc == RN_ENOMEM);
	require(rc == RN_ENOMEM || trc == RN_ENOMEM || (rc == trc && !strcmp(e.msg, te.msg)));
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct rn_team *team; /* lives as long as the process */
	uint8_t *copy = malloc(n ? n : 1);
	bool good;

	if (!team)
		require(!rn_team_new(2, &team, NULL));
	read_twice(data, n, team);
	if (!copy)
		return 0;
	if (n)
		memcpy(copy, data, n);
	repair(copy, n);
	good = !read_twice(copy, n, team);
	if (good)
		rewrite(copy, n, team);
	read_shared(copy, n, good);
	free(copy);
	return 0;
}
