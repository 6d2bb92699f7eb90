/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to typed rows: CSV and TSV (RFC 4180: quotes, embedded separators and
 * newlines, CRLF, BOM), and JSON lines.  Input that is compressed with zstd or gzip
 * is decompressed (text_in.h).
 *
 * Separated text: an empty unquoted field is NULL,
 * "" is the empty string; NaN in a float64 column is NULL.  Blank lines are
 * passed over where there is more than one column.  A quote inside an unquoted
 * field is a letter.  RN_EDATA with file:line: rows of another length than the
 * header, a carriage return alone, NUL, what is not UTF-8, names that repeat,
 * an input without a header, a row that is too long, as after a quote that is not closed.  A
 * column without a name is c0, c1, … by its place.
 *
 * JSON lines: an object on each line, keys are columns in order of first appearance,
 * a missing key is NULL, what is nested is a string of JSON.  A JSON string is string
 * or timestamp and never a number.
 *
 * A row is too long with more than 64 MiB, or a quarter of c->mem_limit where that is less,
 * but at least 2 MiB.
 *
 * Types not given are inferred from the whole input when it is a regular file,
 * else from its first 65,536 rows: bool (true/false), int64, float64,
 * timestamp (ISO 8601), else string; string too for a column of NULLs only, and
 * for integers that int64 does not hold.  A value that does not fit the type found
 * is an error (RN_EDATA) with file:line and column, and tells of --types.
 */
#ifndef RN_CSV_H
#define RN_CSV_H

#include "../lib/base/ctx.h"
#include "../lib/base/num.h"
#include "../lib/rel/rel.h"
#include "array_text.h"
#include "io.h"

enum rn_text_kind { RN_TEXT_CSV, RN_TEXT_TSV, RN_TEXT_JSONL };

/* What is pointed to is needed only during rn_csv_open, but for `array`. */
struct rn_csv_opt {
	enum rn_text_kind kind;
	char delimiter;         /* 0: ',', or a tab for RN_TEXT_TSV */
	char comment;           /* lines that begin with it are passed over; 0: none do */
	bool no_header;         /* columns are then named c0, c1, … unless names are given */
	bool skip_bad;          /* pass over malformed rows; a warning counts them at the end */
	size_t nnames;          /* names of all columns, instead of the header's; 0: none given */
	const char *const *names;
	size_t nnull;           /* further texts that, without quotes, are NULL */
	const char *const *null;
	size_t ntypes;          /* given types, by column name (JSON lines: it may be missing) */
	const char *const *type_names;
	const enum rn_type *types;
	/* A column of strings that are embeddings, or NULL: what is not known of it the first rows
	 * tell, and a row that has another is malformed. */
	struct rn_array_column *array;
	uint32_t block_rows;    /* at most so many in a block; 0: 65536 */
	size_t chunk;           /* bytes of text that are parsed at once; 0: 256 KiB */
	bool first;             /* take the types from the first rows, whatever the input is */
};

/* One ASCII character, or \t as it is written: false if it cannot be a delimiter. */
bool rn_csv_delimiter(const char *text, char *out);

struct rn_csv_reader;
/* Takes io, also on failure.  Reads as far as it needs for the schema.  c is borrowed
 * until rn_csv_close. */
RN_MUST_CHECK int rn_csv_open(const struct rn_ctx *c, struct rn_io *io,
			      const struct rn_csv_opt *opt, struct rn_csv_reader **out,
			      struct rn_err *e);
const struct rn_schema *rn_csv_schema(const struct rn_csv_reader *r);
RN_MUST_CHECK int rn_csv_block(struct rn_csv_reader *r, struct rn_rel **out, struct rn_err *e);
/* Is column i one of NULLs only, as far as was read for the schema? */
bool rn_csv_untyped(const struct rn_csv_reader *r, size_t i);
/* Before the first block: column i is of types[i] (RN_NTYPES: of the type that was found), as if
 * that had been given.  Where what was read cannot be read again it need not be. */
RN_MUST_CHECK int rn_csv_retype(struct rn_csv_reader *r, const enum rn_type *types,
				struct rn_err *e);
/* Bytes of input (as stored) that were read for the rows, and how many there are (0: that
 * is not known). */
void rn_csv_progress(const struct rn_csv_reader *r, uint64_t *done, uint64_t *total);
/* XXH3-64 of the input's bytes as stored, once the end was reached. */
uint64_t rn_csv_hash(const struct rn_csv_reader *r);
void rn_csv_close(struct rn_csv_reader *r);

/* Rows as text onto io.  Embedding values follow the content columns: a dense
 * part NAME of width w as NAME0 … NAMEw-1 (NAME alone when w is 1), a sparse
 * part as one column of "column:value" pairs separated by spaces.  JSON lines
 * hold a part as an array (sparse: an object).  Floats are the shortest
 * decimals that read back to the same bits. */
struct rn_text_opt {
	enum rn_text_kind kind;
	char delimiter; /* 0: as the kind has it */
	bool no_header;
	bool no_embedding;
	struct rn_team *team; /* makes the text, in pieces; NULL: the calling thread */
	uint64_t *no_number; /* JSON lines: infinities and NaNs, which are null, are added; or NULL */
};
/* Have two fields (JSON lines: members) of a row one name?  RN_EUSAGE, with `by`, what leaves
 * embeddings out. */
RN_MUST_CHECK int rn_text_check_names(const struct rn_schema *s, bool json, const char *by,
				      struct rn_err *e);
/* Names are checked unless there is no header. */
RN_MUST_CHECK int rn_text_write_header(struct rn_io *io, const struct rn_schema *s,
				       const struct rn_text_opt *opt, struct rn_err *e);
RN_MUST_CHECK int rn_text_write_rows(struct rn_io *io, const struct rn_rel *r,
				     const struct rn_text_opt *opt, struct rn_err *e);

#endif
