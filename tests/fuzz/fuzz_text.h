/* SPDX-License-Identifier: Apache-2.0
 *
 * What the targets of the text formats share: reading all of an input, and writing a
 * relation and reading it again.
 */
#ifndef FUZZ_TEXT_H
#define FUZZ_TEXT_H

#include "../../formats/csv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static inline void require(bool ok)
{
	if (!ok)
		abort();
}

static inline int read_all(const void *text, size_t n, const char *name, bool again,
		    const struct rn_csv_opt *opt, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *blocks[64];
	struct rn_csv_reader *r;
	struct rn_io *io;
	size_t k = 0;
	int rc;

	RN_TRY(rn_io_from_memory(text, n, name, &io, e));
	if (!again)
		io->size = 0;
	RN_TRY(rn_csv_open(NULL, io, opt, &r, e));
	for (;;) {
		struct rn_rel *b;

		rc = rn_csv_block(r, &b, e);
		if (rc || !b)
			break;
		if (k == 64) {
			rn_rel_unref(b);
			rc = RN_ENOMEM; /* enough of them */
			break;
		}
		blocks[k++] = b;
	}
	if (!rc)
		rc = rn_rel_concat(rn_csv_schema(r), blocks, k, out, e);
	while (k)
		rn_rel_unref(blocks[--k]);
	rn_csv_close(r);
	return rc;
}

/* r as text, read with the types of r: the same number of rows and columns. */
static inline struct rn_rel *write_and_read(const struct rn_rel *r, const struct rn_text_opt *opt,
					    struct rn_csv_opt back)
{
	const char **names = calloc(r->schema.ncols, sizeof *names);
	enum rn_type *types = calloc(r->schema.ncols, sizeof *types);
	struct rn_rel *again;
	struct rn_io *io;
	struct rn_err e;
	void *text;
	size_t n;

	require(names && types);
	for (size_t i = 0; i < r->schema.ncols; i++) {
		names[i] = r->schema.cols[i].name;
		types[i] = r->schema.cols[i].type;
	}
	back.ntypes = r->schema.ncols;
	back.type_names = names;
	back.types = types;
	require(!rn_io_to_memory(&text, &n, &io, &e));
	require(!rn_text_write_header(io, &r->schema, opt, &e));
	require(!rn_text_write_rows(io, r, opt, &e));
	require(!io->ops->close(io, &e));
	require(!read_all(text, n, "again", true, &back, &again, &e));
	require(again->rows == r->rows && again->schema.ncols == r->schema.ncols);
	free(text);
	free(names);
	free(types);
	return again;
}

/* Of two columns of one type, values that are not NULL. */
static inline bool same_value(const struct rn_column *a, const struct rn_column *b, uint64_t k)
{
	switch (a->type) {
	case RN_FLOAT64:
		return a->f64[k] == b->f64[k];
	case RN_BOOL:
		return a->b[k] == b->b[k];
	case RN_STRING:
		return a->off[k + 1] - a->off[k] == b->off[k + 1] - b->off[k] &&
		       !memcmp(a->bytes + a->off[k], b->bytes + b->off[k], a->off[k + 1] - a->off[k]);
	default:
		return a->i64[k] == b->i64[k];
	}
}

#endif
