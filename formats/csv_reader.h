/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the text reader: csv_header.c finds names, csv_types.c types, csv_array.c what
 * embeddings look like, csv_block.c makes typed columns of fields, csv.c drives.
 */
#ifndef RN_CSV_READER_H
#define RN_CSV_READER_H

#include "csv_scan.h"

enum {
	RN_CSV_UNKNOWN = RN_NTYPES,   /* type of a column of NULLs only */
	RN_CSV_LONG,                  /* of integers, not all in int64; strings if it stays so */
	RN_CSV_BLOCK_BYTES = 16 << 20, /* of columns that one chunk may make */
	RN_CSV_MAX_BATCH = 32,         /* chunks that are worked on at once */
};

struct rn_csv_column {
	char *name;
	unsigned type; /* enum rn_type, or RN_CSV_UNKNOWN; RN_CSV_LONG while types are found */
	bool given;
};

struct rn_csv_null {
	char *text;
	size_t len;
};

struct rn_csv_reader {
	const struct rn_ctx *ctx;
	struct rn_csv_scan *scan;
	struct rn_csv_rules rules;
	struct rn_csv_opt opt; /* without what it points to */
	struct rn_json_keys keys;
	struct rn_schema schema;
	struct rn_csv_column *cols;
	size_t ncols, cols_cap;
	struct rn_csv_null *null;
	size_t nnull;
	enum { RN_CSV_ROWS, RN_CSV_FIND_TYPES, RN_CSV_WIDEN } task; /* of the chunks */
	/* Chunks that were read, from `head` on; those before it are to be used again. */
	struct rn_csv_chunk **queue;
	size_t head, nqueue, queue_cap;
	/* Where the next batch is read to, while that in the queue is worked on. */
	struct rn_csv_chunk *spare[RN_CSV_MAX_BATCH];
	size_t nspare, nread;
	uint64_t in_queue; /* bytes of input before the chunks that are not in the queue */
	bool ended;
	bool widened; /* all of it was read once, for the types */
	bool learning; /* rows are looked at in order: the first embedding tells its shape */
	uint64_t line; /* on which queue[head] begins */
	/* Blocks made while types were found, and the one that is being handed out. */
	struct rn_rel **kept;
	size_t nkept, kept_cap, next_kept;
	struct rn_rel *whole;
	uint64_t given_out; /* rows of it */
	/* Rows that were none. */
	uint64_t good, bad;
	char *bad_text[RN_CSV_MAX_SHOWN]; /* what is wrong with the first of them */
};

/* ---- chunks ------------------------------------------------------------------------------ */

/* Read until n chunks are in the queue, or the input has ended. */
RN_MUST_CHECK int rn_csv_fill(struct rn_csv_reader *r, size_t n, struct rn_err *e);
/* The chunk at the head is done with: its lines count. */
void rn_csv_drop_chunk(struct rn_csv_reader *r);
/* RN_EDATA "NAME:LINE: …", LINE being that of byte `at` of a chunk in the queue. */
RN_MUST_CHECK int rn_csv_bad_at(const struct rn_csv_reader *r, const struct rn_csv_chunk *k,
				size_t at, struct rn_err *e, const char *fmt, ...) RN_PRINTF(5, 6);
/* The error of a chunk in the queue, if it has one. */
RN_MUST_CHECK int rn_csv_check_chunk(const struct rn_csv_reader *r, const struct rn_csv_chunk *k,
				     struct rn_err *e);

/* ---- names ------------------------------------------------------------------------------- */

/* Separated text: names of the columns, of the header or as they are given. */
RN_MUST_CHECK int rn_csv_read_names(struct rn_csv_reader *r, struct rn_err *e);
/* Past the header, where there is one. */
RN_MUST_CHECK int rn_csv_skip_header(struct rn_csv_reader *r, struct rn_err *e);
/* JSON lines: columns for the keys that are new. */
RN_MUST_CHECK int rn_csv_add_columns(struct rn_csv_reader *r, struct rn_err *e);
RN_MUST_CHECK int rn_csv_set_given(struct rn_csv_reader *r, const struct rn_csv_opt *opt,
				   struct rn_err *e);

/* ---- types ------------------------------------------------------------------------------- */

bool rn_csv_is_named_null(const struct rn_csv_reader *r, const struct rn_csv_field *f);
static inline bool rn_csv_is_null(const struct rn_csv_reader *r, const struct rn_csv_field *f)
{
	return !f->quoted && (!f->len || (r->nnull && rn_csv_is_named_null(r, f)));
}
bool rn_csv_parse_bool(const struct rn_csv_field *f, uint8_t *out);
bool rn_csv_is_integer(const struct rn_csv_field *f); /* of any size */
enum rn_type rn_csv_final_type(const struct rn_csv_column *c);
/* k->types: the columns' types, widened by at most `most` rows of the chunk.  add: keys
 * that are new become columns (k->types then has more than r->cols). */
RN_MUST_CHECK int rn_csv_widen(struct rn_csv_reader *r, struct rn_csv_chunk *k, size_t most,
			       bool add, struct rn_err *e);

/* ---- embeddings as text ------------------------------------------------------------------- */

/* Is the column one of embeddings, if it is of strings? */
bool rn_csv_is_array(const struct rn_csv_reader *r, const char *name);
/* A value of that column, in order: the first says what all are like. */
RN_MUST_CHECK int rn_csv_learn_array(struct rn_csv_reader *r, const struct rn_csv_field *f,
				     struct rn_err *e);
/* *good: a value is like that.  Else `tell` says what is wrong with it. */
RN_MUST_CHECK int rn_csv_fits_array(const struct rn_csv_reader *r, struct rn_array_reader *x,
				    const struct rn_csv_field *f, bool *good, struct rn_err *e);
RN_MUST_CHECK int rn_csv_tell_array(const struct rn_csv_reader *r, const struct rn_csv_field *f,
				    struct rn_str *out, struct rn_err *e);
/* Copy a field without its escapes; returns where it ends. */
char *rn_csv_unescape(const struct rn_csv_reader *r, const struct rn_csv_field *f, char *to);

/* ---- columns ------------------------------------------------------------------------------ */

/* The rows of the chunk as a relation, k->rel (NULL: there are none).  Where types are
 * being found, k->misfit or k->new_key say that they are not those. */
RN_MUST_CHECK int rn_csv_parse(struct rn_csv_reader *r, struct rn_csv_chunk *k, struct rn_err *e);

#endif
