/* SPDX-License-Identifier: Apache-2.0 */
#include "csv_scan.h"

#include "json_scan.h"
#include "text_in.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
	PIECE = 256 << 10, /* bytes read at once: text and positions stay in cache */
	MAX_TEXT = 1 << 30, /* bytes of one row */
};

struct rn_csv_scan {
	struct rn_text_in *in;
	struct rn_csv_scan_opt opt;
	struct rn_json_keys keys;
	/* Text from … len; positions in it of the bytes that matter, from `at` on (JSON
	 * lines: none, and `indexed` is where to look on for the line's end). */
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
	bool faulty;     /* the last row; it is malformed at `fault`, on the line `line` */
	size_t fault;
};

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
	while (s->indexed < s->len && !s->opt.json) {
		size_t n = s->len - s->indexed;
		uint64_t m = matter(s->text + s->indexed, s->opt.delimiter);
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
	s->indexed = s->opt.json ? s->indexed - s->from : 0;
	s->from = s->at = s->npos = 0;
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
				  rn_text_in_name(s->in), s->line, MAX_TEXT);
	RN_TRY(rn_grow(&s->text, &s->cap, s->len + PIECE + 64, 1, "text", e));
	RN_TRY(rn_text_in_read(s->in, s->text + s->len, PIECE, &got, e));
	s->len += got;
	s->eof = !got;
	if (!s->started && s->len >= 3 && memcmp(s->text, "\xEF\xBB\xBF", 3) == 0)
		s->mark = s->from = s->indexed = 3; /* a byte order mark */
	s->started = true;
	if (s->eof && s->len > s->from && s->text[s->len - 1] != '\n')
		s->text[s->len++] = '\n';
	memset(s->text + s->len, 0, 64);
	return index_text(s, e);
}

/* ---- rows -------------------------------------------------------------------- */

static int bad_line(const struct rn_csv_scan *s, uint64_t line, struct rn_err *e, const char *what)
{
	return rn_err_set(e, RN_EDATA, "%s:%" PRIu64 ": %s", rn_text_in_name(s->in), line, what);
}

enum walk { ROW, MORE, FAULT };

/* The byte at `at` makes the row malformed. */
static enum walk fault(struct rn_csv_scan *s, size_t at, const char *text, const char **what)
{
	s->fault = at;
	*what = text;
	return FAULT;
}

/* The quoted field that opens at position k: its end in *k, or what is missing. */
static enum walk walk_quoted(struct rn_csv_scan *s, size_t *k, uint64_t *lines,
			     struct rn_csv_field *f, const char **what)
{
	size_t open = s->pos[*k];

	f->p = s->text + open + 1;
	f->quoted = true;
	for (size_t j = *k + 1; j < s->npos; j++) {
		size_t at = s->pos[j];
		char c = s->text[at];

		*lines += c == '\n';
		if (!c)
			return fault(s, at, "there is a NUL byte", what);
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
		if (j + 1 == s->npos || s->pos[j + 1] != at + 1)
			return fault(s, at, "there is text after a closing quote", what);
		f->len = (uint32_t)(at - open - 1);
		*k = j + 1;
		return ROW;
	}
	return MORE;
}

