/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader of JSON lines, with what it reads written and read again: the same
 * rows.  The first byte chooses the size of blocks and chunks, kind of input,
 * --skip-bad, and whether columns are embeddings, of which all rows are then good.
 */
#include "fuzz_text.h"

#include <math.h>

/* JSON has no infinities: they come back as NULL. */
static bool equal(const struct rn_column *a, const struct rn_column *b, uint64_t k)
{
	bool null = rn_column_is_null(a, k) || (a->type == RN_FLOAT64 && isinf(a->f64[k]));

	if (null || rn_column_is_null(b, k))
		return null && rn_column_is_null(b, k);
	return same_value(a, b, k);
}

static void rewrite(const struct rn_rel *r)
{
	struct rn_text_opt opt = { .kind = RN_TEXT_JSONL };
	struct rn_rel *again = write_and_read(r, &opt, (struct rn_csv_opt){ .kind = RN_TEXT_JSONL });

	for (size_t i = 0; i < r->schema.ncols; i++)
		for (uint64_t k = 0; k < r->rows; k++)
			require(equal(r->cols[i], again->cols[i], k));
	rn_rel_unref(again);
}

static bool is_z(const void *arg, const char *name)
{
	(void)arg;
	return name[0] == 'z';
}

static void check_arrays(const struct rn_array_column *a, const struct rn_rel *r)
{
	struct rn_array_reader x = { 0 };

	for (size_t i = 0; a->known && i < r->schema.ncols; i++) {
		struct rn_tensor *t;
		struct rn_err e;
		uint64_t bad;

		if (r->schema.cols[i].name[0] != 'z' || r->schema.cols[i].type != RN_STRING ||
		    r->cols[i]->nulls == r->rows)
			continue;
		require(!rn_array_rows(&x, a, r->cols[i], &bad, &t, &e) && t);
		rn_tensor_unref(t);
	}
	rn_array_reader_fini(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rn_array_column array = { .embeds = is_z };
	struct rn_csv_opt opt = { .kind = RN_TEXT_JSONL };
	struct rn_rel *r;
	struct rn_err e;
	int rc;

	if (!n)
		return 0;
	opt.skip_bad = *data & 1;
	opt.block_rows = *data & 2 ? 3 : 0;
	opt.chunk = *data & 2 ? 7 : 0;
	opt.array = *data & 16 ? &array : NULL;
	array.known = array.sparse = *data & 32;
	if (array.sparse)
		array.shape = (struct rn_shape){ 1, { 9 } };
	rc = read_all(data + 1, n - 1, *data & 4 ? "x.gz" : "x", *data & 8, &opt, &r, &e);
	require(rc == 0 || rc == RN_EDATA || rc == RN_ENOMEM);
	if (rc)
		return 0;
	if (opt.array)
		check_arrays(&array, r);
	if (r->rows)
		rewrite(r);
	rn_rel_unref(r);
	return 0;
}
