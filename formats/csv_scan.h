/* SPDX-License-Identifier: Apache-2.0
 *
 * Separated text, or JSON lines, to rows of fields.  A first pass over each piece
 * of separated text finds the positions of all bytes that mean something
 * (delimiter, quote, CR, LF, NUL), 16 at a time; rows are then walked from position
 * to position.
 */
#ifndef RN_CSV_SCAN_H
#define RN_CSV_SCAN_H

#include "../lib/base/mem.h"
#include "io.h"

struct rn_csv_field {
	const char *p; /* valid until the next row; 64 bytes after it are readable */
	uint32_t len;
	bool quoted;  /* JSON: it is a string, an array or an object */
	bool escaped; /* quoted, with "" inside that mean "; JSON: with \ escapes */
};

struct rn_csv_scan_opt {
	char delimiter;
	char comment; /* lines that begin with it are none; 0: there are no such lines */
	bool json;    /* JSON lines; the other two do not count */
};

struct rn_csv_scan;
/* Takes io, also on failure. */
RN_MUST_CHECK int rn_csv_scan_open(struct rn_io *io, const struct rn_csv_scan_opt *opt,
				   struct rn_csv_scan **out, struct rn_err *e);
/* The next row, *n fields at *f; *f = NULL and *n = 0 at the end.  A blank line is a row of
 * one empty field; JSON lines have none, and a field for every key met so far. */
RN_MUST_CHECK int rn_csv_scan_row(struct rn_csv_scan *s, const struct rn_csv_field **f, size_t *n,
				  struct rn_err *e);
/* After RN_EDATA of rn_csv_scan_row: *could says whether the row can be passed over
 * (its line is malformed), and it then is. */
RN_MUST_CHECK int rn_csv_scan_skip(struct rn_csv_scan *s, bool *could, struct rn_err *e);

/* JSON lines: key i; and a key that rows need not have. */
size_t rn_csv_scan_nkeys(const struct rn_csv_scan *s);
const char *rn_csv_scan_key(const struct rn_csv_scan *s, size_t i);
RN_MUST_CHECK int rn_csv_scan_add_key(struct rn_csv_scan *s, const char *name, struct rn_err *e);

/* Rows from here on are kept, until _back returns to the first of them (once). */
void rn_csv_scan_mark(struct rn_csv_scan *s);
void rn_csv_scan_back(struct rn_csv_scan *s);
/* Bytes kept since the mark. */
size_t rn_csv_scan_kept(const struct rn_csv_scan *s);

/* Can all of it be read again?  Then do so, from the first row. */
bool rn_csv_scan_can_rewind(const struct rn_csv_scan *s);
RN_MUST_CHECK int rn_csv_scan_rewind(struct rn_csv_scan *s, struct rn_err *e);

/* RN_EDATA "NAME:LINE: …", LINE being that of field i of the last row (rows
 * may hold line ends in quotes). */
RN_MUST_CHECK int rn_csv_scan_bad(const struct rn_csv_scan *s, size_t field, struct rn_err *e,
				  const char *fmt, ...) RN_PRINTF(4, 5);
/* Bytes of text that there are, 0 where that is not known. */
uint64_t rn_csv_scan_size(const struct rn_csv_scan *s);
const char *rn_csv_scan_name(const struct rn_csv_scan *s);
uint64_t rn_csv_scan_hash(const struct rn_csv_scan *s); /* of the bytes read so far */
void rn_csv_scan_close(struct rn_csv_scan *s);          /* NULL is fine */

#endif
