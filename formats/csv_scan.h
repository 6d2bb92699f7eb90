/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to chunks of whole rows, and chunks to fields.  Chunks are cut by one thread, at
 * ends of rows that depend on the text alone; what comes after (finding the fields,
 * making columns of them) knows nothing but its chunk, so that several are worked
 * on at once.
 *
 * Where a quote is, is found by looking only at the bytes that mean something.  A chunk
 * of separated text without a quote needs no walk: the positions of delimiters and line
 * feeds, found 64 bytes at a time, are the fields.
 */
#ifndef RN_CSV_SCAN_H
#define RN_CSV_SCAN_H

#include "../lib/base/mem.h"
#include "csv.h"
#include "json_scan.h"
#include "text_in.h"

#include <string.h>

enum {
	RN_CSV_PAD = 64,           /* readable bytes after the text of a chunk */
	RN_CSV_MAX_SHOWN = 3,      /* malformed rows that are told one by one */
	RN_CSV_MAX_ROW = 64 << 20, /* bytes of one row, which may be as long as ... */
	RN_CSV_MIN_ROW = 2 << 20,  /* ... this however little memory there is */
	RN_CSV_SAMPLE = 65536,     /* rows that decide where the input cannot be read again */
};

/* What is wrong with a row. */
struct rn_csv_bad {
	uint32_t row; /* where in the chunk the row begins */
	uint32_t at;  /* a byte on the line that the message names */
	uint32_t byte; /* in that line, from 1; 0: not told */
	char *what;
};

/* Rows of text, and what becomes of them. */
struct rn_csv_chunk {
	char *text; /* rows in from … len, line feed at the end */
	size_t from, len, cap;
	size_t begin; /* what `from` was before a header was taken */
	bool quotes; /* there may be one */
	/* Positions of the bytes that matter. */
	uint32_t *marks;
	size_t nmarks, marks_cap;
	bool crlf;   /* a carriage return may end the last field of a row */
	bool broken; /* there is a NUL, or a carriage return alone */
	bool high;   /* there is a byte that is not ASCII */
	/* Separated text: field c of row r is between at[r * stride + c] (not included) and
	 * at[r * stride + c + 1].  JSON lines: it is fields[r * ncols + c]. */
	const uint32_t *at;
	size_t stride;
	uint32_t *pos;
	size_t npos, pos_cap;
	struct rn_csv_field *fields;
	size_t fields_cap;
	struct rn_csv_field *line; /* JSON lines: the fields of one */
	size_t line_cap;
	size_t rows;
	uint64_t head_lines, lines; /* line feeds before `from`, and from there on */
	bool stopped;               /* at a row that is malformed */
	bool new_key;               /* stopped at a key that is no column */
	/* Rows that are no rows, the first few of them in order. */
	uint64_t nbad;
	struct rn_csv_bad bad[RN_CSV_MAX_SHOWN];
	bool fatal; /* and no --skip-bad helps */
	/* Columns of them. */
	struct rn_rel *rel;
	unsigned *types; /* widened by these rows */
	size_t types_cap;
	bool misfit; /* a value is not of the type that was guessed */
	uint32_t *bad_col; /* by row: 0, or 1 + the column that does not fit */
	size_t bad_cap;
	bool done; /* the task was */
	int rc;
	struct rn_err err;
};

/* What is said of a row that is no row: in `whose` there are ncols fields. */
struct rn_csv_rules {
	char delimiter;
	char comment;  /* lines that begin with it are none; 0: there are no such lines */
	bool json;     /* JSON lines; the other two do not count */
	bool skip_bad; /* go on after a malformed row */
	size_t max_row; /* bytes of one; whole MiB */
	const char *whose;
};

/* ---- chunks ---------------------------------------------------------------------------- */

struct rn_csv_scan;
/* Takes io, also on failure.  chunk: bytes of text in one, unless a row is longer. */
RN_MUST_CHECK int rn_csv_scan_open(struct rn_io *io, const struct rn_csv_rules *rules,
				   size_t chunk, struct rn_csv_scan **out, struct rn_err *e);
/* The next rows into k, whose buffers are used again; *got = false at the end. */
RN_MUST_CHECK int rn_csv_scan_chunk(struct rn_csv_scan *s, struct rn_csv_chunk *k, bool *got,
				    struct rn_err *e);
/* JSON lines: at most so many in a chunk. */
void rn_csv_scan_limit(struct rn_csv_scan *s, size_t lines);
/* Can all of it be read again?  Then do so, from the first row. */
bool rn_csv_scan_can_rewind(const struct rn_csv_scan *s);
RN_MUST_CHECK int rn_csv_scan_rewind(struct rn_csv_scan *s, struct rn_err *e);
struct rn_text_in *rn_csv_scan_input(struct rn_csv_scan *s); /* for what is known of it */
void rn_csv_scan_close(struct rn_csv_scan *s);               /* NULL is fine */

