/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "csv_scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
	PIECE = 256 << 10,       /* bytes read at once: text and positions stay in cache */
	STORED_PIECE = 128 << 10, /* of compressed input */
	MAX_TEXT = 1 << 30,      /* bytes of one row */
};

struct rn_csv_scan {
	struct rn_io *io;
	char delimiter;
	/* Text from … len; positions in it of the bytes that matter, from `at` on. */
	char *text;
	size_t from, len, cap, indexed;
	uint32_t *pos;
	size_t at, npos, pos_cap;
	bool started, eof;
	bool keep;
	size_t mark, mark_at;
	uint64_t line, mark_line; /* of the next row */
	struct rn_csv_field *fields;
	size_t nfields, fields_cap;
	size_t row;         /* where the last row began, and on which line */
	uint64_t row_line;
	/* zstd */
	ZSTD_DCtx *zstd;
	char *stored;
	size_t stored_at, stored_len;
	bool in_frame;
	XXH3_state_t *hash;
};

/* ---- bytes ------------------------------------------------------------------- */

static int read_stored(struct rn_csv_scan *s, void *p, size_t n, size_t *got, struct rn_err *e)
{
	RN_TRY(s->io->ops->read(s->io, p, n, got, e));
	XXH3_64bits_update(s->hash, p, *got);
	return 0;
}

/* n bytes of text, fewer at the end.  Frames may follow one another. */
static int read_zstd(struct rn_csv_scan *s, char *p, size_t n, size_t *got, struct rn_err *e)
{
	ZSTD_outBuffer out = { .dst = p, .size = n };

	while (out.pos < n) {
		size_t before = out.pos, rc;
		ZSTD_inBuffer in;

		if (s->stored_at == s->stored_len) {
			s->stored_at = 0;
			RN_TRY(read_stored(s, s->stored, STORED_PIECE, &s->stored_len, e));
		}
		if (!s->stored_len && !s->in_frame)
			break;
		in = (ZSTD_inBuffer){ s->stored, s->stored_len, s->stored_at };
		rc = ZSTD_decompressStream(s->zstd, &out, &in);
		if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
			return rn_err_nomem(e, STORED_PIECE, "the zstd codec");
		if (ZSTD_isError(rc))
			return rn_err_set(e, RN_EDATA, "'%s': zstd: %s", s->io->name,
					  ZSTD_getErrorName(rc));
		s->stored_at = in.pos;
		s->in_frame = rc != 0;
		if (!s->stored_len && s->in_frame && out.pos == before)
			return rn_err_set(e, RN_EDATA, "'%s': truncated: the zstd data has no end",
					  s->io->name);
	}
	*got = out.pos;
	return 0;
}

/* ---- positions --------------------------------------------------------------- */

#ifdef __SSE2__
static inline uint64_t matter_16(const char *p, __m128i delimiter)
{
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i m = _mm_cmpeq_epi8(x, delimiter);

	m = _mm_or_si128(m, _mm_cmpeq_epi8(x, _mm_set1_epi8('\n')));
	m = _mm_or_si128(m, _mm_cmpeq_epi8(x, _mm_set1_epi8('\r')));
	m = _mm_or_si128(m, _mm_cmpeq_epi8(x, _mm_set1_epi8('"')));
	m = _mm_or_si128(m, _mm_cmpeq_epi8(x, _mm_setzero_si128()));
	return (uint64_t)(uint32_t)_mm_movemask_epi8(m);
}

/* Which of the 64 bytes at p matter? */
static inline uint64_t matter(const char *p, char delimiter)
{
	__m128i d = _mm_set1_epi8(delimiter);

	return matter_16(p, d) | matter_16(p + 16, d) << 16 | matter_16(p + 32, d) << 32 |
	       matter_16(p + 48, d) << 48;
}
#else
static inline uint64_t matter(const char *p, char delimiter)
{
	uint64_t m = 0;

	for (unsigned i = 0; i < 64; i++)
		m |= (uint64_t)(p[i] == delimiter || p[i] == '\n' || p[i] == '\r' ||
				p[i] == '"' || !p[i])
		     << i;
	return m;
}
#endif

/* Index the text that is new.  There are 64 readable bytes after it. */
static int index_text(struct rn_csv_scan *s, struct rn_err *e)
{
	while (s->indexed < s->len) {
		size_t n = s->len - s->indexed;
		uint64_t m = matter(s->text + s->indexed, s->delimiter);
		uint32_t *pos;

		RN_TRY(rn_grow(&s->pos, &s->pos_cap, s->npos + 64, sizeof *s->pos, "text", e));
		if (n < 64)
			m &= ((uint64_t)1 << n) - 1;
		pos = s->pos + s->npos;
		for (; m; m &= m - 1)
			*pos++ = (uint32_t)(s->indexed + (size_t)__builtin_ctzll(m));
		s->npos = (size_t)(pos - s->pos);
		s->indexed += n < 64 ? n : 64;
	}
	return 0;
}