/* One row from s->from; nothing is consumed unless it is whole. */
static enum walk walk_row(struct rn_csv_scan *s, const char **what, uint64_t *lines)
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
			switch (walk_quoted(s, &k, lines, &f, what)) {
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
		if (!c)
			return fault(s, at, "there is a NUL byte", what);
		if (c == '\r') {
			if (at + 1 == s->len)
				return MORE;
			if (s->text[at + 1] != '\n')
				return fault(s, at, "a carriage return is not followed by a line feed",
					     what);
			k++;
		}
		if (!closed)
			f = (struct rn_csv_field){ .p = s->text + start,
						   .len = (uint32_t)(at - start) };
		if (s->nfields == s->fields_cap)
			return FAULT;
		s->fields[s->nfields++] = f;
		if (c != s->opt.delimiter) {
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

/* Past the next line feed. */
static int skip_line(struct rn_csv_scan *s, struct rn_err *e)
{
	for (;;) {
		for (; s->at < s->npos; s->at++)
			if (s->pos[s->at] >= s->from && s->text[s->pos[s->at]] == '\n') {
				s->from = s->pos[s->at++] + 1;
				s->line++;
				return 0;
			}
		s->from = s->len;
		if (s->eof)
			return 0;
		RN_TRY(refill(s, e));
	}
}

/* Is the next row a comment?  There is text if there is any left. */
static int next_is_comment(struct rn_csv_scan *s, bool *yes, struct rn_err *e)
{
	*yes = false;
	if (!s->opt.comment)
		return 0;
	while (s->from == s->len && !s->eof)
		RN_TRY(refill(s, e));
	*yes = s->from < s->len && s->text[s->from] == s->opt.comment;
	return 0;
}

static int separated_row(struct rn_csv_scan *s, struct rn_err *e)
{
	for (;;) {
		const char *what = NULL;
		uint64_t lines = 0;
		enum walk w;
		bool comment;

		RN_TRY(next_is_comment(s, &comment, e));
		if (comment) {
			RN_TRY(skip_line(s, e));
			continue;
		}
		s->nfields = 0;
		s->row = s->from;
		s->row_line = s->line;
		w = walk_row(s, &what, &lines);
		if (w == ROW) {
			s->line += lines;
			return 0;
		}
		if (what) {
			s->faulty = true;
			s->line += lines;
			return bad_line(s, s->line, e, what);
		}
		if (w == FAULT) { /* no room for the fields */
			RN_TRY(rn_grow(&s->fields, &s->fields_cap, s->fields_cap + 1,
				       sizeof *s->fields, "fields", e));
			continue;
		}
		if (s->eof && s->from == s->len) {
			s->nfields = 0;
			return 0;
		}
		if (s->eof) {
			s->faulty = true;
			s->fault = s->from;
			return bad_line(s, s->line, e, "a quote is not closed");
		}
		RN_TRY(refill(s, e));
	}
}

/* ---- JSON lines -------------------------------------------------------------- */

/* The next line that is not blank, without its line feed; *line = NULL: the end. */
static int next_line(struct rn_csv_scan *s, const char **line, const char **end, struct rn_err *e)
{
	for (;;) {
		char *lf = s->len > s->indexed ?
				   memchr(s->text + s->indexed, '\n', s->len - s->indexed) : NULL;

		if (!lf && s->eof) {
			*line = NULL;
			return 0;
		}
		if (!lf) {
			s->indexed = s->len;
			RN_TRY(refill(s, e));
			continue;
		}
		s->row = s->from;
		s->row_line = s->line++;
		s->from = s->indexed = (size_t)(lf - s->text) + 1;
		*line = s->text + s->row;
		*end = lf;
		if (strspn(*line, " \t\r") < (size_t)(lf - *line))
			return 0;
	}
}

static int json_row(struct rn_csv_scan *s, bool *there, struct rn_err *e)
{
	const char *line, *end, *what, *at;

	RN_TRY(next_line(s, &line, &end, e));
	*there = line != NULL;
	if (!line)
		return 0;
	RN_TRY(rn_json_scan_object(&s->keys, line, end, &s->fields, &s->fields_cap, &what, &at, e));
	if (what) {
		s->faulty = true;
		return rn_err_set(e, RN_EDATA, "%s:%" PRIu64 ":%td: %s", rn_text_in_name(s->in),
				  s->row_line, at - line + 1, what);
	}
	s->nfields = s->keys.n;
	return 0;
}

size_t rn_csv_scan_nkeys(const struct rn_csv_scan *s)
{
	return s->keys.n;
}

const char *rn_csv_scan_key(const struct rn_csv_scan *s, size_t i)
{
	return s->keys.name[i];
}

int rn_csv_scan_add_key(struct rn_csv_scan *s, const char *name, struct rn_err *e)
{
	size_t i;

	return rn_json_keys_add(&s->keys, name, strlen(name), &i, e);
}

/* ---- both -------------------------------------------------------------------- */

int rn_csv_scan_row(struct rn_csv_scan *s, const struct rn_csv_field **f, size_t *n,
		    struct rn_err *e)
{
	bool there;

	s->faulty = false;
	s->nfields = 0;
	if (s->opt.json) {
		RN_TRY(json_row(s, &there, e));
	} else {
		RN_TRY(separated_row(s, e));
		there = s->nfields != 0;
	}
	*f = there ? s->fields : NULL;
	*n = s->nfields;
	return 0;
}

int rn_csv_scan_skip(struct rn_csv_scan *s, bool *could, struct rn_err *e)
{
	*could = s->faulty;
	if (!s->faulty || s->opt.json)
		return 0;
	s->faulty = false;
	s->from = s->fault;
	return skip_line(s, e);
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
	if (s->opt.json)
		s->indexed = s->mark;
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
	s->started = s->eof = s->keep = false;
	return rn_grow(&s->text, &s->cap, PIECE + 64, 1, "text", e);
}

int rn_csv_scan_open(struct rn_io *io, const struct rn_csv_scan_opt *opt,
		     struct rn_csv_scan **out, struct rn_err *e)
{
	struct rn_csv_scan *s;
	struct rn_text_in *in;
	int rc;

	RN_TRY(rn_text_in_open(io, &in, e));
	rc = rn_calloc(1, sizeof *s, "a text reader", &s, e);
	if (rc) {
		rn_text_in_close(in);
		return rc;
	}
	s->in = in;
	s->opt = *opt;
	rc = start(s, e);
	if (rc)
		rn_csv_scan_close(s);
	else
		*out = s;
	return rc;
}

bool rn_csv_scan_can_rewind(const struct rn_csv_scan *s)
{
	return rn_text_in_can_rewind(s->in);
}

int rn_csv_scan_rewind(struct rn_csv_scan *s, struct rn_err *e)
{
	RN_TRY(rn_text_in_rewind(s->in, e));
	return start(s, e);
}

uint64_t rn_csv_scan_size(const struct rn_csv_scan *s)
{
	return rn_text_in_size(s->in);
}

const char *rn_csv_scan_name(const struct rn_csv_scan *s)
{
	return rn_text_in_name(s->in);
}

uint64_t rn_csv_scan_hash(const struct rn_csv_scan *s)
{
	return rn_text_in_hash(s->in);
}

void rn_csv_scan_close(struct rn_csv_scan *s)
{
	if (!s)
		return;
	rn_text_in_close(s->in);
	rn_json_keys_fini(&s->keys);
	free(s->text);
	free(s->pos);
	free(s->fields);
	free(s);
}
