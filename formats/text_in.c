/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "text_in.h"

#include "../lib/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { PIECE = 256 << 10 }; /* of stored bytes */

enum codec { UNKNOWN, PLAIN, ZSTD, GZIP };

struct rn_text_in {
	struct rn_io *io;
	enum codec codec;
	XXH3_state_t *hash;
	char *stored; /* compressed bytes from `at` to `len` */
	size_t at, len;
	uint64_t done; /* bytes read */
	bool open; /* within a frame or a member */
	ZSTD_DCtx *zstd;
	z_stream gzip;
	bool gzip_made;
};

static int read_stored(struct rn_text_in *t, void *p, size_t n, size_t *got, struct rn_err *e)
{
	RN_TRY(t->io->ops->read(t->io, p, n, got, e));
	XXH3_64bits_update(t->hash, p, *got);
	t->done += *got;
	return 0;
}

/* More compressed bytes if there are none; t->at == t->len at their end. */
static int fill(struct rn_text_in *t, struct rn_err *e)
{
	if (t->at < t->len)
		return 0;
	t->at = 0;
	return read_stored(t, t->stored, PIECE, &t->len, e);
}

/* ---- zstd -------------------------------------------------------------------- */

static int read_zstd(struct rn_text_in *t, char *p, size_t n, size_t *got, struct rn_err *e)
{
	ZSTD_outBuffer out = { .dst = p, .size = n };

	while (out.pos < n) {
		size_t before = out.pos, rc;
		ZSTD_inBuffer in;

		RN_TRY(fill(t, e));
		if (!t->len && !t->open)
			break;
		in = (ZSTD_inBuffer){ t->stored, t->len, t->at };
		rc = ZSTD_decompressStream(t->zstd, &out, &in);
		if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
			return rn_err_nomem(e, PIECE, "the zstd codec");
		if (ZSTD_isError(rc))
			return rn_err_set(e, RN_EDATA, "'%s': zstd: %s", t->io->name,
					  ZSTD_getErrorName(rc));
		t->at = in.pos;
		t->open = rc != 0;
		if (!t->len && t->open && out.pos == before)
			return rn_err_set(e, RN_EDATA, "'%s': truncated: the zstd data has no end",
					  t->io->name);
	}
	*got = out.pos;
	return 0;
}

/* ---- gzip -------------------------------------------------------------------- */

static int bad_gzip(const struct rn_text_in *t, struct rn_err *e, const char *what)
{
	return rn_err_set(e, RN_EDATA, "'%s': gzip: %s", t->io->name, what);
}

/* Between members: is there another?  Zeros that pad the file are passed over, as
 * gzip(1) does. */
static int next_member(struct rn_text_in *t, bool *more, struct rn_err *e)
{
	do {
		RN_TRY(fill(t, e));
		while (t->at < t->len && !t->stored[t->at])
			t->at++;
	} while (t->len && t->at == t->len);
	*more = t->at < t->len;
	t->open = *more;
	if (*more && inflateReset(&t->gzip) != Z_OK)
		return bad_gzip(t, e, "the codec cannot be reset");
	return 0;
}

static int inflate_some(struct rn_text_in *t, struct rn_err *e)
{
	int rc;

	RN_TRY(fill(t, e));
	if (!t->len)
		return rn_err_set(e, RN_EDATA, "'%s': truncated: the gzip data has no end",
				  t->io->name);
	t->gzip.next_in = (unsigned char *)t->stored + t->at;
	t->gzip.avail_in = (unsigned)(t->len - t->at);
	rc = inflate(&t->gzip, Z_NO_FLUSH);
	t->at = t->len - t->gzip.avail_in;
	if (rc == Z_MEM_ERROR)
		return rn_err_nomem(e, PIECE, "the gzip codec");
	if (rc == Z_STREAM_END)
		t->open = false;
	else if (rc != Z_OK && rc != Z_BUF_ERROR)
		return bad_gzip(t, e, t->gzip.msg ? t->gzip.msg : "malformed data");
	return 0;
}

static int read_gzip(struct rn_text_in *t, char *p, size_t n, size_t *got, struct rn_err *e)
{
	enum { MOST = 1 << 30 }; /* zlib counts in unsigned int */

	*got = 0;
	while (*got < n) {
		size_t want = n - *got < MOST ? n - *got : MOST;
		bool more = true;

		if (!t->open)
			RN_TRY(next_member(t, &more, e));
		if (!more)
			return 0;
		t->gzip.next_out = (unsigned char *)p + *got;
		t->gzip.avail_out = (unsigned)want;
		RN_TRY(inflate_some(t, e));
		*got += want - t->gzip.avail_out;
	}
	return 0;
}

/* ---- which it is --------------------------------------------------------------- */

