/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader of JSON lines, with what it reads written and read again: the same
 * rows.  The first byte chooses the size of blocks and chunks, kind of input, and
 * --skip-bad.
 */
#include "fuzz_text.h"

#include <math.h>

/* JSON has no infinities: they come back as NULL. */
static bool equal(const struct rn_column *a, const struct rn_column *b, uint64_t k)
{
	bool null = rn_column_is_null(a, k) || (a->type == RN_FLOAT64 && isinf(a->f64[k]));

	if (null || rn_column_is_null(b, k))
		return null && rn_column_is_null(b, k);
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

static void rewrite(const struct rn_rel *r)
{
	struct rn_text_opt opt = { .kind = RN_TEXT_JSONL };
	struct rn_csv_opt back = { .kind = RN_TEXT_JSONL };
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
	require(!rn_text_write_rows(io, r, &opt, &e));
	require(!io->ops->close(io, &e));
	require(!read_all(text, n, "again", true, &back, &again, &e));
	require(again->rows == r->rows && again->schema.ncols == r->schema.ncols);
	for (size_t i = 0; i < r->schema.ncols; i++)
		for (uint64_t k = 0; k < r->rows; k++)
			require(equal(r->cols[i], again->cols[i], k));
	rn_rel_unref(again);
	free(text);
	free(names);
	free(types);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rn_csv_opt opt = { .kind = RN_TEXT_JSONL };
	struct rn_rel *r;
	struct rn_err e;
	int rc;

	if (!n)
		return 0;
	opt.skip_bad = *data & 1;
	opt.block_rows = *data & 2 ? 3 : 0;
	opt.chunk = *data & 2 ? 7 : 0;
	rc = read_all(data + 1, n - 1, *data & 4 ? "x.gz" : "x", *data & 8, &opt, &r, &e);
	require(rc == 0 || rc == RN_EDATA || rc == RN_ENOMEM);
	if (rc)
		return 0;
	if (r->rows)
		rewrite(r);
	rn_rel_unref(r);
	return 0;
}
