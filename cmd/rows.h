/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in and rows out, for the programs that are no operators: a stream or a
 * text table block by block, and a stream, text or .npy.
 */
#ifndef RN_ROWS_H
#define RN_ROWS_H

#include "../formats/csv.h"
#include "../lib/exec/spool.h"
#include "cli.h"

/* What messages call an operand. */
const char *rn_operand_label(const struct rn_operand *in);

/* ---- in -------------------------------------------------------------------------------- */

struct rn_rows {
	const char *label;
	json_t *header; /* of the stream; NULL: a text table */
	const struct rn_schema *schema;
	struct rn_reader *reader;
	struct rn_source *source;
	struct rn_plan *plan; /* of a text table */
};
/* Open an evaluated stream or a text table; RN_EUSAGE for a plan or a model. */
RN_MUST_CHECK int rn_rows_open(const struct rn_ctx *c, const struct rn_operand *in,
			       struct rn_rows *r, struct rn_err *e);
/* The same for who reads at most `limit` rows: if these are few, no more of a text table
 * than its beginning is read, and its types are those of that. */
RN_MUST_CHECK int rn_rows_open_first(const struct rn_ctx *c, const struct rn_operand *in,
				     uint64_t limit, struct rn_rows *r, struct rn_err *e);
/* The next block, *out owned; NULL when the end was read and is good. */
RN_MUST_CHECK int rn_rows_block(struct rn_rows *r, struct rn_rel **out, struct rn_err *e);
/* The same for who reads at most *left rows, which are counted down: NULL also when none is
 * left. */
RN_MUST_CHECK int rn_rows_block_of(struct rn_rows *r, uint64_t *left, struct rn_rel **out,
				   struct rn_err *e);
/* How much of a stream was read, of how many bytes; 0 of 0 where that is not known. */
void rn_rows_progress(const struct rn_rows *r, uint64_t *done, uint64_t *total);
void rn_rows_close(struct rn_rows *r);

/* ---- out ------------------------------------------------------------------------------- */

enum rn_form { RN_FORM_STREAM, RN_FORM_CSV, RN_FORM_TSV, RN_FORM_JSONL, RN_FORM_NPY };

/* By a --format value ("auto", "csv", …), by the end of the output's name, else `dflt`. */
enum rn_form rn_form_of(const char *format, const char *path, enum rn_form dflt);

struct rn_sink {
	const struct rn_cli *cli;
	enum rn_form form;
	struct rn_text_opt text;
	struct rn_io *io;
	struct rn_writer *writer;
	struct rn_writer_stats stats; /* once it is closed; of what is no stream the bytes */
	struct rn_shape shape;  /* RN_FORM_NPY: the header says how many rows there are */
	struct rn_spill *spill; /* … where it cannot be written at the end: the rows wait */
	struct rn_budget budget;
	struct rn_spool *spool;
	uint64_t rows;
	uint64_t no_number; /* values that JSON lines cannot hold */
};
/* Rows of this schema to the output of c.  history: of the input, or NULL. */
RN_MUST_CHECK int rn_sink_open(const struct rn_cli *c, enum rn_form form,
			       const struct rn_text_opt *text, const struct rn_schema *schema,
			       const json_t *history, struct rn_sink *s, struct rn_err *e);
RN_MUST_CHECK int rn_sink_rows(struct rn_sink *s, const struct rn_rel *r, struct rn_err *e);
/* Publish, or where rc is not 0 give up and tell downstream why; returns the code. */
RN_MUST_CHECK int rn_sink_close(struct rn_sink *s, int rc, struct rn_err *e);

/* May a stream be written under this name?  Not where its end says that it is text. */
RN_MUST_CHECK int rn_sink_check_stream(const char *path, struct rn_err *e);

/* The rows of a stream could not even be begun: what reads our output through a pipe
 * gets the reason. */
void rn_sink_refuse(const struct rn_cli *c, const char *message);

/* At most `limit` rows of the operand to the output. */
RN_MUST_CHECK int rn_rows_pump(const struct rn_cli *c, enum rn_form form,
			       const struct rn_text_opt *text, uint64_t limit, struct rn_err *e);

/* The rows of the operand into a table of a database, all or none. */
RN_MUST_CHECK int rn_rows_to_table(const struct rn_cli *c, const char *to, bool append,
				   struct rn_err *e);

#endif