static bool named(const struct rn_text_in *t, const char *end)
{
	size_t n = strlen(t->io->name), k = strlen(end);

	return n > k && strcmp(t->io->name + n - k, end) == 0;
}

static enum codec codec_of(const struct rn_text_in *t, const char *p, size_t n)
{
	if (named(t, ".zst") || (n >= 4 && memcmp(p, "\x28\xB5\x2F\xFD", 4) == 0))
		return ZSTD;
	if (named(t, ".gz") || (n >= 2 && memcmp(p, "\x1F\x8B", 2) == 0))
		return GZIP;
	return PLAIN;
}

static int make_codec(struct rn_text_in *t, struct rn_err *e)
{
	if (t->codec == PLAIN)
		return 0;
	if (!t->stored)
		RN_TRY(rn_calloc(PIECE, 1, "a text reader", &t->stored, e));
	if (t->codec == ZSTD && !t->zstd) {
		t->zstd = ZSTD_createDCtx();
		return t->zstd ? 0 : rn_err_nomem(e, PIECE, "the zstd codec");
	}
	if (t->codec == GZIP && !t->gzip_made) {
		/* 15 window bits, + 16: a gzip header and nothing else. */
		if (inflateInit2(&t->gzip, 15 + 16) != Z_OK)
			return rn_err_nomem(e, PIECE, "the gzip codec");
		t->gzip_made = true;
	}
	return 0;
}

/* The first bytes: they are read as text, and turn out to be compressed. */
static int read_first(struct rn_text_in *t, char *p, size_t n, size_t *got, struct rn_err *e)
{
	RN_TRY(read_stored(t, p, n < PIECE ? n : PIECE, got, e));
	t->codec = codec_of(t, p, *got);
	RN_TRY(make_codec(t, e));
	if (t->codec != PLAIN) {
		memcpy(t->stored, p, *got);
		t->len = *got;
		*got = 0;
	}
	return 0;
}

int rn_text_in_read(struct rn_text_in *t, void *p, size_t n, size_t *got, struct rn_err *e)
{
	size_t first = 0, rest;

	if (t->codec == UNKNOWN)
		RN_TRY(read_first(t, p, n, &first, e));
	p = (char *)p + first;
	n -= first;
	if (t->codec == ZSTD)
		RN_TRY(read_zstd(t, p, n, &rest, e));
	else if (t->codec == GZIP)
		RN_TRY(read_gzip(t, p, n, &rest, e));
	else
		RN_TRY(read_stored(t, p, n, &rest, e));
	*got = first + rest;
	return 0;
}

/* ---- life -------------------------------------------------------------------- */

int rn_text_in_open(struct rn_io *io, struct rn_text_in **out, struct rn_err *e)
{
	struct rn_text_in *t;
	int rc;

	rc = rn_calloc(1, sizeof *t, "a text reader", &t, e);
	if (rc) {
		io->ops->abort(io);
		return rc;
	}
	t->io = io;
	t->hash = XXH3_createState();
	if (!t->hash) {
		rc = rn_err_nomem(e, sizeof *t->hash, "a text reader");
		rn_text_in_close(t);
		return rc;
	}
	XXH3_64bits_reset(t->hash);
	*out = t;
	return 0;
}

bool rn_text_in_can_rewind(const struct rn_text_in *t)
{
	return t->io->ops->rewind && (t->io->kind == RN_IO_FILE || t->io->size);
}

int rn_text_in_rewind(struct rn_text_in *t, struct rn_err *e)
{
	RN_TRY(t->io->ops->rewind(t->io, e));
	XXH3_64bits_reset(t->hash);
	t->at = t->len = 0;
	t->done = 0;
	t->open = false;
	t->codec = UNKNOWN;
	if (t->zstd)
		(void)ZSTD_DCtx_reset(t->zstd, ZSTD_reset_session_only);
	return 0;
}

void rn_text_in_progress(const struct rn_text_in *t, uint64_t *done, uint64_t *total)
{
	*done = t->done;
	*total = t->io->size;
}

uint64_t rn_text_in_size(const struct rn_text_in *t)
{
	return t->codec == ZSTD || t->codec == GZIP ? 0 : t->io->size;
}

const char *rn_text_in_name(const struct rn_text_in *t)
{
	return t->io->name;
}

uint64_t rn_text_in_hash(const struct rn_text_in *t)
{
	return XXH3_64bits_digest(t->hash);
}

void rn_text_in_close(struct rn_text_in *t)
{
	if (!t)
		return;
	t->io->ops->abort(t->io);
	if (t->gzip_made)
		inflateEnd(&t->gzip);
	ZSTD_freeDCtx(t->zstd);
	XXH3_freeState(t->hash);
	free(t->stored);
	free(t);
}