/* Forget what became of the rows; with `all` give the memory back as well. */
void rn_csv_chunk_clear(struct rn_csv_chunk *k, bool all);

/* ---- fields ---------------------------------------------------------------------------- */

/* Find the fields of at most `most` rows of ncols columns.  Rows that are none are in
 * k->bad; without skip_bad the first of them ends it. */
RN_MUST_CHECK int rn_csv_find_rows(const struct rn_csv_rules *u, struct rn_csv_chunk *k,
				   size_t ncols, size_t most, struct rn_err *e);
/* The first row that is not blank: its fields are k->at[0 … *n], and it no longer belongs
 * to the chunk.  *n = 0: there is none. */
RN_MUST_CHECK int rn_csv_take_first(const struct rn_csv_rules *u, struct rn_csv_chunk *k, size_t *n,
				    struct rn_err *e);
/* The rows are found anew: what was wrong with them is as well. */
void rn_csv_restart(struct rn_csv_chunk *k);

/* JSON lines: what is done where a key is no column. */
enum rn_csv_new_key {
	RN_CSV_KEY_ADD,  /* it becomes one */
	RN_CSV_KEY_STOP, /* k->new_key; other threads may read the keys */
	RN_CSV_KEY_BAD,  /* the row is malformed */
};
/* The next object of the chunk from *at on, its fields in k->line (one for each key);
 * *there = false at the end, or where it has stopped. */
RN_MUST_CHECK int rn_csv_next_line(const struct rn_csv_rules *u, struct rn_csv_chunk *k,
				   struct rn_json_keys *keys, enum rn_csv_new_key how, size_t *at,
				   bool *there, struct rn_err *e);
/* The fields of all of them, not to be used with RN_CSV_KEY_ADD. */
RN_MUST_CHECK int rn_csv_find_lines(const struct rn_csv_rules *u, struct rn_csv_chunk *k,
				    struct rn_json_keys *keys, enum rn_csv_new_key how,
				    struct rn_err *e);

/* Fields of one column. */
struct rn_csv_span {
	const char *text;
	const uint32_t *at;
	size_t stride;
	bool crlf;
};

static inline struct rn_csv_span rn_csv_span_of(const struct rn_csv_chunk *k, size_t c,
						size_t ncols)
{
	return (struct rn_csv_span){ k->text, k->at + c, k->stride, k->crlf && c + 1 == ncols };
}

/* That of row r; plain: no quotes in the chunk. */
static inline struct rn_csv_field rn_csv_field_in(const struct rn_csv_span *s, size_t r,
						  bool plain)
{
	const uint32_t *at = s->at + r * s->stride;
	uint32_t start = at[0] + 1, end = at[1];
	struct rn_csv_field f = { .p = s->text + start };

	if (s->crlf && end > start && s->text[end - 1] == '\r')
		end--;
	f.len = end - start;
	if (!plain && f.len && *f.p == '"') {
		f.p++;
		f.len -= 2;
		f.quoted = true;
		f.escaped = memchr(f.p, '"', f.len) != NULL;
	}
	return f;
}

static inline struct rn_csv_field rn_csv_field_at(const struct rn_csv_chunk *k, size_t r, size_t c,
						  size_t ncols, bool plain)
{
	struct rn_csv_span s = rn_csv_span_of(k, c, ncols);

	return rn_csv_field_in(&s, r, plain);
}

/* Note that the row which begins at `row` is none. */
RN_MUST_CHECK int rn_csv_add_bad(const struct rn_csv_rules *u, struct rn_csv_chunk *k, size_t row,
				 size_t at, size_t byte, struct rn_err *e, const char *fmt, ...)
	RN_PRINTF(7, 8);

/* Where byte `at` of the text is in its line, from 1. */
size_t rn_csv_byte_of(const struct rn_csv_chunk *k, size_t at);

/* Positions in from … len of delimiters and line feeds (all: of quotes, carriage returns
 * and NULs too) into marks[1 …]; lines, crlf, broken, high (not with `all`) are set. */
RN_MUST_CHECK int rn_csv_index(struct rn_csv_chunk *k, char delimiter, bool all, struct rn_err *e);

/* Is the chunk, of separated text without quotes, surely nothing but rows of ncols numbers
 * and NULLs that fit the columns' types, each of them int64 or float64?  Then k->rows and
 * k->lines are set, and no field was looked at. */
bool rn_csv_all_numbers(struct rn_csv_chunk *k, char delimiter, size_t ncols,
			const unsigned *types);

#endif