/* Forget what was consumed: the rest of the text moves to the front. */
static void compact(struct rn_csv_scan *s)
{
	if (s->keep || !s->from)
		return;
	s->len -= s->from;
	memmove(s->text, s->text + s->from, s->len);
	s->from = s->indexed = s->at = s->npos = 0;
}

/* More text behind what there is, at the end a line feed that is missing. */
static int refill(struct rn_csv_scan *s, struct rn_err *e)
{
	size_t got;

	compact(s);
	if (s->len > MAX_TEXT)
		return rn_err_set(e, RN_EDATA,
				  "%s:%" PRIu64 ": the row is longer than %d bytes (is a quote not "
				  "closed?)",
				  s->io->name, s->line, MAX_TEXT);
	RN_TRY(rn_grow(&s->text, &s->cap, s->len + PIECE + 64, 1, "text", e));
	if (s->zstd)
		RN_TRY(read_zstd(s, s->text + s->len, PIECE, &got, e));
	else
		RN_TRY(read_stored(s, s->text + s->len, PIECE, &got, e));
	s->len += got;
	s->eof = !got;
	if (!s->started && s->len >= 3 && memcmp(s->text, "\xEF\xBB\xBF", 3) == 0)
		s->from = s->indexed = 3; /* a byte order mark */
	s->started = true;
	if (s->eof && s->len > s->from && s->text[s->len - 1] != '\n')
		s->text[s->len++] = '\n';
	memset(s->text + s->len, 0, 64);
	return index_text(s, e);
}

/* ---- rows -------------------------------------------------------------------- */

static int bad_line(const struct rn_csv_scan *s, uint64_t line, struct rn_err *e, const char *what)
{
	return rn_err_set(e, RN_EDATA, "%s:%" PRIu64 ": %s", s->io->name, line, what);
}

enum walk { ROW, MORE, FAULT };

/* The quoted field that opens at position k: its end in *k, or what is missing. */
static enum walk walk_quoted(struct rn_csv_scan *s, size_t *k, uint64_t *lines,
			     struct rn_csv_field *f, const char **fault)
{
	size_t open = s->pos[*k];

	f->p = s->text + open + 1;
	f->quoted = true;
	for (size_t j = *k + 1; j < s->npos; j++) {
		size_t at = s->pos[j];
		char c = s->text[at];

		*lines += c == '\n';
		if (!c) {
			*fault = "there is a NUL byte";
			return FAULT;
		}
		if (c != '"')
			continue;
		if (at + 1 == s->len)
			return MORE; /* the quote that may double it is not there yet */
		if (s->text[at + 1] == '"') {
			f->escaped = true;
			j++;
			continue;
		}
		/* What follows must matter, and come next. */
		if (j + 1 == s->npos || s->pos[j + 1] != at + 1) {
			*fault = "there is text after a closing quote";
			return FAULT;
		}
		f->len = (uint32_t)(at - open - 1);
		*k = j + 1;
		return ROW;
	}
	return MORE;
}

/* One row from s->from; nothing is consumed unless it is whole. */
static enum walk walk_row(struct rn_csv_scan *s, const char **fault, uint64_t *lines)
{
	size_t start = s->from, k = s->at;
	struct rn_csv_field f = { 0 };
	bool closed = false; /* f is a quoted field that ends here */

	for (;; k++) {
		size_t at;
		char c;

		if (k == s->npos)
			return MORE;
		at = s->pos[k];
		c = s->text[at];
		if (c == '"' && !closed) {
			if (at != start)
				continue; /* within an unquoted field it is a letter */
			switch (walk_quoted(s, &k, lines, &f, fault)) {
			case MORE:
				return MORE;
			case FAULT:
				return FAULT;
			default:
				at = s->pos[k];
				c = s->text[at];
			}
			closed = true;
		}
		if (!c) {
			*fault = "there is a NUL byte";
			return FAULT;
		}
		if (c == '\r') {
			if (at + 1 == s->len)
				return MORE;
			if (s->text[at + 1] != '\n') {
				*fault = "a carriage return is not followed by a line feed";
				return FAULT;
			}
			k++;
		}
		if (!closed)
			f = (struct rn_csv_field){ .p = s->text + start,
						   .len = (uint32_t)(at - start) };
		if (s->nfields == s->fields_cap)
			return FAULT;
		s->fields[s->nfields++] = f;
		if (c != s->delimiter) {
			s->at = k + 1;
			s->from = s->pos[k] + 1;
			++*lines;
			return ROW;
		}
		f = (struct rn_csv_field){ 0 };
		closed = false;
		start = at + 1;
	}
}

