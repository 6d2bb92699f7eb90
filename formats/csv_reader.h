/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the text reader: csv.c finds names and types and drives, csv_block.c makes
 * typed columns of fields.
 */
#ifndef RN_CSV_READER_H
#define RN_CSV_READER_H

#include "csv.h"
#include "csv_scan.h"

enum {
	RN_CSV_MISFIT = 1,             /* the value is not of its column's type */
	RN_CSV_UNKNOWN = RN_NTYPES,    /* type of a column of NULLs only */
	RN_CSV_SAMPLE = 65536,         /* rows that decide where the input cannot be read again */
};

struct rn_csv_column {
	char *name;
	unsigned type; /* enum rn_type, or RN_CSV_UNKNOWN */
	bool given;
	struct rn_column *values; /* of the block being filled: `capacity` rows */
	char *bytes;              /* of its strings */
	size_t nbytes, bytes_cap;
};

struct rn_csv_null {
	char *text;
	size_t len;
};

struct rn_csv_reader {
	const struct rn_ctx *ctx;
	struct rn_csv_scan *scan;
	struct rn_csv_opt opt; /* without what it points to */
	bool json;
	struct rn_schema schema;
	struct rn_csv_column *cols;
	size_t ncols, cols_cap;
	struct rn_csv_null *null;
	size_t nnull;
	uint32_t capacity, rows; /* of the block being filled */
	uint64_t text;           /* bytes of strings in it */
	struct rn_rel **kept;
	size_t nkept, kept_cap, next_kept;
	bool ended;
	/* Rows passed over: counted only in the pass that makes the rows. */
	bool counting;
	uint64_t good, bad;
	char *bad_text[3]; /* what is wrong with the first of them */
	struct rn_err err;
};

/* The least type above `type` that the value fits as well. */
unsigned rn_csv_widen(const struct rn_csv_reader *r, unsigned type, const struct rn_csv_field *f);
bool rn_csv_is_null(const struct rn_csv_reader *r, const struct rn_csv_field *f);
enum rn_type rn_csv_final_type(const struct rn_csv_column *k);

void rn_csv_block_drop(struct rn_csv_reader *r);
RN_MUST_CHECK int rn_csv_block_start(struct rn_csv_reader *r, struct rn_err *e);
/* A row of fields: 0 with *misfit = 0, or *misfit = column + 1 of a value that does not fit,
 * or an error.  Only in the first case is the row in the block. */
RN_MUST_CHECK int rn_csv_block_add(struct rn_csv_reader *r, const struct rn_csv_field *f,
				   size_t *misfit, struct rn_err *e);
/* The block so far as a relation; *out = NULL if it has no rows. */
RN_MUST_CHECK int rn_csv_block_finish(struct rn_csv_reader *r, struct rn_rel **out,
				      struct rn_err *e);
/* RN_EDATA: field i at f does not fit. */
RN_MUST_CHECK int rn_csv_bad_value(const struct rn_csv_reader *r, size_t i,
				   const struct rn_csv_field *f, struct rn_err *e);

#endif
