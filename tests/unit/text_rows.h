/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the text formats share: an input read, its rows on one line.
 */
#ifndef TEXT_ROWS_H
#define TEXT_ROWS_H

#include "t.h"

#include "../../formats/csv.h"

/* Schema and rows as text: "a int64, b string | 1,x | 2,<null>" */
static int print_rows(struct rn_csv_reader *r, struct rn_str *out, struct rn_err *e)
{
	const struct rn_schema *s = rn_csv_schema(r);
	struct rn_rel *b;

	for (size_t i = 0; i < s->ncols; i++)
		rn_str_addf(out, "%s%s %s", i ? ", " : "", s->cols[i].name,
			    rn_type_name(s->cols[i].type));
	for (;;) {
		RN_TRY(rn_csv_block(r, &b, e));
		if (!b)
			return 0;
		for (uint64_t i = 0; i < b->rows; i++)
			for (size_t c = 0; c < b->schema.ncols; c++) {
				rn_str_add(out, c ? "," : " | ");
				if (rn_column_is_null(b->cols[c], i))
					rn_str_add(out, "<null>");
				else
					rn_column_print(b->cols[c], i, out);
			}
		rn_rel_unref(b);
	}
}

/* From now on the input cannot be read again, as a pipe. */
static void as_pipe(struct rn_io *io)
{
	static struct rn_io_ops forward;

	forward = *io->ops;
	forward.rewind = NULL;
	io->ops = &forward;
	io->size = 0;
}

/* All of io, which is taken. */
static inline int read_rows(const struct rn_ctx *c, struct rn_io *io, const struct rn_csv_opt *opt,
		     struct rn_str *out, struct rn_err *e)
{
	struct rn_csv_reader *r;
	int rc;

	RN_TRY(rn_csv_open(c, io, opt, &r, e));
	rc = print_rows(r, out, e);
	rn_csv_close(r);
	return rc;
}

#endif