int rn_csv_scan_row(struct rn_csv_scan *s, const struct rn_csv_field **f, size_t *n,
		    struct rn_err *e)
{
	for (;;) {
		const char *fault = NULL;
		uint64_t lines = 0;
		enum walk w;

		s->nfields = 0;
		s->row = s->from;
		s->row_line = s->line;
		w = walk_row(s, &fault, &lines);
		if (w == ROW) {
			s->line += lines;
			break;
		}
		if (fault)
			return bad_line(s, s->line + lines, e, fault);
		if (w == FAULT) { /* no room for the fields */
			RN_TRY(rn_grow(&s->fields, &s->fields_cap, s->fields_cap + 1,
				       sizeof *s->fields, "fields", e));
			continue;
		}
		if (s->eof && s->from == s->len) {
			s->nfields = 0;
			break;
		}
		if (s->eof)
			return bad_line(s, s->line, e, "a quote is not closed");
		RN_TRY(refill(s, e));
	}
	*f = s->fields;
	*n = s->nfields;
	return 0;
}

void rn_csv_scan_mark(struct rn_csv_scan *s)
{
	s->keep = true;
	s->mark = s->from;
	s->mark_at = s->at;
	s->mark_line = s->line;
}

void rn_csv_scan_back(struct rn_csv_scan *s)
{
	s->keep = false;
	s->from = s->mark;
	s->at = s->mark_at;
	s->line = s->mark_line;
}

size_t rn_csv_scan_kept(const struct rn_csv_scan *s)
{
	return s->from - s->mark;
}

int rn_csv_scan_bad(const struct rn_csv_scan *s, size_t field, struct rn_err *e, const char *fmt,
		    ...)
{
	uint64_t line = s->row_line;
	char what[1024];
	va_list ap;

	for (const char *p = s->text + s->row; field < s->nfields && p < s->fields[field].p; p++)
		line += *p == '\n';
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return bad_line(s, line, e, what);
}

/* ---- life -------------------------------------------------------------------- */

static int start(struct rn_csv_scan *s, struct rn_err *e)
{
	s->line = 1;
	s->from = s->len = s->indexed = s->at = s->npos = 0;
	s->stored_at = s->stored_len = 0;
	s->started = s->eof = s->in_frame = s->keep = false;
	XXH3_64bits_reset(s->hash);
	if (s->zstd)
		(void)ZSTD_DCtx_reset(s->zstd, ZSTD_reset_session_only);
	return rn_grow(&s->text, &s->cap, PIECE + 64, 1, "text", e);
}

int rn_csv_scan_open(struct rn_io *io, char delimiter, struct rn_csv_scan **out, struct rn_err *e)
{
	size_t n = strlen(io->name);
	struct rn_csv_scan *s;
	int rc;

	rc = rn_calloc(1, sizeof *s, "a text reader", &s, e);
	if (rc) {
		io->ops->abort(io);
		return rc;
	}
	s->io = io;
	s->delimiter = delimiter;
	s->hash = XXH3_createState();
	if (!s->hash) {
		rc = rn_err_nomem(e, sizeof *s->hash, "a text reader");
		goto fail;
	}
	if (n > 4 && strcmp(io->name + n - 4, ".zst") == 0) {
		s->zstd = ZSTD_createDCtx();
		if (!s->zstd) {
			rc = rn_err_nomem(e, STORED_PIECE, "the zstd codec");
			goto fail;
		}
		RN_GOTO(fail, rn_calloc(STORED_PIECE, 1, "a text reader", &s->stored, e));
	}
	RN_GOTO(fail, start(s, e));
	*out = s;
	return 0;
fail:
	rn_csv_scan_close(s);
	return rc;
}

bool rn_csv_scan_can_rewind(const struct rn_csv_scan *s)
{
	return s->io->ops->rewind && (s->io->kind == RN_IO_FILE || s->io->size);
}

int rn_csv_scan_rewind(struct rn_csv_scan *s, struct rn_err *e)
{
	RN_TRY(s->io->ops->rewind(s->io, e));
	return start(s, e);
}

uint64_t rn_csv_scan_size(const struct rn_csv_scan *s)
{
	return s->zstd ? 0 : s->io->size;
}

const char *rn_csv_scan_name(const struct rn_csv_scan *s)
{
	return s->io->name;
}

uint64_t rn_csv_scan_hash(const struct rn_csv_scan *s)
{
	return XXH3_64bits_digest(s->hash);
}

void rn_csv_scan_close(struct rn_csv_scan *s)
{
	if (!s)
		return;
	s->io->ops->abort(s->io);
	ZSTD_freeDCtx(s->zstd);
	XXH3_freeState(s->hash);
	free(s->stored);
	free(s->text);
	free(s->pos);
	free(s->fields);
	free(s);
}
